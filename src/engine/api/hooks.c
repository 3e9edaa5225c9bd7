/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Guest writes that do not stop the vCPU: ioeventfds, and coalesced zones whose writes are put in
 * the ring page that all vCPUs' run pages share.
 *
 * The list is immutable; a change publishes a new one and waits until no vCPU uses the old.
 *
 * Manual: the kernel's KVM API document, 4.59 (IOEVENTFD), 4.116 (coalesced I/O).
 * Not modelled: KVM_IOEVENTFD_FLAG_VIRTIO_CCW_NOTIFY (s390).
 */
#include "engine/api/hooks.h"
#include "engine/api/object.h"

enum {
	MAX_HOOKS = 1000, /* as the kernel's limit of devices on a bus */
	/* KVM_COALESCED_MMIO_MAX, which needs a PAGE_SIZE. */
	RING_ENTRIES = (PAGE_BYTES - sizeof(struct kvm_coalesced_mmio_ring)) /
		       sizeof(struct kvm_coalesced_mmio),
};

struct hook {
	uint64_t address;
	uint32_t bytes; /* of a zone; of an ioeventfd's writes, 0: any */
	bool is_port;
	bool matches_data;
	uint64_t data;
	struct port_event *event; /* NULL: a coalesced zone */
	int fd;                   /* the VMM's number, by which it is deassigned */
};

struct io_hooks {
	uint32_t count;
	struct hook hook[];
};

static bool hook_matches(const struct hook *hook, bool is_port, uint64_t address, unsigned size,
			 uint64_t value)
{
	if (hook->is_port != is_port)
		return false;
	if (!hook->event)
		return address >= hook->address && size <= hook->bytes &&
		       address - hook->address <= hook->bytes - size;
	if (hook->address != address || (hook->bytes && hook->bytes != size))
		return false;
	return !hook->matches_data || (value ^ hook->data) << (64 - 8 * size) == 0;
}

/* False: the ring is full, the VMM must empty it. */
static bool ring_put(struct vm *vm, bool is_port, uint64_t address, unsigned size, uint64_t value)
{
	struct kvm_coalesced_mmio_ring *ring = vm->ring;
	uint32_t last, next;
	bool has_room;

	lock_take(&vm->ring_lock);
	last = ring->last % RING_ENTRIES; /* the VMM can write here */
	next = (last + 1) % RING_ENTRIES;
	has_room = next != __atomic_load_n(&ring->first, __ATOMIC_ACQUIRE);
	if (has_room) {
		struct kvm_coalesced_mmio *entry = &ring->coalesced_mmio[last];

		entry->phys_addr = address;
		entry->len = size;
		entry->pio = is_port;
		store_le64(entry->data, value);
		__atomic_store_n(&ring->last, next, __ATOMIC_RELEASE);
	}
	lock_drop(&vm->ring_lock);
	return has_room;
}

bool hooks_take_write(struct vcpu *c, bool is_port, uint64_t address, unsigned size,
		      uint64_t value)
{
	const struct io_hooks *hooks = __atomic_load_n(&c->vm->hooks, __ATOMIC_ACQUIRE);

	for (uint32_t i = 0; hooks && i < hooks->count; i++) {
		const struct hook *hook = &hooks->hook[i];

		if (!hook_matches(hook, is_port, address, size, value))
			continue;
		if (!hook->event)
			return ring_put(c->vm, is_port, address, size, value);
		port_event_signal(hook->event, 1);
		return true;
	}
	return false;
}

/* A copy of the list with room for one more hook, and without number `without`. */
static struct io_hooks *hooks_copy(const struct io_hooks *old, uint32_t without)
{
	uint32_t count = old ? old->count : 0;
	struct io_hooks *new = port_alloc(sizeof(*new) + (count + 1) * sizeof(struct hook));

	for (uint32_t i = 0; new && i < count; i++)
		if (i != without)
			new->hook[new->count++] = old->hook[i];
	return new;
}

static void publish_locked(struct vm *vm, struct io_hooks *new)
{
	struct io_hooks *old = vm->hooks;

	__atomic_store_n(&vm->hooks, new, __ATOMIC_SEQ_CST);
	vm_sync_vcpus(vm, NULL);
	port_free(old);
}

