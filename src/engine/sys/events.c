/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Events: exceptions, interrupts, NMIs and INT instructions on their way into the guest.
 *
 * c->injected says what; c->rip is where the interrupted code stands (at an INT instruction: at
 * its start). Delivery checks and writes everything before it changes a register, so it can
 * fault, or leave for MMIO, and be done again.
 *
 * Manual: SDM 3 ch. 6; SDM 2 "INT n/INTO/INT3/INT1"; SDM 3 20.1.4, 20.3 (real and virtual-8086).
 * Not modelled: RF in the image of an interrupt that stopped a REP instruction.
 */
#include "engine/sys/far.h"
#include "engine/sys/log.h"

struct gate {
	struct segment cs;
	uint64_t offset;
	uint8_t type, ist;
	uint8_t cpl;   /* of the handler */
	unsigned size; /* of each thing pushed */
};

static bool is_software(const struct event *e)
{
	return e->kind == EVENT_SOFTWARE || e->kind == EVENT_INT1;
}

/* RIP pushed: behind an INT instruction, else where we are. */
static uint64_t return_rip(const struct vcpu *c, const struct event *e)
{
	uint64_t rip = c->rip + (is_software(e) ? e->length : 0);

	return code_is_64bit(c) ? rip : (uint32_t)rip;
}

/* RFLAGS pushed: RF keeps a faulting instruction from hitting its breakpoint twice. */
static uint64_t flags_image(const struct vcpu *c, const struct event *e)
{
	return rflags_get(c) | (e->kind == EVENT_FAULT ? F_RF : 0);
}

static NORETURN void gate_fault(struct vcpu *c, uint8_t vector, const struct event *e)
{
	raise_fault_code(c, vector, e->vector * 8 + 2 + selector_error(c, 0));
}

/* The handler's code segment. */
static void gate_code_segment(struct vcpu *c, uint16_t selector, struct gate *gate)
{
	struct descriptor d;
	unsigned dpl;

	if (is_null(selector))
		raise_fault_code(c, EXC_GP, selector_error(c, 0));
	descriptor_get(c, selector, EXC_GP, &d);
	dpl = descriptor_dpl(&d);
	if (!descriptor_is_code(&d) || dpl > c->cpl)
		raise_fault_code(c, EXC_GP, selector_error(c, selector));
	if (in_long_mode(c) && (d.low >> 40 & (SEG_LONG | SEG_BIG)) != SEG_LONG)
		raise_fault_code(c, EXC_GP, selector_error(c, selector));
	gate->cpl = is_conforming(descriptor_rights(&d)) ? c->cpl : dpl;
	if (c->mode & MODE_VM86 && gate->cpl != 0)
		raise_fault_code(c, EXC_GP, selector_error(c, selector));
	code_segment_prepare(c, &d, selector, gate->cpl, &gate->cs);
}

/* The IDT entry, its checks done; task gates are left to the caller. */
static void gate_read(struct vcpu *c, const struct event *e, struct descriptor *d)
{
	unsigned bytes = in_long_mode(c) ? 16 : 8, type;
	uint32_t at = e->vector * bytes;

	if (at + bytes - 1 > c->idt.limit)
		gate_fault(c, EXC_GP, e);
	d->address = in_long_mode(c) ? c->idt.base + at : (uint32_t)(c->idt.base + at);
	d->low = mem_read_system(c, d->address, 8);
	d->high = bytes == 16 ? mem_read_system(c, d->address + 8, 8) : 0;
	type = descriptor_type(d);
	if (type != TYPE_INT32 && type != TYPE_TRAP32 &&
	    (in_long_mode(c) ||
	     (type != TYPE_TASK_GATE && type != TYPE_INT16 && type != TYPE_TRAP16)))
		gate_fault(c, EXC_GP, e);
	if (e->kind == EVENT_SOFTWARE && descriptor_dpl(d) < c->cpl)
		gate_fault(c, EXC_GP, e);
	if (!descriptor_present(d))
		gate_fault(c, EXC_NP, e);
}

