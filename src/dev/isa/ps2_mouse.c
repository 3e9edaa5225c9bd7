/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * PS/2 mouse: commands, three-byte packets, and Microsoft's extensions: setting the rates 200, 100,
 * 80 makes it a wheel mouse (four bytes, id 3), 200, 200, 80 then one with five buttons (id 4).
 *
 * Movement adds up while the queue is full and goes out in the next packets.
 *
 * Manual: IBM PS/2 mouse technical reference; Microsoft, "IntelliMouse" PS/2 protocol notes.
 * Not modelled: the sample rate (packets go as fast as the guest takes them).
 */
#include "dev/isa/ps2.h"

enum { EVENT_ROOM = 16, MOVE_LIMIT = 1 << 20 };

enum {
	SCALE_1 = 0xe6, SCALE_2 = 0xe7, SET_RESOLUTION = 0xe8, STATUS = 0xe9, STREAM = 0xea,
	POLL = 0xeb, UNWRAP = 0xec, WRAP = 0xee, REMOTE = 0xf0, IDENTIFY = 0xf2, SET_RATE = 0xf3,
	ENABLE = 0xf4, DISABLE = 0xf5, DEFAULTS = 0xf6, RESEND = 0xfe, RESET = 0xff,
};
enum { ACK = 0xfa, PASSED = 0xaa, ID_PLAIN = 0, ID_WHEEL = 3, ID_BUTTONS = 4 };

static const struct field queue_fields[] = {
	STATE(struct ps2_queue, bytes),
	STATE(struct ps2_queue, first, .max = PS2_QUEUE - 1),
	STATE(struct ps2_queue, count, .max = PS2_QUEUE),
	{ 0 }
};

const struct field ps2_mouse_fields[] = {
	{ .name = "queue", .offset = offsetof(struct ps2_mouse, queue),
	  .size = sizeof(struct ps2_queue), .stride = sizeof(struct ps2_queue),
	  .type = FIELD_STRUCTS, .sub = queue_fields, .role = FIELD_STATE },
	STATE(struct ps2_mouse, command),
	STATE(struct ps2_mouse, last_sent),
	STATE(struct ps2_mouse, rate),
	STATE(struct ps2_mouse, resolution, .max = 3),
	STATE(struct ps2_mouse, id, .max = ID_BUTTONS),
	STATE(struct ps2_mouse, buttons, .max = 31),
	STATE(struct ps2_mouse, knock, .max = 4),
	STATE(struct ps2_mouse, reporting),
	STATE(struct ps2_mouse, remote),
	STATE(struct ps2_mouse, scale_2),
	STATE(struct ps2_mouse, wrap),
	STATE(struct ps2_mouse, dx, .max = MOVE_LIMIT),
	STATE(struct ps2_mouse, dy, .max = MOVE_LIMIT),
	STATE(struct ps2_mouse, dz, .max = MOVE_LIMIT),
	STATE(struct ps2_mouse, changed),
	{ 0 }
};

static void answer(struct ps2_mouse *m, uint8_t byte)
{
	m->last_sent = byte;
	ps2_put(&m->queue, byte);
}

static void set_defaults(struct ps2_mouse *m)
{
	m->rate = 100;
	m->resolution = 2;
	m->reporting = m->remote = m->scale_2 = m->wrap = false;
	m->command = m->knock = 0;
	m->dx = m->dy = m->dz = 0;
	m->changed = false;
}

void ps2_mouse_reset(struct ps2_mouse *m)
{
	set_defaults(m);
	m->queue.first = m->queue.count = 0;
	m->id = ID_PLAIN;
	m->buttons = 0;
	m->last_sent = 0;
}

static int take(int64_t *moved, int limit)
{
	int64_t now = MIN(MAX(*moved, -limit), limit - 1);

	*moved -= now;
	return (int)now;
}

