/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The standard VGA cards: "VGA" on PCI (1234:1111) and "isa-vga".
 *
 * BAR 0 of the PCI card is video memory, BAR 2 has EDID at 0, the VGA ports at 0x400, the Bochs
 * VBE registers at 0x500 and a byte-order switch at 0x600, for drivers that avoid port I/O.
 *
 * Manual: QEMU's docs/specs/standard-vga.rst; VESA E-EDID 1.4 for the monitor block.
 * Not modelled: big-endian pixels (the switch reads as little-endian).
 */
#include "dev/pci/vga.h"

#include <errno.h>

enum {
	MMIO_EDID = 0x000,
	MMIO_PORTS = 0x400,
	MMIO_VBE = 0x500,
	MMIO_EXTENSION = 0x600,
	MMIO_BYTES = 0x1000,
	EXTENSION_BYTES = 8,
	LITTLE_ENDIAN_MAGIC = 0x1e1e1e1e,
};

static const struct field vga_pci_fields[] = {
	SETTING(struct vga_pci, vgamem_mb, .def = 16, .min = 1, .max = 256,
		.help = "video memory in MiB, a power of two"),
	SETTING(struct vga_pci, edid, .def = 1, .help = "describe a monitor to the guest"),
	SETTING(struct vga_pci, xres, .def = 1280, .min = 8, .max = 4088,
		.help = "the monitor's preferred width"),
	SETTING(struct vga_pci, yres, .def = 800, .min = 1, .max = 4095,
		.help = "the monitor's preferred height"),
	STATE_STRUCTS(struct vga_pci, vga, vga_state),
	{ 0 },
};

/* [EDID 3.10.2] the preferred mode at 60 Hz, with plain blanking. */
static void detailed_timing(uint8_t *to, unsigned width, unsigned height)
{
	unsigned h_blank = width / 5, v_blank = height / 28 + 4;
	unsigned clock = (uint64_t)(width + h_blank) * (height + v_blank) * 60 / 10000;

	store_le16(to, MIN(clock, 0xffffu));
	to[2] = width;
	to[3] = h_blank;
	to[4] = (width >> 8) << 4 | h_blank >> 8;
	to[5] = height;
	to[6] = v_blank;
	to[7] = (height >> 8) << 4 | v_blank >> 8;
	to[8] = width / 40;  /* front porch */
	to[9] = width / 40;  /* sync */
	to[10] = 3 << 4 | 3; /* vertical: both 3 lines */
	to[17] = 0x18;       /* separate syncs */
}

static void text_descriptor(uint8_t *to, uint8_t tag, const char *text)
{
	size_t length = strlen(text);

	memset(to, 0, 18);
	to[3] = tag;
	memset(to + 5, ' ', 13);
	memcpy(to + 5, text, MIN(length, 13u));
	if (length < 13)
		to[5 + length] = '\n';
}

static void make_edid(uint8_t *edid, unsigned width, unsigned height)
{
	static const uint8_t header[8] = { 0, 255, 255, 255, 255, 255, 255, 0 };
	static const uint8_t srgb[10] = {
		0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54
	};
	static const uint8_t limits[] = { 0,  0, 0,  0xfd, 0,   50,  125, 30,  160,
					  60, 0, 10, ' ',  ' ', ' ', ' ', ' ', ' ' };
	uint8_t sum = 0;

	memset(edid, 0, 128);
	memcpy(edid, header, sizeof(header));
	store_be16(&edid[8], ('K' - 64) << 10 | ('L' - 64) << 5 | ('V' - 64));
	store_le16(&edid[10], 0x1234);
	edid[16] = 1;
	edid[17] = 2020 - 1990;
	edid[18] = 1;
	edid[19] = 4;
	edid[20] = 0xa5;               /* digital, 8 bits per colour, DisplayPort */
	edid[21] = width * 254 / 1000; /* centimetres at 100 dpi */
	edid[22] = height * 254 / 1000 ? height * 254 / 1000 : 1;
	edid[23] = 120; /* gamma 2.2 */
	edid[24] = 6;   /* sRGB, the first timing is preferred */
	memcpy(&edid[25], srgb, sizeof(srgb));
	edid[35] = 0x21; /* established: 640x480, 800x600 at 60 Hz */
	edid[36] = 0x08; /* 1024x768 */
	memset(&edid[38], 1, 16);
	detailed_timing(&edid[54], width, height);
	memcpy(&edid[72], limits, sizeof(limits));
	text_descriptor(&edid[90], 0xfc, "Kelvin");
	text_descriptor(&edid[108], 0xff, "1");
	for (unsigned i = 0; i < 127; i++)
		sum += edid[i];
	edid[127] = -sum;
}

static uint64_t extension_read(uint64_t offset, unsigned size)
{
	uint8_t image[EXTENSION_BYTES + 8] = { EXTENSION_BYTES };

	store_le32(&image[4], LITTLE_ENDIAN_MAGIC);
	return offset + size <= sizeof(image) ? load_le(&image[offset], size) : 0;
}

