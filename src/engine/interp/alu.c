/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Addition, subtraction, logic, comparison; flag instructions.
 *
 * Manual: SDM 2, ADD to XOR, 3.4.3.1 (status flags).
 */
#include "engine/interp/operand.h"

enum alu { ADD, OR, ADC, SBB, AND, SUB, XOR, CMP };

/* `carry` is CF before the operation. */
static ALWAYS_INLINE uint64_t alu_result(enum alu op, uint64_t a, uint64_t b, bool carry)
{
	switch (op) {
	case ADD:
		return a + b;
	case ADC:
		return a + b + carry;
	case SUB:
	case CMP:
		return a - b;
	case SBB:
		return a - b - carry;
	case AND:
		return a & b;
	case OR:
		return a | b;
	case XOR:
		return a ^ b;
	}
	return 0;
}

static ALWAYS_INLINE void alu_flags(struct vcpu *c, enum alu op, uint64_t a, uint64_t b,
				    uint64_t result, unsigned size)
{
	if (op == AND || op == OR || op == XOR)
		flags_logic(c, result, 8 * size);
	else if (op == ADD || op == ADC)
		flags_set(c, result, (a & b) | ((a | b) & ~result), 8 * size);
	else
		flags_set(c, result, (~a & b) | ((~a | b) & result), 8 * size);
}

static ALWAYS_INLINE bool carry_in(const struct vcpu *c, enum alu op)
{
	return (op == ADC || op == SBB) && flag_cf(c);
}

static ALWAYS_INLINE void alu_to_rm(struct vcpu *c, const struct insn *i, enum alu op,
				    unsigned size, enum form form, uint64_t b)
{
	bool carry = carry_in(c, op);
	uint64_t a;

	if (op == CMP)
		a = rm_read(c, i, size, form);
	else
		RM_MODIFY(c, i, size, form, a, alu_result(op, a, b, carry));
	alu_flags(c, op, a, b, alu_result(op, a, b, carry), size);
}

static ALWAYS_INLINE void alu_to_reg(struct vcpu *c, const struct insn *i, enum alu op,
				     unsigned size, enum form form)
{
	uint64_t b = rm_read(c, i, size, form);
	uint64_t a = reg_read(c, i->reg, size);
	uint64_t result = alu_result(op, a, b, carry_in(c, op));

	if (op != CMP)
		reg_write(c, i->reg, size, result);
	alu_flags(c, op, a, b, result, size);
}

#define ALU_BODIES(name, op)                                                                       \
	static ALWAYS_INLINE void exec_##name##_rm_r_body(struct vcpu *c, const struct insn *i,    \
							  unsigned size, enum form form)           \
	{                                                                                          \
		alu_to_rm(c, i, op, size, form, reg_read(c, i->reg, size));                        \
	}                                                                                          \
	static ALWAYS_INLINE void exec_##name##_rm_i_body(struct vcpu *c, const struct insn *i,    \
							  unsigned size, enum form form)           \
	{                                                                                          \
		alu_to_rm(c, i, op, size, form, low_bytes(i->imm, size));                          \
	}                                                                                          \
	static ALWAYS_INLINE void exec_##name##_r_rm_body(struct vcpu *c, const struct insn *i,    \
							  unsigned size, enum form form)           \
	{                                                                                          \
		alu_to_reg(c, i, op, size, form);                                                  \
	}
