/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guest's vector registers, loaded for translated code (engine/jit/vectors.c): each byte of them, as what is
 * above XMM is loaded only if there is anything. Guests of ring3.h.
 */
#include "ring3.h"

#include <cpuid.h>
#include <string.h>

enum { XSTATE_BV_AT = 512, AVX = 2, ZMM_HI256 = 6, SSE_AT = 160 };

/* 16 registers to PAGE, `size` bytes each. */
#define STORE(n, reg, size) "vmovups %" reg #n ", 0x210000 + " #n "*" size "\n"
#define STORE_ALL(reg, size)                                                                    \
	STORE(0, reg, size)                                                                     \
	STORE(1, reg, size) STORE(2, reg, size) STORE(3, reg, size) STORE(4, reg, size)         \
		STORE(5, reg, size) STORE(6, reg, size) STORE(7, reg, size) STORE(8, reg, size) \
			STORE(9, reg, size) STORE(10, reg, size) STORE(11, reg, size)           \
				STORE(12, reg, size) STORE(13, reg, size) STORE(14, reg, size)  \
					STORE(15, reg, size)

GUEST(ymm_code, ".code64",
      "1: pxor %xmm0, %xmm0\n cpuid\n" STORE_ALL("ymm", "32") "out %eax, $0xf4\n jmp 1b");
GUEST(zmm_code, ".code64",
      "1: pxor %xmm0, %xmm0\n cpuid\n" STORE_ALL("zmm", "64") "out %eax, $0xf4\n jmp 1b");

static unsigned offset_of(unsigned component)
{
	unsigned size, offset, c, d;

	__cpuid_count(0xd, component, size, offset, c, d);
	return offset;
}

/* All clear, but XMM1 to 15, and one byte if `at` is not 0. */
static void set_vectors(struct machine *m, unsigned at)
{
	union {
		struct kvm_xsave xsave;
		uint8_t byte[sizeof(struct kvm_xsave)];
	} u = { 0 };

	machine_ioctl(m->vcpu, KVM_GET_XSAVE, &u.xsave);
	u.byte[XSTATE_BV_AT] = ring3_has_avx512() ? 0xe7 : 7;
	memset(u.byte + SSE_AT, 0x11, 256);
	memset(u.byte + offset_of(AVX), 0, 256);
	if (ring3_has_avx512())
		memset(u.byte + offset_of(ZMM_HI256), 0, 512);
	if (at)
		u.byte[at] = 0x99;
	machine_ioctl(m->vcpu, KVM_SET_XSAVE, &u.xsave);
}

/* `part`: bytes in each register that come from the component. */
static void expect_vectors(struct machine *m, unsigned size, unsigned part, unsigned byte, bool any)
{
	const uint8_t *found = m->memory + PAGE;
	uint8_t expected[16 * 64] = { 0 };

	for (unsigned n = 1; n < 16; n++) /* XMM0 is cleared */
		memset(expected + n * size, 0x11, 16);
	if (any)
		expected[byte / part * size + part + byte % part] = 0x99;
	assert_int_equal(machine_run(m), KVM_EXIT_IO);
	assert_memory_equal(found, expected, 16 * size);
	memset(m->memory + PAGE, 0xee, sizeof(expected));
}

static void each_byte_is_loaded(const struct program *p, unsigned size, unsigned component)
{
	struct machine *m = ring3_start(p->code, p->end);
	unsigned part = component == AVX ? 16 : 32;

	for (unsigned byte = 0; byte < 16 * part; byte++) {
		set_vectors(m, offset_of(component) + byte);
		expect_vectors(m, size, part, byte, true);
		set_vectors(m, 0);
		expect_vectors(m, size, part, byte, false);
	}
	ring3_finish(m);
}

static void ymm_is_loaded(void **state)
{
	each_byte_is_loaded(CODE(ymm_code), 32, AVX);
}

static void zmm_is_loaded(void **state)
{
	if (!ring3_has_avx512())
		skip();
	each_byte_is_loaded(CODE(zmm_code), 64, AVX);
	each_byte_is_loaded(CODE(zmm_code), 64, ZMM_HI256);
	each_byte_is_loaded(CODE(ymm_code), 32, AVX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ymm_is_loaded),
		cmocka_unit_test(zmm_is_loaded),
	};

	return ring3_run(tests, ARRAY_LEN(tests));
}
