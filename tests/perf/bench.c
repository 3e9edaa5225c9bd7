/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Small programs that a computer spends its time on, timed one by one.
 *
 * As an ordinary program it prints "bench NAME SECONDS" lines. As process 1 of a guest it does the
 * same and powers off, so that the same binary is measured natively and in a guest. Each piece of
 * work prints a check value too: the guest's must be the host's.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

static uint64_t integer(void)
{
	uint64_t a = 1, b = 2;

	for (uint32_t i = 0; i < 60000000; i++) {
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

	for (int i = 0; i < 6000000; i++) {
		uint32_t key = next_random(&state) & 0x7fff, at = key * 2654435761u >> 16;

		while (table[at] && table[at] != key + 1)
			at = (at + 1) & (SLOTS - 1);
		sum += table[at] == key + 1;
		table[at] = key + 1;
	}
	free(table);
	return sum;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static uint64_t sort(void)
{
	enum { COUNT = 400000 };
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

	for (unsigned pc = 0; steps < 25000000; steps++) {
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

static uint64_t matrix(void)
{
	enum { N = 180 };
	static double a[N][N], b[N][N], c[N][N];
	uint64_t bits;

	for (int i = 0; i < N; i++)
		for (int j = 0; j < N; j++) {
			a[i][j] = i + j * 0.5;
			b[i][j] = i * 0.25 - j;
		}
	for (int round = 0; round < 4; round++)
		for (int i = 0; i < N; i++)
			for (int j = 0; j < N; j++) {
				double sum = 0;

				for (int k = 0; k < N; k++)
					sum += a[i][k] * b[k][j];
				c[i][j] += sum;
			}
	memcpy(&bits, &c[N / 2][N / 3], 8);
	return bits;
}

static uint64_t copy(void)
{
	enum { BYTES = 4 << 20 };
	char *from = malloc(BYTES), *to = malloc(BYTES);
	uint64_t sum = 0;

	memset(from, 5, BYTES);
	for (int i = 0; i < 60; i++) {
		memcpy(to, from, BYTES);
		sum += (uint8_t)to[i * 1000];
	}
	free(from);
	free(to);
	return sum;
}

static uint64_t system_calls(void)
{
	uint64_t sum = 0;

	for (int i = 0; i < 300000; i++)
		sum += syscall(SYS_getppid) >= 0;
	return sum;
}

static uint64_t page_faults(void)
{
	enum { BYTES = 32 << 20 };
	uint64_t sum = 0;

	for (int round = 0; round < 3; round++) {
		char *memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		for (int i = 0; i < BYTES; i += 4096)
			sum += ++memory[i];
		munmap(memory, BYTES);
	}
	return sum;
}

static uint64_t fork_wait(void)
{
	uint64_t sum = 0;

	for (int i = 0; i < 400; i++) {
		pid_t child = fork();
		int status;

		if (!child)
			_exit(i & 1);
		waitpid(child, &status, 0);
		sum += WEXITSTATUS(status);
	}
	return sum;
}

static uint64_t pipe_ping_pong(void)
{
	int there[2], back[2];
	uint64_t sum = 0;
	char byte = 1;

	if (pipe(there) || pipe(back))
		return 0;
	if (!fork()) {
		close(there[1]);
		while (read(there[0], &byte, 1) == 1 && write(back[1], &byte, 1) == 1)
			;
		_exit(0);
	}
	for (int i = 0; i < 20000; i++)
		sum += write(there[1], &byte, 1) + read(back[0], &byte, 1);
	close(there[1]);
	wait(NULL);
	return sum;
}

static const struct {
	const char *name;
	uint64_t (*run)(void);
} works[] = {
	{ "integer", integer },
	{ "hash", hash_table },
	{ "sort", sort },
	{ "bytecode", interpreter },
	{ "matrix", matrix },
	{ "memcpy", copy },
	{ "syscall", system_calls },
	{ "pagefault", page_faults },
	{ "fork", fork_wait },
	{ "pipe", pipe_ping_pong },
};

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec * 1e-9;
}

int main(void)
{
	printf("bench start %.3f\n", seconds());
	for (unsigned i = 0; i < sizeof(works) / sizeof(works[0]); i++) {
		double start = seconds();
		uint64_t check = works[i].run();

		printf("bench %s %.4f %016llx\n", works[i].name, seconds() - start,
		       (unsigned long long)check);
		fflush(stdout);
	}
	printf("bench end\n");
	fflush(stdout);
	if (getpid() == 1)
		reboot(RB_POWER_OFF);
	return 0;
}
