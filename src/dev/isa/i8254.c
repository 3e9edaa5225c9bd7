/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * 8254 interval timer at 0x40, its counter 0 on GSI 0, and the PIIX3's port 0x61 with the gate of
 * counter 2. Only on boards whose PIT is not KVM's (kernel-irqchip=split).
 *
 * What a counter holds is computed from the time since it was loaded; only counter 0 has a timer, at
 * the next rise of its output. A tick the host was late with is given late, the ones after it at
 * twice the pace until they have caught up: guests count them. One that the guest has not taken
 * before the next is lost, as everywhere on an edge.
 *
 * Manual: Intel 8254 data sheet (231164), names in [brackets]; 82371FB/82371SB (290550), "NMISC".
 * Not modelled: a count written while modes 2 and 3 run is loaded at once, not at the end of the
 * period; periods of counter 0 under 50 us tick every 50 us only; sound; NMI sources.
 */
#include "core/dev.h"

#include <errno.h>

enum { COUNTERS = 3, SPEAKER = 2, BASE = 0x40, CONTROL = 3, NMISC = 0x61 };
enum { ACCESS_LOW = 1, ACCESS_HIGH, ACCESS_WORD };
enum { READ_BACK = 3, NO_COUNT = 0x20, NO_STATUS = 0x10, NULL_COUNT = 0x40 };
enum { NMISC_GATE = 1, NMISC_WRITABLE = 0x0f, NMISC_REFRESH = 0x10, NMISC_OUT = 0x20 };

#define HZ       1193182ull
#define REST_NS  (50 * MICROSECOND)
#define LATE_MAX SECOND /* ticks that are later than this are dropped */

struct counter {
	uint32_t count;  /* 1 to 65536 */
	uint64_t start;  /* guest time at which it was loaded, less what it was held */
	uint64_t held;   /* clocks it had counted when its gate fell */
	uint8_t mode, access, low, status;
	uint16_t latch;
	bool gate; /* of counter 2: NMISC's */
	bool bcd, loaded, triggered, write_high, read_high, latched, status_latched;
};

struct i8254 {
	struct dev dev;
	struct counter counter[COUNTERS];
	uint8_t nmisc;
	uint64_t ticks; /* rises of counter 0 since it was loaded */
	struct timer rise;
	uint64_t interrupts;
};

static const struct field counter_fields[] = {
	STATE(struct counter, count, .min = 1, .max = 0x10000),
	STATE(struct counter, start),
	STATE(struct counter, held),
	STATE(struct counter, mode, .max = 5),
	STATE(struct counter, access, .min = ACCESS_LOW, .max = ACCESS_WORD),
	STATE(struct counter, low),
	STATE(struct counter, status),
	STATE(struct counter, latch),
	STATE(struct counter, bcd),
	STATE(struct counter, loaded),
	STATE(struct counter, triggered),
	STATE(struct counter, write_high),
	STATE(struct counter, read_high),
	STATE(struct counter, latched),
	STATE(struct counter, status_latched),
	{ 0 }
};

static const struct field i8254_fields[] = {
	STATE_STRUCTS(struct i8254, counter, counter_fields),
	STATE(struct i8254, nmisc, .max = NMISC_WRITABLE),
	STATE(struct i8254, ticks),
	STATE(struct i8254, rise),
	COUNTER(struct i8254, interrupts, .help = "ticks of counter 0"),
	{ 0 }
};

static struct i8254 *to_i8254(struct dev *dev)
{
	return container_of(dev, struct i8254, dev);
}

static uint64_t clocks_of(uint64_t ns)
{
	return (uint64_t)((unsigned __int128)ns * HZ / SECOND);
}

/* The first nanosecond at which so many clocks have passed; far: never. */
static uint64_t ns_of(unsigned __int128 clocks)
{
	unsigned __int128 ns = (clocks * SECOND + HZ - 1) / HZ;

	return ns > INT64_MAX ? INT64_MAX : (uint64_t)ns;
}

static bool starts_by_gate(const struct counter *c)
{
	return c->mode == 1 || c->mode == 5;
}

static bool repeats(const struct counter *c)
{
	return c->mode == 2 || c->mode == 3;
}

/* A low gate holds it, but for the modes that the rising gate starts. */
static bool is_held(const struct counter *c)
{
	return !c->gate && !starts_by_gate(c);
}

static uint64_t clocks_counted(const struct counter *c, uint64_t now)
{
	return is_held(c) ? c->held : clocks_of(now - MIN(c->start, now));
}

static uint16_t to_bcd(uint32_t value)
{
	return (uint16_t)(value % 10 | value / 10 % 10 << 4 | value / 100 % 10 << 8 |
			  value / 1000 % 10 << 12);
}

