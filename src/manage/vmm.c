/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From a configuration to a running machine: see vmm.h. */
#include "manage/vmm.h"

#include "backend/display/vnc.h"
#include "host/kvm.h"
#include "host/log.h"
#include "host/loop.h"
#include "machine/boot.h"
#include "manage/accel.h"
#include "manage/actions.h"
#include "manage/chardevs.h"
#include "manage/cpu.h"
#include "manage/devices.h"
#include "manage/drives.h"
#include "manage/keys.h"
#include "manage/monitor.h"
#include "manage/trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { FW_CFG_FILE_MAX = 16 << 20, LAST_TURNS = 4 };

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
		.split_irqchip = config->pc.split_irqchip,
		.no_pit = !config->pc.pit,
	};
	int error = rtc_offset(config->rtc_base, &options.rtc_offset, err);

	if (error)
		return error;
	vmm->board = board_new(&options, err);
	return vmm->board ? cpu_configure(vmm->board, vmm->system, config, err) : -err->code;
}

/* "[name=]opt/x,file=F" or ",string=S". */
static int add_fw_cfg(struct vmm *vmm, const char *row, struct err *err)
{
	struct options options;
	struct buffer content = { 0 };
	const char *name, *file, *text;
	int error = options_parse(&options, "-fw_cfg", row, "name", err);

	name = options_get(&options, "name");
	file = options_get(&options, "file");
	text = options_get(&options, "string");
	if (!error)
		error = options_check(&options, err);
	if (!error && (!name || !*name || !file == !text))
		error = fail(err, EINVAL, "-fw_cfg \"%s\" needs name=, and file= or string=", row);
	if (!error && file)
		error = read_file("-fw_cfg file", file, FW_CFG_FILE_MAX, &content, err);
	if (!error && text)
		buffer_add(&content, text, strlen(text));
	if (!error)
		error = pc_add_fw_cfg(vmm->board, name, content.data, content.size, err);
	buffer_free(&content);
	options_free(&options);
	return error;
}

/* A mouse behind the backdoor needs the port, which nobody else does. */
static int turn_vmport_on(struct config *config, struct err *err)
{
	for (unsigned i = 0; i < config->devices.count; i++) {
		const char *name = config->devices.list[i];

		if (strncmp(name, "vmmouse", 7) || (name[7] && name[7] != ','))
			continue;
		if (config->vmport_given && !config->pc.vmport)
			return fail(err, EINVAL, "-device vmmouse needs VMware's port; take vmport=off away");
		config->pc.vmport = true;
	}
	return 0;
}

static int populate(struct vmm *vmm, struct err *err)
{
	struct config *config = vmm->config;
	int error = chardevs_open(config, vmm->board, vmm->loop, err);

	vmm_observe(vmm);
	if (!error)
		error = drives_open(config, vmm->board, err);
	if (!error)
		error = devices_prepare(config, vmm->board, vmm->loop, err);
	if (!error)
		error = turn_vmport_on(config, err);
	if (!error)
		error = pc_build(vmm->board, &config->pc, err);
	if (!error)
		error = devices_add(config, vmm->board, err);
	for (unsigned i = 0; i < config->fw_cfgs.count && !error; i++)
		error = add_fw_cfg(vmm, config->fw_cfgs.list[i], err);
	return error;
}

/* -vnc HOST:N[,to=L][,password=on]. */
static int open_vnc(struct vmm *vmm, struct err *err)
{
	static const char *const accepted[] = { "share", "power-control", "lossy", "non-adaptive",
						"id" };
	struct vnc_options vnc = { .name = vmm->config->pc.name };
	struct options options;
	uint64_t to;
	int error;

	if (!vmm->config->vnc || !strcmp(vmm->config->vnc, "none"))
		return 0;
	error = options_parse(&options, "-vnc", vmm->config->vnc, "vnc", err);
	vnc.address = options_get(&options, "vnc");
	if (!error)
		error = options_bool(&options, "password", false, &vnc.password, err);
	if (!error)
		error = options_number(&options, "to", 0, &to, err);
	for (unsigned i = 0; i < ARRAY_LEN(accepted); i++)
		options_get(&options, accepted[i]);
	if (!error)
		error = options_check(&options, err);
	if (!error && !vnc.address)
		error = fail(err, EINVAL, "-vnc needs HOST:N or unix:PATH");
	if (!error) {
		vnc.to = (unsigned)MIN(to, 65535u);
		vmm->vnc = vnc_open(vmm->board, &vnc, err);
		error = vmm->vnc ? 0 : -err->code;
	}
	options_free(&options);
	return error;
}

/* Whoever looks at the machine from outside. */
static int attach_people(struct vmm *vmm, struct err *err)
{
	int error;

	vmm->typist = typist_new(vmm);
	vmm->on_event = monitors_tell;
	error = monitors_open(vmm, err);
	return error ? error : open_vnc(vmm, err);
}

int vmm_build(struct vmm *vmm, struct config *config, struct err *err)
{
	struct err passed_over;
	int error;

	vmm->config = config;
	vmm->loop = loop_new();
	error = trace_open(&vmm->trace, config, err);
	if (error)
		return error;
	vmm->system = accel_open(config, &passed_over, err);
	if (!vmm->system)
		return -err->code;
	vmm->accel_name = kvm_name(vmm->system);
	if (vmm->trace && strcmp(vmm->accel_name, "soft"))
		log_line(
			"-d, -perfmap and -jitdump tell of the software engine only (-accel soft)");
	error = make_board(vmm, err);
	if (error)
		return error;
	board_lock(vmm->board);
	error = populate(vmm, err);
	if (!error)
		board_reset(vmm->board);
	board_unlock(vmm->board);
	if (!error && passed_over.code)
		fprintf(stderr, "kelvin: using the software engine: %s\n", passed_over.text);
	if (!error)
		error = attach_people(vmm, err);
	if (!error && config->load_file)
		error = action_load(vmm, config->load_file, err);
	return error;
}

int vmm_run(struct vmm *vmm)
{
	board_make_threads(vmm->board); /* with -S too: management pins them before it starts them */
	if (!vmm->config->paused)
		board_start(vmm->board);
	return loop_run(vmm->loop);
}

void vmm_free(struct vmm *vmm)
{
	vmm->quitting = true;
	if (vmm->vnc)
		vnc_close(vmm->vnc);
	if (vmm->board) {
		const struct board_observer nobody = { 0 };

		board_stop(vmm->board);
		board_observe(vmm->board, &nobody);
		for (unsigned i = 0; i < LAST_TURNS; i++) /* calls to the board that are on their way */
			loop_turn(vmm->loop, 0);
		board_free(vmm->board);
	}
	monitors_free(vmm);
	if (vmm->typist)
		typist_free(vmm->typist);
	if (vmm->loop)
		loop_free(vmm->loop);
	trace_close(vmm->trace);
}
