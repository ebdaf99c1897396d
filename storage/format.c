/*
 * format.c -- plain keys and sealed values, as FORMAT.md says.
 *
 *     seal:  version u8 = 1 | fields | low half of XXH3-64 over all before it, u32
 */
#include "freshet/format.h"

#include <assert.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
    VERSION = 1,
    CHECK_BYTES = 4,
    KNOWN_INCOMPATIBLE = 0, /* bits */
    LETTER_HAS_KEY = 1,
    LETTER_HAS_VALUE = 2,
};

#define MAGIC "freshet"

static uint32_t check_of(const char *bytes, size_t len)
{
    return (uint32_t)XXH3_64bits(bytes, len);
}

/* A value may be appended to what is in `out` already, so the seal knows where it began. */
static size_t begin(struct fr_writer *out)
{
    size_t start = out->len;

    fr_put_u8(out, VERSION);
    return start;
}

static void seal(struct fr_writer *out, size_t start)
{
    if (!out->overflow)
        fr_put_u32(out, check_of(out->at + start, out->len - start));
}

/* A reader of the fields; failed if the seal is broken. */
static struct fr_reader unseal(struct fr_bytes value)
{
    if (value.len < 1 + CHECK_BYTES)
        return (struct fr_reader){.failed = true};
    size_t len = value.len - CHECK_BYTES;
    struct fr_reader reader = fr_reader_of(value.at, len), check = fr_reader_of(value.at + len, CHECK_BYTES);
    if (fr_get_u32(&check) != check_of(value.at, len) || fr_get_u8(&reader) != VERSION)
        reader.failed = true;
    return reader;
}

static bool read_whole(const struct fr_reader *reader)
{
    return !reader->failed && reader->at == reader->end;
}

/* ---- meta ---- */

void format_version_value(struct fr_writer *out, const struct format_version *version)
{
    size_t start = begin(out);

    fr_put_bytes(out, MAGIC, sizeof(MAGIC) - 1);
    fr_put_u32(out, version->compatible);
    fr_put_u32(out, version->incompatible);
    seal(out, start);
}

bool format_version_read(struct fr_bytes value, struct format_version *ret)
{
    struct fr_reader reader = unseal(value);
    bool ours = fr_bytes_equal(fr_get_bytes(&reader, sizeof(MAGIC) - 1), FR_BYTES(MAGIC));
    struct format_version version = {.compatible = fr_get_u32(&reader)};

    version.incompatible = fr_get_u32(&reader);
    if (!ours || !read_whole(&reader))
        return false;
    *ret = version;
    return true;
}

void format_shape_value(struct fr_writer *out, struct fr_bytes text)
{
    size_t start = begin(out);

    fr_put_bytes(out, text.at, text.len);
    seal(out, start);
}

bool format_shape_read(struct fr_bytes value, struct fr_bytes *ret_text)
{
    struct fr_reader reader = unseal(value);

    if (reader.failed)
        return false;
    *ret_text = fr_get_bytes(&reader, fr_left(&reader));
    return true;
}

void format_clock_value(struct fr_writer *out, const struct format_clock *clock)
{
    size_t start = begin(out);

    fr_put_u64(out, (uint64_t)clock->now);
    fr_put_u64(out, clock->events);
    fr_put_u64(out, clock->number);
    seal(out, start);
}

bool format_clock_read(struct fr_bytes value, struct format_clock *ret)
{
    struct fr_reader reader = unseal(value);
    struct format_clock clock = {.now = (int64_t)fr_get_u64(&reader)};

    clock.events = fr_get_u64(&reader);
    clock.number = fr_get_u64(&reader);
    if (reader.failed || clock.now < -1) /* what a later version appended is skipped */
        return false;
    *ret = clock;
    return true;
}

void format_journals_value(struct fr_writer *out, uint64_t number)
{
    size_t start = begin(out);

    fr_put_u64(out, number);
    seal(out, start);
}

bool format_journals_read(struct fr_bytes value, uint64_t *ret_number)
{
    struct fr_reader reader = unseal(value);
    uint64_t number = fr_get_u64(&reader);

    if (!read_whole(&reader) || !number)
        return false;
    *ret_number = number;
    return true;
}

int format_journals(struct store *store, uint64_t *ret_number, struct fr_err *err)
{
    char *value;
    size_t len;
    int status = store->ops->get(store, fr_bytes_of(FORMAT_JOURNALS_KEY), &value, &len, err);

    if (status == FR_NOT_FOUND) {
        *ret_number = 0;
        return FR_OK;
    }
    if (status)
        return status;
    bool read = format_journals_read((struct fr_bytes){value, len}, ret_number);
    free(value);
    return read ? FR_OK : fr_fail(err, FR_CORRUPT, "the store's '%s' cannot be read", FORMAT_JOURNALS_KEY);
}

/* ---- positions ---- */

void format_position_key(struct fr_writer *key, struct fr_bytes topic, int32_t partition)
{
    assert(topic.len > 0 && !memchr(topic.at, 0, topic.len) && partition >= 0);
    fr_put_u8(key, FORMAT_POSITION_PREFIX[0]);
    fr_put_bytes(key, topic.at, topic.len);
    fr_put_u8(key, 0);
    fr_put_u32_be(key, (uint32_t)partition);
}

void format_position_value(struct fr_writer *out, const struct format_position *position)
{
    size_t start = begin(out);

    assert(position->next >= -1 && position->newest >= -1);
    fr_put_u32(out, position->index);
    fr_put_u64(out, (uint64_t)position->next);
    fr_put_u64(out, (uint64_t)position->newest);
    seal(out, start);
}

