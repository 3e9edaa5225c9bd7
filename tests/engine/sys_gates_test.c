/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/* Events, gates, far transfers and tasks: what is checked, pushed and loaded. */
#include "sys_rig.h"

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

static void assert_fault(struct event e, uint8_t vector, uint32_t error)
{
	assert_int_equal(e.kind, EVENT_FAULT);
	assert_int_equal(e.vector, vector);
	assert_int_equal(e.error, error);
}

static struct event fault(uint8_t vector, uint32_t error)
{
	return (struct event){
		.kind = EVENT_FAULT, .vector = vector, .has_error = true, .error = error
	};
}

static void real_mode_interrupt_and_return(void **state)
{
	(void)state;
	c->seg[CS].base = 0x80000;
	c->seg[CS].selector = 0x8000;
	c->rip = 0x123;
	c->gpr[RSP] = 0x1000;
	c->rflags |= F_IF;
	rig_put(0x21 * 4, 4, 0x70001234);
	assert_int_equal(rig_execute(c, exec_int, (struct insn){ .imm = 0x21 }).kind, EVENT_NONE);
	assert_int_equal(c->rip, 0x1234);
	assert_int_equal(c->seg[CS].base, 0x70000);
	assert_int_equal(c->gpr[RSP], 0xffa);
	assert_int_equal(rig_get(0xffa, 2), 0x125);
	assert_int_equal(rig_get(0xffc, 2), 0x8000);
	assert_int_equal(rig_get(0xffe, 2), 0x202);
	assert_false(c->rflags & F_IF);
	rig_execute(c, exec_iret, (struct insn){ .opsize = 2 });
	assert_int_equal(c->rip, 0x125);
	assert_int_equal(c->seg[CS].base, 0x80000);
	assert_true(c->rflags & F_IF);
	assert_int_equal(c->gpr[RSP], 0x1000);
}

static void user_fault_switches_stacks(void **state)
{
	(void)state;
	rig_protected(c, 3);
	rig_gate(c, EXC_GP, TYPE_INT32, 0, SEL_CODE0, 0x9000);
	c->rflags |= F_IF | F_TF;
	assert_int_equal(rig_deliver(c, fault(EXC_GP, 0x58)).kind, EVENT_NONE);
	assert_int_equal(c->cpl, 0);
	assert_int_equal(c->rip, 0x9000);
	assert_int_equal(c->seg[SS].selector, SEL_DATA0);
	assert_int_equal(c->gpr[RSP], RIG_STACK0 - 24);
	assert_int_equal(rig_get(RIG_STACK0 - 24, 4), 0x58);
	assert_int_equal(rig_get(RIG_STACK0 - 20, 4), RIG_CODE);
	assert_int_equal(rig_get(RIG_STACK0 - 16, 4), SEL_CODE3 | 3);
	assert_int_equal(rig_get(RIG_STACK0 - 12, 4), F_1 | F_IF | F_TF | F_RF);
	assert_int_equal(rig_get(RIG_STACK0 - 8, 4), RIG_STACK);
	assert_int_equal(rig_get(RIG_STACK0 - 4, 4), SEL_DATA3 | 3);
	assert_false(c->rflags & (F_IF | F_TF | F_RF));
	c->gpr[RSP] += 4;
	rig_execute(c, exec_iret, (struct insn){ .opsize = 4 });
	assert_int_equal(c->cpl, 3);
	assert_int_equal(c->rip, RIG_CODE);
	assert_int_equal(c->gpr[RSP], RIG_STACK);
	assert_true(c->rflags & F_IF);
}

