/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Interrupt lines and messages, on their way to KVM.
 *
 * A line is high while any device drives it high; KVM hears of changes only. Each device's share is
 * a bit per line in struct dev, saved with it.
 */
#include "core/internal.h"

enum { PIT_GSI = 0, RTC_GSI = 8 };

/* The lines of PIT and clock go nowhere while the HPET has taken their places. */
static bool is_cut_off(const struct dev *dev, unsigned gsi)
{
	return (gsi == PIT_GSI || gsi == RTC_GSI) && dev->board->legacy_owner && dev->board->legacy_owner != dev;
}

static void drive(struct board *board, unsigned gsi, bool level)
{
	struct kvm_irq_level line = { .irq = gsi, .level = level };

	if (board->tap.line)
		board->tap.line(board->tap.tap, gsi, level);
	if (!irq_chips_take(board, gsi, level) && board->vm)
		kvm_ioctl(board->vm, KVM_IRQ_LINE, &line);
}

void irq_set(struct dev *dev, unsigned gsi, bool level)
{
	struct board *board = dev->board;

	if (gsi >= LINES || !!(dev->lines_high & BIT(gsi)) == level)
		return;
	dev->lines_high ^= BIT(gsi);
	if (is_cut_off(dev, gsi))
		return;
	if (level) {
		if (board->line_high[gsi]++ == 0)
			drive(board, gsi, true);
	} else if (--board->line_high[gsi] == 0) {
		drive(board, gsi, false);
	}
}

static void set_pit_legacy(struct board *board, bool on)
{
	struct kvm_pit_state2 pit;

	if (!board->vm || !board->has_pit || kvm_ioctl(board->vm, KVM_GET_PIT2, &pit) < 0)
		return;
	if (on)
		pit.flags |= KVM_PIT_FLAGS_HPET_LEGACY;
	else
		pit.flags &= ~(uint32_t)KVM_PIT_FLAGS_HPET_LEGACY;
	kvm_ioctl(board->vm, KVM_SET_PIT2, &pit);
}

/* Whose share of the line counts now? */
static void count_again(struct board *board, unsigned gsi)
{
	unsigned high = 0;

	for (struct dev *d = board->devs; d; d = d->next)
		high += d->lines_high & BIT(gsi) && !is_cut_off(d, gsi);
	if (!!high != !!board->line_high[gsi])
		drive(board, gsi, high);
	board->line_high[gsi] = high;
}

void irq_legacy_replacement(struct dev *dev, bool on)
{
	struct board *board = dev->board;

	if (on == (board->legacy_owner == dev) || (on && board->legacy_owner))
		return;
	board->legacy_owner = on ? dev : NULL;
	set_pit_legacy(board, on);
	count_again(board, PIT_GSI);
	count_again(board, RTC_GSI);
}

void irq_release(struct dev *dev)
{
	for (unsigned gsi = 0; dev->lines_high; gsi++)
		irq_set(dev, gsi, false);
}

void irq_load(struct dev *dev, uint64_t lines_high)
{
	for (unsigned gsi = 0; gsi < LINES; gsi++)
		irq_set(dev, gsi, lines_high & BIT(gsi));
}

void msi_send(struct dev *dev, uint64_t address, uint32_t data)
{
	struct board *board = dev->board;
	struct kvm_msi msi = { .address_lo = (uint32_t)address,
			       .address_hi = (uint32_t)(address >> 32),
			       .data = data };

	if (board->tap.msi)
		board->tap.msi(board->tap.tap, address, data);
	if (board->vm)
		kvm_ioctl(board->vm, KVM_SIGNAL_MSI, &msi);
}

bool board_line(struct board *board, unsigned gsi)
{
	bool level;

	board_lock(board);
	level = gsi < LINES && board->line_high[gsi];
	board_unlock(board);
	return level;
}

void board_tap(struct board *board, const struct board_tap *tap)
{
	board_lock(board);
	board->tap = *tap;
	board_unlock(board);
}

void board_nmi(struct board *board)
{
	for (unsigned i = 0; i < board->vcpu_count; i++)
		board_vcpu_ioctl(board, i, KVM_NMI, NULL);
}
