/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Descriptors: finding them in GDT and LDT, their accessed and busy bits, and what segment
 * registers hold of them.
 *
 * Manual: SDM 3 3.4.5 (segment descriptors), 3.5 (system descriptors), 8.2.3 (IA-32e).
 * Not modelled: accessed and busy bits are set without a bus lock.
 */
#include "engine/sys/internal.h"

uint32_t selector_error(const struct vcpu *c, uint16_t selector)
{
	bool external = c->injected.kind != EVENT_NONE && c->injected.kind != EVENT_SOFTWARE;

	return (selector & 0xfffc) | external;
}

/* Linear address of the descriptor if `bytes` of it are inside its table. */
static bool locate(const struct vcpu *c, uint16_t selector, unsigned bytes, gva_t *address)
{
	uint32_t offset = selector & 0xfff8, limit = c->gdt.limit;
	uint64_t base = c->gdt.base;

	if (selector & 4) {
		const struct segment *ldt = &c->seg[LDTR];

		if (ldt->rights & SEG_UNUSABLE || !(ldt->rights & SEG_PRESENT))
			return false;
		base = ldt->base;
		limit = ldt->limit;
	}
	if (offset + bytes - 1 > limit)
		return false;
	*address = base + offset;
	if (!in_long_mode(c))
		*address = (uint32_t)*address;
	return true;
}

bool descriptor_find(struct vcpu *c, uint16_t selector, struct descriptor *d)
{
	if (!locate(c, selector, 8, &d->address))
		return false;
	d->low = mem_read_system(c, d->address, 8);
	d->high = 0;
	return true;
}

bool descriptor_find_wide(struct vcpu *c, uint16_t selector, struct descriptor *d)
{
	if (!locate(c, selector, 16, &d->address))
		return false;
	d->low = mem_read_system(c, d->address, 8);
	d->high = mem_read_system(c, d->address + 8, 8);
	return true;
}

void descriptor_get(struct vcpu *c, uint16_t selector, uint8_t vector, struct descriptor *d)
{
	if (!descriptor_find(c, selector, d))
		raise_fault_code(c, vector, selector_error(c, selector));
}

void descriptor_set_accessed(struct vcpu *c, struct descriptor *d)
{
	if (d->low >> 40 & SEG_ACCESSED)
		return;
	d->low |= (uint64_t)SEG_ACCESSED << 40;
	mem_write_system(c, d->address + 5, 1, d->low >> 40 & 0xff);
}

void descriptor_set_busy(struct vcpu *c, struct descriptor *d, bool busy)
{
	d->low &= ~((uint64_t)TYPE_BUSY << 40);
	d->low |= (uint64_t)(busy ? TYPE_BUSY : 0) << 40;
	mem_write_system(c, d->address + 5, 1, d->low >> 40 & 0xff);
}

void segment_unpack(const struct descriptor *d, uint16_t selector, struct segment *to)
{
	uint32_t limit = (d->low & 0xffff) | (d->low >> 32 & 0xf0000);

	to->rights = descriptor_rights(d);
	to->limit = to->rights & SEG_GRANULAR ? limit << 12 | 0xfff : limit;
	to->base = (d->low >> 16 & 0xffffff) | (d->low >> 32 & 0xff000000) | d->high << 32;
	to->selector = selector;
}

void segment_set_null(struct segment *to, uint16_t selector)
{
	*to = (struct segment){ .rights = SEG_UNUSABLE, .selector = selector };
}

void segment_set_vm86(uint16_t selector, struct segment *to)
{
	to->selector = selector;
	to->base = (uint32_t)selector << 4;
	to->limit = 0xffff;
	to->rights = SEG_S | SEG_WRITE | SEG_ACCESSED | SEG_DPL | SEG_PRESENT;
}

void segment_set_real(const struct vcpu *c, unsigned reg, uint16_t selector, struct segment *to)
{
	if (c->mode & MODE_VM86) {
		segment_set_vm86(selector, to);
		return;
	}
	*to = c->seg[reg];
	to->selector = selector;
	to->base = (uint32_t)selector << 4;
	/* Real mode leaves limit and size alone ("unreal mode"). */
	if (to->rights & SEG_UNUSABLE) {
		to->limit = 0xffff;
		to->rights = 0;
	}
	to->rights &= SEG_BIG | SEG_GRANULAR | SEG_AVL;
	to->rights |= SEG_S | SEG_WRITE | SEG_ACCESSED | SEG_PRESENT | (reg == CS ? SEG_CODE : 0);
}

void segment_from_kvm(struct segment *to, const struct kvm_segment *from)
{
	to->base = from->base;
	to->limit = from->limit;
	to->selector = from->selector;
	to->rights = (from->type & SEG_TYPE) | (from->s ? SEG_S : 0) |
		     (uint32_t)(from->dpl & 3) << SEG_DPL_SHIFT |
		     (from->present ? SEG_PRESENT : 0) | (from->avl ? SEG_AVL : 0) |
		     (from->l ? SEG_LONG : 0) | (from->db ? SEG_BIG : 0) |
		     (from->g ? SEG_GRANULAR : 0) |
		     (from->unusable || !from->present ? SEG_UNUSABLE : 0);
}

void segment_to_kvm(struct kvm_segment *to, const struct segment *from)
{
	*to = (struct kvm_segment){
		.base = from->base,
		.limit = from->limit,
		.selector = from->selector,
		.type = from->rights & SEG_TYPE,
		.s = !!(from->rights & SEG_S),
		.dpl = (from->rights & SEG_DPL) >> SEG_DPL_SHIFT,
		.present = !(from->rights & SEG_UNUSABLE),
		.avl = !!(from->rights & SEG_AVL),
		.l = !!(from->rights & SEG_LONG),
		.db = !!(from->rights & SEG_BIG),
		.g = !!(from->rights & SEG_GRANULAR),
		.unusable = !!(from->rights & SEG_UNUSABLE),
	};
}
