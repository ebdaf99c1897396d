/*
 * tail.h -- the batches that are not yet known to be durable, and the store's recovery from errors without losing or
 * doubling one.
 *
 *     store:   [ ... durable ... | written, not synced ]
 *     tail:                        [41]  [42]  [43]      [44] still to be written
 *                                       ^ after an error the store is opened anew; it may end anywhere here
 *
 * A batch says what the store is to hold, byte for byte, and carries its journal's number (m/journals). An opened store
 * therefore tells exactly which of our batches it has: those up to its number, durable by the opening (storage/rocks.c).
 * Writing the others again, in order, leads to the same store as if nothing had happened. A batch that failed and reached
 * the log all the same is one that it has.
 *
 * Thread: the checkpoint's.
 */
#ifndef FR_TAIL_H
#define FR_TAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "freshet/store.h"

struct tail;
struct tail *tail_new(struct store *store);
void tail_free(struct tail *tail);

/* An empty batch to compose into; the tail's own. */
struct store_batch *tail_room(struct tail *tail);
/* What is in the room is batch `stored` of the store (m/journals) and freeze `number` of the engine. Ascending without gaps. */
void tail_append(struct tail *tail, uint64_t stored, uint64_t number);

/* Opens the store anew if it failed before, then writes what is not written. After FR_OK the store is as if every batch appended
 * had been written once. FR_CORRUPT: the store has come back with less than was synced or with what is not ours; nothing can
 * be written any more (tail_broken). Any other error: call again later. */
int tail_write(struct tail *tail, struct fr_err *err);
/* The same, then syncs; what was written is durable and let go. */
int tail_sync(struct tail *tail, struct fr_err *err);
/* Something read from the store failed: the next call opens it anew. */
void tail_distrust(struct tail *tail);

bool tail_broken(const struct tail *tail);
bool tail_suspect(const struct tail *tail); /* the next call opens the store anew, which needs room on the disk */
bool tail_long(const struct tail *tail);    /* so much is not synced that syncing should come first */
uint64_t tail_durable(const struct tail *tail); /* newest freeze known to be durable; 0: none of ours yet */

#endif
