/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Makes programs.
 *
 * R14 counts down before every branch backwards, so that programs end; nothing else writes to it.
 * RSP moves by pushes, pops, calls and returns only, and is put back now and then.
 */
#include "isolation.h"

#include <string.h>

enum { BAIT_NEAR = 0x3000 };

static struct {
	uint64_t random;
	struct program *p;
	struct item *item;
} g;

uint64_t random_next(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1d;
}

static unsigned below(unsigned limit)
{
	return (unsigned)((random_next(&g.random) >> 24) % limit);
}

static bool chance(unsigned percent)
{
	return below(100) < percent;
}

static void put(uint64_t value, unsigned bytes)
{
	for (unsigned n = 0; n < bytes; n++)
		g.item->bytes[g.item->length++] = (uint8_t)(value >> (8 * n));
}

/* A value in which something happens. */
static uint64_t odd_value(void)
{
	static const uint64_t values[] = { 0,
					   1,
					   ~0ull,
					   0x7f,
					   0x80,
					   0x7fff,
					   0x8000,
					   0x7fffffff,
					   0x80000000,
					   0x7fffffffffffffff,
					   0x8000000000000000,
					   0x800000000000,
					   0x7fffffffffff,
					   0x100000000 };

	if (chance(40))
		return values[below(ARRAY_LEN(values))] + below(3) - 1;
	return random_next(&g.random) >> below(60);
}

/* Not R14 and not RSP. */
static unsigned any_register(void)
{
	unsigned reg;

	do
		reg = below(16);
	while (reg == 14 || reg == 4);
	return reg;
}

static uint32_t data_address(void)
{
	unsigned n = below(100);
	uint32_t page = n < 30   ? DATA
			: n < 55 ? DATA + 0x1000
			: n < 62 ? READ_ONLY
			: n < 65 ? UNMAPPED
			: n < 68 ? SUPERVISOR
			: n < 71 ? MMIO
			: n < 85 ? REMAPPED
			: n < 88 ? CODE_ALIAS + 0x3000
			: n < 90 ? STACK
				 : DATA + 0x7000;
	uint32_t offset = chance(25) ? 0xfff - below(34) : below(0x1000);

	return page + (chance(50) ? offset & ~15u : offset);
}

/* One instruction with a memory operand or a register; the immediate is the caller's. */
struct shape {
	uint8_t prefix, map, opcode, bytes;      /* operand size; 1: byte registers are no matter */
	uint8_t vex;                             /* 0: legacy; else 1 + L */
	bool no_memory, only_memory, lock, wide; /* wide: VEX.W */
};

static void put_opcode(const struct shape *s, unsigned reg, unsigned index, unsigned base)
{
	static const uint8_t maps[] = { [0x0f] = 1, [0x38] = 2, [0x3a] = 3 };
	unsigned rex = (s->bytes == 8) << 3 | (reg >> 3) << 2 | (index >> 3) << 1 | base >> 3;

	if (s->vex) {
		unsigned pp = s->prefix == 0x66   ? 1
			      : s->prefix == 0xf3 ? 2
			      : s->prefix == 0xf2 ? 3
						  : 0;

		put(0xc4, 1);
		put((~rex & 7) << 5 | maps[s->map], 1);
		put((unsigned)s->wide << 7 | below(16) << 3 | (s->vex - 1u) << 2 | pp, 1);
		put(s->opcode, 1);
		return;
	}
	if (s->lock)
		put(0xf0, 1);
	if (s->bytes == 2)
		put(0x66, 1);
	if (s->prefix)
		put(s->prefix, 1);
	if (rex || s->bytes == 1)
		put(0x40 | rex, 1);
	if (s->map)
		put(0x0f, 1);
	if (s->map > 0x0f)
		put(s->map, 1);
	put(s->opcode, 1);
}

/* Any of the places where something is; or beside it, or with bits that lead elsewhere. */
static uint64_t far_address(void)
{
	static const uint8_t bits[] = { 63, 62, 58, 57, 48, 47, 46, 45, 32, 31, 27, 26, 25 };
	uint64_t at = data_address(), from = at < DATA ? 0 : DATA;
	unsigned kind = below(100);

	if (kind < 20)
		at += HIGH;
	else if (kind < 30)
		at += NEAR;
	else if (kind < 70)
		at += (kind < 40 ? 0 : kind < 55 ? HIGH : NEAR) + (uint64_t)below(NEAR_GRANULES) * GRANULE - from;
	else if (kind < 85)
		at = target_bait(below(3)) + below(BAIT_NEAR) - BAIT_NEAR / 2;
	if (chance(8))
		at -= below(40);
	if (chance(15))
		at ^= 1ull << bits[below(ARRAY_LEN(bits))];
	if (chance(5))
		at |= 0x1ffull << (chance(50) ? 55 : 48);
	return at;
}

