/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * What the files of irqchip/ share.
 *
 * Lock order, outermost first:
 *
 *	vm->lock         making and freeing chips, kvmclock's base, TSC agreement
 *	irqchip->lock    PIC pair, IOAPIC, PIT, line levels, routes, irqfd list
 *	(no lock)        LAPICs: atomic bits, see struct lapic
 *
 * Under irqchip->lock one may set bits in any LAPIC, call vcpu_request(), port_timer_arm() and
 * port_event_signal(): none of them takes a lock of ours. One may not call port_timer_stop(),
 * port_timer_free() or port_event_put(): they wait for a callback that may want irqchip->lock.
 * No function here is called with irqchip->lock held from outside, and none touches guest memory
 * while holding it. vCPU-thread code never holds it while unwinding.
 *
 * Lost wake-ups: whoever makes an interrupt pending sets the bit (sequentially consistent), then
 * calls vcpu_request(REQUEST_EVENT); the vCPU clears the request, then looks at the bits.
 */
#ifndef IRQCHIP_INTERNAL_H
#define IRQCHIP_INTERNAL_H

#include "base/lock.h"
#include "base/port.h"
#include "engine/irqchip/irqchip.h"

enum {
	PIC_PINS = 8,
	IOAPIC_PINS = 24,
	MAX_GSIS = 4096, /* KVM_CAP_IRQ_ROUTING */
};

/* Who holds a line up: each pin's level is the OR of these bits. */
enum line_source { SOURCE_USER = 1, SOURCE_RESAMPLE = 2, SOURCE_PIT = 4 };

/* Delivery modes of ICR, LVT, RTE and MSI data. [SDM 3 11.6.1] */
enum delivery {
	DELIVER_FIXED,
	DELIVER_LOWEST,
	DELIVER_SMI,
	DELIVER_REMOTE_READ,
	DELIVER_NMI,
	DELIVER_INIT,
	DELIVER_SIPI,
	DELIVER_EXTINT,
};

enum shorthand { SHORTHAND_NONE, SHORTHAND_SELF, SHORTHAND_ALL, SHORTHAND_OTHERS };

/* One message on the APIC bus. */
struct apic_message {
	uint32_t destination;
	uint8_t vector;
	uint8_t delivery;  /* enum delivery */
	uint8_t shorthand; /* enum shorthand */
	bool is_logical;
	bool is_level; /* trigger mode */
	bool is_asserted;
	bool lowest_hint; /* MSI redirection hint */
};

/* The route table; never changed, only replaced, under irqchip->lock. */
struct routes {
	unsigned count;
	int16_t first[MAX_GSIS]; /* -1: none */
	struct kvm_irq_routing_entry *entries;
	int16_t *next;
};

struct pic_pair {
	struct kvm_pic_state chip[2];
	uint32_t sources[2 * PIC_PINS];
	bool output; /* INTR towards LINT0; written under irqchip->lock, read by anyone */
};

struct ioapic {
	uint64_t base;
	uint32_t select, id;
	uint32_t levels; /* lines that are up */
	uint64_t redirect[IOAPIC_PINS];
	uint32_t sources[IOAPIC_PINS];
};

struct pit {
	struct kvm_pit_channel_state channel[3];
	uint32_t flags;
	bool has_speaker;
	struct port_timer *timer;
	/* The running channel 0: ticks are at start + n * count / PIT_HZ. */
	bool running, periodic;
	uint64_t start_ns, ticks, next_ns;
	uint32_t period_counts;
	/* Ticks the guest has not acknowledged. */
	bool reinject, acknowledged, pulse_due;
	uint32_t pending;
};

struct irqfd {
	struct irqfd *next;
	struct irqchip *chip;
	uint32_t fd, gsi;
	struct port_event *event, *resample; /* resample NULL: an edge */
};

struct irqchip {
	struct vm *vm;
	struct lock lock;
	bool has_pic;          /* false: split, only LAPICs and routes */
	unsigned split_routes; /* pins of the IOAPIC in the VMM */
	struct routes *routes;
	struct pic_pair pic;
	struct ioapic ioapic;
	struct pit *pit;
	struct irqfd *irqfds;
	uint64_t eoi_vectors[4]; /* EOIs the IOAPIC or VMM wants to hear of; written locked, read
				  * atomically by any vCPU */
};

