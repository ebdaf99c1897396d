/*
 * decode_protobuf_test.c -- the fields of an Event from protobuf bytes. Expected values follow from proto3's rules;
 * bytes that matter are spelt out.
 */
#include "freshet/v1/events.pb-c.h"
#include "records.h"

static void unknown_fields_are_skipped_whatever_their_wire_type(void **state)
{
    const struct fr_bytes unknown[] = {
        FR_BYTES("\x40\x96\x01"),                                 /* 8: varint */
        FR_BYTES("\x41ghijklmn"),                                 /* 8: fixed64 */
        FR_BYTES("\x42\x03xyz"),                                  /* 8: run */
        FR_BYTES("\x45ghij"),                                     /* 8: fixed32 */
        FR_BYTES("\x43\x44"),                                     /* 8: empty group */
        FR_BYTES("\x43\x08\x05\x4b\x4c\x1a\x01x\x44"),            /* 8: group with a varint, group 9 and a run */
        FR_BYTES("\xf8\xff\xff\xff\x0f\x01"),                     /* 536870911, the last field number: varint */
        FR_BYTES("\x08\x05"),                                     /* user_id as a varint is not user_id */
        FR_BYTES("\x0dghij"),                                     /* user_id as fixed32 */
        FR_BYTES("\x20\x05"),                                     /* value as a varint is not a value */
        FR_BYTES("\x2a\x01x"),                                    /* time_ms as a run is not a time */
        FR_BYTES("\x3b\x3c"),                                     /* context as a group */
        FR_BYTES("\x3a\x00"),                                     /* an empty context entry */
        FR_BYTES("\x3a\x06\x0a\x01k\x18\x80\x01"),                /* a context entry with an unknown field */
        FR_BYTES("\x40\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), /* ten bytes; what is beyond 64 bits is dropped */
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(unknown); i++) {
        for (int before = 0; before < 2; before++) {
            struct buffer out = {.len = 0};
            char what[32];

            snprintf(what, sizeof(what), "unknown field %zu", i);
            if (before)
                put(&out, unknown[i].at, unknown[i].len);
            put_plain(&out);
            if (!before)
                put(&out, unknown[i].at, unknown[i].len);
            assert_accepted(decode_buffer(&out), what);
            assert_bytes(event.user, "u1");
            assert_bytes(event.item, "i1");
            assert_int_equal(event.type, CLICK);
            assert_int_equal(event.when, LOGGED - 1000);
        }
    }
}

static void the_last_value_of_a_field_wins(void **state)
{
    struct buffer out = {.len = 0};

    (void)state;
    put_plain(&out);
    put_double(&out, 4, 1);
    put_string(&out, 2, "i2");
    put_string(&out, 1, "u2");
    put_string(&out, 3, "rating");
    put_double(&out, 4, 2);
    put_int(&out, 5, (uint64_t)LOGGED - 5);
    assert_accepted(decode_buffer(&out), "everything twice");
    assert_bytes(event.user, "u2");
    assert_bytes(event.item, "i2");
    assert_true(event.weight == 2);
    assert_int_equal(event.when, LOGGED - 5);
}

static void broken_protobuf_is_undecodable(void **state)
{
    const struct {
        struct fr_bytes tail;
        const char *words;
    } cases[] = {
        {FR_BYTES("\x0a"), "ends inside a field"},
        {FR_BYTES("\x0a\x05ghij"), "ends inside a field"},
        {FR_BYTES("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), "ends inside a field"},
        {FR_BYTES("\x21ghijklm"), "ends inside a field"},
        {FR_BYTES("\x45ghi"), "ends inside a field"},
        {FR_BYTES("\x28\x80\x80"), "ends inside a field"},
        {FR_BYTES("\x28\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"), "varint is longer"},
        {FR_BYTES("\x02\x01x"), "no field begins with tag 2"},     /* field 0 */
        {FR_BYTES("\x46"), "no field begins with tag 70"},         /* wire type 6 */
        {FR_BYTES("\x47"), "no field begins with tag 71"},         /* wire type 7 */
        {FR_BYTES("\x80\x80\x80\x80\x10\x01"), "no field begins"}, /* field 2^29 */
        {FR_BYTES("\x44"), "group 8 ends without"},
        {FR_BYTES("\x43"), "ends inside a field"},
        {FR_BYTES("\x43\x4c"), "group 9 ends without"},
        {FR_BYTES("\x43\x4b\x44\x4c"), "group 8 ends without"}, /* crossed */
        {FR_BYTES("\x1a\x01\xff"), "type is not valid UTF-8"},
        {FR_BYTES("\x32\x02\xc3\x28"), "event_id is not valid UTF-8"},
        {FR_BYTES("\x3a\x03\x0a\x01\xff"), "context has a key"},
        {FR_BYTES("\x3a\x03\x12\x01\xff"), "context has a value"},
        {FR_BYTES("\x3a\x03\x0a\x05k"), "ends inside a field"}, /* beyond its entry, though not beyond the record */
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        struct buffer out = {.len = 0};
        char what[32];

        snprintf(what, sizeof(what), "broken tail %zu", i);
        put_plain(&out);
        put(&out, cases[i].tail.at, cases[i].tail.len);
        assert_rejected(decode_buffer(&out), "undecodable", cases[i].words, what);
        assert_true(reject.value.at == out.at && reject.value.len == out.len); /* untouched */
    }
}

static void groups_may_be_nested_a_hundred_deep_and_no_deeper(void **state)
{
    for (int depth = 100; depth <= 101; depth++) {
        struct buffer out = {.len = 0};

        (void)state;
        put_plain(&out);
        for (int i = 0; i < depth; i++)
            put(&out, "\x43", 1);
        for (int i = 0; i < depth; i++)
            put(&out, "\x44", 1);
        if (depth == 100)
            assert_accepted(decode_buffer(&out), "100 groups");
        else
            assert_rejected(decode_buffer(&out), "undecodable", "deeper than 100", "101 groups");
    }
}

static void a_record_cut_inside_a_field_is_undecodable(void **state)
{
    struct buffer out = {.len = 0};
    size_t ends[8], ends_len = 0;

    (void)state;
    put_string(&out, 1, "u1"), ends[ends_len++] = out.len;
    put_string(&out, 2, "i1"), ends[ends_len++] = out.len;
    put_string(&out, 3, "click"), ends[ends_len++] = out.len;
    put_double(&out, 4, 3), ends[ends_len++] = out.len;
    put_int(&out, 5, 1600000000000), ends[ends_len++] = out.len;
    put_string(&out, 6, "e1"), ends[ends_len++] = out.len;
    put_context(&out, "k", "v"), ends[ends_len++] = out.len;
    for (size_t len = 1, next = 0; len <= out.len; len++) {
        char *copy = malloc(len); /* of its own, so that a sanitizer sees one byte too many */
        bool decoded;

        memcpy(copy, out.at, len);
        decoded = decode_auto(copy, len);
        if (len < ends[next])
            assert_rejected(decoded, "undecodable", "ends inside a field", "a cut record");
        else if (next++ == 0)
            assert_rejected(decoded, "item_id", "is empty", "a record without its item");
        else
            assert_accepted(decoded, "a record cut between fields");
        free(copy);
    }
}

/* ---- protobuf-c as the other opinion ----------------------------------------------------------------------------- */

static uint64_t draw(uint64_t *state, uint64_t below)
{
    *state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (*state >> 33) % below;
}

static ProtobufCBinaryData draw_bytes(uint64_t *state, uint8_t *room, size_t max)
{
    size_t len = draw(state, max + 1);

    for (size_t i = 0; i < len; i++)
        room[i] = (uint8_t)draw(state, 256);
    return (ProtobufCBinaryData){len, room};
}

static void assert_same(struct fr_bytes ours, ProtobufCBinaryData theirs)
{
    assert_true(fr_bytes_equal(ours, (struct fr_bytes){(const char *)theirs.data, theirs.len}));
}

/* Two packed messages in a row are their merger in protobuf, so what protobuf-c then unpacks is what we must read. */
static void what_protobuf_c_packs_is_read_as_protobuf_c_reads_it(void **unused)
{
    uint64_t state = 7;

    (void)unused;
    for (int round = 0; round < 20000; round++) {
        struct fields fields;
        struct problem problem;
        uint8_t packed[4096];
        size_t len = 0;

        for (uint64_t messages = 1 + draw(&state, 2); messages; messages--) {
            Freshet__V1__Event__ContextEntry entry = FRESHET__V1__EVENT__CONTEXT_ENTRY__INIT, *entries[] = {&entry};
            Freshet__V1__Event message = FRESHET__V1__EVENT__INIT;
            uint8_t user[300], item[300], id[300];
            char type[3] = {(char)('a' + draw(&state, 26)), 0};

            message.user_id = draw_bytes(&state, user, sizeof(user));
            message.item_id = draw_bytes(&state, item, sizeof(item));
            message.event_id = draw_bytes(&state, id, sizeof(id));
            message.type = draw(&state, 2) ? type : message.type;
            message.time_ms = draw(&state, 2) ? (int64_t)(draw(&state, UINT32_MAX) << draw(&state, 33)) : 0;
            if (draw(&state, 2)) {
                message.value_given_case = FRESHET__V1__EVENT__VALUE_GIVEN_VALUE;
                message.value = (double)draw(&state, 1000) / 7;
            }
            entry.key = type;
            message.n_context = draw(&state, 2);
            message.context = entries;
            len += freshet__v1__event__pack(&message, packed + len);
        }
        Freshet__V1__Event *theirs = freshet__v1__event__unpack(NULL, len, packed);
        assert_non_null(theirs);
        if (!decode_protobuf((struct fr_bytes){(const char *)packed, len}, &fields, &problem))
            fail_msg("round %d: %s", round, problem.text);
        assert_same(fields.user, theirs->user_id);
        assert_same(fields.item, theirs->item_id);
        assert_same(fields.event_id, theirs->event_id);
        assert_true(fr_bytes_equal(fields.type, fr_bytes_of(theirs->type)));
        assert_int_equal(fields.time, theirs->time_ms);
        assert_int_equal(fields.has_value, theirs->value_given_case == FRESHET__V1__EVENT__VALUE_GIVEN_VALUE);
        assert_true(!fields.has_value || fields.value == theirs->value);
        freshet__v1__event__free_unpacked(theirs, NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_fields_are_skipped_whatever_their_wire_type),
        cmocka_unit_test(the_last_value_of_a_field_wins),
        cmocka_unit_test(broken_protobuf_is_undecodable),
        cmocka_unit_test(groups_may_be_nested_a_hundred_deep_and_no_deeper),
        cmocka_unit_test(a_record_cut_inside_a_field_is_undecodable),
        cmocka_unit_test(what_protobuf_c_packs_is_read_as_protobuf_c_reads_it),
    };

    return cmocka_run_group_tests_name("decode_protobuf", tests, make_decoders, free_decoders);
}
