/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Disk images in a temporary directory, a random exerciser with a model, and qemu-img as oracle. */
#ifndef IMAGE_RIG_H
#define IMAGE_RIG_H

#include "backend/block/qcow2.h"

extern char rig_dir[64]; /* where the images are */

int rig_setup(void **state);
int rig_teardown(void **state);
/* The path of an image, in one of a few static buffers. */
const char *rig_path(const char *name);
/* Runs qemu-img with these arguments in rig_dir; its exit code, -1 where it is not installed. */
int rig_qemu_img(const char *fmt, ...) PRINTF_LIKE(1, 2);
bool rig_has_qemu_img(void);
/* Our own creation. */
void rig_create(const char *name, const struct qcow2_layout *layout);
int rig_open(struct image *image, const char *name, const char *format, bool read_only,
	     struct err *err);
uint64_t rig_random(void);
void rig_seed(uint64_t seed);

/* What the disk should hold. */
struct model {
	uint64_t bytes;
	uint8_t *data;
};
/* `count` random reads, writes, zeroes, discards and flushes, checked against the model. */
void rig_exercise(struct image *image, struct model *model, unsigned count);
void rig_compare(struct image *image, const struct model *model);

#endif
