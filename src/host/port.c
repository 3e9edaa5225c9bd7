/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * base/port.h for a process: memory, clocks, futexes, copies. Timers and eventfds are in
 * port_threads.c.
 *
 * Manual: man pages futex(2), process_vm_readv(2), memfd_create(2), sigpending(2).
 * Not modelled: hosts whose seccomp filter forbids both process_vm_readv and pipes get plain
 * copies, so a bad pointer from the VMM is a SIGSEGV there.
 */
#include "base/port.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <asm/prctl.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define SECOND_NS 1000000000ull

void *port_alloc(size_t bytes)
{
	void *memory = NULL;

	if (posix_memalign(&memory, 64, bytes ? bytes : 1))
		return NULL;
	return memset(memory, 0, bytes);
}

void port_free(void *memory)
{
	free(memory);
}

static void *map(size_t bytes, int flags, const void *near)
{
	enum { TRIES = 16, STEP = 16 << 20 };
	size_t whole = ALIGN_UP(bytes ? bytes : 1, PAGE_BYTES);
	uintptr_t below = ALIGN_DOWN((uintptr_t)near, PAGE_BYTES) - whole;
	void *memory;

	for (uintptr_t n = 0; near && n < TRIES; n++) {
		void *wish = (void *)(below - n * STEP);

		memory = mmap(wish, whole, PROT_READ | PROT_WRITE, flags | MAP_FIXED_NOREPLACE, -1, 0);
		if (memory == wish)
			return memory;
		if (memory != MAP_FAILED)
			munmap(memory, whole);
	}
	memory = mmap(NULL, whole, PROT_READ | PROT_WRITE, flags, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

void *port_alloc_pages(size_t bytes)
{
	return map(bytes, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, NULL);
}

void port_forget_pages(void *pages, size_t bytes)
{
	madvise(pages, bytes, MADV_DONTNEED); /* if not, they are only not zero */
}

void *port_alloc_shared(size_t bytes, const void *near)
{
	return map(bytes, MAP_SHARED | MAP_ANONYMOUS, near);
}

int port_share_page(void *page, void *as)
{
	/* Old size 0 of a shared mapping: another view of the same page. */
	void *got = mremap(as, 0, PAGE_BYTES, MREMAP_MAYMOVE | MREMAP_FIXED, page);

	return got == MAP_FAILED ? -errno : 0;
}

void port_free_pages(void *memory, size_t bytes)
{
	if (memory)
		munmap(memory, bytes ? bytes : 1);
}

/* Of memory without a name, which is what perf takes for a JIT's. */
static int map_unnamed(struct port_code *code, size_t size)
{
	void *write = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	void *run;
	int error;

	if (write == MAP_FAILED)
		return -errno;
	run = mremap(write, 0, size, MREMAP_MAYMOVE); /* 0: a second mapping, the first one stays */
	if (run != MAP_FAILED && !mprotect(run, size, PROT_READ | PROT_EXEC)) {
		*code = (struct port_code){ .write = write, .run = run, .size = size };
		return 0;
	}
	error = -errno;
	if (run != MAP_FAILED)
		munmap(run, size);
	munmap(write, size);
	return error;
}

/* Where huge pages may be. */
static void *map_aligned(int fd, size_t size, int protection)
{
	uint8_t *room = mmap(NULL, size + PORT_HUGE_PAGE, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint8_t *at = (uint8_t *)ALIGN_UP((uintptr_t)room, PORT_HUGE_PAGE);
	uint8_t *end = at + size, *room_end = room + size + PORT_HUGE_PAGE;

	if (room == MAP_FAILED)
		return room;
	if (at > room)
		munmap(room, (size_t)(at - room));
	if (room_end > end)
		munmap(end, (size_t)(room_end - end));
	if (mmap(at, size, protection, MAP_SHARED | MAP_FIXED, fd, 0) != MAP_FAILED)
		return at;
	munmap(at, size);
	return MAP_FAILED;
}

static int map_file(struct port_code *code, size_t size)
{
	int fd = memfd_create("kelvin-code", MFD_CLOEXEC), error = 0;
	void *write, *run;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size)) {
		error = -errno;
		close(fd);
		return error;
	}
	write = map_aligned(fd, size, PROT_READ | PROT_WRITE);
	run = map_aligned(fd, size, PROT_READ | PROT_EXEC);
	if (write == MAP_FAILED || run == MAP_FAILED) {
		error = -errno;
		if (write != MAP_FAILED)
			munmap(write, size);
		if (run != MAP_FAILED)
			munmap(run, size);
	} else {
		*code = (struct port_code){ .write = write, .run = run, .size = size };
	}
	close(fd);
	return error;
}

int port_code_alloc(struct port_code *code, size_t size, bool profiled)
{
	return profiled ? map_unnamed(code, size) : map_file(code, size);
}

void port_code_join(const struct port_code *code, size_t offset)
{
	enum { COLLAPSE = 25 }; /* MADV_COLLAPSE, of Linux 6.1 */

	madvise((void *)(uintptr_t)(code->run + offset), PORT_HUGE_PAGE, COLLAPSE);
}

void port_code_free(struct port_code *code)
{
	if (!code->size)
		return;
	munmap(code->write, code->size);
	munmap((void *)code->run, code->size);
	*code = (struct port_code){ 0 };
}

static uint64_t clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

uint64_t port_now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t port_wall_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

uint64_t port_run_delay_ns(void)
{
	unsigned long long ran, waited = 0;
	FILE *file = fopen("/proc/thread-self/schedstat", "re");

	if (!file)
		return 0;
	if (fscanf(file, "%llu %llu", &ran, &waited) != 2)
		waited = 0;
	fclose(file);
	return waited;
}

uint64_t port_tsc(void)
{
	_mm_lfence(); /* for RDTSCP, and for RDTSC behind a guest's LFENCE: not before what is before it */
	return __rdtsc();
}

/* A TSC reading and the time it was taken at; the best of a few, as either may be interrupted. */
static void tsc_sample(uint64_t *tsc, uint64_t *ns)
{
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < 8; i++) {
		uint64_t before = __rdtsc(), now = clock_ns(CLOCK_MONOTONIC_RAW);
		uint64_t after = __rdtsc();

		if (after - before < best) {
			best = after - before;
			*tsc = before + best / 2;
			*ns = now;
		}
	}
}

