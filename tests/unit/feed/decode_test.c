/*
 * decode_test.c -- from a whole record to an event or a reason: the contract's rules, each limit at its boundary, and
 * random events that must come back as they were written.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "records.h"
#include "freshet/metric.h"

static void a_full_event_is_read_from_its_bytes(void **state)
{
    static const char bytes[] = "\x0a\x02u1"                    /* 1: user_id */
                                "\x12\x02i7"                    /* 2: item_id */
                                "\x1a\x06rating"                /* 3: type */
                                "\x21\0\0\0\0\0\0\x12\x40"      /* 4: 4.5 */
                                "\x28\x80\xd0\x95\xff\xbc\x31"  /* 5: 1,700,000,000,000 */
                                "\x32\x02x1"                    /* 6: event_id */
                                "\x3a\x08\x0a\x01k\x12\x03val"; /* 7: {"k": "val"} */
    XXH128_hash_t hash = XXH3_128bits("u1\0x1", 5);

    (void)state;
    assert_accepted(decode_auto(bytes, sizeof(bytes) - 1), "the full event");
    assert_bytes(event.user, "u1");
    assert_bytes(event.item, "i7");
    assert_int_equal(event.type, RATING);
    assert_true(event.weight == 4.5);
    assert_int_equal(event.when, 1700000000000);
    assert_int_equal(event.logged, LOGGED);
    assert_true(event.repeat_high == hash.high64 && event.repeat_low == (uint32_t)hash.low64);
}

static uint64_t key_of(const char *name, const char *value)
{
    return fr_feature_key(fr_bytes_of(name), fr_bytes_of(value));
}

static void context_becomes_keys_in_the_order_of_the_record(void **state)
{
    static const char json[] = "{" IDS ",\"context\":{\"device\":\"phone\",\"day\":\"\"}}";
    struct buffer out = {.len = 0};

    (void)state;
    put_plain(&out);
    assert_accepted(decode_buffer(&out), "no context");
    assert_true(!event.context && !event.context_len);
    put_context(&out, "device", "tablet");
    put_context(&out, "day", "");
    put_context(&out, "device", "phone"); /* a map has one value for a key, and it is the last one */
    assert_accepted(decode_buffer(&out), "protobuf's context");
    assert_int_equal(event.context_len, 2);
    assert_true(event.context[0] == key_of("device", "phone") && event.context[1] == key_of("day", ""));
    assert_accepted(decode_auto(json, sizeof(json) - 1), "JSON's context");
    assert_int_equal(event.context_len, 2);
    assert_true(event.context[0] == key_of("device", "phone") && event.context[1] == key_of("day", ""));
}

static void context_beyond_its_bounds_is_left_out_and_counted(void **state)
{
    struct fr_series *ignored = FR_SERIES(FR_M_CONTEXT_IGNORED);
    double before = fr_series_value(ignored);
    char name[FEATURE_BYTES_MAX + 2] = "";
    struct buffer out = {.len = 0};

    (void)state;
    put_plain(&out);
    memset(name, 'x', sizeof(name) - 1);
    put_context(&out, name, "v");
    for (int i = 0; i < 34; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        put_context(&out, name, "v");
    }
    assert_accepted(decode_buffer(&out), "more context than is taken");
    assert_int_equal(event.context_len, FEATURES_MAX - 1); /* the long name had a place, and no key */
    assert_true(event.context[0] == key_of("n0", "v") && event.context[30] == key_of("n30", "v"));
    assert_true(fr_series_value(ignored) == before + 4);
}

static void what_is_absent_has_its_default(void **state)
{
    struct buffer out = {.len = 0};

    (void)state;
    put_string(&out, 1, "u1");
    put_string(&out, 2, "i1");
    assert_accepted(decode_buffer(&out), "two ids alone");
    assert_int_equal(event.type, OTHER);
    assert_true(event.weight == 1);
    assert_int_equal(event.when, LOGGED);
    assert_true(event.repeat_high == 0 && event.repeat_low == 0);
    put_string(&out, 3, "rating"); /* weighed by a value that is not there: 1 */
    assert_accepted(decode_buffer(&out), "a rating without a value");
    assert_int_equal(event.type, RATING);
    assert_true(event.weight == 1);
}

