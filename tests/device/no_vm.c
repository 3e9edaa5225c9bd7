/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The rig's boards have no VM: nothing of the seam is ever called, so the engine is not linked. */
#include "host/kvm.h"

#include <stdlib.h>

long kvm_ioctl(struct kvm *kvm, unsigned long request, const void *argument)
{
	(void)kvm, (void)request, (void)argument;
	abort();
}

struct kvm *kvm_ioctl_new(struct kvm *kvm, unsigned long request, const void *argument,
			  struct err *err)
{
	(void)kvm, (void)request, (void)argument, (void)err;
	abort();
}

void *kvm_run_pages(struct kvm *vcpu, size_t *bytes)
{
	(void)vcpu, (void)bytes;
	abort();
}

void kvm_close(struct kvm *kvm)
{
	(void)kvm;
	abort();
}
