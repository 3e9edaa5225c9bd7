/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * The guest's time-stamp counter, and kvmclock, which is computed from it.
 *
 * All kvmclock pages of a VM count from one pair (host TSC, kvmclock then), so clocks agree across
 * vCPUs; the page says so (TSC_STABLE) while all vCPUs also read the same TSC.
 *
 * Manual: Linux, Documentation/virt/kvm/x86/msr.rst and timekeeping.rst; api.rst, KVM_SET_CLOCK.
 * Not modelled: hosts whose TSC is not constant and synchronous between cores.
 */
#include "engine/irqchip/internal.h"

#include "engine/mmu/mmu.h"

#include <errno.h>

enum { MSR_ENABLED = 1, FLAG_TSC_STABLE = 1, FLAG_GUEST_STOPPED = 2 };
enum { SECOND_NS = 1000000000, SAME_RATE_PPM = 250 };
#define SCALE_ONE (1ull << 32)

/* The page a guest names by MSR_KVM_SYSTEM_TIME. Versions are odd while it changes. */
struct time_page {
	uint32_t version, pad0;
	uint64_t tsc_timestamp, system_time;
	uint32_t tsc_to_system_mul;
	int8_t tsc_shift;
	uint8_t flags, pad[2];
};

static uint64_t scale_tsc(uint64_t host, uint64_t scale)
{
	if (!scale || scale == SCALE_ONE)
		return host;
	return (uint64_t)((unsigned __int128)host * scale >> 32);
}

static uint64_t guest_tsc_at(const struct vcpu *c, uint64_t host)
{
	return scale_tsc(host, c->tsc_scale) + c->tsc_offset;
}

uint64_t vcpu_tsc(const struct vcpu *c)
{
	return guest_tsc_at(c, port_tsc());
}

uint32_t vcpu_tsc_rate(const struct vcpu *c)
{
	if (!c->tsc_khz || !c->tsc_scale || c->tsc_scale == SCALE_ONE)
		return port_tsc_khz();
	return c->tsc_khz;
}

static void request_all(struct vm *vm, uint32_t bits)
{
	for (uint32_t i = 0; i < __atomic_load_n(&vm->vcpu_count, __ATOMIC_ACQUIRE); i++) {
		if (vm->vcpu[i])
			vcpu_request(vm->vcpu[i], bits);
	}
}

static void tsc_changed(struct vcpu *c)
{
	lapic_timer_rate_changed(c);
	request_all(c->vm, REQUEST_CLOCK); /* stable or not may have changed for all */
}

/*
 * The VMM sets TSCs one vCPU after the other and means them to be equal: a value within a second
 * of where the last one has got to by now joins it, and so does 0, a vCPU's first.
 */
static uint64_t host_write_offset_locked(struct vcpu *c, uint64_t value)
{
	struct vm *vm = c->vm;
	uint64_t host = port_tsc(), expected, away;

	if (vm->tsc_shared_khz && vm->tsc_shared_khz == vcpu_tsc_rate(c)) {
		expected = scale_tsc(host, c->tsc_scale) + vm->tsc_shared_offset;
		away = value > expected ? value - expected : expected - value;
		if (!value || away < (uint64_t)vm->tsc_shared_khz * 1000)
			return vm->tsc_shared_offset;
	}
	vm->tsc_written = value;
	vm->tsc_written_host = host;
	vm->tsc_shared_khz = vcpu_tsc_rate(c);
	vm->tsc_shared_offset = value - scale_tsc(host, c->tsc_scale);
	return vm->tsc_shared_offset;
}

void vcpu_tsc_write(struct vcpu *c, uint64_t value, bool host)
{
	uint64_t before = c->tsc_offset;

	lock_take(&c->vm->lock);
	if (host) {
		c->tsc_offset = host_write_offset_locked(c, value);
	} else {
		c->tsc_offset = value - scale_tsc(port_tsc(), c->tsc_scale);
		c->msr.tsc_adjust += c->tsc_offset - before;
	}
	lock_drop(&c->vm->lock);
	tsc_changed(c);
}

void vcpu_tsc_adjust_write(struct vcpu *c, uint64_t value, bool host)
{
	if (!host) { /* the VMM restores the number; the TSC itself comes by IA32_TSC */
		lock_take(&c->vm->lock);
		c->tsc_offset += value - c->msr.tsc_adjust;
		lock_drop(&c->vm->lock);
	}
	c->msr.tsc_adjust = value;
	if (!host)
		tsc_changed(c);
}

