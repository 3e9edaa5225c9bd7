/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Shifts and rotates.
 *
 * A count of 0 changes no flag, but the operand is still written. OF, undefined for counts above 1,
 * is that of the first step, as processors have it.
 *
 * Manual: SDM 2, SAL/SAR/SHL/SHR, RCL/RCR/ROL/ROR, SHLD, SHRD, SHLX.
 */
#include "engine/interp/operand.h"

#define BODY(name)                                                                                 \
	static ALWAYS_INLINE void name##_body(struct vcpu *c, const struct insn *i, unsigned size, \
					      enum form form)

enum shift { ROL, ROR, RCL, RCR, SHL, SHR, SAR };

static ALWAYS_INLINE uint64_t rotate_left(uint64_t a, unsigned count, unsigned bits)
{
	count &= bits - 1;
	return count ? a << count | a >> (bits - count) : a;
}

/* `carry` above the operand's top bit: a number of bits + 1. */
static ALWAYS_INLINE unsigned __int128 with_carry(uint64_t a, bool carry, unsigned bits)
{
	return (unsigned __int128)carry << bits | a;
}

static ALWAYS_INLINE unsigned __int128 rotate_carry_left(uint64_t a, bool carry, unsigned count,
							 unsigned bits)
{
	unsigned __int128 wide = with_carry(a, carry, bits);

	return count ? wide << count | wide >> (bits + 1 - count) : wide;
}

/* `count` is masked and, for RCL and RCR, reduced. */
static ALWAYS_INLINE uint64_t shift_result(enum shift op, uint64_t a, unsigned count, unsigned bits,
					   bool carry)
{
	switch (op) {
	case ROL:
		return rotate_left(a, count, bits);
	case ROR:
		return rotate_left(a, bits - (count & (bits - 1)), bits);
	case RCL:
		return (uint64_t)rotate_carry_left(a, carry, count, bits);
	case RCR:
		return (uint64_t)rotate_carry_left(a, carry, count ? bits + 1 - count : 0, bits);
	case SHL:
		return a << count;
	case SHR:
		return a >> count;
	case SAR:
		return (uint64_t)(sign_extend(a, bits) >> count);
	}
	return 0;
}

static ALWAYS_INLINE bool bit(uint64_t value, unsigned n)
{
	return value >> n & 1;
}

/* Of shifting by 1. */
static ALWAYS_INLINE bool first_overflow(enum shift op, uint64_t a, unsigned bits, bool carry)
{
	bool top = bit(a, bits - 1);

	switch (op) {
	case ROL:
	case RCL:
	case SHL:
		return top ^ bit(a, bits - 2);
	case ROR:
		return top ^ bit(a, 0);
	case RCR:
		return top ^ carry;
	case SHR:
		return top;
	case SAR:
		return false;
	}
	return false;
}

static ALWAYS_INLINE void rotate_flags(struct vcpu *c, enum shift op, uint64_t a, uint64_t result,
				       unsigned count, unsigned bits, bool carry)
{
	bool cf;

	if (op == ROL)
		cf = result & 1;
	else if (op == ROR)
		cf = bit(result, bits - 1);
	else if (op == RCL)
		cf = bit((uint64_t)(rotate_carry_left(a, carry, count, bits) >> bits), 0);
	else
		cf = bit((uint64_t)(rotate_carry_left(a, carry, bits + 1 - count, bits) >> bits), 0);
	flags_set_cf_of(c, cf, first_overflow(op, a, bits, carry));
}

static ALWAYS_INLINE void shift_flags(struct vcpu *c, enum shift op, uint64_t a, uint64_t result,
				      unsigned count, unsigned bits)
{
	bool cf;

	if (op == SHL)
		cf = count <= bits && bit(a, bits - count);
	else if (op == SHR)
		cf = bit(a, count - 1);
	else
		cf = bit((uint64_t)(sign_extend(a, bits) >> (count - 1)), 0);
	flags_logic(c, result, bits);
	flags_set_cf_of(c, cf, first_overflow(op, a, bits, false));
}

static ALWAYS_INLINE void shift(struct vcpu *c, const struct insn *i, enum shift op, unsigned size,
				enum form form, unsigned count)
{
	unsigned bits = 8 * size;
	bool carry = flag_cf(c), is_none;
	uint64_t a, result;

	count &= size == 8 ? 63 : 31;
	is_none = !count;
	if ((op == RCL || op == RCR) && size < 4)
		count %= bits + 1;
	RM_MODIFY(c, i, size, form, a, shift_result(op, a, count, bits, carry));
	result = low_bytes(shift_result(op, a, count, bits, carry), size);
	if (is_none)
		return;
	if (op < SHL)
		rotate_flags(c, op, a, result, count, bits, carry);
	else
		shift_flags(c, op, a, result, count, bits);
}

