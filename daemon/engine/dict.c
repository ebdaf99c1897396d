/*
 * dict.c -- the two directions of a dictionary.
 *
 *     hash (64 bits)   [ shard: top 10 | .......... | low 32: kept in the slot, and scaled to the table's size ]
 *     shard            table*  -->  { size, slot, slot, ... }     slot = low hash << 32 | handle, all ones = empty
 *     offsets          by handle: where the id begins, in units of 4 bytes (16 GiB of ids)
 *     units            [len u16][bytes ... padded to 4]
 *
 * A table is at most 3/4 full and grows by a third, so a slot costs 11 to 14 bytes per id; the index is
 * (low hash * size) >> 32, which works for any size. Probing is linear. An id that is removed leaves its slot marked, until
 * the shard's next table, and its handle without an id for good.
 *
 * Why reading needs no lock: the id and its offset are complete before the slot that names the handle is stored
 * (release), and a reader loads the slot with acquire. A reader in an old table misses at most what was added after
 * the new one was published, which is the same as having come a moment earlier. The old table is freed by the epoch.
 * Removing sets the id's length to 0 at once, and wipes its bytes when nobody who read the length before can still be reading them.
 */
#define XXH_INLINE_ALL
#include "dict.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "freshet/alloc.h"

enum { SHARD_BITS = 10, SHARDS = 1 << SHARD_BITS, TABLE_FIRST = 4, UNIT = 4, LEN_BYTES = 2, UNITS_MOST = (LEN_BYTES + FR_ID_BYTES_MAX + UNIT - 1) / UNIT };
#define SLOT_EMPTY UINT64_MAX
#define SLOT_GONE (UINT64_MAX - 1) /* no handle is that large: ids_max is below DICT_NONE */

struct table {
    uint64_t size;
    _Atomic uint64_t slots[];
};

struct dict {
    /* any thread; the cache lines readers need change only when a table or an array grows */
    struct fr_array offsets; /* uint32_t by handle */
    struct fr_array units;
    struct table *_Atomic shards[SHARDS]; /* NULL until the first id */

    /* any thread, changed at every id */
    _Atomic uint32_t len, gone;
    _Atomic size_t bytes, units_told; /* units_told: units_len */

    /* the writer's */
    struct fr_epoch *epoch;
    size_t tables_bytes, units_len, units_max;
    uint32_t ids_max;
    uint32_t shard_len[SHARDS];
};

static size_t table_bytes(uint64_t size)
{
    return sizeof(struct table) + size * sizeof(uint64_t);
}

static struct table *table_new(uint64_t size)
{
    struct table *table = fr_alloc(table_bytes(size));

    table->size = size;
    for (uint64_t i = 0; i < size; i++)
        atomic_init(&table->slots[i], SLOT_EMPTY);
    return table;
}

static void table_free(void *context, void *block, size_t size)
{
    (void)context;
    (void)size;
    free(block);
}

static uint64_t slot_first(const struct table *table, uint32_t low)
{
    return low * table->size >> 32;
}

/* Stores `slot` in the first empty place. The table is never full. */
static void table_put(struct table *table, uint64_t slot)
{
    uint64_t at = slot_first(table, (uint32_t)(slot >> 32));

    while (atomic_load_explicit(&table->slots[at], memory_order_relaxed) != SLOT_EMPTY)
        at = at + 1 == table->size ? 0 : at + 1;
    atomic_store_explicit(&table->slots[at], slot, memory_order_release);
}

struct dict *dict_new(uint32_t ids_max, struct fr_epoch *epoch)
{
    struct dict *dict = fr_zalloc(1, sizeof *dict);
    uint64_t units_max = (uint64_t)ids_max * UNITS_MOST;

