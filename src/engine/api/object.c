/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Objects and the ioctl dispatcher.
 *
 * A row of ioctls.def names the object a request is for, what is copied in and out, and its
 * handler. A request for another kind of object, or none, is ENOTTY; a bad pointer is EFAULT.
 * Handlers of a vCPU run with its mutex held and `running` set.
 *
 * Manual: the kernel's KVM API document, chapters 1 to 4.
 * Not modelled: device objects; KVM_CREATE_DEVICE answers ENODEV.
 */
#include "engine/api/object.h"

enum direction { NONE = 0, IN = 1, OUT = 2, IN_OUT = 3 };

struct ioctl_row {
	unsigned long request;
	enum direction direction;
	size_t bytes;
	union {
		system_fn *system;
		vm_fn *vm;
		vcpu_fn *vcpu;
	};
};

#define ROW(req, dir, type, field, fn) \
	{ .request = (req), .direction = (dir), .bytes = sizeof(type), .field = (fn) },

static const struct ioctl_row system_rows[] = {
#define SYSTEM(request, direction, type, handler) ROW(request, direction, type, system, handler)
#define VM(request, direction, type, handler)
#define VCPU(request, direction, type, handler)
#include "engine/api/ioctls.def"
#undef SYSTEM
#undef VM
#undef VCPU
};

static const struct ioctl_row vm_rows[] = {
#define SYSTEM(request, direction, type, handler)
#define VM(request, direction, type, handler) ROW(request, direction, type, vm, handler)
#define VCPU(request, direction, type, handler)
#include "engine/api/ioctls.def"
#undef SYSTEM
#undef VM
#undef VCPU
};

static const struct ioctl_row vcpu_rows[] = {
#define SYSTEM(request, direction, type, handler)
#define VM(request, direction, type, handler)
#define VCPU(request, direction, type, handler) ROW(request, direction, type, vcpu, handler)
#include "engine/api/ioctls.def"
#undef SYSTEM
#undef VM
#undef VCPU
};

/* The largest fixed part of an argument. */
enum { MAX_ARGUMENT = sizeof(struct kvm_xsave) };

static const struct ioctl_row *find_row(const struct vm_object *object, unsigned long request)
{
	static const struct {
		const struct ioctl_row *rows;
		size_t count;
	} tables[] = {
		[OBJECT_SYSTEM] = { system_rows, ARRAY_LEN(system_rows) },
		[OBJECT_VM] = { vm_rows, ARRAY_LEN(vm_rows) },
		[OBJECT_VCPU] = { vcpu_rows, ARRAY_LEN(vcpu_rows) },
	};

	for (size_t i = 0; i < tables[object->kind].count; i++)
		if (tables[object->kind].rows[i].request == request)
			return &tables[object->kind].rows[i];
	return NULL;
}

static long call_vcpu(struct vcpu *c, const struct ioctl_row *row, const struct call *call,
		      void *data)
{
	long result;

	lock_take(&c->mutex);
	vcpu_enter(c);
	result = row->vcpu(c, call, data);
	vcpu_leave(c);
	lock_drop(&c->mutex);
	return result;
}

long vm_ioctl(struct vm_object *object, unsigned long request, uintptr_t argument,
	      struct vm_object **created)
{
	/* The kernel looks at 32 bits of the request; int arguments of callers sign-extend. */
	const struct ioctl_row *row = find_row(object, (uint32_t)request);
	struct call call = { .argument = argument, .created = created, .options = &object->options };
	_Alignas(64) uint8_t data[MAX_ARGUMENT];
	long result;

	_Static_assert(sizeof(struct kvm_lapic_state) <= MAX_ARGUMENT, "argument buffer");
	if (!row)
		return -ENOTTY;
	if (row->direction != NONE)
		memset(data, 0, row->bytes);
	if (row->direction & IN && port_copy(data, (const void *)argument, row->bytes))
		return -EFAULT;
	if (object->kind == OBJECT_SYSTEM)
		result = row->system(&call, data);
	else if (object->kind == OBJECT_VM)
		result = row->vm(object->vm, &call, data);
	else
		result = call_vcpu(object->vcpu, row, &call, data);
	if (result >= 0 && row->direction & OUT && port_copy((void *)argument, data, row->bytes))
		return -EFAULT;
	return result;
}

int copy_array_in(void *to, const struct call *call, size_t header, size_t bytes)
{
	return port_copy(to, (const void *)(call->argument + header), bytes);
}

int copy_array_out(const struct call *call, size_t header, const void *from, size_t bytes)
{
	return port_copy((void *)(call->argument + header), from, bytes);
}

struct vm_object *object_new(enum object_kind kind)
{
	struct vm_object *object = port_alloc(sizeof(*object));

	if (object) {
		object->kind = kind;
		object->refs = 1;
	}
	return object;
}

struct vm_object *vm_open(const struct vm_options *options)
{
	struct vm_object *object = object_new(OBJECT_SYSTEM);

	if (object && options)
		object->options = *options;
	return object;
}

void *vm_run_pages(struct vm_object *vcpu, size_t *bytes)
{
	if (vcpu->kind != OBJECT_VCPU)
		return NULL;
	*bytes = KVM_ABI_RUN_BYTES;
	return vcpu->vcpu->run;
}

void vm_put(struct vm_object *object)
{
	if (!object || __atomic_sub_fetch(&object->refs, 1, __ATOMIC_ACQ_REL))
		return;
	if (object->vm)
		vm_put_ref(object->vm);
	port_free(object);
}
