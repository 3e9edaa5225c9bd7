/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A bare VM with one vCPU on either KVM, for tests that speak only the ABI. */
#ifndef TESTS_MACHINE_H
#define TESTS_MACHINE_H

#include "base/bits.h"
#include "host/kvm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum {
	MEMORY_BYTES = 4 << 20, /* at guest-physical 0, slot 0 */
	CODE_AT = 0x8000,
	DATA_AT = 0x20000,
	STACK_AT = 0x10000,
	TABLES_AT = 0x1000, /* PML4, PDPT, page directory, page table; GDT and IDT behind */
	GDT_AT = 0x5000,
	IDT_AT = 0x6000,
	HOLE_AT = 0x200000,
};

struct machine {
	struct kvm *system, *vm, *vcpu;
	struct kvm_run *run;
	uint8_t *memory;
	unsigned vcpu_id; /* 0 unless somebody says otherwise */
};

/* The provider tests use: set by the program before it runs them. */
extern struct kvm *(*machine_open_system)(struct err *err);

struct machine *machine_new(void); /* without vCPU */
void machine_add_vcpu(struct machine *m);
void machine_free(struct machine *m);

enum machine_mode { REAL_16, PROTECTED_32, PAGED_32, PAGED_PAE, LONG_64 };
/* A vCPU in `mode` about to run a copy of the code between the two labels. */
void machine_start(struct machine *m, enum machine_mode mode, const uint8_t *code,
		   const uint8_t *end);
/* Guest memory. */
void machine_put64(struct machine *m, uint64_t at, uint64_t value);
uint64_t machine_get64(const struct machine *m, uint64_t at);

/* What is from HOLE_AT on is no memory any more. */
void machine_leave_hole(struct machine *m);

/* 64-bit IDT entry. */
void machine_set_gate(struct machine *m, unsigned vector, uint64_t handler);

/* KVM_RUN until something else than -EINTR; the exit reason. Fails the test on an error. */
uint32_t machine_run(struct machine *m);
long machine_ioctl(struct kvm *kvm, unsigned long request, const void *argument);
void machine_expect_out(struct machine *m, uint16_t port, unsigned size, uint32_t value);
struct kvm_regs machine_regs(struct machine *m);

/* Guest code in the test's source: GUEST(name, ".code64", "instructions"). */
#define GUEST(name, bits, text)                                              \
	extern const uint8_t name[], name##_end[];                           \
	__asm__(".pushsection .rodata\n.balign 64\n" bits "\n" #name ":\n" text "\n" #name \
		"_end:\n.code64\n.popsection\n")

#endif
