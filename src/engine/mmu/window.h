/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * The window: guest user pages at the guest's own addresses in our address space, or some hundred MiB above
 * them, where translated code can use them without a look into the TLB.
 *
 * One address space of the guest at a time has a vCPU's window: the one that has been computing for a
 * while. A page is shown as the TLB would have it for CPL 3, and hidden or made read-only where such an
 * entry would have to go; after a flush all are looked at again. What is not shown is a host fault, which leads to the instruction's slow path.
 *
 * Pages are shown only where the table allows it: all in a page of it may be read, or nothing. Translated
 * code reads the byte for A, which is index bits 16 to 47 of A, and may then use addresses A + d, where |d| is
 * at most WINDOW_REACH: all that these reach is reserved, so that nothing else of the process is there. An A
 * with bits 48 to 63 is not canonical and far enough from what is to fault; with bit 47 there is nothing.
 * A byte that may not be read is a host fault too. Code looks anew in each block, but for what jit/window.c
 * says, and only this vCPU's thread takes pages of the table away, outside translated code.
 */
#ifndef ENGINE_WINDOW_H
#define ENGINE_WINDOW_H

#include "engine/vm.h"

struct port_fault;

enum {
	WINDOW_SHIFT = 16,       /* from addresses to bytes of the table */
	WINDOW_TABLE_BITS = 32,
	WINDOW_GRANULE_SHIFT = WINDOW_SHIFT + PAGE_SHIFT, /* to its pages */
	WINDOW_REACH = 32 << 20
};

/* How far above the guest's addresses its pages are in this process: programs at fixed addresses have
 * their heaps in the GiB behind them. */
static inline uint64_t window_shift(const struct vcpu *c)
{
	static const uint32_t shifts[] = { 0, 0x50000000, 0x28000000, 0x68000000 };

	return shifts[c->index % ARRAY_LEN(shifts)];
}

/* The vCPU itself, with the table behind it if there is room for that. NULL: no memory. */
struct vcpu *window_alloc_vcpu(const struct vm *vm);
void window_free_vcpu(struct vcpu *c);

int window_init(struct vcpu *c); /* 0 or -errno: there is no window then */
void window_fini(struct vcpu *c);

/* An interrupt came while the guest computed: time to think about whose the window is. */
void window_tick(struct vcpu *c);
/* Gives the places back if the owner does not compute and another vCPU wants some. */
void window_lend(struct vcpu *c);
/* vm_options.window is 2: the current address space has it at once. */
void window_take_now(struct vcpu *c);
/* Translated code builds on RSP, FS' base and itself being where pages may be shown: before it is entered, or
 * goes on. */
bool window_has(struct vcpu *c, uint64_t address);
static inline bool window_holds_address(struct vcpu *c, uint64_t address, uint64_t *last)
{
	uint64_t number = address >> WINDOW_GRANULE_SHIFT;

	if (number == *last)
		return true;
	if (!window_has(c, address))
		return false;
	*last = number;
	return true;
}
static inline bool window_holds_data(struct vcpu *c)
{
	return !c->windowed || (window_holds_address(c, c->gpr[RSP], &c->window_stack) &&
				window_holds_address(c, c->seg[FS].base, &c->window_fs));
}
static inline bool window_holds_code(struct vcpu *c, uint64_t rip)
{
	return rip >> 63 || window_holds_address(c, rip, &c->window_code);
}
static inline bool window_holds(struct vcpu *c)
{
	return !c->windowed || (window_holds_data(c) && window_holds_code(c, c->rip));
}
bool window_admit_code(struct vcpu *c, uint64_t rip);
bool window_admit_all(struct vcpu *c); /* false: the window is gone */
/* Before translated code goes on, if window_is_unsettled(): pages are held against the guest's page
 * tables again, and that of vcpu.window_page, which was not there, is shown if it can be now. */
void window_settle(struct vcpu *c);
static inline bool window_is_unsettled(const struct vcpu *c)
{
	return c->window_is_stale || c->window_page;
}
/* Translated code had a fault. */
enum window_fault {
	WINDOW_OPENED, /* what it wanted is there now */
	WINDOW_MISSED, /* the page is not: vcpu.window_page is set */
	WINDOW_CLOSED  /* the address may not be used so */
};
enum window_fault window_fault(struct vcpu *c, const struct port_fault *fault);

/* What the TLB forgets (mmu/tlb.c). */
void window_forget_all(struct vcpu *c, const struct tlb_space *space); /* of that space */
void window_forget_page(struct vcpu *c, gva_t address);
void window_forget_writes(struct vcpu *c, const uint8_t *host); /* to that page */

#endif
