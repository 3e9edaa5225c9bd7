/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Host ends of network cards. */
#ifndef BACKEND_NET_H
#define BACKEND_NET_H

#include "core/netdev.h"
#include "core/options.h"

struct loop;

/* `options`: as after -netdev, key "type" first ("user", "stream"), "id". Checks unknown keys. */
int netdev_open(struct board *board, struct loop *loop, struct options *options, struct err *err);
const char *netdev_type(unsigned number); /* NULL: there are no more */

#endif
