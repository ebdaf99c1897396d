/*
 * tombstones.h -- who is to be forgotten is told to the log, as everything else is: a null value under the id, in the compacted topic.
 *
 * Thread: any, but for start and stop.
 */
#ifndef FR_TOMBSTONES_H
#define FR_TOMBSTONES_H

#include "freshet/feed.h"

struct tombstones;
/* Options and engine are borrowed until tombstones_stop. */
struct tombstones *tombstones_start(const struct feed_options *options, struct engine *engine);
void tombstones_stop(struct tombstones *tombstones);
int tombstones_ask(struct tombstones *tombstones, enum feed_kind kind, struct fr_bytes id, uint64_t *ret_ticket, struct fr_err *err);
bool tombstones_done(struct tombstones *tombstones, uint64_t ticket, struct tombstone *ret, int *ret_status, struct fr_err *ret_err);

#endif
