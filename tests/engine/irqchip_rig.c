/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/* The rig of the interrupt controllers' tests, and stubs of what they call: see the header. */
#include "irqchip_rig.h"

#include "engine/interp/interp.h"
#include "engine/mmu/mmu.h"
#include "engine/sys/features.h"
#include "engine/sys/sys.h"

#include <errno.h>
#include <stdlib.h>

uint8_t rig_ram[RIG_RAM_BYTES];
uint64_t rig_now_ns;

enum { EVENTS = 8 };

struct port_timer {
	void (*fire)(void *context);
	void *context;
	uint64_t deadline_ns; /* 0: not armed */
	struct port_timer *next;
};

struct port_event {
	int fd;
	void (*fire)(void *context);
	void *context;
};

static struct port_timer *timers;
static struct port_event *watched[EVENTS];
static unsigned signals[EVENTS];

void *port_alloc(size_t bytes)
{
	return calloc(1, bytes);
}

void port_free(void *memory)
{
	free(memory);
}

uint64_t port_now_ns(void)
{
	return rig_now_ns;
}

uint64_t port_wall_ns(void)
{
	return 1700000000000000000ull + rig_now_ns;
}

uint64_t port_tsc(void)
{
	return rig_now_ns * 2;
}

uint32_t port_tsc_khz(void)
{
	return RIG_TSC_KHZ;
}

uint64_t port_run_delay_ns(void)
{
	return rig_now_ns / 10;
}

void port_yield(void)
{
}

int port_wait(uint32_t *word, uint32_t expected, uint64_t deadline_ns)
{
	abort(); /* one thread: a lock that is taken twice would hang */
}

void port_wake(uint32_t *word)
{
}

struct port_timer *port_timer_new(void (*fire)(void *context), void *context)
{
	struct port_timer *timer = calloc(1, sizeof(*timer));

	timer->fire = fire;
	timer->context = context;
	timer->next = timers;
	timers = timer;
	return timer;
}

void port_timer_arm(struct port_timer *timer, uint64_t deadline_ns)
{
	timer->deadline_ns = deadline_ns ? deadline_ns : 1;
}

void port_timer_stop(struct port_timer *timer)
{
	timer->deadline_ns = 0;
}

void port_timer_free(struct port_timer *timer)
{
	struct port_timer **link = &timers;

	while (*link != timer)
		link = &(*link)->next;
	*link = timer->next;
	free(timer);
}

int port_event_get(int fd, struct port_event **event)
{
	if (fd < 0 || fd >= EVENTS)
		return -EBADF;
	*event = calloc(1, sizeof(**event));
	(*event)->fd = fd;
	return 0;
}

void port_event_put(struct port_event *event)
{
	if (watched[event->fd] == event)
		watched[event->fd] = NULL;
	free(event);
}

void port_event_signal(struct port_event *event, uint64_t count)
{
	signals[event->fd] += (unsigned)count;
}

int port_event_watch(struct port_event *event, void (*fire)(void *context), void *context)
{
	event->fire = fire;
	event->context = context;
	watched[event->fd] = event;
	return 0;
}

void rig_signal(int fd)
{
	if (watched[fd])
		watched[fd]->fire(watched[fd]->context);
}

unsigned rig_signals_seen(int fd)
{
	return signals[fd];
}

void vcpu_request(struct vcpu *c, uint32_t bits)
{
	c->requests |= bits;
}

void vcpu_reset(struct vcpu *c, bool is_init)
{
	c->rip = 0xfff0;
}

void mode_update(struct vcpu *c)
{
}

unsigned mmu_physical_bits(const struct vcpu *c)
{
	return 40;
}

int gpa_read(struct vm *vm, gpa_t gpa, void *to, size_t bytes)
{
	if (gpa > RIG_RAM_BYTES - bytes)
		return -EFAULT;
	memcpy(to, rig_ram + gpa, bytes);
	return 0;
}

int gpa_write(struct vm *vm, gpa_t gpa, const void *from, size_t bytes)
{
	if (gpa > RIG_RAM_BYTES - bytes)
		return -EFAULT;
	memcpy(rig_ram + gpa, from, bytes);
	return 0;
}

