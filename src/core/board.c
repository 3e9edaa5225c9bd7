/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A board: making it, its lock, starting, stopping, resetting, and what devices ask of it.
 *
 * Requests go to the observer on the loop's thread; until it has returned, vCPUs are held. The
 * lock's owner and depth live here, so that stopping can let go of it while vCPUs finish.
 */
#include "core/internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum { IDENTITY_MAP = 0xfeffc000, TSS = 0xfeffd000, KICK_AGAIN_NS = 10000000 };

void board_lock(struct board *board)
{
	int self = thread_self();

	if (__atomic_load_n(&board->owner, __ATOMIC_RELAXED) == self) {
		board->depth++;
		return;
	}
	mutex_lock(&board->lock);
	__atomic_store_n(&board->owner, self, __ATOMIC_RELAXED);
	board->depth = 1;
}

void board_unlock(struct board *board)
{
	assert(__atomic_load_n(&board->owner, __ATOMIC_RELAXED) == thread_self());
	if (--board->depth)
		return;
	__atomic_store_n(&board->owner, 0, __ATOMIC_RELAXED);
	mutex_unlock(&board->lock);
}

void board_wait(struct board *board, struct cond *cond, uint64_t timeout_ns)
{
	unsigned depth = board->depth;

	__atomic_store_n(&board->owner, 0, __ATOMIC_RELAXED);
	if (timeout_ns == UINT64_MAX)
		cond_wait(cond, &board->lock);
	else
		cond_wait_until(cond, &board->lock, host_now_ns() + timeout_ns);
	__atomic_store_n(&board->owner, thread_self(), __ATOMIC_RELAXED);
	board->depth = depth;
}

/* As every PC VMM wires it: the PIT's GSI 0 is PIC input 0 and IOAPIC pin 2; 1-15 both alike. */
static int set_routing(struct board *board, struct err *err)
{
	enum { ENTRIES = 15 + 1 + 23 };
	struct kvm_irq_routing *routing =
		must_alloc(sizeof(*routing) + ENTRIES * sizeof(routing->entries[0]));
	long code;

	for (unsigned gsi = 0; gsi < 24; gsi++) {
		struct kvm_irq_routing_entry entry = { .gsi = gsi,
						       .type = KVM_IRQ_ROUTING_IRQCHIP };

		if (gsi < 16 && gsi != 2) {
			entry.u.irqchip.irqchip = gsi < 8 ? KVM_IRQCHIP_PIC_MASTER
							  : KVM_IRQCHIP_PIC_SLAVE;
			entry.u.irqchip.pin = gsi % 8;
			routing->entries[routing->nr++] = entry;
		}
		if (gsi == 2)
			continue;
		entry.u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
		entry.u.irqchip.pin = gsi == 0 ? 2 : gsi;
		routing->entries[routing->nr++] = entry;
	}
	code = kvm_ioctl(board->vm, KVM_SET_GSI_ROUTING, routing);
	free(routing);
	return code < 0 ? fail(err, (int)-code, "KVM_SET_GSI_ROUTING: %s", strerror((int)-code))
			: 0;
}

static int vm_call(struct board *board, unsigned long request, const void *argument,
		   const char *name, struct err *err)
{
	long code = kvm_ioctl(board->vm, request, argument);

	return code < 0 ? fail(err, (int)-code, "%s: %s", name, strerror((int)-code)) : 0;
}

static int create_irqchip(struct board *board, const struct board_options *options,
			  struct err *err)
{
	struct kvm_enable_cap split = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { IRQ_PINS } };
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	int code;

	board->is_split = options->split_irqchip;
	if (board->is_split)
		return vm_call(board, KVM_ENABLE_CAP, &split, "KVM_CAP_SPLIT_IRQCHIP", err);
	code = vm_call(board, KVM_CREATE_IRQCHIP, NULL, "KVM_CREATE_IRQCHIP", err);
	if (!code)
		code = set_routing(board, err);
	if (!code && !options->no_pit) {
		code = vm_call(board, KVM_CREATE_PIT2, &pit, "KVM_CREATE_PIT2", err);
		board->has_pit = !code;
	}
	return code;
}

static int open_vm(struct board *board, const struct board_options *options, struct err *err)
{
	uint64_t identity = IDENTITY_MAP;
	long slots;
	int code;

	board->vm = kvm_ioctl_new(board->system, KVM_CREATE_VM, NULL, err);
	if (!board->vm)
		return err ? -err->code : -EIO;
	slots = kvm_ioctl(board->vm, KVM_CHECK_EXTENSION, (void *)KVM_CAP_NR_MEMSLOTS);
	board->slot_limit = slots > 0 ? MIN((unsigned)slots, SLOTS_MAX) : 32;
	code = vm_call(board, KVM_SET_IDENTITY_MAP_ADDR, &identity, "KVM_SET_IDENTITY_MAP_ADDR",
		       err);
	if (!code)
		code = vm_call(board, KVM_SET_TSS_ADDR, (void *)TSS, "KVM_SET_TSS_ADDR", err);
	if (!code)
		code = create_irqchip(board, options, err);
	board->vcpus = must_alloc(MAX(options->vcpus, 1) * sizeof(*board->vcpus));
	for (unsigned i = 0; !code && i < options->vcpus; i++) {
		struct vcpu *vcpu = &board->vcpus[i];

		*vcpu = (struct vcpu){ .board = board, .index = i, .parked = true };
		code = vcpu_open(vcpu, err);
		board->vcpu_count += !code;
	}
	return code;
}

