/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Monitors: see monitor.h.
 *
 * A chardev belongs to a device, so each monitor is one by looks: it is not among the board's
 * devices, and so in no snapshot.
 */
#include "manage/monitor.h"

#include "core/chardev.h"
#include "host/memory.h"
#include "manage/chardevs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 4096, OUT_ENOUGH = 64 << 10, OUT_MAX = 32 << 20 };

struct monitor {
	struct dev dev; /* only what chardev_claim looks at */
	struct vmm *vmm;
	struct chardev *chardev;
	const struct monitor_protocol *protocol;
	void *session; /* NULL: no peer */
	char *out;     /* sent, not taken yet */
	size_t out_size;
	struct monitor *next;
};

static const struct dev_class monitor_class = {
	.name = "monitor",
	.summary = "looks like a device to a chardev",
	.size = sizeof(struct monitor),
	.board_only = true,
};

static struct monitor *to_monitor(struct dev *dev)
{
	return container_of(dev, struct monitor, dev);
}

struct vmm *monitor_vmm(struct monitor *monitor)
{
	return monitor->vmm;
}

static void flush(struct monitor *m)
{
	size_t sent;

	if (!m->out_size)
		return;
	sent = chardev_send(m->chardev, (const uint8_t *)m->out, m->out_size);
	m->out_size -= MIN(sent, m->out_size);
	memmove(m->out, m->out + sent, m->out_size);
}

void monitor_send(struct monitor *m, const char *bytes, size_t count)
{
	if (!m->session || count > OUT_MAX - m->out_size)
		return;
	board_lock(m->dev.board);
	m->out = must_realloc(m->out, m->out_size + count + 1);
	memcpy(m->out + m->out_size, bytes, count);
	m->out_size += count;
	flush(m);
	board_unlock(m->dev.board);
}

static unsigned on_can_receive(struct dev *dev)
{
	struct monitor *m = to_monitor(dev);

	return m->session && m->out_size < OUT_ENOUGH ? CHUNK : 0;
}

static void on_receive(struct dev *dev, const uint8_t *bytes, size_t count)
{
	struct monitor *m = to_monitor(dev);

	if (m->session)
		m->protocol->receive(m, m->session, (const char *)bytes, count);
}

static void on_opened(struct dev *dev, bool open)
{
	struct monitor *m = to_monitor(dev);

	if (m->session)
		m->protocol->close(m->session);
	m->session = NULL;
	m->out_size = 0;
	if (!open)
		return;
	m->session = m; /* so that the greeting gets out */
	m->session = m->protocol->open(m);
}

static void on_sent(struct dev *dev)
{
	struct monitor *m = to_monitor(dev);

	flush(m);
	chardev_poll_receive(m->chardev);
}

static const struct chardev_events monitor_events = {
	.can_receive = on_can_receive,
	.receive = on_receive,
	.opened = on_opened,
	.sent = on_sent,
	.while_stopped = true,
};

int monitor_add(struct vmm *vmm, const char *chardev, const struct monitor_protocol *protocol,
		struct err *err)
{
	struct chardev *found = chardev_find(vmm->board, chardev);
	struct monitor *m, **at = &vmm->monitors;
	int error;

	if (!found)
		return fail(err, ENOENT, "there is no chardev \"%s\" for a monitor; add -chardev ...,id=%s",
			    chardev, chardev);
	m = must_alloc(sizeof(*m));
	m->vmm = vmm;
	m->chardev = found;
	m->protocol = protocol;
	m->dev = (struct dev){ .class = &monitor_class, .board = vmm->board,
			       .id = must_format("monitor on %s", chardev) };
	while (*at)
		at = &(*at)->next;
	*at = m;
	board_lock(vmm->board);
	error = chardev_claim(found, &m->dev, &monitor_events, err);
	board_unlock(vmm->board);
	return error;
}

