/* answer_operate.h -- what an operator does to a running daemon: what answer.c asks of it. Thread: each answerer its own. */
#ifndef FR_ANSWER_OPERATE_H
#define FR_ANSWER_OPERATE_H

#include "check.h"

bool read_set_log_level(struct check *check, const void *message);
bool read_forget_user(struct check *check, const void *message);
bool read_forget_item(struct check *check, const void *message);
bool pause_ready(struct engine *engine); /* or taken back */
/* Begins what the question asks for, if it is to forget; false: *answer says why not. */
bool forget_begin(const struct serve_control *control, struct question *question, struct answer *answer);
bool forget_ready(const struct serve_control *control, struct engine *engine, struct question *question);
enum rpc_code operate_code(enum fr_status status); /* of what the feed could not do */
/* PauseIngest, ResumeIngest, Drain, SetLogLevel, ForgetUser, ForgetItem, ResetPartition, ReloadConfig. */
void operate_answer(const struct serve_control *control, struct engine *engine, struct question *question, struct answer *answer);
/* Why ingest stands still, as a message has it; how many reasons. */
size_t held_of(struct fr_arena *arena, const struct engine *engine, char ***ret_names);

#endif
