/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The VGA core, shared by its PCI and ISA cards: vga.c registers and memory, vga_draw.c pixels. */
#ifndef DEV_PCI_VGA_H
#define DEV_PCI_VGA_H

#include "core/display.h"
#include "core/pci.h"

enum { SEQ_RESET, SEQ_CLOCKING, SEQ_MAP_MASK, SEQ_FONTS, SEQ_MEMORY, SEQ_COUNT = 8 };
enum {
	CLOCKING_8_DOTS = 0x01,
	CLOCKING_HALF = 0x08,
	CLOCKING_OFF = 0x20,
	SEQ_NO_ODD_EVEN = 0x04, /* SEQ_MEMORY */
	SEQ_CHAIN_4 = 0x08,
};

enum {
	GFX_SET,
	GFX_SET_ENABLE,
	GFX_COMPARE,
	GFX_ROTATE,
	GFX_READ_PLANE,
	GFX_MODE,
	GFX_MISC,
	GFX_DONT_CARE,
	GFX_BIT_MASK,
	GFX_COUNT = 16,
};
enum {
	MODE_READ_COMPARE = 0x08,
	MODE_ODD_EVEN = 0x10,
	MODE_INTERLEAVE = 0x20,
	MODE_256 = 0x40,
	MISC_GRAPHICS = 0x01, /* GFX_MISC */
};

enum {
	CRTC_H_END = 0x01,
	CRTC_V_TOTAL = 0x06,
	CRTC_OVERFLOW = 0x07,
	CRTC_PRESET = 0x08,
	CRTC_SCAN = 0x09,
	CRTC_CURSOR_START = 0x0a,
	CRTC_CURSOR_END = 0x0b,
	CRTC_START_HIGH = 0x0c,
	CRTC_START_LOW = 0x0d,
	CRTC_CURSOR_HIGH = 0x0e,
	CRTC_CURSOR_LOW = 0x0f,
	CRTC_V_SYNC = 0x10,
	CRTC_V_SYNC_END = 0x11,
	CRTC_V_END = 0x12,
	CRTC_OFFSET = 0x13,
	CRTC_UNDERLINE = 0x14,
	CRTC_MODE = 0x17,
	CRTC_LINE_COMPARE = 0x18,
	CRTC_COUNT = 0x20,
};

enum { ATTR_MODE = 0x10, ATTR_OVERSCAN, ATTR_PLANES, ATTR_PAN, ATTR_SELECT, ATTR_COUNT = 0x20 };
enum {
	ATTR_INDEX_SHOWS = 0x20,
	ATTR_MODE_9TH = 0x04,
	ATTR_MODE_BLINK = 0x08,
	ATTR_MODE_P54 = 0x80
};

enum {
	VBE_ID,
	VBE_XRES,
	VBE_YRES,
	VBE_BPP,
	VBE_ENABLE,
	VBE_BANK,
	VBE_VIRT_WIDTH,
	VBE_VIRT_HEIGHT,
	VBE_X_OFFSET,
	VBE_Y_OFFSET,
	VBE_MEMORY,
	VBE_COUNT = 16,
};
enum {
	VBE_ENABLED = 1,
	VBE_GET_CAPS = 2,
	VBE_8BIT_DAC = 0x20,
	VBE_LINEAR = 0x40,
	VBE_NO_CLEAR = 0x80
};

enum { VGA_WINDOW = 0xa0000, VGA_WINDOW_BYTES = 0x20000, VGA_TEXT_CELLS = 65536 };

/* What the picture is made of; a change of it redraws everything. */
struct vga_shape {
	uint32_t kind; /* enum in vga_draw.c */
	uint32_t width, height, bpp;
	uint64_t start, pitch;
};

struct vga {
	struct dev *dev;
	struct ram *ram;
	uint8_t *vram; /* planar memory: byte offset = plane offset * 4 + plane */
	uint64_t vram_bytes;

	uint8_t seq_index, gfx_index, crtc_index, attr_index;
	uint8_t seq[SEQ_COUNT], gfx[GFX_COUNT], crtc[CRTC_COUNT], attr[ATTR_COUNT];
	bool attr_wants_data;
	uint8_t misc, feature;
	uint8_t dac[768], dac_mask, dac_state, dac_read, dac_write, dac_component, dac_latch[3];
	uint32_t latch;
	uint16_t vbe_index, vbe[VBE_COUNT];

	/* Derived: what the CPU window shows directly, and what the drawing code has seen. */
	bool window_mapped;
	uint64_t window_base, window_offset, window_bytes;
	bool is_changed;    /* memory, palette or registers, since the last refresh */
	bool style_changed; /* how text looks: fonts, colours, geometry */
	struct vga_shape shape;
	uint32_t palette[256];
	uint32_t *cells;      /* text as last drawn */
	uint8_t *dirty_lines; /* one per line of the surface */
};

extern const struct field vga_state[];
extern const struct display_source vga_display;

int vga_attach(struct vga *vga, struct dev *dev, uint64_t vram_bytes, struct err *err);
void vga_reset(struct vga *vga);
int vga_restored(struct vga *vga, struct err *err);
void vga_detach(struct vga *vga);
/* One byte of the VGA ports, 0x3b0 to 0x3df. */
uint8_t vga_port_read(struct vga *vga, unsigned port);
void vga_port_write(struct vga *vga, unsigned port, uint8_t value);
/* After a register that decides what the CPU sees at 0xa0000. */
void vga_update_window(struct vga *vga);

uint16_t vga_vbe_read(const struct vga *vga);
void vga_vbe_write(struct vga *vga, uint16_t value);
void vga_vbe_fix(struct vga *vga);
bool vga_vbe_is_linear(const struct vga *vga); /* on, with 8 bits per pixel or more */
uint32_t vga_vbe_pitch(const struct vga *vga); /* bytes per line */
extern const struct region vga_vbe_ports;

struct vga_pci {
	struct pci_dev pci;
	struct vga vga[1];
	uint32_t vgamem_mb, xres, yres;
	bool edid;
	uint8_t edid_block[128];
};

struct vga_isa {
	struct dev dev;
	struct vga vga[1];
	uint32_t vgamem_mb;
};

static inline struct vga *to_vga(struct dev *dev)
{
	return dev->class->bus == &pci_bus_class ? container_of(dev, struct vga_pci, pci.dev)->vga
						 : container_of(dev, struct vga_isa, dev)->vga;
}

#endif
