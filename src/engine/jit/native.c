/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * General-purpose instructions as host instructions: the same opcode with registers renamed and the
 * memory operand replaced by its host address.
 *
 * AH to BH are the host's own, which has no encoding for them beside a register from R8 on: with a
 * memory operand they change places with AL to BL.
 *
 * Left to the interpreter: POP to memory at an address based on RSP.
 */
#include "engine/jit/internal.h"

#include "base/bytes.h"

bool is_high_byte(const struct insn *i, const struct op_info *info)
{
	return ((info->reg & FIELD_KIND) == FIELD_GPR8 && i->reg >= BYTE_AH) ||
	       ((info->rm & FIELD_KIND) == FIELD_GPR8 && !insn_has_memory(i) && i->rm >= BYTE_AH);
}

void write_imm(struct translator *t, const struct insn *i, unsigned bytes)
{
	emit_bytes(&t->e, &i->imm, bytes);
}

static unsigned use_byte(struct translator *t, unsigned guest, unsigned temp, bool load)
{
	return guest >= BYTE_AH ? guest - BYTE_AH + 4 : use_gpr(t, guest, temp, load);
}

/* At least one of AH to BH. Whatever is beside them has no REX prefix in the guest's code either. */
static bool encode_high_byte(struct translator *t, const struct insn *i, const struct op_info *info,
			     const struct plan *p)
{
	bool reg_is_byte = (info->reg & FIELD_KIND) == FIELD_GPR8;
	unsigned reg = p->extension, rm;
	struct encoding e = p->encoding;

	e.byte_regs = false;
	if (p->has_reg)
		reg = reg_is_byte ? use_byte(t, i->reg, T1, true) : use_gpr(t, i->reg, T1, true);
	rm = use_byte(t, i->rm, T0, true);
	if (reg > 7 || rm > 7)
		return false;
	if (p->reads_flags)
		need_flags_in_host(t);
	emit_reg(&t->e, e, reg, rm);
	write_imm(t, i, p->imm_bytes);
	return true;
}

static void exchange_halves(struct translator *t, unsigned reg) /* flags stay */
{
	emit_reg(&t->e, (struct encoding){ .map = 1, .opcode = 0x86, .size = 1 }, reg, reg + 4);
}

static void encode_registers(struct translator *t, const struct insn *i, const struct op_info *info,
			     const struct plan *p)
{
	bool whole = p->encoding.size >= 4; /* 32-bit results clear the rest: no old value needed */
	unsigned rm = use_gpr(t, i->rm, T0, !whole || info->rm & FIELD_READ);
	unsigned reg = p->extension;

	if (p->has_reg)
		reg = use_gpr(t, i->reg, T1, !whole || info->reg & FIELD_READ);
	emit_reg(&t->e, p->encoding, reg, rm);
	write_imm(t, i, p->imm_bytes);
	if (info->rm & FIELD_WRITTEN)
		put_gpr(t, i->rm, rm);
	if (p->has_reg && info->reg & FIELD_WRITTEN)
		put_gpr(t, i->reg, reg);
}

static void encode_memory(struct translator *t, const struct insn *i, const struct op_info *info,
			  const struct plan *p)
{
	bool whole = p->encoding.size >= 4;
	bool high = is_high_byte(i, info);
	unsigned bytes = op_memory_bytes(info, i, true), reg = p->extension;
	struct host_memory operand;

	/* AH to BH change places before the access: it may not fault. */
	operand = high && t->window ? check_operand(t, i, bytes, info->rm & FIELD_WRITTEN) :
				      host_operand(t, i, bytes, info->rm & FIELD_WRITTEN);
	if (p->reads_flags)
		need_flags_in_host(t);
	if (high) {
		if (operand.index == i->reg - BYTE_AH) { /* is about to change */
			emit_lea(&t->e, 8, T0, operand);
			operand = at_register(T0, 0);
		}
		exchange_halves(t, reg = i->reg - BYTE_AH);
	} else if (p->has_reg) {
		reg = use_gpr(t, i->reg, T1, !whole || info->reg & FIELD_READ);
	}
	emit_mem(&t->e, p->encoding, reg, operand);
	write_imm(t, i, p->imm_bytes);
	if (high)
		exchange_halves(t, reg);
	else if (p->has_reg && info->reg & FIELD_WRITTEN)
		put_gpr(t, i->reg, reg);
}

