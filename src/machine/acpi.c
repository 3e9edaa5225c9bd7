/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ACPI tables of the PC: RSDP, RSDT, FADT, FACS, MADT, HPET, WAET and the DSDT of dsdt.c.
 *
 * Manual: ACPI 6.4, chapter 5; section numbers in [brackets]. HPET: IA-PC HPET 1.0a, 3.2.4.
 * Not modelled: processor and memory hot-plug, NUMA tables, MCFG (this board has no ECAM).
 */
#include "machine/acpi.h"

#include "base/bytes.h"
#include "machine/layout.h"

#include <assert.h>

enum { HEADER_BYTES = 36, SCRIPT_ENTRY = 128, SCRIPT_NAME = 56 };

static const char tables_file[] = "etc/acpi/tables", rsdp_file[] = "etc/acpi/rsdp";

static void add_pointer(struct acpi_tables *acpi, bool in_rsdp, uint32_t at, uint32_t target)
{
	struct buffer *b = in_rsdp ? &acpi->rsdp : &acpi->tables;

	assert(acpi->pointers < ACPI_FIXUPS);
	store_le32(b->data + at, target);
	acpi->pointer[acpi->pointers++] = (struct acpi_pointer){ in_rsdp, at, 4 };
}

static void add_checksum(struct acpi_tables *acpi, bool in_rsdp, uint32_t at, uint32_t start,
			 uint32_t length)
{
	assert(acpi->checksums < ACPI_FIXUPS);
	acpi->checksum[acpi->checksums++] = (struct acpi_checksum){ in_rsdp, at, start, length };
}

/* [5.2.6] the header common to all tables */
static uint32_t open_table(struct acpi_tables *acpi, const char *signature, uint8_t revision)
{
	struct buffer *b = &acpi->tables;
	uint32_t at;

	buffer_align(b, 16);
	at = buffer_add_text(b, signature);
	buffer_add_number(b, 0, 4); /* length, by close_table */
	buffer_add_number(b, revision, 1);
	buffer_add_number(b, 0, 1); /* checksum */
	buffer_add_text(b, "KELVINKELVINPC");
	buffer_add_number(b, 1, 4);
	buffer_add_text(b, "KLVN");
	buffer_add_number(b, 1, 4);
	assert(b->size - at == HEADER_BYTES);
	return at;
}

static void close_table(struct acpi_tables *acpi, uint32_t at)
{
	uint32_t length = acpi->tables.size - at;

	store_le32(acpi->tables.data + at + 4, length);
	add_checksum(acpi, false, at + 9, at, length);
}

/* [5.2.10] */
static uint32_t write_facs(struct acpi_tables *acpi)
{
	struct buffer *b = &acpi->tables;
	uint32_t at;

	buffer_align(b, 64);
	at = buffer_add_text(b, "FACS");
	buffer_add_number(b, 64, 4);
	buffer_add(b, NULL, 56);
	return at;
}

/* [5.2.12.4] 32-bit GAS is not used: revision 1 with the PIIX4 blocks, 116 bytes */
static uint32_t write_fadt(struct acpi_tables *acpi, uint32_t facs, uint32_t dsdt,
			   const struct pc_options *options)
{
	uint32_t at = open_table(acpi, "FACP", 1);
	uint8_t *t;

	buffer_add(&acpi->tables, NULL, 116 - HEADER_BYTES);
	t = acpi->tables.data + at;
	store_le16(t + 46, SCI_IRQ);
	store_le32(t + 48, 0xb2);          /* SMI command port */
	t[52] = 0xf1;                      /* ACPI enable */
	t[53] = 0xf0;                      /* ACPI disable */
	store_le32(t + 56, PM_IO_BASE);     /* PM1a event */
	store_le32(t + 64, PM_IO_BASE + 4); /* PM1a control */
	store_le32(t + 76, PM_IO_BASE + 8); /* PM timer */
	store_le32(t + 80, 0xafe0);         /* GPE0 */
	t[88] = 4;
	t[89] = 2;
	t[91] = 4;
	t[92] = 4;
	store_le16(t + 96, 0xfff); /* no C2, no C3 */
	store_le16(t + 98, 0xfff);
	t[106] = 13; /* day alarm */
	t[108] = 0x32; /* century */
	/* WBINVD works, C1 is supported, no fixed sleep button, RTC wakes from S4, 24-bit timer */
	store_le32(t + 112, BIT(0) | BIT(2) | BIT(5) | BIT(7) |
				    (options->vcpus > 8 ? BIT(18) : 0));
	add_pointer(acpi, false, at + 36, facs);
	add_pointer(acpi, false, at + 40, dsdt);
	close_table(acpi, at);
	return at;
}

