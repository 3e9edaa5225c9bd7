/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Programs of 16-bit code: as program.c's, and what only such code has: addresses of 16 bits,
 * segments that are loaded, also with what faults, far jumps, and other names for the code.
 *
 * DS, ES and GS are loaded. FS leads to the program itself, for changing it.
 */
#include "writer.h"

enum { MOST_IN_BLOCK = 10, MODRM_DISP16 = 6 };

static void put16(struct writer *w, unsigned value)
{
	put8(w, value & 0xff);
	put8(w, value >> 8);
}

static void put_block(struct writer *w, unsigned block, bool is_address, bool is_word)
{
	w->fix[w->fixes].at = w->p->bytes;
	w->fix[w->fixes].is_address = is_address;
	w->fix[w->fixes].is_word = is_word;
	w->fix[w->fixes++].block = block;
	put(w, (const uint8_t[4]){ 0 }, is_word ? 2 : 4);
}

static unsigned data_selector(struct writer *w)
{
	static const uint16_t real[] = { 0x4000, 0x4123, 0x4800, 0x4fff, 0x5000, 0x4007 },
			      protected[] = { 0x10, 0x10, 0x10, 0x38, 0x38, 0x40, 0x48, 0x50, 0x58,
					      0x58, 0, 0x13 };

	return w->p->is_real ? real[random_below(w->r, ARRAY_LEN(real))]
			     : protected[random_below(w->r, ARRAY_LEN(protected))];
}

static unsigned own_selector(const struct writer *w)
{
	return w->p->is_real ? 0x1000 : 8;
}

static unsigned address16(struct writer *w)
{
	return (unsigned)(random_percent(w->r, 15) ? 0xfff0 + random_below(w->r, 16)
						   : random_below(w->r, 0xffc0));
}

/* ModRM with a 16-bit address, mostly an easy one. */
static void put_operand16(struct writer *w, unsigned reg)
{
	unsigned mod = (unsigned)random_below(w->r, 3), rm = (unsigned)random_below(w->r, 8);

	if (random_percent(w->r, 40)) {
		mod = 0;
		rm = MODRM_DISP16;
	}
	put8(w, mod << 6 | reg << 3 | rm);
	if (mod == 2 || (mod == 0 && rm == MODRM_DISP16))
		put16(w, address16(w));
	else if (mod == 1)
		put8(w, (unsigned)random_next(w->r));
}

static void put_any_form(struct writer *w)
{
	put_form(w, 15);
}

static void put_general_form(struct writer *w)
{
	put_form(w, 0);
}

static void put_memory16(struct writer *w)
{
	static const uint8_t opcodes[] = { 0x00, 0x01, 0x03, 0x09, 0x0b, 0x11, 0x13, 0x19, 0x1b, 0x21,
					   0x29, 0x2b, 0x31, 0x33, 0x38, 0x39, 0x3b, 0x85, 0x86, 0x87,
					   0x88, 0x89, 0x8a, 0x8b, 0x8c, 0x8d, 0x8d, 0xa0, 0xa1, 0xa2,
					   0xa3 };
	static const uint8_t segments[] = { 0x26, 0x26, 0x36, 0x3e, 0x65 };
	unsigned opcode = opcodes[random_below(w->r, ARRAY_LEN(opcodes))];
	unsigned reg = other_register(w);

	if (random_percent(w->r, 25))
		put8(w, segments[random_below(w->r, ARRAY_LEN(segments))]);
	if (random_percent(w->r, 30))
		put8(w, 0x66);
	if (opcode == 0x8a || opcode == 0x86)
		reg &= 3; /* not the upper byte of BP, which there is none of, nor of SP */
	if (opcode == 0x8c)
		reg = (unsigned)random_below(w->r, 6);
	put8(w, opcode);
	if (opcode >= 0xa0)
		put16(w, address16(w));
	else
		put_operand16(w, reg);
}

static void put_stack16(struct writer *w)
{
	static const uint8_t segments[] = { 0x06, 0x0e, 0x16, 0x1e };
	unsigned reg = other_register(w);

	if (random_percent(w->r, 25))
		put8(w, 0x66);
	switch (random_below(w->r, 8)) {
	case 0:
	case 1:
		put8(w, 0x50 | reg);
		break;
	case 2:
	case 3:
		put8(w, 0x58 | reg);
		break;
	case 4:
		PUT(w, 0x6a, (unsigned)random_next(w->r));
		break;
	case 5:
		put8(w, segments[random_below(w->r, ARRAY_LEN(segments))]);
		break;
	case 6: /* PUSH, or POP */
		if (random_percent(w->r, 50)) {
			put8(w, 0xff);
			put_operand16(w, 6);
		} else {
			put8(w, 0x8f);
			put_operand16(w, 0);
		}
		break;
	default: /* a frame */
		PUT(w, 0x55, 0x89, 0xe5, 0x50, 0xc9);
	}
}

