/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * PCI devices: configuration space, BARs, INTx; messages are in pci_msi.c.
 *
 * Reset clears every bit the guest may write; a device with other defaults sets them in its own
 * reset, which comes after. A BAR is mapped while its decode bit is set and its address is neither
 * zero nor what a sizing write leaves.
 *
 * Manual: PCI Local Bus Specification 3.0, chapter 6.
 * Not modelled: buses other than 0, extended configuration space (reads as zeros), power management.
 */
#include "core/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { CONFIG_BYTES = 256, COMMAND_WRITABLE = 0x547, STATUS_CLEARABLE = 0xf900 };

static const struct field msix_fields[] = {
	STATE(struct msix_entry, address),
	STATE(struct msix_entry, data),
	STATE(struct msix_entry, control),
	{ 0 }
};

static const struct field pci_fields[] = {
	SETTING(struct pci_dev, addr, .help = "slot and function, in hex: 05.0"),
	SETTING(struct pci_dev, romfile, .help = "option ROM file, \"\" for none"),
	SETTING(struct pci_dev, rombar, .def = true, .help = "shows the option ROM to the guest"),
	SETTING(struct pci_dev, multifunction, .help = "says that other functions are there"),
	STATE(struct pci_dev, config),
	STATE(struct pci_dev, intx_level),
	STATE(struct pci_dev, msix_pending),
	STATE_STRUCTS(struct pci_dev, msix, msix_fields),
	{ 0 }
};

static const struct pci_class *class_of(const struct pci_dev *pci)
{
	return container_of(pci->dev.class, const struct pci_class, dev);
}

static unsigned bar_register(unsigned number)
{
	return number == PCI_ROM_BAR ? PCI_ROM : PCI_BAR0 + 4 * number;
}

/* Where a BAR decodes now; UINT64_MAX: nowhere. */
static uint64_t decoded(const struct pci_dev *pci, unsigned number)
{
	const struct pci_bar *bar = &pci->bar[number];
	const uint8_t *at = &pci->config[bar_register(number)];
	unsigned command = load_le16(&pci->config[PCI_COMMAND]);
	uint64_t address = bar->is_64 ? load_le64(at) : load_le32(at);
	uint64_t limit = bar->is_io ? 0x10000 : bar->is_64 ? BIT(46) : BIT(32) - 1;

	if (!(command & (bar->is_io ? COMMAND_IO : COMMAND_MEMORY)))
		return UINT64_MAX;
	if (number == PCI_ROM_BAR && !(address & 1))
		return UINT64_MAX;
	address &= ~(bar->size - 1);
	if (!address || address >= limit || bar->size > limit - address)
		return UINT64_MAX;
	return address;
}

static void unmap_bar(struct pci_bar *bar)
{
	if (bar->address == UINT64_MAX)
		return;
	if (bar->ram)
		ram_unmap(bar->ram, bar->address);
	if (bar->claim)
		bus_release(bar->claim);
	bar->claim = NULL;
	bar->address = UINT64_MAX;
}

static void update_bars(struct pci_dev *pci)
{
	for (unsigned i = 0; i < PCI_BARS; i++) {
		struct pci_bar *bar = &pci->bar[i];
		uint64_t address = bar->size ? decoded(pci, i) : UINT64_MAX;

		if (address == bar->address || !bar->size)
			continue;
		unmap_bar(bar);
		if (address == UINT64_MAX)
			continue;
		bar->address = address;
		if (bar->ram)
			ram_map_bar(bar->ram, address, bar->size, i == PCI_ROM_BAR);
		else
			bar->claim = bus_claim(&pci->dev, bar->is_io, bar->region, address,
					       bar->size, true);
	}
}

static int add_bar(struct pci_dev *pci, unsigned number, const struct pci_bar *like,
		   struct err *err)
{
	struct pci_bar *bar = &pci->bar[number];
	uint64_t low = like->is_io ? 4 : number == PCI_ROM_BAR ? 2048 : 16;
	uint64_t high = like->is_io ? 256 : like->is_64 ? BIT(40) : BIT(31);
	uint8_t *at = &pci->config[bar_register(number)];
	uint64_t mask = ~(like->size - 1);

