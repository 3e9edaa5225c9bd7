/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A text that grows: see report.h. */
#include "manage/report.h"

#include "host/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void report_print(struct report *report, const char *fmt, ...)
{
	va_list args;
	int length;

	va_start(args, fmt);
	length = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (length < 0 || report->size + (size_t)length > REPORT_MAX)
		return;
	if (report->size + (size_t)length + 1 > report->room) {
		report->room = 2 * report->room + (size_t)length + 128;
		report->text = must_realloc(report->text, report->room);
	}
	va_start(args, fmt);
	vsnprintf(report->text + report->size, (size_t)length + 1, fmt, args);
	va_end(args);
	report->size += (size_t)length;
}

void report_line(void *report, const char *text)
{
	report_print(report, "%s\n", text);
}

const char *report_text(const struct report *report)
{
	return report->text ? report->text : "";
}

void report_free(struct report *report)
{
	free(report->text);
	*report = (struct report){ 0 };
}
