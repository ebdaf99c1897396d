/*
 * kernels.c -- kernels.h's loops: portable, AVX2, AVX-512.
 *
 *     take, 8 slots:   counts  4 0 7 1 0 0 0 0   -> mask 00001101   here for `least` = 1, which it always is or more:
 *                                                                  counts are read first, and one above 0 has its column
 *                      columns a . b c . . . .   -> a b c           by a compress, or a permutation looked up by mask
 *                      stored whole; the next line's 8 begin where this one's live ones end
 *
 *     shrunk:          x = n_i n_j + beta^2,  y ~ 1 / sqrt(x),  e = 1 - x y^2
 *                      1 / sqrt(x) = y (1 + e/2 + 3/8 e^2 + 5/16 e^3 + 35/128 e^4 + ...)
 *
 *     rough:           weight c y in whole steps, y as estimated, enlarged so that no estimate is below the truth, and n_j as little as
 *                      its byte allows; where the byte is USERS_FAR, what the portable loop says
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

/* Appends every entry and keeps those that count: no branch depends on what is there. */
static size_t take_portable(const struct line *lines, uint32_t lines_len, uint32_t least, uint32_t *columns, uint32_t *counts)
{
    size_t len = 0;

    for (const struct line *line = lines; line < lines + lines_len; line++) {
        for (unsigned slot = 0; slot < LINE_SLOTS; slot++) {
            uint32_t count = atomic_load_explicit(&line->counts[slot], memory_order_acquire);
            counts[len] = count;
            columns[len] = atomic_load_explicit(&line->columns[slot], memory_order_acquire);
            len += count >= least;
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

static uint32_t look_at(const struct line *lines, uint32_t lines_len, uint32_t column)
{
    uint32_t at = home_line(column, lines_len);

    for (uint32_t tried = 0; tried < lines_len; tried++) {
        for (unsigned slot = 0; slot < LINE_SLOTS; slot++) {
            uint32_t here = atomic_load_explicit(&lines[at].columns[slot], memory_order_acquire);
            if (here == column)
                return atomic_load_explicit(&lines[at].counts[slot], memory_order_acquire);
            if (here == NO_COLUMN)
                return 0;
        }
        at = at + 1 < lines_len ? at + 1 : 0;
    }
    return 0;
}

static void look_portable(const struct line *lines, uint32_t lines_len, const uint32_t *columns, size_t len, uint32_t *counts)
{
    for (size_t k = 0; k < len; k++)
        counts[k] = look_at(lines, lines_len, columns[k]);
}

/* Estimates of 1 / sqrt(x) are low by up to 1.5 * 2^-12: this makes good for it. */
#define ROUGH_UP 1.001F

static void rough_portable(const struct rough *with, const uint32_t *restrict columns, const uint32_t *restrict counts,
                           uint32_t *restrict steps, size_t len)
{
    for (size_t k = 0; k < len; k++) {
        uint8_t byte = atomic_load_explicit(&with->users_bytes[columns[k]], memory_order_relaxed);
        uint32_t fewest = users_fewest(byte), most = users_most(byte);
        if (byte == USERS_FAR)
            fewest = most = atomic_load_explicit(&with->users_of_item[columns[k]], memory_order_relaxed);
        uint32_t c = columns[k] < with->items ? similarity_evidence(counts[k], with->n_i, most, with->threshold) : 0;
        float x = (float)with->n_i * (float)fewest + (float)SIMILARITY_SHRINK;
        float value = (float)c * (with->weight * ROUGH_UP) / sqrtf(x) + 1;
        uint32_t step = value < (float)with->most ? (uint32_t)value : with->most;
        steps[k] = c ? step : 0;
    }
}

/* Those from k on, behind the `kept` before them. */
static size_t keep_rest(size_t k, size_t kept, uint32_t least, uint32_t *restrict columns, uint32_t *restrict steps, size_t len)
{
    for (; k < len; k++) {
        columns[kept] = columns[k];
        steps[kept] = steps[k];
        kept += steps[kept] >= least;
    }
    return kept;
}

static size_t keep_portable(uint32_t least, uint32_t *restrict columns, uint32_t *restrict steps, size_t len)
{
    return keep_rest(0, 0, least, columns, steps, len);
}

static const struct kernels portable = {"portable",    take_portable,  shrunk_portable,
                                        look_portable, rough_portable, keep_portable};

#ifdef __x86_64__
#include <immintrin.h>

/* The byte of n_j where the steps will be. */
static void bytes_into(const struct rough *with, const uint32_t *restrict columns, uint32_t *restrict steps, size_t len)
{
    for (size_t k = 0; k < len; k++)
        steps[k] = atomic_load_explicit(&with->users_bytes[columns[k]], memory_order_relaxed);
}

/* ---- AVX2 ---- */

#define AVX2 __attribute__((target("avx2,fma,popcnt")))

/* By mask: the places of its bits, lowest first, a byte each. */
#define BIT(m, i) ((uint64_t)((m) >> (i)&1) * (i) << 8 * (__builtin_popcount((m) & ((1U << (i)) - 1)) & 7))
#define PLACES(m) \
    (BIT(m, 0) | BIT(m, 1) | BIT(m, 2) | BIT(m, 3) | BIT(m, 4) | BIT(m, 5) | BIT(m, 6) | BIT(m, 7))
#define PLACES_4(m) PLACES(m), PLACES(m + 1U), PLACES(m + 2U), PLACES(m + 3U)
#define PLACES_16(m) PLACES_4(m), PLACES_4(m + 4U), PLACES_4(m + 8U), PLACES_4(m + 12U)
#define PLACES_64(m) PLACES_16(m), PLACES_16(m + 16U), PLACES_16(m + 32U), PLACES_16(m + 48U)
static const uint64_t places[256] = {PLACES_64(0U), PLACES_64(64U), PLACES_64(128U), PLACES_64(192U)};

/* One bit for each of the numbers that is at least `least`, unsigned. */
AVX2 static inline unsigned at_least_avx2(__m256i numbers, __m256i least)
{
    return (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_max_epu32(numbers, least), numbers)));
}

/* The numbers that the mask names, closed up. */
AVX2 static inline __m256i closed_avx2(unsigned mask, __m256i numbers)
{
    return _mm256_permutevar8x32_epi32(numbers, _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)places[mask])));
}

