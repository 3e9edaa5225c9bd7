/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Instructions on RFLAGS as a whole or on single flags, reading segment registers, FS and GS bases,
 * fences, PAUSE, RDTSC, LOOP and JRCXZ, SWAPGS, STAC and CLAC, reading control registers
 * and PKRU.
 *
 * DF and IF are in vcpu.rflags; clearing IF needs no look at events, and setting it only at those
 * that are known to wait.
 *
 * Manual: SDM 2.
 * Left to the interpreter: POPF and STD, STI at a block's end, 16-bit PUSHF, RDTSC with CR4.TSD.
 */
#include "engine/jit/internal.h"

#include "engine/fpu/fpu.h"

static void clear_rflags(struct translator *t, uint32_t bits)
{
	emit_alu_mem_imm(&t->e, ALU_AND, 4, GS(rflags), (int32_t)~bits);
}

static void clear_interrupts(struct translator *t)
{
	clobber_flags(t);
	emit_alu_mem_imm(&t->e, ALU_CMP, 1, GS(cpl), 0);
	slow_if(t, CC_NE);
	clear_rflags(t, F_IF);
}

/* As exec_sti() does where nobody waits and an instruction follows in the block. */
static bool set_interrupts(struct translator *t)
{
	if (t->is_last)
		return false;
	clobber_flags(t);
	emit_alu_mem_imm(&t->e, ALU_CMP, 1, GS(cpl), 0);
	slow_if(t, CC_NE);
	emit_alu_mem_imm(&t->e, ALU_CMP, 1, GS(event_waiting), 0);
	slow_if(t, CC_NE);
	emit_alu_mem_imm(&t->e, ALU_CMP, 4, GS(requests), 0);
	slow_if(t, CC_NE);
	emit_alu_mem_imm(&t->e, ALU_OR, 4, GS(rflags), F_IF);
	return true;
}

static void push_flags(struct translator *t, const struct insn *i)
{
	need_flags_in_memory(t);
	check_stack_address(t, -(int32_t)i->opsize, i->opsize, true);
	emit_mem(&t->e, (struct encoding){ .map = 0x0f, .opcode = 0xb6, .size = 4 }, T1, GS(jit_flags));
	emit_shift(&t->e, SHIFT_SHL, 4, T1, 11); /* OF */
	emit_mem(&t->e, (struct encoding){ .map = 1, .opcode = 0x0a, .size = 1, .byte_regs = true }, T1,
		 at_gs(offsetof(struct vcpu, jit_flags) + 1));
	emit_alu_imm(&t->e, ALU_AND, 4, T1, F_STATUS);
	emit_alu(&t->e, ALU_OR, 4, T1, GS(rflags));
	emit_alu_imm(&t->e, ALU_OR, 4, T1, F_1);
	emit_alu_imm(&t->e, ALU_AND, 4, T1, ~(F_VM | F_RF));
	emit_store(&t->e, i->opsize, at_register(T0, 0), T1);
	move_stack(t, GUEST_RSP, -(int32_t)i->opsize);
}