/* DS, ES or GS from a register, from the stack or with a register from memory. */
static void put_load_segment(struct writer *w)
{
	static const uint8_t numbers[] = { 0, 3, 5 }, opcodes[] = { 0xc4, 0xc5, 0xb5 };
	unsigned which = (unsigned)random_below(w->r, 3), selector = data_selector(w), at;

	switch (random_below(w->r, 3)) {
	case 0:
		put8(w, 0xb8);
		put16(w, selector);
		PUT(w, 0x8e, 0xc0 | numbers[which] << 3);
		break;
	case 1:
		put8(w, 0x68);
		put16(w, selector);
		if (which == 2)
			PUT(w, 0x0f, 0xa9);
		else
			put8(w, which ? 0x1f : 0x07);
		break;
	default: /* MOV word [SS:at + 2], selector; LES with that */
		at = 0x9000 + (unsigned)random_below(w->r, 0xfff);
		PUT(w, 0x36, 0xc7, 0x06);
		put16(w, at + 2);
		put16(w, selector);
		put8(w, 0x36);
		if (which == 2)
			put8(w, 0x0f);
		PUT(w, opcodes[which], (other_register(w) & 7) << 3 | MODRM_DISP16);
		put16(w, at);
	}
}

static void put_string16(struct writer *w)
{
	static const uint8_t opcodes[] = { 0xa4, 0xa5, 0xa6, 0xa7, 0xaa,
					   0xab, 0xac, 0xad, 0xae, 0xaf };
	unsigned to = address16(w), from = random_percent(w->r, 30) ? to + 4 : address16(w);

	put8(w, 0xb9); /* MOV CX, SI, DI */
	put16(w, (unsigned)random_below(w->r, random_percent(w->r, 10) ? 6000 : 40));
	put8(w, 0xbe);
	put16(w, from & 0xffff);
	put8(w, 0xbf);
	put16(w, to);
	if (random_percent(w->r, 10))
		put8(w, 0xfd);
	if (random_percent(w->r, 50))
		put8(w, random_percent(w->r, 50) ? 0xf3 : 0xf2);
	if (random_percent(w->r, 25))
		put8(w, 0x66);
	if (random_percent(w->r, 20))
		put8(w, 0x65);
	put8(w, opcodes[random_below(w->r, ARRAY_LEN(opcodes))]);
	put8(w, 0xfc);
}

/* MOV CX, count; ADD DX, imm8; LOOPNE, LOOPE or LOOP back to that; or JCXZ over something. */
static void put_count_loop16(struct writer *w)
{
	if (random_percent(w->r, 30)) {
		PUT(w, 0xe3, 6);
		define_flags(w);
		return;
	}
	put8(w, 0xb9);
	put16(w, 1 + (unsigned)random_below(w->r, 6));
	PUT(w, 0x83, 0xc2, (unsigned)random_next(w->r), 0xe0 + (unsigned)random_below(w->r, 3),
	    0xfb);
}

static void put_patchable16(struct writer *w)
{
	put8(w, 0xb8 | (unsigned)random_below(w->r, 4)); /* MOV AX to BX, imm16 */
	if (w->patches < MAX_PATCHES)
		w->patch[w->patches++] = w->p->bytes;
	put16(w, (unsigned)random_below(w->r, 0x10000));
}

/* MOV byte [FS:disp16], imm8 */
static void put_patch16(struct writer *w)
{
	if (!w->patches)
		return;
	PUT(w, 0x64, 0xc6, 0x06);
	put16(w, w->patch[random_below(w->r, w->patches)] + (unsigned)random_below(w->r, 2));
	put8(w, (unsigned)random_next(w->r));
}

/* A loop by another name for the code segment: one with another base, or with another limit. */
static void put_alias(struct writer *w)
{
	bool moved = random_percent(w->r, 60);
	unsigned here = w->p->bytes + 5 + (moved ? 16 : 0);
	unsigned selector = !w->p->is_real ? (moved ? 0x28 : 0x30) : moved ? 0xfff : 0x1000;

	put8(w, 0xea);
	put16(w, here);
	put16(w, selector);
	put8(w, 0xb9);
	put16(w, 1 + (unsigned)random_below(w->r, 6));
	here = w->p->bytes;
	put8(w, 0x01);
	put_operand16(w, RAX);
	PUT(w, 0x83, 0xc2, (unsigned)random_next(w->r)); /* ADD DX */
	PUT(w, 0x49, 0x75, here - (w->p->bytes + 3)); /* DEC CX; JNZ */
	put8(w, 0xea);
	put16(w, w->p->bytes + 4);
	put16(w, own_selector(w));
}

static void put_far_jump(struct writer *w, unsigned to, unsigned selector)
{
	put8(w, 0xea);
	put16(w, to);
	put16(w, selector);
}

/* MOV AX; JMP AX */
static void put_jump_to(struct writer *w, unsigned to)
{
	put8(w, 0xb8);
	put16(w, to);
	PUT(w, 0xff, 0xe0);
}

