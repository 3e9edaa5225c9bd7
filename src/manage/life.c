/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The life of a running machine: stopping, continuing, resetting, ending; see vmm.h.
 *
 * Everything that stops vCPUs happens on the loop's thread, never under a vCPU's own exit.
 */
#include "host/loop.h"
#include "manage/vmm.h"

#include <errno.h>
#include <string.h>

static void tell(struct vmm *vmm, const char *event, const char *reason)
{
	if (vmm->on_event)
		vmm->on_event(vmm, event, reason);
}

static bool has_ended(const struct vmm *vmm)
{
	enum board_state state = board_state(vmm->board);

	return state == BOARD_STATE_SHUTDOWN || state == BOARD_STATE_FAILED ||
	       state == BOARD_STATE_PANICKED;
}

static void reset_now(void *context)
{
	struct vmm *vmm = context;
	const char *reason = vmm->reset_reason;
	bool running;

	if (vmm->quitting || !reason)
		return;
	vmm->reset_reason = NULL;
	running = board_state(vmm->board) == BOARD_STATE_RUNNING;
	board_stop(vmm->board);
	if (!vmm->was_reset && vmm->config->boot_once)
		pc_set_boot_order(vmm->board, vmm->config->boot_later);
	vmm->was_reset = true;
	board_reset(vmm->board);
	if (has_ended(vmm))
		board_set_state(vmm->board, BOARD_STATE_PAUSED);
	tell(vmm, "RESET", reason);
	if (running)
		board_start(vmm->board);
}

static void stop_for(struct vmm *vmm, enum board_state state)
{
	vmm_stop(vmm);
	board_set_state(vmm->board, state);
}

static void stop_now(void *context)
{
	vmm_stop(context);
}

static void stop_shut_down(void *context)
{
	stop_for(context, BOARD_STATE_SHUTDOWN);
}

static void stop_panicked(void *context)
{
	stop_for(context, BOARD_STATE_PANICKED);
}

static void stop_failed(void *context)
{
	stop_for(context, BOARD_STATE_FAILED);
}

void vmm_reset(struct vmm *vmm, const char *reason)
{
	if (vmm->reset_reason)
		return;
	vmm->reset_reason = reason;
	loop_post(vmm->loop, reset_now, vmm);
}

static void wake_now(void *context)
{
	struct vmm *vmm = context;
	bool running = board_state(vmm->board) == BOARD_STATE_RUNNING;

	if (vmm->quitting || vmm->reset_reason)
		return;
	board_stop(vmm->board);
	board_reset_waking(vmm->board);
	tell(vmm, "WAKEUP", NULL);
	if (running)
		board_start(vmm->board);
}

int vmm_wake(struct vmm *vmm, struct err *err)
{
	if (!board_is_asleep(vmm->board))
		return fail(err, EINVAL, "the machine is not suspended");
	board_wake(vmm->board, WAKE_USER);
	return 0;
}

void vmm_quit(struct vmm *vmm, const char *reason, int status)
{
	if (vmm->quitting)
		return;
	tell(vmm, "SHUTDOWN", reason);
	vmm->quitting = true;
	loop_quit(vmm->loop, status);
}

static void quit_now(void *context)
{
	vmm_quit(context, "host-qmp-quit", 0);
}

void vmm_quit_soon(struct vmm *vmm)
{
	loop_post(vmm->loop, quit_now, vmm);
}

void vmm_stop(struct vmm *vmm)
{
	if (board_state(vmm->board) != BOARD_STATE_RUNNING)
		return;
	board_stop(vmm->board);
	tell(vmm, "STOP", NULL);
}

int vmm_continue(struct vmm *vmm, struct err *err)
{
	if (board_state(vmm->board) == BOARD_STATE_RUNNING)
		return 0;
	if (vmm->quitting)
		return 0;
	if (has_ended(vmm))
		return fail(err, EINVAL, "the machine has ended; it needs system_reset before it can go on");
	board_start(vmm->board);
	tell(vmm, "RESUME", NULL);
	return 0;
}

void vmm_power_button(struct vmm *vmm)
{
	tell(vmm, "POWERDOWN", NULL);
	board_press_power_button(vmm->board);
}

bool vmm_pause(struct vmm *vmm)
{
	bool running = board_state(vmm->board) == BOARD_STATE_RUNNING;

	if (running)
		board_stop(vmm->board);
	return running;
}

void vmm_resume(struct vmm *vmm, bool was_running)
{
	if (was_running)
		board_start(vmm->board);
}

static void shut_down(struct vmm *vmm, const char *reason)
{
	if (vmm->config->no_shutdown) {
		tell(vmm, "SHUTDOWN", reason);
		loop_post(vmm->loop, stop_shut_down, vmm);
	} else {
		vmm_quit(vmm, reason, 0);
	}
}

static void watchdog_expired(struct vmm *vmm)
{
	const char *action = vmm->config->watchdog_action;

	tell(vmm, "WATCHDOG", action ? action : "reset");
	if (!action || !strcmp(action, "reset"))
		vmm_reset(vmm, "guest-reset");
	else if (!strcmp(action, "pause"))
		loop_post(vmm->loop, stop_now, vmm);
	else if (!strcmp(action, "shutdown"))
		vmm_power_button(vmm);
	else if (!strcmp(action, "poweroff"))
		shut_down(vmm, "host-error");
}

static void on_request(void *observer, enum board_request request, int code)
{
	struct vmm *vmm = observer;

	switch (request) {
	case BOARD_RESET:
		if (vmm->config->no_reboot)
			shut_down(vmm, "guest-reset");
		else
			vmm_reset(vmm, "guest-reset");
		break;
	case BOARD_SUSPEND:
		tell(vmm, "SUSPEND", NULL);
		break;
	case BOARD_WAKE:
		loop_post(vmm->loop, wake_now, vmm);
		break;
	case BOARD_POWEROFF:
		shut_down(vmm, "guest-shutdown");
		break;
	case BOARD_WATCHDOG:
		watchdog_expired(vmm);
		break;
	case BOARD_PANIC:
		if (vmm->config->quits_on_panic) {
			tell(vmm, "GUEST_PANICKED", "poweroff");
			shut_down(vmm, "guest-panic");
		} else {
			tell(vmm, "GUEST_PANICKED", "pause");
			loop_post(vmm->loop, stop_panicked, vmm);
		}
		break;
	case BOARD_EXIT:
		vmm_quit(vmm, "guest-shutdown", code);
		break;
	case BOARD_FAILED: /* said why already; stays for whoever looks into it */
		loop_post(vmm->loop, stop_failed, vmm);
		break;
	}
}

void vmm_observe(struct vmm *vmm)
{
	const struct board_observer observer = { .requested = on_request, .observer = vmm };

	board_observe(vmm->board, &observer);
}
