/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Intel 440FX host bridge.
 *
 * Ports 0xcf8 and 0xcfc reach the configuration space of every PCI device; 0xcf9 resets the
 * machine. The PAM registers choose, per 16 KiB (64 KiB at 0xf0000), whether 0xc0000-0xfffff reads
 * from RAM or ROM and whether writes reach RAM: firmware copies itself into RAM with them.
 *
 * Manual: Intel 440FX PCIset (82441FX), order 290549, sections 3.1 to 3.2.
 * Not modelled: SMM memory (the SMRAM register keeps its bits, 0xa0000 stays the display's), DRAM
 * timing and row registers, ECC.
 */
#include "dev/pci/chipset.h"

#include <errno.h>

enum {
	PORT_ADDRESS = 0, /* offsets from 0xcf8 */
	PORT_RESET = 1,
	PORT_DATA = 4,
	PORT_COUNT = 8,
	ADDRESS_ENABLE = 0x80000000,
	RESET_CPU = 4, /* [RCR] 0 to 1 resets; bit 1 says how hard */
};

enum {
	PAM0 = 0x59,
	PAM_LAST = 0x5f,
	SMRAM = 0x72,
	SMRAM_OPEN = 0x40,
	SMRAM_LOCK = 0x10,
	PAM_READ = 1,  /* reads come from RAM */
	PAM_WRITE = 2, /* writes go to RAM */
};

#define SHADOW_BASE 0xc0000ull
#define SHADOW_END  0x100000ull
#define SEGMENT     0x4000ull
#define SEGMENTS    16 /* of 16 KiB; the last four share PAM0 */

/* A run of segments that show the same thing. */
struct shadow_run {
	uint64_t base, bytes;
	uint8_t mode; /* PAM_* */
	bool is_mapped;
};

struct i440fx {
	struct pci_dev pci;
	uint32_t address; /* last value written to 0xcf8 */
	uint8_t reset_control;
	uint8_t pam[PAM_LAST - PAM0 + 1]; /* as last used */
	struct ram *ram, *rom;
	struct shadow_run run[SEGMENTS];
	unsigned run_count;
};

static const struct field i440fx_fields[] = {
	STATE(struct i440fx, address),
	STATE(struct i440fx, reset_control),
	{ 0 },
};

static struct i440fx *to_i440fx(struct dev *dev)
{
	return container_of(dev, struct i440fx, pci.dev);
}

static uint8_t segment_mode(const struct i440fx *bridge, unsigned segment)
{
	const uint8_t *pam = &bridge->pci.config[PAM0];

	if (segment >= 12) /* 0xf0000: high half of PAM0 */
		return pam[0] >> 4 & 3;
	return pam[1 + segment / 2] >> (segment % 2 * 4) & 3;
}

/* What lies at a run: RAM, ROM or nothing. */
static struct ram *run_backing(const struct i440fx *bridge, const struct shadow_run *run,
			       uint64_t *offset, bool *read_only)
{
	uint64_t rom_bytes = bridge->rom ? ram_size(bridge->rom) : 0;

	*offset = run->base;
	*read_only = !(run->mode & PAM_WRITE);
	if (run->mode & PAM_READ)
		return bridge->ram;
	*read_only = true;
	if (SHADOW_END - run->base > rom_bytes)
		return NULL;
	*offset = rom_bytes - (SHADOW_END - run->base);
	return bridge->rom;
}

static void unmap_run(struct i440fx *bridge, struct shadow_run *run)
{
	if (run->is_mapped)
		ram_unmap(run->mode & PAM_READ ? bridge->ram : bridge->rom, run->base);
	run->is_mapped = false;
}

static void map_run(struct i440fx *bridge, struct shadow_run *run)
{
	uint64_t offset;
	bool read_only;
	struct ram *backing = run_backing(bridge, run, &offset, &read_only);

	run->is_mapped =
		backing && !ram_map(backing, offset, run->base, run->bytes, read_only, NULL);
	if (backing && !run->is_mapped)
		guest_error(&bridge->pci.dev, "cannot map memory at %#llx",
			    (unsigned long long)run->base);
}

/* ROM may be smaller than the area: a run must not cross its first byte. */
static bool starts_rom(const struct i440fx *bridge, uint64_t base)
{
	return bridge->rom && ram_size(bridge->rom) == SHADOW_END - base;
}

static unsigned plan_runs(const struct i440fx *bridge, struct shadow_run *plan)
{
	unsigned count = 0;

	for (unsigned i = 0; i < SEGMENTS; i++) {
		uint64_t base = SHADOW_BASE + i * SEGMENT;
		uint8_t mode = segment_mode(bridge, i);

		if (count && plan[count - 1].mode == mode && !starts_rom(bridge, base))
			plan[count - 1].bytes += SEGMENT;
		else
			plan[count++] = (struct shadow_run){ base, SEGMENT, mode, false };
	}
	return count;
}

/* Only what changed is unmapped: the code that writes the register may be running from here. */
static void update_shadow(struct i440fx *bridge)
{
	struct shadow_run plan[SEGMENTS], *old = bridge->run;
	unsigned count = plan_runs(bridge, plan);

	memcpy(bridge->pam, &bridge->pci.config[PAM0], sizeof(bridge->pam));
	if (!bridge->ram)
		return;
	for (unsigned i = 0; i < bridge->run_count; i++) {
		bool stays = false;

		for (unsigned j = 0; j < count && !stays; j++) {
			stays = plan[j].base == old[i].base && plan[j].bytes == old[i].bytes &&
				plan[j].mode == old[i].mode && old[i].is_mapped;
			if (stays)
				plan[j].is_mapped = true;
		}
		if (!stays)
			unmap_run(bridge, &old[i]);
	}
	for (unsigned i = 0; i < count; i++) {
		if (!plan[i].is_mapped)
			map_run(bridge, &plan[i]);
		old[i] = plan[i];
	}
	bridge->run_count = count;
}

/* Reached where neither RAM nor ROM answers: reads of an empty bus, writes that ROM refuses. */
static void shadow_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct i440fx *bridge = to_i440fx(dev);

	if (!bridge->ram || segment_mode(bridge, offset / SEGMENT) != PAM_WRITE)
		return;
	store_le((uint8_t *)ram_host(bridge->ram) + SHADOW_BASE + offset, value, size);
	ram_mark_dirty(bridge->ram, SHADOW_BASE + offset, size);
}

