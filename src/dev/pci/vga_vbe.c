/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The Bochs display interface ("DISPI"): resolution, depth and panning in ten 16-bit registers.
 *
 * Ports 0x1ce (index) and 0x1cf or 0x1d0 (data), and an MMIO window on the PCI card. Every write
 * is followed by vga_vbe_fix(), which makes the registers describe a picture inside video memory,
 * so that nothing that reads them needs a check.
 *
 * Manual: Bochs "VBE display" notes (vbe_display_api.txt), interface 0xb0c5.
 */
#include "dev/pci/vga.h"

enum { ID_FIRST = 0xb0c0, ID_LAST = 0xb0c5, MAX_WIDTH = DISPLAY_MAX_SIDE, MAX_BPP = 32 };

static unsigned bytes_per_8_pixels(const struct vga *vga)
{
	unsigned bpp = vga->vbe[VBE_BPP];

	return bpp == 15 ? 16 : bpp; /* 4 bits: one byte in each of four planes */
}

uint32_t vga_vbe_pitch(const struct vga *vga)
{
	return vga->vbe[VBE_VIRT_WIDTH] / 8 * bytes_per_8_pixels(vga);
}

bool vga_vbe_is_linear(const struct vga *vga)
{
	return (vga->vbe[VBE_ENABLE] & VBE_ENABLED) && vga->vbe[VBE_BPP] >= 8;
}

static uint16_t between(uint32_t value, uint32_t least, uint32_t most)
{
	return value < least ? least : value > most ? most : value;
}

void vga_vbe_fix(struct vga *vga)
{
	uint16_t *vbe = vga->vbe;
	uint64_t lines, start;

	if (vbe[VBE_BANK] >= vga->vram_bytes >> 16)
		vbe[VBE_BANK] = 0;
	if (!(vbe[VBE_ENABLE] & VBE_ENABLED))
		return;
	switch (vbe[VBE_BPP]) {
	case 4:
	case 8:
	case 15:
	case 16:
	case 24:
	case 32:
		break;
	default:
		vbe[VBE_BPP] = 8;
	}
	vbe[VBE_XRES] = between(vbe[VBE_XRES], 8, MAX_WIDTH) & ~7;
	vbe[VBE_VIRT_WIDTH] = between(vbe[VBE_VIRT_WIDTH], vbe[VBE_XRES], 0xfff8) & ~7;
	lines = vga->vram_bytes / vga_vbe_pitch(vga);
	if (!lines) { /* one line does not fit: back to what always does */
		vbe[VBE_VIRT_WIDTH] = vbe[VBE_XRES];
		lines = vga->vram_bytes / vga_vbe_pitch(vga);
	}
	vbe[VBE_YRES] = between(vbe[VBE_YRES], 1, MIN(lines, MAX_WIDTH));
	vbe[VBE_VIRT_HEIGHT] = MIN(lines, 0xffff);
	start = (uint64_t)vbe[VBE_Y_OFFSET] * vga_vbe_pitch(vga) +
		(uint64_t)vbe[VBE_X_OFFSET] * bytes_per_8_pixels(vga) / 8;
	if (start + (uint64_t)vbe[VBE_YRES] * vga_vbe_pitch(vga) > vga->vram_bytes)
		vbe[VBE_X_OFFSET] = vbe[VBE_Y_OFFSET] = 0;
}

uint16_t vga_vbe_read(const struct vga *vga)
{
	bool caps = vga->vbe[VBE_ENABLE] & VBE_GET_CAPS;

	switch (vga->vbe_index) {
	case VBE_XRES:
		return caps ? MAX_WIDTH : vga->vbe[VBE_XRES];
	case VBE_YRES:
		return caps ? MAX_WIDTH : vga->vbe[VBE_YRES];
	case VBE_BPP:
		return caps ? MAX_BPP : vga->vbe[VBE_BPP];
	case VBE_MEMORY:
		return vga->vram_bytes >> 16;
	default:
		return vga->vbe_index < VBE_COUNT ? vga->vbe[vga->vbe_index] : 0;
	}
}

static void enable_write(struct vga *vga, uint16_t value)
{
	bool was_on = vga->vbe[VBE_ENABLE] & VBE_ENABLED;

	vga->vbe[VBE_ENABLE] = value;
	vga->is_changed = true;
	if (!(value & VBE_ENABLED)) {
		vga->vbe[VBE_BANK] = 0;
		return;
	}
	if (was_on)
		return;
	vga->vbe[VBE_VIRT_WIDTH] = vga->vbe[VBE_XRES];
	vga->vbe[VBE_X_OFFSET] = vga->vbe[VBE_Y_OFFSET] = 0;
	vga_vbe_fix(vga);
	if (!(value & VBE_NO_CLEAR)) {
		uint64_t bytes = (uint64_t)vga->vbe[VBE_YRES] * vga_vbe_pitch(vga);

		memset(vga->vram, 0, bytes);
		ram_mark_dirty(vga->ram, 0, bytes);
	}
}

void vga_vbe_write(struct vga *vga, uint16_t value)
{
	switch (vga->vbe_index) {
	case VBE_ID:
		if (value >= ID_FIRST && value <= ID_LAST)
			vga->vbe[VBE_ID] = value;
		return;
	case VBE_ENABLE:
		enable_write(vga, value);
		break;
	case VBE_XRES:
	case VBE_YRES:
	case VBE_BPP:
	case VBE_BANK:
	case VBE_VIRT_WIDTH:
	case VBE_X_OFFSET:
	case VBE_Y_OFFSET:
		vga->vbe[vga->vbe_index] = value;
		break;
	default: /* the height follows from the width; memory size is fixed */
		return;
	}
	vga_vbe_fix(vga);
	vga_update_window(vga);
}

static uint64_t vbe_read(struct dev *dev, uint64_t offset, unsigned size)
{
	(void)size;
	return offset ? vga_vbe_read(to_vga(dev)) : to_vga(dev)->vbe_index;
}

static void vbe_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	(void)size;
	if (offset)
		vga_vbe_write(to_vga(dev), value);
	else
		to_vga(dev)->vbe_index = value;
}

const struct region vga_vbe_ports = {
	.name = "vbe",
	.min_size = 1,
	.max_size = 2,
	.read = vbe_read,
	.write = vbe_write,
};
