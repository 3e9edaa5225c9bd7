/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Where guest registers live and where guest memory is: the inline TLB check.
 *
 * The check is mmu.h's: the address less the tag must lie within a page, which catches misses and
 * page crossings at once. It clobbers EFLAGS, so status flags that are still to be read are saved to
 * vcpu.jit_flags first.
 */
#include "engine/jit/internal.h"

#include "engine/mmu/mmu.h"

/* Compilers use R9 to R11 least. */
static const int8_t host_map[16] = { H_RAX, H_RCX, H_RDX, H_RBX, GUEST_RSP, H_RBP, H_RSI, H_RDI,
				     H_R8, -1, -1, -1, H_R12, H_R9, H_R10, H_R11 };

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

struct host_memory pointer_operand(struct emitter *e, const struct vcpu *c, const void *pointer,
				   unsigned temp)
{
	intptr_t distance = (intptr_t)pointer - (intptr_t)c, from_gs = distance - (intptr_t)VCPU_BYTES;

	if (from_gs == (int32_t)from_gs)
		return at_gs((size_t)distance);
	emit_mov_imm(e, temp, (uintptr_t)pointer);
	return at_register(temp, 0);
}

struct host_memory at_pointer(struct translator *t, const void *pointer, unsigned temp)
{
	return pointer_operand(&t->e, t->c, pointer, temp);
}

void slow_if(struct translator *t, enum condition cc)
{
	struct slow_path *s = &t->slow[t->slow_count];

	s->from[s->froms++] = emit_jcc(&t->e, cc);
}

/* Addresses. */
struct host_memory segment_field(unsigned seg, size_t offset)
{
	return at_gs(offsetof(struct vcpu, seg) + seg * sizeof(struct segment) + offset);
}

/* Outside 64-bit code: writable data up to 4 GiB, as systems have for what belongs to a thread or a
 * processor. T1 is overwritten. */
static void check_segment(struct translator *t, unsigned seg)
{
	enum { WANTED = SEG_PRESENT | SEG_S | SEG_WRITE,
	       LOOKED_AT = WANTED | SEG_UNUSABLE | SEG_CODE | SEG_DOWN };

	emit_alu_mem_imm(&t->e, ALU_CMP, 4, segment_field(seg, offsetof(struct segment, limit)), -1);
	slow_if(t, CC_NE);
	emit_load(&t->e, 4, T1, segment_field(seg, offsetof(struct segment, rights)));
	emit_alu_imm(&t->e, ALU_AND, 4, T1, LOOKED_AT);
	emit_alu_imm(&t->e, ALU_CMP, 4, T1, WANTED);
	slow_if(t, CC_NE);
}

static void add_segment_base(struct translator *t, unsigned seg, unsigned to)
{
	if (t->segmented) /* segment_to_linear() */
		return;
	if (seg == FS || seg == GS) {
		clobber_flags(t);
		if (t->word == 4)
			check_segment(t, seg);
		emit_alu(&t->e, ALU_ADD, t->word, to, segment_field(seg, offsetof(struct segment, base)));
	}
}

void guest_address(struct translator *t, const struct insn *i, unsigned to)
{
	unsigned size = i->addrsize == 8 ? 8 : 4;
	struct host_memory m = { .base = -1, .index = -1, .scale = i->scale };
	uint64_t disp = (uint64_t)i->disp;

	if (i->base == GPR_BLOCK)
		disp += t->rip;
	if (i->base < GPR_ZERO)
		m.base = (int8_t)use_gpr(t, i->base, T0, true);
	if (i->index < GPR_ZERO)
		m.index = (int8_t)use_gpr(t, i->index, T1, true);
	if (m.base < 0 && m.index < 0) {
		disp = size == 4 ? (uint32_t)disp : disp;
		emit_mov_imm(&t->e, to, i->addrsize == 2 ? (uint16_t)disp : disp);
	} else if (m.index < 0 && !disp) {
		if (i->addrsize == 2)
			zero_extend(t, 2, to, (unsigned)m.base);
		else if (m.base != (int)to || size == 4)
			emit_mov(&t->e, size, to, (unsigned)m.base);
	} else {
		m.disp = (int32_t)disp; /* beside a register it is 32 bits */
		emit_lea(&t->e, size, to, m);
		if (i->addrsize == 2)
			zero_extend(t, 2, to, to);
	}
	add_segment_base(t, i->seg, to);
}

static size_t tag_of(bool write)
{
	return write ? offsetof(struct tlb_entry, write) : offsetof(struct tlb_entry, read);
}

