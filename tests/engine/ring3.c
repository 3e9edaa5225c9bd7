/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guests of ring3.h. */
#include "ring3.h"

#include "base/port.h"
#include "vm.h"

#include <signal.h>
#include <string.h>

enum { TSS_AT = 0x7000, GATES_AT = 0x18000 };

GUEST(fault_gate, ".code64", "outb %al, $0xe0\n addq $8, %rsp\n iretq");
GUEST(invlpg_gate, ".code64", "invlpg (%rdi)\n iretq");
GUEST(cr3_gate, ".code64", "movq %rsi, %cr3\n iretq");

unsigned ring3_vcpu;
int ring3_window = 2;
const uint64_t *ring3_writes;

/* Each test of cmocka's has signal handlers of its own. */
static struct sigaction handlers[2];

/* Of a test that has failed: another one could not have its places in the window. */
static struct machine *left_over;

static struct kvm *open_engine(struct err *err)
{
	const struct vm_options options = { .translator = 2, .window = ring3_window,
					    .writes = ring3_writes };

	return kvm_open_engine(&options, err);
}

int ring3_run(const struct CMUnitTest *tests, size_t count)
{
	int failed = 0;

	if (port_fault_init())
		return 1;
	sigaction(SIGSEGV, NULL, &handlers[0]);
	sigaction(SIGBUS, NULL, &handlers[1]);
	machine_open_system = open_engine;
	for (ring3_vcpu = 0; ring3_vcpu < 2; ring3_vcpu++)
		failed += _cmocka_run_group_tests("ring 3", tests, count, NULL, NULL);
	return failed;
}

uint64_t *ring3_entry(struct machine *m, uint64_t address)
{
	return (uint64_t *)(m->memory + PAGE_TABLE) + (address >> 12 & 511);
}

void ring3_set_entry(struct machine *m, uint64_t address, uint64_t entry)
{
	*ring3_entry(m, address) = entry;
}

void ring3_second_space(struct machine *m, uint64_t address, uint64_t entry)
{
	machine_put64(m, OTHER_TABLES, (OTHER_TABLES + 0x1000) | 7);
	machine_put64(m, OTHER_TABLES + 0x1000, (OTHER_TABLES + 0x2000) | 7);
	machine_put64(m, OTHER_TABLES + 0x2000, 0x87);
	machine_put64(m, OTHER_TABLES + 0x2008, (OTHER_TABLES + 0x3000) | 7);
	memcpy(m->memory + OTHER_TABLES + 0x3000, m->memory + PAGE_TABLE, 0x1000);
	machine_put64(m, OTHER_TABLES + 0x3000 + (address >> 12 & 511) * 8, entry);
}

void ring3_put_code(struct machine *m, unsigned at, const uint8_t *code, const uint8_t *end)
{
	memcpy(m->memory + at, code, (size_t)(end - code));
}

void ring3_add_gate(struct machine *m, unsigned vector, const uint8_t *code, const uint8_t *end)
{
	unsigned at = GATES_AT + 64 * vector;

	ring3_put_code(m, at, code, end);
	machine_set_gate(m, vector, at);
	m->memory[IDT_AT + 16 * vector + 5] = 0xee; /* ring 3 may use it */
}

void ring3_add_fault_gate(struct machine *m, unsigned vector)
{
	ring3_add_gate(m, vector, fault_gate, fault_gate_end);
}

bool ring3_has_avx512(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	       __builtin_cpu_supports("avx512dq");
}

