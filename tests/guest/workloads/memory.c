/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory from where a kernel's tables and a CPU's caches of them meet: protection, copies, keys, user faults. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <immintrin.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

static sigjmp_buf back_to;
static volatile siginfo_t last;
static _Atomic int faults;

static void on_fault(int sig, siginfo_t *info, void *context)
{
	last = *info;
	faults++;
	siglongjmp(back_to, 1);
}

static void *map(size_t bytes)
{
	return mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static int try_read(volatile uint8_t *p)
{
	if (sigsetjmp(back_to, 1))
		return -last.si_code;
	return *p;
}
static int try_write(volatile uint8_t *p, uint8_t v)
{
	if (sigsetjmp(back_to, 1))
		return -last.si_code;
	*p = v;
	return *p;
}

static void protection(void)
{
	uint8_t *p = map(64 * 4096);
	long sum = 0;

	memset(p, 1, 64 * 4096);
	for (int i = 0; i < 20000; i++) {
		int page = (i * 7919) % 64, kind = (i / 64) % 4;

		mprotect(p + page * 4096, 4096,
			 kind == 0   ? PROT_NONE
			 : kind == 1 ? PROT_READ
				     : PROT_READ | PROT_WRITE);
		sum = sum * 31 + try_read(p + page * 4096 + 5);
		sum = sum * 31 + try_write(p + page * 4096 + 5, (uint8_t)i);
		if (kind == 3)
			madvise(p + page * 4096, 4096, MADV_DONTNEED);
	}
	printf("protection: %ld\n", sum);
	munmap(p, 64 * 4096);
}

/* After mprotect() returned no other thread's write may come through. */
static volatile uint64_t *counter;
static _Atomic int stop;

static void *writer(void *arg)
{
	sigsetjmp(back_to, 1);
	while (!stop)
		++*counter;
	return 0;
}

static void shootdown(void)
{
	pthread_t t;
	int late = 0;

	counter = map(4096);
	stop = 0;
	pthread_create(&t, 0, writer, 0);
	for (int i = 0; i < 800; i++) {
		uint64_t before = *counter, seen;
		int again = faults;

		while (*counter < before + 10)
			;
		mprotect((void *)counter, 4096, PROT_READ);
		seen = *counter;
		for (int k = 0; k < 300; k++)
			late += *counter != seen;
		while (faults == again)
			;
		late += *counter != seen;
		mprotect((void *)counter, 4096, PROT_READ | PROT_WRITE);
	}
	stop = 1;
	pthread_join(t, 0);
	printf("shootdown: %d late\n", late);
	munmap((void *)counter, 4096);
}

/* A child's picture of memory is of one moment, though a thread writes on. */
static void *rolling(void *arg)
{
	uint64_t *p = arg;

	while (!stop)
		for (int i = 0; i < 32 && !stop; i++)
			++*(volatile uint64_t *)(p + i * 512);
	return 0;
}

static void copies(void)
{
	pthread_t t;
	uint64_t *p = map(32 * 4096);
	int bad = 0;

	stop = 0;
	pthread_create(&t, 0, rolling, p);
	for (int i = 0; i < 60; i++) {
		int status;

		if (!fork()) {
			uint64_t copy[32];
			int wrong = 0;

			for (int k = 0; k < 32; k++)
				copy[k] = p[k * 512];
			for (int round = 0; round < 200; round++)
				for (int k = 0; k < 32; k++)
					wrong += *(volatile uint64_t *)(p + k * 512) != copy[k];
			for (int k = 1; k < 32; k++)
				wrong += copy[k] > copy[k - 1] || copy[k - 1] > copy[k] + 1;
			for (int k = 0; k < 32; k++)
				wrong += ++p[k * 512] != copy[k] + 1;
			_exit(wrong != 0);
		}
		wait(&status);
		bad += status != 0;
	}
	stop = 1;
	pthread_join(t, 0);
	printf("copies: %d bad\n", bad);
	munmap(p, 32 * 4096);
}

static void keys(void)
{
	uint8_t *p = map(4 * 4096);
	long sum = 0;
	int key[3];

	for (int i = 0; i < 3; i++) {
		key[i] = pkey_alloc(0, 0);
		pkey_mprotect(p + i * 4096, 4096, PROT_READ | PROT_WRITE, key[i]);
	}
	printf("keys: %d %d %d\n", key[0], key[1], key[2]);
	for (int i = 0; i < 20000; i++) {
		int n = i % 3, rights = i / 3 % 4;

		pkey_set(key[n], rights & 3);
		for (int k = 0; k < 4; k++) {
			int r = try_read(p + k * 4096), w;

			sum = sum * 31 + r + (r == -SEGV_PKUERR ? last.si_pkey : 0);
			w = try_write(p + k * 4096, (uint8_t)i);
			sum = sum * 31 + w;
		}
		for (int k = 0; k < 3; k++)
			sum = sum * 3 + pkey_get(key[k]);
	}
	for (int i = 0; i < 3; i++)
		pkey_set(key[i], 0);
	printf("keys: %ld\n", sum);
	pkey_set(key[0], PKEY_DISABLE_WRITE);
	printf("read into: %d",
	       (int)read(open("/dev/zero", O_RDONLY), p, 5)); /* the kernel respects them */
	printf(" %d\n", (int)read(open("/dev/zero", O_RDONLY), p + 3 * 4096, 5));
	int only = mmap(0, 4096, PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
	uint8_t *x = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(x, "\xb8\x2a\x00\x00\x00\xc3", 6);
	mprotect(x, 4096, PROT_EXEC); /* by a key that denies reading */
	printf("execute only: %d %d %d\n", only, ((int (*)(void))x)(), try_read(x));
	munmap(p, 4 * 4096);
}

static int uffd;
static uint8_t *area;
static _Atomic int handled;

static void *handler(void *arg)
{
	uint8_t *page = map(4096);
	struct pollfd fd = { .fd = uffd, .events = POLLIN };

	while (poll(&fd, 1, 100) >= 0 && !stop) {
		struct uffd_msg m;

		if (read(uffd, &m, sizeof(m)) != sizeof(m))
			continue;
		uint64_t at = m.arg.pagefault.address & ~4095ull;
		if (m.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP) {
			struct uffdio_writeprotect wp = { .range = { at, 4096 } };
			ioctl(uffd, UFFDIO_WRITEPROTECT, &wp);
		} else {
			memset(page, (int)((at - (uint64_t)area) / 4096) + 1, 4096);
			struct uffdio_copy copy = { .dst = at,
						    .src = (uint64_t)page,
						    .len = 4096,
						    .mode = UFFDIO_COPY_MODE_WP };
			ioctl(uffd, UFFDIO_COPY, &copy);
		}
		handled++;
	}
	return 0;
}

static void user_faults(void)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING |
					       UFFDIO_REGISTER_MODE_WP };
	pthread_t t;
	long sum = 0;

	uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api)) {
		printf("no userfaultfd\n");
		return;
	}
	area = map(200 * 4096);
	reg.range.start = (uint64_t)area;
	reg.range.len = 200 * 4096;
	printf("register %d\n", ioctl(uffd, UFFDIO_REGISTER, &reg));
	stop = 0;
	pthread_create(&t, 0, handler, 0);
	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < 200; i++) {
			sum = sum * 31 + area[i * 4096 + i];
			if (i % 3 == 0)
				area[i * 4096 + i] += 3; /* write-protected now */
			sum = sum * 31 + area[i * 4096 + i];
		}
		uint8_t across[8];
		memcpy(across, area + 4 * 4096 - 4, 8);
		sum = sum * 31 + across[0] + across[7];
		madvise(area, 200 * 4096, MADV_DONTNEED);
	}
	stop = 1;
	pthread_join(t, 0);
	printf("user faults: %ld, %d handled\n", sum, handled);
	munmap(area, 200 * 4096);
}

