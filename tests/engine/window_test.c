/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What ring 3 sees of memory that it has in the window (engine/mmu/window.h), which has to be what it
 * would see without: guests on the software engine, with vm_options.window = 2.
 *
 * The first 4 MiB map to themselves for ring 3 too, page tables included. Gates lead to ring 0: 0x41 is
 * INVLPG [RDI], 0x42 MOV CR3 with RSI, and a page fault tells the host, which may change the tables.
 */
#include "machine.h"

#include "base/port.h"
#include "vm.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
	TSS_AT = 0x7000,
	RING_0_STACK = 0x8000,
	GATES_AT = 0x18000,
	PAGE_TABLE = TABLES_AT + 0x3000, /* of 0x200000 to 0x3fffff */
	PAGE = 0x210000,                 /* what most tests use; as physical address it holds 1 */
	OTHER = 0x230000,                /* this holds 2 */
	USER_STACK = 0x260000,
	GRANULE = 1 << 28, /* of the window's */
	SECOND_SLOT = 0x800000,
	PORT_FAULT = 0xe0,
	PORT = 0xf4,
};

GUEST(fault_gate, ".code64", "outb %al, $0xe0\n addq $8, %rsp\n iretq");
GUEST(invlpg_gate, ".code64", "invlpg (%rdi)\n iretq");
GUEST(cr3_gate, ".code64", "movq %rsi, %cr3\n iretq");

/* The vCPU to look at: their windows differ in where they are. */
static unsigned vcpu;
enum { SHIFT = 0x50000000 };

/* Each test of cmocka's has signal handlers of its own. */
static struct sigaction handlers[2];

static uint64_t *entry_of(struct machine *m, uint64_t address)
{
	return (uint64_t *)(m->memory + PAGE_TABLE) + (address >> 12 & 511);
}

static void set_entry(struct machine *m, uint64_t address, uint64_t entry)
{
	*entry_of(m, address) = entry;
}

static void add_gate(struct machine *m, unsigned vector, const uint8_t *code, const uint8_t *end)
{
	unsigned at = GATES_AT + 64 * vector;

	memcpy(m->memory + at, code, (size_t)(end - code));
	machine_set_gate(m, vector, at);
	m->memory[IDT_AT + 16 * vector + 5] = 0xee; /* ring 3 may use it */
}

static void enter_ring_3(struct machine *m)
{
	struct kvm_regs regs = { .rip = CODE_AT, .rsp = USER_STACK, .rflags = 0x3002 };
	struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs[0].value = 7 };
	struct kvm_sregs s = { 0 };

	machine_put64(m, GDT_AT + 24, 0x00cff3000000ffff);
	machine_put64(m, GDT_AT + 32, 0x00affb000000ffff);
	machine_put64(m, TSS_AT + 4, RING_0_STACK);
	machine_ioctl(m->vcpu, KVM_GET_SREGS, &s);
	s.cs.selector = 0x23;
	s.ss.selector = 0x1b;
	s.cs.dpl = s.ss.dpl = 3;
	s.tr = (struct kvm_segment){ .base = TSS_AT, .limit = 0x67, .selector = 0x28, .type = 11,
				     .present = 1 };
	s.gdt.limit = 0x2f;
	s.idt.limit = 0x4ff;
	s.cr4 |= 0x50000;
	s.fs.base = s.gs.base = PAGE;
	machine_ioctl(m->vcpu, KVM_SET_SREGS, &s);
	machine_ioctl(m->vcpu, KVM_SET_XCRS, &xcrs);
	machine_ioctl(m->vcpu, KVM_SET_REGS, &regs);
}

static struct machine *start(const uint8_t *code, const uint8_t *end)
{
	struct machine *m = machine_new();
	struct err err = { 0 };

