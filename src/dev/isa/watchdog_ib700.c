/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * iB700 watchdog.
 *
 * Writing 0x443 starts or restarts the countdown, writing 0x441 stops it. When
 * it runs out the board acts, as the user chose with -action watchdog=.
 *
 * Manual: iBASE iB700 user's guide, "Watchdog timer".
 */
#include "core/dev.h"

enum { STOP = 0, START = 2, PORT_COUNT = 3 }; /* offsets from `port` */

struct watchdog {
	struct dev dev;
	uint16_t port;
	struct timer expiry;
	uint64_t expiries;
};

static const struct field watchdog_fields[] = {
	SETTING(struct watchdog, port, .def = 0x441, .help = "first I/O port"),
	STATE(struct watchdog, expiry),
	COUNTER(struct watchdog, expiries, .help = "times the guest failed to restart it"),
	{ 0 }
};

static struct watchdog *to_watchdog(struct dev *dev)
{
	return container_of(dev, struct watchdog, dev);
}

static void on_expiry(struct dev *dev)
{
	to_watchdog(dev)->expiries++;
	board_request(dev->board, BOARD_WATCHDOG, 0);
}

static void watchdog_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct watchdog *wd = to_watchdog(dev);

	if (offset == START) /* low four bits: 30 s down to 0 s, in steps of 2 */
		timer_arm(&wd->expiry, dev_now(dev) + (30 - 2 * (value & 15)) * SECOND);
	else if (offset == STOP)
		timer_stop(&wd->expiry);
}

static const struct region watchdog_ports = {
	.name = "watchdog",
	.min_size = 1,
	.max_size = 1,
	.read = read_as_ones,
	.write = watchdog_write,
};

static int watchdog_attach(struct dev *dev, struct err *err)
{
	struct watchdog *wd = to_watchdog(dev);

	claim_timer(dev, &wd->expiry, on_expiry);
	return claim_ports(dev, &watchdog_ports, wd->port, PORT_COUNT, err);
}

static void watchdog_reset(struct dev *dev)
{
	timer_stop(&to_watchdog(dev)->expiry);
}

const struct dev_class watchdog_ib700_class = {
	.name = "ib700",
	.summary = "iB700 watchdog",
	.size = sizeof(struct watchdog),
	.fields = watchdog_fields,
	.attach = watchdog_attach,
	.reset = watchdog_reset,
};
