/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * VGA: from display memory to pixels.
 *
 * A refresh finds out which kind of picture the registers describe, then draws what may have
 * changed: text by comparing cells with those drawn last, linear modes by the dirty pages of video
 * memory, the planar and CGA modes line by line whenever anything was written.
 *
 * Manual: as vga.c, "CRT Controller" and "Attribute Controller".
 * Not modelled: overscan border, pixel panning and row preset in text modes.
 */
#include "dev/pci/vga.h"

enum { KIND_NONE, KIND_BLANK, KIND_TEXT, KIND_PLANAR, KIND_LINEAR };

enum { CELL_DRAWN = 1u << 31, CELL_CURSOR = 1u << 30, CELL_HIDDEN = 1u << 29 };

#define BLINK_NS (266 * MILLISECOND)

static unsigned vertical_end(const struct vga *vga)
{
	unsigned overflow = vga->crtc[CRTC_OVERFLOW];

	return (vga->crtc[CRTC_V_END] | (overflow & 2) << 7 | (overflow & 0x40) << 3) + 1;
}

static unsigned line_compare(const struct vga *vga)
{
	return vga->crtc[CRTC_LINE_COMPARE] | (vga->crtc[CRTC_OVERFLOW] & 0x10) << 4 |
	       (vga->crtc[CRTC_SCAN] & 0x40) << 3;
}

static unsigned start_address(const struct vga *vga)
{
	return vga->crtc[CRTC_START_HIGH] << 8 | vga->crtc[CRTC_START_LOW];
}

/* Dots of a character column: 8 or 9, doubled at half clock. */
static unsigned column_dots(const struct vga *vga)
{
	return (vga->seq[SEQ_CLOCKING] & CLOCKING_8_DOTS ? 8 : 9) *
	       (vga->seq[SEQ_CLOCKING] & CLOCKING_HALF ? 2 : 1);
}

static struct vga_shape current_shape(const struct vga *vga)
{
	unsigned columns = vga->crtc[CRTC_H_END] + 1;
	struct vga_shape shape = { .height = vertical_end(vga) };

	if (vga->vbe[VBE_ENABLE] & VBE_ENABLED) {
		shape.kind = vga_vbe_is_linear(vga) ? KIND_LINEAR : KIND_PLANAR;
		shape.width = vga->vbe[VBE_XRES];
		shape.height = vga->vbe[VBE_YRES];
		shape.bpp = vga->vbe[VBE_BPP];
		shape.pitch = vga_vbe_pitch(vga);
		shape.start = (uint64_t)vga->vbe[VBE_Y_OFFSET] * shape.pitch;
		shape.start +=
			(uint64_t)vga->vbe[VBE_X_OFFSET] * (shape.bpp == 15 ? 16 : shape.bpp) / 8;
		return shape;
	}
	shape.kind = vga->gfx[GFX_MISC] & MISC_GRAPHICS ? KIND_PLANAR : KIND_TEXT;
	shape.width = columns * (shape.kind == KIND_TEXT                  ? column_dots(vga)
				 : vga->seq[SEQ_CLOCKING] & CLOCKING_HALF ? 16
									  : 8);
	shape.start = start_address(vga);
	shape.pitch = vga->crtc[CRTC_OFFSET] * 2;
	if ((vga->seq[SEQ_CLOCKING] & CLOCKING_OFF) || !(vga->attr_index & ATTR_INDEX_SHOWS) ||
	    !vga->crtc[CRTC_H_END])
		shape.kind = KIND_BLANK;
	return shape;
}

/* DAC entries as pixels; true if any changed. */
static bool load_palette(struct vga *vga)
{
	bool wide = vga->vbe[VBE_ENABLE] & VBE_8BIT_DAC;
	bool changed = false;

	for (unsigned i = 0; i < 256; i++) {
		uint32_t pixel = 0;

		for (unsigned c = 0; c < 3; c++) {
			uint8_t level = vga->dac[i * 3 + c];

			if (!wide)
				level = (level & 63) << 2 | (level >> 4 & 3);
			pixel = pixel << 8 | level;
		}
		changed |= pixel != vga->palette[i];
		vga->palette[i] = pixel;
	}
	return changed;
}

