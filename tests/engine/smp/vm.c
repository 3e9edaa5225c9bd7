/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The machine: RAM in slot 0, a page in slot 1, a thread per vCPU.
 *
 * What is disturbing: slot 1 goes, comes back, and moves to where nobody looks; the dirty log of slot
 * 0 is fetched again and again, and the pages it names are copied. In the end the copy must be RAM.
 */
#include "smp.h"
#include "../ask.h"

#include "kvm_abi.h"
#include "vm.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 0x1000, P = 1, W = 2, U = 4, CODE_SEGMENT = 8, DATA_SEGMENT = 16 };

struct machine;
struct cpu {
	struct machine *m;
	struct vm_object *object;
	struct kvm_run *run;
	pthread_t thread;
	unsigned index;
	bool passed, ended; /* ended: atomic */
};

struct machine {
	struct vm_object *system, *vm;
	struct cpu cpu[2];
	uint8_t *ram, *copy, *moved;
	bool stop; /* atomic */
	bool ring_3;
};

static void put64(struct machine *m, unsigned at, uint64_t value)
{
	memcpy(m->ram + at, &value, sizeof(value));
}

static void put_code(struct machine *m, unsigned at, const uint8_t *code, const uint8_t *end)
{
	memcpy(m->ram + at, code, (size_t)(end - code));
}

static void fill_memory(struct machine *m, const struct pair *pair, uint32_t rounds)
{
	unsigned table = TABLES + 3 * PAGE;

	for (unsigned at = 0; at < RAM_BYTES; at += PAGE)
		put64(m, table + at / PAGE * 8, at | P | W | U);
	put64(m, table + PATCHED_ALIAS / PAGE * 8, PATCHED | P | W | U);
	put64(m, table + WINDOW / PAGE * 8, FRAME_0 | P | W | U);
	put64(m, table + MOVED / PAGE * 8, MOVED_GPA | P | W | U);
	for (unsigned level = 0; level < 3; level++)
		put64(m, TABLES + level * PAGE, (TABLES + (level + 1) * PAGE) | P | W | U);
	put64(m, GDT + CODE_SEGMENT, 0x00af9b000000ffff);
	put64(m, GDT + DATA_SEGMENT, 0x00cf93000000ffff);
	put64(m, GDT + 24, 0x00cff3000000ffff);
	put64(m, GDT + 32, 0x00affb000000ffff);
	for (unsigned n = 0; n < 2; n++)
		put64(m, TSS + 0x100 * n + 4, RING_0_STACK + 0x400 * n);
	put64(m, IDT + 16 * 13, (INVLPG_HANDLER & 0xffff) | CODE_SEGMENT << 16 | 0x8e00ull << 32);
	put64(m, IDT + 16 * 14, (FAULT_HANDLER & 0xffff) | CODE_SEGMENT << 16 | 0x8e00ull << 32);
	put_code(m, PROGRAM_A, pair->a, pair->a_end);
	put_code(m, PROGRAM_B, pair->b, pair->b_end);
	put_code(m, FAULT_HANDLER, fault_handler, fault_handler_end);
	put_code(m, INVLPG_HANDLER, invlpg_handler, invlpg_handler_end);
	memcpy(m->ram + PATCHED, "\xb8\xff\xff\0\0\xc3", 6); /* MOV EAX, 0xffff; RET */
	put64(m, FRAME_0, TAG_0);
	put64(m, FRAME_1, TAG_1);
	put64(m, SHARED + ROUNDS, rounds);
}

static void set_ring_3(struct kvm_sregs *s, struct kvm_regs *regs, unsigned index)
{
	s->cs.selector = 0x23;
	s->ss.selector = 0x1b;
	s->cs.dpl = s->ss.dpl = 3;
	s->tr = (struct kvm_segment){ .base = TSS + 0x100 * index, .limit = 0x67, .selector = 0x28,
				      .type = 11, .present = 1 };
	regs->rflags |= 0x3000; /* it may use ports */
}

