/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opening disk images by format and protocol. */
#ifndef BACKEND_BLOCK_OPEN_H
#define BACKEND_BLOCK_OPEN_H

#include "core/block.h"

struct block_spec {
	const char *id, *file, *serial;
	const char *format; /* "raw", "qcow2"; NULL: by the file's first bytes (raw when in doubt) */
	bool read_only, removable;
	bool ignore_flush;  /* cache=unsafe */
	bool temporary;     /* snapshot=on: writes go to a file that is gone at exit */
};

/* Opens the image and adds it to the board as a disk. `file` NULL: a drive without a medium. */
int block_open(struct board *board, const struct block_spec *spec, struct err *err);
/* Puts another medium into a removable drive (eject + load). */
int block_change_medium(struct block *block, const struct block_spec *spec, struct err *err);

#endif