/* LAPIC register offsets as in xAPIC MMIO and struct kvm_lapic_state. [SDM 3 11.4.1] */
enum {
	APIC_ID = 0x20,
	APIC_VERSION = 0x30,
	APIC_TPR = 0x80,
	APIC_APR = 0x90,
	APIC_PPR = 0xa0,
	APIC_EOI = 0xb0,
	APIC_LDR = 0xd0,
	APIC_DFR = 0xe0,
	APIC_SVR = 0xf0,
	APIC_ISR = 0x100,
	APIC_TMR = 0x180,
	APIC_IRR = 0x200,
	APIC_ESR = 0x280,
	APIC_ICR = 0x300,
	APIC_ICR2 = 0x310,
	APIC_LVT_TIMER = 0x320,
	APIC_LVT_THERMAL = 0x330,
	APIC_LVT_PERF = 0x340,
	APIC_LVT_LINT0 = 0x350,
	APIC_LVT_LINT1 = 0x360,
	APIC_LVT_ERROR = 0x370,
	APIC_TIMER_INITIAL = 0x380,
	APIC_TIMER_CURRENT = 0x390,
	APIC_TIMER_DIVIDE = 0x3e0,
	APIC_SELF_IPI = 0x3f0,
};

enum {
	SVR_ENABLED = 0x100,
	SVR_DIRECTED_EOI = 0x1000,
	LVT_MASKED = 0x10000,
	LVT_TIMER_MODE = 3 << 17,
	LVT_ONESHOT = 0,
	LVT_PERIODIC = 1 << 17,
	LVT_TSC_DEADLINE = 2 << 17,
	ICR_BUSY = 0x1000,
	ICR_ASSERT = 0x4000,
	ICR_LEVEL = 0x8000,
	ICR_LOGICAL = 0x800,
	ESR_SEND_ILLEGAL = 0x20,
	ESR_RECEIVE_ILLEGAL = 0x40,
};

enum {
	BASE_BSP = 0x100,
	BASE_X2APIC = 0x400,
	BASE_ENABLE = 0x800,
	BASE_MODE = BASE_X2APIC | BASE_ENABLE,
};
#define APIC_DEFAULT_BASE 0xfee00000ull

/* lapic.events: what arrived on the bus besides vectors. */
enum { EVENT_BIT_INIT = 1, EVENT_BIT_SIPI = 2, EVENT_BIT_SMI = 4, EVENT_BIT_UNHALT = 8 };

/*
 * Any thread may set bits of IRR and TMR, `events`, `nmis`, `sipi_vector` and `errors`, and read
 * ID, LDR, DFR, SVR, LINT0 (all 32-bit atomic). Everything else is the vCPU thread's.
 */
struct lapic {
	struct vcpu *vcpu;
	struct port_timer *timer;
	uint32_t events;
	uint32_t nmis; /* 0 to 2 */
	uint32_t sipi_vector;
	uint32_t errors;    /* shown in ESR after the next write to it */
	uint64_t due_ns;    /* timer; 0: not armed */
	uint64_t period_ns; /* periodic: distance; else length of the shot */
	bool pv_eoi_armed;  /* the guest's PV EOI word is set */
	uint32_t eoi_exits; /* number of bits in eoi_exit_vectors */
	uint64_t eoi_exit_vectors[4];
	uint32_t regs[KVM_APIC_REG_SIZE / 4];
};

static inline uint32_t apic_reg(const struct lapic *l, unsigned offset)
{
	return __atomic_load_n(&l->regs[offset / 4], __ATOMIC_RELAXED);
}

static inline void apic_reg_set(struct lapic *l, unsigned offset, uint32_t value)
{
	__atomic_store_n(&l->regs[offset / 4], value, __ATOMIC_RELAXED);
}

/* IRR, ISR and TMR are eight 32-bit words, 16 bytes apart. */
static inline uint32_t *vector_word(struct lapic *l, unsigned bank, uint8_t vector)
{
	return &l->regs[bank / 4 + vector / 32 * 4];
}

static inline bool bitmap_test(const uint64_t *map, uint8_t bit)
{
	return __atomic_load_n(&map[bit / 64], __ATOMIC_RELAXED) >> bit % 64 & 1;
}

static inline uint64_t apic_base_of(const struct vcpu *c)
{
	return __atomic_load_n(&c->apic_base, __ATOMIC_RELAXED);
}

static inline bool in_x2apic_mode(const struct vcpu *c)
{
	return (apic_base_of(c) & BASE_MODE) == BASE_MODE;
}

/* chip.c. Unlocking also does what had to wait: PIT ticks given again after an acknowledge. */
void irqchip_lock(struct irqchip *chip);
void irqchip_unlock(struct irqchip *chip);

/* routing.c; all with irqchip->lock held. Results as KVM_IRQ_LINE_STATUS: -1 ignored (masked),
 * 0 merged with an earlier one, else how many LAPICs took it. */
