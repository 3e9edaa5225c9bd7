/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Monitors: a chardev, and a protocol spoken on it (qmp.c for programs, hmp.c for people).
 *
 * Everything here runs on the loop's thread. A monitor listens also while the board stands. What it
 * sends and the peer does not take yet is kept, up to a bound; meanwhile it reads no more commands.
 */
#ifndef MANAGE_MONITOR_H
#define MANAGE_MONITOR_H

#include "manage/vmm.h"

struct monitor;

struct monitor_event {
	const char *name;
	const char *reason; /* or NULL */
	bool by_guest;
};

struct monitor_protocol {
	const char *name;
	void *(*open)(struct monitor *monitor); /* a peer is there: the state of its session */
	void (*receive)(struct monitor *monitor, void *session, const char *bytes, size_t count);
	void (*event)(struct monitor *monitor, void *session, const struct monitor_event *event);
	void (*close)(void *session);
};

extern const struct monitor_protocol qmp_protocol, hmp_protocol;

/* Opens what -monitor, -qmp and -mon ask for, and the one that comes with mon:stdio. */
int monitors_open(struct vmm *vmm, struct err *err);
void monitors_free(struct vmm *vmm); /* after the board */
void monitors_tell(struct vmm *vmm, const char *event, const char *reason);

/* One on a chardev of the board. */
int monitor_add(struct vmm *vmm, const char *chardev, const struct monitor_protocol *protocol,
		struct err *err);
struct vmm *monitor_vmm(struct monitor *monitor);
void monitor_send(struct monitor *monitor, const char *bytes, size_t count);

#endif
