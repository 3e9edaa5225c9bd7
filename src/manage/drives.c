/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Disks from the command line: see drives.h.
 *
 * Not modelled: if=scsi, if=pflash and if=sd (an error says so); -blockdev nodes stacked more than a
 * format over a file; stopping the machine at a disk's error, or ignoring it (werror=, rerror=).
 */
#include "manage/drives.h"

#include "backend/block/open.h"
#include "manage/vmm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct drive {
	struct block_spec spec;
	const char *interface;
	uint64_t index;
	bool has_index, cdrom;
	char id[64];
};

static int read_media(struct options *options, struct drive *drive, struct err *err)
{
	const char *media = options_get(options, "media");

	if (media && strcmp(media, "disk") && strcmp(media, "cdrom"))
		return fail(err, EINVAL, "-drive: media is disk or cdrom, not \"%s\"", media);
	drive->cdrom = media && !strcmp(media, "cdrom");
	drive->spec.removable = drive->cdrom || !strcmp(drive->interface, "floppy");
	drive->spec.read_only |= drive->cdrom;
	return 0;
}

static int read_cache(struct options *options, struct drive *drive, struct err *err)
{
	static const char *const modes[] = { "none", "writeback", "writethrough", "directsync",
					     "unsafe" };
	const char *cache = options_get(options, "cache");

	for (unsigned i = 0; cache && i < ARRAY_LEN(modes); i++) {
		if (strcmp(cache, modes[i]))
			continue;
		drive->spec.ignore_flush = i == 4;
		return 0;
	}
	return cache ? fail(err, EINVAL, "-drive: there is no cache mode \"%s\"", cache) : 0;
}

/* It becomes part of other option strings. */
static int read_id(struct drive *drive, const char *id, struct err *err)
{
	for (const char *at = id; *at; at++)
		if (!(*at >= '0' && *at <= '9') && !((*at | 0x20) >= 'a' && (*at | 0x20) <= 'z') &&
		    !strchr("-._", *at))
			return fail(err, EINVAL, "-drive id \"%s\" has other characters than letters, digits, - . _",
				    id);
	if (!*id || strlen(id) >= sizeof(drive->id))
		return fail(err, EINVAL, "-drive id \"%.80s\" is not 1 to %zu characters long", id,
			    sizeof(drive->id) - 1);
	strcpy(drive->id, id);
	return 0;
}

/* Errors are always the guest's to handle. */
static int read_on_error(struct options *options, const char *key, struct err *err)
{
	const char *action = options_get(options, key);

	return action && strcmp(action, "report")
		       ? fail(err, ENOTSUP,
			      "-drive: %s=%s is not supported: errors are reported to the guest (report)",
			      key, action)
		       : 0;
}

static int read_drive(struct options *options, struct drive *drive, struct err *err)
{
	static const char *const accepted[] = { "aio", "discard", "detect-zeroes", "copy-on-read" };
	const char *bus, *id;
	uint64_t unit;
	int error;

	drive->spec.file = options_get(options, "file");
	drive->spec.format = options_get(options, "format");
	drive->spec.serial = options_get(options, "serial");
	drive->interface = options_get(options, "if");
	if (!drive->interface)
		drive->interface = "ide";
	error = options_bool(options, "readonly", false, &drive->spec.read_only, err);
	if (!error)
		error = options_bool(options, "snapshot", false, &drive->spec.temporary, err);
	if (!error)
		error = read_media(options, drive, err);
	if (!error)
		error = read_cache(options, drive, err);
	if (!error)
		error = read_on_error(options, "werror", err);
	if (!error)
		error = read_on_error(options, "rerror", err);
	bus = options_get(options, "bus");
	drive->has_index = options_get(options, "index") || options_get(options, "unit");
	if (!error)
		error = options_number(options, "unit", 0, &unit, err);
	if (!error)
		error = options_number(options, "index",
				       (bus ? strtoul(bus, NULL, 0) : 0) * 2 + unit, &drive->index,
				       err);
	for (unsigned i = 0; i < ARRAY_LEN(accepted); i++)
		options_get(options, accepted[i]);
	id = options_get(options, "id");
	if (!error && id)
		error = read_id(drive, id, err);
	drive->spec.id = drive->id;
	return error ? error : options_check(options, err);
}

static char *text(const char *fmt, const char *a, const char *b)
{
	char *out;

	if (asprintf(&out, fmt, a, b) < 0)
		abort();
	return out;
}

static int free_place(const char **places, unsigned count, struct drive *drive, struct err *err)
{
	unsigned at = drive->index;

	if (!drive->has_index) {
		/* a CD-ROM without an index goes where -cdrom would */
		at = drive->cdrom && count > 2 && !places[2] ? 2 : 0;
		while (at < count && places[at])
			at++;
	}
	if (at >= count)
		return fail(err, ENOSPC, "there is no %s drive number %u: this machine has %u",
			    drive->interface, at, count);
	if (places[at])
		return fail(err, EBUSY, "two drives want to be %s number %u; give them other index=",
			    drive->interface, at);
	if (!*drive->id)
		snprintf(drive->id, sizeof(drive->id), "%s%u-%s%u", drive->interface, at / 2,
			 drive->cdrom ? "cd" : "hd", at % 2);
	return at;
}

