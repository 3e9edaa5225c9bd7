/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kernel loader: see boot.h.
 *
 * Also does what firmware would have done for the kernel: gives PCI devices addresses, routes their
 * interrupts and turns the PIIX4's power-management ports on. After suspend to RAM it leaves memory
 * alone and goes where the OS said in the FACS.
 */
#include "machine/boot.h"

#include "base/bytes.h"
#include "core/pci.h"
#include "machine/layout.h"
#include "machine/smbios.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define ROM_PAGE 0xfffff000u
enum { RESET_VECTOR = 0xff0 /* in that page */ };

unsigned e820_fill(struct e820_entry *t, uint64_t ram_bytes, bool direct)
{
	uint64_t low = low_ram(ram_bytes), acpi = direct ? ACPI_ROOM : 0;
	unsigned n = 0;

	t[n++] = (struct e820_entry){ 0, BOOT_EBDA, E820_RAM };
	t[n++] = (struct e820_entry){ BOOT_EBDA, VGA_HOLE_BASE - BOOT_EBDA, E820_RESERVED };
	t[n++] = (struct e820_entry){ 0xf0000, 0x10000, E820_RESERVED };
	t[n++] = (struct e820_entry){ MIB, low - acpi - MIB, E820_RAM };
	if (acpi)
		t[n++] = (struct e820_entry){ low - acpi, acpi, E820_ACPI };
	t[n++] = (struct e820_entry){ 0xfffc0000, 0x40000, E820_RESERVED };
	if (high_ram(ram_bytes))
		t[n++] = (struct e820_entry){ HIGH_RAM_BASE, high_ram(ram_bytes), E820_RAM };
	return n;
}

static int add_piece(struct boot_image *image, struct boot_piece piece, struct err *err)
{
	uint64_t gpa = piece.gpa;

	if (image->pieces == BOOT_PIECES)
		return fail(err, E2BIG, "the kernel has more than %d separate parts", BOOT_PIECES);
	for (unsigned i = 0; i < image->pieces; i++) {
		const struct boot_piece *p = &image->piece[i];

		if (gpa < p->gpa + p->bytes.size && p->gpa < gpa + piece.bytes.size)
			return fail(err, EINVAL,
				    "the kernel's part at %#llx lies over the one at %#llx",
				    (unsigned long long)gpa, (unsigned long long)p->gpa);
	}
	image->piece[image->pieces++] = piece;
	return 0;
}

int boot_add(struct boot_image *image, uint64_t gpa, struct buffer *bytes, struct err *err)
{
	int error = add_piece(image, (struct boot_piece){ .gpa = gpa, .bytes = *bytes }, err);

	if (!error)
		*bytes = (struct buffer){ 0 };
	return error;
}

int boot_add_part(struct boot_image *image, uint64_t gpa, size_t offset, size_t size,
		  struct err *err)
{
	struct boot_piece part = { .gpa = gpa, .bytes.size = size, .is_part = true, .offset = offset };

	return add_piece(image, part, err);
}

int boot_add_copy(struct boot_image *image, uint64_t gpa, const void *bytes, size_t size,
		  struct err *err)
{
	struct buffer copy = { 0 };
	int error;

	buffer_add(&copy, bytes, size);
	error = boot_add(image, gpa, &copy, err);
	buffer_free(&copy);
	return error;
}

void boot_free(struct boot_image *image)
{
	for (unsigned i = 0; i < image->pieces; i++)
		if (!image->piece[i].is_part)
			buffer_free(&image->piece[i].bytes);
	buffer_free(&image->elf);
	buffer_free(&image->packed);
	image->pieces = 0;
}

/* It could be unpacked before, so all that can be missing is memory. */
static void unpack_again(struct boot_image *image)
{
	buffer_add_room(&image->elf, image->elf_size + UNPACK_ROOM);
	image->elf.size = 0;
	if (unpack(image->packed.data, image->packed.size, image->elf_size, &image->elf, NULL) > 0 &&
	    image->elf.size == image->elf_size)
		return;
	fputs("kelvin: out of memory while unpacking the kernel again\n", stderr);
	abort();
}

const uint8_t *boot_piece_bytes(struct boot_image *image, const struct boot_piece *piece)
{
	if (!piece->is_part)
		return piece->bytes.data;
	if (!image->elf.data)
		unpack_again(image);
	return image->elf.data + piece->offset;
}

void boot_let_go(struct boot_image *image)
{
	if (image->packed.size)
		buffer_free(&image->elf);
}

int read_file(const char *what, const char *path, uint64_t limit, struct buffer *out,
	      struct err *err)
{
	FILE *file = fopen(path, "rb");
	size_t got = 1;

