/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Ends of blocks.
 *
 * A jump within the page leads to the other block itself once that has been found (jit_arrived). One
 * to another page does too: in the window while that is open (open.c), else it looks whether the page has
 * the identity that it had then (pages.c). Until then all lead to the run loop. What is seldom needed of
 * all this is out of line.
 */
#include "engine/jit/internal.h"

/* The identities of pages in that half of the addresses. */
static struct host_memory pages_around(const struct translator *t, uint64_t linear)
{
	return code_half(t->c, linear) ? GS(jit_pages[1]) : GS(jit_pages[0]);
}

void load_identity(struct translator *t, uint64_t linear)
{
	unsigned slot = 8 * page_slot(linear, t->source->mode);

	emit_load(&t->e, 8, T0, pages_around(t, linear));
	emit_load(&t->e, 8, T0, at_register(T0, (int32_t)slot));
}

static struct host_memory key_for(const struct translator *t)
{
	return code_half(t->c, linear_of(t, t->rip)) ? GS(jit_key[1]) : GS(jit_key[0]);
}

static struct jit_link *new_link(struct translator *t, uint64_t target, bool is_far)
{
	struct jit_link *link = &t->jit->links[t->jit->link_count++];

	*link = (struct jit_link){ .target = target,
				   .page_code = t->source->page_code,
				   .flags_in_host = t->flags_in_host,
				   .is_far = is_far,
				   .vectors = t->vectors,
				   .mode = t->source->mode,
				   .forward = target > t->rip + t->insn_start };
	return link;
}

static struct link_stub *new_stub(struct translator *t, struct jit_link *link)
{
	struct link_stub *stub = &t->stub[t->stubs++];

	*stub = (struct link_stub){ .link = link,
				    .push_flags = t->flags_in_host && !t->flags_in_memory };
	return stub;
}

/* The host's instruction that goes there: emit_jmp() or emit_call(). */
typedef uint8_t *emit_way(struct emitter *e);

/* To another page, which may be elsewhere next time. Flags are in memory. */
static void exit_far(struct translator *t, uint64_t target, emit_way *emit)
{
	struct jit_link *link = new_link(t, target, true);
	struct link_stub *stub;

	emit_load(&t->e, 8, T0, key_for(t));
	emit_alu(&t->e, ALU_CMP, 8, T0, at_pointer(t, &link->key, T1));
	stub = new_stub(t, link);
	stub->stale = emit_jcc(&t->e, CC_NE);
	stub->place = link->place = emit(&t->e);
}

/* Another address space than last time, or after a flush: the same page may be there nevertheless. */
static void emit_stale_link(struct translator *t, const struct link_stub *stub)
{
	struct jit_link *link = stub->link;
	uint8_t *other;

	emit_land(&t->e, stub->stale);
	load_identity(t, linear_of(t, link->target));
	emit_alu(&t->e, ALU_CMP, 8, T0, at_pointer(t, &link->identity, T1));
	other = emit_jcc(&t->e, CC_NE);
	emit_load(&t->e, 8, T0, key_for(t));
	emit_store(&t->e, 8, at_pointer(t, &link->key, T1), T0);
	emit_jmp_to(&t->e, link->place - 1 + t->e.run_delta); /* the jump or call */
	emit_land(&t->e, other);
}

static bool on_page(const struct translator *t, uint64_t target)
{
	return !((linear_of(t, t->rip) ^ linear_of(t, target)) & PAGE_MASK);
}

/* Nobody has to look there: it is the same page, or an open one (open.c). */
static bool is_sure(const struct translator *t, uint64_t target)
{
	return t->window || on_page(t, target);
}

static void link_surely(struct translator *t, uint64_t target, uint8_t *place)
{
	struct jit_link *link = new_link(t, target, !on_page(t, target));

	new_stub(t, link)->place = link->place = place;
}

static void exit_by(struct translator *t, uint64_t target, emit_way *emit)
{
	if (is_sure(t, target)) {
		link_surely(t, target, emit(&t->e));
		return;
	}
	need_flags_in_memory(t);
	t->flags_in_host = false;
	exit_far(t, target, emit);
}