/* [Attribute Controller] a 4-bit colour through the palette registers to the DAC. */
static uint32_t color(const struct vga *vga, unsigned index)
{
	unsigned entry = vga->attr[index & 15 & vga->attr[ATTR_PLANES]] & 0x3f;

	if (vga->attr[ATTR_MODE] & ATTR_MODE_P54)
		entry = (entry & 15) | (vga->attr[ATTR_SELECT] & 3) << 4;
	entry |= (vga->attr[ATTR_SELECT] & 0xc) << 4;
	return vga->palette[entry & vga->dac_mask];
}

/* [CRTC 14h, 17h] how the address counter becomes an offset into the planes. */
static unsigned plane_offset(const struct vga *vga, unsigned counter, unsigned scan)
{
	uint8_t mode = vga->crtc[CRTC_MODE];

	counter &= 0xffff;
	if (vga->seq[SEQ_MEMORY] & SEQ_CHAIN_4)
		return counter;
	if (vga->crtc[CRTC_UNDERLINE] & 0x40)
		counter = counter << 2 | (counter >> 14 & 3);
	else if (!(mode & 0x40))
		counter = counter << 1 | (counter >> (mode & 0x20 ? 15 : 13) & 1);
	if (!(mode & 1))
		counter = (counter & ~0x2000u) | (scan & 1) << 13;
	if (!(mode & 2))
		counter = (counter & ~0x4000u) | (scan & 2) << 13;
	return counter & 0xffff;
}

static const uint8_t *plane_bytes(const struct vga *vga, unsigned offset)
{
	return &vga->vram[(uint64_t)(offset & 0xffff) * 4]; /* 256 KiB: any card has that */
}

/* Text ------------------------------------------------------------------------------------ */

struct text_screen {
	unsigned columns, rows, line_height, scale; /* scale: 2 when scan lines are doubled */
	uint32_t colors[16];
	unsigned cursor; /* counter value of the cursor's cell; ~0 when it is hidden */
	bool blink_off;
};

static struct text_screen text_screen(const struct vga *vga)
{
	struct text_screen screen = {
		.columns = vga->crtc[CRTC_H_END] + 1,
		.line_height = (vga->crtc[CRTC_SCAN] & 31) + 1,
		.scale = vga->crtc[CRTC_SCAN] & 0x80 ? 2 : 1,
		.cursor = vga->crtc[CRTC_CURSOR_HIGH] << 8 | vga->crtc[CRTC_CURSOR_LOW],
	};

	screen.rows = vertical_end(vga) / (screen.line_height * screen.scale);
	screen.rows = MIN(screen.rows, VGA_TEXT_CELLS / screen.columns);
	for (unsigned i = 0; i < 16; i++)
		screen.colors[i] = color(vga, i);
	screen.blink_off = dev_now(vga->dev) / (2 * BLINK_NS) & 1;
	if ((vga->crtc[CRTC_CURSOR_START] & 0x20) || (dev_now(vga->dev) / BLINK_NS & 1))
		screen.cursor = ~0u;
	return screen;
}

static unsigned cell_counter(const struct vga *vga, unsigned row, unsigned column)
{
	return (start_address(vga) + row * vga->crtc[CRTC_OFFSET] * 2 + column) & 0xffff;
}

static uint32_t current_cell(const struct vga *vga, const struct text_screen *screen, unsigned row,
			     unsigned column)
{
	unsigned counter = cell_counter(vga, row, column);
	const uint8_t *bytes = plane_bytes(vga, plane_offset(vga, counter, 0));
	uint32_t cell = CELL_DRAWN | bytes[0] | bytes[1] << 8;

	if (counter == screen->cursor)
		cell |= CELL_CURSOR;
	if ((vga->attr[ATTR_MODE] & ATTR_MODE_BLINK) && (bytes[1] & 0x80) && screen->blink_off)
		cell |= CELL_HIDDEN;
	return cell;
}

/* [Sequencer 3] two fonts, chosen by attribute bit 3. */
static const uint8_t *glyph(const struct vga *vga, uint32_t cell)
{
	uint8_t select = vga->seq[SEQ_FONTS];
	unsigned map = cell & 0x800 ? (select >> 2 & 3) | (select >> 3 & 4)
				    : (select & 3) | (select >> 2 & 4);
	unsigned base = (map & 3) << 14 | (map & 4) << 11;

	return plane_bytes(vga, base + (cell & 0xff) * 32) + 2;
}

