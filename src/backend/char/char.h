/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Host ends of serial lines and monitors. */
#ifndef BACKEND_CHAR_H
#define BACKEND_CHAR_H

#include "core/chardev.h"
#include "core/options.h"

struct loop;

/* `options`: as after -chardev, key "backend" first ("stdio", "socket", "file", "pty", "null",
 * "pipe"), "id", "mux", "logfile". Checks unknown keys. */
int chardev_open(struct board *board, struct loop *loop, struct options *options, struct err *err);
const char *chardev_type(unsigned number); /* NULL: there are no more */
/* Puts the terminal back as it was; for every way out, also from signal handlers. */
void terminal_restore(void);

#endif
