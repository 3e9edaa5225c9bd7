/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Leaving an instruction in the middle: see unwind.h.
 *
 * c->unwind is set by whoever executes guest work that may fault: interp_run for instructions, the
 * run loop around event_deliver. It must be a plain setjmp.
 */
#include "engine/unwind.h"

#include "base/port.h"
#include "engine/mmu/mmu.h"

static NORETURN void unwind(struct vcpu *c, enum unwind_reason reason)
{
	split_unlock(c);
	longjmp(c->unwind, reason);
}

static NORETURN void raise(struct vcpu *c, struct event event)
{
	c->raised = event;
	unwind(c, UNWIND_FAULT);
}

void raise_fault(struct vcpu *c, uint8_t vector)
{
	raise(c, (struct event){ .kind = EVENT_FAULT, .vector = vector });
}

void raise_fault_code(struct vcpu *c, uint8_t vector, uint32_t error)
{
	raise(c, (struct event){
			 .kind = EVENT_FAULT, .vector = vector, .has_error = true, .error = error });
}

void raise_page_fault(struct vcpu *c, gva_t address, uint32_t error)
{
	raise(c, (struct event){ .kind = EVENT_FAULT,
				 .vector = EXC_PF,
				 .has_error = true,
				 .error = error,
				 .payload = address });
}

void raise_ud(struct vcpu *c)
{
	raise_fault(c, EXC_UD);
}

void raise_gp(struct vcpu *c)
{
	raise_fault_code(c, EXC_GP, 0);
}

void unwind_exit(struct vcpu *c)
{
	c->exit_ready = true;
	unwind(c, UNWIND_EXIT);
}

void unwind_restart(struct vcpu *c)
{
	unwind(c, UNWIND_RESTART);
}

void unwind_emulation_failure(struct vcpu *c, const char *what)
{
	port_log("vcpu %u: cannot emulate: %s, near rip 0x%llx", c->index, what,
		 (unsigned long long)c->rip);
	c->run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	c->run->internal.suberror = KVM_INTERNAL_ERROR_EMULATION;
	c->run->internal.ndata = 0;
	unwind_exit(c);
}
