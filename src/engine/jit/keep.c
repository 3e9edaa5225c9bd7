/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * One check for several accesses beside the same register.
 *
 * Where instructions that follow each other access memory at small distances from one register, the
 * first of them checks the page for all, and the host address stays in T0 until something overwrites
 * that, changes the register, or may call the interpreter. RSP may move by constants in between. The
 * accesses must lie within one page: if not, or if the page is not in the TLB, the instructions run
 * as a copy out of line, in which each looks for itself and which leads back behind the last.
 */
#include "engine/jit/internal.h"

enum { LOOK_AHEAD = 24, MAX_SPAN = 256 };

bool rsp_moves(const struct translator *t, const struct insn *i, const struct op_info *info, int32_t *by)
{
	unsigned n = i->modrm >> 3 & 7;

	if (info->map != MAP_1 || info->flags & OP_VECTOR)
		return false;
	switch (info->opcode) {
	case 0x50 ... 0x57:
	case 0x68:
	case 0x6a:
		*by = -(int32_t)i->opsize;
		return true;
	case 0x58 ... 0x5f:
		*by = i->opsize;
		return true;
	case 0x81:
	case 0x83:
		*by = n ? -(int32_t)i->imm : (int32_t)i->imm;
		return (n == 0 || n == 5) && i->opsize == t->word && (int64_t)i->imm == (int16_t)i->imm;
	case 0x8d:
		*by = (int32_t)i->disp;
		return i->base == RSP && i->index >= GPR_ZERO && i->opsize == t->word &&
		       i->addrsize == t->word && i->disp == (int16_t)i->disp;
	default:
		return false;
	}
}

/* Where it accesses memory beside a register, which may be what RSP is before it. */
struct access {
	unsigned base;
	int32_t at;
	unsigned size;
	bool write;
};

static bool is_beside_register(const struct translator *t, const struct insn *i)
{
	return insn_has_memory(i) && i->base < 16 && i->index >= GPR_ZERO && i->seg != FS &&
	       i->seg != GS && i->addrsize == t->word && i->disp == (int16_t)i->disp;
}

static bool stack_access(const struct translator *t, const struct insn *i, const struct op_info *info,
			 struct access *a)
{
	*a = (struct access){ .base = RSP, .size = i->opsize, .write = true };
	switch (info->map == MAP_1 && !(info->flags & OP_VECTOR) ? info->opcode : 0) {
	case 0x50 ... 0x57:
	case 0x68:
	case 0x6a:
	case 0xe8:
		a->at = -(int32_t)i->opsize;
		return true;
	case 0x58 ... 0x5f:
	case 0xc2:
	case 0xc3:
		return true;
	default:
		return false;
	}
}

static bool accesses_memory(const struct insn *i, const struct op_info *info)
{
	return insn_has_memory(i) && !(info->map == MAP_1 && info->opcode == 0x8d);
}

static bool uses_t0(const struct insn *i, const struct op_info *info)
{
	return !insn_has_memory(i) && field_is_gpr(info->rm) && i->rm < 16 && host_of(i->rm) < 0;
}

/* The range, counted from the base as it is now, that the instructions behind this one access too. */
struct span {
	int32_t low, high;
	bool write;
	unsigned others;
};

static bool take(struct span *span, const struct access *a, int32_t moved, bool past_jump)
{
	int32_t low = MIN(span->low, moved + a->at);
	int32_t high = MAX(span->high, moved + a->at + (int32_t)a->size);

	if (high - low > MAX_SPAN || (a->write && !span->write && past_jump))
		return false;
	*span = (struct span){ low, high, span->write || a->write, span->others + 1 };
	return true;
}

static struct span look_ahead(const struct translator *t, const struct access *first)
{
	struct span span = { first->at, first->at + (int32_t)first->size,
			     first->write || first->base == RSP, 0 };
	bool past_jump = false;
	int32_t moved = 0;

	for (unsigned k = t->now; k < t->step_count && k <= t->now + LOOK_AHEAD; k++) {
		const struct insn *i = t->step[k].insn;
		const struct op_info *info = op_info(i->op);
		int32_t by = 0;
		struct access a;

		if (k > t->now) {
			if (!insn_is_plain(i, info) || uses_t0(i, info))
				break;
			if (accesses_memory(i, info)) {
				a = (struct access){ i->base, (int32_t)i->disp,
						     op_memory_bytes(info, i, true),
						     info->rm & FIELD_WRITTEN };
				if (!is_beside_register(t, i) || a.base != first->base ||
				    !take(&span, &a, moved, past_jump))
					break;
			} else if (stack_access(t, i, info, &a)) {
				if (first->base != RSP || !take(&span, &a, moved, past_jump))
					break;
			}
		}
		if (gprs_written(i, info) & 1u << first->base &&
		    (first->base != RSP || !rsp_moves(t, i, info, &by)))
			break;
		moved += by;
		past_jump |= info->flags & OP_ENDS_BLOCK;
	}
	return span;
}

static struct flag_state state_of(const struct translator *t)
{
	return (struct flag_state){ t->flags_in_host, t->flags_in_memory, t->x87_checked, t->vectors };
}

/* The first of them. */
static void check_for_all(struct translator *t, const struct access *first, const struct span *span)
{
	struct group *g = &t->group[t->group_count++];

	clobber_flags(t);
	*g = (struct group){ .first = t->now, .last = t->now, .before = state_of(t),
			     .size = (unsigned)(span->high - span->low) };
	check_range(t, g, first->base, span->low, span->write);
	t->keep = (struct keep){ .group = g, .base = first->base, .low = span->low, .high = span->high,
				 .write = span->write };
	t->e.touched &= ~(1u << T0);
}

