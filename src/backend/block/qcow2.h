/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A qcow2 image as its files see it.
 *
 * Guest offsets go through two levels of tables (L1 in memory, L2 in a cache) to host offsets;
 * every cluster of the file has a refcount (a table in memory, its blocks in a cache). Numbers in
 * the caches are big-endian as in the file, those in l1[] and refs[] are not.
 *
 * Order of writes, so that a crash at any moment leaves at worst clusters that nobody uses:
 *
 *	refcount blocks that grew, and guest data
 *	refcount table entries that point to new blocks
 *	L2 tables that point to new clusters
 *	L1 entries that point to new L2 tables
 *	refcounts that fell, since nothing points there any more (`freed`)
 *
 * with an fdatasync between the steps (qcow2_write_metadata).
 *
 * The file is hostile: an offset from it is used only after it was found to be aligned, inside the
 * file and, for guest data, outside of all tables (`metadata`).
 */
#ifndef BLOCK_QCOW2_H
#define BLOCK_QCOW2_H

#include "backend/block/internal.h"

enum { QCOW2_DATA_PER_RUN = 2 << 20 };

#define QCOW2_OFFSET     0x00fffffffffffe00ull /* of an L1 or L2 entry */
#define QCOW2_COPIED     BIT(63)               /* the refcount is 1: may be written in place */
#define QCOW2_PACKED     BIT(62)
#define QCOW2_READS_ZERO 1ull

struct table {
	uint64_t offset; /* 0: slot unused */
	uint64_t used;   /* for LRU */
	uint8_t *data;   /* one cluster */
	bool dirty;
};

struct table_cache {
	struct table *slot;
	unsigned count;
	uint64_t clock;
	bool is_l2;
};

/* Cluster numbers, open addressing. */
struct cluster_set {
	uint64_t *slot; /* number + 1; 0 free, UINT64_MAX was removed */
	uint64_t room, used;
};

struct qcow2 {
	struct file file;
	struct image backing; /* driver NULL: none */
	bool read_only, no_sync, complained;
	unsigned version, cluster_bits, refcount_order;
	uint64_t cluster_bytes, bytes;

	uint64_t l1_offset, *l1;
	uint32_t l1_count, l1_dirty_from, l1_dirty_to;
	uint64_t refs_offset, *refs; /* entries: offsets of refcount blocks */
	uint64_t refs_count, refs_dirty_from, refs_dirty_to;
	struct table_cache l2, blocks;
	struct cluster_set metadata;

	uint64_t free_hint; /* no free cluster below, as far as we know */
	uint64_t *freed;    /* clusters whose refcount falls with the next write of metadata */
	size_t freed_count, freed_room;

	uint8_t compression;
	uint8_t *packed, *unpacked; /* of the entry unpacked_entry */
	uint64_t unpacked_entry;
	uint8_t *scratch; /* one cluster */
};

static inline unsigned l2_bits(const struct qcow2 *q)
{
	return q->cluster_bits - 3;
}

static inline uint64_t offset_in_cluster(const struct qcow2 *q, uint64_t offset)
{
	return offset & (q->cluster_bytes - 1);
}

/* qcow2_tables.c */
bool cluster_set_add(struct cluster_set *set, uint64_t cluster); /* false: was in, or no memory */
bool cluster_set_has(const struct cluster_set *set, uint64_t cluster);
void cluster_set_remove(struct cluster_set *set, uint64_t cluster);
int table_caches_init(struct qcow2 *q);
void table_caches_fini(struct qcow2 *q);
/* The table stays valid until the next table is asked of the same cache. */
int table_get(struct qcow2 *q, struct table_cache *cache, uint64_t offset, struct table **table);
int table_new(struct qcow2 *q, struct table_cache *cache, uint64_t offset, struct table **table);
void table_forget(struct table_cache *cache, uint64_t offset);
int qcow2_write_metadata(struct qcow2 *q);
int qcow2_write_blocks(struct qcow2 *q); /* refcounts only, with their table */
int qcow2_order(struct qcow2 *q);        /* what was written is durable before what comes */
/* Says once what is wrong with the image; returns -EIO. */
int qcow2_damaged(struct qcow2 *q, const char *fmt, ...) PRINTF_LIKE(2, 3);
bool qcow2_table_fits(const struct qcow2 *q, uint64_t offset); /* aligned and inside the file */

/* qcow2_refcount.c */
int refcount_get(struct qcow2 *q, uint64_t cluster, uint64_t *value);
int refcount_set(struct qcow2 *q, uint64_t cluster, uint64_t value);
bool refcount_has_block(const struct qcow2 *q, uint64_t cluster);
/* The empty cluster at `offset` becomes the block that counts `cluster`. */
int refcount_link_block(struct qcow2 *q, uint64_t cluster, uint64_t offset);
/* 1 to `most` clusters in a row, with refcount 1. */
int qcow2_allocate(struct qcow2 *q, uint64_t most, uint64_t *offset, uint64_t *count);
void qcow2_release(struct qcow2 *q, uint64_t offset, uint64_t count); /* never linked */
void qcow2_free_later(struct qcow2 *q, uint64_t cluster);
int qcow2_apply_freed(struct qcow2 *q);

/* qcow2_repair.c: counts all references again, after somebody's crash with lazy refcounts. */
int qcow2_rebuild_refcounts(struct qcow2 *q);

/* qcow2_map.c */
enum extent_kind { EXTENT_HOLE, EXTENT_ZERO, EXTENT_DATA, EXTENT_PACKED };
struct extent {
	enum extent_kind kind;
	bool in_place;  /* DATA: nobody else uses the cluster */
	uint64_t host;  /* DATA: where the first byte is */
	uint64_t entry; /* of the first cluster */
	uint64_t bytes; /* how far it goes, at most what was asked */
};
int qcow2_map(struct qcow2 *q, uint64_t guest, uint64_t bytes, struct extent *extent);
/* Clusters `guest`.. now have these entries (each `step` higher); what they had is freed. */
int qcow2_link(struct qcow2 *q, uint64_t guest, uint64_t count, uint64_t entry, uint64_t step);
void qcow2_packed_place(const struct qcow2 *q, uint64_t entry, uint64_t *offset, uint64_t *bytes);

/* qcow2_packed.c: the cluster of this entry in q->unpacked. */
int qcow2_unpack(struct qcow2 *q, uint64_t entry);

extern const struct block_driver qcow2_driver; /* qcow2_io.c */

#endif
