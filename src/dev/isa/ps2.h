/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PS/2 keyboard and mouse, as the keyboard controller (i8042.c) holds them: inside its struct. */
#ifndef DEV_PS2_H
#define DEV_PS2_H

#include "core/dev.h"

enum { PS2_QUEUE = 64 };

/* Bytes on their way to the controller. */
struct ps2_queue {
	uint8_t bytes[PS2_QUEUE];
	uint8_t first, count;
};

struct ps2_keyboard {
	struct ps2_queue queue;
	uint8_t set;     /* scan code set: 1, 2 or 3 */
	uint8_t leds, command, last_sent, rate;
	bool scanning;
};

struct ps2_mouse {
	struct ps2_queue queue;
	uint8_t command, last_sent, rate, resolution, id, buttons;
	uint8_t knock; /* how far in the sequence of rates that unlocks wheel and buttons */
	bool reporting, remote, scale_2, wrap;
	int64_t dx, dy, dz; /* moved since the last packet */
	bool changed;       /* the buttons did */
};

extern const struct field ps2_keyboard_fields[], ps2_mouse_fields[];

void ps2_keyboard_reset(struct ps2_keyboard *k);
void ps2_keyboard_write(struct ps2_keyboard *k, uint8_t byte);
void ps2_keyboard_key(struct ps2_keyboard *k, unsigned key, bool down);

void ps2_mouse_reset(struct ps2_mouse *m);
void ps2_mouse_write(struct ps2_mouse *m, uint8_t byte);
void ps2_mouse_move(struct ps2_mouse *m, int dx, int dy, int dz);
void ps2_mouse_nudge(struct ps2_mouse *mouse); /* a packet without movement */
void ps2_mouse_buttons(struct ps2_mouse *m, unsigned buttons);

/* The oldest byte; false: none. */
bool ps2_take(struct ps2_queue *queue, uint8_t *byte);
bool ps2_put(struct ps2_queue *queue, uint8_t byte); /* false: full, the byte is lost */
/* From a snapshot: makes the indices safe to use, whatever they are. */
bool ps2_queue_valid(const struct ps2_queue *queue);

#endif
