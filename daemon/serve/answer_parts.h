/* answer_parts.h -- parts that several answers share, made in an arena. Thread: each answerer its own. */
#ifndef FR_ANSWER_PARTS_H
#define FR_ANSWER_PARTS_H

#include <freshet/v1/recommender.pb-c.h>

#include "answer.h"

/* The question is answered with this message. */
void part_say(struct question *question, const ProtobufCMessage *message, struct answer *answer);
char *part_text(struct fr_arena *arena, const char *text, size_t len); /* a copy, with an end; `text` may be NULL if len is 0 */
Freshet__V1__Position **part_positions(struct fr_arena *arena, const struct position *positions, size_t len);
Freshet__V1__AsOf *part_as_of(struct fr_arena *arena, const struct reader *reader);
Freshet__V1__Reason **part_reasons(struct fr_arena *arena, const struct why *reasons, size_t len);
Freshet__V1__Recommendation **part_recommendations(struct fr_arena *arena, const struct recommendation_list *list);

#endif
