/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* qcow2: caches of tables, the order in which they are written, and what may not be overwritten. */
#include "backend/block/qcow2.h"
#include "base/bytes.h"
#include "host/log.h"
#include "host/memory.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { L2_CACHE_BYTES = 4 << 20, BLOCK_CACHE_BYTES = 1 << 20, SLOTS_MIN = 4, SLOTS_MAX = 64 };

int qcow2_damaged(struct qcow2 *q, const char *fmt, ...)
{
	char text[200];
	va_list args;

	if (!q->complained) {
		va_start(args, fmt);
		vsnprintf(text, sizeof(text), fmt, args);
		va_end(args);
		log_line("disk image \"%s\" is damaged: %s; try qemu-img check -r all",
			 q->file.name, text);
	}
	q->complained = true;
	return -EIO;
}

/* ---- cluster numbers ---- */

static uint64_t set_place(const struct cluster_set *set, uint64_t cluster)
{
	return (cluster * 0x9e3779b97f4a7c15ull >> 20) & (set->room - 1);
}

bool cluster_set_has(const struct cluster_set *set, uint64_t cluster)
{
	if (!set->room)
		return false;
	for (uint64_t at = set_place(set, cluster); set->slot[at];
	     at = (at + 1) & (set->room - 1)) {
		if (set->slot[at] == cluster + 1)
			return true;
	}
	return false;
}

static void set_put(struct cluster_set *set, uint64_t cluster)
{
	uint64_t at = set_place(set, cluster);

	while (set->slot[at])
		at = (at + 1) & (set->room - 1);
	set->slot[at] = cluster + 1;
	set->used++;
}

bool cluster_set_add(struct cluster_set *set, uint64_t cluster)
{
	if (cluster_set_has(set, cluster))
		return false;
	if (set->used * 2 >= set->room) {
		struct cluster_set bigger = { .room = MAX(set->room * 2, 64) };

		bigger.slot = try_alloc(bigger.room * sizeof(*bigger.slot));
		if (!bigger.slot)
			return false;
		for (uint64_t at = 0; at < set->room; at++) {
			if (set->slot[at] && set->slot[at] != UINT64_MAX)
				set_put(&bigger, set->slot[at] - 1);
		}
		free(set->slot);
		*set = bigger;
	}
	set_put(set, cluster);
	return true;
}

void cluster_set_remove(struct cluster_set *set, uint64_t cluster)
{
	if (!cluster_set_has(set, cluster))
		return;
	for (uint64_t at = set_place(set, cluster);; at = (at + 1) & (set->room - 1)) {
		if (set->slot[at] == cluster + 1) {
			set->slot[at] = UINT64_MAX;
			return;
		}
	}
}

/* ---- caches ---- */

bool qcow2_table_fits(const struct qcow2 *q, uint64_t offset)
{
	return !offset_in_cluster(q, offset) && offset < q->file.bytes &&
	       q->cluster_bytes <= q->file.bytes - offset;
}

static int cache_init(struct qcow2 *q, struct table_cache *cache, uint64_t bytes, bool is_l2)
{
	uint64_t count = bytes >> q->cluster_bits;

	cache->count = (unsigned)MIN(MAX(count, SLOTS_MIN), SLOTS_MAX);
	cache->is_l2 = is_l2;
	cache->slot = try_alloc(cache->count * sizeof(*cache->slot));
	return cache->slot ? 0 : -ENOMEM;
}

int table_caches_init(struct qcow2 *q)
{
	int error = cache_init(q, &q->l2, L2_CACHE_BYTES, true);

	return error ? error : cache_init(q, &q->blocks, BLOCK_CACHE_BYTES, false);
}

static void cache_fini(struct table_cache *cache)
{
	for (unsigned i = 0; cache->slot && i < cache->count; i++)
		free(cache->slot[i].data);
	free(cache->slot);
}

void table_caches_fini(struct qcow2 *q)
{
	cache_fini(&q->l2);
	cache_fini(&q->blocks);
	free(q->metadata.slot);
	free(q->freed);
}

static int write_table(struct qcow2 *q, struct table *table)
{
	int error;

	if (!table->offset || !table->dirty)
		return 0;
	error = file_write(&q->file, table->offset, table->data, q->cluster_bytes);
	table->dirty = error;
	return error;
}

static int write_cache(struct qcow2 *q, struct table_cache *cache)
{
	int error = 0;

	for (unsigned i = 0; i < cache->count && !error; i++)
		error = write_table(q, &cache->slot[i]);
	return error;
}

