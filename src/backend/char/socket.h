/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Byte streams over unix and TCP sockets. */
#ifndef BACKEND_SOCKET_H
#define BACKEND_SOCKET_H

#include "backend/char/char.h"

int socket_chardev_open(struct board *board, struct loop *loop, const char *id,
			struct options *options, struct err *err);

#endif
