/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Random guest programs, run by the interpreter and by the translator: what both leave behind must
 * be equal.
 *
 * A program is a list of items, of one or a few instructions each; branches name items. So an item
 * may be left out, and the rest is still a program: that is how a failing one is made small.
 */
#ifndef TESTS_ISOLATION_H
#define TESTS_ISOLATION_H

#include "base/bits.h"
#include "vm.h"

/* Linear addresses. The first five are supervisor pages that map to themselves. */
enum {
	TABLES = 0x10000,
	GDT = 0x20000,
	IDT = 0x21000,
	TSS = 0x22000,
	STUBS = 0x23000,
	FAULT_STACK = 0x26000,
	INTERRUPT_STACK = 0x27000, /* tops */
	CODE = 0x400000,
	CODE_PAGES = 4,
	CODE_BYTES = CODE_PAGES * 0x1000,
	CODE_ALIAS = 0x500000, /* the same pages again */
	DATA = 0x600000,
	DATA_PAGES = 8,
	STACK = 0x700000,
	STACK_TOP = STACK + 0x1e00,
	READ_ONLY = DATA + 0x2000,
	UNMAPPED = DATA + 0x3000,
	SUPERVISOR = DATA + 0x4000,
	MMIO = DATA + 0x5000,
	REMAPPED = DATA + 0x6000,
	RAM_BYTES = 0x80000,
	MMIO_GPA = 0x200000,
	/* Where those are in guest-physical memory: neighbours are apart. */
	CODE_GPA = 0x40000,
	DATA_GPA = 0x50000,
	STACK_GPA = 0x58000,
	DATA_TABLE = TABLES + 0x5000, /* the page table of DATA */
	SYSCALL_STUB = STUBS + 0xf00,
	SYSCALL_PORT = 0x80,
	INTERRUPT = 0x40,
	/* INT: RAX is REMAPPED's entry now; MOV CR3. For ring 3 with the window. */
	INT_REMAP = 0x41,
	INT_FLUSH = 0x43,
	GRANULE = 1 << 24, /* of the window */
	NEAR_GRANULES = 8, /* DATA and what follows it are at the start of some of these as well */
};

/*
 * With the window, all of the above is there three times, but for REMAPPED. In the last place DATA is
 * where there is a page of ours in this process, and so is the start of NEAR_GRANULE. Beyond what the
 * window reserves for these places all addresses are ours for some way.
 */
#define HIGH 0x123000000000ull
#define NEAR 0x340000000000ull
#define NEAR_GRANULE (NEAR + 5ull * GRANULE)

enum { MAX_ITEMS = 200, ITEM_BYTES = 48, MAX_EVENTS = 160 };

enum fix { FIX_NONE, FIX_RELATIVE, FIX_ADDRESS, FIX_ALIAS }; /* 4 bytes, the last ones: 8 bytes */

struct item {
	uint8_t bytes[ITEM_BYTES], length;
	uint8_t fix, fix_at;
	uint8_t before; /* bytes left free in front: 1 means up to near the page's end */
	uint16_t target;
	bool modifies, gone;
};

struct program {
	uint64_t seed;
	bool user, raw;  /* ring 3; random bytes */
	bool ring_3;     /* with addresses for the window */
	bool flags_open; /* status flags at faults and interrupts are not looked at */
	unsigned undefined; /* with target_options.steps: another number, other flags */
	uint16_t start;  /* in the first page */
	unsigned count;
	struct item item[MAX_ITEMS];
	uint64_t gpr[16], rflags;
	/* By place_program: */
	uint32_t address[MAX_ITEMS + 1];
	uint8_t code[CODE_BYTES];
};

uint64_t random_next(uint64_t *state);
void generate(struct program *p, uint64_t seed, bool raw, bool ring_3);
/* Of ours, which a guest would be looking for. */
uint64_t target_bait(unsigned n);
void place_program(struct program *p);

/* One fault, system call or exit the program had. */
struct event_seen {
	uint32_t exit, port;
	uint64_t frame[6], gpr[16], rip, rflags, cr2, xsave, mxcsr;
	uint64_t dirty[RAM_BYTES / 0x1000 / 64]; /* with the window, now and then: pages written */
};

struct result {
	unsigned events;
	struct event_seen event[MAX_EVENTS];
	bool hung;
	uint8_t ram[RAM_BYTES];
};

/*
 * KVM_RUN returns again and again, and interrupts are injected: before blocks of code, in every run
 * the same ones, of which none leads to another directly then; or when another thread says so.
 */
enum kicks { NO_KICKS, KICKS_BETWEEN_BLOCKS, KICKS_BY_THREAD };

struct target;
struct target_options {
	struct vm_options engine;
	enum kicks kicks;
	bool ring_3;
	bool steps; /* one instruction at a time; status flags that it leaves undefined are random */
	unsigned vcpu; /* this is the one: where its window is depends on that */
};
struct target *target_new(const struct target_options *options);
void target_free(struct target *t);
void target_run(struct target *t, const struct program *p, struct result *r);
/* Nothing around guest memory was touched; exits with a message if it was. */
void target_check_canaries(struct target *t);
/* True if the guest has got hold of what lies around its memory. */
bool target_leaked(const struct target *t, const struct result *r);

#endif
