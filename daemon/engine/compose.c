/*
 * compose.c -- journal --> batch.
 *
 *     m/clock, o..., | table 1: segment, segment ... | table 2 ... | x...        keys ascending: five times faster
 *
 * Per segment the delta is encoded first; its length then says whether the segment is due for folding, and if it is,
 * and this checkpoint may still read so much, the same changes go into a new base instead. When it may not, the next
 * checkpoint begins its folding where this one stopped, so that every segment has its turn.
 *
 * A journal expands eightfold (a star's 4 bytes per other are two changes of 16), so a table is taken in slices of rows
 * of about SLICE changes; a usual checkpoint has one or two, one after an hour without a disk has many.
 */
#include "compose.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "changes.h"
#include "freshet/alloc.h"
#include "freshet/crash.h"
#include "freshet/defect.h"
#include "freshet/format.h"
#include "freshet/log.h"
#include "freshet/segment.h"
#include "pile.h"
#include "weights.h"

enum { SLICE = 1 << 20, BUCKETS = 4096, FOLD_LEAST = 8 << 20, FOLD_MOST = 64 << 20 };

struct plain_key {
    struct fr_bytes key, value;
    bool deleted;
    size_t rank;
};

/* The chunks of a new base, held until the last is sure: a batch cannot take back what was put. */
struct chunks {
    char *bytes;
    size_t len, cap;
    size_t *ends, ends_cap;
    uint32_t count;
};

struct composer {
    struct store *store;
    bool begun;
    uint64_t number; /* of the newest journal taken */
    struct weights weights;
    struct changes changes;
    struct pile pile;
    struct segment_writer delta, base;
    struct chunks chunks;
    struct plain_key *keys;
    size_t keys_len, keys_cap;
    size_t fold_left;                 /* bytes this checkpoint may still read */
    uint64_t fold_from, fold_stopped; /* table << 32 | segment; stopped 0: nothing had to wait */
    struct composer_figures figures;
};

struct composer *composer_new(struct store *store)
{
    struct composer *composer = fr_zalloc(1, sizeof(*composer));

    composer->store = store;
    segment_writer_init(&composer->delta);
    segment_writer_init(&composer->base);
    return composer;
}

void composer_free(struct composer *composer)
{
    if (!composer)
        return;
    weights_release(&composer->weights);
    changes_release(&composer->changes);
    pile_release(&composer->pile);
    segment_writer_release(&composer->delta);
    segment_writer_release(&composer->base);
    free(composer->chunks.bytes);
    free(composer->chunks.ends);
    free(composer->keys);
    free(composer);
}

const struct composer_figures *composer_figures(const struct composer *composer)
{
    return &composer->figures;
}

uint64_t composer_number(const struct composer *composer)
{
    return composer->number;
}

/* ---- folding ---- */

static void end_chunk(struct composer *composer)
{
    struct chunks *chunks = &composer->chunks;
    struct fr_bytes value = segment_end(&composer->base);

    if (!value.len)
        return;
    fr_reserve((void **)&chunks->bytes, &chunks->cap, chunks->len + value.len, 1);
    fr_reserve((void **)&chunks->ends, &chunks->ends_cap, chunks->count + 1, sizeof(*chunks->ends));
    memcpy(chunks->bytes + chunks->len, value.at, value.len);
    chunks->len += value.len;
    chunks->ends[chunks->count++] = chunks->len;
}

static bool to_base(void *context, uint32_t row, const uint32_t *columns, const int64_t *sums,
                    const struct fr_bytes *cells, size_t len)
{
    struct composer *composer = context;
    struct segment_writer *base = &composer->base;

    segment_row(base, row, false);
    for (size_t i = 0; i < len; i++) {
        if (segment_length(base) >= SEGMENT_CHUNK_BYTES) {
            end_chunk(composer);
            segment_begin(base, composer->pile.table, composer->pile.segment);
            segment_row(base, row, false);
        }
        if (sums)
            segment_sum(base, columns[i], sums[i]);
        else
            segment_cell(base, columns[i], cells[i]);
    }
    return true;
}

