/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Descriptor tables, the same for the child and the guest: Linux's GDT as a process finds it, and an
 * LDT of ours with segments of many kinds. What takes a selector mostly gets one that means something.
 *
 * Not covered: the GDT's last descriptor, in whose limit Linux keeps the processor's number.
 */
#include "diff.h"

#include "base/bytes.h"
#include "engine/interp/exec.h"

#include <asm/ldt.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MODIFY_LDT_WRITE = 0x11 };
enum { KINDS_CODE = 2, KINDS_DOWN = 1, KINDS_CONFORMING = 3 };

static const struct user_desc ldt[LDT_ENTRIES_USED] = {
	{ .base_addr = CODE, .limit = 0xffff, .contents = KINDS_CODE, .useable = 1 },
	{ .limit = 0xffff, .useable = 1 },
	{ .limit = 0xfffff, .seg_32bit = 1, .limit_in_pages = 1 },
	{ .limit = 0x7fff, .seg_32bit = 1, .read_exec_only = 1 },
	{ .limit = 0x7fff, .seg_32bit = 1, .contents = KINDS_DOWN },
	{ .limit = 0xfffff,
	  .seg_32bit = 1,
	  .limit_in_pages = 1,
	  .contents = KINDS_CODE,
	  .read_exec_only = 1 },
	{ .limit = 0xfffff, .seg_32bit = 1, .limit_in_pages = 1, .seg_not_present = 1 },
	{ .limit = 0xfffff, .seg_32bit = 1, .limit_in_pages = 1, .contents = KINDS_CODE },
	{ .limit = 0xfffff,
	  .seg_32bit = 1,
	  .limit_in_pages = 1,
	  .contents = KINDS_CONFORMING,
	  .seg_not_present = 1 },
	{ .limit = 0xfff, .contents = KINDS_DOWN, .read_exec_only = 1 },
};

static const uint64_t gdt[GDT_ENTRIES_USED] = {
	[1] = 0x00cf9b000000ffff, /* the kernel's: 32-bit code, 64-bit code, data */
	[2] = 0x00af9b000000ffff,  [3] = 0x00cf93000000ffff,
	[4] = 0x00cffb000000ffff, /* a process's: CODE_SELECTOR_32, DATA_SELECTOR, CODE_SELECTOR_64 */
	[5] = 0x00cff3000000ffff,  [6] = 0x00affb000000ffff,
	[8] = 0x00008b0000000067, /* TSS and LDT, of two entries each */
	[10] = 0x000082000000004f,
};

bool segments_load_ldt(void)
{
	for (unsigned n = 0; n < LDT_ENTRIES_USED; n++) {
		struct user_desc d = ldt[n];

		d.entry_number = n;
		if (syscall(SYS_modify_ldt, MODIFY_LDT_WRITE, &d, sizeof(d)))
			return false;
	}
	return true;
}

void segments_return_outward(struct state *s)
{
	static const uint8_t data[] = { ES, DS, FS, GS };

	for (unsigned n = 0; n < ARRAY_LEN(data); n++)
		if (s->selector[data[n]] < 4)
			s->selector[data[n]] = 0;
}

static uint64_t descriptor_of(const struct user_desc *d)
{
	uint64_t type = !d->read_exec_only << 1 | d->contents << 2 | 1, base = d->base_addr;
	uint64_t rights = type | 0x70 | (uint64_t)!d->seg_not_present << 7;

	rights |= d->useable << 12 | d->seg_32bit << 14 | d->limit_in_pages << 15;
	return (d->limit & 0xffff) | (base & 0xffffff) << 16 | rights << 40 |
	       ((uint64_t)d->limit >> 16 & 15) << 48 | base >> 24 << 56;
}

void segments_write_tables(uint64_t *to)
{
	memcpy(to, gdt, sizeof(gdt));
	for (unsigned n = 0; n < LDT_ENTRIES_USED; n++)
		to[GDT_ENTRIES_USED + n] = descriptor_of(&ldt[n]);
}

