/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How many million guest instructions per second the engine runs, for a few kinds of code.
 *
 * Each kernel counts ECX (CX) down to zero; what one turn has is in the table. The translator is
 * off unless an argument is given.
 */
#include "../engine/machine.h"

#include "vm.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

GUEST(alu_code, ".code64",
      "1: addq %rcx, %rax\n xorq %rax, %rdx\n leaq 3(%rax,%rdx,2), %rbx\n shrq $3, %rbx\n"
      "subq %rbx, %rsi\n andl $0xffff, %esi\n cmpq %rdx, %rbx\n cmovbq %rdx, %rbx\n"
      "decl %ecx\n jnz 1b\n hlt");
GUEST(memory_code, ".code64",
      "movl $0x20000, %esi\n 1: movl %ecx, %edx\n andl $0xff8, %edx\n movq (%rsi,%rdx), %rax\n"
      "addq %rcx, %rax\n movq %rax, (%rsi,%rdx)\n addl %eax, 8(%rsi)\n movzbl 3(%rsi), %ebx\n"
      "pushq %rbx\n popq %rdi\n decl %ecx\n jnz 1b\n hlt");
GUEST(call_code, ".code64",
      "1: testb $3, %cl\n jz 2f\n incl %eax\n 2: callq 3f\n addl %eax, %edx\n decl %ecx\n"
      "jnz 1b\n hlt\n 3: xorl %eax, %edx\n retq");
GUEST(atomic_code, ".code64",
      "movl $0x20000, %esi\n 1: lock incq (%rsi)\n movl $1, %eax\n lock xaddl %eax, 8(%rsi)\n"
      "movl 16(%rsi), %eax\n leal 1(%rax), %edx\n lock cmpxchgl %edx, 16(%rsi)\n"
      "xchgq %rdx, 24(%rsi)\n decl %ecx\n jnz 1b\n hlt");
GUEST(division_code, ".code64",
      "movl $10, %ebx\n movl $0x20000, %edi\n 1: movl %ecx, %eax\n xorl %edx, %edx\n divl %ebx\n"
      "movq %rcx, %rax\n cqto\n idivq %rbx\n movb %ah, 1(%rdi)\n bswapq %rax\n decl %ecx\n"
      "jnz 1b\n hlt");
GUEST(string_code, ".code64",
      "1: movl $0x20000, %esi\n movl $0x21000, %edi\n movl %ecx, %ebx\n movl $8, %ecx\n rep movsq\n"
      "movl $100, %ecx\n rep stosb\n movl %ebx, %ecx\n decl %ecx\n jnz 1b\n hlt");
GUEST(x87_code, ".code64",
      "movl $0x20000, %esi\n fldz\n fld1\n 1: fldl (%rsi)\n fadd %st(1)\n fmul %st(0)\n"
      "faddp %st, %st(2)\n fld %st(1)\n fistpl 8(%rsi)\n decl %ecx\n jnz 1b\n hlt");
GUEST(real_code, ".code16",
      "movw $0x2000, %si\n 1: movw (%si), %ax\n addw %cx, %ax\n movw %ax, 2(%si)\n incw %dx\n"
      "decl %ecx\n jnz 1b\n hlt");

struct kernel {
	const char *name;
	enum machine_mode mode;
	const uint8_t *code, *end;
	double per_turn;
	uint32_t turns;
};

static const struct kernel kernels[] = {
	{ "arithmetic, 64-bit", LONG_64, alu_code, alu_code_end, 10, 10000000 },
	{ "memory, 64-bit", LONG_64, memory_code, memory_code_end, 11, 10000000 },
	{ "calls and branches, 64-bit", LONG_64, call_code, call_code_end, 8.75, 10000000 },
	{ "atomic, 64-bit", LONG_64, atomic_code, atomic_code_end, 9, 3000000 },
	{ "division, 64-bit", LONG_64, division_code, division_code_end, 10, 3000000 },
	{ "strings, 64-bit", LONG_64, string_code, string_code_end, 9, 1000000 },
	{ "x87, 64-bit", LONG_64, x87_code, x87_code_end, 8, 3000000 },
	{ "real mode", REAL_16, real_code, real_code_end, 6, 10000000 },
};

static bool translator;

static struct kvm *open_engine(struct err *err)
{
	return kvm_open_engine(&(struct vm_options){ .translator = translator }, err);
}

/* Of this thread, which is the vCPU: what else the machine does counts less. */
static uint64_t cpu_time_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void measure(const struct kernel *k)
{
	struct machine *m = machine_new();
	struct kvm_regs regs;
	uint64_t started, ns;

	machine_start(m, k->mode, k->code, k->end);
	regs = machine_regs(m);
	regs.rcx = k->turns;
	machine_ioctl(m->vcpu, KVM_SET_REGS, &regs);
	started = cpu_time_ns();
	assert_int_equal(machine_run(m), KVM_EXIT_HLT);
	ns = cpu_time_ns() - started;
	printf("%-28s %7.0f million instructions/s\n", k->name,
	       k->per_turn * k->turns * 1000.0 / (double)ns);
	machine_free(m);
}

static void kernels_run(void **state)
{
	for (unsigned n = 0; n < ARRAY_LEN(kernels); n++)
		measure(&kernels[n]);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(kernels_run) };

	(void)argv;
	translator = argc > 1;
	machine_open_system = open_engine;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
