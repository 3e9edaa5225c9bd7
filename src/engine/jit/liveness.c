/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/* Liveness of status flags, from the end of a block. What the interpreter does reads them all. */
#include "engine/jit/internal.h"

enum { ROTATED = F_CF | F_OF };

static bool is_shift(const struct op_info *info)
{
	unsigned op = info->opcode;

	return info->map == MAP_1 && ((op & 0xfe) == 0xc0 || (op & 0xfc) == 0xd0);
}

static uint16_t shift_replaces(const struct insn *i, const struct op_info *info)
{
	unsigned count = info->opcode >= 0xd2 ? 0 : info->opcode >= 0xd0 ? 1 : (unsigned)i->imm;

	if (!(count & (i->opsize == 8 ? 63 : 31)))
		return 0; /* by CL, or not at all */
	return (i->modrm >> 3 & 7) < 4 ? ROTATED : ALL_FLAGS;
}

uint16_t flags_replaced(const struct insn *i, const struct op_info *info)
{
	if (is_shift(info))
		return shift_replaces(i, info);
	if (info->flags & OP_STRING && i->prefix & (PREFIX_REP | PREFIX_REPNE))
		return 0; /* perhaps not even once */
	if (info->map == MAP_0F && (info->opcode & 0xf6) == 0xa4) { /* SHLD, SHRD */
		bool shifts = !(info->opcode & 1) && i->imm & (i->opsize == 8 ? 63 : 31);

		return shifts ? ALL_FLAGS : 0;
	}
	return (info->flags_written | info->flags_undefined) & ALL_FLAGS;
}

/* The table says "read" also of flags that are only left as they were. */
static bool only_leaves_flags(const struct insn *i, const struct op_info *info)
{
	unsigned op = info->opcode, n = i->modrm >> 3 & 7;

	if (info->map == MAP_1)
		return ((op & 0xfe) == 0xfe && n < 2) || (op & 0xf0) == 0x40 || (op & 0xfe) == 0xf8 ||
		       (is_shift(info) && n != 2 && n != 3 /* RCL, RCR */);
	return info->map == MAP_0F && ((op & 0xe7) == 0xa3 || op == 0xba || op == 0xc7 ||
				      (op & 0xf6) == 0xa4);
}

uint16_t flags_needed(const struct insn *i, const struct op_info *info)
{
	return only_leaves_flags(i, info) ? 0 : info->flags_read & ALL_FLAGS;
}

/* SWAPGS, STAC, CLAC, CLI, STI, CLD, RDTSC, RDPKRU, MOV from CR: no handler of theirs looks at status flags. */
static bool is_blind(const struct insn *i, const struct op_info *info)
{
	if (info->map == MAP_0F)
		return info->opcode == 0x31 || info->opcode == 0x20 ||
		       (info->opcode == 0x01 &&
			(i->modrm == 0xf8 || i->modrm == 0xee || (i->modrm & ~1) == 0xca));
	return info->map == MAP_1 && info->opcode >= 0xfa && info->opcode <= 0xfc;
}

/* Its translation has a way to the interpreter, or may be left before it. */
static bool may_leave(const struct insn *i, const struct op_info *info)
{
	if (vector_need(i))
		return insn_has_memory(i);
	if (!i->op || info->encoding == EVEX || info->flags & (OP_X87 | OP_VECTOR | OP_CPL0 | OP_SYSTEM |
							       OP_STACK | OP_STRING | OP_ENDS_BLOCK))
		return true;
	return (insn_has_memory(i) && info->mem != MEM_ADDRESS) || info->mem == MEM_OPSIZE2 ||
	       (info->map == MAP_1 && (info->opcode & 0xfe) == 0xf6 && (i->modrm >> 3 & 7) >= 6);
}

uint16_t flags_before_exactly(const struct insn *i, const struct op_info *info, uint16_t after)
{
	return may_leave(i, info) ? ALL_FLAGS : flags_before(i, info, after);
}

uint16_t flags_before(const struct insn *i, const struct op_info *info, uint16_t after)
{
	if (vector_need(i))
		return info->flags & OP_PRODUCES_RFLAGS ? 0 : after;
	if (mmx_is_native(i, info))
		return after;
	if (x87_is_native(i, info))
		return x87_flags_before(i, info, after);
	if (info->encoding == LEGACY && is_blind(i, info))
		return after;
	if (info->encoding == EVEX ||
	    info->flags & (OP_X87 | OP_VECTOR | OP_CPL0 | OP_SYSTEM))
		return ALL_FLAGS;
	return (after & ~flags_replaced(i, info)) | flags_needed(i, info);
}
