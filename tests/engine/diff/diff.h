/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * The differential tester: random ring-3 instructions in 64-, 32- and 16-bit code segments, on the
 * host's CPU and in the engine.
 *
 * forms.c lists what the decoder accepts and assembles bytes, states.c makes up registers and
 * memory, native.c runs them in a forked child, engine.c in a vCPU, compare.c says what differs.
 */
#ifndef TESTS_DIFF_H
#define TESTS_DIFF_H

#include "engine/decode/ops.h"

/* Where things are, the same in the child and in the guest. Behind each area a page is missing. */
enum {
	CODE = 0x20000000, /* one page, full of HLT but for the instruction */
	DATA = 0x8000,     /* two pages, reachable with 16-bit addresses */
	DATA_BYTES = 0x2000,
	READ_ONLY = 0xc000, /* one page */
	GS_BASE = 0x40,
	CODE_SELECTOR_64 = 0x33,
	CODE_SELECTOR_32 = 0x23,
	DATA_SELECTOR = 0x2b,
	CODE_SELECTOR_16 = 0x07,
	STACK_SELECTOR_16 = 0x0f, /* LDT: base CODE; base 0; 64 KiB */
	GDT_ENTRIES_USED = 16,
	LDT_ENTRIES_USED = 10,
	AREA_BYTES = 2816, /* XSAVE standard format, PKRU included */
	PKRU = 9, /* its component of the area */
	PKRU_DEFAULT = 0x55555554,
};

struct state {
	_Alignas(64) uint8_t xsave[AREA_BYTES];
	uint64_t gpr[16];
	uint64_t rip, rflags;
	/* Of an outcome only: they start as they are in the child. */
	uint16_t selector[6]; /* ES CS SS DS FS GS */
	uint64_t fs_base, gs_base;
};

enum { CODE_PAGE = 0x1000, CODE_BYTES = 64, SEQUENCE = 5, HLT = 0xf4 };

/* One instruction, or up to SEQUENCE vector and x87 ones in a row. */
struct test {
	/* What tests with the same code have in common, with in.rip. */
	uint8_t code[CODE_BYTES];
	uint8_t length;
	uint8_t instructions;
	uint8_t width; /* of the code segment: 16, 32, 64 */
	bool compat;   /* not 64 */
	bool stack16;
	uint16_t form;

	struct state in;
	uint64_t patch_at; /* bytes put into the data pages before the run */
	uint32_t patch_bytes;
	uint8_t patch[AREA_BYTES];
};

enum { DATA_WORDS = DATA_BYTES / 8, MAX_CHANGES = 512, COMPLETED = -1, HUNG = -2 };

struct outcome {
	struct state out;
	int vector; /* or COMPLETED: `out` is the state behind the instruction */
	uint32_t error;
	uint64_t cr2;
	bool wrote_code;  /* of a sequence, its own */
	uint32_t changes; /* 8-byte words of the data pages that differ from pattern and patch */
	uint16_t word[MAX_CHANGES];
	uint64_t value[MAX_CHANGES];
};

enum { BATCH = 64, GROUP = 16 };

/* Shared with the child. */
struct batch {
	uint32_t sequence; /* futex: parent starts a batch */
	uint32_t done;     /* futex: child has finished it */
	uint32_t at;       /* test under way */
	uint32_t count;
	_Alignas(64) uint8_t pattern[DATA_BYTES];
	struct test test[BATCH];
	struct outcome native[BATCH];
};

/* random.c */
struct random {
	uint64_t state;
};
uint64_t random_next(struct random *r);
/* RIP in its segment: t->in.rip is linear. */
static inline uint64_t code_offset(const struct test *t, uint64_t rip)
{
	return t->width == 16 ? rip - CODE : rip;
}
static inline uint64_t random_below(struct random *r, uint64_t limit)
{
	return (uint64_t)((unsigned __int128)random_next(r) * limit >> 64);
}
static inline bool random_percent(struct random *r, unsigned percent)
{
	return random_below(r, 100) < percent;
}
uint64_t random_integer(struct random *r); /* often an interesting one */
void random_vector(struct random *r, uint8_t *to, unsigned bytes);
void random_x87(struct random *r, uint8_t *to); /* 10 bytes */
/* The same from pools, of which a little is made anew each time; vectors of 64 bytes. */
uint64_t random_pooled_integer(struct random *r);
void random_pooled_vector(struct random *r, uint8_t *to);
void random_pooled_x87(struct random *r, uint8_t *to);
void random_renew_pools(struct random *r);

/* forms.c */
struct form_info {
	const struct op_info *info;
	char name[48]; /* mnemonic, size, kind of operand */
	uint64_t runs, tries, mismatches, sequences;
};
/* `program`: only what may be anywhere in a program that runs twice and is compared. */
unsigned forms_list(struct vcpu *c, const char *only, bool program);
unsigned forms_count(void);
struct form_info *form_get(unsigned form);
/* Bytes for a form with random registers, displacement, immediate; false: none found. */
bool form_assemble(struct vcpu *c, unsigned form, struct random *r, struct test *t,
		   struct insn *decoded);

/* Appends another instruction that works on vector or x87 state; false: none found. */
bool form_append(struct vcpu *c, struct random *r, struct test *t);

/* The instruction of a test at this RIP (linear), as the engine decodes it; false: there is none. */
bool form_decode(struct vcpu *c, const struct test *t, uint64_t rip, struct insn *decoded);

/* states.c */
/* False: not to be run. */
bool state_make(struct random *r, struct test *t, const struct insn *i);
void state_for_sequence(struct random *r, struct test *t);
void pattern_make(struct random *r, uint8_t *pattern);

/* segments.c */
bool segments_takes_selector(const struct insn *i);
void segments_fill_registers(struct random *r, struct test *t, const struct insn *i);
void segments_fill_patch(struct random *r, struct test *t, const struct insn *i);
void segments_fill_immediate(struct random *r, struct test *t, const struct insn *i);
/* What the child has suffered already: an IRET from the kernel makes null selectors 0. */
void segments_return_outward(struct state *s);
bool segments_load_ldt(void);
void segments_write_tables(uint64_t *to); /* GDT, then LDT */

/* native.c */
bool native_start(struct batch *batch);
void native_run(struct batch *batch);  /* starts; then native_wait */
void native_wait(struct batch *batch); /* outcomes are there; restarts a dead child */
void native_stop(void);
/* For both sides: notes what differs from pattern and patch, and puts the pattern back. */
void memory_prepare(uint8_t *data, const struct test *t);
/* HLTs, and the test's code. */
const uint8_t *code_page(const struct test *t);
void memory_collect(uint8_t *data, const uint8_t *pattern, const struct test *t, struct outcome *o);

/* engine.c */
/* The translator translates all it can at once, in the window if it is to be. */
struct vcpu *engine_start(bool translator, bool in_window);
uint64_t engine_windowed(void); /* tests that ran there */
bool engine_has_own_fs(void);   /* its base is not the child's */
void engine_new_pattern(const uint8_t *pattern);
void engine_run(const struct test *t, const uint8_t *pattern, struct outcome *o);
void engine_stop(void);

/*
 * compare.c: true if equal; else prints what is not, unless `quiet`. `i`: the instruction that
 * faulted, or the (first) one that ran.
 */
bool outcomes_equal(const struct test *t, const struct insn *i, const struct outcome *native,
		    const struct outcome *engine, bool quiet);

#endif
