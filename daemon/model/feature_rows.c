/*
 * feature_rows.c -- keys to rows, and who may have one. The picture is in feature_rows.h.
 *
 * The index holds rows only, 4 bytes a place, at a load of 0.57 to 0.85; keys are compared where they lie, with the
 * rows. With vector, state and key that is 166 bytes a row at d = 32, and 168 while the old index is still there.
 */
#include "feature_rows.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "sampler.h"

enum { LEFT = -1, INDEX_MIN = 64, MOVED_AT_ONCE = 16, LOOKS_EXPIRED = 2, EVICTION_DRAWS = 8 };
enum { BUCKET = 8, BLOCK_CELLS = 512, COUNT_BITS = 4, COUNT_MAX = 15 };

struct feature_index {
    uint32_t size, filled; /* places; those that are not empty */
    _Atomic uint32_t place[];
};

/* ---- index ---- */

static uint32_t home(const struct feature_index *index, uint64_t key)
{
    return (uint32_t)((sampler_mix(key) >> 32) * index->size >> 32);
}

/* Room for `live` rows and for those that come while an index of `old` places is moved. */
static size_t index_size(const struct feature_index *index)
{
    return sizeof(*index) + index->size * sizeof(uint32_t);
}

static struct feature_index *index_new(struct features *features, uint32_t live, uint32_t old)
{
    uint64_t size = live + (uint64_t)live / 4 * 3, least = (live + (uint64_t)old / MOVED_AT_ONCE) * 20 / 17 + INDEX_MIN;

    size = size < least ? least : size;
    struct feature_index *index = fr_zalloc(1, sizeof(*index) + size * sizeof(uint32_t));
    index->size = (uint32_t)size;
    atomic_fetch_add_explicit(&features->index_bytes, index_size(index), memory_order_relaxed);
    return index;
}

static void index_put(struct feature_index *index, uint64_t key, uint32_t row)
{
    uint32_t at = home(index, key);

    while (atomic_load_explicit(&index->place[at], memory_order_relaxed))
        at = at + 1 < index->size ? at + 1 : 0;
    atomic_store_explicit(&index->place[at], row + 1, memory_order_release);
    index->filled++;
}

/* The place of the key's row, or UINT32_MAX. */
static uint32_t index_find(const struct features *features, const struct feature_index *index, uint64_t key)
{
    uint32_t at = home(index, key), row;

    for (uint32_t looked = 0; looked < index->size; looked++, at = at + 1 < index->size ? at + 1 : 0) {
        row = atomic_load_explicit(&index->place[at], memory_order_relaxed);
        if (!row)
            return UINT32_MAX;
        if (row != (uint32_t)LEFT && *embedding_key(&features->rows, row - 1) == key)
            return at;
    }
    return UINT32_MAX;
}

static void index_free(void *context, void *block, size_t size)
{
    struct features *features = context;

    atomic_fetch_sub_explicit(&features->index_bytes, size, memory_order_relaxed);
    free(block);
    features->retired--;
}

/* Moves some more places of the old index. */
static void index_move(struct features *features, uint32_t most)
{
    struct feature_index *old = atomic_load(&features->old), *now = atomic_load(&features->now);

    if (!old)
        return;
    for (; most && features->moved < old->size; most--, features->moved++) {
        uint32_t row = atomic_load_explicit(&old->place[features->moved], memory_order_relaxed);
        if (!row || row == (uint32_t)LEFT)
            continue;
        index_put(now, *embedding_key(&features->rows, row - 1), row - 1);
        atomic_store_explicit(&old->place[features->moved], (uint32_t)LEFT, memory_order_release);
    }
    if (features->moved < old->size)
        return;
    atomic_store(&features->old, NULL);
    features->retired++;
    fr_epoch_retire(features->rows.epoch, index_free, features, old, index_size(old));
}

