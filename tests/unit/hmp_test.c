/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The human monitor: editing, words, expressions, and what it survives. */
#include "manage/disassemble.h"
#include "monitor_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int set_up(void **state)
{
	*state = monitor_rig_new(&hmp_protocol);
	return 0;
}

static int tear_down(void **state)
{
	monitor_rig_free(*state);
	return 0;
}

static void has(const char *text, const char *part)
{
	if (!text || !strstr(text, part))
		fail_msg("\"%s\" is not in: %s", part, text ? text : "nothing");
}

static void it_prompts(void **state)
{
	struct monitor_rig *rig = *state;

	has(rig->said, "type 'help' for more information\r\n(qemu) ");
	has(monitor_rig_say(rig, "info status\r"), "VM status: paused (prelaunch)\r\n(qemu) ");
}

static void carriage_return_and_newline_are_one(void **state)
{
	assert_string_equal(monitor_rig_say(*state, "\r\n"), "\r\n(qemu) ");
	assert_string_equal(monitor_rig_say(*state, "\n"), "\r\n(qemu) ");
}

static void lines_can_be_edited(void **state)
{
	has(monitor_rig_say(*state, "print 1x\b+1\r"), "0x2\r\n");
	has(monitor_rig_say(*state, "rubbish\x15print 3\r"), "0x3\r\n");
	has(monitor_rig_say(*state, "print 4 5\x17\r"), "0x4\r\n");
	has(monitor_rig_say(*state, "nonsense\x03print 5\r"), "0x5\r\n");
}

static void up_brings_the_last_line_back(void **state)
{
	monitor_rig_say(*state, "print 7\r");
	monitor_rig_say(*state, "print 8\r");
	has(monitor_rig_say(*state, "\x1b[A\r"), "0x8\r\n");
	has(monitor_rig_say(*state, "\x1b[A\x1b[A\r"), "0x7\r\n");
	has(monitor_rig_say(*state, "\x1b[A\x1b[B\x1b[B\x1b[Bprint 9\r"), "0x9\r\n");
}

static void expressions_are_computed(void **state)
{
	static const char *const cases[][2] = {
		{ "print (1 + 2) * 3 - -1\r", "0xa\r\n" },
		{ "p /d 0 - 5\r", "-5\r\n" },
		{ "print/u 010\r", "8\r\n" },
		{ "print/c 65\r", "'A'\r\n" },
		{ "print 1 / 0\r", "divides by zero" },
		{ "print $nothing\r", "no such register" },
		{ "print (((((((((((((((((((((((((((((((((((((1\r", "nested too deep" },
		{ "print 1 2\r", "left over" },
		{ "print\r", "wrong number of arguments" },
		{ "x/z 0\r", "has a letter" },
		{ "xp 0\r", "0xffffffff" },
		{ "o/b 70000 1\r", "a port is" },
		{ "info jit\r", "counts nothing" },
	};

	for (unsigned i = 0; i < ARRAY_LEN(cases); i++)
		has(monitor_rig_say(*state, cases[i][0]), cases[i][1]);
	has(monitor_rig_say(*state, "xp/2i 0\r"),
	    can_disassemble() ? "0x00000000:  (bad)\r\n0x00000001:  (bad)\r\n" : "no disassembler");
}

static void mistakes_are_named(void **state)
{
	has(monitor_rig_say(*state, "frobnicate now\r"), "unknown command: 'frobnicate'");
	has(monitor_rig_say(*state, "info frobs\r"), "unknown command: 'info frobs'");
	has(monitor_rig_say(*state, "sendkey frob\r"), "no key \"frob\"");
	has(monitor_rig_say(*state, "eject cd9\r"), "Device 'cd9' not found");
	has(monitor_rig_say(*state, "change vnc password x\r"), "no VNC server");
	has(monitor_rig_say(*state, "screendump\r"), "wrong number of arguments");
	has(monitor_rig_say(*state, "screendump /x/y\r"), "no graphics device");
	has(monitor_rig_say(*state, "loadvm \"/no where/x\"\r"), "\"/no where/x\"");
	has(monitor_rig_say(*state, "a b c d e f g h i j k l m n o p q r s t\r"), "unknown");
	has(monitor_rig_say(*state, "help a b c d e f g h i j k l m n o p q r s t\r"), "wrong number");
}

static void every_subject_answers_without_a_vm(void **state)
{
	static const char *const subjects[] = {
#define INFO(name, id, summary) name,
#include "manage/hmp_info.def"
#undef INFO
	};

	for (unsigned i = 0; i < ARRAY_LEN(subjects); i++) {
		char line[64];

		snprintf(line, sizeof(line), "info %s\r", subjects[i]);
		has(monitor_rig_say(*state, line), "(qemu) ");
	}
}

static void noise_is_survived(void **state)
{
	uint32_t seed = 7;

	for (unsigned round = 0; round < 2000; round++) {
		uint8_t text[40];

		for (unsigned i = 0; i < sizeof(text); i++) {
			seed = seed * 1664525 + 1013904223;
			text[i] = (uint8_t)(seed >> 16) % 3 ? (uint8_t)(seed >> 24) :
							      (uint8_t)"/x$\" \r\x1b[A"[seed >> 28 & 7];
		}
		monitor_rig_send(*state, text, sizeof(text));
	}
	for (unsigned i = 0; i < 5000; i++)
		monitor_rig_say(*state, "x");
	has(monitor_rig_say(*state, "\x03info status\r"), "VM status");
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(it_prompts),
		TEST(carriage_return_and_newline_are_one),
		TEST(lines_can_be_edited),
		TEST(up_brings_the_last_line_back),
		TEST(expressions_are_computed),
		TEST(mistakes_are_named),
		TEST(every_subject_answers_without_a_vm),
		TEST(noise_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