static uint32_t from_bcd(uint32_t value)
{
	return (value & 15) + (value >> 4 & 15) * 10 + (value >> 8 & 15) * 100 +
	       (value >> 12 & 15) * 1000;
}

static uint16_t count_now(const struct counter *c, uint64_t now)
{
	uint32_t wrap = c->bcd ? 10000 : 0x10000;
	uint64_t clocks = clocks_counted(c, now), value = c->count;

	if (!c->loaded || (starts_by_gate(c) && !c->triggered))
		clocks = 0;
	if (c->mode == 3) /* by twos, twice through each period */
		value -= 2 * (clocks % c->count) % c->count;
	else if (c->mode == 2)
		value -= clocks % c->count;
	else /* on through 0 */
		value += wrap - clocks % wrap;
	value %= wrap;
	return c->bcd ? to_bcd((uint32_t)value) : (uint16_t)value;
}

static bool output_now(const struct counter *c, uint64_t now)
{
	uint64_t clocks = clocks_counted(c, now);

	if (!c->loaded)
		return c->mode != 0;
	switch (c->mode) {
	case 0:
		return clocks >= c->count;
	case 1:
		return !c->triggered || clocks >= c->count;
	case 2:
		return !c->gate || clocks % c->count != c->count - 1;
	case 3:
		return !c->gate || clocks % c->count < (c->count + 1) / 2;
	case 4:
		return clocks != c->count;
	default:
		return !c->triggered || clocks != c->count;
	}
}

/* The next rise of counter 0's output, number `ticks` + 1. */
static void arm(struct i8254 *p)
{
	const struct counter *c = &p->counter[0];
	uint64_t now = dev_now(&p->dev), due, late, rest;

	if (!c->loaded || starts_by_gate(c) || (p->ticks && !repeats(c))) {
		timer_stop(&p->rise);
		return;
	}
	due = ns_of((unsigned __int128)(p->ticks + 1) * c->count);
	due = due > INT64_MAX - MIN(c->start, (uint64_t)INT64_MAX) ? INT64_MAX : c->start + due;
	late = now > due ? now - due : 0;
	if (late > LATE_MAX)
		p->ticks += clocks_of(late - LATE_MAX) / c->count;
	rest = MAX(ns_of(c->count) / 2, REST_NS);
	timer_arm(&p->rise, p->ticks ? MAX(due, now + rest) : due);
}

static void on_rise(struct dev *dev)
{
	struct i8254 *p = to_i8254(dev);

	p->ticks++;
	p->interrupts++;
	irq_set(dev, 0, false); /* the low clock or half before it */
	irq_set(dev, 0, true);
	arm(p);
}

static void load(struct i8254 *p, unsigned number, uint16_t value)
{
	struct counter *c = &p->counter[number];
	uint32_t count = c->bcd ? from_bcd(value) % 10000 : value;

	c->count = count ? count : c->bcd ? 10000 : 0x10000;
	c->start = dev_now(&p->dev);
	c->held = 0;
	c->loaded = true;
	if (number)
		return;
	p->ticks = 0;
	irq_set(&p->dev, 0, output_now(c, c->start));
	arm(p);
}

static void write_counter(struct i8254 *p, unsigned number, uint8_t value)
{
	struct counter *c = &p->counter[number];

	if (c->access != ACCESS_WORD) {
		load(p, number, c->access == ACCESS_HIGH ? (uint16_t)(value << 8) : value);
		return;
	}
	c->write_high = !c->write_high;
	if (c->write_high) {
		c->low = value;
		if (c->mode == 0) /* [Mode 0] the first byte stops it */
			c->loaded = false;
		return;
	}
	load(p, number, c->low | (uint16_t)(value << 8));
}

static void latch_count(struct counter *c, uint64_t now)
{
	if (c->latched)
		return;
	c->latch = count_now(c, now);
	c->latched = true;
	c->read_high = false;
}

static void latch_status(struct counter *c, uint64_t now)
{
	if (c->status_latched)
		return;
	c->status = (uint8_t)(output_now(c, now) << 7 | (c->loaded ? 0 : NULL_COUNT) |
			      c->access << 4 | c->mode << 1 | c->bcd);
	c->status_latched = true;
}

static void read_back(struct i8254 *p, uint8_t command)
{
	uint64_t now = dev_now(&p->dev);

	for (unsigned i = 0; i < COUNTERS; i++) {
		if (!(command & BIT(i + 1)))
			continue;
		if (!(command & NO_COUNT))
			latch_count(&p->counter[i], now);
		if (!(command & NO_STATUS))
			latch_status(&p->counter[i], now);
	}
}