/* Each that comes moves some places, so the old index has been moved before the new one is full (index_new). */
static void index_insert(struct features *features, uint64_t key, uint32_t row)
{
    struct feature_index *now = atomic_load(&features->now);

    index_move(features, MOVED_AT_ONCE);
    if ((now->filled + 1) > now->size / 20 * 17) {
        assert(!atomic_load(&features->old));
        atomic_store(&features->old, now); /* askers look at `now` first and last */
        features->moved = 0;
        atomic_store(&features->now, index_new(features, features->live + 1, now->size));
        now = atomic_load(&features->now);
    }
    index_put(now, key, row);
    features->live++;
}

static void index_remove(struct features *features, uint64_t key)
{
    struct feature_index *indices[] = {atomic_load(&features->now), atomic_load(&features->old)};

    for (int i = 0; i < 2; i++) {
        uint32_t at = indices[i] ? index_find(features, indices[i], key) : UINT32_MAX;
        if (at == UINT32_MAX)
            continue;
        atomic_store_explicit(&indices[i]->place[at], (uint32_t)LEFT, memory_order_release);
        features->live--;
        return;
    }
}

/* ---- life ---- */

void features_init(struct features *features, const struct features_options *options, size_t d, float g0,
                   enum journal_table table, struct fr_epoch *epoch)
{
    assert(options->admit >= 1 && options->admit <= COUNT_MAX);
    *features = (struct features){.options = *options, .g0 = g0};
    embedding_init(&features->rows, d, options->max, table, true, epoch);
    atomic_init(&features->now, index_new(features, 0, 0));
    if (options->admit > 1 && options->max) {
        size_t blocks = (2 * (size_t)options->max + BLOCK_CELLS - 1) / BLOCK_CELLS;
        features->buckets = (uint32_t)(blocks * BLOCK_CELLS / BUCKET);
        features->cells = fr_zalloc(blocks * BLOCK_CELLS, sizeof(*features->cells));
        debt_init(&features->debt, blocks);
        debt_extend(&features->debt, blocks);
    }
}

void features_release(struct features *features)
{
    embedding_release(&features->rows); /* reclaims */
    assert(features->retired == 0);
    free(atomic_load(&features->now));
    free(atomic_load(&features->old));
    if (features->cells)
        debt_release(&features->debt);
    free(features->cells);
}

size_t features_bytes(const struct features *features)
{
    return atomic_load_explicit(&features->rows.bytes, memory_order_relaxed) +
           atomic_load_explicit(&features->index_bytes, memory_order_relaxed) +
           features->buckets * (size_t)BUCKET * sizeof(*features->cells);
}

/* ---- admission ---- */

static void filter_put(struct features *features, uint32_t block, struct journal *journal)
{
    journal_put(journal, features->dense, features->filter_row, block, features->cells + (size_t)block * BLOCK_CELLS,
                BLOCK_CELLS * sizeof(*features->cells));
}

/* Counts a use of a key without a row; true at the admit-th. */
static bool filter_admits(struct features *features, uint64_t key)
{
    uint64_t hash = sampler_mix(~key);
    uint32_t bucket = (uint32_t)((hash >> 32) * features->buckets >> 32);
    uint16_t signature = (uint16_t)(hash & 0xFFF), *cells, *least;

    if (features->options.admit == 1)
        return true;
    cells = least = features->cells + (size_t)bucket * BUCKET;
    uint32_t block = bucket / (BLOCK_CELLS / BUCKET);
    if (debt_change(&features->debt, block))
        filter_put(features, block, features->debt.to);
    for (unsigned k = 0; k < BUCKET; k++) {
        unsigned count = cells[k] & COUNT_MAX;
        if (count && cells[k] >> COUNT_BITS == signature) {
            if (count + 1 < features->options.admit) {
                cells[k]++;
                return false;
            }
            cells[k] = 0;
            return true;
        }
        if (count < (*least & COUNT_MAX))
            least = &cells[k];
    }
    *least = (uint16_t)(signature << COUNT_BITS | 1);
    return false;
}

