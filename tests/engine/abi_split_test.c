/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A split irqchip through the ABI: local APICs in KVM; PIC, IOAPIC and PIT would be the VMM's. */
#include "machine.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { PINS = 24, GSI = 5, VECTOR = 0x41, LEVEL = 0xc000 /* trigger mode and assert */ };
#define MSI_ADDRESS 0xfee00000u

/* x2APIC on, software-enabled; says so, then waits. The handler says EOI, then reports. */
GUEST(wait_code, ".code64",
      "movl $0x1b, %ecx\n rdmsr\n orl $0xc00, %eax\n wrmsr\n"
      "movl $0x80f, %ecx\n movl $0x1ff, %eax\n xorl %edx, %edx\n wrmsr\n"
      "outb %al, $0xf1\n 1: sti\n hlt\n jmp 1b\n"
      ".balign 64\n movl $0x80b, %ecx\n xorl %eax, %eax\n xorl %edx, %edx\n wrmsr\n"
      "movb $0x77, %al\n outb %al, $0xf4\n iretq");
/* An interrupt of the VMM's own PIC: no EOI here. */
GUEST(pic_code, ".code64", "outb %al, $0xf1\n sti\n hlt\n movb $1, %al\n outb %al, $0xf2\n hlt\n"
			   ".balign 64\n movb $0x78, %al\n outb %al, $0xf4\n iretq");
GUEST(real_code, ".code16", "outb %al, $0xf1\n 1: sti\n hlt\n jmp 1b\n"
			    ".balign 64\n outb %al, $0xf4\n iretw");

static struct machine *split_machine(void)
{
	struct machine *m = machine_new();

	machine_ioctl(m->vm, KVM_ENABLE_CAP,
		      &(struct kvm_enable_cap){ .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { PINS } });
	return m;
}

/* Up to the guest's first HLT. */
static struct machine *waiting_machine(void)
{
	struct machine *m = split_machine();

	machine_start(m, LONG_64, wait_code, wait_code_end);
	machine_set_gate(m, VECTOR, CODE_AT + 64);
	machine_expect_out(m, 0xf1, 1, 0xff);
	return m;
}

static void route(struct machine *m, uint32_t data)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entry;
	} table = {
		.head.nr = 1,
		.entry = { .gsi = GSI, .type = KVM_IRQ_ROUTING_MSI,
			   .u.msi = { .address_lo = MSI_ADDRESS, .data = data } },
	};

	machine_ioctl(m->vm, KVM_SET_GSI_ROUTING, &table);
}

static void pic_ioapic_and_pit_are_not_there(void **state)
{
	struct machine *m = split_machine();
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };

	assert_int_equal(kvm_ioctl(m->vm, KVM_CREATE_IRQCHIP, NULL), -EEXIST);
	assert_int_equal(kvm_ioctl(m->vm, KVM_GET_IRQCHIP, &chip), -ENXIO);
	assert_true(kvm_ioctl(m->vm, KVM_CREATE_PIT2, &(struct kvm_pit_config){ 0 }) < 0);
	machine_free(m);
}

static void splitting_comes_before_processors(void **state)
{
	struct machine *m = machine_new();
	struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { PINS } };

	machine_add_vcpu(m);
	assert_int_equal(kvm_ioctl(m->vm, KVM_ENABLE_CAP, &cap), -EEXIST);
	machine_free(m);
}

static void an_msi_is_delivered(void **state)
{
	struct machine *m = waiting_machine();
	struct kvm_msi msi = { .address_lo = MSI_ADDRESS, .data = VECTOR };

	assert_int_equal(machine_ioctl(m->vm, KVM_SIGNAL_MSI, &msi), 1);
	machine_expect_out(m, 0xf4, 1, 0x77);
	machine_free(m);
}

static void an_eventfd_is_a_line(void **state)
{
	struct machine *m = waiting_machine();
	int fd = eventfd(0, EFD_NONBLOCK);
	uint64_t one = 1;

	route(m, VECTOR);
	machine_ioctl(m->vm, KVM_IRQFD, &(struct kvm_irqfd){ .fd = (uint32_t)fd, .gsi = GSI });
	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
	machine_expect_out(m, 0xf4, 1, 0x77);
	close(fd);
	machine_free(m);
}

static void the_vmm_hears_of_eois_of_its_level_lines(void **state)
{
	struct machine *m = waiting_machine();
	struct kvm_msi msi = { .address_lo = MSI_ADDRESS, .data = VECTOR | LEVEL };

	route(m, VECTOR | LEVEL);
	machine_ioctl(m->vm, KVM_SIGNAL_MSI, &msi);
	assert_int_equal(machine_run(m), KVM_EXIT_IOAPIC_EOI);
	assert_int_equal(m->run->eoi.vector, VECTOR);
	machine_expect_out(m, 0xf4, 1, 0x77);
	machine_free(m);
}

