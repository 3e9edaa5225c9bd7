/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * irqfds: an eventfd whose signal is an interrupt.
 *
 * A plain one pulses its GSI. One with a resample eventfd raises it and holds it; when the guest
 * acknowledges, the line is dropped and the resample eventfd signalled, so that the device may
 * raise it again.
 *
 * Manual: Linux, Documentation/virt/kvm/api.rst, KVM_IRQFD.
 * Not modelled: -EBUSY for an eventfd in use under another descriptor; the same descriptor
 * assigned to the same GSI again replaces the old one (the VMM may have closed it meanwhile).
 */
#include "engine/irqchip/internal.h"

#include <errno.h>

static void on_signal(void *context)
{
	struct irqfd *irqfd = context;
	struct irqchip *chip = irqfd->chip;

	irqchip_lock(chip);
	if (irqfd->resample) {
		gsi_set_locked(chip, irqfd->gsi, SOURCE_RESAMPLE, true);
	} else {
		gsi_set_locked(chip, irqfd->gsi, SOURCE_USER, true);
		gsi_set_locked(chip, irqfd->gsi, SOURCE_USER, false);
	}
	irqchip_unlock(chip);
}

static void irqfd_free(struct irqfd *irqfd)
{
	if (irqfd->event)
		port_event_put(irqfd->event);
	if (irqfd->resample)
		port_event_put(irqfd->resample);
	port_free(irqfd);
}

/* Takes the entry off the list; NULL: not there. */
static struct irqfd *unlink_irqfd(struct irqchip *chip, uint32_t fd, uint32_t gsi)
{
	struct irqfd *found = NULL;

	irqchip_lock(chip);
	for (struct irqfd **link = &chip->irqfds; *link; link = &(*link)->next) {
		if ((*link)->fd == fd && (*link)->gsi == gsi) {
			found = *link;
			*link = found->next;
			break;
		}
	}
	eoi_vectors_update_locked(chip);
	irqchip_unlock(chip);
	return found;
}

static int deassign(struct irqchip *chip, const struct kvm_irqfd *args)
{
	struct irqfd *irqfd = unlink_irqfd(chip, args->fd, args->gsi);

	if (irqfd)
		irqfd_free(irqfd);
	return 0;
}

int irqfd_assign(struct vm *vm, const struct kvm_irqfd *args)
{
	struct irqchip *chip = vm->irqchip;
	struct irqfd *irqfd;
	int error;

	if (args->flags & ~(KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE))
		return -EINVAL;
	if (!chip || (args->flags & KVM_IRQFD_FLAG_RESAMPLE && !chip->has_pic))
		return -EINVAL;
	if (args->flags & KVM_IRQFD_FLAG_DEASSIGN)
		return deassign(chip, args);
	if (args->gsi >= MAX_GSIS)
		return -EINVAL;

	deassign(chip, args);
	irqfd = port_alloc(sizeof(*irqfd));
	if (!irqfd)
		return -ENOMEM;
	irqfd->chip = chip;
	irqfd->fd = args->fd;
	irqfd->gsi = args->gsi;
	error = port_event_get((int)args->fd, &irqfd->event);
	if (!error && args->flags & KVM_IRQFD_FLAG_RESAMPLE)
		error = port_event_get((int)args->resamplefd, &irqfd->resample);
	if (error)
		goto undo_alloc;

	/* On the list before the first signal, so that its acknowledge finds it. */
	irqchip_lock(chip);
	irqfd->next = chip->irqfds;
	chip->irqfds = irqfd;
	eoi_vectors_update_locked(chip);
	irqchip_unlock(chip);
	error = port_event_watch(irqfd->event, on_signal, irqfd);
	if (!error)
		return 0;

	irqfd = unlink_irqfd(chip, args->fd, args->gsi);
	if (!irqfd)
		return error;
undo_alloc:
	irqfd_free(irqfd);
	return error;
}

bool irqfds_listen_locked(const struct irqchip *chip, unsigned id, unsigned pin)
{
	for (const struct irqfd *irqfd = chip->irqfds; irqfd; irqfd = irqfd->next) {
		if (irqfd->resample && gsi_routed_to_locked(chip, irqfd->gsi, id, pin))
			return true;
	}
	return false;
}

void irqfds_acknowledged_locked(struct irqchip *chip, unsigned id, unsigned pin)
{
	for (struct irqfd *irqfd = chip->irqfds; irqfd; irqfd = irqfd->next) {
		if (!irqfd->resample || !gsi_routed_to_locked(chip, irqfd->gsi, id, pin))
			continue;
		gsi_set_locked(chip, irqfd->gsi, SOURCE_RESAMPLE, false);
		port_event_signal(irqfd->resample, 1);
	}
}

void irqfds_free(struct irqchip *chip)
{
	while (chip->irqfds) {
		struct irqfd *irqfd = chip->irqfds;

		chip->irqfds = irqfd->next;
		irqfd_free(irqfd);
	}
}