static void madt_override(struct buffer *b, unsigned irq, unsigned gsi, unsigned flags)
{
	buffer_add_number(b, 2, 1);
	buffer_add_number(b, 10, 1);
	buffer_add_number(b, 0, 1);
	buffer_add_number(b, irq, 1);
	buffer_add_number(b, gsi, 4);
	buffer_add_number(b, flags, 2);
}

/* [5.2.12] */
static uint32_t write_madt(struct acpi_tables *acpi, const struct pc_options *options)
{
	static const uint8_t level_irqs[] = { 5, 9, 10, 11 }; /* what PCI and the SCI use */
	struct buffer *b = &acpi->tables;
	uint32_t at = open_table(acpi, "APIC", 1);

	buffer_add_number(b, LAPIC_BASE, 4);
	buffer_add_number(b, 1, 4); /* a PIC pair is there too */
	for (unsigned cpu = 0; cpu < options->vcpus; cpu++) {
		buffer_add_number(b, 0, 1);
		buffer_add_number(b, 8, 1);
		buffer_add_number(b, cpu, 1);
		buffer_add_number(b, cpu, 1);
		buffer_add_number(b, 1, 4);
	}
	buffer_add_number(b, 1, 1);
	buffer_add_number(b, 12, 1);
	buffer_add_number(b, 0, 1); /* id 0, as the in-kernel IOAPIC resets to */
	buffer_add_number(b, 0, 1);
	buffer_add_number(b, IOAPIC_BASE, 4);
	buffer_add_number(b, 0, 4);
	madt_override(b, 0, 2, 0);
	for (unsigned i = 0; i < ARRAY_LEN(level_irqs); i++)
		madt_override(b, level_irqs[i], level_irqs[i], 0xd); /* high, level */
	buffer_add_number(b, 4, 1); /* LINT1 is NMI on every processor */
	buffer_add_number(b, 6, 1);
	buffer_add_number(b, 0xff, 1);
	buffer_add_number(b, 0, 2);
	buffer_add_number(b, 1, 1);
	close_table(acpi, at);
	return at;
}

static uint32_t write_hpet(struct acpi_tables *acpi)
{
	struct buffer *b = &acpi->tables;
	uint32_t at = open_table(acpi, "HPET", 1);

	buffer_add_number(b, 0x8086a201, 4); /* as the capabilities register says */
	buffer_add_number(b, 0, 4);          /* memory, 0 bits */
	buffer_add_number(b, HPET_BASE, 8);
	buffer_add(b, NULL, 4); /* number 0, minimum tick 0, no page protection */
	close_table(acpi, at);
	return at;
}

/* Windows: the RTC and PM timer behave, no need to read them twice. */
static uint32_t write_waet(struct acpi_tables *acpi)
{
	uint32_t at = open_table(acpi, "WAET", 1);

	buffer_add_number(&acpi->tables, BIT(1), 4);
	close_table(acpi, at);
	return at;
}

static uint32_t write_dsdt(struct acpi_tables *acpi, const struct pc_options *options)
{
	uint32_t at = open_table(acpi, "DSDT", 1);

	dsdt_write(&acpi->tables, options);
	close_table(acpi, at);
	return at;
}

/* [5.2.5.3] ACPI 1.0 form: 20 bytes */
static void write_rsdp(struct acpi_tables *acpi, uint32_t rsdt)
{
	struct buffer *b = &acpi->rsdp;

	buffer_add_text(b, "RSD PTR ");
	buffer_add_number(b, 0, 1);
	buffer_add_text(b, "KELVIN");
	buffer_add_number(b, 0, 1);
	buffer_add_number(b, 0, 4);
	add_pointer(acpi, true, 16, rsdt);
	add_checksum(acpi, true, 8, 0, 20);
}

