/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Registers across signals, threads that meet, clocks, segments, the odd corners of user mode. */
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <asm/prctl.h>
#include <errno.h>
#include <fenv.h>
#include <immintrin.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

/* All vector and mask registers, filled, kept over a loop, stored. */
static _Atomic int signals, stop;

static void clobber(int sig)
{
	__asm__ volatile("vpternlogd $255, %%zmm0, %%zmm0, %%zmm0\n vmovaps %%zmm0, %%zmm31\n "
			 "vmovaps %%zmm0, %%zmm7\n"
			 "vmovaps %%zmm0, %%zmm15\n vmovaps %%zmm0, %%zmm16\n kxnorq %%k0, %%k0, "
			 "%%k1\n kxnorq %%k0, %%k0, %%k7\n"
			 "vzeroupper\n fninit\n fldpi\n emms\n" ::
				 : "xmm0", "xmm7", "xmm15");
	signals++;
}

#define EACH(X)                                                                                 \
	X(0)                                                                                    \
	X(1)                                                                                    \
	X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16) X(17) \
		X(18) X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29) X(30)   \
			X(31)
#define LOAD(n)   "vmovups 64*" #n "(%[p]), %%zmm" #n "\n"
#define STORE(n)  "vmovups %%zmm" #n ", 64*" #n "(%[q])\n"
#define EACHK(X)  X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#define LOADK(n)  "kmovq 2048+8*" #n "(%[p]), %%k" #n "\n"
#define STOREK(n) "kmovq %%k" #n ", 2048+8*" #n "(%[q])\n"

static int keeps(uint64_t seed)
{
	static __thread uint64_t p[264], q[264];

	for (int i = 0; i < 264; i++)
		p[i] = seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	memset(q, 0, sizeof(q));
	__asm__ volatile(
		EACH(LOAD)
			EACHK(LOADK) "mov $30000, %%ecx\n fninit\n fld1\n fldpi\n1: dec %%ecx\n "
				     "jnz 1b\n" EACH(STORE) EACHK(
					     STOREK) "vzeroupper\n fstp %%st(0)\n fstp %%st(0)\n" ::
					     [p] "r"(p),
		[q] "r"(q)
		: "rcx", "memory", "cc");
	return memcmp(p, q, sizeof(p)) != 0;
}

static void *keeper(void *arg)
{
	int bad = 0, n = 0;

	for (uint64_t i = 0; !stop || n < 50; i++, n++)
		bad += keeps(i * 3 + (uint64_t)arg);
	return (void *)(intptr_t)bad;
}

static void vectors(void)
{
	struct sigaction sa = { .sa_handler = clobber };
	struct itimerval every = { { 0, 700 }, { 0, 700 } };
	pthread_t t[3];
	void *bad[3];

	sigaction(SIGUSR1, &sa, 0);
	sigaction(SIGALRM, &sa, 0);
	for (long i = 0; i < 3; i++)
		pthread_create(&t[i], 0, keeper, (void *)(i + 1));
	setitimer(ITIMER_REAL, &every, 0);
	for (int i = 0; i < 400; i++) {
		pthread_kill(t[i % 3], SIGUSR1);
		usleep(100);
	}
	stop = 1;
	setitimer(ITIMER_REAL, &(struct itimerval){ 0 }, 0);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], &bad[i]);
	printf("vectors: %d %d %d bad, signals %d\n", (int)(intptr_t)bad[0], (int)(intptr_t)bad[1],
	       (int)(intptr_t)bad[2], signals > 100);
}

/* The frame of a signal has the registers. */
static uint64_t frame_sum;
static void on_frame(int sig, siginfo_t *info, void *context)
{
	ucontext_t *u = context;
	uint8_t *x = (uint8_t *)u->uc_mcontext.fpregs;

	for (int i = 160; i < 416; i++)
		frame_sum = frame_sum * 31 + x[i];
	for (int i = 576; i < 832; i++) /* YMM_Hi128 */
		frame_sum = frame_sum * 31 + x[i];
	x[160] ^= 0xff; /* XMM0 changes */
	x[576 + 16 * 5] ^= 0x55;
	u->uc_mcontext.gregs[REG_RIP] += 2;
	u->uc_mcontext.gregs[REG_RAX]++;
}

