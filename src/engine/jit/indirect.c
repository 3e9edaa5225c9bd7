/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Indirect jumps.
 *
 * The host jumps through a table in the vCPU, by the low 16 bits of the target, and what it finds there
 * looks whether it is the target meant: so that a jump that was predicted wrongly waits for two loads
 * only. Entries lead to the arrival of a block, which knows its RIP and the key it was found under
 * (pages.c); all others to `jump_other`. That looks into a table by all bits of RIP, and has the first
 * one follow. Who is not there either, or not as it is now, leaves. Code in the window has a table of
 * its own, with arrivals in open pages (open.c), which know their RIP only.
 *
 * An arrival is made when the run loop comes to a block that such a jump has missed.
 *
 * Branches to what is no canonical address, or beyond CS' limit, are the interpreter's, and fault at the
 * branch. No arrival is there, so that jumps and returns look only after a miss: each says where.
 */
#include "engine/jit/internal.h"

#include "base/bytes.h"

enum { ARRIVAL_BYTES = 64, NOWHERE_MODE = -1 };

/* No canonical address. */
#define NOWHERE (1ull << 63)

static struct host_memory gs_plus(struct host_memory m, unsigned reg)
{
	m.base = (int8_t)reg;
	return m;
}

static struct host_memory target_slot(unsigned reg, bool window)
{
	struct host_memory m = window ? GS(jit_target[1]) : GS(jit_target[0]);

	m.index = (int8_t)reg;
	m.scale = 3;
	return m;
}

/* Translated code. */
static enum condition compare_canonical(struct translator *t)
{
	emit_mov(&t->e, 8, T0, T1);
	emit_shift(&t->e, SHIFT_SAR, 8, T0, 47);
	emit_alu_imm(&t->e, ALU_ADD, 8, T0, 1);
	emit_alu_imm(&t->e, ALU_CMP, 8, T0, 1);
	return CC_A;
}

void need_canonical(struct translator *t)
{
	clobber_flags(t);
	slow_if(t, compare_canonical(t));
}

void need_near_half(struct translator *t)
{
	if (t->word == 4 && !t->segmented)
		return;
	clobber_flags(t);
	if (t->segmented) {
		slow_if(t, compare_with_limit(t));
		return;
	}
	emit_mov(&t->e, 8, T0, T1);
	if (t->rip >> 63) {
		emit_shift(&t->e, SHIFT_SAR, 8, T0, 47);
		emit_alu_imm(&t->e, ALU_ADD, 8, T0, 1);
	} else {
		emit_shift(&t->e, SHIFT_SHR, 8, T0, 47);
	}
	slow_if(t, CC_NE);
}

enum { CALL = 2, JMP = 4 };

static void go_to_target(struct emitter *e, unsigned how, bool window)
{
	emit_reg(e, (struct encoding){ .map = 0x0f, .opcode = 0xb7, .size = 4 }, T0, T1);
	emit_mem(e, (struct encoding){ .map = 1, .opcode = 0xff, .size = 4 }, how, target_slot(T0, window));
}

static int32_t leave_at_once(const struct jit *jit)
{
	return (int32_t)(jit->leave_rip - jit->code.run);
}

static void say_on_miss(struct translator *t)
{
	need_flags_in_memory(t);
	t->flags_in_host = false;
	emit_store_imm(&t->e, 4, GS(jit_on_miss), leave_at_once(t->jit));
}

/* What was emitted last ends in what to do on a miss: to look, then. */
static void look_on_miss(struct translator *t, int32_t moved)
{
	struct slow_path *s = &t->slow[t->slow_count];

	if (t->word == 4 && !t->segmented)
		return;
	s->missed = t->e.out - 4;
	s->moved = moved;
}

void exit_indirect(struct translator *t)
{
	say_on_miss(t);
	look_on_miss(t, 0);
	go_to_target(&t->e, JMP, t->window);
}

void exit_return(struct translator *t, int32_t moved)
{
	need_flags_in_memory(t);
	emit_mov_imm(&t->e, T0, (uint32_t)leave_at_once(t->jit));
	look_on_miss(t, moved);
	emit_u8(&t->e, 0xc3);
}

/* A return came to a call that it does not belong to, or there was none. Only that way back is gone: others may
 * still be right, as behind a retpoline. T0: what to do on a miss. */
static void emit_return_missed(struct jit *jit, struct emitter *e)
{
	for (unsigned window = 0; window < 2; window++) {
		jit->return_missed[window] = emit_here(e);
		emit_store(e, 4, GS(jit_on_miss), T0);
		go_to_target(e, JMP, window);
	}
	jit->returned_nowhere = emit_here(e);
	emit_load(e, 8, H_RSP, GS(jit_returns));
	emit_alu_mem_imm(e, ALU_CMP, 1, GS(windowed), 0);
	emit_jcc_to(e, CC_E, jit->return_missed[0]);
	emit_jmp_to(e, jit->return_missed[1]);
}

