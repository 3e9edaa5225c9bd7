/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A host directory as a FAT disk: its files, their names in both lengths, its directories' entries.
 *
 * Symbolic links are not followed, so nothing outside the directory can be reached; what is neither
 * file nor directory is left out. Names that FAT cannot have are made ones it can: forbidden
 * characters and bad UTF-8 become "_", and a name that differs from another by case alone gets a
 * number.
 *
 * Manual: Microsoft, FAT32 File System Specification 1.03 ("Long Directory Entries").
 */
#include "backend/block/fat.h"
#include "host/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ATTRIBUTE_LABEL = 0x08, ATTRIBUTE_DIRECTORY = 0x10, ATTRIBUTE_ARCHIVE = 0x20,
       ATTRIBUTE_LONG = 0x0f, LAST_LONG = 0x40 };

int fat_node_open(const struct fat_tree *tree, uint32_t number)
{
	const struct fat_node *node = &tree->nodes[number];
	int parent, fd;
	struct stat st;

	if (number == 0) {
		fd = openat(tree->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		return fd < 0 ? -errno : fd;
	}
	parent = fat_node_open(tree, node->parent);
	if (parent < 0)
		return parent;
	fd = openat(parent, node->name,
		    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | (node->is_directory ? O_DIRECTORY : 0));
	close(parent);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) || st.st_dev != node->device || st.st_ino != node->inode) {
		close(fd);
		return -ESTALE;
	}
	return fd;
}

void fat_tree_free(struct fat_tree *tree)
{
	for (uint32_t i = 0; i < tree->count; i++) {
		free(tree->nodes[i].name);
		free(tree->nodes[i].long_name);
		free(tree->nodes[i].entries);
	}
	free(tree->nodes);
	if (tree->fd >= 0)
		close(tree->fd);
}

static struct fat_node *add(struct fat_tree *tree)
{
	if (tree->count == tree->room) {
		tree->room = 2 * tree->room + 64;
		tree->nodes = must_realloc(tree->nodes, tree->room * sizeof(*tree->nodes));
	}
	tree->nodes[tree->count] = (struct fat_node){ 0 };
	return &tree->nodes[tree->count++];
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(((const struct fat_node *)a)->name, ((const struct fat_node *)b)->name);
}

static int look_at(struct fat_tree *tree, uint32_t parent, int fd, const char *name,
		   const char *path, struct err *err)
{
	struct fat_node *node;
	struct stat st;

	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) ||
	    (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))) {
		tree->left_out++;
		return 0;
	}
	if (tree->count == FAT_NODES_MAX)
		return fail(err, EFBIG, "directory \"%s\" has more than %u files, too many for a fat: disk",
			    path, FAT_NODES_MAX);
	if (S_ISREG(st.st_mode) && st.st_size > (off_t)UINT32_MAX)
		return fail(err, EFBIG, "file \"%s\" in \"%s\" has 4 GiB or more, which FAT cannot hold",
			    name, path);
	node = add(tree);
	node->name = must_strdup(name);
	node->is_directory = S_ISDIR(st.st_mode);
	node->parent = parent;
	node->depth = tree->nodes[parent].depth + 1;
	node->size = node->is_directory ? 0 : (uint64_t)st.st_size;
	node->modified = st.st_mtime;
	node->device = st.st_dev;
	node->inode = st.st_ino;
	return 0;
}

