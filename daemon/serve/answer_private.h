/*
 * answer_private.h -- what question.c and answer.c share: the answerer, and memory in a question's arena.
 */
#ifndef FR_ANSWER_PRIVATE_H
#define FR_ANSWER_PRIVATE_H

#include "answer.h"
#include "wire.h"

struct answerer {
    const struct serve_options *options;
    struct engine *engine;
    struct reader *reader;
    struct engine_status *status;         /* large: made once */
    struct engine_checkpoint *checkpoint; /* likewise */
};

void *arena_zero(struct fr_arena *arena, size_t count, size_t size); /* question.c */

#endif
