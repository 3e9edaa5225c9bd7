/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keyboard controller, keyboard and mouse: protocol, scan code sets, hostile queues. */
#include "core/input.h"
#include "core/internal.h"
#include "dev/all.h"
#include "rig.h"

#include <stdio.h>

static struct rig *make(void)
{
	return rig_new(&i8042_class, "");
}

static void command(struct rig *rig, uint8_t byte)
{
	rig_out(rig, 0x64, 1, byte);
}

static void data(struct rig *rig, uint8_t byte)
{
	rig_out(rig, 0x60, 1, byte);
}

static uint8_t next(struct rig *rig)
{
	CHECK(rig_in(rig, 0x64, 1) & 1);
	return (uint8_t)rig_in(rig, 0x60, 1);
}

static void nothing_left(struct rig *rig)
{
	CHECK_EQ(rig_in(rig, 0x64, 1) & 1, 0);
}

static void set_ctr(struct rig *rig, uint8_t value)
{
	command(rig, 0x60);
	data(rig, value);
}

static void self_test_and_reset_answer(void)
{
	struct rig *rig = make();

	command(rig, 0xaa);
	CHECK_EQ(next(rig), 0x55);
	command(rig, 0xab);
	CHECK_EQ(next(rig), 0);
	data(rig, 0xff);
	CHECK_EQ(next(rig), 0xfa);
	CHECK_EQ(next(rig), 0xaa);
	data(rig, 0xf2);
	CHECK_EQ(next(rig), 0xfa);
	CHECK_EQ(next(rig), 0xab);
	CHECK_EQ(next(rig), 0x83);
	nothing_left(rig);
	rig_free(rig);
}

static void translated_keys_are_set_1(void)
{
	struct rig *rig = make();
	unsigned edges = rig_irq_edges(rig, 1);

	set_ctr(rig, 0x41);
	input_key(rig_board(rig), (unsigned)input_key_by_name("a"), true);
	CHECK(rig_irq(rig, 1));
	CHECK_EQ(next(rig), 0x1e);
	input_key(rig_board(rig), (unsigned)input_key_by_name("a"), false);
	CHECK_EQ(next(rig), 0x9e);
	CHECK_EQ(rig_irq_edges(rig, 1), edges + 2);
	input_key(rig_board(rig), (unsigned)input_key_by_name("right"), true);
	CHECK_EQ(next(rig), 0xe0);
	CHECK_EQ(next(rig), 0x4d);
	input_key(rig_board(rig), KEY_PAUSE, true);
	CHECK_EQ(next(rig), 0xe1);
	CHECK_EQ(next(rig), 0x1d);
	CHECK_EQ(next(rig), 0x45);
	CHECK_EQ(next(rig), 0xe1);
	CHECK_EQ(next(rig), 0x9d);
	CHECK_EQ(next(rig), 0xc5);
	nothing_left(rig);
	rig_free(rig);
}

/* Every key: what set 2 says, translated, is what set 1 says. */
static void every_key_translates_to_its_set_1_code(void)
{
	struct rig *rig = make();

	set_ctr(rig, 0x41);
	for (unsigned key = 1; key < 0x60; key++) {
		input_key(rig_board(rig), key, false);
		CHECK_EQ(next(rig), key | 0x80);
		nothing_left(rig);
	}
	rig_free(rig);
}

static void untranslated_keys_follow_the_chosen_set(void)
{
	struct rig *rig = make();

	set_ctr(rig, 0x01);
	input_key(rig_board(rig), 0x1e, false);
	CHECK_EQ(next(rig), 0xf0);
	CHECK_EQ(next(rig), 0x1c);
	data(rig, 0xf0);
	CHECK_EQ(next(rig), 0xfa);
	data(rig, 3);
	CHECK_EQ(next(rig), 0xfa);
	input_key(rig_board(rig), KEY_EXTENDED | 0x1d, true);
	CHECK_EQ(next(rig), 0x58);
	data(rig, 0xf0);
	CHECK_EQ(next(rig), 0xfa);
	data(rig, 0);
	CHECK_EQ(next(rig), 0xfa);
	CHECK_EQ(next(rig), 3);
	rig_free(rig);
}

static void mouse(struct rig *rig, uint8_t byte)
{
	command(rig, 0xd4);
	data(rig, byte);
	CHECK_EQ(rig_in(rig, 0x64, 1) & 0x21, 0x21);
	CHECK_EQ(next(rig), 0xfa);
}

static void the_knock_unlocks_the_wheel(void)
{
	static const uint8_t rates[] = { 200, 100, 80 };
	struct rig *rig = make();

	set_ctr(rig, 0x03);
	for (unsigned i = 0; i < 3; i++) {
		mouse(rig, 0xf3);
		mouse(rig, rates[i]);
	}
	mouse(rig, 0xf2);
	CHECK_EQ(next(rig), 3);
	mouse(rig, 0xf4);
	input_move(rig_board(rig), 5, 7, -1);
	CHECK(rig_irq(rig, 12));
	CHECK_EQ(next(rig), 0x28);
	CHECK_EQ(next(rig), 5);
	CHECK_EQ(next(rig), 0xf9); /* down is negative on the wire */
	CHECK_EQ(next(rig), 0xff);
	input_buttons(rig_board(rig), BUTTON_RIGHT);
	CHECK_EQ(next(rig), 0x0a);
	rig_free(rig);
}

