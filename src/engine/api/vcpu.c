/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * vCPUs: creation, and the ioctls that are not about register state (state.c) or running (run.c).
 *
 * Manual: the kernel's KVM API document, chapter 4; SDM 3 ch. 16 (machine checks).
 * Not modelled: KVM_SMI, KVM_TPR_ACCESS_REPORTING, KVM_SET_VAPIC_ADDR, nested state; not offered.
 */
#include "engine/api/object.h"
#include "engine/fpu/fpu.h"
#include "engine/interp/interp.h"
#include "engine/jit/jit.h"
#include "engine/irqchip/irqchip.h"
#include "engine/mmu/mmu.h"
#include "engine/mmu/window.h"
#include "engine/sys/features.h"
#include "engine/sys/sys.h"

static bool vcpu_exists(const struct vm *vm, uint32_t id)
{
	for (uint32_t i = 0; i < vm->vcpu_count; i++)
		if (vm->vcpu[i]->id == id)
			return true;
	return false;
}

static int run_pages_new(struct vcpu *c)
{
	uint8_t *pages = port_alloc_shared(KVM_ABI_RUN_BYTES, c);

	if (!pages)
		return -ENOMEM;
	c->run = (struct kvm_run *)pages;
	return port_share_page(pages + KVM_ABI_RING_PAGE * PAGE_BYTES, c->vm->ring);
}

/* The parts other directories own; all or nothing. */
static int parts_new(struct vcpu *c)
{
	int error = interp_init(c);

	if (error)
		return error;
	error = fpu_init(c);
	if (error)
		goto undo_interp;
	error = c->vm->irqchip ? lapic_create(c) : 0;
	if (error)
		goto undo_fpu;
	if (c->vm->translator && jit_init(c))
		port_log("no executable memory for the translator: vCPU %u interprets", c->id);
	return 0;
undo_fpu:
	fpu_fini(c);
undo_interp:
	interp_fini(c);
	return error;
}

int vcpu_new(struct vm *vm, uint32_t id)
{
	struct vcpu *c;
	int error;

	if (vm->vcpu_count == KVM_ABI_VCPUS)
		return -EINVAL;
	if (vcpu_exists(vm, id))
		return -EEXIST;
	c = window_alloc_vcpu(vm);
	if (!c)
		return -ENOMEM;
	c->vm = vm;
	c->id = id;
	c->index = vm->vcpu_count;
	error = tlb_init(c);
	if (!error)
		error = run_pages_new(c);
	if (!error)
		error = parts_new(c);
	if (error) {
		tlb_fini(c);
		port_free_pages(c->run, KVM_ABI_RUN_BYTES);
		window_free_vcpu(c);
		return error;
	}
	vcpu_set_tsc_khz(c, vm->default_tsc_khz);
	cpuid_changed(c);
	vcpu_reset(c, false);
	lapic_reset(c, false);
	vcpu_tsc_write(c, 0, true);
	c->mp_state = !c->lapic || id == vm->boot_cpu_id ? KVM_MP_STATE_RUNNABLE
							 : KVM_MP_STATE_UNINITIALIZED;
	vm->vcpu[vm->vcpu_count] = c;
	__atomic_store_n(&vm->vcpu_count, vm->vcpu_count + 1, __ATOMIC_SEQ_CST);
	return 0;
}

void vcpu_free(struct vcpu *c)
{
	port_timer_free(c->signal_timer);
	if (c->lapic)
		lapic_free(c);
	jit_fini(c);
	fpu_fini(c);
	interp_fini(c);
	tlb_fini(c);
	port_free_pages(c->run, KVM_ABI_RUN_BYTES);
	window_free_vcpu(c);
}

void vcpu_do_flushes(struct vcpu *c)
{
	const uint32_t flushes = REQUEST_TLB_FLUSH | REQUEST_CODE_FLUSH;
	uint32_t requests = __atomic_load_n(&c->requests, __ATOMIC_SEQ_CST);

	if (requests & REQUEST_CODE_FLUSH)
		interp_flush(c);
	if (requests & REQUEST_TLB_FLUSH)
		tlb_flush_all(c);
	/* Nothing was translated in between, so a request that came meanwhile is served too. */
	__atomic_fetch_and(&c->requests, ~(requests & flushes), __ATOMIC_SEQ_CST);
}

void vcpu_enter(struct vcpu *c)
{
	/* Pairs with sync_vcpus(): it sets requests, then looks at `running`. */
	__atomic_store_n(&c->running, true, __ATOMIC_SEQ_CST);
	vcpu_do_flushes(c);
}

void vcpu_leave(struct vcpu *c)
{
	__atomic_store_n(&c->running, false, __ATOMIC_SEQ_CST);
}

long vcpu_ioctl_run(struct vcpu *c, const struct call *call, void *data)
{
	return call->argument ? -EINVAL : vcpu_run(c);
}

