/* answer_why.h -- Score and Explain: what answer.c asks of given items. Thread: each answerer its own. */
#ifndef FR_ANSWER_WHY_H
#define FR_ANSWER_WHY_H

#include "answer_parts.h"
#include "check.h"

bool read_score(struct check *check, const void *message);
void answer_score(struct reader *reader, struct part_as_of *as_of, struct question *question, struct answer *answer);
bool read_explain(struct check *check, const void *message);
void answer_explain(struct reader *reader, struct part_as_of *as_of, struct question *question, struct answer *answer);

#endif
