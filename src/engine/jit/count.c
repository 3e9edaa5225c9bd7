/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/* What the translator counts. Written by the vCPU's thread, read by others at any moment. */
#include "engine/jit/internal.h"

int jit_count_init(struct jit *jit)
{
	size_t bytes = op_count() * sizeof(uint64_t);

	jit->counters.singles[0] = port_alloc(2 * bytes);
	if (!jit->counters.singles[0])
		return -12;
	jit->counters.singles[1] = jit->counters.singles[0] + op_count();
	return 0;
}

void jit_count_fini(struct jit *jit)
{
	if (jit->counters.singles[0])
		port_free(jit->counters.singles[0]);
}

void jit_count_back(struct vcpu *c)
{
	const struct jit_block *known = c->jit->jump[jump_index(c->rip)];
	enum jit_way_back way = BACK_TARGET;

	if (c->jit_stop)
		way = BACK_STOP;
	else if (c->jit_link)
		way = BACK_LINK;
	else if (__atomic_load_n(&c->requests, __ATOMIC_RELAXED) || c->run->immediate_exit)
		way = BACK_REQUEST;
	else if (target_is_good(c, known))
		way = BACK_CHECK;
	c->jit->counters.back[way]++;
}

const struct jit_counters *jit_counters(const struct vcpu *c)
{
	return &c->jit->counters;
}

uint64_t jit_cache_bytes(void)
{
	return CACHE_BYTES;
}
