/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * A block of guest code into host code: flags, and the frame around each instruction.
 */
#include "engine/jit/internal.h"

#include "base/bytes.h"
#include "engine/vm.h"

/* Flags. */
void need_flags_in_host(struct translator *t)
{
	if (!t->flags_in_host) {
		emit_load_status(&t->e, GS(jit_flags), T1);
		t->flags_in_host = true;
	}
}

void keep_flags(struct translator *t, unsigned temp)
{
	if (t->flags_in_host && !t->flags_in_memory) {
		emit_save_status(&t->e, GS(jit_flags), temp);
		t->flags_in_memory = true;
		t->flags_saved_at = t->e.out;
	}
}

void need_flags_in_memory(struct translator *t)
{
	keep_flags(t, T0);
}

void clobber_flags(struct translator *t)
{
	if (t->live_before)
		need_flags_in_memory(t);
	t->flags_in_host = false;
}

void flags_now_in_host(struct translator *t)
{
	t->flags_in_host = true;
	t->flags_in_memory = false;
}

uint64_t insn_end(const struct translator *t, const struct insn *i)
{
	return branch_target(t, i->start + i->length);
}

/* `offset` bytes behind the block's start, in the code's address size. */
uint64_t branch_target(const struct translator *t, uint64_t offset)
{
	uint64_t target = t->rip + offset;

	return t->word == 8 ? target : (uint32_t)target;
}

uint64_t relative_target(const struct translator *t, const struct insn *i)
{
	uint64_t target = branch_target(t, i->imm);

	return i->opsize == 2 ? (uint16_t)target : target;
}

/* Instructions for the interpreter. */
static struct jit_single *new_single(struct translator *t, const struct insn *i)
{
	struct jit_single *s = &t->jit->singles[t->jit->single_count];

	if (t->jit->single_count == MAX_SINGLES) {
		t->e.full = true;
		return s - 1;
	}
	t->jit->single_count++;
	s->insn[0] = *i;
	s->insn[1] = (struct insn){ .exec = jit_single_done, .start = i->start + i->length,
				    .opsize = !t->is_last };
	s->block_rip = t->rip;
	s->is_untranslated = false;
	return s;
}

void call_single(struct translator *t, struct jit_single *single)
{
	emit_mov_imm(&t->e, T1, (uintptr_t)single);
	emit_call_run(&t->e, t->jit->single_thunk);
}

static void interpret(struct translator *t, const struct insn *i)
{
	struct jit_single *single = new_single(t, i);

	single->is_untranslated = true;
	need_flags_in_memory(t);
	x87_store_rip(t, t->x87_rip);
	t->x87_rip = 0;
	t->x87_checked = false;
	call_single(t, single);
	t->flags_in_host = false;
	t->flags_in_memory = true;
	t->vectors = VECTORS_NONE;
}

/* The out-of-line ways of all instructions, behind the block. */
static void emit_slow_paths(struct translator *t)
{
	for (unsigned k = 0; k < t->slow_count; k++) {
		struct slow_path *s = &t->slow[k];
		uint8_t *missed[2], *faulted = NULL;

		if (s->missed)
			emit_missed(t, s);
		if (s->may_fault || s->may_be_closed)
			window_emit_faults(t, s);
		if (!s->single) /* a look behind an instruction */
			continue;
		if (s->may_fault && s->stacks) /* PUSH of memory: another access goes by the TLB */
			faulted = emit_jmp(&t->e);
		for (unsigned n = 0; n < s->stacks; n++) {
			emit_land(&t->e, s->stack_from[n]);
			emit_call_run(&t->e, t->jit->stack_thunk);
			missed[n] = emit_jcc(&t->e, CC_A);
			emit_jmp_to(&t->e, s->stack_resume[n]);
		}
		for (unsigned n = 0; n < s->stacks; n++)
			emit_land(&t->e, missed[n]);
		if (faulted)
			emit_land(&t->e, faulted);
		for (unsigned n = 0; n < s->froms; n++)
			emit_land(&t->e, s->from[n]);
		x87_store_rip(t, s->x87_rip);
		call_single(t, s->single);
		if (s->is_x87)
			x87_recheck(t, s->rip_behind);
		if (s->vectors) {
			emit_call_run(&t->e, t->jit->vectors_load[s->vectors]);
			leave_for(t, CC_B, s->rip_behind);
		}
		if (s->flags_to_host)
			emit_load_status(&t->e, GS(jit_flags), T1);
		emit_jmp_to(&t->e, s->resume);
	}
}

