/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/* Control and debug registers, RFLAGS, ports, MSRs and CPUID: what may be set, and what follows. */
#include "engine/sys/msr.h"
#include "sys_rig.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct vcpu *c;

static int set_up(void **state)
{
	(void)state;
	c = rig_new();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	rig_free(c);
	return 0;
}

static void cr0_rules(void **state)
{
	(void)state;
	assert_false(cr0_write(c, CR0_PG));
	assert_false(cr0_write(c, CR0_PE | CR0_NW));
	assert_false(cr0_write(c, CR0_PE | BIT(32)));
	assert_true(cr0_write(c, CR0_PE));
	assert_true(c->mode & MODE_PROTECTED);
	c->efer = EFER_LME;
	assert_false(cr0_write(c, CR0_PE | CR0_PG)); /* no PAE */
	assert_true(cr4_write(c, CR4_PAE));
	assert_true(cr0_write(c, CR0_PE | CR0_PG));
	assert_true(in_long_mode(c));
	assert_int_equal(c->efer, EFER_LME | EFER_LMA);
	assert_false(cr4_write(c, 0)); /* PAE stays in long mode */
	assert_true(cr0_write(c, CR0_PE));
	assert_false(in_long_mode(c));
	assert_int_equal(c->efer, EFER_LME);
	/* Not with 64-bit code from the start. */
	c->seg[CS].rights |= SEG_LONG;
	assert_false(cr0_write(c, CR0_PE | CR0_PG));
}

static void cr3_and_cr4_rules(void **state)
{
	(void)state;
	assert_false(cr4_write(c, BIT(13))); /* VMXE */
	assert_true(cr4_write(c, CR4_LA57)); /* before long mode only */
	assert_true(cr4_write(c, 0));
	assert_false(cr4_write(c, CR4_PCIDE)); /* long mode only */
	rig_long(c, 0);
	c->cr3 = 1;
	assert_false(cr4_write(c, CR4_PAE | CR4_PCIDE));
	c->cr3 = 0x5000;
	assert_true(cr4_write(c, CR4_PAE | CR4_PCIDE));
	rig_flushes = 0;
	assert_true(cr3_write(c, 0x5000 | BIT(63)));
	assert_int_equal(rig_flushes, 0);
	assert_true(cr3_write(c, 0x5001 | BIT(63)));
	assert_int_equal(c->cr3, 0x5001);
	assert_int_equal(rig_flushes, 0);
	assert_true(cr3_write(c, 0x5001));
	assert_int_equal(rig_flushes, 1);
	assert_false(cr3_write(c, BIT(c->physical_bits)));
	assert_true(cr4_write(c, CR4_PAE));
	assert_false(cr3_write(c, BIT(63)));
}

static void supervisor_keys_are_an_msr(void **state)
{
	uint64_t value = 1;

	(void)state;
	assert_true(cr4_write(c, CR4_PKS));
	rig_flushes = 0;
	assert_true(msr_write(c, MSR_PKRS, 0xffffffff, false));
	assert_int_equal(rig_flushes, 1);
	assert_true(msr_read(c, MSR_PKRS, &value, false));
	assert_int_equal(value, 0xffffffff);
	assert_false(msr_write(c, MSR_PKRS, BIT(32), false));
	assert_int_equal(c->msr.pkrs, 0xffffffff);
}

static void pae_paging_loads_pdptes(void **state)
{
	(void)state;
	rig_protected(c, 0);
	assert_true(cr4_write(c, CR4_PAE));
	assert_true(cr0_write(c, CR0_PE | CR0_PG));
	assert_false(cr3_write(c, BIT(31))); /* bad, says the rig */
	assert_int_equal(c->cr3, 0);
	assert_true(cr3_write(c, 0x1000));
}

