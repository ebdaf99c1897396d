/*
 * history_terms.h -- which items stand for a user, and how much each counts. A learner and its askers must agree on it, so
 * all factor models ask here.
 *
 *     seeds     s1 s2 s1          the last is the newest; a repeated one counts where it was last
 *     history   a  b  s2 c        by (last event time, slot)
 *     terms     s1 s2 c  b  a     x = recency^age / sqrt(sum of recency^(2 age)),  age 0 1 2 3 4
 *
 * Items the user has come to dislike (affinity below 0) do not stand for what the user likes, but where one asks for them.
 *
 * Thread: any; nothing is kept.
 */
#ifndef FR_HISTORY_TERMS_H
#define FR_HISTORY_TERMS_H

#include "freshet/model.h"

enum { HISTORY_TERMS_MAX = 64 };

struct history_terms_options {
    uint32_t most;  /* items, 1 .. HISTORY_TERMS_MAX */
    double recency; /* (0, 1] */
    bool disliked;  /* those too */
};

/* Newest first. */
struct history_terms {
    uint32_t len;
    uint32_t item[HISTORY_TERMS_MAX];
    float x[HISTORY_TERMS_MAX];
    float rating[HISTORY_TERMS_MAX]; /* history_rating */
};

/*
 * The mean of the user's ratings of the item, if affinities are ratings: of several if these do not decay, since an affinity is as of the
 * newest event of its slot and the older ones have faded by then; a single one is whole.
 */
static inline float history_rating(const struct history *history, uint32_t slot)
{
    uint32_t repeats = stamp_repeats(history->stamp[slot]);
    return (float)(history->affinity[slot] / (repeats ? repeats : 1));
}

/* Without the item `but` (UINT32_MAX: all). */
void history_terms_init(struct history_terms *terms, const struct history_terms_options *options,
                        const struct history *history, const struct seed *seeds, size_t seeds_len, uint32_t but);

#endif
