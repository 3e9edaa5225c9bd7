/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * The cache of decoded blocks.
 *
 * Blocks belong to one vCPU and are found by guest-physical address and mode; in front of that
 * stands a table by linear address, void after a flush of translations (a new epoch). A block is
 * valid while the number of its page (memslot.code) is its stamp: a write to the page changes it,
 * but for some beside code (interp_needs_to_know).
 * When there is no more room for blocks, or the vCPU has slept for most of a second, all of them are
 * dropped: most code of a system's start never runs again. Translations stay, and are found again
 * (jit_find).
 *
 * Devices write without telling us, so a page is compared with its copy the first time it is used
 * in an epoch, unless the VMM counts such writes and there was none (memory_writes); without paging every
 * interp_run() is an epoch.
 *
 * A block ends at branches, at what changes the mode, after 64 instructions or with its page. An
 * instruction that crosses pages is a block of its own that depends on both.
 *
 * Not modelled: code in MMIO regions: an emulation failure, as in the kernel's KVM.
 */
#include "engine/interp/block.h"
#include "base/port.h"
#include "engine/decode/ops.h"
#include "engine/fpu/fpu.h"
#include "engine/interp/address.h"
#include "engine/jit/jit.h"
#include "engine/sys/log.h"

#include <errno.h>

/* Beside a translator blocks that run often are needed little. KEPT_ASLEEP are worth no drop. */
enum { ROOM_BESIDE_TRANSLATOR = 64 << 20, PAGES_AT = 128 << 20, ARENA_BYTES = 256 << 20,
       KEPT_ASLEEP = 8 << 20, REST_NS = 1000000000,
       MOST_OF_BLOCK = sizeof(struct block) + (BLOCK_INSNS + 1) * sizeof(struct insn) + 256 };

static void exec_block_end(struct vcpu *c, const struct insn *i)
{
	c->rip = insn_rip(c, i);
	c->link = LINK_NEXT;
}

/* Stands in for the instruction after one that wrote to code or did I/O. */
static void exec_stop(struct vcpu *c, const struct insn *i)
{
	block_undo_stop(c->blocks);
	return end_block(c, insn_rip(c, i));
}

void block_undo_stop(struct block_cache *cache)
{
	if (cache->stopped)
		cache->stopped->exec = cache->stopped_exec;
	cache->stopped = NULL;
}

void interp_stop_after(struct vcpu *c)
{
	struct block_cache *cache = c->blocks;
	struct insn *following = (struct insn *)c->insn + 1;

	if (!c->insn || cache->stopped == following)
		return;
	block_undo_stop(cache);
	cache->stopped = following;
	cache->stopped_exec = following->exec;
	following->exec = exec_stop;
}

int interp_init(struct vcpu *c)
{
	struct block_cache *cache = port_alloc_pages(sizeof(*cache));

	if (!cache)
		return -ENOMEM;
	cache->arena = port_alloc_pages(ARENA_BYTES);
	if (!cache->arena) {
		port_free_pages(cache, sizeof(*cache));
		return -ENOMEM;
	}
	cache->pages_used = PAGES_AT;
	c->blocks = cache;
	interp_flush_lookup(c);
	c->gpr[GPR_ZERO] = 0;
	return 0;
}

void interp_fini(struct vcpu *c)
{
	if (!c->blocks)
		return;
	port_free_pages(c->blocks->arena, ARENA_BYTES);
	port_free_pages(c->blocks, sizeof(*c->blocks));
	c->blocks = NULL;
}

static void new_upper_epoch(struct vcpu *c)
{
	c->code_epoch[1] = ++c->blocks->last_epoch;
	c->open_pages_are_stale = true;
	c->upper_code_is_local = false;
	memset(c->upper_code_pages, 0, sizeof(c->upper_code_pages));
}

static void new_epoch(struct vcpu *c, struct tlb_space *space)
{
	space->code_epoch = ++c->blocks->last_epoch;
	c->open_pages_are_stale |= space == c->window_space;
	if (space->has_code_pages)
		memset(space->code_pages, 0, sizeof(space->code_pages));
	space->has_code_pages = false;
}