static void draw_cell(struct vga *vga, struct surface *surface, const struct text_screen *screen,
		      unsigned row, unsigned column, uint32_t cell)
{
	bool blinks = vga->attr[ATTR_MODE] & ATTR_MODE_BLINK;
	uint32_t fore = screen->colors[cell >> 8 & 15];
	uint32_t back = screen->colors[cell >> 12 & (blinks ? 7 : 15)];
	unsigned dots = vga->seq[SEQ_CLOCKING] & CLOCKING_8_DOTS ? 8 : 9;
	unsigned wide = vga->seq[SEQ_CLOCKING] & CLOCKING_HALF ? 2 : 1;
	bool repeats = (vga->attr[ATTR_MODE] & ATTR_MODE_9TH) && (cell & 0xe0) == 0xc0;
	unsigned height = screen->line_height * screen->scale;
	const uint8_t *font = glyph(vga, cell);

	for (unsigned y = 0; y < height; y++) {
		unsigned line = y / screen->scale;
		unsigned bits = (cell & CELL_HIDDEN ? 0 : font[line * 4]) << 1;
		uint32_t *pixel = (uint32_t *)((char *)surface->pixels +
					       (size_t)(row * height + y) * surface->stride) +
				  column * dots * wide;

		if (repeats)
			bits |= bits >> 1 & 1;
		if ((cell & CELL_CURSOR) && line >= (vga->crtc[CRTC_CURSOR_START] & 31u) &&
		    line <= (vga->crtc[CRTC_CURSOR_END] & 31u))
			bits = 0x1ff;
		for (unsigned x = 0; x < dots * wide; x++)
			pixel[x] = bits << x / wide & 0x100 ? fore : back;
	}
}

static void draw_text(struct vga *vga, struct display *display, bool full)
{
	struct text_screen screen = text_screen(vga);
	struct surface *surface = display_surface(display);
	unsigned width = column_dots(vga), height = screen.line_height * screen.scale;

	for (unsigned row = 0; row < screen.rows; row++) {
		unsigned first = screen.columns, last = 0;

		for (unsigned column = 0; column < screen.columns; column++) {
			uint32_t *drawn = &vga->cells[row * screen.columns + column];
			uint32_t cell = current_cell(vga, &screen, row, column);

			if (*drawn == cell && !full)
				continue;
			*drawn = cell;
			draw_cell(vga, surface, &screen, row, column, cell);
			first = MIN(first, column);
			last = column;
		}
		if (first <= last)
			display_changed(display, first * width, row * height,
					(last - first + 1) * width, height);
	}
}

/* Planar and CGA graphics ----------------------------------------------------------------- */

struct scan_line {
	unsigned counter, scan; /* address counter at its first column, row scan counter */
	unsigned pan;
	bool is_vbe;
	uint64_t offset; /* VBE: plane offset of the first column */
};

static const uint8_t *line_bytes(const struct vga *vga, const struct scan_line *line,
				 unsigned column)
{
	uint64_t offset;

	if (!line->is_vbe)
		return plane_bytes(vga, plane_offset(vga, line->counter + column, line->scan));
	offset = (line->offset + column) * 4;
	return &vga->vram[offset + 4 <= vga->vram_bytes ? offset : 0];
}

/* Eight (or four) pixels of one address as DAC colours. */
static unsigned decode_column(const struct vga *vga, const uint8_t *planes, const uint32_t *colors,
			      uint32_t *to)
{
	if (vga->gfx[GFX_MODE] & MODE_256) {
		for (unsigned i = 0; i < 4; i++)
			to[i] = vga->palette[planes[i] & vga->dac_mask];
		return 4;
	}
	for (unsigned i = 0; i < 8; i++) {
		unsigned index = 0;

		if (vga->gfx[GFX_MODE] & MODE_INTERLEAVE) {
			unsigned shift = 6 - i % 4 * 2;

			index = (planes[i / 4] >> shift & 3) | (planes[2 + i / 4] >> shift & 3)
								       << 2;
		} else {
			for (unsigned plane = 0; plane < 4; plane++)
				index |= (planes[plane] >> (7 - i) & 1) << plane;
		}
		to[i] = colors[index];
	}
	return 8;
}

