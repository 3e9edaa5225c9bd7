/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A running machine: the board, its loop, and what happens when the guest asks for something. */
#ifndef MANAGE_VMM_H
#define MANAGE_VMM_H

#include "manage/config.h"

struct kvm;
struct loop;
struct monitor;
struct trace;
struct typist;
struct vnc;

struct vmm {
	struct config *config;
	struct loop *loop;
	struct kvm *system; /* the board's */
	struct trace *trace; /* NULL: nothing to tell */
	struct board *board;
	const char *accel_name;
	const char *reset_reason; /* a reset is on its way; else NULL */
	bool quitting;
	bool was_reset; /* at least once: -boot once= is over */
	struct monitor *monitors;
	struct typist *typist; /* keys.h */
	struct {
		uint32_t x, y;
		unsigned buttons;
	} pointer; /* as monitors left it */
	struct vnc *vnc;       /* NULL: none */
	/* Monitors hear about these: "RESET", "SHUTDOWN", "STOP", "RESUME", ... */
	void (*on_event)(struct vmm *vmm, const char *event, const char *reason);
};

/* Builds everything `config` asks for. 0 or -errno; vmm_free also after a failure. */
int vmm_build(struct vmm *vmm, struct config *config, struct err *err);
int vmm_run(struct vmm *vmm); /* until the end; the exit status */
void vmm_free(struct vmm *vmm);

/* life.c: on the loop's thread. Reasons are QMP's: "host-qmp-quit", "guest-reset", ... */
void vmm_observe(struct vmm *vmm); /* answers the board's requests from here on */
void vmm_quit(struct vmm *vmm, const char *reason, int status);
void vmm_quit_soon(struct vmm *vmm); /* a monitor's quit: when it has answered */
void vmm_reset(struct vmm *vmm, const char *reason);
void vmm_stop(struct vmm *vmm);
int vmm_continue(struct vmm *vmm, struct err *err);
void vmm_power_button(struct vmm *vmm);
int vmm_wake(struct vmm *vmm, struct err *err); /* from suspend to RAM */

/* For a look inside: stops the board without a word; true if vmm_resume is to start it again. */
bool vmm_pause(struct vmm *vmm);
void vmm_resume(struct vmm *vmm, bool was_running);

#endif
