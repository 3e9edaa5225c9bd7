/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/* Between decode.c and tables.c. */
#ifndef DECODE_INTERNAL_H
#define DECODE_INTERNAL_H

#include "engine/decode/ops.h"

/* op_info.match: a group of bits that is all zero matches anything. */
enum {
	ANY = 0,
	P_NP = 1, P_66 = 2, P_F3 = 4, P_F2 = 8, P_NP66 = P_NP | P_66,
	W0 = 0x10, W1 = 0x20,
	L0 = 0x40, L1 = 0x80, L2 = 0x100,
	NOT64 = 0x200, ONLY64 = 0x400,
	IF_FEATURE = 0x800, /* without the feature the next row is for these bytes, not #UD */
	MATCH_REG_SHIFT = 12,
	MATCH_RM_SHIFT = 20,
	ANYMOD = 0x10000000, /* ModRM.mod is ignored: always the register form */
	MATCH_P = 0xf, MATCH_W = 0x30, MATCH_L = 0x1c0, MATCH_MODE = 0x600,
	MATCH_REG = 0xff << MATCH_REG_SHIFT, MATCH_RM = 0xff << MATCH_RM_SHIFT,
};
#define REG(n) (1 << (MATCH_REG_SHIFT + (n)))
#define RM(n)  (1 << (MATCH_RM_SHIFT + (n)))

enum { FIELD_ACC = 0x20 }; /* in op_info.rm, without ModRM: the accumulator */

/* The last row for an opcode (rows of an opcode stand together); 0: none. */
uint16_t last_row(enum op_encoding encoding, enum op_map map, uint8_t opcode);

enum { ROW_INVALID = 0 };

#endif