#define SHIFT_FAMILIES(name, op)                                                                   \
	BODY(exec_##name##_imm)                                                                    \
	{                                                                                          \
		shift(c, i, op, size, form, (unsigned)i->imm);                                     \
	}                                                                                          \
	BODY(exec_##name##_cl)                                                                     \
	{                                                                                          \
		shift(c, i, op, size, form, (unsigned)c->gpr[RCX]);                                \
	}                                                                                          \
	DEFINE_FAMILY(exec_##name##_imm)                                                           \
	DEFINE_FAMILY(exec_##name##_cl)
SHIFT_FAMILIES(rol, ROL)
SHIFT_FAMILIES(ror, ROR)
SHIFT_FAMILIES(rcl, RCL)
SHIFT_FAMILIES(rcr, RCR)
SHIFT_FAMILIES(shl, SHL)
SHIFT_FAMILIES(shr, SHR)
SHIFT_FAMILIES(sar, SAR)

/*
 * The operand and its continuation as one number: what SHLD shifts in at the bottom, SHRD at the
 * top. 16-bit counts above 16 are undefined; processors go on with the operand's own bits.
 */
static ALWAYS_INLINE uint64_t double_shift_result(bool left, uint64_t a, uint64_t b, unsigned count,
						  unsigned bits)
{
	unsigned __int128 wide;

	if (bits == 16) {
		wide = left ? (unsigned __int128)a << 32 | b << 16 | a :
			      (unsigned __int128)a << 32 | b << 16 | a;
		return (uint64_t)(left ? wide << count >> 32 : wide >> count);
	}
	if (left)
		return (uint64_t)(((unsigned __int128)a << bits | b) << count >> bits);
	return (uint64_t)(((unsigned __int128)b << bits | a) >> count);
}

static ALWAYS_INLINE void double_shift(struct vcpu *c, const struct insn *i, bool left,
				       unsigned size, enum form form, unsigned count)
{
	unsigned bits = 8 * size;
	uint64_t b = reg_read(c, i->reg, size);
	uint64_t a, result, before;

	if (size == 1)
		return; /* no such form */
	count &= size == 8 ? 63 : 31;
	RM_MODIFY(c, i, size, form, a, double_shift_result(left, a, b, count, bits));
	if (!count)
		return;
	result = low_bytes(double_shift_result(left, a, b, count, bits), size);
	before = double_shift_result(left, a, b, count - 1, bits);
	flags_logic(c, result, bits);
	flags_set_cf_of(c, bit(before, left ? bits - 1 : 0),
			bit(result, bits - 1) ^ bit(a, bits - 1));
}

#define DOUBLE_SHIFT_FAMILIES(name, left)                                                          \
	BODY(exec_##name##_imm)                                                                    \
	{                                                                                          \
		double_shift(c, i, left, size, form, (unsigned)i->imm);                            \
	}                                                                                          \
	BODY(exec_##name##_cl)                                                                     \
	{                                                                                          \
		double_shift(c, i, left, size, form, (unsigned)c->gpr[RCX]);                       \
	}                                                                                          \
	DEFINE_FAMILY(exec_##name##_imm)                                                           \
	DEFINE_FAMILY(exec_##name##_cl)
DOUBLE_SHIFT_FAMILIES(shld, true)
DOUBLE_SHIFT_FAMILIES(shrd, false)

#define SHIFTX_FAMILY(name, op)                                                                    \
	BODY(name)                                                                                 \
	{                                                                                          \
		unsigned count = c->gpr[i->vvvv] & (size == 8 ? 63 : 31);                          \
		uint64_t a = rm_read(c, i, size, form);                                            \
                                                                                                   \
		reg_write(c, i->reg, size, shift_result(op, a, count, 8 * size, false));           \
	}                                                                                          \
	DEFINE_FAMILY(name)
SHIFTX_FAMILY(exec_shlx, SHL)
SHIFTX_FAMILY(exec_sarx, SAR)
SHIFTX_FAMILY(exec_shrx, SHR)

BODY(exec_rorx)
{
	unsigned count = i->imm & (size == 8 ? 63 : 31);
	uint64_t a = rm_read(c, i, size, form);

	reg_write(c, i->reg, size, shift_result(ROR, a, count, 8 * size, false));
}
DEFINE_FAMILY(exec_rorx)
