/*
 * rows.c -- the writer's half of rows.h.
 *
 * Publication. A new entry is its column first, then its count; readers load the count first: a count
 * above 0 therefore comes with its column. New lines are filled before the header names them (one word, see
 * rows_lines.h), and the old ones go to the epoch, frozen: a reader that is still in them reads the row as it was.
 *
 * Versions. rows_open stores an odd version, then come release stores of counts, then rows_shut stores an even one.
 * A reader that loads one of these counts (acquire) therefore sees the odd version or a later one when it looks again,
 * and throws its copy away. No fence is needed, and ThreadSanitizer can follow it.
 *
 * Sizes. A row is rebuilt when `used` would pass its limit, into the smallest class that leaves an eighth of what lives
 * to grow into. Full lines hold 64 / 7 = 9.1 bytes per entry, rebuilt ones at most 9.1 * 9/8 * 4/3 = 13.7.
 */
#include <stdlib.h>
#include <string.h>

#include "rows_lines.h"

enum { FILLED_NEAR = 4096 }; /* lines of a row that is loaded with no memory asked for */

/* ---- lines ------------------------------------------------------------------------------------------------ */

static void classes_fill(struct rows *rows)
{
    uint32_t lines_len = 1;

    while (rows->classes < CLASSES) {
        rows->lines_of[rows->classes++] = lines_len;
        size_t want = ((size_t)lines_len + lines_len / 4 + 1) * sizeof(struct line);
        size_t next = fr_slab_room(rows->slab, want) / sizeof(struct line);
        if (next > UINT32_MAX / LINE_SLOTS)
            break;
        lines_len = (uint32_t)next;
    }
}

/* The smallest class that takes `len` entries and leaves `spare` to grow. */
static unsigned class_for(const struct rows *rows, size_t len, size_t spare)
{
    unsigned size_class = 0;

    while (size_class < rows->classes && lines_limit(rows->lines_of[size_class]) < len + spare)
        size_class++;
    assert(size_class < rows->classes);
    return size_class;
}

static void lines_empty(struct line *lines, uint32_t lines_len)
{
    for (uint32_t i = 0; i < lines_len; i++) {
        memset(lines[i].columns, 0xFF, sizeof(lines[i].columns));
        memset(lines[i].counts, 0, sizeof(lines[i].counts));
    }
}

static struct line *lines_take(struct rows *rows, unsigned size_class)
{
    struct line *lines = fr_slab_take(rows->slab, rows->lines_of[size_class] * sizeof(struct line));

    lines_empty(lines, rows->lines_of[size_class]);
    return lines;
}

/* Epoch callback: nobody reads these lines any more. */
static void lines_give(void *context, void *block, size_t size)
{
    struct rows *rows = context;

    fr_slab_give(rows->slab, block, size);
    rows->retired--;
}

/* Puts a column that is not there yet into lines that no reader knows. */
static void lines_put(struct line *lines, uint32_t lines_len, uint32_t column, uint32_t count)
{
    uint32_t at = home_line(column, lines_len);
    unsigned empty;

    while (!(empty = line_match(&lines[at], NO_COLUMN)))
        at = at + 1 < lines_len ? at + 1 : 0;
    unsigned slot = (unsigned)__builtin_ctz(empty);
    atomic_store_explicit(&lines[at].columns[slot], column, memory_order_relaxed);
    atomic_store_explicit(&lines[at].counts[slot], count, memory_order_relaxed);
}

/*
 * Where the column stands, or, when it is not there (*ret_found false), the first empty slot on its way.
 * NULL when there is none: only a full single line has no empty slot.
 */
static struct line *lines_find(struct line *lines, uint32_t lines_len, uint32_t column, unsigned *ret_slot,
                               bool *ret_found)
{
    uint32_t at = home_line(column, lines_len);

    for (uint32_t tried = 0; tried < lines_len; tried++) {
        struct line *line = &lines[at];
        unsigned match = line_match(line, column);
        *ret_found = match != 0;
        if (!match && atomic_load_explicit(&line->columns[LINE_SLOTS - 1], memory_order_relaxed) == NO_COLUMN)
            match = line_match(line, NO_COLUMN);
        if (match) {
            *ret_slot = (unsigned)__builtin_ctz(match);
            return line;
        }
        at = at + 1 < lines_len ? at + 1 : 0;
    }
    return NULL;
}

