/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Bytes to struct insn.
 *
 * Prefixes, then opcode, then the row of the tables that fits, then what the row says follows.
 * Running out of bytes is noticed only at the end: missing bytes read as zero meanwhile.
 *
 * Manual: SDM 2, chapter 2 (formats, VEX, EVEX), appendix A.
 * Not modelled: XOP, FMA4, 3DNow!, MVEX, REX2/APX: #UD, as on the processors we stand for.
 */
#include "engine/decode/internal.h"
#include "engine/interp/exec.h"

#include "base/bytes.h"

enum { LONGEST_INSN = 15 };

struct decoder {
	const struct vcpu *c;
	const uint8_t *bytes;
	unsigned available, at;
	bool code64, code32;
	bool opsize_prefix, addrsize_prefix;
	uint8_t seg;         /* override, or 0xff */
	uint8_t rep;         /* 0, 0xf2, 0xf3: the last one */
	uint8_t rex;         /* 0: none */
	uint8_t prefix_bytes;
	/* From REX, VEX, EVEX; all as if active high. */
	bool w;
	uint8_t r, x, b;     /* 0 or 8 */
	uint8_t r_high, v_high; /* 0 or 16: EVEX only */
	uint8_t pp;          /* 0, 0x66, 0xf3, 0xf2 */
	uint8_t ll;          /* vector length field */
	uint8_t vvvv;
	uint8_t mask;
	bool zeroing, bit_b;
	enum op_encoding encoding;
	enum op_map map;
	uint8_t opcode, opcode_at;
	const struct op_info *row;
	uint8_t vsib_index;
};

static uint8_t peek(const struct decoder *d)
{
	return d->at < d->available ? d->bytes[d->at] : 0;
}

static uint8_t take(struct decoder *d)
{
	uint8_t byte = peek(d);

	d->at++;
	return byte;
}

static uint64_t take_number(struct decoder *d, unsigned size)
{
	uint64_t value = 0;

	for (unsigned n = 0; n < size; n++)
		value |= (uint64_t)take(d) << 8 * n;
	return value;
}

static bool take_segment_prefix(struct decoder *d, uint8_t byte)
{
	static const uint8_t legacy[4] = { ES, CS, SS, DS };

	if (byte == 0x64 || byte == 0x65)
		d->seg = byte == 0x64 ? FS : GS;
	else if ((byte & 0xe7) != 0x26)
		return false;
	else if (!d->code64) /* in 64-bit mode ES, CS, SS, DS overrides mean nothing */
		d->seg = legacy[byte >> 3 & 3];
	return true;
}

static void take_prefixes(struct decoder *d, struct insn *i)
{
	while (d->at < LONGEST_INSN) {
		uint8_t byte = peek(d);

		if (byte == 0x66)
			d->opsize_prefix = true;
		else if (byte == 0x67)
			d->addrsize_prefix = true;
		else if (byte == 0xf0)
			i->prefix |= PREFIX_LOCK;
		else if (byte == 0xf2 || byte == 0xf3)
			d->rep = byte;
		else if (!take_segment_prefix(d, byte)) {
			if (!d->code64 || (byte & 0xf0) != 0x40)
				break;
			d->rex = byte;
			d->at++;
			continue;
		}
		d->rex = 0; /* it counts only right before the opcode */
		d->at++;
	}
	d->prefix_bytes = d->at;
	d->w = d->rex & 8;
	d->r = d->rex & 4 ? 8 : 0;
	d->x = d->rex & 2 ? 8 : 0;
	d->b = d->rex & 1 ? 8 : 0;
	d->pp = d->rep ? d->rep : d->opsize_prefix ? 0x66 : 0;
}

static void take_legacy_opcode(struct decoder *d)
{
	d->map = MAP_1;
	d->opcode = take(d);
	if (d->opcode != 0x0f)
		return;
	d->map = MAP_0F;
	d->opcode = take(d);
	if (d->opcode == 0x38 || d->opcode == 0x3a) {
		d->map = d->opcode == 0x38 ? MAP_0F38 : MAP_0F3A;
		d->opcode = take(d);
	}
}

