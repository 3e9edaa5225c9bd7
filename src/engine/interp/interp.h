/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * The interpreter: runs decoded blocks.
 *
 * A handler ends with `return next(c, i);` (falls through to the following instruction), or, if it
 * changed RIP or anything in c->mode, with `return end_block(c, new_rip);`. `next` at a block's
 * last instruction leads to an insn whose exec returns to the loop, so handlers need not care.
 */
#ifndef ENGINE_INTERP_H
#define ENGINE_INTERP_H

#include "engine/decode/insn.h"
#include "engine/unwind.h"

/*
 * Runs guest code until c->requests is non-zero, c->run->immediate_exit is set (looked at with
 * c->requests: the VMM's signal handlers set it), c->exit_ready is set, the vCPU halts, or an event
 * is to be delivered (c->raised). Call with c->rip valid; it is valid again after.
 */
void interp_run(struct vcpu *c);

/* Exactly one instruction (of a REP: at least one iteration), whatever c->requests says. It
 * finishes an instruction whose I/O the VMM has answered, also when KVM_RUN is to return at once. */
void interp_step(struct vcpu *c);

int interp_init(struct vcpu *c); /* 0 or -ENOMEM */
void interp_fini(struct vcpu *c);
/* Drops every decoded block: CPUID or memory slots changed. By the vCPU's thread outside a block,
 * or with the vCPU not running. */
void interp_flush(struct vcpu *c);
/* The vCPU slept. If it does so nearly all the time, memory goes back to the host. */
void interp_slept(struct vcpu *c, uint64_t from_ns, uint64_t to_ns);
/* Forgets linear -> block shortcuts: called by tlb_flush_all and tlb_flush_non_global. Also makes
 * decoded pages be compared with memory before they run again, if a device may have written them. */
void interp_flush_lookup(struct vcpu *c);
void interp_flush_lookup_page(struct vcpu *c, gva_t address); /* the same, by tlb_flush_page */
void interp_flush_lookup_space(struct vcpu *c);  /* the same for c->space */
void interp_use_space(struct vcpu *c);           /* c->space or its epoch is another */

static ALWAYS_INLINE void next(struct vcpu *c, const struct insn *i)
{
	i++;
	c->insn = i;
	return i->exec(c, i);
}

/* An instruction follows in the block, before anything looks at requests. What stands behind a
 * block's last one has no operand size. */
static ALWAYS_INLINE bool interp_goes_on(const struct insn *i)
{
	return i[1].opsize;
}

/* RIP of the executing instruction, and of the one after it. Truncated to the code size. */
static ALWAYS_INLINE uint64_t insn_rip(const struct vcpu *c, const struct insn *i)
{
	uint64_t rip = c->gpr[GPR_BLOCK] + i->start;

	return c->mode & MODE_CODE64 ? rip : (uint32_t)rip;
}

static ALWAYS_INLINE uint64_t next_rip(const struct vcpu *c, const struct insn *i)
{
	uint64_t rip = c->gpr[GPR_BLOCK] + i->start + i->length;

	return c->mode & MODE_CODE64 ? rip : (uint32_t)rip;
}

/* Leaves the block; the next instruction is at `rip`. */
static ALWAYS_INLINE void end_block(struct vcpu *c, uint64_t rip)
{
	c->rip = rip;
	c->link = 0;
}

/*
 * For mmu/ and io: the running block is left after the current instruction. To be called when
 * - a write of this vCPU hit a page with decoded code (so that the very next instruction is decoded
 *   anew if it was changed; no unwinding needed),
 * - a port or MMIO access was answered, from the log or at once (c->io_done is or may be non-zero):
 *   the loop then calls io_commit before the next instruction.
 * Handlers need not do anything. Harmless outside a block. Cheap.
 */
void interp_stop_after(struct vcpu *c);

/* c->mode from segments, control registers and CPL; also selects the TLB view. */
void mode_update(struct vcpu *c);
/* `bytes` at a guest-physical address, in one page with decoded code, are about to be written by this
 * vCPU, the only one: false if no block was decoded from them, and nobody has to be told. */
bool interp_needs_to_know(struct vcpu *c, gpa_t gpa, unsigned bytes);
/* The page, to be reached by a linear address in this epoch, holds what code was decoded from when its
 * number was `stamp`: it is compared once in an epoch. */
bool interp_code_is(struct vcpu *c, gva_t address, gpa_t gpa, uint32_t stamp);
/* A block here may not be whole within CS. */
bool code_is_near_limit(const struct vcpu *c);

#endif
