/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* qcow2 images: recognised, not yet opened. */
#include "backend/block/internal.h"

#include <errno.h>
#include <string.h>

bool qcow2_magic(const uint8_t first[4])
{
	return !memcmp(first, "QFI\xfb", 4);
}

int qcow2_open(struct image *image, struct file *file, const struct image_request *request,
	       struct err *err)
{
	file_close(file);
	return fail(err, ENOTSUP, "disk image \"%s\": qcow2 is not supported yet; convert it with qemu-img convert -O raw",
		    request->path);
}

int qcow2_create(struct file *file, const struct qcow2_layout *layout, struct err *err)
{
	return fail(err, ENOTSUP, "temporary overlays are not supported yet");
}

void qcow2_set_backing(struct image *image, const struct image *backing)
{
}
