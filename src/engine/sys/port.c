/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * IN and OUT, and who may use which port.
 *
 * Where the VMM asked for VMware's backdoor, its two ports are open to all: that is KVM's module
 * parameter enable_vmware_backdoor. Its pseudo performance counters are not modelled.
 *
 * Manual: SDM 1 19.5 (I/O privilege level and permission bitmap); SDM 2 "IN", "OUT".
 */
#include "engine/mmu/io.h"
#include "engine/sys/internal.h"

enum { VMWARE_PORT = 0x5658, VMWARE_RPC_PORT = 0x5659 };

static bool is_backdoor(const struct vcpu *c, uint16_t port)
{
	return c->vm->vmware_backdoor && (port == VMWARE_PORT || port == VMWARE_RPC_PORT);
}

void io_permission_check(struct vcpu *c, uint16_t port, unsigned size)
{
	const struct segment *tr = &c->seg[TR];
	uint32_t map, at, bits;

	if (!(c->mode & MODE_PROTECTED) || (!(c->mode & MODE_VM86) && c->cpl <= iopl(c)))
		return;
	if (is_backdoor(c, port))
		return;
	if (tr->rights & SEG_UNUSABLE || (tr->rights & SEG_TYPE) < TYPE_TSS32 || tr->limit < 0x67)
		raise_gp(c);
	map = mem_read_system(c, tr->base + 0x66, 2);
	at = map + port / 8;
	if (at + 1 > tr->limit) /* two bytes are read: a range may cross into the second */
		raise_gp(c);
	bits = mem_read_system(c, tr->base + at, 2) >> port % 8;
	if (bits & (BIT(size) - 1))
		raise_gp(c);
}

static void in(struct vcpu *c, const struct insn *i, uint16_t port)
{
	unsigned size = i->opsize;
	uint32_t value;

	io_permission_check(c, port, size);
	value = port_read(c, port, size);
	io_commit(c);
	if (c->mode & MODE_STEP)
		debug_check_port(c, port, size);
	if (size == 1)
		c->gpr[RAX] = (c->gpr[RAX] & ~0xffull) | (uint8_t)value;
	else
		gpr_write(c, RAX, size, value);
	return next(c, i);
}

static void out(struct vcpu *c, const struct insn *i, uint16_t port)
{
	unsigned size = i->opsize;

	io_permission_check(c, port, size);
	port_write(c, port, size, c->gpr[RAX] & (BIT(8 * size) - 1));
	io_commit(c);
	if (c->mode & MODE_STEP)
		debug_check_port(c, port, size);
	return next(c, i);
}

void exec_in_imm(struct vcpu *c, const struct insn *i)
{
	return in(c, i, i->imm & 0xff);
}

void exec_in_dx(struct vcpu *c, const struct insn *i)
{
	return in(c, i, c->gpr[RDX]);
}

void exec_out_imm(struct vcpu *c, const struct insn *i)
{
	return out(c, i, i->imm & 0xff);
}

void exec_out_dx(struct vcpu *c, const struct insn *i)
{
	return out(c, i, c->gpr[RDX]);
}