void interp_use_space(struct vcpu *c)
{
	if (c->upper_code_is_local)
		new_upper_epoch(c);
	c->code_epoch[0] = c->space->code_epoch;
	c->jit_pages[0] = c->space->code_pages;
	c->jit_pages[1] = c->upper_code_pages;
	jit_key_update(c);
}

void interp_flush_lookup_space(struct vcpu *c)
{
	new_epoch(c, c->space);
	interp_use_space(c);
}

static void new_lower_epochs(struct vcpu *c)
{
	for (unsigned n = 0; n < TLB_SPACES; n++)
		new_epoch(c, &c->spaces[n]);
}

void interp_flush_lookup(struct vcpu *c)
{
	new_lower_epochs(c);
	new_upper_epoch(c);
	memset(c->blocks->seen, 0, sizeof(c->blocks->seen));
	interp_use_space(c);
}

static unsigned seen_bit(gva_t address)
{
	uint64_t page = address >> PAGE_SHIFT;

	return (page ^ page >> 14 ^ page >> 28) & (SEEN_BITS - 1);
}

static void note_seen(struct vcpu *c, gva_t address)
{
	unsigned bit = seen_bit(address);

	c->blocks->seen[code_half(c, address)][bit / 64] |= BIT(bit % 64);
}

void interp_flush_lookup_page(struct vcpu *c, gva_t address)
{
	unsigned bit = seen_bit(address), half = code_half(c, address);
	uint64_t *seen = c->blocks->seen[half];

	if (!(seen[bit / 64] >> bit % 64 & 1))
		return;
	if (half)
		new_upper_epoch(c);
	else
		new_lower_epochs(c);
	memset(seen, 0, SEEN_BITS / 8);
	interp_use_space(c);
}

/* They are decoded again where they are run again; pages and translations stay. */
static void drop_blocks(struct vcpu *c)
{
	struct block_cache *cache = c->blocks;

	block_undo_stop(cache);
	cache->blocks_used = 0;
	cache->drops++;
	cache->has_dropped = true;
	memset(cache->hash, 0, sizeof(cache->hash));
	memset(cache->lookup, 0, sizeof(cache->lookup));
}

void interp_slept(struct vcpu *c, uint64_t from_ns, uint64_t to_ns)
{
	struct block_cache *cache = c->blocks;
	uint64_t passed = to_ns - cache->rest_since_ns;
	bool rests;

	cache->rest_ns += to_ns - from_ns;
	if (passed < REST_NS)
		return;
	rests = cache->rest_ns > passed / 10 * 9;
	cache->rest_since_ns = to_ns;
	cache->rest_ns = 0;
	if (!c->jit || !rests || cache->blocks_used < KEPT_ASLEEP)
		return;
	port_forget_pages(cache->arena, ALIGN_DOWN(cache->blocks_used, PAGE_BYTES));
	drop_blocks(c);
	c->count_drops++;
}

void interp_flush(struct vcpu *c)
{
	struct block_cache *cache = c->blocks;

	if (c->insn) { /* inside a block: when it is left */
		vcpu_request(c, REQUEST_CODE_FLUSH);
		return;
	}
	drop_blocks(c);
	cache->has_dropped = false;
	cache->pages_used = PAGES_AT;
	c->count_code_flushes++;
	memset(cache->pages, 0, sizeof(cache->pages));
	interp_flush_lookup(c);
	jit_flush(c);
	fpu_forget_stubs(c);
}

static struct code_page **page_bucket(struct block_cache *cache, gpa_t gpa)
{
	return &cache->pages[(gpa >> PAGE_SHIFT) & (PAGE_HASH - 1)];
}

static struct code_page *page_find(struct block_cache *cache, gpa_t gpa)
{
	struct code_page *page = *page_bucket(cache, gpa);

	while (page && page->gpa != gpa)
		page = page->hash_next;
	return page;
}

static struct code_page *page_add(struct block_cache *cache, gpa_t gpa)
{
	struct code_page *page = (void *)(cache->arena + cache->pages_used), **bucket;