	if (number >= PCI_BARS || (like->is_64 && number > 4) || bar->size ||
	    (like->is_64 && pci->bar[number + 1].size))
		return fail(err, EINVAL, "%s cannot have BAR %u", pci->dev.id, number);
	if (!is_power_of_two(like->size) || like->size < low || like->size > high)
		return fail(err, EINVAL, "BAR %u of %s cannot have %#llx bytes", number,
			    pci->dev.id, (unsigned long long)like->size);
	*bar = *like;
	bar->address = UINT64_MAX;
	if (number == PCI_ROM_BAR)
		mask |= 1;
	else
		at[0] = like->is_io | like->is_64 << 2 | like->prefetch << 3;
	store_le32(&pci->writable[bar_register(number)], (uint32_t)mask);
	if (like->is_64)
		store_le32(&pci->writable[bar_register(number) + 4], (uint32_t)(mask >> 32));
	return 0;
}

int pci_claim_bar(struct dev *dev, unsigned number, const struct region *region, uint64_t size,
		  bool is_io, struct err *err)
{
	struct pci_bar like = { .region = region, .size = size, .is_io = is_io };

	return add_bar(to_pci(dev), number, &like, err);
}

int pci_claim_bar64(struct dev *dev, unsigned number, const struct region *region, uint64_t size,
		    bool prefetch, struct err *err)
{
	struct pci_bar like = { .region = region, .size = size, .is_64 = true,
				.prefetch = prefetch };

	return add_bar(to_pci(dev), number, &like, err);
}

int pci_claim_ram_bar(struct dev *dev, unsigned number, struct ram *ram, struct err *err)
{
	struct pci_bar like = { .ram = ram, .size = ram_size(ram),
				.prefetch = number != PCI_ROM_BAR };

	return add_bar(to_pci(dev), number, &like, err);
}

uint8_t pci_add_capability(struct dev *dev, uint8_t id, uint8_t size)
{
	struct pci_dev *pci = to_pci(dev);
	unsigned bytes = (unsigned)ALIGN_UP(size, 4);
	uint8_t at = pci->capabilities_end;

	if (at + bytes > CONFIG_BYTES || at + bytes < at)
		return 0;
	pci->capabilities_end = (uint8_t)MIN(at + bytes, 255u);
	pci->config[at] = id;
	pci->config[at + 1] = pci->config[PCI_CAPABILITIES];
	pci->config[PCI_CAPABILITIES] = at;
	pci->config[PCI_STATUS] |= STATUS_CAPABILITIES;
	return at;
}

/* INTx: the line follows the device's level unless the command register forbids it. */
static void update_intx(struct pci_dev *pci)
{
	struct board *board = pci->dev.board;
	bool level = pci->intx_level &&
		     !(load_le16(&pci->config[PCI_COMMAND]) & COMMAND_INTX_OFF);
	uint8_t pin = pci->config[PCI_IRQ_PIN];
	int gsi = -1;

	if (pci->intx_level)
		pci->config[PCI_STATUS] |= STATUS_INTX;
	else
		pci->config[PCI_STATUS] &= (uint8_t)~STATUS_INTX;
	if (board->pci_router && pin >= 1 && pin <= 4)
		gsi = board->pci_gsi_of(board->pci_router, pci->devfn >> 3, pin - 1u);
	if (pci->gsi >= 0 && pci->gsi != gsi)
		irq_set(&pci->dev, (unsigned)pci->gsi, false);
	pci->gsi = gsi;
	if (gsi >= 0)
		irq_set(&pci->dev, (unsigned)gsi, level);
}

void pci_irq_set(struct dev *dev, bool level)
{
	struct pci_dev *pci = to_pci(dev);

	if (pci->intx_level == level)
		return;
	pci->intx_level = level;
	update_intx(pci);
}

void pci_set_router(struct board *board, struct dev *router,
		    int (*gsi_of)(struct dev *router, unsigned slot, unsigned pin))
{
	board->pci_router = router;
	board->pci_gsi_of = gsi_of;
	pci_rerouted(board);
}

void pci_rerouted(struct board *board)
{
	for (unsigned i = 0; i < ARRAY_LEN(board->pci); i++)
		if (board->pci[i])
			update_intx(board->pci[i]);
}

