/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * The candidate: a vCPU in ring 3 with the child's memory map, stepped one instruction at a time.
 *
 * The VM is made through the library's ioctls; a test's state then goes straight into struct vcpu.
 * The two data pages lie in reverse order in guest-physical memory. With the window it is the second
 * vCPU, whose pages are elsewhere in this process than in the guest, as there may be nothing at DATA here;
 * and FS' base is in the window, not where the child has it.
 */
#include "diff.h"

#include "base/bytes.h"
#include "engine/api/object.h"
#include "engine/fpu/fpu.h"
#include "engine/interp/flags.h"
#include "engine/interp/interp.h"
#include "engine/mmu/mmu.h"
#include "engine/mmu/window.h"
#include "kvm_abi.h"
#include "vm.h"

#include <asm/prctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	TABLES = 0x10000,
	CODE_GPA = 0x80000,
	READ_ONLY_GPA = 0x81000,
	DESCRIPTORS_GPA = 0x82000,
	RAM_BYTES = 0x100000,
	DATA_GPA = 0x400000,
	OWN_FS_BASE = 0x123450,
};
#define DESCRIPTORS 0xffffc00000000000ull
enum { PTE_P = 1, PTE_W = 2, PTE_U = 4 };
#define PTE_NX (1ull << 63)

static struct vm_object *system_object, *vm_object, *vcpu_object;
static struct vcpu *c;
static uint8_t *ram, *data; /* data: in linear order */
static unsigned next_table = 1;
static bool whole_blocks; /* by the translator: not stepped */
static bool window;
static uint64_t windowed; /* tests */
static uint64_t native_fs_base;
static struct segment clean[SEGMENT_COUNT];

static void must(long result, const char *what)
{
	if (result < 0) {
		fprintf(stderr, "%s: error %ld\n", what, -result);
		exit(1);
	}
}

static uint64_t *table_at(gpa_t gpa)
{
	return (uint64_t *)(ram + gpa);
}

static void map_page(uint64_t linear, gpa_t gpa, uint64_t bits)
{
	uint64_t *table = table_at(TABLES);

	for (unsigned level = 3; level > 0; level--) {
		uint64_t *entry = &table[linear >> (12 + 9 * level) & 511];

		if (!*entry)
			*entry = (TABLES + 0x1000 * next_table++) | PTE_P | PTE_W | PTE_U;
		table = table_at(*entry & ~0xfffull);
	}
	table[linear >> 12 & 511] = gpa | bits | PTE_P;
}

static void add_slot(unsigned slot, gpa_t gpa, uint64_t bytes, void *host)
{
	struct kvm_userspace_memory_region region = { .slot = slot,
						      .guest_phys_addr = gpa,
						      .memory_size = bytes,
						      .userspace_addr = (uintptr_t)host };

	must(vm_ioctl(vm_object, KVM_SET_USER_MEMORY_REGION, (uintptr_t)&region, NULL), "slot");
}

static void make_memory(void)
{
	int fd = memfd_create("data", 0);
	int rw = PROT_READ | PROT_WRITE;
	uint8_t *swapped;

	must(ftruncate(fd, DATA_BYTES), "memfd");
	ram = mmap(NULL, RAM_BYTES, rw, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	swapped = mmap(NULL, DATA_BYTES, rw, MAP_SHARED, fd, 0);
	data = mmap(NULL, DATA_BYTES, rw, MAP_SHARED, fd, 0);
	mmap(data, 0x1000, rw, MAP_SHARED | MAP_FIXED, fd, 0x1000);
	mmap(data + 0x1000, 0x1000, rw, MAP_SHARED | MAP_FIXED, fd, 0);
	close(fd);
	add_slot(0, 0, RAM_BYTES, ram);
	add_slot(1, DATA_GPA, DATA_BYTES, swapped);
	map_page(CODE, CODE_GPA, PTE_W | PTE_U);
	map_page(DATA, DATA_GPA + 0x1000, PTE_W | PTE_NX | PTE_U);
	map_page(DATA + 0x1000, DATA_GPA, PTE_W | PTE_NX | PTE_U);
	map_page(READ_ONLY, READ_ONLY_GPA, PTE_NX | PTE_U);
	map_page(DESCRIPTORS, DESCRIPTORS_GPA, PTE_NX);
	segments_write_tables((uint64_t *)(ram + DESCRIPTORS_GPA));
}

static void set_cpuid(void)
{
	const unsigned room = 100;
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + room * sizeof(cpuid->entries[0]));

	cpuid->nent = room;
	must(vm_ioctl(system_object, KVM_GET_SUPPORTED_CPUID, (uintptr_t)cpuid, NULL), "cpuid");
	must(vm_ioctl(vcpu_object, KVM_SET_CPUID2, (uintptr_t)cpuid, NULL), "set cpuid");
	free(cpuid);
}

