/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/* A VM in ring 0 or 3. A fault's handler is an OUT: the program goes on at the next block. */
#include "sequence.h"

#include "base/bytes.h"
#include "engine/api/object.h"
#include "engine/fpu/fpu.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

struct guest {
	struct vm_object *system, *vm, *vcpu;
	struct kvm_run *run;
	uint8_t *memory;
	unsigned stops;
	bool exact;
};

enum { MOST_STOPS = 400, MISSING_A = 3, MISSING_B = 17, READ_ONLY_A = 5, READ_ONLY_B = 19 };

static void must(long result, const char *what)
{
	if (result < 0) {
		fprintf(stderr, "%s: error %ld\n", what, -result);
		exit(1);
	}
}

static void control(struct guest *g, unsigned long request, void *argument, const char *what)
{
	must(vm_ioctl(g->vcpu, request, (uintptr_t)argument, NULL), what);
}

static void give_cpuid(struct guest *g)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + 256 * sizeof(cpuid->entries[0]));

	cpuid->nent = 256;
	must(vm_ioctl(g->system, KVM_GET_SUPPORTED_CPUID, (uintptr_t)cpuid, NULL), "cpuid");
	control(g, KVM_SET_CPUID2, cpuid, "set cpuid");
	free(cpuid);
}

struct guest *guest_new(const struct vm_options *options, unsigned vcpu)
{
	struct guest *g = calloc(1, sizeof(*g));
	struct kvm_userspace_memory_region region = { .memory_size = GUEST_BYTES };
	size_t bytes;

	g->exact = options->exact_flags;
	g->system = vm_open(options);
	must(vm_ioctl(g->system, KVM_CREATE_VM, 0, &g->vm), "vm");
	g->memory = mmap(NULL, GUEST_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	region.userspace_addr = (uintptr_t)g->memory;
	must(vm_ioctl(g->vm, KVM_SET_USER_MEMORY_REGION, (uintptr_t)&region, NULL), "memory");
	for (unsigned n = 0; n < vcpu; n++) {
		must(vm_ioctl(g->vm, KVM_CREATE_VCPU, n, &g->vcpu), "vcpu");
		vm_put(g->vcpu);
	}
	must(vm_ioctl(g->vm, KVM_CREATE_VCPU, vcpu, &g->vcpu), "vcpu");
	g->run = vm_run_pages(g->vcpu, &bytes);
	give_cpuid(g);
	return g;
}

struct vcpu *guest_vcpu(struct guest *g)
{
	return g->vcpu->vcpu;
}

uint8_t *guest_memory(struct guest *g)
{
	return g->memory;
}

static void put64(struct guest *g, unsigned at, uint64_t value)
{
	store_le64(g->memory + at, value);
}

static uint64_t page_bits(unsigned page)
{
	if (page == MISSING_A || page == MISSING_B)
		return 0;
	return page == READ_ONLY_A || page == READ_ONLY_B ? 5 : 7;
}

static void make_handlers(struct guest *g, bool is_32)
{
	for (unsigned vector = 0; vector < 32; vector++) {
		uint32_t handler = HANDLERS_AT + 16 * vector;

		put64(g, IDT_AT + (is_32 ? 8 : 16) * vector,
		      (handler & 0xffff) | 8 << 16 | 0x8e00ull << 32);
		g->memory[handler] = 0xe6;
		g->memory[handler + 1] = (uint8_t)(PORT_FAULT + vector);
		g->memory[handler + 2] = 0xf4;
	}
	put64(g, GDT_AT + 8, is_32 ? 0x00cf9b000000ffff : 0x00af9b000000ffff);
	put64(g, GDT_AT + 16, 0x00cf93000000ffff);
}

/* A page directory and a table for each half of memory. */
static void make_tables_32(struct guest *g)
{
	store_le32(g->memory + TABLES_AT, (TABLES_AT + 0x1000) | 7);
	for (unsigned page = 0; page < 1024; page++) {
		uint64_t bits = page < DATA_AT >> 12 ? 7 : page_bits(page - (DATA_AT >> 12));

		store_le32(g->memory + TABLES_AT + 0x1000 + 4 * page, (uint32_t)(page * 0x1000 | bits));
	}
}

static void make_tables(struct guest *g)
{
	put64(g, TABLES_AT, (TABLES_AT + 0x1000) | 7);
	put64(g, TABLES_AT + 0x1000, (TABLES_AT + 0x2000) | 7);
	put64(g, TABLES_AT + 0x2000, 0x87);
	put64(g, TABLES_AT + 0x2008, (TABLES_AT + 0x3000) | 7);
	for (unsigned page = 0; page < 512; page++)
		put64(g, TABLES_AT + 0x3000 + 8 * page,
		      (DATA_AT + page * 0x1000) | page_bits(page));
}

/* What ring 3 needs: its pages three times, and below 2 MiB the handlers' as they are. */
static void make_tables_ring_3(struct guest *g)
{
	enum { PML4 = TABLES_AT, LOW = PML4 + 0x1000, DIRECTORY = LOW + 0x1000, HIGH = DIRECTORY + 0x1000,
	       CONSTANT = RING_3_TABLES_AT, TABLES = CONSTANT + 0x1000, FIRST = RING_3_AT + PROGRAM_AT,
	       LARGE = 1 << 21, SLOT = FIRST / LARGE };

	put64(g, PML4, LOW | 7);
	put64(g, PML4 + 8 * (RING_3_HIGH >> 39), HIGH | 7);
	put64(g, LOW, DIRECTORY | 7);
	put64(g, HIGH + 8 * (RING_3_HIGH >> 30 & 511), DIRECTORY | 7);
	put64(g, HIGH + 8 * (RING_3_CONSTANT >> 30 & 511), CONSTANT | 7);
	put64(g, DIRECTORY, 0x83);
	for (unsigned n = 0; n < 3; n++) {
		put64(g, DIRECTORY + 8 * (SLOT + n), (TABLES + 0x1000 * n) | 7);
		put64(g, CONSTANT + 8 * (SLOT + n), (TABLES + 0x1000 * n) | 5);
	}
	for (unsigned at = PROGRAM_AT; at < GUEST_BYTES; at += 0x1000) {
		unsigned page = (RING_3_AT + at - SLOT * LARGE) >> 12;

		put64(g, TABLES + 8 * page, at | (at < DATA_AT ? 7 : page_bits((at - DATA_AT) >> 12)));
	}
}

/* For handlers, and for SYSCALL and the like nothing. */
static void make_ring_3(struct guest *g)
{
	make_tables_ring_3(g);
	put64(g, GDT_AT + 24, 0x00cff3000000ffff);
	put64(g, GDT_AT + 32, 0x00affb000000ffff);
	put64(g, TSS_AT + 4, RING_0_STACK_TOP);
}

static void set_ring_3(struct kvm_sregs *s)
{
	s->cs = (struct kvm_segment){ .limit = 0xffffffff, .selector = 0x23, .type = 11, .present = 1,
				      .dpl = 3, .s = 1, .g = 1, .l = 1 };
	s->ss = (struct kvm_segment){ .limit = 0xffffffff, .selector = 0x1b, .type = 3, .present = 1,
				      .dpl = 3, .s = 1, .g = 1, .db = 1 };
	s->tr = (struct kvm_segment){ .base = TSS_AT, .limit = 0x67, .selector = 0x28, .type = 11,
				      .present = 1 };
}

static uint64_t first_flags(const struct program *p)
{
	return p->base ? 0x3002 : 2; /* ring 3 may use ports too */
}

static void set_system_registers(struct guest *g, const struct program *p)
{
	bool is_32 = p->is_32;
	struct kvm_segment code = { .limit = 0xffffffff, .selector = 8, .type = 11, .present = 1,
				    .s = 1, .g = 1, .l = !is_32, .db = is_32 };
	struct kvm_segment data = { .limit = 0xffffffff, .selector = 16, .type = 3, .present = 1,
				    .s = 1, .g = 1, .db = 1 };
	struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs[0].value = xsave_supported() };
	struct kvm_sregs s;

