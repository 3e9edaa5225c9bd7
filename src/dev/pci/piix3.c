/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Intel PIIX3 PCI-to-ISA bridge: which interrupt lines the PCI pins reach.
 *
 * Four PIRQ registers route the PCI interrupt wires to ISA interrupts; slots take the wires in
 * turn. The edge/level register, timers, DMA and interrupt controllers are models of their own.
 *
 * Manual: Intel 82371FB/82371SB (PIIX/PIIX3), order 290550, section 2.2.
 * Not modelled: X-bus decoding (XBCS and the like only keep their bits), APM registers (see
 * piix4_pm.c), USB.
 */
#include "dev/pci/chipset.h"

#include <errno.h>

enum {
	IORT = 0x4c,
	XBCS = 0x4e,
	PIRQA = 0x60, /* to 0x63 */
	PIRQ_COUNT = 4,
	PIRQ_OFF = 0x80,
	TOM = 0x69,
	MSTAT = 0x6a,
	MBIRQ0 = 0x70,
	MBIRQ1 = 0x71,
	APICBASE = 0x80,
	DLC = 0x82,
	SMICNTL = 0xa0, /* to 0xaf: system management */
};

struct piix3 {
	struct pci_dev pci;
};

static const struct field piix3_fields[] = {
	{ 0 },
};

/* Pins 0 to 3 of a slot; slot 1's INTA# is wire A. */
static int gsi_of(struct dev *dev, unsigned slot, unsigned pin)
{
	unsigned wire = (slot + pin + 3) % PIRQ_COUNT;
	uint8_t route = to_pci(dev)->config[PIRQA + wire];

	return route & PIRQ_OFF ? -1 : route & 15;
}

static void piix3_config_written(struct dev *dev, unsigned offset, unsigned size)
{
	if (offset < PIRQA + PIRQ_COUNT && offset + size > PIRQA)
		pci_rerouted(dev->board);
}

static void piix3_reset(struct dev *dev)
{
	uint8_t *config = to_pci(dev)->config;

	config[PCI_COMMAND] = COMMAND_IO | COMMAND_MEMORY | COMMAND_MASTER;
	config[PCI_STATUS + 1] = 2; /* medium DEVSEL */
	memset(&config[0x40], 0, 256 - 0x40);
	config[IORT] = 0x4d;
	config[XBCS] = 0x03;
	memset(&config[PIRQA], PIRQ_OFF, PIRQ_COUNT);
	config[TOM] = 0x02;
	config[MBIRQ0] = PIRQ_OFF;
	config[MBIRQ1] = 0xc0;
	config[0x76] = 0x0c;
	config[0x77] = 0x0c;
	config[0x78] = 0x02;
	config[SMICNTL] = 0x08;
	config[SMICNTL + 8] = 0x0f;
	pci_rerouted(dev->board);
}

static int piix3_restored(struct dev *dev, struct err *err)
{
	(void)err;
	pci_rerouted(dev->board);
	return 0;
}

static int piix3_attach(struct dev *dev, struct err *err)
{
	uint8_t *writable = to_pci(dev)->writable;

	(void)err;
	writable[IORT] = 0x7f;
	writable[XBCS] = writable[XBCS + 1] = 0xff;
	memset(&writable[PIRQA], PIRQ_OFF | 15, PIRQ_COUNT);
	writable[TOM] = 0xfe;
	writable[MSTAT] = 0x01;
	writable[MBIRQ0] = writable[MBIRQ1] = 0xef;
	memset(&writable[0x76], 0x8f, 2);
	writable[0x78] = 0x03;
	writable[APICBASE] = 0x7f;
	writable[DLC] = 0x0f;
	memset(&writable[SMICNTL], 0xff, 16);
	pci_set_router(dev->board, dev, gsi_of);
	return 0;
}

const struct pci_class piix3_class = {
	.dev = {
		.name = "PIIX3",
		.summary = "Intel PIIX3 PCI-to-ISA bridge",
		.size = sizeof(struct piix3),
		.fields = piix3_fields,
		.bus = &pci_bus_class,
		.board_only = true,
		.attach = piix3_attach,
		.reset = piix3_reset,
		.restored = piix3_restored,
	},
	.ids = {
		.vendor = 0x8086,
		.device = 0x7000,
		.subvendor = 0x1af4,
		.subdevice = 0x1100,
		.class = 0x0601,
	},
	.multifunction = true,
	.config_written = piix3_config_written,
};
