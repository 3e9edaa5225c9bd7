/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices' timers on the host's clock: the rig has the others. */
#include "core/board.h"
#include "core/dev.h"
#include "host/kvm.h"
#include "host/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

struct eager {
	struct dev dev;
	struct timer timer;
	unsigned fired;
};

static void on_timer(struct dev *dev)
{
	struct eager *eager = container_of(dev, struct eager, dev);

	eager->fired++;
	timer_arm(&eager->timer, dev_now(dev) + 1);
}

static int eager_attach(struct dev *dev, struct err *err)
{
	struct eager *eager = container_of(dev, struct eager, dev);

	(void)err;
	claim_timer(dev, &eager->timer, on_timer);
	timer_arm(&eager->timer, 1);
	return 0;
}

static const struct dev_class eager_class = {
	.name = "eager",
	.size = sizeof(struct eager),
	.attach = eager_attach,
};

/* What is due again at once comes when others could have the board's lock. */
static void a_timer_fires_once_per_turn_of_the_loop(void **state)
{
	struct err err = { 0 };
	struct loop *loop = loop_new();
	struct board_options options = { .loop = loop, .system = kvm_open_engine(NULL, &err) };
	struct board *board = board_new(&options, &err);
	struct eager *eager;

	(void)state;
	assert_non_null(board);
	eager = container_of(dev_new(board, &eager_class, "eager", "", &err), struct eager, dev);
	board_start(board);
	for (unsigned turns = 1; turns <= 3; turns++) {
		loop_turn(loop, -1);
		assert_int_equal(eager->fired, turns);
	}
	board_stop(board);
	board_free(board);
	loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_timer_fires_once_per_turn_of_the_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
