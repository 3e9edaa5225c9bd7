/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Disks, between a device model and an image format or protocol.
 *
 * Requests are asynchronous; `done` runs with the device locked, on the thread that owns the board,
 * never inside block_submit. FLUSH completes when all writes completed before it are durable.
 */
#ifndef CORE_BLOCK_H
#define CORE_BLOCK_H

#include "core/dev.h"

#include <sys/uio.h>

struct block;

enum block_op { BLOCK_READ, BLOCK_WRITE, BLOCK_FLUSH, BLOCK_DISCARD, BLOCK_WRITE_ZEROES };

struct block_request {
	enum block_op op;
	uint64_t offset, bytes; /* multiples of 512; bytes is the sum of iov */
	struct iovec *iov;      /* stays valid until done */
	unsigned iov_count;
	struct dev *dev;
	void (*done)(struct block_request *request, int error); /* 0 or -errno */
	struct block_request *next; /* the block layer's, until done */
	int result;
};

void block_submit(struct block *block, struct block_request *request);
/* Runs every pending request of this device to its `done`; for reset and detach. */
void block_drain(struct block *block);

uint64_t block_size(const struct block *block); /* bytes, 0: no medium */
bool block_read_only(const struct block *block);
const char *block_serial(const struct block *block); /* "" when not set */
const char *block_id(const struct block *block);
/* Removable media: `changed` is called when a medium comes or goes. */
void block_watch_medium(struct block *block, struct dev *dev, void (*changed)(struct dev *dev));
int block_eject(struct block *block, bool force, struct err *err);
void block_lock_tray(struct block *block, bool locked);
/* One device at a time may use a block. */
int block_claim(struct block *block, struct dev *dev, struct err *err);

/*
 * The other side: what a format or protocol implements. Called on the disk's one worker thread, so
 * never twice at a time; 0 or -errno. `readv`, `writev` save system calls where memory is scattered.
 */
struct block_driver {
	const char *name;
	int (*read)(void *image, uint64_t offset, void *to, size_t bytes);
	int (*write)(void *image, uint64_t offset, const void *from, size_t bytes);
	int (*flush)(void *image);
	int (*discard)(void *image, uint64_t offset, uint64_t bytes);      /* optional */
	int (*write_zeroes)(void *image, uint64_t offset, uint64_t bytes); /* optional */
	int (*readv)(void *image, uint64_t offset, const struct iovec *iov, unsigned count);
	int (*writev)(void *image, uint64_t offset, const struct iovec *iov, unsigned count);
	void (*close)(void *image);
};

struct block_options {
	const char *id, *serial, *file, *format; /* file, format: for query-block */
	uint64_t size;
	bool read_only, removable;
	bool ignore_flush; /* cache=unsafe */
};

/* Adds a disk to the board; takes `image` over. */
int block_new(struct board *board, const struct block_driver *driver, void *image,
	      const struct block_options *options, struct err *err);
struct block *block_find(struct board *board, const char *id);
struct block *block_next(struct board *board, struct block *after); /* NULL starts, NULL ends */
void block_free(struct block *block);                               /* nobody may have claimed it */
/* A medium into an empty removable drive; takes `image` over also when it fails. */
int block_insert(struct block *block, const struct block_driver *driver, void *image,
		 const struct block_options *options, struct err *err);
const struct block_options *block_options(const struct block *block); /* file NULL: no medium */
bool block_tray_locked(const struct block *block);
struct dev *block_user(const struct block *block);
void *block_image(struct block *block, const struct block_driver **driver); /* for jobs */
struct block_statistics {
	uint64_t read_ops, read_bytes, write_ops, write_bytes, flush_ops, discard_ops, failed;
};
void block_query(struct block *block, struct block_statistics *statistics);

#endif
