/*
 * kernels_codes.c -- kernels_codes.h's loop: portable, AVX2, AVX-512 with VNNI.
 *
 *     AVX2     has no product of bytes that cannot overflow, so even and odd bytes become words first:
 *
 *         c0 c1 c2 c3  ->  c0 . c2 .   x  u0 . u2 .   ->  c0 u0 + c2 u2   \
 *                          c1 . c3 .   x  u1 . u3 .   ->  c1 u1 + c3 u3   /  added: the lane of the row
 *
 *     VNNI     is made for this: four bytes without a sign times four with one, added to a lane
 */
#include "kernels_codes.h"

#include <math.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define LEAST 1e-30F /* the inverse of what is smaller may not be finite */

/* ---- portable ---- */

/* Magnitudes are ordered as their bits are; what is not finite is above all that is. */
INLINE float largest(const float *vector, size_t d)
{
    const uint32_t infinite = 0x7F800000;
    uint32_t most = 0;
    float largest;

    for (size_t i = 0; i < d; i++) {
        uint32_t bits;
        memcpy(&bits, vector + i, sizeof(bits));
        bits &= 0x7FFFFFFF;
        most = bits > most ? bits : most;
    }
    memcpy(&largest, &most, sizeof(largest));
    return most < infinite && largest >= LEAST ? largest : 0;
}

INLINE float encode_in(const float *restrict vector, size_t d, int8_t *restrict code)
{
    float most = largest(vector, d), by = most > 0 ? CODE_MOST / most : 0;

    if (by == 0) {
        memset(code, 0, d);
        return 0;
    }
    for (size_t i = 0; i < d; i++) {
        float x = vector[i] * by;
        code[i] = (int8_t)(int32_t)(x + copysignf(.5F, x));
    }
    return most / CODE_MOST;
}

static float encode_portable(const float *vector, size_t d, int8_t *code)
{
    return encode_in(vector, d, code);
}

static void sums_portable(const uint8_t *codes, size_t d, const int8_t *user, int32_t sums[CODE_ROWS])
{
    memset(sums, 0, CODE_ROWS * sizeof(*sums));
    for (size_t i = 0; i < d; i += 4, codes += 4 * (size_t)CODE_ROWS)
        for (size_t row = 0; row < CODE_ROWS; row++)
            for (size_t k = 0; k < 4; k++)
                sums[row] += (int32_t)codes[4 * row + k] * user[i + k];
}

static void sift_portable(const uint8_t *codes, size_t blocks, size_t d, const struct code_user *user, const float *bias,
                          const float *scale, float floor, float *out, uint16_t *above)
{
    int32_t sums[CODE_ROWS];

    for (size_t block = 0; block < blocks; block++) {
        unsigned bits = 0;
        sums_portable(codes + block * CODE_ROWS * d, d, user->code, sums);
        for (size_t row = 0; row < CODE_ROWS; row++) {
            size_t at = block * CODE_ROWS + row;
            out[at] = bias[at] + scale[at] * (user->step * (float)(sums[row] - user->zero));
            bits |= (unsigned)(out[at] >= floor) << row;
        }
        above[block] = (uint16_t)bits;
    }
}

static const struct code_kernels portable = {"portable", encode_portable, sift_portable};

#ifdef __x86_64__
#include <immintrin.h>

static inline int32_t four_of(const int8_t *user)
{
    int32_t four;

    memcpy(&four, user, sizeof(four));
    return four;
}

/* ---- AVX2 ---- */

#define AVX2 __attribute__((target("avx2")))

AVX2 static float encode_avx2(const float *vector, size_t d, int8_t *code)
{
    return encode_in(vector, d, code);
}

AVX2 static inline __m256i lanes_avx2(__m256i sum, __m256i codes, __m256i even, __m256i odd)
{
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_and_si256(codes, _mm256_set1_epi16(255)), even));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_srli_epi16(codes, 8), odd));
}

