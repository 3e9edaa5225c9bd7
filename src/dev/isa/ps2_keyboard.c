/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * PS/2 keyboard: commands, and the three scan code sets.
 *
 * Keys come as set 1 codes (core/input.h). A key whose codes do not fit the queue is lost whole, as
 * a real keyboard's buffer overflows, so a guest never sees half a sequence.
 *
 * Manual: IBM PS/2 hardware interface technical reference, "Keyboards (101- and 102-key)".
 * Not modelled: typematic repeat (the viewer repeats keys), per-key modes of set 3.
 */
#include "dev/isa/ps2.h"

#include "core/input.h"

enum { EVENT_ROOM = 16, RELEASED = 0xf0, EXTENDED = 0xe0 };

enum {
	SET_LEDS = 0xed, ECHO = 0xee, SCAN_SET = 0xf0, IDENTIFY = 0xf2, SET_RATE = 0xf3,
	ENABLE = 0xf4, DISABLE = 0xf5, DEFAULTS = 0xf6, ALL_REPEAT = 0xf7, ALL_DONE = 0xfa,
	KEY_REPEAT = 0xfb, KEY_DONE = 0xfd, RESEND = 0xfe, RESET = 0xff,
};
enum { ACK = 0xfa, PASSED = 0xaa };

static const struct field queue_fields[] = {
	STATE(struct ps2_queue, bytes),
	STATE(struct ps2_queue, first, .max = PS2_QUEUE - 1),
	STATE(struct ps2_queue, count, .max = PS2_QUEUE),
	{ 0 }
};

const struct field ps2_keyboard_fields[] = {
	{ .name = "queue", .offset = offsetof(struct ps2_keyboard, queue),
	  .size = sizeof(struct ps2_queue), .stride = sizeof(struct ps2_queue),
	  .type = FIELD_STRUCTS, .sub = queue_fields, .role = FIELD_STATE },
	STATE(struct ps2_keyboard, set, .min = 1, .max = 3),
	STATE(struct ps2_keyboard, leds, .max = 7),
	STATE(struct ps2_keyboard, command),
	STATE(struct ps2_keyboard, last_sent),
	STATE(struct ps2_keyboard, rate),
	STATE(struct ps2_keyboard, scanning),
	{ 0 }
};

/* Set 1 code to set 2; the same for keys with and without the 0xe0 prefix. 0: no such key. */
static const uint8_t set_2[128] = {
	[0x01] = 0x76, 0x16, 0x1e, 0x26, 0x25, 0x2e, 0x36, /* esc 1 to 6 */
	[0x08] = 0x3d, 0x3e, 0x46, 0x45, 0x4e, 0x55, 0x66, 0x0d,
	[0x10] = 0x15, 0x1d, 0x24, 0x2d, 0x2c, 0x35, 0x3c, 0x43,
	[0x18] = 0x44, 0x4d, 0x54, 0x5b, 0x5a, 0x14, 0x1c, 0x1b,
	[0x20] = 0x23, 0x2b, 0x34, 0x33, 0x3b, 0x42, 0x4b, 0x4c,
	[0x28] = 0x52, 0x0e, 0x12, 0x5d, 0x1a, 0x22, 0x21, 0x2a,
	[0x30] = 0x32, 0x31, 0x3a, 0x41, 0x49, 0x4a, 0x59, 0x7c,
	[0x38] = 0x11, 0x29, 0x58, 0x05, 0x06, 0x04, 0x0c, 0x03,
	[0x40] = 0x0b, 0x83, 0x0a, 0x01, 0x09, 0x77, 0x7e, 0x6c,
	[0x48] = 0x75, 0x7d, 0x7b, 0x6b, 0x73, 0x74, 0x79, 0x69,
	[0x50] = 0x72, 0x7a, 0x70, 0x71, 0x84, 0x60, 0x61, 0x78,
	[0x58] = 0x07, 0x0f, 0x17, 0x1f, 0x27, 0x2f, 0x37, 0x3f,
	[0x63] = 0x5e, [0x70] = 0x13, [0x73] = 0x51, [0x77] = 0x62,
	[0x79] = 0x64, [0x7b] = 0x67, [0x7d] = 0x6a, [0x7e] = 0x6d,
};

