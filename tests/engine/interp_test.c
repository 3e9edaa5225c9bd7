/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The interpreter's loop: code that changes, pages that move, instructions at edges. */
#include "machine.h"

#include "engine/interp/flags.h"
#include "vm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Runs to `out %eax, $0xf4` and checks what it says. */
static void expect(enum machine_mode mode, const uint8_t *code, const uint8_t *end, uint32_t value)
{
	struct machine *m = machine_new();

	machine_start(m, mode, code, end);
	machine_expect_out(m, 0xf4, 4, value);
	machine_free(m);
}
#define EXPECT(mode, name, value) expect(mode, name, name##_end, value)

/* The store and what it changes are neighbours in one block. */
GUEST(next_code, ".code64",
      "movl $1, %eax\n leaq 1f(%rip), %rbx\n movl $5, %ecx\n"
      "movb %cl, 1(%rbx)\n 1: movl $1, %eax\n outl %eax, $0xf4\n hlt");

static void a_store_into_the_next_instruction_counts(void **state)
{
	EXPECT(LONG_64, next_code, 5);
}

GUEST(loop_code, ".code32",
      "call 1f\n 1: popl %ebx\n xorl %edx, %edx\n movl $100, %ecx\n"
      "2: incb 3f-1b+1(%ebx)\n 3: movl $0, %eax\n addl %eax, %edx\n loop 2b\n"
      "movl %edx, %eax\n outl %eax, $0xf4\n hlt");

static void a_loop_may_patch_itself_each_time(void **state)
{
	EXPECT(PROTECTED_32, loop_code, 5050);
}

GUEST(string_code, ".code64",
      "leaq 1f(%rip), %rdi\n movl $0x90, %eax\n movl $6, %ecx\n rep stosb\n"
      "1: ud2\n ud2\n ud2\n movl $7, %eax\n outl %eax, $0xf4\n hlt");

static void a_string_store_over_what_follows_counts(void **state)
{
	EXPECT(LONG_64, string_code, 7);
}

/* `movl $imm, %eax; ret` put so that the immediate lies in the next page, and then changed. */
GUEST(crossing_code, ".code64",
      "movl $0x20ffe, %ebx\n movl $0x000001b8, (%rbx)\n movw $0xc300, 4(%rbx)\n"
      "callq *%rbx\n movl %eax, %edx\n movb $2, 2(%rbx)\n callq *%rbx\n addl %eax, %edx\n"
      "movb $3, 1(%rbx)\n callq *%rbx\n addl %edx, %eax\n outl %eax, $0xf4\n hlt");

static void an_instruction_across_pages_depends_on_both(void **state)
{
	EXPECT(LONG_64, crossing_code, 1 + 0x201 + 0x203);
}

/* `btl $0, %eax; ret`: what 0f ba is, the first byte of the next page says. */
GUEST(group_code, ".code64",
      "movl $0x20ffe, %ebx\n movl $0x00e0ba0f, (%rbx)\n movb $0xc3, 4(%rbx)\n"
      "movl $3, %eax\n callq *%rbx\n adcl $5, %eax\n outl %eax, $0xf4\n hlt");

static void a_group_may_be_told_by_the_next_page(void **state)
{
	EXPECT(LONG_64, group_code, 9);
}

/* Two pages with a function each; one linear page shows first one, then the other. */
GUEST(remap_code, ".code64",
      "movl $0x0000002a, 0x201001\n movb $0xb8, 0x201000\n movb $0xc3, 0x201005\n"
      "movl $0x00000100, 0x202001\n movb $0xb8, 0x202000\n movb $0xc3, 0x202005\n"
      "movl $0x203000, %ebx\n movl $3, %ecx\n xorl %edx, %edx\n"
      "1: movl $0x201007, 0x4018\n invlpg (%rbx)\n callq *%rbx\n addl %eax, %edx\n"
      "movl $0x202007, 0x4018\n invlpg (%rbx)\n callq *%rbx\n addl %eax, %edx\n"
      "loop 1b\n movl %edx, %eax\n outl %eax, $0xf4\n hlt");