static void constant(unsigned reg, uint64_t value)
{
	put(0x48 | reg >> 3, 1);
	put(0xb8 | (reg & 7), 1);
	put(value, 8);
}

/* Base, index, displacement: their sum leads there, and may wrap. */
static void far_operand(const struct shape *s, unsigned reg)
{
	unsigned base = any_register(), index, scale = below(4);
	uint64_t at = far_address(), part = chance(50) ? odd_value() : 0;
	int32_t disp = chance(70) ? (int32_t)odd_value() : 0;

	do
		index = any_register();
	while (index == base);
	constant(base, at - (part << scale) - (uint64_t)(int64_t)disp);
	if (!part)
		index = 4;
	else
		constant(index, part);
	if (!part && chance(40)) { /* some way from here to there, perhaps on one path only */
		int32_t by = chance(70) ? 1 << (20 + below(7)) : (int32_t)odd_value();

		if (chance(30)) {
			put(0x70 | below(16), 1);
			put(7, 1);
		}
		put(0x48 | base >> 3, 1);
		put(0x81, 1);
		put(0xc0 | below(2) * 0x28 | (base & 7), 1);
		put((uint32_t)by, 4);
	}
	put_opcode(s, reg, index, base);
	put(0x80 | (reg & 7) << 3 | 4, 1);
	put(scale << 6 | (index & 7) << 3 | (base & 7), 1);
	put((uint32_t)disp, 4);
}

/* WRFSBASE or WRGSBASE, between two accesses there. */
static void far_segment(const struct shape *s, unsigned reg)
{
	unsigned gs = below(2), by = any_register();
	int32_t disp = chance(70) ? (int32_t)below(256) : (int32_t)odd_value();

	put(0x64 + gs, 1);
	put(0x25048b48, 4); /* MOV RAX, disp32 */
	put((uint32_t)disp, 4);
	constant(by, far_address() - (uint64_t)(int64_t)disp);
	put(0xf3, 1);
	put(0x48 | by >> 3, 1);
	put(0xae0f, 2);
	put(0xd0 | gs << 3 | (by & 7), 1);
	put(0x64 + gs, 1);
	put_opcode(s, reg, 0, 0);
	put((reg & 7) << 3 | 4, 1);
	put(0x25, 1);
	put((uint32_t)disp, 4);
}

static void memory_operand(const struct shape *s, unsigned reg)
{
	unsigned style = below(100), base, index, scale;
	uint32_t address = data_address();
	int32_t disp;

	if (g.p->ring_3 && chance(40)) {
		if (chance(12))
			far_segment(s, reg);
		else
			far_operand(s, reg);
		return;
	}
	if (style >= 80 && style < 88) /* a base near the operand */
		put(chance(80) ? 0x65 : 0x64, 1);
	if (style < 30) {
		put_opcode(s, reg, 0, 0);
		put((reg & 7) << 3 | 4, 1);
		put(0x25, 1);
		put(address, 4);
	} else if (style < 65) {
		do
			base = any_register();
		while (base == reg);
		disp = (int32_t)odd_value();
		put(0x48 | base >> 3, 1);
		put(0xb8 | (base & 7), 1);
		put(address - (int64_t)disp, 8);
		put_opcode(s, reg, 0, base);
		put(0x80 | (reg & 7) << 3 | (base & 7), 1);
		if ((base & 7) == 4)
			put(0x24, 1);
		put((uint32_t)disp, 4);
	} else if (style < 80) { /* the stack */
		put_opcode(s, reg, 0, 4);
		put(0x40 | (reg & 7) << 3 | 4, 1);
		put(0x24, 1);
		put(below(128), 1);
	} else if (style < 88) {
		put_opcode(s, reg, 0, 0);
		put((reg & 7) << 3 | 4, 1);
		put(0x25, 1);
		put(address - (chance(90) ? DATA : 0), 4);
	} else if (style < 94) {
		put_opcode(s, reg, 0, 0);
		put((reg & 7) << 3 | 5, 1); /* relative to RIP */
		put((uint64_t)below(0x400) - 0x200, 4);
	} else {
		base = below(16);
		index = any_register();
		scale = below(4);
		if (chance(40))
			put(0x67, 1);
		put_opcode(s, reg, index, base);
		put(0x80 | (reg & 7) << 3 | 4, 1);
		put(scale << 6 | (index & 7) << 3 | (base & 7), 1);
		put(odd_value(), 4);
	}
}

