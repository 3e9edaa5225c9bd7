/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * diff [--tests N | --seconds N | --states N] [--seed S] [--only MNEMONIC|vector|x87|general]
 * [--reports N] [--translator | --window]: see diff.h. --states: until every form has run in so many.
 */
#include "diff.h"

#include "engine/interp/exec.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

struct settings {
	uint64_t tests;  /* at least so many; the same ones each time */
	double seconds;  /* or, if not 0, as many as this allows */
	uint64_t states; /* or, if not 0, until every form has had so many */
	uint64_t seed;
	const char *only;
	unsigned reports; /* shown per form */
	bool translator;  /* is the candidate, not the interpreter */
	bool window;      /* the same, for the window */
};

static double now_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void parse(int argc, char **argv, struct settings *s)
{
	static const struct option options[] = { { "tests", required_argument, NULL, 'n' },
						 { "seconds", required_argument, NULL, 't' },
						 { "states", required_argument, NULL, 'f' },
						 { "seed", required_argument, NULL, 's' },
						 { "only", required_argument, NULL, 'o' },
						 { "reports", required_argument, NULL, 'r' },
						 { "translator", no_argument, NULL, 'j' },
						 { "window", no_argument, NULL, 'w' },
						 { 0 } };
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (option == 'n')
			s->tests = strtoull(optarg, NULL, 0);
		else if (option == 't')
			s->seconds = atof(optarg);
		else if (option == 'f')
			s->states = strtoull(optarg, NULL, 0);
		else if (option == 's')
			s->seed = strtoull(optarg, NULL, 0);
		else if (option == 'o')
			s->only = optarg;
		else if (option == 'j')
			s->translator = true;
		else if (option == 'w')
			s->window = true;
		else if (option == 'r')
			s->reports = (unsigned)atoi(optarg);
		else
			exit(2);
	}
}

static void make_sequence(struct vcpu *c, struct random *r, struct test *t)
{
	unsigned more = 1 + (unsigned)random_below(r, SEQUENCE - 1);

	if (form_get(t->form)->info->flags & (OP_VECTOR | OP_X87))
		for (unsigned n = 0; n < more; n++)
			form_append(c, r, t);
}

/* One piece of code with many states. */
static void add_group(struct vcpu *c, struct batch *batch, struct insn *insns, struct random *r,
		      unsigned form)
{
	static struct test code;
	struct insn insn;

	if (!form_assemble(c, form, r, &code, &insn))
		return;
	if (random_percent(r, 20) && insn.exec != exec_ud)
		make_sequence(c, r, &code);
	for (unsigned n = 0; n < GROUP; n++) {
		struct test *t = &batch->test[batch->count];

		memcpy(t, &code, offsetof(struct test, in));
		t->in.rip = code.in.rip;
		if (!state_make(r, t, &insn))
			continue;
		if (t->instructions > 1 && random_percent(r, 70))
			state_for_sequence(r, t);
		insns[batch->count++] = insn;
	}
}

/* Forms take turns; one that has `states` sits out. False: all have. */
static bool fill_batch(struct vcpu *c, struct batch *batch, struct insn *insns, struct random *r,
		       uint64_t states)
{
	static unsigned form;
	unsigned first = form, forms = forms_count();
	bool wanted = false;

	batch->count = 0;
	random_renew_pools(r);
	pattern_make(r, batch->pattern);
	do {
		form = (form + 1) % forms;
		if (form_get(form)->runs >= states || form_get(form)->tries >= 10 * states)
			continue;
		wanted = true;
		uint32_t count = batch->count;

		/* Some bytes and states are not to be run: few, but of btc nearly all. */
		for (unsigned n = 0; n < 20 && batch->count == count; n++, form_get(form)->tries++)
			add_group(c, batch, insns, r, form);
	} while (batch->count + GROUP <= BATCH && form != first);
	return wanted;
}

static void run_both(struct batch *batch, struct outcome *engine)
{
	native_run(batch);
	engine_new_pattern(batch->pattern);
	for (unsigned n = 0; n < batch->count; n++)
		engine_run(&batch->test[n], batch->pattern, &engine[n]);
	native_wait(batch);
}

static bool are_equal(struct vcpu *c, const struct test *t, const struct insn *first,
		      const struct outcome *native, const struct outcome *engine, bool quiet)
{
	struct insn at_fault;
	bool later = t->instructions > 1 && native->vector != COMPLETED &&
		     form_decode(c, t, native->out.rip, &at_fault);

	return outcomes_equal(t, later ? &at_fault : first, native, engine, quiet);
}

