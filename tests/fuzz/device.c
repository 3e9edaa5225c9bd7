/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libFuzzer over the rig: the first byte chooses the device, the second whether its state comes from
 * the input too, the rest are steps of rig_fuzz (twelve bytes each).
 *
 * The environment variable DEVICE keeps it to one class by name.
 */
#include "core/internal.h"
#include "dev/all.h"
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

/* Back ends for every setting that takes one. */
static void make_settings(const struct dev_class *class, char *text, size_t room)
{
	unsigned disks = 0, chars = 0, nets = 0;
	const struct field *table;
	size_t used = 0;

	text[0] = 0;
	for (unsigned i = 0; (table = dev_class_fields(class, i)); i++) {
		for (const struct field *f = table; f->name && used < room; f++) {
			const char *kind = NULL;
			unsigned number = 0;

			if (f->role != FIELD_SETTING)
				continue;
			if (f->type == FIELD_BLOCK && disks < RIG_DISKS)
				kind = "disk", number = disks++;
			else if (f->type == FIELD_CHARDEV && chars < RIG_CHARDEVS)
				kind = "char", number = chars++;
			else if (f->type == FIELD_NETDEV && nets < 2)
				kind = "net", number = nets++;
			if (kind)
				used += (size_t)snprintf(text + used, room - used, "%s%s=%s%u",
							 used ? "," : "", f->name, kind, number);
		}
	}
}

static const struct dev_class *choose(uint8_t number)
{
	const char *only = getenv("DEVICE");

	if (only)
		return dev_class_find(only);
	return all_devices[number % all_devices_count];
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
	const struct dev_class *class;
	char settings[256];
	struct rig *rig;

	if (count < 3)
		return 0;
	dev_classes_register(all_devices, all_devices_count);
	class = choose(bytes[0]);
	if (!class)
		abort();
	make_settings(class, settings, sizeof(settings));
	rig = rig_new(class, settings);
	if (!rig)
		return 0; /* it needs another device first */
	if (bytes[1] == 1 && count > 4) {
		size_t state = MIN(load_le16(bytes + 2), count - 4);

		dev_load(rig_dev(rig), bytes + 4, state, NULL);
		bytes += state, count -= state;
	}
	for (bytes += 4, count -= MIN(count, (size_t)4); count;) {
		size_t used = rig_fuzz(rig, bytes, count);

		bytes += used, count -= used;
	}
	rig_reset(rig);
	rig_free(rig);
	return 0;
}
