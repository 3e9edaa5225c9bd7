/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pvpanic: the guest kernel tells that it has crashed.
 *
 * Reading the port says which events are understood; writing one reports it.
 *
 * Manual: Linux, Documentation/firmware-guide/acpi and drivers/misc/pvpanic; QEMU's
 * docs/specs/pvpanic.
 */
#include "core/dev.h"

enum { PANICKED = 1, CRASH_LOADED = 2 };

struct pvpanic {
	struct dev dev;
	uint16_t port;
	uint8_t events;
	uint64_t panics;
};

static const struct field pvpanic_fields[] = {
	SETTING_AS("ioport", struct pvpanic, port, .def = 0x505, .help = "I/O port"),
	SETTING(struct pvpanic, events, .def = PANICKED | CRASH_LOADED, .max = 3,
		.help = "events the guest is told of: 1 panic, 2 crash kernel loaded"),
	COUNTER(struct pvpanic, panics, .help = "events reported"),
	{ 0 }
};

static struct pvpanic *to_pvpanic(struct dev *dev)
{
	return container_of(dev, struct pvpanic, dev);
}

static uint64_t pvpanic_read(struct dev *dev, uint64_t offset, unsigned size)
{
	return to_pvpanic(dev)->events;
}

static void pvpanic_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct pvpanic *p = to_pvpanic(dev);

	if (value & ~(uint64_t)p->events)
		guest_error(dev, "unknown event %#llx", (unsigned long long)value);
	if (!(value & p->events))
		return;
	p->panics++;
	if (value & p->events & PANICKED) /* a loaded crash kernel handles the rest itself */
		board_request(dev->board, BOARD_PANIC, 0);
}

static const struct region pvpanic_region = {
	.name = "pvpanic",
	.min_size = 1,
	.max_size = 1,
	.read = pvpanic_read,
	.write = pvpanic_write,
};

static int pvpanic_attach(struct dev *dev, struct err *err)
{
	return claim_ports(dev, &pvpanic_region, to_pvpanic(dev)->port, 1, err);
}

const struct dev_class pvpanic_class = {
	.name = "pvpanic",
	.summary = "reports a crash of the guest's kernel",
	.size = sizeof(struct pvpanic),
	.fields = pvpanic_fields,
	.attach = pvpanic_attach,
};
