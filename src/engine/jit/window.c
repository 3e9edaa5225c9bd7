/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Accesses to guest memory where the guest has it: mmu/window.h.
 *
 * The address, or the register it is beside, is looked up in the vCPU's table of what may be used so,
 * by a read that faults if it may not; a register is known to be good until it changes by more than a
 * small constant. After such a fault the interpreter does the instruction, and the block is left: what
 * follows builds on that register. An access to a page that is not there faults: the instruction's slow
 * path does it, and the block goes on.
 *
 * RSP is always good: at the beginning and end of each block it is within STACK_SLACK of where pages may be
 * shown, which each access beside it proves anew; where it moves without one, or is loaded, it is looked
 * up at once. FS' base is, too, and so is what is in the same granule as the code. C code that enters
 * translated code, or lets it go on, looks as well (window_holds()); and pages of code are open (open.c) where
 * that is so.
 *
 * So nothing that the guest can see may have changed before an instruction's last access.
 */
#include "engine/jit/internal.h"

#include "base/bytes.h"
#include "engine/fpu/fpu.h"
#include "engine/mmu/window.h"

/* How far a displacement may be, a register from where it was looked up, and a small number times
 * eight: together no more than WINDOW_REACH less an access. */
enum {
	MOST_DISP = WINDOW_REACH / 2,
	MOST_MOVED = WINDOW_REACH / 4,
	SMALL_BITS = 18,
	SMALL = 1 << SMALL_BITS,
	STACK_SLACK = 1 << 20
};

_Static_assert(MOST_DISP + MOST_MOVED + 8 * SMALL + STACK_SLACK <= WINDOW_REACH - 4096,
	       "accesses stay in reach");

void window_begin(struct translator *t)
{
	t->window = t->source->mode & JIT_WINDOWED;
	t->window_good = 1u << RSP;
}

static void emit_rorx(struct emitter *e, unsigned to, unsigned from, unsigned count)
{
	emit_u8(e, 0xc4);
	emit_u8(e, (to & 8 ? 0 : 0x80) | 0x40 | (from & 8 ? 0 : 0x20) | 3);
	emit_u8(e, 0xfb);
	emit_u8(e, 0xf0);
	emit_u8(e, 0xc0 | (to & 7) << 3 | (from & 7));
	emit_u8(e, count);
}

static void emit_read(struct emitter *e, struct host_memory entry)
{
	emit_mem(e, (struct encoding){ .map = 0x0f, .opcode = 0xb6, .size = 4 }, T1, entry);
}

/* EFLAGS are not touched. T1 is overwritten. */
static void look_up(struct emitter *e, unsigned host)
{
	if (host_can_run(FEATURE_BMI2)) {
		emit_rorx(e, T1, host, WINDOW_SHIFT);
	} else {
		emit_store(e, 8, GS(jit_looked_up), host);
		emit_load(e, 4, T1, at_gs(offsetof(struct vcpu, jit_looked_up) + WINDOW_SHIFT / 8));
	}
	emit_read(e, (struct host_memory){ .base = T1, .index = -1, .gs = true, .is_narrow = true });
}

/* What is emitted next may fault. */
static void may_fault_here(struct translator *t)
{
	struct slow_path *s = &t->slow[t->slow_count];

	if (!s->may_be_closed && !s->may_fault)
		s->flags_only_in_host = t->live_before && t->flags_in_host && !t->flags_in_memory;
}

static void note_look(struct translator *t)
{
	struct slow_path *s = &t->slow[t->slow_count];

	may_fault_here(t);
	/* Who takes the slow path before comes back behind this, without having passed. */
	t->window_late |= s->froms || s->stacks || s->may_fault;
	s->may_be_closed = true;
}

static void check_register(struct translator *t, unsigned host)
{
	note_look(t);
	look_up(&t->e, host);
}

static void note(struct translator *t)
{
	may_fault_here(t);
	t->slow[t->slow_count].may_fault = true;
}

static struct host_memory at_place(const struct translator *t, unsigned host, int32_t disp)
{
	return at_register(host, disp + (int32_t)window_shift(t->c));
}

static bool is_good(const struct translator *t, unsigned guest)
{
	return t->window_good >> guest & 1;
}

static struct host_memory in_segment(struct translator *t, const struct insn *i)
{
	emit_load(&t->e, 8, T0, segment_field(i->seg, offsetof(struct segment, base)));
	if (i->seg == GS)
		check_register(t, T0);
	note(t);
	return at_place(t, T0, (int32_t)i->disp);
}

static struct host_memory beside_register(struct translator *t, unsigned base, int32_t disp)
{
	int host = host_of(base);
	bool good = is_good(t, base);