static void row_free(struct features *features, uint32_t row)
{
    embedding_change(&features->rows, row);
    index_remove(features, *embedding_key(&features->rows, row));
    *embedding_key(&features->rows, row) = 0;
    *embedding_state(&features->rows, row) = (struct row_state){.last = features->state.chain};
    memset(embedding_vector(&features->rows, row), 0, features->rows.d * sizeof(float));
    features->state.chain = row + 1;
}

static uint32_t hand_next(struct features *features)
{
    uint32_t row = features->state.hand < features->state.len ? features->state.hand : 0;

    features->state.hand = row + 1;
    return row;
}

static void sweep_expired(struct features *features)
{
    for (int look = 0; look < LOOKS_EXPIRED && features->options.ttl && features->state.len; look++) {
        uint32_t row = hand_next(features);
        const struct row_state *state = embedding_state(&features->rows, row);
        if (!*embedding_key(&features->rows, row) || features->state.newest <= features->options.ttl ||
            state->last >= features->state.newest - features->options.ttl)
            continue;
        row_free(features, row);
        features->state.expired++;
    }
}

/* All rows have keys. A few are drawn: neighbours in the table came together, and may all be in use. */
static void evict(struct features *features)
{
    uint32_t drawn[EVICTION_DRAWS], oldest = 0;

    sampler_uniform(features->state.evicted, features->state.len, drawn, EVICTION_DRAWS);
    for (uint32_t k = 1; k < EVICTION_DRAWS; k++) {
        const struct row_state *state = embedding_state(&features->rows, drawn[k]);
        const struct row_state *least = embedding_state(&features->rows, drawn[oldest]);
        if (state->last < least->last || (state->last == least->last && state->count < least->count))
            oldest = k;
    }
    row_free(features, drawn[oldest]);
    features->state.evicted++;
}

static uint32_t row_take(struct features *features)
{
    if (!features->state.chain && features->state.len == features->options.max)
        evict(features);
    if (features->state.chain) {
        uint32_t row = features->state.chain - 1;
        features->state.chain = embedding_state(&features->rows, row)->last;
        return row;
    }
    embedding_extend(&features->rows, features->state.len + 1);
    return features->state.len++;
}

static uint32_t find(const struct features *features, uint64_t key)
{
    const struct feature_index *indices[] = {atomic_load_explicit(&features->now, memory_order_relaxed),
                                             atomic_load_explicit(&features->old, memory_order_relaxed)};

    for (int i = 0; i < 2 && indices[i]; i++) {
        uint32_t at = index_find(features, indices[i], key);
        if (at != UINT32_MAX)
            return atomic_load_explicit(&indices[i]->place[at], memory_order_relaxed) - 1;
    }
    return FEATURE_NONE;
}

uint32_t features_find(const struct features *features, uint64_t key)
{
    return find(features, key);
}

void features_drop(struct features *features, uint64_t key)
{
    uint32_t row = find(features, key);

    if (row != FEATURE_NONE)
        row_free(features, row);
}

void features_clear(struct features *features)
{
    for (uint32_t row = features->state.len; row-- > 0;)
        if (*embedding_key(&features->rows, row))
            row_free(features, row);
}

uint32_t features_use(struct features *features, uint64_t key, uint32_t when)
{
    if (!features->options.max || !key)
        return FEATURE_NONE;
    features->state.newest = when > features->state.newest ? when : features->state.newest;
    uint32_t row = find(features, key);
    if (row == FEATURE_NONE) {
        if (!filter_admits(features, key)) {
            features->state.refused++;
            return FEATURE_NONE;
        }
        sweep_expired(features);
        row = row_take(features);
        embedding_change(&features->rows, row);
        *embedding_key(&features->rows, row) = key;
        *embedding_state(&features->rows, row) = (struct row_state){.scale = features->g0, .bias_scale = features->g0};
        index_insert(features, key, row);
        features->state.admitted++;
    }
    embedding_change(&features->rows, row);
    embedding_use(&features->rows, row, when, features->g0);
    return row;
}