static int place_drive(struct config *config, struct drive *drive, struct err *err)
{
	static unsigned numbered;
	int at;

	if (!strcmp(drive->interface, "ide")) {
		at = free_place(config->pc.ide, PC_IDE_UNITS, drive, err);
		if (at >= 0)
			config->pc.ide[at] = config_keep(
				config, text("%s,drive=%s", drive->cdrom ? "ide-cd" : "ide-hd",
					     drive->id));
		return MIN(at, 0);
	}
	if (!strcmp(drive->interface, "floppy")) {
		at = free_place(config->pc.floppy, PC_FLOPPIES, drive, err);
		if (at >= 0)
			config->pc.floppy[at] = config_keep(config, strdup(drive->id));
		return MIN(at, 0);
	}
	if (!*drive->id)
		snprintf(drive->id, sizeof(drive->id), "%s%u", drive->interface, numbered++);
	if (!strcmp(drive->interface, "virtio")) {
		char *device = text("virtio-blk-pci,drive=%s%s", drive->id, "");

		texts_add(&config->devices, device);
		free(device);
		return 0;
	}
	if (strcmp(drive->interface, "none"))
		return fail(err, ENOTSUP, "-drive: interface \"%s\" is not supported; use ide, virtio, floppy or none",
			    drive->interface);
	return 0;
}

static int open_drive(struct config *config, struct board *board, const char *row,
		      struct err *err)
{
	struct options options;
	struct drive drive = { 0 };
	int error = options_parse(&options, "-drive", row, "file", err);

	if (!error)
		error = read_drive(&options, &drive, err);
	drive.spec.temporary |= config->snapshot;
	if (!error)
		error = place_drive(config, &drive, err);
	if (!error && (drive.spec.file || drive.spec.removable))
		error = block_open(board, &drive.spec, err);
	else if (!error)
		error = fail(err, EINVAL, "-drive needs file=: a disk without an image is of no use");
	options_free(&options);
	return error;
}

/* -blockdev: the file node and the format node over it; one that names a file is a disk of its own. */
static int open_blockdev(struct config *config, struct board *board, const char *row,
			 struct err *err)
{
	struct options options;
	struct block_spec spec = { 0 };
	const char *driver, *below;
	int error = options_parse(&options, "-blockdev", row, "driver", err);

	driver = options_get(&options, "driver");
	spec.id = options_get(&options, "node-name");
	spec.file = options_get(&options, "filename");
	if (!spec.file)
		spec.file = options_get(&options, "file.filename");
	below = options_get(&options, "file");
	options_get(&options, "file.driver");
	options_get(&options, "cache.direct");
	options_get(&options, "cache.no-flush");
	options_get(&options, "auto-read-only");
	options_get(&options, "discard");
	if (!error)
		error = options_bool(&options, "read-only", false, &spec.read_only, err);
	if (!error)
		error = options_check(&options, err);
	if (!error && (!driver || !spec.id))
		error = fail(err, EINVAL, "-blockdev needs driver= and node-name=");
	if (!error && below && !spec.file) { /* format over a file node named before */
		for (unsigned i = 0; i < config->blockdevs.count && !spec.file; i++) {
			struct options lower;

			if (!options_parse(&lower, "-blockdev", config->blockdevs.list[i], "driver", NULL) &&
			    options_get(&lower, "node-name") &&
			    !strcmp(options_get(&lower, "node-name"), below) &&
			    options_get(&lower, "filename"))
				spec.file = config_keep(
					config, strdup(options_get(&lower, "filename")));
			options_free(&lower);
		}
		if (!spec.file)
			error = fail(err, ENOENT, "-blockdev: there is no node \"%s\"", below);
	}
	spec.format = driver && strcmp(driver, "file") && strcmp(driver, "host_device") ? driver : "raw";
	/* A bare file node is opened when a format or a device uses it, so that it is not locked twice. */
	if (!error && strcmp(driver, "file"))
		error = block_open(board, &spec, err);
	options_free(&options);
	return error;
}

/* An ordinary machine has a CD-ROM drive for later, unless its IDE drives are listed as devices. */
static bool wants_cdrom(const struct config *config)
{
	bool wants = !config->nodefaults && !config->pc.ide[2];

	for (unsigned i = 0; i < config->devices.count; i++)
		wants &= strncmp(config->devices.list[i], "ide-", 4) != 0;
	return wants;
}

int drives_open(struct config *config, struct board *board, struct err *err)
{
	int error = 0;

	for (unsigned i = 0; i < config->blockdevs.count && !error; i++)
		error = open_blockdev(config, board, config->blockdevs.list[i], err);
	for (unsigned i = 0; i < config->drives.count && !error; i++)
		error = open_drive(config, board, config->drives.list[i], err);
	if (!error && wants_cdrom(config))
		error = open_drive(config, board, "if=ide,index=2,media=cdrom", err);
	return error;
}
