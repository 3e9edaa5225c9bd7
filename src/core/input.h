/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keys, pointers: from viewers and monitors to input devices. */
#ifndef CORE_INPUT_H
#define CORE_INPUT_H

#include "core/dev.h"

/* Keys are PC set 1 scan codes; | KEY_EXTENDED for the ones with an 0xe0 prefix; KEY_PAUSE. */
enum { KEY_EXTENDED = 0x80, KEY_PAUSE = 0x100, KEY_PRINT = 0x101 };
enum { BUTTON_LEFT = 1, BUTTON_RIGHT = 2, BUTTON_MIDDLE = 4 };

struct input_sink {
	void (*key)(struct dev *dev, unsigned key, bool down);              /* or NULL */
	/* Relative, or NULL: right, down, wheel towards the user. */
	void (*move)(struct dev *dev, int dx, int dy, int dz);
	void (*place)(struct dev *dev, uint32_t x, uint32_t y);             /* absolute 0-32767 */
	void (*buttons)(struct dev *dev, unsigned buttons);                 /* BUTTON_* now down */
	void (*nudge)(struct dev *dev); /* speak, though nothing has changed; or NULL */
};
void input_claim(struct dev *dev, const struct input_sink *sink); /* the last one claimed wins */

void input_release_of(struct dev *dev);
/* For a device whose driver listens to another one: all others' `nudge`. */
void input_nudge(struct dev *dev);

void input_key(struct board *board, unsigned key, bool down);
void input_move(struct board *board, int dx, int dy, int dz);
void input_place(struct board *board, uint32_t x, uint32_t y);
void input_buttons(struct board *board, unsigned buttons);
bool input_wants_absolute(struct board *board);
struct dev *input_pointer(struct board *board); /* the one that speaks, NULL: none */
/* Key by QEMU's name ("ret", "a", "ctrl", "f1", "kp_5"); -1: no such key. */
int input_key_by_name(const char *name);

#endif
