/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A growing run of bytes, for firmware tables. Running out of memory ends the program. */
#ifndef MACHINE_BUFFER_H
#define MACHINE_BUFFER_H

#include "base/bits.h"

struct buffer {
	uint8_t *data;
	size_t size, room;
};

/* Appends `bytes` from `from` (zeroes when NULL); returns the offset they landed at. */
size_t buffer_add(struct buffer *buffer, const void *from, size_t bytes);
/* The same, with whatever there is. */
size_t buffer_add_room(struct buffer *buffer, size_t bytes);
size_t buffer_add_number(struct buffer *buffer, uint64_t value, unsigned bytes); /* little-endian */
size_t buffer_add_text(struct buffer *buffer, const char *text); /* without the final zero */
void buffer_insert(struct buffer *buffer, size_t at, const void *from, size_t bytes);
void buffer_align(struct buffer *buffer, size_t to);
void buffer_free(struct buffer *buffer);

#endif
