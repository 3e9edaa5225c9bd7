/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Everything KVM keeps for a vCPU and for a VM: got for snapshots and at power-on, set for restore
 * and reset.
 *
 * The order matters. Of getting: asked for its run state, KVM takes what has come by INIT and SIPI;
 * asked for events, it puts the address of a page fault that is to be delivered into CR2. Of setting:
 * segment registers carry the APIC base, which the local APIC's page needs; the deadline MSR needs
 * the APIC's timer mode; the run state comes last.
 */
#include "core/internal.h"

#include <errno.h>
#include <stdlib.h>

enum { HAS_XSAVE = 1, HAS_XCRS = 2, HAS_DEBUGREGS = 4, HAS_EVENTS = 8, HAS_MP_STATE = 16,
       HAS_LAPIC = 32 };
enum { HAS_PIT = 1, HAS_CLOCK = 2, A20_OFF = 4 };
enum { MSR_TSC = 0x10 };

static int get_msr_list(struct board *board, struct vcpu_state *state, struct err *err)
{
	struct kvm_msr_list *list = must_alloc(sizeof(*list) + STATE_MSRS * sizeof(uint32_t));
	long code;

	list->nmsrs = STATE_MSRS;
	code = kvm_ioctl(board->system, KVM_GET_MSR_INDEX_LIST, list);
	for (unsigned i = 0; code >= 0 && i < MIN(list->nmsrs, (uint32_t)STATE_MSRS); i++)
		state->msrs[i] = (struct kvm_msr_entry){ .index = list->indices[i] };
	state->msr_count = code >= 0 ? MIN(list->nmsrs, (uint32_t)STATE_MSRS) : 0;
	free(list);
	return code < 0 ? fail(err, (int)-code, "KVM_GET_MSR_INDEX_LIST: %s", strerror((int)-code))
			: 0;
}

/* KVM stops at the first MSR it cannot get or set: step over it and go on. Returns how many. */
static unsigned each_msr(struct board *board, unsigned index, unsigned long request,
			 const struct kvm_msr_entry *in, unsigned count, struct kvm_msr_entry *out)
{
	struct kvm_msrs *msrs = must_alloc(sizeof(*msrs) + count * sizeof(*in));
	unsigned kept = 0, at = 0;

	while (at < count) {
		long done;

		msrs->nmsrs = count - at;
		memcpy(msrs->entries, in + at, msrs->nmsrs * sizeof(*in));
		done = board_vcpu_ioctl(board, index, request, msrs);
		if (done < 0)
			break;
		done = MIN(done, (long)(count - at));
		if (out)
			memmove(out + kept, msrs->entries, (size_t)done * sizeof(*out));
		kept += (unsigned)done;
		at += (unsigned)done + 1;
	}
	free(msrs);
	return kept;
}

static int must(struct board *board, unsigned index, unsigned long request, void *argument,
		const char *name, struct err *err)
{
	long code = board_vcpu_ioctl(board, index, request, argument);

	return code < 0 ? fail(err, (int)-code, "%s of vCPU %u: %s", name, index,
			       strerror((int)-code))
			: 0;
}

static bool may(struct board *board, unsigned index, unsigned long request, void *argument)
{
	return board_vcpu_ioctl(board, index, request, argument) >= 0;
}

int vcpu_state_get(struct board *board, unsigned index, struct vcpu_state *state, struct err *err)
{
	int code;

	state->has = 0;
	if (may(board, index, KVM_GET_MP_STATE, &state->mp_state))
		state->has |= HAS_MP_STATE;
	if (may(board, index, KVM_GET_VCPU_EVENTS, &state->events))
		state->has |= HAS_EVENTS;
	code = must(board, index, KVM_GET_REGS, &state->regs, "KVM_GET_REGS", err);
	if (!code)
		code = must(board, index, KVM_GET_SREGS, &state->sregs, "KVM_GET_SREGS", err);
	if (!code)
		code = must(board, index, KVM_GET_FPU, &state->fpu, "KVM_GET_FPU", err);
	if (!code)
		code = get_msr_list(board, state, err);
	if (code)
		return code;
	state->msr_count = each_msr(board, index, KVM_GET_MSRS, state->msrs, state->msr_count,
				    state->msrs);
	if (may(board, index, KVM_GET_XSAVE, &state->xsave))
		state->has |= HAS_XSAVE;
	if (may(board, index, KVM_GET_XCRS, &state->xcrs))
		state->has |= HAS_XCRS;
	if (may(board, index, KVM_GET_DEBUGREGS, &state->debugregs))
		state->has |= HAS_DEBUGREGS;
	if (may(board, index, KVM_GET_LAPIC, &state->lapic))
		state->has |= HAS_LAPIC;
	return 0;
}

