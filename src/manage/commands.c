/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Running a machine from a command line, and "kelvin run". */
#include "manage/commands.h"

#include "backend/char/char.h"
#include "backend/net/net.h"
#include "host/log.h"
#include "host/process.h"
#include "manage/devices.h"
#include "manage/cpu.h"
#include "manage/vmm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int complain(const struct err *err)
{
	fprintf(stderr, "kelvin: %s\n", err->text);
	return 1;
}

/* "-chardev help": what there is. */
static bool list_types(const struct texts *texts, const char *(*type)(unsigned number))
{
	bool asked = false;

	for (unsigned i = 0; i < texts->count; i++)
		asked |= !strcmp(texts->list[i], "help");
	for (unsigned i = 0; asked && type(i); i++)
		puts(type(i));
	return asked;
}

static bool asked_for_help(struct config *config)
{
	if (config->done)
		return true;
	if (config->cpu && !strcmp(config->cpu, "help")) {
		cpu_help();
		return true;
	}
	for (unsigned i = 0; i < config->devices.count; i++)
		if (devices_help(config->devices.list[i]))
			return true;
	return list_types(&config->chardevs, chardev_type) || list_types(&config->netdevs, netdev_type);
}

static void on_signal(void *context, int number)
{
	log_line("terminating on signal %d", number);
	vmm_quit(context, "host-signal", 0);
}

static int build_and_run(struct config *config, int ready)
{
	struct vmm vmm = { 0 };
	struct err err = { 0 };
	struct process_signals *signals = NULL;
	int status = 1;

	if (vmm_build(&vmm, config, &err) ||
	    (config->pidfile && process_write_pidfile(config->pidfile, &err))) {
		complain(&err);
	} else {
		signals = process_watch_signals(vmm.loop, on_signal, &vmm);
		if (config->daemonize)
			process_detach(ready);
		status = vmm_run(&vmm);
	}
	if (signals)
		process_unwatch_signals(signals);
	vmm_free(&vmm);
	if (signals && config->pidfile)
		remove(config->pidfile);
	return status;
}

static int run(struct config *config)
{
	struct err err = { 0 };
	int ready = -1;

	if (asked_for_help(config))
		return 0;
	process_end_cleanly(terminal_restore);
	if (config->daemonize && process_daemonize(&ready, &err))
		return complain(&err);
	if (config->process_name)
		process_set_name(config->process_name);
	if (config->log_file && log_open(config->log_file, &err))
		return complain(&err);
	return build_and_run(config, ready);
}

int command_vm(int argc, char **argv)
{
	struct config config;
	struct err err = { 0 };
	int status;

	config_init(&config);
	status = cmdline_parse(&config, argc, argv, &err) ? complain(&err) : run(&config);
	config_free(&config);
	return status;
}

static const char run_usage[] =
	"usage: kelvin run IMAGE|KERNEL [OPTION...]\n"
	"\n"
	"Starts a disk or CD-ROM image, or a Linux kernel, with sensible defaults: the console on this\n"
	"terminal (Ctrl-A X quits), a network card with address translation, the best accelerator\n"
	"that works.\n"
	"\n"
	"  --memory SIZE    such as 512M or 2G (default 1G)\n"
	"  --cpus N         processors (default 1)\n"
	"  --initrd FILE    initial file system of a kernel\n"
	"  --append TEXT    command line of a kernel (default console=ttyS0)\n"
	"  --disk FILE      another disk, virtio; may be repeated\n"
	"  --vnc DISPLAY    screen by VNC, such as :0\n"
	"  --no-network     no network card\n"
	"  --accel NAME     kvm or soft\n"
	"\n"
	"Options of plain \"kelvin\" (QEMU's) may follow after \"--\".\n";

/* What kind of file it is, by its first bytes. */
enum image_kind { IMAGE_DISK, IMAGE_CDROM, IMAGE_KERNEL, IMAGE_MISSING };

static enum image_kind image_kind(const char *path, struct err *err)
{
	uint8_t head[0x8006] = { 0 };
	FILE *file = fopen(path, "rb");
	size_t got;

