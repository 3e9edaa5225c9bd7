/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A VM that runs programs: page tables, gates that tell the host of each fault, and host memory
 * around the guest's that must stay as it is.
 *
 * Each gate leads to OUT vector; the host notes the state and puts the address of the next item
 * into the frame, from which the guest returns. A program ends with HLT, a fault there, or after
 * MAX_EVENTS events.
 */
#include "isolation.h"
#include "undefined.h"
#include "../ask.h"

#include "kvm_abi.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define NX (1ull << 63)
enum {
	P = 1,
	W = 2,
	U = 4,
	ACCESSED = 0x20,
	DIRTY = 0x40,
	CANARY_BYTES = 4 << 20,
	BAIT_BYTES = 0x1000,
	HUNG_NS = 200000000,
	STATUS = 0x8d5
};

struct target {
	struct vm_object *system, *vm, *vcpu;
	struct kvm_run *run;
	uint8_t *around, *ram;
	struct kvm_sregs sregs;
	unsigned cursor; /* the item gone on with last */
	enum kicks kicks;
	uint64_t random; /* of kicks between blocks */
	unsigned blocks, kicks_left;
	uint16_t undefined; /* by the next instruction, which ends at: */
	uint64_t end;
	/* The other thread's. */
	pthread_t kicker;
	clockid_t clock; /* of the thread that runs programs */
	uint64_t limit_ns;
	uint64_t started_ns;      /* atomic; 0: nothing runs */
	bool kicking, hung, quit; /* atomic */
};

/* What a guest would be looking for in the process. */
static uint64_t bait[64];
static uint64_t *near_bait[2];
static const uint64_t secret = 0x7ec2e7d00d5ec2e7;

