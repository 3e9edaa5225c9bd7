/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What rig.c and rig_random.c share. */
#ifndef TESTS_RIG_INTERNAL_H
#define TESTS_RIG_INTERNAL_H

#include "rig.h"

struct chardev;
struct netdev;

struct rig_disk {
	uint8_t *data;
	int error;
};

struct rig_char {
	struct chardev *chardev;
	uint8_t sent[65536];
	size_t count;
	uint32_t hash;
	bool choked;
};

struct rig_net {
	struct netdev *netdev;
	uint8_t last[65536 + 64];
	size_t bytes;
	unsigned count;
	uint32_t hash;
};

struct rig {
	struct board *board;
	struct dev *dev;
	struct ram *ram;
	struct rig_disk disks[RIG_DISKS];
	struct rig_char chars[RIG_CHARDEVS];
	struct rig_net nets[2];
	bool hold;
	unsigned edges[64];
	unsigned msi_count;
	uint64_t msi_address;
	uint32_t msi_data;
	unsigned requests[16];
	int request_code;
	uint64_t bars[7], next_bar;
};

#endif
