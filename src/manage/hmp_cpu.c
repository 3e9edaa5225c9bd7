/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The human monitor's view of processors and interrupt controllers. The board stands still while a
 * command looks, so that what it shows belongs together.
 */
#include "base/bytes.h"
#include "host/kvm.h"
#include "manage/hmp.h"

#include <string.h>

static long get(struct hmp *hmp, unsigned long request, void *to)
{
	return board_vcpu_ioctl(hmp->vmm->board, *hmp->cpu, request, to);
}

/* Type, S, DPL, P, AVL, L, DB, G as they lie in a descriptor's upper word. */
static uint32_t attributes(const struct kvm_segment *s)
{
	return (uint32_t)s->type << 8 | (uint32_t)s->s << 12 | (uint32_t)s->dpl << 13 |
	       (uint32_t)s->present << 15 | (uint32_t)s->avl << 20 | (uint32_t)s->l << 21 |
	       (uint32_t)s->db << 22 | (uint32_t)s->g << 23;
}

static void print_segment(struct hmp *hmp, const char *name, const struct kvm_segment *s)
{
	report_print(hmp->out, "%-3s=%04x %016llx %08x %08x\n", name, s->selector, s->base,
		     s->limit, attributes(s));
}

static void print_regs(struct hmp *hmp, const struct kvm_regs *r, unsigned cpl)
{
	struct kvm_mp_state state = { 0 };
	char flags[] = "-------";

	for (unsigned i = 0; i < 7; i++) /* DF OF SF ZF AF PF CF */
		if (r->rflags >> (uint8_t[]){ 10, 11, 7, 6, 4, 2, 0 }[i] & 1)
			flags[i] = "DOSZAPC"[i];
	get(hmp, KVM_GET_MP_STATE, &state);
	report_print(hmp->out,
		     "RAX=%016llx RBX=%016llx RCX=%016llx RDX=%016llx\n"
		     "RSI=%016llx RDI=%016llx RBP=%016llx RSP=%016llx\n"
		     "R8 =%016llx R9 =%016llx R10=%016llx R11=%016llx\n"
		     "R12=%016llx R13=%016llx R14=%016llx R15=%016llx\n"
		     "RIP=%016llx RFL=%08llx [%s] CPL=%u II=0 A20=%d SMM=0 HLT=%d\n",
		     r->rax, r->rbx, r->rcx, r->rdx, r->rsi, r->rdi, r->rbp, r->rsp, r->r8, r->r9,
		     r->r10, r->r11, r->r12, r->r13, r->r14, r->r15, r->rip, r->rflags, flags, cpl,
		     board_a20(hmp->vmm->board), state.mp_state == KVM_MP_STATE_HALTED);
}

static void print_sregs(struct hmp *hmp, const struct kvm_sregs *s)
{
	struct kvm_debugregs d = { 0 };

	print_segment(hmp, "ES", &s->es);
	print_segment(hmp, "CS", &s->cs);
	print_segment(hmp, "SS", &s->ss);
	print_segment(hmp, "DS", &s->ds);
	print_segment(hmp, "FS", &s->fs);
	print_segment(hmp, "GS", &s->gs);
	print_segment(hmp, "LDT", &s->ldt);
	print_segment(hmp, "TR", &s->tr);
	report_print(hmp->out, "GDT=     %016llx %08x\nIDT=     %016llx %08x\n", s->gdt.base,
		     s->gdt.limit, s->idt.base, s->idt.limit);
	report_print(hmp->out, "CR0=%08llx CR2=%016llx CR3=%016llx CR4=%08llx\n", s->cr0, s->cr2,
		     s->cr3, s->cr4);
	get(hmp, KVM_GET_DEBUGREGS, &d);
	report_print(hmp->out,
		     "DR0=%016llx DR1=%016llx DR2=%016llx DR3=%016llx\nDR6=%016llx DR7=%016llx\n",
		     d.db[0], d.db[1], d.db[2], d.db[3], d.dr6, d.dr7);
	report_print(hmp->out, "EFER=%016llx\n", s->efer);
}