int gpa_exchange(struct vm *vm, gpa_t gpa, uint8_t value)
{
	uint8_t before;

	if (gpa_read(vm, gpa, &before, 1))
		return -EFAULT;
	rig_ram[gpa] = value;
	return before;
}

static struct vcpu *add_vcpu(struct vm *vm)
{
	struct vcpu *c = aligned_alloc(64, ALIGN_UP(sizeof(*c), 64));

	memset(c, 0, sizeof(*c));
	c->vm = vm;
	c->id = c->index = vm->vcpu_count;
	for (unsigned i = 0; i < ARRAY_LEN(c->features); i++)
		c->features[i] = ~0ull;
	vcpu_set_tsc_khz(c, 0);
	vcpu_tsc_write(c, 0, true);
	if (lapic_create(c))
		abort();
	vm->vcpu[vm->vcpu_count++] = c;
	return c;
}

struct vm *rig_new(unsigned vcpus, bool split)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	rig_now_ns = 1000000;
	memset(rig_ram, 0, sizeof(rig_ram));
	memset(signals, 0, sizeof(signals));
	if (split ? irqchip_create_split(vm, 24) : irqchip_create(vm))
		abort();
	while (vcpus--)
		add_vcpu(vm);
	return vm;
}

void rig_free(struct vm *vm)
{
	for (uint32_t i = 0; i < vm->vcpu_count; i++) {
		lapic_free(vm->vcpu[i]);
		free(vm->vcpu[i]);
	}
	vm->vcpu_count = 0;
	irqchip_free(vm);
	free(vm);
}

static struct port_timer *first_due(uint64_t until)
{
	struct port_timer *first = NULL;

	for (struct port_timer *t = timers; t; t = t->next) {
		if (t->deadline_ns && t->deadline_ns <= until &&
		    (!first || t->deadline_ns < first->deadline_ns))
			first = t;
	}
	return first;
}

void rig_advance(struct vm *vm, uint64_t ns)
{
	uint64_t until = rig_now_ns + ns;
	struct port_timer *timer;

	while ((timer = first_due(until))) {
		rig_now_ns = MAX(rig_now_ns, timer->deadline_ns);
		timer->deadline_ns = 0;
		timer->fire(timer->context);
		for (uint32_t i = 0; i < vm->vcpu_count; i++) {
			if (vm->vcpu[i]->requests & REQUEST_TIMER)
				lapic_timer_fired(vm->vcpu[i]);
			vm->vcpu[i]->requests &= ~(uint32_t)REQUEST_TIMER;
		}
	}
	rig_now_ns = until;
}

void rig_out(struct vm *vm, uint16_t port, uint8_t value)
{
	if (!irqchip_port_write(vm->vcpu[0], port, 1, value))
		abort();
}

uint8_t rig_in(struct vm *vm, uint16_t port)
{
	uint32_t value = 0;

	if (!irqchip_port_read(vm->vcpu[0], port, 1, &value))
		abort();
	return (uint8_t)value;
}

uint32_t rig_apic_read(struct vcpu *c, unsigned offset)
{
	uint64_t value;

	if (!irqchip_mmio_read(c, (c->apic_base & PAGE_MASK) + offset, 4, &value))
		abort();
	return (uint32_t)value;
}

void rig_apic_write(struct vcpu *c, unsigned offset, uint32_t value)
{
	if (!irqchip_mmio_write(c, (c->apic_base & PAGE_MASK) + offset, 4, value))
		abort();
}

uint32_t rig_ioapic_read(struct vm *vm, unsigned index)
{
	uint64_t value;

	irqchip_mmio_write(vm->vcpu[0], 0xfec00000, 4, index);
	if (!irqchip_mmio_read(vm->vcpu[0], 0xfec00010, 4, &value))
		abort();
	return (uint32_t)value;
}

void rig_ioapic_write(struct vm *vm, unsigned index, uint32_t value)
{
	irqchip_mmio_write(vm->vcpu[0], 0xfec00000, 4, index);
	if (!irqchip_mmio_write(vm->vcpu[0], 0xfec00010, 4, value))
		abort();
}

void rig_apic_enable(struct vcpu *c)
{
	rig_apic_write(c, APIC_SVR, 0x1ff);
	rig_apic_write(c, APIC_LVT_LINT0, LVT_MASKED);
}
