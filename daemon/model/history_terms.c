/*
 * history_terms.c -- the newest items of a history. The picture is in history_terms.h.
 */
#include "history_terms.h"

#include <math.h>

struct newest {
    uint32_t len, most;
    when_ms last[HISTORY_TERMS_MAX];
    uint32_t slot[HISTORY_TERMS_MAX];
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

static bool terms_have(const struct history_terms *terms, uint32_t len, uint32_t item)
{
    for (uint32_t k = 0; k < len; k++) {
        if (terms->item[k] == item)
            return true;
    }
    return false;
}

void history_terms_init(struct history_terms *terms, const struct history_terms_options *options,
                        const struct history *history, const struct seed *seeds, size_t seeds_len, uint32_t but)
{
    struct newest newest = {0, 0, {0}, {0}};
    double weight = 1, squares = 0;
    uint32_t seeded;

    terms->len = 0;
    for (size_t s = seeds_len; s-- > 0 && terms->len < options->most;) {
        if (seeds[s].item == but || terms_have(terms, terms->len, seeds[s].item))
            continue;
        if (!options->disliked && seeds[s].weight < 0)
            continue; /* what the history holds of it still counts */
        terms->rating[terms->len] = (float)seeds[s].weight;
        terms->item[terms->len++] = seeds[s].item;
    }
    seeded = terms->len;
    newest.most = options->most - seeded;
    for (uint32_t slot = history->len; slot-- > 0 && newest.most;) {
        bool liked = options->disliked || history->affinity[slot] >= 0;
        if (liked && history->item[slot] != but && !terms_have(terms, seeded, history->item[slot]))
            newest_offer(&newest, stamp_last(history->stamp[slot]), slot);
    }
    for (uint32_t k = 0; k < newest.len; k++) {
        terms->rating[terms->len] = history_rating(history, newest.slot[k]);
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