static void enter_ring_3(struct machine *m)
{
	struct kvm_regs regs = { .rip = CODE_AT, .rsp = USER_STACK, .rflags = 0x3002 };
	struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs[0].value = ring3_has_avx512() ? 0xe7 : 7 };
	struct kvm_sregs s = { 0 };

	machine_put64(m, GDT_AT + 24, 0x00cff3000000ffff);
	machine_put64(m, GDT_AT + 32, 0x00affb000000ffff);
	machine_put64(m, TSS_AT + 4, RING_0_STACK);
	machine_ioctl(m->vcpu, KVM_GET_SREGS, &s);
	s.cs.selector = 0x23;
	s.ss.selector = 0x1b;
	s.cs.dpl = s.ss.dpl = 3;
	s.tr = (struct kvm_segment){ .base = TSS_AT, .limit = 0x67, .selector = 0x28, .type = 11,
				     .present = 1 };
	s.gdt.limit = 0x2f;
	s.idt.limit = 0x4ff;
	s.cr4 |= 0x50000;
	s.fs.base = s.gs.base = PAGE;
	machine_ioctl(m->vcpu, KVM_SET_SREGS, &s);
	machine_ioctl(m->vcpu, KVM_SET_XCRS, &xcrs);
	machine_ioctl(m->vcpu, KVM_SET_REGS, &regs);
}

struct machine *ring3_start(const uint8_t *code, const uint8_t *end)
{
	struct machine *m;
	struct err err = { 0 };

	if (left_over)
		machine_free(left_over);
	left_over = m = machine_new();
	sigaction(SIGSEGV, &handlers[0], NULL);
	sigaction(SIGBUS, &handlers[1], NULL);
	for (unsigned n = 0; n < ring3_vcpu; n++)
		kvm_close(kvm_ioctl_new(m->vm, KVM_CREATE_VCPU, (void *)(uintptr_t)n, &err));
	m->vcpu_id = ring3_vcpu;
	machine_start(m, LONG_64, code, end);
	ring3_add_fault_gate(m, 14);
	ring3_add_gate(m, 0x41, invlpg_gate, invlpg_gate_end);
	ring3_add_gate(m, 0x42, cr3_gate, cr3_gate_end);
	enter_ring_3(m);
	return m;
}

void ring3_set_regs(struct machine *m, struct kvm_regs regs)
{
	struct kvm_regs now = machine_regs(m);

	if (!regs.rip)
		regs.rip = now.rip;
	regs.rsp = now.rsp;
	regs.rflags = now.rflags;
	machine_ioctl(m->vcpu, KVM_SET_REGS, &regs);
}

uint64_t ring3_counter_of(const struct machine *m, const char *group, const char *name)
{
	static struct vm_counter rows[4096];
	size_t count = kvm_counters(m->vcpu, rows, ARRAY_LEN(rows));

	for (size_t n = 0; n < count && n < ARRAY_LEN(rows); n++)
		if (!strcmp(rows[n].group, group) && !strcmp(rows[n].name, name))
			return rows[n].value;
	fail_msg("no counter %s", name);
	return 0;
}

uint64_t ring3_counter(const struct machine *m, const char *name)
{
	return ring3_counter_of(m, "window", name);
}

void ring3_free(struct machine *m)
{
	machine_free(m);
	left_over = NULL;
}

void ring3_finish(struct machine *m)
{
	assert_true(ring3_counter(m, "pages-shown") > 0);
	ring3_free(m);
}

void ring3_expect(struct machine *m, uint32_t value)
{
	machine_expect_out(m, PORT, 4, value);
}

void ring3_expect_end(struct machine *m, uint32_t value)
{
	ring3_expect(m, value);
	assert_int_equal(machine_regs(m).rsp, USER_STACK);
	ring3_finish(m);
}

static uint64_t frame_at(enum ring3_frame word)
{
	return RING_0_STACK - 48 + 8 * word;
}

uint64_t ring3_frame(const struct machine *m, enum ring3_frame word)
{
	return machine_get64(m, frame_at(word));
}

void ring3_set_frame(struct machine *m, enum ring3_frame word, uint64_t value)
{
	machine_put64(m, frame_at(word), value);
}

uint64_t ring3_run_to_fault(struct machine *m)
{
	struct kvm_sregs s = { 0 };

	assert_int_equal(machine_run(m), KVM_EXIT_IO);
	assert_int_equal(m->run->io.port, PORT_FAULT);
	machine_ioctl(m->vcpu, KVM_GET_SREGS, &s);
	return s.cr2;
}

void ring3_expect_fault(struct machine *m, uint64_t address, uint64_t error)
{
	assert_int_equal(ring3_run_to_fault(m), address);
	assert_int_equal(ring3_frame(m, FRAME_ERROR), error);
}
