/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The DSDT: the board's devices in ACPI machine language.
 *
 * PCI interrupts go through the PIIX3's four routing registers, which the guest finds as link
 * devices LNKA-LNKD. Slot n's pin p is wired to link (n + p - 1) mod 4.
 *
 * Manual: ACPI 6.4, chapters 6 and 19; Intel 82371SB (PIIX3), PIRQRC registers.
 */
#include "machine/acpi.h"
#include "machine/aml.h"
#include "base/bytes.h"
#include "dev/pci/chipset.h"
#include "machine/layout.h"

#include <stdio.h>

enum { AML_ARG0 = 0x68, AML_STORE = 0x70, AML_AND = 0x7b,
       AML_OR = 0x7d, AML_RETURN = 0xa4, AML_CREATE_DWORD_FIELD = 0x8a, AML_LESS = 0x95,
       REGION_PCI_CONFIG = 2 };

static const char links[] = "ABCD";

static void op(struct buffer *b, unsigned code)
{
	buffer_add_number(b, code, 1);
}

/* CreateDWordField(source, 5, PRRI): the interrupt number in an interrupt descriptor */
static void interrupt_field(struct buffer *b, const char *source)
{
	op(b, AML_CREATE_DWORD_FIELD);
	if (source)
		aml_name_string(b, source);
	else
		op(b, AML_ARG0);
	aml_integer(b, 5);
	aml_name_string(b, "PRRI");
}

/* IQST(reg): 9 when routing is off (bit 7), 11 when on. IQCR(reg): its current resources. */
static void write_link_helpers(struct buffer *b)
{
	static const uint32_t none = 0;
	size_t method = aml_open_method(b, "IQST", 1), inner;

	inner = aml_open_if(b);
	op(b, AML_AND);
	aml_integer(b, 0x80);
	op(b, AML_ARG0);
	op(b, 0); /* no target */
	op(b, AML_RETURN);
	aml_integer(b, 9);
	aml_close(b, inner);
	op(b, AML_RETURN);
	aml_integer(b, 11);
	aml_close(b, method);

	method = aml_open_method(b, "IQCR", 1);
	aml_name(b, "PRR0");
	inner = aml_open_resources(b);
	aml_interrupts(b, &none, 1);
	aml_close_resources(b, inner);
	interrupt_field(b, "PRR0");
	inner = aml_open_if(b);
	op(b, AML_LESS);
	op(b, AML_ARG0);
	aml_integer(b, 0x80);
	op(b, AML_STORE);
	op(b, AML_ARG0);
	aml_name_string(b, "PRRI");
	aml_close(b, inner);
	op(b, AML_RETURN);
	aml_name_string(b, "PRR0");
	aml_close(b, method);
}

static void return_call(struct buffer *b, const char *method, const char *reg)
{
	op(b, AML_RETURN);
	aml_name_string(b, method);
	aml_name_string(b, reg);
}

static void write_link(struct buffer *b, unsigned number)
{
	static const uint32_t possible[] = { 5, 10, 11 };
	char name[] = "LNKA", reg[] = "PRQ0";
	size_t device, at;

	name[3] = links[number];
	reg[3] = '0' + number;
	device = aml_open_device(b, name);
	aml_name(b, "_HID");
	aml_eisa_id(b, "PNP0C0F");
	aml_name_integer(b, "_UID", number);
	aml_name(b, "_PRS");
	at = aml_open_resources(b);
	aml_interrupts(b, possible, ARRAY_LEN(possible));
	aml_close_resources(b, at);
	at = aml_open_method(b, "_STA", 0);
	return_call(b, "IQST", reg);
	aml_close(b, at);
	at = aml_open_method(b, "_DIS", 0);
	op(b, AML_OR);
	aml_name_string(b, reg);
	aml_integer(b, 0x80);
	aml_name_string(b, reg);
	aml_close(b, at);
	at = aml_open_method(b, "_CRS", 0);
	return_call(b, "IQCR", reg);
	aml_close(b, at);
	at = aml_open_method(b, "_SRS", 1);
	interrupt_field(b, NULL);
	op(b, AML_STORE);
	aml_name_string(b, "PRRI");
	aml_name_string(b, reg);
	aml_close(b, at);
	aml_close(b, device);
}

static void write_routing(struct buffer *b)
{
	size_t table;

	aml_name(b, "_PRT");
	table = aml_open_package(b, 31 * 4);
	for (unsigned slot = 1; slot < 32; slot++) {
		for (unsigned pin = 0; pin < 4; pin++) {
			char name[] = "LNKA";
			size_t row = aml_open_package(b, 4);

			name[3] = links[(slot + pin - 1) % 4];
			aml_integer(b, slot << 16 | 0xffff);
			aml_integer(b, pin);
			aml_name_string(b, name);
			aml_integer(b, 0);
			aml_close(b, row);
		}
	}
	aml_close(b, table);
}

struct isa_row {
	const char *name, *hid;
	uint16_t port[2];
	uint8_t length[2];
	int irq, dma;
	unsigned uid;
};

