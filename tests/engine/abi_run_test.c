/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Guests of every mode, through the ABI alone: the same tests for the engine and the host's KVM. */
#include "machine.h"
#include "host/thread.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

GUEST(real_code, ".code16", "movw $0x1234, %ax\n addw $0x1111, %ax\n movw $0xf4, %dx\n"
			    "outw %ax, %dx\n hlt");
GUEST(protected_code, ".code32",
      "movl $0, %ecx\n 1: incl %ecx\n cmpl $1000, %ecx\n jne 1b\n"
      "movl %ecx, 0x20000\n pushl 0x20000\n popl %eax\n outl %eax, $0xf4\n hlt");
GUEST(paged_code, ".code32", "movl $0xc0de, 0xc0020000\n movl 0x20000, %eax\n outl %eax, $0xf4\n hlt");
GUEST(pae_code, ".code32", "movl $0xc0de, 0x220000\n movl 0x220000, %eax\n outl %eax, $0xf4\n hlt");
GUEST(long_code, ".code64",
      "movabs $0x1122334455667788, %r8\n movq %r8, 0x20000\n movl 0x20004, %eax\n"
      "call 1f\n outl %eax, $0xf4\n hlt\n 1: incl %eax\n ret");

static void halt_leaves_rip_behind_it(void **state)
{
	struct machine *m = machine_new();

	machine_start(m, REAL_16, real_code, real_code_end);
	machine_expect_out(m, 0xf4, 2, 0x2345);
	assert_int_equal(machine_run(m), KVM_EXIT_HLT);
	assert_int_equal(machine_regs(m).rip, CODE_AT + (real_code_end - real_code));
	machine_free(m);
}

static void run_simple(enum machine_mode mode, const uint8_t *code, const uint8_t *end,
		       unsigned size, uint32_t value)
{
	struct machine *m = machine_new();

	machine_start(m, mode, code, end);
	machine_expect_out(m, 0xf4, size, value);
	assert_int_equal(machine_run(m), KVM_EXIT_HLT);
	machine_free(m);
}

static void real_mode_runs(void **state)
{
	run_simple(REAL_16, real_code, real_code_end, 2, 0x2345);
}

static void protected_mode_runs(void **state)
{
	run_simple(PROTECTED_32, protected_code, protected_code_end, 4, 1000);
}

static void paging_32_runs(void **state)
{
	run_simple(PAGED_32, paged_code, paged_code_end, 4, 0xc0de);
}

static void paging_pae_runs(void **state)
{
	run_simple(PAGED_PAE, pae_code, pae_code_end, 4, 0xc0de);
}

static void long_mode_runs(void **state)
{
	run_simple(LONG_64, long_code, long_code_end, 4, 0x11223345);
}

/* 3 MiB is not in slot 0 once that is shrunk: see mmio tests. 8 MiB never is. */
GUEST(mmio_code, ".code32",
      "movl $0x01020304, 0x800010\n movl 0x800020, %eax\n addl $1, 0x800030\n"
      "movw 0x800041, %bx\n outl %eax, $0xf4\n hlt");

static void expect_mmio(struct machine *m, bool is_write, uint64_t at, unsigned size)
{
	assert_int_equal(machine_run(m), KVM_EXIT_MMIO);
	assert_int_equal(m->run->mmio.is_write, is_write);
	assert_int_equal(m->run->mmio.phys_addr, at);
	assert_int_equal(m->run->mmio.len, size);
}

static void mmio_reads_and_writes_exit(void **state)
{
	struct machine *m = machine_new();

	machine_start(m, PROTECTED_32, mmio_code, mmio_code_end);
	expect_mmio(m, true, 0x800010, 4);
	assert_memory_equal(m->run->mmio.data, "\4\3\2\1", 4);
	expect_mmio(m, false, 0x800020, 4);
	memcpy(m->run->mmio.data, "\x78\x56\x34\x12", 4);
	expect_mmio(m, false, 0x800030, 4);
	memcpy(m->run->mmio.data, "\xff\0\0\0", 4);
	expect_mmio(m, true, 0x800030, 4);
	assert_memory_equal(m->run->mmio.data, "\0\1\0\0", 4);
	expect_mmio(m, false, 0x800041, 2);
	memcpy(m->run->mmio.data, "\xcd\xab", 2);
	machine_expect_out(m, 0xf4, 4, 0x12345678);
	assert_int_equal(machine_regs(m).rbx, 0xabcd);
	machine_free(m);
}

