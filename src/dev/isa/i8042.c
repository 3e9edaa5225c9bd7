/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * 8042 keyboard controller of a PC, with a PS/2 keyboard and a PS/2 mouse on it.
 *
 * One byte at a time sits in the output buffer; reading it lets the next one in, and the interrupt
 * line of whoever it came from rises with each. Commands to the controller are done at once, so the
 * input buffer is never full.
 *
 * Manual: IBM PS/2 hardware interface technical reference, "Keyboard and auxiliary device
 * controller"; names in [brackets].
 * Not modelled: the test inputs, the password, the key lock.
 */
#include "dev/isa/ps2.h"

#include "core/input.h"

#include <errno.h>

enum { DATA = 0, STATUS = 4 };

enum {
	STATUS_OUTPUT_FULL = 1, STATUS_SYSTEM = 4, STATUS_COMMAND = 8, STATUS_UNLOCKED = 16,
	STATUS_MOUSE = 32,
	CTR_KEYBOARD_IRQ = 1, CTR_MOUSE_IRQ = 2, CTR_SYSTEM = 4, CTR_KEYBOARD_OFF = 16,
	CTR_MOUSE_OFF = 32, CTR_TRANSLATE = 64,
	OUT_NO_RESET = 1, OUT_A20 = 2, OUT_FIXED = 0xcc, OUT_KEYBOARD_FULL = 16, OUT_MOUSE_FULL = 32,
};

enum {
	READ_RAM = 0x20, WRITE_RAM = 0x60, MOUSE_DISABLE = 0xa7, MOUSE_ENABLE = 0xa8,
	MOUSE_TEST = 0xa9, SELF_TEST = 0xaa, KEYBOARD_TEST = 0xab, KEYBOARD_DISABLE = 0xad,
	KEYBOARD_ENABLE = 0xae, READ_INPUT = 0xc0, READ_OUTPUT = 0xd0, WRITE_OUTPUT = 0xd1,
	FAKE_KEYBOARD = 0xd2, FAKE_MOUSE = 0xd3, WRITE_MOUSE = 0xd4, A20_OFF = 0xdd, A20_ON = 0xdf,
	READ_TEST = 0xe0, PULSE = 0xf0,
};

enum source { FROM_NONE, FROM_KEYBOARD, FROM_MOUSE, FROM_CONTROLLER };

struct i8042 {
	struct dev dev;
	uint8_t keyboard_irq, mouse_irq;

	uint8_t ram[32];  /* byte 0 is the command byte, CTR */
	uint8_t command;  /* that waits for its argument at the data port, 0: none */
	uint8_t output, output_from; /* the output buffer, enum source */
	bool last_was_command, system_flag, released;
	struct ps2_queue own; /* answers of the controller itself, raw */
	struct ps2_keyboard keyboard;
	struct ps2_mouse mouse;

	uint64_t keys, moves;
};

#define STATE_STRUCT(T, m, table)                                                          \
	{                                                                                  \
		.name = #m, .offset = offsetof(T, m), .size = sizeof(((T *)0)->m),         \
		.stride = sizeof(((T *)0)->m), .type = FIELD_STRUCTS, .sub = (table),      \
		.role = FIELD_STATE                                                        \
	}

static const struct field queue_fields[] = {
	STATE(struct ps2_queue, bytes),
	STATE(struct ps2_queue, first, .max = PS2_QUEUE - 1),
	STATE(struct ps2_queue, count, .max = PS2_QUEUE),
	{ 0 }
};

static const struct field i8042_fields[] = {
	SETTING_AS("kbd-irq", struct i8042, keyboard_irq, .def = 1, .max = 15,
		   .help = "interrupt line of the keyboard"),
	SETTING_AS("mouse-irq", struct i8042, mouse_irq, .def = 12, .max = 15,
		   .help = "interrupt line of the mouse"),
	STATE(struct i8042, ram),
	STATE(struct i8042, command),
	STATE(struct i8042, output),
	STATE(struct i8042, output_from, .max = FROM_CONTROLLER),
	STATE(struct i8042, last_was_command),
	STATE(struct i8042, system_flag),
	STATE(struct i8042, released),
	STATE_STRUCT(struct i8042, own, queue_fields),
	STATE_STRUCT(struct i8042, keyboard, ps2_keyboard_fields),
	STATE_STRUCT(struct i8042, mouse, ps2_mouse_fields),
	COUNTER(struct i8042, keys, .help = "key events"),
	COUNTER(struct i8042, moves, .help = "pointer events"),
	{ 0 }
};

