/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ACPI tables of the PC.
 *
 * Built once, with pointers as offsets. Firmware finds them in fw_cfg with a loader script that says
 * which pointers to relocate; a direct kernel boot places them with acpi_place().
 */
#ifndef MACHINE_ACPI_H
#define MACHINE_ACPI_H

#include "machine/buffer.h"
#include "machine/pc.h"

struct acpi_pointer {
	bool in_rsdp;      /* else in the tables */
	uint32_t at, size; /* of the pointer; it holds an offset into the tables */
};

struct acpi_checksum {
	bool in_rsdp;
	uint32_t at, start, length;
};

enum { ACPI_FIXUPS = 32 };

struct acpi_tables {
	struct buffer tables, rsdp;
	struct acpi_pointer pointer[ACPI_FIXUPS];
	struct acpi_checksum checksum[ACPI_FIXUPS];
	unsigned pointers, checksums;
	uint32_t facs; /* where in `tables` */
};

void acpi_build(struct acpi_tables *acpi, const struct pc_options *options);
void acpi_free(struct acpi_tables *acpi);
/* Relocates everything for tables at gpa; the RSDP then points there. */
void acpi_place(struct acpi_tables *acpi, uint64_t gpa);
/* The loader script for fw_cfg's etc/table-loader. */
void acpi_loader_script(const struct acpi_tables *acpi, struct buffer *script);

void dsdt_write(struct buffer *b, const struct pc_options *options);

#endif
