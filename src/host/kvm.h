/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The seam as the VMM holds it: handles on somebody's KVM, the kernel's or the engine's.
 *
 *	kvm_ioctl(vcpu, KVM_RUN, 0)
 *
 * No caller can tell which it is but by kvm_name().
 */
#ifndef HOST_KVM_H
#define HOST_KVM_H

#include "base/err.h"
#include "kvm_abi.h"

struct kvm; /* a system, VM, vCPU or device handle */
struct vm_options;

struct kvm *kvm_open_host(const char *path, struct err *err);
struct kvm *kvm_open_engine(const struct vm_options *options, struct err *err);
const char *kvm_name(const struct kvm *kvm); /* "kvm" or "soft" */

/* 0.. or -errno. `argument`: a pointer, or a number cast to one. */
long kvm_ioctl(struct kvm *kvm, unsigned long request, const void *argument);
/* Requests that make a new handle (CREATE_VM, CREATE_VCPU, CREATE_DEVICE, GET_STATS_FD). */
struct kvm *kvm_ioctl_new(struct kvm *kvm, unsigned long request, const void *argument,
			  struct err *err);
void *kvm_run_pages(struct kvm *vcpu, size_t *bytes); /* struct kvm_run, mapped */
/* vm_counters() of a vCPU; the kernel's has none of these: 0. */
struct vm_counter;
size_t kvm_counters(const struct kvm *vcpu, struct vm_counter *rows, size_t room);
void kvm_close(struct kvm *kvm);

/*
 * Is this KVM good for ordinary 64-bit guests? Runs a tiny one with paging within a time limit.
 * False: `why` says in a sentence what happened.
 */
bool kvm_prove(struct kvm *system, struct err *why);

#endif
