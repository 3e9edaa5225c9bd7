/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Random programs of many blocks, run by the interpreter and by the translator.
 *
 * program.c and program16.c make up the code and the registers, guest.c runs it in a VM and stops at every fault,
 * main.c compares the two at every stop.
 */
#ifndef TESTS_SEQUENCE_H
#define TESTS_SEQUENCE_H

#include "../diff/diff.h"

#include "kvm_abi.h"
#include "vm.h"

#define RING_3_HIGH 0x123440000000ull    /* + RING_3_AT */
#define RING_3_CONSTANT 0x123480000000ull /* + RING_3_AT */

enum {
	GUEST_BYTES = 4 << 20,
	TABLES_AT = 0x1000, /* four pages */
	GDT_AT = 0x5000,
	IDT_AT = 0x6000,
	HANDLERS_AT = 0x7000, /* 16 bytes for each vector */
	PROGRAM_AT = 0x10000,
	PROGRAM_BYTES = 0x8000,
	STACK_TOP = 0x20000,
	STACK_16_AT = 0x18000, /* SS' base in 16-bit programs, and DS' in real mode */
	DATA_16_AT = 0x40000,
	DATA_AT = 0x200000, /* 2 MiB of 4 KiB pages, some missing or read-only */
	/* Ring 3, for the window: all from PROGRAM_AT on is there at three linear addresses; the data
	 * at each lie across a multiple of 64 MiB. At the last nothing can be written. */
	RING_3_AT = 0x14000000 - DATA_AT - 0x9000,
	RING_3_TABLES_AT = 0x8000, /* five more pages */
	RING_0_STACK_TOP = 0xe000,
	TSS_AT = 0xf000,
	PORT_END = 0xf4,
	PORT_FAULT = 0x40, /* + vector */
	MAX_BLOCKS = 64,
};

struct program {
	/* 32-bit protected mode with paging; 16-bit protected mode with paging, where CS may be too
	 * small; or real mode, where ES may reach everything; else 64-bit mode */
	bool is_32, is_16, is_limited, is_real, is_big;
	uint32_t base; /* of linear addresses: RING_3_AT there, in 64-bit mode; else 0 */
	uint8_t code[PROGRAM_BYTES];
	unsigned bytes, blocks;
	unsigned block[MAX_BLOCKS + 1]; /* offsets; the last is the end's */
	uint64_t gpr[16];
	uint8_t data[0x1000]; /* repeated over the data pages */
	uint8_t xsave[AREA_BYTES];
};

/* program.c */
void program_make(struct vcpu *c, struct random *r, unsigned forms, struct program *p);

/* segments.c: for 16-bit programs */
void segments_make(uint8_t *memory, const struct program *p);
void segments_set(struct kvm_sregs *s, const struct program *p);
struct kvm_segment segments_code(const struct program *p);

/* guest.c */
struct guest;
/* What can be seen at a stop. */
struct stop {
	uint32_t reason; /* KVM_EXIT_* */
	long result;     /* of KVM_RUN */
	uint64_t detail; /* port, address or vector */
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	uint8_t xsave[4096];
	uint64_t fault_rip, fault_error;
};
struct guest *guest_new(const struct vm_options *options, unsigned vcpu); /* that is the one */
struct vcpu *guest_vcpu(struct guest *g);
uint8_t *guest_memory(struct guest *g);
void guest_load(struct guest *g, const struct program *p);
/* Runs to the next stop; false: the program is over (or beyond help). */
bool guest_run(struct guest *g, const struct program *p, struct stop *stop);
void guest_interrupt(struct guest *g, bool on); /* in a signal handler too */
void guest_free(struct guest *g);

#endif