/* ADD DX, imm8 and a far jump, in 16 bytes */
static void put_stop(struct writer *w, unsigned to, unsigned selector)
{
	PUT(w, 0x83, 0xc2, (unsigned)random_next(w->r));
	put_far_jump(w, to, selector);
	for (unsigned n = 0; n < 8; n++)
		put8(w, 0x90);
}

/* Two pieces of code with the same IP in segments 16 bytes apart, both reached by indirect jumps. */
static void put_twins(struct writer *w)
{
	unsigned moved = w->p->is_real ? 0xfff : 0x28, loop, first, stub, tail;

	put8(w, 0xb9);
	put16(w, 1 + (unsigned)random_below(w->r, 6));
	loop = w->p->bytes;
	first = loop + 5;
	stub = first + 32;
	tail = stub + 5;
	put_jump_to(w, first + 16);
	put_stop(w, tail, own_selector(w));
	put_stop(w, stub + 16, moved);
	put_jump_to(w, first + 16);
	PUT(w, 0x49, 0x75, loop - (w->p->bytes + 3));
}

static void put_insn16(struct writer *w)
{
	static const struct {
		unsigned percent;
		void (*put)(struct writer *w);
	} kinds[] = {
		{ 14, put_any_form },     { 20, put_general_form }, { 22, put_memory16 },
		{ 12, put_stack16 },      { 6, put_load_segment },  { 5, put_string16 },
		{ 3, put_count_loop16 },  { 10, put_flags_user },   { 3, put_patchable16 },
		{ 2, put_patch16 },       { 2, put_alias },
		{ 1, put_twins },
	};
	unsigned what = (unsigned)random_below(w->r, 100), n = 0;

	for (; what >= kinds[n].percent; n++)
		what -= kinds[n].percent;
	kinds[n].put(w);
}

static void put_far_end(struct writer *w, unsigned target)
{
	switch (random_below(w->r, 4)) {
	case 0: /* JMP, or CALL; perhaps with another limit from then on */
		put8(w, random_percent(w->r, 50) ? 0xea : 0x9a);
		put_block(w, target, true, true);
		put16(w, !w->p->is_real && random_percent(w->r, 50) ? 0x30 : own_selector(w));
		return;
	case 1: /* RETF behind PUSH CS, PUSH target */
		PUT(w, 0x0e, 0x68);
		put_block(w, target, true, true);
		put8(w, 0xcb);
		return;
	default: /* PUSHF, and the same for IRET */
		PUT(w, 0x9c, 0x0e, 0x68);
		put_block(w, target, true, true);
		put8(w, 0xcf);
	}
}

static void put_near_end(struct writer *w, unsigned target)
{
	bool wide = random_percent(w->r, 30);

	switch (random_below(w->r, 6)) {
	case 0 ... 2:
		if (wide)
			put8(w, 0x66);
		PUT(w, 0x0f, 0x80 | (unsigned)random_below(w->r, 16));
		put_block(w, target, false, !wide);
		return;
	case 3: /* CALL, JMP */
		if (wide)
			put8(w, 0x66);
		put8(w, random_percent(w->r, 50) ? 0xe8 : 0xe9);
		put_block(w, target, false, !wide);
		return;
	case 4: /* MOV EAX; JMP or CALL AX, with garbage above it, or EAX */
		PUT(w, 0x66, 0xb8);
		put_block(w, target, true, false);
		if (wide)
			put8(w, 0x66);
		PUT(w, 0xff, random_percent(w->r, 50) ? 0xe0 : 0xd0);
		return;
	default: /* PUSH, RET */
		if (wide)
			put8(w, 0x66);
		put8(w, 0x68);
		put_block(w, target, true, !wide);
		if (wide)
			put8(w, 0x66);
		if (random_percent(w->r, 50))
			put8(w, 0xc3);
		else
			PUT(w, 0xc2, 2 * (unsigned)random_below(w->r, 3), 0);
	}
}

static void put_end16(struct writer *w, unsigned block)
{
	unsigned most = random_percent(w->r, w->p->is_limited ? 40 : 10) ? 30 : 4; /* now and then beyond a low limit */
	unsigned ahead = block + 1 + (unsigned)random_below(w->r, most);
	unsigned target = MIN(ahead, w->p->blocks);

	switch (random_below(w->r, 10)) {
	case 0:
		return; /* falls through */
	case 1 ... 6:
		put_near_end(w, target);
		return;
	case 7:
		put_far_end(w, target);
		return;
	default: /* TEST BP, BP; JZ over; DEC BP; JMP back */
		PUT(w, 0x85, 0xed, 0x74, 4, 0x4d, 0xe9);
		put_block(w, block - (unsigned)random_below(w->r, MIN(block, 6) + 1), false, true);
	}
}

void make_blocks_16(struct writer *w)
{
	for (unsigned block = 0; block < w->p->blocks; block++) {
		w->p->block[block] = w->p->bytes;
		for (unsigned n = (unsigned)random_below(w->r, MOST_IN_BLOCK); n > 0; n--)
			put_insn16(w);
		put_end16(w, block);
	}
}
