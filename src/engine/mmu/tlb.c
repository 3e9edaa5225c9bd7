/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * The software TLB: guest pages to host addresses, direct-mapped, one table per privilege view and
 * address space (PCID).
 *
 * A tag is the page's address, there only if that access may go straight to memory: no tag for
 * writing where the page is clean, read-only, or holds decoded code. An entry without a
 * translation has the tag of a page that belongs elsewhere in the table, so `address - tag` is
 * never within a page, and one comparison also catches accesses that cross one. Entries of global
 * pages stay when MOV CR3 drops the others.
 *
 * Manual: SDM 3, 4.10 (caching translation information).
 * Not modelled: global pages are found anew in each address space. INVLPG and INVPCID of one address
 * drop it in all of them; that is allowed.
 */
#include "base/port.h"
#include "engine/interp/address.h"
#include "engine/interp/interp.h"
#include "engine/mmu/internal.h"
#include "engine/mmu/window.h"
#include "engine/sys/log.h"

#include <errno.h>

enum { NO_PCID = 0x1000 };

static uint64_t elsewhere(unsigned index)
{
	return (uint64_t)(index ^ 1) << PAGE_SHIFT;
}

/* Where it is listed it stays. */
static void entry_empty(struct tlb_entry *e, unsigned index)
{
	e->read = e->write = elsewhere(index);
	e->host = NULL;
}

static void table_empty(struct tlb_entry *table)
{
	for (unsigned i = 0; i < TLB_ENTRIES; i++)
		entry_empty(&table[i], i);
}

/* What the last stack access found: a limit of 0 never hits. */
static void forget_stack(struct vcpu *c)
{
	c->stack_limit = 0;
}

static void forget_keys(struct vcpu *c)
{
	c->keyed_count = 0;
	c->keys = 0;
}

/* By its number in all views together. */
static struct tlb_entry *entry_at(struct tlb_space *space, unsigned n)
{
	return &space->view[n / TLB_ENTRIES][n % TLB_ENTRIES];
}

static bool is_listed(const struct tlb_space *space)
{
	return space->used[0].count <= TLB_USED && space->used[1].count <= TLB_USED;
}

/* How many entries may be in use, and each of those. */
static unsigned used_count(const struct tlb_space *space)
{
	return is_listed(space) ? space->used[0].count + space->used[1].count :
				  VIEW_COUNT * TLB_ENTRIES;
}

static unsigned used_entry(const struct tlb_space *space, unsigned k)
{
	unsigned first = space->used[0].count;

	if (!is_listed(space))
		return k;
	return k < first ? space->used[0].entry[k] : space->used[1].entry[k - first];
}

static void list_add(struct tlb_list *list, unsigned entry)
{
	if (list->count < TLB_USED)
		list->entry[list->count] = (uint16_t)entry;
	if (list->count <= TLB_USED)
		list->count++;
}

static void empty_all(struct tlb_space *space)
{
	unsigned count = used_count(space);

	for (unsigned k = 0; k < count; k++) {
		unsigned n = used_entry(space, k);

		entry_empty(entry_at(space, n), n % TLB_ENTRIES);
		space->note[n] = (struct tlb_note){ 0 };
	}
	space->used[0].count = space->used[1].count = 0;
}

static void empty_local(struct tlb_space *space)
{
	struct tlb_list *list = &space->used[0];
	unsigned count = list->count <= TLB_USED ? list->count : VIEW_COUNT * TLB_ENTRIES;

	for (unsigned k = 0; k < count; k++) {
		unsigned n = list->count <= TLB_USED ? list->entry[k] : k;

		space->note[n].listed &= ~1;
		if (!space->note[n].is_global)
			entry_empty(entry_at(space, n), n % TLB_ENTRIES);
	}
	list->count = 0;
}

/* Of what the address space's page tables said, and, if `all`, of global pages. */
static void space_empty(struct vcpu *c, struct tlb_space *space, bool all)
{
	window_forget_all(c, space);
	if (all || space->state == SPACE_VOID)
		empty_all(space);
	else
		empty_local(space);
	space->state = SPACE_GOOD;
}

