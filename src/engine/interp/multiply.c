/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Multiplication, division, decimal adjustment.
 *
 * Manual: SDM 2, MUL, IMUL, DIV, IDIV, MULX, DAA to AAD.
 */
#include "engine/interp/operand.h"

typedef unsigned __int128 u128;
typedef __int128 s128;

#define BODY(name)                                                                                 \
	static ALWAYS_INLINE void name##_body(struct vcpu *c, const struct insn *i, unsigned size, \
					      enum form form)

/* rDX:rAX, or AX for bytes. */
static ALWAYS_INLINE void wide_write(struct vcpu *c, unsigned size, uint64_t low, uint64_t high)
{
	if (size == 1) {
		reg_write(c, RAX, 2, low_bytes(low, 1) | high << 8);
		return;
	}
	reg_write(c, RAX, size, low);
	reg_write(c, RDX, size, high);
}

static ALWAYS_INLINE u128 wide_read(const struct vcpu *c, unsigned size)
{
	if (size == 1)
		return reg_read(c, RAX, 2);
	return (u128)reg_read(c, RDX, size) << (8 * size) | reg_read(c, RAX, size);
}

/* CF and OF: the product did not fit. The others are undefined; as for the low half here. */
static ALWAYS_INLINE void multiply_flags(struct vcpu *c, uint64_t low, unsigned size, bool overflow)
{
	flags_logic(c, low, 8 * size);
	flags_set_cf_of(c, overflow, overflow);
}

BODY(exec_mul)
{
	u128 product = (u128)rm_read(c, i, size, form) * reg_read(c, RAX, size);
	uint64_t high = (uint64_t)(product >> (8 * size));

	wide_write(c, size, (uint64_t)product, high);
	multiply_flags(c, (uint64_t)product, size, high);
}
DEFINE_FAMILY(exec_mul)

static ALWAYS_INLINE s128 signed_product(uint64_t a, uint64_t b, unsigned size)
{
	return (s128)sign_extend(a, 8 * size) * sign_extend(b, 8 * size);
}

static ALWAYS_INLINE bool fits(s128 product, unsigned size)
{
	return sign_extend((uint64_t)product, 8 * size) == product;
}

BODY(exec_imul1)
{
	s128 product = signed_product(rm_read(c, i, size, form), c->gpr[RAX], size);

	wide_write(c, size, (uint64_t)product, (uint64_t)(product >> (8 * size)));
	multiply_flags(c, (uint64_t)product, size, !fits(product, size));
}
DEFINE_FAMILY(exec_imul1)

static ALWAYS_INLINE void imul_to_reg(struct vcpu *c, const struct insn *i, unsigned size,
				      s128 product)
{
	reg_write(c, i->reg, size, (uint64_t)product);
	multiply_flags(c, (uint64_t)product, size, !fits(product, size));
}

BODY(exec_imul2)
{
	imul_to_reg(c, i, size,
		    signed_product(rm_read(c, i, size, form), reg_read(c, i->reg, size), size));
}
DEFINE_FAMILY(exec_imul2)

BODY(exec_imul3)
{
	imul_to_reg(c, i, size, signed_product(rm_read(c, i, size, form), i->imm, size));
}
DEFINE_FAMILY(exec_imul3)

/* With equal destinations the high half stays. */
BODY(exec_mulx)
{
	u128 product = (u128)rm_read(c, i, size, form) * reg_read(c, RDX, size);

	reg_write(c, i->vvvv, size, (uint64_t)product);
	reg_write(c, i->reg, size, (uint64_t)(product >> (8 * size)));
}
DEFINE_FAMILY(exec_mulx)

BODY(exec_div)
{
	uint64_t divisor = rm_read(c, i, size, form);
	u128 dividend = wide_read(c, size), quotient;
	uint64_t remainder;

	if (!divisor || dividend >> (8 * size) >= divisor)
		raise_fault(c, EXC_DE);
	if (size == 8 && dividend >> 64) {
		quotient = dividend / divisor;
		remainder = (uint64_t)(dividend % divisor);
	} else {
		quotient = (uint64_t)dividend / divisor;
		remainder = (uint64_t)dividend % divisor;
	}
	wide_write(c, size, (uint64_t)quotient, remainder);
}
DEFINE_FAMILY(exec_div)

