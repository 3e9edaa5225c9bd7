/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Memory slots as vCPUs use them: lookup, waiting until nobody uses old ones, and the record of
 * which pages were written (dirty log) or hold decoded code.
 *
 * Decoded code and stores. A vCPU that gets a write translation first sets the page's bit in
 * `written`, then looks at `code`. One that wants to decode first makes `code` odd, then looks at
 * `written`, and if the bit is set waits until every vCPU has dropped its translations. So either
 * the writer sees the odd number (and adds one: the blocks are stale), or the decoder waits for it.
 *
 * Not modelled: stores by the VMM itself (device DMA) are not seen here. interp/ compares decoded
 * bytes with memory after flushes of translations.
 */
#include "engine/interp/interp.h"
#include "engine/mmu/internal.h"

#include <errno.h>

const struct memslot *memslot_find(const struct memslots *slots, gpa_t gpa)
{
	uint32_t low = 0, high = slots->count;

	while (low < high) {
		uint32_t middle = (low + high) / 2;
		const struct memslot *slot = &slots->slot[middle];

		if (gpa < slot->base)
			high = middle;
		else if (gpa - slot->base >= slot->bytes)
			low = middle + 1;
		else
			return slot;
	}
	return NULL;
}

static bool bitmap_test(const uint64_t *bitmap, uint64_t bit)
{
	return __atomic_load_n(&bitmap[bit / 64], __ATOMIC_SEQ_CST) >> bit % 64 & 1;
}

static void bitmap_set(uint64_t *bitmap, uint64_t bit)
{
	if (!bitmap_test(bitmap, bit))
		__atomic_fetch_or(&bitmap[bit / 64], BIT(bit % 64), __ATOMIC_SEQ_CST);
}

static bool bitmap_test_and_clear(uint64_t *bitmap, uint64_t bit)
{
	return bitmap_test(bitmap, bit) &&
	       __atomic_fetch_and(&bitmap[bit / 64], ~BIT(bit % 64), __ATOMIC_SEQ_CST) >>
			       bit % 64 & 1;
}

/* True if the number was odd: blocks of the page have become stale. */
static bool code_becomes_stale(uint32_t *code)
{
	uint32_t number = __atomic_load_n(code, __ATOMIC_SEQ_CST);

	while (number & 1)
		if (__atomic_compare_exchange_n(code, &number, number + 1, false, __ATOMIC_SEQ_CST,
						__ATOMIC_SEQ_CST))
			return true;
	return false;
}

/* Translated code does not look at the number between blocks of one page. */
static bool code_written(struct vm *vm, uint32_t *code)
{
	uint32_t count = __atomic_load_n(&vm->vcpu_count, __ATOMIC_SEQ_CST);

	if (likely(!code_becomes_stale(code)))
		return false;
	__atomic_fetch_add(&vm->code_changes, 1, __ATOMIC_SEQ_CST);
	for (uint32_t i = 0; i < count; i++)
		vcpu_kick(vm->vcpu[i]);
	return true;
}

bool slot_note_write(struct vcpu *c, const struct memslot *slot, uint64_t offset, unsigned bytes)
{
	uint64_t page = offset / PAGE_BYTES;

	if (slot->dirty)
		bitmap_set(slot->dirty, page);
	if (__atomic_load_n(&slot->code[page], __ATOMIC_SEQ_CST) & 1 &&
	    __atomic_load_n(&c->vm->vcpu_count, __ATOMIC_SEQ_CST) == 1 &&
	    !interp_needs_to_know(c, slot->base + offset, bytes))
		return false;
	bitmap_set(slot->written, page);
	if (code_written(c->vm, &slot->code[page])) {
		c->count_code_writes++;
		interp_stop_after(c);
	}
	return true;
}

bool slot_may_write(const struct memslot *slot, uint64_t page)
{
	if (slot->dirty || slot->flags & KVM_MEM_READONLY)
		return false;
	bitmap_set(slot->written, page);
	return !(__atomic_load_n(&slot->code[page], __ATOMIC_SEQ_CST) & 1);
}

bool slot_has_page(const struct memslot *slot, uint64_t page)
{
	uint8_t byte;

	if (likely(bitmap_test(slot->probed, page)))
		return true;
	if (port_copy(&byte, slot->host + page * PAGE_BYTES, 1))
		return false;
	bitmap_set(slot->probed, page);
	return true;
}

void slot_probe(struct vcpu *c, const struct memslot *slot, uint64_t page)
{
	if (slot_has_page(slot, page))
		return;
	c->run->exit_reason = KVM_EXIT_UNKNOWN;
	c->run_result = -EFAULT;
	c->exit_ready = true;
	unwind_exit(c);
}

/* Answers a wait for us while we wait for others. True: our translations are gone. */
static bool acknowledge(struct vcpu *self)
{
	if (!self ||
	    !(__atomic_load_n(&self->requests, __ATOMIC_SEQ_CST) & REQUEST_TLB_FLUSH))
		return false;
	tlb_flush_all(self);
	__atomic_fetch_and(&self->requests, ~(uint32_t)REQUEST_TLB_FLUSH, __ATOMIC_SEQ_CST);
	return true;
}

static void request_of(struct vcpu *c, uint32_t bits)
{
	__atomic_fetch_or(&c->requests, bits, __ATOMIC_SEQ_CST);
	vcpu_kick(c);
}

