/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "undefined.h"

#include "engine/api/object.h"
#include "engine/decode/ops.h"

uint16_t undefined_flags(const struct vm_object *vcpu, const uint8_t *bytes, unsigned *length)
{
	struct insn i = { .start = 0 };
	uint16_t flags;

	*length = decode(vcpu->vcpu, bytes, 15, MODE_CODE64, &i);
	flags = op_info(i.op)->flags_undefined & ~F_AF;
	return flags == F_OF ? 0 : flags;
}
