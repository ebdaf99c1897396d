/*
 * fm_side.c -- which items stand for a user, and how much each counts. The learner and the askers must agree on it.
 *
 *     seeds     s1 s2 s1          the last is the newest; a repeated one counts where it was last
 *     history   a  b  s2 c        by (last event time, slot)
 *     terms     s1 s2 c  b  a     x = recency^age / sqrt(sum of recency^(2 age)),  age 0 1 2 3 4
 *
 * Items the user has come to dislike (affinity below 0) do not stand for what the user likes.
 *
 * Where weights are ratings (squared loss) all items count, and what counts is how the user liked them (Koren 2008, asymmetric
 * SVD, with the recency that is ours):
 *
 *     leaning   sum over the history of (rating - mean - b_i) / (its length + 5)
 *     x         recency^age (rating - mean - b_i - leaning) / sqrt(sum of recency^(2 age))
 *
 * Thread: any; nothing is kept.
 */
#include <math.h>

#include "fm_parts.h"

/* Ratings of a user count for her own mean as if there were this many at everybody's. */
#define LEANING_SHRINK 5.0f

struct newest {
    uint32_t len, most;
    when_ms last[FM_HISTORY_MAX];
    uint32_t slot[FM_HISTORY_MAX];
};

/* Offers come slot by slot downwards, so at equal times the one that came first stays ahead. */
static void newest_offer(struct newest *newest, when_ms last, uint32_t slot)
{
    uint32_t at = newest->len;

    if (at == newest->most && last <= newest->last[--at])
        return;
    for (; at > 0 && last > newest->last[at - 1]; at--) {
        newest->last[at] = newest->last[at - 1];
        newest->slot[at] = newest->slot[at - 1];
    }
    newest->last[at] = last;
    newest->slot[at] = slot;
    newest->len += newest->len < newest->most;
}

static bool terms_have(const struct fm_terms *terms, uint32_t len, uint32_t item)
{
    for (uint32_t k = 0; k < len; k++) {
        if (terms->item[k] == item)
            return true;
    }
    return false;
}

/* The mean of the events on it, if affinities do not decay. */
static float slot_rating(const struct history *history, uint32_t slot)
{
    uint32_t repeats = stamp_repeats(history->stamp[slot]);
    return (float)(history->affinity[slot] / (repeats ? repeats : 1));
}

void fm_terms_init(struct fm_terms *terms, const struct fm_options *options, const struct history *history,
                   const struct seed *seeds, size_t seeds_len, uint32_t but)
{
    struct newest newest = {0, 0, {0}, {0}};
    double weight = 1, squares = 0;
    uint32_t seeded;

    terms->len = 0;
    for (size_t s = seeds_len; s-- > 0 && terms->len < options->history;) {
        if (seeds[s].item == but || terms_have(terms, terms->len, seeds[s].item))
            continue;
        terms->rating[terms->len] = (float)seeds[s].weight;
        terms->item[terms->len++] = seeds[s].item;
    }
    seeded = terms->len;
    newest.most = options->history - seeded;
    for (uint32_t slot = history->len; slot-- > 0 && newest.most;) {
        bool liked = options->loss == FM_SQUARED || history->affinity[slot] >= 0;
        if (liked && history->item[slot] != but && !terms_have(terms, seeded, history->item[slot]))
            newest_offer(&newest, stamp_last(history->stamp[slot]), slot);
    }
    for (uint32_t k = 0; k < newest.len; k++) {
        terms->rating[terms->len] = slot_rating(history, newest.slot[k]);
        terms->item[terms->len++] = history->item[newest.slot[k]];
    }
    for (uint32_t age = 0; age < terms->len; age++, weight *= options->recency) {
        terms->x[age] = (float)weight;
        squares += weight * weight;
    }
    float by = (float)(1 / sqrt(squares));
    for (uint32_t age = 0; age < terms->len; age++)
        terms->x[age] *= by;
}

float fm_terms_lean(struct fm_terms *terms, const struct history *history, float mean,
                    float (*bias)(const void *context, uint32_t item), const void *context, uint32_t but)
{
    float sum = 0, len = 0;

    for (uint32_t slot = 0; slot < history->len; slot++) {
        float of = history->item[slot] == but ? NAN : bias(context, history->item[slot]);
        if (isnan(of))
            continue;
        sum += slot_rating(history, slot) - mean - of;
        len++;
    }
    float leaning = sum / (len + LEANING_SHRINK);
    for (uint32_t k = 0; k < terms->len; k++) {
        float of = bias(context, terms->item[k]);
        terms->x[k] *= isnan(of) ? 0 : terms->rating[k] - mean - of - leaning;
    }
    return leaning;
}
