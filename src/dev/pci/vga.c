/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * VGA: registers and display memory.
 *
 * Four planes of memory behind a window at 0xa0000-0xbffff. A CPU write goes through rotate, set
 * and bit-mask logic to the planes the sequencer enables; chain-4 and the VBE modes make the
 * window linear, and then it is mapped straight into the guest.
 *
 * Manual: IBM PS/2 Hardware Interface Technical Reference, "Video Subsystem"; IBM VGA (1990).
 * Not modelled: the vertical interrupt, monitor sense, light pen, write protection of the palette
 * while shown; timing is derived from the line counts at a fixed line rate.
 */
#include "dev/pci/vga.h"

#include <errno.h>
#include <stdlib.h>

#define LINE_NS 31778ull

enum { MISC_COLOR = 1, MISC_RAM = 2 };
enum { STATUS_BLANK = 1, STATUS_RETRACE = 8 };

const struct field vga_state[] = {
	STATE(struct vga, seq_index),
	STATE(struct vga, gfx_index),
	STATE(struct vga, crtc_index),
	STATE(struct vga, attr_index),
	STATE(struct vga, seq),
	STATE(struct vga, gfx),
	STATE(struct vga, crtc),
	STATE(struct vga, attr),
	STATE(struct vga, attr_wants_data),
	STATE(struct vga, misc),
	STATE(struct vga, feature),
	STATE(struct vga, dac),
	STATE(struct vga, dac_mask),
	STATE(struct vga, dac_state),
	STATE(struct vga, dac_read),
	STATE(struct vga, dac_write),
	STATE(struct vga, dac_component, .max = 2),
	STATE(struct vga, dac_latch),
	STATE(struct vga, latch),
	STATE(struct vga, vbe_index),
	STATE(struct vga, vbe),
	{ 0 },
};

/* Memory ---------------------------------------------------------------------------------- */

/* Offset into the window selected by the memory map field, or false outside it. */
static bool window_offset(const struct vga *vga, uint64_t *address)
{
	static const struct {
		uint32_t base, bytes;
	} map[4] = { { 0, 0x20000 }, { 0, 0x10000 }, { 0x10000, 0x8000 }, { 0x18000, 0x8000 } };
	unsigned choice = vga->gfx[GFX_MISC] >> 2 & 3;

	if (!(vga->misc & MISC_RAM) || *address < map[choice].base ||
	    *address - map[choice].base >= map[choice].bytes)
		return false;
	*address -= map[choice].base;
	return true;
}

static uint64_t bank_offset(const struct vga *vga)
{
	return vga->vbe[VBE_ENABLE] & VBE_ENABLED ? (uint64_t)vga->vbe[VBE_BANK] << 16 : 0;
}

static bool is_linear(const struct vga *vga)
{
	return vga_vbe_is_linear(vga) || (vga->seq[SEQ_MEMORY] & SEQ_CHAIN_4);
}

/* Nothing between the CPU and memory: the window can be RAM. */
static bool is_direct(const struct vga *vga)
{
	if (vga_vbe_is_linear(vga))
		return true;
	return (vga->seq[SEQ_MEMORY] & SEQ_CHAIN_4) && (vga->seq[SEQ_MAP_MASK] & 15) == 15 &&
	       !(vga->gfx[GFX_MODE] & 3) && !vga->gfx[GFX_SET_ENABLE] && !vga->gfx[GFX_ROTATE] &&
	       vga->gfx[GFX_BIT_MASK] == 0xff;
}

