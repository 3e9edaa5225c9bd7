/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/* x86-64 encoder for the translator: see emit.h. Manual: SDM 2, chapter 2. */
#include "engine/jit/emit.h"

#include "base/bytes.h"

/* Constant counts become a move. */
static ALWAYS_INLINE void put_bytes(struct emitter *e, const void *bytes, unsigned count)
{
	if (e->out + count > e->end) {
		e->full = true;
		return;
	}
	memcpy(e->out, bytes, count);
	e->out += count;
}

void emit_bytes(struct emitter *e, const void *bytes, unsigned count)
{
	put_bytes(e, bytes, count);
}

void emit_u8(struct emitter *e, unsigned value)
{
	uint8_t byte = value;

	put_bytes(e, &byte, 1);
}

void emit_u32(struct emitter *e, uint32_t value)
{
	put_bytes(e, &value, 4);
}

const uint8_t *emit_here(const struct emitter *e)
{
	return e->out + e->run_delta;
}

static void prefixes(struct emitter *e, struct encoding c, unsigned reg, int base, int index,
		     bool gs)
{
	unsigned rex = (c.size == 8 ? 8 : 0) | (reg >> 3 & 1) << 2 | (index > 7 ? 2 : 0) |
		       (base > 7 ? 1 : 0);

	if (gs)
		emit_u8(e, 0x65);
	if (c.size == 2)
		emit_u8(e, 0x66);
	if (c.prefix)
		emit_u8(e, c.prefix);
	if (rex || c.byte_regs)
		emit_u8(e, 0x40 | rex);
	if (c.map != 1)
		emit_u8(e, 0x0f);
	if (c.map == 0x38 || c.map == 0x3a)
		emit_u8(e, c.map);
	emit_u8(e, c.opcode);
}

