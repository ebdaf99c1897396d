/* ask.h -- parts of requests and answers that the asking verbs share (ask.c); on failure each has said why. */
#ifndef FR_ASK_H
#define FR_ASK_H

#include "cli.h"
#include "freshet/v1/recommender.pb-c.h"

#define ASK_SERVICE "/freshet.v1.Recommender/"

/* Calls; the answer is unpacked into *ret, for ask_free. The exit status. */
int ask_call(const struct common *common, const char *method, const void *request, const ProtobufCMessageDescriptor *type, void *ret);
void ask_free(void *message);

/* ITEM or ITEM=WEIGHT each. CLI_DONE or CLI_USAGE. */
int ask_seeds(const struct texts *texts, size_t *ret_len, Freshet__V1__Seed ***ret_seeds);
/* NAME=VALUE each, as entries of a map. */
int ask_context(const struct texts *texts, const ProtobufCMessageDescriptor *entry, size_t *ret_len, void *ret_entries);
/* What an answer may list, from the rows of the verbs that have a filter. */
struct filter_asked {
    struct texts exclude, include, any, all, none;
    uint32_t per_category;
};
#define FILTER_ROWS(filter)                                                                                            \
    {"exclude", 0, OPTION_TEXTS, &(filter).exclude, "ITEM", "never this one; may be repeated"},                        \
        {"include", 0, OPTION_TEXTS, &(filter).include, "ITEM", "only among these; may be repeated"},                  \
        {"category", 0, OPTION_TEXTS, &(filter).any, "NAME", "only of this category, or of another one given so"},     \
        {"all-categories", 0, OPTION_TEXTS, &(filter).all, "NAME", "only of this category; may be repeated: of all of them"}, \
        {"no-category", 0, OPTION_TEXTS, &(filter).none, "NAME", "none of this category; may be repeated"},            \
    {                                                                                                                  \
        "per-category", 0, OPTION_COUNT32, &(filter).per_category, "N", "at most so many of one category"                \
    }
Freshet__V1__Filter *ask_filter(const struct filter_asked *asked);
ProtobufCBinaryData *ask_ids(const struct texts *texts);

/* A table: rank, item, score, source, the title and what each comes from if they are there. */
enum ask_show { ASK_SCORES = 0, ASK_REASONS = 1, ASK_TIMES = 2 /* the scores are Unix ms: when it came */ };
void ask_show_items(Freshet__V1__Recommendation *const *items, size_t len, const struct titles *titles, enum ask_show show);

#endif
