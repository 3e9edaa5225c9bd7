/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Guests of ring3.h that go to PAGE RUNS times in each of PHASES. Behind each phase what is there
 * changes. EAX tells what has run, and in which order.
 */
#ifndef TESTS_PHASES_H
#define TESTS_PHASES_H

#include "ring3.h"

enum { PHASES = 10, RUNS = 20 };

/* What is in PAGE has the value 1, and in OTHER 2: the byte at VALUE_AT. RET follows. */
#define ADD(value) "leal " value "(%rax, %rax, 2), %eax\n"
enum { VALUE_AT = 3 };

/* The first jump behind a change is one that is linked. */
#define PHASED(name, way, change)                                                \
	GUEST(name, ".code64",                                                   \
	      "100: movl $10, %ebp\n movl $20, %ecx\n 1: " way "decl %ecx\n jnz 1b\n" \
	      "movl $20, %ecx\n" change "\n decl %ebp\n jnz 1b\n out %eax, $0xf4\n")

/* Registers: ring3_set_regs(). */
struct machine *phases_start(const struct program *p, struct kvm_regs regs);
/* EAX behind so many phases, with the one value and the other in turn. */
uint32_t phases_rax(unsigned phases, unsigned runs, uint32_t first, uint32_t second);
void phases_expect(struct machine *m); /* all of them, with 1 and 2, and the end */

#endif
