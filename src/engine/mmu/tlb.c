/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * The software TLB: guest pages to host addresses, one direct-mapped table per privilege view.
 *
 * A tag is page | generation; a flush takes the next generation, and every 4095 flushes clear the
 * tables. A tag is there only if that access may go straight to memory: no tag for writing where
 * the page is clean, read-only, or holds decoded code.
 *
 * Manual: SDM 3, 4.10 (caching translation information).
 * Not modelled: PCIDs and global pages are flushed with the rest; that is allowed, only slower.
 */
#include "engine/interp/address.h"
#include "engine/interp/interp.h"
#include "engine/mmu/internal.h"

/* A table that never hits, for times when every access must be looked at. */
static const struct tlb_entry no_translations[TLB_ENTRIES];

enum tlb_view view_of_system(const struct vcpu *c)
{
	return c->cr4 & CR4_SMAP ? VIEW_KERNEL : VIEW_KERNEL_AC;
}

enum tlb_view view_now(const struct vcpu *c)
{
	if (c->cpl == 3)
		return VIEW_USER;
	return c->rflags & F_AC ? VIEW_KERNEL_AC : view_of_system(c);
}

bool mmu_watches_data(const struct vcpu *c)
{
	bool by_debugger = c->debug.control & KVM_GUESTDBG_USE_HW_BP;
	uint64_t dr7 = by_debugger ? c->debug.arch.debugreg[7] : c->dr[7];

	if (likely(!(dr7 & 0xff)))
		return false;
	for (unsigned i = 0; i < 4; i++)
		if (dr7 >> (2 * i) & 3 && dr7 >> (16 + 4 * i) & 1)
			return true;
	return false;
}

void tlb_select_view(struct vcpu *c)
{
	if (unlikely(c->mode & MODE_ALIGN || mmu_watches_data(c)))
		c->tlb_now = (struct tlb_entry *)(uintptr_t)no_translations; /* only read */
	else
		c->tlb_now = c->tlb[view_now(c)];
}

void tlb_flush_all(struct vcpu *c)
{
	if (++c->tlb_generation == PAGE_BYTES) {
		memset(c->tlb, 0, sizeof(c->tlb));
		c->tlb_generation = 1;
	}
	c->large_pages = 0;
	c->huge_pages = 0;
	interp_flush_lookup(c);
}

void tlb_flush_non_global(struct vcpu *c)
{
	tlb_flush_all(c);
}

static uint64_t bloom(gva_t address, unsigned shift)
{
	return BIT((address >> shift ^ address >> (shift + 6)) & 63);
}

void tlb_flush_page(struct vcpu *c, gva_t address)
{
	unsigned index = address >> PAGE_SHIFT & (TLB_ENTRIES - 1);

	if (c->large_pages & bloom(address, 21) || c->huge_pages & bloom(address, 30)) {
		tlb_flush_all(c);
		return;
	}
	for (unsigned view = 0; view < VIEW_COUNT; view++)
		c->tlb[view][index] = (struct tlb_entry){ 0 };
	interp_flush_lookup_page(c, address);
}

static void note_page_size(struct vcpu *c, gva_t address, unsigned shift)
{
	if (shift == 22) /* two bits: either half may be named by INVLPG */
		c->large_pages |= bloom(address, 21) | bloom(address ^ BIT(21), 21);
	else if (shift == 21)
		c->large_pages |= bloom(address, 21);
	else if (shift > 22)
		c->huge_pages |= bloom(address, 30);
}

/* The access may go ahead at `host`; records what else may. */
static void remember(struct vcpu *c, enum tlb_view view, gva_t address, const struct page *page,
		     uint8_t *host, bool may_write)
{
	struct tlb_entry *e = &c->tlb[view][address >> PAGE_SHIFT & (TLB_ENTRIES - 1)];
	uint64_t tag = (address & PAGE_MASK) | c->tlb_generation;
	unsigned rights = page_rights(c, view, page);

	e->offset = (uintptr_t)host - address;
	e->read = rights & RIGHT_READ ? tag : 0;
	e->fetch = rights & RIGHT_FETCH ? tag : 0;
	e->write = rights & RIGHT_WRITE && may_write ? tag : 0;
	note_page_size(c, address, page->shift);
}

static uint64_t tag_for(const struct tlb_entry *e, enum access access)
{
	return access == ACCESS_WRITE ? e->write : access == ACCESS_FETCH ? e->fetch : e->read;
}

struct place tlb_resolve(struct vcpu *c, enum tlb_view view, gva_t address, enum access access)
{
	struct tlb_entry *e = &c->tlb[view][address >> PAGE_SHIFT & (TLB_ENTRIES - 1)];
	uint64_t tag = (address & PAGE_MASK) | c->tlb_generation, number;
	const struct memslot *slot;
	struct page page;
	uint8_t *host;
	uint32_t error;
	bool was_written;

	if (tag_for(e, access) == tag)
		return (struct place){ .host = (uint8_t *)(address + e->offset) };
	c->count_tlb_misses++;
	if (!walk(c, address, access, view, false, &page, &error))
		raise_page_fault(c, address, error);
	slot = memslot_find(__atomic_load_n(&c->vm->slots, __ATOMIC_ACQUIRE), page.gpa);
	if (!slot || (access == ACCESS_WRITE && slot->flags & KVM_MEM_READONLY))
		return (struct place){ .gpa = page.gpa };
	host = slot->host + (page.gpa - slot->base);
	number = (page.gpa - slot->base) / PAGE_BYTES;
	slot_probe(c, slot, number);
	/* A read makes the page writable too only if a write has nothing more to tell anybody. */
	was_written = e->write == tag && (uint8_t *)(address + e->offset) == host;
	if (access == ACCESS_WRITE)
		slot_note_write(c, slot, number);
	remember(c, view, address, &page, host, access == ACCESS_WRITE || was_written);
	return (struct place){ .host = host };
}

const uint8_t *mmu_fetch(struct vcpu *c, gva_t address, unsigned *bytes, gpa_t *gpa,
			 uint32_t **page_code)
{
	enum tlb_view view = view_now(c);
	const struct memslot *slot;
	struct page page;
	uint32_t error;

	if (c->mode & MODE_CODE64) {
		if (!address_is_canonical(c, address))
			raise_gp(c);
	} else {
		address = (uint32_t)address;
	}
	if (!walk(c, address, ACCESS_FETCH, view, false, &page, &error))
		raise_page_fault(c, address, error);
	*gpa = page.gpa;
	slot = memslot_find(__atomic_load_n(&c->vm->slots, __ATOMIC_ACQUIRE), page.gpa);
	if (!slot) {
		*bytes = 0;
		return NULL;
	}
	slot_probe(c, slot, (page.gpa - slot->base) / PAGE_BYTES);
	note_page_size(c, address, page.shift);
	*bytes = (unsigned)(PAGE_BYTES - (address & ~PAGE_MASK));
	*page_code = &slot->code[(page.gpa - slot->base) / PAGE_BYTES];
	return slot->host + (page.gpa - slot->base);
}
