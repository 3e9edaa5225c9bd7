/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Firmware: SeaBIOS's ROM, and what it reads from fw_cfg and CMOS.
 *
 * Manual: SeaBIOS docs/Runtime_config.md for the fw_cfg files; for CMOS the AT's BIOS data as
 * listed in R. Brown's memory list (CMOS.LST).
 */
#include "machine/firmware.h"

#include "base/bytes.h"
#include "core/block.h"
#include "dev/isa/fw_cfg.h"
#include "dev/isa/rtc.h"
#include "dev/pci/chipset.h"
#include "machine/acpi.h"
#include "machine/boot.h"
#include "machine/layout.h"
#include "machine/smbios.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FIRMWARE_MAX = 8 << 20 };

enum cmos {
	CMOS_FLOPPIES = 0x10, CMOS_DISKS = 0x12, CMOS_EQUIPMENT = 0x14, CMOS_BASE_LOW = 0x15,
	CMOS_EXTENDED_LOW = 0x17, CMOS_DISK_C = 0x19, CMOS_DISK_D = 0x1a, CMOS_C_GEOMETRY = 0x1b,
	CMOS_D_GEOMETRY = 0x24, CMOS_EXTENDED2_LOW = 0x30, CMOS_ABOVE_16M = 0x34,
	CMOS_TRANSLATION = 0x39,
	CMOS_ABOVE_4G = 0x5b, CMOS_CPUS = 0x5f,
};

static bool find_firmware(const struct pc_options *options, const char *name, char *path,
			  size_t room)
{
	const char *dirs = options->firmware_dirs;

	if (strchr(name, '/') || !access(name, R_OK)) {
		snprintf(path, room, "%s", name);
		return !access(path, R_OK);
	}
	while (*dirs) {
		size_t length = strcspn(dirs, ":");

		snprintf(path, room, "%.*s/%s", (int)length, dirs, name);
		if (!access(path, R_OK))
			return true;
		dirs += length + (dirs[length] == ':');
	}
	return false;
}

static int read_firmware(const struct pc_options *options, const char *name, struct buffer *out,
			 struct err *err)
{
	char path[512];

	if (!find_firmware(options, name, path, sizeof(path)))
		return fail(err, ENOENT,
			    "no firmware \"%s\" in %s; install Debian's package \"seabios\" or say where with -L or -bios",
			    name, options->firmware_dirs);
	return read_file("firmware", path, FIRMWARE_MAX, out, err);
}

int firmware_map(struct board *board, const struct pc_options *options, struct ram **rom,
		 struct err *err)
{
	struct buffer image = { 0 };
	int error = read_firmware(options, options->firmware, &image, err);

	if (error)
		return error;
	if (!image.size || image.size % PAGE_BYTES) {
		error = fail(err, EINVAL, "the firmware \"%s\" has %zu bytes, not a multiple of 4096",
			     options->firmware, image.size);
		goto free_image;
	}
	*rom = board_ram_new(board, "pc.bios", image.size, err);
	error = *rom ? 0 : -err->code;
	if (!error) {
		memcpy(ram_host(*rom), image.data, image.size);
		error = ram_map(*rom, 0, HIGH_RAM_BASE - image.size, image.size, true, err);
	}
free_image:
	buffer_free(&image);
	return error;
}

static int add_file(struct dev *fw_cfg, const char *name, struct buffer *content, struct err *err)
{
	int error = fw_cfg_add_file(fw_cfg, name, content->data, content->size, err);

	buffer_free(content);
	return error;
}

static int add_tables(struct dev *fw_cfg, const struct pc_options *options, struct err *err)
{
	struct buffer script = { 0 }, tables = { 0 }, anchor = { 0 };
	struct acpi_tables acpi;
	int error = 0;

	acpi_build(&acpi, options);
	acpi_loader_script(&acpi, &script);
	if (options->acpi) {
		error = add_file(fw_cfg, "etc/acpi/tables", &acpi.tables, err);
		if (!error)
			error = add_file(fw_cfg, "etc/acpi/rsdp", &acpi.rsdp, err);
		if (!error)
			error = add_file(fw_cfg, "etc/table-loader", &script, err);
	}
	smbios_build(options, &tables, &anchor);
	if (!error)
		error = add_file(fw_cfg, "etc/smbios/smbios-tables", &tables, err);
	if (!error)
		error = add_file(fw_cfg, "etc/smbios/smbios-anchor", &anchor, err);
	buffer_free(&script);
	buffer_free(&tables);
	buffer_free(&anchor);
	acpi_free(&acpi);
	return error;
}

static void add_number(struct dev *fw_cfg, uint16_t key, uint64_t value, unsigned bytes)
{
	fw_cfg_add_item(fw_cfg, key, &value, bytes);
}

static int describe_to_fw_cfg(struct dev *fw_cfg, const struct pc_options *options,
			      struct err *err)
{
	struct buffer map = { 0 }, order = { 0 };
	uint64_t low = low_ram(options->ram_bytes), high = high_ram(options->ram_bytes);
	int error;

