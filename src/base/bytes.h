/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/* Unaligned little- and big-endian numbers in byte arrays. Hosts are little-endian. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdint.h>
#include <string.h>

#define BYTES_ACCESSORS(bits)                                              \
	static inline uint##bits##_t load_le##bits(const void *from)       \
	{                                                                  \
		uint##bits##_t value;                                      \
		memcpy(&value, from, sizeof(value));                       \
		return value;                                              \
	}                                                                  \
	static inline void store_le##bits(void *to, uint##bits##_t value)  \
	{                                                                  \
		memcpy(to, &value, sizeof(value));                         \
	}                                                                  \
	static inline uint##bits##_t load_be##bits(const void *from)       \
	{                                                                  \
		return __builtin_bswap##bits(load_le##bits(from));         \
	}                                                                  \
	static inline void store_be##bits(void *to, uint##bits##_t value)  \
	{                                                                  \
		store_le##bits(to, __builtin_bswap##bits(value));          \
	}

BYTES_ACCESSORS(16)
BYTES_ACCESSORS(32)
BYTES_ACCESSORS(64)

/* The low `size` bytes (1 to 8) at `from`, and the reverse. */
static inline uint64_t load_le(const void *from, unsigned size)
{
	uint64_t value = 0;

	memcpy(&value, from, size);
	return value;
}

static inline void store_le(void *to, uint64_t value, unsigned size)
{
	memcpy(to, &value, size);
}

#endif
