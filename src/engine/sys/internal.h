/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/* What the files of sys/ share: descriptors, segment loads, stacks, small helpers. */
#ifndef ENGINE_SYS_INTERNAL_H
#define ENGINE_SYS_INTERNAL_H

#include "engine/interp/address.h"
#include "engine/interp/exec.h"
#include "engine/interp/flags.h"
#include "engine/irqchip/irqchip.h"
#include "engine/sys/features.h"
#include "engine/sys/sys.h"

/* Types of system descriptors. [SDM 3 table 3-2] */
enum {
	TYPE_TSS16 = 1, TYPE_LDT, TYPE_TSS16_BUSY, TYPE_CALL16, TYPE_TASK_GATE, TYPE_INT16,
	TYPE_TRAP16, TYPE_TSS32 = 9, TYPE_TSS32_BUSY = 11, TYPE_CALL32, TYPE_INT32 = 14, TYPE_TRAP32,
	TYPE_BUSY = 2, /* the bit that makes a TSS busy */
};

struct descriptor {
	gva_t address; /* of its first byte */
	uint64_t low;
	uint64_t high; /* second half of a 16-byte one, else 0 */
};

static inline uint32_t descriptor_rights(const struct descriptor *d)
{
	return d->low >> 40 & 0xf0ff;
}

static inline unsigned descriptor_type(const struct descriptor *d)
{
	return d->low >> 40 & 0x1f; /* with the S bit: system descriptors are below 16 */
}

static inline unsigned descriptor_dpl(const struct descriptor *d)
{
	return d->low >> 45 & 3;
}

static inline bool descriptor_present(const struct descriptor *d)
{
	return d->low >> 47 & 1;
}

static inline bool descriptor_is_code(const struct descriptor *d)
{
	return (d->low >> 40 & (SEG_S | SEG_CODE)) == (SEG_S | SEG_CODE);
}

static inline bool descriptor_is_writable_data(const struct descriptor *d)
{
	return (d->low >> 40 & (SEG_S | SEG_CODE | SEG_WRITE)) == (SEG_S | SEG_WRITE);
}

static inline bool is_conforming(uint32_t rights)
{
	return (rights & (SEG_S | SEG_CODE | SEG_DOWN)) == (SEG_S | SEG_CODE | SEG_DOWN);
}

static inline uint16_t gate_selector(const struct descriptor *d)
{
	return d->low >> 16;
}

static inline uint64_t gate_offset(const struct descriptor *d)
{
	return (d->low & 0xffff) | (d->low >> 32 & 0xffff0000) | d->high << 32;
}

static inline bool is_null(uint16_t selector)
{
	return !(selector & 0xfffc);
}

static inline bool is_canonical(uint64_t address, const struct vcpu *c)
{
	unsigned bits = c->cr4 & CR4_LA57 ? 57 : 48;

	return (uint64_t)sign_extend(address, bits) == address;
}

/* What registers may hold (bases, MSRs, INVLPG's operand): as wide as the processor's addresses
 * ever get, whatever paging mode is on. [SDM 3 4.5.2] */
static inline bool is_canonical_base(uint64_t address, const struct vcpu *c)
{
	unsigned bits = has_feature(c, FEATURE_LA57) ? 57 : 48;

	return (uint64_t)sign_extend(address, bits) == address;
}

static inline bool is_protected(const struct vcpu *c) /* and not virtual-8086 */
{
	return (c->mode & (MODE_PROTECTED | MODE_VM86)) == MODE_PROTECTED;
}

static inline unsigned iopl(const struct vcpu *c)
{
	return (c->rflags & F_IOPL) >> 12;
}

static inline void require_cpl0(struct vcpu *c)
{
	if (c->cpl)
		raise_gp(c);
}

/* Error code naming a selector; EXT is set while an event other than INT n is being delivered. */
uint32_t selector_error(const struct vcpu *c, uint16_t selector);

/* descriptors.c. False: beyond the table's limit, or no LDT. */
bool descriptor_find(struct vcpu *c, uint16_t selector, struct descriptor *d);
bool descriptor_find_wide(struct vcpu *c, uint16_t selector, struct descriptor *d); /* 16 bytes */
/* The same, but raises `vector` with the selector as error code. */
void descriptor_get(struct vcpu *c, uint16_t selector, uint8_t vector, struct descriptor *d);
void descriptor_set_accessed(struct vcpu *c, struct descriptor *d);
void descriptor_set_busy(struct vcpu *c, struct descriptor *d, bool busy);
void segment_unpack(const struct descriptor *d, uint16_t selector, struct segment *to);
void segment_set_null(struct segment *to, uint16_t selector);
void segment_set_vm86(uint16_t selector, struct segment *to);
/* The segment a selector makes in real or virtual-8086 mode, whichever is on. */
void segment_set_real(const struct vcpu *c, unsigned reg, uint16_t selector, struct segment *to);

/* segments.c. Checks a load of DS, ES, FS, GS or SS with `cpl`, raising what is due; in `to`. */
void segment_prepare(struct vcpu *c, unsigned reg, uint16_t selector, struct segment *to);
/* SS for `cpl`, from a TSS or an IRET/RET frame: `vector` is raised for a bad selector. */
void segment_prepare_stack(struct vcpu *c, uint16_t selector, uint8_t cpl, uint8_t vector,
			   struct segment *to);