void vga_update_window(struct vga *vga)
{
	uint64_t base = 0, bytes = 0, offset = bank_offset(vga);

	if ((vga->misc & MISC_RAM) && is_direct(vga) && !(vga->gfx[GFX_MISC] & 8))
		bytes = vga->gfx[GFX_MISC] & 4 || vga_vbe_is_linear(vga) ? 0x10000 : 0x20000;
	if (offset + bytes > vga->vram_bytes)
		bytes = 0;
	if (bytes)
		base = VGA_WINDOW;
	if (vga->window_mapped && vga->window_base == base && vga->window_offset == offset &&
	    vga->window_bytes == bytes)
		return;
	if (vga->window_mapped)
		ram_unmap(vga->ram, vga->window_base);
	vga->window_mapped = bytes && !ram_map(vga->ram, offset, base, bytes, false, NULL);
	vga->window_base = base;
	vga->window_offset = offset;
	vga->window_bytes = bytes;
}

static uint32_t spread(uint8_t nibble) /* bit n to byte n */
{
	return (nibble & 1 ? 0xff : 0) | (nibble & 2 ? 0xff00 : 0) | (nibble & 4 ? 0xff0000 : 0) |
	       (nibble & 8 ? 0xff000000 : 0);
}

static uint32_t alu(const struct vga *vga, uint32_t value)
{
	switch (vga->gfx[GFX_ROTATE] >> 3 & 3) {
	case 1:
		return value & vga->latch;
	case 2:
		return value | vga->latch;
	case 3:
		return value ^ vga->latch;
	default:
		return value;
	}
}

/* [Write Modes] what the four planes get for one CPU byte. */
static uint32_t write_logic(const struct vga *vga, uint8_t value)
{
	unsigned count = vga->gfx[GFX_ROTATE] & 7;
	uint8_t rotated = value >> count | value << (8 - count);
	uint32_t bits = vga->gfx[GFX_BIT_MASK] * 0x01010101u;
	uint32_t set = spread(vga->gfx[GFX_SET]), enable, data;

	switch (vga->gfx[GFX_MODE] & 3) {
	case 0:
		enable = spread(vga->gfx[GFX_SET_ENABLE]);
		data = alu(vga, (rotated * 0x01010101u & ~enable) | (set & enable));
		break;
	case 1:
		return vga->latch;
	case 2:
		data = alu(vga, spread(value));
		break;
	default:
		bits &= rotated * 0x01010101u;
		data = set;
		break;
	}
	return (data & bits) | (vga->latch & ~bits);
}

static void write_byte(struct vga *vga, uint64_t address, uint8_t value)
{
	uint8_t planes = vga->seq[SEQ_MAP_MASK] & 15;
	uint32_t keep, word;

	if (!window_offset(vga, &address))
		return;
	if (is_linear(vga)) {
		bool is_on = vga_vbe_is_linear(vga) || (planes & BIT(address & 3));

		address += bank_offset(vga);
		vga->is_changed = true;
		if (!is_on || address >= vga->vram_bytes)
			return;
		vga->vram[address] = value;
		ram_mark_dirty(vga->ram, address, 1);
		return;
	}
	if (!(vga->seq[SEQ_MEMORY] & SEQ_NO_ODD_EVEN)) {
		planes &= address & 1 ? 0xa : 0x5;
		address &= ~1ull;
	}
	address = (address + bank_offset(vga)) * 4;
	if (address + 4 > vga->vram_bytes)
		return;
	keep = ~spread(planes);
	word = load_le32(&vga->vram[address]);
	store_le32(&vga->vram[address], (word & keep) | (write_logic(vga, value) & ~keep));
	ram_mark_dirty(vga->ram, address, 4);
	vga->is_changed = true;
	vga->style_changed |= (planes & 0xc) != 0;
}

