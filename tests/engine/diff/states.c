/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Registers and memory for a test: operands that matter, and addresses that mostly hit the data
 * pages, sometimes their ends, the read-only page, nothing, or no canonical address.
 */
#include "diff.h"

#include "base/bytes.h"
#include "engine/fpu/fpu.h"
#include "engine/interp/exec.h"

enum { FCW_INIT = 0x37f, MXCSR_AT = 24, ST_AT = 32, XMM_AT = 160, BV_AT = 512 };
enum { AVX = 2, OPMASK = 5, ZMM_HI256 = 6, HI16_ZMM = 7 };

void pattern_make(struct random *r, uint8_t *pattern)
{
	for (unsigned n = 0; n < DATA_BYTES; n += 64)
		random_pooled_vector(r, pattern + n);
}

/* Addresses */

static uint64_t good_address(struct random *r, unsigned size)
{
	unsigned alignment = random_percent(r, 75) ? 64 : 1;
	uint64_t offset = random_below(r, DATA_BYTES - MIN(size, DATA_BYTES - 1));

	return DATA + ALIGN_DOWN(offset, alignment);
}

static uint64_t target_address(struct random *r, unsigned size, bool compat)
{
	unsigned kind = (unsigned)random_below(r, 100);

	if (kind < 72)
		return good_address(r, size);
	if (kind < 82) /* across the two pages */
		return DATA + 0x1000 - 1 - random_below(r, size ? size : 1);
	if (kind < 88) /* the last bytes */
		return DATA + DATA_BYTES - size;
	if (kind < 93) /* over the end, or the beginning */
		return random_percent(r, 70) ? DATA + DATA_BYTES - random_below(r, size ? size : 1)
					     : DATA - 1 - random_below(r, 8);
	if (kind < 97)
		return READ_ONLY + random_below(r, 0x1000);
	if (kind < 98 || compat)
		return 0x40000000 + random_below(r, 4096);
	return 0x0000800000000000 - (size <= 64 ? random_below(r, 4) : 0) +
	       random_below(r, 4) * 0x100000000000;
}

/* Patches: what lies at the operand */

static void fill_fx_image(struct random *r, uint8_t *image)
{
	for (unsigned n = 0; n < 512; n += 8)
		store_le64(image + n, random_next(r));
	for (unsigned n = 0; n < 8; n++)
		random_x87(r, image + ST_AT + 16 * n);
	/* Pointers are cut to the processor's linear address width. */
	store_le64(image + 8, load_le64(image + 8) >> 17);
	store_le64(image + 16, load_le64(image + 16) >> 17);
	if (random_percent(r, 95))
		store_le32(image + MXCSR_AT, (uint32_t)random_next(r) & fpu_mxcsr_mask());
}

static void fill_xsave_image(struct random *r, uint8_t *image)
{
	uint64_t components = 0x2e7 & random_next(r);
	bool compacted = random_percent(r, 40);

	random_vector(r, image, AREA_BYTES);
	fill_fx_image(r, image);
	memset(image + BV_AT, 0, 64);
	store_le64(image + BV_AT, components);
	if (compacted)
		store_le64(image + BV_AT + 8, 1ull << 63 | 0x2e7);
	if (random_percent(r, 8))
		image[BV_AT + random_below(r, 64)] ^= (uint8_t)(1 << random_below(r, 8));
	image[BV_AT + 2] &= 0xf9; /* AMX, which the host may have enabled, the guest not */
	image[BV_AT + 10] &= 0xf9;
	/* Protection keys must stay permissive, or the child cannot save its signal frame. */
	for (unsigned n = 576; n + 8 <= AREA_BYTES; n += 8)
		if (n >= xsave_offset(PKRU))
			store_le64(image + n, PKRU_DEFAULT);
	if (compacted)
		for (unsigned n = 576; n + 4 <= AREA_BYTES; n += 4)
			if (n >= 1024)
				store_le32(image + n, PKRU_DEFAULT);
}

