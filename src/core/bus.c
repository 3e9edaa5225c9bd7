/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ports and MMIO: who has claimed what, and the way of an access to its handler.
 *
 * Claims may lie over one another, so they are flattened into segments, sorted by address and
 * rebuilt when a claim came or went; an access is a binary search. BARs lie below fixed claims: a
 * guest that puts one over a legacy device changes nothing for that device.
 */
#include "core/internal.h"

#include <errno.h>
#include <stdlib.h>

uint64_t read_as_ones(struct dev *dev, uint64_t offset, unsigned size)
{
	(void)dev, (void)offset;
	return UINT64_MAX >> (64 - 8 * size);
}

uint64_t read_as_zero(struct dev *dev, uint64_t offset, unsigned size)
{
	(void)dev, (void)offset, (void)size;
	return 0;
}

void ignore_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	(void)dev, (void)offset, (void)size, (void)value;
}

static struct bus_map *map_of(struct claim *claim)
{
	return claim->is_port ? &claim->dev->board->ports : &claim->dev->board->mmio;
}

static bool covers(const struct claim *claim, uint64_t address)
{
	return address >= claim->base && address - claim->base < claim->size;
}

/* Fixed claims over BARs, then the later over the earlier. */
static bool lies_over(const struct claim *a, const struct claim *b)
{
	if (a->is_bar != b->is_bar)
		return b->is_bar;
	return a->order > b->order;
}