static void xcr0_rules(void **state)
{
	static const uint64_t good[] = { 1, 3, 7, 0xe7, 0x201, 0x2e7 };
	static const uint64_t bad[] = { 0, 2, 5, 0x27, 0xe3, 9, 0x20007, BIT(63) | 1 };

	(void)state;
	for (unsigned n = 0; n < ARRAY_LEN(good); n++)
		assert_true(xcr0_write(c, good[n]));
	for (unsigned n = 0; n < ARRAY_LEN(bad); n++)
		assert_false(xcr0_write(c, bad[n]));
}

static void popf_keeps_what_the_level_may_not_change(void **state)
{
	struct insn popf = { .opsize = 4 };

	(void)state;
	rig_protected(c, 3);
	rig_put(RIG_STACK, 4, 0xffffffff & ~(uint32_t)F_TF);
	rig_execute(c, exec_popf, popf);
	assert_false(c->rflags & (F_IF | F_IOPL | F_VM | F_RF | F_VIF | F_VIP));
	assert_true(c->rflags & F_AC);
	rig_protected(c, 0);
	c->gpr[RSP] = RIG_STACK;
	rig_execute(c, exec_popf, popf);
	assert_int_equal(c->rflags & (F_IF | F_IOPL), F_IF | F_IOPL);
	assert_false(c->rflags & (F_VM | F_RF | F_VIF | F_VIP));
}

static void cli_and_sti_ask_iopl(void **state)
{
	(void)state;
	rig_protected(c, 3);
	assert_int_equal(rig_execute(c, exec_cli, (struct insn){ 0 }).vector, EXC_GP);
	c->cr4 |= CR4_PVI;
	rig_execute(c, exec_sti, (struct insn){ 0 });
	assert_int_equal(c->rflags & (F_IF | F_VIF), F_VIF);
	c->rflags |= F_VIP;
	assert_int_equal(rig_execute(c, exec_sti, (struct insn){ 0 }).vector, EXC_GP);
	c->rflags |= F_IOPL;
	assert_int_equal(rig_execute(c, exec_sti, (struct insn){ 0 }).kind, EVENT_NONE);
	assert_true(c->shadow_sti);
	assert_false(interrupts_allowed(c));
	debug_check_fetch(c, c->rip);
	debug_after_insn(c, false);
	assert_true(interrupts_allowed(c));
	assert_false(c->mode & MODE_STEP);
}

static void ports_follow_the_bitmap(void **state)
{
	struct insn in = { .opsize = 2 };

	(void)state;
	rig_protected(c, 3);
	c->gpr[RDX] = 0x3f8;
	assert_int_equal(rig_execute(c, exec_in_dx, in).vector, EXC_GP);
	c->seg[TR].limit = 0x68 + 0x80;
	rig_put(RIG_TSS + 0x66, 2, 0x68);
	rig_put(RIG_TSS + 0x68 + 0x3f8 / 8, 1, 2);
	assert_int_equal(rig_execute(c, exec_in_dx, in).vector, EXC_GP);
	in.opsize = 1;
	assert_int_equal(rig_execute(c, exec_in_dx, in).kind, EVENT_NONE);
	assert_int_equal(c->gpr[RAX] & 0xff, 0xf8);
	c->gpr[RDX] = 0x3ff; /* its byte is the last inside, the one after it is not needed to be */
	assert_int_equal(rig_execute(c, exec_in_dx, in).kind, EVENT_NONE);
	c->gpr[RDX] = 0x408;
	assert_int_equal(rig_execute(c, exec_in_dx, in).vector, EXC_GP);
	c->rflags |= F_IOPL;
	assert_int_equal(rig_execute(c, exec_in_dx, in).kind, EVENT_NONE);
}

