/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Threads, locks, clocks and chance, as the host gives them. */
#ifndef HOST_THREAD_H
#define HOST_THREAD_H

#include "base/bits.h"

#include <pthread.h>

struct mutex {
	pthread_mutex_t handle;
};

struct cond {
	pthread_cond_t handle;
};

struct thread;

void mutex_init(struct mutex *mutex);
void mutex_fini(struct mutex *mutex);
void mutex_lock(struct mutex *mutex);
void mutex_unlock(struct mutex *mutex);

void cond_init(struct cond *cond);
void cond_fini(struct cond *cond);
void cond_wait(struct cond *cond, struct mutex *mutex);
void cond_wait_until(struct cond *cond, struct mutex *mutex, uint64_t deadline_ns); /* monotonic */
void cond_wake_all(struct cond *cond);

/* Starts a thread that blocks every signal but thread_kick's. */
struct thread *thread_start(const char *name, void (*run)(void *context), void *context);
void thread_join(struct thread *thread); /* and frees it */
void thread_kick(struct thread *thread); /* interrupts a system call or KVM_RUN */
int thread_number(const struct thread *thread); /* the host's id, for query-cpus */
int thread_self(void);

uint64_t host_now_ns(void);  /* monotonic */
uint64_t host_wall_ns(void); /* since 1970, UTC */
void host_random(void *to, size_t bytes);

#endif
