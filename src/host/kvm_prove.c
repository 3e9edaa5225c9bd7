/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Is a KVM good for ordinary 64-bit guests?
 *
 * There are KVMs without hardware behind them that run kernel code in an emulator: slow, and without
 * many instructions. An ordinary kernel hangs in them, some hang KVM_RUN itself. So a small guest
 * does what kernels do in ring 0 with paging: a loop whose speed tells an emulator, SSE, x87, a
 * far return, an exception, a CR3 reload. On the host's KVM it runs in a child process, which can be
 * killed whatever the kernel does with it.
 *
 * Not modelled: a KVM that passes this and fails later.
 */
#include "host/kvm.h"

#include "host/thread.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	GUEST_BYTES = 2 << 20,
	PML4 = 0x1000, PDPT = 0x2000, PAGE_DIRECTORY = 0x3000, GDT = 0x4000, IDT = 0x5000,
	CODE = 0x8000, STACK = 0x20000,
	PORT = 0xf4, ANSWER = 0x2a,
};
#define CPU_LIMIT_NS  300000000ull  /* of processor time: good ones need 10 ms */
#define WALL_LIMIT_NS 3000000000ull /* for KVMs that sleep forever */

/* Loaded at CODE. Sends ANSWER to PORT when every part has worked. */
extern const uint8_t prove_guest[], prove_guest_end[];
__asm__(".pushsection .rodata\n"
	"prove_guest:\n"
	"	movl $4000000, %ecx\n"
	"1:	decl %ecx\n"
	"	jnz 1b\n"
	"	mov %cr3, %rax\n"
	"	mov %rax, %cr3\n"
	"	movl $10, %eax\n"
	"	movd %eax, %xmm0\n"
	"	pshufd $0, %xmm0, %xmm1\n"
	"	paddd %xmm1, %xmm0\n"     /* 20 */
	"	movups %xmm0, -64(%rsp)\n"
	"	fildl -64(%rsp)\n"
	"	fadd %st(0), %st\n"       /* 40 */
	"	fistpl -64(%rsp)\n"
	"	movl -64(%rsp), %ebx\n"
	"	pushq $8\n"
	"	leaq 2f(%rip), %rax\n"
	"	pushq %rax\n"
	"	lretq\n"
	"2:	int3\n"                   /* the handler adds 2 */
	"	movl %ebx, %eax\n"
	"	outl %eax, $0xf4\n"
	"3:	hlt\n"
	"	jmp 3b\n"
	".balign 64\n"
	"	addl $2, %ebx\n"          /* #BP handler: last 64 bytes */
	"	iretq\n"
	".balign 64\n"
	"prove_guest_end:\n"
	".popsection\n");

static void put64(uint8_t *memory, unsigned at, uint64_t value)
{
	memcpy(memory + at, &value, sizeof(value));
}

static void fill_guest(uint8_t *memory)
{
	size_t bytes = (size_t)(prove_guest_end - prove_guest);
	uint64_t handler = CODE + bytes - 64;

	memcpy(memory + CODE, prove_guest, bytes);
	put64(memory, PML4, PDPT | 3);
	put64(memory, PDPT, PAGE_DIRECTORY | 3);
	put64(memory, PAGE_DIRECTORY, 0x83);
	put64(memory, GDT + 8, 0x00af9b000000ffff);
	put64(memory, GDT + 16, 0x00cf93000000ffff);
	put64(memory, IDT + 3 * 16, (handler & 0xffff) | 8 << 16 | 0x8e00ull << 32);
}

static int set_state(struct kvm *vcpu, struct err *why)
{
	struct kvm_segment data = { .limit = 0xffffffff, .selector = 16, .type = 3, .present = 1,
				    .db = 1, .s = 1, .g = 1 };
	struct kvm_segment code = { .limit = 0xffffffff, .selector = 8, .type = 11, .present = 1,
				    .s = 1, .l = 1, .g = 1 };
	struct kvm_regs regs = { .rip = CODE, .rsp = STACK, .rflags = 2 };
	struct kvm_sregs sregs = { 0 };
	long result = kvm_ioctl(vcpu, KVM_GET_SREGS, &sregs);

	sregs.cs = code;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.gdt.base = GDT;
	sregs.gdt.limit = 23;
	sregs.idt.base = IDT;
	sregs.idt.limit = 16 * 32 - 1;
	sregs.cr3 = PML4;
	sregs.cr4 = 0x620;      /* PAE, OSFXSR, OSXMMEXCPT */
	sregs.cr0 = 0x80000033; /* PG, NE, ET, MP, PE */
	sregs.efer = 0x500;     /* LMA, LME */
	if (!result)
		result = kvm_ioctl(vcpu, KVM_SET_SREGS, &sregs);
	if (!result)
		result = kvm_ioctl(vcpu, KVM_SET_REGS, &regs);
	return result ? fail(why, (int)-result, "it does not take 64-bit state: %s",
			     strerror((int)-result))
		      : 0;
}

