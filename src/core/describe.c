/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a board is made of, in words for people: see board.h. */
#include "core/internal.h"

#include <stdio.h>
#include <stdlib.h>

struct describer {
	void (*line)(void *to, const char *text);
	void *to;
};

static int compare_claims(const void *a, const void *b)
{
	const struct claim *x = *(struct claim *const *)a, *y = *(struct claim *const *)b;

	if (x->base != y->base)
		return x->base < y->base ? -1 : 1;
	return x->size != y->size ? (x->size > y->size ? -1 : 1) : 0;
}

static void describe_claims(const struct bus_map *map, int digits, const struct describer *d)
{
	struct claim **claims = must_alloc((map->claim_count + 1) * sizeof(*claims));
	char text[160];

	if (map->claim_count)
		memcpy(claims, map->claims, map->claim_count * sizeof(*claims));
	qsort(claims, map->claim_count, sizeof(*claims), compare_claims);
	for (size_t i = 0; i < map->claim_count; i++) {
		snprintf(text, sizeof(text), "  %0*llx-%0*llx i/o %s, %s", digits,
			 (unsigned long long)claims[i]->base, digits,
			 (unsigned long long)(claims[i]->base + claims[i]->size - 1),
			 claims[i]->region->name, claims[i]->dev->id);
		d->line(d->to, text);
	}
	free(claims);
}

void board_describe_memory(struct board *board, void (*line)(void *to, const char *text), void *to)
{
	struct describer d = { .line = line, .to = to };
	char text[160];

	board_lock(board);
	line(to, "memory");
	for (size_t i = 0; i < board->memory_count; i++) {
		const struct slot *slot = &board->memory[i];

		snprintf(text, sizeof(text), "  %016llx-%016llx %s %s @%#llx",
			 (unsigned long long)slot->gpa,
			 (unsigned long long)(slot->gpa + slot->bytes - 1),
			 slot->read_only ? "rom" : "ram", slot->ram->name,
			 (unsigned long long)slot->offset);
		line(to, text);
	}
	describe_claims(&board->mmio, 16, &d);
	line(to, "ports");
	describe_claims(&board->ports, 4, &d);
	board_unlock(board);
}

int board_vcpu_thread(struct board *board, unsigned index)
{
	int number = 0;

	board_lock(board);
	if (index < board->vcpu_count && board->vcpus[index].thread)
		number = thread_number(board->vcpus[index].thread);
	board_unlock(board);
	return number;
}