/* The entry. */
static void leave_unless(struct translator *t, enum condition wrong)
{
	t->leave[t->leaves++] = emit_jcc(&t->e, wrong);
}

void leave_for(struct translator *t, enum condition condition, uint64_t rip)
{
	if (t->leave_at_count == MAX_LEAVES) {
		t->e.full = true;
		return;
	}
	t->leave_at[t->leave_at_count++] = (struct leave_at){ emit_jcc(&t->e, condition), rip };
}

/* Of an instruction that crosses pages: each way in passes here. */
static void check_second_page(struct translator *t)
{
	const struct jit_block *b = t->block;

	load_identity(t, b->linear + PAGE_BYTES);
	emit_alu(&t->e, ALU_CMP, 8, T0, at_pointer(t, &b->identity2, T1));
	leave_unless(t, CC_NE);
	emit_alu_mem_imm(&t->e, ALU_CMP, 4, at_pointer(t, b->page_code, T0), (int32_t)b->stamp);
	leave_unless(t, CC_NE);
	emit_alu_mem_imm(&t->e, ALU_CMP, 4, at_pointer(t, b->page2_code, T0), (int32_t)b->stamp2);
	leave_unless(t, CC_NE);
}

/* In the window few come so: pages are open. */
static void emit_entry_any(struct translator *t)
{
	const struct jit_source *s = t->source;

	t->block->entry_any = emit_here(&t->e);
	emit_alu_mem_imm(&t->e, ALU_CMP, 4, at_pointer(t, s->page_code, T0), (int32_t)s->stamp);
	leave_unless(t, CC_NE);
}

/*
 * Code that changed, missing vector registers, and a wish to leave (vcpu.h, VCPU_KICK): back to the
 * run loop. Every loop has a backward or an indirect jump, which look for the latter. Code changes
 * under a running block only in ways that make everybody leave.
 */
static void emit_entry(struct translator *t)
{
	struct jit_block *b = t->block;

	b->needs_flags = t->live_before;
	if (!t->window)
		emit_entry_any(t);
	b->entry = emit_here(&t->e);
	if (b->vectors) {
		emit_alu_mem_imm(&t->e, ALU_CMP, 1, GS(jit_vectors), (int32_t)b->vectors);
		t->vectors_missing = emit_jcc(&t->e, CC_B);
		t->vectors = b->vectors;
	}
	b->entry_vectors = emit_here(&t->e);
	emit_alu_mem_imm(&t->e, ALU_CMP, 2, at_pointer(t, &t->c->run->immediate_exit, T0), 0);
	leave_unless(t, CC_NE);
	b->entry_forward = emit_here(&t->e);
	if (b->identity2)
		check_second_page(t);
	t->flags_in_host = false;
	t->flags_in_memory = true;
}

