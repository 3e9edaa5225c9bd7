/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzzing over the rig: the first byte chooses the device, the second whether its state comes from
 * the input too, the rest are steps of rig_fuzz (twelve bytes each).
 *
 * The environment variable DEVICE keeps it to one class by name. With libFuzzer: run_device.sh.
 * Without, main() feeds it random bytes, a bounded run, or the files it is given.
 */
#include "core/internal.h"
#include "dev/all.h"
#include "../device/rig.h"

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

#ifndef LIBFUZZER

enum { RUNS = 40, INPUT_MAX = 4096 };

static int run_file(const char *path)
{
	static uint8_t bytes[1 << 20];
	FILE *file = fopen(path, "rb");
	size_t count;

	if (!file)
		return 1;
	count = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	return LLVMFuzzerTestOneInput(bytes, count);
}

int main(int argc, char **argv)
{
	static uint8_t bytes[INPUT_MAX];
	uint64_t seed = 1;
	int bad = 0;

	for (int i = 1; i < argc; i++)
		bad |= run_file(argv[i]);
	for (unsigned run = 0; argc < 2 && run < RUNS * all_devices_count; run++) {
		for (size_t i = 0; i < sizeof(bytes); i++) {
			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			bytes[i] = (uint8_t)(seed >> 56);
		}
		bytes[0] = (uint8_t)run;
		LLVMFuzzerTestOneInput(bytes, sizeof(bytes));
	}
	return bad;
}

#endif
