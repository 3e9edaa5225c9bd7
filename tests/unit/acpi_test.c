/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ACPI tables: well formed, and iasl takes each apart and puts it together again. */
#include "machine/acpi.h"

#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { BASE = 0x1000000, RSDP_RSDT = 16, HEADER = 36 };

static const uint8_t *table_at(const struct acpi_tables *acpi, uint32_t gpa)
{
	assert_true(gpa >= BASE && gpa - BASE + 8 <= acpi->tables.size);
	assert_true(load_le32(acpi->tables.data + gpa - BASE + 4) <=
		    acpi->tables.size - (gpa - BASE));
	return acpi->tables.data + gpa - BASE;
}

static uint8_t sum(const uint8_t *bytes, size_t count)
{
	uint8_t total = 0;

	while (count--)
		total += *bytes++;
	return total;
}

static void run(const char *fmt, const char *a, const char *b)
{
	char command[512];

	snprintf(command, sizeof(command), fmt, a, b);
	if (system(command))
		fail_msg("%s", command);
}

static void check(const char *directory, const uint8_t *table)
{
	char path[256], name[5] = "";
	FILE *file;
	uint32_t size = load_le32(table + 4);

	if (memcmp(table, "FACS", 4))
		assert_int_equal(sum(table, size), 0);
	memcpy(name, table, 4);
	snprintf(path, sizeof(path), "%s/%s.aml", directory, name);
	file = fopen(path, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(table, 1, size, file), size);
	fclose(file);
	path[strlen(path) - 4] = 0;
	run("iasl -p %s -d %s.aml >/dev/null 2>&1", path, path);
	run("iasl -p %s.out %s.dsl 2>&1 | grep -q ' 0 Errors'", path, path);
}

static void check_all(const struct pc_options *options)
{
	char directory[] = "/tmp/acpi-XXXXXX";
	struct acpi_tables acpi;
	const uint8_t *rsdt;

	assert_non_null(mkdtemp(directory));
	acpi_build(&acpi, options);
	acpi_place(&acpi, BASE);
	assert_int_equal(sum(acpi.rsdp.data, 20), 0);
	rsdt = table_at(&acpi, load_le32(acpi.rsdp.data + RSDP_RSDT));
	assert_memory_equal(rsdt, "RSDT", 4);
	for (uint32_t at = HEADER; at < load_le32(rsdt + 4); at += 4) {
		const uint8_t *table = table_at(&acpi, load_le32(rsdt + at));

		check(directory, table);
		if (memcmp(table, "FACP", 4))
			continue;
		check(directory, table_at(&acpi, load_le32(table + 36)));
		check(directory, table_at(&acpi, load_le32(table + 40)));
	}
	acpi_free(&acpi);
	run("rm -r %s%s", directory, "");
}

static void iasl_finds_no_error(void **state)
{
	struct pc_options options;

	if (system("iasl -v >/dev/null 2>&1"))
		skip();
	pc_options_init(&options);
	check_all(&options);
	options.vcpus = PC_MAX_VCPUS;
	options.hpet = false;
	options.i8042 = false;
	options.ram_bytes = 6 * GIB;
	check_all(&options);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(iasl_finds_no_error) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
