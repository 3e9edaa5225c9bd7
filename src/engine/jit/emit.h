/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Writes x86-64 instructions for the translator.
 *
 * Registers are the host's numbers 0 to 15. Memory of the vCPU is reached as gs:[offset], counted from
 * its end (vcpu.h, VCPU_BYTES). Running out of room sets `full`; what was written is then thrown away.
 */
#ifndef JIT_EMIT_H
#define JIT_EMIT_H

#include "engine/vcpu.h"

enum host_register { H_RAX, H_RCX, H_RDX, H_RBX, H_RSP, H_RBP, H_RSI, H_RDI, H_R8, H_R9, H_R10,
		     H_R11, H_R12, H_R13, H_R14, H_R15 };

/* The /n of group 81, and of shifts. */
enum alu { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP };
enum shift { SHIFT_SHL = 4, SHIFT_SHR = 5, SHIFT_SAR = 7 };
enum condition { CC_B = 2, CC_AE = 3, CC_E = 4, CC_NE = 5, CC_BE = 6, CC_A = 7 };

struct emitter {
	uint8_t *out;        /* where the next byte is written */
	uint8_t *begin, *end;
	int64_t run_delta;   /* where it will run, minus where it is written */
	bool full;
	uint32_t touched;    /* registers that were operands, as bits; a call touches all */
};

/* What instructions take as an operand. */
static inline bool is_signed_32(uint64_t value)
{
	return (int64_t)value == (int32_t)value;
}

/* A memory operand: [base + index << scale + disp]. */
struct host_memory {
	int8_t base, index; /* -1: absent */
	uint8_t scale;
	int32_t disp;
	bool gs;
	bool is_narrow; /* the sum is cut to 32 bits, before GS's base is added */
};

/* `offset` from the vCPU's beginning. */
static inline struct host_memory at_gs(size_t offset)
{
	return (struct host_memory){ .base = -1, .index = -1, .gs = true,
				     .disp = (int32_t)(offset - VCPU_BYTES) };
}

static inline struct host_memory at_register(unsigned base, int32_t disp)
{
	return (struct host_memory){ .base = (int8_t)base, .index = -1, .disp = disp };
}

void emit_bytes(struct emitter *e, const void *bytes, unsigned count);
void emit_u8(struct emitter *e, unsigned value);
void emit_u32(struct emitter *e, uint32_t value);

/*
 * One instruction with ModRM: `prefix` 0, 0x66, 0xf2 or 0xf3; `map` 1, 0x0f, 0x38 or 0x3a; size in
 * bytes gives REX.W and the 66 prefix. `byte_regs` forces REX so that 4 to 7 are SPL to DIL.
 */
struct encoding {
	uint8_t prefix, map, opcode, size;
	bool byte_regs;
};
void emit_reg(struct emitter *e, struct encoding encoding, unsigned reg, unsigned rm);
void emit_mem(struct emitter *e, struct encoding encoding, unsigned reg, struct host_memory m);
void emit_operand(struct emitter *e, unsigned reg, struct host_memory m); /* ModRM, SIB, disp */

/*
 * A vector instruction, emit_vector.c. `kind`: enum op_encoding. `pp`: 0, 0x66, 0xf3 or 0xf2; map: 1 to
 * 3 for 0F, 0F38, 0F3A; the rest as in the prefix of that kind. Registers are 0 to 31.
 */
struct vector_encoding {
	uint8_t kind, pp, map, opcode, w, l, vvvv, mask, b, z;
};
void emit_vector_reg(struct emitter *e, struct vector_encoding v, unsigned reg, unsigned rm);
/* With EVEX, which scales short ones: a displacement only without base. */
void emit_vector_mem(struct emitter *e, struct vector_encoding v, unsigned reg, struct host_memory m);
void emit_vector_zero(struct emitter *e, bool all); /* VZEROUPPER, VZEROALL */

/* The usual ones; size 4 or 8 where given. */
void emit_mov(struct emitter *e, unsigned size, unsigned to, unsigned from);
void emit_mov_imm(struct emitter *e, unsigned to, uint64_t value); /* flags stay */
void emit_load(struct emitter *e, unsigned size, unsigned to, struct host_memory m);
void emit_store(struct emitter *e, unsigned size, struct host_memory m, unsigned from);
void emit_store_imm(struct emitter *e, unsigned size, struct host_memory m, int32_t value);
void emit_lea(struct emitter *e, unsigned size, unsigned to, struct host_memory m);
void emit_alu(struct emitter *e, enum alu op, unsigned size, unsigned to, struct host_memory m);
void emit_alu_imm(struct emitter *e, enum alu op, unsigned size, unsigned to, int32_t value);
void emit_alu_mem_imm(struct emitter *e, enum alu op, unsigned size, struct host_memory m,
		      int32_t value);
void emit_shift(struct emitter *e, enum shift op, unsigned size, unsigned to, unsigned count);
void emit_imul(struct emitter *e, unsigned size, unsigned to, unsigned from, int32_t value);
/* The six status flags to and from the word at `m`, as LAHF has them, above OF's byte; `temp` is
 * overwritten. Far cheaper than PUSHF and POPF. */
void emit_save_status(struct emitter *e, struct host_memory m, unsigned temp);
void emit_load_status(struct emitter *e, struct host_memory m, unsigned temp);
void emit_push(struct emitter *e, struct host_memory m); /* 8 bytes */
void emit_pop(struct emitter *e, struct host_memory m);
void emit_push_reg(struct emitter *e, unsigned reg);
void emit_pop_reg(struct emitter *e, unsigned reg);

/* Branches. A forward jump returns its place for emit_land(). */
void branch_aim(uint8_t *place, int64_t run_delta, const uint8_t *run); /* also one long there */
uint8_t *emit_jcc(struct emitter *e, enum condition cc);
uint8_t *emit_jmp(struct emitter *e);
uint8_t *emit_call(struct emitter *e);
uint8_t *emit_cmp_forward(struct emitter *e, unsigned reg); /* with 8 bytes there */
void emit_land(struct emitter *e, uint8_t *place);            /* the jump leads here */
void emit_jmp_to(struct emitter *e, const uint8_t *run);      /* absolute run address */
void emit_jcc_to(struct emitter *e, enum condition cc, const uint8_t *run);
void emit_call_to(struct emitter *e, const void *function);   /* through RAX */
void emit_call_run(struct emitter *e, const uint8_t *run);    /* near, touches no register */
void emit_jmp_reg(struct emitter *e, unsigned reg);
const uint8_t *emit_here(const struct emitter *e);            /* run address of the next byte */

#endif