static void fill_patch(struct random *r, struct test *t, const struct insn *i)
{
	const char *mnemonic = op_info(i->op)->mnemonic;

	t->patch_bytes = 64;
	random_pooled_vector(r, t->patch);
	if (i->exec != exec_ud && segments_takes_selector(i)) {
		segments_fill_patch(r, t, i);
	} else if (!strcmp(mnemonic, "fxrstor")) {
		t->patch_bytes = 512;
		fill_fx_image(r, t->patch);
	} else if (!strcmp(mnemonic, "xrstor")) {
		t->patch_bytes = AREA_BYTES;
		fill_xsave_image(r, t->patch);
	} else if (!strcmp(mnemonic, "frstor")) {
		t->patch_bytes = 112;
		for (unsigned n = 28; n + 10 <= 112; n += 10)
			random_x87(r, t->patch + n);
	} else if (op_info(i->op)->flags & OP_X87 && random_percent(r, 50)) {
		random_x87(r, t->patch);
	} else if (random_percent(r, 25)) {
		store_le64(t->patch, t->in.gpr[RAX]); /* CMPXCHG succeeds */
		store_le64(t->patch + 8, t->in.gpr[RDX]);
		if (i->opsize == 4)
			store_le32(t->patch + 4, (uint32_t)t->in.gpr[RDX]);
	} else if (op_info(i->op)->flags & OP_BRANCH) {
		store_le64(t->patch, CODE + 0x80);
	}
	if (random_percent(r, 4) && strstr(mnemonic, "mxcsr"))
		store_le32(t->patch, (uint32_t)random_next(r));
	else if (strstr(mnemonic, "ldmxcsr"))
		store_le32(t->patch, (uint32_t)random_next(r) & 0xffff);
}

static void place_patch(struct random *r, struct test *t, const struct insn *i, uint64_t address)
{
	fill_patch(r, t, i);
	t->patch_at = address;
	if (address < DATA || address >= DATA + DATA_BYTES) {
		t->patch_bytes = 0;
		t->patch_at = 0;
	} else if (address + t->patch_bytes > DATA + DATA_BYTES) {
		t->patch_bytes = (uint32_t)(DATA + DATA_BYTES - address);
	}
}

/* Registers */

static uint64_t segment_base(const struct insn *i)
{
	return i->seg == GS ? GS_BASE : 0; /* CS is not for data here */
}

static unsigned memory_bytes(const struct insn *i, bool compat)
{
	const struct op_info *info = op_info(i->op);
	unsigned bytes = op_memory_bytes(info, i, !compat);

	if (info->mem == MEM_XSAVE)
		return AREA_BYTES;
	return bytes ? bytes : 8;
}

/* Chooses registers so that the operand is at `target`; false if it cannot be. */
static bool solve_address(struct random *r, struct test *t, const struct insn *i, uint64_t target)
{
	uint64_t mask = i->addrsize == 8 ? ~0ull : i->addrsize == 4 ? 0xffffffff : 0xffff;
	uint64_t index = 0;

	if (i->base >= 16)
		return false;
	if (i->index < 16 && i->index != i->base) {
		if (random_percent(r, 70))
			t->in.gpr[i->index] = random_below(r, 256) - (i->addrsize == 8 ? 128 : 0);
		index = t->in.gpr[i->index] << i->scale;
	}
	if (i->index == i->base)
		return false;
	uint64_t base = target - segment_base(i) - index - (uint64_t)i->disp;

	t->in.gpr[i->base] = (t->in.gpr[i->base] & ~mask) | (base & mask);
	if (t->compat)
		t->in.gpr[i->base] &= 0xffffffff;
	return true;
}