GUEST(device_stack_code, ".code32",
      "movl $0x800014, %esp\n call 1f\n 1: hlt\n movl $0x800200, %eax\n call *%eax\n");

/* Each CALL pushes to a device; what is behind it would leave KVM_RUN for another reason. */
static void a_call_writes_before_its_target_runs(void **state)
{
	struct machine *m = machine_new();

	machine_start(m, PROTECTED_32, device_stack_code, device_stack_code_end);
	expect_mmio(m, true, 0x800010, 4);
	assert_int_equal(machine_regs(m).rip, CODE_AT + 10);
	assert_int_equal(machine_run(m), KVM_EXIT_HLT);
	expect_mmio(m, true, 0x80000c, 4);
	assert_int_equal(machine_regs(m).rip, 0x800200);
	assert_int_equal(machine_run(m), KVM_EXIT_INTERNAL_ERROR);
	assert_int_equal(m->run->internal.suberror, KVM_INTERNAL_ERROR_EMULATION);
	assert_int_equal(machine_regs(m).rsp, 0x80000c);
	machine_free(m);
}

GUEST(in_code, ".code64", "inb $0x60, %al\n movb %al, 0x20000\n inw $0x62, %ax\n hlt");

static void *port_data(struct machine *m)
{
	return (uint8_t *)m->run + m->run->io.data_offset;
}

static void port_reads_take_the_answer(void **state)
{
	struct machine *m = machine_new();

	machine_start(m, LONG_64, in_code, in_code_end);
	assert_int_equal(machine_run(m), KVM_EXIT_IO);
	assert_int_equal(m->run->io.direction, KVM_EXIT_IO_IN);
	memcpy(port_data(m), "\x5a", 1);
	assert_int_equal(machine_run(m), KVM_EXIT_IO);
	assert_int_equal(m->run->io.size, 2);
	assert_int_equal(m->memory[DATA_AT], 0x5a);
	memcpy(port_data(m), "\x34\x12", 2);
	assert_int_equal(machine_run(m), KVM_EXIT_HLT);
	assert_int_equal(machine_regs(m).rax & 0xffff, 0x1234);
	machine_free(m);
}

static void an_answer_is_taken_before_an_immediate_exit(void **state)
{
	struct machine *m = machine_new();

	machine_start(m, LONG_64, in_code, in_code_end);
	assert_int_equal(machine_run(m), KVM_EXIT_IO);
	memcpy(port_data(m), "\x77", 1);
	m->run->immediate_exit = 1;
	assert_int_equal(kvm_ioctl(m->vcpu, KVM_RUN, NULL), -EINTR);
	assert_int_equal(machine_regs(m).rip, CODE_AT + 2);
	assert_int_equal(machine_regs(m).rax & 0xff, 0x77);
	machine_free(m);
}

GUEST(string_code, ".code64",
      "movl $0x20000, %esi\n movl $600, %ecx\n movl $0xf0, %edx\n cld\n rep outsb\n"
      "movl $0x21000, %edi\n movl $10, %ecx\n rep insw\n hlt");

static void string_io_comes_in_batches(void **state)
{
	struct machine *m = machine_new();
	unsigned done = 0;

	machine_start(m, LONG_64, string_code, string_code_end);
	for (unsigned i = 0; i < 600; i++)
		m->memory[DATA_AT + i] = (uint8_t)(i * 7);
	while (done < 600) {
		assert_int_equal(machine_run(m), KVM_EXIT_IO);
		assert_int_equal(m->run->io.direction, KVM_EXIT_IO_OUT);
		assert_memory_equal(port_data(m), m->memory + DATA_AT + done, m->run->io.count);
		done += m->run->io.count;
	}
	assert_int_equal(done, 600);
	for (done = 0; done < 10; done += m->run->io.count) {
		assert_int_equal(machine_run(m), KVM_EXIT_IO);
		assert_int_equal(m->run->io.direction, KVM_EXIT_IO_IN);
		for (unsigned i = 0; i < m->run->io.count; i++)
			((uint16_t *)port_data(m))[i] = (uint16_t)(1000 + done + i);
	}
	assert_int_equal(machine_run(m), KVM_EXIT_HLT);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(((uint16_t *)(m->memory + 0x21000))[i], 1000 + i);
	assert_int_equal(machine_regs(m).rdi, 0x21000 + 20);
	machine_free(m);
}

