/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* X11 key symbols, as VNC clients send them, to keys of a US keyboard. */
#ifndef BACKEND_KEYSYM_H
#define BACKEND_KEYSYM_H

#include "core/input.h"

/* A key as in core/input.h, -1: no such key. `shifted`: the symbol is on the key's upper half. */
int key_of_keysym(uint32_t keysym, bool *shifted);

#endif
