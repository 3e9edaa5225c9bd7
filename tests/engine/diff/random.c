/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Random values, biased to where arithmetic goes wrong. Making such vectors costs more than running
 * the instruction, so most come from pools.
 */
#include "diff.h"

#include "base/bytes.h"

uint64_t random_next(struct random *r) /* xorshift64* */
{
	r->state ^= r->state >> 12;
	r->state ^= r->state << 25;
	r->state ^= r->state >> 27;
	return r->state * 0x2545f4914f6cdd1dull;
}

uint64_t random_integer(struct random *r)
{
	static const uint64_t edges[] = {
		0, 1, 2, 7, 8, 15, 16, 31, 32, 63, 64, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff,
		0x7fffffff, 0x80000000, 0xffffffff, 0x7fffffffffffffff, 0x8000000000000000,
		0xffffffffffffffff, 0x0123456789abcdef, 0x00ff00ff00ff00ff, 0x5555555555555555,
	};
	uint64_t value = random_next(r);

	switch (random_below(r, 6)) {
	case 0:
		return edges[random_below(r, ARRAY_LEN(edges))];
	case 1:
		return edges[random_below(r, ARRAY_LEN(edges))] + random_below(r, 5) - 2;
	case 2:
		return value >> random_below(r, 64);
	case 3:
		return (uint64_t)((int64_t)value >> random_below(r, 64));
	case 4:
		return value & 0xff;
	}
	return value;
}

static uint32_t random_single(struct random *r)
{
	static const uint32_t edges[] = {
		0, 0x80000000, 1, 0x007fffff, 0x00800000, 0x3f800000, 0xbf800000, 0x3f000000,
		0x7f7fffff, 0xff7fffff, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000, 0x7f800001,
		0x7fa00000, 0x4b000000, 0x4f000000, 0xcf000000, 0x5f000000, 0x40490fdb, 0x33800000,
	};

	if (random_percent(r, 55))
		return edges[random_below(r, ARRAY_LEN(edges))];
	if (random_percent(r, 40)) /* near 1: sums and products that round */
		return 0x3f000000 + (uint32_t)(random_next(r) & 0x81ffffff);
	return (uint32_t)random_next(r);
}

static uint64_t random_double(struct random *r)
{
	static const uint64_t edges[] = {
		0, 0x8000000000000000, 1, 0x000fffffffffffff, 0x0010000000000000,
		0x3ff0000000000000, 0xbff0000000000000, 0x3fe0000000000000, 0x7fefffffffffffff,
		0x7ff0000000000000, 0xfff0000000000000, 0x7ff8000000000000, 0xfff8000000000000,
		0x7ff0000000000001, 0x4330000000000000, 0x41e0000000000000, 0xc1e0000000000000,
		0x43e0000000000000, 0x41dfffffffc00000, 0x36a0000000000000, 0x47efffffffffffff,
		0x380fffffffffffff, 0x3690000000000000,
	};

	if (random_percent(r, 55))
		return edges[random_below(r, ARRAY_LEN(edges))];
	if (random_percent(r, 40))
		return 0x3fe0000000000000 + (random_next(r) & 0x803fffffffffffff);
	return random_next(r);
}

void random_x87(struct random *r, uint8_t *to)
{
	static const uint16_t exponents[] = { 0, 1, 0x3fff, 0x3ffe, 0x403e, 0x4000, 0x7ffe, 0x7fff,
					      0x3f80, 0x407e, 0x3c01, 0x43fe, 0x401e, 0x3fbf };
	static const uint64_t mantissas[] = { 0, 0x8000000000000000, 0xc000000000000000,
					      0x8000000000000001, 0xffffffffffffffff, 1,
					      0x7fffffffffffffff, 0xc90fdaa22168c235,
					      0x8000000080000000, 0xfffffffffffff800 };
	uint64_t mantissa = random_percent(r, 50) ? mantissas[random_below(r, ARRAY_LEN(mantissas))]
						  : random_next(r);
	uint16_t exponent = random_percent(r, 60) ? exponents[random_below(r, ARRAY_LEN(exponents))]
						  : (uint16_t)random_next(r) & 0x7fff;

	if (random_percent(r, 80) && exponent)
		mantissa |= 1ull << 63; /* else: an unnormal or pseudo value */
	store_le64(to, mantissa);
	store_le16(to + 8, exponent | (uint16_t)(random_next(r) & 0x8000));
}

void random_vector(struct random *r, uint8_t *to, unsigned bytes)
{
	unsigned kind = (unsigned)random_below(r, 5);

	for (unsigned n = 0; n + 8 <= bytes; n += 8) {
		unsigned now = kind == 4 ? (unsigned)random_below(r, 4) : kind;
		uint64_t value = random_next(r);

		if (now == 0)
			value = random_single(r) | (uint64_t)random_single(r) << 32;
		else if (now == 1)
			value = random_double(r);
		else if (now == 2)
			value = random_integer(r);
		store_le64(to + n, value);
	}
}

/* Pools */

enum { VECTORS = 4096, X87S = 1024, INTEGERS = 8192, RENEWED = 16 };

static uint8_t vectors[VECTORS][64], x87s[X87S][16];
static uint64_t integers[INTEGERS];

void random_renew_pools(struct random *r)
{
	static bool filled;

	for (unsigned n = 0; n < (filled ? RENEWED : VECTORS); n++)
		random_vector(r, vectors[filled ? random_below(r, VECTORS) : n], 64);
	for (unsigned n = 0; n < (filled ? RENEWED : X87S); n++)
		random_x87(r, x87s[filled ? random_below(r, X87S) : n]);
	for (unsigned n = 0; n < (filled ? RENEWED : INTEGERS); n++)
		integers[filled ? random_below(r, INTEGERS) : n] = random_integer(r);
	filled = true;
}

uint64_t random_pooled_integer(struct random *r)
{
	return integers[random_below(r, INTEGERS)];
}

void random_pooled_vector(struct random *r, uint8_t *to)
{
	memcpy(to, vectors[random_below(r, VECTORS)], 64);
}

void random_pooled_x87(struct random *r, uint8_t *to)
{
	memcpy(to, x87s[random_below(r, X87S)], 10);
}
