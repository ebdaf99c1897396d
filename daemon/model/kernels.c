/*
 * kernels.c -- kernels.h's loops: portable, AVX2, AVX-512.
 *
 *     take, 8 slots:   counts  4 0 7 1 0 0 0 0   -> mask 00001101   counts first: one above 0 has its column
 *                      columns a . b c . . . .   -> a b c           by a compress, or a permutation looked up by mask
 *                      stored whole; the next line's 8 begin where this one's live ones end
 *
 *     shrunk:          x = n_i n_j + beta^2,  y ~ 1 / sqrt(x),  e = 1 - x y^2
 *                      1 / sqrt(x) = y (1 + e/2 + 3/8 e^2 + 5/16 e^3 + 35/128 e^4 + ...)
 *
 *   AVX-512's estimate has |e| < 2^-13, AVX2's (of floats) |e| < 2^-10.4: what follows the last term used is below 1e-16.
 */
#include "kernels.h"

#include "similarity.h"

#if defined(__SANITIZE_THREAD__)
#define WATCHED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WATCHED 1
#endif
#endif

/* ---- portable ---- */

/* Appends every entry and keeps those with a count: no branch depends on what is there. */
static size_t take_portable(const struct line *lines, uint32_t lines_len, uint32_t *columns, uint32_t *counts)
{
    size_t len = 0;

    for (const struct line *line = lines; line < lines + lines_len; line++) {
        for (unsigned slot = 0; slot < LINE_SLOTS; slot++) {
            uint32_t count = atomic_load_explicit(&line->counts[slot], memory_order_acquire);
            counts[len] = count;
            columns[len] = atomic_load_explicit(&line->columns[slot], memory_order_acquire);
            len += count != 0;
        }
    }
    return len;
}

static void shrunk_portable(const uint32_t *restrict c, uint32_t n_i, const uint32_t *restrict n_j, double weight,
                            double *restrict values, size_t len)
{
    for (size_t k = 0; k < len; k++)
        values[k] = weight * similarity_value(SAR_SHRUNK_COSINE, c[k], n_i, n_j[k], 1) + 0.0;
}

static const struct kernels portable = {"portable", take_portable, shrunk_portable};

#ifdef __x86_64__
#include <immintrin.h>

/* ---- AVX2 ---- */

#define AVX2 __attribute__((target("avx2,fma,popcnt")))

#ifndef WATCHED
/* By mask: the places of its bits, lowest first, a byte each. */
#define BIT(m, i) ((uint64_t)((m) >> (i)&1) * (i) << 8 * (__builtin_popcount((m) & ((1U << (i)) - 1)) & 7))
#define PLACES(m) \
    (BIT(m, 0) | BIT(m, 1) | BIT(m, 2) | BIT(m, 3) | BIT(m, 4) | BIT(m, 5) | BIT(m, 6) | BIT(m, 7))
#define PLACES_4(m) PLACES(m), PLACES(m + 1U), PLACES(m + 2U), PLACES(m + 3U)
#define PLACES_16(m) PLACES_4(m), PLACES_4(m + 4U), PLACES_4(m + 8U), PLACES_4(m + 12U)
#define PLACES_64(m) PLACES_16(m), PLACES_16(m + 16U), PLACES_16(m + 32U), PLACES_16(m + 48U)
static const uint64_t places[256] = {PLACES_64(0U), PLACES_64(64U), PLACES_64(128U), PLACES_64(192U)};

AVX2 static size_t take_avx2(const struct line *lines, uint32_t lines_len, uint32_t *columns, uint32_t *counts)
{
    size_t len = 0;

    for (const struct line *line = lines; line < lines + lines_len; line++) {
        __m256i count = _mm256_load_si256((const __m256i *)(const void *)line->counts);
        atomic_signal_fence(memory_order_acquire); /* the compiler keeps the order too */
        __m256i column = _mm256_load_si256((const __m256i *)(const void *)line->columns);
        __m256i none = _mm256_cmpeq_epi32(count, _mm256_setzero_si256());
        unsigned mask = ~(unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(none)) & 0xFF;
        __m256i order = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)places[mask]));
        _mm256_storeu_si256((__m256i *)(void *)(columns + len), _mm256_permutevar8x32_epi32(column, order));
        _mm256_storeu_si256((__m256i *)(void *)(counts + len), _mm256_permutevar8x32_epi32(count, order));
        len += (size_t)__builtin_popcount(mask);
    }
    return len;
}
#endif

/* Four unsigned numbers as doubles: they become the low bits of 2^52. */
AVX2 static inline __m256d doubles_avx2(const uint32_t *numbers)
{
    const __m256i two_52 = _mm256_set1_epi64x(0x4330000000000000);
    __m256i wide = _mm256_cvtepu32_epi64(_mm_loadu_si128((const __m128i *)(const void *)numbers));

    return _mm256_sub_pd(_mm256_castsi256_pd(_mm256_or_si256(wide, two_52)), _mm256_castsi256_pd(two_52));
}

