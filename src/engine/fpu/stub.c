/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Stubs by what they do: each vCPU keeps one per distinct instruction form.
 *
 * fpu_prepare() reduces an instruction to a struct form (no prefixes that do not matter, no
 * address) and looks it up; only the first of its kind is generated. When the memory is full, the
 * instruction asks for all decoded code to be dropped, and everything starts anew.
 */
#include "internal.h"

#include "engine/sys/log.h"

static unsigned form_hash(const struct form *f)
{
	uint64_t words[(sizeof(*f) + 7) / 8] = { 0 }, hash = 0;

	memcpy(words, f, sizeof(*f));
	for (unsigned n = 0; n < ARRAY_LEN(words); n++)
		hash = (hash ^ words[n]) * 0x9e3779b97f4a7c15ull;
	return (unsigned)(hash >> 40) % STUB_HASH;
}

/* VEX.W, VEX.L and EVEX's L'L, as the bytes say it. */
static void form_size_bits(struct form *f, const struct op_info *info, const struct insn *i,
			   const struct vector_bits *bits, const uint8_t *bytes)
{
	const uint8_t *prefix = bytes + bits->prefix_bytes;

	if (info->encoding == LEGACY) {
		f->w = !!(i->prefix & PREFIX_REX_W);
	} else if (prefix[0] == 0x62) {
		f->w = prefix[2] >> 7;
		f->l = prefix[3] >> 5 & 3;
	} else if (prefix[0] == 0xc4) {
		f->w = prefix[2] >> 7;
		f->l = prefix[2] >> 2 & 1;
	} else {
		f->l = prefix[1] >> 2 & 1;
	}
	if (info->flags & OP_SCALAR && !(f->b && f->modrm))
		f->l = 0;
}

static void form_make(struct form *f, const struct op_info *info, const struct insn *i,
		      const uint8_t *bytes, bool code64)
{
	struct vector_bits bits = vector_bits(i);
	/* Outside 64-bit mode there is no wide form of these; W is ignored. */
	bool uses_gpr = field_is_gpr(info->reg) || field_is_gpr(info->rm) ||
			info->flags & OP_READS_EAX_EDX;

	memset(f, 0, sizeof(*f));
	f->op = i->op;
	f->opcode = bytes[bits.opcode_at];
	f->pp = info->map == MAP_1 ? 0 : bits.pp;
	f->b = bits.b;
	f->z = bits.zeroing;
	f->mask = bits.mask;
	if (info->flags & OP_MODRM && !insn_has_memory(i))
		f->modrm = 0xc0;
	if (info->map == MAP_1 || (info->flags & OP_MODRM && field_kind(info->reg) == FIELD_NONE))
		f->modrm |= i->modrm & 0x38;
	else
		f->reg = i->reg;
	if (!insn_has_memory(i))
		f->rm = info->map == MAP_1 ? i->modrm & 7 : i->rm;
	f->vvvv = info->encoding == LEGACY || field_kind(info->vvvv) == FIELD_NONE ? 0 : i->vvvv;
	f->imm8 = info->imm == IMM_NONE ? 0 : bits.imm8;
	if (info->imm == IMM_IS4 && !code64)
		f->imm8 &= 0x7f;
	if (info->flags & OP_ANY_VSIB) {
		f->index = bits.vsib_index;
		f->scale = i->scale;
	}
	form_size_bits(f, info, i, &bits, bytes);
	if (!code64 && uses_gpr)
		f->w = 0;
}

static unsigned class_of(const struct op_info *info, const struct insn *i)
{
	bool reg_mmx = field_kind(info->reg) == FIELD_MMX;
	bool rm_mmx = field_kind(info->rm) == FIELD_MMX;
	bool has_vector = field_kind(info->reg) == FIELD_VECTOR ||
			  field_kind(info->rm) == FIELD_VECTOR;

	if (info->flags & OP_X87)
		return CLASS_X87;
	if (info->encoding == EVEX || (info->encoding == VEX && field_kind(info->reg) == FIELD_MASK))
		return CLASS_AVX512;
	if (info->encoding == VEX)
		return field_kind(info->rm) == FIELD_MASK ? CLASS_AVX512 : CLASS_AVX;
	/* CVTPI2PD, and in fact CVTPI2PS, leave the x87 unit alone with a memory operand. */
	if (has_vector && rm_mmx && insn_has_memory(i))
		return CLASS_SSE;
	if (reg_mmx || rm_mmx)
		return has_vector ? CLASS_SSE_MMX : CLASS_MMX;
	return CLASS_SSE;
}

static bool host_has(const struct op_info *info, unsigned class)
{
	uint64_t components = xsave_supported();

	if (class == CLASS_AVX && (components & XCR0_AVX) != XCR0_AVX)
		return false;
	if (class == CLASS_AVX512 && (components & XCR0_AVX512) != XCR0_AVX512)
		return false;
	return host_can_run(info->feature) && host_can_run(info->feature2);
}

