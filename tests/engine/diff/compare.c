/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/* What two outcomes must agree on, and how a difference is shown. */
#include "diff.h"

#include "base/bytes.h"
#include "engine/fpu/internal.h"
#include "engine/jit/jit.h"
#include "engine/interp/exec.h"
#include "engine/interp/handlers.h"

#include <stdarg.h>
#include <stdio.h>

enum { XSAVE_HEADER = 512, XSAVE_EXTENDED = 576 };

struct report {
	bool quiet, differs;
};

static void PRINTF_LIKE(2, 3) note(struct report *r, const char *fmt, ...)
{
	va_list args;

	r->differs = true;
	if (r->quiet)
		return;
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
}

/* Bits of a register that tell of time, chance, or what the guest is not shown of the host. */
static uint64_t untold_bits(const struct insn *i, unsigned reg)
{
	const struct op_info *info = op_info(i->op);
	bool is_result = reg == RAX || reg == RDX;

	if (i->exec == exec_cpuid)
		return is_result || reg == RBX || reg == RCX ? 0xffffffff : 0;
	if (i->exec == exec_rdtsc || i->exec == exec_xgetbv)
		return is_result ? 0xffffffff : 0;
	if (engine_has_own_fs() && !strcmp(info->mnemonic, "rdfsbase") && reg == i->rm)
		return i->opsize == 8 ? ~0ull : 0xffffffff;
	if (i->exec == exec_rdtscp)
		return is_result || reg == RCX ? 0xffffffff : 0;
	if ((i->exec == exec_rdrand || i->exec == exec_rdpid) && info->map == MAP_0F &&
	    reg == i->rm)
		return i->opsize == 8 && i->exec == exec_rdrand ? ~0ull
		       : i->opsize == 2                         ? 0xffff
								: 0xffffffff;
	return 0;
}

static void compare_gprs(struct report *r, const struct test *t, const struct insn *i,
			 const struct outcome *native, const struct outcome *engine)
{
	static const char *const names[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp",
					       "rsi", "rdi", "r8",  "r9",  "r10", "r11",
					       "r12", "r13", "r14", "r15" };
	uint64_t mask = t->compat ? 0xffffffff : ~0ull;

	/* POPA that faults keeps what it had popped; it starts anew then. A REP whose addresses
	 * are 32 bits wide may have truncated its registers, then or with a count of 0. */
	if (native->vector == EXC_PF && !strcmp(form_get(t->form)->info->mnemonic, "popa"))
		return;
	if (i->addrsize == 4 && op_info(i->op)->flags & OP_STRING &&
	    (native->vector == EXC_PF || !(uint32_t)t->in.gpr[RCX]))
		mask = 0xffffffff;
	for (unsigned n = 0; n < (t->compat ? 8 : 16); n++)
		if ((native->out.gpr[n] ^ engine->out.gpr[n]) & mask & ~untold_bits(i, n))
			note(r, "  %s %llx: native %llx, engine %llx", names[n],
			     (unsigned long long)t->in.gpr[n],
			     (unsigned long long)native->out.gpr[n],
			     (unsigned long long)engine->out.gpr[n]);
}

/* Shifts by 0 leave all flags as they were: the row's undefined ones are still compared then. */
static uint64_t undefined_flags(const struct insn *i)
{
	bool is_chance = i->exec == exec_rdrand; /* RDSEED often has nothing to give */

	return op_info(i->op)->flags_undefined | F_RF | F_IF | F_TF | (is_chance ? F_CF : 0);
}

static void compare_flags(struct report *r, const struct insn *i, const struct outcome *native,
			  const struct outcome *engine)
{
	uint64_t ignored = undefined_flags(i);

	if (native->vector != COMPLETED) /* REP CMPS and SCAS: as before the first iteration */
		ignored = F_RF | F_IF | F_TF | (op_info(i->op)->flags & OP_STRING ? F_STATUS : 0);
	if ((native->out.rflags ^ engine->out.rflags) & ~ignored)
		note(r, "  rflags: native %llx, engine %llx",
		     (unsigned long long)native->out.rflags,
		     (unsigned long long)engine->out.rflags);
}

static void compare_segments(struct report *r, const struct outcome *native,
			     const struct outcome *engine)
{
	static const char *const names[6] = { "es", "cs", "ss", "ds", "fs", "gs" };
	const struct state *a = &native->out, *b = &engine->out;

	for (unsigned n = 0; n < 6; n++)
		if (a->selector[n] != b->selector[n])
			note(r, "  %s: native %x, engine %x", names[n], a->selector[n],
			     b->selector[n]);
	if (a->fs_base != b->fs_base)
		note(r, "  fs base: native %llx, engine %llx", (unsigned long long)a->fs_base,
		     (unsigned long long)b->fs_base);
	if (a->gs_base != b->gs_base)
		note(r, "  gs base: native %llx, engine %llx", (unsigned long long)a->gs_base,
		     (unsigned long long)b->gs_base);
}