static void a_remapped_page_runs_its_new_code(void **state)
{
	EXPECT(LONG_64, remap_code, 3 * (0x2a + 0x100));
}

/* A function is rewritten by its own name, by an alias, and with many other pages in between. */
GUEST(alias_code, ".code64",
      "movl $0x201007, 0x4018\n movb $0xb8, 0x201000\n movb $0xc3, 0x201005\n"
      "movl $0x201000, %ebx\n xorl %edx, %edx\n movl $40, %ecx\n"
      "1: movq %cr3, %rax\n movq %rax, %cr3\n"
      "movl %ecx, 0x201001\n movl $0x204000, %edi\n"
      "2: movb $1, (%rdi)\n addl $0x1000, %edi\n cmpl $0x210000, %edi\n jb 2b\n"
      "callq *%rbx\n addl %eax, %edx\n"
      "leal 1000(%rcx), %eax\n movl %eax, 0x203001\n callq *%rbx\n addl %eax, %edx\n"
      "leal 2000(%rcx), %eax\n movl %eax, 0x201001\n callq *%rbx\n addl %eax, %edx\n"
      "leal 3000(%rcx), %eax\n movl %eax, 0x203001\n callq *%rbx\n addl %eax, %edx\n"
      "decl %ecx\n jnz 1b\n movl %edx, %eax\n outl %eax, $0xf4\n hlt");

static void code_may_be_rewritten_by_any_name(void **state)
{
	EXPECT(LONG_64, alias_code, 4 * 820 + 40 * 6000);
}

/* Six names for the page, all of which have let it be written before its code first ran. */
GUEST(names_code, ".code64",
      "movl $0x201000, %ebx\n movb $0xb8, (%rbx)\n movb $0xc3, 5(%rbx)\n xorl %edx, %edx\n"
      "movl $0x4018, %esi\n movl $0x203000, %edi\n"
      "1: movl $0x201007, (%rsi)\n addl $8, %esi\n movb $0xc3, 5(%rdi)\n addl $0x1000, %edi\n"
      "cmpl $0x209000, %edi\n jb 1b\n"
      "2: callq *%rbx\n subl $0x1000, %edi\n movl %edi, 1(%rdi)\n callq *%rbx\n"
      "cmpl %eax, %edi\n jne 3f\n incl %edx\n 3: cmpl $0x203000, %edi\n ja 2b\n"
      "movl %edx, %eax\n outl %eax, $0xf4\n hlt");

static void many_names_of_a_page_are_all_known(void **state)
{
	EXPECT(LONG_64, names_code, 6);
}

/* A device writes the code of a page that has run, and no translation is flushed but one. */
GUEST(device_code, ".code64",
      "movl $0x0000002a, 0x201001\n movb $0xb8, 0x201000\n movb $0xc3, 0x201005\n"
      "movl $0x201000, %ebx\n callq *%rbx\n outl %eax, $0xf4\n"
      "movq %cr3, %rax\n movq %rax, %cr3\n callq *%rbx\n outl %eax, $0xf4\n hlt");

static void what_a_device_wrote_runs_after_a_flush(void **state)
{
	struct machine *m = machine_new();

	machine_start(m, LONG_64, device_code, device_code_end);
	machine_expect_out(m, 0xf4, 4, 0x2a);
	m->memory[0x201001] = 0x63;
	machine_expect_out(m, 0xf4, 4, 0x63);
	machine_free(m);
}

GUEST(unpaged_device_code, ".code32",
      "movl $0xc300002a, %eax\n movl $2, %ecx\n 1: call 2f\n outl %eax, $0xf4\n loop 1b\n hlt\n"
      ".balign 16\n 2: movl $0x11, %eax\n ret");

