/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Running translated code: the ways in and out, links between blocks.
 *
 * Everything here belongs to one vCPU and its thread. Code is written through one mapping and run
 * through the other.
 */
#include "engine/jit/internal.h"

#include "base/bytes.h"
#include "engine/fpu/fpu.h"
#include "engine/interp/exec.h"
#include "engine/interp/flags.h"
#include "engine/interp/interp.h"
#include "engine/mmu/io.h"
#include "engine/mmu/window.h"
#include "engine/sys/log.h"

typedef void enter_fn(struct vcpu *c, const uint8_t *code);

static const uint8_t saved_registers[] = { H_RBX, H_RBP, H_R12, H_R13, H_R14, H_R15 };

/*
 * An instruction led elsewhere: the translation of what is there, if it is in the table of targets
 * (indirect.c), is good, and nobody wants us; else the way out.
 */
static const uint8_t *way_on(struct vcpu *c)
{
	const struct jit_block *block = c->jit->jump[jump_index(c->rip)];

	if (!target_is_good(c, block) || vcpu_is_kicked(c) || c->exit_ready ||
	    !window_holds(c) || c->raised.kind != EVENT_NONE || c->mp_state != KVM_MP_STATE_RUNNABLE)
		return c->jit->leave_stopped;
	c->jit_stop = false;
	io_commit(c);
	return block->entry_any;
}

/* vcpu.jit_flags is as emit_save_status() leaves it. */
static void flags_from_jit(struct vcpu *c)
{
	uint32_t saved = (uint32_t)c->jit_flags;

	flags_load_status(c, (saved >> 8 & 0xff) | (saved & 1 ? F_OF : 0));
}

static void flags_to_jit(struct vcpu *c)
{
	uint32_t status = flags_status(c);

	c->jit_flags = (uint64_t)(status & 0xff) << 8 | !!(status & F_OF);
}

/* Before translated code goes on. */
static void settle(struct vcpu *c)
{
	if (unlikely(window_is_unsettled(c)))
		window_settle(c);
	if (unlikely(pages_are_unsure(c)))
		pages_look_again(c);
}

/* One instruction by the interpreter's handler. NULL: the block goes on; else where to go on. */
static const uint8_t *run_single(struct vcpu *c, struct jit_single *single)
{
	const uint64_t keys[2] = { c->jit_key[0], c->jit_key[1] };

	c->gpr[GPR_BLOCK] = single->block_rip;
	c->insn = single->insn;
	flags_from_jit(c);
	if (c->x87_status_ahead) /* and stays so: the block goes on */
		fpu_collect_status(c);
	c->jit->counters.single++;
	c->jit->counters.singles[single->is_untranslated][single->insn->op]++;
	c->jit_stop = true; /* unless it gets to the instruction behind it */
	single->insn->exec(c, single->insn);
	flags_to_jit(c);
	/* Somebody wants us, or known ways do not lead where they did. Behind STI nobody is let in. */
	if (!c->jit_stop && single->insn->exec != exec_sti &&
	    (vcpu_is_kicked(c) || c->jit_key[0] != keys[0] || c->jit_key[1] != keys[1] ||
	     !window_holds_data(c))) {
		c->rip = next_rip(c, single->insn);
		c->jit_stop = true;
	}
	settle(c);
	return c->jit_stop ? way_on(c) : NULL;
}

void jit_single_done(struct vcpu *c, const struct insn *i)
{
	c->jit_stop = false;
}

static void emit_spill(struct emitter *e)
{
	for (unsigned guest = 0; guest < 16; guest++)
		if (host_of(guest) >= 0)
			emit_store(e, 8, gpr_slot(guest), (unsigned)host_of(guest));
}

static void emit_reload(struct emitter *e)
{
	for (unsigned guest = 0; guest < 16; guest++)
		if (host_of(guest) >= 0)
			emit_load(e, 8, (unsigned)host_of(guest), gpr_slot(guest));
}

static void emit_stack(struct emitter *e, int32_t bytes)
{
	emit_lea(e, 8, H_RSP, at_register(H_RSP, bytes));
}

