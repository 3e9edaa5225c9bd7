/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lines for whoever reads standard error: see log.h. */
#include "host/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static FILE *log_file;

void log_line(const char *fmt, ...)
{
	FILE *to = log_file ? log_file : stderr;
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	fprintf(to, "kelvin: %s\n", text);
	fflush(to);
}

void log_text(const char *text, size_t size)
{
	fwrite(text, 1, size, log_file ? log_file : stderr);
}

int log_open(const char *path, struct err *err)
{
	FILE *file = path ? fopen(path, "a") : NULL;

	if (path && !file)
		return fail(err, errno, "cannot open log file \"%s\": %s", path, strerror(errno));
	if (file)
		setlinebuf(file);
	if (log_file)
		fclose(log_file);
	log_file = file;
	return 0;
}
