/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * qcow2 images, version 2 and 3: opening.
 *
 * Manual: QEMU, docs/interop/qcow2.txt.
 * Not modelled (refused with a sentence): internal snapshots, encryption, external data files,
 * subclusters, resizing. Dirty bitmaps are dropped when the image is opened for writing. Lazy
 * refcounts are kept exactly all the time; somebody else's dirty image is counted again.
 */
#include "backend/block/qcow2.h"
#include "base/bytes.h"
#include "host/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { L1_BYTES_MAX = 32 << 20, REFS_BYTES_MAX = 8 << 20, NAME_MAX_BYTES = 1023 };
enum { HEADER_V2_BYTES = 72, HEADER_V3_BYTES = 104, HEADER_READ_BYTES = 112 };
enum { HEADER_INCOMPATIBLE = 72, HEADER_AUTOCLEAR = 88 };
enum {
	INCOMPATIBLE_DIRTY = 1,
	INCOMPATIBLE_CORRUPT = 2,
	INCOMPATIBLE_DATA_FILE = 4,
	INCOMPATIBLE_COMPRESSION = 8,
	INCOMPATIBLE_SUBCLUSTERS = 16,
};
#define EXTENSION_FORMAT 0xe2792acau

struct header {
	uint32_t version, backing_bytes, crypt, l1_count, refs_clusters, snapshots, header_bytes;
	uint64_t backing_offset, incompatible, autoclear;
	char backing[NAME_MAX_BYTES + 1], backing_format[64];
};

bool qcow2_magic(const uint8_t first[4])
{
	return !memcmp(first, "QFI\xfb", 4);
}

static int refuse(const struct qcow2 *q, struct err *err, const char *what)
{
	return fail(err, EINVAL, "disk image \"%s\" is damaged: %s; try qemu-img check -r all",
		    q->file.name, what);
}

static int unsupported(const struct qcow2 *q, struct err *err, const char *what)
{
	return fail(err, ENOTSUP,
		    "disk image \"%s\" %s, which is not supported; copy it with qemu-img convert "
		    "-O qcow2",
		    q->file.name, what);
}

static int parse_header(struct qcow2 *q, struct header *h, const uint8_t *raw, struct err *err)
{
	if (q->file.bytes < HEADER_V2_BYTES || !qcow2_magic(raw))
		return fail(err, EINVAL,
			    "disk image \"%s\" is not a qcow2 image; say format=raw if it is raw",
			    q->file.name);
	h->version = load_be32(raw + 4);
	if (h->version != 2 && h->version != 3)
		return fail(err, ENOTSUP,
			    "disk image \"%s\" is qcow version %u; only 2 and 3 are supported",
			    q->file.name, h->version);
	q->version = h->version;
	h->backing_offset = load_be64(raw + 8);
	h->backing_bytes = load_be32(raw + 16);
	q->cluster_bits = load_be32(raw + 20);
	q->bytes = load_be64(raw + 24);
	h->crypt = load_be32(raw + 32);
	h->l1_count = load_be32(raw + 36);
	q->l1_offset = load_be64(raw + 40);
	q->refs_offset = load_be64(raw + 48);
	h->refs_clusters = load_be32(raw + 56);
	h->snapshots = load_be32(raw + 60);
	h->header_bytes = HEADER_V2_BYTES;
	q->refcount_order = 4;
	if (h->version == 3) {
		h->incompatible = load_be64(raw + HEADER_INCOMPATIBLE);
		h->autoclear = load_be64(raw + HEADER_AUTOCLEAR);
		q->refcount_order = load_be32(raw + 96);
		h->header_bytes = load_be32(raw + 100);
		q->compression = h->header_bytes > 104 ? raw[104] : 0;
	}
	return 0;
}

static int check_features(const struct qcow2 *q, const struct header *h, struct err *err)
{
	uint64_t known = INCOMPATIBLE_DIRTY | INCOMPATIBLE_CORRUPT | INCOMPATIBLE_COMPRESSION;

	if (h->crypt)
		return unsupported(q, err, "is encrypted");
	if (h->snapshots)
		return unsupported(q, err, "has internal snapshots");
	if (h->incompatible & INCOMPATIBLE_DATA_FILE)
		return unsupported(q, err, "keeps its data in another file");
	if (h->incompatible & INCOMPATIBLE_SUBCLUSTERS)
		return unsupported(q, err, "uses subclusters (extended_l2)");
	if (h->incompatible & ~known)
		return unsupported(q, err, "uses a newer feature");
	if (q->compression > 1 || !!(h->incompatible & INCOMPATIBLE_COMPRESSION) != q->compression)
		return unsupported(q, err, "uses an unknown compression");
	if (h->incompatible & INCOMPATIBLE_CORRUPT && !q->read_only)
		return refuse(q, err, "it is marked so");
	return 0;
}

