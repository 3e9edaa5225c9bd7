/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Loops in the window: a block that jumps back to its own start.
 *
 * Each turn accesses memory beside the same registers, which have moved by little: that they may be used so was shown
 * by the turn before. So the block is there twice, and in all turns but the first such registers are not looked at.
 *
 * An access has shown that if it was made where a page may be, by translated code or the interpreter; if one
 * went elsewhere the interpreter does not let the block go on (vcpu.window_astray).
 */
#include "engine/jit/internal.h"

enum { MOST_STEPS = JIT_INSNS / 2 };

/* What the second copy expects at its start. */
static bool is_ready(const struct translator *t)
{
	return t->vectors >= t->block->vectors && (!t->block->needs_flags || t->flags_in_memory);
}

/* The jump changes registers itself, which window.c has not seen: LOOP. */
static bool is_by_count(const struct translator *t)
{
	const struct insn *i = t->step[t->now].insn;

	return !insn_is_plain(i, op_info(i->op));
}

bool loop_closes(struct translator *t, uint64_t target)
{
	struct loop *l = &t->loop;

	if (!t->window || target != t->block->rip || t->block->identity2 || t->step_count > MOST_STEPS ||
	    is_by_count(t) || !is_ready(t) || (!l->start && l->froms == LOOP_JUMPS))
		return false;
	if (!l->good)
		l->good = window_proven(t);
	return l->good && !(l->good & ~window_proven(t));
}

void loop_back(struct translator *t, uint8_t *jump)
{
	if (!t->loop.start)
		t->loop.from[t->loop.froms++] = jump;
	else if (!t->e.full)
		branch_aim(jump, t->e.run_delta, t->loop.start);
}

void loop_emit(struct translator *t)
{
	if (!t->loop.froms)
		return;
	t->loop.start = emit_here(&t->e);
	for (unsigned n = 0; n < t->loop.froms; n++)
		emit_land(&t->e, t->loop.from[n]);
	window_begin(t);
	t->window_good |= t->loop.good;
	t->x87_checked = false;
	emit_kick_check(t);
	for (unsigned k = 0; k < t->step_count; k++)
		translate_step(t, k);
}