static void set_system_registers(void)
{
	const struct kvm_segment data_segment = { .limit = 0xffffffff,
						  .selector = DATA_SELECTOR,
						  .type = 3,
						  .present = 1,
						  .dpl = 3,
						  .db = 1,
						  .s = 1,
						  .g = 1 };
	const struct kvm_segment null = { .unusable = 1 };
	struct kvm_segment code = data_segment, fs = null, gs = null;
	struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs[0].value = xsave_supported() };
	const bool has_keys = host_can_run(FEATURE_OSPKE); /* the engine always has */
	struct kvm_sregs sregs;

	code.selector = CODE_SELECTOR_64;
	code.type = 11;
	code.l = 1;
	code.db = 0;
	gs.base = GS_BASE;
	syscall(SYS_arch_prctl, ARCH_GET_FS, &native_fs_base);
	fs.base = window ? OWN_FS_BASE : native_fs_base;
	must(vm_ioctl(vcpu_object, KVM_GET_SREGS, (uintptr_t)&sregs, NULL), "sregs");
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.ss = data_segment;
	sregs.fs = fs;
	sregs.gs = gs;
	sregs.tr.limit = 0x20; /* no I/O bitmap */
	sregs.gdt.base = DESCRIPTORS;
	sregs.gdt.limit = 8 * GDT_ENTRIES_USED - 1;
	sregs.idt.limit = 0;
	sregs.ldt = (struct kvm_segment){ .base = DESCRIPTORS + 8 * GDT_ENTRIES_USED,
					  .limit = 8 * LDT_ENTRIES_USED - 1,
					  .selector = 0x50,
					  .type = 2,
					  .present = 1 };
	sregs.cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG;
	sregs.cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_PGE | CR4_FSGSBASE |
		    CR4_UMIP | (has_keys ? CR4_PKE : 0);
	if (!has_keys)
		xcrs.xcrs[0].value &= ~BIT(PKRU);
	sregs.cr3 = TABLES;
	sregs.efer = EFER_LME | EFER_LMA | EFER_NX | EFER_SCE;
	must(vm_ioctl(vcpu_object, KVM_SET_SREGS, (uintptr_t)&sregs, NULL), "set sregs");
	must(vm_ioctl(vcpu_object, KVM_SET_XCRS, (uintptr_t)&xcrs, NULL), "set xcrs");
}

struct vcpu *engine_start(bool translator, bool in_window)
{
	struct vm_options options = { .translator = translator || in_window ? 2 : 0,
				      .window = in_window ? 2 : 0, .exact_flags = true };

	whole_blocks = options.translator;
	window = in_window;

	system_object = vm_open(&options);
	must(vm_ioctl(system_object, KVM_CREATE_VM, 0, &vm_object), "vm");
	make_memory();
	must(vm_ioctl(vm_object, KVM_CREATE_VCPU, 0, &vcpu_object), "vcpu");
	if (window)
		must(vm_ioctl(vm_object, KVM_CREATE_VCPU, 1, &vcpu_object), "vcpu");
	set_cpuid();
	set_system_registers();
	c = vcpu_object->vcpu;
	vcpu_enter(c);
	c->can_unwind = true;
	memcpy(clean, c->seg, sizeof(clean));
	return c;
}

void engine_new_pattern(const uint8_t *pattern)
{
	memcpy(data, pattern, DATA_BYTES);
}

static void set_segments(const struct test *t)
{
	struct segment *cs = &c->seg[CS], *ss = &c->seg[SS];

	memcpy(c->seg, clean, sizeof(clean));
	cs->selector = t->width == 64   ? CODE_SELECTOR_64
		       : t->width == 32 ? CODE_SELECTOR_32
					: CODE_SELECTOR_16;
	cs->base = t->width == 16 ? CODE : 0;
	cs->limit = t->width == 16 ? 0xffff : 0xffffffff;
	cs->rights &= ~(uint32_t)(SEG_LONG | SEG_BIG);
	cs->rights |= t->width == 64 ? SEG_LONG : t->width == 32 ? SEG_BIG : 0;
	ss->selector = t->stack16 ? STACK_SELECTOR_16 : DATA_SELECTOR;
	ss->limit = t->stack16 ? 0xffff : 0xffffffff;
	ss->rights = (ss->rights & ~(uint32_t)SEG_BIG) | (t->stack16 ? 0 : SEG_BIG);
	mode_update(c);
}

