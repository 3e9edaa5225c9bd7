/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guests' programs. R15 is SHARED, a spinning loop lets the host's other threads run.
 *
 * handshake: A rewrites a function through one address or another, in pieces, and says so; B
 * serializes, and must run what was written. [SDM 3A 9.1.3]
 *
 * unsynchronized: A rewrites one instruction in B's loop, and one that B calls, with one store each,
 * without telling. B must run either the old or the new one, never an older one again, and after it
 * has heard that A is done and serialized, the last one.
 *
 * shootdown: A changes the entry for WINDOW between two frames and none, asks B for INVLPG and
 * waits. From then on B must neither read nor write the old frame. B reads and writes all the time,
 * and answers in its page fault handler too.
 *
 * locked: both count in the same words by each kind of locked instruction, also across cache lines,
 * and under a lock made of XCHG and a plain store. Nothing must be lost.
 */
#include "smp.h"

#define PROGRAM(name, text)                                                     \
	extern const uint8_t name[], name##_end[];                              \
	__asm__(".pushsection .rodata\n.balign 64\n.code64\n"                   \
		".globl " #name ", " #name "_end\n" #name ":\n" text "\n" #name \
		"_end:\n.popsection\n")

__asm__(".set READY, 0x00\n .set DONE, 0x40\n .set REQUEST, 0x80\n .set ACKNOWLEDGED, 0xc0\n"
	".set FINISHED, 0x100\n .set ROUNDS, 0x140\n .set FAULTS, 0x180\n"
	".set PATCHED, 0x10000\n .set PATCHED_ALIAS, 0x11000\n .set SHARED, 0x20000\n"
	".set PROGRAM_B, 0x9000\n .set FRAME_0, 0x30000\n .set FRAME_1, 0x31000\n"
	".set WINDOW, 0x40000\n .set MOVED, 0x41000\n .set WINDOW_ENTRY, 0x4000 + 8 * 0x40\n"

	/* Until the word at \at of SHARED is \value. ECX is used. */
	".macro wait_for at, value\n"
	"7: movl $100, %ecx\n"
	"8: cmpq \\value, \\at(%r15)\n je 9f\n decl %ecx\n jnz 8b\n"
	"outb %al, $0x80\n jmp 7b\n 9:\n .endm\n"
	".macro pass\n outb %al, $0xf4\n hlt\n .endm\n"
	".macro fail\n outl %eax, $0xf5\n hlt\n .endm\n"
	/* Reads and writes what the host moves about. */
	".macro touch_moved\n movq MOVED, %rax\n incq MOVED + 64\n .endm\n");

PROGRAM(handshake_a,
	"movl $SHARED, %r15d\n movl $1, %r14d\n"
	"1: movl $PATCHED, %ebx\n movl $PATCHED_ALIAS, %edx\n testl $4, %r14d\n cmovnz %edx, %ebx\n"
	"testl $1, %r14d\n jnz 2f\n"
	/* MOV EAX, round; RET */
	"movb $0xb8, (%rbx)\n movl %r14d, 1(%rbx)\n movb $0xc3, 5(%rbx)\n jmp 3f\n"
	/* XOR EAX, EAX; ADD EAX, round; RET */
	"2: movw $0xc031, (%rbx)\n movb $0x05, 2(%rbx)\n movl %r14d, 3(%rbx)\n movb $0xc3, "
	"7(%rbx)\n"
	"3: movq %r14, READY(%r15)\n"
	"wait_for DONE, %r14\n"
	"touch_moved\n"
	"incq %r14\n cmpq ROUNDS(%r15), %r14\n jbe 1b\n pass");

PROGRAM(handshake_b, "100: movl $SHARED, %r15d\n movl $1, %r14d\n movl $PATCHED, %r13d\n"
		     "1: wait_for READY, %r14\n"
		     "xorl %eax, %eax\n cpuid\n"
		     "call *%r13\n cmpl %r14d, %eax\n jne 4f\n"
		     "call 100b + PATCHED - PROGRAM_B\n cmpl %r14d, %eax\n jne 4f\n"
		     "touch_moved\n"
		     "movq %r14, DONE(%r15)\n"
		     "incq %r14\n cmpq ROUNDS(%r15), %r14\n jbe 1b\n pass\n"
		     "4: fail");