static int run_guest(struct kvm *vcpu, struct err *why)
{
	struct kvm_run *run = kvm_run_pages(vcpu, NULL);
	long result;
	uint32_t value;

	do {
		result = kvm_ioctl(vcpu, KVM_RUN, NULL);
	} while (result == -EINTR);
	if (result)
		return fail(why, (int)-result, "it cannot run a 64-bit guest: %s",
			    strerror((int)-result));
	if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
		return fail(why, ENOTSUP, "it cannot run ordinary kernel instructions");
	if (run->exit_reason != KVM_EXIT_IO || run->io.port != PORT)
		return fail(why, ENOTSUP, "a 64-bit guest ended with exit reason %u",
			    run->exit_reason);
	memcpy(&value, (uint8_t *)run + run->io.data_offset, sizeof(value));
	if (value != ANSWER)
		return fail(why, ENOTSUP, "it computes wrongly");
	return 0;
}

static int prove_vm(struct kvm *vm, uint8_t *memory, struct err *why)
{
	struct kvm_userspace_memory_region region = { .memory_size = GUEST_BYTES,
						      .userspace_addr = (uintptr_t)memory };
	long result = kvm_ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region);
	struct kvm *vcpu;
	int error;

	if (result)
		return fail(why, (int)-result, "it takes no memory: %s", strerror((int)-result));
	kvm_ioctl(vm, KVM_SET_TSS_ADDR, (void *)0xfffbd000ul);
	vcpu = kvm_ioctl_new(vm, KVM_CREATE_VCPU, NULL, why);
	if (!vcpu)
		return -why->code;
	error = set_state(vcpu, why);
	if (!error)
		error = run_guest(vcpu, why);
	kvm_close(vcpu);
	return error;
}

static int prove(struct kvm *system, struct err *why)
{
	struct kvm *vm = kvm_ioctl_new(system, KVM_CREATE_VM, NULL, why);
	uint8_t *memory;
	int error;

	if (!vm)
		return -why->code;
	memory = mmap(NULL, GUEST_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED) {
		error = fail(why, errno, "no memory to try it with");
	} else {
		fill_guest(memory);
		error = prove_vm(vm, memory, why);
		munmap(memory, GUEST_BYTES);
	}
	kvm_close(vm);
	return error;
}

static uint64_t cpu_ns_of(pid_t child)
{
	struct timespec used = { 0 };
	clockid_t clock;

	if (!clock_getcpuclockid(child, &clock))
		clock_gettime(clock, &used);
	return (uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec;
}

/* True if the child ended by itself within the limits. */
static bool await(pid_t child)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	uint64_t end = host_now_ns() + WALL_LIMIT_NS;
	int status;

	while (host_now_ns() < end && cpu_ns_of(child) < CPU_LIMIT_NS) {
		if (waitpid(child, &status, WNOHANG) == child)
			return WIFEXITED(status);
		nanosleep(&pause, NULL);
	}
	kill(child, SIGKILL);
	for (int turns = 0; turns < 500; turns++) {
		if (waitpid(child, &status, WNOHANG) == child)
			break;
		nanosleep(&pause, NULL); /* one that cannot be killed is left behind */
	}
	return false;
}

static bool prove_in_child(struct kvm *system, struct err *why)
{
	struct err *answer = mmap(NULL, sizeof(*answer), PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t child;
	bool ended;

	if (answer == MAP_FAILED) {
		fail(why, errno, "no memory to try it with");
		return false;
	}
	child = fork();
	if (!child) {
		prove(system, answer);
		_exit(0);
	}
	ended = child > 0 && await(child);
	if (!ended)
		fail(why, ETIMEDOUT, child < 0 ? "cannot start a process to try it"
					       : "it runs kernel code far too slowly, or hangs");
	else if (answer->code)
		*why = *answer;
	munmap(answer, sizeof(*answer));
	return !why->code;
}

bool kvm_prove(struct kvm *system, struct err *why)
{
	struct err reason = { 0 };
	bool good = !strcmp(kvm_name(system), "soft") ? !prove(system, &reason)
						      : prove_in_child(system, &reason);

	if (!good)
		fail(why, reason.code, "this KVM is not usable: %s", reason.text);
	return good;
}