	sigaction(SIGSEGV, &handlers[0], NULL);
	sigaction(SIGBUS, &handlers[1], NULL);
	for (unsigned n = 0; n < vcpu; n++)
		kvm_close(kvm_ioctl_new(m->vm, KVM_CREATE_VCPU, (void *)(uintptr_t)n, &err));
	m->vcpu_id = vcpu;
	machine_start(m, LONG_64, code, end);
	m->memory[PAGE] = 1;
	m->memory[OTHER] = 2;
	add_gate(m, 14, fault_gate, fault_gate_end);
	add_gate(m, 0x41, invlpg_gate, invlpg_gate_end);
	add_gate(m, 0x42, cr3_gate, cr3_gate_end);
	enter_ring_3(m);
	return m;
}

static uint64_t counter(const struct machine *m, const char *name)
{
	static struct vm_counter rows[4096];
	size_t count = kvm_counters(m->vcpu, rows, ARRAY_LEN(rows));

	for (size_t n = 0; n < count && n < ARRAY_LEN(rows); n++)
		if (!strcmp(rows[n].group, "window") && !strcmp(rows[n].name, name))
			return rows[n].value;
	fail_msg("no counter %s", name);
	return 0;
}

static void finish(struct machine *m)
{
	assert_true(counter(m, "pages-shown") > 0);
	machine_free(m);
}

static void expect(struct machine *m, uint32_t value)
{
	machine_expect_out(m, PORT, 4, value);
}

static void expect_fault(struct machine *m, uint64_t address, uint64_t error)
{
	struct kvm_sregs s = { 0 };

	assert_int_equal(machine_run(m), KVM_EXIT_IO);
	assert_int_equal(m->run->io.port, PORT_FAULT);
	machine_ioctl(m->vcpu, KVM_GET_SREGS, &s);
	assert_int_equal(s.cr2, address);
	assert_int_equal(machine_get64(m, RING_0_STACK - 48), error);
}

/* Tables. */
GUEST(access_code, ".code64",
      "movl 0x210000, %eax\n out %eax, $0xf4\n movl %eax, 0x211000\n out %eax, $0xf4\n"
      "movq $0x213ffc, %rbx\n movq (%rbx), %rcx\n incl 0x18(%rbx)\n out %eax, $0xf4");

static void accesses_set_their_bits(void **state)
{
	struct machine *m = start(access_code, access_code_end);

	expect(m, 1);
	assert_int_equal(*entry_of(m, 0x210000), 0x210027);
	assert_int_equal(*entry_of(m, 0x211000), 0x211007);
	expect(m, 1);
	assert_int_equal(*entry_of(m, 0x211000), 0x211067);
	assert_int_equal(*entry_of(m, 0x213000), 0x213007);
	expect(m, 1);
	assert_int_equal(*entry_of(m, 0x213000), 0x213027);
	assert_int_equal(*entry_of(m, 0x214000), 0x214067);
	assert_int_equal(m->memory[0x214014], 1);
	finish(m);
}

GUEST(remap_code, ".code64",
      "movq $0x210000, %rdi\n movl (%rdi), %eax\n movl (%rdi), %eax\n out %eax, $0xf4\n"
      "movq $0x230007, 0x4080\n int $0x41\n"
      "movl (%rdi), %eax\n out %eax, $0xf4\n"
      "movq $0x210007, 0x4080\n movq $0x1000, %rsi\n int $0x42\n"
      "movl (%rdi), %eax\n out %eax, $0xf4\n"
      "movl $7, (%rdi)\n movq $0x230067, 0x4080\n int $0x41\n"
      "movl $8, (%rdi)\n movl (%rdi), %eax\n out %eax, $0xf4\n");

static void invlpg_and_cr3_hide(void **state)
{
	struct machine *m = start(remap_code, remap_code_end);

	expect(m, 1);
	expect(m, 2);
	expect(m, 1);
	expect(m, 8);
	assert_int_equal(m->memory[PAGE], 7);
	assert_int_equal(m->memory[OTHER], 8);
	finish(m);
}