static void gate_unpack(struct vcpu *c, const struct descriptor *d, struct gate *gate)
{
	bool is_16bit;

	gate->type = descriptor_type(d);
	is_16bit = gate->type == TYPE_INT16 || gate->type == TYPE_TRAP16;
	gate->ist = in_long_mode(c) ? d->low >> 32 & 7 : 0;
	gate->size = in_long_mode(c) ? 8 : is_16bit ? 2 : 4;
	gate->offset = is_16bit ? d->low & 0xffff : gate_offset(d);
	gate_code_segment(c, gate_selector(d), gate);
	code_offset_check(c, &gate->cs, gate->offset);
}

static uint64_t ist_read(struct vcpu *c, unsigned ist)
{
	const struct segment *tr = &c->seg[TR];
	unsigned at = 0x24 + 8 * (ist - 1);

	if (tr->rights & SEG_UNUSABLE || at + 7 > tr->limit)
		raise_fault_code(c, EXC_TS, selector_error(c, tr->selector));
	return mem_read_system(c, tr->base + at, 8);
}

/* The stack the frame goes to. */
static void handler_stack(struct vcpu *c, const struct gate *gate, struct stack *s)
{
	struct segment ss = c->seg[SS];
	uint16_t selector = 0;
	uint64_t sp = c->gpr[RSP];

	if (gate->cpl == c->cpl && !in_long_mode(c)) {
		stack_current(c, s);
		return;
	}
	if (gate->ist)
		sp = ist_read(c, gate->ist);
	else if (gate->cpl < c->cpl)
		tss_stack_read(c, gate->cpl, &selector, &sp);
	if (in_long_mode(c)) {
		sp &= ~15ull;
		if (gate->cpl < c->cpl) {
			segment_set_null(&ss, gate->cpl);
			ss.rights |= (uint32_t)gate->cpl << SEG_DPL_SHIFT;
		}
	} else {
		segment_prepare_stack(c, selector, gate->cpl, EXC_TS, &ss);
	}
	stack_other(c, s, &ss, sp, gate->cpl);
}

static void push_frame(struct vcpu *c, struct stack *s, const struct gate *gate,
		       const struct event *e)
{
	if (c->mode & MODE_VM86) {
		stack_push(c, s, gate->size, c->seg[GS].selector);
		stack_push(c, s, gate->size, c->seg[FS].selector);
		stack_push(c, s, gate->size, c->seg[DS].selector);
		stack_push(c, s, gate->size, c->seg[ES].selector);
	}
	if (!s->current) {
		stack_push(c, s, gate->size, c->seg[SS].selector);
		stack_push(c, s, gate->size, c->gpr[RSP]);
	}
	stack_push(c, s, gate->size, flags_image(c, e));
	stack_push(c, s, gate->size, c->seg[CS].selector);
	stack_push(c, s, gate->size, return_rip(c, e));
	if (e->has_error)
		stack_push(c, s, gate->size, e->error);
}

static void deliver_protected(struct vcpu *c, const struct event *e)
{
	static const uint8_t vm86_data[] = { ES, DS, FS, GS };
	bool from_vm86 = c->mode & MODE_VM86;
	struct descriptor d;
	struct gate gate;
	struct stack s;

	gate_read(c, e, &d);
	if (descriptor_type(&d) == TYPE_TASK_GATE) {
		task_gate_follow(c, &d, TASK_EVENT, return_rip(c, e), e);
		return;
	}
	gate_unpack(c, &d, &gate);
	handler_stack(c, &gate, &s);
	push_frame(c, &s, &gate, e);

	c->seg[SS] = s.ss;
	c->gpr[RSP] = s.sp;
	for (unsigned n = 0; from_vm86 && n < ARRAY_LEN(vm86_data); n++)
		segment_set_null(&c->seg[vm86_data[n]], 0);
	c->rflags &= ~(uint32_t)(F_TF | F_NT | F_RF | F_VM);
	if (gate.type == TYPE_INT32 || gate.type == TYPE_INT16)
		c->rflags &= ~(uint32_t)F_IF;
	code_switch(c, &gate.cs, gate.cpl);
	c->rip = gate.offset;
}

/* Through a real-mode vector table at `table`; `image` is what is pushed as FLAGS. */
static void deliver_ivt(struct vcpu *c, const struct event *e, gva_t table, uint16_t image,
			uint32_t cleared)
{
	uint32_t vector = mem_read(c, table + 4u * e->vector, 4);
	struct segment cs;
	struct stack s;

	segment_set_real(c, CS, vector >> 16, &cs);
	stack_current(c, &s);
	stack_push(c, &s, 2, image);
	stack_push(c, &s, 2, c->seg[CS].selector);
	stack_push(c, &s, 2, return_rip(c, e));
	c->gpr[RSP] = s.sp;
	c->rflags &= ~cleared;
	code_switch(c, &cs, c->cpl);
	c->rip = vector & 0xffff;
}

