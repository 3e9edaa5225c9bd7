/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A directory as a FAT disk. Where they are installed, fsck.fat and mtools say what they think. */
#include "backend/block/internal.h"
#include "image_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { PARTITION = 63 * 512, BIG_BYTES = 300000 };

static char tree[80]; /* the directory that is shown */

static const char *in_tree(const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", tree, name);
	return path;
}

static void put_file(const char *name, const void *from, size_t bytes)
{
	int fd = open(in_tree(name), O_WRONLY | O_CREAT | O_TRUNC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, from, bytes), bytes);
	close(fd);
}

static uint8_t big_byte(size_t at)
{
	return (uint8_t)(at * 7 + at / 251);
}

static int setup(void **state)
{
	static uint8_t big[BIG_BYTES];
	int code = rig_setup(state);

	snprintf(tree, sizeof(tree), "%s", rig_path("tree"));
	for (size_t i = 0; i < BIG_BYTES; i++)
		big[i] = big_byte(i);
	mkdir(tree, 0755);
	put_file("HELLO.TXT", "hello\r\n", 7);
	put_file("BIG.BIN", big, BIG_BYTES);
	put_file("EMPTY", "", 0);
	mkdir(in_tree("Sub Directory"), 0755);
	mkdir(in_tree("Sub Directory/deeper"), 0755);
	put_file("Sub Directory/deeper/INNER.TXT", "inner", 5);
	return code;
}

static int open_fat(struct image *image, const char *prefix, struct err *err)
{
	char path[128];
	struct image_request request = { .path = path, .read_only = true };

	snprintf(path, sizeof(path), "fat:%s%s", prefix, tree);
	return image_open(image, &request, err);
}

static void read_at(struct image *image, uint64_t offset, void *to, size_t bytes)
{
	assert_int_equal(image->driver->read(image->state, offset, to, bytes), 0);
}

/* A volume, as a driver of another system would read it. */
struct volume {
	struct image *image;
	uint64_t fats, root, data;
	unsigned type, per_cluster;
};

static struct volume mount(struct image *image, uint64_t start)
{
	uint8_t s[512];
	struct volume v = { .image = image };
	uint64_t sectors, fat_sectors;

	read_at(image, start, s, 512);
	assert_int_equal(load_le16(s + 510), 0xaa55);
	fat_sectors = load_le16(s + 22) ? load_le16(s + 22) : load_le32(s + 36);
	sectors = load_le16(s + 19) ? load_le16(s + 19) : load_le32(s + 32);
	v.per_cluster = s[13] * 512u;
	v.fats = start + load_le16(s + 14) * 512u;
	v.root = v.fats + s[16] * fat_sectors * 512;
	v.data = v.root + load_le16(s + 17) * 32u;
	sectors = (sectors * 512 - (v.data - start)) / v.per_cluster;
	v.type = sectors < 4085 ? 12 : sectors < 65525 ? 16 : 32;
	if (v.type == 32)
		v.root = v.data + (load_le32(s + 44) - 2) * (uint64_t)v.per_cluster;
	return v;
}

static uint32_t next_of(const struct volume *v, uint32_t cluster)
{
	uint8_t entry[4] = { 0 };
	uint32_t value;

	read_at(v->image, v->fats + cluster * v->type / 8, entry, v->type == 32 ? 4 : 2);
	value = load_le32(entry);
	return v->type == 12 ? (cluster & 1 ? value >> 4 : value & 0xfff) : value;
}

/* An entry of the directory at `from` by its short name; false: there is none. */
static bool find(const struct volume *v, uint64_t from, const char *name, uint8_t entry[32])
{
	for (;; from += 32) {
		read_at(v->image, from, entry, 32);
		if (!entry[0])
			return false;
		if (entry[11] != 0x0f && !memcmp(entry, name, 11))
			return true;
	}
}

static uint32_t cluster_of(const uint8_t entry[32])
{
	return (uint32_t)load_le16(entry + 20) << 16 | load_le16(entry + 26);
}

static uint64_t place_of(const struct volume *v, const uint8_t entry[32])
{
	return v->data + (cluster_of(entry) - 2) * (uint64_t)v->per_cluster;
}

static void check_big(const struct volume *v)
{
	uint8_t entry[32], byte;
	uint32_t cluster, at = 0;

	assert_true(find(v, v->root, "BIG     BIN", entry));
	assert_int_equal(load_le32(entry + 28), BIG_BYTES);
	for (cluster = cluster_of(entry); at < BIG_BYTES; cluster = next_of(v, cluster)) {
		for (uint32_t i = 0; i < v->per_cluster && at < BIG_BYTES; i += 509, at += 509) {
			read_at(v->image, v->data + (cluster - 2) * (uint64_t)v->per_cluster + i,
				&byte, 1);
			assert_int_equal(byte, big_byte(at));
		}
		at = ALIGN_UP(at - 508, v->per_cluster);
	}
	assert_true(cluster >= (v->type == 12 ? 0xff8u : v->type == 16 ? 0xfff8u : 0x0ffffff8u));
}

