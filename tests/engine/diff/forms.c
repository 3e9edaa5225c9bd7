/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Instruction forms: every opcode, prefix, size and ModRM.reg is shown to the decoder once; what it
 * accepts is sorted into forms (row, sizes, register or memory, code size), each with a few
 * templates that bytes are later made from.
 */
#include "diff.h"

#include "base/bytes.h"
#include "engine/interp/exec.h"

#include <stdio.h>
#include <stdlib.h>

struct template
{
	uint8_t encoding, map, opcode, pp, w, l, b, modrm;
};
enum { TEMPLATES = 8, MAX_FORMS = 60000, MAX_CODE = 15 };

struct form_entry {
	struct form_info public;
	uint64_t key;
	uint16_t op;
	uint8_t width; /* of the code segment */
	bool has_modrm;
	unsigned templates, seen;
	struct template template[TEMPLATES];
};

static struct form_entry *forms;
static unsigned form_count;
static bool for_programs;

unsigned forms_count(void)
{
	return form_count;
}

struct form_info *form_get(unsigned form)
{
	return &forms[form].public;
}

/*
 * What a user process is no oracle of: it enters the kernel or the hypervisor, the kernel answers in
 * the processor's place (SGDT and the like, under UMIP), the child could not go on, or the trap has
 * a handler.
 */
static bool is_runnable(const struct op_info *info)
{
	static const char *const unfit[] = { "syscall", "sysenter", "vmcall", "vmmcall", "sgdt",
					     "sidt",    "sldt",     "str",    "smsw",    "wrpkru",
					     "int1",    "int3",     "into",   "swapgs",  "invlpg" };

	for (unsigned n = 0; n < ARRAY_LEN(unfit); n++)
		if (!strcmp(info->mnemonic, unfit[n]))
			return false;
	return true;
}

/* In the midst of a program too: tells of no time or chance, and leaves the segments as they are. */
static bool is_fit_for_programs(const struct op_info *info)
{
	static const char *const fit[] = {
		"fwait",   "emms",     "pushf",    "popf",       "cli",      "sti",     "in",
		"out",     "ins",      "insb",     "outs",       "outsb",    "fxsave",  "fxrstor",
		"xsave",   "xrstor",   "xsaveopt", "xsavec",     "xsaves",   "xrstors", "ldmxcsr",
		"stmxcsr", "vldmxcsr", "vstmxcsr", "vzeroupper", "vzeroall", "push fs", "push gs"
	};

	if (!(info->flags & OP_SYSTEM) || (info->flags & OP_CPL0 && !(info->flags & OP_BRANCH)))
		return true;
	for (unsigned n = 0; n < ARRAY_LEN(fit); n++)
		if (!strcmp(info->mnemonic, fit[n]))
			return true;
	return info->map == MAP_1 && info->opcode == 0x8c;
}

/* INT to one of Linux's gates for processes: #BP, #OF, the system call. */
static bool enters_kernel(const struct insn *i)
{
	uint8_t vector = i->imm;

	return i->exec == exec_int && (vector == 3 || vector == 4 || vector == 0x80);
}

/* Assembling */

struct writer {
	uint8_t bytes[40];
	unsigned count;
};

static void put(struct writer *w, unsigned byte)
{
	w->bytes[w->count++] = (uint8_t)byte;
}

/* Register extension bits, active high. */
struct extension {
	unsigned r, x, b, r_high, v_high, vvvv, z, aaa;
	bool rex;
};

static void put_legacy(struct writer *out, const struct template *t, const struct extension *e)
{
	if (t->pp)
		put(out, t->pp);
	unsigned rex = t->w << 3 | e->r << 2 | e->x << 1 | e->b;

	if (rex || e->rex)
		put(out, 0x40 | rex);
	if (t->map != MAP_1)
		put(out, 0x0f);
	if (t->map == MAP_0F38)
		put(out, 0x38);
	if (t->map == MAP_0F3A)
		put(out, 0x3a);
}

static unsigned pp_bits(uint8_t pp)
{
	return pp == 0x66 ? 1 : pp == 0xf3 ? 2 : pp == 0xf2 ? 3 : 0;
}