static void deliver_real(struct vcpu *c, const struct event *e)
{
	if (e->vector * 4u + 3 > c->idt.limit)
		gate_fault(c, EXC_GP, e);
	deliver_ivt(c, e, c->idt.base, flags_image(c, e), F_IF | F_TF | F_AC | F_RF);
}

static bool is_debug(const struct event *e)
{
	return e->vector == EXC_DB && e->kind != EVENT_SOFTWARE && e->kind != EVENT_INTERRUPT;
}

static void give_payload(struct vcpu *c, struct event *e)
{
	if (e->payload_done)
		return;
	if (e->vector == EXC_PF && e->kind == EVENT_FAULT)
		c->cr2 = e->payload;
	else if (is_debug(e))
		debug_merge(c, e->payload | (e->kind == EVENT_INT1 ? c->pending_debug : 0));
	e->payload_done = true;
}

const struct event *event_give_payload(struct vcpu *c)
{
	struct event *e = c->raised.kind != EVENT_NONE ? &c->raised : &c->injected;

	if (e->kind != EVENT_NONE)
		give_payload(c, e);
	return e;
}

/* What a delivered event leaves behind besides the handler's frame. */
static void delivered(struct vcpu *c, const struct event *e)
{
	if (is_debug(e))
		c->dr[7] &= ~BIT(13); /* GD */
	if (e->kind == EVENT_NMI)
		c->nmi_masked = true;
	if (e->kind != EVENT_SOFTWARE)
		c->pending_debug = 0;
	if (c->mp_state == KVM_MP_STATE_HALTED)
		c->mp_state = KVM_MP_STATE_RUNNABLE;
	c->shadow_sti = false;
	c->shadow_mov_ss = false;
	c->shadow_ending = false;
	c->step_done = is_software(e);
	c->injected.kind = EVENT_NONE;
	if (e->kind == EVENT_FAULT || e->kind == EVENT_TRAP)
		c->count_faults[e->vector % ARRAY_LEN(c->count_faults)]++;
	else
		c->count_events[e->kind]++;
	mode_update(c);
}

void event_deliver(struct vcpu *c)
{
	struct event e, *raised = &c->raised;

	give_payload(c, &c->injected);
	e = c->injected;
	raised->kind = EVENT_NONE;
	if (log_wants(c, VM_LOG_INT))
		log_interrupt(c, &e);
	if (c->mode & MODE_PROTECTED)
		deliver_protected(c, &e);
	else
		deliver_real(c, &e);
	delivered(c, &e);
	if (raised->kind != EVENT_NONE && !is_software(&e))
		c->injected.kind = e.kind; /* a fault of the task switched to: event_combine() */
}

void event_software(struct vcpu *c, const struct insn *i, uint8_t vector)
{
	c->rip = insn_rip(c, i);
	c->injected = (struct event){
		.kind = EVENT_SOFTWARE,
		.vector = vector,
		.length = i->length,
	};
	event_deliver(c);
}

/* Virtual-8086 extensions: an INT n whose bit in the TSS is clear stays in the 8086 program. */
static bool redirected(struct vcpu *c, uint8_t vector)
{
	const struct segment *tr = &c->seg[TR];
	uint32_t map, at;

	if (!(c->cr4 & CR4_VME) || tr->rights & SEG_UNUSABLE || tr->limit < 0x67)
		return false;
	map = mem_read_system(c, (uint32_t)(tr->base + 0x66), 2);
	at = map - 32 + vector / 8;
	if (map < 32 || at > tr->limit)
		return false;
	return !(mem_read_system(c, (uint32_t)(tr->base + at), 1) >> vector % 8 & 1);
}

