/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * PUSH of segment registers; and in real mode MOV, POP and LDS with its kin, which load them.
 *
 * A load in real mode changes the selector and the base, if the segment's rights are what such a
 * load gives (vcpu.plain_segments).
 *
 * Manual: SDM 2 "MOV", "POP", "PUSH", "LDS/LES/LFS/LGS/LSS".
 * Left to the interpreter: SS, which holds interrupts off; loads in other modes; 64-bit code.
 */
#include "engine/jit/internal.h"

static void load_selector(struct translator *t, struct host_memory from)
{
	emit_mem(&t->e, (struct encoding){ .map = 0x0f, .opcode = 0xb7, .size = 4 }, T1, from);
}

/* Before anything is changed. EFLAGS are clobbered. */
static void check_plain(struct translator *t, unsigned reg)
{
	emit_mem(&t->e, (struct encoding){ .map = 1, .opcode = 0xf6, .size = 1 }, 0,
		 GS(plain_segments));
	emit_u8(&t->e, 1u << reg);
	slow_if(t, CC_E);
}

/* The selector is in T1. */
static void set_segment(struct translator *t, unsigned reg)
{
	emit_store(&t->e, 2, segment_field(reg, offsetof(struct segment, selector)), T1);
	emit_shift(&t->e, SHIFT_SHL, 4, T1, 4);
	emit_store(&t->e, 8, segment_field(reg, offsetof(struct segment, base)), T1);
}

static void push_segment(struct translator *t, const struct insn *i, unsigned reg)
{
	check_stack_address(t, -(int32_t)i->opsize, 2, true);
	load_selector(t, segment_field(reg, offsetof(struct segment, selector)));
	emit_store(&t->e, 2, at_register(T0, 0), T1);
	move_stack(t, GUEST_RSP, -(int32_t)i->opsize);
}

static void pop_segment(struct translator *t, const struct insn *i, unsigned reg)
{
	check_stack_address(t, 0, 2, false);
	check_plain(t, reg);
	load_selector(t, at_register(T0, 0));
	set_segment(t, reg);
	move_stack(t, GUEST_RSP, i->opsize);
}

static void move_to_segment(struct translator *t, const struct insn *i)
{
	if (insn_has_memory(i))
		host_address(t, i, 2, false);
	else
		clobber_flags(t);
	check_plain(t, i->reg);
	if (insn_has_memory(i))
		load_selector(t, at_register(T0, 0));
	else
		zero_extend(t, 2, T1, (unsigned)host_of(i->rm));
	set_segment(t, i->reg);
}

static void load_far(struct translator *t, const struct insn *i, unsigned reg)
{
	host_address(t, i, i->opsize + 2, false);
	check_plain(t, reg);
	load_selector(t, at_register(T0, i->opsize));
	emit_load(&t->e, i->opsize, (unsigned)host_of(i->reg), at_register(T0, 0));
	set_segment(t, reg);
}

/* The segment register that a real-mode load is about, or -1. */
static int loaded_segment(const struct translator *t, const struct insn *i,
			  const struct op_info *info)
{
	unsigned op = info->map == MAP_0F ? 0xf00u | info->opcode : info->opcode;
	unsigned reg = op == 0x8e ? i->reg : info->arg;

	if (t->source->mode & (MODE_PROTECTED | MODE_CODE64) || info->encoding != LEGACY ||
	    info->map > MAP_0F)
		return -1;
	switch (op) {
	case 0xc4:
	case 0xc5:
	case 0xfb4:
	case 0xfb5:
		return insn_has_memory(i) ? (int)reg : -1;
	case 0x8e:
	case 0x07:
	case 0x1f:
	case 0xfa1:
	case 0xfa9:
		return reg == CS || reg == SS || reg > GS ? -1 : (int)reg;
	default:
		return -1;
	}
}

bool loads_segment_natively(const struct translator *t, const struct insn *i,
			    const struct op_info *info)
{
	return loaded_segment(t, i, info) >= 0;
}

static bool is_push(const struct op_info *info)
{
	if (info->map == MAP_0F)
		return info->opcode == 0xa0 || info->opcode == 0xa8;
	return info->map == MAP_1 && (info->opcode & 0xe7) == 0x06;
}

bool native_segment(struct translator *t, const struct insn *i, const struct op_info *info)
{
	int reg = loaded_segment(t, i, info);

	if (t->word != 8 && is_push(info)) {
		push_segment(t, i, info->arg);
		return true;
	}
	if (reg < 0)
		return false;
	if (info->flags & OP_STACK)
		pop_segment(t, i, (unsigned)reg);
	else if (info->opcode == 0x8e)
		move_to_segment(t, i);
	else
		load_far(t, i, (unsigned)reg);
	return true;
}
