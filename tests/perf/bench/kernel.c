/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What programs ask a kernel for: system calls, pages, processes, the processor for another. */
#include <linux/futex.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

static uint64_t system_calls(void)
{
	uint64_t sum = 0;

	for (int i = 0; i < 1200000; i++)
		sum += syscall(SYS_getppid) >= 0;
	return sum;
}

static uint64_t page_faults(void)
{
	enum { BYTES = 32 << 20 };
	uint64_t sum = 0;

	for (int round = 0; round < 8; round++) {
		char *memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		madvise(memory, BYTES, MADV_NOHUGEPAGE);
		for (int i = 0; i < BYTES; i += 4096)
			sum += ++memory[i];
		munmap(memory, BYTES);
	}
	return sum;
}

static uint64_t fork_wait(void)
{
	uint64_t sum = 0;

	for (int i = 0; i < 3000; i++) {
		pid_t child = fork();
		int status;

		if (!child)
			_exit(i & 1);
		waitpid(child, &status, 0);
		sum += WEXITSTATUS(status);
	}
	return sum;
}

static uint64_t fork_exec(void)
{
	uint64_t sum = 0;

	for (int i = 0; i < 500; i++) {
		pid_t child = fork();
		int status;

		if (!child) {
			execl(own_path, own_path, "exit", (char *)NULL);
			_exit(99);
		}
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
	for (int i = 0; i < 60000; i++)
		sum += write(there[1], &byte, 1) + read(back[0], &byte, 1);
	close(there[1]);
	wait(NULL);
	return sum;
}

static void wait_while(_Atomic int *word, int value)
{
	while (atomic_load(word) == value)
		syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0);
}

/* Two processes hand a word to each other. */
uint64_t futex_ping_pong(int rounds)
{
	_Atomic int *turn = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t child = fork();
	int me = child ? 0 : 1;
	uint64_t sum = 0;

	for (int i = 0; i < rounds; i++) {
		wait_while(turn, !me);
		sum += i;
		atomic_store(turn, !me);
		syscall(SYS_futex, turn, FUTEX_WAKE, 1, NULL, NULL, 0);
	}
	if (!child)
		_exit(0);
	waitpid(child, NULL, 0);
	munmap((void *)turn, 4096);
	return sum;
}

static uint64_t futex(void)
{
	return futex_ping_pong(60000);
}

static uint64_t yield(void)
{
	pid_t child = fork();
	uint64_t sum = 0;

	for (int i = 0; i < 300000; i++)
		sum += !sched_yield();
	if (!child)
		_exit(0);
	waitpid(child, NULL, 0);
	return sum;
}

const struct work kernel_works[] = {
	{ "syscall", system_calls },
	{ "pagefault", page_faults },
	{ "fork", fork_wait },
	{ "exec", fork_exec },
	{ "pipe", pipe_ping_pong },
	{ "futex", futex },
	{ "yield", yield },
	{ 0 },
};