static void put_vector_prefix(struct writer *out, const struct template *t,
			      const struct extension *e)
{
	unsigned p0 = !e->r << 7 | !e->x << 6 | !e->b << 5 | t->map;
	unsigned p1 = t->w << 7 | (~e->vvvv & 15) << 3 | pp_bits(t->pp);

	if (t->encoding == VEX) {
		put(out, 0xc4);
		put(out, p0);
		put(out, p1 | t->l << 2);
	} else {
		put(out, 0x62);
		put(out, p0 | !e->r_high << 4);
		put(out, p1 | 4);
		put(out, e->z << 7 | t->l << 5 | t->b << 4 | !e->v_high << 3 | e->aaa);
	}
}

static void assemble(struct writer *out, const struct template *t, const struct extension *e,
		     bool has_modrm)
{
	if (t->encoding == LEGACY)
		put_legacy(out, t, e);
	else
		put_vector_prefix(out, t, e);
	put(out, t->opcode);
	if (has_modrm)
		put(out, t->modrm);
}

/* Listing */

static uint32_t mode_for(const struct vcpu *c, unsigned width)
{
	uint32_t mode = c->mode & ~(uint32_t)(MODE_CODE64 | MODE_CODE32);

	return mode | (width == 64 ? MODE_CODE64 : width == 32 ? MODE_CODE32 : 0);
}

static uint64_t form_key(const struct insn *i, const struct template *t, unsigned width)
{
	uint64_t key = i->op;

	key = key << 4 | i->opsize;
	key = key << 7 | i->vlen;
	key = key << 1 | (insn_has_memory(i) && op_info(i->op)->flags & OP_MODRM);
	key = key << 1 | t->b;
	key = key << 1 | (t->encoding != LEGACY && t->w);
	if (op_info(i->op)->flags & OP_X87)
		key = key << 6 | (i->modrm & 0x3f);
	return key << 3 | width >> 4;
}

static struct form_entry *form_find(uint64_t key)
{
	static struct form_entry *table[1 << 18];
	unsigned slot = (unsigned)((key * 0x9e3779b97f4a7c15ull) >> 46);

	for (; table[slot]; slot = (slot + 1) & 0x3ffff)
		if (table[slot]->key == key)
			return table[slot];
	if (form_count == MAX_FORMS)
		return NULL;
	table[slot] = &forms[form_count++];
	table[slot]->key = key;
	return table[slot];
}

static void name_form(struct form_entry *f, const struct insn *i, const struct template *t)
{
	static const char *const encodings[] = { "", "v.", "e." };
	const struct op_info *info = op_info(i->op);
	bool memory = insn_has_memory(i) && info->flags & OP_MODRM;

	snprintf(f->public.name, sizeof(f->public.name), "%s%s/%u%s%s%s", encodings[t->encoding],
		 info->mnemonic, i->vlen ? i->vlen : i->opsize, memory ? " m" : "",
		 t->b ? " b" : "",
		 f->width == 64   ? ""
		 : f->width == 32 ? " 32"
				  : " 16");
}

/* --only takes part of a mnemonic, or a class. */
static bool is_wanted(const struct op_info *info, const char *only)
{
	if (!strcmp(only, "vector"))
		return info->flags & OP_VECTOR;
	if (!strcmp(only, "x87"))
		return info->flags & OP_X87;
	if (!strcmp(only, "general"))
		return !(info->flags & (OP_X87 | OP_VECTOR));
	return strstr(info->mnemonic, only);
}

static void show(struct vcpu *c, const struct template *t, unsigned width, const char *only)
{
	const struct extension none = { 0 }, masked = { .aaa = 1 };
	struct writer out = { .count = 0 };
	struct insn i = { .start = 0 };

	assemble(&out, t, &none, true);
	for (unsigned n = 0; n < 12; n++)
		put(&out, 0x21);
	uint32_t mode = mode_for(c, width);

	decode(c, out.bytes, MAX_CODE, mode, &i);
	if (i.exec == exec_ud && t->encoding == EVEX) {
		out.count = 0;
		assemble(&out, t, &masked, true);
		for (unsigned n = 0; n < 12; n++)
			put(&out, 0x21);
		decode(c, out.bytes, MAX_CODE, mode, &i);
	}
	if (i.exec == exec_ud || !is_runnable(op_info(i.op)))
		return;
	if (for_programs && !is_fit_for_programs(op_info(i.op)))
		return;
	if (only && !is_wanted(op_info(i.op), only))
		return;
	struct form_entry *f = form_find(form_key(&i, t, width));

	if (!f)
		return;
	if (!f->seen++) {
		f->public.info = op_info(i.op);
		f->op = i.op;
		f->width = (uint8_t)width;
		f->has_modrm = op_info(i.op)->flags & OP_MODRM;
		name_form(f, &i, t);
	}
	if (f->templates < TEMPLATES)
		f->template[f->templates++] = *t;
	else if (f->seen % 7 == 0)
		f->template[f->seen / 7 % TEMPLATES] = *t;
}

