/*
 * pile.c -- base and deltas of one segment into rows.
 *
 * The deltas' cells are put one after another, oldest first, and settled (changes.h); then base and changes, both
 * sorted, are merged like two decks of cards. Chunks may be cut inside a row: base_next() joins them again, so that
 * below it rows are whole.
 */
#include "pile.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "freshet/alloc.h"
#include "freshet/defect.h"

const char *table_name(enum journal_table table)
{
    static const char *const names[TABLES] = {
        [TABLE_USERS] = "users", [TABLE_ITEMS] = "items", [TABLE_HISTORY] = "history",
        [TABLE_PAIRS] = "pairs", [TABLE_DEDUP] = "dedup",
        [TABLE_FM_ITEMS] = "fm_items", [TABLE_FM_HISTORY] = "fm_history", [TABLE_FM_FEATURES] = "fm_features",
        [TABLE_FM_DENSE] = "fm_dense", [TABLE_TRENDING] = "trending", [TABLE_QUALITY] = "quality",
        [TABLE_NCF_GMF_ITEMS] = "ncf_gmf_items", [TABLE_NCF_MLP_ITEMS] = "ncf_mlp_items",
        [TABLE_NCF_GMF_HISTORY] = "ncf_gmf_history", [TABLE_NCF_MLP_HISTORY] = "ncf_mlp_history",
        [TABLE_NCF_DENSE] = "ncf_dense",
        [TABLE_CATALOGUE_ITEMS] = "catalogue_items", [TABLE_CATALOGUE_USERS] = "catalogue_users",
    };

    assert(table > 0 && table < TABLES);
    return names[table];
}

void pile_release(struct pile *pile)
{
    free(pile->bytes);
    free(pile->values);
    changes_release(&pile->changes);
    segment_cells_release(&pile->row);
    segment_cells_release(&pile->tail);
    segment_cells_release(&pile->delta);
    segment_cells_release(&pile->merged);
    *pile = (struct pile){0};
}

void pile_begin(struct pile *pile, enum journal_table table, uint32_t segment)
{
    pile->table = table;
    pile->segment = segment;
    pile->bytes_len = pile->len = pile->chunks = pile->base_bytes = pile->delta_bytes = 0;
}

void pile_append(struct pile *pile, const struct segment_key *key, struct fr_bytes value)
{
    if (pile->len == pile->cap) {
        pile->cap = pile->cap * 2 + 16;
        pile->values = fr_realloc(pile->values, pile->cap * sizeof(*pile->values));
    }
    if (pile->bytes_cap - pile->bytes_len < value.len) {
        pile->bytes_cap = pile->bytes_len + value.len + pile->bytes_cap / 2;
        pile->bytes = fr_realloc(pile->bytes, pile->bytes_cap);
    }
    pile->values[pile->len++] = (struct pile_value){*key, pile->bytes_len, value.len};
    if (value.len)
        memcpy(pile->bytes + pile->bytes_len, value.at, value.len);
    pile->bytes_len += value.len;
    if (key->delta) {
        pile->delta_bytes += value.len;
    } else {
        pile->chunks++;
        pile->base_bytes += value.len;
    }
}

int pile_read(struct pile *pile, struct store *store, enum journal_table table, uint32_t segment, struct fr_err *err)
{
    struct segment_key key = {.table = table, .segment = segment};
    char room[SEGMENT_KEY_MAX];
    struct fr_bytes name = segment_key_write(room, &key), value;
    struct store_iter *iter = store->ops->iterate(store, (struct fr_bytes){name.at, SEGMENT_PREFIX});
    bool readable = true;

    pile_begin(pile, table, segment);
    while (readable && store->ops->next(iter, &name, &value)) {
        readable = segment_key_read(name, &key);
        if (readable)
            pile_append(pile, &key, value);
    }
    int status = store->ops->iter_close(iter, readable ? err : NULL);
    if (!readable)
        return fr_fail(err, FR_CORRUPT, "a key of table '%s', segment %u, cannot be read", table_name(table), segment);
    return status;
}

static int broken(const struct pile *pile, const struct pile_value *value, const char *problem, struct fr_err *err)
{
    return fr_fail(err, FR_CORRUPT, "table '%s', segment %u, %s %llu %s", table_name(pile->table), pile->segment,
                   value->key.delta ? "delta" : "chunk", (unsigned long long)value->key.number, problem);
}

static struct fr_bytes bytes_of(const struct pile *pile, const struct pile_value *value)
{
    return (struct fr_bytes){pile->bytes + value->at, value->len};
}

/* ---- the base, row by row ---- */

struct base {
    struct pile *pile;
    struct segment_reader reader;
    size_t chunk; /* the next to open */
    bool pending; /* pile->tail is a row read ahead */
    bool any;     /* a row was given: `row` */
    uint32_t row;
    int status;
    struct fr_err *err;
};

