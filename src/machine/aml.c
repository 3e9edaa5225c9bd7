/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ACPI machine language: see aml.h. Section numbers are ACPI 6.4's. */
#include "machine/aml.h"

#include "base/bytes.h"

#include <assert.h>

static void byte(struct buffer *b, unsigned value)
{
	buffer_add_number(b, value, 1);
}

/* [20.2.2] names are four characters, padded with underscores */
static void segment(struct buffer *b, const char *name, size_t length)
{
	char four[4] = { '_', '_', '_', '_' };

	assert(length && length <= 4);
	memcpy(four, name, length);
	buffer_add(b, four, 4);
}

void aml_name_string(struct buffer *b, const char *path)
{
	unsigned segments = 1;

	if (*path == '\\') {
		byte(b, '\\');
		path++;
	}
	for (const char *p = path; *p; p++)
		segments += *p == '.';
	if (!*path)
		byte(b, 0);
	else if (segments == 2)
		byte(b, 0x2e);
	else if (segments > 2) {
		byte(b, 0x2f);
		byte(b, segments);
	}
	while (*path) {
		size_t length = strcspn(path, ".");

		segment(b, path, length);
		path += length + (path[length] == '.');
	}
}

void aml_integer(struct buffer *b, uint64_t value)
{
	unsigned bytes = value <= 0xff ? 1 : value <= 0xffff ? 2 : value <= UINT32_MAX ? 4 : 8;

	if (value <= 1) {
		byte(b, value);
		return;
	}
	byte(b, bytes == 1 ? 0x0a : bytes == 2 ? 0x0b : bytes == 4 ? 0x0c : 0x0e);
	buffer_add_number(b, value, bytes);
}

void aml_string(struct buffer *b, const char *text)
{
	byte(b, 0x0d);
	buffer_add(b, text, strlen(text) + 1);
}

/* [19.6.36] three letters in five bits each, four hexadecimal digits, big-endian */
void aml_eisa_id(struct buffer *b, const char *id)
{
	uint32_t value = (uint32_t)(id[0] - '@') << 26 | (uint32_t)(id[1] - '@') << 21 |
			 (uint32_t)(id[2] - '@') << 16;

	for (unsigned i = 3; i < 7; i++) {
		unsigned digit = id[i] <= '9' ? id[i] - '0' : id[i] - 'A' + 10;

		value |= digit << 4 * (6 - i);
	}
	byte(b, 0x0c);
	buffer_add_number(b, __builtin_bswap32(value), 4);
}

size_t aml_open_scope(struct buffer *b, const char *path)
{
	size_t at;

	byte(b, 0x10);
	at = b->size;
	aml_name_string(b, path);
	return at;
}

size_t aml_open_device(struct buffer *b, const char *name)
{
	size_t at;

	byte(b, 0x5b);
	byte(b, 0x82);
	at = b->size;
	aml_name_string(b, name);
	return at;
}

size_t aml_open_method(struct buffer *b, const char *name, unsigned args)
{
	size_t at;

	byte(b, 0x14);
	at = b->size;
	aml_name_string(b, name);
	byte(b, args | 8); /* serialized: methods here create named objects */
	return at;
}

size_t aml_open_package(struct buffer *b, unsigned elements)
{
	size_t at;

	byte(b, 0x12);
	at = b->size;
	byte(b, elements);
	return at;
}

size_t aml_open_if(struct buffer *b)
{
	byte(b, 0xa0);
	return b->size;
}

size_t aml_open_field(struct buffer *b, const char *region, unsigned flags)
{
	size_t at;

	byte(b, 0x5b);
	byte(b, 0x81);
	at = b->size;
	aml_name_string(b, region);
	byte(b, flags);
	return at;
}

