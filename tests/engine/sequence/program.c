/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Random programs: blocks of the decoder's forms and of plain code on good addresses, joined by
 * branches forward, calls, indirect jumps, and loops that a register counts down.
 */
#include "writer.h"

#include "base/bytes.h"

enum { MOST_IN_BLOCK = 10, LOOPS = 12 };

void put(struct writer *w, const void *bytes, unsigned count)
{
	memcpy(w->p->code + w->p->bytes, bytes, count);
	w->p->bytes += count;
}

void put8(struct writer *w, unsigned value)
{
	uint8_t byte = (uint8_t)value;

	put(w, &byte, 1);
}

void put32(struct writer *w, uint32_t value)
{
	put(w, &value, 4);
}

static void put_block_displacement(struct writer *w, unsigned block)
{
	w->fix[w->fixes].at = w->p->bytes;
	w->fix[w->fixes++].block = block;
	put32(w, 0);
}

static void put_rex(struct writer *w, unsigned rex)
{
	if (!w->p->is_32 && !w->p->is_16)
		put8(w, rex);
}

unsigned loop_register(const struct writer *w)
{
	return w->p->is_32 || w->p->is_16 ? RBP : R15;
}

uint64_t good_address(const struct writer *w)
{
	struct random *r = w->r;
	uint64_t page = random_below(r, 24) * 0x1000;

	return w->p->base + DATA_AT + page + (random_percent(r, 15) ? 0xff0 + random_below(r, 16)
						       : random_below(r, 0xfc0));
}

static uint64_t register_value(const struct writer *w)
{
	return random_percent(w->r, 70) ? good_address(w) : random_integer(w->r);
}

unsigned other_register(const struct writer *w)
{
	unsigned n = (unsigned)random_below(w->r, w->p->is_32 || w->p->is_16 ? 8 : 16);

	return n == RSP || n == loop_register(w) ? RAX : n;
}

static bool is_gpr_field(uint8_t field)
{
	unsigned kind = field & FIELD_KIND;

	return kind == FIELD_GPR || kind == FIELD_GPR8 || kind == FIELD_GPR32 || kind == FIELD_GPR64;
}

/* Would lose the stack or the loop count, or run too long, or is not for ring 0. */
static bool is_unfit(const struct writer *w, const struct insn *i, const struct op_info *info)
{
	static const char *const names[] = { "in", "out", "popf", "cli", "sti", "iret", "retf", "hlt",
					     "xsaves", "xrstors", "xrstor", "fxrstor", "leave",
					     "enter", "ret", "loop", "loope", "loopne", "pause",
					     "popa", "bound", "into" };
	bool reg = is_gpr_field(info->reg) && info->reg & FIELD_WRITTEN;
	bool rm = is_gpr_field(info->rm) && info->rm & FIELD_WRITTEN && !insn_has_memory(i);

	if (info->flags & (OP_BRANCH | OP_CPL0 | OP_ENDS_BLOCK) || info->flags & OP_SYSTEM)
		return true;
	if (info->flags & OP_STRING && i->prefix & (PREFIX_REP | PREFIX_REPNE))
		return true;
	for (unsigned n = 0; n < ARRAY_LEN(names); n++)
		if (!strcmp(info->mnemonic, names[n]))
			return true;
	return (reg && (i->reg == RSP || i->reg == loop_register(w))) ||
	       (rm && (i->rm == RSP || i->rm == loop_register(w)));
}

/* All six status flags get defined values: what follows may look at any. */
void define_flags(struct writer *w)
{
	if (w->p->is_16)
		put8(w, 0x66);
	PUT(w, 0x3d);
	put32(w, (uint32_t)random_integer(w->r));
}

