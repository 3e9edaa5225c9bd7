/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * The window: see window.h.
 *
 * A page costs a fault and two or three system calls, some 7 us: worth it where it is used for long.
 * So an address space gets the window when it has been seen computing for some milliseconds, without filling its
 * memory, while the one before it was not or has ended; and loses it when it has to be filled again and again.
 *
 * Not shown: pages of memory slots that are no shared mappings (the kernel cannot show them twice).
 * Not modelled: two vCPUs can run programs at the same addresses, as theirs are shifted, but not
 * more than four of them, nor programs that use more than that in one piece: who finds a place taken
 * goes by the TLB.
 */
#include "engine/mmu/window.h"

#include "base/port.h"
#include "engine/mmu/internal.h"

#include <errno.h>

enum {
	GRANULE = 1 << WINDOW_GRANULE_SHIFT,
	FIRST_BYTE = 64 << 10, /* mmap_min_addr: nobody has anything below */
	PAGES = 1 << 16,
	BUCKETS = 1 << 14,
	MAPPINGS = 12000,
	GRANULES = 512,
	RUN = 64,
	TICK_US = 1000,     /* interrupts closer to each other count as one */
	PATIENCE = 2,       /* calm ticks before an address space gets the window */
	CALM = 100,         /* page faults of the guest: who fills its memory gains nothing by it */
	IDLE = 16,          /* ticks without its owner before another may have it */
	TICK_FAULTS = 200,  /* forgiven each tick: a third of 4 ms */
	MOST_FAULTS = 4000, /* more are not worth it */
	LOOKS = 100,        /* so many at pages after a flush cost as much as a fault, */
	CHANGES = 4,        /* and so many that are not what they were */
	KEEP_MS = 50,       /* without its owner, when other vCPUs find places taken */
	BACK_OFF = 8,       /* calm ticks more until it may try again; twice as many and so on */
	LAST_BACK_OFF = 248,
};

#define LAST_BYTE ((1ull << 47) - PAGE_BYTES - 1) /* nor above */

/* Parts of a granule: its ends are what accesses beside addresses in its neighbours reach. */
enum { BEGINNING = 1, MIDDLE = 2, END = 4, WHOLE = 7 };

/* Places are addresses in our process: the guest's plus window_shift(). */
struct shown_page {
	uint64_t place;
	uint8_t *host;                        /* NULL: free */
	uint32_t next_by_place, next_by_host; /* + 1 */
	bool writable;
};

struct window {
	unsigned mappings;
	unsigned used, free;      /* pages: ever used, and the first of those that are free + 1 */
	uint64_t tick_at;         /* TSC */
	uint32_t now, owner_seen; /* ticks */
	uint64_t owner_at;        /* TSC of the last one */
	uint32_t refusals;        /* vm.window_refusals then */
	uint32_t faults;
	uint64_t page_faults;     /* of the guest, until the last tick */
	/* Granules are the guest's addresses by WINDOW_GRANULE_SHIFT; those admitted are in the table. */
	unsigned granules;
	struct granule {
		int32_t number;
		uint8_t ours, others; /* parts that are reserved, and that somebody else has */
		bool is_admitted, has_pages;
	} granule[GRANULES];
	uint32_t by_place[BUCKETS], by_host[BUCKETS]; /* + 1 */
	struct shown_page page[PAGES];
};

enum { TABLE_PAGE = PAGE_BYTES }; /* of a granule */
#define TABLE_BYTES ((size_t)1 << WINDOW_TABLE_BITS)

struct vcpu *window_alloc_vcpu(const struct vm *vm)
{
	struct vcpu *c = NULL;

	if (vm->window)
		c = port_alloc_with_room(VCPU_BYTES, TABLE_BYTES);
	if (!c)
		return port_alloc_pages(VCPU_BYTES);
	c->has_window_table = true;
	return c;
}

