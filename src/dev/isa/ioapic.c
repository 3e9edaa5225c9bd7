/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * I/O APIC: 24 inputs, each with a redirection entry that says which message goes to the local APICs.
 * Only on boards whose interrupt controllers are not KVM's (kernel-irqchip=split).
 *
 * A rising edge sends once. A level sends when nobody is serving it (Remote IRR is clear), and again
 * if it is still there at the end of interrupt, which local APICs report, or the guest by EOIR.
 *
 * Manual: Intel 82093AA data sheet (290566); EOIR and version 20h: ICH9 data sheet (316972), 13.5.
 * Not modelled: delivery mode ExtINT (the PIC has its own wire to the processor), polarity (lines
 * have one sense here), the arbitration register (it repeats the ID).
 */
#include "core/dev.h"

enum { PINS = 24, BASE = 0xfec00000u, BYTES = 0x1000 };
enum { IOREGSEL = 0x00, IOWIN = 0x10, EOIR = 0x40 };
enum { IOAPICID = 0x00, IOAPICVER = 0x01, IOAPICARB = 0x02, IOREDTBL = 0x10 };
enum { VERSION = 0x20 | (PINS - 1) << 16 };

#define VECTOR        0xffull
#define DELIVERY_MODE 0x700ull
#define LOGICAL       BIT(11)
#define REMOTE_IRR    BIT(14)
#define LEVEL         BIT(15)
#define MASKED        BIT(16)
#define WRITABLE      (0xff00000000000000ull | MASKED | LEVEL | BIT(13) | LOGICAL | DELIVERY_MODE | VECTOR)

enum { MODE_EXTINT = 7 };

struct ioapic {
	struct dev dev;
	uint8_t select, id;
	uint32_t lines; /* that are high */
	uint64_t entry[PINS];
	uint64_t messages;
};

static const struct field ioapic_fields[] = {
	STATE(struct ioapic, select),
	STATE(struct ioapic, id, .max = 15),
	STATE(struct ioapic, lines, .max = BIT(PINS) - 1),
	STATE(struct ioapic, entry),
	COUNTER(struct ioapic, messages, .help = "messages sent"),
	{ 0 }
};

static struct ioapic *to_ioapic(struct dev *dev)
{
	return container_of(dev, struct ioapic, dev);
}

/* As SDM volume 3, "Message Signalled Interrupts", lays them out. */
static uint64_t message_address(uint64_t entry)
{
	return 0xfee00000u | (entry >> 56) << 12 | (entry & LOGICAL ? 4 : 0);
}

static uint32_t message_data(uint64_t entry)
{
	return (uint32_t)(entry & (VECTOR | DELIVERY_MODE)) |
	       (entry & LEVEL ? 0x8000 | 0x4000 : 0);
}

static void send(struct ioapic *a, unsigned pin)
{
	uint64_t *entry = &a->entry[pin];

	if ((*entry & DELIVERY_MODE) >> 8 == MODE_EXTINT) {
		guest_error(&a->dev, "pin %u is set to ExtINT", pin);
		return;
	}
	if (*entry & LEVEL)
		*entry |= REMOTE_IRR;
	a->messages++;
	msi_send(&a->dev, message_address(*entry), message_data(*entry));
}

static void send_level(struct ioapic *a, unsigned pin)
{
	uint64_t entry = a->entry[pin];

	if (entry & LEVEL && !(entry & (MASKED | REMOTE_IRR)) && a->lines & BIT(pin))
		send(a, pin);
}

/* The timer is on pin 2, where the other lines have the PICs' cascade. */
static void set_line(struct dev *dev, unsigned gsi, bool level)
{
	struct ioapic *a = to_ioapic(dev);
	unsigned pin = gsi == 0 ? 2 : gsi;
	bool rises;

	if (gsi >= PINS || gsi == 2)
		return;
	rises = level && !(a->lines & BIT(pin));
	a->lines = level ? a->lines | (uint32_t)BIT(pin) : a->lines & ~(uint32_t)BIT(pin);
	if (a->entry[pin] & LEVEL)
		send_level(a, pin);
	else if (rises && !(a->entry[pin] & MASKED))
		send(a, pin);
}

