/*
 * json.h -- what the status page's answers share: values that are always valid JSON, and the way out.
 * Thread: any.
 */
#ifndef FR_ADMIN_JSON_H
#define FR_ADMIN_JSON_H

#include <jansson.h>

#include "freshet/bytes.h"
#include "freshet/codec.h"

void json_begin(void); /* once, before any other: jansson's memory is fr_alloc's, so that none of its calls fails for want of it */

/* Bytes that are not UTF-8 become U+FFFD each; NULL bytes are "". */
json_t *json_text(struct fr_bytes text);
/* An integer where it is one; null where it is no number. */
json_t *json_number(double value);
/* Writes and frees it. `digits`: of numbers that are no integers, 17 at most. */
void json_put(struct fr_writer *out, json_t *json, size_t digits);

#endif
