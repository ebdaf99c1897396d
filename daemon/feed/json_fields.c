/*
 * json_fields.c -- what proto3's JSON form writes as a number, a string or an object, read as strictly as it is written.
 *
 * An int64 is a number or a string of one, and 1.7e12 is an integer too; a double is a number, a string of one, "NaN",
 * "Infinity" or "-Infinity" (which the rules then refuse by name). Strings may hold \u0000 here, so that an id with a NUL is
 * refused as such and not cut short.
 */
#include "json_fields.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

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

bool json_whole(const json_t *value, const char *name, int64_t *ret_whole, struct problem *problem)
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

bool json_real_of(const json_t *value, const char *name, double *ret_real, struct problem *problem)
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

bool json_text_of(const json_t *value, const char *name, struct fr_bytes *ret_text, struct problem *problem)
{
    if (!json_is_string(value))
        return problem_say(problem, "undecodable", "%s is not a string", name);
    *ret_text = (struct fr_bytes){json_string_value(value), json_string_length(value)};
    return true;
}

bool json_key_is(struct fr_bytes key, struct fr_bytes proto_name, struct fr_bytes json_name)
{
    return fr_bytes_equal(key, proto_name) || fr_bytes_equal(key, json_name);
}

bool json_pairs(json_t *value, const char *name, bool (*take)(void *context, struct fr_bytes name, struct fr_bytes value, struct problem *problem),
                void *context, struct problem *problem)
{
    if (!json_is_object(value))
        return problem_say(problem, "undecodable", "%s is not an object", name);
    for (void *iter = json_object_iter(value); iter; iter = json_object_iter_next(value, iter)) {
        const json_t *text = json_object_iter_value(iter);
        if (!json_is_string(text))
            return problem_say(problem, "undecodable", "%s has a value that is not a string", name);
        if (!take(context, (struct fr_bytes){json_object_iter_key(iter), json_object_iter_key_len(iter)},
                  (struct fr_bytes){json_string_value(text), json_string_length(text)}, problem))
            return false;
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

json_t *json_open(struct fr_bytes payload, struct problem *problem)
{
    json_error_t error;
    json_t *document = parse(payload, &error);

    if (!document) {
        for (char *at = error.text; *at; at++) /* it quotes the record, and may cut a character in two */
            *at = *at >= ' ' && *at <= '~' ? *at : '?';
        problem_say(problem, "undecodable", "JSON: %s (byte %d)", error.text, error.position);
        return NULL;
    }
    if (json_is_object(document))
        return document;
    json_decref(document);
    problem_say(problem, "undecodable", "JSON: not an object");
    return NULL;
}
