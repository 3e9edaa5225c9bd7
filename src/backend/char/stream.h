/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A chardev on a pair of descriptors: the common part of stdio, file, pty and sockets.
 *
 * With `mux` there are two chardevs on it, ID and ID-mon, and Ctrl-A C on the input switches between
 * them; Ctrl-A X ends the program, Ctrl-A B sends a break, Ctrl-A H helps. ID-mon is open while it
 * has the input.
 */
#ifndef BACKEND_STREAM_H
#define BACKEND_STREAM_H

#include "backend/char/char.h"

struct stream;

struct stream_options {
	const char *id;
	int in, out;      /* -1: no such direction; the stream owns and closes both */
	bool mux;
	bool keeps_open;  /* in and out are the program's own: not closed, not made non-blocking */
	bool drops_old;   /* nobody may ever read: the oldest output makes room for the newest */
	char *log;        /* a file that gets a copy of all output; the stream takes the name over */
	bool log_append;
	/* Both optional. The peer went away: the owner may give another one with stream_set. */
	void (*gone)(void *owner);
	void (*closed)(void *owner); /* the stream is being freed */
	void *owner;
};

/* Options that every kind of stream has: mux, logfile, logappend. */
int stream_common_options(struct stream_options *o, struct options *options, struct err *err);
/* `kind`: what query-chardev shows ("pty:/dev/pts/3"). NULL after a failure; o->in and o->out are
 * closed then unless they are kept open. */
struct stream *stream_new(struct board *board, struct loop *loop, const struct stream_options *o,
			  const char *kind, struct err *err);
void stream_set(struct stream *stream, int in, int out); /* a new peer; out may be in */
bool stream_is_open(const struct stream *stream);

#endif
