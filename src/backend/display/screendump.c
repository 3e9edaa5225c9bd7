/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pictures of the screen: portable pixmaps and PNG. */
#include "backend/display/screendump.h"

#include "core/board.h"
#include "host/memory.h"

#include <errno.h>
#include <png.h>
#include <stdlib.h>
#include <unistd.h>

struct picture {
	uint32_t width, height;
	uint8_t *rgb; /* three bytes each, rows without gaps */
};

static int take_picture(struct board *board, struct picture *picture, struct err *err)
{
	struct display *display = board_display(board);
	const struct surface *surface;
	uint8_t *to;

	if (!display)
		return fail(err, ENOENT, "there is no graphics device to take a picture of");
	board_lock(board);
	display_refresh(display);
	surface = display_surface(display);
	picture->width = surface->width;
	picture->height = surface->height;
	picture->rgb = to = try_alloc((size_t)surface->width * surface->height * 3 + 1);
	for (uint32_t y = 0; y < surface->height && to; y++) {
		const uint32_t *row = surface->pixels + (size_t)y * surface->stride / 4;

		for (uint32_t x = 0; x < surface->width; x++) {
			*to++ = row[x] >> 16;
			*to++ = row[x] >> 8;
			*to++ = row[x];
		}
	}
	board_unlock(board);
	return picture->rgb ? 0 : fail(err, ENOMEM, "no memory for the picture");
}

static bool write_ppm(const struct picture *picture, FILE *file)
{
	size_t bytes = (size_t)picture->width * picture->height * 3;

	return fprintf(file, "P6\n%u %u\n255\n", picture->width, picture->height) > 0 &&
	       fwrite(picture->rgb, 1, bytes, file) == bytes;
}

static bool write_png(const struct picture *picture, FILE *file)
{
	png_image image = { .version = PNG_IMAGE_VERSION, .width = picture->width,
			    .height = picture->height, .format = PNG_FORMAT_RGB,
			    .flags = PNG_IMAGE_FLAG_FAST };

	return png_image_write_to_stdio(&image, file, 0, picture->rgb, 0, NULL);
}

int screendump(struct board *board, const char *path, enum picture_format format, struct err *err)
{
	struct picture picture = { 0 };
	FILE *file;
	bool good;
	int error = take_picture(board, &picture, err);

	if (error)
		return error;
	file = fopen(path, "wbe");
	if (!file) {
		error = fail(err, errno, "cannot write \"%s\": %s", path, strerror(errno));
		goto free_picture;
	}
	errno = 0;
	good = format == PICTURE_PNG ? write_png(&picture, file) : write_ppm(&picture, file);
	if (fclose(file) || !good) {
		error = fail(err, errno ? errno : EIO, "cannot write \"%s\": %s", path,
			     strerror(errno ? errno : EIO));
		unlink(path);
	}
free_picture:
	free(picture.rgb);
	return error;
}
