/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * x86-64 hosts: the guest's vector and x87 instructions as small pieces of host code.
 *
 * A stub is called with the vCPU, the host address of the memory operand, and a stub_frame. It
 * loads the registers that the instruction names from c->xsave into the same host registers, runs
 * the instruction with its memory operand replaced by [rsi] and its general registers by rax
 * (ModRM.reg) and rcx (ModRM.rm), and stores what was written. x87 and MMX registers live in the
 * host's own unit.
 *
 * Manual: SDM 2A 2.1-2.8 (encodings), SDM 1 13 (XSAVE).
 * Not modelled: hosts without FXSR; AVX-512 hosts without BW, DQ and VL get no AVX-512.
 */
#include "internal.h"

#include <cpuid.h>

enum { RSI_BASE = 6, REG_STAND_IN = 0 /* rax */, RM_STAND_IN = 1 /* rcx */ };
enum { PP_NONE, PP_66, PP_F3, PP_F2 };

#define GPR_AT(n)   ((uint32_t)offsetof(struct vcpu, gpr) + 8 * (n))
#define AREA_AT(x)  ((uint32_t)offsetof(struct vcpu, xsave) + (x))
#define FRAME_AT(m) ((uint8_t)offsetof(struct stub_frame, m))

struct emit {
	uint8_t *at, *end;
};

/* CPUID: dear where a hypervisor traps it, so asked once. These are constants of the host. */

struct host {
	bool known; /* atomic, set last */
	uint64_t features[FEATURE_COUNT / 64 + 1];
	uint64_t components;
	uint16_t offset[COMPONENT_COUNT], size[COMPONENT_COUNT];
	uint32_t mxcsr_mask;
};

struct fxsave_image {
	_Alignas(16) uint8_t bytes[512];
};

static bool cpuid_bit(unsigned leaf, unsigned subleaf, unsigned reg, unsigned bit)
{
	unsigned out[4];

	if (!__get_cpuid_count(leaf, subleaf, &out[0], &out[1], &out[2], &out[3]))
		return false;
	return out[reg] >> bit & 1;
}

static void find_features(struct host *host)
{
	static const struct {
		uint32_t leaf;
		uint8_t subleaf, reg, bit;
	} rows[] = {
		[FEATURE_NONE] = { 1, 0, 3, 24 }, /* FXSR */
#define FEATURE(name, leaf, subleaf, reg, bit) [FEATURE_##name] = { leaf, subleaf, reg, bit },
#include "base/cpu_features.def"
#undef FEATURE
	};
	unsigned out[4] = { 0 };

	for (unsigned f = 0; f < FEATURE_COUNT; f++) {
		if (!f || rows[f].leaf != rows[f - 1].leaf || rows[f].subleaf != rows[f - 1].subleaf)
			if (!__get_cpuid_count(rows[f].leaf, rows[f].subleaf, &out[0], &out[1],
					       &out[2], &out[3]))
				memset(out, 0, sizeof(out));
		if (out[rows[f].reg] >> rows[f].bit & 1)
			host->features[f / 64] |= BIT(f % 64);
	}
}

static bool find_feature(const struct host *host, enum feature f)
{
	return host->features[f / 64] >> f % 64 & 1;
}

static void find_components(struct host *host)
{
	uint32_t low = BIT(COMPONENT_X87) | BIT(COMPONENT_SSE), high;

	if (cpuid_bit(1, 0, 2, 27)) /* OSXSAVE */
		__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	low &= XCR0_AVX512 | BIT(COMPONENT_X87) | BIT(COMPONENT_PKRU);
	if ((low & XCR0_AVX512) != XCR0_AVX512 || !find_feature(host, FEATURE_AVX512BW) ||
	    !find_feature(host, FEATURE_AVX512DQ) || !find_feature(host, FEATURE_AVX512VL))
		low &= ~(XCR0_AVX512 & ~XCR0_AVX);
	host->components = low;
	for (unsigned n = COMPONENT_AVX; n < COMPONENT_COUNT; n++) {
		unsigned out[4] = { 0 };

		if (low >> n & 1)
			__cpuid_count(0xd, n, out[0], out[1], out[2], out[3]);
		host->offset[n] = (uint16_t)out[1];
		host->size[n] = (uint16_t)out[0];
	}
}

static uint32_t find_mxcsr_mask(void)
{
	struct fxsave_image image = { { 0 } };

	__asm__ volatile("fxsave64 %0" : "=m"(image));
	uint32_t mask = load_le32(image.bytes + AREA_MXCSR_MASK);

	return mask ? mask : 0xffbf;
}