static void draw_line(struct vga *vga, const struct scan_line *line, const uint32_t *colors,
		      uint32_t *to, unsigned width)
{
	bool half = vga->seq[SEQ_CLOCKING] & CLOCKING_HALF;
	unsigned wide = line->is_vbe ? 1 : half ? 2 : 1;
	unsigned skip = line->pan & 7, at = 0;

	if (vga->gfx[GFX_MODE] & MODE_256) {
		wide *= 2;
		skip /= 2;
	}
	for (unsigned column = 0; at < width; column++) {
		uint32_t pixels[8];
		unsigned count = decode_column(vga, line_bytes(vga, line, column), colors, pixels);

		for (unsigned i = skip; i < count; i++)
			for (unsigned w = 0; w < wide && at < width; w++)
				to[at++] = pixels[i];
		skip = 0;
	}
}

static struct scan_line scan_line(const struct vga *vga, unsigned y)
{
	unsigned height = (vga->crtc[CRTC_SCAN] & 31) + 1;
	unsigned doubled = vga->crtc[CRTC_SCAN] & 0x80 ? 1 : 0;
	unsigned compare = line_compare(vga);
	struct scan_line line = { .pan = vga->attr[ATTR_PAN] };

	if (vga->vbe[VBE_ENABLE] & VBE_ENABLED) {
		uint64_t pitch = vga->vbe[VBE_VIRT_WIDTH] / 8;

		line.is_vbe = true;
		line.pan = vga->vbe[VBE_X_OFFSET] & 7;
		line.offset = (y + vga->vbe[VBE_Y_OFFSET]) * pitch + vga->vbe[VBE_X_OFFSET] / 8;
		return line;
	}
	line.counter = start_address(vga) + (vga->crtc[CRTC_PRESET] >> 5 & 3);
	if (y > compare) { /* [CRTC 18h] the lower part of a split screen starts at 0 */
		y -= compare + 1;
		line.counter = 0;
		if (vga->attr[ATTR_MODE] & 0x20)
			line.pan = 0;
	}
	y >>= doubled;
	line.scan = y % height;
	line.counter += y / height * vga->crtc[CRTC_OFFSET] * 2;
	return line;
}

static void draw_planar(struct vga *vga, struct display *display, bool full)
{
	struct surface *surface = display_surface(display);
	unsigned width = MIN(surface->width, (unsigned)DISPLAY_MAX_SIDE), first = ~0u, last = 0;
	uint32_t pixels[DISPLAY_MAX_SIDE], colors[16];

	for (unsigned i = 0; i < 16; i++)
		colors[i] = color(vga, i);
	for (unsigned y = 0; y < surface->height; y++) {
		struct scan_line line = scan_line(vga, y);
		char *row = (char *)surface->pixels + (size_t)y * surface->stride;

		draw_line(vga, &line, colors, pixels, width);
		if (!full && !memcmp(row, pixels, width * 4))
			continue;
		memcpy(row, pixels, width * 4);
		first = MIN(first, y);
		last = y;
	}
	if (first <= last)
		display_changed(display, 0, first, width, last - first + 1);
}

/* Linear modes ---------------------------------------------------------------------------- */

static void convert_line(const struct vga *vga, const uint8_t *from, uint32_t *to, unsigned width)
{
	unsigned p;

	switch (vga->shape.bpp) {
	case 8:
		for (unsigned x = 0; x < width; x++)
			to[x] = vga->palette[from[x] & vga->dac_mask];
		break;
	case 15:
		for (unsigned x = 0; x < width; x++) {
			p = load_le16(from + x * 2);
			to[x] = (p & 0x7c00) << 9 | (p & 0x3e0) << 6 | (p & 0x1f) << 3;
			to[x] |= to[x] >> 5 & 0x070707;
		}
		break;
	case 16:
		for (unsigned x = 0; x < width; x++) {
			p = load_le16(from + x * 2);
			to[x] = (p & 0xf800) << 8 | (p & 0x7e0) << 5 | (p & 0x1f) << 3;
			to[x] |= (to[x] >> 5 & 0x070007) | (to[x] >> 6 & 0x000300);
		}
		break;
	case 24:
		for (unsigned x = 0; x < width; x++)
			to[x] = from[x * 3] | from[x * 3 + 1] << 8 | from[x * 3 + 2] << 16;
		break;
	default:
		for (unsigned x = 0; x < width; x++)
			to[x] = load_le32(from + x * 4) & 0xffffff;
		break;
	}
}

