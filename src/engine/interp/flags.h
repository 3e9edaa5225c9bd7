/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Status flags, computed when somebody asks.
 *
 * result: sign-extended to 64 bits. ZF: result == 0. SF: its sign, xor carries bit 0. PF: even
 * parity of its low byte, xor carries bit 1.
 * carries: bit 63 CF, bit 62 xor bit 63 OF, bit 3 AF, bits 0-1 as above, others 0.
 * Bits 62-63 are the carries out of the two top bits of the operation.
 */
#ifndef ENGINE_FLAGS_H
#define ENGINE_FLAGS_H

#include "engine/vcpu.h"

#define CARRIES_KEPT 0xc000000000000008ull

/* `carry_vector` has, for each bit, the carry (borrow) out of it; `bits` is 8, 16, 32 or 64. */
static ALWAYS_INLINE void flags_set(struct vcpu *c, int64_t result, uint64_t carry_vector,
				    unsigned bits)
{
	c->flags.result = sign_extend((uint64_t)result, bits);
	c->flags.carries = ((carry_vector << (64 - bits)) & 0xc000000000000000ull) |
			   (carry_vector & 8);
}

static ALWAYS_INLINE void flags_logic(struct vcpu *c, int64_t result, unsigned bits)
{
	c->flags.result = sign_extend((uint64_t)result, bits);
	c->flags.carries = 0;
}

static ALWAYS_INLINE bool flag_cf(const struct vcpu *c)
{
	return c->flags.carries >> 63;
}

static ALWAYS_INLINE bool flag_zf(const struct vcpu *c)
{
	return c->flags.result == 0;
}

static ALWAYS_INLINE bool flag_sf(const struct vcpu *c)
{
	return ((uint64_t)c->flags.result >> 63) ^ (c->flags.carries & 1);
}

static ALWAYS_INLINE bool flag_of(const struct vcpu *c)
{
	return (c->flags.carries ^ c->flags.carries << 1) >> 63;
}

static ALWAYS_INLINE bool flag_af(const struct vcpu *c)
{
	return c->flags.carries >> 3 & 1;
}

static ALWAYS_INLINE bool flag_pf(const struct vcpu *c)
{
	return !__builtin_parity((uint8_t)c->flags.result) ^ (c->flags.carries >> 1 & 1);
}

static inline uint32_t flags_status(const struct vcpu *c)
{
	return (flag_cf(c) ? F_CF : 0) | (flag_pf(c) ? F_PF : 0) | (flag_af(c) ? F_AF : 0) |
	       (flag_zf(c) ? F_ZF : 0) | (flag_sf(c) ? F_SF : 0) | (flag_of(c) ? F_OF : 0);
}

/* Sets the six status flags from RFLAGS bits; others in `value` are ignored. */
static inline void flags_load_status(struct vcpu *c, uint32_t value)
{
	bool cf = value & F_CF, of = value & F_OF;

	c->flags.result = value & F_ZF ? 0 : 1;
	c->flags.carries = (uint64_t)cf << 63 | (uint64_t)(cf ^ of) << 62 |
			   (value & F_AF ? 8 : 0) | (value & F_SF ? 1 : 0);
	if (flag_pf(c) != !!(value & F_PF))
		c->flags.carries |= 2;
}

static inline uint64_t rflags_get(const struct vcpu *c)
{
	return c->rflags | F_1 | flags_status(c);
}

/* All of RFLAGS, unconditionally. Privilege rules are the caller's (sys/flags.c). */
static inline void rflags_set(struct vcpu *c, uint64_t value)
{
	c->rflags = value & ~(uint64_t)F_STATUS;
	flags_load_status(c, value);
}

#endif
