/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See monitor_rig.h. */
#include "monitor_rig.h"

#include "host/loop.h"
#include "host/memory.h"
#include "manage/keys.h"

#include <stdlib.h>
#include <string.h>

static size_t take(void *peer, const uint8_t *bytes, size_t count)
{
	struct monitor_rig *rig = peer;

	count = MIN(count, rig->takes);
	rig->takes -= count;
	rig->said = must_realloc(rig->said, rig->said_size + count + 1);
	memcpy(rig->said + rig->said_size, bytes, count);
	rig->said_size += count;
	rig->said[rig->said_size] = 0;
	return count;
}

static const struct chardev_driver peer_driver = { .name = "peer", .send = take };

struct monitor_rig *monitor_rig_new(const struct monitor_protocol *protocol)
{
	struct monitor_rig *rig = must_alloc(sizeof(*rig));
	struct err err = { 0 };

	config_init(&rig->config);
	rig->takes = SIZE_MAX;
	rig->said = must_strdup("");
	rig->vmm.config = &rig->config;
	rig->vmm.accel_name = "soft";
	rig->vmm.loop = loop_new();
	rig->vmm.board = board_new(&(struct board_options){ .loop = rig->vmm.loop }, &err);
	rig->vmm.typist = typist_new(&rig->vmm);
	rig->vmm.on_event = monitors_tell;
	vmm_observe(&rig->vmm);
	rig->chardev = chardev_new(rig->vmm.board, "peer", &peer_driver, rig, &err);
	if (monitor_add(&rig->vmm, "peer", protocol, &err))
		abort();
	chardev_set_open(rig->chardev, true);
	return rig;
}

void monitor_rig_free(struct monitor_rig *rig)
{
	board_free(rig->vmm.board);
	monitors_free(&rig->vmm);
	typist_free(rig->vmm.typist);
	loop_free(rig->vmm.loop);
	config_free(&rig->config);
	free(rig->said);
	free(rig);
}

const char *monitor_rig_send(struct monitor_rig *rig, const void *bytes, size_t count)
{
	const uint8_t *at = bytes;

	rig->said_size = 0;
	rig->said[0] = 0;
	while (count) {
		size_t room = MIN(chardev_room(rig->chardev), count);

		if (!room)
			break;
		chardev_deliver(rig->chardev, at, room);
		at += room;
		count -= room;
	}
	return rig->said;
}

const char *monitor_rig_say(struct monitor_rig *rig, const char *text)
{
	return monitor_rig_send(rig, text, strlen(text));
}
