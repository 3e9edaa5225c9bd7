/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * High precision event timer: a 100 MHz counter and three comparators.
 *
 * The counter is guest time divided by ten while it runs. Each comparator has a timer of the core at
 * the moment it matches; a periodic one moves its comparator on by whole periods, computed, not
 * counted, so a guest that was away or asks for a tiny period costs nothing extra. One whose match nobody
 * could notice has no timer: it is moved on when somebody asks.
 *
 * Manual: Intel, IA-PC HPET specification 1.0a; section names in [brackets].
 * Not modelled: more than three comparators; periods under 10 us are interrupted every 10 us only.
 */
#include "core/dev.h"

#include <errno.h>

enum { TIMERS = 3, REGION_BYTES = 0x400, TIMER_BASE = 0x100, TIMER_BYTES = 0x20 };
enum { REG_CAPABILITIES = 0x00, REG_CONFIG = 0x10, REG_STATUS = 0x20, REG_COUNTER = 0xf0 };
enum { TIMER_CONFIG = 0, TIMER_COMPARATOR = 8, TIMER_FSB = 16 };

enum { CONFIG_RUN = 1, CONFIG_LEGACY = 2 };

enum {
	T_LEVEL = 0x02, T_ENABLE = 0x04, T_PERIODIC = 0x08, T_CAN_PERIODIC = 0x10, T_CAN_64 = 0x20,
	T_SET_ACCUMULATOR = 0x40, T_32BIT = 0x100, T_ROUTE = 0x3e00, T_ROUTE_SHIFT = 9,
	T_FSB = 0x4000, T_CAN_FSB = 0x8000, T_WRITABLE = 0x7f4e,
};

#define TICK_NS        10ull
#define PERIOD_FS      (TICK_NS * 1000000)
#define REST_NS        (10 * MICROSECOND) /* at least this long between interrupts of one timer */
#define BASE           0xfed00000ull
#define ROUTES         0x00ff0000ull /* IOAPIC pins that no ISA device has */

struct comparator {
	uint64_t config; /* without the read-only bits */
	uint64_t comparator, period, fsb;
	uint64_t since; /* while it is silent: the counter when the comparator was right */
	struct timer timer;
};

struct hpet {
	struct dev dev;
	bool msi;

	uint64_t config, status;
	uint64_t counter;  /* its value when it was last started, stopped or written */
	uint64_t start_ns; /* guest time at which it was `counter`, while it runs */
	struct comparator timers[TIMERS];

	uint64_t interrupts;
};

static const struct field comparator_fields[] = {
	STATE(struct comparator, config, .max = T_WRITABLE),
	STATE(struct comparator, comparator),
	STATE(struct comparator, period),
	STATE(struct comparator, fsb),
	STATE(struct comparator, since, .since = 1),
	STATE(struct comparator, timer),
	{ 0 }
};

static const struct field hpet_fields[] = {
	SETTING(struct hpet, msi, .help = "comparators can send messages"),
	STATE(struct hpet, config, .max = 3),
	STATE(struct hpet, status, .max = BIT(TIMERS) - 1),
	STATE(struct hpet, counter),
	STATE(struct hpet, start_ns),
	STATE_STRUCTS(struct hpet, timers, comparator_fields),
	COUNTER(struct hpet, interrupts, .help = "interrupts raised"),
	{ 0 }
};

static struct hpet *to_hpet(struct dev *dev)
{
	return container_of(dev, struct hpet, dev);
}

static bool runs(const struct hpet *h)
{
	return h->config & CONFIG_RUN;
}

static uint64_t counter_now(const struct hpet *h)
{
	return runs(h) ? h->counter + (dev_now(&h->dev) - h->start_ns) / TICK_NS : h->counter;
}

static bool is_32bit(const struct comparator *t)
{
	return t->config & T_32BIT;
}

/* [Legacy replacement] timers 0 and 1 take the places of the PIT and the clock. */
static int route(const struct hpet *h, unsigned number)
{
	unsigned line = (h->timers[number].config & T_ROUTE) >> T_ROUTE_SHIFT;

	if (h->config & CONFIG_LEGACY && number < 2)
		return number ? 8 : 0;
	return ROUTES & BIT(line) ? (int)line : -1;
}

static void drive_lines(struct hpet *h)
{
	uint64_t high = 0;

	for (unsigned i = 0; i < TIMERS; i++)
		if (h->status & BIT(i) && h->timers[i].config & T_ENABLE && route(h, i) >= 0)
			high |= BIT(route(h, i));
	irq_set(&h->dev, 0, high & BIT(0));
	irq_set(&h->dev, 8, high & BIT(8));
	for (unsigned line = 16; line < 24; line++)
		irq_set(&h->dev, line, high & BIT(line));
}

static void raise(struct hpet *h, unsigned number)
{
	struct comparator *t = &h->timers[number];

	if (t->config & T_LEVEL)
		h->status |= BIT(number); /* also when it is not enabled */
	if (!(t->config & T_ENABLE))
		return;
	h->interrupts++;
	if (h->msi && t->config & T_FSB)
		msi_send(&h->dev, t->fsb >> 32, (uint32_t)t->fsb);
	else if (t->config & T_LEVEL)
		drive_lines(h);
	else if (route(h, number) >= 0)
		irq_pulse(&h->dev, (unsigned)route(h, number));
}