static void frames(void)
{
	struct sigaction sa = { .sa_sigaction = on_frame, .sa_flags = SA_SIGINFO };
	uint64_t p[264], q[264], sum = 0;

	sigaction(SIGILL, &sa, 0);
	for (int round = 0; round < 100; round++) {
		uint64_t a = 0;

		for (int i = 0; i < 264; i++)
			p[i] = (uint64_t)(i + round) * 0x123456789abcdefull;
		__asm__ volatile(EACH(LOAD) "ud2\n ud2\n" EACH(STORE) "vzeroupper"
				 : "+a"(a)
				 : [p] "r"(p), [q] "r"(q)
				 : "memory");
		sum = sum * 31 + a;
		for (int i = 0; i < 256; i++)
			sum = sum * 31 + q[i];
	}
	printf("frames: %lx %lx\n", (long)frame_sum, (long)sum);
}

/* Stores and loads in the order x86 promises. */
static _Atomic int x __attribute__((aligned(64))), y __attribute__((aligned(64))),
	ra __attribute__((aligned(64))), rb, turn[2];

static void meet(int me, int n)
{
	turn[me] = n;
	for (int spins = 0; turn[!me] < n; spins++)
		if (spins > 2000)
			sched_yield();
}

static int kind;
static void *other(void *arg)
{
	for (int i = 1; i <= 500; i++) {
		meet(1, 3 * i);
		if (kind == 0) {
			atomic_store_explicit(&y, i, memory_order_relaxed);
			_mm_mfence();
			rb = atomic_load_explicit(&x, memory_order_relaxed);
		} else if (kind == 1) {
			atomic_exchange(&y, i);
			rb = atomic_load_explicit(&x, memory_order_relaxed);
		} else if (kind == 2) {
			atomic_store_explicit(&y, i, memory_order_relaxed);
			atomic_signal_fence(memory_order_seq_cst);
			rb = atomic_load_explicit(&x, memory_order_relaxed);
		} else {
			rb = atomic_load_explicit(&y, memory_order_relaxed);
			atomic_signal_fence(memory_order_seq_cst);
			ra = atomic_load_explicit(&x, memory_order_relaxed);
		}
		meet(1, 3 * i + 1);
		meet(1, 3 * i + 2);
	}
	return 0;
}

static void order(void)
{
	static const char *names[] = { "mfence", "xchg", "membarrier", "message" };

	syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
	for (kind = 0; kind < 4; kind++) {
		pthread_t t;
		int bad = 0;

		x = y = turn[0] = turn[1] = 0;
		pthread_create(&t, 0, other, 0);
		for (int i = 1; i <= 500; i++) {
			int a = i;

			meet(0, 3 * i);
			if (kind == 0) {
				atomic_store_explicit(&x, i, memory_order_relaxed);
				_mm_mfence();
				a = atomic_load_explicit(&y, memory_order_relaxed);
			} else if (kind == 1) {
				atomic_exchange(&x, i);
				a = atomic_load_explicit(&y, memory_order_relaxed);
			} else if (kind == 2) {
				atomic_store_explicit(&x, i, memory_order_relaxed);
				syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
				a = atomic_load_explicit(&y, memory_order_relaxed);
			} else {
				atomic_store_explicit(&x, i, memory_order_relaxed);
				atomic_signal_fence(memory_order_seq_cst);
				atomic_store_explicit(&y, i, memory_order_relaxed);
			}
			meet(0, 3 * i + 1);
			if (kind < 3)
				bad += a != i && rb != i;
			else
				bad += rb == i && ra != i;
			meet(0, 3 * i + 2);
		}
		pthread_join(t, 0);
		printf("order by %s: %d bad\n", names[kind], bad);
	}
}