	if (host < 0) {
		emit_load(&t->e, 8, T0, gpr_slot(base));
		host = T0;
	}
	if (!good) {
		check_register(t, (unsigned)host);
		t->window_good |= 1u << base;
		t->window_moved[base] = 0;
	}
	note(t);
	return at_place(t, (unsigned)host, disp);
}

static bool is_small(const struct translator *t, unsigned guest)
{
	return guest < 16 && t->window_small >> guest & 1;
}

/* T1 is not free for it. */
static bool is_small_index(const struct translator *t, unsigned guest)
{
	return is_small(t, guest) && host_of(guest) >= 0;
}

static struct host_memory with_index(struct host_memory m, unsigned index, unsigned scale)
{
	m.index = (int8_t)host_of(index);
	m.scale = (uint8_t)scale;
	return m;
}

/* Without registers. */
static struct host_memory at_constant(struct translator *t, uint64_t address)
{
	uint32_t number = (uint32_t)(address >> WINDOW_GRANULE_SHIFT);
	bool is_beside_code = !(address >> 47) && address >> WINDOW_GRANULE_SHIFT == t->rip >> WINDOW_GRANULE_SHIFT;

	if (!is_beside_code && address >> 46) { /* the table's displacement does not reach there */
		emit_mov_imm(&t->e, T0, address);
		check_register(t, T0);
		note(t);
		return at_place(t, T0, 0);
	}
	if (!is_beside_code && (!t->window_constants || t->window_constant != number)) {
		note_look(t);
		emit_read(&t->e, (struct host_memory){ .base = -1, .index = -1, .gs = true,
						       .disp = (int32_t)(address >> WINDOW_SHIFT) });
		t->window_constants = true;
		t->window_constant = number;
	}
	note(t);
	address += window_shift(t->c);
	if (address <= INT32_MAX)
		return (struct host_memory){ .base = -1, .index = -1, .disp = (int32_t)address };
	emit_mov_imm(&t->e, T0, address);
	return at_register(T0, 0);
}

bool window_takes(const struct translator *t, const struct insn *i)
{
	return t->window && i->addrsize == 8;
}

/* Whatever its mask is. */
static bool surely_accesses(const struct insn *i)
{
	const struct op_info *info = op_info(i->op);
	unsigned op = info->opcode;
	struct vector_form form;

	if (info->flags & OP_VECTOR) /* VMASKMOV, VPMASKMOV */
		return fpu_vector_form(i, &form) && !form.mask &&
		       !(info->map == MAP_0F38 && ((op & ~3u) == 0x2c || (op & ~2u) == 0x8c));
	return info->map == MAP_1 || (op != 0x0d && (op & 0xf8) != 0x18); /* prefetches */
}

/* The instruction accesses memory so far from RSP, as it is before it. */
static void note_stack(struct translator *t, int32_t offset)
{
	t->window_stack_seen = true;
	t->window_stack_at = offset;
}

struct host_memory window_operand(struct translator *t, const struct insn *i)
{
	bool has_base = i->seg == FS || i->seg == GS;
	bool is_near = !has_base && i->disp >= -MOST_DISP && i->disp <= MOST_DISP;
	bool has_index = i->index < GPR_ZERO;

	if (has_base && !has_index && i->base == GPR_ZERO && i->disp >= -MOST_DISP &&
	    i->disp <= MOST_DISP)
		return in_segment(t, i);
	if (!has_base && !has_index && i->base >= GPR_ZERO)
		return at_constant(t, (uint64_t)i->disp + (i->base == GPR_BLOCK ? t->rip : 0));
	if (!has_base && i->base == GPR_ZERO && is_small_index(t, i->index) &&
	    (int64_t)i->disp > 0 && (int64_t)i->disp < INT32_MAX - 8 * SMALL)
		return with_index(at_constant(t, (uint64_t)i->disp), i->index, i->scale);
	if (is_near && !has_index) {
		if (i->base == RSP && surely_accesses(i))
			note_stack(t, (int32_t)i->disp);
		return beside_register(t, i->base, (int32_t)i->disp);
	}
	if (is_near && i->base < GPR_ZERO && is_small_index(t, i->index))
		return with_index(beside_register(t, i->base, (int32_t)i->disp), i->index,
				  i->scale);
	if (is_near && is_small_index(t, i->base) && !i->scale)
		return with_index(beside_register(t, i->index, (int32_t)i->disp), i->base, 0);
	if (has_base)
		clobber_flags(t);
	guest_address(t, i, T0);
	check_register(t, T0);
	note(t);
	return at_place(t, T0, 0);
}

struct host_memory window_operand_of_stack(struct translator *t, int32_t offset)
{
	note_stack(t, offset);
	return beside_register(t, RSP, offset);
}

/* What becomes of a register that was good. */
struct origin {
	unsigned guest; /* it is now what this was, */
	int64_t plus;   /* and so much more; too much if unknown */
};

