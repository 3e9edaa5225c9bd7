/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A running machine: the board, its loop, and what happens when the guest asks for something. */
#ifndef MANAGE_VMM_H
#define MANAGE_VMM_H

#include "manage/config.h"

struct loop;
struct kvm;

struct vmm {
	struct config *config;
	struct loop *loop;
	struct kvm *system;
	struct board *board;
	const char *accel_name;
	bool reset_wanted, quitting;
	/* Monitors hear about these: "RESET", "SHUTDOWN", "STOP", "RESUME", ... */
	void (*on_event)(struct vmm *vmm, const char *event, const char *reason);
};

/* Builds everything `config` asks for. 0 or -errno; vmm_free also after a failure. */
int vmm_build(struct vmm *vmm, struct config *config, struct err *err);
int vmm_run(struct vmm *vmm); /* until the end; the exit status */
void vmm_free(struct vmm *vmm);

void vmm_quit(struct vmm *vmm, int status);
void vmm_reset(struct vmm *vmm);
void vmm_stop(struct vmm *vmm);
void vmm_continue(struct vmm *vmm);

#endif
