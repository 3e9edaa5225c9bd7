/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * isolation [--programs N] [--seconds N] [--seed N] [--raw] [--kicks | --kick-thread] [--exact]
 * [--ring-3 | --window] [--vcpu N]:
 * random programs by interpreter and translator.
 *
 * --raw: mostly random bytes, with host addresses in registers. --kicks, --kick-thread: KVM_RUN
 * returns all the time and interrupts come. A program that ends differently is made smaller and
 * printed. --exact: status flags are compared at faults and interrupts too, with
 * vm_options.exact_flags. Some programs come, by a jump into an instruction or by changing their own
 * code, to flags which the manual leaves undefined. Where they only fault then they must agree but for
 * those; where they go another way by them so must the interpreter by itself, with others. They must be
 * few. --window: vm_options.window, and programs in ring 3 with addresses for that, which
 * --ring-3 has without.
 */
#include "isolation.h"

#include "kvm_abi.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct target *interpreter, *translator;
static struct result wanted, got;
static enum kicks kicks;
static bool exact, ring_3, window;
static unsigned vcpu;

static bool ram_differs(uint32_t *where)
{
	for (uint32_t at = 0; at < RAM_BYTES; at++)
		if (wanted.ram[at] != got.ram[at]) {
			*where = at;
			return true;
		}
	return false;
}

static bool event_differs(unsigned n)
{
	return n >= wanted.events || n >= got.events ||
	       memcmp(&wanted.event[n], &got.event[n], sizeof(got.event[n])) != 0;
}

static unsigned first_difference(void)
{
	unsigned n = 0;

	while (n < wanted.events && !event_differs(n))
		n++;
	return n;
}

static bool results_differ(void)
{
	uint32_t where;

	return got.hung || wanted.events != got.events || first_difference() != wanted.events ||
	       ram_differs(&where);
}

/* Runs both; false: they are equal, or the program does not end. */
static bool differs(struct program *p)
{
	place_program(p);
	target_run(interpreter, p, &wanted);
	if (wanted.hung)
		return false;
	target_run(translator, p, &got);
	if (target_leaked(translator, &got)) {
		fprintf(stderr, "the guest has read host memory\n");
		return true;
	}
	if (p->raw)
		return false; /* flags nobody defines lead it elsewhere */
	return results_differ();
}

static struct target *new_target(int translates, enum kicks with, bool steps)
{
	const struct target_options options = {
		.engine = { .translator = translates, .exact_flags = exact, .window = window ? 2 : 0 },
		.kicks = with, .ring_3 = ring_3, .steps = steps, .vcpu = vcpu,
	};

	return target_new(&options);
}

static bool still_differs(struct program *p)
{
	unsigned tries = kicks == KICKS_BY_THREAD ? 20 : 1;

	target_free(translator);
	translator = new_target(2, kicks, false);
	while (tries--)
		if (differs(p))
			return true;
	return false;
}

static void shrink(struct program *p)
{
	for (unsigned step = p->count / 2; step; step /= 2)
		for (unsigned first = 0; first < p->count; first += step) {
			struct program smaller = *p;
			bool changed = false;

			for (unsigned n = first; n < first + step && n < p->count; n++) {
				changed |= !smaller.item[n].gone;
				smaller.item[n].gone = true;
			}
			if (changed && still_differs(&smaller))
				*p = smaller;
		}
}

static void print_event(const char *who, const struct result *r, unsigned n)
{
	const struct event_seen *e = &r->event[n];

	if (n >= r->events) {
		printf("%s: no event %u\n", who, n);
		return;
	}
	printf("%s: event %u: exit %u port 0x%x rip %llx rflags %llx cr2 %llx mxcsr %llx "
	       "vectors %llx\n  frame",
	       who, n, e->exit, e->port, (unsigned long long)e->rip, (unsigned long long)e->rflags,
	       (unsigned long long)e->cr2, (unsigned long long)e->mxcsr,
	       (unsigned long long)e->xsave);
	for (unsigned k = 0; k < 6; k++)
		printf(" %llx", (unsigned long long)e->frame[k]);
	printf("\n  gpr");
	for (unsigned k = 0; k < 16; k++)
		printf(" %llx", (unsigned long long)e->gpr[k]);
	for (unsigned k = 0; ring_3 && k < ARRAY_LEN(e->dirty); k++)
		printf("%s %llx", k ? "" : "\n  dirty", (unsigned long long)e->dirty[k]);
	printf("\n");
}

