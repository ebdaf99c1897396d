/*
 * catalogue.c -- records of the catalogue to bytes and back.
 */
#include "freshet/catalogue.h"

#include <math.h>

enum { VERSION = 1, HIDDEN = 1 };

bool features_said_add(struct features_said *features, struct fr_bytes name, struct fr_bytes value)
{
    uint32_t at = 0;

    while (at < features->len && !fr_bytes_equal(features->at[at].name, name))
        at++;
    if (at == FEATURES_MAX)
        return false;
    features->at[at] = (struct feature_pair){name, value};
    features->len += at == features->len;
    return true;
}

bool item_said_category(struct item_said *item, struct fr_bytes category)
{
    for (uint32_t i = 0; i < item->categories_len; i++)
        if (fr_bytes_equal(item->categories[i], category))
            return true;
    if (item->categories_len == CATEGORIES_MAX)
        return false;
    item->categories[item->categories_len++] = category;
    return true;
}

static void put(struct fr_writer *out, struct fr_bytes run)
{
    fr_put_blob(out, run.at, run.len);
}

static void features_write(struct fr_writer *out, const struct features_said *features)
{
    fr_put_varint(out, features->len);
    for (uint32_t i = 0; i < features->len; i++) {
        put(out, features->at[i].name);
        put(out, features->at[i].value);
    }
}

void catalogue_item_write(struct fr_writer *out, const struct item_said *item)
{
    fr_put_u8(out, VERSION);
    fr_put_u8(out, item->hidden ? HIDDEN : 0);
    fr_put_zigzag(out, item->from);
    fr_put_zigzag(out, item->until);
    put(out, item->owner);
    put(out, item->title);
    put(out, item->embedding);
    fr_put_varint(out, item->categories_len);
    for (uint32_t i = 0; i < item->categories_len; i++)
        put(out, item->categories[i]);
    features_write(out, &item->features);
}

void catalogue_user_write(struct fr_writer *out, const struct features_said *features)
{
    fr_put_u8(out, VERSION);
    features_write(out, features);
}

/* Each name once, each pair within the bounds of feature.h, in UTF-8. */
static bool features_read(struct fr_reader *in, struct features_said *ret_features)
{
    uint64_t len = fr_get_varint(in);

    ret_features->len = 0;
    for (uint64_t i = 0; i < len && !in->failed; i++) {
        struct fr_bytes name = fr_get_blob(in), value = fr_get_blob(in);
        if (in->failed || !fr_feature_key(name, value) || !fr_utf8_valid(name.at, name.len) || !fr_utf8_valid(value.at, value.len) ||
            !features_said_add(ret_features, name, value) || ret_features->len != i + 1)
            return false;
    }
    return !in->failed;
}

static bool all_finite(struct fr_bytes embedding)
{
    for (size_t at = 0; at < embedding.len; at += sizeof(float)) {
        float number;
        memcpy(&number, embedding.at + at, sizeof(number));
        if (!isfinite(number))
            return false;
    }
    return true;
}

static bool categories_read(struct fr_reader *in, struct item_said *item)
{
    uint64_t len = fr_get_varint(in);

    item->categories_len = 0;
    for (uint64_t i = 0; i < len && !in->failed; i++) {
        struct fr_bytes category = fr_get_blob(in);
        if (in->failed || fr_id_problem(category.at, category.len) || !item_said_category(item, category) ||
            item->categories_len != i + 1)
            return false;
    }
    return !in->failed;
}

bool catalogue_item_read(struct fr_bytes bytes, struct item_said *ret_item)
{
    struct fr_reader in = fr_reader_of(bytes.at, bytes.len);
    bool known = fr_get_u8(&in) == VERSION;
    uint8_t flags = fr_get_u8(&in);

    ret_item->hidden = flags & HIDDEN;
    ret_item->from = fr_get_zigzag(&in);
    ret_item->until = fr_get_zigzag(&in);
    ret_item->owner = fr_get_blob(&in);
    ret_item->title = fr_get_blob(&in);
    ret_item->embedding = fr_get_blob(&in);
    return known && flags <= HIDDEN && !in.failed && ret_item->from >= 0 && ret_item->until >= 0 &&
           (!ret_item->owner.len || !fr_id_problem(ret_item->owner.at, ret_item->owner.len)) &&
           ret_item->title.len <= TITLE_BYTES_MAX && fr_utf8_valid(ret_item->title.at, ret_item->title.len) &&
           ret_item->embedding.len % sizeof(float) == 0 && ret_item->embedding.len <= EMBEDDING_MAX * sizeof(float) &&
           all_finite(ret_item->embedding) && categories_read(&in, ret_item) && features_read(&in, &ret_item->features) &&
           in.at == in.end;
}

bool catalogue_user_read(struct fr_bytes bytes, struct features_said *ret_features)
{
    struct fr_reader in = fr_reader_of(bytes.at, bytes.len);

    return fr_get_u8(&in) == VERSION && features_read(&in, ret_features) && in.at == in.end;
}

size_t catalogue_keys(const struct features_said *features, uint64_t keys[FEATURES_MAX])
{
    size_t len = 0;

    for (uint32_t i = 0; i < features->len; i++)
        fr_feature_add(keys, &len, features->at[i].name, features->at[i].value);
    return len;
}
