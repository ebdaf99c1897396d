/*
 * kernels_vector.c -- kernels_vector.h's loops: portable, AVX2, AVX-512.
 *
 *     dots, 4 rows a b c d of 16 floats each:
 *
 *         a0 a1 .. a15        halves added       a0+a1 ..  b0+b1 ..          a b c d      the two
 *         b0 b1 .. b15   ->   to 8 each     ->   c0+c1 ..  d0+d1 ..    ->    a b c d  ->  halves added: 4 sums
 *
 * Fewer than 4 rows at the end: the last one takes the free places, so that its sum is formed like any other's.
 *
 *     product, a block of c: it stays in registers while all of b's rows below it pass by, and each row of b is used for 4 of c
 */
#include "kernels_vector.h"

enum { ROWS = 4, LANES = 8 };

static inline const float *row_of(const float *matrix, const uint32_t *at, size_t k, size_t len, size_t d)
{
    k = k < len ? k : len - 1;
    return matrix + (at ? at[k] : k) * d;
}

static inline void keep(float *out, const float sums[ROWS], size_t left)
{
    for (size_t k = 0; k < ROWS && k < left; k++)
        out[k] = sums[k];
}

/* ---- portable ---- */

/* Eight sums side by side: what a compiler makes vectors of anywhere. */
static inline float across(const float lanes[LANES])
{
    return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
}

static void dots_portable(const float *matrix, const uint32_t *at, size_t len, size_t d, const float *x, float *out)
{
    for (size_t k = 0; k < len; k++) {
        const float *row = row_of(matrix, at, k, len, d);
        float lanes[LANES] = {0};
        for (size_t i = 0; i < d; i += LANES) {
            for (size_t lane = 0; lane < LANES; lane++)
                lanes[lane] += row[i + lane] * x[i + lane];
        }
        out[k] = across(lanes);
    }
}

static float meet_portable(float *restrict row, float by, float *restrict sum, float step, const float *restrict x,
                           size_t d)
{
    float lanes[LANES] = {0};

    for (size_t i = 0; i < d; i += LANES) {
        for (size_t lane = 0; lane < LANES; lane++) {
            float was = row[i + lane], is = was + step * x[i + lane];
            sum[i + lane] += by * was;
            row[i + lane] = is;
            lanes[lane] += is * is;
        }
    }
    return across(lanes);
}

static float step_portable(float *restrict row, float step, const float *restrict x, size_t d)
{
    float lanes[LANES] = {0};

    for (size_t i = 0; i < d; i += LANES) {
        for (size_t lane = 0; lane < LANES; lane++) {
            float is = row[i + lane] + step * x[i + lane];
            row[i + lane] = is;
            lanes[lane] += is * is;
        }
    }
    return across(lanes);
}

static float norm_portable(const float *row, size_t d)
{
    float lanes[LANES] = {0};

    for (size_t i = 0; i < d; i += LANES) {
        for (size_t lane = 0; lane < LANES; lane++)
            lanes[lane] += row[i + lane] * row[i + lane];
    }
    return across(lanes);
}

static void product_portable(float *restrict c, size_t rows, size_t d, const float *restrict a, size_t a_row,
                             size_t a_next, const float *restrict b, size_t depth)
{
    for (size_t i = 0; i < rows; i++) {
        for (size_t k = 0; k < depth; k++) {
            float by = a[i * a_row + k * a_next];
            for (size_t j = 0; j < d; j++)
                c[i * d + j] += by * b[k * d + j];
        }
    }
}

static const struct vector_kernels portable = {"portable",    dots_portable, meet_portable,
                                               step_portable, norm_portable, product_portable};

#ifdef __x86_64__
#include <immintrin.h>

/* ---- AVX2 ---- */

#define AVX2 __attribute__((target("avx2,fma")))

AVX2 static inline __m128 across4_avx2(__m256 a, __m256 b, __m256 c, __m256 d)
{
    __m256 pairs = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    return _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1));
}

AVX2 static inline float across_avx2(__m256 a)
{
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}

AVX2 static void dots_avx2(const float *matrix, const uint32_t *at, size_t len, size_t d, const float *x, float *out)
{
    float sums[ROWS];

    for (size_t k = 0; k < len; k += ROWS) {
        const float *row[ROWS];
        __m256 sum[ROWS];
        for (size_t r = 0; r < ROWS; r++) {
            row[r] = row_of(matrix, at, k + r, len, d);
            sum[r] = _mm256_setzero_ps();
        }
        for (size_t i = 0; i < d; i += 8) {
            __m256 with = _mm256_load_ps(x + i);
            for (size_t r = 0; r < ROWS; r++)
                sum[r] = _mm256_fmadd_ps(_mm256_load_ps(row[r] + i), with, sum[r]);
        }
        _mm_storeu_ps(sums, across4_avx2(sum[0], sum[1], sum[2], sum[3]));
        keep(out + k, sums, len - k);
    }
}

