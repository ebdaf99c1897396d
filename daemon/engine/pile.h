/*
 * pile.h -- all that the store holds of one segment, and putting it together.
 *
 *     chunk 0 | chunk 1 | ... | delta a | delta b | ...   (+ the changes at hand)   --->   rows, ascending, whole
 *
 * Loading hands the rows to whoever asked for the table; folding writes them as the new base. A segment without deltas
 * is decoded straight through. Thread: the owner's.
 */
#ifndef FR_PILE_H
#define FR_PILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "changes.h"
#include "freshet/err.h"
#include "freshet/segment.h"
#include "freshet/store.h"

struct pile_value {
    struct segment_key key;
    size_t at, len; /* in bytes */
};
struct pile {
    enum journal_table table;
    uint32_t segment;
    char *bytes;
    size_t bytes_len, bytes_cap;
    struct pile_value *values; /* chunks, then deltas, each ascending */
    size_t len, cap, chunks;
    size_t base_bytes, delta_bytes;
    struct changes changes; /* scratch, kept */
    struct segment_cells row, tail, delta, merged;
};

void pile_release(struct pile *pile);
void pile_begin(struct pile *pile, enum journal_table table, uint32_t segment);
void pile_append(struct pile *pile, const struct segment_key *key, struct fr_bytes value); /* copies; in key order */
/* Begins it, and appends all that the store has of the segment. */
int pile_read(struct pile *pile, struct store *store, enum journal_table table, uint32_t segment, struct fr_err *err);

/* Called per row; false stops, and pile_merge fails with FR_CORRUPT, naming the row. `cells` or `sums` is NULL. */
typedef bool (*pile_sink)(void *context, uint32_t row, const uint32_t *columns, const int64_t *sums,
                          const struct fr_bytes *cells, size_t len);
/* The rows of base and deltas, with `last`, if not NULL, on top (settled changes; only those of this segment's rows
 * from `walk` on are used). */
int pile_merge(struct pile *pile, const struct changes *last, struct changes_walk walk, pile_sink sink, void *context,
               struct fr_err *err);

const char *table_name(enum journal_table table);

#endif