static const struct region shadow_area = {
	.name = "shadow",
	.min_size = 1,
	.max_size = 8,
	.read = read_as_ones,
	.write = shadow_write,
};

static void i440fx_config_written(struct dev *dev, unsigned offset, unsigned size)
{
	struct i440fx *bridge = to_i440fx(dev);
	uint8_t *smram = &bridge->pci.config[SMRAM];

	if (offset <= PAM_LAST && offset + size > PAM0)
		update_shadow(bridge);
	if (offset > SMRAM || offset + size <= SMRAM)
		return;
	if (*smram & SMRAM_LOCK) { /* [SMRAM] locked: closed, and so it stays */
		*smram &= ~SMRAM_OPEN;
		bridge->pci.writable[SMRAM] = 0x0f;
	}
	if (*smram & SMRAM_OPEN)
		guest_error(dev, "opens SMM memory, which is not modelled");
}

static uint64_t config_read(struct dev *dev, uint64_t offset, unsigned size)
{
	struct i440fx *bridge = to_i440fx(dev);

	if (offset == PORT_ADDRESS && size == 4)
		return bridge->address;
	if (offset == PORT_RESET && size == 1)
		return bridge->reset_control;
	if (offset < PORT_DATA || !(bridge->address & ADDRESS_ENABLE))
		return read_as_ones(dev, offset, size);
	return pci_config_read(dev->board, bridge->address >> 16, bridge->address >> 8,
			       (bridge->address & 0xfc) + (offset & 3), size);
}

