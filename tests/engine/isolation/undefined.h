/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which status flags the manual leaves undefined. */
#ifndef TESTS_UNDEFINED_H
#define TESTS_UNDEFINED_H

#include <stdint.h>

struct vm_object;

/*
 * Behind these 15 bytes of 64-bit code, run with that RCX; *length is the instruction's. Not AF, which PUSHF
 * shows of nearly every program.
 */
uint16_t undefined_flags(const struct vm_object *vcpu, const uint8_t *bytes, uint64_t rcx, unsigned *length);

#endif