/* How the guest's time runs is compiled in, and checked. */
static void read_tsc(struct translator *t)
{
	uint64_t scale = t->c->tsc_scale;

	clobber_flags(t);
	emit_mem(&t->e, (struct encoding){ .map = 1, .opcode = 0xf7, .size = 4 }, 0, GS(cr4));
	emit_u32(&t->e, CR4_TSD);
	slow_if(t, CC_NE);
	emit_mov_imm(&t->e, T0, scale);
	emit_alu(&t->e, ALU_CMP, 8, T0, GS(tsc_scale));
	slow_if(t, CC_NE);
	emit_u8(&t->e, 0x0f);
	emit_u8(&t->e, 0x31);
	emit_shift(&t->e, SHIFT_SHL, 8, H_RDX, 32);
	emit_reg(&t->e, (struct encoding){ .map = 1, .opcode = 0x0b, .size = 8 }, H_RAX, H_RDX);
	if (scale && scale != 1ull << 32) { /* MUL, SHRD: bits 32 to 95 of the product */
		emit_reg(&t->e, (struct encoding){ .map = 1, .opcode = 0xf7, .size = 8 }, 4, T0);
		emit_reg(&t->e, (struct encoding){ .map = 0x0f, .opcode = 0xac, .size = 8 }, H_RDX,
			 H_RAX);
		emit_u8(&t->e, 32);
	}
	emit_alu(&t->e, ALU_ADD, 8, H_RAX, GS(tsc_offset));
	emit_mov(&t->e, 8, H_RDX, H_RAX);
	emit_shift(&t->e, SHIFT_SHR, 8, H_RDX, 32);
	emit_mov(&t->e, 4, H_RAX, H_RAX);
}

static bool move_from_segment(struct translator *t, const struct insn *i)
{
	struct encoding load = { .map = 0x0f, .opcode = 0xb7, .size = 4 };
	unsigned to;

	if (i->reg > GS)
		return false;
	if (insn_has_memory(i)) {
		host_address(t, i, 2, true);
		emit_mem(&t->e, load, T1, segment_field(i->reg, offsetof(struct segment, selector)));
		emit_store(&t->e, 2, at_register(T0, 0), T1);
		return true;
	}
	to = use_gpr(t, i->rm, T1, i->opsize == 2);
	if (i->opsize == 2)
		load = (struct encoding){ .map = 1, .opcode = 0x8b, .size = 2 };
	emit_mem(&t->e, load, to, segment_field(i->reg, offsetof(struct segment, selector)));
	put_gpr(t, i->rm, to);
	return true;
}

/* Every 32nd is the interpreter's, which gives the processor away. */
static void pause(struct translator *t)
{
	enum { SPINS = 32 };

	clobber_flags(t);
	emit_load(&t->e, 8, T1, GS(count_pauses));
	emit_lea(&t->e, 8, T1, at_register(T1, 1));
	emit_reg(&t->e, (struct encoding){ .map = 1, .opcode = 0xf7, .size = 4 }, 0, T1);
	emit_u32(&t->e, SPINS - 1);
	slow_if(t, CC_E);
	emit_store(&t->e, 8, GS(count_pauses), T1);
	emit_u8(&t->e, 0xf3);
	emit_u8(&t->e, 0x90);
}

enum { WRFSBASE = 2 };

/* RDFSBASE to WRGSBASE; WRFSBASE is the interpreter's in the window. */
static bool segment_base(struct translator *t, const struct insn *i)
{
	unsigned n = i->modrm >> 3 & 7, reg;
	struct host_memory base = segment_field(n & 1 ? GS : FS, offsetof(struct segment, base));

	if (t->word != 8 || (t->window && n == WRFSBASE))
		return false;
	clobber_flags(t);
	emit_mem(&t->e, (struct encoding){ .map = 1, .opcode = 0xf7, .size = 4 }, 0, GS(cr4));
	emit_u32(&t->e, CR4_FSGSBASE);
	slow_if(t, CC_E);
	reg = use_gpr(t, i->rm, T1, n >= 2);
	if (n < 2) {
		emit_load(&t->e, i->opsize, reg, base);
		put_gpr(t, i->rm, reg);
		return true;
	}
	emit_mov(&t->e, i->opsize, T1, reg);
	need_canonical(t);
	emit_store(&t->e, 8, base, T1);
	return true;
}

static void swap_gs(struct translator *t)
{
	struct host_memory base = segment_field(GS, offsetof(struct segment, base));

	emit_load(&t->e, 8, T0, base);
	emit_load(&t->e, 8, T1, GS(msr.kernel_gs_base));
	emit_store(&t->e, 8, base, T1);
	emit_store(&t->e, 8, GS(msr.kernel_gs_base), T0);
}

