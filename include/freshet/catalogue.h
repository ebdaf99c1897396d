/*
 * catalogue.h -- what producers say of items and users beside events, its bounds, and the one form of bytes it has on its way.
 *
 *     feed: Item or User --catalogue_*_write--> bytes ──> event.said ──> the engine's memory ──> a cell of the store
 *                                                                            '--catalogue_*_read--> answers
 *
 * Written once and checked once: the bytes that arrive are the bytes that are kept. Layout (codec.h; FORMAT.md has the table):
 *
 *     item   version u8 = 1 | flags u8 (1: hidden) | from zigzag | until zigzag | owner blob | title blob | embedding blob (f32 each)
 *            | categories varint, then a blob each | features varint, then two blobs each
 *     user   version u8 = 1 | features likewise
 */
#ifndef FR_CATALOGUE_H
#define FR_CATALOGUE_H

#include <stdbool.h>
#include <stdint.h>

#include "freshet/bytes.h"
#include "freshet/codec.h"
#include "freshet/feature.h"

/* A record beyond one of these, or beyond those of feature.h, is a dead letter. Names of categories keep the rule of ids. */
enum { CATEGORIES_MAX = 32, TITLE_BYTES_MAX = 1024, EMBEDDING_MAX = 2048 };

struct feature_pair {
    struct fr_bytes name, value;
};

struct features_said {
    uint32_t len;
    struct feature_pair at[FEATURES_MAX]; /* names are different */
};

/* Runs are borrowed throughout. */
struct item_said {
    bool hidden;
    int64_t from, until;    /* Unix ms; recommended in [from, until); 0: always, forever */
    struct fr_bytes owner;  /* a user id; empty: none */
    struct fr_bytes title;
    struct fr_bytes embedding; /* finite f32, little endian, at any address */
    uint32_t categories_len;
    struct fr_bytes categories[CATEGORIES_MAX]; /* different ones */
    struct features_said features;
};

/* Where a record says something for the second time, the name's last value counts. False: one more than FEATURES_MAX. */
bool features_said_add(struct features_said *features, struct fr_bytes name, struct fr_bytes value);
/* A category that is there already is left. False: one more than CATEGORIES_MAX. */
bool item_said_category(struct item_said *item, struct fr_bytes category);

/* Thread: any, all of them. */
void catalogue_item_write(struct fr_writer *out, const struct item_said *item);
void catalogue_user_write(struct fr_writer *out, const struct features_said *features);
/* False if the bytes are not what the writer makes of something within the bounds. */
bool catalogue_item_read(struct fr_bytes bytes, struct item_said *ret_item);
bool catalogue_user_read(struct fr_bytes bytes, struct features_said *ret_features);
/* The keys of features that are within their bounds (feature.h); returns how many. */
size_t catalogue_keys(const struct features_said *features, uint64_t keys[FEATURES_MAX]);

#endif
