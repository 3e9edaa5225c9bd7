/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Control registers: their rules, and what changes of them bring about.
 *
 * Manual: SDM 3 2.5 (control registers), 4.1 (paging modes), 4.10.4 (invalidation), 9.9 (mode
 * switching); SDM 2 "MOV control registers", "LMSW", "SMSW", "CLTS", "INVLPG", "INVPCID", "XSETBV".
 */
#include "engine/fpu/fpu.h"
#include "engine/sys/internal.h"

#define CR0_KNOWN                                                                                  \
	(CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | \
	 (uint64_t)CR0_PG)
#define CR3_NO_FLUSH BIT(63)

static bool uses_pae_paging(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
	return cr0 & CR0_PG && cr4 & CR4_PAE && !(efer & EFER_LMA);
}

/* CR4 bits this guest may set. */
static uint64_t cr4_allowed(const struct vcpu *c)
{
	static const struct {
		uint32_t bit;
		enum feature feature;
	} rows[] = {
		{ CR4_VME | CR4_PVI, FEATURE_VME },
		{ CR4_TSD, FEATURE_TSC },
		{ CR4_DE, FEATURE_DE },
		{ CR4_PSE, FEATURE_PSE },
		{ CR4_PAE, FEATURE_PAE },
		{ CR4_PGE, FEATURE_PGE },
		{ CR4_UMIP, FEATURE_UMIP },
		{ CR4_LA57, FEATURE_LA57 },
		{ CR4_FSGSBASE, FEATURE_FSGSBASE },
		{ CR4_PCIDE, FEATURE_PCID },
		{ CR4_OSXSAVE, FEATURE_XSAVE },
		{ CR4_SMEP, FEATURE_SMEP },
		{ CR4_SMAP, FEATURE_SMAP },
		{ CR4_PKE, FEATURE_PKU },
		{ CR4_PKS, FEATURE_PKS },
	};
	uint64_t allowed = CR4_MCE | CR4_PCE | CR4_OSFXSR | CR4_OSXMMEXCPT;

	for (unsigned n = 0; n < ARRAY_LEN(rows); n++)
		if (has_feature(c, rows[n].feature))
			allowed |= rows[n].bit;
	return allowed;
}

bool cr0_write(struct vcpu *c, uint64_t value)
{
	uint64_t old = c->cr0, changed, efer = c->efer;

	if (value >> 32)
		return false;
	value = (value & CR0_KNOWN) | CR0_ET;
	changed = old ^ value;
	if (value & CR0_PG && !(value & CR0_PE))
		return false;
	if (value & CR0_NW && !(value & CR0_CD))
		return false;
	if (!(value & CR0_PG) && (code_is_64bit(c) || c->cr4 & CR4_PCIDE))
		return false;
	if (changed & value & CR0_PG && efer & EFER_LME) {
		if (!(c->cr4 & CR4_PAE) || c->seg[CS].rights & SEG_LONG)
			return false;
		efer |= EFER_LMA;
	} else if (!(value & CR0_PG)) {
		efer &= ~(uint64_t)EFER_LMA;
	}
	if (uses_pae_paging(value, c->cr4, efer) && changed & (CR0_PG | CR0_CD | CR0_NW) &&
	    !mmu_load_pdptrs(c, c->cr3))
		return false;
	c->cr0 = value;
	c->efer = efer;
	if (changed & (CR0_PG | CR0_WP | CR0_PE))
		tlb_flush_all(c);
	mode_update(c);
	return true;
}

bool cr3_write(struct vcpu *c, uint64_t value)
{
	bool keeps = c->cr4 & CR4_PCIDE && value & CR3_NO_FLUSH;

	if (keeps)
		value &= ~CR3_NO_FLUSH;
	if (in_long_mode(c) && value >> mmu_physical_bits(c))
		return false;
	if (uses_pae_paging(c->cr0, c->cr4, c->efer) && !mmu_load_pdptrs(c, value))
		return false;
	if (keeps && value == c->cr3)
		return true;
	c->cr3 = value;
	tlb_switch_space(c, c->cr4 & CR4_PCIDE ? value & 0xfff : 0, keeps);
	return true;
}

