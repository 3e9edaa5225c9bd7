/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * DIV and IDIV. The host must never divide where it would fault: what may be #DE is the
 * interpreter's, which knows for certain.
 *
 * Unsigned: the quotient fits exactly if the high half is below the divisor. Signed: it does if the
 * high half is but the sign of the low one and the divisor neither 0 nor -1; hardly anything else
 * is ever divided.
 *
 * Manual: SDM 2, DIV, IDIV.
 */
#include "engine/jit/internal.h"

static void extend(struct translator *t, unsigned size, bool is_signed, unsigned to, unsigned from)
{
	struct encoding e = { .map = 0x0f, .size = 8, .byte_regs = true };

	if (size == 8)
		e = (struct encoding){ .map = 1, .opcode = 0x8b, .size = 8 };
	else if (size == 4)
		e = (struct encoding){ .map = 1,
				       .opcode = is_signed ? 0x63 : 0x8b,
				       .size = is_signed ? 8 : 4 };
	else
		e.opcode = (is_signed ? 0xbe : 0xb6) + (size == 2);
	emit_reg(&t->e, e, to, from);
}

/* In T1, extended to 64 bits. */
static void load_divisor(struct translator *t, const struct insn *i, const struct op_info *info,
			 bool is_signed)
{
	unsigned size = i->opsize;

	if (insn_has_memory(i)) {
		host_address(t, i, size, false);
		if (size <= 2) {
			struct encoding load = { .map = 0x0f,
						 .opcode = 0xb6 + (size == 2),
						 .size = 4 };

			emit_mem(&t->e, load, T1, at_register(T0, 0));
		} else {
			emit_load(&t->e, size, T1, at_register(T0, 0));
		}
		extend(t, size, is_signed, T1, T1);
		return;
	}
	clobber_flags(t);
	if (is_high_byte(i, info)) {
		emit_mov(&t->e, 8, T1, i->rm - BYTE_AH);
		emit_shift(&t->e, SHIFT_SHR, 8, T1, 8);
		extend(t, 1, is_signed, T1, T1);
		return;
	}
	extend(t, size, is_signed, T1, use_gpr(t, i->rm, T1, true));
}

static void compare(struct translator *t, unsigned size, unsigned a, unsigned b)
{
	emit_reg(&t->e, (struct encoding){ .map = 1, .opcode = 0x3b, .size = size }, a, b);
}

static void check_unsigned(struct translator *t, unsigned size)
{
	if (size == 1) { /* AH, zero-extended */
		extend(t, 2, false, T0, H_RAX);
		emit_shift(&t->e, SHIFT_SHR, 4, T0, 8);
		compare(t, 4, T0, T1);
	} else {
		compare(t, size, H_RDX, T1);
	}
	slow_if(t, CC_AE);
}

static void check_signed(struct translator *t, unsigned size)
{
	emit_lea(&t->e, 8, T0, at_register(T1, 1));
	emit_alu_imm(&t->e, ALU_CMP, 8, T0, 1);
	slow_if(t, CC_BE);
	if (size == 1) {
		extend(t, 1, true, T0, H_RAX);
		compare(t, 2, T0, H_RAX);
	} else {
		extend(t, size, true, T0, H_RAX);
		emit_shift(&t->e, SHIFT_SAR, 8, T0, 63);
		compare(t, size, T0, H_RDX);
	}
	slow_if(t, CC_NE);
}

bool native_divide(struct translator *t, const struct insn *i, const struct op_info *info)
{
	unsigned n = i->modrm >> 3 & 7, size = i->opsize;
	bool is_signed = n == 7;

	load_divisor(t, i, info, is_signed);
	if (is_signed)
		check_signed(t, size);
	else
		check_unsigned(t, size);
	emit_reg(&t->e,
		 (struct encoding){
			 .map = 1, .opcode = info->opcode, .size = size, .byte_regs = size == 1 },
		 n, T1);
	flags_now_in_host(t); /* undefined */
	return true;
}
