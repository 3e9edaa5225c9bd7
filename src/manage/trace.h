/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the engine does, for whoever asked: -d and its log, and names of translated code for perf. */
#ifndef MANAGE_TRACE_H
#define MANAGE_TRACE_H

#include "manage/config.h"

struct trace;

/* Makes config->engine tell what config->perf_map and jit_dump want. 0 or -errno; *trace may be NULL
 * (nothing is wanted). Frees: after the KVM was closed. */
int trace_open(struct trace **trace, struct config *config, struct err *err);
void trace_close(struct trace *trace);

#endif
