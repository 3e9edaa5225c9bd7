/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Linux: bzImage (16-bit header, 32- or 64-bit entry) and ELF vmlinux.
 *
 * A 64-bit bzImage is unpacked here rather than by the guest: what it holds is a vmlinux whose own
 * entry takes the same boot parameters, and unpacking natively saves the guest seconds. Unknown
 * compression falls back to the bzImage's own code. Between resets only the packed bytes are kept.
 *
 * Manual: the kernel's Documentation/arch/x86/boot.rst and zero-page.rst.
 * Not modelled: protocol versions before 2.06 (Linux 2.6.22), the EFI hand-over entry.
 */
#include "machine/boot.h"

#include "base/bytes.h"
#include "machine/layout.h"

#include <errno.h>
#include <stdlib.h>

enum { /* offsets in the boot parameters, and in the file for the header */
	BP_ACPI_RSDP = 0x70, BP_EXT_RAMDISK = 0xc0, BP_E820_COUNT = 0x1e8, BP_HEADER = 0x1f1,
	BP_SETUP_SECTORS = 0x1f1, BP_VGA_MODE = 0x1fa, BP_MAGIC = 0x202, BP_VERSION = 0x206,
	BP_LOADER = 0x210, BP_LOAD_FLAGS = 0x211, BP_CODE32 = 0x214, BP_RAMDISK = 0x218,
	BP_RAMDISK_SIZE = 0x21c, BP_HEAP_END = 0x224, BP_COMMAND_LINE = 0x228,
	BP_RAMDISK_MAX = 0x22c, BP_ALIGNMENT = 0x230, BP_RELOCATABLE = 0x234,
	BP_XLOAD_FLAGS = 0x236, BP_COMMAND_LINE_MAX = 0x238, BP_PAYLOAD = 0x248,
	BP_PAYLOAD_SIZE = 0x24c, BP_PREFERRED = 0x258, BP_INIT_SIZE = 0x260, BP_E820 = 0x2d0,
	BP_BYTES = 4096,
	LOADED_HIGH = 1, CAN_USE_HEAP = 0x80, XLF_KERNEL_64 = 1,
};

struct linux_boot {
	struct boot_image *image;
	const struct pc_options *options;
	uint8_t params[BP_BYTES];
	uint64_t kernel_end; /* nothing of ours may lie below this, from 1 MiB up */
};

static int add_command_line(struct linux_boot *boot, struct err *err)
{
	const char *text = boot->options->append ? boot->options->append : "";
	uint32_t limit = load_le32(boot->params + BP_COMMAND_LINE_MAX);

	if (!limit || limit >= BOOT_COMMAND_LINE_MAX)
		limit = BOOT_COMMAND_LINE_MAX - 1;
	if (strlen(text) > limit)
		return fail(err, E2BIG, "-append is %zu characters long, this kernel takes %u",
			    strlen(text), limit);
	store_le32(boot->params + BP_COMMAND_LINE, BOOT_COMMAND_LINE);
	return boot_add_copy(boot->image, BOOT_COMMAND_LINE, text, strlen(text) + 1, err);
}

static int add_initrd(struct linux_boot *boot, struct err *err)
{
	uint64_t top = low_ram(boot->options->ram_bytes) - ACPI_ROOM;
	uint64_t limit = load_le32(boot->params + BP_RAMDISK_MAX), at;
	struct buffer initrd = { 0 };
	int error;

	if (!boot->options->initrd)
		return 0;
	error = read_file("initrd", boot->options->initrd, top, &initrd, err);
	if (error)
		return error;
	if (limit && limit < top)
		top = limit + 1;
	if (initrd.size + boot->kernel_end > top) {
		buffer_free(&initrd);
		return fail(err, ENOMEM, "the initrd \"%s\" does not fit beside the kernel; give more memory with -m",
			    boot->options->initrd);
	}
	at = ALIGN_DOWN(top - initrd.size, PAGE_BYTES);
	store_le32(boot->params + BP_RAMDISK, at);
	store_le32(boot->params + BP_RAMDISK_SIZE, initrd.size);
	error = boot_add(boot->image, at, &initrd, err);
	buffer_free(&initrd);
	return error;
}

/* 4 GiB one to one in 2 MiB pages, for the 64-bit entry. */
static int add_page_tables(struct linux_boot *boot, struct err *err)
{
	uint64_t *tables = calloc(6, PAGE_BYTES);
	int error;

	if (!tables)
		return fail(err, ENOMEM, "no memory for the boot page tables");
	tables[0] = (BOOT_PAGE_TABLES + PAGE_BYTES) | 3;
	for (unsigned i = 0; i < 4; i++)
		tables[512 + i] = (BOOT_PAGE_TABLES + (2 + i) * PAGE_BYTES) | 3;
	for (uint64_t i = 0; i < 4 * 512; i++)
		tables[1024 + i] = i << 21 | 0x83;
	error = boot_add_copy(boot->image, BOOT_PAGE_TABLES, tables, 6 * PAGE_BYTES, err);
	free(tables);
	return error;
}

