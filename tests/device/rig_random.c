/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Random accesses for the rig: to every port and address that is claimed, to PCI configuration, with
 * random guest memory, input and time. A step is decoded from twelve bytes, so that the fuzzer and
 * the random test do the same things.
 */
#include "rig_internal.h"

#include "core/input.h"
#include "core/internal.h"

#include <stdio.h>

enum { STEP_BYTES = 12 };

struct step {
	uint8_t what, where, size, extra;
	uint32_t offset, value;
};

static uint64_t limit(uint64_t value, unsigned size)
{
	return bits_of(value, 0, 8 * size);
}

/* A claim by number, of ports or MMIO: by address, so that rig and twin choose the same. */
static const struct bus_segment *pick(struct bus_map *map, unsigned number)
{
	if (!map->segment_count)
		return NULL;
	return &map->segments[number % map->segment_count];
}

static uint64_t address_in(const struct bus_segment *segment, uint32_t offset)
{
	uint64_t size = segment->last - segment->first + 1;

	/* Mostly the first registers: large regions are mostly the same everywhere. */
	if (size > 64 && offset & 0x80000000)
		size = 64;
	return segment->first + offset % size;
}

static uint64_t access_bus(struct rig *rig, const struct step *s, bool is_port, bool write)
{
	struct bus_map *map = is_port ? &rig->board->ports : &rig->board->mmio;
	unsigned size = 1u << s->size % (is_port ? 3 : 4);
	const struct bus_segment *segment;
	uint64_t at;

	/* Makes the flat table current. */
	if (map->stale && is_port)
		board_port_read(rig->board, 0xffff, 1);
	else if (map->stale)
		board_mmio_read(rig->board, UINT64_MAX, 1);
	segment = pick(map, s->where);
	if (!segment)
		return 0;
	at = address_in(segment, s->offset);
	if (is_port && write)
		rig_out(rig, (uint16_t)at, size, limit(s->value * 0x100000001ull, size));
	else if (is_port)
		return rig_in(rig, (uint16_t)at, size);
	else if (write)
		rig_write(rig, at, size, limit(s->value * 0x100000001ull, size));
	else
		return rig_read(rig, at, size);
	return 0;
}

/* Small numbers, addresses of other pieces, anything: what rings and descriptors are made of. */
static void scribble(struct rig *rig, const struct step *s)
{
	uint32_t at = s->offset % 0x10000 & ~3u;
	uint32_t values[4] = { s->value, s->extra, s->value & 0xffff, s->offset & 0xfff0 };

	rig_poke(rig, at, &values[s->size & 3], 4);
}

static void deliver_frame(struct rig *rig, const struct step *s)
{
	uint8_t frame[2048];
	size_t bytes = s->offset % 1600 + 1;

	for (size_t i = 0; i < bytes; i++)
		frame[i] = (uint8_t)(s->value >> i % 4 * 8);
	if (s->extra & 1)
		memset(frame, 0xff, MIN(bytes, (size_t)6));
	rig_receive(rig, frame, bytes);
}

static uint64_t do_input(struct rig *rig, const struct step *s)
{
	switch (s->where % 5) {
	case 0:
		input_key(rig->board, s->value & 0xff, s->extra & 1);
		break;
	case 1:
		input_move(rig->board, (int8_t)s->value, (int8_t)(s->value >> 8), s->extra % 3 - 1);
		break;
	case 2:
		input_buttons(rig->board, s->value & 7);
		break;
	case 3:
		return rig_type(rig, s->extra % RIG_CHARDEVS, &s->value, 1 + s->size % 4);
	default:
		deliver_frame(rig, s);
	}
	return 0;
}

/* What processors and lines do to interrupt controllers, where the board has them. */
static uint64_t do_interrupt(struct rig *rig, const struct step *s)
{
	static const uint32_t requests[] = { 0x45414552, 0x4c455252, 0x53424152, 0xf5 };
	struct cpu_registers cpu = { 0 };

	switch (s->extra % 4) {
	case 0:
		irq_chips_take(rig->board, s->offset % 24, s->value & 1);
		return 0;
	case 1:
		board_eoi(rig->board, (uint8_t)s->value);
		return 0;
	case 2:
		cpu.rcx = s->offset % 8 ? 39 + s->offset % 3 : s->value; /* mostly known ones */
		cpu.rbx = s->value % 2 ? s->value % 6 : requests[s->value / 2 % 4];
		return backdoor_ask(rig->board, &cpu) ? cpu.rax ^ cpu.rbx << 8 ^ cpu.rcx << 16 : 1;
	default:
		return (uint64_t)board_take_intr(rig->board);
	}
}

