/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ABI without running a guest: what is refused and how, and state that comes back as it was
 * set. The same tests for the engine and for any host KVM, however little that can run. */
#include "machine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static bool on_host;

static void the_version_is_12(void **state)
{
	struct machine *m = machine_new();

	assert_int_equal(kvm_ioctl(m->system, KVM_GET_API_VERSION, NULL), 12);
	assert_true(machine_ioctl(m->system, KVM_GET_VCPU_MMAP_SIZE, NULL) >=
		    (long)sizeof(struct kvm_run));
	assert_true(machine_ioctl(m->vm, KVM_CHECK_EXTENSION, (void *)KVM_CAP_USER_MEMORY));
	assert_int_equal(machine_ioctl(m->system, KVM_CHECK_EXTENSION, (void *)99999), 0);
	machine_free(m);
}

static void requests_know_their_object(void **state)
{
	struct machine *m = machine_new();

	machine_add_vcpu(m);
	assert_int_equal(kvm_ioctl(m->system, 0x1234, NULL), on_host ? -EINVAL : -ENOTTY);
	assert_int_equal(kvm_ioctl(m->vm, KVM_GET_API_VERSION, NULL), -ENOTTY);
	assert_true(kvm_ioctl(m->vcpu, KVM_CREATE_IRQCHIP, NULL) < 0);
	assert_int_equal(kvm_ioctl(m->vcpu, KVM_GET_REGS, (void *)8), -EFAULT);
	assert_int_equal(kvm_ioctl(m->vcpu, KVM_SET_SREGS, (void *)8), -EFAULT);
	machine_free(m);
}

static long set_slot(struct machine *m, uint32_t id, uint32_t flags, uint64_t gpa, uint64_t bytes,
		     uint64_t host)
{
	struct kvm_userspace_memory_region region = {
		.slot = id, .flags = flags, .guest_phys_addr = gpa, .memory_size = bytes,
		.userspace_addr = host,
	};

	return kvm_ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &region);
}

static void bad_slots_are_refused(void **state)
{
	struct machine *m = machine_new();
	uint64_t host = (uintptr_t)m->memory, at = 0x10000000;
	long slots = machine_ioctl(m->vm, KVM_CHECK_EXTENSION, (void *)KVM_CAP_NR_MEMSLOTS);

	assert_int_equal(set_slot(m, 1, 0, at + 1, 4096, host), -EINVAL);
	assert_int_equal(set_slot(m, 1, 0, at, 4095, host), -EINVAL);
	assert_int_equal(set_slot(m, 1, 0, at, 4096, host + 1), -EINVAL);
	assert_int_equal(set_slot(m, 1, 0x80, at, 4096, host), -EINVAL);
	assert_int_equal(set_slot(m, 1, 0, -4096ull, 8192, host), -EINVAL);
	assert_int_equal(set_slot(m, 1, 0, at, 4096, 0xffff800000000000ull), -EINVAL);
	assert_int_equal(set_slot(m, (uint32_t)slots, 0, at, 4096, host), -EINVAL);
	assert_int_equal(set_slot(m, 1, 0, at, 0, host), -EINVAL); /* not there to delete */
	assert_int_equal(set_slot(m, 1, 0, 4096, 4096, host), -EEXIST);
	assert_int_equal(set_slot(m, 1, 0, at, 8192, host), 0);
	assert_int_equal(set_slot(m, 1, 0, at, 4096, host), -EINVAL);
	assert_int_equal(set_slot(m, 1, KVM_MEM_READONLY, at, 8192, host), -EINVAL);
	assert_int_equal(set_slot(m, 1, 0, at, 8192, host + 4096), -EINVAL);
	assert_int_equal(set_slot(m, 1, 0, 0, 8192, host), -EEXIST);
	assert_int_equal(set_slot(m, 1, 0, at + 8192, 8192, host), 0); /* moved */
	assert_int_equal(set_slot(m, 2, 0, at + 4096, 8192, host), -EEXIST);
	assert_int_equal(set_slot(m, 2, 0, at + 4096, 4096, host), 0);
	assert_int_equal(set_slot(m, 1, 0, 0, 0, 0), 0);
	assert_int_equal(set_slot(m, (uint32_t)slots - 1, 0, 2 * at, 4096, host), 0);
	machine_free(m);
}