static void load_state(const struct test *t)
{
	const struct state *s = &t->in;

	memcpy(c->gpr, s->gpr, sizeof(s->gpr));
	c->rip = code_offset(t, s->rip);
	rflags_set(c, s->rflags);
	memcpy(c->xsave, s->xsave, AREA_BYTES);
	c->x87_live = false;
	c->wide_used = true;
}

static void save_state(const struct test *t, struct state *s)
{
	memcpy(s->gpr, c->gpr, sizeof(s->gpr));
	s->rip = c->rip + (t->width == 16 ? CODE : 0);
	s->rflags = rflags_get(c);
	memcpy(s->xsave, c->xsave, AREA_BYTES);
	for (unsigned n = ES; n <= GS; n++)
		s->selector[n] = c->seg[n].selector;
	segments_return_outward(s);
	s->fs_base = c->seg[FS].base == clean[FS].base ? native_fs_base : c->seg[FS].base;
	s->gs_base = c->seg[GS].base;
}

/* The page is full of HLT, a privileged instruction, which stops whatever ran to its end. */
static bool is_final_hlt(const struct test *t)
{
	uint64_t linear = c->seg[CS].base + c->rip;
	bool fetch = c->raised.vector == EXC_PF && c->raised.payload == linear;

	if (c->rip == code_offset(t, t->in.rip) || (c->raised.vector != EXC_GP && !fetch))
		return false;
	if (t->instructions > 1)
		return c->rip == code_offset(t, t->in.rip + t->length);
	return whole_blocks;
}

/* True once the vCPU has stopped for good. */
static bool note_end(const struct test *t, struct outcome *o)
{
	if (c->exit_ready) {
		o->vector = HUNG;
		c->exit_ready = false;
		return true;
	}
	if (c->raised.kind == EVENT_NONE)
		return false;
	if (!is_final_hlt(t)) {
		o->vector = c->raised.vector;
		o->error = c->raised.error;
		o->cr2 = c->raised.payload;
	}
	c->raised.kind = EVENT_NONE;
	return true;
}

static void run(const struct test *t, struct outcome *o)
{
	o->vector = COMPLETED;
	o->error = 0;
	o->cr2 = 0;
	/* Each iteration of a REP counts as an instruction here. */
	for (unsigned n = 0; n < 10000; n++) {
		if (__atomic_load_n(&c->requests, __ATOMIC_RELAXED)) {
			vcpu_do_flushes(c);
			__atomic_store_n(&c->requests, 0, __ATOMIC_RELAXED);
		}
		if (t->instructions > 1 || whole_blocks)
			interp_run(c);
		else
			interp_step(c);
		if (note_end(t, o) ||
		    (!whole_blocks && t->instructions == 1 && c->rip != code_offset(t, t->in.rip)))
			break;
	}
	c->pending_debug = 0;
	c->shadow_sti = c->shadow_mov_ss = false;
}

void engine_run(const struct test *t, const uint8_t *pattern, struct outcome *o)
{
	const uint8_t *page = code_page(t);

	set_segments(t);
	if (memcmp(ram + CODE_GPA, page, CODE_PAGE) != 0)
		gpa_write(c->vm, CODE_GPA, page, CODE_PAGE);
	memory_prepare(data, t);
	fpu_enter(c);
	load_state(t);
	if (window)
		window_take_now(c); /* it may have been given up */
	windowed += c->windowed;
	run(t, o);
	fpu_leave(c);
	save_state(t, &o->out);
	o->wrote_code = t->instructions > 1 && memcmp(ram + CODE_GPA, page, CODE_PAGE) != 0;
	memory_collect(data, pattern, t, o);
}

bool engine_has_own_fs(void)
{
	return window;
}

uint64_t engine_windowed(void)
{
	return windowed;
}

void engine_stop(void)
{
	vcpu_leave(c);
	vm_put(vcpu_object);
	vm_put(vm_object);
	vm_put(system_object);
}
