/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Processor models: what CPUID tells the guest. */
#ifndef MANAGE_CPU_H
#define MANAGE_CPU_H

#include "manage/config.h"

struct kvm;

void cpu_help(void);
const char *cpu_model_name(unsigned number); /* NULL: there are no more; "max" is the first */
/* Gives every vCPU of the board the CPUID of `config->cpu` ("MODEL,+f,-f,f=on"), no more than
 * `system` supports. What the user asked for by name and cannot have is an error. */
int cpu_configure(struct board *board, struct kvm *system, const struct config *config,
		  struct err *err);

#endif