static void end_of_interrupt(struct dev *dev, uint8_t vector)
{
	struct ioapic *a = to_ioapic(dev);

	for (unsigned pin = 0; pin < PINS; pin++) {
		if ((a->entry[pin] & VECTOR) != vector || !(a->entry[pin] & LEVEL))
			continue;
		a->entry[pin] &= ~REMOTE_IRR;
		send_level(a, pin);
	}
}

static void tell_route(struct ioapic *a, unsigned pin)
{
	irq_chip_route(&a->dev, pin, message_address(a->entry[pin]), message_data(a->entry[pin]));
}

static void write_entry(struct ioapic *a, unsigned reg, uint32_t value)
{
	unsigned pin = (reg - IOREDTBL) / 2, shift = reg & 1 ? 32 : 0;
	uint64_t *entry = &a->entry[pin];
	uint64_t writable = WRITABLE & 0xffffffffull << shift;

	*entry = (*entry & ~writable) | ((uint64_t)value << shift & writable);
	if (!(*entry & LEVEL)) /* Remote IRR belongs to levels; this is how old systems clear it */
		*entry &= ~REMOTE_IRR;
	tell_route(a, pin);
	send_level(a, pin);
}

static uint32_t read_register(const struct ioapic *a)
{
	switch (a->select) {
	case IOAPICID:
	case IOAPICARB:
		return (uint32_t)a->id << 24;
	case IOAPICVER:
		return VERSION;
	case IOREDTBL ... IOREDTBL + 2 * PINS - 1:
		return (uint32_t)(a->entry[(a->select - IOREDTBL) / 2] >> (a->select & 1 ? 32 : 0));
	default:
		return UINT32_MAX;
	}
}

static uint64_t ioapic_read(struct dev *dev, uint64_t offset, unsigned size)
{
	if (offset == IOREGSEL)
		return to_ioapic(dev)->select;
	return offset == IOWIN ? read_register(to_ioapic(dev)) : 0;
}

static void ioapic_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct ioapic *a = to_ioapic(dev);

	if (offset == IOREGSEL)
		a->select = (uint8_t)value;
	else if (offset == EOIR)
		end_of_interrupt(dev, (uint8_t)value);
	else if (offset == IOWIN && a->select == IOAPICID)
		a->id = value >> 24 & 15;
	else if (offset == IOWIN && a->select >= IOREDTBL && a->select < IOREDTBL + 2 * PINS)
		write_entry(a, a->select, (uint32_t)value);
}

static const struct region ioapic_registers = {
	.name = "ioapic",
	.min_size = 4,
	.max_size = 4,
	.read = ioapic_read,
	.write = ioapic_write,
};

static const struct irq_chip ioapic_chip = {
	.line = set_line,
	.eoi = end_of_interrupt,
};

static int ioapic_attach(struct dev *dev, struct err *err)
{
	irq_chip_claim(dev, &ioapic_chip);
	return claim_mmio(dev, &ioapic_registers, BASE, BYTES, err);
}

static void ioapic_reset(struct dev *dev)
{
	struct ioapic *a = to_ioapic(dev);

	a->select = a->id = 0;
	for (unsigned pin = 0; pin < PINS; pin++) {
		a->entry[pin] = MASKED;
		tell_route(a, pin);
	}
}

static int ioapic_restored(struct dev *dev, struct err *err)
{
	struct ioapic *a = to_ioapic(dev);

	for (unsigned pin = 0; pin < PINS; pin++) {
		a->entry[pin] &= WRITABLE | (a->entry[pin] & LEVEL ? REMOTE_IRR : 0);
		tell_route(a, pin);
	}
	return 0;
}

const struct dev_class ioapic_class = {
	.name = "ioapic",
	.summary = "I/O APIC",
	.size = sizeof(struct ioapic),
	.fields = ioapic_fields,
	.board_only = true,
	.attach = ioapic_attach,
	.reset = ioapic_reset,
	.restored = ioapic_restored,
};
