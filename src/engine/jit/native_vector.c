/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * SSE, AVX and AVX-512 instructions as themselves: vector registers are the host's of the same name,
 * general ones are renamed, the memory operand is replaced by its host address. All of a masked
 * operand must be accessible, else the interpreter looks at the mask.
 *
 * Left to the interpreter: MMX, gathers and scatters, MASKMOVDQU.
 */
#include "engine/jit/internal.h"

#include "engine/fpu/fpu.h"
#include "engine/interp/exec.h"

/* VZEROALL is one too. In 32-bit code it leaves registers 8 to 15 alone. */
static bool is_vzeroupper(const struct insn *i)
{
	return i->exec == exec_vzeroupper;
}

enum vector_level vector_need(const struct insn *i)
{
	struct vector_form form;

	if (is_vzeroupper(i))
		return VECTORS_AVX;
	return fpu_vector_form(i, &form) ? form.level : VECTORS_NONE;
}

/* Behind an instruction of the interpreter's they are to be loaded anew; that may be forbidden now. */
static void need_vectors(struct translator *t)
{
	if (t->vectors)
		return;
	need_flags_in_memory(t);
	t->flags_in_host = false;
	emit_call_run(&t->e, t->jit->vectors_load[t->block->vectors]);
	leave_for(t, CC_B, branch_target(t, t->insn_start));
	t->vectors = t->block->vectors;
}

static void check_alignment(struct translator *t, unsigned bytes)
{
	struct slow_path *s = &t->slow[t->slow_count];
	struct encoding test = { .map = 1, .opcode = 0xf6, .size = 1, .byte_regs = true };

	emit_reg(&t->e, test, 0, T0);
	emit_u8(&t->e, bytes - 1);
	if (s->froms < ARRAY_LEN(s->from))
		s->from[s->froms++] = emit_jcc(&t->e, CC_NE);
}

static bool vzeroupper(struct translator *t, const struct insn *i)
{
	if (t->word != 8)
		return false;
	need_vectors(t);
	emit_vector_zero(&t->e, i->vlen == 32);
	return true;
}

static struct vector_encoding encoding_of(const struct op_info *info, const struct vector_form *f)
{
	return (struct vector_encoding){ .kind = info->encoding, .pp = f->pp, .map = info->map,
					 .opcode = f->opcode, .w = f->w, .l = f->l, .vvvv = f->vvvv,
					 .mask = f->mask, .b = f->b, .z = f->z };
}

bool native_vector(struct translator *t, const struct insn *i, const struct op_info *info)
{
	bool memory = insn_has_memory(i), window = window_takes(t, i);
	struct host_memory operand = at_register(T0, 0);
	struct vector_form f;
	unsigned reg, rm;

	if (is_vzeroupper(i))
		return vzeroupper(t, i);
	if (!fpu_vector_form(i, &f))
		return false;
	need_vectors(t);
	/* In the window a wrong alignment is a fault like others. */
	if (memory && ((f.is_aligned && !window) || info->encoding == EVEX)) {
		host_address(t, i, f.bytes, info->rm & FIELD_WRITTEN);
		if (f.is_aligned && !window)
			check_alignment(t, f.bytes);
	} else if (memory) {
		operand = host_operand(t, i, f.bytes, info->rm & FIELD_WRITTEN);
	}
	rm = f.rm_is_gpr && !memory ? use_gpr(t, i->rm, T0, true) : f.rm;
	reg = f.reg_is_gpr ? use_gpr(t, i->reg, T1, true) : f.reg;
	if (memory)
		emit_vector_mem(&t->e, encoding_of(info, &f), reg, operand);
	else
		emit_vector_reg(&t->e, encoding_of(info, &f), reg, rm);
	if (f.has_imm8)
		emit_u8(&t->e, f.imm8);
	if (f.reg_is_gpr && info->reg & FIELD_WRITTEN)
		put_gpr(t, i->reg, reg);
	if (f.rm_is_gpr && !memory && info->rm & FIELD_WRITTEN)
		put_gpr(t, i->rm, rm);
	if (info->flags & OP_PRODUCES_RFLAGS)
		flags_now_in_host(t);
	return true;
}
