/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Guest memory accesses that the inline fast path in mmu.h leaves to us: TLB misses, page
 * crossings, MMIO, wide operands, and accesses with other rights than the current ones.
 *
 * Both pages of an access are translated (and may fault) before anything is read or written.
 *
 * Manual: SDM 3, 4.6 and 8.1 (locked operations), 6.15 (#AC).
 * Not modelled: a locked access that crosses a cache line, or hits MMIO, is atomic only against
 * others of that kind. #AC looks at accesses of 2, 4 and 8 bytes.
 */
#include "engine/decode/ops.h"
#include "engine/interp/address.h"
#include "engine/mmu/internal.h"
#include "engine/mmu/io.h"
#include "engine/sys/sys.h"
#include "engine/unwind.h"

/* A contiguous part of an access. */
struct piece {
	struct place place;
	unsigned size;
};

struct span {
	struct piece piece[MAX_PIECES];
	unsigned count;
};

/* #GP, or #SS if the stack was meant. */
NORETURN static void raise_not_canonical(struct vcpu *c, enum access access)
{
	const struct insn *i = c->can_unwind ? c->insn : NULL;
	bool is_stack = false;

	/* With a memory operand PUSH and CALL read that and write to the stack, POP the other way. */
	if (i && op_info(i->op)->flags & OP_STACK)
		is_stack = !insn_has_memory(i) || i->seg == SS ||
			   (access == ACCESS_WRITE) != !!(op_info(i->op)->rm & FIELD_WRITTEN);
	else if (i)
		is_stack = insn_has_memory(i) && i->seg == SS;
	if (is_stack)
		raise_fault_code(c, EXC_SS, 0);
	raise_gp(c);
}

/* `address` as the bus sees it: 64 bits, or the low 32. */
static gva_t linear(struct vcpu *c, gva_t address, enum access access, bool as_64_bits)
{
	if (!as_64_bits)
		return (uint32_t)address;
	if (!address_is_canonical(c, address))
		raise_not_canonical(c, access);
	return address;
}

static void resolve(struct vcpu *c, enum tlb_view view, gva_t address, unsigned size,
		    enum access access, bool as_64_bits, struct span *span)
{
	unsigned first = (unsigned)MIN(size, PAGE_BYTES - (address & ~PAGE_MASK));

	gva_t behind = first == size ? 0 : linear(c, address + first, access, as_64_bits);

	span->count = 1;
	span->piece[0].size = first;
	address = linear(c, address, access, as_64_bits);
	span->piece[0].place = tlb_resolve(c, view, address, first, access);
	if (likely(first == size))
		return;
	span->count = 2;
	span->piece[1].size = size - first;
	span->piece[1].place = tlb_resolve(c, view, behind, size - first, access);
}

static void mmio_read_bytes(struct vcpu *c, gpa_t gpa, uint8_t *to, unsigned size)
{
	for (unsigned done = 0, chunk; done < size; done += chunk) {
		chunk = MIN(size - done, 8u);
		store_le(to + done, mmio_read(c, gpa + done, chunk), chunk);
	}
}

static void mmio_write_bytes(struct vcpu *c, gpa_t gpa, const uint8_t *from, unsigned size)
{
	for (unsigned done = 0, chunk; done < size; done += chunk) {
		chunk = MIN(size - done, 8u);
		mmio_write(c, gpa + done, chunk, load_le(from + done, chunk));
	}
}

static void span_read(struct vcpu *c, const struct span *span, uint8_t *to)
{
	for (unsigned i = 0; i < span->count; i++) {
		const struct piece *p = &span->piece[i];

		if (p->place.host)
			memcpy(to, p->place.host, p->size);
		else
			mmio_read_bytes(c, p->place.gpa, to, p->size);
		to += p->size;
	}
}

static void span_write(struct vcpu *c, const struct span *span, const uint8_t *from)
{
	for (unsigned i = 0; i < span->count; i++) {
		const struct piece *p = &span->piece[i];

		if (p->place.host)
			memcpy(p->place.host, from, p->size);
		else
			mmio_write_bytes(c, p->place.gpa, from, p->size);
		from += p->size;
	}
}

/* In one host access where the guest's would be one: other vCPUs must not see halves. */
static uint64_t load_whole(const void *from, unsigned size)
{
	switch (size) {
	case 1:
		return __atomic_load_n((const uint8_t *)from, __ATOMIC_RELAXED);
	case 2:
		return load_le16(from);
	case 4:
		return load_le32(from);
	case 8:
		return load_le64(from);
	default:
		return load_le(from, size);
	}
}

static void store_whole(void *to, uint64_t value, unsigned size)
{
	switch (size) {
	case 1:
		*(uint8_t *)to = (uint8_t)value;
		break;
	case 2:
		store_le16(to, (uint16_t)value);
		break;
	case 4:
		store_le32(to, (uint32_t)value);
		break;
	case 8:
		store_le64(to, value);
		break;
	default:
		store_le(to, value, size);
	}
}

static uint64_t read_in_view(struct vcpu *c, enum tlb_view view, gva_t address, unsigned size,
			     bool as_64_bits)
{
	uint8_t bytes[8] = { 0 };
	struct span span;

	resolve(c, view, address, size, ACCESS_READ, as_64_bits, &span);
	if (likely(span.count == 1 && span.piece[0].place.host))
		return load_whole(span.piece[0].place.host, size);
	span_read(c, &span, bytes);
	return load_le64(bytes);
}

static void write_in_view(struct vcpu *c, enum tlb_view view, gva_t address, unsigned size,
			  uint64_t value, bool as_64_bits)
{
	uint8_t bytes[8];
	struct span span;

	resolve(c, view, address, size, ACCESS_WRITE, as_64_bits, &span);
	if (likely(span.count == 1 && span.piece[0].place.host)) {
		store_whole(span.piece[0].place.host, value, size);
		return;
	}
	store_le64(bytes, value);
	span_write(c, &span, bytes);
}

/* Alignment checks and data breakpoints. */
static void look_at(struct vcpu *c, gva_t address, unsigned size, bool is_write)
{
	c->count_slow_accesses++;
	if (c->mode & MODE_ALIGN && size <= 8 && is_power_of_two(size) && address & (size - 1))
		raise_fault_code(c, EXC_AC, 0);
	if (mmu_watches_data(c))
		debug_check_data(c, address, size, is_write);
}

static bool data_is_64_bits(const struct vcpu *c)
{
	return c->mode & MODE_CODE64;
}

uint64_t mem_read_slow(struct vcpu *c, gva_t address, unsigned size)
{
	look_at(c, address, size, false);
	return read_in_view(c, view_now(c), address, size, data_is_64_bits(c));
}

void mem_write_slow(struct vcpu *c, gva_t address, unsigned size, uint64_t value)
{
	look_at(c, address, size, true);
	write_in_view(c, view_now(c), address, size, value, data_is_64_bits(c));
}

void mem_read_bytes(struct vcpu *c, gva_t address, void *to, unsigned size)
{
	const void *host = tlb_read_pointer(c, address, size);
	struct span span;

	if (likely(host)) {
		memcpy(to, host, size);
		return;
	}
	look_at(c, address, size, false);
	resolve(c, view_now(c), address, size, ACCESS_READ, data_is_64_bits(c), &span);
	span_read(c, &span, to);
}

void mem_write_bytes(struct vcpu *c, gva_t address, const void *from, unsigned size)
{
	void *host = tlb_write_pointer(c, address, size);
	struct span span;

	if (likely(host)) {
		memcpy(host, from, size);
		return;
	}
	look_at(c, address, size, true);
	resolve(c, view_now(c), address, size, ACCESS_WRITE, data_is_64_bits(c), &span);
	span_write(c, &span, from);
}

void mem_check_write(struct vcpu *c, gva_t address, unsigned size)
{
	struct span span;

	if (tlb_write_pointer(c, address, size))
		return;
	resolve(c, view_now(c), address, size, ACCESS_WRITE, data_is_64_bits(c), &span);
}

/* Hosts punish locked accesses across cache lines, some with seconds each (split-lock detection). */
static bool crosses_line(gva_t address, unsigned size)
{
	enum { LINE_BYTES = 64 };

	return (address & (LINE_BYTES - 1)) + size > LINE_BYTES;
}

void *mem_rmw_pointer(struct vcpu *c, gva_t address, unsigned size)
{
	void *host = tlb_write_pointer(c, address, size);
	struct span span;

	if (unlikely(!host)) {
		look_at(c, address, size, true);
		resolve(c, view_now(c), address, size, ACCESS_WRITE, data_is_64_bits(c), &span);
		host = span.count == 1 ? span.piece[0].place.host : NULL;
	}
	return crosses_line(address, size) ? NULL : host;
}

void *mem_span(struct vcpu *c, gva_t address, enum access access, unsigned *bytes)
{
	struct place place;

	if (c->mode & MODE_ALIGN || mmu_watches_data(c))
		return NULL;
	address = linear(c, address, access, data_is_64_bits(c));
	*bytes = (unsigned)(PAGE_BYTES - (address & ~PAGE_MASK));
	place = tlb_resolve(c, view_now(c), address, *bytes, access);
	return place.host;
}

void split_lock(struct vcpu *c)
{
	lock_take(&c->vm->split_lock);
	c->split_held = true;
}

void split_unlock(struct vcpu *c)
{
	if (!c->split_held)
		return;
	c->split_held = false;
	lock_drop(&c->vm->split_lock);
}

uint64_t mem_read_system(struct vcpu *c, gva_t address, unsigned size)
{
	return read_in_view(c, view_of_system(c), address, size, in_long_mode(c));
}

void mem_write_system(struct vcpu *c, gva_t address, unsigned size, uint64_t value)
{
	write_in_view(c, view_of_system(c), address, size, value, in_long_mode(c));
}

/* Stacks of another privilege level are explicit accesses of that level: AC counts. */
static enum tlb_view view_of_cpl(const struct vcpu *c, uint8_t cpl)
{
	if (cpl == 3)
		return VIEW_USER;
	return c->rflags & F_AC ? VIEW_KERNEL_AC : view_of_system(c);
}

uint64_t mem_read_as(struct vcpu *c, uint8_t cpl, gva_t address, unsigned size)
{
	return read_in_view(c, view_of_cpl(c, cpl), address, size, in_long_mode(c));
}

void mem_write_as(struct vcpu *c, uint8_t cpl, gva_t address, unsigned size, uint64_t value)
{
	write_in_view(c, view_of_cpl(c, cpl), address, size, value, in_long_mode(c));
}
