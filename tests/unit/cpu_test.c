/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Processor models, on the engine: each one builds, and what cannot be had is named. */
#include "core/board.h"
#include "host/kvm.h"
#include "manage/cpu.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int build(const char *model, struct err *err)
{
	struct config config;
	struct kvm *system;
	struct board *board;
	int error;

	config_init(&config);
	*err = (struct err){ 0 };
	config.cpu = model;
	config.cores = 2;
	system = kvm_open_engine(&config.engine, err);
	assert_non_null(system);
	board = board_new(&(struct board_options){ .system = system, .vcpus = 2 }, err);
	if (!board)
		fail_msg("%s", err->text);
	error = cpu_configure(board, system, &config, err);
	board_free(board);
	config_free(&config);
	return error;
}

static void every_model_builds(void **state)
{
	static const char *const models[] = {
		"max", "host",
#define MODEL(name, ...) name,
#include "manage/cpu_models.def"
	};
	struct err err;

	for (unsigned i = 0; i < ARRAY_LEN(models); i++)
		if (build(models[i], &err))
			fail_msg("%s: %s", models[i], err.text);
}

static void features_come_and_go(void **state)
{
	struct err err;

	assert_int_equal(build("max,-avx,-sse4.1,x2apic=off", &err), 0);
	assert_int_equal(build("qemu64,+ssse3,migratable=on", &err), 0);
	assert_int_equal(build("IvyBridge,phys-bits=36,host-phys-bits=off", &err), 0);
}

static void mistakes_are_named(void **state)
{
	struct err err;

	assert_int_not_equal(build("m", &err), 0);
	assert_non_null(strstr(err.text, "\"m\""));
	assert_int_not_equal(build("frob", &err), 0);
	assert_non_null(strstr(err.text, "frob"));
	assert_int_not_equal(build("max,+frob", &err), 0);
	assert_non_null(strstr(err.text, "frob"));
	assert_int_not_equal(build("max,frob", &err), 0);
	assert_int_not_equal(build("max,phys-bits=53", &err), 0);
	assert_non_null(strstr(err.text, "\"53\""));
	assert_int_not_equal(build("", &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_model_builds),
		cmocka_unit_test(features_come_and_go),
		cmocka_unit_test(mistakes_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