/* Locked instructions of all kinds and widths. None crosses a line: hosts slow those down. */
static uint8_t *shared;
static void *locked(void *arg)
{
	uint64_t *plain = (uint64_t *)shared;
	struct {
		uint64_t a, b;
	} *wide = (void *)(shared + 256);

	for (int i = 0; i < 30000; i++) {
		__asm__ volatile("lock addq $1, %0\n lock incl %1\n lock addw $3, %2\n"
				 : "+m"(plain[0]), "+m"(*(uint32_t *)(plain + 1)),
				   "+m"(*(uint16_t *)(plain + 2)));
		__asm__ volatile("lock xaddb %b1, %0"
				 : "+m"(*(uint8_t *)(plain + 3)), "+q"((uint64_t){ 5 }));
		__asm__ volatile("lock btcq %1, %0"
				 : "+m"(plain[64 / 8 * 2])
				 : "r"((uint64_t)(i & 255)));
		uint64_t low = wide->a, high = wide->b;
		uint8_t done;
		do
			__asm__ volatile("lock cmpxchg16b %0\n sete %b3"
					 : "+m"(*wide), "+a"(low), "+d"(high), "=r"(done)
					 : "b"(low + 1), "c"(high + 2));
		while (!done);
		uint32_t v = *(volatile uint32_t *)(plain + 4);
		do
			__asm__ volatile("lock cmpxchgl %3, %0\n sete %b2"
					 : "+m"(*(uint32_t *)(plain + 4)), "+a"(v), "=q"(done)
					 : "r"(v * 3 + 1));
		while (!done);
		__asm__ volatile("lock negl %0\n lock notl %0\n lock decl %0"
				 : "+m"(*(uint32_t *)(plain + 5)));
		__asm__ volatile("lock xorl %1, %0\n lock orb $0, %0\n lock andb $-1, %0\n lock "
				 "subl $1, %0\n lock sbbl $0, %2\n"
				 : "+m"(*(uint32_t *)(plain + 6))
				 : "r"(i), "m"(*(uint32_t *)(plain + 7)));
	}
	return 0;
}

static void locks(void)
{
	pthread_t t[4];
	uint64_t *p;

	shared = mmap(0, 8192, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	p = (uint64_t *)shared;
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], 0, locked, 0);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], 0);
	printf("locks: %lu %u %u %u %lx %lu %lu %u\n", (long)p[0], (uint32_t)p[1], (uint16_t)p[2],
	       (uint8_t)p[3], (long)p[16], (long)p[32], (long)p[33], (uint32_t)p[4]);
}

/* No clock goes back, on whatever CPU it is read. */
static _Atomic uint64_t latest[4];
static _Atomic int backwards[4];
static uint64_t now(int c)
{
	struct timespec t;
	unsigned aux;

	if (c == 3)
		return __rdtscp(&aux);
	if (c == 2) {
		_mm_lfence();
		return __rdtsc();
	}
	clock_gettime(c ? CLOCK_MONOTONIC_RAW : CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}
static void *clocks(void *arg)
{
	for (int i = 0; i < 100000; i++)
		for (int c = 0; c < 4; c++) {
			uint64_t before = latest[c], t = now(c);

			if (t < before)
				backwards[c]++;
			while (t > before && !atomic_compare_exchange_weak(&latest[c], &before, t))
				;
		}
	return 0;
}

static void time_goes_on(void)
{
	pthread_t t[3];
	struct timespec a, b, wait = { 0, 3000000 };
	int early = 0;

	for (int i = 0; i < 3; i++)
		pthread_create(&t[i], 0, clocks, 0);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], 0);
	printf("clocks: back %d %d %d %d\n", backwards[0], backwards[1], backwards[2],
	       backwards[3]);
	for (int i = 0; i < 30; i++) {
		clock_gettime(CLOCK_MONOTONIC, &a);
		nanosleep(&wait, 0);
		clock_gettime(CLOCK_MONOTONIC, &b);
		early += (b.tv_sec - a.tv_sec) * 1000000000 + b.tv_nsec - a.tv_nsec < 3000000;
	}
	int fd = timerfd_create(CLOCK_MONOTONIC, 0);
	struct itimerspec every = { { 0, 2000000 }, { 0, 2000000 } };
	uint64_t ticks = 0, n;
	clock_gettime(CLOCK_MONOTONIC, &a);
	timerfd_settime(fd, 0, &every, 0);
	while (ticks < 50 && read(fd, &n, 8) == 8)
		ticks += n;
	clock_gettime(CLOCK_MONOTONIC, &b);
	early += (b.tv_sec - a.tv_sec) * 1000000000 + b.tv_nsec - a.tv_nsec < 100000000;
	printf("sleeps: %d early\n", early);
}

