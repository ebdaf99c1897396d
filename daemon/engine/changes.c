/*
 * changes.c -- collect, forget what was cleared, sort, combine.
 *
 * The sort is a radix sort from the least digit, stable, so that operations on one cell stay in their order. Digits are
 * as wide as keeps their number least: 17 bits of columns and 17 of rows (100,000 items) are four passes of nine bits
 * over 16-byte entries, some 20 ms for 1.5 million directed adds.
 */
#include "changes.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "freshet/alloc.h"

enum { DIGIT_MAX = 11 };

void changes_release(struct changes *changes)
{
    free(changes->at);
    free(changes->spare);
    free(changes->blobs);
    free(changes->clears);
    free(changes->index);
    *changes = (struct changes){0};
}

void changes_begin(struct changes *changes, bool sums)
{
    changes->sums = sums;
    changes->len = changes->blobs_len = changes->clears_len = 0;
    changes_reserve(changes, 1); /* so that `at` is somewhere, even with nothing in it */
}

void changes_reserve(struct changes *changes, size_t more)
{
    if (changes->cap - changes->len >= more)
        return;
    changes->cap = changes->len + more + changes->cap / 2 + 64;
    changes->at = fr_realloc(changes->at, changes->cap * sizeof(*changes->at));
}

static void append(struct changes *changes, uint32_t row, uint32_t column, uint64_t what)
{
    changes_reserve(changes, 1);
    changes->at[changes->len++] = (struct change){(uint64_t)row << 32 | column, what};
}

void changes_put(struct changes *changes, uint32_t row, uint32_t column, struct fr_bytes bytes)
{
    assert(!changes->sums);
    if (changes->blobs_len == changes->blobs_cap) {
        changes->blobs_cap = changes->blobs_cap * 2 + 64;
        changes->blobs = fr_realloc(changes->blobs, changes->blobs_cap * sizeof(*changes->blobs));
    }
    append(changes, row, column, changes->blobs_len);
    changes->blobs[changes->blobs_len++] = bytes;
}

void changes_delete(struct changes *changes, uint32_t row, uint32_t column)
{
    assert(!changes->sums);
    append(changes, row, column, CHANGE_DELETED);
}

void changes_clear(struct changes *changes, uint32_t row)
{
    if (changes->clears_len == changes->clears_cap) {
        changes->clears_cap = changes->clears_cap * 2 + 16;
        changes->clears = fr_realloc(changes->clears, changes->clears_cap * sizeof(*changes->clears));
    }
    changes->clears[changes->clears_len++] = (struct changes_clear){row, changes->len};
}

/* ---- settling ---- */

static int by_row_then_latest(const void *a, const void *b)
{
    const struct changes_clear *left = a, *right = b;

    if (left->row != right->row)
        return left->row < right->row ? -1 : 1;
    return (left->before < right->before) - (left->before > right->before);
}

static size_t index_home(const struct changes *changes, uint32_t row)
{
    return (size_t)(row * UINT64_C(0x9E3779B97F4A7C15) >> 32) & (changes->index_len - 1);
}

/* Every change asks for its row's clear, so that a search by halves would cost more than the sort. */
static void index_clears(struct changes *changes)
{
    assert(changes->clears_len < UINT32_MAX / 4);
    changes->index_len = 16;
    while (changes->index_len < 2 * changes->clears_len)
        changes->index_len *= 2;
    if (changes->index_cap < changes->index_len) {
        changes->index_cap = changes->index_len;
        changes->index = fr_realloc(changes->index, changes->index_cap * sizeof(*changes->index));
    }
    memset(changes->index, 0, changes->index_len * sizeof(*changes->index));
    for (size_t i = 0; i < changes->clears_len; i++) {
        size_t at = index_home(changes, changes->clears[i].row);
        while (changes->index[at])
            at = (at + 1) & (changes->index_len - 1);
        changes->index[at] = (uint32_t)i + 1;
    }
}