static uint16_t random_selector(struct random *r)
{
	static const uint16_t known[] = { CODE_SELECTOR_64, CODE_SELECTOR_32, DATA_SELECTOR };
	unsigned kind = (unsigned)random_below(r, 100);
	uint16_t any = (uint16_t)random_integer(r);

	if (kind < 35)
		return known[random_below(r, ARRAY_LEN(known))];
	if (kind < 75)
		return (uint16_t)(random_below(r, LDT_ENTRIES_USED + 1) << 3 | 7);
	if (kind < 90)
		return (uint16_t)(random_below(r, 12) << 3 | random_below(r, 4));
	if (kind < 95)
		return (uint16_t)random_below(r, 4);
	return (any & ~7) == (GDT_ENTRIES_USED - 1) << 3 ? 0 : any;
}

static uint64_t random_target(struct random *r, uint16_t selector)
{
	if (random_percent(r, 8))
		return random_integer(r);
	return 0x80 + random_below(r, 64) + (selector == CODE_SELECTOR_16 ? 0 : CODE);
}

static void put(uint8_t *to, unsigned size, uint64_t value)
{
	memcpy(to, &value, size);
}

/* RIP, CS, RFLAGS, RSP, SS. */
static void fill_frame(struct random *r, const struct insn *i, uint8_t *frame, uint16_t selector)
{
	const uint64_t harmless = ~(uint64_t)F_TF;
	unsigned size = i->opsize;

	put(frame, size, random_target(r, selector));
	put(frame + size, size, selector);
	put(frame + 2 * size, size,
	    random_percent(r, 60) ? 0x202 | (random_next(r) & F_STATUS)
				  : random_next(r) & harmless);
	put(frame + 3 * size, size, DATA + 8 * random_below(r, DATA_BYTES / 8));
	put(frame + 4 * size, size, random_percent(r, 60) ? DATA_SELECTOR : random_selector(r));
}

void segments_fill_patch(struct random *r, struct test *t, const struct insn *i)
{
	const struct op_info *info = op_info(i->op);
	uint16_t selector = random_selector(r);

	if (i->exec == exec_iret) {
		fill_frame(r, i, t->patch, selector);
	} else if (info->mem == MEM_FAR || i->exec == exec_ret_far) {
		put(t->patch, i->opsize, random_target(r, selector));
		put(t->patch + i->opsize, 2, selector);
	} else if (i->exec == exec_pop_sreg || info->mem == MEM_2) {
		put(t->patch, 2, selector);
	}
}

bool segments_takes_selector(const struct insn *i)
{
	return i->exec == exec_mov_to_sreg || i->exec == exec_lar || i->exec == exec_lsl ||
	       i->exec == exec_verr || i->exec == exec_verw || i->exec == exec_arpl ||
	       i->exec == exec_pop_sreg || i->exec == exec_load_far || i->exec == exec_iret ||
	       i->exec == exec_ret_far || i->exec == exec_jmp_far || i->exec == exec_call_far;
}

void segments_fill_registers(struct random *r, struct test *t, const struct insn *i)
{
	if (!insn_has_memory(i) && op_info(i->op)->flags & OP_MODRM && i->rm < 16)
		t->in.gpr[i->rm] = (t->in.gpr[i->rm] & ~0xffffull) | random_selector(r);
	if (i->exec == exec_arpl)
		t->in.gpr[i->reg] = (t->in.gpr[i->reg] & ~0xffffull) | random_selector(r);
}

void segments_fill_immediate(struct random *r, struct test *t, const struct insn *i)
{
	uint16_t selector = random_selector(r);
	uint8_t *at = t->code + t->length - i->opsize - 2;

	if (op_info(i->op)->imm != IMM_FAR)
		return;
	put(at, i->opsize, random_target(r, selector));
	put(at + i->opsize, 2, selector);
}