static void set_msrs(struct board *board, unsigned index, const struct vcpu_state *state,
		     bool reset)
{
	struct kvm_msr_entry *msrs = must_alloc(STATE_MSRS * sizeof(*msrs));
	unsigned count = 0, set;

	for (unsigned i = 0; i < MIN(state->msr_count, (uint32_t)STATE_MSRS); i++)
		if (!reset || state->msrs[i].index != MSR_TSC)
			msrs[count++] = state->msrs[i];
	set = each_msr(board, index, KVM_SET_MSRS, msrs, count, NULL);
	if (set < count && !reset)
		log_line("vCPU %u: %u of %u MSRs could not be restored", index, count - set, count);
	free(msrs);
}

int vcpu_state_set(struct board *board, unsigned index, const struct vcpu_state *from, bool reset,
		   struct err *err)
{
	struct vcpu_state *state = must_alloc(sizeof(*state)); /* ioctls take writable memory */
	int code;

	*state = *from;
	code = must(board, index, KVM_SET_SREGS, &state->sregs, "KVM_SET_SREGS", err);
	if (!code)
		code = must(board, index, KVM_SET_REGS, &state->regs, "KVM_SET_REGS", err);
	if (!code && state->has & HAS_XCRS)
		code = must(board, index, KVM_SET_XCRS, &state->xcrs, "KVM_SET_XCRS", err);
	if (!code && state->has & HAS_XSAVE)
		code = must(board, index, KVM_SET_XSAVE, &state->xsave, "KVM_SET_XSAVE", err);
	else if (!code)
		code = must(board, index, KVM_SET_FPU, &state->fpu, "KVM_SET_FPU", err);
	if (!code && state->has & HAS_DEBUGREGS)
		code = must(board, index, KVM_SET_DEBUGREGS, &state->debugregs,
			    "KVM_SET_DEBUGREGS", err);
	if (!code && state->has & HAS_LAPIC)
		code = must(board, index, KVM_SET_LAPIC, &state->lapic, "KVM_SET_LAPIC", err);
	if (!code)
		set_msrs(board, index, state, reset);
	if (!code && state->has & HAS_EVENTS)
		code = must(board, index, KVM_SET_VCPU_EVENTS, &state->events,
			    "KVM_SET_VCPU_EVENTS", err);
	if (!code && state->has & HAS_MP_STATE)
		code = must(board, index, KVM_SET_MP_STATE, &state->mp_state, "KVM_SET_MP_STATE",
			    err);
	free(state);
	return code;
}

static int vm_must(struct board *board, unsigned long request, void *argument, const char *name,
		   struct err *err)
{
	long code = kvm_ioctl(board->vm, request, argument);

	return code < 0 ? fail(err, (int)-code, "%s: %s", name, strerror((int)-code)) : 0;
}

int vm_state_get(struct board *board, struct vm_state *state, struct err *err)
{
	int code = 0;

	*state = (struct vm_state){ .has = board->a20_off ? A20_OFF : 0 };
	if (!board->vm)
		return 0;
	for (unsigned i = 0; !code && !board->is_split && i < ARRAY_LEN(state->chip); i++) {
		state->chip[i].chip_id = i;
		code = vm_must(board, KVM_GET_IRQCHIP, &state->chip[i], "KVM_GET_IRQCHIP", err);
	}
	if (!code && board->has_pit) {
		code = vm_must(board, KVM_GET_PIT2, &state->pit, "KVM_GET_PIT2", err);
		state->has |= HAS_PIT;
	}
	if (board->has_pause_clock) {
		state->clock.clock = board->pause_clock;
		state->has |= HAS_CLOCK;
	}
	return code;
}

int vm_state_set(struct board *board, const struct vm_state *from, struct err *err)
{
	struct vm_state *state;
	int code = 0;

	board_set_a20(board, !(from->has & A20_OFF));
	if (!board->vm)
		return 0;
	state = must_alloc(sizeof(*state));
	*state = *from;
	for (unsigned i = 0; !code && !board->is_split && i < ARRAY_LEN(state->chip); i++) {
		state->chip[i].chip_id = i;
		code = vm_must(board, KVM_SET_IRQCHIP, &state->chip[i], "KVM_SET_IRQCHIP", err);
	}
	if (!code && board->has_pit && state->has & HAS_PIT)
		code = vm_must(board, KVM_SET_PIT2, &state->pit, "KVM_SET_PIT2", err);
	if (!code && state->has & HAS_CLOCK) { /* set when the board starts */
		board->pause_clock = state->clock.clock;
		board->has_pause_clock = true;
	}
	free(state);
	return code;
}