static void vcpus_have_one_id_each(void **state)
{
	struct machine *m = machine_new();
	struct err err = { 0 };
	struct kvm *second;

	machine_add_vcpu(m);
	assert_null(kvm_ioctl_new(m->vm, KVM_CREATE_VCPU, NULL, &err));
	assert_int_equal(err.code, EEXIST);
	assert_null(kvm_ioctl_new(m->vm, KVM_CREATE_VCPU, (void *)1000000, &err));
	assert_int_equal(err.code, EINVAL);
	second = kvm_ioctl_new(m->vm, KVM_CREATE_VCPU, (void *)1, &err);
	assert_non_null(second);
	kvm_close(m->vm); /* a vCPU keeps its VM */
	m->vm = second;
	machine_free(m);
}

static void registers_come_back(void **state)
{
	struct machine *m = machine_new();
	struct kvm_regs set = { .rax = 1, .rbx = 2, .rcx = 3, .rdx = 4, .rsi = 5, .rdi = 6, .rsp = 7,
				.rbp = 8, .r8 = 9, .r9 = 10, .r10 = 11, .r11 = 12, .r12 = 13,
				.r13 = 14, .r14 = 15, .r15 = 16, .rip = 17, .rflags = 0xad7 };
	struct kvm_sregs first = { 0 }, then = { 0 };
	struct kvm_regs got;

	machine_add_vcpu(m);
	machine_ioctl(m->vcpu, KVM_SET_REGS, &set);
	got = machine_regs(m);
	assert_memory_equal(&set, &got, sizeof(set));
	machine_ioctl(m->vcpu, KVM_GET_SREGS, &first);
	assert_int_equal(first.cs.base, 0xffff0000);
	first.cr3 = 0x5000;
	first.fs.base = 0x123456789;
	first.gdt.limit = 0x77;
	machine_ioctl(m->vcpu, KVM_SET_SREGS, &first);
	machine_ioctl(m->vcpu, KVM_GET_SREGS, &then);
	assert_memory_equal(&first, &then, sizeof(first));
	first.efer |= 0x400; /* LMA without paging */
	assert_int_equal(kvm_ioctl(m->vcpu, KVM_SET_SREGS, &first), -EINVAL);
	machine_free(m);
}

static void floating_point_state_comes_back(void **state)
{
	struct machine *m = machine_new();
	struct kvm_fpu set = { .fcw = 0x37f, .fsw = 0x3800, .ftwx = 0x80, .mxcsr = 0x1f80 }, got = { 0 };
	struct kvm_xsave *area = calloc(1, sizeof(*area)), *again = calloc(1, sizeof(*again));

	machine_add_vcpu(m);
	memset(set.fpr[0], 0x5a, 10);
	memset(set.xmm[3], 0xa5, 16);
	machine_ioctl(m->vcpu, KVM_SET_FPU, &set);
	machine_ioctl(m->vcpu, KVM_GET_FPU, &got);
	assert_memory_equal(set.xmm, got.xmm, sizeof(set.xmm));
	assert_memory_equal(set.fpr[0], got.fpr[0], 10);
	assert_int_equal(got.fcw, 0x37f);
	assert_int_equal(got.ftwx, 0x80);
	machine_ioctl(m->vcpu, KVM_GET_XSAVE, area);
	machine_ioctl(m->vcpu, KVM_SET_XSAVE, area);
	machine_ioctl(m->vcpu, KVM_GET_XSAVE, again);
	assert_memory_equal(area, again, 576);
	area->region[128] |= 0x40000000; /* XSTATE_BV: nothing has that bit */
	area->region[129] |= 0x40000000;
	assert_int_equal(kvm_ioctl(m->vcpu, KVM_SET_XSAVE, area), -EINVAL);
	free(area);
	free(again);
	machine_free(m);
}

static void msrs_are_counted(void **state)
{
	struct machine *m = machine_new();
	struct {
		struct kvm_msrs header;
		struct kvm_msr_entry entry[3];
	} msrs = { .header = { .nmsrs = 3 },
		   .entry = { { .index = 0xc0000082, .data = 0x1234 },
			      { .index = 0x174, .data = 0x10 },
			      { .index = 0xdeadbeef } } };
	struct {
		struct kvm_msr_list header;
		uint32_t index[1000];
	} list = { .header = { .nmsrs = 0 } };

	machine_add_vcpu(m);
	assert_int_equal(kvm_ioctl(m->vcpu, KVM_SET_MSRS, &msrs), 2);
	msrs.entry[0].data = msrs.entry[1].data = 0;
	assert_int_equal(kvm_ioctl(m->vcpu, KVM_GET_MSRS, &msrs), 2);
	assert_int_equal(msrs.entry[0].data, 0x1234);
	assert_int_equal(msrs.entry[1].data, 0x10);
	assert_int_equal(kvm_ioctl(m->system, KVM_GET_MSR_INDEX_LIST, &list), -E2BIG);
	assert_in_range(list.header.nmsrs, 10, 1000);
	assert_int_equal(kvm_ioctl(m->system, KVM_GET_MSR_INDEX_LIST, &list), 0);
	machine_free(m);
}