static int finish(struct linux_boot *boot, bool is_64bit, struct err *err)
{
	struct e820_entry map[E820_MAX];
	unsigned count = e820_fill(map, boot->options->ram_bytes, true);
	int error;

	boot->params[BP_LOADER] = 0xff; /* no assigned number */
	boot->params[BP_E820_COUNT] = count;
	memcpy(boot->params + BP_E820, map, count * sizeof(map[0]));
	store_le64(boot->params + BP_ACPI_RSDP, BOOT_TABLES);
	store_le16(boot->params + BP_VGA_MODE, 0xffff); /* normal */
	error = add_command_line(boot, err);
	if (!error)
		error = add_initrd(boot, err);
	if (!error && is_64bit)
		error = add_page_tables(boot, err);
	if (!error)
		error = boot_add_copy(boot->image, BOOT_PARAMS, boot->params, BP_BYTES, err);
	boot->image->handoff.esi = BOOT_PARAMS;
	boot->image->handoff.esp = BOOT_STACK;
	boot->image->handoff.cr3 = is_64bit ? BOOT_PAGE_TABLES : 0;
	return error ? error : 1;
}

/* 1 when the payload was a compressed vmlinux and is loaded. */
static int load_unpacked(struct linux_boot *boot, const struct buffer *kernel, size_t setup,
			 struct err *err)
{
	uint64_t offset = setup + (uint64_t)load_le32(kernel->data + BP_PAYLOAD);
	uint64_t size = load_le32(kernel->data + BP_PAYLOAD_SIZE), entry;
	struct buffer vmlinux = { 0 };
	int unpacked, error;

	if (offset > kernel->size || size > kernel->size - offset || size < 8)
		return 0;
	unpacked = unpack(kernel->data + offset, size, low_ram(boot->options->ram_bytes), &vmlinux,
			  NULL);
	if (unpacked <= 0 || !is_elf(vmlinux.data, vmlinux.size)) {
		buffer_free(&vmlinux);
		return 0;
	}
	error = elf_load(boot->image, &vmlinux, boot->options->ram_bytes, &entry, err);
	if (error)
		return error;
	boot->image->elf_size = boot->image->elf.size;
	buffer_add(&boot->image->packed, kernel->data + offset, size);
	boot->image->handoff.entry = entry;
	return 1;
}

static int load_packed(struct linux_boot *boot, const struct buffer *kernel, size_t setup,
		       bool is_64bit, struct err *err)
{
	uint64_t base = load_le32(kernel->data + BP_CODE32);

	if (kernel->data[BP_RELOCATABLE] && load_le64(kernel->data + BP_PREFERRED))
		base = load_le64(kernel->data + BP_PREFERRED);
	if (base < MIB || base + kernel->size > low_ram(boot->options->ram_bytes))
		return fail(err, ENOMEM, "the kernel wants to be at %#llx, past the end of memory; give more with -m",
			    (unsigned long long)base);
	store_le32(boot->params + BP_CODE32, base);
	boot->image->handoff.entry = base + (is_64bit ? 0x200 : 0);
	boot->kernel_end = MAX(boot->kernel_end, base + kernel->size);
	return boot_add_copy(boot->image, base, kernel->data + setup, kernel->size - setup, err);
}

static int load_bzimage(struct linux_boot *boot, const struct buffer *kernel, struct err *err)
{
	unsigned version = load_le16(kernel->data + BP_VERSION);
	size_t setup = (kernel->data[BP_SETUP_SECTORS] ? kernel->data[BP_SETUP_SECTORS] : 4) + 1;
	size_t header_end = 0x202 + kernel->data[0x201];
	bool is_64bit;
	int loaded = 0;

	setup *= 512;
	if (version < 0x206 || !(kernel->data[BP_LOAD_FLAGS] & LOADED_HIGH) ||
	    setup >= kernel->size)
		return fail(err, ENOEXEC,
			    "the kernel \"%s\" is older than Linux 2.6.22 or a zImage, which -kernel cannot start; boot it from a disk with a boot loader",
			    boot->options->kernel);
	is_64bit = version >= 0x20c && load_le16(kernel->data + BP_XLOAD_FLAGS) & XLF_KERNEL_64;
	memcpy(boot->params + BP_HEADER, kernel->data + BP_HEADER,
	       MIN(header_end, (size_t)BP_E820 - 64) - BP_HEADER);
	boot->kernel_end = load_le64(kernel->data + BP_PREFERRED) +
			   (version >= 0x20a ? load_le32(kernel->data + BP_INIT_SIZE) : 0);
	if (is_64bit)
		loaded = load_unpacked(boot, kernel, setup, err);
	if (!loaded)
		loaded = load_packed(boot, kernel, setup, is_64bit, err);
	return loaded < 0 ? loaded : finish(boot, is_64bit, err);
}

static int load_vmlinux(struct linux_boot *boot, const struct buffer *kernel, struct err *err)
{
	int error = elf_load_copy(boot->image, kernel, boot->options->ram_bytes,
				  &boot->image->handoff.entry, err);

	if (error)
		return error;
	for (unsigned i = 0; i < boot->image->pieces; i++)
		boot->kernel_end = MAX(boot->kernel_end, boot->image->piece[i].gpa +
								 boot->image->piece[i].bytes.size);
	store_le16(boot->params + 0x1fe, 0xaa55);
	memcpy(boot->params + BP_MAGIC, "HdrS", 4);
	store_le16(boot->params + BP_VERSION, 0x20c);
	boot->params[BP_LOAD_FLAGS] = LOADED_HIGH;
	return finish(boot, kernel->data[4] == 2, err);
}

int linux_load(struct boot_image *image, const struct buffer *kernel,
	       const struct pc_options *options, struct err *err)
{
	struct linux_boot boot = { .image = image, .options = options };

	if (is_elf(kernel->data, kernel->size))
		return load_vmlinux(&boot, kernel, err);
	if (kernel->size < 0x270 || memcmp(kernel->data + BP_MAGIC, "HdrS", 4))
		return 0;
	return load_bzimage(&boot, kernel, err);
}
