/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A host directory as a read-only FAT disk: "fat:DIR", "fat:16:DIR", "fat:floppy:DIR".
 *
 * What is in the directory is looked at once, when the disk is opened; clusters are given out in
 * order, so boot sector, tables and directories are computed when they are read, and files' contents
 * come from the files. The directory must not change meanwhile: a file that is another one by then
 * gives read errors, one that has shrunk zeros.
 *
 * A hard disk is one partition with FAT16, or FAT32 if that does not do; a floppy has 1.44 MB and
 * FAT12.
 *
 * Manual: Microsoft, FAT32 File System Specification 1.03; names of fields in [brackets].
 * Not modelled: writing (a disk that is not read-only gets a temporary overlay, see open.c), FAT12 on
 * hard disks, booting from it.
 */
#include "backend/block/fat.h"
#include "host/log.h"
#include "host/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TRACK = 63, HEADS = 16, CYLINDER = TRACK * HEADS, FATS = 2, ENTRIES_PER_SECTOR = 16,
       FLOPPY_SECTORS = 2880, FLOPPY_ROOT = 224, FLOPPY_FAT_SECTORS = 9, ROOT_MIN = 512,
       SPARE = 16 };
enum { FAT12_MAX = 4084, FAT16_MIN = 4085, FAT16_MAX = 65524, FAT32_MIN = 65525 };
enum { FSINFO = 1, BACKUP = 6, FAT32_RESERVED = 32 };

#define DISK_SECTORS_MAX 0xfffff000ull /* what 32 bits can count */
#define SERIAL           0x4b4c564eu

struct fat {
	struct fat_tree tree;
	char *path;
	unsigned type; /* 12, 16 or 32 */
	bool is_floppy;
	uint32_t hidden, reserved, fat_sectors, root_entries, per_cluster;
	uint32_t cluster_count;
	uint64_t total;    /* sectors, without the hidden ones */
	uint32_t used;     /* clusters */
	uint32_t *placed;  /* nodes that have clusters, by cluster */
	uint32_t placed_count;
	int fd;            /* of the file that was read last */
	uint32_t fd_node;
	bool told_missing; /* in the log */
};

static uint32_t root_sectors(const struct fat *f)
{
	return f->root_entries / ENTRIES_PER_SECTOR;
}

/* The first data sector, from the start of the volume. */
static uint32_t data_start(const struct fat *f)
{
	return f->reserved + FATS * f->fat_sectors + root_sectors(f);
}

static uint64_t divide_up(uint64_t a, uint64_t b)
{
	return (a + b - 1) / b;
}

/* How many clusters all of it needs. */
static uint64_t clusters_needed(const struct fat *f, bool root_is_chain)
{
	uint64_t bytes = (uint64_t)f->per_cluster * FAT_SECTOR, count = 0;

	for (uint32_t i = root_is_chain ? 0 : 1; i < f->tree.count; i++)
		count += divide_up(f->tree.nodes[i].size, bytes);
	return count;
}

static int choose_floppy(struct fat *f, struct err *err)
{
	uint64_t needed;

	f->type = 12;
	f->per_cluster = 1;
	f->reserved = 1;
	f->root_entries = FLOPPY_ROOT;
	f->fat_sectors = FLOPPY_FAT_SECTORS;
	f->total = FLOPPY_SECTORS;
	f->cluster_count = FLOPPY_SECTORS - data_start(f);
	needed = clusters_needed(f, false);
	if (needed > f->cluster_count)
		return fail(err, EFBIG, "directory \"%s\" has %llu KiB, and a floppy disk holds %u",
			    f->path, (unsigned long long)needed / 2, f->cluster_count / 2);
	if (f->tree.nodes[0].size / FAT_ENTRY > FLOPPY_ROOT)
		return fail(err, EFBIG, "directory \"%s\" has too many files for a floppy disk; put them into one below it",
			    f->path);
	return 0;
}

/* The smallest clusters that do; false: none do. */
static bool choose_clusters(struct fat *f, unsigned type)
{
	uint64_t least = type == 16 ? FAT16_MIN : FAT32_MIN, most = type == 16 ? FAT16_MAX : BIT(28) - 16;

	f->type = type;
	f->reserved = type == 16 ? 1 : FAT32_RESERVED;
	f->root_entries = 0;
	if (type == 16)
		f->root_entries = (uint32_t)MAX(ALIGN_UP(f->tree.nodes[0].size / FAT_ENTRY,
							 ENTRIES_PER_SECTOR), (uint64_t)ROOT_MIN);
	if (f->root_entries > UINT16_MAX)
		return false;
	for (f->per_cluster = type == 16 ? 4 : 8; f->per_cluster <= 64; f->per_cluster *= 2) {
		uint64_t count = MAX(clusters_needed(f, type == 32) + SPARE, least + SPARE);
		uint64_t sectors, cylinders;

		if (count > most)
			continue;
		f->cluster_count = (uint32_t)count;
		f->fat_sectors = (uint32_t)divide_up((count + 2) * type / 8, FAT_SECTOR);
		sectors = TRACK + data_start(f) + count * f->per_cluster;
		cylinders = divide_up(sectors, CYLINDER); /* whole ones; the rest lies behind */
		f->total = sectors - TRACK;
		if (cylinders * CYLINDER <= DISK_SECTORS_MAX)
			return true;
	}
	return false;
}

