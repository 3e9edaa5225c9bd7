/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The PC: i440FX, PIIX3, and everything around them. */
#ifndef MACHINE_PC_H
#define MACHINE_PC_H

#include "core/board.h"

enum { PC_SERIALS = 4, PC_IDE_UNITS = 4, PC_FLOPPIES = 2, PC_MAX_VCPUS = 16 };

struct pc_options {
	uint64_t ram_bytes;
	unsigned vcpus;
	const char *cpu_settings; /* for reports only */
	const char *name;
	uint8_t uuid[16];
	bool has_uuid;

	/* Firmware: a file name looked up in `firmware_dirs` (colon-separated) or a path. */
	const char *firmware, *firmware_dirs;
	bool defaults;          /* serial, parallel, floppy, VGA as an ordinary PC has them */
	const char *vga;        /* device name, NULL for none */
	const char *serial[PC_SERIALS]; /* chardev ids, NULL: no such port */
	const char *parallel;
	const char *ide[PC_IDE_UNITS];  /* settings of an ide-hd or ide-cd, "ide-cd,drive=cd0" */
	const char *floppy[PC_FLOPPIES]; /* block ids */
	const char *boot_order;  /* "cad" */
	const char *boot_list;   /* newline-separated firmware device paths, or NULL */
	bool boot_menu, boot_strict;
	bool nographic;          /* firmware talks on the first serial port */
	bool hpet, acpi, vmport, pit, i8042;
	bool split_irqchip; /* PIC, IOAPIC and PIT are devices, as board_options say */
	bool s3; /* set by pc_build: what the power management can do */

	/* Direct boot, without firmware. */
	const char *kernel, *initrd, *append;
};

void pc_options_init(struct pc_options *options);
/* Creates the board's devices. The board is new and locked. */
int pc_build(struct board *board, const struct pc_options *options, struct err *err);

/* What firmware boots from, from its next start on: "cad". */
void pc_set_boot_order(struct board *board, const char *order);
/* Once, before the first start: firmware device paths, a line each. It goes before the letters. */
int pc_set_boot_list(struct board *board, const char *list, struct err *err);
/* A device's path for that; false: firmware does not boot from such a thing. */
bool pc_firmware_path(struct dev *dev, char *path, size_t room);
/* A file of the user's for firmware and guest ("opt/..."); copied. */
int pc_add_fw_cfg(struct board *board, const char *name, const void *bytes, size_t size,
		  struct err *err);

#endif
