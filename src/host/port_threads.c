/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * base/port.h for a process: its two threads. One fires the timers, in the order of their
 * deadlines; one waits for the eventfds that KVM_IRQFD handed over. Both are started at the first
 * need, live as long as the process, and take no signals.
 *
 * Manual: man pages eventfd(2), epoll(7), timerfd_create(2).
 */
#include "base/port.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include <stdio.h>
#include <fcntl.h>

struct port_timer {
	void (*fire)(void *context);
	void *context;
	uint64_t deadline_ns;
	struct port_timer *next; /* in `armed`, while is_armed */
	bool is_armed;
};

/*
 * `lock` guards the list, every timer, and `firing`. The thread sleeps until `alarm` rings at the first
 * deadline, so that who moves that need not wake it.
 */
static struct {
	pthread_once_t once;
	pthread_mutex_t lock;
	pthread_cond_t fired; /* `firing` became NULL */
	struct port_timer *armed;
	struct port_timer *firing;
	pthread_t thread;
	int alarm;
} timers = { .once = PTHREAD_ONCE_INIT,
	     .lock = PTHREAD_MUTEX_INITIALIZER,
	     .fired = PTHREAD_COND_INITIALIZER };

static void thread_start(pthread_t *thread, void *(*body)(void *), const char *name)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(thread, NULL, body, NULL))
		abort(); /* set-up: see style guide, "Three kinds of wrong" */
	pthread_setname_np(*thread, name);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void set_alarm(uint64_t deadline_ns)
{
	struct itimerspec at = { .it_value.tv_sec = (time_t)(deadline_ns / 1000000000),
				 .it_value.tv_nsec = (long)(deadline_ns % 1000000000) };

	if (!deadline_ns) /* which would be never */
		at.it_value.tv_nsec = 1;
	timerfd_settime(timers.alarm, TFD_TIMER_ABSTIME, &at, NULL);
}

static void fire_first(void)
{
	struct port_timer *first = timers.armed;

	timers.armed = first->next;
	first->is_armed = false;
	timers.firing = first;
	pthread_mutex_unlock(&timers.lock);
	first->fire(first->context);
	pthread_mutex_lock(&timers.lock);
	timers.firing = NULL;
	pthread_cond_broadcast(&timers.fired);
}

static void *timer_thread(void *unused)
{
	uint64_t rings;

	for (;;) {
		pthread_mutex_lock(&timers.lock);
		while (timers.armed && timers.armed->deadline_ns <= port_now_ns())
			fire_first();
		if (timers.armed)
			set_alarm(timers.armed->deadline_ns);
		pthread_mutex_unlock(&timers.lock);
		if (read(timers.alarm, &rings, sizeof(rings)) < 0 && errno != EINTR)
			abort(); /* somebody has closed it */
	}
	return unused;
}

static void timers_start(void)
{
	timers.alarm = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	if (timers.alarm < 0)
		abort(); /* set-up: see style guide, "Three kinds of wrong" */
	thread_start(&timers.thread, timer_thread, "kelvin-timer");
}

struct port_timer *port_timer_new(void (*fire)(void *context), void *context)
{
	struct port_timer *timer = port_alloc(sizeof(*timer));

	if (timer) {
		timer->fire = fire;
		timer->context = context;
		pthread_once(&timers.once, timers_start);
	}
	return timer;
}

static void unlink_locked(struct port_timer *timer)
{
	struct port_timer **link = &timers.armed;

	if (!timer->is_armed)
		return;
	while (*link != timer)
		link = &(*link)->next;
	*link = timer->next;
	timer->is_armed = false;
}

void port_timer_arm(struct port_timer *timer, uint64_t deadline_ns)
{
	struct port_timer **link = &timers.armed;

	pthread_mutex_lock(&timers.lock);
	unlink_locked(timer);
	timer->deadline_ns = deadline_ns;
	while (*link && (*link)->deadline_ns <= deadline_ns)
		link = &(*link)->next;
	timer->next = *link;
	*link = timer;
	timer->is_armed = true;
	if (timers.armed == timer && !timers.firing) /* else the thread is about to look */
		set_alarm(deadline_ns);
	pthread_mutex_unlock(&timers.lock);
}

void port_timer_stop(struct port_timer *timer)
{
	pthread_mutex_lock(&timers.lock);
	unlink_locked(timer);
	while (timers.firing == timer && !pthread_equal(timers.thread, pthread_self()))
		pthread_cond_wait(&timers.fired, &timers.lock);
	unlink_locked(timer); /* `fire` may have armed it again */
	pthread_mutex_unlock(&timers.lock);
}

