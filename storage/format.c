/*
 * format.c -- plain keys and sealed values, as FORMAT.md says.
 *
 *     seal:  version u8 | fields | low half of XXH3-64 over all before it, u32
 */
#include "freshet/format.h"

#include <assert.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
    VERSION = 1,
    VERSION_PRINTED = 2, /* of positions: with the last record's fingerprint */
    CHECK_BYTES = 4,
    CLUSTER_AND_HOLES = 1, /* compatible bits: which keys there may be */
    COMPATIBLE = CLUSTER_AND_HOLES,
    PRINTED_POSITIONS = 1, /* incompatible bits: what a program must know to read this store */
    FORGOTTEN = 2,
    FORGETS_COUNTED = 4,
    INCOMPATIBLE = PRINTED_POSITIONS | FORGOTTEN | FORGETS_COUNTED,
    LETTER_HAS_KEY = 1,
    LETTER_HAS_VALUE = 2,
};

#define MAGIC "freshet"

static uint32_t check_of(const char *bytes, size_t len)
{
    return (uint32_t)XXH3_64bits(bytes, len);
}

/* A value may be appended to what is in `out` already, so the seal knows where it began. */
static size_t begin_version(struct fr_writer *out, uint8_t version)
{
    size_t start = out->len;

    fr_put_u8(out, version);
    return start;
}

static size_t begin(struct fr_writer *out)
{
    return begin_version(out, VERSION);
}

static void seal(struct fr_writer *out, size_t start)
{
    if (!out->overflow)
        fr_put_u32(out, check_of(out->at + start, out->len - start));
}

/* A reader of the fields; failed if the seal is broken. */
static struct fr_reader unseal_version(struct fr_bytes value, uint8_t *ret_version)
{
    *ret_version = 0;
    if (value.len < 1 + CHECK_BYTES)
        return (struct fr_reader){.failed = true};
    size_t len = value.len - CHECK_BYTES;
    struct fr_reader reader = fr_reader_of(value.at, len), check = fr_reader_of(value.at + len, CHECK_BYTES);
    if (fr_get_u32(&check) != check_of(value.at, len))
        reader.failed = true;
    *ret_version = fr_get_u8(&reader);
    return reader;
}

static struct fr_reader unseal(struct fr_bytes value)
{
    uint8_t version;
    struct fr_reader reader = unseal_version(value, &version);