GUEST(fault_code, ".code64",
      "movq $0x40000000, %rbx\n movb $1, (%rbx)\n hlt\n"
      ".balign 64\n popq %rcx\n movq %cr2, %rax\n hlt");

static void a_page_fault_reaches_its_handler(void **state)
{
	struct machine *m = machine_new();
	struct kvm_regs regs = { 0 };

	machine_start(m, LONG_64, fault_code, fault_code_end);
	machine_set_gate(m, 14, CODE_AT + 64);
	assert_int_equal(machine_run(m), KVM_EXIT_HLT);
	regs = machine_regs(m);
	assert_int_equal(regs.rax, 0x40000000);
	assert_int_equal(regs.rcx, 2); /* a write, not present */
	machine_free(m);
}

static void a_triple_fault_is_a_shutdown(void **state)
{
	struct machine *m = machine_new();
	struct kvm_sregs sregs = { 0 };

	machine_start(m, LONG_64, fault_code, fault_code_end);
	machine_ioctl(m->vcpu, KVM_GET_SREGS, &sregs);
	sregs.idt.limit = 0;
	machine_ioctl(m->vcpu, KVM_SET_SREGS, &sregs);
	assert_int_equal(machine_run(m), KVM_EXIT_SHUTDOWN);
	machine_free(m);
}

/* Writes into an instruction right ahead, and into one executed before. */
GUEST(modifying_code, ".code64",
      "movl $2, %ecx\n"
      "1: movb $0x11, 2f+1-modifying_code+0x8000\n"
      "2: movb $0x00, %al\n"
      "addb %al, %bl\n"
      "movb $0x22, 3f+1-modifying_code+0x8000\n"
      "3: movb $0x33, %ah\n addb %ah, %bh\n"
      "decl %ecx\n jnz 1b\n hlt");

static void code_may_rewrite_itself(void **state)
{
	struct machine *m = machine_new();

	machine_start(m, LONG_64, modifying_code, modifying_code_end);
	assert_int_equal(machine_run(m), KVM_EXIT_HLT);
	assert_int_equal(machine_regs(m).rbx & 0xffff, 0x4422);
	machine_free(m);
}

/* An instruction with its last four bytes on the next page; these are rewritten, then mapped elsewhere. */
GUEST(crossing_code, ".code64",
      "xorl %ebx, %ebx\n movl $300, %ecx\n"
      "1: cmpl $200, %ecx\n jne 2f\n movl $0x100, 0x211000\n"
      "2: cmpl $100, %ecx\n jne 3f\n movq $0x220007, 0x4088\n invlpg 0x211000\n"
      "3: .org crossing_code + 0xffe, 0x90\n"
      "addl $0x7fffffff, %ebx\n"
      "decl %ecx\n jnz 1b\n hlt");

static void the_end_of_an_instruction_may_be_another_pages(void **state)
{
	const size_t size = (size_t)(crossing_code_end - crossing_code), first = 0x1000;
	struct machine *m = machine_new();

	machine_start(m, LONG_64, crossing_code, crossing_code + 1);
	memcpy(m->memory + 0x210000, crossing_code, size);
	memcpy(m->memory + 0x211000, &(uint32_t){ 1 }, 4);
	memcpy(m->memory + 0x220000, crossing_code + first, size - first);
	memcpy(m->memory + 0x220000, &(uint32_t){ 0x10000 }, 4);
	machine_ioctl(m->vcpu, KVM_SET_REGS, &(struct kvm_regs){ .rip = 0x210000, .rflags = 2 });
	assert_int_equal(machine_run(m), KVM_EXIT_HLT);
	assert_int_equal(machine_regs(m).rbx, 100 * 0x10101);
	machine_free(m);
}

GUEST(rewritten_code, ".code64", "movb $1, %al\n outb %al, $0xf4\n jmp rewritten_code");

