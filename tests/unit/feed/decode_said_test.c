/*
 * decode_said_test.c -- records of the compacted topics. protobuf-c writes what the decoder reads; the bounds are catalogue.h's.
 */
#include "freshet/catalogue.h"
#include "freshet/v1/events.pb-c.h"
#include "records.h"

enum { LONG = TITLE_BYTES_MAX + 1 };

static struct decoder *of[3]; /* by enum feed_kind, format auto */
static struct item_said item;
static struct features_said user;

static int make(void **state)
{
    (void)state;
    for (int kind = FEED_ITEMS; kind <= FEED_USERS; kind++)
        of[kind] = decoder_new(&(struct feed_options){.kind = (enum feed_kind)kind, .weights = weights, .weights_len = 1});
    return 0;
}

static int release(void **state)
{
    (void)state;
    decoder_free(of[FEED_ITEMS]);
    decoder_free(of[FEED_USERS]);
    return 0;
}

static bool decode(enum feed_kind kind, const char *key, struct fr_bytes value)
{
    struct record record = {.key = fr_bytes_of(key), .has_key = key, .value = value, .has_value = value.at, .logged = LOGGED};

    return decoder_decode(of[kind], &record, &event, &reject);
}

static void decode_item(const char *key, struct fr_bytes value, const char *what)
{
    if (!decode(FEED_ITEMS, key, value))
        fail_msg("%s: %s: %.*s", what, reject.reason, (int)reject.message.len, reject.message.at);
    assert_int_equal(event.kind, EVENT_ITEM);
    assert_int_equal(event.logged, LOGGED);
    assert_bytes(event.item, key);
    assert_true(catalogue_item_read(event.said, &item));
}

static void decode_user(const char *key, struct fr_bytes value)
{
    assert_true(decode(FEED_USERS, key, value));
    assert_int_equal(event.kind, EVENT_USER);
    assert_bytes(event.user, key);
    assert_true(catalogue_user_read(event.said, &user));
}

static void assert_garden(const char *what)
{
    const float numbers[] = {0.5F, -2};

    if (item.categories_len != 2 || item.features.len != 1 || !item.hidden || item.from != 5 || item.until != 1717171717000)
        fail_msg("%s: %u categories, %u features, hidden %d, %lld to %lld", what, item.categories_len, item.features.len, item.hidden,
                 (long long)item.from, (long long)item.until);
    assert_bytes(item.categories[0], "garden");
    assert_bytes(item.categories[1], "büro");
    assert_bytes(item.features.at[0].name, "brand");
    assert_bytes(item.features.at[0].value, "acme");
    assert_bytes(item.owner, "ann");
    assert_bytes(item.title, "A bench");
    assert_int_equal(item.embedding.len, sizeof(numbers));
    assert_memory_equal(item.embedding.at, numbers, sizeof(numbers));
}

static struct fr_bytes packed_garden(char room[512])
{
    Freshet__V1__Item message = FRESHET__V1__ITEM__INIT;
    Freshet__V1__Item__FeaturesEntry entry = FRESHET__V1__ITEM__FEATURES_ENTRY__INIT, *entries[] = {&entry};
    ProtobufCBinaryData id = {2, (uint8_t *)"i1"}, owner = {3, (uint8_t *)"ann"};
    char *categories[] = {"garden", "büro", "garden"};
    float numbers[] = {0.5F, -2};

    entry.key = "brand";
    entry.value = "acme";
    message.item_id = id;
    message.owner_user_id = owner;
    message.n_categories = 3;
    message.categories = categories;
    message.n_features = 1;
    message.features = entries;
    message.available_from_ms = 5;
    message.available_until_ms = 1717171717000;
    message.hidden = true;
    message.n_embedding = 2;
    message.embedding = numbers;
    message.title = "A bench";
    return (struct fr_bytes){room, freshet__v1__item__pack(&message, (uint8_t *)room)};
}