bool cr4_write(struct vcpu *c, uint64_t value)
{
	const uint64_t paging =
		CR4_PSE | CR4_PAE | CR4_PGE | CR4_SMEP | CR4_SMAP | CR4_PKE | CR4_PKS | CR4_LA57 |
		CR4_PCIDE;
	uint64_t old = c->cr4, changed = old ^ value;

	if (value & ~cr4_allowed(c))
		return false;
	if (in_long_mode(c) && (!(value & CR4_PAE) || changed & CR4_LA57))
		return false;
	if (changed & value & CR4_PCIDE && (!in_long_mode(c) || c->cr3 & 0xfff))
		return false;
	c->cr4 = value;
	if (uses_pae_paging(c->cr0, value, c->efer) &&
	    changed & (CR4_PAE | CR4_PSE | CR4_PGE | CR4_SMEP) && !mmu_load_pdptrs(c, c->cr3)) {
		c->cr4 = old;
		return false;
	}
	if (changed & paging)
		tlb_flush_all(c);
	mode_update(c);
	return true;
}

uint8_t cr8_read(const struct vcpu *c)
{
	return c->lapic ? lapic_tpr_get(c) : c->cr8;
}

bool cr8_write(struct vcpu *c, uint64_t value)
{
	if (value > 15)
		return false;
	if (c->lapic)
		lapic_tpr_set(c, value);
	else
		c->cr8 = value;
	return true;
}

bool xcr0_write(struct vcpu *c, uint64_t value)
{
	const struct kvm_cpuid_entry2 *leaf = cpuid_find(c, 0xd, 0);
	uint64_t allowed = xsave_supported(), avx512 = 0xe0, bounds = 0x18;

	if (leaf)
		allowed &= leaf->eax | (uint64_t)leaf->edx << 32;
	if (!(value & 1) || value & ~(allowed | 1))
		return false;
	if (value & 4 && !(value & 2))
		return false;
	if (value & avx512 && ((value & avx512) != avx512 || !(value & 4)))
		return false;
	if (value & bounds && (value & bounds) != bounds)
		return false;
	c->xcr0 = value;
	c->jit_vectors_ok = (uint8_t)fpu_vectors_allowed(c);
	return true;
}

void exec_mov_from_cr(struct vcpu *c, const struct insn *i)
{
	uint64_t value;

	switch (i->reg) {
	case 0:
		value = c->cr0;
		break;
	case 2:
		value = c->cr2;
		break;
	case 3:
		value = c->cr3;
		break;
	case 4:
		value = c->cr4;
		break;
	case 8:
		value = cr8_read(c);
		break;
	default:
		raise_ud(c);
	}
	require_cpl0(c);
	gpr_write(c, i->rm, code_is_64bit(c) ? 8 : 4, value);
	return next(c, i);
}

/* Without our LAPIC the VMM wants to know when the threshold falls. */
static void mov_to_cr8(struct vcpu *c, const struct insn *i, uint64_t value)
{
	uint8_t old = cr8_read(c);

	if (!cr8_write(c, value))
		raise_gp(c);
	if (!c->lapic && value < old) {
		c->run->exit_reason = KVM_EXIT_SET_TPR;
		c->exit_ready = true;
		events_leave(c);
	}
	return end_block(c, next_rip(c, i));
}

void exec_mov_to_cr(struct vcpu *c, const struct insn *i)
{
	uint64_t value = code_is_64bit(c) ? c->gpr[i->rm] : (uint32_t)c->gpr[i->rm];
	bool fine = true;

	if (i->reg > 8 || !(0x11d >> i->reg & 1)) /* 0, 2, 3, 4, 8 */
		raise_ud(c);
	require_cpl0(c);
	switch (i->reg) {
	case 0:
		fine = cr0_write(c, value);
		break;
	case 2:
		c->cr2 = value;
		break;
	case 3:
		fine = cr3_write(c, value);
		break;
	case 4:
		fine = cr4_write(c, value);
		break;
	case 8:
		return mov_to_cr8(c, i, value);
	}
	if (!fine)
		raise_gp(c);
	return end_block(c, next_rip(c, i));
}

void exec_lmsw(struct vcpu *c, const struct insn *i)
{
	uint16_t value;

	require_cpl0(c);
	value = insn_has_memory(i) ? mem_read(c, operand_address(c, i, 2, ACCESS_READ), 2)
				   : c->gpr[i->rm];
	/* PE can be set this way, not cleared. */
	if (!cr0_write(c, (c->cr0 & ~14ull) | (value & 15)))
		raise_gp(c);
	return end_block(c, next_rip(c, i));
}

void exec_smsw(struct vcpu *c, const struct insn *i)
{
	if (c->cpl && c->cr4 & CR4_UMIP)
		raise_gp(c);
	if (insn_has_memory(i))
		mem_write(c, operand_address(c, i, 2, ACCESS_WRITE), 2, c->cr0);
	else
		gpr_write(c, i->rm, i->opsize, c->cr0);
	return next(c, i);
}