long vcpu_translate(struct vcpu *c, const struct call *call, void *data)
{
	struct kvm_translation *t = data;
	struct translation result;

	t->valid = mmu_translate(c, t->linear_address, ACCESS_READ, false, &result);
	t->physical_address = t->valid ? result.gpa : ~0ull;
	t->writeable = 1; /* as the kernel answers */
	t->usermode = 0;
	return 0;
}

long vcpu_interrupt(struct vcpu *c, const struct call *call, void *data)
{
	const struct kvm_interrupt *interrupt = data;

	if (interrupt->irq > 255)
		return -EINVAL;
	if (c->vm->irqchip && !c->vm->split_irqchip)
		return -ENXIO;
	if (c->vm->irqchip && c->user_interrupt_queued)
		return -EEXIST;
	if (vcpu_ready_for_interrupt(c)) { /* and at once part of the state */
		c->injected = (struct event){ .kind = EVENT_INTERRUPT,
					      .vector = (uint8_t)interrupt->irq };
	} else {
		c->user_interrupt = (uint8_t)interrupt->irq;
		c->user_interrupt_queued = true;
	}
	vcpu_request(c, REQUEST_EVENT);
	return 0;
}

long vcpu_nmi(struct vcpu *c, const struct call *call, void *data)
{
	c->nmi_pending = true;
	vcpu_request(c, REQUEST_EVENT);
	return 0;
}

static long each_msr(struct vcpu *c, const struct call *call, const struct kvm_msrs *header,
		     bool (*one)(struct vcpu *c, struct kvm_msr_entry *entry), bool copies_out)
{
	struct kvm_msr_entry entries[MAX_MSRS];
	size_t bytes = header->nmsrs * sizeof(entries[0]);
	uint32_t done;

	if (header->nmsrs >= MAX_MSRS)
		return -E2BIG;
	if (copy_array_in(entries, call, sizeof(*header), bytes))
		return -EFAULT;
	for (done = 0; done < header->nmsrs && one(c, &entries[done]); done++)
		;
	if (copies_out && copy_array_out(call, sizeof(*header), entries, bytes))
		return -EFAULT;
	return done;
}

static bool get_msr(struct vcpu *c, struct kvm_msr_entry *entry)
{
	uint64_t value;

	if (!msr_read(c, entry->index, &value, true))
		return false;
	entry->data = value;
	return true;
}

static bool set_msr(struct vcpu *c, struct kvm_msr_entry *entry)
{
	return msr_write(c, entry->index, entry->data, true);
}

long vcpu_get_msrs(struct vcpu *c, const struct call *call, void *data)
{
	return each_msr(c, call, data, get_msr, true);
}

long vcpu_set_msrs(struct vcpu *c, const struct call *call, void *data)
{
	return each_msr(c, call, data, set_msr, false);
}

static void cpuid_is_new(struct vcpu *c)
{
	uint32_t out[4];

	c->physical_bits = 36;
	cpuid_query(c, 0x80000000, 0, out);
	if (c->cpuid_count && out[0] >= 0x80000008) {
		cpuid_query(c, 0x80000008, 0, out);
		if ((uint8_t)out[0] >= 32 && (uint8_t)out[0] <= 52)
			c->physical_bits = (uint8_t)out[0];
	}
	cpuid_changed(c);
	interp_flush(c);
	vcpu_state_changed(c);
}

long vcpu_set_cpuid2(struct vcpu *c, const struct call *call, void *data)
{
	const struct kvm_cpuid2 *header = data;
	struct kvm_cpuid_entry2 entries[MAX_CPUID_ENTRIES];
	size_t bytes = header->nent * sizeof(entries[0]);

	if (header->nent > MAX_CPUID_ENTRIES)
		return -E2BIG;
	if (copy_array_in(entries, call, sizeof(*header), bytes))
		return -EFAULT;
	memcpy(c->cpuid, entries, bytes);
	c->cpuid_count = header->nent;
	cpuid_is_new(c);
	return 0;
}

/* The old form, without subleaves. */
long vcpu_set_cpuid(struct vcpu *c, const struct call *call, void *data)
{
	const struct kvm_cpuid *header = data;
	struct kvm_cpuid_entry entries[MAX_CPUID_ENTRIES];

	if (header->nent > MAX_CPUID_ENTRIES)
		return -E2BIG;
	if (copy_array_in(entries, call, sizeof(*header), header->nent * sizeof(entries[0])))
		return -EFAULT;
	for (uint32_t i = 0; i < header->nent; i++)
		c->cpuid[i] = (struct kvm_cpuid_entry2){
			.function = entries[i].function,
			.eax = entries[i].eax,
			.ebx = entries[i].ebx,
			.ecx = entries[i].ecx,
			.edx = entries[i].edx,
		};
	c->cpuid_count = header->nent;
	cpuid_is_new(c);
	return 0;
}

long vcpu_get_cpuid2(struct vcpu *c, const struct call *call, void *data)
{
	struct kvm_cpuid2 *header = data;

	if (header->nent < c->cpuid_count)
		return -E2BIG;
	header->nent = c->cpuid_count;
	return copy_array_out(call, sizeof(*header), c->cpuid,
			      c->cpuid_count * sizeof(c->cpuid[0]));
}