static void without_paging_no_flush_is_needed(void **state)
{
	struct machine *m = machine_new();
	size_t function = (size_t)(unpaged_device_code_end - unpaged_device_code) - 6;

	machine_start(m, PROTECTED_32, unpaged_device_code, unpaged_device_code_end);
	machine_expect_out(m, 0xf4, 4, 0x11);
	m->memory[CODE_AT + function + 1] = 0x22;
	machine_expect_out(m, 0xf4, 4, 0x22);
	machine_free(m);
}

/* Jumps of 16 bits go around the end of the segment: from FE00 to 600 and back, 200 times. */
GUEST(around_code, ".code16", "movw $200, %cx\n xorw %ax, %ax\n movw $0x600, %bx\n jmp *%bx");

static void jumps_go_around_the_segment(void **state)
{
	static const uint8_t high[] = { 0x40, 0xe9, 0xfc, 0x07 }; /* inc %ax; jmp 0x600 */
	static const uint8_t low[] = { 0x49, 0x74, 0x03, 0xe9, 0xfa, 0xf7, /* dec %cx; jz; jmp */
				       0xe7, 0xf4 };                       /* out %ax, $0xf4 */
	struct machine *m = machine_new();

	memcpy(m->memory + 0xfe00, high, sizeof(high));
	memcpy(m->memory + 0x600, low, sizeof(low));
	machine_start(m, REAL_16, around_code, around_code_end);
	machine_expect_out(m, 0xf4, 2, 199);
	machine_free(m);
}

/* Data beside code, written so often that nobody is told any more; then the code, code that had not
 * run yet, and code by a device. ADD EDX, imm8; RET is 83 C2 imm C3. */
GUEST(beside_code, ".code32",
      "movl $200, %ecx\n xorl %edx, %edx\n"
      "1: incl 0x8000 + 4f - beside_code\n call 2f\n loop 1b\n movl %edx, %eax\n outl %eax, $0xf4\n"
      "movb $0x22, 0x8002 + 2f - beside_code\n call 2f\n"
      "movl $0xc333c283, 0x8000 + 3f - beside_code\n call 3f\n movl %edx, %eax\n outl %eax, $0xf4\n"
      "call 3f\n movl %edx, %eax\n outl %eax, $0xf4\n hlt\n"
      "4: .long 0\n 2: addl $0x11, %edx\n ret\n 3: .long 0");

static void code_beside_data_may_change(void **state)
{
	struct machine *m = machine_new();
	size_t last = CODE_AT + (size_t)(beside_code_end - beside_code) - 4;

	machine_start(m, PROTECTED_32, beside_code, beside_code_end);
	machine_expect_out(m, 0xf4, 4, 200 * 0x11);
	machine_expect_out(m, 0xf4, 4, 200 * 0x11 + 0x22 + 0x33);
	m->memory[last + 2] = 0x44;
	m->memory[last - 8] = 0x55; /* data */
	machine_expect_out(m, 0xf4, 4, 200 * 0x11 + 0x22 + 0x33 + 0x44);
	machine_free(m);
}

/* Real mode: vector 13 or 6 is reached with the address of the culprit on the stack. */
static void expect_vector(const uint8_t *code, const uint8_t *end, unsigned vector, uint16_t ip)
{
	static const uint8_t handler[] = { 0xe7, 0xf4, 0xf4 }; /* out %ax, $0xf4; hlt */
	struct machine *m = machine_new();
	struct kvm_regs regs;
	uint16_t pushed;

	machine_start(m, REAL_16, code, end);
	for (unsigned n = 0; n < 32; n++) {
		uint16_t entry[2] = { (uint16_t)(0x7000 + 16 * n), 0 };

		memcpy(m->memory + 4 * n, entry, 4);
		m->memory[0x7000 + 16 * n] = 0xb8; /* mov $n, %ax */
		m->memory[0x7000 + 16 * n + 1] = (uint8_t)n;
		memcpy(m->memory + 0x7003 + 16 * n, handler, sizeof(handler));
	}
	machine_expect_out(m, 0xf4, 2, vector);
	regs = machine_regs(m);
	memcpy(&pushed, m->memory + (uint16_t)regs.rsp, sizeof(pushed));
	assert_int_equal(pushed, ip);
	machine_free(m);
}
#define EXPECT_VECTOR(name, vector, ip) expect_vector(name, name##_end, vector, ip)

