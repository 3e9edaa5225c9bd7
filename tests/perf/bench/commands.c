/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Programs from /commands as pieces of work: run with a fixed environment, their output hashed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

struct work *read_commands(void)
{
	enum { MOST = 32 };
	FILE *file = fopen("/commands", "r");
	struct work *works;
	char line[512];
	int count = 0;

	if (!file)
		return NULL;
	works = calloc(MOST + 1, sizeof(*works));
	while (count < MOST && fgets(line, sizeof(line), file)) {
		char *space = strchr(line, ' ');

		if (!space)
			continue;
		*space = 0;
		space[1 + strcspn(space + 1, "\n")] = 0;
		works[count].name = strdup(line);
		works[count++].command = strdup(space + 1);
	}
	fclose(file);
	return works;
}

static void execute(const char *command)
{
	char *environment[] = { "LC_ALL=C", "PYTHONHASHSEED=0", "PATH=/usr/bin", NULL };
	char *arguments[32], *copy = strdup(command);
	int count = 0;

	for (char *word = strtok(copy, " "); word && count < 31; word = strtok(NULL, " "))
		arguments[count++] = word;
	arguments[count] = NULL;
	execve(arguments[0], arguments, environment);
	perror(arguments[0]);
	_exit(127);
}

uint64_t run_command(const char *command)
{
	static uint8_t text[65536];
	uint64_t hash = 0xcbf29ce484222325;
	int output[2], status;
	ssize_t got;

	if (pipe(output))
		return 0;
	if (!fork()) {
		dup2(output[1], 1);
		close(output[0]);
		close(output[1]);
		execute(command);
	}
	close(output[1]);
	while ((got = read(output[0], text, sizeof(text))) > 0)
		for (ssize_t i = 0; i < got; i++)
			hash = (hash ^ text[i]) * 0x100000001b3;
	wait(&status);
	return status ? 0 : hash;
}
