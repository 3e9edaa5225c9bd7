/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/* Objects and ioctl handlers: what the files of api/ share. */
#ifndef ENGINE_API_OBJECT_H
#define ENGINE_API_OBJECT_H

#include "base/bytes.h"
#include "engine/vm.h"
#include "vm.h"

#include <errno.h>

enum object_kind { OBJECT_SYSTEM, OBJECT_VM, OBJECT_VCPU };

struct vm_object {
	enum object_kind kind;
	uint32_t refs; /* atomic */
	struct vm_options options; /* system */
	struct vm *vm;             /* VM: one of its references */
	struct vcpu *vcpu;         /* vCPU; its VM holds it */
};

/* One ioctl under way. */
struct call {
	uintptr_t argument;
	struct vm_object **created;
	const struct vm_options *options;
};

/* `data` is the fixed-size argument: copied in before and out after a result that is not negative,
 * as the row in ioctls.def says. */
typedef long system_fn(const struct call *call, void *data);
typedef long vm_fn(struct vm *vm, const struct call *call, void *data);
typedef long vcpu_fn(struct vcpu *c, const struct call *call, void *data);

#define SYSTEM(request, direction, type, handler) system_fn handler;
#define VM(request, direction, type, handler)     vm_fn handler;
#define VCPU(request, direction, type, handler)   vcpu_fn handler;
#include "engine/api/ioctls.def"
#undef SYSTEM
#undef VM
#undef VCPU

/* 32 banks, MCG_CTL and software error recovery: IA32_MCG_CAP without the bank count. */
#define MCE_CAP_SUPPORTED (BIT(8) | BIT(24))

enum { MAX_CPUID_ENTRIES = 256, MAX_MSRS = 256, MAX_VCPU_ID = 256 };

/* Bits of vm->enabled_caps. */
enum { ENABLED_EXCEPTION_PAYLOAD = 1, ENABLED_MANUAL_PROTECT = 2, ENABLED_INITIALLY_SET = 4 };

struct vm_object *object_new(enum object_kind kind);

/* The value of an extension, 0 if we do not have it: caps.def. */
int extension_value(uint32_t cap);

/* vm.c */
struct vm *vm_new(const struct vm_options *options);
void vm_get_ref(struct vm *vm);
void vm_put_ref(struct vm *vm);
void memory_free(struct vm *vm);

/* vcpu.c: around everything a thread does with a vCPU. `enter` makes it `running`. */
void vcpu_enter(struct vcpu *c);
void vcpu_leave(struct vcpu *c);
void vcpu_do_flushes(struct vcpu *c); /* TLB_FLUSH and CODE_FLUSH requests */
int vcpu_new(struct vm *vm, uint32_t id); /* becomes vm->vcpu[the last]; 0 or -errno */
void vcpu_free(struct vcpu *c);

/* state.c: also for KVM_CAP_SYNC_REGS. */
void regs_get(struct vcpu *c, struct kvm_regs *regs);
void regs_set(struct vcpu *c, const struct kvm_regs *regs);
void sregs_get(struct vcpu *c, struct kvm_sregs *sregs);
int sregs_set(struct vcpu *c, const struct kvm_sregs *sregs);
void events_get(struct vcpu *c, struct kvm_vcpu_events *events);
int events_set(struct vcpu *c, const struct kvm_vcpu_events *events);
/* Everything derived from registers that were set from outside. */
void vcpu_state_changed(struct vcpu *c);

/* run.c */
int vcpu_run(struct vcpu *c);
/* Would KVM_INTERRUPT find it able to take one? */
bool vcpu_ready_for_interrupt(const struct vcpu *c);
void run_on_signal_timer(void *vcpu);

/* A variable-length array behind a header in the VMM's memory. */
int copy_array_in(void *to, const struct call *call, size_t header, size_t bytes);
int copy_array_out(const struct call *call, size_t header, const void *from, size_t bytes);

#endif
