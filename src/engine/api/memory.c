/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Memory slots and their dirty logs, as the VMM sets them.
 *
 * A change builds a new table, publishes it, and waits until no vCPU can use the old one
 * (vm_sync_vcpus); slots_lock serializes changes. vCPUs go on running meanwhile.
 *
 * Manual: the kernel's KVM API document, 4.8 (GET_DIRTY_LOG), 4.35 (SET_USER_MEMORY_REGION), 4.117
 * (CLEAR_DIRTY_LOG), 7.18 (manual protection).
 * Not modelled: the second address space (SMM); the dirty ring; a VMM mapping that is not
 * writable under a writable slot (the guest's write is then a SIGSEGV in the vCPU's thread).
 * A mapping that is not there at all is EFAULT from KVM_RUN at its first use.
 */
#include "engine/api/object.h"

#define MAX_SLOT_PAGES (BIT(31) - 1)
#define MAX_ADDRESS    0x7ffffffff000ull /* of a host process */

typedef struct kvm_userspace_memory_region region;

static uint64_t pages_of(const struct memslot *slot)
{
	return slot->bytes / PAGE_BYTES;
}

static size_t bitmap_bytes(const struct memslot *slot)
{
	return ALIGN_UP(pages_of(slot), 64) / 8;
}

static void slot_free(struct memslot *slot)
{
	port_free_pages(slot->dirty, bitmap_bytes(slot));
	port_free_pages(slot->written, bitmap_bytes(slot));
	port_free_pages(slot->probed, bitmap_bytes(slot));
	port_free_pages(slot->code, pages_of(slot) * sizeof(*slot->code));
}

void memory_free(struct vm *vm)
{
	for (uint32_t i = 0; vm->slots && i < vm->slots->count; i++)
		slot_free(&vm->slots->slot[i]);
	port_free(vm->slots);
}

static struct memslot *slot_by_id(struct memslots *slots, uint32_t id)
{
	for (uint32_t i = 0; i < slots->count; i++)
		if (slots->slot[i].id == id)
			return &slots->slot[i];
	return NULL;
}

static bool region_is_valid(const region *r)
{
	if (r->flags & ~(uint32_t)(KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY))
		return false;
	if (r->slot >> 16 || (uint16_t)r->slot >= KVM_ABI_SLOTS)
		return false;
	if ((r->memory_size | r->guest_phys_addr | r->userspace_addr) & ~PAGE_MASK)
		return false;
	if (r->userspace_addr > MAX_ADDRESS || r->memory_size > MAX_ADDRESS - r->userspace_addr)
		return false;
	return r->guest_phys_addr + r->memory_size >= r->guest_phys_addr &&
	       r->memory_size / PAGE_BYTES <= MAX_SLOT_PAGES;
}

static bool overlaps(const struct memslots *slots, const region *r)
{
	for (uint32_t i = 0; i < slots->count; i++) {
		const struct memslot *slot = &slots->slot[i];

		if (slot->id != r->slot && slot->base < r->guest_phys_addr + r->memory_size &&
		    r->guest_phys_addr < slot->base + slot->bytes)
			return true;
	}
	return false;
}

/* Turns dirty logging on or off in `slot`. Bits start as the manual-protection mode says. */
static int slot_set_logging(struct vm *vm, struct memslot *slot)
{
	if (!(slot->flags & KVM_MEM_LOG_DIRTY_PAGES)) {
		slot->dirty = NULL;
		return 0;
	}
	if (slot->dirty)
		return 0;
	slot->dirty = port_alloc_pages(bitmap_bytes(slot));
	if (!slot->dirty)
		return -ENOMEM;
	if (vm->enabled_caps & ENABLED_INITIALLY_SET)
		for (uint64_t page = 0; page < pages_of(slot); page++)
			slot->dirty[page / 64] |= BIT(page % 64);
	return 0;
}

static int slot_init(struct vm *vm, struct memslot *slot, const region *r)
{
	*slot = (struct memslot){
		.id = r->slot,
		.flags = r->flags,
		.base = r->guest_phys_addr,
		.bytes = r->memory_size,
		.host = (uint8_t *)(uintptr_t)r->userspace_addr,
	};
	slot->code = port_alloc_pages(pages_of(slot) * sizeof(*slot->code));
	slot->written = port_alloc_pages(bitmap_bytes(slot));
	slot->probed = port_alloc_pages(bitmap_bytes(slot));
	if (slot->code && slot->written && slot->probed && !slot_set_logging(vm, slot))
		return 0;
	slot_free(slot);
	return -ENOMEM;
}

static void sort(struct memslots *slots)
{
	for (uint32_t i = 1; i < slots->count; i++) {
		struct memslot moving = slots->slot[i];
		uint32_t to = i;

		for (; to && slots->slot[to - 1].base > moving.base; to--)
			slots->slot[to] = slots->slot[to - 1];
		slots->slot[to] = moving;
	}
}

/* Changes `slots`, a copy. What is to be freed once nobody uses the old table is left in *gone. */
static int change(struct vm *vm, struct memslots *slots, const region *r, struct memslot *gone)
{
	struct memslot *slot = slot_by_id(slots, r->slot);
	struct memslot old;
	int error;

	if (!r->memory_size) {
		if (!slot)
			return -EINVAL;
		*gone = *slot;
		*slot = slots->slot[--slots->count];
		return 0;
	}
	if (slot && (slot->bytes != r->memory_size || slot->host != (void *)(uintptr_t)r->userspace_addr ||
		     (slot->flags ^ r->flags) & KVM_MEM_READONLY))
		return -EINVAL;
	if ((!slot || slot->base != r->guest_phys_addr) && overlaps(slots, r))
		return -EEXIST;
	if (!slot)
		return slot_init(vm, &slots->slot[slots->count++], r);
	old = *slot;
	slot->flags = r->flags;
	if (slot->base != r->guest_phys_addr) { /* moved: decoded code and all go with the old place */
		error = slot_init(vm, slot, r);
		*gone = old;
		return error;
	}
	error = slot_set_logging(vm, slot);
	if (old.dirty != slot->dirty && !slot->dirty)
		*gone = (struct memslot){ .bytes = old.bytes, .dirty = old.dirty };
	return error;
}

