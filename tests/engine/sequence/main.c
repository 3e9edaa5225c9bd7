/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/* sequence [--programs N | --seconds N] [--seed S] [--first N] [--cut ADDRESS]
 * [--show] [--exact] [--ring-3 | --window] [--vcpu N]: see sequence.h. Exit status 1: they differ. */
#include "sequence.h"

#include "base/bytes.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

/*
 * Of processor time, up to a stop. What takes the interpreter longer never ends; the translator may be
 * slower, as with code that changes itself, and a busy machine makes both slow.
 */
enum { LIMIT_SECONDS = 2, TRANSLATOR_LIMIT_SECONDS = 60 };

static uint64_t compared_stops, compared_faults, endless;
static struct guest *by_interpreter, *by_translator;
static volatile sig_atomic_t is_endless;

static void on_limit(int signal)
{
	(void)signal;
	is_endless = true;
	guest_interrupt(by_interpreter, true);
	guest_interrupt(by_translator, true);
}

static void start_limit(time_t seconds)
{
	const struct itimerval none = { 0 }, limit = { .it_value.tv_sec = seconds };

	setitimer(ITIMER_VIRTUAL, &none, NULL);
	is_endless = false;
	guest_interrupt(by_interpreter, false);
	guest_interrupt(by_translator, false);
	signal(SIGVTALRM, on_limit);
	setitimer(ITIMER_VIRTUAL, &limit, NULL);
}

static double now_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void show(const char *what, uint64_t interpreter, uint64_t translator)
{
	if (interpreter != translator)
		printf("  %s: interpreter %llx, translator %llx\n", what,
		       (unsigned long long)interpreter, (unsigned long long)translator);
}

static void show_stops(const struct stop *a, const struct stop *b)
{
	static const char *const names[] = { "rax", "rbx", "rcx", "rdx", "rsi", "rdi",
					     "rsp", "rbp", "r8",  "r9",  "r10", "r11",
					     "r12", "r13", "r14", "r15", "rip", "rflags" };
	const uint64_t *x = (const uint64_t *)&a->regs, *y = (const uint64_t *)&b->regs;

	printf("  exit %u, port or vector %llu, rip %llx\n", a->reason,
	       (unsigned long long)a->detail, (unsigned long long)a->regs.rip);
	show("result", (uint64_t)a->result, (uint64_t)b->result);
	show("exit", a->reason, b->reason);
	show("port or vector", a->detail, b->detail);
	show("rip of the fault", a->fault_rip, b->fault_rip);
	show("error code", a->fault_error, b->fault_error);
	show("cr2", a->sregs.cr2, b->sregs.cr2);
	for (unsigned n = 0; n < ARRAY_LEN(names); n++)
		show(names[n], x[n], y[n]);
	for (unsigned n = 0; n < sizeof(a->xsave); n += 8)
		if (load_le64(a->xsave + n) != load_le64(b->xsave + n)) {
			printf("  xsave at %u", n);
			show("", load_le64(a->xsave + n), load_le64(b->xsave + n));
		}
}

static bool segments_equal(const struct kvm_sregs *a, const struct kvm_sregs *b)
{
	return !memcmp(&a->cs, &b->cs, 6 * sizeof(a->cs)); /* CS to SS are neighbours */
}

/* --exact: status flags are compared at faults too. */
static bool exact;

/* The program got there by itself; else flags may have been stale at a fault: see guest.c. */
static bool is_end(const struct stop *stop)
{
	return stop->reason == KVM_EXIT_IO && !stop->detail && !stop->fault_rip;
}

static bool stops_equal(const struct stop *a, struct stop *b)
{
	if (!exact && !is_end(a) && b->reason == a->reason)
		b->regs.rflags = a->regs.rflags;
	return a->reason == b->reason && a->result == b->result && a->detail == b->detail &&
	       !memcmp(&a->regs, &b->regs, sizeof(a->regs)) && a->sregs.cr2 == b->sregs.cr2 &&
	       !memcmp(a->xsave, b->xsave, sizeof(a->xsave)) && a->fault_rip == b->fault_rip &&
	       a->fault_error == b->fault_error && segments_equal(&a->sregs, &b->sregs);
}

/*
 * Pushed flags of faults within faults, at any address: a byte of status flags, of which a program
 * that ends in a row of faults has any number.
 */
static bool memories_equal(struct guest *a, struct guest *b, bool ended)
{
	enum { MOST_FLAGS = 1000, LOW = F_STATUS & 0xff, HIGH = F_STATUS >> 8 };
	const uint8_t *x = guest_memory(a), *y = guest_memory(b);
	unsigned flags = 0;

	for (size_t n = PROGRAM_AT; n < GUEST_BYTES; n++) {
		unsigned differs = x[n] ^ y[n];

		if (!differs)
			continue;
		if (exact || ((differs & ~LOW) && (differs & ~HIGH)) ||
		    (++flags > MOST_FLAGS && ended)) {
			printf("  memory at %zx", n);
			show("", x[n], y[n]);
			return false;
		}
	}
	return true;
}

