/*
 * item_features.c -- see item_features.h.
 */
#include "item_features.h"

#include <math.h>
#include <stdlib.h>

static size_t said_size(size_t len)
{
    return sizeof(struct item_said_of) + len * sizeof(struct item_feature);
}

void item_features_init(struct item_features *of, size_t items_max, uint32_t features_max)
{
    *of = (struct item_features){0};
    fr_array_init(&of->items, sizeof(struct item_said_of *), items_max);
    fr_array_init(&of->chunks, sizeof(_Atomic uint32_t), items_max / SHOWN_ROWS + 1);
    of->place = fr_zalloc((size_t)features_max + 1, sizeof(*of->place));
}

void item_features_release(struct item_features *of)
{
    for (uint32_t item = 0; item < of->items_len; item++)
        free(item_features_of(of, item));
    fr_array_release(&of->items);
    fr_array_release(&of->chunks);
    free(of->place);
    free(of->sums);
    free(of->rows);
    free(of->dots);
    free(of->run);
}

void item_features_extend(struct item_features *of, uint32_t items)
{
    if (items <= of->items_len)
        return;
    fr_array_grow(&of->items, items);
    fr_array_grow(&of->chunks, items / SHOWN_ROWS + 1);
    of->items_len = items;
}

void item_features_say(struct item_features *of, uint32_t item, const uint64_t *keys, size_t len)
{
    struct item_said_of **place = fr_array_at(&of->items, item), *before = *place, *said = NULL;
    _Atomic uint32_t *in = fr_array_at(&of->chunks, item / SHOWN_ROWS);

    len = len < ITEM_FEATURES_MAX ? len : ITEM_FEATURES_MAX;
    if (len) {
        said = fr_alloc(said_size(len));
        *said = (struct item_said_of){.len = (uint32_t)len, .vector = 1 / sqrtf((float)len), .bias = 1 / (float)len};
        for (size_t k = 0; k < len; k++)
            said->at[k] = (struct item_feature){item_feature_key(keys[k]), FEATURE_NONE, UINT32_MAX};
    }
    atomic_fetch_add(&of->bytes, (said ? said_size(len) : 0) - (before ? said_size(before->len) : 0));
    atomic_fetch_add(&of->len, (uint32_t)(said != NULL) - (before != NULL));
    atomic_fetch_add(in, (uint32_t)(said != NULL) - (before != NULL));
    *place = said;
    free(before);
}

uint32_t item_feature_row(const struct features *features, struct item_feature *feature)
{
    uint32_t admitted = (uint32_t)features->state.admitted;

    if (feature->row != FEATURE_NONE && *embedding_key(&features->rows, feature->row) == feature->key)
        return feature->row;
    if (feature->row == FEATURE_NONE && feature->looked == admitted)
        return FEATURE_NONE;
    feature->looked = admitted;
    return feature->row = features_find(features, feature->key);
}
