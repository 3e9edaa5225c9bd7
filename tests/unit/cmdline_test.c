/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Option strings and the command line: right ones are understood, wrong ones named. */
#include "core/options.h"
#include "manage/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ARGUMENTS = 8 };

static int parse(struct config *config, const char *const *argv, struct err *err)
{
	int argc = 0;

	*err = (struct err){ 0 };
	while (argc < ARGUMENTS && argv[argc])
		argc++;
	config_init(config);
	return cmdline_parse(config, argc, (char **)argv, err);
}

static void pairs_are_taken_apart(void **state)
{
	struct options o;
	const char *rest;

	assert_int_equal(options_parse(&o, "-x", "user,id=a,,b,readonly,nowait,n=3", "type", NULL), 0);
	assert_string_equal(options_get(&o, "type"), "user");
	assert_string_equal(options_get(&o, "id"), "a,b");
	assert_string_equal(options_get(&o, "readonly"), "on");
	rest = options_rest(&o);
	assert_string_equal(rest, "wait=off,n=3");
	free((char *)rest);
	assert_int_not_equal(options_check(&o, NULL), 0);
	options_free(&o);
}

static void sizes_have_suffixes(void **state)
{
	uint64_t value;

	assert_int_equal(parse_size("512", 1 << 20, &value), 0);
	assert_int_equal(value, 512u << 20);
	assert_int_equal(parse_size("1.5G", 1, &value), 0);
	assert_int_equal(value, 3ull << 29);
	assert_int_not_equal(parse_size("-1", 1, &value), 0);
	assert_int_not_equal(parse_size("1Q", 1, &value), 0);
	assert_int_not_equal(parse_size("", 1, &value), 0);
	assert_int_not_equal(parse_size("9e99", 1, &value), 0);
	assert_int_not_equal(parse_size("1GG", 1, &value), 0);
}

static void wrong_lines_are_named(void **state)
{
	static const struct {
		const char *argv[ARGUMENTS], *named;
	} cases[] = {
		{ { "-frob" }, "-frob" },
		{ { "-m" }, "-m" },
		{ { "-m", "x" }, "\"x\"" },
		{ { "-m", "0" }, "-m \"0\"" },
		{ { "-m", "1.00001M" }, "whole pages" },
		{ { "-m", "64,frob=1" }, "frob" },
		{ { "-smp", "99" }, "99" },
		{ { "-smp", "0" }, "cpus" },
		{ { "-smp", "-1" }, "-1" },
		{ { "-smp", "4,sockets=3,cores=1,threads=1" }, "sockets" },
		{ { "-machine", "q35" }, "q35" },
		{ { "-machine", "pc,frob=on" }, "frob" },
		{ { "-machine", "pc,hpet=maybe" }, "hpet" },
		{ { "-machine", "pc,kernel_irqchip=off" }, "kernel-irqchip=off" },
		{ { "-accel", "kvm,translator=x" }, "translator" },
		{ { "-accel", "soft,perfmap=x" }, "perfmap" },
		{ { "-uuid", "1234" }, "1234" },
		{ { "-uuid", "550e8400-e29b-41d4-a716-44665544000g" }, "-uuid" },
		{ { "-uuid", "550e8400-e29b-41d4-a716-4466554400001" }, "-uuid" },
		{ { "-boot", "x" }, "\"x\"" },
		{ { "-boot", "once=z" }, "\"z\"" },
		{ { "-boot", "menu=perhaps" }, "menu" },
		{ { "-rtc", "base=utc,frob=1" }, "frob" },
		{ { "-global", "frob" }, "frob" },
		{ { "-watchdog-action", "explode" }, "explode" },
		{ { "-action", "reboot=explode" }, "explode" },
		{ { "-action", "frob=x" }, "frob" },
		{ { "-net", "tap" }, "tap" },
		{ { "-net", "nice" }, "nice" },
		{ { "-vga", "cirrus" }, "cirrus" },
		{ { "-display", "gtk" }, "gtk" },
		{ { "-d", "everything" }, "everything" },
		{ { "-object", "frob,id=x" }, "frob" },
		{ { "-object", "rng-random" }, "id=" },
		{ { "-append", "x" }, "-kernel" },
		{ { "-initrd", "x" }, "-kernel" },
		{ { "-name", "a,frob=1" }, "frob" },
		{ { "-daemonize", "-serial", "stdio" }, "stdio" },
		{ { "-daemonize", "-nographic" }, "-nographic" },
	};

	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct config config;
		struct err err;

		if (!parse(&config, cases[i].argv, &err))
			fail_msg("%s %s was taken", cases[i].argv[0],
				 cases[i].argv[1] ? cases[i].argv[1] : "");
		if (!strstr(err.text, cases[i].named) || strchr(err.text, '\n'))
			fail_msg("\"%s\" does not name \"%s\"", err.text, cases[i].named);
		config_free(&config);
	}
}

static void right_lines_are_understood(void **state)
{
	static const char *const argv[][ARGUMENTS] = {
		{ "-m", "2G", "-smp", "4,sockets=1,cores=2,threads=2" },
		{ "-name", "guest=box,debug-threads=on" },
		{ "-boot", "order=cd,once=d,menu=on" },
		{ "-uuid", "550e8400-e29b-41d4-a716-446655440000" },
		{ "-net", "nic,model=e1000", "-net", "user,hostfwd=tcp::22-:22" },
		{ "-d", "int,unimp", "-d", "in_asm,out_asm,exec,mmu" },
		{ "disk,with,commas.img" },
		{ "-daemonize", "-nographic", "-nodefaults" },
		{ "-accel", "soft,perfmap=on" },
		{ "-jitdump" },
	};
	struct config c[ARRAY_LEN(argv)];
	struct err err;

	for (unsigned i = 0; i < ARRAY_LEN(argv); i++)
		if (parse(&c[i], argv[i], &err))
			fail_msg("%s: %s", argv[i][0], err.text);
	assert_int_equal(c[0].pc.ram_bytes, 2ull << 30);
	assert_int_equal(c[0].pc.vcpus, 4);
	assert_int_equal(c[0].threads, 2);
	assert_string_equal(c[1].pc.name, "box");
	assert_string_equal(c[2].pc.boot_order, "d");
	assert_string_equal(c[2].boot_later, "cd");
	assert_true(c[2].pc.boot_menu);
	assert_int_equal(c[3].pc.uuid[15], 0);
	assert_int_equal(c[3].pc.uuid[0], 0x55);
	assert_string_equal(c[4].nics.list[0], "user,model=e1000,hostfwd=tcp::22-:22");
	assert_int_equal(c[5].engine.log, VM_LOG_INT | VM_LOG_UNIMPLEMENTED | VM_LOG_IN_ASM |
						  VM_LOG_OUT_ASM | VM_LOG_EXEC | VM_LOG_MMU);
	assert_non_null(strstr(c[6].drives.list[0], "disk,,with,,commas.img"));
	assert_true(c[8].perf_map && !c[8].jit_dump);
	assert_true(c[9].jit_dump && !c[9].perf_map);
	for (unsigned i = 0; i < ARRAY_LEN(argv); i++)
		config_free(&c[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pairs_are_taken_apart),
		cmocka_unit_test(sizes_have_suffixes),
		cmocka_unit_test(wrong_lines_are_named),
		cmocka_unit_test(right_lines_are_understood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
