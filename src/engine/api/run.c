/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * KVM_RUN.
 *
 * An instruction that waits for the VMM's answer is finished first. Then, in a loop: requests from
 * other threads, sleeping while halted, events into the guest, and the interpreter until one of
 * these is due again. The vCPU is `running` all the time but for sleep.
 *
 * A VMM gets KVM_RUN to return by setting run->immediate_exit in a signal handler: the interpreter
 * looks at it with c->requests, and sleep is a futex on the word of `run` that holds it, so there
 * is no moment to miss it. Who wakes a sleeper changes the other half of that word.
 *
 * Manual: the kernel's KVM API document, 4.10 (KVM_RUN), 4.17 (KVM_SET_SIGNAL_MASK), 5 (kvm_run).
 * Not modelled: a handler that does not set immediate_exit ends KVM_RUN only while the vCPU sleeps;
 * signals that a KVM_SET_SIGNAL_MASK lets in are noticed within about a millisecond. SMIs are
 * dropped.
 */
#include "engine/api/object.h"
#include "engine/fpu/fpu.h"
#include "engine/interp/interp.h"
#include "engine/irqchip/irqchip.h"
#include "engine/mmu/io.h"
#include "engine/mmu/mmu.h"
#include "engine/mmu/window.h"
#include "engine/sys/log.h"
#include "engine/sys/sys.h"

enum { SIGNAL_POLL_NS = 1000000, SLEEP_POLL_NS = 2000000 };

/* The first word of kvm_run: request_interrupt_window, immediate_exit, VCPU_KICK, padding. */
static uint32_t *sleep_word(struct vcpu *c)
{
	_Static_assert(offsetof(struct kvm_run, immediate_exit) == 1, "in the first word");
	return (uint32_t *)c->run;
}

void vcpu_request(struct vcpu *c, uint32_t bits)
{
	__atomic_fetch_or(&c->requests, bits, __ATOMIC_SEQ_CST);
	vcpu_kick(c);
	if (__atomic_load_n(&c->sleeping, __ATOMIC_SEQ_CST))
		port_wake(sleep_word(c));
}

void run_on_signal_timer(void *vcpu)
{
	vcpu_request(vcpu, REQUEST_EXIT);
}

static bool must_leave(struct vcpu *c)
{
	if (__atomic_load_n(&c->run->immediate_exit, __ATOMIC_SEQ_CST))
		return true;
	return c->has_signal_mask && port_signal_pending(c->signal_mask);
}

/* Has the interrupt controllers to itself: no VMM that queues interrupts. */
static bool has_full_irqchip(const struct vcpu *c)
{
	return c->vm->irqchip && !c->vm->split_irqchip;
}

/* Until a request, immediate_exit, a signal or the LAPIC timer. 0 or -EINTR. */
static int sleep_until_event(struct vcpu *c)
{
	uint64_t due = lapic_timer_deadline_ns(c), deadline = due, from = port_now_ns(), now;
	uint32_t word;
	int result = 0;

	if (c->has_signal_mask)
		deadline = MIN(deadline, from + SLEEP_POLL_NS);
	pv_sleep_begins(c);
	vcpu_leave(c);
	/* Pairs with vcpu_request(): it sets `requests`, then looks at `sleeping`. */
	__atomic_store_n(&c->sleeping, 1, __ATOMIC_SEQ_CST);
	(void)vcpu_take_kick(c); /* the next one changes the word */
	word = __atomic_load_n(sleep_word(c), __ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&c->requests, __ATOMIC_SEQ_CST) && !must_leave(c))
		result = port_wait(sleep_word(c), word, deadline);
	__atomic_store_n(&c->sleeping, 0, __ATOMIC_SEQ_CST);
	vcpu_enter(c);
	pv_sleep_ended(c);
	now = port_now_ns();
	interp_slept(c, from, now);
	if (due != UINT64_MAX && now >= due)
		lapic_timer_fired(c);
	return result == -EINTR ? -EINTR : 0;
}

static void exit_shutdown(struct vcpu *c)
{
	c->run->exit_reason = KVM_EXIT_SHUTDOWN;
	c->exit_ready = true;
}

