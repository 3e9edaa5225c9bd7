/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Vector instructions: legacy SSE, VEX and EVEX prefixes.
 *
 * Manual: SDM 2 2.3.5 (VEX), 2.7.1 (EVEX).
 */
#include "engine/decode/ops.h"
#include "engine/jit/emit.h"

static unsigned pp_number(unsigned pp)
{
	return pp == 0x66 ? 1 : pp == 0xf3 ? 2 : pp == 0xf2 ? 3 : 0;
}

/* `base`, `index`: bits 3 of what ModRM and SIB name; an EVEX rm register's bit 4 is in `index`. */
static void put_legacy(struct emitter *e, struct vector_encoding v, unsigned reg, unsigned base,
		       unsigned index)
{
	unsigned rex = (unsigned)v.w << 3 | (reg >> 3 & 1) << 2 | index << 1 | base;

	if (v.pp)
		emit_u8(e, v.pp);
	if (rex)
		emit_u8(e, 0x40 | rex);
	emit_u8(e, 0x0f);
	if (v.map > MAP_0F)
		emit_u8(e, v.map == MAP_0F38 ? 0x38 : 0x3a);
}

static void put_vex(struct emitter *e, struct vector_encoding v, unsigned reg, unsigned base,
		    unsigned index)
{
	unsigned last = (~v.vvvv & 15u) << 3 | (unsigned)v.l << 2 | pp_number(v.pp);

	if (v.map == MAP_0F && !v.w && !base && !index) {
		emit_u8(e, 0xc5);
		emit_u8(e, (reg & 8 ? 0 : 0x80) | last);
		return;
	}
	emit_u8(e, 0xc4);
	emit_u8(e, (reg & 8 ? 0 : 0x80) | (index ? 0 : 0x40) | (base ? 0 : 0x20) | v.map);
	emit_u8(e, (unsigned)v.w << 7 | last);
}

static void put_evex(struct emitter *e, struct vector_encoding v, unsigned reg, unsigned base,
		     unsigned index)
{
	emit_u8(e, 0x62);
	emit_u8(e, (reg & 8 ? 0 : 0x80) | (index ? 0 : 0x40) | (base ? 0 : 0x20) |
			   (reg & 16 ? 0 : 0x10) | v.map);
	emit_u8(e, (unsigned)v.w << 7 | (~v.vvvv & 15u) << 3 | 4 | pp_number(v.pp));
	emit_u8(e, (unsigned)v.z << 7 | (unsigned)v.l << 5 | (unsigned)v.b << 4 |
			   (v.vvvv & 16 ? 0 : 8) | v.mask);
}

static void put(struct emitter *e, struct vector_encoding v, unsigned reg, unsigned base,
		unsigned index)
{
	if (v.kind == EVEX)
		put_evex(e, v, reg, base, index);
	else if (v.kind == VEX)
		put_vex(e, v, reg, base, index);
	else
		put_legacy(e, v, reg, base, index);
	emit_u8(e, v.opcode);
}

void emit_vector_reg(struct emitter *e, struct vector_encoding v, unsigned reg, unsigned rm)
{
	put(e, v, reg, rm >> 3 & 1, rm >> 4);
	e->touched |= 1u << (reg & 15) | 1u << (rm & 15);
	emit_u8(e, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

void emit_vector_mem(struct emitter *e, struct vector_encoding v, unsigned reg, struct host_memory m)
{
	if (m.gs)
		emit_u8(e, 0x65);
	put(e, v, reg, m.base > 7, m.index > 7);
	e->touched |= 1u << (reg & 15);
	emit_operand(e, reg & 7, m);
}

void emit_vector_zero(struct emitter *e, bool all)
{
	emit_bytes(e, (const uint8_t[]){ 0xc5, all ? 0xfc : 0xf8, 0x77 }, 3);
}
