/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/* Small things that C lacks. */
#ifndef BASE_BITS_H
#define BASE_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_LEN(a)          (sizeof(a) / sizeof((a)[0]))
#define container_of(p, T, m) ((T *)((char *)(p)-offsetof(T, m)))
#define BIT(n)                (1ull << (n))
#define MIN(a, b)             ((a) < (b) ? (a) : (b))
#define MAX(a, b)             ((a) > (b) ? (a) : (b))
#define ALIGN_DOWN(x, to)     ((x) & ~((to)-1ull))
#define ALIGN_UP(x, to)       (((x) + ((to)-1ull)) & ~((to)-1ull))
#define ALWAYS_INLINE         inline __attribute__((always_inline))
#define NOINLINE              __attribute__((noinline))
#define NORETURN              __attribute__((noreturn))
#define MUST_CHECK            __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))
#define likely(x)             __builtin_expect(!!(x), 1)
#define unlikely(x)           __builtin_expect(!!(x), 0)

#define KIB 1024ull
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

#define PAGE_SHIFT 12
#define PAGE_BYTES 4096ull
#define PAGE_MASK  (~(PAGE_BYTES - 1)) /* keeps the page number */

typedef uint64_t gpa_t; /* guest physical address */
typedef uint64_t gva_t; /* guest linear address */

static inline uint64_t bits_of(uint64_t value, unsigned low, unsigned count)
{
	return value >> low & (count < 64 ? BIT(count) - 1 : ~0ull);
}

static inline int64_t sign_extend(uint64_t value, unsigned bits)
{
	return (int64_t)(value << (64 - bits)) >> (64 - bits);
}

static inline bool is_power_of_two(uint64_t value)
{
	return value && !(value & (value - 1));
}

#endif