	cache->pages_used += ALIGN_UP(sizeof(*page), 64); /* see make_room() */
	bucket = page_bucket(cache, gpa);
	page->gpa = gpa;
	page->hash_next = *bucket;
	*bucket = page;
	return page;
}

/* Memory is as it was while this is the same, but for what we are told of. UNKNOWN: who can say. */
enum { UNKNOWN_WRITES = 0 };

static uint64_t memory_writes(const struct vm *vm)
{
	const struct memslots *slots = __atomic_load_n(&vm->slots, __ATOMIC_ACQUIRE);

	if (!vm->writes || slots->share_memory)
		return UNKNOWN_WRITES;
	return 1 + slots->changes + __atomic_load_n(vm->writes, __ATOMIC_ACQUIRE);
}

/* Makes the copy what is in memory, and notices what was written behind our back. */
static void page_refresh(struct vcpu *c, struct code_page *page, const uint8_t *host, uint64_t epoch)
{
	page->epoch = epoch;
	page->writes = memory_writes(c->vm);
	page->stamp = mmu_watch_code(c, page->gpa, page->number); /* may unwind */
	memcpy(page->copy, host, PAGE_BYTES);
	memset(page->marked, 0, sizeof(page->marked));
	page->is_loose = false;
	page->refreshes++;
}

static bool is_marked(const struct code_page *page, unsigned offset)
{
	return page->marked[offset / 64] >> offset % 64 & 1;
}

static void mark(struct code_page *page, unsigned offset, unsigned count)
{
	for (; count--; offset++)
		page->marked[offset / 64] |= BIT(offset % 64);
}

/* Before `count` bytes are decoded, as far as they are in the page: the copy has them as they are. */
static void page_take(struct code_page *page, unsigned offset, unsigned count)
{
	for (; page->is_loose && count-- && offset < PAGE_BYTES; offset++)
		if (!is_marked(page, offset))
			page->copy[offset] = page->host[offset];
}

static bool copy_differs(const struct code_page *page)
{
	if (!memcmp(page->copy, page->host, PAGE_BYTES))
		return false;
	if (!page->is_loose)
		return true;
	for (unsigned offset = 0; offset < PAGE_BYTES; offset++)
		if (is_marked(page, offset) && page->copy[offset] != page->host[offset])
			return true;
	return false;
}

/* Unless somebody else just has: an odd number would say then that nobody has write translations. */
static void make_stale(const struct code_page *page)
{
	uint32_t stamp = page->stamp;

	__atomic_compare_exchange_n(page->number, &stamp, stamp + 1, false, __ATOMIC_SEQ_CST,
				    __ATOMIC_SEQ_CST);
}

/* What there is now is not what blocks were decoded from, or will be. */
static bool page_differs(const struct vm *vm, struct code_page *page)
{
	uint64_t writes = memory_writes(vm);

	if (writes != UNKNOWN_WRITES && writes == page->writes)
		return false;
	if (copy_differs(page))
		return true;
	page->writes = writes;
	return false;
}

/*
 * Pages that are written beside their code over and over stay as they are, if it is one vCPU that
 * writes and runs: a write between marked bytes is let through, but not made easy for the next one.
 * After many the page is taken for one of data, until code in it runs again.
 */
bool interp_needs_to_know(struct vcpu *c, gpa_t gpa, unsigned bytes)
{
	enum { REFRESHES = 4, QUIET_WRITES = 1 << 20 };
	struct code_page *page = page_find(c->blocks, gpa & PAGE_MASK);
	unsigned offset = gpa & ~PAGE_MASK;

	if (!page || page->refreshes < REFRESHES || page->quiet_writes++ >= QUIET_WRITES)
		return true;
	for (; bytes-- && offset < PAGE_BYTES; offset++)
		if (is_marked(page, offset))
			return true;
	page->is_loose = true;
	return false;
}