static const uint8_t set_3[128] = {
	[0x01] = 0x08, 0x16, 0x1e, 0x26, 0x25, 0x2e, 0x36,
	[0x08] = 0x3d, 0x3e, 0x46, 0x45, 0x4e, 0x55, 0x66, 0x0d,
	[0x10] = 0x15, 0x1d, 0x24, 0x2d, 0x2c, 0x35, 0x3c, 0x43,
	[0x18] = 0x44, 0x4d, 0x54, 0x5b, 0x5a, 0x11, 0x1c, 0x1b,
	[0x20] = 0x23, 0x2b, 0x34, 0x33, 0x3b, 0x42, 0x4b, 0x4c,
	[0x28] = 0x52, 0x0e, 0x12, 0x5c, 0x1a, 0x22, 0x21, 0x2a,
	[0x30] = 0x32, 0x31, 0x3a, 0x41, 0x49, 0x4a, 0x59, 0x7e,
	[0x38] = 0x19, 0x29, 0x14, 0x07, 0x0f, 0x17, 0x1f, 0x27,
	[0x40] = 0x2f, 0x37, 0x3f, 0x47, 0x4f, 0x76, 0x5f, 0x6c,
	[0x48] = 0x75, 0x7d, 0x84, 0x6b, 0x73, 0x74, 0x7c, 0x69,
	[0x50] = 0x72, 0x7a, 0x70, 0x71, [0x56] = 0x13, 0x56, 0x5e,
};

static const uint8_t set_3_extended[128] = {
	[0x1c] = 0x79, [0x1d] = 0x58, [0x35] = 0x77, [0x38] = 0x39, [0x47] = 0x6e, [0x48] = 0x63,
	[0x49] = 0x6f, [0x4b] = 0x61, [0x4d] = 0x6a, [0x4f] = 0x65, [0x50] = 0x60, [0x51] = 0x6d,
	[0x52] = 0x67, [0x53] = 0x64, [0x5b] = 0x8b, [0x5c] = 0x8c, [0x5d] = 0x8d,
};

bool ps2_take(struct ps2_queue *queue, uint8_t *byte)
{
	if (!queue->count)
		return false;
	*byte = queue->bytes[queue->first];
	queue->first = (queue->first + 1) % PS2_QUEUE;
	queue->count--;
	return true;
}

bool ps2_put(struct ps2_queue *queue, uint8_t byte)
{
	if (queue->count >= PS2_QUEUE)
		return false;
	queue->bytes[(queue->first + queue->count++) % PS2_QUEUE] = byte;
	return true;
}

bool ps2_queue_valid(const struct ps2_queue *queue)
{
	return queue->first < PS2_QUEUE && queue->count <= PS2_QUEUE;
}

static void clear(struct ps2_queue *queue)
{
	queue->first = queue->count = 0;
}

static void answer(struct ps2_keyboard *k, uint8_t byte)
{
	k->last_sent = byte;
	ps2_put(&k->queue, byte);
}

static void set_defaults(struct ps2_keyboard *k)
{
	k->set = 2;
	k->rate = 0x2b;
	k->command = 0;
	k->scanning = true;
}

void ps2_keyboard_reset(struct ps2_keyboard *k)
{
	set_defaults(k);
	clear(&k->queue);
	k->leds = 0;
	k->last_sent = 0;
}

/* The byte after a two-byte command; a command in its place aborts it. */
static bool write_argument(struct ps2_keyboard *k, uint8_t byte)
{
	uint8_t command = k->command;

	if (command == 0 || byte >= SET_LEDS)
		return false;
	k->command = 0;
	switch (command) {
	case SET_LEDS:
		k->leds = byte & 7;
		answer(k, ACK);
		break;
	case SET_RATE:
		k->rate = byte;
		answer(k, ACK);
		break;
	case SCAN_SET:
		if (byte > 3) {
			answer(k, RESEND);
			break;
		}
		answer(k, ACK);
		if (byte)
			k->set = byte;
		else
			answer(k, k->set);
		break;
	default: /* the per-key modes of set 3: one key each, accepted */
		answer(k, ACK);
		k->command = command;
	}
	return true;
}

