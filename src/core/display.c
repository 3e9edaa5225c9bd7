/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a graphics device shows, and who looks at it: see display.h. */
#include "core/internal.h"

#include <errno.h>
#include <stdlib.h>

struct display {
	struct board *board;
	struct dev *dev;
	const struct display_source *source;
	struct surface surface;
	struct display_viewer *viewers;
	bool full; /* the next refresh draws everything */
};

int display_claim(struct dev *dev, const struct display_source *source, struct err *err)
{
	struct board *board = dev->board;

	if (!board->display) {
		board->display = must_alloc(sizeof(*board->display));
		board->display->board = board;
	}
	if (board->display->dev)
		return fail(err, EBUSY, "the display is in use by %s", board->display->dev->id);
	board->display->dev = dev;
	board->display->source = source;
	board->display->full = true;
	if (!board->display->surface.pixels)
		display_resize(board->display, 640, 480);
	return 0;
}

void display_release_of(struct dev *dev)
{
	if (dev->board->display && dev->board->display->dev == dev)
		dev->board->display->dev = NULL;
}

void display_free(struct board *board)
{
	if (!board->display)
		return;
	free(board->display->surface.pixels);
	free(board->display);
	board->display = NULL;
}

struct display *board_display(struct board *board)
{
	return board->display;
}

struct surface *display_surface(struct display *display)
{
	return &display->surface;
}

int display_resize(struct display *display, uint32_t width, uint32_t height)
{
	struct surface *surface = &display->surface;
	uint32_t *pixels;

	if (!width || !height || width > DISPLAY_MAX_SIDE || height > DISPLAY_MAX_SIDE)
		return -EINVAL;
	if (surface->pixels && surface->width == width && surface->height == height)
		return 0;
	pixels = try_alloc((size_t)width * height * sizeof(*pixels));
	if (!pixels)
		return -ENOMEM;
	free(surface->pixels);
	*surface = (struct surface){ .width = width, .height = height, .stride = 4 * width,
				     .pixels = pixels };
	display->full = true;
	for (struct display_viewer *v = display->viewers; v; v = v->next)
		if (v->resized)
			v->resized(v->viewer, surface);
	return 0;
}

void display_changed(struct display *display, uint32_t x, uint32_t y, uint32_t w, uint32_t h)
{
	const struct surface *surface = &display->surface;

	if (x >= surface->width || y >= surface->height || !w || !h)
		return;
	w = MIN(w, surface->width - x);
	h = MIN(h, surface->height - y);
	for (struct display_viewer *v = display->viewers; v; v = v->next)
		if (v->changed)
			v->changed(v->viewer, x, y, w, h);
}

void display_add_viewer(struct display *display, struct display_viewer *viewer)
{
	board_lock(display->board);
	viewer->next = display->viewers;
	display->viewers = viewer;
	display->full = true;
	if (viewer->resized && display->surface.pixels)
		viewer->resized(viewer->viewer, &display->surface);
	board_unlock(display->board);
}

void display_remove_viewer(struct display *display, struct display_viewer *viewer)
{
	struct display_viewer **at = &display->viewers;

	board_lock(display->board);
	while (*at && *at != viewer)
		at = &(*at)->next;
	if (*at)
		*at = viewer->next;
	board_unlock(display->board);
}

void display_refresh(struct display *display)
{
	bool full;

	board_lock(display->board);
	full = display->full;
	display->full = false;
	if (display->dev)
		display->source->refresh(display->dev, display, full);
	board_unlock(display->board);
}

bool display_text(struct display *display, char *to, size_t room)
{
	bool is_text = false;

	board_lock(display->board);
	if (display->dev && display->source->text)
		is_text = display->source->text(display->dev, to, room);
	board_unlock(display->board);
	return is_text;
}
