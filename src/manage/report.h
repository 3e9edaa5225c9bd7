/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A text that grows, for answers to people. */
#ifndef MANAGE_REPORT_H
#define MANAGE_REPORT_H

#include "base/bits.h"

#include <stddef.h>

struct report {
	char *text; /* always ends with a zero once something was printed; may be NULL before */
	size_t size, room;
};

enum { REPORT_MAX = 8 << 20 }; /* what goes beyond is dropped */

void report_print(struct report *report, const char *fmt, ...) PRINTF_LIKE(2, 3);
void report_line(void *report, const char *text); /* with its newline; for callbacks */
const char *report_text(const struct report *report); /* never NULL */
void report_free(struct report *report);

#endif
