/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * The engine as a library: the objects behind /dev/kvm, without descriptors.
 *
 * An object is a system, a VM, a vCPU or a device. What the kernel answers with
 * a new descriptor, the engine answers with a new object in *created. Everything
 * else is the KVM ABI: same requests, same structures, results 0.. or -errno.
 * Objects are counted: a vCPU keeps its VM alive.
 */
#ifndef VM_H
#define VM_H

#include <stddef.h>
#include <stdint.h>

struct vm_object;

/* Kinds of events; vm_options.log has those that are wanted. */
enum { VM_LOG_INT = 1, VM_LOG_GUEST_ERROR = 2, VM_LOG_UNIMPLEMENTED = 4, VM_LOG_IN_ASM = 8,
       VM_LOG_OUT_ASM = 16 };

/*
 * Something the engine did. OUT_ASM: host code was made, `bytes` of it at `code`, which runs at
 * `address`: the translation of `insns` guest instructions at `rip`, or, with a `name`, a piece
 * the engine has for itself. What was at that address before is gone.
 */
struct vm_event {
	unsigned kind; /* one VM_LOG_* bit */
	unsigned vcpu; /* its id */
	uint64_t rip;  /* linear */
	unsigned cpl, insns;
	uint64_t address;
	const void *code;
	size_t bytes;
	const char *name;
};

struct vm_options {
	int translator;     /* 0: interpreter only; 1: hot code is translated; 2: all that can be */
	int vmware_backdoor; /* any privilege level may use ports 0x5658 and 0x5659 */
	unsigned log;       /* VM_LOG_* bits */
	/* Called on the vCPU's thread, several at once; must not call the engine. */
	void (*on_event)(void *context, const struct vm_event *event);
	void *context;
};

struct vm_object *vm_open(const struct vm_options *options); /* NULL: no memory */
/* `argument` is what the ioctl takes: a number or a pointer in this process. */
long vm_ioctl(struct vm_object *object, unsigned long request, uintptr_t argument,
	      struct vm_object **created);
/* The shared pages of a vCPU (struct kvm_run first), valid as long as the object. */
void *vm_run_pages(struct vm_object *vcpu, size_t *bytes);
void vm_put(struct vm_object *object);

#endif