/* Two address spaces with a page of the same address. */
GUEST(spaces_code, ".code64",
      "movq $0x210000, %rdi\n movl $100, %ebp\n"
      "1: movq $0x1000, %rsi\n int $0x42\n addl $1, (%rdi)\n movl (%rdi), %eax\n"
      "movq $0x10000, %rsi\n int $0x42\n addl $2, (%rdi)\n addl (%rdi), %eax\n"
      "decl %ebp\n jnz 1b\n out %eax, $0xf4\n");

static void each_space_has_its_own(void **state)
{
	struct machine *m = start(spaces_code, spaces_code_end);

	machine_put64(m, 0x10000, 0x11007);
	machine_put64(m, 0x11000, 0x12007);
	machine_put64(m, 0x12000, 0x87);
	machine_put64(m, 0x12008, 0x13007);
	memcpy(m->memory + 0x13000, m->memory + PAGE_TABLE, 0x1000);
	machine_put64(m, 0x13080, OTHER | 7);
	expect(m, 101 + 202);
	assert_int_equal(m->memory[PAGE], 101);
	assert_int_equal(m->memory[OTHER], 202);
	finish(m);
}

GUEST(fault_code, ".code64",
      "movq $0x210000, %rdi\n movl (%rdi), %eax\n movl $5, (%rdi)\n out %eax, $0xf4\n"
      "movl $6, 0x1000(%rdi)\n movl 0x1000(%rdi), %eax\n out %eax, $0xf4\n"
      "movl 0x2000(%rdi), %eax\n movl %eax, 0x2000(%rdi)\n out %eax, $0xf4\n"
      "movl $0x11111111, 0x3ffe(%rdi)\n movl 0x3ffe(%rdi), %eax\n out %eax, $0xf4\n"
      "movl 0x5000(%rdi), %eax\n out %eax, $0xf4\n");

static void faults_are_the_guests(void **state)
{
	struct machine *m = start(fault_code, fault_code_end);

	set_entry(m, 0x210000, 0x210005);
	set_entry(m, 0x211000, 0);
	set_entry(m, 0x212000, 0);
	set_entry(m, 0x214000, 0x214005);
	set_entry(m, 0x215000, 0x215003);
	expect_fault(m, 0x210000, 7); /* only to be read */
	assert_int_equal(m->memory[PAGE], 1);
	set_entry(m, 0x210000, 0x210007);
	expect(m, 1);
	assert_int_equal(m->memory[PAGE], 5);
	expect_fault(m, 0x211000, 6);
	set_entry(m, 0x211000, 0x211007);
	expect(m, 6);
	expect_fault(m, 0x212000, 4);
	set_entry(m, 0x212000, 0x230005);
	expect_fault(m, 0x212000, 7);
	set_entry(m, 0x212000, 0x230007);
	expect(m, 2);
	expect_fault(m, 0x214000, 7); /* across pages: nothing is written */
	assert_int_equal(machine_get64(m, 0x213ff8), 0);
	set_entry(m, 0x214000, 0x214007);
	expect(m, 0x11111111);
	expect_fault(m, 0x215000, 5); /* not ring 3's */
	finish(m);
}

/* WRPKRU: no access to key 1, then no writes. */
GUEST(keys_code, ".code64",
      "xorl %ecx, %ecx\n xorl %edx, %edx\n movq $0x210000, %rdi\n"
      "movl (%rdi), %ebx\n movl %ebx, (%rdi)\n"
      "movl $4, %eax\n wrpkru\n movl (%rdi), %ebx\n"
      "movl $8, %eax\n wrpkru\n movl (%rdi), %ebx\n movl %ebx, (%rdi)\n"
      "xorl %eax, %eax\n wrpkru\n incl (%rdi)\n movl (%rdi), %eax\n movl %eax, 0x1000(%rdi)\n"
      "out %eax, $0xf4");

