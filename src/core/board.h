/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A board: guest memory, buses, devices and the VM they are in.
 *
 * One lock per board: device code, timers and back-end events run under it; vCPU threads take it
 * only to deliver an I/O exit (ADR 0003).
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
	bool split_irqchip;
};

struct board *board_new(const struct board_options *options, struct err *err);
void board_free(struct board *board);

/* Devices. `args` as after "-device NAME,": settings. The board is locked by the caller. */
struct dev *dev_new(struct board *board, const struct dev_class *class, const char *id,
		    const char *args, struct err *err);
void dev_free(struct dev *dev);
struct dev *dev_find(struct board *board, const char *id);
struct dev *board_devices(struct board *board);
const struct dev_class *dev_class_find(const char *name); /* from the list main registered */
void dev_classes_register(const struct dev_class *const *classes, size_t count);
const struct dev_class *const *dev_classes(size_t *count);

/* RAM of the board (struct dev NULL) for the machine's memory map; see dev.h for ram_map. */
struct ram *board_ram_new(struct board *board, const char *name, uint64_t bytes, struct err *err);
int board_memory_read(struct board *board, uint64_t gpa, void *to, size_t bytes);
int board_memory_write(struct board *board, uint64_t gpa, const void *from, size_t bytes);

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
void board_start(struct board *board); /* creates vCPU threads on first use */
void board_stop(struct board *board);  /* returns when no vCPU runs */
void board_reset(struct board *board); /* all devices, then vCPUs; the caller stopped it */
enum board_state board_state(const struct board *board);
/* Told under the lock; the observer decides (reset, exit, pause). */
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
/* Runs `fn` on the thread of a stopped vCPU's owner: state ioctls. */
long board_vcpu_ioctl(struct board *board, unsigned index, unsigned long request, void *argument);

/* Snapshot of everything (stopped board): vCPUs, irqchips, RAM, devices; one file. */
int board_save(struct board *board, int fd, struct err *err);
int board_load(struct board *board, int fd, struct err *err);

#endif
