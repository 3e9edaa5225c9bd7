/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Exchanges: XCHG, CMPXCHG, XADD, CMPXCHG8B, CMPXCHG16B.
 *
 * Locked forms are one host instruction on the guest's memory where there is one, else they hold
 * the VM's split lock.
 *
 * Manual: SDM 2; SDM 3 8.1.2 (locking).
 */
#include "engine/interp/operand.h"

#define BODY(name)                                                                                 \
	static ALWAYS_INLINE void name##_body(struct vcpu *c, const struct insn *i, unsigned size, \
					      enum form form)

/* With memory always locked. */
BODY(exec_xchg)
{
	uint64_t value = reg_read(c, i->reg, size), old;

	RM_MODIFY(c, i, size, form == FORM_REG ? FORM_REG : FORM_LOCKED, old, value);
	reg_write(c, i->reg, size, old);
}
DEFINE_LOCKED_FAMILY(exec_xchg)

BODY(exec_xadd)
{
	uint64_t b = reg_read(c, i->reg, size), a, sum;

	if (form == FORM_REG) {
		a = reg_read(c, i->rm, size);
		reg_write(c, i->reg, size, a);
		reg_write(c, i->rm, size, a + b); /* last: both may be one register */
	} else {
		RM_MODIFY(c, i, size, form, a, a + b);
		reg_write(c, i->reg, size, a);
	}
	sum = a + b;
	flags_set(c, sum, (a & b) | ((a | b) & ~sum), 8 * size);
}
DEFINE_LOCKED_FAMILY(exec_xadd)

BODY(exec_cmpxchg)
{
	uint64_t acc = reg_read(c, RAX, size), new = reg_read(c, i->reg, size);
	uint64_t old, result;

	if (form == FORM_REG) {
		old = reg_read(c, i->rm, size);
		if (old == acc)
			reg_write(c, i->rm, size, new);
	} else {
		RM_MODIFY(c, i, size, form, old, old == acc ? new : old);
	}
	if (old != acc)
		reg_write(c, RAX, size, old);
	result = acc - old;
	flags_set(c, result, (~acc & old) | ((~acc | old) & result), 8 * size);
}
DEFINE_LOCKED_FAMILY(exec_cmpxchg)

void exec_cmpxchg8b(struct vcpu *c, const struct insn *i)
{
	uint64_t expected = c->gpr[RDX] << 32 | (uint32_t)c->gpr[RAX];
	uint64_t new = c->gpr[RCX] << 32 | (uint32_t)c->gpr[RBX], old;

	RM_MODIFY(c, i, 8, FORM_LOCKED, old, old == expected ? new : old);
	if (old != expected) {
		c->gpr[RAX] = (uint32_t)old;
		c->gpr[RDX] = old >> 32;
	}
	flags_set_zf(c, old == expected);
	return next(c, i);
}

struct pair {
	uint64_t low, high;
};

__attribute__((target("cx16"))) static struct pair host_cas16(void *at, struct pair expected,
							       struct pair new)
{
	typedef unsigned __int128 u128;
	u128 old = __sync_val_compare_and_swap((u128 *)at,
					       (u128)expected.high << 64 | expected.low,
					       (u128)new.high << 64 | new.low);

	return (struct pair){ (uint64_t)old, (uint64_t)(old >> 64) };
}

static bool pairs_equal(struct pair a, struct pair b)
{
	return a.low == b.low && a.high == b.high;
}

static struct pair memory_cas16(struct vcpu *c, gva_t address, struct pair expected,
				struct pair new)
{
	void *host = mem_rmw_pointer(c, address, 16);
	struct pair old;

	if (host)
		return host_cas16(host, expected, new);
	split_lock(c);
	mem_read_bytes(c, address, &old, sizeof(old));
	mem_write_bytes(c, address, pairs_equal(old, expected) ? &new : &old, sizeof(old));
	split_unlock(c);
	return old;
}

void exec_cmpxchg16b(struct vcpu *c, const struct insn *i)
{
	gva_t address = operand_address(c, i, 16, ACCESS_WRITE);
	struct pair expected = { c->gpr[RAX], c->gpr[RDX] }, new = { c->gpr[RBX], c->gpr[RCX] };
	struct pair old;

	if (address & 15)
		raise_gp(c);
	old = memory_cas16(c, address, expected, new);
	if (!pairs_equal(old, expected)) {
		c->gpr[RAX] = old.low;
		c->gpr[RDX] = old.high;
	}
	flags_set_zf(c, pairs_equal(old, expected));
	return next(c, i);
}