static void put_modrm(struct shape s, unsigned reg)
{
	if (s.only_memory || (!s.no_memory && chance(55))) {
		memory_operand(&s, reg);
		return;
	}
	s.lock = false;
	unsigned rm = any_register();

	put_opcode(&s, reg, 0, rm);
	put(0xc0 | (reg & 7) << 3 | (rm & 7), 1);
}

static unsigned any_size(void)
{
	return 1u << below(4);
}

static unsigned byte_or(unsigned opcode, unsigned bytes)
{
	return opcode | (bytes > 1);
}

static void arithmetic(void)
{
	unsigned bytes = any_size(), op = below(8);

	switch (below(5)) {
	case 0:
		put_modrm((struct shape){ .opcode = byte_or(op << 3, bytes),
					  .bytes = bytes,
					  .lock = op < 7 && chance(10) },
			  any_register());
		break;
	case 1:
		put_modrm((struct shape){ .opcode = byte_or(op << 3 | 2, bytes), .bytes = bytes },
			  any_register());
		break;
	case 2:
		put_modrm((struct shape){ .opcode = bytes == 1 ? 0x80 : 0x83, .bytes = bytes }, op);
		put(odd_value(), 1);
		break;
	case 3:
		put_modrm((struct shape){ .opcode = byte_or(0x80, bytes), .bytes = bytes }, op);
		put(odd_value(), MIN(bytes, 4u));
		break;
	default:
		put_modrm((struct shape){ .opcode = byte_or(0xfe, bytes), .bytes = bytes },
			  below(2));
	}
}

/* Status flags that the manual leaves open do not live until something faults. */
static void define_flags(void)
{
	put(0xc085, 2); /* TEST EAX, EAX */
}

static void unary(void)
{
	unsigned bytes = any_size(), op = below(100) < 8 ? 6 + below(2) : below(6);

	put_modrm((struct shape){ .opcode = byte_or(0xf6, bytes), .bytes = bytes }, op);
	if (op < 2)
		put(odd_value(), MIN(bytes, 4u));
	else if (op > 3)
		define_flags();
}

static void shifting(void)
{
	unsigned bytes = any_size(), op = below(8);

	switch (below(4)) {
	case 0:
		put_modrm((struct shape){ .opcode = byte_or(0xc0, bytes), .bytes = bytes }, op);
		put(below(70), 1);
		break;
	case 1:
		put_modrm((struct shape){ .opcode = byte_or(0xd0, bytes), .bytes = bytes }, op);
		break;
	case 2:
		put_modrm((struct shape){ .opcode = byte_or(0xd2, bytes), .bytes = bytes }, op);
		break;
	default:
		put_modrm((struct shape){ .map = 0x0f,
					  .opcode = chance(50) ? 0xa4 : 0xac,
					  .bytes = MAX(bytes, 4u) },
			  any_register());
		put(below(32), 1);
	}
	define_flags();
}

static void moving(void)
{
	unsigned bytes = any_size(), reg = any_register();

	switch (below(8)) {
	case 0:
		put(0x48 | reg >> 3, 1);
		put(0xb8 | (reg & 7), 1);
		put(odd_value(), 8);
		break;
	case 1:
		put_modrm((struct shape){ .opcode = byte_or(0xc6, bytes), .bytes = bytes }, 0);
		put(odd_value(), MIN(bytes, 4u));
		break;
	case 2:
		put_modrm((struct shape){ .map = 0x0f,
					  .opcode = 0xb6 | below(2) | below(2) << 3,
					  .bytes = chance(50) ? 4 : 8 },
			  reg);
		break;
	case 3:
		put_modrm((struct shape){ .opcode = 0x63, .bytes = 8 }, reg);
		break;
	case 4:
		put_modrm((struct shape){ .opcode = byte_or(0x86, bytes), .bytes = bytes }, reg);
		break;
	case 5:
		put_modrm((struct shape){ .opcode = 0x8d,
					  .bytes = chance(50) ? 4 : 8,
					  .only_memory = true },
			  reg);
		break;
	default:
		put_modrm((struct shape){ .opcode = byte_or(0x88 | below(2) << 1, bytes),
					  .bytes = bytes },
			  reg);
	}
}