void put_form(struct writer *w, unsigned vector_percent)
{
	for (unsigned tries = 0; tries < 200; tries++) {
		unsigned form = (unsigned)random_below(w->r, w->forms);
		const struct op_info *info;
		struct test t;
		struct insn i;

		/* Vectors are most of the forms, and less of the code. */
		if (form_get(form)->info->flags & (OP_VECTOR | OP_X87) &&
		    !random_percent(w->r, vector_percent))
			continue;
		if (!form_assemble(w->c, form, w->r, &t, &i) || t.width != (w->p->is_16 ? 16 : w->p->is_32 ? 32 : 64))
			continue;
		info = op_info(i.op);
		if (!i.op || is_unfit(w, &i, info))
			continue;
		put(w, t.code, t.length);
		if (info->flags_undefined)
			define_flags(w);
		return;
	}
}

static void put_any_form(struct writer *w)
{
	put_form(w, 30);
}

static void put_general_form(struct writer *w)
{
	put_form(w, 0);
}

static void modrm_disp8(struct writer *w, unsigned reg, unsigned base, int disp)
{
	put8(w, 0x40 | (reg & 7) << 3 | (base & 7));
	if ((base & 7) == 4)
		put8(w, 0x24);
	put8(w, (unsigned)disp);
}

/* ALU, loads and stores through a base register, mostly one with a good address. */
static void put_memory(struct writer *w)
{
	static const uint8_t opcodes[] = { 0x01, 0x03, 0x09, 0x0b, 0x11, 0x13, 0x19, 0x1b, 0x21, 0x23,
					   0x29, 0x2b, 0x31, 0x33, 0x39, 0x3b, 0x85, 0x89, 0x8b, 0x8b };
	unsigned base = random_percent(w->r, 25) ? RSP : other_register(w);
	unsigned reg = other_register(w);

	if (base != RSP && random_percent(w->r, 70)) { /* MOV r64, imm32 */
		put_rex(w, 0x48 | base >> 3);
		put8(w, 0xc7);
		put8(w, 0xc0 | (base & 7));
		put32(w, (uint32_t)good_address(w));
	}
	if (random_percent(w->r, 20))
		put8(w, 0x66);
	if (random_percent(w->r, 15))
		put8(w, 0x64 + (unsigned)random_below(w->r, 2)); /* FS, GS */
	put_rex(w, 0x40 | (unsigned)random_below(w->r, 2) << 3 | (reg >> 3) << 2 | base >> 3);
	put8(w, opcodes[random_below(w->r, ARRAY_LEN(opcodes))]);
	modrm_disp8(w, reg, base, (int)random_below(w->r, 64));
}

/* MOV register, imm32: an address. */
static void put_address(struct writer *w, unsigned reg)
{
	put_rex(w, 0x48 | reg >> 3);
	PUT(w, 0xc7, 0xc0 | (reg & 7));
	put32(w, (uint32_t)(good_address(w) & ~random_below(w->r, 16)));
}

