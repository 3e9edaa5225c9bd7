/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command line: rows of cmdline.def, and the options that need more than a place to be put. */
#include "core/options.h"
#include "manage/config.h"
#include "manage/cpu.h"
#include "manage/trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum taking { TAKE_SECTION, TAKE_FLAG, TAKE_TEXT, TAKE_LIST, TAKE_CALL };

struct row {
	const char *name;
	enum taking taking;
	size_t offset;
	int (*call)(struct config *config, const char *name, const char *value, struct err *err);
	const char *argument, *help;
};

void config_init(struct config *config)
{
	*config = (struct config){ .sockets = 1, .cores = 1, .threads = 1, .quits_on_panic = true };
	pc_options_init(&config->pc);
	config->engine.translator = config->engine.window = 1;
}

void texts_add(struct texts *texts, const char *text)
{
	texts->list = realloc(texts->list, (texts->count + 1) * sizeof(*texts->list));
	if (!texts->list || !(texts->list[texts->count++] = strdup(text)))
		abort();
}

void texts_free(struct texts *texts)
{
	for (unsigned i = 0; i < texts->count; i++)
		free(texts->list[i]);
	free(texts->list);
	*texts = (struct texts){ 0 };
}

char *config_keep(struct config *config, char *text)
{
	struct texts *owned = &config->owned;

	owned->list = realloc(owned->list, (owned->count + 1) * sizeof(*owned->list));
	if (!text || !owned->list)
		abort();
	return owned->list[owned->count++] = text;
}

void config_free(struct config *config)
{
	struct texts *all[] = { &config->drives,    &config->devices,   &config->netdevs,
				&config->nics,      &config->chardevs,  &config->serials,
				&config->parallels, &config->monitors,  &config->qmps,
				&config->mons,      &config->globals,   &config->objects,
				&config->fw_cfgs,   &config->blockdevs, &config->boot_devices,
				&config->owned };

	for (unsigned i = 0; i < ARRAY_LEN(all); i++)
		texts_free(all[i]);
}

static int irqchip_kind(struct config *config, struct options *options, struct err *err)
{
	const char *kind = options_get(options, "kernel-irqchip");
	const char *spelled = options_get(options, "kernel_irqchip"); /* as old scripts have it */

	kind = kind ? kind : spelled;
	if (!kind || !strcmp(kind, "on"))
		return 0;
	if (strcmp(kind, "split"))
		return fail(err, ENOTSUP, "kernel-irqchip=%s is not supported, local APICs are the accelerator's; use on or split", kind);
	config->pc.split_irqchip = true;
	return 0;
}

/* "kvm:soft": all of them must be there, whichever works. */
static int check_accel(const char *list, struct err *err)
{
	static const char *const known[] = { "kvm", "soft", "tcg" };

	while (*list) {
		size_t length = strcspn(list, ":");
		bool found = false;

		for (unsigned i = 0; i < ARRAY_LEN(known); i++)
			found |= strlen(known[i]) == length && !strncmp(known[i], list, length);
		if (!found)
			return fail(err, EINVAL, "there is no accelerator \"%.*s\"; use kvm or soft",
				    (int)length, list);
		list += length + (list[length] == ':');
	}
	return 0;
}

/* "auto": on if there is somebody behind it, see turn_vmport_on. */
static int vmport_setting(struct config *config, struct options *options, struct err *err)
{
	const char *value = options_get(options, "vmport");

	config->vmport_given = value && strcmp(value, "auto");
	if (!config->vmport_given)
		return 0;
	return options_bool(options, "vmport", false, &config->pc.vmport, err);
}

static int opt_machine(struct config *config, const char *name, const char *value,
		       struct err *err)
{
	static const char *const accepted[] = { "usb", "dump-guest-core", "mem-merge",
						"smm", "memory-backend", "hpet" };
	struct options options;
	const char *type, *accel;
	bool graphics = true;
	int error = options_parse(&options, "-machine", value, "type", err);