static uint8_t read_byte(struct vga *vga, uint64_t address)
{
	unsigned plane = vga->gfx[GFX_READ_PLANE] & 3;
	uint32_t differs;

	if (!window_offset(vga, &address))
		return 0xff;
	if (is_linear(vga)) {
		address += bank_offset(vga);
		return address < vga->vram_bytes ? vga->vram[address] : 0xff;
	}
	if (vga->gfx[GFX_MODE] & MODE_ODD_EVEN) {
		plane = (plane & 2) | (address & 1);
		address &= ~1ull;
	}
	address = (address + bank_offset(vga)) * 4;
	if (address + 4 > vga->vram_bytes)
		return 0xff;
	vga->latch = load_le32(&vga->vram[address]);
	if (!(vga->gfx[GFX_MODE] & MODE_READ_COMPARE))
		return vga->latch >> plane * 8;
	differs = (vga->latch ^ spread(vga->gfx[GFX_COMPARE])) & spread(vga->gfx[GFX_DONT_CARE]);
	differs |= differs >> 16;
	return ~(differs | differs >> 8);
}

static uint64_t window_read(struct dev *dev, uint64_t offset, unsigned size)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < size; i++)
		value |= (uint64_t)read_byte(to_vga(dev), offset + i) << i * 8;
	return value;
}

static void window_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	for (unsigned i = 0; i < size; i++)
		write_byte(to_vga(dev), offset + i, value >> i * 8);
}

static const struct region window = {
	.name = "vga-window",
	.min_size = 1,
	.max_size = 8,
	.read = window_read,
	.write = window_write,
};

/* Ports ----------------------------------------------------------------------------------- */

static void attribute_write(struct vga *vga, uint8_t value)
{
	static const uint8_t mask[ATTR_COUNT] = {
		0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f,
		0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0xef, 0xff, 0x3f, 0x0f, 0x0f,
	};

	vga->style_changed = true;
	if (!vga->attr_wants_data)
		vga->attr_index = value & 0x3f;
	else
		vga->attr[vga->attr_index & 0x1f] = value & mask[vga->attr_index & 0x1f];
	vga->attr_wants_data = !vga->attr_wants_data;
}

static void dac_data_write(struct vga *vga, uint8_t value)
{
	vga->dac_latch[vga->dac_component++] = value;
	if (vga->dac_component < 3)
		return;
	memcpy(&vga->dac[vga->dac_write * 3], vga->dac_latch, 3);
	vga->dac_component = 0;
	vga->dac_write++;
}

static uint8_t dac_data_read(struct vga *vga)
{
	uint8_t value = vga->dac[vga->dac_read * 3 + vga->dac_component];

	if (++vga->dac_component == 3) {
		vga->dac_component = 0;
		vga->dac_read++;
	}
	return value;
}

static void crtc_write(struct vga *vga, uint8_t value)
{
	unsigned index = vga->crtc_index;

	if (index >= CRTC_COUNT)
		return;
	if ((vga->crtc[CRTC_V_SYNC_END] & 0x80) && index <= CRTC_OVERFLOW) {
		if (index == CRTC_OVERFLOW) /* [CRTC 11h] bit 4 stays writable */
			vga->crtc[index] = (vga->crtc[index] & ~0x10) | (value & 0x10);
		return;
	}
	vga->style_changed |= index < CRTC_START_HIGH || index > CRTC_CURSOR_LOW;
	vga->crtc[index] = value;
}

static void sequencer_write(struct vga *vga, uint8_t value)
{
	static const uint8_t mask[SEQ_COUNT] = { 0x03, 0x3d, 0x0f, 0x3f, 0x0e };

	if (vga->seq_index >= SEQ_COUNT)
		return;
	vga->style_changed |= vga->seq_index == SEQ_CLOCKING || vga->seq_index == SEQ_FONTS;
	vga->seq[vga->seq_index] = value & mask[vga->seq_index];
	vga_update_window(vga);
}

static void graphics_write(struct vga *vga, uint8_t value)
{
	static const uint8_t mask[GFX_COUNT] = { 0x0f, 0x0f, 0x0f, 0x1f, 0x03,
						 0x7b, 0x0f, 0x0f, 0xff };

	if (vga->gfx_index >= GFX_COUNT)
		return;
	vga->gfx[vga->gfx_index] = value & mask[vga->gfx_index];
	vga_update_window(vga);
}