static void gates_are_checked_in_order(void **state)
{
	(void)state;
	rig_protected(c, 3);
	/* INT n through a gate of DPL 0: no EXT. The same vector as an interrupt passes. */
	rig_gate(c, 0x80, TYPE_INT32, 0, SEL_CODE0, 0x9000);
	assert_fault(rig_execute(c, exec_int, (struct insn){ .imm = 0x80 }), EXC_GP, 0x80 * 8 + 2);
	c->injected.kind = EVENT_NONE;
	/* Beyond the table, from outside: EXT. */
	c->idt.limit = 0x80 * 8 + 6;
	assert_fault(rig_deliver(c, (struct event){ .kind = EVENT_INTERRUPT, .vector = 0x80 }),
		     EXC_GP, 0x80 * 8 + 3);
	c->idt.limit = 0xfff;
	/* Not a gate. */
	rig_gate(c, 0x81, TYPE_TSS32, 3, SEL_CODE0, 0x9000);
	assert_fault(rig_deliver(c, (struct event){ .kind = EVENT_INTERRUPT, .vector = 0x81 }),
		     EXC_GP, 0x81 * 8 + 3);
	/* Not present. */
	rig_put(RIG_IDT + 0x80 * 8 + 5, 1, 0x0e);
	assert_fault(rig_deliver(c, (struct event){ .kind = EVENT_INTERRUPT, .vector = 0x80 }),
		     EXC_NP, 0x80 * 8 + 3);
	/* A data segment as code; a stack that is read-only. */
	rig_gate(c, 0x80, TYPE_INT32, 0, SEL_DATA0, 0x9000);
	assert_fault(rig_deliver(c, (struct event){ .kind = EVENT_INTERRUPT, .vector = 0x80 }),
		     EXC_GP, SEL_DATA0 + 1);
	rig_gate(c, 0x80, TYPE_INT32, 0, SEL_CODE0, 0x9000);
	rig_put(RIG_TSS + 8, 2, SEL_CODE0);
	assert_fault(rig_deliver(c, (struct event){ .kind = EVENT_INTERRUPT, .vector = 0x80 }),
		     EXC_TS, SEL_CODE0 + 1);
	assert_int_equal(c->cpl, 3);
	assert_int_equal(c->gpr[RSP], RIG_STACK);
}

static void long_mode_uses_ist_and_null_ss(void **state)
{
	(void)state;
	rig_long(c, 3);
	c->gpr[RSP] = RIG_STACK + 5;
	rig_gate(c, EXC_PF, TYPE_INT32, 0, SEL_CODE64, 0x9000);
	rig_put(RIG_IDT + 16 * EXC_PF + 4, 1, 1);
	struct event e = fault(EXC_PF, 6);

	e.payload = 0x123456789;
	assert_int_equal(rig_deliver(c, e).kind, EVENT_NONE);
	assert_int_equal(c->cr2, 0x123456789);
	assert_int_equal(c->gpr[RSP], RIG_IST1 - 48);
	assert_int_equal(rig_get(RIG_IST1 - 48, 8), 6);
	assert_int_equal(rig_get(RIG_IST1 - 16, 8), RIG_STACK + 5);
	assert_int_equal(c->seg[SS].selector, 0);
	assert_true(c->seg[SS].rights & SEG_UNUSABLE);
	assert_int_equal(c->cpl, 0);
	/* Back: null SS is not what ring 3 gets. */
	c->gpr[RSP] += 8;
	rig_put(RIG_IST1 - 32, 8, SEL_CODE3 | 3);
	rig_put(RIG_IST1 - 8, 8, SEL_DATA3 | 3);
	rig_execute(c, exec_iret, (struct insn){ .opsize = 8 });
	assert_int_equal(c->cpl, 3);
	assert_int_equal(c->gpr[RSP], RIG_STACK + 5);
	assert_false(code_is_64bit(c));
	assert_true(in_long_mode(c));
}

static void same_level_long_mode_aligns_the_stack(void **state)
{
	(void)state;
	rig_long(c, 0);
	c->gpr[RSP] = RIG_STACK + 9;
	rig_gate(c, 0x30, TYPE_TRAP32, 0, SEL_CODE64, 0x9000);
	c->rflags |= F_IF;
	rig_deliver(c, (struct event){ .kind = EVENT_INTERRUPT, .vector = 0x30 });
	assert_int_equal(c->gpr[RSP], RIG_STACK - 40);
	assert_int_equal(rig_get(RIG_STACK - 16, 8), RIG_STACK + 9);
	assert_int_equal(rig_get(RIG_STACK - 24, 8), F_1 | F_IF);
	assert_true(c->rflags & F_IF);
	/* A gate must name 64-bit code. */
	rig_gate(c, 0x31, TYPE_INT32, 0, SEL_CODE0, 0x9000);
	assert_fault(rig_deliver(c, (struct event){ .kind = EVENT_INTERRUPT, .vector = 0x31 }),
		     EXC_GP, SEL_CODE0 + 1);
}

