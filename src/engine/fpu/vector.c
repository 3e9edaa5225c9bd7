/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * exec_vector: MMX, SSE, AVX and AVX-512 instructions by way of their stubs.
 *
 * A memory operand in one page of guest RAM is used in place. Any other is brought into the frame's
 * buffer before, or written from it after the stub has run; elements that a mask turns off are not
 * touched then. Floating-point exceptions are masked while a stub runs and looked at after it.
 *
 * Manual: SDM 1 11.5 (exceptions), SDM 2A 2.4, 2.6.11, 2.8 (exception classes).
 * Not modelled: #AC of 16-byte accesses with alignment checking on. PE beside an unmasked overflow
 * or underflow is what the masked response would report. DPPx may set flags of steps that the
 * processor would not reach.
 */
#include "internal.h"

#include "engine/interp/address.h"
#include "engine/interp/flags.h"

static void check_sse(struct vcpu *c)
{
	if (c->cr0 & CR0_EM || !(c->cr4 & CR4_OSFXSR))
		raise_ud(c);
	if (c->cr0 & CR0_TS)
		raise_fault(c, EXC_NM);
}

static void check_avx(struct vcpu *c, uint64_t components)
{
	if (!(c->cr4 & CR4_OSXSAVE) || (c->xcr0 & components) != components ||
	    !(c->cr0 & CR0_PE) || c->mode & MODE_VM86)
		raise_ud(c);
	if (c->cr0 & CR0_TS)
		raise_fault(c, EXC_NM);
}

void vector_check_class(struct vcpu *c, unsigned class)
{
	switch (class) {
	case CLASS_SSE_MMX:
	case CLASS_SSE:
		if (unlikely(c->cr0 & (CR0_EM | CR0_TS) || !(c->cr4 & CR4_OSFXSR)))
			check_sse(c);
		break;
	case CLASS_AVX:
		check_avx(c, XCR0_AVX);
		break;
	case CLASS_AVX512:
		check_avx(c, XCR0_AVX512);
		c->wide_used = true;
		break;
	case CLASS_MMX:
		if (c->cr0 & CR0_EM)
			raise_ud(c);
		if (c->cr0 & CR0_TS)
			raise_fault(c, EXC_NM);
		break;
	}
}

/* Floating-point exceptions */

/*
 * The flags that an unmasked exception leaves: with a pre-computation one (IE, DE, ZE) nothing was
 * computed, so the others are not set. [SDM 1 11.5.4]
 */
static NORETURN void raise_simd_exception(struct vcpu *c, uint32_t raised, uint32_t unmasked)
{
	const uint32_t before = FP_IE | FP_DE | FP_ZE;
	uint32_t mxcsr = load_le32(c->xsave + AREA_MXCSR);

	store_le32(c->xsave + AREA_MXCSR, mxcsr | (raised & unmasked & before ? raised & before
									       : raised));
	if (!(c->cr4 & CR4_OSXMMEXCPT))
		raise_ud(c);
	raise_fault(c, EXC_XM);
}

static bool converts_to_half(const struct stub *s)
{
	return s->info->map == MAP_0F3A && s->form.opcode == 0x1d;
}

/* VCVTPS2PH knows no FTZ: is a source below 2^-14, but a multiple of 2^-24? */
static bool has_exact_tiny_half(struct vcpu *c, const struct stub *s)
{
	uint64_t mask = s->form.mask ? mask_register(c, s->form.mask) : ~0ull;

	for (unsigned n = 0; n < 4u << s->form.l; n++) {
		uint32_t value = load_le32(vector_element(c, s->form.reg, 4 * n));
		unsigned exponent = value >> 23 & 0xff;
		uint32_t significand = (value & 0x7fffff) | 0x800000;

		if (mask >> n & 1 && exponent >= 103 && exponent < 113 &&
		    !(significand & (BIT(126 - exponent) - 1)))
			return true;
	}
	return false;
}

/*
 * With underflow unmasked, an exact tiny result is an exception too, which a masked run does not
 * report; one that flushes to zero does. No register is changed here.
 */
static uint32_t find_tiny_results(struct vcpu *c, const struct stub *s, void *memory,
				  struct stub_frame *f)
{
	uint32_t run_mxcsr = f->run_mxcsr, abort = f->abort;

	f->run_mxcsr |= MXCSR_FTZ;
	f->abort = MXCSR_INIT;
	s->run(c, memory, f);
	uint32_t tiny = f->out_mxcsr & FP_UE;

