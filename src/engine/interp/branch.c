/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Near jumps, calls and returns.
 *
 * They end their block and say which way it was left (c->link), so that the loop can go straight to
 * the block that followed last time: LINK_NEXT behind the branch, LINK_TARGET anywhere else.
 *
 * Manual: SDM 2, Jcc, JMP, CALL, RET, LOOP.
 * Not modelled: a relative branch to a non-canonical address faults at its target.
 */
#include "engine/interp/block.h"
#include "engine/interp/operand.h"

static ALWAYS_INLINE void leave_to(struct vcpu *c, uint64_t rip, unsigned link)
{
	c->rip = rip;
	c->link = link;
}

static ALWAYS_INLINE void check_target(struct vcpu *c, uint64_t target)
{
	if (likely(c->mode & MODE_CODE64)) {
		if (unlikely(!address_is_canonical(c, target)))
			raise_gp(c);
	} else if (!(c->mode & MODE_FLAT) && target > c->seg[CS].limit) {
		raise_gp(c);
	}
}

static ALWAYS_INLINE uint64_t relative_target(struct vcpu *c, const struct insn *i)
{
	uint64_t target = c->gpr[GPR_BLOCK] + i->imm;

	if (likely(c->mode & MODE_CODE64))
		return target;
	target = low_bytes(target, i->opsize);
	if (!(c->mode & MODE_FLAT) && target > c->seg[CS].limit)
		raise_gp(c);
	return target;
}

static ALWAYS_INLINE void branch_if(struct vcpu *c, const struct insn *i, bool taken)
{
	if (taken)
		return leave_to(c, relative_target(c, i), LINK_TARGET);
	return leave_to(c, next_rip(c, i), LINK_NEXT);
}

#define JCC(cc)                                                                                    \
	static void jcc_##cc(struct vcpu *c, const struct insn *i)                                 \
	{                                                                                          \
		return branch_if(c, i, condition(c, cc));                                          \
	}
JCC(0) JCC(1) JCC(2) JCC(3) JCC(4) JCC(5) JCC(6) JCC(7)
JCC(8) JCC(9) JCC(10) JCC(11) JCC(12) JCC(13) JCC(14) JCC(15)
op_fn *const exec_jcc[16] = { jcc_0, jcc_1, jcc_2,  jcc_3,  jcc_4,  jcc_5,  jcc_6,  jcc_7,
			      jcc_8, jcc_9, jcc_10, jcc_11, jcc_12, jcc_13, jcc_14, jcc_15 };

void exec_jmp_rel(struct vcpu *c, const struct insn *i)
{
	return leave_to(c, relative_target(c, i), LINK_TARGET);
}

/* Counts rCX down by address size; the branch happens only if nothing faults. */
static ALWAYS_INLINE void loop_if(struct vcpu *c, const struct insn *i, bool wanted)
{
	uint64_t count = low_bytes(c->gpr[RCX] - 1, i->addrsize);

	if (count && wanted)
		leave_to(c, relative_target(c, i), LINK_TARGET);
	else
		leave_to(c, next_rip(c, i), LINK_NEXT);
	reg_write(c, RCX, i->addrsize, count);
}

void exec_loop(struct vcpu *c, const struct insn *i)
{
	loop_if(c, i, true);
}

void exec_loope(struct vcpu *c, const struct insn *i)
{
	loop_if(c, i, flag_zf(c));
}

void exec_loopne(struct vcpu *c, const struct insn *i)
{
	loop_if(c, i, !flag_zf(c));
}

void exec_jcxz(struct vcpu *c, const struct insn *i)
{
	branch_if(c, i, !low_bytes(c->gpr[RCX], i->addrsize));
}

#define BRANCH_HANDLER(name, suffix, size, form)                                                   \
	static void name##suffix(struct vcpu *c, const struct insn *i)                             \
	{                                                                                          \
		name##_body(c, i, size, form);                                                     \
	}
#define DEFINE_BRANCHES(name)                                                                      \
	BRANCH_HANDLER(name, _r2, 2, FORM_REG)                                                     \
	BRANCH_HANDLER(name, _r4, 4, FORM_REG)                                                     \
	BRANCH_HANDLER(name, _r8, 8, FORM_REG)
#define DEFINE_MEM_BRANCHES(name)                                                                  \
	BRANCH_HANDLER(name, _m2, 2, FORM_MEM)                                                     \
	BRANCH_HANDLER(name, _m4, 4, FORM_MEM)                                                     \
	BRANCH_HANDLER(name, _m8, 8, FORM_MEM)
#define BRANCH_NAMES(name, f) NULL, name##_##f##2, name##_##f##4, name##_##f##8

#define BODY(name)                                                                                 \
	static ALWAYS_INLINE void name##_body(struct vcpu *c, const struct insn *i, unsigned size, \
					      enum form form)

BODY(exec_call_rel)
{
	uint64_t target = relative_target(c, i);

	(void)form;
	push(c, size, next_rip(c, i));
	leave_to(c, target, LINK_TARGET);
}
DEFINE_BRANCHES(exec_call_rel)
op_fn *const exec_call_rel[8] = { BRANCH_NAMES(exec_call_rel, r) };

BODY(exec_call_rm)
{
	uint64_t target = rm_read(c, i, size, form);

	check_target(c, target);
	push(c, size, next_rip(c, i));
	leave_to(c, target, LINK_TARGET);
}
DEFINE_BRANCHES(exec_call_rm)
DEFINE_MEM_BRANCHES(exec_call_rm)
op_fn *const exec_call_rm[8] = { BRANCH_NAMES(exec_call_rm, r), BRANCH_NAMES(exec_call_rm, m) };

BODY(exec_jmp_rm)
{
	uint64_t target = rm_read(c, i, size, form);

	check_target(c, target);
	leave_to(c, target, LINK_TARGET);
}
DEFINE_BRANCHES(exec_jmp_rm)
DEFINE_MEM_BRANCHES(exec_jmp_rm)
op_fn *const exec_jmp_rm[8] = { BRANCH_NAMES(exec_jmp_rm, r), BRANCH_NAMES(exec_jmp_rm, m) };

BODY(exec_ret)
{
	uint64_t target = stack_top(c, size);

	(void)form;
	check_target(c, target);
	stack_pointer_set(c, c->gpr[RSP] + size + i->imm);
	leave_to(c, target, LINK_TARGET);
}
DEFINE_BRANCHES(exec_ret)
op_fn *const exec_ret[8] = { BRANCH_NAMES(exec_ret, r) };
