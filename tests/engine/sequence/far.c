/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * For ring 3: addresses on the way to which something may go wrong: the other places where the
 * data are, large displacements and indices, registers that move a little or a lot or on one path only,
 * addresses that are not canonical or where nothing is, and a stack that is anywhere.
 */
#include "writer.h"

struct operand {
	unsigned base, index, scale; /* 16: none */
	int32_t disp;
};

static uint64_t odd_bits(struct random *r)
{
	static const uint64_t bits[] = { 1ull << 63, 1ull << 62, 1ull << 58, 3ull << 61, 0xffffull << 48,
					 0xfc00000000000000, 1ull << 57, 1ull << 47, 1ull << 46,
					 0xffff8000ull << 32, 1ull << 45, 1ull << 32, 1ull << 27,
					 1ull << 26, 1ull << 25, 0x1ffull << 48 };

	return bits[random_below(r, ARRAY_LEN(bits))];
}

/* At any of the three places; or wrong. */
static uint64_t far_address(struct writer *w)
{
	static const uint64_t places[] = { 0, 0, 0, RING_3_HIGH, RING_3_HIGH, RING_3_CONSTANT };
	uint64_t at = good_address(w);

	if (random_percent(w->r, 8))
		at = w->p->base + DATA_AT + 0x9000 - random_below(w->r, 16); /* beside a granule's end */
	at += places[random_below(w->r, ARRAY_LEN(places))];
	if (random_percent(w->r, 12))
		at ^= odd_bits(w->r);
	return at;
}

static void put_rex(struct writer *w, bool wide, unsigned reg, const struct operand *o)
{
	put8(w, 0x40 | (unsigned)wide << 3 | (reg >> 3 & 1) << 2 |
			(o->index < 16 ? o->index >> 3 << 1 : 0) | (o->base < 16 ? o->base >> 3 : 0));
}

static void put_operand(struct writer *w, unsigned reg, const struct operand *o)
{
	bool has_base = o->base < 16;

	put8(w, (has_base ? 0x80 : 0) | (reg & 7) << 3 | 4);
	put8(w, o->scale << 6 | (o->index < 16 ? o->index & 7 : 4) << 3 | (has_base ? o->base & 7 : 5));
	put32(w, (uint32_t)o->disp);
}

static void put_access(struct writer *w, const struct operand *o)
{
	static const struct {
		uint8_t prefix, map, opcode;
		int8_t extension; /* or -1: a register */
		uint8_t immediates;
	} rows[] = {
		{ 0, 0, 0x8b, -1, 0 },    { 0, 0, 0x8b, -1, 0 },       { 0, 0, 0x89, -1, 0 },
		{ 0, 0, 0x89, -1, 0 },    { 0, 0, 0x01, -1, 0 },       { 0, 0, 0x03, -1, 0 },
		{ 0, 0, 0x3b, -1, 0 },    { 0, 0, 0x31, -1, 0 },       { 0, 0, 0x11, -1, 0 },
		{ 0, 0, 0x88, -1, 0 },    { 0, 0, 0x8a, -1, 0 },       { 0, 0, 0xff, 0, 0 },
		{ 0, 0, 0xff, 1, 0 },     { 0, 0, 0xff, 6, 0 },        { 0, 0, 0x8f, 0, 0 },
		{ 0, 0, 0xf7, 2, 0 },     { 0, 0, 0xf7, 3, 0 },        { 0, 0, 0x87, -1, 0 },
		{ 0, 0, 0xc6, 0, 1 },     { 0, 0, 0x83, 0, 1 },        { 0, 0, 0x81, 5, 4 },
		{ 0, 15, 0xb0, -1, 0 },   { 0xf0, 15, 0xb1, -1, 0 },   { 0xf0, 15, 0xc1, -1, 0 },
		{ 0xf0, 0, 0x01, -1, 0 }, { 0, 15, 0xb6, -1, 0 },      { 0, 15, 0xbf, -1, 0 },
		{ 0, 15, 0x45, -1, 0 },   { 0, 15, 0x92, 0, 0 },       { 0, 15, 0x10, -1, 0 },
		{ 0, 15, 0x11, -1, 0 },   { 0x66, 15, 0x6f, -1, 0 },   { 0x66, 15, 0x7f, -1, 0 },
		{ 0xf2, 15, 0x10, -1, 0 }, { 0xf2, 15, 0x58, -1, 0 },  { 0xf3, 15, 0x11, -1, 0 },
		{ 0x66, 15, 0xef, -1, 0 }, { 0, 0, 0xdd, 0, 0 },       { 0, 0, 0xdd, 3, 0 },
		{ 0, 0, 0xd8, 0, 0 },      { 0, 0, 0xdb, 7, 0 },       { 0, 0, 0xdf, 5, 0 },
		{ 0, 0, 0x63, -1, 0 },     { 0xf3, 15, 0xb8, -1, 0 },  { 0, 0, 0x69, -1, 4 },
		{ 0xf0, 15, 0xc7, 1, 0 },  { 0, 0, 0x8d, -1, 0 },      { 0, 0, 0x8d, -1, 0 },
	};
	unsigned row = (unsigned)random_below(w->r, ARRAY_LEN(rows));
	unsigned reg = rows[row].extension < 0 ? other_register(w) : (unsigned)rows[row].extension;

	if (rows[row].immediates < 4 && random_percent(w->r, 8))
		put8(w, 0x66);
	if (random_percent(w->r, 4))
		put8(w, 0x64 + (unsigned)random_below(w->r, 2));
	if (random_percent(w->r, 3))
		put8(w, 0x67);
	if (rows[row].prefix)
		put8(w, rows[row].prefix);
	put_rex(w, random_percent(w->r, 50), reg, o);
	if (rows[row].map)
		put8(w, rows[row].map);
	put8(w, rows[row].opcode);
	put_operand(w, reg, o);
	for (unsigned n = 0; n < rows[row].immediates; n++)
		put8(w, (unsigned)random_next(w->r));
	if (rows[row].opcode == 0x69)
		define_flags(w);
}

