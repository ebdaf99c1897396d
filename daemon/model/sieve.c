/*
 * sieve.c -- see sieve.h.
 */
#include "sieve.h"

#include <math.h>

enum { SMALL_CATALOGUE = 8 }; /* times what is asked for: no less work than scoring all */

uint32_t sieve_stride(uint32_t len)
{
    uint32_t stride = (uint32_t)(len * .618) + 1;

    for (;; stride++) {
        uint32_t a = stride, b = len;
        while (b) {
            uint32_t rest = a % b;
            a = b;
            b = rest;
        }
        if (a == 1)
            return stride % len;
    }
}

struct sieve sieve_in(struct scores *scores, size_t most)
{
    fr_reserve((void **)&scores->highest, &scores->highest_room, 2 * most, sizeof(*scores->highest));
    return (struct sieve){.room = scores->highest, .most = most, .floor = -INFINITY, .gone = -INFINITY};
}

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
    for (size_t i = sieve->most; i < sieve->len; i++)
        sieve->gone = sieve->room[i].score > sieve->gone ? sieve->room[i].score : sieve->gone;
    sieve->len = sieve->most;
    sieve->floor = INFINITY;
    for (size_t i = 0; i < sieve->len; i++)
        sieve->floor = sieve->room[i].score < sieve->floor ? sieve->room[i].score : sieve->floor;
}

static bool any_above(const double *values, uint32_t len, double floor)
{
    uint64_t any = 0;

    for (uint32_t k = 0; k < len; k++)
        any |= values[k] >= floor;
    return any;
}

/* Every item that has the floor or more and is not marked: touches it, or else gives it to the sieve, whose floor then rises. */
static void walk(const struct model *model, const struct query *query, sieve_fill *fill, struct scores *scores, struct sieve *sieve,
                 bool touch)
{
    uint32_t blocks = (query->items + SIEVE_AT_ONCE - 1) / SIEVE_AT_ONCE, stride = sieve_stride(blocks);
    double values[SIEVE_AT_ONCE];

    for (uint32_t i = 0, block = 0; i < blocks; i++, block = (block + stride) % blocks) {
        uint32_t first = block * SIEVE_AT_ONCE, left = query->items - first, len = left < SIEVE_AT_ONCE ? left : SIEVE_AT_ONCE;
        fill(model, query, first, len, values);
        if (!any_above(values, len, sieve->floor))
            continue;
        for (uint32_t k = 0; k < len; k++) {
            if (values[k] < sieve->floor || scores_untouched(values[k]) || scores_excluded(scores, first + k))
                continue;
            if (touch)
                scores_add(scores, first + k, values[k]);
            else
                sieve_take(sieve, first + k, values[k]);
        }
    }
}

bool sieve_best(const struct model *model, const struct query *query, sieve_fill *fill, struct scores *scores)
{
    if (!query->best || query->items / SMALL_CATALOGUE < query->best)
        return false;
    struct sieve sieve = sieve_in(scores, query->best);
    walk(model, query, fill, scores, &sieve, false);
    sieve_cut(&sieve);
    if (sieve.gone == sieve.floor) { /* equal ones are gone: once more, for all that have as much */
        walk(model, query, fill, scores, &sieve, true);
        return true;
    }
    for (size_t i = 0; i < sieve.len; i++)
        scores_add(scores, sieve.room[i].id, sieve.room[i].score);
    return true;
}
