/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sockets: path= (unix) or host= and port= (TCP); server[=on], wait[=off].
 *
 * A server takes one peer at a time and listens again when it has gone. A client connects once.
 */
#include "backend/char/socket.h"

#include "backend/char/stream.h"
#include "host/loop.h"
#include "host/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct server {
	struct loop *loop;
	struct stream *stream;
	int listener;
	char *path; /* to be removed at the end, or NULL */
	struct loop_watch *watch;
};

static int unix_socket(const char *path, bool server, struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(address.sun_path))
		return fail(err, ENAMETOOLONG, "the socket's path \"%s\" is longer than %zu", path,
			    sizeof(address.sun_path) - 1);
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail(err, errno, "cannot make a socket: %s", strerror(errno));
	if (server)
		unlink(path);
	if (server ? bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 1) :
		     connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		int code = errno;

		close(fd);
		return fail(err, code, "cannot %s \"%s\": %s", server ? "listen at" : "connect to",
			    path, strerror(code));
	}
	return fd;
}

static int tcp_socket(const char *host, const char *port, bool server, struct err *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = server ? AI_PASSIVE : 0 };
	struct addrinfo *list;
	int fd = -1, one = 1, code;

	code = getaddrinfo(host && *host ? host : NULL, port, &hints, &list);
	if (code)
		return fail(err, EINVAL, "cannot look up %s port %s: %s", host ? host : "", port,
			    gai_strerror(code));
	code = EADDRNOTAVAIL;
	for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
		fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd < 0)
			continue;
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (server ? bind(fd, a->ai_addr, a->ai_addrlen) || listen(fd, 1) :
			     connect(fd, a->ai_addr, a->ai_addrlen)) {
			code = errno;
			close(fd);
			fd = -1;
		}
	}
	freeaddrinfo(list);
	if (fd < 0)
		return fail(err, code, "cannot %s %s port %s: %s", server ? "listen at" : "connect to",
			    host && *host ? host : "any address", port, strerror(code));
	return fd;
}

static void on_connection(void *context, unsigned events)
{
	struct server *server = context;
	int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if (stream_is_open(server->stream)) /* one at a time */
		close(fd);
	else
		stream_set(server->stream, fd, fd);
}

static int wait_for_peer(struct server *server, const char *id)
{
	struct pollfd poll_for = { .fd = server->listener, .events = POLLIN };

	fprintf(stderr, "kelvin: waiting for a connection to chardev \"%s\"\n", id);
	while (poll(&poll_for, 1, -1) < 0 && errno == EINTR)
		;
	on_connection(server, LOOP_READ);
	return 0;
}

/* The stream is gone for good: so is the place to connect to. */
static void on_closed(void *context)
{
	struct server *server = context;

	if (server->watch)
		loop_unwatch(server->watch);
	if (server->listener >= 0)
		close(server->listener);
	if (server->path)
		unlink(server->path);
	free(server->path);
	free(server);
}

static int open_listener(struct board *board, struct loop *loop, struct stream_options *o,
			 struct server *server, const char *kind, struct err *err)
{
	o->closed = on_closed;
	o->owner = server;
	server->loop = loop;
	server->stream = stream_new(board, loop, o, kind, err);
	if (!server->stream) {
		on_closed(server);
		return -err->code;
	}
	fcntl(server->listener, F_SETFL, fcntl(server->listener, F_GETFL) | O_NONBLOCK);
	server->watch = loop_watch(loop, server->listener, LOOP_READ, on_connection, server);
	return 0;
}

struct socket_options {
	const char *path, *host, *port;
	bool server, wait, ignored;
};

static int read_options(struct socket_options *so, struct stream_options *o,
			struct options *options, struct err *err)
{
	int error;

	so->path = options_get(options, "path");
	so->host = options_get(options, "host");
	so->port = options_get(options, "port");
	error = options_bool(options, "server", false, &so->server, err);
	if (!error)
		error = options_bool(options, "wait", so->server, &so->wait, err);
	if (!error)
		error = options_bool(options, "delay", false, &so->ignored, err);
	if (!error)
		error = options_bool(options, "nodelay", false, &so->ignored, err);
	if (!error)
		error = stream_common_options(o, options, err);
	if (!error && !so->path && !so->port)
		error = fail(err, EINVAL, "-chardev socket needs path=, or host= and port=");
	return error;
}

int socket_chardev_open(struct board *board, struct loop *loop, const char *id,
			struct options *options, struct err *err)
{
	struct stream_options o = { .id = id, .in = -1, .out = -1 };
	struct socket_options so;
	struct server *server;
	char *kind;
	int error = read_options(&so, &o, options, err), fd;

	if (error)
		return error;
	fd = so.path ? unix_socket(so.path, so.server, err) :
		       tcp_socket(so.host, so.port, so.server, err);
	if (fd < 0)
		return fd;
	kind = so.path ? must_format("unix:%s%s", so.path, so.server ? ",server=on" : "") :
			 must_format("tcp:%s:%s%s", so.host ? so.host : "", so.port,
				     so.server ? ",server=on" : "");
	if (so.server) {
		server = must_alloc(sizeof(*server));
		server->listener = fd;
		server->path = so.path ? must_strdup(so.path) : NULL;
		error = open_listener(board, loop, &o, server, kind, err);
		if (!error && so.wait)
			error = wait_for_peer(server, id);
	} else {
		o.in = o.out = fd;
		error = stream_new(board, loop, &o, kind, err) ? 0 : -err->code;
	}
	free(kind);
	return error;
}
