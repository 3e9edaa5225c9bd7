/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * x87: the host's unit holds the guest's registers while a vCPU runs x87 or MMX code.
 *
 * x87_make_live() loads the unit, and it stays loaded until something needs the state in memory.
 * c->xsave has the status and control word right at any time, but for the status while translated
 * code runs (jit/native_x87.c); tags and registers only after x87_sync(). Instructions that store or load much of the state are done in C on c->xsave. The
 * guest's exceptions may be unmasked: they stay pending in the host's unit, where nothing but a
 * stub would wait for them, and no stub runs before x87_check_pending().
 *
 * The pointers are the guest's: FIP with every instruction that is not a control instruction, FDP
 * and FOP only with an unmasked exception, as on processors with FDP_EXCPTN_ONLY.
 *
 * Manual: SDM 1 8 (x87), 8.1.8 (pointers), 8.1.10 (images), 8.7 (exceptions); SDM 2A F*.
 * Not modelled: FERR# and IRQ 13: with CR0.NE clear a pending exception is #MF too, as under KVM.
 * Segment selectors of the pointers are 0, as CPUID.7:EBX.FCS_FDS says.
 */
#include "internal.h"

#include "engine/interp/address.h"
#include "engine/interp/flags.h"

enum { ENV_16 = 14, ENV_32 = 28, ST_BYTES = 80 };

/* The state's two homes */

static void note_direct(struct vcpu *c)
{
	c->x87_direct = (load_le16(c->xsave + AREA_FCW) & FP_ALL) == FP_ALL;
}

void x87_make_live(struct vcpu *c)
{
	note_direct(c);
	if (likely(c->x87_live))
		return;
	host_x87_load(c->xsave);
	c->x87_live = true;
	c->stubs->x87_used = true;
}

void x87_not_live(struct vcpu *c)
{
	c->x87_live = false;
	c->x87_direct = false;
}

void fpu_collect_status(struct vcpu *c)
{
	if (c->x87_live)
		store_le16(c->xsave + AREA_FSW, host_x87_status());
}

void x87_sync(struct vcpu *c)
{
	if (c->x87_live)
		host_x87_save(c->xsave);
}

void x87_update_summary(uint8_t *area)
{
	uint16_t fsw = load_le16(area + AREA_FSW);
	bool pending = fsw & ~load_le16(area + AREA_FCW) & FP_ALL;

	fsw &= (uint16_t)~(FSW_ES | FSW_BUSY);
	store_le16(area + AREA_FSW, fsw | (pending ? FSW_ES | FSW_BUSY : 0));
}

void x87_set_top(uint8_t *area, unsigned top)
{
	uint16_t fsw = load_le16(area + AREA_FSW);
	unsigned turn = (top - (fsw >> 11)) & 7;
	uint8_t old[128];

	memcpy(old, area + AREA_ST, sizeof(old));
	for (unsigned n = 0; n < 8; n++)
		memcpy(area + AREA_ST + 16 * n, old + 16 * ((n + turn) & 7), 16);
	store_le16(area + AREA_FSW, (fsw & (uint16_t)~0x3800) | (uint16_t)(top << 11));
}

void x87_become_mmx(uint8_t *area)
{
	x87_set_top(area, 0);
	area[AREA_FTW] = 0xff;
}

void x87_check_pending(struct vcpu *c)
{
	if (unlikely(c->xsave[AREA_FSW] & FSW_ES))
		raise_fault(c, EXC_MF);
}

static void check_available(struct vcpu *c)
{
	if (unlikely(c->cr0 & (CR0_EM | CR0_TS)))
		raise_fault(c, EXC_NM);
}

static void x87_init(struct vcpu *c)
{
	store_le16(c->xsave + AREA_FCW, FCW_INIT);
	store_le16(c->xsave + AREA_FSW, 0);
	memset(c->xsave + AREA_FTW, 0, AREA_MXCSR - AREA_FTW);
	x87_not_live(c);
}

/* Tags */

static bool tag_is_special(const uint8_t *st)
{
	unsigned exponent = load_le16(st + 8) & 0x7fff;

	return exponent == 0 || exponent == 0x7fff || !(st[7] >> 7);
}

