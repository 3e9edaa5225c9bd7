/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Open pages (engine/jit/open.c): who goes from page to page in the window without a look comes to
 * what page tables lead to now. Guests of phases.h.
 */
#include "phases.h"

#include <string.h>

enum { NEXT = PAGE + 0x1000, CALLER = 0x220000, LARGE = 0x400000 };
#define UPPER 0xffffffff80000000

/* What is at RBX is R12 and R13 in turn. */
#define SWAP "xchgq %r12, %r13\n movq %r12, (%rbx)\n"

PROGRAMS(by_invlpg, PHASED, SWAP "int $0x41");
PROGRAMS(by_cr3, PHASED, SWAP "int $0x42");
PROGRAMS(by_space, PHASED, "xchgq %r12, %r13\n movq %r12, %rsi\n int $0x42");
PROGRAMS(by_host, PHASED, "out %eax, $0xf4\n int $0x41");

static uint64_t entry_at(uint64_t address)
{
	return PAGE_TABLE + (address >> 12 & 511) * 8;
}

static struct kvm_regs remapping(uint64_t address, uint64_t first, uint64_t second)
{
	return (struct kvm_regs){ .rbx = entry_at(address), .rdi = address, .rsi = TABLES_AT,
				  .r12 = first, .r13 = second };
}

static struct machine *start_remapping(const struct program *p)
{
	return phases_start(p, remapping(PAGE, PAGE | 7, OTHER | 7));
}

static void pages_may_be_remapped(void **state)
{
	for (unsigned n = 0; n < WAYS; n++) {
		phases_expect(start_remapping(&by_invlpg[n]));
		phases_expect(start_remapping(&by_cr3[n]));
	}
}

/* All is at UPPER too, where ways but indirect ones lead to. */
static void expect_upper(const struct program *p, uint64_t page)
{
	struct kvm_regs regs = remapping(PAGE, PAGE | 7, OTHER | 7);
	struct machine *m;

	regs.rip = UPPER | CODE_AT;
	regs.rdi = page;
	m = phases_start(p, regs);
	machine_put64(m, TABLES_AT + 8 * 511, (TABLES_AT + 0x1000) | 7);
	machine_put64(m, TABLES_AT + 0x1000 + 8 * 510, (TABLES_AT + 0x2000) | 7);
	phases_expect(m);
}

static void pages_in_the_upper_half_may_be_remapped(void **state)
{
	for (unsigned n = 0; n < WAYS; n++) {
		expect_upper(&by_invlpg[n], n < DIRECT_WAYS ? UPPER | PAGE : PAGE);
		expect_upper(&by_cr3[n], 0);
	}
}

/* The ends of the page before PAGE, entered with five bytes to go. */
PHASED(by_tail, PUSH_BACK "jmp 100b + 0x207ffb\n 9:", SWAP "int $0x41");
GUEST(plain_tail, ".code64", "nop\n nop\n nop\n nop\n nop");
GUEST(jump_tail, ".code64", "testl %ecx, %ecx\n nop\n jc jump_tail");
GUEST(call_tail, ".code64", "ret\n call call_tail");

static void code_may_run_into_other_pages(void **state)
{
	const struct program tails[] = { { plain_tail, plain_tail_end },
					 { jump_tail, jump_tail_end },
					 { call_tail, call_tail_end } };

	for (unsigned n = 0; n < ARRAY_LEN(tails); n++) {
		unsigned bytes = (unsigned)(tails[n].end - tails[n].code);
		struct machine *m = start_remapping(CODE(by_tail));

		ring3_put_code(m, PAGE - bytes, tails[n].code, tails[n].end);
		phases_expect(m);
	}
}

/* What is in PAGE changes behind every second phase; behind the others something else. */
#define SECOND(other, change) \
	"testl $1, %ebp\n jnz 5f\n" other "\n jmp 6f\n 5: " change "\n 6:"

static void expect_slowly(struct machine *m)
{
	ring3_expect_end(m, phases_rax(PHASES / 2, 2 * RUNS, 1, 2));
}

