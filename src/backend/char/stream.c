/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bytes over descriptors: see stream.h. Runs on the loop's thread but for `send`.
 *
 * Not modelled: the break that Ctrl-A B would send (it is swallowed).
 */
#include "backend/char/stream.h"

#include "core/board.h"
#include "host/loop.h"
#include "host/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 4096, PENDING_MAX = 1 << 20, CTRL_A = 1, CONSOLE = 0, MONITOR = 1 };

struct stream {
	struct board *board;
	struct loop *loop;
	struct stream_options options;
	struct chardev_driver driver;
	char *id, *kind;
	struct chardev *chardev[2]; /* the second: the monitor of a mux */
	unsigned chardevs;          /* not freed yet */
	unsigned focus;
	bool after_escape;
	struct loop_watch *in_watch, *out_watch;
	int in, out, log;
	uint8_t held[CHUNK]; /* a mux's input that the one in focus has no room for */
	size_t held_size;
	uint8_t *pending; /* accepted, not written yet; under the board's lock, as are the next */
	size_t pending_size;
	unsigned posted; /* calls under way to the loop */
	bool dead;       /* to be freed when the last of them has come */
};

static const char mux_help[] = "\r\nCtrl-A H    this help\r\nCtrl-A X    exit\r\n"
			       "Ctrl-A B    send break\r\n"
			       "Ctrl-A C    switch between console and monitor\r\n"
			       "Ctrl-A Ctrl-A  sends Ctrl-A\r\n";

static void stream_free(struct stream *s)
{
	free(s->pending);
	free(s->id);
	free(s->kind);
	free(s);
}

/* True: carry on with the call that was posted. */
static bool arrived(struct stream *s)
{
	s->posted--;
	if (s->dead && !s->posted)
		stream_free(s);
	else
		return !s->dead;
	return false;
}

static void post(struct stream *s, void (*call)(void *context))
{
	s->posted++;
	loop_post(s->loop, call, s);
}

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
		if (s->out >= 0)
			close(s->out);
	}
	s->in = s->out = -1;
	s->pending_size = s->held_size = 0;
}

static void show_open(struct stream *s)
{
	bool open = stream_is_open(s);

	chardev_set_open(s->chardev[CONSOLE], open);
	if (s->chardev[MONITOR])
		chardev_set_open(s->chardev[MONITOR], open && s->focus == MONITOR);
}

static void lose_peer(struct stream *s)
{
	board_lock(s->board);
	close_peer(s);
	board_unlock(s->board);
	show_open(s);
	if (s->options.gone)
		s->options.gone(s->options.owner);
}

/* A descriptor that we may not make non-blocking is asked first, and gets little at a time. */
static ssize_t write_some(const struct stream *s, const uint8_t *bytes, size_t count)
{
	struct pollfd ready = { .fd = s->out, .events = POLLOUT };

	if (s->options.keeps_open) {
		if (poll(&ready, 1, 0) == 0) {
			errno = EAGAIN;
			return -1;
		}
		count = MIN(count, 512u);
	}
	return write(s->out, bytes, count);
}

