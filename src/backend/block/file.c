/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Host files and block devices under disk images.
 *
 * Locks are byte-range locks of the open file, at the bytes QEMU uses (100 + permission held,
 * 200 + permission not tolerated in others), so that QEMU and its tools see ours and we theirs.
 *
 * Not modelled: O_DIRECT, host CD-ROM drives.
 */
#include "backend/block/internal.h"
#include "host/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOCK_HELD = 100, LOCK_REFUSED = 200 };
enum { PERMISSION_READ = 0, PERMISSION_WRITE = 1, PERMISSION_RESIZE = 3 };

static int lock_byte(int fd, off_t byte)
{
	struct flock lock = {
		.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1
	};

	return fcntl(fd, F_OFD_SETLK, &lock) ? errno : 0;
}

static bool byte_is_locked(int fd, off_t byte)
{
	struct flock lock = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1
	};

	return !fcntl(fd, F_OFD_GETLK, &lock) && lock.l_type != F_UNLCK;
}

/* True if somebody else's use of the file does not go with ours. */
static bool lock_conflicts(int fd, bool read_only)
{
	static const int changes[] = { PERMISSION_WRITE, PERMISSION_RESIZE };
	int error = lock_byte(fd, LOCK_HELD + PERMISSION_READ);

	for (int i = 0; i < 2 && !error; i++) {
		error = lock_byte(fd, LOCK_REFUSED + changes[i]);
		if (!error && !read_only)
			error = lock_byte(fd, LOCK_HELD + changes[i]);
	}
	if (error) /* a file system without locks goes without */
		return error == EAGAIN || error == EACCES;

	if (byte_is_locked(fd, LOCK_REFUSED + PERMISSION_READ))
		return true;
	for (int i = 0; i < 2; i++) {
		if (byte_is_locked(fd, LOCK_HELD + changes[i]))
			return true;
		if (!read_only && byte_is_locked(fd, LOCK_REFUSED + changes[i]))
			return true;
	}
	return false;
}

static int fail_open(const char *path, int code, bool read_only, struct err *err)
{
	switch (code) {
	case ENOENT:
		return fail(err, code,
			    "there is no disk image \"%s\"; make one with qemu-img create", path);
	case EACCES:
	case EPERM:
		return fail(err, code, "no permission to %s disk image \"%s\"%s",
			    read_only ? "read" : "write", path,
			    read_only ? "" : "; give it, or add readonly=on");
	case EROFS:
		return fail(err, code,
			    "disk image \"%s\" is on a read-only file system; add readonly=on",
			    path);
	default:
		return fail(err, code, "cannot open disk image \"%s\": %s", path, strerror(code));
	}
}

static int measure(struct file *file, struct err *err)
{
	struct stat status;

	if (fstat(file->fd, &status))
		return fail(err, errno, "cannot look at \"%s\": %s", file->name, strerror(errno));
	file->device = S_ISBLK(status.st_mode) ? status.st_rdev : status.st_dev;
	file->inode = S_ISBLK(status.st_mode) ? 0 : status.st_ino;
	file->bytes = (uint64_t)status.st_size;
	if (S_ISDIR(status.st_mode))
		return fail(err, EISDIR,
			    "\"%s\" is a directory, not a disk image; name a file in it",
			    file->name);
	file->is_device = S_ISBLK(status.st_mode);
	if (file->is_device && ioctl(file->fd, BLKGETSIZE64, &file->bytes))
		return fail(err, errno, "cannot tell the size of \"%s\": %s", file->name,
			    strerror(errno));
	if (!file->is_device && !S_ISREG(status.st_mode))
		return fail(err, EINVAL, "\"%s\" is neither a file nor a block device", file->name);
	return 0;
}