	type = options_get(&options, "type");
	if (!error && type && strcmp(type, "pc") && strncmp(type, "pc-i440fx", 9)) {
		bool help = !strcmp(type, "help");

		if (help)
			puts("pc                   Standard PC (i440FX + PIIX) (default)");
		config->done |= help;
		if (!help)
			error = fail(err, ENODEV, "there is no machine \"%s\"; use pc", type);
	}
	accel = options_get(&options, "accel");
	if (accel)
		config->accel = config_keep(config, strdup(accel));
	if (!error && accel)
		error = check_accel(accel, err);
	if (!error)
		error = irqchip_kind(config, &options, err);
	if (!error)
		error = options_bool(&options, "graphics", true, &graphics, err);
	config->pc.nographic |= !graphics;
	if (!error)
		error = options_bool(&options, "hpet", config->pc.hpet, &config->pc.hpet, err);
	if (!error)
		error = options_bool(&options, "acpi", config->pc.acpi, &config->pc.acpi, err);
	if (!error)
		error = options_bool(&options, "pit", config->pc.pit, &config->pc.pit, err);
	if (!error)
		error = options_bool(&options, "i8042", config->pc.i8042, &config->pc.i8042, err);
	if (!error)
		error = vmport_setting(config, &options, err);
	for (unsigned i = 0; i < ARRAY_LEN(accepted); i++)
		options_get(&options, accepted[i]);
	if (!error)
		error = options_check(&options, err);
	options_free(&options);
	return error;
}

static int window_setting(struct config *config, struct options *options, struct err *err)
{
	static const char *const names[] = { "off", "on", "always" };
	const char *value = options_get(options, "window");

	for (int n = 0; n < (int)ARRAY_LEN(names); n++) {
		if (value && !strcmp(value, names[n])) {
			config->engine.window = n;
			return 0;
		}
	}
	return value ? fail(err, EINVAL, "-accel soft: window=%s: it is on, off or always", value) : 0;
}

static int opt_accel(struct config *config, const char *name, const char *value, struct err *err)
{
	struct options options;
	bool translator = config->engine.translator, prove = true;
	bool backdoor = config->engine.vmware_backdoor, exact = config->engine.exact_flags;
	int error = options_parse(&options, "-accel", value, "accel", err);
	const char *accel = options_get(&options, "accel");
	char *list;

	if (!error && accel && !strcmp(accel, "help")) {
		puts("Accelerators: kvm, soft");
		config->done = true;
	} else if (!error && accel) {
		if (asprintf(&list, "%s%s%s", config->accel ? config->accel : "",
			     config->accel ? ":" : "", accel) < 0)
			abort();
		config->accel = config_keep(config, list);
	}
	if (!error && accel)
		error = strcmp(accel, "help") ? check_accel(accel, err) : 0;
	options_get(&options, "thread"); /* QEMU's tcg,thread=multi: always so here */
	if (!error)
		error = irqchip_kind(config, &options, err);
	if (!error)
		error = options_bool(&options, "translator", translator, &translator, err);
	config->engine.translator = translator;
	if (!error)
		error = window_setting(config, &options, err);
	if (!error)
		error = options_bool(&options, "exact-flags", exact, &exact, err);
	config->engine.exact_flags = exact;
	if (!error)
		error = options_bool(&options, "vmware-backdoor", backdoor, &backdoor, err);
	config->engine.vmware_backdoor = backdoor;
	if (!error)
		error = options_bool(&options, "perfmap", config->perf_map, &config->perf_map, err);
	if (!error)
		error = options_bool(&options, "jitdump", config->jit_dump, &config->jit_dump, err);
	if (!error)
		error = options_bool(&options, "prove", true, &prove, err);
	config->kvm_unproved |= !prove;
	if (!error)
		error = options_check(&options, err);
	options_free(&options);
	return error;
}

static int opt_enable_kvm(struct config *config, const char *name, const char *value,
			  struct err *err)
{
	return opt_accel(config, name, "kvm", err);
}

static int opt_memory(struct config *config, const char *name, const char *value, struct err *err)
{
	struct options options;
	int error = options_parse(&options, "-m", value, "size", err);

	if (!error)
		error = options_size(&options, "size", config->pc.ram_bytes, MIB,
				     &config->pc.ram_bytes, err);
	options_get(&options, "slots"); /* no hot-plug: the maximum is what there is */
	options_get(&options, "maxmem");
	if (!error)
		error = options_check(&options, err);
	if (!error && (config->pc.ram_bytes < MIB || config->pc.ram_bytes % PAGE_BYTES))
		error = fail(err, EINVAL, "-m \"%s\" is not at least 1M in whole pages", value);
	options_free(&options);
	return error;
}

static int smp_part(struct options *options, const char *key, unsigned *value, struct err *err)
{
	uint64_t number;
	int error = options_number(options, key, 0, &number, err);

	*value = MIN(number, 1000000);
	if (!error && !number && options_get(options, key))
		error = fail(err, EINVAL, "-smp: \"%s\" must be at least 1", key);
	return error;
}