/* Two bits per physical register: 0 valid, 1 zero, 2 special, 3 empty. [SDM 1 8.1.7] */
static uint16_t full_tags(const uint8_t *area)
{
	unsigned top = area[AREA_FSW + 1] >> 3 & 7;
	uint16_t tags = 0;

	for (unsigned n = 0; n < 8; n++) {
		const uint8_t *st = area + AREA_ST + 16 * ((n - top) & 7);
		unsigned tag = 0;

		if (!(area[AREA_FTW] >> n & 1))
			tag = 3;
		else if (!load_le64(st) && !(load_le16(st + 8) & 0x7fff))
			tag = 1;
		else if (tag_is_special(st))
			tag = 2;
		tags |= (uint16_t)(tag << 2 * n);
	}
	return tags;
}

static uint8_t abridged_tags(uint16_t tags)
{
	uint8_t abridged = 0;

	for (unsigned n = 0; n < 8; n++)
		if ((tags >> 2 * n & 3) != 3)
			abridged |= (uint8_t)BIT(n);
	return abridged;
}

/* Environments: FNSTENV, FNSAVE, FLDENV, FRSTOR */

static bool has_real_format(const struct vcpu *c)
{
	return !(c->mode & MODE_PROTECTED) || c->mode & MODE_VM86;
}

static bool is_wide(const struct insn *i)
{
	return i->opsize != 2 || i->prefix & PREFIX_REX_W;
}

static void put_pointers_32(const struct vcpu *c, uint8_t *env)
{
	uint32_t fip = load_le32(c->xsave + AREA_FIP), fdp = load_le32(c->xsave + AREA_FDP);
	uint16_t fop = load_le16(c->xsave + AREA_FOP) & 0x7ff;

	if (has_real_format(c)) {
		store_le32(env + 12, (fip & 0xffff) | 0xffff0000u);
		store_le32(env + 16, (fip >> 16 << 12) | fop);
		store_le32(env + 20, (fdp & 0xffff) | 0xffff0000u);
		store_le32(env + 24, fdp >> 16 << 12);
		return;
	}
	store_le32(env + 12, fip);
	store_le32(env + 16, (uint32_t)fop << 16);
	store_le32(env + 20, fdp);
	store_le32(env + 24, 0xffff0000u);
}

static void put_pointers_16(const struct vcpu *c, uint8_t *env)
{
	uint32_t fip = load_le32(c->xsave + AREA_FIP), fdp = load_le32(c->xsave + AREA_FDP);
	uint16_t fop = load_le16(c->xsave + AREA_FOP) & 0x7ff;
	bool real = has_real_format(c);

	store_le16(env + 6, (uint16_t)fip);
	store_le16(env + 8, real ? (uint16_t)((fip >> 16 << 12) | fop) : 0);
	store_le16(env + 10, (uint16_t)fdp);
	store_le16(env + 12, real ? (uint16_t)(fdp >> 16 << 12) : 0);
}

/* c->xsave is complete. Returns the size. */
static unsigned env_build(const struct vcpu *c, const struct insn *i, uint8_t *env)
{
	const uint8_t *area = c->xsave;

	if (!is_wide(i)) {
		store_le16(env, load_le16(area + AREA_FCW));
		store_le16(env + 2, load_le16(area + AREA_FSW));
		store_le16(env + 4, full_tags(area));
		put_pointers_16(c, env);
		return ENV_16;
	}
	store_le32(env, 0xffff0000u | load_le16(area + AREA_FCW));
	store_le32(env + 4, 0xffff0000u | load_le16(area + AREA_FSW));
	store_le32(env + 8, 0xffff0000u | full_tags(area));
	put_pointers_32(c, env);
	return ENV_32;
}

