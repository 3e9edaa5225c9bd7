/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * The loop that runs blocks.
 *
 * Handlers call each other by tail calls until the block ends and the last one returns here. What
 * followed a block last time is remembered in it; c->requests is looked at between blocks.
 */
#include "base/port.h"
#include "engine/interp/block.h"
#include "engine/interp/interp.h"
#include "engine/jit/jit.h"
#include "engine/mmu/io.h"
#include "engine/sys/log.h"
#include "engine/sys/sys.h"

static bool has_requests(const struct vcpu *c)
{
	return __atomic_load_n(&c->requests, __ATOMIC_RELAXED) ||
	       __atomic_load_n(&c->run->immediate_exit, __ATOMIC_RELAXED);
}

/* Something that a block with LINK_NONE may have left. */
static bool must_return(const struct vcpu *c)
{
	return has_requests(c) || c->exit_ready || c->raised.kind != EVENT_NONE ||
	       c->mp_state != KVM_MP_STATE_RUNNABLE;
}

static ALWAYS_INLINE void run_block(struct vcpu *c, const struct block *b)
{
	c->gpr[GPR_BLOCK] = c->rip;
	c->insn = b->insns;
	c->count_blocks++;
	c->count_insns += b->count;
	b->insns->exec(c, b->insns);
	io_commit(c);
}

static ALWAYS_INLINE bool on_one_page(uint64_t a, uint64_t b)
{
	return !((a ^ b) & PAGE_MASK);
}

/* In one page a link holds as long as the block; across pages as long as translations. */
static ALWAYS_INLINE bool link_holds(const struct vcpu *c, const struct link *l)
{
	return l->rip == c->rip &&
	       (l->epoch == c->code_epoch[code_half(c, c->rip)] ||
		(l->same_page && on_one_page(c->gpr[GPR_BLOCK], c->rip))) &&
	       block_is_fresh(l->to);
}

/* Finds the block at c->rip and, where that is safe, remembers it as the one after `b`. */
static struct block *follow(struct vcpu *c, struct block *b, struct link *l)
{
	uint64_t from = c->gpr[GPR_BLOCK];
	unsigned drops = c->blocks->drops;
	struct block *to = code_block_find(c);

	if (c->blocks->drops != drops) /* `b` is gone */
		return to;
	if (!(to->mode & MODE_FLAT) || to->crosses || b->crosses || to->mode != b->mode)
		return to;
	*l = (struct link){ .rip = c->rip,
			    .epoch = c->code_epoch[code_half(c, c->rip)],
			    .to = to,
			    .same_page = on_one_page(from, c->rip) &&
					 on_one_page(b->gpa, to->gpa) };
	return to;
}

/* Programs of 16 bits have data beside their code, which is written and not translated for long: with
 * each time more runs must come before. */
enum { HOT = 40, MOST_PATIENCE = 6 };

/* What runs in the window is of a program that computes: it is worth translating sooner. */
enum { HOT_IN_WINDOW = 4 };

static unsigned enough_runs(const struct vcpu *c, const struct block *b)
{
	if (c->vm->translator > 1)
		return 1;
	return c->windowed ? HOT_IN_WINDOW : (unsigned)HOT << b->patience;
}

static unsigned heat_of(const struct block *b)
{
	return b->translation ? HOT : b->heat;
}

/* The block that mostly follows, and has run `enough` times; NULL: there is none. */
static const struct block *hottest_behind(struct vcpu *c, const struct block *b,
					  const struct jit_part *part, unsigned enough)
{
	const struct block *best = NULL;
	uint64_t rips[2];
	unsigned ways = b->crosses ? 0 : jit_ways_on(part, b->mode, rips);

	for (unsigned n = 0; n < ways; n++) {
		const struct block *next = code_block_known(c, b, rips[n]);

		if (next && heat_of(next) >= enough && (!best || heat_of(next) > heat_of(best)))
			best = next;
	}
	return best;
}

/* `b`, and behind it in the page what it mostly leads to. */
static void source_of(struct vcpu *c, const struct block *b, unsigned enough, struct jit_source *s)
{
	const struct block *next = b;
	unsigned insns = 0;

	*s = (struct jit_source){ .mode = jit_mode(c), .page_code = b->number, .stamp = b->stamp,
				  .crosses = b->crosses, .page2_code = b->number2,
				  .stamp2 = b->stamp2 };
	while (next && s->parts < JIT_PARTS && insns + next->count <= JIT_INSNS) {
		struct jit_part *part = &s->part[s->parts++];

		*part = (struct jit_part){ .insns = next->insns, .count = next->count,
					   .rip = c->rip + next->gpa - b->gpa };
		insns += next->count;
		next = hottest_behind(c, next, part, enough);
	}
}

/* The block's translation for where and how it runs now; NULL: interpret it. */
static struct jit_block *translation(struct vcpu *c, struct block *b)
{
	struct jit_source source;
	struct jit_block *last = b->jit_epoch == c->jit_epoch ? b->translation : NULL, *now = last;
	unsigned hot;

