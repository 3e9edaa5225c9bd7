/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Interrupt controllers and timers in the engine: PIC pair, IOAPIC, LAPICs, PIT, routing, irqfds;
 * and the paravirtual clock. Everything here may be called from any thread unless it says
 * "vCPU thread".
 */
#ifndef ENGINE_IRQCHIP_H
#define ENGINE_IRQCHIP_H

#include "engine/vm.h"

/* VM set-up and its ioctls; 0.. or -errno. vm->lock is not held by the caller. */
int irqchip_create(struct vm *vm);                    /* KVM_CREATE_IRQCHIP */
int irqchip_create_split(struct vm *vm, unsigned routes); /* KVM_CAP_SPLIT_IRQCHIP */
void irqchip_free(struct vm *vm);
int irqchip_get(struct vm *vm, struct kvm_irqchip *chip);
int irqchip_set(struct vm *vm, const struct kvm_irqchip *chip);
int irq_line(struct vm *vm, unsigned gsi, bool level); /* KVM_IRQ_LINE; status as the ioctl says */
int irq_send_msi(struct vm *vm, const struct kvm_msi *msi);
int irq_set_routing(struct vm *vm, const struct kvm_irq_routing *routing,
		    const struct kvm_irq_routing_entry *entries);
int irqfd_assign(struct vm *vm, const struct kvm_irqfd *args); /* and deassign, resample */
int pit_create(struct vm *vm, const struct kvm_pit_config *config);
int pit_get(struct vm *vm, struct kvm_pit_state2 *state);
int pit_set(struct vm *vm, const struct kvm_pit_state2 *state);
int pit_reinject(struct vm *vm, const struct kvm_reinject_control *control);

/* Ports and MMIO that are answered in the engine. False: not ours, or no irqchip. */
bool irqchip_port_read(struct vcpu *c, uint16_t port, unsigned size, uint32_t *value);
bool irqchip_port_write(struct vcpu *c, uint16_t port, unsigned size, uint32_t value);
bool irqchip_mmio_read(struct vcpu *c, gpa_t gpa, unsigned size, uint64_t *value);
bool irqchip_mmio_write(struct vcpu *c, gpa_t gpa, unsigned size, uint64_t value);

/* LAPIC of one vCPU. */
int lapic_create(struct vcpu *c);
void lapic_free(struct vcpu *c);
void lapic_reset(struct vcpu *c, bool is_init);
int lapic_get(struct vcpu *c, struct kvm_lapic_state *state);
int lapic_set(struct vcpu *c, const struct kvm_lapic_state *state);
uint64_t lapic_base_get(const struct vcpu *c);                 /* IA32_APIC_BASE */
bool lapic_base_set(struct vcpu *c, uint64_t value, bool host); /* false: #GP */
bool lapic_msr_read(struct vcpu *c, uint32_t index, uint64_t *value); /* 0x800-0x8ff */
bool lapic_msr_write(struct vcpu *c, uint32_t index, uint64_t value);
void lapic_tsc_deadline_set(struct vcpu *c, uint64_t value);
uint64_t lapic_tsc_deadline_get(struct vcpu *c);
uint8_t lapic_tpr_get(const struct vcpu *c); /* as CR8: 0-15 */
void lapic_tpr_set(struct vcpu *c, uint8_t value);

/* vCPU thread, from the run loop. */
void lapic_timer_fired(struct vcpu *c);        /* REQUEST_TIMER */
bool irq_pending(struct vcpu *c);              /* LAPIC or PIC has something above TPR/ISR */
int irq_acknowledge(struct vcpu *c);           /* its vector, now in service; -1: it went away */
/* An NMI arrived through the APIC bus: set c->nmi_pending. Call at each REQUEST_EVENT, also while
 * c->nmi_pending: what is too many is dropped here. */
bool lapic_take_nmi(struct vcpu *c);
bool lapic_take_unhalt(struct vcpu *c);        /* KVM_HC_KICK_CPU: leave HLT without an interrupt */
bool lapic_take_smi(struct vcpu *c);           /* an SMI arrived through the APIC bus */
int lapic_take_eoi_exit(struct vcpu *c);       /* split: vector for KVM_EXIT_IOAPIC_EOI, or -1 */
bool lapic_accepts_pic(const struct vcpu *c);  /* LINT0 lets an ExtINT through (or no LAPIC) */
/* When the LAPIC timer is due (UINT64_MAX: never). A halted vCPU may sleep until then itself and
 * call lapic_timer_fired(). */
uint64_t lapic_timer_deadline_ns(const struct vcpu *c);
/* INIT and SIPI: applies them (vcpu_reset, start address, mp_state). */
void lapic_accept_events(struct vcpu *c);

/* PV: hypercalls (KVM_HC_*), kvmclock, steal time, PV EOI. */
uint64_t pv_hypercall(struct vcpu *c, uint64_t nr, const uint64_t args[4]);
bool pv_msr_read(struct vcpu *c, uint32_t index, uint64_t *value);
bool pv_msr_write(struct vcpu *c, uint32_t index, uint64_t value, bool host);
void pv_clock_update(struct vcpu *c); /* REQUEST_CLOCK */
void pv_run_entered(struct vcpu *c);  /* steal time */
void pv_run_left(struct vcpu *c);
void pv_sleep_begins(struct vcpu *c); /* around sleep, inside: steal time's `preempted` */
void pv_sleep_ended(struct vcpu *c);
uint64_t vcpu_tsc(const struct vcpu *c); /* the guest's time-stamp counter now */
void vcpu_tsc_write(struct vcpu *c, uint64_t value, bool host);
void vcpu_tsc_adjust_write(struct vcpu *c, uint64_t value, bool host); /* IA32_TSC_ADJUST */
int vcpu_set_tsc_khz(struct vcpu *c, uint32_t khz);
int pv_clock_pause(struct vcpu *c); /* KVM_KVMCLOCK_CTRL */
void vm_clock_get(struct vm *vm, struct kvm_clock_data *data);
void vm_clock_set(struct vm *vm, const struct kvm_clock_data *data);

#endif