PROGRAMS(by_second, PHASED, SECOND("call 100b + 0x209000\n movl $0x211000, %edi\n int $0x41",
				   SWAP "movl $0x210000, %edi\n int $0x41"));

static void others_may_be_flushed_before(void **state)
{
	for (unsigned n = 0; n < WAYS; n++) {
		struct machine *m = start_remapping(&by_second[n]);

		m->memory[NEXT] = 0xc3; /* RET */
		expect_slowly(m);
	}
}

/* Code at LARGE + 0x10000; INVLPG of another address in its page, before of one in another. */
#define LARGE_CHANGE \
	SECOND("movl $0x5000, %edi\n int $0x41", SWAP "movl $0x405000, %edi\n int $0x41")
PHASED(by_large, "call 100b + 0x408000\n", LARGE_CHANGE);
PHASED(by_large_indirect, "movl $0x410000, %edx\n call *%rdx\n", LARGE_CHANGE);

static void expect_large(const struct program *p)
{
	const struct kvm_regs regs = { .rbx = TABLES_AT + 0x2000 + 8 * (LARGE >> 21),
				       .r12 = 0x200087, .r13 = 0x87 };
	struct machine *m = phases_start(p, regs);

	machine_put64(m, regs.rbx, regs.r12);
	memcpy(m->memory + PAGE - 0x200000, m->memory + OTHER, 0x1000);
	expect_slowly(m);
}

static void large_pages_may_be_remapped(void **state)
{
	expect_large(CODE(by_large));
	expect_large(CODE(by_large_indirect));
}

/* In PAGE, but for the last byte of its one instruction. */
enum { CROSSING = PAGE + 0xffd };
GUEST(crossing_code, ".code64",
      "jmp 1f\n .org crossing_code + 0xffd, 0x90\n 1: " ADD("1") "ret");

static struct machine *start_crossing(const struct program *p, uint64_t first, uint64_t second)
{
	struct machine *m = phases_start(p, remapping(NEXT, first, second));

	ring3_put_code(m, PAGE, crossing_code, crossing_code_end);
	ring3_put_code(m, OTHER, crossing_code + 0x1000, crossing_code_end);
	m->memory[OTHER] = 2;
	return m;
}

static void ends_of_instructions_may_be_remapped(void **state)
{
	for (unsigned n = 0; n < WAYS; n++) {
		phases_expect(start_crossing(&by_invlpg[n], NEXT | 7, OTHER | 7));
		phases_expect(start_crossing(&by_cr3[n], NEXT | 7, OTHER | 7));
	}
}

static void spaces_have_their_own(void **state)
{
	const struct kvm_regs regs = { .r12 = TABLES_AT, .r13 = OTHER_TABLES };

	for (unsigned n = 0; n < WAYS; n++) {
		struct machine *m = phases_start(&by_space[n], regs);

		ring3_second_space(m, PAGE, OTHER | 7);
		phases_expect(m);
	}
}

/* MOV CR3 flushes nothing. */
static void spaces_may_stay_known(void **state)
{
	const struct kvm_regs regs = { .r12 = TABLES_AT | 1 | 1ull << 63,
				       .r13 = OTHER_TABLES | 2 | 1ull << 63 };

	for (unsigned n = 0; n < WAYS; n++) {
		struct machine *m = phases_start(&by_space[n], regs);
		struct kvm_sregs s = { 0 };

		ring3_second_space(m, PAGE, OTHER | 7);
		machine_ioctl(m->vcpu, KVM_GET_SREGS, &s);
		s.cr4 |= 1 << 17; /* PCIDE */
		machine_ioctl(m->vcpu, KVM_SET_SREGS, &s);
		phases_expect(m);
	}
}

/* Many jumps lead to a page that goes and comes: they are linked once, not in each phase. */
enum { SITES = 20, LINKS_BESIDE = 5 * PHASES };
PHASED(by_sites, ".rept 20\n call 100b + 0x208000\n .endr\n",
       "movq $0, (%rbx)\n int $0x41\n movq %r12, (%rbx)\n int $0x41");

