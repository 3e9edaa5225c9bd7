/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * A block of guest code into host code: flags, addresses, and the frame around each instruction.
 *
 * The inline TLB check is mmu.h's: the address less the tag must lie within a page, which catches
 * misses and page crossings at once. It clobbers EFLAGS, so status flags that are still to be read
 * are saved to vcpu.jit_flags first.
 */
#include "engine/jit/internal.h"

#include "base/bytes.h"
#include "engine/mmu/mmu.h"

enum { MAX_SLOW = 96, ALL_FLAGS = F_STATUS, FEW_INSNS = 2 };

static const int8_t host_map[16] = { H_RAX, H_RCX, H_RDX, H_RBX, GUEST_RSP, H_RBP, H_RSI, H_RDI,
				     H_R8, H_R9, H_R10, H_R11, H_R12, -1, -1, -1 };

int host_of(unsigned guest)
{
	return host_map[guest];
}

struct host_memory gpr_slot(unsigned guest)
{
	return at_gs(offsetof(struct vcpu, gpr) + 8 * guest);
}

unsigned use_gpr(struct translator *t, unsigned guest, unsigned temp, bool load)
{
	int host = host_of(guest);

	if (host >= 0)
		return (unsigned)host;
	if (load)
		emit_load(&t->e, 8, temp, gpr_slot(guest));
	return temp;
}

void put_gpr(struct translator *t, unsigned guest, unsigned host)
{
	int home = host_of(guest);

	if (home < 0)
		emit_store(&t->e, 8, gpr_slot(guest), host);
	else if ((unsigned)home != host)
		emit_mov(&t->e, 8, (unsigned)home, host);
}

struct host_memory at_pointer(struct translator *t, const void *pointer, unsigned temp)
{
	intptr_t distance = (intptr_t)pointer - (intptr_t)t->c;

	if (distance == (int32_t)distance)
		return at_gs((size_t)distance);
	emit_mov_imm(&t->e, temp, (uintptr_t)pointer);
	return at_register(temp, 0);
}

/* Flags. */
void need_flags_in_host(struct translator *t)
{
	if (!t->flags_in_host) {
		emit_load_status(&t->e, GS(jit_flags), T1);
		t->flags_in_host = true;
	}
}