static void the_vmm_may_rewrite_code(void **state)
{
	struct machine *m = machine_new();

	machine_start(m, LONG_64, rewritten_code, rewritten_code_end);
	for (unsigned i = 1; i < 20; i++) {
		m->memory[CODE_AT + 1] = (uint8_t)i;
		machine_ioctl(m->vcpu, KVM_SET_REGS,
			      &(struct kvm_regs){ .rip = CODE_AT, .rflags = 2 });
		machine_expect_out(m, 0xf4, 1, i);
	}
	machine_free(m);
}

GUEST(writing_code, ".code64",
      "movb $1, 0x200000\n movb $1, 0x203000\n movq $1, 0x20fffc\n movb 0x204000, %al\n hlt\n"
      "movb $1, 0x203001\n hlt");

static void the_dirty_log_names_written_pages(void **state)
{
	struct machine *m = machine_new();
	struct kvm_userspace_memory_region region = {
		.flags = KVM_MEM_LOG_DIRTY_PAGES,
		.memory_size = MEMORY_BYTES,
		.userspace_addr = (uintptr_t)m->memory,
	};
	uint64_t bits[MEMORY_BYTES / 4096 / 64];
	struct kvm_dirty_log log = { .dirty_bitmap = bits };

	machine_start(m, LONG_64, writing_code, writing_code_end);
	machine_ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &region);
	assert_int_equal(machine_run(m), KVM_EXIT_HLT);
	machine_ioctl(m->vm, KVM_GET_DIRTY_LOG, &log);
	assert_int_equal(bits[8], 1 | 8 | 1 << 15 | 1 << 16);
	machine_ioctl(m->vm, KVM_GET_DIRTY_LOG, &log);
	assert_int_equal(bits[8], 0);
	assert_int_equal(machine_run(m), KVM_EXIT_HLT);
	machine_ioctl(m->vm, KVM_GET_DIRTY_LOG, &log);
	assert_int_equal(bits[8], 8);
	region.flags = 0;
	machine_ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &region);
	assert_int_equal(kvm_ioctl(m->vm, KVM_GET_DIRTY_LOG, &log), -ENOENT);
	machine_free(m);
}

GUEST(rom_code, ".code32", "movl 0x800000, %eax\n movl %eax, 0x800004\n outl %eax, $0xf4\n hlt");

static void read_only_slots_read_and_exit_on_writes(void **state)
{
	struct machine *m = machine_new();
	uint32_t *rom = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region region = {
		.slot = 1,
		.flags = KVM_MEM_READONLY,
		.guest_phys_addr = 0x800000,
		.memory_size = 4096,
		.userspace_addr = (uintptr_t)rom,
	};

	rom[0] = 0xf00d;
	machine_start(m, PROTECTED_32, rom_code, rom_code_end);
	machine_ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &region);
	expect_mmio(m, true, 0x800004, 4);
	machine_expect_out(m, 0xf4, 4, 0xf00d);
	assert_int_equal(rom[1], 0);
	machine_free(m);
	munmap(rom, 4096);
}

GUEST(endless_code, ".code64", "1: incq %rax\n jmp 1b");

static void immediate_exit_before_run_runs_nothing(void **state)
{
	struct machine *m = machine_new();

	machine_start(m, LONG_64, endless_code, endless_code_end);
	m->run->immediate_exit = 1;
	assert_int_equal(kvm_ioctl(m->vcpu, KVM_RUN, NULL), -EINTR);
	assert_int_equal(machine_regs(m).rax, 0);
	machine_free(m);
}

struct kick {
	struct machine *m;
	struct thread *runner;
	uint64_t kicked_ns;
};