	if (converts_to_half(s) && has_exact_tiny_half(c, s))
		tiny = FP_UE;
	f->run_mxcsr = run_mxcsr & ~(uint32_t)MXCSR_FTZ;
	s->run(c, memory, f);
	f->abort = abort;
	f->run_mxcsr = run_mxcsr;
	return tiny ? tiny | (f->out_mxcsr & FP_ALL) : 0;
}

static void run_fp(struct vcpu *c, const struct stub *s, void *memory)
{
	struct stub_frame *f = &c->stubs->frame;
	uint32_t mxcsr = load_le32(c->xsave + AREA_MXCSR);

	f->run_mxcsr = (mxcsr | MXCSR_INIT) & ~(uint32_t)FP_ALL;
	f->abort = ~mxcsr >> 7 & FP_ALL;
	if (s->form.b && s->form.modrm >= 0xc0) /* suppresses all exceptions */
		f->abort = 0;
	if (unlikely(f->abort & FP_UE)) {
		uint32_t raised = find_tiny_results(c, s, memory, f);

		if (raised)
			raise_simd_exception(c, raised, f->abort);
	}
	bool failed = s->run(c, memory, f);

	if (unlikely(failed))
		raise_simd_exception(c, f->out_mxcsr & FP_ALL, f->abort);
	store_le32(c->xsave + AREA_MXCSR, mxcsr | (f->out_mxcsr & FP_ALL));
}

void vector_run(struct vcpu *c, const struct stub *s, void *memory)
{
	struct stub_frame *f = &c->stubs->frame;

	if (s->traits & STUB_RFLAGS)
		f->rflags = F_1;
	if (s->traits & STUB_FP)
		run_fp(c, s, memory);
	else
		s->run(c, memory, f);
	if (s->traits & STUB_RFLAGS)
		flags_load_status(c, (uint32_t)f->rflags);
}

/* Memory operands */

/* Enabled elements of a masked operand, one bit each; all ones: the whole operand. */
static uint64_t enabled_elements(const struct vcpu *c, const struct stub *s)
{
	if (!s->form.mask || !s->elements)
		return ~0ull;
	uint64_t all = s->elements < 64 ? BIT(s->elements) - 1 : ~0ull;
	uint64_t bits = mask_register(c, s->form.mask), mask = bits & all;

	for (unsigned n = 1; n < s->repeats; n++)
		mask |= bits >> n * s->elements & all;
	return mask == all ? ~0ull : mask;
}

/* Reads the elements that `mask` enables into the frame's buffer; the others become 0. */
void vector_read_masked(struct vcpu *c, const struct stub *s, gva_t address, uint64_t mask)
{
	uint8_t *buffer = c->stubs->frame.buffer;

	memset(buffer, 0, s->bytes);
	for (unsigned n = 0; n < s->elements; n++)
		if (mask >> n & 1)
			store_le(buffer + n * s->element,
				 mem_read(c, address + n * s->element, s->element), s->element);
}

static void write_masked(struct vcpu *c, const struct stub *s, gva_t address, uint64_t mask)
{
	const uint8_t *buffer = c->stubs->frame.buffer;

	if (s->traits & STUB_WHOLE)
		mem_check_write(c, address, s->bytes);
	for (unsigned n = 0; n < s->elements; n++)
		if (mask >> n & 1)
			mem_check_write(c, address + n * s->element, s->element);
	for (unsigned n = 0; n < s->elements; n++)
		if (mask >> n & 1)
			mem_write(c, address + n * s->element, s->element,
				  load_le(buffer + n * s->element, s->element));
}

/* VPEXPAND and VPCOMPRESS touch as many leading elements as the mask has bits. */
static bool is_packed_by_mask(const struct stub *s)
{
	return s->info->encoding == EVEX && s->info->map == MAP_0F38 && s->form.pp == 0x66 &&
	       (s->form.opcode == 0x62 || s->form.opcode == 0x63 ||
		(s->form.opcode >= 0x88 && s->form.opcode <= 0x8b));
}

static uint64_t leading_elements(uint64_t mask)
{
	unsigned count = (unsigned)__builtin_popcountll(mask);

	return count < 64 ? BIT(count) - 1 : ~0ull;
}