static bool may_master(struct dev *dev)
{
	if (to_pci(dev)->config[PCI_COMMAND] & COMMAND_MASTER)
		return true;
	guest_error(dev, "DMA while bus mastering is off");
	return false;
}

int pci_dma_read(struct dev *dev, uint64_t gpa, void *to, size_t bytes)
{
	return may_master(dev) ? dma_read(dev, gpa, to, bytes) : -EFAULT;
}

int pci_dma_write(struct dev *dev, uint64_t gpa, const void *from, size_t bytes)
{
	return may_master(dev) ? dma_write(dev, gpa, from, bytes) : -EFAULT;
}

/* Configuration cycles. */
struct dev *pci_find(struct board *board, uint8_t bus, uint8_t devfn)
{
	return bus == 0 && board->pci[devfn] ? &board->pci[devfn]->dev : NULL;
}

uint32_t pci_config_read(struct board *board, uint8_t bus, uint8_t devfn, unsigned offset,
			 unsigned size)
{
	struct dev *dev = pci_find(board, bus, devfn);
	const struct pci_dev *pci = dev ? to_pci(dev) : NULL;

	if (!pci || (size != 1 && size != 2 && size != 4))
		return (uint32_t)(UINT64_MAX >> (64 - 8 * MIN(MAX(size, 1), 4)));
	if (offset >= CONFIG_BYTES || size > CONFIG_BYTES - offset)
		return 0;
	if (class_of(pci)->config_read)
		class_of(pci)->config_read(dev, offset, size);
	return (uint32_t)load_le(&pci->config[offset], size);
}


void pci_config_write(struct board *board, uint8_t bus, uint8_t devfn, unsigned offset,
		      unsigned size, uint32_t value)
{
	struct dev *dev = pci_find(board, bus, devfn);
	struct pci_dev *pci = dev ? to_pci(dev) : NULL;

	if (!pci || (size != 1 && size != 2 && size != 4) || offset >= CONFIG_BYTES ||
	    size > CONFIG_BYTES - offset)
		return;
	for (unsigned i = 0; i < size; i++) {
		unsigned at = offset + i;
		uint8_t byte = (uint8_t)(value >> 8 * i), w = pci->writable[at];

		pci->config[at] = (uint8_t)((pci->config[at] & ~w) | (byte & w));
		pci->config[at] &= (uint8_t)~(byte & pci->clearable[at]);
	}
	if (offset < 0x40) {
		update_bars(pci);
		update_intx(pci);
	}
	pci_msi_config_written(pci);
	if (class_of(pci)->config_written)
		class_of(pci)->config_written(dev, offset, size);
}

static int parse_address(struct pci_dev *pci, unsigned *slot, unsigned *function, struct err *err)
{
	char end;

	*function = 0;
	if (sscanf(pci->addr, "%x.%x%c", slot, function, &end) != 2 &&
	    (*function = 0, sscanf(pci->addr, "%x%c", slot, &end)) != 1)
		return fail(err, EINVAL, "\"addr\" must be like 05.0, not \"%s\"", pci->addr);
	if (*slot > 31 || *function > 7)
		return fail(err, ERANGE, "there is no PCI slot %s", pci->addr);
	return 0;
}

static int find_place(struct pci_dev *pci, struct err *err)
{
	struct board *board = pci->dev.board;
	unsigned slot, function = 0;

	if (pci->addr && *pci->addr) {
		int code = parse_address(pci, &slot, &function, err);

		if (code)
			return code;
	} else {
		for (slot = 1; slot < 32 && board->pci[slot << 3]; slot++)
			;
		if (slot == 32)
			return fail(err, ENOSPC, "no PCI slot is free for %s", pci->dev.id);
	}
	pci->devfn = (uint8_t)(slot << 3 | function);
	if (board->pci[pci->devfn])
		return fail(err, EBUSY, "PCI slot %02x.%x is taken by %s", slot, function,
			    board->pci[pci->devfn]->dev.id);
	board->pci[pci->devfn] = pci;
	return 0;
}

