/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * The opcode tables, from opcodes.def and vector.def.
 *
 * Row 0 stands for whatever no row describes: #UD.
 */
#include "engine/decode/internal.h"
#include "engine/interp/exec.h"
#include "engine/interp/handlers.h"

/* Short names the .def files use. */
enum {
	NO = FIELD_NONE,
	ACC = FIELD_ACC,
	RD = FIELD_READ,
	WR = FIELD_WRITTEN,
	RW = FIELD_READ | FIELD_WRITTEN,
#define KIND(letter, kind)                                                                         \
	letter##_R = FIELD_##kind | RD, letter##_W = FIELD_##kind | WR, letter##_RW = FIELD_##kind | RW
	KIND(B, GPR8),
	KIND(G, GPR),
	KIND(W, GPR16),
	KIND(D, GPR32),
	KIND(CRC, GPR32),
	KIND(Q, GPR64),
	KIND(N, GPRN),
	KIND(S, SREG),
	KIND(C, CR),
	KIND(T, DR),
	KIND(ST, ST),
	KIND(V, VECTOR),
	KIND(P, MMX),
	KIND(K, MASK),
	NO_IMM = IMM_NONE,
	M = OP_MODRM | OP_MEM_FORM,
	R = OP_MODRM | OP_REG_FORM,
	MR = M | R,
	SIZED = OP_SIZED,
	LOCK = OP_LOCK | OP_SIZED,
	LOCKABLE = OP_LOCK,
	CPL0 = OP_CPL0,
	SYSTEM = OP_SYSTEM,
	BRANCH = OP_BRANCH | OP_ENDS_BLOCK,
	END = OP_ENDS_BLOCK,
	X87 = OP_X87,
	STRING = OP_STRING,
	STACK = OP_STACK,
	PRODUCES_RFLAGS = OP_PRODUCES_RFLAGS,
	READS_EAX_EDX = OP_READS_EAX_EDX,
	WRITES_ECX = OP_WRITES_ECX,
	DI_STORE = OP_DI_STORE,
	BC = OP_BROADCAST,
	ER = OP_ROUNDING,
	SAE = OP_SAE,
	K = OP_MASKABLE,
	Z = OP_ZEROABLE,
	MUSTK = OP_MUST_MASK,
	ME = OP_MASK_ELEMENTS,
	D8E = OP_DISP8_ELEMENT,
	SCALAR = OP_SCALAR,
	NO_VL = OP_NO_VL,
	VSIB32 = OP_VSIB32,
	VSIB64 = OP_VSIB64,
	SCATTER = OP_SCATTER,
	ALIGNED = OP_ALIGNED,
	ALL = F_STATUS,
};
#define ONE(handler) (op_fn *const[]){ handler }
#define FL(read, written, undefined)                                                               \
	((uint64_t)(read) | (uint64_t)(written) << 16 | (uint64_t)(undefined) << 32)
#define NOFL FL(0, 0, 0)