/* VMASKMOVPx, VPMASKMOVx: the sign bits of vvvv are the mask. */
static uint64_t sign_mask(struct vcpu *c, const struct stub *s)
{
	uint64_t mask = 0;

	for (unsigned n = 0; n < s->elements; n++)
		mask |= (uint64_t)(vector_element(c, s->form.vvvv, n * s->element)[s->element - 1] >>
				   7) << n;
	return mask;
}

static bool has_sign_mask(const struct stub *s)
{
	return s->info->encoding == VEX && s->info->map == MAP_0F38 &&
	       ((s->form.opcode >= 0x2c && s->form.opcode <= 0x2f) || s->form.opcode == 0x8c ||
		s->form.opcode == 0x8e);
}

static uint64_t touched_elements(struct vcpu *c, const struct stub *s)
{
	if (has_sign_mask(s))
		return sign_mask(c, s);
	uint64_t mask = enabled_elements(c, s);

	return mask != ~0ull && is_packed_by_mask(s) ? leading_elements(mask) : mask;
}

/* A masked operand whose elements are all off matters neither to limits nor to alignment. */
static NOINLINE gva_t masked_address(struct vcpu *c, const struct insn *i, const struct stub *s,
				     enum access access)
{
	bool touched = s->traits & STUB_WHOLE || touched_elements(c, s);

	if (!touched && (i->seg >= FS || !(c->mode & MODE_FLAT)))
		return 0;
	gva_t address = operand_address(c, i, s->bytes, access);

	if (touched && s->traits & STUB_ALIGNED && address & (s->bytes - 1u))
		raise_gp(c);
	return address;
}

static ALWAYS_INLINE gva_t stub_address(struct vcpu *c, const struct insn *i,
					const struct stub *s, enum access access)
{
	if (unlikely(s->elements))
		return masked_address(c, i, s, access);
	gva_t address = operand_address(c, i, s->bytes, access);

	if (s->traits & STUB_ALIGNED && unlikely(address & (s->bytes - 1u)))
		raise_gp(c);
	return address;
}

static NOINLINE void *read_slowly(struct vcpu *c, const struct stub *s, gva_t address)
{
	uint64_t mask = touched_elements(c, s);

	if (mask == ~0ull)
		mem_read_bytes(c, address, c->stubs->frame.buffer, s->bytes);
	else
		vector_read_masked(c, s, address, mask);
	return c->stubs->frame.buffer;
}

static NOINLINE void write_slowly(struct vcpu *c, const struct stub *s, gva_t address)
{
	uint64_t mask = touched_elements(c, s);

	if (mask == ~0ull) { /* floating-point exceptions come before page faults */
		vector_run(c, s, c->stubs->frame.buffer);
		mem_write_bytes(c, address, c->stubs->frame.buffer, s->bytes);
	} else {
		vector_run(c, s, c->stubs->frame.buffer);
		write_masked(c, s, address, mask);
	}
}

/* Handlers */

static void run_registers(struct vcpu *c, const struct insn *i, const struct stub *s)
{
	vector_run(c, s, NULL);
	next(c, i);
}

static void run_simple_registers(struct vcpu *c, const struct insn *i, const struct stub *s)
{
	s->run(c, NULL, &c->stubs->frame);
	next(c, i);
}

static void run_load(struct vcpu *c, const struct insn *i, const struct stub *s)
{
	gva_t address = stub_address(c, i, s, ACCESS_READ);
	void *memory = tlb_read_pointer(c, address, s->bytes);

	vector_run(c, s, likely(memory) ? memory : read_slowly(c, s, address));
	next(c, i);
}

static void run_store(struct vcpu *c, const struct insn *i, const struct stub *s)
{
	gva_t address = stub_address(c, i, s, ACCESS_WRITE);
	void *memory = tlb_write_pointer(c, address, s->bytes);

	/* With FP exceptions unmasked, the store may not happen: never in place then. */
	if (likely(memory && !(s->traits & STUB_FP)))
		vector_run(c, s, memory);
	else
		write_slowly(c, s, address);
	next(c, i);
}

/* For MMX instructions that may still fault: c->xsave counts then. */
static void x87_take_back(struct vcpu *c)
{
	x87_sync(c);
	x87_not_live(c);
}

static void run_mmx(struct vcpu *c, const struct insn *i, const struct stub *s)
{
	void *memory = NULL;

	x87_check_pending(c);
	if (s->bytes) {
		gva_t address = stub_address(c, i, s, ACCESS_READ);

		memory = tlb_read_pointer(c, address, s->bytes);
		if (!memory)
			memory = read_slowly(c, s, address);
	}
	if (s->traits & STUB_FP) {
		x87_make_live(c);
		x87_take_back(c);
		x87_become_mmx(c->xsave); /* even if it raises #XM */
	} else {
		x87_make_live(c);
	}
	vector_run(c, s, memory);
	c->x87_live = true;
	next(c, i);
}

