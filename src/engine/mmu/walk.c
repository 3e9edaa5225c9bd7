/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Page walks: no paging, 32-bit, PAE, 4-level, 5-level.
 *
 * Entries are read from guest memory one at a time; accessed and dirty bits are set by
 * compare-and-exchange on the guest's own memory, and a lost race walks again.
 *
 * Manual: SDM 3, chapter 4; 4.6 access rights and protection keys, 4.7 error codes, 4.8 A and D.
 * Not modelled: shadow-stack pages (not offered in CPUID). Tables in read-only memory work, their
 * A and D bits stay as they are. Tables outside memory read as not present.
 */
#include "engine/fpu/fpu.h"
#include "engine/interp/address.h"
#include "engine/mmu/internal.h"
#include "engine/sys/features.h"

enum {
	PTE_PRESENT = 1, PTE_WRITE = 2, PTE_USER = 4, PTE_ACCESSED = 0x20, PTE_DIRTY = 0x40,
	PTE_LARGE = 0x80, PTE_GLOBAL = 0x100,
};
#define PTE_NX      BIT(63)
#define PTE_ADDRESS 0x000ffffffffff000ull

enum paging { PAGING_NONE, PAGING_32, PAGING_PAE, PAGING_4, PAGING_5 };

static enum paging paging_of(const struct vcpu *c)
{
	if (!(c->cr0 & CR0_PG))
		return PAGING_NONE;
	if (c->efer & EFER_LMA)
		return c->cr4 & CR4_LA57 ? PAGING_5 : PAGING_4;
	return c->cr4 & CR4_PAE ? PAGING_PAE : PAGING_32;
}

unsigned mmu_physical_bits(const struct vcpu *c)
{
	return c->physical_bits ? c->physical_bits : 36;
}

/* Address bits of an entry that must be zero: above MAXPHYADDR. */
static uint64_t reserved_address_bits(const struct vcpu *c)
{
	return PTE_ADDRESS & ~(BIT(mmu_physical_bits(c)) - 1);
}

/* Is a set PS bit at this level a large page (and not ignored or reserved)? */
static bool level_has_large(const struct vcpu *c, enum paging paging, unsigned level)
{
	if (level == 2)
		return paging != PAGING_32 || c->cr4 & CR4_PSE;
	return level == 3 && has_feature(c, FEATURE_PDPE1GB);
}

static uint64_t reserved_bits_32(const struct vcpu *c, uint64_t entry, bool large)
{
	unsigned bits = MIN(mmu_physical_bits(c), 40u);

	if (!large)
		return 0;
	if (!has_feature(c, FEATURE_PSE36) || bits < 32)
		return entry & 0x3fe000;
	return entry & (BIT(21) | (0x1fe000 & ~(BIT(bits - 32 + 13) - 1)));
}

static uint64_t reserved_bits(const struct vcpu *c, enum paging paging, unsigned level,
			      uint64_t entry, bool large)
{
	uint64_t reserved = reserved_address_bits(c);

	if (paging == PAGING_32)
		return reserved_bits_32(c, entry, large);
	if (!(c->efer & EFER_NX))
		reserved |= PTE_NX;
	if (paging == PAGING_PAE)
		reserved |= bits_of(~0ull, 0, 63) & ~bits_of(~0ull, 0, 52);
	if (large)
		reserved |= BIT(12 + 9 * (level - 1)) - BIT(13);
	else if (level > 2)
		reserved |= PTE_LARGE;
	return entry & reserved;
}

static gpa_t large_page_address(enum paging paging, unsigned shift, uint64_t entry)
{
	if (paging == PAGING_32)
		return (entry & 0xffc00000) | bits_of(entry, 13, 8) << 32;
	return entry & PTE_ADDRESS & ~(BIT(shift) - 1);
}

/* One table entry in guest memory. */
struct entry {
	uint8_t *host; /* NULL: no memory there */
	uint64_t value;
	const struct memslot *slot;
	uint64_t page;
	bool is_8_bytes;
};

static struct entry entry_read(struct vcpu *c, gpa_t gpa, bool is_8_bytes, bool look_only)
{
	const struct memslots *slots = __atomic_load_n(&c->vm->slots, __ATOMIC_ACQUIRE);
	struct entry e = { .slot = memslot_find(slots, gpa), .is_8_bytes = is_8_bytes };

	if (!e.slot)
		return e;
	e.page = (gpa - e.slot->base) / PAGE_BYTES;
	if (!look_only)
		slot_probe(c, e.slot, e.page);
	else if (!slot_has_page(e.slot, e.page))
		return e;
	e.host = e.slot->host + (gpa - e.slot->base);
	e.value = is_8_bytes ? __atomic_load_n((uint64_t *)e.host, __ATOMIC_ACQUIRE)
			     : __atomic_load_n((uint32_t *)e.host, __ATOMIC_ACQUIRE);
	return e;
}