static void many_names(void)
{
	int fd = memfd_create("names", 0);
	uint64_t *at[64];
	uint64_t sum = 0;

	ftruncate(fd, 4096);
	for (int i = 0; i < 64; i++)
		at[i] = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	for (uint64_t i = 0; i < 200000; i++) {
		at[i % 64][i % 512] += i;
		sum = sum * 31 + *(volatile uint64_t *)(at[(i + 17) % 64] + i % 512);
	}
	printf("names: %lx\n", (long)sum);
}

static void huge(void)
{
	uint8_t *p = map(8 << 20),
		*q = (uint8_t *)(((uint64_t)p + (2 << 20) - 1) & ~((2ull << 20) - 1));
	uint64_t sum = 0;

	madvise(p, 8 << 20, MADV_HUGEPAGE);
	memset(p, 7, 8 << 20);
	for (int round = 0; round < 20; round++) {
		mprotect(q + 4096 * (100 + round), 4096, PROT_READ); /* splits it */
		sum = sum * 31 + (uint64_t)try_write(q + 4096 * (100 + round), 1);
		sum = sum * 31 + (uint64_t)try_write(q + 4096 * (101 + round), (uint8_t)round);
		madvise(q + 4096 * (200 + round), 4096, MADV_DONTNEED);
		sum = sum * 31 + q[4096 * (200 + round)] + q[4096 * (201 + round)];
		if (!fork()) {
			memset(q, round, 2 << 20 > 4096 * 90 ? 4096 * 90 : 0);
			_exit(0);
		}
		wait(0);
		for (int i = 0; i < 512; i++)
			sum = sum * 31 + q[i * 4096 + round];
	}
	mprotect(q, 2 << 20, PROT_READ | PROT_WRITE);
	void *moved = mremap(q, 2 << 20, 2 << 20, MREMAP_MAYMOVE | MREMAP_FIXED, map(2 << 20));
	for (int i = 0; i < 512; i++)
		sum = sum * 31 + ((uint8_t *)moved)[i * 4096 + 3];
	printf("huge: %lx, at the old place %d\n", (long)sum, try_read(q + 5));
}

