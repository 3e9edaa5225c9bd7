/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The human monitor's commands that do something to the machine. */
#include "core/input.h"
#include "manage/actions.h"
#include "manage/hmp.h"

#include <stdlib.h>
#include <string.h>

void hmp_cpu(struct hmp *hmp)
{
	unsigned long number = strtoul(hmp->argv[0], NULL, 0);

	if (number >= board_vcpu_count(hmp->vmm->board))
		report_print(hmp->out, "Error: there is no vCPU %s\n", hmp->argv[0]);
	else
		*hmp->cpu = (unsigned)number;
}

void hmp_stop(struct hmp *hmp)
{
	vmm_stop(hmp->vmm);
}

void hmp_cont(struct hmp *hmp)
{
	struct err err = { 0 };

	hmp_complain(hmp, vmm_continue(hmp->vmm, &err), &err);
}

void hmp_quit(struct hmp *hmp)
{
	vmm_quit_soon(hmp->vmm);
}

void hmp_system_reset(struct hmp *hmp)
{
	vmm_reset(hmp->vmm, "host-qmp-system-reset");
}

void hmp_system_powerdown(struct hmp *hmp)
{
	vmm_power_button(hmp->vmm);
}

void hmp_system_wakeup(struct hmp *hmp)
{
	struct err err = { 0 };

	hmp_complain(hmp, vmm_wake(hmp->vmm, &err), &err);
}

void hmp_nmi(struct hmp *hmp)
{
	board_nmi(hmp->vmm->board);
}

/* "FILE [ppm|png]", or QEMU's "-f FORMAT FILE". */
void hmp_screendump(struct hmp *hmp)
{
	bool dashed = !strcmp(hmp->argv[0], "-f");
	const char *format = dashed ? hmp->argv[1] : hmp->argc > 1 ? hmp->argv[1] : NULL;
	const char *file = dashed ? (hmp->argc > 2 ? hmp->argv[2] : NULL) : hmp->argv[0];
	struct err err = { 0 };

	if (!file)
		report_print(hmp->out, "Error: screendump needs a file\n");
	else
		hmp_complain(hmp, action_screendump(hmp->vmm, file, format, &err), &err);
}

void hmp_sendkey(struct hmp *hmp)
{
	unsigned hold = hmp->argc > 1 ? (unsigned)strtoul(hmp->argv[1], NULL, 0) : 0;
	struct err err = { 0 };

	hmp_complain(hmp, action_send_keys(hmp->vmm, hmp->argv[0], hold, &err), &err);
}

void hmp_mouse_move(struct hmp *hmp)
{
	int by[3] = { 0 };

	for (unsigned i = 0; i < hmp->argc; i++)
		by[i] = (int)MAX(MIN(strtol(hmp->argv[i], NULL, 0), 32767), -32767);
	if (input_wants_absolute(hmp->vmm->board))
		input_place(hmp->vmm->board, (uint32_t)MAX(by[0], 0), (uint32_t)MAX(by[1], 0));
	else
		input_move(hmp->vmm->board, by[0], by[1], 0);
	if (by[2])
		input_move(hmp->vmm->board, 0, 0, by[2]);
}

/* Bit 1 is the middle button here, bit 2 the right one. */
void hmp_mouse_button(struct hmp *hmp)
{
	unsigned long state = strtoul(hmp->argv[0], NULL, 0);

	hmp->vmm->pointer.buttons = (state & 1 ? BUTTON_LEFT : 0u) |
				    (state & 2 ? BUTTON_MIDDLE : 0u) |
				    (state & 4 ? BUTTON_RIGHT : 0u);
	input_buttons(hmp->vmm->board, hmp->vmm->pointer.buttons);
}

void hmp_savevm(struct hmp *hmp)
{
	struct err err = { 0 };

	hmp_complain(hmp, action_save(hmp->vmm, hmp->argv[0], &err), &err);
}

void hmp_loadvm(struct hmp *hmp)
{
	struct err err = { 0 };

	hmp_complain(hmp, action_load(hmp->vmm, hmp->argv[0], &err), &err);
}

/* Takes "-f" off the front. */
static bool take_force(struct hmp *hmp)
{
	if (strcmp(hmp->argv[0], "-f") || hmp->argc < 2)
		return false;
	memmove(hmp->argv, hmp->argv + 1, --hmp->argc * sizeof(hmp->argv[0]));
	return true;
}

void hmp_eject(struct hmp *hmp)
{
	bool force = take_force(hmp);
	struct err err = { 0 };

	hmp_complain(hmp, action_eject(hmp->vmm, hmp->argv[0], force, &err), &err);
}

static void set_password(struct hmp *hmp, const char *word)
{
	struct err err = { 0 };

	hmp_complain(hmp, action_vnc_password(hmp->vmm, word, &err), &err);
}

void hmp_change(struct hmp *hmp)
{
	struct change_medium change = { .force = take_force(hmp) };
	struct err err = { 0 };

	if (!strcmp(hmp->argv[0], "vnc")) {
		if (hmp->argc == 3 && !strcmp(hmp->argv[1], "password"))
			set_password(hmp, hmp->argv[2]);
		else
			report_print(hmp->out, "Error: use: change vnc password WORD\n");
		return;
	}
	if (hmp->argc < 2) {
		report_print(hmp->out, "Error: change needs a drive and a file\n");
		return;
	}
	change.path = hmp->argv[1];
	change.format = hmp->argc > 2 ? hmp->argv[2] : NULL;
	change.read_only_mode = hmp->argc > 3 ? hmp->argv[3] : NULL;
	hmp_complain(hmp, action_change(hmp->vmm, hmp->argv[0], &change, &err), &err);
}

void hmp_set_password(struct hmp *hmp)
{
	if (!strcmp(hmp->argv[0], "vnc"))
		set_password(hmp, hmp->argv[1]);
	else
		report_print(hmp->out, "Error: there are passwords for vnc only\n");
}

void hmp_set_link(struct hmp *hmp)
{
	bool up = !strcmp(hmp->argv[1], "on");
	struct err err = { 0 };

	if (!up && strcmp(hmp->argv[1], "off"))
		report_print(hmp->out, "Error: a link is on or off, not \"%s\"\n", hmp->argv[1]);
	else
		hmp_complain(hmp, action_set_link(hmp->vmm, hmp->argv[0], up, &err), &err);
}

void hmp_watchdog_action(struct hmp *hmp)
{
	static const char *const known[] = { "reset", "shutdown", "poweroff", "pause", "none" };

	for (unsigned i = 0; i < ARRAY_LEN(known); i++) {
		if (!strcmp(hmp->argv[0], known[i])) {
			hmp->vmm->config->watchdog_action = known[i];
			return;
		}
	}
	report_print(hmp->out, "Error: a watchdog cannot \"%s\"\n", hmp->argv[0]);
}

void hmp_device_add(struct hmp *hmp)
{
	report_print(hmp->out, "Error: devices cannot be added to a running machine; start it with -device\n");
}

void hmp_device_del(struct hmp *hmp)
{
	report_print(hmp->out, "Error: devices cannot be taken out of a running machine\n");
}
