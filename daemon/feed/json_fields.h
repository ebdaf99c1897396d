/*
 * json_fields.h -- members of a JSON document by the types they have in the .proto. Each says in `problem` what is wrong with `name`.
 */
#ifndef FR_JSON_FIELDS_H
#define FR_JSON_FIELDS_H

#include <jansson.h>

#include "decode.h"

/* An object, the caller's to json_decref; NULL if the payload is none. */
json_t *json_open(struct fr_bytes payload, struct problem *problem);
/* Either spelling of a field's name. */
bool json_key_is(struct fr_bytes key, struct fr_bytes proto_name, struct fr_bytes json_name);
bool json_whole(const json_t *value, const char *name, int64_t *ret_whole, struct problem *problem);
bool json_real_of(const json_t *value, const char *name, double *ret_real, struct problem *problem);
bool json_text_of(const json_t *value, const char *name, struct fr_bytes *ret_text, struct problem *problem);
/* A map<string, string>, pair by pair, until `take` is false. */
bool json_pairs(json_t *value, const char *name, bool (*take)(void *context, struct fr_bytes name, struct fr_bytes value, struct problem *problem),
                void *context, struct problem *problem);

#endif