	control(g, KVM_GET_SREGS, &s, "sregs");
	s.cs = code;
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.fs.base = 0x1230;
	if (is_32) { /* 32-bit programs have few addresses beyond it */
		s.gs.limit = DATA_AT + 0x8fff;
		s.gs.g = 0;
	}
	s.gdt.base = GDT_AT;
	s.gdt.limit = 23;
	s.idt.base = IDT_AT;
	s.idt.limit = 0x1ff;
	s.cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
	s.cr2 = 0;
	s.cr3 = TABLES_AT;
	s.cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_PGE |
		(is_32 ? 0 : CR4_PAE | CR4_FSGSBASE);
	s.efer = is_32 ? 0 : EFER_LME | EFER_LMA | EFER_NX;
	if (p->is_16)
		segments_set(&s, p);
	if (p->base) {
		set_ring_3(&s);
		s.ds = s.es = s.fs = s.gs = s.ss;
		s.fs.base = 0x1230;
	}
	control(g, KVM_SET_SREGS, &s, "set sregs");
	control(g, KVM_SET_XCRS, &xcrs, "set xcrs");
}

static void set_registers(struct guest *g, const struct program *p, uint64_t rip)
{
	const uint64_t *gpr = p->gpr;
	struct kvm_regs r = { .rax = gpr[RAX], .rbx = gpr[RBX], .rcx = gpr[RCX], .rdx = gpr[RDX],
			      .rsi = gpr[RSI], .rdi = gpr[RDI], .rsp = gpr[RSP], .rbp = gpr[RBP],
			      .r8 = gpr[R8], .r9 = gpr[R9], .r10 = gpr[R10], .r11 = gpr[R11],
			      .r12 = gpr[R12], .r13 = gpr[R13], .r14 = gpr[R14], .r15 = gpr[R15],
			      .rip = rip, .rflags = first_flags(p) };

	control(g, KVM_SET_REGS, &r, "set regs");
}