    if (version != VERSION)
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

void format_cluster_value(struct fr_writer *out, struct fr_bytes id)
{
    format_shape_value(out, id);
}

bool format_cluster_read(struct fr_bytes value, struct fr_bytes *ret_id)
{
    return format_shape_read(value, ret_id);
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

void format_admission_value(struct fr_writer *out, const struct format_admission *admission)
{
    size_t start = begin(out);

    fr_put_u32(out, admission->users);
    fr_put_u32(out, admission->items);
    fr_put_u64(out, admission->soft);
    seal(out, start);
}

bool format_admission_read(struct fr_bytes value, struct format_admission *ret)
{
    struct fr_reader reader = unseal(value);
    struct format_admission admission = {.users = fr_get_u32(&reader)};

    admission.items = fr_get_u32(&reader);
    admission.soft = fr_get_u64(&reader);
    if (!read_whole(&reader))
        return false;
    *ret = admission;
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

void format_link_key(struct fr_writer *key, uint64_t journal)
{
    fr_put_u8(key, FORMAT_LINK_PREFIX[0]);
    fr_put_u64_be(key, journal);
}

int format_links_check(struct store *store, uint64_t newest, struct fr_err *err)
{
    struct store_iter *iter = store->ops->iterate(store, fr_bytes_of(FORMAT_LINK_PREFIX));
    struct fr_bytes key, value;
    uint64_t last = 0;
    int status = FR_OK;

    while (!status && store->ops->next(iter, &key, &value)) {
        struct fr_reader reader = fr_reader_of(key.at + 1, key.len - 1);
        uint64_t number = fr_get_u64_be(&reader);
        if (!read_whole(&reader) || value.len || (last && number != last + 1))
            status = fr_fail(err, FR_CORRUPT, "journals from %llu on are missing in the store, below its newest, %llu",
                             (unsigned long long)(last + 1), (unsigned long long)newest);
        last = number;
    }
    int closed = store->ops->iter_close(iter, status ? NULL : err);
    if (!status && !closed && last && last != newest)
        status = fr_fail(err, FR_CORRUPT, "the store's newest journal is %llu, and its links end with %llu",
                         (unsigned long long)newest, (unsigned long long)last);
    return status ? status : closed;
}

/* ---- positions ---- */

/* letter topic 00 partition */
static void put_partition_key(struct fr_writer *key, const char *letter, struct fr_bytes topic, int32_t partition)
{
    assert(topic.len > 0 && !memchr(topic.at, 0, topic.len) && partition >= 0);
    fr_put_u8(key, (uint8_t)letter[0]);
    fr_put_bytes(key, topic.at, topic.len);
    fr_put_u8(key, 0);
    fr_put_u32_be(key, (uint32_t)partition);
}

static bool read_partition_key(struct fr_bytes key, const char *letter, struct fr_bytes *ret_topic,
                               int32_t *ret_partition)
{
    const size_t around = 1 + 1 + 4; /* the letter, the NUL, the partition */

    if (key.len <= around || key.at[0] != letter[0] || key.at[key.len - 5] != 0)
        return false;
    struct fr_reader tail = fr_reader_of(key.at + key.len - 4, 4);
    uint32_t partition = fr_get_u32_be(&tail);
    *ret_topic = (struct fr_bytes){key.at + 1, key.len - around};
    *ret_partition = (int32_t)partition;
    return partition <= INT32_MAX && !memchr(ret_topic->at, 0, ret_topic->len);
}

void format_position_key(struct fr_writer *key, struct fr_bytes topic, int32_t partition)
{
    put_partition_key(key, FORMAT_POSITION_PREFIX, topic, partition);
}

void format_position_value(struct fr_writer *out, const struct format_position *position)
{
    size_t start = begin_version(out, VERSION_PRINTED);

    assert(position->next >= -1 && position->newest >= -1 && position->last >= -1);
    fr_put_u32(out, position->index);
    fr_put_u64(out, (uint64_t)position->next);
    fr_put_u64(out, (uint64_t)position->newest);
    fr_put_u64(out, (uint64_t)position->last);
    fr_put_u64(out, position->print);
    seal(out, start);
}

bool format_position_read(struct fr_bytes key, struct fr_bytes value, struct format_position *ret)
{
    struct format_position position = {.last = -1};
    uint8_t version;
    struct fr_reader reader = unseal_version(value, &version);

    position.index = fr_get_u32(&reader);
    position.next = (int64_t)fr_get_u64(&reader);
    position.newest = (int64_t)fr_get_u64(&reader);
    if (version == VERSION_PRINTED) {
        position.last = (int64_t)fr_get_u64(&reader);
        position.print = fr_get_u64(&reader);
    }
    if (!read_partition_key(key, FORMAT_POSITION_PREFIX, &position.topic, &position.partition) ||
        !read_whole(&reader) || (version != VERSION && version != VERSION_PRINTED) || position.next < -1 ||
        position.newest < -1 || position.last < -1 || (position.last >= 0 && position.last >= position.next) ||
        (position.last < 0 && position.print))
        return false;
    *ret = position;
    return true;
}

void format_holes_key(struct fr_writer *key, struct fr_bytes topic, int32_t partition)
{
    put_partition_key(key, FORMAT_HOLES_PREFIX, topic, partition);
}

void format_holes_value(struct fr_writer *out, const struct format_holes *holes)
{
    size_t start = begin(out);

    assert(holes->len <= FORMAT_HOLES_MAX);
    fr_put_u64(out, holes->skipped);
    fr_put_u32(out, holes->len);
    for (uint32_t i = 0; i < holes->len; i++) {
        fr_put_u64(out, (uint64_t)holes->holes[i].from);
        fr_put_u64(out, (uint64_t)holes->holes[i].to);
    }
    seal(out, start);
}

bool format_holes_read(struct fr_bytes key, struct fr_bytes value, struct format_holes *ret)
{
    struct fr_reader reader = unseal(value);
    int64_t before = -1;
    uint64_t listed = 0;

    ret->skipped = fr_get_u64(&reader);
    ret->len = fr_get_u32(&reader);
    if (!read_partition_key(key, FORMAT_HOLES_PREFIX, &ret->topic, &ret->partition) || ret->len > FORMAT_HOLES_MAX)
        return false;
    for (uint32_t i = 0; i < ret->len; i++) {
        struct format_hole *hole = &ret->holes[i];
        hole->from = (int64_t)fr_get_u64(&reader);
        hole->to = (int64_t)fr_get_u64(&reader);
        if (hole->from <= before || hole->to <= hole->from) /* adjacent ones are one */
            return false;
        before = hole->to;
        listed += (uint64_t)(hole->to - hole->from);
    }
    return read_whole(&reader) && listed <= ret->skipped;
}

/* ---- cut-offs ---- */

static void put_hash(struct fr_writer *out, const struct format_cutoff *cutoff)
{
    fr_put_u8(out, cutoff->kind);
    fr_put_u64(out, cutoff->hash[0]);
    fr_put_u64(out, cutoff->hash[1]);
}

static void get_hash(struct fr_reader *reader, struct format_cutoff *ret)
{
    ret->kind = fr_get_u8(reader);
    ret->hash[0] = fr_get_u64(reader);
    ret->hash[1] = fr_get_u64(reader);
}

static bool cutoff_is_good(const struct format_cutoff *cutoff)
{
    return (cutoff->kind == FORMAT_USER || cutoff->kind == FORMAT_ITEM) && cutoff->upto >= 0;
}

void format_cutoff_key(struct fr_writer *key, const struct format_cutoff *cutoff)
{
    fr_put_u8(key, FORMAT_CUTOFF_PREFIX[0]);
    put_hash(key, cutoff);
}

void format_cutoff_value(struct fr_writer *out, const struct format_cutoff *cutoff)
{
    size_t start = begin(out);

    assert(cutoff_is_good(cutoff));
    fr_put_u64(out, (uint64_t)cutoff->upto);
    seal(out, start);
}

bool format_cutoff_read(struct fr_bytes key, struct fr_bytes value, struct format_cutoff *ret)
{
    struct fr_reader name = fr_reader_of(key.at, key.len), fields = unseal(value);
    bool letter = fr_get_u8(&name) == (uint8_t)FORMAT_CUTOFF_PREFIX[0];
    struct format_cutoff cutoff = {0};

    get_hash(&name, &cutoff);
    cutoff.upto = (int64_t)fr_get_u64(&fields);
    if (!letter || !read_whole(&name) || !read_whole(&fields) || !cutoff_is_good(&cutoff))
        return false;
    *ret = cutoff;
    return true;
}

void format_cutoff_record(struct fr_writer *out, const struct format_cutoff *cutoff)
{
    size_t start = begin(out);

    put_hash(out, cutoff);
    fr_put_u64(out, (uint64_t)cutoff->upto);
    seal(out, start);
}

bool format_cutoff_record_read(struct fr_bytes record, struct format_cutoff *ret)
{
    struct fr_reader reader = unseal(record);
    struct format_cutoff cutoff = {0};

    get_hash(&reader, &cutoff);
    cutoff.upto = (int64_t)fr_get_u64(&reader);
    if (!read_whole(&reader) || !cutoff_is_good(&cutoff))
        return false;
    *ret = cutoff;
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

static int mark(struct store *store, const struct format_version *version, struct fr_err *err)
{
    struct store_batch *batch = store->ops->batch_new(store);
    struct fr_writer value;

    fr_writer_init(&value, 0);
    format_version_value(&value, version);
    store->ops->batch_put(batch, fr_bytes_of(FORMAT_VERSION_KEY), fr_written(&value));
    int status = store->ops->write(store, batch, err);
    if (!status)
        status = store->ops->sync(store, err);
    store->ops->batch_free(batch);
    fr_writer_release(&value);
    if (status)
        fr_while(err, "marking the store: ");
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
    return mark(store, &(struct format_version){COMPATIBLE, INCOMPATIBLE}, err);
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
    if (version.incompatible & ~(uint32_t)INCOMPATIBLE)
        return fr_fail(err, FR_CONFIG,
                       "the store was written by a newer freshet: it needs features 0x%x, which this one does not know; run the "
                       "newer one again, or replay the log into a new store with --rebuild",
                       version.incompatible & ~(uint32_t)INCOMPATIBLE);
    if (version.incompatible == INCOMPATIBLE && (version.compatible & COMPATIBLE) == COMPATIBLE)
        return FR_OK;
    version.compatible |= COMPATIBLE; /* from now on it gets values that an older program must not misread */
    version.incompatible |= INCOMPATIBLE;
    return mark(store, &version, err);
}
