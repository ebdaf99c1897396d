/*
 * format_test.c -- plain keys and sealed values: what FORMAT.md says, byte by byte, and nothing else is accepted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "freshet/format.h"

/* The fields with version and checksum around them, built here and not by the code under test. */
static size_t sealed_as(char version, char *room, const char *fields, size_t len)
{
    room[0] = version;
    memcpy(room + 1, fields, len);
    uint64_t check = XXH3_64bits(room, len + 1);
    for (size_t i = 0; i < 4; i++)
        room[1 + len + i] = (char)(check >> (8 * i));
    return len + 5;
}

static size_t sealed(char *room, const char *fields, size_t len)
{
    return sealed_as(1, room, fields, len);
}

static void a_position_is_laid_out_as_the_format_says(void **state)
{
    (void)state;
    struct fr_writer key, value;
    struct format_position position = {.index = 258,
                                       .next = 0x0102030405060708,
                                       .newest = -1,
                                       .last = 0x0102030405060706,
                                       .print = 0xfedcba9876543210},
                           read;
    char want[64];

    fr_writer_init(&key, 0);
    fr_writer_init(&value, 0);
    format_position_key(&key, FR_BYTES("events"), 66051);
    format_position_value(&value, &position);
    assert_int_equal(key.len, 1 + 6 + 1 + 4);
    assert_memory_equal(key.at, "oevents\0\x00\x01\x02\x03", 12);
    size_t len = sealed_as(2, want,
                           "\x02\x01\x00\x00"
                           "\x08\x07\x06\x05\x04\x03\x02\x01"
                           "\xff\xff\xff\xff\xff\xff\xff\xff"
                           "\x06\x07\x06\x05\x04\x03\x02\x01"
                           "\x10\x32\x54\x76\x98\xba\xdc\xfe",
                           36);
    assert_int_equal(value.len, len);
    assert_memory_equal(value.at, want, len);
    assert_true(format_position_read(fr_written(&key), fr_written(&value), &read));
    assert_true(fr_bytes_equal(read.topic, FR_BYTES("events")));
    assert_int_equal(read.partition, 66051);
    assert_int_equal(read.index, 258);
    assert_int_equal(read.next, 0x0102030405060708);
    assert_int_equal(read.newest, -1);
    assert_int_equal(read.last, 0x0102030405060706);
    assert_int_equal(read.print, 0xfedcba9876543210);
    fr_writer_release(&key);
    fr_writer_release(&value);
}

static void of_a_position_of_version_1_the_last_record_is_unknown(void **state)
{
    (void)state;
    char room[64];
    struct format_position read;
    size_t len = sealed(room, "\x05\x00\x00\x00" "\x08\x00\x00\x00\x00\x00\x00\x00" "\x07\x00\x00\x00\x00\x00\x00\x00", 20);

    assert_true(format_position_read((struct fr_bytes){"ot\0\0\0\0\1", 7}, (struct fr_bytes){room, len}, &read));
    assert_int_equal(read.index, 5);
    assert_int_equal(read.next, 8);
    assert_int_equal(read.newest, 7);
    assert_int_equal(read.last, -1);
    assert_int_equal(read.print, 0);
}

static void holes_are_laid_out_as_the_format_says(void **state)
{
    (void)state;
    struct fr_writer key, value;
    struct format_holes holes = {.skipped = 258, .len = 2, .holes = {{1, 3}, {4, 9}}}, read;
    char want[64];

    fr_writer_init(&key, 0);
    fr_writer_init(&value, 0);
    format_holes_key(&key, FR_BYTES("t"), 7);
    format_holes_value(&value, &holes);
    assert_int_equal(key.len, 7);
    assert_memory_equal(key.at, "ht\0\0\0\0\7", 7);
    size_t len = sealed(want,
                        "\2\1\0\0\0\0\0\0" "\2\0\0\0" "\1\0\0\0\0\0\0\0" "\3\0\0\0\0\0\0\0"
                        "\4\0\0\0\0\0\0\0" "\x9\0\0\0\0\0\0\0", 44);
    assert_int_equal(value.len, len);
    assert_memory_equal(value.at, want, len);
    assert_true(format_holes_read(fr_written(&key), fr_written(&value), &read));
    assert_int_equal(read.partition, 7);
    assert_int_equal(read.skipped, 258);
    assert_int_equal(read.len, 2);
    assert_memory_equal(read.holes, holes.holes, 2 * sizeof(*read.holes));
    fr_writer_release(&key);
    fr_writer_release(&value);
}