static bool cache_is_dirty(const struct table_cache *cache)
{
	for (unsigned i = 0; i < cache->count; i++) {
		if (cache->slot[i].offset && cache->slot[i].dirty)
			return true;
	}
	return false;
}

/* A slot with memory and nothing in it. */
static int take_slot(struct qcow2 *q, struct table_cache *cache, struct table **slot)
{
	struct table *oldest = &cache->slot[0];
	int error = 0;

	for (unsigned i = 0; i < cache->count; i++) {
		struct table *table = &cache->slot[i];

		if (!table->offset || (oldest->offset && table->used < oldest->used))
			oldest = table;
	}
	/* A refcount block may be written at any time: what fell in it is not in use any more. */
	if (oldest->offset && oldest->dirty)
		error = cache->is_l2 ? qcow2_write_metadata(q) : write_table(q, oldest);
	if (error)
		return error;
	if (!oldest->data)
		oldest->data = try_alloc(q->cluster_bytes);
	if (!oldest->data)
		return -ENOMEM;
	oldest->offset = 0;
	oldest->dirty = false;
	oldest->used = ++cache->clock;
	*slot = oldest;
	return 0;
}

int table_get(struct qcow2 *q, struct table_cache *cache, uint64_t offset, struct table **table)
{
	int error;

	for (unsigned i = 0; i < cache->count; i++) {
		if (cache->slot[i].offset == offset) {
			*table = &cache->slot[i];
			(*table)->used = ++cache->clock;
			return 0;
		}
	}
	if (!offset || !qcow2_table_fits(q, offset))
		return qcow2_damaged(q, "there is no table at %#llx", (unsigned long long)offset);
	error = take_slot(q, cache, table);
	if (!error)
		error = file_read(&q->file, offset, (*table)->data, q->cluster_bytes);
	if (!error)
		(*table)->offset = offset;
	return error;
}

int table_new(struct qcow2 *q, struct table_cache *cache, uint64_t offset, struct table **table)
{
	int error;

	table_forget(cache, offset);
	error = take_slot(q, cache, table);
	if (error)
		return error;
	memset((*table)->data, 0, q->cluster_bytes);
	(*table)->offset = offset;
	(*table)->dirty = true;
	return 0;
}

void table_forget(struct table_cache *cache, uint64_t offset)
{
	for (unsigned i = 0; i < cache->count; i++) {
		if (cache->slot[i].offset == offset)
			cache->slot[i].offset = 0;
	}
}

/* ---- writing ---- */

int qcow2_order(struct qcow2 *q)
{
	return q->no_sync ? 0 : file_sync(&q->file);
}

/* Part of a table that is kept in memory whole. */
static int write_entries(struct qcow2 *q, uint64_t table, const uint64_t *entries, uint64_t from,
			 uint64_t to)
{
	uint8_t piece[512];
	int error = 0;

	while (from < to && !error) {
		uint64_t count = MIN(to - from, sizeof(piece) / 8);

		for (uint64_t i = 0; i < count; i++)
			store_be64(piece + i * 8, entries[from + i]);
		error = file_write(&q->file, table + from * 8, piece, count * 8);
		from += count;
	}
	return error;
}

int qcow2_write_blocks(struct qcow2 *q)
{
	int error = write_cache(q, &q->blocks);

	if (error || q->refs_dirty_from >= q->refs_dirty_to)
		return error;
	error = qcow2_order(q);
	if (!error)
		error = write_entries(q, q->refs_offset, q->refs, q->refs_dirty_from,
				      q->refs_dirty_to);
	if (!error) {
		q->refs_dirty_from = UINT64_MAX;
		q->refs_dirty_to = 0;
	}
	return error;
}

int qcow2_write_metadata(struct qcow2 *q)
{
	int error = qcow2_write_blocks(q);

	if (!error && cache_is_dirty(&q->l2)) {
		error = qcow2_order(q);
		if (!error)
			error = write_cache(q, &q->l2);
	}
	if (!error && q->l1_dirty_from < q->l1_dirty_to) {
		error = qcow2_order(q);
		if (!error)
			error = write_entries(q, q->l1_offset, q->l1, q->l1_dirty_from,
					      q->l1_dirty_to);
		if (!error) {
			q->l1_dirty_from = UINT32_MAX;
			q->l1_dirty_to = 0;
		}
	}
	if (!error && q->freed_count) {
		error = qcow2_order(q);
		if (!error)
			error = qcow2_apply_freed(q);
	}
	return error;
}
