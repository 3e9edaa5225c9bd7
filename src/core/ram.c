/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Guest memory: pieces of RAM, what of them is shown where, KVM's memory slots, DMA by copy.
 *
 * Mappings may lie over one another; the later one is seen, BARs below all others. They come to a
 * sorted list without overlaps, which is both KVM's slots and what DMA looks addresses up in. Slots
 * that a change leaves alone are not touched, so other vCPUs do not see their memory go.
 *
 * The pages of a slot are marked dirty by KVM (once somebody has asked) and by DMA here.
 *
 * No KVM masks address bit 20. While the A20 gate is off its slots show the first megabyte a second
 * time where the second was, to processors only; there is always an edge at 2 MiB, so that no other
 * slot changes.
 * Not modelled: the other odd megabytes, which stay as they are.
 */
#include "core/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define A20     BIT(20)
#define A20_END (2 * A20)

static const struct slot *find_slot(const struct board *board, uint64_t gpa)
{
	size_t low = 0, high = board->memory_count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		const struct slot *slot = &board->memory[middle];

		if (gpa < slot->gpa)
			high = middle;
		else if (gpa - slot->gpa >= slot->bytes)
			low = middle + 1;
		else
			return slot;
	}
	return NULL;
}

static uint64_t writes;

const uint64_t *ram_writes(void)
{
	return &writes;
}

/* Something was written to RAM that vCPUs may have decoded code from. */
static void count_write(void)
{
	__atomic_fetch_add(&writes, 1, __ATOMIC_RELEASE);
}

static void mark(struct ram *ram, uint64_t offset, uint64_t bytes)
{
	if (!ram->dirty || !bytes)
		return;
	for (uint64_t page = offset / PAGE_BYTES; page <= (offset + bytes - 1) / PAGE_BYTES; page++)
		ram->dirty[page / 64] |= BIT(page % 64);
}

static void collect_dirty(struct board *board, const struct slot *slot)
{
	struct ram *ram = slot->ram;
	size_t pages = slot->bytes / PAGE_BYTES, first = slot->offset / PAGE_BYTES;
	uint64_t *bits;
	struct kvm_dirty_log log = { .slot = slot->number };

	if (!board->vm || !slot->logged || !ram->dirty)
		return;
	bits = must_alloc((pages + 63) / 64 * 8);
	log.dirty_bitmap = bits;
	if (kvm_ioctl(board->vm, KVM_GET_DIRTY_LOG, &log) >= 0) {
		for (size_t i = 0; i < pages; i++)
			if (bits[i / 64] & BIT(i % 64))
				ram->dirty[(first + i) / 64] |= BIT((first + i) % 64);
	}
	free(bits);
}

static int tell_kvm(struct board *board, const struct slot *slot, bool present)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot->number,
		.flags = (slot->read_only ? KVM_MEM_READONLY : 0) |
			 (slot->logged ? KVM_MEM_LOG_DIRTY_PAGES : 0),
		.guest_phys_addr = slot->gpa,
		.memory_size = present ? slot->bytes : 0,
		.userspace_addr = (uintptr_t)slot->ram->memory.host + slot->offset,
	};
	long code;

	if (!board->vm)
		return 0;
	code = kvm_ioctl(board->vm, KVM_SET_USER_MEMORY_REGION, &region);
	if (code < 0)
		log_line("memory slot %u (%#" PRIx64 "+%#" PRIx64 ") failed: %s", slot->number,
			 slot->gpa, slot->bytes, strerror((int)-code));
	return (int)code;
}

static unsigned take_slot_number(struct board *board)
{
	for (unsigned i = 0; i < board->slot_limit; i++) {
		if (!(board->slots_used[i / 64] & BIT(i % 64))) {
			board->slots_used[i / 64] |= BIT(i % 64);
			return i;
		}
	}
	return UINT32_MAX;
}

static void give_slot_number(struct board *board, unsigned number)
{
	board->slots_used[number / 64] &= ~BIT(number % 64);
}

