/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * x87 and MMX instructions as they are, on the host's unit, while that holds the guest's state and no
 * exception is unmasked (vcpu.x87_direct).
 *
 * That is looked at once in a block, and again behind whatever the interpreter did. While it does not
 * hold, the interpreter does the instruction, and the block is left if it still does not.
 *
 * The status word is stored when C code is about to look (vcpu.x87_status_ahead). The instruction
 * pointer is exact for everybody who can see it: of instructions that follow each other the last one
 * stores it, and slow paths in between do. Without unmasked exceptions FDP and FOP do not change.
 *
 * Manual: SDM 1 8, 9.
 * Left to the interpreter: FNINIT, EMMS, MMX mixed with XMM, MASKMOVQ, and what stores or
 * loads more than a register: FLDENV to FNSAVE.
 */
#include "engine/fpu/fpu.h"
#include "engine/jit/internal.h"

enum { FCW = 0, FSW = 2, FIP = 8, ALL_MASKED = 0x3f }; /* offsets in vcpu.xsave */

static struct host_memory area(unsigned offset)
{
	return at_gs(offsetof(struct vcpu, xsave) + offset);
}

/* Opcode and ModRM.reg as one number. */
static unsigned form(const struct insn *i, const struct op_info *info)
{
	return (info->opcode & 7) << 3 | (i->modrm >> 3 & 7);
}

enum { FLDENV = 1 << 3 | 4, FLDCW = 1 << 3 | 5, FNSTENV = 1 << 3 | 6, FNSTCW = 1 << 3 | 7,
       FRSTOR = 5 << 3 | 4, FNSAVE = 5 << 3 | 6, FNSTSW = 5 << 3 | 7,
       CONTROL = 3 << 3 | 4, FNSTSW_AX = 7 << 3 | 4 };

static bool is_control(const struct insn *i, const struct op_info *info)
{
	unsigned f = form(i, info);

	if (insn_has_memory(i))
		return f == FLDCW || f == FNSTCW || f == FNSTSW;
	return f == CONTROL || f == FNSTSW_AX;
}

bool x87_is_native(const struct insn *i, const struct op_info *info)
{
	unsigned f = form(i, info);

	if (!(info->flags & OP_X87))
		return false;
	if (insn_has_memory(i))
		return f != FLDENV && f != FNSTENV && f != FRSTOR && f != FNSAVE;
	return f != CONTROL || (i->modrm & 7) != 3; /* FNINIT */
}

/* FCMOVcc and FCOMI; the latter are not relied on to change OF, SF and AF, nor to leave them. */
static bool reads_flags(const struct insn *i, const struct op_info *info)
{
	return !insn_has_memory(i) && info->flags_read & ALL_FLAGS;
}

uint16_t x87_flags_before(const struct insn *i, const struct op_info *info, uint16_t after)
{
	if (info->flags & OP_PRODUCES_RFLAGS)
		return after & ~(F_ZF | F_PF | F_CF);
	return after | (reads_flags(i, info) ? info->flags_read & ALL_FLAGS : 0);
}

void x87_store_rip(struct translator *t, uint64_t rip)
{
	if (!rip)
		return;
	if (is_signed_32(rip)) {
		emit_store_imm(&t->e, 8, area(FIP), (int32_t)rip);
	} else {
		emit_mov_imm(&t->e, T1, rip);
		emit_store(&t->e, 8, area(FIP), T1);
	}
}

static void compare_direct(struct translator *t)
{
	emit_alu_mem_imm(&t->e, ALU_CMP, 1, GS(x87_direct), 0);
}

void x87_recheck(struct translator *t, uint64_t rip_behind)
{
	compare_direct(t);
	leave_for(t, CC_E, rip_behind);
}

static void check(struct translator *t)
{
	if (t->x87_checked)
		return;
	clobber_flags(t);
	emit_mem(&t->e, (struct encoding){ .map = 1, .opcode = 0xc6, .size = 1 }, 0,
		 GS(x87_status_ahead));
	emit_u8(&t->e, 1);
	compare_direct(t);
	slow_if(t, CC_E);
	t->x87_checked = true;
}

/* A new control word that unmasks something is the interpreter's. */
static void load_control(struct translator *t, unsigned opcode, unsigned reg)
{
	struct encoding load = { .map = 0x0f, .opcode = 0xb7, .size = 4 };
	struct encoding x87 = { .map = 1, .opcode = opcode, .size = 4 };

	emit_mem(&t->e, load, T1, at_register(T0, 0));
	emit_store(&t->e, 8, GS(jit_scratch), T1);
	emit_alu_imm(&t->e, ALU_AND, 4, T1, ALL_MASKED);
	emit_alu_imm(&t->e, ALU_CMP, 4, T1, ALL_MASKED);
	slow_if(t, CC_NE);
	emit_mem(&t->e, x87, reg, GS(jit_scratch));
	emit_mem(&t->e, x87, 7, area(FCW)); /* FNSTCW: less what is reserved */
}