/* What is stored is MOV EAX, n << 16 | ~n, and RET or NOPs, of 8 bytes. B's are at its start. */
PROGRAM(unsynchronized_a,
	"movl $SHARED, %r15d\n movl $1, %r14d\n movabs $0x9090c30000000000, %r12\n"
	"movabs $0x9090900000000000, %r11\n"
	"1: movl %r14d, %eax\n notl %eax\n movzwl %ax, %eax\n movl %r14d, %edx\n shll $16, %edx\n"
	"orl %edx, %eax\n shlq $8, %rax\n orb $0xb8, %al\n"
	"movq %rax, %rdx\n orq %r12, %rdx\n movq %rdx, PATCHED\n"
	"orq %r11, %rax\n movq %rax, PROGRAM_B + 0x10\n"
	"movl %r14d, %ecx\n andl $63, %ecx\n 2: decl %ecx\n jns 2b\n"
	"touch_moved\n"
	"testl $63, %r14d\n jnz 3f\n outb %al, $0x80\n" /* let B run */
	"3: incq %r14\n cmpq ROUNDS(%r15), %r14\n jbe 1b\n"
	"movq $1, FINISHED(%r15)\n pass");

/* R13, R12: the last seen at the two places; EBP: A was done before. */
PROGRAM(unsynchronized_b,
	"100: jmp 2f\n"
	".balign 16\n" /* at PROGRAM_B + 0x10 */
	"1: movl $0x0000ffff, %eax\n nop\n nop\n nop\n"
	"movl %eax, %edx\n shrl $16, %edx\n notl %eax\n cmpw %ax, %dx\n jne 8f\n"
	"cmpl %r12d, %edx\n jb 8f\n movl %edx, %r12d\n"
	"movl $PATCHED, %ebx\n call *%rbx\n"
	"movl %eax, %edx\n shrl $16, %edx\n notl %eax\n cmpw %ax, %dx\n jne 8f\n"
	"cmpl %r13d, %edx\n jb 8f\n movl %edx, %r13d\n"
	"call 100b + PATCHED - PROGRAM_B\n"
	"movl %eax, %edx\n shrl $16, %edx\n notl %eax\n cmpw %ax, %dx\n jne 8f\n"
	"cmpl %r13d, %edx\n jb 8f\n movl %edx, %r13d\n"
	"testl %ebp, %ebp\n jnz 4f\n"
	"3: incl %esi\n testl $255, %esi\n jnz 5f\n touch_moved\n outb %al, $0x80\n"
	"5: cmpq $0, FINISHED(%r15)\n je 1b\n"
	"incl %ebp\n xorl %eax, %eax\n cpuid\n jmp 1b\n"
	"4: cmpq ROUNDS(%r15), %r12\n jne 8f\n cmpq ROUNDS(%r15), %r13\n jne 8f\n pass\n"
	"2: movl $SHARED, %r15d\n xorl %r13d, %r13d\n xorl %r12d, %r12d\n xorl %ebp, %ebp\n"
	"xorl %esi, %esi\n jmp 1b\n"
	"8: fail");

/* RBX: the old frame, RSI: the new one, EDI: the old one's tag. */
PROGRAM(shootdown_a, "movl $SHARED, %r15d\n movl $1, %r14d\n xorl %r13d, %r13d\n"
		     "1: movl $FRAME_1, %ebx\n movl $FRAME_0, %esi\n movl $0x2222, %edi\n"
		     "testl $1, %r14d\n jz 2f\n xchgl %ebx, %esi\n movl $0x1111, %edi\n"
		     "2: testl $6, %r14d\n jnz 3f\n"
		     "movq $0, WINDOW_ENTRY\n incq %r13\n movq %r13, REQUEST(%r15)\n wait_for "
		     "ACKNOWLEDGED, %r13\n"
		     "3: leal 7(%rsi), %eax\n movq %rax, WINDOW_ENTRY\n"
		     "incq %r13\n movq %r13, REQUEST(%r15)\n wait_for ACKNOWLEDGED, %r13\n"
		     "movq $0x666, (%rbx)\n movq 8(%rbx), %rbp\n"
		     "movl $200, %ecx\n 4: decl %ecx\n jnz 4b\n"
		     "touch_moved\n"
		     "cmpq 8(%rbx), %rbp\n movl %r14d, %eax\n jne 8f\n"
		     "movq %rdi, (%rbx)\n"
		     "incq %r14\n cmpq ROUNDS(%r15), %r14\n jbe 1b\n"
		     "movq $1, FINISHED(%r15)\n pass\n"
		     "8: fail");