/* Where the checks of the entry lead. */
static void emit_leaving(struct translator *t)
{
	if (t->block->vectors) {
		emit_land(&t->e, t->vectors_missing);
		emit_call_run(&t->e, t->jit->vectors_load[t->block->vectors]);
		leave_unless(t, CC_B);
		emit_jmp_to(&t->e, t->block->entry_vectors);
	}
	if (t->block->needs_flags) {
		t->block->entry_flags = emit_here(&t->e);
		emit_save_status(&t->e, GS(jit_flags), T0);
		emit_jmp_to(&t->e, t->block->entry);
	}
	if (t->window) {
		emit_entry_any(t);
		emit_jmp_to(&t->e, t->block->entry);
	}
	for (unsigned n = 0; n < t->leave_at_count; n++) {
		emit_land(&t->e, t->leave_at[n].place);
		emit_mov_imm(&t->e, T1, t->leave_at[n].rip);
		emit_jmp_to(&t->e, t->jit->leave_rip);
	}
	for (unsigned n = 0; n < t->leaves; n++)
		emit_land(&t->e, t->leave[n]);
	emit_mov_imm(&t->e, T1, t->source->part[0].rip);
	emit_jmp_to(&t->e, t->jit->leave_rip);
}

static bool has_slow_path(const struct slow_path *s)
{
	return s->froms || s->stacks || s->may_fault || s->may_be_closed || s->missed;
}

/* Of the instruction whose code begins at `start`, and ends here. */
static void add_slow_path(struct translator *t, const struct insn *i, const uint8_t *start,
			  const uint8_t *resume)
{
	struct slow_path *s = &t->slow[t->slow_count++];

	s->single = new_single(t, i);
	s->resume = resume;
	s->rip_behind = insn_end(t, i);
	s->begin = start;
	s->end = t->e.out;
	s->split = s->flags_only_in_host && t->flags_saved_at > start ? t->flags_saved_at : NULL;
}

/* True: it has a slow path. */
static bool translate_insn(struct translator *t, const struct insn *i)
{
	const struct op_info *info = op_info(i->op);
	struct slow_path *s = &t->slow[t->slow_count];
	bool in_host = t->flags_in_host, in_memory = t->flags_in_memory;
	enum vector_level vectors = t->vectors;
	unsigned leaves = t->leave_at_count, groups = t->group_count;
	struct keep keep = t->keep;
	uint32_t good = t->window_good, constant = t->window_constant;
	bool constants = t->window_constants;
	uint8_t *start = t->e.out;

	*s = (struct slow_path){ 0 };
	if (t->slow_count + 2 < MAX_SLOW && i->op && is_addressable(t, i) &&
	    (native_vector(t, i, info) || native_insn(t, i, info))) {
		if (!has_slow_path(s)) {
			window_behind(t, false);
			return false;
		}
		s->flags_to_host = t->flags_in_host;
		s->vectors = t->vectors;
		add_slow_path(t, i, start, emit_here(&t->e));
		window_behind(t, false);
		return true;
	}
	t->e.out = start;
	t->flags_saved_at = NULL;
	t->flags_in_host = in_host;
	t->flags_in_memory = in_memory;
	t->vectors = vectors;
	t->leave_at_count = leaves;
	t->group_count = groups;
	t->keep = keep;
	t->window_good = good;
	t->window_constants = constants;
	t->window_constant = constant;
	t->window_late = t->window_stack_seen = false;
	interpret(t, i);
	window_behind(t, true);
	return true;
}

static void translate_last(struct translator *t, const struct insn *i)
{
	const struct op_info *info = op_info(i->op);
	struct slow_path *s = &t->slow[t->slow_count];
	uint8_t *start = t->e.out;

	if (!(info->flags & OP_ENDS_BLOCK) || loads_segment_natively(t, i, info)) {
		translate_insn(t, i);
		exit_direct(t, insn_end(t, i));
		return;
	}
	*s = (struct slow_path){ 0 };
	if (is_addressable(t, i) && native_branch(t, i, info)) {
		if (has_slow_path(s)) /* the interpreter takes the branch, and does not come back */
			add_slow_path(t, i, start, t->block->entry);
		return;
	}
	interpret(t, i); /* a handler that branched does not come back here */
	exit_direct(t, insn_end(t, i));
}

