/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Code that changes: by itself, through another mapping, by the kernel, by another thread. */
#define _GNU_SOURCE
#include <fcntl.h>
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
#include <sys/uio.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

typedef int fn(void);

static void *map(int prot)
{
	return mmap(0, 8192, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/* mov $value, %eax; ret */
static void put(uint8_t *at, int value)
{
	at[0] = 0xb8;
	memcpy(at + 1, &value, 4);
	at[5] = 0xc3;
}

static int call(void *at)
{
	return ((fn *)at)();
}

static void in_place(void)
{
	uint8_t *p = map(7);
	unsigned wrong = 0;

	for (int i = 0; i < 60000; i++) {
		put(p + i % 4090, i);
		wrong += call(p + i % 4090) != i;
	}
	for (int i = 0; i < 20000; i++) { /* across the two pages */
		put(p + 4096 - i % 6, i);
		wrong += call(p + 4096 - i % 6) != i;
	}
	put(p, 0);
	for (int i = 0; i < 200000; i++) { /* hot, changed now and then */
		if (i % 1000 == 0)
			put(p, i);
		wrong += call(p) != i / 1000 * 1000;
	}
	printf("in place: %u wrong\n", wrong);
	munmap(p, 8192);
}

/* A loop that changes the immediate of the next instruction of itself. */
static void self(void)
{
	uint8_t *p = map(7);
	static const uint8_t code[] = { 0x31, 0xc0,                   /* xor %eax,%eax */
					0xb9, 0x40, 0x0d, 0x03, 0x00, /* mov $200000,%ecx */
					0xff, 0x05, 0x01, 0x00, 0x00,
					0x00,                      /* incl the immediate of add */
					0x05, 0,    0,    0,    0, /* add $0,%eax */
					0x83, 0xe9, 0x01,          /* sub $1,%ecx */
					0x75, 0xf0,                /* jne to incl */
					0xc3 };

	memcpy(p + 4, code, sizeof(code));
	printf("self: %d\n", call(p + 4));
	p[4096 - 16 + 4] = 0;
	memcpy(p + 4096 - 15, code, sizeof(code)); /* writer and written on two pages */
	*(uint32_t *)(p + 4096 - 15 + 3) = 5000;
	printf("self across: %d\n", call(p + 4096 - 15));
	munmap(p, 8192);
}

/* rep stosb and rep movsb that overwrite what comes right behind them */
static void by_strings(void)
{
	uint8_t *p = map(7), *q = map(3);
	unsigned wrong = 0;

	for (int i = 0; i < 3000; i++) {
		uint8_t *o = p + 100 + i % 64, *from = q;

		memcpy(o, "\x48\x8d\x3d\x02\x00\x00\x00\xf3\xa4\xb8\x11\x11\x11\x11\xc3", 15);
		put(from, i);
		int result, count = 6;
		__asm__ volatile("call *%[o]"
				 : "=a"(result), "+S"(from), "+c"(count)
				 : [o] "r"(o)
				 : "rdi", "memory", "cc");
		wrong += result != i;
	}
	printf("strings: %u wrong\n", wrong);
	munmap(p, 8192);
	munmap(q, 8192);
}

static void through_another(void)
{
	int fd = memfd_create("code", 0);
	unsigned wrong = 0;

	ftruncate(fd, 8192);
	uint8_t *w = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	uint8_t *x = mmap(0, 8192, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	uint8_t *private = mmap(0, 8192, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	for (int i = 0; i < 30000; i++) {
		put(w + i % 50, i);
		wrong += call(x + i % 50) != i;
		wrong += call(private + i % 50) != i;
	}
	for (int i = 0; i < 10000; i++) { /* the kernel writes */
		uint8_t bytes[6];

		put(bytes, -i);
		pwrite(fd, bytes, 6, 0);
		wrong += call(x) != -i;
	}
	for (int i = 0; i < 3000; i++) {
		uint8_t bytes[6];

		put(bytes, i * 3);
		pwrite(fd, bytes, 6, 0);
		mprotect(private, 4096, PROT_READ | PROT_WRITE);
		put(private, i * 5); /* a copy of its own from here on */
		mprotect(private, 4096, PROT_READ | PROT_EXEC);
		wrong += call(private) != i * 5;
		wrong += call(x) != i * 3;
		madvise(private, 4096, MADV_DONTNEED);
		wrong += call(private) != i * 3;
	}
	printf("another mapping: %u wrong\n", wrong);
}

static void by_kernel(void)
{
	uint8_t *p = map(7), bytes[6];
	int pipes[2];
	unsigned wrong = 0;

	pipe(pipes);
	for (int i = 0; i < 5000; i++) {
		put(bytes, i);
		write(pipes[1], bytes, 6);
		read(pipes[0], p + 7, 6);
		wrong += call(p + 7) != i;
		put(bytes, i ^ 0x5555);
		struct iovec from = { bytes, 6 }, to = { p + 7, 6 };
		process_vm_writev(getpid(), &from, 1, &to, 1, 0);
		wrong += call(p + 7) != (i ^ 0x5555);
	}
	for (int i = 0; i < 1000; i++) { /* another page at the same place, and moved there */
		uint8_t *q = mmap(p, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

		put(q + 7, i);
		wrong += call(p + 7) != i;
		q = map(7);
		put(q + 7, -i);
		mremap(q, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, p);
		munmap(q + 4096, 4096);
		wrong += call(p + 7) != -i;
	}
	for (int i = 0; i < 200; i++) {
		put(p + 7, i);
		if (!fork()) {
			put(p + 7, i + 1000);
			_exit(call(p + 7) != i + 1000);
		}
		int status;
		wait(&status);
		wrong += status != 0 || call(p + 7) != i;
	}
	printf("kernel: %u wrong\n", wrong);
}

/* One thread calls, the other changes a call's target and a jump, aligned, as kernels and JITs do. */
static _Atomic int stop, seen;
static uint8_t *shared;

static void *caller(void *arg)
{
	int last = 0, back = 0, bad = 0;

	while (!stop) {
		int now = call(shared + 64);

		if (now < last)
			back++;
		if (now & ~0xffffff)
			bad++;
		last = now;
		seen = now;
	}
	printf("caller: %d back, %d bad, at the end %s\n", back, bad,
	       call(shared + 64) == 20000 ? "last" : "old");
	return 0;
}

static void by_thread(void)
{
	pthread_t t;

	shared = map(7);
	memset(shared, 0x90, 128);
	put(shared + 67, 0); /* the value is at 68, aligned */
	pthread_create(&t, 0, caller, 0);
	for (int i = 1; i <= 20000; i++) {
		atomic_store((_Atomic int *)(shared + 68), i);
		if (i % 100 == 0)
			while (seen < i)
				; /* must become visible by itself */
	}
	stop = 1;
	pthread_join(t, 0);
}

static void on_trap(int sig, siginfo_t *info, void *context)
{
	ucontext_t *u = context;

	u->uc_mcontext.gregs[REG_RIP] += 4; /* int3 stays for the first byte of a 5 byte nop */
}

/* text_poke_bp's way: int3 first, the tail, the head */
static void *poked_caller(void *arg)
{
	int bad = 0;

	while (!stop) {
		int r = call(shared + 256);

		bad += r != 7 && r != 8;
	}
	printf("poked: %d bad\n", bad);
	return 0;
}

static void by_poking(void)
{
	pthread_t t;
	struct sigaction trap = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO };
	uint8_t *at = shared + 256 + 61; /* across a cache line */
	static const uint8_t nop[5] = { 0x0f, 0x1f, 0x44, 0, 0 },
			     add[5] = { 0x83, 0xc0, 0x01, 0x66, 0x90 };

	sigaction(SIGTRAP, &trap, 0);
	stop = 0;
	memset(shared + 256, 0x90, 128);
	memcpy(shared + 256, "\xb8\x07\x00\x00\x00", 5);
	memcpy(at, nop, 5);
	at[5] = 0xc3;
	pthread_create(&t, 0, poked_caller, 0);
	for (int i = 0; i < 3000; i++) {
		const uint8_t *to = i & 1 ? nop : add;

		*(volatile uint8_t *)at = 0xcc;
		syscall(SYS_membarrier, 64 | 32 /* register, then sync core below */, 0, 0);
		syscall(SYS_membarrier, 32, 0, 0);
		memcpy(at + 1, to + 1, 4);
		syscall(SYS_membarrier, 32, 0, 0);
		*(volatile uint8_t *)at = to[0];
		syscall(SYS_membarrier, 32, 0, 0);
	}
	stop = 1;
	pthread_join(t, 0);
}

/* munmap and protection under a running thread: it faults, and runs what is there afterwards */
static sigjmp_buf back_to;
static _Atomic int faults;

static void on_fault(int sig, siginfo_t *info, void *context)
{
	faults++;
	siglongjmp(back_to, 1);
}

static void *runner(void *arg)
{
	volatile int bad = 0;

	while (!stop) {
		if (!sigsetjmp(back_to, 1)) {
			int r = call(shared + 4096);
			bad += r < 0 || r > 100000;
		}
	}
	printf("runner: %d bad\n", bad);
	return 0;
}

static void under_it(void)
{
	pthread_t t;
	struct sigaction fault = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };

	sigaction(SIGSEGV, &fault, 0);
	stop = 0;
	put(shared + 4096, 0);
	pthread_create(&t, 0, runner, 0);
	for (int i = 1; i < 2000; i++) {
		int before;

		if (i & 1) {
			mprotect(shared + 4096, 4096, PROT_NONE);
			before = faults;
			while (faults == before)
				;
			mprotect(shared + 4096, 4096, PROT_READ | PROT_WRITE);
			put(shared + 4096, i);
			mprotect(shared + 4096, 4096, 7);
		} else {
			uint8_t *fresh = map(7);

			put(fresh, i);
			mremap(fresh, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, shared + 4096);
			munmap(fresh + 4096, 4096);
		}
		if (call(shared + 4096) != i)
			printf("old code at %d\n", i);
	}
	stop = 1;
	pthread_join(t, 0);
}

int main(void)
{
	in_place();
	self();
	by_strings();
	through_another();
	by_kernel();
	by_thread();
	by_poking();
	under_it();
	return 0;
}