/* What LOCK may precede, and does mostly; CMPXCHG finds what it expects half of the time. */
static void put_atomic(struct writer *w)
{
	static const struct {
		uint8_t map, opcode, extension;
		bool has_reg, has_imm;
	} rows[] = {
		{ 1, 0x01, 0, true, false },   { 1, 0x11, 0, true, false },
		{ 1, 0x19, 0, true, false },   { 1, 0x29, 0, true, false },
		{ 1, 0x00, 0, true, false },   { 1, 0x83, 0, false, true },
		{ 1, 0x83, 2, false, true },   { 1, 0x83, 4, false, true },
		{ 1, 0x80, 1, false, true },   { 1, 0x86, 0, true, false },
		{ 1, 0x87, 0, true, false },   { 1, 0x87, 0, true, false },
		{ 1, 0xf7, 2, false, false },  { 1, 0xf7, 3, false, false },
		{ 1, 0xff, 0, false, false },  { 1, 0xff, 1, false, false },
		{ 1, 0xfe, 0, false, false },  { 15, 0xab, 0, true, false },
		{ 15, 0xb3, 0, true, false },  { 15, 0xbb, 0, true, false },
		{ 15, 0xba, 5, false, true },  { 15, 0xba, 6, false, true },
		{ 15, 0xb0, 0, true, false },  { 15, 0xb1, 0, true, false },
		{ 15, 0xb1, 0, true, false },  { 15, 0xc0, 0, true, false },
		{ 15, 0xc1, 0, true, false },  { 15, 0xc7, 1, false, false },
		{ 15, 0xc7, 1, false, false },
	};
	unsigned row = (unsigned)random_below(w->r, ARRAY_LEN(rows)), base = other_register(w);
	unsigned reg = rows[row].has_reg ? other_register(w) : rows[row].extension;
	unsigned wide = (unsigned)random_below(w->r, 2) << 3,
		 disp = (unsigned)random_below(w->r, 4) * 16;

	if (base == RAX)
		base = RSI;
	if (random_percent(w->r, 80))
		put_address(w, base);
	if (random_percent(w->r, 50)) { /* MOV RAX, [base + disp] */
		put_rex(w, 0x48 | base >> 3);
		put8(w, 0x8b);
		modrm_disp8(w, RAX, base, (int)disp);
	}
	if (random_percent(w->r, 80))
		put8(w, 0xf0);
	if (random_percent(w->r, 15) && rows[row].opcode != 0xc7)
		put8(w, 0x66);
	put_rex(w, 0x40 | wide | (rows[row].has_reg ? reg >> 3 : 0) << 2 | base >> 3);
	if (rows[row].map == 15)
		put8(w, 0x0f);
	put8(w, rows[row].opcode);
	modrm_disp8(w, reg, base, (int)disp);
	if (rows[row].has_imm)
		put8(w, (unsigned)random_next(w->r));
	if (rows[row].map == 15 && rows[row].opcode < 0xc0 && (rows[row].opcode & 0xfe) != 0xb0)
		define_flags(w); /* bit tests */
}

/* Divisors and dividends of all kinds, mostly such that the quotient fits. */
static void put_division(struct writer *w)
{
	static const uint32_t divisors[] = { 0,          1,          2,          3,
					     10,         1000,       0x7fffffff, 0x80000000,
					     0xffffffff, 0xffffff80, 0xffff8000, 0x80,
					     0x100,      0x8000 };
	bool is_byte = random_percent(w->r, 30), is_signed = random_percent(w->r, 50);
	unsigned divisor = other_register(w), wide = (unsigned)random_below(w->r, 2) << 3;

	if (random_percent(w->r, 70)) { /* MOV divisor, imm32 */
		put_rex(w, 0x48 | divisor >> 3);
		PUT(w, 0xc7, 0xc0 | (divisor & 7));
		put32(w, divisors[random_below(w->r, ARRAY_LEN(divisors))]);
	}
	if (random_percent(w->r, 20))
		put8(w, 0x66);
	if (random_percent(w->r, 80)) {
		if (is_byte)
			PUT(w, 0x0f, is_signed ? 0xbe : 0xb6, 0xc0); /* MOVSX or MOVZX EAX, AL */
		else if (is_signed)
			put_rex(w, 0x40 | wide), put8(w, 0x99);
		else
			PUT(w, 0x31, 0xd2);
	}
	if (!is_byte && random_percent(w->r, 20))
		put8(w, 0x66);
	if (!is_byte || divisor > 7 || random_percent(w->r, 50)) /* else AH to BH */
		put_rex(w, 0x40 | wide | divisor >> 3);
	put8(w, 0xf6 + !is_byte);
	put8(w, 0xc0 | (is_signed ? 7 : 6) << 3 | (divisor & 7));
	define_flags(w);
}

