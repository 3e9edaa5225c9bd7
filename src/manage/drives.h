/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* -drive, -blockdev and their shorthands: images opened, and places on the board for them. */
#ifndef MANAGE_DRIVES_H
#define MANAGE_DRIVES_H

#include "manage/config.h"

/* Opens every image; IDE and floppy drives go into config->pc, virtio ones become -device rows. */
int drives_open(struct config *config, struct board *board, struct err *err);

#endif