static void int_redirected(struct vcpu *c, const struct insn *i, uint8_t vector)
{
	struct event e = { .kind = EVENT_SOFTWARE, .vector = vector, .length = i->length };
	uint32_t image = flags_image(c, &e);
	bool virtual_if = iopl(c) < 3;

	if (virtual_if)
		image = (image & ~(uint32_t)F_IF) | F_IOPL | (image & F_VIF ? F_IF : 0);
	c->rip = insn_rip(c, i);
	if (log_wants(c, VM_LOG_INT))
		log_interrupt(c, &e);
	deliver_ivt(c, &e, 0, image, (virtual_if ? F_VIF : F_IF) | F_TF | F_NT | F_RF);
	c->step_done = true;
	mode_update(c);
}

void exec_int(struct vcpu *c, const struct insn *i)
{
	uint8_t vector = i->imm;

	if (c->mode & MODE_VM86) {
		if (redirected(c, vector)) {
			int_redirected(c, i, vector);
			return end_block(c, c->rip);
		}
		if (iopl(c) < 3)
			raise_gp(c);
	}
	event_software(c, i, vector);
	return end_block(c, c->rip);
}

void exec_int3(struct vcpu *c, const struct insn *i)
{
	if (debug_wants(c, EXC_BP)) {
		debug_exit(c, EXC_BP, linear_rip(c, insn_rip(c, i)), 0);
		unwind_exit(c);
	}
	event_software(c, i, EXC_BP);
	return end_block(c, c->rip);
}

void exec_into(struct vcpu *c, const struct insn *i)
{
	if (!flag_of(c))
		return next(c, i);
	event_software(c, i, EXC_OF);
	return end_block(c, c->rip);
}

/* ICEBP: a #DB that no gate's DPL stops. DR6 says nothing of it. */
void exec_int1(struct vcpu *c, const struct insn *i)
{
	c->rip = insn_rip(c, i);
	if (debug_wants(c, EXC_DB)) {
		debug_exit(c, EXC_DB, linear_rip(c, c->rip), 0);
		unwind_exit(c);
	}
	c->injected = (struct event){ .kind = EVENT_INT1, .vector = EXC_DB, .length = i->length };
	event_deliver(c);
	return end_block(c, c->rip);
}

enum event_class { BENIGN, CONTRIBUTORY, PAGE_FAULT, DOUBLE_FAULT };

static enum event_class class_of(const struct event *e)
{
	if (e->kind != EVENT_FAULT && e->kind != EVENT_TRAP)
		return BENIGN;
	switch (e->vector) {
	case EXC_DE:
	case EXC_TS:
	case EXC_NP:
	case EXC_SS:
	case EXC_GP:
		return CONTRIBUTORY;
	case EXC_PF:
		return PAGE_FAULT;
	case EXC_DF:
		return DOUBLE_FAULT;
	default:
		return BENIGN;
	}
}

bool event_combine(struct vcpu *c)
{
	enum event_class first = c->injected.kind ? class_of(&c->injected) : BENIGN;
	enum event_class second = class_of(&c->raised);
	bool is_double = (first == CONTRIBUTORY && second == CONTRIBUTORY) ||
			 (first == PAGE_FAULT && second != BENIGN);
	bool is_triple = first == DOUBLE_FAULT && second != BENIGN;

	c->injected = c->raised;
	c->raised.kind = EVENT_NONE;
	if (is_double)
		c->injected = (struct event){
			.kind = EVENT_FAULT,
			.vector = EXC_DF,
			.has_error = true,
		};
	return !is_triple;
}

bool interrupts_allowed(const struct vcpu *c)
{
	if (c->debug.control & KVM_GUESTDBG_ENABLE && c->debug.control & KVM_GUESTDBG_BLOCKIRQ)
		return false;
	return c->rflags & F_IF && !c->shadow_sti && !c->shadow_mov_ss &&
	       c->injected.kind == EVENT_NONE;
}

bool nmi_allowed(const struct vcpu *c)
{
	return !c->nmi_masked && !c->shadow_sti && !c->shadow_mov_ss &&
	       c->injected.kind == EVENT_NONE;
}

void events_recheck(struct vcpu *c)
{
	if (c->event_waiting)
		events_leave(c);
}

void events_leave(struct vcpu *c)
{
	__atomic_fetch_or(&c->requests, REQUEST_EVENT, __ATOMIC_RELAXED);
	vcpu_kick(c);
}

void nmi_unmask(struct vcpu *c)
{
	if (!c->nmi_masked)
		return;
	c->nmi_masked = false;
	events_recheck(c);
}
