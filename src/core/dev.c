/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Devices: their life, their state, and what a board does for them.
 *
 * Bus classes nest by .parent; tables and hooks of a device are its own, then its bus's, then that
 * one's parent's. Saved state of a device: 64-bit lines, then per table a 32-bit size and its rows.
 */
#include "core/internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { ERRORS_LOGGED = 8, TABLES_MAX = 4 };

static const struct dev_class *const *known;
static size_t known_count;

void dev_classes_register(const struct dev_class *const *classes, size_t count)
{
	known = classes;
	known_count = count;
}

const struct dev_class *const *dev_classes(size_t *count)
{
	*count = known_count;
	return known;
}

const struct dev_class *dev_class_find(const char *name)
{
	for (size_t i = 0; i < known_count; i++)
		if (!strcmp(known[i]->name, name) ||
		    (known[i]->alias && !strcmp(known[i]->alias, name)))
			return known[i];
	return NULL;
}

const struct field *dev_class_fields(const struct dev_class *class, unsigned number)
{
	static const struct field none[] = { { 0 } };
	const struct bus_class *bus = class->bus;
	const struct field *table = class->fields;

	for (; number; number--) {
		if (!bus)
			return NULL;
		table = bus->fields;
		bus = bus->parent;
	}
	return table ? table : none;
}

const char *dev_class_bus_name(const struct dev_class *class)
{
	const char *name = class->bus ? class->bus->name : "ISA";

	return class->plugs_into ? class->plugs_into : name;
}

static int apply(struct dev *dev, const char *name, const char *value, struct err *err)
{
	const struct field *table;

	for (unsigned i = 0; (table = dev_class_fields(dev->class, i)); i++)
		if (fields_find(table, name))
			return fields_set(table, dev, name, value, dev->board, err);
	return fail(err, EINVAL, "device \"%s\" has no setting \"%s\"", dev->class->name, name);
}

static int apply_all(struct dev *dev, const char *args, struct err *err)
{
	char name[64], value[1024];

	while (fields_next_arg(&args, name, sizeof(name), value, sizeof(value))) {
		int code = apply(dev, name, value, err);

		if (code)
			return code;
	}
	return 0;
}

/* Parents first. */
static int bus_prepare(struct dev *dev, const struct bus_class *bus, struct err *err)
{
	int code = 0;

	if (!bus)
		return 0;
	code = bus_prepare(dev, bus->parent, err);
	if (!code && bus->prepare)
		code = bus->prepare(dev, err);
	return code;
}

static void bus_reset(struct dev *dev, const struct bus_class *bus)
{
	if (!bus)
		return;
	bus_reset(dev, bus->parent);
	if (bus->reset)
		bus->reset(dev);
}

static int bus_restored(struct dev *dev, const struct bus_class *bus, struct err *err)
{
	int code = 0;

	if (!bus)
		return 0;
	code = bus_restored(dev, bus->parent, err);
	if (!code && bus->restored)
		code = bus->restored(dev, err);
	return code;
}

void dev_reset(struct dev *dev)
{
	bus_reset(dev, dev->class->bus);
	if (dev->class->reset)
		dev->class->reset(dev);
}

/* Gives back everything the core knows that the device has. */
static void release_all(struct dev *dev)
{
	struct board *board = dev->board;

	for (const struct bus_class *bus = dev->class->bus; bus; bus = bus->parent)
		if (bus->release)
			bus->release(dev);
	timers_release(dev);
	irq_legacy_replacement(dev, false);
	irq_release(dev);
	irq_chip_release_of(dev);
	isa_dma_release_of(dev);
	backdoor_release_of(dev);
	bus_release_all(dev);
	block_release_of(dev);
	chardev_release_of(dev);
	netdev_release_of(dev);
	display_release_of(dev);
	input_release_of(dev);
	ram_free_of(board, dev);
	if (board->power_button == dev)
		board->power_button = NULL;
	if (board->pci_router == dev)
		board->pci_router = NULL;
}

static void free_dev(struct dev *dev)
{
	const struct field *table;

	for (unsigned i = 0; (table = dev_class_fields(dev->class, i)); i++)
		fields_free(table, dev);
	free(dev->id);
	free(dev);
}