/* The code page behind a linear address, checked in this epoch. */
static struct code_page *page_at(struct vcpu *c, gva_t address)
{
	struct block_cache *cache = c->blocks;
	gva_t tag = (address & PAGE_MASK) | !!(c->mode & MODE_USER);
	uint64_t epoch = c->code_epoch[code_half(c, address)];
	struct fetch_entry *e = &cache->fetch[address >> PAGE_SHIFT & (FETCH_ENTRIES - 1)];
	struct code_page *page;
	const uint8_t *host;
	uint32_t *number;
	unsigned bytes;
	gpa_t gpa;

	if (e->page == tag && e->epoch == epoch &&
	    __atomic_load_n(e->code->number, __ATOMIC_ACQUIRE) == e->code->stamp)
		return e->code;
	host = mmu_fetch(c, address, &bytes, &gpa, &number);
	if (!host)
		unwind_emulation_failure(c, "code outside memory slots");
	host -= address & ~PAGE_MASK;
	gpa &= PAGE_MASK;
	page = page_find(cache, gpa);
	if (!page) {
		page = page_add(cache, gpa);
		page->number = NULL;
		page->refreshes = 0;
	}
	if (page->number != number) { /* it may be of a slot that went before it had code */
		page->number = number;
		page->stamp = 0;
	}
	page->host = host;
	page->quiet_writes = 0;
	/* Even: nobody watches the page, or this record is new. */
	if (!(page->stamp & 1) || __atomic_load_n(number, __ATOMIC_ACQUIRE) != page->stamp) {
		page_refresh(c, page, host, epoch);
	} else if (page->epoch != epoch) {
		if (page_differs(c->vm, page)) {
			make_stale(page);
			page_refresh(c, page, host, epoch);
		}
		page->epoch = epoch;
	}
	*e = (struct fetch_entry){ .page = tag, .epoch = epoch, .code = page };
	return page;
}

bool interp_code_is(struct vcpu *c, gva_t address, gpa_t gpa, uint32_t stamp)
{
	struct code_page *page = page_find(c->blocks, gpa);
	uint64_t epoch = c->code_epoch[code_half(c, address)];

	if (!page || page->stamp != stamp || (page->epoch != epoch && page_differs(c->vm, page)))
		return false;
	page->epoch = epoch;
	note_seen(c, address);
	return true;
}

static struct block **block_bucket(struct block_cache *cache, gpa_t gpa, uint32_t mode)
{
	return &cache->hash[(gpa ^ gpa >> 14 ^ mode * 0x95) & (BLOCK_HASH - 1)];
}

static unsigned block_limit(const struct vcpu *c, unsigned wanted)
{
	return c->mode & MODE_STEP ? 1 : wanted;
}

static void finish_insn(struct vcpu *c, struct insn *i, const uint8_t *bytes)
{
	if (op_info(i->op)->flags & (OP_VECTOR | OP_X87))
		fpu_prepare(c, i, bytes);
}

/* Decodes into b->insns from `available` bytes; false if not even one instruction fits. */
static bool block_fill(struct vcpu *c, struct block *b, const uint8_t *bytes, unsigned available,
		       unsigned most)
{
	struct insn *i = b->insns;
	unsigned at = 0;

	b->count = 0;
	while (b->count < most && at < available && at <= BLOCK_BYTES) {
		i->start = at;
		if (!decode(c, bytes + at, available - at, c->mode, i))
			break;
		finish_insn(c, i, bytes + at);
		at += i->length;
		b->count++;
		if (op_info(i++->op)->flags & OP_ENDS_BLOCK)
			break;
	}
	b->bytes = at;
	if (b->count && log_wants(c, VM_LOG_IN_ASM))
		log_decoded(c, bytes, at, b->count);
	*i = (struct insn){ .exec = exec_block_end, .start = at, .modrm = 0xc0,
			    .base = GPR_ZERO, .index = GPR_ZERO };
	return b->count;
}

static void block_init(struct vcpu *c, struct block *b, const struct code_page *page, gpa_t gpa)
{
	*b = (struct block){ .gpa = gpa,
			     .gpa2 = page->gpa,
			     .mode = c->mode,
			     .stamp = page->stamp,
			     .stamp2 = page->stamp,
			     .number = page->number,
			     .number2 = page->number };
	for (unsigned n = 0; n < LINK_COUNT; n++)
		b->link[n].rip = BIT(62); /* no RIP is */
}