static bool is_conditional(const struct insn *i, const struct op_info *info)
{
	return info->encoding == LEGACY && ((info->map == MAP_1 && (info->opcode & 0xf0) == 0x70) ||
					    (info->map == MAP_0F && (info->opcode & 0xf0) == 0x80));
}

static bool is_jump(const struct insn *i, const struct op_info *info)
{
	return info->encoding == LEGACY && info->map == MAP_1 &&
	       (info->opcode == 0xe9 || info->opcode == 0xeb);
}

static void add_way(uint64_t rips[2], unsigned *count, uint64_t from, uint64_t to)
{
	if (to > from && !((from ^ to) & PAGE_MASK))
		rips[(*count)++] = to;
}

unsigned jit_ways_on(const struct jit_part *part, uint32_t mode, uint64_t rips[2])
{
	const struct insn *i = &part->insns[part->count - 1];
	const struct op_info *info = op_info(i->op);
	uint64_t mask = mode & MODE_CODE64 ? UINT64_MAX : UINT32_MAX;
	uint64_t from = part->rip + i->start, end = (from + i->length) & mask;
	uint64_t target = (part->rip + i->imm) & mask;
	unsigned count = 0;

	if (!i->op || jit_is_segmented(mode))
		return 0;
	if (!(info->flags & OP_ENDS_BLOCK)) {
		add_way(rips, &count, from, end);
	} else if (i->opsize == (mode & MODE_CODE64 ? 8 : 4)) {
		if (is_conditional(i, info))
			add_way(rips, &count, from, end);
		if (is_conditional(i, info) || is_jump(i, info))
			add_way(rips, &count, from, target);
	}
	return count;
}

/* The last instruction of a part; `next` is where the next one begins. True: it has a slow path. */
static bool go_on(struct translator *t, const struct insn *i, uint64_t next)
{
	const struct op_info *info = op_info(i->op);

	if (!(info->flags & OP_ENDS_BLOCK)) {
		return translate_insn(t, i);
	} else if (is_conditional(i, info)) {
		bool to_target = next != insn_end(t, i);

		need_flags_in_host(t);
		exit_if(t, (info->opcode & 15) ^ to_target,
			to_target ? insn_end(t, i) : branch_target(t, i->imm));
	}
	return false;
}

static struct jit_block *no_room(struct vcpu *c)
{
	jit_flush(c);
	return NULL;
}

static struct emitter emitter_at(const struct jit *jit, size_t offset)
{
	uint8_t *begin = jit->code.write + offset;

	return (struct emitter){ .out = begin, .begin = begin, .end = begin + ROOM_FOR_ONE,
				 .run_delta = run_delta(jit) };
}

static void list_steps(struct translator *t)
{
	bool exact = t->c->vm->exact_flags;
	uint16_t (*before)(const struct insn *i, const struct op_info *info, uint16_t after) =
		exact ? flags_before_exactly : flags_before;
	const struct jit_source *source = t->source;

	for (unsigned p = 0; p < source->parts; p++) {
		const struct jit_part *part = &source->part[p];

		for (unsigned n = 0; n < part->count; n++)
			t->step[t->step_count++] = (struct step){ .insn = &part->insns[n],
								  .rip = part->rip };
		t->step[t->step_count - 1].is_last = true;
		if (p + 1 < source->parts)
			t->step[t->step_count - 1].next = source->part[p + 1].rip;
	}
	t->step[t->step_count].live = ALL_FLAGS;
	for (unsigned k = t->step_count; k-- > 0;) {
		struct step *step = &t->step[k];
		const struct op_info *info = op_info(step->insn->op);

		step->live = is_conditional(step->insn, info) ?
				     ALL_FLAGS :
				     before(step->insn, info, step[1].live);
		t->block->vectors = MAX(t->block->vectors, vector_need(step->insn));
	}
	if (exact) /* the entry is where interrupts come */
		t->step[0].live = ALL_FLAGS;
	t->live_before = t->step[0].live;
}

