/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/* What 16-bit programs run in: segments, and handlers reached by vectors or by 16-bit gates. */
#include "sequence.h"

#include "base/bytes.h"

enum { TYPE_CODE = 0x9b, TYPE_DATA = 0x93, TYPE_READ_ONLY = 0x91, TYPE_EXPAND_DOWN = 0x97 };

/* Before the program's end. */
static uint32_t low_limit(const struct program *p)
{
	return p->bytes - p->bytes / 6;
}

static struct kvm_segment segment(unsigned selector, uint32_t base, uint32_t limit, unsigned type)
{
	return (struct kvm_segment){ .base = base, .limit = limit, .selector = (uint16_t)selector,
				     .type = type & 15, .present = 1, .s = 1,
				     .g = limit == 0xffffffff };
}

static void describe(uint8_t *gdt, unsigned selector, uint32_t base, uint32_t limit, unsigned type)
{
	bool large = limit == 0xffffffff;
	uint64_t low = large ? 0xfffff : limit;

	store_le64(gdt + selector, (low & 0xffff) | (uint64_t)(base & 0xffffff) << 16 |
					   (uint64_t)type << 40 | (low >> 16 & 15) << 48 |
					   (uint64_t)large << 55 | (uint64_t)(base >> 24) << 56);
}

void segments_make(uint8_t *memory, const struct program *p)
{
	uint8_t *gdt = memory + GDT_AT;

	describe(gdt, 0x08, PROGRAM_AT, 0xffff, TYPE_CODE);
	describe(gdt, 0x10, DATA_AT, 0xffff, TYPE_DATA);
	describe(gdt, 0x18, STACK_16_AT, 0xffff, TYPE_DATA);
	describe(gdt, 0x20, 0, 0xffff, TYPE_CODE);
	describe(gdt, 0x28, PROGRAM_AT - 16, 0xffff, TYPE_CODE);
	describe(gdt, 0x30, PROGRAM_AT, low_limit(p), TYPE_CODE);
	describe(gdt, 0x38, DATA_AT + 0x8000, 0x7fff, TYPE_DATA);
	describe(gdt, 0x40, DATA_AT, 0xffff, TYPE_READ_ONLY);
	describe(gdt, 0x48, DATA_AT, 0x4fff, TYPE_EXPAND_DOWN);
	describe(gdt, 0x50, DATA_AT - 0x4321, 0xffff, TYPE_DATA);
	describe(gdt, 0x58, 0, 0xffffffff, TYPE_DATA);
	for (unsigned vector = 0; vector < 32; vector++) {
		uint32_t handler = HANDLERS_AT + 16 * vector;

		memory[handler] = 0xe6;
		memory[handler + 1] = (uint8_t)(PORT_FAULT + vector);
		memory[handler + 2] = 0xf4;
		if (p->is_real)
			store_le32(memory + IDT_AT + 4 * vector, handler);
		else
			store_le64(memory + IDT_AT + 8 * vector, handler | 0x200000 | 0x8600ull << 32);
	}
	for (unsigned at = DATA_16_AT; at < DATA_AT; at += sizeof(p->data))
		memcpy(memory + at, p->data, sizeof(p->data));
}

struct kvm_segment segments_code(const struct program *p)
{
	if (!p->is_real && p->is_limited)
		return segment(0x30, PROGRAM_AT, low_limit(p), TYPE_CODE);
	return segment(p->is_real ? 0x1000 : 8, PROGRAM_AT, 0xffff, TYPE_CODE);
}

void segments_set(struct kvm_sregs *s, const struct program *p)
{
	uint32_t data = p->is_real ? DATA_16_AT : DATA_AT;

	s->cs = segments_code(p);
	s->ds = segment(p->is_real ? data >> 4 : 0x10, data, 0xffff, TYPE_DATA);
	s->es = segment(p->is_real ? data >> 4 : 0x10, data, p->is_big ? 0xffffffff : 0xffff, TYPE_DATA);
	s->fs = segment(p->is_real ? PROGRAM_AT >> 4 : 0x50, PROGRAM_AT, 0xffff, TYPE_DATA);
	s->gs = segment(p->is_real ? data >> 4 : 0x10, data, 0x2fff, TYPE_READ_ONLY);
	s->ss = segment(p->is_real ? STACK_16_AT >> 4 : 0x18, STACK_16_AT, 0xffff, TYPE_DATA);
	s->gdt.limit = 0x5f;
	s->cr4 &= ~(uint64_t)(CR4_PAE | CR4_FSGSBASE);
	s->efer = 0;
	if (p->is_real)
		s->cr0 &= ~(uint64_t)(CR0_PE | CR0_PG);
}
