/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of src/core share. Everything is under the board's lock unless it says more. */
#ifndef CORE_INTERNAL_H
#define CORE_INTERNAL_H

#include "core/block.h"
#include "core/board.h"
#include "core/chardev.h"
#include "core/display.h"
#include "core/input.h"
#include "core/netdev.h"
#include "core/pci.h"
#include "host/kvm.h"
#include "host/log.h"
#include "host/loop.h"
#include "host/memory.h"
#include "host/thread.h"

/* Ports and MMIO: claims, and the flat sorted table that accesses are looked up in. */
struct claim {
	const struct region *region;
	struct dev *dev;
	uint64_t base, size, order;
	bool is_port, is_bar;
	struct claim *next; /* of the device */
};

struct bus_segment {
	uint64_t first, last;
	struct claim *claim;
};

struct bus_map {
	struct claim **claims;
	size_t claim_count, claim_room;
	struct bus_segment *segments; /* derived, sorted */
	size_t segment_count;
	bool stale;
};

struct claim *bus_claim(struct dev *dev, bool is_port, const struct region *region, uint64_t base,
			uint64_t size, bool is_bar);
void bus_release(struct claim *claim);
void bus_release_all(struct dev *dev);
void bus_map_free(struct bus_map *map);

/* RAM: what is shown where (mappings), and what that comes to (slots, = KVM's). */
struct ram {
	struct board *board;
	struct dev *dev; /* NULL: the board's */
	char *name;
	struct shared_memory memory;
	uint64_t *dirty; /* a bit per page; NULL until somebody asks */
	struct ram *next;
};

struct mapping {
	struct ram *ram;
	uint64_t gpa, offset, bytes, order;
	bool read_only, is_bar;
	struct mapping *next;
};

struct slot {
	struct ram *ram;
	uint64_t gpa, offset, bytes;
	bool read_only, logged;
	unsigned number; /* KVM's */
};

int ram_map_bar(struct ram *ram, uint64_t gpa, uint64_t bytes, bool read_only);
void ram_free(struct ram *ram);
void ram_free_of(struct board *board, struct dev *dev);
void board_set_a20(struct board *board, bool on);
uint64_t a20_mask(const struct board *board, uint64_t gpa); /* for a processor's access */
void *ram_find(struct board *board, uint64_t gpa, size_t *bytes, bool will_write);
void ram_load_cleared(struct ram *ram); /* its content changed behind our back */

/* A vCPU and its thread. */
struct vcpu {
	struct board *board;
	unsigned index;
	struct kvm *kvm;
	struct kvm_run *run;
	struct thread *thread;
	bool out;    /* atomic: leave KVM_RUN */
	bool shielded; /* atomic: not by immediate_exit, see vcpu.c */
	bool parked; /* the thread is not in KVM_RUN and will not enter it */
	/* An ioctl that another thread wants done here. */
	unsigned long task;
	void *task_argument;
	long task_result;
	bool task_waiting;
	struct vcpu_state *power_on; /* what reset goes back to; taken at the first start */
};

int vcpu_open(struct vcpu *vcpu, struct err *err);
void vcpu_close(struct vcpu *vcpu);
void vcpu_start_thread(struct vcpu *vcpu);
void vcpu_kick(struct vcpu *vcpu);
void vcpu_kick_other(struct vcpu *vcpu); /* unless we are on its thread */

/* Everything KVM keeps for a vCPU, in one piece of memory. */
enum { STATE_MSRS = 512 };
struct vcpu_state {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_debugregs debugregs;
	struct kvm_xcrs xcrs;
	struct kvm_xsave xsave;
	struct kvm_fpu fpu;
	struct kvm_lapic_state lapic;
	struct kvm_mp_state mp_state;
	struct kvm_vcpu_events events;
	uint32_t has; /* HAS_* of vcpu_state.c */
	uint32_t msr_count;
	struct kvm_msr_entry msrs[STATE_MSRS];
};

struct vm_state {
	struct kvm_irqchip chip[3];
	struct kvm_pit_state2 pit;
	struct kvm_clock_data clock;
	uint32_t has;
};

int vcpu_state_get(struct board *board, unsigned index, struct vcpu_state *state, struct err *err);
/* `reset`: leaves the time-stamp counter alone. */
int vcpu_state_set(struct board *board, unsigned index, const struct vcpu_state *state, bool reset,
		   struct err *err);
int vm_state_get(struct board *board, struct vm_state *state, struct err *err);
int vm_state_set(struct board *board, const struct vm_state *state, struct err *err);

enum { LINES = 64, IRQ_PINS = 24, IRQ_CHIPS = 4, REQUESTS = 8, SLOTS_MAX = 1024 };

struct request {
	enum board_request what;
	int code;
};