static int load_rom(struct pci_dev *pci, struct err *err)
{
	const char *name = pci->romfile ? pci->romfile : class_of(pci)->rom;
	struct err why = { 0 };
	size_t bytes, room = PAGE_BYTES;
	struct ram *ram;
	uint8_t *rom;

	/* The rig's devices show no ROM of somebody else's unless asked. */
	if (!name || !*name || !pci->rombar || (!pci->romfile && !pci->dev.board->system))
		return 0;
	rom = firmware_read(name, &bytes, &why);
	if (!rom && pci->romfile)
		return fail(err, why.code, "%s", why.text);
	if (!rom) {
		log_line("%s goes without its option ROM: %s", pci->dev.id, why.text);
		return 0;
	}
	while (room < bytes)
		room *= 2;
	ram = ram_new(&pci->dev, "rom", room, err);
	if (ram)
		memcpy(ram_host(ram), rom, bytes);
	free(rom);
	return ram ? pci_claim_ram_bar(&pci->dev, PCI_ROM_BAR, ram, err) : -ENOMEM;
}

static int pci_prepare(struct dev *dev, struct err *err)
{
	struct pci_dev *pci = to_pci(dev);
	const struct pci_ids *ids = &class_of(pci)->ids;
	uint8_t *config = pci->config;
	int code = find_place(pci, err);

	if (code)
		return code;
	pci->gsi = -1;
	pci->capabilities_end = 0x40;
	for (unsigned i = 0; i < PCI_BARS; i++)
		pci->bar[i].address = UINT64_MAX;
	for (unsigned i = 0; i < PCI_MSIX_MAX; i++)
		pci->msix[i].control = 1;
	store_le16(config + PCI_VENDOR_ID, ids->vendor);
	store_le16(config + PCI_DEVICE_ID, ids->device);
	store_le16(config + PCI_SUBVENDOR_ID, ids->subvendor ? ids->subvendor : 0x1af4);
	store_le16(config + PCI_SUBSYSTEM_ID, ids->subdevice ? ids->subdevice : 0x1100);
	store_le16(config + PCI_CLASS, ids->class);
	config[PCI_PROG_IF] = ids->prog_if;
	config[PCI_REVISION] = ids->revision;
	config[PCI_IRQ_PIN] = ids->pin;
	if (class_of(pci)->multifunction || pci->multifunction)
		config[PCI_HEADER_TYPE] = 0x80;
	store_le16(pci->writable + PCI_COMMAND, COMMAND_WRITABLE);
	store_le16(pci->clearable + PCI_STATUS, STATUS_CLEARABLE);
	pci->writable[PCI_CACHE_LINE] = 0xff;
	pci->writable[PCI_LATENCY] = 0xff;
	pci->writable[PCI_IRQ_LINE] = 0xff;
	return load_rom(pci, err);
}

static void pci_reset(struct dev *dev)
{
	struct pci_dev *pci = to_pci(dev);

	for (unsigned i = 0; i < CONFIG_BYTES; i++)
		pci->config[i] &= (uint8_t)~(pci->writable[i] | pci->clearable[i]);
	for (unsigned i = 0; i < PCI_MSIX_MAX; i++)
		pci->msix[i] = (struct msix_entry){ .control = 1 };
	pci->msix_pending = 0;
	pci->intx_level = false;
	update_bars(pci);
	update_intx(pci);
}

static int pci_restored(struct dev *dev, struct err *err)
{
	struct pci_dev *pci = to_pci(dev);

	(void)err;
	if (pci->msix_count < 64)
		pci->msix_pending &= BIT(pci->msix_count) - 1;
	update_bars(pci);
	update_intx(pci);
	return 0;
}

static void pci_release(struct dev *dev)
{
	struct pci_dev *pci = to_pci(dev);

	for (unsigned i = 0; i < PCI_BARS; i++)
		if (pci->bar[i].size)
			unmap_bar(&pci->bar[i]);
	if (dev->board->pci[pci->devfn] == pci)
		dev->board->pci[pci->devfn] = NULL;
}

const struct bus_class pci_bus_class = {
	.name = "PCI",
	.fields = pci_fields,
	.prepare = pci_prepare,
	.reset = pci_reset,
	.restored = pci_restored,
	.release = pci_release,
};