void call_indirect(struct translator *t, uint64_t back)
{
	need_room(t);
	emit_load(&t->e, 8, T1, GS(jit_scratch));
	say_on_miss(t);
	go_to_target(&t->e, CALL, t->window);
	t->e.touched = ~0u;
	come_back(t, back);
}

void emit_missed(struct translator *t, struct slow_path *s)
{
	uint8_t *fine;

	if (!t->e.full)
		store_le32(s->missed, (uint32_t)(t->e.out - t->jit->code.write));
	fine = emit_jcc(&t->e, (t->segmented ? compare_with_limit(t) : compare_canonical(t)) ^ 1);
	move_stack(t, GUEST_RSP, -s->moved);
	s->from[s->froms++] = emit_jmp(&t->e);
	emit_land(&t->e, fine);
	emit_jmp_to(&t->e, t->jit->leave_rip);
}

/* The jump is taken if the page is not what it was. T1 is overwritten. */
static uint8_t *emit_page_look(struct emitter *e)
{
	uint8_t *miss;

	emit_load(e, 8, T1, at_register(T0, offsetof(struct jit_block, half)));
	emit_load(e, 8, T1, gs_plus(GS(jit_pages), T1));
	emit_alu(e, ALU_ADD, 8, T1, at_register(T0, offsetof(struct jit_block, slot)));
	emit_load(e, 8, T1, at_register(T1, 0));
	emit_alu(e, ALU_CMP, 8, T1, at_register(T0, offsetof(struct jit_block, identity)));
	miss = emit_jcc(e, CC_NE);
	emit_load(e, 8, T1, at_register(T0, offsetof(struct jit_block, half)));
	emit_load(e, 8, T1, gs_plus(GS(jit_key), T1));
	emit_store(e, 8, at_register(T0, offsetof(struct jit_block, key)), T1);
	return miss;
}

/* T1: the target. The block that was there last, if its page is what it was: pages.c. In the window it has
 * an arrival only while that is so. */
static void emit_jump_other(struct jit *jit, struct emitter *e, bool window)
{
	uint8_t *miss[3] = { 0 };

	jit->jump_other[window] = emit_here(e);
	emit_store(e, 8, GS(jit_scratch), T1);
	emit_imul(e, 4, T0, T1, (int32_t)JUMP_FACTOR);
	emit_shift(e, SHIFT_SHR, 4, T0, 32 - JUMP_BITS - 3);
	emit_alu_imm(e, ALU_AND, 4, T0, ~7);
	emit_alu(e, ALU_ADD, 8, T0, GS(jit_jump));
	emit_load(e, 8, T0, at_register(T0, 0));
	emit_alu(e, ALU_CMP, 8, T1, at_register(T0, offsetof(struct jit_block, rip)));
	miss[0] = emit_jcc(e, CC_NE);
	emit_load(e, 8, T1, at_register(T0, offsetof(struct jit_block, half)));
	emit_load(e, 8, T1, gs_plus(GS(jit_key), T1));
	emit_alu(e, ALU_XOR, 8, T1, at_register(T0, offsetof(struct jit_block, key)));
	emit_shift(e, SHIFT_SHL, 8, T1, 64 - JIT_KEY_MODE_BITS);
	miss[1] = emit_jcc(e, CC_NE);
	if (!window)
		miss[2] = emit_page_look(e);
	emit_load(e, 8, T0, at_register(T0, offsetof(struct jit_block, arrival)));
	emit_mem(e, (struct encoding){ .map = 0x0f, .opcode = 0xb7, .size = 4 }, T1, GS(jit_scratch));
	emit_store(e, 8, target_slot(T1, window), T0);
	emit_load(e, 8, T1, GS(jit_scratch));
	emit_jmp_reg(e, T0);
	for (unsigned n = 0; n < ARRAY_LEN(miss); n++)
		if (miss[n])
			emit_land(e, miss[n]);
	emit_load(e, 8, T1, GS(jit_scratch));
	emit_jmp_to(e, jit->jump_missed);
}

void indirect_emit_thunks(struct jit *jit, struct emitter *e)
{
	emit_return_missed(jit, e);
	jit->jump_missed = emit_here(e);
	emit_store(e, 8, GS(jit_missed), T1);
	emit_mov_imm(e, T0, (uintptr_t)jit->code.run);
	emit_load(e, 4, T1, GS(jit_on_miss));
	emit_reg(e, (struct encoding){ .map = 1, .opcode = 0x03, .size = 8 }, T0, T1);
	emit_load(e, 8, T1, GS(jit_missed));
	emit_jmp_reg(e, T0);
	emit_jump_other(jit, e, false);
	emit_jump_other(jit, e, true);
}

