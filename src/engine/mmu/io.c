/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Ports and MMIO: what the engine does not answer itself becomes KVM_EXIT_IO or KVM_EXIT_MMIO.
 *
 * Order: the log of the unfinished instruction, the in-engine interrupt chips, ioeventfds and
 * coalesced zones, the VMM. See io.h for how an instruction survives an exit.
 *
 * Manual: the kernel's KVM API document, "5. The kvm_run structure".
 * Not modelled: an instruction with more than 16 such accesses (FXSAVE to MMIO) fails as an
 * emulation failure.
 */
#include "base/bytes.h"
#include "engine/api/hooks.h"
#include "engine/interp/interp.h"
#include "engine/irqchip/irqchip.h"
#include "engine/mmu/io.h"
#include "engine/sys/sys.h"

static struct io_entry *log_next(struct vcpu *c)
{
	if (c->io_done == IO_LOG_ENTRIES)
		unwind_emulation_failure(c, "too many I/O accesses in one instruction");
	return &c->io_log[c->io_done];
}

/* What a previous execution of this instruction did here; NULL when it is new. */
static const struct io_entry *replay(struct vcpu *c)
{
	return c->io_next < c->io_done ? &c->io_log[c->io_next++] : NULL;
}

static void log_access(struct vcpu *c, struct io_entry entry)
{
	*log_next(c) = entry;
	c->io_done++;
	c->io_next = c->io_done;
	interp_stop_after(c);
}

/* The answer will be there when the instruction is executed again. */
NORETURN static void wait_for_vmm(struct vcpu *c, struct io_entry entry)
{
	*log_next(c) = entry;
	c->io_waiting = true;
	c->exit_ready = true;
	unwind_exit(c);
}

static void *pio_page(struct vcpu *c)
{
	return (uint8_t *)c->run + KVM_ABI_PIO_PAGE * PAGE_BYTES;
}

static void fill_mmio(struct vcpu *c, gpa_t gpa, unsigned size, bool is_write, uint64_t value)
{
	c->run->exit_reason = KVM_EXIT_MMIO;
	c->run->mmio.phys_addr = gpa;
	c->run->mmio.len = size;
	c->run->mmio.is_write = is_write;
	store_le64(c->run->mmio.data, value);
}

static void fill_port(struct vcpu *c, uint16_t port, unsigned size, bool is_write, unsigned count)
{
	c->run->exit_reason = KVM_EXIT_IO;
	c->run->io.direction = is_write ? KVM_EXIT_IO_OUT : KVM_EXIT_IO_IN;
	c->run->io.size = (uint8_t)size;
	c->run->io.port = port;
	c->run->io.count = count;
	c->run->io.data_offset = KVM_ABI_PIO_PAGE * PAGE_BYTES;
}

uint64_t mmio_read(struct vcpu *c, gpa_t gpa, unsigned size)
{
	const struct io_entry *done = replay(c);
	struct io_entry entry = { .address = gpa, .size = (uint8_t)size };

	if (done)
		return done->value;
	if (c->exit_ready)
		unwind_exit(c);
	if (irqchip_mmio_read(c, gpa, size, &entry.value)) {
		log_access(c, entry);
		return entry.value;
	}
	fill_mmio(c, gpa, size, false, 0);
	wait_for_vmm(c, entry);
}

void mmio_write(struct vcpu *c, gpa_t gpa, unsigned size, uint64_t value)
{
	struct io_entry entry = { .address = gpa, .value = value, .size = (uint8_t)size,
				  .is_write = true };

	if (replay(c))
		return;
	if (c->exit_ready)
		unwind_exit(c);
	if (!irqchip_mmio_write(c, gpa, size, value) && !hooks_take_write(c, false, gpa, size, value)) {
		fill_mmio(c, gpa, size, true, value);
		c->exit_ready = true;
	}
	log_access(c, entry);
}

uint32_t port_read(struct vcpu *c, uint16_t port, unsigned size)
{
	const struct io_entry *done = replay(c);
	struct io_entry entry = { .address = port, .size = (uint8_t)size, .is_port = true };
	uint32_t value;

	if (done)
		return (uint32_t)done->value;
	if (c->exit_ready)
		unwind_exit(c);
	if (irqchip_port_read(c, port, size, &value)) {
		entry.value = value;
		log_access(c, entry);
		return value;
	}
	fill_port(c, port, size, false, 1);
	wait_for_vmm(c, entry);
}

/* True if nobody but the VMM wants it. */
static bool port_write_is_for_vmm(struct vcpu *c, uint16_t port, unsigned size, uint32_t value)
{
	return !irqchip_port_write(c, port, size, value) &&
	       !hooks_take_write(c, true, port, size, value);
}

void port_write(struct vcpu *c, uint16_t port, unsigned size, uint32_t value)
{
	struct io_entry entry = { .address = port, .value = value, .size = (uint8_t)size,
				  .is_write = true, .is_port = true };

	if (replay(c))
		return;
	if (c->exit_ready)
		unwind_exit(c);
	if (port_write_is_for_vmm(c, port, size, value)) {
		fill_port(c, port, size, true, 1);
		store_le(pio_page(c), value, size);
		c->exit_ready = true;
	}
	log_access(c, entry);
}

unsigned port_read_many(struct vcpu *c, uint16_t port, unsigned size, void *to, unsigned count)
{
	unsigned ready = MIN(c->ports_ready, count);
	uint32_t value;

	if (ready) {
		memcpy(to, pio_page(c), (size_t)ready * size);
		c->ports_ready = 0;
		interp_stop_after(c);
		return ready;
	}
	if (c->exit_ready)
		unwind_exit(c);
	if (irqchip_port_read(c, port, size, &value)) {
		store_le(to, value, size);
		return 1;
	}
	count = (unsigned)MIN(count, PAGE_BYTES / size);
	fill_port(c, port, size, false, count);
	c->ports_wanted = (uint16_t)count;
	wait_for_vmm(c, (struct io_entry){ .address = port, .size = (uint8_t)size, .is_port = true });
}

unsigned port_write_many(struct vcpu *c, uint16_t port, unsigned size, const void *from,
			 unsigned count)
{
	if (c->exit_ready)
		unwind_exit(c);
	if (!port_write_is_for_vmm(c, port, size, (uint32_t)load_le(from, size)))
		return 1;
	count = (unsigned)MIN(count, PAGE_BYTES / size);
	fill_port(c, port, size, true, count);
	memcpy(pio_page(c), from, (size_t)count * size);
	c->exit_ready = true;
	interp_stop_after(c);
	return count;
}

bool io_complete(struct vcpu *c)
{
	struct io_entry *entry = &c->io_log[c->io_done];

	bool waiting = c->io_waiting;

	if (!waiting && !c->io_done) /* the last exit was behind an instruction */
		return false;
	c->io_waiting = false;
	c->io_next = 0;
	if (c->rip != c->io_rip) { /* the VMM has put the vCPU elsewhere: the access is moot */
		c->ports_wanted = 0;
		io_commit(c);
		return false;
	}
	if (!waiting) /* it was a write that is not the instruction's last access */
		return true;
	if (c->ports_wanted) {
		c->ports_ready = c->ports_wanted;
		c->ports_wanted = 0;
		return true;
	}
	entry->value = load_le(entry->is_port ? pio_page(c) : c->run->mmio.data, entry->size);
	c->io_done++;
	return true;
}
