/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who has the window with vm_options.window = 1 (engine/mmu/window.c): guests of ring3.h that compute while
 * interrupts come, some milliseconds apart.
 */
#include "ring3.h"

#include <unistd.h>

enum { INTERRUPT = 0x43, IF = 0x200, MANY_FAULTS = 200, TICK_US = 1500, EXITS_PER_TICK = 20 };

/* Goes to the address space of RSI, if that is not 0. */
GUEST(compute_code, ".code64",
      "1: movl (%rbx), %ecx\n out %eax, $0xf4\n testq %rsi, %rsi\n jz 1b\n int $0x42\n xorl %esi, %esi\n jmp 1b");
GUEST(return_gate, ".code64", "iretq");

static struct machine *start(void)
{
	struct machine *m = ring3_start(compute_code, compute_code_end);
	struct kvm_regs regs = machine_regs(m);

	ring3_add_gate(m, INTERRUPT, return_gate, return_gate_end);
	regs.rbx = PAGE;
	regs.rflags |= IF;
	machine_ioctl(m->vcpu, KVM_SET_REGS, &regs);
	return m;
}

/* From one exit to the next, some times. */
static void compute(struct machine *m, unsigned exits)
{
	while (exits--)
		assert_int_equal(machine_run(m), KVM_EXIT_IO);
}

static void tick(struct machine *m)
{
	const struct kvm_interrupt interrupt = { .irq = INTERRUPT };

	usleep(TICK_US);
	machine_ioctl(m->vcpu, KVM_INTERRUPT, &interrupt);
	compute(m, EXITS_PER_TICK);
}

static void ticks(struct machine *m, unsigned count)
{
	while (count--)
		tick(m);
}

static void expect_given(struct machine *m, unsigned times)
{
	assert_int_equal(ring3_counter(m, "given"), times);
}

static void who_computes_has_it(void **state)
{
	struct machine *m = start();

	compute(m, EXITS_PER_TICK);
	ticks(m, 1);
	expect_given(m, 0);
	ticks(m, 2);
	expect_given(m, 1);
	ring3_finish(m);
}

static void go_to(struct machine *m, uint64_t tables)
{
	ring3_set_regs(m, (struct kvm_regs){ .rbx = PAGE, .rsi = tables });
	compute(m, EXITS_PER_TICK);
}

/* The first has the window, the second computes. */
static struct machine *start_two(void)
{
	struct machine *m = start();

	ring3_second_space(m, PAGE, OTHER | 7);
	ticks(m, 3);
	go_to(m, OTHER_TABLES);
	return m;
}

static void who_has_ended_gives_way(void **state)
{
	struct machine *m = start_two();

	ticks(m, 5);
	expect_given(m, 1); /* the first may go on any time */
	machine_put64(m, TABLES_AT, 0);
	ticks(m, 1);
	expect_given(m, 2);
	ring3_finish(m);
}

static void who_rests_gives_way_later(void **state)
{
	struct machine *m = start_two();

	ticks(m, 30);
	expect_given(m, 2);
	ring3_finish(m);
}

static void who_fills_its_memory_waits(void **state)
{
	struct machine *m = start();

	ring3_set_entry(m, PAGE, 0);
	for (unsigned n = 0; n < 6; n++) {
		compute(m, MANY_FAULTS); /* each of them a fault */
		tick(m);
	}
	expect_given(m, 0);
	ring3_set_entry(m, PAGE, PAGE | 7);
	ticks(m, 4);
	expect_given(m, 1);
	ring3_finish(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_computes_has_it),
		cmocka_unit_test(who_has_ended_gives_way),
		cmocka_unit_test(who_rests_gives_way_later),
		cmocka_unit_test(who_fills_its_memory_waits),
	};

	ring3_window = 1;
	return ring3_run(tests, ARRAY_LEN(tests));
}