void port_timer_free(struct port_timer *timer)
{
	if (!timer)
		return;
	port_timer_stop(timer);
	port_free(timer);
}

struct port_event {
	int fd; /* ours, a duplicate */
	void (*fire)(void *context); /* NULL: not watched */
	void *context;
	struct port_event *next; /* in events.all, while watched */
};

/* `lock` guards the list, `firing`, and `fire` and `context` of every event. */
static struct {
	pthread_once_t once;
	pthread_mutex_t lock;
	pthread_cond_t fired;
	struct port_event *all;
	struct port_event *firing;
	pthread_t thread;
	int epoll;
} events = { .once = PTHREAD_ONCE_INIT,
	     .lock = PTHREAD_MUTEX_INITIALIZER,
	     .fired = PTHREAD_COND_INITIALIZER };

/* Takes the count without ever sleeping on it: another reader may have been faster. */
static bool drain(int fd)
{
	uint64_t count;
	struct iovec to = { .iov_base = &count, .iov_len = sizeof(count) };
	ssize_t got = preadv2(fd, &to, 1, -1, RWF_NOWAIT);

	if (got < 0 && errno == EOPNOTSUPP)
		got = read(fd, &count, sizeof(count));
	return got == sizeof(count);
}

static void event_ready(struct port_event *wanted)
{
	struct port_event *event;
	void (*fire)(void *context) = NULL;
	void *context = NULL;

	pthread_mutex_lock(&events.lock);
	for (event = events.all; event && event != wanted; event = event->next)
		;
	if (event && drain(event->fd)) {
		fire = event->fire;
		context = event->context;
		events.firing = event;
	}
	pthread_mutex_unlock(&events.lock);
	if (!fire)
		return;
	fire(context);
	pthread_mutex_lock(&events.lock);
	events.firing = NULL;
	pthread_cond_broadcast(&events.fired);
	pthread_mutex_unlock(&events.lock);
}

static void *event_thread(void *unused)
{
	struct epoll_event ready[16];

	for (;;) {
		int count = epoll_wait(events.epoll, ready, ARRAY_LEN(ready), -1);

		for (int i = 0; i < count; i++)
			event_ready(ready[i].data.ptr);
	}
	return unused;
}

static void events_start(void)
{
	events.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (events.epoll < 0)
		abort();
	thread_start(&events.thread, event_thread, "kelvin-irqfd");
}

static bool is_eventfd(int fd)
{
	char path[40], name[40];
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	length = readlink(path, name, sizeof(name) - 1);
	if (length < 0)
		return true; /* no /proc: believe the caller */
	name[length] = 0;
	return strstr(name, "[eventfd") != NULL;
}

int port_event_get(int fd, struct port_event **event)
{
	struct port_event *new;
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (copy < 0)
		return -errno;
	new = is_eventfd(copy) ? port_alloc(sizeof(*new)) : NULL;
	if (!new) {
		int error = is_eventfd(copy) ? -ENOMEM : -EINVAL;

		close(copy);
		return error;
	}
	new->fd = copy;
	*event = new;
	return 0;
}

static void unwatch(struct port_event *event)
{
	struct port_event **link = &events.all;

	pthread_mutex_lock(&events.lock);
	while (*link && *link != event)
		link = &(*link)->next;
	if (*link) {
		*link = event->next;
		epoll_ctl(events.epoll, EPOLL_CTL_DEL, event->fd, NULL);
	}
	while (events.firing == event && !pthread_equal(events.thread, pthread_self()))
		pthread_cond_wait(&events.fired, &events.lock);
	pthread_mutex_unlock(&events.lock);
}

void port_event_put(struct port_event *event)
{
	if (!event)
		return;
	if (event->fire)
		unwatch(event);
	close(event->fd);
	port_free(event);
}

void port_event_signal(struct port_event *event, uint64_t count)
{
	while (write(event->fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
}

int port_event_watch(struct port_event *event, void (*fire)(void *context), void *context)
{
	struct epoll_event on = { .events = EPOLLIN, .data.ptr = event };
	int error = 0;

	pthread_once(&events.once, events_start);
	pthread_mutex_lock(&events.lock);
	event->fire = fire;
	event->context = context;
	event->next = events.all;
	events.all = event;
	if (epoll_ctl(events.epoll, EPOLL_CTL_ADD, event->fd, &on)) {
		error = -errno;
		events.all = event->next;
		event->fire = NULL;
	}
	pthread_mutex_unlock(&events.lock);
	return error;
}
