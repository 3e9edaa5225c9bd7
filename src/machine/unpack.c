/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The compressions a Linux kernel is shipped in: gzip, xz, zstd, and LZ4's legacy frames.
 *
 * The kernel build appends the unpacked size to the packed bytes; decoders stop before it.
 * Not handled: bzip2, lzma, lzo (no distribution uses them; the kernel then unpacks itself).
 */
#include "machine/boot.h"

#include "base/bytes.h"

#include <errno.h>
#include <lz4.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#define LZ4_LEGACY_MAGIC 0x184c2102u
enum { LZ4_BLOCK = UNPACK_ROOM };

static int broken(struct err *err)
{
	return fail(err, EINVAL, "the kernel's compressed part is damaged");
}

static int unpack_lz4(const uint8_t *from, size_t size, size_t limit, struct buffer *out,
		      struct err *err)
{
	for (size_t at = 4; at + 4 <= size;) {
		uint32_t packed = load_le32(from + at);
		int bytes;

		at += 4;
		if (packed == LZ4_LEGACY_MAGIC)
			continue;
		if (packed > size - at) /* the appended size, not a block */
			break;
		if (out->size + LZ4_BLOCK > limit + LZ4_BLOCK)
			return broken(err);
		buffer_add_room(out, LZ4_BLOCK);
		bytes = LZ4_decompress_safe((const char *)from + at,
					    (char *)out->data + out->size - LZ4_BLOCK, packed,
					    LZ4_BLOCK);
		if (bytes < 0)
			return broken(err);
		out->size -= LZ4_BLOCK - bytes;
		at += packed;
	}
	return 1;
}

static int unpack_gzip(const uint8_t *from, size_t size, size_t limit, struct buffer *out,
		       struct err *err)
{
	z_stream z = { .next_in = (uint8_t *)from, .avail_in = size };
	int status;

	if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK)
		return fail(err, ENOMEM, "no memory to unpack the kernel");
	do {
		size_t at = buffer_add_room(out, MIB);

		z.next_out = out->data + at;
		z.avail_out = MIB;
		status = inflate(&z, Z_NO_FLUSH);
		out->size -= z.avail_out;
	} while (status == Z_OK && out->size <= limit);
	inflateEnd(&z);
	return status == Z_STREAM_END ? 1 : broken(err);
}

static int unpack_xz(const uint8_t *from, size_t size, size_t limit, struct buffer *out,
		     struct err *err)
{
	lzma_stream xz = LZMA_STREAM_INIT;
	lzma_ret status = lzma_stream_decoder(&xz, 512 * MIB, 0);

	xz.next_in = from;
	xz.avail_in = size;
	while (status == LZMA_OK && out->size <= limit) {
		size_t at = buffer_add_room(out, MIB);

		xz.next_out = out->data + at;
		xz.avail_out = MIB;
		status = lzma_code(&xz, LZMA_RUN);
		out->size -= xz.avail_out;
	}
	lzma_end(&xz);
	return status == LZMA_STREAM_END ? 1 : broken(err);
}

static int unpack_zstd(const uint8_t *from, size_t size, size_t limit, struct buffer *out,
		       struct err *err)
{
	ZSTD_DStream *stream = ZSTD_createDStream();
	ZSTD_inBuffer in = { from, size, 0 };
	size_t left = 1;

	while (stream && left && !ZSTD_isError(left) && in.pos < in.size && out->size <= limit) {
		size_t at = buffer_add_room(out, MIB);
		ZSTD_outBuffer piece = { out->data + at, MIB, 0 };

		left = ZSTD_decompressStream(stream, &piece, &in);
		out->size -= MIB - piece.pos;
	}
	ZSTD_freeDStream(stream);
	return left == 0 ? 1 : broken(err);
}

int unpack(const uint8_t *from, size_t size, size_t limit, struct buffer *out, struct err *err)
{
	if (load_le32(from) == LZ4_LEGACY_MAGIC)
		return unpack_lz4(from, size, limit, out, err);
	if (from[0] == 0x1f && from[1] == 0x8b)
		return unpack_gzip(from, size, limit, out, err);
	if (!memcmp(from, "\xfd""7zXZ", 6))
		return unpack_xz(from, size, limit, out, err);
	if (load_le32(from) == 0xfd2fb528)
		return unpack_zstd(from, size, limit, out, err);
	return 0;
}
