/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The VGA: what the CPU writes is what is seen; and the ways such cards have been broken. */
#include "core/display.h"
#include "dev/all.h"
#include "rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { WINDOW = 0xa0000 };
enum { XRES = 1, YRES, BPP, ENABLE, BANK, VIRT_WIDTH, VIRT_HEIGHT, X_OFFSET, Y_OFFSET };

static struct rig *with_card(void)
{
	struct rig *rig = rig_new(&vga_class.dev, "");

	assert_non_null(rig);
	rig_out(rig, 0x3c2, 1, 0x67); /* colour addresses, memory on */
	return rig;
}

static void set(struct rig *rig, uint16_t port, unsigned index, unsigned value)
{
	rig_out(rig, port, 2, index | value << 8);
}

static void set_all(struct rig *rig, uint16_t port, const uint8_t *values, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		set(rig, port, i, values[i]);
}

static void set_attributes(struct rig *rig, const uint8_t *values)
{
	rig_in(rig, 0x3da, 1);
	for (unsigned i = 0; i < 21; i++) {
		rig_out(rig, 0x3c0, 1, i);
		rig_out(rig, 0x3c0, 1, values[i]);
	}
	rig_out(rig, 0x3c0, 1, 0x20);
}

/* A palette in which entry i is the grey of i, 6 bits. */
static void set_greys(struct rig *rig)
{
	rig_out(rig, 0x3c8, 1, 0);
	for (unsigned i = 0; i < 768; i++)
		rig_out(rig, 0x3c9, 1, i / 3 & 63);
}

static uint32_t grey(unsigned level)
{
	return (level << 2 | level >> 4) * 0x010101;
}

static uint32_t pixel(struct rig *rig, unsigned x, unsigned y)
{
	struct display *display = board_display(rig_board(rig));
	const struct surface *surface;

	display_refresh(display);
	surface = display_surface(display);
	assert_true(x < surface->width && y < surface->height);
	return surface->pixels[y * surface->stride / 4 + x];
}

static void check_size(struct rig *rig, unsigned width, unsigned height)
{
	struct display *display = board_display(rig_board(rig));

	display_refresh(display);
	assert_int_equal(display_surface(display)->width, width);
	assert_int_equal(display_surface(display)->height, height);
}

/* Register values of the BIOS modes, from IBM's tables. */
static void mode_3(struct rig *rig)
{
	static const uint8_t seq[] = { 3, 0, 3, 0, 2 };
	static const uint8_t crtc[] = { 0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0,
					0x4f, 0x0d, 0x0e, 0,    0,    0,    0,    0x9c, 0x0e,
					0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff };
	static const uint8_t gfx[] = { 0, 0, 0, 0, 0, 0x10, 0x0e, 0x0f, 0xff };
	static const uint8_t attr[] = { 0,  1,  2,  3,  4,  5,  6, 7,  8, 9, 10,
					11, 12, 13, 14, 15, 12, 0, 15, 8, 0 };

	set_all(rig, 0x3c4, seq, sizeof(seq));
	set_all(rig, 0x3d4, crtc, sizeof(crtc));
	set_all(rig, 0x3ce, gfx, sizeof(gfx));
	set_attributes(rig, attr);
	set_greys(rig);
}

static void graphics_mode(struct rig *rig, unsigned mode)
{
	static const uint8_t attr[] = { 0,  1,  2,  3,  4,  5, 6, 7,  8, 9, 10,
					11, 12, 13, 14, 15, 1, 0, 15, 0, 0 };
	static const uint8_t crtc_12[] = { 0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0x0b, 0x3e, 0,
					   0x40, 0,    0,    0,    0,    0,    0,    0xea, 0x0c,
					   0xdf, 0x28, 0,    0xe7, 0x04, 0xe3, 0xff };
	static const uint8_t crtc_13[] = { 0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0,
					   0x41, 0,    0,    0,    0,    0,    0,    0x9c, 0x0e,
					   0x8f, 0x28, 0x40, 0x96, 0xb9, 0xa3, 0xff };
	static const uint8_t crtc_4[] = { 0x2d, 0x27, 0x28, 0x90, 0x2b, 0x80, 0xbf, 0x1f, 0,
					  0xc1, 0,    0,    0,    0,    0,    0,    0x9c, 0x0e,
					  0x8f, 0x14, 0,    0x96, 0xb9, 0xa2, 0xff };
	const uint8_t seq[] = { 3, mode == 4 ? 9 : 1, mode == 4 ? 3 : 15, 0,
				mode == 4      ? 2
				: mode == 0x13 ? 14
					       : 6 };
	const uint8_t gfx[] = {
		0,  0,   0, 0, 0, mode == 4 ? 0x30 : mode == 0x13 ? 0x40 : 0, mode == 4 ? 0x0f : 5,
		15, 0xff
	};

	set_all(rig, 0x3c4, seq, sizeof(seq));
	set_all(rig, 0x3d4, mode == 4 ? crtc_4 : mode == 0x13 ? crtc_13 : crtc_12, 25);
	set_all(rig, 0x3ce, gfx, sizeof(gfx));
	set_attributes(rig, attr);
	set_greys(rig);
}

