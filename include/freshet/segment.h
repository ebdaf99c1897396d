/*
 * segment.h -- a run of a table's rows as one value of the store: keys, encoding, decoding (storage/FORMAT.md).
 *
 *     version | gap header [gap value]* [head]  | gap header ... | check
 *               row: gap, cells << 2 | head << 1 | cleared
 *
 * The writer streams: rows and columns ascending, a row's cells encoded aside until their number is known. The reader
 * trusts nothing: checksum first, then grammar, ranges and the rules of its kind; `problem` says what is wrong.
 *
 * Thread: the owner's.
 */
#ifndef FR_SEGMENT_H
#define FR_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "freshet/bytes.h"
#include "freshet/journal.h"

enum {
    SEGMENT_KEY_MAX = 15,
    SEGMENT_TABLE_PREFIX = 2, /* so many bytes of a key name the table, */
    SEGMENT_PREFIX = 6,       /* and so many the segment */
    SEGMENT_CHUNK_BYTES = 128 << 10,
    SEGMENT_ROWS_MAX = 1024,
};

uint32_t segment_rows(enum journal_table table); /* per segment: a power of two */
bool segment_sums(enum journal_table table);     /* SUM or BYTES? */

struct segment_key {
    enum journal_table table;
    uint32_t segment;
    bool delta;
    uint64_t number; /* base: chunk; delta: journal */
};
struct fr_bytes segment_key_write(char room[SEGMENT_KEY_MAX], const struct segment_key *key);
/* False for a key that is none of ours. */
bool segment_key_read(struct fr_bytes bytes, struct segment_key *ret_key);

/* ---- writing ---- */

struct segment_run {
    unsigned char *at;
    size_t len, cap;
};
struct segment_writer {
    struct segment_run out, cells; /* the value; the open row's cells */
    bool sums, open, cleared, head;
    uint32_t row;
    uint64_t next_row, next_column; /* the least that may follow */
    uint32_t cells_len;
    size_t rows;
};
void segment_writer_init(struct segment_writer *writer);
void segment_writer_release(struct segment_writer *writer);
void segment_begin(struct segment_writer *writer, enum journal_table table, uint32_t segment);
/* Opens a row. One that stays without cells and is not cleared leaves no trace. */
void segment_row(struct segment_writer *writer, uint32_t row, bool cleared);
void segment_sum(struct segment_writer *writer, uint32_t column, int64_t sum); /* sum != 0 */
void segment_cell(struct segment_writer *writer, uint32_t column, struct fr_bytes bytes);
void segment_deleted(struct segment_writer *writer, uint32_t column);
size_t segment_length(const struct segment_writer *writer); /* so far, without the checksum */
/* The finished value, borrowed until the next call; empty if no row was written. */
struct fr_bytes segment_end(struct segment_writer *writer);

/* ---- reading ---- */

struct segment_cells {
    uint32_t row;
    bool cleared;
    size_t len;
    uint32_t *columns;
    int64_t *sums;          /* SUM tables */
    struct fr_bytes *cells; /* BYTES tables; borrowed from the value; `at` NULL: deleted */
    size_t cap;
};
void segment_cells_release(struct segment_cells *cells);
void segment_cells_reserve(struct segment_cells *cells, bool sums, size_t len);

struct segment_reader {
    const unsigned char *at, *end;
    bool sums, delta;
    uint64_t next_row, end_row;
    size_t rows;
    const char *problem; /* NULL: none; else a part of a sentence: "has a wrong checksum" */
};
/* False, with `problem` set, if the value cannot be read at all. */
bool segment_open(struct segment_reader *reader, const struct segment_key *key, struct fr_bytes value);
/* The next row into arrays that grow and are kept. False at the end, or at a problem. */
bool segment_next(struct segment_reader *reader, struct segment_cells *row);
static inline bool segment_at_end(const struct segment_reader *reader)
{
    return reader->at == reader->end;
}

#endif
