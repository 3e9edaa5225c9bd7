/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See image_rig.h. */
#include "image_rig.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

char rig_dir[64];
static uint64_t seed = 1;

void rig_seed(uint64_t value)
{
	seed = value;
}

uint64_t rig_random(void)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return seed >> 20 ^ seed >> 43;
}

int rig_setup(void **state)
{
	snprintf(rig_dir, sizeof(rig_dir),
		 "/dev/shm/kelvin-image-XXXXXX"); /* memory: fsync is free */
	if (mkdtemp(rig_dir))
		return 0;
	snprintf(rig_dir, sizeof(rig_dir), "/tmp/kelvin-image-XXXXXX");
	return mkdtemp(rig_dir) ? 0 : -1;
}

int rig_teardown(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", rig_dir);
	return system(command);
}

const char *rig_path(const char *name)
{
	static char paths[4][200];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", rig_dir, name);
	return path;
}

int rig_qemu_img(const char *fmt, ...)
{
	char arguments[400], command[600];
	va_list args;
	int status;

	va_start(args, fmt);
	vsnprintf(arguments, sizeof(arguments), fmt, args);
	va_end(args);
	snprintf(command, sizeof(command), "cd '%s' && qemu-img %s >out 2>&1", rig_dir, arguments);
	status = system(command);
	status = WIFEXITED(status) ? WEXITSTATUS(status) : 126;
	return status == 127 ? -1 : status;
}

bool rig_has_qemu_img(void)
{
	return rig_qemu_img("--version") == 0;
}

void rig_create(const char *name, const struct qcow2_layout *layout)
{
	struct file file;
	struct err err;

	file_adopt(&file, open(rig_path(name), O_RDWR | O_CREAT | O_TRUNC, 0600), name);
	assert_int_equal(qcow2_create(&file, layout, &err), 0);
	file_close(&file);
}

int rig_open(struct image *image, const char *name, const char *format, bool read_only,
	     struct err *err)
{
	struct image_request request = {
		.path = rig_path(name), .format = format, .read_only = read_only, .no_sync = true
	};

	return image_open(image, &request, err);
}

/* Scattered over up to three pieces, as guests do. */
static void transfer(struct image *image, uint64_t offset, uint8_t *memory, size_t bytes,
		     bool is_write)
{
	size_t first = bytes > 1024 ? 512 * (rig_random() % (bytes / 512)) : bytes;
	struct iovec iov[3] = { { memory, first },
				{ memory + first, (bytes - first) / 2 },
				{ memory + first + (bytes - first) / 2,
				  bytes - first - (bytes - first) / 2 } };
	int error = is_write ? image->driver->writev(image->state, offset, iov, 3)
			     : image->driver->readv(image->state, offset, iov, 3);

	assert_int_equal(error, 0);
}

void rig_compare(struct image *image, const struct model *model)
{
	enum { PIECE = 1 << 18 };
	static uint8_t memory[PIECE];

	assert_int_equal(image->bytes, model->bytes);
	for (uint64_t at = 0; at < model->bytes; at += PIECE) {
		size_t bytes = MIN(PIECE, model->bytes - at);

		transfer(image, at, memory, bytes, false);
		assert_memory_equal(memory, model->data + at, bytes);
	}
}

void rig_exercise(struct image *image, struct model *model, unsigned count)
{
	enum { MOST = 1 << 18 };
	static uint8_t memory[MOST];

	while (count--) {
		uint64_t offset = 512 * (rig_random() % (model->bytes / 512));
		uint64_t wish = rig_random() % 4 ? 16384 : MOST;
		uint64_t most = MIN(wish, model->bytes - offset);
		uint64_t bytes = 512 * (1 + rig_random() % (most / 512));
		unsigned what = rig_random() % 16;

		if (what < 7) {
			for (uint64_t i = 0; i < bytes; i += 64)
				memset(memory + i, (int)rig_random(), 64);
			transfer(image, offset, memory, bytes, true);
			memcpy(model->data + offset, memory, bytes);
		} else if (what < 12) {
			transfer(image, offset, memory, bytes, false);
			assert_memory_equal(memory, model->data + offset, bytes);
		} else if (what < 14) {
			assert_int_equal(image->driver->write_zeroes(image->state, offset, bytes),
					 0);
			memset(model->data + offset, 0, bytes);
		} else if (what < 15) { /* afterwards either is right: see what it is */
			assert_int_equal(image->driver->discard(image->state, offset, bytes), 0);
			transfer(image, offset, memory, bytes, false);
			memcpy(model->data + offset, memory, bytes);
		} else {
			assert_int_equal(image->driver->flush(image->state), 0);
		}
	}
}
