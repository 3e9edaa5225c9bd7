/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PCI class codes: see pci_names.h. Manual: PCI code and ID assignment; IEEE 1275 PCI binding. */
#include "manage/pci_names.h"

#include "base/bits.h"

static const struct {
	unsigned code;
	const char *name, *node;
} classes[] = {
	{ 0x0100, "SCSI controller", "scsi" },
	{ 0x0101, "IDE controller", "ide" },
	{ 0x0106, "SATA controller", "sata" },
	{ 0x0180, "Storage controller", "scsi" },
	{ 0x0108, "NVMe controller", "nvme" },
	{ 0x0200, "Ethernet controller", "ethernet" },
	{ 0x0300, "VGA controller", "display" },
	{ 0x0380, "Display controller", "display" },
	{ 0x0401, "Audio controller", "sound" },
	{ 0x0403, "Audio controller", "sound" },
	{ 0x0500, "RAM controller", "memory" },
	{ 0x0600, "Host bridge", "host" },
	{ 0x0601, "ISA bridge", "isa" },
	{ 0x0604, "PCI bridge", "pci-bridge" },
	{ 0x0680, "Bridge", "bridge" },
	{ 0x0780, "Communication controller", "communication" },
	{ 0x0880, "System peripheral", "system-peripheral" },
	{ 0x0c03, "USB controller", "usb" },
	{ 0x0c05, "SMBus", "smbus" },
};

const char *pci_class_name(unsigned code)
{
	for (unsigned i = 0; i < ARRAY_LEN(classes); i++)
		if (classes[i].code == code)
			return classes[i].name;
	return "Device";
}

const char *pci_class_node(unsigned code)
{
	for (unsigned i = 0; i < ARRAY_LEN(classes); i++)
		if (classes[i].code == code)
			return classes[i].node;
	return "pci";
}
