/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Disk images by name and format: see open.h. */
#include "backend/block/open.h"

#include "backend/block/internal.h"

#include <errno.h>

/* snapshot=on: what the guest writes goes into an overlay without a name. */
static int open_temporary(struct image *image, const struct block_spec *spec, struct err *err)
{
	struct image_request request = { .path = spec->file,
					 .format = spec->format,
					 .read_only = true,
					 .may_probe = !spec->format };
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
	bool is_fat = spec->file && is_fat_path(spec->file);
	bool read_only = spec->read_only || (is_fat && spec->removable);
	struct image_request request = {
		.path = spec->file,
		.format = spec->format,
		.read_only = read_only,
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
		.read_only = read_only,
		.removable = spec->removable,
		.ignore_flush = spec->ignore_flush,
	};
	if (!spec->file || !*spec->file) {
		options->file = NULL;
		return 0;
	}
	/* A hard disk can be written to, even when what is on it cannot. */
	error = (spec->temporary || is_fat) && !read_only ? open_temporary(image, spec, err)
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
		return fail(err, EINVAL,
			    "disk \"%s\" has no file=; only removable drives may be empty",
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
