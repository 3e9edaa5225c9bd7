/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Hardware task switches, with 16- and 32-bit task-state segments.
 *
 * The new TSS is read and the old one written first: a fault there belongs to the old task. Then
 * the new task's registers are taken, and only then are its segments loaded: what goes wrong now
 * is the new task's fault, at its first instruction. It is caught here and left in c->raised.
 *
 * Manual: SDM 3 7.2, 7.3.
 * Not modelled: a new task whose LDT or GDT is memory-mapped I/O.
 */
#include "engine/sys/far.h"

enum { TSS32_BYTES = 0x68, TSS16_BYTES = 0x2c };

struct task_state {
	uint32_t cr3, eip, eflags, gpr[8];
	uint16_t link, ldt, selector[6]; /* enum segment_register */
	bool is_32bit, traps;
};

static uint32_t field32(const uint8_t *tss, unsigned at)
{
	return load_le32(tss + at);
}

static uint16_t field16(const uint8_t *tss, unsigned at)
{
	return load_le16(tss + at);
}

static void tss_read(struct vcpu *c, gva_t base, struct task_state *t)
{
	unsigned bytes = t->is_32bit ? TSS32_BYTES : TSS16_BYTES;
	uint8_t tss[TSS32_BYTES];

	for (unsigned n = 0; n < bytes; n += 4)
		store_le32(tss + n, mem_read_system(c, (uint32_t)(base + n), 4));
	t->link = field16(tss, 0);
	if (t->is_32bit) {
		t->cr3 = field32(tss, 0x1c);
		t->eip = field32(tss, 0x20);
		t->eflags = field32(tss, 0x24);
		for (unsigned n = 0; n < 8; n++)
			t->gpr[n] = field32(tss, 0x28 + 4 * n);
		for (unsigned n = 0; n < 6; n++)
			t->selector[n] = field16(tss, 0x48 + 4 * n);
		t->ldt = field16(tss, 0x60);
		t->traps = tss[0x64] & 1;
		return;
	}
	t->eip = field16(tss, 0x0e);
	t->eflags = field16(tss, 0x10);
	for (unsigned n = 0; n < 8; n++)
		t->gpr[n] = field16(tss, 0x12 + 2 * n);
	for (unsigned n = 0; n < 4; n++)
		t->selector[n] = field16(tss, 0x22 + 2 * n);
	t->ldt = field16(tss, 0x2a);
}

static void tss_write(struct vcpu *c, uint64_t rip, uint32_t eflags)
{
	const struct segment *tr = &c->seg[TR];
	bool is_32bit = (tr->rights & SEG_TYPE) >= TYPE_TSS32;
	unsigned size = is_32bit ? 4 : 2;
	gva_t at = tr->base + (is_32bit ? 0x20 : 0x0e);

	mem_write_system(c, (uint32_t)at, size, rip);
	mem_write_system(c, (uint32_t)(at + size), size, eflags);
	for (unsigned n = 0; n < 8; n++)
		mem_write_system(c, (uint32_t)(at + (2 + n) * size), size, c->gpr[n]);
	for (unsigned n = 0; n < (is_32bit ? 6 : 4); n++)
		mem_write_system(c, (uint32_t)(at + (10 + n) * size), 2, c->seg[n].selector);
}

static NORETURN void ts_fault(struct vcpu *c, uint16_t selector)
{
	raise_fault_code(c, EXC_TS, selector_error(c, selector));
}

static void load_ldt(struct vcpu *c, uint16_t selector)
{
	struct descriptor d;

	if (is_null(selector))
		return;
	if (selector & 4)
		ts_fault(c, selector);
	descriptor_get(c, selector, EXC_TS, &d);
	if (descriptor_type(&d) != TYPE_LDT || !descriptor_present(&d))
		ts_fault(c, selector);
	segment_unpack(&d, selector, &c->seg[LDTR]);
}

static void load_code(struct vcpu *c, uint16_t selector)
{
	struct descriptor d;
	unsigned dpl, rpl = selector & 3;

	if (is_null(selector))
		ts_fault(c, selector);
	descriptor_get(c, selector, EXC_TS, &d);
	dpl = descriptor_dpl(&d);
	if (!descriptor_is_code(&d) ||
	    (is_conforming(descriptor_rights(&d)) ? dpl > rpl : dpl != rpl))
		ts_fault(c, selector);
	if (!descriptor_present(&d))
		raise_fault_code(c, EXC_NP, selector_error(c, selector));
	descriptor_set_accessed(c, &d);
	segment_unpack(&d, selector, &c->seg[CS]);
}

/* In the new task's context; faults are its own. */
static void load_segments(struct vcpu *c, const struct task_state *t, const struct event *event)
{
	static const uint8_t data[] = { ES, DS, FS, GS };
	struct stack s;

	load_ldt(c, t->ldt);
	if (t->eflags & F_VM) {
		for (unsigned n = 0; n < 6; n++)
			segment_set_vm86(t->selector[n], &c->seg[n]);
	} else {
		load_code(c, t->selector[CS]);
		segment_prepare_stack(c, t->selector[SS], c->cpl, EXC_TS, &c->seg[SS]);
		for (unsigned n = 0; n < ARRAY_LEN(data); n++)
			segment_prepare_data(c, t->selector[data[n]], EXC_TS, &c->seg[data[n]]);
	}
	mode_update(c);
	if (event && event->has_error) {
		stack_current(c, &s);
		stack_push(c, &s, t->is_32bit ? 4 : 2, event->error);
		c->gpr[RSP] = s.sp;
	}
	code_offset_check(c, &c->seg[CS], t->eip);
}

