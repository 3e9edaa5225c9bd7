/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the guest's page tables said, and for how long that may be used; and code that changes under
 * links from other pages. On the software engine: where an architecture leaves a choice, its choice
 * is tested.
 */
#include "machine.h"

#include <string.h>

enum { FIRST = 0x220000, SECOND = 0x230000 }; /* two physical pages, holding 1 and 2 */

/* Linear 0x210000 (its entry is at 0x4080) is global at first, 0x211000 (0x4088) is not. */
GUEST(flushing_code, ".code64",
      "movq %cr4, %rax\n orl $0x80, %eax\n movq %rax, %cr4\n"
      "movq $0x220163, 0x4080\n movq $0x220063, 0x4088\n"
      "invlpg 0x210000\n invlpg 0x211000\n"
      "movl 0x210000, %ebx\n movl 0x211000, %ecx\n"
      /* MOV CR3 drops what is not global. */
      "movq $0x230163, 0x4080\n movq $0x230063, 0x4088\n"
      "movq %cr3, %rax\n movq %rax, %cr3\n"
      "movl 0x210000, %edx\n movl 0x211000, %esi\n"
      /* INVLPG, and another CR4.PGE, drop global ones too. */
      "invlpg 0x210000\n movl 0x210000, %edi\n"
      "movq $0x220163, 0x4080\n"
      "movq %cr4, %rax\n xorl $0x80, %eax\n movq %rax, %cr4\n"
      "xorl $0x80, %eax\n movq %rax, %cr4\n"
      "movl 0x210000, %ebp\n"
      /* The same place in the TLB: global, then not. */
      "movq $0x220163, 0x4088\n invlpg 0x211000\n movl 0x211000, %r8d\n"
      "movq $0x230063, 0x4088\n movq %cr3, %rax\n movq %rax, %cr3\n movl 0x211000, %r9d\n"
      "invlpg 0x211000\n movl 0x211000, %r10d\n"
      "movq $0x220063, 0x4088\n movq %cr3, %rax\n movq %rax, %cr3\n movl 0x211000, %r11d\n"
      "hlt");

static void flushes_drop_what_they_have_to(void **state)
{
	struct machine *m = machine_new();
	struct kvm_regs regs;

	machine_start(m, LONG_64, flushing_code, flushing_code_end);
	m->memory[FIRST] = 1;
	m->memory[SECOND] = 2;
	assert_int_equal(machine_run(m), KVM_EXIT_HLT);
	regs = machine_regs(m);
	assert_int_equal(regs.rbx, 1);
	assert_int_equal(regs.rcx, 1);
	assert_int_equal(regs.rdx, 1); /* stayed */
	assert_int_equal(regs.rsi, 2);
	assert_int_equal(regs.rdi, 2);
	assert_int_equal(regs.rbp, 1);
	assert_int_equal(regs.r8, 1);
	assert_int_equal(regs.r9, 1); /* stayed */
	assert_int_equal(regs.r10, 2);
	assert_int_equal(regs.r11, 1);
	machine_free(m);
}

/* Adds what a function in another page says, which changes every 100 calls. */
GUEST(calling_code, ".code64",
      "xorl %ebx, %ebx\n movl $100, %ebp\n"
      "1: movl $100, %ecx\n"
      "2: .byte 0xe8\n .long 0x220000 - 0x8000 - (3f - calling_code)\n" /* CALL 0x220000 */
      "3: addl %eax, %ebx\n decl %ecx\n jnz 2b\n"
      "incl 0x220001\n"
      "decl %ebp\n jnz 1b\n hlt");
GUEST(called_code, ".code64", "movl $1, %eax\n ret");

static void links_follow_code_that_changes(void **state)
{
	struct machine *m = machine_new();

	machine_start(m, LONG_64, calling_code, calling_code_end);
	memcpy(m->memory + FIRST, called_code, (size_t)(called_code_end - called_code));
	assert_int_equal(machine_run(m), KVM_EXIT_HLT);
	assert_int_equal(machine_regs(m).rbx, 100 * (100 * 101 / 2));
	machine_free(m);
}

static struct kvm *open_engine(struct err *err)
{
	return kvm_open_engine(NULL, err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flushes_drop_what_they_have_to),
		cmocka_unit_test(links_follow_code_that_changes),
	};

	machine_open_system = open_engine;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