	if (!file)
		return fail(err, errno, "cannot open the %s \"%s\": %s", what, path,
			    strerror(errno));
	while (got && out->size <= limit) {
		size_t at = buffer_add_room(out, 256 * KIB);

		errno = 0;
		got = fread(out->data + at, 1, 256 * KIB, file);
		out->size = at + got;
	}
	if (ferror(file)) {
		fclose(file);
		buffer_free(out);
		return fail(err, errno ? errno : EIO, "cannot read the %s \"%s\": %s", what, path,
			    strerror(errno ? errno : EIO));
	}
	fclose(file);
	if (out->size > limit) {
		buffer_free(out);
		return fail(err, EFBIG, "the %s \"%s\" does not fit into guest memory; give more with -m",
			    what, path);
	}
	return 0;
}

/* ACPI tables at the end of low RAM; what points to them, and SMBIOS, where firmware would be. */
static int add_tables(struct boot_image *image, const struct pc_options *options, struct err *err)
{
	uint64_t at = low_ram(options->ram_bytes) - ACPI_ROOM;
	struct buffer area = { 0 }, smbios = { 0 }, anchor = { 0 };
	struct acpi_tables acpi;
	int error;

	acpi_build(&acpi, options);
	acpi_place(&acpi, at);
	image->facs = at + acpi.facs;
	smbios_build(options, &smbios, &anchor);
	smbios_place(&anchor, BOOT_TABLES + 64);
	buffer_add(&area, acpi.rsdp.data, acpi.rsdp.size);
	buffer_align(&area, 32);
	buffer_add(&area, anchor.data, anchor.size);
	buffer_align(&area, 64);
	buffer_add(&area, smbios.data, smbios.size);
	error = boot_add(image, at, &acpi.tables, err);
	if (!error)
		error = boot_add(image, BOOT_TABLES, &area, err);
	buffer_free(&area);
	buffer_free(&smbios);
	buffer_free(&anchor);
	acpi_free(&acpi);
	return error;
}

int boot_prepare(struct boot_image *image, const struct pc_options *options, struct err *err)
{
	struct buffer kernel = { 0 };
	int loaded;

	if (low_ram(options->ram_bytes) < 4 * MIB)
		return fail(err, EINVAL, "-kernel needs at least 4 MiB of memory; give more with -m");
	loaded = read_file("kernel", options->kernel, low_ram(options->ram_bytes), &kernel, err);
	if (loaded < 0)
		return loaded;
	loaded = multiboot_load(image, &kernel, options, err);
	if (!loaded)
		loaded = linux_load(image, &kernel, options, err);
	if (!loaded)
		loaded = fail(err, ENOEXEC,
			      "\"%s\" is not a kernel this can start (Linux bzImage or vmlinux, or a multiboot image)",
			      options->kernel);
	buffer_free(&kernel);
	return loaded < 0 ? loaded : add_tables(image, options, err);
}

struct kernel_loader {
	struct dev dev;
	struct boot_image image;
	uint64_t facs;
	struct ram *rom;
};

static struct kernel_loader *to_loader(struct dev *dev)
{
	return container_of(dev, struct kernel_loader, dev);
}

/* What firmware does before it hands over. */
static void assign_bars(struct board *board, uint8_t devfn, uint64_t *memory, uint32_t *ports)
{
	bool enable_ports = false, enable_memory = false;

	for (unsigned bar = 0; bar < 6; bar++) {
		unsigned at = PCI_BAR0 + 4 * bar;
		uint32_t mask;

		pci_config_write(board, 0, devfn, at, 4, ~0u);
		mask = pci_config_read(board, 0, devfn, at, 4);
		if (!mask || mask == ~0u)
			continue;
		if (mask & 1) {
			uint32_t size = ~(mask & ~3u) + 1;

			size &= 0xffff;
			*ports = ALIGN_UP(*ports, size);
			pci_config_write(board, 0, devfn, at, 4, *ports);
			*ports += size;
			enable_ports = true;
		} else {
			uint64_t size = ~(mask & ~15u) + 1u;

			*memory = ALIGN_DOWN(*memory - (uint32_t)size, (uint32_t)size);
			pci_config_write(board, 0, devfn, at, 4, *memory);
			enable_memory = true;
			if ((mask & 6) == 4)
				pci_config_write(board, 0, devfn, PCI_BAR0 + 4 * ++bar, 4, 0);
		}
	}
	pci_config_write(board, 0, devfn, PCI_COMMAND, 2,
			 (enable_ports ? COMMAND_IO : 0) | (enable_memory ? COMMAND_MEMORY : 0) |
				 COMMAND_MASTER);
}

