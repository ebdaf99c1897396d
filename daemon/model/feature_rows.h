/*
 * feature_rows.h -- an embedding whose rows have names: 64-bit keys, hash of (field, value), compared in full. No two collide.
 *
 *     key --hash--> index  | . | 7 | . | x | 2 | . |        row + 1; 0 empty; x left
 *                                |       |
 *     rows (embedding.h)     0 1 2 ...   7 ...              key, state, vector; free rows form a chain
 *
 * Keys come from outside and may be without end (a session's number as context), so three things bound them, all of them
 * functions of the events alone, so that a replay decides alike:
 *
 *     admission   a key gets a row at its admit-th use. Uses are counted in a filter of fixed size: buckets of eight
 *                 16-bit cells, 12 bits of signature and 4 of count; in a full bucket a new key takes the cell of least count,
 *                 so what is used again and again stays
 *     expiry      rows not used for `ttl` are freed, when the hand of a clock comes by: a few rows at each admission
 *     cap         never more than `max` rows: of eight that are drawn the one unused for longest goes, the least used at a tie
 *
 * The index is rehashed a few places at each admission, into one beside it; nothing ever waits for the whole.
 *
 * Askers read it too, while it changes. What they find there is a hint: the row counts only if it is shown (embedding.h)
 * under that very key. While a key moves it is in the new index before it leaves the old one.
 */
#ifndef FR_FEATURE_ROWS_H
#define FR_FEATURE_ROWS_H

#include "embedding.h"

#define FEATURE_NONE UINT32_MAX

struct features_options {
    uint32_t max;   /* rows; 0: no features */
    uint32_t admit; /* uses before a key has a row, 1 .. 15 */
    uint32_t ttl;   /* s of event time; 0: never */
};

/* What must be the same after a restart, apart from rows and filter. */
struct features_hand {
    uint32_t len, chain, hand, newest; /* rows ever used; first free row + 1; the clock's hand; newest event time, s */
    uint64_t admitted, refused, expired, evicted;
};

struct features {
    struct features_options options;
    struct embedding rows;
    float g0;
    _Atomic(struct feature_index *) now, old; /* old: being moved */
    uint32_t moved;                           /* places of old */
    uint32_t live;
    size_t retired;
    _Atomic size_t index_bytes; /* of all indices, those that wait for the epoch too */
    struct features_hand state;
    uint16_t *cells; /* the filter */
    uint32_t buckets;
    struct debt debt;  /* blocks of the filter, */
    enum journal_table dense; /* and where they are saved */
    uint32_t filter_row;
};

void features_init(struct features *features, const struct features_options *options, size_t d, float g0,
                   enum journal_table table, struct fr_epoch *epoch);
void features_release(struct features *features);
size_t features_bytes(const struct features *features); /* Thread: any */

/* The key's row, or FEATURE_NONE if it has none yet; counts the use. Thread: engine, this and what follows. */
uint32_t features_use(struct features *features, uint64_t key, uint32_t when);
/* The key's row, FEATURE_NONE if it has none; nothing changes. */
uint32_t features_find(const struct features *features, uint64_t key);

/* Frees the key's row, if it has one. */
void features_drop(struct features *features, uint64_t key);

/* Frees all of them. */
void features_clear(struct features *features);

/* Rows and filter: cells of `table` and, from column 0 of `filter_row`, of `dense`, owed to the journal and paid as rows are
 * (embedding.h). The hand is the owner's to keep, and at once. */
void features_save(struct features *features, struct journal *journal, enum journal_table dense, uint32_t filter_row);
size_t features_pay(struct features *features, size_t cells);
/* Rows are loaded by embedding_load. Thread: any. */
bool features_load_filter(struct features *features, uint32_t block, struct fr_bytes cell);
/* After all is loaded: builds the index. */
void features_settle(struct features *features, const struct features_hand *hand);

/* The key's row as it is shown, or FEATURE_NONE. Thread: any, inside an epoch. */
uint32_t features_shown(const struct features *features, const struct shown *shown, uint64_t key);

#endif
