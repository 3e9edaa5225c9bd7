/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* This process: going into the background, saying its number, what it may do. */
#ifndef HOST_PROCESS_H
#define HOST_PROCESS_H

#include "base/err.h"

/* Call before threads run guests: the parent exits 0, the child goes on without a terminal. */
int process_daemonize(struct err *err);
int process_write_pidfile(const char *path, struct err *err);
bool process_has_io_uring(void);

#endif