void ps2_keyboard_write(struct ps2_keyboard *k, uint8_t byte)
{
	if (write_argument(k, byte))
		return;
	k->command = 0;
	switch (byte) {
	case ECHO:
		answer(k, ECHO);
		break;
	case IDENTIFY:
		answer(k, ACK);
		answer(k, 0xab);
		answer(k, 0x83);
		break;
	case SET_LEDS:
	case SET_RATE:
	case SCAN_SET:
	case KEY_REPEAT ... KEY_DONE:
		k->command = byte;
		answer(k, ACK);
		break;
	case ENABLE:
		k->scanning = true;
		answer(k, ACK);
		break;
	case DISABLE:
	case DEFAULTS:
		set_defaults(k);
		k->scanning = byte == DEFAULTS;
		answer(k, ACK);
		break;
	case ALL_REPEAT ... ALL_DONE:
		answer(k, ACK);
		break;
	case RESEND:
		ps2_put(&k->queue, k->last_sent);
		break;
	case RESET:
		ps2_keyboard_reset(k);
		answer(k, ACK);
		answer(k, PASSED);
		break;
	default:
		answer(k, RESEND);
	}
}

/* One key's bytes. */
struct codes {
	uint8_t bytes[8];
	unsigned count;
};

static void add(struct codes *codes, uint8_t byte)
{
	codes->bytes[codes->count++] = byte;
}

static void add_code(struct codes *codes, const struct ps2_keyboard *k, uint8_t code, bool extended,
		     bool down)
{
	uint8_t other = set_2[code];

	if (k->set == 1) {
		if (extended)
			add(codes, EXTENDED);
		add(codes, code | (down ? 0 : 0x80));
		return;
	}
	if (k->set == 3)
		other = extended ? set_3_extended[code] : set_3[code];
	if (!other)
		return;
	if (extended && k->set == 2)
		add(codes, EXTENDED);
	if (!down)
		add(codes, RELEASED);
	add(codes, other);
}

static void add_pause(struct codes *codes, const struct ps2_keyboard *k, bool down)
{
	static const uint8_t set_1_bytes[] = { 0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5 };
	static const uint8_t set_2_bytes[] = { 0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77 };

	if (k->set == 3) {
		if (!down)
			add(codes, RELEASED);
		add(codes, 0x62);
		return;
	}
	if (!down) /* it has no release */
		return;
	codes->count = k->set == 1 ? sizeof(set_1_bytes) : sizeof(set_2_bytes);
	memcpy(codes->bytes, k->set == 1 ? set_1_bytes : set_2_bytes, codes->count);
}

static void add_print(struct codes *codes, const struct ps2_keyboard *k, bool down)
{
	if (k->set == 3) {
		if (!down)
			add(codes, RELEASED);
		add(codes, 0x57);
		return;
	}
	/* It pretends that shift is held. */
	add_code(codes, k, down ? 0x2a : 0x37, true, down);
	add_code(codes, k, down ? 0x37 : 0x2a, true, down);
}

void ps2_keyboard_key(struct ps2_keyboard *k, unsigned key, bool down)
{
	struct codes codes = { .count = 0 };

	if (!k->scanning)
		return;
	if (key == KEY_PAUSE)
		add_pause(&codes, k, down);
	else if (key == KEY_PRINT)
		add_print(&codes, k, down);
	else if (key < 0x100)
		add_code(&codes, k, key & 0x7f, key & KEY_EXTENDED, down);
	if (k->queue.count + codes.count > EVENT_ROOM)
		return;
	for (unsigned i = 0; i < codes.count; i++)
		answer(k, codes.bytes[i]);
}