void monitors_free(struct vmm *vmm)
{
	while (vmm->monitors) {
		struct monitor *m = vmm->monitors;

		vmm->monitors = m->next;
		if (m->session)
			m->protocol->close(m->session);
		free(m->out);
		free(m->dev.id);
		free(m);
	}
}

void monitors_tell(struct vmm *vmm, const char *event, const char *reason)
{
	const struct monitor_event what = {
		.name = event,
		.reason = reason,
		.by_guest = reason && !strncmp(reason, "guest-", 6),
	};

	for (struct monitor *m = vmm->monitors; m; m = m->next)
		if (m->session && m->protocol->event)
			m->protocol->event(m, m->session, &what);
}

/* DEV as after -serial. */
static int open_short(struct vmm *vmm, const char *text, unsigned number,
		      const struct monitor_protocol *protocol, struct err *err)
{
	char *id;
	int error = 0;

	if (!strcmp(text, "none"))
		return 0;
	if (!strncmp(text, "chardev:", 8))
		return monitor_add(vmm, text + 8, protocol, err);
	id = must_format("compat_monitor%u", number);
	if (!chardev_find(vmm->board, id))
		error = chardev_open_short(vmm->board, vmm->loop, text, id, err);
	if (!error)
		error = monitor_add(vmm, id, protocol, err);
	free(id);
	return error;
}

/* -mon chardev=ID[,mode=]; on a mux the monitor has the end of its own. */
static int open_mon(struct vmm *vmm, const char *text, struct err *err)
{
	const struct monitor_protocol *protocol = &hmp_protocol;
	const char *mode, *chardev;
	struct options options;
	char *on_mux = NULL;
	bool pretty;
	int error = options_parse(&options, "-mon", text, "chardev", err);

	mode = options_get(&options, "mode");
	chardev = options_get(&options, "chardev");
	options_get(&options, "id");
	if (!error)
		error = options_bool(&options, "pretty", false, &pretty, err);
	if (!error)
		error = options_check(&options, err);
	if (!error && !chardev)
		error = fail(err, EINVAL, "-mon needs chardev=");
	if (!error && mode && !strcmp(mode, "control"))
		protocol = &qmp_protocol;
	else if (!error && mode && strcmp(mode, "readline"))
		error = fail(err, EINVAL, "-mon: mode is readline or control, not \"%s\"", mode);
	if (!error) {
		on_mux = must_format("%s-mon", chardev);
		error = monitor_add(vmm, chardev_find(vmm->board, on_mux) ? on_mux : chardev,
				    protocol, err);
	}
	free(on_mux);
	options_free(&options);
	return error;
}

/* "mon:" means a monitor behind Ctrl-A C, without another word. */
static int open_behind_muxes(struct vmm *vmm, struct err *err)
{
	const struct config *config = vmm->config;
	int error = 0;

	for (unsigned i = 0; i < config->serials.count && !error; i++) {
		char id[32];
		struct chardev *chardev;

		snprintf(id, sizeof(id), "serial%u-mon", i);
		chardev = chardev_find(vmm->board, id);
		if (chardev && !chardev_user(chardev) &&
		    !strncmp(config->serials.list[i], "mon:", 4))
			error = monitor_add(vmm, id, &hmp_protocol, err);
	}
	return error;
}

int monitors_open(struct vmm *vmm, struct err *err)
{
	const struct config *config = vmm->config;
	unsigned number = 0;
	int error = 0;

	for (unsigned i = 0; i < config->monitors.count && !error; i++)
		error = open_short(vmm, config->monitors.list[i], number++, &hmp_protocol, err);
	for (unsigned i = 0; i < config->qmps.count && !error; i++)
		error = open_short(vmm, config->qmps.list[i], number++, &qmp_protocol, err);
	for (unsigned i = 0; i < config->mons.count && !error; i++)
		error = open_mon(vmm, config->mons.list[i], err);
	return error ? error : open_behind_muxes(vmm, err);
}
