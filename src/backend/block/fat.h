/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A host directory as a FAT disk: what its two files share. fat_scan.c says what is on the disk,
 * fat.c where. */
#ifndef BACKEND_BLOCK_FAT_H
#define BACKEND_BLOCK_FAT_H

#include "backend/block/internal.h"

#include <time.h>

enum { FAT_SECTOR = 512, FAT_ENTRY = 32, FAT_DEPTH_MAX = 40, FAT_NODES_MAX = 200000,
       FAT_DIRECTORY_ENTRIES_MAX = 65536, FAT_LONG_MAX = 255, FAT_PER_LONG_ENTRY = 13 };

/* A file or directory. Number 0 is the root; a directory's children are together. */
struct fat_node {
	char *name;           /* the host's, within the parent */
	uint16_t *long_name;  /* the guest's, NULL where the short one says it all */
	uint16_t long_count;
	uint8_t short_name[11];
	bool is_directory;
	uint8_t depth;
	uint32_t parent, first_child, children;
	uint64_t size;    /* of a directory: of its entries */
	time_t modified;
	dev_t device;     /* with inode: which file it was when we looked */
	ino_t inode;
	uint8_t *entries; /* of a directory */
	uint32_t cluster, clusters; /* cluster 0: it has none */
};

struct fat_tree {
	int fd; /* of the directory */
	struct fat_node *nodes;
	uint32_t count, room;
	uint32_t left_out; /* links, devices, sockets */
};

/* Looks at the whole directory. `path` is for sentences. */
int fat_scan(struct fat_tree *tree, const char *path, struct err *err);
void fat_tree_free(struct fat_tree *tree);
/* Opens a node again, if it still is what it was: a descriptor or -errno. No link is followed. */
int fat_node_open(const struct fat_tree *tree, uint32_t number);
/* Fills `entries` of all directories, once clusters are given out. */
void fat_write_entries(struct fat_tree *tree);

#endif
