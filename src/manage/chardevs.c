/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Byte streams from the command line: see chardevs.h. */
#include "manage/chardevs.h"

#include "backend/char/char.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "tcp:HOST:PORT,server" and the like become "socket,host=HOST,port=PORT,server". */
static char *long_form(const char *text, const char *id)
{
	const char *rest;
	char *out = NULL;
	int n;

	if (!strncmp(text, "mon:", 4)) {
		char *inner = long_form(text + 4, id);

		n = inner ? asprintf(&out, "%s,mux=on", inner) : -1;
		free(inner);
	} else if (!strncmp(text, "file:", 5)) {
		n = asprintf(&out, "file,path=%s,id=%s", text + 5, id);
	} else if (!strncmp(text, "unix:", 5)) {
		n = asprintf(&out, "socket,path=%s,id=%s", text + 5, id);
	} else if (!strncmp(text, "tcp:", 4) || !strncmp(text, "telnet:", 7)) {
		const char *address = strchr(text, ':') + 1;

		rest = *address == '[' ? strstr(address, "]:") : strchr(address, ':');
		rest += rest && *address == '[';
		address += *address == '[';
		n = rest ? asprintf(&out, "socket,host=%.*s,port=%s,id=%s",
				    (int)(rest - address - (rest > address && rest[-1] == ']')),
				    address, rest + 1, id) : -1;
	} else if (!strcmp(text, "vc") || !strncmp(text, "vc:", 3)) {
		n = asprintf(&out, "null,id=%s", id);
	} else {
		n = asprintf(&out, "%s,id=%s", text, id);
	}
	return n < 0 ? NULL : out;
}

static int open_text(struct board *board, struct loop *loop, const char *what, const char *text,
		     struct err *err)
{
	struct options options;
	int error = options_parse(&options, what, text, "backend", err);

	if (!error)
		error = chardev_open(board, loop, &options, err);
	options_free(&options);
	return error;
}

int chardev_open_short(struct board *board, struct loop *loop, const char *text, const char *id,
		       struct err *err)
{
	char *whole = long_form(text, id);
	int error;

	if (!whole)
		return fail(err, EINVAL, "\"%s\" is not a device for bytes; use stdio, file:PATH, pty, unix:PATH, tcp:HOST:PORT, null or chardev:ID",
			    text);
	error = open_text(board, loop, "-serial", whole, err);
	free(whole);
	return error;
}

/* One port: an id to give to the device, NULL for none. */
static int open_port(struct config *config, struct board *board, struct loop *loop,
		     const char *text, const char *id, const char **result, struct err *err)
{
	*result = NULL;
	if (!strcmp(text, "none"))
		return 0;
	if (!strncmp(text, "chardev:", 8)) {
		*result = text + 8;
		return 0;
	}
	*result = config_keep(config, strdup(id));
	return chardev_open_short(board, loop, text, id, err);
}

static bool uses_stdio(const struct texts *texts)
{
	for (unsigned i = 0; i < texts->count; i++)
		if (strstr(texts->list[i], "stdio"))
			return true;
	return false;
}

/* What an ordinary machine has when nothing is said. */
static void add_defaults(struct config *config)
{
	bool terminal = config->nographic && !uses_stdio(&config->chardevs) &&
			!uses_stdio(&config->monitors) && !uses_stdio(&config->qmps);
	bool monitored = config->monitors.count || config->mons.count;

	if (config->nodefaults)
		return;
	if (!config->serials.count)
		texts_add(&config->serials, !terminal ? "vc" : monitored ? "stdio" : "mon:stdio");
	else if (terminal && !monitored && !uses_stdio(&config->serials))
		texts_add(&config->monitors, "stdio");
	if (!config->parallels.count)
		texts_add(&config->parallels, config->nographic ? "none" : "vc");
}

int chardevs_open(struct config *config, struct board *board, struct loop *loop, struct err *err)
{
	int error = 0;

	add_defaults(config);
	for (unsigned i = 0; i < config->chardevs.count && !error; i++)
		error = open_text(board, loop, "-chardev", config->chardevs.list[i], err);
	for (unsigned i = 0; i < config->serials.count && !error; i++) {
		char id[16];

		if (i == PC_SERIALS)
			return fail(err, ENOSPC, "there are more than %d -serial", PC_SERIALS);
		snprintf(id, sizeof(id), "serial%u", i);
		error = open_port(config, board, loop, config->serials.list[i], id, &config->pc.serial[i],
				  err);
	}
	if (!error && config->parallels.count)
		error = open_port(config, board, loop, config->parallels.list[0], "parallel0",
				  &config->pc.parallel, err);
	return error;
}
