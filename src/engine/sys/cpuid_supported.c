/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * KVM_GET_SUPPORTED_CPUID: what a guest can be given.
 *
 * Integer and system instructions are the engine's own and always offered, 5-level paging and
 * protection keys too. Vector and x87 code runs on the host's units, so those features are the
 * host's. Identity and caches are the host's too. Everything else is zero.
 *
 * Not offered: VMX, SVM, MONITOR, TSX, MPX, CET, AMX, SGX, processor trace, performance
 * monitoring, and instructions the decoder does not know.
 *
 * Manual: SDM 2 "CPUID"; Linux Documentation/virt/kvm/x86/cpuid.rst.
 */
#include "engine/fpu/fpu.h"
#include "engine/sys/cpuid.h"

#include <errno.h>

enum { EAX, EBX, ECX, EDX };
enum { MAX_BASIC = 0x1f, MAX_EXTENDED = 0x80000008 };

const struct feature_bit feature_bits[] = {
	[FEATURE_NONE] = { 0 },
#define FEATURE(name, leaf, subleaf, reg, bit) [FEATURE_##name] = { leaf, subleaf, reg, bit },
#include "base/cpu_features.def"
#undef FEATURE
};

/* Run by the host's units: offered where the host has them and can save their state. */
static const uint8_t host_features[] = {
	FEATURE_SSE3,       FEATURE_PCLMULQDQ,   FEATURE_SSSE3,        FEATURE_FMA,
	FEATURE_SSE41,      FEATURE_SSE42,       FEATURE_AES,          FEATURE_AVX,
	FEATURE_F16C,       FEATURE_MMX,         FEATURE_SSE,          FEATURE_SSE2,
	FEATURE_AVX2,       FEATURE_AVX512F,     FEATURE_AVX512DQ,     FEATURE_AVX512IFMA,
	FEATURE_AVX512CD,   FEATURE_SHA,         FEATURE_AVX512BW,     FEATURE_AVX512VL,
	FEATURE_AVX512VBMI, FEATURE_AVX512VBMI2, FEATURE_GFNI,         FEATURE_VAES,
	FEATURE_VPCLMULQDQ, FEATURE_AVX512VNNI,  FEATURE_AVX512BITALG, FEATURE_AVX512VPOPCNTDQ,
	FEATURE_SSE4A,
};

static const uint8_t never_offered[] = { FEATURE_MONITOR, FEATURE_OSPKE };

static bool is_in(unsigned feature, const uint8_t *list, unsigned count)
{
	for (unsigned n = 0; n < count; n++)
		if (list[n] == feature)
			return true;
	return false;
}

/* XCR0 bits a feature's registers need. */
static uint64_t state_needed(unsigned feature)
{
	switch (feature) {
	case FEATURE_PKU:
		return 0x200;
	case FEATURE_AVX:
	case FEATURE_AVX2:
	case FEATURE_FMA:
	case FEATURE_F16C:
	case FEATURE_VAES:
	case FEATURE_VPCLMULQDQ:
		return 6;
	case FEATURE_AVX512F:
	case FEATURE_AVX512DQ:
	case FEATURE_AVX512IFMA:
	case FEATURE_AVX512CD:
	case FEATURE_AVX512BW:
	case FEATURE_AVX512VL:
	case FEATURE_AVX512VBMI:
	case FEATURE_AVX512VBMI2:
	case FEATURE_AVX512VNNI:
	case FEATURE_AVX512BITALG:
	case FEATURE_AVX512VPOPCNTDQ:
		return 0xe6;
	default:
		return 0;
	}
}

static uint32_t host_word(uint32_t leaf, uint32_t subleaf, unsigned reg)
{
	uint32_t max[4], out[4];

	cpuid_host(leaf & 0x80000000, 0, max);
	if (leaf > max[EAX] || !cpuid_host(leaf, subleaf, out))
		return 0;
	return out[reg];
}

