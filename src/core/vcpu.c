/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A vCPU's thread: KVM_RUN, and the way of its exits to the buses.
 *
 * The thread takes the board's lock only to park and to deliver an exit. A kick sets `out` and
 * kvm_run.immediate_exit, then signals. An I/O exit is finished by the next KVM_RUN, which returns
 * at once with EINTR when kicked; so a parked vCPU never has half an instruction in hand.
 *
 * A PIC that is a device hands its vector over by KVM_INTERRUPT when the last KVM_RUN said that the
 * guest can take it. What is handed over must get into the guest: the KVM_RUN that follows is
 * shielded from immediate_exit against the first kick, which only signals (kickers kick again after
 * a while), and ends when the next interrupt may come. A halted vCPU is woken beforehand: the signal
 * would end its KVM_RUN before it has taken the vector from where no ioctl sees it.
 */
#include "core/internal.h"

#include <errno.h>
#include <stdlib.h>

int vcpu_open(struct vcpu *vcpu, struct err *err)
{
	size_t bytes;

	vcpu->kvm = kvm_ioctl_new(vcpu->board->vm, KVM_CREATE_VCPU,
				  (void *)(uintptr_t)vcpu->index, err);
	if (!vcpu->kvm)
		return err && err->code ? -err->code : -EIO;
	vcpu->run = kvm_run_pages(vcpu->kvm, &bytes);
	if (!vcpu->run || bytes < sizeof(*vcpu->run)) {
		kvm_close(vcpu->kvm);
		return fail(err, EIO, "vCPU %u shows no kvm_run", vcpu->index);
	}
	return 0;
}

void vcpu_close(struct vcpu *vcpu)
{
	kvm_close(vcpu->kvm);
	free(vcpu->power_on);
}

void vcpu_kick(struct vcpu *vcpu)
{
	if (vcpu->parked || !vcpu->thread)
		return;
	__atomic_store_n(&vcpu->out, true, __ATOMIC_SEQ_CST);
	if (!__atomic_exchange_n(&vcpu->shielded, false, __ATOMIC_SEQ_CST))
		__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	if (thread_number(vcpu->thread) != thread_self())
		thread_kick(vcpu->thread);
}

void vcpu_kick_other(struct vcpu *vcpu)
{
	if (vcpu->thread && thread_number(vcpu->thread) != thread_self())
		vcpu_kick(vcpu);
}

static void on_io(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	uint8_t *at = (uint8_t *)run + run->io.data_offset;
	unsigned size = run->io.size;
	uint16_t port = run->io.port;

	for (uint32_t i = run->io.count; i; i--, at += size) {
		if (run->io.direction == KVM_EXIT_IO_OUT)
			board_port_write(vcpu->board, port, size, load_le(at, size));
		else
			store_le(at, board_port_read(vcpu->board, port, size), size);
	}
}

static void on_mmio(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	unsigned size = MIN(run->mmio.len, 8u);
	uint64_t gpa = a20_mask(vcpu->board, run->mmio.phys_addr);

	if (run->mmio.is_write)
		board_mmio_write(vcpu->board, gpa, size, load_le(run->mmio.data, size));
	else
		store_le(run->mmio.data, board_mmio_read(vcpu->board, gpa, size), size);
}

static void on_failure(struct vcpu *vcpu, const char *what, uint64_t detail)
{
	struct kvm_regs regs = { 0 };

	kvm_ioctl(vcpu->kvm, KVM_GET_REGS, &regs);
	log_line("vCPU %u: %s %#llx at rip %#llx, rax %#llx, rsp %#llx", vcpu->index, what,
		 (unsigned long long)detail, regs.rip, regs.rax, regs.rsp);
	board_request(vcpu->board, BOARD_FAILED, 0);
}

static void on_system_event(struct vcpu *vcpu)
{
	switch (vcpu->run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		board_request(vcpu->board, BOARD_POWEROFF, 0);
		break;
	case KVM_SYSTEM_EVENT_RESET:
		board_request(vcpu->board, BOARD_RESET, 0);
		break;
	case KVM_SYSTEM_EVENT_CRASH:
		board_request(vcpu->board, BOARD_PANIC, 0);
		break;
	default:
		on_failure(vcpu, "system event", vcpu->run->system_event.type);
	}
}

static void handle_exit(struct vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		on_io(vcpu);
		break;
	case KVM_EXIT_MMIO:
		on_mmio(vcpu);
		break;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
	case KVM_EXIT_SET_TPR:
		break;
	case KVM_EXIT_IOAPIC_EOI:
		board_eoi(vcpu->board, run->eoi.vector);
		break;
	case KVM_EXIT_SHUTDOWN: /* triple fault */
		board_request(vcpu->board, BOARD_RESET, 0);
		break;
	case KVM_EXIT_SYSTEM_EVENT:
		on_system_event(vcpu);
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		on_failure(vcpu, "KVM internal error", run->internal.suberror);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		on_failure(vcpu, "KVM entry failure",
			   run->fail_entry.hardware_entry_failure_reason);
		break;
	default:
		on_failure(vcpu, "unexpected exit", run->exit_reason);
	}
}