static void stub_ud(struct vcpu *c, const struct insn *i, const struct stub *s)
{
	raise_ud(c);
}

static bool stub_generate(const struct vcpu *c, struct stub *s)
{
	struct fpu_stubs *stubs = c->stubs;
	struct port_code *code = &stubs->code;
	unsigned bytes = host_generate(s, code->write + stubs->code_used,
				       (unsigned)MIN(code->size - stubs->code_used, 512u));

	if (!bytes)
		return false;
	s->run = (stub_code *)(uintptr_t)(code->run + stubs->code_used);
	if (log_wants(c, VM_LOG_OUT_ASM))
		log_host_code(c, s->info->mnemonic, code->run + stubs->code_used,
			      code->write + stubs->code_used, bytes);
	stubs->code_used = ALIGN_UP(stubs->code_used + bytes, 16);
	return true;
}

static struct stub *stub_new(const struct vcpu *c, const struct form *f, const struct insn *i)
{
	struct fpu_stubs *stubs = c->stubs;
	bool code64 = c->mode & MODE_CODE64;

	if (stubs->count == STUB_LIMIT)
		return NULL;
	struct stub *s = &stubs->stubs[stubs->count];

	memset(s, 0, sizeof(*s));
	s->form = *f;
	s->info = op_info(i->op);
	s->class = (uint8_t)class_of(s->info, i);
	if (s->info->flags & OP_X87)
		x87_prepare(s, i);
	else
		vector_prepare(s, i, code64);
	if (!host_has(s->info, s->class))
		s->exec = stub_ud;
	else if (!stub_generate(c, s))
		return NULL;
	stubs->count++;
	return s;
}

struct stub *stub_get(const struct vcpu *c, const struct insn *i, const uint8_t *bytes)
{
	struct form form;

	form_make(&form, op_info(i->op), i, bytes, c->mode & MODE_CODE64);
	struct stub **bucket = &c->stubs->hash[form_hash(&form)];

	for (struct stub *s = *bucket; s; s = s->chain)
		if (!memcmp(&s->form, &form, sizeof(form)))
			return s;
	struct stub *s = stub_new(c, &form, i);

	if (s) {
		s->chain = *bucket;
		*bucket = s;
	}
	return s;
}

/* In place of an instruction for whose stub there was no room. */
static void exec_without_stub(struct vcpu *c, const struct insn *i)
{
	vcpu_request(c, REQUEST_CODE_FLUSH);
	unwind_restart(c);
}

void fpu_prepare(const struct vcpu *c, struct insn *i, const uint8_t *bytes)
{
	struct stub *s = stub_get(c, i, bytes);

	if (!s)
		i->exec = exec_without_stub;
	i->imm = (uint64_t)(uintptr_t)s;
}

bool fpu_imm8(const struct insn *i, uint8_t *imm8)
{
	if (i->exec == exec_without_stub)
		return false;
	*imm8 = stub_of(i)->form.imm8;
	return true;
}

bool fpu_vector_form(const struct insn *i, struct vector_form *form)
{
	static const uint8_t level[] = { [CLASS_SSE] = VECTORS_SSE, [CLASS_AVX] = VECTORS_AVX,
					 [CLASS_AVX512] = VECTORS_AVX512, [CLASS_X87] = 0 };
	const struct op_info *info = op_info(i->op);
	const struct stub *s = stub_of(i);

	if (!(info->flags & OP_VECTOR) || i->exec != exec_vector ||
	    info->flags & (OP_ANY_VSIB | OP_DI_STORE) || s->exec == stub_ud || !level[s->class] ||
	    (insn_has_memory(i) && !s->bytes))
		return false;
	*form = (struct vector_form){
		.level = level[s->class], .pp = s->form.pp, .opcode = s->form.opcode, .w = s->form.w,
		.l = s->form.l, .mask = s->form.mask, .b = s->form.b, .z = s->form.z,
		.vvvv = s->form.vvvv, .rm = s->form.rm,
		.reg = field_kind(info->reg) == FIELD_NONE ? s->form.modrm >> 3 & 7 : s->form.reg,
		.reg_is_gpr = field_is_gpr(info->reg), .rm_is_gpr = field_is_gpr(info->rm),
		.has_imm8 = info->imm != IMM_NONE, .imm8 = s->form.imm8, .bytes = s->bytes,
		.is_aligned = s->traits & STUB_ALIGNED,
	};
	return true;
}

void fpu_forget_stubs(struct vcpu *c)
{
	memset(c->stubs->hash, 0, sizeof(c->stubs->hash));
	c->stubs->count = 0;
	c->stubs->code_used = 0;
}
