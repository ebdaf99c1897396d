/*
 * catalogue.c -- records in blocks, shown by pointer; categories and who is in them.
 *
 *     block   struct | features u64 ... | categories u32 ... | bytes as they were said
 *
 * Thread: the engine's changes, any reads.
 */
#include "catalogue.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "freshet/alloc.h"

#define NO_ROOM "what is said of items and users takes all of limits.catalogue_mb"

struct catalogue {
    struct catalogue_options options;
    struct fr_epoch *epoch;
    struct fr_array items; /* struct catalogue_item *_Atomic */
    struct fr_array users; /* struct catalogue_user *_Atomic */
    struct dict *names;
    struct rows *members;
    uint64_t turns; /* the engine's */
    /* the engine writes, any thread reads */
    _Atomic uint32_t items_len, users_len; /* of the arrays: what is beyond has never been spoken of */
    _Atomic uint32_t known, bound;
    _Atomic size_t records_bytes;
};

typedef struct catalogue_item *_Atomic item_slot;
typedef struct catalogue_user *_Atomic user_slot;

struct catalogue *catalogue_new(const struct catalogue_options *options, struct fr_epoch *epoch)
{
    struct catalogue *catalogue = fr_zalloc(1, sizeof(*catalogue));

    catalogue->options = *options;
    catalogue->epoch = epoch;
    fr_array_init(&catalogue->items, sizeof(item_slot), options->items_max);
    fr_array_init(&catalogue->users, sizeof(user_slot), options->users_max);
    catalogue->names = dict_new(options->categories_max, epoch);
    catalogue->members = rows_new(options->categories_max, epoch);
    return catalogue;
}

static item_slot *item_slot_of(const struct catalogue *catalogue, uint32_t item)
{
    return fr_array_at(&catalogue->items, item);
}

static user_slot *user_slot_of(const struct catalogue *catalogue, uint32_t user)
{
    return fr_array_at(&catalogue->users, user);
}

void catalogue_free(struct catalogue *catalogue)
{
    if (!catalogue)
        return;
    for (uint32_t item = 0; item < catalogue->items_len; item++)
        free(atomic_load_explicit(item_slot_of(catalogue, item), memory_order_relaxed));
    for (uint32_t user = 0; user < catalogue->users_len; user++)
        free(atomic_load_explicit(user_slot_of(catalogue, user), memory_order_relaxed));
    fr_array_release(&catalogue->items);
    fr_array_release(&catalogue->users);
    rows_free(catalogue->members);
    dict_free(catalogue->names);
    free(catalogue);
}

/* Room up to `handle`, before anybody may look there. */
static void grow(struct fr_array *array, _Atomic uint32_t *len, uint32_t handle)
{
    if (handle < atomic_load_explicit(len, memory_order_relaxed))
        return;
    fr_array_grow(array, handle + (size_t)1);
    atomic_store_explicit(len, handle + 1, memory_order_release);
}

/* ---- blocks ---- */

static void block_free(void *context, void *block, size_t size)
{
    (void)context;
    (void)size;
    free(block);
}

static void count_bytes(struct catalogue *catalogue, size_t more, size_t less)
{
    size_t bytes = atomic_load_explicit(&catalogue->records_bytes, memory_order_relaxed);

    atomic_store_explicit(&catalogue->records_bytes, bytes + more - less, memory_order_relaxed);
}

static bool has_room(const struct catalogue *catalogue, size_t more, size_t less)
{
    size_t bytes = atomic_load_explicit(&catalogue->records_bytes, memory_order_relaxed);

    return !catalogue->options.bytes_max || more <= less || bytes - less + more <= catalogue->options.bytes_max;
}

static char *append(char **at, const void *bytes, size_t len)
{
    char *kept = *at;

    if (len)
        memcpy(kept, bytes, len);
    *at += len;
    return kept;
}

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* As if no two features had one key. */
static size_t item_size(const struct item_said *item, struct fr_bytes said)
{
    return sizeof(struct catalogue_item) + item->features.len * sizeof(uint64_t) +
           item->categories_len * (sizeof(uint64_t) + sizeof(uint32_t)) + said.len;
}

static size_t user_size(const struct features_said *features, struct fr_bytes said)
{
    return sizeof(struct catalogue_user) + features->len * sizeof(uint64_t) + said.len;
}

static struct catalogue_item *item_block(const struct item_said *item, const uint32_t *categories, struct fr_bytes said)
{
    uint64_t keys[FEATURES_MAX + CATEGORIES_MAX];
    size_t keys_len = catalogue_keys(&item->features, keys), size = item_size(item, said);
    struct catalogue_item *block = fr_alloc(size);
    char *at = (char *)(block + 1);