static const uint8_t pp_values[4] = { 0, 0x66, 0xf3, 0xf2 };

/* [SDM 2A 2.3] False: reserved map. */
static bool take_vex(struct decoder *d)
{
	bool three = take(d) == 0xc4;
	uint8_t p0 = take(d), p1 = p0;

	d->encoding = VEX;
	d->map = MAP_0F;
	d->r = p0 & 0x80 ? 0 : 8;
	if (three) {
		p1 = take(d);
		d->x = p0 & 0x40 ? 0 : 8;
		d->b = p0 & 0x20 ? 0 : 8;
		d->w = p1 & 0x80;
		if ((p0 & 0x1f) < 1 || (p0 & 0x1f) > 3)
			return false;
		d->map = p0 & 3;
	}
	d->vvvv = ~p1 >> 3 & 15;
	d->ll = p1 >> 2 & 1;
	d->pp = pp_values[p1 & 3];
	d->opcode = take(d);
	return true;
}

/* [SDM 2A 2.7.1] False: reserved bits or map. */
static bool take_evex(struct decoder *d)
{
	uint8_t p0, p1, p2;

	take(d);
	p0 = take(d);
	p1 = take(d);
	p2 = take(d);
	d->encoding = EVEX;
	d->r = p0 & 0x80 ? 0 : 8;
	d->x = p0 & 0x40 ? 0 : 8;
	d->b = p0 & 0x20 ? 0 : 8;
	d->r_high = p0 & 0x10 ? 0 : 16;
	d->map = p0 & 7;
	d->w = p1 & 0x80;
	d->vvvv = ~p1 >> 3 & 15;
	d->pp = pp_values[p1 & 3];
	d->zeroing = p2 & 0x80;
	d->ll = p2 >> 5 & 3;
	d->bit_b = p2 & 0x10;
	d->v_high = p2 & 8 ? 0 : 16;
	d->mask = p2 & 7;
	d->opcode = take(d);
	return !(p0 & 8) && d->map >= 1 && d->map <= 3 && p1 & 4;
}

/* False: #UD whatever follows. */
static bool take_opcode(struct decoder *d, const struct insn *i, uint32_t mode)
{
	uint8_t byte = peek(d);
	bool valid = true;
	bool register_form;

	register_form = d->at + 1 < d->available && d->bytes[d->at + 1] >= 0xc0;
	if ((byte != 0xc4 && byte != 0xc5 && byte != 0x62) || !(d->code64 || register_form)) {
		take_legacy_opcode(d);
	} else {
		valid = byte == 0x62 ? take_evex(d) : take_vex(d);
		if (d->opsize_prefix || d->rep || d->rex || i->prefix & PREFIX_LOCK)
			valid = false;
		if ((mode & (MODE_PROTECTED | MODE_VM86)) != MODE_PROTECTED)
			valid = false;
	}
	if (d->encoding != LEGACY && !d->code64) { /* eight registers */
		valid &= !d->v_high;
		d->r = d->x = d->b = 0;
		d->r_high = 0;
	}
	d->opcode_at = d->at - 1;
	return valid;
}

static bool row_fits_fields(const struct decoder *d, const struct op_info *row, uint8_t modrm)
{
	uint32_t m = row->match;

	if (m & MATCH_P) {
		uint32_t p = d->pp == 0 ? P_NP : d->pp == 0x66 ? P_66 : d->pp == 0xf3 ? P_F3 : P_F2;

		if (!(m & p))
			return false;
	}
	if (m & MATCH_REG && !(m & REG(modrm >> 3 & 7)))
		return false;
	if (m & MATCH_RM && !(m & RM(modrm & 7)))
		return false;
	if (row->flags & OP_MODRM && !(m & ANYMOD) &&
	    !(row->flags & (modrm >= 0xc0 ? OP_REG_FORM : OP_MEM_FORM)))
		return false;
	return true;
}

