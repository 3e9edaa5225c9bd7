/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Guest time and the timers of all devices of a board: one array, ordered by deadline.
 *
 * Guest time is the host's monotonic clock less the time the board stood still. A board with no VM
 * has a clock that only board_clock_advance moves.
 */
#include "core/internal.h"

enum { FIRE_MAX = 4096 }; /* per turn of the loop: who re-arms for the past starves nobody */

bool board_running(const struct board *board)
{
	return board->running;
}

static bool is_manual(const struct board *board)
{
	return !board->system;
}

static uint64_t now_locked(const struct board *board)
{
	if (is_manual(board) || !board->running)
		return board->clock;
	return host_now_ns() - board->epoch;
}

uint64_t board_clock(struct board *board)
{
	uint64_t now;

	board_lock(board);
	now = now_locked(board);
	board_unlock(board);
	return now;
}

uint64_t dev_now(const struct dev *dev)
{
	return now_locked(dev->board);
}

int64_t dev_wall_clock(const struct dev *dev)
{
	const struct board *board = dev->board;

	if (is_manual(board))
		return board->rtc_offset + (int64_t)(board->clock / SECOND);
	return (int64_t)(host_wall_ns() / SECOND) + board->rtc_offset;
}

void dev_random(struct dev *dev, void *to, size_t bytes)
{
	uint8_t *at = to;

	if (!is_manual(dev->board)) {
		host_random(to, bytes);
		return;
	}
	while (bytes--) { /* the rig repeats itself */
		dev->board->chance = dev->board->chance * 6364136223846793005ull + 1;
		*at++ = (uint8_t)(dev->board->chance >> 56);
	}
}

/* Sets the host's alarm to the first deadline. */
static void set_alarm(struct board *board)
{
	uint64_t first = board->armed_count ? board->armed[0]->deadline : 0;

	if (!board->alarm || board->firing)
		return;
	if (!board->running)
		first = 0;
	if (first == board->alarm_set)
		return;
	board->alarm_set = first;
	if (first)
		loop_timer_arm(board->alarm, first > UINT64_MAX / 2 ? UINT64_MAX
								     : board->epoch + first);
	else
		loop_timer_stop(board->alarm);
}

static void take_out(struct board *board, const struct timer *timer)
{
	for (size_t i = 0; i < board->armed_count; i++) {
		if (board->armed[i] == timer) {
			memmove(&board->armed[i], &board->armed[i + 1],
				(--board->armed_count - i) * sizeof(*board->armed));
			return;
		}
	}
}

static void put_in(struct board *board, struct timer *timer)
{
	size_t at = board->armed_count;

	if (board->armed_count == board->armed_room) {
		board->armed_room = 2 * board->armed_room + 16;
		board->armed = must_realloc(board->armed,
					    board->armed_room * sizeof(*board->armed));
	}
	while (at && board->armed[at - 1]->deadline > timer->deadline)
		at--;
	memmove(&board->armed[at + 1], &board->armed[at],
		(board->armed_count++ - at) * sizeof(*board->armed));
	board->armed[at] = timer;
}

void claim_timer(struct dev *dev, struct timer *timer, void (*fire)(struct dev *dev))
{
	*timer = (struct timer){ .fire = fire, .dev = dev, .next = dev->timers };
	dev->timers = timer;
}

void timer_arm(struct timer *timer, uint64_t deadline)
{
	if (!timer->dev) { /* not claimed: a table under test */
		timer->deadline = deadline;
		return;
	}
	if (timer->deadline)
		take_out(timer->dev->board, timer);
	timer->deadline = MAX(deadline, 1);
	put_in(timer->dev->board, timer);
	set_alarm(timer->dev->board);
}

void timer_stop(struct timer *timer)
{
	if (timer->dev && timer->deadline) {
		take_out(timer->dev->board, timer);
		set_alarm(timer->dev->board);
	}
	timer->deadline = 0;
}

void timers_release(struct dev *dev)
{
	for (struct timer *timer = dev->timers; timer; timer = timer->next)
		timer_stop(timer);
	dev->timers = NULL;
}

static void fire_first(struct board *board)
{
	struct timer *timer = board->armed[0];

	take_out(board, timer);
	timer->deadline = 0;
	timer->fire(timer->dev);
}

static void on_alarm(void *context)
{
	struct board *board = context;
	uint64_t now;

	board_lock(board);
	now = now_locked(board); /* what becomes due meanwhile: others have the lock first */
	board->alarm_set = 0;
	board->firing = true;
	for (unsigned i = 0; i < FIRE_MAX && board->running && board->armed_count; i++) {
		if (board->armed[0]->deadline > now)
			break;
		fire_first(board);
	}
	board->firing = false;
	set_alarm(board);
	board_unlock(board);
}

void timers_clock_started(struct board *board)
{
	if (is_manual(board))
		return;
	if (!board->alarm && board->loop)
		board->alarm = loop_timer_new(board->loop, on_alarm, board);
	board->alarm_set = UINT64_MAX; /* whatever it was, set it anew */
	set_alarm(board);
}

void board_clock_advance(struct board *board, uint64_t ns)
{
	uint64_t end;

	board_lock(board);
	end = board->clock + ns;
	while (board->armed_count && board->armed[0]->deadline <= end) {
		board->clock = MAX(board->clock, board->armed[0]->deadline);
		fire_first(board);
		board_settle(board);
	}
	board->clock = end;
	board_unlock(board);
}

uint64_t board_next_deadline(struct board *board)
{
	uint64_t first;

	board_lock(board);
	first = board->armed_count ? board->armed[0]->deadline : 0;
	board_unlock(board);
	return first;
}