static void set_registers(struct cpu *cpu)
{
	const struct kvm_segment data = { .limit = 0xffffffff,
					  .selector = DATA_SEGMENT,
					  .type = 3,
					  .present = 1,
					  .s = 1,
					  .g = 1,
					  .db = 1 };
	struct kvm_regs regs = { .rip = cpu->index ? PROGRAM_B : PROGRAM_A,
				 .rsp = cpu->index ? STACK_B : STACK_A,
				 .rflags = 2 };
	struct kvm_mp_state state = { .mp_state = KVM_MP_STATE_RUNNABLE };
	struct kvm_sregs s;

	ask(cpu->object, KVM_GET_SREGS, &s, NULL);
	s.ds = s.es = s.ss = s.fs = s.gs = data;
	s.cs = data;
	s.cs.selector = CODE_SEGMENT;
	s.cs.type = 11;
	s.cs.l = 1;
	s.cs.db = 0;
	s.gdt = (struct kvm_dtable){ .base = GDT, .limit = 0x2f };
	s.idt = (struct kvm_dtable){ .base = IDT, .limit = 0xfff };
	s.cr0 = 0x80010033;
	s.cr3 = TABLES;
	s.cr4 = 0x620;
	s.efer = 0x500;
	if (cpu->m->ring_3)
		set_ring_3(&s, &regs, cpu->index);
	ask(cpu->object, KVM_SET_SREGS, &s, NULL);
	ask(cpu->object, KVM_SET_REGS, &regs, NULL);
	ask(cpu->object, KVM_SET_MP_STATE, &state, NULL);
}

/* The vCPUs' threads */

static void explain(struct cpu *cpu)
{
	struct kvm_regs r = { 0 };

	ask(cpu->object, KVM_GET_REGS, &r, NULL);
	printf("%c ends with exit %u, port 0x%x: rip %llx rax %llx rbx %llx rdx %llx r12 %llx "
	       "r13 %llx r14 %llx\n",
	       'A' + cpu->index, cpu->run->exit_reason,
	       cpu->run->exit_reason == KVM_EXIT_IO ? cpu->run->io.port : 0, r.rip, r.rax, r.rbx,
	       r.rdx, r.r12, r.r13, r.r14);
}

/* False: the program has ended. */
static bool on_exit_of(struct cpu *cpu)
{
	struct kvm_run *run = cpu->run;

	if (run->exit_reason == KVM_EXIT_MMIO) { /* slot 1 is away */
		memset(run->mmio.data, 0, sizeof(run->mmio.data));
		return true;
	}
	if (run->exit_reason == KVM_EXIT_IO && run->io.port == YIELD_PORT) {
		usleep(10); /* who sleeps is soon awake on a busy machine, who yields is not */
		return true;
	}
	cpu->passed = run->exit_reason == KVM_EXIT_IO && run->io.port == PASSED_PORT;
	if (!cpu->passed)
		explain(cpu);
	return false;
}

static void *run_cpu(void *argument)
{
	struct cpu *cpu = argument;
	bool goes_on = true;

	while (goes_on && !__atomic_load_n(&cpu->m->stop, __ATOMIC_SEQ_CST)) {
		long result = vm_ioctl(cpu->object, KVM_RUN, 0, NULL);

		if (!result)
			goes_on = on_exit_of(cpu);
	}
	__atomic_store_n(&cpu->ended, true, __ATOMIC_SEQ_CST);
	return NULL;
}

/* The VMM's thread */

static void set_slot(struct machine *m, unsigned slot, uint64_t gpa, void *host, uint64_t bytes,
		     uint32_t flags)
{
	struct kvm_userspace_memory_region region = { .slot = slot,
						      .flags = flags,
						      .guest_phys_addr = gpa,
						      .memory_size = bytes,
						      .userspace_addr = (uintptr_t)host };

	ask(m->vm, KVM_SET_USER_MEMORY_REGION, &region, NULL);
}

static void copy_dirty_pages(struct machine *m)
{
	uint64_t bits[RAM_BYTES / PAGE / 64];
	struct kvm_dirty_log log = { .dirty_bitmap = bits };

	ask(m->vm, KVM_GET_DIRTY_LOG, &log, NULL);
	for (unsigned n = 0; n < RAM_BYTES / PAGE; n++)
		if (bits[n / 64] >> n % 64 & 1)
			memcpy(m->copy + n * PAGE, m->ram + n * PAGE, PAGE);
}