PROGRAM(shootdown_b,
	"movl $SHARED, %r15d\n xorl %r14d, %r14d\n xorl %esi, %esi\n"
	"1: movl WINDOW, %eax\n cmpl $0x1111, %eax\n je 2f\n cmpl $0x2222, %eax\n jne 8f\n"
	"2: incq WINDOW + 8\n lock incq WINDOW + 8\n"
	"movq WINDOW + 0x7fc, %rdx\n movq %rdx, WINDOW + 0xff8\n"
	"cmpq %r14, REQUEST(%r15)\n je 3f\n"
	"movq REQUEST(%r15), %r14\n invlpg WINDOW\n movq %r14, ACKNOWLEDGED(%r15)\n"
	"touch_moved\n"
	"3: incl %esi\n testl $255, %esi\n jnz 4f\n outb %al, $0x80\n"
	"4: cmpq $0, FINISHED(%r15)\n je 1b\n pass\n"
	"8: fail");

/* Of B in WINDOW: answers a request and tries again. */
PROGRAM(fault_handler, "pushq %rax\n movq %cr2, %rax\n shrq $12, %rax\n cmpl $0x40, %eax\n jne 1f\n"
		       "incq FAULTS(%r15)\n"
		       "movq REQUEST(%r15), %rax\n invlpg WINDOW\n movq %rax, ACKNOWLEDGED(%r15)\n"
		       "popq %rax\n addq $8, %rsp\n iretq\n"
		       "1: movq %cr2, %rax\n fail");

/* For ring 3, whose INVLPG WINDOW is a fault at an instruction of 8 bytes. */
PROGRAM(invlpg_handler, "invlpg WINDOW\n addq $8, %rsp\n addq $8, (%rsp)\n iretq");

__asm__(".set COUNTERS, 0x20200\n"
	".macro count\n movl $SHARED, %r15d\n movl $COUNTERS, %ebp\n movq ROUNDS(%r15), %r14\n"
	"1: lock incq (%rbp)\n"
	"movl $1, %eax\n lock xaddq %rax, 0x40(%rbp)\n"
	"2: movq 0x80(%rbp), %rax\n leaq 1(%rax), %rdx\n lock cmpxchgq %rdx, 0x80(%rbp)\n"
	"jne 2b\n"
	"3: movl $1, %eax\n xchgl %eax, 0xc0(%rbp)\n testl %eax, %eax\n jz 4f\n pause\n jmp 3b\n"
	"4: incq 0x100(%rbp)\n movl $0, 0xc0(%rbp)\n"
	"movq 0x140(%rbp), %rax\n movq 0x148(%rbp), %rdx\n"
	"5: movq %rax, %rbx\n movq %rdx, %rcx\n incq %rbx\n decq %rcx\n"
	"lock cmpxchg16b 0x140(%rbp)\n jne 5b\n"
	"testl $7, %r14d\n jnz 6f\n lock addq $8, 0x1bc(%rbp)\n" /* across two lines */
	"movl $8, %eax\n lock xaddl %eax, 0x1fe(%rbp)\n"
	"testl $255, %r14d\n jnz 6f\n outb %al, $0x80\n touch_moved\n"
	"6: decq %r14\n jnz 1b\n"
	"lock incq DONE(%r15)\n .endm\n");

PROGRAM(locked_a, "count\n movl $2, %edx\n wait_for DONE, %rdx\n"
		  "movq ROUNDS(%r15), %rbx\n addq %rbx, %rbx\n movl $1, %eax\n"
		  "cmpq %rbx, (%rbp)\n jne 5f\n incl %eax\n cmpq %rbx, 0x40(%rbp)\n jne 5f\n"
		  "incl %eax\n cmpq %rbx, 0x80(%rbp)\n jne 5f\n"
		  "incl %eax\n cmpq %rbx, 0x100(%rbp)\n jne 5f\n"
		  "incl %eax\n cmpq %rbx, 0x140(%rbp)\n jne 5f\n"
		  "incl %eax\n movq 0x148(%rbp), %rdx\n addq %rbx, %rdx\n jnz 5f\n"
		  "incl %eax\n cmpq %rbx, 0x1bc(%rbp)\n jne 5f\n"
		  "incl %eax\n cmpl %ebx, 0x1fe(%rbp)\n jne 5f\n"
		  "pass\n"
		  "5: fail");
PROGRAM(locked_b, "count\n pass");

#define PAIR(id, count)                                            \
	{                                                          \
#id, id##_a, id##_a_end, id##_b, id##_b_end, count \
	}

const struct pair pairs[PAIRS] = {
	PAIR(handshake, 800), PAIR(unsynchronized, 30000), PAIR(shootdown, 800),
	PAIR(locked, 16384), /* a multiple of 8 */
};