#ifndef WATCHED
AVX2 static size_t take_avx2(const struct line *lines, uint32_t lines_len, uint32_t least, uint32_t *columns, uint32_t *counts)
{
    const __m256i fewest = _mm256_set1_epi32((int)least);
    size_t len = 0;

    for (const struct line *line = lines; line < lines + lines_len; line++) {
        __m256i count = _mm256_load_si256((const __m256i *)(const void *)line->counts);
        atomic_signal_fence(memory_order_acquire); /* the compiler keeps the order too */
        __m256i column = _mm256_load_si256((const __m256i *)(const void *)line->columns);
        unsigned mask = at_least_avx2(count, fewest);
        _mm256_storeu_si256((__m256i *)(void *)(columns + len), closed_avx2(mask, column));
        _mm256_storeu_si256((__m256i *)(void *)(counts + len), closed_avx2(mask, count));
        len += (size_t)__builtin_popcount(mask);
    }
    return len;
}

AVX2 static void look_avx2(const struct line *lines, uint32_t lines_len, const uint32_t *columns, size_t len, uint32_t *counts)
{
    const __m256i none = _mm256_set1_epi32((int)NO_COLUMN);

    for (size_t k = 0; k < len; k++) {
        const __m256i column = _mm256_set1_epi32((int)columns[k]);
        uint32_t at = home_line(columns[k], lines_len), count = 0;
        for (uint32_t tried = 0; tried < lines_len; tried++) {
            __m256i here = _mm256_load_si256((const __m256i *)(const void *)lines[at].columns);
            unsigned found = (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(here, column)));
            atomic_signal_fence(memory_order_acquire);
            if (found)
                count = atomic_load_explicit(&lines[at].counts[__builtin_ctz(found)], memory_order_acquire);
            if (found || _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(here, none))))
                break;
            at = at + 1 < lines_len ? at + 1 : 0;
        }
        counts[k] = count;
    }
}
#endif