/* AH to BH, with memory and with their likes. */
static void put_high_byte(struct writer *w)
{
	static const uint8_t opcodes[] = { 0x00, 0x02, 0x10, 0x12, 0x18, 0x20, 0x2a,
					   0x30, 0x38, 0x3a, 0x84, 0x86, 0x88, 0x88,
					   0x8a, 0x8a, 0xb6, 0xbe, 0xfe, 0xc0 };
	unsigned opcode = opcodes[random_below(w->r, ARRAY_LEN(opcodes))];
	unsigned reg = 4 + (unsigned)random_below(w->r, 4), rm = (unsigned)random_below(w->r, 8);
	bool memory = random_percent(w->r, 50);

	if (memory)
		put_address(w, RSI);
	if (opcode == 0xb6 || opcode == 0xbe) { /* MOVZX, MOVSX */
		PUT(w, 0x0f, opcode, 0xc0 | (unsigned)random_below(w->r, 4) << 3 | reg);
	} else if (opcode == 0xfe) {
		PUT(w, opcode, 0xc0 | (unsigned)random_below(w->r, 2) << 3 | reg);
	} else if (opcode == 0xc0) { /* SHR */
		PUT(w, opcode, 0xe8 | reg, (unsigned)random_below(w->r, 32));
		define_flags(w);
	} else if (memory) {
		put8(w, opcode);
		modrm_disp8(w, reg, RSI, (int)random_below(w->r, 64));
	} else {
		PUT(w, opcode, 0xc0 | reg << 3 | rm);
	}
}

/* MOV ECX, count; ADD EDX, imm8; LOOPNE, LOOPE or LOOP back to that; or JRCXZ over something. */
static void put_count_loop(struct writer *w)
{
	if (random_percent(w->r, 30)) {
		PUT(w, 0xe3, 0x05);
		define_flags(w);
		return;
	}
	put8(w, 0xb9);
	put32(w, 1 + (uint32_t)random_below(w->r, 6));
	PUT(w, 0x83, 0xc2, (unsigned)random_next(w->r), 0xe0 + (unsigned)random_below(w->r, 3),
	    0xfb);
}

static void put_stack(struct writer *w)
{
	if (random_percent(w->r, 20))
		put8(w, 0x66);
	unsigned reg = other_register(w);

	if (reg > 7)
		put8(w, 0x41);
	put8(w, (random_percent(w->r, 50) ? 0x50 : 0x58) | (reg & 7));
}

/* SETcc, CMOVcc, ADC and pushed flags: whoever left them wrong is found out. */
void put_flags_user(struct writer *w)
{
	unsigned condition = (unsigned)random_below(w->r, 16), reg = other_register(w);
	unsigned what = (unsigned)random_below(w->r, 6);

	if (what < 3)
		put_rex(w, (what ? 0x48 : 0x40) | reg >> 3);
	switch (what) {
	case 0:
		PUT(w, 0x0f, 0x90 | condition, 0xc0 | (reg & 7));
		break;
	case 1:
		PUT(w, 0x0f, 0x40 | condition, 0xc0 | (reg & 7));
		break;
	case 2:
		PUT(w, 0x83, 0xd0 | (reg & 7), condition);
		break;
	case 3: { /* CLC, STC, CMC, CLI, CLD, LAHF */
		static const uint8_t opcodes[] = { 0xf8, 0xf9, 0xf5, 0xfa, 0xfc, 0x9f };

		put8(w, opcodes[random_below(w->r, ARRAY_LEN(opcodes))]);
		break;
	}
	case 4:
		PUT(w, 0xb4, (unsigned)random_next(w->r), 0x9e); /* MOV AH; SAHF */
		break;
	default:
		PUT(w, 0x9c, 0x58); /* PUSHF, POP RAX */
	}
}

