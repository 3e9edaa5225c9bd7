/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * A vCPU in a megabyte of flat memory, without paging, decoder or interpreter: tests fill an
 * instruction and execute its handler.
 */
#ifndef SYS_RIG_H
#define SYS_RIG_H

#include "engine/sys/internal.h"

enum {
	RIG_BYTES = 0x100000,
	/* Where the rig keeps its tables. */
	RIG_GDT = 0x1000, RIG_IDT = 0x2000, RIG_TSS = 0x3000, RIG_CODE = 0x8000,
	RIG_STACK = 0x10000, RIG_STACK0 = 0x11000, RIG_IST1 = 0x12000,
	/* Selectors in its GDT. */
	SEL_CODE0 = 0x08, SEL_DATA0 = 0x10, SEL_CODE3 = 0x18, SEL_DATA3 = 0x20, SEL_TSS = 0x28,
	SEL_CODE64 = 0x38, SEL_FREE = 0x40,
};

extern uint8_t rig_memory[RIG_BYTES];
extern bool rig_no_write_at_0; /* page 0 faults when written */
extern unsigned rig_flushes;

struct vcpu *rig_new(void); /* after reset, all features */
void rig_free(struct vcpu *c);
/* Flat 32-bit code at `cpl`, GDT, IDT and TSS set up; RIP is RIG_CODE, RSP RIG_STACK. */
void rig_protected(struct vcpu *c, uint8_t cpl);
void rig_long(struct vcpu *c, uint8_t cpl); /* 64-bit code */

uint64_t rig_descriptor(uint32_t base, uint32_t limit, uint32_t rights);
void rig_gdt_set(uint16_t selector, uint64_t descriptor);
/* A gate of `type` for `vector`; rights: DPL and present. */
void rig_gate(struct vcpu *c, uint8_t vector, unsigned type, unsigned dpl, uint16_t selector,
	      uint64_t offset);

/* Runs a handler; `i` describes the instruction at c->rip. Returns what it raised: kind
 * EVENT_NONE when it went through. c->rip is then valid. */
struct event rig_execute(struct vcpu *c, op_fn *handler, struct insn i);
struct event rig_deliver(struct vcpu *c, struct event event);
uint64_t rig_get(gva_t address, unsigned size);
void rig_put(gva_t address, unsigned size, uint64_t value);

#endif