/* The new base, then away with what it replaces: chunks beyond its last, and all deltas. Keys ascend: the pile's do. */
static void put_base(struct composer *composer, struct store_batch *batch)
{
    const struct store_ops *ops = composer->store->ops;
    const struct chunks *chunks = &composer->chunks;
    const struct pile *pile = &composer->pile;
    struct segment_key key = {.table = pile->table, .segment = pile->segment};
    char room[SEGMENT_KEY_MAX];
    size_t begin = 0;

    for (; key.number < chunks->count; key.number++) {
        size_t end = chunks->ends[key.number];
        ops->batch_put(batch, segment_key_write(room, &key), (struct fr_bytes){chunks->bytes + begin, end - begin});
        begin = end;
    }
    for (size_t i = 0; i < pile->len; i++)
        if (pile->values[i].key.delta || pile->values[i].key.number >= chunks->count)
            ops->batch_delete(batch, segment_key_write(room, &pile->values[i].key));
}

static void cannot_fold(struct composer *composer, enum journal_table table, uint32_t segment, const struct fr_err *err)
{
    fr_log(FR_ERROR, "checkpoint", "fold.failed",
           FR_FIELDS(FR_TEXT("table", table_name(table)), FR_INT("segment", segment), FR_TEXT("error", err->text)),
           "a segment of the store cannot be read; it is kept as it is, and new changes are written beside it");
    weights_set(&composer->weights, table, segment, WEIGHT_UNFOLDABLE, 0);
}

/* composer->pile and the changes from `walk` on become the base. False: they cannot be read, and nothing was put. */
static bool fold(struct composer *composer, struct changes_walk walk, struct store_batch *batch)
{
    struct pile *pile = &composer->pile;
    struct chunks *chunks = &composer->chunks;
    struct fr_err err;

    fr_crash_point("fold.begun");
    chunks->len = 0;
    chunks->count = 0;
    segment_begin(&composer->base, pile->table, pile->segment);
    if (pile_merge(pile, &composer->changes, walk, to_base, composer, &err)) {
        cannot_fold(composer, pile->table, pile->segment, &err);
        return false;
    }
    end_chunk(composer);
    fr_crash_point("fold.merged");
    put_base(composer, batch);
    fr_crash_point("fold.put");
    if (chunks->len)
        weights_set(&composer->weights, pile->table, pile->segment, chunks->len, 0);
    else
        weights_forget(&composer->weights, pile->table, pile->segment);
    composer->figures.folds++;
    composer->figures.fold_bytes_read += pile->bytes_len;
    composer->figures.fold_bytes_written += chunks->len;
    return true;
}

/* May this checkpoint read the segment? If not, the next begins with it. */
static bool has_turn(struct composer *composer, enum journal_table table, uint32_t segment)
{
    uint64_t name = (uint64_t)table << 32 | segment;

    if (composer->fold_left && name >= composer->fold_from)
        return true;
    if (!composer->fold_left && !composer->fold_stopped)
        composer->fold_stopped = name;
    return false;
}

/* The segment's values into composer->pile, and its weight. NULL: it cannot be read. */
static struct weight *measure(struct composer *composer, enum journal_table table, uint32_t segment)
{
    struct pile *pile = &composer->pile;
    struct fr_err err;

    if (pile_read(pile, composer->store, table, segment, &err)) {
        cannot_fold(composer, table, segment, &err);
        return NULL;
    }
    composer->fold_left -= composer->fold_left < pile->bytes_len ? composer->fold_left : pile->bytes_len;
    return weights_set(&composer->weights, table, segment, pile->base_bytes,
                       pile->delta_bytes + (pile->len - pile->chunks) * WEIGHT_OF_A_DELTA);
}

/* True if the segment was folded, its changes with it; false if they are to be written as a delta. */
static bool fold_if_due(struct composer *composer, enum journal_table table, uint32_t segment, size_t delta_len,
                        bool replaced, struct changes_walk walk, struct store_batch *batch)
{
    struct weight *weight = weights_find(&composer->weights, table, segment);
    uint64_t more = delta_len + WEIGHT_OF_A_DELTA;
    bool read = !weight;

    if (read && (replaced || has_turn(composer, table, segment)))
        weight = measure(composer, table, segment);
    if (!weight)
        return false;
    bool nothing = !weight->base && !weight->deltas;
    bool due = nothing ||
               (weight->base != WEIGHT_UNFOLDABLE && (replaced || weight_is_due(weight->base, weight->deltas + more)));
    if (nothing) {
        pile_begin(&composer->pile, table, segment);
    } else if (due && !read) {
        due = replaced || has_turn(composer, table, segment);
        if (due && !measure(composer, table, segment))
            return false;
    }
    if (due && fold(composer, walk, batch))
        return true;
    weights_find(&composer->weights, table, segment)->deltas += more;
    return false;
}

/* ---- segments ---- */

