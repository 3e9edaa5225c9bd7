/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory and files from the host: see memory.h. */
#include "host/memory.h"
#include "host/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FIRMWARE_MAX = 64 << 20 };

static void *or_die(void *memory)
{
	if (!memory) {
		log_line("out of memory");
		abort();
	}
	return memory;
}

void *must_alloc(size_t bytes)
{
	return or_die(calloc(1, bytes ? bytes : 1));
}

void *must_realloc(void *memory, size_t bytes)
{
	return or_die(realloc(memory, bytes ? bytes : 1));
}

char *must_strdup(const char *text)
{
	return or_die(strdup(text));
}

char *must_format(const char *fmt, ...)
{
	va_list args;
	char *text;

	va_start(args, fmt);
	if (vasprintf(&text, fmt, args) < 0)
		text = NULL;
	va_end(args);
	return or_die(text);
}

void *try_alloc(size_t bytes)
{
	return calloc(1, bytes ? bytes : 1);
}

int shared_memory_open(struct shared_memory *memory, const char *name, size_t bytes)
{
	void *host;
	int fd = memfd_create(name, MFD_CLOEXEC);
	int code;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)bytes))
		goto undo_open;
	host = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (host == MAP_FAILED)
		goto undo_open;
	*memory = (struct shared_memory){ .host = host, .bytes = bytes, .fd = fd };
	return 0;
undo_open:
	code = -errno;
	close(fd);
	return code;
}

void shared_memory_close(struct shared_memory *memory)
{
	if (!memory->host)
		return;
	munmap(memory->host, memory->bytes);
	close(memory->fd);
	*memory = (struct shared_memory){ .fd = -1 };
}

bool shared_memory_next(const struct shared_memory *memory, uint64_t *offset, uint64_t *bytes)
{
	off_t data = lseek(memory->fd, (off_t)*offset, SEEK_DATA);
	off_t hole;

	if (data < 0) {
		if (errno == ENXIO || *offset >= memory->bytes)
			return false;
		data = (off_t)*offset; /* no such seek here: all of it may be data */
	}
	hole = lseek(memory->fd, data, SEEK_HOLE);
	if (hole <= data || (uint64_t)hole > memory->bytes)
		hole = (off_t)memory->bytes;
	*offset = (uint64_t)data;
	*bytes = (uint64_t)(hole - data);
	return *bytes > 0;
}

void shared_memory_clear(struct shared_memory *memory)
{
	if (fallocate(memory->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
		      (off_t)memory->bytes))
		memset(memory->host, 0, memory->bytes);
}

int fd_read_all(int fd, void *to, size_t bytes)
{
	uint8_t *at = to;

	while (bytes) {
		ssize_t got = read(fd, at, bytes);

		if (got < 0 && errno != EINTR)
			return -errno;
		if (got == 0)
			return -ENODATA;
		if (got > 0) {
			at += got;
			bytes -= (size_t)got;
		}
	}
	return 0;
}

int fd_write_all(int fd, const void *from, size_t bytes)
{
	const uint8_t *at = from;

	while (bytes) {
		ssize_t put = write(fd, at, bytes);

		if (put < 0 && errno != EINTR)
			return -errno;
		if (put > 0) {
			at += put;
			bytes -= (size_t)put;
		}
	}
	return 0;
}

static int open_firmware(const char *name)
{
	static const char *const directories[] = {
		"/usr/share/seabios", "/usr/lib/ipxe/qemu", "/usr/share/qemu",
		"/usr/share/OVMF",    "/usr/share/ovmf",    "/usr/lib/ipxe",
		"/usr/share/vgabios",
	};
	char path[512];
	int fd;

	if (strchr(name, '/'))
		return open(name, O_RDONLY | O_CLOEXEC);
	for (size_t i = 0; i < ARRAY_LEN(directories); i++) {
		snprintf(path, sizeof(path), "%s/%s", directories[i], name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd >= 0)
			return fd;
	}
	return -1;
}

uint8_t *firmware_read(const char *name, size_t *bytes, struct err *err)
{
	int fd = open_firmware(name);
	uint8_t *data = NULL;
	struct stat stat;

	if (fd < 0) {
		fail(err, ENOENT, "no firmware file \"%s\"", name);
		return NULL;
	}
	if (fstat(fd, &stat) || !S_ISREG(stat.st_mode) || stat.st_size <= 0 ||
	    stat.st_size > FIRMWARE_MAX) {
		fail(err, EINVAL, "firmware file \"%s\" has no useful size", name);
		goto out;
	}
	data = must_alloc((size_t)stat.st_size);
	if (fd_read_all(fd, data, (size_t)stat.st_size)) {
		fail(err, EIO, "cannot read firmware file \"%s\"", name);
		free(data);
		data = NULL;
		goto out;
	}
	*bytes = (size_t)stat.st_size;
out:
	close(fd);
	return data;
}
