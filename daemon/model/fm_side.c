/*
 * fm_side.c -- the user's side: which items stand for a user (history_terms.h), and what each of them is worth.
 *
 * Where weights are ratings (squared loss) all items count, and what counts is how the user liked them (Koren 2008, asymmetric
 * SVD, with the recency that is ours):
 *
 *     leaning   sum over the history of (rating - mean - b_i) / (its length + 5)
 *     x         recency^age (rating - mean - b_i - leaning) / sqrt(sum of recency^(2 age)), the difference within -5 .. 5
 *
 * Thread: any; nothing is kept.
 */
#include <math.h>

#include "fm_parts.h"
#include "freshet/feature.h"

_Static_assert((int)FM_HISTORY_MAX <= (int)HISTORY_TERMS_MAX, "all of the history that counts has a term");

/* Ratings of a user count for her own mean as if there were this many at everybody's. */
#define LEANING_SHRINK 5.0f
/* Weights may be a million: one that is so far off says no more than one that is this far, and spoils no row. */
#define LIKED_MOST 5.0f
/* So that no feature that comes along is the same key. */
#define USER_KEY UINT64_C(0x757365722D726F77)

uint64_t fm_user_key(struct fr_bytes user_id)
{
    return fr_feature_key(FR_BYTES(""), user_id) ^ USER_KEY;
}

size_t fm_keys(const struct fm_options *options, const uint64_t *context, size_t context_len, struct fr_bytes user_id,
               uint64_t keys[FM_FEATURES_MAX])
{
    size_t len = context_len < FM_CONTEXT_MAX ? context_len : FM_CONTEXT_MAX;

    if (len)
        memcpy(keys, context, len * sizeof(*keys));
    if (options->user_rows && user_id.len)
        keys[len++] = fm_user_key(user_id);
    return len;
}

void fm_terms_init(struct history_terms *terms, const struct fm_options *options, const struct history *history,
                   const struct seed *seeds, size_t seeds_len, uint32_t but)
{
    const struct history_terms_options of = {options->history, options->recency, options->loss == FM_SQUARED};
    history_terms_init(terms, &of, history, seeds, seeds_len, but);
}

float fm_terms_lean(struct history_terms *terms, const struct history *history, float mean,
                    float (*bias)(const void *context, uint32_t item), const void *context, uint32_t but)
{
    float sum = 0, len = 0;

    for (uint32_t slot = 0; slot < history->len; slot++) {
        float of = history->item[slot] == but ? NAN : bias(context, history->item[slot]);
        if (isnan(of))
            continue;
        sum += history_rating(history, slot) - mean - of;
        len++;
    }
    float leaning = sum / (len + LEANING_SHRINK);
    for (uint32_t k = 0; k < terms->len; k++) {
        float of = bias(context, terms->item[k]);
        float liked = isnan(of) ? 0 : terms->rating[k] - mean - of - leaning;
        terms->x[k] *= liked > LIKED_MOST ? LIKED_MOST : liked < -LIKED_MOST ? -LIKED_MOST : liked;
    }
    return leaning;
}