static int check_geometry(struct qcow2 *q, const struct header *h, struct err *err)
{
	uint64_t coverage, needed;

	if (q->cluster_bits < 9 || q->cluster_bits > 21)
		return refuse(q, err, "the cluster size makes no sense");
	q->cluster_bytes = BIT(q->cluster_bits);
	if (q->refcount_order > 6)
		return refuse(q, err, "the refcount width makes no sense");
	if (h->version == 3 &&
	    (h->header_bytes < HEADER_V3_BYTES || h->header_bytes > q->cluster_bytes))
		return refuse(q, err, "the header length makes no sense");
	if (q->bytes > INT64_MAX - q->cluster_bytes)
		return refuse(q, err, "the disk size makes no sense");
	q->bytes = ALIGN_UP(q->bytes, 512);

	coverage = q->cluster_bytes << l2_bits(q);
	needed = q->bytes / coverage + (q->bytes % coverage != 0);
	if (needed > h->l1_count || h->l1_count > L1_BYTES_MAX / 8u)
		return refuse(q, err, "the L1 table does not fit the disk size");
	if (offset_in_cluster(q, q->l1_offset) || (h->l1_count && !q->l1_offset) ||
	    q->l1_offset > q->file.bytes || h->l1_count * 8ull > q->file.bytes - q->l1_offset)
		return refuse(q, err, "the L1 table is outside of the file; is the file cut off?");
	q->l1_count = h->l1_count;
	if (q->read_only)
		return 0;
	if (!h->refs_clusters || h->refs_clusters > (uint32_t)REFS_BYTES_MAX >> q->cluster_bits)
		return refuse(q, err, "the size of the refcount table makes no sense");
	if (offset_in_cluster(q, q->refs_offset) || !q->refs_offset ||
	    q->refs_offset > q->file.bytes ||
	    (uint64_t)h->refs_clusters << q->cluster_bits > q->file.bytes - q->refs_offset)
		return refuse(q, err,
			      "the refcount table is outside of the file; is the file cut off?");
	q->refs_count = (uint64_t)h->refs_clusters << (q->cluster_bits - 3);
	return 0;
}

static int claim(struct qcow2 *q, uint64_t offset, uint64_t bytes, struct err *err)
{
	for (uint64_t c = offset >> q->cluster_bits; c <= (offset + bytes - 1) >> q->cluster_bits;
	     c++) {
		if (!cluster_set_add(&q->metadata, c))
			return refuse(q, err, "two tables overlap");
	}
	return 0;
}

static int read_entries(struct qcow2 *q, uint64_t offset, uint64_t count, uint64_t **entries,
			struct err *err)
{
	int error;

	*entries = try_alloc(MAX(count, 1) * 8);
	if (!*entries)
		return fail(err, ENOMEM, "disk image \"%s\": no memory for its tables",
			    q->file.name);
	error = file_read(&q->file, offset, *entries, count * 8);
	if (error)
		return fail(err, -error, "cannot read disk image \"%s\": %s", q->file.name,
			    strerror(-error));
	for (uint64_t i = 0; i < count; i++)
		(*entries)[i] = load_be64(&(*entries)[i]);
	return 0;
}

/* What the entries of a table in memory point to are tables, each another one. */
static int claim_pointed(struct qcow2 *q, const uint64_t *entries, uint64_t count, uint64_t mask,
			 struct err *err)
{
	for (uint64_t i = 0; i < count; i++) {
		uint64_t offset = entries[i] & mask;

		if (!offset)
			continue;
		if (!qcow2_table_fits(q, offset))
			return refuse(q, err,
				      "a table is outside of the file; is the file cut off?");
		if (!cluster_set_add(&q->metadata, offset >> q->cluster_bits))
			return refuse(q, err, "two tables overlap");
	}
	return 0;
}

static int load_tables(struct qcow2 *q, struct err *err)
{
	int error = claim(q, 0, 1, err);

	q->l1_dirty_from = UINT32_MAX;
	q->refs_dirty_from = UINT64_MAX;
	if (!error && q->l1_count)
		error = claim(q, q->l1_offset, q->l1_count * 8ull, err);
	if (!error)
		error = read_entries(q, q->l1_offset, q->l1_count, &q->l1, err);
	if (!error)
		error = claim_pointed(q, q->l1, q->l1_count, QCOW2_OFFSET, err);
	if (!error && !q->read_only) {
		error = claim(q, q->refs_offset, q->refs_count * 8, err);
		if (!error)
			error = read_entries(q, q->refs_offset, q->refs_count, &q->refs, err);
		if (!error)
			error = claim_pointed(q, q->refs, q->refs_count, ~511ull, err);
	}
	if (!error && table_caches_init(q))
		error = fail(err, ENOMEM, "disk image \"%s\": no memory for its tables",
			     q->file.name);
	q->scratch = try_alloc(q->cluster_bytes);
	return !error && !q->scratch ? fail(err, ENOMEM, "no memory for a cluster") : error;
}