bool encode_planned(struct translator *t, const struct insn *i, const struct op_info *info,
		    const struct plan *p)
{
	if (i->prefix & PREFIX_LOCK)
		return false;
	if (insn_has_memory(i)) {
		encode_memory(t, i, info, p);
	} else if (is_high_byte(i, info)) {
		if (!encode_high_byte(t, i, info, p))
			return false;
	} else {
		if (p->reads_flags)
			need_flags_in_host(t);
		encode_registers(t, i, info, p);
	}
	if (p->writes_flags)
		flags_now_in_host(t);
	return true;
}

struct plan plan_for(const struct translator *t, const struct insn *i, const struct op_info *info)
{
	static const uint8_t maps[] = { [MAP_1] = 1, [MAP_0F] = 0x0f, [MAP_0F38] = 0x38,
					[MAP_0F3A] = 0x3a };
	struct plan p = {
		.encoding = { .map = maps[info->map], .opcode = info->opcode, .size = i->opsize },
		.has_reg = info->reg & FIELD_KIND,
		.extension = i->modrm >> 3 & 7,
		.writes_flags = info->flags_written | info->flags_undefined,
	};

	p.reads_flags = flags_needed(i, info) ||
			(p.writes_flags && t->live_after & ~flags_replaced(i, info));

	p.encoding.byte_regs = (info->reg & FIELD_KIND) == FIELD_GPR8 ||
			       (info->rm & FIELD_KIND) == FIELD_GPR8;
	if (info->imm == IMM_8 || info->imm == IMM_U8)
		p.imm_bytes = 1;
	else if (info->imm == IMM_Z)
		p.imm_bytes = MIN(i->opsize, 4);
	return p;
}

/* ALU on the accumulator: the same as group 80/81 on register 0. */
static bool accumulator_imm(struct translator *t, const struct insn *i, const struct op_info *info)
{
	unsigned bytes = MIN(i->opsize, 4);
	struct encoding enc = { .map = 1, .opcode = info->opcode, .size = i->opsize };

	if (flags_needed(i, info))
		need_flags_in_host(t);
	/* RAX is RAX: the encoding stands as it is. */
	if (enc.size == 2)
		emit_u8(&t->e, 0x66);
	if (enc.size == 8)
		emit_u8(&t->e, 0x48);
	emit_u8(&t->e, info->opcode);
	write_imm(t, i, bytes);
	flags_now_in_host(t);
	return true;
}

/* Small ones as C6 and C7, which take any register. */
static bool move_imm(struct translator *t, const struct insn *i, const struct op_info *info)
{
	struct plan p = plan_for(t, i, info);

	p.encoding.opcode = i->opsize == 1 ? 0xc6 : 0xc7;
	p.extension = 0;
	p.imm_bytes = i->opsize;
	if (i->opsize >= 4) {
		uint64_t value = i->opsize == 4 ? (uint32_t)i->imm : i->imm;
		int host = host_of(i->rm);

		emit_mov_imm(&t->e, host < 0 ? T0 : (unsigned)host, value);
		if (host < 0)
			put_gpr(t, i->rm, T0);
		return true;
	}
	return encode_planned(t, i, info, &p);
}

static bool load_address(struct translator *t, const struct insn *i)
{
	int host = host_of(i->reg);
	unsigned to = host < 0 ? T0 : (unsigned)host;
	struct insn plain = *i;

	plain.seg = DS; /* LEA knows no segments */
	if (i->opsize >= 4 && !t->segmented) {
		plain.addrsize = MIN(i->addrsize, i->opsize);
		guest_address(t, &plain, to);
	} else {
		guest_address(t, &plain, T0);
		emit_mov(&t->e, i->opsize, to, T0);
	}
	put_gpr(t, i->reg, to);
	return host >= 0 || i->opsize >= 4;
}