static struct i8042 *to_i8042(struct dev *dev)
{
	return container_of(dev, struct i8042, dev);
}

/*
 * What the controller makes of set 2 codes when it translates: set 1. Codes that no key of ours has
 * and everything from 0x85 up pass as they are.
 */
static const uint8_t to_set_1[0x85] = {
	[0x76] = 0x01, [0x16] = 0x02, [0x1e] = 0x03, [0x26] = 0x04, [0x25] = 0x05, [0x2e] = 0x06,
	[0x36] = 0x07, [0x3d] = 0x08, [0x3e] = 0x09, [0x46] = 0x0a, [0x45] = 0x0b, [0x4e] = 0x0c,
	[0x55] = 0x0d, [0x66] = 0x0e, [0x0d] = 0x0f, [0x15] = 0x10, [0x1d] = 0x11, [0x24] = 0x12,
	[0x2d] = 0x13, [0x2c] = 0x14, [0x35] = 0x15, [0x3c] = 0x16, [0x43] = 0x17, [0x44] = 0x18,
	[0x4d] = 0x19, [0x54] = 0x1a, [0x5b] = 0x1b, [0x5a] = 0x1c, [0x14] = 0x1d, [0x1c] = 0x1e,
	[0x1b] = 0x1f, [0x23] = 0x20, [0x2b] = 0x21, [0x34] = 0x22, [0x33] = 0x23, [0x3b] = 0x24,
	[0x42] = 0x25, [0x4b] = 0x26, [0x4c] = 0x27, [0x52] = 0x28, [0x0e] = 0x29, [0x12] = 0x2a,
	[0x5d] = 0x2b, [0x1a] = 0x2c, [0x22] = 0x2d, [0x21] = 0x2e, [0x2a] = 0x2f, [0x32] = 0x30,
	[0x31] = 0x31, [0x3a] = 0x32, [0x41] = 0x33, [0x49] = 0x34, [0x4a] = 0x35, [0x59] = 0x36,
	[0x7c] = 0x37, [0x11] = 0x38, [0x29] = 0x39, [0x58] = 0x3a, [0x05] = 0x3b, [0x06] = 0x3c,
	[0x04] = 0x3d, [0x0c] = 0x3e, [0x03] = 0x3f, [0x0b] = 0x40, [0x83] = 0x41, [0x0a] = 0x42,
	[0x01] = 0x43, [0x09] = 0x44, [0x77] = 0x45, [0x7e] = 0x46, [0x6c] = 0x47, [0x75] = 0x48,
	[0x7d] = 0x49, [0x7b] = 0x4a, [0x6b] = 0x4b, [0x73] = 0x4c, [0x74] = 0x4d, [0x79] = 0x4e,
	[0x69] = 0x4f, [0x72] = 0x50, [0x7a] = 0x51, [0x70] = 0x52, [0x71] = 0x53, [0x84] = 0x54,
	[0x60] = 0x55, [0x61] = 0x56, [0x78] = 0x57, [0x07] = 0x58, [0x0f] = 0x59, [0x17] = 0x5a,
	[0x1f] = 0x5b, [0x27] = 0x5c, [0x2f] = 0x5d, [0x37] = 0x5e, [0x3f] = 0x5f, [0x5e] = 0x63,
	[0x13] = 0x70, [0x51] = 0x73, [0x62] = 0x77, [0x64] = 0x79, [0x67] = 0x7b, [0x6a] = 0x7d,
	[0x6d] = 0x7e,
};

static bool translates(const struct i8042 *c)
{
	return c->ram[0] & CTR_TRANSLATE;
}

/* False: the byte was a prefix that the next one swallows. */
static bool translate(struct i8042 *c, uint8_t *byte)
{
	if (!translates(c))
		return true;
	if (*byte == 0xf0) {
		c->released = true;
		return false;
	}
	if (*byte < ARRAY_LEN(to_set_1) && to_set_1[*byte])
		*byte = to_set_1[*byte];
	if (c->released)
		*byte |= 0x80;
	c->released = false;
	return true;
}

static bool next_from_keyboard(struct i8042 *c)
{
	uint8_t byte;

	if (c->ram[0] & CTR_KEYBOARD_OFF)
		return false;
	while (ps2_take(&c->keyboard.queue, &byte)) {
		if (translate(c, &byte)) {
			c->output = byte;
			return true;
		}
	}
	return false;
}

