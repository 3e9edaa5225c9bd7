/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * String instructions upwards: single elements inline, repeated ones by the host's own string
 * instruction on host addresses, as many as there are to the end of the first page on either side.
 *
 * Then nothing can happen in the middle: no fault, no write to code, and an interrupt waits for a
 * page at most. Overlapping operands overlap at the host's addresses too. MOVS and STOS go on with the
 * next page; of CMPS and SCAS that have not ended by then the interpreter does the rest.
 *
 * Manual: SDM 2, REP, MOVS to SCAS.
 * Left to the interpreter: DF set, FS and GS, an address size that is not the code's, REP LODS,
 * elements that cross pages, and repeated ones with segments that are not flat.
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

static void emit_two(struct translator *t, unsigned map, unsigned opcode, unsigned a, unsigned b)
{
	emit_reg(&t->e,
		 (struct encoding){ .map = (uint8_t)map, .opcode = (uint8_t)opcode, .size = 8 }, a,
		 b);
}

static void exchange(struct translator *t, unsigned a, unsigned b)
{
	emit_two(t, 1, 0x87, a, b);
}

static void subtract(struct translator *t, unsigned from, unsigned what)
{
	emit_two(t, 1, 0x2b, from, what);
}

static void minimum(struct translator *t, unsigned to, unsigned other)
{
	emit_two(t, 1, 0x3b, to, other);
	emit_two(t, 0x0f, 0x47, to, other); /* CMOVA */
}

static void add(struct translator *t, unsigned to, unsigned what) /* EFLAGS stay */
{
	struct host_memory m = at_register(to, 0);

	m.index = (int8_t)what;
	emit_lea(&t->e, t->word, to, m);
}