static void a_type_weighs_what_the_table_says(void **state)
{
    static const struct {
        const char *type;
        double value, weight;
        uint32_t index;
    } cases[] = {
        {"click", 7, 1, CLICK},        {"rating", 3.5, 3.5, RATING},
        {"rating", 0, 0, RATING},      {"like", 9, 2, LIKE},
        {"return", 2, -4, RETURN},     {"huge", 1, 1e6, HUGE_TYPE},
        {"huge", -1, -1e6, HUGE_TYPE}, {"unheard-of", 5, 1, OTHER},
        {"other", 5, 1, OTHER},        {"", 5, 1, OTHER},
        {"Click", 5, 1, OTHER},        {"clic", 5, 1, OTHER},
        {"clicks", 5, 1, OTHER},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        struct buffer out = {.len = 0};

        put_string(&out, 1, "u1");
        put_string(&out, 2, "i1");
        put_string(&out, 3, cases[i].type);
        put_double(&out, 4, cases[i].value);
        assert_accepted(decode_buffer(&out), cases[i].type);
        assert_int_equal(event.type, cases[i].index);
        assert_true(event.weight == cases[i].weight);
    }
}

/* ---- the rules -------------------------------------------------------------------------------------------------- */

static void an_id_has_1_to_256_bytes_of_utf8_without_nul(void **state)
{
    static const struct {
        size_t len;
        const char *tail, *words;
    } cases[] = {
        {0, "", "is empty"},
        {1, "", NULL},
        {256, "", NULL},
        {257, "", "is longer than 256 bytes"},
        {254, "\xc3\xa9", NULL},
        {255, "\xc3\xa9", "is longer than 256 bytes"},
        {3, "\xc3", "not valid UTF-8"},
        {3, "\xed\xa0\x80", "not valid UTF-8"},
    };
    char id[300];

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        size_t len = cases[i].len + strlen(cases[i].tail);

        memset(id, 'x', cases[i].len);
        memcpy(id + cases[i].len, cases[i].tail, strlen(cases[i].tail));
        for (unsigned field = 1; field <= 2; field++) {
            struct buffer out = {.len = 0};

            put_run(&out, field, id, len);
            put_string(&out, 3 - field, "good");
            if (cases[i].words) {
                assert_rejected(decode_buffer(&out), field == 1 ? "user_id" : "item_id", cases[i].words, "an id");
            } else {
                assert_accepted(decode_buffer(&out), "an id");
                assert_true(fr_bytes_equal(field == 1 ? event.user : event.item, (struct fr_bytes){id, len}));
            }
        }
    }
    struct buffer out = {.len = 0};
    put_run(&out, 1, "a\0b", 3);
    put_string(&out, 2, "i1");
    assert_rejected(decode_buffer(&out), "user_id", "contains a NUL byte", "a NUL");
    assert_rejected(decode_auto("", 0), "user_id", "is empty", "an empty message");
}

static void value_and_weight_are_finite_and_at_most_a_million(void **state)
{
    static const struct {
        const char *type;
        double value;
        bool good;
    } cases[] = {
        {"rating", 1e6, true},
        {"rating", -1e6, true},
        {"rating", 1000000.0000000001, false},
        {"rating", 1e300, false},
        {"huge", 1.0000000000000002, false},
        {"huge", 1e308, false},
        {"click", 1e300, true}, /* not used as a weight */
        {"rating", (double)NAN, false},
        {"rating", (double)INFINITY, false},
        {"click", (double)NAN, false},
        {"click", -(double)INFINITY, false},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        struct buffer out = {.len = 0};
        char what[64];

        snprintf(what, sizeof(what), "%s of %.17g", cases[i].type, cases[i].value);
        put_string(&out, 1, "u1");
        put_string(&out, 2, "i1");
        put_string(&out, 3, cases[i].type);
        put_double(&out, 4, cases[i].value);
        if (cases[i].good)
            assert_accepted(decode_buffer(&out), what);
        else
            assert_rejected(decode_buffer(&out), "value", "value", what);
    }
    static const char just[] = "{" IDS ",\"type\":\"rating\",\"value\":1000001}"; /* beyond the limit by so little that it must be told apart */
    assert_rejected(decode_auto(just, sizeof(just) - 1), "value", "value 1000001 times the weight ", "just too large");
    assert_rejected(decode_auto(just, sizeof(just) - 1), "value", " of type 'rating' is beyond 1000000", "just too large");
}

