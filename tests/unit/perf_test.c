/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What perf reads: lines of its map, records of its dump. */
#include "host/perf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const uint8_t code[] = { 0x90, 0x0f, 0x0b, 0xc3 };

static void a_map_has_a_line_for_each(void **state)
{
	struct err err = { 0 };
	struct perf *perf = perf_open(true, false, &err);
	unsigned long long address;
	char path[64], line[128], name[64];
	size_t bytes;
	FILE *file;

	assert_non_null(perf);
	perf_add(perf, 0x7f0012345678, code, sizeof(code),
		 "guest 0xffffffff81000000 cpl0 (2 insns)");
	perf_add(perf, 0x7f0012345680, code, 1, "kelvin: enter");
	snprintf(path, sizeof(path), "/tmp/perf-%d.map", getpid());
	file = fopen(path, "r"); /* lines are there at once, not when it is closed */
	assert_non_null(file);
	assert_non_null(fgets(line, sizeof(line), file));
	assert_int_equal(sscanf(line, "%llx %zx %63[^\n]", &address, &bytes, name), 3);
	assert_int_equal(address, 0x7f0012345678);
	assert_int_equal(bytes, sizeof(code));
	assert_string_equal(name, "guest 0xffffffff81000000 cpl0 (2 insns)");
	assert_non_null(fgets(line, sizeof(line), file));
	assert_string_equal(line, "7f0012345680 1 kelvin: enter\n");
	assert_null(fgets(line, sizeof(line), file));
	fclose(file);
	perf_close(perf);
	remove(path);
}

static uint64_t number(const uint8_t *at, unsigned bytes)
{
	uint64_t value = 0;

	memcpy(&value, at, bytes);
	return value;
}

static void a_dump_has_the_code(void **state)
{
	enum { HEADER = 40, RECORD = 56, NAME = 6 };
	struct err err = { 0 };
	char path[64];
	uint8_t dump[HEADER + 2 * (RECORD + NAME + sizeof(code)) + 1], *second;
	struct perf *perf;
	FILE *file;

	snprintf(path, sizeof(path), "jit-%d.dump", getpid());
	perf = perf_open(false, true, &err);
	assert_non_null(perf);
	perf_add(perf, 0x1000, code, sizeof(code), "first");
	perf_add(perf, 0x2000, code, sizeof(code), "other");
	perf_close(perf);
	file = fopen(path, "r");
	assert_non_null(file);
	assert_int_equal(fread(dump, 1, sizeof(dump), file), sizeof(dump) - 1);
	fclose(file);
	remove(path);
	assert_memory_equal(dump, "DTiJ", 4);
	assert_int_equal(number(dump + 4, 4), 1);
	assert_int_equal(number(dump + 8, 4), HEADER);
	assert_int_equal(number(dump + 12, 4), 62);
	assert_int_equal(number(dump + 20, 4), getpid());
	assert_int_equal(number(dump + HEADER, 4), 0);
	assert_int_equal(number(dump + HEADER + 4, 4), RECORD + NAME + sizeof(code));
	second = dump + HEADER + RECORD + NAME + sizeof(code);
	assert_true(number(second + 8, 8) >= number(dump + HEADER + 8, 8));
	assert_int_equal(number(second + 16, 4), getpid());
	assert_int_equal(number(second + 24, 8), 0x2000);
	assert_int_equal(number(second + 32, 8), 0x2000);
	assert_int_equal(number(second + 40, 8), sizeof(code));
	assert_int_equal(number(second + 48, 8), 1);
	assert_string_equal(second + RECORD, "other");
	assert_memory_equal(second + RECORD + NAME, code, sizeof(code));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_map_has_a_line_for_each),
		cmocka_unit_test(a_dump_has_the_code),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