GUEST(long_insn, ".code16",
      "nop\n .byte 0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x90");
GUEST(longest_insn, ".code16",
      ".byte 0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x90\n ud2");
GUEST(lock_insn, ".code16", "lock addw %ax, (%bx)\n .byte 0xf0, 0x01, 0xc0");
GUEST(vex_insn, ".code16", ".byte 0xc4, 0xe2, 0x78, 0xf2, 0xc0");
GUEST(limit_insn, ".code16", "movw $0x8000, %bx\n movw $0x1234, 0x7fff(%bx)");
GUEST(divide_insn, ".code16", "xorw %cx, %cx\n divw %cx");

static void encodings_at_the_edge_fault(void **state)
{
	EXPECT_VECTOR(long_insn, 13, CODE_AT + 1);
	EXPECT_VECTOR(longest_insn, 6, CODE_AT + 15);
	EXPECT_VECTOR(lock_insn, 6, CODE_AT + 3);
	EXPECT_VECTOR(vex_insn, 6, CODE_AT);
	EXPECT_VECTOR(limit_insn, 13, CODE_AT + 3);
	EXPECT_VECTOR(divide_insn, 0, CODE_AT + 2);
}

/* The instruction at FFFE is 3 bytes long: its last one is beyond the limit. */
GUEST(end_insn, ".code16",
      "movw $0xfffe, %bx\n movw $0xb890, -1(%bx)\n jmp *%bx");

static void code_beyond_the_limit_faults(void **state)
{
	EXPECT_VECTOR(end_insn, 13, 0xfffe);
}

/* An overlapping MOVS repeats a pattern; nothing happens with a count of 0; DF counts down. */
GUEST(movs_code, ".code64",
      "movl $0x20000, %esi\n movl $0x20004, %edi\n movl $0x04030201, (%rsi)\n"
      "movl $100, %ecx\n rep movsb\n movl 0x20061, %eax\n outl %eax, $0xf4\n"
      "movl $0x20000, %edi\n movl $-1, %eax\n rep stosl\n"
      "movl 0x20000, %eax\n outl %eax, $0xf4\n"
      "std\n movl $0x20010, %esi\n movl $0x20020, %edi\n movl $0x55, 0x20010\n"
      "movl $3, %ecx\n rep movsl\n cld\n movl 0x20020, %eax\n subl %esi, %eax\n"
      "outl %eax, $0xf4\n hlt");

static void string_instructions_repeat(void **state)
{
	struct machine *m = machine_new();

	machine_start(m, LONG_64, movs_code, movs_code_end);
	machine_expect_out(m, 0xf4, 4, 0x01040302);
	machine_expect_out(m, 0xf4, 4, 0x04030201);
	machine_expect_out(m, 0xf4, 4, 0x55 - 0x20004u);
	machine_free(m);
}

/* A fault in the middle of REP STOS leaves registers at the element that faults. */
GUEST(stos_fault_code, ".code64",
      "movl $0x2ffff0, %edi\n movl $32, %ecx\n movl $0, 0x4800\n movq %cr3, %rax\n"
      "movq %rax, %cr3\n rep stosb\n hlt");
GUEST(fault_handler, ".code64", "movl %ecx, %eax\n outl %eax, $0xf4\n movl %edi, %eax\n outl %eax, $0xf4\n hlt");

static void a_string_faults_between_elements(void **state)
{
	struct machine *m = machine_new();

	machine_start(m, LONG_64, stos_fault_code, stos_fault_code_end);
	memcpy(m->memory + 0x9000, fault_handler, (size_t)(fault_handler_end - fault_handler));
	machine_set_gate(m, 14, 0x9000);
	machine_expect_out(m, 0xf4, 4, 16);
	machine_expect_out(m, 0xf4, 4, 0x300000);
	machine_free(m);
}