static int list(struct fat_tree *tree, uint32_t number, const char *path, struct err *err)
{
	uint32_t first = tree->count;
	int fd = fat_node_open(tree, number), code = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (!dir) {
		code = fd < 0 ? -fd : errno;
		if (fd >= 0)
			close(fd);
		return fail(err, code, "cannot read directory \"%s\" in \"%s\": %s",
			    number ? tree->nodes[number].name : ".", path, strerror(code));
	}
	while (!code && (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			code = look_at(tree, number, fd, entry->d_name, path, err);
	closedir(dir);
	tree->nodes[number].first_child = first;
	tree->nodes[number].children = tree->count - first;
	qsort(&tree->nodes[first], tree->count - first, sizeof(*tree->nodes), compare_names);
	return code;
}

/* Names. */

/* The next character of UTF-8, '_' for what is none. */
static uint32_t decode(const char **text)
{
	const uint8_t *at = (const uint8_t *)*text;
	unsigned more = *at < 0x80 ? 0 : *at >= 0xf0 ? 3 : *at >= 0xe0 ? 2 : 1;
	static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };
	uint32_t c = more ? *at & (0x3f >> more) : *at;

	*text += 1;
	if (*at >= 0xf8 || (*at >= 0x80 && *at < 0xc0))
		return '_';
	for (unsigned i = 1; i <= more; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return '_';
		c = c << 6 | (at[i] & 0x3f);
	}
	*text += more;
	return c < least[more] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? '_' : c;
}

/* Room for FAT_LONG_MAX; what is longer is cut. */
static unsigned make_long(const char *name, uint16_t *out)
{
	unsigned count = 0;

	while (*name) {
		uint32_t c = decode(&name);

		if (c < 0x20 || c == 0x7f || (c < 0x80 && strchr("\"*/:<>?\\|", (int)c)))
			c = '_';
		if (count + (c > 0xffff) >= FAT_LONG_MAX)
			break;
		if (c > 0xffff) {
			out[count++] = (uint16_t)(0xd7c0 + (c >> 10));
			c = 0xdc00 | (c & 0x3ff);
		}
		out[count++] = (uint16_t)c;
	}
	for (unsigned i = count; i && (out[i - 1] == '.' || out[i - 1] == ' '); i--)
		out[i - 1] = '_'; /* Windows would take them off */
	return count;
}

static uint16_t upper(uint16_t c)
{
	return c >= 'a' && c <= 'z' ? c - 0x20 : c;
}

/* The short form. False: it says less than the long one, and needs a number. `same`: it is it. */
static bool make_short(const uint16_t *name, unsigned count, uint8_t out[11], bool *same)
{
	unsigned dot = count, at = 0, end = 8;
	bool whole = true;

	memset(out, ' ', 11);
	*same = true;
	for (unsigned i = 1; i < count; i++)
		if (name[i] == '.')
			dot = i;
	for (unsigned i = 0; i < count; i++) {
		uint16_t c = upper(name[i]);

		if (i == dot) {
			at = 8, end = 11;
			continue;
		}
		*same &= c == name[i];
		if (c == ' ' || c == '.') {
			whole = false;
			continue;
		}
		if (!(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
		    (c >= 0x80 || !strchr("!#$%&'()-@^_`{}~", c))) {
			c = '_';
			whole = false;
		}
		if (at < end)
			out[at++] = (uint8_t)c;
		else
			whole = false;
	}
	if (out[0] == ' ')
		out[0] = '_', whole = false;
	*same &= whole;
	return whole;
}

/* The names of a directory that are taken, by their hashes. */
struct names {
	uint64_t *hashes;
	size_t mask;
};

/* True if it was there already. */
static bool names_add(struct names *names, const void *bytes, size_t count)
{
	uint64_t hash = 0xcbf29ce484222325;
	const uint8_t *at = bytes;

	while (count--)
		hash = (hash ^ *at++) * 0x100000001b3;
	hash |= 1; /* 0 is free */
	for (size_t i = hash >> 20 & names->mask;; i = (i + 1) & names->mask) {
		if (names->hashes[i] == hash)
			return true;
		if (!names->hashes[i]) {
			names->hashes[i] = hash;
			return false;
		}
	}
}

/* The next to try for a directory's child. When the small ones are taken it is the child's own, so
 * that among very many alike each tries a few. */
static unsigned next_number(unsigned number, uint32_t child)
{
	return number == 8 ? 9 + child : number + 1;
}

static void add_number(uint8_t short_name[11], unsigned number)
{
	char tail[9];
	int length = snprintf(tail, sizeof(tail), "~%u", number), base = 0;

	while (base < 8 - length && short_name[base] != ' ')
		base++;
	memset(short_name + base, ' ', (size_t)(8 - base));
	memcpy(short_name + base, tail, (size_t)length);
}

static bool long_is_taken(struct names *names, const uint16_t *name, unsigned count)
{
	uint16_t folded[FAT_LONG_MAX + 1];

	for (unsigned i = 0; i < count; i++)
		folded[i] = upper(name[i]);
	folded[count] = 0; /* so that it is no short name by chance */
	return names_add(names, folded, (count + 1) * sizeof(*folded));
}

static unsigned name_long(struct names *names, const char *host_name, uint32_t child, uint16_t *name)
{
	unsigned whole = make_long(host_name, name), count = whole, number = 1;
	char tail[12];

	while (long_is_taken(names, name, count)) {
		unsigned length;

		number = next_number(number, child);
		length = (unsigned)snprintf(tail, sizeof(tail), "~%u", number);
		count = MIN(whole, FAT_LONG_MAX - length);
		for (unsigned i = 0; i < length; i++)
			name[count++] = (uint8_t)tail[i];
	}
	return count;
}

/* Names that are short as they are first, so that no made-up one is in their way. */
static void name_children(struct fat_tree *tree, const struct fat_node *parent)
{
	size_t room = 64;
	uint8_t short_name[11];
	struct names names;
	bool same;

	while (room < 8 * (size_t)parent->children)
		room *= 2;
	names = (struct names){ must_alloc(room * sizeof(uint64_t)), room - 1 };
	for (int pass = 0; pass < 2; pass++) {
		for (uint32_t i = 0; i < parent->children; i++) {
			struct fat_node *node = &tree->nodes[parent->first_child + i];
			uint16_t name[FAT_LONG_MAX];
			unsigned count = make_long(node->name, name), number = 1;
			bool whole = make_short(name, count, short_name, &same);

			if (whole != (pass == 0))
				continue;
			count = name_long(&names, node->name, i, name);
			whole = make_short(name, count, node->short_name, &same);
			if (!whole)
				add_number(node->short_name, number);
			while (names_add(&names, node->short_name, 11)) {
				same = false;
				number = next_number(number, i);
				add_number(node->short_name, number);
			}
			if (same)
				continue;
			node->long_name = must_alloc(count * sizeof(*name));
			memcpy(node->long_name, name, count * sizeof(*name));
			node->long_count = (uint16_t)count;
		}
	}
	free(names.hashes);
}

static unsigned long_entries(const struct fat_node *node)
{
	return (node->long_count + FAT_PER_LONG_ENTRY - 1u) / FAT_PER_LONG_ENTRY;
}

static int measure(struct fat_tree *tree, struct fat_node *dir, const char *path, struct err *err)
{
	uint64_t entries = dir == tree->nodes ? 1 : 2; /* the label; . and .. */

	for (uint32_t i = 0; i < dir->children; i++)
		entries += 1 + long_entries(&tree->nodes[dir->first_child + i]);
	if (entries > FAT_DIRECTORY_ENTRIES_MAX)
		return fail(err, EFBIG, "directory \"%s\" in \"%s\" has too many files for FAT",
			    dir->name ? dir->name : ".", path);
	dir->size = entries * FAT_ENTRY;
	return 0;
}

int fat_scan(struct fat_tree *tree, const char *path, struct err *err)
{
	int code = 0;

	*tree = (struct fat_tree){ .fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
	if (tree->fd < 0)
		return fail(err, errno, "fat: disk: cannot open directory \"%s\": %s", path,
			    strerror(errno));
	add(tree)->is_directory = true;
	for (uint32_t i = 0; i < tree->count && !code; i++) { /* children come behind their parents */
		if (!tree->nodes[i].is_directory)
			continue;
		if (tree->nodes[i].depth > FAT_DEPTH_MAX)
			code = fail(err, ELOOP, "directories in \"%s\" are more than %u deep", path,
				    FAT_DEPTH_MAX);
		if (!code)
			code = list(tree, i, path, err);
		if (!code)
			name_children(tree, &tree->nodes[i]);
		if (!code)
			code = measure(tree, &tree->nodes[i], path, err);
	}
	if (code)
		fat_tree_free(tree);
	return code;
}

/* Entries. */

static void put_entry(uint8_t *at, const uint8_t name[11], uint8_t attribute, time_t modified,
		      uint32_t cluster, uint32_t size)
{
	struct tm tm;
	uint16_t date = 1 << 5 | 1, clock = 0;

	if (gmtime_r(&modified, &tm) && tm.tm_year >= 80 && tm.tm_year < 208) {
		date = (uint16_t)((tm.tm_year - 80) << 9 | (tm.tm_mon + 1) << 5 | tm.tm_mday);
		clock = (uint16_t)(tm.tm_hour << 11 | tm.tm_min << 5 | MIN(tm.tm_sec, 59) / 2);
	}
	memcpy(at, name, 11);
	at[11] = attribute;
	store_le16(at + 14, clock); /* created, read, written */
	store_le16(at + 16, date);
	store_le16(at + 18, date);
	store_le16(at + 20, (uint16_t)(cluster >> 16));
	store_le16(at + 22, clock);
	store_le16(at + 24, date);
	store_le16(at + 26, (uint16_t)cluster);
	store_le32(at + 28, size);
}

static uint8_t *put_long(uint8_t *at, const struct fat_node *node)
{
	static const uint8_t places[FAT_PER_LONG_ENTRY] = { 1,  3,  5,  7,  9,  14, 16,
							    18, 20, 22, 24, 28, 30 };
	unsigned count = long_entries(node);
	uint8_t sum = 0;

	for (unsigned i = 0; i < 11; i++)
		sum = (uint8_t)((sum >> 1 | sum << 7) + node->short_name[i]);
	for (unsigned n = count; n; n--, at += FAT_ENTRY) {
		at[0] = (uint8_t)(n | (n == count ? LAST_LONG : 0));
		at[11] = ATTRIBUTE_LONG;
		at[13] = sum;
		for (unsigned i = 0; i < FAT_PER_LONG_ENTRY; i++) {
			unsigned from = (n - 1) * FAT_PER_LONG_ENTRY + i;

			store_le16(at + places[i], from < node->long_count ? node->long_name[from]
						   : from == node->long_count ? 0 : 0xffff);
		}
	}
	return at;
}

void fat_write_entries(struct fat_tree *tree)
{
	for (uint32_t d = 0; d < tree->count; d++) {
		struct fat_node *dir = &tree->nodes[d];
		const struct fat_node *parent = &tree->nodes[dir->parent];
		uint8_t *at;

		if (!dir->is_directory)
			continue;
		at = dir->entries = must_alloc(dir->size);
		if (d == 0) {
			put_entry(at, (const uint8_t *)"KELVIN     ", ATTRIBUTE_LABEL, 0, 0, 0);
		} else {
			put_entry(at, (const uint8_t *)".          ", ATTRIBUTE_DIRECTORY,
				  dir->modified, dir->cluster, 0);
			at += FAT_ENTRY; /* the root is 0 here, also where it has a cluster */
			put_entry(at, (const uint8_t *)"..         ", ATTRIBUTE_DIRECTORY,
				  parent->modified, dir->parent ? parent->cluster : 0, 0);
		}
		at += FAT_ENTRY;
		for (uint32_t i = 0; i < dir->children; i++, at += FAT_ENTRY) {
			const struct fat_node *node = &tree->nodes[dir->first_child + i];

			at = put_long(at, node);
			put_entry(at, node->short_name,
				  node->is_directory ? ATTRIBUTE_DIRECTORY : ATTRIBUTE_ARCHIVE,
				  node->modified, node->cluster,
				  node->is_directory ? 0 : (uint32_t)node->size);
		}
	}
}