static void what_led_to_a_page_does_so_again(void **state)
{
	struct machine *m = start_remapping(CODE(by_sites));

	ring3_expect(m, phases_rax(PHASES, SITES * RUNS, 1, 1));
	assert_in_range(ring3_counter_of(m, "translator", "jumps-linked"), SITES, SITES + LINKS_BESIDE);
	ring3_finish(m);
}

/* Its number fits in a byte: what checks for it must be no shorter than what closes it. */
#define SHORT 0xffffffffffffffc0
PHASED(by_short, PUSH_BACK "movq $-0x40, %rdx\n jmp *%rdx\n 9:",
       "movq $0, (%rbx)\n int $0x41\n movq %r12, (%rbx)\n int $0x41");

static void short_addresses_are_closed_whole(void **state)
{
	const struct kvm_regs regs = { .rbx = entry_at(SHORT), .rdi = SHORT, .r12 = PAGE | 7 };
	struct machine *m = phases_start(CODE(by_short), regs);

	memcpy(m->memory + PAGE + (SHORT & 0xfff), m->memory + PAGE, 16);
	ring3_set_entry(m, SHORT, PAGE | 7);
	for (unsigned level = 0; level < 3; level++)
		machine_put64(m, TABLES_AT + level * 0x1000 + 8 * 511, (TABLES_AT + (level + 1) * 0x1000) | 7);
	ring3_expect_end(m, phases_rax(PHASES, RUNS, 1, 1));
}

/* In PAGE and NEXT, which change at once. */
GUEST(long_code, ".code64",
      "100: " ADD("1") "jmp 100b + 0x1000\n .org long_code + 0x1000\n" ADD("1") "ret");

static void several_pages_may_change(void **state)
{
	const struct kvm_regs regs = { .r12 = TABLES_AT, .r13 = OTHER_TABLES };

	for (unsigned n = 0; n < WAYS; n++) {
		struct machine *m = phases_start(&by_space[n], regs);

		ring3_put_code(m, PAGE, long_code, long_code_end);
		ring3_put_code(m, OTHER, long_code, long_code_end);
		m->memory[OTHER + VALUE_AT] = m->memory[OTHER + 0x1000 + VALUE_AT] = 2;
		ring3_second_space(m, PAGE, OTHER | 7);
		machine_put64(m, OTHER_TABLES - TABLES_AT + entry_at(NEXT), (OTHER + 0x1000) | 7);
		ring3_expect_end(m, phases_rax(PHASES, 2 * RUNS, 1, 2));
	}
}

/* The callee takes its own page away, and goes on in the other one. */
PHASED(own, CALL, "");
GUEST(own_first_code, ".code64", ADD("1") SWAP "int $0x41\n" ADD("1") "ret");
GUEST(own_second_code, ".code64", ADD("2") SWAP "int $0x41\n" ADD("2") "ret");

static void a_page_may_remap_itself(void **state)
{
	struct machine *m = start_remapping(CODE(own));
	uint32_t rax = 0;

	ring3_put_code(m, PAGE, own_first_code, own_first_code_end);
	ring3_put_code(m, OTHER, own_second_code, own_second_code_end);
	for (unsigned n = 0; n < PHASES * RUNS; n++)
		rax = 9 * rax + (n & 1 ? 3 * 2 + 1 : 3 * 1 + 2);
	ring3_expect_end(m, rax);
}

/* The callee takes the caller's page away. */
GUEST(caller_code, ".code64",
      "100: " ADD("1") "call 100b - 0x10000\n decl %ecx\n jnz 100b\n out %eax, $0xf4\n");
GUEST(callee_code, ".code64", SWAP "int $0x41\n ret");

