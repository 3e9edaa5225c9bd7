/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* smp [--window] [--times N | --seconds N] [--longer N] [--only NAME]: each pair, by interpreter and
 * translator; --window: in ring 3, by the latter with vm_options.window, which one of the vCPUs gets. */
#include "smp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static unsigned failures, runs;
static bool window;

static void run(const struct pair *pair, int translator, bool disturbed, unsigned longer)
{
	const struct vm_options options = { .translator = translator, .window = window ? 2 : 0 };

	runs++;
	if (pair_run(pair, &options, disturbed, pair->rounds * longer))
		return;
	printf("%s, translator %d%s: failed\n", pair->name, translator,
	       disturbed ? ", with slots moving" : "");
	fflush(stdout);
	failures++;
}

int main(int argc, char **argv)
{
	unsigned times = 1, longer = 1;
	const char *only = NULL;
	time_t end = 0;

	if (argc > 1 && !strcmp(argv[1], "--window")) {
		window = true;
		argc--, argv++;
	}
	for (int n = 1; n + 1 < argc; n += 2) {
		if (!strcmp(argv[n], "--times"))
			times = (unsigned)atoi(argv[n + 1]);
		else if (!strcmp(argv[n], "--seconds"))
			end = time(NULL) + atoi(argv[n + 1]), times = UINT32_MAX;
		else if (!strcmp(argv[n], "--longer"))
			longer = (unsigned)atoi(argv[n + 1]);
		else if (!strcmp(argv[n], "--only"))
			only = argv[n + 1];
	}
	for (; times && !failures && (!end || time(NULL) < end); times--)
		for (unsigned n = 0; n < 4 * PAIRS; n++)
			if (!only || !strcmp(pairs[n / 4].name, only))
				run(&pairs[n / 4], window || n & 1 ? 2 : 0, n & 2, longer);
	printf("%u runs, %u failed\n", runs, failures);
	return failures != 0;
}
