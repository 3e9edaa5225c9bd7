/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Integer work in user mode: arithmetic, pointers and hashes, sorting, compression, an interpreter. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"

static uint64_t integer(void)
{
	uint64_t a = 1, b = 2;

	for (uint32_t i = 0; i < 100000000; i++) {
		a = a * 3 + (b ^ i);
		b = (b >> 3) + a;
	}
	return a ^ b;
}

static uint64_t hash_table(void)
{
	enum { SLOTS = 1 << 16 };
	uint32_t *table = calloc(SLOTS, 4), state = 1;
	uint64_t sum = 0;

	for (int i = 0; i < 60000000; i++) {
		uint32_t key = next_random(&state) & 0x7fff, at = key * 2654435761u >> 16;

		while (table[at] && table[at] != key + 1)
			at = (at + 1) & (SLOTS - 1);
		sum += table[at] == key + 1;
		table[at] = key + 1;
	}
	free(table);
	return sum;
}

/* A ring of nodes in a random order, walked. */
static uint64_t pointers(void)
{
	enum { NODES = 1 << 13 };
	struct node {
		struct node *next;
		uint64_t value;
	} *nodes = calloc(NODES, sizeof(*nodes)), *at = nodes;
	uint32_t state = 3;
	uint64_t sum = 0;

	/* Sattolo's shuffle: one cycle through all */
	for (int i = 0; i < NODES; i++)
		nodes[i] = (struct node){ &nodes[i], i };
	for (int i = NODES - 1; i > 0; i--) {
		int other = next_random(&state) % i;
		struct node *next = nodes[i].next;

		nodes[i].next = nodes[other].next;
		nodes[other].next = next;
	}
	for (int i = 0; i < 25000000; i++) {
		sum = sum * 5 + at->value;
		at = at->next;
	}
	free(nodes);
	return sum;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static uint64_t sort(void)
{
	enum { COUNT = 1000000 };
	uint32_t *numbers = malloc(COUNT * 4), state = 7;
	uint64_t sum;

	for (int i = 0; i < COUNT; i++)
		numbers[i] = next_random(&state);
	qsort(numbers, COUNT, 4, compare);
	sum = numbers[COUNT / 2];
	free(numbers);
	return sum;
}

static uint64_t interpreter(void)
{
	static const uint8_t program[] = { 0, 1, 2, 3, 1, 0, 2, 4 };
	uint64_t x = 1, y = 2, steps = 0;

	for (unsigned pc = 0; steps < 60000000; steps++) {
		switch (program[pc]) {
		case 0: x += y; break;
		case 1: y ^= x >> 3; break;
		case 2: x = x << 1 | x >> 63; break;
		case 3: y -= steps; break;
		case 4: x ^= y; break;
		}
		pc = (pc + 1) % sizeof(program);
	}
	return x ^ y;
}

/* Text of words in a random order, some more frequent than others. */
static void write_text(uint8_t *text, int size)
{
	static const char words[][12] = { "the ", "of ",    "machine ", "register ", "a ",	"page ",
					  "is ",  "which ", "memory ",	"interrupt", "\n",	"guest ",
					  "to ",  "not ",   "when ",	"and ",	     "system ", "table " };
	uint32_t state = 11;

	for (int at = 0; at < size;) {
		uint32_t draw = next_random(&state);
		const char *word = words[draw % (1 + draw / 64 % 18)];

		for (; *word && at < size; word++)
			text[at++] = *word;
	}
}

static uint32_t four_bytes(const uint8_t *from)
{
	uint32_t value;

	memcpy(&value, from, 4);
	return value;
}

/* Greedy matches by a hash of four bytes: (literals, length, distance) as six bytes, then literals. */
static int compress(const uint8_t *from, int size, uint8_t *to)
{
	static int32_t last[1 << 14];
	int out = 0, begin = 0;

	memset(last, 0xff, sizeof(last));
	for (int at = 0; at + 4 <= size;) {
		uint32_t slot = four_bytes(from + at) * 2654435761u >> 18;
		int candidate = last[slot], length = 0;

		last[slot] = at;
		if (candidate >= 0 && at - candidate < 65536)
			while (length < 255 && at + length < size && from[candidate + length] == from[at + length])
				length++;
		if (length < 4 && at - begin < 65535) {
			at++;
			continue;
		}
		uint16_t head[3] = { at - begin, length, at - candidate };

		memcpy(to + out, head, 6);
		memcpy(to + out + 6, from + begin, at - begin);
		out += 6 + at - begin;
		at += length ? length : 1;
		begin = at;
	}
	return out;
}

static int expand(const uint8_t *from, int size, uint8_t *to)
{
	int out = 0;

	for (int at = 0; at < size;) {
		uint16_t head[3];

		memcpy(head, from + at, 6);
		memcpy(to + out, from + at + 6, head[0]);
		at += 6 + head[0];
		out += head[0];
		for (int i = 0; i < head[1]; i++, out++)
			to[out] = to[out - head[2]];
	}
	return out;
}

static uint64_t lz(void)
{
	enum { BYTES = 1 << 20 };
	uint8_t *text = malloc(BYTES), *packed = malloc(4 * BYTES), *back = malloc(BYTES + 65536);
	uint64_t sum = 0;

	write_text(text, BYTES);
	for (int round = 0; round < 20; round++) {
		int size = compress(text, BYTES, packed), got = expand(packed, size, back);

		sum = sum * 31 + size + (memcmp(text, back, got) == 0);
		text[round * 4096]++;
	}
	free(text);
	free(packed);
	free(back);
	return sum;
}

const struct work compute_works[] = {
	{ "integer", integer },
	{ "hash", hash_table },
	{ "pointer", pointers },
	{ "sort", sort },
	{ "lz", lz },
	{ "bytecode", interpreter },
	{ 0 },
};
