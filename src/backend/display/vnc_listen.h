/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sockets a VNC server listens at. */
#ifndef BACKEND_VNC_LISTEN_H
#define BACKEND_VNC_LISTEN_H

#include "backend/display/vnc.h"

enum { VNC_LISTENERS = 4 };

struct vnc_listen {
	int fd[VNC_LISTENERS];
	unsigned count;
	char *path; /* of a unix socket, to be removed at the end */
};

int vnc_listen_open(struct vnc_listen *listen, const struct vnc_options *options, struct err *err);
void vnc_listen_close(struct vnc_listen *listen);
/* Address and port of a connected or listening socket, in numbers. */
void vnc_name_socket(int fd, bool peer, struct vnc_status *status);

#endif
