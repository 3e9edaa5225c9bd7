/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the engine counts, for "info jit" and x-query-jit. */
#ifndef MANAGE_COUNTERS_H
#define MANAGE_COUNTERS_H

#include "manage/report.h"
#include "manage/vmm.h"

struct vm_counter;

/* All vCPUs' rows, alike ones added up, in order of appearance. Freed by the caller; NULL: the
 * host's KVM runs the guest. */
struct vm_counter *counters_read(struct vmm *vmm, size_t *count);
/* A paragraph for each group; of instructions only the most frequent. */
void counters_print(struct report *report, const struct vm_counter *rows, size_t count);

#endif