AVX2 static void shrunk_avx2(const uint32_t *restrict c, uint32_t n_i, const uint32_t *restrict n_j, double weight,
                             double *restrict values, size_t len)
{
    const __m256d one = _mm256_set1_pd(1), n = _mm256_set1_pd(n_i), beta2 = _mm256_set1_pd(SIMILARITY_SHRINK);

    for (size_t k = 0; k < len; k += 4) {
        __m256d x = _mm256_fmadd_pd(n, doubles_avx2(n_j + k), beta2);
        __m256d y = _mm256_cvtps_pd(_mm_rsqrt_ps(_mm256_cvtpd_ps(x)));
        __m256d e = _mm256_fnmadd_pd(_mm256_mul_pd(x, y), y, one);
        __m256d p = _mm256_fmadd_pd(e, _mm256_set1_pd(35.0 / 128), _mm256_set1_pd(5.0 / 16));
        p = _mm256_fmadd_pd(e, p, _mm256_set1_pd(3.0 / 8));
        p = _mm256_fmadd_pd(e, p, _mm256_set1_pd(1.0 / 2));
        y = _mm256_fmadd_pd(_mm256_mul_pd(y, e), p, y);
        __m256d value = _mm256_mul_pd(_mm256_mul_pd(doubles_avx2(c + k), _mm256_set1_pd(weight)), y);
        _mm256_storeu_pd(values + k, _mm256_add_pd(value, _mm256_setzero_pd()));
    }
}

/* ---- AVX-512 ---- */

#define AVX512 __attribute__((target("avx512f,avx512vl,popcnt")))

#ifndef WATCHED
AVX512 static size_t take_avx512(const struct line *lines, uint32_t lines_len, uint32_t *columns, uint32_t *counts)
{
    size_t len = 0;

    for (const struct line *line = lines; line < lines + lines_len; line++) {
        __m256i count = _mm256_load_si256((const __m256i *)(const void *)line->counts);
        atomic_signal_fence(memory_order_acquire); /* the compiler keeps the order too */
        __m256i column = _mm256_load_si256((const __m256i *)(const void *)line->columns);
        __mmask8 mask = _mm256_test_epi32_mask(count, count);
        /* In registers, then stored whole: compressing into memory is very slow on some. */
        _mm256_storeu_si256((__m256i *)(void *)(columns + len), _mm256_maskz_compress_epi32(mask, column));
        _mm256_storeu_si256((__m256i *)(void *)(counts + len), _mm256_maskz_compress_epi32(mask, count));
        len += (size_t)__builtin_popcount(mask);
    }
    return len;
}
#endif

AVX512 static inline __m512d doubles_avx512(const uint32_t *numbers)
{
    return _mm512_cvtepu32_pd(_mm256_loadu_si256((const __m256i *)(const void *)numbers));
}

AVX512 static void shrunk_avx512(const uint32_t *restrict c, uint32_t n_i, const uint32_t *restrict n_j, double weight,
                                 double *restrict values, size_t len)
{
    const __m512d one = _mm512_set1_pd(1), n = _mm512_set1_pd(n_i), beta2 = _mm512_set1_pd(SIMILARITY_SHRINK);

    for (size_t k = 0; k < len; k += 8) {
        __m512d x = _mm512_fmadd_pd(n, doubles_avx512(n_j + k), beta2);
        __m512d y = _mm512_rsqrt14_pd(x);
        __m512d e = _mm512_fnmadd_pd(_mm512_mul_pd(x, y), y, one);
        __m512d p = _mm512_fmadd_pd(e, _mm512_set1_pd(5.0 / 16), _mm512_set1_pd(3.0 / 8));
        p = _mm512_fmadd_pd(e, p, _mm512_set1_pd(1.0 / 2));
        y = _mm512_fmadd_pd(_mm512_mul_pd(y, e), p, y);
        __m512d value = _mm512_mul_pd(_mm512_mul_pd(doubles_avx512(c + k), _mm512_set1_pd(weight)), y);
        _mm512_storeu_pd(values + k, _mm512_add_pd(value, _mm512_setzero_pd()));
    }
}

#ifdef WATCHED
#define TAKE(wide) take_portable
#else
#define TAKE(wide) wide
#endif
static const struct kernels avx2 = {"avx2", TAKE(take_avx2), shrunk_avx2};
static const struct kernels avx512 = {"avx512", TAKE(take_avx512), shrunk_avx512};
#endif

/* ---- choosing ---- */

const struct kernels *kernels_best(void)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl"))
        return &avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &avx2;
#endif
    return &portable;
}

const struct kernels *kernels_at(size_t index)
{
    const struct kernels *all[] = {&portable, NULL, NULL, NULL};
    size_t len = 1;

#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        all[len++] = &avx2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl"))
        all[len++] = &avx512;
#endif
    return index < len ? all[index] : NULL;
}