static void check_tree(const struct volume *v)
{
	uint8_t entry[32];
	char text[8] = "";

	assert_true(find(v, v->root, "HELLO   TXT", entry));
	read_at(v->image, place_of(v, entry), text, 7);
	assert_string_equal(text, "hello\r\n");
	assert_true(find(v, v->root, "EMPTY      ", entry));
	assert_int_equal(cluster_of(entry), 0);
	assert_true(find(v, v->root, "SUBDIR~1   ", entry));
	assert_int_equal(entry[11], 0x10);
	assert_true(find(v, place_of(v, entry), "DEEPER     ", entry));
	assert_true(find(v, place_of(v, entry), "INNER   TXT", entry));
	read_at(v->image, place_of(v, entry), text, 5);
	assert_memory_equal(text, "inner", 5);
	check_big(v);
}

/* fsck.fat and mtools look at the volume. */
static void ask_others(struct image *image, uint64_t start)
{
	char command[512];
	const char *path = rig_path("volume");
	uint8_t sector[512];
	FILE *out = fopen(path, "wb");
	uint64_t end = image->bytes;

	if (start) { /* the partition ends before the disk does */
		read_at(image, 0, sector, 512);
		end = start + load_le32(sector + 446 + 12) * 512ull;
	}
	for (uint64_t at = start; at < end; at += 512) {
		read_at(image, at, sector, 512);
		fwrite(sector, 512, 1, out);
	}
	fclose(out);
	snprintf(command, sizeof(command),
		 "export PATH=$PATH:/sbin:/usr/sbin; command -v fsck.fat >/dev/null || exit 0; fsck.fat -n %s",
		 path);
	assert_int_equal(system(command), 0);
	snprintf(command, sizeof(command),
		 "command -v mtype >/dev/null || exit 0; "
		 "test \"$(mtype -i %s '::Sub Directory/deeper/INNER.TXT')\" = inner", path);
	assert_int_equal(system(command), 0);
	unlink(path);
}

static void every_kind_has_the_files(void **state)
{
	static const struct {
		const char *prefix;
		unsigned type;
	} kinds[] = { { "", 16 }, { "16:", 16 }, { "32:", 32 }, { "floppy:", 12 } };

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(kinds); i++) {
		uint64_t start = kinds[i].type == 12 ? 0 : PARTITION;
		struct image image;
		struct volume v;

		assert_int_equal(open_fat(&image, kinds[i].prefix, NULL), 0);
		assert_int_equal(image.driver->write(image.state, 0, "", 1), -EROFS);
		v = mount(&image, start);
		assert_int_equal(v.type, kinds[i].type);
		check_tree(&v);
		if (v.type != 32) /* as large as it must be */
			ask_others(&image, start);
		image_close(&image);
	}
}

static void hostile_names_are_made_harmless(void **state)
{
	static const char *const names[] = {
		"a?b*c.txt", "trailing dot.", " space", "lower.txt", "LOWER~1.TXT", "x.y.z", ".hidden",
		"\xff\xfe\xc0\x80", "\xf0\x9f\x92\xa9.emoji", "\xc3\xa4\xc3\xb6\xc3\xbc",
		"case", "CASE", "Case", "con", "back\\slash", "tab\tnewline\n", "\xe5start",
		"longname1.text", "longname2.text", "longname3.text", "~", "....",
	};
	char name[256];
	struct image image;
	uint8_t entry[32];
	unsigned seen = 0;
	struct volume v;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		put_file(names[i], names[i], 1);
	memset(name, 'n', 255);
	name[255] = 0;
	put_file(name, "n", 1);
	for (unsigned i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "number %u of many.text", i);
		put_file(name, name, 3);
	}
	assert_int_equal(open_fat(&image, "", NULL), 0);
	v = mount(&image, PARTITION);
	check_tree(&v);
	for (uint64_t at = v.root; at < v.data; at += 32) {
		read_at(&image, at, entry, 32);
		if (!entry[0])
			break;
		if (entry[11] == 0x0f)
			continue;
		seen++;
		for (unsigned i = 0; i < 11; i++) /* only what DOS can have */
			assert_true(entry[i] >= 0x20 && entry[i] < 0x7f && !strchr("\"*+,./:;<=>?[\\]|", entry[i]));
	}
	assert_int_equal(seen, 1 + 4 + ARRAY_LEN(names) + 1 + 3000);
	ask_others(&image, PARTITION);
	image_close(&image);
}

