/*
 * changes.h -- operations on cells in the order they happened, made into one change per cell in the order of cells.
 *
 *     add (7,3) +1 | add (2,9) +1 | clear 7 | add (7,3) +2 | add (2,9) -1       settle:  (7: cleared) (7,3) +2
 *
 * Sums are added up and zeros dropped; of bytes the last operation counts; a clear drops what its row had before. The
 * journal at hand and the deltas of a segment are settled by the same code, so that folding cannot differ from
 * applying. Thread: the owner's.
 */
#ifndef FR_CHANGES_H
#define FR_CHANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "freshet/bytes.h"
#include "freshet/journal.h"

#define CHANGE_DELETED UINT64_MAX

struct change {
    uint64_t place; /* row << 32 | column */
    uint64_t what;  /* SUM: the sum's bits; BYTES: index into blobs, or CHANGE_DELETED */
};
struct changes_clear {
    uint32_t row;
    size_t before; /* changes at an index below it are forgotten */
};
struct changes {
    bool sums;
    struct change *at, *spare; /* spare: the other half of the sort */
    size_t len, cap, spare_cap;
    struct fr_bytes *blobs; /* borrowed from whoever gave them */
    size_t blobs_len, blobs_cap;
    struct changes_clear *clears; /* settled: by row, each once */
    size_t clears_len, clears_cap;
    uint32_t *index; /* of the settled clears: open addressing by row, each a place in `clears` + 1, or 0 */
    size_t index_len, index_cap;
};

void changes_release(struct changes *changes);
void changes_begin(struct changes *changes, bool sums); /* empties it */
void changes_reserve(struct changes *changes, size_t more);
void changes_put(struct changes *changes, uint32_t row, uint32_t column, struct fr_bytes bytes);
void changes_delete(struct changes *changes, uint32_t row, uint32_t column);
void changes_clear(struct changes *changes, uint32_t row);
static inline void changes_add(struct changes *changes, uint32_t row, uint32_t column, int64_t by)
{
    if (changes->len == changes->cap)
        changes_reserve(changes, 1);
    changes->at[changes->len++] = (struct change){(uint64_t)row << 32 | column, (uint64_t)by};
}
/* False if a sum does not fit into 64 bits. */
bool changes_settle(struct changes *changes);

static inline uint32_t change_row(const struct change *change)
{
    return (uint32_t)(change->place >> 32);
}
static inline uint32_t change_column(const struct change *change)
{
    return (uint32_t)change->place;
}

/* Walks settled changes row by row, cleared rows among them. */
struct changes_row {
    uint32_t row;
    bool cleared;
    const struct change *at;
    size_t len;
};
struct changes_walk {
    size_t at, clear;
};
bool changes_next_row(const struct changes *changes, struct changes_walk *walk, struct changes_row *ret_row);

/* How many changes of each table a journal expands to, and the greatest row. */
struct changes_count {
    size_t len;
    uint32_t row_max;
};
void changes_count(const struct journal *journal, struct changes_count ret_counts[TABLES]);
/* Appends the changes of `table` to rows [first, last]. */
void changes_collect(struct changes *changes, const struct journal *journal, enum journal_table table, uint32_t first,
                     uint32_t last);

#endif