static void show_modrms(struct vcpu *c, struct template t, unsigned width, const char *only)
{
	bool all_rm =
		t.encoding == LEGACY && ((t.map == MAP_1 && t.opcode >= 0xd8 && t.opcode <= 0xdf) ||
					 (t.map == MAP_0F && t.opcode <= 1));

	for (unsigned reg = 0; reg < 8; reg++) {
		t.modrm = (uint8_t)(reg << 3 | 4); /* a SIB byte, for VSIB */
		show(c, &t, width, only);
		for (unsigned rm = all_rm ? 0 : 2; rm < (all_rm ? 8 : 3); rm++) {
			t.modrm = (uint8_t)(0xc0 | reg << 3 | rm);
			show(c, &t, width, only);
		}
	}
}

static bool is_rex(const struct template *t)
{
	return t->encoding == LEGACY && t->map == MAP_1 && (t->opcode & 0xf0) == 0x40;
}

static void show_sizes(struct vcpu *c, struct template t, const char *only)
{
	static const uint8_t pps[] = { 0, 0x66, 0xf3, 0xf2 };
	unsigned lengths = t.encoding == LEGACY ? 1 : t.encoding == VEX ? 2 : 3;

	for (unsigned n = 0; n < 16 * lengths; n++) {
		t.pp = pps[n & 3];
		t.w = n >> 2 & 1;
		t.b = n >> 3 & 1;
		t.l = (uint8_t)(n >> 4);
		if (t.b && t.encoding != EVEX)
			continue;
		if (!is_rex(&t))
			show_modrms(c, t, 64, only);
		if (!t.w || t.encoding != LEGACY)
			show_modrms(c, t, 32, only);
		if (!t.w && t.encoding == LEGACY)
			show_modrms(c, t, 16, only);
	}
}

static bool is_prefix(const struct template *t)
{
	const uint8_t o = t->opcode;

	if (t->encoding != LEGACY)
		return false;
	if (t->map == MAP_0F)
		return o == 0x38 || o == 0x3a || o == 0x0f;
	return t->map == MAP_1 &&
	       (o == 0x0f || (o & 0xe7) == 0x26 || (o >= 0x62 && o <= 0x67 && o != 0x63) ||
		o == 0xf0 || o == 0xf2 || o == 0xf3 || o == 0xc4 || o == 0xc5);
}

unsigned forms_list(struct vcpu *c, const char *only, bool program)
{
	for_programs = program;
	forms = calloc(MAX_FORMS, sizeof(*forms));
	for (unsigned encoding = LEGACY; encoding <= EVEX; encoding++)
		for (unsigned map = encoding == LEGACY ? MAP_1 : MAP_0F; map <= MAP_0F3A; map++)
			for (unsigned opcode = 0; opcode < 256; opcode++) {
				struct template t = { .encoding = (uint8_t)encoding,
						      .map = (uint8_t)map,
						      .opcode = (uint8_t)opcode };
				if (!is_prefix(&t))
					show_sizes(c, t, only);
			}
	return form_count;
}

/* Random bytes of one form */

static void random_prefixes(struct writer *out, const struct form_entry *f, struct random *r,
			    const struct template *t)
{
	/* CS in 64-bit mode only: elsewhere it cannot be written through, and which fault wins
	 * then depends on the processor. */
	static const uint8_t segments[] = { 0x65, 0x2e, 0x26, 0x36, 0x3e };

	if (random_percent(r, 6))
		put(out, segments[random_below(r, (f->width != 64) ? 3 : 5) +
				  ((f->width != 64) ? 2 : 0)]);
	if (random_percent(r, 6))
		put(out, 0x67);
	if (t->encoding != LEGACY)
		return;
	if (random_percent(r, f->public.info->flags & OP_LOCK ? 25 : 1))
		put(out, 0xf0);
	if (f->public.info->flags & OP_STRING && random_percent(r, 60))
		put(out, random_percent(r, 50) ? 0xf3 : 0xf2);
}