/* Of settled clears. There is at least one. */
static const struct changes_clear *find_clear(const struct changes *changes, uint32_t row)
{
    for (size_t at = index_home(changes, row); changes->index[at]; at = (at + 1) & (changes->index_len - 1)) {
        const struct changes_clear *clear = &changes->clears[changes->index[at] - 1];
        if (clear->row == row)
            return clear;
    }
    return NULL;
}

/* Keeps of each cleared row its last clear, and drops the changes before it. */
static void forget_cleared(struct changes *changes)
{
    size_t kept = 0;

    if (!changes->clears_len)
        return;
    qsort(changes->clears, changes->clears_len, sizeof(*changes->clears), by_row_then_latest);
    for (size_t i = 0; i < changes->clears_len; i++)
        if (!kept || changes->clears[kept - 1].row != changes->clears[i].row)
            changes->clears[kept++] = changes->clears[i];
    changes->clears_len = kept;
    index_clears(changes);
    kept = 0;
    for (size_t i = 0; i < changes->len; i++) {
        const struct changes_clear *clear = find_clear(changes, change_row(&changes->at[i]));
        if (!clear || i >= clear->before)
            changes->at[kept++] = changes->at[i];
    }
    changes->len = kept;
}

static void sort_digit(struct changes *changes, int shift, int width)
{
    size_t starts[1 << DIGIT_MAX] = {0}, sum = 0;
    uint64_t mask = ((uint64_t)1 << width) - 1;

    for (size_t i = 0; i < changes->len; i++)
        starts[changes->at[i].place >> shift & mask]++;
    for (size_t d = 0; d <= mask; d++) {
        size_t count = starts[d];
        starts[d] = sum;
        sum += count;
    }
    for (size_t i = 0; i < changes->len; i++)
        changes->spare[starts[changes->at[i].place >> shift & mask]++] = changes->at[i];
    struct change *sorted = changes->spare;
    size_t cap = changes->spare_cap;
    changes->spare = changes->at;
    changes->spare_cap = changes->cap;
    changes->at = sorted;
    changes->cap = cap;
}

/* Sorts by the bits [shift, shift + 32), of which only those in `used` differ. */
static void sort_half(struct changes *changes, int shift, uint32_t used)
{
    int low = used ? __builtin_ctz(used) : 0, bits = used ? 32 - __builtin_clz(used) - low : 0;
    int passes = (bits + DIGIT_MAX - 1) / DIGIT_MAX;

    for (; passes > 0; passes--) {
        int width = (bits + passes - 1) / passes;
        sort_digit(changes, shift + low, width);
        low += width;
        bits -= width;
    }
}

static void sort(struct changes *changes)
{
    uint64_t used = 0;

    for (size_t i = 1; i < changes->len; i++)
        used |= changes->at[i].place ^ changes->at[0].place;
    if (changes->spare_cap < changes->cap) {
        free(changes->spare);
        changes->spare = fr_alloc(changes->cap * sizeof(*changes->spare));
        changes->spare_cap = changes->cap;
    }
    sort_half(changes, 0, (uint32_t)used);
    sort_half(changes, 32, (uint32_t)(used >> 32));
}

static bool combine_sums(struct changes *changes)
{
    size_t kept = 0;

    for (size_t i = 0; i < changes->len;) {
        uint64_t place = changes->at[i].place;
        int64_t sum = (int64_t)changes->at[i++].what;
        for (; i < changes->len && changes->at[i].place == place; i++)
            if (__builtin_add_overflow(sum, (int64_t)changes->at[i].what, &sum))
                return false;
        if (sum)
            changes->at[kept++] = (struct change){place, (uint64_t)sum};
    }
    changes->len = kept;
    return true;
}

