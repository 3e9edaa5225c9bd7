/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * KVM's paravirtual interface: MSRs, hypercalls, EOI through memory, steal time.
 *
 * Manual: Linux, Documentation/virt/kvm/x86/cpuid.rst, msr.rst, hypercalls.rst.
 * A vCPU counts as preempted, to other vCPUs of the guest, while it sleeps: these then leave their
 * TLB flush in memory instead of waking it. That the host has taken a vCPU's thread off its
 * processor cannot be seen from here.
 *
 * Not modelled: asynchronous page faults (enabling them is #GP), clock pairing, migration control;
 * their CPUID bits stay clear.
 */
#include "engine/irqchip/internal.h"

#include "base/bytes.h"
#include "engine/mmu/mmu.h"

#include <errno.h>

enum { MSR_ENABLED = 1, SECOND_NS = 1000000000, STEAL_UPDATE_NS = 10000000 };

/* ---- EOI through memory ---- */

static gpa_t pv_eoi_word(const struct vcpu *c)
{
	return c->msr.kvm_pv_eoi & ~3ull;
}

/* The guest may say EOI by clearing a bit if nothing else hangs on this EOI. */
void pv_eoi_arm(struct vcpu *c)
{
	struct lapic *l = c->lapic;
	int in_service = lapic_highest(l, APIC_ISR);
	uint8_t word = KVM_PV_EOI_ENABLED;

	if (!(c->msr.kvm_pv_eoi & MSR_ENABLED) || in_service < 0)
		return;
	if (lapic_highest(l, APIC_IRR) >= 0) /* it would wait for the EOI */
		return;
	if (c->vm->irqchip && bitmap_test(c->vm->irqchip->eoi_vectors, in_service))
		return;
	l->pv_eoi_armed = !gpa_write(c->vm, pv_eoi_word(c), &word, 1);
}

/* Was it said? In any case from now on the guest has to write the register. */
void pv_eoi_take_back(struct vcpu *c)
{
	uint8_t word, off = KVM_PV_EOI_DISABLED;

	if (!c->lapic->pv_eoi_armed)
		return;
	c->lapic->pv_eoi_armed = false;
	if (gpa_read(c->vm, pv_eoi_word(c), &word, 1))
		return;
	if (!(word & KVM_PV_EOI_MASK))
		lapic_eoi(c);
	else
		gpa_write(c->vm, pv_eoi_word(c), &off, 1);
}

/* ---- steal time ---- */

static void write_steal(struct vcpu *c)
{
	gpa_t gpa = c->msr.kvm_steal_time & KVM_STEAL_VALID_BITS;
	gpa_t version_gpa = gpa + offsetof(struct kvm_steal_time, version);
	uint32_t version;

	if (gpa_read(c->vm, version_gpa, &version, sizeof(version)))
		return;
	version |= 1;
	gpa_write(c->vm, version_gpa, &version, sizeof(version));
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	gpa_write(c->vm, gpa + offsetof(struct kvm_steal_time, steal), &c->steal_ns,
		  sizeof(c->steal_ns));
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	version++;
	gpa_write(c->vm, version_gpa, &version, sizeof(version));
}

static gpa_t preempted_byte(const struct vcpu *c)
{
	return (c->msr.kvm_steal_time & KVM_STEAL_VALID_BITS) +
	       offsetof(struct kvm_steal_time, preempted);
}

/* The vCPU will execute nothing until pv_sleep_ended(). */
void pv_sleep_begins(struct vcpu *c)
{
	if (!(c->msr.kvm_steal_time & MSR_ENABLED))
		return;
	c->looks_preempted = gpa_exchange(c->vm, preempted_byte(c), KVM_VCPU_PREEMPTED) >= 0;
}

/* Exchanged, so that a flush asked for at this moment is either seen here or sent as an IPI. */
void pv_sleep_ended(struct vcpu *c)
{
	int before;

	if (!c->looks_preempted || !(c->msr.kvm_steal_time & MSR_ENABLED))
		return;
	c->looks_preempted = false;
	before = gpa_exchange(c->vm, preempted_byte(c), 0);
	if (before >= 0 && before & KVM_VCPU_FLUSH_TLB)
		vcpu_request(c, REQUEST_TLB_FLUSH);
}

/* Asking the host costs a few microseconds, so only every 10 ms. */
void pv_run_entered(struct vcpu *c)
{
	uint64_t now, waited;

	if (!(c->msr.kvm_steal_time & MSR_ENABLED))
		return;
	pv_sleep_ended(c);
	now = port_now_ns();
	if (now - c->left_run_at_ns < STEAL_UPDATE_NS)
		return;
	c->left_run_at_ns = now;
	waited = port_run_delay_ns();
	if (waited > c->steal_base_ns)
		c->steal_ns += waited - c->steal_base_ns;
	c->steal_base_ns = waited;
	write_steal(c);
}

void pv_run_left(struct vcpu *c)
{
	if (c->lapic)
		pv_eoi_take_back(c);
}

static bool write_steal_msr(struct vcpu *c, uint64_t value, bool host)
{
	if (value & KVM_STEAL_RESERVED_MASK)
		return false;
	c->msr.kvm_steal_time = value;
	c->looks_preempted = value & MSR_ENABLED; /* restored memory may say so: until KVM_RUN */
	if (!(value & MSR_ENABLED))
		return true;
	if (!host)
		pv_sleep_ended(c);
	c->steal_base_ns = port_run_delay_ns();
	c->left_run_at_ns = port_now_ns();
	write_steal(c);
	return true;
}

/* ---- MSRs ---- */

/* When the guest's kvmclock was 0, in UTC. */
static void write_wall_clock(struct vcpu *c, gpa_t gpa)
{
	struct kvm_clock_data now;
	struct {
		uint32_t version, sec, nsec;
	} page;
	uint64_t boot;
	uint32_t version;

	if (!gpa || gpa_read(c->vm, gpa, &version, sizeof(version)))
		return;
	vm_clock_get(c->vm, &now);
	boot = now.realtime - now.clock;
	page.version = version | 1;
	page.sec = (uint32_t)(boot / SECOND_NS);
	page.nsec = (uint32_t)(boot % SECOND_NS);
	if (gpa_write(c->vm, gpa, &page.version, sizeof(page.version)))
		return;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	gpa_write(c->vm, gpa, &page, sizeof(page));
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	page.version++;
	gpa_write(c->vm, gpa, &page.version, sizeof(page.version));
}

bool pv_msr_read(struct vcpu *c, uint32_t index, uint64_t *value)
{
	switch (index) {
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW:
		*value = c->msr.kvm_wall_clock;
		return true;
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW:
		*value = c->msr.kvm_system_time;
		return true;
	case MSR_KVM_STEAL_TIME:
		*value = c->msr.kvm_steal_time;
		return true;
	case MSR_KVM_PV_EOI_EN:
		*value = c->msr.kvm_pv_eoi;
		return true;
	case MSR_KVM_POLL_CONTROL:
		*value = c->msr.kvm_poll_control;
		return true;
	case MSR_KVM_ASYNC_PF_EN:
	case MSR_KVM_ASYNC_PF_INT:
	case MSR_KVM_ASYNC_PF_ACK:
		*value = 0;
		return true;
	default:
		return false;
	}
}

static bool write_pv_eoi_msr(struct vcpu *c, uint64_t value)
{
	if (value & 2)
		return false;
	if (c->lapic)
		pv_eoi_take_back(c);
	c->msr.kvm_pv_eoi = value;
	return true;
}

bool pv_msr_write(struct vcpu *c, uint32_t index, uint64_t value, bool host)
{
	switch (index) {
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW:
		c->msr.kvm_wall_clock = value;
		if (!host) /* the VMM restores a number; the page is in memory already */
			write_wall_clock(c, value);
		return true;
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW:
		c->msr.kvm_system_time = value;
		if (host)
			vcpu_request(c, REQUEST_CLOCK);
		else
			pv_clock_update(c);
		return true;
	case MSR_KVM_STEAL_TIME:
		return write_steal_msr(c, value, host);
	case MSR_KVM_PV_EOI_EN:
		return write_pv_eoi_msr(c, value);
	case MSR_KVM_POLL_CONTROL:
		if (value & ~1ull)
			return false;
		c->msr.kvm_poll_control = value;
		return true;
	case MSR_KVM_ASYNC_PF_EN:
	case MSR_KVM_ASYNC_PF_INT:
	case MSR_KVM_ASYNC_PF_ACK:
		return !value;
	default:
		return false;
	}
}

/* ---- hypercalls ---- */

static struct vcpu *find_vcpu(struct vm *vm, uint32_t id)
{
	for (uint32_t i = 0; i < __atomic_load_n(&vm->vcpu_count, __ATOMIC_ACQUIRE); i++) {
		if (vm->vcpu[i]->id == id)
			return vm->vcpu[i];
	}
	return NULL;
}

static uint64_t kick_cpu(struct vcpu *c, uint32_t id)
{
	struct apic_message wake = { .delivery = DELIVER_REMOTE_READ, .is_asserted = true };
	struct vcpu *target = find_vcpu(c->vm, id);

	if (target && target->lapic)
		apic_accept(target, &wake);
	return 0;
}

/* One IPI to every set bit of args[0..1]; bit 0 is APIC ID args[2]. Returns how many took it. */
static uint64_t send_ipi(struct vcpu *c, const uint64_t args[4], unsigned bits_per_word)
{
	uint32_t icr = (uint32_t)args[3];
	struct apic_message message = {
		.vector = (uint8_t)icr,
		.delivery = icr >> 8 & 7,
		.is_asserted = true,
	};
	uint64_t sent = 0;

	if (icr & (3u << 18 | ICR_LOGICAL))
		return (uint64_t)-KVM_EINVAL;
	if (message.delivery != DELIVER_FIXED && message.delivery != DELIVER_NMI)
		return (uint64_t)-KVM_EINVAL;
	for (unsigned bit = 0; bit < 2 * bits_per_word; bit++) {
		uint64_t id = args[2] + bit;
		struct vcpu *target;

		if (!(args[bit / bits_per_word] >> bit % bits_per_word & 1) || id > UINT32_MAX)
			continue;
		target = find_vcpu(c->vm, (uint32_t)id);
		if (target && target->lapic && apic_base_of(target) & BASE_ENABLE)
			sent += apic_accept(target, &message);
	}
	return sent;
}

uint64_t pv_hypercall(struct vcpu *c, uint64_t nr, const uint64_t args[4])
{
	bool is_64bit = code_is_64bit(c);
	uint64_t a[4], mask = is_64bit ? ~0ull : 0xffffffff, result;

	for (int i = 0; i < 4; i++)
		a[i] = args[i] & mask;
	if (c->cpl)
		return (uint64_t)-KVM_EPERM & mask;
	switch (nr & mask) {
	case KVM_HC_VAPIC_POLL_IRQ:
		result = 0;
		break;
	case KVM_HC_KICK_CPU:
		result = kick_cpu(c, (uint32_t)a[1]);
		break;
	case KVM_HC_SEND_IPI:
		result = send_ipi(c, a, is_64bit ? 64 : 32);
		break;
	case KVM_HC_SCHED_YIELD:
		port_yield();
		result = 0;
		break;
	default:
		result = (uint64_t)-KVM_ENOSYS;
	}
	return result & mask;
}
