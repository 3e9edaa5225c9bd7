/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where things are on the PC board: the one list of addresses and lines. */
#ifndef MACHINE_LAYOUT_H
#define MACHINE_LAYOUT_H

#include "base/bits.h"

#define LOW_RAM_MAX      0xc0000000ull  /* RAM below the PCI hole; the rest continues at 4 GiB */
#define HIGH_RAM_BASE    0x100000000ull
#define PCI_HOLE_END     0xfebfffffull
#define IOAPIC_BASE      0xfec00000u
#define HPET_BASE        0xfed00000u
#define LAPIC_BASE       0xfee00000u
#define TSS_ADDRESS      0xfffbd000u    /* unused by the engine; Intel hosts want the pages */
#define IDENTITY_ADDRESS 0xfffbc000u
#define VGA_HOLE_BASE    0xa0000u
#define ROM_AREA_BASE    0xc0000u
#define BIOS_AREA_BASE   0xe0000u
#define PM_IO_BASE       0x600u
#define SMBUS_IO_BASE    0x700u
#define SCI_IRQ          9
#define PCI_SLOT_HOST    0
#define PCI_SLOT_PIIX    1 /* functions: 0 ISA bridge, 1 IDE, 3 power management */
#define PCI_SLOT_VGA     2

static inline uint64_t low_ram(uint64_t ram_bytes)
{
	return MIN(ram_bytes, LOW_RAM_MAX);
}

static inline uint64_t high_ram(uint64_t ram_bytes)
{
	return ram_bytes - low_ram(ram_bytes);
}

/* First address of the PCI window: what SeaBIOS chooses for this much RAM. */
static inline uint64_t pci_hole_base(uint64_t ram_bytes)
{
	return low_ram(ram_bytes) <= 0x80000000ull ? 0x80000000ull : 0xc0000000ull;
}

#endif
