/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the engine does, for whoever asked: see trace.h. */
#include "manage/trace.h"

#include "host/memory.h"
#include "host/perf.h"

#include <stdio.h>
#include <stdlib.h>

struct trace {
	struct perf *perf; /* NULL: perf does not want to know */
};

static void tell_perf(struct perf *perf, const struct vm_event *e)
{
	char name[96];

	if (e->name)
		snprintf(name, sizeof(name), "kelvin: %s", e->name);
	else
		snprintf(name, sizeof(name), "guest 0x%llx cpl%u (%u insns)",
			 (unsigned long long)e->rip, e->cpl, e->insns);
	perf_add(perf, e->address, e->code, e->bytes, name);
}

static void on_event(void *context, const struct vm_event *e)
{
	struct trace *trace = context;

	if (e->kind == VM_LOG_OUT_ASM && trace->perf)
		tell_perf(trace->perf, e);
}

int trace_open(struct trace **trace, struct config *config, struct err *err)
{
	*trace = NULL;
	if (!config->perf_map && !config->jit_dump)
		return 0;
	*trace = must_alloc(sizeof(**trace));
	(*trace)->perf = perf_open(config->perf_map, config->jit_dump, err);
	if (!(*trace)->perf)
		return -err->code;
	config->engine.log |= VM_LOG_OUT_ASM;
	config->engine.on_event = on_event;
	config->engine.context = *trace;
	return 0;
}

void trace_close(struct trace *trace)
{
	if (!trace)
		return;
	perf_close(trace->perf);
	free(trace);
}