int routes_default(struct irqchip *chip);
struct routes *routes_new(const struct kvm_irq_routing_entry *entries, unsigned count);
void routes_free(struct routes *routes);
int gsi_set_locked(struct irqchip *chip, unsigned gsi, enum line_source source, bool level);
bool gsi_routed_to_locked(const struct irqchip *chip, unsigned gsi, unsigned id, unsigned pin);
void eoi_vectors_update_locked(struct irqchip *chip);
/* The guest finished with (or unmasked) an interrupt that came by this pin. */
void pin_acknowledged_locked(struct irqchip *chip, unsigned id, unsigned pin);
void pin_unmasked_locked(struct irqchip *chip, unsigned id, unsigned pin);

/* irqfd.c, locked. */
void irqfds_acknowledged_locked(struct irqchip *chip, unsigned id, unsigned pin);
bool irqfds_listen_locked(const struct irqchip *chip, unsigned id, unsigned pin);
void irqfds_free(struct irqchip *chip);

/* pic.c, locked. Pins 0 to 15. */
void pic_reset_locked(struct irqchip *chip);
int pic_set_locked(struct irqchip *chip, unsigned pin, enum line_source source, bool level);
void pic_update_locked(struct irqchip *chip);
int pic_acknowledge_locked(struct irqchip *chip); /* the INTA cycle: a vector, always */
uint8_t pic_read_locked(struct irqchip *chip, uint16_t port);
void pic_write_locked(struct irqchip *chip, uint16_t port, uint8_t value);
bool is_pic_port(uint16_t port);

/* ioapic.c, locked. */
void ioapic_reset_locked(struct irqchip *chip);
int ioapic_set_locked(struct irqchip *chip, unsigned pin, enum line_source source, bool level);
void ioapic_eoi_locked(struct irqchip *chip, uint8_t vector, bool is_level);
uint32_t ioapic_read_locked(struct irqchip *chip, unsigned offset);
void ioapic_write_locked(struct irqchip *chip, unsigned offset, uint32_t value);
void ioapic_get_locked(struct irqchip *chip, struct kvm_ioapic_state *state);
void ioapic_set_state_locked(struct irqchip *chip, const struct kvm_ioapic_state *state);

/* pit.c, locked. */
bool is_pit_port(const struct pit *pit, uint16_t port);
uint8_t pit_read_locked(struct irqchip *chip, uint16_t port);
void pit_write_locked(struct irqchip *chip, uint16_t port, uint8_t value);
void pit_acknowledged_locked(struct irqchip *chip);
void pit_unmasked_locked(struct irqchip *chip);
void pit_pulse_locked(struct irqchip *chip);
void pit_free(struct irqchip *chip);

/* deliver.c: any thread, lock-free. `source` is NULL for IOAPIC and MSI. -1: nobody was addressed. */
int apic_deliver(struct vm *vm, struct vcpu *source, const struct apic_message *message);
bool apic_accept(struct vcpu *c, const struct apic_message *message);
void apic_set_error(struct vcpu *c, uint32_t bits);
void apic_send_ipi(struct vcpu *c, uint32_t icr, uint32_t destination);

/* lapic.c, vCPU thread. */
void lapic_lvt_deliver(struct vcpu *c, unsigned lvt); /* any thread */
void lapic_eoi(struct vcpu *c);
void lapic_recheck(struct vcpu *c); /* something may have become deliverable */
void lapic_version_update(struct vcpu *c);
uint8_t lapic_ppr_update(struct lapic *l);
int lapic_highest(struct lapic *l, unsigned bank); /* -1: none */

/* lapic_regs.c, vCPU thread. False: no such register. */
bool lapic_reg_read(struct vcpu *c, unsigned offset, uint32_t *value);
bool lapic_reg_write(struct vcpu *c, unsigned offset, uint32_t value);

/* lapic_timer.c, vCPU thread. */
int lapic_timer_create(struct vcpu *c);
void lapic_timer_start(struct vcpu *c, uint64_t counts); /* counts: of TMICT left for the first */
void lapic_timer_stop(struct vcpu *c);
uint32_t lapic_timer_current(const struct vcpu *c);
void lapic_timer_lvt_write(struct vcpu *c, uint32_t value);
void lapic_timer_divide_write(struct vcpu *c, uint32_t value);
void lapic_timer_rate_changed(struct vcpu *c); /* the guest's TSC changed course */

/* clock.c. The rate vcpu_tsc() really runs at. */
uint32_t vcpu_tsc_rate(const struct vcpu *c);

/* pv.c, vCPU thread. */
void pv_eoi_take_back(struct vcpu *c); /* does the EOI the guest left in memory */
void pv_eoi_arm(struct vcpu *c);

#endif