static void random_extension(struct extension *e, const struct form_entry *f, struct random *r,
			     const struct template *t)
{
	const struct op_info *info = f->public.info;

	*e = (struct extension){ 0 };
	if (!(f->width != 64)) {
		e->r = random_below(r, 2);
		e->x = random_below(r, 2);
		e->b = random_below(r, 2);
		e->rex = random_percent(r, 30);
	}
	if (t->encoding == LEGACY) {
		if (random_percent(r, 50))
			e->r = e->x = e->b = 0;
		return;
	}
	if (info->vvvv != FIELD_NONE)
		e->vvvv = random_below(
			r, (f->width != 64) || (info->vvvv & FIELD_KIND) == FIELD_MASK ? 8 : 16);
	if ((info->reg & FIELD_KIND) == FIELD_MASK)
		e->r = 0;
	if (t->encoding == VEX)
		return;
	if (!(f->width != 64)) {
		e->r_high = (info->reg & FIELD_KIND) == FIELD_VECTOR && random_percent(r, 30);
		e->v_high = (info->vvvv != FIELD_NONE || info->flags & OP_ANY_VSIB) &&
			    random_percent(r, 30);
	}
	if (info->flags & OP_MUST_MASK || (info->flags & OP_MASKABLE && random_percent(r, 60)))
		e->aaa = 1 + random_below(r, 7);
	if (info->flags & OP_ZEROABLE && e->aaa)
		e->z = random_below(r, 2);
}

static void random_modrm(struct template *t, const struct form_entry *f, struct random *r)
{
	const struct op_info *info = f->public.info;
	bool fixed_reg = info->reg == FIELD_NONE, fixed_rm = info->rm == FIELD_NONE;

	if (info->flags & OP_X87 || (t->map == MAP_0F && t->opcode <= 1 && t->encoding == LEGACY))
		fixed_reg = fixed_rm = true;
	if (!fixed_reg)
		t->modrm = (uint8_t)((t->modrm & 0xc7) | random_below(r, 8) << 3);
	if (t->modrm >= 0xc0) {
		if (!fixed_rm)
			t->modrm = (uint8_t)((t->modrm & 0xf8) | random_below(r, 8));
		return;
	}
	unsigned rm = info->flags & OP_ANY_VSIB ? 4 : (unsigned)random_below(r, 8);

	t->modrm = (uint8_t)((t->modrm & 0x38) | random_below(r, 3) << 6 | rm);
}

static void random_tail(struct writer *out, const struct template *t, bool memory, struct random *r)
{
	if (memory && (t->modrm & 7) == 4)
		put(out, (unsigned)random_next(r) & 0xff);
	if (memory && t->modrm >= 0x80) { /* a displacement that keeps 32-bit sums in range */
		uint32_t disp = (uint32_t)random_integer(r);

		put(out, disp);
		put(out, disp >> 8);
		put(out, disp >> 16);
		put(out, disp >> 24);
	}
	while (out->count < sizeof(out->bytes))
		put(out, (unsigned)random_integer(r) & 0xff);
}

/* A short branch into its own bytes, or to itself, would not come back. */
static bool branches_into_itself(const struct test *t, const struct insn *i)
{
	if (op_info(i->op)->imm != IMM_REL8 && op_info(i->op)->imm != IMM_RELZ)
		return false;
	int64_t target = (int64_t)i->imm - i->start;

	return target >= 0 && target < t->length;
}

static void place(struct test *t, struct random *r, bool is_whole)
{
	unsigned at = 0x100 + (unsigned)random_below(r, 0xd00);

	if (is_whole && random_percent(r, 3))
		at = 0x1000 - t->length; /* the last of its page */
	t->in.rip = CODE + at;
}

/* Flips a bit of VEX, EVEX, opcode or ModRM: mostly something that must be #UD. */
static void mutate(struct writer *out, struct random *r)
{
	unsigned first = 0;

	while (out->bytes[first] != 0x62 && out->bytes[first] != 0xc4)
		first++;
	out->bytes[first + 1 + random_below(r, out->count - first - 1)] ^=
		(uint8_t)(1 << random_below(r, 8));
}