    for (uint32_t i = 0; i < item->categories_len; i++)
        keys[keys_len++] = fr_category_key(item->categories[i]);
    *block = (struct catalogue_item){.size = (uint32_t)size,
                                     .hidden = item->hidden,
                                     .from = item->from,
                                     .until = item->until,
                                     .features_len = (uint32_t)keys_len,
                                     .categories_len = item->categories_len};
    block->features = (const uint64_t *)(const void *)append(&at, keys, keys_len * sizeof(*keys));
    block->categories = (const uint32_t *)(const void *)append(&at, categories, item->categories_len * sizeof(*categories));
    block->said = (struct fr_bytes){append(&at, said.at, said.len), said.len};
    if (item->owner.len) /* a run of `said` */
        block->owner = (struct fr_bytes){block->said.at + (item->owner.at - said.at), item->owner.len};
    return block;
}

static struct catalogue_user *user_block(const struct features_said *features, struct fr_bytes said)
{
    uint64_t keys[FEATURES_MAX];
    size_t keys_len = catalogue_keys(features, keys), size = user_size(features, said);
    struct catalogue_user *block = fr_alloc(size);
    char *at = (char *)(block + 1);

    *block = (struct catalogue_user){.size = (uint32_t)size, .features_len = (uint32_t)keys_len};
    block->features = (const uint64_t *)(const void *)append(&at, keys, keys_len * sizeof(*keys));
    block->said = (struct fr_bytes){append(&at, said.at, said.len), said.len};
    return block;
}

/* ---- items ---- */

static bool is_bound(const struct catalogue_item *record)
{
    return record && (record->hidden || record->from || record->until || record->owner.len);
}

/* Would a question list the item where it did, by what is said? */
static bool is_listed_alike(const struct catalogue_item *one, const struct catalogue_item *other)
{
    return one && other && one->hidden == other->hidden && one->from == other->from && one->until == other->until &&
           fr_bytes_equal(one->owner, other->owner) && one->features_len == other->features_len &&
           one->categories_len == other->categories_len &&
           memcmp(one->features, other->features, one->features_len * sizeof(*one->features)) == 0 &&
           memcmp(one->categories, other->categories, one->categories_len * sizeof(*one->categories)) == 0;
}

/* The new one's memberships before it is shown, the old one's until it is gone: who goes by members finds every item that has the
 * category, and asks its record. */
static void show_item(struct catalogue *catalogue, uint32_t item, struct catalogue_item *record)
{
    grow(&catalogue->items, &catalogue->items_len, item);
    item_slot *slot = item_slot_of(catalogue, item);
    struct catalogue_item *before = atomic_load_explicit(slot, memory_order_relaxed);
    catalogue->turns += !is_listed_alike(before, record);
    uint32_t known = atomic_load_explicit(&catalogue->known, memory_order_relaxed);
    uint32_t bound = atomic_load_explicit(&catalogue->bound, memory_order_relaxed);

    for (uint32_t i = 0; record && i < record->categories_len; i++)
        if (!rows_get(catalogue->members, record->categories[i], item))
            rows_add(catalogue->members, record->categories[i], item, 1);
    if (is_bound(record) && !is_bound(before)) /* before it is shown: nobody may think that there is none */
        atomic_store_explicit(&catalogue->bound, bound + 1, memory_order_release);
    atomic_store_explicit(slot, record, memory_order_seq_cst);
    if (!is_bound(record) && is_bound(before))
        atomic_store_explicit(&catalogue->bound, bound - 1, memory_order_release);
    for (uint32_t i = 0; before && i < before->categories_len; i++)
        if (!record || !record->categories_len ||
            !bsearch(&before->categories[i], record->categories, record->categories_len, sizeof(uint32_t), ascending))
            rows_add(catalogue->members, before->categories[i], item, -1);
    atomic_store_explicit(&catalogue->known, known + (record != NULL) - (before != NULL), memory_order_relaxed);
    count_bytes(catalogue, record ? record->size : 0, before ? before->size : 0);
    if (before)
        fr_epoch_retire(catalogue->epoch, block_free, NULL, before, before->size);
}

/* The category's number, made at its first use. DICT_NONE: there are too many. */
static uint32_t number_of(struct catalogue *catalogue, struct fr_bytes name)
{
    uint64_t hash = dict_hash(name);
    uint32_t number = dict_find(catalogue->names, name, hash);

    if (number != DICT_NONE || dict_len(catalogue->names) == catalogue->options.categories_max)
        return number;
    rows_extend(catalogue->members, dict_len(catalogue->names) + (size_t)1);
    return dict_add(catalogue->names, name, hash);
}

