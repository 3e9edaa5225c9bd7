/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* qcow2 against a model in memory and against qemu-img; crashes; damaged and hostile images. */
#include "base/bytes.h"
#include "image_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void model_new(struct model *model, uint64_t bytes)
{
	model->bytes = bytes;
	model->data = calloc(1, bytes);
}

static void write_whole(const char *name, const void *data, size_t bytes)
{
	FILE *file = fopen(rig_path(name), "wb");

	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, bytes, file), bytes);
	fclose(file);
}

/* Exercises an image that holds what the model says, reopens it, and asks qemu-img. */
static void exercise_image(const char *name, struct model *model, unsigned count)
{
	struct image image;
	struct err err;
	int check;

	assert_int_equal(rig_open(&image, name, "qcow2", false, &err), 0);
	rig_compare(&image, model);
	rig_exercise(&image, model, count);
	image_close(&image);
	assert_int_equal(rig_open(&image, name, "qcow2", true, &err), 0);
	rig_compare(&image, model);
	image_close(&image);
	check = rig_qemu_img("check -f qcow2 %s", name);
	if (check < 0)
		return;
	assert_int_equal(check, 0);
	write_whole("model.raw", model->data, model->bytes);
	assert_int_equal(rig_qemu_img("compare -f qcow2 -F raw %s model.raw", name), 0);
}

static void random_requests_agree_with_the_model(void **state)
{
	static const struct {
		uint64_t bytes;
		unsigned cluster_bits, version, count;
	} cases[] = {
		{ 4 << 20, 16, 3, 600 },         { 4 << 20, 16, 2, 400 }, { 3 << 20, 9, 3, 600 },
		{ 12 << 20, 9, 2, 500 }, /* the refcount table grows */
		{ (6 << 20) + 512, 12, 3, 600 }, { 9 << 20, 21, 3, 200 },
	};

	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct qcow2_layout layout = { .bytes = cases[i].bytes,
					       .cluster_bits = cases[i].cluster_bits,
					       .version = cases[i].version };
		struct model model;

		rig_seed(i + 1);
		model_new(&model, layout.bytes);
		rig_create("a.qcow2", &layout);
		exercise_image("a.qcow2", &model, cases[i].count);
		free(model.data);
	}
}

/* A raw image with this much of noise in every other 16 KiB. */
static void noise(const char *name, struct model *model, uint64_t bytes)
{
	model_new(model, bytes);
	for (uint64_t at = 0; at < bytes; at += 512) {
		if (at & 16384)
			memset(model->data + at, (int)rig_random() | 1, 512);
	}
	write_whole(name, model->data, bytes);
}

static void overlays_show_their_backing_file(void **state)
{
	static const unsigned cluster_bits[] = { 9, 16, 18 };

	for (unsigned i = 0; i < 6; i++) {
		struct qcow2_layout layout = { .bytes = 5 << 20,
					       .cluster_bits = cluster_bits[i / 2],
					       .version = 2 + i % 2,
					       .backing = "base.raw",
					       .backing_format = "raw" };
		struct model model;

		rig_seed(i + 77);
		noise("base.raw", &model, (3 << 20) + 1536); /* shorter than the overlay */
		model.data = realloc(model.data, layout.bytes);
		memset(model.data + model.bytes, 0, layout.bytes - model.bytes);
		model.bytes = layout.bytes;
		rig_create("a.qcow2", &layout);
		exercise_image("a.qcow2", &model, 400);
		free(model.data);
	}
}

static void images_of_qemu_img_are_read_and_written(void **state)
{
	static const char *const options[] = {
		"-o compat=0.10",
		"-o lazy_refcounts=on",
		"-o refcount_bits=1",
		"-o refcount_bits=64",
		"-o cluster_size=512,refcount_bits=8",
		"-o preallocation=metadata",
		"-o preallocation=falloc",
		"-c",
		"-c -o compression_type=zstd",
		"-c -o cluster_size=4k,compat=0.10",
	};

	if (!rig_has_qemu_img())
		skip();
	for (unsigned i = 0; i < ARRAY_LEN(options); i++) {
		struct model model;

		rig_seed(i + 500);
		noise("n.raw", &model, 3 << 20);
		assert_int_equal(
			rig_qemu_img("convert -f raw -O qcow2 %s n.raw q.qcow2", options[i]), 0);
		exercise_image("q.qcow2", &model, 300);
		free(model.data);
	}
}