static void compare_memory(struct report *r, const struct insn *i, const struct outcome *native,
			   const struct outcome *engine)
{
	unsigned n = 0;

	/* The CPU may have written the first page of what it stores in parts. */
	if (native->vector == EXC_PF && op_info(i->op)->mem == MEM_10)
		return;
	/* A CALL that then finds its target not canonical has written the return address. */
	if (native->vector == EXC_GP && op_info(i->op)->flags & OP_BRANCH)
		return;

	while (n < native->changes && n < engine->changes && native->word[n] == engine->word[n] &&
	       native->value[n] == engine->value[n])
		n++;
	if (n == native->changes && n == engine->changes)
		return;
	const uint64_t none = 0;
	bool a = n < native->changes, b = n < engine->changes;

	note(r, "  memory: native %x = %llx, engine %x = %llx", a ? DATA + 8 * native->word[n] : 0,
	     (unsigned long long)(a ? native->value[n] : none), b ? DATA + 8 * engine->word[n] : 0,
	     (unsigned long long)(b ? engine->value[n] : none));
}

/*
 * A fault leaves things as they were before the instruction [SDM 3A 6.5], but the CPU may find a
 * segment's limit, or a base that leads to no canonical address, after it has computed: MXCSR's
 * flags are set then, even #XM raised; MMX has taken over the x87 registers.
 */
static bool is_store_beyond_segment(const struct insn *i, int vector)
{
	const struct op_info *info = op_info(i->op);
	bool is_store =
		info->flags & OP_DI_STORE || (info->rm & FIELD_WRITTEN && insn_has_memory(i));

	return is_store && info->flags & OP_VECTOR && (vector == EXC_GP || vector == EXC_SS);
}

static void take_over_x87(uint8_t *ours, const uint8_t *native)
{
	if (load_le16(native + 2) & 0x3800)
		return;
	x87_set_top(ours, 0);
	if (native[4] == 0xff)
		ours[4] = 0xff;
}

/*
 * MXCSR.PE beside an unmasked overflow or underflow: the CPU says whether the result would have
 * been inexact with an unbounded exponent, the engine what the masked response says.
 */
static uint32_t ignored_mxcsr(const struct insn *i, const struct outcome *native)
{
	uint32_t mxcsr = load_le32(native->out.xsave + 24);

	/* DPPx multiply, then add: the CPU may stop in between. */
	if (native->vector == EXC_XM && strstr(op_info(i->op)->mnemonic, "dpp"))
		return 0x3f;
	if (is_store_beyond_segment(i, native->vector))
		return 0x3f;
	return native->vector == EXC_XM && mxcsr & ~(mxcsr >> 7) & 0x18 ? 0x20 : 0;
}

struct span {
	const char *name;
	unsigned from, bytes, stride, used;
};

static void show_span(struct report *r, const struct test *t, const struct span *s,
		      const uint8_t *native, const uint8_t *engine)
{
	for (unsigned n = 0; n + s->stride <= s->bytes; n += s->stride) {
		const uint8_t *a = native + s->from + n, *b = engine + s->from + n;
		const uint8_t *in = t->in.xsave + s->from + n;

		if (!memcmp(a, b, s->used))
			continue;
		r->differs = true;
		if (r->quiet)
			return;
		printf("  %s%u ", s->name, n / s->stride);
		for (unsigned k = s->used; k-- > 0;)
			printf("%02x", in[k]);
		printf("\n    native ");
		for (unsigned k = s->used; k-- > 0;)
			printf("%02x", a[k]);
		printf("\n    engine ");
		for (unsigned k = s->used; k-- > 0;)
			printf("%02x", b[k]);
		printf("\n");
	}
}

static void compare_vectors(struct report *r, const struct test *t, const struct insn *i,
			    const struct outcome *native, const struct outcome *engine)
{
	const struct span spans[] = {
		{ "fcw", 0, 2, 2, 2 },
		{ "fsw", 2, 2, 2, 2 },
		{ "ftw", 4, 1, 1, 1 },
		{ "fop", 6, 2, 2, 2 },
		{ "fip", 8, 8, 8, 8 },
		{ "fdp", 16, 8, 8, 8 },
		{ "mxcsr", 24, 4, 4, 4 },
		{ "st", 32, 128, 16, 10 },
		{ "xmm", 160, 256, 16, 16 },
		{ "ymmh", xsave_offset(2), xsave_size(2), 16, 16 },
		{ "k", xsave_offset(5), xsave_size(5), 8, 8 },
		{ "zmmh", xsave_offset(6), xsave_size(6), 32, 32 },
		{ "zmm16+", xsave_offset(7), xsave_size(7), 64, 64 },
	};

	uint32_t mxcsr = load_le32(engine->out.xsave + 24), ignored = ignored_mxcsr(i, native);
	static uint8_t ours[AREA_BYTES];

	memcpy(ours, engine->out.xsave, AREA_BYTES);
	store_le32(ours + 24, (mxcsr & ~ignored) | (load_le32(native->out.xsave + 24) & ignored));
	if (is_store_beyond_segment(i, native->vector) &&
	    (op_info(i->op)->reg & FIELD_KIND) == FIELD_MMX)
		take_over_x87(ours, native->out.xsave);
	for (unsigned n = 0; n < ARRAY_LEN(spans); n++)
		if (spans[n].bytes)
			show_span(r, t, &spans[n], native->out.xsave, ours);
}

