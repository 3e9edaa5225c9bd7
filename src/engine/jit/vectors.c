/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * The guest's vector registers in the host's.
 *
 * vcpu.jit_vectors says how much of them is there: nothing; XMM0-15; YMM0-15; ZMM0-31 and K0-7. What
 * is there is stale in vcpu.xsave, and MXCSR is there too. Blocks with vector instructions load at
 * their entry; whatever calls C, and every way out, spills. Legacy SSE instructions leave the upper
 * parts alone, so XMM alone may be there while those are in memory. VEX instructions clear the parts
 * above YMM: these are known to be clear (vcpu.wide_used), or everything is loaded.
 *
 * Nothing is loaded, and the blocks in question are the interpreter's, while the guest has these
 * instructions disabled or a SIMD exception unmasked.
 *
 * Manual: SDM 1 13.4 (layout of the area), 14.9 (VZEROUPPER and transitions).
 */
#include "base/bytes.h"
#include "engine/fpu/fpu.h"
#include "engine/jit/internal.h"

enum { XMM_AT = 160, MXCSR_AT = 24, MASKS = 0x1f80, AVX = 2, OPMASK = 5, ZMM_HI256 = 6, HI16_ZMM = 7 };

static struct host_memory area(size_t offset)
{
	return at_gs(offsetof(struct vcpu, xsave) + offset);
}

static void emit_mxcsr(struct emitter *e, unsigned extension) /* 2: load, 3: store */
{
	emit_mem(e, (struct encoding){ .map = 0x0f, .opcode = 0xae, .size = 4 }, extension,
		 area(MXCSR_AT));
}

static void move_sse(struct emitter *e, bool store)
{
	struct encoding movaps = { .map = 0x0f, .opcode = store ? 0x29 : 0x28, .size = 4 };

	for (unsigned n = 0; n < 16; n++)
		emit_mem(e, movaps, n, area(XMM_AT + 16 * n));
}

/* VMOVUPS and VINSERTF128 or VEXTRACTF128. */
static void move_avx(struct emitter *e, bool store)
{
	struct vector_encoding low = { .kind = VEX, .map = MAP_0F, .opcode = 0x10 + store };
	struct vector_encoding high = { .kind = VEX, .pp = 0x66, .map = MAP_0F3A, .l = 1,
					.opcode = 0x18 + store };

	for (unsigned n = 0; n < 16; n++) {
		emit_vector_mem(e, low, n, area(XMM_AT + 16 * n));
		high.vvvv = store ? 0 : (uint8_t)n;
		emit_vector_mem(e, high, n, area(xsave_offset(AVX) + 16 * n));
		emit_u8(e, 1);
	}
}

/* The upper halves of ZMM0-15 by VINSERTF64X4 or VEXTRACTF64X4. */
static void move_upper(struct emitter *e, bool store)
{
	struct vector_encoding high = { .kind = EVEX, .pp = 0x66, .map = MAP_0F3A, .w = 1, .l = 2,
					.opcode = 0x1a + store };

	for (unsigned n = 0; n < 16; n++) {
		high.vvvv = store ? 0 : (uint8_t)n;
		emit_vector_mem(e, high, n, area(xsave_offset(ZMM_HI256) + 32 * n));
		emit_u8(e, 1);
	}
}

/* ZMM16-31, K0-7. */
static void move_others(struct emitter *e, bool store)
{
	struct vector_encoding whole = { .kind = EVEX, .map = MAP_0F, .l = 2, .opcode = 0x10 + store };
	struct vector_encoding mask = { .kind = VEX, .map = MAP_0F, .w = 1, .opcode = 0x90 + store };

	for (unsigned n = 16; n < 32; n++)
		emit_vector_mem(e, whole, n, area(xsave_offset(HI16_ZMM) + 64 * (n - 16)));
	for (unsigned n = 0; n < 8; n++)
		emit_vector_mem(e, mask, n, area(xsave_offset(OPMASK) + 8 * n));
}

static void or_area(struct emitter *e, size_t offset, unsigned count)
{
	struct vector_encoding vorps = { .kind = VEX, .map = MAP_0F, .opcode = 0x56, .l = 1 };

	for (unsigned n = 0; n < count; n++)
		emit_vector_mem(e, vorps, 0, area(offset + 32 * n));
}

/* "Equal": what is above XMM0-15 is clear in memory. YMM0 is overwritten. */
static void emit_look_above(struct emitter *e, bool wide)
{
	struct vector_encoding vxorps = { .kind = VEX, .map = MAP_0F, .opcode = 0x57 };
	struct vector_encoding vptest = { .kind = VEX, .pp = 0x66, .map = MAP_0F38, .opcode = 0x17, .l = 1 };

	emit_vector_reg(e, vxorps, 0, 0);
	or_area(e, xsave_offset(AVX), 8);
	if (wide)
		or_area(e, xsave_offset(ZMM_HI256), 16);
	emit_vector_reg(e, vptest, 0, 0);
}

/*
 * Registers 0-15. If what is above XMM is clear it is not loaded: behind VZEROUPPER a guest may take SSE and VEX
 * instructions in turn, but once that was written, be it with zeros, each change costs 150 cycles.
 */