static void vm86_goes_to_ring_0_and_back(void **state)
{
	(void)state;
	rig_protected(c, 0);
	/* IRET to virtual-8086 mode. */
	const uint32_t frame[] = { 0x100,  0x2000, F_VM | F_IF | F_1, 0x800, 0x3000, 0x4000, 0x5000,
				   0x6000, 0x7000 };

	for (unsigned n = 0; n < ARRAY_LEN(frame); n++)
		rig_put(RIG_STACK + 4 * n, 4, frame[n]);
	rig_execute(c, exec_iret, (struct insn){ .opsize = 4 });
	assert_true(c->mode & MODE_VM86);
	assert_int_equal(c->cpl, 3);
	assert_int_equal(c->seg[CS].base, 0x20000);
	assert_int_equal(c->seg[ES].selector, 0x4000);
	assert_int_equal(c->seg[GS].base, 0x70000);
	/* INT n needs IOPL 3. */
	rig_gate(c, 0x40, TYPE_INT32, 3, SEL_CODE0, 0x9000);
	assert_fault(rig_execute(c, exec_int, (struct insn){ .imm = 0x40 }), EXC_GP, 0);
	c->injected.kind = EVENT_NONE;
	assert_int_equal(rig_deliver(c, fault(EXC_GP, 0)).kind, EVENT_FAULT); /* no gate */
	rig_gate(c, EXC_GP, TYPE_INT32, 0, SEL_CODE0, 0x9000);
	assert_int_equal(rig_deliver(c, fault(EXC_GP, 0)).kind, EVENT_NONE);
	assert_false(c->mode & MODE_VM86);
	assert_int_equal(c->gpr[RSP], RIG_STACK0 - 40);
	assert_int_equal(rig_get(RIG_STACK0 - 4, 4), 0x7000);
	assert_int_equal(rig_get(RIG_STACK0 - 16, 4), 0x4000);
	assert_int_equal(rig_get(RIG_STACK0 - 20, 4), 0x3000);
	assert_true(rig_get(RIG_STACK0 - 28, 4) & F_VM);
	assert_true(c->seg[DS].rights & SEG_UNUSABLE);
}

static void call_gate_copies_parameters(void **state)
{
	(void)state;
	rig_protected(c, 3);
	rig_gdt_set(SEL_FREE, 0x9000 | (uint64_t)SEL_CODE0 << 16 |
				      (uint64_t)(TYPE_CALL32 | SEG_PRESENT | SEG_DPL) << 40 |
				      2ull << 32);
	rig_put(RIG_STACK, 4, 0x11111111);
	rig_put(RIG_STACK + 4, 4, 0x22222222);
	struct insn call = { .opsize = 4, .length = 7, .imm = (uint64_t)(SEL_FREE | 3) << 32 };

	assert_int_equal(rig_execute(c, exec_call_far, call).kind, EVENT_NONE);
	assert_int_equal(c->cpl, 0);
	assert_int_equal(c->rip, 0x9000);
	assert_int_equal(c->gpr[RSP], RIG_STACK0 - 24);
	assert_int_equal(rig_get(RIG_STACK0 - 24, 4), RIG_CODE + 7);
	assert_int_equal(rig_get(RIG_STACK0 - 16, 4), 0x11111111);
	assert_int_equal(rig_get(RIG_STACK0 - 12, 4), 0x22222222);
	assert_int_equal(rig_get(RIG_STACK0 - 8, 4), RIG_STACK);
	/* RET 8 drops them from both stacks, and ring 0 data segments with them. */
	struct descriptor d = { .low = rig_get(RIG_GDT + SEL_DATA0, 8) };

	segment_unpack(&d, SEL_DATA0, &c->seg[FS]);
	rig_execute(c, exec_ret_far, (struct insn){ .opsize = 4, .imm = 8 });
	assert_int_equal(c->cpl, 3);
	assert_int_equal(c->rip, RIG_CODE + 7);
	assert_int_equal(c->gpr[RSP], RIG_STACK + 8);
	assert_int_equal(c->seg[FS].selector, 0);
	assert_int_equal(c->seg[DS].selector, SEL_DATA3 | 3);
	/* A gate the caller may not use. */
	rig_put(RIG_GDT + SEL_FREE + 5, 1, TYPE_CALL32 | SEG_PRESENT);
	assert_fault(rig_execute(c, exec_call_far, call), EXC_GP, SEL_FREE);
}

