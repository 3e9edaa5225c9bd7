/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Indirect jumps of translated code (engine/jit/indirect.c): who comes where, when targets share the
 * low bits of their addresses, when their code or their page is another than last time, when returns are
 * not remembered, and when there can be no code at all. Guests in ring 0 on the software engine, which translates at once.
 */
#include "machine.h"

#include "vm.h"

#include <string.h>
#include <sys/mman.h>

enum {
	PAGE_TABLE = TABLES_AT + 0x3000, /* of 0x200000 to 0x3fffff */
	OTHER_TABLES = 0x11000,          /* for those of a second address space */
	TARGET = 0x210000,
	OTHER = 0x220000, /* the same low 16 bits */
	GATES_AT = 0x18000,
	LIST_AT = DATA_AT,
	PORT_FAULT = 0xe0,
};

/* Targets. Two add to EAX, with carry, and go back to RBP; one is called, and leaves its mark where the
 * way back was. */
GUEST(adds_1, ".code64", "adcl $1, %eax\n jmpq *%rbp");
GUEST(adds_10000, ".code64", "adcl $0x10000, %eax\n jmpq *%rbp");
GUEST(returns, ".code64", "incl %eax\n popq %rbp\n movq $0x5555, -8(%rsp)\n jmpq *%rbp");
GUEST(fault_gate, ".code64", "outb %al, $0xe0\n hlt");

static void put_code(struct machine *m, unsigned at, const uint8_t *code, const uint8_t *end)
{
	memcpy(m->memory + at, code, (size_t)(end - code));
}

static struct machine *start(const uint8_t *code, const uint8_t *end)
{
	struct machine *m = machine_new();

	machine_start(m, LONG_64, code, end);
	put_code(m, TARGET, adds_1, adds_1_end);
	put_code(m, OTHER, adds_10000, adds_10000_end);
	return m;
}

static void expect(struct machine *m, uint32_t value)
{
	machine_expect_out(m, 0xf4, 4, value);
	machine_free(m);
}

/* CF, which goes along, is 1 every second time. */
#define LOOP(change)                                                           \
	"xorl %eax, %eax\n movl $1000, %ecx\n leaq 2f(%rip), %rbp\n"           \
	"movq $0x210000, %rbx\n movq $0x220000, %rdx\n movq $0x210003, %rsi\n" \
	"movq $0x220003, %rdi\n 1: " change " bt $0, %ecx\n jmpq *%rbx\n"      \
	"2: decl %ecx\n jnz 1b\n outl %eax, $0xf4\n"

enum { HALF_EACH = 500 + 500 * 0x10000 + 500 };

GUEST(alternate_code, ".code64", LOOP("xchgq %rbx, %rdx\n"));

static void targets_may_share_low_bits(void **state)
{
	expect(start(alternate_code, alternate_code_end), HALF_EACH);
}

GUEST(remap_code, ".code64", LOOP("xchgq %rsi, %rdi\n movq %rsi, 0x4080\n invlpg (%rbx)\n"));

static void pages_may_be_remapped(void **state)
{
	expect(start(remap_code, remap_code_end), HALF_EACH);
}

GUEST(spaces_code, ".code64", LOOP("xchgq %r8, %r9\n movq %r8, %cr3\n"));

static void spaces_have_their_own(void **state)
{
	struct machine *m = start(spaces_code, spaces_code_end);
	struct kvm_regs regs = machine_regs(m);

	for (unsigned n = 0; n < 4; n++)
		memcpy(m->memory + OTHER_TABLES + 0x1000 * n, m->memory + TABLES_AT + 0x1000 * n,
		       0x1000);
	machine_put64(m, OTHER_TABLES, (OTHER_TABLES + 0x1000) | 3);
	machine_put64(m, OTHER_TABLES + 0x1000, (OTHER_TABLES + 0x2000) | 3);
	machine_put64(m, OTHER_TABLES + 0x2008, (OTHER_TABLES + 0x3000) | 3);
	machine_put64(m, OTHER_TABLES + 0x3080, OTHER | 3);
	regs.r8 = TABLES_AT;
	regs.r9 = OTHER_TABLES;
	machine_ioctl(m->vcpu, KVM_SET_REGS, &regs);
	expect(m, HALF_EACH);
}

/* The byte it adds is 0 to 63. */
GUEST(rewrite_code, ".code64", LOOP("movl %ecx, %r8d\n andl $63, %r8d\n movb %r8b, 2(%rbx)\n"));

static void code_may_be_rewritten(void **state)
{
	unsigned sum = 500;

	for (unsigned n = 1; n <= 1000; n++)
		sum += n & 63;
	expect(start(rewrite_code, rewrite_code_end), sum);
}

/* More calls than the host's stack remembers, of which the outermost go back by the table. */
GUEST(recursion_code, ".code64",
      "xorl %eax, %eax\n movl $50, %ebx\n"
      "1: movl $1500, %ecx\n call 2f\n decl %ebx\n jnz 1b\n outl %eax, $0xf4\n hlt\n"
      "2: decl %ecx\n jz 3f\n call 2b\n 3: incl %eax\n ret");

static void calls_may_be_deep(void **state)
{
	expect(start(recursion_code, recursion_code_end), 50 * 1500);
}

/* Targets that are none: after some that are, by the same jump. */
GUEST(jump_code, ".code64",
      "leaq 1f(%rip), %rbp\n 1: movq (%rsi), %rbx\n addq $8, %rsi\n jmpq *%rbx");
