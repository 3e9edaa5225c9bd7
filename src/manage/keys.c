/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keys typed by monitors: see keys.h. */
#include "manage/keys.h"

#include "core/input.h"
#include "host/loop.h"
#include "host/memory.h"
#include "host/thread.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CHORDS = 256, HOLD_MAX_MS = 60000 };

struct chord {
	unsigned keys[TYPIST_KEYS], count, hold_ms;
};

struct typist {
	struct vmm *vmm;
	struct loop_timer *timer;
	struct chord chords[CHORDS]; /* the first is held down while HOLDING */
	unsigned count;
	enum { IDLE, HOLDING, RESTING } state;
};

/* Between two presses is as long a rest as the first was held: some guests lose what comes faster. */
static void next(void *context)
{
	struct typist *t = context;
	struct chord *chord = &t->chords[0];
	unsigned hold_ms = chord->hold_ms;

	if (t->state == HOLDING) {
		for (unsigned i = chord->count; i--;)
			input_key(t->vmm->board, chord->keys[i], false);
		memmove(t->chords, t->chords + 1, --t->count * sizeof(*chord));
		t->state = RESTING;
	} else if (t->count) {
		for (unsigned i = 0; i < chord->count; i++)
			input_key(t->vmm->board, chord->keys[i], true);
		t->state = HOLDING;
	} else {
		t->state = IDLE;
		return;
	}
	loop_timer_arm(t->timer, host_now_ns() + hold_ms * MILLISECOND);
}

struct typist *typist_new(struct vmm *vmm)
{
	struct typist *t = must_alloc(sizeof(*t));

	t->vmm = vmm;
	t->timer = loop_timer_new(vmm->loop, next, t);
	return t;
}

void typist_free(struct typist *t)
{
	loop_timer_free(t->timer);
	free(t);
}

int typist_press(struct typist *t, const unsigned *keys, unsigned count, unsigned hold_ms,
		 struct err *err)
{
	struct chord *chord = &t->chords[t->count];

	if (!count || count > TYPIST_KEYS)
		return fail(err, EINVAL, "1 to %d keys can be pressed together, not %u",
			    TYPIST_KEYS, count);
	if (t->count == CHORDS)
		return fail(err, EBUSY, "%d key presses are waiting already", CHORDS);
	*chord = (struct chord){ .count = count, .hold_ms = MIN(hold_ms, (unsigned)HOLD_MAX_MS) };
	memcpy(chord->keys, keys, count * sizeof(*keys));
	t->count++;
	if (t->state == IDLE)
		next(t);
	return 0;
}