static void load_segments_guarded(struct vcpu *c, const struct task_state *t,
				  const struct event *event)
{
	jmp_buf outer;

	memcpy(outer, c->unwind, sizeof(outer));
	if (!setjmp(c->unwind))
		load_segments(c, t, event);
	memcpy(c->unwind, outer, sizeof(outer));
}

/* The new task's registers; its segments are invalid until load_segments(). */
static void adopt(struct vcpu *c, const struct task_state *t)
{
	for (unsigned n = 0; n < 8; n++)
		c->gpr[n] = t->gpr[n];
	rflags_set(c, (t->eflags & (F_STATUS | F_TF | F_IF | F_DF | F_IOPL | F_NT | F_VM | F_AC |
				    F_VIF | F_VIP | F_ID)) |
			      (debug_armed(c) ? t->eflags & F_RF : 0) | F_1);
	c->rf_loaded = true;
	c->rip = t->eip;
	c->cpl = t->eflags & F_VM ? 3 : t->selector[CS] & 3;
	for (unsigned n = 0; n < 6; n++)
		segment_set_null(&c->seg[n], t->selector[n]);
	/* Until SS is loaded its privilege is known only from CS. */
	c->seg[SS].rights |= (uint32_t)c->cpl << SEG_DPL_SHIFT;
	segment_set_null(&c->seg[LDTR], t->ldt);
	c->cr0 |= CR0_TS;
	c->dr[7] &= ~0x155ull; /* local breakpoints */
	mode_update(c);
}

static void tss_descriptor(struct vcpu *c, uint16_t selector, enum task_switch_reason reason,
			   struct descriptor *d, struct segment *tr)
{
	uint8_t vector = reason == TASK_RETURN ? EXC_TS : EXC_GP;
	unsigned want = reason == TASK_RETURN ? TYPE_TSS16_BUSY : TYPE_TSS16;

	if (selector & 4 || is_null(selector))
		raise_fault_code(c, vector, selector_error(c, selector));
	descriptor_get(c, selector, vector, d);
	if ((descriptor_type(d) & ~8u) != want)
		raise_fault_code(c, vector, selector_error(c, selector));
	if (!descriptor_present(d))
		raise_fault_code(c, EXC_NP, selector_error(c, selector));
	segment_unpack(d, selector, tr);
	tr->rights |= TYPE_BUSY;
	if (tr->limit < (descriptor_type(d) & 8 ? TSS32_BYTES - 1u : TSS16_BYTES - 1u))
		ts_fault(c, selector);
}

void task_switch(struct vcpu *c, uint16_t selector, enum task_switch_reason reason,
		 uint64_t return_rip, const struct event *event)
{
	bool nests = reason == TASK_CALL || reason == TASK_EVENT;
	uint32_t saved_flags = rflags_get(c);
	struct descriptor new_tss, old_tss;
	struct task_state t = { 0 };
	struct segment tr;

	tss_descriptor(c, selector, reason, &new_tss, &tr);
	t.is_32bit = descriptor_type(&new_tss) & 8;
	tss_read(c, tr.base, &t);
	if (reason == TASK_RETURN)
		saved_flags &= ~(uint32_t)F_NT;
	if (event && event->kind == EVENT_FAULT)
		saved_flags |= F_RF;
	tss_write(c, return_rip, saved_flags);
	if (nests) {
		mem_write_system(c, (uint32_t)tr.base, 2, c->seg[TR].selector);
		t.eflags |= F_NT;
	} else if (descriptor_find(c, c->seg[TR].selector, &old_tss)) {
		descriptor_set_busy(c, &old_tss, false);
	}
	if (reason != TASK_RETURN)
		descriptor_set_busy(c, &new_tss, true);

	c->seg[TR] = tr;
	adopt(c, &t);
	if (t.is_32bit && c->cr0 & CR0_PG) {
		if (c->cr4 & CR4_PAE && !mmu_load_pdptrs(c, t.cr3))
			unimplemented(c, "task switch to bad PDPTEs, CR3", t.cr3);
		c->cr3 = t.cr3;
		tlb_flush_non_global(c);
	}
	load_segments_guarded(c, &t, event);
	c->rip = t.eip;
	if (t.traps && c->raised.kind == EVENT_NONE)
		c->raised = (struct event){
			.kind = EVENT_TRAP, .vector = EXC_DB, .payload = BIT(15) /* BT */
		};
	events_leave(c);
	mode_update(c);
}

void task_gate_follow(struct vcpu *c, const struct descriptor *gate, enum task_switch_reason reason,
		      uint64_t return_rip, const struct event *event)
{
	task_switch(c, gate_selector(gate), reason, return_rip, event);
}