/* In a segment that is not flat: 8 bytes around the index's end at 64 KiB, then words up to the
 * limit, where the last one would cross it. */
GUEST(real_strings, ".code16",
      "movw $0x2000, %ax\n movw %ax, %es\n movw $0xfffc, %di\n movw $8, %cx\n movb $0x11, %al\n"
      "rep stosb\n movb $0x22, %es:4\n xorw %si, %si\n movw $9, %cx\n xorw %di, %di\n"
      "movw %es, %ax\n movw %ax, %ds\n movw $0xfffc, %si\n movw $0x100, %di\n rep movsb\n"
      "movw $0x101, %di\n movw $100, %cx\n movb $0x11, %al\n repe scasb\n"
      "movw %di, %ax\n outw %ax, $0xf4\n"
      "movw $0xfff1, %di\n movw $10, %cx\n rep stosw\n hlt");

static void strings_keep_to_their_segment(void **state)
{
	static const uint8_t report[] = { 0x89, 0xf8, 0xe7, 0xf4, 0x89, 0xc8, 0xe7, 0xf4 };
	struct machine *m = machine_new();
	uint16_t handler[2] = { 0x7000, 0 };

	machine_start(m, REAL_16, real_strings, real_strings_end);
	memcpy(m->memory + 4 * 13, handler, sizeof(handler));
	memcpy(m->memory + 0x7000, report, sizeof(report)); /* DI, CX */
	machine_expect_out(m, 0xf4, 2, 0x109);
	machine_expect_out(m, 0xf4, 2, 0xffff);
	machine_expect_out(m, 0xf4, 2, 3);
	machine_free(m);
}

/* As long as they are in one page, they come at once. */
GUEST(real_ins, ".code16",
      "movw $0x2000, %ax\n movw %ax, %es\n movw $0x1f0, %di\n movw $0x1f0, %dx\n"
      "movw $256, %cx\n rep insw\n movw %es:0x3ee, %ax\n outw %ax, $0xf4\n hlt");

static void ports_are_read_in_runs(void **state)
{
	struct machine *m = machine_new();
	uint8_t *data;

	machine_start(m, REAL_16, real_ins, real_ins_end);
	data = (uint8_t *)m->run;
	assert_int_equal(machine_run(m), KVM_EXIT_IO);
	assert_int_equal(m->run->io.count, 256);
	data += m->run->io.data_offset;
	memset(data, 0, 510);
	data[510] = 0x34;
	data[511] = 0x12;
	machine_expect_out(m, 0xf4, 2, 0x1234);
	machine_free(m);
}

/* A breakpoint on REP MOVS and one on what it writes in its midst: the first is met once, RF being
 * set between elements; what the handler finds pushed tells so. */
GUEST(rep_break_code, ".code64",
      "leaq 1f(%rip), %rax\n movq %rax, %dr0\n movl $0x20023, %eax\n movq %rax, %dr1\n"
      "movl $0x100405, %eax\n movq %rax, %dr7\n"
      "movl $0x20000, %esi\n movl $0x20020, %edi\n movl $8, %ecx\n"
      "1: rep movsb\n nop\n movl %r8d, %eax\n outl %eax, $0xf4\n movl %r9d, %eax\n outl %eax, $0xf4\n hlt");
GUEST(rep_break_handler, ".code64",
      "incl %r8d\n btl $16, 16(%rsp)\n adcl $0, %r9d\n btsl $16, 16(%rsp)\n iretq");

static void a_breakpoint_on_a_repeated_string_is_met_once(void **state)
{
	struct machine *m = machine_new();

	machine_start(m, LONG_64, rep_break_code, rep_break_code_end);
	memcpy(m->memory + 0x9000, rep_break_handler,
	       (size_t)(rep_break_handler_end - rep_break_handler));
	machine_set_gate(m, 1, 0x9000);
	machine_expect_out(m, 0xf4, 4, 2);
	machine_expect_out(m, 0xf4, 4, 1);
	machine_free(m);
}

