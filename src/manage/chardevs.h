/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* -chardev, -serial, -parallel: byte streams opened and given to ports. */
#ifndef MANAGE_CHARDEVS_H
#define MANAGE_CHARDEVS_H

#include "manage/config.h"

struct loop;

/* Opens all of them; fills config->pc.serial and .parallel. */
int chardevs_open(struct config *config, struct board *board, struct loop *loop, struct err *err);
/* A chardev from the short form ("stdio", "unix:PATH,server"); `id` is what it will be called. */
int chardev_open_short(struct board *board, struct loop *loop, const char *text, const char *id,
		       struct err *err);

#endif
