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
	bool vmport_given; /* not "auto" */
	struct pc_options pc;
	struct vm_options engine;
	bool kvm_unproved;       /* -accel kvm,prove=off: /dev/kvm as it is */
	const char *accel;       /* "kvm:soft", as given; NULL: whatever works */
	const char *cpu;
	unsigned sockets, cores, threads;

	struct texts drives, devices, netdevs, nics, chardevs, serials, parallels, monitors, qmps,
		mons, globals, objects, fw_cfgs, blockdevs;
	struct texts boot_devices; /* "BOOTINDEX ID" of devices that have one */
	struct texts owned; /* what members above and below point into */
	const char *net_nic, *net_user; /* the two halves of -net, NULL: not given */
	bool has_net;
	bool boot_once;
	const char *boot_later; /* the order after the first reset */
	const char *display, *vnc, *vga;
	bool nodefaults, nographic, no_reboot, no_shutdown, paused, daemonize, snapshot;
	const char *pidfile, *log_file, *watchdog_action, *load_file;
	const char *process_name; /* NULL: as it was started */
	const char *rtc_base;
	bool perf_map, jit_dump; /* trace.h */
	bool quits_on_panic;
	bool done;               /* -help, -version: nothing is to run */
	int status;
};

void config_init(struct config *config);
void config_free(struct config *config);
void texts_add(struct texts *texts, const char *text);
void texts_free(struct texts *texts);
/* Takes an allocated string over for as long as the config lives, and returns it. */
char *config_keep(struct config *config, char *text);
/* What could not be checked option by option. */
int config_check(struct config *config, struct err *err);

/* argv after the program's name. 0, or -errno with a sentence; config->done after -help and such. */
int cmdline_parse(struct config *config, int argc, char **argv, struct err *err);
void cmdline_help(void);
const char *cmdline_option(unsigned number); /* its name; NULL: there are no more */

/* "kelvin run IMAGE ..." in terms of a config. */
int run_parse(struct config *config, int argc, char **argv, struct err *err);

#endif
