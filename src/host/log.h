/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lines for whoever reads standard error. */
#ifndef HOST_LOG_H
#define HOST_LOG_H

#include "base/err.h"

void log_line(const char *fmt, ...) PRINTF_LIKE(1, 2); /* adds "kelvin: " and the newline */
void log_text(const char *text, size_t size);          /* as it is, in one piece */
int log_open(const char *path, struct err *err);        /* -D FILE: there instead; NULL: stderr */

#endif
