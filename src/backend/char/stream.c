/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bytes over descriptors: see stream.h. Runs on the loop's thread but for `send`. */
#include "backend/char/stream.h"

#include "core/board.h"
#include "host/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 4096, PENDING_MAX = 1 << 20, CTRL_A = 1 };

struct stream {
	struct board *board;
	struct loop *loop;
	struct stream_options options;
	char *id;
	struct chardev *chardev[2]; /* the second: the monitor of a mux */
	unsigned focus;
	bool after_escape;
	struct loop_watch *in_watch, *out_watch;
	int in, out;
	uint8_t *pending; /* accepted, not written yet; under the board's lock */
	size_t pending_size;
};

static const char mux_help[] = "\r\nCtrl-A H    this help\r\nCtrl-A X    exit\r\n"
			       "Ctrl-A B    send break\r\n"
			       "Ctrl-A C    switch between console and monitor\r\n"
			       "Ctrl-A Ctrl-A  sends Ctrl-A\r\n";

static void close_peer(struct stream *s)
{
	if (s->in_watch)
		loop_unwatch(s->in_watch);
	if (s->out_watch)
		loop_unwatch(s->out_watch);
	s->in_watch = s->out_watch = NULL;
	if (!s->options.keeps_open) {
		if (s->in >= 0)
			close(s->in);
		if (s->out >= 0 && s->out != s->in)
			close(s->out);
	}
	s->in = s->out = -1;
	s->pending_size = 0;
}

static void lose_peer(struct stream *s)
{
	board_lock(s->board);
	close_peer(s);
	board_unlock(s->board);
	for (unsigned i = 0; i < 2 && s->chardev[i]; i++)
		chardev_set_open(s->chardev[i], false);
	if (s->options.gone)
		s->options.gone(s->options.owner);
}

