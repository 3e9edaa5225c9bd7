/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bare VM of machine.h. */
#include "machine.h"

#include "base/bytes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct kvm *(*machine_open_system)(struct err *err);

static struct kvm *must(struct kvm *kvm, const struct err *err)
{
	if (!kvm)
		fail_msg("%s", err->text);
	return kvm;
}

long machine_ioctl(struct kvm *kvm, unsigned long request, const void *argument)
{
	long result = kvm_ioctl(kvm, request, argument);

	if (result < 0)
		fail_msg("request 0x%lx: %s", request, strerror((int)-result));
	return result;
}

struct machine *machine_new(void)
{
	struct machine *m = calloc(1, sizeof(*m));
	struct kvm_userspace_memory_region region = { .memory_size = MEMORY_BYTES };
	struct err err = { 0 };

	assert_non_null(m);
	m->system = must(machine_open_system(&err), &err);
	m->vm = must(kvm_ioctl_new(m->system, KVM_CREATE_VM, NULL, &err), &err);
	m->memory = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
			 0);
	assert_ptr_not_equal(m->memory, MAP_FAILED);
	region.userspace_addr = (uintptr_t)m->memory;
	machine_ioctl(m->vm, KVM_SET_TSS_ADDR, (void *)0xfffbd000ul);
	machine_ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &region);
	return m;
}

static void give_cpuid(struct machine *m)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + 256 * sizeof(cpuid->entries[0]));

	assert_non_null(cpuid);
	cpuid->nent = 256;
	machine_ioctl(m->system, KVM_GET_SUPPORTED_CPUID, cpuid);
	machine_ioctl(m->vcpu, KVM_SET_CPUID2, cpuid);
	free(cpuid);
}

void machine_add_vcpu(struct machine *m)
{
	struct err err = { 0 };

	m->vcpu = must(kvm_ioctl_new(m->vm, KVM_CREATE_VCPU, (void *)(uintptr_t)m->vcpu_id, &err), &err);
	m->run = kvm_run_pages(m->vcpu, NULL);
	give_cpuid(m);
}

void machine_free(struct machine *m)
{
	kvm_close(m->vcpu);
	kvm_close(m->vm);
	kvm_close(m->system);
	munmap(m->memory, MEMORY_BYTES);
	free(m);
}

static void put32(struct machine *m, unsigned at, uint32_t value)
{
	store_le32(m->memory + at, value);
}

void machine_put64(struct machine *m, uint64_t at, uint64_t value)
{
	store_le64(m->memory + at, value);
}

uint64_t machine_get64(const struct machine *m, uint64_t at)
{
	return load_le64(m->memory + at);
}

void machine_leave_hole(struct machine *m)
{
	struct kvm_userspace_memory_region slot = { 0 };

	machine_ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &slot);
	slot.memory_size = HOLE_AT;
	slot.userspace_addr = (uintptr_t)m->memory;
	machine_ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &slot);
}

void machine_set_gate(struct machine *m, unsigned vector, uint64_t handler)
{
	machine_put64(m, IDT_AT + 16 * vector,
	      (handler & 0xffff) | 8 << 16 | 0x8e00ull << 32 | (handler >> 16 & 0xffff) << 48);
	machine_put64(m, IDT_AT + 16 * vector + 8, handler >> 32);
}

static void flat_segments(struct kvm_sregs *s, bool is_long)
{
	struct kvm_segment code = { .limit = 0xffffffff, .selector = 8, .type = 11, .present = 1,
				    .s = 1, .g = 1, .db = !is_long, .l = is_long };
	struct kvm_segment data = { .limit = 0xffffffff, .selector = 16, .type = 3, .present = 1,
				    .s = 1, .g = 1, .db = 1 };

	s->cs = code;
	s->ds = s->es = s->fs = s->gs = s->ss = data;
	s->gdt.base = GDT_AT;
	s->gdt.limit = 23;
	s->idt.base = IDT_AT;
	s->idt.limit = 0xfff;
	s->cr0 |= 1;
}

/* The first 4 MiB map to themselves; what is above 2 MiB in long mode by 4 KiB pages. */
static void set_tables(struct machine *m, enum machine_mode mode, struct kvm_sregs *s)
{
	unsigned at = TABLES_AT;

	s->cr3 = at;
	s->cr0 |= 0x80010000; /* PG, WP */
	switch (mode) {
	case PAGED_32:
		put32(m, at, 0x87); /* one 4 MiB page */
		put32(m, at + 4 * 0x300, 0x87); /* the same at 3 GiB */
		s->cr4 |= 0x10;
		break;
	case PAGED_PAE:
		machine_put64(m, at, (at + 0x1000) | 1);
		machine_put64(m, at + 0x1000, 0x87);
		machine_put64(m, at + 0x1008, 0x200087);
		s->cr4 |= 0x20;
		break;
	default:
		machine_put64(m, at, (at + 0x1000) | 7);
		machine_put64(m, at + 0x1000, (at + 0x2000) | 7);
		machine_put64(m, at + 0x2000, 0x87);
		machine_put64(m, at + 0x2008, (at + 0x3000) | 7);
		for (unsigned page = 0; page < 512; page++)
			machine_put64(m, at + 0x3000 + 8 * page, (0x200000 + page * 4096) | 7);
		s->cr4 |= 0x620;
		s->efer |= 0x500;
	}
}

void machine_start(struct machine *m, enum machine_mode mode, const uint8_t *code,
		   const uint8_t *end)
{
	struct kvm_regs regs = { .rip = CODE_AT, .rsp = STACK_AT, .rflags = 2 };
	struct kvm_sregs sregs = { 0 };

	if (!m->vcpu)
		machine_add_vcpu(m);
	memcpy(m->memory + CODE_AT, code, (size_t)(end - code));
	machine_put64(m, GDT_AT + 8, mode == LONG_64 ? 0x00af9b000000ffff : 0x00cf9b000000ffff);
	machine_put64(m, GDT_AT + 16, 0x00cf93000000ffff);
	machine_ioctl(m->vcpu, KVM_GET_SREGS, &sregs);
	if (mode == REAL_16) {
		sregs.cs.base = 0;
		sregs.cs.selector = 0;
	} else {
		flat_segments(&sregs, mode == LONG_64);
	}
	if (mode > PROTECTED_32)
		set_tables(m, mode, &sregs);
	machine_ioctl(m->vcpu, KVM_SET_SREGS, &sregs);
	machine_ioctl(m->vcpu, KVM_SET_REGS, &regs);
}

uint32_t machine_run(struct machine *m)
{
	long result;

	do {
		result = kvm_ioctl(m->vcpu, KVM_RUN, NULL);
	} while (result == -EINTR);
	if (result)
		fail_msg("KVM_RUN: %s", strerror((int)-result));
	return m->run->exit_reason;
}

struct kvm_regs machine_regs(struct machine *m)
{
	struct kvm_regs regs = { 0 };

	machine_ioctl(m->vcpu, KVM_GET_REGS, &regs);
	return regs;
}

void machine_expect_out(struct machine *m, uint16_t port, unsigned size, uint32_t value)
{
	uint32_t got = 0;

	assert_int_equal(machine_run(m), KVM_EXIT_IO);
	assert_int_equal(m->run->io.direction, KVM_EXIT_IO_OUT);
	assert_int_equal(m->run->io.port, port);
	assert_int_equal(m->run->io.size, size);
	memcpy(&got, (uint8_t *)m->run + m->run->io.data_offset, size);
	assert_int_equal(got, value);
}