static const struct isa_row isa_rows[] = {
	{ "RTC", "PNP0B00", { 0x70 }, { 8 }, 8, -1, 0 },
	{ "KBD", "PNP0303", { 0x60, 0x64 }, { 1, 1 }, 1, -1, 0 },
	{ "MOU", "PNP0F13", { 0 }, { 0 }, 12, -1, 0 },
	{ "FDC0", "PNP0700", { 0x3f2, 0x3f7 }, { 4, 1 }, 6, 2, 0 },
	{ "LPT1", "PNP0400", { 0x378 }, { 8 }, 7, -1, 1 },
	{ "COM1", "PNP0501", { 0x3f8 }, { 8 }, 4, -1, 1 },
	{ "COM2", "PNP0501", { 0x2f8 }, { 8 }, 3, -1, 2 },
	{ "COM3", "PNP0501", { 0x3e8 }, { 8 }, 4, -1, 3 },
	{ "COM4", "PNP0501", { 0x2e8 }, { 8 }, 3, -1, 4 },
};

static bool has_isa_device(const struct isa_row *row, const struct pc_options *options)
{
	if (!strncmp(row->name, "COM", 3))
		return options->serial[row->name[3] - '1'];
	if (!strcmp(row->name, "LPT1"))
		return options->parallel;
	if (!strcmp(row->name, "KBD") || !strcmp(row->name, "MOU"))
		return options->i8042;
	return true;
}

static void write_isa_device(struct buffer *b, const struct isa_row *row)
{
	size_t device = aml_open_device(b, row->name), at;

	aml_name(b, "_HID");
	aml_eisa_id(b, row->hid);
	if (row->uid)
		aml_name_integer(b, "_UID", row->uid);
	aml_name_integer(b, "_STA", 15);
	aml_name(b, "_CRS");
	at = aml_open_resources(b);
	for (unsigned i = 0; i < 2; i++)
		if (row->length[i])
			aml_io(b, row->port[i], row->length[i]);
	aml_irq(b, row->irq);
	if (row->dma >= 0)
		aml_dma(b, row->dma);
	aml_close_resources(b, at);
	aml_close(b, device);
}

static void write_isa_bridge(struct buffer *b, const struct pc_options *options)
{
	size_t device = aml_open_device(b, "ISA"), at;

	aml_name_integer(b, "_ADR", PCI_SLOT_PIIX << 16);
	aml_region(b, "P40C", REGION_PCI_CONFIG, 0x60, 4);
	for (unsigned i = 0; i < ARRAY_LEN(isa_rows); i++)
		if (has_isa_device(&isa_rows[i], options))
			write_isa_device(b, &isa_rows[i]);
	aml_close(b, device);
	at = aml_open_field(b, "ISA.P40C", 1); /* bytes */
	for (unsigned i = 0; i < 4; i++) {
		char reg[] = "PRQ0";

		reg[3] += i;
		aml_field_unit(b, reg, 8);
	}
	aml_close(b, at);
}

static void write_host_bridge(struct buffer *b, const struct pc_options *options)
{
	size_t at;

	aml_name(b, "_HID");
	aml_eisa_id(b, "PNP0A03");
	aml_name_integer(b, "_ADR", 0);
	aml_name_integer(b, "_UID", 0);
	aml_name(b, "_CRS");
	at = aml_open_resources(b);
	aml_window(b, AML_BUSES, 0, 255);
	aml_io(b, 0xcf8, 8);
	aml_window(b, AML_PORTS, 0, 0xcf7);
	aml_window(b, AML_PORTS, 0xd00, 0xffff);
	aml_window(b, AML_MEMORY, VGA_HOLE_BASE, 0xbffff);
	aml_window(b, AML_MEMORY, pci_hole_base(options->ram_bytes), PCI_HOLE_END);
	aml_close_resources(b, at);
	write_routing(b);
}

static void write_processors(struct buffer *b, unsigned count)
{
	for (unsigned cpu = 0; cpu < count; cpu++) {
		char name[5];
		size_t device;

		snprintf(name, sizeof(name), "C%03u", cpu % 1000);
		device = aml_open_device(b, name);
		aml_name(b, "_HID");
		aml_string(b, "ACPI0007");
		aml_name_integer(b, "_UID", cpu);
		aml_close(b, device);
	}
}

static void write_hpet_device(struct buffer *b)
{
	size_t device = aml_open_device(b, "HPET"), at;

	aml_name(b, "_HID");
	aml_eisa_id(b, "PNP0103");
	aml_name_integer(b, "_UID", 0);
	aml_name(b, "_CRS");
	at = aml_open_resources(b);
	aml_fixed_memory(b, HPET_BASE, 0x400);
	aml_close_resources(b, at);
	aml_close(b, device);
}

/* What to write to the PIIX4's PM1 control register. */
static void write_sleep(struct buffer *b, const char *name, unsigned type)
{
	size_t at;

	aml_name(b, name);
	at = aml_open_package(b, 4);
	for (unsigned i = 0; i < 4; i++)
		aml_integer(b, i < 2 ? type : 0);
	aml_close(b, at);
}

void dsdt_write(struct buffer *b, const struct pc_options *options)
{
	size_t scope = aml_open_scope(b, "\\_SB"), device;

	device = aml_open_device(b, "PCI0");
	write_host_bridge(b, options);
	write_isa_bridge(b, options);
	write_link_helpers(b);
	for (unsigned i = 0; i < 4; i++)
		write_link(b, i);
	aml_close(b, device);
	if (options->hpet)
		write_hpet_device(b);
	write_processors(b, options->vcpus);
	aml_close(b, scope);
	if (options->s3)
		write_sleep(b, "_S3", PM_SLEEP_S3);
	write_sleep(b, "_S5", PM_SLEEP_S5);
}
