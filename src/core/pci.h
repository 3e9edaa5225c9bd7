/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * PCI devices: configuration space, BARs, INTx, MSI, MSI-X.
 *
 * The configuration space is bytes plus two masks: what the guest may write and what it clears by
 * writing ones. BARs move when the guest moves them; handlers never see where they are.
 */
#ifndef CORE_PCI_H
#define CORE_PCI_H

#include "core/dev.h"

enum {
	PCI_VENDOR_ID = 0x00, PCI_DEVICE_ID = 0x02, PCI_COMMAND = 0x04, PCI_STATUS = 0x06,
	PCI_REVISION = 0x08, PCI_PROG_IF = 0x09, PCI_CLASS = 0x0a, PCI_CACHE_LINE = 0x0c,
	PCI_LATENCY = 0x0d, PCI_HEADER_TYPE = 0x0e, PCI_BAR0 = 0x10, PCI_SUBVENDOR_ID = 0x2c,
	PCI_SUBSYSTEM_ID = 0x2e, PCI_ROM = 0x30, PCI_CAPABILITIES = 0x34, PCI_IRQ_LINE = 0x3c,
	PCI_IRQ_PIN = 0x3d,
	COMMAND_IO = 1, COMMAND_MEMORY = 2, COMMAND_MASTER = 4, COMMAND_INTX_OFF = 0x400,
	STATUS_INTX = 8, STATUS_CAPABILITIES = 0x10,
};

enum { PCI_BARS = 7, PCI_ROM_BAR = 6, PCI_MSIX_MAX = 64 };

struct pci_ids {
	uint16_t vendor, device, subvendor, subdevice, class; /* class: base << 8 | sub */
	uint8_t prog_if, revision, pin; /* pin: 1 INTA# to 4, 0 none */
};

struct pci_class {
	struct dev_class dev;
	struct pci_ids ids;
	const char *rom; /* option ROM file from the firmware packages, or NULL */
	bool multifunction;
	/* Before the core answers a read of config bytes: refresh them; optional. */
	void (*config_read)(struct dev *dev, unsigned offset, unsigned size);
	/* After the core changed config bytes [offset, offset+size); optional. */
	void (*config_written)(struct dev *dev, unsigned offset, unsigned size);
};

struct pci_bar {
	uint64_t size, address; /* address: where it is mapped now, UINT64_MAX if nowhere */
	const struct region *region;
	struct ram *ram;
	struct claim *claim; /* while mapped, of `region` */
	bool is_io, is_64, prefetch;
};

struct msix_entry {
	uint64_t address;
	uint32_t data, control; /* control bit 0: masked */
};

struct pci_dev {
	struct dev dev;
	uint8_t config[256];
	uint8_t writable[256], clearable[256];
	uint8_t devfn;         /* slot << 3 | function */
	char *addr;            /* setting as typed: "05.0", "0x5"; NULL: the next free slot */
	char *romfile;         /* setting: instead of the class's, "" none */
	bool rombar, multifunction;
	bool intx_level;
	uint8_t msi_cap, msix_cap, capabilities_end;
	struct pci_bar bar[PCI_BARS];
	struct msix_entry msix[PCI_MSIX_MAX];
	uint64_t msix_pending;
	uint32_t msix_count;
	int gsi; /* where INTx is driven now; -1: nowhere */
};

extern const struct bus_class pci_bus_class;

static inline struct pci_dev *to_pci(struct dev *dev)
{
	return container_of(dev, struct pci_dev, dev);
}

/* Call from attach. Sizes are powers of two. */
int pci_claim_bar(struct dev *dev, unsigned number, const struct region *region, uint64_t size,
		  bool is_io, struct err *err);
int pci_claim_bar64(struct dev *dev, unsigned number, const struct region *region, uint64_t size,
		    bool prefetch, struct err *err); /* takes number and number + 1 */
int pci_claim_ram_bar(struct dev *dev, unsigned number, struct ram *ram, struct err *err);
/* Offset of a new capability of `size` bytes in config space, linked and zeroed but its id. */
uint8_t pci_add_capability(struct dev *dev, uint8_t id, uint8_t size);
int pci_add_msi(struct dev *dev, struct err *err); /* one vector, 64-bit, maskable */
/* `vectors` up to PCI_MSIX_MAX; table and PBA get BAR `bar` of their own (4 KiB). */
int pci_add_msix(struct dev *dev, unsigned bar, unsigned vectors, struct err *err);

void pci_irq_set(struct dev *dev, bool level); /* INTx, gated by the command register */
bool pci_msi_enabled(const struct dev *dev);
bool pci_msix_enabled(const struct dev *dev);
void pci_msi_send(struct dev *dev);
void pci_msix_send(struct dev *dev, unsigned vector); /* pends while masked */

/* dma_* that honour the bus-master bit. */
int pci_dma_read(struct dev *dev, uint64_t gpa, void *to, size_t bytes);
int pci_dma_write(struct dev *dev, uint64_t gpa, const void *from, size_t bytes);

/* The host bridge's side: configuration cycles, and which board line INTx pins reach. */
uint32_t pci_config_read(struct board *board, uint8_t bus, uint8_t devfn, unsigned offset,
			 unsigned size); /* all ones where nobody is */
void pci_config_write(struct board *board, uint8_t bus, uint8_t devfn, unsigned offset,
		      unsigned size, uint32_t value);
/* The function at an address, NULL: nobody. The first free slot >= 1, or -1. */
struct dev *pci_find(struct board *board, uint8_t bus, uint8_t devfn);
/* The interrupt router tells which GSI a pin of a slot is wired to; called again after changes. */
void pci_set_router(struct board *board, struct dev *router,
		    int (*gsi_of)(struct dev *router, unsigned slot, unsigned pin));
void pci_rerouted(struct board *board);

#endif
