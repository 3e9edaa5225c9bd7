/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * GSI routing: which pins, or which message, a global interrupt number stands for.
 *
 * By default GSIs 0-15 are the same pins of PIC and IOAPIC, 16-23 of the IOAPIC alone; VMMs that
 * want the PC's usual IRQ0 -> pin 2 say so with KVM_SET_GSI_ROUTING.
 *
 * Manual: Linux, Documentation/virt/kvm/api.rst, KVM_SET_GSI_ROUTING, KVM_IRQ_LINE.
 * Not modelled: Hyper-V SINT and Xen event-channel routes (refused).
 */
#include "engine/irqchip/internal.h"

#include <errno.h>
#include <string.h>

static bool entry_fits(const struct routes *table, const struct kvm_irq_routing_entry *entry)
{
	if (entry->gsi >= MAX_GSIS)
		return false;
	if (entry->type == KVM_IRQ_ROUTING_IRQCHIP) {
		unsigned pins =
			entry->u.irqchip.irqchip == KVM_IRQCHIP_IOAPIC ? IOAPIC_PINS : PIC_PINS;

		if (entry->u.irqchip.irqchip > KVM_IRQCHIP_IOAPIC || entry->u.irqchip.pin >= pins)
			return false;
	} else if (entry->type != KVM_IRQ_ROUTING_MSI) {
		return false;
	}

	/* One message, or one pin of each chip, per GSI. */
	for (int i = table->first[entry->gsi]; i >= 0; i = table->next[i]) {
		const struct kvm_irq_routing_entry *other = &table->entries[i];

		if (entry->type == KVM_IRQ_ROUTING_MSI || other->type == KVM_IRQ_ROUTING_MSI ||
		    entry->u.irqchip.irqchip == other->u.irqchip.irqchip)
			return false;
	}
	return true;
}

/* NULL: no memory, or an entry that makes no sense. */
struct routes *routes_new(const struct kvm_irq_routing_entry *entries, unsigned count)
{
	struct routes *table = port_alloc(sizeof(*table));

	if (!table)
		return NULL;
	memset(table->first, 0xff, sizeof(table->first));
	table->entries = port_alloc((count + 1) * sizeof(*entries));
	table->next = port_alloc((count + 1) * sizeof(*table->next));
	if (!table->entries || !table->next)
		goto undo_table;
	for (unsigned i = 0; i < count; i++) {
		if (!entry_fits(table, &entries[i]))
			goto undo_table;
		table->entries[i] = entries[i];
		table->next[i] = table->first[entries[i].gsi];
		table->first[entries[i].gsi] = (int16_t)i;
		table->count++;
	}
	return table;

undo_table:
	routes_free(table);
	return NULL;
}

void routes_free(struct routes *routes)
{
	if (!routes)
		return;
	port_free(routes->entries);
	port_free(routes->next);
	port_free(routes);
}

int routes_default(struct irqchip *chip)
{
	struct kvm_irq_routing_entry entries[IOAPIC_PINS + 2 * PIC_PINS] = { 0 };
	unsigned count = 0;

	for (unsigned gsi = 0; chip->has_pic && gsi < IOAPIC_PINS; gsi++) {
		if (gsi < 2 * PIC_PINS) {
			entries[count].gsi = gsi;
			entries[count].type = KVM_IRQ_ROUTING_IRQCHIP;
			entries[count].u.irqchip.irqchip = gsi / PIC_PINS;
			entries[count++].u.irqchip.pin = gsi % PIC_PINS;
		}
		entries[count].gsi = gsi;
		entries[count].type = KVM_IRQ_ROUTING_IRQCHIP;
		entries[count].u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
		entries[count++].u.irqchip.pin = gsi;
	}
	chip->routes = routes_new(entries, count);
	return chip->routes ? 0 : -ENOMEM;
}

int irq_set_routing(struct vm *vm, const struct kvm_irq_routing *routing,
		    const struct kvm_irq_routing_entry *entries)
{
	struct irqchip *chip = vm->irqchip;
	struct routes *table, *old;

	if (!chip)
		return -EINVAL;
	if (routing->flags || routing->nr > MAX_GSIS)
		return -EINVAL;
	for (unsigned i = 0; i < routing->nr; i++) {
		const struct kvm_irq_routing_entry *entry = &entries[i];

		if (entry->flags & ~(entry->type == KVM_IRQ_ROUTING_MSI ? KVM_MSI_VALID_DEVID : 0u))
			return -EINVAL;
		if (entry->type == KVM_IRQ_ROUTING_MSI && vm->x2apic_long_ids &&
		    entry->u.msi.address_hi & 0xff)
			return -EINVAL;
		if (entry->type == KVM_IRQ_ROUTING_IRQCHIP && !chip->has_pic)
			return -EINVAL;
	}
	table = routes_new(entries, routing->nr);
	if (!table)
		return -EINVAL;

	irqchip_lock(chip);
	old = chip->routes;
	chip->routes = table;
	eoi_vectors_update_locked(chip);
	irqchip_unlock(chip);
	routes_free(old);
	return 0;
}

