/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Descriptor-table registers, LDTR and TR; and the instructions that only look at a descriptor.
 *
 * Manual: SDM 2 "LGDT/LIDT", "SGDT", "SIDT", "LLDT", "LTR", "SLDT", "STR", "LAR", "LSL",
 * "VERR/VERW", "ARPL"; SDM 3 5.10 (pointer validation).
 */
#include "engine/sys/internal.h"

static void umip_check(struct vcpu *c)
{
	if (c->cpl && c->cr4 & CR4_UMIP)
		raise_gp(c);
}

static void store_table(struct vcpu *c, const struct insn *i, const struct table_register *table)
{
	unsigned base_bytes = code_is_64bit(c) ? 8 : 4;
	uint8_t image[10];

	if (!insn_has_memory(i))
		raise_ud(c);
	umip_check(c);
	store_le16(image, table->limit);
	store_le64(image + 2, table->base);
	mem_write_bytes(c, operand_address(c, i, 2 + base_bytes, ACCESS_WRITE), image,
			2 + base_bytes);
	return next(c, i);
}

static void load_table(struct vcpu *c, const struct insn *i, struct table_register *table)
{
	unsigned base_bytes = code_is_64bit(c) ? 8 : 4;
	uint8_t image[10] = { 0 };
	uint64_t base;

	if (!insn_has_memory(i))
		raise_ud(c);
	require_cpl0(c);
	mem_read_bytes(c, operand_address(c, i, 2 + base_bytes, ACCESS_READ), image,
		       2 + base_bytes);
	base = load_le64(image + 2);
	if (base_bytes == 8 && !is_canonical_base(base, c))
		raise_gp(c);
	table->limit = load_le16(image);
	table->base = base_bytes == 4 && i->opsize == 2 ? base & 0xffffff : base;
	return next(c, i);
}

void exec_sgdt(struct vcpu *c, const struct insn *i)
{
	return store_table(c, i, &c->gdt);
}

void exec_sidt(struct vcpu *c, const struct insn *i)
{
	return store_table(c, i, &c->idt);
}

void exec_lgdt(struct vcpu *c, const struct insn *i)
{
	return load_table(c, i, &c->gdt);
}

void exec_lidt(struct vcpu *c, const struct insn *i)
{
	return load_table(c, i, &c->idt);
}

static uint16_t selector_operand(struct vcpu *c, const struct insn *i)
{
	if (insn_has_memory(i))
		return mem_read(c, operand_address(c, i, 2, ACCESS_READ), 2);
	return c->gpr[i->rm];
}

static void require_protected(struct vcpu *c)
{
	if (!is_protected(c))
		raise_ud(c);
}

static void store_selector(struct vcpu *c, const struct insn *i, unsigned reg)
{
	uint16_t selector = c->seg[reg].selector;

	require_protected(c);
	umip_check(c);
	if (insn_has_memory(i))
		mem_write(c, operand_address(c, i, 2, ACCESS_WRITE), 2, selector);
	else
		gpr_write(c, i->rm, i->opsize, selector);
	return next(c, i);
}

void exec_sldt(struct vcpu *c, const struct insn *i)
{
	return store_selector(c, i, LDTR);
}

void exec_str(struct vcpu *c, const struct insn *i)
{
	return store_selector(c, i, TR);
}

/* An LDT or TSS descriptor from the GDT: 16 bytes in IA-32e mode. */
static void system_descriptor(struct vcpu *c, uint16_t selector, struct descriptor *d)
{
	bool found = !(selector & 4) && (in_long_mode(c) ? descriptor_find_wide(c, selector, d)
							 : descriptor_find(c, selector, d));

	if (!found || (in_long_mode(c) && d->high >> 40 & 0x1f))
		raise_fault_code(c, EXC_GP, selector_error(c, selector));
}

static void unpack_system_segment(struct vcpu *c, uint16_t selector, const struct descriptor *d,
				  struct segment *to)
{
	segment_unpack(d, selector, to);
	if (in_long_mode(c) && !is_canonical_base(to->base, c))
		raise_fault_code(c, EXC_GP, selector_error(c, selector));
}

void exec_lldt(struct vcpu *c, const struct insn *i)
{
	struct segment segment;
	struct descriptor d;
	uint16_t selector;

	require_protected(c);
	require_cpl0(c);
	selector = selector_operand(c, i);
	if (is_null(selector)) {
		segment_set_null(&c->seg[LDTR], selector);
		return next(c, i);
	}
	system_descriptor(c, selector, &d);
	if (descriptor_type(&d) != TYPE_LDT)
		raise_fault_code(c, EXC_GP, selector_error(c, selector));
	if (!descriptor_present(&d))
		raise_fault_code(c, EXC_NP, selector_error(c, selector));
	unpack_system_segment(c, selector, &d, &segment);
	c->seg[LDTR] = segment;
	return next(c, i);
}

