/*
 * trace.c -- see trace.h. What is not exactly as the recommendation says is taken for none.
 */
#include "trace.h"

#include <string.h>

enum { VERSION_AT = 0, TRACE_AT = 3, SPAN_AT = 36, FLAGS_AT = 53, TRACEPARENT_LEN = 55 };

/* `len` digits, as all of them are in lower case. */
static bool is_hex(const char *at, size_t len)
{
    return strspn(at, "0123456789abcdef") >= len;
}

static bool is_zero(const char *at, size_t len)
{
    return strspn(at, "0") >= len;
}

bool trace_read(struct fr_bytes traceparent, char id[TRACE_ID_ROOM], bool *ret_recorded)
{
    char text[TRACEPARENT_LEN + 1] = "";
    static const char digits[] = "0123456789abcdef";

    id[0] = 0;
    *ret_recorded = false;
    if (traceparent.len < TRACEPARENT_LEN)
        return false;
    memcpy(text, traceparent.at, TRACEPARENT_LEN);
    if (!is_hex(text, 2) || text[2] != '-' || !is_hex(text + TRACE_AT, 32) || text[35] != '-' || !is_hex(text + SPAN_AT, 16) ||
        text[52] != '-' || !is_hex(text + FLAGS_AT, 2))
        return false;
    if (memcmp(text, "ff", 2) == 0 || is_zero(text + TRACE_AT, 32) || is_zero(text + SPAN_AT, 16))
        return false;
    /* Version 0 is as long as this; a later one may say more behind a dash. */
    if (traceparent.len > TRACEPARENT_LEN && (memcmp(text, "00", 2) == 0 || traceparent.at[TRACEPARENT_LEN] != '-'))
        return false;
    memcpy(id, text + TRACE_AT, 32);
    id[32] = 0;
    *ret_recorded = (strchr(digits, text[FLAGS_AT + 1]) - digits) & 1;
    return true;
}