static bool shows_the_same(const struct slot *a, const struct slot *b)
{
	return a->ram == b->ram && a->gpa == b->gpa && a->offset == b->offset &&
	       a->bytes == b->bytes && a->read_only == b->read_only;
}

static int compare_addresses(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static const struct mapping *topmost(const struct board *board, uint64_t gpa)
{
	const struct mapping *top = NULL;

	for (const struct mapping *m = board->mappings; m; m = m->next) {
		if (gpa < m->gpa || gpa - m->gpa >= m->bytes)
			continue;
		if (!top || (top->is_bar && !m->is_bar) ||
		    (top->is_bar == m->is_bar && m->order > top->order))
			top = m;
	}
	return top;
}

/* What the mappings come to; returns how many slots. */
static size_t flatten(const struct board *board, struct slot **slots)
{
	size_t mapping_count = 0, edge_count = 0, count = 0;
	const struct mapping *last = NULL;
	uint64_t *edges;

	for (const struct mapping *m = board->mappings; m; m = m->next)
		mapping_count++;
	edges = must_alloc((2 * mapping_count + 1) * sizeof(*edges));
	for (const struct mapping *m = board->mappings; m; m = m->next) {
		edges[edge_count++] = m->gpa;
		edges[edge_count++] = m->gpa + m->bytes;
	}
	edges[edge_count++] = A20_END;
	qsort(edges, edge_count, sizeof(*edges), compare_addresses);
	*slots = must_alloc((edge_count + 1) * sizeof(**slots));
	for (size_t e = 0; e + 1 < edge_count; e++) {
		const struct mapping *top;

		if (edges[e] == edges[e + 1])
			continue;
		top = topmost(board, edges[e]);
		if (top && top == last && count && edges[e] != A20_END &&
		    (*slots)[count - 1].gpa + (*slots)[count - 1].bytes == edges[e]) {
			(*slots)[count - 1].bytes += edges[e + 1] - edges[e];
		} else if (top) {
			(*slots)[count++] = (struct slot){
				.ram = top->ram,
				.gpa = edges[e],
				.offset = top->offset + (edges[e] - top->gpa),
				.bytes = edges[e + 1] - edges[e],
				.read_only = top->read_only,
				.logged = top->ram->dirty != NULL,
				.number = UINT32_MAX,
			};
		}
		last = top;
	}
	free(edges);
	return count;
}

/* The part of a slot within [first, end), moved by `by`. False: there is none. */
static bool cut(const struct slot *slot, uint64_t first, uint64_t end, uint64_t by,
		struct slot *part)
{
	uint64_t from = MAX(slot->gpa, first), to = MIN(slot->gpa + slot->bytes, end);

	if (from >= to)
		return false;
	*part = *slot;
	part->gpa = from + by;
	part->offset += from - slot->gpa;
	part->bytes = to - from;
	return true;
}

/* What processors see of `memory`; returns how many slots. */
static size_t gate_a20(const struct board *board, struct slot **slots)
{
	size_t count = 0;
	struct slot *out = must_alloc((3 * board->memory_count + 1) * sizeof(*out));

	for (size_t i = 0; i < board->memory_count; i++) {
		const struct slot *slot = &board->memory[i];

		if (!board->a20_off) {
			out[count++] = *slot;
			continue;
		}
		count += cut(slot, 0, A20, 0, &out[count]);
		count += cut(slot, 0, A20, A20, &out[count]);
		count += cut(slot, A20_END, UINT64_MAX, 0, &out[count]);
	}
	*slots = out;
	return count;
}

/* Brings KVM to what the mappings say: first what goes, then what comes. */
static int commit(struct board *board)
{
	struct slot *old = board->slots, *new;
	size_t old_count = board->slot_count, count;
	int code = 0;

	free(board->memory);
	board->memory_count = flatten(board, &board->memory);
	count = gate_a20(board, &new);
	for (size_t i = 0; i < old_count; i++) {
		for (size_t n = 0; n < count && old[i].number != UINT32_MAX; n++) {
			if (new[n].number == UINT32_MAX && shows_the_same(&old[i], &new[n])) {
				new[n].number = old[i].number;
				if (new[n].logged != old[i].logged)
					tell_kvm(board, &new[n], true);
				old[i].number = UINT32_MAX;
			}
		}
		if (old[i].number == UINT32_MAX)
			continue;
		collect_dirty(board, &old[i]);
		tell_kvm(board, &old[i], false);
		give_slot_number(board, old[i].number);
	}
	for (size_t n = 0; n < count; n++) {
		int result;

		if (new[n].number != UINT32_MAX)
			continue;
		new[n].number = take_slot_number(board);
		if (new[n].number == UINT32_MAX) {
			log_line("no memory slot left");
			code = -ENOSPC;
			continue;
		}
		result = tell_kvm(board, &new[n], true);
		if (result < 0)
			code = result;
	}
	board->slots = new;
	board->slot_count = count;
	free(old);
	return code;
}

static struct ram *new_ram(struct board *board, struct dev *dev, const char *name, uint64_t bytes,
			   struct err *err)
{
	struct ram *ram;
	int code;

	if (!bytes || bytes > BIT(46)) {
		fail(err, EINVAL, "memory \"%s\" cannot have %" PRIu64 " bytes", name, bytes);
		return NULL;
	}
	ram = must_alloc(sizeof(*ram));
	code = shared_memory_open(&ram->memory, name, ALIGN_UP(bytes, PAGE_BYTES));
	if (code) {
		fail(err, -code, "cannot get %" PRIu64 " bytes of memory for \"%s\": %s", bytes, name,
		     strerror(-code));
		free(ram);
		return NULL;
	}
	ram->board = board;
	ram->dev = dev;
	ram->name = dev ? must_format("%s/%s", dev->id, name) : must_strdup(name);
	*board->rams_end = ram;
	board->rams_end = &ram->next;
	return ram;
}

struct ram *ram_new(struct dev *dev, const char *name, uint64_t bytes, struct err *err)
{
	return new_ram(dev->board, dev, name, bytes, err);
}

struct ram *board_ram_new(struct board *board, const char *name, uint64_t bytes, struct err *err)
{
	struct ram *ram;

	board_lock(board);
	ram = new_ram(board, NULL, name, bytes, err);
	board_unlock(board);
	return ram;
}

struct ram *board_ram_next(struct board *board, struct ram *after)
{
	return after ? after->next : board->rams;
}

const char *ram_name(const struct ram *ram)
{
	return ram->name;
}

void *ram_host(struct ram *ram)
{
	return ram->memory.host;
}

uint64_t ram_size(const struct ram *ram)
{
	return ram->memory.bytes;
}

void ram_clear(struct ram *ram)
{
	shared_memory_clear(&ram->memory);
	mark(ram, 0, ram->memory.bytes);
	count_write();
}

void ram_free(struct ram *ram)
{
	struct board *board = ram->board;
	struct mapping **at = &board->mappings;
	struct ram **link = &board->rams;

	while (*at) {
		struct mapping *mapping = *at;

		if (mapping->ram == ram) {
			*at = mapping->next;
			free(mapping);
		} else {
			at = &mapping->next;
		}
	}
	commit(board);
	while (*link != ram)
		link = &(*link)->next;
	*link = ram->next;
	if (!*link)
		board->rams_end = link;
	shared_memory_close(&ram->memory);
	free(ram->dirty);
	free(ram->name);
	free(ram);
}

void ram_free_of(struct board *board, struct dev *dev)
{
	struct ram *next;

	for (struct ram *ram = board->rams; ram; ram = next) {
		next = ram->next;
		if (ram->dev == dev)
			ram_free(ram);
	}
}

static int map(struct ram *ram, const struct mapping *like)
{
	struct board *board = ram->board;
	struct mapping *mapping = must_alloc(sizeof(*mapping));

	*mapping = *like;
	mapping->ram = ram;
	mapping->order = board->order++;
	mapping->next = board->mappings;
	board->mappings = mapping;
	return commit(board);
}

int ram_map(struct ram *ram, uint64_t offset, uint64_t gpa, uint64_t bytes, bool read_only,
	    struct err *err)
{
	struct mapping like = { .gpa = gpa, .offset = offset, .bytes = bytes,
				.read_only = read_only };
	int code;

	if (((offset | gpa | bytes) & ~PAGE_MASK) || !bytes || offset > ram->memory.bytes ||
	    bytes > ram->memory.bytes - offset || gpa + bytes < gpa)
		return fail(err, EINVAL, "memory \"%s\" cannot show %#" PRIx64 "+%#" PRIx64
			    " at %#" PRIx64, ram->name, offset, bytes, gpa);
	board_lock(ram->board);
	code = map(ram, &like);
	board_unlock(ram->board);
	if (code < 0)
		return fail(err, -code, "KVM refused memory \"%s\" at %#" PRIx64 ": %s", ram->name,
			    gpa, strerror(-code));
	return 0;
}

int ram_map_bar(struct ram *ram, uint64_t gpa, uint64_t bytes, bool read_only)
{
	struct mapping like = { .gpa = gpa, .bytes = bytes, .read_only = read_only,
				.is_bar = true };

	return map(ram, &like);
}

void ram_unmap(struct ram *ram, uint64_t gpa)
{
	struct board *board = ram->board;
	struct mapping **at = &board->mappings;

	board_lock(board);
	while (*at && ((*at)->ram != ram || (*at)->gpa != gpa))
		at = &(*at)->next;
	if (*at) {
		struct mapping *mapping = *at;

		*at = mapping->next;
		free(mapping);
		commit(board);
	}
	board_unlock(board);
}

void ram_mark_dirty(struct ram *ram, uint64_t offset, uint64_t bytes)
{
	if (offset < ram->memory.bytes)
		mark(ram, offset, MIN(bytes, ram->memory.bytes - offset));
	count_write();
}

void ram_load_cleared(struct ram *ram)
{
	mark(ram, 0, ram->memory.bytes);
	count_write();
}

void ram_take_dirty(struct ram *ram, void (*each)(struct dev *, uint64_t offset, uint64_t bytes),
		    struct dev *dev)
{
	struct board *board = ram->board;
	size_t pages = ram->memory.bytes / PAGE_BYTES;

	if (!ram->dirty) {
		ram->dirty = must_alloc((pages + 63) / 64 * 8);
		commit(board); /* turns KVM's log on */
		mark(ram, 0, ram->memory.bytes);
	}
	for (size_t i = 0; i < board->slot_count; i++)
		if (board->slots[i].ram == ram)
			collect_dirty(board, &board->slots[i]);
	for (size_t page = 0; page < pages;) {
		size_t first = page;

		if (page % 64 == 0 && !ram->dirty[page / 64]) {
			page += 64;
			continue;
		}
		while (page < pages && ram->dirty[page / 64] & BIT(page % 64)) {
			ram->dirty[page / 64] &= ~BIT(page % 64);
			page++;
		}
		if (page > first)
			each(dev, first * PAGE_BYTES, (page - first) * PAGE_BYTES);
		else
			page++;
	}
}

/* Up to *bytes that lie together in the host too. */
void *ram_find(struct board *board, uint64_t gpa, size_t *bytes, bool will_write)
{
	const struct slot *slot = find_slot(board, gpa), *end = board->memory + board->memory_count;
	uint64_t there;
	uint8_t *host;

	if (!slot || (will_write && slot->read_only))
		return NULL;
	host = slot->ram->memory.host + slot->offset + (gpa - slot->gpa);
	there = slot->bytes - (gpa - slot->gpa);
	if (will_write)
		mark(slot->ram, slot->offset + (gpa - slot->gpa), MIN(there, *bytes));
	while (there < *bytes && slot + 1 < end && slot[1].ram == slot->ram &&
	       slot[1].gpa == slot->gpa + slot->bytes &&
	       slot[1].offset == slot->offset + slot->bytes &&
	       !(will_write && slot[1].read_only)) {
		slot++;
		if (will_write)
			mark(slot->ram, slot->offset, MIN(slot->bytes, *bytes - there));
		there += slot->bytes;
	}
	*bytes = MIN(*bytes, there);
	return host;
}

static int copy(struct board *board, uint64_t gpa, void *buffer, size_t bytes, bool write)
{
	uint8_t *at = buffer;

	while (bytes) {
		size_t now = bytes;
		void *host = ram_find(board, gpa, &now, write);

		if (!host)
			return -EFAULT;
		if (write) {
			memcpy(host, at, now);
			count_write();
		} else {
			memcpy(at, host, now);
		}
		at += now, gpa += now, bytes -= now;
	}
	return 0;
}

void board_set_a20(struct board *board, bool on)
{
	if (board->a20_off == !on)
		return;
	board->a20_off = !on;
	commit(board);
}

void a20_set(struct dev *dev, bool on)
{
	board_set_a20(dev->board, on);
}

bool board_a20(const struct board *board)
{
	return !board->a20_off;
}

bool a20_is_on(const struct dev *dev)
{
	return board_a20(dev->board);
}

uint64_t a20_mask(const struct board *board, uint64_t gpa)
{
	return board->a20_off && gpa < A20_END ? gpa & ~A20 : gpa;
}

int board_memory_read(struct board *board, uint64_t gpa, void *to, size_t bytes)
{
	int code;

	board_lock(board);
	code = copy(board, gpa, to, bytes, false);
	board_unlock(board);
	return code;
}

int board_memory_write(struct board *board, uint64_t gpa, const void *from, size_t bytes)
{
	int code;

	board_lock(board);
	code = copy(board, gpa, (void *)from, bytes, true);
	board_unlock(board);
	return code;
}

int board_rom_write(struct board *board, uint64_t gpa, const void *from, size_t bytes)
{
	const uint8_t *at = from;
	int code = 0;

	board_lock(board);
	while (bytes && !code) {
		const struct slot *slot = find_slot(board, gpa);
		size_t now;

		if (!slot) {
			code = -EFAULT;
			break;
		}
		now = MIN(bytes, slot->bytes - (gpa - slot->gpa));
		memcpy(slot->ram->memory.host + slot->offset + (gpa - slot->gpa), at, now);
		mark(slot->ram, slot->offset + (gpa - slot->gpa), now);
		count_write();
		at += now, gpa += now, bytes -= now;
	}
	board_unlock(board);
	return code;
}

int dma_read(struct dev *dev, uint64_t gpa, void *to, size_t bytes)
{
	int code = copy(dev->board, gpa, to, bytes, false);

	if (code)
		guest_error(dev, "reads %#" PRIx64 ", where there is no memory", gpa);
	return code;
}

int dma_write(struct dev *dev, uint64_t gpa, const void *from, size_t bytes)
{
	int code = copy(dev->board, gpa, (void *)from, bytes, true);

	if (code)
		guest_error(dev, "writes %#" PRIx64 ", where there is no RAM", gpa);
	return code;
}

void *dma_map(struct dev *dev, uint64_t gpa, size_t *bytes, bool will_write)
{
	void *host = *bytes ? ram_find(dev->board, gpa, bytes, will_write) : NULL;

	if (!host)
		guest_error(dev, "addresses %#" PRIx64 ", where there is no memory", gpa);
	return host;
}

void dma_unmap(struct dev *dev, void *host, size_t bytes, bool wrote)
{
	count_write(); /* whoever failed, or wrote little, may have written more */
	if (!wrote)
		return;
	for (struct ram *ram = dev->board->rams; ram; ram = ram->next) {
		size_t offset = (size_t)((uint8_t *)host - ram->memory.host);

		if ((uint8_t *)host >= ram->memory.host && offset < ram->memory.bytes)
			ram_mark_dirty(ram, offset, bytes);
	}
}
