/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * MC146818 real-time clock and CMOS memory of a PC/AT.
 *
 * The guest writes a register number to the first port, then reads or writes
 * that register at the second. Registers up to 0x0d are the clock; the rest is
 * battery-backed memory in which firmware leaves notes for the OS.
 *
 * Seconds are counted in guest time from `base`; once a second the count is
 * compared with the host's clock and follows it when it is off by two seconds
 * or more (the guest stood still, or the host's clock was set).
 *
 * Manual: Motorola MC146818A data sheet, 1984; section names in [brackets].
 * Not modelled: daylight saving, the square-wave pin, the NMI mask in bit 7 of
 * the index, the second bank of CMOS memory at 0x72.
 */
#include "dev/isa/rtc.h"

#include <time.h>

enum {
	REG_SECONDS,
	REG_SECONDS_ALARM,
	REG_MINUTES,
	REG_MINUTES_ALARM,
	REG_HOURS,
	REG_HOURS_ALARM,
	REG_WEEKDAY,
	REG_DAY,
	REG_MONTH,
	REG_YEAR,
	REG_A,
	REG_B,
	REG_C,
	REG_D,
	REG_SHUTDOWN = 0x0f, /* firmware's: how to go on after a reset */
	REG_CENTURY = 0x32,
	REG_CENTURY_PS2 = 0x37,
	REG_COUNT = 0x80,
};

enum {
	A_RATE = 0x0f,
	A_DIVIDER = 0x70,
	A_DIVIDER_RESET = 0x60, /* and above: the divider chain is held */
	A_UPDATING = 0x80,
	B_SET = 0x80,
	B_BINARY = 0x04,
	B_24_HOUR = 0x02,
	C_IRQ = 0x80,
	C_PERIODIC = 0x40,
	C_ALARM = 0x20,
	C_UPDATE = 0x10,
	C_SOURCES = C_PERIODIC | C_ALARM | C_UPDATE, /* the same bits of B enable them */
	D_BATTERY_GOOD = 0x80,
	HOUR_PM = 0x80,
	SHUTDOWN_S3 = 0xfe, /* the reset ends sleep: to the OS's waking vector */
	ALARM_ANY = 0xc0, /* [Alarm Bytes] a value from here up matches every time */
};

#define SKEW_LIMIT  (20000ull * 366 * 86400) /* what the registers can reach, and more */
#define UPDATE_TIME (244 * MICROSECOND)      /* [Update Cycle] UIP comes this long before */

struct rtc {
	struct dev dev;

	uint16_t port;
	uint8_t irq;

	uint8_t index;
	uint8_t reg[REG_COUNT];
	int64_t skew;        /* seconds the guest's clock is ahead of the host's */
	int64_t base;        /* the guest's clock, seconds since 1970, ... */
	uint64_t base_ns;    /* ... at this guest time */
	struct timer second, periodic;

	uint64_t interrupts;
};

static const struct field rtc_fields[] = {
	SETTING_AS("iobase", struct rtc, port, .def = 0x70, .help = "first of two I/O ports"),
	SETTING(struct rtc, irq, .def = 8, .max = 15, .help = "interrupt line"),
	STATE(struct rtc, index, .max = REG_COUNT - 1),
	STATE(struct rtc, reg),
	STATE(struct rtc, skew, .max = SKEW_LIMIT),
	STATE(struct rtc, base, .max = 2 * SKEW_LIMIT),
	STATE(struct rtc, base_ns),
	STATE(struct rtc, second),
	STATE(struct rtc, periodic),
	COUNTER(struct rtc, interrupts, .help = "interrupts raised"),
	{ 0 }
};

static struct rtc *to_rtc(struct dev *dev)
{
	return container_of(dev, struct rtc, dev);
}

/* Any value is safe: a guest can set dates outside the calendar. */
static uint8_t encode(const struct rtc *rtc, unsigned value)
{
	return rtc->reg[REG_B] & B_BINARY ? value % 100 : value / 10 % 10 << 4 | value % 10;
}

static int decode(const struct rtc *rtc, uint8_t value)
{
	return rtc->reg[REG_B] & B_BINARY ? value : (value >> 4) * 10 + (value & 15);
}

/* [Time, Calendar, and Alarm Locations] 12-hour mode has PM in the high bit, and 12 for 0. */
static uint8_t encode_hour(const struct rtc *rtc, unsigned hour)
{
	if (rtc->reg[REG_B] & B_24_HOUR)
		return encode(rtc, hour);
	return encode(rtc, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOUR_PM : 0);
}

static int decode_hour(const struct rtc *rtc, uint8_t value)
{
	if (rtc->reg[REG_B] & B_24_HOUR)
		return decode(rtc, value);
	return decode(rtc, value & ~HOUR_PM) % 12 + (value & HOUR_PM ? 12 : 0);
}

static int64_t guest_seconds(const struct rtc *rtc)
{
	uint64_t now = dev_now(&rtc->dev);

	return rtc->base + (now > rtc->base_ns ? (int64_t)((now - rtc->base_ns) / SECOND) : 0);
}

static void set_base(struct rtc *rtc, int64_t seconds)
{
	rtc->base = seconds;
	rtc->base_ns = dev_now(&rtc->dev);
	timer_arm(&rtc->second, rtc->base_ns + SECOND);
}

static void copy_time_to_registers(struct rtc *rtc)
{
	time_t now = guest_seconds(rtc);
	struct tm tm;

	if (!gmtime_r(&now, &tm))
		return;
	rtc->reg[REG_SECONDS] = encode(rtc, tm.tm_sec);
	rtc->reg[REG_MINUTES] = encode(rtc, tm.tm_min);
	rtc->reg[REG_HOURS] = encode_hour(rtc, tm.tm_hour);
	rtc->reg[REG_WEEKDAY] = encode(rtc, tm.tm_wday + 1);
	rtc->reg[REG_DAY] = encode(rtc, tm.tm_mday);
	rtc->reg[REG_MONTH] = encode(rtc, tm.tm_mon + 1);
	rtc->reg[REG_YEAR] = encode(rtc, (unsigned)(tm.tm_year + 1900) % 100);
	rtc->reg[REG_CENTURY] = encode(rtc, (unsigned)(tm.tm_year + 1900) / 100);
	rtc->reg[REG_CENTURY_PS2] = rtc->reg[REG_CENTURY];
}

static void set_time_from_registers(struct rtc *rtc)
{
	struct tm tm = {
		.tm_sec = decode(rtc, rtc->reg[REG_SECONDS]),
		.tm_min = decode(rtc, rtc->reg[REG_MINUTES]),
		.tm_hour = decode_hour(rtc, rtc->reg[REG_HOURS]),
		.tm_mday = decode(rtc, rtc->reg[REG_DAY]),
		.tm_mon = decode(rtc, rtc->reg[REG_MONTH]) - 1,
		.tm_year = (decode(rtc, rtc->reg[REG_CENTURY]) - 19) * 100 +
			   decode(rtc, rtc->reg[REG_YEAR]),
	};

	set_base(rtc, timegm(&tm));
	rtc->skew = rtc->base - dev_wall_clock(&rtc->dev);
}

/* [Register C] the line follows the enabled sources; only reading C clears them. */
static void update_irq(struct rtc *rtc)
{
	bool was = rtc->reg[REG_C] & C_IRQ;
	bool now = rtc->reg[REG_C] & rtc->reg[REG_B] & C_SOURCES;

	rtc->reg[REG_C] = (rtc->reg[REG_C] & C_SOURCES) | (now ? C_IRQ : 0);
	rtc->interrupts += now && !was;
	irq_set(&rtc->dev, rtc->irq, now);
}

static void latch(struct rtc *rtc, uint8_t source)
{
	rtc->reg[REG_C] |= source;
	update_irq(rtc);
}

static bool alarm_matches(const struct rtc *rtc, unsigned time_reg)
{
	uint8_t alarm = rtc->reg[time_reg + 1];

	return alarm >= ALARM_ANY || alarm == rtc->reg[time_reg];
}

static bool is_held(const struct rtc *rtc)
{
	return rtc->reg[REG_B] & B_SET || (rtc->reg[REG_A] & A_DIVIDER) >= A_DIVIDER_RESET;
}

static void on_second(struct dev *dev)
{
	struct rtc *rtc = to_rtc(dev);
	int64_t host = dev_wall_clock(dev) + rtc->skew, off;

	timer_arm(&rtc->second, dev_now(dev) + SECOND);
	if (is_held(rtc))
		return;
	off = host - guest_seconds(rtc);
	if (off > 1 || off < -1)
		set_base(rtc, host);
	copy_time_to_registers(rtc);
	latch(rtc, C_UPDATE);
	if (alarm_matches(rtc, REG_SECONDS) && alarm_matches(rtc, REG_MINUTES) &&
	    alarm_matches(rtc, REG_HOURS)) {
		latch(rtc, C_ALARM);
		if (rtc->reg[REG_B] & C_ALARM)
			board_wake(dev->board, WAKE_RTC);
	}
}

/* [Periodic Interrupt] rates 1 and 2 repeat 8 and 9; 0 is off. */
static uint64_t period(const struct rtc *rtc)
{
	unsigned rate = rtc->reg[REG_A] & A_RATE;

	if (rate == 1 || rate == 2)
		rate += 7;
	return rate ? SECOND * (1u << (rate - 1)) / 32768 : 0;
}

/* The timer runs only while its interrupt is enabled: nothing else can see the flag in time. */
static void restart_periodic(struct rtc *rtc)
{
	if (period(rtc) && rtc->reg[REG_B] & C_PERIODIC)
		timer_arm(&rtc->periodic, dev_now(&rtc->dev) + period(rtc));
	else
		timer_stop(&rtc->periodic);
}

static void on_periodic(struct dev *dev)
{
	struct rtc *rtc = to_rtc(dev);

	restart_periodic(rtc);
	latch(rtc, C_PERIODIC);
}

static uint8_t read_a(const struct rtc *rtc)
{
	uint64_t next = rtc->second.deadline;
	bool updating = !is_held(rtc) && next && next <= dev_now(&rtc->dev) + UPDATE_TIME;

	return rtc->reg[REG_A] | (updating ? A_UPDATING : 0);
}

static uint64_t rtc_read(struct dev *dev, uint64_t offset, unsigned size)
{
	struct rtc *rtc = to_rtc(dev);
	uint8_t value;

	if (offset == 0)
		return 0xff; /* the index is write-only */
	if (rtc->index == REG_A)
		return read_a(rtc);
	if ((rtc->index < REG_A || rtc->index == REG_CENTURY) && !is_held(rtc))
		copy_time_to_registers(rtc);
	value = rtc->reg[rtc->index];
	if (rtc->index == REG_C) { /* reading acknowledges */
		rtc->reg[REG_C] = 0;
		update_irq(rtc);
	}
	return value;
}

static void write_a(struct rtc *rtc, uint8_t value)
{
	bool was_held = is_held(rtc);

	rtc->reg[REG_A] = value & ~A_UPDATING;
	if (!was_held && is_held(rtc))
		copy_time_to_registers(rtc);
	else if (was_held && !is_held(rtc))
		set_time_from_registers(rtc);
	restart_periodic(rtc);
}

static void write_b(struct rtc *rtc, uint8_t value)
{
	bool was_held = is_held(rtc);

	if (!was_held)
		copy_time_to_registers(rtc); /* freeze, in the format that was */
	else if (!(value & B_SET) && (rtc->reg[REG_A] & A_DIVIDER) < A_DIVIDER_RESET) {
		uint8_t format = (rtc->reg[REG_B] ^ value) & (B_BINARY | B_24_HOUR);

		rtc->reg[REG_B] ^= format; /* what was written is in the new format */
		set_time_from_registers(rtc);
		rtc->reg[REG_B] ^= format;
	}
	rtc->reg[REG_B] = value;
	if (!is_held(rtc))
		copy_time_to_registers(rtc);
	restart_periodic(rtc);
	update_irq(rtc);
}

static bool is_time(unsigned reg)
{
	return reg == REG_CENTURY || (reg <= REG_YEAR && reg != REG_SECONDS_ALARM &&
				      reg != REG_MINUTES_ALARM && reg != REG_HOURS_ALARM);
}

static void rtc_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct rtc *rtc = to_rtc(dev);

	if (offset == 0) {
		rtc->index = value & (REG_COUNT - 1); /* bit 7 masks NMI, elsewhere */
		return;
	}
	switch (rtc->index) {
	case REG_C:
	case REG_D:
		guest_error(dev, "write to read-only register %#x", rtc->index);
		break;
	case REG_A:
		write_a(rtc, (uint8_t)value);
		break;
	case REG_B:
		write_b(rtc, (uint8_t)value);
		break;
	default:
		if (!is_time(rtc->index) || is_held(rtc)) {
			rtc->reg[rtc->index] = (uint8_t)value;
			break;
		}
		copy_time_to_registers(rtc);
		rtc->reg[rtc->index] = (uint8_t)value;
		if (rtc->index != REG_WEEKDAY) /* the date says what day it is */
			set_time_from_registers(rtc);
	}
}

