/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory and files from the host. */
#ifndef HOST_MEMORY_H
#define HOST_MEMORY_H

#include "base/err.h"

/* Zeroed. Set-up allocations cannot fail: the process ends. Sizes that a guest, an image or the
 * network chose go through try_alloc, which may return NULL. */
void *must_alloc(size_t bytes);
void *must_realloc(void *memory, size_t bytes);
char *must_strdup(const char *text);
char *must_format(const char *fmt, ...) PRINTF_LIKE(1, 2);
void *try_alloc(size_t bytes);

/* Guest memory: a memfd, mapped shared, backed on first touch. */
struct shared_memory {
	uint8_t *host;
	size_t bytes;
	int fd;
};
int shared_memory_open(struct shared_memory *memory, const char *name, size_t bytes);
void shared_memory_close(struct shared_memory *memory);
/* The next stretch at or after *offset that may hold something else than zeros; false: none. */
bool shared_memory_next(const struct shared_memory *memory, uint64_t *offset, uint64_t *bytes);
void shared_memory_clear(struct shared_memory *memory); /* all zeros, backing given back */

/* Whole reads and writes of a descriptor: 0 or -errno; -ENODATA when it ends early. */
int fd_read_all(int fd, void *to, size_t bytes);
int fd_write_all(int fd, const void *from, size_t bytes);

/* A file of the firmware packages ("bios-256k.bin", "vgabios-stdvga.bin") or a path with a slash.
 * NULL and `err` when it is in none of the directories. */
uint8_t *firmware_read(const char *name, size_t *bytes, struct err *err);

#endif