static const uint8_t *emit_enter(struct emitter *e)
{
	const uint8_t *at = emit_here(e);

	for (unsigned n = 0; n < ARRAY_LEN(saved_registers); n++)
		emit_push_reg(e, saved_registers[n]);
	emit_stack(e, -8); /* so that calls of C find it aligned */
	emit_store(e, 8, GS(jit_stack), H_RSP);
	emit_load(e, 8, H_RSP, GS(jit_returns));
	emit_mov(e, 8, T0, H_RSI);
	emit_reload(e);
	emit_jmp_reg(e, T0);
	return at;
}

/*
 * T0: a stack address less stack_page, not below the limit. Finds the page in the TLB, if it may be
 * written, and makes it the stack's: T0 is the offset in it then, and the flags say "not above".
 */
static const uint8_t *emit_stack_thunk(struct emitter *e)
{
	const uint8_t *at = emit_here(e);
	uint8_t *miss;

	emit_alu(e, ALU_ADD, 8, T0, GS(stack_page));
	miss = emit_tlb_look(e, 8, true);
	emit_push(e, at_register(T1, offsetof(struct tlb_entry, write)));
	emit_pop(e, GS(stack_page));
	emit_push(e, at_register(T1, offsetof(struct tlb_entry, host)));
	emit_pop(e, GS(stack_host));
	emit_push(e, at_register(T1, offsetof(struct tlb_entry, addend)));
	emit_pop(e, GS(stack_addend));
	emit_store_imm(e, 8, GS(stack_limit), PAGE_BYTES - 7);
	emit_land(e, miss);
	emit_u8(e, 0xc3);
	return at;
}

static void emit_thunks(struct jit *jit, struct vcpu *c, struct emitter *e)
{
	const uint8_t *leave_spilled;
	uint8_t *stop, *spill;

	vectors_emit_thunks(jit, e);
	jit->crowded = emit_here(e);
	emit_load(e, 8, H_RSP, GS(jit_returns));
	emit_mem(e, (struct encoding){ .map = 1, .opcode = 0xff, .size = 4 }, 4, GS(jit_resume));
	jit->enter = emit_enter(e);
	leave_spilled = emit_here(e);
	emit_load(e, 8, H_RSP, GS(jit_stack));
	emit_stack(e, 8);
	for (unsigned n = ARRAY_LEN(saved_registers); n-- > 0;)
		emit_pop_reg(e, saved_registers[n]);
	emit_u8(e, 0xc3);

	jit->leave = emit_here(e); /* T0: the link, T1: its target */
	emit_store(e, 8, GS(jit_link), T0);
	spill = emit_jmp(e);
	jit->leave_rip = emit_here(e); /* T1: RIP */
	emit_store_imm(e, 8, GS(jit_link), 0);
	emit_land(e, spill);
	emit_store(e, 8, GS(rip), T1);
	emit_call_run(e, jit->vectors_spill);
	emit_spill(e);
	emit_jmp_to(e, leave_spilled);

	indirect_emit_thunks(jit, e);
	jit->stack_thunk = emit_stack_thunk(e);
	jit->single_thunk = emit_here(e); /* T1: the instruction */
	emit_call_run(e, jit->vectors_spill);
	emit_spill(e);
	emit_mov_imm(e, H_RDI, (uintptr_t)c);
	emit_mov(e, 8, H_RSI, T1);
	emit_mov(e, 8, T0, H_RSP);
	emit_load(e, 8, H_RSP, GS(jit_stack));
	emit_call_to(e, run_single);
	emit_mov(e, 8, H_RSP, T0);
	emit_reg(e, (struct encoding){ .map = 1, .opcode = 0x85, .size = 8 }, H_RAX, H_RAX);
	stop = emit_jcc(e, CC_NE);
	emit_reload(e);
	emit_u8(e, 0xc3);
	emit_land(e, stop);
	emit_load(e, 8, H_RSP, GS(jit_returns)); /* what was remembered may lead elsewhere now */
	emit_mov(e, 8, T0, H_RAX);
	emit_reload(e);
	emit_jmp_reg(e, T0);
	jit->leave_stopped = emit_here(e);
	emit_store_imm(e, 8, GS(jit_link), 0);
	emit_jmp_to(e, leave_spilled);
}

