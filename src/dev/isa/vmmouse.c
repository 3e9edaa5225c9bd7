/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * VMware's mouse: an absolute pointer behind the backdoor port (vmport.c).
 *
 * Events wait in a queue of words, four to an event. The guest's driver sits on the PS/2 mouse: a
 * packet without movement from that tells it to look here. While it has asked for absolute places
 * the pointer is this one, else the PS/2 mouse is.
 *
 * Manual: the drivers' side: Linux, drivers/input/mouse/vmmouse.c; xf86-input-vmmouse, "vmmouse_proto".
 * Not modelled: relative packets in the queue, reads of more than four words, restrictions (the port
 * is open to all who may use ports).
 */
#include "core/input.h"

#include <errno.h>

enum { DATA = 39, STATUS = 40, COMMAND = 41, RESTRICT = 86 };
enum { QUEUE = 256, WORDS = 4, FAILED = 0xffff };
enum { LEFT = 0x20, RIGHT = 0x10, MIDDLE = 0x08 };

#define REQUEST_ID       0x45414552u
#define REQUEST_DISABLE  0x000000f5u
#define REQUEST_RELATIVE 0x4c455252u
#define REQUEST_ABSOLUTE 0x53424152u
#define VERSION_ID       0x3442554au

struct vmmouse {
	struct dev dev;
	uint32_t queue[QUEUE];
	uint16_t first, count;
	bool failed, absolute;
	uint8_t buttons;
	uint16_t x, y;
	uint64_t events, dropped;
};

static const struct field vmmouse_fields[] = {
	STATE(struct vmmouse, queue),
	STATE(struct vmmouse, first, .max = QUEUE - 1),
	STATE(struct vmmouse, count, .max = QUEUE),
	STATE(struct vmmouse, failed),
	STATE(struct vmmouse, absolute),
	STATE(struct vmmouse, buttons),
	STATE(struct vmmouse, x),
	STATE(struct vmmouse, y),
	COUNTER(struct vmmouse, events, .help = "pointer events"),
	COUNTER(struct vmmouse, dropped, .help = "of those, ones that found the queue full"),
	{ 0 }
};

static struct vmmouse *to_vmmouse(struct dev *dev)
{
	return container_of(dev, struct vmmouse, dev);
}

static void put(struct vmmouse *m, uint32_t word)
{
	if (m->count < QUEUE)
		m->queue[(m->first + m->count++) % QUEUE] = word;
}

static uint32_t take(struct vmmouse *m)
{
	uint32_t word = m->queue[m->first];

	m->first = (m->first + 1) % QUEUE;
	m->count--;
	return word;
}

static void report(struct vmmouse *m, int dz)
{
	m->events++;
	if (m->count + WORDS > QUEUE) {
		m->dropped++;
	} else {
		put(m, m->buttons);
		put(m, m->x);
		put(m, m->y);
		put(m, (uint32_t)dz);
	}
	input_nudge(&m->dev);
}

static void on_place(struct dev *dev, uint32_t x, uint32_t y)
{
	to_vmmouse(dev)->x = (uint16_t)(2 * x); /* 0 to 65535 on this wire */
	to_vmmouse(dev)->y = (uint16_t)(2 * y);
	report(to_vmmouse(dev), 0);
}

static void on_move(struct dev *dev, int dx, int dy, int dz)
{
	if (dz)
		report(to_vmmouse(dev), dz);
}

static void on_buttons(struct dev *dev, unsigned buttons)
{
	struct vmmouse *m = to_vmmouse(dev);

	m->buttons = (buttons & BUTTON_LEFT ? LEFT : 0) | (buttons & BUTTON_RIGHT ? RIGHT : 0) |
		     (buttons & BUTTON_MIDDLE ? MIDDLE : 0);
	report(m, 0);
}

static const struct input_sink vmmouse_sink = {
	.move = on_move,
	.place = on_place,
	.buttons = on_buttons,
};

static void set_absolute(struct vmmouse *m, bool on)
{
	input_release_of(&m->dev);
	if (on)
		input_claim(&m->dev, &vmmouse_sink);
	m->absolute = on;
}

static void fail_request(struct vmmouse *m)
{
	m->failed = true;
	m->count = 0;
}

static void do_request(struct vmmouse *m, uint32_t request)
{
	switch (request) {
	case REQUEST_ID:
		m->failed = false;
		m->count = 0;
		put(m, VERSION_ID);
		break;
	case REQUEST_ABSOLUTE:
	case REQUEST_RELATIVE:
		set_absolute(m, request == REQUEST_ABSOLUTE);
		break;
	case REQUEST_DISABLE:
		set_absolute(m, false);
		fail_request(m);
		break;
	default:
		guest_error(&m->dev, "request %#x is not modelled", request);
		fail_request(m);
	}
}

static void read_data(struct vmmouse *m, uint32_t words, struct cpu_registers *cpu)
{
	uint64_t *const to[WORDS] = { &cpu->rax, &cpu->rbx, &cpu->rcx, &cpu->rdx };

	if (!words || words > WORDS || words > m->count || m->failed) {
		guest_error(&m->dev, "%u words are read, %u are there", words, m->count);
		fail_request(m);
		return;
	}
	for (unsigned i = 0; i < words; i++)
		*to[i] = take(m);
}

static bool answer(struct dev *dev, struct cpu_registers *cpu)
{
	struct vmmouse *m = to_vmmouse(dev);
	uint32_t argument = (uint32_t)cpu->rbx;

	switch ((uint16_t)cpu->rcx) {
	case DATA:
		read_data(m, argument, cpu);
		break;
	case STATUS:
		cpu->rax = m->failed ? (uint32_t)FAILED << 16 : m->count;
		break;
	case COMMAND:
		do_request(m, argument);
		break;
	case RESTRICT:
		break;
	default:
		return false;
	}
	return true;
}

static int vmmouse_attach(struct dev *dev, struct err *err)
{
	backdoor_claim(dev, answer);
	return 0;
}

static void vmmouse_reset(struct dev *dev)
{
	struct vmmouse *m = to_vmmouse(dev);

	set_absolute(m, false);
	m->first = m->count = 0;
	m->failed = false;
	m->buttons = 0;
	m->x = m->y = 0;
}

static int vmmouse_restored(struct dev *dev, struct err *err)
{
	set_absolute(to_vmmouse(dev), to_vmmouse(dev)->absolute);
	return 0;
}

const struct dev_class vmmouse_class = {
	.name = "vmmouse",
	.summary = "VMware's mouse (absolute pointer)",
	.size = sizeof(struct vmmouse),
	.fields = vmmouse_fields,
	.attach = vmmouse_attach,
	.reset = vmmouse_reset,
	.restored = vmmouse_restored,
};