void exec_ltr(struct vcpu *c, const struct insn *i)
{
	struct segment segment;
	struct descriptor d;
	uint16_t selector;
	unsigned type;

	require_protected(c);
	require_cpl0(c);
	selector = selector_operand(c, i);
	if (is_null(selector))
		raise_gp(c);
	system_descriptor(c, selector, &d);
	type = descriptor_type(&d);
	if (type != TYPE_TSS32 && (in_long_mode(c) || type != TYPE_TSS16))
		raise_fault_code(c, EXC_GP, selector_error(c, selector));
	if (!descriptor_present(&d))
		raise_fault_code(c, EXC_NP, selector_error(c, selector));
	unpack_system_segment(c, selector, &d, &segment);
	descriptor_set_busy(c, &d, true);
	segment.rights |= TYPE_BUSY;
	c->seg[TR] = segment;
	return next(c, i);
}

/* What may be looked at: `types` has a bit for each system type that may. */
static bool may_look(struct vcpu *c, uint16_t selector, uint32_t types, struct descriptor *d)
{
	unsigned type;

	if (is_null(selector) || !descriptor_find(c, selector, d))
		return false;
	type = descriptor_type(d);
	if (type & SEG_S ? !types : !(types >> type & 1))
		return false;
	return is_conforming(type) ||
	       (descriptor_dpl(d) >= c->cpl && descriptor_dpl(d) >= (selector & 3u));
}

void exec_lar(struct vcpu *c, const struct insn *i)
{
	const uint32_t gates = 1 << TYPE_CALL16 | 1 << TYPE_TASK_GATE;
	const uint32_t old = 1 << TYPE_TSS16 | 1 << TYPE_TSS16_BUSY | gates;
	const uint32_t all =
		1 << TYPE_LDT | 1 << TYPE_TSS32 | 1 << TYPE_TSS32_BUSY | 1 << TYPE_CALL32;
	struct descriptor d;
	uint16_t selector;
	bool found;

	require_protected(c);
	selector = selector_operand(c, i);
	found = may_look(c, selector, in_long_mode(c) ? all : all | old, &d);
	if (found) /* bits 16-19 hold part of the limit, as processors show it */
		gpr_write(c, i->reg, i->opsize, d.low >> 32 & 0xffff00);
	flag_zf_set(c, found);
	return next(c, i);
}

void exec_lsl(struct vcpu *c, const struct insn *i)
{
	const uint32_t old = 1 << TYPE_TSS16 | 1 << TYPE_TSS16_BUSY;
	const uint32_t all = 1 << TYPE_LDT | 1 << TYPE_TSS32 | 1 << TYPE_TSS32_BUSY;
	struct segment segment;
	struct descriptor d;
	uint16_t selector;
	bool found;

	require_protected(c);
	selector = selector_operand(c, i);
	found = may_look(c, selector, in_long_mode(c) ? all : all | old, &d);
	if (found) {
		segment_unpack(&d, selector, &segment);
		gpr_write(c, i->reg, i->opsize, segment.limit);
	}
	flag_zf_set(c, found);
	return next(c, i);
}

void exec_verr(struct vcpu *c, const struct insn *i)
{
	struct descriptor d;
	uint16_t selector;
	bool readable;

	require_protected(c);
	selector = selector_operand(c, i);
	readable = may_look(c, selector, 1, &d) && descriptor_type(&d) & SEG_S &&
		   (descriptor_type(&d) & (SEG_CODE | SEG_WRITE)) != SEG_CODE;
	flag_zf_set(c, readable);
	return next(c, i);
}

void exec_verw(struct vcpu *c, const struct insn *i)
{
	struct descriptor d;
	uint16_t selector;

	require_protected(c);
	selector = selector_operand(c, i);
	flag_zf_set(c, may_look(c, selector, 1, &d) && descriptor_is_writable_data(&d));
	return next(c, i);
}

void exec_arpl(struct vcpu *c, const struct insn *i)
{
	uint16_t to, from = c->gpr[i->reg];
	gva_t address = 0;
	bool raised;

	require_protected(c);
	if (insn_has_memory(i)) {
		address = operand_address(c, i, 2, ACCESS_WRITE);
		to = mem_read(c, address, 2);
	} else {
		to = c->gpr[i->rm];
	}
	raised = (to & 3) < (from & 3);
	if (raised) {
		to = (to & ~3) | (from & 3);
		if (insn_has_memory(i))
			mem_write(c, address, 2, to);
		else
			gpr_write(c, i->rm, 2, to);
	}
	flag_zf_set(c, raised);
	return next(c, i);
}