bool feature_offered(unsigned feature)
{
	const struct feature_bit *f = &feature_bits[feature];

	if (is_in(feature, never_offered, ARRAY_LEN(never_offered)))
		return false;
	if (state_needed(feature) & ~xsave_supported())
		return false;
	return !is_in(feature, host_features, ARRAY_LEN(host_features)) ||
	       host_word(f->leaf, f->subleaf, f->reg) >> f->bit & 1;
}

/* All offered features of one CPUID word. */
static uint32_t offered_word(uint32_t leaf, uint32_t subleaf, unsigned reg)
{
	uint32_t word = 0;

	for (unsigned n = 1; n < FEATURE_COUNT; n++) {
		const struct feature_bit *f = &feature_bits[n];

		if (f->leaf == leaf && f->subleaf == subleaf && f->reg == reg && feature_offered(n))
			word |= 1u << f->bit;
	}
	return word;
}

struct table {
	struct kvm_cpuid_entry2 *entries;
	unsigned room, count; /* count goes on beyond room */
};

static void add(struct table *t, uint32_t leaf, uint32_t subleaf, bool indexed,
		const uint32_t words[4])
{
	if (t->count < t->room)
		t->entries[t->count] = (struct kvm_cpuid_entry2){
			.function = leaf,
			.index = subleaf,
			.flags = indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
			.eax = words[EAX],
			.ebx = words[EBX],
			.ecx = words[ECX],
			.edx = words[EDX],
		};
	t->count++;
}

static void host_words(uint32_t leaf, uint32_t subleaf, uint32_t words[4])
{
	for (unsigned reg = 0; reg < 4; reg++)
		words[reg] = host_word(leaf, subleaf, reg);
}

static void add_host_leaf(struct table *t, uint32_t leaf)
{
	uint32_t words[4];

	host_words(leaf, 0, words);
	add(t, leaf, 0, false, words);
}

/* Leaf 0: name and range. A host without CPUID is called what Intel's are. */
static void add_vendor(struct table *t)
{
	uint32_t words[4];

	if (!cpuid_host(0, 0, words)) {
		words[EBX] = 0x756e6547; /* GenuineIntel */
		words[EDX] = 0x49656e69;
		words[ECX] = 0x6c65746e;
	}
	words[EAX] = MAX_BASIC;
	add(t, 0, 0, false, words);
}

static void add_basic_features(struct table *t)
{
	const uint32_t self_snoop = 1u << 27;
	uint32_t signature = host_word(1, 0, EAX);
	const uint32_t words[4] = {
		signature ? signature : 0x806e9,
		8 << 8 | 1 << 16, /* cache line, one logical processor; the VMM sets the APIC ID */
		offered_word(1, 0, ECX),
		offered_word(1, 0, EDX) | (host_word(1, 0, EDX) & self_snoop),
	};

	add(t, 1, 0, false, words);
}

static void add_caches(struct table *t)
{
	uint32_t words[4];

	for (unsigned n = 0; n < 8; n++) {
		host_words(4, n, words);
		add(t, 4, n, true, words);
		if (!(words[EAX] & 31))
			break;
	}
}

/* Leaf 7. Besides features: FDP_EXCPTN_ONLY and ZERO_FCS_FDS are properties of the host's FPU.
 * SPEC_CTRL, STIBP, SSBD are there so that guests trust ARCH_CAPABILITIES and need no retpolines;
 * BHI_CTRL (subleaf 2) saves Linux a loop over branch history in every system call. */
static void add_extended_features(struct table *t)
{
	const uint32_t fpu_properties = 1u << 6 | 1u << 13;
	const uint32_t none[4] = { 0 }, controls[4] = { 0, 0, 0, 1u << 4 };
	const uint32_t words[4] = {
		2, /* the highest subleaf */
		offered_word(7, 0, EBX) | (host_word(7, 0, EBX) & fpu_properties),
		offered_word(7, 0, ECX),
		offered_word(7, 0, EDX) | 1u << 26 | 1u << 27 | 1u << 29 | 1u << 31,
	};

	add(t, 7, 0, true, words);
	add(t, 7, 1, true, none);
	add(t, 7, 2, true, controls);
}

