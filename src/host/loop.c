/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The event loop: see loop.h.
 *
 * Every timer is a timerfd of its own, so that arming is one system call from any thread and needs
 * no lock. Posted calls are a list under a mutex, with an eventfd to wake the loop.
 */
#include "host/loop.h"
#include "host/memory.h"
#include "host/thread.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { BATCH = 64 };

struct loop_watch {
	struct loop *loop;
	int fd;
	bool dead; /* unwatched; freed when the batch at hand is done */
	void (*ready)(void *context, unsigned events);
	void *context;
	struct loop_watch *next_dead;
};

struct loop_timer {
	struct loop_watch *watch;
	int fd;
	void (*fire)(void *context);
	void *context;
};

struct posted {
	void (*call)(void *context);
	void *context;
	struct posted *next;
};

struct loop {
	int epoll, event;
	struct loop_watch *posted_watch;
	struct loop_watch *dead;
	struct mutex lock; /* first, last */
	struct posted *first, **last;
	struct posted *batch; /* being run, on the loop's thread */
	bool quit; /* atomic */
	int code;
};

static void wake(struct loop *loop)
{
	uint64_t one = 1;

	while (write(loop->event, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static void run_posted(void *context, unsigned events)
{
	struct loop *loop = context;
	uint64_t count;
	bool more;

	(void)events;
	if (read(loop->event, &count, sizeof(count)) < 0)
		return;
	mutex_lock(&loop->lock);
	if (!loop->batch) { /* else a call turns the loop itself: the rest of its batch comes first */
		loop->batch = loop->first;
		loop->first = NULL;
		loop->last = &loop->first;
	}
	mutex_unlock(&loop->lock);
	while (loop->batch) {
		struct posted *posted = loop->batch;

		loop->batch = posted->next;
		posted->call(posted->context);
		free(posted);
	}
	mutex_lock(&loop->lock);
	more = loop->first;
	mutex_unlock(&loop->lock);
	if (more)
		wake(loop);
}

static void drop_posted(struct posted **at, const void *context)
{
	while (*at) {
		struct posted *posted = *at;

		if (posted->context == context) {
			*at = posted->next;
			free(posted);
		} else {
			at = &posted->next;
		}
	}
}

void loop_unpost(struct loop *loop, const void *context)
{
	drop_posted(&loop->batch, context);
	mutex_lock(&loop->lock);
	drop_posted(&loop->first, context);
	loop->last = &loop->first;
	while (*loop->last)
		loop->last = &(*loop->last)->next;
	mutex_unlock(&loop->lock);
}

struct loop *loop_new(void)
{
	struct loop *loop = must_alloc(sizeof(*loop));

	mutex_init(&loop->lock);
	loop->last = &loop->first;
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	loop->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	loop->posted_watch = loop_watch(loop, loop->event, LOOP_READ, run_posted, loop);
	return loop;
}

static void bury(struct loop *loop)
{
	while (loop->dead) {
		struct loop_watch *watch = loop->dead;

		loop->dead = watch->next_dead;
		free(watch);
	}
}

void loop_free(struct loop *loop)
{
	run_posted(loop, 0);
	loop_unwatch(loop->posted_watch);
	bury(loop);
	while (loop->first) {
		struct posted *posted = loop->first;

		loop->first = posted->next;
		free(posted);
	}
	mutex_fini(&loop->lock);
	close(loop->event);
	close(loop->epoll);
	free(loop);
}

static void turn(struct loop *loop, int timeout_ms)
{
	struct epoll_event events[BATCH];
	int count = epoll_wait(loop->epoll, events, BATCH, timeout_ms);

	for (int i = 0; i < count; i++) {
		struct loop_watch *watch = events[i].data.ptr;
		unsigned seen = events[i].events & (LOOP_READ | LOOP_WRITE | LOOP_HANGUP);

		if (events[i].events & EPOLLERR)
			seen |= LOOP_HANGUP;
		if (!watch->dead)
			watch->ready(watch->context, seen);
	}
	bury(loop);
}

int loop_run(struct loop *loop)
{
	while (!__atomic_load_n(&loop->quit, __ATOMIC_ACQUIRE))
		turn(loop, -1);
	__atomic_store_n(&loop->quit, false, __ATOMIC_RELEASE); /* it may be run again */
	return loop->code;
}

void loop_turn(struct loop *loop, int timeout_ms)
{
	turn(loop, timeout_ms);
}

void loop_quit(struct loop *loop, int code)
{
	loop->code = code;
	__atomic_store_n(&loop->quit, true, __ATOMIC_RELEASE);
	wake(loop);
}

struct loop_watch *loop_watch(struct loop *loop, int fd, unsigned events,
			      void (*ready)(void *context, unsigned events), void *context)
{
	struct loop_watch *watch = must_alloc(sizeof(*watch));
	struct epoll_event event = { .events = events, .data.ptr = watch };

	watch->loop = loop;
	watch->fd = fd;
	watch->ready = ready;
	watch->context = context;
	if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event)) {
		free(watch);
		return NULL; /* not a descriptor that can be waited for (a plain file) */
	}
	return watch;
}

void loop_watch_change(struct loop_watch *watch, unsigned events)
{
	struct epoll_event event = { .events = events, .data.ptr = watch };

	epoll_ctl(watch->loop->epoll, EPOLL_CTL_MOD, watch->fd, &event);
}

void loop_unwatch(struct loop_watch *watch)
{
	struct loop *loop = watch->loop;

	epoll_ctl(loop->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
	watch->dead = true;
	watch->next_dead = loop->dead;
	loop->dead = watch;
}

static void on_timer(void *context, unsigned events)
{
	struct loop_timer *timer = context;
	uint64_t count;

	(void)events;
	if (read(timer->fd, &count, sizeof(count)) == sizeof(count))
		timer->fire(timer->context);
}

struct loop_timer *loop_timer_new(struct loop *loop, void (*fire)(void *context), void *context)
{
	struct loop_timer *timer = must_alloc(sizeof(*timer));

	timer->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	timer->fire = fire;
	timer->context = context;
	timer->watch = loop_watch(loop, timer->fd, LOOP_READ, on_timer, timer);
	return timer;
}

static void set_timer(struct loop_timer *timer, uint64_t deadline_ns)
{
	struct itimerspec when = { .it_value = { .tv_sec = (time_t)(deadline_ns / 1000000000),
						 .tv_nsec = (long)(deadline_ns % 1000000000) } };

	timerfd_settime(timer->fd, TFD_TIMER_ABSTIME, &when, NULL);
}

void loop_timer_arm(struct loop_timer *timer, uint64_t deadline_ns)
{
	/* Zero would disarm; beyond what a signed clock holds is never. */
	set_timer(timer, MIN(MAX(deadline_ns, 1), (uint64_t)INT64_MAX));
}

void loop_timer_stop(struct loop_timer *timer)
{
	set_timer(timer, 0);
}

void loop_timer_free(struct loop_timer *timer)
{
	loop_unwatch(timer->watch);
	close(timer->fd);
	free(timer);
}

void loop_post(struct loop *loop, void (*call)(void *context), void *context)
{
	struct posted *posted = must_alloc(sizeof(*posted));
	bool was_empty;

	posted->call = call;
	posted->context = context;
	mutex_lock(&loop->lock);
	was_empty = !loop->first;
	*loop->last = posted;
	loop->last = &posted->next;
	mutex_unlock(&loop->lock);
	if (was_empty)
		wake(loop);
}
