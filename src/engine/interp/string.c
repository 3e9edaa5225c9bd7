/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * String instructions.
 *
 * Registers are committed after each element (or each run of elements copied at once), so a fault,
 * an exit or an interrupt finds the instruction restartable as the manual wants it. Runs: all but
 * LODS upwards, within a page and the segment's limit on both sides, on plain memory.
 *
 * Manual: SDM 2, REP, MOVS to OUTS.
 */
#include "base/bytes.h"
#include "engine/interp/exec.h"
#include "engine/interp/operand.h"
#include "engine/mmu/io.h"
#include "engine/sys/sys.h"

static bool is_repeated(const struct insn *i)
{
	return i->prefix & (PREFIX_REP | PREFIX_REPNE);
}

static int64_t stride(const struct vcpu *c, const struct insn *i)
{
	return c->rflags & F_DF ? -(int64_t)i->opsize : i->opsize;
}

static ALWAYS_INLINE uint64_t index_read(const struct vcpu *c, const struct insn *i, unsigned n)
{
	return low_bytes(c->gpr[n], i->addrsize);
}

static ALWAYS_INLINE void index_add(struct vcpu *c, const struct insn *i, unsigned n, int64_t by)
{
	reg_write(c, n, i->addrsize, c->gpr[n] + (uint64_t)by);
}

static ALWAYS_INLINE gva_t source(struct vcpu *c, const struct insn *i)
{
	return linear_address(c, i->seg, index_read(c, i, RSI), i->opsize, ACCESS_READ);
}

static ALWAYS_INLINE gva_t destination(struct vcpu *c, const struct insn *i, enum access access)
{
	return linear_address(c, ES, index_read(c, i, RDI), i->opsize, access);
}

/* Somebody wants the vCPU, or I/O was done: leave between two elements. */
static ALWAYS_INLINE bool must_pause(struct vcpu *c)
{
	return unlikely(__atomic_load_n(&c->requests, __ATOMIC_RELAXED) || c->exit_ready ||
			c->io_done || c->mode & MODE_STEP);
}

static void pause_between(struct vcpu *c, const struct insn *i)
{
	debug_between_elements(c);
	return end_block(c, insn_rip(c, i));
}

/* One element done. */
typedef void element_fn(struct vcpu *c, const struct insn *i);

enum until { UNTIL_COUNT, WHILE_ZF };

static ALWAYS_INLINE bool may_go_on(const struct vcpu *c, const struct insn *i, enum until until)
{
	if (until == UNTIL_COUNT)
		return true;
	return flag_zf(c) == !(i->prefix & PREFIX_REPNE);
}

/* How many elements can be done at once, and does them: 0 if the next must go alone. */
typedef uint64_t run_fn(struct vcpu *c, const struct insn *i, uint64_t count);

static ALWAYS_INLINE void repeat(struct vcpu *c, const struct insn *i, element_fn *element,
				 run_fn *run, enum until until)
{
	uint64_t count = index_read(c, i, RCX);

	while (count) {
		uint64_t done = run ? run(c, i, count) : 0;

		if (!done) {
			element(c, i);
			done = 1;
		}
		count -= done;
		index_add(c, i, RCX, -(int64_t)done);
		if (!may_go_on(c, i, until))
			break;
		if (count && must_pause(c))
			return pause_between(c, i);
	}
	return next(c, i);
}

static ALWAYS_INLINE void string_op(struct vcpu *c, const struct insn *i, element_fn *element,
				    run_fn *run, enum until until)
{
	if (is_repeated(i))
		return repeat(c, i, element, run, until);
	element(c, i);
	return next(c, i);
}

static bool runs_possible(const struct vcpu *c)
{
	return !(c->mode & MODE_STEP) && !(c->rflags & F_DF);
}

