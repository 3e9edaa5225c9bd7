/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/* Guest writes that do not stop the vCPU: KVM_IOEVENTFD and coalesced zones. */
#ifndef ENGINE_HOOKS_H
#define ENGINE_HOOKS_H

#include "engine/vm.h"

/* vCPU thread. True: somebody has taken the write, no exit is needed. */
bool hooks_take_write(struct vcpu *c, bool is_port, uint64_t address, unsigned size,
		      uint64_t value);

int hooks_ioeventfd(struct vm *vm, const struct kvm_ioeventfd *args);
int hooks_coalesce(struct vm *vm, const struct kvm_coalesced_mmio_zone *zone, bool is_on);
void hooks_free(struct vm *vm);

#endif
