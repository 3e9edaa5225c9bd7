/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a graphics device shows, and who looks at it. */
#ifndef CORE_DISPLAY_H
#define CORE_DISPLAY_H

#include "core/dev.h"

/* 32-bit pixels, 0x00RRGGBB. Owned by the display; a device resizes it, draws, and reports. */
struct surface {
	uint32_t width, height, stride; /* stride in bytes */
	uint32_t *pixels;
};

struct display;

enum { DISPLAY_MAX_SIDE = 8192 };

/* The device's side. `refresh` draws what changed since the last call; `full`: everything. */
struct display_source {
	void (*refresh)(struct dev *dev, struct display *display, bool full);
	/* Text mode: copies the screen as characters, rows separated by '\n'; false in graphics. */
	bool (*text)(struct dev *dev, char *to, size_t room);
};
int display_claim(struct dev *dev, const struct display_source *source, struct err *err);
struct surface *display_surface(struct display *display);
/* New size: pixels are black. -EINVAL beyond DISPLAY_MAX_SIDE or zero: the old one stays. */
int display_resize(struct display *display, uint32_t width, uint32_t height);
void display_changed(struct display *display, uint32_t x, uint32_t y, uint32_t w, uint32_t h);

/* The viewer's side (VNC, window, screendump). */
struct display_viewer {
	void (*resized)(void *viewer, const struct surface *surface);
	void (*changed)(void *viewer, uint32_t x, uint32_t y, uint32_t w, uint32_t h);
	void *viewer;
	struct display_viewer *next;
};
struct display *board_display(struct board *board); /* NULL: no graphics device */
void display_add_viewer(struct display *display, struct display_viewer *viewer);
void display_remove_viewer(struct display *display, struct display_viewer *viewer);
void display_refresh(struct display *display); /* viewers call it as often as they want frames */
bool display_text(struct display *display, char *to, size_t room);

#endif
