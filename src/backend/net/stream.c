/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Frames over a stream socket, each after its length (32 bits, big-endian): passt, another VM.
 *
 *	-netdev stream,id=n0,server=off,addr.type=unix,addr.path=PATH
 *	-netdev stream,id=n0,server=on,addr.type=inet,addr.host=HOST,addr.port=PORT
 *	-netdev socket,id=n0,listen=[HOST]:PORT   or connect=HOST:PORT
 *
 * A server takes one peer at a time. The link is down while there is none. All socket work is done
 * on the loop's thread.
 *
 * Not modelled: socket's mcast= and udp=, reconnect=, TLS.
 */
#include "backend/net/internal.h"
#include "base/bytes.h"
#include "host/loop.h"
#include "host/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { LENGTH_BYTES = 4, BUFFER_BYTES = LENGTH_BYTES + NET_FRAME_MAX };

struct stream_net {
	struct netdev *netdev;
	struct loop *loop;
	struct outbox outbox;
	int listener, peer; /* -1: none */
	struct loop_watch *listen_watch, *peer_watch;
	struct net_frame *sending; /* partly written */
	size_t sent;               /* of it, its length included */
	size_t received;
	uint8_t buffer[BUFFER_BYTES];
};

static void drop_peer(struct stream_net *net)
{
	if (net->peer < 0)
		return;
	if (net->peer_watch)
		loop_unwatch(net->peer_watch);
	net->peer_watch = NULL;
	close(net->peer);
	net->peer = -1;
	free(net->sending);
	net->sending = NULL;
	net->received = 0;
	if (net->netdev)
		netdev_set_link(net->netdev, false);
}

/* False: the socket is full, or gone. */
static bool send_one(struct stream_net *net)
{
	uint8_t length[LENGTH_BYTES];
	struct iovec iov[2];
	struct msghdr message = { .msg_iov = iov, .msg_iovlen = 2 };
	size_t whole = LENGTH_BYTES + net->sending->bytes, skip = MIN(net->sent, LENGTH_BYTES);
	ssize_t put;

	store_be32(length, (uint32_t)net->sending->bytes);
	iov[0] = (struct iovec){ length + skip, LENGTH_BYTES - skip };
	iov[1] = (struct iovec){ net->sending->data + (net->sent - skip),
				 net->sending->bytes - (net->sent - skip) };
	put = sendmsg(net->peer, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (put < 0) {
		if (errno != EAGAIN && errno != EINTR && errno != ENOTCONN)
			drop_peer(net);
		return false;
	}
	net->sent += (size_t)put;
	if (net->sent < whole)
		return false;
	free(net->sending);
	net->sending = NULL;
	return true;
}

static void run(void *context)
{
	struct stream_net *net = context;
	struct net_frame *frame;

	while (net->peer >= 0) {
		if (!net->sending) {
			net->sending = outbox_take(&net->outbox);
			net->sent = 0;
		}
		if (!net->sending || !send_one(net))
			break;
	}
	if (net->peer_watch)
		loop_watch_change(net->peer_watch,
				  net->sending ? LOOP_READ | LOOP_WRITE : LOOP_READ);
	while (net->peer < 0 && (frame = outbox_take(&net->outbox)))
		free(frame); /* an unplugged cable */
}

/* Hands on every whole frame in the buffer. False: the peer talks nonsense. */
static bool deliver_whole_frames(struct stream_net *net)
{
	size_t at = 0;

	while (net->received - at >= LENGTH_BYTES) {
		uint32_t bytes = load_be32(net->buffer + at);

		if (!bytes || bytes > NET_FRAME_MAX)
			return false;
		if (net->received - at < LENGTH_BYTES + bytes)
			break;
		netdev_deliver(net->netdev, net->buffer + at + LENGTH_BYTES, bytes);
		at += LENGTH_BYTES + bytes;
	}
	net->received -= at;
	memmove(net->buffer, net->buffer + at, net->received);
	return true;
}

static void on_peer(void *context, unsigned events)
{
	struct stream_net *net = context;
	ssize_t got;

	if (events & LOOP_WRITE)
		run(net);
	if (net->peer < 0 || !(events & (LOOP_READ | LOOP_HANGUP)))
		return;
	got = recv(net->peer, net->buffer + net->received, BUFFER_BYTES - net->received,
		   MSG_DONTWAIT);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got > 0)
		net->received += (size_t)got;
	if (got <= 0 || !deliver_whole_frames(net))
		drop_peer(net);
}

static void set_peer(struct stream_net *net, int fd)
{
	net->peer = fd;
	net->peer_watch = loop_watch(net->loop, fd, LOOP_READ, on_peer, net);
	netdev_set_link(net->netdev, true);
}

static void on_connection(void *context, unsigned events)
{
	struct stream_net *net = context;
	int fd = accept4(net->listener, NULL, NULL, SOCK_CLOEXEC);

	(void)events;
	if (fd >= 0 && net->peer >= 0)
		close(fd);
	else if (fd >= 0)
		set_peer(net, fd);
}

