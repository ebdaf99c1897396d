/*
 * checkpoint.h -- from a frozen journal to one atomic write, in the background; and back at the start.
 *
 *     engine:      journal A fills ...   take B, go on with it; give(A) ...      take A, go on with it; give(B) ...
 *     checkpoint:                               expand, sort, encode, write      ...
 *                                        sync (every wal_sync_interval, or when asked)
 *
 * One journal is one write: never split, never merged with half of another. What was written is kept until it is synced
 * and written again to a store opened anew after an error (tail.h), so a sick disk costs no state; the engine stops taking
 * events when its own journal is full.
 * The layout on disk, the deltas and how they are folded: storage/FORMAT.md.
 */
#ifndef FR_CHECKPOINT_H
#define FR_CHECKPOINT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "freshet/clock.h"
#include "freshet/err.h"
#include "freshet/journal.h"
#include "freshet/store.h"

struct checkpoint;
struct checkpoint_options {
    span_ms interval, wal_sync_interval;
    /* Called on the checkpoint's thread before journal `number` is written, again after an error. Not FR_OK: it is not written, and tried again.
     * NULL: nothing is to be done. */
    int (*before)(void *context, uint64_t number, struct fr_err *err);
    /* Called on the checkpoint's thread after each write and after each sync with the number of the newest journal it covers. */
    void (*written)(void *context, uint64_t number);
    void (*synced)(void *context, uint64_t number);
    /* While fewer bytes than disk_reserve are free nothing is written, and held says so; looked at each second and before each
     * write. 0 or NULL: not looked at. */
    uint64_t disk_reserve;
    uint64_t (*disk_free)(void *context);
    void (*held)(void *context, bool low);
    /* The store has come back from an error without what was synced, or damaged: nothing will be written any more. */
    void (*broken)(void *context);
    void *context;
};
/* The store must stay open until checkpoint_stop; from here on only the checkpoint's thread uses it (but number()). */
struct checkpoint *checkpoint_start(struct store *store, const struct checkpoint_options *options);
/* Writes and syncs what was given, then ends the thread and frees. False if the last journal could not be written (one more try
 * is made, not an endless wait). */
bool checkpoint_stop(struct checkpoint *checkpoint, struct fr_err *err);

/* Thread: engine. True when the last journal is written and the interval has passed since the freeze, or one was asked for. */
bool checkpoint_due(struct checkpoint *checkpoint);
/* Waits until then, at most timeout_ms; returns checkpoint_due(). */
bool checkpoint_wait_due(struct checkpoint *checkpoint, int timeout_ms);
/* Thread: any. True once `broken` was called: it will never be due again. */
bool checkpoint_ended(struct checkpoint *checkpoint);
/* A freeze begins: returns an empty journal to go on with. Only after checkpoint_due, which is false from here on until the journal that
 * is now full is given and written. Never blocks, nor does the next. */
struct journal *checkpoint_take(struct checkpoint *checkpoint);
/* After checkpoint_take, once `full`, numbered 1, 2, 3 ..., holds all it is to hold. */
void checkpoint_give(struct checkpoint *checkpoint, struct journal *full, uint64_t number);

/* Thread: any. */
void checkpoint_hurry(struct checkpoint *checkpoint); /* the next journal need not wait for the interval, and is synced at once */
uint64_t checkpoint_written(struct checkpoint *checkpoint);
uint64_t checkpoint_synced(struct checkpoint *checkpoint);
struct checkpoint_figures {
    uint64_t keys, bytes;  /* of the last write */
    double seconds;        /* of the last write */
    uint64_t bytes_total, events_errors;
};
void checkpoint_figures(struct checkpoint *checkpoint, struct checkpoint_figures *ret_figures);

/* Makes `path` a copy of the store as of the last journal written (store_ops.snapshot), on the checkpoint's thread, between two
 * journals; waits for it. FR_CLOSED once it is stopping, or if `stop` (may be NULL) becomes true before it has begun. Thread: any,
 * one at a time. */
int checkpoint_snapshot(struct checkpoint *checkpoint, const char *path, const _Atomic bool *stop, struct fr_err *err);

/* ---- loading, before the threads start -------------------------------------------------------------------- */

/* Called once per row of a table. Columns ascending. SUM tables: sums != 0; BYTES tables: cells. Return false when the content
 * cannot be ours; the load then fails with FR_CORRUPT and names table and row. */
struct state_loader {
    enum journal_table table;
    bool side_by_side; /* rows may be handed out by several threads at once, in no particular order; else ascending, by one */
    void *context;
    bool (*sums)(void *context, uint32_t row, const uint32_t *columns, const int64_t *sums, size_t len);
    bool (*cells)(void *context, uint32_t row, const uint32_t *columns, const struct fr_bytes *cells, size_t len);
};
/* The tables given are loaded at the same time, on threads of their own: two loaders of one call may read what the other reads,
 * and share nothing that either changes. What one needs of another is loaded by a call before. Errors: the first loader's. */
int state_load(struct store *store, const struct state_loader *loaders, size_t loaders_len, struct fr_err *err);

#endif
