/*
 * framing_test.c -- which encoding a value is in, and Confluent's frame around it.
 */
#include "records.h"

static void the_encoding_comes_from_the_setting_the_header_or_the_first_byte(void **state)
{
    static const char json[] = "{" IDS "}", spaced[] = " {" IDS "}";
    struct buffer proto = {.len = 0};

    (void)state;
    put_plain(&proto);
    assert_accepted(decode_as(FEED_AUTO, NULL, json, strlen(json), LOGGED), "auto sees '{'");
    assert_accepted(decode_as(FEED_JSON, NULL, json, strlen(json), LOGGED), "json is json");
    assert_accepted(decode_as(FEED_JSON, "application/x-protobuf", json, strlen(json), LOGGED), "the setting is first");
    assert_false(decode_as(FEED_PROTOBUF, NULL, json, strlen(json), LOGGED));
    assert_false(decode_as(FEED_AUTO, "application/x-protobuf", json, strlen(json), LOGGED));
    assert_false(decode_as(FEED_AUTO, NULL, spaced, strlen(spaced), LOGGED));
    assert_accepted(decode_as(FEED_AUTO, "application/json", spaced, strlen(spaced), LOGGED), "the header is second");
    assert_accepted(decode_as(FEED_AUTO, " Application/JSON ; charset=utf-8", spaced, strlen(spaced), LOGGED),
                    "as HTTP");
    assert_false(decode_as(FEED_AUTO, "application/jsonp", spaced, strlen(spaced), LOGGED));
    assert_accepted(decode_as(FEED_AUTO, "text/plain", json, strlen(json), LOGGED), "an unknown header says nothing");
    assert_accepted(decode_as(FEED_AUTO, "application/x-protobuf;v=1", proto.at, proto.len, LOGGED),
                    "protobuf by header");
    assert_accepted(decode_as(FEED_PROTOBUF, "application/json", proto.at, proto.len, LOGGED), "protobuf by setting");
    assert_false(decode_as(FEED_AUTO, "application/json", proto.at, proto.len, LOGGED));
}

/* JSON behind a space is no JSON to the contract; who sent it must be able to see that. */
static void a_first_byte_that_told_the_encoding_is_named(void **state)
{
    static const struct {
        enum feed_format format;
        const char *content_type;
        struct fr_bytes value;
        const char *words; /* NULL: nothing is said of it */
    } cases[] = {
        {FEED_AUTO, NULL, {" {" IDS "}", sizeof(" {" IDS "}") - 1},
         "; taken for protobuf, as it has no header content-type and the first byte is 0x20, not '{'"},
        {FEED_AUTO, NULL, {"\n{" IDS "}", sizeof("\n{" IDS "}") - 1}, "the first byte is 0x0a, not '{'"},
        {FEED_AUTO, "text/plain", {" {}", 3}, "as its content-type is another and the first byte is 0x20, not '{'"},
        {FEED_AUTO, NULL, {"\0\0\0\0\x07\x00 {}", 9}, "the first byte in the frame is 0x00, not '{'"},
        {FEED_AUTO, "application/x-protobuf", {" {}", 3}, NULL},
        {FEED_PROTOBUF, NULL, {" {}", 3}, NULL},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        const char *type = cases[i].content_type;
        assert_rejected(decode_as(cases[i].format, type, cases[i].value.at, cases[i].value.len, LOGGED), "undecodable",
                        cases[i].words ? cases[i].words : "protobuf: ", "text");
        if (!cases[i].words)
            assert_null(memmem(reject.message.at, reject.message.len, "taken for", 9));
    }
}

static void confluent_frames_are_opened(void **state)
{
    static const char json[] = "{" IDS "}";
    const struct {
        struct fr_bytes head;
        bool json;
        const char *words; /* NULL: accepted */
    } cases[] = {
        {FR_BYTES("\0\0\0\0\x07\x00"), false, NULL},       /* a lone 0 is [0] */
        {FR_BYTES("\0\0\0\0\x07\x02\x00"), false, NULL},   /* one index: 0 */
        {FR_BYTES("\0\x7b\x7b\x7b\x7b\x00"), false, NULL}, /* the schema id may look like anything */
        {FR_BYTES("\0\0\0\0\x07"), true, NULL},
        {FR_BYTES("\0\0\0\0\x07\x02\x02"), false, "names message 1 at depth 1"},
        {FR_BYTES("\0\0\0\0\x07\x04\x00\x00"), false, "names message 0 at depth 2"},
        {FR_BYTES("\0\0\0\0\x07\x01"), false, "counts -1 message indexes"},
        {FR_BYTES("\0\0\0\0\x07\xff\xff\xff\xff\xff\x01"), false, "cut short or too long"},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        struct buffer out = {.len = 0};
        char what[32];

        snprintf(what, sizeof(what), "frame %zu", i);
        put(&out, cases[i].head.at, cases[i].head.len);
        if (cases[i].json)
            put(&out, json, strlen(json));
        else
            put_plain(&out);
        for (int format = FEED_AUTO; format <= FEED_JSON; format++) {
            if (format != FEED_AUTO && (format == FEED_JSON) != cases[i].json)
                continue;
            if (cases[i].words)
                assert_rejected(decode_as(format, NULL, out.at, out.len, LOGGED), "undecodable", cases[i].words, what);
            else
                assert_accepted(decode_as(format, NULL, out.at, out.len, LOGGED), what);
        }
    }
    assert_rejected(decode_auto("\0\0\0\0", 4), "undecodable", "header alone has 5", "half a frame");
    assert_rejected(decode_auto("\0\0\0\0\x07", 5), "undecodable", "cut short", "a frame of nothing");
    assert_rejected(decode_auto("\0\0\0\0\x07\x02", 6), "undecodable", "cut short", "a frame with half its indexes");
    assert_rejected(decode_auto("\0\0\0\0\x07\x80", 6), "undecodable", "cut short", "a frame with half a count");
    assert_rejected(decode_auto("\0\0\0\0\x07\x00", 6), "user_id", "is empty", "a frame around an empty message");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_encoding_comes_from_the_setting_the_header_or_the_first_byte),
        cmocka_unit_test(a_first_byte_that_told_the_encoding_is_named),
        cmocka_unit_test(confluent_frames_are_opened),
    };

    return cmocka_run_group_tests_name("framing", tests, make_decoders, free_decoders);
}
