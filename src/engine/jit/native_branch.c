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
	exit_if(t, condition, branch_target(t, i->imm));
	exit_direct(t, insn_end(t, i));
}

static void push_return(struct translator *t, const struct insn *i)
{
	uint64_t back = insn_end(t, i);

	host_address_of_stack(t, i, -(int32_t)t->word, t->word, true);
	if (t->word == 4 || (int64_t)back == (int32_t)back) {
		emit_store_imm(&t->e, t->word, at_register(T0, 0), (int32_t)back);
	} else {
		emit_mov_imm(&t->e, T1, back);
		emit_store(&t->e, 8, at_register(T0, 0), T1);
	}
	emit_lea(&t->e, t->word, GUEST_RSP, at_register(GUEST_RSP, -(int32_t)t->word));
}

/* The target of FF /2 and /4 in T1. */
static void load_target(struct translator *t, const struct insn *i)
{
	if (insn_has_memory(i)) {
		host_address(t, i, t->word, false);
		emit_load(&t->e, t->word, T1, at_register(T0, 0));
	} else {
		int host = host_of(i->rm);

		if (host < 0)
			emit_load(&t->e, t->word, T1, gpr_slot(i->rm));
		else
			emit_mov(&t->e, t->word, T1, (unsigned)host);
	}
}

static void call_indirect(struct translator *t, const struct insn *i)
{
	remember_return(t, insn_end(t, i));
	emit_load(&t->e, 8, T1, GS(jit_scratch));
	exit_indirect(t, -(int32_t)t->word);
}

static bool indirect(struct translator *t, const struct insn *i)
{
	unsigned n = i->modrm >> 3 & 7;

	if (n != 2 && n != 4)
		return false;
	load_target(t, i);
	if (n == 2) {
		need_canonical(t); /* before anything is pushed */
		emit_store(&t->e, 8, GS(jit_scratch), T1);
		push_return(t, i);
	}
	if (n == 2)
		call_indirect(t, i);
	else
		exit_indirect(t, 0);
	return true;
}

static void return_near(struct translator *t, const struct insn *i, unsigned extra)
{
	int32_t bytes = (int32_t)(t->word + extra);

	host_address_of_stack(t, i, 0, t->word, false);
	emit_load(&t->e, t->word, T1, at_register(T0, 0));
	emit_lea(&t->e, t->word, GUEST_RSP, at_register(GUEST_RSP, bytes));
	return_to_remembered(t);
	exit_indirect(t, bytes);
}

bool native_branch(struct translator *t, const struct insn *i, const struct op_info *info)
{
	if (info->encoding != LEGACY || i->opsize != t->word || info->map > MAP_0F)
		return false;
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
		remember_return(t, insn_end(t, i));
		exit_direct(t, branch_target(t, i->imm));
		return true;
	case 0xe9:
	case 0xeb:
		exit_direct(t, branch_target(t, i->imm));
		return true;
	case 0xff:
		return indirect(t, i);
	default:
		return false;
	}
}
