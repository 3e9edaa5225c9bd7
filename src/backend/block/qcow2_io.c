/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * qcow2: reads, writes, discards and flushes.
 *
 * A write to a cluster that is not the image's alone goes to new clusters, with what surrounds it
 * copied; data is written before any table points to it.
 */
#include "backend/block/qcow2.h"
#include "host/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static size_t iov_bytes(const struct iovec *iov, unsigned count)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < count; i++)
		bytes += iov[i].iov_len;
	return bytes;
}

/* What the backing image shows; zeros behind its end. */
static int read_backing(struct qcow2 *q, struct cursor *cursor, uint64_t offset, uint64_t bytes)
{
	uint64_t there = q->backing.driver && offset < q->backing.bytes
				 ? MIN(bytes, q->backing.bytes - offset)
				 : 0;

	bytes -= there;
	while (there) {
		struct iovec iov[CURSOR_PARTS];
		unsigned count;
		size_t taken = cursor_take(cursor, there, iov, &count);
		int error = taken ? q->backing.driver->readv(q->backing.state, offset, iov, count)
				  : -EINVAL;

		if (error)
			return error;
		offset += taken;
		there -= taken;
	}
	cursor_zero(cursor, bytes);
	return 0;
}

static int read_extent(struct qcow2 *q, struct cursor *cursor, uint64_t offset,
		       const struct extent *extent)
{
	int error;

	switch (extent->kind) {
	case EXTENT_DATA:
		return cursor_read(cursor, &q->file, extent->host, extent->bytes);
	case EXTENT_PACKED:
		error = qcow2_unpack(q, extent->entry);
		if (!error)
			cursor_put(cursor, q->unpacked + offset_in_cluster(q, offset),
				   extent->bytes);
		return error;
	case EXTENT_ZERO:
		cursor_zero(cursor, extent->bytes);
		return 0;
	default:
		return read_backing(q, cursor, offset, extent->bytes);
	}
}

static int qcow2_readv(void *image, uint64_t offset, const struct iovec *iov, unsigned count)
{
	struct qcow2 *q = image;
	struct cursor cursor = { .iov = iov, .count = count };
	uint64_t bytes = iov_bytes(iov, count), inside;

	inside = offset < q->bytes ? MIN(bytes, q->bytes - offset) : 0;
	bytes -= inside;
	while (inside) {
		struct extent extent;
		int error = qcow2_map(q, offset, inside, &extent);

		if (!error)
			error = read_extent(q, &cursor, offset, &extent);
		if (error)
			return error;
		offset += extent.bytes;
		inside -= extent.bytes;
	}
	cursor_zero(&cursor, bytes); /* what a cluster has beyond the disk's end */
	return 0;
}

static int qcow2_read(void *image, uint64_t offset, void *to, size_t bytes)
{
	struct iovec iov = { .iov_base = to, .iov_len = bytes };

	return qcow2_readv(image, offset, &iov, 1);
}

/* Fills the part of a new cluster that the guest does not write with what was there before. */
static int copy_around(struct qcow2 *q, uint64_t guest, uint64_t host, uint64_t bytes, bool fresh,
		       bool was_hole)
{
	int error;

	if (!bytes)
		return 0;
	if (fresh && was_hole && (!q->backing.driver || guest >= q->backing.bytes))
		return 0; /* the file's end: zeros come by themselves */
	error = qcow2_read(q, guest, q->scratch, bytes);
	return error ? error : file_write(&q->file, host, q->scratch, bytes);
}

/* New clusters for the first of extent->bytes from `guest`, which tells how many it wrote there. */
static int write_new(struct qcow2 *q, struct cursor *cursor, uint64_t guest, struct extent *extent)
{
	uint64_t into = offset_in_cluster(q, guest), first = guest - into, head = into, tail;
	uint64_t count = (into + extent->bytes + q->cluster_bytes - 1) >> q->cluster_bits, host;
	bool was_zero = extent->kind == EXTENT_ZERO, fresh;
	bool was_hole = extent->kind == EXTENT_HOLE || was_zero;
	int error = qcow2_allocate(q, count, &host, &count);

	if (error)
		return error;
	extent->bytes = MIN(extent->bytes, (count << q->cluster_bits) - into);
	tail = (count << q->cluster_bits) - into - extent->bytes;
	fresh = host >= q->file.bytes;
	if (was_zero && fresh)
		head = tail = 0; /* nothing of the backing image shows either */
	error = copy_around(q, first, host, head, fresh, was_hole);
	if (!error)
		error = copy_around(q, guest + extent->bytes, host + into + extent->bytes, tail,
				    fresh, was_hole);
	if (!error)
		error = cursor_write(cursor, &q->file, host + into, extent->bytes);
	if (error) {
		qcow2_release(q, host, count);
		return error;
	}
	/* If this fails half of them may be in use: the others are leaked. */
	return qcow2_link(q, first, count, host | QCOW2_COPIED, q->cluster_bytes);
}

