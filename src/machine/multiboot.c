/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Multiboot (version 1) kernels: ELF, or a flat image with addresses in the header.
 *
 * Modules come from -initrd "FILE ARGUMENTS,FILE ARGUMENTS". The information structure, command
 * lines and the memory map lie in low memory where Linux's boot parameters would.
 *
 * Manual: Multiboot Specification 0.6.96, section numbers in [brackets].
 * Not modelled: drives, configuration table, APM, video modes (refused when the kernel insists).
 */
#include "machine/boot.h"

#include "base/bytes.h"
#include "machine/layout.h"

#include <errno.h>
#include <stdlib.h>

enum { HEADER_MAGIC = 0x1badb002, LOADER_MAGIC = 0x2badb002, SEARCH_BYTES = 8192,
       UNKNOWN_NEEDS = 0xfff8 /* 1, 2, 4: pages aligned, memory map, video mode (a wish) */,
       HAS_ADDRESSES = 0x10000,
       INFO_MEMORY = 1, INFO_BOOT_DEVICE = 2, INFO_COMMAND_LINE = 4, INFO_MODULES = 8,
       INFO_MAP = 0x40, INFO_LOADER_NAME = 0x200,
       INFO_BYTES = 116, MODULE_BYTES = 16, MAX_MODULES = 32, AREA_BYTES = 0x10000 };

struct multiboot {
	struct boot_image *image;
	const struct pc_options *options;
	struct buffer area; /* at BOOT_PARAMS: information, then all it points to */
	uint64_t top;       /* modules go below this */
	uint8_t module[MAX_MODULES][MODULE_BYTES];
	unsigned modules;
};

/* [3.1.1] the header is within the first 8 KiB, aligned to 4 */
static const uint8_t *find_header(const struct buffer *kernel)
{
	for (size_t at = 0; at + 12 <= kernel->size && at < SEARCH_BYTES; at += 4) {
		const uint8_t *h = kernel->data + at;

		if (load_le32(h) == HEADER_MAGIC &&
		    load_le32(h) + load_le32(h + 4) + load_le32(h + 8) == 0)
			return h;
	}
	return NULL;
}

/* [3.1.3] the address fields: where in the file and in memory the flat image lies */
static int load_flat(struct multiboot *boot, const struct buffer *kernel, const uint8_t *header,
		     struct err *err)
{
	uint32_t at = load_le32(header + 12), load = load_le32(header + 16);
	uint32_t load_end = load_le32(header + 20), bss_end = load_le32(header + 24);
	size_t offset = header - kernel->data, bytes;
	struct buffer flat = { 0 };
	int error;

	if ((size_t)(header - kernel->data) + 32 > kernel->size || load > at ||
	    at - load > offset)
		return fail(err, ENOEXEC, "the multiboot header's load address is not in the file");
	offset -= at - load;
	bytes = kernel->size - offset;
	if (load_end)
		bytes = MIN(bytes, (size_t)(load_end > load ? load_end - load : 0));
	if (load + (uint64_t)bytes > boot->top || bss_end > boot->top)
		return fail(err, ENOMEM, "the multiboot kernel does not fit into guest memory; give more with -m");
	buffer_add(&flat, kernel->data + offset, bytes);
	if (bss_end > load + bytes)
		buffer_add(&flat, NULL, bss_end - load - bytes);
	boot->image->handoff.entry = load_le32(header + 28);
	error = boot_add(boot->image, load, &flat, err);
	buffer_free(&flat);
	return error;
}

static uint32_t add_text(struct multiboot *boot, const char *first, const char *second)
{
	uint32_t at = BOOT_PARAMS + buffer_add_text(&boot->area, first);

	if (second && *second) {
		buffer_add_text(&boot->area, " ");
		buffer_add_text(&boot->area, second);
	}
	buffer_add_number(&boot->area, 0, 1);
	return at;
}

static int add_module(struct multiboot *boot, char *text, struct err *err)
{
	struct buffer bytes = { 0 };
	char *arguments = strchr(text, ' ');
	uint8_t *row = boot->module[boot->modules];
	uint64_t at;
	int error;

	if (boot->modules == MAX_MODULES)
		return fail(err, E2BIG, "-initrd names more than %d modules", MAX_MODULES);
	if (arguments)
		*arguments++ = 0;
	error = read_file("module", text, boot->top, &bytes, err);
	if (error)
		return error;
	at = ALIGN_DOWN(boot->top - bytes.size, PAGE_BYTES);
	store_le32(row, at);
	store_le32(row + 4, at + bytes.size);
	store_le32(row + 8, add_text(boot, text, arguments));
	boot->modules++;
	boot->top = at;
	error = boot_add(boot->image, at, &bytes, err);
	buffer_free(&bytes);
	return error;
}

static int add_modules(struct multiboot *boot, struct err *err)
{
	char *list = boot->options->initrd ? strdup(boot->options->initrd) : NULL, *rest = list;
	int error = 0;

	while (rest && !error)
		error = add_module(boot, strsep(&rest, ","), err);
	free(list);
	return error;
}