static void set_up_pci(struct board *board)
{
	static const uint8_t gsi_of_link[] = { 10, 10, 11, 11 };
	uint64_t memory = PCI_HOLE_END + 1;
	uint32_t ports = 0xc000;
	uint8_t piix = PCI_SLOT_PIIX << 3;

	for (unsigned devfn = 0; devfn < 256; devfn++) {
		unsigned pin;

		if (pci_config_read(board, 0, devfn, PCI_VENDOR_ID, 2) == 0xffff)
			continue;
		assign_bars(board, devfn, &memory, &ports);
		pin = pci_config_read(board, 0, devfn, PCI_IRQ_PIN, 1);
		if (pin)
			pci_config_write(board, 0, devfn, PCI_IRQ_LINE, 1,
					 gsi_of_link[((devfn >> 3) + pin - 2) % 4]);
	}
	for (unsigned link = 0; link < 4; link++)
		pci_config_write(board, 0, piix, 0x60 + link, 1, gsi_of_link[link]);
	board_port_write(board, 0x4d0, 1, 0x00); /* PCI interrupts are level-triggered */
	board_port_write(board, 0x4d1, 1, 0x0e); /* 9, 10 and 11 */
	pci_config_write(board, 0, piix | 3, 0x40, 4, PM_IO_BASE | 1);
	pci_config_write(board, 0, piix | 3, 0x80, 1, 1);
	pci_config_write(board, 0, piix | 3, 0x90, 4, SMBUS_IO_BASE | 1);
	pci_config_write(board, 0, piix | 3, 0xd2, 1, 9);
	pci_config_write(board, 0, piix | 3, PCI_IRQ_LINE, 1, SCI_IRQ);
	board_port_write(board, PM_IO_BASE + 4, 2, 1); /* ACPI mode */
}

/* [ACPI 5.2.10] real mode at a 20-bit address; 0: the OS left none. */
static uint32_t waking_vector(struct kernel_loader *loader)
{
	struct board *board = loader->dev.board;
	uint8_t facs[16];

	if (board_memory_read(board, loader->facs, facs, sizeof(facs)) || memcmp(facs, "FACS", 4))
		return 0;
	return load_le32(facs + 12) & 0xfffff;
}

/* The reset vector of the ROM: a far jump to the OS instead of the way to the kernel. */
static bool wake_os(struct kernel_loader *loader)
{
	uint32_t vector = waking_vector(loader);
	uint8_t *jump = (uint8_t *)ram_host(loader->rom) + RESET_VECTOR;

	if (!vector)
		return false;
	jump[0] = 0xea;
	store_le16(jump + 1, vector & 15);
	store_le16(jump + 3, (uint16_t)(vector >> 4));
	ram_mark_dirty(loader->rom, RESET_VECTOR, 5);
	return true;
}

/* Runs after all other devices were reset: the loader is attached last. */
static void loader_reset(struct dev *dev)
{
	struct kernel_loader *loader = to_loader(dev);

	if (board_is_waking(dev->board) && wake_os(loader)) {
		set_up_pci(dev->board);
		return;
	}
	memcpy((uint8_t *)ram_host(loader->rom) + RESET_VECTOR, boot_rom_start + RESET_VECTOR,
	       boot_rom_end - boot_rom_start - RESET_VECTOR);
	ram_mark_dirty(loader->rom, RESET_VECTOR, boot_rom_end - boot_rom_start - RESET_VECTOR);
	for (unsigned i = 0; i < loader->image.pieces; i++) {
		const struct boot_piece *p = &loader->image.piece[i];

		board_memory_write(dev->board, p->gpa, boot_piece_bytes(&loader->image, p),
				   p->bytes.size);
	}
	boot_let_go(&loader->image);
	set_up_pci(dev->board);
}

static int loader_attach(struct dev *dev, struct err *err)
{
	struct kernel_loader *loader = to_loader(dev);

	loader->rom = ram_new(dev, "boot.rom", PAGE_BYTES, err);
	if (!loader->rom)
		return -err->code;
	memcpy(ram_host(loader->rom), boot_rom_start, boot_rom_end - boot_rom_start);
	return ram_map(loader->rom, 0, ROM_PAGE, PAGE_BYTES, true, err);
}

static void loader_detach(struct dev *dev)
{
	boot_free(&to_loader(dev)->image);
}

static const struct field loader_fields[] = { { 0 } };

static const struct dev_class kernel_loader_class = {
	.name = "kernel-loader",
	.summary = "starts a kernel without firmware",
	.size = sizeof(struct kernel_loader),
	.fields = loader_fields,
	.board_only = true,
	.attach = loader_attach,
	.reset = loader_reset,
	.detach = loader_detach,
};

int boot_attach(struct board *board, struct boot_image *image, struct err *err)
{
	struct dev *dev = dev_new(board, &kernel_loader_class, "kernel-loader", "", err);

	if (!dev)
		return -err->code;
	to_loader(dev)->image = *image;
	to_loader(dev)->facs = image->facs;
	memcpy(ram_host(to_loader(dev)->rom), &image->handoff, sizeof(image->handoff));
	ram_mark_dirty(to_loader(dev)->rom, 0, sizeof(image->handoff));
	*image = (struct boot_image){ 0 };
	return 0;
}
