/*
 * check.h -- every field of a request against its limit. What is wrong is said with the field's name as in the .proto
 * and the limit's name as in the configuration. Each returns false when it has refused.
 */
#ifndef FR_CHECK_H
#define FR_CHECK_H

#include <freshet/v1/recommender.pb-c.h>

#include "answer.h"

struct check {
    const struct serve_options *limits;
    const struct engine *engine; /* which models run */
    struct question *question; /* what is good goes here */
    struct answer *answer;     /* what is wrong is said here */
};

bool check_id(struct check *check, const char *field, struct fr_bytes id);
bool check_k(struct check *check, uint32_t k);
/* `neighbours`: it is to say which items are like an item. */
bool check_model(struct check *check, const char *model, bool neighbours);
bool check_user_or_seeds(struct check *check, struct fr_bytes user, Freshet__V1__Seed *const *seeds, size_t seeds_len);
bool check_filter(struct check *check, const Freshet__V1__Filter *filter); /* NULL is fine */
/* A list of items; limits.max_filter_items of them at most. */
bool check_items(struct check *check, const char *field, const ProtobufCBinaryData *items, size_t len,
                 const struct fr_bytes **ret_items, size_t *ret_len);
/* Entries of a map of text to text. */
bool check_context(struct check *check, ProtobufCMessage *const *context, size_t len);
bool check_positions(struct check *check, Freshet__V1__Position *const *positions, size_t len);
bool check_share(struct check *check, const char *field, double value);
bool check_popular_by(struct check *check, const char *by);

#endif