static int add_locked(struct vm *vm, const struct hook *hook)
{
	struct io_hooks *new;

	if (vm->hooks && vm->hooks->count >= MAX_HOOKS)
		return -ENOSPC;
	new = hooks_copy(vm->hooks, UINT32_MAX);
	if (!new)
		return -ENOMEM;
	new->hook[new->count++] = *hook;
	publish_locked(vm, new);
	return 0;
}

static int remove_locked(struct vm *vm, uint32_t number)
{
	struct port_event *event = vm->hooks->hook[number].event;
	struct io_hooks *new = hooks_copy(vm->hooks, number);

	if (!new)
		return -ENOMEM;
	publish_locked(vm, new);
	port_event_put(event);
	return 0;
}

/* Would both take the same write? */
static bool collide(const struct hook *a, const struct hook *b)
{
	if (a->is_port != b->is_port || a->address != b->address || !a->event)
		return false;
	if (a->bytes && b->bytes && a->bytes != b->bytes)
		return false;
	return !a->matches_data || !b->matches_data || a->data == b->data;
}

static int assign_locked(struct vm *vm, struct hook *hook)
{
	int error;

	for (uint32_t i = 0; vm->hooks && i < vm->hooks->count; i++)
		if (collide(&vm->hooks->hook[i], hook))
			return -EEXIST;
	error = port_event_get(hook->fd, &hook->event);
	if (error)
		return error;
	error = add_locked(vm, hook);
	if (error)
		port_event_put(hook->event);
	return error;
}

static int deassign_locked(struct vm *vm, const struct hook *hook)
{
	for (uint32_t i = 0; vm->hooks && i < vm->hooks->count; i++) {
		const struct hook *h = &vm->hooks->hook[i];

		if (h->event && h->fd == hook->fd && h->is_port == hook->is_port &&
		    h->address == hook->address && h->bytes == hook->bytes &&
		    h->matches_data == hook->matches_data && h->data == hook->data)
			return remove_locked(vm, i);
	}
	return -ENOENT;
}

int hooks_ioeventfd(struct vm *vm, const struct kvm_ioeventfd *args)
{
	struct hook hook = {
		.address = args->addr,
		.bytes = args->len,
		.is_port = args->flags & KVM_IOEVENTFD_FLAG_PIO,
		.matches_data = args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH,
		.fd = args->fd,
	};
	const uint32_t known = KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_PIO |
			       KVM_IOEVENTFD_FLAG_DEASSIGN;
	int result;

	if (args->flags & ~known || (args->len > 8 || (args->len && !is_power_of_two(args->len))))
		return -EINVAL;
	if (args->addr + args->len < args->addr || (!args->len && hook.matches_data))
		return -EINVAL;
	if (hook.matches_data)
		hook.data = bits_of(args->datamatch, 0, 8 * args->len);
	lock_take(&vm->slots_lock);
	if (args->flags & KVM_IOEVENTFD_FLAG_DEASSIGN)
		result = deassign_locked(vm, &hook);
	else
		result = assign_locked(vm, &hook);
	lock_drop(&vm->slots_lock);
	return result;
}

/* Removes every zone that lies in `zone`. */
static int uncoalesce_locked(struct vm *vm, const struct kvm_coalesced_mmio_zone *zone)
{
	for (uint32_t i = 0; vm->hooks && i < vm->hooks->count;) {
		const struct hook *h = &vm->hooks->hook[i];
		int error;

		if (h->event || h->is_port != !!zone->pio || h->address < zone->addr ||
		    h->address + h->bytes > zone->addr + zone->size) {
			i++;
			continue;
		}
		error = remove_locked(vm, i);
		if (error)
			return error;
	}
	return 0;
}

int hooks_coalesce(struct vm *vm, const struct kvm_coalesced_mmio_zone *zone, bool is_on)
{
	struct hook hook = { .address = zone->addr, .bytes = zone->size, .is_port = zone->pio };
	int result;

	if (zone->pio > 1)
		return -EINVAL;
	lock_take(&vm->slots_lock);
	result = is_on ? add_locked(vm, &hook) : uncoalesce_locked(vm, zone);
	lock_drop(&vm->slots_lock);
	return result;
}

void hooks_free(struct vm *vm)
{
	for (uint32_t i = 0; vm->hooks && i < vm->hooks->count; i++)
		port_event_put(vm->hooks->hook[i].event);
	port_free(vm->hooks);
}
