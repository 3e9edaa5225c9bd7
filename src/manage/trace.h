/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the engine does, for whoever asked: -d and its log, and names of translated code for perf. */
#ifndef MANAGE_TRACE_H
#define MANAGE_TRACE_H

#include "manage/config.h"
#include "manage/report.h"

struct trace;

/* Items of -d, separated by commas: VM_LOG_* bits. */
int trace_parse(const char *items, unsigned *log, struct err *err);
void trace_help(void);

/* Makes config->engine tell what is wanted. 0 or -errno; *trace is NULL if nothing is. Closed
 * after the KVM was. */
int trace_open(struct trace **trace, struct config *config, struct err *err);
void trace_close(struct trace *trace);

/* An event as lines of the log. */
void trace_print(struct report *report, const struct vm_event *event);

#endif