/* What the descriptor takes now; the rest stays in `pending`. Board locked. */
static void write_pending(struct stream *s)
{
	size_t done = 0;

	while (done < s->pending_size && s->out >= 0) {
		ssize_t n = write(s->out, s->pending + done, s->pending_size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (n < 0) { /* nobody reads any more */
			done = s->pending_size;
			break;
		}
		done += n;
	}
	memmove(s->pending, s->pending + done, s->pending_size - done);
	s->pending_size -= done;
}

static void on_writable(void *context, unsigned events)
{
	struct stream *s = context;
	bool empty;

	board_lock(s->board);
	write_pending(s);
	empty = !s->pending_size;
	if (empty && s->out_watch) {
		loop_unwatch(s->out_watch);
		s->out_watch = NULL;
	}
	board_unlock(s->board);
	for (unsigned i = 0; i < 2 && s->chardev[i] && empty; i++)
		chardev_can_send(s->chardev[i]);
}

static void watch_output(void *context)
{
	struct stream *s = context;

	board_lock(s->board);
	if (s->pending_size && s->out >= 0 && !s->out_watch)
		s->out_watch = loop_watch(s->loop, s->out, LOOP_WRITE, on_writable, s);
	board_unlock(s->board);
}

/* Under the board's lock, any thread. */
static size_t stream_send(void *peer, const uint8_t *bytes, size_t count)
{
	struct stream *s = peer;
	size_t room = PENDING_MAX - s->pending_size, taken = MIN(count, room);
	bool was_empty = !s->pending_size;

	if (s->out < 0)
		return count; /* a line with nobody at the other end */
	s->pending = realloc(s->pending, s->pending_size + taken + 1);
	if (!s->pending)
		abort();
	memcpy(s->pending + s->pending_size, bytes, taken);
	s->pending_size += taken;
	if (was_empty)
		write_pending(s);
	if (was_empty && s->pending_size)
		loop_post(s->loop, watch_output, s);
	return taken;
}

static void on_readable(void *context, unsigned events);

static void resume_input(void *context)
{
	struct stream *s = context;

	if (s->in >= 0 && !s->in_watch && chardev_room(s->chardev[s->focus]))
		s->in_watch = loop_watch(s->loop, s->in, LOOP_READ, on_readable, s);
}

static void stream_room(void *peer)
{
	struct stream *s = peer;

	if (s->in >= 0 && !s->in_watch)
		loop_post(s->loop, resume_input, s);
}

static void say(struct stream *s, const char *text)
{
	board_lock(s->board);
	stream_send(s, (const uint8_t *)text, strlen(text));
	board_unlock(s->board);
}

/* The key after Ctrl-A; true if it is to be passed on. */
static bool escape_key(struct stream *s, uint8_t key)
{
	switch (key) {
	case 'x':
	case 'X':
		loop_quit(s->loop, 0);
		return false;
	case 'c':
	case 'C':
		s->focus ^= s->chardev[1] != NULL;
		if (s->focus)
			say(s, "\r\n");
		chardev_deliver(s->chardev[s->focus], (const uint8_t *)"\r", s->focus);
		return false;
	case 'h':
	case 'H':
	case '?':
		say(s, mux_help);
		return false;
	case CTRL_A:
		return true;
	default:
		return false;
	}
}

static void deliver(struct stream *s, const uint8_t *bytes, size_t count)
{
	if (!s->options.mux) {
		chardev_deliver(s->chardev[0], bytes, count);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		if (!s->after_escape && bytes[i] == CTRL_A) {
			s->after_escape = true;
			continue;
		}
		if (s->after_escape) {
			s->after_escape = false;
			if (!escape_key(s, bytes[i]))
				continue;
		}
		if (chardev_room(s->chardev[s->focus]))
			chardev_deliver(s->chardev[s->focus], &bytes[i], 1);
	}
}

static void on_readable(void *context, unsigned events)
{
	struct stream *s = context;
	size_t room = chardev_room(s->chardev[s->focus]);
	uint8_t bytes[CHUNK];
	ssize_t n;

	/* A mux always reads: the escape keys work even when the guest listens to nothing. */
	if (s->options.mux)
		room = MAX(room, 1u);
	if (!room) {
		loop_unwatch(s->in_watch);
		s->in_watch = NULL;
		return;
	}
	n = read(s->in, bytes, MIN(room, sizeof(bytes)));
	if (n > 0) {
		deliver(s, bytes, n);
	} else if (n == 0 && s->options.keeps_open) { /* end of our own input: output goes on */
		loop_unwatch(s->in_watch);
		s->in_watch = NULL;
		s->in = -1;
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		lose_peer(s);
	}
}

static void stream_close(void *peer)
{
	struct stream *s = peer;

	if (s->chardev[1] && s->focus != 2) { /* the first of two to go */
		s->focus = 2;
		return;
	}
	close_peer(s);
	free(s->pending);
	free(s->id);
	free(s);
}

void stream_set(struct stream *s, int in, int out)
{
	board_lock(s->board);
	close_peer(s);
	s->in = in;
	s->out = out;
	if (in >= 0 && !s->options.keeps_open)
		fcntl(in, F_SETFL, fcntl(in, F_GETFL) | O_NONBLOCK);
	if (out >= 0 && !s->options.keeps_open)
		fcntl(out, F_SETFL, fcntl(out, F_GETFL) | O_NONBLOCK);
	board_unlock(s->board);
	for (unsigned i = 0; i < 2 && s->chardev[i]; i++)
		chardev_set_open(s->chardev[i], in >= 0 || out >= 0);
	if (in >= 0)
		s->in_watch = loop_watch(s->loop, in, LOOP_READ, on_readable, s);
}

bool stream_is_open(const struct stream *s)
{
	return s->in >= 0 || s->out >= 0;
}

static const struct chardev_driver stream_driver = {
	.name = "stream",
	.send = stream_send,
	.room = stream_room,
	.close = stream_close,
};

struct stream *stream_new(struct board *board, struct loop *loop, const struct stream_options *o,
			  const char *kind, struct err *err)
{
	struct stream *s = calloc(1, sizeof(*s));
	char monitor[64];

	if (!s)
		abort();
	s->board = board;
	s->loop = loop;
	s->options = *o;
	s->in = s->out = -1;
	s->id = strdup(o->id);
	s->options.id = s->id;
	s->chardev[0] = chardev_new(board, o->id, &stream_driver, s, err);
	if (!s->chardev[0]) {
		free(s->id);
		free(s);
		return NULL;
	}
	snprintf(monitor, sizeof(monitor), "%s-mon", o->id);
	if (o->mux)
		s->chardev[1] = chardev_new(board, monitor, &stream_driver, s, err);
	if (o->mux && !s->chardev[1])
		return NULL;
	if (o->in >= 0 || o->out >= 0)
		stream_set(s, o->in, o->out);
	return s;
}
