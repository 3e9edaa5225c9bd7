/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * A decoded instruction, and the decoder.
 *
 * Effective address: gpr[base] + (gpr[index] << scale) + disp, truncated to addrsize. Absent parts
 * are GPR_ZERO. RIP-relative: base GPR_BLOCK and disp counted from the block's first byte.
 */
#ifndef ENGINE_INSN_H
#define ENGINE_INSN_H

#include "engine/vcpu.h"

struct insn;
typedef void op_fn(struct vcpu *c, const struct insn *i);

enum insn_prefix { PREFIX_LOCK = 1, PREFIX_REP = 2, PREFIX_REPNE = 4, PREFIX_OPSIZE = 8,
		   PREFIX_REX = 16, PREFIX_REX_W = 32, PREFIX_VEX = 64, PREFIX_EVEX = 128 };

struct insn {
	op_fn *exec;
	uint64_t imm;     /* sign-extended immediate. Far pointer: offset | selector << 32.
	                   * ENTER: size | level << 16. Branches: target counted from the block's
	                   * first byte. Vector and x87: the stub, see fpu/ and ops.h */
	int64_t disp;     /* displacement; MOV moffs: the address */
	uint16_t op;      /* the row: see ops.h */
	uint8_t start;    /* offset of the first byte from the block's */
	uint8_t length;
	uint8_t opsize;   /* 1, 2, 4, 8 bytes: of the operation */
	uint8_t addrsize; /* 2, 4, 8 */
	uint8_t seg;      /* of the memory operand: enum segment_register; default applied */
	uint8_t base, index, scale;
	uint8_t modrm;    /* as encoded; mod == 3 means register operand */
	uint8_t reg;      /* ModRM.reg with REX.R. Byte registers: AH CH DH BH are 16 to 19 */
	uint8_t rm;       /* ModRM.rm with REX.B, or the register in the opcode; bytes as above */
	uint8_t prefix;   /* enum insn_prefix */
	uint8_t vvvv;     /* VEX/EVEX register operand */
	uint8_t vlen;     /* vector bytes: 16, 32, 64; 0 when not a vector instruction */
};

enum { BYTE_AH = 16, BYTE_CH, BYTE_DH, BYTE_BH };

static inline bool insn_has_memory(const struct insn *i)
{
	return i->modrm < 0xc0;
}

/*
 * Decodes one instruction for `mode` (MODE_CODE32, MODE_CODE64 matter) and the vCPU's CPUID
 * features. Always yields an executable insn: invalid bytes become #UD, over-long ones #GP.
 * Returns its length, or 0 when `available` bytes are not enough. `start` is taken from *out:
 * RIP-relative displacements and branch targets count from there. Pure: fpu_prepare is the
 * caller's.
 */
unsigned decode(const struct vcpu *c, const uint8_t *bytes, unsigned available, uint32_t mode,
		struct insn *out);
const char *insn_mnemonic(const struct insn *i);

#endif