/* Between the accumulator and memory. */
static bool move_moffs(struct translator *t, const struct insn *i, const struct op_info *info)
{
	struct encoding e = { .map = 1,
			      .opcode = info->opcode < 0xa2 ? 0x8a : 0x88,
			      .size = i->opsize };

	e.opcode |= info->opcode & 1;
	host_address(t, i, i->opsize, info->opcode >= 0xa2);
	emit_mem(&t->e, e, H_RAX, at_register(T0, 0));
	return true;
}

static bool exchange(struct translator *t, const struct insn *i, const struct op_info *info)
{
	unsigned other = i->rm, own = info->opcode == 0x87 ? i->reg : RAX;
	unsigned a, b;

	a = use_gpr(t, own, T0, true);
	b = use_gpr(t, other, T1, true);
	emit_reg(&t->e, (struct encoding){ .map = 1, .opcode = 0x87, .size = i->opsize }, a, b);
	put_gpr(t, own, a);
	put_gpr(t, other, b);
	return true;
}

static bool push(struct translator *t, const struct insn *i, const struct op_info *info)
{
	unsigned word = i->opsize;

	if (info->opcode == 0xff) {
		host_address(t, i, word, false);
		emit_load(&t->e, word, T1, at_register(T0, 0));
		emit_store(&t->e, 8, GS(jit_scratch), T1);
		check_stack_address(t, -(int32_t)word, word, true);
		emit_load(&t->e, 8, T1, GS(jit_scratch));
		emit_store(&t->e, word, at_register(T0, 0), T1);
	} else {
		struct host_memory slot = host_operand_of_stack(t, -(int32_t)word, word, true);

		if (info->opcode == 0x68 || info->opcode == 0x6a)
			emit_store_imm(&t->e, word, slot, (int32_t)i->imm);
		else
			emit_store(&t->e, word, slot, use_gpr(t, i->rm, T1, true));
	}
	move_stack(t, GUEST_RSP, -(int32_t)word);
	return true;
}

static bool pop(struct translator *t, const struct insn *i)
{
	struct host_memory slot;
	unsigned host;

	if (i->rm == RSP && i->opsize == 2)
		return false;
	slot = host_operand_of_stack(t, 0, i->opsize, false);
	if (i->rm == RSP) {
		emit_load(&t->e, t->word, GUEST_RSP, slot);
		return true;
	}
	host = use_gpr(t, i->rm, T1, i->opsize == 2);
	emit_load(&t->e, i->opsize, host, slot);
	put_gpr(t, i->rm, host);
	move_stack(t, GUEST_RSP, i->opsize);
	return true;
}

/* POP into memory, whose address must not depend on RSP: that is the one behind the instruction. */
static bool pop_to_memory(struct translator *t, const struct insn *i)
{
	if (i->base == RSP)
		return false;
	check_stack_address(t, 0, i->opsize, false);
	emit_load(&t->e, i->opsize, T1, at_register(T0, 0));
	emit_store(&t->e, 8, GS(jit_scratch), T1);
	host_address(t, i, i->opsize, true);
	emit_load(&t->e, 8, T1, GS(jit_scratch));
	emit_store(&t->e, i->opsize, at_register(T0, 0), T1);
	move_stack(t, GUEST_RSP, i->opsize);
	return true;
}

static bool leave(struct translator *t, const struct insn *i)
{
	if (i->opsize != t->word && !t->segmented)
		return false;
	host_address_of_frame(t, i);
	move_stack(t, H_RBP, i->opsize);
	emit_load(&t->e, i->opsize, H_RBP, at_register(T0, 0));
	return true;
}

/* 40 to 4F of 32-bit code, which are prefixes here: FF /0 and /1 instead. */
static bool short_increment(struct translator *t, const struct insn *i, const struct op_info *info)
{
	struct plan p = plan_for(t, i, info);

	p.has_reg = false;
	p.encoding.opcode = 0xff;
	p.extension = info->opcode >> 3 & 1;
	return encode_planned(t, i, info, &p);
}

