/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Telling the library's user what happens: vm_options.on_event. Events cost a look at vm->log while
 * nobody wants them; they belong where something rare or slow is done anyway.
 */
#ifndef ENGINE_SYS_LOG_H
#define ENGINE_SYS_LOG_H

#include "engine/vm.h"
#include "vm.h"

static inline bool log_wants(const struct vcpu *c, unsigned kind)
{
	return unlikely(c->vm && c->vm->log & kind);
}

/* `event` without its vCPU. Only if log_wants(). */
static inline void log_tell(const struct vcpu *c, struct vm_event event)
{
	event.vcpu = c->id;
	c->vm->on_event(c->vm->event_context, &event);
}

#endif
