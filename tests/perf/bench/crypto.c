/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SHA-256 in C and by the SHA extensions, AES-128 in counter mode by AES-NI.
 *
 * The buffer is hashed whole blocks only: no padding. Manual: FIPS 180-4, FIPS 197.
 */
#include <immintrin.h>
#include <string.h>

#include "bench.h"

enum { BYTES = 1 << 16 };

static uint8_t buffer[BYTES];

static const uint32_t constants[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static const uint32_t start_state[8] = {
	0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

static uint32_t rotate(uint32_t x, int by)
{
	return x >> by | x << (32 - by);
}

static void block_in_c(uint32_t state[8], const uint8_t *from)
{
	uint32_t w[64], s[8];

	for (int i = 0; i < 16; i++) {
		memcpy(&w[i], from + 4 * i, 4);
		w[i] = __builtin_bswap32(w[i]);
	}
	for (int i = 16; i < 64; i++) {
		uint32_t a = w[i - 15], b = w[i - 2];

		w[i] = w[i - 16] + w[i - 7] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) +
		       (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
	}
	memcpy(s, state, 32);
	for (int i = 0; i < 64; i++) {
		uint32_t one = rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25);
		uint32_t zero = rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22);
		uint32_t t = s[7] + one + ((s[4] & s[5]) ^ (~s[4] & s[6])) + constants[i] + w[i];
		uint32_t u = zero + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));

		memmove(s + 1, s, 28);
		s[4] += t;
		s[0] = t + u;
	}
	for (int i = 0; i < 8; i++)
		state[i] += s[i];
}

/* The instructions want the state as ABEF and CDGH, highest first. */
__attribute__((target("sha,sse4.1"))) static void block_by_sha_ni(uint32_t state[8], const uint8_t *from)
{
	const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
	__m128i abef = _mm_setr_epi32(state[5], state[4], state[1], state[0]);
	__m128i cdgh = _mm_setr_epi32(state[7], state[6], state[3], state[2]);
	__m128i abef_before = abef, cdgh_before = cdgh, w[4];

	for (int i = 0; i < 4; i++)
		w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)from + i), swap);
#pragma GCC unroll 16
	for (int i = 0; i < 16; i++) {
		__m128i now = w[i & 3];
		__m128i sum = _mm_add_epi32(now, _mm_loadu_si128((const __m128i *)constants + i));

		cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
		abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0e));
		if (i < 12) {
			__m128i next = _mm_sha256msg1_epu32(now, w[(i + 1) & 3]);

			next = _mm_add_epi32(next, _mm_alignr_epi8(w[(i + 3) & 3], w[(i + 2) & 3], 4));
			w[i & 3] = _mm_sha256msg2_epu32(next, w[(i + 3) & 3]);
		}
	}
	abef = _mm_add_epi32(abef, abef_before);
	cdgh = _mm_add_epi32(cdgh, cdgh_before);
	state[0] = _mm_extract_epi32(abef, 3), state[1] = _mm_extract_epi32(abef, 2);
	state[4] = _mm_extract_epi32(abef, 1), state[5] = _mm_extract_epi32(abef, 0);
	state[2] = _mm_extract_epi32(cdgh, 3), state[3] = _mm_extract_epi32(cdgh, 2);
	state[6] = _mm_extract_epi32(cdgh, 1), state[7] = _mm_extract_epi32(cdgh, 0);
}

static uint64_t hash_buffer(void (*block)(uint32_t *, const uint8_t *), int rounds)
{
	uint32_t state[8];

	memcpy(state, start_state, sizeof(state));
	memset(buffer, 0x36, BYTES);
	for (int round = 0; round < rounds; round++)
		for (int at = 0; at < BYTES; at += 64)
			block(state, buffer + at);
	return (uint64_t)state[0] << 32 | state[7];
}

static uint64_t sha256(void)
{
	return hash_buffer(block_in_c, 200);
}

static uint64_t sha_ni(void)
{
	return hash_buffer(block_by_sha_ni, 2400);
}

__attribute__((target("aes,sse2"))) static __m128i next_key(__m128i key, __m128i assist)
{
	assist = _mm_shuffle_epi32(assist, 0xff);
	key = _mm_xor_si128(key, _mm_slli_si128(key, 4));
	key = _mm_xor_si128(key, _mm_slli_si128(key, 8));
	return _mm_xor_si128(key, assist);
}

__attribute__((target("aes,sse4.1"))) static uint64_t aes_counter(void)
{
	enum { LANES = 4 };
	__m128i keys[11], counter = _mm_setzero_si128();
	uint64_t check;

	keys[0] = _mm_set_epi64x(0x0123456789abcdef, 0x7766554433221100);
#define KEY(i, round) keys[i] = next_key(keys[i - 1], _mm_aeskeygenassist_si128(keys[i - 1], round))
	KEY(1, 1), KEY(2, 2), KEY(3, 4), KEY(4, 8), KEY(5, 16);
	KEY(6, 32), KEY(7, 64), KEY(8, 128), KEY(9, 27), KEY(10, 54);
#undef KEY
	memset(buffer, 0x36, BYTES);
	for (int round = 0; round < 5000; round++)
		for (int at = 0; at < BYTES; at += 16 * LANES) {
			__m128i lanes[LANES], *to = (__m128i *)(buffer + at);

			for (int i = 0; i < LANES; i++) {
				counter = _mm_add_epi64(counter, _mm_set_epi64x(0, 1));
				lanes[i] = _mm_xor_si128(counter, keys[0]);
			}
			for (int k = 1; k < 10; k++)
				for (int i = 0; i < LANES; i++)
					lanes[i] = _mm_aesenc_si128(lanes[i], keys[k]);
			for (int i = 0; i < LANES; i++)
				_mm_storeu_si128(to + i, _mm_xor_si128(_mm_loadu_si128(to + i),
								       _mm_aesenclast_si128(lanes[i], keys[10])));
		}
	memcpy(&check, buffer + BYTES / 2, 8);
	return check;
}

const struct work crypto_works[] = {
	{ "sha256", sha256 },
	{ "sha-ni", sha_ni, "sha" },
	{ "aes-ctr", aes_counter, "aes" },
	{ 0 },
};