/* A host's address goes to the index register, and there what is to be added to be the guest's again. */
static void to_host(struct translator *t, unsigned index, unsigned address)
{
	exchange(t, index, address);
	subtract(t, address, index);
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

/* Whole elements from a host's address to the end of its page. */
static void elements_in_page(struct translator *t, const struct insn *i, unsigned to,
			     unsigned address)
{
	emit_mov(&t->e, 4, to, address);
	emit_alu_imm(&t->e, ALU_OR, 4, to, -(int32_t)PAGE_BYTES);
	emit_reg(&t->e, (struct encoding){ .map = 1, .opcode = 0xf7, .size = 4 }, 3, to); /* NEG */
	if (i->opsize > 1)
		emit_shift(&t->e, SHIFT_SHR, 4, to, i->opsize == 8 ? 3 : i->opsize / 2);
}

/* Of RCX elements at host's addresses those in the first page stay, and T1 has how many do not. */
static void keep_those_in_page(struct translator *t, const struct insn *i, bool two)
{
	if (t->word == 4)
		emit_mov(&t->e, 4, H_RCX, H_RCX);
	elements_in_page(t, i, T1, H_RDI);
	minimum(t, T1, H_RCX);
	if (two) {
		emit_push_reg(&t->e, H_RCX);
		elements_in_page(t, i, H_RCX, H_RSI);
		minimum(t, H_RCX, T1);
		emit_pop_reg(&t->e, T1);
	} else {
		exchange(t, T1, H_RCX);
	}
	subtract(t, T1, H_RCX);
}

/* As far as the page goes. EFLAGS are what the host's instruction has left. */
static void through_page(struct translator *t, const struct insn *i, unsigned op)
{
	bool two = op == MOVS || op == CMPS;

	if (two) {
		element(t, i, H_RSI, false);
		emit_store(&t->e, 8, GS(jit_scratch), T0);
	}
	element(t, i, H_RDI, op == MOVS || op == STOS);
	to_host(t, H_RDI, T0);
	if (two) {
		emit_load(&t->e, 8, T1, GS(jit_scratch));
		to_host(t, H_RSI, T1);
		emit_store(&t->e, 8, GS(jit_scratch), T1);
	}
	keep_those_in_page(t, i, two);
	host_string(t, i, op);
	add(t, H_RDI, T0);
	if (two) {
		emit_load(&t->e, 8, T0, GS(jit_scratch));
		add(t, H_RSI, T0);
	}
	add(t, H_RCX, T1);
}

/* The host's address of the first of RCX elements in T0. The jump is taken if they leave its page. */
static uint8_t *all_in_page(struct translator *t, const struct insn *i, unsigned index, bool write)
{
	struct host_memory end = at_register(T1, 0);

	element(t, i, index, write);
	end.index = H_RCX;
	end.scale = (uint8_t)(i->opsize == 8 ? 3 : i->opsize / 2);
	emit_mov(&t->e, 4, T1, T0);
	emit_alu_imm(&t->e, ALU_AND, 4, T1, PAGE_BYTES - 1);
	emit_lea(&t->e, 8, T1, end);
	emit_alu_imm(&t->e, ALU_CMP, 8, T1, PAGE_BYTES);
	return emit_jcc(&t->e, CC_A);
}

/* MOVS, STOS of all RCX elements, and skips what is emitted then up to where the jump returned is to
 * lead: that is for more than are in the page. */
static uint8_t *move_all(struct translator *t, const struct insn *i, unsigned op)
{
	uint8_t *too_many, *from_leaves = NULL, *to_leaves, *skip;

	emit_alu_imm(&t->e, ALU_CMP, 8, H_RCX, PAGE_BYTES);
	too_many = emit_jcc(&t->e, CC_A);
	if (op == MOVS) {
		from_leaves = all_in_page(t, i, H_RSI, false);
		emit_store(&t->e, 8, GS(jit_scratch), T0);
	}
	to_leaves = all_in_page(t, i, H_RDI, true);
	to_host(t, H_RDI, T0);
	if (op == MOVS) {
		emit_load(&t->e, 8, T1, GS(jit_scratch));
		to_host(t, H_RSI, T1);
	}
	host_string(t, i, op);
	add(t, H_RDI, T0);
	if (op == MOVS)
		add(t, H_RSI, T1);
	skip = emit_jmp(&t->e);
	emit_land(&t->e, too_many);
	if (op == MOVS)
		emit_land(&t->e, from_leaves);
	emit_land(&t->e, to_leaves);
	return skip;
}

/* MOVS, STOS. The interpreter leaves if somebody wants the vCPU. */
static void repeat_move(struct translator *t, const struct insn *i, unsigned op)
{
	const uint8_t *again = emit_here(&t->e);
	uint8_t *done = move_all(t, i, op);

	through_page(t, i, op);
	emit_alu_mem_imm(&t->e, ALU_CMP, 2, at_pointer(t, &t->c->run->immediate_exit, T0), 0);
	slow_if(t, CC_NE);
	emit_jmp_to(&t->e, again);
	emit_land(&t->e, done);
}

/* CMPS, SCAS. With RCX 0 the flags stay. What goes on behind the page is the interpreter's, which is
 * faster at long ones. */
static void repeat_compare(struct translator *t, const struct insn *i, unsigned op)
{
	struct slow_path *s = &t->slow[t->slow_count];
	uint8_t *some, *none, *ended, *through;

	emit_reg(&t->e, (struct encoding){ .map = 1, .opcode = 0x85, .size = (uint8_t)t->word },
		 H_RCX, H_RCX);
	some = emit_jcc(&t->e, CC_NE);
	emit_load_status(&t->e, GS(jit_flags), T1);
	none = emit_jmp(&t->e);
	emit_land(&t->e, some);
	through_page(t, i, op);
	flags_now_in_host(t);
	ended = emit_jcc(&t->e, i->prefix & PREFIX_REPNE ? CC_E : CC_NE);
	emit_bytes(&t->e, "\xe3", 2); /* JRCXZ */
	through = t->e.out;
	emit_save_status(&t->e, GS(jit_flags), T0);
	s->from[s->froms++] = emit_jmp(&t->e);
	if (!t->e.full)
		through[-1] = (uint8_t)(t->e.out - through);
	emit_land(&t->e, ended);
	emit_land(&t->e, none);
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
	if (!t->segmented &&
	    (i->addrsize != t->word || i->seg == FS || i->seg == GS || i->seg == CS))
		return false;
	check_direction(t);
	if (!is_repeated(i)) {
		single(t, i, op);
		return true;
	}
	if (op == MOVS || op == STOS)
		repeat_move(t, i, op);
	else
		repeat_compare(t, i, op);
	return true;
}
