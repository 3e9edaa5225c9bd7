/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/* How programs are written: program.c, program16.c. */
#ifndef TESTS_SEQUENCE_WRITER_H
#define TESTS_SEQUENCE_WRITER_H

#include "sequence.h"

enum { MAX_PATCHES = 64 };

struct writer {
	struct program *p;
	struct random *r;
	struct vcpu *c;
	unsigned forms;
	uint32_t address; /* the program's, in its code segment */
	/* Displacements to blocks not yet written, or their addresses; of 4 bytes or 2. */
	struct {
		unsigned at, block;
		bool is_address, is_word;
	} fix[4 * MAX_BLOCKS];
	unsigned fixes;
	unsigned patch[MAX_PATCHES], patches; /* immediates that other code may overwrite */
};

#define PUT(w, ...) put(w, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

/* program.c */
void put(struct writer *w, const void *bytes, unsigned count);
void put8(struct writer *w, unsigned value);
void put32(struct writer *w, uint32_t value);
unsigned loop_register(const struct writer *w);
unsigned other_register(const struct writer *w);
void define_flags(struct writer *w); /* all six status flags get defined values */
void put_form(struct writer *w, unsigned vector_percent);
void put_flags_user(struct writer *w);

uint64_t good_address(const struct writer *w); /* of data */

/* far.c: for ring 3 */
void put_far(struct writer *w);

/* program16.c */
void make_blocks_16(struct writer *w);

#endif
