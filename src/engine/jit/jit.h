/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * The translator: hot blocks of guest code as host code, in all modes but V86 (segment.c has what is
 * neither 64-bit nor flat).
 *
 * Guest registers live in the host's (address.c has the map; vectors.c), flags in the host's EFLAGS or,
 * while something of ours needs those, in vcpu.jit_flags. Data goes through the vCPU's TLB by an inline
 * check (address.c, keep.c). Whatever is not translated, and every access that misses, is done by the
 * interpreter's handler for that one instruction. Blocks jump to each other directly; returns are the
 * host's own (exits.c), indirect jumps go through a table of recent targets (indirect.c).
 *
 * A translation is for one linear RIP and mode, and good while its page's code number is what it was
 * (vm.h, memslot.code): who comes from another page checks that. Whoever raises the number kicks all
 * vCPUs out of translated code, so that within a page nobody has to look.
 *
 * Inexact in one way, unless vm_options.exact_flags: status flags that the following code overwrites
 * before reading may be stale when a memory access or a division in between faults, when it changes
 * that very code, or when an interrupt comes. docs/adr/0006.
 */
#ifndef ENGINE_JIT_H
#define ENGINE_JIT_H

#include "engine/decode/insn.h"

struct jit;
struct jit_block;
struct port_fault;

int jit_init(struct vcpu *c); /* 0 or -errno: the vCPU then interprets */
void jit_fini(struct vcpu *c);
/* All translations go: mode of memory changed wholesale, or the cache is full. */
void jit_flush(struct vcpu *c);

struct jit_part {
	const struct insn *insns; /* decoded, without the sentinel */
	unsigned count;
	uint64_t rip;             /* of the first byte */
};
/* Blocks of one page, each of which may follow the one before. */
enum { JIT_PARTS = 8, JIT_INSNS = 64 };
struct jit_source {
	struct jit_part part[JIT_PARTS];
	unsigned parts;
	uint32_t mode;            /* jit_mode() */
	const uint32_t *page_code;
	uint32_t stamp;
	bool crosses;             /* one instruction, which ends in the next page */
	const uint32_t *page2_code;
	uint32_t stamp2;
};
/* Mode and CS together are one that can be translated. */
bool jit_is_translatable(const struct vcpu *c);
/* Neither 64-bit nor flat 32-bit code. */
bool jit_is_segmented(uint32_t mode);
/* Segments or the mode changed. */
void jit_segments_update(struct vcpu *c);
/* NULL: not worth it, or no room (then everything was flushed; the next hot block starts anew). */
/* Where code may go on behind a part, in the same page and never backwards: at most two RIPs, the
 * next instruction's first. Returns how many. */
unsigned jit_ways_on(const struct jit_part *part, uint32_t mode, uint64_t rips[2]);
struct jit_block *jit_translate(struct vcpu *c, const struct jit_source *source);
/* What was translated for c->rip and is still right, of code in these pages; NULL: nothing. */
struct jit_block *jit_find(const struct vcpu *c, const uint32_t *page_code,
			   const uint32_t *page2_code);
/* True if `block` is (still) what is at c->rip. */
bool jit_matches(const struct vcpu *c, const struct jit_block *block);
/* Its mode is not that in which the vCPU runs now. */
bool jit_is_of_other_mode(const struct vcpu *c, const struct jit_block *block);
/* False while MXCSR or CR0 are in the way of its vector instructions. */
bool jit_may_run(const struct vcpu *c, const struct jit_block *block);
/*
 * Runs it and what it leads to; c->rip is valid afterwards. Returns with a request, a stale or
 * unknown target, or a stop after an instruction. May unwind.
 */
void jit_run(struct vcpu *c, struct jit_block *block);
/* A port_fault_fn, of a vCPU: translated code met a page that is not in the window. */
const uint8_t *jit_fault(void *context, const struct port_fault *fault);
/* `block` is where the last jit_run() wanted to go: next time it goes there by itself. */
void jit_arrived(struct vcpu *c, struct jit_block *block);

/* General registers an instruction may write, as bits; all, if nobody builds on that. */
uint32_t jit_gprs_written(const struct insn *i);

/* How translated code came back to the loop. */
enum jit_way_back {
	BACK_LINK,    /* a jump within the page that was not linked yet */
	BACK_TARGET,  /* an indirect jump whose target the table does not have */
	BACK_CHECK,   /* a block's entry: its code, the mode or the vector registers changed */
	BACK_REQUEST, /* somebody wants the vCPU */
	BACK_STOP,    /* an instruction the interpreter did leads elsewhere */
	BACK_COUNT    /* the rest of `runs` unwound: faults, exits to the VMM */
};
struct jit_counters {
	uint64_t blocks, bytes, flushes, runs, links, single, back[BACK_COUNT];
	uint64_t *singles[2]; /* by op: translated, but the access missed; not translated */
};
const struct jit_counters *jit_counters(const struct vcpu *c);
uint64_t jit_cache_bytes(void); /* what fits */

#endif