struct board *board_new(const struct board_options *options, struct err *err)
{
	struct board *board = must_alloc(sizeof(*board));

	mutex_init(&board->lock);
	mutex_init(&board->completion_lock);
	cond_init(&board->wake);
	cond_init(&board->parked);
	board->completed_end = &board->completed;
	board->devs_end = &board->devs;
	board->rams_end = &board->rams;
	board->loop = options->loop;
	board->system = options->system;
	board->rtc_offset = options->rtc_offset;
	board->slot_limit = SLOTS_MAX;
	if (board->system && open_vm(board, options, err)) {
		board_free(board);
		return NULL;
	}
	return board;
}

void board_free(struct board *board)
{
	board_stop(board);
	board_lock(board);
	board->quitting = true;
	cond_wake_all(&board->wake);
	board_unlock(board);
	for (unsigned i = 0; i < board->vcpu_count; i++)
		if (board->vcpus[i].thread)
			thread_join(board->vcpus[i].thread);
	board_lock(board);
	while (board->devs) { /* the last attached first */
		struct dev *last = board->devs;

		while (last->next)
			last = last->next;
		dev_free(last);
	}
	chardevs_free(board);
	netdevs_free(board);
	blocks_free(board);
	display_free(board);
	input_free(board);
	while (board->rams)
		ram_free(board->rams);
	board_unlock(board);
	if (board->alarm)
		loop_timer_free(board->alarm);
	if (board->loop)
		loop_unpost(board->loop, board);
	for (unsigned i = 0; i < board->vcpu_count; i++)
		vcpu_close(&board->vcpus[i]);
	if (board->vm)
		kvm_close(board->vm);
	if (board->system)
		kvm_close(board->system);
	bus_map_free(&board->ports);
	bus_map_free(&board->mmio);
	cond_fini(&board->wake);
	cond_fini(&board->parked);
	mutex_fini(&board->lock);
	mutex_fini(&board->completion_lock);
	free(board->vcpus);
	free(board->power_on);
	free(board->memory);
	free(board->slots);
	free(board->armed);
	free(board);
}

static bool all_parked(struct board *board)
{
	int self = thread_self();

	for (unsigned i = 0; i < board->vcpu_count; i++) {
		const struct vcpu *vcpu = &board->vcpus[i];

		if (!vcpu->parked && thread_number(vcpu->thread) != self)
			return false;
	}
	return true;
}

static void kick_all(struct board *board)
{
	for (unsigned i = 0; i < board->vcpu_count; i++)
		vcpu_kick(&board->vcpus[i]);
}

/* kvmclock stands while the board does. */
static void stop_pv_clock(struct board *board)
{
	struct kvm_clock_data clock = { 0 };

	board->has_pause_clock = board->vm && kvm_ioctl(board->vm, KVM_GET_CLOCK, &clock) >= 0;
	board->pause_clock = clock.clock;
}

static void start_pv_clock(struct board *board)
{
	struct kvm_clock_data clock = { .clock = board->pause_clock };

	if (board->has_pause_clock)
		kvm_ioctl(board->vm, KVM_SET_CLOCK, &clock);
	board->has_pause_clock = false;
}

/* What reset goes back to: whatever the machine had set up by the first start. */
void keep_power_on_state(struct board *board)
{
	struct err err = { 0 };
	int code;

	if (!board->vm || board->power_on)
		return;
	board->power_on = must_alloc(sizeof(*board->power_on));
	code = vm_state_get(board, board->power_on, &err);
	for (unsigned i = 0; !code && i < board->vcpu_count; i++) {
		board->vcpus[i].power_on = must_alloc(sizeof(struct vcpu_state));
		code = vcpu_state_get(board, i, board->vcpus[i].power_on, &err);
	}
	if (code)
		log_line("reset will not work: %s", err.text);
}

void board_make_threads(struct board *board)
{
	board_lock(board);
	for (unsigned i = 0; i < board->vcpu_count; i++)
		if (!board->vcpus[i].thread)
			vcpu_start_thread(&board->vcpus[i]);
	board_unlock(board);
}

