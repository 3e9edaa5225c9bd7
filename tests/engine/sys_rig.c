/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/* The rig of sys/'s tests, and stubs of what sys/ calls: see the header. */
#include "sys_rig.h"

#include "base/port.h"
#include "engine/decode/ops.h"
#include "engine/fpu/fpu.h"
#include "engine/jit/jit.h"
#include "engine/mmu/io.h"

#include <stdarg.h>
#include <stdlib.h>

uint8_t rig_memory[RIG_BYTES];
bool rig_no_write_at_0;
unsigned rig_flushes;

/* ---- memory ---- */

static uint8_t *at(struct vcpu *c, gva_t address, unsigned size, bool is_write)
{
	if (address + size > RIG_BYTES || (is_write && rig_no_write_at_0 && address < PAGE_BYTES))
		raise_page_fault(c, address, is_write ? PF_WRITE : 0);
	return rig_memory + address;
}

uint64_t mem_read_slow(struct vcpu *c, gva_t address, unsigned size)
{
	return load_le(at(c, address, size, false), size);
}

void mem_write_slow(struct vcpu *c, gva_t address, unsigned size, uint64_t value)
{
	store_le(at(c, address, size, true), value, size);
}

uint64_t mem_read_system(struct vcpu *c, gva_t address, unsigned size)
{
	return mem_read_slow(c, address, size);
}

void mem_write_system(struct vcpu *c, gva_t address, unsigned size, uint64_t value)
{
	mem_write_slow(c, address, size, value);
}

void mem_write_as(struct vcpu *c, uint8_t cpl, gva_t address, unsigned size, uint64_t value)
{
	(void)cpl;
	mem_write_slow(c, address, size, value);
}

void mem_read_bytes(struct vcpu *c, gva_t address, void *to, unsigned size)
{
	memcpy(to, at(c, address, size, false), size);
}

void mem_write_bytes(struct vcpu *c, gva_t address, const void *from, unsigned size)
{
	memcpy(at(c, address, size, true), from, size);
}

void tlb_use_keys(struct vcpu *c, uint32_t changed)
{
	rig_flushes += changed != 0;
}

uint32_t mmu_user_keys(const struct vcpu *c)
{
	return load_le32(c->xsave + xsave_offset(9));
}

void tlb_flush_all(struct vcpu *c)
{
	(void)c;
	rig_flushes++;
}

void tlb_flush_non_global(struct vcpu *c)
{
	(void)c;
	rig_flushes++;
}

void tlb_flush_page(struct vcpu *c, gva_t address)
{
	(void)c;
	(void)address;
	rig_flushes++;
}

void tlb_flush_space(struct vcpu *c, unsigned pcid)
{
	(void)c;
	(void)pcid;
	rig_flushes++;
}

void tlb_switch_space(struct vcpu *c, unsigned pcid, bool keep)
{
	(void)c;
	(void)pcid;
	rig_flushes += !keep;
}

void tlb_select_view(struct vcpu *c)
{
	(void)c;
}

bool mmu_load_pdptrs(struct vcpu *c, uint64_t cr3)
{
	(void)c;
	return !(cr3 & BIT(31)); /* for tests: bad tables up there */
}

unsigned mmu_physical_bits(const struct vcpu *c)
{
	return c->physical_bits;
}

uint32_t port_read(struct vcpu *c, uint16_t port, unsigned size)
{
	(void)c;
	(void)size;
	return port;
}

void port_write(struct vcpu *c, uint16_t port, unsigned size, uint32_t value)
{
	(void)c;
	(void)port;
	(void)size;
	(void)value;
}

/* ---- the rest of the engine ---- */

void fpu_reset(struct vcpu *c)
{
	(void)c;
}

void jit_segments_update(struct vcpu *c)
{
	(void)c;
}

enum vector_level fpu_vectors_allowed(const struct vcpu *c)
{
	(void)c;
	return VECTORS_NONE;
}

uint64_t xsave_supported(void)
{
	return 0x2e7;
}

unsigned xsave_offset(unsigned component)
{
	static const uint16_t offsets[10] = { 0, 160, 576, 0, 0, 1088, 1152, 1664, 0, 2688 };

	return component < ARRAY_LEN(offsets) ? offsets[component] : 0;
}

unsigned xsave_size(unsigned component)
{
	static const uint16_t sizes[10] = { 160, 256, 256, 0, 0, 64, 512, 1024, 0, 8 };

	return component < ARRAY_LEN(sizes) ? sizes[component] : 0;
}

