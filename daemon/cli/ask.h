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
Freshet__V1__Filter *ask_filter(const struct texts *exclude, const struct texts *include);
ProtobufCBinaryData *ask_ids(const struct texts *texts);

/* A table: rank, item, score, source, the title and what each comes from if they are there. */
void ask_show_items(Freshet__V1__Recommendation *const *items, size_t len, const struct titles *titles, bool reasons);

#endif