long vcpu_set_signal_mask(struct vcpu *c, const struct call *call, void *data)
{
	struct kvm_signal_mask header;
	uint64_t mask;

	if (!call->argument) {
		c->has_signal_mask = false;
		return 0;
	}
	if (copy_array_in(&header, call, 0, sizeof(header)))
		return -EFAULT;
	if (header.len != sizeof(mask))
		return -EINVAL;
	if (copy_array_in(&mask, call, sizeof(header), sizeof(mask)))
		return -EFAULT;
	if (!c->signal_timer)
		c->signal_timer = port_timer_new(run_on_signal_timer, c);
	if (!c->signal_timer)
		return -ENOMEM;
	c->signal_mask = mask;
	c->has_signal_mask = true;
	return 0;
}

long vcpu_get_lapic(struct vcpu *c, const struct call *call, void *data)
{
	return c->lapic ? lapic_get(c, data) : -EINVAL;
}

long vcpu_set_lapic(struct vcpu *c, const struct call *call, void *data)
{
	return c->lapic ? lapic_set(c, data) : -EINVAL;
}

long vcpu_get_mp_state(struct vcpu *c, const struct call *call, void *data)
{
	struct kvm_mp_state *state = data;

	lapic_accept_events(c);
	state->mp_state = c->mp_state;
	return 0;
}

long vcpu_set_mp_state(struct vcpu *c, const struct call *call, void *data)
{
	const struct kvm_mp_state *state = data;

	if (state->mp_state > KVM_MP_STATE_HALTED ||
	    (!c->lapic && state->mp_state != KVM_MP_STATE_RUNNABLE))
		return -EINVAL;
	c->mp_state = state->mp_state;
	vcpu_request(c, REQUEST_EVENT);
	return 0;
}

long vcpu_get_tsc_khz(struct vcpu *c, const struct call *call, void *data)
{
	return c->tsc_khz;
}

long vcpu_ioctl_set_tsc_khz(struct vcpu *c, const struct call *call, void *data)
{
	if (call->argument > UINT32_MAX)
		return -EINVAL;
	return vcpu_set_tsc_khz(c, call->argument ? (uint32_t)call->argument : port_tsc_khz());
}

long vcpu_kvmclock_ctrl(struct vcpu *c, const struct call *call, void *data)
{
	return pv_clock_pause(c);
}

long vcpu_set_guest_debug(struct vcpu *c, const struct call *call, void *data)
{
	const struct kvm_guest_debug *debug = data;

	if (debug->control & ~(uint32_t)extension_value(KVM_CAP_SET_GUEST_DEBUG2))
		return -EINVAL;
	if (debug->control & (KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP) &&
	    c->injected.kind != EVENT_NONE)
		return -EBUSY;
	c->debug = *debug;
	interp_flush_lookup(c); /* breakpoints may have been put into code: who counts writes counts those */
	debug_changed(c);
	return 0;
}

long vcpu_setup_mce(struct vcpu *c, const struct call *call, void *data)
{
	uint64_t cap = load_le64(data);
	unsigned banks = (unsigned)(cap & 0xff);

	if (!banks || banks > 32 || cap & ~(uint64_t)(MCE_CAP_SUPPORTED | 0xff | 0xff0000))
		return -EINVAL;
	c->msr.mcg_cap = cap;
	if (cap & BIT(8)) /* MCG_CTL_P */
		c->msr.mcg_ctl = ~0ull;
	for (unsigned bank = 0; bank < banks; bank++)
		c->msr.mce[4 * bank] = ~0ull;
	return 0;
}

/* Puts a machine check in its bank; an uncorrected one becomes #MC, or a shutdown. */
long vcpu_set_mce(struct vcpu *c, const struct call *call, void *data)
{
	enum { STATUS = 1, ADDRESS, MISC };
	const uint64_t valid = BIT(63), overflow = BIT(62), uncorrected = BIT(61);
	const struct kvm_x86_mce *mce = data;
	uint64_t *bank;

	if (mce->bank >= (c->msr.mcg_cap & 0xff) || mce->bank >= 32 || !(mce->status & valid))
		return -EINVAL;
	bank = &c->msr.mce[4 * mce->bank];
	if (mce->status & uncorrected && (c->msr.mcg_ctl != ~0ull || bank[0] != ~0ull))
		return 0; /* reporting is switched off */
	if (mce->status & uncorrected) {
		if (c->msr.mcg_status & 4 /* MCIP */ || !(c->cr4 & CR4_MCE)) {
			vcpu_request(c, REQUEST_SHUTDOWN);
			return 0;
		}
		c->msr.mcg_status = mce->mcg_status;
		c->raised = (struct event){ .kind = EVENT_FAULT, .vector = EXC_MC };
	} else if (bank[STATUS] & valid) {
		bank[STATUS] |= overflow;
		return 0;
	}
	bank[STATUS] = mce->status | (bank[STATUS] & valid ? overflow : 0);
	bank[ADDRESS] = mce->addr;
	bank[MISC] = mce->misc;
	return 0;
}
