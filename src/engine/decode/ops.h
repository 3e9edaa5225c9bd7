/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * What is known about every instruction form: one row of opcodes.def (general, system, x87) or
 * vector.def (MMX, SSE, AVX, AVX-512) each. insn.op is the row's number.
 *
 * A row describes fields of the encoding, not assembler operands: what ModRM.reg, ModRM.rm and
 * VEX.vvvv name and whether they are read or written. The access of `rm` is that of the memory
 * operand too, whose size is `mem`.
 */
#ifndef ENGINE_OPS_H
#define ENGINE_OPS_H

#include "engine/decode/insn.h"
#include "engine/sys/features.h"

enum op_encoding { LEGACY, VEX, EVEX };
enum op_map { MAP_1, MAP_0F, MAP_0F38, MAP_0F3A };

/* op_info.reg, .rm, .vvvv: a kind and its access. A vector field's width is for the host to know. */
enum op_field {
	FIELD_NONE,   /* not an operand (vvvv must be 1111b; reg is part of the opcode, or ignored) */
	FIELD_GPR8,
	FIELD_GPR,    /* insn.opsize bytes */
	FIELD_GPR16,
	FIELD_GPR32,  /* 32 bits whatever opsize is */
	FIELD_GPR64,
	FIELD_GPRN,   /* 64 bits in 64-bit mode, else 32 (MOV CR, PMOVMSKB, ...) */
	FIELD_MMX,
	FIELD_VECTOR, /* xmm, ymm or zmm */
	FIELD_MASK,   /* k0 to k7 */
	FIELD_ST,     /* x87 stack register */
	FIELD_SREG,
	FIELD_CR,
	FIELD_DR,
	FIELD_BND,    /* MPX: executed as NOP */
	FIELD_KIND = 0x1f,
	FIELD_READ = 0x40,
	FIELD_WRITTEN = 0x80,
};

static inline unsigned field_kind(uint8_t field)
{
	return field & FIELD_KIND;
}

static inline bool field_is_gpr(uint8_t field)
{
	return field_kind(field) >= FIELD_GPR8 && field_kind(field) <= FIELD_GPRN;
}

/* op_info.mem: bytes of the memory operand, see op_memory_bytes(). */
enum op_memory {
	MEM_NONE,    /* no memory form */
	MEM_1, MEM_2, MEM_4, MEM_8, MEM_10, MEM_16, MEM_32, MEM_64,
	MEM_OPSIZE,  /* insn.opsize */
	MEM_OPSIZE2, /* twice insn.opsize: BOUND, CMPXCHG8B/16B */
	MEM_FAR,     /* insn.opsize + 2: far pointers */
	MEM_TABLE,   /* LGDT and the like: 2 + 4, or 2 + 8 in 64-bit mode */
	MEM_VL,      /* insn.vlen */
	MEM_VL_2, MEM_VL_4, MEM_VL_8, /* half, quarter, eighth of insn.vlen */
	MEM_DUP,     /* VMOVDDUP: 8, 32, 64 */
	MEM_ELEMENTS, /* VSIB: op_info.element bytes each, as many as fit; see OP_VSIB */
	MEM_ENV,     /* FLDENV, FNSTENV: 14 or 28 by opsize */
	MEM_STATE,   /* FNSAVE, FRSTOR: 94 or 108 by opsize */
	MEM_512,     /* FXSAVE, FXRSTOR */
	MEM_XSAVE,   /* depends on masks and CPUID */
	MEM_ADDRESS, /* the address itself, nothing is accessed: LEA, PREFETCH, INVLPG, NOP Ev */
};

enum op_imm {
	IMM_NONE,
	IMM_8,      /* sign-extended to opsize for general instructions, as is for vectors */
	IMM_U8,     /* zero-extended: ports, INT, shift counts */
	IMM_16,     /* zero-extended: RET */
	IMM_Z,      /* 2 or 4 bytes by opsize, sign-extended */
	IMM_V,      /* 2, 4 or 8 bytes by opsize: MOV r64, imm64 */
	IMM_REL8, IMM_RELZ, /* branch displacement; insn.imm is the target counted from the block */
	IMM_FAR,    /* ptr16:16, ptr16:32 */
	IMM_ENTER,  /* imm16, imm8 */
	IMM_MOFFS,  /* addrsize bytes, in insn.disp */
	IMM_IS4,    /* imm8 whose high half is a vector register */
	IMM_88,     /* two bytes: EXTRQ, INSERTQ */
	IMM_ONE,    /* 1, not encoded: shifts D0, D1 */
};

/* op_info.opsize: how insn.opsize follows from mode and prefixes. */
enum op_size {
	SIZE_V,   /* 2, 4 (66 toggles), 8 with REX.W */
	SIZE_B,   /* 1 */
	SIZE_D64, /* 8 in 64-bit mode, 2 with 66; else as SIZE_V */
	SIZE_F64, /* 8 in 64-bit mode whatever the prefixes; else as SIZE_V */
	SIZE_Y,   /* 4, or 8 with REX.W or VEX.W in 64-bit mode; 66 does not matter */
	SIZE_N,   /* 8 in 64-bit mode, else 4 */
	SIZE_W,   /* 2 */
	SIZE_Z,   /* 2 or 4: SIZE_V without 8 */
};