static int opt_smp(struct config *config, const char *name, const char *value, struct err *err)
{
	struct options options;
	unsigned cpus = 0, sockets = 0, cores = 0, threads = 0, most = 0, dies;
	uint64_t places;
	int error = options_parse(&options, "-smp", value, "cpus", err);

	if (!error)
		error = smp_part(&options, "cpus", &cpus, err);
	if (!error)
		error = smp_part(&options, "sockets", &sockets, err);
	if (!error)
		error = smp_part(&options, "cores", &cores, err);
	if (!error)
		error = smp_part(&options, "threads", &threads, err);
	if (!error)
		error = smp_part(&options, "maxcpus", &most, err);
	if (!error)
		error = smp_part(&options, "dies", &dies, err);
	if (!error)
		error = options_check(&options, err);
	options_free(&options);
	if (error)
		return error;
	threads = threads ? threads : 1;
	if (!cpus)
		cpus = (unsigned)MIN((uint64_t)MIN(MAX(sockets, 1u), 4096u) * MIN(MAX(cores, 1u), 4096u) *
					     MIN(threads, 4096u), 1000000u);
	if (!cores)
		cores = sockets ? MAX(cpus / (sockets * threads), 1u) : 1;
	if (!sockets)
		sockets = MAX(cpus / (cores * threads), 1u);
	if (cpus > PC_MAX_VCPUS)
		return fail(err, EINVAL, "-smp asks for %u processors; this machine has at most %d",
			    cpus, PC_MAX_VCPUS);
	places = (uint64_t)MIN(sockets, 4096u) * MIN(cores, 4096u) * MIN(threads, 4096u);
	if (places != (most ? most : cpus) && places != cpus)
		return fail(err, EINVAL, "-smp: %u sockets x %u cores x %u threads are not %u processors",
			    sockets, cores, threads, cpus);
	config->pc.vcpus = cpus;
	config->sockets = sockets;
	config->cores = cores;
	config->threads = threads;
	return 0;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ?
	       (c | 0x20) - 'a' + 10 : -1;
}

static int opt_uuid(struct config *config, const char *name, const char *value, struct err *err)
{
	const char *p = value;
	unsigned i;

	for (i = 0; i < 16; i++, p += 2) {
		p += *p == '-';
		if (hex_digit(p[0]) < 0 || hex_digit(p[1]) < 0)
			break;
		config->pc.uuid[i] = (uint8_t)(hex_digit(p[0]) << 4 | hex_digit(p[1]));
	}
	if (i < 16 || *p)
		return fail(err, EINVAL, "-uuid \"%s\" is not like 550e8400-e29b-41d4-a716-446655440000",
			    value);
	config->pc.has_uuid = true;
	return 0;
}

static int opt_name(struct config *config, const char *name, const char *value, struct err *err)
{
	struct options options;
	const char *guest, *process;
	bool ignored; /* threads always have their names */
	int error = options_parse(&options, "-name", value, "guest", err);

	guest = options_get(&options, "guest");
	process = options_get(&options, "process");
	if (!error)
		error = options_bool(&options, "debug-threads", false, &ignored, err);
	if (!error)
		error = options_check(&options, err);
	if (!error && guest)
		config->pc.name = config_keep(config, strdup(guest));
	if (!error && process)
		config->process_name = config_keep(config, strdup(process));
	options_free(&options);
	return error;
}

static int check_order(const char *order, struct err *err)
{
	if (!order || strspn(order, "abcdnp") == strlen(order))
		return 0;
	return fail(err, EINVAL, "-boot order \"%s\" has other letters than a, c, d, n", order);
}

static int opt_boot(struct config *config, const char *name, const char *value, struct err *err)
{
	static const char *const accepted[] = { "splash", "splash-time", "reboot-timeout" };
	struct options options;
	const char *order, *once;
	int error = options_parse(&options, "-boot", value, "order", err);

	order = options_get(&options, "order");
	once = options_get(&options, "once");
	if (!error)
		error = check_order(order, err);
	if (!error)
		error = check_order(once, err);
	if (!error && order)
		config->pc.boot_order = config_keep(config, strdup(order));
	if (!error && once) {
		config->boot_once = true;
		config->boot_later = config->pc.boot_order;
		config->pc.boot_order = config_keep(config, strdup(once));
	}
	if (!error)
		error = options_bool(&options, "menu", config->pc.boot_menu, &config->pc.boot_menu,
				     err);
	if (!error)
		error = options_bool(&options, "strict", config->pc.boot_strict,
				     &config->pc.boot_strict, err);
	for (unsigned i = 0; i < ARRAY_LEN(accepted); i++)
		options_get(&options, accepted[i]);
	if (!error)
		error = options_check(&options, err);
	options_free(&options);
	return error;
}