/* Eight pairs. Those whose n_j is not known by its byte have `unknown` bits, and anything as steps. */
AVX2 static inline __m256i steps_avx2(const struct rough *with, __m256i column, __m256i count, __m256i byte, unsigned *unknown)
{
    const __m256i one = _mm256_set1_epi32(1), least = _mm256_set1_epi32((int)(with->threshold ? with->threshold : 1)),
                  last = _mm256_set1_epi32((int)(with->items - 1));
    __m256i follow = _mm256_sub_epi32(_mm256_max_epu32(_mm256_srli_epi32(byte, USERS_BITS), one), one);
    __m256i lead = _mm256_sub_epi32(byte, _mm256_slli_epi32(follow, USERS_BITS));
    __m256i fewest = _mm256_sllv_epi32(lead, follow);
    __m256i most = _mm256_sub_epi32(_mm256_sllv_epi32(_mm256_add_epi32(lead, one), follow), one);
    __m256i c = _mm256_min_epu32(_mm256_min_epu32(count, most), _mm256_set1_epi32((int)with->n_i));
    __m256i is = _mm256_and_si256(_mm256_cmpeq_epi32(_mm256_max_epu32(c, least), c),
                                  _mm256_cmpeq_epi32(_mm256_min_epu32(column, last), column));
    __m256 x = _mm256_fmadd_ps(_mm256_set1_ps((float)with->n_i), _mm256_cvtepi32_ps(fewest), _mm256_set1_ps((float)SIMILARITY_SHRINK));
    __m256 value = _mm256_mul_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(c), _mm256_set1_ps(with->weight * ROUGH_UP)), _mm256_rsqrt_ps(x));

    value = _mm256_min_ps(_mm256_add_ps(value, _mm256_set1_ps(1)), _mm256_set1_ps((float)with->most));
    *unknown = (unsigned)_mm256_movemask_epi8(_mm256_cmpeq_epi32(byte, _mm256_set1_epi32(USERS_FAR)));
    return _mm256_and_si256(is, _mm256_cvttps_epi32(value));
}

AVX2 static void rough_avx2(const struct rough *with, const uint32_t *restrict columns, const uint32_t *restrict counts,
                            uint32_t *restrict steps, size_t len)
{
    size_t whole = len - len % 8;
    unsigned unknown;

    bytes_into(with, columns, steps, len);
    for (size_t k = 0; k < whole; k += 8) {
        __m256i step = steps_avx2(with, _mm256_loadu_si256((const __m256i *)(const void *)(columns + k)),
                                  _mm256_loadu_si256((const __m256i *)(const void *)(counts + k)),
                                  _mm256_loadu_si256((const __m256i *)(const void *)(steps + k)), &unknown);
        _mm256_storeu_si256((__m256i *)(void *)(steps + k), step);
        if (unknown)
            rough_portable(with, columns + k, counts + k, steps + k, 8);
    }
    if (whole == len)
        return;
    __m256i here = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(len - whole)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    __m256i step = steps_avx2(with, _mm256_maskload_epi32((const int *)(const void *)(columns + whole), here),
                              _mm256_maskload_epi32((const int *)(const void *)(counts + whole), here),
                              _mm256_maskload_epi32((const int *)(const void *)(steps + whole), here), &unknown);
    _mm256_maskstore_epi32((int *)(void *)(steps + whole), here, step);
    if (unknown)
        rough_portable(with, columns + whole, counts + whole, steps + whole, len - whole);
}

