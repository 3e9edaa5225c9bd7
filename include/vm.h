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
enum {
	VM_LOG_INT = 1,           /* something is on its way into the guest: `interrupt` */
	VM_LOG_GUEST_ERROR = 2,   /* not the engine's: devices know these */
	VM_LOG_UNIMPLEMENTED = 4, /* `name` of `value` is not modelled */
	VM_LOG_IN_ASM = 8,        /* a block of guest code at `rip` was decoded: `code` */
	VM_LOG_OUT_ASM = 16,      /* host code was made: `code` */
	VM_LOG_EXEC = 32,         /* the block at `rip` runs; `name`: NULL if it is interpreted */
	VM_LOG_MMU = 64,          /* a translation was looked up in the guest's tables: `mmu` */
};

/* Something the engine did. With VM_LOG_EXEC no block leads to another one directly: each is told. */
struct vm_event {
	unsigned kind; /* one VM_LOG_* bit */
	unsigned vcpu; /* its id */
	uint64_t rip;  /* linear: of the code this is about, or that runs */
	unsigned cpl, bits; /* 64, 32 or 16: the code's operand size if nothing else is said */
	const char *name;
	union {
		/* What the host runs is at `address`, readable at `bytes`: the translation of `insns`
		 * instructions at `rip`, or with a `name` a piece the engine has for itself. What was
		 * at that address before is gone. IN_ASM: the guest's; no address. */
		struct {
			uint64_t address;
			const void *bytes;
			size_t size;
			unsigned insns;
			uint8_t is_windowed; /* a translation for the window (ADR 0008) */
		} code;
		/* Faults, traps, INT instructions ("fault", "trap", "software", "interrupt", "nmi" is
		 * the event's name; "triple fault": what could not be delivered). */
		struct {
			uint8_t vector;
			uint8_t has_error;
			uint16_t cs, ss;
			uint32_t error;
			uint64_t rip, rsp;
			uint64_t cr2; /* of a page fault */
		} interrupt;
		struct {
			uint64_t address, gpa;
			uint64_t page_bytes; /* 0: a fault, with this `error` */
			uint32_t error;
			char access; /* r, w, x */
		} mmu;
		uint64_t value;
	};
};

struct vm_options {
	int translator;     /* 0: interpreter only; 1: hot code is translated; 2: all that can be */
	/* Translated code: guest user pages may be mapped at the guest's addresses in this process,
	 * whose SIGSEGV and SIGBUS handler the engine then is. 0: no; 1: where it pays; 2: always, for tests.
	 * Each memory slot must be one mapping; one that is not shared is not used so. */
	int window;
	/* Translated code: status flags are right wherever it can be left, also those that are never
	 * read: docs/adr/0006. */
	int exact_flags;
	int vmware_backdoor; /* any privilege level may use ports 0x5658 and 0x5659 */
	/* Counts what anybody but the guest and the engine writes to memory in slots: raised atomically when that is done,
	 * before the guest is told; good as long as the VM. While it stays as it is the engine does not compare decoded
	 * code with memory after flushes, unless a slot that the guest may write to has memory of another one, at the
	 * same address here; other views of the same memory must not be. NULL: memory may change at any time. */
	const uint64_t *writes;
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

/*
 * What a vCPU has done since it was made: docs/observability.md explains the rows. Strings are
 * constants; a group may have several rows of one name and opcode. Writes up to `room` rows and
 * returns how many there are; 0 for what is no vCPU. Any thread, also while the vCPU runs.
 */
struct vm_counter {
	const char *group, *name;
	uint32_t
		opcode; /* of a row about an instruction, after its escape bytes: 0x0f3801; else 0 */
	uint64_t value;
};
size_t vm_counters(const struct vm_object *vcpu, struct vm_counter *rows, size_t room);

#endif