static unsigned length_field(const struct decoder *d, const struct op_info *row, uint8_t modrm)
{
	/* Embedded rounding and SAE imply 512 bits; L'L is the rounding mode. */
	if (d->encoding == EVEX && d->bit_b && modrm >= 0xc0 &&
	    row->flags & (OP_ROUNDING | OP_SAE))
		return 2;
	return d->ll;
}

static bool names_gpr(const struct op_info *row, enum op_field kind)
{
	return (row->reg & FIELD_KIND) == kind || (row->rm & FIELD_KIND) == kind;
}

/* Is there a row that W alone tells from this one, with a 64-bit register for its 32-bit one? */
static bool has_wide_twin(const struct op_info *row)
{
	for (int step = -1; step <= 1; step += 2)
		for (const struct op_info *twin = row + step;
		     twin->encoding == row->encoding && twin->map == row->map &&
		     twin->opcode == row->opcode;
		     twin += step)
			if ((twin->match ^ row->match) == (W0 | W1) &&
			    names_gpr(twin, FIELD_GPR64))
				return true;
	return false;
}

static bool row_fits_mode(const struct decoder *d, const struct op_info *row, uint8_t modrm)
{
	uint32_t m = row->match;
	bool w = d->w;

	if (m & MATCH_MODE && !(m & (d->code64 ? ONLY64 : NOT64)))
		return false;
	if (!d->code64 && d->encoding != LEGACY) {
		if (names_gpr(row, FIELD_GPR64))
			return false;
		if (names_gpr(row, FIELD_GPR32) && has_wide_twin(row))
			w = false; /* ignored where it selects r64 */
	}
	if (m & MATCH_W && !(m & (w ? W1 : W0)))
		return false;
	if (m & MATCH_L && !(m & (L0 << length_field(d, row, modrm))))
		return false;
	return true;
}

static bool feature_present(const struct vcpu *c, uint8_t feature)
{
	return feature == FEATURE_NONE || has_feature(c, feature);
}

/* A group whose ModR/M byte is missing matches no row yet: it does not fit, it is not #UD. */
static uint16_t find_row(struct decoder *d)
{
	uint8_t modrm = peek(d);
	uint16_t last = last_row(d->encoding, d->map, d->opcode), first = last;
	const struct op_info *row = op_info(last);

	if (last == ROW_INVALID)
		return ROW_INVALID;
	while (op_info(first - 1)->opcode == row->opcode && op_info(first - 1)->map == row->map &&
	       op_info(first - 1)->encoding == row->encoding && first > 1)
		first--;
	for (uint16_t n = first; n <= last; n++) {
		row = op_info(n);
		if (!row_fits_fields(d, row, modrm) || !row_fits_mode(d, row, modrm))
			continue;
		if (row->match & IF_FEATURE && !feature_present(d->c, row->feature))
			continue;
		return n;
	}
	if (op_info(last)->flags & OP_MODRM)
		(void)take(d);
	return ROW_INVALID;
}

static uint8_t operand_size(const struct decoder *d, enum op_size rule)
{
	bool wide = d->code64 && d->w;
	bool is32 = d->code64 || d->code32;
	uint8_t z = is32 != d->opsize_prefix ? 4 : 2;

	switch (rule) {
	case SIZE_B:
		return 1;
	case SIZE_W:
		return 2;
	case SIZE_Z:
		return z;
	case SIZE_Y:
		return wide ? 8 : 4;
	case SIZE_N:
		return d->code64 ? 8 : 4;
	case SIZE_F64:
		return d->code64 ? 8 : z;
	case SIZE_D64:
		return !d->code64 || z == 2 ? (wide ? 8 : z) : 8;
	case SIZE_V:
		break;
	}
	return wide ? 8 : z;
}

static void take_address16(struct decoder *d, struct insn *i)
{
	static const uint8_t bases[8] = { RBX, RBX, RBP, RBP, RSI, RDI, RBP, RBX };
	static const uint8_t indices[8] = { RSI,      RDI,      RSI,      RDI,
					    GPR_ZERO, GPR_ZERO, GPR_ZERO, GPR_ZERO };
	unsigned mod = i->modrm >> 6, rm = i->modrm & 7;

	i->base = bases[rm];
	i->index = indices[rm];
	if (mod == 0 && rm == 6) {
		i->base = GPR_ZERO;
		i->disp = (int16_t)take_number(d, 2);
	} else if (mod == 1) {
		i->disp = (int8_t)take(d);
	} else if (mod == 2) {
		i->disp = (int16_t)take_number(d, 2);
	}
}