static int compare_addresses(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void flatten(struct bus_map *map)
{
	size_t edge_count = 0;
	uint64_t *edges = must_alloc(2 * map->claim_count * sizeof(*edges));

	for (size_t i = 0; i < map->claim_count; i++) {
		edges[edge_count++] = map->claims[i]->base;
		edges[edge_count++] = map->claims[i]->base + map->claims[i]->size;
	}
	qsort(edges, edge_count, sizeof(*edges), compare_addresses);
	map->segments = must_realloc(map->segments, (edge_count + 1) * sizeof(*map->segments));
	map->segment_count = 0;
	for (size_t e = 0; e + 1 < edge_count; e++) {
		struct claim *top = NULL;

		if (edges[e] == edges[e + 1])
			continue;
		for (size_t i = 0; i < map->claim_count; i++)
			if (covers(map->claims[i], edges[e]) &&
			    (!top || lies_over(map->claims[i], top)))
				top = map->claims[i];
		if (top)
			map->segments[map->segment_count++] = (struct bus_segment){
				.first = edges[e], .last = edges[e + 1] - 1, .claim = top
			};
	}
	free(edges);
	map->stale = false;
}

static struct claim *look_up(struct bus_map *map, uint64_t address)
{
	size_t low = 0, high;

	if (map->stale)
		flatten(map);
	high = map->segment_count;
	while (low < high) {
		size_t middle = (low + high) / 2;

		if (address > map->segments[middle].last)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < map->segment_count && address >= map->segments[low].first)
		return map->segments[low].claim;
	return NULL;
}

struct claim *bus_claim(struct dev *dev, bool is_port, const struct region *region, uint64_t base,
			uint64_t size, bool is_bar)
{
	struct claim *claim = must_alloc(sizeof(*claim));
	struct bus_map *map;

	*claim = (struct claim){ .region = region, .dev = dev, .base = base, .size = size,
				 .order = dev->board->order++, .is_port = is_port,
				 .is_bar = is_bar, .next = dev->claims };
	dev->claims = claim;
	map = map_of(claim);
	if (map->claim_count == map->claim_room) {
		map->claim_room = 2 * map->claim_room + 16;
		map->claims = must_realloc(map->claims, map->claim_room * sizeof(*map->claims));
	}
	map->claims[map->claim_count++] = claim;
	map->stale = true;
	return claim;
}

void bus_release(struct claim *claim)
{
	struct bus_map *map = map_of(claim);
	struct claim **at = &claim->dev->claims;

	while (*at != claim)
		at = &(*at)->next;
	*at = claim->next;
	for (size_t i = 0; i < map->claim_count; i++)
		if (map->claims[i] == claim)
			map->claims[i] = map->claims[--map->claim_count];
	map->stale = true;
	free(claim);
}

void bus_release_all(struct dev *dev)
{
	while (dev->claims)
		bus_release(dev->claims);
}

void bus_map_free(struct bus_map *map)
{
	free(map->claims);
	free(map->segments);
}

static bool inside(uint64_t base, uint64_t size, const struct claim *c)
{
	return base >= c->base && size < c->size && base - c->base <= c->size - size;
}

static int check_claim(struct dev *dev, struct bus_map *map, const struct region *region,
		       uint64_t base, uint64_t size, struct err *err)
{
	if (!size || !is_power_of_two(region->min_size) || !is_power_of_two(region->max_size) ||
	    region->max_size > 8 || region->min_size > region->max_size ||
	    size % region->min_size || !region->read || !region->write)
		return fail(err, EINVAL, "region \"%s\" is not well formed", region->name);
	for (size_t i = 0; i < map->claim_count; i++) {
		const struct claim *c = map->claims[i];

		if (c->is_bar || base >= c->base + c->size || c->base >= base + size ||
		    inside(base, size, c))
			continue;
		return fail(err, EBUSY, "%s %#llx-%#llx of %s: %s has %#llx-%#llx",
			    map == &dev->board->ports ? "ports" : "addresses",
			    (unsigned long long)base, (unsigned long long)(base + size - 1),
			    dev->class->name, c->dev->id, (unsigned long long)c->base,
			    (unsigned long long)(c->base + c->size - 1));
	}
	return 0;
}

int claim_ports(struct dev *dev, const struct region *region, uint16_t base, uint32_t count,
		struct err *err)
{
	int code;

	if (base + (uint64_t)count > 0x10000)
		return fail(err, ERANGE, "ports %#x+%u are past the end", base, count);
	code = check_claim(dev, &dev->board->ports, region, base, count, err);
	if (!code)
		bus_claim(dev, true, region, base, count, false);
	return code;
}

int claim_mmio(struct dev *dev, const struct region *region, uint64_t gpa, uint64_t size,
	       struct err *err)
{
	int code;

	if (gpa + size < gpa)
		return fail(err, ERANGE, "addresses %#llx+%#llx are past the end",
			    (unsigned long long)gpa, (unsigned long long)size);
	code = check_claim(dev, &dev->board->mmio, region, gpa, size, err);
	if (!code)
		bus_claim(dev, false, region, gpa, size, false);
	return code;
}

static void release_region(struct dev *dev, const struct region *region, bool is_port)
{
	struct claim *next;

	for (struct claim *claim = dev->claims; claim; claim = next) {
		next = claim->next;
		if (claim->region == region && claim->is_port == is_port)
			bus_release(claim);
	}
}

void release_ports(struct dev *dev, const struct region *region)
{
	release_region(dev, region, true);
}

void release_mmio(struct dev *dev, const struct region *region)
{
	release_region(dev, region, false);
}

/* Accesses of 3, 5, 6 or 7 bytes exist too: what is left of one that crosses a page. */
static unsigned next_step(unsigned left, unsigned most)
{
	while (most > left)
		most /= 2;
	return most;
}

/* An access that is whole inside one claim, in pieces the region allows. Handlers may release the
 * claim: nothing of it is read after the first call. */
static uint64_t read_claim(const struct claim *claim, uint64_t offset, unsigned size)
{
	const struct region *region = claim->region;
	struct dev *dev = claim->dev;
	uint64_t value = 0;
	unsigned step;

	if (size < region->min_size || offset % region->min_size) {
		uint64_t start = ALIGN_DOWN(offset, region->min_size);
		unsigned shift = 8 * (unsigned)(offset - start);
		uint64_t end = offset + size;

		for (uint64_t at = start; at < end; at += region->min_size) {
			uint64_t part = region->read(dev, at, region->min_size);

			if (at == start)
				value = part >> shift;
			else
				value |= part << (8 * (at - start) - shift);
		}
		return bits_of(value, 0, 8 * size);
	}
	for (unsigned done = 0; done < size; done += step) {
		step = next_step(size - done, region->max_size);
		value |= bits_of(region->read(dev, offset + done, step), 0, 8 * step) << 8 * done;
	}
	return value;
}

static void write_claim(const struct claim *claim, uint64_t offset, unsigned size, uint64_t value)
{
	const struct region *region = claim->region;
	struct dev *dev = claim->dev;
	unsigned step;

	if (size < region->min_size || offset % region->min_size) {
		while (size) { /* read, replace the bytes, write */
			uint64_t start = ALIGN_DOWN(offset, region->min_size);
			unsigned skip = (unsigned)(offset - start);
			unsigned bytes = MIN(size, region->min_size - skip);
			uint64_t mask = bits_of(UINT64_MAX, 0, 8 * bytes) << 8 * skip;
			uint64_t old = region->read(dev, start, region->min_size);

			region->write(dev, start, region->min_size,
				      (old & ~mask) | (value << 8 * skip & mask));
			offset += bytes, size -= bytes;
			value = bytes < 8 ? value >> 8 * bytes : 0;
		}
		return;
	}
	for (unsigned done = 0; done < size; done += step) {
		step = next_step(size - done, region->max_size);
		region->write(dev, offset + done, step, bits_of(value >> 8 * done, 0, 8 * step));
	}
}

static uint64_t bus_read(struct bus_map *map, uint64_t address, unsigned size)
{
	struct claim *claim = look_up(map, address);
	uint64_t value = 0;

	if (claim && size <= claim->size - (address - claim->base))
		return read_claim(claim, address - claim->base, size);
	if (!claim && size == 1)
		return 0xff;
	for (unsigned i = 0; i < size; i++) { /* it crosses an edge: byte by byte */
		uint64_t byte = 0xff;

		claim = look_up(map, address + i);
		if (claim)
			byte = read_claim(claim, address + i - claim->base, 1);
		value |= byte << 8 * i;
	}
	return value;
}

static void bus_write(struct bus_map *map, uint64_t address, unsigned size, uint64_t value)
{
	struct claim *claim = look_up(map, address);

	if (claim && size <= claim->size - (address - claim->base)) {
		write_claim(claim, address - claim->base, size, bits_of(value, 0, 8 * size));
		return;
	}
	for (unsigned i = 0; i < size; i++) {
		claim = look_up(map, address + i);
		if (claim)
			write_claim(claim, address + i - claim->base, 1, value >> 8 * i & 0xff);
	}
}

uint64_t board_port_read(struct board *board, uint16_t port, unsigned size)
{
	uint64_t value;

	board_lock(board);
	value = bus_read(&board->ports, port, size);
	board_unlock(board);
	return value;
}

void board_port_write(struct board *board, uint16_t port, unsigned size, uint64_t value)
{
	board_lock(board);
	bus_write(&board->ports, port, size, value);
	board_unlock(board);
}

uint64_t board_mmio_read(struct board *board, uint64_t gpa, unsigned size)
{
	uint64_t value;

	board_lock(board);
	value = bus_read(&board->mmio, gpa, size);
	board_unlock(board);
	return value;
}

void board_mmio_write(struct board *board, uint64_t gpa, unsigned size, uint64_t value)
{
	board_lock(board);
	bus_write(&board->mmio, gpa, size, value);
	board_unlock(board);
}
