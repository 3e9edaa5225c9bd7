/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * I/O APIC: 24 pins, each with a redirection entry that says which message it sends.
 *
 * A level-triggered pin sends once, sets Remote IRR and waits for the EOI of its vector, from any
 * LAPIC's broadcast or the EOI register (version 0x20).
 *
 * Manual: Intel 82093AA (290566); ICH9 data sheet 13.5 for version 0x20 and the EOI register.
 * Not modelled: an edge on a masked pin is lost; polarity (lines are logical levels); 8 bits of
 * destination only.
 */
#include "engine/irqchip/internal.h"

enum { WINDOW_SELECT = 0x00, WINDOW_DATA = 0x10, WINDOW_EOI = 0x40 };
enum { REG_ID = 0, REG_VERSION = 1, REG_ARBITRATION = 2, REG_REDIRECT = 0x10 };
enum { VERSION = 0x20 };

#define RTE_LOGICAL      BIT(11)
#define RTE_STATUS       BIT(12)
#define RTE_REMOTE_IRR   BIT(14)
#define RTE_LEVEL        BIT(15)
#define RTE_MASKED       BIT(16)
#define RTE_READ_ONLY    (RTE_STATUS | RTE_REMOTE_IRR)
#define RTE_WRITABLE_LOW 0x1afffull /* all that is defined, without RTE_READ_ONLY */
#define RTE_DEFINED      (0xff00000000000000ull | RTE_WRITABLE_LOW | RTE_READ_ONLY)
#define IOAPIC_BASE      0xfec00000ull

static int send(struct irqchip *chip, unsigned pin)
{
	uint64_t *entry = &chip->ioapic.redirect[pin];
	struct apic_message message = {
		.destination = (uint32_t)(*entry >> 56),
		.vector = (uint8_t)*entry,
		.delivery = *entry >> 8 & 7,
		.is_logical = *entry & RTE_LOGICAL,
		.is_level = *entry & RTE_LEVEL,
		.is_asserted = true,
	};
	int taken;

	if (*entry & RTE_MASKED)
		return -1;
	if (message.is_level && *entry & RTE_REMOTE_IRR)
		return 0;
	/* Before it is sent: the EOI may come at once, though it then waits for our lock. */
	if (message.is_level)
		*entry |= RTE_REMOTE_IRR;
	taken = apic_deliver(chip->vm, NULL, &message);
	if (taken <= 0)
		*entry &= ~RTE_REMOTE_IRR;
	return taken;
}

int ioapic_set_locked(struct irqchip *chip, unsigned pin, enum line_source source, bool level)
{
	struct ioapic *ioapic = &chip->ioapic;
	uint32_t bit = 1u << pin;
	bool was_up = ioapic->levels & bit;

	ioapic->sources[pin] =
		level ? ioapic->sources[pin] | source : ioapic->sources[pin] & ~source;
	if (!ioapic->sources[pin]) {
		ioapic->levels &= ~bit;
		return 1;
	}
	ioapic->levels |= bit;
	if (was_up && !(ioapic->redirect[pin] & RTE_LEVEL))
		return 0;
	return send(chip, pin);
}

static void end_of_interrupt(struct irqchip *chip, unsigned pin, bool is_level)
{
	struct ioapic *ioapic = &chip->ioapic;

	pin_acknowledged_locked(chip, KVM_IRQCHIP_IOAPIC, pin); /* may lower the line */
	if (!is_level || !(ioapic->redirect[pin] & RTE_LEVEL))
		return;
	ioapic->redirect[pin] &= ~RTE_REMOTE_IRR;
	if (ioapic->levels >> pin & 1)
		send(chip, pin);
}

void ioapic_eoi_locked(struct irqchip *chip, uint8_t vector, bool is_level)
{
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
		if ((uint8_t)chip->ioapic.redirect[pin] == vector)
			end_of_interrupt(chip, pin, is_level);
	}
}