/* The backing file's name, and its format from the header extensions. */
static int read_backing_name(struct qcow2 *q, struct header *h, struct err *err)
{
	uint64_t at = h->header_bytes, end = MIN(q->cluster_bytes, q->file.bytes);
	uint8_t head[8];

	if (!h->backing_offset)
		return 0;
	if (!h->backing_bytes || h->backing_bytes > NAME_MAX_BYTES || h->backing_offset > end ||
	    h->backing_bytes > end - h->backing_offset)
		return refuse(q, err, "the backing file's name makes no sense");
	if (file_read(&q->file, h->backing_offset, h->backing, h->backing_bytes))
		return refuse(q, err, "the backing file's name cannot be read");
	end = MIN(end, h->backing_offset);
	while (at + 8 <= end && !file_read(&q->file, at, head, sizeof(head))) {
		uint32_t type = load_be32(head), bytes = load_be32(head + 4);

		at += 8;
		if (!type || bytes > end - at)
			break;
		if (type == EXTENSION_FORMAT && bytes < sizeof(h->backing_format))
			file_read(&q->file, at, h->backing_format, bytes);
		at += ALIGN_UP(bytes, 8);
	}
	return 0;
}

static int open_backing(struct qcow2 *q, const struct header *h,
			const struct image_request *request, struct err *err)
{
	const char *slash = strrchr(request->path, '/');
	struct image_request backing = {
		.format = *h->backing_format ? h->backing_format : NULL,
		.read_only = true,
		.no_backing = request->no_backing,
		.may_probe = request->may_probe,
		.overlay = request,
	};
	struct image_request with_file = *request;
	char *path;
	int error;

	if (!*h->backing)
		return 0;
	if (request->no_backing)
		return unsupported(q, err, "has a backing file");
	/* Relative to where the overlay is. */
	if (*h->backing == '/' || !slash || strchr(h->backing, ':'))
		path = must_strdup(h->backing);
	else
		path = must_format("%.*s%s", (int)(slash + 1 - request->path), request->path,
				   h->backing);
	with_file.file = &q->file;
	backing.overlay = &with_file;
	backing.path = path;
	error = image_open(&q->backing, &backing, err);
	free(path);
	return error;
}

static int write_field(struct qcow2 *q, uint64_t offset, uint64_t value)
{
	uint8_t field[8];
	int error = qcow2_order(q);

	store_be64(field, value);
	if (!error)
		error = file_write(&q->file, offset, field, sizeof(field));
	return error ? error : qcow2_order(q);
}

/* Leaves the image as one that we keep: refcounts right, nothing in it that we would not keep. */
static int prepare_for_writing(struct qcow2 *q, const struct header *h, struct err *err)
{
	int error = 0;

	if (h->version == 3 && h->autoclear)
		error = write_field(q, HEADER_AUTOCLEAR, 0);
	if (!error && h->incompatible & INCOMPATIBLE_DIRTY) {
		error = qcow2_rebuild_refcounts(q);
		if (!error)
			error = qcow2_write_metadata(q);
		if (!error)
			error = write_field(q, HEADER_INCOMPATIBLE,
					    h->incompatible & ~(uint64_t)INCOMPATIBLE_DIRTY);
	}
	return error ? fail(err, -error,
			    "disk image \"%s\" was not closed well and cannot be repaired: %s; try "
			    "qemu-img check -r all",
			    q->file.name, strerror(-error))
		     : 0;
}

int qcow2_open(struct image *image, struct file *file, const struct image_request *request,
	       struct err *err)
{
	struct qcow2 *q = must_alloc(sizeof(*q));
	uint8_t raw[HEADER_READ_BYTES];
	struct header h = { 0 };
	int error;

	q->file = *file;
	q->read_only = true; /* until all is well: closing must not write */
	q->no_sync = request->no_sync;
	error = file_read(&q->file, 0, raw, sizeof(raw));
	if (error)
		error = fail(err, -error, "cannot read disk image \"%s\": %s", q->file.name,
			     strerror(-error));
	if (!error)
		error = parse_header(q, &h, raw, err);
	q->read_only = request->read_only;
	if (!error)
		error = check_features(q, &h, err);
	if (!error)
		error = check_geometry(q, &h, err);
	if (!error)
		error = load_tables(q, err);
	if (!error)
		error = read_backing_name(q, &h, err);
	if (!error)
		error = open_backing(q, &h, request, err);
	if (!error && !q->read_only)
		error = prepare_for_writing(q, &h, err);
	if (error) {
		q->read_only = true;
		qcow2_driver.close(q);
		return error;
	}
	*image = (struct image){ &qcow2_driver, q, q->bytes };
	return 0;
}

void qcow2_set_backing(struct image *image, const struct image *backing)
{
	((struct qcow2 *)image->state)->backing = *backing;
}
