/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Raw images: the file is the disk.
 *
 * An image that was only guessed to be raw must not become something else under the next guess: the
 * guest may not write another format's magic number into its first sector.
 */
#include "backend/block/internal.h"
#include "host/log.h"
#include "host/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct raw {
	struct file file;
	bool guessed;
};

static int raw_readv(void *image, uint64_t offset, const struct iovec *iov, unsigned count)
{
	struct raw *raw = image;
	struct cursor cursor = { .iov = iov, .count = count };
	size_t bytes = 0;

	for (unsigned i = 0; i < count; i++)
		bytes += iov[i].iov_len;
	return cursor_read(&cursor, &raw->file, offset, bytes);
}

static int raw_read(void *image, uint64_t offset, void *to, size_t bytes)
{
	struct raw *raw = image;

	return file_read(&raw->file, offset, to, bytes);
}

/* True if this write would make the image look like one of another format. */
static bool changes_format(const struct raw *raw, uint64_t offset, const struct iovec *iov,
			   unsigned count)
{
	struct cursor cursor = { .iov = iov, .count = count };
	uint8_t first[4] = { 0 };

	if (!raw->guessed || offset)
		return false;
	cursor_get(&cursor, first, sizeof(first));
	if (!qcow2_magic(first))
		return false;
	log_line("disk image \"%s\": the guest may not write a qcow2 header into an image whose "
		 "format was guessed; say format=raw",
		 raw->file.name);
	return true;
}

static int raw_writev(void *image, uint64_t offset, const struct iovec *iov, unsigned count)
{
	struct raw *raw = image;
	struct cursor cursor = { .iov = iov, .count = count };
	size_t bytes = 0;

	if (changes_format(raw, offset, iov, count))
		return -EPERM;
	for (unsigned i = 0; i < count; i++)
		bytes += iov[i].iov_len;
	return cursor_write(&cursor, &raw->file, offset, bytes);
}

static int raw_write(void *image, uint64_t offset, const void *from, size_t bytes)
{
	struct iovec iov = { .iov_base = (void *)from, .iov_len = bytes };

	return raw_writev(image, offset, &iov, 1);
}

static int raw_flush(void *image)
{
	return file_sync(&((struct raw *)image)->file);
}

static int raw_discard(void *image, uint64_t offset, uint64_t bytes)
{
	int error = file_punch(&((struct raw *)image)->file, offset, bytes);

	return error == -EOPNOTSUPP ? 0 : error; /* a hint */
}

static int raw_write_zeroes(void *image, uint64_t offset, uint64_t bytes)
{
	static const uint8_t zeroes[64 * 1024];
	struct raw *raw = image;

	/* What is beyond the end reads as zeros already. */
	if (!raw->file.is_device && !file_punch(&raw->file, offset, bytes))
		return 0;
	while (bytes) {
		size_t piece = MIN(bytes, sizeof(zeroes));
		int error = file_write(&raw->file, offset, zeroes, piece);

		if (error)
			return error;
		offset += piece;
		bytes -= piece;
	}
	return 0;
}

static void raw_close(void *image)
{
	struct raw *raw = image;

	file_close(&raw->file);
	free(raw);
}

static const struct block_driver raw_driver = {
	.name = "raw",
	.read = raw_read,
	.write = raw_write,
	.flush = raw_flush,
	.discard = raw_discard,
	.write_zeroes = raw_write_zeroes,
	.readv = raw_readv,
	.writev = raw_writev,
	.close = raw_close,
};

int raw_open(struct image *image, struct file *file, bool guessed, struct err *err)
{
	struct raw *raw = must_alloc(sizeof(*raw));

	(void)err;
	raw->file = *file;
	raw->guessed = guessed;
	*image = (struct image){ &raw_driver, raw, ALIGN_UP(file->bytes, 512) };
	return 0;
}