uint8_t *emit_tlb_look(struct emitter *e, unsigned size, bool write)
{
	_Static_assert(sizeof(struct tlb_entry) == 32, "the index below is scaled by 32");
	emit_mov(e, 4, T1, T0);
	emit_shift(e, SHIFT_SHR, 4, T1, PAGE_SHIFT - 5);
	emit_alu_imm(e, ALU_AND, 4, T1, (TLB_ENTRIES - 1) << 5);
	emit_alu(e, ALU_ADD, 8, T1, GS(tlb_now));
	emit_alu(e, ALU_SUB, 8, T0, at_register(T1, (int32_t)tag_of(write)));
	emit_alu_imm(e, ALU_CMP, 8, T0, (int32_t)(PAGE_BYTES - size));
	return emit_jcc(e, CC_A);
}

uint8_t *check_tlb(struct translator *t, unsigned size, bool write)
{
	uint8_t *miss = emit_tlb_look(&t->e, size, write);

	emit_alu(&t->e, ALU_ADD, 8, T0, at_register(T1, offsetof(struct tlb_entry, host)));
	return miss;
}

static void find_in_tlb(struct translator *t, unsigned size, bool write)
{
	struct slow_path *s = &t->slow[t->slow_count];

	s->from[s->froms++] = check_tlb(t, size, write);
}

void host_address_of_linear(struct translator *t, unsigned size, bool write)
{
	clobber_flags(t);
	find_in_tlb(t, size, write);
}

/* After a look: what the host's addresses are above the guest's. */
static void load_addend(struct translator *t, bool on_stack)
{
	emit_load(&t->e, 8, T0, on_stack ? GS(stack_addend) :
		  at_register(T1, offsetof(struct tlb_entry, addend)));
}

static void add_gpr(struct translator *t, unsigned guest) /* to T0 */
{
	int host = host_of(guest);

	if (host < 0)
		emit_alu(&t->e, ALU_ADD, 8, T0, gpr_slot(guest));
	else
		emit_reg(&t->e, (struct encoding){ .map = 1, .opcode = 0x03, .size = 8 }, T0,
			 (unsigned)host);
}

struct host_memory beside_base(unsigned base, int32_t disp)
{
	return (struct host_memory){ .base = T0, .index = (int8_t)host_of(base), .disp = disp };
}

/* T0 has an address; afterwards where it is in the page the stack was in last time. The jump is taken
 * if that is another page, or there are less than 8 bytes. */
static uint8_t *check_stack(struct translator *t)
{
	emit_alu(&t->e, ALU_SUB, 8, T0, GS(stack_page));
	emit_alu(&t->e, ALU_CMP, 8, T0, GS(stack_limit));
	return emit_jcc(&t->e, CC_AE);
}

/* Of up to 8 bytes. */
static void look_on_stack(struct translator *t)
{
	struct slow_path *s = &t->slow[t->slow_count];

	s->stack_from[s->stacks] = check_stack(t);
	s->stack_resume[s->stacks++] = emit_here(&t->e);
}

static void find_on_stack(struct translator *t)
{
	look_on_stack(t);
	emit_alu(&t->e, ALU_ADD, 8, T0, GS(stack_host));
}

static void check_stack_range(struct translator *t, struct group *g)
{
	g->from[g->froms++] = check_stack(t);
	if (g->size > 8) {
		emit_alu_imm(&t->e, ALU_CMP, 8, T0, (int32_t)(PAGE_BYTES - g->size));
		g->from[g->froms++] = emit_jcc(&t->e, CC_A);
	}
	g->stack_resume = emit_here(&t->e);
}

void check_range(struct translator *t, struct group *g, unsigned base, int32_t low, bool write)
{
	emit_lea(&t->e, t->word, T0, at_register(use_gpr(t, base, T0, true), low));
	if (base == RSP)
		check_stack_range(t, g);
	else
		g->from[g->froms++] = emit_tlb_look(&t->e, g->size, write);
	if (t->word < 8) { /* addresses wrap */
		emit_alu(&t->e, ALU_ADD, 8, T0, base == RSP ? GS(stack_host) :
			 at_register(T1, offsetof(struct tlb_entry, host)));
		return;
	}
	load_addend(t, base == RSP);
	if (host_of(base) < 0)
		add_gpr(t, base);
}

static bool is_on_stack(const struct insn *i, unsigned size)
{
	return i->base == RSP && i->index >= GPR_ZERO && i->addrsize == 8 && i->seg != FS &&
	       i->seg != GS && size <= 8;
}