/* ---- rows ------------------------------------------------------------------------------------------------- */

struct rows *rows_new(size_t rows_max, struct fr_epoch *epoch)
{
    struct rows *rows = fr_zalloc(1, sizeof(*rows));

    fr_array_init(&rows->headers, sizeof(struct row), rows_max);
    rows->slab = fr_slab_new(sizeof(struct line), FR_SLAB_COARSE);
    rows->epoch = epoch;
    pthread_mutex_init(&rows->loading, NULL);
    classes_fill(rows);
    return rows;
}

void rows_free(struct rows *rows)
{
    if (!rows)
        return;
    fr_epoch_reclaim(rows->epoch);
    assert(rows->retired == 0);                   /* no reader may be present any more */
    for (size_t i = 0; i < rows->rows_len; i++) { /* long rows have mappings of their own */
        const struct row *row = row_at(rows, (uint32_t)i);
        if (row->lines_len)
            fr_slab_give(rows->slab, block_lines(atomic_load_explicit(&row->block, memory_order_relaxed)),
                         row->lines_len * sizeof(struct line));
    }
    fr_slab_free(rows->slab);
    fr_array_release(&rows->headers);
    pthread_mutex_destroy(&rows->loading);
    free(rows->ranked);
    free(rows);
}

void rows_extend(struct rows *rows, size_t len)
{
    if (len <= rows->rows_len)
        return;
    fr_array_grow(&rows->headers, len);
    rows->rows_len = len;
}

static void entries_add(struct rows *rows, struct row *row, int64_t by)
{
    uint32_t live = atomic_load_explicit(&row->live, memory_order_relaxed);
    uint64_t entries = atomic_load_explicit(&rows->entries, memory_order_relaxed);

    atomic_store_explicit(&row->live, (uint32_t)(live + by), memory_order_release);
    atomic_store_explicit(&rows->entries, entries + (uint64_t)by, memory_order_release);
}

/* Gives the row new lines (NULL: none), retires the old. `used` of the new slots are taken. */
static void row_publish(struct rows *rows, struct row *row, struct line *lines, unsigned size_class, uint32_t used)
{
    uintptr_t old = atomic_load_explicit(&row->block, memory_order_relaxed);
    size_t old_size = row->lines_len * sizeof(struct line);

    atomic_store(&row->block, lines ? (uintptr_t)lines | size_class : 0);
    row->lines_len = lines ? rows->lines_of[size_class] : 0;
    row->limit = lines ? lines_limit(row->lines_len) : 0;
    row->used = used;
    if (old) {
        rows->retired++;
        fr_epoch_retire(rows->epoch, lines_give, rows, block_lines(old), old_size);
    }
}

/* Makes room for one more entry; what has fallen to 0 is left behind. */
static void row_rebuild(struct rows *rows, struct row *row)
{
    uint32_t live = atomic_load_explicit(&row->live, memory_order_relaxed);
    unsigned size_class = class_for(rows, live, live / 8 + 1);
    struct line *lines = lines_take(rows, size_class);
    const struct line *old = block_lines(atomic_load_explicit(&row->block, memory_order_relaxed));

    for (uint32_t at = 0; at < row->lines_len; at++) {
        for (unsigned slot = 0; slot < LINE_SLOTS; slot++) {
            uint32_t count = atomic_load_explicit(&old[at].counts[slot], memory_order_relaxed);
            if (count)
                lines_put(lines, rows->lines_of[size_class],
                          atomic_load_explicit(&old[at].columns[slot], memory_order_relaxed), count);
        }
    }
    row_publish(rows, row, lines, size_class, live);
}