static uint32_t tsc_khz_measured(void)
{
	uint64_t tsc[2], ns[2];
	struct timespec pause = { .tv_nsec = 20000000 };

	tsc_sample(&tsc[0], &ns[0]);
	nanosleep(&pause, NULL);
	tsc_sample(&tsc[1], &ns[1]);
	return (uint32_t)((tsc[1] - tsc[0]) * 1000000 / (ns[1] - ns[0]));
}

/* What the processor or the hypervisor below us says; 0 when neither does. */
static uint32_t tsc_khz_stated(void)
{
	unsigned a, b, c, d;

	if (__get_cpuid_count(0x15, 0, &a, &b, &c, &d) && a && b && c)
		return (uint32_t)((uint64_t)c * b / a / 1000);
	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & BIT(31)))
		return 0;
	__cpuid(0x40000000, a, b, c, d);
	if (a < 0x40000010)
		return 0;
	__cpuid(0x40000010, a, b, c, d);
	return a;
}

uint32_t port_tsc_khz(void)
{
	static uint32_t khz;
	uint32_t known = __atomic_load_n(&khz, __ATOMIC_RELAXED);

	if (!known) {
		known = tsc_khz_stated();
		if (!known)
			known = tsc_khz_measured();
		__atomic_store_n(&khz, known, __ATOMIC_RELAXED);
	}
	return known;
}

void port_random(void *to, size_t bytes)
{
	uint8_t *at = to;

	while (bytes) {
		ssize_t got = getrandom(at, bytes, 0);

		if (got <= 0) {
			if (errno == EINTR)
				continue;
			abort(); /* no entropy source at all */
		}
		at += got;
		bytes -= (size_t)got;
	}
}

int port_wait(uint32_t *word, uint32_t expected, uint64_t deadline_ns)
{
	struct timespec until = { .tv_sec = (time_t)(deadline_ns / SECOND_NS),
				  .tv_nsec = (long)(deadline_ns % SECOND_NS) };

	if (!syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected,
		     deadline_ns == UINT64_MAX ? NULL : &until, NULL, FUTEX_BITSET_MATCH_ANY))
		return 0;
	return errno == EAGAIN ? 0 : -errno;
}

void port_wake(uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT_MAX, NULL, NULL, 0);
}

void port_relax(void)
{
	_mm_pause();
}

void port_yield(void)
{
	sched_yield();
}

bool port_signal_pending(uint64_t blocked_mask)
{
	sigset_t pending;
	uint64_t bits;

	if (sigpending(&pending))
		return false;
	memcpy(&bits, &pending, sizeof(bits));
	return bits & ~blocked_mask;
}

/* Through a pipe: the kernel does both copies and says EFAULT instead of killing us. */
static int copy_by_pipe(char *to, const char *from, size_t bytes)
{
	int ends[2], error = 0;

	if (pipe2(ends, O_CLOEXEC)) {
		memcpy(to, from, bytes);
		return 0;
	}
	while (bytes && !error) {
		ssize_t chunk = write(ends[1], from, MIN(bytes, (size_t)PIPE_BUF));

		if (chunk <= 0 || read(ends[0], to, (size_t)chunk) != chunk) {
			error = -EFAULT;
			break;
		}
		from += chunk;
		to += chunk;
		bytes -= (size_t)chunk;
	}
	close(ends[0]);
	close(ends[1]);
	return error;
}

int port_copy(void *to, const void *from, size_t bytes)
{
	struct iovec here = { .iov_base = to, .iov_len = bytes };
	struct iovec there = { .iov_base = (void *)from, .iov_len = bytes };
	ssize_t done;

	if (!bytes)
		return 0;
	done = process_vm_readv(getpid(), &here, 1, &there, 1, 0);
	if (done == (ssize_t)bytes)
		return 0;
	if (done < 0 && (errno == EPERM || errno == ENOSYS))
		return copy_by_pipe(to, from, bytes);
	return -EFAULT;
}

void port_log(const char *fmt, ...)
{
	char line[512];
	va_list args;
	int length;

	va_start(args, fmt);
	length = vsnprintf(line, sizeof(line) - 1, fmt, args);
	va_end(args);
	length = MIN(MAX(length, 0), (int)sizeof(line) - 2);
	line[length++] = '\n';
	if (write(STDERR_FILENO, line, (size_t)length) < 0)
		return; /* nobody to tell */
}

void port_set_thread_base(void *base)
{
	enum { HWCAP2_FSGSBASE = 2 }; /* the kernel lets us use the instruction */

	if (getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE)
		__asm__ volatile("wrgsbase %0" : : "r"(base));
	else
		syscall(SYS_arch_prctl, ARCH_SET_GS, base);
}