/* Of processor time: a busy machine is no hang. */
static uint64_t now_ns(const struct target *t)
{
	struct timespec now;

	clock_gettime(t->clock, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void *kick(void *argument)
{
	struct target *t = argument;
	uint64_t random = 88172645463325252;

	while (!__atomic_load_n(&t->quit, __ATOMIC_SEQ_CST)) {
		bool kicking = __atomic_load_n(&t->kicking, __ATOMIC_SEQ_CST);
		uint64_t started;

		usleep(kicking ? 5 + (random_next(&random) >> 40) % 60 : 20000);
		started = __atomic_load_n(&t->started_ns, __ATOMIC_SEQ_CST);
		if (started && now_ns(t) - started > t->limit_ns)
			__atomic_store_n(&t->hung, true, __ATOMIC_SEQ_CST);
		if (kicking || __atomic_load_n(&t->hung, __ATOMIC_SEQ_CST))
			__atomic_store_n(&t->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

/* Few blocks apart, but not for ever: a program must not take much longer by it. */
static void on_block(void *target, const struct vm_event *event)
{
	struct target *t = target;

	if (event->kind != VM_LOG_EXEC || !t->kicks_left || t->blocks--)
		return;
	t->blocks = (unsigned)(random_next(&t->random) >> 32) % 12;
	t->kicks_left--;
	__atomic_store_n(&t->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
}

/* Memory. */
static void put64(struct target *t, unsigned at, uint64_t value)
{
	memcpy(t->ram + at, &value, sizeof(value));
}

static uint64_t get64(const struct target *t, unsigned at)
{
	uint64_t value;

	memcpy(&value, t->ram + at, sizeof(value));
	return value;
}

static unsigned gpa_of(uint32_t linear)
{
	static const uint8_t code_order[] = { 0, 2, 1, 3 },
			     data_order[] = { 0, 2, 1, 5, 3, 5, 6, 7 };
	unsigned page = linear >> 12 & 15;

	if (linear >= STACK)
		return STACK_GPA + (page << 12);
	if (linear >= DATA)
		return DATA_GPA + ((unsigned)data_order[page] << 12);
	return CODE_GPA + ((unsigned)code_order[page & 3] << 12);
}

static void map(struct target *t, uint32_t linear, uint64_t gpa, uint64_t bits)
{
	unsigned table = TABLES + 0x2000 + (linear >> 21) * 0x1000; /* of 2 MiB each */

	put64(t, TABLES, (TABLES + 0x1000) | P | W | U | ACCESSED);
	put64(t, TABLES + 0x1000, (TABLES + 0x8000) | P | W | U | ACCESSED);
	put64(t, TABLES + 0x8000 + 8 * (linear >> 21), table | P | W | U | ACCESSED);
	put64(t, table + 8 * (linear >> 12 & 511), gpa | bits | P);
}

static void map_all(struct target *t)
{
	for (unsigned at = TABLES; at < INTERRUPT_STACK; at += 0x1000)
		map(t, at, at, W | ACCESSED | DIRTY); /* interrupts change nothing */
	for (unsigned n = 0; n < CODE_PAGES; n++) {
		map(t, CODE + 0x1000 * n, gpa_of(CODE + 0x1000 * n), W | U);
		map(t, CODE_ALIAS + 0x1000 * n, gpa_of(CODE + 0x1000 * n), W | U);
	}
	for (unsigned at = DATA; at < DATA + DATA_PAGES * 0x1000; at += 0x1000)
		if (at != UNMAPPED)
			map(t, at, at == MMIO ? MMIO_GPA : gpa_of(at),
			    (at == READ_ONLY ? 0 : W) | (at == SUPERVISOR ? 0 : U) | NX);
	map(t, STACK, gpa_of(STACK), W | U);
	map(t, STACK + 0x1000, gpa_of(STACK + 0x1000), W | U);
}

/* What window.h's addresses are about, and a page of the guest's at that of a bait. */
static void map_for_window(struct target *t)
{
	enum { DIRECTORY = TABLES + 0x8000, LEVEL_3 = TABLES + 0x9000, LEVEL_2 = TABLES + 0xa000,
	       LEVEL_1 = TABLES + 0xb000, FAR_POINTERS = TABLES + 0xc000, FAR_DIRECTORY = TABLES + 0xd000,
	       FAR_DATA = TABLES + 0xe000, ALL = P | W | U | ACCESSED };
	uintptr_t at = (uintptr_t)bait;

	map(t, DATA - 0x1000, gpa_of(DATA + 0x7000), W | U | NX);
	memcpy(t->ram + FAR_DATA, t->ram + DATA_TABLE, 0x1000);
	put64(t, FAR_DATA + 8 * (REMAPPED >> 12 & 511), 0);
	put64(t, TABLES + 8 * (HIGH >> 39), FAR_POINTERS | ALL);
	put64(t, TABLES + 8 * (NEAR >> 39), FAR_POINTERS | ALL);
	put64(t, FAR_POINTERS + 8 * (HIGH >> 30 & 511), FAR_DIRECTORY | ALL);
	put64(t, FAR_POINTERS + 8 * (NEAR >> 30 & 511), FAR_DIRECTORY | ALL);
	for (unsigned n = 0; n < DATA >> 21; n++)
		put64(t, FAR_DIRECTORY + 8 * n, get64(t, DIRECTORY + 8 * n));
	put64(t, FAR_DIRECTORY + 8 * (DATA >> 21), FAR_DATA | ALL);
	for (unsigned n = 1; n < NEAR_GRANULES; n++)
		for (unsigned k = 0; k < 2; k++) {
			unsigned to = 8 * ((GRANULE >> 21) * n - k), from = FAR_DIRECTORY + 8 * ((DATA >> 21) - k);

			put64(t, DIRECTORY + to, get64(t, from));
			put64(t, FAR_DIRECTORY + to, get64(t, from));
		}
	put64(t, TABLES + 8 * (at >> 39), LEVEL_3 | ALL);
	put64(t, LEVEL_3 + 8 * (at >> 30 & 511), LEVEL_2 | ALL);
	put64(t, LEVEL_2 + 8 * (at >> 21 & 511), LEVEL_1 | ALL);
	put64(t, LEVEL_1 + 8 * (at >> 12 & 511), gpa_of(DATA + 0x7000) | P | W | U | NX);
}

static bool has_error_code(unsigned vector)
{
	return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;
}

static void put_stub(struct target *t, unsigned vector)
{
	uint8_t *code = t->ram + STUBS + 16 * vector;
	uint64_t stub = STUBS + 16 * vector, gate = IDT + 16 * vector;

	if (vector != INTERRUPT) {
		*code++ = 0xe6; /* OUT */
		*code++ = (uint8_t)vector;
	}
	if (has_error_code(vector)) {
		memcpy(code, "\x48\x83\xc4\x08", 4);
		code += 4;
	}
	memcpy(code, "\x48\xcf", 2);
	put64(t, gate,
	      (stub & 0xffff) | 8 << 16 | (vector == INTERRUPT ? 2ull : 1ull) << 32 |
		      (vector == 3 ? 0xee00ull : 0x8e00ull) << 32 | stub >> 16 << 48);
}

/* Two instructions with an address each; then IRETQ. */
static void put_system_stub(struct target *t, unsigned vector, const char *first, uint32_t first_at,
			    const char *second, uint32_t second_at)
{
	uint8_t *code = t->ram + STUBS + 16 * vector;

	put_stub(t, vector);
	put64(t, IDT + 16 * vector, get64(t, IDT + 16 * vector) | 0x6000ull << 32);
	memcpy(code, first, 4);
	memcpy(code + 4, &first_at, 4);
	memcpy(code + 8, second, 4);
	memcpy(code + 12, &second_at, 4);
	memcpy(code + 16, "\x48\xcf", 2);
}

static void put_tables(struct target *t, bool ring_3)
{
	static const uint64_t gdt[] = { 0,
					0x00af9b000000ffff,
					0x00cf93000000ffff,
					0x00cffb000000ffff,
					0x00cff3000000ffff,
					0x00affb000000ffff,
					0x00008b0000000067 | (uint64_t)TSS << 16,
					0 };

	memcpy(t->ram + GDT, gdt, sizeof(gdt));
	put64(t, TSS + 4, FAULT_STACK);
	put64(t, TSS + 36, FAULT_STACK);
	put64(t, TSS + 44, INTERRUPT_STACK);
	for (unsigned vector = 0; vector < 32; vector++)
		put_stub(t, vector);
	put_stub(t, INTERRUPT);
	put_system_stub(t, INT_REMAP, "\x48\x89\x04\x25", DATA_TABLE + 8 * 6, "\x0f\x01\x3c\x25", REMAPPED);
	put_system_stub(t, INT_FLUSH, "\x0f\x1f\x04\x25", 0, "\x0f\x01\x3c\x25", REMAPPED);
	memcpy(t->ram + STUBS + 16 * INT_FLUSH, "\x50\x0f\x20\xd8\x0f\x22\xd8\x58\x48\xcf", 10);
	memcpy(t->ram + SYSCALL_STUB, "\xe6\x80\x48\x0f\x07", 5);
	map_all(t);
	if (ring_3)
		map_for_window(t);
}

static void fill_memory(struct target *t, const struct program *p)
{
	uint64_t random = p->seed * 77 + 1;

	memset(t->ram, 0, RAM_BYTES);
	for (unsigned at = DATA_GPA; at < STACK_GPA + 0x2000; at += 8)
		put64(t, at, random_next(&random) >> (random & 31));
	for (unsigned n = 0; n < CODE_PAGES; n++)
		memcpy(t->ram + gpa_of(CODE + 0x1000 * n), p->code + 0x1000 * n, 0x1000);
	put_tables(t, p->ring_3);
}

/* The vCPU. */
static void set_registers(struct target *t, const struct program *p)
{
	struct kvm_segment code = {
		.limit = 0xffffffff, .selector = 8, .type = 11, .present = 1, .s = 1, .g = 1, .l = 1
	};
	struct kvm_segment data = { .limit = 0xffffffff,
				    .selector = 16,
				    .type = 3,
				    .present = 1,
				    .s = 1,
				    .g = 1,
				    .db = 1 };
	struct kvm_sregs s = t->sregs;
	struct kvm_regs r = { .rip = CODE + p->start, .rflags = p->rflags };
	__u64 *gpr[] = { &r.rax, &r.rcx, &r.rdx, &r.rbx, &r.rsp, &r.rbp, &r.rsi, &r.rdi,
			 &r.r8,  &r.r9,  &r.r10, &r.r11, &r.r12, &r.r13, &r.r14, &r.r15 };
	struct kvm_vcpu_events events = { 0 };
	struct kvm_debugregs debug = { .dr6 = 0xffff0ff0, .dr7 = 0x400 };
	struct kvm_xsave xsave = { 0 };
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry[3];
	} msrs = {
		.head.nmsrs = 3,
		.entry = { { .index = 0xc0000081, .data = 0x0018000800000000 },
			   { .index = 0xc0000082, .data = SYSCALL_STUB },
			   { .index = 0xc0000084, .data = 0x4700 } },
	};

	if (p->user) {
		code.selector = 0x2b;
		data.selector = 0x23;
		code.dpl = data.dpl = 3;
	}
	s.cs = code;
	s.ds = s.es = s.ss = s.fs = s.gs = data;
	s.fs.base = s.gs.base = DATA;
	s.gdt = (struct kvm_dtable){ .base = GDT, .limit = 0x3f };
	s.idt = (struct kvm_dtable){ .base = IDT, .limit = 0xfff };
	s.tr = (struct kvm_segment){
		.base = TSS, .limit = 0x67, .selector = 0x30, .type = 11, .present = 1
	};
	s.cr0 = 0x80010033;
	s.cr2 = 0;
	s.cr3 = TABLES;
	s.cr4 = 0x40620 | (p->ring_3 ? 0x10004 : 0); /* FSGSBASE; TSD, as new code may be anything */
	s.efer = 0xd01;
	for (unsigned n = 0; n < 16; n++) {
		*gpr[n] = p->gpr[n];
		if (p->raw && n != 4 && p->seed >> n & 1) /* somewhere in the process */
			*gpr[n] = (uintptr_t)(n & 2 ? (void *)&bait[n] : (void *)bait) -
				  (n & 1 ? DATA : 0);
	}
	xsave.region[0] = 0x37f;
	xsave.region[6] = 0x1f80;
	xsave.region[128] = 7;
	for (unsigned n = 40; n < 40 + 64; n++)
		xsave.region[n] = (uint32_t)(p->seed * n * 2654435761u);
	ask(t->vcpu, KVM_SET_DEBUGREGS, &debug, NULL);
	ask(t->vcpu, KVM_SET_SREGS, &s, NULL);
	ask(t->vcpu, KVM_SET_MSRS, &msrs, NULL);
	ask(t->vcpu, KVM_SET_VCPU_EVENTS, &events, NULL);
	ask(t->vcpu, KVM_SET_XSAVE, &xsave, NULL);
	ask(t->vcpu, KVM_SET_REGS, &r, NULL);
}

static uint64_t hash(const void *bytes, size_t count)
{
	const uint8_t *at = bytes;
	uint64_t value = 14695981039346656037u, word;

	for (size_t n = 0; n + 8 <= count; n += 8) {
		memcpy(&word, at + n, 8);
		value = (value ^ word) * 1099511628211u;
		value ^= value >> 29;
	}
	return value;
}

static struct event_seen *note(struct target *t, struct result *result)
{
	struct event_seen *e = &result->event[result->events++];
	struct kvm_regs r = { 0 };
	struct kvm_sregs s;
	struct kvm_xsave xsave;

	memset(e, 0, sizeof(*e));
	ask(t->vcpu, KVM_GET_REGS, &r, NULL);
	ask(t->vcpu, KVM_GET_SREGS, &s, NULL);
	ask(t->vcpu, KVM_GET_XSAVE, &xsave, NULL);
	e->exit = t->run->exit_reason;
	memcpy(e->gpr,
	       (uint64_t[]){ r.rax, r.rcx, r.rdx, r.rbx, r.rsp, r.rbp, r.rsi, r.rdi, r.r8, r.r9,
			     r.r10, r.r11, r.r12, r.r13, r.r14, r.r15 },
	       sizeof(e->gpr));
	e->rip = r.rip;
	e->rflags = r.rflags;
	e->cr2 = s.cr2;
	e->mxcsr = xsave.region[6];
	e->xsave = hash(&xsave, sizeof(xsave));
	return e;
}

static unsigned item_after(struct target *t, const struct program *p, uint64_t rip)
{
	for (unsigned n = 0; n < p->count; n++)
		if (rip >= p->address[n] && rip < p->address[n + 1])
			return n + 1;
	return t->cursor + 1;
}

/* True if the program goes on. */
static bool on_fault(struct target *t, const struct program *p, struct event_seen *e,
		     unsigned vector)
{
	unsigned frame = FAULT_STACK - 40;
	uint64_t rsp, rip;

	for (unsigned n = 0; n < 5; n++)
		e->frame[n] = get64(t, frame + 8 * n);
	e->frame[5] = has_error_code(vector) ? get64(t, frame - 8) : 0;
	if (p->flags_open) {
		e->frame[2] &= ~(uint64_t)STATUS;
		put64(t, frame + 16, e->frame[2]);
	}
	rip = e->frame[0];
	rsp = e->frame[3];
	if (rip == p->address[p->count] || t->cursor >= p->count)
		return false;
	if (vector != 3)
		t->cursor = MIN(item_after(t, p, rip), p->count);
	if (vector != 3)
		put64(t, frame, p->address[t->cursor]);
	if (rsp < STACK + 0x100 || rsp > STACK_TOP + 0x100)
		put64(t, frame + 24, STACK_TOP);
	put64(t, frame + 16, get64(t, frame + 16) & ~0x40100ull); /* AC, TF */
	return true;
}

static bool on_io(struct target *t, const struct program *p, struct result *result)
{
	struct event_seen *e = note(t, result);
	uint8_t *data = (uint8_t *)t->run + t->run->io.data_offset;

	e->port = t->run->io.port;
	if (t->run->io.direction == KVM_EXIT_IO_IN) {
		memset(data, 0x5a, t->run->io.size * t->run->io.count);
		return true;
	}
	if (e->rip >= STUBS && e->rip < STUBS + 0x200) {
		if (p->flags_open)
			e->rflags &= ~(uint64_t)STATUS;
		return on_fault(t, p, e, e->port);
	}
	return true;
}

static bool on_mmio(struct target *t, struct result *result)
{
	struct event_seen *e = &result->event[result->events++];
	uint64_t value = t->run->mmio.phys_addr * 0x9e3779b97f4a7c15;

	memset(e, 0, sizeof(*e));
	e->exit = t->run->exit_reason;
	e->port = t->run->mmio.len;
	e->frame[0] = t->run->mmio.phys_addr;
	if (t->run->mmio.is_write)
		memcpy(&e->frame[1], t->run->mmio.data, 8);
	else
		memcpy(t->run->mmio.data, &value, 8);
	return true;
}

/* False: it is not in memory. The program may have changed where it is. */
static bool read_code(struct target *t, uint64_t rip, uint8_t *byte)
{
	struct kvm_translation at = { .linear_address = rip };

	ask(t->vcpu, KVM_TRANSLATE, &at, NULL);
	if (!at.valid || at.physical_address >= RAM_BYTES)
		return false;
	*byte = t->ram[at.physical_address];
	return true;
}

static void note_next(struct target *t, uint64_t rip, uint64_t rcx)
{
	uint8_t bytes[15] = { 0 };
	unsigned length;

	t->undefined = 0;
	if (rip < CODE || !read_code(t, rip, bytes))
		return;
	for (unsigned n = 1; n < sizeof(bytes) && read_code(t, rip + n, bytes + n); n++)
		;
	t->undefined = undefined_flags(t->vcpu, bytes, rcx, &length);
	t->end = rip + length;
}

static bool on_step(struct target *t)
{
	struct kvm_regs r = { 0 };

	ask(t->vcpu, KVM_GET_REGS, &r, NULL);
	if (t->undefined && r.rip == t->end) {
		r.rflags &= ~(uint64_t)t->undefined;
		r.rflags |= random_next(&t->random) >> 32 & t->undefined;
		ask(t->vcpu, KVM_SET_REGS, &r, NULL);
	}
	note_next(t, r.rip, r.rcx);
	return true;
}

static bool on_exit_of(struct target *t, const struct program *p, struct result *result)
{
	switch (t->run->exit_reason) {
	case KVM_EXIT_DEBUG:
		return on_step(t);
	case KVM_EXIT_IO:
		return on_io(t, p, result);
	case KVM_EXIT_MMIO:
		return on_mmio(t, result);
	default:
		note(t, result);
		return false;
	}
}

/* Also lets pages be read-only again, of which translated code has been writing some. */
static void note_dirty(struct target *t, struct event_seen *e)
{
	struct kvm_dirty_log log = { .dirty_bitmap = e->dirty };

	ask(t->vm, KVM_GET_DIRTY_LOG, &log, NULL);
	e->dirty[0] &= ~(1ull << ((INTERRUPT_STACK - 1) >> 12));
}

static void interrupt(struct target *t)
{
	struct kvm_interrupt interrupt = { .irq = INTERRUPT };

	if (t->run->ready_for_interrupt_injection && t->run->if_flag)
		ask(t->vcpu, KVM_INTERRUPT, &interrupt, NULL);
}

void target_run(struct target *t, const struct program *p, struct result *result)
{
	uint64_t events = p->seed * 13 + 5;
	bool goes_on = true;

	fill_memory(t, p);
	if (p->ring_3)
		note_dirty(t, &result->event[0]);
	set_registers(t, p);
	result->events = 0;
	t->cursor = 0;
	t->random = p->seed * 31 + 7 + p->undefined;
	t->undefined = 0;
	t->blocks = 0;
	t->kicks_left = 3000;
	__atomic_store_n(&t->hung, false, __ATOMIC_SEQ_CST);
	__atomic_store_n(&t->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&t->started_ns, now_ns(t), __ATOMIC_SEQ_CST);
	__atomic_store_n(&t->kicking, t->kicks == KICKS_BY_THREAD, __ATOMIC_SEQ_CST);
	while (goes_on && result->events < MAX_EVENTS &&
	       !__atomic_load_n(&t->hung, __ATOMIC_SEQ_CST)) {
		long got = vm_ioctl(t->vcpu, KVM_RUN, 0, NULL);

		if (got == -EINTR) {
			__atomic_store_n(&t->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
			if (t->kicks)
				interrupt(t);
		} else if (got) {
			fprintf(stderr, "KVM_RUN: error %ld\n", -got);
			exit(1);
		} else {
			goes_on = on_exit_of(t, p, result);
			if (p->ring_3 && t->run->exit_reason != KVM_EXIT_DEBUG &&
			    random_next(&events) >> 62 == 0)
				note_dirty(t, &result->event[result->events - 1]);
		}
	}
	__atomic_store_n(&t->started_ns, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&t->kicking, false, __ATOMIC_SEQ_CST);
	result->hung = __atomic_load_n(&t->hung, __ATOMIC_SEQ_CST);
	/* An exit at MAX_EVENTS may be half an instruction. */
	__atomic_store_n(&t->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	(void)vm_ioctl(t->vcpu, KVM_RUN, 0, NULL);
	memcpy(result->ram, t->ram, RAM_BYTES);
	memset(result->ram + INTERRUPT_STACK - 0x1000, 0, 0x1000);
}

/* Once for all VMs. */
static uint64_t *bait_at(uint64_t address)
{
	void *wanted = (void *)(uintptr_t)address;
	uint64_t *at = mmap(wanted, BAIT_BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	if (at != wanted) {
		perror("mmap");
		exit(1);
	}
	for (unsigned n = 0; n < BAIT_BYTES / 8; n++)
		at[n] = secret;
	return at;
}

/* What is there must not be seen; nothing needs to be told from nothing. */
static void bait_around(uint64_t place)
{
	enum { BYTES = 1 << 30, FIRST = (NEAR_GRANULES + 1) * GRANULE };
	uint64_t starts[] = { place + FIRST, place - 2 * GRANULE - BYTES };

	for (unsigned n = 0; n < (place >> 32 ? 2 : 1); n++) {
		void *wanted = (void *)(uintptr_t)starts[n];

		if (mmap(wanted, BYTES, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) != wanted) {
			perror("mmap");
			exit(1);
		}
	}
}

uint64_t target_bait(unsigned n)
{
	return (uintptr_t)(n < 2 && near_bait[n] ? near_bait[n] : bait);
}

static void make_memory(struct target *t, const struct target_options *options)
{
	struct kvm_userspace_memory_region region = { .memory_size = RAM_BYTES };
	static const uint32_t shifts[] = { 0, 0x50000000, 0x28000000, 0x68000000 };
	uint64_t shift = shifts[options->vcpu % ARRAY_LEN(shifts)]; /* of its window */

	if (options->ring_3) {
		bait_around(shift);
		bait_around(HIGH + shift);
		bait_around(NEAR + shift);
		near_bait[0] = bait_at(NEAR + DATA + shift);
		near_bait[1] = bait_at(NEAR_GRANULE + shift);
		region.flags = KVM_MEM_LOG_DIRTY_PAGES;
	}
	t->around = mmap(NULL, RAM_BYTES + 2 * CANARY_BYTES, PROT_READ | PROT_WRITE,
			 (options->ring_3 ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS, -1, 0);
	if (t->around == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	for (size_t at = 0; at < RAM_BYTES + 2 * CANARY_BYTES; at += 8)
		memcpy(t->around + at, &secret, 8);
	t->ram = t->around + CANARY_BYTES;
	for (unsigned n = 0; n < ARRAY_LEN(bait); n++)
		bait[n] = secret;
	region.userspace_addr = (uintptr_t)t->ram;
	ask(t->vm, KVM_SET_USER_MEMORY_REGION, &region, NULL);
}

struct target *target_new(const struct target_options *wanted)
{
	struct target *t = calloc(1, sizeof(*t));
	struct vm_options options = wanted->engine;

	if (wanted->kicks == KICKS_BETWEEN_BLOCKS)
		options.log = VM_LOG_EXEC;
	options.on_event = on_block;
	options.context = t;
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + 256 * sizeof(cpuid->entries[0]));
	struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs[0].value = 7 };
	struct kvm_guest_debug step = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP };
	size_t bytes;

	if (!t || !cpuid)
		abort();
	t->kicks = wanted->kicks;
	t->system = vm_open(&options);
	ask(t->system, KVM_CREATE_VM, 0, &t->vm);
	make_memory(t, wanted);
	for (unsigned n = 0; n < wanted->vcpu; n++) {
		ask(t->vm, KVM_CREATE_VCPU, (void *)(uintptr_t)n, &t->vcpu);
		vm_put(t->vcpu);
	}
	ask(t->vm, KVM_CREATE_VCPU, (void *)(uintptr_t)wanted->vcpu, &t->vcpu);
	t->run = vm_run_pages(t->vcpu, &bytes);
	cpuid->nent = 256;
	ask(t->system, KVM_GET_SUPPORTED_CPUID, cpuid, NULL);
	ask(t->vcpu, KVM_SET_CPUID2, cpuid, NULL);
	free(cpuid);
	ask(t->vcpu, KVM_GET_SREGS, &t->sregs, NULL);
	(void)vm_ioctl(t->vcpu, KVM_SET_XCRS, (uintptr_t)&xcrs, NULL);
	if (wanted->steps)
		ask(t->vcpu, KVM_SET_GUEST_DEBUG, &step, NULL);
	pthread_getcpuclockid(pthread_self(), &t->clock);
	t->limit_ns = options.translator || wanted->steps ? 50ull * HUNG_NS : HUNG_NS;
	pthread_create(&t->kicker, NULL, kick, t);
	return t;
}

void target_free(struct target *t)
{
	__atomic_store_n(&t->quit, true, __ATOMIC_SEQ_CST);
	pthread_join(t->kicker, NULL);
	target_check_canaries(t);
	vm_put(t->vcpu);
	vm_put(t->vm);
	vm_put(t->system);
	munmap(t->around, RAM_BYTES + 2 * CANARY_BYTES);
	free(t);
}

void target_check_canaries(struct target *t)
{
	const uint8_t *behind = t->ram + RAM_BYTES;
	bool good = !memcmp(t->around, &secret, 8) && !memcmp(behind, &secret, 8) &&
		    !memcmp(t->around, t->around + 8, CANARY_BYTES - 8) &&
		    !memcmp(behind, behind + 8, CANARY_BYTES - 8);

	for (unsigned n = 0; n < ARRAY_LEN(bait); n++)
		good &= bait[n] == secret;
	for (unsigned k = 0; k < 2 && near_bait[k]; k++)
		for (unsigned n = 0; n < BAIT_BYTES / 8; n++)
			good &= near_bait[k][n] == secret;
	if (!good) {
		fprintf(stderr, "memory around the guest's was written\n");
		abort();
	}
}

bool target_leaked(const struct target *t, const struct result *r)
{
	for (unsigned n = 0; n < r->events; n++)
		for (unsigned k = 0; k < 16; k++)
			if (r->event[n].gpr[k] == secret)
				return true;
	for (unsigned at = 0; at < RAM_BYTES; at += 8) {
		uint64_t value;

		memcpy(&value, r->ram + at, 8);
		if (value == secret)
			return true;
	}
	(void)t;
	return false;
}