static void take_sib(struct decoder *d, struct insn *i)
{
	uint8_t sib = take(d);
	uint8_t index = (sib >> 3 & 7) | d->x;

	i->scale = sib >> 6;
	i->base = (sib & 7) | d->b;
	if (d->row->flags & OP_ANY_VSIB)
		d->vsib_index = index | d->v_high;
	else if (index != RSP)
		i->index = index;
	if ((sib & 7) == RBP && i->modrm < 0x40) {
		i->base = GPR_ZERO;
		i->disp = (int32_t)take_number(d, 4);
	}
}

static void take_address(struct decoder *d, struct insn *i)
{
	unsigned mod = i->modrm >> 6, rm = i->modrm & 7;

	i->base = rm | d->b;
	if (rm == 4) {
		take_sib(d, i);
	} else if (rm == 5 && mod == 0) {
		i->base = d->code64 ? GPR_BLOCK : GPR_ZERO;
		i->disp = (int32_t)take_number(d, 4);
	}
	if (mod == 1)
		i->disp = (int8_t)take(d);
	else if (mod == 2)
		i->disp = (int32_t)take_number(d, 4);
}

static bool has_disp8(const struct insn *i)
{
	return i->modrm >> 6 == 1;
}

/* EVEX: an 8-bit displacement counts operands. [SDM 2A 2.7.5] */
static void scale_disp8(const struct decoder *d, struct insn *i)
{
	const struct op_info *row = d->row;
	unsigned unit = op_memory_bytes(row, i, d->code64);

	if (row->flags & OP_DISP8_ELEMENT || (d->bit_b && row->flags & OP_BROADCAST))
		unit = row->element;
	i->disp *= unit;
}

static void take_memory_operand(struct decoder *d, struct insn *i)
{
	if (i->addrsize == 2)
		take_address16(d, i);
	else
		take_address(d, i);
	if (d->encoding == EVEX && has_disp8(i))
		scale_disp8(d, i);
	i->seg = i->base == RSP || i->base == RBP ? SS : DS;
}

static uint8_t gpr8_number(const struct decoder *d, uint8_t number)
{
	return !d->rex && d->encoding == LEGACY && number >= 4 && number < 8 ? number + 12 : number;
}

/* Register number as the field's kind wants it. False: no such register. */
static bool fix_register(const struct decoder *d, uint8_t field, uint8_t *number)
{
	switch (field & FIELD_KIND) {
	case FIELD_GPR8:
		*number = gpr8_number(d, *number);
		return true;
	case FIELD_SREG:
		*number &= 7;
		return *number <= GS && !(field & FIELD_WRITTEN && *number == CS);
	case FIELD_MMX:
	case FIELD_ST:
		*number &= 7;
		return true;
	case FIELD_MASK:
		return *number < 8;
	case FIELD_VECTOR:
	case FIELD_NONE:
		return true;
	case FIELD_DR:
		return *number < 8;
	default:
		return *number < 16;
	}
}

static bool set_registers(struct decoder *d, struct insn *i)
{
	const struct op_info *row = d->row;
	bool valid = true;

	if (row->flags & OP_MODRM) {
		i->reg = (i->modrm >> 3 & 7) | d->r | d->r_high;
		if (row->reg == FIELD_NONE)
			i->reg &= 7;
		valid = fix_register(d, row->reg, &i->reg);
		if (i->modrm >= 0xc0) {
			i->rm = (i->modrm & 7) | d->b;
			if (d->encoding == EVEX && (row->rm & FIELD_KIND) == FIELD_VECTOR)
				i->rm |= d->x * 2;
			if ((row->rm & FIELD_KIND) == FIELD_MASK)
				i->rm &= 7;
			valid &= fix_register(d, row->rm, &i->rm);
		}
	} else if (row->rm != FIELD_NONE) {
		i->rm = row->rm & FIELD_ACC ? RAX : (d->opcode & 7) | d->b;
		fix_register(d, row->rm & ~FIELD_ACC, &i->rm);
	} else if (row->arg) {
		i->reg = row->arg;
	}
	if (d->encoding == LEGACY)
		return valid;
	i->vvvv = d->vvvv | (row->flags & OP_ANY_VSIB ? 0 : d->v_high);
	if (row->vvvv == FIELD_NONE)
		return valid && i->vvvv == 0;
	if (!d->code64)
		i->vvvv &= 7;
	return valid && fix_register(d, row->vvvv, &i->vvvv);
}