void check_address(struct translator *t, const struct insn *i, unsigned size, bool write)
{
	clobber_flags(t);
	guest_address(t, i, T0);
	if (t->segmented)
		segment_to_linear(t, i->seg, size, write);
	if (is_on_stack(i, size))
		find_on_stack(t);
	else
		find_in_tlb(t, size, write);
}

/* Without registers. */
static uint64_t known_address(const struct translator *t, const struct insn *i)
{
	return (uint64_t)i->disp + (i->base == GPR_BLOCK ? t->rip : 0);
}

/* An address in one page. */
static struct host_memory check_constant(struct translator *t, uint64_t address, bool write)
{
	size_t entry = (address >> PAGE_SHIFT) % TLB_ENTRIES * sizeof(struct tlb_entry);
	uint64_t page = address & PAGE_MASK;
	bool is_short = (int64_t)address == (int32_t)address;

	emit_load(&t->e, 8, T0, GS(tlb_now));
	if (is_short) {
		emit_alu_mem_imm(&t->e, ALU_CMP, 8, at_register(T0, (int32_t)(entry + tag_of(write))),
				 (int32_t)page);
	} else {
		emit_mov_imm(&t->e, T1, page);
		emit_alu(&t->e, ALU_CMP, 8, T1, at_register(T0, (int32_t)(entry + tag_of(write))));
	}
	slow_if(t, CC_NE);
	emit_load(&t->e, 8, T0,
		  at_register(T0, (int32_t)(entry + offsetof(struct tlb_entry, addend))));
	if (is_short)
		return at_register(T0, (int32_t)address);
	emit_lea(&t->e, 8, T0, (struct host_memory){ .base = T0, .index = T1 });
	return at_register(T0, (int32_t)(address - page));
}

/* Addresses that need not be computed anew from what a look leaves of them. */
static bool is_direct(const struct translator *t, const struct insn *i, unsigned size)
{
	if (t->word < 8 || i->addrsize < 8 || i->seg == FS || i->seg == GS)
		return false;
	if (i->index < GPR_ZERO)
		return host_of(i->index) >= 0 && (i->base == GPR_ZERO || i->base < GPR_ZERO);
	return i->base < GPR_ZERO || (known_address(t, i) & ~PAGE_MASK) + size <= PAGE_BYTES;
}

struct host_memory check_operand(struct translator *t, const struct insn *i, unsigned size, bool write)
{
	struct slow_path *s = &t->slow[t->slow_count];
	bool on_stack = is_on_stack(i, size);

	if (!is_direct(t, i, size)) {
		check_address(t, i, size, write);
		return at_register(T0, 0);
	}
	clobber_flags(t);
	if (i->base >= GPR_ZERO && i->index >= GPR_ZERO)
		return check_constant(t, known_address(t, i), write);
	guest_address(t, i, T0);
	if (on_stack)
		look_on_stack(t);
	else
		s->from[s->froms++] = emit_tlb_look(&t->e, size, write);
	load_addend(t, on_stack);
	if (i->base < GPR_ZERO && (i->index < GPR_ZERO || host_of(i->base) < 0))
		add_gpr(t, i->base);
	if (i->index >= GPR_ZERO)
		return beside_base(i->base, (int32_t)i->disp);
	return (struct host_memory){ .base = T0, .index = (int8_t)host_of(i->index),
				     .scale = i->scale, .disp = (int32_t)i->disp };
}

struct host_memory check_stack_operand(struct translator *t, int32_t offset, unsigned size, bool write)
{
	if (t->word < 8) {
		check_stack_address(t, offset, size, write);
		return at_register(T0, 0);
	}
	clobber_flags(t);
	emit_lea(&t->e, 8, T0, at_register(GUEST_RSP, offset));
	look_on_stack(t);
	load_addend(t, true);
	return beside_base(RSP, offset);
}

void check_stack_address(struct translator *t, int32_t offset, unsigned size, bool write)
{
	clobber_flags(t);
	if (t->segmented)
		segmented_stack(t, GUEST_RSP, offset, size, write);
	else
		emit_lea(&t->e, t->word, T0, at_register(GUEST_RSP, offset));
	find_on_stack(t);
}

void host_address_of_frame(struct translator *t, const struct insn *i)
{
	clobber_flags(t);
	if (t->segmented)
		segmented_stack(t, H_RBP, 0, i->opsize, false);
	else
		emit_mov(&t->e, t->word, T0, H_RBP);
	find_in_tlb(t, i->opsize, false);
}

/* No memory operand, or one in the way the inline check knows. */
bool is_addressable(const struct translator *t, const struct insn *i)
{
	return !insn_has_memory(i) || t->word == 8 || t->segmented || i->addrsize == 4;
}
