/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Ioctls on a VM, but for memory (memory.c) and hooks (hooks.c); its birth and end.
 *
 * A VM lives as long as its object or one of its vCPU objects does; vCPUs live as long as the VM.
 *
 * Manual: the kernel's KVM API document, chapter 4.
 * Not modelled: the TSS and identity-map pages (real-mode guests need no host VMX tricks here), and
 * limits on shadow pages: these requests are checked and remembered only.
 */
#include "engine/api/hooks.h"
#include "engine/api/object.h"
#include "engine/irqchip/irqchip.h"

enum { MAX_ROUTES = 4096 };

struct vm *vm_new(const struct vm_options *options)
{
	struct vm *vm = port_alloc(sizeof(*vm));

	if (!vm)
		return NULL;
	vm->refs = 1;
	if (options && options->on_event) {
		vm->log = options->log;
		vm->on_event = options->on_event;
		vm->event_context = options->context;
	}
	vm->translator = options ? (uint8_t)options->translator : 0;
	vm->window = options ? (uint8_t)options->window : 0;
	vm->exact_flags = options && options->exact_flags;
	vm->writes = options ? options->writes : NULL;
	vm->vmware_backdoor = options && options->vmware_backdoor;
	vm->slots = port_alloc(sizeof(*vm->slots));
	vm->ring = port_alloc_shared(PAGE_BYTES, NULL);
	vm->clock_offset = -(int64_t)port_now_ns();
	vm->default_tsc_khz = port_tsc_khz();
	if (!vm->slots || !vm->ring) {
		vm_put_ref(vm);
		return NULL;
	}
	return vm;
}

void vm_get_ref(struct vm *vm)
{
	__atomic_add_fetch(&vm->refs, 1, __ATOMIC_RELAXED);
}

void vm_put_ref(struct vm *vm)
{
	if (__atomic_sub_fetch(&vm->refs, 1, __ATOMIC_ACQ_REL))
		return;
	if (vm->irqchip)
		irqchip_free(vm); /* its threads stop before the vCPUs they kick go away */
	for (uint32_t i = 0; i < vm->vcpu_count; i++)
		vcpu_free(vm->vcpu[i]);
	hooks_free(vm);
	memory_free(vm);
	port_free_pages(vm->ring, PAGE_BYTES);
	port_free(vm);
}

long vm_check_extension(struct vm *vm, const struct call *call, void *data)
{
	return extension_value((uint32_t)call->argument);
}

long vm_create_vcpu(struct vm *vm, const struct call *call, void *data)
{
	struct vm_object *object;
	long result;

	if (call->argument >= MAX_VCPU_ID || !call->created)
		return -EINVAL;
	object = object_new(OBJECT_VCPU);
	if (!object)
		return -ENOMEM;
	lock_take(&vm->slots_lock);
	result = vcpu_new(vm, (uint32_t)call->argument);
	if (!result)
		object->vcpu = vm->vcpu[vm->vcpu_count - 1];
	lock_drop(&vm->slots_lock);
	if (!result) {
		vm_get_ref(vm);
		object->vm = vm;
		*call->created = object;
	} else {
		vm_put(object);
	}
	return result;
}

long vm_set_tss(struct vm *vm, const struct call *call, void *data)
{
	return call->argument > 0xffffd000 ? -EINVAL : 0; /* three pages below 4 GiB */
}

long vm_set_identity_map(struct vm *vm, const struct call *call, void *data)
{
	return vm->vcpu_count ? -EINVAL : 0;
}

long vm_set_mmu_pages(struct vm *vm, const struct call *call, void *data)
{
	return call->argument < 20 ? -EINVAL : 0;
}

long vm_get_mmu_pages(struct vm *vm, const struct call *call, void *data)
{
	return 0;
}

long vm_create_irqchip(struct vm *vm, const struct call *call, void *data)
{
	if (vm->irqchip)
		return -EEXIST;
	return vm->vcpu_count ? -EINVAL : irqchip_create(vm);
}

