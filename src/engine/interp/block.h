/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/* Decoded code: see block.c. Inside interp/ only. */
#ifndef INTERP_BLOCK_H
#define INTERP_BLOCK_H

#include "engine/interp/interp.h"
#include "engine/mmu/mmu.h"

/* How a block was left: c->link. All but the first have a struct link. */
enum { LINK_NONE, LINK_NEXT, LINK_TARGET, LINK_COUNT = 2 };

enum { BLOCK_INSNS = 64, BLOCK_BYTES = 255 - 15 };

/* A guest page with decoded code: its bytes as they were, so that what a device writes later (of which
 * nobody tells us more than that it did) can be found out. */
struct code_page {
	struct code_page *hash_next;
	gpa_t gpa;
	uint32_t *number; /* memslot.code */
	uint32_t stamp;   /* *number while the copy is what is in memory */
	uint64_t epoch;   /* in which it was last found unchanged */
	uint64_t writes;  /* memory_writes() when it was last compared */
	const uint8_t *host;
	unsigned refreshes, quiet_writes; /* interp_needs_to_know() */
	/* Bytes that blocks were decoded from, a bit for each. If it is loose, the copy has only what
	 * these were; all others may have been written since. */
	bool is_loose;
	uint64_t marked[PAGE_BYTES / 64];
	uint8_t copy[PAGE_BYTES];
};

struct block;

/* The block that followed last time. */
struct link {
	uint64_t rip;
	uint64_t epoch;
	struct block *to;
	bool same_page;
};

struct block {
	struct block *hash_next;
	gpa_t gpa;
	uint32_t mode;
	uint32_t stamp, stamp2;
	const uint32_t *number, *number2; /* of both pages; the same for all but crossing blocks */
	gpa_t gpa2;                       /* second page of a crossing block, else as gpa's */
	bool crosses;
	uint8_t bytes, count;
	uint16_t heat;      /* times run, until it is worth translating */
	uint8_t patience;   /* times it was translated before */
	uint32_t jit_epoch; /* `translation` is good while it is the vCPU's */
	struct jit_block *translation;
	struct link link[LINK_COUNT];
	struct insn insns[]; /* `count` and one that leaves the block */
};

enum { LOOKUP_ENTRIES = 16384, BLOCK_HASH = 262144, PAGE_HASH = 16384, FETCH_ENTRIES = 1024,
       SEEN_BITS = 16384 };

struct lookup_entry {
	gva_t address;
	uint64_t epoch;
	struct block *block;
};

/* Where code at a linear page comes from. */
struct fetch_entry {
	gva_t page; /* with bit 0: user mode */
	uint64_t epoch;
	struct code_page *code;
};

struct block_cache {
	uint64_t last_epoch; /* given out; vcpu.code_epoch has those in force, never 0 */
	/* Linear pages (hashed) of each half that shortcuts still good lead to. */
	uint64_t seen[2][SEEN_BITS / 64];
	/* interp_stop_after() has put exec_stop here. */
	struct insn *stopped;
	op_fn *stopped_exec;

	uint8_t *arena; /* blocks, and from PAGES_AT on the records of pages */
	size_t blocks_used, pages_used;
	unsigned drops;   /* how often all blocks went */
	bool has_dropped; /* and translations did not */
	uint64_t rest_since_ns, rest_ns; /* interp_slept() */
	uint64_t limit_insns[2 * sizeof(struct insn) / 8 + sizeof(struct block) / 8 + 1];
	struct lookup_entry lookup[LOOKUP_ENTRIES];
	struct fetch_entry fetch[FETCH_ENTRIES];
	struct block *hash[BLOCK_HASH];
	struct code_page *pages[PAGE_HASH];
};

/* The block at c->rip, decoded if need be. Unwinds with the faults of fetching. */
struct block *code_block_find(struct vcpu *c);
/* The one at `rip`, in the page that `b` is in, if it has been decoded; else NULL. */
const struct block *code_block_known(struct vcpu *c, const struct block *b, uint64_t rip);

static ALWAYS_INLINE bool block_is_fresh(const struct block *b)
{
	return __atomic_load_n(b->number, __ATOMIC_RELAXED) == b->stamp;
}

/* Puts back what interp_stop_after() replaced. */
void block_undo_stop(struct block_cache *cache);

#endif
