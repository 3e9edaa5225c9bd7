/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Every device class; the list itself is devices.def. */
#ifndef DEV_ALL_H
#define DEV_ALL_H

#include "core/pci.h"
#include "dev/virtio/virtio.h"

#define DEVICE(id)     extern const struct dev_class id##_class;
#define PCI_DEVICE(id) extern const struct pci_class id##_class;
#define VIRTIO_DEVICE(id) extern const struct virtio_class id##_class;
#include "dev/devices.def"
#undef DEVICE
#undef PCI_DEVICE
#undef VIRTIO_DEVICE

/* For dev_classes_register(). */
extern const struct dev_class *const all_devices[];
extern const size_t all_devices_count;

#endif