/* The chips of KVM_CREATE_IRQCHIP: not there with a split irqchip. */
static bool has_full_irqchip(const struct vm *vm)
{
	return vm->irqchip && !vm->split_irqchip;
}

long vm_get_irqchip(struct vm *vm, const struct call *call, void *data)
{
	return has_full_irqchip(vm) ? irqchip_get(vm, data) : -ENXIO;
}

long vm_set_irqchip(struct vm *vm, const struct call *call, void *data)
{
	return has_full_irqchip(vm) ? irqchip_set(vm, data) : -ENXIO;
}

long vm_irq_line(struct vm *vm, const struct call *call, void *data)
{
	const struct kvm_irq_level *line = data;

	if (!vm->irqchip)
		return -ENXIO;
	irq_line(vm, line->irq, line->level);
	return 0;
}

long vm_irq_line_status(struct vm *vm, const struct call *call, void *data)
{
	struct kvm_irq_level *line = data;

	if (!vm->irqchip)
		return -ENXIO;
	line->status = irq_line(vm, line->irq, line->level);
	return 0;
}

long vm_create_pit(struct vm *vm, const struct call *call, void *data)
{
	static const struct kvm_pit_config config = { .flags = KVM_PIT_SPEAKER_DUMMY };

	return has_full_irqchip(vm) ? pit_create(vm, &config) : -ENXIO;
}

long vm_create_pit2(struct vm *vm, const struct call *call, void *data)
{
	const struct kvm_pit_config *config = data;

	if (config->flags & ~(uint32_t)KVM_PIT_SPEAKER_DUMMY)
		return -EINVAL;
	return has_full_irqchip(vm) ? pit_create(vm, config) : -ENXIO;
}

long vm_get_pit2(struct vm *vm, const struct call *call, void *data)
{
	return vm->irqchip ? pit_get(vm, data) : -ENXIO;
}

long vm_set_pit2(struct vm *vm, const struct call *call, void *data)
{
	return vm->irqchip ? pit_set(vm, data) : -ENXIO;
}

long vm_get_pit(struct vm *vm, const struct call *call, void *data)
{
	struct kvm_pit_state2 state;
	int result = vm->irqchip ? pit_get(vm, &state) : -ENXIO;

	if (!result)
		memcpy(data, state.channels, sizeof(struct kvm_pit_state));
	return result;
}

long vm_set_pit(struct vm *vm, const struct call *call, void *data)
{
	struct kvm_pit_state2 state = { 0 };

	memcpy(state.channels, data, sizeof(struct kvm_pit_state));
	return vm->irqchip ? pit_set(vm, &state) : -ENXIO;
}

long vm_reinject_control(struct vm *vm, const struct call *call, void *data)
{
	return vm->irqchip ? pit_reinject(vm, data) : -ENXIO;
}

long vm_set_routing(struct vm *vm, const struct call *call, void *data)
{
	const struct kvm_irq_routing *header = data;
	struct kvm_irq_routing_entry *entries;
	size_t bytes = header->nr * sizeof(*entries);
	long result;

	if (!vm->irqchip || header->nr > MAX_ROUTES || header->flags)
		return -EINVAL;
	entries = port_alloc(bytes);
	if (!entries)
		return -ENOMEM;
	result = copy_array_in(entries, call, sizeof(*header), bytes);
	if (!result)
		result = irq_set_routing(vm, header, entries);
	port_free(entries);
	return result;
}

long vm_signal_msi(struct vm *vm, const struct call *call, void *data)
{
	const struct kvm_msi *msi = data;

	if (!vm->irqchip || msi->flags)
		return -EINVAL;
	return irq_send_msi(vm, msi);
}

long vm_irqfd(struct vm *vm, const struct call *call, void *data)
{
	const struct kvm_irqfd *args = data;

	if (args->flags & ~(uint32_t)(KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE) ||
	    !vm->irqchip)
		return -EINVAL;
	return irqfd_assign(vm, args);
}

long vm_ioeventfd(struct vm *vm, const struct call *call, void *data)
{
	return hooks_ioeventfd(vm, data);
}

long vm_coalesce(struct vm *vm, const struct call *call, void *data)
{
	return hooks_coalesce(vm, data, true);
}

