/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Read-modify-write as one host instruction on the guest's memory: what LOCK may precede, XCHG,
 * XADD, CMPXCHG; and bit tests whose offset in a register reaches beyond the operand.
 *
 * Atomic ones want natural alignment, for which one test suffices: the rest, among it all that
 * crosses a cache line, is the interpreter's with its split lock.
 *
 * Manual: SDM 3 8.1.2 (locking), SDM 2, BT (bit offsets).
 * Left to the interpreter: AH to BH with memory.
 */
#include "engine/jit/internal.h"

enum { LOCK_BYTE = 0xf0 };

static void check_alignment(struct translator *t, unsigned size)
{
	struct encoding test = { .map = 1, .opcode = 0xf6, .size = 1, .byte_regs = true };

	if (size == 1)
		return;
	emit_reg(&t->e, test, 0, T0);
	emit_u8(&t->e, size - 1);
	slow_if(t, CC_NE);
}

static bool modify_memory(struct translator *t, const struct insn *i, const struct op_info *info,
			  const struct plan *p)
{
	bool locked =
		i->prefix & PREFIX_LOCK || (info->map == MAP_1 && (info->opcode & 0xfe) == 0x86);
	unsigned bytes = op_memory_bytes(info, i, true), reg = p->extension;

	if (is_high_byte(i, info))
		return false;
	host_address(t, i, bytes, true);
	if (locked || bytes == 16)
		check_alignment(t, bytes);
	if (p->reads_flags)
		need_flags_in_host(t);
	if (p->has_reg)
		reg = use_gpr(t, i->reg, T1, true);
	if (i->prefix & PREFIX_LOCK)
		emit_u8(&t->e, LOCK_BYTE);
	emit_mem(&t->e, p->encoding, reg, at_register(T0, 0));
	write_imm(t, i, p->imm_bytes);
	if (p->has_reg && info->reg & FIELD_WRITTEN)
		put_gpr(t, i->reg, reg);
	if (p->writes_flags)
		flags_now_in_host(t);
	return true;
}

static bool modify_register(struct translator *t, const struct insn *i, const struct op_info *info,
			    const struct plan *p)
{
	unsigned rm, reg;

	if (is_high_byte(i, info))
		return false;
	if (p->reads_flags)
		need_flags_in_host(t);
	rm = use_gpr(t, i->rm, T0, true);
	reg = use_gpr(t, i->reg, T1, true);
	emit_reg(&t->e, p->encoding, reg, rm);
	if (info->reg & FIELD_WRITTEN)
		put_gpr(t, i->reg, reg);
	put_gpr(t, i->rm, rm); /* last: XADD of a register with itself leaves the sum */
	flags_now_in_host(t);
	return true;
}

static void load_bit_offset(struct translator *t, const struct insn *i)
{
	struct encoding extend = { .map = i->opsize == 2 ? 0x0f : 1,
				   .opcode = i->opsize == 2   ? 0xbf
					     : i->opsize == 4 ? 0x63
							      : 0x8b,
				   .size = 8 };

	emit_reg(&t->e, extend, T1, use_gpr(t, i->reg, T1, true));
}

/* The operand moves along with the offset, the bit number is what remains of that. */
static bool bit_at_offset(struct translator *t, const struct insn *i, const struct op_info *info,
			  const struct plan *p)
{
	unsigned size = i->opsize, word = i->addrsize;

	if (t->segmented || word < 4 || (word == 4 && (i->seg == FS || i->seg == GS)))
		return false;
	clobber_flags(t);
	load_bit_offset(t, i);
	emit_alu_imm(&t->e, ALU_AND, 4, T1, (int32_t)(8 * size - 1));
	emit_store(&t->e, 8, GS(jit_scratch), T1);
	guest_address(t, i, T0);
	load_bit_offset(t, i);
	emit_shift(&t->e, SHIFT_SAR, 8, T1, 3);
	emit_alu_imm(&t->e, ALU_AND, 8, T1, -(int32_t)size);
	emit_reg(&t->e, (struct encoding){ .map = 1, .opcode = 0x03, .size = word }, T0, T1);
	host_address_of_linear(t, size, info->rm & FIELD_WRITTEN);
	if (i->prefix & PREFIX_LOCK)
		check_alignment(t, size);
	if (p->reads_flags)
		need_flags_in_host(t);
	emit_load(&t->e, 8, T1, GS(jit_scratch));
	if (i->prefix & PREFIX_LOCK)
		emit_u8(&t->e, LOCK_BYTE);
	emit_mem(&t->e, p->encoding, T1, at_register(T0, 0));
	flags_now_in_host(t);
	return true;
}

static bool locked_one_byte(struct translator *t, const struct insn *i, const struct op_info *info)
{
	unsigned op = info->opcode, n = i->modrm >> 3 & 7;
	struct plan p = plan_for(t, i, info);

	if ((op & 0xfe) == 0x86)
		return insn_has_memory(i) && modify_memory(t, i, info, &p);
	if (!(i->prefix & PREFIX_LOCK))
		return false;
	switch (op) {
	case 0x00 ... 0x3f:
		return modify_memory(t, i, info, &p);
	case 0x80:
	case 0x81:
	case 0x83:
	case 0xfe:
	case 0xff:
		p.has_reg = false;
		return modify_memory(t, i, info, &p);
	case 0xf6:
	case 0xf7:
		p.has_reg = false;
		p.writes_flags = n == 3; /* NEG; else NOT */
		return modify_memory(t, i, info, &p);
	default:
		return false;
	}
}

static bool locked_two_bytes(struct translator *t, const struct insn *i, const struct op_info *info)
{
	struct plan p = plan_for(t, i, info);

	switch (info->opcode) {
	case 0xa3:
	case 0xab:
	case 0xb3:
	case 0xbb:
		return insn_has_memory(i) && bit_at_offset(t, i, info, &p);
	case 0xba:
		p.has_reg = false;
		p.imm_bytes = 1;
		return i->prefix & PREFIX_LOCK && modify_memory(t, i, info, &p);
	case 0xb0:
	case 0xb1:
	case 0xc0:
	case 0xc1:
		return insn_has_memory(i) ? modify_memory(t, i, info, &p)
					  : modify_register(t, i, info, &p);
	case 0xc7: /* CMPXCHG8B, CMPXCHG16B: all registers are at home */
		p.has_reg = false;
		return (i->modrm >> 3 & 7) == 1 && modify_memory(t, i, info, &p);
	default:
		return false;
	}
}

bool native_atomic(struct translator *t, const struct insn *i, const struct op_info *info)
{
	if (info->map == MAP_1)
		return locked_one_byte(t, i, info);
	return info->map == MAP_0F && locked_two_bytes(t, i, info);
}