static int choose_layout(struct fat *f, unsigned type, struct err *err)
{
	if (f->is_floppy)
		return choose_floppy(f, err);
	f->hidden = TRACK;
	if ((type != 32 && choose_clusters(f, 16)) || (type != 16 && choose_clusters(f, 32)))
		return 0;
	return fail(err, EFBIG, "directory \"%s\" is too large for a FAT%u disk%s", f->path,
		    type == 16 ? 16 : 32, type == 16 ? "; say fat:32:" : "");
}

static void give_clusters(struct fat *f)
{
	uint64_t bytes = (uint64_t)f->per_cluster * FAT_SECTOR;
	uint32_t next = 2;

	f->placed = must_alloc(f->tree.count * sizeof(*f->placed));
	for (uint32_t i = f->type == 32 ? 0 : 1; i < f->tree.count; i++) {
		struct fat_node *node = &f->tree.nodes[i];

		node->clusters = (uint32_t)divide_up(node->size, bytes);
		if (!node->clusters)
			continue;
		node->cluster = next;
		next += node->clusters;
		f->placed[f->placed_count++] = i;
	}
	f->used = next - 2;
}

/* Whose cluster it is, NULL: nobody's. */
static const struct fat_node *owner(const struct fat *f, uint32_t cluster)
{
	uint32_t low = 0, high = f->placed_count;

	while (low < high) {
		uint32_t middle = (low + high) / 2;
		const struct fat_node *node = &f->tree.nodes[f->placed[middle]];

		if (cluster < node->cluster)
			high = middle;
		else if (cluster - node->cluster >= node->clusters)
			low = middle + 1;
		else
			return node;
	}
	return NULL;
}

/* Sectors that are computed. */

static void make_mbr(const struct fat *f, uint8_t *to)
{
	uint8_t *entry = to + 446;

	to[0] = 0xcd, to[1] = 0x18; /* int 18h: not this one */
	store_le32(to + 440, SERIAL);
	entry[1] = 1, entry[2] = 1; /* head 1, sector 1 */
	entry[4] = f->type == 16 ? 0x0e : 0x0c;
	entry[5] = 0xfe, entry[6] = 0xff, entry[7] = 0xff;
	store_le32(entry + 8, f->hidden);
	store_le32(entry + 12, (uint32_t)f->total);
	to[510] = 0x55, to[511] = 0xaa;
}

static void make_boot_sector(const struct fat *f, uint8_t *to)
{
	uint8_t *more = to + (f->type == 32 ? 64 : 36);
	bool is_small = f->total < 0x10000;

	memcpy(to, f->type == 32 ? "\xeb\x58\x90KELVIN  " : "\xeb\x3c\x90KELVIN  ", 11);
	store_le16(to + 11, FAT_SECTOR);
	to[13] = (uint8_t)f->per_cluster;
	store_le16(to + 14, (uint16_t)f->reserved);
	to[16] = FATS;
	store_le16(to + 17, (uint16_t)f->root_entries);
	store_le16(to + 19, is_small ? (uint16_t)f->total : 0);
	to[21] = f->is_floppy ? 0xf0 : 0xf8;
	store_le16(to + 22, f->type == 32 ? 0 : (uint16_t)f->fat_sectors);
	store_le16(to + 24, f->is_floppy ? 18 : TRACK);
	store_le16(to + 26, f->is_floppy ? 2 : HEADS);
	store_le32(to + 28, f->hidden);
	store_le32(to + 32, is_small ? 0 : (uint32_t)f->total);
	if (f->type == 32) {
		store_le32(to + 36, f->fat_sectors);
		store_le32(to + 44, f->tree.nodes[0].cluster);
		store_le16(to + 48, FSINFO);
		store_le16(to + 50, BACKUP);
	}
	more[0] = f->is_floppy ? 0 : 0x80;
	more[2] = 0x29;
	store_le32(more + 3, SERIAL);
	memcpy(more + 7, "KELVIN     ", 11);
	memcpy(more + 18, f->type == 12 ? "FAT12   " : f->type == 16 ? "FAT16   " : "FAT32   ", 8);
	more[26] = 0xcd, more[27] = 0x18, more[28] = 0xeb, more[29] = 0xfc;
	to[510] = 0x55, to[511] = 0xaa;
}

