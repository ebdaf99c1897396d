/*
 * adwin.c -- one exponential histogram, and where it can be cut.
 */
#include <math.h>
#include <string.h>

#include "adwin.h"

#define DELTA .002
enum { LOOK_EVERY = 32, PART_LEAST = 5, WIDTH_LEAST = 10 };

/* Two oldest of a level that has too many become one of the next. */
static void merge(struct adwin *adwin)
{
    for (int level = 0; level + 1 < ADWIN_LEVELS && adwin->len[level] > ADWIN_BUCKETS; level++) {
        uint32_t *sums = adwin->sums[level];
        adwin->sums[level + 1][adwin->len[level + 1]++] = sums[0] + sums[1];
        adwin->len[level] = (uint8_t)(adwin->len[level] - 2);
        memmove(sums, sums + 2, adwin->len[level] * sizeof(*sums));
    }
}

static int oldest_level(const struct adwin *adwin)
{
    int level = ADWIN_LEVELS - 1;

    while (level > 0 && !adwin->len[level])
        level--;
    return level;
}

/* Can it be cut somewhere? */
static bool cuttable(const struct adwin *adwin)
{
    double n = (double)adwin->width, all = (double)adwin->total, mean = all / n, variance = mean * (1 - mean);
    double l = log(2 * log(n) / DELTA), n0 = 0, hits0 = 0;

    for (int level = oldest_level(adwin); level >= 0; level--)
        for (int b = 0; b < adwin->len[level]; b++) {
            n0 += (double)(UINT64_C(1) << level);
            hits0 += adwin->sums[level][b];
            double n1 = n - n0;
            if (n1 < PART_LEAST)
                return false;
            if (n0 < PART_LEAST)
                continue;
            double m = 1 / (n0 - PART_LEAST + 1) + 1 / (n1 - PART_LEAST + 1);
            if (fabs(hits0 / n0 - (all - hits0) / n1) > sqrt(2 * m * variance * l) + 2. / 3 * l * m)
                return true;
        }
    return false;
}

static void drop_oldest(struct adwin *adwin, uint64_t *outcomes, uint64_t *hits)
{
    int level = oldest_level(adwin);
    uint32_t *sums = adwin->sums[level];

    *outcomes += UINT64_C(1) << level;
    *hits += sums[0];
    adwin->width -= UINT64_C(1) << level;
    adwin->total -= sums[0];
    adwin->len[level]--;
    memmove(sums, sums + 1, adwin->len[level] * sizeof(*sums));
}

bool adwin_add(struct adwin *adwin, bool hit, struct adwin_change *ret_change)
{
    uint64_t outcomes = 0, hits = 0;

    adwin->sums[0][adwin->len[0]++] = hit;
    adwin->width++;
    adwin->total += hit;
    merge(adwin);
    if (++adwin->ticks < LOOK_EVERY)
        return false;
    adwin->ticks = 0;
    while (adwin->width > WIDTH_LEAST && cuttable(adwin))
        drop_oldest(adwin, &outcomes, &hits);
    if (!outcomes)
        return false;
    *ret_change = (struct adwin_change){(double)hits / (double)outcomes, (double)adwin->total / (double)adwin->width};
    return true;
}

void adwin_write(const struct adwin *adwin, struct fr_writer *out)
{
    fr_put_varint(out, adwin->ticks);
    for (int level = 0; level <= oldest_level(adwin); level++) {
        fr_put_u8(out, adwin->len[level]);
        for (int b = 0; b < adwin->len[level]; b++)
            fr_put_varint(out, adwin->sums[level][b]);
    }
}

bool adwin_read(struct adwin *adwin, struct fr_reader *in)
{
    *adwin = (struct adwin){.ticks = (uint32_t)fr_get_varint(in)};
    for (int level = 0; fr_left(in) && level < ADWIN_LEVELS; level++) {
        uint8_t len = fr_get_u8(in);
        if (len > ADWIN_BUCKETS)
            return false;
        adwin->len[level] = len;
        for (int b = 0; b < len; b++) {
            uint64_t sum = fr_get_varint(in);
            if (sum > UINT64_C(1) << level)
                return false;
            adwin->sums[level][b] = (uint32_t)sum;
            adwin->width += UINT64_C(1) << level;
            adwin->total += sum;
        }
    }
    return !in->failed && !fr_left(in) && adwin->ticks < LOOK_EVERY;
}