/* Below everything is where returns come that nothing called. */
static int make_stack(struct vcpu *c)
{
	struct jit *jit = c->jit;
	uint8_t *end;

	jit->stack = port_alloc_pages(STACK_BYTES);
	if (!jit->stack)
		return -12;
	port_must_hide((uintptr_t)jit->stack, STACK_GUARD);
	end = jit->stack + STACK_BYTES - 8;
	store_le64(end, (uintptr_t)jit->returned_nowhere);
	c->jit_returns = (uintptr_t)end;
	c->jit_returns_end = c->jit_returns - 8 * (RETURNS - 1);
	return 0;
}

int jit_init(struct vcpu *c)
{
	struct jit *jit = port_alloc_pages(sizeof(*jit));
	struct emitter e;
	int error;

	if (!jit)
		return -12;
	jit->blocks = port_alloc_pages(MAX_BLOCKS * sizeof(*jit->blocks));
	jit->singles = port_alloc_pages(MAX_SINGLES * sizeof(*jit->singles));
	jit->links = port_alloc_pages(MAX_LINKS * sizeof(*jit->links));
	jit->faults = port_alloc_pages(MAX_FAULTS * sizeof(*jit->faults));
	error = port_code_alloc(&jit->code, CACHE_BYTES, log_wants(c, VM_LOG_OUT_ASM));
	if (error || !jit->blocks || !jit->singles || !jit->links || !jit->faults || jit_count_init(jit)) {
		c->jit = jit;
		jit_fini(c);
		return error ? error : -12;
	}
	e = (struct emitter){ .out = jit->code.write, .begin = jit->code.write,
			      .end = jit->code.write + THUNK_BYTES,
			      .run_delta = run_delta(jit) };
	c->jit = jit;
	c->jit_jump = jit->jump;
	emit_thunks(jit, c, &e);
	targets_forget(c);
	if (e.full || make_stack(c)) {
		jit_fini(c);
		return -12;
	}
	jit->cold_used = jit->cold_joined = COLD_AT;
	jit->after_thunks = jit->used = ALIGN_UP((size_t)(e.out - jit->code.write), 64);
	jit_segments_update(c);
	jit_log_thunks(c);
	if (c->vm->window && window_init(c))
		port_log("vCPU %u does without a window", c->id);
	return 0;
}

void jit_fini(struct vcpu *c)
{
	struct jit *jit = c->jit;

	window_fini(c);
	if (!jit)
		return;
	if (jit->blocks)
		port_free_pages(jit->blocks, MAX_BLOCKS * sizeof(*jit->blocks));
	if (jit->singles)
		port_free_pages(jit->singles, MAX_SINGLES * sizeof(*jit->singles));
	if (jit->links)
		port_free_pages(jit->links, MAX_LINKS * sizeof(*jit->links));
	if (jit->faults)
		port_free_pages(jit->faults, MAX_FAULTS * sizeof(*jit->faults));
	port_free_pages(jit->stack, STACK_BYTES);
	if (jit->code.run)
		port_code_free(&jit->code);
	jit_count_fini(jit);
	port_free_pages(jit, sizeof(*jit));
	c->jit = NULL;
}

void jit_flush(struct vcpu *c)
{
	struct jit *jit = c->jit;

	if (!jit)
		return;
	jit->used = jit->after_thunks;
	jit->cold_used = COLD_AT;
	jit->block_count = 0;
	jit->single_count = 0;
	jit->link_count = 0;
	jit->fault_count = 0;
	memset(jit->by_rip, 0, sizeof(jit->by_rip));
	jit->counters.flushes++;
	c->jit_epoch++;
	c->jit_link = NULL;
	pages_forget(c);
	segments_forget(c);
}

bool jit_matches(const struct vcpu *c, const struct jit_block *block)
{
	if (block->identity2 &&
	    __atomic_load_n(block->page2_code, __ATOMIC_RELAXED) != block->stamp2)
		return false;
	return block->rip == c->rip && block->mode == jit_mode(c) &&
	       __atomic_load_n(block->page_code, __ATOMIC_RELAXED) == block->stamp;
}

