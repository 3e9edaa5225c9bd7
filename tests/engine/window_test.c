/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What ring 3 sees of memory that it has in the window (engine/mmu/window.h), which has to be what it
 * would see without: guests of ring3.h. As physical address PAGE holds 1, OTHER 2.
 */
#include "ring3.h"

#include <string.h>
#include <sys/mman.h>

enum {
	GRANULE = 1 << 28, /* of the window's */
	SECOND_SLOT = 0x800000,
	SHIFT = 0x50000000, /* between two vCPUs' */
};

static struct machine *start(const uint8_t *code, const uint8_t *end)
{
	struct machine *m = ring3_start(code, end);

	m->memory[PAGE] = 1;
	m->memory[OTHER] = 2;
	return m;
}

/* Tables. */
GUEST(access_code, ".code64",
      "movl 0x210000, %eax\n out %eax, $0xf4\n movl %eax, 0x211000\n out %eax, $0xf4\n"
      "movq $0x213ffc, %rbx\n movq (%rbx), %rcx\n incl 0x18(%rbx)\n out %eax, $0xf4");

static void accesses_set_their_bits(void **state)
{
	struct machine *m = start(access_code, access_code_end);

	ring3_expect(m, 1);
	assert_int_equal(*ring3_entry(m, 0x210000), 0x210027);
	assert_int_equal(*ring3_entry(m, 0x211000), 0x211007);
	ring3_expect(m, 1);
	assert_int_equal(*ring3_entry(m, 0x211000), 0x211067);
	assert_int_equal(*ring3_entry(m, 0x213000), 0x213007);
	ring3_expect(m, 1);
	assert_int_equal(*ring3_entry(m, 0x213000), 0x213027);
	assert_int_equal(*ring3_entry(m, 0x214000), 0x214067);
	assert_int_equal(m->memory[0x214014], 1);
	ring3_finish(m);
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

	ring3_expect(m, 1);
	ring3_expect(m, 2);
	ring3_expect(m, 1);
	ring3_expect(m, 8);
	assert_int_equal(m->memory[PAGE], 7);
	assert_int_equal(m->memory[OTHER], 8);
	ring3_finish(m);
}

/* In a large page, by INVLPG of another address in it; before, one of another large page. */
GUEST(large_code, ".code64",
      "movl 0x410000, %eax\n movl 0x410000, %eax\n out %eax, $0xf4\n"
      "movl $0x5000, %edi\n int $0x41\n movl 0x410000, %eax\n out %eax, $0xf4\n"
      "movq $0xe7, 0x3010\n movl $0x405000, %edi\n int $0x41\n"
      "movl 0x410000, %eax\n out %eax, $0xf4\n");

static void invlpg_hides_large_pages(void **state)
{
	struct machine *m = start(large_code, large_code_end);

	machine_put64(m, TABLES_AT + 0x2010, 0x2000e7);
	m->memory[PAGE - 0x200000] = 2;
	ring3_expect(m, 1);
	ring3_expect(m, 1);
	ring3_expect(m, 2);
	ring3_finish(m);
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

	ring3_second_space(m, PAGE, OTHER | 7);
	ring3_expect(m, 101 + 202);
	assert_int_equal(m->memory[PAGE], 101);
	assert_int_equal(m->memory[OTHER], 202);
	ring3_finish(m);
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

	ring3_set_entry(m, 0x210000, 0x210005);
	ring3_set_entry(m, 0x211000, 0);
	ring3_set_entry(m, 0x212000, 0);
	ring3_set_entry(m, 0x214000, 0x214005);
	ring3_set_entry(m, 0x215000, 0x215003);
	ring3_expect_fault(m, 0x210000, 7); /* only to be read */
	assert_int_equal(m->memory[PAGE], 1);
	ring3_set_entry(m, 0x210000, 0x210007);
	ring3_expect(m, 1);
	assert_int_equal(m->memory[PAGE], 5);
	ring3_expect_fault(m, 0x211000, 6);
	ring3_set_entry(m, 0x211000, 0x211007);
	ring3_expect(m, 6);
	ring3_expect_fault(m, 0x212000, 4);
	ring3_set_entry(m, 0x212000, 0x230005);
	ring3_expect_fault(m, 0x212000, 7);
	ring3_set_entry(m, 0x212000, 0x230007);
	ring3_expect(m, 2);
	ring3_expect_fault(m, 0x214000, 7); /* across pages: nothing is written */
	assert_int_equal(machine_get64(m, 0x213ff8), 0);
	ring3_set_entry(m, 0x214000, 0x214007);
	ring3_expect(m, 0x11111111);
	ring3_expect_fault(m, 0x215000, 5); /* not ring 3's */
	ring3_finish(m);
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
	ring3_set_entry(m, PAGE, PAGE | 7 | 1ull << 59);
	ring3_expect_fault(m, PAGE, 0x25);
	regs = machine_regs(m);
	ring3_set_frame(m, FRAME_RIP, ring3_frame(m, FRAME_RIP) + 2); /* behind that MOV */
	ring3_expect_fault(m, PAGE, 0x27);
	ring3_set_frame(m, FRAME_RIP, ring3_frame(m, FRAME_RIP) + 2);
	ring3_expect(m, 2);
	assert_int_equal(regs.rax, 4);
	ring3_finish(m);
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
	ring3_finish(m);
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
	ring3_expect(m, 0x77777777);
}