int tlb_init(struct vcpu *c)
{
	c->spaces = port_alloc_pages(TLB_SPACES * sizeof(*c->spaces));
	c->writers = port_alloc_pages(WRITER_LISTS * sizeof(*c->writers));
	if (!c->spaces || !c->writers) {
		tlb_fini(c);
		return -ENOMEM;
	}
	for (unsigned n = 0; n < TLB_SPACES; n++) {
		c->spaces[n].state = SPACE_VOID;
		c->spaces[n].used[0].count = TLB_USED + 1; /* all zero: to be emptied whole */
		c->spaces[n].pcid = NO_PCID;
	}
	table_empty(c->no_translations);
	c->space = &c->spaces[0];
	space_empty(c, c->space, true);
	c->space->pcid = 0;
	c->tlb_now = c->space->view[VIEW_KERNEL_AC];
	return 0;
}

void tlb_fini(struct vcpu *c)
{
	if (c->spaces)
		port_free_pages(c->spaces, TLB_SPACES * sizeof(*c->spaces));
	if (c->writers)
		port_free_pages(c->writers, WRITER_LISTS * sizeof(*c->writers));
	c->spaces = NULL;
	c->writers = NULL;
}

enum tlb_view view_of_system(const struct vcpu *c)
{
	return c->cr4 & CR4_SMAP ? VIEW_KERNEL : VIEW_KERNEL_AC;
}

enum tlb_view view_now(const struct vcpu *c)
{
	if (c->cpl == 3)
		return VIEW_USER;
	return c->rflags & F_AC ? VIEW_KERNEL_AC : view_of_system(c);
}

bool mmu_watches_data(const struct vcpu *c)
{
	bool by_debugger = c->debug.control & KVM_GUESTDBG_USE_HW_BP;
	uint64_t dr7 = by_debugger ? c->debug.arch.debugreg[7] : c->dr[7];

	if (likely(!(dr7 & 0xff)))
		return false;
	for (unsigned i = 0; i < 4; i++)
		if (dr7 >> (2 * i) & 3 && dr7 >> (16 + 4 * i) & 1)
			return true;
	return false;
}

void tlb_select_view(struct vcpu *c)
{
	forget_stack(c);
	if (unlikely(c->mode & MODE_ALIGN || mmu_watches_data(c))) {
		c->tlb_now = c->tlb_by_ac[0] = c->tlb_by_ac[1] = c->no_translations;
	} else {
		c->tlb_now = c->space->view[view_now(c)];
		c->tlb_by_ac[0] = c->space->view[view_of_system(c)];
		c->tlb_by_ac[1] = c->space->view[VIEW_KERNEL_AC];
	}
	if (unlikely(c->vm->window > 1))
		window_take_now(c);
	jit_key_update(c);
}

void tlb_flush_all(struct vcpu *c)
{
	c->count_tlb_flushes++;
	for (unsigned n = 0; n < TLB_SPACES; n++) {
		c->spaces[n].state = SPACE_VOID;
		c->spaces[n].pcid = NO_PCID;
	}
	space_empty(c, c->space, true);
	c->space->pcid = c->cr4 & CR4_PCIDE ? c->cr3 & 0xfff : 0;
	forget_stack(c);
	memset(c->large_pages, 0, sizeof(c->large_pages));
	memset(c->huge_pages, 0, sizeof(c->huge_pages));
	forget_keys(c);
	interp_flush_lookup(c);
}

void tlb_use_keys(struct vcpu *c, uint32_t changed)
{
	uint16_t keys = 0;

	for (unsigned key = 0; key < 16; key++)
		keys |= (changed >> 2 * key & 3) != 0 ? BIT(key) : 0;
	if (keys & 1 || (keys & c->keys && c->keyed_count > TLB_KEYED)) {
		for (unsigned n = 0; n < TLB_SPACES; n++)
			c->spaces[n].state = SPACE_VOID;
		space_empty(c, c->space, true);
	} else if (keys & c->keys) {
		window_forget_all(c, c->window_space);
		for (unsigned n = 0; n < c->keyed_count; n++)
			entry_empty(entry_at(c->keyed[n].space, c->keyed[n].entry),
				    c->keyed[n].entry % TLB_ENTRIES);
	} else {
		return;
	}
	forget_keys(c);
	forget_stack(c);
}

