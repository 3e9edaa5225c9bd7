/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Guest memory as instructions see it.
 *
 * Addresses are linear; segmentation is the caller's (interp/address.h). Every
 * access may unwind: page fault, MMIO exit, stale code. An access checks all its
 * pages before it changes anything, so it happens whole or not at all.
 */
#ifndef ENGINE_MMU_H
#define ENGINE_MMU_H

#include "base/bytes.h"
#include "engine/vm.h"

enum access { ACCESS_READ = 0, ACCESS_WRITE = PF_WRITE, ACCESS_FETCH = PF_FETCH };

/* Out of line: TLB miss, page crossing, MMIO, dirty logging, code pages. size 1 to 8. */
uint64_t mem_read_slow(struct vcpu *c, gva_t address, unsigned size);
void mem_write_slow(struct vcpu *c, gva_t address, unsigned size, uint64_t value);

static ALWAYS_INLINE void *tlb_pointer(const struct tlb_entry *e, gva_t address)
{
	return (void *)(uintptr_t)(address + e->addend);
}

/* The fast path: NULL when the slow one is needed. One compare also catches page crossings. */
static ALWAYS_INLINE void *tlb_read_pointer(struct vcpu *c, gva_t address, unsigned size)
{
	struct tlb_entry *e = &c->tlb_now[address >> PAGE_SHIFT & (TLB_ENTRIES - 1)];

	if (likely(address - e->read <= PAGE_BYTES - size))
		return tlb_pointer(e, address);
	return NULL;
}

static ALWAYS_INLINE void *tlb_write_pointer(struct vcpu *c, gva_t address, unsigned size)
{
	struct tlb_entry *e = &c->tlb_now[address >> PAGE_SHIFT & (TLB_ENTRIES - 1)];

	if (likely(address - e->write <= PAGE_BYTES - size))
		return tlb_pointer(e, address);
	return NULL;
}

static ALWAYS_INLINE uint64_t mem_read(struct vcpu *c, gva_t address, unsigned size)
{
	const void *host = tlb_read_pointer(c, address, size);

	return likely(host) ? load_le(host, size) : mem_read_slow(c, address, size);
}

static ALWAYS_INLINE void mem_write(struct vcpu *c, gva_t address, unsigned size, uint64_t value)
{
	void *host = tlb_write_pointer(c, address, size);

	if (likely(host))
		store_le(host, value, size);
	else
		mem_write_slow(c, address, size, value);
}

/* Any number of bytes (vector operands, FXSAVE, descriptors): both pages are checked first. */
void mem_read_bytes(struct vcpu *c, gva_t address, void *to, unsigned size);
void mem_write_bytes(struct vcpu *c, gva_t address, const void *from, unsigned size);
/* Faults now if a later write of these bytes would; changes nothing. */
void mem_check_write(struct vcpu *c, gva_t address, unsigned size);

/*
 * A host pointer for an atomic read-modify-write of 1 to 16 bytes, dirty bit and log already set;
 * NULL if no single host instruction should do it (MMIO, across cache lines): then use
 * mem_read + mem_write between split_lock() and split_unlock().
 */
void *mem_rmw_pointer(struct vcpu *c, gva_t address, unsigned size);
void split_lock(struct vcpu *c);
void split_unlock(struct vcpu *c); /* harmless when not held: unwinding calls it always */

/*
 * For REP string instructions: a host pointer good for *bytes (>= 1, up to the end of the page)
 * from `address` upwards, or NULL where elements must go one by one.
 */
void *mem_span(struct vcpu *c, gva_t address, enum access access, unsigned *bytes);

/* As the processor itself: supervisor rights whatever the CPL (descriptor tables, TSS). */
uint64_t mem_read_system(struct vcpu *c, gva_t address, unsigned size);
void mem_write_system(struct vcpu *c, gva_t address, unsigned size, uint64_t value);
/* With the rights of `cpl`: stacks of another privilege level. */
uint64_t mem_read_as(struct vcpu *c, uint8_t cpl, gva_t address, unsigned size);
void mem_write_as(struct vcpu *c, uint8_t cpl, gva_t address, unsigned size, uint64_t value);

/*
 * Code. Returns the host address of the byte at linear `address` and how many more lie in its
 * page; *page_code is that page's entry of memslot.code. NULL where there is no RAM or ROM
 * behind the page (fetch from MMIO: *bytes is 0). Unwinds with #PF.
 */
const uint8_t *mmu_fetch(struct vcpu *c, gva_t address, unsigned *bytes, gpa_t *gpa,
			 uint32_t **page_code);
/* The page_code that CPL 3 fetches from there, a page; NULL: it faults, or would tell the page tables. */
const uint32_t *mmu_look_at_code(struct vcpu *c, gva_t address, gpa_t *gpa);
/* The page's bytes are about to be decoded: from now on writes to it are seen. Returns the
 * number blocks are to be stamped with. May wait for other vCPUs to drop their write entries, and
 * then unwinds (RESTART): `page_code` and host pointers may have gone stale meanwhile. */
uint32_t mmu_watch_code(struct vcpu *c, gpa_t gpa, uint32_t *page_code);

/* Translations. */
void tlb_flush_all(struct vcpu *c);             /* globals too */
void tlb_flush_non_global(struct vcpu *c);      /* MOV CR3 */
void tlb_flush_page(struct vcpu *c, gva_t address);
/* PKRU is another, in these bits. Fetches do not ask it, so decoded code stays. */
void tlb_use_keys(struct vcpu *c, uint32_t changed);
uint32_t mmu_user_keys(const struct vcpu *c); /* PKRU */
void tlb_flush_space(struct vcpu *c, unsigned pcid);
/* MOV CR3 with CR4.PCIDE; `keep`: what is known of that PCID is still good. */
void tlb_switch_space(struct vcpu *c, unsigned pcid, bool keep);
int tlb_init(struct vcpu *c); /* 0 or -ENOMEM */
void tlb_fini(struct vcpu *c);
void tlb_select_view(struct vcpu *c);           /* after CPL, RFLAGS.AC or CR4.SMAP changed */

struct translation {
	gpa_t gpa;
	bool writable, user, executable;
	uint32_t error; /* page-fault error code when there is no translation */
};
/* Walks the tables without side effects (KVM_TRANSLATE, debuggers). False: `error` says why. */
bool mmu_translate(struct vcpu *c, gva_t address, enum access access, bool user,
		   struct translation *out);
/* Loads and checks the PDPTEs after a write of CR3/CR0/CR4 under PAE; false: #GP is due. */
bool mmu_load_pdptrs(struct vcpu *c, uint64_t cr3);
unsigned mmu_physical_bits(const struct vcpu *c);

/* Guest-physical memory, RAM only: 0 or -EFAULT. For PV pages, page walks, the LAPIC's helpers. */
int gpa_read(struct vm *vm, gpa_t gpa, void *to, size_t bytes);
int gpa_write(struct vm *vm, gpa_t gpa, const void *from, size_t bytes); /* dirty log, code pages */
int gpa_exchange(struct vm *vm, gpa_t gpa, uint8_t value); /* the byte before, or -EFAULT */
const struct memslot *memslot_find(const struct memslots *slots, gpa_t gpa);

#endif