static void an_item_says_the_same_in_each_encoding(void **state)
{
    char room[512], framed[600];
    struct fr_bytes packed = packed_garden(room);
    const struct fr_bytes frames[] = {FR_BYTES("\0\0\0\0\7\0"), FR_BYTES("\0\0\0\0\7\2\0"), FR_BYTES("\0\0\0\0\7\2\2")};

    (void)state;
    decode_item("i1", packed, "protobuf");
    assert_garden("protobuf");
    for (size_t i = 0; i < LENGTH(frames); i++) { /* the first of its file, or Item's place in events.proto */
        memcpy(framed, frames[i].at, frames[i].len);
        memcpy(framed + frames[i].len, packed.at, packed.len);
        decode_item("i1", (struct fr_bytes){framed, frames[i].len + packed.len}, "framed");
        assert_garden("framed");
    }
    framed[6] = 4; /* where User stands */
    assert_rejected(decode(FEED_ITEMS, "i1", (struct fr_bytes){framed, 7 + packed.len}), "undecodable", "message 2", "User's place");
    decode_item("i1",
                FR_BYTES("{\"item_id\":\"i1\",\"categories\":[\"garden\",\"b\\u00fcro\"],\"features\":{\"brand\":\"acme\"},"
                         "\"available_from_ms\":5,\"available_until_ms\":\"1717171717000\",\"hidden\":true,\"owner_user_id\":\"ann\","
                         "\"embedding\":[0.5,\"-2\"],\"title\":\"A bench\",\"more\":[1]}"),
                "JSON");
    assert_garden("JSON");
    decode_item("i1",
                FR_BYTES("{\"itemId\":\"i1\",\"categories\":[\"garden\",\"b\\u00fcro\"],\"features\":{\"brand\":\"acme\"},"
                         "\"availableFromMs\":\"5\",\"availableUntilMs\":1717171717000,\"hidden\":true,\"ownerUserId\":\"ann\","
                         "\"embedding\":[5e-1,-2],\"title\":\"A bench\"}"),
                "JSON in camel case");
    assert_garden("JSON in camel case");
    decode_item("i1", FR_BYTES("{\"item_id\":\"i1\",\"title\":null}"), "nothing but an id");
    assert_true(!item.hidden && !item.from && !item.until && !item.owner.len && !item.title.len && !item.embedding.len &&
                !item.categories_len && !item.features.len);
}

static void floats_may_come_one_by_one(void **state)
{
    struct buffer out = {.len = 0};
    const float numbers[] = {1.5F, 2.5F};

    (void)state;
    put_string(&out, 1, "i1");
    put_varint(&out, 8 * 8 + 5);
    put(&out, &numbers[0], 4);
    put_run(&out, 8, &numbers[1], 4);
    put_run(&out, 10, "later", 5);
    decode_item("i1", (struct fr_bytes){out.at, out.len}, "unpacked");
    assert_int_equal(item.embedding.len, 8);
    assert_memory_equal(item.embedding.at, numbers, 8);
}

static void a_user_says_its_features_the_last_value_of_a_name_counts(void **state)
{
    struct buffer out = {.len = 0}, entry = {.len = 0};

    (void)state;
    decode_user("ann", FR_BYTES("{\"userId\":\"ann\",\"features\":{\"city\":\"Ulm\",\"age\":\"30\"}}"));
    assert_int_equal(user.len, 2);
    put_string(&out, 1, "ann");
    for (int i = 0; i < 2; i++) {
        entry.len = 0;
        put_string(&entry, 1, "city");
        put_string(&entry, 2, i ? "Ulm" : "Bonn");
        put_run(&out, 2, entry.at, entry.len);
    }
    decode_user("ann", (struct fr_bytes){out.at, out.len});
    assert_int_equal(user.len, 1);
    assert_bytes(user.at[0].value, "Ulm");
}

static void a_null_value_is_a_tombstone_and_needs_its_key(void **state)
{
    const struct fr_bytes none = {NULL, 0};

    (void)state;
    assert_true(decode(FEED_ITEMS, "i1", none));
    assert_int_equal(event.kind, EVENT_ITEM_GONE);
    assert_bytes(event.item, "i1");
    assert_true(decode(FEED_USERS, "ann", none));
    assert_int_equal(event.kind, EVENT_USER_GONE);
    assert_bytes(event.user, "ann");
    assert_rejected(decode(FEED_ITEMS, NULL, none), "key", "item id, is missing", "a tombstone of nothing");
    assert_rejected(decode(FEED_USERS, "", none), "key", "user id, is empty", "a tombstone of an empty key");
    assert_rejected(decode(FEED_USERS, "\xff", none), "key", "UTF-8", "a tombstone of no text");
}