static int opt_rtc(struct config *config, const char *name, const char *value, struct err *err)
{
	struct options options;
	const char *base;
	int error = options_parse(&options, "-rtc", value, "base", err);

	base = options_get(&options, "base");
	options_get(&options, "driftfix");
	options_get(&options, "clock");
	if (!error)
		error = options_check(&options, err);
	config->rtc_base = base ? config_keep(config, strdup(base)) : NULL;
	options_free(&options);
	return error;
}

static int opt_global(struct config *config, const char *name, const char *value, struct err *err)
{
	if (!strchr(value, '='))
		return fail(err, EINVAL, "-global \"%s\" must be DRIVER.PROPERTY=VALUE", value);
	texts_add(&config->globals, value);
	return 0;
}

static int opt_watchdog_action(struct config *config, const char *name, const char *value,
			       struct err *err)
{
	static const char *const known[] = { "reset", "shutdown", "poweroff", "pause", "none" };

	for (unsigned i = 0; i < ARRAY_LEN(known); i++)
		if (!strcmp(value, known[i]))
			config->watchdog_action = known[i];
	return config->watchdog_action ? 0 :
		fail(err, EINVAL, "a watchdog cannot \"%s\"; it can reset, shutdown, poweroff, pause or none", value);
}

/* One of two words; `value` is whether it is the second. */
static int either(struct options *options, const char *key, const char *first, const char *second,
		  bool *value, struct err *err)
{
	const char *text = options_get(options, key);

	if (!text)
		return 0;
	if (strcmp(text, first) && strcmp(text, second))
		return fail(err, EINVAL, "-action %s= is %s or %s, not \"%s\"", key, first, second,
			    text);
	*value = !strcmp(text, second);
	return 0;
}

static int opt_action(struct config *config, const char *name, const char *value, struct err *err)
{
	struct options options;
	const char *watchdog;
	int error = options_parse(&options, "-action", value, NULL, err);

	watchdog = options_get(&options, "watchdog");
	if (!error)
		error = either(&options, "reboot", "reset", "shutdown", &config->no_reboot, err);
	if (!error)
		error = either(&options, "shutdown", "poweroff", "pause", &config->no_shutdown,
			       err);
	if (!error)
		error = either(&options, "panic", "pause", "shutdown", &config->quits_on_panic,
			       err);
	if (!error && watchdog)
		error = opt_watchdog_action(config, name, watchdog, err);
	if (!error)
		error = options_check(&options, err);
	options_free(&options);
	return error;
}

/* -hda and friends are -drive rows. */
static int opt_disk(struct config *config, const char *name, const char *value, struct err *err)
{
	char *doubled = malloc(2 * strlen(value) + 1), *out = doubled, *row;
	int length;

	if (!doubled)
		abort();
	for (const char *p = value; *p; p++) {
		if (*p == ',')
			*out++ = ',';
		*out++ = *p;
	}
	*out = 0;
	if (!strcmp(name, "cdrom"))
		length = asprintf(&row, "index=2,media=cdrom,file=%s", doubled);
	else if (name[0] == 'f')
		length = asprintf(&row, "if=floppy,index=%d,file=%s", name[2] - 'a', doubled);
	else
		length = asprintf(&row, "index=%d,media=disk,file=%s", name[2] - 'a', doubled);
	if (length < 0)
		abort();
	texts_add(&config->drives, row);
	free(row);
	free(doubled);
	return 0;
}

/* The old form comes in two halves; config_check makes -nic of them. */
static int opt_net(struct config *config, const char *name, const char *value, struct err *err)
{
	size_t kind = strcspn(value, ",");
	const char *rest = value[kind] ? value + kind + 1 : "";

	config->has_net = true;
	if (!strcmp(value, "none"))
		texts_add(&config->nics, "none");
	else if (kind == 3 && !strncmp(value, "nic", 3))
		config->net_nic = rest;
	else if (kind == 4 && !strncmp(value, "user", 4))
		config->net_user = rest;
	else
		return fail(err, ENOTSUP, "-net \"%s\" is not supported; use -nic or -netdev", value);
	return 0;
}

