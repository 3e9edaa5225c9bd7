/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The page under the reset vector of a direct boot, at 0xfffff000.
 *
 * Real mode, CS base 0xffff0000: loads a flat GDT, enters protected mode, and either jumps to a
 * 32-bit kernel or turns on paging and long mode first. The first bytes are struct boot_handoff,
 * filled in by boot.c. All descriptors have their accessed bit set, as a ROM cannot be written.
 */
#define PAGE 0xfffff000
#define AT(label) (label - boot_rom_start)

	.section .rodata.boot_rom, "a"
	.balign 16
	.globl boot_rom_start, boot_rom_end
boot_rom_start:
entry:	.quad 0
eax:	.long 0
ebx:	.long 0
esi:	.long 0
esp:	.long 0
cr3:	.long 0
	.balign 16
gdt:	.quad 0
	.quad 0x00cf9b000000ffff /* 0x08: 32-bit code */
	.quad 0x00cf9b000000ffff /* 0x10: the kernel's code, 32-bit */
	.quad 0x00cf93000000ffff /* 0x18: data */
	.quad 0x00af9b000000ffff /* 0x20: 64-bit code */
gdt_end:
gdt64:	.quad 0 /* the same with the kernel's code 64-bit, as the Linux protocol wants it */
	.quad 0x00cf9b000000ffff
	.quad 0x00af9b000000ffff
	.quad 0x00cf93000000ffff
gdt64_end:
gdtr:	.word gdt_end - gdt - 1
	.long PAGE + AT(gdt)
gdtr64:	.word gdt64_end - gdt64 - 1
	.long PAGE + AT(gdt64)

	.code16
start16:
	cli
	lgdtl %cs:0xf000 + AT(gdtr)
	movl %cr0, %eax
	orl $1, %eax
	movl %eax, %cr0
	ljmpl $8, $(PAGE + AT(start32))

	.code32
start32:
	movl $0x18, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %fs
	movl %eax, %gs
	movl %eax, %ss
	movl PAGE + AT(esp), %esp
	movl PAGE + AT(esi), %esi
	movl PAGE + AT(ebx), %ebx
	xorl %ebp, %ebp
	xorl %edi, %edi
	movl PAGE + AT(cr3), %eax
	testl %eax, %eax
	jnz long_mode
	ljmpl $0x10, $(PAGE + AT(enter32))
enter32:
	movl PAGE + AT(eax), %eax
	jmp *PAGE + AT(entry)

long_mode:
	movl %eax, %cr3
	movl %cr4, %eax
	orl $0x20, %eax
	movl %eax, %cr4
	movl $0xc0000080, %ecx
	rdmsr
	orl $0x100, %eax
	wrmsr
	movl %cr0, %eax
	orl $0x80000000, %eax
	movl %eax, %cr0
	lgdtl PAGE + AT(gdtr64)
	ljmpl $0x10, $(PAGE + AT(enter64))

	.code64
enter64:
	movl $(PAGE + AT(entry)), %eax
	jmp *(%rax)

	.org boot_rom_start + 0xff0, 0x90
	.code16
	jmp start16
	.org boot_rom_start + 0x1000, 0x90
boot_rom_end:
	.section .note.GNU-stack, "", @progbits
