/* answer_parts.h -- parts that several answers share, made in an arena. Thread: each answerer its own. */
#ifndef FR_ANSWER_PARTS_H
#define FR_ANSWER_PARTS_H

#include <freshet/v1/recommender.pb-c.h>

#include "answer.h"

/* The question is answered with this message. */
void part_say(struct question *question, const ProtobufCMessage *message, struct answer *answer);
char *part_text(struct fr_arena *arena, const char *text, size_t len); /* a copy, with an end; `text` may be NULL if len is 0 */
Freshet__V1__Position **part_positions(struct fr_arena *arena, const struct position *positions, size_t len);
/*
 * What an answer stands for, as of the reader's begin; part_say follows. The positions, which are half of an answer of ten items, stay
 * packed until one of them moves: each answerer keeps its own. Zeroed, it is good to use.
 */
struct part_as_of {
    struct position *positions; /* that are packed */
    size_t len, room;
    uint8_t *bytes;
    size_t bytes_len, bytes_room;
};
void part_as_of(struct part_as_of *part, struct fr_arena *arena, const struct reader *reader, ProtobufCMessage *response);
void part_as_of_release(struct part_as_of *part);
Freshet__V1__Reason **part_reasons(struct fr_arena *arena, const struct why *reasons, size_t len);
Freshet__V1__Recommendation **part_recommendations(struct fr_arena *arena, const struct recommendation_list *list);

#endif