/* DS, ES, FS, GS: `vector` is #GP, or #TS in a task switch. */
void segment_prepare_data(struct vcpu *c, uint16_t selector, uint8_t vector, struct segment *to);
/* After a return to an outer level: data segments the new CPL may not use become null. */
void segments_drop_privileged(struct vcpu *c);

/*
 * far.c. Checks a code segment for a transfer and makes CS of it. `offset` must be in its limit.
 * The descriptor's own checks (type, privilege) are the caller's.
 */
void code_segment_prepare(struct vcpu *c, struct descriptor *d, uint16_t selector, uint8_t cpl,
			  struct segment *to);
void code_offset_check(struct vcpu *c, const struct segment *cs, uint64_t offset);

/* stack.c: a stack being pushed to or popped from; RSP is committed by the caller. */
struct stack {
	struct segment ss;
	uint64_t sp; /* all of RSP: pushes and pops change as much of it as SS.B says */
	uint8_t cpl;
	bool wide;    /* 64-bit: no segment, addresses must be canonical */
	bool current; /* the vCPU's own: faults are #SS(0) */
};
void stack_current(struct vcpu *c, struct stack *s);
void stack_other(struct vcpu *c, struct stack *s, const struct segment *ss, uint64_t sp,
		 uint8_t cpl);
void stack_push(struct vcpu *c, struct stack *s, unsigned size, uint64_t value);
uint64_t stack_pop(struct vcpu *c, struct stack *s, unsigned size);
uint64_t stack_peek(struct vcpu *c, const struct stack *s, unsigned above, unsigned size);
void stack_drop(struct stack *s, int bytes); /* RET n */
/* SS:RSP for `cpl` from the TSS; #TS. */
void tss_stack_read(struct vcpu *c, uint8_t cpl, uint16_t *ss, uint64_t *sp);

/* task.c. */
enum task_switch_reason { TASK_JUMP, TASK_CALL, TASK_RETURN, TASK_EVENT };
/*
 * Switches to the task of `selector`, whose descriptor's checks are done here with `vector`.
 * `return_rip` is what the old task resumes at. Sets c->rip. Faults in the new task's context
 * are left in c->raised.
 */
void task_switch(struct vcpu *c, uint16_t selector, enum task_switch_reason reason,
		 uint64_t return_rip, const struct event *event);
void task_gate_follow(struct vcpu *c, const struct descriptor *gate, enum task_switch_reason reason,
		      uint64_t return_rip, const struct event *event);

/* events.c: INT n, INT3, INTO, INT1 behind which `i` ends; leaves c->rip at the handler. */
void event_software(struct vcpu *c, const struct insn *i, uint8_t vector);
/* A window opened (IF, a shadow's end, NMIs unmasked): if something waits, the run loop looks. */
void events_recheck(struct vcpu *c);
/* The run loop must look at once: c->raised, exit_ready or mp_state was set. */
void events_leave(struct vcpu *c);
void nmi_unmask(struct vcpu *c);

/* debug.c */
NORETURN void debug_raise(struct vcpu *c, uint8_t kind, uint64_t dr6_bits); /* #DB, or exit */
gva_t linear_rip(const struct vcpu *c, uint64_t rip);
void debug_merge(struct vcpu *c, uint64_t dr6_bits); /* DR6 as a delivered #DB leaves it */
bool debug_armed(const struct vcpu *c);
/* An exception the debugger wants to see instead of the guest: KVM_EXIT_DEBUG, unwinds. */
bool debug_wants(const struct vcpu *c, uint8_t vector);
void debug_exit(struct vcpu *c, uint8_t vector, gva_t pc, uint64_t dr6_bits);

/* mtrr.c, cpuid.c, cpuid_host.c, msr.c */
bool mtrr_msr(uint32_t index);
bool mtrr_read(struct vcpu *c, uint32_t index, uint64_t *value);
bool mtrr_write(struct vcpu *c, uint32_t index, uint64_t value);
bool pat_valid(uint64_t value);
bool cpuid_host(uint32_t leaf, uint32_t subleaf, uint32_t out[4]); /* false: no CPUID here */
const struct kvm_cpuid_entry2 *cpuid_find(const struct vcpu *c, uint32_t leaf, uint32_t subleaf);
bool cpuid_is_amd(const struct vcpu *c);
uint64_t arch_capabilities_offered(void);
void unimplemented(const struct vcpu *c, const char *what, uint64_t value);

/* General-purpose registers with x86's merge rules. */
static inline void gpr_write(struct vcpu *c, unsigned reg, unsigned size, uint64_t value)
{
	if (size == 8)
		c->gpr[reg] = value;
	else if (size == 4)
		c->gpr[reg] = (uint32_t)value;
	else
		c->gpr[reg] = (c->gpr[reg] & ~0xffffull) | (uint16_t)value;
}

static inline void flag_zf_set(struct vcpu *c, bool zf)
{
	flags_load_status(c, (flags_status(c) & ~(uint32_t)F_ZF) | (zf ? F_ZF : 0));
}

/* Ends a handler that may have changed c->mode but not RIP. */
static inline void finish(struct vcpu *c, const struct insn *i, uint32_t mode_before)
{
	if (likely(c->mode == mode_before))
		return next(c, i);
	return end_block(c, next_rip(c, i));
}

#endif