static void dirty_images_are_counted_again(void **state)
{
	struct qcow2_layout layout = { .bytes = 20 << 20, .cluster_bits = 9, .version = 3 };
	uint8_t dirty[8] = { 0 }, zeroes[512] = { 0 }, entry[8];
	struct model model;
	int fd;

	rig_seed(9);
	model_new(&model, layout.bytes);
	rig_create("a.qcow2", &layout);
	exercise_image("a.qcow2", &model, 300);
	/* As somebody with lazy refcounts leaves it: blocks stale, one never linked. */
	fd = open(rig_path("a.qcow2"), O_RDWR);
	dirty[7] = 1;
	assert_int_equal(pwrite(fd, dirty, 8, 72), 8);
	assert_int_equal(pread(fd, entry, 8, 48), 8);
	for (unsigned i = 3; i < 12; i += 4) {
		uint8_t offset[8];
		uint64_t table = load_be64(entry);

		assert_int_equal(pread(fd, offset, 8, (off_t)(table + i * 8)), 8);
		if (i == 3)
			assert_int_equal(pwrite(fd, zeroes, 8, (off_t)(table + i * 8)), 8);
		else if (load_be64(offset))
			assert_int_equal(pwrite(fd, zeroes, 512, (off_t)load_be64(offset)), 512);
	}
	close(fd);
	exercise_image("a.qcow2", &model, 300);
	free(model.data);
}

static void temporary_and_nested_overlays(void **state)
{
	struct qcow2_layout layout = { .bytes = 1 << 20, .cluster_bits = 16, .version = 3 };
	struct model model;
	struct image image;
	struct err err;

	rig_seed(3);
	noise("base.raw", &model, 1 << 20);
	layout.backing = "base.raw";
	layout.backing_format = "raw";
	rig_create("one.qcow2", &layout);
	layout.backing = "one.qcow2";
	layout.backing_format = "qcow2";
	rig_create("two.qcow2", &layout);
	exercise_image("two.qcow2", &model, 100);
	layout.backing_format = NULL; /* a qcow2 backing file must say what it is */
	rig_create("two.qcow2", &layout);
	assert_int_equal(rig_open(&image, "two.qcow2", "qcow2", false, &err), -EINVAL);
	assert_non_null(strstr(err.text, "qemu-img rebase"));
	layout.backing = "loop.qcow2";
	layout.backing_format = "qcow2";
	rig_create("loop.qcow2", &layout);
	assert_int_equal(rig_open(&image, "loop.qcow2", "qcow2", true, &err), -ELOOP);
	assert_int_equal(rig_open(&image, "loop.qcow2", "qcow2", false, &err), -EBUSY);
	free(model.data);
}

/* ---- crashes ---- */

enum { CRASH_SECTORS = 4096, CRASH_ROUNDS = 12 };

/* Writes numbered sectors for ever; reports each number once it was flushed. */
static void crash_victim(int report, unsigned round)
{
	uint32_t number = round * 100000, sector[128];
	struct image image;

	if (rig_open(&image, "crash.qcow2", "qcow2", false, NULL))
		_exit(1);
	rig_seed(round);
	for (;;) {
		for (unsigned i = 0; i < 20; i++, number++) {
			uint64_t at = rig_random() % CRASH_SECTORS;

			for (unsigned w = 0; w < 128; w++)
				sector[w] = (uint32_t)at << 16 ^ number;
			sector[0] = number;
			if (image.driver->write(image.state, at * 512, sector, 512))
				_exit(2);
			if (rig_random() % 16 == 0)
				image.driver->discard(image.state, 0, 65536);
		}
		if (image.driver->flush(image.state))
			_exit(3);
		if (write(report, &number, sizeof(number)) != sizeof(number))
			_exit(4);
	}
}

/* Replays what the victim did up to `number`, and checks the disk holds that or later. */
static void check_after_crash(unsigned round, uint32_t flushed, uint32_t *oldest)
{
	uint32_t number = round * 100000, sector[128];
	struct image image;
	struct err err;

	rig_seed(round);
	while (number < flushed) {
		uint64_t at = rig_random() % CRASH_SECTORS;

		oldest[at] = number++;
		if (rig_random() % 16 == 0)
			memset(oldest, 0, 128 * sizeof(*oldest)); /* 64 KiB: anything, from here */
	}
	assert_int_equal(rig_open(&image, "crash.qcow2", "qcow2", true, &err), 0);
	for (unsigned at = 128; at < CRASH_SECTORS; at++) {
		assert_int_equal(image.driver->read(image.state, at * 512, sector, 512), 0);
		assert_true(sector[0] >= oldest[at]);
		for (unsigned w = 1; w < 128 && sector[0]; w++)
			assert_int_equal(sector[w], at << 16 ^ sector[0]);
	}
	image_close(&image);
}