static void vbe_set(struct rig *rig, unsigned index, unsigned value)
{
	rig_out(rig, 0x1ce, 2, index);
	rig_out(rig, 0x1cf, 2, value);
}

static unsigned vbe_get(struct rig *rig, unsigned index)
{
	rig_out(rig, 0x1ce, 2, index);
	return rig_in(rig, 0x1cf, 2);
}

static void vbe_mode(struct rig *rig, unsigned width, unsigned height, unsigned bpp)
{
	vbe_set(rig, ENABLE, 0);
	vbe_set(rig, XRES, width);
	vbe_set(rig, YRES, height);
	vbe_set(rig, BPP, bpp);
	vbe_set(rig, ENABLE, 0x41);
}

/* Text ------------------------------------------------------------------------------------ */

static void load_glyph(struct rig *rig, unsigned character, uint8_t row)
{
	set(rig, 0x3c4, 2, 4);
	set(rig, 0x3c4, 4, 6);
	set(rig, 0x3ce, 5, 0);
	set(rig, 0x3ce, 6, 4);
	for (unsigned y = 0; y < 16; y++)
		rig_write(rig, WINDOW + character * 32 + y, 1, row);
	set(rig, 0x3c4, 2, 3);
	set(rig, 0x3c4, 4, 2);
	set(rig, 0x3ce, 5, 0x10);
	set(rig, 0x3ce, 6, 0x0e);
}

static void text_has_font_colour_and_cursor(void **state)
{
	struct rig *rig = with_card();
	char text[81 * 25 + 1];

	(void)state;
	mode_3(rig);
	load_glyph(rig, 'A', 0x81);
	rig_write(rig, 0xb8000 + 2 * 81, 2, 0x1e41);
	check_size(rig, 720, 400);
	assert_int_equal(pixel(rig, 9, 16), grey(14));
	assert_int_equal(pixel(rig, 10, 16), grey(1));
	assert_int_equal(pixel(rig, 16, 31), grey(14));
	assert_int_equal(pixel(rig, 17, 16), grey(1)); /* the ninth dot */
	assert_int_equal(rig_read(rig, 0xb8000 + 162, 2), 0x1e41);
	assert_true(display_text(board_display(rig_board(rig)), text, sizeof(text)));
	assert_int_equal(text[81 + 1], 'A');
	assert_int_equal(text[80], '\n');
	/* the cursor: lines 13 and 14 of cell 0, which has attribute 7 */
	rig_write(rig, 0xb8000, 2, 0x0720);
	assert_int_equal(pixel(rig, 0, 13), grey(7));
	assert_int_equal(pixel(rig, 0, 12), grey(0));
	rig_advance(rig, 300 * MILLISECOND); /* it blinks */
	assert_int_equal(pixel(rig, 0, 13), grey(0));
	rig_advance(rig, 266 * MILLISECOND);
	set(rig, 0x3d4, 0x0a, 0x2d); /* and can be hidden */
	assert_int_equal(pixel(rig, 0, 13), grey(0));
	rig_free(rig);
}

static void the_start_address_scrolls(void **state)
{
	struct rig *rig = with_card();

	(void)state;
	mode_3(rig);
	load_glyph(rig, 0xdb, 0xff);
	set(rig, 0x3d4, 0x0a, 0x20);
	rig_write(rig, 0xb8000 + 160, 2, 0x0fdb);
	assert_int_equal(pixel(rig, 8, 16), grey(15)); /* box characters fill the ninth dot */
	assert_int_equal(pixel(rig, 0, 0), grey(0));
	set(rig, 0x3d4, 0x0d, 80);
	assert_int_equal(pixel(rig, 0, 0), grey(15));
	assert_int_equal(pixel(rig, 0, 16), grey(0));
	rig_free(rig);
}

