/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* qcow2: refcounts, and finding free clusters by them. */
#include "backend/block/qcow2.h"
#include "base/bytes.h"
#include "host/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { REFS_BYTES_MAX = 8 << 20 };
enum { HEADER_REFS_OFFSET = 48 };

static unsigned block_bits(const struct qcow2 *q)
{
	return q->cluster_bits + 3 - q->refcount_order;
}

/* Widths below a byte start at its low bits. */
static uint64_t entry_get(const struct qcow2 *q, const uint8_t *data, uint64_t i)
{
	unsigned width = 1u << q->refcount_order;

	switch (q->refcount_order) {
	case 3:
		return data[i];
	case 4:
		return load_be16(data + i * 2);
	case 5:
		return load_be32(data + i * 4);
	case 6:
		return load_be64(data + i * 8);
	default:
		return data[i * width / 8] >> i * width % 8 & ((1u << width) - 1);
	}
}

static void entry_set(const struct qcow2 *q, uint8_t *data, uint64_t i, uint64_t value)
{
	unsigned width = 1u << q->refcount_order, shift = i * width % 8;
	uint8_t mask = width < 8 ? ((1u << width) - 1) << shift : 0;

	switch (q->refcount_order) {
	case 3:
		data[i] = (uint8_t)value;
		break;
	case 4:
		store_be16(data + i * 2, (uint16_t)value);
		break;
	case 5:
		store_be32(data + i * 4, (uint32_t)value);
		break;
	case 6:
		store_be64(data + i * 8, value);
		break;
	default:
		data[i * width / 8] = (data[i * width / 8] & ~mask) | (uint8_t)(value << shift);
	}
}

static uint64_t entry_max(const struct qcow2 *q)
{
	return q->refcount_order == 6 ? UINT64_MAX : BIT(1u << q->refcount_order) - 1;
}

int refcount_get(struct qcow2 *q, uint64_t cluster, uint64_t *value)
{
	uint64_t block = cluster >> block_bits(q);
	struct table *table;
	int error;

	*value = 0;
	if (block >= q->refs_count || !q->refs[block])
		return 0;
	error = table_get(q, &q->blocks, q->refs[block], &table);
	if (!error)
		*value = entry_get(q, table->data, cluster & (BIT(block_bits(q)) - 1));
	return error;
}

static void refs_changed(struct qcow2 *q, uint64_t i)
{
	q->refs_dirty_from = MIN(q->refs_dirty_from, i);
	q->refs_dirty_to = MAX(q->refs_dirty_to, i + 1);
}

static int table_is_new(struct qcow2 *q, uint64_t cluster)
{
	if (cluster_set_add(&q->metadata, cluster))
		return 0;
	return qcow2_damaged(q, "two tables in cluster %#llx", (unsigned long long)cluster);
}

/* A refcount block in `cluster`, one of those it counts and free. */
static int refcount_block_new(struct qcow2 *q, uint64_t cluster)
{
	uint64_t block = cluster >> block_bits(q), offset = cluster << q->cluster_bits;
	struct table *table;
	int error = table_is_new(q, cluster);

	if (error)
		return error;
	error = table_new(q, &q->blocks, offset, &table);
	if (error) {
		cluster_set_remove(&q->metadata, cluster);
		return error;
	}
	entry_set(q, table->data, cluster & (BIT(block_bits(q)) - 1), 1);
	q->refs[block] = offset;
	refs_changed(q, block);
	return 0;
}

bool refcount_has_block(const struct qcow2 *q, uint64_t cluster)
{
	uint64_t block = cluster >> block_bits(q);

	return block < q->refs_count && q->refs[block];
}

int refcount_link_block(struct qcow2 *q, uint64_t cluster, uint64_t offset)
{
	uint64_t block = cluster >> block_bits(q);
	struct table *table;
	int error;

	if (block >= q->refs_count)
		return qcow2_damaged(q, "clusters that the refcount table does not reach");
	error = table_is_new(q, offset >> q->cluster_bits);
	if (!error)
		error = table_new(q, &q->blocks, offset, &table);
	if (error)
		return error;
	q->refs[block] = offset;
	refs_changed(q, block);
	return 0;
}