/* The stack's page stays if more is allowed now than before. */
static void set_access(struct translator *t, bool ac)
{
	clobber_flags(t);
	if (ac)
		emit_alu_mem_imm(&t->e, ALU_OR, 4, GS(rflags), F_AC);
	else
		clear_rflags(t, F_AC);
	emit_load(&t->e, 8, T0, GS(tlb_by_ac[ac]));
	emit_store(&t->e, 8, GS(tlb_now), T0);
	if (!ac)
		emit_store_imm(&t->e, 8, GS(stack_limit), 0);
}

/* CR0, CR2, CR3 and CR4. */
static bool move_from_control(struct translator *t, const struct insn *i)
{
	static const size_t members[] = { offsetof(struct vcpu, cr0), 0, offsetof(struct vcpu, cr2),
					  offsetof(struct vcpu, cr3), offsetof(struct vcpu, cr4) };
	unsigned to;

	if (t->source->mode & MODE_USER || i->reg >= ARRAY_LEN(members) || !members[i->reg])
		return false;
	clobber_flags(t);
	emit_alu_mem_imm(&t->e, ALU_CMP, 1, GS(cpl), 0);
	slow_if(t, CC_NE);
	to = use_gpr(t, i->rm, T1, false);
	emit_load(&t->e, t->word, to, at_gs(members[i->reg]));
	put_gpr(t, i->rm, to);
	return true;
}

/* [SDM 1 13.4.2] the component counts if its bit of XSTATE_BV is set; it is 0 else. */
static void read_keys(struct translator *t)
{
	enum { PKRU = 9, XSTATE_BV = 512 };
	uint8_t *in_use;

	clobber_flags(t);
	emit_mem(&t->e, (struct encoding){ .map = 1, .opcode = 0xf7, .size = 4 }, 0, GS(cr4));
	emit_u32(&t->e, CR4_PKE);
	slow_if(t, CC_E);
	emit_alu_imm(&t->e, ALU_CMP, 4, H_RCX, 0);
	slow_if(t, CC_NE);
	emit_load(&t->e, 4, H_RAX, GS(xsave[xsave_offset(PKRU)]));
	emit_mem(&t->e, (struct encoding){ .map = 1, .opcode = 0xf7, .size = 4 }, 0,
		 GS(xsave[XSTATE_BV]));
	emit_u32(&t->e, BIT(PKRU));
	in_use = emit_jcc(&t->e, CC_NE);
	emit_mov_imm(&t->e, H_RAX, 0);
	emit_land(&t->e, in_use);
	emit_mov_imm(&t->e, H_RDX, 0);
}

static bool group_01(struct translator *t, const struct insn *i)
{
	bool is_user = t->source->mode & MODE_USER;

	switch (i->modrm) {
	case 0xca:
	case 0xcb:
		if (is_user)
			return false;
		set_access(t, i->modrm & 1);
		return true;
	case 0xee:
		read_keys(t);
		return true;
	case 0xf8:
		if (is_user || t->word != 8)
			return false;
		swap_gs(t);
		return true;
	case 0xf9: /* behind all that was before it: LFENCE */
		emit_u8(&t->e, 0x0f);
		emit_u8(&t->e, 0xae);
		emit_u8(&t->e, 0xe8);
		read_tsc(t);
		emit_load(&t->e, 4, H_RCX, GS(msr.tsc_aux));
		return true;
	default:
		return false;
	}
}

/* CLC, STC, CMC, LAHF, SAHF: the same byte. */
static void plain(struct translator *t, const struct insn *i, const struct op_info *info)
{
	struct plan p = plan_for(t, i, info);

	if (p.reads_flags)
		need_flags_in_host(t);
	emit_u8(&t->e, info->opcode);
	if (p.writes_flags)
		flags_now_in_host(t);
}

