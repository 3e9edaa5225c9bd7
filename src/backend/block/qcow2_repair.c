/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * qcow2: counting references again, in an image whose last user did not (the dirty bit).
 *
 * Not modelled: repairing tables; a reference that makes no sense is an error.
 */
#include "backend/block/qcow2.h"
#include "base/bytes.h"
#include "host/memory.h"

#include <errno.h>
#include <stdlib.h>

struct counts {
	uint64_t clusters;
	uint16_t *of;
};

static int count_range(struct qcow2 *q, struct counts *counts, uint64_t offset, uint64_t bytes)
{
	uint64_t last;

	if (!bytes)
		return 0;
	last = (offset + bytes - 1) >> q->cluster_bits;
	for (uint64_t c = offset >> q->cluster_bits; c <= last; c++) {
		if (c >= counts->clusters || counts->of[c] == UINT16_MAX)
			return qcow2_damaged(q, "a reference to %#llx, behind the end",
					     (unsigned long long)(c << q->cluster_bits));
		counts->of[c]++;
	}
	return 0;
}

static int count_table(struct qcow2 *q, struct counts *counts, const uint8_t *table)
{
	int error = 0;

	for (uint64_t i = 0; i < q->cluster_bytes / 8 && !error; i++) {
		uint64_t entry = load_be64(table + i * 8), offset = entry & QCOW2_OFFSET, bytes = 1;

		if (entry & QCOW2_PACKED)
			qcow2_packed_place(q, entry, &offset, &bytes);
		else if (!offset)
			continue;
		else if (offset_in_cluster(q, offset))
			return qcow2_damaged(q, "a reference into the middle of a cluster");
		error = count_range(q, counts, offset, bytes);
	}
	return error;
}

static int count_all(struct qcow2 *q, struct counts *counts)
{
	int error = count_range(q, counts, 0, 1);

	if (!error)
		error = count_range(q, counts, q->l1_offset, q->l1_count * 8ull);
	if (!error)
		error = count_range(q, counts, q->refs_offset, q->refs_count * 8);
	for (uint64_t i = 0; i < q->refs_count && !error; i++) {
		if (q->refs[i])
			error = count_range(q, counts, q->refs[i], q->cluster_bytes);
	}
	for (uint32_t i = 0; i < q->l1_count && !error; i++) {
		uint64_t offset = q->l1[i] & QCOW2_OFFSET;
		struct table *table;

		if (!offset)
			continue;
		error = count_range(q, counts, offset, q->cluster_bytes);
		if (!error)
			error = table_get(q, &q->l2, offset, &table);
		if (!error)
			error = count_table(q, counts, table->data);
	}
	return error;
}

/* The block that counts `cluster` was never linked: a new one, behind the end. */
static int make_block(struct qcow2 *q, const struct counts *counts, uint64_t cluster)
{
	uint64_t offset, one;
	int error;

	q->free_hint = counts->clusters;
	error = qcow2_allocate(q, 1, &offset, &one);
	if (error)
		return error;
	if (!refcount_has_block(q, cluster))
		return refcount_link_block(q, cluster, offset);
	qcow2_release(q, offset, 1); /* it was the end's own block, and allocating made it */
	return 0;
}

static int set_count(struct qcow2 *q, const struct counts *counts, uint64_t cluster)
{
	uint64_t found;
	int error = refcount_get(q, cluster, &found);

	if (error || found == counts->of[cluster])
		return error;
	if (!refcount_has_block(q, cluster))
		error = make_block(q, counts, cluster);
	return error ? error : refcount_set(q, cluster, counts->of[cluster]);
}

int qcow2_rebuild_refcounts(struct qcow2 *q)
{
	struct counts counts = { .clusters = ALIGN_UP(q->file.bytes, q->cluster_bytes) >>
					     q->cluster_bits };
	int error;

	if (counts.clusters > SIZE_MAX / 2 / sizeof(*counts.of))
		return -EFBIG;
	counts.of = try_alloc(counts.clusters * sizeof(*counts.of));
	if (!counts.of)
		return -ENOMEM;
	error = count_all(q, &counts);
	for (uint64_t c = 0; c < counts.clusters && !error; c++)
		error = set_count(q, &counts, c);
	q->free_hint = 0;
	free(counts.of);
	return error;
}