static void conditional(void)
{
	unsigned bytes = 2u << below(3);

	switch (below(4)) {
	case 0:
		put_modrm((struct shape){ .map = 0x0f, .opcode = 0x40 | below(16), .bytes = bytes },
			  any_register());
		break;
	case 1:
		put_modrm((struct shape){ .map = 0x0f, .opcode = 0x90 | below(16), .bytes = 1 }, 0);
		break;
	case 2:
		put_modrm((struct shape){ .map = 0x0f,
					  .opcode = 0xa3 | below(4) << 3,
					  .bytes = bytes },
			  any_register());
		define_flags();
		break;
	default:
		put_modrm((struct shape){ .map = 0x0f, .opcode = 0xba, .bytes = bytes },
			  4 + below(4));
		put(below(256), 1);
		define_flags();
	}
}

static void odd_bits(void)
{
	unsigned bytes = 4u << below(2);

	switch (below(6)) {
	case 0:
		put_modrm((struct shape){ .map = 0x0f,
					  .opcode = 0xbc | below(2),
					  .bytes = bytes,
					  .prefix = chance(60) ? 0xf3 : 0 },
			  any_register());
		break;
	case 1:
		put_modrm(
			(struct shape){
				.map = 0x0f, .opcode = 0xb8, .bytes = bytes, .prefix = 0xf3 },
			any_register());
		break;
	case 2:
		put_modrm((struct shape){ .map = 0x0f, .opcode = 0xaf, .bytes = bytes },
			  any_register());
		break;
	case 3:
		put_modrm((struct shape){ .opcode = 0x69, .bytes = bytes }, any_register());
		put(odd_value(), 4);
		break;
	case 4:
		put_modrm((struct shape){ .map = 0x38,
					  .opcode = 0xf0 | below(2),
					  .bytes = bytes,
					  .only_memory = true },
			  any_register());
		break;
	default: {
		unsigned reg = any_register();

		put(0x48 | reg >> 3, 1);
		put(0x0f, 1);
		put(0xc8 | (reg & 7), 1);
	}
	}
	define_flags();
}

static void atomic(void)
{
	unsigned bytes = any_size();
	struct shape s = { .map = 0x0f, .bytes = bytes, .lock = chance(70), .only_memory = true };

	switch (below(3)) {
	case 0:
		s.opcode = byte_or(0xb0, bytes);
		put_modrm(s, any_register());
		break;
	case 1:
		s.opcode = byte_or(0xc0, bytes);
		put_modrm(s, any_register());
		break;
	default:
		s.opcode = 0xc7;
		s.bytes = 4u << below(2);
		put_modrm(s, 1);
	}
}

static void flag_things(void)
{
	static const uint8_t opcodes[] = { 0xf5, 0xf8, 0xf9, 0xfc, 0xfc, 0xfd,
					   0x9e, 0x9f, 0x98, 0x99, 0x90 };

	if (chance(30)) {
		put(0x9c, 1); /* PUSHF, POPF */
		put(0x9d, 1);
		return;
	}
	put(opcodes[below(ARRAY_LEN(opcodes))], 1);
}

static void stack(void)
{
	unsigned reg = any_register();

	switch (below(8)) {
	case 0: /* RSP to where it started */
		put(0x48, 1);
		put(0xbc, 1);
		put(g.p->ring_3 && chance(60) ? far_address() : STACK_TOP - 8 * below(64), 8);
		break;
	case 1:
		put(0x68, 1);
		put(odd_value(), 4);
		break;
	case 2:
		put_modrm((struct shape){ .opcode = 0xff, .bytes = 4 }, 6);
		break;
	case 3:
		put(0x48, 1); /* MOV RBP, RSP; PUSH; LEAVE */
		put(0xe589, 2);
		put(0x50, 1);
		put(0xc9, 1);
		break;
	case 4 ... 5:
		put(0x40 | reg >> 3, 1);
		put(0x50 | (reg & 7), 1);
		break;
	default:
		put(0x40 | reg >> 3, 1);
		put(0x58 | (reg & 7), 1);
	}
}