static void show_test(const struct test *t, const struct outcome *native,
		      const struct outcome *engine)
{
	printf("%s:", form_get(t->form)->name);
	for (unsigned n = 0; n < t->length; n++)
		printf(" %02x", t->code[n]);
	if (t->instructions > 1)
		printf(" (%u instructions)", t->instructions);
	printf("  [native %d, engine %d] at %llx, then %x:%llx\n", native->vector, engine->vector,
	       (unsigned long long)t->in.rip, native->out.selector[1],
	       (unsigned long long)native->out.rip);
	printf("  gpr");
	for (unsigned n = 0; n < 16; n++)
		printf(" %llx", (unsigned long long)t->in.gpr[n]);
	printf("%s\n", t->stack16 ? ", 16-bit stack" : "");
}

/* Linux says "protection" of every fault in the kernel's half, to tell nothing of its maps. */
static bool page_faults_equal(const struct test *t, const struct insn *i,
			      const struct outcome *native, const struct outcome *engine)
{
	uint32_t ignored = native->cr2 >= 0x7ffffffff000 ? PF_PRESENT : 0;
	uint8_t mem = op_info(i->op)->mem;
	/* Which byte of a large or masked operand is touched first is the implementation's business. */
	bool any_byte = op_info(i->op)->flags & OP_VECTOR || t->instructions > 1 ||
			(mem >= MEM_ENV && mem <= MEM_XSAVE);
	int64_t distance = (int64_t)(native->cr2 - engine->cr2);
	uint64_t bytes = MAX(op_memory_bytes(op_info(i->op), i, !t->compat), 64u);

	/* Operands that wrap at 4 GiB or 64 KiB. */
	if (t->width == 16 && any_byte && distance < -0xf000)
		return true;
	if (op_info(i->op)->flags & OP_DI_STORE || (mem == MEM_XSAVE && i->addrsize == 2) ||
	    (t->compat && native->cr2 < bytes && engine->cr2 > 0x100000000 - bytes))
		return true;
	if (any_byte && native->cr2 >> 12 != engine->cr2 >> 12)
		ignored |= PF_PRESENT; /* one page of the operand is read-only, the other missing */
	return !((native->error ^ engine->error) & ~ignored) &&
	       (!distance || (any_byte && distance < 4096 && distance > -4096));
}

/* What processors may do this way or that way, and do. */
static bool is_judgement_call(const struct test *t, const struct insn *i,
			      const struct outcome *native, const struct outcome *engine)
{
	const struct op_info *info = op_info(i->op);

	/* Code changed by itself may run as it was until the next branch. [SDM 3A 9.1.3] */
	if (native->wrote_code || engine->wrote_code)
		return true;
	if (native->vector == EXC_XM && is_store_beyond_segment(i, engine->vector))
		return true;
	/* Across the end of the canonical half or a 16-bit stack, with a mask or in parts: which
	 * fault is first. */
	if ((native->vector == EXC_GP || native->vector == EXC_SS) && engine->vector == EXC_PF &&
	    engine->cr2 >> 12 == 0x7ffffffff && info->flags & OP_VECTOR)
		return true;
	if (native->vector == EXC_PF && (native->cr2 >> 12 == 0x7ffffffff || t->stack16) &&
	    (engine->vector == EXC_GP || engine->vector == EXC_SS) &&
	    (info->flags & OP_MASK_ELEMENTS || (info->mem >= MEM_ENV && info->mem <= MEM_XSAVE)))
		return true;
	/* A branch into its own bytes: the engine stops there, the CPU goes on. */
	if (info->flags & OP_BRANCH && engine->vector == COMPLETED &&
	    engine->out.rip - t->in.rip < t->length)
		return true;
	/* CALL to a bad target from a bad stack. */
	if ((native->vector == EXC_PF || native->vector == EXC_SS) && engine->vector == EXC_GP &&
	    info->flags & OP_STACK && info->flags & OP_BRANCH)
		return true;
	/* Beyond a 16-bit stack's limit, or not canonical, and not aligned: of one priority class, in
	 * which the order is the implementation's. [SDM 3A 6.9] */
	if (native->vector == EXC_GP && engine->vector == EXC_SS && t->stack16)
		return true;
	if (native->vector == EXC_SS && engine->vector == EXC_GP &&
	    (info->mem == MEM_512 || info->mem == MEM_XSAVE))
		return true;
	/* FIST and the like do not store with an unmasked exception; does the segment matter then? */
	if (native->vector == COMPLETED && native->out.xsave[2] & FSW_ES && info->flags & OP_X87 &&
	    (engine->vector == EXC_GP || engine->vector == EXC_SS))
		return true;
	/* From a 16-bit stack to 64-bit code, RET n's sum of what goes is cut to 16 bits before RSP is
	 * added in 64: for n from 0xfff8. [SDM 2 "RET" has no such case] */
	if (i->exec == exec_ret_far && t->stack16 && native->out.selector[1] == CODE_SELECTOR_64 &&
	    i->imm >= 0xfff8)
		return true;
	/* XRSTOR that fails after it has loaded something. */
	if (native->vector == EXC_GP && engine->vector == EXC_GP && info->mem == MEM_XSAVE)
		return true;
	/* The host's XCR0 has more components than the guest's; now and then XSAVE and XRSTOR
	 * touch all of their area. */
	return info->mem == MEM_XSAVE && native->vector == EXC_PF && engine->vector == COMPLETED;
}

