/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Bit tests, scans, counts, BMI1, BMI2, CRC32.
 *
 * Manual: SDM 2, BT to BTS, BSF, BSR, TZCNT, LZCNT, POPCNT, ANDN to PEXT, CRC32.
 */
#include "engine/interp/operand.h"

#define BODY(name)                                                                                 \
	static ALWAYS_INLINE void name##_body(struct vcpu *c, const struct insn *i, unsigned size, \
					      enum form form)

enum bit_op { BT, BTS, BTR, BTC };

static ALWAYS_INLINE uint64_t bit_result(enum bit_op op, uint64_t a, uint64_t mask)
{
	return op == BTS ? a | mask : op == BTR ? a & ~mask : op == BTC ? a ^ mask : a;
}

static ALWAYS_INLINE void bit_op(struct vcpu *c, const struct insn *i, enum bit_op op,
				 unsigned size, enum form form, uint64_t offset)
{
	uint64_t mask = 1ull << (offset & (8 * size - 1));
	uint64_t a;

	if (op == BT)
		a = rm_read(c, i, size, form);
	else
		RM_MODIFY(c, i, size, form, a, bit_result(op, a, mask));
	flags_set_cf(c, a & mask);
}

/* A register offset reaches beyond the operand: the memory operand moves along. */
static ALWAYS_INLINE void bit_op_reg(struct vcpu *c, const struct insn *i, enum bit_op op,
				     unsigned size, enum form form)
{
	uint64_t offset = reg_read(c, i->reg, size);
	struct insn moved;

	if (form == FORM_REG) {
		bit_op(c, i, op, size, form, offset);
		return;
	}
	moved = *i;
	moved.disp += (sign_extend(offset, 8 * size) >> (size == 8 ? 6 : size == 4 ? 5 : 4)) * size;
	bit_op(c, &moved, op, size, form, offset);
}