static void get_pointers(struct vcpu *c, const struct insn *i, const uint8_t *env)
{
	bool wide = is_wide(i), real = has_real_format(c);
	uint32_t fip = wide ? load_le32(env + 12) : load_le16(env + 6);
	uint32_t fdp = wide ? load_le32(env + 20) : load_le16(env + 10);
	uint32_t cs = wide ? load_le32(env + 16) : load_le16(env + 8);
	uint32_t ds = wide ? load_le32(env + 24) : load_le16(env + 12);
	uint16_t fop = wide && !real ? cs >> 16 : real ? cs : 0;

	if (real) {
		fip = (fip & 0xffff) | (cs >> 12 & (wide ? 0xffff : 15)) << 16;
		fdp = (fdp & 0xffff) | (ds >> 12 & (wide ? 0xffff : 15)) << 16;
	}
	store_le64(c->xsave + AREA_FIP, fip);
	store_le64(c->xsave + AREA_FDP, fdp);
	store_le16(c->xsave + AREA_FOP, fop & 0x7ff);
}

static void env_load(struct vcpu *c, const struct insn *i, const uint8_t *env)
{
	unsigned step = is_wide(i) ? 4 : 2;

	x87_not_live(c);
	store_le16(c->xsave + AREA_FCW, (load_le16(env) & 0x1f7f) | 0x40);
	store_le16(c->xsave + AREA_FSW, load_le16(env + step));
	c->xsave[AREA_FTW] = abridged_tags(load_le16(env + 2 * step));
	x87_update_summary(c->xsave);
	get_pointers(c, i, env);
}

static void run_fnstenv(struct vcpu *c, const struct insn *i, const struct stub *s)
{
	uint8_t env[ENV_32];

	x87_sync(c);
	unsigned bytes = env_build(c, i, env);

	mem_write_bytes(c, operand_address(c, i, bytes, ACCESS_WRITE), env, bytes);
	x87_not_live(c);
	store_le16(c->xsave + AREA_FCW, load_le16(c->xsave + AREA_FCW) | FP_ALL);
	x87_update_summary(c->xsave);
	next(c, i);
}

static void run_fldenv(struct vcpu *c, const struct insn *i, const struct stub *s)
{
	uint8_t env[ENV_32];
	unsigned bytes = is_wide(i) ? ENV_32 : ENV_16;

	x87_check_pending(c);
	mem_read_bytes(c, operand_address(c, i, bytes, ACCESS_READ), env, bytes);
	x87_sync(c); /* the registers stay, by physical number */
	unsigned top = load_le16(env + (is_wide(i) ? 4 : 2)) >> 11 & 7;

	x87_set_top(c->xsave, top);
	env_load(c, i, env);
	next(c, i);
}

static void run_fnsave(struct vcpu *c, const struct insn *i, const struct stub *s)
{
	uint8_t image[ENV_32 + ST_BYTES];

	x87_sync(c);
	unsigned bytes = env_build(c, i, image);

	for (unsigned n = 0; n < 8; n++)
		memcpy(image + bytes + 10 * n, c->xsave + AREA_ST + 16 * n, 10);
	bytes += ST_BYTES;
	mem_write_bytes(c, operand_address(c, i, bytes, ACCESS_WRITE), image, bytes);
	x87_set_top(c->xsave, 0);
	x87_init(c);
	next(c, i);
}

static void run_frstor(struct vcpu *c, const struct insn *i, const struct stub *s)
{
	uint8_t image[ENV_32 + ST_BYTES];
	unsigned env_bytes = is_wide(i) ? ENV_32 : ENV_16, bytes = env_bytes + ST_BYTES;

	x87_check_pending(c);
	mem_read_bytes(c, operand_address(c, i, bytes, ACCESS_READ), image, bytes);
	env_load(c, i, image);
	memset(c->xsave + AREA_ST, 0, AREA_XMM - AREA_ST);
	for (unsigned n = 0; n < 8; n++)
		memcpy(c->xsave + AREA_ST + 16 * n, image + env_bytes + 10 * n, 10);
	next(c, i);
}

/* Control instructions */

static void run_fninit(struct vcpu *c, const struct insn *i, const struct stub *s)
{
	x87_sync(c);
	x87_set_top(c->xsave, 0);
	x87_init(c);
	next(c, i);
}

