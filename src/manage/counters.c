/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the engine counts: see counters.h. */
#include "manage/counters.h"

#include "core/board.h"
#include "host/kvm.h"
#include "host/memory.h"
#include "vm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_FREQUENT = 20, SPARE = 64 };

static bool is_alike(const struct vm_counter *a, const struct vm_counter *b)
{
	return !strcmp(a->group, b->group) && !strcmp(a->name, b->name) && a->opcode == b->opcode;
}

/* Behind its group, if it is a new one of that. */
static void add_row(struct vm_counter *rows, size_t *count, const struct vm_counter *row)
{
	size_t at = *count;

	for (size_t n = 0; n < *count; n++) {
		if (is_alike(&rows[n], row)) {
			rows[n].value += row->value;
			return;
		}
		if (!strcmp(rows[n].group, row->group))
			at = n + 1;
	}
	memmove(&rows[at + 1], &rows[at], (*count - at) * sizeof(*rows));
	rows[at] = *row;
	(*count)++;
}

struct vm_counter *counters_read(struct vmm *vmm, size_t *count)
{
	struct vm_counter *sums = NULL;

	*count = 0;
	for (unsigned i = 0; i < board_vcpu_count(vmm->board); i++) {
		struct kvm *vcpu = board_vcpu(vmm->board, i);
		size_t room = kvm_counters(vcpu, NULL, 0) + SPARE,
		       rows; /* more may have appeared */
		struct vm_counter *own = must_alloc(room * sizeof(*own));

		rows = MIN(kvm_counters(vcpu, own, room), room);
		if (rows)
			sums = must_realloc(sums, (*count + rows) * sizeof(*sums));
		for (size_t n = 0; n < rows; n++)
			add_row(sums, count, &own[n]);
		free(own);
	}
	return sums;
}

static int by_value(const void *a, const void *b)
{
	uint64_t first = ((const struct vm_counter *)a)->value;
	uint64_t second = ((const struct vm_counter *)b)->value;

	return (first < second) - (first > second);
}

static void print_row(struct report *report, const char *name, uint64_t value)
{
	report_print(report, "  %-24s %14llu\n", name, (unsigned long long)value);
}

static void print_most_frequent(struct report *report, const struct vm_counter *rows, size_t count)
{
	struct vm_counter *sorted = must_alloc(count * sizeof(*sorted));
	uint64_t others = 0;

	memcpy(sorted, rows, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), by_value);
	for (size_t n = 0; n < count; n++)
		if (n < MOST_FREQUENT) {
			char name[32];

			snprintf(name, sizeof(name), "%s (%02x)", sorted[n].name, sorted[n].opcode);
			print_row(report, name, sorted[n].value);
		} else {
			others += sorted[n].value;
		}
	if (others)
		print_row(report, "(others)", others);
	free(sorted);
}

static const char *title_of(const char *group)
{
	if (!strcmp(group, "back-to-loop"))
		return "why translated code came back to the loop";
	if (!strcmp(group, "slow-path"))
		return "single instructions: translated, but the access was not in the TLB";
	if (!strcmp(group, "not-translated"))
		return "single instructions: not translated";
	if (!strcmp(group, "events"))
		return "events delivered to the guest";
	return !strcmp(group, "exits") ? "exits to the VMM" : group;
}

void counters_print(struct report *report, const struct vm_counter *rows, size_t count)
{
	for (size_t n = 0, end; n < count; n = end) {
		for (end = n + 1; end < count && !strcmp(rows[end].group, rows[n].group);)
			end++;
		report_print(report, "%s:\n", title_of(rows[n].group));
		if (!strcmp(rows[n].group, "slow-path") ||
		    !strcmp(rows[n].group, "not-translated")) {
			print_most_frequent(report, rows + n, end - n);
			continue;
		}
		for (size_t k = n; k < end; k++)
			print_row(report, rows[k].name, rows[k].value);
	}
}
