/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Threads, locks, clocks and chance: see thread.h.
 *
 * A kick is SIGUSR1 with an empty handler and no SA_RESTART: whatever sleeps in the thread returns
 * with EINTR.
 */
#include "host/thread.h"
#include "host/memory.h"

#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define KICK SIGUSR1

struct thread {
	pthread_t handle;
	int number;
	sem_t started;
	char name[16];
	void (*run)(void *context);
	void *context;
};

void mutex_init(struct mutex *mutex)
{
	pthread_mutex_init(&mutex->handle, NULL);
}

void mutex_fini(struct mutex *mutex)
{
	pthread_mutex_destroy(&mutex->handle);
}

void mutex_lock(struct mutex *mutex)
{
	pthread_mutex_lock(&mutex->handle);
}

void mutex_unlock(struct mutex *mutex)
{
	pthread_mutex_unlock(&mutex->handle);
}

void cond_init(struct cond *cond)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&cond->handle, &attr);
	pthread_condattr_destroy(&attr);
}

void cond_fini(struct cond *cond)
{
	pthread_cond_destroy(&cond->handle);
}

void cond_wait(struct cond *cond, struct mutex *mutex)
{
	pthread_cond_wait(&cond->handle, &mutex->handle);
}

void cond_wait_until(struct cond *cond, struct mutex *mutex, uint64_t deadline_ns)
{
	struct timespec until = { .tv_sec = (time_t)(deadline_ns / 1000000000),
				  .tv_nsec = (long)(deadline_ns % 1000000000) };

	pthread_cond_timedwait(&cond->handle, &mutex->handle, &until);
}

void cond_wake_all(struct cond *cond)
{
	pthread_cond_broadcast(&cond->handle);
}

static void on_kick(int number)
{
	(void)number;
}

static void *start(void *context)
{
	struct thread *thread = context;
	sigset_t all;

	pthread_setname_np(pthread_self(), thread->name);
	sigfillset(&all);
	sigdelset(&all, KICK);
	/* What a fault of ours raises must not be held back. */
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGILL);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	thread->number = gettid();
	sem_post(&thread->started);
	thread->run(thread->context);
	return NULL;
}

struct thread *thread_start(const char *name, void (*run)(void *context), void *context)
{
	struct thread *thread = must_alloc(sizeof(*thread));
	struct sigaction action = { .sa_handler = on_kick };

	sigaction(KICK, &action, NULL);
	strncpy(thread->name, name, sizeof(thread->name) - 1);
	thread->run = run;
	thread->context = context;
	sem_init(&thread->started, 0, 0);
	if (pthread_create(&thread->handle, NULL, start, thread)) {
		free(thread);
		return NULL;
	}
	while (sem_wait(&thread->started))
		;
	return thread;
}

void thread_join(struct thread *thread)
{
	pthread_join(thread->handle, NULL);
	sem_destroy(&thread->started);
	free(thread);
}

void thread_kick(struct thread *thread)
{
	pthread_kill(thread->handle, KICK);
}

int thread_number(const struct thread *thread)
{
	return thread->number;
}

int thread_self(void)
{
	static _Thread_local int number;

	if (!number)
		number = gettid();
	return number;
}

static uint64_t clock_ns(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t host_now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t host_wall_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

void host_random(void *to, size_t bytes)
{
	uint8_t *at = to;

	while (bytes) {
		ssize_t got = getrandom(at, bytes, 0);

		if (got > 0) {
			at += got;
			bytes -= (size_t)got;
		}
	}
}