unsigned xsave_total(uint64_t xcr0)
{
	unsigned total = 576;

	for (unsigned n = 2; n < 10; n++)
		if (xcr0 >> n & 1)
			total = xsave_offset(n) + xsave_size(n);
	return total;
}

void interp_flush(struct vcpu *c)
{
	(void)c;
}

const struct op_info *op_info(uint16_t op)
{
	static struct op_info info; /* tests put the segment register into insn.op */

	info.arg = (uint8_t)op;
	return &info;
}

uint64_t lapic_base_get(const struct vcpu *c)
{
	return c->apic_base;
}

bool lapic_base_set(struct vcpu *c, uint64_t value, bool host)
{
	(void)host;
	c->apic_base = value;
	return true;
}

bool lapic_msr_read(struct vcpu *c, uint32_t index, uint64_t *value)
{
	(void)c;
	(void)index;
	(void)value;
	return false;
}

bool lapic_msr_write(struct vcpu *c, uint32_t index, uint64_t value)
{
	(void)c;
	(void)index;
	(void)value;
	return false;
}

uint8_t lapic_tpr_get(const struct vcpu *c)
{
	(void)c;
	return 0;
}

void lapic_tpr_set(struct vcpu *c, uint8_t value)
{
	(void)c;
	(void)value;
}

void lapic_tsc_deadline_set(struct vcpu *c, uint64_t value)
{
	c->tsc_deadline = value;
}

uint64_t lapic_tsc_deadline_get(struct vcpu *c)
{
	return c->tsc_deadline;
}

uint64_t pv_hypercall(struct vcpu *c, uint64_t nr, const uint64_t args[4])
{
	(void)c;
	(void)args;
	return nr;
}

bool pv_msr_read(struct vcpu *c, uint32_t index, uint64_t *value)
{
	(void)c;
	(void)index;
	*value = 0;
	return true;
}

bool pv_msr_write(struct vcpu *c, uint32_t index, uint64_t value, bool host)
{
	(void)c;
	(void)index;
	(void)value;
	(void)host;
	return true;
}

uint64_t vcpu_tsc(const struct vcpu *c)
{
	return 1000 + c->tsc_offset;
}

void vcpu_tsc_write(struct vcpu *c, uint64_t value, bool host)
{
	(void)host;
	c->tsc_offset = value - 1000;
}

void vcpu_tsc_adjust_write(struct vcpu *c, uint64_t value, bool host)
{
	(void)host;
	c->msr.tsc_adjust = value;
}

void port_log(const char *fmt, ...)
{
	(void)fmt;
}

void split_unlock(struct vcpu *c)
{
	(void)c;
}

/* ---- set-up ---- */

uint64_t rig_get(gva_t address, unsigned size)
{
	return load_le(rig_memory + address, size);
}

void rig_put(gva_t address, unsigned size, uint64_t value)
{
	store_le(rig_memory + address, value, size);
}

uint64_t rig_descriptor(uint32_t base, uint32_t limit, uint32_t rights)
{
	return (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)rights << 40 |
	       (uint64_t)(limit >> 16 & 15) << 48 | (uint64_t)(base >> 24) << 56;
}

void rig_gdt_set(uint16_t selector, uint64_t descriptor)
{
	rig_put(RIG_GDT + (selector & 0xfff8), 8, descriptor);
}

void rig_gate(struct vcpu *c, uint8_t vector, unsigned type, unsigned dpl, uint16_t selector,
	      uint64_t offset)
{
	uint64_t low = (offset & 0xffff) | (uint64_t)selector << 16 |
		       (uint64_t)(type | dpl << 5 | SEG_PRESENT) << 40 |
		       (offset >> 16 & 0xffff) << 48;

	if (!in_long_mode(c)) {
		rig_put(RIG_IDT + 8 * vector, 8, low);
		return;
	}
	rig_put(RIG_IDT + 16 * vector, 8, low);
	rig_put(RIG_IDT + 16 * vector + 8, 8, offset >> 32);
}

struct vcpu *rig_new(void)
{
	struct vcpu *c = aligned_alloc(64, ALIGN_UP(sizeof(*c), 64));

	memset(c, 0, sizeof(*c));
	memset(rig_memory, 0, sizeof(rig_memory));
	rig_no_write_at_0 = false;
	c->run = calloc(1, sizeof(*c->run));
	c->vm = calloc(1, sizeof(*c->vm));
	c->tlb_now = c->no_translations;
	for (unsigned n = 0; n < TLB_ENTRIES; n++) { /* so that nothing ever hits */
		uint64_t elsewhere = (uint64_t)(n ^ 1) << PAGE_SHIFT;

		c->no_translations[n] = (struct tlb_entry){ .read = elsewhere, .write = elsewhere };
	}
	cpuid_changed(c);
	vcpu_reset(c, false);
	return c;
}