/* ---- cells ---- */

void features_save(struct features *features, struct journal *journal, enum journal_table dense, uint32_t filter_row)
{
    features->dense = dense;
    features->filter_row = filter_row;
    embedding_save(&features->rows, journal);
    if (features->cells)
        debt_freeze(&features->debt, journal);
}

size_t features_pay(struct features *features, size_t cells)
{
    struct journal *journal = features->debt.to;

    cells = embedding_pay(&features->rows, cells);
    for (size_t block; cells && (block = debt_next(&features->debt)) != DEBT_NONE; cells--)
        filter_put(features, (uint32_t)block, journal);
    return cells;
}

bool features_load_filter(struct features *features, uint32_t block, struct fr_bytes cell)
{
    if (!features->cells || block >= features->buckets / (BLOCK_CELLS / BUCKET) || !cell.at ||
        cell.len != BLOCK_CELLS * sizeof(*features->cells))
        return false;
    memcpy(features->cells + (size_t)block * BLOCK_CELLS, cell.at, cell.len);
    return true;
}

/* Does the chain name each free row once? */
static bool chain_holds(const struct features *features, uint32_t free_rows)
{
    uint32_t chain = features->state.chain, len = 0;

    for (; chain && len <= free_rows; len++) {
        if (chain > features->state.len || *embedding_key(&features->rows, chain - 1))
            return false;
        chain = embedding_state(&features->rows, chain - 1)->last;
    }
    return len == free_rows;
}

void features_settle(struct features *features, const struct features_hand *hand)
{
    uint32_t free_rows = 0;

    features->state = *hand;
    features->state.len = hand->len < features->options.max ? hand->len : features->options.max;
    embedding_extend(&features->rows, features->state.len);
    for (uint32_t row = 0; row < features->state.len; row++)
        free_rows += !*embedding_key(&features->rows, row);
    features->live = features->state.len - free_rows;
    struct feature_index *before = atomic_load(&features->now);
    atomic_fetch_sub_explicit(&features->index_bytes, index_size(before), memory_order_relaxed);
    free(before);
    struct feature_index *index = index_new(features, features->live, 0);
    for (uint32_t row = 0; row < features->state.len; row++) {
        if (*embedding_key(&features->rows, row))
            index_put(index, *embedding_key(&features->rows, row), row);
    }
    atomic_store(&features->now, index);
    if (chain_holds(features, free_rows))
        return;
    features->state.chain = 0; /* cannot be what we saved; any chain of the same rows will do */
    for (uint32_t row = features->state.len; row-- > 0;) {
        if (*embedding_key(&features->rows, row))
            continue;
        embedding_change(&features->rows, row);
        embedding_state(&features->rows, row)->last = features->state.chain;
        features->state.chain = row + 1;
    }
}

/* ---- askers ---- */

static uint32_t index_shown(const struct feature_index *index, const struct shown *shown, uint64_t key)
{
    uint32_t at = home(index, key);

    for (uint32_t looked = 0; looked < index->size; looked++, at = at + 1 < index->size ? at + 1 : 0) {
        uint32_t row = atomic_load_explicit(&index->place[at], memory_order_acquire);
        if (!row)
            return FEATURE_NONE;
        row--;
        if (row < shown->rows && shown->chunks[row / SHOWN_ROWS]->keys[row % SHOWN_ROWS] == key)
            return row;
    }
    return FEATURE_NONE;
}

uint32_t features_shown(const struct features *features, const struct shown *shown, uint64_t key)
{
    const struct feature_index *now, *old;
    uint32_t row = FEATURE_NONE;

    do {
        now = atomic_load(&features->now);
        old = atomic_load(&features->old);
        if (old)
            row = index_shown(old, shown, key);
        if (row == FEATURE_NONE)
            row = index_shown(now, shown, key);
    } while (row == FEATURE_NONE && now != atomic_load(&features->now));
    return row;
}
