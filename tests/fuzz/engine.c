/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz_engine code|ioctl [--rounds N | --seconds N] [--seed S]: what hostile guests and hostile
 * programs do to the engine. Nothing is expected of the results but that the process survives them,
 * and that no canary around guest memory changes.
 *
 * code: random bytes as code in random modes with random registers, interpreted and translated.
 * ioctl: random requests with random arguments on a VM, its vCPU and the system, and runs in between.
 */
#include "base/bits.h"
#include "base/bytes.h"
#include "kvm_abi.h"
#include "vm.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/ioctl.h>
#include <time.h>

enum { MEMORY_BYTES = 1 << 20, CANARY_BYTES = 1 << 16, CODE_AT = 0x8000, TABLES_AT = 0x1000,
       RUNS = 12, RUN_MICROSECONDS = 2000, ARGUMENT_BYTES = 16384 };

static const unsigned long requests[] = {
#define SYSTEM(request, ...) request,
#define VM(request, ...) request,
#define VCPU(request, ...) request,
#include "engine/api/ioctls.def"
#undef SYSTEM
#undef VM
#undef VCPU
};

struct machine {
	struct vm_object *system, *vm, *vcpu;
	struct kvm_run *run;
	uint8_t *around, *memory; /* a canary, guest memory, a canary */
};

static uint64_t random_state;
static struct kvm_run *running;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static uint64_t below(uint64_t limit)
{
	return next_random() % limit;
}

static void fill(void *to, size_t bytes)
{
	uint8_t *at = to;

	for (size_t n = 0; n < bytes; n++)
		at[n] = (uint8_t)(next_random() >> 24);
}

static void on_alarm(int signal)
{
	(void)signal;
	if (running)
		running->immediate_exit = 1;
}

static void must(long result, const char *what)
{
	if (result < 0) {
		fprintf(stderr, "%s: error %ld\n", what, -result);
		exit(2);
	}
}

static void give_cpuid(struct machine *m)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + 256 * sizeof(cpuid->entries[0]));

	cpuid->nent = 256;
	must(vm_ioctl(m->system, KVM_GET_SUPPORTED_CPUID, (uintptr_t)cpuid, NULL), "cpuid");
	must(vm_ioctl(m->vcpu, KVM_SET_CPUID2, (uintptr_t)cpuid, NULL), "set cpuid");
	free(cpuid);
}

static void machine_open(struct machine *m, int translator)
{
	struct vm_options options = { .translator = translator };
	struct kvm_userspace_memory_region region = { .memory_size = MEMORY_BYTES };
	size_t bytes;

	m->around = mmap(NULL, MEMORY_BYTES + 2 * CANARY_BYTES, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(m->around, 0xca, MEMORY_BYTES + 2 * CANARY_BYTES);
	m->memory = m->around + CANARY_BYTES;
	m->system = vm_open(&options);
	must(vm_ioctl(m->system, KVM_CREATE_VM, 0, &m->vm), "vm");
	if (below(2))
		must(vm_ioctl(m->vm, KVM_CREATE_IRQCHIP, 0, NULL), "irqchip");
	region.userspace_addr = (uintptr_t)m->memory;
	must(vm_ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, (uintptr_t)&region, NULL), "memory");
	must(vm_ioctl(m->vm, KVM_CREATE_VCPU, 0, &m->vcpu), "vcpu");
	m->run = vm_run_pages(m->vcpu, &bytes);
	give_cpuid(m);
}

static void machine_close(struct machine *m)
{
	for (unsigned n = 0; n < CANARY_BYTES; n++)
		if (m->around[n] != 0xca || m->memory[MEMORY_BYTES + n] != 0xca) {
			fprintf(stderr, "a canary beside guest memory changed\n");
			abort();
		}
	running = NULL;
	vm_put(m->vcpu);
	vm_put(m->vm);
	vm_put(m->system);
	munmap(m->around, MEMORY_BYTES + 2 * CANARY_BYTES);
}

/* Everything maps to itself, half of the entries with random bits. */
static void make_tables(struct machine *m)
{
	store_le64(m->memory + TABLES_AT, (TABLES_AT + 0x1000) | 7);
	store_le64(m->memory + TABLES_AT + 0x1000, (TABLES_AT + 0x2000) | 7);
	store_le64(m->memory + TABLES_AT + 0x2000, (TABLES_AT + 0x3000) | 7);
	for (unsigned page = 0; page < 512; page++)
		store_le64(m->memory + TABLES_AT + 0x3000 + 8 * page,
			   (page * 0x1000ull) | 7 | (below(4) ? 0 : below(512)));
}

static void random_segments(struct kvm_sregs *s, bool is_long)
{
	struct kvm_segment code = { .limit = 0xffffffff, .selector = 8, .type = 11, .present = 1,
				    .s = 1, .g = 1, .db = !is_long, .l = is_long };
	struct kvm_segment data = { .limit = 0xffffffff, .selector = 16, .type = 3, .present = 1,
				    .s = 1, .g = 1, .db = 1 };

	if (below(3) == 0)
		code.dpl = data.dpl = 3;
	s->cs = code;
	s->ds = s->es = s->fs = s->gs = s->ss = data;
	s->fs.base = below(2) ? 0 : next_random() & 0x7fffffffffff;
	s->cr0 |= 1;
	s->idt.base = below(MEMORY_BYTES);
	s->idt.limit = 0xfff;
	s->gdt.base = below(MEMORY_BYTES);
	s->gdt.limit = 0xff;
}