	if (last ? !jit_matches(c, last) : !b->translation && !b->heat && c->blocks->has_dropped)
		now = jit_find(c, b->number, b->number2);
	if (now) {
		b->translation = now;
		b->jit_epoch = c->jit_epoch;
		/* If it may not run now, running it would lead straight back here. */
		return jit_may_run(c, now) ? now : NULL;
	}
	hot = enough_runs(c, b);
	if (last && jit_is_of_other_mode(c, last))
		b->heat = hot;
	if (++b->heat < hot || !jit_is_translatable(c))
		return NULL;
	source_of(c, b, hot / 4, &source);
	b->heat = 0;
	if (jit_is_segmented(c->mode) && b->patience < MOST_PATIENCE)
		b->patience++;
	b->translation = jit_translate(c, &source);
	b->jit_epoch = c->jit_epoch;
	return b->translation && jit_may_run(c, b->translation) ? b->translation : NULL;
}

/*
 * Runs `b`'s translation if it has one, and whatever that leads to. `looked_up`: in this epoch, so
 * that flushing its page will be noticed; else translated code must not find it by itself.
 */
static ALWAYS_INLINE bool run_translated(struct vcpu *c, struct block *b, bool looked_up)
{
	struct jit_block *t = c->jit ? translation(c, b) : NULL;

	if (!t)
		return false;
	if (looked_up)
		jit_arrived(c, t);
	jit_run(c, t);
	io_commit(c);
	return true;
}

/* Until something other than the next block is due. */
static void run_chain(struct vcpu *c)
{
	struct block *b = code_block_find(c);
	bool looked_up = true;

	for (;;) {
		struct link *l;

		if (run_translated(c, b, looked_up)) {
			if (must_return(c) || c->mode & MODE_STEP)
				break;
			b = code_block_find(c);
			looked_up = true;
			continue;
		}
		c->jit_link = NULL;
		run_block(c, b);
		/* A CALL that wrote to a device has left by a link all the same. */
		if (unlikely(has_requests(c) || c->exit_ready) || c->link == LINK_NONE)
			break;
		l = &b->link[c->link - LINK_NEXT];
		looked_up = !likely(link_holds(c, l));
		b = looked_up ? follow(c, b, l) : l->to;
	}
	c->insn = NULL;
}

/* One block, so that each can be told. */
static void run_logged(struct vcpu *c)
{
	struct block *b = code_block_find(c);
	/* Who comes to an instruction that crosses pages has to be known (jit_arrived). */
	bool translated = c->jit && !b->crosses && translation(c, b);

	log_tell(c, (struct vm_event){ .kind = VM_LOG_EXEC,
				       .name = translated ? "translated" : NULL,
				       .code = { .insns = b->count } });
	c->jit_link = NULL;
	if (!translated || !run_translated(c, b, false))
		run_block(c, b);
	c->insn = NULL;
}

static gva_t linear_rip(const struct vcpu *c)
{
	return c->mode & MODE_CODE64 ? c->rip : (uint32_t)(c->seg[CS].base + c->rip);
}

static void run_step(struct vcpu *c)
{
	bool stepping = c->mode & MODE_STEP, tf = c->rflags & F_TF;
	struct block *b;

	c->insn = NULL;
	c->gpr[GPR_BLOCK] = c->rip;
	if (stepping)
		debug_check_fetch(c, linear_rip(c));
	b = code_block_find(c);
	run_block(c, b);
	c->insn = NULL;
	if (stepping)
		debug_after_insn(c, tf);
}

/* RIP back to the start of the instruction that unwound. */
static void after_unwind(struct vcpu *c, enum unwind_reason reason)
{
	block_undo_stop(c->blocks);
	if (c->insn)
		c->rip = insn_rip(c, c->insn);
	c->insn = NULL;
	c->io_next = 0;
	if (reason == UNWIND_FAULT)
		io_commit(c);
}

void interp_run(struct vcpu *c)
{
	int reason = setjmp(c->unwind);

	if (reason)
		after_unwind(c, reason);
	else if (!(c->cr0 & CR0_PG))
		interp_flush_lookup(c); /* see block.c */
	c->can_unwind = true;
	if (c->jit)
		port_set_thread_base((uint8_t *)c + VCPU_BYTES);
	if (c->window)
		port_catch_faults(jit_fault, c);
	while (!must_return(c)) {
		if (c->mode & MODE_STEP)
			run_step(c);
		else if (log_wants(c, VM_LOG_EXEC))
			run_logged(c);
		else
			run_chain(c);
	}
	c->can_unwind = false;
	c->insn = NULL;
	if (c->window)
		port_catch_faults(NULL, NULL);
}

void interp_step(struct vcpu *c)
{
	uint32_t mode = c->mode;
	int reason = setjmp(c->unwind);

	c->can_unwind = !reason;
	if (reason) {
		after_unwind(c, reason);
		if (!(mode & MODE_STEP))
			mode_update(c);
		return;
	}
	if (mode & MODE_STEP) {
		run_step(c);
	} else {
		c->mode |= MODE_STEP; /* one-instruction blocks, without the debug hooks */
		run_block(c, code_block_find(c));
		mode_update(c); /* what the instruction has set up may need stepping itself */
	}
	c->insn = NULL;
	c->can_unwind = false;
}
