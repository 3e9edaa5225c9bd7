/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * SSE to SSE4.2 in their legacy encoding: operands are loaded from the guest's XSAVE image into
 * XMM0 and XMM1, the instruction runs, the result goes back.
 *
 * Floating point runs with the host's MXCSR, which has the guest's control bits: a block that
 * computes in floating point is only run while those are the initial ones (jit_matches). The sticky
 * flags are collected by fpu_collect_flags() before anybody can look.
 *
 * Left to the interpreter: MMX, VEX and EVEX, implicit operands, MASKMOVDQU.
 */
#include "engine/jit/internal.h"

#include "engine/fpu/fpu.h"

enum { XMM_AT = 160, REG_XMM = 0, RM_XMM = 1, P_66 = 2, P_F3 = 4, P_F2 = 8 };

static unsigned kind(uint8_t field)
{
	return field & FIELD_KIND;
}

static bool is_gpr(uint8_t field)
{
	return kind(field) == FIELD_GPR32 || kind(field) == FIELD_GPR64;
}

static bool is_plain_field(uint8_t field)
{
	return kind(field) == FIELD_VECTOR || is_gpr(field);
}

/* BLENDV and SHA256RNDS2 read XMM0, PCMPESTRM and PCMPISTRM write it. */
static bool means_xmm0(const struct op_info *info)
{
	if (info->map == MAP_0F3A)
		return info->opcode == 0x60 || info->opcode == 0x62;
	return info->map == MAP_0F38 && (info->opcode == 0x10 || info->opcode == 0x14 ||
					 info->opcode == 0x15 || info->opcode == 0xcb);
}

bool vector_is_native(const struct insn *i, const struct op_info *info)
{
	const uint32_t odd = OP_READS_EAX_EDX | OP_WRITES_ECX | OP_DI_STORE | OP_ANY_VSIB;
	bool has_reg = kind(info->reg) != FIELD_NONE;

	if (info->encoding != LEGACY || !(info->flags & OP_VECTOR) || info->flags & odd ||
	    !(info->flags & OP_MODRM) || means_xmm0(info))
		return false;
	if (has_reg && !is_plain_field(info->reg))
		return false;
	if (insn_has_memory(i))
		return info->mem >= MEM_1 && info->mem <= MEM_16 && info->mem != MEM_10;
	return is_plain_field(info->rm);
}

bool vector_is_fp(const struct op_info *info)
{
	unsigned op = info->opcode;

	if (info->map == MAP_0F3A)
		return (op >= 0x08 && op <= 0x0b) || op == 0x40 || op == 0x41;
	if (info->map != MAP_0F)
		return false;
	return op == 0x2a || (op >= 0x2c && op <= 0x2f) || (op >= 0x51 && op <= 0x53) ||
	       (op >= 0x58 && op <= 0x5f) || op == 0x7c || op == 0x7d || op == 0xc2 || op == 0xd0 ||
	       op == 0xe6;
}

static struct host_memory xmm_slot(unsigned n)
{
	return at_gs(offsetof(struct vcpu, xsave) + XMM_AT + 16 * n);
}

static void move_xmm(struct translator *t, bool store, unsigned host, unsigned guest)
{
	struct encoding movaps = { .map = 0x0f, .opcode = store ? 0x29 : 0x28, .size = 4 };

	emit_mem(&t->e, movaps, host, xmm_slot(guest));
}

static struct encoding encoding_of(const struct op_info *info)
{
	static const uint8_t maps[] = { [MAP_0F] = 0x0f, [MAP_0F38] = 0x38, [MAP_0F3A] = 0x3a };
	struct encoding e = { .map = maps[info->map], .opcode = info->opcode, .size = 4 };

	e.prefix = info->match & P_66 ? 0x66 : info->match & P_F3 ? 0xf3 : info->match & P_F2 ? 0xf2 : 0;
	if (kind(info->reg) == FIELD_GPR64 || kind(info->rm) == FIELD_GPR64)
		e.size = 8;
	return e;
}

static void check_alignment(struct translator *t)
{
	struct slow_path *s = &t->slow[t->slow_count];
	struct encoding test = { .map = 1, .opcode = 0xf6, .size = 1, .byte_regs = true };

	emit_reg(&t->e, test, 0, T0);
	emit_u8(&t->e, 15);
	if (s->froms < ARRAY_LEN(s->from))
		s->from[s->froms++] = emit_jcc(&t->e, CC_NE);
}

bool native_vector(struct translator *t, const struct insn *i, const struct op_info *info)
{
	bool memory = insn_has_memory(i), fp = vector_is_fp(info);
	struct encoding enc = encoding_of(info);
	unsigned reg = i->modrm >> 3 & 7, rm = RM_XMM;

	if (!vector_is_native(i, info) || (fp && t->fp_unknown))
		return false;
	if (memory) {
		host_address(t, i, op_memory_bytes(info, i, true), info->rm & FIELD_WRITTEN);
		if (info->flags & OP_ALIGNED)
			check_alignment(t);
	} else if (is_gpr(info->rm)) {
		rm = use_gpr(t, i->rm, T0, true);
	} else {
		move_xmm(t, false, RM_XMM, i->rm);
	}
	if (is_gpr(info->reg))
		reg = use_gpr(t, i->reg, T1, true);
	else if (kind(info->reg) == FIELD_VECTOR)
		move_xmm(t, false, reg = REG_XMM, i->reg);
	if (memory)
		emit_mem(&t->e, enc, reg, at_register(T0, 0));
	else
		emit_reg(&t->e, enc, reg, rm);
	if (info->imm == IMM_8 || info->imm == IMM_U8)
		emit_u8(&t->e, t->source->bytes[i->start + i->length - 1]);
	if (info->reg & FIELD_WRITTEN && is_gpr(info->reg))
		put_gpr(t, i->reg, reg);
	else if (info->reg & FIELD_WRITTEN)
		move_xmm(t, true, REG_XMM, i->reg);
	if (!memory && info->rm & FIELD_WRITTEN && is_gpr(info->rm))
		put_gpr(t, i->rm, rm);
	else if (!memory && info->rm & FIELD_WRITTEN)
		move_xmm(t, true, RM_XMM, i->rm);
	if (info->flags & OP_PRODUCES_RFLAGS)
		flags_now_in_host(t);
	return true;
}
