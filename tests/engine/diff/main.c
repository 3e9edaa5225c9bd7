/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/* diff [--seconds N] [--seed S] [--only MNEMONIC|vector|x87|general] [--reports N]: see diff.h. */
#include "diff.h"

#include "engine/interp/exec.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

struct settings {
	double seconds;
	uint64_t seed;
	const char *only;
	unsigned reports; /* shown per form */
};

static double now_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void parse(int argc, char **argv, struct settings *s)
{
	static const struct option options[] = { { "seconds", required_argument, NULL, 't' },
						 { "seed", required_argument, NULL, 's' },
						 { "only", required_argument, NULL, 'o' },
						 { "reports", required_argument, NULL, 'r' },
						 { 0 } };
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (option == 't')
			s->seconds = atof(optarg);
		else if (option == 's')
			s->seed = strtoull(optarg, NULL, 0);
		else if (option == 'o')
			s->only = optarg;
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

static void check(const struct settings *s, const struct test *t, const struct insn *i,
		  const struct outcome *native, const struct outcome *engine)
{
	struct form_info *form = form_get(t->form);

	form->runs++;
	form->sequences += t->instructions > 1 && native->vector == COMPLETED;
	if (outcomes_equal(t, i, native, engine, form->mismatches >= s->reports))
		return;
	form->mismatches++;
	fflush(stdout);
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
		if (!form->runs && s->seconds >= 10)
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
	struct settings s = { .seconds = 20, .seed = (uint64_t)time(NULL), .reports = 1 };
	static struct outcome engine[BATCH];
	static struct insn insns[BATCH];
	unsigned form = 0;

	parse(argc, argv, &s);
	struct batch *batch = mmap(NULL, sizeof(*batch), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct vcpu *c = engine_start();
	unsigned forms = forms_list(c, s.only);
	struct random r = { s.seed * 0x9e3779b97f4a7c15ull + 1 };

	if (!forms || !native_start(batch)) {
		fprintf(stderr, "no forms, or no child\n");
		return 2;
	}
	for (double end = now_seconds() + s.seconds; now_seconds() < end;) {
		fill_batch(c, batch, insns, &r, &form, forms);
		native_run(batch);
		engine_new_pattern(batch->pattern);
		for (unsigned n = 0; n < batch->count; n++)
			engine_run(&batch->test[n], batch->pattern, &engine[n]);
		native_wait(batch);
		for (unsigned n = 0; n < batch->count; n++)
			check(&s, &batch->test[n], &insns[n], &batch->native[n], &engine[n]);
	}
	native_stop();
	uint64_t mismatches = summary(&s, forms);

	engine_stop();
	return mismatches ? 1 : 0;
}