/* Up is positive on this wire. */
static void send_packet(struct ps2_mouse *m)
{
	int dx = take(&m->dx, 256), dy = -take(&m->dy, 255), dz = 0;

	if (m->id != ID_PLAIN)
		dz = take(&m->dz, 8);
	else
		m->dz = 0;
	m->changed = false;
	answer(m, 8 | (m->buttons & 7) | (dx < 0 ? 16 : 0) | (dy < 0 ? 32 : 0));
	answer(m, (uint8_t)dx);
	answer(m, (uint8_t)dy);
	if (m->id == ID_WHEEL)
		answer(m, (uint8_t)dz);
	else if (m->id == ID_BUTTONS)
		answer(m, (dz & 15) | (m->buttons & 0x18) << 1);
}

static void report(struct ps2_mouse *m)
{
	while (m->reporting && !m->remote && m->queue.count + 4 <= EVENT_ROOM &&
	       (m->dx || m->dy || m->dz || m->changed))
		send_packet(m);
}

static int64_t clamp(int64_t value)
{
	return MIN(MAX(value, -MOVE_LIMIT), MOVE_LIMIT);
}

void ps2_mouse_move(struct ps2_mouse *m, int dx, int dy, int dz)
{
	m->dx = clamp(m->dx + dx);
	m->dy = clamp(m->dy + dy);
	m->dz = clamp(m->dz + dz);
	report(m);
}

void ps2_mouse_nudge(struct ps2_mouse *m)
{
	m->changed = true;
	report(m);
}

void ps2_mouse_buttons(struct ps2_mouse *m, unsigned buttons)
{
	m->changed |= m->buttons != (buttons & 31);
	m->buttons = buttons & 31;
	report(m);
}

static void set_rate(struct ps2_mouse *m, uint8_t rate)
{
	/* knock: 1 after 200; 2 after 200, 100; 3 after 200, 200 */
	if (rate == 80 && m->knock == 2)
		m->id = ID_WHEEL;
	else if (rate == 80 && m->knock == 3)
		m->id = ID_BUTTONS;
	if (rate == 200)
		m->knock = m->knock == 1 ? 3 : 1;
	else
		m->knock = rate == 100 && m->knock == 1 ? 2 : 0;
	m->rate = rate;
}

static void send_status(struct ps2_mouse *m)
{
	uint8_t status = (m->remote ? 64 : 0) | (m->reporting ? 32 : 0) | (m->scale_2 ? 16 : 0);

	status |= (m->buttons & 1) << 2 | (m->buttons & 4) >> 1 | (m->buttons & 2) >> 1;
	answer(m, ACK);
	answer(m, status);
	answer(m, m->resolution);
	answer(m, m->rate);
}

static bool write_argument(struct ps2_mouse *m, uint8_t byte)
{
	uint8_t command = m->command;

	m->command = 0;
	if (command == SET_RATE)
		set_rate(m, byte);
	else if (command == SET_RESOLUTION)
		m->resolution = byte & 3;
	else
		return false;
	answer(m, ACK);
	return true;
}

static void do_command(struct ps2_mouse *m, uint8_t byte)
{
	switch (byte) {
	case SCALE_1:
	case SCALE_2:
		m->scale_2 = byte == SCALE_2;
		break;
	case SET_RESOLUTION:
	case SET_RATE:
		m->command = byte;
		break;
	case STREAM:
	case REMOTE:
		m->remote = byte == REMOTE;
		break;
	case UNWRAP:
	case WRAP:
		m->wrap = byte == WRAP;
		break;
	case ENABLE:
	case DISABLE:
		m->reporting = byte == ENABLE;
		break;
	case DEFAULTS:
		set_defaults(m);
		break;
	default:
		answer(m, RESEND);
		return;
	}
	answer(m, ACK);
}

void ps2_mouse_write(struct ps2_mouse *m, uint8_t byte)
{
	if (write_argument(m, byte))
		return;
	if (m->wrap && byte != UNWRAP && byte != RESET) {
		answer(m, byte);
		return;
	}
	switch (byte) {
	case STATUS:
		send_status(m);
		break;
	case POLL:
		answer(m, ACK);
		send_packet(m);
		break;
	case IDENTIFY:
		answer(m, ACK);
		answer(m, m->id);
		break;
	case RESEND:
		ps2_put(&m->queue, m->last_sent);
		break;
	case RESET:
		ps2_mouse_reset(m);
		answer(m, ACK);
		answer(m, PASSED);
		answer(m, ID_PLAIN);
		break;
	default:
		do_command(m, byte);
	}
}