static void single_steps_and_breakpoints(void **state)
{
	(void)state;
	rig_protected(c, 0);
	c->rflags |= F_TF;
	mode_update(c);
	assert_true(c->mode & MODE_STEP);
	debug_check_fetch(c, c->rip);
	debug_after_insn(c, true);
	assert_int_equal(c->raised.vector, EXC_DB);
	assert_int_equal(c->raised.payload, BIT(14));
	c->raised.kind = EVENT_NONE;
	/* MOV SS holds the trap off. */
	c->shadow_mov_ss = true;
	debug_after_insn(c, true);
	assert_int_equal(c->raised.kind, EVENT_NONE);
	debug_check_fetch(c, c->rip);
	debug_after_insn(c, true);
	assert_int_equal(c->raised.kind, EVENT_TRAP);
	c->raised.kind = EVENT_NONE;
	/* A four-byte write breakpoint sees any touching write, no read. */
	c->dr[1] = 0x1000;
	c->dr[7] = 0x400 | 0xd << 20 | 2 << 2;
	debug_check_data(c, 0x1003, 2, false);
	assert_int_equal(c->pending_debug, 0);
	debug_check_data(c, 0xffd, 4, true);
	assert_int_equal(c->pending_debug, 2);
	c->pending_debug = 0;
	debug_check_data(c, 0x1004, 4, true);
	assert_int_equal(c->pending_debug, 0);
}

static void the_debugger_gets_exits(void **state)
{
	(void)state;
	rig_protected(c, 0);
	c->debug.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_SW_BP;
	debug_changed(c);
	assert_true(c->mode & MODE_STEP);
	debug_check_fetch(c, c->rip);
	debug_after_insn(c, false);
	assert_true(c->exit_ready);
	assert_int_equal(c->run->exit_reason, KVM_EXIT_DEBUG);
	assert_int_equal(c->run->debug.arch.dr6, 0xffff4ff0);
	assert_int_equal(c->run->debug.arch.pc, RIG_CODE);
	c->exit_ready = false;
	rig_execute(c, exec_int3, (struct insn){ .length = 1 });
	assert_true(c->exit_ready);
	assert_int_equal(c->run->debug.arch.exception, EXC_BP);
	c->debug.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_INJECT_BP;
	debug_changed(c);
	assert_int_equal(c->injected.vector, EXC_BP);
	assert_int_equal(c->debug.control, KVM_GUESTDBG_ENABLE);
}

static void debug_registers_have_fixed_bits(void **state)
{
	struct insn mov = { .reg = 6, .rm = RAX, .opsize = 4 };

	(void)state;
	rig_protected(c, 0);
	c->gpr[RAX] = 0;
	rig_execute(c, exec_mov_to_dr, mov);
	assert_int_equal(c->dr[6], 0xffff0ff0);
	mov.reg = 5; /* DR7 */
	c->gpr[RAX] = 0xffffffff;
	rig_execute(c, exec_mov_to_dr, mov);
	assert_int_equal(c->dr[7], 0xffff2fff);
	/* General detect. */
	struct event e = rig_execute(c, exec_mov_from_dr, mov);

	assert_int_equal(e.vector, EXC_DB);
	assert_int_equal(e.payload, BIT(13));
	c->dr[7] = 0x400;
	c->cr4 |= CR4_DE;
	assert_int_equal(rig_execute(c, exec_mov_from_dr, mov).vector, EXC_UD);
}

static void every_listed_msr_can_be_saved_and_restored(void **state)
{
	uint64_t value;

	(void)state;
	for (unsigned n = 0; n < msr_index_count; n++) {
		assert_true(msr_read(c, msr_index_list[n], &value, true));
		assert_true(msr_write(c, msr_index_list[n], value, true));
	}
	for (unsigned n = 0; n < msr_feature_count; n++)
		assert_true(msr_feature_read(msr_feature_list[n], &value));
	assert_false(msr_feature_read(0x10, &value));
}