static void add_xsave(struct table *t)
{
	uint64_t components = xsave_supported();
	const uint32_t first[4] = { components, xsave_total(1), xsave_total(components),
				    components >> 32 };
	const uint32_t second[4] = { offered_word(0xd, 1, EAX), xsave_total(1), 0, 0 };

	add(t, 0xd, 0, true, first);
	add(t, 0xd, 1, true, second);
	for (unsigned n = 2; n < 63; n++) {
		const uint32_t words[4] = { xsave_size(n), xsave_offset(n),
					    host_word(0xd, n, ECX) & 2, 0 };

		if (components >> n & 1)
			add(t, 0xd, n, true, words);
	}
}

static void add_basic(struct table *t)
{
	const uint32_t arat[4] = { 4, 0, 0, 0 }, zero[4] = { 0 };

	add_vendor(t);
	add_basic_features(t);
	add_host_leaf(t, 2);
	add(t, 3, 0, false, zero);
	add_caches(t);
	add(t, 5, 0, false, zero);
	add(t, 6, 0, false, arat);
	add_extended_features(t);
	for (uint32_t leaf = 8; leaf <= MAX_BASIC; leaf++) {
		bool indexed = leaf == 0xb || leaf == 0x1f || (leaf >= 0x12 && leaf <= 0x14);

		if (leaf == 0xd)
			add_xsave(t);
		else
			add(t, leaf, 0, indexed, zero);
	}
}

static void add_paravirtual(struct table *t)
{
	const uint32_t name[4] = { 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d }; /* KVMKVMKVM */
	const uint32_t features[4] = {
		1u << KVM_FEATURE_CLOCKSOURCE | 1u << KVM_FEATURE_NOP_IO_DELAY |
			1u << KVM_FEATURE_CLOCKSOURCE2 | 1u << KVM_FEATURE_STEAL_TIME |
			1u << KVM_FEATURE_PV_EOI | 1u << KVM_FEATURE_PV_UNHALT |
			1u << KVM_FEATURE_PV_TLB_FLUSH | 1u << KVM_FEATURE_PV_SEND_IPI |
			1u << KVM_FEATURE_POLL_CONTROL | 1u << KVM_FEATURE_PV_SCHED_YIELD |
			1u << KVM_FEATURE_CLOCKSOURCE_STABLE_BIT,
	};

	add(t, 0x40000000, 0, false, name);
	add(t, 0x40000001, 0, false, features);
}

static void add_extended(struct table *t)
{
	const uint32_t range[4] = { MAX_EXTENDED };
	const uint32_t features[4] = { 0, 0, offered_word(0x80000001, 0, ECX),
				       offered_word(0x80000001, 0, EDX) };
	const uint32_t power[4] = { 0, 0, 0, 1u << 8 }; /* the TSC never stops */
	uint32_t sizes[4] = { host_word(0x80000008, 0, EAX) & 0xffff };

	if (!sizes[EAX])
		sizes[EAX] = 46;
	sizes[EAX] = 57 << 8 | (sizes[EAX] & 0xff); /* with LA57, whatever the host has */
	add(t, 0x80000000, 0, false, range);
	add(t, 0x80000001, 0, false, features);
	for (uint32_t leaf = 0x80000002; leaf <= 0x80000006; leaf++)
		add_host_leaf(t, leaf);
	add(t, 0x80000007, 0, false, power);
	add(t, 0x80000008, 0, false, sizes);
}

int cpuid_supported(struct kvm_cpuid_entry2 *entries, unsigned room, unsigned *count)
{
	struct table t = { entries, room, 0 };

	add_basic(&t);
	add_paravirtual(&t);
	add_extended(&t);
	*count = t.count;
	return t.count > room ? -E2BIG : 0;
}