static void keys_are_obeyed(void **state)
{
	struct machine *m = start(keys_code, keys_code_end);
	struct kvm_sregs s = { 0 };
	struct kvm_regs regs;

	machine_ioctl(m->vcpu, KVM_GET_SREGS, &s);
	s.cr4 |= 1 << 22;
	machine_ioctl(m->vcpu, KVM_SET_SREGS, &s);
	set_entry(m, PAGE, PAGE | 7 | 1ull << 59);
	expect_fault(m, PAGE, 0x25);
	regs = machine_regs(m);
	machine_put64(m, RING_0_STACK - 40, machine_get64(m, RING_0_STACK - 40) + 2); /* behind that MOV */
	expect_fault(m, PAGE, 0x27);
	machine_put64(m, RING_0_STACK - 40, machine_get64(m, RING_0_STACK - 40) + 2);
	expect(m, 2);
	assert_int_equal(regs.rax, 4);
	finish(m);
}

/* The VMM's side. */
GUEST(write_code, ".code64",
      "1: incl 0x210000\n incl 0x211000\n out %eax, $0xf4\n"
      "incl 0x210000\n out %eax, $0xf4\n movl 0x210000, %eax\n out %eax, $0xf4\n jmp 1b");

static bool was_written(struct machine *m, unsigned address)
{
	static uint64_t bits[MEMORY_BYTES / 0x1000 / 64];
	struct kvm_dirty_log log = { .dirty_bitmap = bits };

	machine_ioctl(m->vm, KVM_GET_DIRTY_LOG, &log);
	return bits[address >> 18] >> (address >> 12 & 63) & 1;
}

static void run_to_out(struct machine *m)
{
	assert_int_equal(machine_run(m), KVM_EXIT_IO);
	assert_int_equal(m->run->io.port, PORT);
}

static void set_logging(struct machine *m, bool on)
{
	struct kvm_userspace_memory_region region = { .memory_size = MEMORY_BYTES,
						      .userspace_addr = (uintptr_t)m->memory,
						      .flags = on ? KVM_MEM_LOG_DIRTY_PAGES : 0 };

	machine_ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &region);
}

static void first_writes_are_logged(void **state)
{
	struct machine *m = start(write_code, write_code_end);

	run_to_out(m);
	set_logging(m, true);
	for (unsigned round = 0; round < 3; round++) {
		assert_false(was_written(m, PAGE));
		run_to_out(m);
		assert_true(was_written(m, PAGE));
		run_to_out(m);
		assert_false(was_written(m, PAGE)); /* it was read */
		run_to_out(m);
		assert_true(was_written(m, PAGE + 0x1000));
	}
	set_logging(m, false);
	for (unsigned n = 0; n < 3; n++)
		run_to_out(m);
	set_logging(m, true);
	run_to_out(m);
	assert_true(was_written(m, PAGE));
	finish(m);
}

GUEST(slot_code, ".code64",
      "movq $0x210000, %rdi\n 1: movl (%rdi), %eax\n incl (%rdi)\n out %eax, $0xf4\n jmp 1b");

static uint8_t *second_slot(struct machine *m, uint64_t base, uint8_t *memory, unsigned bytes)
{
	struct kvm_userspace_memory_region region = { .slot = 1, .memory_size = bytes,
						      .guest_phys_addr = base,
						      .userspace_addr = (uintptr_t)memory };

	machine_ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &region);
	return memory;
}