static void combine_bytes(struct changes *changes)
{
    size_t kept = 0;

    for (size_t i = 0; i < changes->len; i++) {
        if (i + 1 < changes->len && changes->at[i + 1].place == changes->at[i].place)
            continue;
        if (changes->at[i].what == CHANGE_DELETED && changes->clears_len &&
            find_clear(changes, change_row(&changes->at[i])))
            continue; /* the clear has said it */
        changes->at[kept++] = changes->at[i];
    }
    changes->len = kept;
}

bool changes_settle(struct changes *changes)
{
    forget_cleared(changes);
    if (changes->len > 1)
        sort(changes);
    if (changes->sums)
        return combine_sums(changes);
    combine_bytes(changes);
    return true;
}

bool changes_next_row(const struct changes *changes, struct changes_walk *walk, struct changes_row *ret_row)
{
    bool any = walk->at < changes->len, clear = walk->clear < changes->clears_len;

    if (!any && !clear)
        return false;
    uint32_t row = any ? change_row(&changes->at[walk->at]) : changes->clears[walk->clear].row;
    if (clear && changes->clears[walk->clear].row < row)
        row = changes->clears[walk->clear].row;
    *ret_row = (struct changes_row){.row = row, .at = changes->at + walk->at};
    if (clear && changes->clears[walk->clear].row == row) {
        ret_row->cleared = true;
        walk->clear++;
    }
    while (walk->at < changes->len && change_row(&changes->at[walk->at]) == row)
        walk->at++;
    ret_row->len = (size_t)(changes->at + walk->at - ret_row->at);
    return true;
}

/* ---- from a journal ---- */

static struct changes_count count_table(const struct journal *journal, enum journal_table table)
{
    struct changes_count count = {0};
    struct journal_cursor cursor;
    struct journal_op op;

    journal_begin(journal, table, &cursor);
    while (journal_next(&cursor, &op)) {
        count.len += op.kind == JOURNAL_STAR ? 2 * op.others_len : op.kind == JOURNAL_ADDS ? op.others_len : 1;
        if (op.row > count.row_max)
            count.row_max = op.row;
        for (size_t i = 0; op.kind == JOURNAL_STAR && i < op.others_len; i++)
            if (op.others[i] > count.row_max)
                count.row_max = op.others[i];
    }
    return count;
}

void changes_count(const struct journal *journal, struct changes_count ret_counts[TABLES])
{
    ret_counts[TABLE_KEYS] = (struct changes_count){0};
    for (int table = 1; table < TABLES; table++)
        ret_counts[table] = count_table(journal, (enum journal_table)table);
}

static void collect_star(struct changes *changes, const struct journal_op *op, uint32_t first, uint32_t last)
{
    bool center = op->row - first <= last - first; /* first <= row <= last, in one comparison */

    for (size_t i = 0; i < op->others_len; i++) {
        uint32_t other = op->others[i];
        if (center)
            changes_add(changes, op->row, other, op->by);
        if (other - first <= last - first)
            changes_add(changes, other, op->row, op->by);
    }
}

static void collect_adds(struct changes *changes, const struct journal_op *op)
{
    for (size_t i = 0; i < op->others_len; i++)
        changes_add(changes, op->row, op->others[i], op->each[i]);
}

void changes_collect(struct changes *changes, const struct journal *journal, enum journal_table table, uint32_t first,
                     uint32_t last)
{
    struct journal_cursor cursor;
    struct journal_op op;

    journal_begin(journal, table, &cursor);
    while (journal_next(&cursor, &op)) {
        if (op.kind == JOURNAL_STAR) {
            collect_star(changes, &op, first, last);
            continue;
        }
        if (op.row < first || op.row > last)
            continue;
        if (op.kind == JOURNAL_ADD)
            changes_add(changes, op.row, op.column, op.by);
        else if (op.kind == JOURNAL_ADDS)
            collect_adds(changes, &op);
        else if (op.kind == JOURNAL_PUT)
            changes_put(changes, op.row, op.column, op.bytes);
        else if (op.kind == JOURNAL_DELETE)
            changes_delete(changes, op.row, op.column);
        else
            changes_clear(changes, op.row);
    }
}