void window_free_vcpu(struct vcpu *c)
{
	port_free_pages(c, VCPU_BYTES + (c->has_window_table ? TABLE_BYTES : 0));
}

int window_init(struct vcpu *c)
{
	int error = c->has_window_table ? port_fault_init() : -ENOMEM;

	if (!error)
		c->window = port_alloc_pages(sizeof(*c->window));
	return !error && !c->window ? -ENOMEM : error;
}

/* Pages. */
static uint32_t *place_bucket(struct window *w, uint64_t place)
{
	return &w->by_place[(place >> PAGE_SHIFT ^ place >> 32) % BUCKETS];
}

static uint32_t *host_bucket(struct window *w, const uint8_t *host)
{
	return &w->by_host[((uintptr_t)host >> PAGE_SHIFT) % BUCKETS];
}

static struct shown_page *page_find(struct window *w, uint64_t place)
{
	for (uint32_t n = *place_bucket(w, place); n; n = w->page[n - 1].next_by_place)
		if (w->page[n - 1].place == place)
			return &w->page[n - 1];
	return NULL;
}

static void page_add(struct window *w, uint64_t place, uint8_t *host, bool writable)
{
	uint32_t n = w->free ? w->free : ++w->used;
	struct shown_page *p = &w->page[n - 1];

	if (w->free)
		w->free = p->next_by_place;
	*p = (struct shown_page){ .place = place,
				  .host = host,
				  .writable = writable,
				  .next_by_place = *place_bucket(w, place),
				  .next_by_host = *host_bucket(w, host) };
	*place_bucket(w, place) = *host_bucket(w, host) = n;
}

static void page_remove(struct window *w, struct shown_page *p)
{
	uint32_t n = (uint32_t)(p - w->page) + 1, *link;

	for (link = place_bucket(w, p->place); *link != n;)
		link = &w->page[*link - 1].next_by_place;
	*link = p->next_by_place;
	for (link = host_bucket(w, p->host); *link != n;)
		link = &w->page[*link - 1].next_by_host;
	*link = p->next_by_host;
	p->host = NULL;
	p->next_by_place = w->free;
	w->free = n;
}

static void pages_forget_all(struct window *w)
{
	memset(w->by_place, 0, sizeof(w->by_place));
	memset(w->by_host, 0, sizeof(w->by_host));
	w->used = w->free = w->mappings = 0;
}

/* Of what is shown there. */
static int32_t granule_number(const struct vcpu *c, uint64_t place)
{
	return (int32_t)((place - window_shift(c)) >> WINDOW_GRANULE_SHIFT);
}

/* A process may have some 65000 mappings, of all vCPUs and its own. */
static bool has_room(const struct vcpu *c)
{
	const struct window *w = c->window;
	uint32_t vcpus = __atomic_load_n(&c->vm->vcpu_count, __ATOMIC_RELAXED);

	return w->used + RUN + 1 <= PAGES && w->mappings < MAPPINGS / MAX(vcpus, 1u);
}

/* Granules. */
static struct granule *granule_find(struct window *w, int32_t number)
{
	for (unsigned n = 0; n < w->granules; n++)
		if (w->granule[n].number == number)
			return &w->granule[n];
	return NULL;
}

struct range {
	uint64_t start, end;
};

/* Where a part of it is. Nobody has anything at those that are empty. */
static struct range range_of(const struct vcpu *c, int32_t number, unsigned part)
{
	int64_t start = (int64_t)number * GRANULE + (int64_t)window_shift(c), end = start + GRANULE;

	if (part == BEGINNING) {
		end = start + WINDOW_REACH;
	} else if (part == END) {
		start = end - WINDOW_REACH;
	} else if (part == MIDDLE) {
		start += WINDOW_REACH;
		end -= WINDOW_REACH;
	}
	return (struct range){ (uint64_t)MAX(start, (int64_t)FIRST_BYTE),
			       (uint64_t)MIN(end, (int64_t)LAST_BYTE + 1) };
}

