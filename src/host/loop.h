/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The event loop: descriptors, timers and posted calls, on one thread (epoll, timerfd, eventfd). */
#ifndef HOST_LOOP_H
#define HOST_LOOP_H

#include "base/bits.h"

struct loop;
struct loop_watch;
struct loop_timer;

struct loop *loop_new(void);
void loop_free(struct loop *loop);
int loop_run(struct loop *loop); /* until loop_quit; returns its code */
void loop_quit(struct loop *loop, int code); /* any thread */
void loop_turn(struct loop *loop, int timeout_ms); /* one batch of events; -1: sleeps for it */

enum { LOOP_READ = 1, LOOP_WRITE = 4, LOOP_HANGUP = 16 };
/* NULL: this descriptor cannot be waited for (a plain file is always ready). */
struct loop_watch *loop_watch(struct loop *loop, int fd, unsigned events,
			      void (*ready)(void *context, unsigned events), void *context);
void loop_watch_change(struct loop_watch *watch, unsigned events);
void loop_unwatch(struct loop_watch *watch); /* safe inside `ready` */

struct loop_timer *loop_timer_new(struct loop *loop, void (*fire)(void *context), void *context);
void loop_timer_arm(struct loop_timer *timer, uint64_t deadline_ns); /* monotonic; any thread */
void loop_timer_stop(struct loop_timer *timer);
void loop_timer_free(struct loop_timer *timer);

/* Any thread: `call` runs on the loop's thread, in order. */
void loop_post(struct loop *loop, void (*call)(void *context), void *context);
/* The loop's thread, or while it does not run: no posted call with this context will come. */
void loop_unpost(struct loop *loop, const void *context);

#endif