/* The program's address in its code segment. */
static uint64_t code_at(const struct program *p)
{
	return p->is_16 ? 0 : p->base + PROGRAM_AT;
}

void guest_load(struct guest *g, const struct program *p)
{
	static uint8_t xsave[4096];

	g->stops = 0;
	memset(g->memory, 0, DATA_AT);
	for (unsigned at = DATA_AT; at < GUEST_BYTES; at += sizeof(p->data))
		memcpy(g->memory + at, p->data, sizeof(p->data));
	if (p->is_32 || p->is_16)
		make_tables_32(g);
	else if (p->base)
		make_ring_3(g);
	else
		make_tables(g);
	if (p->is_16)
		segments_make(g->memory, p);
	else
		make_handlers(g, p->is_32);
	memcpy(g->memory + PROGRAM_AT, p->code, p->bytes);
	set_system_registers(g, p);
	memset(xsave, 0, sizeof(xsave));
	store_le16(xsave, 0x37f);
	store_le32(xsave + 24, 0x1f80);
	control(g, KVM_SET_XSAVE, xsave, "set xsave");
	set_registers(g, p, code_at(p) + p->block[0]);
}

/* Behind a fault: the handler has the frame on its stack. */
static bool resume(struct guest *g, const struct program *p, struct stop *stop)
{
	bool has_error = !p->is_real && BIT(stop->detail) & (BIT(8) | 0x7c00 | BIT(17));
	uint64_t frame = stop->regs.rsp, flags_at, base, next = 0;
	unsigned word = p->is_16 ? 2 : p->is_32 ? 4 : 8;

	if (p->is_16)
		frame = STACK_16_AT + (uint16_t)frame;
	stop->fault_rip = 1;
	if (frame > GUEST_BYTES - 64)
		return false;
	if (has_error) {
		stop->fault_error = load_le(g->memory + frame, word);
		frame += word;
	}
	stop->fault_rip = load_le(g->memory + frame, word);
	flags_at = frame + 2 * word;
	base = stop->fault_rip - code_at(p);
	while (next < p->blocks && p->block[next] <= base)
		next++;
	if (base >= p->bytes)
		return false;
	/* Flags that nobody would have read may be stale at a fault: see jit/jit.h. */
	if (!g->exact)
		store_le16(g->memory + flags_at,
			   load_le16(g->memory + flags_at) & ~(uint32_t)F_STATUS);
	stop->regs.rip = code_at(p) + p->block[next];
	stop->regs.rsp = p->gpr[RSP];
	stop->regs.rflags = first_flags(p);
	control(g, KVM_SET_REGS, &stop->regs, "set regs");
	if (p->is_16) { /* the handler has a segment of its own */
		stop->sregs.cs = segments_code(p);
		control(g, KVM_SET_SREGS, &stop->sregs, "set sregs");
	}
	if (p->base) {
		set_ring_3(&stop->sregs);
		control(g, KVM_SET_SREGS, &stop->sregs, "set sregs");
	}
	return true;
}

bool guest_run(struct guest *g, const struct program *p, struct stop *stop)
{
	memset(stop, 0, sizeof(*stop));
	do {
		stop->result = vm_ioctl(g->vcpu, KVM_RUN, 0, NULL);
	} while (stop->result == -EINTR && !g->run->immediate_exit);
	stop->reason = g->run->exit_reason;
	control(g, KVM_GET_REGS, &stop->regs, "regs");
	control(g, KVM_GET_SREGS, &stop->sregs, "sregs");
	control(g, KVM_GET_XSAVE, stop->xsave, "xsave");
	if (stop->result)
		return false;
	if (++g->stops > MOST_STOPS) {
		stop->fault_rip = 1; /* most likely */
		return false;
	}
	if (stop->reason == KVM_EXIT_MMIO) {
		stop->detail = g->run->mmio.phys_addr;
		memset(g->run->mmio.data, 0x5a, sizeof(g->run->mmio.data));
		return true;
	}
	if (stop->reason != KVM_EXIT_IO || g->run->io.port == PORT_END)
		return false;
	stop->detail = g->run->io.port - PORT_FAULT;
	return stop->detail < 32 && resume(g, p, stop);
}

void guest_interrupt(struct guest *g, bool on)
{
	g->run->immediate_exit = on;
}

void guest_free(struct guest *g)
{
	vm_put(g->vcpu);
	vm_put(g->vm);
	vm_put(g->system);
	munmap(g->memory, GUEST_BYTES);
	free(g);
}