static void need_flags_in_memory(struct translator *t)
{
	if (t->flags_in_host && !t->flags_in_memory) {
		emit_push_flags_to(&t->e, GS(jit_flags));
		t->flags_in_memory = true;
	}
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

/* Addresses. */
static void add_segment_base(struct translator *t, unsigned seg, unsigned to)
{
	if (seg == FS || seg == GS) {
		clobber_flags(t);
		emit_alu(&t->e, ALU_ADD, 8, to,
			 at_gs(offsetof(struct vcpu, seg) + seg * sizeof(struct segment) +
			       offsetof(struct segment, base)));
	}
}

void guest_address(struct translator *t, const struct insn *i, unsigned to)
{
	unsigned size = i->addrsize == 4 ? 4 : 8;
	struct host_memory m = { .base = -1, .index = -1, .scale = i->scale };
	uint64_t disp = (uint64_t)i->disp;

	if (i->base == GPR_BLOCK)
		disp += t->source->rip;
	if (i->base < GPR_ZERO)
		m.base = (int8_t)use_gpr(t, i->base, T0, true);
	if (i->index < GPR_ZERO)
		m.index = (int8_t)use_gpr(t, i->index, T1, true);
	if (m.base < 0 && m.index < 0) {
		emit_mov_imm(&t->e, to, size == 4 ? (uint32_t)disp : disp);
	} else {
		m.disp = (int32_t)disp; /* beside a register it is 32 bits */
		emit_lea(&t->e, size, to, m);
	}
	add_segment_base(t, i->seg, to);
}

/* T0 has the linear address; afterwards the host's. */
static void check_tlb(struct translator *t, unsigned size, bool write)
{
	struct slow_path *s = &t->slow[t->slow_count];
	size_t tag = write ? offsetof(struct tlb_entry, write) : offsetof(struct tlb_entry, read);

	_Static_assert(sizeof(struct tlb_entry) == 32, "the index below is scaled by 32");
	emit_mov(&t->e, 4, T1, T0);
	emit_shift(&t->e, SHIFT_SHR, 4, T1, PAGE_SHIFT - 5);
	emit_alu_imm(&t->e, ALU_AND, 4, T1, (TLB_ENTRIES - 1) << 5);
	emit_alu(&t->e, ALU_ADD, 8, T1, GS(tlb_now));
	emit_alu(&t->e, ALU_SUB, 8, T0, at_register(T1, (int32_t)tag));
	emit_alu_imm(&t->e, ALU_CMP, 8, T0, (int32_t)(PAGE_BYTES - size));
	if (s->froms < ARRAY_LEN(s->from))
		s->from[s->froms++] = emit_jcc(&t->e, CC_A);
	emit_alu(&t->e, ALU_ADD, 8, T0, at_register(T1, offsetof(struct tlb_entry, host)));
}

/* The same for up to 8 bytes on the stack, which is mostly in the page it was in last time. */
static void check_stack(struct translator *t)
{
	struct slow_path *s = &t->slow[t->slow_count];

	emit_alu(&t->e, ALU_SUB, 8, T0, GS(stack_page));
	emit_alu(&t->e, ALU_CMP, 8, T0, GS(stack_limit));
	s->stack_from[s->stacks] = emit_jcc(&t->e, CC_AE);
	emit_alu(&t->e, ALU_ADD, 8, T0, GS(stack_host));
	s->stack_resume[s->stacks++] = emit_here(&t->e);
}

static bool is_on_stack(const struct insn *i, unsigned size)
{
	return i->base == RSP && i->index >= GPR_ZERO && i->addrsize == 8 && i->seg != FS &&
	       i->seg != GS && size <= 8;
}

void host_address(struct translator *t, const struct insn *i, unsigned size, bool write)
{
	clobber_flags(t);
	guest_address(t, i, T0);
	if (is_on_stack(i, size))
		check_stack(t);
	else
		check_tlb(t, size, write);
}

void host_address_of_stack(struct translator *t, const struct insn *i, int32_t offset, unsigned size,
			   bool write)
{
	clobber_flags(t);
	emit_lea(&t->e, t->word, T0, at_register(GUEST_RSP, offset));
	check_stack(t);
}

void host_address_of_frame(struct translator *t, const struct insn *i)
{
	clobber_flags(t);
	emit_mov(&t->e, t->word, T0, H_RBP);
	check_tlb(t, t->word, false);
}

uint64_t insn_end(const struct translator *t, const struct insn *i)
{
	return branch_target(t, i->start + i->length);
}

/* `offset` bytes behind the block's start, in the code's address size. */
uint64_t branch_target(const struct translator *t, uint64_t offset)
{
	uint64_t target = t->source->rip + offset;

	return t->word == 8 ? target : (uint32_t)target;
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
	s->insn[1] = (struct insn){ .exec = jit_single_done, .start = i->start + i->length };
	s->block_rip = t->source->rip;
	return s;
}

static void emit_call_run(struct translator *t, const uint8_t *thunk)
{
	emit_u8(&t->e, 0xe8);
	emit_u32(&t->e, (uint32_t)(thunk - (emit_here(&t->e) + 4)));
}

static void call_single(struct translator *t, struct jit_single *single)
{
	emit_mov_imm(&t->e, T1, (uintptr_t)single);
	emit_call_run(t, t->jit->single_thunk);
}

static void interpret(struct translator *t, const struct insn *i)
{
	need_flags_in_memory(t);
	call_single(t, new_single(t, i));
	t->flags_in_host = false;
	t->flags_in_memory = true;
	t->fp_unknown |= !vector_is_native(i, op_info(i->op));
}

/* The out-of-line ways of all instructions, behind the block. */
static void emit_slow_paths(struct translator *t)
{
	for (unsigned k = 0; k < t->slow_count; k++) {
		struct slow_path *s = &t->slow[k];

		uint8_t *missed[2];

		for (unsigned n = 0; n < s->stacks; n++) {
			emit_land(&t->e, s->stack_from[n]);
			emit_call_run(t, t->jit->stack_thunk);
			missed[n] = emit_jcc(&t->e, CC_A);
			emit_jmp_to(&t->e, s->stack_resume[n]);
		}
		for (unsigned n = 0; n < s->stacks; n++)
			emit_land(&t->e, missed[n]);
		for (unsigned n = 0; n < s->froms; n++)
			emit_land(&t->e, s->from[n]);
		call_single(t, s->single);
		if (s->flags_to_host)
			emit_load_status(&t->e, GS(jit_flags), T1);
		emit_jmp_to(&t->e, s->resume);
	}
}

/* Ends. */
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

static void leave_unless(struct translator *t, enum condition wrong)
{
	t->leave[t->leaves++] = emit_jcc(&t->e, wrong);
}

/* The guest's MXCSR has its initial control bits, which are the host's. */
static void check_mxcsr(struct translator *t)
{
	emit_load(&t->e, 4, T0, at_gs(offsetof(struct vcpu, xsave) + 24));
	emit_alu_imm(&t->e, ALU_AND, 4, T0, 0xffc0);
	emit_alu_imm(&t->e, ALU_CMP, 4, T0, 0x1f80);
	leave_unless(t, CC_NE);
	emit_mem(&t->e, (struct encoding){ .map = 1, .opcode = 0xc6, .size = 1 }, 0, GS(jit_fp_used));
	emit_u8(&t->e, 1);
}

/*
 * Requests, the VMM's wish to leave, and code that changed: back to the run loop. Every loop has a
 * backward or an indirect jump, which come in here; forward jumps may skip it.
 */
static void emit_entry(struct translator *t)
{
	const struct jit_source *s = t->source;
	struct jit_block *b = t->block;
	uint8_t *checks;

	b->entry_any = emit_here(&t->e);
	emit_alu_mem_imm(&t->e, ALU_CMP, 4, GS(mode), (int32_t)s->mode);
	leave_unless(t, CC_NE);
	checks = emit_jmp(&t->e);
	b->entry_flags = emit_here(&t->e);
	if (t->live_before)
		emit_push_flags_to(&t->e, GS(jit_flags));
	emit_land(&t->e, checks);
	b->entry = emit_here(&t->e);
	emit_alu_mem_imm(&t->e, ALU_CMP, 4, GS(requests), 0);
	leave_unless(t, CC_NE);
	emit_alu_mem_imm(&t->e, ALU_CMP, 1, at_pointer(t, &t->c->run->immediate_exit, T0), 0);
	leave_unless(t, CC_NE);
	emit_alu_mem_imm(&t->e, ALU_CMP, 4, at_pointer(t, s->page_code, T0), (int32_t)s->stamp);
	leave_unless(t, CC_NE);
	if (b->has_vector) {
		emit_alu_mem_imm(&t->e, ALU_CMP, 1, GS(jit_vector_ok), 0);
		leave_unless(t, CC_E);
	}
	if (b->has_fp)
		check_mxcsr(t);
	if (!t->live_before && !b->has_vector)
		b->entry_plain = emit_here(&t->e);
	t->flags_in_host = false;
	t->flags_in_memory = true;
}

/* Where the checks of the entry lead. */
static void emit_leaving(struct translator *t)
{
	for (unsigned n = 0; n < t->leaves; n++)
		emit_land(&t->e, t->leave[n]);
	emit_mov_imm(&t->e, T1, t->source->rip);
	emit_store(&t->e, 8, GS(rip), T1);
	emit_jmp_to(&t->e, t->jit->leave_rip);
}

/* Liveness of status flags, from the end. What the interpreter does reads them all. */
enum { ROTATED = F_CF | F_OF };

static bool is_shift(const struct op_info *info)
{
	unsigned op = info->opcode;

	return info->map == MAP_1 && ((op & 0xfe) == 0xc0 || (op & 0xfc) == 0xd0);
}

static uint16_t shift_replaces(const struct insn *i, const struct op_info *info)
{
	unsigned count = info->opcode >= 0xd2 ? 0 : info->opcode >= 0xd0 ? 1 : (unsigned)i->imm;

	if (!(count & (i->opsize == 8 ? 63 : 31)))
		return 0; /* by CL, or not at all */
	return (i->modrm >> 3 & 7) < 4 ? ROTATED : ALL_FLAGS;
}

uint16_t flags_replaced(const struct insn *i, const struct op_info *info)
{
	if (is_shift(info))
		return shift_replaces(i, info);
	if (info->map == MAP_0F && (info->opcode & 0xf6) == 0xa4) { /* SHLD, SHRD */
		bool shifts = !(info->opcode & 1) && i->imm & (i->opsize == 8 ? 63 : 31);

		return shifts ? ALL_FLAGS : 0;
	}
	return (info->flags_written | info->flags_undefined) & ALL_FLAGS;
}

/* The table says "read" also of flags that are only left as they were. */
static bool only_leaves_flags(const struct insn *i, const struct op_info *info)
{
	unsigned op = info->opcode, n = i->modrm >> 3 & 7;

	if (info->map == MAP_1)
		return ((op & 0xfe) == 0xfe && n < 2) || (op & 0xf0) == 0x40 ||
		       (is_shift(info) && n != 2 && n != 3 /* RCL, RCR */);
	return info->map == MAP_0F && ((op & 0xe7) == 0xa3 || op == 0xba || (op & 0xf6) == 0xa4);
}

uint16_t flags_needed(const struct insn *i, const struct op_info *info)
{
	return only_leaves_flags(i, info) ? 0 : info->flags_read & ALL_FLAGS;
}

static uint16_t flags_before(const struct insn *i, const struct op_info *info, uint16_t after)
{
	if (vector_is_native(i, info))
		return info->flags & OP_PRODUCES_RFLAGS ? 0 : after;
	if (info->encoding != LEGACY ||
	    info->flags & (OP_X87 | OP_VECTOR | OP_STRING | OP_CPL0 | OP_SYSTEM))
		return ALL_FLAGS;
	return (after & ~flags_replaced(i, info)) | flags_needed(i, info);
}

/* No memory operand, or one in the way the inline check knows. */
static bool is_addressable(const struct translator *t, const struct insn *i)
{
	return !insn_has_memory(i) || t->word == 8 ||
	       (i->addrsize == 4 && i->seg != FS && i->seg != GS);
}

static void translate_insn(struct translator *t, const struct insn *i)
{
	const struct op_info *info = op_info(i->op);
	struct slow_path *s = &t->slow[t->slow_count];
	bool in_host = t->flags_in_host, in_memory = t->flags_in_memory;
	uint8_t *start = t->e.out;

	*s = (struct slow_path){ 0 };
	if (t->slow_count + 1 < MAX_SLOW && i->op && is_addressable(t, i) &&
	    (native_vector(t, i, info) || native_insn(t, i, info))) {
		if (!s->froms && !s->stacks)
			return;
		s->single = new_single(t, i);
		s->resume = emit_here(&t->e);
		s->flags_to_host = t->flags_in_host;
		t->slow_count++;
		return;
	}
	t->e.out = start;
	t->flags_in_host = in_host;
	t->flags_in_memory = in_memory;
	interpret(t, i);
}

static void translate_last(struct translator *t, const struct insn *i)
{
	const struct op_info *info = op_info(i->op);
	struct slow_path *s = &t->slow[t->slow_count];

	if (!(info->flags & OP_ENDS_BLOCK)) {
		translate_insn(t, i);
		exit_direct(t, insn_end(t, i));
		return;
	}
	*s = (struct slow_path){ 0 };
	if (is_addressable(t, i) && native_branch(t, i, info)) {
		if (s->froms || s->stacks) { /* the interpreter takes the branch, and does not come back */
			s->single = new_single(t, i);
			s->resume = t->block->entry;
			t->slow_count++;
		}
		return;
	}
	interpret(t, i); /* a handler that branched does not come back here */
	exit_direct(t, insn_end(t, i));
}

static struct jit_block *no_room(struct vcpu *c)
{
	jit_flush(c);
	return NULL;
}

struct jit_block *jit_translate(struct vcpu *c, const struct jit_source *source)
{
	struct jit *jit = c->jit;
	struct slow_path slow[MAX_SLOW];
	uint16_t live[65];
	struct translator t = { .c = c, .jit = jit, .source = source, .slow = slow,
				.word = source->mode & MODE_CODE64 ? 8 : 4 };
	unsigned count = source->count;

	if (jit->block_count == MAX_BLOCKS || jit->used + ROOM_FOR_ONE > jit->code.size ||
	    jit->single_count + 2 * 64 > MAX_SINGLES)
		return no_room(c);
	t.block = &jit->blocks[jit->block_count];
	*t.block = (struct jit_block){ .rip = source->rip, .mode = source->mode,
				       .stamp = source->stamp, .page_code = source->page_code };
	t.e = (struct emitter){ .out = jit->code.write + jit->used,
				.begin = jit->code.write + jit->used,
				.end = jit->code.write + jit->used + ROOM_FOR_ONE,
				.run_delta = jit->code.run - jit->code.write };
	live[count] = ALL_FLAGS;
	for (unsigned k = count; k-- > 0;)
		live[k] = flags_before(&source->insns[k], op_info(source->insns[k].op), live[k + 1]);
	for (unsigned k = 0; k < count; k++) {
		const struct op_info *info = op_info(source->insns[k].op);
		bool native = vector_is_native(&source->insns[k], info);

		t.block->has_vector |= native;
		t.block->has_fp |= native && vector_is_fp(info);
	}
	t.live_before = live[0];
	emit_entry(&t);
	for (unsigned k = 0; k < count; k++) {
		t.insn_start = source->insns[k].start;
		t.live_before = live[k];
		t.live_after = live[k + 1];
		if (k + 1 < count)
			translate_insn(&t, &source->insns[k]);
		else
			translate_last(&t, &source->insns[k]);
	}
	emit_slow_paths(&t);
	emit_leaving(&t);
	if (t.e.full)
		return NULL;
	jit->block_count++;
	jit->used = ALIGN_UP((size_t)(t.e.out - jit->code.write), 16);
	jit->counters.blocks++;
	jit->counters.bytes = jit->used;
	return t.block;
}
