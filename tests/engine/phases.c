/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the programs of phases.h have in common. */
#include "phases.h"

GUEST(first_code, ".code64", ADD("1") "ret");
GUEST(second_code, ".code64", ADD("2") "ret");

struct machine *phases_start(const struct program *p, struct kvm_regs regs)
{
	struct machine *m = ring3_start(p->code, p->end);

	ring3_put_code(m, PAGE, first_code, first_code_end);
	ring3_put_code(m, OTHER, second_code, second_code_end);
	ring3_set_regs(m, regs);
	return m;
}

uint32_t phases_rax(unsigned phases, unsigned runs, uint32_t first, uint32_t second)
{
	uint32_t rax = 0;

	for (unsigned n = 0; n < phases * runs; n++)
		rax = 3 * rax + (n / runs & 1 ? second : first);
	return rax;
}

void phases_expect(struct machine *m)
{
	ring3_expect_end(m, phases_rax(PHASES, RUNS, 1, 2));
}
