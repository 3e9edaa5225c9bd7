/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Ends of blocks: links within a page, and the table of recent targets for everything else.
 */
#include "engine/jit/internal.h"

static struct host_memory epoch_for(const struct translator *t)
{
	/* Whoever is in one half of the addresses mostly stays there; else the epoch never fits. */
	return code_half(t->c, t->source->rip) ? GS(code_epoch[1]) : GS(code_epoch[0]);
}

/* T0: the entry of the table of targets, T1: the target, which it still is after a miss. */
static void jump_through_table(struct translator *t, uint8_t *miss[2])
{
	emit_alu(&t->e, ALU_CMP, 8, T1, at_register(T0, offsetof(struct jump_entry, rip)));
	miss[0] = emit_jcc(&t->e, CC_NE);
	emit_store(&t->e, 8, GS(rip), T1);
	emit_load(&t->e, 8, T1, epoch_for(t));
	emit_alu(&t->e, ALU_CMP, 8, T1, at_register(T0, offsetof(struct jump_entry, epoch)));
	miss[1] = emit_jcc(&t->e, CC_NE);
	emit_mem(&t->e, (struct encoding){ .map = 1, .opcode = 0xff, .size = 4 }, 4,
		 at_register(T0, offsetof(struct jump_entry, code)));
	emit_land(&t->e, miss[0]);
	emit_store(&t->e, 8, GS(rip), T1);
	emit_land(&t->e, miss[1]);
}

/* T1 is no canonical address: the interpreter takes the branch, which faults. T0 is overwritten. */
void need_canonical(struct translator *t)
{
	struct slow_path *s = &t->slow[t->slow_count];

	clobber_flags(t);
	emit_mov(&t->e, 8, T0, T1);
	emit_shift(&t->e, SHIFT_SAR, 8, T0, 47);
	emit_alu_imm(&t->e, ALU_ADD, 8, T0, 1);
	emit_alu_imm(&t->e, ALU_CMP, 8, T0, 1);
	s->from[s->froms++] = emit_jcc(&t->e, CC_A);
}

/* After a miss: a target that is not canonical is the interpreter's, which faults at the branch. */
static void check_canonical(struct translator *t, int32_t moved)
{
	struct slow_path *s = &t->slow[t->slow_count];
	uint8_t *fine;

	emit_load(&t->e, 8, T0, GS(rip));
	emit_shift(&t->e, SHIFT_SAR, 8, T0, 47);
	emit_alu_imm(&t->e, ALU_ADD, 8, T0, 1);
	emit_alu_imm(&t->e, ALU_CMP, 8, T0, 1);
	fine = emit_jcc(&t->e, CC_BE);
	emit_lea(&t->e, t->word, GUEST_RSP, at_register(GUEST_RSP, -moved));
	s->from[s->froms++] = emit_jmp(&t->e);
	emit_land(&t->e, fine);
}

void exit_indirect(struct translator *t, int32_t moved)
{
	uint8_t *miss[2];

	need_flags_in_memory(t);
	t->flags_in_host = false;
	_Static_assert(sizeof(struct jump_entry) == 32, "scaled by 32 below");
	emit_imul(&t->e, 4, T0, T1, (int32_t)JUMP_FACTOR);
	emit_shift(&t->e, SHIFT_SHR, 4, T0, 32 - JUMP_BITS - 5);
	emit_alu_imm(&t->e, ALU_AND, 4, T0, ~31);
	emit_alu(&t->e, ALU_ADD, 8, T0, GS(jit_jump));
	jump_through_table(t, miss);
	if (moved >= 0)
		check_canonical(t, moved);
	emit_jmp_to(&t->e, t->jit->leave_rip);
}

/* To another page, which may be elsewhere next time. */
static void exit_far(struct translator *t, uint64_t target)
{
	uint8_t *miss[2];

	need_flags_in_memory(t);
	t->flags_in_host = false;
	emit_mov_imm(&t->e, T1, target);
	emit_mov_imm(&t->e, T0, (uintptr_t)&t->jit->jump[jump_index(target)]);
	jump_through_table(t, miss);
	emit_jmp_to(&t->e, t->jit->leave_rip);
}

void exit_direct(struct translator *t, uint64_t target)
{
	uint64_t from = t->source->rip;
	bool same_page = (from & PAGE_MASK) == (target & PAGE_MASK);
	struct jit_link *link = &t->block->link[t->links];
	uint8_t *place;

	if (!same_page || t->links == MAX_LINKS) {
		exit_far(t, target);
		return;
	}
	*link = (struct jit_link){ .target = target,
				   .page_code = t->source->page_code,
				   .flags_in_host = t->flags_in_host,
				   .forward = target > from + t->insn_start };
	place = emit_jmp(&t->e);
	emit_land(&t->e, place); /* until it is linked it falls through */
	link->place = place;
	need_flags_in_memory(t);
	emit_mov_imm(&t->e, T0, (uintptr_t)link);
	emit_mov_imm(&t->e, T1, target);
	emit_jmp_to(&t->e, t->jit->leave);
	t->links++;
}
