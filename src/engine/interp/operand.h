/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Registers and memory operands by size, and the macros that make one handler per size and form
 * out of one body.
 *
 * A body is `static ALWAYS_INLINE void NAME_body(c, i, size, form)`; size and form are constants in
 * each handler. Bodies commit registers and flags after their last memory access.
 */
#ifndef INTERP_OPERAND_H
#define INTERP_OPERAND_H

#include "engine/interp/address.h"
#include "engine/interp/flags.h"
#include "engine/interp/handlers.h"
#include "engine/interp/interp.h"

enum form { FORM_REG, FORM_MEM, FORM_LOCKED };

#define HANDLER(name, suffix, size, form)                                                          \
	static void name##suffix(struct vcpu *c, const struct insn *i)                             \
	{                                                                                          \
		name##_body(c, i, size, form);                                                     \
		return next(c, i);                                                                 \
	}
#define REG_HANDLERS(name)                                                                         \
	HANDLER(name, _r1, 1, FORM_REG)                                                            \
	HANDLER(name, _r2, 2, FORM_REG)                                                            \
	HANDLER(name, _r4, 4, FORM_REG)                                                            \
	HANDLER(name, _r8, 8, FORM_REG)
#define MEM_HANDLERS(name)                                                                         \
	HANDLER(name, _m1, 1, FORM_MEM)                                                            \
	HANDLER(name, _m2, 2, FORM_MEM)                                                            \
	HANDLER(name, _m4, 4, FORM_MEM)                                                            \
	HANDLER(name, _m8, 8, FORM_MEM)
#define LOCKED_HANDLERS(name)                                                                      \
	HANDLER(name, _l1, 1, FORM_LOCKED)                                                         \
	HANDLER(name, _l2, 2, FORM_LOCKED)                                                         \
	HANDLER(name, _l4, 4, FORM_LOCKED)                                                         \
	HANDLER(name, _l8, 8, FORM_LOCKED)
#define NAMES(name, f) name##_##f##1, name##_##f##2, name##_##f##4, name##_##f##8

#define DEFINE_REG_FAMILY(name)                                                                    \
	REG_HANDLERS(name) op_fn *const name[8] = { NAMES(name, r) };
#define DEFINE_FAMILY(name)                                                                        \
	REG_HANDLERS(name) MEM_HANDLERS(name) op_fn *const name[8] = { NAMES(name, r), NAMES(name, m) };
#define DEFINE_LOCKED_FAMILY(name)                                                                 \
	REG_HANDLERS(name) MEM_HANDLERS(name) LOCKED_HANDLERS(name) op_fn *const name[12] = {      \
		NAMES(name, r), NAMES(name, m), NAMES(name, l)                                     \
	};

static ALWAYS_INLINE uint64_t low_bytes(uint64_t value, unsigned size)
{
	return size == 8 ? value : size == 4 ? (uint32_t)value : size == 2 ? (uint16_t)value :
								       (uint8_t)value;
}

static ALWAYS_INLINE uint64_t reg_read(const struct vcpu *c, unsigned n, unsigned size)
{
	if (size == 1) /* 16 to 19 are AH, CH, DH, BH */
		return ((const uint8_t *)c->gpr)[(n & 15) * 8 + (n >> 4)];
	return low_bytes(c->gpr[n], size);
}

/* Whole-register stores: a later wide load must not wait for a narrow store. */
static ALWAYS_INLINE void reg_write(struct vcpu *c, unsigned n, unsigned size, uint64_t value)
{
	if (size == 8) {
		c->gpr[n] = value;
	} else if (size == 4) {
		c->gpr[n] = (uint32_t)value;
	} else if (size == 2) {
		c->gpr[n] = (c->gpr[n] & ~0xffffull) | (uint16_t)value;
	} else {
		unsigned shift = n >> 4 << 3;
		uint64_t *reg = &c->gpr[n & 15];

		*reg = (*reg & ~(0xffull << shift)) | (uint64_t)(uint8_t)value << shift;
	}
}

static ALWAYS_INLINE uint64_t rm_read(struct vcpu *c, const struct insn *i, unsigned size,
				      enum form form)
{
	if (form == FORM_REG)
		return reg_read(c, i->rm, size);
	return mem_read(c, operand_address(c, i, size, ACCESS_READ), size);
}

static ALWAYS_INLINE void rm_write(struct vcpu *c, const struct insn *i, unsigned size,
				   enum form form, uint64_t value)
{
	if (form == FORM_REG)
		reg_write(c, i->rm, size, value);
	else
		mem_write(c, operand_address(c, i, size, ACCESS_WRITE), size, value);
}