static bool base_fail(struct base *base, const char *problem)
{
    base->status = broken(base->pile, &base->pile->values[base->chunk - 1], problem, base->err);
    return false;
}

static bool base_open(struct base *base)
{
    const struct pile_value *value = &base->pile->values[base->chunk++];

    if (value->key.number != base->chunk - 1)
        return base_fail(base, "comes after a missing one");
    if (!segment_open(&base->reader, &value->key, bytes_of(base->pile, value)))
        return base_fail(base, base->reader.problem);
    return true;
}

/* The cells of `more` from `from` on. */
static void append_cells(struct segment_cells *row, const struct segment_cells *more, size_t from, bool sums)
{
    size_t len = more->len - from;

    if (!len)
        return;
    segment_cells_reserve(row, sums, row->len + len);
    memcpy(row->columns + row->len, more->columns + from, len * sizeof(*row->columns));
    if (sums)
        memcpy(row->sums + row->len, more->sums + from, len * sizeof(*row->sums));
    else
        memcpy(row->cells + row->len, more->cells + from, len * sizeof(*row->cells));
    row->len += len;
}

/* The row in pile->row was the last of its chunk: what follows may be more of it. */
static bool base_join(struct base *base)
{
    struct pile *pile = base->pile;
    struct segment_cells *row = &pile->row, *tail = &pile->tail;

    while (segment_at_end(&base->reader) && base->chunk < pile->chunks) {
        if (!base_open(base))
            return false;
        if (!segment_next(&base->reader, tail))
            return base_fail(base, base->reader.problem);
        if (tail->row != row->row) {
            base->pending = true;
            return true;
        }
        if (tail->columns[0] <= row->columns[row->len - 1])
            return base_fail(base, "goes back within a row");
        append_cells(row, tail, 0, base->reader.sums);
    }
    return true;
}

/* The next whole row into pile->row. False at the end, or with base->status. */
static bool base_next(struct base *base)
{
    struct pile *pile = base->pile;

    if (base->pending) {
        struct segment_cells swap = pile->row;
        pile->row = pile->tail;
        pile->tail = swap;
        base->pending = false;
    } else if (!base->chunk && pile->chunks) {
        if (!base_open(base))
            return false;
        if (!segment_next(&base->reader, &pile->row))
            return base_fail(base, base->reader.problem);
    } else if (!pile->chunks || !segment_next(&base->reader, &pile->row)) {
        return pile->chunks && base->reader.problem ? base_fail(base, base->reader.problem) : false;
    }
    if (base->any && pile->row.row <= base->row)
        return base_fail(base, "goes back to an earlier row");
    if (segment_at_end(&base->reader) && !base_join(base))
        return false;
    base->any = true;
    base->row = pile->row.row;
    return true;
}

/* ---- the deltas ---- */

static void add_row(struct changes *changes, const struct segment_cells *row)
{
    if (row->cleared)
        changes_clear(changes, row->row);
    for (size_t i = 0; i < row->len; i++)
        if (changes->sums)
            changes_add(changes, row->row, row->columns[i], row->sums[i]);
        else if (row->cells[i].at)
            changes_put(changes, row->row, row->columns[i], row->cells[i]);
        else
            changes_delete(changes, row->row, row->columns[i]);
}

/* Changes made by the journal at hand: settled ones, of this segment's rows. */
static void add_last(struct changes *changes, const struct changes *last, struct changes_walk walk, uint64_t end_row)
{
    struct changes_row row;

    while (changes_next_row(last, &walk, &row) && row.row < end_row) {
        if (row.cleared)
            changes_clear(changes, row.row);
        for (size_t i = 0; i < row.len; i++)
            if (changes->sums)
                changes_add(changes, row.row, change_column(&row.at[i]), (int64_t)row.at[i].what);
            else if (row.at[i].what == CHANGE_DELETED)
                changes_delete(changes, row.row, change_column(&row.at[i]));
            else
                changes_put(changes, row.row, change_column(&row.at[i]), last->blobs[row.at[i].what]);
    }
}

static int settle_deltas(struct pile *pile, const struct changes *last, struct changes_walk walk, struct fr_err *err)
{
    uint32_t rows = segment_rows(pile->table);
    struct segment_reader reader;

    changes_begin(&pile->changes, segment_sums(pile->table));
    for (size_t i = pile->chunks; i < pile->len; i++) {
        const struct pile_value *value = &pile->values[i];
        if (fr_defect(DEFECT_FOLD_FORGETS) && last && i + 1 == pile->len)
            break;
        if (!segment_open(&reader, &value->key, bytes_of(pile, value)))
            return broken(pile, value, reader.problem, err);
        while (segment_next(&reader, &pile->delta))
            add_row(&pile->changes, &pile->delta);
        if (reader.problem)
            return broken(pile, value, reader.problem, err);
    }
    if (last)
        add_last(&pile->changes, last, walk, ((uint64_t)pile->segment + 1) * rows);
    if (!changes_settle(&pile->changes))
        return fr_fail(err, FR_CORRUPT, "table '%s', segment %u: a sum does not fit into 64 bits",
                       table_name(pile->table), pile->segment);
    return FR_OK;
}

