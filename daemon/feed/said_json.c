/*
 * said_json.c -- an Item or a User in proto3's JSON form; the rules of names, nulls and numbers are those of decode_json.c.
 *
 *     {"item_id": "i7", "categories": ["garden"], "features": {"brand": "acme"}, "availableUntilMs": "1717171717000", "hidden": false}
 */
#include "json_fields.h"
#include "said.h"

static bool take_feature(void *said, struct fr_bytes name, struct fr_bytes value, struct problem *problem)
{
    return said_feature(said, name, value, problem);
}

static bool take_categories(const json_t *value, struct said *said, struct problem *problem)
{
    struct fr_bytes category;

    if (!json_is_array(value))
        return problem_say(problem, "undecodable", "categories is not an array");
    for (size_t i = 0; i < json_array_size(value); i++)
        if (!json_text_of(json_array_get(value, i), "an entry of categories", &category, problem) ||
            !said_category(said, category, problem))
            return false;
    return true;
}

static bool take_embedding(const json_t *value, struct said *said, struct problem *problem)
{
    double number;

    if (!json_is_array(value))
        return problem_say(problem, "undecodable", "embedding is not an array");
    for (size_t i = 0; i < json_array_size(value); i++)
        if (!json_real_of(json_array_get(value, i), "an entry of embedding", &number, problem) || !said_number(said, number, problem))
            return false;
    return true;
}

static bool take_flag(const json_t *value, const char *name, bool *ret_flag, struct problem *problem)
{
    if (!json_is_boolean(value))
        return problem_say(problem, "undecodable", "%s is neither true nor false", name);
    *ret_flag = json_is_true(value);
    return true;
}

static bool take_item_member(struct fr_bytes key, json_t *value, struct said *said, struct problem *problem)
{
    struct item_said *item = &said->item;

    if (json_key_is(key, FR_BYTES("item_id"), FR_BYTES("itemId")))
        return json_text_of(value, "item_id", &said->id, problem);
    if (fr_bytes_equal(key, FR_BYTES("categories")))
        return take_categories(value, said, problem);
    if (fr_bytes_equal(key, FR_BYTES("features")))
        return json_pairs(value, "features", take_feature, said, problem);
    if (json_key_is(key, FR_BYTES("available_from_ms"), FR_BYTES("availableFromMs")))
        return json_whole(value, "available_from_ms", &item->from, problem);
    if (json_key_is(key, FR_BYTES("available_until_ms"), FR_BYTES("availableUntilMs")))
        return json_whole(value, "available_until_ms", &item->until, problem);
    if (fr_bytes_equal(key, FR_BYTES("hidden")))
        return take_flag(value, "hidden", &item->hidden, problem);
    if (json_key_is(key, FR_BYTES("owner_user_id"), FR_BYTES("ownerUserId")))
        return json_text_of(value, "owner_user_id", &item->owner, problem);
    if (fr_bytes_equal(key, FR_BYTES("embedding")))
        return take_embedding(value, said, problem);
    if (fr_bytes_equal(key, FR_BYTES("title")))
        return json_text_of(value, "title", &item->title, problem);
    return true;
}

static bool take_user_member(struct fr_bytes key, json_t *value, struct said *said, struct problem *problem)
{
    if (json_key_is(key, FR_BYTES("user_id"), FR_BYTES("userId")))
        return json_text_of(value, "user_id", &said->id, problem);
    return !fr_bytes_equal(key, FR_BYTES("features")) || json_pairs(value, "features", take_feature, said, problem);
}

bool said_json(struct fr_bytes payload, bool user, json_t **ret_document, struct said *ret_said, struct problem *problem)
{
    json_t *document = json_open(payload, problem);

    *ret_document = NULL;
    said_reset(ret_said);
    if (!document)
        return false;
    for (void *iter = json_object_iter(document); iter; iter = json_object_iter_next(document, iter)) {
        struct fr_bytes key = {json_object_iter_key(iter), json_object_iter_key_len(iter)};
        json_t *value = json_object_iter_value(iter);
        if (!json_is_null(value) && !(user ? take_user_member : take_item_member)(key, value, ret_said, problem)) {
            json_decref(document);
            return false;
        }
    }
    *ret_document = document;
    return true;
}