void exec_clts(struct vcpu *c, const struct insn *i)
{
	require_cpl0(c);
	c->cr0 &= ~(uint64_t)CR0_TS;
	return next(c, i);
}

void exec_invlpg(struct vcpu *c, const struct insn *i)
{
	uint64_t address;

	if (!insn_has_memory(i))
		raise_ud(c);
	require_cpl0(c);
	address = effective_address(c, i);
	if (!code_is_64bit(c))
		address = (uint32_t)(address + c->seg[i->seg].base);
	else if (i->seg >= FS)
		address += c->seg[i->seg].base;
	if (is_canonical_base(address, c))
		tlb_flush_page(c, address);
	return end_block(c, next_rip(c, i));
}

void exec_invpcid(struct vcpu *c, const struct insn *i)
{
	enum { ONE_ADDRESS, ONE_PCID, ALL_AND_GLOBAL, ALL };
	uint64_t type = code_is_64bit(c) ? c->gpr[i->reg] : (uint32_t)c->gpr[i->reg];
	uint8_t image[16];
	uint64_t pcid, address;

	if (!insn_has_memory(i))
		raise_ud(c);
	require_cpl0(c);
	mem_read_bytes(c, operand_address(c, i, 16, ACCESS_READ), image, 16);
	pcid = load_le64(image);
	address = load_le64(image + 8);
	if (type > ALL || pcid >> 12)
		raise_gp(c);
	if (type <= ONE_PCID && pcid && !(c->cr4 & CR4_PCIDE))
		raise_gp(c);
	if (type == ONE_ADDRESS && !is_canonical_base(address, c))
		raise_gp(c);
	if (type == ONE_ADDRESS)
		tlb_flush_page(c, address);
	else if (type == ONE_PCID)
		tlb_flush_space(c, pcid);
	else
		tlb_flush_all(c);
	return end_block(c, next_rip(c, i));
}

void exec_xgetbv(struct vcpu *c, const struct insn *i)
{
	uint32_t index = c->gpr[RCX];

	if (!(c->cr4 & CR4_OSXSAVE))
		raise_ud(c);
	/* Index 1: components in use. Saying "all" is allowed. */
	if (index != 0 && !(index == 1 && has_feature(c, FEATURE_XGETBV1)))
		raise_gp(c);
	c->gpr[RAX] = (uint32_t)c->xcr0;
	c->gpr[RDX] = c->xcr0 >> 32;
	return next(c, i);
}

void exec_xsetbv(struct vcpu *c, const struct insn *i)
{
	uint64_t value = (uint32_t)c->gpr[RAX] | c->gpr[RDX] << 32;

	if (!(c->cr4 & CR4_OSXSAVE))
		raise_ud(c);
	require_cpl0(c);
	if ((uint32_t)c->gpr[RCX] || !xcr0_write(c, value))
		raise_gp(c);
	return end_block(c, next_rip(c, i));
}

/* PKRU lives in the XSAVE area as component 9. */
enum { PKRU_COMPONENT = 9, XSTATE_BV_AT = 512 };

void exec_rdpkru(struct vcpu *c, const struct insn *i)
{
	bool in_use = load_le64(c->xsave + XSTATE_BV_AT) & BIT(PKRU_COMPONENT);

	if (!(c->cr4 & CR4_PKE))
		raise_ud(c);
	if ((uint32_t)c->gpr[RCX])
		raise_gp(c);
	c->gpr[RAX] = in_use ? load_le32(c->xsave + xsave_offset(PKRU_COMPONENT)) : 0;
	c->gpr[RDX] = 0;
	return next(c, i);
}

void exec_wrpkru(struct vcpu *c, const struct insn *i)
{
	uint64_t in_use = load_le64(c->xsave + XSTATE_BV_AT) | BIT(PKRU_COMPONENT);
	uint32_t before = mmu_user_keys(c);

	if (!(c->cr4 & CR4_PKE))
		raise_ud(c);
	if ((uint32_t)c->gpr[RCX] || (uint32_t)c->gpr[RDX])
		raise_gp(c);
	store_le32(c->xsave + xsave_offset(PKRU_COMPONENT), c->gpr[RAX]);
	store_le64(c->xsave + XSTATE_BV_AT, in_use);
	tlb_use_keys(c, before ^ (uint32_t)c->gpr[RAX]);
	return next(c, i);
}
