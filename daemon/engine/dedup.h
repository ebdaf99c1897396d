/*
 * dedup.h -- has this event_id been seen within the window of Kafka time?
 *
 * Per partition, because all events of a user are in one. A repeat is an entry with the same hash of (user_id,
 * event_id) whose record is at most `window` of Kafka time away. Entries (16 bytes: 84 bits of the hash, 44 of time)
 * stand in a queue of buckets in order of arrival, each at most window/16 long and ids_max/16 large. A bucket leaves
 * once all of it is out of the window, or when the partition holds more than `ids_max` (oldest first, counted). What
 * decides is the log alone, so a replay decides alike; the whole is part of the checkpoint (TABLE_DEDUP, row =
 * partition << 20 | bucket's number mod 2^20, column = order of arrival in it). The rules in full: dedup.c.
 * Thread: the engine's, but where said.
 */
#ifndef FR_DEDUP_H
#define FR_DEDUP_H

#include <stdbool.h>
#include <stdint.h>

#include "freshet/bytes.h"
#include "freshet/clock.h"
#include "freshet/journal.h"

struct dedup;
struct dedup *dedup_new(span_ms window, uint32_t ids_max); /* per partition */
void dedup_free(struct dedup *dedup);
/* True: a repeat, drop it. False: new, and remembered (journalled). `logged` is the record's Kafka time, at most
 * EVENT_WHEN_MAX; below 0: as the last one's. */
bool dedup_seen(struct dedup *dedup, uint32_t partition, uint64_t hash_high, uint32_t hash_low, when_ms logged,
                struct journal *journal);
/* One row, its cells in order of columns; rows in any order. False if they cannot be ours. */
bool dedup_load(struct dedup *dedup, uint32_t row, const struct fr_bytes *cells, size_t len);
uint64_t dedup_ids(const struct dedup *dedup);
uint64_t dedup_overflowed(const struct dedup *dedup); /* ids forgotten early because of ids_max */
size_t dedup_bytes(const struct dedup *dedup); /* Thread: any */

#endif