static void msr_values_are_checked(void **state)
{
	static const struct {
		uint32_t index;
		uint64_t value;
		bool good;
	} rows[] = {
		{ 0x277, 0x0007040600070406, true },
		{ 0x277, 2, false }, /* PAT */
		{ 0x277, 8, false },
		{ 0xc0000102, 0x0100000000000000, false }, /* KERNEL_GS_BASE */
		{ 0xc0000102, 0xffff800000000000, true },
		{ 0xc0000080, EFER_SCE | EFER_NX, true },
		{ 0xc0000080, BIT(12), false }, /* SVME */
		{ 0x2ff, 0xc06, true },
		{ 0x2ff, 2, false },
		{ 0xfe, 0, false }, /* MTRRs */
		{ 0x200, 6, true },
		{ 0x200, 3, false },
		{ 0x201, 0x800, true },
		{ 0x201, 0x400, false },
		{ 0x250, 0x0606060606060606, true },
		{ 0x250, 0x0202020202020202, false },
		{ 0x210, 0, false },
		{ 0x1a0, 0x400c51809, true },
		{ 0x1a0, 0, false }, /* MISC_ENABLE */
		{ 0x400, ~0ull, true },
		{ 0x400, 2, false },
		{ 0x401, 1, false }, /* MC0 */
		{ 0x401, 0, true },
		{ 0x402, ~0ull, true },
		{ 0x480, 0, false },
		{ 0xc0000103, BIT(32), false }, /* TSC_AUX */
		{ 0x38f, 0, false },
		{ 0xc1, 5, true },
		{ 0x12345678, 0, false },
		{ 0xda0, 1, false },
		{ 0x10a, 0, false },
		{ 0x9e, 0, false },
	};

	(void)state;
	for (unsigned n = 0; n < ARRAY_LEN(rows); n++)
		if (msr_write(c, rows[n].index, rows[n].value, false) != rows[n].good)
			fail_msg("MSR 0x%x = 0x%llx", rows[n].index,
				 (unsigned long long)rows[n].value);
}

static const struct kvm_cpuid_entry2 *find(const struct kvm_cpuid_entry2 *entries, unsigned count,
					   uint32_t leaf, uint32_t subleaf)
{
	for (unsigned n = 0; n < count; n++)
		if (entries[n].function == leaf && entries[n].index == subleaf)
			return &entries[n];
	return NULL;
}

static void supported_cpuid_is_consistent(void **state)
{
	struct kvm_cpuid_entry2 entries[128];
	unsigned count;

	(void)state;
	assert_int_equal(cpuid_supported(entries, 3, &count), -E2BIG);
	assert_int_equal(cpuid_supported(entries, ARRAY_LEN(entries), &count), 0);
	assert_true(count < 100);
	assert_int_equal(find(entries, count, 0x40000000, 0)->ebx, 0x4b4d564b);
	assert_true(find(entries, count, 1, 0)->ecx >> 31);
	assert_false(find(entries, count, 1, 0)->ecx >> 5 & 1);  /* VMX */
	assert_false(find(entries, count, 1, 0)->ecx >> 27 & 1); /* OSXSAVE */
	assert_int_equal(find(entries, count, 0xd, 0)->eax, 0x2e7);
	assert_int_equal(find(entries, count, 0xd, 0)->ecx, 2696);
	assert_int_equal(find(entries, count, 0xd, 2)->eax, 256);
	assert_int_equal(find(entries, count, 0xa, 0)->eax, 0);
	for (unsigned n = 0; n < count; n++)
		for (unsigned m = 0; m < n; m++)
			assert_false(entries[n].function == entries[m].function &&
				     entries[n].index == entries[m].index);
}

