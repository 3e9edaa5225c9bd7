/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Open pages: code in the window is led to blocks in them without a look.
 *
 * That each is still what the guest's page tables lead to, and has the contents it had, is looked at when
 * translated code in the window is entered, or goes on, after either may have changed: with the epoch of the
 * code (interp/block.c; devices write unseen, which counts from then on), and with vm.code_changes. Both
 * happen outside translated code, or kick it out.
 */
#include "engine/jit/internal.h"

#include "engine/interp/interp.h"
#include "engine/mmu/mmu.h"
#include "engine/mmu/window.h"
#include "engine/vm.h"

/* Nothing leads there any more. */
static void empty(struct jit *jit, struct page_identity *p)
{
	for (const struct jit_link *link = p->links; link; link = link->next)
		branch_aim(link->place, run_delta(jit), link->stub);
	for (struct jit_block *b = p->arrivals; b; b = b->next_arrival)
		arrival_close(jit, b);
	p->links = NULL;
	p->arrivals = NULL;
}

static void open(struct jit *jit, struct page_identity *p, uint32_t stamp)
{
	if (p->is_open && p->stamp == stamp)
		return;
	if (!p->is_open)
		jit->open[jit->open_count++] = p;
	empty(jit, p);
	p->is_open = true;
	p->stamp = stamp;
}

void link_open(struct vcpu *c, struct jit_link *link, struct page_identity *p, const struct jit_block *block)
{
	open(c->jit, p, block->stamp);
	link->next = p->links;
	p->links = link;
}

void arrival_open(struct vcpu *c, struct jit_block *block, struct page_identity *p)
{
	open(c->jit, p, block->stamp);
	block->next_arrival = p->arrivals;
	p->arrivals = block;
	arrival_restore(c->jit, block);
}

static bool is_there(struct vcpu *c, const struct page_identity *p)
{
	unsigned half = code_half(c, p->page);
	gpa_t gpa;

	if (__atomic_load_n(p->page_code, __ATOMIC_SEQ_CST) != p->stamp || !window_admit_code(c, p->page))
		return false;
	return c->jit_pages[half][page_slot(p->page, p->mode)] == p ||
	       (mmu_look_at_code(c, p->page, &gpa) == p->page_code &&
		interp_code_is(c, p->page, gpa, p->stamp));
}

bool pages_are_unsure(const struct vcpu *c)
{
	return c->windowed && (c->open_pages_are_stale ||
			       c->code_changes != __atomic_load_n(&c->vm->code_changes, __ATOMIC_SEQ_CST));
}

void pages_look_again(struct vcpu *c)
{
	struct jit *jit = c->jit;

	c->open_pages_are_stale = false;
	c->code_changes = __atomic_load_n(&c->vm->code_changes, __ATOMIC_SEQ_CST);
	for (unsigned n = 0; n < jit->open_count;) {
		struct page_identity *p = jit->open[n];

		if (is_there(c, p)) {
			n++;
			continue;
		}
		empty(jit, p);
		p->is_open = false;
		jit->open[n] = jit->open[--jit->open_count];
	}
}
