/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * PCI message-signalled interrupts: MSI with one vector, MSI-X with a table in a BAR of its own.
 *
 * Manual: PCI Local Bus Specification 3.0, section 6.8.
 */
#include "core/internal.h"

#include <errno.h>

enum { CAP_MSI = 0x05, CAP_MSIX = 0x11, MSI_BYTES = 24, MSIX_BYTES = 12 };
enum { MSI_ENABLE = 1, MSI_64_MASKABLE = 0x180, MSI_MASK = 16, MSI_PENDING = 20 };
enum { MSIX_FUNCTION_MASK = 0x4000, MSIX_ENABLE = 0x8000, ENTRY_MASKED = 1 };
enum { PBA_OFFSET = 0x800, MSIX_BAR_BYTES = 4096 };

int pci_add_msi(struct dev *dev, struct err *err)
{
	struct pci_dev *pci = to_pci(dev);
	uint8_t at = pci_add_capability(dev, CAP_MSI, MSI_BYTES);

	if (!at)
		return fail(err, ENOSPC, "no configuration space left for MSI");
	pci->msi_cap = at;
	store_le16(&pci->config[at + 2], MSI_64_MASKABLE);
	pci->writable[at + 2] = MSI_ENABLE;
	store_le32(&pci->writable[at + 4], 0xfffffffc);
	store_le32(&pci->writable[at + 8], 0xffffffff);
	store_le16(&pci->writable[at + 12], 0xffff);
	pci->writable[at + MSI_MASK] = 1;
	return 0;
}

bool pci_msi_enabled(const struct dev *dev)
{
	const struct pci_dev *pci = container_of(dev, const struct pci_dev, dev);

	return pci->msi_cap && pci->config[pci->msi_cap + 2] & MSI_ENABLE;
}

void pci_msi_send(struct dev *dev)
{
	struct pci_dev *pci = to_pci(dev);
	uint8_t *cap = &pci->config[pci->msi_cap];

	if (!pci_msi_enabled(dev))
		return;
	if (cap[MSI_MASK] & 1) {
		cap[MSI_PENDING] |= 1;
		return;
	}
	cap[MSI_PENDING] &= (uint8_t)~1;
	msi_send(dev, load_le64(cap + 4), load_le16(cap + 12));
}

static unsigned msix_control(const struct pci_dev *pci)
{
	return pci->msix_cap ? load_le16(&pci->config[pci->msix_cap + 2]) : 0;
}

bool pci_msix_enabled(const struct dev *dev)
{
	return msix_control(container_of(dev, const struct pci_dev, dev)) & MSIX_ENABLE;
}

void pci_msix_send(struct dev *dev, unsigned vector)
{
	struct pci_dev *pci = to_pci(dev);
	unsigned control = msix_control(pci);

	if (!(control & MSIX_ENABLE) || vector >= pci->msix_count)
		return;
	if (control & MSIX_FUNCTION_MASK || pci->msix[vector].control & ENTRY_MASKED) {
		pci->msix_pending |= BIT(vector);
		return;
	}
	pci->msix_pending &= ~BIT(vector);
	msi_send(dev, pci->msix[vector].address, pci->msix[vector].data);
}

/* Sends what pended behind a mask that may be gone. */
static void send_pending(struct pci_dev *pci)
{
	for (unsigned v = 0; v < pci->msix_count && pci->msix_pending; v++)
		if (pci->msix_pending & BIT(v))
			pci_msix_send(&pci->dev, v);
}

void pci_msi_config_written(struct pci_dev *pci)
{
	if (pci->msi_cap && pci->config[pci->msi_cap + MSI_PENDING] & 1)
		pci_msi_send(&pci->dev);
	send_pending(pci);
}

static uint64_t msix_read(struct dev *dev, uint64_t offset, unsigned size)
{
	struct pci_dev *pci = to_pci(dev);
	const struct msix_entry *entry = &pci->msix[MIN(offset / 16, PCI_MSIX_MAX - 1u)];

	if (offset >= PBA_OFFSET)
		return offset < PBA_OFFSET + 8
			       ? bits_of(pci->msix_pending >> 8 * (offset & 4), 0, 8 * size)
			       : 0;
	if (offset / 16 >= pci->msix_count)
		return 0;
	switch (offset % 16) {
	case 0:
		return bits_of(entry->address, 0, 8 * size);
	case 4:
		return entry->address >> 32;
	case 8:
		return bits_of(entry->data | (uint64_t)entry->control << 32, 0, 8 * size);
	default:
		return entry->control;
	}
}

static void msix_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct pci_dev *pci = to_pci(dev);
	struct msix_entry *entry = &pci->msix[MIN(offset / 16, PCI_MSIX_MAX - 1u)];

	if (offset / 16 >= pci->msix_count) /* the pending bits are read-only */
		return;
	if (size == 8) {
		msix_write(dev, offset, 4, (uint32_t)value);
		msix_write(dev, offset + 4, 4, value >> 32);
		return;
	}
	switch (offset % 16) {
	case 0:
		entry->address = (entry->address & ~0xffffffffull) | (value & ~3ull);
		break;
	case 4:
		entry->address = (uint32_t)entry->address | value << 32;
		break;
	case 8:
		entry->data = (uint32_t)value;
		break;
	default:
		entry->control = value & ENTRY_MASKED;
		send_pending(pci);
	}
}

static const struct region msix_region = {
	.name = "msix",
	.min_size = 4,
	.max_size = 8,
	.read = msix_read,
	.write = msix_write,
};

int pci_add_msix(struct dev *dev, unsigned bar, unsigned vectors, struct err *err)
{
	struct pci_dev *pci = to_pci(dev);
	uint8_t at;

	if (!vectors || vectors > PCI_MSIX_MAX)
		return fail(err, EINVAL, "%s cannot have %u MSI-X vectors", dev->id, vectors);
	at = pci_add_capability(dev, CAP_MSIX, MSIX_BYTES);
	if (!at)
		return fail(err, ENOSPC, "no configuration space left for MSI-X");
	pci->msix_cap = at;
	pci->msix_count = vectors;
	store_le16(&pci->config[at + 2], (uint16_t)(vectors - 1));
	store_le16(&pci->writable[at + 2], MSIX_ENABLE | MSIX_FUNCTION_MASK);
	store_le32(&pci->config[at + 4], bar);
	store_le32(&pci->config[at + 8], bar | PBA_OFFSET);
	return pci_claim_bar(dev, bar, &msix_region, MSIX_BAR_BYTES, false, err);
}