/* [SDM 3 11.11] and, with x2apic_long_ids, destination bits 8-31 in address bits 40-63. */
static void decode_msi(const struct vm *vm, uint32_t low, uint32_t high, uint32_t data,
		       struct apic_message *message)
{
	*message = (struct apic_message){
		.destination = low >> 12 & 0xff,
		.is_logical = low & 4,
		.lowest_hint = low & 8,
		.vector = (uint8_t)data,
		.delivery = data >> 8 & 7,
		.is_level = data & 0x8000,
		.is_asserted = true,
	};
	if (vm->x2apic_long_ids)
		message->destination |= high & 0xffffff00;
}

int irq_send_msi(struct vm *vm, const struct kvm_msi *msi)
{
	struct apic_message message;

	if (!vm->irqchip || msi->flags)
		return -EINVAL;
	if (vm->x2apic_long_ids && msi->address_hi & 0xff)
		return -EINVAL;
	decode_msi(vm, msi->address_lo, msi->address_hi, msi->data, &message);
	return apic_deliver(vm, NULL, &message);
}

static int entry_set_locked(struct irqchip *chip, const struct kvm_irq_routing_entry *entry,
			    enum line_source source, bool level)
{
	struct apic_message message;

	if (entry->type == KVM_IRQ_ROUTING_MSI) {
		if (!level)
			return -1;
		decode_msi(chip->vm, entry->u.msi.address_lo, entry->u.msi.address_hi,
			   entry->u.msi.data, &message);
		return apic_deliver(chip->vm, NULL, &message);
	}
	if (entry->u.irqchip.irqchip == KVM_IRQCHIP_IOAPIC)
		return ioapic_set_locked(chip, entry->u.irqchip.pin, source, level);
	return pic_set_locked(chip, entry->u.irqchip.irqchip * PIC_PINS + entry->u.irqchip.pin,
			      source, level);
}

int gsi_set_locked(struct irqchip *chip, unsigned gsi, enum line_source source, bool level)
{
	int result = -1;

	if (gsi >= MAX_GSIS)
		return -1;
	for (int i = chip->routes->first[gsi]; i >= 0; i = chip->routes->next[i]) {
		int taken = entry_set_locked(chip, &chip->routes->entries[i], source, level);

		if (taken >= 0)
			result = taken + MAX(result, 0);
	}
	return result;
}

int irq_line(struct vm *vm, unsigned gsi, bool level)
{
	struct irqchip *chip = vm->irqchip;
	int result;

	if (!chip)
		return -ENXIO;
	irqchip_lock(chip);
	result = gsi_set_locked(chip, gsi, SOURCE_USER, level);
	irqchip_unlock(chip);
	return result;
}

bool gsi_routed_to_locked(const struct irqchip *chip, unsigned gsi, unsigned id, unsigned pin)
{
	if (gsi >= MAX_GSIS)
		return false;
	for (int i = chip->routes->first[gsi]; i >= 0; i = chip->routes->next[i]) {
		const struct kvm_irq_routing_entry *entry = &chip->routes->entries[i];

		if (entry->type == KVM_IRQ_ROUTING_IRQCHIP && entry->u.irqchip.irqchip == id &&
		    entry->u.irqchip.pin == pin)
			return true;
	}
	return false;
}

/* Somebody other than the pin itself cares when the guest is done with its interrupt. */
static bool pin_has_listener_locked(const struct irqchip *chip, unsigned pin)
{
	return (chip->pit && gsi_routed_to_locked(chip, 0, KVM_IRQCHIP_IOAPIC, pin)) ||
	       irqfds_listen_locked(chip, KVM_IRQCHIP_IOAPIC, pin);
}

void eoi_vectors_update_locked(struct irqchip *chip)
{
	uint64_t map[4] = { 0 };

	for (unsigned pin = 0; chip->has_pic && pin < IOAPIC_PINS; pin++) {
		uint64_t entry = chip->ioapic.redirect[pin];

		if (entry & 0x8000 || pin_has_listener_locked(chip, pin))
			map[(entry & 0xff) / 64] |= BIT((entry & 0xff) % 64);
	}
	/* The VMM's IOAPIC pins are routes to messages; it wants EOIs of the level ones. */
	for (unsigned gsi = 0; gsi < chip->split_routes; gsi++) {
		for (int i = chip->routes->first[gsi]; i >= 0; i = chip->routes->next[i]) {
			uint32_t data = chip->routes->entries[i].u.msi.data;

			if (data & 0x8000)
				map[(data & 0xff) / 64] |= BIT((data & 0xff) % 64);
		}
	}
	for (int i = 0; i < 4; i++)
		__atomic_store_n(&chip->eoi_vectors[i], map[i], __ATOMIC_SEQ_CST);
}

void pin_acknowledged_locked(struct irqchip *chip, unsigned id, unsigned pin)
{
	irqfds_acknowledged_locked(chip, id, pin);
	if (chip->pit && gsi_routed_to_locked(chip, 0, id, pin))
		pit_acknowledged_locked(chip);
}

void pin_unmasked_locked(struct irqchip *chip, unsigned id, unsigned pin)
{
	if (chip->pit && gsi_routed_to_locked(chip, 0, id, pin))
		pit_unmasked_locked(chip);
}