/* Vector instructions are interpreted while SIMD exceptions are unmasked; that needs no translation
 * each time. */
GUEST(unmasked_code, ".code64",
      "movq %cr4, %rax\n orl $0x600, %eax\n movq %rax, %cr4\n movl $0x1d80, 0x20000\n"
      "ldmxcsr 0x20000\n movl $50000, %ecx\n xorps %xmm0, %xmm0\n movl $1, %eax\n cvtsi2sd %eax, %xmm1\n"
      "1: addsd %xmm1, %xmm0\n decl %ecx\n jnz 1b\n cvttsd2si %xmm0, %eax\n outl %eax, $0xf4\n hlt");

static struct kvm *open_translator(struct err *err)
{
	return kvm_open_engine(&(struct vm_options){ .translator = 1 }, err);
}

static struct machine *machine_with_translator(void)
{
	struct kvm *(*usual)(struct err *err) = machine_open_system;
	struct machine *m;

	machine_open_system = open_translator;
	m = machine_new();
	machine_open_system = usual;
	return m;
}

/* `otherwise` where nothing is translated. */
static uint64_t counter(const struct machine *m, const char *name, uint64_t otherwise)
{
	struct vm_counter rows[200];
	size_t count = kvm_counters(m->vcpu, rows, ARRAY_LEN(rows));

	for (size_t n = 0; n < MIN(count, ARRAY_LEN(rows)); n++)
		if (!strcmp(rows[n].name, name))
			return rows[n].value;
	return otherwise;
}

static void unmasked_exceptions_do_not_translate_again(void **state)
{
	struct machine *m = machine_with_translator();

	machine_start(m, LONG_64, unmasked_code, unmasked_code_end);
	machine_expect_out(m, 0xf4, 4, 50000);
	assert_in_range(counter(m, "blocks-translated", 0), 0, 20);
	machine_free(m);
}

/* 393,215 jumps of a block each, more than are kept, between runs of a loop that is translated. */
GUEST(jumps_code, ".code64",
      "movl $0x100000, %edi\n movl $0x06eb, %eax\n movl $0x5ffff, %ecx\n rep stosq\n"
      "movb $0xc3, (%rdi)\n movl $2, %esi\n movl $0x100000, %ebx\n xorl %edx, %edx\n"
      "1: callq *%rbx\n movl $100, %ecx\n 2: incl %edx\n call 3f\n loop 2b\n movl %edx, %eax\n"
      "outl %eax, $0xf4\n decl %esi\n jnz 1b\n hlt\n 3: incl %edx\n ret");

static void translations_outlive_decoded_blocks(void **state)
{
	struct machine *m = machine_with_translator();
	uint64_t translated;

	machine_start(m, LONG_64, jumps_code, jumps_code_end);
	machine_expect_out(m, 0xf4, 4, 200);
	translated = counter(m, "blocks-translated", 1);
	machine_expect_out(m, 0xf4, 4, 400);
	if (counter(m, "blocks-translated", 0))
		assert_in_range(counter(m, "drops", 0), 1, 100);
	assert_int_equal(counter(m, "blocks-translated", 1), translated);
	machine_free(m);
}

/* Locked accesses across pages are still done. */
GUEST(locked_code, ".code64",
      "movl $0x20fff, %ebx\n movw $0x1ff, (%rbx)\n lock addw $1, (%rbx)\n"
      "movzwl (%rbx), %eax\n outl %eax, $0xf4\n hlt");

static void a_locked_access_across_pages_is_done(void **state)
{
	EXPECT(LONG_64, locked_code, 0x200);
}