/* 0F AE with registers. */
static bool fence(struct translator *t, const struct insn *i)
{
	unsigned n = i->modrm >> 3 & 7;

	if (!insn_has_memory(i) && n < 4)
		return segment_base(t, i);
	if (insn_has_memory(i) || n < 5 || i->prefix & (PREFIX_REP | PREFIX_REPNE | PREFIX_OPSIZE))
		return false;
	emit_reg(&t->e, (struct encoding){ .map = 0x0f, .opcode = 0xae, .size = 4 }, n, 0);
	return true;
}

static bool two_bytes(struct translator *t, const struct insn *i, const struct op_info *info)
{
	if (info->opcode == 0xae)
		return fence(t, i);
	if (info->opcode == 0x01)
		return group_01(t, i);
	if (info->opcode == 0x20)
		return move_from_control(t, i);
	if (info->opcode != 0x31)
		return false;
	read_tsc(t);
	return true;
}

bool native_system(struct translator *t, const struct insn *i, const struct op_info *info)
{
	if (info->map == MAP_0F)
		return two_bytes(t, i, info);
	if (info->map != MAP_1)
		return false;
	switch (info->opcode) {
	case 0x8c:
		return move_from_segment(t, i);
	case 0x90:
		if (i->rm != RAX || !(i->prefix & PREFIX_REP))
			return false;
		pause(t);
		return true;
	case 0x9c:
		if (i->opsize != t->word && !t->segmented)
			return false;
		push_flags(t, i);
		return true;
	case 0x9e:
	case 0x9f:
	case 0xf5:
	case 0xf8:
	case 0xf9:
		plain(t, i, info);
		return true;
	case 0xfa:
		clear_interrupts(t);
		return true;
	case 0xfb:
		return set_interrupts(t);
	case 0xfc:
		clobber_flags(t);
		clear_rflags(t, F_DF);
		return true;
	default:
		return false;
	}
}

/* The host's own [R]CX test leaves flags alone, as LOOP does. */
static void skip_if_count_is_zero(struct translator *t, const struct insn *i, unsigned bytes)
{
	if (i->addrsize == 4)
		emit_u8(&t->e, 0x67);
	emit_u8(&t->e, 0xe3);
	emit_u8(&t->e, bytes);
}

/* By CX: no host instruction looks at that alone. */
static bool loop_16(struct translator *t, const struct insn *i, unsigned opcode)
{
	clobber_flags(t);
	if (opcode == 0xe2)
		emit_lea(&t->e, 2, H_RCX, at_register(H_RCX, -1));
	emit_reg(&t->e, (struct encoding){ .map = 1, .opcode = 0x85, .size = 2 }, H_RCX, H_RCX);
	exit_if(t, opcode == 0xe2 ? CC_NE : CC_E, relative_target(t, i));
	exit_direct(t, insn_end(t, i));
	return true;
}

bool native_loop(struct translator *t, const struct insn *i, unsigned opcode)
{
	uint64_t here = insn_end(t, i), there = relative_target(t, i);
	bool in_host, in_memory;
	uint8_t *second;

	if (i->addrsize < 4)
		return opcode >= 0xe2 && loop_16(t, i, opcode);
	if (opcode < 0xe2)
		need_flags_in_host(t);
	if (opcode != 0xe3)
		emit_lea(&t->e, i->addrsize, H_RCX, at_register(H_RCX, -1));
	in_host = t->flags_in_host;
	in_memory = t->flags_in_memory;
	skip_if_count_is_zero(t, i, opcode < 0xe2 ? 6 : 5);
	second = opcode < 0xe2 ? emit_jcc(&t->e, opcode == 0xe0 ? CC_NE : CC_E) : emit_jmp(&t->e);
	exit_direct(t, opcode == 0xe3 ? there : here);
	emit_land(&t->e, second);
	t->flags_in_host = in_host;
	t->flags_in_memory = in_memory;
	exit_direct(t, opcode == 0xe3 ? here : there);
	return true;
}
