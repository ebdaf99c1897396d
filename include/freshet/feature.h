/*
 * feature.h -- what comes with an event or a question besides ids, as 64-bit keys: {"device": "phone"} is one feature.
 *
 *     key = XXH3(name, 0, value)       never 0; equal pairs have equal keys in events, in questions and after every start
 *
 * Bounds: the first FEATURES_MAX different pairs of a record; names and values of at most FEATURE_BYTES_MAX bytes, names without NUL.
 */
#ifndef FR_FEATURE_H
#define FR_FEATURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "freshet/bytes.h"

enum { FEATURES_MAX = 32, FEATURE_BYTES_MAX = 256 };

/* 0 if name or value is beyond its bounds. Thread: any. */
uint64_t fr_feature_key(struct fr_bytes name, struct fr_bytes value);
/* Of a category of an item, apart from that of any feature. */
uint64_t fr_category_key(struct fr_bytes name);
/* Appends it to `keys`, which has room for FEATURES_MAX; one that is there already is left. False: beyond a bound, and left out. */
bool fr_feature_add(uint64_t *keys, size_t *len, struct fr_bytes name, struct fr_bytes value);

#endif
