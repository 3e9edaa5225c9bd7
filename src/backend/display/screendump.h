/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The screen as a picture file. */
#ifndef BACKEND_SCREENDUMP_H
#define BACKEND_SCREENDUMP_H

#include "core/display.h"

enum picture_format { PICTURE_PPM, PICTURE_PNG };

/* Writes what the board's display shows now; removes a file it could not finish. */
int screendump(struct board *board, const char *path, enum picture_format format, struct err *err);

#endif