/* As a VMM's signal handler would, on the runner's thread or not: set the flag, then the signal. */
static void kick_later(void *context)
{
	struct kick *kick = context;

	usleep(20000);
	kick->kicked_ns = host_now_ns();
	__atomic_store_n(&kick->m->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	thread_kick(kick->runner);
}

static void run_on_thread(void *context)
{
	struct kick *kick = context;
	long result;

	do {
		result = kvm_ioctl(kick->m->vcpu, KVM_RUN, NULL);
	} while (result == -EINTR && !kick->m->run->immediate_exit);
	if (result != -EINTR)
		abort();
	kick->kicked_ns = host_now_ns() - kick->kicked_ns;
}

static void kick_ends(struct machine *m)
{
	struct kick kick = { .m = m };

	kick.runner = thread_start("runner", run_on_thread, &kick);
	kick_later(&kick);
	thread_join(kick.runner);
	assert_true(kick.kicked_ns < 10000000000); /* 100 us on an idle host; many tests share one */
	machine_free(m);
}

static void a_kick_ends_a_busy_guest(void **state)
{
	struct machine *m = machine_new();

	machine_start(m, LONG_64, endless_code, endless_code_end);
	kick_ends(m);
}

GUEST(halt_code, ".code64", "1: sti\n hlt\n jmp 1b");

static void a_kick_ends_a_halted_guest(void **state)
{
	struct machine *m = machine_new();

	machine_ioctl(m->vm, KVM_CREATE_IRQCHIP, NULL);
	machine_start(m, LONG_64, halt_code, halt_code_end);
	kick_ends(m);
}

/* PIC at vectors 0x20 and 0x28, line 4 open, which it tells; the handler answers and reports. */
GUEST(irq_code, ".code64",
      "movb $0x11, %al\n outb %al, $0x20\n movb $0x20, %al\n outb %al, $0x21\n"
      "movb $4, %al\n outb %al, $0x21\n movb $1, %al\n outb %al, $0x21\n"
      "movb $0xef, %al\n outb %al, $0x21\n outb %al, $0xf4\n"
      "1: sti\n hlt\n jmp 1b\n"
      ".balign 64\n movb $0x20, %al\n outb %al, $0x20\n outb %al, $0xf4\n iretq");

static void raise_line_later(void *context)
{
	struct machine *m = context;

	for (int level = 0; level < 2; level++) {
		usleep(10000);
		machine_ioctl(m->vm, KVM_IRQ_LINE,
			      &(struct kvm_irq_level){ .irq = 4, .level = (uint32_t)level });
	}
}

static void an_interrupt_wakes_a_halted_guest(void **state)
{
	struct machine *m = machine_new();
	struct thread *raiser;

	machine_ioctl(m->vm, KVM_CREATE_IRQCHIP, NULL);
	machine_start(m, LONG_64, irq_code, irq_code_end);
	machine_set_gate(m, 0x24, CODE_AT + 64);
	machine_expect_out(m, 0xf4, 1, 0xef); /* a line raised before that would be forgotten */
	raiser = thread_start("raiser", raise_line_later, m);
	machine_expect_out(m, 0xf4, 1, 0x20);
	thread_join(raiser);
	machine_free(m);
}

GUEST(window_code, ".code64", "nop\n sti\n nop\n 1: nop\n jmp 1b\n"
			      ".balign 64\n movb $9, %al\n outb %al, $0xf4\n hlt");

static void the_vmm_can_queue_interrupts(void **state)
{
	struct machine *m = machine_new();

	machine_start(m, LONG_64, window_code, window_code_end);
	machine_set_gate(m, 0x55, CODE_AT + 64);
	m->run->request_interrupt_window = 1;
	assert_int_equal(machine_run(m), KVM_EXIT_IRQ_WINDOW_OPEN);
	assert_true(m->run->ready_for_interrupt_injection);
	assert_true(m->run->if_flag);
	m->run->request_interrupt_window = 0;
	machine_ioctl(m->vcpu, KVM_INTERRUPT, &(struct kvm_interrupt){ .irq = 0x55 });
	machine_expect_out(m, 0xf4, 1, 9);
	machine_free(m);
}

/* At 2 MiB, which is mapped; slot 0 is made to end there. */
GUEST(two_parts_code, ".code64", "sti\n movq $0x1234567, 0x2ffffc\n hlt\n"
				 ".balign 64\n movb $9, %al\n outb %al, $0xf4\n hlt");

/* One instruction, two exits: no interrupt in between, or it would write the first part twice. */
static void an_interrupt_waits_for_the_rest_of_an_instruction(void **state)
{
	struct machine *m = machine_new();

	machine_start(m, LONG_64, two_parts_code, two_parts_code_end);
	machine_set_gate(m, 0x55, CODE_AT + 64);
	machine_leave_hole(m);
	expect_mmio(m, true, 0x2ffffc, 4);
	m->run->immediate_exit = 1;
	assert_int_equal(kvm_ioctl(m->vcpu, KVM_RUN, NULL), 0);
	m->run->immediate_exit = 0;
	assert_int_equal(m->run->exit_reason, KVM_EXIT_MMIO);
	assert_int_equal(m->run->mmio.phys_addr, 0x300000);
	machine_ioctl(m->vcpu, KVM_INTERRUPT, &(struct kvm_interrupt){ .irq = 0x55 });
	machine_expect_out(m, 0xf4, 1, 9);
	machine_free(m);
}

GUEST(doorbell_code, ".code32",
      "movl $7, 0x800000\n movl $8, 0x800000\n movl $1, 0x800100\n movl $2, 0x800104\n"
      "movb $3, %al\n outb %al, $0x99\n hlt");

static void doorbells_do_not_exit(void **state)
{
	struct machine *m = machine_new();
	struct kvm_ioeventfd bell = {
		.datamatch = 7, .addr = 0x800000, .len = 4, .fd = eventfd(0, EFD_NONBLOCK),
		.flags = KVM_IOEVENTFD_FLAG_DATAMATCH,
	};
	struct kvm_coalesced_mmio_zone zone = { .addr = 0x800100, .size = 0x100 };
	struct kvm_coalesced_mmio_ring *ring;
	uint64_t count = 0;

	machine_start(m, PROTECTED_32, doorbell_code, doorbell_code_end);
	machine_ioctl(m->vm, KVM_IOEVENTFD, &bell);
	assert_int_equal(kvm_ioctl(m->vm, KVM_IOEVENTFD, &bell), -EEXIST);
	machine_ioctl(m->vm, KVM_REGISTER_COALESCED_MMIO, &zone);
	expect_mmio(m, true, 0x800000, 4); /* the 8 */
	assert_int_equal(read(bell.fd, &count, 8), 8);
	assert_int_equal(count, 1);
	machine_expect_out(m, 0x99, 1, 3);
	ring = (void *)((uint8_t *)m->run +
			machine_ioctl(m->system, KVM_CHECK_EXTENSION,
				      (void *)KVM_CAP_COALESCED_MMIO) * 4096);
	assert_int_equal(ring->last - ring->first, 2);
	assert_int_equal(ring->coalesced_mmio[1].phys_addr, 0x800104);
	bell.flags |= KVM_IOEVENTFD_FLAG_DEASSIGN;
	machine_ioctl(m->vm, KVM_IOEVENTFD, &bell);
	assert_int_equal(kvm_ioctl(m->vm, KVM_IOEVENTFD, &bell), -ENOENT);
	close(bell.fd);
	machine_free(m);
}

GUEST(step_code, ".code64", "nop\n incl %eax\n int3\n hlt");

static void a_debugger_steps_and_breaks(void **state)
{
	struct machine *m = machine_new();
	struct kvm_guest_debug debug = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP |
						    KVM_GUESTDBG_USE_SW_BP };

	machine_start(m, LONG_64, step_code, step_code_end);
	machine_ioctl(m->vcpu, KVM_SET_GUEST_DEBUG, &debug);
	for (uint64_t rip = CODE_AT + 1; rip <= CODE_AT + 3; rip += 2) {
		assert_int_equal(machine_run(m), KVM_EXIT_DEBUG);
		assert_int_equal(m->run->debug.arch.exception, 1);
		assert_int_equal(m->run->debug.arch.pc, rip);
	}
	assert_int_equal(machine_run(m), KVM_EXIT_DEBUG);
	assert_int_equal(m->run->debug.arch.exception, 3);
	assert_int_equal(m->run->debug.arch.pc, CODE_AT + 3);
	machine_free(m);
}