/* 100 pages with key 1. What the key allows changes between accesses; those it denies are counted. */
GUEST(keys_code, ".code64",
      "movq %cr4, %rax\n btsl $22, %eax\n movq %rax, %cr4\n xorl %r8d, %r8d\n"
      "movl $0x4204, %edi\n 1: orl $0x08000000, (%rdi)\n addl $8, %edi\n cmpl $0x4524, %edi\n"
      "jb 1b\n movq %cr3, %rax\n movq %rax, %cr3\n xorl %ecx, %ecx\n xorl %edx, %edx\n"
      "movl $0x240000, %edi\n"
      "1: xorl %eax, %eax\n wrpkru\n incl (%rdi)\n movl $8, %eax\n wrpkru\n addl (%rdi), %esi\n"
      "leaq 2f(%rip), %r9\n incl (%rdi)\n 2: movl $4, %eax\n wrpkru\n"
      "leaq 2f(%rip), %r9\n incl (%rdi)\n 2: addl $0x1000, %edi\n cmpl $0x2a4000, %edi\n jb 1b\n"
      "xorl %eax, %eax\n wrpkru\n movl $0x240000, %edi\n"
      "1: addl %edi, (%rdi)\n addl $0x1000, %edi\n cmpl $0x2a4000, %edi\n jb 1b\n"
      "movl $4, %eax\n wrpkru\n movl $0x240000, %edi\n"
      "1: leaq 2f(%rip), %r9\n movl (%rdi), %ebx\n 2: addl $0x1000, %edi\n cmpl $0x2a4000, %edi\n"
      "jb 1b\n movl %r8d, %eax\n outl %eax, $0xf4\n hlt");
GUEST(key_handler, ".code64", "addl (%rsp), %r8d\n movq %r9, 8(%rsp)\n addq $8, %rsp\n iretq");

static void protection_keys_count_at_once(void **state)
{
	struct machine *m = machine_new();

	machine_start(m, LONG_64, keys_code, keys_code_end);
	memcpy(m->memory + 0x9000, key_handler, (size_t)(key_handler_end - key_handler));
	machine_set_gate(m, 14, 0x9000);
	/* Error codes: protection, key, and what changes memory is a write from the start. */
	machine_expect_out(m, 0xf4, 4, 200 * 0x23 + 100 * 0x21);
	machine_free(m);
}

static bool parity_even(uint8_t value)
{
	return !(__builtin_popcount(value) & 1);
}

static uint32_t expected_flags(int a, int b, int carry, bool subtract)
{
	int r = subtract ? a - b - carry : a + b + carry;
	int sr = subtract ? (int8_t)a - (int8_t)b - carry : (int8_t)a + (int8_t)b + carry;
	int low = subtract ? (a & 15) - (b & 15) - carry : (a & 15) + (b & 15) + carry;

	return (r < 0 || r > 255 ? F_CF : 0) | (parity_even((uint8_t)r) ? F_PF : 0) |
	       (low < 0 || low > 15 ? F_AF : 0) | ((uint8_t)r ? 0 : F_ZF) |
	       (r & 0x80 ? F_SF : 0) | (sr < -128 || sr > 127 ? F_OF : 0);
}

static void lazy_flags_are_the_manuals(void **state)
{
	struct vcpu *c = calloc(1, sizeof(*c));

	for (int n = 0; n < 1 << 17; n++) {
		uint64_t a = n & 255, b = n >> 8 & 255, carry = n >> 16;
		uint64_t sum = a + b + carry, difference = a - b - carry;

		flags_set(c, (int64_t)sum, (a & b) | ((a | b) & ~sum), 8);
		assert_int_equal(flags_status(c), expected_flags((int)a, (int)b, (int)carry, false));
		flags_set(c, (int64_t)difference, (~a & b) | ((~a | b) & difference), 8);
		assert_int_equal(flags_status(c), expected_flags((int)a, (int)b, (int)carry, true));
	}
	free(c);
}

static void flags_keep_any_combination(void **state)
{
	struct vcpu *c = calloc(1, sizeof(*c));

	for (uint32_t value = 0; value < 0x1000; value++) {
		rflags_set(c, value | F_IF);
		assert_int_equal(rflags_get(c), (value & ~F_1) | F_1 | F_IF);
	}
	free(c);
}