/* Every MSR of the list can be read, and takes back the value it has. */
static void listed_msrs_come_back(void **state)
{
	struct machine *m = machine_new();
	struct {
		struct kvm_msr_list header;
		uint32_t index[1000];
	} list = { .header = { .nmsrs = 1000 } };

	machine_ioctl(m->vm, KVM_CREATE_IRQCHIP, NULL);
	machine_add_vcpu(m);
	machine_ioctl(m->system, KVM_GET_MSR_INDEX_LIST, &list);
	for (uint32_t i = 0; i < list.header.nmsrs; i++) {
		struct {
			struct kvm_msrs header;
			struct kvm_msr_entry entry;
		} one = { .header = { .nmsrs = 1 }, .entry = { .index = list.index[i] } };

		if (kvm_ioctl(m->vcpu, KVM_GET_MSRS, &one) != 1 ||
		    kvm_ioctl(m->vcpu, KVM_SET_MSRS, &one) != 1)
			fail_msg("MSR 0x%x", list.index[i]);
	}
	machine_free(m);
}

static void chips_come_once_and_before_vcpus(void **state)
{
	struct machine *m = machine_new();
	struct kvm_pit_config pit = { 0 };
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };
	struct kvm_mp_state mp = { 0 };

	assert_int_equal(kvm_ioctl(m->vm, KVM_GET_IRQCHIP, &chip), -ENXIO);
	machine_ioctl(m->vm, KVM_CREATE_IRQCHIP, NULL);
	assert_int_equal(kvm_ioctl(m->vm, KVM_CREATE_IRQCHIP, NULL), -EEXIST);
	machine_ioctl(m->vm, KVM_CREATE_PIT2, &pit);
	assert_int_equal(kvm_ioctl(m->vm, KVM_CREATE_PIT2, &pit), -EEXIST);
	machine_ioctl(m->vm, KVM_GET_IRQCHIP, &chip);
	machine_ioctl(m->vm, KVM_SET_IRQCHIP, &chip);
	machine_add_vcpu(m);
	machine_ioctl(m->vcpu, KVM_GET_MP_STATE, &mp);
	assert_int_equal(mp.mp_state, KVM_MP_STATE_RUNNABLE);
	machine_free(m);
}

static void events_come_back(void **state)
{
	struct machine *m = machine_new();
	struct kvm_vcpu_events set = { .exception = { .injected = 1, .nr = 13, .has_error_code = 1,
						      .error_code = 0x18 },
				       .nmi = { .masked = 1 } },
			       got = { 0 };

	machine_add_vcpu(m);
	machine_ioctl(m->vcpu, KVM_SET_VCPU_EVENTS, &set);
	machine_ioctl(m->vcpu, KVM_GET_VCPU_EVENTS, &got);
	assert_int_equal(got.exception.injected, 1);
	assert_int_equal(got.exception.nr, 13);
	assert_int_equal(got.exception.error_code, 0x18);
	assert_int_equal(got.nmi.masked, 1);
	set.exception.nr = 40;
	assert_int_equal(kvm_ioctl(m->vcpu, KVM_SET_VCPU_EVENTS, &set), -EINVAL);
	set = (struct kvm_vcpu_events){ .flags = 0x80000000 };
	assert_int_equal(kvm_ioctl(m->vcpu, KVM_SET_VCPU_EVENTS, &set), -EINVAL);
	machine_free(m);
}

