/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/* Telling about host code that was made: each translation, and the pieces all translations share. */
#include "engine/jit/internal.h"

#include "engine/sys/log.h"

static const uint8_t *runs_at(const struct vcpu *c, const uint8_t *written)
{
	return c->jit->code.run + (written - c->jit->code.write);
}

static void log_part(const struct vcpu *c, const struct jit_source *source, const struct emitter *e)
{
	unsigned insns = 0;

	for (unsigned n = 0; n < source->parts; n++)
		insns += source->part[n].count;
	log_tell(c, (struct vm_event){ .kind = VM_LOG_OUT_ASM,
				       .rip = source->part[0].rip,
				       .code = { .address = (uintptr_t)runs_at(c, e->begin),
						 .bytes = e->begin,
						 .size = (size_t)(e->out - e->begin),
						 .insns = insns,
						 .is_windowed = !!(source->mode & JIT_WINDOWED) } });
}

void jit_log_block(const struct vcpu *c, const struct jit_source *source, const struct emitter *hot,
		   const struct emitter *cold)
{
	if (!log_wants(c, VM_LOG_OUT_ASM))
		return;
	log_part(c, source, hot);
	log_part(c, source, cold);
}

void jit_log_thunks(const struct vcpu *c)
{
	const struct jit *jit = c->jit;
	const struct {
		const char *name;
		const uint8_t *at;
	} thunks[] = {
		{ "enter", jit->enter },
		{ "leave", jit->leave },
		{ "leave, RIP is set", jit->leave_rip },
		{ "return to where nothing called", jit->returned_nowhere },
		{ "return not meant", jit->return_missed[0] },
		{ "return not meant, window", jit->return_missed[1] },
		{ "ways back dropped", jit->crowded },
		{ "indirect jump, next look", jit->jump_other[0] },
		{ "indirect jump, next look, window", jit->jump_other[1] },
		{ "indirect jump, target unknown", jit->jump_missed },
		{ "stack page", jit->stack_thunk },
		{ "single instruction", jit->single_thunk },
		{ "vector registers in, SSE", jit->vectors_load[VECTORS_SSE] },
		{ "vector registers in, AVX", jit->vectors_load[VECTORS_AVX] },
		{ "vector registers in", jit->vectors_load_all },
		{ "vector registers out", jit->vectors_spill },
	};
	const uint8_t *writable = jit->code.write;

	if (!log_wants(c, VM_LOG_OUT_ASM))
		return;
	for (unsigned n = 0; n < ARRAY_LEN(thunks); n++) {
		if (!thunks[n].at) /* the host has no such registers */
			continue;
		const uint8_t *begin = writable + (thunks[n].at - jit->code.run);
		const uint8_t *end = writable + jit->after_thunks;

		for (unsigned k = 0; k < ARRAY_LEN(thunks); k++) { /* up to the next one */
			const uint8_t *next = writable + (thunks[k].at - jit->code.run);

			if (thunks[k].at && next > begin && next < end)
				end = next;
		}
		log_host_code(c, thunks[n].name, thunks[n].at, begin, (size_t)(end - begin));
	}
}