bool catalogue_put_item(struct catalogue *catalogue, uint32_t item, struct fr_bytes said)
{
    struct item_said words;
    uint32_t categories[CATEGORIES_MAX], len = 0;

    if (!catalogue_item_read(said, &words))
        return false;
    for (uint32_t i = 0; i < words.categories_len; i++)
        if ((categories[len] = number_of(catalogue, words.categories[i])) != DICT_NONE)
            len++; /* always, unless a start has set a lower bound */
    words.categories_len = len;
    qsort(categories, len, sizeof(*categories), ascending);
    show_item(catalogue, item, item_block(&words, categories, said));
    return true;
}

const char *catalogue_item_bound(const struct catalogue *catalogue, uint32_t item, struct fr_bytes said)
{
    const struct catalogue_item *before = catalogue_item(catalogue, item);
    struct item_said words;
    uint32_t names = 0;

    if (!catalogue_item_read(said, &words))
        return NULL;
    for (uint32_t i = 0; i < words.categories_len; i++)
        names += catalogue_category(catalogue, words.categories[i]) == DICT_NONE;
    if (names > catalogue->options.categories_max - dict_len(catalogue->names))
        return "categories has a new name and limits.categories_max names are known";
    return has_room(catalogue, item_size(&words, said), before ? before->size : 0) ? NULL : NO_ROOM;
}

bool catalogue_drop_item(struct catalogue *catalogue, uint32_t item)
{
    if (!catalogue_item(catalogue, item))
        return false;
    show_item(catalogue, item, NULL);
    return true;
}

uint64_t catalogue_turns(const struct catalogue *catalogue)
{
    return catalogue->turns;
}

/* ---- users ---- */

static void show_user(struct catalogue *catalogue, uint32_t user, struct catalogue_user *record)
{
    grow(&catalogue->users, &catalogue->users_len, user);
    user_slot *slot = user_slot_of(catalogue, user);
    struct catalogue_user *before = atomic_load_explicit(slot, memory_order_relaxed);

    atomic_store_explicit(slot, record, memory_order_seq_cst);
    count_bytes(catalogue, record ? record->size : 0, before ? before->size : 0);
    if (before)
        fr_epoch_retire(catalogue->epoch, block_free, NULL, before, before->size);
}

bool catalogue_put_user(struct catalogue *catalogue, uint32_t user, struct fr_bytes said)
{
    struct features_said words;

    if (!catalogue_user_read(said, &words))
        return false;
    show_user(catalogue, user, user_block(&words, said));
    return true;
}

const char *catalogue_user_bound(const struct catalogue *catalogue, uint32_t user, struct fr_bytes said)
{
    const struct catalogue_user *before = catalogue_user(catalogue, user);
    struct features_said words;

    if (!catalogue_user_read(said, &words))
        return NULL;
    return has_room(catalogue, user_size(&words, said), before ? before->size : 0) ? NULL : NO_ROOM;
}

bool catalogue_drop_user(struct catalogue *catalogue, uint32_t user)
{
    if (!catalogue_user(catalogue, user))
        return false;
    show_user(catalogue, user, NULL);
    return true;
}

/* ---- readers ---- */

const struct catalogue_item *catalogue_item(const struct catalogue *catalogue, uint32_t item)
{
    if (item >= atomic_load_explicit(&catalogue->items_len, memory_order_acquire))
        return NULL;
    return atomic_load_explicit(item_slot_of(catalogue, item), memory_order_seq_cst);
}

const struct catalogue_user *catalogue_user(const struct catalogue *catalogue, uint32_t user)
{
    if (user >= atomic_load_explicit(&catalogue->users_len, memory_order_acquire))
        return NULL;
    return atomic_load_explicit(user_slot_of(catalogue, user), memory_order_seq_cst);
}

uint32_t catalogue_category(const struct catalogue *catalogue, struct fr_bytes name)
{
    return dict_find(catalogue->names, name, dict_hash(name));
}

uint32_t catalogue_categories(const struct catalogue *catalogue)
{
    return dict_len(catalogue->names);
}

const struct rows *catalogue_members(const struct catalogue *catalogue)
{
    return catalogue->members;
}

uint32_t catalogue_bound_items(const struct catalogue *catalogue)
{
    return atomic_load_explicit(&catalogue->bound, memory_order_acquire);
}

uint32_t catalogue_items(const struct catalogue *catalogue)
{
    return atomic_load_explicit(&catalogue->known, memory_order_relaxed);
}

size_t catalogue_bytes(const struct catalogue *catalogue)
{
    return atomic_load_explicit(&catalogue->records_bytes, memory_order_relaxed) + fr_array_bytes(&catalogue->items) +
           fr_array_bytes(&catalogue->users) + dict_bytes(catalogue->names) + rows_bytes(catalogue->members);
}
