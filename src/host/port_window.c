/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * base/port.h for a process: addresses of the engine's own choosing, and accesses that miss there.
 *
 * Manual: man pages mmap(2), mremap(2), sigaction(2), and the kernel's struct ucontext.
 */
#include "base/port.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

enum { ALONE = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, ERROR_WRITE = 2, TRAP_PAGE_FAULT = 14 };

void *port_alloc_with_room(size_t bytes, size_t room)
{
	uint8_t *memory = mmap(NULL, bytes + room, PROT_NONE, ALONE, -1, 0);

	if (memory == MAP_FAILED)
		return NULL;
	if (!mprotect(memory, bytes, PROT_READ | PROT_WRITE))
		return memory;
	munmap(memory, bytes + room);
	return NULL;
}

int port_reserve(uint64_t address, size_t bytes)
{
	void *wanted = (void *)(uintptr_t)address;
	void *got = mmap(wanted, bytes, PROT_NONE, ALONE | MAP_FIXED_NOREPLACE, -1, 0);

	if (got == MAP_FAILED)
		return -errno;
	if (got == wanted)
		return 0;
	munmap(got, bytes); /* a kernel that does not know the flag */
	return -EEXIST;
}

void port_unreserve(uint64_t address, size_t bytes)
{
	munmap((void *)(uintptr_t)address, bytes);
}

int port_show(uint64_t address, void *pages, size_t bytes, bool writable)
{
	void *at = (void *)(uintptr_t)address;

	/* Old size 0 of a shared mapping: another view of the same pages. */
	if (mremap(pages, 0, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, at) == MAP_FAILED) {
		int error = -errno;

		port_reserve(address, bytes); /* Linux before 6.16 makes room before it looks */
		return error;
	}
	if (!writable && mprotect(at, bytes, PROT_READ)) {
		port_must_hide(address, bytes);
		return -ENOMEM;
	}
	/* They are wanted now: cheaper than faults of the host's. Linux before 5.14 cannot. */
	madvise(at, bytes, writable ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
	return 0;
}

int port_hide(uint64_t address, size_t bytes)
{
	void *at = (void *)(uintptr_t)address;

	return mmap(at, bytes, PROT_NONE, ALONE | MAP_FIXED, -1, 0) == MAP_FAILED ? -errno : 0;
}

void port_must_hide(uint64_t address, size_t bytes)
{
	if (port_hide(address, bytes)) {
		port_log("no memory to unmap guest pages");
		abort();
	}
}

int port_make_readonly(uint64_t address, size_t bytes)
{
	return mprotect((void *)(uintptr_t)address, bytes, PROT_READ) ? -errno : 0;
}

/* Faults. */
static _Thread_local struct {
	port_fault_fn *fn;
	void *context;
} catcher;

/* SIGBUS: stack faults, which addresses beside RBP or RSP cause that are not canonical. */
enum { SIGNALS = 2 };
static const int signals[SIGNALS] = { SIGSEGV, SIGBUS };
static struct sigaction others[SIGNALS];

static void pass_on(int signal, siginfo_t *info, void *context)
{
	const struct sigaction *other = &others[signal == SIGBUS];

	if (other->sa_flags & SA_SIGINFO) {
		other->sa_sigaction(signal, info, context);
	} else if (other->sa_handler != SIG_DFL && other->sa_handler != SIG_IGN) {
		other->sa_handler(signal);
	} else {
		sigaction(signal, other, NULL); /* it happens again, and is fatal */
	}
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
	bool has_address = regs[REG_TRAPNO] == TRAP_PAGE_FAULT;
	const struct port_fault fault = {
		.pc = (const uint8_t *)(uintptr_t)regs[REG_RIP],
		.address = has_address ? (uintptr_t)info->si_addr : UINT64_MAX,
		.is_write = has_address && regs[REG_ERR] & ERROR_WRITE,
	};
	const uint8_t *pc = catcher.fn ? catcher.fn(catcher.context, &fault) : NULL;

	if (pc)
		regs[REG_RIP] = (greg_t)(uintptr_t)pc;
	else
		pass_on(signal, info, context);
}

void port_catch_faults(port_fault_fn *fn, void *context)
{
	catcher.fn = fn;
	catcher.context = context;
}

int port_fault_init(void)
{
	static bool done;
	struct sigaction ours = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_RESTART };

	if (__atomic_exchange_n(&done, true, __ATOMIC_SEQ_CST))
		return 0;
	for (unsigned n = 0; n < SIGNALS; n++)
		if (sigaction(signals[n], &ours, &others[n]))
			return -errno;
	return 0;
}
