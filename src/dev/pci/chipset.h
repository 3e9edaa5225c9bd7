/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a board wires to the PCI chipset and asks of it. */
#ifndef DEV_PCI_CHIPSET_H
#define DEV_PCI_CHIPSET_H

#include "core/pci.h"

/*
 * i440FX: memory behind 0xc0000-0xfffff. Where a PAM register says so it is `ram` (from the same
 * offset), elsewhere the last bytes of `rom`, which ends at 1 MiB. The bridge maps both; the board
 * maps nothing there itself. `rom` may be NULL (no firmware: RAM until the guest says otherwise).
 */
int i440fx_set_memory(struct dev *dev, struct ram *ram, struct ram *rom, struct err *err);

/*
 * PIIX4 power management as the firmware tables describe it. With no firmware to do so, a board
 * calls piix4_pm_enable() to put the block at PM_BASE.
 */
enum {
	PM_BASE = 0x600,      /* PM1 event +0 (4 bytes), control +4 (2), timer +8 (4) */
	PM_GPE_BASE = 0xafe0, /* GPE0: status +0 (2 bytes), enable +2 (2) */
	PM_SMI_COMMAND = 0xb2,
	PM_ACPI_ENABLE = 0xf1,
	PM_ACPI_DISABLE = 0xf0,
	PM_SCI_GSI = 9,
	PM_SLEEP_S5 = 0, /* SLP_TYP values for the _Sx packages */
	PM_SLEEP_S3 = 1,
	PM_SLEEP_S4 = 2,
};
void piix4_pm_enable(struct dev *dev);
bool piix4_pm_offers_s3(struct dev *dev); /* for the firmware tables */
/* Raises a general-purpose event, bits 0 to 15. */
void piix4_pm_event(struct dev *dev, unsigned event);

/* Where an ide-hd or ide-cd sits, for boot paths; false if the device is no IDE drive. */
bool ide_drive_position(const struct dev *dev, unsigned *channel, unsigned *unit);
/* Cylinders, heads, sectors of an ide-hd, for CMOS; false as above. */
bool ide_drive_geometry(const struct dev *dev, uint32_t chs[3]);

#endif