static void positions_of_a_topic_sort_by_partition(void **state)
{
    (void)state;
    struct fr_writer a, b;

    fr_writer_init(&a, 0);
    fr_writer_init(&b, 0);
    format_position_key(&a, FR_BYTES("t"), 255);
    format_position_key(&b, FR_BYTES("t"), 256);
    assert_true(fr_bytes_order(fr_written(&a), fr_written(&b)) < 0);
    fr_writer_release(&a);
    fr_writer_release(&b);
}

static void a_dead_letter_comes_back_whole(void **state)
{
    (void)state;
    struct fr_writer key, value;
    size_t big = 3 << 20;
    char *payload = malloc(big);
    memset(payload, 'p', big);
    struct format_letter letter = {.topic = FR_BYTES("events"),
                                   .partition = 3,
                                   .offset = 1234567890123,
                                   .logged = 1700000000000,
                                   .has_value = true,
                                   .value = {payload, big},
                                   .reason = FR_BYTES("decode"),
                                   .message = FR_BYTES("is not valid UTF-8")},
                         read;

    fr_writer_init(&key, 0);
    fr_writer_init(&value, 0);
    format_letter_key(&key, 0x0102030405060708);
    format_letter_value(&value, &letter);
    assert_int_equal(key.len, 9);
    assert_memory_equal(key.at, "x\x01\x02\x03\x04\x05\x06\x07\x08", 9);
    assert_true(format_letter_read(fr_written(&key), fr_written(&value), &read));
    assert_int_equal(read.id, 0x0102030405060708);
    assert_true(fr_bytes_equal(read.topic, letter.topic));
    assert_int_equal(read.partition, 3);
    assert_int_equal(read.offset, 1234567890123);
    assert_int_equal(read.logged, 1700000000000);
    assert_false(read.has_key);
    assert_true(read.has_value);
    assert_true(fr_bytes_equal(read.value, letter.value));
    assert_true(fr_bytes_equal(read.reason, letter.reason));
    assert_true(fr_bytes_equal(read.message, letter.message));
    free(payload);
    fr_writer_release(&key);
    fr_writer_release(&value);
}

static void an_empty_key_is_not_a_missing_one(void **state)
{
    (void)state;
    struct fr_writer key, value;
    struct format_letter read;

    for (int has = 0; has < 2; has++) {
        fr_writer_init(&key, 0);
        fr_writer_init(&value, 0);
        format_letter_key(&key, 1);
        format_letter_value(&value, &(struct format_letter){.topic = FR_BYTES("t"), .has_key = has});
        assert_true(format_letter_read(fr_written(&key), fr_written(&value), &read));
        assert_int_equal(read.has_key, has);
        assert_int_equal(read.key.len, 0);
        fr_writer_release(&key);
        fr_writer_release(&value);
    }
}

/* Is the value of this kind accepted? The key fits. */
static bool accepted(int kind, struct fr_bytes value)
{
    struct format_version version;
    struct format_clock clock;
    struct format_admission admission;
    struct format_position position;
    struct format_letter letter;
    struct format_holes holes;
    struct fr_bytes text;
    uint64_t number;

    switch (kind) {
    case 0:
        return format_version_read(value, &version);
    case 1:
        return format_shape_read(value, &text);
    case 2:
        return format_clock_read(value, &clock);
    case 3:
        return format_journals_read(value, &number);
    case 7:
        return format_admission_read(value, &admission);
    case 4:
        return format_position_read((struct fr_bytes){"ot\0\0\0\0\1", 7}, value, &position);
    case 6:
        return format_holes_read((struct fr_bytes){"ht\0\0\0\0\1", 7}, value, &holes);
    default:
        return format_letter_read((struct fr_bytes){"x\0\0\0\0\0\0\0\1", 9}, value, &letter);
    }
}

static void write_kind(int kind, struct fr_writer *out)
{
    switch (kind) {
    case 0:
        format_version_value(out, &(struct format_version){0, 0});
        break;
    case 1:
        format_shape_value(out, FR_BYTES("sar.similarity=jaccard\n"));
        break;
    case 2:
        format_clock_value(out, &(struct format_clock){-1, 2, 3});
        break;
    case 3:
        format_journals_value(out, 7);
        break;
    case 7:
        format_admission_value(out, &(struct format_admission){5, 6, 7});
        break;
    case 4:
        format_position_value(out, &(struct format_position){.index = 1, .next = 2, .newest = 3, .last = 1, .print = 4});
        break;
    case 6:
        format_holes_value(out, &(struct format_holes){.skipped = 9, .len = 2, .holes = {{1, 3}, {4, 9}}});
        break;
    default:
        format_letter_value(out,
                            &(struct format_letter){.topic = FR_BYTES("t"), .has_key = true, .key = FR_BYTES("k")});
    }
}