void board_start(struct board *board)
{
	board_lock(board);
	if (board->running)
		goto out;
	keep_power_on_state(board);
	start_pv_clock(board);
	board->epoch = host_now_ns() - board->clock;
	board->running = true;
	board->held = board->asleep;
	board->state = BOARD_STATE_RUNNING;
	timers_clock_started(board);
	board_make_threads(board);
	cond_wake_all(&board->wake);
	chardevs_room(board);
	netdevs_poll(board);
out:
	board_unlock(board);
}

void board_stop(struct board *board)
{
	board_lock(board);
	if (!board->running)
		goto out;
	if (board->system)
		board->clock = host_now_ns() - board->epoch;
	board->running = false;
	kick_all(board);
	while (!all_parked(board)) {
		board_wait(board, &board->parked, KICK_AGAIN_NS);
		kick_all(board); /* a kick may have come just before a system call */
	}
	timers_clock_started(board);
	stop_pv_clock(board);
	blocks_drain(board);
	if (board->state == BOARD_STATE_RUNNING)
		board->state = BOARD_STATE_PAUSED;
out:
	board_unlock(board);
}

void board_reset(struct board *board)
{
	struct err err = { 0 };
	int code = 0;

	board_lock(board);
	blocks_drain(board);
	board->asleep = false;
	for (struct dev *dev = board->devs; dev; dev = dev->next)
		dev_reset(dev);
	if (board->power_on)
		code = vm_state_set(board, board->power_on, &err);
	for (unsigned i = 0; !code && i < board->vcpu_count; i++)
		if (board->vcpus[i].power_on)
			code = vcpu_state_set(board, i, board->vcpus[i].power_on, true, &err);
	if (code)
		log_line("reset: %s", err.text);
	board_unlock(board);
}

void board_reset_waking(struct board *board)
{
	board_lock(board);
	board->waking = true;
	board_reset(board);
	board->waking = false;
	board_unlock(board);
}

bool board_is_waking(const struct board *board)
{
	return board->waking;
}

bool board_is_asleep(const struct board *board)
{
	return board->asleep;
}

void board_set_asleep(struct board *board, bool asleep)
{
	board->asleep = asleep && board->loop;
	board->held |= board->asleep;
	kick_all(board);
}

void board_claim_wake(struct dev *dev, void (*woken)(struct dev *dev, enum wake why))
{
	dev->board->waker = dev;
	dev->board->woken = woken;
}

void board_wake(struct board *board, enum wake why)
{
	board_lock(board);
	if (board->waker)
		board->woken(board->waker, why);
	board_unlock(board);
}

enum board_state board_state(const struct board *board)
{
	return board->state;
}

void board_set_state(struct board *board, enum board_state state)
{
	board_lock(board);
	board->state = state;
	board_unlock(board);
}

void board_observe(struct board *board, const struct board_observer *observer)
{
	board_lock(board);
	board->observer = *observer;
	board_unlock(board);
}

/* After these the guest runs on only when the board is started (again). */
static bool ends_the_run(enum board_request request)
{
	return request != BOARD_WATCHDOG && request != BOARD_SUSPEND && request != BOARD_PANIC;
}

static void tell_observer(void *context)
{
	struct board *board = context;
	bool held = false;

	board_lock(board);
	for (unsigned i = 0; i < board->request_count; i++) {
		struct request r = board->requests[i];

		held |= ends_the_run(r.what);
		if (board->observer.requested)
			board->observer.requested(board->observer.observer, r.what, r.code);
	}
	board->request_count = 0;
	board->held = board->asleep || (held && board->loop);
	cond_wake_all(&board->wake);
	board_unlock(board);
}

void board_request(struct board *board, enum board_request request, int code)
{
	board_lock(board);
	for (unsigned i = 0; i < board->request_count; i++)
		if (board->requests[i].what == request)
			goto out;
	if (board->request_count == REQUESTS)
		goto out;
	board->requests[board->request_count++] = (struct request){ request, code };
	if (!board->loop) {
		tell_observer(board);
		goto out;
	}
	if (board->request_count == 1)
		loop_post(board->loop, tell_observer, board);
	board->held = true;
	kick_all(board);
out:
	board_unlock(board);
}

void board_settle(struct board *board)
{
	board_lock(board);
	if (!board->loop)
		blocks_settle(board);
	board_unlock(board);
}

void board_claim_power_button(struct dev *dev, void (*pressed)(struct dev *dev))
{
	dev->board->power_button = dev;
	dev->board->power_pressed = pressed;
}

void board_press_power_button(struct board *board)
{
	board_lock(board);
	if (board->power_button)
		board->power_pressed(board->power_button);
	board_unlock(board);
}

struct kvm *board_vm(struct board *board)
{
	return board->vm;
}

struct kvm *board_vcpu(struct board *board, unsigned index)
{
	return index < board->vcpu_count ? board->vcpus[index].kvm : NULL;
}

unsigned board_vcpu_count(const struct board *board)
{
	return board->vcpu_count;
}