/* MOV or ADD register, [segment: disp32], or back. */
static void put_segment_access(struct writer *w, unsigned prefix, int32_t disp)
{
	static const uint8_t opcodes[] = { 0x8b, 0x89, 0x03, 0x01 };
	unsigned reg = other_register(w);

	put8(w, prefix);
	put_rex(w, true, reg, &(struct operand){ .base = 16, .index = 16 });
	put8(w, opcodes[random_below(w->r, ARRAY_LEN(opcodes))]);
	put_operand(w, reg, &(struct operand){ .base = 16, .index = 16, .disp = disp });
}

static void put_constant(struct writer *w, unsigned reg, uint64_t value)
{
	PUT(w, 0x48 | reg >> 3, 0xb8 | (reg & 7));
	put32(w, (uint32_t)value);
	put32(w, (uint32_t)(value >> 32));
}

/* ADD, SUB, LEA, INC, DEC, MOV: by what is known. */
static void put_move(struct writer *w, unsigned *reg, int32_t *by)
{
	static const int32_t steps[] = { 1 << 24, (1 << 24) - 1, 1 << 25, 1 << 23, 1 << 26,
					 INT32_MAX, 0x1000, 8 };
	int32_t step = steps[random_below(w->r, ARRAY_LEN(steps))];
	unsigned to, bits = 0x48 | *reg >> 3;

	switch (random_below(w->r, 6)) {
	case 0:
		PUT(w, bits, 0x81, 0xc0 | (*reg & 7));
		put32(w, (uint32_t)step);
		break;
	case 1:
		PUT(w, bits, 0x81, 0xe8 | (*reg & 7));
		step = -step;
		put32(w, (uint32_t)-step);
		break;
	case 2:
		step = random_percent(w->r, 50) ? 1 : -1;
		PUT(w, bits, 0xff, (step < 0 ? 0xc8 : 0xc0) | (*reg & 7));
		break;
	case 3:
		to = other_register(w);
		PUT(w, bits | (to >> 3) << 2, 0x8b, 0xc0 | (to & 7) << 3 | (*reg & 7));
		*reg = to;
		step = 0;
		break;
	default:
		to = other_register(w);
		put_rex(w, true, to, &(struct operand){ .base = *reg, .index = 16 });
		put8(w, 0x8d);
		put_operand(w, to, &(struct operand){ .base = *reg, .index = 16, .disp = step });
		*reg = to;
	}
	*by = (int32_t)((uint32_t)*by + (uint32_t)step);
}

/* A register's neighbourhood: displacements mostly undo what it moved by. */
static void put_moves(struct writer *w)
{
	unsigned reg = other_register(w);
	int32_t moved = (int32_t)random_integer(w->r);

	put_constant(w, reg, far_address(w) + (uint64_t)moved);
	for (unsigned n = 1 + (unsigned)random_below(w->r, 5); n; n--) {
		if (random_percent(w->r, 10)) { /* other registers, on one path only */
			unsigned size = w->p->bytes;

			PUT(w, 0x70 | (unsigned)random_below(w->r, 16), 0);
			put_constant(w, reg, far_address(w) + (uint64_t)moved);
			w->p->code[size + 1] = (uint8_t)(w->p->bytes - size - 2);
		}
		put_access(w, &(struct operand){
				      .base = reg, .index = 16,
				      .disp = random_percent(w->r, 90) ? -moved : (int32_t)random_integer(w->r) });
		if (random_percent(w->r, 70))
			put_move(w, &reg, &moved);
	}
}