/* Faults in the midst of instructions: how far they came, and what is in the registers. */
/* `insn`, with a register %[b] that is `n` bytes before the page that cannot be accessed. */
#define FAULT(name, n, setup, insn)                                                       \
	do {                                                                              \
		memset(b, 0x11, 4096);                                                    \
		if (!sigsetjmp(back_to, 1)) {                                             \
			__asm__ volatile(setup "\n" insn ::[b] "r"(b + 4096 - (n))        \
					 : "rcx", "rdi", "rsi", "rax", "rdx", "r8", "r9", \
					   "memory", "cc", "xmm0", "xmm1", "xmm2");       \
			printf(name ": no fault\n");                                      \
		} else {                                                                  \
			tell(name, b);                                                    \
		}                                                                         \
	} while (0)
#define SP "mov %%rsp, %%r8\n mov %[b], %%rsp\n"

static uint64_t reg_cx, reg_di, reg_si, reg_sp;
static long rip_off;
static void on_midst(int sig, siginfo_t *info, void *context)
{
	ucontext_t *u = context;
	__asm__ volatile("pushf\n andl $~0x40000, (%%rsp)\n popf" ::: "cc", "memory");
	last = *info;
	reg_cx = u->uc_mcontext.gregs[REG_RCX];
	reg_di = u->uc_mcontext.gregs[REG_RDI];
	reg_si = u->uc_mcontext.gregs[REG_RSI];
	reg_sp = u->uc_mcontext.gregs[REG_RSP];
	rip_off = u->uc_mcontext.gregs[REG_ERR] * 100 + u->uc_mcontext.gregs[REG_TRAPNO];
	siglongjmp(back_to, 1);
}

static void offset(const char *name, uint64_t value, const uint8_t *b)
{
	long distance = (long)(value - (uint64_t)b);

	if (labs(distance) < 10000)
		printf(" %s %ld", name, distance);
}

static void tell(const char *name, const uint8_t *b)
{
	uint64_t h = 5381;

	for (int i = 0; i < 4096; i++)
		h = h * 33 + b[i];
	printf("%s: code %d %ld rcx %lx", name, last.si_code, rip_off, (long)reg_cx);
	offset("page at", (uint64_t)last.si_addr & ~4095ull, b);
	offset("rdi", reg_di, b);
	offset("rsi", reg_si, b);
	offset("rsp", reg_sp, b);
	printf(" %lx\n", (long)h);
}

static void strings(uint8_t *b)
{
	FAULT("movsb", 0, "lea -100(%[b]), %%rsi\n lea -37(%[b]), %%rdi\n mov $500, %%ecx",
	      "rep movsb");
	FAULT("movsq", 0, "lea -1000(%[b]), %%rsi\n lea -36(%[b]), %%rdi\n mov $50, %%ecx",
	      "rep movsq");
	FAULT("movsq source", 0, "lea -36(%[b]), %%rsi\n lea -1000(%[b]), %%rdi\n mov $50, %%ecx",
	      "rep movsq");
	FAULT("stosl", 0, "xor %%eax, %%eax\n lea -38(%[b]), %%rdi\n mov $50, %%ecx", "rep stosl");
	FAULT("scasb", 0, "mov $5, %%eax\n lea -38(%[b]), %%rdi\n mov $50, %%ecx", "repne scasb");
	FAULT("cmpsw", 0, "lea -138(%[b]), %%rsi\n lea -38(%[b]), %%rdi\n mov $50, %%ecx",
	      "repe cmpsw");
	FAULT("lodsb", 0, "lea -38(%[b]), %%rsi\n mov $50, %%ecx", "rep lodsb");
	FAULT("movsb down", 0, "std\n lea 8(%[b]), %%rdi\n lea -38(%[b]), %%rsi\n mov $50, %%ecx",
	      "rep movsb\n cld");
	__asm__ volatile("cld");
}

