/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Floating point and vectors: scalar SSE2, AVX2, x87. */
#include <immintrin.h>
#include <string.h>

#include "bench.h"

static uint64_t matrix(void)
{
	enum { N = 180 };
	static double a[N][N], b[N][N], c[N][N];
	uint64_t bits;

	for (int i = 0; i < N; i++)
		for (int j = 0; j < N; j++) {
			a[i][j] = i + j * 0.5;
			b[i][j] = i * 0.25 - j;
			c[i][j] = 0;
		}
	for (int round = 0; round < 64; round++)
		for (int i = 0; i < N; i++)
			for (int j = 0; j < N; j++) {
				double sum = 0;

				for (int k = 0; k < N; k++)
					sum += a[i][k] * b[k][j];
				c[i][j] += sum;
			}
	memcpy(&bits, &c[N / 2][N / 3], 8);
	return bits;
}

/* Integers and floats by turns, over a buffer that the first cache holds. */
__attribute__((target("avx2"))) static uint64_t avx2(void)
{
	enum { VECTORS = 512 };
	static __m256i data[VECTORS];
	const __m256i factor = _mm256_set1_epi32(1664525), term = _mm256_set1_epi32(1013904223);
	const __m256i order = _mm256_setr_epi32(3, 6, 1, 0, 7, 2, 5, 4);
	__m256i sum = _mm256_setzero_si256();
	__m256 floats = _mm256_set1_ps(1);
	uint32_t out[8];
	uint64_t check = 0;

	memset(data, 0x5a, sizeof(data));
	for (int round = 0; round < 40000; round++)
		for (int i = 0; i < VECTORS; i++) {
			__m256i x = _mm256_add_epi32(_mm256_mullo_epi32(data[i], factor), term);
			__m256i small = _mm256_srli_epi32(x, 12);
			__m256 f = _mm256_cvtepi32_ps(small);

			floats = _mm256_max_ps(_mm256_mul_ps(f, _mm256_set1_ps(0.5f)), floats);
			sum = _mm256_add_epi64(sum, _mm256_permutevar8x32_epi32(x, order));
			data[i] = _mm256_xor_si256(x, _mm256_cmpgt_epi32(small, term));
		}
	sum = _mm256_xor_si256(sum, _mm256_castps_si256(floats));
	memcpy(out, &sum, sizeof(out));
	for (int i = 0; i < 8; i++)
		check = check * 31 + out[i];
	return check;
}

static uint64_t x87(void)
{
	enum { TERMS = 1000 };
	static long double terms[TERMS];
	long double sum = 0, x = 1;
	uint64_t bits;

	for (int i = 0; i < TERMS; i++)
		terms[i] = 1.0L / (i + 1);
	for (int round = 0; round < 20000; round++)
		for (int i = 0; i < TERMS; i++) {
			sum = sum * 0.5L + terms[i] * x;
			x = x > 3 ? x - 2.5L : x + terms[i];
		}
	memcpy(&bits, &sum, 8);
	return bits;
}

const struct work vector_works[] = {
	{ "matrix", matrix },
	{ "avx2", avx2, "avx2" },
	{ "x87", x87 },
	{ 0 },
};