static void links_are_not_followed(void **state)
{
	struct image image;
	struct volume v;
	uint8_t entry[32];
	char secret[600], byte;

	(void)state;
	snprintf(secret, sizeof(secret), "%s", rig_path("secret"));
	close(open(secret, O_WRONLY | O_CREAT, 0644));
	assert_int_equal(symlink(secret, in_tree("LINK")), 0);
	assert_int_equal(symlink("/", in_tree("SLASH")), 0);
	assert_int_equal(mkfifo(in_tree("FIFO"), 0644), 0);
	put_file("SWAPPED", "x", 1);
	assert_int_equal(open_fat(&image, "", NULL), 0);
	v = mount(&image, PARTITION);
	assert_false(find(&v, v.root, "LINK       ", entry));
	assert_false(find(&v, v.root, "SLASH      ", entry));
	assert_false(find(&v, v.root, "FIFO       ", entry));
	assert_true(find(&v, v.root, "SWAPPED    ", entry));
	unlink(in_tree("SWAPPED")); /* what it is now is not what was shown */
	assert_int_equal(symlink(secret, in_tree("SWAPPED")), 0);
	assert_int_equal(image.driver->read(image.state, place_of(&v, entry), &byte, 1), -EIO);
	image_close(&image);
}

static void a_file_may_shrink(void **state)
{
	uint8_t entry[32], bytes[2];
	struct image image;
	struct volume v;

	(void)state;
	put_file("SHRINKS", "abcdef", 6);
	assert_int_equal(open_fat(&image, "", NULL), 0);
	v = mount(&image, PARTITION);
	assert_true(find(&v, v.root, "SHRINKS    ", entry));
	assert_int_equal(truncate(in_tree("SHRINKS"), 1), 0);
	read_at(&image, place_of(&v, entry), bytes, 2);
	assert_memory_equal(bytes, "a\0", 2);
	image_close(&image);
}

static void refused(const char *path, const char *format, const char *because)
{
	struct image_request request = { .path = path, .format = format, .read_only = true };
	struct image image;
	struct err err = { 0 };

	assert_int_not_equal(image_open(&image, &request, &err), 0);
	if (!strstr(err.text, because))
		fail_msg("\"%s\": %s", path, err.text);
}

static void what_cannot_be_is_said(void **state)
{
	struct image_request overlay = { .path = "evil.qcow2" };
	struct image_request request = { .path = "fat:/", .read_only = true, .overlay = &overlay };
	struct image image;
	char path[128];

	(void)state;
	refused("fat:", NULL, "names no directory");
	refused("fat:rw:/tmp", NULL, "take rw: away");
	refused("fat:floppy:16:/tmp", NULL, "floppy disks have FAT12");
	refused("fat:12:/tmp", NULL, "floppy disks have FAT12");
	refused("fat:/no/such/directory", NULL, "cannot open directory");
	snprintf(path, sizeof(path), "fat:%s/HELLO.TXT", tree);
	refused(path, NULL, "cannot open directory");
	snprintf(path, sizeof(path), "fat:%s", tree);
	refused(path, "qcow2", "has no format");
	assert_int_equal(image_open(&image, &request, NULL), -EPERM);
	assert_int_equal(truncate(in_tree("BIG.BIN"), 3 << 20), 0); /* zeros will do */
	snprintf(path, sizeof(path), "fat:floppy:%s", tree);
	refused(path, NULL, "a floppy disk holds");
	put_file("HUGE", "", 0);
	assert_int_equal(truncate(in_tree("HUGE"), 1ll << 32), 0);
	snprintf(path, sizeof(path), "fat:%s", tree);
	refused(path, NULL, "4 GiB or more");
}

/* Sparse files: nothing of it is on the host's disk. */
static void much_becomes_fat32(void **state)
{
	struct image image;
	struct volume v;
	uint8_t entry[32];
	char name[16], path[128];

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "LARGE%u", i);
		put_file(name, "begin", 5);
		assert_int_equal(truncate(in_tree(name), (1ll << 32) - 1), 0);
	}
	assert_int_equal(open_fat(&image, "", NULL), 0);
	v = mount(&image, PARTITION);
	assert_int_equal(v.type, 32);
	assert_true(find(&v, v.root, "LARGE2     ", entry));
	read_at(&image, place_of(&v, entry), name, 5);
	assert_memory_equal(name, "begin", 5);
	check_tree(&v);
	image_close(&image);
	snprintf(path, sizeof(path), "fat:16:%s", tree);
	refused(path, NULL, "say fat:32:");
}

static int teardown(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", tree);
	assert_int_equal(system(command), 0);
	return rig_teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_kind_has_the_files, setup, teardown),
		cmocka_unit_test_setup_teardown(hostile_names_are_made_harmless, setup, teardown),
		cmocka_unit_test_setup_teardown(links_are_not_followed, setup, teardown),
		cmocka_unit_test_setup_teardown(a_file_may_shrink, setup, teardown),
		cmocka_unit_test_setup_teardown(what_cannot_be_is_said, setup, teardown),
		cmocka_unit_test_setup_teardown(much_becomes_fat32, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