static uint64_t mmio_read(struct dev *dev, uint64_t offset, unsigned size)
{
	struct vga_pci *card = container_of(dev, struct vga_pci, pci.dev);
	uint64_t value = 0;

	if (offset + size <= sizeof(card->edid_block))
		return load_le(&card->edid_block[offset], size);
	if (offset >= MMIO_PORTS && offset + size <= MMIO_PORTS + 0x20) {
		for (unsigned i = 0; i < size; i++)
			value |= (uint64_t)vga_port_read(card->vga, 0x3c0 + offset + i - MMIO_PORTS)
				 << i * 8;
		return value;
	}
	if (offset >= MMIO_VBE && offset < MMIO_VBE + 2 * VBE_COUNT) {
		card->vga->vbe_index = (offset - MMIO_VBE) / 2;
		return vga_vbe_read(card->vga) >> (offset & 1) * 8;
	}
	if (offset >= MMIO_EXTENSION && offset < MMIO_EXTENSION + EXTENSION_BYTES)
		return extension_read(offset - MMIO_EXTENSION, size);
	return 0;
}

static void mmio_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct vga_pci *card = container_of(dev, struct vga_pci, pci.dev);

	if (offset >= MMIO_PORTS && offset + size <= MMIO_PORTS + 0x20) {
		for (unsigned i = 0; i < size; i++)
			vga_port_write(card->vga, 0x3c0 + offset + i - MMIO_PORTS, value >> i * 8);
	} else if (offset >= MMIO_VBE && offset < MMIO_VBE + 2 * VBE_COUNT && !(offset & 1)) {
		card->vga->vbe_index = (offset - MMIO_VBE) / 2;
		vga_vbe_write(card->vga, value);
	} else if (offset == MMIO_EXTENSION + 4 && value != LITTLE_ENDIAN_MAGIC) {
		guest_error(dev, "big-endian pixels are not modelled");
	}
}

static const struct region mmio = {
	.name = "vga-mmio",
	.min_size = 1,
	.max_size = 4,
	.read = mmio_read,
	.write = mmio_write,
};

static int vga_pci_attach(struct dev *dev, struct err *err)
{
	struct vga_pci *card = container_of(dev, struct vga_pci, pci.dev);
	int code;

	if (!is_power_of_two(card->vgamem_mb))
		return fail(err, EINVAL, "vgamem_mb=%u is not a power of two", card->vgamem_mb);
	code = vga_attach(card->vga, dev, card->vgamem_mb * MIB, err);
	if (!code)
		code = pci_claim_ram_bar(dev, 0, card->vga->ram, err);
	if (!code)
		code = pci_claim_bar(dev, 2, &mmio, MMIO_BYTES, false, err);
	if (card->edid)
		make_edid(card->edid_block, card->xres & ~7u, card->yres);
	return code;
}

static void card_reset(struct dev *dev)
{
	vga_reset(to_vga(dev));
}

static int card_restored(struct dev *dev, struct err *err)
{
	return vga_restored(to_vga(dev), err);
}

static void card_detach(struct dev *dev)
{
	vga_detach(to_vga(dev));
}

const struct pci_class vga_class = {
	.dev = {
		.name = "VGA",
		.summary = "standard VGA with Bochs VBE",
		.size = sizeof(struct vga_pci),
		.fields = vga_pci_fields,
		.bus = &pci_bus_class,
		.attach = vga_pci_attach,
		.reset = card_reset,
		.restored = card_restored,
		.detach = card_detach,
	},
	.ids = {
		.vendor = 0x1234,
		.device = 0x1111,
		.subvendor = 0x1af4,
		.subdevice = 0x1100,
		.class = 0x0300,
		.revision = 2,
	},
	.rom = "vgabios-stdvga.bin",
};

/* ISA ------------------------------------------------------------------------------------- */

static const struct field vga_isa_fields[] = {
	SETTING(struct vga_isa, vgamem_mb, .def = 8, .min = 1, .max = 256,
		.help = "video memory in MiB, a power of two"),
	STATE_STRUCTS(struct vga_isa, vga, vga_state),
	{ 0 },
};

static int vga_isa_attach(struct dev *dev, struct err *err)
{
	struct vga_isa *card = container_of(dev, struct vga_isa, dev);
	uint64_t bytes = card->vgamem_mb * MIB;
	int code;

	if (!is_power_of_two(card->vgamem_mb))
		return fail(err, EINVAL, "vgamem_mb=%u is not a power of two", card->vgamem_mb);
	code = vga_attach(card->vga, dev, bytes, err);
	return code ? code : ram_map(card->vga->ram, 0, 0xe0000000, bytes, false, err);
}

const struct dev_class isa_vga_class = {
	.name = "isa-vga",
	.summary = "standard VGA on the ISA bus",
	.size = sizeof(struct vga_isa),
	.fields = vga_isa_fields,
	.attach = vga_isa_attach,
	.reset = card_reset,
	.restored = card_restored,
	.detach = card_detach,
};