/* What VEX and EVEX rows forbid besides. */
static bool vector_fields_valid(const struct decoder *d, const struct insn *i)
{
	const struct op_info *row = d->row;
	bool memory = insn_has_memory(i);

	if (row->flags & OP_ANY_VSIB) {
		if (i->addrsize == 2 || !memory || (i->modrm & 7) != 4)
			return false;
		if (!(row->flags & OP_SCATTER) && i->reg == d->vsib_index)
			return false;
		if (d->encoding == VEX && (i->reg == i->vvvv || i->vvvv == d->vsib_index))
			return false;
	}
	if (d->encoding != EVEX)
		return true;
	if (d->bit_b && !(row->flags & (memory ? OP_BROADCAST : OP_ROUNDING | OP_SAE)))
		return false;
	if (d->mask ? !(row->flags & OP_MASKABLE) : row->flags & OP_MUST_MASK)
		return false;
	if (d->zeroing && (!(row->flags & OP_ZEROABLE) || !d->mask ||
			   (memory && row->rm & FIELD_WRITTEN)))
		return false;
	if (d->ll == 3 && !(d->bit_b && !memory && row->flags & (OP_ROUNDING | OP_SAE)))
		return false;
	return i->vlen == 64 || row->flags & (OP_SCALAR | OP_NO_VL) ||
	       has_feature(d->c, FEATURE_AVX512VL);
}

static void take_immediate(struct decoder *d, struct insn *i)
{
	unsigned z = i->opsize == 2 ? 2 : 4;

	switch (d->row->imm) {
	case IMM_NONE:
		break;
	case IMM_ONE:
		i->imm = 1;
		break;
	case IMM_8:
	case IMM_REL8:
		i->imm = (uint64_t)(int8_t)take(d);
		break;
	case IMM_U8:
	case IMM_IS4:
		i->imm = take(d);
		break;
	case IMM_16:
	case IMM_88:
		i->imm = take_number(d, 2);
		break;
	case IMM_Z:
	case IMM_RELZ:
		i->imm = (uint64_t)sign_extend(take_number(d, z), 8 * z);
		break;
	case IMM_V:
		i->imm = take_number(d, i->opsize);
		break;
	case IMM_FAR:
		i->imm = take_number(d, z);
		i->imm |= take_number(d, 2) << 32;
		break;
	case IMM_ENTER:
		i->imm = take_number(d, 2);
		i->imm |= (uint64_t)take(d) << 16;
		break;
	case IMM_MOFFS:
		i->disp = (int64_t)take_number(d, i->addrsize);
		i->modrm = 0; /* a memory operand */
		break;
	}
}

static void make_vector_bits(const struct decoder *d, struct insn *i)
{
	union {
		uint64_t imm;
		struct vector_bits bits;
	} both = { .bits = { .imm8 = (uint8_t)i->imm,
			     .prefix_bytes = d->prefix_bytes,
			     .opcode_at = d->opcode_at,
			     .vsib_index = d->vsib_index,
			     .mask = d->mask,
			     .zeroing = d->zeroing,
			     .b = d->bit_b,
			     .pp = d->pp } };

	i->imm = both.imm;
}

static unsigned handler_index(const struct decoder *d, const struct insn *i)
{
	unsigned size = i->opsize == 8 ? 3 : i->opsize >> 1;

	if (!(d->row->flags & OP_SIZED))
		return 0;
	if (i->prefix & PREFIX_LOCK)
		return 8 + size;
	return d->row->flags & OP_MODRM && insn_has_memory(i) ? 4 + size : size;
}