#define BIT_BODIES(name, op)                                                                       \
	BODY(exec_##name##_r)                                                                      \
	{                                                                                          \
		bit_op_reg(c, i, op, size, form);                                                  \
	}                                                                                          \
	BODY(exec_##name##_imm)                                                                    \
	{                                                                                          \
		bit_op(c, i, op, size, form, i->imm);                                              \
	}
BIT_BODIES(bt, BT)
DEFINE_FAMILY(exec_bt_r)
DEFINE_FAMILY(exec_bt_imm)
BIT_BODIES(bts, BTS)
DEFINE_LOCKED_FAMILY(exec_bts_r)
DEFINE_LOCKED_FAMILY(exec_bts_imm)
BIT_BODIES(btr, BTR)
DEFINE_LOCKED_FAMILY(exec_btr_r)
DEFINE_LOCKED_FAMILY(exec_btr_imm)
BIT_BODIES(btc, BTC)
DEFINE_LOCKED_FAMILY(exec_btc_r)
DEFINE_LOCKED_FAMILY(exec_btc_imm)

/* A zero source leaves the destination alone. The other flags are undefined. */
BODY(exec_bsf)
{
	uint64_t a = rm_read(c, i, size, form);

	if (a)
		reg_write(c, i->reg, size, (uint64_t)__builtin_ctzll(a));
	flags_set_zf(c, !a);
}
DEFINE_FAMILY(exec_bsf)

BODY(exec_bsr)
{
	uint64_t a = rm_read(c, i, size, form);

	if (a)
		reg_write(c, i->reg, size, 63u - (unsigned)__builtin_clzll(a));
	flags_set_zf(c, !a);
}
DEFINE_FAMILY(exec_bsr)

static ALWAYS_INLINE void count_flags(struct vcpu *c, uint64_t count, bool cf)
{
	flags_logic(c, (int64_t)count, 64);
	flags_set_cf_of(c, cf, false);
}

BODY(exec_tzcnt)
{
	uint64_t a = rm_read(c, i, size, form);
	uint64_t count = a ? (uint64_t)__builtin_ctzll(a) : 8 * size;

	reg_write(c, i->reg, size, count);
	count_flags(c, count, !a);
}
DEFINE_FAMILY(exec_tzcnt)

BODY(exec_lzcnt)
{
	uint64_t a = rm_read(c, i, size, form);
	uint64_t count = a ? (uint64_t)__builtin_clzll(a) - (64 - 8 * size) : 8 * size;

	reg_write(c, i->reg, size, count);
	count_flags(c, count, !a);
}
DEFINE_FAMILY(exec_lzcnt)

/* All flags but ZF are cleared, PF too. */
BODY(exec_popcnt)
{
	uint64_t a = rm_read(c, i, size, form);

	reg_write(c, i->reg, size, (uint64_t)__builtin_popcountll(a));
	flags_load_status(c, a ? 0 : F_ZF);
}
DEFINE_FAMILY(exec_popcnt)

/* Polynomial 0x11EDC6F41, bits reflected. */
BODY(exec_crc32)
{
	uint64_t data = rm_read(c, i, size, form);
	uint32_t crc = (uint32_t)c->gpr[i->reg];

	for (unsigned n = 0; n < size; n++, data >>= 8) {
		crc ^= (uint8_t)data;
		for (unsigned bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	c->gpr[i->reg] = crc;
}
DEFINE_FAMILY(exec_crc32)

static ALWAYS_INLINE void bmi_flags(struct vcpu *c, uint64_t result, unsigned size, bool cf)
{
	flags_logic(c, result, 8 * size);
	flags_set_cf_of(c, cf, false);
}

BODY(exec_andn)
{
	uint64_t result = ~reg_read(c, i->vvvv, size) & rm_read(c, i, size, form);

	reg_write(c, i->reg, size, result);
	bmi_flags(c, result, size, false);
}
DEFINE_FAMILY(exec_andn)

BODY(exec_blsr)
{
	uint64_t a = rm_read(c, i, size, form), result = a & (a - 1);

	reg_write(c, i->vvvv, size, result);
	bmi_flags(c, result, size, !a);
}
DEFINE_FAMILY(exec_blsr)

BODY(exec_blsmsk)
{
	uint64_t a = rm_read(c, i, size, form), result = a ^ (a - 1);

	reg_write(c, i->vvvv, size, result);
	bmi_flags(c, result, size, !a);
}
DEFINE_FAMILY(exec_blsmsk)

BODY(exec_blsi)
{
	uint64_t a = rm_read(c, i, size, form), result = a & -a;

	reg_write(c, i->vvvv, size, result);
	bmi_flags(c, result, size, a);
}
DEFINE_FAMILY(exec_blsi)

BODY(exec_bzhi)
{
	uint64_t a = rm_read(c, i, size, form);
	unsigned from = (uint8_t)c->gpr[i->vvvv];
	uint64_t result = from < 8 * size ? a & ((1ull << from) - 1) : a;

	reg_write(c, i->reg, size, result);
	bmi_flags(c, result, size, from >= 8 * size);
}
DEFINE_FAMILY(exec_bzhi)

BODY(exec_bextr)
{
	uint64_t a = rm_read(c, i, size, form);
	unsigned start = (uint8_t)c->gpr[i->vvvv], count = c->gpr[i->vvvv] >> 8 & 0xff;
	uint64_t result = start < 8 * size ? a >> start : 0;

	if (count < 64)
		result &= (1ull << count) - 1;
	reg_write(c, i->reg, size, result);
	bmi_flags(c, result, size, false);
}
DEFINE_FAMILY(exec_bextr)

static uint64_t extract_bits(uint64_t from, uint64_t mask)
{
	uint64_t result = 0;

	for (unsigned n = 0; mask; n++, mask &= mask - 1)
		result |= (from >> __builtin_ctzll(mask) & 1) << n;
	return result;
}

static uint64_t deposit_bits(uint64_t from, uint64_t mask)
{
	uint64_t result = 0;

	for (; mask; from >>= 1, mask &= mask - 1)
		result |= from & 1 ? mask & -mask : 0;
	return result;
}

BODY(exec_pext)
{
	uint64_t mask = rm_read(c, i, size, form);

	reg_write(c, i->reg, size, extract_bits(reg_read(c, i->vvvv, size), mask));
}
DEFINE_FAMILY(exec_pext)

BODY(exec_pdep)
{
	uint64_t mask = rm_read(c, i, size, form);

	reg_write(c, i->reg, size, deposit_bits(reg_read(c, i->vvvv, size), mask));
}
DEFINE_FAMILY(exec_pdep)
