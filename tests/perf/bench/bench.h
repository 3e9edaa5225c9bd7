/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The pieces of work of tests/perf/bench, by file. Each returns a value to compare. */
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>

struct work {
	const char *name;
	uint64_t (*run)(void);
	const char *needs;   /* a processor feature: "avx2", "aes", "sha", or null */
	int free_of_pin;     /* may use all processors; else it runs on the first */
	const char *command; /* instead of run: a program and its arguments */
};

/* Each list ends with a null name. */
extern const struct work compute_works[], call_works[], vector_works[], crypto_works[];
extern const struct work string_works[], kernel_works[], parallel_works[];

/* What file /commands lists, if there is one: each line is a name and a command. */
struct work *read_commands(void);
/* Runs a command, and hashes what it prints. */
uint64_t run_command(const char *command);

/* The path that this program can be executed by. */
extern const char *own_path;

/* Two processes hand a word to each other, in kernel.c. */
uint64_t futex_ping_pong(int rounds);

static inline uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

#endif
