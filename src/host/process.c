/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* This process: see process.h. */
#include "host/process.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int process_daemonize(struct err *err)
{
	if (daemon(1, 0))
		return fail(err, errno, "cannot go into the background: %s", strerror(errno));
	return 0;
}

int process_write_pidfile(const char *path, struct err *err)
{
	FILE *file = fopen(path, "w");

	if (!file)
		return fail(err, errno, "cannot write the pidfile \"%s\": %s", path,
			    strerror(errno));
	fprintf(file, "%d\n", (int)getpid());
	fclose(file);
	return 0;
}

bool process_has_io_uring(void)
{
	char params[120] = { 0 };
	long fd = syscall(SYS_io_uring_setup, 1, params);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}