/* op_info.flags */
enum op_flag {
	OP_MODRM = 1,
	OP_REG_FORM = 2,     /* ModRM.mod == 3 allowed */
	OP_MEM_FORM = 4,     /* other ModRM.mod allowed */
	OP_LOCK = 8,         /* LOCK allowed (memory form) */
	OP_CPL0 = 0x10,      /* #GP outside ring 0 */
	OP_SYSTEM = 0x20,    /* handler in sys/: I/O, segments, gates: a user process is no oracle */
	OP_BRANCH = 0x40,
	OP_ENDS_BLOCK = 0x80, /* branches, and what changes mode, maps or interrupt state */
	OP_X87 = 0x100,      /* exec is exec_x87 */
	OP_VECTOR = 0x200,   /* exec is exec_vector */
	OP_STRING = 0x400,   /* implicit DS:rSI and/or ES:rDI; REP allowed */
	OP_PRODUCES_RFLAGS = 0x800, /* vector instructions that write RFLAGS: COMIS, PTEST, PCMPxSTRx */
	/* Implicit operands of vector instructions. */
	OP_READS_EAX_EDX = 0x1000,  /* PCMPESTRx: lengths (RAX, RDX with REX.W) */
	OP_WRITES_ECX = 0x2000,     /* PCMPxSTRI */
	OP_DI_STORE = 0x4000,       /* MASKMOVQ, MASKMOVDQU: bytes at seg:rDI */
	/* EVEX. */
	OP_BROADCAST = 0x8000,      /* EVEX.b with memory: one element of `element` bytes */
	OP_ROUNDING = 0x10000,      /* EVEX.b with registers: rounding in L'L, all exceptions masked */
	OP_SAE = 0x20000,           /* EVEX.b with registers: all exceptions masked */
	OP_MASKABLE = 0x40000,      /* EVEX.aaa may be non-zero */
	OP_ZEROABLE = 0x80000,      /* EVEX.z allowed (with a register destination) */
	OP_MUST_MASK = 0x100000,    /* EVEX.aaa must not be 0 */
	OP_MASK_ELEMENTS = 0x200000, /* masked-off elements are not accessed in memory: `element` bytes
				      * each. Compress/expand: only as many as mask bits are set */
	OP_DISP8_ELEMENT = 0x400000, /* disp8 counts elements, not whole operands */
	OP_SCALAR = 0x800000,       /* vector length ignored */
	/* VSIB: ModRM.rm = 100b, SIB.index is a vector register. */
	OP_VSIB32 = 0x1000000,      /* indices are 32 bits */
	OP_VSIB64 = 0x2000000,      /* indices are 64 bits */
	OP_SCATTER = 0x4000000,
	OP_ALIGNED = 0x8000000,     /* memory operand must be naturally aligned: #GP */
	OP_NO_VL = 0x10000000,      /* EVEX.128 that needs no AVX512VL */
	OP_SIZED = 0x20000000,      /* exec is a table by form and size */
	OP_STACK = 0x40000000,      /* PUSH, POP, CALL, RET, ...: implicit SS:rSP */
};
#define OP_ANY_VSIB (OP_VSIB32 | OP_VSIB64)

struct op_info {
	const char *mnemonic;
	op_fn *const *exec;       /* one handler, or with OP_SIZED eight: [memory form][1, 2, 4, 8] */
	uint32_t match;           /* which encodings the row is for: decode/opcodes.def */
	uint32_t flags;           /* enum op_flag */
	uint16_t flags_read;      /* RFLAGS bits, F_* */
	uint16_t flags_written;   /* defined afterwards (or unchanged when a count is 0) */
	uint16_t flags_undefined;
	uint8_t encoding, map, opcode;
	uint8_t feature;          /* enum feature */
	uint8_t feature2;         /* also needed; EVEX vectors below 512 bits need AVX512VL besides */
	uint8_t reg, rm, vvvv;    /* enum op_field */
	uint8_t mem;              /* enum op_memory */
	uint8_t imm;              /* enum op_imm */
	uint8_t element;          /* bytes: broadcast, masking, gather; 0 where it does not matter */
	uint8_t opsize;           /* enum op_size */
	uint8_t arg;              /* for the handler: PUSH/POP/LxS segment register, condition, ... */
};

const struct op_info *op_info(uint16_t op);
unsigned op_count(void);

/* Bytes of the memory operand, broadcast aside. 0: MEM_NONE, MEM_ADDRESS, MEM_XSAVE, MEM_ELEMENTS. */
unsigned op_memory_bytes(const struct op_info *info, const struct insn *i, bool code64);

/*
 * What decode() leaves in insn.imm of OP_VECTOR and OP_X87 instructions; interp/ hands it with the
 * instruction's bytes to fpu_prepare(), which puts its stub there. In these instructions insn.reg,
 * .rm (register form) and .vvvv are register numbers 0 to 31; 0 to 7 for MMX, masks and x87.
 */
struct vector_bits {
	uint8_t imm8;
	uint8_t prefix_bytes; /* legacy prefixes (REX included) before opcode, 0F, VEX or EVEX */
	uint8_t opcode_at;    /* offset of the last opcode byte; ModRM follows it */
	uint8_t vsib_index;   /* vector register of the index; insn.index is GPR_ZERO */
	uint8_t mask;         /* EVEX.aaa */
	bool zeroing;         /* EVEX.z */
	bool b;               /* EVEX.b: broadcast, rounding or SAE */
	uint8_t pp;           /* mandatory prefix: 0, 0x66, 0xf3, 0xf2 */
};

static inline struct vector_bits vector_bits(const struct insn *i)
{
	union {
		uint64_t imm;
		struct vector_bits bits;
	} both = { .imm = i->imm };

	return both.bits;
}

#endif
