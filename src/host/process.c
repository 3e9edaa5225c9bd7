/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* This process: see process.h. */
#include "host/process.h"

#include "host/loop.h"
#include "host/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int process_daemonize(int *ready, struct err *err)
{
	int pipes[2];
	uint8_t status = 1;
	pid_t child;

	if (pipe2(pipes, O_CLOEXEC) || (child = fork()) < 0)
		return fail(err, errno, "cannot go into the background: %s", strerror(errno));
	if (child) {
		close(pipes[1]);
		while (read(pipes[0], &status, 1) < 0 && errno == EINTR)
			;
		_exit(status);
	}
	close(pipes[0]);
	setsid();
	*ready = pipes[1];
	return 0;
}

void process_detach(int ready)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	uint8_t status = 0;

	for (int fd = 0; fd <= 2 && null >= 0; fd++)
		dup2(null, fd);
	while (write(ready, &status, 1) < 0 && errno == EINTR)
		;
	close(ready);
}

struct process_signals {
	struct loop_watch *watch;
	void (*arrived)(void *context, int number);
	void *context;
};

static void (*clean_up)(void); /* before a signal ends the process */

static const int ending[] = { SIGTERM, SIGINT, SIGHUP };

static void on_ending(void (*handler)(int number))
{
	for (unsigned i = 0; i < ARRAY_LEN(ending); i++)
		signal(ending[i], handler);
}

static void end_at_once(int number)
{
	clean_up();
	signal(number, SIG_DFL);
	raise(number);
}

void process_end_cleanly(void (*restore)(void))
{
	clean_up = restore;
	on_ending(end_at_once);
	signal(SIGABRT, end_at_once);
	signal(SIGPIPE, SIG_IGN);
}

/* No signalfd: the kernel would wake who waits for it whenever a vCPU's access misses the window. */
static int signal_pipe[2];

static void note_signal(int number)
{
	uint8_t byte = (uint8_t)number;
	int before = errno;

	(void)!write(signal_pipe[1], &byte, 1);
	errno = before;
}

static void on_signal(void *context, unsigned events)
{
	struct process_signals *signals = context;
	uint8_t number;

	(void)events;
	if (read(signal_pipe[0], &number, 1) == 1)
		signals->arrived(signals->context, number);
}

struct process_signals *process_watch_signals(struct loop *loop,
					      void (*arrived)(void *context, int number),
					      void *context)
{
	struct process_signals *signals = must_alloc(sizeof(*signals));

	signals->arrived = arrived;
	signals->context = context;
	if (!pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK))
		signals->watch =
			loop_watch(loop, signal_pipe[0], LOOP_READ, on_signal, signals);
	if (signals->watch)
		on_ending(note_signal);
	return signals;
}

void process_unwatch_signals(struct process_signals *signals)
{
	if (signals->watch) {
		on_ending(SIG_IGN);
		loop_unwatch(signals->watch);
		close(signal_pipe[0]);
		close(signal_pipe[1]);
	}
	free(signals);
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

void process_set_name(const char *name)
{
	prctl(PR_SET_NAME, name);
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