/* In every bit: most are. */
static bool are_the_same(const struct outcome *native, const struct outcome *engine)
{
	const struct state *a = &native->out, *b = &engine->out;

	return native->vector == COMPLETED && engine->vector == COMPLETED && a->rip == b->rip &&
	       a->rflags == b->rflags && !memcmp(a->gpr, b->gpr, sizeof(a->gpr)) &&
	       !memcmp(a->selector, b->selector, sizeof(a->selector)) && a->fs_base == b->fs_base &&
	       a->gs_base == b->gs_base && native->changes == engine->changes &&
	       !memcmp(native->word, engine->word, native->changes * sizeof(native->word[0])) &&
	       !memcmp(native->value, engine->value, native->changes * sizeof(native->value[0])) &&
	       !memcmp(a->xsave, b->xsave, XSAVE_HEADER) &&
	       !memcmp(a->xsave + XSAVE_EXTENDED, b->xsave + XSAVE_EXTENDED,
		       AREA_BYTES - XSAVE_EXTENDED);
}

/* The translator lets accesses through unchecked because of what it believes of this. */
static void compare_written(struct report *r, const struct test *t, const struct insn *i,
			    const struct outcome *native)
{
	uint32_t believed = jit_gprs_written(i), written = 0;

	for (unsigned n = 0; n < 16; n++)
		if (native->out.gpr[n] != t->in.gpr[n])
			written |= 1u << n;
	if (t->instructions == 1 && native->vector == COMPLETED && written & ~believed)
		note(r, "  registers written: %x, the translator believes %x", written, believed);
}

bool outcomes_equal(const struct test *t, const struct insn *i, const struct outcome *native,
		    const struct outcome *engine, bool quiet)
{
	struct report r = { .quiet = true };

	compare_written(&r, t, i, native);
	if (!r.differs && are_the_same(native, engine))
		return true;
	if (is_judgement_call(t, i, native, engine))
		return true;
	for (int pass = 0; pass < 2; pass++) {
		r.quiet = pass == 0;
		if (native->vector != engine->vector)
			note(&r,
			     "  fault: native %d (error %x, cr2 %llx), engine %d (error %x, cr2 "
			     "%llx)",
			     native->vector, native->error, (unsigned long long)native->cr2,
			     engine->vector, engine->error, (unsigned long long)engine->cr2);
		else if (native->vector == EXC_PF && !page_faults_equal(t, i, native, engine))
			note(&r, "  page fault: native error %x cr2 %llx, engine error %x cr2 %llx",
			     native->error, (unsigned long long)native->cr2, engine->error,
			     (unsigned long long)engine->cr2);
		if (native->out.rip != engine->out.rip)
			note(&r, "  rip: native %llx, engine %llx",
			     (unsigned long long)native->out.rip,
			     (unsigned long long)engine->out.rip);
		compare_gprs(&r, t, i, native, engine);
		compare_written(&r, t, i, native);
		compare_flags(&r, i, native, engine);
		compare_segments(&r, native, engine);
		compare_memory(&r, i, native, engine);
		compare_vectors(&r, t, i, native, engine);
		if (!r.differs || quiet)
			break;
		if (pass == 0)
			show_test(t, native, engine);
	}
	return !r.differs;
}