/* Asks every other vCPU to do `bits`, and waits until each has or is outside. */
static bool sync_vcpus(struct vm *vm, struct vcpu *self, uint32_t bits)
{
	uint32_t count = __atomic_load_n(&vm->vcpu_count, __ATOMIC_SEQ_CST);
	bool acknowledged = false;

	for (uint32_t i = 0; i < count; i++)
		if (vm->vcpu[i] != self)
			request_of(vm->vcpu[i], bits);
	for (uint32_t i = 0; i < count; i++) {
		struct vcpu *c = vm->vcpu[i];

		for (unsigned turns = 0;
		     c != self && __atomic_load_n(&c->running, __ATOMIC_SEQ_CST) &&
		     __atomic_load_n(&c->requests, __ATOMIC_SEQ_CST) & bits;
		     turns++) {
			acknowledged |= acknowledge(self);
			if (turns < 64)
				port_relax();
			else
				port_yield();
		}
	}
	return acknowledged;
}

void vm_sync_vcpus(struct vm *vm, struct vcpu *self)
{
	sync_vcpus(vm, self, REQUEST_TLB_FLUSH);
	if (self)
		tlb_flush_all(self);
}

void vm_sync_code(struct vm *vm)
{
	sync_vcpus(vm, NULL, REQUEST_TLB_FLUSH | REQUEST_CODE_FLUSH);
}

uint32_t mmu_watch_code(struct vcpu *c, gpa_t gpa, uint32_t *page_code)
{
	struct vm *vm = c->vm;
	const struct memslots *slots = __atomic_load_n(&vm->slots, __ATOMIC_ACQUIRE);
	const struct memslot *slot = memslot_find(slots, gpa);
	uint32_t number = __atomic_load_n(page_code, __ATOMIC_SEQ_CST);
	bool acknowledged = false, must_wait;
	uint64_t page;

	if (!slot)
		unwind_restart(c);
	page = (gpa - slot->base) / PAGE_BYTES;
	if (number & 1 && !__atomic_load_n(&vm->code_syncs, __ATOMIC_SEQ_CST))
		return number;
	__atomic_fetch_add(&vm->code_syncs, 1, __ATOMIC_SEQ_CST);
	must_wait = number & 1; /* another vCPU made it odd and may be waiting still */
	while (!(number & 1) &&
	       !__atomic_compare_exchange_n(page_code, &number, number + 1, false, __ATOMIC_SEQ_CST,
					    __ATOMIC_SEQ_CST))
		;
	number |= 1;
	if (bitmap_test_and_clear(slot->written, page) || must_wait) {
		tlb_drop_writes(c, slot->host + page * PAGE_BYTES);
		acknowledged = sync_vcpus(vm, c, REQUEST_TLB_FLUSH);
	}
	__atomic_fetch_sub(&vm->code_syncs, 1, __ATOMIC_SEQ_CST);
	if (acknowledged)
		unwind_restart(c);
	return number;
}

/* The slot around `gpa` and how many of `bytes` lie in its page there. */
static const struct memslot *slot_piece(struct vm *vm, gpa_t gpa, size_t bytes, size_t *piece)
{
	*piece = MIN(bytes, PAGE_BYTES - (gpa & ~PAGE_MASK));
	return memslot_find(__atomic_load_n(&vm->slots, __ATOMIC_ACQUIRE), gpa);
}

/* Directly once the page is known to be there. */
static int piece_copy(const struct memslot *slot, gpa_t gpa, void *to, const void *from,
		      size_t bytes)
{
	uint64_t page = (gpa - slot->base) / PAGE_BYTES;

	if (!bitmap_test(slot->probed, page))
		return port_copy(to, from, bytes);
	memcpy(to, from, bytes);
	return 0;
}

int gpa_read(struct vm *vm, gpa_t gpa, void *to, size_t bytes)
{
	for (uint8_t *at = to; bytes;) {
		size_t piece;
		const struct memslot *slot = slot_piece(vm, gpa, bytes, &piece);

		if (!slot || piece_copy(slot, gpa, at, slot->host + (gpa - slot->base), piece))
			return -EFAULT;
		at += piece;
		gpa += piece;
		bytes -= piece;
	}
	return 0;
}

int gpa_write(struct vm *vm, gpa_t gpa, const void *from, size_t bytes)
{
	for (const uint8_t *at = from; bytes;) {
		size_t piece;
		const struct memslot *slot = slot_piece(vm, gpa, bytes, &piece);
		uint64_t page = slot ? (gpa - slot->base) / PAGE_BYTES : 0;

		if (!slot || slot->flags & KVM_MEM_READONLY)
			return -EFAULT;
		if (slot->dirty)
			bitmap_set(slot->dirty, page);
		if (piece_copy(slot, gpa, slot->host + (gpa - slot->base), at, piece))
			return -EFAULT;
		code_written(vm, &slot->code[page]); /* after: who decodes meanwhile is stale too */
		at += piece;
		gpa += piece;
		bytes -= piece;
	}
	return 0;
}

int gpa_exchange(struct vm *vm, gpa_t gpa, uint8_t value)
{
	const struct memslot *slot;
	uint8_t before;
	uint64_t page;

	if (gpa_read(vm, gpa, &before, 1)) /* the VMM's mapping is there */
		return -EFAULT;
	slot = memslot_find(__atomic_load_n(&vm->slots, __ATOMIC_ACQUIRE), gpa);
	if (!slot || slot->flags & KVM_MEM_READONLY)
		return -EFAULT;
	page = (gpa - slot->base) / PAGE_BYTES;
	if (slot->dirty)
		bitmap_set(slot->dirty, page);
	before = __atomic_exchange_n(slot->host + (gpa - slot->base), value, __ATOMIC_SEQ_CST);
	code_written(vm, &slot->code[page]);
	return before;
}