static void run(struct translator *t, const struct insn *i, const struct op_info *info)
{
	unsigned reg = i->modrm >> 3 & 7;

	if (!insn_has_memory(i)) {
		if (reads_flags(i, info) || (info->flags & OP_PRODUCES_RFLAGS &&
					     t->live_after & ~(F_ZF | F_PF | F_CF)))
			need_flags_in_host(t);
		emit_u8(&t->e, info->opcode);
		emit_u8(&t->e, i->modrm);
		if (info->flags & OP_PRODUCES_RFLAGS)
			flags_now_in_host(t);
		return;
	}
	host_address(t, i, op_memory_bytes(info, i, true), info->rm & FIELD_WRITTEN);
	if (form(i, info) == FLDCW)
		load_control(t, info->opcode, reg);
	else
		emit_mem(&t->e, (struct encoding){ .map = 1, .opcode = info->opcode, .size = 4 }, reg,
			 at_register(T0, 0));
}

/* The next instruction will store its own address, or this one's. */
static bool is_followed_by_another(const struct translator *t, const struct insn *i)
{
	const struct insn *next = i + 1;

	if (t->is_last || !next->op)
		return false;
	return x87_is_native(next, op_info(next->op));
}

/* MMX: its registers are the x87 unit's; the pointers stay. */
bool mmx_is_native(const struct insn *i, const struct op_info *info)
{
	unsigned reg = info->reg & FIELD_KIND, rm = info->rm & FIELD_KIND;

	if (info->encoding != LEGACY || !(info->flags & OP_VECTOR) || info->flags & OP_DI_STORE)
		return false;
	return reg != FIELD_VECTOR && rm != FIELD_VECTOR && (reg == FIELD_MMX || rm == FIELD_MMX);
}

static bool is_gpr(uint8_t field)
{
	return (field & FIELD_KIND) != FIELD_NONE && (field & FIELD_KIND) != FIELD_MMX;
}

bool native_mmx(struct translator *t, const struct insn *i, const struct op_info *info)
{
	static const uint8_t maps[] = { [MAP_0F] = 0x0f, [MAP_0F38] = 0x38, [MAP_0F3A] = 0x3a };
	struct slow_path *s = &t->slow[t->slow_count];
	struct encoding e = { .map = maps[info->map], .opcode = info->opcode, .size = 4 };
	unsigned reg = i->modrm >> 3 & 7, rm = T0;
	uint8_t imm8;

	if (!mmx_is_native(i, info) || !fpu_imm8(i, &imm8))
		return false;
	if ((info->reg & FIELD_KIND) == FIELD_GPR64 || (info->rm & FIELD_KIND) == FIELD_GPR64)
		e.size = 8;
	s->is_x87 = true;
	check(t);
	if (insn_has_memory(i))
		host_address(t, i, op_memory_bytes(info, i, true), info->rm & FIELD_WRITTEN);
	else
		rm = is_gpr(info->rm) ? use_gpr(t, i->rm, T0, info->rm & FIELD_READ) : i->rm;
	if (is_gpr(info->reg))
		reg = use_gpr(t, i->reg, T1, info->reg & FIELD_READ);
	if (insn_has_memory(i))
		emit_mem(&t->e, e, reg, at_register(T0, 0));
	else
		emit_reg(&t->e, e, reg, rm);
	if (info->imm != IMM_NONE)
		emit_u8(&t->e, imm8);
	if (is_gpr(info->reg) && info->reg & FIELD_WRITTEN)
		put_gpr(t, i->reg, reg);
	if (!insn_has_memory(i) && is_gpr(info->rm) && info->rm & FIELD_WRITTEN)
		put_gpr(t, i->rm, rm);
	return true;
}

bool native_x87(struct translator *t, const struct insn *i, const struct op_info *info)
{
	struct slow_path *s = &t->slow[t->slow_count];
	uint64_t own = is_control(i, info) ? 0 : branch_target(t, i->start);

	if (!x87_is_native(i, info))
		return false;
	s->is_x87 = true;
	s->x87_rip = t->x87_rip;
	check(t);
	run(t, i, info);
	if (own)
		t->x87_rip = own;
	if (!is_followed_by_another(t, i)) {
		x87_store_rip(t, t->x87_rip);
		t->x87_rip = 0;
	}
	return true;
}