static void print_fpu(struct hmp *hmp)
{
	struct kvm_fpu fpu = { 0 };

	get(hmp, KVM_GET_FPU, &fpu);
	report_print(hmp->out, "FCW=%04x FSW=%04x [ST=%d] FTW=%02x MXCSR=%08x\n", fpu.fcw, fpu.fsw,
		     fpu.fsw >> 11 & 7, fpu.ftwx, fpu.mxcsr);
	for (unsigned i = 0; i < 8; i++)
		report_print(hmp->out, "FPR%u=%016llx %04x%s", i,
			     (unsigned long long)load_le64(fpu.fpr[i]), load_le16(fpu.fpr[i] + 8),
			     i % 2 ? "\n" : " ");
	for (unsigned i = 0; i < 16; i++)
		report_print(hmp->out, "XMM%02u=%016llx%016llx%s", i,
			     (unsigned long long)load_le64(fpu.xmm[i] + 8),
			     (unsigned long long)load_le64(fpu.xmm[i]), i % 2 ? "\n" : " ");
}

static void print_cpu(struct hmp *hmp)
{
	struct kvm_regs regs = { 0 };
	struct kvm_sregs sregs = { 0 };

	if (get(hmp, KVM_GET_REGS, &regs) < 0 || get(hmp, KVM_GET_SREGS, &sregs) < 0) {
		report_print(hmp->out, "Error: vCPU %u does not tell its registers\n", *hmp->cpu);
		return;
	}
	print_regs(hmp, &regs, sregs.ss.dpl);
	print_sregs(hmp, &sregs);
	print_fpu(hmp);
}

void hmp_info_registers(struct hmp *hmp)
{
	bool all = hmp->argc > 1 && !strcmp(hmp->argv[1], "-a");
	bool was_running = vmm_pause(hmp->vmm);
	unsigned chosen = *hmp->cpu;

	for (unsigned i = 0; i < board_vcpu_count(hmp->vmm->board); i++) {
		if (!all && i != chosen)
			continue;
		*hmp->cpu = i;
		report_print(hmp->out, "\nCPU#%u\n", i);
		print_cpu(hmp);
	}
	*hmp->cpu = chosen;
	vmm_resume(hmp->vmm, was_running);
}

void hmp_info_cpus(struct hmp *hmp)
{
	for (unsigned i = 0; i < board_vcpu_count(hmp->vmm->board); i++)
		report_print(hmp->out, "%c CPU #%u: thread_id=%d\n", i == *hmp->cpu ? '*' : ' ', i,
			     board_vcpu_thread(hmp->vmm->board, i));
}

static void print_bits(struct hmp *hmp, const char *name, const uint8_t *regs, unsigned first)
{
	report_print(hmp->out, "%s", name);
	for (unsigned vector = 0; vector < 256; vector++)
		if (load_le32(regs + first + vector / 32 * 16) >> vector % 32 & 1)
			report_print(hmp->out, " %u", vector);
	report_print(hmp->out, "\n");
}

void hmp_info_lapic(struct hmp *hmp)
{
	static const struct {
		const char *name;
		unsigned offset;
	} lines[] = { { "TIMER", 0x320 }, { "THERM", 0x330 }, { "PERFM", 0x340 },
		      { "LINT0", 0x350 }, { "LINT1", 0x360 }, { "ERROR", 0x370 } };
	struct kvm_lapic_state state = { 0 };
	const uint8_t *r = (const uint8_t *)state.regs;

	if (get(hmp, KVM_GET_LAPIC, &state) < 0) {
		report_print(hmp->out, "Error: vCPU %u has no local APIC\n", *hmp->cpu);
		return;
	}
	report_print(hmp->out, "local APIC of CPU %u: ID %08x VERSION %08x\n", *hmp->cpu,
		     load_le32(r + 0x20), load_le32(r + 0x30));
	for (unsigned i = 0; i < ARRAY_LEN(lines); i++)
		report_print(hmp->out, "LVT %s %08x%s\n", lines[i].name,
			     load_le32(r + lines[i].offset),
			     load_le32(r + lines[i].offset) & 0x10000 ? " masked" : "");
	report_print(hmp->out, "SPIV %08x TPR %02x PPR %02x LDR %08x DFR %08x ESR %08x\n",
		     load_le32(r + 0xf0), load_le32(r + 0x80), load_le32(r + 0xa0),
		     load_le32(r + 0xd0), load_le32(r + 0xe0), load_le32(r + 0x280));
	report_print(hmp->out, "timer divide %x initial %u current %u; ICR %08x %08x\n",
		     load_le32(r + 0x3e0), load_le32(r + 0x380), load_le32(r + 0x390),
		     load_le32(r + 0x310), load_le32(r + 0x300));
	print_bits(hmp, "ISR", r, 0x100);
	print_bits(hmp, "IRR", r, 0x200);
}

