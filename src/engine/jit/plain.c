/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Instructions of which it is known what general registers they write.
 *
 * keep.c builds on this: an access it lets through unchecked must be where the check was.
 */
#include "engine/jit/internal.h"

static bool is_plain_0f(const struct insn *i, unsigned op)
{
	switch (op) {
	case 0x40 ... 0x4f:
	case 0x80 ... 0x9f:
	case 0xaf:
	case 0xb6:
	case 0xb7:
	case 0xbe:
	case 0xbf:
	case 0xc8 ... 0xcf:
		return true;
	case 0xa3:
	case 0xa4:
	case 0xa5:
	case 0xac:
	case 0xad:
	case 0xba:
	case 0xbc:
	case 0xbd:
		return !insn_has_memory(i);
	default:
		return false;
	}
}

bool insn_is_plain(const struct insn *i, const struct op_info *info)
{
	unsigned op = info->opcode, n = i->modrm >> 3 & 7;

	if (!i->op || i->prefix & PREFIX_LOCK || info->flags & (OP_X87 | OP_STRING | OP_SYSTEM | OP_CPL0))
		return false;
	if (info->flags & OP_VECTOR)
		return !(info->flags & (OP_DI_STORE | OP_ANY_VSIB | OP_WRITES_ECX));
	if (info->encoding != LEGACY || info->map > MAP_0F)
		return false;
	if (info->map == MAP_0F)
		return is_plain_0f(i, op);
	switch (op) {
	case 0x00 ... 0x3f:
		return (op & 7) < 6;
	case 0x86:
	case 0x87:
		return !insn_has_memory(i);
	case 0x90:
		return i->rm == RAX;
	case 0xf6:
	case 0xf7:
		return n < 4;
	case 0xfe:
	case 0xff:
		return n < 2;
	case 0x50 ... 0x5f:
		return i->rm != RSP;
	case 0x63:
	case 0x68 ... 0x6b:
	case 0x70 ... 0x7f:
	case 0x80 ... 0x85:
	case 0x88 ... 0x8b:
	case 0x8d:
	case 0x98:
	case 0x99:
	case 0xb0 ... 0xbf:
	case 0xc0 ... 0xc3:
	case 0xc6:
	case 0xc7:
	case 0xd0 ... 0xd3:
	case 0xe8:
	case 0xe9:
	case 0xeb:
		return true;
	default:
		return false;
	}
}

static uint32_t field_written(uint8_t field, unsigned reg)
{
	if (!(field & FIELD_WRITTEN) || !field_is_gpr(field))
		return 0;
	return 1u << (reg >= BYTE_AH ? reg - BYTE_AH : reg);
}

uint32_t gprs_written(const struct insn *i, const struct op_info *info)
{
	uint32_t regs = field_written(info->reg, i->reg);

	if (!insn_has_memory(i))
		regs |= field_written(info->rm, i->rm);
	if (info->flags & OP_STACK)
		regs |= 1u << RSP;
	if (info->map == MAP_1 && ((info->opcode < 0x40 && (info->opcode & 7) > 3) ||
				   info->opcode == 0x90 || (info->opcode & 0xf8) == 0xb8 ||
				   info->opcode == 0x98))
		regs |= 1u << RAX;
	return info->map == MAP_1 && info->opcode == 0x99 ? regs | 1u << RDX : regs;
}

uint32_t jit_gprs_written(const struct insn *i)
{
	const struct op_info *info = op_info(i->op);

	return insn_is_plain(i, info) ? gprs_written(i, info) : UINT32_MAX;
}
