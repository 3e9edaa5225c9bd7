/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Moves, extensions, conditional moves, address computation.
 *
 * Manual: SDM 2, MOV, MOVZX, MOVSX, LEA, CMOVcc, SETcc, XLAT, BSWAP, MOVBE, CBW, CWD.
 */
#include "engine/interp/operand.h"

#define BODY(name)                                                                                 \
	static ALWAYS_INLINE void name##_body(struct vcpu *c, const struct insn *i, unsigned size, \
					      enum form form)

BODY(exec_mov_rm_r)
{
	rm_write(c, i, size, form, reg_read(c, i->reg, size));
}
DEFINE_FAMILY(exec_mov_rm_r)

BODY(exec_mov_r_rm)
{
	reg_write(c, i->reg, size, rm_read(c, i, size, form));
}
DEFINE_FAMILY(exec_mov_r_rm)

BODY(exec_mov_rm_i)
{
	rm_write(c, i, size, form, i->imm);
}
DEFINE_FAMILY(exec_mov_rm_i)

BODY(exec_mov_acc_moffs)
{
	(void)form;
	reg_write(c, RAX, size, mem_read(c, operand_address(c, i, size, ACCESS_READ), size));
}
DEFINE_REG_FAMILY(exec_mov_acc_moffs)

BODY(exec_mov_moffs_acc)
{
	(void)form;
	mem_write(c, operand_address(c, i, size, ACCESS_WRITE), size, reg_read(c, RAX, size));
}
DEFINE_REG_FAMILY(exec_mov_moffs_acc)

#define EXTENSION(name, from, cast)                                                                \
	BODY(name)                                                                                 \
	{                                                                                          \
		reg_write(c, i->reg, size, (uint64_t)(cast)rm_read(c, i, from, form));             \
	}                                                                                          \
	DEFINE_FAMILY(name)
EXTENSION(exec_movzx8, 1, uint8_t)
EXTENSION(exec_movzx16, 2, uint16_t)
EXTENSION(exec_movsx8, 1, int8_t)
EXTENSION(exec_movsx16, 2, int16_t)

/* With a 16-bit operand size only 16 bits are read. */
BODY(exec_movsxd)
{
	unsigned from = size < 4 ? size : 4;

	reg_write(c, i->reg, size, (uint64_t)(int32_t)rm_read(c, i, from, form));
}
DEFINE_FAMILY(exec_movsxd)

BODY(exec_lea)
{
	(void)form;
	reg_write(c, i->reg, size, effective_address(c, i));
}
DEFINE_FAMILY(exec_lea)

BODY(exec_xchg_acc)
{
	uint64_t acc = reg_read(c, RAX, size), other = reg_read(c, i->rm, size);

	(void)form;
	if (i->rm == RAX) /* NOP: no zero extension */
		return;
	reg_write(c, RAX, size, other);
	reg_write(c, i->rm, size, acc);
}
DEFINE_REG_FAMILY(exec_xchg_acc)

/* CBW, CWDE, CDQE */
BODY(exec_cbw)
{
	(void)i;
	(void)form;
	if (size > 1)
		reg_write(c, RAX, size, (uint64_t)sign_extend(c->gpr[RAX], 4 * size));
}
DEFINE_REG_FAMILY(exec_cbw)

/* CWD, CDQ, CQO */
BODY(exec_cwd)
{
	(void)i;
	(void)form;
	reg_write(c, RDX, size, (uint64_t)(sign_extend(c->gpr[RAX], 8 * size) >> 63));
}
DEFINE_REG_FAMILY(exec_cwd)

/* The 16-bit form is undefined; processors give 0. */
BODY(exec_bswap)
{
	uint64_t value = reg_read(c, i->rm, size);

	(void)form;
	reg_write(c, i->rm, size,
		  size == 8 ? __builtin_bswap64(value) :
		  size == 4 ? __builtin_bswap32((uint32_t)value) :
			      0);
}
DEFINE_REG_FAMILY(exec_bswap)

static ALWAYS_INLINE uint64_t swap_bytes(uint64_t value, unsigned size)
{
	return __builtin_bswap64(value) >> (64 - 8 * size);
}

BODY(exec_movbe_load)
{
	reg_write(c, i->reg, size, swap_bytes(rm_read(c, i, size, form), size));
}
DEFINE_FAMILY(exec_movbe_load)

BODY(exec_movbe_store)
{
	rm_write(c, i, size, form, swap_bytes(reg_read(c, i->reg, size), size));
}
DEFINE_FAMILY(exec_movbe_store)

#define EACH_CONDITION(ROW)                                                                        \
	ROW(0) ROW(1) ROW(2) ROW(3) ROW(4) ROW(5) ROW(6) ROW(7)                                    \
	ROW(8) ROW(9) ROW(10) ROW(11) ROW(12) ROW(13) ROW(14) ROW(15)

/* The load always happens, and 32-bit moves always clear the upper half. */
#define CMOV(cc)                                                                                   \
	BODY(exec_cmov_##cc)                                                                       \
	{                                                                                          \
		uint64_t value = rm_read(c, i, size, form);                                        \
                                                                                                   \
		if (!condition(c, cc))                                                             \
			value = reg_read(c, i->reg, size);                                         \
		reg_write(c, i->reg, size, value);                                                 \
	}                                                                                          \
	REG_HANDLERS(exec_cmov_##cc) MEM_HANDLERS(exec_cmov_##cc)
#define CMOV_NAMES(cc) { NAMES(exec_cmov_##cc, r), NAMES(exec_cmov_##cc, m) },
EACH_CONDITION(CMOV)
op_fn *const exec_cmov[16][8] = { EACH_CONDITION(CMOV_NAMES) };

#define SETCC(cc)                                                                                  \
	BODY(exec_setcc_##cc)                                                                      \
	{                                                                                          \
		rm_write(c, i, size, form, condition(c, cc));                                      \
	}                                                                                          \
	HANDLER(exec_setcc_##cc, _r1, 1, FORM_REG) HANDLER(exec_setcc_##cc, _m1, 1, FORM_MEM)
#define SETCC_NAMES(cc) { [0] = exec_setcc_##cc##_r1, [4] = exec_setcc_##cc##_m1 },
EACH_CONDITION(SETCC)
op_fn *const exec_setcc[16][8] = { EACH_CONDITION(SETCC_NAMES) };

void exec_xlat(struct vcpu *c, const struct insn *i)
{
	uint64_t offset = c->gpr[RBX] + reg_read(c, RAX, 1);
	gva_t address;

	address = linear_address(c, i->seg, low_bytes(offset, i->addrsize), 1, ACCESS_READ);
	reg_write(c, RAX, 1, mem_read(c, address, 1));
	return next(c, i);
}