static char *make_up_id(struct board *board, const struct dev_class *class)
{
	char *id;

	if (!dev_find(board, class->name))
		return must_strdup(class->name);
	do
		id = must_format("%s.%u", class->name, ++board->made_up_ids);
	while (dev_find(board, id) && (free(id), true));
	return id;
}

struct dev *dev_new(struct board *board, const struct dev_class *class, const char *id,
		    const char *args, struct err *err)
{
	const struct field *table;
	struct dev *dev = NULL;
	int code;

	board_lock(board);
	if (id && dev_find(board, id)) {
		fail(err, EEXIST, "there is a device \"%s\" already", id);
		goto out;
	}
	dev = must_alloc(class->size);
	dev->class = class;
	dev->board = board;
	dev->id = id ? must_strdup(id) : make_up_id(board, class);
	for (unsigned i = 0; (table = dev_class_fields(class, i)); i++)
		fields_set_defaults(table, dev);
	code = apply_all(dev, args, err);
	if (!code)
		code = bus_prepare(dev, class->bus, err);
	if (!code)
		code = class->attach(dev, err);
	if (code) {
		release_all(dev);
		free_dev(dev);
		dev = NULL;
		goto out;
	}
	dev->attached = true;
	*board->devs_end = dev;
	board->devs_end = &dev->next;
	dev_reset(dev);
out:
	board_unlock(board);
	return dev;
}

void dev_free(struct dev *dev)
{
	struct board *board = dev->board;
	struct dev **at = &board->devs;

	board_lock(board);
	while (*at != dev)
		at = &(*at)->next;
	*at = dev->next;
	if (!*at)
		board->devs_end = at;
	blocks_drain(board);
	if (dev->class->detach)
		dev->class->detach(dev);
	release_all(dev);
	free_dev(dev);
	board_unlock(board);
}

struct dev *dev_find(struct board *board, const char *id)
{
	for (struct dev *dev = board->devs; dev; dev = dev->next)
		if (!strcmp(dev->id, id))
			return dev;
	return NULL;
}

struct dev *board_devices(struct board *board)
{
	return board->devs;
}

size_t dev_save(struct dev *dev, uint8_t *out, size_t room)
{
	const struct field *table;
	size_t used = sizeof(uint64_t);

	if (used <= room)
		store_le64(out, dev->lines_high);
	for (unsigned i = 0; (table = dev_class_fields(dev->class, i)); i++) {
		size_t at = used + 4;
		bool fits = at <= room;
		size_t bytes = fields_save(table, dev, fits ? out + at : NULL,
					   fits ? room - at : 0);

		if (fits)
			store_le32(out + used, (uint32_t)bytes);
		used = at + bytes;
	}
	return used;
}

int dev_load(struct dev *dev, const uint8_t *in, size_t size, struct err *err)
{
	const struct field *table;
	uint64_t lines;
	int code;

	if (size < sizeof(lines))
		return fail(err, EINVAL, "state of %s ends early", dev->id);
	lines = load_le64(in);
	in += sizeof(lines), size -= sizeof(lines);
	for (unsigned i = 0; (table = dev_class_fields(dev->class, i)); i++) {
		uint32_t bytes;

		if (size < 4 || load_le32(in) > size - 4)
			return fail(err, EINVAL, "state of %s ends early", dev->id);
		bytes = load_le32(in);
		code = fields_load(table, dev, in + 4, bytes, err);
		if (code)
			return code;
		in += 4 + bytes, size -= 4 + bytes;
	}
	if (size)
		return fail(err, EINVAL, "state of %s is too long", dev->id);
	code = bus_restored(dev, dev->class->bus, err);
	if (!code && dev->class->restored)
		code = dev->class->restored(dev, err);
	if (!code)
		irq_load(dev, lines);
	return code;
}

void guest_error(struct dev *dev, const char *fmt, ...)
{
	char text[256];
	va_list args;

	if (dev->guest_errors++ >= ERRORS_LOGGED || !dev->board->system)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	log_line("%s: guest error: %s%s", dev->id, text,
		 dev->guest_errors == ERRORS_LOGGED ? " (no more are logged)" : "");
}