static struct origin origin_of(const struct translator *t, const struct insn *i,
			       const struct op_info *info, unsigned guest)
{
	const struct origin unknown = { .guest = guest, .plus = INT64_MAX };
	unsigned op = info->map == MAP_1 && info->encoding == LEGACY ? info->opcode : 0;
	unsigned n = i->modrm >> 3 & 7;

	if (i->opsize != 8)
		return unknown;
	if ((op == 0x8b || op == 0x89) && !insn_has_memory(i))
		return (struct origin){ op == 0x8b ? i->rm : i->reg, 0 };
	if (op == 0x8d && i->addrsize == 8 && i->index >= GPR_ZERO && i->base < 16)
		return (struct origin){ i->base, (int64_t)i->disp };
	if ((op == 0x81 || op == 0x83) && (n == 0 || n == 5))
		return (struct origin){ guest, n ? -(int64_t)i->imm : (int64_t)i->imm };
	if (op == 0x05 || op == 0x2d) /* of RAX */
		return (struct origin){ guest, op == 0x05 ? (int64_t)i->imm : -(int64_t)i->imm };
	if (op == 0xff && n < 2)
		return (struct origin){ guest, n ? -1 : 1 };
	return unknown;
}

static bool is_below_small(const struct insn *i)
{
	return (int64_t)i->imm >= 0 && (int64_t)i->imm < SMALL;
}

/* It makes a register that it writes as a whole a small number. */
static bool makes_small(const struct translator *t, const struct insn *i,
			const struct op_info *info, unsigned guest)
{
	unsigned n = i->modrm >> 3 & 7, op = info->opcode;
	bool memory = insn_has_memory(i);

	if (info->encoding != LEGACY || i->opsize < 4)
		return false;
	if (info->map == MAP_0F)
		return (op == 0xb6 || op == 0xb7) && guest == i->reg;
	/* gprs_written() has RAX beside others. */
	if (info->map != MAP_1 || memory ||
	    guest != (op == 0x25                 ? RAX
		      : op == 0x33 || op == 0x8b ? i->reg
						 : i->rm))
		return false;
	switch (op) {
	case 0x31:
	case 0x33:
		return i->reg == i->rm;
	case 0x89:
		return is_small(t, i->reg);
	case 0x8b:
		return is_small(t, i->rm);
	case 0x25:
		return is_below_small(i);
	case 0x81:
	case 0x83:
		return n == 4 && is_below_small(i);
	case 0xb8 ... 0xbf:
		return is_below_small(i);
	case 0xc1:
		return n == 5 && i->opsize == 4 && (i->imm & 31) >= 32 - SMALL_BITS;
	default:
		return false;
	}
}

static void registers_behind(struct translator *t, const struct insn *i, const struct op_info *info)
{
	uint32_t written = gprs_written(i, info), good = t->window_good, small = 0;
	int32_t moved[16];

	memcpy(moved, t->window_moved, sizeof(moved));
	for (unsigned guest = 0; guest < 16; guest++) {
		struct origin from;
		int64_t sum;

		if (!(written >> guest & 1) || guest == RSP)
			continue;
		if (makes_small(t, i, info, guest))
			small |= 1u << guest;
		from = origin_of(t, i, info, guest);
		sum = from.plus == INT64_MAX ? INT64_MAX : moved[from.guest] + from.plus;
		t->window_good &= ~(1u << guest);
		if (good >> from.guest & 1 && sum >= -MOST_MOVED && sum <= MOST_MOVED) {
			t->window_good |= 1u << guest;
			t->window_moved[guest] = (int32_t)sum;
		}
	}
	t->window_small = (t->window_small & ~written) | small;
}

static bool is_stack_pointer(uint8_t field, unsigned reg)
{
	return field_is_gpr(field) && reg == RSP;
}

static bool names_stack_pointer(const struct insn *i, const struct op_info *info)
{
	return info->flags & OP_STACK || is_stack_pointer(info->reg, i->reg) ||
	       is_stack_pointer(info->vvvv, i->vvvv) ||
	       (!insn_has_memory(i) && is_stack_pointer(info->rm, i->rm));
}

/* Where RSP is now: by how much it has moved. False: it may be anywhere. */
static bool stack_moves(const struct translator *t, const struct insn *i,
			const struct op_info *info, int32_t *by)
{
	*by = 0;
	if (!insn_is_plain(i, info))
		return !names_stack_pointer(i, info);
	return !(gprs_written(i, info) >> RSP & 1) || rsp_moves(t, i, info, by);
}

/* Behind the instruction. */
static void look_up_stack(struct translator *t, const struct insn *i)
{
	struct slow_path *s = &t->slow[t->slow_count++];

	*s = (struct slow_path){ .begin = t->e.out, .rip_behind = insn_end(t, i), .may_be_closed = true,
				 .flags_only_in_host = t->live_after && t->flags_in_host &&
						       !t->flags_in_memory,
				 .x87_rip = t->x87_rip };
	look_up(&t->e, GUEST_RSP);
	s->end = t->e.out;
}

