#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Real C (the stb libraries, 15,000 lines) through preprocessor, compiler, assembler and linker.
set -eu

cat >images.c <<'END'
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_RESIZE_IMPLEMENTATION
#include <stb/stb_image.h>
#include <stb/stb_image_write.h>
#include <stb/stb_image_resize.h>
END
cat >fonts.c <<'END'
#define STB_RECT_PACK_IMPLEMENTATION
#define STB_TRUETYPE_IMPLEMENTATION
#include <stb/stb_rect_pack.h>
#include <stb/stb_truetype.h>
END
cat >texts.c <<'END'
#define STB_SPRINTF_IMPLEMENTATION
#define STB_DS_IMPLEMENTATION
#define STB_PERLIN_IMPLEMENTATION
#define STB_DXT_IMPLEMENTATION
#include <stb/stb_sprintf.h>
#include <stb/stb_ds.h>
#include <stb/stb_perlin.h>
#include <stb/stb_dxt.h>
END
# A picture of noise is made, written in three formats, read back, and resized.
cat >main.c <<'END'
#include <stdio.h>
#include <stb/stb_image.h>
#include <stb/stb_image_resize.h>
#include <stb/stb_image_write.h>
#include <stb/stb_perlin.h>
#include <stb/stb_sprintf.h>

enum { WIDTH = 200, HEIGHT = 150 };

static unsigned char pixels[WIDTH * HEIGHT * 3], small[WIDTH * HEIGHT * 3 / 4];

static unsigned sum(const unsigned char *bytes, int count)
{
	unsigned result = 1;

	for (int i = 0; i < count; i++)
		result = result * 31 + bytes[i];
	return result;
}

int main(void)
{
	const char *names[] = { "noise.png", "noise.jpg", "noise.bmp" };
	char text[400];
	int width, height, channels;

	for (int i = 0; i < WIDTH * HEIGHT * 3; i++)
		pixels[i] = 128 + 100 * stb_perlin_fbm_noise3(i / 3 % WIDTH / 50.0f,
				i / 3 / WIDTH / 50.0f, i % 3, 2.0f, 0.5f, 6);
	stbi_write_png(names[0], WIDTH, HEIGHT, 3, pixels, WIDTH * 3);
	stbi_write_jpg(names[1], WIDTH, HEIGHT, 3, pixels, 90);
	stbi_write_bmp(names[2], WIDTH, HEIGHT, 3, pixels);
	for (int i = 0; i < 3; i++) {
		unsigned char *read = stbi_load(names[i], &width, &height, &channels, 3);

		if (!read)
			return 1;
		stbir_resize_uint8(read, WIDTH, HEIGHT, 0, small, WIDTH / 2, HEIGHT / 2, 0, 3);
		stbsp_snprintf(text, sizeof(text), "%s %d %d %08x %08x %.17g %'d", names[i], width,
				height, sum(read, WIDTH * HEIGHT * 3), sum(small, sizeof(small)),
				sum(small, 100) / 3.0, sum(small, 10));
		puts(text);
		stbi_image_free(read);
	}
	return 0;
}
END
for name in images fonts texts main; do
	gcc -std=c11 -Wall -Wno-unused-function -O2 -c $name.c
	objects="${objects-} $name.o"
done
gcc -O3 -mavx2 -mfma -S texts.c -o texts-avx2.s
gcc -O1 -g -c texts.c -o texts-debug.o
# shellcheck disable=SC2086
gcc -o pictures $objects -lm
./pictures