enum { TSS2 = 0x5000, SEL_TSS2 = SEL_FREE };

static void new_task(uint16_t cs)
{
	rig_gdt_set(SEL_TSS2, rig_descriptor(TSS2, 0x67, SEG_PRESENT | TYPE_TSS32));
	rig_put(TSS2 + 0x20, 4, 0x9100);
	rig_put(TSS2 + 0x24, 4, F_1);
	rig_put(TSS2 + 0x28, 4, 0xabcd);
	rig_put(TSS2 + 0x38, 4, 0x13000);
	for (unsigned at = 0x48; at <= 0x5c; at += 4)
		rig_put(TSS2 + at, 2, at == 0x4c ? cs : SEL_DATA0);
}

static void tasks_call_and_return(void **state)
{
	struct insn call = { .opsize = 4, .length = 7, .imm = (uint64_t)SEL_TSS2 << 32 };

	(void)state;
	rig_protected(c, 0);
	new_task(SEL_CODE0);
	c->gpr[RAX] = 0x5678;
	assert_int_equal(rig_execute(c, exec_call_far, call).kind, EVENT_NONE);
	assert_int_equal(c->rip, 0x9100);
	assert_int_equal(c->gpr[RAX], 0xabcd);
	assert_int_equal(c->gpr[RSP], 0x13000);
	assert_true(c->rflags & F_NT);
	assert_true(c->cr0 & CR0_TS);
	assert_int_equal(c->seg[TR].selector, SEL_TSS2);
	assert_int_equal(rig_get(TSS2, 2), SEL_TSS);
	assert_int_equal(rig_get(RIG_GDT + SEL_TSS2 + 5, 1) & 15, TYPE_TSS32_BUSY);
	assert_int_equal(rig_get(RIG_TSS + 0x20, 4), RIG_CODE + 7);
	assert_int_equal(rig_get(RIG_TSS + 0x28, 4), 0x5678);
	assert_int_equal(rig_execute(c, exec_iret, (struct insn){ .opsize = 4 }).kind, EVENT_NONE);
	assert_int_equal(c->rip, RIG_CODE + 7);
	assert_int_equal(c->gpr[RAX], 0x5678);
	assert_false(c->rflags & F_NT);
	assert_int_equal(rig_get(RIG_GDT + SEL_TSS2 + 5, 1) & 15, TYPE_TSS32);
	assert_int_equal(rig_get(RIG_GDT + SEL_TSS + 5, 1) & 15, TYPE_TSS32_BUSY);
}

static void a_new_task_faults_in_its_own_context(void **state)
{
	(void)state;
	rig_protected(c, 0);
	new_task(SEL_CODE0);
	rig_put(TSS2 + 0x54, 2, SEL_TSS); /* DS: no data segment */
	struct insn jump = { .opsize = 4, .length = 7, .imm = (uint64_t)SEL_TSS2 << 32 };

	assert_fault(rig_execute(c, exec_jmp_far, jump), EXC_TS, SEL_TSS);
	assert_int_equal(c->rip, 0x9100);
	assert_int_equal(c->seg[TR].selector, SEL_TSS2);
	assert_false(c->rflags & F_NT);
	/* A busy task cannot be entered. */
	assert_fault(rig_execute(c, exec_jmp_far, jump), EXC_GP, SEL_TSS2);
	assert_int_equal(c->rip, 0x9100);
}

