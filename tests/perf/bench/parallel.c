/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What two processors share, or do not. These run only when named: "alone" is the work that "both"
 * does twice at once, so twice the time of one by the other's is how well two processors scale.
 */
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

static uint64_t share_of_work(void)
{
	uint64_t sum = 0;

	for (const struct work *work = compute_works; work->name; work++)
		sum ^= work->run();
	return sum;
}

static uint64_t both(void)
{
	pid_t child = fork();
	uint64_t sum = share_of_work();

	if (!child)
		_exit(0);
	waitpid(child, 0, 0);
	return sum;
}

static uint64_t shared_futex(void)
{
	return futex_ping_pong(30000);
}

const struct work parallel_works[] = {
	{ "alone", share_of_work, 0, 1 },
	{ "both", both, 0, 1 },
	{ "shared-futex", shared_futex, 0, 1 },
	{ 0 },
};