void rig_free(struct vcpu *c)
{
	free(c->run);
	free(c->vm);
	free(c);
}

static void fill_gdt(void)
{
	const uint32_t flat = SEG_GRANULAR | SEG_BIG | SEG_PRESENT | SEG_S | SEG_WRITE;

	rig_gdt_set(SEL_CODE0, rig_descriptor(0, 0xfffff, flat | SEG_CODE));
	rig_gdt_set(SEL_DATA0, rig_descriptor(0, 0xfffff, flat));
	rig_gdt_set(SEL_CODE3, rig_descriptor(0, 0xfffff, flat | SEG_CODE | SEG_DPL));
	rig_gdt_set(SEL_DATA3, rig_descriptor(0, 0xfffff, flat | SEG_DPL));
	rig_gdt_set(SEL_TSS, rig_descriptor(RIG_TSS, 0x67, SEG_PRESENT | TYPE_TSS32_BUSY));
	rig_gdt_set(SEL_CODE64,
		    rig_descriptor(0, 0xfffff, (flat & ~SEG_BIG) | SEG_CODE | SEG_LONG));
}

static void load(struct vcpu *c, unsigned reg, uint16_t selector)
{
	struct descriptor d = { .low = rig_get(RIG_GDT + (selector & 0xfff8), 8) };

	segment_unpack(&d, selector, &c->seg[reg]);
}

void rig_protected(struct vcpu *c, uint8_t cpl)
{
	uint16_t data = cpl ? SEL_DATA3 | 3 : SEL_DATA0;

	fill_gdt();
	c->cr0 |= CR0_PE;
	c->cpl = cpl;
	c->gdt = (struct table_register){ RIG_GDT, 0x1ff };
	c->idt = (struct table_register){ RIG_IDT, 0xfff };
	load(c, CS, cpl ? SEL_CODE3 | 3 : SEL_CODE0);
	for (unsigned reg = 0; reg <= GS; reg++)
		if (reg != CS)
			load(c, reg, data);
	load(c, TR, SEL_TSS);
	segment_set_null(&c->seg[LDTR], 0);
	rig_put(RIG_TSS + 4, 4, RIG_STACK0);
	rig_put(RIG_TSS + 8, 2, SEL_DATA0);
	c->rip = RIG_CODE;
	c->gpr[RSP] = RIG_STACK;
	mode_update(c);
}

void rig_long(struct vcpu *c, uint8_t cpl)
{
	rig_protected(c, cpl);
	c->cr4 |= CR4_PAE;
	c->cr0 |= CR0_PG;
	c->efer |= EFER_LME | EFER_LMA;
	load(c, CS, SEL_CODE64);
	c->seg[CS].selector |= cpl;
	c->seg[CS].rights |= (uint32_t)cpl << SEG_DPL_SHIFT;
	rig_put(RIG_TSS + 4, 8, RIG_STACK0);
	rig_put(RIG_TSS + 0x24, 8, RIG_IST1);
	mode_update(c);
}

/* ---- execution ---- */

static void end_of_block(struct vcpu *c, const struct insn *i)
{
	c->rip = c->gpr[GPR_BLOCK] + i->start;
}

struct event rig_execute(struct vcpu *c, op_fn *handler, struct insn i)
{
	struct insn block[2] = { i, { .exec = end_of_block } };
	struct event raised;

	block[0].length = i.length ? i.length : 2;
	block[1].start = block[0].length;
	if (!i.modrm)
		block[0].modrm = 0xc0;
	if (insn_has_memory(&block[0]) && !i.base)
		block[0].base = GPR_ZERO;
	block[0].index = GPR_ZERO;
	block[0].addrsize = block[0].addrsize ? block[0].addrsize : 4;
	c->insn = block;
	c->gpr[GPR_BLOCK] = c->rip;
	c->raised.kind = EVENT_NONE;
	c->can_unwind = true;
	if (!setjmp(c->unwind))
		handler(c, block);
	c->can_unwind = false;
	c->insn = NULL;
	raised = c->raised;
	c->raised.kind = EVENT_NONE;
	return raised;
}

struct event rig_deliver(struct vcpu *c, struct event event)
{
	struct event raised;

	c->injected = event;
	c->raised.kind = EVENT_NONE;
	c->can_unwind = true;
	if (!setjmp(c->unwind))
		event_deliver(c);
	c->can_unwind = false;
	raised = c->raised;
	c->raised.kind = EVENT_NONE;
	return raised;
}
