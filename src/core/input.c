/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keys and pointers on their way to a device: see input.h. */
#include "core/internal.h"

#include <stdlib.h>

struct input { /* one claim; the last one first */
	struct dev *dev;
	const struct input_sink *sink;
	struct input *next;
};

#define E KEY_EXTENDED

static const struct {
	const char *name;
	uint16_t key;
} key_names[] = {
	{ "esc", 0x01 },          { "1", 0x02 },           { "2", 0x03 },
	{ "3", 0x04 },            { "4", 0x05 },           { "5", 0x06 },
	{ "6", 0x07 },            { "7", 0x08 },           { "8", 0x09 },
	{ "9", 0x0a },            { "0", 0x0b },           { "minus", 0x0c },
	{ "equal", 0x0d },        { "backspace", 0x0e },   { "tab", 0x0f },
	{ "q", 0x10 },            { "w", 0x11 },           { "e", 0x12 },
	{ "r", 0x13 },            { "t", 0x14 },           { "y", 0x15 },
	{ "u", 0x16 },            { "i", 0x17 },           { "o", 0x18 },
	{ "p", 0x19 },            { "bracket_left", 0x1a }, { "bracket_right", 0x1b },
	{ "ret", 0x1c },          { "ctrl", 0x1d },        { "a", 0x1e },
	{ "s", 0x1f },            { "d", 0x20 },           { "f", 0x21 },
	{ "g", 0x22 },            { "h", 0x23 },           { "j", 0x24 },
	{ "k", 0x25 },            { "l", 0x26 },           { "semicolon", 0x27 },
	{ "apostrophe", 0x28 },   { "grave_accent", 0x29 }, { "shift", 0x2a },
	{ "backslash", 0x2b },    { "z", 0x2c },           { "x", 0x2d },
	{ "c", 0x2e },            { "v", 0x2f },           { "b", 0x30 },
	{ "n", 0x31 },            { "m", 0x32 },           { "comma", 0x33 },
	{ "dot", 0x34 },          { "slash", 0x35 },       { "shift_r", 0x36 },
	{ "asterisk", 0x37 },     { "kp_multiply", 0x37 }, { "alt", 0x38 },
	{ "spc", 0x39 },          { "caps_lock", 0x3a },   { "f1", 0x3b },
	{ "f2", 0x3c },           { "f3", 0x3d },          { "f4", 0x3e },
	{ "f5", 0x3f },           { "f6", 0x40 },          { "f7", 0x41 },
	{ "f8", 0x42 },           { "f9", 0x43 },          { "f10", 0x44 },
	{ "num_lock", 0x45 },     { "scroll_lock", 0x46 }, { "kp_7", 0x47 },
	{ "kp_8", 0x48 },         { "kp_9", 0x49 },        { "kp_subtract", 0x4a },
	{ "kp_4", 0x4b },         { "kp_5", 0x4c },        { "kp_6", 0x4d },
	{ "kp_add", 0x4e },       { "kp_1", 0x4f },        { "kp_2", 0x50 },
	{ "kp_3", 0x51 },         { "kp_0", 0x52 },        { "kp_decimal", 0x53 },
	{ "sysrq", KEY_PRINT },   { "less", 0x56 },        { "f11", 0x57 },
	{ "f12", 0x58 },          { "kp_equals", 0x59 },   { "katakanahiragana", 0x70 },
	{ "hiragana", 0x77 },     { "ro", 0x73 },          { "henkan", 0x79 },
	{ "muhenkan", 0x7b },     { "yen", 0x7d },         { "kp_comma", 0x7e },
	{ "audioprev", E | 0x10 }, { "audionext", E | 0x19 }, { "kp_enter", E | 0x1c },
	{ "ctrl_r", E | 0x1d },   { "menu", E | 0x1e },    { "audiomute", E | 0x20 },
	{ "calculator", E | 0x21 }, { "audioplay", E | 0x22 }, { "audiostop", E | 0x24 },
	{ "volumedown", E | 0x2e }, { "volumeup", E | 0x30 }, { "kp_divide", E | 0x35 },
	{ "print", KEY_PRINT },   { "alt_r", E | 0x38 },   { "home", E | 0x47 },
	{ "up", E | 0x48 },       { "pgup", E | 0x49 },    { "left", E | 0x4b },
	{ "right", E | 0x4d },    { "end", E | 0x4f },     { "down", E | 0x50 },
	{ "pgdn", E | 0x51 },     { "insert", E | 0x52 },  { "delete", E | 0x53 },
	{ "meta_l", E | 0x5b },   { "meta_r", E | 0x5c },  { "compose", E | 0x5d },
	{ "power", E | 0x5e },    { "sleep", E | 0x5f },   { "wake", E | 0x63 },
	{ "pause", KEY_PAUSE },
};

#undef E

int input_key_by_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(key_names); i++)
		if (!strcmp(key_names[i].name, name))
			return key_names[i].key;
	return -1;
}

void input_claim(struct dev *dev, const struct input_sink *sink)
{
	struct input *input = must_alloc(sizeof(*input));

	*input = (struct input){ .dev = dev, .sink = sink, .next = dev->board->input };
	dev->board->input = input;
}

void input_release_of(struct dev *dev)
{
	struct input **at = &dev->board->input;

	while (*at) {
		struct input *input = *at;

		if (input->dev == dev) {
			*at = input->next;
			free(input);
		} else {
			at = &input->next;
		}
	}
}

void input_nudge(struct dev *dev)
{
	for (struct input *i = dev->board->input; i; i = i->next)
		if (i->dev != dev && i->sink->nudge)
			i->sink->nudge(i->dev);
}

void input_free(struct board *board)
{
	while (board->input)
		input_release_of(board->input->dev);
}

void input_key(struct board *board, unsigned key, bool down)
{
	board_lock(board);
	for (struct input *i = board->input; i; i = i->next) {
		if (i->sink->key) {
			i->sink->key(i->dev, key, down);
			break;
		}
	}
	board_unlock(board);
}

/* The pointer that speaks: the last one claimed, whatever it is. */
static struct input *pointer(struct board *board)
{
	struct input *i = board->input;

	while (i && !i->sink->move && !i->sink->place)
		i = i->next;
	return i;
}

void input_move(struct board *board, int dx, int dy, int dz)
{
	struct input *i;

	board_lock(board);
	i = pointer(board);
	while (i && !i->sink->move)
		i = i->next;
	if (i)
		i->sink->move(i->dev, dx, dy, dz);
	board_unlock(board);
}

void input_place(struct board *board, uint32_t x, uint32_t y)
{
	struct input *i;

	board_lock(board);
	i = pointer(board);
	if (i && i->sink->place)
		i->sink->place(i->dev, MIN(x, 32767u), MIN(y, 32767u));
	board_unlock(board);
}

void input_buttons(struct board *board, unsigned buttons)
{
	struct input *i;

	board_lock(board);
	i = pointer(board);
	while (i && !i->sink->buttons)
		i = i->next;
	if (i)
		i->sink->buttons(i->dev, buttons);
	board_unlock(board);
}

bool input_wants_absolute(struct board *board)
{
	struct input *i;
	bool absolute;

	board_lock(board);
	i = pointer(board);
	absolute = i && i->sink->place;
	board_unlock(board);
	return absolute;
}

struct dev *input_pointer(struct board *board)
{
	struct input *i;

	board_lock(board);
	i = pointer(board);
	board_unlock(board);
	return i ? i->dev : NULL;
}
