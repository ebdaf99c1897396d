/*
 * decode_json_test.c -- the fields of an Event from JSON, good and bad, as proto3's JSON mapping says.
 */
#include "records.h"

static void json_events_are_read_as_proto3_says(void **state)
{
    static const struct {
        const char *text;
        uint32_t type;
        double weight;
        when_ms when;
    } cases[] = {
        {"{" IDS "}", OTHER, 1, 1700000000000},
        {"{\"userId\":\"u1\",\"itemId\":\"i1\",\"type\":\"click\"}", CLICK, 1, 1700000000000},
        {"{" IDS ",\"type\":\"rating\",\"value\":4.5}", RATING, 4.5, 1700000000000},
        {"{" IDS ",\"type\":\"rating\",\"value\":3}", RATING, 3, 1700000000000},
        {"{" IDS ",\"type\":\"rating\",\"value\":\"-2.5e-1\"}", RATING, -0.25, 1700000000000},
        {"{" IDS ",\"type\":\"rating\",\"value\":0}", RATING, 0, 1700000000000},
        {"{" IDS ",\"time_ms\":1699999999999}", OTHER, 1, 1699999999999},
        {"{" IDS ",\"timeMs\":\"1699999999999\"}", OTHER, 1, 1699999999999},
        {"{" IDS ",\"time_ms\":1.699e12}", OTHER, 1, 1699000000000},
        {"{" IDS ",\"time_ms\":\"1.699e12\"}", OTHER, 1, 1699000000000},
        {"{" IDS ",\"time_ms\":5.0}", OTHER, 1, 5},
        {"{" IDS ",\"time_ms\":0}", OTHER, 1, 1700000000000},
        {"{" IDS ",\"type\":null,\"value\":null,\"time_ms\":null,\"event_id\":null,\"context\":null}", OTHER, 1,
         1700000000000},
        {"{" IDS ",\"context\":{\"device\":\"phone\"},\"unknown\":[1,{\"a\":null}]}", OTHER, 1, 1700000000000},
        {"{" IDS ",\"huge\":123456789012345678901234567890,\"time_ms\":1699999999999}", OTHER, 1, 1699999999999},
        {"{\"user_id\":\"no\",\"item_id\":\"no\"," IDS "}", OTHER, 1, 1700000000000}, /* the later wins */
        {"{\"userId\":\"no\",\"itemId\":\"no\"," IDS "}", OTHER, 1, 1700000000000},
        {"{" IDS ",\"userId\":null}", OTHER, 1, 1700000000000},
        {"{ \"user_id\" : \"\\u0075\\u0031\" , \"item_id\" : \"i1\" } \n", OTHER, 1, 1700000000000},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        assert_accepted(decode_auto(cases[i].text, strlen(cases[i].text)), cases[i].text);
        assert_bytes(event.user, "u1");
        assert_bytes(event.item, "i1");
        assert_int_equal(event.type, cases[i].type);
        assert_true(event.weight == cases[i].weight);
        assert_int_equal(event.when, cases[i].when);
    }
}

static void bad_json_gets_the_reason_that_fits(void **state)
{
    static const struct {
        const char *text, *reason, *words;
    } cases[] = {
        {"{", "undecodable", "JSON: "},
        {"{}}", "undecodable", "JSON: end of file expected"},
        {"{" IDS ",}", "undecodable", "JSON: "},
        {"{'user_id':1}", "undecodable", "JSON: "},
        {"{\"user_id\":\"\xff\"}", "undecodable", "JSON: "},
        {"{" IDS ",\"\\u0000\":1}", "undecodable", "NUL byte in object key"},
        {"{}", "user_id", "user_id is empty"},
        {"{\"user_id\":\"u1\"}", "item_id", "item_id is empty"},
        {"{\"user_id\":\"u1\",\"item_id\":\"a\\u0000b\"}", "item_id", "contains a NUL byte"},
        {"{\"user_id\":\"\\u0000\",\"item_id\":\"i1\"}", "user_id", "contains a NUL byte"},
        {"{\"user_id\":7,\"item_id\":\"i1\"}", "undecodable", "user_id is not a string"},
        {"{" IDS ",\"type\":1}", "undecodable", "type is not a string"},
        {"{" IDS ",\"event_id\":{}}", "undecodable", "event_id is not a string"},
        {"{" IDS ",\"context\":[]}", "undecodable", "context is not an object"},
        {"{" IDS ",\"context\":{\"a\":1}}", "undecodable", "context has a value"},
        {"{" IDS ",\"value\":true}", "undecodable", "value is not a number"},
        {"{" IDS ",\"value\":\"\"}", "undecodable", "value is not a number"},
        {"{" IDS ",\"value\":\"1 \"}", "undecodable", "value is not a number"},
        {"{" IDS ",\"value\":\"0x10\"}", "undecodable", "value is not a number"},
        {"{" IDS ",\"value\":\"inf\"}", "undecodable", "value is not a number"},
        {"{" IDS ",\"value\":\"1\\u0000\"}", "undecodable", "value is not a number"},
        {"{" IDS ",\"value\":\"NaN\"}", "value", "not a finite number"},
        {"{" IDS ",\"value\":\"Infinity\"}", "value", "not a finite number"},
        {"{" IDS ",\"value\":\"-Infinity\"}", "value", "not a finite number"},
        {"{" IDS ",\"value\":\"1e999\"}", "value", "not a finite number"},
        {"{" IDS ",\"time_ms\":1.5}", "undecodable", "time_ms is not a 64-bit integer"},
        {"{" IDS ",\"time_ms\":\"1.5\"}", "undecodable", "time_ms is not a 64-bit integer"},
        {"{" IDS ",\"time_ms\":\"\"}", "undecodable", "time_ms is not a 64-bit integer"},
        {"{" IDS ",\"time_ms\":\" 1\"}", "undecodable", "time_ms is not a 64-bit integer"},
        {"{" IDS ",\"time_ms\":\"9223372036854775808\"}", "undecodable", "time_ms is not a 64-bit integer"},
        {"{" IDS ",\"time_ms\":9223372036854775808}", "undecodable", "time_ms is not a 64-bit integer"},
        {"{" IDS ",\"time_ms\":\"9223372036854775807\"}", "time", "beyond"},
        {"{" IDS ",\"time_ms\":-1}", "time", "before 1970"},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++)
        assert_rejected(decode_auto(cases[i].text, strlen(cases[i].text)), cases[i].reason, cases[i].words,
                        cases[i].text);
    assert_rejected(decode_as(FEED_JSON, NULL, "[1]", 3, LOGGED), "undecodable", "not an object", "an array");
    assert_rejected(decode_as(FEED_JSON, NULL, "", 0, LOGGED), "undecodable", "JSON: ", "nothing");
    assert_rejected(decode_as(FEED_JSON, NULL, NULL, 0, LOGGED), "undecodable", "JSON: ", "nothing at all");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_events_are_read_as_proto3_says),
        cmocka_unit_test(bad_json_gets_the_reason_that_fits),
    };

    return cmocka_run_group_tests_name("decode_json", tests, make_decoders, free_decoders);
}