/* Marks the lines that a dirty range of video memory touches. */
static void note_dirty(struct dev *dev, uint64_t offset, uint64_t bytes)
{
	struct vga *vga = to_vga(dev);
	const struct vga_shape *shape = &vga->shape;
	uint64_t first, last;

	vga->is_changed = true;
	if (shape->kind != KIND_LINEAR || !bytes || offset + bytes <= shape->start)
		return;
	first = offset > shape->start ? (offset - shape->start) / shape->pitch : 0;
	last = (offset + bytes - 1 - shape->start) / shape->pitch;
	for (uint64_t line = first; line <= last && line < shape->height; line++)
		vga->dirty_lines[line] = 1;
}

static void draw_linear(struct vga *vga, struct display *display)
{
	struct surface *surface = display_surface(display);
	const struct vga_shape *shape = &vga->shape;
	unsigned first = 0, run = 0;

	for (unsigned y = 0; y <= shape->height; y++) {
		if (y < shape->height && vga->dirty_lines[y]) {
			convert_line(
				vga, vga->vram + shape->start + (uint64_t)y * shape->pitch,
				(uint32_t *)((char *)surface->pixels + (size_t)y * surface->stride),
				shape->width);
			first = run++ ? first : y;
		} else if (run) {
			display_changed(display, 0, first, shape->width, run);
			run = 0;
		}
	}
	memset(vga->dirty_lines, 0, shape->height);
}

/* Refresh --------------------------------------------------------------------------------- */

static void draw_blank(struct display *display)
{
	struct surface *surface = display_surface(display);

	for (unsigned y = 0; y < surface->height; y++)
		memset((char *)surface->pixels + (size_t)y * surface->stride, 0,
		       surface->width * 4);
	display_changed(display, 0, 0, surface->width, surface->height);
}

static void refresh(struct dev *dev, struct display *display, bool full)
{
	struct vga *vga = to_vga(dev);
	struct vga_shape shape = current_shape(vga);
	bool window_written = vga->is_changed; /* banked writes that were not mapped */

	if (memcmp(&shape, &vga->shape, sizeof(shape))) {
		struct surface *surface = display_surface(display);

		if (!surface || surface->width != shape.width || surface->height != shape.height)
			if (display_resize(display, shape.width, shape.height))
				return;
		vga->shape = shape;
		full = true;
	}
	full |= load_palette(vga) && (shape.kind != KIND_LINEAR || shape.bpp == 8);
	ram_take_dirty(vga->ram, note_dirty, dev);
	switch (shape.kind) {
	case KIND_BLANK:
		if (full)
			draw_blank(display);
		break;
	case KIND_TEXT:
		draw_text(vga, display, full || vga->style_changed);
		break;
	case KIND_PLANAR:
		if (full || vga->is_changed)
			draw_planar(vga, display, full);
		break;
	default:
		if (full || window_written)
			memset(vga->dirty_lines, 1, shape.height);
		draw_linear(vga, display);
	}
	vga->is_changed = vga->style_changed = false;
}

static bool text(struct dev *dev, char *to, size_t room)
{
	struct vga *vga = to_vga(dev);
	struct text_screen screen = text_screen(vga);
	size_t used = 0;

	if ((vga->vbe[VBE_ENABLE] & VBE_ENABLED) || (vga->gfx[GFX_MISC] & MISC_GRAPHICS) || !room)
		return false;
	for (unsigned row = 0; row < screen.rows; row++)
		for (unsigned column = 0; column <= screen.columns && used + 1 < room; column++) {
			uint8_t byte = current_cell(vga, &screen, row, column);

			if (column == screen.columns)
				byte = '\n';
			else if (byte < ' ' || byte > '~')
				byte = ' ';
			to[used++] = byte;
		}
	to[used] = 0;
	return true;
}

const struct display_source vga_display = {
	.refresh = refresh,
	.text = text,
};
