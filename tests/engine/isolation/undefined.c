/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "undefined.h"

#include "engine/api/object.h"
#include "engine/decode/ops.h"

/* Of shifts, whose OF is defined if this is 1, and who change no flag if it is 0. */
static unsigned shift_count(const struct insn *i, uint64_t rcx)
{
	const struct op_info *info = op_info(i->op);
	unsigned op = info->opcode, mask = i->opsize == 8 ? 63 : 31;

	if (info->map == MAP_1 && (op & ~1u) == 0xd0)
		return 1;
	if ((info->map == MAP_1 && (op & ~1u) == 0xc0) || (info->map == MAP_0F && (op == 0xa4 || op == 0xac)))
		return i->imm & mask;
	return rcx & mask;
}

uint16_t undefined_flags(const struct vm_object *vcpu, const uint8_t *bytes, uint64_t rcx, unsigned *length)
{
	struct insn i = { .start = 0 };
	uint16_t flags;

	*length = decode(vcpu->vcpu, bytes, 15, MODE_CODE64, &i);
	flags = op_info(i.op)->flags_undefined & ~F_AF;
	return flags == F_OF && shift_count(&i, rcx) <= 1 ? 0 : flags;
}
