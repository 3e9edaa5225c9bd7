/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Near branches: they end a block.
 *
 * Left to the interpreter: indirect branches to addresses that are not canonical.
 */
#include "engine/jit/internal.h"

static void jump_if(struct translator *t, const struct insn *i, unsigned condition)
{
	need_flags_in_host(t);
	exit_if(t, condition, relative_target(t, i));
	exit_direct(t, insn_end(t, i));
}

/* T1 has what is pushed if that is no signed number of 32 bits. */
static void push_return(struct translator *t, const struct insn *i)
{
	uint64_t back = insn_end(t, i);
	struct host_memory slot;

	slot = host_operand_of_stack(t, -(int32_t)i->opsize, i->opsize, true);
	if (is_signed_32(back)) {
		emit_store_imm(&t->e, i->opsize, slot, (int32_t)back);
	} else {
		emit_mov_imm(&t->e, T1, back);
		emit_store(&t->e, i->opsize, slot, T1);
	}
	move_stack(t, GUEST_RSP, -(int32_t)i->opsize);
}

/* A target in memory: in T1. */
static void load_near(struct translator *t, const struct insn *i, struct host_memory from)
{
	struct encoding word = { .map = 0x0f, .opcode = 0xb7, .size = 4 };

	if (i->opsize == 2)
		emit_mem(&t->e, word, T1, from);
	else
		emit_load(&t->e, i->opsize, T1, from);
}

/* The target of FF /2 and /4 in T1. */
static void load_target(struct translator *t, const struct insn *i)
{
	if (insn_has_memory(i)) {
		host_address(t, i, i->opsize, false);
		load_near(t, i, at_register(T0, 0));
	} else {
		int host = host_of(i->rm);

		if (host < 0)
			emit_load(&t->e, i->opsize, T1, gpr_slot(i->rm));
		else if (i->opsize == 2)
			zero_extend(t, 2, T1, (unsigned)host);
		else
			emit_mov(&t->e, i->opsize, T1, (unsigned)host);
	}
}

static bool indirect(struct translator *t, const struct insn *i)
{
	unsigned n = i->modrm >> 3 & 7;

	if (n != 2 && n != 4)
		return false;
	load_target(t, i);
	if (n == 2) {
		need_near_half(t); /* before anything is pushed */
		emit_store(&t->e, 8, GS(jit_scratch), T1);
		push_return(t, i);
		call_indirect(t, insn_end(t, i));
	} else {
		exit_indirect(t);
	}
	return true;
}

static void return_near(struct translator *t, const struct insn *i, unsigned extra)
{
	int32_t bytes = (int32_t)(i->opsize + extra);

	load_near(t, i, host_operand_of_stack(t, 0, i->opsize, false));
	clobber_flags(t);
	move_stack(t, GUEST_RSP, bytes);
	exit_return(t, bytes);
}

bool native_branch(struct translator *t, const struct insn *i, const struct op_info *info)
{
	if (info->encoding != LEGACY || info->map > MAP_0F || (i->opsize != t->word && !t->segmented))
		return false;
	if ((info->imm == IMM_REL8 || info->imm == IMM_RELZ) &&
	    !target_is_within(t, relative_target(t, i)))
		return false; /* it faults where it is */
	if (info->map == MAP_0F) {
		if ((info->opcode & 0xf0) != 0x80)
			return false;
		jump_if(t, i, info->opcode & 15);
		return true;
	}
	switch (info->opcode) {
	case 0x70 ... 0x7f:
		jump_if(t, i, info->opcode & 15);
		return true;
	case 0xc2:
		return_near(t, i, (uint16_t)i->imm);
		return true;
	case 0xc3:
		return_near(t, i, 0);
		return true;
	case 0xe0 ... 0xe3:
		return native_loop(t, i, info->opcode);
	case 0xe8:
		push_return(t, i);
		call_direct(t, relative_target(t, i), insn_end(t, i));
		return true;
	case 0xe9:
	case 0xeb:
		exit_direct(t, relative_target(t, i));
		return true;
	case 0xff:
		return indirect(t, i);
	default:
		return false;
	}
}