/* [20.2.4] the package length counts its own bytes */
static unsigned encode_length(uint8_t out[4], size_t length, bool counts_itself)
{
	unsigned bytes = 1;

	if (length + counts_itself > 0x3f)
		bytes = length + 2 * counts_itself <= 0xfff ? 2 :
			length + 3 * counts_itself <= 0xfffff ? 3 : 4;
	length += counts_itself ? bytes : 0;
	if (bytes == 1) {
		out[0] = length;
		return 1;
	}
	out[0] = (bytes - 1) << 6 | (length & 15);
	length >>= 4;
	for (unsigned i = 1; i < bytes; i++, length >>= 8)
		out[i] = length;
	return bytes;
}

void aml_field_unit(struct buffer *b, const char *name, unsigned bits)
{
	uint8_t length[4];

	segment(b, name, strlen(name));
	buffer_add(b, length, encode_length(length, bits, false));
}

void aml_close(struct buffer *b, size_t at)
{
	uint8_t length[4];
	unsigned bytes = encode_length(length, b->size - at, true);

	buffer_insert(b, at, length, bytes);
}

void aml_name(struct buffer *b, const char *name)
{
	byte(b, 0x08);
	aml_name_string(b, name);
}

void aml_name_integer(struct buffer *b, const char *name, uint64_t value)
{
	aml_name(b, name);
	aml_integer(b, value);
}

void aml_region(struct buffer *b, const char *name, unsigned space, uint64_t base, uint64_t size)
{
	byte(b, 0x5b);
	byte(b, 0x80);
	aml_name_string(b, name);
	byte(b, space);
	aml_integer(b, base);
	aml_integer(b, size);
}

/* A resource template is a buffer object: length, size as a number, descriptors, end tag. */
size_t aml_open_resources(struct buffer *b)
{
	byte(b, 0x11);
	return b->size;
}

void aml_close_resources(struct buffer *b, size_t at)
{
	uint8_t size[3] = { 0x0b };

	byte(b, 0x79); /* end tag; a zero checksum is always accepted [6.4.2.9] */
	byte(b, 0);
	store_le16(size + 1, b->size - at);
	buffer_insert(b, at, size, 3);
	aml_close(b, at);
}

void aml_io(struct buffer *b, uint16_t base, uint8_t length)
{
	byte(b, 0x47);
	byte(b, 1); /* decodes 16 bits */
	buffer_add_number(b, base, 2);
	buffer_add_number(b, base, 2);
	byte(b, 1);
	byte(b, length);
}

void aml_irq(struct buffer *b, unsigned irq)
{
	byte(b, 0x22);
	buffer_add_number(b, BIT(irq), 2);
}

void aml_dma(struct buffer *b, unsigned channel)
{
	byte(b, 0x2a);
	byte(b, BIT(channel));
	byte(b, 0);
}

void aml_fixed_memory(struct buffer *b, uint32_t base, uint32_t length)
{
	byte(b, 0x86);
	buffer_add_number(b, 9, 2);
	byte(b, 1); /* read-write */
	buffer_add_number(b, base, 4);
	buffer_add_number(b, length, 4);
}

void aml_interrupts(struct buffer *b, const uint32_t *gsi, unsigned count)
{
	byte(b, 0x89);
	buffer_add_number(b, 2 + 4 * count, 2);
	byte(b, 0x09); /* consumer, level, active high, shared */
	byte(b, count);
	for (unsigned i = 0; i < count; i++)
		buffer_add_number(b, gsi[i], 4);
}

/* [6.4.3.5] address space descriptors: words for ports and buses, double words for memory */
void aml_window(struct buffer *b, enum aml_window kind, uint64_t first, uint64_t last)
{
	unsigned width = kind == AML_MEMORY ? (last > UINT32_MAX ? 8 : 4) : 2;

	byte(b, width == 8 ? 0x8a : width == 4 ? 0x87 : 0x88);
	buffer_add_number(b, 3 + 5 * width, 2);
	byte(b, kind);
	byte(b, 0x0c); /* minimum and maximum are fixed, positive decode, producer */
	byte(b, kind == AML_MEMORY ? 1 : kind == AML_PORTS ? 3 : 0);
	buffer_add_number(b, 0, width);
	buffer_add_number(b, first, width);
	buffer_add_number(b, last, width);
	buffer_add_number(b, 0, width);
	buffer_add_number(b, last - first + 1, width);
}