/* Some of them in a row, mostly with all exceptions masked. */
static void put_x87(struct writer *w)
{
	static const uint8_t control[] = { 0x7f, 0x7f, 0x3f, 0x7e };

	put_address(w, RSI);
	if (random_percent(w->r, 20)) { /* MOV word [RSI], control word; FLDCW */
		PUT(w, 0x66, 0xc7, 0x06, control[random_below(w->r, 4)]);
		PUT(w, (unsigned)random_below(w->r, 16), 0xd9, 0x2e);
	} else if (random_percent(w->r, 20)) {
		PUT(w, 0xdb, 0xe3); /* FNINIT */
	}
	for (unsigned n = (unsigned)random_below(w->r, 6); n > 0; n--) {
		unsigned low = (unsigned)random_below(w->r, 8),
			 reg = (unsigned)random_below(w->r, 8);

		if (random_percent(w->r, 15)) {
			PUT(w, 0xdf, 0xe0);            /* FNSTSW AX */
		} else if (random_percent(w->r, 40)) { /* all that are arithmetic or loads */
			PUT(w, 0xd8 + (low & 6), 0x46 | reg << 3, (unsigned)random_below(w->r, 64));
		} else if (random_percent(w->r,
					  40)) { /* FLD, FST, FSTP m64; FILD, FIST, FISTP m32 */
			PUT(w, low & 1 ? 0xdd : 0xdb, 0x46 | (reg & 2 ? 3 : reg & 4 ? 2 : 0) << 3);
			put8(w, (unsigned)random_below(w->r, 64));
		} else if (random_percent(w->r,
					  70)) { /* FADD to FDIVR, FLD, FXCH, FCOMI, FCMOVcc */
			static const uint8_t opcodes[] = { 0xd8, 0xdc, 0xde, 0xd9,
							   0xd9, 0xdb, 0xda, 0xdf };

			if (low == 3 || low == 4)
				reg &= 1;
			else if (low == 5 || low == 7)
				reg = 5 + (reg & 1);
			else if (low == 6)
				reg &= 3;
			else if (low == 2 && reg == 3)
				reg = 4;
			PUT(w, opcodes[low], 0xc0 | reg << 3 | (unsigned)random_below(w->r, 8));
		} else { /* FLD1 to FLDZ, FCHS, FABS */
			PUT(w, 0xd9, random_percent(w->r, 60) ? 0xe8 + low % 7 : 0xe0 + (low & 1));
		}
	}
}

/* With memory, registers, general registers, immediates; now and then EMMS. */
static void put_mmx(struct writer *w)
{
	static const uint8_t opcodes[] = { 0x60, 0x63, 0x64, 0x67, 0x69, 0x6f, 0x6f, 0x7f, 0xd1, 0xd5,
					   0xdb, 0xe5, 0xe8, 0xeb, 0xef, 0xf5, 0xf6, 0xfa, 0xfd, 0xfe };

	put_address(w, RSI);
	for (unsigned n = (unsigned)random_below(w->r, 5); n > 0; n--) {
		unsigned modrm = (unsigned)random_below(w->r, 64);

		if (random_percent(w->r, 40)) {
			PUT(w, 0x0f, opcodes[random_below(w->r, ARRAY_LEN(opcodes))],
			    0x46 | (modrm & 0x38));
			put8(w, modrm);
		} else if (random_percent(w->r, 60)) {
			PUT(w, 0x0f, opcodes[random_below(w->r, ARRAY_LEN(opcodes))], 0xc0 | modrm);
		} else if (random_percent(w->r,
					  60)) { /* MOVD; PEXTRW, PINSRW from memory, PSHUFW */
			PUT(w, 0x0f, modrm & 1 ? 0x6e : 0x7e, 0xc0 | (modrm & 0x3b));
			PUT(w, 0x0f, 0xc5, 0xc0 | (modrm & 0x17), modrm);
			PUT(w, 0x0f, 0xc4, 0x06 | (modrm & 0x38), modrm);
			PUT(w, 0x0f, 0x70, 0xc0 | modrm, 0x1b);
		} else {
			PUT(w, 0x0f, 0x77);
		}
	}
}

/* MOV from segment registers; RDFSBASE, RDGSBASE and, with what these gave, WRFSBASE. */
static void put_segment(struct writer *w)
{
	unsigned reg = other_register(w), segment = (unsigned)random_below(w->r, 6) << 3;

	if (random_percent(w->r, 20))
		put8(w, 0x66);
	if (w->p->is_32 || random_percent(w->r, 60)) {
		put_rex(w, 0x40 | (unsigned)random_below(w->r, 2) << 3 | reg >> 3);
		PUT(w, 0x8c, 0xc0 | segment | (reg & 7));
	} else if (random_percent(w->r, 40)) {
		put_address(w, RSI);
		PUT(w, 0x8c, 0x46 | segment, (unsigned)random_below(w->r, 64));
	} else {
		PUT(w, 0xf3, 0x48 | reg >> 3, 0x0f, 0xae, 0xc0 | (segment & 8) | (reg & 7));
		PUT(w, 0xf3, 0x48 | reg >> 3, 0x0f, 0xae, 0xd0 | (reg & 7));
	}
}