static void a_time_lies_between_1970_and_five_minutes_after_its_record(void **state)
{
    static const struct {
        int64_t time;
        when_ms logged, when; /* when -1: rejected */
        const char *words;
    } cases[] = {
        {1, 1700000000000, 1, NULL},
        {0, 0, 0, NULL},
        {0, 1700000000000, 1700000000000, NULL},
        {0, -1, -1, "no Kafka timestamp"},
        {5, -1, 5, NULL},
        {-1, 1700000000000, -1, "before 1970"},
        {INT64_MIN, 1700000000000, -1, "before 1970"},
        {1700000300000, 1700000000000, 1700000300000, NULL},
        {1700000300001, 1700000000000, -1, "300001 ms after the Kafka timestamp"},
        {17592186044415, -1, 17592186044415, NULL}, /* 2^44 - 1 */
        {17592186044416, -1, -1, "beyond"},
        {INT64_MAX, -1, -1, "beyond"},
        {17592186044415, 17592186044415, 17592186044415, NULL},
        {5, 17592186044416, -1, "the Kafka timestamp 17592186044416 is beyond"},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        struct buffer out = {.len = 0};
        bool decoded;

        put_string(&out, 1, "u1");
        put_string(&out, 2, "i1");
        put_int(&out, 5, (uint64_t)cases[i].time);
        decoded = decode_as(FEED_AUTO, NULL, out.at, out.len, cases[i].logged);
        if (cases[i].when < 0) {
            assert_rejected(decoded, "time", cases[i].words, "a time");
            assert_int_equal(reject.logged, cases[i].logged);
        } else {
            assert_accepted(decoded, "a time");
            assert_int_equal(event.when, cases[i].when);
        }
        assert_int_equal(event.logged, cases[i].logged > 17592186044415 ? -1 : cases[i].logged);
    }
}

static void a_null_value_has_its_own_reason(void **state)
{
    struct record record = {.key = FR_BYTES("u1"), .has_key = true, .logged = LOGGED};

    (void)state;
    assert_rejected(decoder_decode(decoders[FEED_AUTO], &record, &event, &reject), "null", "null", "a tombstone");
    assert_true(reject.has_key && !reject.has_value);
    assert_bytes(reject.key, "u1");
}

static void a_record_under_another_key_is_misrouted(void **state)
{
    struct buffer out = {.len = 0};
    struct record record = {.has_value = true, .logged = LOGGED};

    (void)state;
    put_plain(&out);
    record.value = (struct fr_bytes){out.at, out.len};
    assert_true(decoder_decode(decoders[FEED_AUTO], &record, &event, &reject));
    assert_true(record_misrouted(&record, &event)); /* no key */
    record.has_key = true;
    assert_true(record_misrouted(&record, &event)); /* an empty key */
    record.key = FR_BYTES("u1");
    assert_false(record_misrouted(&record, &event));
    record.key = FR_BYTES("u12");
    assert_true(record_misrouted(&record, &event));
}

