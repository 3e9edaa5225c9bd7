/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * 8254 interval timer at 0x40-0x43, its channel 0 on GSI 0, and the speaker gate at 0x61.
 *
 * Counters are functions of time since they were loaded; only channel 0 has a host timer. Ticks
 * the guest is slow to acknowledge are given again later ("reinjected"), unless
 * KVM_REINJECT_CONTROL says to drop them.
 *
 * Manual: Intel 8254 data sheet (231164); PIIX4 4.4.1 for port 0x61.
 * Not modelled: the null-count status bit; a mode 0 or 4 counter is not held by its gate; the
 * period of channel 0 is never shorter than 100 us; sound.
 */
#include "engine/irqchip/internal.h"

#include <errno.h>

enum { PIT_HZ = 1193182, SECOND_NS = 1000000000, PERIOD_MIN_NS = 100000 };
enum { PORT_CONTROL = 0x43, PORT_SPEAKER = 0x61 };
enum { ACCESS_LATCH, ACCESS_LOW, ACCESS_HIGH, ACCESS_WORD, ACCESS_WORD_HIGH };
enum { SPEAKER_GATE = 1, SPEAKER_DATA = 2, SPEAKER_REFRESH = 0x10, SPEAKER_OUT = 0x20 };
enum { CHANNELS = 3, SPEAKER_CHANNEL = 2, MODE_UNSET = 0xff };

static uint64_t counts_of_ns(uint64_t ns)
{
	return (uint64_t)((unsigned __int128)ns * PIT_HZ / SECOND_NS);
}

static uint64_t ns_of_counts(uint64_t counts)
{
	return (uint64_t)(((unsigned __int128)counts * SECOND_NS + PIT_HZ - 1) / PIT_HZ);
}

static uint64_t counts_elapsed(const struct kvm_pit_channel_state *ch)
{
	return counts_of_ns(port_now_ns() - (uint64_t)ch->count_load_time);
}

static uint32_t from_bcd(uint32_t value)
{
	return (value & 15) + (value >> 4 & 15) * 10 + (value >> 8 & 15) * 100 +
	       (value >> 12 & 15) * 1000;
}

static uint16_t to_bcd(uint32_t value)
{
	return value % 10 | value / 10 % 10 << 4 | value / 100 % 10 << 8 | value / 1000 % 10 << 12;
}

/* What the counting element shows. */
static uint16_t count_now(const struct kvm_pit_channel_state *ch)
{
	uint32_t wrap = ch->bcd ? 10000 : 0x10000;
	uint64_t elapsed = counts_elapsed(ch), value;

	switch (ch->mode) {
	case 0:
	case 1:
	case 4:
	case 5:
		value = (ch->count + wrap - elapsed % wrap) % wrap;
		break;
	case 3: /* by twos */
		value = ch->count - (2 * elapsed) % ch->count;
		break;
	default:
		value = ch->count - elapsed % ch->count;
	}
	return ch->bcd ? to_bcd((uint32_t)value) : (uint16_t)value;
}

static bool output_now(const struct kvm_pit_channel_state *ch)
{
	uint64_t elapsed = counts_elapsed(ch);

	switch (ch->mode) {
	case 0:
		return elapsed >= ch->count;
	case 1:
		return elapsed < ch->count;
	case 2:
		return elapsed % ch->count || !elapsed;
	case 3:
		return elapsed % ch->count < (ch->count + 1) / 2;
	case 4:
	case 5:
		return elapsed != ch->count;
	default:
		return false;
	}
}

static void arm_locked(struct pit *pit)
{
	uint64_t period_ns = ns_of_counts(pit->period_counts);

	if (pit->periodic && period_ns < PERIOD_MIN_NS)
		pit->next_ns = pit->start_ns + (pit->ticks + 1) * PERIOD_MIN_NS;
	else
		pit->next_ns = pit->start_ns + ns_of_counts((pit->ticks + 1) * pit->period_counts);
	port_timer_arm(pit->timer, pit->next_ns);
}

/* Channel 0 was loaded: from now on it ticks, or will once. */
static void start_locked(struct pit *pit)
{
	const struct kvm_pit_channel_state *ch = &pit->channel[0];

	pit->running = false; /* a tick on its way is dropped: on_timer looks */
	if (ch->mode > 4 || pit->flags & KVM_PIT_FLAGS_HPET_LEGACY)
		return;
	pit->running = true;
	pit->periodic = ch->mode == 2 || ch->mode == 3;
	pit->period_counts = ch->count;
	pit->start_ns = (uint64_t)ch->count_load_time;
	pit->ticks = 0;
	arm_locked(pit);
}

static void load_locked(struct pit *pit, unsigned n, uint32_t value)
{
	struct kvm_pit_channel_state *ch = &pit->channel[n];

	ch->count = ch->bcd ? from_bcd(value) : value;
	if (!ch->count)
		ch->count = ch->bcd ? 10000 : 0x10000;
	ch->count_load_time = (int64_t)port_now_ns();
	if (n == 0)
		start_locked(pit);
}

