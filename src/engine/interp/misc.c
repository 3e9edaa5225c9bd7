/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * What is left: NOPs, hints, fences, random numbers, BOUND, undefined opcodes.
 *
 * Not modelled: caches; CLFLUSH and relatives only check their address.
 */
#include "base/port.h"
#include "engine/interp/exec.h"
#include "engine/interp/operand.h"

void exec_ud(struct vcpu *c, const struct insn *i)
{
	(void)i;
	raise_ud(c);
}

/* [SDM 2A 2.3.11] more than 15 bytes */
void exec_gp_too_long(struct vcpu *c, const struct insn *i)
{
	(void)i;
	raise_gp(c);
}

void exec_nop(struct vcpu *c, const struct insn *i)
{
	return next(c, i);
}

void exec_pause(struct vcpu *c, const struct insn *i)
{
	enum { SPINS = 32 };

	port_relax();
	if (!(++c->count_pauses % SPINS))
		port_yield(); /* whom it waits for may need this host processor */
	return next(c, i);
}

void exec_fence(struct vcpu *c, const struct insn *i)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return next(c, i);
}

static void check_readable(struct vcpu *c, gva_t address)
{
	unsigned bytes;

	mem_span(c, address, ACCESS_READ, &bytes);
}

void exec_clflush(struct vcpu *c, const struct insn *i)
{
	check_readable(c, operand_address(c, i, 1, ACCESS_READ));
	return next(c, i);
}

static uint64_t random_number(void)
{
	uint64_t value;

	port_random(&value, sizeof(value));
	return value;
}

void exec_rdrand(struct vcpu *c, const struct insn *i)
{
	reg_write(c, i->rm, i->opsize, random_number());
	flags_load_status(c, F_CF);
	return next(c, i);
}

void exec_bound(struct vcpu *c, const struct insn *i)
{
	gva_t address = operand_address(c, i, 2 * i->opsize, ACCESS_READ);
	unsigned bits = 8 * i->opsize;
	int64_t low = sign_extend(mem_read(c, address, i->opsize), bits);
	int64_t high = sign_extend(mem_read(c, address + i->opsize, i->opsize), bits);
	int64_t index = sign_extend(c->gpr[i->reg], bits);

	if (index < low || index > high)
		raise_fault(c, EXC_BR);
	return next(c, i);
}