/* Reads a page that a second thread keeps moving between two places. */
GUEST(polling_code, ".code64",
      "1: movl 0x200000, %eax\n cmpl $0x1111, %eax\n je 2f\n cmpl $0x2222, %eax\n jne 3f\n"
      "2: cmpl $0, 0x20000\n je 1b\n 3: outl %eax, $0xf4\n hlt");

static void change_slots(void *context)
{
	struct machine *m = context;
	uint8_t *other = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region region = { .slot = 5, .guest_phys_addr = 0x300000,
						      .userspace_addr = (uintptr_t)other };
	struct kvm_userspace_memory_region log = { .memory_size = MEMORY_BYTES,
						   .userspace_addr = (uintptr_t)m->memory };

	for (int i = 0; i < 300; i++) {
		region.guest_phys_addr = 0x800000 + (i & 1) * 0x1000;
		region.memory_size = 4096;
		machine_ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &region);
		region.memory_size = 0;
		machine_ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &region);
		log.flags = i & 1 ? 0 : KVM_MEM_LOG_DIRTY_PAGES;
		machine_ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &log);
	}
	*(uint32_t *)(m->memory + DATA_AT) = 1;
	munmap(other, 4096);
}

static void slots_change_under_a_running_guest(void **state)
{
	struct machine *m = machine_new();
	struct thread *changer;

	*(uint32_t *)(m->memory + 0x200000) = 0x1111;
	machine_start(m, LONG_64, polling_code, polling_code_end);
	changer = thread_start("changer", change_slots, m);
	machine_expect_out(m, 0xf4, 4, 0x1111);
	thread_join(changer);
	machine_free(m);
}

