/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of every device class, from devices.def. */
#include "dev/all.h"

#define DEVICE(id)        &id##_class,
#define PCI_DEVICE(id)    &id##_class.dev,
#define VIRTIO_DEVICE(id) &id##_class.pci.dev,

const struct dev_class *const all_devices[] = {
#include "dev/devices.def"
};

const size_t all_devices_count = ARRAY_LEN(all_devices);
