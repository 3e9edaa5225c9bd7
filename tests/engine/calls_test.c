/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Calls and returns in the window (engine/jit/exits.c): as deep as the guest likes, returns that
 * belong to no call, and flags that go along. Guests of ring3.h.
 */
#include "ring3.h"

enum {
	DEPTH = 3 * 4096 + 5,      /* more than RETURNS, engine/jit/internal.h, */
	ABANDONED = 10 * 4096 + 5, /* and than there is room for on that stack at all */
	ROUNDS = 20,
	HALF_EACH = ROUNDS / 2 * 0x101 + ROUNDS / 2,
	FUNCTION = CODE_AT + 0x10,
	RESULTS = 0x280000, /* a byte for each CX */
	VALUES = 1 << 16,
};

static struct machine *start(const struct program *p, const struct program *far)
{
	struct machine *m = ring3_start(p->code, p->end);

	ring3_put_code(m, PAGE, far->code, far->end);
	return m;
}

/* Recursion, from FUNCTION or PAGE to `callee` and on, counted on the way back. */
#define RECURSION(callee) "decl %ecx\n jz 3f\n call " callee "\n 3: incl %eax\n ret\n"
#define RECURSIVE(name, callee)                                                                 \
	GUEST(name, ".code64",                                                                  \
	      "100: jmp 1f\n .org " #name " + 0x10\n 2: " RECURSION(callee)                     \
	      "1: movl $5, %ebp\n 4: movl $3 * 4096 + 5, %ecx\n call 2b\n decl %ebp\n jnz 4b\n" \
	      "out %eax, $0xf4\n")

RECURSIVE(self_code, "2b");
RECURSIVE(self_indirect_code, "*%rdx");
RECURSIVE(direct_code, FAR);
RECURSIVE(indirect_code, "*%rbx");
GUEST(far_direct_code, ".code64", "2: " RECURSION("2b - 0x207ff0"));
GUEST(far_indirect_code, ".code64", RECURSION("*%rdx"));

static void expect_depth(const struct program *p, const struct program *far)
{
	struct machine *m = start(p, far);

	ring3_set_regs(m, (struct kvm_regs){ .rbx = PAGE, .rdx = FUNCTION });
	ring3_expect_end(m, 5 * DEPTH);
}

static void calls_may_be_deep(void **state)
{
	expect_depth(CODE(self_code), CODE(far_direct_code));
	expect_depth(CODE(self_indirect_code), CODE(far_direct_code));
	expect_depth(CODE(direct_code), CODE(far_direct_code));
	expect_depth(CODE(direct_code), CODE(far_indirect_code));
	expect_depth(CODE(indirect_code), CODE(far_direct_code));
	expect_depth(CODE(indirect_code), CODE(far_indirect_code));
}

/* Calls that nobody returns from; then a return to the first one. */
#define NO_RETURNS(name, way)                                                   \
	GUEST(name, ".code64",                                                  \
	      "100: call 1f\n out %eax, $0xf4\n 1: movl $10 * 4096 + 5, %ecx\n" \
	      "2: " way "incl %eax\n decl %ecx\n jnz 2b\n ret")

NO_RETURNS(pop_code, "call 3f\n 3: popq %rdx\n");
NO_RETURNS(far_pop_code, CALL);
NO_RETURNS(far_pop_indirect_code, CALL_INDIRECT);
GUEST(pops_code, ".code64", "popq %rdx\n jmp *%rdx");

static void calls_may_not_return(void **state)
{
	ring3_expect_end(start(CODE(pop_code), CODE(pops_code)), ABANDONED);
	ring3_expect_end(start(CODE(far_pop_code), CODE(pops_code)), ABANDONED);
	ring3_expect_end(start(CODE(far_pop_indirect_code), CODE(pops_code)), ABANDONED);
}

/* Calls that go on at R13 and R12 in turn, which are 4 and 3. R15 is RSP there. */
#define ELSEWHERE(name, way)                                                                 \
	GUEST(name, ".code64",                                                               \
	      "100: leaq 3f(%rip), %r12\n leaq 4f(%rip), %r13\n call 1f\n out %eax, $0xf4\n" \
	      "1: movl $20, %ecx\n 2: movq %rsp, %r15\n" way "addl $0x10000, %eax\n"         \
	      "3: addl $0x100, %eax\n 4: incl %eax\n decl %ecx\n jnz 2b\n ret")