static bool granule_reserve(struct vcpu *c, int32_t number, unsigned parts)
{
	struct window *w = c->window;
	struct granule *g = granule_find(w, number);

	if (!g) {
		if (w->granules == GRANULES)
			return false;
		g = &w->granule[w->granules++];
		*g = (struct granule){ .number = number };
	}
	for (unsigned part = BEGINNING; part <= END; part <<= 1) {
		struct range r = range_of(c, number, part);

		if (!(parts & part) || (g->ours | g->others) & part)
			continue;
		if (r.start >= r.end || !port_reserve(r.start, r.end - r.start)) {
			g->ours |= part;
		} else {
			g->others |= part;
			__atomic_add_fetch(&c->vm->window_refusals, 1, __ATOMIC_RELAXED);
		}
	}
	return (g->ours & parts) == parts;
}

static void granule_release(struct vcpu *c, const struct granule *g)
{
	for (unsigned part = BEGINNING; part <= END; part <<= 1) {
		struct range r = range_of(c, g->number, part);

		if (g->ours & part && r.start < r.end)
			port_unreserve(r.start, r.end - r.start);
	}
}

/* Where translated code looks. */
static uint64_t table_page(const struct vcpu *c, int32_t number)
{
	return (uintptr_t)c + VCPU_BYTES + (uint64_t)number * TABLE_PAGE;
}

static void hide_all(struct vcpu *c)
{
	struct window *w = c->window;

	if (!w->used)
		return;
	for (unsigned n = 0; n < w->granules; n++) {
		struct granule *g = &w->granule[n];
		struct range r = range_of(c, g->number, WHOLE);

		if (g->has_pages)
			port_must_hide(r.start, r.end - r.start);
		g->has_pages = false;
	}
	pages_forget_all(w);
}

/* Nobody has it. */
static void release(struct vcpu *c)
{
	struct window *w = c->window;

	for (unsigned n = 0; n < w->granules; n++) {
		granule_release(c, &w->granule[n]);
		if (w->granule[n].is_admitted)
			port_must_hide(table_page(c, w->granule[n].number), TABLE_PAGE);
	}
	w->granules = 0;
	c->window_stack = c->window_fs = c->window_code = UINT64_MAX;
	pages_forget_all(w);
	c->window_space = NULL;
	c->window_page = 0;
	c->window_is_stale = false;
	jit_key_update(c);
}

void window_fini(struct vcpu *c)
{
	if (!c->window)
		return;
	release(c);
	port_free_pages(c->window, sizeof(*c->window));
	c->window = NULL;
}

bool window_has(struct vcpu *c, uint64_t address)
{
	const struct granule *g = address >> 47 ? NULL :
				  granule_find(c->window, (int32_t)(address >> WINDOW_GRANULE_SHIFT));

	return g && g->is_admitted;
}

static bool admit(struct vcpu *c, uint64_t address)
{
	int32_t number = (int32_t)(address >> WINDOW_GRANULE_SHIFT);
	struct window *w = c->window;

	if (window_has(c, address))
		return true;
	if (address >> 47 || !granule_reserve(c, number - 1, END) ||
	    !granule_reserve(c, number, WHOLE) || !granule_reserve(c, number + 1, BEGINNING) ||
	    port_make_readonly(table_page(c, number), TABLE_PAGE)) {
		w->faults++;
		return false;
	}
	granule_find(w, number)->is_admitted = true;
	return true;
}

bool window_admit_code(struct vcpu *c, uint64_t rip)
{
	return window_holds_code(c, rip) || admit(c, rip);
}

/* The window does not help this one. */
static void give_up(struct vcpu *c)
{
	struct tlb_space *space = c->space;

	release(c);
	space->back_off = MIN(2 * space->back_off + BACK_OFF, LAST_BACK_OFF);
	space->user_ticks = -space->back_off;
}

bool window_admit_all(struct vcpu *c)
{
	if (admit(c, c->gpr[RSP]) && admit(c, c->seg[FS].base) && window_admit_code(c, c->rip))
		return true;
	give_up(c);
	return false;
}

