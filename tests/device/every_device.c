/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What must hold for every device model, with no code per device: settings have help, random
 * accesses are survived, a restored twin answers alike, hostile state is refused or survived.
 *
 * Arguments: names of classes; without any, all of them.
 */
#include "core/internal.h"
#include "dev/all.h"
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>

enum { STATE_ROOM = 1 << 20, ROUNDS = 12 };

static uint32_t chance = 1;

static uint32_t next_chance(void)
{
	chance = chance * 1664525 + 1013904223;
	return chance >> 8;
}

static void settings_are_documented(const struct dev_class *class)
{
	const struct field *table;

	CHECK(class->summary);
	for (unsigned i = 0; (table = dev_class_fields(class, i)); i++)
		for (const struct field *f = table; f->name; f++)
			if (f->role != FIELD_STATE && !f->help) {
				printf("%s: \"%s\" has no help\n", class->name, f->name);
				CHECK(f->help);
			}
}

/* Every back end the class can use, one each. */
static void make_settings(const struct dev_class *class, char *text, size_t room)
{
	unsigned disks = 0, chars = 0, nets = 0;
	const struct field *table;
	size_t used = 0;

	text[0] = 0;
	for (unsigned i = 0; (table = dev_class_fields(class, i)); i++) {
		for (const struct field *f = table; f->name; f++) {
			const char *comma = used ? "," : "";

			if (f->role != FIELD_SETTING)
				continue;
			if (f->type == FIELD_BLOCK && disks < RIG_DISKS)
				used += (size_t)snprintf(text + used, room - used, "%s%s=disk%u",
							 comma, f->name, disks++);
			else if (f->type == FIELD_CHARDEV && chars < RIG_CHARDEVS)
				used += (size_t)snprintf(text + used, room - used, "%s%s=char%u",
							 comma, f->name, chars++);
			else if (f->type == FIELD_NETDEV && nets < 2)
				used += (size_t)snprintf(text + used, room - used, "%s%s=net%u",
							 comma, f->name, nets++);
		}
	}
}

static struct rig *make(const struct dev_class *class)
{
	static const struct {
		const char *name, *settings;
	} parents[] = { { "piix3-ide", "addr=01.1" }, { "virtio-serial-pci", "" } };
	char settings[256];
	struct rig *rig;

	make_settings(class, settings, sizeof(settings));
	rig = rig_new(class, settings);
	if (rig)
		return rig;
	/* It needs another device: a drive wants its controller. */
	for (unsigned i = 0; i < ARRAY_LEN(parents); i++) {
		const struct dev_class *parent = dev_class_find(parents[i].name);

		rig = rig_open(true);
		if (parent && class != parent &&
		    rig_add(rig, parent, "parent", parents[i].settings) &&
		    rig_add(rig, class, NULL, settings))
			return rig;
		rig_free(rig);
	}
	printf("%s: %s\n", class->name, rig_error());
	return NULL;
}

static void a_restored_twin_behaves_the_same(const struct dev_class *class)
{
	struct rig *rig = make(class);

	for (uint32_t round = 1; round <= ROUNDS; round++) {
		struct rig *twin = make(class);

		rig_random_access(rig, NULL, 300, round * 7919);
		rig_copy(twin, rig);
		if (round % 2) { /* what was going to happen by itself still does */
			rig_advance(rig, 2 * SECOND);
			rig_advance(twin, 2 * SECOND);
		}
		rig_random_access(rig, twin, 300, round * 104729);
		rig_free(twin);
	}
	rig_free(rig);
}

static const struct field *find_row(const struct field *table, const uint8_t *name, size_t length)
{
	for (const struct field *f = table; f->name; f++)
		if (f->role == FIELD_STATE && strlen(f->name) == length &&
		    !memcmp(f->name, name, length))
			return f;
	abort();
}

static void mutate_rows(const struct field *table, uint8_t *rows, size_t size, unsigned one_in);

static void mutate_content(const struct field *f, uint8_t *content, size_t size, unsigned one_in)
{
	if (f->type == FIELD_STRUCTS) {
		uint32_t count = load_le32(content);

		for (content += 4; count; count--) {
			uint32_t bytes = load_le32(content);

			mutate_rows(f->sub, content + 4, bytes, 4 * one_in);
			content += 4 + bytes;
		}
		return;
	}
	if (next_chance() % one_in)
		return;
	for (unsigned flips = 1 + next_chance() % 4; size && flips; flips--)
		content[next_chance() % size] = (uint8_t)(next_chance() % 4 ? next_chance() : 0xff);
}

static void mutate_rows(const struct field *table, uint8_t *rows, size_t size, unsigned one_in)
{
	while (size) {
		size_t name = rows[0], bytes = load_le32(rows + 1 + name);

		mutate_content(find_row(table, rows + 1, name), rows + 1 + name + 4, bytes, one_in);
		rows += 1 + name + 4 + bytes;
		size -= 1 + name + 4 + bytes;
	}
}

/* dev_save's layout: lines, then per table a size and its rows. */
static void mutate(const struct dev_class *class, uint8_t *state, unsigned one_in)
{
	const struct field *table;
	uint8_t *at = state + 8;

	for (unsigned i = 0; (table = dev_class_fields(class, i)); i++) {
		mutate_rows(table, at + 4, load_le32(at), one_in);
		at += 4 + load_le32(at);
	}
}

static void hostile_state_is_refused_or_survived(const struct dev_class *class)
{
	static uint8_t state[STATE_ROOM];
	unsigned accepted = 0, tried = 60;

	for (unsigned i = 0; i < tried; i++) {
		struct rig *rig = make(class);
		struct err err = { 0 };
		size_t size;

		rig_random_access(rig, NULL, 100, i);
		rig_settle(rig);
		size = dev_save(rig_dev(rig), state, sizeof(state));
		if (size > sizeof(state)) { /* too much to flip: the models' own tests look at it */
			rig_free(rig);
			return;
		}
		if (i % 4 == 3)
			for (unsigned flips = next_chance() % 8; flips; flips--)
				state[next_chance() % size] = (uint8_t)next_chance();
		else
			mutate(class, state, 1 + next_chance() % 12);
		if (!dev_load(rig_dev(rig), state, size, &err)) {
			rig_random_access(rig, NULL, 1000, i);
			accepted++;
		}
		rig_reset(rig);
		rig_random_access(rig, NULL, 100, i);
		rig_free(rig);
	}
	printf("  hostile states: %u tried, %u accepted and survived\n", tried, accepted);
}

static void check_class(const struct dev_class *class)
{
	struct rig *rig;

	printf("%s: %s\n", class->name, class->summary);
	fflush(stdout);
	settings_are_documented(class);
	rig = make(class);
	if (!rig)
		exit(1);
	rig_random_access(rig, NULL, 20000, 1);
	rig_reset(rig);
	rig_map_bars(rig);
	rig_random_access(rig, NULL, 5000, 2);
	rig_free(rig);
	a_restored_twin_behaves_the_same(class);
	hostile_state_is_refused_or_survived(class);
}

int main(int argc, char **argv)
{
	dev_classes_register(all_devices, all_devices_count);
	for (size_t i = 0; i < all_devices_count; i++) {
		bool wanted = argc < 2;

		for (int a = 1; a < argc; a++)
			wanted |= !strcmp(argv[a], all_devices[i]->name);
		if (wanted)
			check_class(all_devices[i]);
	}
	return 0;
}
