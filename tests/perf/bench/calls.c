/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Calls and returns: a recursion, and methods of objects in no order that a processor could learn. */
#include "bench.h"

__attribute__((noinline, noclone)) static uint64_t fibonacci(unsigned n)
{
	return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

static uint64_t recursion(void)
{
	return fibonacci(38);
}

struct object {
	uint64_t (*const *methods)(struct object *, uint64_t);
	uint64_t state;
};

static uint64_t add(struct object *o, uint64_t x)
{
	return o->state += x;
}

static uint64_t mix(struct object *o, uint64_t x)
{
	return o->state ^= x >> 5;
}

static uint64_t scale(struct object *o, uint64_t x)
{
	return o->state = o->state * 7 + x;
}

static uint64_t turn(struct object *o, uint64_t x)
{
	return o->state = (o->state << 7 | o->state >> 57) ^ x;
}

static uint64_t (*const classes[][2])(struct object *, uint64_t) = {
	{ add, mix }, { scale, turn }, { mix, add }, { turn, scale }, { add, turn }, { scale, mix },
};

static uint64_t methods(void)
{
	enum { OBJECTS = 1000 };
	static struct object objects[OBJECTS];
	uint32_t state = 5;
	uint64_t x = 1;

	for (int i = 0; i < OBJECTS; i++)
		objects[i] = (struct object){ classes[next_random(&state) % 6], i };
	for (int round = 0; round < 15000; round++)
		for (int i = 0; i < OBJECTS; i++)
			x += objects[i].methods[round & 1](&objects[i], x);
	return x;
}

const struct work call_works[] = {
	{ "fib", recursion },
	{ "virtual", methods },
	{ 0 },
};