/* Test `n` of the batch is found to differ: once more, alone, so that what the host did to its own
 * process just then is not held against the engine. The rest of the batch is lost. */
static bool differs_again(struct vcpu *c, struct batch *batch, struct outcome *engine,
			  const struct test *t, const struct insn *i, bool quiet)
{
	batch->test[0] = *t;
	batch->count = 1;
	run_both(batch, engine);
	return !are_equal(c, &batch->test[0], i, &batch->native[0], &engine[0], quiet);
}

static void check_batch(struct vcpu *c, const struct settings *s, struct batch *batch,
			struct outcome *engine, const struct insn *insns)
{
	static struct test suspect[BATCH];
	static const struct insn *suspect_insn[BATCH];
	unsigned suspects = 0;

	for (unsigned n = 0; n < batch->count; n++) {
		const struct test *t = &batch->test[n];
		struct form_info *form = form_get(t->form);

		form->runs++;
		form->sequences += t->instructions > 1 && batch->native[n].vector == COMPLETED;
		if (!are_equal(c, t, &insns[n], &batch->native[n], &engine[n], true)) {
			suspect_insn[suspects] = &insns[n];
			suspect[suspects++] = *t;
		}
	}
	for (unsigned n = 0; n < suspects; n++) {
		struct form_info *form = form_get(suspect[n].form);

		form->mismatches += differs_again(c, batch, engine, &suspect[n], suspect_insn[n],
						  form->mismatches >= s->reports);
		fflush(stdout);
	}
}

static int compare_runs(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void print_coverage(void)
{
	unsigned forms = forms_count();
	uint64_t *runs = calloc(forms, sizeof(*runs));

	for (unsigned n = 0; n < forms; n++)
		runs[n] = form_get(n)->runs;
	qsort(runs, forms, sizeof(*runs), compare_runs);
	printf("%u forms; states per form: at least %llu, 99%% have %llu or more, half %llu\n",
	       forms, (unsigned long long)runs[0], (unsigned long long)runs[forms / 100],
	       (unsigned long long)runs[forms / 2]);
	for (unsigned n = 0; n < forms; n++)
		if (form_get(n)->runs < runs[forms / 2] / 4)
			printf("%-40s only %llu\n", form_get(n)->name,
			       (unsigned long long)form_get(n)->runs);
	free(runs);
}

static uint64_t summary(const struct settings *s)
{
	uint64_t runs = 0, sequences = 0, mismatches = 0, bad = 0;

	print_coverage();
	for (unsigned n = 0; n < forms_count(); n++) {
		struct form_info *form = form_get(n);

		runs += form->runs;
		sequences += form->sequences;
		mismatches += form->mismatches;
		bad += form->mismatches != 0;
		if (form->mismatches)
			printf("%-40s %llu of %llu\n", form->name,
			       (unsigned long long)form->mismatches,
			       (unsigned long long)form->runs);
	}
	printf("%llu tests (%llu whole sequences), seed %llu: %llu mismatches in %llu forms\n",
	       (unsigned long long)runs, (unsigned long long)sequences, (unsigned long long)s->seed,
	       (unsigned long long)mismatches, (unsigned long long)bad);
	return mismatches;
}

static bool is_finished(const struct settings *s, double end, uint64_t done)
{
	if (s->states)
		return false;
	return s->seconds ? now_seconds() >= end : done >= s->tests;
}

int main(int argc, char **argv)
{
	struct settings s = { .tests = 1000000, .seed = (uint64_t)time(NULL), .reports = 1 };
	static struct outcome engine[BATCH];
	static struct insn insns[BATCH];

	parse(argc, argv, &s);
	struct batch *batch = mmap(NULL, sizeof(*batch), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct vcpu *c = engine_start(s.translator, s.window);
	struct random r = { s.seed * 0x9e3779b97f4a7c15ull + 1 };

	if (!forms_list(c, s.only, false) || !native_start(batch)) {
		fprintf(stderr, "no forms, or no child\n");
		return 2;
	}
	double end = now_seconds() + s.seconds;

	for (uint64_t done = 0; !is_finished(&s, end, done);) {
		if (!fill_batch(c, batch, insns, &r, s.states ? s.states : UINT64_MAX / 16))
			break;
		done += batch->count;
		run_both(batch, engine);
		check_batch(c, &s, batch, engine, insns);
	}
	native_stop();
	uint64_t mismatches = summary(&s);

	if (s.window)
		printf("%llu in the window\n", (unsigned long long)engine_windowed());

	engine_stop();
	return mismatches ? 1 : 0;
}