/* Writes what will be the new table with the blocks that count it, all right after `start`. */
static int write_larger_table(struct qcow2 *q, const uint64_t *refs, uint64_t start,
			      uint64_t blocks, uint64_t clusters)
{
	uint64_t counted = blocks + clusters;
	uint8_t *data = try_alloc(q->cluster_bytes);
	int error = data ? 0 : -ENOMEM;

	for (uint64_t b = 0; b < blocks && !error; b++) {
		memset(data, 0, q->cluster_bytes);
		for (uint64_t i = 0; i < BIT(block_bits(q)) && counted; i++, counted--)
			entry_set(q, data, i, 1);
		error = file_write(&q->file, (start + b) << q->cluster_bits, data,
				   q->cluster_bytes);
	}
	for (uint64_t t = 0; t < clusters && !error; t++) {
		for (uint64_t i = 0; i < q->cluster_bytes / 8; i++)
			store_be64(data + i * 8, refs[t * (q->cluster_bytes / 8) + i]);
		error = file_write(&q->file, (start + blocks + t) << q->cluster_bits, data,
				   q->cluster_bytes);
	}
	free(data);
	return error;
}

static int point_header_at_table(struct qcow2 *q, uint64_t offset, uint64_t clusters)
{
	uint8_t fields[12];
	int error = qcow2_order(q);

	store_be64(fields, offset);
	store_be32(fields + 8, (uint32_t)clusters);
	if (!error)
		error = file_write(&q->file, HEADER_REFS_OFFSET, fields, sizeof(fields));
	return error ? error : qcow2_order(q);
}

/* The refcount table is full: a larger one goes behind all that it counts. */
static int refs_grow(struct qcow2 *q)
{
	uint64_t start = q->refs_count << block_bits(q), per_cluster = q->cluster_bytes / 8;
	uint64_t old_clusters = q->refs_count / per_cluster, old_offset = q->refs_offset;
	uint64_t clusters = old_clusters + old_clusters / 2 + 1, blocks = 1, *refs;
	int error;

	while (blocks << block_bits(q) < blocks + clusters ||
	       q->refs_count + blocks > clusters * per_cluster) {
		if (blocks << block_bits(q) < blocks + clusters)
			blocks++;
		else
			clusters++;
	}
	if (clusters << q->cluster_bits > REFS_BYTES_MAX)
		return -EFBIG;
	if (!q->file.is_device && start << q->cluster_bits < q->file.bytes)
		return qcow2_damaged(q, "clusters that the refcount table does not reach");
	for (uint64_t c = start; c < start + blocks + clusters; c++) {
		if (cluster_set_has(&q->metadata, c))
			return qcow2_damaged(q, "a table where no refcount can be");
	}
	error = qcow2_write_blocks(q);
	if (error)
		return error;
	refs = try_alloc(clusters << q->cluster_bits);
	if (!refs)
		return -ENOMEM;
	memcpy(refs, q->refs, q->refs_count * 8);
	for (uint64_t b = 0; b < blocks; b++)
		refs[q->refs_count + b] = (start + b) << q->cluster_bits;
	error = write_larger_table(q, refs, start, blocks, clusters);
	if (!error)
		error = point_header_at_table(q, (start + blocks) << q->cluster_bits, clusters);
	if (error) {
		free(refs);
		return error;
	}

	free(q->refs);
	q->refs = refs;
	q->refs_count = clusters * per_cluster;
	q->refs_offset = (start + blocks) << q->cluster_bits;
	for (uint64_t c = start; c < start + blocks + clusters; c++)
		cluster_set_add(&q->metadata, c);
	for (uint64_t c = 0; c < old_clusters; c++) {
		cluster_set_remove(&q->metadata, (old_offset >> q->cluster_bits) + c);
		qcow2_free_later(q, (old_offset >> q->cluster_bits) + c);
	}
	return 0;
}

