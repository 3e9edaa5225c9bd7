/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where a VNC server listens: "HOST:N", "[V6]:N", ":N", "unix:PATH".
 *
 * Not modelled: reverse connections, websocket=, TLS.
 */
#include "backend/display/vnc_listen.h"

#include "host/memory.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { BASE_PORT = 5900, BACKLOG = 8 };

void vnc_listen_close(struct vnc_listen *listen)
{
	for (unsigned i = 0; i < listen->count; i++)
		close(listen->fd[i]);
	if (listen->path)
		unlink(listen->path);
	free(listen->path);
	*listen = (struct vnc_listen){ 0 };
}

static int open_unix(struct vnc_listen *to, const char *path, struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd, code;

	if (!*path || strlen(path) >= sizeof(address.sun_path))
		return fail(err, EINVAL, "-vnc unix: needs a path of 1 to %zu characters",
			    sizeof(address.sun_path) - 1);
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fail(err, errno, "cannot make a socket: %s", strerror(errno));
	unlink(path);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, BACKLOG)) {
		code = errno;
		close(fd);
		return fail(err, code, "VNC cannot listen at \"%s\": %s", path, strerror(code));
	}
	to->path = must_strdup(path);
	to->fd[to->count++] = fd;
	return 0;
}

static int open_one(const struct addrinfo *a)
{
	int one = 1, code;
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (a->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (!bind(fd, a->ai_addr, a->ai_addrlen) && !listen(fd, BACKLOG))
		return fd;
	code = errno;
	close(fd);
	return -code;
}

/* Every address that the name stands for; one that is taken is an error. */
static int open_port(struct vnc_listen *to, const char *host, unsigned port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };
	struct addrinfo *list;
	char service[16];
	int code = -EADDRNOTAVAIL;

	snprintf(service, sizeof(service), "%u", port);
	if (getaddrinfo(*host ? host : NULL, service, &hints, &list))
		return -EADDRNOTAVAIL;
	for (struct addrinfo *a = list; a && to->count < VNC_LISTENERS; a = a->ai_next) {
		int fd = open_one(a);

		if (fd >= 0)
			to->fd[to->count++] = fd;
		else
			code = fd;
		if (fd == -EADDRINUSE || fd == -EACCES)
			break;
	}
	freeaddrinfo(list);
	if (to->count && code != -EADDRINUSE)
		return 0;
	vnc_listen_close(to);
	return code;
}

int vnc_listen_open(struct vnc_listen *listen, const struct vnc_options *options, struct err *err)
{
	const char *colon = strrchr(options->address, ':');
	unsigned long number, last;
	char host[64], *end;
	int code;

	*listen = (struct vnc_listen){ 0 };
	if (!strncmp(options->address, "unix:", 5))
		return open_unix(listen, options->address + 5, err);
	number = colon ? strtoul(colon + 1, &end, 10) : 0;
	if (!colon || colon[1] < '0' || colon[1] > '9' || *end || number > 65535 - BASE_PORT ||
	    (size_t)(colon - options->address) >= sizeof(host))
		return fail(err, EINVAL, "-vnc \"%s\" is not HOST:N (N counts from port 5900) or unix:PATH",
			    options->address);
	snprintf(host, sizeof(host), "%.*s", (int)(colon - options->address), options->address);
	if (*host == '[' && host[strlen(host) - 1] == ']') {
		host[strlen(host) - 1] = 0;
		memmove(host, host + 1, strlen(host));
	}
	last = MIN(MAX(number, (unsigned long)options->to), 65535ul - BASE_PORT);
	do
		code = open_port(listen, host, BASE_PORT + number);
	while (code == -EADDRINUSE && number++ < last);
	return code ? fail(err, -code, "VNC cannot listen at \"%s\": %s", options->address,
			   strerror(-code))
		    : 0;
}

void vnc_name_socket(int fd, bool peer, struct vnc_status *status)
{
	struct sockaddr_storage address = { 0 };
	socklen_t size = sizeof(address);

	*status->host = *status->service = 0;
	if (peer ? getpeername(fd, (struct sockaddr *)&address, &size) :
		   getsockname(fd, (struct sockaddr *)&address, &size))
		return;
	status->is_unix = address.ss_family == AF_UNIX;
	status->is_ipv6 = address.ss_family == AF_INET6;
	if (status->is_unix)
		snprintf(status->host, sizeof(status->host), "%.63s",
			 ((struct sockaddr_un *)&address)->sun_path);
	else
		getnameinfo((struct sockaddr *)&address, size, status->host, sizeof(status->host),
			    status->service, sizeof(status->service),
			    NI_NUMERICHOST | NI_NUMERICSERV);
}