static void what_breaks_a_rule_is_refused_by_name(void **state)
{
    static const struct {
        const char *key, *value, *reason, *words;
    } bad[] = {
        {"i2", "{\"item_id\":\"i1\"}", "key", "item_id is not the record's key"},
        {NULL, "{\"item_id\":\"i1\"}", "key", "is missing"},
        {"i1", "{}", "item_id", "item_id is empty"},
        {"i1", "{\"item_id\":\"a\\u0000b\"}", "item_id", "NUL"},
        {"i1", "{\"item_id\":\"i1\",\"categories\":\"x\"}", "undecodable", "categories is not an array"},
        {"i1", "{\"item_id\":\"i1\",\"categories\":[1]}", "undecodable", "an entry of categories is not a string"},
        {"i1", "{\"item_id\":\"i1\",\"categories\":[\"\"]}", "bounds", "a name in categories is empty"},
        {"i1", "{\"item_id\":\"i1\",\"features\":[]}", "undecodable", "features is not an object"},
        {"i1", "{\"item_id\":\"i1\",\"features\":{\"a\":1}}", "undecodable", "features has a value that is not a string"},
        {"i1", "{\"item_id\":\"i1\",\"embedding\":[1,\"NaN\"]}", "value", "embedding"},
        {"i1", "{\"item_id\":\"i1\",\"embedding\":[1e39]}", "value", "32-bit"},
        {"i1", "{\"item_id\":\"i1\",\"embedding\":[\"x\"]}", "undecodable", "an entry of embedding is not a number"},
        {"i1", "{\"item_id\":\"i1\",\"hidden\":1}", "undecodable", "hidden is neither"},
        {"i1", "{\"item_id\":\"i1\",\"available_from_ms\":-1}", "time", "available_from_ms is before 1970"},
        {"i1", "{\"item_id\":\"i1\",\"availableUntilMs\":-1}", "time", "available_until_ms is before 1970"},
        {"i1", "{\"item_id\":\"i1\",\"available_from_ms\":1.5}", "undecodable", "available_from_ms is not a 64-bit integer"},
        {"i1", "{\"item_id\":\"i1\"", "undecodable", "JSON"},
        {"i1", "\x0a\x02i1\x12\x02\xc3(", "undecodable", "categories is not valid UTF-8"},
        {"i1", "\x0a\x02i1\x3a\x01\xff", "user_id", "owner_user_id is not valid UTF-8"},
        {"i1", "\x0a\x02i1\x4a\x01\xff", "undecodable", "title is not valid UTF-8"},
        {"i1", "\x0a\x02i1\x42\x03""abc", "undecodable", "ends inside a field"},
        {"i1", "\x0a\x02i1\x1a\x05\x0a\x01k\x12\x09", "undecodable", "ends inside a field"},
        {"i1", " {\"itemId\":\"i1\"}", "undecodable", "the first byte is 0x20, not '{'"},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(bad); i++)
        assert_rejected(decode(FEED_ITEMS, bad[i].key, fr_bytes_of(bad[i].value)), bad[i].reason, bad[i].words, bad[i].value);
    assert_rejected(decode(FEED_USERS, "bob", FR_BYTES("{\"user_id\":\"ann\"}")), "key", "user_id is not", "another user's key");
}