static int opt_no_hpet(struct config *config, const char *name, const char *value, struct err *err)
{
	config->pc.hpet = false;
	return 0;
}

static int opt_no_acpi(struct config *config, const char *name, const char *value, struct err *err)
{
	config->pc.acpi = false;
	return 0;
}

/* Looked into before the usual places. */
static int opt_firmware_dir(struct config *config, const char *name, const char *value,
			    struct err *err)
{
	char *dirs;

	if (asprintf(&dirs, "%s:%s", value, config->pc.firmware_dirs) < 0)
		abort();
	config->pc.firmware_dirs = config_keep(config, dirs);
	return 0;
}

static int opt_log(struct config *config, const char *name, const char *value, struct err *err)
{
	if (strcmp(value, "help"))
		return trace_parse(value, &config->engine.log, err);
	trace_help();
	config->done = true;
	return 0;
}

static int opt_object(struct config *config, const char *name, const char *value, struct err *err)
{
	static const char *const known[] = { "rng-random", "rng-builtin", "memory-backend-ram",
					     "memory-backend-memfd", "iothread" };
	struct options options;
	const char *type;
	bool good = false;
	int error = options_parse(&options, "-object", value, "qom-type", err);

	type = options_get(&options, "qom-type");
	for (unsigned i = 0; type && i < ARRAY_LEN(known); i++)
		good |= !strcmp(type, known[i]);
	if (!error && type && !strcmp(type, "help")) {
		for (unsigned i = 0; i < ARRAY_LEN(known); i++)
			puts(known[i]);
		config->done = true;
	} else if (!error && !good) {
		error = fail(err, ENOTSUP, "there is no object \"%s\"; -object help lists them",
			     type ? type : value);
	} else if (!error && !options_get(&options, "id")) {
		error = fail(err, EINVAL, "-object %s needs id=", type);
	} else if (!error) {
		texts_add(&config->objects, value);
	}
	options_free(&options);
	return error;
}

static int opt_vga(struct config *config, const char *name, const char *value, struct err *err)
{
	if (!strcmp(value, "help")) {
		puts("none                 no graphics card\nstd                  standard VGA with Bochs VBE (default)");
		config->done = true;
		return 0;
	}
	if (strcmp(value, "std") && strcmp(value, "none"))
		return fail(err, ENOTSUP, "graphics card \"%s\" is not there yet; use std or none", value);
	config->vga = strcmp(value, "none") ? "std" : "none";
	return 0;
}

static int opt_display(struct config *config, const char *name, const char *value, struct err *err)
{
	if (!strcmp(value, "help")) {
		puts("none\nvnc");
		config->done = true;
		return 0;
	}
	if (!strncmp(value, "vnc=", 4))
		config->vnc = value + 4;
	else if (strcmp(value, "none"))
		return fail(err, ENOTSUP, "display \"%s\" is not there; use none or vnc=:0", value);
	config->display = value;
	return 0;
}

static int opt_ignored(struct config *config, const char *name, const char *value, struct err *err)
{
	return 0;
}

static int opt_ignored_arg(struct config *config, const char *name, const char *value,
			   struct err *err)
{
	return 0;
}

/* The guest's HLT never takes a host processor from anybody, so cpu-pm= has nothing to change. */
static int opt_overcommit(struct config *config, const char *name, const char *value,
			  struct err *err)
{
	struct options options;
	bool lock, ignored;
	int error = options_parse(&options, "-overcommit", value, NULL, err);

	if (!error)
		error = options_bool(&options, "mem-lock", false, &lock, err);
	if (!error)
		error = options_bool(&options, "cpu-pm", false, &ignored, err);
	if (!error)
		error = options_check(&options, err);
	if (!error && lock)
		error = fail(err, ENOTSUP, "mem-lock=on is not supported");
	options_free(&options);
	return error;
}

static int opt_help(struct config *config, const char *name, const char *value, struct err *err)
{
	cmdline_help();
	config->done = true;
	return 0;
}

static int opt_version(struct config *config, const char *name, const char *value, struct err *err)
{
	puts("Kelvin " KELVIN_VERSION ", command line compatible with QEMU emulator version 7.2.0");
	config->done = true;
	return 0;
}