/* Everything after the opcode. False: #UD. */
static bool take_operands(struct decoder *d, struct insn *i)
{
	const struct op_info *row = d->row;
	bool valid;

	i->opsize = operand_size(d, row->opsize);
	if (d->encoding != LEGACY || row->flags & OP_VECTOR)
		i->vlen = d->encoding == LEGACY ? 16 : 16 << length_field(d, row, peek(d));
	if (row->flags & OP_MODRM) {
		i->modrm = take(d);
		if (row->match & ANYMOD)
			i->modrm |= 0xc0;
		if (insn_has_memory(i))
			take_memory_operand(d, i);
	}
	if (row->flags & OP_STACK && !insn_has_memory(i))
		i->seg = SS;
	valid = set_registers(d, i);
	if (d->seg != 0xff)
		i->seg = d->seg;
	take_immediate(d, i);
	if (d->encoding != LEGACY)
		valid = valid && vector_fields_valid(d, i);
	if (i->prefix & PREFIX_LOCK && !(row->flags & OP_LOCK && insn_has_memory(i)))
		valid = false;
	return valid && feature_present(d->c, row->feature) && feature_present(d->c, row->feature2);
}

static void set_prefixes(const struct decoder *d, struct insn *i)
{
	if (d->rep)
		i->prefix |= d->rep == 0xf3 ? PREFIX_REP : PREFIX_REPNE;
	if (d->opsize_prefix)
		i->prefix |= PREFIX_OPSIZE;
	if (d->rex)
		i->prefix |= PREFIX_REX;
	if (d->w)
		i->prefix |= PREFIX_REX_W;
	if (d->encoding != LEGACY)
		i->prefix |= d->encoding == VEX ? PREFIX_VEX : PREFIX_EVEX;
}

static void make_invalid(struct insn *i, op_fn *exec, unsigned length)
{
	*i = (struct insn){ .exec = exec, .start = i->start, .length = length, .modrm = 0xc0,
			    .opsize = 4, .addrsize = 4, .base = GPR_ZERO, .index = GPR_ZERO };
}

unsigned decode(const struct vcpu *c, const uint8_t *bytes, unsigned available, uint32_t mode,
		struct insn *i)
{
	struct decoder d = { .c = c,
			     .bytes = bytes,
			     .available = available,
			     .code64 = mode & MODE_CODE64,
			     .code32 = mode & MODE_CODE32,
			     .seg = 0xff };
	bool valid;

	*i = (struct insn){ .start = i->start, .modrm = 0xc0, .base = GPR_ZERO,
			    .index = GPR_ZERO, .seg = DS };
	take_prefixes(&d, i);
	valid = take_opcode(&d, i, mode);
	i->addrsize = d.code64 ? 8 : d.code32 ? 4 : 2;
	if (d.addrsize_prefix)
		i->addrsize = i->addrsize == 4 ? 2 : 4;
	i->op = valid ? find_row(&d) : ROW_INVALID;
	d.row = op_info(i->op);
	set_prefixes(&d, i);
	if (i->op != ROW_INVALID)
		valid = take_operands(&d, i);
	else
		valid = false;
	if (d.at > LONGEST_INSN && available >= LONGEST_INSN) {
		make_invalid(i, exec_gp_too_long, LONGEST_INSN);
		return LONGEST_INSN;
	}
	if (d.at > available)
		return 0;
	if (!valid) {
		make_invalid(i, exec_ud, d.at);
		return d.at;
	}
	i->length = d.at;
	if (i->base == GPR_BLOCK)
		i->disp += i->start + i->length;
	if (d.row->imm == IMM_REL8 || d.row->imm == IMM_RELZ)
		i->imm += i->start + i->length;
	if (d.row->flags & (OP_VECTOR | OP_X87))
		make_vector_bits(&d, i);
	i->exec = d.row->exec[handler_index(&d, i)];
	return i->length;
}
