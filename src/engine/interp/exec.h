/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Instruction handlers by name. decode/opcodes.def rows name them; each is defined once, in
 * interp/ (general), sys/ (system) or fpu/ (x87, MMX, SSE, AVX).
 */
#ifndef ENGINE_EXEC_H
#define ENGINE_EXEC_H

#include "engine/interp/interp.h"

/* interp/ */
op_fn exec_ud, exec_gp_too_long;

/* sys/: segments.c far.c gates.c flags.c control.c msr.c syscall.c debug.c port.c */
op_fn exec_mov_from_sreg, exec_mov_to_sreg, exec_push_sreg, exec_pop_sreg;
op_fn exec_load_far; /* LDS LES LSS LFS LGS: which segment is in i->op's row */
op_fn exec_call_far, exec_jmp_far; /* immediate and memory forms */
op_fn exec_ret_far, exec_iret, exec_int, exec_int3, exec_int1, exec_into;
op_fn exec_syscall, exec_sysret, exec_sysenter, exec_sysexit;
op_fn exec_lgdt, exec_lidt, exec_sgdt, exec_sidt, exec_lldt, exec_sldt, exec_ltr, exec_str;
op_fn exec_lar, exec_lsl, exec_verr, exec_verw, exec_arpl, exec_lmsw, exec_smsw, exec_clts;
op_fn exec_mov_from_cr, exec_mov_to_cr, exec_mov_from_dr, exec_mov_to_dr;
op_fn exec_invlpg, exec_invpcid, exec_invd, exec_wbinvd;
op_fn exec_hlt, exec_cli, exec_sti, exec_pushf, exec_popf, exec_clac, exec_stac;
op_fn exec_rdmsr, exec_wrmsr, exec_rdtsc, exec_rdtscp, exec_rdpmc, exec_rdpid, exec_cpuid;
op_fn exec_xgetbv, exec_xsetbv, exec_monitor, exec_mwait, exec_swapgs, exec_vmcall, exec_rsm;
op_fn exec_rdfsbase, exec_rdgsbase, exec_wrfsbase, exec_wrgsbase, exec_rdpkru, exec_wrpkru;
op_fn exec_in_imm, exec_in_dx, exec_out_imm, exec_out_dx;
/* #GP unless CPL/IOPL or the TSS bitmap allow the ports; also for interp/'s INS and OUTS. */
void io_permission_check(struct vcpu *c, uint16_t port, unsigned size);

/* fpu/ */
op_fn exec_vector;  /* anything on xmm/ymm/zmm/k/mm registers, run by the host CPU */
op_fn exec_x87, exec_fwait, exec_emms;
op_fn exec_fxsave, exec_fxrstor, exec_xsave, exec_xrstor, exec_xsaveopt, exec_xsavec,
	exec_xsaves, exec_xrstors, exec_ldmxcsr, exec_stmxcsr, exec_vzeroupper;

#endif