static void write_redirect(struct irqchip *chip, unsigned pin, bool is_high, uint32_t value)
{
	uint64_t *entry = &chip->ioapic.redirect[pin];
	uint64_t old = *entry;

	if (is_high) {
		*entry = (uint32_t)old | ((uint64_t)(value & 0xff000000) << 32);
	} else {
		*entry = (old & ~RTE_WRITABLE_LOW) | (value & RTE_WRITABLE_LOW);
		/* Guests without an EOI register clear Remote IRR by going through edge mode. */
		if (!(*entry & RTE_LEVEL))
			*entry &= ~RTE_REMOTE_IRR;
	}
	eoi_vectors_update_locked(chip);
	if (old & RTE_MASKED && !(*entry & RTE_MASKED))
		pin_unmasked_locked(chip, KVM_IRQCHIP_IOAPIC, pin);
	if (*entry & RTE_LEVEL && chip->ioapic.levels >> pin & 1)
		send(chip, pin);
}

void ioapic_write_locked(struct irqchip *chip, unsigned offset, uint32_t value)
{
	struct ioapic *ioapic = &chip->ioapic;
	unsigned pin = (ioapic->select - REG_REDIRECT) / 2;

	switch (offset & ~0xfu) {
	case WINDOW_SELECT:
		ioapic->select = value & 0xff;
		break;
	case WINDOW_DATA:
		if (ioapic->select == REG_ID)
			ioapic->id = value >> 24 & 0xf;
		else if (ioapic->select >= REG_REDIRECT && pin < IOAPIC_PINS)
			write_redirect(chip, pin, ioapic->select & 1, value);
		break;
	case WINDOW_EOI:
		ioapic_eoi_locked(chip, (uint8_t)value, true);
		break;
	default:
		break;
	}
}

uint32_t ioapic_read_locked(struct irqchip *chip, unsigned offset)
{
	const struct ioapic *ioapic = &chip->ioapic;
	unsigned pin = (ioapic->select - REG_REDIRECT) / 2;

	if ((offset & ~0xfu) == WINDOW_SELECT)
		return ioapic->select;
	if ((offset & ~0xfu) != WINDOW_DATA)
		return 0;
	if (ioapic->select == REG_VERSION)
		return (IOAPIC_PINS - 1) << 16 | VERSION;
	if (ioapic->select == REG_ID || ioapic->select == REG_ARBITRATION)
		return ioapic->id << 24;
	if (ioapic->select < REG_REDIRECT || pin >= IOAPIC_PINS)
		return 0;
	return (uint32_t)(ioapic->redirect[pin] >> (ioapic->select & 1 ? 32 : 0));
}

void ioapic_reset_locked(struct irqchip *chip)
{
	chip->ioapic = (struct ioapic){ .base = IOAPIC_BASE };
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
		chip->ioapic.redirect[pin] = RTE_MASKED;
	eoi_vectors_update_locked(chip);
}

void ioapic_get_locked(struct irqchip *chip, struct kvm_ioapic_state *state)
{
	const struct ioapic *ioapic = &chip->ioapic;

	*state = (struct kvm_ioapic_state){
		.base_address = ioapic->base,
		.ioregsel = ioapic->select,
		.id = ioapic->id,
		.irr = ioapic->levels,
	};
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
		state->redirtbl[pin].bits = ioapic->redirect[pin];
}

void ioapic_set_state_locked(struct irqchip *chip, const struct kvm_ioapic_state *state)
{
	struct ioapic *ioapic = &chip->ioapic;

	ioapic->base = state->base_address;
	ioapic->select = state->ioregsel & 0xff;
	ioapic->id = state->id & 0xf;
	ioapic->levels = 0;
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
		ioapic->redirect[pin] = state->redirtbl[pin].bits & RTE_DEFINED;
	eoi_vectors_update_locked(chip);
	/* Lines that were up are raised again: level ones not yet sent are sent now. */
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
		if (!(state->irr >> pin & 1))
			continue;
		ioapic->levels |= 1u << pin;
		if (ioapic->redirect[pin] & RTE_LEVEL)
			send(chip, pin);
	}
}