/* Count in CL or immediate. */
static bool shift(struct translator *t, const struct insn *i, const struct op_info *info)
{
	struct plan p = plan_for(t, i, info);

	p.extension = i->modrm >> 3 & 7;
	if (p.extension == 6)
		p.extension = 4;
	p.has_reg = false;
	if (info->opcode == 0xc0 || info->opcode == 0xc1)
		p.imm_bytes = 1;
	else
		p.imm_bytes = 0;
	return encode_planned(t, i, info, &p);
}

/* MUL and IMUL with one operand: RDX:RAX are at home. */
static bool multiply_wide(struct translator *t, const struct insn *i, const struct op_info *info)
{
	struct plan p = plan_for(t, i, info);

	p.has_reg = false;
	p.encoding.byte_regs = i->opsize == 1;
	return encode_planned(t, i, info, &p);
}

static bool unary_group(struct translator *t, const struct insn *i, const struct op_info *info)
{
	struct plan p = plan_for(t, i, info);
	unsigned n = i->modrm >> 3 & 7;

	p.has_reg = false;
	if (n <= 1) {
		p.extension = 0;
		p.imm_bytes = MIN(i->opsize, 4);
	} else if (n == 4 || n == 5) {
		return multiply_wide(t, i, info);
	} else if (n >= 6) {
		return native_divide(t, i, info);
	} else {
		p.imm_bytes = 0;
		p.writes_flags = n == 3;
	}
	return encode_planned(t, i, info, &p);
}

static bool one_byte(struct translator *t, const struct insn *i, const struct op_info *info)
{
	unsigned op = info->opcode, n = i->modrm >> 3 & 7;
	struct plan p = plan_for(t, i, info);

	if (op < 0x40 && (op & 7) < 4)
		return encode_planned(t, i, info, &p);
	if (op < 0x40)
		return (op & 7) == 5 || (op & 7) == 4 ? accumulator_imm(t, i, info) : false;
	switch (op) {
	case 0x40 ... 0x4f:
		return short_increment(t, i, info);
	case 0x50 ... 0x57:
	case 0x68:
	case 0x6a:
		return push(t, i, info);
	case 0x58 ... 0x5f:
		return pop(t, i);
	case 0x69:
	case 0x6b:
	case 0x84 ... 0x85:
	case 0x88 ... 0x8b:
		return encode_planned(t, i, info, &p);
	case 0x63: /* MOVSXD; else ARPL */
		return t->word == 8 && i->opsize >= 4 && encode_planned(t, i, info, &p);
	case 0x80 ... 0x81:
	case 0x83:
		p.has_reg = false;
		return encode_planned(t, i, info, &p);
	case 0x86:
		return encode_planned(t, i, info, &p);
	case 0x87:
	case 0x91 ... 0x97:
		return exchange(t, i, info);
	case 0x8d:
		return load_address(t, i);
	case 0x8f:
		return insn_has_memory(i) ? pop_to_memory(t, i) : pop(t, i);
	case 0x90:
		if (i->rm == RAX)
			return !(i->prefix & PREFIX_REP); /* NOP, not PAUSE */
		return exchange(t, i, info);
	case 0x98 ... 0x99: /* CBW, CWD families: RAX and RDX are at home */
		if (i->opsize == 2)
			emit_u8(&t->e, 0x66);
		if (i->opsize == 8)
			emit_u8(&t->e, 0x48);
		emit_u8(&t->e, op);
		return true;
	case 0xa0 ... 0xa3:
		return move_moffs(t, i, info);
	case 0xa8 ... 0xa9:
		return accumulator_imm(t, i, info);
	case 0xb0 ... 0xbf:
		return move_imm(t, i, info);
	case 0xc0 ... 0xc1:
	case 0xd0 ... 0xd3:
		return shift(t, i, info);
	case 0xc6 ... 0xc7:
		p.has_reg = false;
		p.extension = 0;
		return encode_planned(t, i, info, &p);
	case 0xc9:
		return leave(t, i);
	case 0xf6 ... 0xf7:
		return unary_group(t, i, info);
	case 0xfe ... 0xff:
		if (n <= 1) {
			p.has_reg = false;
			return encode_planned(t, i, info, &p);
		}
		return op == 0xff && n == 6 && insn_has_memory(i) && push(t, i, info);
	default:
		return false;
	}
}

