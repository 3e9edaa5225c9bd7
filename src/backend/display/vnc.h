/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The screen, keyboard and pointer over the network (RFB, "VNC"). */
#ifndef BACKEND_VNC_H
#define BACKEND_VNC_H

#include "core/display.h"

struct vnc;

struct vnc_options {
	const char *address; /* "HOST:N" (port 5900 + N), "unix:PATH" */
	unsigned to;         /* tries N, N + 1, .. `to`; 0: N only */
	bool password;       /* nobody gets in before vnc_set_password */
	const char *name;    /* of the desktop */
};

/* Listens at once and serves on a thread of its own. The board's devices exist. */
struct vnc *vnc_open(struct board *board, const struct vnc_options *options, struct err *err);
void vnc_close(struct vnc *vnc); /* before the board goes */
/* Eight characters count. -EINVAL when the server was started without password=on. */
int vnc_set_password(struct vnc *vnc, const char *password, struct err *err);

struct vnc_status {
	char host[64], service[16]; /* for a unix socket: the path, "" */
	bool is_unix, is_ipv6, password;
};
void vnc_status(struct vnc *vnc, struct vnc_status *status);
/* The n-th client now connected; false: there are fewer. */
bool vnc_client(struct vnc *vnc, unsigned number, struct vnc_status *status);

#endif
