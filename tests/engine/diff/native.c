/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * The oracle: a child process in which the host's CPU runs the tests.
 *
 * Everything goes through signals. A handler collects what the instruction before it left (the
 * registers the kernel saved, XSAVE area included), puts the next test's registers into the
 * frame, and returns into the instruction. That either faults or reaches a HLT behind it.
 */
#include "diff.h"

#include "base/bytes.h"

#include <asm/prctl.h>
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

enum { ALT_STACK_BYTES = 65536, FX_SOFTWARE = 464, HEADER = 512 };

static pid_t child;

/* Data pages, for both sides */

void memory_prepare(uint8_t *data, const struct test *t)
{
	if (t->patch_bytes)
		memcpy(data + (t->patch_at - DATA), t->patch, t->patch_bytes);
}

const uint8_t *code_page(const struct test *t)
{
	static uint8_t page[CODE_PAGE];
	static unsigned at, length = CODE_PAGE; /* of the instructions in it */

	memset(page + at, HLT, length);
	at = (unsigned)(t->in.rip - CODE);
	length = t->length;
	memcpy(page + at, t->code, length);
	return page;
}

static uint64_t expected_word(const uint8_t *pattern, const struct test *t, unsigned word)
{
	uint8_t bytes[8];

	memcpy(bytes, pattern + 8 * word, 8);
	for (unsigned n = 0; n < 8; n++) {
		uint64_t at = DATA + 8 * word + n - t->patch_at;

		if (at < t->patch_bytes)
			bytes[n] = t->patch[at];
	}
	return load_le64(bytes);
}

/* `end` may be within the last word. */
static void collect_words(uint8_t *data, const uint8_t *pattern, const struct test *t,
			  unsigned first, unsigned end, struct outcome *o)
{
	for (unsigned n = first / 8; 8 * n < end; n++) {
		uint64_t now = load_le64(data + 8 * n);

		if (now != expected_word(pattern, t, n) && o->changes < MAX_CHANGES) {
			o->word[o->changes] = (uint16_t)n;
			o->value[o->changes++] = now;
		}
		memcpy(data + 8 * n, pattern + 8 * n, 8);
	}
}

static void collect_unpatched(uint8_t *data, const uint8_t *pattern, const struct test *t,
			      unsigned first, unsigned end, struct outcome *o)
{
	const unsigned chunk = 256;

	if (end <= first || !memcmp(data + first, pattern + first, end - first))
		return;
	for (unsigned at = first; at < end; at += chunk)
		if (memcmp(data + at, pattern + at, MIN(chunk, end - at)) != 0)
			collect_words(data, pattern, t, at, MIN(at + chunk, end), o);
}

void memory_collect(uint8_t *data, const uint8_t *pattern, const struct test *t, struct outcome *o)
{
	unsigned first = 0, end = 0; /* whole words, of the patch */

	if (t->patch_bytes) {
		first = (unsigned)ALIGN_DOWN(t->patch_at - DATA, 8);
		end = (unsigned)ALIGN_UP(t->patch_at - DATA + t->patch_bytes, 8);
	}
	o->changes = 0;
	collect_unpatched(data, pattern, t, 0, first, o);
	collect_words(data, pattern, t, first, end, o);
	collect_unpatched(data, pattern, t, end, DATA_BYTES, o);
}

/* The child */

static struct batch *shared;

static long futex(uint32_t *word, int op, uint32_t value, const struct timespec *timeout)
{
	return syscall(SYS_futex, word, op, value, timeout, NULL, 0);
}

static const int gpr_order[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
				   REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
				   REG_R12, REG_R13, REG_R14, REG_R15 };

/* Hosts without protection keys save less, and a word of the kernel's follows at once. */
static size_t saved_bytes(const uint8_t *frame)
{
	return MIN((size_t)load_le32(frame + FX_SOFTWARE + 16), (size_t)AREA_BYTES);
}

static void copy_xsave_out(uint8_t *to, const uint8_t *frame)
{
	memset(to, 0, AREA_BYTES);
	memcpy(to, frame, FX_SOFTWARE);
	memcpy(to + HEADER, frame + HEADER, saved_bytes(frame) - HEADER);
}

static void copy_xsave_in(uint8_t *frame, const uint8_t *from)
{
	uint64_t features = load_le64(frame + FX_SOFTWARE + 8);

	memcpy(frame, from, FX_SOFTWARE);
	memcpy(frame + HEADER, from + HEADER, saved_bytes(frame) - HEADER);
	store_le64(frame + HEADER, load_le64(from + HEADER) & features);
}