/* Whole elements from `offset` on before the index wraps around or the segment ends. */
static uint64_t elements_in_segment(const struct vcpu *c, const struct insn *i, unsigned seg,
				    uint64_t offset)
{
	const struct segment *s = &c->seg[seg];
	uint64_t last = i->addrsize == 8 ? ~0ull : i->addrsize == 4 ? 0xffffffff : 0xffff;

	if (!(c->mode & MODE_CODE64)) {
		if ((s->rights & (SEG_CODE | SEG_DOWN)) == SEG_DOWN)
			return 0;
		last = MIN(last, s->limit);
	}
	/* At the very top an element goes alone: 64-bit addresses have no room for a count. */
	return offset > last ? 0 : (last - offset + (i->addrsize == 2)) / i->opsize;
}

/* Of elements that go up from a place, those up to the end of its page. */
static uint64_t elements_in_page(const struct insn *i, gva_t address)
{
	return (PAGE_BYTES - (address & ~PAGE_MASK)) / i->opsize;
}

/*
 * Where the elements at the index register are in the host's memory, and how many of `*count` are
 * there; NULL if the next one must go alone. Faults as that one would.
 */
static uint8_t *run_at(struct vcpu *c, const struct insn *i, unsigned seg, unsigned index,
		       enum access access, uint64_t *count)
{
	uint64_t offset = index_read(c, i, index);
	gva_t address = linear_address(c, seg, offset, i->opsize, access);
	unsigned bytes;

	*count = MIN(*count, elements_in_segment(c, i, seg, offset));
	*count = MIN(*count, elements_in_page(i, address));
	return *count ? mem_span(c, address, access, &bytes) : NULL;
}

static void movs_element(struct vcpu *c, const struct insn *i)
{
	int64_t step = stride(c, i);
	uint64_t value = mem_read(c, source(c, i), i->opsize);

	mem_write(c, destination(c, i, ACCESS_WRITE), i->opsize, value);
	index_add(c, i, RSI, step);
	index_add(c, i, RDI, step);
}

static uint64_t movs_run(struct vcpu *c, const struct insn *i, uint64_t count)
{
	const uint8_t *from;
	uint8_t *to;
	uint64_t bytes;

	if (!runs_possible(c) || count < 4)
		return 0;
	from = run_at(c, i, i->seg, RSI, ACCESS_READ, &count);
	to = from ? run_at(c, i, ES, RDI, ACCESS_WRITE, &count) : NULL;
	if (!to)
		return 0;
	bytes = count * i->opsize;
	if (to > from && to < from + bytes)
		return 0; /* elements written are read again: a pattern fill */
	memmove(to, from, bytes);
	index_add(c, i, RSI, (int64_t)bytes);
	index_add(c, i, RDI, (int64_t)bytes);
	return count;
}

void exec_movs(struct vcpu *c, const struct insn *i)
{
	return string_op(c, i, movs_element, movs_run, UNTIL_COUNT);
}

static void stos_element(struct vcpu *c, const struct insn *i)
{
	mem_write(c, destination(c, i, ACCESS_WRITE), i->opsize, reg_read(c, RAX, i->opsize));
	index_add(c, i, RDI, stride(c, i));
}

/* Whole elements. What is written is not read again: others may write there too. */
static void fill(uint8_t *to, uint64_t value, unsigned size, uint64_t bytes)
{
	static const uint64_t factor[] = { [1] = UINT64_MAX / 0xff, [2] = UINT64_MAX / 0xffff,
					   [4] = UINT64_MAX / 0xffffffff, [8] = 1 };
	uint64_t word = low_bytes(value, size) * factor[size], words[] = { word, word, word, word };
	uint64_t n = 0;

	for (; n + sizeof(words) <= bytes; n += sizeof(words))
		memcpy(to + n, words, sizeof(words));
	memcpy(to + n, words, bytes - n);
}

static uint64_t stos_run(struct vcpu *c, const struct insn *i, uint64_t count)
{
	uint8_t *to;

	if (!runs_possible(c) || count < 4)
		return 0;
	to = run_at(c, i, ES, RDI, ACCESS_WRITE, &count);
	if (!to)
		return 0;
	if (i->opsize == 1 || c->gpr[RAX] == 0)
		memset(to, (uint8_t)c->gpr[RAX], count * i->opsize);
	else
		fill(to, c->gpr[RAX], i->opsize, count * i->opsize);
	index_add(c, i, RDI, (int64_t)(count * i->opsize));
	return count;
}

