/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Ioctls on the system object: what this KVM can do, and new VMs.
 *
 * Manual: the kernel's KVM API document, 4.1 to 4.5, 4.46, 4.88.
 */
#include "engine/api/object.h"
#include "engine/fpu/fpu.h"
#include "engine/sys/sys.h"

int extension_value(uint32_t cap)
{
	switch (cap) {
#define CAP(name, value) \
	case name:       \
		return (int)(value);
#include "engine/api/caps.def"
#undef CAP
	}
	return 0;
}

long system_api_version(const struct call *call, void *data)
{
	return call->argument ? -EINVAL : KVM_ABI_VERSION;
}

long system_create_vm(const struct call *call, void *data)
{
	struct vm_object *object;

	if (call->argument) /* machine type */
		return -EINVAL;
	object = object_new(OBJECT_VM);
	if (!object)
		return -ENOMEM;
	object->vm = vm_new(call->options);
	if (!object->vm || !call->created) {
		vm_put(object);
		return call->created ? -ENOMEM : -EINVAL;
	}
	*call->created = object;
	return 0;
}

long system_check_extension(const struct call *call, void *data)
{
	return extension_value((uint32_t)call->argument);
}

long system_mmap_size(const struct call *call, void *data)
{
	return call->argument ? -EINVAL : KVM_ABI_RUN_BYTES;
}

static long msr_list(const struct call *call, const struct kvm_msr_list *wanted,
		     const uint32_t *list, unsigned count)
{
	uint32_t total = count;

	if (copy_array_out(call, 0, &total, sizeof(total)))
		return -EFAULT;
	if (wanted->nmsrs < count)
		return -E2BIG;
	return copy_array_out(call, sizeof(*wanted), list, count * sizeof(*list));
}

long system_msr_list(const struct call *call, void *data)
{
	return msr_list(call, data, msr_index_list, msr_index_count);
}

long system_msr_feature_list(const struct call *call, void *data)
{
	return msr_list(call, data, msr_feature_list, msr_feature_count);
}

static bool is_feature_msr(uint32_t index)
{
	for (unsigned i = 0; i < msr_feature_count; i++)
		if (msr_feature_list[i] == index)
			return true;
	return false;
}

static long read_feature_msrs(struct vcpu *c, const struct call *call,
			      const struct kvm_msrs *header)
{
	struct kvm_msr_entry entry;
	uint32_t i;

	for (i = 0; i < header->nmsrs; i++) {
		size_t at = sizeof(*header) + i * sizeof(entry);
		uint64_t value;

		if (copy_array_in(&entry, call, at, sizeof(entry)))
			return -EFAULT;
		if (!is_feature_msr(entry.index) || !msr_read(c, entry.index, &value, true))
			break;
		entry.data = value;
		if (copy_array_out(call, at, &entry, sizeof(entry)))
			return -EFAULT;
	}
	return i;
}

/* Values of feature MSRs: those of a new vCPU. */
long system_get_msrs(const struct call *call, void *data)
{
	const struct kvm_msrs *header = data;
	struct vm *vm;
	long result = -ENOMEM;

	if (header->nmsrs >= MAX_MSRS)
		return -E2BIG;
	vm = vm_new(call->options);
	if (!vm)
		return -ENOMEM;
	if (!vcpu_new(vm, 0)) {
		vcpu_enter(vm->vcpu[0]);
		result = read_feature_msrs(vm->vcpu[0], call, header);
		vcpu_leave(vm->vcpu[0]);
	}
	vm_put_ref(vm);
	return result;
}

long system_supported_cpuid(const struct call *call, void *data)
{
	struct kvm_cpuid2 *header = data;
	struct kvm_cpuid_entry2 *entries;
	unsigned room = MIN(header->nent, (uint32_t)MAX_CPUID_ENTRIES), count = 0;
	long result;

	if (header->nent < 1)
		return -E2BIG;
	entries = port_alloc(MAX_CPUID_ENTRIES * sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	result = cpuid_supported(entries, room, &count);
	if (!result)
		result = copy_array_out(call, sizeof(*header), entries, count * sizeof(*entries));
	header->nent = count;
	port_free(entries);
	return result;
}

/* Instructions run although SUPPORTED_CPUID does not announce them: none. */
long system_emulated_cpuid(const struct call *call, void *data)
{
	struct kvm_cpuid2 *header = data;

	if (header->nent < 1)
		return -E2BIG;
	header->nent = 0;
	return 0;
}

long system_mce_cap(const struct call *call, void *data)
{
	store_le64(data, MCE_CAP_SUPPORTED);
	return 0;
}

/* The one attribute: which XCR0 bits a guest can get. */
long system_has_attr(const struct call *call, void *data)
{
	const struct kvm_device_attr *attr = data;

	if (attr->group || attr->attr != KVM_X86_XCOMP_GUEST_SUPP)
		return -ENXIO;
	return 0;
}

long system_get_attr(const struct call *call, void *data)
{
	const struct kvm_device_attr *attr = data;
	uint64_t value = xsave_supported();

	if (system_has_attr(call, data))
		return -ENXIO;
	return port_copy((void *)(uintptr_t)attr->addr, &value, sizeof(value));
}