struct irq_route {
	uint64_t address;
	uint32_t data;
};

struct board {
	struct mutex lock;
	int owner; /* atomic: thread that holds the lock, 0 none */
	unsigned depth;
	struct loop *loop;

	/* VM. */
	struct kvm *system, *vm;
	struct vcpu *vcpus;
	unsigned vcpu_count;
	struct vm_state *power_on;
	bool is_split; /* PIC and IOAPIC are not KVM's */
	bool has_pit;  /* nor is the PIT, if not */
	uint64_t pause_clock; /* kvmclock when the board stopped */
	bool has_pause_clock;

	/* Life. */
	enum board_state state;
	bool running; /* vCPUs should run */
	bool held;    /* not before the observer has seen the requests */
	bool quitting;
	struct cond wake;   /* vCPU threads: running, held, quitting or a task changed */
	struct cond parked; /* whoever waits for vCPUs: parked or task_waiting changed */
	struct request requests[REQUESTS];
	unsigned request_count;
	struct board_observer observer;
	struct board_tap tap;
	bool asleep, waking; /* suspended to RAM; in the reset that ends it */
	struct dev *waker;
	void (*woken)(struct dev *, enum wake);
	struct dev *power_button;
	void (*power_pressed)(struct dev *dev);

	/* Time. */
	uint64_t clock;  /* guest time while stopped */
	uint64_t epoch;  /* host time at guest time 0, while running */
	int64_t rtc_offset;
	uint64_t chance; /* of dev_random, where there is no VM */
	struct timer **armed; /* by deadline */
	size_t armed_count, armed_room;
	struct loop_timer *alarm;
	uint64_t alarm_set; /* the guest time it is set to, 0 none */
	bool firing;

	/* Devices, buses, memory. */
	struct dev *devs, **devs_end;
	unsigned made_up_ids;
	struct bus_map ports, mmio;
	uint64_t order;
	struct ram *rams, **rams_end;
	struct mapping *mappings;
	struct slot *memory; /* what lies where, for all but processors */
	size_t memory_count;
	struct slot *slots; /* KVM's: the same, but for the A20 gate */
	size_t slot_count;
	bool a20_off;
	uint64_t slots_used[SLOTS_MAX / 64];
	unsigned slot_limit;
	unsigned line_high[LINES]; /* how many devices drive it */
	struct {
		struct dev *dev;
		const struct irq_chip *chip;
	} irq_chips[IRQ_CHIPS];
	struct irq_route irq_routes[IRQ_PINS];
	bool intr; /* atomic for reading: INTR is high */
	struct dev *legacy_owner;  /* the HPET in legacy replacement mode */
	struct dev *backdoor;
	bool (*backdoor_answer)(struct dev *dev, struct cpu_registers *cpu);
	struct dev *dma_controller;
	const struct isa_dma *dma;
	struct {
		struct dev *dev;
		void (*ready)(struct dev *dev);
	} dma_watch[8];
	struct pci_dev *pci[256];
	struct dev *pci_router;
	int (*pci_gsi_of)(struct dev *router, unsigned slot, unsigned pin);

	/* Back ends. */
	struct block *blocks;
	struct block_request *completed; /* mutex: completion_lock */
	struct block_request **completed_end;
	struct mutex completion_lock;
	bool completion_posted;
	struct chardev *chardevs;
	struct netdev *netdevs;
	struct display *display;
	struct input *input;

	uint64_t snapshot_done, snapshot_total; /* atomic */
};

/* Lets go of the lock, however deep it is held, while waiting. */
void board_wait(struct board *board, struct cond *cond, uint64_t timeout_ns);
void pci_msi_config_written(struct pci_dev *pci);
bool board_running(const struct board *board);
void keep_power_on_state(struct board *board); /* once: what reset goes back to */
void timers_clock_started(struct board *board); /* board->running changed */
void timers_release(struct dev *dev);
void irq_release(struct dev *dev);
void irq_chip_release_of(struct dev *dev);
bool irq_chips_take(struct board *board, unsigned gsi, bool level); /* false: there are none */
void backdoor_release_of(struct dev *dev);
void isa_dma_release_of(struct dev *dev);
void irq_load(struct dev *dev, uint64_t lines_high);
void blocks_free(struct board *board);
void blocks_drain(struct board *board);
void blocks_settle(struct board *board);
void block_release_of(struct dev *dev);
void chardevs_free(struct board *board);
void chardevs_room(struct board *board);
void chardev_release_of(struct dev *dev);
void netdevs_free(struct board *board);
void netdevs_poll(struct board *board);
void netdev_forget(struct netdev *netdev); /* frames that wait */
void netdev_release_of(struct dev *dev);
void display_free(struct board *board);
void display_release_of(struct dev *dev);
void input_free(struct board *board);

#endif
