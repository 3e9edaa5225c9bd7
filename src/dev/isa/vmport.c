/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * VMware's backdoor port: a hypercall made by reading a port.
 *
 * The guest puts a magic number in EAX, a command in CX, 0x5658 in DX, and executes IN EAX, DX.
 * Answers come in registers too. A read without the magic number finds an empty bus, and so does
 * an unknown command, which leaves the registers alone.
 *
 * Manual: open-vm-tools, lib/include/backdoor_def.h.
 * Not modelled: all commands but "get version" and the pointer's (vmmouse.c): the clock, RPC at
 * 0x5659, ...
 */
#include "core/dev.h"

enum { GET_VERSION = 10, VERSION = 6, PRODUCT_SERVER = 2 };
#define MAGIC 0x564d5868u /* "VMXh" */

struct vmport {
	struct dev dev;
	uint16_t port;
	uint64_t calls;
};

static const struct field vmport_fields[] = {
	SETTING_AS("iobase", struct vmport, port, .def = 0x5658, .help = "I/O port"),
	COUNTER(struct vmport, calls, .help = "commands that were understood"),
	{ 0 }
};

static struct vmport *to_vmport(struct dev *dev)
{
	return container_of(dev, struct vmport, dev);
}

static uint64_t vmport_read(struct dev *dev, uint64_t offset, unsigned size)
{
	struct cpu_registers cpu;

	if (offset || size != 4 || !cpu_registers_get(dev, &cpu) ||
	    (uint32_t)cpu.rax != MAGIC)
		return read_as_ones(dev, offset, size);
	if (backdoor_ask(dev->board, &cpu)) {
		to_vmport(dev)->calls++;
		cpu_registers_set(dev, &cpu);
		return (uint32_t)cpu.rax;
	}
	if ((uint16_t)cpu.rcx != GET_VERSION) {
		guest_error(dev, "command %u is not modelled", (unsigned)(uint16_t)cpu.rcx);
		return read_as_ones(dev, offset, size);
	}
	to_vmport(dev)->calls++;
	cpu.rbx = MAGIC;
	cpu.rcx = PRODUCT_SERVER;
	cpu_registers_set(dev, &cpu);
	return VERSION;
}

static const struct region vmport_region = {
	.name = "vmport",
	.min_size = 1,
	.max_size = 4,
	.read = vmport_read,
	.write = ignore_write,
};

static int vmport_attach(struct dev *dev, struct err *err)
{
	return claim_ports(dev, &vmport_region, to_vmport(dev)->port, 4, err);
}

const struct dev_class vmport_class = {
	.name = "vmport",
	.summary = "VMware's backdoor port",
	.size = sizeof(struct vmport),
	.fields = vmport_fields,
	.attach = vmport_attach,
};