/* What was looked at to decode it: of what is no instruction more than it has bytes. */
static unsigned bytes_seen(const struct block *b)
{
	return b->bytes + (b->insns[b->count - 1].op ? 0 : 15);
}

/* The instruction at the end of one page and the start of the next. */
static void block_fill_crossing(struct vcpu *c, struct block *b, struct code_page *page,
				gva_t address)
{
	unsigned offset = address & ~PAGE_MASK, first = PAGE_BYTES - offset;
	struct code_page *second = page_at(c, (address & PAGE_MASK) + PAGE_BYTES);
	uint8_t bytes[32];

	page_take(second, 0, 16);
	memcpy(bytes, page->copy + offset, first);
	memcpy(bytes + first, second->copy, 16);
	b->crosses = true;
	b->gpa2 = second->gpa;
	b->number2 = second->number;
	b->stamp2 = second->stamp;
	block_fill(c, b, bytes, first + 16, 1);
	mark(second, 0, b->bytes > first ? b->bytes - first : 0);
}

/* The bytes it was decoded from, behind its instructions (not of crossing blocks). */
static uint8_t *block_source(struct block *b)
{
	return (uint8_t *)&b->insns[b->count + 1];
}

static struct block *block_make(struct vcpu *c, struct code_page *page, gva_t address)
{
	struct block_cache *cache = c->blocks;
	struct block *b = (struct block *)(cache->arena + cache->blocks_used), **bucket;
	unsigned offset = address & ~PAGE_MASK;
	gpa_t gpa = page->gpa + offset;
	size_t bytes;

	block_init(c, b, page, gpa);
	page_take(page, offset, BLOCK_BYTES + 15);
	if (!block_fill(c, b, page->copy + offset, PAGE_BYTES - offset, block_limit(c, BLOCK_INSNS)))
		block_fill_crossing(c, b, page, address);
	mark(page, offset, MIN(bytes_seen(b), PAGE_BYTES - offset));
	memcpy(block_source(b), page->copy + offset, b->crosses ? 0 : b->bytes);
	bytes = sizeof(*b) + (b->count + 1u) * sizeof(struct insn) + b->bytes;
	cache->blocks_used += ALIGN_UP(bytes, _Alignof(struct block));
	c->count_decoded++;
	bucket = block_bucket(cache, gpa, b->mode);
	b->hash_next = *bucket;
	*bucket = b;
	return b;
}

static bool block_matches(struct vcpu *c, const struct block *b, const struct code_page *page,
			  gva_t address)
{
	const struct code_page *second = page;

	if (b->gpa != page->gpa + (address & ~PAGE_MASK) || b->mode != c->mode ||
	    b->stamp != page->stamp || b->number != page->number)
		return false;
	if (b->crosses)
		second = page_at(c, (address & PAGE_MASK) + PAGE_BYTES);
	return b->gpa2 == second->gpa && b->stamp2 == second->stamp;
}

/* The page was written, but not these bytes: the block is good again. */
static bool block_revive(struct block *b, struct code_page *page)
{
	unsigned offset = b->gpa & ~PAGE_MASK;

	page_take(page, offset, b->bytes);
	if (b->crosses || b->number != page->number ||
	    memcmp(block_source(b), page->copy + (b->gpa & ~PAGE_MASK), b->bytes) != 0)
		return false;
	mark(page, offset, MIN(bytes_seen(b), PAGE_BYTES - offset));
	b->stamp = b->stamp2 = page->stamp;
	return true;
}

/* Blocks of the same place that can never be right again are forgotten on the way. */
static struct block *block_in_hash(struct vcpu *c, struct code_page *page, gva_t address)
{
	gpa_t gpa = page->gpa + (address & ~PAGE_MASK);
	struct block **link = block_bucket(c->blocks, gpa, c->mode), *b;

	while ((b = *link)) {
		if (b->gpa != gpa || b->mode != c->mode) {
			link = &b->hash_next;
			continue;
		}
		if (block_matches(c, b, page, address) || block_revive(b, page))
			return b;
		*link = b->hash_next;
	}
	return NULL;
}