static void encode_row(struct segment_writer *delta, const struct changes *changes, const struct changes_row *row)
{
    segment_row(delta, row->row, row->cleared);
    for (size_t i = 0; i < row->len; i++) {
        const struct change *change = &row->at[i];
        if (changes->sums)
            segment_sum(delta, change_column(change), (int64_t)change->what);
        else if (change->what == CHANGE_DELETED)
            segment_deleted(delta, change_column(change));
        else
            segment_cell(delta, change_column(change), changes->blobs[change->what]);
    }
}

/* The settled changes, segment by segment. */
static void put_segments(struct composer *composer, enum journal_table table, struct store_batch *batch)
{
    struct changes *changes = &composer->changes;
    struct changes_walk walk = {0, 0};
    struct changes_row row;
    uint32_t rows = segment_rows(table);
    char room[SEGMENT_KEY_MAX];
    bool any = changes_next_row(changes, &walk, &row);

    while (any) {
        struct changes_walk from = {(size_t)(row.at - changes->at), walk.clear - row.cleared};
        uint32_t segment = row.row / rows;
        bool replaced = rows == 1 && row.cleared;
        segment_begin(&composer->delta, table, segment);
        do {
            encode_row(&composer->delta, changes, &row);
            any = changes_next_row(changes, &walk, &row);
        } while (any && row.row / rows == segment);
        struct fr_bytes value = segment_end(&composer->delta);
        if (fold_if_due(composer, table, segment, value.len, replaced, from, batch))
            continue;
        struct fr_bytes key = segment_key_write(
            room, &(struct segment_key){.table = table, .segment = segment, .delta = true, .number = composer->number});
        composer->store->ops->batch_put(batch, key, value);
        composer->figures.delta_bytes += value.len;
    }
}

static void put_rows(struct composer *composer, const struct journal *journal, enum journal_table table, uint32_t first,
                     uint32_t last, size_t len, struct store_batch *batch)
{
    changes_begin(&composer->changes, segment_sums(table));
    changes_reserve(&composer->changes, len);
    changes_collect(&composer->changes, journal, table, first, last);
    bool fits = changes_settle(&composer->changes);
    assert(fits); /* 32-bit numbers, fewer than 2^31 of them */
    put_segments(composer, table, batch);
}

/* Counts changes by runs of 2^shift rows. */
static void count_buckets(const struct journal *journal, enum journal_table table, int shift, size_t buckets[BUCKETS])
{
    struct journal_cursor cursor;
    struct journal_op op;

    memset(buckets, 0, BUCKETS * sizeof(*buckets));
    journal_begin(journal, table, &cursor);
    while (journal_next(&cursor, &op)) {
        buckets[op.row >> shift] += op.others_len ? op.others_len : 1;
        for (size_t i = 0; op.kind == JOURNAL_STAR && i < op.others_len; i++)
            buckets[op.others[i] >> shift]++;
    }
}

static void put_table(struct composer *composer, const struct journal *journal, enum journal_table table,
                      const struct changes_count *count, struct store_batch *batch)
{
    size_t buckets[BUCKETS];
    int shift = __builtin_ctz(segment_rows(table)); /* a slice cuts no segment */

    if (count->len <= SLICE) {
        put_rows(composer, journal, table, 0, count->row_max, count->len, batch);
        return;
    }
    while (count->row_max >> shift >= BUCKETS)
        shift++;
    count_buckets(journal, table, shift, buckets);
    for (uint32_t begin = 0, end; begin <= count->row_max >> shift; begin = end) {
        size_t len = buckets[begin];
        for (end = begin + 1; end < BUCKETS && len + buckets[end] <= SLICE; end++)
            len += buckets[end];
        if (len)
            put_rows(composer, journal, table, begin << shift, (uint32_t)(((uint64_t)end << shift) - 1), len, batch);
    }
}

/* ---- plain keys ---- */

static void add_key(struct composer *composer, struct fr_bytes key, struct fr_bytes value, bool deleted)
{
    assert(key.at[0] != 's');
    if (composer->keys_len == composer->keys_cap) {
        composer->keys_cap = composer->keys_cap * 2 + 16;
        composer->keys = fr_realloc(composer->keys, composer->keys_cap * sizeof(*composer->keys));
    }
    composer->keys[composer->keys_len] = (struct plain_key){key, value, deleted, composer->keys_len};
    composer->keys_len++;
}

static int by_key_then_rank(const void *a, const void *b)
{
    const struct plain_key *left = a, *right = b;
    int order = fr_bytes_order(left->key, right->key);

    return order ? order : (left->rank > right->rank) - (left->rank < right->rank);
}