static void stacks(uint8_t *b)
{
	FAULT("push", -4, SP "mov $3, %%ecx", "push %%rcx\n mov %%r8, %%rsp");
	FAULT("pop", 4, SP "mov $3, %%ecx", "pop %%rcx\n mov %%r8, %%rsp");
	FAULT("pop mem", 8, SP "mov $77, %%ecx", "popq -8(%%rsp)\n mov %%r8, %%rsp");
	FAULT("pop mem bad", 16, SP "mov $77, %%ecx", "popq 8(%%rsp)\n mov %%r8, %%rsp");
	FAULT("call", -2048, SP "mov $3, %%ecx", "call 1f\n1: mov %%r8, %%rsp");
	FAULT("ret", 0, SP "mov $3, %%ecx", "ret\n mov %%r8, %%rsp");
	FAULT("ret n", 3, SP "mov $3, %%ecx", "ret $16");
	FAULT("enter", -4, SP "mov $3, %%ecx\n mov %%rbp, %%rdi",
	      "enter $64, $0\n mov %%r8, %%rsp");
	FAULT("leave", -64, "mov $3, %%ecx\n mov %%rbp, %%rdi\n mov %%rsp, %%r8\n mov %[b], %%rbp",
	      "leave\n mov %%r8, %%rsp\n mov %%rdi, %%rbp");
}

static void operands(uint8_t *b)
{
	FAULT("xchg", 5, "mov $5, %%ecx", "xchg %%rcx, (%[b])");
	FAULT("xadd", 5, "mov $5, %%ecx", "lock xadd %%rcx, (%[b])");
	FAULT("cmpxchg", 2, "mov $5, %%ecx", "lock cmpxchg %%ecx, (%[b])");
	FAULT("cmpxchg16b", 8, "mov $5, %%ecx\n xor %%eax, %%eax", "cmpxchg16b (%[b])");
	FAULT("rmw", 7, "mov $5, %%ecx", "add %%rcx, (%[b])");
	FAULT("adc", 3, "mov $5, %%ecx\n stc", "adcl $3, (%[b])");
	FAULT("shl", 3, "mov $5, %%ecx", "shlq %%cl, (%[b])");
	FAULT("bts", 64, "mov $800, %%ecx", "bts %%rcx, (%[b])");
	FAULT("div mem", 3, "mov $5, %%ecx\n xor %%edx, %%edx", "divq (%[b])");
	FAULT("movaps", 24, "mov $5, %%ecx", "movaps (%[b]), %%xmm0");
	FAULT("movups", 8, "mov $5, %%ecx\n pcmpeqd %%xmm0, %%xmm0", "movups %%xmm0, (%[b])");
	FAULT("vmovups", 24, "mov $5, %%ecx\n vpcmpeqd %%ymm0, %%ymm0, %%ymm0",
	      "vmovups %%ymm0, (%[b])");
	FAULT("maskmov", 24,
	      "mov $5, %%ecx\n vpcmpeqd %%ymm0, %%ymm0, %%ymm0\n vpsrldq $8, %%ymm0, %%ymm1",
	      "vmaskmovps %%ymm0, %%ymm1, (%[b])");
	FAULT("maskmov all", 24, "mov $5, %%ecx\n vpcmpeqd %%ymm0, %%ymm0, %%ymm0",
	      "vmaskmovps %%ymm0, %%ymm0, (%[b])");
	FAULT("gather", 24,
	      "mov $0x400, %%ecx\n vmovd %%ecx, %%xmm1\n vpslldq $8, %%xmm1, %%xmm1\n vpcmpeqd "
	      "%%xmm2, %%xmm2, %%xmm2\n xor %%ecx, %%ecx",
	      "vpgatherdd %%xmm2, (%[b],%%xmm1,1), %%xmm0");
	FAULT("fst", 0, "fld1\n mov $5, %%ecx", "fstpt (%[b])\n fninit");
	__asm__ volatile("fninit");
	FAULT("fxsave", 256, "mov $5, %%ecx", "fxsave (%[b])");
	FAULT("fxsave odd", 1025, "mov $5, %%ecx", "fxsave (%[b])");
	FAULT("fxrstor", 256, "mov $5, %%ecx", "fxrstor (%[b])");
	FAULT("xrstor", 512, "mov $7, %%ecx\n mov $7, %%eax\n xor %%edx, %%edx", "xrstor (%[b])");
}