AVX2 static float meet_avx2(float *row, float by, float *sum, float step, const float *x, size_t d)
{
    const __m256 by8 = _mm256_set1_ps(by), step8 = _mm256_set1_ps(step);
    __m256 norm = _mm256_setzero_ps();

    for (size_t i = 0; i < d; i += 8) {
        __m256 was = _mm256_load_ps(row + i);
        __m256 is = _mm256_fmadd_ps(step8, _mm256_load_ps(x + i), was);
        _mm256_store_ps(sum + i, _mm256_fmadd_ps(by8, was, _mm256_load_ps(sum + i)));
        _mm256_store_ps(row + i, is);
        norm = _mm256_fmadd_ps(is, is, norm);
    }
    return across_avx2(norm);
}

AVX2 static float step_avx2(float *row, float step, const float *x, size_t d)
{
    const __m256 step8 = _mm256_set1_ps(step);
    __m256 norm = _mm256_setzero_ps();

    for (size_t i = 0; i < d; i += 8) {
        __m256 is = _mm256_fmadd_ps(step8, _mm256_load_ps(x + i), _mm256_load_ps(row + i));
        _mm256_store_ps(row + i, is);
        norm = _mm256_fmadd_ps(is, is, norm);
    }
    return across_avx2(norm);
}

AVX2 static float norm_avx2(const float *row, size_t d)
{
    __m256 norm = _mm256_setzero_ps();

    for (size_t i = 0; i < d; i += 8)
        norm = _mm256_fmadd_ps(_mm256_load_ps(row + i), _mm256_load_ps(row + i), norm);
    return across_avx2(norm);
}

/* `rows` and `wide` (registers across) are constants where this is called. */
AVX2 static inline __attribute__((always_inline)) void block_avx2(float *c, size_t d, const float *a, size_t a_row,
                                                                  size_t a_next, const float *b, size_t depth,
                                                                  size_t rows, size_t wide)
{
    __m256 sum[ROWS][2];

    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < wide; j++)
            sum[i][j] = _mm256_load_ps(c + i * d + 8 * j);
    }
    for (size_t k = 0; k < depth; k++) {
        for (size_t i = 0; i < rows; i++) {
            __m256 by = _mm256_set1_ps(a[i * a_row + k * a_next]);
            for (size_t j = 0; j < wide; j++)
                sum[i][j] = _mm256_fmadd_ps(by, _mm256_load_ps(b + k * d + 8 * j), sum[i][j]);
        }
    }
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < wide; j++)
            _mm256_store_ps(c + i * d + 8 * j, sum[i][j]);
    }
}

AVX2 static void product_avx2(float *c, size_t rows, size_t d, const float *a, size_t a_row, size_t a_next,
                              const float *b, size_t depth)
{
    size_t i = 0;

    for (; i + ROWS <= rows; i += ROWS) {
        for (size_t j = 0; j < d; j += 16)
            block_avx2(c + i * d + j, d, a + i * a_row, a_row, a_next, b + j, depth, ROWS, 2);
    }
    for (; i < rows; i++) {
        for (size_t j = 0; j < d; j += 16)
            block_avx2(c + i * d + j, d, a + i * a_row, a_row, a_next, b + j, depth, 1, 2);
    }
}

/* ---- AVX-512 ---- */

#define AVX512 __attribute__((target("avx512f,avx512vl,avx512dq,avx2,fma")))

AVX512 static inline __m256 halves_avx512(__m512 a)
{
    return _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
}

AVX512 static void dots_avx512(const float *matrix, const uint32_t *at, size_t len, size_t d, const float *x,
                               float *out)
{
    for (size_t k = 0; k < len; k += ROWS) {
        const float *row[ROWS];
        __m512 sum[ROWS];
        for (size_t r = 0; r < ROWS; r++) {
            row[r] = row_of(matrix, at, k + r, len, d);
            sum[r] = _mm512_setzero_ps();
        }
        for (size_t i = 0; i < d; i += 16) {
            __m512 with = _mm512_load_ps(x + i);
            for (size_t r = 0; r < ROWS; r++)
                sum[r] = _mm512_fmadd_ps(_mm512_load_ps(row[r] + i), with, sum[r]);
        }
        __m256 pairs = _mm256_hadd_ps(_mm256_hadd_ps(halves_avx512(sum[0]), halves_avx512(sum[1])),
                                      _mm256_hadd_ps(halves_avx512(sum[2]), halves_avx512(sum[3])));
        __m128 sums = _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1));
        size_t left = len - k;
        _mm_mask_storeu_ps(out + k, (__mmask8)(left < ROWS ? (1U << left) - 1 : 15), sums);
    }
}