void exec_stos(struct vcpu *c, const struct insn *i)
{
	return string_op(c, i, stos_element, stos_run, UNTIL_COUNT);
}

static void lods_element(struct vcpu *c, const struct insn *i)
{
	reg_write(c, RAX, i->opsize, mem_read(c, source(c, i), i->opsize));
	index_add(c, i, RSI, stride(c, i));
}

void exec_lods(struct vcpu *c, const struct insn *i)
{
	return string_op(c, i, lods_element, NULL, UNTIL_COUNT);
}

static ALWAYS_INLINE void compare(struct vcpu *c, uint64_t a, uint64_t b, unsigned size)
{
	uint64_t result = a - b;

	flags_set(c, result, (~a & b) | ((~a | b) & result), 8 * size);
}

static void cmps_element(struct vcpu *c, const struct insn *i)
{
	int64_t step = stride(c, i);
	/* Processors fault on ES:rDI first. */
	uint64_t b = mem_read(c, destination(c, i, ACCESS_READ), i->opsize);
	uint64_t a = mem_read(c, source(c, i), i->opsize);

	compare(c, a, b, i->opsize);
	index_add(c, i, RSI, step);
	index_add(c, i, RDI, step);
}

/* How many bytes there are before the first that differ. */
static uint64_t same_bytes(const uint8_t *a, const uint8_t *b, uint64_t count)
{
	uint64_t n = 0;

	for (; n + 8 <= count; n += 8) {
		uint64_t differ = load_le64(a + n) ^ load_le64(b + n);

		if (differ)
			return n + (uint64_t)__builtin_ctzll(differ) / 8;
	}
	while (n < count && a[n] == b[n])
		n++;
	return n;
}

static ALWAYS_INLINE uint64_t until_equal(const uint8_t *a, unsigned step, const uint8_t *b,
					  unsigned size, uint64_t count)
{
	uint64_t n = 0;

	while (n < count - 1 && load_le(a + n * step, size) != load_le(b + n * size, size))
		n++;
	return n + 1;
}

/* What element the comparison stops behind: the first equal one, or the last. `step` is 0 if `a` is a
 * single one. */
static uint64_t find_equal(const uint8_t *a, unsigned step, const uint8_t *b, unsigned size,
			   uint64_t count)
{
	switch (size) {
	case 1:
		return until_equal(a, step, b, 1, count);
	case 2:
		return until_equal(a, step, b, 2, count);
	case 4:
		return until_equal(a, step, b, 4, count);
	default:
		return until_equal(a, step, b, 8, count);
	}
}

static uint64_t cmps_until(const uint8_t *a, const uint8_t *b, unsigned size, uint64_t count,
			   bool equal)
{
	if (equal)
		return find_equal(a, size, b, size, count);
	return MIN(same_bytes(a, b, count * size) / size + 1, count);
}

static uint64_t cmps_run(struct vcpu *c, const struct insn *i, uint64_t count)
{
	unsigned size = i->opsize;
	const uint8_t *a, *b;
	uint64_t last;

	if (!runs_possible(c) || count < 4)
		return 0;
	b = run_at(c, i, ES, RDI, ACCESS_READ, &count); /* processors fault on ES:rDI first */
	a = b ? run_at(c, i, i->seg, RSI, ACCESS_READ, &count) : NULL;
	if (!a)
		return 0;
	count = cmps_until(a, b, size, count, i->prefix & PREFIX_REPNE);
	last = (count - 1) * size;
	compare(c, load_le(a + last, size), load_le(b + last, size), size);
	index_add(c, i, RSI, (int64_t)(count * size));
	index_add(c, i, RDI, (int64_t)(count * size));
	return count;
}

void exec_cmps(struct vcpu *c, const struct insn *i)
{
	return string_op(c, i, cmps_element, cmps_run, WHILE_ZF);
}

static void scas_element(struct vcpu *c, const struct insn *i)
{
	uint64_t b = mem_read(c, destination(c, i, ACCESS_READ), i->opsize);

	compare(c, reg_read(c, RAX, i->opsize), b, i->opsize);
	index_add(c, i, RDI, stride(c, i));
}