static void a_halted_guest_opens_the_window_for_the_pic(void **state)
{
	struct machine *m = split_machine();

	machine_start(m, LONG_64, pic_code, pic_code_end);
	machine_set_gate(m, VECTOR, CODE_AT + 64);
	machine_expect_out(m, 0xf1, 1, 0);
	assert_false(m->run->ready_for_interrupt_injection);
	m->run->request_interrupt_window = 1;
	assert_int_equal(machine_run(m), KVM_EXIT_IRQ_WINDOW_OPEN);
	assert_true(m->run->ready_for_interrupt_injection);
	m->run->request_interrupt_window = 0;
	machine_ioctl(m->vcpu, KVM_INTERRUPT, &(struct kvm_interrupt){ .irq = VECTOR });
	machine_expect_out(m, 0xf4, 1, 0x78);
	machine_expect_out(m, 0xf2, 1, 1);
	machine_free(m);
}

static void handler(int number)
{
}

/* One that ends the next KVM_RUN. */
static void let_a_signal_wait(struct machine *m)
{
	union {
		struct kvm_signal_mask head;
		uint8_t bytes[sizeof(struct kvm_signal_mask) + 8];
	} none = { .head.len = 8 };
	sigset_t blocked;

	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	sigaction(SIGUSR1, &(struct sigaction){ .sa_handler = handler }, NULL);
	pthread_sigmask(SIG_BLOCK, &blocked, NULL);
	machine_ioctl(m->vcpu, KVM_SET_SIGNAL_MASK, &none);
	pthread_kill(pthread_self(), SIGUSR1);
}

/* What src/core/vcpu.c builds on: with a vCPU that was woken first, KVM_RUN cannot end between the
 * acknowledge and the vCPU's state. */
static void a_vector_that_meets_a_signal_is_not_hidden(void **state)
{
	struct machine *m = split_machine();
	struct kvm_mp_state awake = { .mp_state = KVM_MP_STATE_RUNNABLE };
	struct kvm_vcpu_events events = { 0 };
	uint16_t vector[2] = { CODE_AT + 64, 0 };

	machine_start(m, REAL_16, real_code, real_code_end);
	memcpy(m->memory + VECTOR * sizeof(vector), vector, sizeof(vector));
	machine_expect_out(m, 0xf1, 1, 0);
	m->run->request_interrupt_window = 1;
	assert_int_equal(machine_run(m), KVM_EXIT_IRQ_WINDOW_OPEN);
	m->run->request_interrupt_window = 0;
	machine_ioctl(m->vcpu, KVM_SET_MP_STATE, &awake);
	machine_ioctl(m->vcpu, KVM_INTERRUPT, &(struct kvm_interrupt){ .irq = VECTOR });
	let_a_signal_wait(m);
	if (kvm_ioctl(m->vcpu, KVM_RUN, NULL) == -EINTR && machine_regs(m).rip < CODE_AT + 64) {
		machine_ioctl(m->vcpu, KVM_GET_VCPU_EVENTS, &events);
		assert_true(events.interrupt.injected);
		assert_int_equal(events.interrupt.nr, VECTOR);
	}
	machine_free(m);
}

static struct kvm *open_host(struct err *err)
{
	return kvm_open_host("/dev/kvm", err);
}

static struct kvm *open_engine(struct err *err)
{
	return kvm_open_engine(NULL, err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pic_ioapic_and_pit_are_not_there),
		cmocka_unit_test(splitting_comes_before_processors),
		cmocka_unit_test(an_msi_is_delivered),
		cmocka_unit_test(an_eventfd_is_a_line),
		cmocka_unit_test(the_vmm_hears_of_eois_of_its_level_lines),
		cmocka_unit_test(a_halted_guest_opens_the_window_for_the_pic),
		cmocka_unit_test(a_vector_that_meets_a_signal_is_not_hidden),
	};
	const struct CMUnitTest host_tests[] = { /* what a KVM that only emulates can do too */
		cmocka_unit_test(a_vector_that_meets_a_signal_is_not_hidden),
	};
	struct err err = { 0 };
	struct kvm *host = open_host(&err);
	int failures;

	machine_open_system = open_engine;
	failures = cmocka_run_group_tests_name("engine", tests, NULL, NULL);
	if (host) {
		machine_open_system = open_host;
		failures += cmocka_run_group_tests_name("host", host_tests, NULL, NULL);
		kvm_close(host);
	}
	return failures;
}