    assert(ids_max > 0 && ids_max < DICT_NONE);
    dict->ids_max = ids_max;
    dict->epoch = epoch;
    dict->units_max = units_max < UINT32_MAX ? units_max : UINT32_MAX;
    fr_array_init(&dict->offsets, sizeof(uint32_t), ids_max);
    fr_array_init(&dict->units, UNIT, dict->units_max);
    atomic_init(&dict->bytes, sizeof *dict);
    return dict;
}

void dict_free(struct dict *dict)
{
    if (!dict)
        return;
    for (size_t i = 0; i < SHARDS; i++)
        free(atomic_load(&dict->shards[i]));
    fr_array_release(&dict->offsets);
    fr_array_release(&dict->units);
    free(dict);
}

uint64_t dict_hash(struct fr_bytes id)
{
    return XXH3_64bits(id.at, id.len);
}

static size_t shard_of(uint64_t hash)
{
    return hash >> (64 - SHARD_BITS);
}

void dict_prefetch(const struct dict *dict, uint64_t hash)
{
    const struct table *table = atomic_load_explicit(&dict->shards[shard_of(hash)], memory_order_acquire);

    if (table)
        __builtin_prefetch((const void *)&table->slots[slot_first(table, (uint32_t)hash)]);
}

struct fr_bytes dict_id(const struct dict *dict, uint32_t handle)
{
    const uint32_t *offset = fr_array_at(&dict->offsets, handle);
    const char *at = fr_array_at(&dict->units, *offset);

    return (struct fr_bytes){at + LEN_BYTES, atomic_load_explicit((const _Atomic uint16_t *)at, memory_order_relaxed)};
}

uint32_t dict_find(const struct dict *dict, struct fr_bytes id, uint64_t hash)
{
    /* Sequentially consistent: the second half of the argument in epoch.h. */
    const struct table *table = atomic_load_explicit(&dict->shards[shard_of(hash)], memory_order_seq_cst);
    uint64_t slot;

    if (!table)
        return DICT_NONE;
    for (uint64_t at = slot_first(table, (uint32_t)hash);; at = at + 1 == table->size ? 0 : at + 1) {
        slot = atomic_load_explicit(&table->slots[at], memory_order_acquire);
        if (slot == SLOT_EMPTY)
            return DICT_NONE;
        if (slot >> 32 == (uint32_t)hash && slot != SLOT_GONE && fr_bytes_equal(dict_id(dict, (uint32_t)slot), id))
            return (uint32_t)slot;
    }
}

/* Makes room for one more slot in the shard. */
static struct table *shard_grow(struct dict *dict, size_t shard)
{
    struct table *old = atomic_load_explicit(&dict->shards[shard], memory_order_relaxed);
    uint64_t size = old ? old->size : 0;
    struct table *table;

    if ((dict->shard_len[shard] + 1) * 4ULL <= size * 3)
        return old;
    table = table_new(old ? size + size / 3 : TABLE_FIRST);
    dict->shard_len[shard] = 0;
    for (uint64_t i = 0; i < size; i++) {
        uint64_t slot = atomic_load_explicit(&old->slots[i], memory_order_relaxed);

        if (slot == SLOT_EMPTY || slot == SLOT_GONE)
            continue;
        table_put(table, slot);
        dict->shard_len[shard]++;
    }
    atomic_store_explicit(&dict->shards[shard], table, memory_order_seq_cst);
    dict->tables_bytes += table_bytes(table->size);
    if (old) {
        dict->tables_bytes -= table_bytes(size);
        fr_epoch_retire(dict->epoch, table_free, NULL, old, table_bytes(size));
    }
    return table;
}