static void move_slot(struct machine *m, unsigned turn)
{
	switch (turn % 4) {
	case 0:
		set_slot(m, 1, MOVED_GPA, m->moved, 0, 0); /* away */
		break;
	case 1:
		set_slot(m, 1, MOVED_GPA, m->moved, PAGE, 0);
		break;
	case 2:
		set_slot(m, 1, MOVED_GPA + PAGE, m->moved, PAGE, 0);
		break;
	default:
		set_slot(m, 1, MOVED_GPA, m->moved, PAGE, 0);
	}
}

static bool is_over(const struct machine *m)
{
	bool ended[2];

	for (unsigned n = 0; n < 2; n++) {
		ended[n] = __atomic_load_n(&m->cpu[n].ended, __ATOMIC_SEQ_CST);
		if (ended[n] && !m->cpu[n].passed)
			return true;
	}
	return ended[0] && ended[1];
}

static void watch(struct machine *m, bool disturbed)
{
	unsigned turn = 0;

	while (!is_over(m)) {
		if (disturbed) {
			copy_dirty_pages(m);
			move_slot(m, turn++);
		}
		usleep(disturbed ? 50 + turn % 7 * 30 : 1000);
	}
	__atomic_store_n(&m->stop, true, __ATOMIC_SEQ_CST);
	for (unsigned n = 0; n < 2; n++) {
		__atomic_store_n(&m->cpu[n].run->immediate_exit, 1, __ATOMIC_SEQ_CST);
		pthread_join(m->cpu[n].thread, NULL);
	}
}

static bool copy_is_true(struct machine *m)
{
	bool good = true;

	copy_dirty_pages(m);
	for (unsigned at = 0; at < RAM_BYTES; at += PAGE)
		if (memcmp(m->copy + at, m->ram + at, PAGE) != 0) {
			printf("the dirty log has missed a write to page 0x%x\n", at);
			good = false;
		}
	return good;
}

static void add_cpu(struct machine *m, unsigned index)
{
	struct cpu *cpu = &m->cpu[index];
	size_t bytes;

	cpu->m = m;
	cpu->index = index;
	ask(m->vm, KVM_CREATE_VCPU, (void *)(uintptr_t)index, &cpu->object);
	cpu->run = vm_run_pages(cpu->object, &bytes);
	set_registers(cpu);
}

static void *map_memory(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	return memory;
}

bool pair_run(const struct pair *pair, const struct vm_options *options, bool disturbed, uint32_t rounds)
{
	struct machine m = { .ram = map_memory(RAM_BYTES),
			     .copy = map_memory(RAM_BYTES),
			     .moved = map_memory(PAGE),
			     .ring_3 = options->window };
	bool passed;

	m.system = vm_open(options);
	ask(m.system, KVM_CREATE_VM, 0, &m.vm);
	fill_memory(&m, pair, rounds);
	memcpy(m.copy, m.ram, RAM_BYTES);
	set_slot(&m, 0, 0, m.ram, RAM_BYTES, disturbed ? KVM_MEM_LOG_DIRTY_PAGES : 0);
	set_slot(&m, 1, MOVED_GPA, m.moved, PAGE, 0);
	for (unsigned n = 0; n < 2; n++)
		add_cpu(&m, n);
	for (unsigned n = 0; n < 2; n++)
		pthread_create(&m.cpu[n].thread, NULL, run_cpu, &m.cpu[n]);
	watch(&m, disturbed);
	passed = m.cpu[0].passed && m.cpu[1].passed && (!disturbed || copy_is_true(&m));
	for (unsigned n = 0; n < 2; n++)
		vm_put(m.cpu[n].object);
	vm_put(m.vm);
	vm_put(m.system);
	munmap(m.ram, RAM_BYTES);
	munmap(m.copy, RAM_BYTES);
	munmap(m.moved, PAGE);
	return passed;
}