static void make_reserved(const struct fat *f, uint32_t sector, uint8_t *to)
{
	if (sector == 0 || (f->type == 32 && sector == BACKUP)) {
		make_boot_sector(f, to);
	} else if (f->type == 32 && (sector == FSINFO || sector == BACKUP + FSINFO)) {
		store_le32(to, 0x41615252);
		store_le32(to + 484, 0x61417272);
		store_le32(to + 488, f->cluster_count - f->used);
		store_le32(to + 492, 2 + f->used);
		store_le32(to + 508, 0xaa550000);
	}
}

/* One entry of the table. */
static uint32_t next_cluster(const struct fat *f, uint32_t cluster, const struct fat_node **last)
{
	uint32_t end = f->type == 12 ? 0xfff : f->type == 16 ? 0xffff : 0x0fffffff;

	if (cluster == 0)
		return (end & ~0xffu) | (f->is_floppy ? 0xf0 : 0xf8);
	if (cluster == 1)
		return end;
	if (!*last || cluster < (*last)->cluster ||
	    cluster - (*last)->cluster >= (*last)->clusters)
		*last = owner(f, cluster);
	if (!*last)
		return 0;
	return cluster + 1 == (*last)->cluster + (*last)->clusters ? end : cluster + 1;
}

static void make_fat(const struct fat *f, uint32_t sector, uint8_t *to)
{
	const struct fat_node *last = NULL;
	uint32_t per_sector = FAT_SECTOR * 8 / f->type;

	for (uint32_t i = 0; i < FAT_SECTOR && f->type == 12; i++) { /* three bytes hold two */
		uint32_t byte = sector * FAT_SECTOR + i, pair = byte / 3 * 2;
		uint32_t both = next_cluster(f, pair, &last);

		both |= next_cluster(f, pair + 1, &last) << 12;
		to[i] = (uint8_t)(both >> byte % 3 * 8);
	}
	for (uint32_t i = 0; i < per_sector && f->type != 12; i++) {
		uint32_t value = next_cluster(f, sector * per_sector + i, &last);

		if (f->type == 16)
			store_le16(to + 2 * i, (uint16_t)value);
		else
			store_le32(to + 4 * i, value);
	}
}

static void copy_entries(const struct fat_node *dir, uint64_t offset, uint8_t *to)
{
	if (offset < dir->size)
		memcpy(to, dir->entries + offset, MIN(dir->size - offset, (uint64_t)FAT_SECTOR));
}

static int read_file(struct fat *f, uint32_t number, uint64_t offset, uint8_t *to)
{
	const struct fat_node *node = &f->tree.nodes[number];
	size_t bytes = MIN(node->size - MIN(node->size, offset), (uint64_t)FAT_SECTOR), done = 0;

	if (f->fd < 0 || f->fd_node != number) {
		if (f->fd >= 0)
			close(f->fd);
		f->fd = fat_node_open(&f->tree, number);
		f->fd_node = number;
		if (f->fd < 0 && !f->told_missing)
			log_line("fat: disk: file \"%s\" in \"%s\" is no longer there; told once",
				 node->name, f->path);
		f->told_missing |= f->fd < 0;
	}
	while (f->fd >= 0 && done < bytes) {
		ssize_t got = pread(f->fd, to + done, bytes - done, (off_t)(offset + done));

		if (got == 0) /* it has shrunk */
			break;
		if (got < 0 && errno != EINTR)
			return -errno;
		done += got > 0 ? (size_t)got : 0;
	}
	return f->fd < 0 ? -EIO : 0;
}

static int make_data(struct fat *f, uint64_t sector, uint8_t *to)
{
	uint32_t cluster = 2 + (uint32_t)(sector / f->per_cluster);
	const struct fat_node *node = owner(f, cluster);
	uint64_t offset;

	if (!node)
		return 0;
	offset = ((uint64_t)(cluster - node->cluster) * f->per_cluster + sector % f->per_cluster) *
		 FAT_SECTOR;
	if (!node->is_directory)
		return read_file(f, (uint32_t)(node - f->tree.nodes), offset, to);
	copy_entries(node, offset, to);
	return 0;
}