/* Where the beam is, from guest time. */
static uint8_t input_status(const struct vga *vga)
{
	unsigned overflow = vga->crtc[CRTC_OVERFLOW];
	unsigned total = vga->crtc[CRTC_V_TOTAL] | (overflow & 1) << 8 | (overflow & 0x20) << 4;
	unsigned end = vga->crtc[CRTC_V_END] | (overflow & 2) << 7 | (overflow & 0x40) << 3;
	unsigned sync = vga->crtc[CRTC_V_SYNC] | (overflow & 4) << 6 | (overflow & 0x80) << 2;
	uint64_t now = dev_now(vga->dev);
	unsigned line = now / LINE_NS % (total + 2);
	uint8_t status = 0;

	if (line > end || now % LINE_NS > LINE_NS * 4 / 5)
		status |= STATUS_BLANK;
	if (line >= sync && line < sync + 2 + ((vga->crtc[CRTC_V_SYNC_END] - sync) & 15))
		status |= STATUS_RETRACE;
	return status;
}

/* The CRTC and status ports are at 0x3bx for monochrome, 0x3dx for colour. */
static bool is_elsewhere(const struct vga *vga, unsigned port)
{
	return port < 0x3c0 ? vga->misc & MISC_COLOR : port >= 0x3d0 && !(vga->misc & MISC_COLOR);
}

uint8_t vga_port_read(struct vga *vga, unsigned port)
{
	if (is_elsewhere(vga, port))
		return 0xff;
	switch (port < 0x3c0 ? port + 0x20 : port) {
	case 0x3c0:
		return vga->attr_wants_data ? 0 : vga->attr_index;
	case 0x3c1:
		return vga->attr[vga->attr_index & 0x1f];
	case 0x3c2:
		return 0;
	case 0x3c4:
		return vga->seq_index;
	case 0x3c5:
		return vga->seq_index < SEQ_COUNT ? vga->seq[vga->seq_index] : 0;
	case 0x3c6:
		return vga->dac_mask;
	case 0x3c7:
		return vga->dac_state;
	case 0x3c8:
		return vga->dac_write;
	case 0x3c9:
		return dac_data_read(vga);
	case 0x3ca:
		return vga->feature;
	case 0x3cc:
		return vga->misc;
	case 0x3ce:
		return vga->gfx_index;
	case 0x3cf:
		return vga->gfx_index < GFX_COUNT ? vga->gfx[vga->gfx_index] : 0;
	case 0x3d4:
		return vga->crtc_index;
	case 0x3d5:
		return vga->crtc_index < CRTC_COUNT ? vga->crtc[vga->crtc_index] : 0;
	case 0x3da:
		vga->attr_wants_data = false;
		return input_status(vga);
	default:
		return 0xff;
	}
}

static void dac_index_write(struct vga *vga, unsigned port, uint8_t value)
{
	vga->dac_component = 0;
	if (port == 0x3c7)
		vga->dac_read = value;
	else
		vga->dac_write = value;
	vga->dac_state = port == 0x3c7 ? 3 : 0;
}

void vga_port_write(struct vga *vga, unsigned port, uint8_t value)
{
	if (is_elsewhere(vga, port))
		return;
	vga->is_changed = true;
	switch (port < 0x3c0 ? port + 0x20 : port) {
	case 0x3c0:
	case 0x3c1:
		attribute_write(vga, value);
		break;
	case 0x3c2:
		vga->misc = value & ~0x10;
		vga_update_window(vga);
		break;
	case 0x3c4:
		vga->seq_index = value;
		break;
	case 0x3c5:
		sequencer_write(vga, value);
		break;
	case 0x3c6:
		vga->dac_mask = value;
		break;
	case 0x3c7:
	case 0x3c8:
		dac_index_write(vga, port, value);
		break;
	case 0x3c9:
		dac_data_write(vga, value);
		break;
	case 0x3ce:
		vga->gfx_index = value;
		break;
	case 0x3cf:
		graphics_write(vga, value);
		break;
	case 0x3d4:
		vga->crtc_index = value;
		break;
	case 0x3d5:
		crtc_write(vga, value);
		break;
	case 0x3da:
		vga->feature = value & 0x10;
		break;
	default:
		break;
	}
}