void acpi_build(struct acpi_tables *acpi, const struct pc_options *options)
{
	uint32_t table[8], rsdt, facs, dsdt;
	unsigned count = 0;

	*acpi = (struct acpi_tables){ 0 };
	facs = acpi->facs = write_facs(acpi);
	dsdt = write_dsdt(acpi, options);
	table[count++] = write_fadt(acpi, facs, dsdt, options);
	table[count++] = write_madt(acpi, options);
	if (options->hpet)
		table[count++] = write_hpet(acpi);
	table[count++] = write_waet(acpi);
	rsdt = open_table(acpi, "RSDT", 1);
	buffer_add(&acpi->tables, NULL, 4 * count);
	for (unsigned i = 0; i < count; i++)
		add_pointer(acpi, false, rsdt + HEADER_BYTES + 4 * i, table[i]);
	close_table(acpi, rsdt);
	write_rsdp(acpi, rsdt);
}

void acpi_free(struct acpi_tables *acpi)
{
	buffer_free(&acpi->tables);
	buffer_free(&acpi->rsdp);
}

void acpi_place(struct acpi_tables *acpi, uint64_t gpa)
{
	for (unsigned i = 0; i < acpi->pointers; i++) {
		const struct acpi_pointer *p = &acpi->pointer[i];
		uint8_t *at = (p->in_rsdp ? &acpi->rsdp : &acpi->tables)->data + p->at;

		store_le32(at, load_le32(at) + gpa);
	}
	for (unsigned i = 0; i < acpi->checksums; i++) {
		const struct acpi_checksum *c = &acpi->checksum[i];
		uint8_t *bytes = (c->in_rsdp ? &acpi->rsdp : &acpi->tables)->data;
		uint8_t sum = 0;

		for (uint32_t k = 0; k < c->length; k++)
			sum += bytes[c->start + k];
		bytes[c->at] -= sum;
	}
}

/* The script's entries: a command and its arguments, 128 bytes each. */
static uint8_t *script_entry(struct buffer *script, uint32_t command)
{
	uint8_t *entry;

	buffer_add(script, NULL, SCRIPT_ENTRY);
	entry = script->data + script->size - SCRIPT_ENTRY;
	store_le32(entry, command);
	return entry + 4;
}

static void script_allocate(struct buffer *script, const char *file, uint32_t align, uint8_t zone)
{
	uint8_t *entry = script_entry(script, 1);

	memcpy(entry, file, strlen(file));
	store_le32(entry + SCRIPT_NAME, align);
	entry[SCRIPT_NAME + 4] = zone;
}

void acpi_loader_script(const struct acpi_tables *acpi, struct buffer *script)
{
	script_allocate(script, tables_file, 64, 1); /* high memory */
	script_allocate(script, rsdp_file, 16, 2);   /* below 1 MiB */
	for (unsigned i = 0; i < acpi->pointers; i++) {
		const struct acpi_pointer *p = &acpi->pointer[i];
		uint8_t *entry = script_entry(script, 2);
		const char *file = p->in_rsdp ? rsdp_file : tables_file;

		memcpy(entry, file, strlen(file));
		memcpy(entry + SCRIPT_NAME, tables_file, strlen(tables_file));
		store_le32(entry + 2 * SCRIPT_NAME, p->at);
		entry[2 * SCRIPT_NAME + 4] = p->size;
	}
	for (unsigned i = 0; i < acpi->checksums; i++) {
		const struct acpi_checksum *c = &acpi->checksum[i];
		uint8_t *entry = script_entry(script, 3);
		const char *file = c->in_rsdp ? rsdp_file : tables_file;

		memcpy(entry, file, strlen(file));
		store_le32(entry + SCRIPT_NAME, c->at);
		store_le32(entry + SCRIPT_NAME + 4, c->start);
		store_le32(entry + SCRIPT_NAME + 8, c->length);
	}
}