/* Vector indices: small multiples around a base in the data pages. */
static void solve_vsib(struct random *r, struct test *t, const struct insn *i)
{
	unsigned reg = vector_bits(i).vsib_index;

	for (unsigned n = 0; n < 64; n += 4) {
		uint32_t value = (uint32_t)random_below(r, 512);
		bool high_half = op_info(i->op)->flags & OP_VSIB64 && n & 4;

		if (random_percent(r, 3))
			value = (uint32_t)random_integer(r) & 0xffff;
		if (high_half)
			value = 0;
		uint8_t *at = reg >= 16 ? t->in.xsave + xsave_offset(HI16_ZMM) + 64 * (reg - 16) + n
			      : n < 16  ? t->in.xsave + XMM_AT + 16 * reg + n
			      : n < 32  ? t->in.xsave + xsave_offset(AVX) + 16 * reg + n - 16
					: t->in.xsave + xsave_offset(ZMM_HI256) + 32 * reg + n - 32;
		store_le32(at, value);
	}
	if (i->base < 16) {
		t->in.gpr[i->base] = DATA + 0x800 - (uint64_t)i->disp - segment_base(i);
		if (t->compat)
			t->in.gpr[i->base] &= 0xffffffff;
	}
}

static void random_gprs(struct random *r, struct test *t, const struct insn *i)
{
	const struct op_info *info = op_info(i->op);

	for (unsigned n = 0; n < 16; n++)
		t->in.gpr[n] =
			random_percent(r, 25) ? good_address(r, 64) : random_pooled_integer(r);
	t->in.gpr[RSP] = target_address(r, 64, t->compat) & ~7ull;
	if (random_percent(r, 50))
		t->in.gpr[RBP] = good_address(r, 64);
	if (info->flags & (OP_STRING | OP_DI_STORE)) {
		t->in.gpr[RSI] = target_address(r, 64, t->compat);
		t->in.gpr[RDI] = target_address(r, 16, t->compat);
	}
	if (info->flags & OP_STRING || random_percent(r, 40))
		t->in.gpr[RCX] = random_below(r, 48);
	if (info->map == MAP_1 && info->opcode == 0xd7 && random_percent(r, 80))
		t->in.gpr[RBX] = good_address(r, 256);
	if (info->mem == MEM_XSAVE) { /* not AMX, which the engine does not offer */
		t->in.gpr[RAX] = random_next(r) & 0x3ff;
		t->in.gpr[RDX] &= 0xffff;
	}
	if (t->compat)
		for (unsigned n = 0; n < 16; n++)
			t->in.gpr[n] = (uint32_t)t->in.gpr[n];
}

static void random_xsave(struct random *r, struct state *s)
{
	static const uint16_t unmasked[] = { 0x37e, 0x37d, 0x37b, 0x377, 0x36f, 0x35f, 0x340 };
	static const uint8_t precision[] = { 0, 2, 3 };

	memset(s->xsave, 0, 576);
	for (unsigned n = 0; n < 256; n += 64)
		random_pooled_vector(r, s->xsave + XMM_AT + n);
	for (unsigned n = 576; n < AREA_BYTES; n += 64)
		random_pooled_vector(r, s->xsave + n);
	for (unsigned k = 0; k < 8; k++)
		store_le64(s->xsave + xsave_offset(OPMASK) + 8 * k,
			   random_percent(r, 25) ? ~0ull : random_pooled_integer(r));
	store_le64(s->xsave + xsave_offset(PKRU), PKRU_DEFAULT);
	uint32_t mxcsr = 0x1f80 | (uint32_t)(random_next(r) & 0x603f);

	if (random_percent(r, 25))
		mxcsr |= 0x8040 & (uint32_t)random_next(r);
	if (random_percent(r, 20))
		mxcsr &= (uint32_t)random_next(r) | 0xffff807f;
	store_le32(s->xsave + MXCSR_AT, mxcsr);
	store_le32(s->xsave + MXCSR_AT + 4, fpu_mxcsr_mask());
	uint16_t fcw =
		random_percent(r, 20) ? unmasked[random_below(r, ARRAY_LEN(unmasked))] : FCW_INIT;

	fcw = (uint16_t)((fcw & 0xff) | precision[random_below(r, 3)] << 8 |
			 random_below(r, 4) << 10);
	store_le16(s->xsave, fcw);
	uint16_t fsw = (uint16_t)random_next(r) & 0x7f00;

	if (random_percent(r, 30)) /* sticky flags, pending ones only if unmasked */
		fsw |= (uint16_t)random_next(r) & 0x7f;
	if (fsw & ~fcw & 0x3f && random_percent(r, 80))
		fsw &= (uint16_t)~0x3f;
	if (fsw & ~fcw & 0x3f)
		fsw |= 0x8080;
	store_le16(s->xsave + 2, fsw);
	s->xsave[4] = (uint8_t)(random_percent(r, 60) ? 0xff : random_next(r));
	for (unsigned n = 0; n < 8; n++)
		random_pooled_x87(r, s->xsave + ST_AT + 16 * n);
	store_le64(s->xsave + BV_AT, 0x2e7);
}

