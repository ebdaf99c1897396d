/* answer_operate.h -- what an operator does to a running daemon: what answer.c asks of it. Thread: each answerer its own. */
#ifndef FR_ANSWER_OPERATE_H
#define FR_ANSWER_OPERATE_H

#include "check.h"

bool read_set_log_level(struct check *check, const void *message);
/* PauseIngest, ResumeIngest, Drain, SetLogLevel, ReloadConfig. */
void operate_answer(const struct serve_control *control, struct engine *engine, struct question *question, struct answer *answer);
/* Why ingest stands still, as a message has it; how many reasons. */
size_t held_of(struct fr_arena *arena, const struct engine *engine, char ***ret_names);

#endif
