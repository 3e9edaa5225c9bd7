/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * What the guest sees of CPUID: the VMM's table, by KVM's rules, and what follows from it for the
 * decoder.
 *
 * Without a table every leaf is zero, yet all the engine can do may be executed, as under KVM the
 * host would execute it.
 *
 * Manual: SDM 2 "CPUID"; Linux Documentation/virt/kvm/x86/cpuid.rst.
 */
#include "engine/sys/cpuid.h"
#include "engine/fpu/fpu.h"

enum { EAX, EBX, ECX, EDX };

const struct kvm_cpuid_entry2 *cpuid_find(const struct vcpu *c, uint32_t leaf, uint32_t subleaf)
{
	for (uint32_t n = 0; n < c->cpuid_count; n++) {
		const struct kvm_cpuid_entry2 *e = &c->cpuid[n];

		if (e->function == leaf &&
		    (!(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || e->index == subleaf))
			return e;
	}
	return NULL;
}

static bool vendor_is(const struct vcpu *c, uint32_t ebx, uint32_t edx, uint32_t ecx)
{
	const struct kvm_cpuid_entry2 *e = cpuid_find(c, 0, 0);

	return e && e->ebx == ebx && e->edx == edx && e->ecx == ecx;
}

bool cpuid_is_amd(const struct vcpu *c)
{
	return vendor_is(c, 0x68747541, 0x69746e65, 0x444d4163) || /* AuthenticAMD */
	       vendor_is(c, 0x6f677948, 0x6e65476e, 0x656e6975);   /* HygonGenuine */
}

/* A leaf that is not there: Intel answers with the highest basic one. Its number, or `leaf`. */
static uint32_t out_of_range(const struct vcpu *c, uint32_t leaf)
{
	const struct kvm_cpuid_entry2 *basic = cpuid_find(c, 0, 0), *class;

	if (!basic || cpuid_is_amd(c))
		return leaf;
	if (leaf >= 0x40000000 && leaf <= 0x4fffffff)
		class = cpuid_find(c, leaf & 0xffffff00, 0);
	else if (leaf >= 0xc0000000)
		class = cpuid_find(c, 0xc0000000, 0);
	else
		class = cpuid_find(c, leaf & 0x80000000, 0);
	return class && leaf <= class->eax ? leaf : basic->eax;
}

static void set_bit(uint32_t *word, unsigned bit, bool value)
{
	*word = (*word & ~(1u << bit)) | (uint32_t)value << bit;
}

/* Bytes of the compacted format for these components. [SDM 1 13.4.3] */
static unsigned compacted_total(const struct vcpu *c, uint64_t components)
{
	unsigned total = 576;

	for (unsigned n = 2; n < 63; n++) {
		const struct kvm_cpuid_entry2 *e = cpuid_find(c, 0xd, n);

		if (!(components >> n & 1) || !e)
			continue;
		if (e->ecx & 2)
			total = ALIGN_UP(total, 64u);
		total += e->eax;
	}
	return total;
}

/* Bits and sizes that follow the processor's state, not the VMM's table. */
static void make_dynamic(struct vcpu *c, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
	if (leaf == 1) {
		set_bit(&out[ECX], 27, c->cr4 & CR4_OSXSAVE);
		if (c->lapic)
			set_bit(&out[EDX], 9, lapic_base_get(c) & BIT(11));
	} else if (leaf == 7 && subleaf == 0) {
		set_bit(&out[ECX], 4, c->cr4 & CR4_PKE);
	} else if (leaf == 0xd && subleaf == 0) {
		out[EBX] = xsave_total(c->xcr0);
	} else if (leaf == 0xd && subleaf == 1 && out[EAX] & 0xa) {
		out[EBX] = compacted_total(c, c->xcr0 | c->msr.xss);
	}
}

void cpuid_query(struct vcpu *c, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
	const struct kvm_cpuid_entry2 *e = cpuid_find(c, leaf, subleaf);
	const struct kvm_cpuid_entry2 *first;

	if (!e) {
		uint32_t other = out_of_range(c, leaf);

		if (other != leaf) {
			leaf = other;
			e = cpuid_find(c, leaf, subleaf);
		}
	}
	memset(out, 0, 4 * sizeof(out[0]));
	if (e) {
		out[EAX] = e->eax;
		out[EBX] = e->ebx;
		out[ECX] = e->ecx;
		out[EDX] = e->edx;
		make_dynamic(c, leaf, subleaf, out);
		return;
	}
	/* Topology leaves answer any subleaf with their level number and the x2APIC ID. */
	first = leaf == 0xb || leaf == 0x1f ? cpuid_find(c, leaf, 1) : NULL;
	if (first) {
		out[ECX] = subleaf & 0xff;
		out[EDX] = first->edx;
	}
}

static uint32_t word_of(const struct kvm_cpuid_entry2 *e, unsigned reg)
{
	const uint32_t words[4] = { e->eax, e->ebx, e->ecx, e->edx };

	return words[reg];
}

static bool guest_has(const struct vcpu *c, const struct feature_bit *f)
{
	const struct kvm_cpuid_entry2 *e = cpuid_find(c, f->leaf, f->subleaf);

	return e && word_of(e, f->reg) >> f->bit & 1;
}

void cpuid_changed(struct vcpu *c)
{
	const struct kvm_cpuid_entry2 *sizes = cpuid_find(c, 0x80000008, 0);

	memset(c->features, 0, sizeof(c->features));
	c->features[0] = BIT(FEATURE_NONE);
	for (unsigned n = 1; n < FEATURE_COUNT; n++) {
		const struct feature_bit *f = &feature_bits[n];

		if (feature_offered(n) && (!c->cpuid_count || guest_has(c, f)))
			c->features[n / 64] |= BIT(n % 64);
	}
	c->physical_bits = sizes && (sizes->eax & 0xff) >= 32 ? MIN(sizes->eax & 0xff, 52u) : 36;
	if (c->blocks)
		interp_flush(c);
}
