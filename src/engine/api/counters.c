/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * vm_counters(): what a vCPU has done, as rows.
 *
 * The numbers are the vCPU's thread's, which goes on meanwhile: each row is right for itself, sums of
 * several may be a little off.
 */
#include "engine/api/object.h"
#include "engine/decode/ops.h"
#include "engine/jit/jit.h"

struct rows {
	struct vm_counter *to;
	size_t room, count;
};

static void add(struct rows *rows, const char *group, const char *name, const uint64_t *value)
{
	if (rows->count < rows->room)
		rows->to[rows->count] =
			(struct vm_counter){ .group = group,
					     .name = name,
					     .value = __atomic_load_n(value, __ATOMIC_RELAXED) };
	rows->count++;
}

static void add_if_any(struct rows *rows, const char *group, const char *name,
		       const uint64_t *value)
{
	if (__atomic_load_n(value, __ATOMIC_RELAXED))
		add(rows, group, name, value);
}

static void add_op(struct rows *rows, const char *group, uint16_t op, const uint64_t *value)
{
	static const uint32_t escapes[] = {
		[MAP_1] = 0, [MAP_0F] = 0x0f00, [MAP_0F38] = 0x0f3800, [MAP_0F3A] = 0x0f3a00
	};
	const struct op_info *info = op_info(op);

	if (!__atomic_load_n(value, __ATOMIC_RELAXED))
		return;
	add(rows, group, info->mnemonic, value);
	if (rows->count <= rows->room)
		rows->to[rows->count - 1].opcode = escapes[info->map] | info->opcode;
}

static void add_translator(struct rows *rows, const struct jit_counters *j)
{
	static const char *const ways[BACK_COUNT] = {
		[BACK_LINK] = "jump-not-linked",  [BACK_TARGET] = "jump-target-unknown",
		[BACK_CHECK] = "entry-check",     [BACK_REQUEST] = "request",
		[BACK_STOP] = "interpreted-jump",
	};
	static const char *const singles[] = { "slow-path", "not-translated" };
	const uint64_t limit = jit_cache_bytes();
	uint64_t back = 0;

	add(rows, "translator", "blocks-translated", &j->blocks);
	add(rows, "translator", "cache-bytes", &j->bytes);
	add(rows, "translator", "cache-limit-bytes", &limit);
	add(rows, "translator", "cache-flushes", &j->flushes);
	add(rows, "translator", "jumps-linked", &j->links);
	add(rows, "translator", "entries", &j->runs);
	add(rows, "translator", "single-instructions", &j->single);
	for (unsigned n = 0; n < BACK_COUNT; n++) {
		add(rows, "back-to-loop", ways[n], &j->back[n]);
		back += __atomic_load_n(&j->back[n], __ATOMIC_RELAXED);
	}
	back = j->runs > back ? j->runs - back : 0;
	add(rows, "back-to-loop", "unwound", &back);
	for (unsigned kind = 0; kind < ARRAY_LEN(singles); kind++)
		for (unsigned op = 0; op < op_count(); op++)
			add_op(rows, singles[kind], (uint16_t)op, &j->singles[kind][op]);
}

static void add_exits(struct rows *rows, const struct vcpu *c)
{
	static const char *const names[ARRAY_LEN(c->count_exits)] = {
		[KVM_EXIT_IO] = "io",
		[KVM_EXIT_DEBUG] = "debug",
		[KVM_EXIT_HLT] = "hlt",
		[KVM_EXIT_MMIO] = "mmio",
		[KVM_EXIT_IRQ_WINDOW_OPEN] = "irq-window-open",
		[KVM_EXIT_SHUTDOWN] = "shutdown",
		[KVM_EXIT_INTR] = "interrupted",
		[KVM_EXIT_SET_TPR] = "set-tpr",
		[KVM_EXIT_INTERNAL_ERROR] = "internal-error",
		[KVM_EXIT_SYSTEM_EVENT] = "system-event",
		[KVM_EXIT_IOAPIC_EOI] = "ioapic-eoi",
		[KVM_EXIT_X86_RDMSR] = "rdmsr",
		[KVM_EXIT_X86_WRMSR] = "wrmsr",
	};

	for (unsigned n = 0; n < ARRAY_LEN(names); n++)
		add_if_any(rows, "exits", names[n] ? names[n] : "other", &c->count_exits[n]);
}

static void add_events(struct rows *rows, const struct vcpu *c)
{
	static const char *const names[32] = { "#DE", "#DB", NULL,  "#BP", "#OF", "#BR",
					       "#UD", "#NM", "#DF", NULL,  "#TS", "#NP",
					       "#SS", "#GP", "#PF", NULL,  "#MF", "#AC",
					       "#MC", "#XM", "#VE", "#CP" };

	for (unsigned n = 0; n < ARRAY_LEN(names); n++)
		add_if_any(rows, "events", names[n] ? names[n] : "#other", &c->count_faults[n]);
	add_if_any(rows, "events", "nmi", &c->count_events[EVENT_NMI]);
	add_if_any(rows, "events", "int1", &c->count_events[EVENT_INT1]);
	add(rows, "events", "software", &c->count_events[EVENT_SOFTWARE]);
	add(rows, "events", "interrupts", &c->count_events[EVENT_INTERRUPT]);
}

size_t vm_counters(const struct vm_object *vcpu, struct vm_counter *to, size_t room)
{
	struct rows rows = { .to = to, .room = room };
	const struct vcpu *c = vcpu->vcpu;

	if (vcpu->kind != OBJECT_VCPU)
		return 0;
	if (c->jit)
		add_translator(&rows, jit_counters(c));
	add(&rows, "interpreter", "blocks-decoded", &c->count_decoded);
	add(&rows, "interpreter", "flushes", &c->count_code_flushes);
	add(&rows, "interpreter", "drops", &c->count_drops);
	add(&rows, "interpreter", "blocks", &c->count_blocks);
	add(&rows, "interpreter", "instructions", &c->count_insns);
	add(&rows, "memory", "slow-accesses", &c->count_slow_accesses);
	add(&rows, "memory", "tlb-misses", &c->count_tlb_misses);
	add(&rows, "memory", "tlb-fills", &c->count_tlb_fills);
	add(&rows, "memory", "tlb-flushes", &c->count_tlb_flushes);
	add(&rows, "memory", "code-pages-written", &c->count_code_writes);
	add(&rows, "window", "given", &c->count_windows);
	add(&rows, "window", "pages-shown", &c->count_window_pages);
	add(&rows, "window", "faults", &c->count_window_faults);
	add(&rows, "window", "looks-at-all-pages", &c->count_window_looks);
	add_events(&rows, c);
	add_exits(&rows, c);
	return rows.count;
}