uint64_t mmu_table_entry(struct vcpu *c, gpa_t gpa)
{
	return entry_read(c, gpa, true, true).value;
}

/* False: the entry changed under us. */
static bool entry_set(struct vcpu *c, struct entry *e, uint64_t bits)
{
	uint64_t old = e->value;
	uint32_t old32 = (uint32_t)old;
	bool done;

	if (!(bits & ~old) || e->slot->flags & KVM_MEM_READONLY)
		return true;
	(void)slot_note_write(c, e->slot, e->page * PAGE_BYTES, PAGE_BYTES);
	e->value |= bits;
	if (e->is_8_bytes)
		done = __atomic_compare_exchange_n((uint64_t *)e->host, &old, e->value, false,
						   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	else
		done = __atomic_compare_exchange_n((uint32_t *)e->host, &old32, (uint32_t)e->value,
						   false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	return done;
}

uint32_t mmu_user_keys(const struct vcpu *c)
{
	unsigned offset = xsave_offset(9);

	/* XSTATE_BV says whether the component differs from its initial state, zero. */
	return offset && load_le64(c->xsave + 512) & BIT(9) ? load_le32(c->xsave + offset) : 0;
}

/* RIGHT_* that the page's protection key takes away. */
static unsigned key_denies(const struct vcpu *c, enum tlb_view view, const struct page *page)
{
	uint32_t bits;

	if (!(c->cr4 & (page->user ? CR4_PKE : CR4_PKS)) || !(c->efer & EFER_LMA))
		return 0;
	bits = (page->user ? mmu_user_keys(c) : (uint32_t)c->msr.pkrs) >> (2 * page->key) & 3;
	if (bits & 1)
		return RIGHT_READ | RIGHT_WRITE;
	if (bits & 2 && (view == VIEW_USER || c->cr0 & CR0_WP))
		return RIGHT_WRITE;
	return 0;
}

static unsigned table_rights(const struct vcpu *c, enum tlb_view view, const struct page *page)
{
	unsigned rights = RIGHT_READ;

	if (!(c->cr0 & CR0_PG))
		return RIGHT_READ | RIGHT_WRITE | RIGHT_FETCH;
	if (page->executable)
		rights |= RIGHT_FETCH;
	if (view == VIEW_USER) {
		if (page->writable)
			rights |= RIGHT_WRITE;
		return page->user ? rights : 0;
	}
	if (page->writable || !(c->cr0 & CR0_WP))
		rights |= RIGHT_WRITE;
	if (page->user && c->cr4 & CR4_SMEP)
		rights &= ~(unsigned)RIGHT_FETCH;
	if (page->user && view == VIEW_KERNEL)
		rights &= RIGHT_FETCH; /* SMAP */
	return rights;
}

unsigned page_rights(const struct vcpu *c, enum tlb_view view, const struct page *page)
{
	return table_rights(c, view, page) & ~key_denies(c, view, page);
}

static unsigned right_for(enum access access)
{
	return access == ACCESS_WRITE ? RIGHT_WRITE : access == ACCESS_FETCH ? RIGHT_FETCH
									     : RIGHT_READ;
}

static uint32_t fault_code(const struct vcpu *c, enum access access, enum tlb_view view)
{
	uint32_t error = view == VIEW_USER ? PF_USER : 0;
	bool tells_fetch = c->cr4 & CR4_SMEP || (c->cr4 & CR4_PAE && c->efer & EFER_NX);

	if (access == ACCESS_WRITE)
		error |= PF_WRITE;
	if (access == ACCESS_FETCH && tells_fetch)
		error |= PF_FETCH;
	return error;
}

/* A walk on its way down. */
struct walk {
	enum paging paging;
	unsigned level, index_bits;
	gpa_t table;
	uint64_t nx;
};

/* Root of the tables; false: a PDPTE that is not present. */
static bool walk_root(const struct vcpu *c, gva_t address, struct walk *w)
{
	w->index_bits = w->paging == PAGING_32 ? 10 : 9;
	w->nx = 0;
	switch (w->paging) {
	case PAGING_32:
		w->level = 2;
		w->table = c->cr3 & 0xfffff000;
		return true;
	case PAGING_PAE:
		w->level = 2;
		w->table = c->pdptr[address >> 30 & 3] & PTE_ADDRESS;
		return c->pdptr[address >> 30 & 3] & PTE_PRESENT;
	default:
		w->level = w->paging == PAGING_5 ? 5 : 4;
		w->table = c->cr3 & PTE_ADDRESS;
		return true;
	}
}

enum step { STEP_DONE, STEP_FAULT, STEP_AGAIN };

/* The page is found: rights, A and D. */
static enum step walk_leaf(struct vcpu *c, struct entry *e, enum access access,
			   enum tlb_view view, bool look_only, struct page *page, uint32_t *error)
{
	unsigned need = right_for(access);
	uint64_t bits = PTE_ACCESSED | (access == ACCESS_WRITE ? PTE_DIRTY : 0);

	if (!(page_rights(c, view, page) & need)) {
		*error |= PF_PRESENT;
		if (key_denies(c, view, page) & need)
			*error |= PF_KEY;
		return STEP_FAULT;
	}
	if (!look_only && !entry_set(c, e, bits))
		return STEP_AGAIN;
	page->dirty = e->value & PTE_DIRTY;
	return STEP_DONE;
}

static enum step walk_tables(struct vcpu *c, gva_t address, enum access access,
			     enum tlb_view view, bool look_only, struct page *page,
			     struct walk *w, uint32_t *error)
{
	for (;; w->level--) {
		unsigned shift = 12 + w->index_bits * (w->level - 1);
		uint64_t index = bits_of(address, shift, w->index_bits);
		bool is_8_bytes = w->paging != PAGING_32, large;
		struct entry e = entry_read(c, w->table + (index << (is_8_bytes ? 3 : 2)), is_8_bytes,
					    look_only);

		if (!e.host || !(e.value & PTE_PRESENT))
			return STEP_FAULT;
		large = e.value & PTE_LARGE && w->level > 1 &&
			level_has_large(c, w->paging, w->level);
		if (reserved_bits(c, w->paging, w->level, e.value, large)) {
			*error |= PF_PRESENT | PF_RESERVED;
			return STEP_FAULT;
		}
		page->writable &= !!(e.value & PTE_WRITE);
		page->user &= !!(e.value & PTE_USER);
		page->accessed &= !!(e.value & PTE_ACCESSED);
		w->nx |= is_8_bytes ? e.value & PTE_NX : 0;
		if (large || w->level == 1) {
			gpa_t base = large ? large_page_address(w->paging, shift, e.value)
					   : e.value & PTE_ADDRESS;

			page->gpa = base | (address & (BIT(shift) - 1));
			page->executable = !w->nx;
			page->global = e.value & PTE_GLOBAL && c->cr4 & CR4_PGE;
			page->key = (uint8_t)bits_of(e.value, 59, 4);
			page->shift = (uint8_t)shift;
			return walk_leaf(c, &e, access, view, look_only, page, error);
		}
		if (!look_only && !entry_set(c, &e, PTE_ACCESSED))
			return STEP_AGAIN;
		w->table = e.value & (is_8_bytes ? PTE_ADDRESS : 0xfffff000);
	}
}

bool walk(struct vcpu *c, gva_t address, enum access access, enum tlb_view view, bool look_only,
	  struct page *page, uint32_t *error)
{
	struct walk w = { .paging = paging_of(c) };
	enum step step;

	if (w.paging == PAGING_NONE) {
		*page = (struct page){ .gpa = address, .writable = true, .user = true,
				       .executable = true, .accessed = true, .dirty = true, .shift = 12 };
		return true;
	}
	do {
		*page = (struct page){ .writable = true, .user = true, .accessed = true };
		*error = fault_code(c, access, view);
		if (!walk_root(c, address, &w))
			return false;
		step = walk_tables(c, address, access, view, look_only, page, &w, error);
	} while (step == STEP_AGAIN);
	return step == STEP_DONE;
}

bool mmu_translate(struct vcpu *c, gva_t address, enum access access, bool user,
		   struct translation *out)
{
	enum tlb_view view = user ? VIEW_USER : VIEW_KERNEL_AC;
	struct page page;

	*out = (struct translation){ 0 };
	if (c->mode & MODE_LONG && !address_is_canonical(c, address))
		return false;
	if (!walk(c, address, access, view, true, &page, &out->error))
		return false;
	out->gpa = page.gpa;
	out->writable = page.writable;
	out->user = page.user;
	out->executable = page.executable;
	return true;
}

bool mmu_load_pdptrs(struct vcpu *c, uint64_t cr3)
{
	uint64_t entry[4], reserved = reserved_address_bits(c) | 0x1e6 | ~bits_of(~0ull, 0, 52);

	if (gpa_read(c->vm, cr3 & 0xffffffe0, entry, sizeof(entry)))
		return false;
	for (unsigned i = 0; i < 4; i++)
		if (entry[i] & PTE_PRESENT && entry[i] & reserved)
			return false;
	memcpy(c->pdptr, entry, sizeof(entry));
	return true;
}
