/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the engine does, for whoever asked: see trace.h. docs/observability.md explains the lines.
 *
 * Events come on vCPUs' threads; each becomes one piece of text, written at once.
 */
#include "manage/trace.h"

#include "host/log.h"
#include "host/memory.h"
#include "host/perf.h"
#include "manage/disassemble.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct trace {
	struct perf *perf; /* NULL: perf does not want to know */
	unsigned log;      /* what -d asked for; perf may want more */
};

static const struct {
	const char *name;
	unsigned bit;
	const char *help;
} items[] = {
	{ "in_asm", VM_LOG_IN_ASM, "guest instructions of each block when it is decoded" },
	{ "out_asm", VM_LOG_OUT_ASM, "host instructions of each translation" },
	{ "exec", VM_LOG_EXEC, "each block before it runs (none leads to another directly)" },
	{ "int", VM_LOG_INT, "interrupts and exceptions on their way into the guest" },
	{ "mmu", VM_LOG_MMU, "page walks: TLB fills and page faults" },
	{ "unimp", VM_LOG_UNIMPLEMENTED, "what the guest uses and is not modelled" },
	{ "guest_errors", VM_LOG_GUEST_ERROR, "what the guest does wrong; always logged" },
};

static unsigned item_find(const char *name, size_t length)
{
	unsigned all = 0;

	for (unsigned i = 0; i < ARRAY_LEN(items); i++) {
		if (strlen(items[i].name) == length && !strncmp(items[i].name, name, length))
			return items[i].bit;
		all |= items[i].bit;
	}
	return length == 3 && !strncmp(name, "all", 3) ? all : 0;
}

int trace_parse(const char *value, unsigned *log, struct err *err)
{
	while (*value) {
		size_t length = strcspn(value, ",");
		unsigned bit = item_find(value, length);

		if (!bit)
			return fail(err, EINVAL, "-d \"%.*s\" is not there; -d help lists what is",
				    (int)length, value);
		*log |= bit;
		value += length + (value[length] == ',');
	}
	return 0;
}

void trace_help(void)
{
	puts("Log items (comma separated):");
	for (unsigned i = 0; i < ARRAY_LEN(items); i++)
		printf("%-14s  %s\n", items[i].name, items[i].help);
	printf("%-14s  %s\n", "all", "all of these");
}

static void print_name(char *to, size_t size, const struct vm_event *e)
{
	if (e->name)
		snprintf(to, size, "kelvin: %s", e->name);
	else
		snprintf(to, size, "guest 0x%llx cpl%u (%u insns%s)", (unsigned long long)e->rip,
			 e->cpl, e->code.insns, e->code.is_windowed ? ", window" : "");
}

static void print_code(struct report *report, const struct vm_event *e)
{
	char name[96];

	print_name(name, sizeof(name), e);
	if (e->kind == VM_LOG_IN_ASM) {
		report_print(report, "----------------\nIN: %s\n", name);
		disassemble_all(report, e->code.bytes, e->code.size, e->rip, e->bits);
	} else {
		report_print(report, "OUT: [size=%zu] %s\n", e->code.size, name);
		disassemble_all(report, e->code.bytes, e->code.size, e->code.address, 64);
	}
	report_print(report, "\n");
}

static void print_interrupt(struct report *report, const struct vm_event *e)
{
	bool is_page_fault = e->interrupt.vector == 14 && e->interrupt.has_error;

	if (!strcmp(e->name, "triple fault")) {
		report_print(report, "Triple fault\n");
		return;
	}
	report_print(report,
		     "INT %u: v=%02x e=%04x i=%d cpl=%u IP=%04x:%016llx pc=%016llx SP=%04x:%016llx",
		     e->vcpu, e->interrupt.vector, e->interrupt.has_error ? e->interrupt.error : 0,
		     !strcmp(e->name, "software"), e->cpl, e->interrupt.cs,
		     (unsigned long long)e->interrupt.rip, (unsigned long long)e->rip,
		     e->interrupt.ss, (unsigned long long)e->interrupt.rsp);
	if (is_page_fault)
		report_print(report, " CR2=%016llx", (unsigned long long)e->interrupt.cr2);
	report_print(report, " %s\n", e->name);
}

static void print_translation(struct report *report, const struct vm_event *e)
{
	report_print(report, "MMU %u: %c %016llx ", e->vcpu, e->mmu.access,
		     (unsigned long long)e->mmu.address);
	if (e->mmu.page_bytes)
		report_print(report, "-> %llx in a page of 0x%llx", (unsigned long long)e->mmu.gpa,
			     (unsigned long long)e->mmu.page_bytes);
	else
		report_print(report, "faults e=%04x", e->mmu.error);
	report_print(report, " cpl=%u pc=%016llx\n", e->cpl, (unsigned long long)e->rip);
}

void trace_print(struct report *report, const struct vm_event *e)
{
	switch (e->kind) {
	case VM_LOG_IN_ASM:
	case VM_LOG_OUT_ASM:
		print_code(report, e);
		break;
	case VM_LOG_EXEC:
		report_print(report, "Trace %u: %016llx cpl=%u bits=%u insns=%u %s\n", e->vcpu,
			     (unsigned long long)e->rip, e->cpl, e->bits, e->code.insns,
			     e->name ? e->name : "interpreted");
		break;
	case VM_LOG_INT:
		print_interrupt(report, e);
		break;
	case VM_LOG_MMU:
		print_translation(report, e);
		break;
	case VM_LOG_UNIMPLEMENTED:
		report_print(report, "Unimplemented %u: %s 0x%llx pc=%016llx\n", e->vcpu, e->name,
			     (unsigned long long)e->value, (unsigned long long)e->rip);
		break;
	}
}

static void tell_perf(struct perf *perf, const struct vm_event *e)
{
	char name[96];

	print_name(name, sizeof(name), e);
	perf_add(perf, e->code.address, e->code.bytes, e->code.size, name);
}

static void on_event(void *context, const struct vm_event *e)
{
	struct trace *trace = context;

	if (e->kind == VM_LOG_OUT_ASM && trace->perf)
		tell_perf(trace->perf, e);
	if (e->kind & trace->log) {
		struct report report = { 0 };

		trace_print(&report, e);
		log_text(report_text(&report), report.size);
		report_free(&report);
	}
}

int trace_open(struct trace **trace, struct config *config, struct err *err)
{
	bool for_perf = config->perf_map || config->jit_dump;

	*trace = NULL;
	if (!for_perf && !config->engine.log)
		return 0;
	*trace = must_alloc(sizeof(**trace));
	**trace = (struct trace){ .log = config->engine.log };
	if (for_perf) {
		(*trace)->perf = perf_open(config->perf_map, config->jit_dump, err);
		if (!(*trace)->perf)
			return -err->code;
		config->engine.log |= VM_LOG_OUT_ASM;
	}
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
