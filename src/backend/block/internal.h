/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of block/ share: host files, images over them, and the qcow2 driver's entrance. */
#ifndef BLOCK_INTERNAL_H
#define BLOCK_INTERNAL_H

#include "backend/block/open.h"

#include <sys/types.h>

/* A file or block device of the host. Reads beyond its end give zeros. */
struct file {
	int fd;
	uint64_t bytes;
	bool read_only, is_device;
	dev_t device; /* with inode: which file it is */
	ino_t inode;
	char *name;
};

/* Opens and locks. A writer tolerates nobody else; readers tolerate each other. */
int file_open(struct file *file, const char *path, bool read_only, struct err *err);
void file_adopt(struct file *file, int fd, const char *name); /* takes fd over, no lock */
int file_temporary(struct file *file, struct err *err);       /* gone when it is closed */
void file_close(struct file *file);
int file_read(struct file *file, uint64_t offset, void *to, size_t bytes);
int file_write(struct file *file, uint64_t offset, const void *from, size_t bytes);
int file_sync(struct file *file);
/* Reads as zeros from now on; space may be given back. -EOPNOTSUPP where that cannot be had. */
int file_punch(struct file *file, uint64_t offset, uint64_t bytes);
/* At most CURSOR_PARTS pieces of memory in one system call. */
int file_readv(struct file *file, uint64_t offset, const struct iovec *iov, unsigned count);
int file_writev(struct file *file, uint64_t offset, const struct iovec *iov, unsigned count);

/* Walks scattered memory. */
struct cursor {
	const struct iovec *iov;
	unsigned count;
	size_t skip; /* of the first piece */
};
enum { CURSOR_PARTS = 64 };
/* The next pieces, `bytes` long or CURSOR_PARTS many; returns how many bytes they are. */
size_t cursor_take(struct cursor *cursor, size_t bytes, struct iovec *out, unsigned *count);
int cursor_read(struct cursor *cursor, struct file *file, uint64_t offset, size_t bytes);
int cursor_write(struct cursor *cursor, struct file *file, uint64_t offset, size_t bytes);
void cursor_zero(struct cursor *cursor, size_t bytes);
void cursor_put(struct cursor *cursor, const void *from, size_t bytes); /* into that memory */
void cursor_get(struct cursor *cursor, void *to, size_t bytes);         /* out of it */

/* An opened disk image: a driver with its state. */
struct image {
	const struct block_driver *driver;
	void *state;
	uint64_t bytes; /* as the guest sees it: whole sectors */
};

/* How to open one, and the overlays it was reached through. */
struct image_request {
	const char *path;
	const char *format; /* NULL: by the first bytes */
	bool read_only;
	bool no_sync;    /* nobody asks for durability: no fdatasync between metadata writes */
	bool no_backing; /* refuse images that name another file */
	bool may_probe;  /* also of backing files */
	const struct image_request *overlay;
	const struct file *file; /* the overlay's, to find loops */
};

/* A directory of the host; see fat.c. */
bool is_fat_path(const char *path);
int fat_open(struct image *image, const char *path, struct err *err);

int image_open(struct image *image, const struct image_request *request, struct err *err);
void image_close(struct image *image);

/* Each takes `file` over, also when it fails. */
int raw_open(struct image *image, struct file *file, bool guessed, struct err *err);
int qcow2_open(struct image *image, struct file *file, const struct image_request *request,
	       struct err *err);
bool qcow2_magic(const uint8_t first[4]);

/* An empty image in `file`. `backing_format` NULL: none recorded. */
struct qcow2_layout {
	uint64_t bytes;
	unsigned cluster_bits; /* 9 to 21 */
	unsigned version;      /* 2 or 3 */
	const char *backing, *backing_format;
};
int qcow2_create(struct file *file, const struct qcow2_layout *layout, struct err *err);
/* Makes `backing`, which it takes over, show through a freshly opened image without one. */
void qcow2_set_backing(struct image *image, const struct image *backing);

#endif