/* Eight stored at a time end before what is not read yet: no more are kept than were read. */
AVX2 static size_t keep_avx2(uint32_t least, uint32_t *restrict columns, uint32_t *restrict steps, size_t len)
{
    const __m256i fewest = _mm256_set1_epi32((int)least);
    size_t kept = 0, k = 0;

    for (; k + 8 <= len; k += 8) {
        __m256i step = _mm256_loadu_si256((const __m256i *)(const void *)(steps + k));
        __m256i column = _mm256_loadu_si256((const __m256i *)(const void *)(columns + k));
        unsigned mask = at_least_avx2(step, fewest);
        _mm256_storeu_si256((__m256i *)(void *)(columns + kept), closed_avx2(mask, column));
        _mm256_storeu_si256((__m256i *)(void *)(steps + kept), closed_avx2(mask, step));
        kept += (size_t)__builtin_popcount(mask);
    }
    return keep_rest(k, kept, least, columns, steps, len);
}

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
AVX512 static size_t take_avx512(const struct line *lines, uint32_t lines_len, uint32_t least, uint32_t *columns, uint32_t *counts)
{
    const __m256i fewest = _mm256_set1_epi32((int)least);
    size_t len = 0;

    for (const struct line *line = lines; line < lines + lines_len; line++) {
        __m256i count = _mm256_load_si256((const __m256i *)(const void *)line->counts);
        atomic_signal_fence(memory_order_acquire); /* the compiler keeps the order too */
        __m256i column = _mm256_load_si256((const __m256i *)(const void *)line->columns);
        __mmask8 mask = _mm256_cmpge_epu32_mask(count, fewest);
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

AVX512 static void rough_avx512(const struct rough *with, const uint32_t *restrict columns, const uint32_t *restrict counts,
                                uint32_t *restrict steps, size_t len)
{
    const __m512 n_i = _mm512_set1_ps((float)with->n_i), beta2 = _mm512_set1_ps((float)SIMILARITY_SHRINK),
                 weight = _mm512_set1_ps(with->weight * ROUGH_UP), step_most = _mm512_set1_ps((float)with->most);
    const __m512i users_i = _mm512_set1_epi32((int)with->n_i), least = _mm512_set1_epi32((int)(with->threshold ? with->threshold : 1)),
                  items = _mm512_set1_epi32((int)with->items), one = _mm512_set1_epi32(1), far = _mm512_set1_epi32(USERS_FAR);

    bytes_into(with, columns, steps, len);
    for (size_t k = 0, here_len; k < len; k += here_len) {
        here_len = len - k < 16 ? len - k : 16;
        __mmask16 here = (__mmask16)((1U << here_len) - 1);
        __m512i column = _mm512_maskz_loadu_epi32(here, columns + k), byte = _mm512_maskz_loadu_epi32(here, steps + k);
        __m512i follow = _mm512_sub_epi32(_mm512_max_epu32(_mm512_srli_epi32(byte, USERS_BITS), one), one);
        __m512i lead = _mm512_sub_epi32(byte, _mm512_slli_epi32(follow, USERS_BITS));
        __m512i most = _mm512_sub_epi32(_mm512_sllv_epi32(_mm512_add_epi32(lead, one), follow), one);
        __m512i c = _mm512_min_epu32(_mm512_min_epu32(_mm512_maskz_loadu_epi32(here, counts + k), most), users_i);
        __mmask16 is = _mm512_mask_cmplt_epu32_mask(_mm512_cmpge_epu32_mask(c, least), column, items);
        __m512 x = _mm512_fmadd_ps(n_i, _mm512_cvtepi32_ps(_mm512_sllv_epi32(lead, follow)), beta2);
        __m512 value = _mm512_mul_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(c), weight), _mm512_rsqrt14_ps(x));
        value = _mm512_min_ps(_mm512_add_ps(value, _mm512_set1_ps(1)), step_most);
        _mm512_mask_storeu_epi32(steps + k, here, _mm512_maskz_cvttps_epu32(is, value));
        if (_mm512_cmpeq_epi32_mask(byte, far))
            rough_portable(with, columns + k, counts + k, steps + k, here_len);
    }
}

AVX512 static size_t keep_avx512(uint32_t least, uint32_t *restrict columns, uint32_t *restrict steps, size_t len)
{
    const __m512i fewest = _mm512_set1_epi32((int)least);
    size_t kept = 0;

    for (size_t k = 0; k < len; k += 16) {
        __mmask16 here = len - k < 16 ? (__mmask16)((1U << (len - k)) - 1) : (__mmask16)-1;
        __m512i step = _mm512_maskz_loadu_epi32(here, steps + k), column = _mm512_maskz_loadu_epi32(here, columns + k);
        __mmask16 mask = _mm512_mask_cmpge_epu32_mask(here, step, fewest);
        unsigned found = (unsigned)__builtin_popcount(mask);
        __mmask16 first = (__mmask16)((1U << found) - 1);
        _mm512_mask_storeu_epi32(columns + kept, first, _mm512_maskz_compress_epi32(mask, column));
        _mm512_mask_storeu_epi32(steps + kept, first, _mm512_maskz_compress_epi32(mask, step));
        kept += found;
    }
    return kept;
}

#ifdef WATCHED
#define ON_LINES(wide, portable) portable
#else
#define ON_LINES(wide, portable) wide
#endif
static const struct kernels avx2 = {"avx2",     ON_LINES(take_avx2, take_portable), shrunk_avx2, ON_LINES(look_avx2, look_portable),
                                    rough_avx2, keep_avx2};
static const struct kernels avx512 = {"avx512",     ON_LINES(take_avx512, take_portable), shrunk_avx512, ON_LINES(look_avx2, look_portable),
                                      rough_avx512, keep_avx512};
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