/* Graphics -------------------------------------------------------------------------------- */

static void planes_make_sixteen_colours(void **state)
{
	struct rig *rig = with_card();

	(void)state;
	graphics_mode(rig, 0x12);
	check_size(rig, 640, 480);
	set(rig, 0x3c4, 2, 5); /* planes 0 and 2 */
	rig_write(rig, WINDOW + 80 * 3 + 2, 1, 0xc0);
	set(rig, 0x3c4, 2, 8);
	rig_write(rig, WINDOW + 80 * 3 + 2, 1, 0x40);
	assert_int_equal(pixel(rig, 16, 3), grey(5));
	assert_int_equal(pixel(rig, 17, 3), grey(13));
	assert_int_equal(pixel(rig, 18, 3), grey(0));
	rig_free(rig);
}

static void write_modes_do_what_the_manual_says(void **state)
{
	struct rig *rig = with_card();

	(void)state;
	graphics_mode(rig, 0x12);
	/* mode 0: set plane 1 through set/reset, rotate by 4, keep bit 7 by the mask */
	set(rig, 0x3ce, 0, 2);
	set(rig, 0x3ce, 1, 2);
	set(rig, 0x3ce, 3, 4);
	rig_write(rig, WINDOW, 1, 0x0f);
	set(rig, 0x3ce, 4, 0);
	assert_int_equal(rig_read(rig, WINDOW, 1), 0xf0);
	set(rig, 0x3ce, 4, 1);
	assert_int_equal(rig_read(rig, WINDOW, 1), 0xff);
	set(rig, 0x3ce, 1, 0);
	set(rig, 0x3ce, 3, 0x18); /* exclusive or */
	set(rig, 0x3ce, 8, 0x7f);
	rig_read(rig, WINDOW, 1);
	rig_write(rig, WINDOW, 1, 0xff);
	assert_int_equal(rig_read(rig, WINDOW, 1), 0x80);
	/* mode 1 copies latches */
	set(rig, 0x3ce, 5, 1);
	rig_read(rig, WINDOW, 1);
	rig_write(rig, WINDOW + 1, 1, 0);
	assert_int_equal(rig_read(rig, WINDOW + 1, 1), 0x80);
	/* mode 2: a colour; mode 3: set/reset where the CPU says */
	set(rig, 0x3ce, 3, 0);
	set(rig, 0x3ce, 8, 0xff);
	set(rig, 0x3ce, 5, 2);
	rig_write(rig, WINDOW + 2, 1, 9);
	assert_int_equal(pixel(rig, 16, 0), grey(9));
	set(rig, 0x3ce, 5, 3);
	set(rig, 0x3ce, 0, 6);
	rig_read(rig, WINDOW + 2, 1);
	rig_write(rig, WINDOW + 2, 1, 0x80);
	assert_int_equal(pixel(rig, 16, 0), grey(6));
	assert_int_equal(pixel(rig, 17, 0), grey(9));
	/* read mode 1: where is colour 9? */
	set(rig, 0x3ce, 5, 8);
	set(rig, 0x3ce, 2, 9);
	assert_int_equal(rig_read(rig, WINDOW + 2, 1), 0x7f);
	rig_free(rig);
}

static void a_reset_clears_video_memory(void **state)
{
	struct rig *rig = with_card();

	(void)state;
	graphics_mode(rig, 0x12);
	rig_write(rig, WINDOW, 1, 0xff);
	set(rig, 0x3ce, 4, 0);
	assert_int_equal(rig_read(rig, WINDOW, 1), 0xff);
	rig_reset(rig);
	rig_out(rig, 0x3c2, 1, 0x67);
	graphics_mode(rig, 0x12);
	for (unsigned plane = 0; plane < 4; plane++) {
		set(rig, 0x3ce, 4, plane);
		assert_int_equal(rig_read(rig, WINDOW, 1), 0);
	}
	rig_free(rig);
}

