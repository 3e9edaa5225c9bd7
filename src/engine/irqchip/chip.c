/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * The VM's interrupt controllers as a whole: made, freed, saved, and reached by port or address.
 *
 * Either all chips are here (KVM_CREATE_IRQCHIP) or only LAPICs and routes
 * (KVM_CAP_SPLIT_IRQCHIP) with PIC, IOAPIC and PIT in the VMM.
 */
#include "engine/irqchip/internal.h"

#include "base/bytes.h"

#include <errno.h>

enum { IOAPIC_WINDOW_BYTES = 0x100 };

void irqchip_lock(struct irqchip *chip)
{
	lock_take(&chip->lock);
}

void irqchip_unlock(struct irqchip *chip)
{
	while (chip->pit && chip->pit->pulse_due)
		pit_pulse_locked(chip);
	lock_drop(&chip->lock);
}

static int create(struct vm *vm, bool has_pic, unsigned split_routes)
{
	struct irqchip *chip = port_alloc(sizeof(*chip));
	int error = 0;

	if (!chip)
		return -ENOMEM;
	chip->vm = vm;
	chip->has_pic = has_pic;
	chip->split_routes = split_routes;
	error = routes_default(chip);
	if (error)
		goto undo_alloc;
	if (has_pic) {
		pic_reset_locked(chip);
		ioapic_reset_locked(chip);
	}

	lock_take(&vm->lock);
	error = vm->irqchip ? -EEXIST : vm->vcpu_count ? -EINVAL : 0;
	if (!error) {
		vm->split_irqchip = !has_pic;
		__atomic_store_n(&vm->irqchip, chip, __ATOMIC_RELEASE);
	}
	lock_drop(&vm->lock);
	if (!error)
		return 0;

	routes_free(chip->routes);
undo_alloc:
	port_free(chip);
	return error;
}

int irqchip_create(struct vm *vm)
{
	return create(vm, true, 0);
}

int irqchip_create_split(struct vm *vm, unsigned routes)
{
	return routes > MAX_GSIS ? -EINVAL : create(vm, false, routes);
}

void irqchip_free(struct vm *vm)
{
	struct irqchip *chip = vm->irqchip;

	if (!chip)
		return;
	irqfds_free(chip);
	pit_free(chip);
	routes_free(chip->routes);
	port_free(chip);
	vm->irqchip = NULL;
}

int irqchip_get(struct vm *vm, struct kvm_irqchip *state)
{
	struct irqchip *chip = vm->irqchip;
	int error = 0;

	if (!chip || !chip->has_pic)
		return -ENXIO;
	irqchip_lock(chip);
	if (state->chip_id == KVM_IRQCHIP_PIC_MASTER || state->chip_id == KVM_IRQCHIP_PIC_SLAVE)
		state->chip.pic = chip->pic.chip[state->chip_id];
	else if (state->chip_id == KVM_IRQCHIP_IOAPIC)
		ioapic_get_locked(chip, &state->chip.ioapic);
	else
		error = -EINVAL;
	irqchip_unlock(chip);
	return error;
}

int irqchip_set(struct vm *vm, const struct kvm_irqchip *state)
{
	struct irqchip *chip = vm->irqchip;
	int error = 0;

	if (!chip || !chip->has_pic)
		return -ENXIO;
	irqchip_lock(chip);
	if (state->chip_id == KVM_IRQCHIP_PIC_MASTER || state->chip_id == KVM_IRQCHIP_PIC_SLAVE) {
		chip->pic.chip[state->chip_id] = state->chip.pic;
		chip->pic.chip[state->chip_id].elcr_mask = state->chip_id ? 0xde : 0xf8;
		pic_update_locked(chip);
	} else if (state->chip_id == KVM_IRQCHIP_IOAPIC) {
		ioapic_set_state_locked(chip, &state->chip.ioapic);
	} else {
		error = -EINVAL;
	}
	irqchip_unlock(chip);
	return error;
}

bool irqchip_port_read(struct vcpu *c, uint16_t port, unsigned size, uint32_t *value)
{
	struct irqchip *chip = c->vm->irqchip;
	bool is_ours = true;

	if (!chip || !chip->has_pic)
		return false;
	irqchip_lock(chip);
	if (is_pic_port(port)) /* the chips answer only byte accesses */
		*value = size == 1 ? pic_read_locked(chip, port) : 0;
	else if (is_pit_port(chip->pit, port))
		*value = pit_read_locked(chip, port);
	else
		is_ours = false;
	irqchip_unlock(chip);
	return is_ours;
}

bool irqchip_port_write(struct vcpu *c, uint16_t port, unsigned size, uint32_t value)
{
	struct irqchip *chip = c->vm->irqchip;
	bool is_ours = true;

	if (!chip || !chip->has_pic)
		return false;
	irqchip_lock(chip);
	if (is_pic_port(port)) {
		if (size == 1)
			pic_write_locked(chip, port, (uint8_t)value);
	} else if (is_pit_port(chip->pit, port)) {
		pit_write_locked(chip, port, (uint8_t)value);
	} else {
		is_ours = false;
	}
	irqchip_unlock(chip);
	return is_ours;
}

/* 0: not the LAPIC's page; 1: a register; 2: the hole that x2APIC mode or a disabled LAPIC leaves
 * (reads as ones, KVM_X86_QUIRK_LAPIC_MMIO_HOLE). */
static int lapic_page_hit(const struct vcpu *c, gpa_t gpa, unsigned size)
{
	if (!c->lapic || (gpa & PAGE_MASK) != (c->apic_base & PAGE_MASK))
		return 0;
	if (gpa + size > (c->apic_base & PAGE_MASK) + PAGE_BYTES)
		return 0;
	return (c->apic_base & BASE_MODE) == BASE_ENABLE ? 1 : 2;
}

static bool ioapic_hit(const struct irqchip *chip, gpa_t gpa)
{
	return chip && chip->has_pic && gpa - chip->ioapic.base < IOAPIC_WINDOW_BYTES;
}

bool irqchip_mmio_read(struct vcpu *c, gpa_t gpa, unsigned size, uint64_t *value)
{
	struct irqchip *chip = c->vm->irqchip;
	int hit = lapic_page_hit(c, gpa, size);
	uint32_t word = 0;

	if (hit == 2) {
		*value = size < 8 ? BIT(size * 8) - 1 : ~0ull;
		return true;
	}
	if (hit) { /* accesses of up to 4 bytes within the first 4 of every 16 */
		if ((gpa & 15) + size <= 4)
			lapic_reg_read(c, gpa & 0xff0, &word);
		*value = (word >> (gpa & 3) * 8) & (uint32_t)(BIT(MIN(size, 4) * 8) - 1);
		return true;
	}
	if (!ioapic_hit(chip, gpa))
		return false;
	irqchip_lock(chip);
	*value = ioapic_read_locked(chip, gpa & 0xff) & (size < 4 ? BIT(size * 8) - 1 : ~0u);
	irqchip_unlock(chip);
	return true;
}

bool irqchip_mmio_write(struct vcpu *c, gpa_t gpa, unsigned size, uint64_t value)
{
	struct irqchip *chip = c->vm->irqchip;
	int hit = lapic_page_hit(c, gpa, size);

	if (hit == 1 && size == 4 && !(gpa & 15)) /* others are undefined: ignored */
		lapic_reg_write(c, gpa & 0xff0, (uint32_t)value);
	if (hit)
		return true;
	if (!ioapic_hit(chip, gpa))
		return false;
	irqchip_lock(chip);
	ioapic_write_locked(chip, gpa & 0xff, (uint32_t)value);
	irqchip_unlock(chip);
	return true;
}