static void run_mmx_store(struct vcpu *c, const struct insn *i, const struct stub *s)
{
	x87_check_pending(c);
	gva_t address = stub_address(c, i, s, ACCESS_WRITE);
	void *memory = tlb_write_pointer(c, address, s->bytes);

	if (unlikely(!memory)) {
		x87_take_back(c);
		x87_set_top(c->xsave, 0); /* even if it faults */
		mem_check_write(c, address, s->bytes);
	}
	x87_make_live(c);
	vector_run(c, s, memory ? memory : c->stubs->frame.buffer);
	if (unlikely(!memory))
		mem_write_bytes(c, address, c->stubs->frame.buffer, s->bytes);
	next(c, i);
}

/* Plain 16-byte moves of legacy SSE are the most frequent of all: no stub is needed. */

static uint8_t *xmm(struct vcpu *c, unsigned reg)
{
	return c->xsave + AREA_XMM + 16 * reg;
}

static void move_registers(struct vcpu *c, const struct insn *i, const struct stub *s)
{
	bool to_rm = s->info->rm & FIELD_WRITTEN;

	memmove(xmm(c, to_rm ? i->rm : i->reg), xmm(c, to_rm ? i->reg : i->rm), 16);
	next(c, i);
}

static void move_load(struct vcpu *c, const struct insn *i, const struct stub *s)
{
	gva_t address = stub_address(c, i, s, ACCESS_READ);
	const void *memory = tlb_read_pointer(c, address, 16);

	if (likely(memory))
		memcpy(xmm(c, i->reg), memory, 16);
	else
		memcpy(xmm(c, i->reg), read_slowly(c, s, address), 16);
	next(c, i);
}

static void move_store(struct vcpu *c, const struct insn *i, const struct stub *s)
{
	gva_t address = stub_address(c, i, s, ACCESS_WRITE);
	void *memory = tlb_write_pointer(c, address, 16);

	if (likely(memory))
		memcpy(memory, xmm(c, i->reg), 16);
	else
		mem_write_bytes(c, address, xmm(c, i->reg), 16);
	next(c, i);
}

/* MOVUPS, MOVUPD, MOVAPS, MOVAPD, MOVDQA, MOVDQU, MOVNTPS, MOVNTPD, MOVNTDQ */
static bool is_plain_move(const struct stub *s)
{
	uint8_t pp = s->form.pp;

	if (s->info->encoding != LEGACY || s->info->map != MAP_0F)
		return false;
	switch (s->form.opcode) {
	case 0x10: case 0x11: case 0x28: case 0x29: case 0x2b:
		return pp == 0 || pp == 0x66;
	case 0x6f: case 0x7f:
		return pp == 0x66 || pp == 0xf3;
	case 0xe7:
		return pp == 0x66;
	}
	return false;
}

static stub_fn *plain_move_handler(const struct stub *s)
{
	if (!s->bytes)
		return move_registers;
	return s->info->rm & FIELD_WRITTEN ? move_store : move_load;
}

void exec_vector(struct vcpu *c, const struct insn *i)
{
	const struct stub *s = stub_of(i);

	vector_check_class(c, s->class);
	s->exec(c, i, s);
}

/* Preparation */

static void unknown_memory(struct vcpu *c, const struct insn *i, const struct stub *s)
{
	unwind_emulation_failure(c, s->info->mnemonic);
}

/* 0F opcodes that compute in floating point. Conversions to and from integers included. */
static bool is_fp_0f(uint8_t opcode, uint8_t pp, unsigned encoding)
{
	switch (opcode) {
	case 0x2a: case 0x2c ... 0x2f: case 0x51: case 0x58 ... 0x5f: case 0xc2: case 0xe6:
		return true;
	case 0x7c: case 0x7d: case 0xd0:
		return encoding != EVEX;
	case 0x78 ... 0x7b:
		return encoding == EVEX;
	}
	return opcode == 0x52 || opcode == 0x53; /* RCP, RSQRT: they look at DAZ and FTZ at most */
}