/* The next handle, with this id; DICT_NONE if full. */
static uint32_t put_id(struct dict *dict, struct fr_bytes id)
{
    uint32_t handle = atomic_load_explicit(&dict->len, memory_order_relaxed);
    size_t units = (LEN_BYTES + id.len + UNIT - 1) / UNIT;
    uint16_t len = (uint16_t)id.len;
    char *at;

    assert(id.len <= FR_ID_BYTES_MAX);
    if (handle >= dict->ids_max || units > dict->units_max - dict->units_len)
        return DICT_NONE;
    fr_array_grow(&dict->offsets, handle + 1);
    fr_array_grow(&dict->units, dict->units_len + units);
    at = fr_array_at(&dict->units, dict->units_len);
    memcpy(at, &len, LEN_BYTES);
    memcpy(at + LEN_BYTES, id.at, id.len);
    *(uint32_t *)fr_array_at(&dict->offsets, handle) = (uint32_t)dict->units_len;
    dict->units_len += units;
    return handle;
}

static void tell_len(struct dict *dict, uint32_t len)
{
    /* Of the arrays what is used: pages past it are reserved, but nobody has touched them. */
    atomic_store_explicit(&dict->bytes, sizeof *dict + dict->tables_bytes + len * sizeof(uint32_t) + dict->units_len * UNIT,
                          memory_order_relaxed);
    atomic_store_explicit(&dict->units_told, dict->units_len, memory_order_relaxed);
    atomic_store_explicit(&dict->len, len, memory_order_release);
}

uint32_t dict_add(struct dict *dict, struct fr_bytes id, uint64_t hash)
{
    uint32_t handle = put_id(dict, id);
    size_t shard = shard_of(hash);

    if (handle == DICT_NONE)
        return DICT_NONE;
    table_put(shard_grow(dict, shard), (hash & UINT32_MAX) << 32 | handle);
    dict->shard_len[shard]++;
    tell_len(dict, handle + 1);
    return handle;
}

/* After the handle is told of: whoever asks for this number first finds it in the other. */
static void tell_gone(struct dict *dict)
{
    uint32_t gone = atomic_load_explicit(&dict->gone, memory_order_relaxed);

    atomic_store_explicit(&dict->gone, gone + 1, memory_order_release);
}

uint32_t dict_add_gone(struct dict *dict)
{
    uint32_t handle = put_id(dict, (struct fr_bytes){"", 0});

    if (handle == DICT_NONE)
        return DICT_NONE;
    tell_len(dict, handle + 1);
    tell_gone(dict);
    return handle;
}

static void wipe(void *context, void *block, size_t size)
{
    (void)context;
    memset(block, 0, size);
}

void dict_remove(struct dict *dict, uint32_t handle)
{
    struct fr_bytes id = dict_id(dict, handle);
    uint64_t hash = dict_hash(id);
    struct table *table = atomic_load_explicit(&dict->shards[shard_of(hash)], memory_order_relaxed);
    uint64_t wanted = (hash & UINT32_MAX) << 32 | handle, at = slot_first(table, (uint32_t)hash);

    while (atomic_load_explicit(&table->slots[at], memory_order_relaxed) != wanted)
        at = at + 1 == table->size ? 0 : at + 1;
    atomic_store_explicit(&table->slots[at], SLOT_GONE, memory_order_seq_cst);
    atomic_store_explicit((_Atomic uint16_t *)(uintptr_t)(id.at - LEN_BYTES), 0, memory_order_relaxed);
    fr_epoch_retire(dict->epoch, wipe, NULL, (void *)(uintptr_t)id.at, id.len);
    tell_gone(dict);
}

uint32_t dict_len(const struct dict *dict)
{
    return atomic_load_explicit(&dict->len, memory_order_acquire);
}

bool dict_has_room(const struct dict *dict, uint32_t more)
{
    uint64_t len = dict_len(dict);
    size_t units = atomic_load_explicit(&dict->units_told, memory_order_relaxed);

    return len + more <= dict->ids_max && (size_t)more * UNITS_MOST <= dict->units_max - units;
}

uint32_t dict_known(const struct dict *dict)
{
    uint32_t gone = atomic_load_explicit(&dict->gone, memory_order_acquire);

    return dict_len(dict) - gone;
}

size_t dict_bytes(const struct dict *dict)
{
    return atomic_load_explicit(&dict->bytes, memory_order_relaxed);
}
