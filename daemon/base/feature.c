/*
 * feature.c -- keys of features.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <string.h>

#include "freshet/feature.h"

uint64_t fr_feature_key(struct fr_bytes name, struct fr_bytes value)
{
    char room[2 * FEATURE_BYTES_MAX + 1];

    if (name.len > FEATURE_BYTES_MAX || value.len > FEATURE_BYTES_MAX || (name.len && memchr(name.at, 0, name.len)))
        return 0;
    if (name.len)
        memcpy(room, name.at, name.len);
    room[name.len] = '\0';
    if (value.len)
        memcpy(room + name.len + 1, value.at, value.len);
    uint64_t key = XXH3_64bits(room, name.len + 1 + value.len);
    return key ? key : 1;
}

uint64_t fr_category_key(struct fr_bytes name)
{
    uint64_t key = XXH3_64bits_withSeed(name.at, name.len, 1);

    return key ? key : 1;
}

bool fr_feature_add(uint64_t *keys, size_t *len, struct fr_bytes name, struct fr_bytes value)
{
    uint64_t key = fr_feature_key(name, value);

    if (!key)
        return false;
    for (size_t i = 0; i < *len; i++)
        if (keys[i] == key)
            return true;
    if (*len == FEATURES_MAX)
        return false;
    keys[(*len)++] = key;
    return true;
}
