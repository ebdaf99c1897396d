/*
 * said.h -- an Item or a User as its record has it, before the rules of decode_said.c. Like the fields of an event (decode.h), its runs
 * point into the record or the parsed document; only the embedding's numbers are gathered here.
 */
#ifndef FR_SAID_H
#define FR_SAID_H

#include "decode.h"
#include "freshet/catalogue.h"

struct said {
    struct fr_bytes id;
    struct item_said item; /* of a user: its features alone */
    size_t embedding_len;
    float embedding[EMBEDDING_MAX];
};
static inline void said_reset(struct said *said)
{
    said->id = (struct fr_bytes){"", 0};
    said->item.hidden = false;
    said->item.from = said->item.until = 0;
    said->item.owner = said->item.title = said->item.embedding = (struct fr_bytes){"", 0};
    said->item.categories_len = said->item.features.len = 0;
    said->embedding_len = 0;
}

/* What comes one by one: each is within its bounds, or the record is refused. */
bool said_category(struct said *said, struct fr_bytes category, struct problem *problem);
bool said_feature(struct said *said, struct fr_bytes name, struct fr_bytes value, struct problem *problem);
bool said_number(struct said *said, double number, struct problem *problem); /* of the embedding */

/* An Item, or with `user` a User. */
bool said_protobuf(struct fr_bytes payload, bool user, struct said *ret_said, struct problem *problem);
/* As decode_json. */
bool said_json(struct fr_bytes payload, bool user, struct json_t **ret_document, struct said *ret_said, struct problem *problem);

/* The whole way: key and value to EVENT_ITEM, EVENT_ITEM_GONE, EVENT_USER or EVENT_USER_GONE. Owns what the event's runs point to. */
struct said_decoder;
struct said_decoder *said_decoder_new(enum feed_format format, bool user);
void said_decoder_free(struct said_decoder *decoder);
bool said_decode(struct said_decoder *decoder, const struct record *record, struct event *event, struct problem *problem);

#endif
