/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* -device, -netdev, -nic, -global: back ends opened, devices added. */
#ifndef MANAGE_DEVICES_H
#define MANAGE_DEVICES_H

#include "manage/config.h"

struct loop;

/* True when `text` asked for help, which is then printed. */
bool devices_help(const char *text);
/* Before the board is built: network back ends, the default card. */
int devices_prepare(struct config *config, struct board *board, struct loop *loop, struct err *err);
/* After: what -device and -nic ask for, with -global's defaults. */
int devices_add(struct config *config, struct board *board, struct err *err);

#endif
