/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What firmware is told to boot from: letters in CMOS, device paths in fw_cfg.
 *
 * Manual: SeaBIOS docs/Boot; IEEE 1275 device paths.
 */
#include "base/bytes.h"
#include "core/pci.h"
#include "dev/isa/fw_cfg.h"
#include "dev/isa/rtc.h"
#include "dev/pci/chipset.h"
#include "machine/pc.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { CMOS_BOOT_HIGH = 0x38, CMOS_BOOT_LOW = 0x3d };

void pc_set_boot_order(struct board *board, const char *order)
{
	static const char devices[] = "acdn"; /* floppy 1, disk 2, CD-ROM 3, network 4 */
	struct dev *rtc = dev_find(board, "mc146818rtc");
	unsigned code = 0;

	for (unsigned i = 0; i < 3 && order[i]; i++) {
		const char *device = strchr(devices, order[i]);

		code |= (device ? (unsigned)(device - devices) + 1 : 0) << 4 * i;
	}
	rtc_set_cmos(rtc, CMOS_BOOT_LOW, code);
	/* bit 0: no signature check on floppies */
	rtc_set_cmos(rtc, CMOS_BOOT_HIGH, code >> 8 << 4 | 1);
}

static void pci_path(const struct pci_dev *pci, const char *node, char *path, size_t room)
{
	unsigned slot = pci->devfn >> 3, function = pci->devfn & 7;

	if (function)
		snprintf(path, room, "/pci@i0cf8/%s@%x,%x", node, slot, function);
	else
		snprintf(path, room, "/pci@i0cf8/%s@%x", node, slot);
}

bool pc_firmware_path(struct dev *dev, char *path, size_t room)
{
	unsigned channel, unit, class;
	char parent[64];

	if (ide_drive_position(dev, &channel, &unit)) {
		snprintf(path, room, "/pci@i0cf8/ide@1,1/drive@%x/disk@%x", channel, unit);
		return true;
	}
	if (!strcmp(dev->class->name, "isa-fdc")) {
		snprintf(path, room, "/pci@i0cf8/isa@1/fdc@03f0/floppy@0");
		return true;
	}
	if (dev->class->bus != &pci_bus_class &&
	    (!dev->class->bus || dev->class->bus->parent != &pci_bus_class))
		return false;
	class = load_le16(to_pci(dev)->config + PCI_CLASS);
	if (class >> 8 == 2) {
		pci_path(to_pci(dev), "ethernet", parent, sizeof(parent));
		snprintf(path, room, "%s/ethernet-phy@0", parent);
	} else if (class >> 8 == 1) {
		pci_path(to_pci(dev), "scsi", parent, sizeof(parent));
		snprintf(path, room, "%s/disk@0,0", parent);
	} else {
		pci_path(to_pci(dev), "pci", path, room);
	}
	return true;
}

int pc_set_boot_list(struct board *board, const char *list, struct err *err)
{
	return fw_cfg_add_file(dev_find(board, "fw_cfg"), "bootorder", list, strlen(list) + 1, err);
}

int pc_add_fw_cfg(struct board *board, const char *name, const void *bytes, size_t size,
		  struct err *err)
{
	return fw_cfg_add_file(dev_find(board, "fw_cfg"), name, bytes, size, err);
}