static void run_fnclex(struct vcpu *c, const struct insn *i, const struct stub *s)
{
	x87_make_live(c);
	s->run(c, NULL, &c->stubs->frame);
	next(c, i);
}

static void run_fnstcw(struct vcpu *c, const struct insn *i, const struct stub *s)
{
	mem_write(c, operand_address(c, i, 2, ACCESS_WRITE), 2, load_le16(c->xsave + AREA_FCW));
	next(c, i);
}

static void run_fnstsw(struct vcpu *c, const struct insn *i, const struct stub *s)
{
	mem_write(c, operand_address(c, i, 2, ACCESS_WRITE), 2, load_le16(c->xsave + AREA_FSW));
	next(c, i);
}

static void run_fnstsw_ax(struct vcpu *c, const struct insn *i, const struct stub *s)
{
	store_le16(&c->gpr[RAX], load_le16(c->xsave + AREA_FSW));
	next(c, i);
}

static void run_fldcw(struct vcpu *c, const struct insn *i, const struct stub *s)
{
	x87_check_pending(c);
	uint16_t fcw = (uint16_t)mem_read(c, operand_address(c, i, 2, ACCESS_READ), 2);

	x87_make_live(c);
	s->run(c, &fcw, &c->stubs->frame);
	store_le16(c->xsave + AREA_FCW, host_x87_control());
	note_direct(c);
	next(c, i);
}

static void run_nothing(struct vcpu *c, const struct insn *i, const struct stub *s)
{
	next(c, i); /* FNENI, FNDISI, FNSETPM */
}

/* Everything else */

static void note_pointers(struct vcpu *c, const struct insn *i, const struct stub *s)
{
	uint64_t rip = insn_rip(c, i);

	store_le64(c->xsave + AREA_FIP, has_real_format(c) ? rip + c->seg[CS].base : rip);
	if (!(c->xsave[AREA_FSW] & FSW_ES))
		return;
	store_le16(c->xsave + AREA_FOP, (uint16_t)((s->form.opcode & 7) << 8 | i->modrm));
	if (s->bytes)
		store_le64(c->xsave + AREA_FDP,
			   effective_address(c, i) + (has_real_format(c) ? c->seg[i->seg].base : 0));
}

static void run_x87(struct vcpu *c, const struct insn *i, const struct stub *s)
{
	struct stub_frame *f = &c->stubs->frame;

	x87_check_pending(c);
	x87_make_live(c);
	if (s->traits & STUB_RFLAGS)
		f->rflags = F_1 | flags_status(c);
	s->run(c, NULL, f);
	if (s->traits & STUB_RFLAGS)
		flags_load_status(c, (uint32_t)f->rflags);
	note_pointers(c, i, s);
	next(c, i);
}

static void run_x87_load(struct vcpu *c, const struct insn *i, const struct stub *s)
{
	struct stub_frame *f = &c->stubs->frame;

	x87_check_pending(c);
	gva_t address = operand_address(c, i, s->bytes, ACCESS_READ);
	void *memory = tlb_read_pointer(c, address, s->bytes);

	if (!memory) {
		mem_read_bytes(c, address, f->buffer, s->bytes);
		memory = f->buffer;
	}
	x87_make_live(c);
	s->run(c, memory, f);
	note_pointers(c, i, s);
	next(c, i);
}

/* An unmasked one of these keeps a store from happening. [SDM 1 8.5] */
static bool store_failed(const struct vcpu *c)
{
	return load_le16(c->xsave + AREA_FSW) & ~load_le16(c->xsave + AREA_FCW) &
	       (FP_IE | FP_OE | FP_UE);
}

static NOINLINE void store_slowly(struct vcpu *c, const struct stub *s, gva_t address)
{
	struct stub_frame *f = &c->stubs->frame;
	uint16_t fsw = load_le16(c->xsave + AREA_FSW);

	x87_sync(c);
	x87_not_live(c); /* the write may unwind: then nothing has happened */
	s->run(c, f->buffer, f);
	uint16_t new_fsw = load_le16(c->xsave + AREA_FSW);

	if (!store_failed(c)) {
		store_le16(c->xsave + AREA_FSW, fsw);
		mem_write_bytes(c, address, f->buffer, s->bytes);
		store_le16(c->xsave + AREA_FSW, new_fsw);
	}
	c->x87_live = true;
}