static void wide(uint8_t *b)
{
	FAULT("vmovups z", 63, "mov $5, %%ecx\n vpternlogd $255, %%zmm0, %%zmm0, %%zmm0",
	      "vmovups %%zmm0, (%[b])");
	FAULT("k masked", 32,
	      "mov $0xff, %%ecx\n kmovw %%ecx, %%k1\n vpternlogd $255, %%zmm0, %%zmm0, %%zmm0",
	      "vmovups %%zmm0, (%[b])%{%%k1%}");
	FAULT("k masked bad", 32,
	      "mov $0x1ff, %%ecx\n kmovw %%ecx, %%k1\n vpternlogd $255, %%zmm0, %%zmm0, %%zmm0",
	      "vmovups %%zmm0, (%[b])%{%%k1%}");
	FAULT("compress", 32,
	      "mov $0xf0f, %%ecx\n kmovw %%ecx, %%k1\n vpternlogd $255, %%zmm0, %%zmm0, %%zmm0",
	      "vpcompressd %%zmm0, (%[b])%{%%k1%}");
}

static void addresses(uint8_t *b)
{
	FAULT("non-canonical", 0, "mov $1, %%ecx\n shl $63, %%rcx", "mov (%%rcx), %%rdx");
	FAULT("non-canonical stack", 0,
	      "mov %%rsp, %%r8\n mov $1, %%ecx\n shl $62, %%rcx\n mov %%rcx, %%rsp", "pop %%rdx");
	FAULT("kernel", 0, "mov $-4096, %%rcx", "mov (%%rcx), %%rdx");
	FAULT("kernel write", 0, "mov $-4096, %%rcx", "mov %%rdx, (%%rcx)");
	FAULT("top", 0, "mov $-3, %%rcx", "mov (%%rcx), %%rdx");
	FAULT("jump", 0, "mov $5, %%ecx", "jmp *%[b]");
	FAULT("jump non-canonical", 0, "mov $1, %%ecx\n shl $63, %%rcx", "jmp *%%rcx");

	FAULT("ret non-canonical", 64, SP "mov $1, %%ecx\n shl $63, %%rcx\n push %%rcx", "ret");
	FAULT("ret n non-canonical", 64, SP "mov $1, %%ecx\n shl $63, %%rcx\n push %%rcx",
	      "ret $32");
	FAULT("hlt", 0, "mov $5, %%ecx", "hlt");
	FAULT("in", 0, "mov $5, %%ecx", "inb $0x80, %%al");
	FAULT("int 3f", 0, "mov $5, %%ecx", "int $0x3f");
	FAULT("seg", 0, "mov $0x123b, %%ecx", "mov %%ecx, %%gs");
	FAULT("xgetbv", 0, "mov $5, %%ecx", "xgetbv");
	if (!getenv("WITHOUT_KEYS"))
		FAULT("wrpkru", 0, "mov $5, %%ecx", "wrpkru");
	FAULT("lss", 4, "mov $5, %%ecx", "lss (%[b]), %%esp");
	__asm__ volatile("pushf\n orl $0x40000, (%%rsp)\n popf" ::: "cc", "memory");
	FAULT("alignment", 63, "mov $5, %%ecx", "mov %%ecx, (%[b])");
	__asm__ volatile("pushf\n andl $~0x40000, (%%rsp)\n popf" ::: "cc", "memory");
}

static void midst(void)
{
	struct sigaction sa = { .sa_sigaction = on_midst,
				.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK };
	stack_t other = { .ss_sp = malloc(65536), .ss_size = 65536 };
	uint8_t *b = map(2 * 4096);

	sigaltstack(&other, 0);
	sigaction(SIGSEGV, &sa, 0);
	sigaction(SIGBUS, &sa, 0);
	mprotect(b + 4096, 4096, PROT_NONE);
	strings(b);
	stacks(b);
	operands(b);
	if (__builtin_cpu_supports("avx512f"))
		wide(b);
	addresses(b);
}

int main(void)
{
	setvbuf(stdout, 0, _IOLBF, 0);
	struct sigaction fault = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };

	sigaction(SIGSEGV, &fault, 0);
	sigaction(SIGBUS, &fault, 0);
	protection();
	shootdown();
	copies();
	if (!getenv("WITHOUT_KEYS"))
		keys();
	user_faults();
	many_names();
	huge();
	fflush(stdout);
	midst();
	return 0;
}