static uint8_t *pages(int flags)
{
	uint8_t *memory = mmap(NULL, 0x10000, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(memory, MAP_FAILED);
	return memory;
}

static void expect_no_memory(struct machine *m, uint64_t address)
{
	assert_int_equal(machine_run(m), KVM_EXIT_MMIO);
	assert_int_equal(m->run->mmio.phys_addr, address);
	assert_false(m->run->mmio.is_write);
	memset(m->run->mmio.data, 0x77, 8);
	assert_int_equal(machine_run(m), KVM_EXIT_MMIO); /* INC */
	memset(m->run->mmio.data, 0x77, 8);
	assert_int_equal(machine_run(m), KVM_EXIT_MMIO);
	assert_true(m->run->mmio.is_write);
	expect(m, 0x77777777);
}

static void slots_that_go_take_their_pages_along(void **state)
{
	struct machine *m = start(slot_code, slot_code_end);
	uint8_t *first = second_slot(m, SECOND_SLOT, pages(MAP_SHARED), 0x10000);
	uint8_t *second;

	first[0] = 50;
	set_entry(m, PAGE, SECOND_SLOT | 7);
	expect(m, 50);
	expect(m, 51);
	second_slot(m, SECOND_SLOT, first, 0);
	expect_no_memory(m, SECOND_SLOT);
	assert_int_equal(first[0], 52);
	second = second_slot(m, SECOND_SLOT, pages(MAP_SHARED), 0x10000);
	second[0] = 60;
	expect(m, 60);
	expect(m, 61);
	second_slot(m, SECOND_SLOT + 0x100000, second, 0x10000); /* moved */
	expect_no_memory(m, SECOND_SLOT);
	assert_int_equal(second[0], 62);
	second_slot(m, SECOND_SLOT, second, 0x10000);
	expect(m, 62);
	assert_int_equal(first[0], 52);
	finish(m);
	munmap(first, 0x10000);
	munmap(second, 0x10000);
}

static void private_memory_is_used_without(void **state)
{
	struct machine *m = start(slot_code, slot_code_end);
	uint8_t *memory = second_slot(m, SECOND_SLOT, pages(MAP_PRIVATE), 0x10000);
	uint64_t shown;

	set_entry(m, PAGE, SECOND_SLOT | 7);
	memory[0] = 70;
	expect(m, 70);
	shown = counter(m, "pages-shown");
	for (uint32_t n = 71; n < 100; n++)
		expect(m, n);
	assert_int_equal(counter(m, "pages-shown"), shown);
	assert_int_equal(memory[0], 100);
	machine_free(m);
	munmap(memory, 0x10000);
}

/* Instructions. */
GUEST(vector_code, ".code64",
      "movq $0x210ffc, %rdi\n movl $3, (%rdi)\n movl $0x40080000, 4(%rdi)\n"
      "fldl (%rdi)\n fadds 0x2000(%rdi)\n fstpl 8(%rdi)\n fildl (%rdi)\n fistpl 0x1000(%rdi)\n"
      "movups (%rdi), %xmm0\n movups %xmm0, 0x3000(%rdi)\n addsd (%rdi), %xmm0\n"
      "vmovups (%rdi), %ymm1\n vmovups %ymm1, 0x5000(%rdi)\n"
      "movq $0x218000, %rsi\n fnstcw (%rsi)\n fldcw (%rsi)\n movaps %xmm0, 0x10(%rsi)\n"
      "movl 0x3000(%rdi), %eax\n out %eax, $0xf4\n movl 0x5004(%rdi), %eax\n out %eax, $0xf4\n"
      "movl 0x1000(%rdi), %eax\n out %eax, $0xf4");

static void vectors_and_x87_go_across_pages(void **state)
{
	struct machine *m = start(vector_code, vector_code_end);

	expect(m, 3);
	expect(m, 0x40080000);
	expect(m, 3);
	finish(m);
}

/* The call reads a page that was not shown yet, with flags in the host's, which are then used for more. */
GUEST(flags_code, ".code64",
      "leaq 1f(%rip), %rdx\n movq %rdx, 0x220000\n movq $0x210000, %rbx\n movl (%rbx), %eax\n"
      "xorl %eax, %eax\n xorl %ecx, %ecx\n cmpl $1, %eax\n callq *0x1000(%rbx)\n hlt\n"
      "1: setb %al\n setz %cl\n leal (%rax, %rcx, 2), %eax\n out %eax, $0xf4");

static void flags_survive_misses(void **state)
{
	struct machine *m = start(flags_code, flags_code_end);

	set_entry(m, 0x220000, 0x211007);
	expect(m, 1);
	finish(m);
}

/* The page before the granule and its first one are neighbours. */
GUEST(stack_code, ".code64",
      "movq $0x10000010, %rsp\n movq $0x10000000, %rbx\n movl $9, %eax\n"
      "pushq %rax\n pushq $10\n pushq (%rsp)\n pushq 8(%rbx)\n popq 0x20(%rbx)\n popq %rcx\n"
      "leaq 2f(%rip), %rdx\n movq %rdx, 0x28(%rbx)\n callq *0x28(%rbx)\n"
      "popq %rsi\n popq %rdi\n addl %ecx, %eax\n addl %esi, %eax\n addl %edi, %eax\n"
      "addl 0x20(%rbx), %eax\n out %eax, $0xf4\n"
      "movl $1000, %ebp\n movq %rbx, %rsp\n 1: pushq %rbp\n decl %ebp\n jnz 1b\n"
      "movq 0xfffffe8, %rax\n out %eax, $0xf4\n hlt\n"
      "2: enter $16, $0\n leave\n ret");

static void stacks_may_cross_granules(void **state)
{
	struct machine *m = start(stack_code, stack_code_end);

	machine_put64(m, TABLES_AT + 0x2000 + 8 * (GRANULE >> 21), PAGE_TABLE | 7);
	machine_put64(m, TABLES_AT + 0x2000 + 8 * ((GRANULE >> 21) - 1), PAGE_TABLE | 7);
	expect(m, 9 + 10 + 10 + 9 + 9);
	expect(m, 998);
	finish(m);
}

/* Ways to go where the host has something, by and by. Nothing is accessed on the way. */
#define DRIFT(name, move, back)                                                                  \
	GUEST(name, ".code64",                                                                   \
	      "movl $20000, %ecx\n movq %rsp, %rbx\n pushq %rbx\n popq %rbx\n movl 8(%rbx), %eax\n" \
	      "1: " move "\n decl %ecx\n jnz 1b\n" back "\n out %eax, $0xf4")

DRIFT(drift_add, "addq $0x7000, %rsp", "movl (%rsp), %eax");
DRIFT(drift_lea, "leaq 0x7000(%rsp), %rsp\n testl $3, %ecx\n jz 2f\n nop\n 2:", "popq %rax");
DRIFT(drift_in_steps, "subq $-128, %rsp\n leaq 0x6f80(%rsp), %rsp", "movl 0x10(%rsp), %eax");
DRIFT(drift_large, "addq $0x20000, %rsp\n subq $0x19000, %rsp", "pushq %rax\n popq %rax");
DRIFT(drift_back, "addq $0x7000, %rsp\n subq $0x7000, %rsp\n addq $0x7000, %rsp", "movl -8(%rsp), %eax");
DRIFT(drift_xchg, "xchgq %rsp, %rbx\n addq $0x7000, %rbx\n xchgq %rbx, %rsp", "movl (%rsp), %eax");
DRIFT(drift_mov, "leaq 0x7000(%rsp), %rdx\n movq %rdx, %rsp", "callq *(%rsp)");
DRIFT(drift_other, "addq $0x7000, %rbx", "movl (%rbx), %eax");
DRIFT(drift_index, "addq $0x7000, %rbp", "movl (%rbx, %rbp), %eax");

DRIFT(drift_pop, "leaq 0x7000(%rbx), %rbx\n movq %rbx, 0x250000\n movq $0x250000, %rsp\n popq %rsp", "movl 8(%rsp), %eax");
DRIFT(drift_leave, "leaq 0x7000(%rbx), %rbx\n movq $0x250000, %rbp\n movq %rbx, (%rbp)\n movq %rbp, %rsp\n leave\n movq %rbp, %rsp", "popq %rax");

DRIFT(drift_segment, "leaq 0x7000(%rbx), %rbx\n movl %fs:0, %eax\n movl %gs:4, %eax\n nop",
      "wrfsbase %rbx\n movl %fs:8, %eax");
DRIFT(drift_segment_2, "leaq 0x7000(%rbx), %rbx", "movl %gs:8, %eax\n wrgsbase %rbx\n movl %gs:8, %eax");

DRIFT(drift_push, "addq $0x7000, %rbx", "pushq (%rbx)");
DRIFT(drift_small, "addq $0x7000, %rbx", "movabs $0x20001000, %rax\n movq $0x85, %r11\n movl (%rax, %r11), %eax");

enum { BAIT_AT = 2 * GRANULE, BAIT_BYTES = GRANULE / 2 }; /* below ASan's memory */

static void drift(const uint8_t *code, const uint8_t *end)
{
	const uint64_t bait_at = BAIT_AT + (uint64_t)vcpu * SHIFT;
	struct machine *m = start(code, end);
	void *bait = mmap((void *)(uintptr_t)bait_at, BAIT_BYTES, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	struct kvm_sregs s = { 0 };

	assert_ptr_equal(bait, bait_at);
	assert_int_equal(machine_run(m), KVM_EXIT_IO);
	assert_int_equal(m->run->io.port, PORT_FAULT);
	machine_ioctl(m->vcpu, KVM_GET_SREGS, &s);
	assert_in_range(s.cr2, BAIT_AT, BAIT_AT + BAIT_BYTES);
	munmap(bait, BAIT_BYTES);
	finish(m);
}

static void nobody_drifts_into_the_host(void **state)
{
	drift(drift_add, drift_add_end);
	drift(drift_lea, drift_lea_end);
	drift(drift_in_steps, drift_in_steps_end);
	drift(drift_large, drift_large_end);
	drift(drift_back, drift_back_end);
	drift(drift_xchg, drift_xchg_end);
	drift(drift_mov, drift_mov_end);
	drift(drift_pop, drift_pop_end);
	drift(drift_leave, drift_leave_end);
	drift(drift_segment, drift_segment_end);
	drift(drift_segment_2, drift_segment_2_end);
	drift(drift_push, drift_push_end);
	drift(drift_small, drift_small_end);
	drift(drift_other, drift_other_end);
	drift(drift_index, drift_index_end);
}

/* Code that ring 3 writes through another address than it runs at. */
GUEST(modify_code, ".code64",
      "movl $100, %ebp\n xorl %ebx, %ebx\n movq $0x220000, %rdi\n"
      "1: callq *%rdi\n addl %eax, %ebx\n incl 0x210001\n decl %ebp\n jnz 1b\n"
      "movl %ebx, %eax\n out %eax, $0xf4");
GUEST(modified_code, ".code64", "movl $1, %eax\n ret");

static void code_is_seen_to_change(void **state)
{
	struct machine *m = start(modify_code, modify_code_end);

	memcpy(m->memory + PAGE, modified_code, (size_t)(modified_code_end - modified_code));
	set_entry(m, 0x220000, PAGE | 7);
	expect(m, 100 * 101 / 2);
	finish(m);
}

static struct kvm *open_engine(struct err *err)
{
	const struct vm_options options = { .translator = 2, .window = 2 };

	return kvm_open_engine(&options, err);
}

int main(void)
{
	int failed;

	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accesses_set_their_bits),
		cmocka_unit_test(invlpg_and_cr3_hide),
		cmocka_unit_test(each_space_has_its_own),
		cmocka_unit_test(faults_are_the_guests),
		cmocka_unit_test(keys_are_obeyed),
		cmocka_unit_test(first_writes_are_logged),
		cmocka_unit_test(slots_that_go_take_their_pages_along),
		cmocka_unit_test(private_memory_is_used_without),
		cmocka_unit_test(vectors_and_x87_go_across_pages),
		cmocka_unit_test(flags_survive_misses),
		cmocka_unit_test(stacks_may_cross_granules),
		cmocka_unit_test(nobody_drifts_into_the_host),
		cmocka_unit_test(code_is_seen_to_change),
	};

	if (port_fault_init())
		return 1;
	sigaction(SIGSEGV, NULL, &handlers[0]);
	sigaction(SIGBUS, NULL, &handlers[1]);
	machine_open_system = open_engine;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	vcpu = 1;
	return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
