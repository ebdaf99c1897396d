/*
 * codes.c -- see codes.h.
 */
#include "codes.h"

#include <math.h>
#include <string.h>

/* ---- bytes ---- */

void codes_make(const struct row_codes *codes, const struct code_kernels *kernels, const float *vectors, size_t rows, size_t d)
{
    int8_t line[CODE_DIMENSIONS_MAX];

    for (size_t row = 0; row < rows; row++) {
        uint8_t *code = codes->code + row / CODE_ROWS * CODE_ROWS * d + row % CODE_ROWS * 4;
        codes->scale[row] = kernels->encode(vectors + row * d, d, line);
        for (size_t i = 0; i < d; i += 4) {
            uint32_t four;
            memcpy(&four, line + i, 4);
            four ^= UINT32_C(0x80808080); /* + CODE_ZERO, as bytes without a sign */
            memcpy(code + i * CODE_ROWS, &four, 4);
        }
    }
}

void code_user_init(struct code_user *user, const struct code_kernels *kernels, const float *vector, size_t d)
{
    *user = (struct code_user){0};
    user->step = kernels->encode(vector, d, user->code);
    for (size_t i = 0; i < d; i++)
        user->zero += CODE_ZERO * user->code[i];
}

/* ---- the sieve ---- */

static void swap(struct fr_ranked *a, struct fr_ranked *b)
{
    struct fr_ranked was = *a;

    *a = *b;
    *b = was;
}

/* The middle one of first, middle and last. */
static double pivot_of(const struct fr_ranked *room, size_t first, size_t last)
{
    double a = room[first].score, b = room[first + (last - first) / 2].score, c = room[last].score;
    double low = a < b ? a : b, high = a < b ? b : a;

    return c < low ? low : c > high ? high : c;
}

/* Hoare's selection: the `most` highest come to stand first. */
static void highest_first(struct fr_ranked *room, size_t len, size_t most)
{
    size_t first = 0, last = len - 1;

    while (first < last) {
        double pivot = pivot_of(room, first, last);
        size_t up = first, down = last;
        for (;;) {
            while (room[up].score > pivot)
                up++;
            while (room[down].score < pivot)
                down--;
            if (up >= down)
                break;
            swap(&room[up++], &room[down--]);
        }
        /* what is at or before `down` is no lower than what is behind it */
        if (down + 1 > most)
            last = down;
        else
            first = down + 1;
        if (first >= most)
            return;
    }
}

void sieve_cut(struct sieve *sieve)
{
    if (sieve->len <= sieve->most)
        return;
    highest_first(sieve->room, sieve->len, sieve->most);
    sieve->len = sieve->most;
    sieve->floor = INFINITY;
    for (size_t i = 0; i < sieve->len; i++)
        sieve->floor = sieve->room[i].score < sieve->floor ? sieve->room[i].score : sieve->floor;
}
