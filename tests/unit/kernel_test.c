/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Kernel files that lie: every loader refuses them or loads something that lies within memory. And one
 * that is packed: what it holds is there again after it was let go.
 */
#include "base/bytes.h"
#include "machine/boot.h"

#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

enum { RAM = 4 << 20, KERNEL = 0x3000, ROUNDS = 4000 };

static uint32_t seed = 1;

static uint32_t chance(uint32_t below)
{
	seed = seed * 1664525 + 1013904223;
	return (uint32_t)((uint64_t)seed * below >> 32);
}

static void make_elf(uint8_t *k)
{
	Elf64_Ehdr header = { .e_ident = ELFMAG, .e_machine = EM_X86_64, .e_entry = 0x100000,
			      .e_phoff = 64, .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = 2 };
	Elf64_Phdr segment = { .p_type = PT_LOAD, .p_offset = 0x1000, .p_vaddr = 0x100000,
			       .p_paddr = 0x100000, .p_filesz = 0x1000, .p_memsz = 0x2000 };

	header.e_ident[EI_CLASS] = ELFCLASS64;
	memcpy(k, &header, sizeof(header));
	memcpy(k + 64, &segment, sizeof(segment));
	segment.p_paddr = segment.p_vaddr = 0x200000;
	memcpy(k + 64 + sizeof(segment), &segment, sizeof(segment));
}

static void make_bzimage(uint8_t *k)
{
	k[0x1f1] = 4;
	store_le16(k + 0x1fe, 0xaa55);
	memcpy(k + 0x202, "HdrS", 4);
	store_le16(k + 0x206, 0x20f);
	k[0x211] = 1;
	store_le32(k + 0x214, 0x100000);
	store_le32(k + 0x22c, 0x7fffffff);
	k[0x234] = 1;
	store_le16(k + 0x236, 1);
	store_le32(k + 0x238, 2047);
	store_le32(k + 0x248, 0x300);
	store_le32(k + 0x24c, 0x1000);
	store_le64(k + 0x258, 0x100000);
	store_le32(k + 0x260, 0x10000);
	memcpy(k + 0xa00 + 0x300, "\x1f\x8b\x08", 3);
}

static void make_multiboot(uint8_t *k)
{
	const uint32_t header[] = { 0x1badb002, 0x10003, 0u - 0x1badb002 - 0x10003, 0x100000,
				    0x100000, 0x102000, 0x104000, 0x100020 };

	for (unsigned i = 0; i < ARRAY_LEN(header); i++)
		store_le32(k + 4 * i, header[i]);
}

static void load(const struct buffer *kernel, bool must_work)
{
	struct boot_image *image = calloc(1, sizeof(*image));
	struct pc_options options;
	struct err err = { 0 };
	int result;

	pc_options_init(&options);
	options.ram_bytes = RAM;
	options.kernel = "kernel";
	result = multiboot_load(image, kernel, &options, &err);
	if (!result)
		result = linux_load(image, kernel, &options, &err);
	if (must_work && result != 1)
		fail_msg("%d: %s", result, err.text);
	for (unsigned i = 0; i < image->pieces && result == 1; i++) {
		assert_true(image->piece[i].gpa <= RAM);
		assert_true(image->piece[i].bytes.size <= RAM - image->piece[i].gpa);
	}
	if (result < 0)
		assert_true(*err.text);
	boot_free(image);
	free(image);
}

static void lie_about(void (*make)(uint8_t *kernel), unsigned header)
{
	for (unsigned round = 0; round < ROUNDS; round++) {
		uint8_t *bytes = calloc(1, KERNEL);
		struct buffer kernel = { .size = KERNEL };

		make(bytes);
		for (unsigned i = chance(6); round && i--;) {
			unsigned at = chance(header);

			if (chance(2))
				bytes[at] = (uint8_t)chance(256);
			else
				store_le32(bytes + (at & ~3u), chance(3) ? chance(0x8000) : ~chance(16));
		}
		if (round && !chance(4))
			kernel.size = chance(KERNEL);
		kernel.data = malloc(kernel.size + 1); /* so that reading past the end is seen */
		memcpy(kernel.data, bytes, kernel.size);
		load(&kernel, !round);
		buffer_free(&kernel);
		free(bytes);
	}
}

static void lying_elf_files_are_survived(void **state)
{
	lie_about(make_elf, 64 + 2 * sizeof(Elf64_Phdr));
}

static void lying_bzimages_are_survived(void **state)
{
	lie_about(make_bzimage, 0x270);
}

static void lying_multiboot_headers_are_survived(void **state)
{
	lie_about(make_multiboot, 32);
}

/* One segment of it is copied, the other is a part of the file. */
static void pack_elf(uint8_t *k)
{
	static uint8_t elf[KERNEL];
	z_stream z = { .next_in = elf, .avail_in = sizeof(elf), .next_out = k + 0xa00 + 0x300,
		       .avail_out = 0x1000 };

	for (unsigned i = 0; i < KERNEL; i++)
		elf[i] = (uint8_t)(i / 7);
	make_elf(elf);
	store_le64(elf + 64 + sizeof(Elf64_Phdr) + offsetof(Elf64_Phdr, p_memsz), 0x1000);
	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, 0), Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
}

static uint64_t sum_of(struct boot_image *image)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < image->pieces; i++) {
		const uint8_t *bytes = boot_piece_bytes(image, &image->piece[i]);

		for (size_t at = 0; at < image->piece[i].bytes.size; at++)
			sum = sum * 31 + bytes[at];
	}
	return sum;
}

static void a_packed_kernel_is_there_again_when_wanted(void **state)
{
	uint8_t bytes[KERNEL] = { 0 };
	struct buffer kernel = { .data = bytes, .size = KERNEL };
	struct boot_image *image = calloc(1, sizeof(*image));
	struct pc_options options;
	struct err err = { 0 };
	uint64_t sum;

	pc_options_init(&options);
	options.ram_bytes = RAM;
	make_bzimage(bytes);
	pack_elf(bytes);
	assert_int_equal(linux_load(image, &kernel, &options, &err), 1);
	assert_true(image->packed.size > 0);
	sum = sum_of(image);
	for (unsigned round = 0; round < 3; round++) {
		boot_let_go(image);
		assert_null(image->elf.data);
		assert_true(sum_of(image) == sum);
	}
	boot_free(image);
	free(image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lying_elf_files_are_survived),
		cmocka_unit_test(lying_bzimages_are_survived),
		cmocka_unit_test(lying_multiboot_headers_are_survived),
		cmocka_unit_test(a_packed_kernel_is_there_again_when_wanted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