static const struct region rtc_ports = {
	.name = "rtc",
	.min_size = 1,
	.max_size = 1,
	.read = rtc_read,
	.write = rtc_write,
};

void rtc_set_cmos(struct dev *dev, uint8_t index, uint8_t value)
{
	if (index < REG_COUNT)
		to_rtc(dev)->reg[index] = value;
}

static void rtc_reset(struct dev *dev)
{
	struct rtc *rtc = to_rtc(dev);

	if (is_held(rtc))
		set_time_from_registers(rtc);
	rtc->reg[REG_A] = 0x26;
	rtc->reg[REG_B] = (rtc->reg[REG_B] & B_BINARY) | B_24_HOUR;
	rtc->reg[REG_C] = 0;
	if (board_is_waking(dev->board))
		rtc->reg[REG_SHUTDOWN] = SHUTDOWN_S3;
	restart_periodic(rtc);
	update_irq(rtc);
}

static int rtc_attach(struct dev *dev, struct err *err)
{
	struct rtc *rtc = to_rtc(dev);

	rtc->reg[REG_A] = 0x26;
	rtc->reg[REG_B] = B_24_HOUR;
	rtc->reg[REG_D] = D_BATTERY_GOOD;
	claim_timer(dev, &rtc->second, on_second);
	claim_timer(dev, &rtc->periodic, on_periodic);
	set_base(rtc, dev_wall_clock(dev));
	copy_time_to_registers(rtc);
	return claim_ports(dev, &rtc_ports, rtc->port, 2, err);
}

static int rtc_restored(struct dev *dev, struct err *err)
{
	struct rtc *rtc = to_rtc(dev);

	rtc->reg[REG_A] &= ~A_UPDATING;
	rtc->reg[REG_D] = D_BATTERY_GOOD;
	return 0;
}

const struct dev_class rtc_class = {
	.name = "mc146818rtc",
	.summary = "MC146818 real-time clock and CMOS memory",
	.size = sizeof(struct rtc),
	.fields = rtc_fields,
	.board_only = true,
	.attach = rtc_attach,
	.reset = rtc_reset,
	.restored = rtc_restored,
};
