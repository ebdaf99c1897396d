/*
 * json.c -- values that are always valid JSON (json.h).
 */
#include "json.h"

#include <math.h>
#include <stdlib.h>

#include "freshet/alloc.h"

void json_begin(void)
{
    json_set_alloc_funcs(fr_alloc, free);
}

/* Taken where jansson refuses the bytes: each that is no part of a character is replaced. */
static json_t *mended(struct fr_bytes text)
{
    struct fr_writer out;
    json_t *json;

    fr_writer_init(&out, 0);
    for (size_t at = 0; at < text.len;) {
        size_t len = 1;

        while (len <= 4 && at + len <= text.len && !fr_utf8_valid(text.at + at, len))
            len++;
        if (len <= 4 && at + len <= text.len) {
            fr_put_bytes(&out, text.at + at, len);
            at += len;
        } else {
            fr_put_text(&out, "\xEF\xBF\xBD");
            at++;
        }
    }
    json = json_stringn(out.at, out.len);
    fr_writer_release(&out);
    return json;
}

json_t *json_text(struct fr_bytes text)
{
    return text.len == 0                       ? json_string("")
           : fr_utf8_valid(text.at, text.len) ? json_stringn(text.at, text.len)
                                               : mended(text);
}

json_t *json_number(double value)
{
    if (!isfinite(value))
        return json_null();
    return value == trunc(value) && fabs(value) < 9007199254740992.0 ? json_integer((json_int_t)value) : json_real(value);
}

static int put(const char *bytes, size_t len, void *out)
{
    fr_put_bytes(out, bytes, len);
    return 0;
}

void json_put(struct fr_writer *out, json_t *json, size_t digits)
{
    json_dump_callback(json, put, out, JSON_COMPACT | JSON_REAL_PRECISION(digits));
    json_decref(json);
}