/* What the descriptor takes now; the rest stays in `pending`. Board locked. */
static void write_pending(struct stream *s)
{
	size_t done = 0;

	while (done < s->pending_size && s->out >= 0) {
		ssize_t n = write_some(s, s->pending + done, s->pending_size - done);

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

	if (!arrived(s))
		return;
	board_lock(s->board);
	if (s->pending_size && s->out >= 0 && !s->out_watch)
		s->out_watch = loop_watch(s->loop, s->out, LOOP_WRITE, on_writable, s);
	board_unlock(s->board);
}

static void make_room(struct stream *s, size_t count)
{
	size_t room = PENDING_MAX - s->pending_size, drop;

	if (!s->options.drops_old || room >= count)
		return;
	drop = MIN(count - room, s->pending_size);
	memmove(s->pending, s->pending + drop, s->pending_size - drop);
	s->pending_size -= drop;
}

/* Under the board's lock, any thread. */
static size_t stream_send(void *peer, const uint8_t *bytes, size_t count)
{
	struct stream *s = peer;
	bool was_empty = !s->pending_size;
	size_t taken;

	if (s->out < 0) { /* a line with nobody at the other end */
		if (s->log >= 0)
			fd_write_all(s->log, bytes, count);
		return count;
	}
	make_room(s, count);
	taken = MIN(count, PENDING_MAX - s->pending_size);
	if (s->log >= 0)
		fd_write_all(s->log, bytes, taken);
	s->pending = must_realloc(s->pending, s->pending_size + taken + 1);
	memcpy(s->pending + s->pending_size, bytes, taken);
	s->pending_size += taken;
	if (was_empty)
		write_pending(s);
	if (was_empty && s->pending_size)
		post(s, watch_output);
	return taken;
}

static void on_readable(void *context, unsigned events);
static void give_held(struct stream *s);

static void resume_input(void *context)
{
	struct stream *s = context;

	if (!arrived(s))
		return;
	give_held(s);
	if (s->in >= 0 && !s->in_watch && (s->options.mux || chardev_room(s->chardev[CONSOLE])))
		s->in_watch = loop_watch(s->loop, s->in, LOOP_READ, on_readable, s);
}

static void stream_room(void *peer)
{
	struct stream *s = peer;

	if ((s->in >= 0 && !s->in_watch) || s->held_size)
		post(s, resume_input);
}

static void say(struct stream *s, const char *text)
{
	board_lock(s->board);
	stream_send(s, (const uint8_t *)text, strlen(text));
	board_unlock(s->board);
}

static void give_held(struct stream *s)
{
	while (s->held_size) {
		size_t n = MIN(s->held_size, chardev_room(s->chardev[s->focus]));

		if (!n)
			break;
		chardev_deliver(s->chardev[s->focus], s->held, n);
		s->held_size -= MIN(n, s->held_size); /* the peer may have gone meanwhile */
		memmove(s->held, s->held + n, s->held_size);
	}
}

static void switch_focus(struct stream *s)
{
	s->held_size = 0;
	if (s->focus == MONITOR)
		say(s, "\r\n");
	s->focus ^= 1;
	show_open(s);
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
		switch_focus(s);
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

/* A mux reads always, so that the escape keys work even when the guest listens to nothing. */
static void deliver_mux(struct stream *s, const uint8_t *bytes, size_t count)
{
	for (size_t i = 0; i < count && s->in >= 0; i++) {
		if (!s->after_escape && bytes[i] == CTRL_A) {
			s->after_escape = true;
			give_held(s);
			continue;
		}
		if (s->after_escape) {
			s->after_escape = false;
			if (!escape_key(s, bytes[i]))
				continue;
		}
		if (s->held_size == sizeof(s->held))
			give_held(s);
		if (s->held_size < sizeof(s->held))
			s->held[s->held_size++] = bytes[i];
	}
	give_held(s);
}

static void stop_reading(struct stream *s)
{
	loop_unwatch(s->in_watch);
	s->in_watch = NULL;
}

static void on_readable(void *context, unsigned events)
{
	struct stream *s = context;
	uint8_t bytes[CHUNK];
	size_t room = s->options.mux ? sizeof(bytes) : chardev_room(s->chardev[CONSOLE]);
	ssize_t n;

	if (!room) {
		stop_reading(s);
		return;
	}
	n = read(s->in, bytes, MIN(room, sizeof(bytes)));
	if (n > 0 && s->options.mux) {
		deliver_mux(s, bytes, n);
	} else if (n > 0) {
		chardev_deliver(s->chardev[CONSOLE], bytes, n);
	} else if (n == 0 && s->options.keeps_open) { /* end of our own input: output goes on */
		stop_reading(s);
		s->in = -1;
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		lose_peer(s);
	}
}

static void stream_close(void *peer)
{
	struct stream *s = peer;

	if (--s->chardevs) /* the first of two to go */
		return;
	if (s->pending_size)
		write_pending(s); /* a last try */
	close_peer(s);
	if (s->log >= 0)
		close(s->log);
	if (s->options.closed)
		s->options.closed(s->options.owner);
	if (s->posted)
		s->dead = true;
	else
		stream_free(s);
}

void stream_set(struct stream *s, int in, int out)
{
	if (in >= 0 && in == out) /* each is watched by itself */
		out = fcntl(in, F_DUPFD_CLOEXEC, 0);
	board_lock(s->board);
	close_peer(s);
	s->in = in;
	s->out = out;
	s->after_escape = false;
	if (in >= 0 && !s->options.keeps_open)
		fcntl(in, F_SETFL, fcntl(in, F_GETFL) | O_NONBLOCK);
	if (out >= 0 && !s->options.keeps_open)
		fcntl(out, F_SETFL, fcntl(out, F_GETFL) | O_NONBLOCK);
	board_unlock(s->board);
	show_open(s);
	if (s->in >= 0 && !s->in_watch)
		s->in_watch = loop_watch(s->loop, s->in, LOOP_READ, on_readable, s);
}

bool stream_is_open(const struct stream *s)
{
	return s->in >= 0 || s->out >= 0;
}

int stream_common_options(struct stream_options *o, struct options *options, struct err *err)
{
	const char *log = options_get(options, "logfile");
	int error = options_bool(options, "mux", false, &o->mux, err);

	if (!error)
		error = options_bool(options, "logappend", false, &o->log_append, err);
	if (!error)
		error = options_check(options, err);
	if (!error && log)
		o->log = must_strdup(log);
	return error;
}

static int open_log(struct stream *s, struct err *err)
{
	int how = O_WRONLY | O_CREAT | O_CLOEXEC | (s->options.log_append ? O_APPEND : O_TRUNC);
	char *path = s->options.log;
	int error = 0;

	s->log = -1;
	s->options.log = NULL;
	if (!path)
		return 0;
	s->log = open(path, how, 0644);
	if (s->log < 0)
		error = fail(err, errno, "cannot write the log \"%s\": %s", path, strerror(errno));
	free(path);
	return error;
}

static struct chardev *add_chardev(struct stream *s, const char *id, struct err *err)
{
	struct chardev *chardev = chardev_new(s->board, id, &s->driver, s, err);

	s->chardevs += chardev != NULL;
	return chardev;
}

struct stream *stream_new(struct board *board, struct loop *loop, const struct stream_options *o,
			  const char *kind, struct err *err)
{
	struct stream *s = must_alloc(sizeof(*s));
	char *monitor = must_format("%s-mon", o->id);

	s->board = board;
	s->loop = loop;
	s->options = *o;
	s->in = s->out = -1;
	s->id = must_strdup(o->id);
	s->kind = must_strdup(kind);
	s->options.id = s->id;
	s->driver = (struct chardev_driver){ .name = s->kind, .send = stream_send,
					     .room = stream_room, .close = stream_close };
	if (open_log(s, err))
		goto undo_alloc;
	s->chardev[CONSOLE] = add_chardev(s, o->id, err);
	if (!s->chardev[CONSOLE])
		goto undo_log;
	if (o->mux) {
		s->chardev[MONITOR] = add_chardev(s, monitor, err);
		if (!s->chardev[MONITOR]) {
			s->options.closed = NULL;
			chardev_free(s->chardev[CONSOLE]); /* and the stream with it */
			goto undo_descriptors;
		}
	}
	free(monitor);
	if (o->in >= 0 || o->out >= 0)
		stream_set(s, o->in, o->out);
	return s;

undo_log:
	if (s->log >= 0)
		close(s->log);
undo_alloc:
	stream_free(s);
undo_descriptors:
	free(monitor);
	if (!o->keeps_open && o->in >= 0)
		close(o->in);
	if (!o->keeps_open && o->out >= 0 && o->out != o->in)
		close(o->out);
	return NULL;
}