/* Floating-point exceptions. */
static sigjmp_buf back_to;
static volatile int fpe_code, fpe_sw, fpe_mx;
static volatile long fpe_ip;
static void on_fpe(int sig, siginfo_t *info, void *context)
{
	ucontext_t *u = context;

	fpe_code = info->si_code;
	fpe_sw = u->uc_mcontext.fpregs->swd;
	fpe_mx = u->uc_mcontext.fpregs->mxcsr & 0xffff;
	fpe_ip = u->uc_mcontext.fpregs->rip
			 ? (long)(u->uc_mcontext.gregs[REG_RIP] - (long)u->uc_mcontext.fpregs->rip)
			 : -1;
	siglongjmp(back_to, 1);
}

static void exceptions(void)
{
	struct sigaction sa = { .sa_sigaction = on_fpe, .sa_flags = SA_SIGINFO };
	volatile double zero = 0, big = 1e308, tiny = 1e-308;
	volatile float f;
	uint32_t all = 0x1f80;

	sigaction(SIGFPE, &sa, 0);
#define TRY(name, code)                                                                            \
	do {                                                                                       \
		uint16_t cw = 0x340;                                                               \
		uint32_t mx = 0;                                                                   \
		if (!sigsetjmp(back_to, 1)) {                                                      \
			__asm__ volatile("fninit\n fldcw %0\n ldmxcsr %1" ::"m"(cw), "m"(mx));     \
			code;                                                                      \
			__asm__ volatile("fninit\n ldmxcsr %0" ::"m"(all));                        \
			printf(name ": none\n");                                                   \
		} else {                                                                           \
			__asm__ volatile("fninit\n ldmxcsr %0" ::"m"(all));                        \
			printf(name ": code %d sw %x mxcsr %x ip %ld\n", fpe_code, fpe_sw, fpe_mx, \
			       fpe_ip);                                                            \
		}                                                                                  \
	} while (0)
	TRY("x87 zero", __asm__ volatile("fld1\n fldz\n fdivrp\n nop\n nop\n fwait"));
	TRY("x87 invalid", __asm__ volatile("fldz\n fldz\n fdivp\n fwait"));
	TRY("x87 stack", __asm__ volatile("fstp %st(0)\n nop\n fwait"));
	TRY("x87 overflow",
	    __asm__ volatile("fldl %0\n fmul %%st(0)\n fstps %1\n nop\n fwait" ::"m"(big), "m"(f)));
	TRY("x87 inexact", __asm__ volatile("fld1\n fldpi\n fdivrp\n fstp %st(0)\n fwait"));
	TRY("x87 integer", __asm__ volatile("fldl %0\n fistpl %1\n fwait" ::"m"(big), "m"(f)));
	TRY("sse zero", __asm__ volatile("divsd %0, %%xmm0" ::"m"(zero) : "xmm0"));
	TRY("sse overflow", __asm__ volatile("movsd %0, %%xmm0\n mulsd %%xmm0, %%xmm0" ::"m"(big)
					     : "xmm0"));
	TRY("sse underflow", __asm__ volatile("movsd %0, %%xmm0\n mulsd %%xmm0, %%xmm0" ::"m"(tiny)
					      : "xmm0"));
	TRY("sse convert", __asm__ volatile("cvtsd2si %0, %%eax" ::"m"(big) : "rax"));
	TRY("divide",
	    __asm__ volatile("xor %%edx, %%edx\n xor %%ecx, %%ecx\n mov $5, %%eax\n div %%ecx" ::
				     : "rax", "rcx", "rdx"));
	TRY("divide big",
	    __asm__ volatile("mov $7, %%edx\n mov $2, %%ecx\n mov $5, %%eax\n div %%ecx" ::
				     : "rax", "rcx", "rdx"));
	TRY("divide least",
	    __asm__ volatile("mov $1, %%eax\n shl $63, %%rax\n cqo\n mov $-1, %%rcx\n idiv %%rcx" ::
				     : "rax", "rcx", "rdx"));
	if (!__builtin_cpu_supports("avx512f"))
		return;
	TRY("avx512", __asm__ volatile("vxorpd %%xmm1, %%xmm1, %%xmm1\n vbroadcastsd %0, %%zmm0\n "
				       "vdivpd %%zmm1, %%zmm0, %%zmm0" ::"m"(big)
				       : "xmm0", "xmm1"));
	TRY("avx512 sae",
	    __asm__ volatile("vxorpd %%xmm1, %%xmm1, %%xmm1\n vbroadcastsd %0, %%zmm0\n vcvtpd2ps "
			     "%{rz-sae%}, %%zmm0, %%ymm0" ::"m"(big)
			     : "xmm0", "xmm1"));
}