/* Changes a count that has its slot. */
static inline int32_t count_add(struct rows *rows, struct row *row, _Atomic uint32_t *at, int32_t by)
{
    uint32_t old = atomic_load_explicit(at, memory_order_relaxed);
    int64_t sum = (int64_t)old + by;

    if (sum < 0)
        sum = 0;
    assert(sum <= UINT32_MAX);
    if (sum > atomic_load_explicit(&row->most, memory_order_relaxed))
        atomic_store_explicit(&row->most, (uint32_t)sum, memory_order_release); /* first, so that it is true of the count */
    atomic_store_explicit(at, (uint32_t)sum, memory_order_release);
    if (!old != !sum)
        entries_add(rows, row, sum ? 1 : -1);
    return (int32_t)(sum - old);
}

int32_t rows_add(struct rows *rows, uint32_t index, uint32_t column, int32_t by)
{
    struct row *row = row_at(rows, index);
    struct line *line = NULL;
    unsigned slot = 0;
    bool found = false;

    assert(index < rows->rows_len && column != NO_COLUMN);
    if (row->lines_len)
        line = lines_find(block_lines(atomic_load_explicit(&row->block, memory_order_relaxed)), row->lines_len, column,
                          &slot, &found);
    if (found)
        return count_add(rows, row, &line->counts[slot], by);
    if (by <= 0)
        return 0;
    if (row->used >= row->limit) {
        row_rebuild(rows, row);
        line = lines_find(block_lines(atomic_load_explicit(&row->block, memory_order_relaxed)), row->lines_len, column,
                          &slot, &found);
    }
    assert(line && !found);
    atomic_store_explicit(&line->columns[slot], column, memory_order_release);
    row->used++;
    return count_add(rows, row, &line->counts[slot], by);
}

void rows_open(struct rows *rows, uint32_t index)
{
    struct row *row = row_at(rows, index);
    uint32_t version = atomic_load_explicit(&row->version, memory_order_relaxed);

    assert(index < rows->rows_len && version % 2 == 0);
    atomic_store_explicit(&row->version, version + 1, memory_order_release);
}

void rows_shut(struct rows *rows, uint32_t index)
{
    struct row *row = row_at(rows, index);
    uint32_t version = atomic_load_explicit(&row->version, memory_order_relaxed);

    assert(index < rows->rows_len && version % 2 == 1);
    atomic_store_explicit(&row->version, version + 1, memory_order_release);
}

void rows_clear(struct rows *rows, uint32_t index)
{
    struct row *row = row_at(rows, index);

    assert(index < rows->rows_len);
    row_publish(rows, row, NULL, 0, 0);
    atomic_store_explicit(&row->most, 0, memory_order_release);
    entries_add(rows, row, -(int64_t)atomic_load_explicit(&row->live, memory_order_relaxed));
}

/* ---- loading ---------------------------------------------------------------------------------------------- */

/*
 * Columns are distinct, so that none is looked for: each goes to the next slot of the first line on its way that is not
 * full, of which `filled` keeps count. Returns the slots taken.
 */
static uint32_t lines_fill(struct line *lines, uint32_t lines_len, uint8_t *filled, const uint32_t *columns,
                           const int64_t *counts, size_t len, uint32_t *ret_most)
{
    uint32_t used = 0, most = 0;

    lines_empty(lines, lines_len);
    memset(filled, 0, lines_len);
    for (size_t i = 0; i < len; i++) {
        if (!counts[i])
            continue;
        uint32_t at = home_line(columns[i], lines_len), count = (uint32_t)counts[i];
        while (filled[at] == LINE_SLOTS)
            at = at + 1 < lines_len ? at + 1 : 0;
        unsigned slot = filled[at]++;
        atomic_store_explicit(&lines[at].columns[slot], columns[i], memory_order_relaxed);
        atomic_store_explicit(&lines[at].counts[slot], count, memory_order_relaxed);
        most = count > most ? count : most;
        used++;
    }
    *ret_most = most;
    return used;
}

