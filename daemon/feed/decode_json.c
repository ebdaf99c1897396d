/*
 * decode_json.c -- an Event in proto3's JSON form.
 *
 *     {"user_id": "u1", "itemId": "i7", "type": "rating", "value": 4.5, "time_ms": "1717171717000", "eventId": "e1"}
 *
 * Both spellings of a name are accepted; when a field comes twice the later one wins; null is absence; unknown fields
 * are ignored. An int64 is a number or a string of one, and 1.7e12 is an integer too; a double is a number, a string
 * of one, "NaN", "Infinity" or "-Infinity" (which the rules then refuse by name). Strings may hold \u0000 here, so
 * that an id with a NUL is refused as such and not cut short.
 */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "decode.h"

static bool digits(const char **at, const char *end)
{
    const char *begin = *at;

    while (*at < end && **at >= '0' && **at <= '9')
        ++*at;
    return *at > begin;
}

/* Is the text a number by JSON's grammar (strtod alone would take hex and spaces)? *ret_whole: it has neither fraction
 * nor exponent. */
static bool is_number(const char *at, size_t len, bool *ret_whole)
{
    const char *end = at + len;

    if (at < end && *at == '-')
        at++;
    if (!digits(&at, end))
        return false;
    *ret_whole = at == end;
    if (at < end && *at == '.') {
        at++;
        if (!digits(&at, end))
            return false;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && (*at == '+' || *at == '-'))
            at++;
        if (!digits(&at, end))
            return false;
    }
    return at == end;
}

static bool whole_from_real(double real, int64_t *ret_whole)
{
    if (!(real >= -9223372036854775808.0 && real < 9223372036854775808.0) || trunc(real) != real)
        return false;
    *ret_whole = (int64_t)real;
    return true;
}

static bool get_whole(const json_t *value, const char *name, int64_t *ret_whole, struct problem *problem)
{
    const char *text = json_string_value(value);
    bool whole, good = false;

    if (json_is_integer(value)) {
        *ret_whole = json_integer_value(value);
        return true;
    }
    if (json_is_real(value)) {
        good = whole_from_real(json_real_value(value), ret_whole);
    } else if (text && is_number(text, json_string_length(value), &whole)) {
        if (whole) {
            long long parsed;

            errno = 0;
            parsed = strtoll(text, NULL, 10);
            good = errno == 0;
            if (good)
                *ret_whole = parsed;
        } else {
            good = whole_from_real(strtod(text, NULL), ret_whole);
        }
    }
    return good ? true : problem_say(problem, "undecodable", "%s is not a 64-bit integer", name);
}

static bool get_real(const json_t *value, const char *name, double *ret_real, struct problem *problem)
{
    const char *text = json_string_value(value);
    bool whole;

    if (json_is_number(value))
        *ret_real = json_number_value(value);
    else if (text && is_number(text, json_string_length(value), &whole))
        *ret_real = strtod(text, NULL);
    else if (text && strcmp(text, "NaN") == 0)
        *ret_real = NAN;
    else if (text && strcmp(text, "Infinity") == 0)
        *ret_real = INFINITY;
    else if (text && strcmp(text, "-Infinity") == 0)
        *ret_real = -INFINITY;
    else
        return problem_say(problem, "undecodable", "%s is not a number", name);
    return true;
}

static bool get_text(const json_t *value, const char *name, struct fr_bytes *ret_text, struct problem *problem)
{
    if (!json_is_string(value))
        return problem_say(problem, "undecodable", "%s is not a string", name);
    *ret_text = (struct fr_bytes){json_string_value(value), json_string_length(value)};
    return true;
}

static bool take_context(json_t *value, struct fields *fields, struct problem *problem)
{
    if (!json_is_object(value))
        return problem_say(problem, "undecodable", "context is not an object");
    for (void *iter = json_object_iter(value); iter; iter = json_object_iter_next(value, iter)) {
        struct fr_bytes name = {json_object_iter_key(iter), json_object_iter_key_len(iter)}, text;
        if (!json_is_string(json_object_iter_value(iter)))
            return problem_say(problem, "undecodable", "context has a value that is not a string");
        text.at = json_string_value(json_object_iter_value(iter));
        text.len = json_string_length(json_object_iter_value(iter));
        fields_context(fields, name, text);
    }
    return true;
}

static bool is_key(struct fr_bytes key, struct fr_bytes proto_name, struct fr_bytes json_name)
{
    return fr_bytes_equal(key, proto_name) || fr_bytes_equal(key, json_name);
}

static bool take_member(struct fr_bytes key, json_t *value, struct fields *fields, struct problem *problem)
{
    if (json_is_null(value))
        return true;
    if (is_key(key, FR_BYTES("user_id"), FR_BYTES("userId")))
        return get_text(value, "user_id", &fields->user, problem);
    if (is_key(key, FR_BYTES("item_id"), FR_BYTES("itemId")))
        return get_text(value, "item_id", &fields->item, problem);
    if (fr_bytes_equal(key, FR_BYTES("type")))
        return get_text(value, "type", &fields->type, problem);
    if (is_key(key, FR_BYTES("event_id"), FR_BYTES("eventId")))
        return get_text(value, "event_id", &fields->event_id, problem);
    if (is_key(key, FR_BYTES("time_ms"), FR_BYTES("timeMs")))
        return get_whole(value, "time_ms", &fields->time, problem);
    if (fr_bytes_equal(key, FR_BYTES("context")))
        return take_context(value, fields, problem);
    if (fr_bytes_equal(key, FR_BYTES("value"))) {
        fields->has_value = true;
        return get_real(value, "value", &fields->value, problem);
    }
    return true;
}

/* An integer of more than 64 bits may stand in a field we ignore, so it is read again with all integers as doubles: the
 * one int64 we do read is exact up to 2^53 that way, and no accepted time is larger. */
static json_t *parse(struct fr_bytes payload, json_error_t *ret_error)
{
    json_t *document = json_loadb(payload.at ? payload.at : "", payload.len, JSON_ALLOW_NUL, ret_error);

    if (!document && json_error_code(ret_error) == json_error_numeric_overflow)
        document = json_loadb(payload.at, payload.len, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, ret_error);
    return document;
}

bool decode_json(struct fr_bytes payload, json_t **ret_document, struct fields *ret_fields, struct problem *problem)
{
    json_error_t error;
    json_t *document = parse(payload, &error);

    *ret_document = NULL;
    fields_reset(ret_fields);
    if (!document) {
        for (char *at = error.text; *at; at++) /* it quotes the record, and may cut a character in two */
            *at = *at >= ' ' && *at <= '~' ? *at : '?';
        return problem_say(problem, "undecodable", "JSON: %s (byte %d)", error.text, error.position);
    }
    if (!json_is_object(document)) {
        json_decref(document);
        return problem_say(problem, "undecodable", "JSON: not an object");
    }
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
