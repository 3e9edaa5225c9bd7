/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Open pages (engine/jit/open.c) whose contents change: by ring 3, ring 0 and the host. Guests of
 * phases.h.
 */
#include "phases.h"

#include <string.h>
#include <sys/mman.h>

enum { ALIAS = 0x218000, UNRELATED = 0x250000, SECOND_SLOT = 0x800000 };

PROGRAMS(by_ring_3, PHASED, "xorb $3, (%rdi)");
PROGRAMS(by_ring_0, PHASED, "int $0x43");
PROGRAMS(by_host, PHASED, "out %eax, $0xf4\n int $0x41");
GUEST(xor_gate, ".code64", "xorb $3, (%rdi)\n iretq");

/* By its own name or another one. */
static void rewrite(const struct program *p, uint64_t address)
{
	struct machine *m = phases_start(p, (struct kvm_regs){ .rdi = address + VALUE_AT });

	ring3_set_entry(m, ALIAS, PAGE | 7);
	ring3_add_gate(m, 0x43, xor_gate, xor_gate_end);
	phases_expect(m);
}

static void ring_3_may_rewrite_code(void **state)
{
	for (unsigned way = 0; way < WAYS; way++) {
		rewrite(&by_ring_3[way], PAGE);
		rewrite(&by_ring_3[way], ALIAS);
	}
}

static void ring_0_may_rewrite_code(void **state)
{
	for (unsigned way = 0; way < WAYS; way++) {
		rewrite(&by_ring_0[way], PAGE);
		rewrite(&by_ring_0[way], ALIAS);
	}
}

static struct machine *start_flushing(const struct program *p, uint64_t page)
{
	return phases_start(p, (struct kvm_regs){ .rdi = page });
}

/* What is written without telling the engine is there after a flush, */
static void devices_may_rewrite_code_before_a_flush(void **state)
{
	for (unsigned way = 0; way < WAYS; way++) {
		struct machine *m = start_flushing(&by_host[way], PAGE);

		for (unsigned n = 1; n <= PHASES; n++) {
			ring3_expect(m, phases_rax(n, RUNS, 1, 2));
			m->memory[PAGE + VALUE_AT] ^= 3;
		}
		phases_expect(m);
	}
}

/* or KVM_SET_REGS. */
static void debuggers_may_rewrite_code(void **state)
{
	for (unsigned way = 0; way < WAYS; way++) {
		struct machine *m = start_flushing(&by_host[way], UNRELATED);

		for (unsigned n = 1; n <= PHASES; n++) {
			struct kvm_regs regs;

			ring3_expect(m, phases_rax(n, RUNS, 1, 2));
			m->memory[PAGE + VALUE_AT] ^= 3;
			regs = machine_regs(m);
			machine_ioctl(m->vcpu, KVM_SET_REGS, &regs);
		}
		phases_expect(m);
	}
}

static void set_slot(struct machine *m, uint8_t *memory, unsigned bytes)
{
	struct kvm_userspace_memory_region region = { .slot = 1, .memory_size = bytes,
						      .guest_phys_addr = SECOND_SLOT,
						      .userspace_addr = (uintptr_t)memory };

	machine_ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &region);
}

static void slots_may_be_replaced(void **state)
{
	uint8_t *memory = mmap(NULL, 0x2000, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			       -1, 0);

	assert_ptr_not_equal(memory, MAP_FAILED);
	for (unsigned way = 0; way < WAYS; way++) {
		struct machine *m = start_flushing(&by_host[way], UNRELATED);

		memcpy(memory, m->memory + PAGE, 0x1000);
		memcpy(memory + 0x1000, m->memory + OTHER, 0x1000);
		set_slot(m, memory, 0x1000);
		ring3_set_entry(m, PAGE, SECOND_SLOT | 7);
		for (unsigned n = 1; n <= PHASES; n++) {
			ring3_expect(m, phases_rax(n, RUNS, 1, 2));
			set_slot(m, NULL, 0);
			set_slot(m, n & 1 ? memory + 0x1000 : memory, 0x1000);
		}
		phases_expect(m);
	}
	munmap(memory, 0x2000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ring_3_may_rewrite_code),
		cmocka_unit_test(ring_0_may_rewrite_code),
		cmocka_unit_test(devices_may_rewrite_code_before_a_flush),
		cmocka_unit_test(debuggers_may_rewrite_code),
		cmocka_unit_test(slots_may_be_replaced),
	};

	return ring3_run(tests, ARRAY_LEN(tests));
}