void rows_load(struct rows *rows, uint32_t index, const uint32_t *columns, const int64_t *counts, size_t len)
{
    struct row *row = row_at(rows, index);
    uint8_t near[FILLED_NEAR], *filled = near;
    struct line *lines = NULL;
    unsigned size_class = class_for(rows, len, 0);
    uint32_t lines_len = rows->lines_of[size_class], used, most;

    pthread_mutex_lock(&rows->loading);
    rows_clear(rows, index);
    if (len)
        lines = fr_slab_take(rows->slab, lines_len * sizeof(struct line));
    pthread_mutex_unlock(&rows->loading);
    if (!len)
        return;
    if (lines_len > sizeof(near))
        filled = fr_alloc(lines_len);
    used = lines_fill(lines, lines_len, filled, columns, counts, len, &most);
    if (filled != near)
        free(filled);
    pthread_mutex_lock(&rows->loading);
    atomic_store_explicit(&row->most, most, memory_order_release);
    row_publish(rows, row, lines, size_class, used);
    entries_add(rows, row, used);
    pthread_mutex_unlock(&rows->loading);
}

/* ---- pruning ---------------------------------------------------------------------------------------------- */

/* An entry as one number that is larger when the entry is to be kept rather: larger count, then smaller column. */
static uint64_t entry_rank(uint32_t column, uint32_t count)
{
    return (uint64_t)count << 32 | (NO_COLUMN - column);
}

/* Moves the `keep` largest to the front, in any order: quickselect, the middle of three as pivot. Ranks differ. */
static void keep_largest(uint64_t *ranked, size_t len, size_t keep)
{
    size_t low = 0, high = len; /* what is left of low stays, what is right of high goes */

    while (low < keep && keep < high) {
        uint64_t a = ranked[low], b = ranked[low + (high - low) / 2], c = ranked[high - 1];
        uint64_t pivot = a < b ? (b < c ? b : a < c ? c : a) : (a < c ? a : b < c ? c : b);
        size_t left = low, right = high - 1;
        for (;;) {
            while (ranked[left] > pivot)
                left++;
            while (ranked[right] < pivot)
                right--;
            if (left >= right)
                break;
            uint64_t swap = ranked[left];
            ranked[left] = ranked[right];
            ranked[right] = swap;
        }
        /* Now left == right is the pivot's place: larger ones before it, smaller ones behind. */
        if (keep <= left)
            high = left;
        else
            low = left + 1;
    }
}

size_t rows_prune(struct rows *rows, uint32_t index, size_t keep, uint32_t *columns, int32_t *changes)
{
    struct row *row = row_at(rows, index);
    uint32_t live = atomic_load_explicit(&row->live, memory_order_relaxed);
    const struct line *old = block_lines(atomic_load_explicit(&row->block, memory_order_relaxed));
    size_t len = 0;

    assert(index < rows->rows_len);
    if (live <= keep)
        return 0;
    fr_reserve((void **)&rows->ranked, &rows->ranked_room, live, sizeof(*rows->ranked));
    for (uint32_t at = 0; at < row->lines_len; at++) {
        for (unsigned slot = 0; slot < LINE_SLOTS; slot++) {
            uint32_t count = atomic_load_explicit(&old[at].counts[slot], memory_order_relaxed);
            if (count)
                rows->ranked[len++] =
                    entry_rank(atomic_load_explicit(&old[at].columns[slot], memory_order_relaxed), count);
        }
    }
    keep_largest(rows->ranked, len, keep);
    unsigned size_class = class_for(rows, keep, keep / 8 + 1);
    struct line *lines = lines_take(rows, size_class);
    for (size_t i = 0; i < keep; i++)
        lines_put(lines, rows->lines_of[size_class], NO_COLUMN - (uint32_t)rows->ranked[i],
                  (uint32_t)(rows->ranked[i] >> 32));
    row_publish(rows, row, lines, size_class, (uint32_t)keep);
    entries_add(rows, row, (int64_t)keep - live);
    for (size_t i = keep; i < len; i++) {
        uint32_t count = (uint32_t)(rows->ranked[i] >> 32);
        assert(count <= INT32_MAX);
        columns[i - keep] = NO_COLUMN - (uint32_t)rows->ranked[i];
        changes[i - keep] = -(int32_t)count;
    }
    return len - keep;
}