static void interrupts_through_task_gates_push_errors(void **state)
{
	(void)state;
	rig_protected(c, 0);
	new_task(SEL_CODE0);
	rig_gate(c, EXC_GP, TYPE_TASK_GATE, 0, SEL_TSS2, 0);
	assert_int_equal(rig_deliver(c, fault(EXC_GP, 0x1234)).kind, EVENT_NONE);
	assert_int_equal(c->injected.kind, EVENT_NONE);
	assert_int_equal(c->gpr[RSP], 0x13000 - 4);
	assert_int_equal(rig_get(0x13000 - 4, 4), 0x1234);
	assert_int_equal(rig_get(RIG_TSS + 0x20, 4), RIG_CODE);
	assert_true(rig_get(RIG_TSS + 0x24, 4) & F_RF);
}

static void faults_combine(void **state)
{
	static const struct {
		uint8_t first, second, result; /* 255: triple fault */
	} rows[] = {
		{ EXC_UD, EXC_GP, EXC_GP }, { EXC_GP, EXC_GP, EXC_DF }, { EXC_GP, EXC_PF, EXC_PF },
		{ EXC_PF, EXC_GP, EXC_DF }, { EXC_PF, EXC_PF, EXC_DF }, { EXC_PF, EXC_UD, EXC_UD },
		{ EXC_DE, EXC_NP, EXC_DF }, { EXC_DF, EXC_GP, 255 },    { EXC_DF, EXC_PF, 255 },
		{ EXC_DF, EXC_UD, EXC_UD },
	};

	(void)state;
	for (unsigned n = 0; n < ARRAY_LEN(rows); n++) {
		c->injected = fault(rows[n].first, 0);
		c->raised = fault(rows[n].second, 0);
		assert_int_equal(event_combine(c), rows[n].result != 255);
		if (rows[n].result != 255)
			assert_int_equal(c->injected.vector, rows[n].result);
		assert_int_equal(c->raised.kind, EVENT_NONE);
	}
	/* An interrupt or INT n is benign. */
	c->injected = (struct event){ .kind = EVENT_SOFTWARE, .vector = EXC_GP };
	c->raised = fault(EXC_GP, 0);
	assert_true(event_combine(c));
	assert_int_equal(c->injected.vector, EXC_GP);
	c->injected.kind = EVENT_NONE;
}

static void segment_loads_are_checked(void **state)
{
	struct insn mov = { .reg = SS, .rm = RAX, .opsize = 2 };

	(void)state;
	rig_protected(c, 0);
	c->gpr[RAX] = 0;
	assert_fault(rig_execute(c, exec_mov_to_sreg, mov), EXC_GP, 0);
	c->gpr[RAX] = SEL_CODE0;
	assert_fault(rig_execute(c, exec_mov_to_sreg, mov), EXC_GP, SEL_CODE0);
	c->gpr[RAX] = SEL_DATA3;
	assert_fault(rig_execute(c, exec_mov_to_sreg, mov), EXC_GP, SEL_DATA3);
	rig_gdt_set(SEL_FREE, rig_descriptor(0x1230, 0xff, SEG_S | SEG_WRITE));
	c->gpr[RAX] = SEL_FREE;
	assert_fault(rig_execute(c, exec_mov_to_sreg, mov), EXC_SS, SEL_FREE);
	mov.reg = DS;
	assert_fault(rig_execute(c, exec_mov_to_sreg, mov), EXC_NP, SEL_FREE);
	c->gpr[RAX] = 0x1000;
	assert_fault(rig_execute(c, exec_mov_to_sreg, mov), EXC_GP, 0x1000);
	c->gpr[RAX] = SEL_FREE | 4;
	assert_fault(rig_execute(c, exec_mov_to_sreg, mov), EXC_GP, SEL_FREE | 4);
	mov.reg = CS;
	assert_int_equal(rig_execute(c, exec_mov_to_sreg, mov).vector, EXC_UD);
	/* And a good one sets the accessed bit. */
	rig_gdt_set(SEL_FREE, rig_descriptor(0x1230, 0xff, SEG_PRESENT | SEG_S | SEG_WRITE));
	c->gpr[RAX] = SEL_FREE;
	mov.reg = SS;
	assert_int_equal(rig_execute(c, exec_mov_to_sreg, mov).kind, EVENT_NONE);
	assert_int_equal(c->seg[SS].base, 0x1230);
	assert_true(rig_get(RIG_GDT + SEL_FREE + 5, 1) & SEG_ACCESSED);
	assert_true(c->shadow_mov_ss);
	assert_true(c->mode & MODE_STEP);
	assert_false(interrupts_allowed(c));
}

