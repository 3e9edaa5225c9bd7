/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Leaving an instruction in the middle. All of these jump to the run loop, which
 * puts RIP back to the start of the instruction. No lock may be held.
 */
#ifndef ENGINE_UNWIND_H
#define ENGINE_UNWIND_H

#include "engine/vcpu.h"

enum unwind_reason {
	UNWIND_FAULT = 1, /* c->raised is to be delivered */
	UNWIND_EXIT,      /* c->run is filled, c->exit_ready set */
	UNWIND_RESTART,   /* execute the same instruction again (decoded code went stale, ...) */
};

NORETURN void raise_fault(struct vcpu *c, uint8_t vector); /* without error code */
NORETURN void raise_fault_code(struct vcpu *c, uint8_t vector, uint32_t error);
NORETURN void raise_page_fault(struct vcpu *c, gva_t address, uint32_t error);
NORETURN void raise_ud(struct vcpu *c);
NORETURN void raise_gp(struct vcpu *c); /* error code 0 */
NORETURN void unwind_exit(struct vcpu *c);
NORETURN void unwind_restart(struct vcpu *c);
/* An instruction the engine does not know how to run: KVM_EXIT_INTERNAL_ERROR, with a log line. */
NORETURN void unwind_emulation_failure(struct vcpu *c, const char *what);

#endif
