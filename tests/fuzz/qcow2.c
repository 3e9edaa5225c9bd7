/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hostile qcow2 images: opens the input as one, does a little of everything, closes it.
 *
 * With libFuzzer:  clang -fsanitize=fuzzer,address -DLIBFUZZER ... (see tests/fuzz/meson.build for
 * the sources). Without, main() runs over images of its own making, damaged at random in the places
 * that matter; a bounded regression run.
 */
#include "backend/block/qcow2.h"
#include "base/bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { INPUT_MAX = 1 << 20, FILE_MAX = 64 << 20 };

static void use_image(struct image *image)
{
	static uint8_t memory[200 * 1024];
	const uint64_t places[] = { 0, 65024, 4096, image->bytes / 2 & ~511ull,
				    image->bytes > 4096 ? image->bytes - 4096 : 0 };

	for (unsigned i = 0; i < ARRAY_LEN(places); i++) {
		uint64_t at = places[i], room = image->bytes > at ? image->bytes - at : 0;
		size_t most = (size_t)MIN(room, sizeof(memory));

		if (!most)
			continue;
		memset(memory, 'f', most);
		image->driver->read(image->state, at, memory, most);
		image->driver->write(image->state, at, memory, MIN(most, 1536));
		image->driver->discard(image->state, at, most);
		image->driver->write(image->state, at, memory, most);
		image->driver->write_zeroes(image->state, at, most);
		image->driver->flush(image->state);
		image->driver->read(image->state, at, memory, most);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	for (int read_only = 0; read_only < 2; read_only++) {
		struct image_request request = {
			.path = "input", .read_only = read_only, .no_sync = true, .no_backing = true
		};
		int fd = memfd_create("qcow2", MFD_CLOEXEC);
		struct image image;
		struct file file;
		struct err err;

		if (fd < 0 || bytes > INPUT_MAX || write(fd, data, bytes) != (ssize_t)bytes) {
			close(fd);
			return 0;
		}
		file_adopt(&file, fd, "input");
		file.read_only = read_only;
		if (qcow2_open(&image, &file, &request, &err))
			continue;
		use_image(&image);
		image_close(&image);
	}
	return 0;
}

#ifndef LIBFUZZER

static uint64_t seed = 1;

static uint64_t chance(void)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return seed >> 20 ^ seed >> 43;
}

/* A small image with some data, as bytes. */
static size_t make_seed(uint8_t *to, unsigned cluster_bits, unsigned version)
{
	struct qcow2_layout layout = { .bytes = 1 << 20,
				       .cluster_bits = cluster_bits,
				       .version = version };
	struct image_request request = { .path = "seed", .no_sync = true };
	uint8_t memory[4096];
	struct image image;
	struct file file;
	ssize_t bytes;
	int fd = memfd_create("seed", MFD_CLOEXEC), copy = dup(fd);

	memset(memory, 's', sizeof(memory));
	file_adopt(&file, fd, "seed");
	if (qcow2_create(&file, &layout, NULL) || qcow2_open(&image, &file, &request, NULL))
		abort();
	for (unsigned i = 0; i < 12; i++)
		image.driver->write(image.state, i * 70 * 1024, memory, sizeof(memory));
	image.driver->write_zeroes(image.state, 65536, 65536);
	image_close(&image);
	bytes = pread(copy, to, INPUT_MAX, 0);
	close(copy);
	return bytes < 0 ? 0 : (size_t)bytes;
}

/* A number like those images are made of, or one that nobody expects. */
static uint64_t interesting(size_t bytes, unsigned cluster_bits)
{
	uint64_t cluster = chance() % ((bytes >> cluster_bits) + 3) << cluster_bits;

	switch (chance() % 6) {
	case 0:
		return cluster;
	case 1:
		return cluster | QCOW2_COPIED;
	case 2:
		return cluster | QCOW2_PACKED | chance() << 40;
	case 3:
		return cluster | (chance() & 1023) | chance() << 60;
	case 4:
		return chance() & BIT(chance() % 64);
	default:
		return chance() << 32 ^ chance();
	}
}

static void damage(uint8_t *data, size_t bytes, unsigned cluster_bits)
{
	for (unsigned count = 1 + chance() % 4; count--;) {
		size_t at = chance() % 3 ? (chance() % (bytes >> cluster_bits) << cluster_bits) +
						   8 * (chance() % 16)
					 : chance() % 112 & ~3u;

		if (at + 8 > bytes)
			continue;
		if (chance() & 1)
			store_be64(data + at, interesting(bytes, cluster_bits));
		else
			store_be32(data + at, (uint32_t)interesting(bytes, cluster_bits));
	}
}

int main(int argc, char **argv)
{
	unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : 400;
	static uint8_t original[INPUT_MAX], data[INPUT_MAX];

	if (!freopen("/dev/null", "w", stderr)) /* thousands of complaints */
		return 1;
	for (unsigned kind = 0; kind < 4; kind++) {
		static const unsigned bits[] = { 9, 12, 14, 16 };
		size_t bytes = make_seed(original, bits[kind], 3 - kind % 2);

		for (unsigned round = 0; round < rounds; round++) {
			seed = kind * 1000000 + round + 1;
			memcpy(data, original, bytes);
			damage(data, bytes, bits[kind]);
			LLVMFuzzerTestOneInput(data, chance() % 8 ? bytes : chance() % bytes);
		}
	}
	return 0;
}

#endif