	add_number(fw_cfg, FW_CFG_RAM_SIZE, options->ram_bytes, 8);
	add_number(fw_cfg, FW_CFG_NB_CPUS, options->vcpus, 2);
	add_number(fw_cfg, FW_CFG_MAX_CPUS, options->vcpus, 2);
	add_number(fw_cfg, FW_CFG_NOGRAPHIC, options->nographic || !options->vga, 2);
	add_number(fw_cfg, FW_CFG_BOOT_MENU, options->boot_menu, 2);
	add_number(fw_cfg, FW_CFG_IRQ0_OVERRIDE, 1, 4);
	add_number(fw_cfg, FW_CFG_NUMA, 0, 8);
	fw_cfg_add_item(fw_cfg, FW_CFG_UUID, options->uuid, sizeof(options->uuid));
	buffer_add(&map, &(struct e820_entry){ 0, low, E820_RAM }, sizeof(struct e820_entry));
	if (high)
		buffer_add(&map, &(struct e820_entry){ HIGH_RAM_BASE, high, E820_RAM },
			   sizeof(struct e820_entry));
	error = add_file(fw_cfg, "etc/e820", &map, err);
	if (!error && options->boot_list) {
		buffer_add(&order, options->boot_list, strlen(options->boot_list) + 1);
		error = add_file(fw_cfg, "bootorder", &order, err);
	}
	if (!error && options->boot_strict)
		error = fw_cfg_add_file(fw_cfg, "etc/boot-fail-wait", "\xff\xff\xff\xff", 4, err);
	return error ? error : add_tables(fw_cfg, options, err);
}

static void set_pair(struct dev *rtc, uint8_t index, unsigned value)
{
	rtc_set_cmos(rtc, index, value);
	rtc_set_cmos(rtc, index + 1, value >> 8);
}

/* The type of drive that an image of this size belongs in; 4 is 1.44 MB, also for an empty one. */
static unsigned floppy_type(struct board *board, const char *id)
{
	struct block *block = id ? block_find(board, id) : NULL;
	uint64_t bytes = block ? block_size(block) : 0;

	if (!id)
		return 0;
	if (bytes == 2880 * KIB)
		return 5;
	return bytes == 1200 * KIB || bytes == 360 * KIB ? 2 : 4;
}

static void describe_floppies(struct board *board, struct dev *rtc,
			      const struct pc_options *options)
{
	unsigned a = floppy_type(board, options->floppy[0]);
	unsigned b = floppy_type(board, options->floppy[1]);
	unsigned equipment = 0x06; /* mathematics coprocessor, PS/2 mouse */

	rtc_set_cmos(rtc, CMOS_FLOPPIES, a << 4 | b);
	if (a || b)
		equipment |= a && b ? 0x41 : 0x01;
	rtc_set_cmos(rtc, CMOS_EQUIPMENT, equipment);
}

static void describe_disk(struct dev *rtc, unsigned unit, const uint32_t chs[3])
{
	uint8_t at = unit ? CMOS_D_GEOMETRY : CMOS_C_GEOMETRY;

	rtc_set_cmos(rtc, unit ? CMOS_DISK_D : CMOS_DISK_C, 47);
	set_pair(rtc, at, chs[0]);
	rtc_set_cmos(rtc, at + 2, chs[1]);
	set_pair(rtc, at + 3, 0xffff); /* no write precompensation */
	rtc_set_cmos(rtc, at + 5, 0xc0 | (chs[1] > 8) << 3);
	set_pair(rtc, at + 6, chs[0]);
	rtc_set_cmos(rtc, at + 8, chs[2]);
}

static void describe_disks(struct board *board, struct dev *rtc)
{
	unsigned types = 0, translation = 0;

	for (unsigned i = 0; i < PC_IDE_UNITS; i++) {
		char id[16];
		struct dev *disk;
		uint32_t chs[3];

		snprintf(id, sizeof(id), "ide%u-%u", i / 2, i % 2);
		disk = dev_find(board, id);
		if (!disk || !ide_drive_geometry(disk, chs))
			continue;
		if (i < 2) {
			types |= i ? 0x0f : 0xf0;
			describe_disk(rtc, i, chs);
		}
		/* none while the BIOS can name every cylinder, else by LBA */
		translation |= (chs[0] > 1024 ? 1u : 0u) << 2 * i;
	}
	rtc_set_cmos(rtc, CMOS_DISKS, types);
	rtc_set_cmos(rtc, CMOS_TRANSLATION, translation);
}

static void describe_to_cmos(struct board *board, const struct pc_options *options)
{
	struct dev *rtc = dev_find(board, "mc146818rtc");
	uint64_t low = low_ram(options->ram_bytes), high = high_ram(options->ram_bytes);
	unsigned extended = low > MIB ? MIN((low - MIB) / KIB, 65535) : 0;

	set_pair(rtc, CMOS_BASE_LOW, 640);
	set_pair(rtc, CMOS_EXTENDED_LOW, extended);
	set_pair(rtc, CMOS_EXTENDED2_LOW, extended);
	set_pair(rtc, CMOS_ABOVE_16M, low > 16 * MIB ? MIN((low - 16 * MIB) >> 16, 65535) : 0);
	set_pair(rtc, CMOS_ABOVE_4G, high >> 16);
	rtc_set_cmos(rtc, CMOS_ABOVE_4G + 2, high >> 32);
	rtc_set_cmos(rtc, CMOS_CPUS, options->vcpus - 1);
	describe_floppies(board, rtc, options);
	describe_disks(board, rtc);
	pc_set_boot_order(board, options->boot_order);
}

int firmware_describe(struct board *board, const struct pc_options *options, struct err *err)
{
	describe_to_cmos(board, options);
	return describe_to_fw_cfg(dev_find(board, "fw_cfg"), options, err);
}