#define SECTION(title)                   { title, TAKE_SECTION, 0, NULL, NULL, NULL },
#define FLAG(name, member, help)         { name, TAKE_FLAG, offsetof(struct config, member), NULL, NULL, help },
#define TEXT(name, member, arg, help)    { name, TAKE_TEXT, offsetof(struct config, member), NULL, arg, help },
#define LIST(name, member, arg, help)    { name, TAKE_LIST, offsetof(struct config, member), NULL, arg, help },
#define CALL(name, function, arg, help)  { name, TAKE_CALL, 0, function, arg, help },
static const struct row rows[] = {
#include "manage/cmdline.def"
};

void cmdline_help(void)
{
	puts("usage: kelvin [OPTION...] [DISK-IMAGE]\n"
	     "       kelvin run IMAGE|KERNEL [--memory 2G] [--cpus 2] ...\n"
	     "       kelvin doctor");
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		if (rows[i].taking == TAKE_SECTION)
			printf("\n%s:\n", rows[i].name);
		else if (rows[i].help)
			printf("  -%s%s%s\n      %s\n", rows[i].name, rows[i].argument ? " " : "",
			       rows[i].argument ? rows[i].argument : "", rows[i].help);
	}
}

const char *cmdline_option(unsigned number)
{
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].taking != TAKE_SECTION && !number--)
			return rows[i].name;
	return NULL;
}

static const struct row *find_row(const char *name)
{
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].taking != TAKE_SECTION && !strcmp(rows[i].name, name))
			return &rows[i];
	return NULL;
}

static int take(struct config *config, const struct row *row, const char *value, struct err *err)
{
	void *member = (char *)config + row->offset;

	switch (row->taking) {
	case TAKE_FLAG:
		*(bool *)member = true;
		return 0;
	case TAKE_TEXT:
		*(const char **)member = value;
		return 0;
	case TAKE_LIST:
		texts_add(member, value);
		return 0;
	default:
		return row->call(config, row->name, value, err);
	}
}

int cmdline_parse(struct config *config, int argc, char **argv, struct err *err)
{
	for (int i = 0; i < argc && !config->done; i++) {
		const char *name = argv[i];
		const struct row *row;
		int error;

		if (*name != '-') {
			error = opt_disk(config, "hda", name, err);
			if (error)
				return error;
			continue;
		}
		name += 1 + (name[1] == '-');
		row = find_row(name);
		if (!row)
			return fail(err, EINVAL, "there is no option \"%s\"; kelvin -help lists them", argv[i]);
		if (row->argument && i + 1 == argc)
			return fail(err, EINVAL, "option \"%s\" needs an argument: %s", argv[i], row->argument);
		error = take(config, row, row->argument ? argv[++i] : NULL, err);
		if (error)
			return error;
	}
	return config->done ? 0 : config_check(config, err);
}

/* -net nic,NIC -net user,USER is -nic user,NIC,USER. */
static void merge_net(struct config *config)
{
	const char *user = config->net_user ? config->net_user : "";
	const char *nic = config->net_nic ? config->net_nic : "";
	char *row;

	if (!config->net_nic && !config->net_user)
		return;
	if (asprintf(&row, "user%s%s%s%s", *nic ? "," : "", nic, *user ? "," : "", user) < 0)
		abort();
	texts_add(&config->nics, row);
	free(row);
}

/* A process without a terminal has none to give to its guest. */
static int check_terminal(const struct config *config, struct err *err)
{
	const struct texts *lists[] = { &config->chardevs, &config->serials, &config->parallels,
					&config->monitors, &config->qmps };

	if (!config->daemonize)
		return 0;
	for (unsigned i = 0; i < ARRAY_LEN(lists); i++)
		for (unsigned k = 0; k < lists[i]->count; k++)
			if (!strncmp(lists[i]->list[k], "stdio", 5) ||
			    !strncmp(lists[i]->list[k], "mon:stdio", 9))
				return fail(err, EINVAL, "-daemonize leaves no terminal for \"%s\"",
					    lists[i]->list[k]);
	if (config->nographic && !config->nodefaults && !config->serials.count)
		return fail(err, EINVAL, "-nographic wants the terminal that -daemonize gives up; use -display none");
	return 0;
}

int config_check(struct config *config, struct err *err)
{
	merge_net(config);
	config->pc.nographic |= config->nographic;
	if (!config->pc.kernel && config->pc.append)
		return fail(err, EINVAL, "-append is for a kernel; add -kernel");
	if (!config->pc.kernel && config->pc.initrd)
		return fail(err, EINVAL, "-initrd is for a kernel; add -kernel");
	return check_terminal(config, err);
}