int vcpu_set_tsc_khz(struct vcpu *c, uint32_t khz)
{
	uint32_t host = port_tsc_khz();
	uint64_t off_by = khz > host ? khz - host : host - khz;

	if (!khz)
		khz = host;
	else if (khz > host * 1024ull || host > khz * 1024ull)
		return -EINVAL;
	lock_take(&c->vm->lock);
	c->tsc_khz = khz;
	c->tsc_scale = khz == host || off_by * 1000000 <= (uint64_t)host * SAME_RATE_PPM
			       ? SCALE_ONE
			       : ((uint64_t)khz << 32) / host;
	lock_drop(&c->vm->lock);
	tsc_changed(c);
	return 0;
}

/* Ticks of `khz` to nanoseconds as (ticks << shift) * mul >> 32, mul in its upper half. */
static void rate_to_ns(uint32_t khz, uint32_t *mul, int8_t *shift)
{
	uint64_t ns = SECOND_NS, ticks = khz * 1000ull;

	*shift = 0;
	while (ns >= ticks) {
		ticks <<= 1;
		++*shift;
	}
	while (ns * 2 < ticks) {
		ns <<= 1;
		--*shift;
	}
	*mul = (uint32_t)((ns << 32) / ticks);
}

static void take_base_locked(struct vm *vm)
{
	if (vm->clock_tsc)
		return;
	vm->clock_tsc = port_tsc();
	vm->clock_ns = port_now_ns() + (uint64_t)vm->clock_offset;
}

static uint64_t clock_at_locked(struct vm *vm, uint64_t host_tsc)
{
	uint32_t mul;
	int8_t shift;
	unsigned __int128 ticks;

	take_base_locked(vm);
	rate_to_ns(port_tsc_khz(), &mul, &shift);
	ticks = host_tsc - vm->clock_tsc;
	ticks = shift < 0 ? ticks >> -shift : ticks << shift;
	return vm->clock_ns + (uint64_t)(ticks * mul >> 32);
}

static bool tscs_agree_locked(const struct vm *vm)
{
	for (uint32_t i = 1; i < __atomic_load_n(&vm->vcpu_count, __ATOMIC_ACQUIRE); i++) {
		if (vm->vcpu[i]->tsc_offset != vm->vcpu[0]->tsc_offset ||
		    vm->vcpu[i]->tsc_scale != vm->vcpu[0]->tsc_scale)
			return false;
	}
	return true;
}

void pv_clock_update(struct vcpu *c)
{
	gpa_t gpa = c->msr.kvm_system_time & ~1ull;
	struct vm *vm = c->vm;
	struct time_page page = { 0 };
	uint32_t version;

	if (!(c->msr.kvm_system_time & MSR_ENABLED))
		return;
	lock_take(&vm->lock);
	take_base_locked(vm);
	page.tsc_timestamp = guest_tsc_at(c, vm->clock_tsc);
	page.system_time = vm->clock_ns;
	page.flags = tscs_agree_locked(vm) ? FLAG_TSC_STABLE : 0;
	lock_drop(&vm->lock);
	rate_to_ns(vcpu_tsc_rate(c), &page.tsc_to_system_mul, &page.tsc_shift);
	if (c->clock_paused)
		page.flags |= FLAG_GUEST_STOPPED;

	if (gpa_read(vm, gpa, &version, sizeof(version)))
		return;
	/* Other vCPUs may read it in their vDSO: odd version, content, even version. */
	version = (version | 1);
	if (gpa_write(vm, gpa, &version, sizeof(version)))
		return;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	page.version = version;
	if (gpa_write(vm, gpa, &page, sizeof(page)))
		return;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	version++;
	if (!gpa_write(vm, gpa, &version, sizeof(version)))
		c->clock_paused = false;
}

int pv_clock_pause(struct vcpu *c)
{
	if (!(c->msr.kvm_system_time & MSR_ENABLED))
		return -EINVAL;
	c->clock_paused = true;
	vcpu_request(c, REQUEST_CLOCK);
	return 0;
}

void vm_clock_get(struct vm *vm, struct kvm_clock_data *data)
{
	*data = (struct kvm_clock_data){ .flags = KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC };
	lock_take(&vm->lock);
	data->host_tsc = port_tsc();
	data->realtime = port_wall_ns();
	data->clock = clock_at_locked(vm, data->host_tsc);
	if (tscs_agree_locked(vm))
		data->flags |= KVM_CLOCK_TSC_STABLE;
	lock_drop(&vm->lock);
}

void vm_clock_set(struct vm *vm, const struct kvm_clock_data *data)
{
	uint64_t now = data->clock, wall = port_wall_ns();

	/* The clock went on while the VM travelled. */
	if (data->flags & KVM_CLOCK_REALTIME && wall > data->realtime)
		now += wall - data->realtime;
	lock_take(&vm->lock);
	vm->clock_tsc = port_tsc();
	vm->clock_ns = now;
	vm->clock_offset = (int64_t)(now - port_now_ns());
	lock_drop(&vm->lock);
	request_all(vm, REQUEST_CLOCK);
}