static ALWAYS_INLINE u128 magnitude(s128 value)
{
	return value < 0 ? -(u128)value : (u128)value;
}

static ALWAYS_INLINE s128 wide_signed(const struct vcpu *c, unsigned size)
{
	u128 value = wide_read(c, size);

	return size == 8 ? (s128)value : (s128)sign_extend((uint64_t)value, 16 * size);
}

/* On magnitudes: the host must not trap on its own overflow. */
BODY(exec_idiv)
{
	int64_t divisor = sign_extend(rm_read(c, i, size, form), 8 * size);
	s128 dividend = wide_signed(c, size);
	uint64_t by = (uint64_t)magnitude(divisor);
	u128 of = magnitude(dividend), quotient;
	uint64_t remainder;

	if (!by || of >> (8 * size) >= by)
		raise_fault(c, EXC_DE);
	if (size == 8 && of >> 64) {
		quotient = of / by;
		remainder = (uint64_t)(of % by);
	} else {
		quotient = (uint64_t)of / by;
		remainder = (uint64_t)of % by;
	}
	if ((dividend < 0) != (divisor < 0))
		quotient = -quotient;
	if (!fits((s128)quotient, size))
		raise_fault(c, EXC_DE);
	wide_write(c, size, (uint64_t)quotient, dividend < 0 ? -remainder : remainder);
}
DEFINE_FAMILY(exec_idiv)

static void decimal_flags(struct vcpu *c, uint8_t al, bool cf, bool af)
{
	flags_logic(c, al, 8);
	flags_set_cf_of(c, cf, false);
	if (af)
		c->flags.carries |= 8;
}

static void decimal_adjust(struct vcpu *c, int sign)
{
	uint8_t old = (uint8_t)reg_read(c, RAX, 1), al = old;
	bool af = (old & 15) > 9 || flag_af(c);
	bool cf = old > 0x99 || flag_cf(c), low_carry = false;

	if (af) {
		low_carry = sign < 0 && old < 6;
		al += sign * 6;
	}
	if (cf)
		al += sign * 0x60;
	reg_write(c, RAX, 1, al);
	decimal_flags(c, al, cf || low_carry, af);
}

void exec_daa(struct vcpu *c, const struct insn *i)
{
	decimal_adjust(c, 1);
	return next(c, i);
}

void exec_das(struct vcpu *c, const struct insn *i)
{
	decimal_adjust(c, -1);
	return next(c, i);
}

static void ascii_adjust(struct vcpu *c, int sign)
{
	uint16_t ax = (uint16_t)reg_read(c, RAX, 2);
	bool adjust = (ax & 15) > 9 || flag_af(c);

	if (adjust)
		ax += sign * 0x106;
	ax &= 0xff0f;
	reg_write(c, RAX, 2, ax);
	decimal_flags(c, (uint8_t)ax, adjust, adjust);
}

void exec_aaa(struct vcpu *c, const struct insn *i)
{
	ascii_adjust(c, 1);
	return next(c, i);
}

void exec_aas(struct vcpu *c, const struct insn *i)
{
	ascii_adjust(c, -1);
	return next(c, i);
}

void exec_aam(struct vcpu *c, const struct insn *i)
{
	uint8_t al = (uint8_t)reg_read(c, RAX, 1), base = (uint8_t)i->imm;

	if (!base)
		raise_fault(c, EXC_DE);
	reg_write(c, RAX, 2, (uint64_t)(al / base) << 8 | al % base);
	flags_logic(c, al % base, 8);
	return next(c, i);
}

void exec_aad(struct vcpu *c, const struct insn *i)
{
	uint8_t al = (uint8_t)(reg_read(c, RAX, 1) + reg_read(c, BYTE_AH, 1) * i->imm);

	reg_write(c, RAX, 2, al);
	flags_logic(c, al, 8);
	return next(c, i);
}