bool format_position_read(struct fr_bytes key, struct fr_bytes value, struct format_position *ret)
{
    const size_t around = 1 + 1 + 4; /* the letter, the NUL, the partition */

    if (key.len <= around || key.at[0] != FORMAT_POSITION_PREFIX[0] || key.at[key.len - 5] != 0)
        return false;
    struct fr_reader tail = fr_reader_of(key.at + key.len - 4, 4), reader = unseal(value);
    uint32_t partition = fr_get_u32_be(&tail);
    struct format_position position = {
        .topic = {key.at + 1, key.len - around},
        .partition = (int32_t)partition,
        .index = fr_get_u32(&reader),
    };
    position.next = (int64_t)fr_get_u64(&reader);
    position.newest = (int64_t)fr_get_u64(&reader);
    if (!read_whole(&reader) || memchr(position.topic.at, 0, position.topic.len) || partition > INT32_MAX ||
        position.next < -1 || position.newest < -1)
        return false;
    *ret = position;
    return true;
}

/* ---- dead letters ---- */

void format_letter_key(struct fr_writer *key, uint64_t id)
{
    fr_put_u8(key, FORMAT_LETTER_PREFIX[0]);
    fr_put_u64_be(key, id);
}

void format_letter_value(struct fr_writer *out, const struct format_letter *letter)
{
    size_t start = begin(out);

    assert((letter->has_key || !letter->key.len) && (letter->has_value || !letter->value.len));
    fr_put_u8(out, (uint8_t)((letter->has_key ? LETTER_HAS_KEY : 0) | (letter->has_value ? LETTER_HAS_VALUE : 0)));
    fr_put_u32(out, (uint32_t)letter->partition);
    fr_put_u64(out, (uint64_t)letter->offset);
    fr_put_u64(out, (uint64_t)letter->logged);
    fr_put_blob(out, letter->topic.at, letter->topic.len);
    fr_put_blob(out, letter->reason.at, letter->reason.len);
    fr_put_blob(out, letter->message.at, letter->message.len);
    fr_put_blob(out, letter->key.at, letter->key.len);
    fr_put_blob(out, letter->value.at, letter->value.len);
    seal(out, start);
}

bool format_letter_read(struct fr_bytes key, struct fr_bytes value, struct format_letter *ret)
{
    struct fr_reader name = fr_reader_of(key.at, key.len), reader = unseal(value);
    bool ours = fr_get_u8(&name) == (uint8_t)FORMAT_LETTER_PREFIX[0];
    struct format_letter letter = {.id = fr_get_u64_be(&name)};
    uint8_t flags = fr_get_u8(&reader);

    letter.has_key = flags & LETTER_HAS_KEY;
    letter.has_value = flags & LETTER_HAS_VALUE;
    letter.partition = (int32_t)fr_get_u32(&reader);
    letter.offset = (int64_t)fr_get_u64(&reader);
    letter.logged = (int64_t)fr_get_u64(&reader);
    letter.topic = fr_get_blob(&reader);
    letter.reason = fr_get_blob(&reader);
    letter.message = fr_get_blob(&reader);
    letter.key = fr_get_blob(&reader);
    letter.value = fr_get_blob(&reader);
    if (!ours || !read_whole(&name) || !read_whole(&reader) || flags > (LETTER_HAS_KEY | LETTER_HAS_VALUE) ||
        (!letter.has_key && letter.key.len) || (!letter.has_value && letter.value.len))
        return false;
    *ret = letter;
    return true;
}

/* ---- is the store ours? ---- */

static int mark(struct store *store, struct fr_err *err)
{
    struct store_batch *batch = store->ops->batch_new(store);
    struct fr_writer value;

    fr_writer_init(&value, 0);
    format_version_value(&value, &(struct format_version){0, 0});
    store->ops->batch_put(batch, fr_bytes_of(FORMAT_VERSION_KEY), fr_written(&value));
    int status = store->ops->write(store, batch, err);
    if (!status)
        status = store->ops->sync(store, err);
    store->ops->batch_free(batch);
    fr_writer_release(&value);
    if (status)
        fr_while(err, "marking the new store: ");
    return status;
}

/* There is no mark: a store without any key is new. */
static int admit_unmarked(struct store *store, struct fr_err *err)
{
    struct store_iter *iter = store->ops->iterate(store, FR_BYTES(""));
    struct fr_bytes key, value;
    bool any = store->ops->next(iter, &key, &value);
    int status = store->ops->iter_close(iter, err);

    if (status)
        return status;
    if (any)
        return fr_fail(err, FR_CORRUPT, "the store has keys, but not '%s': it was not made by freshet",
                       FORMAT_VERSION_KEY);
    return mark(store, err);
}

int format_admit(struct store *store, struct fr_err *err)
{
    struct format_version version;
    char *value;
    size_t len;
    int status = store->ops->get(store, fr_bytes_of(FORMAT_VERSION_KEY), &value, &len, err);

    if (status == FR_NOT_FOUND)
        return admit_unmarked(store, err);
    if (status)
        return status;
    bool read = format_version_read((struct fr_bytes){value, len}, &version);
    free(value);
    if (!read)
        return fr_fail(err, FR_CORRUPT, "the store's '%s' cannot be read", FORMAT_VERSION_KEY);
    if (version.incompatible & ~(uint32_t)KNOWN_INCOMPATIBLE)
        return fr_fail(err, FR_CONFIG,
                       "the store was written by a newer freshet: it needs features 0x%x, which this one does not know",
                       version.incompatible & ~(uint32_t)KNOWN_INCOMPATIBLE);
    return FR_OK;
}