ELSEWHERE(elsewhere_code, CALL);
ELSEWHERE(elsewhere_indirect_code, CALL_INDIRECT);
GUEST(overwrites_code, ".code64", "xchgq %r12, %r13\n movq %r12, (%rsp)\n ret");
GUEST(pushes_code, ".code64", "xchgq %r12, %r13\n popq %rdx\n pushq %r12\n ret");
GUEST(jumps_code, ".code64", "xchgq %r12, %r13\n popq %rdx\n jmp *%r12");
/* From so deep that the outermost calls are not remembered. */
GUEST(unwinds_code, ".code64",
      "xchgq %r12, %r13\n movl $3 * 4096 + 5, %ebp\n"
      "1: decl %ebp\n jz 2f\n call 1b\n ud2\n 2: movq %r15, %rsp\n jmp *%r12");

static void returns_may_lead_elsewhere(void **state)
{
	const struct program far[] = {
		{ overwrites_code, overwrites_code_end },
		{ pushes_code, pushes_code_end },
		{ jumps_code, jumps_code_end },
		{ unwinds_code, unwinds_code_end },
	};

	for (unsigned n = 0; n < ARRAY_LEN(far); n++) {
		ring3_expect_end(start(CODE(elsewhere_code), &far[n]), HALF_EACH);
		ring3_expect_end(start(CODE(elsewhere_indirect_code), &far[n]), HALF_EACH);
	}
}

/* The way back is changed by R12, which is 0 in the first ROUNDS, and by R13 in the last ones. */
#define ASTRAY(name, way, argument)                                                     \
	GUEST(name, ".code64",                                                          \
	      "100: movl $2, %ebp\n 1: movl $20, %ecx\n 2: " argument way "incl %eax\n" \
	      "decl %ecx\n jnz 2b\n movq %r13, %r12\n decl %ebp\n jnz 1b\n out %eax, $0xf4\n")

PROGRAMS(astray, ASTRAY, "");
PROGRAMS(astray_8, ASTRAY, "pushq %rcx\n");
GUEST(ret_code, ".code64", "xorq %r12, (%rsp)\n ret");
GUEST(ret_8_code, ".code64", "xorq %r12, (%rsp)\n ret $8");

/* #GP, with the stack as before RET. */
static void expect_to_stay(const struct program *p, const struct program *far, uint64_t change,
			   uint64_t rsp)
{
	struct machine *m = start(p, far);

	ring3_add_fault_gate(m, 13);
	ring3_set_regs(m, (struct kvm_regs){ .r13 = change });
	for (unsigned n = 0; n < ROUNDS; n++) {
		ring3_expect_fault(m, 0, 0);
		assert_int_equal(ring3_frame(m, FRAME_RIP), PAGE + 4);
		assert_int_equal(ring3_frame(m, FRAME_RSP), rsp);
		machine_put64(m, rsp, machine_get64(m, rsp) ^ change);
	}
	ring3_expect_end(m, 2 * ROUNDS);
}

static void returns_may_lead_to_no_address(void **state)
{
	static const uint64_t changes[] = { 1ull << 63, 1ull << 48, 1ull << 47 };

	for (unsigned n = 0; n < ARRAY_LEN(changes) * WAYS; n++) {
		unsigned way = n % WAYS;
		uint64_t change = changes[n / WAYS];

		expect_to_stay(&astray[way], CODE(ret_code), change, USER_STACK - 8);
		expect_to_stay(&astray_8[way], CODE(ret_8_code), change, USER_STACK - 16);
	}
}

/* #PF behind RET. */
static void expect_to_arrive(const struct program *p, const struct program *far, uint64_t change,
			     uint64_t slot)
{
	struct machine *m = start(p, far);

	ring3_set_regs(m, (struct kvm_regs){ .r13 = change });
	for (unsigned n = 0; n < ROUNDS; n++) {
		uint64_t target = ring3_run_to_fault(m);

		assert_int_equal(target, machine_get64(m, slot));
		assert_int_equal((target ^ change) & ~0xfffull, CODE_AT);
		assert_int_equal(ring3_frame(m, FRAME_ERROR), 4);
		assert_int_equal(ring3_frame(m, FRAME_RIP), target);
		assert_int_equal(ring3_frame(m, FRAME_RSP), USER_STACK);
		ring3_set_frame(m, FRAME_RIP, target ^ change);
	}
	ring3_expect_end(m, 2 * ROUNDS);
}

static void returns_may_lead_to_no_page(void **state)
{
	static const uint64_t changes[] = { 0x700000000000, 0xffff800000000000, 0x80000000 };

	for (unsigned n = 0; n < ARRAY_LEN(changes) * WAYS; n++) {
		unsigned way = n % WAYS;
		uint64_t change = changes[n / WAYS];

		expect_to_arrive(&astray[way], CODE(ret_code), change, USER_STACK - 8);
		expect_to_arrive(&astray_8[way], CODE(ret_8_code), change, USER_STACK - 16);
	}
}