/* Count, source and destination are given first. */
static void string_op(void)
{
	static const uint8_t opcodes[] = { 0xa4, 0xa6, 0xaa, 0xac, 0xae };

	put(0xb9, 1);
	put(below(40), 4);
	put(0xbe, 1);
	put(data_address(), 4);
	put(0xbf, 1);
	put(data_address(), 4);
	if (chance(80))
		put(0xf2 | below(2), 1);
	if (chance(50))
		put(0x48, 1);
	put(opcodes[below(ARRAY_LEN(opcodes))] | below(2), 1);
}

static void vector(void)
{
	static const uint8_t integer[] = { 0xfc, 0xd4, 0xef, 0xeb, 0x60, 0x6c,
					   0xf4, 0x74, 0xdb, 0xf6, 0x6f, 0x7f };
	static const uint8_t floating[] = { 0x58, 0x59, 0x5c, 0x5e, 0x51, 0x5d,
					    0x5f, 0x14, 0x10, 0x11, 0xc2, 0x2e };
	static const uint8_t prefixes[] = { 0, 0x66, 0xf3, 0xf2 };
	struct shape s = { .map = 0x0f, .prefix = 0x66, .bytes = 4 };

	if (chance(30))
		s.vex = (uint8_t)(1 + below(2));
	if (chance(50)) {
		s.opcode = integer[below(ARRAY_LEN(integer))];
		if (s.opcode >= 0x6f && s.opcode < 0x80 && chance(50))
			s.prefix = 0xf3;
	} else {
		s.opcode = floating[below(ARRAY_LEN(floating))];
		s.prefix = prefixes[below(4)];
		if (s.opcode == 0x2e || s.opcode == 0x14)
			s.prefix &= 0x66;
		if (s.opcode == 0x2e)
			s.prefix = s.prefix == 0x66 ? 0x66 : 0;
	}
	put_modrm(s, below(16));
	if (s.opcode == 0xc2)
		put(below(8), 1);
}

static void fpu(void)
{
	static const uint8_t stack_ops[][2] = { { 0xd9, 0xe8 }, { 0xd9, 0xeb }, { 0xde, 0xc1 },
						{ 0xd8, 0xc9 }, { 0xdd, 0xd8 }, { 0xd9, 0xfa },
						{ 0xdb, 0xe3 }, { 0xdf, 0xf1 }, { 0x0f, 0x77 } };
	static const uint32_t controls[] = { 0x1f80, 0x1f80, 0x3f80, 0x9fc0, 0x1f00, 0x10000 };

	if (chance(60)) {
		const uint8_t *op = stack_ops[below(ARRAY_LEN(stack_ops))];

		put(op[0], 1);
		put(op[1], 1);
	} else if (chance(60)) {
		put_modrm((struct shape){ .opcode = 0xd8 | below(8),
					  .bytes = 4,
					  .only_memory = true },
			  below(4));
	} else { /* MXCSR */
		put(0x2504c7, 3);
		put(DATA + 0xff0, 4);
		put(controls[below(ARRAY_LEN(controls))], 4);
		put(0x2514ae0f, 4);
		put(DATA + 0xff0, 4);
	}
}

static unsigned later(void)
{
	return (unsigned)(g.item - g.p->item) + 1 + below(12);
}

static void aim(enum fix fix, unsigned target)
{
	g.item->fix = fix;
	g.item->fix_at = g.item->length;
	g.item->target = (uint16_t)target;
	put(0, fix == FIX_RELATIVE ? 4 : 8);
}