/* One tick on GSI 0, if the guest is ready for it. */
void pit_pulse_locked(struct irqchip *chip)
{
	struct pit *pit = chip->pit;

	pit->pulse_due = false;
	if (pit->reinject && !pit->acknowledged)
		return;
	pit->acknowledged = false;
	gsi_set_locked(chip, 0, SOURCE_PIT, true);
	gsi_set_locked(chip, 0, SOURCE_PIT, false);
}

void pit_acknowledged_locked(struct irqchip *chip)
{
	struct pit *pit = chip->pit;

	if (!pit->reinject || pit->acknowledged)
		return;
	pit->acknowledged = true;
	if (pit->pending)
		pit->pending--;
	pit->pulse_due = pit->pending > 0; /* irqchip_unlock() sends it */
}

/* What the guest missed while it had the pin masked it does not want. */
void pit_unmasked_locked(struct irqchip *chip)
{
	chip->pit->pending = 0;
	chip->pit->acknowledged = true;
}

static void on_timer(void *context)
{
	struct irqchip *chip = context;
	struct pit *pit = chip->pit;

	irqchip_lock(chip);
	if (pit->running && port_now_ns() < pit->next_ns) {
		port_timer_arm(pit->timer, pit->next_ns);
	} else if (pit->running) {
		pit->ticks++;
		pit->running = pit->periodic;
		if (pit->running)
			arm_locked(pit);
		if (pit->reinject)
			pit->pending++;
		pit_pulse_locked(chip);
	}
	irqchip_unlock(chip);
}

static void latch_count(struct kvm_pit_channel_state *ch)
{
	if (ch->count_latched)
		return;
	ch->latched_count = count_now(ch);
	ch->count_latched = ch->rw_mode;
}

static void latch_status(struct kvm_pit_channel_state *ch)
{
	if (ch->status_latched)
		return;
	ch->status = output_now(ch) << 7 | (ch->rw_mode & 3) << 4 | (ch->mode & 7) << 1 | ch->bcd;
	ch->status_latched = 1;
}

static void write_control(struct pit *pit, uint8_t value)
{
	struct kvm_pit_channel_state *ch;
	unsigned access = value >> 4 & 3, mode = value >> 1 & 7;

	if (value >> 6 == 3) { /* read-back command */
		for (unsigned n = 0; n < CHANNELS; n++) {
			if (!(value >> (n + 1) & 1))
				continue;
			if (!(value & 0x20))
				latch_count(&pit->channel[n]);
			if (!(value & 0x10))
				latch_status(&pit->channel[n]);
		}
		return;
	}
	ch = &pit->channel[value >> 6];
	if (access == ACCESS_LATCH) {
		latch_count(ch);
		return;
	}
	ch->rw_mode = access;
	ch->read_state = access;
	ch->write_state = access;
	ch->mode = mode > 5 ? mode - 4 : mode;
	ch->bcd = value & 1;
	ch->count_latched = 0;
	ch->status_latched = 0;
}

static void write_counter(struct pit *pit, unsigned n, uint8_t value)
{
	struct kvm_pit_channel_state *ch = &pit->channel[n];

	switch (ch->write_state) {
	case ACCESS_HIGH:
		load_locked(pit, n, value << 8);
		break;
	case ACCESS_WORD:
		ch->write_latch = value;
		ch->write_state = ACCESS_WORD_HIGH;
		break;
	case ACCESS_WORD_HIGH:
		load_locked(pit, n, ch->write_latch | value << 8);
		ch->write_state = ACCESS_WORD;
		break;
	default:
		load_locked(pit, n, value);
	}
}

static uint8_t read_counter(struct kvm_pit_channel_state *ch)
{
	uint16_t count;

	if (ch->status_latched) {
		ch->status_latched = 0;
		return ch->status;
	}
	if (ch->count_latched) {
		bool is_low = ch->count_latched == ACCESS_LOW || ch->count_latched == ACCESS_WORD;

		ch->count_latched = ch->count_latched == ACCESS_WORD ? ACCESS_HIGH : 0;
		return is_low ? ch->latched_count & 0xff : ch->latched_count >> 8;
	}
	count = count_now(ch);
	switch (ch->read_state) {
	case ACCESS_HIGH:
		return count >> 8;
	case ACCESS_WORD:
		ch->read_state = ACCESS_WORD_HIGH;
		return count & 0xff;
	case ACCESS_WORD_HIGH:
		ch->read_state = ACCESS_WORD;
		return count >> 8;
	default:
		return count & 0xff;
	}
}

static void write_speaker(struct pit *pit, uint8_t value)
{
	struct kvm_pit_channel_state *ch = &pit->channel[SPEAKER_CHANNEL];
	bool gate = value & SPEAKER_GATE;

	pit->flags = value & SPEAKER_DATA ? pit->flags | KVM_PIT_FLAGS_SPEAKER_DATA_ON
					  : pit->flags & ~KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	/* A rising gate triggers the one-shots and restarts the periodic modes. */
	if (gate && !ch->gate && ch->mode != 0 && ch->mode != 4)
		ch->count_load_time = (int64_t)port_now_ns();
	ch->gate = gate;
}

