/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/* Failure sentences: see err.h. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>

int fail(struct err *err, int code, const char *fmt, ...)
{
	va_list args;

	if (err) {
		err->code = code;
		va_start(args, fmt);
		vsnprintf(err->text, sizeof(err->text), fmt, args);
		va_end(args);
	}
	return -code;
}