/* The access by T0 as it is, if it has been checked or can be with others. */
static bool keep_access(struct translator *t, const struct access *a, struct host_memory *operand)
{
	struct keep *keep = &t->keep;
	int32_t at = keep->moved + a->at;
	struct span span;

	if (!t->may_keep)
		return false;
	if (t->e.touched & 1u << T0) /* earlier in this step */
		keep->group = NULL;
	if (!keep->group || keep->base != a->base || at < keep->low ||
	    at + (int32_t)a->size > keep->high || (a->write && !keep->write)) {
		span = look_ahead(t, a);
		if (!span.others || t->group_count == MAX_GROUPS)
			return false;
		check_for_all(t, a, &span);
		at = a->at;
	}
	keep->used = true;
	*operand = t->word == 8 ? beside_base(a->base, a->at) : at_register(T0, at - keep->low);
	return true;
}

static bool keep_operand(struct translator *t, const struct insn *i, unsigned size, bool write,
			 struct host_memory *operand)
{
	const struct access a = { i->base, (int32_t)i->disp, size, write };

	return is_beside_register(t, i) && keep_access(t, &a, operand);
}

struct host_memory host_operand(struct translator *t, const struct insn *i, unsigned size, bool write)
{
	struct host_memory operand;

	if (window_takes(t, i))
		return window_operand(t, i);
	if (keep_operand(t, i, size, write, &operand))
		return operand;
	return check_operand(t, i, size, write);
}

struct host_memory host_operand_of_stack(struct translator *t, int32_t offset, unsigned size,
					 bool write)
{
	const struct access a = { RSP, offset, size, true };
	struct host_memory operand;

	if (t->window)
		return window_operand_of_stack(t, offset);
	if (keep_access(t, &a, &operand))
		return operand;
	return check_stack_operand(t, offset, size, write);
}

/* FSTP of 10 bytes writes 8 of them before a fault at the others. */
static void stay_on_page(struct translator *t, unsigned size)
{
	emit_mov(&t->e, 4, T1, T0);
	emit_alu_imm(&t->e, ALU_AND, 4, T1, PAGE_BYTES - 1);
	emit_alu_imm(&t->e, ALU_CMP, 4, T1, (int32_t)(PAGE_BYTES - size));
	slow_if(t, CC_A);
}

void host_address(struct translator *t, const struct insn *i, unsigned size, bool write)
{
	struct host_memory operand;

	if (t->live_before)
		keep_flags(t, T1);
	if (window_takes(t, i)) {
		operand = window_operand(t, i);
		if (operand.base != T0 || operand.index >= 0 || operand.disp)
			emit_lea(&t->e, 8, T0, operand);
		if (write && size == 10)
			stay_on_page(t, size);
	} else if (keep_operand(t, i, size, write, &operand))
		emit_lea(&t->e, 8, T0, operand);
	else
		check_address(t, i, size, write);
	t->flags_in_host = false;
}

void keep_before(struct translator *t)
{
	const struct insn *i = t->step[t->now].insn;

	t->may_keep = !t->is_copy && !t->window && !t->segmented && insn_is_plain(i, op_info(i->op));
	if (!t->may_keep)
		t->keep.group = NULL;
	t->keep.used = false;
	t->e.touched = 0;
}

void keep_behind(struct translator *t, bool has_slow_path)
{
	const struct insn *i = t->step[t->now].insn;
	const struct op_info *info = op_info(i->op);
	struct keep *keep = &t->keep;
	int32_t by = 0;

	if (!keep->group)
		return;
	if (keep->used) {
		keep->group->last = t->now;
		keep->group->resume = emit_here(&t->e);
		keep->group->behind = state_of(t);
	}
	if (has_slow_path || t->e.touched & 1u << T0 ||
	    (gprs_written(i, info) & 1u << keep->base &&
	     (keep->base != RSP || !rsp_moves(t, i, info, &by))))
		keep->group = NULL;
	keep->moved += by;
}

static void set_state(struct translator *t, const struct flag_state *state)
{
	t->flags_in_host = state->in_host;
	t->flags_in_memory = state->in_memory;
	t->x87_checked = state->x87_checked;
	t->vectors = state->vectors;
}

/* The stack may just be in another page than last time. */
static void retry_stack(struct translator *t, struct group *g)
{
	emit_call_run(&t->e, t->jit->stack_thunk);
	g->from[g->froms++] = emit_jcc(&t->e, CC_A);
	emit_alu_imm(&t->e, ALU_CMP, 8, T0, (int32_t)(PAGE_BYTES - g->size));
	g->from[g->froms++] = emit_jcc(&t->e, CC_A);
	emit_jmp_to(&t->e, g->stack_resume);
}

void keep_emit_copies(struct translator *t)
{
	t->is_copy = true;
	for (unsigned n = 0; n < t->group_count; n++) {
		struct group *g = &t->group[n];

		if (g->stack_resume) {
			for (unsigned k = 0; k < g->froms; k++)
				emit_land(&t->e, g->from[k]);
			g->froms = 0;
			retry_stack(t, g);
		}
		for (unsigned k = 0; k < g->froms; k++)
			emit_land(&t->e, g->from[k]);
		set_state(t, &g->before);
		for (unsigned k = g->first; k <= g->last; k++)
			translate_step(t, k);
		if (g->last + 1 == t->step_count)
			continue; /* it does not come back */
		if (g->behind.in_host)
			need_flags_in_host(t);
		if (g->behind.in_memory)
			need_flags_in_memory(t);
		if (t->vectors < g->behind.vectors)
			t->e.full = true; /* never seen; there is no way back then */
		emit_jmp_to(&t->e, g->resume);
	}
}
