/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SMBIOS 2.8: what a guest is told about its make, memory and processors. */
#ifndef MACHINE_SMBIOS_H
#define MACHINE_SMBIOS_H

#include "machine/buffer.h"
#include "machine/pc.h"

/* The structures and the entry point that describes them, as fw_cfg's etc/smbios/ files. */
void smbios_build(const struct pc_options *options, struct buffer *tables, struct buffer *anchor);

/* Without firmware: the entry point for structures at gpa. */
void smbios_place(struct buffer *anchor, uint32_t gpa);

#endif
