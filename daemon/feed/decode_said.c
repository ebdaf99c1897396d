/*
 * decode_said.c -- the rules of the compacted topics: which records say something of an item or a user, and what.
 *
 *     key, value      EVENT_ITEM, EVENT_USER              what it says, in the form of catalogue.h
 *     key, null       EVENT_ITEM_GONE, EVENT_USER_GONE    nothing any more
 *
 * The key is the id: compaction and the order of what is said of one item hang on it, so a record whose value names another one is
 * no mere misrouting but refused ("key"). So is one beyond a bound ("bounds"): what of it should be forgotten is the producer's to say.
 */
#include <math.h>
#include <stdlib.h>

#include "freshet/alloc.h"
#include "said.h"

struct said_decoder {
    enum feed_format format;
    bool user;
    struct json_t *document; /* of the last JSON record */
    struct said said;
    struct fr_writer bytes;
};

struct said_decoder *said_decoder_new(enum feed_format format, bool user)
{
    struct said_decoder *decoder = fr_zalloc(1, sizeof(*decoder));

    decoder->format = format;
    decoder->user = user;
    fr_writer_init(&decoder->bytes, 0);
    return decoder;
}

static void drop_document(struct said_decoder *decoder)
{
    if (decoder->document)
        decode_json_release(decoder->document);
    decoder->document = NULL;
}

void said_decoder_free(struct said_decoder *decoder)
{
    if (!decoder)
        return;
    drop_document(decoder);
    fr_writer_release(&decoder->bytes);
    free(decoder);
}

/* ---- what comes one by one ---- */

bool said_category(struct said *said, struct fr_bytes category, struct problem *problem)
{
    const char *wrong = fr_id_problem(category.at, category.len);

    if (wrong)
        return problem_say(problem, fr_utf8_valid(category.at, category.len) ? "bounds" : "undecodable", "a name in categories %s",
                           wrong);
    return item_said_category(&said->item, category) ||
           problem_say(problem, "bounds", "categories has more than %d names", CATEGORIES_MAX);
}

bool said_feature(struct said *said, struct fr_bytes name, struct fr_bytes value, struct problem *problem)
{
    if (!fr_feature_key(name, value) || (value.len && memchr(value.at, 0, value.len)))
        return problem_say(problem, "bounds", "features has a name or a value of more than %d bytes or with a NUL byte",
                           FEATURE_BYTES_MAX);
    return features_said_add(&said->item.features, name, value) ||
           problem_say(problem, "bounds", "features has more than %d names", FEATURES_MAX);
}

bool said_number(struct said *said, double number, struct problem *problem)
{
    float narrow = (float)number;

    if (!isfinite(narrow))
        return problem_say(problem, "value", "embedding has an entry that is not a finite 32-bit number");
    if (said->embedding_len == EMBEDDING_MAX)
        return problem_say(problem, "bounds", "embedding has more than %d entries", EMBEDDING_MAX);
    said->embedding[said->embedding_len++] = narrow;
    return true;
}

/* ---- the rules ---- */

static bool check_key(const struct said_decoder *decoder, const struct record *record, struct problem *problem)
{
    const char *wrong = record->has_key ? fr_id_problem(record->key.at, record->key.len) : "is missing";

    return !wrong || problem_say(problem, "key", "the record's key, which is the %s id, %s", decoder->user ? "user" : "item", wrong);
}

static bool check_id(const struct said_decoder *decoder, const struct record *record, struct problem *problem)
{
    const char *name = decoder->user ? "user_id" : "item_id", *wrong = fr_id_problem(decoder->said.id.at, decoder->said.id.len);

    if (wrong)
        return problem_say(problem, name, "%s %s", name, wrong);
    return fr_bytes_equal(decoder->said.id, record->key) || problem_say(problem, "key", "%s is not the record's key", name);
}

static bool check_item(struct item_said *item, struct problem *problem)
{
    const char *wrong = item->owner.len ? fr_id_problem(item->owner.at, item->owner.len) : NULL;

    if (wrong)
        return problem_say(problem, "user_id", "owner_user_id %s", wrong);
    if (!fr_utf8_valid(item->title.at, item->title.len))
        return problem_say(problem, "undecodable", "title is not valid UTF-8");
    if (item->title.len > TITLE_BYTES_MAX || (item->title.len && memchr(item->title.at, 0, item->title.len)))
        return problem_say(problem, "bounds", "title is longer than %d bytes or has a NUL byte", TITLE_BYTES_MAX);
    if (item->from < 0 || item->until < 0)
        return problem_say(problem, "time", "%s is before 1970", item->from < 0 ? "available_from_ms" : "available_until_ms");
    return true;
}

static bool read_value(struct said_decoder *decoder, const struct record *record, struct problem *problem)
{
    struct fr_bytes payload;
    enum encoding encoding;

    if (!framing_open(decoder->format, record->content_type, record->value, decoder->user ? PLACE_USER : PLACE_ITEM, &encoding,
                      &payload, problem))
        return false;
    if (encoding == ENCODING_JSON)
        return said_json(payload, decoder->user, &decoder->document, &decoder->said, problem);
    return said_protobuf(payload, decoder->user, &decoder->said, problem) ||
           (strcmp(problem->reason, "undecodable") == 0 && framing_blame(decoder->format, record->content_type, record->value, problem));
}

bool said_decode(struct said_decoder *decoder, const struct record *record, struct event *event, struct problem *problem)
{
    struct item_said *item = &decoder->said.item;

    drop_document(decoder);
    if (record->logged > EVENT_WHEN_MAX)
        return problem_say(problem, "time", "the Kafka timestamp %lld is beyond %lld (the year 2527)", (long long)record->logged,
                           (long long)EVENT_WHEN_MAX);
    if (!check_key(decoder, record, problem))
        return false;
    *(decoder->user ? &event->user : &event->item) = record->key;
    event->kind = decoder->user ? EVENT_USER_GONE : EVENT_ITEM_GONE;
    if (!record->has_value)
        return true;
    if (!read_value(decoder, record, problem) || !check_id(decoder, record, problem) || !check_item(item, problem))
        return false;
    item->embedding = (struct fr_bytes){(const char *)decoder->said.embedding, decoder->said.embedding_len * sizeof(float)};
    fr_writer_reset(&decoder->bytes);
    if (decoder->user)
        catalogue_user_write(&decoder->bytes, &item->features);
    else
        catalogue_item_write(&decoder->bytes, item);
    event->kind = decoder->user ? EVENT_USER : EVENT_ITEM;
    event->said = fr_written(&decoder->bytes);
    return true;
}