int file_open(struct file *file, const char *path, bool read_only, struct err *err)
{
	int flags =
		(read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK; /* no wait for a FIFO */
	int error;

	*file = (struct file){ .fd = open(path, flags), .read_only = read_only };
	if (file->fd < 0 && errno == EISDIR)
		file->fd = open(path, O_RDONLY | O_CLOEXEC); /* for measure()'s sentence */
	if (file->fd < 0)
		return fail_open(path, errno, read_only, err);
	file->name = must_strdup(path);
	error = measure(file, err);
	if (!error && lock_conflicts(file->fd, read_only))
		error = fail(err, EBUSY,
			     "disk image \"%s\" is in use by another virtual machine or tool; stop "
			     "that one%s",
			     path, read_only ? "" : ", or add readonly=on to both");
	if (error)
		file_close(file);
	return error;
}

void file_adopt(struct file *file, int fd, const char *name)
{
	*file = (struct file){ .fd = fd, .name = must_strdup(name) };
	measure(file, NULL);
}

int file_temporary(struct file *file, struct err *err)
{
	const char *directory = getenv("TMPDIR");
	char *path = must_format("%s/kelvin-XXXXXX", directory ? directory : "/var/tmp");
	int fd = mkostemp(path, O_CLOEXEC), error = 0;

	if (fd < 0) {
		error = fail(err, errno, "cannot make a temporary file in %s: %s; set TMPDIR",
			     directory ? directory : "/var/tmp", strerror(errno));
	} else {
		unlink(path);
		file_adopt(file, fd, path);
	}
	free(path);
	return error;
}

void file_close(struct file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	file->fd = -1;
	free(file->name);
	file->name = NULL;
}

static void advance(struct iovec **iov, unsigned *count, size_t bytes)
{
	while (*count && bytes >= (*iov)->iov_len) {
		bytes -= (*iov)->iov_len;
		++*iov;
		--*count;
	}
	if (*count) {
		(*iov)->iov_base = (uint8_t *)(*iov)->iov_base + bytes;
		(*iov)->iov_len -= bytes;
	}
}

int file_readv(struct file *file, uint64_t offset, const struct iovec *given, unsigned count)
{
	struct iovec copy[CURSOR_PARTS], *iov = copy;

	if (count > CURSOR_PARTS || offset > INT64_MAX)
		return -EINVAL;
	memcpy(copy, given, count * sizeof(*given));
	while (count) {
		ssize_t got = preadv(file->fd, iov, (int)count, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (!got) { /* the end */
			for (; count; iov++, count--)
				memset(iov->iov_base, 0, iov->iov_len);
			return 0;
		}
		offset += (uint64_t)got;
		advance(&iov, &count, (size_t)got);
	}
	return 0;
}

int file_writev(struct file *file, uint64_t offset, const struct iovec *given, unsigned count)
{
	struct iovec copy[CURSOR_PARTS], *iov = copy;

	if (count > CURSOR_PARTS || offset > INT64_MAX)
		return -EINVAL;
	memcpy(copy, given, count * sizeof(*given));
	while (count) {
		ssize_t put = pwritev(file->fd, iov, (int)count, (off_t)offset);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -errno;
		if (!put)
			return -ENOSPC;
		offset += (uint64_t)put;
		file->bytes = MAX(file->bytes, offset);
		advance(&iov, &count, (size_t)put);
	}
	return 0;
}

int file_read(struct file *file, uint64_t offset, void *to, size_t bytes)
{
	struct iovec iov = { .iov_base = to, .iov_len = bytes };

	return bytes ? file_readv(file, offset, &iov, 1) : 0;
}

int file_write(struct file *file, uint64_t offset, const void *from, size_t bytes)
{
	struct iovec iov = { .iov_base = (void *)from, .iov_len = bytes };

	return bytes ? file_writev(file, offset, &iov, 1) : 0;
}

int file_sync(struct file *file)
{
	return fdatasync(file->fd) ? -errno : 0;
}

int file_punch(struct file *file, uint64_t offset, uint64_t bytes)
{
	if (offset >= file->bytes || !bytes)
		return 0;
	if (!fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
		       (off_t)bytes))
		return 0;
	return errno == ENOSYS ? -EOPNOTSUPP : -errno;
}

size_t cursor_take(struct cursor *cursor, size_t bytes, struct iovec *out, unsigned *count)
{
	size_t taken = 0;

	*count = 0;
	while (taken < bytes && cursor->count && *count < CURSOR_PARTS) {
		size_t left = cursor->iov->iov_len - cursor->skip;
		size_t piece = MIN(left, bytes - taken);

		if (piece)
			out[(*count)++] = (struct iovec){
				.iov_base = (uint8_t *)cursor->iov->iov_base + cursor->skip,
				.iov_len = piece,
			};
		taken += piece;
		cursor->skip += piece;
		if (piece == left) {
			cursor->iov++;
			cursor->count--;
			cursor->skip = 0;
		}
	}
	return taken;
}

int cursor_read(struct cursor *cursor, struct file *file, uint64_t offset, size_t bytes)
{
	struct iovec iov[CURSOR_PARTS];
	unsigned count;

	while (bytes) {
		size_t taken = cursor_take(cursor, bytes, iov, &count);
		int error = taken ? file_readv(file, offset, iov, count) : -EINVAL;

		if (error)
			return error;
		offset += taken;
		bytes -= taken;
	}
	return 0;
}

int cursor_write(struct cursor *cursor, struct file *file, uint64_t offset, size_t bytes)
{
	struct iovec iov[CURSOR_PARTS];
	unsigned count;

	while (bytes) {
		size_t taken = cursor_take(cursor, bytes, iov, &count);
		int error = taken ? file_writev(file, offset, iov, count) : -EINVAL;

		if (error)
			return error;
		offset += taken;
		bytes -= taken;
	}
	return 0;
}

enum way { INTO_MEMORY, OUT_OF_MEMORY, ZERO_MEMORY };

static void copy(struct cursor *cursor, uint8_t *flat, size_t bytes, enum way way)
{
	while (bytes && cursor->count) {
		uint8_t *at = (uint8_t *)cursor->iov->iov_base + cursor->skip;
		size_t piece = MIN(cursor->iov->iov_len - cursor->skip, bytes);

		if (way == ZERO_MEMORY)
			memset(at, 0, piece);
		else
			memcpy(way == INTO_MEMORY ? at : flat, way == INTO_MEMORY ? flat : at,
			       piece);
		if (way != ZERO_MEMORY)
			flat += piece;
		bytes -= piece;
		cursor->skip += piece;
		if (cursor->skip == cursor->iov->iov_len) {
			cursor->iov++;
			cursor->count--;
			cursor->skip = 0;
		}
	}
}

void cursor_put(struct cursor *cursor, const void *from, size_t bytes)
{
	copy(cursor, (uint8_t *)from, bytes, INTO_MEMORY);
}

void cursor_get(struct cursor *cursor, void *to, size_t bytes)
{
	copy(cursor, to, bytes, OUT_OF_MEMORY);
}

void cursor_zero(struct cursor *cursor, size_t bytes)
{
	copy(cursor, NULL, bytes, ZERO_MEMORY);
}
