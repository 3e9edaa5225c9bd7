/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How long a vCPU in a one-instruction loop takes to leave KVM_RUN once immediate_exit is set: median
 * and worst of many. The translator is off with an argument. Numbers of a busy machine include its
 * scheduler's.
 */
#include "../engine/machine.h"

#include "vm.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { TIMES = 500 };

GUEST(loop_code, ".code64", "1: jmp 1b");

static bool interpreted;
static uint64_t asked_ns; /* atomic */
static bool done;         /* atomic */

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static struct kvm *open_engine(struct err *err)
{
	return kvm_open_engine(&(struct vm_options){ .translator = !interpreted }, err);
}

static void *ask_to_leave(void *run)
{
	while (!__atomic_load_n(&done, __ATOMIC_SEQ_CST)) {
		usleep(1000);
		if (__atomic_load_n(&asked_ns, __ATOMIC_SEQ_CST))
			continue;
		__atomic_store_n(&asked_ns, now_ns(), __ATOMIC_SEQ_CST);
		__atomic_store_n(&((struct kvm_run *)run)->immediate_exit, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void loop_is_left(void **state)
{
	struct machine *m = machine_new();
	static uint64_t took[TIMES];
	pthread_t other;

	(void)state;
	machine_start(m, LONG_64, loop_code, loop_code_end);
	assert_int_equal(pthread_create(&other, NULL, ask_to_leave, m->run), 0);
	for (unsigned n = 0; n < TIMES; n++) {
		while (!__atomic_load_n(&asked_ns, __ATOMIC_SEQ_CST))
			(void)kvm_ioctl(m->vcpu, KVM_RUN, NULL);
		took[n] = now_ns() - asked_ns;
		m->run->immediate_exit = 0;
		__atomic_store_n(&asked_ns, 0, __ATOMIC_SEQ_CST);
	}
	__atomic_store_n(&done, true, __ATOMIC_SEQ_CST);
	pthread_join(other, NULL);
	qsort(took, TIMES, sizeof(took[0]), by_value);
	printf("left after %.1f us (median), %.1f us (worst of %d)\n",
	       (double)took[TIMES / 2] / 1000, (double)took[TIMES - 1] / 1000, TIMES);
	machine_free(m);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(loop_is_left) };

	(void)argv;
	interpreted = argc > 1;
	machine_open_system = open_engine;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
