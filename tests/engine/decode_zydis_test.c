/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * The decoder against Zydis: same bytes, same verdict, same length, in 16, 32 and 64-bit code.
 *
 * Prefixes and opcodes are walked systematically, what follows is random; VEX and EVEX prefixes are
 * random. What Zydis knows and our processors do not have is listed below, as are the places where
 * one of the two is known to be imprecise.
 */
#include "engine/decode/ops.h"
#include "engine/interp/exec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <Zydis/Zydis.h>

static struct vcpu *cpu;
static uint64_t seed = 88172645463325252ull;

static uint64_t random_bits(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* Instruction sets of Zydis that we do not offer: #UD or NOP for us. */
static bool is_foreign(const ZydisDecodedInstruction *z)
{
	static const ZydisISAExt foreign[] = {
		ZYDIS_ISA_EXT_AMD3DNOW, ZYDIS_ISA_EXT_AMX_BF16, ZYDIS_ISA_EXT_AMX_INT8,
		ZYDIS_ISA_EXT_AMX_TILE, ZYDIS_ISA_EXT_AVX_VNNI, ZYDIS_ISA_EXT_CLDEMOTE,
		ZYDIS_ISA_EXT_CLZERO, ZYDIS_ISA_EXT_ENQCMD, ZYDIS_ISA_EXT_FMA4,
		ZYDIS_ISA_EXT_HRESET, ZYDIS_ISA_EXT_KEYLOCKER, ZYDIS_ISA_EXT_KEYLOCKER_WIDE,
		ZYDIS_ISA_EXT_KNC, ZYDIS_ISA_EXT_KNCE, ZYDIS_ISA_EXT_KNCV, ZYDIS_ISA_EXT_MCOMMIT,
		ZYDIS_ISA_EXT_MONITORX, ZYDIS_ISA_EXT_MOVDIR, ZYDIS_ISA_EXT_MPX,
		ZYDIS_ISA_EXT_PADLOCK, ZYDIS_ISA_EXT_PCONFIG, ZYDIS_ISA_EXT_PT,
		ZYDIS_ISA_EXT_RDPRU, ZYDIS_ISA_EXT_RTM, ZYDIS_ISA_EXT_SERIALIZE,
		ZYDIS_ISA_EXT_SGX, ZYDIS_ISA_EXT_SGX_ENCLV, ZYDIS_ISA_EXT_SMX,
		ZYDIS_ISA_EXT_SNP, ZYDIS_ISA_EXT_SVM, ZYDIS_ISA_EXT_TBM, ZYDIS_ISA_EXT_TDX,
		ZYDIS_ISA_EXT_TSX_LDTRK, ZYDIS_ISA_EXT_UINTR, ZYDIS_ISA_EXT_VTX,
		ZYDIS_ISA_EXT_WAITPKG, ZYDIS_ISA_EXT_XOP, ZYDIS_ISA_EXT_CET,
		ZYDIS_ISA_EXT_VMFUNC,
		ZYDIS_ISA_EXT_PREFETCHWT1,
		ZYDIS_ISA_EXT_AMD_INVLPGB,
	};
	static const ZydisISASet foreign_sets[] = {
		ZYDIS_ISA_SET_AVX512ER_512, ZYDIS_ISA_SET_AVX512ER_SCALAR,
		ZYDIS_ISA_SET_AVX512PF_512, ZYDIS_ISA_SET_AVX512_4FMAPS_512,
		ZYDIS_ISA_SET_AVX512_4FMAPS_SCALAR, ZYDIS_ISA_SET_AVX512_4VNNIW_512,
		ZYDIS_ISA_SET_AVX512_BF16_128, ZYDIS_ISA_SET_AVX512_BF16_256,
		ZYDIS_ISA_SET_AVX512_BF16_512, ZYDIS_ISA_SET_AVX512_FP16_128,
		ZYDIS_ISA_SET_AVX512_FP16_256, ZYDIS_ISA_SET_AVX512_FP16_512,
		ZYDIS_ISA_SET_AVX512_FP16_SCALAR, ZYDIS_ISA_SET_AVX512_FP16_128N,
		ZYDIS_ISA_SET_AVX512_VP2INTERSECT_128,
		ZYDIS_ISA_SET_AVX512_VP2INTERSECT_256, ZYDIS_ISA_SET_AVX512_VP2INTERSECT_512,
	};

	for (unsigned n = 0; n < ARRAY_LEN(foreign); n++) {
		if (z->meta.isa_ext == foreign[n])
			return true;
	}
	for (unsigned n = 0; n < ARRAY_LEN(foreign_sets); n++) {
		if (z->meta.isa_set == foreign_sets[n])
			return true;
	}
	return false;
}

/* Handlers that check the register number themselves. */
static bool is_checked_later(const struct insn *i)
{
	return i->exec == exec_mov_from_cr || i->exec == exec_mov_to_cr ||
	       i->exec == exec_mov_from_dr || i->exec == exec_mov_to_dr;
}

/* MPX forms that are invalid with MPX are NOPs without it. */
static bool is_mpx_nop(const struct op_info *info)
{
	return info->map == MAP_0F && (info->opcode == 0x1a || info->opcode == 0x1b);
}

/* Without a 64-bit register nothing is rounded; we let EVEX.b be, as in 64-bit code. */
static bool is_exact_conversion(uint32_t mode, const struct insn *i)
{
	return !(mode & MODE_CODE64) && op_info(i->op)->encoding == EVEX &&
	       op_info(i->op)->opcode == 0x2a;
}

/* AMD has these outside 64-bit mode, Intel does not. */
static bool is_amd_syscall(uint32_t mode, const ZydisDecodedInstruction *z)
{
	return !(mode & MODE_CODE64) &&
	       (z->mnemonic == ZYDIS_MNEMONIC_SYSCALL || z->mnemonic == ZYDIS_MNEMONIC_SYSRET);
}

static bool decode_zydis(uint32_t mode, const uint8_t *bytes, ZydisDecodedInstruction *z)
{
	ZydisDecoder decoder;
	ZydisMachineMode machine = mode & MODE_CODE64 ? ZYDIS_MACHINE_MODE_LONG_64 :
				   mode & MODE_CODE32 ? ZYDIS_MACHINE_MODE_LEGACY_32 :
							ZYDIS_MACHINE_MODE_LEGACY_16;
	ZydisStackWidth width = mode & MODE_CODE64 ? ZYDIS_STACK_WIDTH_64 :
				mode & MODE_CODE32 ? ZYDIS_STACK_WIDTH_32 :
						     ZYDIS_STACK_WIDTH_16;

	ZydisDecoderInit(&decoder, machine, width);
	return ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder, ZYAN_NULL, bytes, 15, z));
}

