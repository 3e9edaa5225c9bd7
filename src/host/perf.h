/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Names of generated code for Linux' perf.
 *
 * The map, /tmp/perf-PID.map, has a line for each piece of code: perf top, record and report find
 * it by itself. The dump, jit-PID.dump in the current directory, has the code too, with times:
 * "perf record -k mono", then "perf inject --jit", make it good for perf annotate.
 */
#ifndef HOST_PERF_H
#define HOST_PERF_H

#include "base/err.h"

struct perf;

struct perf *perf_open(bool map, bool dump, struct err *err);
/* Code that will run at `address`. Any thread. */
void perf_add(struct perf *perf, uint64_t address, const void *code, size_t bytes,
	      const char *name);
void perf_close(struct perf *perf); /* the files stay: perf report reads them later */

#endif
