/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writes ACPI machine language into a buffer.
 *
 * Objects that contain others are opened and closed: `size_t at = aml_open_device(b, "PCI0"); ...
 * aml_close(b, at);` – closing inserts the length. Names are up to four characters, or a path with
 * '\\' and '.' in aml_name_string().
 *
 * Manual: ACPI 6.4, chapter 20 (encoding) and 6.4 (resource descriptors).
 */
#ifndef MACHINE_AML_H
#define MACHINE_AML_H

#include "machine/buffer.h"

void aml_name_string(struct buffer *b, const char *path);
void aml_integer(struct buffer *b, uint64_t value);
void aml_string(struct buffer *b, const char *text);
void aml_eisa_id(struct buffer *b, const char *id); /* "PNP0A03" */

size_t aml_open_scope(struct buffer *b, const char *path);
size_t aml_open_device(struct buffer *b, const char *name);
size_t aml_open_method(struct buffer *b, const char *name, unsigned args);
size_t aml_open_package(struct buffer *b, unsigned elements);
size_t aml_open_if(struct buffer *b); /* the condition follows */
size_t aml_open_field(struct buffer *b, const char *region, unsigned flags);
void aml_field_unit(struct buffer *b, const char *name, unsigned bits);
void aml_close(struct buffer *b, size_t at);

void aml_name(struct buffer *b, const char *name); /* Name(name, ...): the object follows */
void aml_name_integer(struct buffer *b, const char *name, uint64_t value);
void aml_region(struct buffer *b, const char *name, unsigned space, uint64_t base, uint64_t size);

/* Resource template: open, descriptors, close. */
size_t aml_open_resources(struct buffer *b);
void aml_close_resources(struct buffer *b, size_t at);
void aml_io(struct buffer *b, uint16_t base, uint8_t length);
void aml_irq(struct buffer *b, unsigned irq);
void aml_dma(struct buffer *b, unsigned channel);
void aml_fixed_memory(struct buffer *b, uint32_t base, uint32_t length);
void aml_interrupts(struct buffer *b, const uint32_t *gsi, unsigned count); /* level, high, shared */
enum aml_window { AML_MEMORY, AML_PORTS, AML_BUSES };
void aml_window(struct buffer *b, enum aml_window kind, uint64_t first, uint64_t last);

#endif
