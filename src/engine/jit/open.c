/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Open pages: code in the window is led to blocks in them without a look.
 *
 * That each is still what the guest's page tables lead to, and has the contents it had, is looked at when
 * translated code in the window is entered, or goes on, after either may have changed: with the epoch of the
 * code (interp/block.c; devices write unseen, which counts from then on), and with vm.code_changes. Both
 * happen outside translated code, or kick it out. What led to a page that is not there any more is kept, and leads
 * there again when the same page is: programs that run again and again find their pages one by one.
 */
#include "engine/jit/internal.h"

#include "engine/interp/interp.h"
#include "engine/mmu/mmu.h"
#include "engine/mmu/window.h"
#include "engine/vm.h"

enum { MOST_KEPT = 4096 }; /* so that a page that goes and comes keeps nobody waiting for long */

static void forget(struct page_identity *p)
{
	for (struct jit_link *link = p->links; link; link = link->next)
		link->from = NULL;
	p->links = NULL;
	p->arrivals = NULL;
}

/* Nothing leads there any more. */
static void close(struct jit *jit, struct page_identity *p)
{
	unsigned links = 0;

	for (const struct jit_link *link = p->links; link; link = link->next, links++)
		branch_aim(link->place, run_delta(jit), link->stub);
	for (struct jit_block *b = p->arrivals; b; b = b->next_arrival)
		arrival_close(jit, b);
	if (links > MOST_KEPT)
		forget(p);
}

/* The page is what it was: all that led there does again. */
static void restore(struct jit *jit, struct page_identity *p)
{
	for (const struct jit_link *link = p->links; link; link = link->next)
		branch_aim(link->place, run_delta(jit), link->aim);
	for (struct jit_block *b = p->arrivals; b; b = b->next_arrival)
		arrival_restore(jit, b);
}

static void open(struct jit *jit, struct page_identity *p, uint32_t stamp)
{
	if (p->is_open && p->stamp == stamp)
		return;
	if (p->is_open)
		close(jit, p);
	else
		jit->open[jit->open_count++] = p;
	if (p->stamp == stamp)
		restore(jit, p);
	else
		forget(p);
	p->is_open = true;
	p->stamp = stamp;
}

static void take_out(struct jit_link *link)
{
	*link->from = link->next;
	if (link->next)
		link->next->from = link->from;
}

void link_open(struct vcpu *c, struct jit_link *link, struct page_identity *p, const struct jit_block *block)
{
	open(c->jit, p, block->stamp);
	if (link->from)
		take_out(link);
	link->from = &p->links;
	link->next = p->links;
	if (link->next)
		link->next->from = &link->next;
	p->links = link;
}

void arrival_open(struct vcpu *c, struct jit_block *block, struct page_identity *p)
{
	open(c->jit, p, block->stamp);
	if (block->arrival != c->jit->jump_missed) /* it was there before */
		return;
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
		close(jit, p);
		p->is_open = false;
		jit->open[n] = jit->open[--jit->open_count];
	}
}