/* Kernels punish locked accesses that cross a cache line with long sleeps. */
static bool is_split_lock(const struct test *t, const struct insn *i, unsigned bytes)
{
	uint64_t gpr[GPR_SLOTS] = { [GPR_BLOCK] = t->in.rip };

	if (!(i->prefix & PREFIX_LOCK) && strcmp(op_info(i->op)->mnemonic, "xchg"))
		return false;
	if (!strncmp(op_info(i->op)->mnemonic, "bt", 2) && op_info(i->op)->reg != FIELD_NONE)
		return true; /* the bit's number decides where it is */
	memcpy(gpr, t->in.gpr, sizeof(t->in.gpr));
	uint64_t at =
		gpr[i->base] + (gpr[i->index] << i->scale) + (uint64_t)i->disp + segment_base(i);

	return insn_has_memory(i) && (at & 63) + bytes > 64;
}

bool state_make(struct random *r, struct test *t, const struct insn *i)
{
	const struct op_info *info = op_info(i->op);
	uint64_t rip = t->in.rip;
	unsigned bytes = memory_bytes(i, t->compat);
	uint64_t target = target_address(r, bytes, t->compat);

	random_gprs(r, t, i);
	t->in.rip = rip;
	t->in.rflags = 0x202 | (random_next(r) & (F_STATUS | F_DF));
	random_xsave(r, &t->in);
	if (i->exec != exec_ud && segments_takes_selector(i))
		segments_fill_registers(r, t, i);
	if (info->mem == MEM_XSAVE && random_percent(r, 92))
		target = DATA + ALIGN_DOWN(random_below(r, DATA_BYTES - AREA_BYTES), 64);
	if (info->mem == MEM_512 && random_percent(r, 90))
		target = DATA + ALIGN_DOWN(random_below(r, DATA_BYTES - 512), 16);
	if (i->exec != exec_ud && info->flags & OP_ANY_VSIB)
		solve_vsib(r, t, i);
	else if (i->exec != exec_ud && info->flags & OP_MODRM && insn_has_memory(i))
		solve_address(r, t, i, target);
	else if (info->flags & OP_STACK)
		target = t->in.gpr[RSP];
	else if (info->flags & (OP_STRING | OP_DI_STORE))
		target = t->in.gpr[random_percent(r, 50) ? RSI : RDI];
	place_patch(r, t, i, target);
	if (info->flags & OP_STRING && random_percent(r, 30) && t->patch_bytes)
		memset(t->patch, (int)t->in.gpr[RAX], t->patch_bytes);
	if (info->mem == MEM_XSAVE && t->in.gpr[RAX] & 0xfffffc00) /* AMX */
		return false;
	return !is_split_lock(t, i, bytes);
}

/* Every register a good address: whatever operand an instruction has, it can mostly reach it. */
void state_for_sequence(struct random *r, struct test *t)
{
	for (unsigned n = 0; n < 16; n++)
		t->in.gpr[n] = DATA + ALIGN_DOWN(random_below(r, DATA_BYTES - 256), 64);
}
