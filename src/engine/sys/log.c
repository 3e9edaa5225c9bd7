/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/* Telling the library's user what happens: see log.h. */
#include "engine/sys/log.h"

#include "engine/interp/interp.h"
#include "engine/sys/internal.h"

void log_tell(const struct vcpu *c, struct vm_event event)
{
	if (!event.rip)
		event.rip = linear_rip(c, c->insn ? insn_rip(c, c->insn) : c->rip);
	event.vcpu = c->id;
	event.cpl = c->cpl;
	event.bits = c->mode & MODE_CODE64 ? 64 : c->mode & MODE_CODE32 ? 32 : 16;
	c->vm->on_event(c->vm->event_context, &event);
}

void log_interrupt(const struct vcpu *c, const struct event *e)
{
	static const char *const names[] = {
		[EVENT_FAULT] = "fault",       [EVENT_TRAP] = "trap",
		[EVENT_SOFTWARE] = "software", [EVENT_INTERRUPT] = "interrupt",
		[EVENT_NMI] = "nmi",           [EVENT_INT1] = "software"
	};

	log_tell(c, (struct vm_event){
			    .kind = VM_LOG_INT,
			    .name = names[e->kind],
			    .interrupt = { .vector = e->vector,
					   .has_error = e->has_error,
					   .error = e->error,
					   .cs = c->seg[CS].selector,
					   .ss = c->seg[SS].selector,
					   .rip = c->rip,
					   .rsp = c->gpr[RSP],
					   .cr2 = e->payload_done ? c->cr2 : e->payload } });
}

void log_triple_fault(const struct vcpu *c)
{
	log_interrupt(c, &c->injected);
	log_tell(c, (struct vm_event){ .kind = VM_LOG_INT, .name = "triple fault" });
}

void log_decoded(const struct vcpu *c, const uint8_t *bytes, unsigned size, unsigned count)
{
	log_tell(c, (struct vm_event){ .kind = VM_LOG_IN_ASM,
				       .code = { .bytes = bytes, .size = size, .insns = count } });
}

void log_host_code(const struct vcpu *c, const char *name, const void *run, const void *bytes,
		   size_t size)
{
	log_tell(c, (struct vm_event){
			    .kind = VM_LOG_OUT_ASM,
			    .name = name,
			    .code = { .address = (uintptr_t)run, .bytes = bytes, .size = size } });
}

void log_translation(const struct vcpu *c, gva_t address, char access, gpa_t gpa,
		     uint64_t page_bytes, uint32_t error)
{
	log_tell(c, (struct vm_event){ .kind = VM_LOG_MMU,
				       .mmu = { .address = address,
						.access = access,
						.gpa = gpa,
						.page_bytes = page_bytes,
						.error = error } });
}