static void random_start(struct machine *m)
{
	struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs[0].value = 7 };
	unsigned mode = (unsigned)below(4);
	struct kvm_regs regs;
	struct kvm_sregs s;

	fill(m->memory, MEMORY_BYTES / 16);
	must(vm_ioctl(m->vcpu, KVM_GET_SREGS, (uintptr_t)&s, NULL), "sregs");
	if (mode == 0) {
		s.cs.base = s.cs.selector = 0;
	} else {
		random_segments(&s, mode >= 2);
		s.cr4 |= below(2) ? 0x40600 : 0x40620;
	}
	if (mode >= 2) {
		make_tables(m);
		s.cr3 = TABLES_AT;
		s.cr0 |= 0x80000000 | below(2) << 16;
		s.cr4 |= 0x20 | below(2) << 21 | below(2) << 20;
		s.efer |= 0x500 | below(2) << 11 | below(2);
	}
	(void)vm_ioctl(m->vcpu, KVM_SET_SREGS, (uintptr_t)&s, NULL);
	(void)vm_ioctl(m->vcpu, KVM_SET_XCRS, (uintptr_t)&xcrs, NULL);
	memset(&regs, 0, sizeof(regs));
	for (__u64 *r = (__u64 *)&regs; r < (__u64 *)&regs.rip; r++)
		*r = below(3) ? below(MEMORY_BYTES) : next_random();
	regs.rip = CODE_AT + below(0x1000);
	regs.rflags = 2 | (next_random() & 0x8d5);
	(void)vm_ioctl(m->vcpu, KVM_SET_REGS, (uintptr_t)&regs, NULL);
}

/* False: it will not get further. */
static bool run(struct machine *m)
{
	const struct itimerval soon = { .it_value.tv_usec = RUN_MICROSECONDS };

	running = m->run;
	m->run->immediate_exit = 0;
	setitimer(ITIMER_REAL, &soon, NULL);
	(void)vm_ioctl(m->vcpu, KVM_RUN, 0, NULL);
	if (m->run->exit_reason == KVM_EXIT_IO)
		fill((uint8_t *)m->run + m->run->io.data_offset, 8);
	else if (m->run->exit_reason == KVM_EXIT_MMIO)
		fill(m->run->mmio.data, 8);
	return m->run->exit_reason != KVM_EXIT_INTERNAL_ERROR &&
	       m->run->exit_reason != KVM_EXIT_SHUTDOWN;
}

static void code_round(void)
{
	struct machine m;

	machine_open(&m, (int)below(3));
	for (unsigned again = 0; again < 4; again++) {
		random_start(&m);
		for (unsigned n = 0; n < RUNS && run(&m); n++)
			;
	}
	machine_close(&m);
}

/* Requests that name memory of this process would make us, not the engine, the one at fault. */
static bool is_fair(unsigned long request)
{
	return request != KVM_SET_USER_MEMORY_REGION && request != KVM_IRQFD &&
	       request != KVM_IOEVENTFD && request != KVM_GET_DIRTY_LOG &&
	       request != KVM_CLEAR_DIRTY_LOG;
}

/* Sizes at the front of an argument stay within it, as a caller's must. */
static void random_argument(uint8_t *argument)
{
	fill(argument, ARGUMENT_BYTES);
	if (below(2))
		memset(argument + 8, 0, 64);
	store_le32(argument, (uint32_t)below(100));
	if (below(4) == 0)
		store_le32(argument, (uint32_t)next_random() & 0xff);
}

static void ioctl_round(void)
{
	static _Alignas(64) uint8_t argument[ARGUMENT_BYTES];
	struct machine m;

	machine_open(&m, (int)below(3));
	random_start(&m);
	for (unsigned n = 0; n < 200; n++) {
		struct vm_object *objects[] = { m.system, m.vm, m.vcpu }, *created = NULL;
		unsigned long request = requests[below(ARRAY_LEN(requests))];
		uintptr_t value = (uintptr_t)argument;

		random_argument(argument);
		if (!is_fair(request) || request == KVM_RUN)
			continue;
		if (_IOC_SIZE(request) == 0)
			value = below(2) ? below(8) : next_random();
		if (request == KVM_SET_SIGNAL_MASK || request == KVM_GET_MSR_INDEX_LIST)
			value = 0;
		(void)vm_ioctl(objects[below(3)], request, value, &created);
		if (created)
			vm_put(created);
		if (below(4) == 0)
			run(&m);
	}
	machine_close(&m);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "rounds", required_argument, NULL, 'n' },
						 { "seconds", required_argument, NULL, 't' },
						 { "seed", required_argument, NULL, 's' },
						 { 0 } };
	uint64_t rounds = 100, seed = 1, done = 0;
	double seconds = 0, end;
	bool ioctls;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (option == 'n')
			rounds = strtoull(optarg, NULL, 0);
		else if (option == 't')
			seconds = atof(optarg);
		else if (option == 's')
			seed = strtoull(optarg, NULL, 0);
		else
			return 2;
	}
	if (optind != argc - 1)
		return 2;
	ioctls = !strcmp(argv[optind], "ioctl");
	signal(SIGALRM, on_alarm);
	end = now() + seconds;
	for (; seconds > 0 ? now() < end : done < rounds; done++) {
		random_state = (seed + done) * 0x9e3779b97f4a7c15ull | 1;
		if (ioctls)
			ioctl_round();
		else
			code_round();
	}
	printf("%llu rounds\n", (unsigned long long)done);
	return 0;
}
