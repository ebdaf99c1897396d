/*
 * decode_json.c -- an Event in proto3's JSON form.
 *
 *     {"user_id": "u1", "itemId": "i7", "type": "rating", "value": 4.5, "time_ms": "1717171717000", "eventId": "e1"}
 *
 * Both spellings of a name are accepted; when a field comes twice the later one wins; null is absence; unknown fields
 * are ignored. Numbers and strings: json_fields.c.
 */
#include "json_fields.h"

static bool take_pair(void *fields, struct fr_bytes name, struct fr_bytes value, struct problem *problem)
{
    (void)problem;
    fields_context(fields, name, value);
    return true;
}

static bool take_member(struct fr_bytes key, json_t *value, struct fields *fields, struct problem *problem)
{
    if (json_is_null(value))
        return true;
    if (json_key_is(key, FR_BYTES("user_id"), FR_BYTES("userId")))
        return json_text_of(value, "user_id", &fields->user, problem);
    if (json_key_is(key, FR_BYTES("item_id"), FR_BYTES("itemId")))
        return json_text_of(value, "item_id", &fields->item, problem);
    if (fr_bytes_equal(key, FR_BYTES("type")))
        return json_text_of(value, "type", &fields->type, problem);
    if (json_key_is(key, FR_BYTES("event_id"), FR_BYTES("eventId")))
        return json_text_of(value, "event_id", &fields->event_id, problem);
    if (json_key_is(key, FR_BYTES("time_ms"), FR_BYTES("timeMs")))
        return json_whole(value, "time_ms", &fields->time, problem);
    if (fr_bytes_equal(key, FR_BYTES("context")))
        return json_pairs(value, "context", take_pair, fields, problem);
    if (fr_bytes_equal(key, FR_BYTES("value"))) {
        fields->has_value = true;
        return json_real_of(value, "value", &fields->value, problem);
    }
    return true;
}

bool decode_json(struct fr_bytes payload, json_t **ret_document, struct fields *ret_fields, struct problem *problem)
{
    json_t *document = json_open(payload, problem);

    *ret_document = NULL;
    fields_reset(ret_fields);
    if (!document)
        return false;
    for (void *iter = json_object_iter(document); iter; iter = json_object_iter_next(document, iter)) {
        struct fr_bytes key = {json_object_iter_key(iter), json_object_iter_key_len(iter)};

        if (!take_member(key, json_object_iter_value(iter), ret_fields, problem)) {
            json_decref(document);
            return false;
        }
    }
    *ret_document = document;
    return true;
}

void decode_json_release(json_t *document)
{
    json_decref(document);
}
