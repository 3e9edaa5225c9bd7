/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keys typed by monitors: pressed together, held, let go in reverse. */
#ifndef MANAGE_KEYS_H
#define MANAGE_KEYS_H

#include "manage/vmm.h"

struct typist;

struct typist *typist_new(struct vmm *vmm);
void typist_free(struct typist *typist);
enum { TYPIST_KEYS = 16, TYPIST_HOLD_MS = 100 };
/* Keys as in core/input.h; several calls follow one another. */
int typist_press(struct typist *typist, const unsigned *keys, unsigned count, unsigned hold_ms,
		 struct err *err);

#endif