static bool is_silent(const struct comparator *t)
{
	return !(t->config & (T_ENABLE | T_LEVEL));
}

/* Ticks from `now` until the comparator matches next: at least one, modulo the width. */
static uint64_t distance(const struct comparator *t, uint64_t now)
{
	uint64_t away = t->comparator - now;

	if (is_32bit(t))
		away = (uint32_t)away;
	return away ? away : is_32bit(t) ? BIT(32) : UINT64_MAX;
}

static void schedule(struct hpet *h, struct comparator *t, bool just_fired)
{
	uint64_t now = dev_now(&h->dev), ticks, wait;

	t->since = counter_now(h);
	ticks = distance(t, t->since);
	if (!runs(h) || is_silent(t)) {
		timer_stop(&t->timer);
		return;
	}
	wait = ticks > INT64_MAX / TICK_NS ? INT64_MAX : ticks * TICK_NS;
	if (just_fired)
		wait = MAX(wait, REST_NS);
	/* A match in the far future of a 64-bit counter is one that was missed: it never comes. */
	if (wait == INT64_MAX)
		timer_stop(&t->timer);
	else
		timer_arm(&t->timer, now + wait);
}

/* A periodic one, whose match was so many ticks ago. */
static void move_on(struct comparator *t, uint64_t behind)
{
	t->comparator += (behind / t->period + 1) * t->period;
	if (is_32bit(t))
		t->comparator = (uint32_t)t->comparator;
}

static bool moves(const struct comparator *t)
{
	return t->config & T_PERIODIC && t->period;
}

static void fire(struct hpet *h, unsigned number)
{
	struct comparator *t = &h->timers[number];
	uint64_t now = counter_now(h), behind;

	if (!runs(h))
		return;
	if (moves(t)) {
		behind = now - t->comparator;
		if (is_32bit(t))
			behind = (uint32_t)behind;
		move_on(t, behind);
	}
	raise(h, number);
	schedule(h, t, true);
}

/* What fire() does for the others. */
static void catch_up(const struct hpet *h, struct comparator *t)
{
	uint64_t now = counter_now(h), first = distance(t, t->since), passed = now - t->since;

	if (!runs(h) || !is_silent(t) || !moves(t) || passed < first)
		return;
	move_on(t, passed - first);
	t->since = now;
}

static void on_timer_0(struct dev *dev)
{
	fire(to_hpet(dev), 0);
}

static void on_timer_1(struct dev *dev)
{
	fire(to_hpet(dev), 1);
}

static void on_timer_2(struct dev *dev)
{
	fire(to_hpet(dev), 2);
}

static void schedule_all(struct hpet *h)
{
	for (unsigned i = 0; i < TIMERS; i++)
		schedule(h, &h->timers[i], false);
}

static uint64_t capabilities(void)
{
	return PERIOD_FS << 32 | 0x8086ull << 16 | 0xa000 /* legacy, 64 bit */ |
	       (TIMERS - 1) << 8 | 1;
}

static uint64_t timer_config(const struct hpet *h, const struct comparator *t)
{
	return ROUTES << 32 | t->config | T_CAN_PERIODIC | T_CAN_64 | (h->msi ? T_CAN_FSB : 0);
}

/* The 64-bit register that holds the offset; 0 for what is not there. */
static uint64_t read_register(struct hpet *h, unsigned reg)
{
	struct comparator *t = &h->timers[MIN((reg - TIMER_BASE) / TIMER_BYTES, TIMERS - 1u)];

	switch (reg) {
	case REG_CAPABILITIES:
		return capabilities();
	case REG_CONFIG:
		return h->config;
	case REG_STATUS:
		return h->status;
	case REG_COUNTER:
		return counter_now(h);
	}
	if (reg < TIMER_BASE || reg >= TIMER_BASE + TIMERS * TIMER_BYTES)
		return 0;
	switch (reg % TIMER_BYTES) {
	case TIMER_CONFIG:
		return timer_config(h, t);
	case TIMER_COMPARATOR:
		catch_up(h, t);
		return t->comparator;
	case TIMER_FSB:
		return t->fsb;
	default:
		return 0;
	}
}

static uint64_t hpet_read(struct dev *dev, uint64_t offset, unsigned size)
{
	uint64_t value = read_register(to_hpet(dev), (unsigned)offset & ~7u);

	return bits_of(value >> 8 * (offset & 4), 0, 8 * size);
}

static void write_config(struct hpet *h, uint64_t value)
{
	uint64_t changed = h->config ^ value;

	if (changed & CONFIG_RUN) {
		h->counter = counter_now(h);
		h->start_ns = dev_now(&h->dev);
	}
	h->config = value & (CONFIG_RUN | CONFIG_LEGACY);
	if (changed & CONFIG_LEGACY)
		irq_legacy_replacement(&h->dev, value & CONFIG_LEGACY);
	schedule_all(h);
	drive_lines(h);
}