static void repeats_are_told_by_user_and_event_id_together(void **state)
{
    static char long_id[3000];
    const char *const pairs[][2] = {{"u1", "e1"}, {"u1", "e2"}, {"u2", "e1"},
                                    {"u", "1e1"}, {"u1e", "1"}, {"u1", long_id}};
    struct event seen[LENGTH(pairs)];

    (void)state;
    memset(long_id, 'e', sizeof(long_id) - 1);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < LENGTH(pairs); i++) {
            struct buffer out = {.len = 0};

            put_string(&out, 6, pairs[i][1]);
            put_string(&out, 2, round ? "another item" : "i1");
            put_string(&out, 1, pairs[i][0]);
            assert_accepted(decode_buffer(&out), pairs[i][1]);
            assert_true(event.repeat_high || event.repeat_low);
            if (round)
                assert_true(seen[i].repeat_high == event.repeat_high && seen[i].repeat_low == event.repeat_low);
            seen[i] = event;
            for (size_t j = 0; j < i; j++)
                assert_true(seen[j].repeat_high != event.repeat_high && seen[j].repeat_low != event.repeat_low);
        }
    }
}

/* ---- random messages ------------------------------------------------------------------------------------------- */

static uint64_t random_state = 20260301;

static uint64_t draw(uint64_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % below;
}

struct wanted {
    char user[32], item[32];
    uint32_t type;
    double value;
    bool has_value;
    int64_t time;
};

static struct wanted draw_event(void)
{
    struct wanted wanted = {.type = (uint32_t)draw(OTHER + 1), .has_value = draw(2), .time = 0};

    snprintf(wanted.user, sizeof(wanted.user), "u\xc3\xa9%llu", (unsigned long long)draw(1000000));
    snprintf(wanted.item, sizeof(wanted.item), "i%llu", (unsigned long long)draw(1000000));
    wanted.value = wanted.type == HUGE_TYPE ? (double)draw(3) - 1 : (double)draw(2000) / 8 - 100;
    if (draw(2))
        wanted.time = 1 + (int64_t)draw((uint64_t)LOGGED);
    return wanted;
}