static void branch(void)
{
	unsigned reg = any_register(), here = (unsigned)(g.item - g.p->item);

	switch (below(10)) {
	case 0: /* backwards, with the flags of DEC R14 */
		put(0xf6854d, 3);
		put(0x0974, 2); /* JZ behind all this */
		put(0xceff49, 3);
		put(0x0f, 1);
		put(0x80 | below(16), 1);
		aim(FIX_RELATIVE, here > 8 ? here - 1 - below(8) : 0);
		break;
	case 1:                     /* flags stay */
		put(0xce8749, 3);   /* XCHG RCX, R14 */
		put(0x0ee3, 2);     /* JRCXZ to the last XCHG */
		put(0xff498d48, 4); /* LEA RCX, [RCX - 1] */
		put(0xce8749, 3);
		put(0x70 | below(16), 1);
		put(8, 1);
		put(0xe9, 1);
		aim(FIX_RELATIVE, here > 8 ? here - 1 - below(8) : 0);
		put(0xce8749, 3);
		break;
	case 2:
		put(0x48 | reg >> 3, 1);
		put(0xb8 | (reg & 7), 1);
		aim(FIX_ADDRESS, later());
		put(0x40 | reg >> 3, 1);
		put(0xff, 1);
		put(0xc0 | (chance(50) ? 2 : 4) << 3 | (reg & 7), 1);
		break;
	case 3:
		put(0xe8, 1);
		aim(FIX_RELATIVE, later());
		break;
	case 4:
		if (chance(80))
			put(0xc3, 1);
		else
			put(0x0008c2, 3);
		break;
	case 5: /* what a fault is likely to come of */
		if (chance(50)) {
			put_modrm((struct shape){ .opcode = 0xff, .bytes = 4 }, 2 + 2 * below(2));
			break;
		}
		put(0x48 | reg >> 3, 1);
		put(0xb8 | (reg & 7), 1);
		aim(FIX_ADDRESS, below(here + 1));
		put(0x48 | reg >> 3, 1); /* BTC: another address */
		put(0xba0f, 2);
		put(0xf8 | (reg & 7), 1);
		put(chance(70) ? 47 + below(17) : below(64), 1);
		define_flags();
		put(0x40 | reg >> 3, 1);
		put(0xff, 1);
		put(0xd0 | (reg & 7) | below(2) << 4, 1);
		break;
	case 6:
		put(0xe9, 1);
		aim(FIX_RELATIVE, later());
		break;
	case 7:
		put(0xe1 - below(2), 1); /* LOOPE, LOOPNE */
		put(0, 1);
		break;
	default:
		put(0x0f, 1);
		put(0x80 | below(16), 1);
		aim(FIX_RELATIVE, later());
	}
}

/* Writes eight bytes of new code over an item, through one address or the other. */
static void modify_code(void)
{
	struct item *item = g.item, other = { 0 };
	unsigned target = below(g.p->count);

	g.item = &other;
	do {
		other.length = 0;
		arithmetic();
	} while (other.length > 8);
	while (other.length < 8)
		put(0x90, 1);
	g.item = item;
	put(0xb848, 2); /* RAX: the bytes */
	for (unsigned n = 0; n < 8; n++)
		put(other.bytes[n], 1);
	put(0xbb48, 2);
	aim(chance(50) ? FIX_ADDRESS : FIX_ALIAS, target);
	item->modifies = true;
	put(0x038948, 3);
	define_flags(); /* dead ones may be old after the store: see engine/jit/jit.h */
}

static uint64_t remapped_entry(void)
{
	static const uint64_t entries[] = { DATA_GPA + 0x6007, DATA_GPA + 0x7007,
					    DATA_GPA + 0x6005, 0,
					    DATA_GPA + 0x6003, MMIO_GPA | 7 };

	return entries[below(ARRAY_LEN(entries))];
}

/* Ring 0: another entry for a page of DATA. */
static void change_tables(void)
{

	put(0xb848, 2);
	put(remapped_entry(), 8);
	put(0x25048948, 4);
	put(DATA_TABLE + 8 * 6, 4);
	if (chance(20)) {
		put(0xd8200f, 3); /* MOV RAX, CR3; MOV CR3, RAX */
		put(0xd8220f, 3);
	} else {
		put(0x253c010f, 4); /* INVLPG */
		put(REMAPPED, 4);
	}
}

static void change_tables_ring_3(void)
{
	if (chance(30)) {
		put(INT_FLUSH << 8 | 0xcd, 2);
		return;
	}
	constant(0, remapped_entry());
	put(INT_REMAP << 8 | 0xcd, 2);
}