/* What a checkpoint says of itself: its number, and its link in the chain of the last FORMAT_LINKS journals. */
struct own_keys {
    struct fr_writer journals, link, old_link;
};

static void own_keys_init(struct own_keys *own, uint64_t number)
{
    fr_writer_init(&own->journals, 0);
    fr_writer_init(&own->link, 0);
    fr_writer_init(&own->old_link, 0);
    format_journals_value(&own->journals, number);
    format_link_key(&own->link, number);
    if (number > FORMAT_LINKS)
        format_link_key(&own->old_link, number - FORMAT_LINKS);
}

static void own_keys_release(struct own_keys *own)
{
    fr_writer_release(&own->journals);
    fr_writer_release(&own->link);
    fr_writer_release(&own->old_link);
}

/* The journal's plain keys and our own, sorted, each once. */
static void collect_keys(struct composer *composer, const struct journal *journal, const struct own_keys *own)
{
    struct journal_cursor cursor;
    struct journal_op op;
    size_t kept = 0;

    composer->keys_len = 0;
    journal_begin(journal, TABLE_KEYS, &cursor);
    while (journal_next(&cursor, &op))
        add_key(composer, op.key, op.bytes, op.kind == JOURNAL_KEY_DELETE);
    add_key(composer, fr_bytes_of(FORMAT_JOURNALS_KEY), fr_written(&own->journals), false);
    add_key(composer, fr_written(&own->link), FR_BYTES(""), false);
    if (own->old_link.len)
        add_key(composer, fr_written(&own->old_link), FR_BYTES(""), true);
    qsort(composer->keys, composer->keys_len, sizeof(*composer->keys), by_key_then_rank);
    for (size_t i = 0; i < composer->keys_len; i++)
        if (i + 1 == composer->keys_len || !fr_bytes_equal(composer->keys[i].key, composer->keys[i + 1].key))
            composer->keys[kept++] = composer->keys[i];
    composer->keys_len = kept;
}

/* Those that sort before the segments, or those after. */
static void put_keys(struct composer *composer, bool before, struct store_batch *batch)
{
    for (size_t i = 0; i < composer->keys_len; i++) {
        const struct plain_key *key = &composer->keys[i];
        if ((key->key.at[0] < 's') != before)
            continue;
        if (key->deleted)
            composer->store->ops->batch_delete(batch, key->key);
        else
            composer->store->ops->batch_put(batch, key->key, key->value);
    }
}

/* ---- the journal ---- */

static int begin(struct composer *composer, struct fr_err *err)
{
    int status = format_journals(composer->store, &composer->number, err);

    if (fr_defect(DEFECT_NUMBER_AGAIN))
        composer->number = 0;
    composer->begun = !status;
    return status;
}

static size_t clamp(size_t value, size_t least, size_t most)
{
    return value < least ? least : value > most ? most : value;
}

/* What a sown defect writes before the rest of the journal: without an error, or with one that nobody hears of. */
static void write_apart(struct composer *composer, struct store_batch *batch)
{
    struct fr_err err;

    composer->store->ops->write(composer->store, batch, &err);
    composer->store->ops->batch_clear(batch);
}

int compose(struct composer *composer, const struct journal *journal, struct store_batch *batch, struct fr_err *err)
{
    struct changes_count counts[TABLES];
    struct own_keys own;
    int status = composer->begun ? FR_OK : begin(composer, err);

    if (status)
        return status;
    fr_crash_point("compose.begun");
    composer->number++;
    composer->fold_left = clamp(2 * journal_bytes(journal), FOLD_LEAST, FOLD_MOST);
    composer->fold_from = composer->fold_stopped;
    composer->fold_stopped = 0;
    own_keys_init(&own, composer->number);
    collect_keys(composer, journal, &own);
    put_keys(composer, true, batch);
    if (fr_defect(DEFECT_TWO_WRITES))
        write_apart(composer, batch);
    fr_crash_point("compose.positions");
    changes_count(journal, counts);
    for (int table = 1; table < TABLES; table++) {
        if (!counts[table].len)
            continue;
        put_table(composer, journal, (enum journal_table)table, &counts[table], batch);
        if (fr_defect(DEFECT_SPLIT_FREEZE))
            write_apart(composer, batch);
        fr_crash_point("compose.table");
    }
    if (fr_defect(DEFECT_OUTBOX_APART))
        write_apart(composer, batch);
    fr_crash_point("compose.letters");
    put_keys(composer, false, batch);
    own_keys_release(&own);
    return FR_OK;
}
