/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* qcow2: from guest offsets to clusters of the file. */
#include "backend/block/qcow2.h"
#include "base/bytes.h"

#include <errno.h>
#include <string.h>

enum { FREED_MAX = 65536 };

static uint64_t l1_index(const struct qcow2 *q, uint64_t guest)
{
	return guest >> (q->cluster_bits + l2_bits(q));
}

static uint64_t l2_index(const struct qcow2 *q, uint64_t guest)
{
	return guest >> q->cluster_bits & (BIT(l2_bits(q)) - 1);
}

/* [specification, "Compressed Clusters Descriptor"]: offset below, number of sectors above. */
void qcow2_packed_place(const struct qcow2 *q, uint64_t entry, uint64_t *offset, uint64_t *bytes)
{
	unsigned bits = 62 - (q->cluster_bits - 8);
	uint64_t sectors = (entry & (QCOW2_PACKED - 1)) >> bits;

	*offset = entry & (BIT(bits) - 1);
	*bytes = (sectors + 1) * 512 - (*offset & 511);
}

static enum extent_kind kind_of(const struct qcow2 *q, uint64_t entry)
{
	if (entry & QCOW2_PACKED)
		return EXTENT_PACKED;
	if (q->version >= 3 && entry & QCOW2_READS_ZERO)
		return EXTENT_ZERO;
	return entry & QCOW2_OFFSET ? EXTENT_DATA : EXTENT_HOLE;
}

/* Guest data is in whole clusters of the file, outside of tables. */
static int check_data(struct qcow2 *q, uint64_t offset)
{
	if (offset_in_cluster(q, offset) || offset >= q->file.bytes)
		return qcow2_damaged(q, "data at %#llx, where the file has none",
				     (unsigned long long)offset);
	if (cluster_set_has(&q->metadata, offset >> q->cluster_bits))
		return qcow2_damaged(q, "data at %#llx, where a table is",
				     (unsigned long long)offset);
	return 0;
}

int qcow2_map(struct qcow2 *q, uint64_t guest, uint64_t bytes, struct extent *extent)
{
	uint64_t l1 = q->l1[l1_index(q, guest)], index = l2_index(q, guest), length, entry;
	uint64_t in_table =
		(BIT(l2_bits(q)) - index) * q->cluster_bytes - offset_in_cluster(q, guest);
	struct table *table;
	int error;

	*extent = (struct extent){ .kind = EXTENT_HOLE, .bytes = MIN(bytes, in_table) };
	if (!(l1 & QCOW2_OFFSET))
		return 0;
	error = table_get(q, &q->l2, l1 & QCOW2_OFFSET, &table);
	if (error)
		return error;
	entry = load_be64(table->data + index * 8);
	extent->entry = entry;
	extent->kind = kind_of(q, entry);
	extent->in_place = l1 & QCOW2_COPIED && entry & QCOW2_COPIED;
	length = q->cluster_bytes - offset_in_cluster(q, guest);
	if (extent->kind == EXTENT_DATA) {
		error = check_data(q, entry & QCOW2_OFFSET);
		if (error)
			return error;
		extent->host = (entry & QCOW2_OFFSET) + offset_in_cluster(q, guest);
	}
	while (extent->kind != EXTENT_PACKED && length < extent->bytes) {
		uint64_t next = load_be64(table->data + ++index * 8);

		if (kind_of(q, next) != extent->kind)
			break;
		entry += q->cluster_bytes;
		if (extent->kind == EXTENT_DATA &&
		    (next != entry || check_data(q, next & QCOW2_OFFSET)))
			break;
		length += q->cluster_bytes;
	}
	extent->bytes = MIN(extent->bytes, length);
	return 0;
}

/* The L2 table of `guest`, for writing: made if there is none, copied if it is shared. */
static int writable_table(struct qcow2 *q, uint64_t guest, struct table **table)
{
	uint32_t i = (uint32_t)l1_index(q, guest);
	uint64_t old = q->l1[i] & QCOW2_OFFSET, offset, one;
	int error;

	if (old && q->l1[i] & QCOW2_COPIED)
		return table_get(q, &q->l2, old, table);
	error = qcow2_allocate(q, 1, &offset, &one);
	if (error)
		return error;
	if (!cluster_set_add(&q->metadata, offset >> q->cluster_bits))
		return qcow2_damaged(q, "two tables at %#llx", (unsigned long long)offset);
	if (old) { /* through scratch: the cache keeps one table at a time */
		error = table_get(q, &q->l2, old, table);
		if (!error)
			memcpy(q->scratch, (*table)->data, q->cluster_bytes);
	}
	if (!error)
		error = table_new(q, &q->l2, offset, table);
	if (error) {
		cluster_set_remove(&q->metadata, offset >> q->cluster_bits);
		qcow2_release(q, offset, 1);
		return error;
	}
	if (old) {
		memcpy((*table)->data, q->scratch, q->cluster_bytes);
		cluster_set_remove(&q->metadata, old >> q->cluster_bits);
		table_forget(&q->l2, old);
		qcow2_free_later(q, old >> q->cluster_bits);
	}
	q->l1[i] = offset | QCOW2_COPIED;
	q->l1_dirty_from = MIN(q->l1_dirty_from, i);
	q->l1_dirty_to = MAX(q->l1_dirty_to, i + 1);
	return 0;
}

static void free_entry(struct qcow2 *q, uint64_t entry)
{
	uint64_t offset = entry & QCOW2_OFFSET, bytes = 1;

	if (entry & QCOW2_PACKED)
		qcow2_packed_place(q, entry, &offset, &bytes);
	else if (!offset || offset_in_cluster(q, offset))
		return;
	for (uint64_t c = offset >> q->cluster_bits; c <= (offset + bytes - 1) >> q->cluster_bits;
	     c++)
		qcow2_free_later(q, c);
}

int qcow2_link(struct qcow2 *q, uint64_t guest, uint64_t count, uint64_t entry, uint64_t step)
{
	if (q->freed_count > FREED_MAX) {
		int error = qcow2_write_metadata(q);

		if (error)
			return error;
	}
	while (count) {
		uint64_t index = l2_index(q, guest), here = MIN(count, BIT(l2_bits(q)) - index);
		struct table *table;
		int error = writable_table(q, guest, &table);

		if (error)
			return error;
		for (uint64_t i = index; i < index + here; i++) {
			uint64_t old = load_be64(table->data + i * 8);

			store_be64(table->data + i * 8, entry);
			free_entry(q, old);
			entry += step;
		}
		table->dirty = true;
		guest += here << q->cluster_bits;
		count -= here;
	}
	return 0;
}