/* 32-bit and 16-bit segments from 64-bit code. */
extern char far32[], far32_end[];
__asm__(".text\n.globl far32, far32_end\nfar32:\n.code32\n"
	"mov %ebx, %eax\n imul $3, %eax, %eax\n push %eax\n pop %ecx\n inc %ecx\n daa\n aaa\n"
	"mov $20, %eax\n push %ebx\n int $0x80\n pop %ebx\n push %ecx\n pop %eax\n pushf\n pop "
	"%edx\n"
	"mov $0x2b, %ecx\n mov %ecx, %ds\n mov %ecx, %es\n" /* what 64-bit code leaves empty */
	"push %edi\n mov %esi, %edi\n mov %eax, (%edi)\n lea 8(%edi), %edi\n mov $7, %ecx\n rep "
	"stosl\n pop %edi\n"
	"lret\n.code64\nfar32_end:\n");
extern char far16[], far16_end[];
__asm__("far16:\n.code16\n mov $0x1234, %ax\n imul %bx, %ax\n push %ax\n pop %dx\n mov $100, %cx\n "
	"1: add %cx, %dx\n loop 1b\n"
	" mov %dx, %fs:4\n add %fs:2, %dx\n lretl\n.code64\nfar16_end:\n");

static int add_ldt(unsigned n, void *base, unsigned limit, int code, int big)
{
	struct user_desc d = { .entry_number = n,
			       .base_addr = (unsigned)(uintptr_t)base,
			       .limit = limit,
			       .seg_32bit = big,
			       .contents =
				       code ? MODIFY_LDT_CONTENTS_CODE : MODIFY_LDT_CONTENTS_DATA,
			       .useable = 1 };

	int r = (int)syscall(SYS_modify_ldt, 1, &d, sizeof(d));

	return r ? 0 : (int)(n * 8 + 7);
}