static void load_low(struct emitter *e, bool wide)
{
	uint8_t *used, *loaded;

	emit_look_above(e, wide);
	used = emit_jcc(e, CC_NE);
	emit_vector_zero(e, false);
	move_sse(e, false);
	loaded = emit_jmp(e);
	emit_land(e, used);
	move_avx(e, false);
	if (wide)
		move_upper(e, false);
	emit_land(e, loaded);
}

static void emit_level(struct emitter *e, enum vector_level level)
{
	emit_mem(e, (struct encoding){ .map = 1, .opcode = 0xc6, .size = 1 }, 0, GS(jit_vectors));
	emit_u8(e, level);
}

static const uint8_t *emit_spill_thunk(struct emitter *e)
{
	const uint8_t *at = emit_here(e);
	uint8_t *nothing, *more, *sse;

	emit_alu_mem_imm(e, ALU_CMP, 1, GS(jit_vectors), VECTORS_SSE);
	nothing = emit_jcc(e, CC_B);
	emit_mxcsr(e, 3);
	more = emit_jcc(e, CC_A);
	move_sse(e, true);
	sse = emit_jmp(e);
	emit_land(e, more);
	if (xsave_offset(AVX)) {
		uint8_t *no_wide;

		emit_alu_mem_imm(e, ALU_CMP, 1, GS(jit_vectors), VECTORS_AVX);
		no_wide = emit_jcc(e, CC_BE);
		if (xsave_offset(ZMM_HI256)) {
			move_upper(e, true);
			move_others(e, true);
		}
		emit_land(e, no_wide);
		move_avx(e, true);
		emit_vector_zero(e, false);
	}
	emit_land(e, sse);
	emit_level(e, VECTORS_NONE);
	emit_land(e, nothing);
	emit_u8(e, 0xc3);
	return at;
}

/* What every load starts with: what is there goes to memory first. T1 is overwritten. */
static void emit_load_start(struct jit *jit, struct emitter *e)
{
	emit_call_run(e, jit->vectors_spill);
	emit_mxcsr(e, 2);
}

static void emit_load_end(struct emitter *e, enum vector_level level)
{
	emit_level(e, level);
	emit_u8(e, 0xf8); /* CLC */
	emit_u8(e, 0xc3);
}

/* Not allowed now: carry. */
static void emit_permission(struct emitter *e, enum vector_level level)
{
	uint8_t *fine, *forbidden;

	emit_alu_mem_imm(e, ALU_CMP, 1, GS(jit_vectors_ok), (int32_t)level);
	forbidden = emit_jcc(e, CC_B);
	emit_load(e, 4, T1, area(MXCSR_AT));
	emit_alu_imm(e, ALU_AND, 4, T1, MASKS);
	emit_alu_imm(e, ALU_CMP, 4, T1, MASKS);
	fine = emit_jcc(e, CC_E);
	emit_land(e, forbidden);
	emit_u8(e, 0xf9); /* STC */
	emit_u8(e, 0xc3);
	emit_land(e, fine);
}

static const uint8_t *emit_load_sse(struct jit *jit, struct emitter *e)
{
	const uint8_t *at = emit_here(e);

	emit_permission(e, VECTORS_SSE);
	emit_load_start(jit, e);
	if (xsave_offset(AVX))
		emit_vector_zero(e, false); /* no dependence on old upper parts */
	move_sse(e, false);
	emit_load_end(e, VECTORS_SSE);
	return at;
}

static const uint8_t *emit_load_avx(struct jit *jit, struct emitter *e)
{
	const uint8_t *at = emit_here(e);
	uint8_t *wide;

	emit_permission(e, VECTORS_AVX);
	emit_alu_mem_imm(e, ALU_CMP, 1, GS(wide_used), 0);
	wide = emit_jcc(e, CC_NE);
	emit_load_start(jit, e);
	load_low(e, false);
	emit_load_end(e, VECTORS_AVX);
	emit_land(e, wide);
	if (xsave_offset(ZMM_HI256)) /* else it never is */
		emit_jmp_to(e, jit->vectors_load_all);
	return at;
}

static const uint8_t *emit_load_wide(struct jit *jit, struct emitter *e)
{
	const uint8_t *at = emit_here(e);

	emit_permission(e, VECTORS_AVX512);
	jit->vectors_load_all = emit_here(e);
	emit_load_start(jit, e);
	load_low(e, true);
	move_others(e, false);
	emit_mem(e, (struct encoding){ .map = 1, .opcode = 0xc6, .size = 1 }, 0, GS(wide_used));
	emit_u8(e, 1);
	emit_load_end(e, VECTORS_AVX512);
	return at;
}

void vectors_emit_thunks(struct jit *jit, struct emitter *e)
{
	jit->vectors_spill = emit_spill_thunk(e);
	if (xsave_offset(ZMM_HI256))
		jit->vectors_load[VECTORS_AVX512] = emit_load_wide(jit, e);
	if (xsave_offset(AVX))
		jit->vectors_load[VECTORS_AVX] = emit_load_avx(jit, e);
	jit->vectors_load[VECTORS_SSE] = emit_load_sse(jit, e);
}

bool vectors_allow(const struct vcpu *c, enum vector_level level)
{
	return c->jit_vectors_ok >= level && (load_le32(c->xsave + MXCSR_AT) & MASKS) == MASKS;
}