static void every_flipped_bit_and_every_cut_is_noticed(void **state)
{
    (void)state;
    for (int kind = 0; kind < 8; kind++) {
        struct fr_writer out;
        fr_writer_init(&out, 0);
        write_kind(kind, &out);
        assert_true(accepted(kind, fr_written(&out)));
        for (size_t bit = 0; bit < out.len * 8; bit++) {
            out.at[bit / 8] ^= (char)(1 << bit % 8);
            assert_false(accepted(kind, fr_written(&out)));
            out.at[bit / 8] ^= (char)(1 << bit % 8);
        }
        for (size_t len = 0; len < out.len; len++)
            assert_false(accepted(kind, (struct fr_bytes){out.at, len}));
        fr_writer_release(&out);
    }
}

static void a_good_seal_around_wrong_fields_is_refused(void **state)
{
    (void)state;
    char room[128], fields[64] = {0};

    for (int kind = 2; kind < 8; kind++) {
        size_t len = sealed(room, fields, 4); /* too short for each of them */
        assert_false(accepted(kind, (struct fr_bytes){room, len}));
    }
    memset(fields, 0, sizeof(fields)); /* positions: index 0, next 0, newest 0 is fine, one byte more is not */
    assert_true(accepted(4, (struct fr_bytes){room, sealed(room, fields, 20)}));
    assert_false(accepted(4, (struct fr_bytes){room, sealed(room, fields, 21)}));
    memset(fields + 4, 0xff, 8);
    fields[4] = (char)0xfe; /* next = -2 */
    assert_false(accepted(4, (struct fr_bytes){room, sealed(room, fields, 20)}));
    memset(fields, 0, sizeof(fields)); /* version 2: the last record is below next, or unknown and without a print */
    fields[4] = 1;
    assert_true(accepted(4, (struct fr_bytes){room, sealed_as(2, room, fields, 36)}));
    assert_false(accepted(4, (struct fr_bytes){room, sealed_as(2, room, fields, 20)}));
    assert_false(accepted(4, (struct fr_bytes){room, sealed_as(3, room, fields, 36)}));
    fields[4] = 0;
    assert_false(accepted(4, (struct fr_bytes){room, sealed_as(2, room, fields, 36)}));
    memset(fields + 20, 0xff, 8);
    assert_true(accepted(4, (struct fr_bytes){room, sealed_as(2, room, fields, 36)}));
    fields[28] = 1;
    assert_false(accepted(4, (struct fr_bytes){room, sealed_as(2, room, fields, 36)}));
    memset(fields, 0, sizeof(fields)); /* letters: flags 0, numbers 0, five empty blobs */
    assert_true(accepted(5, (struct fr_bytes){room, sealed(room, fields, 1 + 4 + 8 + 8 + 5)}));
    fields[0] = 4; /* an unknown flag */
    assert_false(accepted(5, (struct fr_bytes){room, sealed(room, fields, 1 + 4 + 8 + 8 + 5)}));
    fields[0] = 0; /* a value without its flag */
    fields[1 + 4 + 8 + 8 + 4] = 1;
    assert_false(accepted(5, (struct fr_bytes){room, sealed(room, fields, 1 + 4 + 8 + 8 + 6)}));
}

static void holes_that_touch_or_exceed_their_total_are_refused(void **state)
{
    (void)state;
    static const struct {
        struct format_holes holes;
        bool good;
    } cases[] = {
        {{.skipped = 7, .len = 2, .holes = {{0, 2}, {3, 8}}}, true},
        {{.skipped = 6, .len = 2, .holes = {{0, 2}, {3, 8}}}, false},
        {{.skipped = 99, .len = 2, .holes = {{0, 2}, {2, 8}}}, false},
        {{.skipped = 99, .len = 2, .holes = {{5, 8}, {0, 2}}}, false},
        {{.skipped = 99, .len = 1, .holes = {{5, 5}}}, false},
        {{.skipped = 99, .len = 1, .holes = {{-1, 5}}}, false},
        {{.skipped = 0, .len = 0}, true},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct fr_writer out;
        fr_writer_init(&out, 0);
        format_holes_value(&out, &cases[i].holes);
        assert_int_equal(accepted(6, fr_written(&out)), cases[i].good);
        fr_writer_release(&out);
    }
}