void exit_direct(struct translator *t, uint64_t target)
{
	exit_by(t, target, emit_jmp);
}

void exit_if(struct translator *t, enum condition condition, uint64_t target)
{
	uint8_t *taken = emit_jcc(&t->e, condition);

	if (is_sure(t, target)) {
		link_surely(t, target, taken);
		return;
	}
	t->far_jump[t->far_jumps++] = (struct far_jump){ .from = taken, .target = target,
							 .in_host = t->flags_in_host,
							 .in_memory = t->flags_in_memory,
							 .vectors = t->vectors };
}

/* The conditional jumps to other pages, which exit_if() has left for later. */
static void emit_far_jumps(struct translator *t)
{
	for (unsigned n = 0; n < t->far_jumps; n++) {
		const struct far_jump *far = &t->far_jump[n];

		emit_land(&t->e, far->from);
		t->flags_in_host = far->in_host;
		t->flags_in_memory = far->in_memory;
		t->vectors = far->vectors;
		exit_direct(t, far->target);
	}
}

/* No room: from the start. */
static void emit_crowded(struct translator *t)
{
	for (unsigned n = 0; n < t->crowds; n++) {
		emit_land(&t->e, t->crowded[n].from);
		emit_load(&t->e, 8, H_RSP, GS(jit_returns));
		emit_jmp_to(&t->e, t->crowded[n].resume);
	}
}

static void emit_backs(struct translator *t)
{
	while (t->backs && (uintptr_t)t->e.out % 8)
		emit_u8(&t->e, 0xcc);
	for (unsigned n = 0; n < t->backs; n++) {
		emit_land(&t->e, t->back[n].place);
		emit_bytes(&t->e, &t->back[n].rip, 8);
	}
}

void exits_emit(struct translator *t)
{
	emit_far_jumps(t);
	emit_crowded(t);
	emit_backs(t);
	for (unsigned n = 0; n < t->stubs; n++) {
		const struct link_stub *stub = &t->stub[n];

		if (stub->stale)
			emit_stale_link(t, stub);
		emit_land(&t->e, stub->place); /* until it is linked */
		stub->link->stub = emit_here(&t->e);
		if (stub->push_flags)
			emit_save_status(&t->e, GS(jit_flags), T0);
		emit_mov_imm(&t->e, T1, stub->link->target);
		emit_mov_imm(&t->e, T0, (uintptr_t)stub->link);
		emit_jmp_to(&t->e, t->jit->leave);
	}
}

/*
 * Calls and returns are the host's, so that returns are predicted as such. A return brings the guest's
 * target in T1; where it comes to that is held against what was behind the call. Flags are in memory.
 * Whoever leaves translated code drops all ways back.
 */
void need_room(struct translator *t)
{
	if (t->window) { /* it faults if there is none: jit_fault() */
		emit_load(&t->e, 4, T0, at_register(H_RSP, -STACK_ROOM));
		return;
	}
	clobber_flags(t);
	emit_alu(&t->e, ALU_CMP, 8, H_RSP, GS(jit_returns_end));
	t->crowded[t->crowds].from = emit_jcc(&t->e, CC_BE);
	t->crowded[t->crowds++].resume = emit_here(&t->e);
}

void come_back(struct translator *t, uint64_t back)
{
	if (is_signed_32(back)) {
		emit_alu_imm(&t->e, ALU_CMP, 8, T1, (int32_t)back);
	} else {
		t->back[t->backs].place = emit_cmp_forward(&t->e, T1);
		t->back[t->backs++].rip = back;
	}
	emit_jcc_to(&t->e, CC_NE, t->jit->return_missed[t->window]);
	t->flags_in_host = false;
	t->flags_in_memory = true;
	t->vectors = VECTORS_NONE;
	exit_direct(t, back);
}

void call_direct(struct translator *t, uint64_t target, uint64_t back)
{
	need_room(t);
	exit_by(t, target, emit_call);
	come_back(t, back);
}