static int make_sector(struct fat *f, uint64_t sector, uint8_t to[FAT_SECTOR])
{
	uint32_t fats = f->reserved, root = fats + FATS * f->fat_sectors, data = data_start(f);

	memset(to, 0, FAT_SECTOR);
	if (sector < f->hidden) {
		if (sector == 0)
			make_mbr(f, to);
		return 0;
	}
	sector -= f->hidden;
	if (sector >= data + (uint64_t)f->cluster_count * f->per_cluster)
		return 0;
	if (sector < fats)
		make_reserved(f, (uint32_t)sector, to);
	else if (sector < root)
		make_fat(f, ((uint32_t)sector - fats) % f->fat_sectors, to);
	else if (sector < data)
		copy_entries(&f->tree.nodes[0], (sector - root) * FAT_SECTOR, to);
	else
		return make_data(f, sector - data, to);
	return 0;
}

static int fat_read(void *image, uint64_t offset, void *to, size_t bytes)
{
	uint8_t sector[FAT_SECTOR], *at = to;

	while (bytes) {
		size_t skip = offset % FAT_SECTOR, piece = MIN(bytes, FAT_SECTOR - skip);
		int error = make_sector(image, offset / FAT_SECTOR, sector);

		if (error)
			return error;
		memcpy(at, sector + skip, piece);
		offset += piece, at += piece, bytes -= piece;
	}
	return 0;
}

static int fat_readv(void *image, uint64_t offset, const struct iovec *iov, unsigned count)
{
	int error = 0;

	for (unsigned i = 0; i < count && !error; i++) {
		error = fat_read(image, offset, iov[i].iov_base, iov[i].iov_len);
		offset += iov[i].iov_len;
	}
	return error;
}

static int fat_write(void *image, uint64_t offset, const void *from, size_t bytes)
{
	(void)image, (void)offset, (void)from, (void)bytes;
	return -EROFS;
}

static int fat_flush(void *image)
{
	(void)image;
	return 0;
}

static void fat_close(void *image)
{
	struct fat *f = image;

	if (f->fd >= 0)
		close(f->fd);
	fat_tree_free(&f->tree);
	free(f->placed);
	free(f->path);
	free(f);
}

static const struct block_driver fat_driver = {
	.name = "vvfat", /* as QEMU calls it */
	.read = fat_read,
	.write = fat_write,
	.flush = fat_flush,
	.readv = fat_readv,
	.close = fat_close,
};

/* "fat:" and words with colons behind; what is left is the directory. */
static int parse(struct fat *f, const char *path, unsigned *type, struct err *err)
{
	static const char *const words[] = { "floppy:", "rw:", "12:", "16:", "32:" };
	const char *at = path + 4;
	unsigned word;

	*type = 0;
	do {
		for (word = 0; word < ARRAY_LEN(words); word++)
			if (!strncmp(at, words[word], strlen(words[word])))
				break;
		if (word < ARRAY_LEN(words))
			at += strlen(words[word]);
		if (word == 1)
			return fail(err, ENOTSUP, "disk \"%s\": a directory cannot be written to; take rw: away",
				    path);
		f->is_floppy |= word == 0;
		if (word >= 2 && word < ARRAY_LEN(words))
			*type = (unsigned)atoi(words[word]);
	} while (word < ARRAY_LEN(words));
	if (!*at)
		return fail(err, EINVAL, "disk \"%s\" names no directory", path);
	if ((f->is_floppy && *type && *type != 12) || (!f->is_floppy && *type == 12))
		return fail(err, ENOTSUP, "disk \"%s\": floppy disks have FAT12, others FAT16 or FAT32",
			    path);
	f->path = must_strdup(at);
	return 0;
}

bool is_fat_path(const char *path)
{
	return !strncmp(path, "fat:", 4);
}

int fat_open(struct image *image, const char *path, struct err *err)
{
	struct fat *f = must_alloc(sizeof(*f));
	uint64_t sectors;
	unsigned type;
	int error;

	*f = (struct fat){ .fd = -1, .tree.fd = -1 };
	error = parse(f, path, &type, err);
	if (!error)
		error = fat_scan(&f->tree, f->path, err);
	if (error) {
		free(f->path);
		free(f);
		return error;
	}
	error = choose_layout(f, type, err);
	if (error) {
		fat_close(f);
		return error;
	}
	give_clusters(f);
	fat_write_entries(&f->tree);
	if (f->tree.left_out)
		log_line("fat: disk: %u links and special files of \"%s\" are left out",
			 f->tree.left_out, f->path);
	sectors = f->is_floppy ? FLOPPY_SECTORS : divide_up(f->hidden + f->total, CYLINDER) * CYLINDER;
	*image = (struct image){ &fat_driver, f, sectors * FAT_SECTOR };
	return 0;
}
