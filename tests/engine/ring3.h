/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Guests in ring 3 with the window (engine/mmu/window.h): machine.h's on the software engine, which
 * translates at once, with vm_options.window = 2.
 *
 * The first 4 MiB map to themselves for ring 3 too, page tables included. Gates lead to ring 0: 0x41
 * is INVLPG [RDI], 0x42 MOV CR3 with RSI, and a page fault tells the host, which may change the
 * tables.
 */
#ifndef TESTS_RING3_H
#define TESTS_RING3_H

#include "machine.h"

enum {
	RING_0_STACK = 0x8000,
	OTHER_TABLES = 0x10000,          /* a second address space's: ring3_second_space() */
	PAGE_TABLE = TABLES_AT + 0x3000, /* of 0x200000 to 0x3fffff */
	PAGE = 0x210000,                 /* what most tests use */
	OTHER = 0x230000,
	USER_STACK = 0x260000,
	PORT_FAULT = 0xe0,
	PORT = 0xf4,
};

/* The vCPU there is, 0 or 1: their windows differ in where they are. */
extern unsigned ring3_vcpu;

extern int ring3_window; /* vm_options.window of those that start: 2 */
extern const uint64_t *ring3_writes; /* vm_options.writes: NULL */

/* All of main(): with either vCPU. */
int ring3_run(const struct CMUnitTest *tests, size_t count);

bool ring3_has_avx512(void); /* F, BW and DQ; and so have its guests */
struct machine *ring3_start(const uint8_t *code, const uint8_t *end);
void ring3_put_code(struct machine *m, unsigned at, const uint8_t *code, const uint8_t *end);
/* General registers, and RIP if it is not 0; RSP and flags stay. */
void ring3_set_regs(struct machine *m, struct kvm_regs regs);
void ring3_free(struct machine *m);
void ring3_finish(struct machine *m); /* the same; it has used the window */
/* Code for ring 0. */
void ring3_add_gate(struct machine *m, unsigned vector, const uint8_t *code, const uint8_t *end);
/* Of faults with error codes: tells the host, and goes on where the fault was. */
void ring3_add_fault_gate(struct machine *m, unsigned vector);

uint64_t *ring3_entry(struct machine *m, uint64_t address); /* in PAGE_TABLE */
void ring3_set_entry(struct machine *m, uint64_t address, uint64_t entry);
/* What has CR3 = OTHER_TABLES differs in that entry. */
void ring3_second_space(struct machine *m, uint64_t address, uint64_t entry);

uint64_t ring3_counter_of(const struct machine *m, const char *group, const char *name);
uint64_t ring3_counter(const struct machine *m, const char *name); /* of the group "window" */
void ring3_expect(struct machine *m, uint32_t value); /* by OUT, at PORT */
/* The last value: RSP is where it was at the start. ring3_finish(). */
void ring3_expect_end(struct machine *m, uint32_t value);
uint64_t ring3_run_to_fault(struct machine *m); /* CR2 */
void ring3_expect_fault(struct machine *m, uint64_t address, uint64_t error);
/* What ring 0 finds on its stack. */
enum ring3_frame { FRAME_ERROR, FRAME_RIP, FRAME_CS, FRAME_RFLAGS, FRAME_RSP };
uint64_t ring3_frame(const struct machine *m, enum ring3_frame word);
void ring3_set_frame(struct machine *m, enum ring3_frame word, uint64_t value);

/* Ways from a program at CODE_AT, where 100 is, to PAGE, whence RET leads behind them. RDX is used,
 * flags are left alone. */
#define FAR "100b + 0x208000\n"
#define PUSH_BACK "leaq 9f(%rip), %rdx\n pushq %rdx\n"
#define CALL "call " FAR
#define JMP PUSH_BACK "jmp " FAR "9:"
#define JCC PUSH_BACK "jc " FAR "jnc " FAR "hlt\n 9:"
#define CALL_INDIRECT "movl $0x210000, %edx\n call *%rdx\n"
#define JMP_INDIRECT PUSH_BACK "movl $0x210000, %edx\n jmp *%rdx\n 9:"
#define RET PUSH_BACK "pushq $0x210000\n ret\n 9:"

enum { DIRECT_WAYS = 3, WAYS = 6 }; /* the direct ones first */

struct program {
	const uint8_t *code, *end;
};

#define CODE(name) (&(const struct program){ name, name##_end })

/* One for each way: PROGRAM(name, way, text) is a GUEST(). */
#define PROGRAMS(name, PROGRAM, text)                                   \
	PROGRAM(name##_1, CALL, text);                                  \
	PROGRAM(name##_2, JMP, text);                                   \
	PROGRAM(name##_3, JCC, text);                                   \
	PROGRAM(name##_4, CALL_INDIRECT, text);                         \
	PROGRAM(name##_5, JMP_INDIRECT, text);                          \
	PROGRAM(name##_6, RET, text);                                   \
	static const struct program name[WAYS] = {                      \
		{ name##_1, name##_1_end }, { name##_2, name##_2_end }, \
		{ name##_3, name##_3_end }, { name##_4, name##_4_end }, \
		{ name##_5, name##_5_end }, { name##_6, name##_6_end }, \
	}

#endif