static void dump(const struct program *p)
{
	printf("  code:");
	for (unsigned n = p->block[0]; n < p->bytes; n++)
		printf("%s%02x", n == p->block[0] || n % 32 == 0 ? "\n  " : " ", p->code[n]);
	printf("\n  it is at %x\n", p->base + PROGRAM_AT + p->block[0]);
}

/* Ends every program there: --cut finds the instruction at fault by halving. */
static uint64_t cut;

static bool run(struct guest *a, struct guest *b, const struct program *p)
{
	static struct stop x, y;
	uint64_t last = 0;
	bool more;

	guest_load(a, p);
	guest_load(b, p);
	if (cut) {
		store_le16(guest_memory(a) + cut, PORT_END << 8 | 0xe6);
		store_le16(guest_memory(b) + cut, PORT_END << 8 | 0xe6);
	}
	do {
		start_limit(LIMIT_SECONDS);
		more = guest_run(a, p, &x);
		if (is_endless)
			break;
		start_limit(TRANSLATOR_LIMIT_SECONDS);
		if (guest_run(b, p, &y) != more || !stops_equal(&x, &y)) {
			printf("  behind the stop at %llx:\n", (unsigned long long)last);
			show_stops(&x, &y);
			return false;
		}
		last = x.regs.rip;
		compared_stops++;
		compared_faults += x.fault_rip != 0;
	} while (more);
	endless += is_endless;
	return is_endless || memories_equal(a, b, is_end(&x));
}

/* --ring-3, --window: all are there, with vm_options.window. */
static bool is_ring_3, window;

/* Every fourth is of 16 bits. */
static void choose(struct random *r, uint64_t number, struct program *p)
{
	p->base = is_ring_3 ? RING_3_AT : 0;
	p->is_32 = p->is_16 = p->is_real = p->is_big = p->is_limited = false;
	if (is_ring_3)
		return;
	p->is_32 = random_percent(r, 30);
	p->is_16 = number % 4 == 3;
	p->is_32 &= !p->is_16;
	p->is_real = p->is_16 && random_percent(r, 60);
	p->is_big = p->is_real && random_percent(r, 50);
	p->is_limited = p->is_16 && random_percent(r, 50);
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "programs", required_argument, NULL, 'n' },
						 { "seconds", required_argument, NULL, 't' },
						 { "seed", required_argument, NULL, 's' },
						 { "first", required_argument, NULL, 'f' },
						 { "cut", required_argument, NULL, 'c' },
						 { "show", no_argument, NULL, 'd' },
						 { "exact", no_argument, NULL, 'e' },
						 { "vcpu", required_argument, NULL, 'v' },
						 { "ring-3", no_argument, NULL, '3' },
						 { "window", no_argument, NULL, 'w' },
						 { 0 } };
	uint64_t programs = 3000, seed = 1, first = 0, done = 0, wrong = 0;
	static struct program p;
	double seconds = 0;
	bool shows = false;
	unsigned vcpu = 0;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (option == 'n')
			programs = strtoull(optarg, NULL, 0);
		else if (option == 't')
			seconds = atof(optarg);
		else if (option == 's')
			seed = strtoull(optarg, NULL, 0);
		else if (option == 'f')
			first = strtoull(optarg, NULL, 0);
		else if (option == 'c')
			cut = strtoull(optarg, NULL, 16) % GUEST_BYTES;
		else if (option == 'd')
			shows = true;
		else if (option == 'e')
			exact = true;
		else if (option == 'v')
			vcpu = (unsigned)strtoul(optarg, NULL, 0);
		else if (option == 'w')
			is_ring_3 = window = true;
		else if (option == '3')
			is_ring_3 = true;
		else
			return 2;
	}
	struct vm_options engine = { .exact_flags = exact, .window = window ? 2 : 0 };

	by_interpreter = guest_new(&engine, vcpu);
	engine.translator = 2;
	by_translator = guest_new(&engine, vcpu);
	unsigned forms = forms_list(guest_vcpu(by_interpreter), NULL, true);
	double end = now_seconds() + seconds;

	for (; seconds > 0 ? now_seconds() < end : done < programs; done++) {
		struct random r = { (seed << 32) + first + done + 1 };

		random_next(&r);
		choose(&r, first + done, &p);
		program_make(guest_vcpu(by_interpreter), &r, forms, &p);
		if (run(by_interpreter, by_translator, &p))
			continue;
		printf("program %llu of seed %llu differs\n", (unsigned long long)(first + done),
		       (unsigned long long)seed);
		if (shows)
			dump(&p);
		fflush(stdout);
		if (++wrong == 10)
			break;
	}
	printf("%llu programs (%llu endless), %llu stops (%llu faults), seed %llu: %llu differ\n",
	       (unsigned long long)done, (unsigned long long)endless,
	       (unsigned long long)compared_stops, (unsigned long long)compared_faults,
	       (unsigned long long)seed, (unsigned long long)wrong);
	if (window) {
		const struct vcpu *c = guest_vcpu(by_translator);

		printf("%llu windows, %llu pages shown, %llu faults there\n",
		       (unsigned long long)c->count_windows, (unsigned long long)c->count_window_pages,
		       (unsigned long long)c->count_window_faults);
		wrong += !c->count_window_pages;
	}
	guest_free(by_interpreter);
	guest_free(by_translator);
	return wrong != 0;
}