static void cpuid_follows_kvm(void **state)
{
	uint32_t out[4];
	unsigned count;

	(void)state;
	cpuid_query(c, 1, 0, out);
	assert_int_equal(out[3], 0);
	assert_true(has_feature(c, FEATURE_SSE2)); /* no table: all may be executed */
	cpuid_supported(c->cpuid, ARRAY_LEN(c->cpuid), &count);
	c->cpuid_count = count;
	cpuid_changed(c);
	assert_true(has_feature(c, FEATURE_LM));
	assert_true(has_feature(c, FEATURE_LA57));
	/* Beyond the last basic leaf: the last one. Unknown subleaves: zero. */
	c->cpuid[0].eax = 7;
	cpuid_query(c, 0x500, 0, out);
	assert_int_equal(out[1], find(c->cpuid, count, 7, 0)->ebx);
	cpuid_query(c, 7, 3, out);
	assert_int_equal(out[1], 0);
	/* Dynamic bits. */
	cpuid_query(c, 1, 0, out);
	assert_false(out[2] >> 27 & 1);
	c->cr4 |= CR4_OSXSAVE;
	cpuid_query(c, 1, 0, out);
	assert_true(out[2] >> 27 & 1);
	cpuid_query(c, 0xd, 0, out);
	assert_int_equal(out[1], 576);
	c->xcr0 = 7;
	cpuid_query(c, 0xd, 0, out);
	assert_int_equal(out[1], 832);
	/* A guest without a feature cannot use its bit. */
	((struct kvm_cpuid_entry2 *)find(c->cpuid, count, 7, 0))->ebx &= ~BIT(7); /* SMEP */
	cpuid_changed(c);
	assert_false(cr4_write(c, CR4_SMEP));
	assert_true(cr4_write(c, CR4_SMAP));
}

static void init_keeps_what_reset_clears(void **state)
{
	(void)state;
	c->msr.lstar = 5;
	c->xcr0 = 7;
	c->cr0 = CR0_PE | CR0_ET | CR0_CD;
	c->dr[7] = 0x401;
	vcpu_reset(c, true);
	assert_int_equal(c->msr.lstar, 5);
	assert_int_equal(c->xcr0, 7);
	assert_int_equal(c->cr0, CR0_ET | CR0_CD);
	assert_int_equal(c->dr[7], 0x400);
	assert_int_equal(c->rip, 0xfff0);
	assert_int_equal(c->seg[CS].base, 0xffff0000);
	vcpu_reset(c, false);
	assert_int_equal(c->msr.lstar, 0);
	assert_int_equal(c->xcr0, 1);
	assert_int_equal(c->cr0, CR0_ET | CR0_CD | CR0_NW);
}

static void segments_survive_the_kvm_structure(void **state)
{
	struct kvm_segment kvm;
	struct segment back;

	(void)state;
	rig_protected(c, 3);
	for (unsigned n = 0; n < SEGMENT_COUNT; n++) {
		segment_to_kvm(&kvm, &c->seg[n]);
		segment_from_kvm(&back, &kvm);
		assert_int_equal(back.base, c->seg[n].base);
		assert_int_equal(back.rights, c->seg[n].rights);
		assert_int_equal(back.limit, c->seg[n].limit);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(cr0_rules, set_up, tear_down),
		cmocka_unit_test_setup_teardown(cr3_and_cr4_rules, set_up, tear_down),
		cmocka_unit_test_setup_teardown(supervisor_keys_are_an_msr, set_up, tear_down),
		cmocka_unit_test_setup_teardown(pae_paging_loads_pdptes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(xcr0_rules, set_up, tear_down),
		cmocka_unit_test_setup_teardown(popf_keeps_what_the_level_may_not_change, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(cli_and_sti_ask_iopl, set_up, tear_down),
		cmocka_unit_test_setup_teardown(ports_follow_the_bitmap, set_up, tear_down),
		cmocka_unit_test_setup_teardown(single_steps_and_breakpoints, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_debugger_gets_exits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(debug_registers_have_fixed_bits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(every_listed_msr_can_be_saved_and_restored, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(msr_values_are_checked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(supported_cpuid_is_consistent, set_up, tear_down),
		cmocka_unit_test_setup_teardown(cpuid_follows_kvm, set_up, tear_down),
		cmocka_unit_test_setup_teardown(init_keeps_what_reset_clears, set_up, tear_down),
		cmocka_unit_test_setup_teardown(segments_survive_the_kvm_structure, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