static void far_moves_go_out_in_pieces(void)
{
	struct rig *rig = make();
	int x = 0;

	mouse(rig, 0xf4);
	input_move(rig_board(rig), 3000, 0, 0);
	while (rig_in(rig, 0x64, 1) & 1) {
		uint8_t head = next(rig), dx = next(rig);

		x += dx - (head & 0x10 ? 256 : 0);
		CHECK_EQ(next(rig), 0);
	}
	CHECK_EQ(x, 3000);
	rig_free(rig);
}

static void reset_lines_reset_the_board(void)
{
	struct rig *rig = make();

	command(rig, 0xfe);
	CHECK_EQ(rig_requests(rig, BOARD_RESET), 1);
	command(rig, 0xd1);
	data(rig, 0xfe);
	CHECK_EQ(rig_requests(rig, BOARD_RESET), 2);
	rig_free(rig);
}

static void the_output_port_has_the_a20_gate(void)
{
	struct rig *rig = make();

	command(rig, 0xdd);
	CHECK(!board_a20(rig_board(rig)));
	command(rig, 0xd0);
	CHECK_EQ(rig_in(rig, 0x60, 1) & 3, 1);
	command(rig, 0xdf);
	CHECK(board_a20(rig_board(rig)));
	command(rig, 0xd1);
	data(rig, 0xdd);
	CHECK(!board_a20(rig_board(rig)));
	rig_reset(rig);
	CHECK(board_a20(rig_board(rig)));
	rig_free(rig);
}

static uint32_t backdoor(struct rig *rig, uint16_t command, uint32_t argument,
			 struct cpu_registers *cpu)
{
	*cpu = (struct cpu_registers){ .rax = 0x564d5868, .rbx = argument, .rcx = command };
	CHECK(backdoor_ask(rig_board(rig), cpu));
	return (uint32_t)cpu->rax;
}

/* What Linux's driver does. */
static void vmmouse_places_the_pointer(void)
{
	struct rig *rig = make();
	struct board *board = rig_board(rig);
	struct cpu_registers cpu;

	rig_add(rig, &vmmouse_class, NULL, "");
	command(rig, 0xd4);
	data(rig, 0xf4);
	CHECK_EQ(next(rig), 0xfa);
	CHECK(!input_wants_absolute(board));
	backdoor(rig, 41, 0x45414552, &cpu);
	CHECK_EQ(backdoor(rig, 40, 0, &cpu), 1);
	CHECK_EQ(backdoor(rig, 39, 1, &cpu), 0x3442554a);
	backdoor(rig, 41, 0x53424152, &cpu);
	CHECK(input_wants_absolute(board));
	input_place(board, 16384, 32767);
	CHECK_EQ(next(rig), 8); /* the PS/2 mouse calls */
	CHECK_EQ(next(rig), 0);
	CHECK_EQ(next(rig), 0);
	input_buttons(board, BUTTON_RIGHT);
	input_move(board, 0, 0, -1);
	CHECK_EQ(backdoor(rig, 40, 0, &cpu), 12);
	CHECK_EQ(backdoor(rig, 39, 4, &cpu), 0);
	CHECK_EQ(cpu.rbx, 32768);
	CHECK_EQ(cpu.rcx, 65534);
	CHECK_EQ(backdoor(rig, 39, 4, &cpu), 0x10);
	backdoor(rig, 39, 4, &cpu);
	CHECK_EQ((uint32_t)cpu.rdx, UINT32_MAX);
	for (unsigned i = 0; i < 1000; i++)
		input_place(board, i, i);
	CHECK_EQ(backdoor(rig, 40, 0, &cpu), 256);
	backdoor(rig, 39, 5, &cpu); /* more than registers hold */
	CHECK_EQ(backdoor(rig, 40, 0, &cpu), 0xffff0000);
	rig_reset(rig);
	CHECK(!input_wants_absolute(board));
	rig_free(rig);
}

/* CVE-2017-16845: indices of the queues from a snapshot. */
static void damaged_queues_are_refused(void)
{
	static uint8_t state[65536];
	struct rig *rig = make();
	unsigned refused = 0;
	size_t size = dev_save(rig_dev(rig), state, sizeof(state));

	for (size_t i = 0; i + 12 < size; i++) {
		if (memcmp(state + i, "\5first", 6) && memcmp(state + i, "\5count", 6))
			continue;
		uint8_t was = state[i + 10];

		state[i + 10] = 0xf0;
		refused += dev_load(rig_dev(rig), state, size, NULL) != 0;
		state[i + 10] = was;
	}
	CHECK_EQ(refused, 6);
	CHECK_EQ(dev_load(rig_dev(rig), state, size, NULL), 0);
	rig_free(rig);
}

int main(void)
{
	self_test_and_reset_answer();
	translated_keys_are_set_1();
	every_key_translates_to_its_set_1_code();
	untranslated_keys_follow_the_chosen_set();
	the_knock_unlocks_the_wheel();
	far_moves_go_out_in_pieces();
	reset_lines_reset_the_board();
	the_output_port_has_the_a20_gate();
	vmmouse_places_the_pointer();
	damaged_queues_are_refused();
	puts("i8042: ok");
	return 0;
}
