/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/* Privileged architecture: what the run loop and the ioctls need of sys/. */
#ifndef ENGINE_SYS_H
#define ENGINE_SYS_H

#include "engine/vm.h"

/* Power-on and INIT state. [SDM 3 9.1, table 9-1] */
void vcpu_reset(struct vcpu *c, bool is_init);

/*
 * Delivers c->injected through the IVT or IDT: gates, stack switch, task gate, error code. May
 * unwind with c->raised (a fault while delivering): the run loop then calls event_combine().
 * On return c->injected.kind is EVENT_NONE and RIP is the handler's; or, after a task switch
 * whose new task faults at once, c->raised is set (and c->injected kept for event_combine).
 * INT instructions call this too: the rule for c->raised holds after interp_run() as well.
 */
void event_deliver(struct vcpu *c);
/* c->raised happened while c->injected was being delivered: leaves in c->injected the one to
 * deliver next (benign, contributory, double fault). False: triple fault. [SDM 3 table 6-5] */
bool event_combine(struct vcpu *c);
/* CR2 and DR6 are from now on as the handler of the event that is due will find them. That event. */
const struct event *event_give_payload(struct vcpu *c);

/* Interrupts may be taken now: IF, shadows, no event under way. */
bool interrupts_allowed(const struct vcpu *c);
bool nmi_allowed(const struct vcpu *c);

/* MSRs by index. False: no such MSR or a bad value, #GP for the guest. `host` skips what only
 * guest writes are checked for (KVM_SET_MSRS). */
bool msr_read(struct vcpu *c, uint32_t index, uint64_t *value, bool host);
bool msr_write(struct vcpu *c, uint32_t index, uint64_t value, bool host);
extern const uint32_t msr_index_list[];    /* KVM_GET_MSR_INDEX_LIST */
extern const unsigned msr_index_count;
extern const uint32_t msr_feature_list[];  /* KVM_GET_MSR_FEATURE_INDEX_LIST */
extern const unsigned msr_feature_count;
bool msr_feature_read(uint32_t index, uint64_t *value); /* KVM_GET_MSRS on the system */

/* Control registers with all checks. False: #GP. */
bool cr0_write(struct vcpu *c, uint64_t value);
bool cr3_write(struct vcpu *c, uint64_t value);
bool cr4_write(struct vcpu *c, uint64_t value);
bool xcr0_write(struct vcpu *c, uint64_t value);
uint8_t cr8_read(const struct vcpu *c); /* kvm_run.cr8, kvm_sregs.cr8 */
bool cr8_write(struct vcpu *c, uint64_t value);
/* As KVM_SET_SREGS sets it: LME and LMA as given. False: bits this guest does not have. */
bool efer_write(struct vcpu *c, uint64_t value, bool host);

/* CPUID: what we can give (KVM_GET_SUPPORTED_CPUID), and what this guest sees. */
int cpuid_supported(struct kvm_cpuid_entry2 *entries, unsigned room, unsigned *count);
void cpuid_query(struct vcpu *c, uint32_t leaf, uint32_t subleaf, uint32_t out[4]);
void cpuid_changed(struct vcpu *c); /* recompute c->features, reserved bits */

/* Segment registers set from outside (KVM_SET_SREGS): rights and limits as given. */
void segment_from_kvm(struct segment *to, const struct kvm_segment *from);
void segment_to_kvm(struct kvm_segment *to, const struct segment *from);

/* c->debug or DR7 changed: recomputes whether single-stepping mode is needed; does what
 * KVM_GUESTDBG_INJECT_DB and _BP ask for (in c->injected) and clears these bits. */
void debug_changed(struct vcpu *c);
/*
 * Around every instruction executed with MODE_STEP, whatever set it. `rip` is linear.
 * Before it: code breakpoints; unwinds with #DB or KVM_EXIT_DEBUG. Interrupt shadows are noted.
 */
void debug_check_fetch(struct vcpu *c, gva_t rip);
/* A repeated string instruction stops in its midst: RF, so that its breakpoint is not met again, and
 * for what is pushed. [SDM 3 17.3.1.1] */
void debug_between_elements(struct vcpu *c);
/* Data and I/O breakpoints: remembers the match in c->pending_debug. Called when DR7 is armed. */
void debug_check_data(struct vcpu *c, gva_t address, unsigned size, bool is_write);
void debug_check_port(struct vcpu *c, uint16_t port, unsigned size);
/*
 * After it completed (c->rip is the next one's; not after a fault or an exit): RF and interrupt
 * shadows end, mode_update() is called; traps (RFLAGS.TF as it was before it, c->pending_debug)
 * are left in c->raised, KVM_EXIT_DEBUG in c->exit_ready. Does not unwind.
 */
void debug_after_insn(struct vcpu *c, bool tf_before);

#endif