static void verr_and_lsl_look_without_faults(void **state)
{
	struct insn i = { .reg = RBX, .rm = RAX, .opsize = 4 };

	(void)state;
	rig_protected(c, 3);
	c->gpr[RAX] = SEL_DATA0;
	rig_execute(c, exec_verr, i);
	assert_false(flag_zf(c));
	c->gpr[RAX] = SEL_DATA3 | 3;
	rig_execute(c, exec_verw, i);
	assert_true(flag_zf(c));
	rig_execute(c, exec_lsl, i);
	assert_int_equal(c->gpr[RBX], 0xffffffff);
	rig_execute(c, exec_lar, i);
	assert_int_equal(c->gpr[RBX], 0xcff200);
	c->gpr[RAX] = 0xfff8;
	rig_execute(c, exec_lar, i);
	assert_false(flag_zf(c));
	assert_int_equal(c->gpr[RBX], 0xcff200);
}

static void system_calls_load_flat_segments(void **state)
{
	(void)state;
	rig_long(c, 3);
	c->efer |= EFER_SCE;
	c->msr.star = 0x23ull << 48 | (uint64_t)SEL_CODE64 << 32;
	c->msr.lstar = 0xffffffff80001000;
	c->msr.fmask = F_IF;
	c->rflags |= F_IF;
	rig_execute(c, exec_syscall, (struct insn){ .length = 2 });
	assert_int_equal(c->rip, 0xffffffff80001000);
	assert_int_equal(c->gpr[RCX], RIG_CODE + 2);
	assert_int_equal(c->gpr[R11], F_1 | F_IF);
	assert_int_equal(c->cpl, 0);
	assert_false(c->rflags & F_IF);
	assert_true(code_is_64bit(c));
	rig_execute(c, exec_sysret, (struct insn){ .opsize = 8 });
	assert_int_equal(c->rip, RIG_CODE + 2);
	assert_int_equal(c->cpl, 3);
	assert_int_equal(c->seg[CS].selector, 0x33);
	assert_int_equal(c->seg[SS].selector, 0x2b);
	assert_true(c->rflags & F_IF);
	c->efer &= ~(uint64_t)EFER_SCE;
	assert_int_equal(rig_execute(c, exec_syscall, (struct insn){ 0 }).vector, EXC_UD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(real_mode_interrupt_and_return, set_up, tear_down),
		cmocka_unit_test_setup_teardown(user_fault_switches_stacks, set_up, tear_down),
		cmocka_unit_test_setup_teardown(gates_are_checked_in_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(long_mode_uses_ist_and_null_ss, set_up, tear_down),
		cmocka_unit_test_setup_teardown(same_level_long_mode_aligns_the_stack, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(vm86_goes_to_ring_0_and_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(call_gate_copies_parameters, set_up, tear_down),
		cmocka_unit_test_setup_teardown(tasks_call_and_return, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_new_task_faults_in_its_own_context, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(interrupts_through_task_gates_push_errors, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(faults_combine, set_up, tear_down),
		cmocka_unit_test_setup_teardown(segment_loads_are_checked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(verr_and_lsl_look_without_faults, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(system_calls_load_flat_segments, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
