/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A monitor on a board without a VM, and its peer: what it says is collected. */
#ifndef UNIT_MONITOR_RIG_H
#define UNIT_MONITOR_RIG_H

#include "core/chardev.h"
#include "manage/config.h"
#include "manage/monitor.h"

struct monitor_rig {
	struct vmm vmm;
	struct config config;
	struct chardev *chardev;
	char *said;
	size_t said_size;
	size_t takes; /* how much the peer takes yet */
};

struct monitor_rig *monitor_rig_new(const struct monitor_protocol *protocol);
void monitor_rig_free(struct monitor_rig *rig);
/* Sends it, and returns what came back since the last call. */
const char *monitor_rig_say(struct monitor_rig *rig, const char *text);
const char *monitor_rig_send(struct monitor_rig *rig, const void *bytes, size_t count);

#endif
