/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/* Pieces of far transfers that gates, IRET and events share. */
#ifndef ENGINE_SYS_FAR_H
#define ENGINE_SYS_FAR_H

#include "engine/sys/internal.h"

/* Makes `cs` current at `cpl`, mode_update() included. */
void code_switch(struct vcpu *c, const struct segment *cs, uint8_t cpl);

/* Checks of RET and IRET: the code segment returned to (RPL is the new CPL), where it may cut the
 * offset to 32 bits, and SS there. */
void return_target(struct vcpu *c, uint16_t selector, struct segment *cs, uint64_t *offset);
void return_stack(struct vcpu *c, uint16_t selector, const struct segment *cs, struct segment *ss);
/* RSP from a frame: 16-bit stacks keep the upper bits, other legacy ones clear them. */
uint64_t return_stack_pointer(const struct vcpu *c, const struct segment *cs,
			      const struct segment *ss, uint64_t sp);

/* gates.c: JMP or CALL far whose selector names a call gate, task gate or TSS. */
void gate_transfer(struct vcpu *c, const struct insn *i, uint16_t selector, bool is_call);

#endif
