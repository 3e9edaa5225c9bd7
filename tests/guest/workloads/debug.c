/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Single steps, breakpoints of both kinds and watchpoints, from another process. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

void work(void *memory);
extern char work_end[], here[], strings[], private[];
__asm__(".text\n.globl work, work_end, here, strings\n"
	"work:\n push %rbx\n vzeroall\n \n mov %rdi, %rbx\n xor %eax, %eax\n mov $5, %ecx\n"
	"1: add %rcx, (%rbx)\n lea (%rax,%rcx,2), %rax\n dec %ecx\n jnz 1b\n"
	"here: nop\n"
	" lea 64(%rbx), %rdi\n lea 128(%rbx), %rsi\n mov $9, %ecx\n"
	"strings: rep movsb\n"
	" mov $3, %ecx\n lea 64(%rbx), %rdi\n mov $0x1111, %eax\n rep stosl\n"
	" mov $4, %ecx\n lea 64(%rbx), %rdi\n lea 128(%rbx), %rsi\n cld\n repe cmpsb\n"
	" pushf\n orl $1, (%rsp)\n popf\n adc $0, %rax\n"
	" mov $102, %eax\n syscall\n xor %eax, %eax\n"
	" call 2f\n jmp 3f\n2: ret\n3:\n"
	" movdqu (%rbx), %xmm1\n paddq %xmm1, %xmm1\n movdqu %xmm1, 16(%rbx)\n"
	" vmovdqu (%rbx), %ymm2\n vpaddd %ymm2, %ymm2, %ymm3\n vmovdqu %ymm3, 192(%rbx)\n "
	"vzeroupper\n"
	" fld1\n fadd %st(0), %st\n fstpl 32(%rbx)\n"
	" lock addl $3, 40(%rbx)\n xchg %eax, 44(%rbx)\n"
	" mov $1, %eax\n mov $3, %ecx\n4: loop 4b\n jrcxz 5f\n nop\n5:\n"
	" mov %ss, %eax\n mov %eax, %ss\n nop\n nop\n"
	" test %rcx, %rcx\n mov $1000, %eax\n xor %edx, %edx\n mov $7, "
	"%ecx\n div %ecx\n"
	" bt $3, %eax\n setc 50(%rbx)\n cmovc %rax, %rcx\n"
	" int3\n nop\n"
	" enter $16, $0\n leave\n"
	"private: mov $7, %eax\n cpuid\n xor %ecx, %ecx\n xgetbv\n rdtsc\n xor %eax, %eax\n xor "
	"%ecx, %ecx\n"
	" pop %rbx\n ret\nwork_end: nop\n");

uint64_t memory[64] __attribute__((aligned(64)));

static pid_t child;

static void begin(void)
{
	child = fork();
	if (!child) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		work(memory);
		raise(SIGSTOP);
		work(memory);
		_exit(0);
	}
	waitpid(child, 0, 0);
}

static struct user_regs_struct regs(void)
{
	struct user_regs_struct r;

	ptrace(PTRACE_GETREGS, child, 0, &r);
	return r;
}

static long at(void)
{
	return (long)(regs().rip - (uint64_t)work);
}

static void set_debug(int number, uint64_t value)
{
	if (ptrace(PTRACE_POKEUSER, child, offsetof(struct user, u_debugreg[number]), value))
		printf("debug register %d: %d\n", number, errno);
}
static uint64_t get_debug(int number)
{
	return (uint64_t)ptrace(PTRACE_PEEKUSER, child, offsetof(struct user, u_debugreg[number]),
				0);
}

static const char *wait_for(int request, int sig)
{
	static char text[80];
	int status;
	siginfo_t info = { 0 };

	ptrace(request, child, 0, sig);
	waitpid(child, &status, 0);
	if (WIFEXITED(status))
		return "exit";
	ptrace(PTRACE_GETSIGINFO, child, 0, &info);
	snprintf(text, sizeof(text), "signal %d code %d", WSTOPSIG(status), info.si_code);
	return text;
}

static uint64_t sum_of(const void *p, size_t n)
{
	uint64_t h = 5381;
	for (size_t i = 0; i < n; i++)
		h = h * 33 + ((const uint8_t *)p)[i];
	return h;
}

static int steps_of(int request, int print)
{
	int n = 0;

	for (; n < 3000; n++) {
		const char *text = wait_for(request, 0);
		struct user_regs_struct r = regs();
		struct user_fpregs_struct f;
		long offset = (long)(r.rip - (uint64_t)work);

		if (!strcmp(text, "exit"))
			return n;
		if (offset < 0 || offset > work_end - (char *)work) {
			if (n > 20 && !strstr(text, "signal 5"))
				return n;
			continue;
		}
		if (print) {
			ptrace(PTRACE_GETFPREGS, child, 0, &f);
			f.mxcr_mask = 0;
			if (offset < 12)
				continue;
			printf("%3lx %s rax %llx rcx %llx flags %llx dr6 %lx fpu %lx ftw %x fop "
			       "%x\n",
			       offset, text, offset > private - (char *)work ? 0 : r.rax,
			       offset > private - (char *)work ? 0 : r.rcx, r.eflags,
			       (long)get_debug(6), (long)sum_of(&f.xmm_space, 256), f.ftw, f.fop);
		}
		if (offset >= work_end - (char *)work - 1)
			return n;
	}
	return n;
}

