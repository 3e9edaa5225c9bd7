/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/* diff [--tests N | --seconds N] [--seed S] [--only MNEMONIC|vector|x87|general] [--reports N] [--translator]:
 * see diff.h. */
#include "diff.h"

#include "engine/interp/exec.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

struct settings {
	uint64_t tests; /* at least so many; the same ones each time */
	double seconds; /* or, if not 0, as many as this allows */
	uint64_t seed;
	const char *only;
	unsigned reports; /* shown per form */
	bool translator;  /* is the candidate, not the interpreter */
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
						 { "seed", required_argument, NULL, 's' },
						 { "only", required_argument, NULL, 'o' },
						 { "reports", required_argument, NULL, 'r' },
						 { "translator", no_argument, NULL, 'j' },
						 { 0 } };
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (option == 'n')
			s->tests = strtoull(optarg, NULL, 0);
		else if (option == 't')
			s->seconds = atof(optarg);
		else if (option == 's')
			s->seed = strtoull(optarg, NULL, 0);
		else if (option == 'o')
			s->only = optarg;
		else if (option == 'j')
			s->translator = true;
		else if (option == 'r')
			s->reports = (unsigned)atoi(optarg);
		else
			exit(2);
	}
}

static void make_sequence(struct vcpu *c, struct random *r, struct test *t)
{
	unsigned more = 1 + (unsigned)random_below(r, SEQUENCE - 1);

	if (!(form_get(t->form)->info->flags & (OP_VECTOR | OP_X87)))
		return;
	if (random_percent(r, 70))
		state_for_sequence(r, t);
	for (unsigned n = 0; n < more; n++)
		form_append(c, r, t);
}

static void fill_batch(struct vcpu *c, struct batch *batch, struct insn *insns, struct random *r,
		       unsigned *form, unsigned forms)
{
	batch->count = 0;
	pattern_make(r, batch->pattern);
	while (batch->count < BATCH) {
		struct test *t = &batch->test[batch->count];

		*form = (*form + 1) % forms;
		if (!form_assemble(c, *form, r, t, &insns[batch->count]))
			continue;
		if (!state_make(r, t, &insns[batch->count]))
			continue;
		if (random_percent(r, 20) && insns[batch->count].exec != exec_ud)
			make_sequence(c, r, t);
		batch->count++;
	}
}

static void run_both(struct batch *batch, struct outcome *engine)
{
	native_run(batch);
	engine_new_pattern(batch->pattern);
	for (unsigned n = 0; n < batch->count; n++)
		engine_run(&batch->test[n], batch->pattern, &engine[n]);
	native_wait(batch);
}

/* Test `n` of the batch is found to differ: once more, alone, so that what the host did to its own
 * process just then is not held against the engine. The rest of the batch is lost. */
static bool differs_again(struct batch *batch, struct outcome *engine, const struct test *t,
			  const struct insn *i, bool quiet)
{
	batch->test[0] = *t;
	batch->count = 1;
	run_both(batch, engine);
	return !outcomes_equal(&batch->test[0], i, &batch->native[0], &engine[0], quiet);
}

static void check_batch(const struct settings *s, struct batch *batch, struct outcome *engine,
			const struct insn *insns)
{
	static struct test suspect[BATCH];
	static const struct insn *suspect_insn[BATCH];
	unsigned suspects = 0;

	for (unsigned n = 0; n < batch->count; n++) {
		const struct test *t = &batch->test[n];
		struct form_info *form = form_get(t->form);

		form->runs++;
		form->sequences += t->instructions > 1 && batch->native[n].vector == COMPLETED;
		if (!outcomes_equal(t, &insns[n], &batch->native[n], &engine[n], true)) {
			suspect_insn[suspects] = &insns[n];
			suspect[suspects++] = *t;
		}
	}
	for (unsigned n = 0; n < suspects; n++) {
		struct form_info *form = form_get(suspect[n].form);

		form->mismatches += differs_again(batch, engine, &suspect[n], suspect_insn[n],
						  form->mismatches >= s->reports);
		fflush(stdout);
	}
}

static uint64_t summary(const struct settings *s, unsigned forms)
{
	uint64_t runs = 0, sequences = 0, mismatches = 0, fewest = ~0ull, bad = 0;

	for (unsigned n = 0; n < forms; n++) {
		struct form_info *form = form_get(n);

		runs += form->runs;
		sequences += form->sequences;
		mismatches += form->mismatches;
		fewest = form->runs < fewest ? form->runs : fewest;
		bad += form->mismatches != 0;
		if (!form->runs && runs >= 100 * forms)
			printf("%-40s never ran\n", form->name);
		if (form->mismatches)
			printf("%-40s %llu of %llu\n", form->name,
			       (unsigned long long)form->mismatches,
			       (unsigned long long)form->runs);
	}
	printf("%u forms, %llu tests (%llu or more per form; %llu whole sequences), seed %llu: "
	       "%llu mismatches in %llu forms\n",
	       forms, (unsigned long long)runs, (unsigned long long)fewest,
	       (unsigned long long)sequences, (unsigned long long)s->seed,
	       (unsigned long long)mismatches, (unsigned long long)bad);
	return mismatches;
}

int main(int argc, char **argv)
{
	struct settings s = { .tests = 1000000, .seed = (uint64_t)time(NULL), .reports = 1 };
	static struct outcome engine[BATCH];
	static struct insn insns[BATCH];
	unsigned form = 0;

	parse(argc, argv, &s);
	struct batch *batch = mmap(NULL, sizeof(*batch), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct vcpu *c = engine_start(s.translator);
	unsigned forms = forms_list(c, s.only);
	struct random r = { s.seed * 0x9e3779b97f4a7c15ull + 1 };

	if (!forms || !native_start(batch)) {
		fprintf(stderr, "no forms, or no child\n");
		return 2;
	}
	double end = now_seconds() + s.seconds;

	for (uint64_t done = 0; s.seconds ? now_seconds() < end : done < s.tests; done += BATCH) {
		fill_batch(c, batch, insns, &r, &form, forms);
		run_both(batch, engine);
		check_batch(&s, batch, engine, insns);
	}
	native_stop();
	uint64_t mismatches = summary(&s, forms);

	engine_stop();
	return mismatches ? 1 : 0;
}