static void flushed_data_survives_kill(void **state)
{
	struct qcow2_layout layout = { .bytes = CRASH_SECTORS * 512,
				       .cluster_bits = 9,
				       .version = 3 };
	uint32_t *oldest = calloc(CRASH_SECTORS, sizeof(*oldest));

	rig_create("crash.qcow2", &layout);
	for (unsigned round = 1; round <= CRASH_ROUNDS; round++) {
		uint32_t flushed = round * 100000, seen;
		int report[2], check;
		pid_t child;

		assert_int_equal(pipe(report), 0);
		child = fork();
		if (!child)
			crash_victim(report[1], round);
		close(report[1]);
		for (unsigned i = 0; i < 1 + round * 3; i++) {
			if (read(report[0], &seen, sizeof(seen)) == sizeof(seen))
				flushed = seen;
		}
		usleep(round * 137);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		while (read(report[0], &seen, sizeof(seen)) == sizeof(seen))
			flushed = seen;
		close(report[0]);
		assert_true(flushed > round * 100000);
		check_after_crash(round, flushed, oldest);
		check = rig_qemu_img("check -f qcow2 crash.qcow2");
		assert_true(check <= 0 || check == 3); /* 3: clusters were lost, nothing else */
	}
	free(oldest);
}

/* ---- refusals ---- */

static void refused(const char *name, const char *format, bool read_only, int code,
		    const char *says)
{
	struct image image;
	struct err err = { 0 };

	assert_int_equal(rig_open(&image, name, format, read_only, &err), -code);
	assert_int_equal(err.code, code);
	if (!strstr(err.text, says))
		fail_msg("\"%s\" does not say \"%s\"", err.text, says);
}

static void what_cannot_be_opened_says_why(void **state)
{
	struct qcow2_layout layout = { .bytes = 1 << 20, .cluster_bits = 16, .version = 3 };
	struct image image, other;
	struct err err;

	rig_create("a.qcow2", &layout);
	refused("missing.img", "raw", false, ENOENT, "missing.img");
	refused(".", "raw", false, EISDIR, "directory");
	refused(".", "raw", true, EISDIR, "directory");
	refused("a.qcow2", "vmdk", true, ENOTSUP, "qemu-img convert");
	write_whole("tiny", "hello", 5);
	refused("tiny", "qcow2", true, EINVAL, "format=raw");
	assert_int_equal(rig_open(&image, "a.qcow2", "qcow2", false, &err), 0);
	refused("a.qcow2", "qcow2", false, EBUSY, "in use");
	refused("a.qcow2", "raw", true, EBUSY, "in use");
	if (rig_has_qemu_img()) /* the same locks as QEMU's */
		assert_int_equal(rig_qemu_img("info a.qcow2"), 1);
	image_close(&image);
	assert_int_equal(rig_open(&image, "a.qcow2", "qcow2", true, &err), 0);
	assert_int_equal(rig_open(&other, "a.qcow2", "qcow2", true, &err), 0);
	refused("a.qcow2", "qcow2", false, EBUSY, "in use");
	if (rig_has_qemu_img())
		assert_int_equal(rig_qemu_img("info a.qcow2"), 0);
	image_close(&image);
	image_close(&other);
}

static void patch(const char *name, off_t at, uint64_t value, unsigned bytes)
{
	uint8_t big[8];
	int fd = open(rig_path(name), O_RDWR);

	store_be64(big, value << (64 - bytes * 8));
	assert_int_equal(pwrite(fd, big, bytes, at), bytes);
	close(fd);
}

static void damaged_headers_are_refused(void **state)
{
	static const struct {
		off_t at;
		uint64_t value;
		unsigned bytes;
		int code;
	} cases[] = {
		{ 4, 1, 4, ENOTSUP },
		{ 4, 4, 4, ENOTSUP },
		{ 20, 8, 4, EINVAL },
		{ 20, 22, 4, EINVAL },
		{ 24, ~0ull, 8, EINVAL },
		{ 24, BIT(60), 8, EINVAL },
		{ 32, 1, 4, ENOTSUP },
		{ 36, 0, 4, EINVAL },
		{ 36, 0xffffffff, 4, EINVAL },
		{ 40, 0, 8, EINVAL },
		{ 40, 512, 8, EINVAL },
		{ 40, BIT(62), 8, EINVAL },
		{ 40, 0x10000, 8, EINVAL },
		{ 48, 0, 8, EINVAL },
		{ 48, BIT(40), 8, EINVAL },
		{ 56, 0, 4, EINVAL },
		{ 56, 0x1000000, 4, EINVAL },
		{ 60, 1, 4, ENOTSUP },
		{ 72, 2, 8, EINVAL },
		{ 72, 4, 8, ENOTSUP },
		{ 72, 16, 8, ENOTSUP },
		{ 72, BIT(40), 8, ENOTSUP },
		{ 96, 7, 4, EINVAL },
		{ 100, 50, 4, EINVAL },
		{ 0x10000, 0x30000, 8, EINVAL }, /* the refcount block is the L1 table */
		{ 0x30000, BIT(40), 8, EINVAL }, /* L2 behind the end */
		{ 0x30000, 0x10000, 8, EINVAL }, /* L2 is the refcount table */
	};

	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct qcow2_layout layout = { .bytes = 1 << 20, .cluster_bits = 16, .version = 3 };

		rig_create("a.qcow2", &layout);
		patch("a.qcow2", cases[i].at, cases[i].value, cases[i].bytes);
		refused("a.qcow2", "qcow2", false, cases[i].code, "a.qcow2");
	}
}