static void a_clock_may_be_longer_in_a_later_version(void **state)
{
    (void)state;
    char room[64], fields[32] = {5, [8] = 6, [16] = 7, [24] = 9};
    struct format_clock clock;

    assert_true(format_clock_read((struct fr_bytes){room, sealed(room, fields, 32)}, &clock));
    assert_int_equal(clock.now, 5);
    assert_int_equal(clock.events, 6);
    assert_int_equal(clock.number, 7);
}

static void wrong_keys_are_refused(void **state)
{
    (void)state;
    struct fr_writer out;
    struct format_position position;
    struct format_letter letter;

    fr_writer_init(&out, 0);
    write_kind(4, &out);
    assert_true(format_position_read((struct fr_bytes){"ot\0\0\0\0\1", 7}, fr_written(&out), &position));
    assert_false(format_position_read((struct fr_bytes){"o\0\0\0\0\1", 6}, fr_written(&out), &position)); /* no topic */
    assert_false(format_position_read((struct fr_bytes){"ot\0\0\0\1", 6}, fr_written(&out), &position));
    assert_false(format_position_read((struct fr_bytes){"o\0\0\0\0\0\1", 7}, fr_written(&out), &position));
    assert_false(format_position_read((struct fr_bytes){"ot\0\xff\0\0\1", 7}, fr_written(&out), &position));
    assert_false(format_position_read((struct fr_bytes){"pt\0\0\0\0\1", 7}, fr_written(&out), &position));
    fr_writer_reset(&out);
    write_kind(5, &out);
    assert_false(format_letter_read((struct fr_bytes){"x\0\0\0\0\0\0\1", 8}, fr_written(&out), &letter));
    assert_false(format_letter_read((struct fr_bytes){"x\0\0\0\0\0\0\0\1\1", 10}, fr_written(&out), &letter));
    assert_false(format_letter_read((struct fr_bytes){"y\0\0\0\0\0\0\0\1", 9}, fr_written(&out), &letter));
    fr_writer_release(&out);
}

/* ---- admission ---- */

static void put(struct store *store, const char *key, struct fr_bytes value)
{
    struct store_batch *batch = store->ops->batch_new(store);

    store->ops->batch_put(batch, fr_bytes_of(key), value);
    assert_int_equal(store->ops->write(store, batch, NULL), FR_OK);
    store->ops->batch_free(batch);
}

static void a_new_store_is_marked_and_then_admitted(void **state)
{
    (void)state;
    struct store *store = store_memory_new(NULL);
    struct fr_err err;

    assert_int_equal(format_admit(store, &err), FR_OK);
    struct store *left = store_memory_after_power_cut(store);
    assert_int_equal(format_admit(left, &err), FR_OK);
    char *value;
    size_t len;
    assert_int_equal(left->ops->get(left, FR_BYTES("m/format"), &value, &len, &err), FR_OK);
    free(value);
    left->ops->close(left);
    store->ops->close(store);
}

static void an_older_store_is_marked_as_one_that_older_programs_cannot_read(void **state)
{
    (void)state;
    struct store *store = store_memory_new(NULL);
    struct format_version version;
    struct fr_writer value;
    struct fr_err err;
    char *read;
    size_t len;

    fr_writer_init(&value, 0);
    format_version_value(&value, &(struct format_version){.compatible = 6}); /* 6: of somebody else's, kept */
    put(store, "m/format", fr_written(&value));
    assert_int_equal(format_admit(store, &err), FR_OK);
    struct store *left = store_memory_after_power_cut(store);
    assert_int_equal(left->ops->get(left, FR_BYTES("m/format"), &read, &len, &err), FR_OK);
    assert_true(format_version_read((struct fr_bytes){read, len}, &version));
    assert_int_equal(version.compatible, 7);
    assert_int_equal(version.incompatible, 7);
    free(read);
    fr_writer_release(&value);
    left->ops->close(left);
    store->ops->close(store);
}

static void somebody_elses_store_is_refused_and_left_alone(void **state)
{
    (void)state;
    struct store *store = store_memory_new(NULL);
    struct fr_err err;
    char *value;
    size_t len;

    put(store, "hello", FR_BYTES("world"));
    assert_int_equal(format_admit(store, &err), FR_CORRUPT);
    assert_int_equal(store->ops->get(store, FR_BYTES("m/format"), &value, &len, &err), FR_NOT_FOUND);
    store->ops->close(store);
}