AVX2 static inline unsigned estimate_avx2(__m256i sum, const struct code_user *user, const float *bias, const float *scale,
                                          float floor, float *out)
{
    __m256 dot = _mm256_mul_ps(_mm256_set1_ps(user->step), _mm256_cvtepi32_ps(_mm256_sub_epi32(sum, _mm256_set1_epi32(user->zero))));
    __m256 score = _mm256_add_ps(_mm256_loadu_ps(bias), _mm256_mul_ps(_mm256_loadu_ps(scale), dot));

    _mm256_storeu_ps(out, score);
    return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(score, _mm256_set1_ps(floor), _CMP_GE_OQ));
}

AVX2 static void sift_avx2(const uint8_t *codes, size_t blocks, size_t d, const struct code_user *user, const float *bias,
                           const float *scale, float floor, float *out, uint16_t *above)
{
    for (size_t block = 0; block < blocks; block++) {
        const __m256i *at = (const __m256i *)(const void *)(codes + block * CODE_ROWS * d);
        __m256i low = _mm256_setzero_si256(), high = low;
        size_t row = block * CODE_ROWS;
        for (size_t i = 0; i < d; i += 4, at += 2) {
            __m256i four = _mm256_set1_epi32(four_of(user->code + i)), odd = _mm256_srai_epi16(four, 8);
            __m256i even = _mm256_srai_epi16(_mm256_slli_epi16(four, 8), 8);
            low = lanes_avx2(low, _mm256_load_si256(at), even, odd);
            high = lanes_avx2(high, _mm256_load_si256(at + 1), even, odd);
        }
        unsigned bits = estimate_avx2(low, user, bias + row, scale + row, floor, out + row);
        bits |= estimate_avx2(high, user, bias + row + 8, scale + row + 8, floor, out + row + 8) << 8;
        above[block] = (uint16_t)bits;
    }
}

/* ---- AVX-512 with VNNI ---- */

#define VNNI __attribute__((target("avx512f,avx512vnni")))

VNNI static void sift_vnni(const uint8_t *codes, size_t blocks, size_t d, const struct code_user *user, const float *bias,
                           const float *scale, float floor, float *out, uint16_t *above)
{
    for (size_t block = 0; block < blocks; block++) {
        const __m512i *at = (const __m512i *)(const void *)(codes + block * CODE_ROWS * d);
        __m512i sum = _mm512_setzero_si512();
        size_t row = block * CODE_ROWS;
        for (size_t i = 0; i < d; i += 4, at++)
            sum = _mm512_dpbusd_epi32(sum, _mm512_load_si512(at), _mm512_set1_epi32(four_of(user->code + i)));
        __m512 dot = _mm512_mul_ps(_mm512_set1_ps(user->step), _mm512_cvtepi32_ps(_mm512_sub_epi32(sum, _mm512_set1_epi32(user->zero))));
        __m512 score = _mm512_add_ps(_mm512_loadu_ps(bias + row), _mm512_mul_ps(_mm512_loadu_ps(scale + row), dot));
        _mm512_storeu_ps(out + row, score);
        above[block] = _mm512_cmp_ps_mask(score, _mm512_set1_ps(floor), _CMP_GE_OQ);
    }
}

static const struct code_kernels avx2 = {"avx2", encode_avx2, sift_avx2}, vnni = {"vnni", encode_avx2, sift_vnni};
#endif

/* ---- choosing ---- */

const struct code_kernels *code_kernels_at(size_t index)
{
    const struct code_kernels *all[] = {&portable, NULL, NULL};
    size_t len = 1;

#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2"))
        all[len++] = &avx2;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vnni"))
        all[len++] = &vnni;
#endif
    return index < len ? all[index] : NULL;
}

const struct code_kernels *code_kernels_best(void)
{
    size_t last = 0;

    while (code_kernels_at(last + 1))
        last++;
    return code_kernels_at(last);
}
