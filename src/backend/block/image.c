/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Disk images by name and format, without a board: what is at the path, and what is below it. */
#include "backend/block/internal.h"

#include <errno.h>
#include <string.h>

enum { CHAIN_MAX = 200 };

/* Overlays on overlays must end somewhere. */
static int check_chain(const struct image_request *request, const struct file *file,
		       struct err *err)
{
	unsigned depth = 0;

	for (const struct image_request *r = request->overlay; r; r = r->overlay) {
		if (r->file && r->file->device == file->device && r->file->inode == file->inode)
			return fail(err, ELOOP,
				    "disk image \"%s\" is its own backing file; rebase it with "
				    "qemu-img rebase -u",
				    request->path);
		if (++depth > CHAIN_MAX)
			return fail(err, ELOOP,
				    "disk image \"%s\" is below %u others; flatten it with "
				    "qemu-img convert",
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
			    "disk image \"%s\": format \"%s\" is not supported; use raw or qcow2 "
			    "(qemu-img convert -O qcow2)",
			    request->path, request->format);
	}
	error = file_read(file, 0, first, sizeof(first));
	if (error)
		return fail(err, -error, "cannot read disk image \"%s\": %s", request->path,
			    strerror(-error));
	*is_qcow2 = qcow2_magic(first);
	if (*is_qcow2 && request->overlay && !request->may_probe)
		return fail(err, EINVAL,
			    "disk image \"%s\" does not say the format of its backing file \"%s\"; "
			    "tell it with qemu-img rebase -u -F qcow2 -b",
			    request->overlay->path, request->path);
	return 0;
}

static int open_directory(struct image *image, const struct image_request *request, struct err *err)
{
	if (request->overlay) /* an image does not choose a directory of ours */
		return fail(err, EPERM, "disk image \"%s\" has a directory for a backing file; that is not supported",
			    request->overlay->path);
	if (request->format && strcmp(request->format, "raw") && strcmp(request->format, "vvfat"))
		return fail(err, EINVAL, "disk \"%s\" is a directory, it has no format \"%s\"",
			    request->path, request->format);
	return fat_open(image, request->path, err);
}

int image_open(struct image *image, const struct image_request *request, struct err *err)
{
	struct file file;
	bool is_qcow2 = false, guessed = false;
	int error;

	if (is_fat_path(request->path))
		return open_directory(image, request, err);
	if (strncmp(request->path, "file:", 5)) {
		const char *colon = strchr(request->path, ':');

		if (colon && !memchr(request->path, '/', (size_t)(colon - request->path)) &&
		    (!strncmp(request->path, "json:", 5) || !strncmp(colon, "://", 3) ||
		     !strncmp(request->path, "nbd:", 4)))
			return fail(err, ENOTSUP,
				    "disk image \"%s\": only files and block devices are supported",
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
