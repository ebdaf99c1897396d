/*
 * cutoffs.h -- up to when, by Kafka's clock, events of an id are ignored: for ever, whatever is replayed or restored.
 *
 *     tombstone --> cutoffs_put --> journal ('c' keys)                       the store: the checkpoint of the tombstone
 *                        |
 *                        '-> owed --cutoffs_note, before the write--> ledger    beside the store: no restore takes it back
 *
 * An id is known again by 128 bits of hash; the id itself is not kept. Open addressing, linear probing, nothing removed; 32 bytes
 * per cut-off at most half of the places taken.
 *
 * Thread: engine, but for cutoffs_note and cutoffs_look.
 */
#ifndef FR_CUTOFFS_H
#define FR_CUTOFFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "freshet/bytes.h"
#include "freshet/clock.h"
#include "freshet/err.h"
#include "freshet/format.h"
#include "freshet/journal.h"
#include "freshet/store.h"

struct cutoffs;
struct cutoffs *cutoffs_new(void);
void cutoffs_free(struct cutoffs *cutoffs);
size_t cutoffs_len(const struct cutoffs *cutoffs); /* Thread: any */
size_t cutoffs_bytes(const struct cutoffs *cutoffs); /* Thread: any */

/* All cut-offs of users, each and one more, added up: it rises with whoever is forgotten, for the first time or again. And what it was of those
 * that the store had when it was loaded. */
uint64_t cutoffs_users(const struct cutoffs *cutoffs);
uint64_t cutoffs_users_stored(const struct cutoffs *cutoffs);

/* -1: there is none. */
when_ms cutoffs_upto(const struct cutoffs *cutoffs, enum format_forgotten kind, struct fr_bytes id);
when_ms cutoffs_look(struct cutoffs *cutoffs, enum format_forgotten kind, struct fr_bytes id); /* Thread: any */
/* Never goes back. It is in the journal, and in the ledger before journal `number` is written. */
void cutoffs_put(struct cutoffs *cutoffs, enum format_forgotten kind, struct fr_bytes id, when_ms upto, struct journal *journal,
                 uint64_t number);
/* What is owed to the ledger for journals up to `number`. Thread: the checkpoint's. */
int cutoffs_note(struct cutoffs *cutoffs, struct store *store, uint64_t number, struct fr_err *err);

/* From the store, then from the ledger; those that the ledger has and the store lacks, or has an older one of, are put into `lacked` and
 * journaled now. What the store has and the ledger lacks is owed to the ledger. */
int cutoffs_load(struct cutoffs *cutoffs, struct store *store, struct journal *journal, struct cutoffs *lacked, struct fr_err *err);

#endif
