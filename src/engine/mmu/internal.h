/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/* What the files of mmu/ share. */
#ifndef ENGINE_MMU_INTERNAL_H
#define ENGINE_MMU_INTERNAL_H

#include "engine/mmu/mmu.h"

/* What the page tables say of one page. */
struct page {
	gpa_t gpa; /* of the byte asked for */
	bool writable, user, executable, global;
	bool accessed;  /* A is set, in all levels; if only looked at */
	bool dirty;     /* D is set: writes need no further walk */
	uint8_t key;    /* protection key */
	uint8_t shift;  /* log2 of the page's bytes */
};

enum { RIGHT_READ = 1, RIGHT_WRITE = 2, RIGHT_FETCH = 4 };

/* What a table of 8-byte entries holds there; 0 if that is no memory. */
uint64_t mmu_table_entry(struct vcpu *c, gpa_t gpa);

/*
 * Walks the tables for one access in one view. False: `error` is the page-fault error code.
 * Unless `look_only`, sets accessed and dirty bits on the way, and may unwind.
 */
bool walk(struct vcpu *c, gva_t address, enum access access, enum tlb_view view, bool look_only,
	  struct page *page, uint32_t *error);
/* RIGHT_*: what `view` may do with the page, whatever its dirty bit says. */
unsigned page_rights(const struct vcpu *c, enum tlb_view view, const struct page *page);

/* Where one byte of guest memory is. */
struct place {
	uint8_t *host;  /* NULL: not memory, or a write to read-only memory: MMIO at `gpa` */
	gpa_t gpa;      /* only set if host is NULL */
};
/* Translates for an access that is about to happen: may unwind with a fault. `address` is
 * canonical and truncated to the mode. */
struct place tlb_resolve(struct vcpu *c, enum tlb_view view, gva_t address, unsigned bytes,
			 enum access access);
/* A large page's translation is held by somebody: INVLPG of any of its addresses ends it. */
void note_page_size(struct vcpu *c, gva_t address, unsigned shift);
/* Writes to this host page are to be noticed: its write tags go. */
void tlb_drop_writes(struct vcpu *c, const uint8_t *host);
bool mmu_watches_data(const struct vcpu *c); /* data breakpoints are armed */
enum tlb_view view_now(const struct vcpu *c);
enum tlb_view view_of_system(const struct vcpu *c);

/* Bytes of the slot's page are about to be written by this vCPU: dirty log and decoded code are told.
 * False: there still is code beside them, each further write must be told. */
bool slot_note_write(struct vcpu *c, const struct memslot *slot, uint64_t offset, unsigned bytes);
/* The same for a write that may come at any time: false if each must be told. */
bool slot_may_write(const struct memslot *slot, uint64_t page);
bool slot_has_page(const struct memslot *slot, uint64_t page); /* in the VMM's mapping */
/* First use of a page: does the VMM's mapping exist? Unwinds with -EFAULT from KVM_RUN if not. */
void slot_probe(struct vcpu *c, const struct memslot *slot, uint64_t page);

/* No access of more than a page of bytes is ever made: at most two pieces. */
enum { MAX_PIECES = 2 };

#endif
