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
		       classes[i]->bus ? classes[i]->bus->name : "ISA", classes[i]->summary);
	}
}

bool devices_help(const char *text)
{
	size_t name = strcspn(text, ",");
	const struct dev_class *class;
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
	printf("%s options:\n", class->name);
	fields_print_help(class->fields, stdout);
	if (class->bus && class->bus->fields)
		fields_print_help(class->bus->fields, stdout);
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

static int add_device(const struct config *config, struct board *board, const char *row,
		      unsigned number, struct err *err)
{
	struct options options;
	const struct dev_class *class;
	const char *driver, *id;
	char made_up[32], *rest, *settings;
	int error = options_parse(&options, "-device", row, "driver", err);

	driver = options_get(&options, "driver");
	id = options_get(&options, "id");
	options_get(&options, "bus"); /* there is one bus of each kind */
	class = driver ? dev_class_find(driver) : NULL;
	if (!error && (!class || class->board_only))
		error = fail(err, ENODEV, "there is no device \"%s\"; -device help lists them",
			     driver ? driver : row);
	if (error)
		goto free_options;
	snprintf(made_up, sizeof(made_up), "%s-%u", class->name, number);
	rest = options_rest(&options);
	settings = with_globals(config, class->name, rest);
	if (!dev_new(board, class, id ? id : made_up, settings, err))
		error = -err->code;
	free(settings);
	free(rest);
free_options:
	options_free(&options);
	return error;
}

int devices_add(struct config *config, struct board *board, struct err *err)
{
	int error = 0;

	for (unsigned i = 0; i < config->devices.count && !error; i++)
		error = add_device(config, board, config->devices.list[i], i, err);
	return error;
}
