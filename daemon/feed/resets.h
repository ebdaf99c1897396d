/*
 * resets.h -- an operator says where a halted partition is to be read on: from whoever is told so to the topic's thread, and back.
 *
 *     asked ──> taken, by the thread of the topic ──> over: refused, or given to the engine
 *
 * One at a time. What was asked is done even if the asker has gone: it names where the partition stood, so it can only be done there.
 */
#ifndef FR_RESETS_H
#define FR_RESETS_H

#include "assign.h"

struct resets;
struct resets *resets_new(const struct feed_options *options); /* borrowed until resets_free */
void resets_free(struct resets *resets);                       /* NULL is fine */

/* Thread: any. As feed_reset and feed_reset_done. */
int resets_ask(struct resets *resets, const struct reset *reset, uint64_t *ret_ticket, struct fr_err *err);
bool resets_done(struct resets *resets, uint64_t ticket, struct reset_outcome *ret, int *ret_status, struct fr_err *ret_err);

/* Does what is asked for a partition of this topic. Thread: the topic's, between two batches. */
void resets_look(struct resets *resets, struct assignment *assignment);
/* The engine has been given a batch: that of assignment_tell too? */
void resets_given(struct resets *resets, struct assignment *assignment);

#endif
