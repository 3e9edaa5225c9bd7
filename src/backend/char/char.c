/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Byte streams by name: stdio, file, pipe, pty, null; sockets are in socket.c.
 *
 * Not modelled: ringbuf, udp, braille, spice channels; websocket and TLS sockets.
 */
#include "backend/char/char.h"

#include "backend/char/socket.h"
#include "backend/char/stream.h"
#include "host/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static struct termios terminal_before;
static volatile bool terminal_is_raw;

void terminal_restore(void)
{
	if (terminal_is_raw)
		tcsetattr(STDIN_FILENO, TCSANOW, &terminal_before);
	terminal_is_raw = false;
}

static void terminal_make_raw(bool signals)
{
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &terminal_before))
		return;
	raw = terminal_before;
	cfmakeraw(&raw);
	raw.c_oflag |= OPOST; /* a guest's log lines end in \n alone now and then */
	if (signals)
		raw.c_lflag |= ISIG;
	terminal_is_raw = true;
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

static int open_stdio(struct board *board, struct loop *loop, const char *id,
		      struct options *options, struct err *err)
{
	static char *user;
	struct stream_options o = { .id = id, .in = STDIN_FILENO, .out = STDOUT_FILENO,
				    .keeps_open = true };
	bool signals;
	int error = options_bool(options, "signal", false, &signals, err);

	if (!error)
		error = stream_common_options(&o, options, err);
	if (error)
		return error;
	if (user)
		return fail(err, EBUSY, "the terminal is used twice: by \"%s\" and \"%s\"", user, id);
	user = must_strdup(id);
	if (isatty(STDIN_FILENO))
		terminal_make_raw(signals);
	return stream_new(board, loop, &o, "stdio", err) ? 0 : -err->code;
}

/* Makes the stream under a name for query-chardev. */
static int open_named(struct board *board, struct loop *loop, const struct stream_options *o,
		      const char *kind, const char *path, struct err *err)
{
	char *name = must_format("%s:%s", kind, path);
	struct stream *stream = stream_new(board, loop, o, name, err);

	free(name);
	return stream ? 0 : -err->code;
}

static int open_file(struct board *board, struct loop *loop, const char *id,
		     struct options *options, struct err *err)
{
	struct stream_options o = { .id = id, .in = -1 };
	const char *path = options_get(options, "path");
	bool append;
	int error = options_bool(options, "append", false, &append, err);

	if (!error)
		error = stream_common_options(&o, options, err);
	if (error)
		return error;
	if (!path)
		return fail(err, EINVAL, "-chardev file needs path=");
	o.out = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (append ? O_APPEND : O_TRUNC), 0644);
	if (o.out < 0)
		return fail(err, errno, "cannot write \"%s\": %s", path, strerror(errno));
	return open_named(board, loop, &o, "file", path, err);
}

/* A pair of named pipes PATH.in and PATH.out, or one that does for both; also a real tty. */
static int open_pipe(struct board *board, struct loop *loop, const char *id,
		     struct options *options, struct err *err)
{
	struct stream_options o = { .id = id };
	const char *path = options_get(options, "path");
	char *in, *out;
	int error = stream_common_options(&o, options, err);

	if (error)
		return error;
	if (!path)
		return fail(err, EINVAL, "-chardev pipe needs path=");
	in = must_format("%s.in", path);
	out = must_format("%s.out", path);
	o.in = open(in, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	o.out = o.in < 0 ? -1 : open(out, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	free(in);
	free(out);
	if (o.out < 0) {
		if (o.in >= 0)
			close(o.in);
		o.in = o.out = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	}
	if (o.in < 0)
		return fail(err, errno, "cannot open the pipe \"%s\": %s", path, strerror(errno));
	return open_named(board, loop, &o, "pipe", path, err);
}

static int open_pty(struct board *board, struct loop *loop, const char *id,
		    struct options *options, struct err *err)
{
	struct stream_options o = { .id = id, .drops_old = true };
	struct termios raw;
	int error = stream_common_options(&o, options, err), peer;

	if (error)
		return error;
	o.in = o.out = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (o.in < 0 || grantpt(o.in) || unlockpt(o.in))
		return fail(err, errno, "cannot make a pseudo-terminal: %s", strerror(errno));
	/* Holding the other end open keeps reads from failing while nobody is connected. */
	peer = open(ptsname(o.in), O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (peer >= 0 && !tcgetattr(peer, &raw)) {
		cfmakeraw(&raw);
		tcsetattr(peer, TCSANOW, &raw);
	}
	printf("char device redirected to %s (label %s)\n", ptsname(o.in), id);
	fflush(stdout);
	return open_named(board, loop, &o, "pty", ptsname(o.in), err);
}

static int open_null(struct board *board, struct loop *loop, const char *id,
		     struct options *options, struct err *err)
{
	struct stream_options o = { .id = id, .in = -1, .out = -1 };
	int error = stream_common_options(&o, options, err);

	return error ? error : stream_new(board, loop, &o, "null", err) ? 0 : -err->code;
}

static const struct {
	const char *name;
	int (*open)(struct board *board, struct loop *loop, const char *id,
		    struct options *options, struct err *err);
} backends[] = {
	{ "stdio", open_stdio }, { "file", open_file }, { "pty", open_pty },
	{ "null", open_null },   { "socket", socket_chardev_open },
	{ "pipe", open_pipe },   { "serial", open_pipe },
	{ "tty", open_pipe },
};

const char *chardev_type(unsigned number)
{
	return number < ARRAY_LEN(backends) ? backends[number].name : NULL;
}

int chardev_open(struct board *board, struct loop *loop, struct options *options, struct err *err)
{
	const char *name = options_get(options, "backend"), *id = options_get(options, "id");

	if (!id)
		return fail(err, EINVAL, "-chardev \"%s\" needs id=", name ? name : "");
	for (unsigned i = 0; name && i < ARRAY_LEN(backends); i++)
		if (!strcmp(name, backends[i].name))
			return backends[i].open(board, loop, id, options, err);
	return fail(err, EINVAL, "there is no chardev \"%s\"; use stdio, file, pty, pipe, serial, socket or null",
		    name ? name : "");
}