/* The run loop. */
/* An arrival's. */
static struct emitter emitter_for(const struct jit *jit, uint8_t *out)
{
	return (struct emitter){ .out = out, .begin = out, .end = out + ARRIVAL_BYTES,
				 .run_delta = run_delta(jit) };
}

/* No shorter than the jump which arrival_close() puts in its place: never with a number of one byte. */
static void compare_with_rip(struct emitter *e, uint64_t rip)
{
	if (is_signed_32(rip)) {
		emit_reg(e, (struct encoding){ .map = 1, .opcode = 0x81, .size = 8 }, ALU_CMP, T1);
		emit_u32(e, (uint32_t)rip);
	} else {
		emit_mov_imm(e, T0, rip);
		emit_reg(e, (struct encoding){ .map = 1, .opcode = 0x3b, .size = 8 }, T1, T0);
	}
}

/* Falls through if the jump was meant for this block. T1 stays the target for who looks next. */
static void emit_look(struct emitter *e, const struct vcpu *c, const struct jit_block *block)
{
	bool window = is_in_window(block);

	compare_with_rip(e, block->rip);
	emit_jcc_to(e, CC_NE, c->jit->jump_other[window]);
	if (window)
		return;
	emit_load(e, 8, T0, pointer_operand(e, c, &block->key, T0));
	emit_alu(e, ALU_CMP, 8, T0, block->half ? GS(jit_key[1]) : GS(jit_key[0]));
	emit_jcc_to(e, CC_NE, c->jit->jump_other[0]);
}

void emit_arrival(struct emitter *e, const struct vcpu *c, struct jit_block *block)
{
	if (c->jit_missed != block->rip)
		return;
	block->arrival_at = emit_here(e);
	emit_look(e, c, block);
}

/* Of a block that was translated without; if there is room. */
static void add_arrival(struct vcpu *c, struct jit_block *block)
{
	struct jit *jit = c->jit;
	uint8_t *out = jit->code.write + jit->used;
	struct emitter e = emitter_for(jit, out);

	if (jit->used + ARRIVAL_BYTES > COLD_AT)
		return;
	emit_look(&e, c, block);
	emit_jmp_to(&e, is_in_window(block) ? block->entry : block->entry_any);
	if (e.full)
		return;
	jit->used = ALIGN_UP((size_t)(e.out - jit->code.write), 16);
	block->arrival_at = out + e.run_delta;
}

void arrival_restore(struct jit *jit, struct jit_block *block)
{
	struct emitter e = emitter_for(jit, (uint8_t *)block->arrival_at - run_delta(jit));

	compare_with_rip(&e, block->rip);
	block->arrival = block->arrival_at;
}

void arrival_close(struct jit *jit, struct jit_block *block)
{
	struct emitter e = emitter_for(jit, (uint8_t *)block->arrival_at - run_delta(jit));

	emit_jmp_to(&e, jit->jump_other[1]);
	block->arrival = jit->jump_missed;
}

void target_arrived(struct vcpu *c, struct jit_block *block, struct page_identity *p)
{
	struct jit *jit = c->jit;
	unsigned window = is_in_window(block);

	jit->jump[jump_index(block->rip)] = block;
	if (!block->arrival_at && c->jit_missed == block->rip)
		add_arrival(c, block);
	if (block->arrival_at && block->arrival == jit->jump_missed) {
		if (window)
			arrival_open(c, block, p);
		else
			block->arrival = block->arrival_at;
	}
	/* Never that of another block at this RIP, which may be of no use any more. */
	c->jit_target[window][(uint16_t)block->rip] =
		block->arrival == jit->jump_missed ? jit->jump_other[window] : block->arrival;
}

bool target_is_good(const struct vcpu *c, const struct jit_block *b)
{
	const uint8_t *pages = (const uint8_t *)c->jit_pages[b->half / 8];

	return b->rip == c->rip && b->mode == jit_mode(c) &&
	       (b->key == c->jit_key[b->half / 8] ||
		load_le64(pages + b->slot) == (uintptr_t)b->identity);
}

void targets_forget(struct vcpu *c)
{
	struct jit *jit = c->jit;

	jit->nowhere = (struct jit_block){ .rip = NOWHERE, .mode = (uint32_t)NOWHERE_MODE };
	c->jit_missed = NOWHERE;
	for (unsigned n = 0; n < JUMP_ENTRIES; n++)
		jit->jump[n] = &jit->nowhere;
	for (unsigned n = 0; n < JIT_TARGETS; n++) {
		c->jit_target[0][n] = jit->jump_other[0];
		c->jit_target[1][n] = jit->jump_other[1];
	}
}
