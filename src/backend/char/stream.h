/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A chardev on a pair of descriptors: the common part of stdio, file, pty and sockets.
 *
 * With `mux` there are two chardevs on it, ID and ID-mon, and Ctrl-A C on the input switches between
 * them; Ctrl-A X ends the program, Ctrl-A B sends a break, Ctrl-A H helps.
 */
#ifndef BACKEND_STREAM_H
#define BACKEND_STREAM_H

#include "backend/char/char.h"

struct stream;

struct stream_options {
	const char *id;
	int in, out;      /* -1: no such direction; the stream owns and closes both */
	bool mux;
	bool keeps_open;  /* in and out are the program's own: not closed */
	/* The peer went away: the owner may give another one with stream_set. NULL: stay closed. */
	void (*gone)(void *owner);
	void *owner;
};

struct stream *stream_new(struct board *board, struct loop *loop, const struct stream_options *o,
			  const char *kind, struct err *err);
void stream_set(struct stream *stream, int in, int out); /* a new peer */
bool stream_is_open(const struct stream *stream);

#endif