static void stack_behind(struct translator *t, const struct insn *i, const struct op_info *info,
			 bool interpreted)
{
	int32_t by, *moved = &t->window_moved[RSP];
	bool is_known = stack_moves(t, i, info, &by);

	if (interpreted) { /* run_single() has looked */
		*moved = 0;
	} else if (is_known && t->window_stack_seen) {
		t->window_stack_proven = true;
		*moved = by - t->window_stack_at;
	} else {
		*moved += by;
	}
	t->window_stack_seen = false;
	if (interpreted ||
	    (is_known && (t->window_stack_proven ? *moved >= -STACK_SLACK && *moved <= STACK_SLACK
						 : *moved == 0)))
		return;
	look_up_stack(t, i);
	t->window_stack_proven = true;
	*moved = 0;
}

void window_behind(struct translator *t, bool interpreted)
{
	const struct insn *i = t->step[t->now].insn;
	const struct op_info *info = op_info(i->op);

	if (!t->window)
		return;
	if (info->flags & OP_X87 && !t->window_late) {
		t->window_good &= ~(1u << RAX); /* FNSTSW */
		t->window_small &= ~(1u << RAX);
	} else if (t->window_late || !insn_is_plain(i, info)) {
		t->window_constants &= !t->window_late;
		t->window_late = false;
		t->window_good = 1u << RSP;
		t->window_small = 0;
	} else {
		registers_behind(t, i, info);
	}
	stack_behind(t, i, info, interpreted);
}

static uint32_t offset_now(const struct translator *t)
{
	return (uint32_t)(t->e.out - t->jit->code.write);
}

static void add_range(struct translator *t, const uint8_t *begin, const uint8_t *end, uint32_t slow,
		      uint32_t closed)
{
	struct jit *jit = t->jit;

	if (jit->fault_count == MAX_FAULTS) {
		t->e.full = true;
		return;
	}
	jit->faults[jit->fault_count++] =
		(struct fault_range){ .from = (uint32_t)(begin - jit->code.write),
				      .to = (uint32_t)(end - jit->code.write),
				      .slow = slow, .closed = closed };
}

/*
 * Out of line: where faults in the instruction's code lead, which is to its slow path behind this if a
 * page was not there. If an address may not be used the interpreter takes over.
 */
void window_emit_faults(struct translator *t, const struct slow_path *s)
{
	uint32_t closed = 0, closed_in_memory = 0, slow = 0, slow_in_memory;

	if (s->may_be_closed) {
		if (s->flags_only_in_host) {
			closed = offset_now(t);
			emit_save_status(&t->e, GS(jit_flags), T0);
		}
		closed_in_memory = offset_now(t);
		x87_store_rip(t, s->x87_rip);
		if (s->single)
			call_single(t, s->single);
		emit_mov_imm(&t->e, T1, s->rip_behind);
		emit_jmp_to(&t->e, t->jit->leave_rip);
	}
	if (s->flags_only_in_host) {
		slow = offset_now(t);
		emit_save_status(&t->e, GS(jit_flags), T0);
	}
	slow_in_memory = offset_now(t);
	if (s->flags_only_in_host)
		add_range(t, s->begin, s->split ? s->split : s->end, slow, closed);
	if (!s->flags_only_in_host || s->split)
		add_range(t, s->split ? s->split : s->begin, s->end, slow_in_memory, closed_in_memory);
}

static const struct fault_range *range_of(const struct jit *jit, uint32_t offset)
{
	unsigned low = 0, high = jit->fault_count;

	while (low < high) {
		unsigned middle = (low + high) / 2;
		const struct fault_range *f = &jit->faults[middle];

		if (offset < f->from)
			high = middle;
		else if (offset >= f->to)
			low = middle + 1;
		else
			return f;
	}
	return NULL;
}

const uint8_t *jit_fault(void *context, const struct port_fault *fault)
{
	struct vcpu *c = context;
	const struct jit *jit = c->jit;
	const struct fault_range *f;
	size_t offset = (size_t)(fault->pc - jit->code.run);

	if (!c->windowed || offset >= jit->used)
		return NULL;
	if (fault->address - (uintptr_t)jit->stack < STACK_GUARD) {
		c->jit_resume = (uintptr_t)fault->pc + PROBE_BYTES;
		return jit->crowded;
	}
	f = range_of(jit, (uint32_t)offset);
	if (!f)
		return NULL;
	switch (window_fault(c, fault)) {
	case WINDOW_OPENED:
		return fault->pc;
	case WINDOW_MISSED:
		return jit->code.run + f->slow;
	default:
		return f->closed ? jit->code.run + f->closed : NULL;
	}
}