static void note_key(struct vcpu *c, unsigned entry, uint8_t key)
{
	if (c->keyed_count < TLB_KEYED) {
		c->keyed[c->keyed_count].space = c->space;
		c->keyed[c->keyed_count].entry = entry;
	}
	if (c->keyed_count <= TLB_KEYED)
		c->keyed_count++;
	c->keys |= (uint16_t)BIT(key);
}

static void make_stale(struct tlb_space *space)
{
	if (space->state == SPACE_GOOD)
		space->state = SPACE_STALE;
}

static struct tlb_space *space_for(struct vcpu *c, unsigned pcid)
{
	struct tlb_space *space;

	for (unsigned n = 0; n < TLB_SPACES; n++)
		if (c->spaces[n].pcid == pcid)
			return &c->spaces[n];
	c->next_space = (c->next_space + 1) % TLB_SPACES;
	space = &c->spaces[c->next_space];
	space->pcid = pcid;
	space->root = UINT64_MAX; /* mmu/window.c knows nothing of it */
	make_stale(space);
	return space;
}

void tlb_switch_space(struct vcpu *c, unsigned pcid, bool keep)
{
	struct tlb_space *space = c->space->pcid == pcid ? c->space : space_for(c, pcid);

	c->space = space;
	if (!keep || space->state != SPACE_GOOD) {
		c->count_tlb_flushes++;
		space_empty(c, space, false);
		interp_flush_lookup_space(c);
	}
	interp_use_space(c);
	tlb_select_view(c);
}

void tlb_flush_non_global(struct vcpu *c)
{
	tlb_switch_space(c, c->space->pcid, false);
}

void tlb_flush_space(struct vcpu *c, unsigned pcid)
{
	if (c->space->pcid == pcid)
		tlb_flush_non_global(c);
	for (unsigned n = 0; n < TLB_SPACES; n++)
		if (&c->spaces[n] != c->space && c->spaces[n].pcid == pcid)
			make_stale(&c->spaces[n]);
}

static unsigned large_bit(gva_t address)
{
	uint64_t frame = address >> 21;

	return (frame ^ frame >> 12) & (sizeof(((struct vcpu *)0)->large_pages[0]) * 8 - 1);
}

static uint64_t huge_bit(gva_t address)
{
	return BIT((address >> 30 ^ address >> 36) & 63);
}

void tlb_flush_page(struct vcpu *c, gva_t address)
{
	unsigned index = address >> PAGE_SHIFT & (TLB_ENTRIES - 1), large = large_bit(address);
	unsigned half = code_half(c, address);

	if (c->large_pages[half][large / 64] & BIT(large % 64) ||
	    c->huge_pages[half] & huge_bit(address)) {
		tlb_flush_all(c);
		return;
	}
	for (unsigned n = 0; n < TLB_SPACES; n++)
		for (unsigned view = 0; view < VIEW_COUNT && c->spaces[n].state != SPACE_VOID; view++)
			entry_empty(&c->spaces[n].view[view][index], index);
	window_forget_page(c, address);
	forget_stack(c);
	interp_flush_lookup_page(c, address);
}

static struct tlb_writers *writers_of(struct vcpu *c, const uint8_t *host)
{
	uintptr_t page = (uintptr_t)host >> PAGE_SHIFT;

	return &c->writers[(page ^ page >> 13) % WRITER_LISTS];
}

/* Of all entries of all spaces. */
static uint32_t entry_number(const struct vcpu *c, const struct tlb_space *space, unsigned n)
{
	return (uint32_t)(space - c->spaces) * VIEW_COUNT * TLB_ENTRIES + n;
}

static struct tlb_entry *listed_entry(struct vcpu *c, uint32_t n)
{
	enum { EACH = VIEW_COUNT * TLB_ENTRIES };

	return entry_at(&c->spaces[n / EACH], n % EACH);
}

static bool is_writable(const struct tlb_entry *e, uint32_t n)
{
	return e->host && e->write != elsewhere(n % TLB_ENTRIES);
}

