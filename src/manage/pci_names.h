/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PCI class codes in words. */
#ifndef MANAGE_PCI_NAMES_H
#define MANAGE_PCI_NAMES_H

/* `code`: base class << 8 | subclass. */
const char *pci_class_name(unsigned code);
/* The node's name in a firmware device path ("ethernet", "scsi"). */
const char *pci_class_node(unsigned code);

#endif