/* What the guest's page tables say, without a word to them: that is for a real access. */
struct view {
	uint8_t *host;
	bool writable;
};

static bool look(struct vcpu *c, uint64_t place, struct view *v)
{
	uint64_t address = place - window_shift(c);
	const struct tlb_entry *e =
		&c->space->view[VIEW_USER][address >> PAGE_SHIFT & (TLB_ENTRIES - 1)];
	const struct memslot *slot;
	uint64_t number;
	struct page page;
	unsigned rights;
	uint32_t error;

	if (!walk(c, address, ACCESS_READ, VIEW_USER, true, &page, &error) || !page.accessed ||
	    (page.key && c->cr4 & CR4_PKE))
		return false;
	slot = memslot_find(__atomic_load_n(&c->vm->slots, __ATOMIC_ACQUIRE), page.gpa);
	if (!slot)
		return false;
	number = (page.gpa - slot->base) / PAGE_BYTES;
	if (!slot_has_page(slot, number))
		return false;
	note_page_size(c, address, page.shift);
	rights = page_rights(c, VIEW_USER, &page);
	v->host = slot->host + number * PAGE_BYTES;
	/* What the TLB lets through has been noted, also while writes are logged. */
	v->writable = rights & RIGHT_WRITE && page.dirty &&
		      ((e->host == v->host && e->write == address) || slot_may_write(slot, number));
	return true;
}

/* Pages of one slot, which is one mapping, so that they can be shown together. */
static bool is_one_slot(const struct vcpu *c, const uint8_t *first, const uint8_t *last)
{
	const struct memslots *slots = __atomic_load_n(&c->vm->slots, __ATOMIC_ACQUIRE);

	for (uint32_t n = 0; n < slots->count; n++) {
		const struct memslot *s = &slots->slot[n];

		if (first >= s->host && last < s->host + s->bytes)
			return true;
	}
	return false;
}

/* The page this far on lies as far on in memory, may be used alike, and is not there yet. */
static bool continues(struct vcpu *c, uint64_t page, const struct view *v, int64_t pages)
{
	uint64_t at = page + (uint64_t)pages * PAGE_BYTES;
	struct view next;

	return at >= FIRST_BYTE && granule_number(c, at) == granule_number(c, page) &&
	       !page_find(c->window, at) && look(c, at, &next) &&
	       next.host == v->host + pages * PAGE_BYTES && next.writable == v->writable &&
	       is_one_slot(c, MIN(v->host, next.host), MAX(v->host, next.host));
}

static bool show_run(struct vcpu *c, struct granule *g, uint64_t page, const struct view *v)
{
	struct window *w = c->window;
	int64_t first = 0, last = 0;

	while (last < RUN / 2 && continues(c, page, v, last + 1))
		last++;
	while (first > -RUN / 2 && continues(c, page, v, first - 1))
		first--;
	if (port_show(page + (uint64_t)first * PAGE_BYTES, v->host + first * PAGE_BYTES,
		      (size_t)(last - first + 1) * PAGE_BYTES, v->writable))
		return false;
	for (int64_t n = first; n <= last; n++)
		page_add(w, page + (uint64_t)n * PAGE_BYTES, v->host + n * PAGE_BYTES, v->writable);
	w->mappings++;
	g->has_pages = true;
	c->count_window_pages += (uint64_t)(last - first + 1);
	return true;
}

/* All from `first` to `end` are shown. False: everything went, as the process has no mappings left to split one
 * by. */
static bool hide_pages(struct vcpu *c, uint64_t first, uint64_t end)
{
	struct window *w = c->window;

	if (port_hide(first, end - first)) {
		hide_all(c);
		return false;
	}
	for (uint64_t place = first; place < end; place += PAGE_BYTES)
		page_remove(w, page_find(w, place));
	w->mappings++; /* it may have split one */
	return true;
}

