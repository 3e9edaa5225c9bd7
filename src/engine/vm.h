/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/* A virtual machine: memory slots, vCPUs, interrupt controllers. */
#ifndef ENGINE_VM_H
#define ENGINE_VM_H

#include "engine/vcpu.h"

struct memslot {
	uint32_t id, flags; /* KVM_MEM_* */
	gpa_t base;
	uint64_t bytes;
	uint8_t *host;
	uint64_t *dirty; /* bitmap, NULL unless logging; set atomically */
	/* Per page: 0 never executed; odd: decoded code exists; each write to such a page adds 1,
	 * each first decode adds 1. A block is valid while its page's number is what it was. */
	uint32_t *code;
	uint64_t *written; /* bitmap: some vCPU may hold a write translation of the page */
	uint64_t *probed;  /* bitmap: the VMM's memory was found to be there */
};

/* Replaced as a whole; a vCPU inside the executor may use an old one until it acknowledges. */
struct memslots {
	uint32_t count;
	uint32_t changes;  /* before this one */
	bool share_memory; /* some is in two, and may be written to */
	struct memslot slot[KVM_ABI_SLOTS]; /* sorted by base */
};

struct irqchip;
struct vm_event;
struct io_hooks;

struct vm {
	struct memslots *slots;   /* atomic pointer */
	struct lock slots_lock;   /* writers of slots and hooks, creation of vCPUs */
	struct vcpu *vcpu[KVM_ABI_VCPUS];
	uint32_t vcpu_count;      /* atomic; vcpu[i] is set before it grows */
	struct lock lock;         /* creation, irqchip set-up, hooks, clock */
	struct lock split_lock;   /* locked accesses that no single host instruction can do */
	struct irqchip *irqchip;  /* NULL: interrupts come from the VMM */
	bool split_irqchip;
	struct io_hooks *hooks;   /* ioeventfds, coalesced zones: atomic pointer, as slots: api/hooks.h */
	struct kvm_coalesced_mmio_ring *ring; /* the page all vCPUs share; under ring_lock */
	struct lock ring_lock;
	uint32_t code_syncs;      /* atomic: mmu_watch_code calls under way */
	uint32_t code_changes;    /* atomic: how often the number of a page of code was raised */
	int64_t clock_offset;     /* kvmclock = port_now_ns() + this */
	/* irqchip/clock.c, under `lock`. kvmclock was clock_ns when the host's TSC was clock_tsc (0:
	 * no vCPU has asked yet). TSCs written within a second of each other become one: the last
	 * such value, the host's TSC then, the offset they got and their rate. */
	uint64_t clock_tsc, clock_ns;
	uint64_t tsc_written, tsc_written_host, tsc_shared_offset;
	uint32_t tsc_shared_khz;
	uint32_t boot_cpu_id;     /* KVM_SET_BOOT_CPU_ID */
	bool x2apic_long_ids;     /* KVM_X2APIC_API_USE_32BIT_IDS */
	bool x2apic_no_broadcast; /* KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK */
	uint32_t default_tsc_khz;
	uint8_t translator;       /* vm_options.translator */
	uint8_t window;           /* vm_options.window */
	uint32_t window_refusals; /* atomic: how often a vCPU found a place taken */
	bool exact_flags;         /* vm_options.exact_flags */
	const uint64_t *writes;   /* vm_options.writes */
	bool vmware_backdoor;     /* its ports are beyond IOPL and the TSS */
	uint32_t log;             /* VM_LOG_*: log.h */
	void (*on_event)(void *context, const struct vm_event *event);
	void *event_context;
	uint64_t enabled_caps;    /* bit numbers private to api/ */
	uint32_t refs;            /* atomic */
};

/*
 * Who may use vm->slots and what it points to: a thread with its vCPU's `running` set (all of
 * KVM_RUN but sleeping, and every vCPU ioctl), or the holder of slots_lock. No other thread.
 *
 * Runs until no vCPU can still use what was valid before the call: each one is outside the
 * executor or has flushed its translations. Callers hold no lock a vCPU may want. `self` (may be
 * NULL) is the calling vCPU, which flushes its own.
 */
void vm_sync_vcpus(struct vm *vm, struct vcpu *self);
/* The same, and decoded code has been dropped too (a slot goes away). */
void vm_sync_code(struct vm *vm);

#endif
