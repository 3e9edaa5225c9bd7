/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices: what the guest sees on a bus. */
#ifndef CORE_DEV_H
#define CORE_DEV_H

#include "base/bytes.h"
#include "core/field.h"

#define MICROSECOND 1000ull /* guest time is in nanoseconds */
#define MILLISECOND 1000000ull
#define SECOND      1000000000ull

struct dev;
struct board;

struct timer {
	uint64_t deadline; /* guest time; 0: not armed. Saved with the device. */
	void (*fire)(struct dev *dev);
	struct dev *dev;
	struct timer *next;
};

/* Handlers see offsets inside the region and only sizes the region allows. */
struct region {
	const char *name;
	/* Bytes, 1 to 8. The bus splits wider accesses, and widens narrower ones and ones not aligned
	 * to min_size (a narrower write is a read and a write of min_size). */
	unsigned min_size, max_size;
	uint64_t (*read)(struct dev *dev, uint64_t offset, unsigned size);
	void (*write)(struct dev *dev, uint64_t offset, unsigned size, uint64_t value);
};

/*
 * Every operation runs with the device locked, so device code is
 * single-threaded. Only .name, .summary, .size and .attach are required.
 */
struct dev_class {
	const char *name;       /* as in -device and QMP */
	const char *alias;      /* a second name users know, or NULL */
	const char *summary;    /* one line of help */
	size_t size;            /* of the instance, whose first member is struct dev */
	uint32_t state_version; /* raise when a STATE row is added */
	const struct field *fields;
	const struct bus_class *bus; /* NULL: the board itself (ISA); &pci_bus_class, ... */
	const char *plugs_into; /* for help: where, if that is no bus_class and not ISA */
	bool board_only;        /* wired by the board, not for -device */

	/* Settings are in place. Claim regions, lines and timers; a failure
	 * needs no clean-up, whatever was claimed is released by the core. */
	int (*attach)(struct dev *dev, struct err *err);
	void (*reset)(struct dev *dev);
	/* State rows are loaded and in range. Check how they fit together and
	 * rebuild what is derived from them. */
	int (*restored)(struct dev *dev, struct err *err);
	void (*detach)(struct dev *dev); /* free what attach allocated itself */
};

const char *dev_class_bus_name(const struct dev_class *class); /* for people */

/*
 * A kind of bus. Its devices embed a struct that begins with struct dev; `prepare` runs before the
 * class's attach (assign a slot, register configuration space), `release` after its detach.
 * `fields` are state and settings every device on this bus has (addr=, ...).
 */
struct bus_class {
	const char *name;
	const struct bus_class *parent; /* its fields and hooks come first (release: last), or NULL */
	const struct field *fields;
	int (*prepare)(struct dev *dev, struct err *err);
	void (*reset)(struct dev *dev);
	int (*restored)(struct dev *dev, struct err *err);
	void (*release)(struct dev *dev);
};

struct claim;

struct dev {
	const struct dev_class *class;
	struct board *board;
	char *id; /* -device id=, or made up by the board; never NULL */
	struct timer *timers;
	struct claim *claims;
	uint64_t lines_high; /* GSIs this device drives high, a bit each */
	uint64_t guest_errors;
	bool attached;
	struct dev *next; /* all devices of a board, in order of attachment */
};

/* Regions. Released when the device goes; a port or address somebody has is an error. */
int claim_ports(struct dev *dev, const struct region *region, uint16_t base, uint32_t count,
		struct err *err);
int claim_mmio(struct dev *dev, const struct region *region, uint64_t gpa, uint64_t size,
	       struct err *err);
/* A claim inside an earlier, larger one lies over it (VGA window over RAM is the memory map's
 * business). An access goes whole to the claim at its first byte if that claim holds all of it. */
void release_ports(struct dev *dev, const struct region *region);
void release_mmio(struct dev *dev, const struct region *region);

void claim_timer(struct dev *dev, struct timer *timer, void (*fire)(struct dev *dev));
void timer_arm(struct timer *timer, uint64_t deadline);
void timer_stop(struct timer *timer);
uint64_t dev_now(const struct dev *dev);       /* guest time since power-on; stands while stopped */
int64_t dev_wall_clock(const struct dev *dev); /* seconds since 1970, UTC, as -rtc says */
void dev_random(struct dev *dev, void *to, size_t bytes);

/* Interrupt lines of the board: GSI numbers, 0-15 are the ISA IRQs. Level as the pin is driven. */
void irq_set(struct dev *dev, unsigned gsi, bool level);
static inline void irq_pulse(struct dev *dev, unsigned gsi)
{
	irq_set(dev, gsi, true);
	irq_set(dev, gsi, false);
}
/* A message to the local APICs. */
void msi_send(struct dev *dev, uint64_t address, uint32_t data);

/*
 * Guest memory, by copy. Only RAM and ROM: an address that is a device's own is refused (-EFAULT,
 * counted as the guest's error), so no device can be re-entered through DMA.
 */
int dma_read(struct dev *dev, uint64_t gpa, void *to, size_t bytes);
int dma_write(struct dev *dev, uint64_t gpa, const void *from, size_t bytes);
/* In place: a host pointer for up to *bytes from gpa (shortened to what is contiguous), or NULL.
 * Good until dma_unmap, which whoever may have written calls before the guest is told; readers need not
 * if their handler returns first. The guest may change it at any time: read once, check, then use the copy. */
void *dma_map(struct dev *dev, uint64_t gpa, size_t *bytes, bool will_write);
void dma_unmap(struct dev *dev, void *host, size_t bytes, bool wrote);