/* INTR is high: gives KVM the vector, or asks it to say when the guest can take it. */
static void offer_interrupt(struct vcpu *vcpu)
{
	struct board *board = vcpu->board;
	struct kvm_mp_state awake = { .mp_state = KVM_MP_STATE_RUNNABLE };
	struct kvm_interrupt interrupt;
	int vector = -1;

	vcpu->run->request_interrupt_window = 0;
	if (vcpu->index || !__atomic_load_n(&board->intr, __ATOMIC_SEQ_CST))
		return;
	board_lock(board);
	vcpu->run->request_interrupt_window = 1;
	if (vcpu->run->ready_for_interrupt_injection && !vcpu->out)
		vector = board_take_intr(board);
	if (vector >= 0) {
		interrupt.irq = (uint32_t)vector;
		vcpu->run->ready_for_interrupt_injection = 0;
		__atomic_store_n(&vcpu->shielded, true, __ATOMIC_SEQ_CST);
		if (kvm_ioctl(vcpu->kvm, KVM_SET_MP_STATE, &awake) < 0 ||
		    kvm_ioctl(vcpu->kvm, KVM_INTERRUPT, &interrupt) < 0)
			log_line("vCPU %u did not take interrupt %d", vcpu->index, vector);
	}
	board_unlock(board);
}

/* Not under the lock. Returns when kicked. */
static void run_until_out(struct vcpu *vcpu)
{
	for (;;) {
		long code;

		offer_interrupt(vcpu);
		code = kvm_ioctl(vcpu->kvm, KVM_RUN, NULL);
		__atomic_store_n(&vcpu->shielded, false, __ATOMIC_SEQ_CST);
		if (__atomic_load_n(&vcpu->out, __ATOMIC_SEQ_CST)) /* the kick met the shield */
			vcpu->run->immediate_exit = 1;
		if (code >= 0) {
			handle_exit(vcpu);
			continue;
		}
		if (code != -EINTR && code != -EAGAIN)
			on_failure(vcpu, "KVM_RUN failed, errno", (uint64_t)-code);
		if (__atomic_load_n(&vcpu->out, __ATOMIC_SEQ_CST))
			return;
	}
}

/* Its state was changed: asks KVM anew whether the guest can take an interrupt. It would not say so
 * by itself while the guest is halted. */
static void refresh_ready(struct vcpu *vcpu)
{
	if (!vcpu->board->is_split)
		return;
	vcpu->run->immediate_exit = 1;
	kvm_ioctl(vcpu->kvm, KVM_RUN, NULL);
}

static void do_task(struct vcpu *vcpu)
{
	vcpu->task_result = kvm_ioctl(vcpu->kvm, vcpu->task, vcpu->task_argument);
	refresh_ready(vcpu);
	vcpu->task_waiting = false;
	cond_wake_all(&vcpu->board->parked);
}

static void vcpu_main(void *context)
{
	struct vcpu *vcpu = context;
	struct board *board = vcpu->board;

	board_lock(board);
	while (!board->quitting) {
		if (vcpu->task_waiting) {
			do_task(vcpu);
			continue;
		}
		if (!board->running || board->held) {
			vcpu->parked = true;
			cond_wake_all(&board->parked);
			board_wait(board, &board->wake, UINT64_MAX);
			continue;
		}
		if (vcpu->parked)
			refresh_ready(vcpu);
		vcpu->parked = false;
		__atomic_store_n(&vcpu->out, false, __ATOMIC_SEQ_CST);
		__atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
		board_unlock(board);
		run_until_out(vcpu);
		board_lock(board);
	}
	vcpu->parked = true;
	board_unlock(board);
}

void vcpu_start_thread(struct vcpu *vcpu)
{
	char name[16];

	snprintf(name, sizeof(name), "vcpu %u", vcpu->index);
	vcpu->thread = thread_start(name, vcpu_main, vcpu);
	if (!vcpu->thread) {
		log_line("no thread for vCPU %u", vcpu->index);
		board_request(vcpu->board, BOARD_FAILED, 0);
	}
}

long board_vcpu_ioctl(struct board *board, unsigned index, unsigned long request, void *argument)
{
	struct vcpu *vcpu;
	long result;

	board_lock(board);
	if (index >= board->vcpu_count) {
		board_unlock(board);
		return -ENOENT;
	}
	vcpu = &board->vcpus[index];
	while (vcpu->task_waiting)
		board_wait(board, &board->parked, UINT64_MAX);
	/* A parked thread needs the lock to run again. */
	if (!vcpu->thread || vcpu->parked || thread_number(vcpu->thread) == thread_self()) {
		result = kvm_ioctl(vcpu->kvm, request, argument);
	} else {
		vcpu->task = request;
		vcpu->task_argument = argument;
		vcpu->task_waiting = true;
		while (vcpu->task_waiting) {
			vcpu_kick(vcpu);
			board_wait(board, &board->parked, 10 * MILLISECOND);
		}
		result = vcpu->task_result;
	}
	board_unlock(board);
	return result;
}

/* The one on whose thread we are. */
static struct vcpu *current_vcpu(struct board *board)
{
	for (unsigned i = 0; i < board->vcpu_count; i++) {
		struct vcpu *vcpu = &board->vcpus[i];

		if (vcpu->thread && thread_number(vcpu->thread) == thread_self())
			return vcpu;
	}
	return NULL;
}

bool cpu_registers_get(struct dev *dev, struct cpu_registers *registers)
{
	struct vcpu *vcpu = current_vcpu(dev->board);
	struct kvm_regs regs;

	if (!vcpu || kvm_ioctl(vcpu->kvm, KVM_GET_REGS, &regs))
		return false;
	*registers = (struct cpu_registers){ regs.rax, regs.rbx, regs.rcx, regs.rdx };
	return true;
}

void cpu_registers_set(struct dev *dev, const struct cpu_registers *registers)
{
	struct vcpu *vcpu = current_vcpu(dev->board);
	struct kvm_regs regs;

	if (!vcpu || kvm_ioctl(vcpu->kvm, KVM_GET_REGS, &regs))
		return;
	regs.rax = registers->rax;
	regs.rbx = registers->rbx;
	regs.rcx = registers->rcx;
	regs.rdx = registers->rdx;
	kvm_ioctl(vcpu->kvm, KVM_SET_REGS, &regs);
}