	if (!file) {
		fail(err, errno, "cannot open \"%s\": %s", path, strerror(errno));
		return IMAGE_MISSING;
	}
	got = fread(head, 1, sizeof(head), file);
	fclose(file);
	if (got > 0x206 && !memcmp(head + 0x202, "HdrS", 4))
		return IMAGE_KERNEL;
	if (got > 4 && !memcmp(head, "\177ELF", 4))
		return IMAGE_KERNEL;
	if (got == sizeof(head) && !memcmp(head + 0x8001, "CD001", 5))
		return IMAGE_CDROM;
	return IMAGE_DISK;
}

struct run_options {
	const char *image, *memory, *cpus, *initrd, *append, *vnc, *accel;
	struct texts disks;
	bool no_network;
	int rest; /* first argument after "--" */
};

static int read_run_options(struct run_options *run, int argc, char **argv, struct err *err)
{
	struct { const char *name; const char **to; } texts[] = {
		{ "--memory", &run->memory }, { "--cpus", &run->cpus }, { "--initrd", &run->initrd },
		{ "--append", &run->append }, { "--vnc", &run->vnc }, { "--accel", &run->accel },
	};

	run->rest = argc;
	for (int i = 0; i < argc; i++) {
		bool known = false;

		if (!strcmp(argv[i], "--")) {
			run->rest = i + 1;
			break;
		}
		for (unsigned k = 0; k < ARRAY_LEN(texts) && !known; k++) {
			known = !strcmp(argv[i], texts[k].name);
			if (known && i + 1 == argc)
				return fail(err, EINVAL, "%s needs a value", argv[i]);
			if (known)
				*texts[k].to = argv[++i];
		}
		if (known)
			continue;
		if (!strcmp(argv[i], "--disk") && i + 1 < argc)
			texts_add(&run->disks, argv[++i]);
		else if (!strcmp(argv[i], "--no-network"))
			run->no_network = true;
		else if (*argv[i] == '-' || run->image)
			return fail(err, EINVAL, "kelvin run does not know \"%s\"; kelvin run --help tells what it knows",
				    argv[i]);
		else
			run->image = argv[i];
	}
	return run->image ? 0 : fail(err, EINVAL, "kelvin run needs an image or a kernel");
}

static void add_pair(struct texts *args, const char *option, const char *value)
{
	texts_add(args, option);
	texts_add(args, value);
}

static int translate(const struct run_options *run, struct texts *args, struct err *err)
{
	char drive[4200];
	enum image_kind kind = image_kind(run->image, err);

	if (kind == IMAGE_MISSING)
		return -err->code;
	add_pair(args, "-m", run->memory ? run->memory : "1G");
	add_pair(args, "-smp", run->cpus ? run->cpus : "1");
	if (run->accel)
		add_pair(args, "-accel", run->accel);
	if (run->vnc)
		add_pair(args, "-vnc", run->vnc);
	texts_add(args, "-nographic");
	if (run->no_network)
		add_pair(args, "-nic", "none");
	add_pair(args, "-device", "virtio-rng-pci");
	if (kind == IMAGE_KERNEL) {
		add_pair(args, "-kernel", run->image);
		add_pair(args, "-append", run->append ? run->append : "console=ttyS0");
		if (run->initrd)
			add_pair(args, "-initrd", run->initrd);
	} else if (kind == IMAGE_CDROM) {
		add_pair(args, "-cdrom", run->image);
		add_pair(args, "-boot", "d");
	} else {
		snprintf(drive, sizeof(drive), "if=ide,file=%s", run->image);
		add_pair(args, "-drive", drive);
	}
	for (unsigned i = 0; i < run->disks.count; i++) {
		snprintf(drive, sizeof(drive), "if=virtio,file=%s", run->disks.list[i]);
		add_pair(args, "-drive", drive);
	}
	return 0;
}

/* Anywhere before "--". */
static bool asks_for_help(int argc, char **argv)
{
	for (int i = 0; i < argc && strcmp(argv[i], "--"); i++)
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			return true;
	return false;
}

int command_run(int argc, char **argv)
{
	struct run_options options = { 0 };
	struct texts args = { 0 };
	struct err err = { 0 };
	int status;

	if (!argc || asks_for_help(argc, argv)) {
		fputs(run_usage, argc ? stdout : stderr);
		return argc ? 0 : 1;
	}
	if (read_run_options(&options, argc, argv, &err) || translate(&options, &args, &err))
		return complain(&err);
	for (int i = options.rest; i < argc; i++)
		texts_add(&args, argv[i]);
	texts_free(&options.disks);
	status = command_vm((int)args.count, args.list);
	texts_free(&args);
	return status;
}