/* The instruction asks a device, and then faults or traps: KVM_RUN returns before that is delivered. */
static struct machine *stop_before_delivery(const uint8_t *code, const uint8_t *end)
{
	struct machine *m = machine_new();

	machine_start(m, LONG_64, code, end);
	machine_leave_hole(m);
	assert_int_equal(machine_run(m), KVM_EXIT_MMIO);
	m->run->immediate_exit = 1;
	assert_int_equal(kvm_ioctl(m->vcpu, KVM_RUN, NULL), -EINTR);
	return m;
}

static void expect_due(struct machine *m, uint8_t vector, uint32_t error)
{
	struct kvm_vcpu_events events = { 0 };

	machine_ioctl(m->vcpu, KVM_GET_VCPU_EVENTS, &events);
	assert_true(events.exception.injected);
	assert_int_equal(events.exception.nr, vector);
	assert_int_equal(events.exception.error_code, error);
	machine_free(m);
}

GUEST(late_fault_code, ".code64", "movl $0x40000000, %esp\n pushq 0x300000\n hlt");

/* Whoever saves the vCPU may read the registers first. */
static void a_page_fault_to_be_delivered_shows_in_cr2(void **state)
{
	struct kvm_sregs sregs = { 0 };
	struct machine *m = stop_before_delivery(late_fault_code, late_fault_code_end);

	machine_ioctl(m->vcpu, KVM_GET_SREGS, &sregs);
	assert_int_equal(sregs.cr2, 0x3ffffff8);
	expect_due(m, 14, 2);
}

GUEST(late_trap_code, ".code64", "pushq $0x102\n popfq\n pushq 0x300000\n hlt");

static void a_trap_to_be_delivered_shows_in_dr6(void **state)
{
	struct kvm_debugregs debug = { 0 };
	struct machine *m = stop_before_delivery(late_trap_code, late_trap_code_end);

	machine_ioctl(m->vcpu, KVM_GET_DEBUGREGS, &debug);
	assert_int_equal(debug.dr6 & 0xf00f, 0x4000);
	expect_due(m, 1, 0);
}

static struct kvm *open_engine(struct err *err)
{
	return kvm_open_engine(NULL, err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_store_into_the_next_instruction_counts),
		cmocka_unit_test(a_loop_may_patch_itself_each_time),
		cmocka_unit_test(a_string_store_over_what_follows_counts),
		cmocka_unit_test(an_instruction_across_pages_depends_on_both),
		cmocka_unit_test(a_group_may_be_told_by_the_next_page),
		cmocka_unit_test(a_remapped_page_runs_its_new_code),
		cmocka_unit_test(code_may_be_rewritten_by_any_name),
		cmocka_unit_test(many_names_of_a_page_are_all_known),
		cmocka_unit_test(what_a_device_wrote_runs_after_a_flush),
		cmocka_unit_test(without_paging_no_flush_is_needed),
		cmocka_unit_test(jumps_go_around_the_segment),
		cmocka_unit_test(code_beside_data_may_change),
		cmocka_unit_test(encodings_at_the_edge_fault),
		cmocka_unit_test(code_beyond_the_limit_faults),
		cmocka_unit_test(string_instructions_repeat),
		cmocka_unit_test(a_string_faults_between_elements),
		cmocka_unit_test(strings_keep_to_their_segment),
		cmocka_unit_test(ports_are_read_in_runs),
		cmocka_unit_test(a_breakpoint_on_a_repeated_string_is_met_once),
		cmocka_unit_test(unmasked_exceptions_do_not_translate_again),
		cmocka_unit_test(translations_outlive_decoded_blocks),
		cmocka_unit_test(a_locked_access_across_pages_is_done),
		cmocka_unit_test(protection_keys_count_at_once),
		cmocka_unit_test(lazy_flags_are_the_manuals),
		cmocka_unit_test(flags_keep_any_combination),
		cmocka_unit_test(a_page_fault_to_be_delivered_shows_in_cr2),
		cmocka_unit_test(a_trap_to_be_delivered_shows_in_dr6),
	};

	machine_open_system = open_engine;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