static uint8_t read_speaker(const struct pit *pit)
{
	const struct kvm_pit_channel_state *ch = &pit->channel[SPEAKER_CHANNEL];
	bool refresh = port_now_ns() >> 14 & 1; /* toggles about every 15 us */

	return (ch->gate ? SPEAKER_GATE : 0) |
	       (pit->flags & KVM_PIT_FLAGS_SPEAKER_DATA_ON ? SPEAKER_DATA : 0) |
	       (refresh ? SPEAKER_REFRESH : 0) | (output_now(ch) ? SPEAKER_OUT : 0);
}

bool is_pit_port(const struct pit *pit, uint16_t port)
{
	return pit && ((port & ~3) == 0x40 || (port == PORT_SPEAKER && pit->has_speaker));
}

uint8_t pit_read_locked(struct irqchip *chip, uint16_t port)
{
	if (port == PORT_SPEAKER)
		return read_speaker(chip->pit);
	if (port == PORT_CONTROL)
		return 0; /* nothing drives the bus */
	return read_counter(&chip->pit->channel[port & 3]);
}

void pit_write_locked(struct irqchip *chip, uint16_t port, uint8_t value)
{
	if (port == PORT_SPEAKER)
		write_speaker(chip->pit, value);
	else if (port == PORT_CONTROL)
		write_control(chip->pit, value);
	else
		write_counter(chip->pit, port & 3, value);
}

int pit_create(struct vm *vm, const struct kvm_pit_config *config)
{
	struct irqchip *chip = vm->irqchip;
	struct pit *pit;
	bool exists;

	if (!chip || !chip->has_pic)
		return -ENOENT;
	if (config->flags & ~KVM_PIT_SPEAKER_DUMMY)
		return -EINVAL;
	pit = port_alloc(sizeof(*pit));
	if (!pit)
		return -ENOMEM;
	pit->timer = port_timer_new(on_timer, chip);
	if (!pit->timer) {
		port_free(pit);
		return -ENOMEM;
	}
	pit->has_speaker = config->flags & KVM_PIT_SPEAKER_DUMMY;
	pit->reinject = true;
	pit->acknowledged = true;
	for (unsigned n = 0; n < CHANNELS; n++) {
		pit->channel[n].mode = MODE_UNSET;
		pit->channel[n].gate = n != SPEAKER_CHANNEL;
		load_locked(pit, n, 0);
	}

	irqchip_lock(chip);
	exists = chip->pit;
	if (!exists)
		chip->pit = pit;
	eoi_vectors_update_locked(chip);
	irqchip_unlock(chip);
	if (!exists)
		return 0;
	port_timer_free(pit->timer);
	port_free(pit);
	return -EEXIST;
}

/* The VM has no users left. */
void pit_free(struct irqchip *chip)
{
	if (!chip->pit)
		return;
	port_timer_free(chip->pit->timer);
	port_free(chip->pit);
	chip->pit = NULL;
}

int pit_get(struct vm *vm, struct kvm_pit_state2 *state)
{
	struct irqchip *chip = vm->irqchip;

	if (!chip || !chip->pit)
		return -ENXIO;
	*state = (struct kvm_pit_state2){ 0 };
	irqchip_lock(chip);
	for (unsigned n = 0; n < CHANNELS; n++)
		state->channels[n] = chip->pit->channel[n];
	state->flags = chip->pit->flags;
	irqchip_unlock(chip);
	return 0;
}

int pit_set(struct vm *vm, const struct kvm_pit_state2 *state)
{
	struct irqchip *chip = vm->irqchip;

	if (!chip || !chip->pit)
		return -ENXIO;
	irqchip_lock(chip);
	chip->pit->flags = state->flags;
	for (unsigned n = 0; n < CHANNELS; n++) {
		struct kvm_pit_channel_state *ch = &chip->pit->channel[n];
		uint32_t count = state->channels[n].count;
		uint32_t most = state->channels[n].bcd ? 10000 : 0x10000;

		*ch = state->channels[n];
		ch->bcd = ch->bcd != 0;
		ch->count = count && count <= most ? count : most;
		ch->count_load_time = (int64_t)port_now_ns();
	}
	start_locked(chip->pit);
	irqchip_unlock(chip);
	return 0;
}

int pit_reinject(struct vm *vm, const struct kvm_reinject_control *control)
{
	struct irqchip *chip = vm->irqchip;

	if (!chip || !chip->pit)
		return -ENXIO;
	irqchip_lock(chip);
	chip->pit->reinject = control->pit_reinject;
	chip->pit->pending = 0;
	chip->pit->acknowledged = true;
	irqchip_unlock(chip);
	return 0;
}
