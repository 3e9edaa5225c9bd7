/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The PC: i440FX, PIIX3 and the ISA devices of an AT, at the addresses every driver expects.
 *
 * With a kernel and no firmware the board starts it directly (boot.h); otherwise SeaBIOS runs from
 * the top of the first 4 GiB and finds its instructions in fw_cfg (firmware.c).
 *
 * Not modelled: SMM.
 */
#include "machine/pc.h"

#include "base/bytes.h"
#include "dev/pci/chipset.h"
#include "machine/boot.h"
#include "machine/firmware.h"
#include "machine/layout.h"

#include <errno.h>
#include <stdio.h>

void pc_options_init(struct pc_options *options)
{
	*options = (struct pc_options){
		.ram_bytes = 128 * MIB,
		.vcpus = 1,
		.firmware = "bios-256k.bin",
		.firmware_dirs = "/usr/share/seabios:/usr/share/qemu:/usr/lib/ipxe/qemu",
		.vga = "VGA",
		.boot_order = "cad",
		.hpet = true,
		.acpi = true,
		.i8042 = true,
		.pit = true,
	};
}

static int add(struct board *board, const char *name, const char *id, const char *settings,
	       struct err *err)
{
	const struct dev_class *class = dev_class_find(name);

	if (!class)
		return fail(err, ENODEV, "this build has no device \"%s\"", name);
	return dev_new(board, class, id, settings, err) ? 0 : -err->code;
}

static int map_ram(struct board *board, const struct pc_options *options, struct ram **low_out,
		   struct err *err)
{
	uint64_t low = low_ram(options->ram_bytes), high = high_ram(options->ram_bytes);
	struct ram *ram = board_ram_new(board, "pc.ram", options->ram_bytes, err);
	int error;

	if (!ram)
		return -err->code;
	*low_out = ram;
	error = ram_map(ram, 0, 0, VGA_HOLE_BASE, false, err);
	if (!error && low > MIB)
		error = ram_map(ram, MIB, MIB, low - MIB, false, err);
	if (!error && high)
		error = ram_map(ram, low, HIGH_RAM_BASE, high, false, err);
	return error;
}

/* Before whatever has a line to them: restored first, they take no level for an edge. */
static int add_irq_chips(struct board *board, const struct pc_options *options, struct err *err)
{
	int error = add(board, "isa-i8259", "pic", "", err);

	if (!error)
		error = add(board, "ioapic", "ioapic", "", err);
	if (!error && options->pit)
		error = add(board, "isa-pit", "pit", "", err);
	return error;
}

static int add_chipset(struct board *board, const struct pc_options *options, struct ram *ram,
		       struct ram *rom, struct err *err)
{
	int error = add(board, "i440FX", "host-bridge", "addr=00.0", err);

	if (!error)
		error = i440fx_set_memory(dev_find(board, "host-bridge"), ram, rom, err);
	if (!error)
		error = add(board, "PIIX3", "isa-bridge", "addr=01.0", err);
	if (!error)
		error = add(board, "piix3-ide", "ide", "addr=01.1", err);
	if (!error && options->acpi)
		error = add(board, "PIIX4_PM", "pm", "addr=01.3", err);
	return error;
}

static int add_serials(struct board *board, const struct pc_options *options, struct err *err)
{
	int error = 0;

	for (unsigned i = 0; i < PC_SERIALS && !error; i++) {
		char settings[96], id[16];

		if (!options->serial[i])
			continue;
		snprintf(settings, sizeof(settings), "index=%u,chardev=%s", i, options->serial[i]);
		snprintf(id, sizeof(id), "serial%u", i);
		error = add(board, "isa-serial", id, settings, err);
	}
	if (!error && options->parallel) {
		char settings[96];

		snprintf(settings, sizeof(settings), "chardev=%s", options->parallel);
		error = add(board, "isa-parallel", "parallel0", settings, err);
	}
	return error;
}

static int add_floppies(struct board *board, const struct pc_options *options, struct err *err)
{
	static const char *const keys[] = { "driveA", "driveB" };
	char settings[128] = "";

	for (unsigned i = 0; i < PC_FLOPPIES; i++) {
		size_t used = strlen(settings);

		if (options->floppy[i])
			snprintf(settings + used, sizeof(settings) - used, "%s%s=%s",
				 used ? "," : "", keys[i], options->floppy[i]);
	}
	return add(board, "isa-fdc", "fdc", settings, err);
}

static int add_isa(struct board *board, const struct pc_options *options, struct err *err)
{
	static const char *const always[] = { "mc146818rtc", "i8257", "port92", "fw_cfg" };
	int error = 0;

	for (unsigned i = 0; i < ARRAY_LEN(always) && !error; i++)
		error = add(board, always[i], always[i], "", err);
	if (!error && options->i8042)
		error = add(board, "i8042", "i8042", "", err);
	if (!error && options->vmport)
		error = add(board, "vmport", "vmport", "", err);
	if (!error && options->hpet)
		error = add(board, "hpet", "hpet", "", err);
	if (!error)
		error = add_serials(board, options, err);
	return error ? error : add_floppies(board, options, err);
}

static int add_drives(struct board *board, const struct pc_options *options, struct err *err)
{
	int error = 0;

	for (unsigned i = 0; i < PC_IDE_UNITS && !error; i++) {
		char class[16], settings[160], id[16];
		size_t name;

		if (!options->ide[i])
			continue;
		name = strcspn(options->ide[i], ",");
		snprintf(class, sizeof(class), "%.*s", (int)name, options->ide[i]);
		snprintf(settings, sizeof(settings), "bus=%u,unit=%u%s", i / 2, i % 2,
			 options->ide[i] + name);
		snprintf(id, sizeof(id), "ide%u-%u", i / 2, i % 2);
		error = add(board, class, id, settings, err);
	}
	return error;
}

int pc_build(struct board *board, const struct pc_options *asked, struct err *err)
{
	struct pc_options with_found = *asked, *options = &with_found;
	struct boot_image image = { 0 };
	struct ram *ram = NULL, *rom = NULL;
	int error;

	if (options->ram_bytes < MIB)
		return fail(err, EINVAL, "this machine needs at least 1 MiB of memory; give more with -m");
	if (options->vcpus < 1 || options->vcpus > PC_MAX_VCPUS)
		return fail(err, EINVAL, "this machine has 1 to %d processors, not %u",
			    PC_MAX_VCPUS, options->vcpus);
	error = map_ram(board, options, &ram, err);
	if (!error && !options->kernel)
		error = firmware_map(board, options, &rom, err);
	if (!error && options->split_irqchip)
		error = add_irq_chips(board, options, err);
	if (!error)
		error = add_chipset(board, options, ram, rom, err);
	if (!error && options->acpi)
		options->s3 = piix4_pm_offers_s3(dev_find(board, "pm"));
	if (!error && options->vga)
		error = add(board, options->vga, "vga", "addr=02.0", err);
	if (!error)
		error = add_isa(board, options, err);
	if (!error)
		error = add_drives(board, options, err);
	if (!error)
		error = firmware_describe(board, options, err);
	if (!error && options->kernel)
		error = boot_prepare(&image, options, err);
	if (!error && options->kernel)
		error = boot_attach(board, &image, err);
	boot_free(&image);
	return error;
}