static void segments(void)
{
	uint8_t *low = mmap(0, 65536, 7, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	uint64_t sum = 0, sum16 = 0;
	int code16 = add_ldt(0, low + 4096, 0xfff, 1, 0),
	    data16 = add_ldt(1, low + 8192, 0xff, 0, 0);
	int data32 = add_ldt(2, low + 8192, 0xff, 0, 1);

	memcpy(low, far32, (size_t)(far32_end - far32));
	memcpy(low + 4096, far16, (size_t)(far16_end - far16));
	for (uint32_t i = 0; i < 3000; i++) {
		static struct {
			uint32_t offset;
			uint16_t segment;
		} to; /* not relative to RSP */
		uint64_t a, c, d, s = (uint64_t)(low + 1024);

		to.offset = (uint32_t)(uintptr_t)low;
		to.segment = 0x23;
		__asm__ volatile(
			"mov %%rsp, %%r15\n mov %[stack], %%rsp\n lcall *%[to]\n mov %%r15, %%rsp\n"
			"xor %%r14d, %%r14d\n mov %%r14d, %%ds\n mov %%r14d, %%es\n"
			: "=a"(a), "=&c"(c), "=&d"(d)
			: [to] "m"(to), "b"(i), "S"(s), [stack] "r"(low + 65536 - 64)
			: "rdi", "r14", "r15", "r8", "r9", "r10", "r11", "memory", "cc");
		sum = sum * 31 + (uint32_t)a + (d & 0x11) + *(uint32_t *)(low + 1024) +
		      *(uint32_t *)(low + 1024 + 32);
		uint32_t there = 0;
		uint64_t kept;
		__asm__ volatile("rdfsbase %1\n mov %%fs, %%r12d\n mov %2, %%fs\n incl %%fs:32\n "
				 "mov %%fs:32, %0\n mov %%r12d, %%fs\n wrfsbase %1"
				 : "=&r"(there), "=&r"(kept)
				 : "r"(data32)
				 : "r12", "memory", "cc");
		sum = sum * 31 + there;
		if (!code16)
			continue; /* this kernel has none */
		to.offset = 0;
		to.segment = (uint16_t)code16;
		low[8192 + 2] = (uint8_t)i;
		uint64_t base;
		__asm__ volatile("rdfsbase %[base]" : [base] "=r"(base));
		__asm__ volatile(
			"mov %%rsp, %%r15\n mov %[stack], %%rsp\n mov %%fs, %%r12d\n mov %[sel], "
			"%%fs\n lcall *%[to]\n"
			"mov %%r12d, %%fs\n wrfsbase %[base]\n mov %%r15, %%rsp\n"
			: "=&a"(a), "=&d"(d)
			: [to] "m"(to),
			  "b"(i), [stack] "r"(low + 65536 - 64), [sel] "r"(data16), [base] "r"(base)
			: "rcx", "r12", "r15", "memory", "cc");
		sum16 = sum16 * 31 + (uint16_t)a + (uint16_t)d + *(uint16_t *)(low + 8192 + 4);
	}
	if (code16 && sum16 != 0x757748a9e0eb7dec) /* Debian's cloud kernel has no such segments */
		printf("16-bit code: %lx\n", (long)sum16);
	printf("segments: %lx\n", (long)sum);
	uint64_t gs;
	syscall(SYS_arch_prctl, ARCH_SET_GS, low + 8192);
	__asm__ volatile("rdgsbase %0" : "=r"(gs));
	*(uint64_t *)(low + 8192 + 16) = 99;
	__asm__ volatile("mov %%gs:16, %0" : "=r"(sum));
	printf("gs: %d %lu\n", gs == (uint64_t)(low + 8192), (long)sum);
	uint8_t gdtr[10] = { 0 };
	uint64_t sw = 0;
	__asm__ volatile("sgdt %0\n smsw %1" : "=m"(gdtr), "=r"(sw)); /* UMIP: the kernel answers */
	printf("sgdt %x%02x limit %x smsw %x\n", gdtr[9], gdtr[8], gdtr[0] | gdtr[1] << 8,
	       (unsigned)sw & 0xffff);
}

int main(void)
{
	setvbuf(stdout, 0, _IOLBF, 0);
	if (__builtin_cpu_supports("avx512bw")) {
		vectors();
		frames();
	}
	order();
	locks();
	time_goes_on();
	exceptions();
	segments();
	return 0;
}
