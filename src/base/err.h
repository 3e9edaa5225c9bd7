/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/* What went wrong, in words for the person who asked. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "base/bits.h"

struct err {
	int code;       /* errno value, 0 while all is well */
	char text[240]; /* one sentence, no newline; CLI and QMP print it as is */
};

/* Records the failure and returns -code, so callers write `return fail(...)`. `err` may be NULL. */
int fail(struct err *err, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
