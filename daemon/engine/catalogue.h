/*
 * catalogue.h -- what is said of items and users (freshet/catalogue.h), by handle, for readers without locks.
 *
 *     items    by handle  [ * | . | * | * ... ]       . nothing is said of it
 *                           |
 *                           '--> { flags, from, until, owner, categories (numbers, ascending), features (keys), the bytes }
 *     users    by handle  [ . | * ... ]  -->  { features (keys), the bytes }
 *     names    category's name <-> number 0, 1, 2 ...                                     dict.h; a name once met keeps its number
 *     members  by number of category: the items in it                                     rows.h, counts of 1
 *
 * A record is one block. It never changes: what is said anew is a new block, shown by one store of a pointer, and the old one is
 * retired (epoch.h). So a reader sees what was said at one moment, whole; a filter that finds an item among a category's members looks
 * at the item's record all the same. Hidden is hidden for every question that begins after the batch.
 */
#ifndef FR_CATALOGUE_PRIVATE_H
#define FR_CATALOGUE_PRIVATE_H

#include "dict.h"
#include "freshet/catalogue.h"
#include "freshet/rows.h"

struct catalogue_options {
    uint32_t users_max, items_max, categories_max;
    size_t bytes_max; /* of records; what would exceed it is refused. 0: no bound */
};

struct catalogue_item {
    uint32_t size; /* of the whole block */
    bool hidden;
    int64_t from, until; /* 0: always, forever */
    struct fr_bytes owner, said; /* within the block */
    const uint64_t *features; /* keys of features, then of categories (feature.h) */
    const uint32_t *categories; /* ascending */
    uint32_t features_len, categories_len;
};

struct catalogue_user {
    uint32_t size;
    struct fr_bytes said;
    const uint64_t *features;
    uint32_t features_len;
};

struct catalogue;
struct catalogue *catalogue_new(const struct catalogue_options *options, struct fr_epoch *epoch);
void catalogue_free(struct catalogue *catalogue);

/* ---- thread: engine ---- */

/* The bound that stands against this being said of the item (DICT_NONE: one that is new); NULL: none. */
const char *catalogue_item_bound(const struct catalogue *catalogue, uint32_t item, struct fr_bytes said);
const char *catalogue_user_bound(const struct catalogue *catalogue, uint32_t user, struct fr_bytes said);
/* Whatever the bounds: what was let in once is kept. False, and nothing has changed, if the bytes cannot be read. */
bool catalogue_put_item(struct catalogue *catalogue, uint32_t item, struct fr_bytes said);
bool catalogue_put_user(struct catalogue *catalogue, uint32_t user, struct fr_bytes said);
bool catalogue_drop_item(struct catalogue *catalogue, uint32_t item); /* false: nothing was said of it */
/* Goes up when something is said that changes where an item may be listed, or by what models know it; not by a new title. */
uint64_t catalogue_turns(const struct catalogue *catalogue);
bool catalogue_drop_user(struct catalogue *catalogue, uint32_t user);

/* ---- thread: any, inside an epoch; of handles it has learned of ---- */

const struct catalogue_item *catalogue_item(const struct catalogue *catalogue, uint32_t item); /* NULL: nothing is said of it */
const struct catalogue_user *catalogue_user(const struct catalogue *catalogue, uint32_t user);
uint32_t catalogue_category(const struct catalogue *catalogue, struct fr_bytes name); /* DICT_NONE: no item ever was in it */
uint32_t catalogue_categories(const struct catalogue *catalogue);                     /* numbers are below this */
const struct rows *catalogue_members(const struct catalogue *catalogue);
/* Items that are hidden, owned or not always available: while there are none, no question needs to look at records for that. */
uint32_t catalogue_bound_items(const struct catalogue *catalogue);
uint32_t catalogue_items(const struct catalogue *catalogue); /* of which something is said */
size_t catalogue_bytes(const struct catalogue *catalogue);

#endif
