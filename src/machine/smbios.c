/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SMBIOS structures: BIOS, system, chassis, processors, memory.
 *
 * Firmware puts the table's address into the entry point and fixes its checksums.
 *
 * Manual: DMTF DSP0134 2.8.0, chapter 7; structure types in [brackets].
 */
#include "machine/smbios.h"

#include "base/bytes.h"
#include "machine/layout.h"

struct smbios {
	struct buffer *out;
	unsigned count;
	size_t largest, start;
};

static uint8_t *open_structure(struct smbios *s, uint8_t type, uint8_t length, uint16_t handle)
{
	uint8_t *at;

	s->start = buffer_add(s->out, NULL, length);
	at = s->out->data + s->start;
	at[0] = type;
	at[1] = length;
	store_le16(at + 2, handle);
	return at;
}

/* `strings`: each ends with a zero, an empty one ends the set. */
static void close_structure(struct smbios *s, const char *strings)
{
	do {
		buffer_add(s->out, strings, strlen(strings) + 1);
		strings += strlen(strings) + 1;
	} while (*strings);
	buffer_add_number(s->out, 0, 1);
	s->largest = MAX(s->largest, s->out->size - s->start);
	s->count++;
}

static void add_memory(struct smbios *s, const struct pc_options *options)
{
	uint64_t mib = options->ram_bytes / MIB;
	uint8_t *t = open_structure(s, 16, 23, 0x1000); /* [16] array */

	t[4] = 1; /* other location */
	t[5] = 3; /* system memory */
	t[6] = 6; /* multi-bit ECC */
	store_le32(t + 7, MIN(mib * 1024, 0x80000000ull));
	store_le16(t + 11, 0xfffe);
	store_le16(t + 13, 1);
	if (mib * 1024 >= 0x80000000ull)
		store_le64(t + 15, options->ram_bytes);
	close_structure(s, "\0");
	t = open_structure(s, 17, 40, 0x1100); /* [17] device */
	store_le16(t + 4, 0x1000);
	store_le16(t + 6, 0xfffe);
	store_le16(t + 8, 0xffff);
	store_le16(t + 10, 0xffff);
	store_le16(t + 12, mib < 0x7fff ? mib : 0x7fff);
	t[14] = 9; /* DIMM */
	t[16] = 1;
	t[18] = 7; /* RAM */
	store_le16(t + 19, 2);
	if (mib >= 0x7fff)
		store_le32(t + 28, mib);
	close_structure(s, "DIMM 0\0");
	t = open_structure(s, 19, 31, 0x1300); /* [19] mapped address */
	store_le32(t + 4, 0);
	store_le32(t + 8, MIN(low_ram(options->ram_bytes) / KIB, 0xfffffffeull) - 1);
	store_le16(t + 12, 0x1000);
	t[14] = 1;
	close_structure(s, "\0");
}

static void add_processors(struct smbios *s, unsigned count)
{
	for (unsigned cpu = 0; cpu < count; cpu++) {
		uint8_t *t = open_structure(s, 4, 42, 0x400 + cpu); /* [4] */

		t[4] = 1;    /* socket */
		t[5] = 3;    /* central processor */
		t[6] = 1;    /* other family */
		t[7] = 2;    /* manufacturer */
		store_le16(t + 20, 2000);
		store_le16(t + 22, 2000);
		t[24] = 0x41; /* populated, enabled */
		t[25] = 1;
		store_le16(t + 26, 0xffff);
		store_le16(t + 28, 0xffff);
		store_le16(t + 30, 0xffff);
		t[35] = t[36] = t[37] = 1;
		store_le16(t + 38, 2);
		close_structure(s, "CPU\0Kelvin\0");
	}
}

void smbios_build(const struct pc_options *options, struct buffer *tables, struct buffer *anchor)
{
	struct smbios s = { .out = tables };
	uint8_t *t;

	t = open_structure(&s, 0, 24, 0); /* [0] BIOS */
	t[4] = 1;
	t[5] = 2;
	store_le16(t + 6, 0xe800);
	t[8] = 3;
	store_le64(t + 10, BIT(3)); /* characteristics not said */
	t[19] = 0x10;               /* a virtual machine */
	t[22] = t[23] = 0xff;
	close_structure(&s, "Kelvin\0" "1.0\0" "01/01/2026\0");
	t = open_structure(&s, 1, 27, 0x100); /* [1] system */
	t[4] = 1;
	t[5] = 2;
	t[6] = 3;
	if (options->has_uuid) { /* the first three fields are little-endian */
		store_le32(t + 8, load_be32(options->uuid));
		store_le16(t + 12, load_be16(options->uuid + 4));
		store_le16(t + 14, load_be16(options->uuid + 6));
		memcpy(t + 16, options->uuid + 8, 8);
	}
	t[24] = 6; /* woken by the power switch */
	close_structure(&s, "Kelvin\0" "Standard PC (i440FX + PIIX)\0" "1.0\0");
	t = open_structure(&s, 3, 22, 0x300); /* [3] chassis */
	t[4] = 1;
	t[5] = 1;
	t[9] = t[10] = t[11] = 3;
	t[12] = 2;
	close_structure(&s, "Kelvin\0");
	add_processors(&s, options->vcpus);
	add_memory(&s, options);
	open_structure(&s, 32, 11, 0x2000); /* [32] booted without errors */
	close_structure(&s, "\0");
	open_structure(&s, 127, 4, 0x7f00); /* [127] end */
	close_structure(&s, "\0");

	buffer_add(anchor, NULL, 31);
	t = anchor->data + anchor->size - 31;
	memcpy(t, "_SM_", 4);
	t[5] = 31;
	t[6] = 2;
	t[7] = 8;
	store_le16(t + 8, s.largest);
	memcpy(t + 16, "_DMI_", 5);
	store_le16(t + 22, tables->size);
	store_le16(t + 28, s.count);
	t[30] = 0x28;
}

static uint8_t sum(const uint8_t *bytes, size_t count)
{
	uint8_t total = 0;

	for (size_t i = 0; i < count; i++)
		total += bytes[i];
	return total;
}

void smbios_place(struct buffer *anchor, uint32_t gpa)
{
	uint8_t *t = anchor->data;

	store_le32(t + 24, gpa);
	t[21] -= sum(t + 16, 15);
	t[4] -= sum(t, 31);
}