#define ALU_FAMILIES(name, op)                                                                     \
	ALU_BODIES(name, op)                                                                       \
	DEFINE_LOCKED_FAMILY(exec_##name##_rm_r)                                                   \
	DEFINE_LOCKED_FAMILY(exec_##name##_rm_i)                                                   \
	DEFINE_FAMILY(exec_##name##_r_rm)

ALU_FAMILIES(add, ADD)
ALU_FAMILIES(or, OR)
ALU_FAMILIES(adc, ADC)
ALU_FAMILIES(sbb, SBB)
ALU_FAMILIES(and, AND)
ALU_FAMILIES(sub, SUB)
ALU_FAMILIES(xor, XOR)
ALU_BODIES(cmp, CMP)
DEFINE_FAMILY(exec_cmp_rm_r)
DEFINE_FAMILY(exec_cmp_rm_i)
DEFINE_FAMILY(exec_cmp_r_rm)

static ALWAYS_INLINE void exec_test_rm_r_body(struct vcpu *c, const struct insn *i, unsigned size,
					      enum form form)
{
	uint64_t a = rm_read(c, i, size, form);

	flags_logic(c, a & reg_read(c, i->reg, size), 8 * size);
}
DEFINE_FAMILY(exec_test_rm_r)

static ALWAYS_INLINE void exec_test_rm_i_body(struct vcpu *c, const struct insn *i, unsigned size,
					      enum form form)
{
	flags_logic(c, rm_read(c, i, size, form) & i->imm, 8 * size);
}
DEFINE_FAMILY(exec_test_rm_i)

/* As ADD or SUB of 1, but CF stays. */
static ALWAYS_INLINE void step_flags(struct vcpu *c, enum alu op, uint64_t a, uint64_t result,
				     unsigned size)
{
	bool cf = flag_cf(c);

	alu_flags(c, op, a, 1, result, size);
	flags_set_cf(c, cf);
}

static ALWAYS_INLINE void exec_inc_body(struct vcpu *c, const struct insn *i, unsigned size,
					enum form form)
{
	uint64_t a;

	RM_MODIFY(c, i, size, form, a, a + 1);
	step_flags(c, ADD, a, a + 1, size);
}
DEFINE_LOCKED_FAMILY(exec_inc)

static ALWAYS_INLINE void exec_dec_body(struct vcpu *c, const struct insn *i, unsigned size,
					enum form form)
{
	uint64_t a;

	RM_MODIFY(c, i, size, form, a, a - 1);
	step_flags(c, SUB, a, a - 1, size);
}
DEFINE_LOCKED_FAMILY(exec_dec)

static ALWAYS_INLINE void exec_not_body(struct vcpu *c, const struct insn *i, unsigned size,
					enum form form)
{
	uint64_t a;

	RM_MODIFY(c, i, size, form, a, ~a);
}
DEFINE_LOCKED_FAMILY(exec_not)

static ALWAYS_INLINE void exec_neg_body(struct vcpu *c, const struct insn *i, unsigned size,
					enum form form)
{
	uint64_t a;

	RM_MODIFY(c, i, size, form, a, -a);
	alu_flags(c, SUB, 0, a, -a, size);
}
DEFINE_LOCKED_FAMILY(exec_neg)

/* ADCX and ADOX: additions whose carry lives in CF alone or OF alone. */
static ALWAYS_INLINE void exec_adcx_body(struct vcpu *c, const struct insn *i, unsigned size,
					 enum form form)
{
	uint64_t b = rm_read(c, i, size, form), a = reg_read(c, i->reg, size);
	unsigned __int128 sum = (unsigned __int128)a + b + flag_cf(c);

	reg_write(c, i->reg, size, (uint64_t)sum);
	flags_set_cf(c, sum >> (8 * size) & 1);
}
DEFINE_FAMILY(exec_adcx)

static ALWAYS_INLINE void exec_adox_body(struct vcpu *c, const struct insn *i, unsigned size,
					 enum form form)
{
	uint64_t b = rm_read(c, i, size, form), a = reg_read(c, i->reg, size);
	unsigned __int128 sum = (unsigned __int128)a + b + flag_of(c);

	reg_write(c, i->reg, size, (uint64_t)sum);
	flags_set_cf_of(c, flag_cf(c), sum >> (8 * size) & 1);
}
DEFINE_FAMILY(exec_adox)

void exec_clc(struct vcpu *c, const struct insn *i)
{
	flags_set_cf(c, false);
	return next(c, i);
}

void exec_stc(struct vcpu *c, const struct insn *i)
{
	flags_set_cf(c, true);
	return next(c, i);
}

void exec_cmc(struct vcpu *c, const struct insn *i)
{
	flags_set_cf(c, !flag_cf(c));
	return next(c, i);
}

void exec_cld(struct vcpu *c, const struct insn *i)
{
	c->rflags &= ~F_DF;
	return next(c, i);
}

void exec_std(struct vcpu *c, const struct insn *i)
{
	c->rflags |= F_DF;
	return next(c, i);
}

void exec_lahf(struct vcpu *c, const struct insn *i)
{
	reg_write(c, BYTE_AH, 1, rflags_get(c));
	return next(c, i);
}

void exec_sahf(struct vcpu *c, const struct insn *i)
{
	uint32_t of = flag_of(c) ? F_OF : 0;

	flags_load_status(c, (reg_read(c, BYTE_AH, 1) & 0xff) | of);
	return next(c, i);
}

void exec_salc(struct vcpu *c, const struct insn *i)
{
	reg_write(c, RAX, 1, flag_cf(c) ? 0xff : 0);
	return next(c, i);
}