GUEST(call_code, ".code64", "1: movq (%rsi), %rbx\n addq $8, %rsi\n callq *%rbx\n jmp 1b");
GUEST(return_code, ".code64",
      "leaq 1f(%rip), %rbp\n 1: movq (%rsi), %rbx\n addq $8, %rsi\n pushq %rbx\n clc\n ret");

enum { GOOD = 50, STACK = STACK_AT - 0x100 + 8, LEFT_ALONE = 0x5555 };

static void set_gate(struct machine *m, unsigned vector)
{
	put_code(m, GATES_AT, fault_gate, fault_gate_end);
	machine_set_gate(m, vector, GATES_AT);
}

static struct machine *start_list(const uint8_t *code, const uint8_t *end, uint64_t good,
				  uint64_t bad)
{
	struct machine *m = start(code, end);
	struct kvm_regs regs = machine_regs(m);

	put_code(m, OTHER, returns, returns_end);
	for (unsigned n = 0; n < GOOD; n++)
		machine_put64(m, LIST_AT + 8 * n, good);
	machine_put64(m, LIST_AT + 8 * GOOD, bad);
	machine_put64(m, STACK - 8, LEFT_ALONE);
	regs.rsi = LIST_AT;
	regs.rsp = STACK;
	machine_ioctl(m->vcpu, KVM_SET_REGS, &regs);
	return m;
}

/* The frame is below the stack, which was not a multiple of 16: what is in between is as it was. */
static uint64_t frame(struct machine *m, unsigned word)
{
	return machine_get64(m, machine_regs(m).rsp + 8 * word);
}

static void expect_fault(struct machine *m)
{
	assert_int_equal(machine_run(m), KVM_EXIT_IO);
	assert_int_equal(m->run->io.port, PORT_FAULT);
	assert_int_equal((uint32_t)machine_regs(m).rax, GOOD);
}

/* #GP at the branch, whose last opcode byte is that, and RSP as before it. */
static void faults_at_branch(const uint8_t *code, const uint8_t *end, uint64_t good, uint64_t bad,
			     uint64_t rsp, uint8_t opcode)
{
	struct machine *m = start_list(code, end, good, bad);
	uint64_t rip;

	set_gate(m, 13);
	expect_fault(m);
	rip = frame(m, 1);
	assert_int_equal(frame(m, 0), 0);
	assert_int_equal(frame(m, 4), rsp);
	assert_int_equal(m->memory[rip + (opcode != 0xc3)], opcode);
	assert_int_equal(machine_get64(m, STACK - 8), opcode == 0xc3 ? bad : LEFT_ALONE);
	machine_free(m);
}

static void there_may_be_no_code(void **state)
{
	static const uint64_t bad[] = { 1ull << 63, 1ull << 47, 1ull << 47 | TARGET,
					1ull << 48 | OTHER, 0xffff7ffffffffff0 };

	for (unsigned n = 0; n < ARRAY_LEN(bad); n++) {
		faults_at_branch(jump_code, jump_code_end, TARGET, bad[n], STACK, 0xe3);
		faults_at_branch(call_code, call_code_end, OTHER, bad[n], STACK, 0xd3);
		faults_at_branch(return_code, return_code_end, TARGET, bad[n], STACK - 8, 0xc3);
	}
}

/* #PF behind the branch. */
static void faults_at_target(const uint8_t *code, const uint8_t *end, uint64_t good,
			     uint64_t target, uint64_t rsp)
{
	struct machine *m = start_list(code, end, good, target);

	set_gate(m, 14);
	expect_fault(m);
	assert_int_equal(frame(m, 1), target);
	assert_int_equal(frame(m, 4), rsp);
	machine_free(m);
}

static void there_may_be_no_page(void **state)
{
	static const uint64_t none[] = { 0xffff800000000000, 0xffffffff80000000 | TARGET,
					 0x700000000000 };

	for (unsigned n = 0; n < ARRAY_LEN(none); n++) {
		faults_at_target(jump_code, jump_code_end, TARGET, none[n], STACK);
		faults_at_target(call_code, call_code_end, OTHER, none[n], STACK - 8);
		faults_at_target(return_code, return_code_end, TARGET, none[n], STACK);
	}
}

/* With the window's table a vCPU has no room in the hole that is left here, the translator's tables have:
 * they are out of reach of displacements from the vCPU. */
static int options_window;

static int separate_tables(void **state)
{
	uint8_t *room = mmap(NULL, (size_t)9 * GIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			     -1, 0);

	options_window = 1;
	return room == MAP_FAILED ? -1 : munmap(room + (size_t)6 * GIB, (size_t)3 * GIB);
}

static struct kvm *open_engine(struct err *err)
{
	const struct vm_options options = { .translator = 2, .window = options_window };

	return kvm_open_engine(&options, err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(targets_may_share_low_bits),
		cmocka_unit_test(pages_may_be_remapped),
		cmocka_unit_test(spaces_have_their_own),
		cmocka_unit_test(code_may_be_rewritten),
		cmocka_unit_test(calls_may_be_deep),
		cmocka_unit_test(there_may_be_no_code),
		cmocka_unit_test(there_may_be_no_page),
	};

	int failed;

	machine_open_system = open_engine;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	return failed + cmocka_run_group_tests(tests, separate_tables, NULL);
}