/* One more than fits, and as many as fit. */
static void bounds_hold_to_the_last_one(void **state)
{
    static char text[64 << 10];
    char title[LONG + 1];

    (void)state;
    for (int more = 0; more < 2; more++) {
        int at = snprintf(text, sizeof(text), "{\"item_id\":\"i1\",\"categories\":[");
        for (int i = 0; i < CATEGORIES_MAX + more; i++)
            at += snprintf(text + at, sizeof(text) - (size_t)at, "%s\"c%d\"", i ? "," : "", i);
        snprintf(text + at, sizeof(text) - (size_t)at, ",\"c0\"]}");
        if (more)
            assert_rejected(decode(FEED_ITEMS, "i1", fr_bytes_of(text)), "bounds", "more than 32 names", "categories");
        else
            decode_item("i1", fr_bytes_of(text), "categories");
        at = snprintf(text, sizeof(text), "{\"item_id\":\"i1\",\"features\":{");
        for (int i = 0; i < FEATURES_MAX + more; i++)
            at += snprintf(text + at, sizeof(text) - (size_t)at, "%s\"f%d\":\"\"", i ? "," : "", i);
        snprintf(text + at, sizeof(text) - (size_t)at, "}}");
        if (more)
            assert_rejected(decode(FEED_ITEMS, "i1", fr_bytes_of(text)), "bounds", "features has more than 32", "features");
        else
            decode_item("i1", fr_bytes_of(text), "features");
        at = snprintf(text, sizeof(text), "{\"item_id\":\"i1\",\"embedding\":[");
        for (int i = 0; i < EMBEDDING_MAX + more; i++)
            at += snprintf(text + at, sizeof(text) - (size_t)at, "%s%d", i ? "," : "", i);
        snprintf(text + at, sizeof(text) - (size_t)at, "]}");
        if (more)
            assert_rejected(decode(FEED_ITEMS, "i1", fr_bytes_of(text)), "bounds", "embedding has more than 2048", "embedding");
        else
            decode_item("i1", fr_bytes_of(text), "embedding");
        memset(title, 'x', sizeof(title));
        title[TITLE_BYTES_MAX + more] = 0;
        snprintf(text, sizeof(text), "{\"item_id\":\"i1\",\"title\":\"%s\"}", title);
        if (more)
            assert_rejected(decode(FEED_ITEMS, "i1", fr_bytes_of(text)), "bounds", "title is longer", "title");
        else
            decode_item("i1", fr_bytes_of(text), "title");
        title[FEATURE_BYTES_MAX + more] = 0;
        snprintf(text, sizeof(text), "{\"item_id\":\"i1\",\"features\":{\"%s\":\"\"},\"categories\":[\"%s\"]}", title, title);
        if (more)
            assert_rejected(decode(FEED_ITEMS, "i1", fr_bytes_of(text)), "bounds", "256 bytes", "long names");
        else
            decode_item("i1", fr_bytes_of(text), "long names");
    }
}

/* What a damaged store could hold is not read as something else. */
static void bytes_that_are_not_a_record_are_not_read(void **state)
{
    char room[512];
    struct fr_bytes said;

    (void)state;
    decode_item("i1", packed_garden(room), "whole");
    said = event.said;
    for (size_t len = 0; len < said.len; len++)
        assert_false(catalogue_item_read((struct fr_bytes){said.at, len}, &item));
    memcpy(room, said.at, said.len);
    room[said.len] = 0;
    assert_false(catalogue_item_read((struct fr_bytes){room, said.len + 1}, &item));
    room[0] = 2; /* a later version */
    assert_false(catalogue_item_read((struct fr_bytes){room, said.len}, &item));
}

static void of_a_timestamp_out_of_bounds_the_letter_has_it_and_the_event_none(void **state)
{
    const struct record record = {.key = FR_BYTES("fig"), .has_key = true, .logged = EVENT_WHEN_MAX + 1};

    (void)state;
    for (int kind = FEED_ITEMS; kind <= FEED_USERS; kind++) {
        assert_false(decoder_decode(of[kind], &record, &event, &reject));
        assert_string_equal(reject.reason, "time");
        assert_int_equal(reject.logged, EVENT_WHEN_MAX + 1);
        assert_int_equal(event.logged, -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_item_says_the_same_in_each_encoding),
        cmocka_unit_test(floats_may_come_one_by_one),
        cmocka_unit_test(a_user_says_its_features_the_last_value_of_a_name_counts),
        cmocka_unit_test(a_null_value_is_a_tombstone_and_needs_its_key),
        cmocka_unit_test(what_breaks_a_rule_is_refused_by_name),
        cmocka_unit_test(of_a_timestamp_out_of_bounds_the_letter_has_it_and_the_event_none),
        cmocka_unit_test(bounds_hold_to_the_last_one),
        cmocka_unit_test(bytes_that_are_not_a_record_are_not_read),
    };

    return cmocka_run_group_tests(tests, make, release);
}