static bool is_fp_0f38(uint8_t opcode, uint8_t pp, unsigned encoding)
{
	switch (opcode) {
	case 0x13:
		return pp == 0x66; /* VCVTPH2PS */
	case 0x2c: case 0x2d:
		return encoding == EVEX; /* VSCALEF */
	case 0x42: case 0x43: case 0x4c ... 0x4f:
		return encoding == EVEX;
	case 0x96 ... 0x9f: case 0xa6 ... 0xaf: case 0xb6 ... 0xbf:
		return true; /* FMA */
	}
	return false;
}

static bool is_fp_0f3a(uint8_t opcode, unsigned encoding)
{
	switch (opcode) {
	case 0x08 ... 0x0b: case 0x1d:
		return true;
	case 0x40: case 0x41:
		return encoding != EVEX;
	case 0x26: case 0x27: case 0x50: case 0x51: case 0x54 ... 0x57: case 0x66: case 0x67:
		return encoding == EVEX;
	}
	return false;
}

static bool is_fp(const struct stub *s)
{
	const struct form *f = &s->form;
	unsigned encoding = s->info->encoding;

	if (s->info->map == MAP_0F)
		return is_fp_0f(f->opcode, f->pp, encoding);
	if (s->info->map == MAP_0F38)
		return is_fp_0f38(f->opcode, f->pp, encoding);
	return is_fp_0f3a(f->opcode, encoding);
}

/* VBROADCASTx, VPBROADCASTx */
static bool is_broadcast_load(const struct stub *s)
{
	const uint8_t opcode = s->form.opcode;

	return s->info->encoding == EVEX && s->info->map == MAP_0F38 && s->form.pp == 0x66 &&
	       ((opcode >= 0x18 && opcode <= 0x1b) || (opcode >= 0x58 && opcode <= 0x5b) ||
		opcode == 0x78 || opcode == 0x79);
}

/* `bytes`: of the whole operand, were it not one element for all. */
static void prepare_elements(struct stub *s, const struct insn *i, unsigned bytes)
{
	const struct op_info *info = s->info;

	s->repeats = 1;
	if (has_sign_mask(s)) {
		bool wide = s->form.w || s->form.opcode == 0x2d || s->form.opcode == 0x2f;

		s->element = wide ? 8 : 4;
	} else if (s->form.mask && info->flags & OP_MASK_ELEMENTS) {
		s->element = info->element;
	} else if (s->form.mask && info->rm & FIELD_WRITTEN) {
		s->element = info->element;
		s->traits |= STUB_WHOLE;
	}
	if (!s->element)
		return;
	s->elements = s->bytes / s->element;
	if (is_broadcast_load(s))
		s->repeats = i->vlen / s->bytes;
	else if (s->form.b)
		s->repeats = bytes / s->element;
}

static stub_fn *memory_handler(const struct stub *s)
{
	bool is_store = s->info->rm & FIELD_WRITTEN;

	if (s->info->flags & OP_ANY_VSIB)
		return s->info->flags & OP_SCATTER ? vector_scatter : vector_gather;
	if (!s->bytes)
		return unknown_memory;
	if (s->traits & STUB_X87)
		return is_store ? run_mmx_store : run_mmx;
	return is_store ? run_store : run_load;
}

void vector_prepare(struct stub *s, const struct insn *i, bool code64)
{
	const struct op_info *info = s->info;
	bool in_memory = insn_has_memory(i);

	if (is_fp(s))
		s->traits |= STUB_FP;
	if (info->flags & OP_PRODUCES_RFLAGS)
		s->traits |= STUB_RFLAGS;
	if (s->class == CLASS_MMX || s->class == CLASS_SSE_MMX)
		s->traits |= STUB_X87;
	if (in_memory) {
		unsigned bytes = op_memory_bytes(info, i, code64);

		s->bytes = (uint8_t)bytes;
		if (s->form.b && info->flags & OP_BROADCAST)
			s->bytes = info->element;
		if (info->flags & OP_ALIGNED)
			s->traits |= STUB_ALIGNED;
		prepare_elements(s, i, bytes);
		s->exec = memory_handler(s);
	} else if (info->flags & OP_DI_STORE) {
		s->exec = vector_maskmov_bytes;
	} else if (s->traits & STUB_X87) {
		s->exec = run_mmx;
	} else {
		s->exec = s->traits & (STUB_FP | STUB_RFLAGS) ? run_registers : run_simple_registers;
	}
	if (is_plain_move(s))
		s->exec = plain_move_handler(s);
}
