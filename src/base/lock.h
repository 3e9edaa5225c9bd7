/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/* A mutex of one word, on port_wait(). Zero is unlocked. */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include "base/port.h"

struct lock {
	uint32_t word; /* 0 free, 1 held, 2 held and somebody may sleep */
};

static inline void lock_take(struct lock *lock)
{
	uint32_t seen = 0;

	if (__atomic_compare_exchange_n(&lock->word, &seen, 1, false, __ATOMIC_ACQUIRE,
					__ATOMIC_RELAXED))
		return;
	while (__atomic_exchange_n(&lock->word, 2, __ATOMIC_ACQUIRE))
		port_wait(&lock->word, 2, UINT64_MAX);
}

static inline void lock_drop(struct lock *lock)
{
	if (__atomic_exchange_n(&lock->word, 0, __ATOMIC_RELEASE) == 2)
		port_wake(&lock->word);
}

#endif