static void serve_requests(struct vcpu *c)
{
	uint32_t requests;
	int vector;

	vcpu_do_flushes(c);
	requests = __atomic_fetch_and(&c->requests, REQUEST_TLB_FLUSH | REQUEST_CODE_FLUSH,
				      __ATOMIC_SEQ_CST);
	if (requests & REQUEST_TIMER)
		lapic_timer_fired(c);
	if (requests & REQUEST_CLOCK)
		pv_clock_update(c);
	if (requests & REQUEST_SHUTDOWN)
		exit_shutdown(c);
	if (!(requests & REQUEST_EVENT) || !c->lapic)
		return;
	lapic_accept_events(c);
	if (lapic_take_smi(c))
		port_log("vcpu %u: system management interrupts are not modelled", c->index);
	if (c->exit_ready)
		return;
	vector = lapic_take_eoi_exit(c);
	if (vector >= 0) {
		c->run->exit_reason = KVM_EXIT_IOAPIC_EOI;
		c->run->eoi.vector = (uint8_t)vector;
		c->exit_ready = true;
		vcpu_request(c, REQUEST_EVENT); /* there may be more */
	}
}

/* Runs something that may unwind; 0 or the reason it did. */
static int guarded(struct vcpu *c, void (*work)(struct vcpu *c))
{
	int reason = setjmp(c->unwind);

	if (!reason) {
		c->can_unwind = true;
		work(c);
	}
	c->can_unwind = false;
	return reason;
}

/* Moves the next NMI or interrupt to c->injected. False: there is none, or it has to wait. */
static bool choose_event(struct vcpu *c)
{
	int vector;

	if (lapic_take_nmi(c)) /* also while one is pending: it drops what is too many */
		c->nmi_pending = true;
	if (c->nmi_pending && nmi_allowed(c)) {
		c->nmi_pending = false;
		c->injected = (struct event){ .kind = EVENT_NMI, .vector = EXC_NMI };
		return true;
	}
	if (interrupts_allowed(c) && irq_pending(c)) {
		vector = irq_acknowledge(c);
		if (vector >= 0) {
			c->injected = (struct event){ .kind = EVENT_INTERRUPT,
						      .vector = (uint8_t)vector };
			return true;
		}
	}
	c->event_waiting = c->nmi_pending || irq_pending(c) ||
			   (c->run->request_interrupt_window && !has_full_irqchip(c));
	return false;
}

/* Everything due goes into the guest; or exit_ready is set. */
static void deliver_events(struct vcpu *c)
{
	while (!c->exit_ready) {
		if (c->raised.kind != EVENT_NONE) {
			io_commit(c);
			c->ports_ready = 0;
			if (!event_combine(c)) {
				if (log_wants(c, VM_LOG_INT))
					log_triple_fault(c);
				exit_shutdown(c);
				return;
			}
		}
		if (c->injected.kind == EVENT_NONE && !choose_event(c))
			return;
		if (c->injected.kind == EVENT_INTERRUPT && c->mode & MODE_USER)
			window_tick(c);
		else
			window_lend(c);
		c->insn = NULL;
		guarded(c, event_deliver);
	}
}

bool vcpu_ready_for_interrupt(const struct vcpu *c)
{
	return !c->user_interrupt_queued && c->injected.kind == EVENT_NONE &&
	       c->raised.kind == EVENT_NONE && interrupts_allowed(c) && lapic_accepts_pic(c);
}

static bool is_awake(struct vcpu *c)
{
	switch (c->mp_state) {
	case KVM_MP_STATE_RUNNABLE:
		return true;
	case KVM_MP_STATE_SIPI_RECEIVED:
		c->mp_state = KVM_MP_STATE_RUNNABLE;
		return true;
	case KVM_MP_STATE_HALTED:
		break;
	default:
		return false;
	}
	if (lapic_take_nmi(c))
		c->nmi_pending = true;
	if (lapic_take_unhalt(c) || c->raised.kind != EVENT_NONE ||
	    c->injected.kind != EVENT_NONE || (c->nmi_pending && nmi_allowed(c)) ||
	    (interrupts_allowed(c) && irq_pending(c)))
		c->mp_state = KVM_MP_STATE_RUNNABLE;
	return c->mp_state == KVM_MP_STATE_RUNNABLE;
}

/* Is it the moment that the VMM's interrupt controller asked for? Then KVM_RUN returns. */
static bool exit_window_open(struct vcpu *c)
{
	if (!c->run->request_interrupt_window || has_full_irqchip(c) ||
	    !vcpu_ready_for_interrupt(c))
		return false;
	c->run->exit_reason = KVM_EXIT_IRQ_WINDOW_OPEN;
	c->exit_ready = true;
	return true;
}