static void a_callers_page_may_be_remapped(void **state)
{
	struct kvm_regs regs = remapping(CALLER, CALLER | 7, OTHER | 7);
	struct machine *m;

	regs.rip = CALLER;
	regs.rcx = PHASES * RUNS;
	m = phases_start(CODE(caller_code), regs);
	ring3_put_code(m, CALLER, caller_code, caller_code_end);
	ring3_put_code(m, OTHER, caller_code, caller_code_end);
	m->memory[OTHER + VALUE_AT] = 2;
	ring3_put_code(m, PAGE, callee_code, callee_code_end);
	ring3_expect_end(m, phases_rax(PHASES * RUNS, 1, 1, 2));
}

/* Behind each phase the entry is a bad one, and the host repairs it. */
static const struct bad {
	uint64_t flags, error;
	bool nx; /* EFER.NXE */
} bads[] = {
	{ 0, 4 }, { 0x26, 4 }, { 0x23, 5 }, { 0, 0x14, true }, { 0x23, 0x15, true },
	{ 0x27 | 1ull << 63, 0x15, true },
};

static void expect_faults(struct machine *m, const struct bad *bad, uint64_t address, uint64_t rip)
{
	struct kvm_sregs s = { 0 };

	machine_ioctl(m->vcpu, KVM_GET_SREGS, &s);
	s.efer |= bad->nx ? 0x800 : 0;
	machine_ioctl(m->vcpu, KVM_SET_SREGS, &s);
	for (unsigned n = 1; n < PHASES; n++) {
		ring3_expect_fault(m, address, bad->error);
		assert_int_equal(ring3_frame(m, FRAME_RIP), rip);
		assert_int_equal(ring3_frame(m, FRAME_RSP), USER_STACK - 8);
		ring3_set_entry(m, address, address | 7);
	}
	ring3_expect_end(m, phases_rax(PHASES, RUNS, 1, 1));
}

static void expect_faults_of(const struct program *p, const struct bad *bad)
{
	const uint64_t entry = PAGE | bad->flags, next = NEXT | bad->flags;

	expect_faults(phases_start(p, remapping(PAGE, entry, entry)), bad, PAGE, PAGE);
	expect_faults(start_crossing(p, next, next), bad, NEXT, CROSSING);
}

static void faults_are_at_the_target(void **state)
{
	for (unsigned n = 0; n < ARRAY_LEN(bads); n++)
		for (unsigned way = 0; way < WAYS; way++) {
			expect_faults_of(&by_invlpg[way], &bads[n]);
			expect_faults_of(&by_cr3[way], &bads[n]);
		}
}

static void accessed_bits_are_set_again(void **state)
{
	for (unsigned way = 0; way < WAYS; way++) {
		struct machine *m = phases_start(&by_host[way], (struct kvm_regs){ .rdi = PAGE });

		for (unsigned n = 1; n <= PHASES; n++) {
			ring3_expect(m, phases_rax(n, RUNS, 1, 1));
			assert_int_equal(*ring3_entry(m, PAGE) & 0x20, 0x20);
			ring3_set_entry(m, PAGE, PAGE | 7);
		}
		ring3_expect_end(m, phases_rax(PHASES, RUNS, 1, 1));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_may_be_remapped),
		cmocka_unit_test(pages_in_the_upper_half_may_be_remapped),
		cmocka_unit_test(code_may_run_into_other_pages),
		cmocka_unit_test(others_may_be_flushed_before),
		cmocka_unit_test(large_pages_may_be_remapped),
		cmocka_unit_test(ends_of_instructions_may_be_remapped),
		cmocka_unit_test(spaces_have_their_own),
		cmocka_unit_test(spaces_may_stay_known),
		cmocka_unit_test(what_led_to_a_page_does_so_again),
		cmocka_unit_test(short_addresses_are_closed_whole),
		cmocka_unit_test(several_pages_may_change),
		cmocka_unit_test(a_page_may_remap_itself),
		cmocka_unit_test(a_callers_page_may_be_remapped),
		cmocka_unit_test(faults_are_at_the_target),
		cmocka_unit_test(accessed_bits_are_set_again),
	};

	return ring3_run(tests, ARRAY_LEN(tests));
}
