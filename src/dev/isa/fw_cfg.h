/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the board leaves for firmware: items by key, files by name. Copies; call before reset. */
#ifndef DEV_FW_CFG_H
#define DEV_FW_CFG_H

#include "core/dev.h"

enum {
	FW_CFG_SIGNATURE = 0x00, FW_CFG_ID = 0x01, FW_CFG_UUID = 0x02, FW_CFG_RAM_SIZE = 0x03,
	FW_CFG_NOGRAPHIC = 0x04, FW_CFG_NB_CPUS = 0x05, FW_CFG_MACHINE_ID = 0x06,
	FW_CFG_BOOT_DEVICE = 0x0c, FW_CFG_NUMA = 0x0d, FW_CFG_BOOT_MENU = 0x0e,
	FW_CFG_MAX_CPUS = 0x0f, FW_CFG_FILE_DIR = 0x19, FW_CFG_FILE_FIRST = 0x20,
	FW_CFG_ACPI_TABLES = 0x8000, FW_CFG_SMBIOS_ENTRIES = 0x8001, FW_CFG_IRQ0_OVERRIDE = 0x8002,
	FW_CFG_E820_TABLE = 0x8003, FW_CFG_HPET = 0x8004,
};

/* `fw_cfg` is the device of that name. The model itself provides signature, id and directory. */
void fw_cfg_add_item(struct dev *fw_cfg, uint16_t key, const void *data, size_t bytes);
/* -EEXIST for a name that is there, -ENOSPC when the directory is full, -EINVAL: name too long. */
int fw_cfg_add_file(struct dev *fw_cfg, const char *name, const void *data, size_t bytes,
		    struct err *err);

#endif