/* [3.3] the memory map's entries begin with their size */
static void add_memory_map(struct multiboot *boot)
{
	struct e820_entry map[E820_MAX];
	unsigned count = e820_fill(map, boot->options->ram_bytes, true);
	uint32_t at;

	buffer_align(&boot->area, 8);
	at = boot->area.size;
	for (unsigned i = 0; i < count; i++) {
		buffer_add_number(&boot->area, 20, 4);
		buffer_add(&boot->area, &map[i], 20);
	}
	store_le32(boot->area.data + 44, boot->area.size - at);
	store_le32(boot->area.data + 48, BOOT_PARAMS + at);
}

/*
 * Loaders run on a BIOS, and some kernels go back to real mode to ask it things. There is none here:
 * its data area has the sizes of memory, and every interrupt says "failed" (carry) and returns.
 */
static int add_no_bios(struct boot_image *image, struct err *err)
{
	enum { STUB = 0x500, DATA_AREA = 0x400, EBDA_SEGMENT = 0x9fc0, BYTES = STUB + 16 };
	static const uint8_t stub[] = { 0x55, 0x89, 0xe5, 0x80, 0x4e, 0x06, 0x01, 0x5d, 0xcf };
	uint8_t low[BYTES] = { 0 };

	for (unsigned vector = 0; vector < 256; vector++)
		store_le32(low + 4 * vector, STUB);
	store_le16(low + DATA_AREA + 0x0e, EBDA_SEGMENT);
	store_le16(low + DATA_AREA + 0x13, 639);
	memcpy(low + STUB, stub, sizeof(stub)); /* PUSH BP, MOV BP,SP, OR [BP+6],1, POP BP, IRET */
	return boot_add_copy(image, 0, low, BYTES, err);
}

static int finish(struct multiboot *boot, struct err *err)
{
	uint64_t low = low_ram(boot->options->ram_bytes) - ACPI_ROOM;
	uint32_t flags = INFO_MEMORY | INFO_BOOT_DEVICE | INFO_COMMAND_LINE | INFO_MAP | INFO_LOADER_NAME;
	uint32_t text, loader, modules;

	text = add_text(boot, boot->options->kernel, boot->options->append);
	loader = add_text(boot, "kelvin", NULL);
	buffer_align(&boot->area, 8);
	modules = BOOT_PARAMS + buffer_add(&boot->area, boot->module, boot->modules * MODULE_BYTES);
	add_memory_map(boot);
	if (boot->area.size > AREA_BYTES)
		return fail(err, E2BIG, "the command lines are too long together");
	if (boot->modules) {
		flags |= INFO_MODULES;
		store_le32(boot->area.data + 20, boot->modules);
		store_le32(boot->area.data + 24, modules);
	}
	store_le32(boot->area.data, flags);
	store_le32(boot->area.data + 4, 640);
	store_le32(boot->area.data + 8, (low - MIB) / KIB);
	store_le32(boot->area.data + 12, 0x8000ffff); /* first hard disk */
	store_le32(boot->area.data + 16, text);
	store_le32(boot->area.data + 64, loader);
	boot->image->handoff.eax = LOADER_MAGIC;
	boot->image->handoff.ebx = BOOT_PARAMS;
	boot->image->handoff.esp = BOOT_STACK;
	return boot_add(boot->image, BOOT_PARAMS, &boot->area, err);
}

int multiboot_load(struct boot_image *image, const struct buffer *kernel,
		   const struct pc_options *options, struct err *err)
{
	struct multiboot *boot;
	const uint8_t *header = find_header(kernel);
	uint32_t flags;
	int error;

	if (!header)
		return 0;
	flags = load_le32(header + 4);
	if (flags & UNKNOWN_NEEDS)
		return fail(err, ENOTSUP, "the multiboot kernel insists on something unknown (flags %#x)",
			    flags);
	boot = calloc(1, sizeof(*boot));
	if (!boot)
		return fail(err, ENOMEM, "no memory to load the kernel");
	boot->image = image;
	boot->options = options;
	boot->top = low_ram(options->ram_bytes) - ACPI_ROOM;
	buffer_add(&boot->area, NULL, INFO_BYTES);
	if (flags & HAS_ADDRESSES)
		error = load_flat(boot, kernel, header, err);
	else if (is_elf(kernel->data, kernel->size))
		error = elf_load_copy(image, kernel, options->ram_bytes, &image->handoff.entry,
				      err);
	else
		error = fail(err, ENOEXEC, "the multiboot kernel is neither ELF nor has addresses in its header");
	if (!error)
		error = add_no_bios(image, err);
	if (!error)
		error = add_modules(boot, err);
	if (!error)
		error = finish(boot, err);
	buffer_free(&boot->area);
	free(boot);
	return error ? error : 1;
}