static void mode_13_is_linear_and_mode_x_is_not(void **state)
{
	struct rig *rig = with_card();

	(void)state;
	graphics_mode(rig, 0x13);
	rig_poke(rig, WINDOW + 320 * 2 + 5, "\x2a", 1); /* mapped: plain memory */
	check_size(rig, 640, 400);
	assert_int_equal(pixel(rig, 10, 4), grey(0x2a));
	assert_int_equal(pixel(rig, 11, 5), grey(0x2a));
	assert_int_equal(pixel(rig, 12, 4), grey(0));
	/* mode X: a byte per plane; the start address pans */
	set(rig, 0x3c4, 4, 6);
	set(rig, 0x3d4, 0x14, 0);
	set(rig, 0x3d4, 0x17, 0xe3);
	set(rig, 0x3c4, 2, 2);
	rig_write(rig, WINDOW + 80 + 3, 1, 0x11);
	assert_int_equal(pixel(rig, 26, 2), grey(0x11)); /* x = 3 * 4 + 1 */
	set(rig, 0x3d4, 0x0d, 80);
	assert_int_equal(pixel(rig, 26, 0), grey(0x11));
	rig_free(rig);
}

static void cga_interleaves_lines(void **state)
{
	struct rig *rig = with_card();

	(void)state;
	graphics_mode(rig, 4);
	check_size(rig, 640, 400);
	rig_write(rig, 0xb8000, 1, 0x1b);          /* colours 0 1 2 3 */
	rig_write(rig, 0xb8000 + 0x2000, 1, 0xe4); /* the next line: 3 2 1 0 */
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(pixel(rig, i * 2, 0), grey(i));
		assert_int_equal(pixel(rig, i * 2 + 1, 1), grey(i));
		assert_int_equal(pixel(rig, i * 2, 2), grey(3 - i));
	}
	rig_write(rig, 0xb8001, 1, 0xff);
	assert_int_equal(pixel(rig, 8, 0), grey(3));
	rig_free(rig);
}

static void the_line_compare_splits_the_screen(void **state)
{
	struct rig *rig = with_card();

	(void)state;
	graphics_mode(rig, 0x12);
	set(rig, 0x3c4, 2, 1);
	rig_write(rig, WINDOW, 1, 0x80);
	set(rig, 0x3d4, 0x0d, 80);
	assert_int_equal(pixel(rig, 0, 0), grey(0));
	set(rig, 0x3d4, 0x07, 0x2e); /* line compare 99: bits 8 and 9 clear */
	set(rig, 0x3d4, 0x09, 0);
	set(rig, 0x3d4, 0x18, 99);
	assert_int_equal(pixel(rig, 0, 99), grey(0));
	assert_int_equal(pixel(rig, 0, 100), grey(1));
	rig_free(rig);
}

/* VBE ------------------------------------------------------------------------------------- */

static void vbe_modes_of_every_depth(void **state)
{
	static const struct {
		unsigned bpp;
		uint32_t bytes, pixel;
	} rows[] = {
		{ 8, 0x15, 0 },
		{ 15, 0x7fe0, 0xffff00 },
		{ 16, 0xf81f, 0xff00ff },
		{ 24, 0x123456, 0x123456 },
		{ 32, 0xff654321, 0x654321 },
	};
	struct rig *rig = with_card();

	(void)state;
	set_greys(rig);
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		unsigned bytes = (rows[i].bpp + 7) / 8;

		vbe_mode(rig, 800, 600, rows[i].bpp);
		check_size(rig, 800, 600);
		rig_poke(rig, rig_bar(rig, 0) + (800 * 7 + 9) * bytes, &rows[i].bytes, bytes);
		assert_int_equal(pixel(rig, 9, 7), rows[i].bpp == 8 ? grey(0x15) : rows[i].pixel);
		assert_int_equal(pixel(rig, 10, 7), 0);
	}
	vbe_set(rig, VIRT_WIDTH, 1024);
	vbe_set(rig, Y_OFFSET, 1);
	assert_int_equal(vbe_get(rig, VIRT_HEIGHT), 4096);
	rig_poke(rig, rig_bar(rig, 0) + 1024 * 4, &rows[4].bytes, 4);
	assert_int_equal(pixel(rig, 0, 0), 0x654321);
	rig_free(rig);
}

static void the_window_shows_the_bank(void **state)
{
	struct rig *rig = with_card();
	uint8_t byte;

	(void)state;
	vbe_mode(rig, 640, 480, 8);
	vbe_set(rig, BANK, 3);
	rig_poke(rig, WINDOW + 5, "\x77", 1);
	rig_peek(rig, rig_bar(rig, 0) + 0x30005, &byte, 1);
	assert_int_equal(byte, 0x77);
	rig_free(rig);
}

