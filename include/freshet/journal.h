/*
 * journal.h -- what changed since the last checkpoint, of each table in the order it changed.
 *
 * State on disk is a set of tables of cells, addressed (table, row, column), plus a few plain keys. A cell
 * holds a number that is added to (SUM tables: co-occurrence counts) or bytes that are replaced (BYTES
 * tables: ids, history slots). The engine's thread appends operations; freezing a checkpoint is setting the whole
 * journal aside and going on with an empty one, so it costs no copy of the state, and what a freeze holds is
 * exactly the state's change between two batch boundaries. What models owe to it (model.h) is added as it was then, in whatever
 * order: of what is owed the journal holds nothing yet, and no event behind the freeze adds to it. Then it is handed over; the
 * checkpoint thread expands, sorts and writes it.
 *
 *     engine      [ star i: j1 j2 j3 +1 | put (user, item) slot | ... ] --freeze--> [ ... | what is owed ] --> checkpoint
 *     engine      [ empty ...
 *
 * Memory: journal_bytes() grows with what is not yet written; the engine stops taking events at its limit.
 * Thread: one at a time; the hand-over is the synchronisation.
 */
#ifndef FR_JOURNAL_H
#define FR_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "freshet/bytes.h"

/* Numbers that reach disk: never change one, never reuse one. */
enum journal_table {
    TABLE_KEYS = 0,        /* no table: the plain keys; never on disk */
    TABLE_USERS = 1,       /* BYTES: (user, 0) = id */
    TABLE_ITEMS = 2,       /* BYTES: (item, 0) = id; (item, 1) = facts */
    TABLE_HISTORY = 3,     /* BYTES: (user, item) = slot; (user, COLUMN_HEAD) = the user's header */
    TABLE_PAIRS = 4,       /* SUM: (item, other) = co-occurrence count */
    TABLE_DEDUP = 5,       /* BYTES: (partition and bucket, n) = hash and time */
    TABLE_FM_ITEMS = 6,    /* BYTES: (item, 0) = its row, as target */
    TABLE_FM_HISTORY = 7,  /* BYTES: (item, 0) = its row, in a history */
    TABLE_FM_FEATURES = 8, /* BYTES: (slot, 0) = a feature: key and row */
    TABLE_FM_DENSE = 9,    /* BYTES: (0, 0) = numbers; (1, block) = the counting filter */
    TABLE_TRENDING = 10,   /* BYTES: (item / 64, item % 64) = decayed users; (0, 64) = landmark */
    TABLE_QUALITY = 11,    /* BYTES: (0, n) = numbers and detectors; (1 + n / 256, n % 256) = an outcome */
    TABLE_NCF_GMF_ITEMS = 12,   /* BYTES: (item, 0) = its row, as target, for the product; */
    TABLE_NCF_MLP_ITEMS = 13,   /* BYTES: for the layers */
    TABLE_NCF_GMF_HISTORY = 14, /* BYTES: (item, 0) = its row, in a history, for the product; */
    TABLE_NCF_MLP_HISTORY = 15, /* BYTES: for the layers */
    TABLE_NCF_DENSE = 16,       /* BYTES: (0, 0) = counters; (1, block) = numbers of the layers and of their optimiser */
    TABLE_CATALOGUE_ITEMS = 17, /* BYTES: (item, 0) = what is said of it (catalogue.h) */
    TABLE_CATALOGUE_USERS = 18, /* BYTES: (user, 0) = what is said of the user */
    TABLES = 19,
};
#define COLUMN_HEAD UINT32_MAX

struct journal;
struct journal *journal_new(void);
void journal_free(struct journal *journal);
void journal_reset(struct journal *journal); /* empties it; keeps some memory */
size_t journal_bytes(const struct journal *journal);
bool journal_empty(const struct journal *journal);

/* SUM tables. A star adds `by` to (center, other) and to (other, center) for each other; adds, by[k] to (row, columns[k]) for each k. */
void journal_star(struct journal *journal, enum journal_table table, uint32_t center, const uint32_t *others,
                  size_t others_len, int32_t by);
void journal_add(struct journal *journal, enum journal_table table, uint32_t row, uint32_t column, int32_t by);
void journal_adds(struct journal *journal, enum journal_table table, uint32_t row, const uint32_t *columns, const int32_t *by, size_t len);
/* BYTES tables. */
void journal_put(struct journal *journal, enum journal_table table, uint32_t row, uint32_t column, const void *bytes,
                 size_t len);
void journal_delete(struct journal *journal, enum journal_table table, uint32_t row, uint32_t column);
/* Both: forgets all cells of the row; what follows in the journal counts again from nothing. */
void journal_clear(struct journal *journal, enum journal_table table, uint32_t row);
/* Plain keys (FORMAT.md): offsets, outbox, meta. The last operation on a key counts. */
void journal_key_put(struct journal *journal, struct fr_bytes key, struct fr_bytes value);
void journal_key_delete(struct journal *journal, struct fr_bytes key);

/* Reading: the operations of one table, or those on plain keys, in order of writing. */
enum journal_op_kind {
    JOURNAL_STAR,
    JOURNAL_ADD,
    JOURNAL_ADDS,
    JOURNAL_PUT,
    JOURNAL_DELETE,
    JOURNAL_CLEAR,
    JOURNAL_KEY_PUT,
    JOURNAL_KEY_DELETE,
};
struct journal_op { /* of the fields, those of its kind, and others_len, say something */
    enum journal_op_kind kind;
    enum journal_table table;
    uint32_t row, column; /* star: row is the center */
    int32_t by;
    const uint32_t *others; /* star; adds: the columns; borrowed */
    const int32_t *each;    /* adds: by how much; borrowed */
    size_t others_len;      /* of both; else 0 */
    struct fr_bytes key, bytes; /* borrowed */
};
struct journal_cursor {
    enum journal_table table;
    const void *chunk;
    size_t at;
};
void journal_begin(const struct journal *journal, enum journal_table table, struct journal_cursor *ret_cursor);
bool journal_next(struct journal_cursor *cursor, struct journal_op *ret_op);

#endif
