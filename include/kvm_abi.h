/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * The KVM ABI: ioctl numbers, structures and constants, exactly the kernel's,
 * from the kernel's own user-space header. This is the one seam between a VMM
 * and a hypervisor (ADR 0001); both sides of ours include only this.
 */
#ifndef KVM_ABI_H
#define KVM_ABI_H

#include <linux/kvm.h>
#include <linux/kvm_para.h>

#define KVM_ABI_VERSION    12
#define KVM_ABI_SLOTS      509
#define KVM_ABI_VCPUS      16
#define KVM_ABI_RUN_BYTES  (3 * 4096) /* kvm_run, PIO data, coalesced ring */
#define KVM_ABI_PIO_PAGE   1          /* page offset of the PIO data */
#define KVM_ABI_RING_PAGE  2          /* KVM_COALESCED_MMIO_PAGE_OFFSET */

#endif