static void print_program(const struct program *p)
{
	printf("ring %u, start 0x%x, rflags %llx, gpr", p->user ? 3 : 0, CODE + p->start,
	       (unsigned long long)p->rflags);
	for (unsigned n = 0; n < 16; n++)
		printf(" %llx", (unsigned long long)p->gpr[n]);
	printf("\n");
	for (unsigned n = 0; n < p->count; n++) {
		if (p->item[n].gone)
			continue;
		printf("%08x:", p->address[n]);
		for (unsigned k = 0; k < p->item[n].length; k++)
			printf(" %02x", p->item[n].bytes[k]);
		printf("\n");
	}
	printf("%08x: f4\n", p->address[p->count]);
}

static void print_difference(void)
{
	unsigned n = first_difference();
	uint32_t where;

	if (got.hung)
		printf("the translator hangs\n");
	if (n < wanted.events || n < got.events) {
		print_event("interpreter", &wanted, n);
		print_event("translator", &got, n);
	}
	if (ram_differs(&where))
		printf("memory at 0x%x: interpreter %02x, translator %02x\n", where,
		       wanted.ram[where], got.ram[where]);
}

/* Only in what undefined flags looked like at a fault. */
static bool differs_in_flags_only(struct program *p)
{
	p->flags_open = true;
	bool differs_more = still_differs(p);

	p->flags_open = !exact;
	return !differs_more;
}

/* The interpreter by itself, with different ones, comes to different results. */
static bool depends_on_undefined_flags(struct program *p)
{
	struct target *stepping = new_target(0, NO_KICKS, true);
	bool depends = false;

	p->flags_open = true;
	target_run(stepping, p, &wanted);
	while (!depends && !wanted.hung && p->undefined++ < 8) {
		target_run(stepping, p, &got);
		depends = !got.hung && results_differ();
	}
	p->flags_open = !exact;
	p->undefined = 0;
	target_free(stepping);
	return depends;
}

static bool is_about_undefined_flags(struct program *p)
{
	if (got.hung || target_leaked(translator, &got))
		return false;
	return (exact && differs_in_flags_only(p)) || depends_on_undefined_flags(p);
}

static void report(struct program *p)
{
	(void)differs(p);
	printf("seed %llu differs\n", (unsigned long long)p->seed);
	print_difference();
	fflush(stdout); /* what follows takes its time */
	if (still_differs(p)) {
		shrink(p);
		(void)still_differs(p);
		print_program(p);
		print_difference();
	} else {
		printf("but not alone, in a new VM\n");
	}
	fflush(stdout);
}

int main(int argc, char **argv)
{
	uint64_t programs = 1000, seed = 1, done = 0, hung = 0, failures = 0, odd_flags = 0;
	time_t end = 0;
	bool raw = false;
	static struct program p;

	for (int n = 1; n < argc; n++) {
		const char *value = n + 1 < argc ? argv[n + 1] : "0";

		if (!strcmp(argv[n], "--raw"))
			raw = true;
		else if (!strcmp(argv[n], "--kicks"))
			kicks = KICKS_BETWEEN_BLOCKS;
		else if (!strcmp(argv[n], "--kick-thread"))
			kicks = KICKS_BY_THREAD;
		else if (!strcmp(argv[n], "--exact"))
			exact = true;
		else if (!strcmp(argv[n], "--window"))
			ring_3 = window = true;
		else if (!strcmp(argv[n], "--ring-3"))
			ring_3 = true;
		else if (!strcmp(argv[n], "--programs"))
			programs = strtoull(value, NULL, 0), n++;
		else if (!strcmp(argv[n], "--vcpu"))
			vcpu = (unsigned)strtoul(value, NULL, 0), n++;
		else if (!strcmp(argv[n], "--seed"))
			seed = strtoull(value, NULL, 0), n++;
		else if (!strcmp(argv[n], "--seconds"))
			end = time(NULL) + strtol(value, NULL, 0), programs = UINT64_MAX, n++;
	}
	interpreter = new_target(0, NO_KICKS, false);
	translator = new_target(2, kicks, false);
	while (done < programs && failures < 3 && (!end || time(NULL) < end)) {
		generate(&p, seed + done++, raw, ring_3);
		p.flags_open = !exact;
		if (!differs(&p)) {
			hung += wanted.hung;
		} else if (odd_flags < 3 + done / 200 && is_about_undefined_flags(&p)) {
			odd_flags++;
		} else {
			report(&p);
			failures++;
		}
		if (done % 256 == 0)
			target_check_canaries(translator);
	}
	target_free(interpreter);
	target_free(translator);
	printf("%llu programs, %llu differ, %llu do not end, %llu had undefined flags\n",
	       (unsigned long long)done, (unsigned long long)failures, (unsigned long long)hung,
	       (unsigned long long)odd_flags);
	return failures != 0;
}
