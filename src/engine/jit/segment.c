/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Code that is neither 64-bit nor flat 32-bit: real mode, 16-bit protected mode, segments with bases
 * and limits.
 *
 * Translations depend on the base and limit of CS: each such pair has a number, which is part of the
 * translator's mode (jit_mode()). Data segments may change at any time: each access is held against
 * how many bytes of its segment may be read or written (vcpu.segment_room), and their bases are
 * added where they are.
 *
 * Left to the interpreter: V86 mode, expand-down and unusable segments, accesses that wrap at 4 GiB,
 * repeated strings, x87 and vectors.
 */
#include "engine/jit/internal.h"

#include "base/bytes.h"
#include "engine/interp/interp.h"

bool jit_is_segmented(uint32_t mode)
{
	const uint32_t flat_32 = MODE_CODE32 | MODE_STACK32 | MODE_FLAT | MODE_PROTECTED;

	return !(mode & MODE_CODE64) && (mode & flat_32) != flat_32;
}

bool jit_is_translatable(const struct vcpu *c)
{
	if (c->mode & (MODE_STEP | MODE_ALIGN | MODE_VM86))
		return false;
	if (!jit_is_segmented(c->mode))
		return true;
	/* Blocks near the end of CS are the interpreter's own, see interp/block.c. */
	return c->code_segment && c->code_segment != NO_CODE_SEGMENT &&
	       !code_is_near_limit(c);
}

static uint64_t room(const struct vcpu *c, const struct segment *s, bool write)
{
	uint32_t type = s->rights & (SEG_CODE | SEG_WRITE);

	if (s->rights & SEG_UNUSABLE || (s->rights & (SEG_CODE | SEG_DOWN)) == SEG_DOWN)
		return 0;
	if (c->mode & MODE_PROTECTED && (write ? type != SEG_WRITE : type == SEG_CODE))
		return 0;
	return s->limit + 1ull;
}

/* The number of CS' base and limit; NO_CODE_SEGMENT: too many of them, and a flush is on the way. */
static uint16_t code_segment(struct vcpu *c)
{
	struct jit *jit = c->jit;
	uint32_t base = (uint32_t)c->seg[CS].base, limit = c->seg[CS].limit;
	unsigned n = (base ^ base >> 9 ^ limit * 5) % CODE_SEGMENTS;

	for (;; n = (n + 1) % CODE_SEGMENTS) {
		struct code_segment *s = &jit->code_segment[n];

		if (s->used && s->base == base && s->limit == limit)
			return (uint16_t)(n + 1);
		if (s->used)
			continue;
		if (jit->code_segments == CODE_SEGMENTS * 3 / 4) {
			vcpu_request(c, REQUEST_CODE_FLUSH);
			return NO_CODE_SEGMENT;
		}
		jit->code_segments++;
		*s = (struct code_segment){ .base = base, .limit = limit, .used = true };
		return (uint16_t)(n + 1);
	}
}

/* Loading it in real mode gives it these rights, and does not make all segments flat either. */
static bool is_plain(const struct vcpu *c, unsigned seg)
{
	enum { ANY = SEG_BIG | SEG_GRANULAR | SEG_AVL,
	       PLAIN = SEG_S | SEG_WRITE | SEG_ACCESSED | SEG_PRESENT };

	return (c->seg[seg].rights & ~ANY) == PLAIN && c->seg[CS].limit != 0xffffffff;
}

void jit_segments_update(struct vcpu *c)
{
	bool segmented = c->jit && jit_is_segmented(c->mode);

	c->code_segment = segmented ? code_segment(c) : 0;
	c->plain_segments = 0;
	for (unsigned seg = 0; segmented && seg <= GS; seg++) {
		for (unsigned write = 0; write < 2; write++)
			c->segment_room[seg][write] = room(c, &c->seg[seg], write);
		c->plain_segments |= (uint8_t)(is_plain(c, seg) << seg);
	}
}

void segments_forget(struct vcpu *c)
{
	memset(c->jit->code_segment, 0, sizeof(c->jit->code_segment));
	c->jit->code_segments = 0;
	jit_segments_update(c);
	jit_key_update(c);
}

/* Translated code. */
void segment_to_linear(struct translator *t, unsigned seg, unsigned size, bool write)
{
	emit_lea(&t->e, 8, T1, at_register(T0, (int32_t)size));
	emit_alu(&t->e, ALU_CMP, 8, T1, GS(segment_room[seg][write]));
	slow_if(t, CC_A);
	emit_alu(&t->e, ALU_ADD, 4, T0, GS(seg[seg].base));
}

void zero_extend(struct translator *t, unsigned size, unsigned to, unsigned from)
{
	if (size == 2)
		emit_reg(&t->e, (struct encoding){ .map = 0x0f, .opcode = 0xb7, .size = 4 }, to, from);
	else
		emit_mov(&t->e, 4, to, from);
}

static unsigned stack_word(const struct translator *t)
{
	return t->source->mode & MODE_STACK32 ? 4 : 2;
}

void segmented_stack(struct translator *t, unsigned base, int32_t offset, unsigned size, bool write)
{
	emit_lea(&t->e, 4, T0, at_register(base, offset));
	if (stack_word(t) == 2)
		zero_extend(t, 2, T0, T0);
	segment_to_linear(t, SS, size, write);
}

void move_stack(struct translator *t, unsigned from, int32_t bytes)
{
	unsigned word = t->segmented ? stack_word(t) : t->word;

	emit_lea(&t->e, word, GUEST_RSP, at_register(from, bytes));
}

bool target_is_within(const struct translator *t, uint64_t target)
{
	return !t->segmented || target <= t->c->seg[CS].limit;
}

/* T1 is beyond CS. */
enum condition compare_with_limit(struct translator *t)
{
	emit_alu_imm(&t->e, ALU_CMP, 4, T1, (int32_t)t->c->seg[CS].limit);
	return CC_A;
}
