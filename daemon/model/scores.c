/*
 * scores.c -- the accumulator of one asking thread, and the decay that all affinities share.
 *
 * value is -0.0 but for the touched items, so a reset costs what was touched, not the catalogue; after a dense answer, the catalogue.
 * `touched` has one place more than there are items: scores_add writes before it knows whether it may keep.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "freshet/model.h"

void scores_init(struct scores *scores)
{
    *scores = (struct scores){0};
}

void scores_release(struct scores *scores)
{
    free(scores->value);
    free(scores->mark);
    free(scores->touched);
    free(scores->columns);
    free(scores->counts);
    free(scores->highest);
    free(scores->rough.sums);
    free(scores->rough.found);
    *scores = (struct scores){0};
}

void scores_reset(struct scores *scores, uint32_t items)
{
    for (uint32_t i = 0; i < scores->touched_len; i++) {
        scores->value[scores->touched[i]] = -0.0;
    }
    for (uint32_t i = 0; scores->dense && i < scores->items; i++)
        scores->value[i] = -0.0;
    scores->touched_len = 0;
    scores->dense = false;
    if (items > scores->room || !scores->value) {
        uint32_t old = scores->room, room = items < UINT32_MAX - items / 2 ? items + items / 2 : items;
        scores->value = fr_realloc(scores->value, (room + (size_t)1) * sizeof(*scores->value));
        scores->mark = fr_realloc(scores->mark, room + (size_t)1);
        scores->touched = fr_realloc(scores->touched, (room + (size_t)1) * sizeof(*scores->touched));
        for (uint32_t i = old; i < room; i++)
            scores->value[i] = -0.0;
        memset(scores->mark + old, 0, room - (size_t)old);
        scores->room = room;
    }
    scores->items = items;
}

void scores_make_rough(struct scores *scores)
{
    struct rough_sums *rough = &scores->rough;

    if (rough->room >= scores->room)
        return;
    rough->sums = fr_realloc(rough->sums, scores->room * sizeof(*rough->sums));
    rough->found = fr_realloc(rough->found, (scores->room + (size_t)1) * sizeof(*rough->found));
    memset(rough->sums + rough->room, 0, (scores->room - (size_t)rough->room) * sizeof(*rough->sums));
    rough->room = scores->room;
}

void reason_offer(struct reason_part *parts, size_t *len, size_t parts_max, uint32_t item, double contribution)
{
    size_t at = *len < parts_max ? (*len)++ : parts_max;

    for (; at > 0 && fabs(contribution) > fabs(parts[at - 1].contribution); at--)
        if (at < parts_max)
            parts[at] = parts[at - 1];
    if (at < parts_max)
        parts[at] = (struct reason_part){item, contribution};
}

double decay_factor(span_ms span, span_ms half_life)
{
    if (span <= 0 || half_life <= 0)
        return 1;
    return exp2(-(double)span / (double)half_life);
}