/* BT and friends with a register, or with an immediate bit number. */
static bool bit_test(struct translator *t, const struct insn *i, const struct op_info *info)
{
	struct plan p = plan_for(t, i, info);

	if (insn_has_memory(i) && info->opcode != 0xba)
		return false; /* the bit offset reaches beyond the operand */
	p.has_reg = info->opcode != 0xba;
	p.imm_bytes = info->opcode == 0xba;
	return encode_planned(t, i, info, &p);
}

static bool two_bytes(struct translator *t, const struct insn *i, const struct op_info *info)
{
	struct plan p = plan_for(t, i, info);
	unsigned op = info->opcode;

	switch (op) {
	case 0x0d:
	case 0x18 ... 0x1f:
		return !(info->rm & (FIELD_WRITTEN | FIELD_READ)); /* hints and NOPs */
	case 0x40 ... 0x4f:
		return encode_planned(t, i, info, &p);
	case 0x90 ... 0x9f:
		p.has_reg = false;
		p.extension = 0;
		p.encoding.byte_regs = true;
		p.encoding.size = 1;
		return encode_planned(t, i, info, &p);
	case 0xa3:
	case 0xab:
	case 0xb3:
	case 0xbb:
	case 0xba:
		return bit_test(t, i, info);
	case 0xa4:
	case 0xac:
		p.imm_bytes = 1;
		return encode_planned(t, i, info, &p);
	case 0xa5:
	case 0xad:
		return encode_planned(t, i, info, &p);
	case 0xaf:
	case 0xc3: /* MOVNTI */
	case 0xb6 ... 0xb7:
	case 0xbe ... 0xbf:
		return encode_planned(t, i, info, &p);
	case 0xb8:
		p.encoding.prefix = 0xf3;
		return encode_planned(t, i, info, &p);
	case 0xbc ... 0xbd: /* BSF, BSR, TZCNT, LZCNT */
		p.encoding.prefix = info->mnemonic[0] == 't' || info->mnemonic[0] == 'l' ? 0xf3 : 0;
		return encode_planned(t, i, info, &p);
	case 0xc8 ... 0xcf: {
		unsigned reg = use_gpr(t, i->rm, T0, true);

		if (i->opsize < 4)
			return false;
		if (i->opsize == 8 || reg > 7)
			emit_u8(&t->e, 0x40 | (i->opsize == 8) << 3 | reg >> 3);
		emit_u8(&t->e, 0x0f);
		emit_u8(&t->e, 0xc8 | (reg & 7));
		put_gpr(t, i->rm, reg);
		return true;
	}
	default:
		return false;
	}
}

bool native_insn(struct translator *t, const struct insn *i, const struct op_info *info)
{
	if (info->flags & OP_X87)
		return !t->segmented && native_x87(t, i, info);
	if (info->encoding == EVEX || info->flags & OP_VECTOR)
		return !t->segmented && native_mmx(t, i, info);
	if (info->flags & OP_STRING)
		return native_string(t, i, info);
	if (info->encoding == LEGACY && native_system(t, i, info))
		return true;
	if (info->encoding == LEGACY && native_segment(t, i, info))
		return true;
	if (info->flags & (OP_CPL0 | OP_SYSTEM))
		return false;
	if (info->encoding == VEX || info->map >= MAP_0F38)
		return native_bits(t, i, info);
	if (native_atomic(t, i, info))
		return true;
	return info->map == MAP_1 ? one_byte(t, i, info) : two_bytes(t, i, info);
}
