/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the user asked for, from the command line to the running machine. */
#ifndef MANAGE_CONFIG_H
#define MANAGE_CONFIG_H

#include "core/options.h"
#include "machine/pc.h"
#include "vm.h"

/* Strings of a repeatable option, in order. */
struct texts {
	char **list;
	unsigned count;
};

struct config {
	struct pc_options pc;
	struct vm_options engine;
	const char *accel;       /* "kvm:soft", as given; NULL: whatever works */
	const char *cpu;
	unsigned sockets, cores, threads;
	bool split_irqchip;

	struct texts drives, devices, netdevs, nics, chardevs, serials, parallels, monitors, qmps,
		mons, globals, objects, fw_cfgs, blockdevs;
	const char *display, *vnc, *vga;
	bool nodefaults, nographic, no_reboot, no_shutdown, paused, daemonize, snapshot;
	const char *pidfile, *log_file, *log_items, *watchdog_action, *load_file, *incoming;
	const char *rtc_base;
	bool quits_on_panic;
	bool done;               /* -help, -version: nothing is to run */
	int status;
};

void config_init(struct config *config);
void config_free(struct config *config);
void texts_add(struct texts *texts, const char *text);

/* argv after the program's name. 0, or -errno with a sentence; config->done after -help and such. */
int cmdline_parse(struct config *config, int argc, char **argv, struct err *err);
void cmdline_help(void);

/* "kelvin run IMAGE ..." in terms of a config. */
int run_parse(struct config *config, int argc, char **argv, struct err *err);

#endif