static const struct host *host_get(void)
{
	static struct host cache;

	if (likely(__atomic_load_n(&cache.known, __ATOMIC_ACQUIRE)))
		return &cache;
	struct host host = { 0 };

	find_features(&host);
	find_components(&host);
	host.mxcsr_mask = find_mxcsr_mask();
	cache = host; /* two threads may both do this: same values */
	__atomic_store_n(&cache.known, true, __ATOMIC_RELEASE);
	return &cache;
}

bool host_can_run(enum feature feature)
{
	return find_feature(host_get(), feature);
}

uint64_t host_xsave_components(void)
{
	return host_get()->components;
}

uint32_t host_mxcsr_mask(void)
{
	return host_get()->mxcsr_mask;
}

unsigned host_xsave_offset(unsigned component)
{
	return host_get()->offset[component];
}

unsigned host_xsave_size(unsigned component)
{
	return host_get()->size[component];
}

/* State that needs instructions of its own */

void host_x87_load(const uint8_t *area)
{
	struct fxsave_image image;

	memcpy(image.bytes, area, AREA_XMM);
	store_le64(image.bytes + AREA_FIP, 0);
	store_le64(image.bytes + AREA_FDP, 0);
	store_le32(image.bytes + AREA_MXCSR, MXCSR_INIT);
	__asm__ volatile("fxrstor64 %0" : : "m"(image)
			 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
			   "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

void host_x87_save(uint8_t *area)
{
	struct fxsave_image image;

	__asm__ volatile("fxsave64 %0" : "=m"(image));
	memcpy(area, image.bytes, AREA_FOP);
	memcpy(area + AREA_ST, image.bytes + AREA_ST, AREA_XMM - AREA_ST);
}

void host_x87_clear(uint16_t fcw)
{
	__asm__ volatile("fninit\n\tfldcw %0" : : "m"(fcw));
}

uint16_t host_x87_control(void)
{
	uint16_t fcw;

	__asm__ volatile("fnstcw %0" : "=m"(fcw));
	return fcw;
}

uint16_t host_x87_status(void)
{
	uint16_t fsw;

	__asm__ volatile("fnstsw %0" : "=m"(fsw));
	return fsw;
}

void host_emms(void)
{
	__asm__ volatile("emms");
}

uint32_t host_mxcsr_get(void)
{
	uint32_t value;

	__asm__ volatile("stmxcsr %0" : "=m"(value));
	return value;
}

void host_mxcsr_set(uint32_t value)
{
	__asm__ volatile("ldmxcsr %0" : : "m"(value));
}

/* Code bytes */

static void put(struct emit *e, unsigned count, uint64_t bytes)
{
	for (unsigned n = 0; n < count; n++, bytes >>= 8)
		if (e->at < e->end)
			*e->at++ = (uint8_t)bytes;
}

/* ModRM for [rdi + disp32]. */
static void put_vcpu_operand(struct emit *e, unsigned reg, uint32_t disp)
{
	put(e, 1, 0x80 | (reg & 7) << 3 | 7);
	put(e, 4, disp);
}

/* ModRM for [r8 + disp8], REX.B being the caller's. */
static void put_frame_operand(struct emit *e, unsigned reg, uint8_t disp)
{
	put(e, 1, 0x40 | (reg & 7) << 3);
	put(e, 1, disp);
}

/* Vector instruction prefixes with memory at [rdi + disp32] as rm. */
static void put_vex_area(struct emit *e, unsigned map, unsigned pp, unsigned w, unsigned l,
			 unsigned reg, unsigned vvvv)
{
	put(e, 1, 0xc4);
	put(e, 1, (reg & 8 ? 0 : 0x80) | 0x60 | map);
	put(e, 1, w << 7 | (~vvvv & 15) << 3 | l << 2 | pp);
}

static void put_evex_area(struct emit *e, unsigned map, unsigned pp, unsigned w, unsigned l,
			  unsigned reg, unsigned vvvv)
{
	put(e, 1, 0x62);
	put(e, 1, (reg & 8 ? 0 : 0x80) | 0x60 | (reg & 16 ? 0 : 0x10) | map);
	put(e, 1, w << 7 | (~vvvv & 15) << 3 | 4 | pp);
	put(e, 1, l << 5 | (vvvv & 16 ? 0 : 8));
}

/*
 * EVEX disp32 is never scaled, so all of these can use it. The parts of a register in c->xsave:
 * 16 bytes in the legacy region, 16 in AVX, 32 in ZMM_Hi256; from 16 on, all in Hi16_ZMM.
 */
static void put_vector_move(struct emit *e, unsigned reg, unsigned bytes, bool is_store,
			    bool legacy)
{
	uint32_t xmm = AREA_AT(AREA_XMM + 16 * reg);

	if (legacy) { /* movups */
		if (reg & 8)
			put(e, 1, 0x44);
		put(e, 2, 0x100f + (is_store << 8));
		put_vcpu_operand(e, reg, xmm);
		return;
	}
	if (reg >= 16) { /* vmovups */
		put_evex_area(e, MAP_0F, PP_NONE, 0, bytes == 64 ? 2 : bytes == 32, reg, 0);
		put(e, 1, 0x10 + is_store);
		put_vcpu_operand(e, reg,
				 AREA_AT(xsave_offset(COMPONENT_HI16_ZMM) + 64 * (reg - 16)));
		return;
	}
	put_vex_area(e, MAP_0F, PP_NONE, 0, 0, reg, 0);
	put(e, 1, 0x10 + is_store);
	put_vcpu_operand(e, reg, xmm);
	if (bytes >= 32) { /* vinsertf128, vextractf128 */
		put_vex_area(e, MAP_0F3A, PP_66, 0, 1, reg, is_store ? 0 : reg);
		put(e, 1, 0x18 + is_store);
		put_vcpu_operand(e, reg, AREA_AT(xsave_offset(COMPONENT_AVX) + 16 * reg));
		put(e, 1, 1);
	}
	if (bytes >= 64) { /* vinsertf64x4, vextractf64x4 */
		put_evex_area(e, MAP_0F3A, PP_66, 1, 2, reg, is_store ? 0 : reg);
		put(e, 1, 0x1a + is_store);
		put_vcpu_operand(e, reg, AREA_AT(xsave_offset(COMPONENT_ZMM_HI256) + 32 * reg));
		put(e, 1, 1);
	}
}

/* Zeroes what lies above `bytes` of a register below 16, by way of the register `scratch`. */
static void put_zero_above(struct emit *e, unsigned reg, unsigned bytes, unsigned scratch)
{
	bool has_zmm = xsave_offset(COMPONENT_ZMM_HI256);

	if (bytes >= 64 || (bytes == 32 && !has_zmm))
		return;
	put_vex_area(e, MAP_0F, PP_NONE, 0, 0, scratch, scratch); /* vxorps */
	put(e, 1, 0x57);
	put(e, 1, 0xc0 | (scratch & 7) << 3 | (scratch & 7));
	if (bytes == 16) {
		put_vex_area(e, MAP_0F, PP_NONE, 0, 0, scratch, 0);
		put(e, 1, 0x11);
		put_vcpu_operand(e, scratch, AREA_AT(xsave_offset(COMPONENT_AVX) + 16 * reg));
	}
	if (has_zmm) {
		put_vex_area(e, MAP_0F, PP_NONE, 0, 1, scratch, 0);
		put(e, 1, 0x11);
		put_vcpu_operand(e, scratch, AREA_AT(xsave_offset(COMPONENT_ZMM_HI256) + 32 * reg));
	}
}

static void put_mask_move(struct emit *e, unsigned k, bool is_store) /* kmovq */
{
	put_vex_area(e, MAP_0F, PP_NONE, 1, 0, k, 0);
	put(e, 1, 0x90 + is_store);
	put_vcpu_operand(e, k, AREA_AT(xsave_offset(COMPONENT_OPMASK) + 8 * k));
}

static void put_gpr_move(struct emit *e, unsigned host, unsigned guest, bool is_store)
{
	put(e, 2, is_store ? 0x8948 : 0x8b48);
	put_vcpu_operand(e, host, GPR_AT(guest));
}

/* The guest's instruction itself */

static unsigned encoded_reg(const struct stub *s)
{
	if (field_kind(s->info->reg) == FIELD_NONE)
		return s->form.modrm >> 3 & 7;
	return field_is_gpr(s->info->reg) ? REG_STAND_IN : s->form.reg;
}

static unsigned encoded_rm(const struct stub *s)
{
	if (s->form.modrm < 0xc0)
		return RSI_BASE;
	return field_is_gpr(s->info->rm) ? RM_STAND_IN : s->form.rm;
}

static void put_legacy(struct emit *e, const struct stub *s)
{
	const struct form *f = &s->form;
	unsigned rex = (f->w ? 8 : 0) | (encoded_reg(s) & 8 ? 4 : 0) | (encoded_rm(s) & 8 ? 1 : 0);

	if (f->pp)
		put(e, 1, f->pp);
	if (rex)
		put(e, 1, 0x40 | rex);
	if (s->info->map != MAP_1)
		put(e, 1, 0x0f);
	if (s->info->map == MAP_0F38)
		put(e, 1, 0x38);
	if (s->info->map == MAP_0F3A)
		put(e, 1, 0x3a);
}

static unsigned pp_number(uint8_t pp)
{
	return pp == 0x66 ? PP_66 : pp == 0xf3 ? PP_F3 : pp == 0xf2 ? PP_F2 : PP_NONE;
}

static void put_vex(struct emit *e, const struct stub *s)
{
	const struct form *f = &s->form;

	put(e, 1, 0xc4);
	put(e, 1, (encoded_reg(s) & 8 ? 0 : 0x80) | 0x40 | (encoded_rm(s) & 8 ? 0 : 0x20) |
			  s->info->map);
	put(e, 1, f->w << 7 | (~f->vvvv & 15) << 3 | f->l << 2 | pp_number(f->pp));
}

static void put_evex(struct emit *e, const struct stub *s)
{
	const struct form *f = &s->form;
	unsigned reg = encoded_reg(s), rm = encoded_rm(s);

	put(e, 1, 0x62);
	put(e, 1, (reg & 8 ? 0 : 0x80) | (rm & 16 ? 0 : 0x40) | (rm & 8 ? 0 : 0x20) |
			  (reg & 16 ? 0 : 0x10) | s->info->map);
	put(e, 1, f->w << 7 | (~f->vvvv & 15) << 3 | 4 | pp_number(f->pp));
	put(e, 1, f->z << 7 | f->l << 5 | f->b << 4 | (f->vvvv & 16 ? 0 : 8) | f->mask);
}

static void put_instruction(struct emit *e, const struct stub *s)
{
	if (s->info->encoding == EVEX)
		put_evex(e, s);
	else if (s->info->encoding == VEX)
		put_vex(e, s);
	else
		put_legacy(e, s);
	put(e, 1, s->form.opcode);
	if (s->info->flags & OP_MODRM)
		put(e, 1, (s->form.modrm & 0xc0) | (encoded_reg(s) & 7) << 3 | (encoded_rm(s) & 7));
	if (s->info->imm != IMM_NONE)
		put(e, 1, s->form.imm8);
}

/* Operands */

/* Bytes of vector registers that the instruction may read. */
static unsigned vector_width(const struct stub *s)
{
	if (s->info->encoding == LEGACY)
		return 16;
	if (s->info->encoding == EVEX && s->form.b && s->form.modrm >= 0xc0)
		return 64; /* L'L is a rounding mode */
	return s->form.l >= 2 ? 64 : s->form.l == 1 ? 32 : 16;
}

static bool is_legacy_with_xmm0(const struct stub *s) /* BLENDVxx, PBLENDVB, SHA256RNDS2 */
{
	const uint8_t opcode = s->form.opcode;

	return s->info->encoding == LEGACY && s->info->map == MAP_0F38 &&
	       (opcode == 0x10 || opcode == 0x14 || opcode == 0x15 || opcode == 0xcb);
}

static bool writes_xmm0(const struct stub *s) /* PCMPESTRM, PCMPISTRM */
{
	return s->info->map == MAP_0F3A && s->info->encoding != EVEX &&
	       (s->form.opcode == 0x60 || s->form.opcode == 0x62);
}

/* A vector destination must be loaded unless it is overwritten as a whole. */
static bool needs_loading(const struct stub *s, uint8_t field)
{
	return (field & FIELD_READ) || s->info->encoding == LEGACY || s->form.mask;
}

static void put_field_load(struct emit *e, const struct stub *s, uint8_t field, unsigned number,
			   unsigned stand_in)
{
	if (field_kind(field) == FIELD_VECTOR && needs_loading(s, field))
		put_vector_move(e, number, vector_width(s), false, s->info->encoding == LEGACY);
	else if (field_kind(field) == FIELD_MASK && (field & FIELD_READ))
		put_mask_move(e, number, false);
	else if (field_is_gpr(field) && (field & FIELD_READ))
		put_gpr_move(e, stand_in, number, false);
}

/* A low register, 1 to 4, that the instruction does not name. */
static unsigned scratch_register(const struct stub *s)
{
	unsigned r = 1;

	while (r == s->form.reg || r == s->form.rm || r == s->form.vvvv)
		r++;
	return r;
}

static void put_field_store(struct emit *e, const struct stub *s, uint8_t field, unsigned number,
			    unsigned stand_in)
{
	if (!(field & FIELD_WRITTEN))
		return;
	if (field_kind(field) == FIELD_VECTOR) {
		bool legacy = s->info->encoding == LEGACY;

		if (number >= 16) {
			put_vector_move(e, number, 64, true, false);
			return;
		}
		put_vector_move(e, number, vector_width(s), true, legacy);
		if (!legacy)
			put_zero_above(e, number, vector_width(s), scratch_register(s));
	} else if (field_kind(field) == FIELD_MASK) {
		put_mask_move(e, number, true);
	} else if (field_is_gpr(field)) {
		put_gpr_move(e, stand_in, number, true);
	}
}

static void put_loads(struct emit *e, const struct stub *s)
{
	const struct op_info *info = s->info;
	const struct form *f = &s->form;

	put_field_load(e, s, info->reg, f->reg, REG_STAND_IN);
	if (f->modrm >= 0xc0)
		put_field_load(e, s, info->rm, f->rm, RM_STAND_IN);
	if (info->encoding != LEGACY)
		put_field_load(e, s, info->vvvv, f->vvvv, 0);
	if (info->imm == IMM_IS4)
		put_vector_move(e, f->imm8 >> 4, vector_width(s), false, false);
	if (is_legacy_with_xmm0(s))
		put_vector_move(e, 0, 16, false, true);
	if (f->mask)
		put_mask_move(e, f->mask, false);
	if (info->flags & OP_READS_EAX_EDX) {
		put_gpr_move(e, RAX, RAX, false);
		put_gpr_move(e, RDX, RDX, false);
	}
}

static void put_stores(struct emit *e, const struct stub *s)
{
	const struct op_info *info = s->info;
	const struct form *f = &s->form;

	put_field_store(e, s, info->reg, f->reg, REG_STAND_IN);
	if (f->modrm >= 0xc0)
		put_field_store(e, s, info->rm, f->rm, RM_STAND_IN);
	if (info->encoding != LEGACY)
		put_field_store(e, s, info->vvvv, f->vvvv, 0);
	if (writes_xmm0(s)) {
		put_vector_move(e, 0, 16, true, info->encoding == LEGACY);
		if (info->encoding != LEGACY)
			put_zero_above(e, 0, 16, scratch_register(s));
	}
	if (info->flags & OP_WRITES_ECX)
		put_gpr_move(e, RCX, RCX, true);
}

unsigned host_generate(const struct stub *s, uint8_t *to, unsigned room)
{
	struct emit e = { to, to + room };
	uint8_t *skip = NULL;

	put(&e, 3, 0xd08949); /* mov r8, rdx */
	put_loads(&e, s);
	if (s->traits & STUB_FP) { /* ldmxcsr */
		put(&e, 3, 0xae0f41);
		put_frame_operand(&e, 2, FRAME_AT(run_mxcsr));
	}
	if (s->traits & STUB_RFLAGS) { /* push, popfq */
		put(&e, 2, 0xff41);
		put_frame_operand(&e, 6, FRAME_AT(rflags));
		put(&e, 1, 0x9d);
	}
	put_instruction(&e, s);
	if (s->traits & STUB_RFLAGS) { /* pushfq, pop */
		put(&e, 3, 0x8f419c);
		put_frame_operand(&e, 0, FRAME_AT(rflags));
	}
	if (s->traits & STUB_FP) {
		put(&e, 3, 0xae0f41); /* stmxcsr */
		put_frame_operand(&e, 3, FRAME_AT(out_mxcsr));
		/* mov edx, out_mxcsr; and edx, abort; jnz: rax and rcx may hold results */
		put(&e, 2, 0x8b41);
		put_frame_operand(&e, RDX, FRAME_AT(out_mxcsr));
		put(&e, 2, 0x2341);
		put_frame_operand(&e, RDX, FRAME_AT(abort));
		put(&e, 6, 0x850f);
		skip = e.at;
	}
	put_stores(&e, s);
	if (s->traits & STUB_X87) { /* fnstsw */
		put(&e, 1, 0xdd);
		put_vcpu_operand(&e, 7, AREA_AT(AREA_FSW));
	}
	if (skip)
		store_le32(skip - 4, (uint32_t)(e.at - skip));
	if (s->info->encoding != LEGACY)
		put(&e, 3, 0x77f8c5); /* vzeroupper */
	if (s->traits & STUB_FP)
		put(&e, 2, 0xd089); /* mov eax, edx */
	put(&e, 1, 0xc3);
	return e.at < e.end ? (unsigned)(e.at - to) : 0;
}
