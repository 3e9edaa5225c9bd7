/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices from the command line: see devices.h. */
#include "manage/devices.h"

#include "backend/net/net.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_NIC "virtio-net-pci"

static void list_devices(void)
{
	size_t count;
	const struct dev_class *const *classes = dev_classes(&count);

	for (size_t i = 0; i < count; i++) {
		if (classes[i]->board_only)
			continue;
		printf("name \"%s\"%s%s%s, bus %s, desc \"%s\"\n", classes[i]->name,
		       classes[i]->alias ? ", alias \"" : "",
		       classes[i]->alias ? classes[i]->alias : "", classes[i]->alias ? "\"" : "",
		       dev_class_bus_name(classes[i]), classes[i]->summary);
	}
}

bool devices_help(const char *text)
{
	size_t name = strcspn(text, ",");
	const struct dev_class *class;
	bool any = false;
	char copy[64];

	if (!strcmp(text, "help") || !strcmp(text, "?")) {
		list_devices();
		return true;
	}
	if (strcmp(text + name, ",help") && strcmp(text + name, ",?"))
		return false;
	snprintf(copy, sizeof(copy), "%.*s", (int)name, text);
	class = dev_class_find(copy);
	if (!class)
		return false;
	for (unsigned i = 0; dev_class_fields(class, i); i++)
		for (const struct field *row = dev_class_fields(class, i); row->name; row++)
			any |= row->role == FIELD_SETTING;
	printf(any ? "%s options:\n" : "There are no options for %s.\n", class->name);
	for (unsigned i = 0; dev_class_fields(class, i); i++)
		fields_print_help(dev_class_fields(class, i), stdout);
	return true;
}

static int open_netdev(struct board *board, struct loop *loop, const char *text, struct err *err)
{
	struct options options;
	int error = options_parse(&options, "-netdev", text, "type", err);

	if (!error)
		error = netdev_open(board, loop, &options, err);
	options_free(&options);
	return error;
}

/* -nic user,model=e1000,mac=..,hostfwd=.. : the card's part becomes a -device row. */
static int split_nic(struct config *config, struct board *board, struct loop *loop, unsigned number,
		     struct err *err)
{
	struct options options;
	const char *model, *mac, *id;
	char *device, *netdev, *rest;
	int error = options_parse(&options, "-nic", config->nics.list[number], "type", err);

	model = options_get(&options, "model");
	mac = options_get(&options, "mac");
	id = options_get(&options, "id");
	rest = options_rest(&options);
	if (model && !strcmp(model, "virtio"))
		model = DEFAULT_NIC;
	if (asprintf(&netdev, "%s%sid=%s%u", rest, *rest ? "," : "", id ? id : "nic", number) < 0 ||
	    asprintf(&device, "%s,netdev=%s%u%s%s", model ? model : DEFAULT_NIC, id ? id : "nic",
		     number, mac ? ",mac=" : "", mac ? mac : "") < 0)
		abort();
	if (!error)
		error = open_netdev(board, loop, netdev, err);
	if (!error)
		texts_add(&config->devices, device);
	free(rest);
	free(netdev);
	free(device);
	options_free(&options);
	return error;
}

static bool names_netdev(const struct config *config)
{
	for (unsigned i = 0; i < config->devices.count; i++)
		if (strstr(config->devices.list[i], "netdev="))
			return true;
	return config->netdevs.count;
}

int devices_prepare(struct config *config, struct board *board, struct loop *loop, struct err *err)
{
	int error = 0;

	if (!config->nics.count && !config->nodefaults && !names_netdev(config))
		texts_add(&config->nics, "user");
	config->pc.vga = config->vga ? (!strcmp(config->vga, "none") ? NULL : "VGA") :
			 config->nodefaults ? NULL : "VGA";
	for (unsigned i = 0; i < config->netdevs.count && !error; i++)
		error = open_netdev(board, loop, config->netdevs.list[i], err);
	for (unsigned i = 0; i < config->nics.count && !error; i++)
		if (strcmp(config->nics.list[i], "none"))
			error = split_nic(config, board, loop, i, err);
	return error;
}

/* -global's settings for this class, in front so that the device's own win. */
static char *with_globals(const struct config *config, const char *name, const char *settings)
{
	char *out = strdup("");

	for (unsigned i = 0; i < config->globals.count && out; i++) {
		const char *row = config->globals.list[i];
		size_t length = strcspn(row, ".");
		char *longer = NULL;

		if (strlen(name) != length || strncmp(row, name, length) || !row[length])
			continue;
		if (asprintf(&longer, "%s%s,", out, row + length + 1) < 0)
			abort();
		free(out);
		out = longer;
	}
	if (out) {
		char *whole = NULL;

		if (asprintf(&whole, "%s%s", out, settings) < 0)
			abort();
		free(out);
		out = whole;
	}
	return out;
}

