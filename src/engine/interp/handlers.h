/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Handlers of the general instructions, as decode/opcodes.def names them. Families are indexed by
 * form (register, memory, locked memory) and operand size (1, 2, 4, 8).
 */
#ifndef INTERP_HANDLERS_H
#define INTERP_HANDLERS_H

#include "engine/decode/insn.h"

#define FAMILY(name)        extern op_fn *const name[8]
#define LOCKED_FAMILY(name) extern op_fn *const name[12]

/* alu.c */
LOCKED_FAMILY(exec_add_rm_r);
LOCKED_FAMILY(exec_or_rm_r);
LOCKED_FAMILY(exec_adc_rm_r);
LOCKED_FAMILY(exec_sbb_rm_r);
LOCKED_FAMILY(exec_and_rm_r);
LOCKED_FAMILY(exec_sub_rm_r);
LOCKED_FAMILY(exec_xor_rm_r);
FAMILY(exec_cmp_rm_r);
FAMILY(exec_add_r_rm);
FAMILY(exec_or_r_rm);
FAMILY(exec_adc_r_rm);
FAMILY(exec_sbb_r_rm);
FAMILY(exec_and_r_rm);
FAMILY(exec_sub_r_rm);
FAMILY(exec_xor_r_rm);
FAMILY(exec_cmp_r_rm);
LOCKED_FAMILY(exec_add_rm_i);
LOCKED_FAMILY(exec_or_rm_i);
LOCKED_FAMILY(exec_adc_rm_i);
LOCKED_FAMILY(exec_sbb_rm_i);
LOCKED_FAMILY(exec_and_rm_i);
LOCKED_FAMILY(exec_sub_rm_i);
LOCKED_FAMILY(exec_xor_rm_i);
FAMILY(exec_cmp_rm_i);
FAMILY(exec_test_rm_r);
FAMILY(exec_test_rm_i);
LOCKED_FAMILY(exec_inc);
LOCKED_FAMILY(exec_dec);
LOCKED_FAMILY(exec_not);
LOCKED_FAMILY(exec_neg);
FAMILY(exec_adcx);
FAMILY(exec_adox);
op_fn exec_clc, exec_stc, exec_cmc, exec_cld, exec_std, exec_lahf, exec_sahf, exec_salc;

/* move.c */
FAMILY(exec_mov_rm_r);
FAMILY(exec_mov_r_rm);
FAMILY(exec_mov_rm_i);
FAMILY(exec_mov_acc_moffs);
FAMILY(exec_mov_moffs_acc);
FAMILY(exec_movzx8);
FAMILY(exec_movzx16);
FAMILY(exec_movsx8);
FAMILY(exec_movsx16);
FAMILY(exec_movsxd);
FAMILY(exec_lea);
FAMILY(exec_xchg_acc);
FAMILY(exec_cbw);
FAMILY(exec_cwd);
FAMILY(exec_bswap);
FAMILY(exec_movbe_load);
FAMILY(exec_movbe_store);
extern op_fn *const exec_cmov[16][8];
extern op_fn *const exec_setcc[16][8];
op_fn exec_xlat;

/* shift.c */
FAMILY(exec_rol_imm);
FAMILY(exec_ror_imm);
FAMILY(exec_rcl_imm);
FAMILY(exec_rcr_imm);
FAMILY(exec_shl_imm);
FAMILY(exec_shr_imm);
FAMILY(exec_sar_imm);
FAMILY(exec_rol_cl);
FAMILY(exec_ror_cl);
FAMILY(exec_rcl_cl);
FAMILY(exec_rcr_cl);
FAMILY(exec_shl_cl);
FAMILY(exec_shr_cl);
FAMILY(exec_sar_cl);
FAMILY(exec_shld_imm);
FAMILY(exec_shld_cl);
FAMILY(exec_shrd_imm);
FAMILY(exec_shrd_cl);
FAMILY(exec_shlx);
FAMILY(exec_sarx);
FAMILY(exec_shrx);
FAMILY(exec_rorx);

/* multiply.c */
FAMILY(exec_mul);
FAMILY(exec_imul1);
FAMILY(exec_imul2);
FAMILY(exec_imul3);
FAMILY(exec_mulx);
FAMILY(exec_div);
FAMILY(exec_idiv);
op_fn exec_daa, exec_das, exec_aaa, exec_aas, exec_aam, exec_aad;

/* bits.c */
FAMILY(exec_bt_r);
LOCKED_FAMILY(exec_bts_r);
LOCKED_FAMILY(exec_btr_r);
LOCKED_FAMILY(exec_btc_r);
FAMILY(exec_bt_imm);
LOCKED_FAMILY(exec_bts_imm);
LOCKED_FAMILY(exec_btr_imm);
LOCKED_FAMILY(exec_btc_imm);
FAMILY(exec_bsf);
FAMILY(exec_bsr);
FAMILY(exec_tzcnt);
FAMILY(exec_lzcnt);
FAMILY(exec_popcnt);
FAMILY(exec_crc32);
FAMILY(exec_andn);
FAMILY(exec_blsr);
FAMILY(exec_blsmsk);
FAMILY(exec_blsi);
FAMILY(exec_bzhi);
FAMILY(exec_bextr);
FAMILY(exec_pext);
FAMILY(exec_pdep);

/* atomic.c */
LOCKED_FAMILY(exec_xchg);
LOCKED_FAMILY(exec_cmpxchg);
LOCKED_FAMILY(exec_xadd);
op_fn exec_cmpxchg8b, exec_cmpxchg16b;

/* stack.c */
FAMILY(exec_push);
FAMILY(exec_push_i);
FAMILY(exec_pop);
FAMILY(exec_pop_rm);
op_fn exec_pusha, exec_popa, exec_enter, exec_leave;

/* branch.c */
FAMILY(exec_call_rel);
FAMILY(exec_call_rm);
FAMILY(exec_jmp_rm);
FAMILY(exec_ret);
extern op_fn *const exec_jcc[16];
op_fn exec_jmp_rel, exec_loop, exec_loope, exec_loopne, exec_jcxz;

/* string.c */
op_fn exec_movs, exec_cmps, exec_stos, exec_lods, exec_scas, exec_ins, exec_outs;

/* misc.c */
op_fn exec_nop, exec_pause, exec_fence, exec_clflush, exec_rdrand, exec_bound;

#endif
