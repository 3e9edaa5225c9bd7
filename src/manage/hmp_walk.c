/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guest's page tables, as a vCPU uses them now: info mem and info tlb.
 *
 * Manual: Intel SDM 3A, chapter 4. Reads only RAM; tables elsewhere count as empty.
 */
#include "host/kvm.h"
#include "manage/hmp.h"

enum { PRESENT = 1, WRITABLE = 2, USER = 4, LARGE = 0x80, PAGES_MAX = 100000 };

struct walk {
	struct hmp *hmp;
	enum walk_kind kind;
	void (*each)(struct hmp *hmp, const struct walk_run *run);
	struct walk_run run; /* under way; bytes 0: none */
	unsigned entry_bytes, levels;
	bool large_pages;
	unsigned told;
};

static void tell(struct walk *w)
{
	if (w->run.bytes && w->told < PAGES_MAX) {
		w->told++;
		w->each(w->hmp, &w->run);
	}
	w->run.bytes = 0;
}

static void add_page(struct walk *w, const struct walk_run *page)
{
	if (w->kind == WALK_RUNS && w->run.bytes && w->run.gva + w->run.bytes == page->gva &&
	    w->run.user == page->user && w->run.writable == page->writable) {
		w->run.bytes += page->bytes;
		return;
	}
	tell(w);
	w->run = *page;
}

/* Address bits an entry of this level stands for. */
static unsigned shift_of(const struct walk *w, unsigned level)
{
	return 12 + (level - 1) * (w->entry_bytes == 8 ? 9 : 10);
}

static void walk_table(struct walk *w, unsigned level, uint64_t table, const struct walk_run *from)
{
	unsigned shift = shift_of(w, level);
	unsigned count = w->entry_bytes == 8 ? 512 : 1024;

	if (level == 3 && w->levels == 3) /* PAE: four entries without rights */
		count = 4;
	for (unsigned i = 0; i < count && w->told < PAGES_MAX; i++) {
		uint64_t entry = 0, address;
		struct walk_run page = *from;
		bool has_rights = !(level == 3 && w->levels == 3);

		if (board_memory_read(w->hmp->vmm->board, table + (uint64_t)i * w->entry_bytes,
				      &entry, w->entry_bytes) || !(entry & PRESENT))
			continue;
		page.gva += (uint64_t)i << shift;
		page.user &= !has_rights || entry & USER;
		page.writable &= !has_rights || entry & WRITABLE;
		address = entry & (w->entry_bytes == 8 ? 0xffffffffff000ull : 0xfffff000ull);
		if (level > 1 && !(entry & LARGE && w->large_pages && level < 4 && has_rights)) {
			walk_table(w, level - 1, address, &page);
			continue;
		}
		page.bytes = 1ull << shift;
		page.gpa = address & ~(page.bytes - 1);
		add_page(w, &page);
	}
}

void hmp_walk(struct hmp *hmp, enum walk_kind kind,
	      void (*each)(struct hmp *hmp, const struct walk_run *run))
{
	struct walk w = { .hmp = hmp, .kind = kind, .each = each };
	struct walk_run from = { .user = true, .writable = true };
	struct kvm_sregs s = { 0 };
	bool was_running = vmm_pause(hmp->vmm);

	if (board_vcpu_ioctl(hmp->vmm->board, *hmp->cpu, KVM_GET_SREGS, &s) < 0 ||
	    !(s.cr0 & BIT(31))) {
		report_print(hmp->out, "PG disabled\n");
		goto out;
	}
	w.entry_bytes = s.cr4 & BIT(5) ? 8 : 4;
	w.levels = w.entry_bytes == 4 ? 2 : s.efer & BIT(10) ? 4 + !!(s.cr4 & BIT(12)) : 3;
	w.large_pages = w.entry_bytes == 8 || s.cr4 & BIT(4);
	walk_table(&w, w.levels, w.levels == 3 ? s.cr3 & 0xffffffe0 : s.cr3 & 0xffffffffff000ull,
		   &from);
	tell(&w);
	if (w.told == PAGES_MAX)
		report_print(hmp->out, "and so on\n");
out:
	vmm_resume(hmp->vmm, was_running);
}

/* Upper halves are sign-extended in 64-bit mode. */
static uint64_t canonical(uint64_t gva)
{
	return gva & BIT(47) && gva >> 48 == 0 ? gva | 0xffff000000000000ull : gva;
}

static void print_run(struct hmp *hmp, const struct walk_run *run)
{
	report_print(hmp->out, "%016llx-%016llx %016llx %c%c%c\n",
		     (unsigned long long)canonical(run->gva),
		     (unsigned long long)canonical(run->gva) + run->bytes,
		     (unsigned long long)run->bytes, run->user ? 'u' : '-', 'r',
		     run->writable ? 'w' : '-');
}

static void print_page(struct hmp *hmp, const struct walk_run *page)
{
	report_print(hmp->out, "%016llx: %016llx %c%c%c\n",
		     (unsigned long long)canonical(page->gva), (unsigned long long)page->gpa,
		     page->bytes > PAGE_BYTES ? 'P' : '-', page->user ? 'U' : '-',
		     page->writable ? 'W' : '-');
}

void hmp_info_mem(struct hmp *hmp)
{
	hmp_walk(hmp, WALK_RUNS, print_run);
}

void hmp_info_tlb(struct hmp *hmp)
{
	hmp_walk(hmp, WALK_PAGES, print_page);
}