static uint64_t get_base(int which)
{
	uint64_t base;

	syscall(SYS_arch_prctl, which, &base);
	return base;
}

/* Those that the kernel saves in no frame; and puts them back. */
static void collect_segments(const greg_t *g, struct state *out)
{
	const uint64_t cs = (uint64_t)g[REG_CSGSFS] & 0xffff, ss = (uint64_t)g[REG_CSGSFS] >> 48;
	static uint64_t fs_base;

	__asm__ volatile("mov %%es, %0" : "=m"(out->selector[0]));
	__asm__ volatile("mov %%ds, %0" : "=m"(out->selector[3]));
	__asm__ volatile("mov %%fs, %0" : "=m"(out->selector[4]));
	__asm__ volatile("mov %%gs, %0" : "=m"(out->selector[5]));
	out->selector[1] = (uint16_t)cs;
	out->selector[2] = (uint16_t)ss;
	out->fs_base = get_base(ARCH_GET_FS);
	out->gs_base = get_base(ARCH_GET_GS);
	if (!fs_base)
		fs_base = out->fs_base;
	__asm__ volatile("mov %0, %%ds\n\tmov %0, %%es" : : "r"(DATA_SELECTOR));
	if (out->selector[4] || out->fs_base != fs_base)
		syscall(SYS_arch_prctl, ARCH_SET_FS, fs_base);
	if (out->selector[5] || out->gs_base != GS_BASE)
		syscall(SYS_arch_prctl, ARCH_SET_GS, GS_BASE);
}

static void collect(ucontext_t *uc, const struct test *t, struct outcome *o)
{
	greg_t *g = uc->uc_mcontext.gregs;

	for (unsigned n = 0; n < 16; n++)
		o->out.gpr[n] = (uint64_t)g[gpr_order[n]];
	o->out.rip = (uint64_t)g[REG_RIP] + (t->width == 16 ? CODE : 0);
	o->out.rflags = (uint64_t)g[REG_EFL];
	copy_xsave_out(o->out.xsave, (uint8_t *)uc->uc_mcontext.fpregs);
	collect_segments(g, &o->out);
	bool trap = g[REG_TRAPNO] == 1 || g[REG_TRAPNO] == 3 || g[REG_TRAPNO] == 4;

	bool inside = o->out.rip - t->in.rip < t->length;

	o->vector = inside || trap ? (int)g[REG_TRAPNO] : COMPLETED;
	o->error = (uint32_t)g[REG_ERR];
	o->cr2 = (uint64_t)g[REG_CR2];
	o->wrote_code = t->instructions > 1 && memcmp((void *)CODE, code_page(t), CODE_PAGE) != 0;
	memory_collect((uint8_t *)DATA, shared->pattern, t, o);
}

static void load(ucontext_t *uc, const struct test *t)
{
	greg_t *g = uc->uc_mcontext.gregs;

	memory_prepare((uint8_t *)DATA, t);
	const uint8_t *page = code_page(t);

	if (memcmp((void *)CODE, page, CODE_PAGE) != 0) /* the last may have written to it */
		memcpy((void *)CODE, page, CODE_PAGE);
	for (unsigned n = 0; n < 16; n++)
		g[gpr_order[n]] = (greg_t)t->in.gpr[n];
	g[REG_RIP] = (greg_t)code_offset(t, t->in.rip);
	g[REG_EFL] = (greg_t)t->in.rflags;
	uint64_t cs = t->width == 64   ? CODE_SELECTOR_64
		      : t->width == 32 ? CODE_SELECTOR_32
				       : CODE_SELECTOR_16;

	g[REG_CSGSFS] = (greg_t)(cs | (t->stack16 ? STACK_SELECTOR_16 : DATA_SELECTOR) * BIT(48));
	copy_xsave_in((uint8_t *)uc->uc_mcontext.fpregs, t->in.xsave);
}

/* This batch is done: tells the parent and waits for another. */
static void next_batch(void)
{
	uint32_t finished = __atomic_load_n(&shared->sequence, __ATOMIC_ACQUIRE);

	__atomic_store_n(&shared->done, finished, __ATOMIC_RELEASE);
	futex(&shared->done, FUTEX_WAKE, 1, NULL);
	while (__atomic_load_n(&shared->sequence, __ATOMIC_ACQUIRE) == finished)
		futex(&shared->sequence, FUTEX_WAIT, finished, NULL);
	memcpy((void *)DATA, shared->pattern, DATA_BYTES);
}