bool jit_is_of_other_mode(const struct vcpu *c, const struct jit_block *block)
{
	return block->mode != jit_mode(c);
}

static struct jit_block **by_rip(struct jit *jit, uint64_t rip)
{
	return &jit->by_rip[jump_index(rip) >> (JUMP_BITS - RIP_BITS)];
}

/* In place of what was translated from the same page's former contents: stamps never come back. */
void block_remember(struct jit *jit, struct jit_block *block)
{
	struct jit_block **first = by_rip(jit, block->rip), **link = first, *b;

	while ((b = *link)) {
		if (b->rip == block->rip && b->mode == block->mode &&
		    b->page_code == block->page_code && b->page2_code == block->page2_code)
			*link = b->chain;
		else
			link = &b->chain;
	}
	block->chain = *first;
	*first = block;
}

struct jit_block *jit_find(const struct vcpu *c, const uint32_t *page_code,
			   const uint32_t *page2_code)
{
	struct jit_block *b = *by_rip(c->jit, c->rip);

	while (b && (b->page_code != page_code || b->page2_code != page2_code ||
		     !jit_matches(c, b)))
		b = b->chain;
	return b;
}

bool jit_may_run(const struct vcpu *c, const struct jit_block *block)
{
	return !block->vectors || vectors_allow(c, block->vectors);
}

void jit_run(struct vcpu *c, struct jit_block *block)
{
	struct jit *jit = c->jit;

	if (vcpu_is_kicked(c) && !vcpu_take_kick(c))
		return;
	settle(c);
	if (unlikely(!window_holds(c)) && !window_admit_all(c))
		return; /* it has another translation now */
	jit->counters.runs++;
	c->jit_stop = false;
	flags_to_jit(c);
	((enter_fn *)(uintptr_t)jit->enter)(c, block->entry);
	flags_from_jit(c);
	if (c->x87_status_ahead)
		fpu_collect_status(c);
	c->x87_status_ahead = false;
	jit_count_back(c);
}

/* Whoever is in one block of a page was led to the right page: the other is there too. */
static const uint8_t *entry_for(const struct jit_link *link, const struct jit_block *block)
{
	if (link->is_far && !is_in_window(block))
		return block->entry_any;
	if (link->flags_in_host && block->needs_flags)
		return block->entry_flags;
	if (link->vectors < block->vectors)
		return block->entry;
	return link->forward ? block->entry_forward : block->entry_vectors;
}

/* Links that lead to the translation of what was there before go on to the one of what is. Stamps
 * never come back, so nobody will want the old one; of two with other second pages both live. */
static void supersede(const struct jit *jit, const uint8_t *old, const struct jit_block *block)
{
	uint8_t *at = (uint8_t *)old - run_delta(jit);

	at[0] = 0xe9;
	branch_aim(at + 1, run_delta(jit), block->entry_any);
}

void jit_arrived(struct vcpu *c, struct jit_block *block)
{
	struct jit_link *link = c->jit_link;
	const struct jit_block *last = c->jit->jump[jump_index(block->rip)];
	struct page_identity *identity = page_arrived(c, block);
	uint64_t key = c->jit_key[code_half(c, block->linear)];

	if (!identity || (is_in_window(block) && !window_admit_code(c, block->rip)))
		return;
	if (last->rip == block->rip && last->identity == identity && last != block && !block->identity2)
		supersede(c->jit, last->entry_any, block);
	block->identity = identity;
	block->key = key;
	target_arrived(c, block, identity);
	if (!link || link->target != block->rip || link->mode != block->mode)
		return;
	if (link->is_far && is_in_window(block)) {
		link_open(c, link, identity, block);
	} else if (link->is_far) {
		link->identity = identity;
		link->key = key;
	} else if (link->page_code != block->page_code) {
		return;
	}
	link->aim = entry_for(link, block);
	branch_aim(link->place, run_delta(c->jit), link->aim);
	c->jit_link = NULL;
	c->jit->counters.links++;
}