/* Also overlapping operands, equal ones (pages start out equal), and the other direction. */
static void put_string(struct writer *w)
{
	static const uint8_t opcodes[] = { 0xa4, 0xa5, 0xa6, 0xa7, 0xaa,
					   0xab, 0xac, 0xad, 0xae, 0xaf };
	uint64_t to = good_address(w), from = good_address(w);

	if (random_percent(w->r, 30))
		from = to + random_below(w->r, 16);
	else if (random_percent(w->r, 30))
		from = (from & PAGE_MASK) | (to & ~PAGE_MASK);
	PUT(w, 0xb9); /* MOV ECX; more than there is leads to a fault */
	if (random_percent(w->r, 10))
		put32(w, UINT32_MAX);
	else
		put32(w, (uint32_t)random_below(w->r, random_percent(w->r, 10) ? 6000 : 60));
	PUT(w, 0xbf);
	put32(w, (uint32_t)to);
	PUT(w, 0xbe);
	put32(w, (uint32_t)from);
	if (random_percent(w->r, 10))
		put8(w, 0xfd); /* STD */
	if (random_percent(w->r, 70))
		put8(w, random_percent(w->r, 50) ? 0xf3 : 0xf2);
	if (random_percent(w->r, 15))
		put8(w, 0x66);
	if (random_percent(w->r, 40))
		put_rex(w, 0x48);
	put8(w, opcodes[random_below(w->r, ARRAY_LEN(opcodes))]);
	put8(w, 0xfc); /* CLD */
}

static void put_patchable(struct writer *w)
{
	unsigned reg = (unsigned)random_below(w->r, 4); /* EAX to EBX */

	put8(w, 0xb8 | reg);
	if (w->patches < MAX_PATCHES)
		w->patch[w->patches++] = w->p->bytes;
	put32(w, (uint32_t)random_integer(w->r));
}

/* MOV byte [disp32], imm8 onto an immediate written before; 64-bit code has it relative to RIP. */
static void put_patch(struct writer *w)
{
	unsigned target;

	if (!w->patches)
		return;
	target = w->patch[random_below(w->r, w->patches)] + (unsigned)random_below(w->r, 4);
	if (random_percent(w->r, 30)) { /* MOV EDI, address; STOSB */
		put8(w, 0xbf);
		put32(w, w->p->base + PROGRAM_AT + target);
		put8(w, 0xaa);
		return;
	}
	PUT(w, 0xc6, 0x05);
	put32(w, w->p->is_32 ? PROGRAM_AT + target : target - (w->p->bytes + 5));
	put8(w, (unsigned)random_next(w->r));
}

static void put_insn(struct writer *w)
{
	static const struct {
		unsigned percent;
		void (*put)(struct writer *w);
	} kinds[] = {
		{ 2, put_mmx },      { 1, put_segment },
		{ 19, put_any_form },  { 14, put_general_form }, { 17, put_memory },
		{ 5, put_x87 },
		{ 6, put_atomic },     { 4, put_division },      { 4, put_high_byte },
		{ 2, put_count_loop }, { 7, put_stack },         { 10, put_flags_user },
		{ 3, put_string },     { 4, put_patchable },     { 2, put_patch },
	};
	unsigned what = (unsigned)random_below(w->r, 100), n = 0;

	if (w->p->base && random_percent(w->r, 30)) {
		put_far(w);
		return;
	}
	for (; what >= kinds[n].percent; n++)
		what -= kinds[n].percent;
	kinds[n].put(w);
}