void translate_step(struct translator *t, unsigned k)
{
	const struct step *step = &t->step[k];
	bool has_slow = true;

	t->now = k;
	t->rip = step->rip;
	t->insn_start = step->insn->start;
	t->is_last = step->is_last;
	t->live_before = step->live;
	t->live_after = step[1].live;
	keep_before(t);
	if (step->next)
		has_slow = go_on(t, step->insn, step->next);
	else if (step->is_last)
		translate_last(t, step->insn);
	else
		has_slow = translate_insn(t, step->insn);
	keep_behind(t, has_slow);
}

/* Large programs need more of it than the processor's TLB of 4 KiB pages holds. */
static void join_pages(const struct jit *jit, size_t *joined, size_t used)
{
	if (used - *joined < PORT_HUGE_PAGE)
		return;
	port_code_join(&jit->code, *joined);
	*joined += PORT_HUGE_PAGE;
}

struct jit_block *jit_translate(struct vcpu *c, const struct jit_source *source)
{
	struct jit *jit = c->jit;
	struct slow_path slow[MAX_SLOW];
	struct translator t = { .c = c, .jit = jit, .source = source, .slow = slow,
				.rip = source->part[0].rip,
				.word = source->mode & MODE_CODE64 ? 8 : 4,
				.segmented = jit_is_segmented(source->mode),
				.code_base = (uint32_t)c->seg[CS].base };
	struct emitter hot;
	unsigned faults = jit->fault_count;

	if (jit->block_count == MAX_BLOCKS || jit->used + ROOM_FOR_ONE > COLD_AT ||
	    jit->cold_used + ROOM_FOR_ONE > jit->code.size ||
	    jit->single_count + 3 * JIT_INSNS > MAX_SINGLES ||
	    jit->link_count + ARRAY_LEN(t.stub) > MAX_LINKS || jit->identity_count == MAX_IDENTITIES)
		return no_room(c);
	t.block = &jit->blocks[jit->block_count];
	*t.block = (struct jit_block){ .rip = t.rip, .linear = linear_of(&t, t.rip), .mode = source->mode,
				       .stamp = source->stamp, .page_code = source->page_code,
				       .stamp2 = source->stamp2, .page2_code = source->page2_code,
				       .arrival = jit->jump_missed };
	t.block->half = 8 * code_half(c, t.block->linear);
	t.block->slot = 8 * page_slot(t.block->linear, source->mode);
	if (source->crosses) {
		t.block->identity2 = page_identity(jit, t.block->linear + PAGE_BYTES, source->mode,
						   source->page2_code);
		if (!t.block->identity2)
			return no_room(c);
	}
	t.e = emitter_at(jit, jit->used);
	list_steps(&t);
	window_begin(&t);
	emit_arrival(&t.e, c, t.block);
	emit_entry(&t);
	for (unsigned k = 0; k < t.step_count; k++)
		translate_step(&t, k);
	hot = t.e;
	t.e = emitter_at(jit, jit->cold_used);
	keep_emit_copies(&t);
	exits_emit(&t);
	emit_slow_paths(&t);
	emit_leaving(&t);
	if (t.e.full || hot.full) {
		jit->fault_count = faults;
		return NULL;
	}
	jit->block_count++;
	block_remember(jit, t.block);
	jit_log_block(c, source, &hot, &t.e);
	jit->used = ALIGN_UP((size_t)(hot.out - jit->code.write), 16);
	jit->cold_used = (size_t)(t.e.out - jit->code.write);
	if (jit->used > jit->joined)
		join_pages(jit, &jit->joined, jit->used);
	if (jit->cold_used > jit->cold_joined)
		join_pages(jit, &jit->cold_joined, jit->cold_used);
	jit->counters.blocks++;
	jit->counters.bytes = jit->used + jit->cold_used - COLD_AT;
	return t.block;
}