static void stepping(void)
{
	begin();
	while (at() < 0 || at() > 10)
		if (!strcmp(wait_for(PTRACE_SINGLESTEP, 0), "exit"))
			return;
	printf("steps: %d\n", steps_of(PTRACE_SINGLESTEP, 1));
	kill(child, SIGKILL);
	waitpid(child, 0, 0);
	begin();
	steps_of(33 /* PTRACE_SINGLEBLOCK */, 1);
	kill(child, SIGKILL);
	waitpid(child, 0, 0);
}

/* kind 0: execution, 1: writes, 3: both; length as in DR7 */
static void hardware(const char *name, uint64_t address, unsigned kind, unsigned length)
{
	const char *text;
	int count = 0;

	begin();
	set_debug(0, address);
	set_debug(7, 1 | kind << 16 | length << 18);
	printf("%s:", name);
	while (strcmp(text = wait_for(PTRACE_CONT, 0), "exit")) {
		if (strstr(text, "signal 19"))
			printf(" stop");
		else
			printf(" %lx(%s,%lx)", at(), text + 7, (long)get_debug(6));
		set_debug(6, 0);
		if (++count > 60)
			break;
	}
	kill(child, SIGKILL);
	waitpid(child, 0, 0);
	printf("\n");
}

static void four(void)
{
	int count = 0;
	const char *text;

	begin();
	set_debug(0, (uint64_t)here);
	set_debug(1, (uint64_t)memory + 64);
	set_debug(2, (uint64_t)memory + 40);
	set_debug(3, (uint64_t)strings);
	set_debug(7, 0x55 | 1 << 20 | 2 << 22 | 3 << 24 | 3 << 26);
	while (strcmp(text = wait_for(count % 3 ? PTRACE_CONT : PTRACE_SINGLESTEP, 0), "exit") &&
	       ++count < 200)
		if (at() >= 0 && at() < 400)
			printf("four: %lx %s dr6 %lx\n", at(), text, (long)get_debug(6)),
				set_debug(6, 0);
	kill(child, SIGKILL);
	waitpid(child, 0, 0);
}

static void software(void)
{
	long word;
	struct user_regs_struct r;

	begin();
	word = ptrace(PTRACE_PEEKTEXT, child, here, 0);
	for (int round = 0; round < 2; round++) {
		ptrace(PTRACE_POKETEXT, child, here, (word & ~0xffl) | 0xcc);
		printf("software: %s ", wait_for(PTRACE_CONT, 0));
		r = regs();
		printf("at %lx rax %llx\n", at(), r.rax);
		ptrace(PTRACE_POKETEXT, child, here, word);
		r.rip--;
		r.rax = 0x42;
		ptrace(PTRACE_SETREGS, child, 0, &r);
		printf("%s", wait_for(PTRACE_SINGLESTEP, 0));
		printf(" at %lx rax %llx\n", at(), regs().rax);
		printf("%s at %lx\n", wait_for(PTRACE_CONT, 0), at()); /* the int3 */
		if (strstr(wait_for(PTRACE_CONT, 0), "exit"))
			break;
	}
	kill(child, SIGKILL);
	waitpid(child, 0, 0);
}

static void syscalls(void)
{
	begin();
	for (int i = 0; i < 12; i++) {
		struct user_regs_struct r;

		printf("%s", wait_for(PTRACE_SYSCALL, 0));
		r = regs();
		if (at() > 0 && at() < 500)
			printf(" %lld %llx", r.orig_rax, r.rcx - r.rip);
		printf("\n");
	}
	kill(child, SIGKILL);
	waitpid(child, 0, 0);
}

/* A process that steps itself by TF. */
static volatile int traps;
static volatile uint64_t trap_sum;
static void on_trap(int sig, siginfo_t *info, void *context)
{
	ucontext_t *u = context;
	long offset = (long)(u->uc_mcontext.gregs[REG_RIP] - (uint64_t)work);

	if (offset >= 0 && offset < 400) {
		traps++;
		trap_sum = trap_sum * 31 + (uint64_t)offset + (uint64_t)info->si_code * 1000;
	}
}

static void by_flag(void)
{
	struct sigaction trap = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO };

	sigaction(SIGTRAP, &trap, 0);
	for (int i = 0; i < 3; i++) {
		__asm__ volatile("sub $128, %%rsp\n pushf\n orl $0x100, (%%rsp)\n popf\n nop\n" ::
					 : "memory", "cc");
		work(memory);
		__asm__ volatile("pushf\n andl $~0x100, (%%rsp)\n popf\n nop\n add $128, %%rsp\n" ::
					 : "memory", "cc");
		printf("by flag: %d %lx\n", traps, (long)trap_sum);
	}
}

int main(void)
{
	stepping();
	hardware("execute", (uint64_t)here, 0, 0);
	hardware("execute rep", (uint64_t)strings, 0, 0);
	for (unsigned length = 0; length < 4; length++) {
		hardware("write", (uint64_t)memory, 1, length);
		hardware("access", (uint64_t)memory, 3, length);
		hardware("write strings", (uint64_t)memory + 64, 1, length);
		hardware("write 16", (uint64_t)memory + 16, 1, length);
		hardware("write 32", (uint64_t)memory + 192 + 8, 1, length);
		hardware("x87", (uint64_t)memory + 32, 1, length);
		hardware("locked", (uint64_t)memory + 40, 3, length);
	}
	hardware("strings read", (uint64_t)memory + 132, 3, 0);
	hardware("last of 16", (uint64_t)memory + 31, 1, 0);
	hardware("set byte", (uint64_t)memory + 50, 1, 0);
	four();
	software();
	syscalls();
	by_flag();
	return 0;
}