static bool has_setting(const struct dev_class *class, const char *name)
{
	const struct field *table;

	for (unsigned i = 0; (table = dev_class_fields(class, i)); i++)
		if (fields_find(table, name))
			return true;
	return false;
}

/* A device that knows buses looks for itself; of the others' kinds there is one each. */
static int check_bus(const struct dev_class *class, const char *bus, struct err *err)
{
	if (!bus || !strcmp(bus, "isa.0") || !strcmp(bus, "pci.0") || !strcmp(bus, "pci"))
		return 0;
	return fail(err, ENOENT, "there is no bus \"%s\" for %s; leave bus= away or use pci.0 or isa.0",
		    bus, class->name);
}

/* "ide-hd on ide.0 unit 1": remembered for the firmware, by the device's id. */
static void note_bootindex(struct config *config, const char *id, const char *index)
{
	char row[160];

	if (!index || strtoll(index, NULL, 0) < 0)
		return;
	snprintf(row, sizeof(row), "%lld %s", strtoll(index, NULL, 0), id);
	texts_add(&config->boot_devices, row);
}

static int read_bootindex(struct options *options, const struct dev_class *class,
			  const char **index, struct err *err)
{
	char *end;

	*index = options_get(options, "bootindex");
	if (!*index)
		return 0;
	strtoll(*index, &end, 0);
	if (end == *index || *end)
		return fail(err, EINVAL, "-device %s: bootindex=%s is not a number", class->name,
			    *index);
	return 0;
}

static int add_device(struct config *config, struct board *board, const char *row,
		      unsigned number, struct err *err)
{
	struct options options;
	const struct dev_class *class;
	const char *driver, *id, *index;
	char made_up[64], *rest, *settings;
	int error = options_parse(&options, "-device", row, "driver", err);

	driver = options_get(&options, "driver");
	id = options_get(&options, "id");
	class = driver ? dev_class_find(driver) : NULL;
	if (!error && (!class || class->board_only))
		error = fail(err, ENODEV, "there is no device \"%s\"; -device help lists them",
			     driver ? driver : row);
	if (!error && !has_setting(class, "bus"))
		error = check_bus(class, options_get(&options, "bus"), err);
	if (!error)
		error = read_bootindex(&options, class, &index, err);
	if (error)
		goto free_options;
	snprintf(made_up, sizeof(made_up), "%s-%u", class->name, number);
	rest = options_rest(&options);
	settings = with_globals(config, class->name, rest);
	if (dev_new(board, class, id ? id : made_up, settings, err))
		note_bootindex(config, id ? id : made_up, index);
	else
		error = -err->code;
	free(settings);
	free(rest);
free_options:
	options_free(&options);
	return error;
}

static int compare_boot(const void *a, const void *b)
{
	long long x = strtoll(*(char *const *)a, NULL, 10), y = strtoll(*(char *const *)b, NULL, 10);

	return x < y ? -1 : x > y;
}

/* Firmware paths, the lowest bootindex first. */
static int tell_firmware(struct config *config, struct board *board, struct err *err)
{
	struct texts *texts = &config->boot_devices;
	char *list = NULL;
	size_t size = 0;
	FILE *out;
	int error = 0;

	if (!texts->count)
		return 0;
	out = open_memstream(&list, &size);
	if (!out)
		abort();
	qsort(texts->list, texts->count, sizeof(texts->list[0]), compare_boot);
	for (unsigned i = 0; i < texts->count; i++) {
		struct dev *dev = dev_find(board, strchr(texts->list[i], ' ') + 1);
		char path[128];

		if (dev && pc_firmware_path(dev, path, sizeof(path)))
			fprintf(out, "%s%s", i ? "\n" : "", path);
	}
	if (config->pc.boot_strict)
		fprintf(out, "\nHALT");
	fclose(out);
	if (size)
		error = pc_set_boot_list(board, list, err);
	free(list);
	return error;
}

int devices_add(struct config *config, struct board *board, struct err *err)
{
	int error = 0;

	for (unsigned i = 0; i < config->devices.count && !error; i++)
		error = add_device(config, board, config->devices.list[i], i, err);
	return error ? error : tell_firmware(config, board, err);
}