static const unsigned long fuzzed[] = {
	KVM_CHECK_EXTENSION, KVM_GET_MSR_INDEX_LIST, KVM_GET_MSR_FEATURE_INDEX_LIST, KVM_GET_MSRS,
	KVM_GET_SUPPORTED_CPUID, KVM_GET_EMULATED_CPUID, KVM_SET_USER_MEMORY_REGION,
	KVM_GET_DIRTY_LOG, KVM_CLEAR_DIRTY_LOG, KVM_SET_IDENTITY_MAP_ADDR, KVM_CREATE_IRQCHIP,
	KVM_GET_IRQCHIP, KVM_SET_IRQCHIP, KVM_IRQ_LINE, KVM_IRQ_LINE_STATUS, KVM_CREATE_PIT2,
	KVM_GET_PIT2, KVM_SET_PIT2, KVM_SET_GSI_ROUTING, KVM_SIGNAL_MSI, KVM_IOEVENTFD, KVM_IRQFD,
	KVM_REGISTER_COALESCED_MMIO, KVM_UNREGISTER_COALESCED_MMIO, KVM_SET_CLOCK, KVM_GET_CLOCK,
	KVM_ENABLE_CAP, KVM_CREATE_DEVICE, KVM_GET_REGS, KVM_SET_REGS, KVM_GET_SREGS, KVM_SET_SREGS,
	KVM_GET_SREGS2, KVM_SET_SREGS2, KVM_TRANSLATE, KVM_INTERRUPT, KVM_NMI, KVM_SET_MSRS,
	KVM_SET_CPUID2, KVM_GET_CPUID2, KVM_SET_SIGNAL_MASK, KVM_GET_FPU, KVM_SET_FPU, KVM_GET_XSAVE,
	KVM_SET_XSAVE, KVM_GET_XCRS, KVM_SET_XCRS, KVM_GET_LAPIC, KVM_SET_LAPIC,
	KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS, KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS,
	KVM_GET_MP_STATE, KVM_SET_MP_STATE, KVM_SET_GUEST_DEBUG, KVM_X86_SETUP_MCE, KVM_X86_SET_MCE,
	KVM_RUN,
};

static uint64_t chance(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* Numbers that mean something more often than noise does. */
static void fill(uint64_t *seed, uint8_t *to, size_t bytes)
{
	static const uint64_t telling[] = { 0, 1, 2, 4, 8, 0x1000, 0x80000000, ~0ull, 0xfee00000 };

	for (size_t i = 0; i < bytes; i += 8) {
		uint64_t dice = chance(seed), value = dice % 4 ? telling[dice / 4 % 9] : dice;

		memcpy(to + i, &value, 8);
	}
}

static void random_arguments_are_survived(void **state)
{
	static _Alignas(8) uint8_t argument[64 * 1024];
	uint64_t seed = 0x9e3779b97f4a7c15;

	if (on_host)
		skip();
	for (unsigned round = 0; round < 12; round++) {
		struct machine *m = machine_new();

		if (round & 1)
			machine_ioctl(m->vm, KVM_CREATE_IRQCHIP, NULL);
		machine_add_vcpu(m);
		for (unsigned i = 0; i < 600; i++) {
			unsigned long request = fuzzed[chance(&seed) % ARRAY_LEN(fuzzed)];
			struct kvm *object[] = { m->system, m->vm, m->vcpu };
			bool is_bad = chance(&seed) % 16 == 0;

			fill(&seed, argument, chance(&seed) % 16 ? 256 : sizeof(argument));
			m->run->immediate_exit = 1;
			kvm_ioctl(object[chance(&seed) % 3], request,
				  is_bad ? (void *)(uintptr_t)chance(&seed) : argument);
		}
		machine_free(m);
	}
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
		cmocka_unit_test(the_version_is_12),
		cmocka_unit_test(requests_know_their_object),
		cmocka_unit_test(bad_slots_are_refused),
		cmocka_unit_test(vcpus_have_one_id_each),
		cmocka_unit_test(registers_come_back),
		cmocka_unit_test(floating_point_state_comes_back),
		cmocka_unit_test(msrs_are_counted),
		cmocka_unit_test(listed_msrs_come_back),
		cmocka_unit_test(chips_come_once_and_before_vcpus),
		cmocka_unit_test(events_come_back),
		cmocka_unit_test(random_arguments_are_survived),
	};
	struct err err = { 0 };
	struct kvm *host = open_host(&err);
	int failures;

	machine_open_system = open_engine;
	failures = cmocka_run_group_tests_name("engine", tests, NULL, NULL);
	if (host) {
		on_host = true;
		machine_open_system = open_host;
		failures += cmocka_run_group_tests_name("host", tests, NULL, NULL);
		kvm_close(host);
	}
	return failures;
}
