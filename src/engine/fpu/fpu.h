/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * x87, MMX, SSE, AVX: run by the host CPU on the guest's state.
 *
 * Each distinct instruction (bytes with the memory operand replaced by a buffer) gets a small
 * generated stub. The portable softfloat that a non-x86 host needs would implement this header.
 */
#ifndef ENGINE_FPU_H
#define ENGINE_FPU_H

#include "engine/decode/insn.h"
#include "engine/sys/features.h"

int fpu_init(struct vcpu *c); /* 0 or -errno */
void fpu_fini(struct vcpu *c);
void fpu_reset(struct vcpu *c); /* power-on; INIT leaves the state alone */

/* Called by interp/ for every decoded exec_vector and exec_x87: finds or makes the stub, in i->imm
 * (which holds struct vector_bits until then, see decode/ops.h). */
void fpu_prepare(const struct vcpu *c, struct insn *i, const uint8_t *bytes);
/* Called by interp_flush: no decoded block, so no stub, is in use any more. When their memory has
 * run out, fpu/ sets REQUEST_CODE_FLUSH and restarts the instruction. */
void fpu_forget_stubs(struct vcpu *c);

/* Around KVM_RUN: the host's x87 unit may hold guest state only in between. After `leave`,
 * c->xsave is complete. */
void fpu_enter(struct vcpu *c);
void fpu_leave(struct vcpu *c);
/* KVM_SET_XSAVE: takes over an area in standard format; components whose XSTATE_BV bit is clear
 * get their initial values. In c->xsave itself every XSTATE_BV bit is always set. False: reserved
 * bits in MXCSR, XSTATE_BV or XCOMP_BV; nothing was changed. */
bool fpu_load_area(struct vcpu *c, const uint8_t *area);

/* The highest level whose instructions the guest has enabled. */
enum vector_level fpu_vectors_allowed(const struct vcpu *c);

/* A prepared vector instruction, for the translator: what it is encoded as, and its operands. */
struct vector_form {
	enum vector_level level;
	uint8_t pp, opcode, w, l, mask, b, z, vvvv, reg, rm; /* reg: perhaps an opcode extension */
	bool reg_is_gpr, rm_is_gpr;
	bool has_imm8;
	uint8_t imm8;
	uint8_t bytes; /* of the memory operand, all of which may be touched */
	bool is_aligned;
};
/* False: it has an address per element, implicit operands in memory, or uses the x87 unit. */
bool fpu_vector_form(const struct insn *i, struct vector_form *form);
/* The immediate byte of a vector instruction, if it has one. False: it could not be prepared. */
bool fpu_imm8(const struct insn *i, uint8_t *imm8);

/* Translated code ran x87 instructions: c->xsave gets the status word again. */
void fpu_collect_status(struct vcpu *c);

/* Layout of c->xsave: standard format; 0 where this host or guest lacks the component. */
unsigned xsave_offset(unsigned component);
unsigned xsave_size(unsigned component);
uint64_t xsave_supported(void); /* XCR0 bits the host can execute and we offer (no AMX) */
unsigned xsave_total(uint64_t xcr0); /* bytes of the standard format */
uint32_t fpu_mxcsr_mask(void);
bool host_can_run(enum feature feature);

#endif