static void stream_send(void *peer, const uint8_t *frame, size_t bytes)
{
	outbox_put(&((struct stream_net *)peer)->outbox, frame, bytes);
}

static void stream_release(void *context)
{
	free(context);
}

static void stream_close(void *peer)
{
	struct stream_net *net = peer;

	net->netdev = NULL;
	drop_peer(net);
	if (net->listen_watch)
		loop_unwatch(net->listen_watch);
	if (net->listener >= 0)
		close(net->listener);
	outbox_close(&net->outbox);
}

static const struct netdev_driver stream_driver = {
	.name = "stream",
	.send = stream_send,
	.close = stream_close,
};

/* Binds or connects; the descriptor, or -errno. */
static int use_address(int fd, const struct sockaddr *address, socklen_t bytes, bool server)
{
	int one = 1, code;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (server ? !bind(fd, address, bytes) && !listen(fd, 1) : !connect(fd, address, bytes))
		return fd;
	code = errno;
	close(fd);
	return -code;
}

static int open_unix(const char *path, bool server, struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(address.sun_path))
		return fail(err, ENAMETOOLONG, "the socket's path \"%s\" is too long", path);
	strcpy(address.sun_path, path);
	if (server)
		unlink(path);
	fd = use_address(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0),
			 (struct sockaddr *)&address, sizeof(address), server);
	if (fd < 0)
		return fail(err, -fd, "cannot %s \"%s\": %s", server ? "listen at" : "connect to",
			    path, strerror(-fd));
	return fd;
}

static int open_inet(const char *host, const char *port, bool server, struct err *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = server ? AI_PASSIVE : 0 };
	struct addrinfo *list;
	int fd = -EADDRNOTAVAIL, code;

	code = getaddrinfo(host && *host ? host : NULL, port, &hints, &list);
	if (code)
		return fail(err, EINVAL, "cannot look up %s port %s: %s", host ? host : "", port,
			    gai_strerror(code));
	for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next)
		fd = use_address(socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0), a->ai_addr,
				 a->ai_addrlen, server);
	freeaddrinfo(list);
	if (fd < 0)
		return fail(err, -fd, "cannot %s %s port %s: %s",
			    server ? "listen at" : "connect to",
			    host && *host ? host : "any address", port, strerror(-fd));
	return fd;
}

/* listen=[HOST]:PORT, connect=HOST:PORT */
static int open_socket_option(struct options *options, bool *server, struct err *err)
{
	const char *listens = options_get(options, "listen"),
		   *connects = options_get(options, "connect");
	const char *text = listens ? listens : connects, *colon = text ? strrchr(text, ':') : NULL;
	char *host;
	int error = options_check(options, err), fd;

	if (error)
		return error;
	if (!colon || (listens && connects))
		return fail(err, EINVAL, "%s socket needs listen=[HOST]:PORT or connect=HOST:PORT",
			    options->what);
	*server = listens;
	host = must_format("%.*s", (int)(colon - text), text);
	fd = open_inet(host, colon + 1, *server, err);
	free(host);
	return fd;
}

static int open_stream_options(struct options *options, bool *server, struct err *err)
{
	const char *type = options_get(options, "addr.type"),
		   *path = options_get(options, "addr.path");
	const char *host = options_get(options, "addr.host"),
		   *port = options_get(options, "addr.port");
	int error = options_bool(options, "server", false, server, err);

	if (!error)
		error = options_check(options, err);
	if (error)
		return error;
	if (type && !strcmp(type, "unix") && path)
		return open_unix(path, *server, err);
	if (type && !strcmp(type, "inet") && port)
		return open_inet(host, port, *server, err);
	return fail(err, EINVAL,
		    "%s stream needs addr.type=unix,addr.path=PATH or "
		    "addr.type=inet,addr.host=HOST,addr.port=PORT",
		    options->what);
}

int stream_netdev_open(struct board *board, struct loop *loop, const char *id, bool is_socket,
		       struct options *options, struct err *err)
{
	struct stream_net *net;
	bool server = false;
	int fd = is_socket ? open_socket_option(options, &server, err)
			   : open_stream_options(options, &server, err);

	if (fd < 0)
		return fd;
	net = must_alloc(sizeof(*net));
	net->loop = loop;
	net->listener = net->peer = -1;
	outbox_init(&net->outbox, loop, net);
	net->outbox.run = run;
	net->outbox.release = stream_release;
	net->netdev = netdev_new(board, id, &stream_driver, net, err);
	if (!net->netdev) {
		close(fd);
		outbox_close(&net->outbox);
		return -EEXIST;
	}
	if (!server) {
		set_peer(net, fd);
		return 0;
	}
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	net->listener = fd;
	net->listen_watch = loop_watch(loop, fd, LOOP_READ, on_connection, net);
	netdev_set_link(net->netdev, false);
	return 0;
}
