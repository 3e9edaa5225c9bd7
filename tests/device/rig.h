/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A bench for devices: the real core with no VM, a clock that stands still until moved, memory,
 * lines that are watched, disks in memory, chardevs and a netdev that keep what was sent.
 *
 * Every rig has RAM at 0-0x9ffff and 1-16 MiB; disks "disk0" to "disk3" (1.44 MB, removable);
 * chardevs "char0" to "char3"; netdevs "net0", "net1". PCI devices get their BARs mapped.
 */
#ifndef TESTS_RIG_H
#define TESTS_RIG_H

#include "core/block.h"
#include "core/board.h"
#include "core/pci.h"

enum { RIG_RAM = 16 << 20, RIG_DISK_BYTES = 1474560, RIG_DISKS = 4, RIG_CHARDEVS = 4 };

struct rig;

/* One device; with `chipset`, an i440FX and PIIX3 come first. NULL: rig_error says why. */
struct rig *rig_new(const struct dev_class *class, const char *settings);
struct rig *rig_open(bool chipset);
struct dev *rig_add(struct rig *rig, const struct dev_class *class, const char *id,
		    const char *settings);
void rig_free(struct rig *rig);
const char *rig_error(void);
struct board *rig_board(struct rig *rig);
struct dev *rig_dev(struct rig *rig); /* the last one added */
void rig_reset(struct rig *rig);

void rig_out(struct rig *rig, uint16_t port, unsigned size, uint64_t value);
uint64_t rig_in(struct rig *rig, uint16_t port, unsigned size);
void rig_write(struct rig *rig, uint64_t gpa, unsigned size, uint64_t value); /* MMIO */
uint64_t rig_read(struct rig *rig, uint64_t gpa, unsigned size);
void rig_poke(struct rig *rig, uint64_t gpa, const void *from, size_t bytes); /* RAM */
void rig_peek(struct rig *rig, uint64_t gpa, void *to, size_t bytes);
uint8_t *rig_ram(struct rig *rig); /* host view: [0, RIG_RAM) */

/* PCI, of rig_dev. */
uint32_t rig_config_read(struct rig *rig, unsigned offset, unsigned size);
void rig_config_write(struct rig *rig, unsigned offset, unsigned size, uint32_t value);
uint64_t rig_bar(struct rig *rig, unsigned number); /* where the rig put it */
void rig_map_bars(struct rig *rig);                 /* again, after a reset */

bool rig_irq(struct rig *rig, unsigned gsi);
unsigned rig_irq_edges(struct rig *rig, unsigned gsi); /* rising, so far */
unsigned rig_msi_count(struct rig *rig);
bool rig_msi_last(struct rig *rig, uint64_t *address, uint32_t *data);

/* Time; disk requests complete after each access and on the way unless held. */
void rig_advance(struct rig *rig, uint64_t ns);
void rig_hold_disks(struct rig *rig, bool hold);
void rig_settle(struct rig *rig);
uint8_t *rig_disk(struct rig *rig, unsigned number); /* RIG_DISK_BYTES of content */
void rig_fail_disk(struct rig *rig, unsigned number, int error); /* 0: works again */
/* An empty drive, and a medium of `bytes` into it (content kept in rig_disk, at most its size). */
void rig_eject(struct rig *rig, unsigned number);
void rig_insert(struct rig *rig, unsigned number, uint64_t bytes, bool read_only);

/* What a device sent, and input to it: returns how many bytes it took. */
const uint8_t *rig_sent(struct rig *rig, unsigned chardev, size_t *count);
void rig_forget_sent(struct rig *rig, unsigned chardev);
size_t rig_type(struct rig *rig, unsigned chardev, const void *bytes, size_t count);
void rig_choke(struct rig *rig, unsigned chardev, bool choke); /* the peer takes nothing */
unsigned rig_frames(struct rig *rig);
const uint8_t *rig_frame_last(struct rig *rig, size_t *bytes);
void rig_receive(struct rig *rig, const void *frame, size_t bytes);

unsigned rig_requests(struct rig *rig, enum board_request request);
int rig_request_code(struct rig *rig);
uint64_t rig_guest_errors(struct rig *rig); /* of rig_dev */

/* Feeds both rigs the same accesses, input and time (twin may be NULL); they must answer alike. */
void rig_random_access(struct rig *rig, struct rig *twin, int accesses, uint32_t seed);
/* One step of that from other people's bytes: the fuzzer. Returns how many were used. */
size_t rig_fuzz(struct rig *rig, const uint8_t *bytes, size_t count);
/* All state of `from`, through a snapshot. */
void rig_copy(struct rig *to, struct rig *from);

#define CHECK_EQ(a, b) check_eq((uint64_t)(a), (uint64_t)(b), #a " == " #b, __FILE__, __LINE__)
#define CHECK(a)       check_eq(!!(a), 1, #a, __FILE__, __LINE__)
void check_eq(uint64_t a, uint64_t b, const char *text, const char *file, int line);

#endif
