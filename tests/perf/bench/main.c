/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Small programs that a computer spends its time on, timed one by one: bench [REPEATS [NAME...]].
 *
 * Prints "bench NAME SECONDS CHECK CPU" for each run: the guest's check must be the host's. What the
 * processor cannot do is "bench NAME skipped". The same binary is measured natively and, as process
 * 1, in a guest, which it powers off at the end. It says "bench ready NAME" and waits for a line before each
 * piece of work: so the host can read how much processor time a machine took, and have them take turns. Where
 * there is a file /commands, the work is the programs it lists instead (tests/perf/programs).
 */
#include <cpuid.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

static const struct work *const lists[] = { compute_works, call_works,   vector_works,  crypto_works,
					    string_works,  kernel_works, parallel_works };
const char *own_path;

static double seconds(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec + now.tv_nsec * 1e-9;
}

/* Of this process and its children that ended. */
static double cpu_seconds(void)
{
	struct rusage used;

	getrusage(RUSAGE_CHILDREN, &used);
	return seconds(CLOCK_PROCESS_CPUTIME_ID) + used.ru_utime.tv_sec + used.ru_stime.tv_sec +
	       (used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e-6;
}

static int have(const char *feature)
{
	unsigned a, b, c, d;

	if (!feature)
		return 1;
	if (!strcmp(feature, "avx2"))
		return __builtin_cpu_supports("avx2");
	if (!strcmp(feature, "aes"))
		return __get_cpuid(1, &a, &b, &c, &d) && c & bit_AES;
	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && b & bit_SHA;
}

static void ready(const char *name)
{
	char line[16];

	printf("bench ready %s\n", name);
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		exit(1);
}

/* In a process of its own: what one piece of work leaves or breaks is not the next one's. */
static void measure(const struct work *work)
{
	cpu_set_t first;

	if (!have(work->needs)) {
		printf("bench %s skipped\n", work->name);
		return;
	}
	ready(work->name);
	if (!fork()) {
		CPU_ZERO(&first);
		CPU_SET(0, &first);
		if (!work->free_of_pin)
			sched_setaffinity(0, sizeof(first), &first);
		double start = seconds(CLOCK_MONOTONIC), cpu = cpu_seconds();
		uint64_t check = work->command ? run_command(work->command) : work->run();

		printf("bench %s %.4f %016llx %.4f\n", work->name, seconds(CLOCK_MONOTONIC) - start,
		       (unsigned long long)check, cpu_seconds() - cpu);
		fflush(stdout);
		_exit(0);
	}
	wait(NULL);
}

static int wanted(const struct work *work, int count, char **names)
{
	for (int i = 0; i < count; i++)
		if (!strcmp(names[i], work->name))
			return 1;
	return !count && !work->free_of_pin;
}

static void measure_list(const struct work *work, int repeats, int count, char **names)
{
	for (; work->name; work++)
		for (int i = 0; i < repeats && wanted(work, count, names); i++)
			measure(work);
}

int main(int argc, char **argv)
{
	const struct work *commands = read_commands();
	int repeats = argc > 1 ? atoi(argv[1]) : 1;

	own_path = argv[0];
	if (argc > 1 && !strcmp(argv[1], "exit"))
		return 7;
	printf("bench start %.3f\n", seconds(CLOCK_MONOTONIC));
	fflush(stdout);
	if (commands)
		measure_list(commands, repeats, argc - 2, argv + 2);
	for (unsigned i = 0; i < sizeof(lists) / sizeof(lists[0]) && !commands; i++)
		measure_list(lists[i], repeats, argc - 2, argv + 2);
	ready("end");
	printf("bench end\n");
	fflush(stdout);
	if (getpid() == 1)
		reboot(RB_POWER_OFF);
	return 0;
}