static uint64_t ports_read(struct dev *dev, uint64_t offset, unsigned size)
{
	(void)size;
	return vga_port_read(to_vga(dev), 0x3c0 + offset);
}

static void ports_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	(void)size;
	vga_port_write(to_vga(dev), 0x3c0 + offset, value);
}

static uint64_t mono_ports_read(struct dev *dev, uint64_t offset, unsigned size)
{
	(void)size;
	return vga_port_read(to_vga(dev), 0x3b4 + offset);
}

static void mono_ports_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	(void)size;
	vga_port_write(to_vga(dev), 0x3b4 + offset, value);
}

static const struct region ports = { "vga", 1, 1, ports_read, ports_write };
static const struct region mono_ports = { "vga-mono", 1, 1, mono_ports_read, mono_ports_write };

/* Life cycle ------------------------------------------------------------------------------ */

int vga_attach(struct vga *vga, struct dev *dev, uint64_t vram_bytes, struct err *err)
{
	int code;

	vga->dev = dev;
	vga->vram_bytes = vram_bytes;
	vga->ram = ram_new(dev, "vram", vram_bytes, err);
	if (!vga->ram)
		return err && err->code ? -err->code : -ENOMEM;
	vga->vram = ram_host(vga->ram);
	vga->cells = calloc(VGA_TEXT_CELLS, sizeof(vga->cells[0]));
	vga->dirty_lines = calloc(DISPLAY_MAX_SIDE, 1);
	if (!vga->cells || !vga->dirty_lines)
		return fail(err, ENOMEM, "no memory for the display");
	code = claim_mmio(dev, &window, VGA_WINDOW, VGA_WINDOW_BYTES, err);
	if (!code)
		code = claim_ports(dev, &mono_ports, 0x3b4, 7, err);
	if (!code)
		code = claim_ports(dev, &ports, 0x3c0, 0x1b, err);
	if (!code)
		code = claim_ports(dev, &vga_vbe_ports, 0x1ce, 4, err);
	return code ? code : display_claim(dev, &vga_display, err);
}

void vga_reset(struct vga *vga)
{
	vga->seq_index = vga->gfx_index = vga->crtc_index = vga->attr_index = 0;
	memset(vga->seq, 0, sizeof(vga->seq));
	memset(vga->gfx, 0, sizeof(vga->gfx));
	memset(vga->crtc, 0, sizeof(vga->crtc));
	memset(vga->attr, 0, sizeof(vga->attr));
	memset(vga->dac, 0, sizeof(vga->dac));
	memset(vga->vbe, 0, sizeof(vga->vbe));
	vga->attr_wants_data = false;
	vga->misc = vga->feature = 0;
	vga->dac_mask = 0xff;
	vga->dac_state = vga->dac_read = vga->dac_write = vga->dac_component = 0;
	vga->latch = 0;
	vga->vbe_index = 0;
	vga->vbe[VBE_ID] = 0xb0c5;
	ram_clear(vga->ram);
	memset(&vga->shape, 0, sizeof(vga->shape));
	vga->is_changed = vga->style_changed = true;
	vga_update_window(vga);
}

int vga_restored(struct vga *vga, struct err *err)
{
	(void)err;
	vga_vbe_fix(vga);
	memset(&vga->shape, 0, sizeof(vga->shape));
	vga->is_changed = vga->style_changed = true;
	vga_update_window(vga);
	return 0;
}

void vga_detach(struct vga *vga)
{
	free(vga->cells);
	free(vga->dirty_lines);
}