/* Each field once or twice, the wanted value last, strangers between them, in any order of fields. */
static void put_random(struct buffer *out, const struct wanted *wanted)
{
    unsigned order[] = {1, 2, 3, 4, 5, 7, 8, 9, 10};

    for (size_t i = LENGTH(order) - 1; i > 0; i--) {
        size_t j = draw(i + 1);
        unsigned swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
    for (size_t i = 0; i < LENGTH(order); i++) {
        bool twice = draw(4) == 0;

        if (order[i] == 1 || order[i] == 2) {
            if (twice)
                put_string(out, order[i], "not this one");
            put_string(out, order[i], order[i] == 1 ? wanted->user : wanted->item);
        } else if (order[i] == 3 && wanted->type != OTHER) {
            put_string(out, 3, weights[wanted->type].type);
        } else if (order[i] == 4 && wanted->has_value) {
            if (twice)
                put_double(out, 4, (double)NAN);
            put_double(out, 4, wanted->value);
        } else if (order[i] == 5 && (wanted->time || twice)) {
            if (twice)
                put_int(out, 5, draw(UINT64_MAX));
            put_int(out, 5, (uint64_t)wanted->time);
        } else if (order[i] == 7) {
            put_context(out, "device", "phone");
        } else if (order[i] == 8) {
            put_int(out, 8 + (unsigned)draw(1000), draw(UINT64_MAX));
        } else if (order[i] == 9) {
            put_double(out, 8 + (unsigned)draw(1000), 7);
        } else if (order[i] == 10) {
            put_string(out, 8 + (unsigned)draw(1000), "stranger");
        }
    }
}

static void put_json(struct buffer *out, const struct wanted *wanted)
{
    char text[400];
    int len = snprintf(text, sizeof(text), "{\"%s\":\"%s\",\"%s\":\"%s\"", draw(2) ? "user_id" : "userId", wanted->user,
                       draw(2) ? "item_id" : "itemId", wanted->item);

    put(out, text, (size_t)len);
    if (wanted->type != OTHER)
        put(out, text, (size_t)snprintf(text, sizeof(text), ",\"type\":\"%s\"", weights[wanted->type].type));
    if (wanted->has_value)
        put(out, text,
            (size_t)snprintf(text, sizeof(text), draw(2) ? ",\"value\":%.17g" : ",\"value\":\"%.17g\"", wanted->value));
    if (wanted->time)
        put(out, text,
            (size_t)snprintf(text, sizeof(text), draw(2) ? ",\"time_ms\":%lld" : ",\"timeMs\":\"%lld\"",
                             (long long)wanted->time));
    put(out, "}", 1);
}

static void random_events_come_back_as_they_were(void **state)
{
    (void)state;
    for (int round = 0; round < 20000; round++) {
        struct wanted wanted = draw_event();
        struct buffer out = {.len = 0};
        double weight = wanted.type == OTHER ? 1 : weights[wanted.type].weight;

        if (draw(4) == 0) /* framed */
            put(&out, round % 2 ? "\0\0\0\0\1" : "\0\0\0\0\1\0", round % 2 ? 5 : 6);
        if (round % 2)
            put_json(&out, &wanted);
        else
            put_random(&out, &wanted);
        if (wanted.has_value && (wanted.type == RATING || wanted.type == HUGE_TYPE))
            weight *= wanted.value;
        assert_accepted(decode_buffer(&out), "a random event");
        assert_bytes(event.user, wanted.user);
        assert_bytes(event.item, wanted.item);
        assert_int_equal(event.type, wanted.type);
        assert_true(event.weight == weight);
        assert_int_equal(event.when, wanted.time ? wanted.time : LOGGED);
    }
}

static void a_record_is_known_again_by_all_that_it_is(void **state)
{
    static const struct record records[] = {
        {.key = {"k", 1}, .has_key = true, .value = {"value", 5}, .has_value = true, .logged = 1000},
        {.key = {"K", 1}, .has_key = true, .value = {"value", 5}, .has_value = true, .logged = 1000},
        {.key = {"k", 1}, .has_key = true, .value = {"Value", 5}, .has_value = true, .logged = 1000},
        {.key = {"k", 1}, .has_key = true, .value = {"value", 5}, .has_value = true, .logged = 1001},
        {.key = {"k", 1}, .has_key = true, .value = {"value", 5}, .has_value = true, .logged = -1},
        {.key = {"kv", 2}, .has_key = true, .value = {"alue", 4}, .has_value = true, .logged = 1000},
        {.key = {"", 0}, .has_key = true, .value = {"value", 5}, .has_value = true, .logged = 1000},
        {.key = {NULL, 0}, .has_key = false, .value = {"value", 5}, .has_value = true, .logged = 1000},
        {.key = {"k", 1}, .has_key = true, .value = {"", 0}, .has_value = true, .logged = 1000},
        {.key = {"k", 1}, .has_key = true, .value = {NULL, 0}, .has_value = false, .logged = 1000},
    };
    static char copy[] = "value";
    struct record again = records[0];

    (void)state;
    again.value.at = copy;
    assert_int_equal(record_print(&again), record_print(&records[0]));
    for (size_t i = 0; i < LENGTH(records); i++) {
        for (size_t j = 0; j < i; j++)
            assert_true(record_print(&records[i]) != record_print(&records[j]));
    }
    /* It is stored: it must be the same for ever. */
    assert_int_equal(record_print(&records[0]), 0x357d26c92117795c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_event_is_read_from_its_bytes),
        cmocka_unit_test(context_becomes_keys_in_the_order_of_the_record),
        cmocka_unit_test(context_beyond_its_bounds_is_left_out_and_counted),
        cmocka_unit_test(what_is_absent_has_its_default),
        cmocka_unit_test(a_type_weighs_what_the_table_says),
        cmocka_unit_test(an_id_has_1_to_256_bytes_of_utf8_without_nul),
        cmocka_unit_test(value_and_weight_are_finite_and_at_most_a_million),
        cmocka_unit_test(a_time_lies_between_1970_and_five_minutes_after_its_record),
        cmocka_unit_test(a_null_value_has_its_own_reason),
        cmocka_unit_test(a_record_under_another_key_is_misrouted),
        cmocka_unit_test(repeats_are_told_by_user_and_event_id_together),
        cmocka_unit_test(random_events_come_back_as_they_were),
        cmocka_unit_test(a_record_is_known_again_by_all_that_it_is),
    };

    return cmocka_run_group_tests_name("decode", tests, make_decoders, free_decoders);
}
