/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* qcow2: reading compressed clusters (zlib, zstd). They are never written. */
#include "backend/block/qcow2.h"
#include "host/memory.h"

#include <errno.h>
#include <zlib.h>
#include <zstd.h>

enum { COMPRESSION_ZSTD = 1, WINDOW_BITS = -12 };

static bool unpack_zlib(const void *from, size_t bytes, void *to, size_t room)
{
	z_stream stream = { .next_in = (Bytef *)from,
			    .avail_in = (uInt)bytes,
			    .next_out = to,
			    .avail_out = (uInt)room };
	int result;

	if (inflateInit2(&stream, WINDOW_BITS) != Z_OK)
		return false;
	result = inflate(&stream, Z_FINISH);
	inflateEnd(&stream);
	return (result == Z_STREAM_END || result == Z_BUF_ERROR) && !stream.avail_out;
}

/* The length is in sectors: behind the frame there may be anything. */
static bool unpack_zstd(const void *from, size_t bytes, void *to, size_t room)
{
	ZSTD_DStream *stream = ZSTD_createDStream();
	ZSTD_inBuffer in = { from, bytes, 0 };
	ZSTD_outBuffer out = { to, room, 0 };

	while (stream && out.pos < room) {
		size_t before = in.pos + out.pos, result = ZSTD_decompressStream(stream, &out, &in);

		if (ZSTD_isError(result) || in.pos + out.pos == before)
			break;
	}
	ZSTD_freeDStream(stream);
	return out.pos == room;
}

int qcow2_unpack(struct qcow2 *q, uint64_t entry)
{
	uint64_t offset, bytes;
	bool good;
	int error;

	if (entry == q->unpacked_entry)
		return 0;
	if (!q->packed)
		q->packed = try_alloc(2 * q->cluster_bytes);
	if (!q->unpacked)
		q->unpacked = try_alloc(q->cluster_bytes);
	if (!q->packed || !q->unpacked)
		return -ENOMEM;
	qcow2_packed_place(q, entry, &offset, &bytes);
	if (offset >= q->file.bytes)
		return qcow2_damaged(q, "compressed data behind the end");
	q->unpacked_entry = 0;
	error = file_read(&q->file, offset, q->packed, bytes);
	if (error)
		return error;
	good = q->compression == COMPRESSION_ZSTD
		       ? unpack_zstd(q->packed, bytes, q->unpacked, q->cluster_bytes)
		       : unpack_zlib(q->packed, bytes, q->unpacked, q->cluster_bytes);
	if (!good)
		return qcow2_damaged(q, "compressed data at %#llx cannot be read",
				     (unsigned long long)offset);
	q->unpacked_entry = entry;
	return 0;
}