static void reset_written(struct i440fx *bridge, uint8_t value)
{
	bool resets = value & ~bridge->reset_control & RESET_CPU;

	bridge->reset_control = value & 0x0e;
	if (resets)
		board_request(bridge->pci.dev.board, BOARD_RESET, 0);
}

static void config_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct i440fx *bridge = to_i440fx(dev);

	if (offset == PORT_ADDRESS && size == 4)
		bridge->address = value & 0x80fffffc;
	else if (offset == PORT_RESET && size == 1)
		reset_written(bridge, value);
	else if (offset >= PORT_DATA && (bridge->address & ADDRESS_ENABLE))
		pci_config_write(dev->board, bridge->address >> 16, bridge->address >> 8,
				 (bridge->address & 0xfc) + (offset & 3), size, value);
}

static const struct region config_ports = {
	.name = "pci-config",
	.min_size = 1,
	.max_size = 4,
	.read = config_read,
	.write = config_write,
};

int i440fx_set_memory(struct dev *dev, struct ram *ram, struct ram *rom, struct err *err)
{
	struct i440fx *bridge = to_i440fx(dev);

	if (ram_size(ram) < SHADOW_END)
		return fail(err, EINVAL, "the machine needs 1 MiB of memory at least");
	bridge->ram = ram;
	bridge->rom = rom;
	if (!rom) { /* nobody to copy: start with all RAM */
		memset(&bridge->pci.config[PAM0], 0x33, PAM_LAST - PAM0 + 1);
		bridge->pci.config[PAM0] = 0x30;
	}
	update_shadow(bridge);
	return 0;
}

static int i440fx_attach(struct dev *dev, struct err *err)
{
	struct i440fx *bridge = to_i440fx(dev);
	uint8_t *writable = bridge->pci.writable;
	int code;

	memset(&writable[PAM0], 0x33, PAM_LAST - PAM0 + 1);
	writable[PAM0] = 0x30;
	writable[SMRAM] = 0x7f;
	code = claim_mmio(dev, &shadow_area, SHADOW_BASE, SHADOW_END - SHADOW_BASE, err);
	return code ? code : claim_ports(dev, &config_ports, 0xcf8, PORT_COUNT, err);
}

static void i440fx_reset(struct dev *dev)
{
	struct i440fx *bridge = to_i440fx(dev);
	bool firmware = !bridge->ram || bridge->rom;

	bridge->address = 0;
	bridge->reset_control = 0;
	memset(&bridge->pci.config[PAM0], firmware ? 0 : 0x33, PAM_LAST - PAM0 + 1);
	bridge->pci.config[PAM0] = firmware ? 0 : 0x30;
	/* After suspend to RAM firmware goes on in the copy of itself that it made. */
	if (board_is_waking(dev->board))
		memcpy(&bridge->pci.config[PAM0], bridge->pam, sizeof(bridge->pam));
	bridge->pci.config[SMRAM] = 0x02;
	bridge->pci.writable[SMRAM] = 0x7f;
	update_shadow(bridge);
}

static int i440fx_restored(struct dev *dev, struct err *err)
{
	struct i440fx *bridge = to_i440fx(dev);

	if (bridge->address & ~0x80fffffcu)
		return fail(err, EINVAL, "impossible PCI configuration address %#x",
			    bridge->address);
	bridge->pci.writable[SMRAM] = bridge->pci.config[SMRAM] & SMRAM_LOCK ? 0x0f : 0x7f;
	update_shadow(bridge);
	return 0;
}

const struct pci_class i440fx_class = {
	.dev = {
		.name = "i440FX",
		.summary = "Intel 440FX host bridge",
		.size = sizeof(struct i440fx),
		.fields = i440fx_fields,
		.bus = &pci_bus_class,
		.board_only = true,
		.attach = i440fx_attach,
		.reset = i440fx_reset,
		.restored = i440fx_restored,
	},
	.ids = {
		.vendor = 0x8086,
		.device = 0x1237,
		.subvendor = 0x1af4,
		.subdevice = 0x1100,
		.class = 0x0600,
		.revision = 2,
	},
	.config_written = i440fx_config_written,
};