static void run_x87_store(struct vcpu *c, const struct insn *i, const struct stub *s)
{
	x87_check_pending(c);
	gva_t address = operand_address(c, i, s->bytes, ACCESS_WRITE);
	void *memory = tlb_write_pointer(c, address, s->bytes);

	x87_make_live(c);
	if (likely(memory))
		s->run(c, memory, &c->stubs->frame);
	else
		store_slowly(c, s, address);
	note_pointers(c, i, s);
	next(c, i);
}

void exec_x87(struct vcpu *c, const struct insn *i)
{
	const struct stub *s = stub_of(i);

	check_available(c);
	s->exec(c, i, s);
}

void exec_fwait(struct vcpu *c, const struct insn *i)
{
	if ((c->cr0 & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS))
		raise_fault(c, EXC_NM);
	x87_check_pending(c);
	next(c, i);
}

void exec_emms(struct vcpu *c, const struct insn *i)
{
	vector_check_class(c, CLASS_MMX);
	x87_check_pending(c);
	if (c->x87_live)
		host_emms();
	x87_set_top(c->xsave, 0);
	c->xsave[AREA_FTW] = 0;
	next(c, i);
}

/* Preparation. Memory operands by ModRM.reg of D8 to DF: bytes, and whether they are written. */

static const uint8_t operand_bytes[8][8] = {
	{ 4, 4, 4, 4, 4, 4, 4, 4 }, { 4, 0, 4, 4, 0, 2, 0, 2 }, { 4, 4, 4, 4, 4, 4, 4, 4 },
	{ 4, 4, 4, 4, 0, 10, 0, 10 }, { 8, 8, 8, 8, 8, 8, 8, 8 }, { 8, 8, 8, 8, 0, 0, 0, 2 },
	{ 2, 2, 2, 2, 2, 2, 2, 2 }, { 2, 2, 2, 2, 10, 8, 10, 8 },
};
static const uint8_t operand_written[8] = { 0, 0xcc, 0, 0x8e, 0, 0xce, 0, 0xce };

static stub_fn *x87_memory_handler(const struct stub *s, unsigned low, unsigned reg)
{
	switch (low << 3 | reg) {
	case 1 << 3 | 4:
		return run_fldenv;
	case 1 << 3 | 5:
		return run_fldcw;
	case 1 << 3 | 6:
		return run_fnstenv;
	case 1 << 3 | 7:
		return run_fnstcw;
	case 5 << 3 | 4:
		return run_frstor;
	case 5 << 3 | 6:
		return run_fnsave;
	case 5 << 3 | 7:
		return run_fnstsw;
	}
	return operand_written[low] >> reg & 1 ? run_x87_store : run_x87_load;
}

static stub_fn *x87_register_handler(unsigned opcode, uint8_t modrm)
{
	switch (opcode << 8 | modrm) {
	case 0xdbe0: case 0xdbe1: case 0xdbe4:
		return run_nothing;
	case 0xdbe2:
		return run_fnclex;
	case 0xdbe3:
		return run_fninit;
	case 0xdfe0:
		return run_fnstsw_ax;
	}
	return run_x87;
}

void x87_prepare(struct stub *s, const struct insn *i)
{
	unsigned opcode = s->form.opcode, low = opcode & 7, reg = i->modrm >> 3 & 7;

	s->traits = STUB_X87;
	if (insn_has_memory(i)) {
		s->bytes = operand_bytes[low][reg];
		s->exec = x87_memory_handler(s, low, reg);
		return;
	}
	s->exec = x87_register_handler(opcode, i->modrm);
	/* FCMOVcc; FCOMI, FCOMIP, FUCOMI, FUCOMIP */
	if (((opcode == 0xda || opcode == 0xdb) && reg < 4) ||
	    ((opcode == 0xdb || opcode == 0xdf) && (reg == 5 || reg == 6)))
		s->traits |= STUB_RFLAGS;
}