static void system(void)
{
	static const uint8_t opcodes[][3] = { { 0x0f, 0x05, 2 }, { 0xcc, 0, 1 }, { 0x0f, 0x0b, 2 },
					      { 0xf4, 0, 1 },    { 0xfa, 0, 1 }, { 0xfb, 0, 1 } };
	unsigned n = below(g.p->user ? 6 : 3);

	if (g.p->ring_3 && chance(70)) {
		change_tables_ring_3();
		return;
	}
	if (!g.p->user && chance(70)) {
		change_tables();
		return;
	}
	if (!g.p->user && !n)
		n = 1;
	for (unsigned k = 0; k < opcodes[n][2]; k++)
		put(opcodes[n][k], 1);
}

static void (*const makers[])(void) = {
	arithmetic, arithmetic, arithmetic,  arithmetic,  unary,    shifting,    moving,
	moving,     moving,     conditional, conditional, odd_bits, atomic,      flag_things,
	stack,      stack,      stack,       string_op,   vector,   vector,      vector,
	fpu,        branch,     branch,      branch,      branch,   modify_code, system,
};

static void raw_bytes(void)
{
	unsigned count = 1 + below(16);

	if (chance(30)) {
		makers[below(ARRAY_LEN(makers))]();
		if (!g.item->fix)
			g.item->bytes[below(g.item->length)] ^= (uint8_t)(1u << below(8));
		return;
	}
	while (count--)
		put(random_next(&g.random) >> 32, 1);
}

/* What is modified has the size of what is written there. */
static void choose_modified(struct program *p)
{
	for (unsigned n = 0; n < p->count; n++) {
		struct item *item = &p->item[n], *target;

		if (!item->modifies)
			continue;
		while (p->item[item->target].length > 8)
			item->target = (uint16_t)((item->target + 1) % p->count);
		target = &p->item[item->target];
		while (target->length < 8)
			target->bytes[target->length++] = 0x90;
	}
}

void generate(struct program *p, uint64_t seed, bool raw, bool ring_3)
{
	memset(p, 0, sizeof(*p));
	p->seed = seed;
	g.random = seed * 0x9e3779b97f4a7c15 + 0x1234567;
	g.p = p;
	for (unsigned n = 0; n < 8; n++)
		(void)random_next(&g.random);
	p->raw = raw;
	p->ring_3 = ring_3;
	p->user = raw || ring_3 || chance(50);
	p->start = (uint16_t)(chance(60) ? 0xff0 - below(800) : below(0x800));
	p->count = 20 + below(MAX_ITEMS - 20);
	for (unsigned n = 0; n < p->count; n++) {
		g.item = &p->item[n];
		g.item->before = chance(2);
		if (raw)
			raw_bytes();
		else
			makers[below(ARRAY_LEN(makers))]();
	}
	for (unsigned n = 0; n < 16; n++)
		p->gpr[n] = chance(60) ? odd_value() : data_address();
	choose_modified(p);
	p->gpr[4] = STACK_TOP - 8 * below(64);
	p->gpr[14] = below(60);
	p->rflags = 0x202 | (random_next(&g.random) & 0x8d5);
}

static void apply_fix(struct program *p, unsigned n)
{
	struct item *item = &p->item[n];
	unsigned target = MIN(item->target, p->count);
	uint32_t at = p->address[n];
	uint64_t value = p->address[target];

	if (item->fix == FIX_RELATIVE)
		value -= at + item->fix_at + 4;
	else if (item->fix == FIX_ALIAS)
		value += CODE_ALIAS - CODE;
	for (unsigned k = 0; item->fix && k < (item->fix == FIX_RELATIVE ? 4 : 8); k++)
		item->bytes[item->fix_at + k] = (uint8_t)(value >> (8 * k));
}

/* NOPs where nothing is; HLT at the end: see target.c. */
void place_program(struct program *p)
{
	uint32_t at = CODE + p->start;

	for (unsigned n = 0; n < p->count; n++) {
		if (p->item[n].before && (at & 0xfff) < 0xe00 && at < CODE + 0x2000)
			at = (at | 0xfff) - 0x40 - 0x10 * (n & 15);
		p->address[n] = at;
		at += p->item[n].gone ? 0 : p->item[n].length;
	}
	p->address[p->count] = at;
	memset(p->code, 0x90, sizeof(p->code));
	for (unsigned n = 0; n < p->count; n++) {
		apply_fix(p, n);
		if (!p->item[n].gone)
			memcpy(p->code + (p->address[n] - CODE), p->item[n].bytes,
			       p->item[n].length);
	}
	memset(p->code + (at - CODE), 0xf4, 16);
}