/* Forgets what became of other pages, or of none. */
static void writers_tidy(struct vcpu *c, struct tlb_writers *list)
{
	unsigned kept = 0;

	for (unsigned k = 0; k < list->count; k++) {
		const struct tlb_entry *e = listed_entry(c, list->entry[k]);

		if (is_writable(e, list->entry[k]) && writers_of(c, e->host) == list)
			list->entry[kept++] = list->entry[k];
	}
	list->count = kept;
}

/* An entry lets its page be written. */
static void writers_note(struct vcpu *c, const uint8_t *host, uint32_t entry)
{
	struct tlb_writers *list = writers_of(c, host);

	if (list->count > LISTED_WRITERS)
		return;
	for (unsigned k = 0; k < list->count; k++)
		if (list->entry[k] == entry)
			return;
	if (list->count == LISTED_WRITERS)
		writers_tidy(c, list);
	if (list->count < LISTED_WRITERS)
		list->entry[list->count] = entry;
	list->count++;
}

static void drop_write(struct vcpu *c, uint32_t entry, const uint8_t *host)
{
	struct tlb_entry *e = listed_entry(c, entry);

	if (e->host == host)
		e->write = elsewhere(entry % TLB_ENTRIES);
}

/* Finds all entries, and whether those of the list's other pages can be listed again. */
static void drop_writes_everywhere(struct vcpu *c, const uint8_t *host)
{
	struct tlb_writers *list = writers_of(c, host);

	list->count = 0;
	for (unsigned n = 0; n < TLB_SPACES; n++) {
		struct tlb_space *s = &c->spaces[n];
		unsigned count = s->state == SPACE_VOID ? 0 : used_count(s);

		for (unsigned k = 0; k < count; k++) {
			uint32_t entry = entry_number(c, s, used_entry(s, k));
			const struct tlb_entry *e = listed_entry(c, entry);

			drop_write(c, entry, host);
			if (is_writable(e, entry) && writers_of(c, e->host) == list)
				writers_note(c, e->host, entry);
		}
	}
}

/* No write to the host page `host` may go unnoticed from now on. */
void tlb_drop_writes(struct vcpu *c, const uint8_t *host)
{
	struct tlb_writers *list = writers_of(c, host);

	if (list->count > LISTED_WRITERS) {
		drop_writes_everywhere(c, host);
	} else {
		for (unsigned k = 0; k < list->count; k++)
			drop_write(c, list->entry[k], host);
		writers_tidy(c, list);
	}
	window_forget_writes(c, host);
	forget_stack(c);
}

static void note_large_page(struct vcpu *c, gva_t address)
{
	unsigned bit = large_bit(address);

	c->large_pages[code_half(c, address)][bit / 64] |= BIT(bit % 64);
}

void note_page_size(struct vcpu *c, gva_t address, unsigned shift)
{
	if (shift == 21 || shift == 22)
		note_large_page(c, address);
	if (shift == 22) /* two bits: either half may be named by INVLPG */
		note_large_page(c, address ^ BIT(21));
	else if (shift > 22)
		c->huge_pages[code_half(c, address)] |= huge_bit(address);
}

/* The access may go ahead at `host`; records what else may. */
static void remember(struct vcpu *c, enum tlb_view view, gva_t address, const struct page *page,
		     uint8_t *host, bool may_write)
{
	struct tlb_space *space = c->space;
	unsigned index = address >> PAGE_SHIFT & (TLB_ENTRIES - 1), n = view * TLB_ENTRIES + index;
	struct tlb_entry *e = &space->view[view][index];
	struct tlb_note *note = &space->note[n];
	unsigned rights = page_rights(c, view, page);

	if (!(note->listed >> page->global & 1))
		list_add(&space->used[page->global], n);
	note->listed |= (uint8_t)BIT(page->global);
	note->is_global = page->global;
	entry_empty(e, index);
	e->host = host - (address & ~PAGE_MASK);
	e->addend = (uintptr_t)host - address;
	if (rights & RIGHT_READ)
		e->read = address & PAGE_MASK;
	if (rights & RIGHT_WRITE && may_write) {
		e->write = address & PAGE_MASK;
		writers_note(c, e->host, entry_number(c, space, n));
	}
	note_page_size(c, address, page->shift);
	if (page->user && page->key)
		note_key(c, n, page->key);
}