static void slots_that_go_take_their_pages_along(void **state)
{
	struct machine *m = start(slot_code, slot_code_end);
	uint8_t *first = second_slot(m, SECOND_SLOT, pages(MAP_SHARED), 0x10000);
	uint8_t *second;

	first[0] = 50;
	ring3_set_entry(m, PAGE, SECOND_SLOT | 7);
	ring3_expect(m, 50);
	ring3_expect(m, 51);
	second_slot(m, SECOND_SLOT, first, 0);
	expect_no_memory(m, SECOND_SLOT);
	assert_int_equal(first[0], 52);
	second = second_slot(m, SECOND_SLOT, pages(MAP_SHARED), 0x10000);
	second[0] = 60;
	ring3_expect(m, 60);
	ring3_expect(m, 61);
	second_slot(m, SECOND_SLOT + 0x100000, second, 0x10000); /* moved */
	expect_no_memory(m, SECOND_SLOT);
	assert_int_equal(second[0], 62);
	second_slot(m, SECOND_SLOT, second, 0x10000);
	ring3_expect(m, 62);
	assert_int_equal(first[0], 52);
	ring3_finish(m);
	munmap(first, 0x10000);
	munmap(second, 0x10000);
}

static void private_memory_is_used_without(void **state)
{
	struct machine *m = start(slot_code, slot_code_end);
	uint8_t *memory = second_slot(m, SECOND_SLOT, pages(MAP_PRIVATE), 0x10000);
	uint64_t shown;

	ring3_set_entry(m, PAGE, SECOND_SLOT | 7);
	memory[0] = 70;
	ring3_expect(m, 70);
	shown = ring3_counter(m, "pages-shown");
	for (uint32_t n = 71; n < 100; n++)
		ring3_expect(m, n);
	assert_int_equal(ring3_counter(m, "pages-shown"), shown);
	assert_int_equal(memory[0], 100);
	ring3_free(m);
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

	ring3_expect(m, 3);
	ring3_expect(m, 0x40080000);
	ring3_expect(m, 3);
	ring3_finish(m);
}

/* The call reads a page that was not shown yet, with flags in the host's, which are then used for more. */
GUEST(flags_code, ".code64",
      "leaq 1f(%rip), %rdx\n movq %rdx, 0x220000\n movq $0x210000, %rbx\n movl (%rbx), %eax\n"
      "xorl %eax, %eax\n xorl %ecx, %ecx\n cmpl $1, %eax\n callq *0x1000(%rbx)\n hlt\n"
      "1: setb %al\n setz %cl\n leal (%rax, %rcx, 2), %eax\n out %eax, $0xf4");

