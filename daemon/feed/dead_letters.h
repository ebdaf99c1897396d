/*
 * dead_letters.h -- the thread that sends what the engine's outbox holds.
 */
#ifndef FR_DEAD_LETTERS_H
#define FR_DEAD_LETTERS_H

#include "freshet/feed.h"

struct dead_letters;
/* Options and engine are borrowed until dead_letters_stop. */
int dead_letters_start(struct dead_letters **ret_letters, const struct feed_options *options, struct engine *engine,
                       struct fr_err *err);
/* Gives what is on its way a moment to arrive; what does not stays in the outbox and is sent after the next start. */
void dead_letters_stop(struct dead_letters *letters);

#endif
