/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* This process: going into the background, saying its number, what it may do. */
#ifndef HOST_PROCESS_H
#define HOST_PROCESS_H

#include "base/err.h"

struct loop;
struct process_signals;

/*
 * Call before there are threads. The child returns; the parent waits until the child says
 * process_detach() and ends with status 0, or with 1 if the child ends before.
 */
int process_daemonize(int *ready, struct err *err);
void process_detach(int ready); /* and gives the terminal up */
/* Signals that end the process (TERM, INT, HUP, ABRT) call this first; SIGPIPE is ignored. */
void process_end_cleanly(void (*restore)(void));
/* TERM, INT and HUP come to the loop's thread instead; once unwatched they are ignored. */
struct process_signals *process_watch_signals(struct loop *loop,
					      void (*arrived)(void *context, int number),
					      void *context);
void process_unwatch_signals(struct process_signals *signals);
int process_write_pidfile(const char *path, struct err *err);
void process_set_name(const char *name); /* for ps; its first 15 bytes */
bool process_has_io_uring(void);

#endif