static bool hide_page(struct vcpu *c, const struct shown_page *p)
{
	return hide_pages(c, p->place, p->place + PAGE_BYTES);
}

/* True: it was not there, and is now. */
static bool show(struct vcpu *c, uint64_t place, bool is_write)
{
	struct window *w = c->window;
	uint64_t page = place & PAGE_MASK;
	struct granule *g;
	struct shown_page *p;
	struct view v;

	if (page < FIRST_BYTE || !look(c, page, &v) || (is_write && !v.writable) ||
	    !admit(c, place - window_shift(c)))
		return false;
	g = granule_find(w, granule_number(c, place));
	if (!has_room(c))
		hide_all(c);
	p = page_find(w, page);
	if (p && p->host == v.host && p->writable >= v.writable)
		return false;
	if (p)
		hide_page(c, p);
	return show_run(c, g, page, &v);
}

enum window_fault window_fault(struct vcpu *c, const struct port_fault *fault)
{
	uint64_t entry = fault->address - table_page(c, 0);

	c->count_window_faults++;
	c->window->faults++;
	c->window_page = 0;
	if (entry < TABLE_BYTES)
		return admit(c, entry << WINDOW_SHIFT) ? WINDOW_OPENED : WINDOW_CLOSED;
	if (fault->address >> 47)
		return WINDOW_MISSED;
	if (show(c, fault->address, fault->is_write))
		return WINDOW_OPENED;
	c->window_page = fault->address;
	return WINDOW_MISSED;
}

/* Forgetting. */
static bool make_readonly(struct vcpu *c, struct shown_page *p)
{
	if (port_make_readonly(p->place, PAGE_BYTES))
		return hide_page(c, p);
	p->writable = false;
	c->window->mappings++;
	return true;
}

void window_forget_all(struct vcpu *c, const struct tlb_space *space)
{
	c->window_is_stale |= c->window && c->window_space == space;
}

void window_forget_page(struct vcpu *c, gva_t address)
{
	struct shown_page *p =
		c->window_space ? page_find(c->window, (address + window_shift(c)) & PAGE_MASK)
				: NULL;

	if (p)
		hide_page(c, p);
}

void window_forget_writes(struct vcpu *c, const uint8_t *host)
{
	struct window *w = c->window;

	if (!c->window_space)
		return;
	for (uint32_t n = *host_bucket(w, host); n; n = w->page[n - 1].next_by_host) {
		struct shown_page *p = &w->page[n - 1];

		if (p->host == host && p->writable && !make_readonly(c, p))
			return;
	}
}

enum verdict { PAGE_STAYS, PAGE_LOSES_WRITES, PAGE_GOES };

/* What has to become of it, by what the guest says now. */
static enum verdict judge(struct vcpu *c, const struct shown_page *p)
{
	struct view v;

	if (!look(c, p->place, &v) || v.host != p->host)
		return PAGE_GOES;
	return v.writable >= p->writable ? PAGE_STAYS : PAGE_LOSES_WRITES;
}

/* The page there is shown and goes too, in the same granule. */
static bool goes_as_well(struct vcpu *c, const struct shown_page *p, uint64_t place)
{
	const struct shown_page *q = page_find(c->window, place);

	return q && granule_number(c, place) == granule_number(c, p->place) && judge(c, q) == PAGE_GOES;
}

/* With those around it that go as well, as one piece: programs give back memory in such. */
static unsigned hide_run(struct vcpu *c, const struct shown_page *p)
{
	uint64_t first = p->place, end = first + PAGE_BYTES;

	while (goes_as_well(c, p, end))
		end += PAGE_BYTES;
	while (goes_as_well(c, p, first - PAGE_BYTES))
		first -= PAGE_BYTES;
	hide_pages(c, first, end);
	return (unsigned)((end - first) / PAGE_BYTES);
}