const struct block *code_block_known(struct vcpu *c, const struct block *b, uint64_t rip)
{
	gpa_t gpa = (b->gpa & PAGE_MASK) | (rip & ~PAGE_MASK);
	const struct block *known = *block_bucket(c->blocks, gpa, b->mode);

	while (known && (known->gpa != gpa || known->mode != b->mode || known->crosses ||
			 known->number != b->number || known->stamp != b->stamp))
		known = known->hash_next;
	return known;
}

static gva_t code_address(const struct vcpu *c)
{
	return c->mode & MODE_CODE64 ? c->rip : (uint32_t)(c->seg[CS].base + c->rip);
}

/* For a block and three pages, which is the most that is made before the next look. */
static void make_room(struct vcpu *c)
{
	struct block_cache *cache = c->blocks;
	size_t room = c->jit ? ROOM_BESIDE_TRANSLATOR : PAGES_AT;

	if (cache->pages_used + 4 * sizeof(struct code_page) > ARENA_BYTES) {
		interp_flush(c);
	} else if (cache->blocks_used + MOST_OF_BLOCK > room) {
		drop_blocks(c);
		c->count_drops++;
	}
}

/*
 * Near the end of CS: one instruction, not kept, from the bytes the limit allows.
 * [SDM 3 5.3] a fetch beyond it is #GP.
 */
static struct block *block_at_limit(struct vcpu *c, gva_t address)
{
	struct block *b = (struct block *)c->blocks->limit_insns;
	uint32_t limit = c->seg[CS].limit;
	struct code_page *page;
	unsigned allowed, offset = address & ~PAGE_MASK;
	uint8_t bytes[16];

	if (c->rip > limit)
		raise_gp(c);
	make_room(c);
	allowed = (unsigned)MIN(limit - c->rip + 1, 15);
	page = page_at(c, address);
	block_init(c, b, page, page->gpa + offset);
	for (unsigned n = 0; n < allowed; n++) {
		if (offset + n == PAGE_BYTES)
			page = page_at(c, address + n);
		page_take(page, (offset + n) & ~PAGE_MASK, 1);
		bytes[n] = page->copy[(offset + n) & ~PAGE_MASK];
	}
	if (!block_fill(c, b, bytes, allowed, 1))
		raise_gp(c);
	return b;
}

bool code_is_near_limit(const struct vcpu *c)
{
	return !(c->mode & (MODE_FLAT | MODE_CODE64)) && c->rip + 256 + 15 > c->seg[CS].limit;
}

/* Address spaces often run the same code at the same place. */
static struct lookup_entry *lookup_at(struct vcpu *c, gva_t address)
{
	gva_t space = code_half(c, address) ? 0 : (gva_t)(c->space - c->spaces);

	return &c->blocks->lookup[(address ^ address >> 12 ^ space << 9) & (LOOKUP_ENTRIES - 1)];
}

NOINLINE static struct block *block_find_slowly(struct vcpu *c, gva_t address)
{
	struct code_page *page;
	struct block *b;

	make_room(c);
	page = page_at(c, address);
	b = block_in_hash(c, page, address);
	if (!b)
		b = block_make(c, page, address);
	*lookup_at(c, address) = (struct lookup_entry){
		address, c->code_epoch[code_half(c, address)], b
	};
	note_seen(c, address);
	if (b->crosses)
		note_seen(c, address + PAGE_BYTES);
	return b;
}

struct block *code_block_find(struct vcpu *c)
{
	gva_t address = code_address(c);
	const struct lookup_entry *e = lookup_at(c, address);

	c->insn = NULL; /* what unwinds from here is no instruction's fault */
	if (unlikely(code_is_near_limit(c)))
		return block_at_limit(c, address);
	if (likely(e->address == address && e->epoch == c->code_epoch[code_half(c, address)] &&
		   e->block->mode == c->mode && block_is_fresh(e->block) &&
		   *e->block->number2 == e->block->stamp2))
		return e->block;
	return block_find_slowly(c, address);
}