static void write_control(struct i8254 *p, uint8_t command)
{
	unsigned number = command >> 6, access = command >> 4 & 3, mode = command >> 1 & 7;
	struct counter *c;

	if (number == READ_BACK) {
		read_back(p, command);
		return;
	}
	c = &p->counter[number];
	if (!access) { /* [Counter Latch Command] */
		latch_count(c, dev_now(&p->dev));
		return;
	}
	c->access = (uint8_t)access;
	c->mode = (uint8_t)(mode > 5 ? mode - 4 : mode);
	c->bcd = command & 1;
	c->loaded = c->triggered = c->write_high = c->read_high = false;
	c->latched = c->status_latched = false;
	if (number)
		return;
	timer_stop(&p->rise);
	irq_set(&p->dev, 0, output_now(c, 0));
}

static uint8_t read_counter(struct i8254 *p, unsigned number)
{
	struct counter *c = &p->counter[number];
	bool high = c->access == ACCESS_HIGH || (c->access == ACCESS_WORD && c->read_high);
	uint16_t value;

	if (c->status_latched) {
		c->status_latched = false;
		return c->status;
	}
	value = c->latched ? c->latch : count_now(c, dev_now(&p->dev));
	c->read_high = c->access == ACCESS_WORD && !high;
	if (!c->read_high)
		c->latched = false;
	return (uint8_t)(high ? value >> 8 : value);
}

static uint64_t i8254_read(struct dev *dev, uint64_t offset, unsigned size)
{
	return offset == CONTROL ? 0xff : read_counter(to_i8254(dev), (unsigned)offset);
}

static void i8254_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	if (offset == CONTROL)
		write_control(to_i8254(dev), (uint8_t)value);
	else
		write_counter(to_i8254(dev), (unsigned)offset, (uint8_t)value);
}

/* [Gate] its rise starts modes 1 and 5 and restarts 2 and 3; its level holds the others. */
static void set_gate(struct i8254 *p, bool gate)
{
	struct counter *c = &p->counter[SPEAKER];
	uint64_t now = dev_now(&p->dev);

	if (gate == c->gate)
		return;
	if (!gate)
		c->held = clocks_counted(c, now);
	c->gate = gate;
	if (!gate)
		return;
	if (c->mode == 0 || c->mode == 4) {
		c->start = now - MIN(now, ns_of(c->held));
		return;
	}
	c->start = now;
	c->held = 0;
	c->triggered = true;
}

static uint64_t nmisc_read(struct dev *dev, uint64_t offset, unsigned size)
{
	const struct i8254 *p = to_i8254(dev);
	uint64_t now = dev_now(dev);
	bool refresh = now / (15 * MICROSECOND) & 1;

	return p->nmisc | (refresh ? NMISC_REFRESH : 0) |
	       (output_now(&p->counter[SPEAKER], now) ? NMISC_OUT : 0);
}

static void nmisc_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct i8254 *p = to_i8254(dev);

	p->nmisc = value & NMISC_WRITABLE;
	set_gate(p, value & NMISC_GATE);
}

static const struct region i8254_ports = {
	.name = "pit", .min_size = 1, .max_size = 1, .read = i8254_read, .write = i8254_write,
};

static const struct region nmisc_port = {
	.name = "nmisc", .min_size = 1, .max_size = 1, .read = nmisc_read, .write = nmisc_write,
};

static int i8254_attach(struct dev *dev, struct err *err)
{
	int code = claim_ports(dev, &i8254_ports, BASE, COUNTERS + 1, err);

	claim_timer(dev, &to_i8254(dev)->rise, on_rise);
	return code ? code : claim_ports(dev, &nmisc_port, NMISC, 1, err);
}

static void i8254_reset(struct dev *dev)
{
	struct i8254 *p = to_i8254(dev);

	for (unsigned i = 0; i < COUNTERS; i++) /* undefined by the manual */
		p->counter[i] = (struct counter){ .count = 0x10000, .access = ACCESS_WORD,
						  .gate = i != SPEAKER };
	p->nmisc = 0;
	p->ticks = 0;
	timer_stop(&p->rise);
	irq_set(dev, 0, false);
}

static int i8254_restored(struct dev *dev, struct err *err)
{
	struct i8254 *p = to_i8254(dev);

	for (unsigned i = 0; i < COUNTERS; i++)
		if (p->counter[i].bcd && p->counter[i].loaded && p->counter[i].count > 10000)
			return fail(err, ERANGE, "a counter of the PIT holds %u in BCD",
				    p->counter[i].count);
	p->counter[SPEAKER].gate = p->nmisc & NMISC_GATE;
	return 0;
}

const struct dev_class i8254_class = {
	.name = "isa-pit",
	.summary = "8254 interval timer",
	.size = sizeof(struct i8254),
	.fields = i8254_fields,
	.board_only = true,
	.attach = i8254_attach,
	.reset = i8254_reset,
	.restored = i8254_restored,
};