/* A locked compare and exchange on host memory at any alignment. */
static ALWAYS_INLINE bool host_cas(void *at, unsigned size, uint64_t old, uint64_t new)
{
	typedef uint16_t __attribute__((aligned(1), may_alias)) u16;
	typedef uint32_t __attribute__((aligned(1), may_alias)) u32;
	typedef uint64_t __attribute__((aligned(1), may_alias)) u64;

	switch (size) {
	case 1:
		return __sync_bool_compare_and_swap((uint8_t *)at, old, new);
	case 2:
		return __sync_bool_compare_and_swap((u16 *)at, old, new);
	case 4:
		return __sync_bool_compare_and_swap((u32 *)at, old, new);
	default:
		return __sync_bool_compare_and_swap((u64 *)at, old, new);
	}
}

/*
 * Read-modify-write of the rm operand: `old` is declared and read, then `expression` (of `old`,
 * without side effects) is written back, atomically in the locked form.
 */
#define RM_MODIFY(c, i, size, form, old, expression)                                               \
	do {                                                                                       \
		gva_t rmw_at_;                                                                     \
		void *rmw_host_;                                                                   \
                                                                                                   \
		if ((form) == FORM_REG) {                                                          \
			old = reg_read(c, (i)->rm, size);                                          \
			reg_write(c, (i)->rm, size, expression);                                   \
			break;                                                                     \
		}                                                                                  \
		rmw_at_ = operand_address(c, i, size, ACCESS_WRITE);                               \
		if ((form) == FORM_MEM) {                                                          \
			rmw_host_ = tlb_write_pointer(c, rmw_at_, size);                           \
			if (likely(rmw_host_)) {                                                   \
				old = load_le(rmw_host_, size);                                    \
				store_le(rmw_host_, expression, size);                             \
				break;                                                             \
			}                                                                          \
			mem_check_write(c, rmw_at_, size); /* its fault is a write's */            \
			old = mem_read(c, rmw_at_, size);                                          \
			mem_write(c, rmw_at_, size, expression);                                   \
			break;                                                                     \
		}                                                                                  \
		rmw_host_ = mem_rmw_pointer(c, rmw_at_, size);                                     \
		if (rmw_host_) {                                                                   \
			do {                                                                       \
				old = load_le(rmw_host_, size);                                    \
			} while (!host_cas(rmw_host_, size, old, low_bytes(expression, size)));    \
			break;                                                                     \
		}                                                                                  \
		split_lock(c);                                                                     \
		old = mem_read(c, rmw_at_, size);                                                  \
		mem_write(c, rmw_at_, size, expression);                                           \
		split_unlock(c);                                                                   \
	} while (0)

static ALWAYS_INLINE bool condition(const struct vcpu *c, unsigned cc)
{
	bool value = false;

	switch (cc >> 1) {
	case 0:
		value = flag_of(c);
		break;
	case 1:
		value = flag_cf(c);
		break;
	case 2:
		value = flag_zf(c);
		break;
	case 3:
		value = flag_cf(c) || flag_zf(c);
		break;
	case 4:
		value = flag_sf(c);
		break;
	case 5:
		value = flag_pf(c);
		break;
	case 6:
		value = flag_sf(c) != flag_of(c);
		break;
	case 7:
		value = flag_zf(c) || flag_sf(c) != flag_of(c);
		break;
	}
	return value != (cc & 1);
}

/* CF and OF change, the others stay. */
static ALWAYS_INLINE void flags_set_cf_of(struct vcpu *c, bool cf, bool of)
{
	c->flags.carries = (c->flags.carries & 0x3fffffffffffffffull) | (uint64_t)cf << 63 |
			   (uint64_t)(cf ^ of) << 62;
}

static ALWAYS_INLINE void flags_set_cf(struct vcpu *c, bool cf)
{
	flags_set_cf_of(c, cf, flag_of(c));
}

static ALWAYS_INLINE void flags_set_zf(struct vcpu *c, bool zf)
{
	flags_load_status(c, (flags_status(c) & ~F_ZF) | (zf ? F_ZF : 0));
}

static ALWAYS_INLINE uint64_t stack_mask(const struct vcpu *c)
{
	return c->mode & MODE_CODE64 ? ~0ull : c->mode & MODE_STACK32 ? 0xffffffffull : 0xffffull;
}

static ALWAYS_INLINE void stack_pointer_set(struct vcpu *c, uint64_t value)
{
	if (likely(c->mode & MODE_CODE64))
		c->gpr[RSP] = value;
	else if (c->mode & MODE_STACK32)
		c->gpr[RSP] = (uint32_t)value;
	else
		reg_write(c, RSP, 2, value);
}

static ALWAYS_INLINE void push(struct vcpu *c, unsigned size, uint64_t value)
{
	uint64_t sp = (c->gpr[RSP] - size) & stack_mask(c);

	mem_write(c, linear_address(c, SS, sp, size, ACCESS_WRITE), size, value);
	stack_pointer_set(c, sp);
}

/* What POP would give; the caller moves the stack pointer. */
static ALWAYS_INLINE uint64_t stack_top(struct vcpu *c, unsigned size)
{
	uint64_t sp = c->gpr[RSP] & stack_mask(c);

	return mem_read(c, linear_address(c, SS, sp, size, ACCESS_READ), size);
}


#endif
