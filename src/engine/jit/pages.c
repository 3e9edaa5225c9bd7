/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Where linear pages of code lead, for jumps from one page to another.
 *
 * A page is known by its linear address, what is there (memslot.code names a physical page), and the
 * mode its code runs in: each such combination has an identity. The vCPU has a table of the
 * identities that its page tables were found to yield, one per address space and one for the upper
 * half. Slots are emptied with the epoch (interp/block.c), so that one with the right identity says
 * that a jump into that page leads to the same code as when it was linked. Processes that run the
 * same code at the same place share its translations and links.
 *
 * While vcpu.jit_key is what it was when that was found right, it is not looked at again.
 */
#include "engine/jit/internal.h"

#include "base/bytes.h"

unsigned page_slot(uint64_t linear, uint32_t mode)
{
	uint32_t page = (uint32_t)(linear >> PAGE_SHIFT) + (mode << 20);

	return page * JUMP_FACTOR >> (32 - CODE_PAGE_BITS);
}

struct page_identity *page_identity(struct jit *jit, uint64_t linear, uint32_t mode, const uint32_t *page_code)
{
	struct page_identity **bucket = &jit->identity_hash[page_slot(linear, mode)], *p;
	uint64_t page = linear & PAGE_MASK;

	for (p = *bucket; p; p = p->chain)
		if (p->page == page && p->mode == mode && p->page_code == page_code)
			return p;
	if (jit->identity_count == MAX_IDENTITIES)
		return NULL;
	p = &jit->identities[jit->identity_count++];
	*p = (struct page_identity){ .page = page, .mode = mode, .page_code = page_code,
				     .chain = *bucket };
	*bucket = p;
	return p;
}

static void page_is(struct vcpu *c, uint64_t linear, uint32_t mode,
		    const struct page_identity *identity)
{
	unsigned half = code_half(c, linear);

	c->jit_pages[half][page_slot(linear, mode)] = identity;
	if (!half)
		c->space->has_code_pages = true;
}

struct page_identity *page_arrived(struct vcpu *c, const struct jit_block *b)
{
	struct page_identity *identity = page_identity(c->jit, b->linear, b->mode, b->page_code);

	if (b->identity2)
		page_is(c, b->linear + PAGE_BYTES, b->mode, b->identity2);
	page_is(c, b->linear, b->mode, identity);
	return identity;
}

void pages_forget(struct vcpu *c)
{
	for (unsigned n = 0; n < TLB_SPACES; n++)
		memset(c->spaces[n].code_pages, 0, sizeof(c->spaces[n].code_pages));
	memset(c->upper_code_pages, 0, sizeof(c->upper_code_pages));
	c->jit->identity_count = c->jit->open_count = 0;
	targets_forget(c);
	memset(c->jit->identity_hash, 0, sizeof(c->jit->identity_hash));
}