/* LEA RAX, [RIP + target], or MOV EAX, target. */
static void put_block_address(struct writer *w, unsigned block)
{
	if (w->p->is_32) {
		put8(w, 0xb8);
		w->fix[w->fixes].is_address = true;
	} else {
		PUT(w, 0x48, 0x8d, 0x05);
	}
	put_block_displacement(w, block);
}

static void put_end(struct writer *w, unsigned block)
{
	unsigned ahead = block + 1 + (unsigned)random_below(w->r, 4);
	unsigned target = MIN(ahead, w->p->blocks), loop = loop_register(w) & 7;

	switch (random_below(w->r, 10)) {
	case 0:
		return; /* falls through */
	case 1 ... 4:
		PUT(w, 0x0f, 0x80 | (unsigned)random_below(w->r, 16));
		put_block_displacement(w, target);
		return;
	case 5:
		put8(w, 0xe9);
		put_block_displacement(w, target);
		return;
	case 6:
		put8(w, 0xe8);
		put_block_displacement(w, target);
		return;
	case 7: /* JMP RAX */
		put_block_address(w, target);
		PUT(w, 0xff, 0xe0);
		return;
	case 8: /* PUSH RAX, RET */
		put_block_address(w, target);
		PUT(w, 0x50, 0xc3);
		return;
	default: /* TEST, JZ over, DEC, JMP back */
		put_rex(w, 0x4d);
		PUT(w, 0x85, 0xc0 | loop << 3 | loop, 0x74, w->p->is_32 ? 7 : 8);
		put_rex(w, 0x49);
		PUT(w, 0xff, 0xc8 | loop, 0xe9);
		put_block_displacement(w, block - (unsigned)random_below(w->r, MIN(block, 6) + 1));
	}
}

static void make_blocks(struct writer *w)
{
	struct program *p = w->p;

	for (unsigned block = 0; block < p->blocks; block++) {
		p->block[block] = p->bytes;
		put8(w, 0xb8); /* RAX may point to code, which only put_patch() is to change */
		put32(w, (uint32_t)good_address(w));
		for (unsigned n = (unsigned)random_below(w->r, MOST_IN_BLOCK); n > 0; n--)
			put_insn(w);
		put_end(w, block);
	}
}

static void fix_displacements(struct writer *w)
{
	for (unsigned n = 0; n < w->fixes; n++) {
		unsigned at = w->fix[n].at, target = w->p->block[w->fix[n].block];
		uint8_t *place = w->p->code + at;

		if (w->fix[n].is_word)
			store_le16(place, (uint16_t)(w->fix[n].is_address ? target : target - (at + 2)));
		else
			store_le32(place, w->fix[n].is_address ? w->address + target : target - (at + 4));
	}
}

void program_make(struct vcpu *c, struct random *r, unsigned forms, struct program *p)
{
	struct writer w = { .p = p, .r = r, .c = c, .forms = forms,
			    .address = p->is_16 ? 0 : p->base + PROGRAM_AT };

	p->bytes = (unsigned)random_below(r, 0x1000); /* pages end anywhere */
	memset(p->code, 0x90, p->bytes);
	p->blocks = 4 + (unsigned)random_below(r, MAX_BLOCKS - 4);
	if (p->is_16)
		make_blocks_16(&w);
	else
		make_blocks(&w);
	p->block[p->blocks] = p->bytes;
	PUT(&w, 0xe6, PORT_END, 0xf4);
	fix_displacements(&w);
	for (unsigned n = 0; n < 16; n++)
		p->gpr[n] = p->is_32 || p->is_16 ? (uint32_t)register_value(&w) : register_value(&w);
	p->gpr[RSP] = p->is_16 ? 0xabc00000 + STACK_TOP - STACK_16_AT : p->base + STACK_TOP;
	p->gpr[loop_register(&w)] = LOOPS;
	for (unsigned n = 0; n < sizeof(p->data); n += 8)
		store_le64(p->data + n, random_integer(r));
}