/* CVE-2016-3710: banks past the end, through every way to the window. */
static void no_bank_is_outside_memory(void **state)
{
	struct rig *rig = with_card();

	(void)state;
	for (unsigned bpp = 4; bpp <= 8; bpp += 4) {
		vbe_mode(rig, 640, 480, bpp);
		for (unsigned bank = 0; bank < 0x10000; bank += 0x7f) {
			vbe_set(rig, BANK, bank);
			assert_true(vbe_get(rig, BANK) < 256);
			rig_write(rig, WINDOW + 0xffff, 1, 1);
			rig_write(rig, WINDOW + 0x1fffc, 4, 1);
			rig_read(rig, WINDOW + 0xffff, 1);
		}
		graphics_mode(rig, 0x12);
		for (unsigned bank = 0xf0; bank < 0x100; bank++) {
			vbe_set(rig, BANK, bank);
			rig_write(rig, WINDOW + 0xffff, 1, 1);
		}
	}
	rig_free(rig);
}

/* CVE-2014-3615, 2016-3712: sizes and offsets whose product is past the end. */
static void no_picture_is_outside_memory(void **state)
{
	static const uint16_t values[] = { 0, 1, 7, 8, 640, 4095, 8192, 0x7fff, 0xfff8, 0xffff };
	struct rig *rig = with_card();
	unsigned count = ARRAY_LEN(values);

	(void)state;
	vbe_mode(rig, 800, 600, 32);
	for (unsigned i = 0; i < 3000; i++) {
		unsigned random = i * 2654435761u;

		vbe_set(rig, 1 + random % 9, values[(random >> 8) % count] | (i % 3 ? 0 : 1));
		if (i % 8 == 0)
			vbe_mode(rig, values[random % count], values[random / 16 % count],
				 8 * (1 + i / 8 % 4));
		if (i % 16 == 0)
			display_refresh(board_display(rig_board(rig)));
	}
	rig_free(rig);
}

/* CVE-2018-5683, 2017-13672: text and split screens whose numbers make no sense. */
static void odd_geometries_are_survived(void **state)
{
	struct rig *rig = with_card();

	(void)state;
	for (unsigned i = 0; i < 300; i++) {
		if (i % 2)
			mode_3(rig);
		else
			graphics_mode(rig, 0x13);
		set(rig, 0x3d4, 0x11, 0);
		for (unsigned j = 0; j < 6; j++)
			set(rig, 0x3d4, (i * 7 + j * 5) % 25, (i * 131 + j * 97) & 255);
		set(rig, 0x3ce, 5 + i % 2, i & 0x7f);
		set(rig, 0x3c4, 1 + i % 4, i * 11 & 0x3f);
		display_refresh(board_display(rig_board(rig)));
	}
	rig_free(rig);
}

static void the_mmio_bar_has_all_registers(void **state)
{
	struct rig *rig = with_card();
	uint64_t mmio = rig_bar(rig, 2);
	uint8_t sum = 0;

	(void)state;
	for (unsigned i = 0; i < 128; i++)
		sum += rig_read(rig, mmio + i, 1);
	assert_int_equal(sum, 0);
	assert_int_equal(rig_read(rig, mmio, 4), 0xffffff00);
	assert_int_equal(rig_read(rig, mmio + 0x500, 2), 0xb0c5);
	rig_write(rig, mmio + 0x502, 2, 1024);
	rig_write(rig, mmio + 0x504, 2, 768);
	rig_write(rig, mmio + 0x506, 2, 32);
	rig_write(rig, mmio + 0x508, 2, 0x41);
	check_size(rig, 1024, 768);
	rig_write(rig, mmio + 0x408, 1, 7); /* DAC write index */
	assert_int_equal(rig_in(rig, 0x3c8, 1), 7);
	assert_int_equal(rig_read(rig, mmio + 0x604, 4), 0x1e1e1e1e);
	rig_free(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_has_font_colour_and_cursor),
		cmocka_unit_test(the_start_address_scrolls),
		cmocka_unit_test(planes_make_sixteen_colours),
		cmocka_unit_test(write_modes_do_what_the_manual_says),
		cmocka_unit_test(a_reset_clears_video_memory),
		cmocka_unit_test(mode_13_is_linear_and_mode_x_is_not),
		cmocka_unit_test(cga_interleaves_lines),
		cmocka_unit_test(the_line_compare_splits_the_screen),
		cmocka_unit_test(vbe_modes_of_every_depth),
		cmocka_unit_test(the_window_shows_the_bank),
		cmocka_unit_test(no_bank_is_outside_memory),
		cmocka_unit_test(no_picture_is_outside_memory),
		cmocka_unit_test(odd_geometries_are_survived),
		cmocka_unit_test(the_mmio_bar_has_all_registers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
