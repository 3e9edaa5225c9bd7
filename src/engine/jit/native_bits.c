/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * General instructions with a VEX prefix (BMI1, BMI2), and MOVBE, CRC32, ADCX, ADOX.
 *
 * Manual: SDM 2A 2.3 (VEX), SDM 2, ANDN to SHRX.
 * Left to the interpreter: what the host lacks, MULX with both results in memory, AH to BH.
 */
#include "engine/jit/internal.h"

#include "engine/fpu/fpu.h"

enum { MATCH_66 = 2, MATCH_F3 = 4, MATCH_F2 = 8 }; /* of op_info.match */

/* `rm` is a register, or with `memory` one that holds an address. */
static void emit_vex(struct translator *t, const struct insn *i, const struct op_info *info,
		     unsigned reg, unsigned vvvv, unsigned rm, bool memory)
{
	unsigned pp = info->match & MATCH_66   ? 1
		      : info->match & MATCH_F3 ? 2
		      : info->match & MATCH_F2 ? 3
					       : 0;

	emit_u8(&t->e, 0xc4);
	emit_u8(&t->e, (reg & 8 ? 0 : 0x80) | 0x40 | (rm & 8 ? 0 : 0x20) |
			       (info->map == MAP_0F3A ? 3 : 2));
	emit_u8(&t->e, (i->opsize == 8) << 7 | (~vvvv & 15) << 3 | pp);
	emit_u8(&t->e, info->opcode);
	emit_u8(&t->e, (memory ? 0 : 0xc0) | (reg & 7) << 3 | (rm & 7));
	if (info->imm == IMM_U8)
		write_imm(t, i, 1);
}

static bool vex(struct translator *t, const struct insn *i, const struct op_info *info)
{
	bool has_reg = info->reg & FIELD_KIND, has_vvvv = info->vvvv & FIELD_KIND;
	bool memory = insn_has_memory(i);
	unsigned reg = i->modrm >> 3 & 7, vvvv = 0, rm = T0;
	struct plan p = plan_for(t, i, info);

	if (info->reg & info->vvvv & FIELD_WRITTEN && host_of(i->reg) < 0 && host_of(i->vvvv) < 0)
		return false;
	if (memory)
		host_address(t, i, i->opsize, false);
	else
		rm = use_gpr(t, i->rm, T0, true);
	if (p.reads_flags)
		need_flags_in_host(t);
	/* T1 may be a source and the result. */
	if (has_vvvv)
		vvvv = use_gpr(t, i->vvvv, T1, info->vvvv & FIELD_READ);
	if (has_reg)
		reg = use_gpr(t, i->reg, T1, false);
	emit_vex(t, i, info, reg, vvvv, rm, memory);
	if (info->vvvv & FIELD_WRITTEN)
		put_gpr(t, i->vvvv, vvvv);
	if (info->reg & FIELD_WRITTEN)
		put_gpr(t, i->reg, reg);
	if (p.writes_flags)
		flags_now_in_host(t);
	return true;
}

static bool legacy(struct translator *t, const struct insn *i, const struct op_info *info)
{
	struct plan p = plan_for(t, i, info);

	if (info->map != MAP_0F38 || info->opcode < 0xf0 || is_high_byte(i, info))
		return false;
	p.encoding.prefix = info->match & MATCH_F2 ? 0xf2 : info->match & MATCH_F3 ? 0xf3 : 0;
	if (info->opcode == 0xf6 &&
	    info->match & MATCH_66) /* ADCX; else 66 is the operand's size */
		p.encoding.prefix = 0x66;
	return encode_planned(t, i, info, &p);
}

bool native_bits(struct translator *t, const struct insn *i, const struct op_info *info)
{
	if (!host_can_run(info->feature))
		return false;
	return info->encoding == VEX ? vex(t, i, info) : legacy(t, i, info);
}