int refcount_set(struct qcow2 *q, uint64_t cluster, uint64_t value)
{
	uint64_t block = cluster >> block_bits(q);
	struct table *table;
	int error;

	if (!refcount_has_block(q, cluster))
		return -EIO; /* qcow2_allocate makes it before */
	if (value > entry_max(q))
		return -ERANGE;
	error = table_get(q, &q->blocks, q->refs[block], &table);
	if (error)
		return error;
	entry_set(q, table->data, cluster & (BIT(block_bits(q)) - 1), value);
	table->dirty = true;
	return 0;
}

static int is_free(struct qcow2 *q, uint64_t cluster, bool *yes)
{
	uint64_t references;
	int error = refcount_get(q, cluster, &references);

	*yes = !error && !references;
	if (*yes && cluster_set_has(&q->metadata, cluster)) {
		qcow2_damaged(q, "the refcount of a table is 0");
		*yes = false; /* leave it alone */
	}
	return error;
}

/* The first cluster that nobody uses and some block counts; that block may be made, in it. */
static int find_free(struct qcow2 *q, uint64_t *first)
{
	uint64_t last = QCOW2_OFFSET >> q->cluster_bits;

	for (uint64_t cluster = q->free_hint; cluster <= last; cluster++) {
		bool yes;
		int error = is_free(q, cluster, &yes);

		if (error)
			return error;
		if (!yes)
			continue;
		if (refcount_has_block(q, cluster)) {
			*first = cluster;
			return 0;
		}
		error = cluster >> block_bits(q) >= q->refs_count ? refs_grow(q)
								  : refcount_block_new(q, cluster);
		if (error)
			return error;
	}
	return -EFBIG;
}

int qcow2_allocate(struct qcow2 *q, uint64_t most, uint64_t *offset, uint64_t *count)
{
	uint64_t first = 0, next;
	bool yes = true;
	int error = find_free(q, &first);

	if (error)
		return error;
	for (next = first; next < first + most && refcount_has_block(q, next); next++) {
		error = is_free(q, next, &yes);
		if (!error && yes)
			error = refcount_set(q, next, 1);
		if (error) /* leaks what it has */
			return error;
		if (!yes)
			break;
	}
	q->free_hint = next;
	*offset = first << q->cluster_bits;
	*count = next - first;
	return 0;
}

void qcow2_release(struct qcow2 *q, uint64_t offset, uint64_t count)
{
	uint64_t first = offset >> q->cluster_bits;

	for (uint64_t c = first; c < first + count; c++)
		refcount_set(q, c, 0); /* a failure leaks a cluster */
	q->free_hint = MIN(q->free_hint, first);
}

void qcow2_free_later(struct qcow2 *q, uint64_t cluster)
{
	uint64_t *more;

	if (cluster_set_has(&q->metadata, cluster)) {
		qcow2_damaged(q, "guest data in a table");
		return;
	}
	if (q->freed_count == q->freed_room) {
		size_t room = MAX(q->freed_room * 2, 256);

		more = realloc(q->freed, room * sizeof(*more));
		if (!more)
			return; /* leaks the cluster: harmless */
		q->freed = more;
		q->freed_room = room;
	}
	q->freed[q->freed_count++] = cluster;
}

int qcow2_apply_freed(struct qcow2 *q)
{
	size_t count = q->freed_count;
	int result = 0;

	for (size_t i = 0; i < count; i++) {
		uint64_t cluster = q->freed[i], references;
		int error = refcount_get(q, cluster, &references);

		if (!error && references)
			error = refcount_set(q, cluster, references - 1);
		if (!error && references == 1) {
			file_punch(&q->file, cluster << q->cluster_bits, q->cluster_bytes);
			q->free_hint = MIN(q->free_hint, cluster);
		}
		result = result ? result : error;
	}
	q->freed_count = 0;
	return result;
}
