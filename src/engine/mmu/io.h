/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Port and memory-mapped I/O of the current instruction.
 *
 * An instruction that needs the VMM unwinds; when KVM_RUN comes back it is executed again from
 * the start, and the accesses it had already done are answered from c->io_log. So handlers are
 * written as if every access returned at once. The log is emptied when an instruction, or one
 * iteration of a REP, completes (io_commit).
 *
 * A write does not unwind: it sets c->exit_ready, the instruction completes, and the executor leaves
 * after it (interp_stop_after). The next access finds exit_ready set and unwinds. So RIP at a write
 * exit is behind the instruction, as with the kernel's KVM, and at a read exit on it.
 */
#ifndef ENGINE_IO_H
#define ENGINE_IO_H

#include "engine/vm.h"

uint64_t mmio_read(struct vcpu *c, gpa_t gpa, unsigned size);
void mmio_write(struct vcpu *c, gpa_t gpa, unsigned size, uint64_t value);
uint32_t port_read(struct vcpu *c, uint16_t port, unsigned size);
void port_write(struct vcpu *c, uint16_t port, unsigned size, uint32_t value);

/*
 * REP INS/OUTS in one exit: up to `count` elements of `size` bytes (at most a page in all).
 * port_read_many returns how many elements it put in `to`; port_write_many how many it took. The
 * caller updates its registers by that before its next access.
 */
unsigned port_read_many(struct vcpu *c, uint16_t port, unsigned size, void *to, unsigned count);
unsigned port_write_many(struct vcpu *c, uint16_t port, unsigned size, const void *from,
			 unsigned count);

/* KVM_RUN again: takes the VMM's answer. True: the instruction at c->rip is to be finished first. */
bool io_complete(struct vcpu *c);

static inline void io_commit(struct vcpu *c)
{
	c->io_done = 0;
	c->io_next = 0;
}

#endif