static int qcow2_writev(void *image, uint64_t offset, const struct iovec *iov, unsigned count)
{
	struct qcow2 *q = image;
	struct cursor cursor = { .iov = iov, .count = count };
	uint64_t bytes = iov_bytes(iov, count);

	if (q->read_only)
		return -EROFS;
	if (offset > q->bytes || bytes > q->bytes - offset)
		return -EINVAL;
	while (bytes) {
		struct extent extent;
		int error = qcow2_map(q, offset, bytes, &extent);

		if (error)
			return error;
		if (extent.kind == EXTENT_DATA && extent.in_place) {
			error = cursor_write(&cursor, &q->file, extent.host, extent.bytes);
		} else {
			uint64_t most = MAX(QCOW2_DATA_PER_RUN, q->cluster_bytes);

			extent.bytes = MIN(extent.bytes, most - offset_in_cluster(q, offset));
			if (extent.kind == EXTENT_DATA) /* a shared cluster; rare */
				extent.bytes = MIN(extent.bytes,
						   q->cluster_bytes - offset_in_cluster(q, offset));
			error = write_new(q, &cursor, offset, &extent);
		}
		if (error)
			return error;
		offset += extent.bytes;
		bytes -= extent.bytes;
	}
	return 0;
}

static int qcow2_write(void *image, uint64_t offset, const void *from, size_t bytes)
{
	struct iovec iov = { .iov_base = (void *)from, .iov_len = bytes };

	return qcow2_writev(image, offset, &iov, 1);
}

static int qcow2_flush(void *image)
{
	struct qcow2 *q = image;
	int error;

	if (q->read_only)
		return 0;
	error = qcow2_write_metadata(q);
	return error ? error : file_sync(&q->file);
}

/* Whole clusters get `entry`, unless they read as zeros already or (discard) hold nothing. */
static int clear_clusters(struct qcow2 *q, uint64_t guest, uint64_t end, uint64_t entry,
			  bool is_discard)
{
	while (guest < end) {
		struct extent extent;
		uint64_t count;
		int error = qcow2_map(q, guest, end - guest, &extent);

		if (error)
			return error;
		count = MAX(extent.bytes >> q->cluster_bits, 1);
		if (extent.kind == EXTENT_HOLE && (!q->backing.driver || is_discard))
			goto next;
		if (extent.kind == EXTENT_ZERO && extent.entry == entry)
			goto next;
		error = qcow2_link(q, guest, count, entry, 0);
		if (error)
			return error;
	next:
		guest += count << q->cluster_bits;
	}
	return 0;
}

/* The entry of a cluster that reads as zeros and takes no space; false: this version has none. */
static bool zero_entry(const struct qcow2 *q, uint64_t *entry)
{
	*entry = q->backing.driver ? QCOW2_READS_ZERO : 0;
	return !*entry || q->version >= 3;
}

static int qcow2_discard(void *image, uint64_t offset, uint64_t bytes)
{
	struct qcow2 *q = image;
	uint64_t from = ALIGN_UP(offset, q->cluster_bytes), to, entry;

	if (q->read_only)
		return -EROFS;
	if (offset > q->bytes || bytes > q->bytes - offset)
		return -EINVAL;
	to = offset + bytes == q->bytes ? ALIGN_UP(q->bytes, q->cluster_bytes)
					: ALIGN_DOWN(offset + bytes, q->cluster_bytes);
	if (from >= to || !zero_entry(q, &entry))
		return 0; /* a hint */
	return clear_clusters(q, from, to, entry, true);
}

static int write_plain_zeroes(struct qcow2 *q, uint64_t offset, uint64_t bytes)
{
	static const uint8_t zeroes[64 * 1024];

	while (bytes) {
		size_t piece = MIN(bytes, sizeof(zeroes));
		int error = qcow2_write(q, offset, zeroes, piece);

		if (error)
			return error;
		offset += piece;
		bytes -= piece;
	}
	return 0;
}

static int qcow2_write_zeroes(void *image, uint64_t offset, uint64_t bytes)
{
	struct qcow2 *q = image;
	uint64_t from = ALIGN_UP(offset, q->cluster_bytes), end = offset + bytes, to, entry;
	int error;

	if (q->read_only)
		return -EROFS;
	if (offset > q->bytes || bytes > q->bytes - offset)
		return -EINVAL;
	to = ALIGN_DOWN(end, q->cluster_bytes);
	if (end == q->bytes) /* the last cluster may stick out */
		to = ALIGN_UP(end, q->cluster_bytes);
	if (from >= to || !zero_entry(q, &entry))
		return write_plain_zeroes(q, offset, bytes);
	error = write_plain_zeroes(q, offset, from - offset);
	if (!error)
		error = clear_clusters(q, from, to, entry, false);
	if (!error && to < end)
		error = write_plain_zeroes(q, to, end - to);
	return error;
}

static void qcow2_close(void *image)
{
	struct qcow2 *q = image;

	if (!q->read_only) {
		qcow2_write_metadata(q);
		qcow2_write_blocks(q); /* refcounts that fell only now */
		qcow2_order(q);
	}
	image_close(&q->backing);
	file_close(&q->file);
	table_caches_fini(q);
	free(q->l1);
	free(q->refs);
	free(q->packed);
	free(q->unpacked);
	free(q->scratch);
	free(q);
}

const struct block_driver qcow2_driver = {
	.name = "qcow2",
	.read = qcow2_read,
	.write = qcow2_write,
	.flush = qcow2_flush,
	.discard = qcow2_discard,
	.write_zeroes = qcow2_write_zeroes,
	.readv = qcow2_readv,
	.writev = qcow2_writev,
	.close = qcow2_close,
};