void emit_reg(struct emitter *e, struct encoding encoding, unsigned reg, unsigned rm)
{
	prefixes(e, encoding, reg, (int)rm, -1, false);
	e->touched |= 1u << reg | 1u << rm;
	emit_u8(e, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

static void displacement(struct emitter *e, unsigned mod, int32_t disp)
{
	if (mod == 1)
		emit_u8(e, (uint8_t)disp);
	else if (mod == 2)
		emit_u32(e, (uint32_t)disp);
}

void emit_operand(struct emitter *e, unsigned reg, struct host_memory m)
{
	unsigned mod;

	if (m.base < 0) { /* SIB without base: disp32 */
		emit_u8(e, (reg & 7) << 3 | 4);
		emit_u8(e, m.scale << 6 | (m.index < 0 ? 4 : m.index & 7) << 3 | 5);
		emit_u32(e, (uint32_t)m.disp);
		return;
	}
	mod = m.disp == 0 && (m.base & 7) != 5 ? 0 : m.disp == (int8_t)m.disp ? 1 : 2;
	if (m.index < 0 && (m.base & 7) != 4) {
		emit_u8(e, mod << 6 | (reg & 7) << 3 | (m.base & 7));
	} else {
		emit_u8(e, mod << 6 | (reg & 7) << 3 | 4);
		emit_u8(e, m.scale << 6 | (m.index < 0 ? 4 : m.index & 7) << 3 | (m.base & 7));
	}
	displacement(e, mod, m.disp);
}

void emit_mem(struct emitter *e, struct encoding encoding, unsigned reg, struct host_memory m)
{
	if (m.is_narrow)
		emit_u8(e, 0x67);
	prefixes(e, encoding, reg, m.base, m.index, m.gs);
	e->touched |= 1u << reg;
	emit_operand(e, reg, m);
}

#define GENERAL(op, bytes) ((struct encoding){ .map = 1, .opcode = (op), .size = (bytes) })

void emit_mov(struct emitter *e, unsigned size, unsigned to, unsigned from)
{
	emit_reg(e, GENERAL(0x8b, size), to, from);
}

void emit_mov_imm(struct emitter *e, unsigned to, uint64_t value)
{
	e->touched |= 1u << to;
	if (value <= UINT32_MAX) {
		if (to > 7)
			emit_u8(e, 0x41);
		emit_u8(e, 0xb8 | (to & 7));
		emit_u32(e, (uint32_t)value);
	} else if (is_signed_32(value)) {
		emit_reg(e, GENERAL(0xc7, 8), 0, to);
		emit_u32(e, (uint32_t)value);
	} else {
		emit_u8(e, 0x48 | (to > 7));
		emit_u8(e, 0xb8 | (to & 7));
		emit_bytes(e, &value, 8);
	}
}

void emit_load(struct emitter *e, unsigned size, unsigned to, struct host_memory m)
{
	emit_mem(e, GENERAL(0x8b, size), to, m);
}

void emit_store(struct emitter *e, unsigned size, struct host_memory m, unsigned from)
{
	emit_mem(e, GENERAL(0x89, size), from, m);
}

void emit_store_imm(struct emitter *e, unsigned size, struct host_memory m, int32_t value)
{
	emit_mem(e, GENERAL(0xc7, size), 0, m);
	emit_bytes(e, &value, MIN(size, 4));
}

void emit_lea(struct emitter *e, unsigned size, unsigned to, struct host_memory m)
{
	emit_mem(e, GENERAL(0x8d, size), to, m);
}

void emit_alu(struct emitter *e, enum alu op, unsigned size, unsigned to, struct host_memory m)
{
	emit_mem(e, GENERAL(op << 3 | 3, size), to, m);
}

static bool is_byte(int32_t value)
{
	return value == (int8_t)value;
}

static void small_or_large(struct emitter *e, int32_t value)
{
	if (is_byte(value))
		emit_u8(e, (uint8_t)value);
	else
		emit_u32(e, (uint32_t)value);
}

void emit_alu_imm(struct emitter *e, enum alu op, unsigned size, unsigned to, int32_t value)
{
	emit_reg(e, GENERAL(is_byte(value) ? 0x83 : 0x81, size), op, to);
	small_or_large(e, value);
}

void emit_alu_mem_imm(struct emitter *e, enum alu op, unsigned size, struct host_memory m,
		      int32_t value)
{
	if (size == 1) {
		emit_mem(e, GENERAL(0x80, 1), op, m);
		emit_u8(e, (uint8_t)value);
		return;
	}
	emit_mem(e, GENERAL(is_byte(value) ? 0x83 : 0x81, size), op, m);
	small_or_large(e, value);
}

void emit_shift(struct emitter *e, enum shift op, unsigned size, unsigned to, unsigned count)
{
	emit_reg(e, GENERAL(0xc1, size), op, to);
	emit_u8(e, count);
}

void emit_imul(struct emitter *e, unsigned size, unsigned to, unsigned from, int32_t value)
{
	emit_reg(e, GENERAL(0x69, size), to, from);
	emit_u32(e, (uint32_t)value);
}

void emit_push(struct emitter *e, struct host_memory m)
{
	emit_mem(e, GENERAL(0xff, 4), 6, m);
}

void emit_pop(struct emitter *e, struct host_memory m)
{
	emit_mem(e, GENERAL(0x8f, 4), 0, m);
}

void emit_push_reg(struct emitter *e, unsigned reg)
{
	if (reg > 7)
		emit_u8(e, 0x41);
	emit_u8(e, 0x50 | (reg & 7));
}

void emit_pop_reg(struct emitter *e, unsigned reg)
{
	e->touched |= 1u << reg;
	if (reg > 7)
		emit_u8(e, 0x41);
	emit_u8(e, 0x58 | (reg & 7));
}

/* LAHF, and OF in AL: much cheaper than PUSHF and a POP to memory. */
void emit_save_status(struct emitter *e, struct host_memory m, unsigned temp)
{
	emit_mov(e, 8, temp, H_RAX);
	emit_u8(e, 0x9f);
	emit_bytes(e, "\x0f\x90\xc0", 3); /* SETO AL */
	emit_store(e, 2, m, H_RAX);
	emit_mov(e, 8, H_RAX, temp);
}

/* OF by an addition that overflows exactly if AL is 1, the others by SAHF. */
void emit_load_status(struct emitter *e, struct host_memory m, unsigned temp)
{
	emit_mov(e, 8, temp, H_RAX);
	emit_mem(e, (struct encoding){ .map = 0x0f, .opcode = 0xb7, .size = 4 }, H_RAX, m);
	emit_bytes(e, "\x04\x7f\x9e", 3); /* ADD AL, SAHF */
	emit_mov(e, 8, H_RAX, temp);
}

uint8_t *emit_jcc(struct emitter *e, enum condition cc)
{
	emit_u8(e, 0x0f);
	emit_u8(e, 0x80 | cc);
	emit_u32(e, 0);
	return e->out - 4;
}

uint8_t *emit_jmp(struct emitter *e)
{
	emit_u8(e, 0xe9);
	emit_u32(e, 0);
	return e->out - 4;
}

uint8_t *emit_call(struct emitter *e)
{
	e->touched = ~0u;
	emit_u8(e, 0xe8);
	emit_u32(e, 0);
	return e->out - 4;
}

uint8_t *emit_cmp_forward(struct emitter *e, unsigned reg)
{
	emit_u8(e, 0x48 | (reg > 7) << 2);
	emit_u8(e, 0x3b);
	emit_u8(e, (reg & 7) << 3 | 5);
	emit_u32(e, 0);
	return e->out - 4;
}

void branch_aim(uint8_t *place, int64_t run_delta, const uint8_t *run)
{
	store_le32(place, (uint32_t)(run - (place + 4 + run_delta)));
}

static void aim(struct emitter *e, uint8_t *place, const uint8_t *run)
{
	if (!e->full)
		branch_aim(place, e->run_delta, run);
}

void emit_land(struct emitter *e, uint8_t *place)
{
	aim(e, place, emit_here(e));
}

void emit_jmp_to(struct emitter *e, const uint8_t *run)
{
	aim(e, emit_jmp(e), run);
}

void emit_jcc_to(struct emitter *e, enum condition cc, const uint8_t *run)
{
	aim(e, emit_jcc(e, cc), run);
}

void emit_call_to(struct emitter *e, const void *function)
{
	e->touched = ~0u;
	emit_mov_imm(e, H_RAX, (uintptr_t)function);
	emit_reg(e, GENERAL(0xff, 4), 2, H_RAX);
}

void emit_call_run(struct emitter *e, const uint8_t *run)
{
	aim(e, emit_call(e), run);
}

void emit_jmp_reg(struct emitter *e, unsigned reg)
{
	emit_reg(e, GENERAL(0xff, 4), 4, reg);
}
