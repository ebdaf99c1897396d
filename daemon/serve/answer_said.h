/*
 * answer_said.h -- what is said of items and users (freshet/catalogue.h), as messages.
 */
#ifndef FR_ANSWER_SAID_H
#define FR_ANSWER_SAID_H

#include <freshet/v1/recommender.pb-c.h>

#include "freshet/alloc.h"
#include "freshet/catalogue.h"

/* All of the item but its id. The embedding and the texts are copied into the arena. */
void said_item(struct fr_arena *arena, const struct item_said *said, Freshet__V1__Item *item);
Freshet__V1__GetUserResponse__FeaturesEntry **said_user(struct fr_arena *arena, const struct features_said *said, size_t *ret_len);

#endif
