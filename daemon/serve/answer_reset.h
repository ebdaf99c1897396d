/* answer_reset.h -- a halted partition is read on: what answer.c asks of it. Thread: each answerer its own. */
#ifndef FR_ANSWER_RESET_H
#define FR_ANSWER_RESET_H

#include "check.h"

bool read_reset_partition(struct check *check, const void *message);
/* Begins what the question asks for, if it is to reset; false: *answer says why not. */
bool reset_begin(const struct serve_control *control, struct question *question, struct answer *answer);
bool reset_ready(const struct serve_control *control, struct engine *engine, struct question *question);
void reset_answer(struct question *question, struct answer *answer);

#endif