/* Fills the output buffer if it is empty, and drives the lines. */
static void update(struct i8042 *c)
{
	bool is_mouse;

	if (!c->output_from && ps2_take(&c->own, &c->output))
		c->output_from = FROM_CONTROLLER;
	else if (!c->output_from && next_from_keyboard(c))
		c->output_from = FROM_KEYBOARD;
	else if (!c->output_from && !(c->ram[0] & CTR_MOUSE_OFF) &&
		 ps2_take(&c->mouse.queue, &c->output))
		c->output_from = FROM_MOUSE;
	is_mouse = c->output_from == FROM_MOUSE;
	irq_set(&c->dev, c->keyboard_irq,
		c->output_from && !is_mouse && c->ram[0] & CTR_KEYBOARD_IRQ);
	irq_set(&c->dev, c->mouse_irq, is_mouse && c->ram[0] & CTR_MOUSE_IRQ);
}

static uint8_t read_data(struct i8042 *c)
{
	uint8_t byte = c->output;

	if (!c->output_from)
		return byte; /* [Output Buffer] reading it empty gives the last byte again */
	c->output_from = FROM_NONE;
	irq_set(&c->dev, c->keyboard_irq, false); /* so that each byte is an edge */
	irq_set(&c->dev, c->mouse_irq, false);
	ps2_mouse_move(&c->mouse, 0, 0, 0); /* room for what has added up */
	update(c);
	return byte;
}

static uint8_t read_status(const struct i8042 *c)
{
	return (c->output_from ? STATUS_OUTPUT_FULL : 0) |
	       (c->output_from == FROM_MOUSE ? STATUS_MOUSE : 0) |
	       (c->system_flag ? STATUS_SYSTEM : 0) |
	       (c->last_was_command ? STATUS_COMMAND : 0) | STATUS_UNLOCKED;
}

static uint8_t read_out_port(const struct i8042 *c)
{
	uint8_t value = OUT_NO_RESET | OUT_FIXED | (a20_is_on(&c->dev) ? OUT_A20 : 0);

	if (c->output_from == FROM_MOUSE)
		value |= OUT_MOUSE_FULL;
	else if (c->output_from)
		value |= OUT_KEYBOARD_FULL;
	return value;
}

static void write_out_port(struct i8042 *c, uint8_t value)
{
	a20_set(&c->dev, value & OUT_A20);
	if (!(value & OUT_NO_RESET))
		board_request(c->dev.board, BOARD_RESET, 0);
}

static void write_ram(struct i8042 *c, unsigned index, uint8_t value)
{
	c->ram[index] = value;
	if (index == 0)
		c->system_flag = value & CTR_SYSTEM;
}

static void answer(struct i8042 *c, uint8_t byte)
{
	ps2_put(&c->own, byte);
}

static void do_command(struct i8042 *c, uint8_t command)
{
	c->command = 0;
	switch (command) {
	case READ_RAM ... READ_RAM + 31:
		answer(c, c->ram[command & 31]);
		break;
	case WRITE_RAM ... WRITE_RAM + 31:
	case WRITE_OUTPUT ... WRITE_MOUSE:
		c->command = command;
		break;
	case MOUSE_DISABLE:
		c->ram[0] |= CTR_MOUSE_OFF;
		break;
	case MOUSE_ENABLE:
		c->ram[0] &= ~CTR_MOUSE_OFF;
		break;
	case SELF_TEST:
		c->system_flag = true;
		answer(c, 0x55);
		break;
	case MOUSE_TEST:
	case KEYBOARD_TEST:
	case READ_TEST:
		answer(c, 0);
		break;
	case KEYBOARD_DISABLE:
		c->ram[0] |= CTR_KEYBOARD_OFF;
		break;
	case KEYBOARD_ENABLE:
		c->ram[0] &= ~CTR_KEYBOARD_OFF;
		break;
	case READ_INPUT:
		answer(c, 0x80);
		break;
	case READ_OUTPUT:
		answer(c, read_out_port(c));
		break;
	case A20_OFF:
	case A20_ON:
		a20_set(&c->dev, command == A20_ON);
		break;
	case PULSE ... 0xff: /* the low bits that are 0 are pulsed: bit 0 is the CPU's reset */
		if (!(command & 1))
			board_request(c->dev.board, BOARD_RESET, 0);
		break;
	default:
		guest_error(&c->dev, "unknown command %#x", command);
	}
}

