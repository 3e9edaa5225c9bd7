/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What firmware finds on the board: its own ROM, fw_cfg files, CMOS bytes. */
#ifndef MACHINE_FIRMWARE_H
#define MACHINE_FIRMWARE_H

#include "machine/pc.h"

/* Loads the firmware image under 4 GiB; *rom is what also shows below 1 MiB. */
int firmware_map(struct board *board, const struct pc_options *options, struct ram **rom,
		 struct err *err);
/* Fills fw_cfg and CMOS. All board devices exist. */
int firmware_describe(struct board *board, const struct pc_options *options, struct err *err);

#endif