static void flags_survive_misses(void **state)
{
	struct machine *m = start(flags_code, flags_code_end);

	ring3_set_entry(m, 0x220000, 0x211007);
	ring3_expect(m, 1);
	ring3_finish(m);
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
	ring3_expect(m, 9 + 10 + 10 + 9 + 9);
	ring3_expect(m, 998);
	ring3_finish(m);
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
/* Accesses that touch nothing prove nothing: masked ones do in the last turn only. */
#define LAST_TURN "vmovd %ecx, %xmm1\n vpcmpeqd %xmm2, %xmm2, %xmm2\n vpabsd %xmm2, %xmm2\n vpcmpeqd %xmm2, %xmm1, %xmm1\n"
DRIFT(drift_masked, LAST_TURN "vmaskmovps (%rsp), %xmm1, %xmm0\n addq $0x7000, %rsp", "nop");
DRIFT(drift_masked_other, LAST_TURN "vpmaskmovd %xmm0, %xmm1, 8(%rbx)\n addq $0x7000, %rbx", "nop");
DRIFT(drift_prefetch, "prefetcht0 (%rsp)\n addq $0x7000, %rsp", "popq %rax");
DRIFT(drift_nop, "nopl (%rsp)\n addq $0x7000, %rsp", "popq %rax");
DRIFT(drift_masked_512, LAST_TURN "vpmovd2m %zmm1, %k1\n vmovdqu32 (%rsp), %zmm0{%k1}\n addq $0x7000, %rsp", "nop");
DRIFT(drift_masked_512_other, LAST_TURN "vpmovd2m %zmm1, %k1\n vmovdqu8 %zmm0, (%rbx){%k1}\n addq $0x7000, %rbx", "nop");
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

/* What the host has where the guest's `address` would be. */
static void *bait_at(uint64_t address, size_t bytes)
{
	const uint64_t at = address + (uint64_t)ring3_vcpu * SHIFT;
	void *bait = mmap((void *)(uintptr_t)at, bytes, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

	assert_ptr_equal(bait, at);
	return bait;
}

static void drift(const uint8_t *code, const uint8_t *end)
{
	struct machine *m = start(code, end);
	void *bait = bait_at(BAIT_AT, BAIT_BYTES);

	assert_in_range(ring3_run_to_fault(m), BAIT_AT, BAIT_AT + BAIT_BYTES);
	munmap(bait, BAIT_BYTES);
	ring3_finish(m);
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
	drift(drift_masked, drift_masked_end);
	drift(drift_prefetch, drift_prefetch_end);
	drift(drift_masked_other, drift_masked_other_end);
	drift(drift_nop, drift_nop_end);
	if (ring3_has_avx512()) {
		drift(drift_masked_512, drift_masked_512_end);
		drift(drift_masked_512_other, drift_masked_512_other_end);
	}
	drift(drift_other, drift_other_end);
	drift(drift_index, drift_index_end);
}

/* The guest has memory everywhere, but not all of its addresses are free here. */
enum { FAR_BAIT_AT = BAIT_AT + BAIT_BYTES / 2, LOOP_STEP = 0x7000, LARGE_PAGE = 2 << 20,
       LOOP_TURNS = (BAIT_AT + BAIT_BYTES - GRANULE) / LOOP_STEP - 1 };

#define LOOP(name, turn)                                                                             \
	GUEST(name, ".code64",                                                                       \
	      "movl $0x10000000, %ebx\n leal 0x4000(%rbx), %esi\n xorl %edx, %edx\n movl $14042, %ecx\n" \
	      "1: " turn "\n decl %ecx\n jnz 1b\n out %eax, $0xf4")

LOOP(loop_add, "addl (%rbx), %eax\n addq $0x7000, %rbx");
LOOP(loop_lea, "addl 8(%rbx), %eax\n leaq 0x7000(%rbx), %rbx");
LOOP(loop_accumulator, "movq %rbx, %rax\n addq $0x7000, %rax\n addl -0x7000(%rax), %edx\n movq %rax, %rbx\n movl %edx, %eax");
LOOP(loop_write, "movl $1, 0x10(%rbx)\n addl 0x10(%rbx), %eax\n addq $0x7000, %rbx");
LOOP(loop_stops, "addl (%rbx), %eax\n testl $0xff, %ecx\n jz 2f\n 3: addq $0x7000, %rbx\n jmp 4f\n 2: nop\n jmp 3b\n 4:");
LOOP(loop_two, "movl (%rbx), %edx\n addl 0x2000(%rsi), %eax\n addq $0x7000, %rbx\n addq $0x7000, %rsi");

static void map_everywhere(struct machine *m)
{
	for (uint64_t at = GRANULE; at < BAIT_AT + 2 * BAIT_BYTES; at += LARGE_PAGE)
		machine_put64(m, TABLES_AT + 0x2000 + 8 * (at / LARGE_PAGE), LARGE_PAGE | 0x87);
}

static void loop(const uint8_t *code, const uint8_t *end)
{
	struct machine *m = start(code, end);
	void *bait = bait_at(FAR_BAIT_AT, BAIT_BYTES / 2);

	assert_int_equal(LOOP_TURNS, 14042);
	for (uint64_t page = LARGE_PAGE; page < 2 * LARGE_PAGE; page += PAGE_BYTES)
		for (unsigned n = 0; n < 4; n++)
			machine_put64(m, page + 8 * n, 1);
	map_everywhere(m);
	ring3_expect(m, LOOP_TURNS);
	for (unsigned at = 0; at < BAIT_BYTES / 2; at += PAGE_BYTES)
		for (unsigned n = 0; n < 4; n++)
			assert_int_equal(((uint64_t *)((uint8_t *)bait + at))[n], 0);
	munmap(bait, BAIT_BYTES / 2);
	ring3_finish(m);
}

static void loops_stay_with_the_guest(void **state)
{
	loop(loop_add, loop_add_end);
	loop(loop_lea, loop_lea_end);
	loop(loop_accumulator, loop_accumulator_end);
	loop(loop_write, loop_write_end);
	loop(loop_stops, loop_stops_end);
	loop(loop_two, loop_two_end);
}

/* Loops whose registers are elsewhere each turn: the host has 0x11 there. */
static void expect_none_of_it(const struct program *p, uint64_t at, unsigned written)
{
	struct machine *m = start(p->code, p->end);
	uint8_t *bait = bait_at(at, BAIT_BYTES / 4);

	memset(bait + written, 0x11, 0x20000);
	machine_put64(m, TABLES_AT + 0x1000 + 8 * 4, (TABLES_AT + 0x2000) | 7); /* from 4 GiB on as from 0 */
	map_everywhere(m);
	ring3_expect(m, 0);
	munmap(bait, BAIT_BYTES / 4);
	ring3_free(m); /* ASan's memory may be where the window would be */
}

GUEST(cut_by_loop, ".code64",
      "movabs $0x120180000, %rbx\n movl $300, %ebp\n xorl %eax, %eax\n leaq 1f(%rip), %rdi\n"
      "0: movq %rbx, %rcx\n movl $3, %esi\n jmp *%rdi\n"
      "1: addl (%rcx), %eax\n decl %esi\n addr32 loopne 1b\n decl %ebp\n jnz 0b\n out %eax, $0xf4");
GUEST(made_from_rsp, ".code64",
      "movq $0x10000000, %rbx\n movl $5, %ecx\n xorl %eax, %eax\n movq $0x1eff0000, %rsp\n"
      "leaq 1f(%rip), %rdi\n jmp *%rdi\n 1: addq $0x7fff00, %rbx\n addl 0xfffff0(%rbx), %eax\n"
      "movl 0x1000000(%rsp), %edx\n leaq 0x1000000(%rsp), %rsp\n leaq 0x1000000(%rsp), %rbx\n"
      "leaq -0x1000000(%rsp), %rsp\n decl %ecx\n jnz 1b\n out %eax, $0xf4");

static void loops_are_looked_at_in_each_turn(void **state)
{
	expect_none_of_it(CODE(cut_by_loop), BAIT_AT, 0x170000);
	expect_none_of_it(CODE(made_from_rsp), BAIT_AT + (32 << 20), 0x7e0000);
}

/* FS' base and what is near the code are accessed without a look. */
GUEST(segment_code, ".code64", "1: movl %fs:8, %eax\n out %eax, $0xf4\n jmp 1b");

static void segments_do_not_lead_into_the_host(void **state)
{
	struct machine *m = start(segment_code, segment_code_end);
	void *bait = bait_at(BAIT_AT, BAIT_BYTES);
	struct kvm_sregs s = { 0 };

	machine_put64(m, PAGE + 8, 7);
	ring3_expect(m, 7);
	machine_ioctl(m->vcpu, KVM_GET_SREGS, &s);
	s.fs.base = BAIT_AT;
	machine_ioctl(m->vcpu, KVM_SET_SREGS, &s);
	assert_int_equal(ring3_run_to_fault(m), BAIT_AT + 8);
	munmap(bait, BAIT_BYTES);
	ring3_finish(m);
}

enum { BESIDE_CODE = GRANULE / 2 };

GUEST(beside_code, ".code64", "movl 0x8000000, %eax\n out %eax, $0xf4");

static void granules_with_the_host_are_no_window(void **state)
{
	void *bait = bait_at(BESIDE_CODE, PAGE_BYTES);
	struct machine *m = start(beside_code, beside_code_end);

	assert_int_equal(ring3_run_to_fault(m), BESIDE_CODE);
	assert_int_equal(ring3_counter(m, "pages-shown"), 0);
	munmap(bait, PAGE_BYTES);
	ring3_free(m);
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

	ring3_put_code(m, PAGE, modified_code, modified_code_end);
	ring3_set_entry(m, 0x220000, PAGE | 7);
	ring3_expect(m, 100 * 101 / 2);
	ring3_finish(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accesses_set_their_bits),
		cmocka_unit_test(invlpg_and_cr3_hide),
		cmocka_unit_test(invlpg_hides_large_pages),
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
		cmocka_unit_test(loops_stay_with_the_guest),
		cmocka_unit_test(loops_are_looked_at_in_each_turn),
		cmocka_unit_test(segments_do_not_lead_into_the_host),
		cmocka_unit_test(granules_with_the_host_are_no_window),
		cmocka_unit_test(code_is_seen_to_change),
	};

	return ring3_run(tests, ARRAY_LEN(tests));
}