long vm_uncoalesce(struct vm *vm, const struct call *call, void *data)
{
	return hooks_coalesce(vm, data, false);
}

long vm_set_clock(struct vm *vm, const struct call *call, void *data)
{
	const struct kvm_clock_data *clock = data;

	if (clock->flags & ~(uint32_t)(KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME |
				       KVM_CLOCK_HOST_TSC))
		return -EINVAL;
	vm_clock_set(vm, clock);
	return 0;
}

long vm_get_clock(struct vm *vm, const struct call *call, void *data)
{
	vm_clock_get(vm, data);
	return 0;
}

long vm_set_boot_cpu(struct vm *vm, const struct call *call, void *data)
{
	if (vm->vcpu_count)
		return -EBUSY;
	vm->boot_cpu_id = (uint32_t)call->argument;
	return 0;
}

static long enable_split_irqchip(struct vm *vm, const struct kvm_enable_cap *cap)
{
	if (cap->args[0] > MAX_ROUTES)
		return -EINVAL;
	if (vm->irqchip)
		return -EEXIST;
	return vm->vcpu_count ? -EEXIST : irqchip_create_split(vm, (unsigned)cap->args[0]);
}

static long enable_x2apic_api(struct vm *vm, const struct kvm_enable_cap *cap)
{
	uint64_t flags = cap->args[0];

	if (flags & ~(uint64_t)extension_value(KVM_CAP_X2APIC_API))
		return -EINVAL;
	if (flags & KVM_X2APIC_API_USE_32BIT_IDS)
		vm->x2apic_long_ids = true;
	if (flags & KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK)
		vm->x2apic_no_broadcast = true;
	return 0;
}

static long enable_dirty_log(struct vm *vm, const struct kvm_enable_cap *cap)
{
	uint64_t flags = cap->args[0];

	if (flags & ~(uint64_t)extension_value(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2) ||
	    flags == KVM_DIRTY_LOG_INITIALLY_SET)
		return -EINVAL;
	vm->enabled_caps &= ~(uint64_t)(ENABLED_MANUAL_PROTECT | ENABLED_INITIALLY_SET);
	if (flags & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE)
		vm->enabled_caps |= ENABLED_MANUAL_PROTECT;
	if (flags & KVM_DIRTY_LOG_INITIALLY_SET)
		vm->enabled_caps |= ENABLED_INITIALLY_SET;
	return 0;
}

long vm_enable_cap(struct vm *vm, const struct call *call, void *data)
{
	const struct kvm_enable_cap *cap = data;

	if (cap->flags)
		return -EINVAL;
	switch (cap->cap) {
	case KVM_CAP_SPLIT_IRQCHIP:
		return enable_split_irqchip(vm, cap);
	case KVM_CAP_X2APIC_API:
		return enable_x2apic_api(vm, cap);
	case KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2:
		return enable_dirty_log(vm, cap);
	case KVM_CAP_EXCEPTION_PAYLOAD:
		if (cap->args[0])
			vm->enabled_caps |= ENABLED_EXCEPTION_PAYLOAD;
		else
			vm->enabled_caps &= ~(uint64_t)ENABLED_EXCEPTION_PAYLOAD;
		return 0;
	case KVM_CAP_X86_DISABLE_EXITS:
		/* HLT and PAUSE never leave the engine anyway. */
		return cap->args[0] & ~(uint64_t)extension_value(cap->cap) ? -EINVAL : 0;
	}
	return -EINVAL;
}

long vm_create_device(struct vm *vm, const struct call *call, void *data)
{
	return -ENODEV;
}

long vm_set_tsc_khz(struct vm *vm, const struct call *call, void *data)
{
	if (vm->vcpu_count || call->argument > UINT32_MAX)
		return -EINVAL;
	vm->default_tsc_khz = call->argument ? (uint32_t)call->argument : port_tsc_khz();
	return 0;
}

long vm_get_tsc_khz(struct vm *vm, const struct call *call, void *data)
{
	return vm->default_tsc_khz;
}
