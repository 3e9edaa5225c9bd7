/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Two vCPUs that change code and page tables under each other, while a third thread reads the dirty
 * log and moves memory slots.
 *
 * guest.c has the programs, in pairs; vm.c the machine and the threads; main.c what must hold.
 */
#ifndef TESTS_SMP_H
#define TESTS_SMP_H

#include "base/bits.h"
#include "vm.h"

/* Linear addresses; all but WINDOW and MOVED are guest-physical ones too. guest.c repeats them. */
enum {
	TABLES = 0x1000, /* PML4, PDPT, page directory, page table */
	GDT = 0x5000,
	IDT = 0x6000,
	PROGRAM_A = 0x8000, /* a page each, entered at the start */
	PROGRAM_B = 0x9000,
	FAULT_HANDLER = 0xa000,
	STACK_A = 0xc000, /* tops */
	STACK_B = 0xd000,
	INVLPG_HANDLER = 0xa800, /* of ring 3, which faults there */
	TSS = 0xe000,           /* 0x100 bytes each */
	RING_0_STACK = 0xf800,  /* A's top; B's is 0x400 higher */
	PATCHED = 0x10000,       /* code that A writes and B calls */
	PATCHED_ALIAS = 0x11000, /* the same page */
	SHARED = 0x20000,
	FRAME_0 = 0x30000, /* what WINDOW shows */
	FRAME_1 = 0x31000,
	WINDOW = 0x40000,
	MOVED = 0x41000, /* shows MOVED_GPA, which comes and goes */
	RAM_BYTES = 0x80000,
	MOVED_GPA = 0x200000,
	TAG_0 = 0x1111,
	TAG_1 = 0x2222,
};

/* Offsets in SHARED, a cache line each. */
enum {
	READY = 0x00,
	DONE = 0x40,
	REQUEST = 0x80,
	ACKNOWLEDGED = 0xc0,
	FINISHED = 0x100,
	ROUNDS = 0x140,
	FAULTS = 0x180,
	/* From 0x200: what `locked` counts. */
};

/* Ports the programs end with; EAX is what a failing one has seen. */
enum { YIELD_PORT = 0x80, PASSED_PORT = 0xf4, FAILED_PORT = 0xf5 };

struct pair {
	const char *name;
	const uint8_t *a, *a_end, *b, *b_end;
	uint32_t rounds;
};

enum { PAIRS = 4 };
extern const struct pair pairs[PAIRS];
extern const uint8_t fault_handler[], fault_handler_end[];
extern const uint8_t invlpg_handler[], invlpg_handler_end[];

/* Runs a pair, with a window in ring 3; true: both have passed, and the dirty log was true. Else it has said why not. */
bool pair_run(const struct pair *pair, const struct vm_options *options, bool disturbed, uint32_t rounds);

#endif