static void a_slot_without_memory_is_an_error(void **state)
{
	struct machine *m = machine_new();
	void *hole = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region region = { .slot = 1, .guest_phys_addr = 0x800000,
						      .memory_size = 4096 };

	region.userspace_addr = (uintptr_t)hole;
	machine_ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &region);
	machine_start(m, PROTECTED_32, rom_code, rom_code_end);
	assert_int_equal(kvm_ioctl(m->vcpu, KVM_RUN, NULL), -EFAULT);
	machine_free(m);
	munmap(hole, 4096);
}

static struct kvm *open_host(struct err *err)
{
	return kvm_open_host("/dev/kvm", err);
}

static struct kvm *open_engine(struct err *err)
{
	return kvm_open_engine(NULL, err);
}

static bool host_is_usable(void)
{
	struct err err = { 0 };
	struct kvm *host = open_host(&err);
	bool usable = host && kvm_prove(host, &err);

	if (!usable)
		fprintf(stderr, "not on the host's KVM: %s\n", err.text);
	kvm_close(host);
	return usable;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(real_mode_runs),
		cmocka_unit_test(halt_leaves_rip_behind_it),
		cmocka_unit_test(protected_mode_runs),
		cmocka_unit_test(paging_32_runs),
		cmocka_unit_test(paging_pae_runs),
		cmocka_unit_test(long_mode_runs),
		cmocka_unit_test(mmio_reads_and_writes_exit),
		cmocka_unit_test(a_call_writes_before_its_target_runs),
		cmocka_unit_test(port_reads_take_the_answer),
		cmocka_unit_test(an_answer_is_taken_before_an_immediate_exit),
		cmocka_unit_test(string_io_comes_in_batches),
		cmocka_unit_test(a_page_fault_reaches_its_handler),
		cmocka_unit_test(a_triple_fault_is_a_shutdown),
		cmocka_unit_test(code_may_rewrite_itself),
		cmocka_unit_test(the_end_of_an_instruction_may_be_another_pages),
		cmocka_unit_test(the_vmm_may_rewrite_code),
		cmocka_unit_test(the_dirty_log_names_written_pages),
		cmocka_unit_test(read_only_slots_read_and_exit_on_writes),
		cmocka_unit_test(immediate_exit_before_run_runs_nothing),
		cmocka_unit_test(a_kick_ends_a_busy_guest),
		cmocka_unit_test(a_kick_ends_a_halted_guest),
		cmocka_unit_test(an_interrupt_wakes_a_halted_guest),
		cmocka_unit_test(the_vmm_can_queue_interrupts),
		cmocka_unit_test(an_interrupt_waits_for_the_rest_of_an_instruction),
		cmocka_unit_test(doorbells_do_not_exit),
		cmocka_unit_test(a_debugger_steps_and_breaks),
		cmocka_unit_test(slots_change_under_a_running_guest),
		cmocka_unit_test(a_slot_without_memory_is_an_error),
	};
	int failures;

	machine_open_system = open_engine;
	failures = cmocka_run_group_tests_name("engine", tests, NULL, NULL);
	if (host_is_usable()) {
		machine_open_system = open_host;
		failures += cmocka_run_group_tests_name("host", tests, NULL, NULL);
	}
	return failures;
}
