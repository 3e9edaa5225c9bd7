/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What monitors do to a machine, whatever language they speak. All on the loop's thread. */
#ifndef MANAGE_ACTIONS_H
#define MANAGE_ACTIONS_H

#include "manage/vmm.h"

/* `format`: "ppm", "png", NULL for ppm. */
int action_screendump(struct vmm *vmm, const char *path, const char *format, struct err *err);
/* The whole machine to a file and back; it runs on afterwards if it ran before. */
int action_save(struct vmm *vmm, const char *path, struct err *err);
int action_load(struct vmm *vmm, const char *path, struct err *err);

/* Guest memory; `vcpu` < 0: the address is physical. Where no memory is, devices are read. */
int action_read(struct vmm *vmm, int vcpu, uint64_t address, void *to, size_t bytes,
		struct err *err);
int action_memory_to_file(struct vmm *vmm, int vcpu, uint64_t address, uint64_t bytes,
			  const char *path, struct err *err);
/* Virtual to physical as the vCPU sees it now; UINT64_MAX: not mapped. */
uint64_t action_translate(struct vmm *vmm, unsigned vcpu, uint64_t gva);

/* A drive by the id of its disk or of its device. */
int action_eject(struct vmm *vmm, const char *drive, bool force, struct err *err);
struct change_medium {
	const char *path, *format;
	const char *read_only_mode; /* "retain", "read-only", "read-write", NULL: retain */
	bool force;
};
int action_change(struct vmm *vmm, const char *drive, const struct change_medium *change,
		  struct err *err);

/* "ctrl-alt-f1", "0x1c": pressed together. `hold_ms` 0: the usual time. */
int action_send_keys(struct vmm *vmm, const char *keys, unsigned hold_ms, struct err *err);
int action_vnc_password(struct vmm *vmm, const char *password, struct err *err);
int action_set_link(struct vmm *vmm, const char *name, bool up, struct err *err);
const char *action_state_name(const struct vmm *vmm); /* as QMP calls it: "running", "paused" */
void uuid_print(const uint8_t *uuid, char *to); /* 36 characters and a zero */

#endif
