/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Disk images by name and format: see open.h. */
#include "backend/block/open.h"

#include "backend/block/internal.h"
#include "host/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CHAIN_MAX = 200 };

/* Overlays on overlays must end somewhere. */
static int check_chain(const struct image_request *request, const struct file *file,
		       struct err *err)
{
	unsigned depth = 0;

	for (const struct image_request *r = request->overlay; r; r = r->overlay) {
		if (r->file && r->file->device == file->device && r->file->inode == file->inode)
			return fail(err, ELOOP, "disk image \"%s\" is its own backing file; rebase it with qemu-img rebase -u",
				    request->path);
		if (++depth > CHAIN_MAX)
			return fail(err, ELOOP, "disk image \"%s\" is below %u others; flatten it with qemu-img convert",
				    request->path, depth);
	}
	return 0;
}

static int pick_format(const struct image_request *request, struct file *file, bool *is_qcow2,
		       bool *guessed, struct err *err)
{
	uint8_t first[4];
	int error;

	*guessed = !request->format;
	if (request->format) {
		*is_qcow2 = !strcmp(request->format, "qcow2");
		if (*is_qcow2 || !strcmp(request->format, "raw") ||
		    !strcmp(request->format, "file") || !strcmp(request->format, "host_device"))
			return 0;
		return fail(err, ENOTSUP,
			    "disk image \"%s\": format \"%s\" is not supported; use raw or qcow2 (qemu-img convert -O qcow2)",
			    request->path, request->format);
	}
	error = file_read(file, 0, first, sizeof(first));
	if (error)
		return fail(err, -error, "cannot read disk image \"%s\": %s", request->path,
			    strerror(-error));
	*is_qcow2 = qcow2_magic(first);
	if (*is_qcow2 && request->overlay && !request->may_probe)
		return fail(err, EINVAL,
			    "disk image \"%s\" does not say the format of its backing file \"%s\"; tell it with qemu-img rebase -u -F qcow2 -b",
			    request->overlay->path, request->path);
	return 0;
}

int image_open(struct image *image, const struct image_request *request, struct err *err)
{
	struct file file;
	bool is_qcow2 = false, guessed = false;
	int error;

	if (strncmp(request->path, "file:", 5)) {
		const char *colon = strchr(request->path, ':');

		if (colon && !memchr(request->path, '/', (size_t)(colon - request->path)) &&
		    (!strncmp(request->path, "json:", 5) || !strncmp(colon, "://", 3) ||
		     !strncmp(request->path, "nbd:", 4)))
			return fail(err, ENOTSUP, "disk image \"%s\": only files and block devices are supported",
				    request->path);
	}
	error = file_open(&file, request->path + (strncmp(request->path, "file:", 5) ? 0 : 5),
			  request->read_only, err);
	if (error)
		return error;
	error = check_chain(request, &file, err);
	if (!error)
		error = pick_format(request, &file, &is_qcow2, &guessed, err);
	if (error) {
		file_close(&file);
		return error;
	}
	if (is_qcow2)
		return qcow2_open(image, &file, request, err);
	return raw_open(image, &file, guessed && !request->read_only, err);
}

void image_close(struct image *image)
{
	if (image->driver)
		image->driver->close(image->state);
	*image = (struct image){ 0 };
}

/* snapshot=on: what the guest writes goes into an overlay without a name. */
static int open_temporary(struct image *image, const struct block_spec *spec, struct err *err)
{
	struct image_request request = { .path = spec->file, .format = spec->format,
					 .read_only = true, .may_probe = !spec->format };
	struct image_request overlay = { .path = "temporary overlay", .no_sync = true };
	struct qcow2_layout layout = { .cluster_bits = 16, .version = 3 };
	struct image base;
	struct file file;
	int error = image_open(&base, &request, err);

	if (error)
		return error;
	layout.bytes = base.bytes;
	error = file_temporary(&file, err);
	if (error)
		goto undo_base;
	error = qcow2_create(&file, &layout, err);
	if (error) {
		file_close(&file);
		goto undo_base;
	}
	error = qcow2_open(image, &file, &overlay, err);
	if (error)
		goto undo_base;
	qcow2_set_backing(image, &base);
	return 0;

undo_base:
	image_close(&base);
	return error;
}

static int open_medium(struct image *image, const struct block_spec *spec,
		       struct block_options *options, struct err *err)
{
	struct image_request request = {
		.path = spec->file,
		.format = spec->format,
		.read_only = spec->read_only,
		.no_sync = spec->ignore_flush,
		.may_probe = !spec->format,
	};
	int error;

	*image = (struct image){ 0 };
	*options = (struct block_options){
		.id = spec->id,
		.serial = spec->serial,
		.file = spec->file,
		.format = spec->format,
		.read_only = spec->read_only,
		.removable = spec->removable,
		.ignore_flush = spec->ignore_flush,
	};
	if (!spec->file || !*spec->file) {
		options->file = NULL;
		return 0;
	}
	error = spec->temporary && !spec->read_only ? open_temporary(image, spec, err)
						    : image_open(image, &request, err);
	if (error)
		return error;
	options->size = image->bytes;
	if (!options->format)
		options->format = image->driver->name;
	return 0;
}

int block_open(struct board *board, const struct block_spec *spec, struct err *err)
{
	struct block_options options;
	struct image image;
	int error;

	if ((!spec->file || !*spec->file) && !spec->removable)
		return fail(err, EINVAL, "disk \"%s\" has no file=; only removable drives may be empty",
			    spec->id);
	error = open_medium(&image, spec, &options, err);
	if (error)
		return error;
	error = block_new(board, image.driver, image.state, &options, err);
	if (error)
		image_close(&image);
	return error;
}

int block_change_medium(struct block *block, const struct block_spec *spec, struct err *err)
{
	struct block_options options;
	struct image image;
	int error = open_medium(&image, spec, &options, err);

	if (error)
		return error;
	if (!image.driver)
		return fail(err, EINVAL, "no file to put into \"%s\"", block_id(block));
	error = block_eject(block, false, err);
	if (error) {
		image_close(&image);
		return error;
	}
	return block_insert(block, image.driver, image.state, &options, err);
}
