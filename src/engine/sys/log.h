/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Telling the library's user what happens: vm_options.on_event. Events cost a look at vm->log while
 * nobody wants them; they belong where something rare or slow is done anyway.
 *
 *	if (log_wants(c, VM_LOG_INT))
 *		log_interrupt(c, &event);
 */
#ifndef ENGINE_SYS_LOG_H
#define ENGINE_SYS_LOG_H

#include "engine/vm.h"
#include "vm.h"

static inline bool log_wants(const struct vcpu *c, unsigned kind)
{
	return unlikely(c->vm && c->vm->log & kind);
}

/* Completes `event` with the vCPU and, if it says no RIP, where that is. */
void log_tell(const struct vcpu *c, struct vm_event event);

void log_interrupt(const struct vcpu *c, const struct event *e);
void log_triple_fault(const struct vcpu *c);
/* `count` instructions at RIP. */
void log_decoded(const struct vcpu *c, const uint8_t *bytes, unsigned size, unsigned count);
/* A piece of host code of the engine's own. */
void log_host_code(const struct vcpu *c, const char *name, const void *run, const void *bytes,
		   size_t size);
/* page_bytes 0: `error` is a page fault's. */
void log_translation(const struct vcpu *c, gva_t address, char access, gpa_t gpa,
		     uint64_t page_bytes, uint32_t error);

#endif