static unsigned mismatches;

static void compare(uint32_t mode, const uint8_t *bytes)
{
	ZydisDecodedInstruction z;
	struct insn i = { .start = 0 };
	unsigned length = decode(cpu, bytes, 15, mode, &i);
	bool valid = i.exec != exec_ud || op_info(i.op)->exec[0] == exec_ud;
	bool z_valid = decode_zydis(mode, bytes, &z);

	if (i.exec == exec_gp_too_long)
		valid = false;
	if (i.op == 0)
		valid = false;
	if (z_valid && (is_foreign(&z) || is_amd_syscall(mode, &z)))
		return;
	if (!z_valid && (is_checked_later(&i) || is_mpx_nop(op_info(i.op)) ||
			 is_exact_conversion(mode, &i)))
		return;
	if (valid == z_valid && (!valid || length == z.length))
		return;
	if (mismatches++ < 60) {
		printf("mode %u:", mode & MODE_CODE64 ? 64 : mode & MODE_CODE32 ? 32 : 16);
		for (unsigned n = 0; n < 15; n++)
			printf(" %02x", bytes[n]);
		printf("\n   ours %s %u, Zydis %s %u (%s)\n", valid ? insn_mnemonic(&i) : "#UD",
		       length, z_valid ? ZydisMnemonicGetString(z.mnemonic) : "#UD",
		       z_valid ? z.length : 0,
		       z_valid ? ZydisISASetGetString(z.meta.isa_set) : "");
	}
}