AVX512 static inline float across_avx512(__m512 a)
{
    __m256 half = halves_avx512(a);
    __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    quarter = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(_mm_add_ss(quarter, _mm_movehdup_ps(quarter)));
}

AVX512 static float meet_avx512(float *row, float by, float *sum, float step, const float *x, size_t d)
{
    const __m512 by16 = _mm512_set1_ps(by), step16 = _mm512_set1_ps(step);
    __m512 norm = _mm512_setzero_ps();

    for (size_t i = 0; i < d; i += 16) {
        __m512 was = _mm512_load_ps(row + i);
        __m512 is = _mm512_fmadd_ps(step16, _mm512_load_ps(x + i), was);
        _mm512_store_ps(sum + i, _mm512_fmadd_ps(by16, was, _mm512_load_ps(sum + i)));
        _mm512_store_ps(row + i, is);
        norm = _mm512_fmadd_ps(is, is, norm);
    }
    return across_avx512(norm);
}

AVX512 static float step_avx512(float *row, float step, const float *x, size_t d)
{
    const __m512 step16 = _mm512_set1_ps(step);
    __m512 norm = _mm512_setzero_ps();

    for (size_t i = 0; i < d; i += 16) {
        __m512 is = _mm512_fmadd_ps(step16, _mm512_load_ps(x + i), _mm512_load_ps(row + i));
        _mm512_store_ps(row + i, is);
        norm = _mm512_fmadd_ps(is, is, norm);
    }
    return across_avx512(norm);
}

AVX512 static float norm_avx512(const float *row, size_t d)
{
    __m512 norm = _mm512_setzero_ps();

    for (size_t i = 0; i < d; i += 16)
        norm = _mm512_fmadd_ps(_mm512_load_ps(row + i), _mm512_load_ps(row + i), norm);
    return across_avx512(norm);
}

AVX512 static inline __attribute__((always_inline)) void block_avx512(float *c, size_t d, const float *a, size_t a_row,
                                                                      size_t a_next, const float *b, size_t depth,
                                                                      size_t rows, size_t wide)
{
    __m512 sum[ROWS][4];

    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < wide; j++)
            sum[i][j] = _mm512_load_ps(c + i * d + 16 * j);
    }
    for (size_t k = 0; k < depth; k++) {
        for (size_t i = 0; i < rows; i++) {
            __m512 by = _mm512_set1_ps(a[i * a_row + k * a_next]);
            for (size_t j = 0; j < wide; j++)
                sum[i][j] = _mm512_fmadd_ps(by, _mm512_load_ps(b + k * d + 16 * j), sum[i][j]);
        }
    }
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < wide; j++)
            _mm512_store_ps(c + i * d + 16 * j, sum[i][j]);
    }
}

AVX512 static void product_avx512(float *c, size_t rows, size_t d, const float *a, size_t a_row, size_t a_next,
                                  const float *b, size_t depth)
{
    for (size_t i = 0, high; i < rows; i += high) {
        high = rows - i >= ROWS ? ROWS : 1;
        for (size_t j = 0, wide; j < d; j += wide) {
            float *block = c + i * d + j;
            const float *by = a + i * a_row;
            wide = d - j >= 64 ? 64 : d - j >= 32 ? 32 : 16;
            if (high == ROWS && wide == 64)
                block_avx512(block, d, by, a_row, a_next, b + j, depth, ROWS, 4);
            else if (high == ROWS && wide == 32)
                block_avx512(block, d, by, a_row, a_next, b + j, depth, ROWS, 2);
            else if (high == ROWS)
                block_avx512(block, d, by, a_row, a_next, b + j, depth, ROWS, 1);
            else if (wide == 64)
                block_avx512(block, d, by, a_row, a_next, b + j, depth, 1, 4);
            else if (wide == 32)
                block_avx512(block, d, by, a_row, a_next, b + j, depth, 1, 2);
            else
                block_avx512(block, d, by, a_row, a_next, b + j, depth, 1, 1);
        }
    }
}

static const struct vector_kernels avx2 = {"avx2", dots_avx2, meet_avx2, step_avx2, norm_avx2, product_avx2};
static const struct vector_kernels avx512 = {"avx512",    dots_avx512, meet_avx512,
                                             step_avx512, norm_avx512, product_avx512};
#endif

/* ---- choosing ---- */

const struct vector_kernels *vector_kernels_at(size_t index)
{
    const struct vector_kernels *all[] = {&portable, NULL, NULL, NULL};
    size_t len = 1;

#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        all[len++] = &avx2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
        all[len++] = &avx512;
#endif
    return index < len ? all[index] : NULL;
}

const struct vector_kernels *vector_kernels_best(void)
{
    size_t last = 0;

    while (vector_kernels_at(last + 1))
        last++;
    return vector_kernels_at(last);
}