static void unknown_incompatible_bits_are_named_and_refused_but_compatible_ones_are_not(void **state)
{
    (void)state;
    struct store *store = store_memory_new(NULL);
    struct fr_writer value;
    struct fr_err err;

    fr_writer_init(&value, 0);
    format_version_value(&value, &(struct format_version){.compatible = 6});
    put(store, "m/format", fr_written(&value));
    assert_int_equal(format_admit(store, &err), FR_OK);
    fr_writer_reset(&value);
    format_version_value(&value, &(struct format_version){.incompatible = 0x1C});
    put(store, "m/format", fr_written(&value));
    assert_int_equal(format_admit(store, &err), FR_CONFIG);
    assert_non_null(strstr(err.text, "0x18"));
    assert_non_null(strstr(err.text, "newer freshet"));
    put(store, "m/format", FR_BYTES("what?"));
    assert_int_equal(format_admit(store, &err), FR_CORRUPT);
    fr_writer_release(&value);
    store->ops->close(store);
}

static void a_cutoff_is_laid_out_as_the_format_says(void **state)
{
    static const char key_bytes[] = "c\x02\x08\x07\x06\x05\x04\x03\x02\x01\x18\x17\x16\x15\x14\x13\x12\x11";
    struct format_cutoff cutoff = {FORMAT_ITEM, {0x0102030405060708, 0x1112131415161718}, 0x55}, read;
    struct fr_writer key, value, record;

    (void)state;
    fr_writer_init(&key, 0);
    fr_writer_init(&value, 0);
    fr_writer_init(&record, 0);
    format_cutoff_key(&key, &cutoff);
    assert_int_equal(key.len, sizeof(key_bytes) - 1);
    assert_memory_equal(key.at, key_bytes, key.len);
    format_cutoff_value(&value, &cutoff);
    assert_int_equal(value.len, 1 + 8 + 4);
    assert_true(format_cutoff_read(fr_written(&key), fr_written(&value), &read));
    assert_true(read.kind == cutoff.kind && read.hash[0] == cutoff.hash[0] && read.hash[1] == cutoff.hash[1] && read.upto == cutoff.upto);
    format_cutoff_record(&record, &cutoff);
    assert_int_equal(record.len, 1 + 17 + 8 + 4);
    assert_true(format_cutoff_record_read(fr_written(&record), &read));
    assert_true(read.kind == cutoff.kind && read.hash[0] == cutoff.hash[0] && read.hash[1] == cutoff.hash[1] && read.upto == cutoff.upto);
    for (size_t i = 0; i < record.len; i++) {
        record.at[i] ^= 1;
        assert_false(format_cutoff_record_read(fr_written(&record), &read));
        record.at[i] ^= 1;
    }
    for (size_t i = 0; i < value.len; i++) {
        value.at[i] ^= 1;
        assert_false(format_cutoff_read(fr_written(&key), fr_written(&value), &read));
        value.at[i] ^= 1;
    }
    key.at[1] = 3; /* no such kind */
    assert_false(format_cutoff_read(fr_written(&key), fr_written(&value), &read));
    key.at[1] = 1;
    assert_false(format_cutoff_read((struct fr_bytes){key.at, key.len - 1}, fr_written(&value), &read));
    fr_writer_release(&key);
    fr_writer_release(&value);
    fr_writer_release(&record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_position_is_laid_out_as_the_format_says),
        cmocka_unit_test(of_a_position_of_version_1_the_last_record_is_unknown),
        cmocka_unit_test(holes_are_laid_out_as_the_format_says),
        cmocka_unit_test(holes_that_touch_or_exceed_their_total_are_refused),
        cmocka_unit_test(positions_of_a_topic_sort_by_partition),
        cmocka_unit_test(a_cutoff_is_laid_out_as_the_format_says),
        cmocka_unit_test(a_dead_letter_comes_back_whole),
        cmocka_unit_test(an_empty_key_is_not_a_missing_one),
        cmocka_unit_test(every_flipped_bit_and_every_cut_is_noticed),
        cmocka_unit_test(a_good_seal_around_wrong_fields_is_refused),
        cmocka_unit_test(a_clock_may_be_longer_in_a_later_version),
        cmocka_unit_test(wrong_keys_are_refused),
        cmocka_unit_test(a_new_store_is_marked_and_then_admitted),
        cmocka_unit_test(an_older_store_is_marked_as_one_that_older_programs_cannot_read),
        cmocka_unit_test(somebody_elses_store_is_refused_and_left_alone),
        cmocka_unit_test(unknown_incompatible_bits_are_named_and_refused_but_compatible_ones_are_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