/* One turn: to the next exit, request or event. 0, or -EINTR if a signal ended sleep. */
static int turn(struct vcpu *c)
{
	serve_requests(c);
	if (c->exit_ready)
		return 0;
	if (!is_awake(c)) {
		if (c->mp_state == KVM_MP_STATE_HALTED && exit_window_open(c))
			return 0;
		return sleep_until_event(c);
	}
	deliver_events(c);
	if (c->exit_ready || c->mp_state != KVM_MP_STATE_RUNNABLE)
		return 0;
	if (exit_window_open(c))
		return 0;
	if (c->has_signal_mask)
		port_timer_arm(c->signal_timer, port_now_ns() + SIGNAL_POLL_NS);
	interp_run(c);
	return 0;
}

/* The bytes at RIP, for whoever has to find out what we cannot run. */
static void describe_failure(struct vcpu *c)
{
	struct kvm_run *run = c->run;
	gva_t rip = c->seg[CS].base + c->rip;
	struct translation t;
	uint8_t bytes[15];

	if (!mmu_translate(c, rip, ACCESS_FETCH, c->cpl == 3, &t) ||
	    gpa_read(c->vm, t.gpa, bytes, MIN(sizeof(bytes), PAGE_BYTES - (t.gpa & ~PAGE_MASK))))
		return;
	run->emulation_failure.ndata = 3;
	run->emulation_failure.flags = KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
	run->emulation_failure.insn_size = sizeof(bytes);
	memcpy(run->emulation_failure.insn_bytes, bytes, sizeof(bytes));
}

static int take_exit(struct vcpu *c)
{
	c->exit_ready = false;
	c->io_rip = c->rip;
	if (c->run->exit_reason == KVM_EXIT_INTERNAL_ERROR &&
	    c->run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION)
		describe_failure(c);
	return c->run_result;
}

static int run_loop(struct vcpu *c)
{
	bool unfinished = io_complete(c);

	c->exit_ready = false;
	c->run_result = 0;
	c->run->exit_reason = KVM_EXIT_UNKNOWN;
	if (unfinished)
		interp_step(c);
	for (;;) {
		int result;

		if (c->exit_ready)
			return take_exit(c);
		if (must_leave(c)) {
			c->run->exit_reason = KVM_EXIT_INTR;
			return -EINTR;
		}
		result = turn(c);
		if (result && !c->exit_ready) {
			c->run->exit_reason = KVM_EXIT_INTR;
			return result;
		}
	}
}

/* What the VMM wrote into kvm_run. */
static int take_run_state(struct vcpu *c)
{
	const uint64_t valid = (uint64_t)extension_value(KVM_CAP_SYNC_REGS);
	struct kvm_run *run = c->run;
	struct kvm_sync_regs *regs = &run->s.regs;
	uint64_t dirty = run->kvm_dirty_regs;
	int error = 0;

	if ((run->kvm_valid_regs | dirty) & ~valid)
		return -EINVAL;
	if (dirty & KVM_SYNC_X86_REGS)
		regs_set(c, &regs->regs);
	if (dirty & KVM_SYNC_X86_SREGS)
		error = sregs_set(c, &regs->sregs);
	if (!error && dirty & KVM_SYNC_X86_EVENTS)
		error = events_set(c, &regs->events);
	run->kvm_dirty_regs = 0;
	if (!error && !c->lapic && !cr8_write(c, run->cr8))
		error = -EINVAL;
	return error;
}

static void give_run_state(struct vcpu *c)
{
	struct kvm_run *run = c->run;

	run->if_flag = !!(c->rflags & F_IF);
	run->flags = 0;
	run->cr8 = cr8_read(c);
	run->apic_base = lapic_base_get(c);
	run->ready_for_interrupt_injection = has_full_irqchip(c) || vcpu_ready_for_interrupt(c);
	if (run->kvm_valid_regs & KVM_SYNC_X86_REGS)
		regs_get(c, &run->s.regs.regs);
	if (run->kvm_valid_regs & KVM_SYNC_X86_SREGS)
		sregs_get(c, &run->s.regs.sregs);
	if (run->kvm_valid_regs & KVM_SYNC_X86_EVENTS)
		events_get(c, &run->s.regs.events);
}

int vcpu_run(struct vcpu *c)
{
	int result = take_run_state(c);

	if (result)
		return result;
	fpu_enter(c);
	pv_run_entered(c);
	result = run_loop(c);
	c->count_exits[c->run->exit_reason % ARRAY_LEN(c->count_exits)]++;
	event_give_payload(c);
	pv_run_left(c);
	fpu_leave(c);
	if (c->has_signal_mask)
		port_timer_stop(c->signal_timer);
	give_run_state(c);
	return result;
}