static const struct op_info rows[] = {
	{ .mnemonic = "(invalid)", .exec = ONE(exec_ud), .flags = OP_ENDS_BLOCK },
#define ROW(Encoding, Map, Opcode, Match, Name, Reg, Vvvv, Rm, Mem, Imm, Size, Flags, Rflags, F, F2, \
	    Exec, Arg, Element)                                                                    \
	{ .encoding = (Encoding), .map = MAP_##Map, .opcode = (Opcode), .match = (Match),          \
	  .mnemonic = (Name), .reg = (Reg), .vvvv = (Vvvv), .rm = (Rm), .mem = (Mem), .imm = (Imm), \
	  .opsize = (Size), .flags = (Flags), .flags_read = (uint16_t)(Rflags),                    \
	  .flags_written = (uint16_t)((Rflags) >> 16),                                             \
	  .flags_undefined = (uint16_t)((Rflags) >> 32), .feature = FEATURE_##F,                   \
	  .feature2 = FEATURE_##F2, .exec = (Exec), .arg = (Arg), .element = (Element) },
#define OP(map, opcode, match, name, reg, rm, mem, imm, size, flags, rflags, feature, exec, arg)   \
	ROW(LEGACY, map, opcode, match, name, reg, NO, rm, mem, imm, size, flags, rflags, feature, \
	    NONE, exec, arg, 0)
#define VX(map, opcode, match, name, reg, vvvv, rm, mem, imm, size, flags, rflags, feature, exec)  \
	ROW(VEX, map, opcode, match, name, reg, vvvv, rm, mem, imm, size, flags, rflags, feature,  \
	    NONE, exec, 0, 0)
#include "engine/decode/opcodes.def"
#undef OP
#undef VX
#undef ROW
#define V(Encoding, Map, Opcode, Match, Name, F, F2, Reg, Vvvv, Rm, Mem, Imm, Element, Flags)      \
	{ .encoding = (Encoding), .map = (Map), .opcode = (Opcode), .match = (Match),              \
	  .mnemonic = (Name), .feature = FEATURE_##F, .feature2 = FEATURE_##F2, .reg = (Reg),      \
	  .vvvv = (Vvvv), .rm = (Rm), .mem = (Mem), .imm = (Imm), .element = (Element),            \
	  .opsize = SIZE_Y, .flags = (Flags) | OP_MODRM | OP_VECTOR, .exec = ONE(exec_vector),     \
	  .flags_written = (Flags) & OP_PRODUCES_RFLAGS ? F_STATUS : 0 },
#include "engine/decode/vector.def"
#undef V
	{ .mnemonic = "(end)", .exec = ONE(exec_ud) },
};

/* Rows of one opcode override each other here: the last one stays. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
enum { FIRST = __COUNTER__ };
static const uint16_t last_rows[3][4][256] = {
#define OP(map, opcode, ...)          [LEGACY][MAP_##map][opcode] = __COUNTER__ - FIRST,
#define VX(map, opcode, ...)          [VEX][MAP_##map][opcode] = __COUNTER__ - FIRST,
#define V(encoding, map, opcode, ...) [encoding][map][opcode] = __COUNTER__ - FIRST,
#include "engine/decode/opcodes.def"
#include "engine/decode/vector.def"
};
#pragma GCC diagnostic pop

uint16_t last_row(enum op_encoding encoding, enum op_map map, uint8_t opcode)
{
	return last_rows[encoding][map][opcode];
}

const struct op_info *op_info(uint16_t op)
{
	return &rows[op];
}

unsigned op_count(void)
{
	return ARRAY_LEN(rows) - 1;
}

const char *insn_mnemonic(const struct insn *i)
{
	return rows[i->op].mnemonic;
}

unsigned op_memory_bytes(const struct op_info *info, const struct insn *i, bool code64)
{
	static const uint8_t fixed[] = {
		[MEM_1] = 1, [MEM_2] = 2, [MEM_4] = 4, [MEM_8] = 8,
		[MEM_10] = 10, [MEM_16] = 16, [MEM_32] = 32, [MEM_64] = 64,
	};

	switch (info->mem) {
	case MEM_OPSIZE:
		return i->opsize;
	case MEM_OPSIZE2:
		return 2u * i->opsize;
	case MEM_FAR:
		return i->opsize + 2u;
	case MEM_TABLE:
		return code64 ? 10 : 6;
	case MEM_VL:
		return i->vlen;
	case MEM_VL_2:
		return i->vlen / 2u;
	case MEM_VL_4:
		return i->vlen / 4u;
	case MEM_VL_8:
		return i->vlen / 8u;
	case MEM_DUP:
		return i->vlen == 16 ? 8 : i->vlen;
	case MEM_ENV:
		return i->opsize == 2 ? 14 : 28;
	case MEM_STATE:
		return i->opsize == 2 ? 94 : 108;
	case MEM_512:
		return 512;
	case MEM_NONE:
	case MEM_ADDRESS:
	case MEM_XSAVE:
	case MEM_ELEMENTS:
		return 0;
	default:
		return fixed[info->mem];
	}
}