static void put_index(struct writer *w)
{
	struct operand o = { .base = other_register(w), .index = other_register(w),
			     .scale = (unsigned)random_below(w->r, 4) };
	uint64_t index = random_integer(w->r), at = far_address(w);

	if (random_percent(w->r, 30))
		o.base = 16;
	if (o.base == o.index)
		o.index = RBX;
	o.disp = random_percent(w->r, 50) ? (int32_t)random_integer(w->r) : 0;
	at -= (uint64_t)(int64_t)o.disp;
	if (o.base < 16)
		put_constant(w, o.base, at - (index << o.scale));
	else
		index = at >> o.scale;
	put_constant(w, o.index, index);
	for (unsigned n = 1 + (unsigned)random_below(w->r, 2); n; n--)
		put_access(w, &o);
}

static void put_absolute(struct writer *w)
{
	uint64_t at = random_percent(w->r, 90) ? good_address(w) : random_integer(w->r);

	put_access(w, &(struct operand){ .base = 16, .index = 16, .disp = (int32_t)at });
	if (random_percent(w->r, 30)) { /* MOV RAX, [imm64] or back */
		PUT(w, 0x48, 0xa0 | (unsigned)random_below(w->r, 4));
		at = far_address(w);
		put32(w, (uint32_t)at);
		put32(w, (uint32_t)(at >> 32));
	}
}

/* WRFSBASE or WRGSBASE between two accesses. */
static void put_far_segment(struct writer *w)
{
	unsigned reg = other_register(w), gs = (unsigned)random_below(w->r, 2);
	int32_t disp = random_percent(w->r, 70) ? (int32_t)random_below(w->r, 64)
						: (int32_t)random_integer(w->r);

	for (unsigned n = 0; n < 2; n++) {
		put_constant(w, reg, far_address(w) - (uint64_t)(int64_t)disp);
		PUT(w, 0xf3, 0x48 | reg >> 3, 0x0f, 0xae, 0xd0 | gs << 3 | (reg & 7));
		put_segment_access(w, 0x64 + gs, disp);
		if (random_percent(w->r, 50))
			put_segment_access(w, 0x64 + gs, disp + (int32_t)random_below(w->r, 16));
	}
}

/* Anywhere, and back. */
static void put_far_stack(struct writer *w)
{
	PUT(w, 0x48, 0xbc);
	uint64_t at = far_address(w);

	put32(w, (uint32_t)at);
	put32(w, (uint32_t)(at >> 32));
	for (unsigned n = (unsigned)random_below(w->r, 6); n; n--) {
		unsigned reg = (unsigned)random_below(w->r, 4);

		switch (random_below(w->r, 8)) {
		case 0:
			put8(w, 0x50 | reg);
			break;
		case 1:
			put8(w, 0x58 | reg);
			break;
		case 2: /* CALL over nothing, and RET to behind this */
			PUT(w, 0xe8, 2, 0, 0, 0, 0xeb, 1, 0xc3);
			break;
		case 3:
			PUT(w, 0x9c);
			break;
		case 4: /* SUB or ADD RSP, imm32 */
			PUT(w, 0x48, 0x81, random_percent(w->r, 50) ? 0xec : 0xc4);
			put32(w, random_percent(w->r, 50) ? 0x40 : 0x1000000);
			break;
		case 5:
			put_access(w, &(struct operand){ .base = RSP, .index = 16,
							 .disp = (int32_t)random_below(w->r, 64) });
			break;
		case 6: /* ENTER, LEAVE */
			PUT(w, 0xc8, (unsigned)random_below(w->r, 64), 0, (unsigned)random_below(w->r, 2), 0xc9);
			break;
		default:
			PUT(w, 0x68);
			put32(w, (uint32_t)random_next(w->r));
		}
	}
	put_constant(w, RSP, w->p->base + STACK_TOP);
}

void put_far(struct writer *w)
{
	switch (random_below(w->r, 6)) {
	case 0 ... 1:
		put_moves(w);
		return;
	case 2:
		put_index(w);
		return;
	case 3:
		put_absolute(w);
		return;
	case 4:
		put_far_segment(w);
		return;
	default:
		put_far_stack(w);
	}
}