/* Each page is still what the guest says, or goes. */
static void look_again(struct vcpu *c)
{
	struct window *w = c->window;
	unsigned changed = 0;

	for (unsigned n = 0; n < w->used; n++) {
		struct shown_page *p = &w->page[n];
		enum verdict verdict = p->host ? judge(c, p) : PAGE_STAYS;

		if (verdict == PAGE_GOES) {
			changed += hide_run(c, p);
		} else if (verdict == PAGE_LOSES_WRITES) {
			make_readonly(c, p);
			changed++;
		}
	}
	w->faults += w->used / LOOKS + changed / CHANGES;
	c->window_is_stale = false;
	c->count_window_looks++;
}

void window_settle(struct vcpu *c)
{
	uint64_t place = c->window_page;

	if (!c->windowed)
		return;
	if (c->window_is_stale)
		look_again(c);
	c->window_page = 0;
	if (place)
		show(c, place, false);
}

/* Whose it is. */
static void take(struct vcpu *c)
{
	struct window *w = c->window;

	release(c);
	w->faults = 0;
	w->owner_seen = w->now;
	w->owner_at = port_tsc();
	c->window_space = c->space;
	c->window_root = window_root_now(c);
	c->open_pages_are_stale = true;
	c->count_windows++;
	jit_key_update(c);
}

void window_take_now(struct vcpu *c)
{
	uint32_t wanted = MODE_USER | MODE_CODE64;

	if (c->window && (c->mode & wanted) == wanted && c->cr0 & CR0_PG &&
	    (c->window_space != c->space || c->window_root != window_root_now(c)))
		take(c);
}

void window_lend(struct vcpu *c)
{
	struct window *w = c->window;
	uint32_t refusals = __atomic_load_n(&c->vm->window_refusals, __ATOMIC_RELAXED);

	if (!c->window_space || c->windowed || w->refusals == refusals)
		return;
	if (port_tsc() - w->owner_at > (uint64_t)port_tsc_khz() * KEEP_MS)
		release(c);
	w->refusals = refusals;
}

/* Its process has ended: another one has its root (or it has another PCID, and needs a new window as well), or
 * that is empty, as page tables are freed from the root on. */
static bool owner_is_gone(struct vcpu *c)
{
	gpa_t root = c->window_root & PAGE_MASK;

	if (c->window_root == window_root_now(c))
		return true;
	for (unsigned n = 0; n < PAGE_BYTES / 2; n += 8)
		if (mmu_table_entry(c, root + n) & 1)
			return false;
	return true;
}

static bool is_free(struct vcpu *c)
{
	const struct window *w = c->window;

	return !c->window_space || w->now - w->owner_seen > IDLE || owner_is_gone(c);
}

/* Nothing is known of another program in its place. */
static void know_program(struct vcpu *c)
{
	struct tlb_space *space = c->space;

	if (space->root == window_root_now(c))
		return;
	space->root = window_root_now(c);
	space->user_ticks = space->back_off = 0;
}

static bool is_calm(struct vcpu *c)
{
	uint64_t before = c->window->page_faults;

	c->window->page_faults = c->count_faults[EXC_PF];
	return c->count_faults[EXC_PF] - before <= CALM;
}

void window_tick(struct vcpu *c)
{
	struct window *w = c->window;
	uint64_t now = port_tsc();
	bool calm;

	if (!w || now - w->tick_at < (uint64_t)port_tsc_khz() * TICK_US / 1000)
		return;
	w->tick_at = now;
	w->now++;
	know_program(c);
	calm = is_calm(c);
	if (c->windowed) {
		w->owner_seen = w->now;
		w->owner_at = now;
		if (w->faults > MOST_FAULTS)
			give_up(c);
		else
			w->faults -= MIN(w->faults, (uint32_t)TICK_FAULTS);
	} else if (c->mode & MODE_CODE64 && c->tlb_now == c->space->view[VIEW_USER] && calm &&
		   ++c->space->user_ticks >= PATIENCE && is_free(c)) {
		take(c);
	}
}