static uint64_t scas_until(const uint8_t *at, uint64_t value, unsigned size, uint64_t count,
			   bool equal)
{
	if (size == 1 && equal) {
		const uint8_t *found = memchr(at, (int)value, count);

		return found ? (uint64_t)(found - at) + 1 : count;
	}
	if (equal)
		return find_equal((const uint8_t *)&value, 0, at, size, count);
	if (load_le(at, size) != value)
		return 1;
	/* As long as each is the same as the one before. */
	return MIN(same_bytes(at, at + size, (count - 1) * size) / size + 2, count);
}

static uint64_t scas_run(struct vcpu *c, const struct insn *i, uint64_t count)
{
	uint64_t value = reg_read(c, RAX, i->opsize);
	unsigned size = i->opsize;
	const uint8_t *at;

	if (!runs_possible(c) || count < 4)
		return 0;
	at = run_at(c, i, ES, RDI, ACCESS_READ, &count);
	if (!at)
		return 0;
	count = scas_until(at, value, size, count, i->prefix & PREFIX_REPNE);
	compare(c, value, load_le(at + (count - 1) * size, size), size);
	index_add(c, i, RDI, (int64_t)(count * size));
	return count;
}

void exec_scas(struct vcpu *c, const struct insn *i)
{
	return string_op(c, i, scas_element, scas_run, WHILE_ZF);
}

static uint16_t string_port(struct vcpu *c, const struct insn *i)
{
	uint16_t port = (uint16_t)c->gpr[RDX];

	io_permission_check(c, port, i->opsize);
	if (c->mode & MODE_STEP)
		debug_check_port(c, port, i->opsize);
	return port;
}

/* Elements to ask for in one exit, the first of which is at `address`. */
static unsigned io_run(struct vcpu *c, const struct insn *i, unsigned seg, unsigned index,
		       gva_t address)
{
	uint64_t offset = index_read(c, i, index);
	uint64_t count = is_repeated(i) ? index_read(c, i, RCX) : 1;

	if (c->ports_ready) /* what the VMM was asked for, now also if stepping */
		return c->ports_ready;
	if (!runs_possible(c))
		return 1;
	count = MIN(count, elements_in_segment(c, i, seg, offset));
	count = MIN(count, elements_in_page(i, address));
	return (unsigned)MAX(count, 1);
}

/* `done` elements went through the port. */
static void string_io_done(struct vcpu *c, const struct insn *i, unsigned index, unsigned done)
{
	index_add(c, i, index, stride(c, i) * (int64_t)done);
	if (is_repeated(i)) {
		index_add(c, i, RCX, -(int64_t)done);
		if (index_read(c, i, RCX))
			return pause_between(c, i);
	}
	return next(c, i);
}

void exec_ins(struct vcpu *c, const struct insn *i)
{
	uint8_t buffer[PAGE_BYTES];
	uint16_t port = string_port(c, i);
	unsigned count, room, size = i->opsize;
	gva_t address;

	if (is_repeated(i) && !index_read(c, i, RCX))
		return next(c, i);
	address = destination(c, i, ACCESS_WRITE);
	count = io_run(c, i, ES, RDI, address);
	if (count > 1 && !mem_span(c, address, ACCESS_WRITE, &room))
		count = 1; /* to MMIO */
	mem_check_write(c, address, count * size);
	count = port_read_many(c, port, size, buffer, count);
	mem_write_bytes(c, address, buffer, count * size);
	string_io_done(c, i, RDI, count);
}

void exec_outs(struct vcpu *c, const struct insn *i)
{
	uint8_t buffer[PAGE_BYTES];
	uint16_t port = string_port(c, i);
	unsigned count, room, size = i->opsize;
	gva_t address;

	if (is_repeated(i) && !index_read(c, i, RCX))
		return next(c, i);
	address = source(c, i);
	count = io_run(c, i, i->seg, RSI, address);
	if (count > 1 && !mem_span(c, address, ACCESS_READ, &room))
		count = 1; /* from MMIO */
	mem_read_bytes(c, address, buffer, count * size);
	count = port_write_many(c, port, size, buffer, count);
	string_io_done(c, i, RSI, count);
}