/* By the addresses it is at in this process; and the guest may write to it. */
static bool share_memory(const struct memslots *slots)
{
	for (uint32_t i = 0; i < slots->count; i++) {
		const struct memslot *a = &slots->slot[i];

		for (uint32_t k = 0; k < i; k++) {
			const struct memslot *b = &slots->slot[k];

			if (a->host < b->host + b->bytes && b->host < a->host + a->bytes &&
			    !(a->flags & b->flags & KVM_MEM_READONLY))
				return true;
		}
	}
	return false;
}

/* Has code ever been decoded from it? Its numbers tell, once no vCPU knows the slot any more. */
static bool had_code(const struct memslot *slot)
{
	uint64_t pages = slot->code ? slot->bytes / PAGE_BYTES : 0;

	for (uint64_t page = 0; page < pages; page++)
		if (slot->code[page])
			return true;
	return false;
}

long vm_set_memory(struct vm *vm, const struct call *call, void *data)
{
	const region *r = data;
	struct memslots *old, *new;
	struct memslot gone = { 0 };
	int error;

	if (!region_is_valid(r))
		return -EINVAL;
	new = port_alloc(sizeof(*new));
	if (!new)
		return -ENOMEM;
	lock_take(&vm->slots_lock);
	old = vm->slots;
	*new = *old;
	error = change(vm, new, r, &gone);
	if (!error) {
		sort(new);
		new->changes++;
		new->share_memory = vm->writes && share_memory(new);
		__atomic_store_n(&vm->slots, new, __ATOMIC_SEQ_CST);
		vm_sync_vcpus(vm, NULL);
		if (had_code(&gone))
			vm_sync_code(vm);
		slot_free(&gone);
	}
	lock_drop(&vm->slots_lock);
	port_free(error ? new : old);
	return error;
}

/* The logged slot, or NULL. */
static struct memslot *logged_slot(struct vm *vm, uint32_t id)
{
	struct memslot *slot = slot_by_id(vm->slots, id);

	return slot && slot->dirty ? slot : NULL;
}

static long get_dirty_log_locked(struct vm *vm, const struct kvm_dirty_log *log)
{
	struct memslot *slot = logged_slot(vm, log->slot);
	bool keep = vm->enabled_caps & ENABLED_MANUAL_PROTECT;
	uint64_t *copy;
	long result;

	if (!slot)
		return -ENOENT;
	copy = port_alloc_pages(bitmap_bytes(slot));
	if (!copy)
		return -ENOMEM;
	for (size_t i = 0; i < bitmap_bytes(slot) / 8; i++) {
		if (!__atomic_load_n(&slot->dirty[i], __ATOMIC_RELAXED))
			continue;
		copy[i] = keep ? __atomic_load_n(&slot->dirty[i], __ATOMIC_SEQ_CST)
			       : __atomic_exchange_n(&slot->dirty[i], 0, __ATOMIC_SEQ_CST);
	}
	if (!keep)
		vm_sync_vcpus(vm, NULL); /* the next write of each page sets its bit again */
	result = port_copy(log->dirty_bitmap, copy, bitmap_bytes(slot));
	port_free_pages(copy, bitmap_bytes(slot));
	return result;
}

long vm_get_dirty_log(struct vm *vm, const struct call *call, void *data)
{
	const struct kvm_dirty_log *log = data;
	long result;

	if (log->slot >> 16 || (uint16_t)log->slot >= KVM_ABI_SLOTS)
		return -EINVAL;
	lock_take(&vm->slots_lock);
	result = get_dirty_log_locked(vm, log);
	lock_drop(&vm->slots_lock);
	return result;
}

static long clear_dirty_log_locked(struct vm *vm, const struct kvm_clear_dirty_log *log)
{
	struct memslot *slot = logged_slot(vm, log->slot);
	uint64_t pages, *bits;
	size_t words = ALIGN_UP(log->num_pages, 64) / 64;

	if (!slot)
		return -ENOENT;
	pages = pages_of(slot);
	if (log->first_page > pages || log->num_pages > pages - log->first_page ||
	    (log->num_pages & 63 && log->num_pages < pages - log->first_page))
		return -EINVAL;
	bits = port_alloc_pages(words * 8);
	if (!bits)
		return -ENOMEM;
	if (port_copy(bits, log->dirty_bitmap, words * 8)) {
		port_free_pages(bits, words * 8);
		return -EFAULT;
	}
	for (size_t i = 0; i < words; i++)
		if (bits[i])
			__atomic_fetch_and(&slot->dirty[log->first_page / 64 + i], ~bits[i],
					   __ATOMIC_SEQ_CST);
	port_free_pages(bits, words * 8);
	vm_sync_vcpus(vm, NULL);
	return 0;
}

long vm_clear_dirty_log(struct vm *vm, const struct call *call, void *data)
{
	const struct kvm_clear_dirty_log *log = data;
	long result;

	if (!(vm->enabled_caps & ENABLED_MANUAL_PROTECT))
		return -ENXIO;
	if (log->slot >> 16 || (uint16_t)log->slot >= KVM_ABI_SLOTS || log->first_page & 63)
		return -EINVAL;
	lock_take(&vm->slots_lock);
	result = clear_dirty_log_locked(vm, log);
	lock_drop(&vm->slots_lock);
	return result;
}