/* ---- both ---- */

static void push_change(struct pile *pile, const struct change *change)
{
    struct segment_cells *merged = &pile->merged;

    if (change->what == CHANGE_DELETED && !pile->changes.sums)
        return;
    merged->columns[merged->len] = change_column(change);
    if (pile->changes.sums)
        merged->sums[merged->len++] = (int64_t)change->what;
    else
        merged->cells[merged->len++] = pile->changes.blobs[change->what];
}

/*
 * Sums of base and changes, as long as there are both. Which side the next column is on is random, so that no branch
 * decides: what does not take part is masked to 0, and the places move on by 0 or 1. False if a sum does not fit.
 */
static bool merge_sums(struct segment_cells *merged, const struct segment_cells *old, const struct changes_row *new,
                       size_t *at_old, size_t *at_new)
{
    size_t i = 0, k = 0, len = 0;
    bool overflow = false;

    while (i < old->len && k < new->len) {
        uint32_t a = old->columns[i], b = change_column(&new->at[k]);
        uint64_t first = a <= b, second = b <= a;
        int64_t left = old->sums[i] & -(int64_t)first, right = (int64_t)(new->at[k].what & -second), sum;
        overflow |= __builtin_add_overflow(left, right, &sum);
        merged->columns[len] = a < b ? a : b;
        merged->sums[len] = sum;
        len += sum != 0;
        i += first;
        k += second;
    }
    merged->len = len;
    *at_old = i;
    *at_new = k;
    return !overflow;
}

static void merge_bytes(struct pile *pile, const struct segment_cells *old, const struct changes_row *new,
                        size_t *at_old, size_t *at_new)
{
    size_t i = 0, k = 0;

    while (i < old->len && k < new->len) {
        uint32_t a = old->columns[i], b = change_column(&new->at[k]);
        if (a < b) {
            pile->merged.columns[pile->merged.len] = a;
            pile->merged.cells[pile->merged.len++] = old->cells[i++];
        } else {
            push_change(pile, &new->at[k++]);
            i += a == b;
        }
    }
    *at_old = i;
    *at_new = k;
}

/* The row in pile->row (`old` NULL: the base has none, or it was cleared) with its changes, into pile->merged. */
static bool merge_row(struct pile *pile, const struct segment_cells *old, const struct changes_row *new)
{
    static const struct segment_cells nothing;
    bool sums = pile->changes.sums;
    size_t i = 0, k = 0;

    old = old ? old : &nothing;
    segment_cells_reserve(&pile->merged, sums, old->len + new->len);
    pile->merged.len = 0;
    if (sums && !merge_sums(&pile->merged, old, new, &i, &k))
        return false;
    if (!sums)
        merge_bytes(pile, old, new, &i, &k);
    append_cells(&pile->merged, old, i, sums);
    for (; k < new->len; k++)
        push_change(pile, &new->at[k]);
    return true;
}

static bool give(const struct segment_cells *cells, uint32_t row, bool sums, pile_sink sink, void *context)
{
    return !cells->len ||
           sink(context, row, cells->columns, sums ? cells->sums : NULL, sums ? NULL : cells->cells, cells->len);
}

int pile_merge(struct pile *pile, const struct changes *last, struct changes_walk walk, pile_sink sink, void *context,
               struct fr_err *err)
{
    struct base base = {.pile = pile, .err = err};
    struct changes_walk at = {0, 0};
    struct changes_row change;
    bool sums = segment_sums(pile->table), taken = true;
    uint32_t row = 0;
    int status = settle_deltas(pile, last, walk, err);

    if (status)
        return status;
    bool old = base_next(&base), new = changes_next_row(&pile->changes, &at, &change);
    while (taken && !base.status && (old || new)) {
        if (!new || (old && base.row < change.row)) {
            row = base.row;
            taken = give(&pile->row, row, sums, sink, context);
            old = base_next(&base);
            continue;
        }
        bool both = old && base.row == change.row;
        row = change.row;
        taken = merge_row(pile, both && !change.cleared ? &pile->row : NULL, &change) &&
                give(&pile->merged, row, sums, sink, context);
        new = changes_next_row(&pile->changes, &at, &change);
        if (both)
            old = base_next(&base);
    }
    if (base.status)
        return base.status;
    if (!taken)
        return fr_fail(err, FR_CORRUPT, "table '%s', row %u, holds what cannot be true", table_name(pile->table), row);
    return FR_OK;
}