static void write_timer_config(struct hpet *h, unsigned number, uint64_t value)
{
	struct comparator *t = &h->timers[number];

	t->config = value & T_WRITABLE;
	if (!h->msi)
		t->config &= ~(uint64_t)T_FSB;
	if (is_32bit(t)) {
		t->comparator = (uint32_t)t->comparator;
		t->period = (uint32_t)t->period;
	}
	if (!(t->config & T_LEVEL))
		h->status &= ~BIT(number);
	schedule(h, t, false);
	drive_lines(h);
}

/* [Periodic mode] the value is the period; with the accumulator bit set it is the next match too. */
static void write_comparator(struct hpet *h, struct comparator *t, uint64_t value, uint64_t mask)
{
	uint64_t merged = (t->comparator & ~mask) | (value & mask);

	if (is_32bit(t))
		merged = (uint32_t)merged;
	if (!(t->config & T_PERIODIC) || t->config & T_SET_ACCUMULATOR)
		t->comparator = merged;
	if (t->config & T_PERIODIC) {
		t->period = (t->period & ~mask) | (value & mask);
		if (is_32bit(t))
			t->period = (uint32_t)t->period;
	}
	if (is_32bit(t) || mask >> 32) /* the low half of a pair of writes leaves it */
		t->config &= ~(uint64_t)T_SET_ACCUMULATOR;
	schedule(h, t, false);
}

static void write_timer(struct hpet *h, unsigned number, unsigned reg, uint64_t value,
			uint64_t mask)
{
	struct comparator *t = &h->timers[number];

	switch (reg) {
	case TIMER_CONFIG:
		write_timer_config(h, number, (t->config & ~mask) | (value & mask));
		break;
	case TIMER_COMPARATOR:
		write_comparator(h, t, value, mask);
		break;
	case TIMER_FSB:
		t->fsb = (t->fsb & ~mask) | (value & mask);
		break;
	}
}

static void hpet_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct hpet *h = to_hpet(dev);
	unsigned reg = (unsigned)offset & ~7u, shift = 8 * (offset & 4);
	uint64_t mask = bits_of(UINT64_MAX, 0, 8 * size) << shift;

	value <<= shift;
	for (unsigned i = 0; i < TIMERS; i++)
		catch_up(h, &h->timers[i]);
	switch (reg) {
	case REG_CONFIG:
		write_config(h, (h->config & ~mask) | (value & mask));
		break;
	case REG_STATUS:
		h->status &= ~(value & mask);
		drive_lines(h);
		break;
	case REG_COUNTER:
		if (runs(h))
			guest_error(dev, "main counter written while it runs");
		h->counter = (counter_now(h) & ~mask) | (value & mask);
		h->start_ns = dev_now(dev);
		schedule_all(h);
		break;
	default:
		if (reg >= TIMER_BASE && reg < TIMER_BASE + TIMERS * TIMER_BYTES)
			write_timer(h, (reg - TIMER_BASE) / TIMER_BYTES, reg % TIMER_BYTES, value,
				    mask);
	}
}

static const struct region hpet_region = {
	.name = "hpet",
	.min_size = 4,
	.max_size = 8,
	.read = hpet_read,
	.write = hpet_write,
};

static int hpet_attach(struct dev *dev, struct err *err)
{
	struct hpet *h = to_hpet(dev);

	claim_timer(dev, &h->timers[0].timer, on_timer_0);
	claim_timer(dev, &h->timers[1].timer, on_timer_1);
	claim_timer(dev, &h->timers[2].timer, on_timer_2);
	return claim_mmio(dev, &hpet_region, BASE, REGION_BYTES, err);
}

static void hpet_reset(struct dev *dev)
{
	struct hpet *h = to_hpet(dev);

	h->config = h->status = h->counter = h->start_ns = 0;
	for (unsigned i = 0; i < TIMERS; i++) {
		struct comparator *t = &h->timers[i];

		timer_stop(&t->timer);
		t->config = t->period = t->fsb = 0;
		t->comparator = UINT64_MAX;
	}
	irq_legacy_replacement(dev, false);
	drive_lines(h);
}

static int hpet_restored(struct dev *dev, struct err *err)
{
	struct hpet *h = to_hpet(dev);

	for (unsigned i = 0; i < TIMERS; i++) {
		struct comparator *t = &h->timers[i];

		if (t->config & ~(uint64_t)T_WRITABLE)
			return fail(err, EINVAL, "an HPET comparator has impossible bits set");
		/* Armed where schedule() would not: by an older state, or a hostile one. */
		if (t->timer.deadline && (is_silent(t) || !runs(h)))
			schedule(h, t, false);
	}
	irq_legacy_replacement(dev, h->config & CONFIG_LEGACY);
	return 0;
}

const struct dev_class hpet_class = {
	.name = "hpet",
	.summary = "high precision event timer",
	.size = sizeof(struct hpet),
	.fields = hpet_fields,
	.board_only = true,
	.state_version = 1,
	.attach = hpet_attach,
	.reset = hpet_reset,
	.restored = hpet_restored,
};