static void do_argument(struct i8042 *c, uint8_t value)
{
	uint8_t command = c->command;

	c->command = 0;
	switch (command) {
	case WRITE_RAM ... WRITE_RAM + 31:
		write_ram(c, command & 31, value);
		break;
	case WRITE_OUTPUT:
		write_out_port(c, value);
		break;
	case FAKE_KEYBOARD:
		answer(c, value);
		break;
	case FAKE_MOUSE: /* straight into the output buffer, also while the mouse is off */
		c->output = value;
		c->output_from = FROM_MOUSE;
		break;
	case WRITE_MOUSE:
		c->ram[0] &= ~CTR_MOUSE_OFF; /* [Write Auxiliary Device] enables it */
		ps2_mouse_write(&c->mouse, value);
		break;
	default: /* no command waits: it is the keyboard's */
		c->ram[0] &= ~CTR_KEYBOARD_OFF;
		ps2_keyboard_write(&c->keyboard, value);
	}
}

static uint64_t i8042_read(struct dev *dev, uint64_t offset, unsigned size)
{
	return offset == DATA ? read_data(to_i8042(dev)) : read_status(to_i8042(dev));
}

static uint64_t status_read(struct dev *dev, uint64_t offset, unsigned size)
{
	return read_status(to_i8042(dev));
}

static void data_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	to_i8042(dev)->last_was_command = false;
	do_argument(to_i8042(dev), (uint8_t)value);
	update(to_i8042(dev));
}

static void status_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	to_i8042(dev)->last_was_command = true;
	do_command(to_i8042(dev), (uint8_t)value);
	update(to_i8042(dev));
}

static const struct region data_port = {
	.name = "i8042-data",
	.min_size = 1,
	.max_size = 1,
	.read = i8042_read,
	.write = data_write,
};

static const struct region status_port = {
	.name = "i8042-status",
	.min_size = 1,
	.max_size = 1,
	.read = status_read,
	.write = status_write,
};

static void on_key(struct dev *dev, unsigned key, bool down)
{
	to_i8042(dev)->keys++;
	ps2_keyboard_key(&to_i8042(dev)->keyboard, key, down);
	update(to_i8042(dev));
}

static void on_move(struct dev *dev, int dx, int dy, int dz)
{
	to_i8042(dev)->moves++;
	ps2_mouse_move(&to_i8042(dev)->mouse, dx, dy, dz);
	update(to_i8042(dev));
}

static void on_buttons(struct dev *dev, unsigned buttons)
{
	to_i8042(dev)->moves++;
	ps2_mouse_buttons(&to_i8042(dev)->mouse, buttons);
	update(to_i8042(dev));
}

static void on_nudge(struct dev *dev)
{
	ps2_mouse_nudge(&to_i8042(dev)->mouse);
	update(to_i8042(dev));
}

static const struct input_sink i8042_sink = {
	.key = on_key,
	.move = on_move,
	.buttons = on_buttons,
	.nudge = on_nudge,
};

static int i8042_attach(struct dev *dev, struct err *err)
{
	int code = claim_ports(dev, &data_port, 0x60, 1, err);

	if (!code)
		code = claim_ports(dev, &status_port, 0x64, 1, err);
	if (!code)
		input_claim(dev, &i8042_sink);
	return code;
}

static void i8042_reset(struct dev *dev)
{
	struct i8042 *c = to_i8042(dev);

	memset(c->ram, 0, sizeof(c->ram));
	c->ram[0] = CTR_KEYBOARD_IRQ | CTR_MOUSE_IRQ;
	c->command = c->output = c->output_from = 0;
	c->last_was_command = true;
	c->system_flag = c->released = false;
	c->own.first = c->own.count = 0;
	a20_set(dev, true);
	ps2_keyboard_reset(&c->keyboard);
	ps2_mouse_reset(&c->mouse);
	update(c);
}

static int i8042_restored(struct dev *dev, struct err *err)
{
	const struct i8042 *c = to_i8042(dev);

	if (!ps2_queue_valid(&c->own) || !ps2_queue_valid(&c->keyboard.queue) ||
	    !ps2_queue_valid(&c->mouse.queue))
		return fail(err, ERANGE, "a queue of the keyboard controller is damaged");
	return 0;
}

const struct dev_class i8042_class = {
	.name = "i8042",
	.summary = "keyboard controller with PS/2 keyboard and mouse",
	.size = sizeof(struct i8042),
	.fields = i8042_fields,
	.board_only = true,
	.attach = i8042_attach,
	.reset = i8042_reset,
	.restored = i8042_restored,
};