/* The page of `address`, which was not at hand, or its fault. */
static void look_up(struct vcpu *c, enum tlb_view view, gva_t address, enum access access,
		    struct page *page)
{
	char letter = access == ACCESS_WRITE ? 'w' : access == ACCESS_FETCH ? 'x' : 'r';
	uint32_t error;

	if (walk(c, address, access, view, false, page, &error)) {
		if (log_wants(c, VM_LOG_MMU))
			log_translation(c, address, letter, page->gpa, BIT(page->shift), 0);
		return;
	}
	if (log_wants(c, VM_LOG_MMU))
		log_translation(c, address, letter, 0, 0, error);
	raise_page_fault(c, address, error);
}

struct place tlb_resolve(struct vcpu *c, enum tlb_view view, gva_t address, unsigned bytes,
			 enum access access)
{
	struct tlb_entry *e = &c->space->view[view][address >> PAGE_SHIFT & (TLB_ENTRIES - 1)];
	uint64_t offset = address & ~PAGE_MASK, number;
	const struct memslot *slot;
	struct page page;
	uint8_t *host;
	bool silent;

	if ((access == ACCESS_WRITE ? e->write : e->read) == (address & PAGE_MASK))
		return (struct place){ .host = e->host + offset };
	c->count_tlb_misses++;
	look_up(c, view, address, access, &page);
	slot = memslot_find(__atomic_load_n(&c->vm->slots, __ATOMIC_ACQUIRE), page.gpa);
	if (!slot || (access == ACCESS_WRITE && slot->flags & KVM_MEM_READONLY))
		return (struct place){ .gpa = page.gpa };
	host = slot->host + (page.gpa - slot->base);
	number = (page.gpa - slot->base) / PAGE_BYTES;
	slot_probe(c, slot, number);
	/* A read makes the page writable too only if a write has nothing more to tell anybody. */
	silent = page.dirty && slot_may_write(slot, number);
	if (access == ACCESS_WRITE)
		silent = slot_note_write(c, slot, page.gpa - slot->base, bytes);
	c->count_tlb_fills++;
	remember(c, view, address, &page, host, silent);
	return (struct place){ .host = host };
}

static void note_code(struct vcpu *c, gva_t address, const struct page *page)
{
	note_page_size(c, address, page->shift);
	c->upper_code_is_local |= !page->global && code_half(c, address);
}

const uint8_t *mmu_fetch(struct vcpu *c, gva_t address, unsigned *bytes, gpa_t *gpa,
			 uint32_t **page_code)
{
	enum tlb_view view = view_now(c);
	const struct memslot *slot;
	struct page page;

	if (c->mode & MODE_CODE64) {
		if (!address_is_canonical(c, address))
			raise_gp(c);
	} else {
		address = (uint32_t)address;
	}
	look_up(c, view, address, ACCESS_FETCH, &page);
	*gpa = page.gpa;
	slot = memslot_find(__atomic_load_n(&c->vm->slots, __ATOMIC_ACQUIRE), page.gpa);
	if (!slot) {
		*bytes = 0;
		return NULL;
	}
	slot_probe(c, slot, (page.gpa - slot->base) / PAGE_BYTES);
	note_code(c, address, &page);
	*bytes = (unsigned)(PAGE_BYTES - (address & ~PAGE_MASK));
	*page_code = &slot->code[(page.gpa - slot->base) / PAGE_BYTES];
	return slot->host + (page.gpa - slot->base);
}

const uint32_t *mmu_look_at_code(struct vcpu *c, gva_t address, gpa_t *gpa)
{
	const struct memslot *slot;
	struct page page;
	uint32_t error;

	if (!walk(c, address, ACCESS_FETCH, VIEW_USER, true, &page, &error) || !page.accessed)
		return NULL;
	slot = memslot_find(__atomic_load_n(&c->vm->slots, __ATOMIC_ACQUIRE), page.gpa);
	note_code(c, address, &page);
	*gpa = page.gpa;
	return slot ? &slot->code[(page.gpa - slot->base) / PAGE_BYTES] : NULL;
}
