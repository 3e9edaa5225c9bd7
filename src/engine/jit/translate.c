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

/* Flags. */
void need_flags_in_host(struct translator *t)
{
	if (!t->flags_in_host) {
		emit_pop_flags_from(&t->e, GS(jit_flags));
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

struct slow_path *slow_path_now(struct translator *t)
{
	struct slow_path *s = &t->slow[t->slow_count];

	return s->froms ? s : NULL;
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

void host_address(struct translator *t, const struct insn *i, unsigned size, bool write)
{
	clobber_flags(t);
	guest_address(t, i, T0);
	check_tlb(t, size, write);
}

void host_address_of_stack(struct translator *t, const struct insn *i, int32_t offset, unsigned size,
			   bool write)
{
	clobber_flags(t);
	emit_lea(&t->e, 8, T0, at_register(GUEST_RSP, offset));
	check_tlb(t, size, write);
}

void host_address_of_frame(struct translator *t, const struct insn *i)
{
	clobber_flags(t);
	emit_mov(&t->e, 8, T0, H_RBP);
	check_tlb(t, 8, false);
}

uint64_t insn_end(const struct translator *t, const struct insn *i)
{
	return t->source->rip + i->start + i->length;
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

static void call_single(struct translator *t, struct jit_single *single)
{
	emit_mov_imm(&t->e, T1, (uintptr_t)single);
	emit_u8(&t->e, 0xe8);
	if (!t->e.full && t->e.out + 4 <= t->e.end)
		store_le32(t->e.out, (uint32_t)(t->jit->single_thunk - (emit_here(&t->e) + 4)));
	t->e.out += 4;
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

		for (unsigned n = 0; n < s->froms; n++)
			emit_land(&t->e, s->from[n]);
		call_single(t, s->single);
		if (s->flags_to_host)
			emit_pop_flags_from(&t->e, GS(jit_flags));
		emit_jmp_to(&t->e, s->resume);
	}
}

/* Ends. */
void exit_direct(struct translator *t, uint64_t target)
{
	uint64_t from = t->source->rip;
	bool same_page = (from & PAGE_MASK) == (target & PAGE_MASK);
	struct jit_link *link = &t->block->link[t->links];
	uint8_t *place;

	if (!same_page || t->links == MAX_LINKS) {
		need_flags_in_memory(t);
		emit_mov_imm(&t->e, T1, target);
		exit_indirect(t);
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

/* The table of targets; T1 has the target, flags are in memory. */
void exit_indirect(struct translator *t)
{
	uint8_t *miss;

	need_flags_in_memory(t);
	t->flags_in_host = false;
	emit_store(&t->e, 8, GS(rip), T1);
	_Static_assert(sizeof(struct jump_entry) == 16, "scaled by 16 below");
	emit_imul(&t->e, 4, T0, T1, (int32_t)JUMP_FACTOR);
	emit_shift(&t->e, SHIFT_SHR, 4, T0, 32 - JUMP_BITS - 4);
	emit_alu_imm(&t->e, ALU_AND, 4, T0, ~15);
	/* Whoever is in one half of the addresses mostly stays there; else the key never fits. */
	emit_alu(&t->e, ALU_XOR, 8, T1, t->source->rip >> 63 ? GS(jit_key[1]) : GS(jit_key[0]));
	emit_alu(&t->e, ALU_ADD, 8, T0, GS(jit_jump));
	emit_alu(&t->e, ALU_CMP, 8, T1, at_register(T0, offsetof(struct jump_entry, key)));
	miss = emit_jcc(&t->e, CC_NE);
	emit_mem(&t->e, (struct encoding){ .map = 1, .opcode = 0xff, .size = 4 }, 4,
		 at_register(T0, offsetof(struct jump_entry, code)));
	emit_land(&t->e, miss);
	emit_jmp_to(&t->e, t->jit->leave_rip);
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
	emit_load(&t->e, 8, T0, GS(run));
	emit_alu_mem_imm(&t->e, ALU_CMP, 1,
			 at_register(T0, offsetof(struct kvm_run, immediate_exit)), 0);
	leave_unless(t, CC_NE);
	emit_mov_imm(&t->e, T0, (uintptr_t)s->page_code);
	emit_alu_mem_imm(&t->e, ALU_CMP, 4, at_register(T0, 0), (int32_t)s->stamp);
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
static bool writes_all(const struct op_info *info)
{
	return ((info->flags_written | info->flags_undefined) & ALL_FLAGS) == ALL_FLAGS;
}

static bool keeps_some(const struct insn *i, const struct op_info *info)
{
	bool shift = info->map == MAP_1 && (info->opcode & 0xfe) >= 0xc0 &&
		     ((info->opcode & 0xfe) == 0xc0 || (info->opcode >= 0xd0 && info->opcode <= 0xd3));
	bool double_shift = info->map == MAP_0F && (info->opcode == 0xa4 || info->opcode == 0xa5 ||
						    info->opcode == 0xac || info->opcode == 0xad);

	return shift || double_shift || !writes_all(info);
}

static uint16_t flags_before(const struct insn *i, const struct op_info *info, uint16_t after)
{
	bool touches = info->flags_written | info->flags_undefined | info->flags_read;

	if (vector_is_native(i, info))
		return info->flags & OP_PRODUCES_RFLAGS ? 0 : after;
	if (info->encoding != LEGACY ||
	    info->flags & (OP_X87 | OP_VECTOR | OP_STRING | OP_CPL0 | OP_SYSTEM))
		return ALL_FLAGS;
	if (!touches)
		return after;
	if (info->flags_read || keeps_some(i, info))
		return ALL_FLAGS;
	return 0;
}

static void translate_insn(struct translator *t, const struct insn *i)
{
	const struct op_info *info = op_info(i->op);
	struct slow_path *s = &t->slow[t->slow_count];
	bool in_host = t->flags_in_host, in_memory = t->flags_in_memory;
	uint8_t *start = t->e.out;

	*s = (struct slow_path){ 0 };
	if (t->slow_count + 1 < MAX_SLOW && i->op &&
	    (native_vector(t, i, info) || native_insn(t, i, info))) {
		if (!s->froms)
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
	if (native_branch(t, i, info)) {
		if (s->froms) { /* the interpreter takes the branch, and does not come back */
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
	struct translator t = { .c = c, .jit = jit, .source = source, .slow = slow };
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
