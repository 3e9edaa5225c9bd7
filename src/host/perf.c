/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Names of generated code for Linux' perf: see perf.h.
 *
 * Manual: the kernel's tools/perf/Documentation/jitdump-specification.txt and jit-interface.txt.
 * Not modelled: records of moved code, debugging information, unwinding information.
 */
#include "host/perf.h"

#include "host/memory.h"
#include "host/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct dump_header {
	uint32_t magic, version, bytes, machine, pad, pid;
	uint64_t time, flags;
};

struct dump_code {
	uint32_t id, bytes; /* of the whole record */
	uint64_t time;
	uint32_t pid, tid;
	uint64_t vma, address, code_bytes, index;
	/* The name with its 0 byte, and the code. */
};

enum { DUMP_MAGIC = 0x4a695444, DUMP_VERSION = 1, DUMP_CODE_LOAD = 0, MACHINE_X86_64 = 62 };

struct perf {
	struct mutex mutex;
	FILE *map, *dump; /* NULL: not wanted */
	void *marker;     /* the dump's mapping, by which perf record learns its name */
	size_t marker_bytes;
	uint64_t index;
};

/* /tmp is everybody's: what has that name already is not ours to write to. */
static FILE *open_new(const char *path, struct err *err)
{
	int fd;
	FILE *file;

	unlink(path);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	file = fd < 0 ? NULL : fdopen(fd, "w");
	if (!file) {
		fail(err, errno, "cannot create \"%s\": %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
	}
	return file;
}

static int open_map(struct perf *perf, struct err *err)
{
	char path[64];

	snprintf(path, sizeof(path), "/tmp/perf-%d.map", getpid());
	perf->map = open_new(path, err);
	if (!perf->map)
		return -err->code;
	setlinebuf(perf->map);
	return 0;
}

static int open_dump(struct perf *perf, struct err *err)
{
	const struct dump_header header = { .magic = DUMP_MAGIC,
					    .version = DUMP_VERSION,
					    .bytes = sizeof(header),
					    .machine = MACHINE_X86_64,
					    .pid = (uint32_t)getpid(),
					    .time = host_now_ns() };
	char path[64];

	snprintf(path, sizeof(path), "jit-%d.dump", getpid());
	perf->dump = open_new(path, err);
	if (!perf->dump)
		return -err->code;
	perf->marker_bytes = (size_t)sysconf(_SC_PAGESIZE);
	perf->marker = mmap(NULL, perf->marker_bytes, PROT_READ | PROT_EXEC, MAP_PRIVATE,
			    fileno(perf->dump), 0);
	if (perf->marker == MAP_FAILED) {
		perf->marker = NULL;
		return fail(err, errno, "cannot map \"%s\": %s", path, strerror(errno));
	}
	fwrite(&header, sizeof(header), 1, perf->dump);
	fflush(perf->dump);
	return 0;
}

struct perf *perf_open(bool map, bool dump, struct err *err)
{
	struct perf *perf = must_alloc(sizeof(*perf));

	*perf = (struct perf){ 0 };
	mutex_init(&perf->mutex);
	if ((map && open_map(perf, err)) || (dump && open_dump(perf, err))) {
		perf_close(perf);
		return NULL;
	}
	return perf;
}

static void add_to_dump(struct perf *perf, uint64_t address, const void *code, size_t bytes,
			const char *name)
{
	const struct dump_code record = { .id = DUMP_CODE_LOAD,
					  .bytes = (uint32_t)(sizeof(record) + strlen(name) + 1 +
							      bytes),
					  .time = host_now_ns(),
					  .pid = (uint32_t)getpid(),
					  .tid = (uint32_t)thread_self(),
					  .vma = address,
					  .address = address,
					  .code_bytes = bytes,
					  .index = perf->index++ };

	fwrite(&record, sizeof(record), 1, perf->dump);
	fwrite(name, strlen(name) + 1, 1, perf->dump);
	fwrite(code, bytes, 1, perf->dump);
	fflush(perf->dump);
}

void perf_add(struct perf *perf, uint64_t address, const void *code, size_t bytes, const char *name)
{
	mutex_lock(&perf->mutex);
	if (perf->map)
		fprintf(perf->map, "%llx %zx %s\n", (unsigned long long)address, bytes, name);
	if (perf->dump)
		add_to_dump(perf, address, code, bytes, name);
	mutex_unlock(&perf->mutex);
}

void perf_close(struct perf *perf)
{
	if (!perf)
		return;
	if (perf->map)
		fclose(perf->map);
	if (perf->marker)
		munmap(perf->marker, perf->marker_bytes);
	if (perf->dump)
		fclose(perf->dump);
	mutex_fini(&perf->mutex);
	free(perf);
}