static void fill_random(uint8_t *bytes)
{
	for (unsigned n = 0; n < 16; n += 8) {
		uint64_t bits = random_bits();

		memcpy(bytes + n, &bits, 8);
	}
}

static const uint32_t modes[] = { MODE_PROTECTED | MODE_CODE64 | MODE_LONG,
				  MODE_PROTECTED | MODE_CODE32, MODE_PROTECTED };

static void legacy_maps(unsigned step)
{
	static const char *const prefixes[] = { "",	"\x66",	    "\xf2",	"\xf3",	    "\x66\xf2",
						"\x66\xf3", "\x67", "\xf0", "\x48", "\x66\x48",
						"\xf3\x4c", "\x45", "\x2e\xf3" };
	static const char *const escapes[] = { "", "\x0f", "\x0f\x38", "\x0f\x3a" };

	for (unsigned m = 0; m < ARRAY_LEN(modes); m++)
		for (unsigned p = 0; p < ARRAY_LEN(prefixes); p++)
			for (unsigned e = 0; e < ARRAY_LEN(escapes); e++)
				for (unsigned n = 0; n < 65536; n += step) {
					uint8_t bytes[16];
					size_t at = strlen(prefixes[p]);

					fill_random(bytes);
					memcpy(bytes, prefixes[p], at);
					memcpy(bytes + at, escapes[e], strlen(escapes[e]));
					at += strlen(escapes[e]);
					bytes[at] = (uint8_t)n;
					bytes[at + 1] = (uint8_t)(n >> 8);
					compare(modes[m], bytes);
				}
}

static void opcodes_agree(void **state)
{
	(void)state;
	mismatches = 0;
	legacy_maps(7);
	assert_int_equal(mismatches, 0);
}

static void vex_agrees(void **state)
{
	(void)state;
	mismatches = 0;
	for (unsigned n = 0; n < 600000; n++) {
		uint8_t bytes[16];

		fill_random(bytes);
		bytes[0] = n & 1 ? 0xc4 : 0xc5;
		if (n & 1)
			bytes[1] = (bytes[1] & 0xe0) | (1 + n / 2 % 3);
		if (n & 8) /* vvvv is mostly unused */
			bytes[n & 1 ? 2 : 1] |= 0x78;
		compare(modes[n % 3], bytes);
	}
	assert_int_equal(mismatches, 0);
}

static void evex_agrees(void **state)
{
	(void)state;
	mismatches = 0;
	for (unsigned n = 0; n < 800000; n++) {
		uint8_t bytes[16];

		fill_random(bytes);
		bytes[0] = 0x62;
		bytes[1] = (bytes[1] & 0xf0) | (1 + n % 3);
		bytes[2] |= 4;
		if (n & 8) {
			bytes[2] |= 0x78;
			bytes[3] |= 8;
		}
		if (n & 16)
			bytes[3] &= 0x68;
		compare(modes[n / 3 % 3], bytes);
	}
	assert_int_equal(mismatches, 0);
}

static void random_bytes_agree(void **state)
{
	(void)state;
	mismatches = 0;
	for (unsigned n = 0; n < 300000; n++) {
		uint8_t bytes[16];

		fill_random(bytes);
		compare(modes[n % 3], bytes);
	}
	assert_int_equal(mismatches, 0);
}

static int make_cpu(void **state)
{
	(void)state;
	cpu = calloc(1, sizeof(*cpu));
	memset(cpu->features, 0xff, sizeof(cpu->features));
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opcodes_agree),
		cmocka_unit_test(vex_agrees),
		cmocka_unit_test(evex_agrees),
		cmocka_unit_test(random_bytes_agree),
	};

	return cmocka_run_group_tests(tests, make_cpu, NULL);
}
