/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A board: guest memory, buses, devices and the VM they are in.
 *
 * One lock per board: device code, timers and back-end events run under it; vCPU threads take it
 * only to deliver an I/O exit (ADR 0003). The lock may be taken again by its holder; every function
 * here takes it itself.
 *
 * GSIs: 0 is the PIT (PIC input 0, IOAPIC pin 2), 1-15 the ISA interrupts (PIC and IOAPIC), 16-23
 * the IOAPIC's upper pins.
 */
#ifndef CORE_BOARD_H
#define CORE_BOARD_H

#include "core/dev.h"

struct kvm;  /* host/kvm.h */
struct loop; /* host/loop.h */

struct board_options {
	struct kvm *system; /* an opened /dev/kvm or engine; the board owns it from here. NULL: no VM
	                     * and no vCPUs (the rig) */
	struct loop *loop;
	unsigned vcpus;
	int64_t rtc_offset;  /* seconds to add to the host's wall clock */
	bool split_irqchip; /* PIC, IOAPIC and PIT are devices (dev.h: struct irq_chip) */
	bool no_pit;
};

struct board *board_new(const struct board_options *options, struct err *err);
void board_free(struct board *board);

/*
 * Guest time of a board with no VM (the rig, qtest) stands still but for this: fires what is due on
 * the way. `board_next_deadline` is when the next timer fires, 0: none is armed.
 */
void board_clock_advance(struct board *board, uint64_t ns);
uint64_t board_clock(struct board *board);
uint64_t board_next_deadline(struct board *board);
/* With no loop (the rig): completes the disk requests that were submitted, and calls observers. */
void board_settle(struct board *board);

/* Taps for the rig and qtest: told of every line that changes and every message, under the lock. */
struct board_tap {
	void (*line)(void *tap, unsigned gsi, bool level);
	void (*msi)(void *tap, uint64_t address, uint32_t data);
	void *tap;
};
void board_tap(struct board *board, const struct board_tap *tap);
bool board_line(struct board *board, unsigned gsi);
/* What a processor does with interrupt controllers among the devices: takes INTR's vector (-1: INTR
 * is low), ends a level-triggered one. */
int board_take_intr(struct board *board);
void board_eoi(struct board *board, uint8_t vector);

/* Devices. `args` as after "-device NAME,": settings. The board is locked by the caller. */
struct dev *dev_new(struct board *board, const struct dev_class *class, const char *id,
		    const char *args, struct err *err);
void dev_free(struct dev *dev);
struct dev *dev_find(struct board *board, const char *id);
/* State of one device, bus fields and lines included; as fields_save and fields_load. */
size_t dev_save(struct dev *dev, uint8_t *out, size_t room);
int dev_load(struct dev *dev, const uint8_t *in, size_t size, struct err *err);
void dev_reset(struct dev *dev);
/* The tables of a class: its own, then its buses'; NULL when there are no more. */
const struct field *dev_class_fields(const struct dev_class *class, unsigned number);
struct dev *board_devices(struct board *board);
const struct dev_class *dev_class_find(const char *name); /* from the list main registered */
void dev_classes_register(const struct dev_class *const *classes, size_t count);
const struct dev_class *const *dev_classes(size_t *count);

/* RAM of the board (struct dev NULL) for the machine's memory map; see dev.h for ram_map. */
struct ram *board_ram_new(struct board *board, const char *name, uint64_t bytes, struct err *err);
/* The board's memory by name, in order of creation; NULL starts, NULL ends. */
struct ram *board_ram_next(struct board *board, struct ram *after);
const char *ram_name(const struct ram *ram);
/* Raised behind each write by anybody but vCPUs to any RAM that they can reach: vm_options.writes. */
const uint64_t *ram_writes(void);
/* RAM and ROM only: -EFAULT where there is none. Writes change ROM too when `board_rom_write`. */
int board_rom_write(struct board *board, uint64_t gpa, const void *from, size_t bytes);
int board_memory_read(struct board *board, uint64_t gpa, void *to, size_t bytes);
int board_memory_write(struct board *board, uint64_t gpa, const void *from, size_t bytes);

bool board_a20(const struct board *board); /* dev.h: a20_set */

/* I/O from a vCPU exit, qtest or monitor. Ports and MMIO nobody claimed read as ones. */
uint64_t board_port_read(struct board *board, uint16_t port, unsigned size);
void board_port_write(struct board *board, uint16_t port, unsigned size, uint64_t value);
uint64_t board_mmio_read(struct board *board, uint64_t gpa, unsigned size);
void board_mmio_write(struct board *board, uint64_t gpa, unsigned size, uint64_t value);

void board_lock(struct board *board);
void board_unlock(struct board *board);

/* Life. */
enum board_state { BOARD_STATE_PRELAUNCH, BOARD_STATE_RUNNING, BOARD_STATE_PAUSED,
		   BOARD_STATE_SHUTDOWN, BOARD_STATE_PANICKED, BOARD_STATE_FAILED };
void board_make_threads(struct board *board); /* of the vCPUs, to wait for the start */
void board_start(struct board *board);        /* makes them, if there are none yet */
void board_stop(struct board *board);  /* returns when no vCPU runs */
void board_reset(struct board *board); /* all devices, then vCPUs; the caller stopped it */
void board_reset_waking(struct board *board); /* the same, ends sleep: RAM stays */
bool board_is_asleep(const struct board *board);
enum board_state board_state(const struct board *board);
void board_set_state(struct board *board, enum board_state state); /* of a stopped board, for query */
/*
 * Told under the lock, on the loop's thread; the observer decides (reset, exit, pause). No vCPU runs
 * between the request and the observer's return; after RESET, WAKE, POWEROFF, EXIT and FAILED not
 * before the board was stopped and started; while it is asleep not at all.
 */
struct board_observer {
	void (*requested)(void *observer, enum board_request request, int code);
	void *observer;
};
void board_observe(struct board *board, const struct board_observer *observer);
/* The VMM sets what a power button does (ACPI device claims it). */
void board_claim_power_button(struct dev *dev, void (*pressed)(struct dev *dev));
void board_press_power_button(struct board *board);

struct kvm *board_vm(struct board *board);
struct kvm *board_vcpu(struct board *board, unsigned index);
unsigned board_vcpu_count(const struct board *board);
int board_vcpu_thread(struct board *board, unsigned index); /* the host's number of it, 0: none yet */
/* Runs `fn` on the thread of a stopped vCPU's owner: state ioctls. */
long board_vcpu_ioctl(struct board *board, unsigned index, unsigned long request, void *argument);

/* What lies where, for people: a line for each piece of RAM and each claim, by address. */
void board_describe_memory(struct board *board, void (*line)(void *to, const char *text),
			   void *to);

/* Snapshot of everything (stopped board): vCPUs, irqchips, RAM, devices; one file. */
int board_save(struct board *board, int fd, struct err *err);
/* Into a board made alike; after a failure it is good for nothing but board_free. */
int board_load(struct board *board, int fd, struct err *err);
/* Bytes of RAM done and to do, of the save or load under way; any thread. */
void board_snapshot_progress(struct board *board, uint64_t *done, uint64_t *total);

#endif