/* Valid on some hosts, but never in the engine: maps 4 to 7, AMX, BF16, VNNI with VEX, ... */
static bool is_beyond_engine(const struct writer *out)
{
	unsigned first = 0;

	while (out->bytes[first] != 0x62 && out->bytes[first] != 0xc4)
		first++;
	const uint8_t *p = out->bytes + first;
	bool evex = p[0] == 0x62;
	unsigned map = p[1] & (evex ? 7 : 31), opcode = p[evex ? 4 : 3];

	if (map > 3)
		return true;
	if (map == 3)
		return opcode == 0x08 || opcode == 0x0a || opcode == 0xc2 || /* FP16 */
		       opcode == 0x26 || opcode == 0x27 || opcode == 0x56 || opcode == 0x57 ||
		       opcode == 0x66 || opcode == 0x67 || opcode == 0x48;
	return map == 2 && ((opcode >= 0x49 && opcode <= 0x5e) || opcode == 0x68 ||
			    opcode == 0x72 || opcode >= 0xb0);
}

bool form_assemble(struct vcpu *c, unsigned form, struct random *r, struct test *t,
		   struct insn *decoded)
{
	const struct form_entry *f = &forms[form];
	uint32_t mode = mode_for(c, f->width);

	for (unsigned tries = 0; tries < 20; tries++) {
		struct template template = f->template[random_below(r, f->templates)];
		struct writer out = { .count = 0 };
		struct extension extension;

		random_prefixes(&out, f, r, &template);
		random_extension(&extension, f, r, &template);
		if (f->has_modrm)
			random_modrm(&template, f, r);
		assemble(&out, &template, &extension, f->has_modrm);
		bool mutated = template.encoding != LEGACY && random_percent(r, 4);

		if (mutated)
			mutate(&out, r);
		random_tail(&out, &template, f->has_modrm && template.modrm < 0xc0, r);
		*decoded = (struct insn){ .start = 0 };
		unsigned length = decode(c, out.bytes, MAX_CODE, mode, decoded);

		t->length = (uint8_t)MIN(length, MAX_CODE);
		t->width = f->width;
		t->compat = f->width != 64;
		t->stack16 = f->width == 16 && random_percent(r, 50);
		t->form = (uint16_t)form;
		t->instructions = 1;
		memcpy(t->code, out.bytes, MAX_CODE);
		place(t, r, decoded->exec != exec_ud);
		if (decoded->exec != exec_ud && decoded->op != f->op &&
		    !(mutated && op_info(decoded->op)->flags & OP_VECTOR))
			continue;
		if (!length || branches_into_itself(t, decoded) || enters_kernel(decoded))
			continue;
		if (decoded->exec == exec_ud && !mutated && !random_percent(r, 10))
			continue;
		if (decoded->exec == exec_ud && mutated && is_beyond_engine(&out))
			continue;
		if (decoded->exec != exec_ud) {
			segments_fill_immediate(r, t, decoded);
			decode(c, t->code, MAX_CODE, mode, decoded);
		}
		return true;
	}
	return false;
}

static bool fits_sequence(const struct form_entry *f, const struct test *t)
{
	return f->public.info->flags & (OP_VECTOR | OP_X87) && f->width == t->width;
}

bool form_append(struct vcpu *c, struct random *r, struct test *t)
{
	for (unsigned tries = 0; tries < 50; tries++) {
		unsigned form = (unsigned)random_below(r, form_count);
		struct test more;
		struct insn i;

		if (!fits_sequence(&forms[form], t) || t->length + MAX_CODE > CODE_BYTES)
			continue;
		if (!form_assemble(c, form, r, &more, &i) || i.exec == exec_ud)
			continue;
		if ((t->in.rip & 0xfff) + t->length + more.length > 0x1000)
			return false;
		memcpy(t->code + t->length, more.code, more.length);
		t->length += more.length;
		t->instructions++;
		return true;
	}
	return false;
}

bool form_decode(struct vcpu *c, const struct test *t, uint64_t rip, struct insn *decoded)
{
	uint8_t bytes[CODE_BYTES + MAX_CODE] = { 0 };
	uint64_t offset = rip - t->in.rip;

	if (offset >= t->length)
		return false;
	memcpy(bytes, t->code, t->length);
	*decoded = (struct insn){ .start = 0 };
	return decode(c, bytes + offset, MAX_CODE, mode_for(c, t->width), decoded) != 0;
}