static void print_pic(struct hmp *hmp, unsigned number, const struct kvm_pic_state *pic)
{
	report_print(hmp->out,
		     "pic%u: irr=%02x imr=%02x isr=%02x hprio=%u irq_base=%02x elcr=%02x\n", number,
		     pic->irr, pic->imr, pic->isr, pic->priority_add, pic->irq_base, pic->elcr);
}

static void print_ioapic(struct hmp *hmp, const struct kvm_ioapic_state *ioapic)
{
	report_print(hmp->out, "ioapic: id=%u irr=%06x\n", ioapic->id, ioapic->irr);
	for (unsigned i = 0; i < KVM_IOAPIC_NUM_PINS; i++) {
		uint64_t bits = ioapic->redirtbl[i].bits;

		report_print(hmp->out, "  pin %-2u %016llx dest=%u vec=%u %s %s%s%s%s\n", i,
			     (unsigned long long)bits, (unsigned)(bits >> 56),
			     (unsigned)(bits & 0xff), bits & 0x8000 ? "level" : "edge",
			     bits & 0x2000 ? "active-lo" : "active-hi",
			     bits & 0x800 ? " logical" : " physical",
			     bits & 0x10000 ? " masked" : "", bits & 0x1000 ? " pending" : "");
	}
}

static void print_words(struct hmp *hmp, const struct field *row, const uint8_t *at)
{
	report_print(hmp->out, " %s=", row->name);
	for (size_t i = 0; i + 8 <= row->size; i += 8)
		report_print(hmp->out, "%s%016llx", i ? "," : "",
			     (unsigned long long)load_le64(at + i));
}

/* All state that a field table names, on a line; structs in it get lines of their own. */
static void print_state(struct hmp *hmp, const struct field *table, const uint8_t *object)
{
	char text[64];

	for (const struct field *f = table; f->name; f++) {
		if (f->role != FIELD_STATE)
			continue;
		for (size_t at = 0; f->type == FIELD_STRUCTS && at < f->size; at += f->stride) {
			report_print(hmp->out, "\n  %s %zu:", f->name, at / f->stride);
			print_state(hmp, f->sub, object + f->offset + at);
		}
		fields_print(f, object, text, sizeof(text));
		if (f->type == FIELD_BYTES)
			print_words(hmp, f, object + f->offset);
		else if (f->type != FIELD_STRUCTS && *text)
			report_print(hmp->out, " %s=%s", f->name, text);
	}
}

/* With a split irqchip they are devices. */
static void print_chip_devices(struct hmp *hmp)
{
	static const char *const ids[] = { "pic", "ioapic" };

	for (unsigned i = 0; i < ARRAY_LEN(ids); i++) {
		const struct dev *dev = dev_find(hmp->vmm->board, ids[i]);

		if (!dev)
			continue;
		report_print(hmp->out, "%s:", ids[i]);
		print_state(hmp, dev->class->fields, (const uint8_t *)dev);
		report_print(hmp->out, "\n");
	}
}

void hmp_info_pic(struct hmp *hmp)
{
	struct kvm *vm = board_vm(hmp->vmm->board);
	bool was_running = vmm_pause(hmp->vmm);

	print_chip_devices(hmp);
	for (unsigned id = 0; id < 3 && vm; id++) {
		struct kvm_irqchip chip = { .chip_id = id };

		if (kvm_ioctl(vm, KVM_GET_IRQCHIP, &chip) < 0)
			break;
		if (id == KVM_IRQCHIP_IOAPIC)
			print_ioapic(hmp, &chip.chip.ioapic);
		else
			print_pic(hmp, id, &chip.chip.pic);
	}
	vmm_resume(hmp->vmm, was_running);
}

void hmp_info_irq(struct hmp *hmp)
{
	report_print(hmp->out, "lines that devices drive high:");
	for (unsigned gsi = 0; gsi < 24; gsi++)
		if (board_line(hmp->vmm->board, gsi))
			report_print(hmp->out, " %u", gsi);
	report_print(hmp->out, "\n");
}
