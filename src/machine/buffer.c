/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Growing bytes: see buffer.h. */
#include "machine/buffer.h"

#include "base/bytes.h"

#include <stdio.h>
#include <stdlib.h>

static void reserve(struct buffer *buffer, size_t bytes)
{
	if (buffer->size + bytes <= buffer->room)
		return;
	buffer->room = MAX(buffer->room * 2, buffer->size + bytes);
	buffer->data = realloc(buffer->data, buffer->room);
	if (!buffer->data) {
		fputs("kelvin: out of memory while building firmware tables\n", stderr);
		abort();
	}
}

size_t buffer_add_room(struct buffer *buffer, size_t bytes)
{
	size_t at = buffer->size;

	reserve(buffer, bytes);
	buffer->size += bytes;
	return at;
}

size_t buffer_add(struct buffer *buffer, const void *from, size_t bytes)
{
	size_t at = buffer->size;

	if (!bytes)
		return at;
	buffer_add_room(buffer, bytes);
	if (from)
		memcpy(buffer->data + at, from, bytes);
	else
		memset(buffer->data + at, 0, bytes);
	return at;
}

size_t buffer_add_number(struct buffer *buffer, uint64_t value, unsigned bytes)
{
	return buffer_add(buffer, &value, bytes);
}

size_t buffer_add_text(struct buffer *buffer, const char *text)
{
	return buffer_add(buffer, text, strlen(text));
}

void buffer_insert(struct buffer *buffer, size_t at, const void *from, size_t bytes)
{
	reserve(buffer, bytes);
	memmove(buffer->data + at + bytes, buffer->data + at, buffer->size - at);
	memcpy(buffer->data + at, from, bytes);
	buffer->size += bytes;
}

void buffer_align(struct buffer *buffer, size_t to)
{
	buffer_add(buffer, NULL, ALIGN_UP(buffer->size, to) - buffer->size);
}

void buffer_free(struct buffer *buffer)
{
	free(buffer->data);
	*buffer = (struct buffer){ 0 };
}