/* NT and ID outlive a signal frame; the next test is to start without. */
static void forget_flags(void)
{
	const uint64_t sticky = F_NT | F_ID | F_AC;

	__asm__ volatile("pushfq\n\tandq %0, (%%rsp)\n\tpopfq" : : "r"(~sticky) : "cc", "memory");
}

static void on_signal(int signal, siginfo_t *info, void *context)
{
	static bool running;
	ucontext_t *uc = context;

	forget_flags();
	(void)signal;
	(void)info;
	if (running) {
		struct test *t = &shared->test[shared->at];

		collect(uc, t, &shared->native[shared->at]);
		shared->at++;
	}
	running = true;
	while (shared->at == shared->count)
		next_batch();
	load(uc, &shared->test[shared->at]);
}

static void *map_at(uintptr_t address, size_t bytes, int protection)
{
	return mmap((void *)address, bytes, protection,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
}

static void child_main(void)
{
	static const int signals[] = { SIGSEGV, SIGILL, SIGFPE, SIGBUS, SIGTRAP, SIGUSR1 };
	stack_t stack = { .ss_sp = malloc(ALT_STACK_BYTES), .ss_size = ALT_STACK_BYTES };
	struct sigaction action = { .sa_sigaction = on_signal,
				    .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (map_at(CODE, CODE_PAGE, PROT_READ | PROT_WRITE | PROT_EXEC) == MAP_FAILED ||
	    map_at(DATA, DATA_BYTES, PROT_READ | PROT_WRITE) == MAP_FAILED ||
	    map_at(READ_ONLY, 0x1000, PROT_READ) == MAP_FAILED)
		_exit(77);
	(void)*(volatile uint8_t *)READ_ONLY; /* present from now on */
	memcpy((void *)DATA, shared->pattern, DATA_BYTES);
	syscall(SYS_arch_prctl, ARCH_SET_GS, GS_BASE);
	if (!segments_load_ldt())
		_exit(78);
	__asm__ volatile("mov %0, %%ds\n\tmov %0, %%es" : : "r"(DATA_SELECTOR));
	sigaltstack(&stack, NULL);
	for (unsigned n = 0; n < ARRAY_LEN(signals); n++)
		sigaction(signals[n], &action, NULL);
	raise(SIGUSR1);
	_exit(1);
}

/* The parent */

static bool fork_child(void)
{
	child = fork();
	if (child == 0)
		child_main();
	return child > 0;
}

bool native_start(struct batch *batch)
{
	shared = batch;
	return fork_child();
}

void native_run(struct batch *batch)
{
	batch->at = 0;
	__atomic_add_fetch(&batch->sequence, 1, __ATOMIC_RELEASE);
	futex(&batch->sequence, FUTEX_WAKE, 1, NULL);
}

/* The child died, or is caught in a loop: the test it was at is at fault; go on behind it. */
static void restart(struct batch *batch)
{
	if (child > 0) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	if (batch->at < batch->count)
		batch->native[batch->at++].vector = HUNG;
	/* The new child finds at != count and carries on with this batch. */
	if (!fork_child())
		abort();
}

void native_wait(struct batch *batch)
{
	const struct timespec limit = { .tv_sec = 20 }; /* a busy machine is no hang */
	uint32_t last = batch->at;

	while (__atomic_load_n(&batch->done, __ATOMIC_ACQUIRE) != batch->sequence) {
		uint32_t seen = batch->done;
		int status;

		if (seen == batch->sequence)
			break;
		long result = futex(&batch->done, FUTEX_WAIT, seen, &limit);
		bool slow = result && errno == ETIMEDOUT && batch->at == last;
		bool dead = waitpid(child, &status, WNOHANG) == child;

		if (dead && WIFEXITED(status) && WEXITSTATUS(status) >= 77) {
			fprintf(stderr, "cannot map page 0x%x (see vm.mmap_min_addr), or no LDT\n",
				DATA);
			exit(77);
		}
		if (dead)
			child = 0;
		if (slow || dead)
			restart(batch);
		last = batch->at;
	}
}

void native_stop(void)
{
	if (child > 0) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
}