static uint64_t do_step(struct rig *rig, const struct step *s)
{
	switch (s->what % 32) {
	case 0 ... 6:
		return access_bus(rig, s, true, false);
	case 7 ... 14:
		access_bus(rig, s, true, true);
		return 0;
	case 15 ... 18:
		return access_bus(rig, s, false, false);
	case 19 ... 22:
		access_bus(rig, s, false, true);
		return 0;
	case 23:
		return rig_config_read(rig, s->offset & 0xff & ~((1u << s->size % 3) - 1),
				       1u << s->size % 3);
	case 24:
		if (s->extra < 16) /* rarely: mostly BARs should stay where they are */
			rig_config_write(rig, s->offset & 0xff & ~((1u << s->size % 3) - 1),
					 1u << s->size % 3, s->value);
		return 0;
	case 25 ... 27:
		scribble(rig, s);
		return 0;
	case 28:
		return do_input(rig, s);
	case 29:
		rig_advance(rig, s->value % (10 * MILLISECOND));
		return 0;
	case 30:
		if (s->extra < 8)
			rig_advance(rig, s->value % SECOND);
		return 0;
	default:
		if (s->extra == 0)
			rig_map_bars(rig);
		return do_interrupt(rig, s);
	}
}

static void compare(struct rig *a, struct rig *b)
{
	for (unsigned gsi = 0; gsi < 24; gsi++) {
		CHECK_EQ(rig_irq(a, gsi), rig_irq(b, gsi));
		CHECK_EQ(a->edges[gsi], b->edges[gsi]);
	}
	CHECK_EQ(a->msi_count, b->msi_count);
	CHECK_EQ(a->board->intr, b->board->intr);
	for (unsigned i = 0; i < ARRAY_LEN(a->requests); i++)
		CHECK_EQ(a->requests[i], b->requests[i]);
	for (unsigned i = 0; i < RIG_CHARDEVS; i++)
		CHECK_EQ(a->chars[i].hash, b->chars[i].hash);
	for (unsigned i = 0; i < ARRAY_LEN(a->nets); i++) {
		CHECK_EQ(a->nets[i].count, b->nets[i].count);
		CHECK_EQ(a->nets[i].hash, b->nets[i].hash);
	}
	CHECK_EQ(board_next_deadline(a->board), board_next_deadline(b->board));
}

static uint32_t next_random(uint64_t *random)
{
	*random = *random * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(*random >> 32);
}

void rig_random_access(struct rig *rig, struct rig *twin, int accesses, uint32_t seed)
{
	uint64_t random = seed;

	for (int i = 0; i < accesses; i++) {
		uint32_t head = next_random(&random);
		struct step s = {
			.what = (uint8_t)head,
			.where = (uint8_t)(head >> 8),
			.size = (uint8_t)(head >> 16),
			.extra = (uint8_t)(head >> 24),
			.offset = next_random(&random),
			.value = next_random(&random),
		};
		uint64_t value = do_step(rig, &s);

		if (!twin)
			continue;
		CHECK_EQ(do_step(twin, &s), value);
		compare(rig, twin);
	}
	if (twin)
		CHECK_EQ(memcmp(rig_ram(rig), rig_ram(twin), 0x10000), 0);
}

size_t rig_fuzz(struct rig *rig, const uint8_t *bytes, size_t count)
{
	struct step s;

	if (count < STEP_BYTES)
		return count;
	s = (struct step){ .what = bytes[0], .where = bytes[1], .size = bytes[2],
			   .extra = bytes[3], .offset = load_le32(bytes + 4),
			   .value = load_le32(bytes + 8) };
	do_step(rig, &s);
	return STEP_BYTES;
}