/* Status flags, of CMP CH, CL and of INC CH, with CF from CL. */
#define CMP "cmpb %cl, %ch\n"
#define INC "movb %ch, %al\n btl $0, %ecx\n incb %al\n"
#define STORE "movb %al, 0x280000(%rcx)\n"
#define EACH_CX(body) \
	"100: xorl %ecx, %ecx\n 1: " body "incw %cx\n jnz 1b\n xorl %eax, %eax\n out %eax, $0xf4\n"

static uint8_t flags_of_result(uint8_t result)
{
	return (result & 0x80) | !result << 6 | !__builtin_parity(result) << 2;
}

static uint32_t cmp_flags(uint8_t a, uint8_t b)
{
	uint8_t result = a - b;

	return flags_of_result(result) | ((a ^ b) & (a ^ result) & 0x80) << 4 |
	       ((a ^ b ^ result) & 0x10) | (a < b);
}

static uint32_t inc_flags(uint8_t a, uint8_t b)
{
	uint8_t result = a + 1;

	return flags_of_result(result) | (result == 0x80) << 11 | !(result & 15) << 4 | (b & 1);
}

/* `get` is AL = the flag: in PAGE for programs that go there, and behind a call. */
#define FLAG(name, get)                                \
	GUEST(name##_far, ".code64", get STORE "ret"); \
	GUEST(name##_near, ".code64", EACH_CX(CALL get STORE))

FLAG(carry, "setc %al\n");
FLAG(parity, "setp %al\n");
FLAG(adjust, "lahf\n shrb $4, %ah\n movb %ah, %al\n andb $1, %al\n");
FLAG(zero, "setz %al\n");
FLAG(sign, "sets %al\n");
FLAG(overflow, "seto %al\n");

static const struct flag {
	uint32_t bit;
	struct program far, near;
} flags[] = {
	{ 0x001, { carry_far, carry_far_end }, { carry_near, carry_near_end } },
	{ 0x004, { parity_far, parity_far_end }, { parity_near, parity_near_end } },
	{ 0x010, { adjust_far, adjust_far_end }, { adjust_near, adjust_near_end } },
	{ 0x040, { zero_far, zero_far_end }, { zero_near, zero_near_end } },
	{ 0x080, { sign_far, sign_far_end }, { sign_near, sign_near_end } },
	{ 0x800, { overflow_far, overflow_far_end }, { overflow_near, overflow_near_end } },
};

static void expect_flag(struct machine *m, uint32_t bit, uint32_t (*flags_of)(uint8_t a, uint8_t b))
{
	ring3_expect(m, 0);
	for (unsigned cx = 0; cx < VALUES; cx++)
		if (m->memory[RESULTS + cx] != !!(flags_of(cx >> 8, cx & 0xff) & bit))
			fail_msg("flag %x with cx = %x: %u", bit, cx, m->memory[RESULTS + cx]);
	ring3_finish(m);
}

#define SETTING(name, way, set) GUEST(name, ".code64", EACH_CX(set way))

PROGRAMS(sets_by_cmp, SETTING, CMP);
PROGRAMS(sets_by_inc, SETTING, INC);

static void flags_go_along(void **state)
{
	for (unsigned n = 0; n < ARRAY_LEN(flags) * WAYS; n++) {
		const struct flag *flag = &flags[n / WAYS];

		expect_flag(start(&sets_by_cmp[n % WAYS], &flag->far), flag->bit, cmp_flags);
		expect_flag(start(&sets_by_inc[n % WAYS], &flag->far), flag->bit, inc_flags);
	}
}

GUEST(cmp_code, ".code64", CMP "ret");
GUEST(inc_code, ".code64", INC "ret");

static void flags_come_back(void **state)
{
	for (unsigned n = 0; n < ARRAY_LEN(flags); n++) {
		expect_flag(start(&flags[n].near, CODE(cmp_code)), flags[n].bit, cmp_flags);
		expect_flag(start(&flags[n].near, CODE(inc_code)), flags[n].bit, inc_flags);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_may_be_deep),
		cmocka_unit_test(calls_may_not_return),
		cmocka_unit_test(returns_may_lead_elsewhere),
		cmocka_unit_test(returns_may_lead_to_no_address),
		cmocka_unit_test(returns_may_lead_to_no_page),
		cmocka_unit_test(flags_go_along),
		cmocka_unit_test(flags_come_back),
	};

	return ring3_run(tests, ARRAY_LEN(tests));
}
