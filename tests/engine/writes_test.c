/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The host writes to code: what the engine finds after the guest's next flush, told of it (vm_options.writes) or
 * not. Guests of ring3.h.
 */
#include "ring3.h"

/* A flush before each call. */
GUEST(loop_code, ".code64",
      "100: movl $0x1000, %esi\n 1: int $0x42\n " CALL " out %eax, $0xf4\n jmp 1b");
GUEST(value_code, ".code64", "movl $1, %eax\n ret");

static uint64_t writes;

static struct machine *start(const uint64_t *counter)
{
	struct machine *m;

	ring3_writes = counter;
	m = ring3_start(loop_code, loop_code_end);
	ring3_writes = NULL;
	ring3_put_code(m, PAGE, value_code, value_code_end);
	for (unsigned n = 0; n < 3; n++)
		ring3_expect(m, 1);
	return m;
}

static void set_value(struct machine *m, uint8_t value)
{
	m->memory[PAGE + 1] = value;
}

static void memory_may_change_at_any_time(void **state)
{
	struct machine *m = start(NULL);

	for (unsigned n = 2; n < 5; n++) {
		set_value(m, (uint8_t)n);
		ring3_expect(m, n);
	}
	ring3_finish(m);
}

static void what_is_counted_is_found(void **state)
{
	struct machine *m = start(&writes);

	for (unsigned n = 2; n < 5; n++) {
		set_value(m, (uint8_t)n);
		ring3_expect(m, n - 1); /* nobody has said anything */
		writes++;
		ring3_expect(m, n);
		ring3_expect(m, n);
	}
	ring3_finish(m);
}

static void set_slot(struct machine *m, uint64_t address, uint64_t bytes)
{
	const struct kvm_userspace_memory_region slot = { .slot = 1,
							  .guest_phys_addr = 1 << 30,
							  .memory_size = bytes,
							  .userspace_addr = address };

	machine_ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &slot);
}

/* By another slot the guest could write to it, which nobody counts. */
static void memory_in_two_slots_is_compared(void **state)
{
	struct machine *m = start(&writes);
	uint64_t memory = (uintptr_t)m->memory;

	set_slot(m, memory + PAGE, 0x1000);
	for (unsigned n = 2; n < 5; n++) {
		set_value(m, (uint8_t)n);
		ring3_expect(m, n);
	}
	set_value(m, 5);
	set_slot(m, 0, 0); /* the last look was before it went */
	ring3_expect(m, 5);
	set_value(m, 6);
	ring3_expect(m, 5);
	ring3_finish(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_may_change_at_any_time),
		cmocka_unit_test(what_is_counted_is_found),
		cmocka_unit_test(memory_in_two_slots_is_compared),
	};

	return ring3_run(tests, ARRAY_LEN(tests));
}
