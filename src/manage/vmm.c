/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From a configuration to a running machine: see vmm.h. */
#include "manage/vmm.h"

#include "backend/char/char.h"
#include "backend/net/net.h"
#include "host/kvm.h"
#include "host/loop.h"
#include "manage/accel.h"
#include "manage/chardevs.h"
#include "manage/cpu.h"
#include "manage/devices.h"
#include "manage/drives.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void tell(struct vmm *vmm, const char *event, const char *reason)
{
	if (vmm->on_event)
		vmm->on_event(vmm, event, reason);
}

/* Everything that stops vCPUs happens on the loop's thread, never under a vCPU's own exit. */
static void reset_now(void *context)
{
	struct vmm *vmm = context;
	bool running;

	if (vmm->quitting)
		return;
	vmm->reset_wanted = false;
	running = board_state(vmm->board) == BOARD_STATE_RUNNING;
	board_stop(vmm->board);
	board_reset(vmm->board);
	tell(vmm, "RESET", "guest-reset");
	if (running)
		board_start(vmm->board);
}

static void stop_now(void *context)
{
	vmm_stop(context);
}

void vmm_reset(struct vmm *vmm)
{
	if (vmm->reset_wanted)
		return;
	vmm->reset_wanted = true;
	loop_post(vmm->loop, reset_now, vmm);
}

void vmm_quit(struct vmm *vmm, int status)
{
	vmm->quitting = true;
	loop_quit(vmm->loop, status);
}

void vmm_stop(struct vmm *vmm)
{
	if (board_state(vmm->board) != BOARD_STATE_RUNNING)
		return;
	board_stop(vmm->board);
	tell(vmm, "STOP", NULL);
}

void vmm_continue(struct vmm *vmm)
{
	if (board_state(vmm->board) == BOARD_STATE_RUNNING)
		return;
	board_start(vmm->board);
	tell(vmm, "RESUME", NULL);
}

static void shut_down(struct vmm *vmm, const char *reason, int status)
{
	tell(vmm, "SHUTDOWN", reason);
	if (vmm->config->no_shutdown)
		loop_post(vmm->loop, stop_now, vmm);
	else
		vmm_quit(vmm, status);
}

static void watchdog_expired(struct vmm *vmm)
{
	const char *action = vmm->config->watchdog_action;

	tell(vmm, "WATCHDOG", action ? action : "reset");
	if (!action || !strcmp(action, "reset"))
		vmm_reset(vmm);
	else if (!strcmp(action, "pause"))
		loop_post(vmm->loop, stop_now, vmm);
	else if (!strcmp(action, "shutdown"))
		board_press_power_button(vmm->board);
	else if (!strcmp(action, "poweroff"))
		shut_down(vmm, "host-qmp-quit", 0);
}

static void on_request(void *observer, enum board_request request, int code)
{
	struct vmm *vmm = observer;

	switch (request) {
	case BOARD_RESET:
		if (vmm->config->no_reboot)
			shut_down(vmm, "guest-reset", 0);
		else
			vmm_reset(vmm);
		break;
	case BOARD_POWEROFF:
	case BOARD_SUSPEND:
		shut_down(vmm, "guest-shutdown", 0);
		break;
	case BOARD_WATCHDOG:
		watchdog_expired(vmm);
		break;
	case BOARD_PANIC:
		tell(vmm, "GUEST_PANICKED", "pause");
		if (vmm->config->quits_on_panic)
			shut_down(vmm, "guest-panic", 0);
		else
			loop_post(vmm->loop, stop_now, vmm);
		break;
	case BOARD_EXIT:
		vmm_quit(vmm, code);
		break;
	case BOARD_FAILED: /* said why already; stays for whoever looks into it */
		loop_post(vmm->loop, stop_now, vmm);
		break;
	}
}

static int rtc_offset(const char *base, int64_t *offset, struct err *err)
{
	time_t now = time(NULL);
	struct tm tm = { 0 };
	const char *end;

	*offset = 0;
	if (!base || !strcmp(base, "utc"))
		return 0;
	if (!strcmp(base, "localtime")) {
		localtime_r(&now, &tm);
		*offset = timegm(&tm) - now;
		return 0;
	}
	end = strptime(base, "%Y-%m-%dT%H:%M:%S", &tm);
	if (!end)
		end = strptime(base, "%Y-%m-%d", &tm);
	if (!end || *end)
		return fail(err, EINVAL, "-rtc base \"%s\" is not utc, localtime or a date like 2026-01-31T12:00:00",
			    base);
	*offset = timegm(&tm) - now;
	return 0;
}

static int make_board(struct vmm *vmm, struct err *err)
{
	struct config *config = vmm->config;
	struct board_options options = {
		.system = vmm->system,
		.loop = vmm->loop,
		.vcpus = config->pc.vcpus,
		.split_irqchip = config->split_irqchip,
	};
	int error = rtc_offset(config->rtc_base, &options.rtc_offset, err);

	if (error)
		return error;
	vmm->board = board_new(&options, err);
	return vmm->board ? cpu_configure(vmm->board, vmm->system, config, err) : -err->code;
}

static int populate(struct vmm *vmm, struct err *err)
{
	struct config *config = vmm->config;
	static struct board_observer observer = { .requested = on_request };
	int error;

	observer.observer = vmm;
	board_observe(vmm->board, &observer);
	error = chardevs_open(config, vmm->board, vmm->loop, err);
	if (!error)
		error = drives_open(config, vmm->board, err);
	if (!error)
		error = devices_prepare(config, vmm->board, vmm->loop, err);
	if (!error)
		error = pc_build(vmm->board, &config->pc, err);
	return error ? error : devices_add(config, vmm->board, err);
}

int vmm_build(struct vmm *vmm, struct config *config, struct err *err)
{
	int error;

	vmm->config = config;
	vmm->loop = loop_new();
	vmm->system = accel_open(config, false, err);
	if (!vmm->system)
		return -err->code;
	vmm->accel_name = kvm_name(vmm->system);
	error = make_board(vmm, err);
	if (error)
		return error;
	board_lock(vmm->board);
	error = populate(vmm, err);
	if (!error)
		board_reset(vmm->board);
	board_unlock(vmm->board);
	return error;
}

int vmm_run(struct vmm *vmm)
{
	if (!vmm->config->paused)
		board_start(vmm->board);
	return loop_run(vmm->loop);
}

void vmm_free(struct vmm *vmm)
{
	if (vmm->board) {
		board_stop(vmm->board);
		board_free(vmm->board);
	}
	if (vmm->loop)
		loop_free(vmm->loop);
}
