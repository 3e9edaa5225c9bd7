/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Interrupt controllers that are devices of ours, next to local APICs that are KVM's: see dev.h.
 *
 * An IOAPIC's messages are sent by msi_send. KVM learns its pins as routes all the same: from those
 * it sees of which vectors it has to report the end (KVM_EXIT_IOAPIC_EOI).
 *
 * The PIC's INTR is wired to the first vCPU. Its thread asks for the vector when the guest can take
 * it, and not earlier: KVM_INTERRUPT cannot be taken back, and no ioctl would save it.
 *
 * Manual: the kernel's KVM API document, KVM_CAP_SPLIT_IRQCHIP, KVM_INTERRUPT, KVM_SET_GSI_ROUTING.
 * Not modelled: INTR at the LINT0 of other vCPUs.
 */
#include "core/internal.h"

#include <assert.h>
#include <stdlib.h>

enum { TRIGGER_LEVEL = 0x8000 };

void irq_chip_claim(struct dev *dev, const struct irq_chip *chip)
{
	struct board *board = dev->board;

	for (unsigned i = 0; i < ARRAY_LEN(board->irq_chips); i++) {
		if (board->irq_chips[i].dev)
			continue;
		board->irq_chips[i].dev = dev;
		board->irq_chips[i].chip = chip;
		return;
	}
	assert(!"too many interrupt controllers");
}

void irq_chip_release_of(struct dev *dev)
{
	struct board *board = dev->board;

	for (unsigned i = 0; i < ARRAY_LEN(board->irq_chips); i++)
		if (board->irq_chips[i].dev == dev) {
			if (board->irq_chips[i].chip->acknowledge)
				irq_chip_intr(dev, false);
			board->irq_chips[i].dev = NULL;
		}
}

bool irq_chips_take(struct board *board, unsigned gsi, bool level)
{
	bool taken = false;

	for (unsigned i = 0; i < ARRAY_LEN(board->irq_chips); i++) {
		struct dev *dev = board->irq_chips[i].dev;

		if (!dev)
			continue;
		if (board->irq_chips[i].chip->line)
			board->irq_chips[i].chip->line(dev, gsi, level);
		taken = true;
	}
	return taken;
}

void irq_chip_intr(struct dev *dev, bool high)
{
	struct board *board = dev->board;

	if (board->intr == high)
		return;
	__atomic_store_n(&board->intr, high, __ATOMIC_SEQ_CST);
	if (high && board->vcpu_count)
		vcpu_kick_other(&board->vcpus[0]);
}

int board_take_intr(struct board *board)
{
	int vector = -1;

	board_lock(board);
	for (unsigned i = 0; board->intr && vector < 0 && i < ARRAY_LEN(board->irq_chips); i++) {
		struct dev *dev = board->irq_chips[i].dev;

		if (dev && board->irq_chips[i].chip->acknowledge)
			vector = board->irq_chips[i].chip->acknowledge(dev);
	}
	board_unlock(board);
	return vector;
}

void board_eoi(struct board *board, uint8_t vector)
{
	board_lock(board);
	for (unsigned i = 0; i < ARRAY_LEN(board->irq_chips); i++) {
		struct dev *dev = board->irq_chips[i].dev;

		if (dev && board->irq_chips[i].chip->eoi)
			board->irq_chips[i].chip->eoi(dev, vector);
	}
	board_unlock(board);
}

static void tell_routes(struct board *board)
{
	struct kvm_irq_routing *routing =
		must_alloc(sizeof(*routing) + IRQ_PINS * sizeof(routing->entries[0]));

	for (unsigned pin = 0; pin < IRQ_PINS; pin++) {
		const struct irq_route *route = &board->irq_routes[pin];
		struct kvm_irq_routing_entry entry = { .gsi = pin, .type = KVM_IRQ_ROUTING_MSI };

		if (!(route->data & TRIGGER_LEVEL))
			continue;
		entry.u.msi.address_lo = (uint32_t)route->address;
		entry.u.msi.address_hi = (uint32_t)(route->address >> 32);
		entry.u.msi.data = route->data;
		routing->entries[routing->nr++] = entry;
	}
	if (kvm_ioctl(board->vm, KVM_SET_GSI_ROUTING, routing) < 0)
		log_line("the ends of level-triggered interrupts will not be seen");
	free(routing);
}

void irq_chip_route(struct dev *dev, unsigned pin, uint64_t address, uint32_t data)
{
	struct irq_route *route = &dev->board->irq_routes[pin];
	bool matters = (route->data | data) & TRIGGER_LEVEL;

	assert(pin < IRQ_PINS);
	if (route->address == address && route->data == data)
		return;
	*route = (struct irq_route){ address, data };
	if (matters && dev->board->vm)
		tell_routes(dev->board);
}
