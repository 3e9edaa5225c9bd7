/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Moving and scanning bytes: libc's functions on long and short runs, and the string instructions. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"

static uint64_t copy(void)
{
	enum { BYTES = 4 << 20 };
	char *from = malloc(BYTES), *to = malloc(BYTES);
	uint64_t sum = 0;

	memset(from, 5, BYTES);
	for (int i = 0; i < 360; i++) {
		memcpy(to, from, BYTES);
		sum += (uint8_t)to[i * 1000];
	}
	free(from);
	free(to);
	return sum;
}

/* As the kernel copies: REP MOVSB and STOSB of 8 to 256 bytes. */
static uint64_t repeat_short(void)
{
	static uint8_t from[4096], to[4096];
	uint32_t state = 9;
	uint64_t sum = 0;

	for (int i = 0; i < 4096; i++)
		from[i] = i * 7;
	for (int i = 0; i < 8000000; i++) {
		uint32_t draw = next_random(&state);
		uint64_t bytes = 8 + draw % 249;
		void *source = from + draw / 256 % 2048, *target = to + draw / 1024 % 2048;

		if (i & 3)
			__asm__ volatile("rep movsb" : "+S"(source), "+D"(target), "+c"(bytes) : : "memory");
		else
			__asm__ volatile("rep stosb" : "+D"(target), "+c"(bytes) : "a"(i) : "memory");
		sum = sum * 3 + to[draw & 4095];
	}
	return sum;
}

/* REPNE SCASB and REPE CMPSB, as old C libraries look for an end or a difference. */
static uint64_t repeat_scan(void)
{
	static char text[4096], same[4096];
	uint64_t sum = 0;

	memset(text, 'a', sizeof(text));
	memset(same, 'a', sizeof(same));
	for (int i = 0; i < 6000000; i++) {
		char *at = text + i % 1000, *other = same + i % 1000;
		uint64_t left = 4096;

		text[i % 1000 + i % 61] = 0;
		__asm__ volatile("repne scasb" : "+D"(at), "+c"(left) : "a"(0) : "memory", "cc");
		sum += 4096 - left;
		at = text + i % 1000;
		left = 64;
		__asm__ volatile("repe cmpsb" : "+D"(at), "+S"(other), "+c"(left) : : "memory", "cc");
		sum = sum * 3 + left;
		text[i % 1000 + i % 61] = 'a';
	}
	return sum;
}

/* libc on strings as programs have them. */
static uint64_t short_strings(void)
{
	static char names[256][64];
	uint32_t state = 13;
	uint64_t sum = 0;

	for (int i = 0; i < 256; i++) {
		memset(names[i], 'a' + i % 3, 4 + next_random(&state) % 50);
		names[i][2] = 'a' + i % 5;
	}
	for (int i = 0; i < 8000000; i++) {
		const char *a = names[next_random(&state) & 255], *b = names[i & 255];

		sum += strlen(a) + (strcmp(a, b) < 0);
		sum += memchr(b, 'c', 16) != NULL;
	}
	return sum;
}

const struct work string_works[] = {
	{ "memcpy", copy },
	{ "rep-movs", repeat_short },
	{ "rep-scas", repeat_scan },
	{ "strlen", short_strings },
	{ 0 },
};