static void hostile_entries_hurt_nobody(void **state)
{
	static const uint64_t entries[] = {
		QCOW2_COPIED | 0x10000,
		QCOW2_COPIED,
		QCOW2_COPIED | 0x50200,
		QCOW2_OFFSET | QCOW2_COPIED,
		QCOW2_PACKED | 0x3fffffffffffffff,
		QCOW2_PACKED | 0x30000,
		QCOW2_PACKED,
		QCOW2_COPIED | 0x40000, /* the L2 table itself */
	};
	uint8_t memory[4096] = { 1 };

	for (unsigned i = 0; i < ARRAY_LEN(entries); i++) {
		struct qcow2_layout layout = { .bytes = 1 << 20, .cluster_bits = 16, .version = 3 };
		struct image image;
		struct err err;
		int error;

		rig_create("a.qcow2", &layout);
		assert_int_equal(rig_open(&image, "a.qcow2", "qcow2", false, &err), 0);
		assert_int_equal(image.driver->write(image.state, 0, memory, sizeof(memory)), 0);
		image_close(&image);
		patch("a.qcow2", 0x50000, entries[i], 8); /* data is at 0x40000, L2 after it */
		assert_int_equal(rig_open(&image, "a.qcow2", "qcow2", false, &err), 0);
		image.driver->read(image.state, 0, memory, sizeof(memory));
		error = image.driver->write(image.state, 0, memory, sizeof(memory));
		if (entries[i] != QCOW2_COPIED && entries[i] != (QCOW2_COPIED | 0x40000))
			assert_true(error);
		image.driver->discard(image.state, 0, 65536);
		image.driver->write_zeroes(image.state, 65536, 65536);
		image.driver->flush(image.state);
		image_close(&image);
		assert_int_equal(rig_open(&image, "a.qcow2", "qcow2", false, &err), 0);
		image_close(&image);
	}
}

static void guessed_raw_stays_raw(void **state)
{
	uint8_t sector[512] = { 'Q', 'F', 'I', 0xfb };
	static const uint8_t disk[4096];
	struct image image;
	struct err err;

	write_whole("disk.img", disk, sizeof(disk) - 100);
	assert_int_equal(rig_open(&image, "disk.img", NULL, false, &err), 0);
	assert_string_equal(image.driver->name, "raw");
	assert_int_equal(image.bytes, 4096);
	assert_int_equal(image.driver->write(image.state, 0, sector, 512), -EPERM);
	assert_int_equal(image.driver->write(image.state, 3584, sector, 512), 0);
	image_close(&image);
	assert_int_equal(rig_open(&image, "disk.img", "raw", false, &err), 0);
	assert_int_equal(image.driver->write(image.state, 0, sector, 512), 0);
	assert_int_equal(image.driver->write_zeroes(image.state, 512, 2048), 0);
	assert_int_equal(image.driver->read(image.state, 3584, sector, 512), 0);
	assert_int_equal(sector[3], 0xfb);
	image_close(&image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_requests_agree_with_the_model),
		cmocka_unit_test(overlays_show_their_backing_file),
		cmocka_unit_test(images_of_qemu_img_are_read_and_written),
		cmocka_unit_test(dirty_images_are_counted_again),
		cmocka_unit_test(temporary_and_nested_overlays),
		cmocka_unit_test(flushed_data_survives_kill),
		cmocka_unit_test(what_cannot_be_opened_says_why),
		cmocka_unit_test(damaged_headers_are_refused),
		cmocka_unit_test(hostile_entries_hurt_nobody),
		cmocka_unit_test(guessed_raw_stays_raw),
	};

	return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
