/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * String instructions upwards: single elements inline, repeated ones by the host's own string
 * instruction on host addresses, if all of the elements lie within one page on each side.
 *
 * Then nothing can happen in the middle: no fault, no write to code, and an interrupt waits for a
 * page at most. Overlapping operands overlap at the host's addresses too.
 *
 * Manual: SDM 2, REP, MOVS to SCAS.
 * Left to the interpreter: DF set, FS and GS, an address size that is not the code's, REP LODS,
 * repeated ones with segments that are not flat, and everything longer than a page: it goes page by page.
 */
#include "engine/jit/internal.h"

#include "engine/mmu/mmu.h"

enum string_op { MOVS = 0xa4, CMPS = 0xa6, STOS = 0xaa, LODS = 0xac, SCAS = 0xae };

static void check_direction(struct translator *t)
{
	clobber_flags(t);
	emit_mem(&t->e, (struct encoding){ .map = 1, .opcode = 0xf7, .size = 4 }, 0, GS(rflags));
	emit_u32(&t->e, F_DF);
	slow_if(t, CC_NE);
}

/* The host's address of one element in T0. */
static void element(struct translator *t, const struct insn *i, unsigned index, bool write)
{
	if (t->segmented) {
		zero_extend(t, i->addrsize, T0, index);
		segment_to_linear(t, index == H_RDI ? ES : i->seg, i->opsize, write);
	} else {
		emit_mov(&t->e, t->word, T0, index);
	}
	host_address_of_linear(t, i->opsize, write);
}

static void advance(struct translator *t, const struct insn *i, unsigned index)
{
	emit_lea(&t->e, i->addrsize, index, at_register(index, i->opsize));
}

static void single(struct translator *t, const struct insn *i, unsigned op)
{
	unsigned size = i->opsize;
	struct encoding load = { .map = 1, .opcode = 0x8a | (size > 1), .size = size };
	struct encoding store = { .map = 1, .opcode = 0x88 | (size > 1), .size = size };
	struct encoding compare = { .map = 1, .opcode = 0x3a | (size > 1), .size = size };

	if (op == MOVS ||
	    op == CMPS) { /* CMPS faults on ES:rDI first: the slow path does it all anew */
		element(t, i, op == MOVS ? H_RSI : H_RDI, false);
		emit_mem(&t->e, load, T1, at_register(T0, 0));
		emit_store(&t->e, 8, GS(jit_scratch), T1);
	}
	element(t, i, op == CMPS || op == LODS ? H_RSI : H_RDI, op == MOVS || op == STOS);
	if (op == MOVS || op == CMPS)
		emit_mem(&t->e, load, T1, op == MOVS ? GS(jit_scratch) : at_register(T0, 0));
	if (op != STOS && op != SCAS)
		advance(t, i, H_RSI);
	if (op != LODS)
		advance(t, i, H_RDI);
	if (op == MOVS)
		emit_mem(&t->e, store, T1, at_register(T0, 0));
	else if (op == CMPS)
		emit_mem(&t->e, compare, T1, GS(jit_scratch));
	else
		emit_mem(&t->e,
			 op == STOS   ? store
			 : op == LODS ? load
				      : compare,
			 H_RAX, at_register(T0, 0));
	if (op == CMPS || op == SCAS)
		flags_now_in_host(t);
}

/* The host's address of the first of RCX elements in T0; all are in its page. */
static void elements(struct translator *t, const struct insn *i, unsigned index, bool write)
{
	struct host_memory end = at_register(T1, 0);

	element(t, i, index, write);
	end.index = H_RCX;
	end.scale = (uint8_t)(i->opsize == 8 ? 3 : i->opsize / 2);
	emit_mov(&t->e, 4, T1, T0);
	emit_alu_imm(&t->e, ALU_AND, 4, T1, PAGE_BYTES - 1);
	emit_lea(&t->e, 8, T1, end);
	emit_alu_imm(&t->e, ALU_CMP, 8, T1, PAGE_BYTES);
	slow_if(t, CC_A);
}

static void exchange(struct translator *t, unsigned a, unsigned b)
{
	emit_reg(&t->e, (struct encoding){ .map = 1, .opcode = 0x87, .size = 8 }, a, b);
}

static void emit_sub(struct translator *t, unsigned to, struct host_memory m)
{
	emit_alu(&t->e, ALU_SUB, 8, to, m);
}

static void host_string(struct translator *t, const struct insn *i, unsigned op)
{
	if (i->opsize == 2)
		emit_u8(&t->e, 0x66);
	emit_u8(&t->e, i->prefix & PREFIX_REPNE ? 0xf2 : 0xf3);
	if (i->opsize == 8)
		emit_u8(&t->e, 0x48);
	emit_u8(&t->e, op | (i->opsize > 1));
}

/* What a comparison found; with RCX 0 the flags stay. */
static void save_flags(struct translator *t)
{
	flags_now_in_host(t);
	emit_push_reg(&t->e, T0);
	need_flags_in_memory(t);
	emit_pop_reg(&t->e, T0);
	t->flags_in_host = false;
}

static struct host_memory sum(unsigned a, unsigned b)
{
	struct host_memory m = at_register(a, 0);

	m.index = (int8_t)b;
	return m;
}

/* MOVS, CMPS. Host addresses in RSI and RDI, the guest's in T1 and T0 meanwhile. */
static void repeat_two(struct translator *t, const struct insn *i, unsigned op)
{
	elements(t, i, H_RSI, false);
	emit_store(&t->e, 8, GS(jit_scratch), T0);
	elements(t, i, H_RDI, op == MOVS);
	if (op == CMPS)
		need_flags_in_host(t);
	emit_load(&t->e, 8, T1, GS(jit_scratch));
	exchange(t, H_RSI, T1);
	exchange(t, H_RDI, T0);
	host_string(t, i, op);
	if (op == CMPS)
		save_flags(t);
	emit_sub(t, H_RSI, GS(jit_scratch)); /* bytes gone through */
	emit_lea(&t->e, t->word, H_RDI, sum(T0, H_RSI));
	emit_lea(&t->e, t->word, H_RSI, sum(T1, H_RSI));
}

/* STOS, SCAS. */
static void repeat_one(struct translator *t, const struct insn *i, unsigned op)
{
	elements(t, i, H_RDI, op == STOS);
	if (op == SCAS)
		need_flags_in_host(t);
	emit_store(&t->e, 8, GS(jit_scratch), T0);
	exchange(t, H_RDI, T0);
	host_string(t, i, op);
	if (op == SCAS)
		save_flags(t);
	emit_sub(t, H_RDI, GS(jit_scratch));
	emit_lea(&t->e, t->word, H_RDI, sum(T0, H_RDI));
}

static bool is_repeated(const struct insn *i)
{
	return i->prefix & (PREFIX_REP | PREFIX_REPNE);
}

bool native_string(struct translator *t, const struct insn *i, const struct op_info *info)
{
	unsigned op = info->opcode & ~1u;

	if (info->flags & OP_SYSTEM || (is_repeated(i) && (t->segmented || op == LODS)))
		return false;
	if (!t->segmented && (i->addrsize != t->word || i->seg == FS || i->seg == GS || i->seg == CS))
		return false;
	check_direction(t);
	if (!is_repeated(i)) {
		single(t, i, op);
		return true;
	}
	emit_alu_imm(&t->e, ALU_CMP, 8, H_RCX, PAGE_BYTES);
	slow_if(t, CC_A);
	if (op == MOVS || op == CMPS)
		repeat_two(t, i, op);
	else
		repeat_one(t, i, op);
	return true;
}
