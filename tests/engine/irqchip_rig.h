/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * A VM with interrupt controllers and nothing else: a settable clock, timers that fire when it is
 * moved, a little memory, and counted requests.
 */
#ifndef IRQCHIP_RIG_H
#define IRQCHIP_RIG_H

#include "engine/irqchip/internal.h"

enum { RIG_RAM_BYTES = 0x4000, RIG_TSC_KHZ = 2000000 };

extern uint8_t rig_ram[RIG_RAM_BYTES];
extern uint64_t rig_now_ns; /* the TSC is twice this */

struct vm *rig_new(unsigned vcpus, bool split);
void rig_free(struct vm *vm);
/* Moves the clock, fires timers on the way and runs the vCPUs' REQUEST_TIMER. */
void rig_advance(struct vm *vm, uint64_t ns);
void rig_out(struct vm *vm, uint16_t port, uint8_t value);
uint8_t rig_in(struct vm *vm, uint16_t port);
uint32_t rig_apic_read(struct vcpu *c, unsigned offset);
void rig_apic_write(struct vcpu *c, unsigned offset, uint32_t value);
uint32_t rig_ioapic_read(struct vm *vm, unsigned index);
void rig_ioapic_write(struct vm *vm, unsigned index, uint32_t value);
/* Makes a LAPIC accept vectors, and nothing by LINT0. */
void rig_apic_enable(struct vcpu *c);
void rig_signal(int fd);           /* as if somebody wrote to this eventfd */
unsigned rig_signals_seen(int fd); /* signals the engine sent */

#endif