/*
 * ISA DMA: the controller claims it, devices with a channel move bytes through it as the guest has
 * programmed the channel. Returns how many bytes went (fewer at the terminal count, 0 while the
 * channel is masked or set the other way); *terminal: the channel has reached its count.
 */
struct isa_dma {
	size_t (*transfer)(struct dev *controller, unsigned channel, void *buffer, size_t bytes,
			   bool to_memory, bool *terminal);
};
void isa_dma_claim(struct dev *controller, const struct isa_dma *dma);
size_t isa_dma_to_memory(struct dev *dev, unsigned channel, const void *from, size_t bytes,
			 bool *terminal);
size_t isa_dma_from_memory(struct dev *dev, unsigned channel, void *to, size_t bytes,
			   bool *terminal);
/* `ready` is called when the guest has unmasked the channel; NULL: no longer. */
void isa_dma_watch(struct dev *dev, unsigned channel, void (*ready)(struct dev *dev));
void isa_dma_ready(struct dev *controller, unsigned channel); /* the controller says so */

/*
 * Interrupt controllers among the devices (kernel-irqchip=split). On a board that has one, lines go
 * to `line` of each, and not to KVM. `acknowledge` is for the one with an INTR output, that calls
 * irq_chip_intr: the processor takes an interrupt and wants its vector. `eoi`: a local APIC is done
 * with a level-triggered vector that a route names. Each may be NULL.
 */
struct irq_chip {
	void (*line)(struct dev *dev, unsigned gsi, bool level);
	uint8_t (*acknowledge)(struct dev *dev);
	void (*eoi)(struct dev *dev, uint8_t vector);
};
void irq_chip_claim(struct dev *dev, const struct irq_chip *chip);
void irq_chip_intr(struct dev *dev, bool high);
/* What the IOAPIC's pin (0-23) sends by msi_send, as soon as it is known. */
void irq_chip_route(struct dev *dev, unsigned pin, uint64_t address, uint32_t data);

/*
 * HPET's legacy replacement: while on, the PIT's interrupts do not come and GSI 8 is driven by
 * `dev` alone.
 */
void irq_legacy_replacement(struct dev *dev, bool on);

/* What the board does for devices. */
enum board_request { BOARD_RESET, BOARD_POWEROFF,
		     BOARD_SUSPEND /* to RAM: vCPUs stand still, devices do not */,
		     BOARD_WAKE /* from that, by a reset that keeps RAM */,
		     BOARD_WATCHDOG, BOARD_PANIC,
		     BOARD_EXIT /* the whole VMM ends with the code */,
		     BOARD_FAILED /* KVM could not go on: a vCPU is stuck */ };
void board_request(struct board *board, enum board_request request, int code);

/* The guest did something its hardware manual forbids. Counted, logged a few times. */
void guest_error(struct dev *dev, const char *fmt, ...) PRINTF_LIKE(2, 3);
uint64_t read_as_ones(struct dev *dev, uint64_t offset, unsigned size); /* an empty bus */
uint64_t read_as_zero(struct dev *dev, uint64_t offset, unsigned size);
void ignore_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value);

/* Registers of the vCPU whose access is being served. False: it was no vCPU's (a monitor's). */
struct cpu_registers {
	uint64_t rax, rbx, rcx, rdx;
};
bool cpu_registers_get(struct dev *dev, struct cpu_registers *registers);
void cpu_registers_set(struct dev *dev, const struct cpu_registers *registers);

/* VMware's backdoor: who claims it answers the commands that the port itself does not know, by changing
 * the registers. `backdoor_ask` false: nobody knows it. */
void backdoor_claim(struct dev *dev, bool (*answer)(struct dev *dev, struct cpu_registers *cpu));
bool backdoor_ask(struct board *board, struct cpu_registers *cpu);

/*
 * Sleep. The device that knows about it (one per board) claims what may wake the machine, says
 * whether it is asleep, also after a restore, and requests SUSPEND and WAKE.
 */
enum wake { WAKE_RTC, WAKE_USER };
void board_claim_wake(struct dev *dev, void (*woken)(struct dev *dev, enum wake why));
void board_wake(struct board *board, enum wake why); /* whether it is asleep or not */
void board_set_asleep(struct board *board, bool asleep);
bool board_is_waking(const struct board *board); /* in `reset`: this one ends sleep */

/* The A20 gate: while off, processors find the first megabyte in place of the second. Whoever set it
 * last decides. On at reset; saved with the board. */
void a20_set(struct dev *dev, bool on);
bool a20_is_on(const struct dev *dev);
void board_nmi(struct board *board); /* to every vCPU */

/* Memory that belongs to a device (VGA RAM, option ROM): named, saved with the machine. */
struct ram;
struct ram *ram_new(struct dev *dev, const char *name, uint64_t bytes, struct err *err);
void *ram_host(struct ram *ram);
uint64_t ram_size(const struct ram *ram);
void ram_clear(struct ram *ram); /* all zeros; the host has its pages back */
/* Shows `bytes` of it at gpa, from `offset`; several times at once is fine. */
/* Where mappings overlap, the later one is seen; BARs lie below everything else. */
int ram_map(struct ram *ram, uint64_t offset, uint64_t gpa, uint64_t bytes, bool read_only,
	    struct err *err);
void ram_unmap(struct ram *ram, uint64_t gpa); /* what ram_map showed there */
/* What anybody wrote through ram_host, afterwards: displays and processors want to know. */
void ram_mark_dirty(struct ram *ram, uint64_t offset, uint64_t bytes);
/* Dirty pages since the last call (at first: all), for displays: calls `each` with ranges of `ram`. */
void ram_take_dirty(struct ram *ram, void (*each)(struct dev *, uint64_t offset, uint64_t bytes),
		    struct dev *dev);

#endif
