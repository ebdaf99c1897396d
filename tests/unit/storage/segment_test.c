/*
 * segment_test.c -- the grammar of FORMAT.md, worked by hand, and everything outside it refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "freshet/segment.h"

static const struct segment_key pairs_delta = {.table = TABLE_PAIRS, .segment = 1, .delta = true, .number = 9};
static const struct segment_key pairs_base = {.table = TABLE_PAIRS, .segment = 1};
static const struct segment_key history_delta = {.table = TABLE_HISTORY, .segment = 0, .delta = true, .number = 9};
static const struct segment_key history_base = {.table = TABLE_HISTORY, .segment = 0};

static void keys_sort_as_they_must_be_read(void **state)
{
    (void)state;
    char rooms[6][SEGMENT_KEY_MAX];
    const struct segment_key keys[6] = {
        {.table = TABLE_PAIRS, .segment = 255, .delta = true, .number = 300},
        {.table = TABLE_PAIRS, .segment = 256, .number = 0},
        {.table = TABLE_PAIRS, .segment = 256, .number = 1},
        {.table = TABLE_PAIRS, .segment = 256, .delta = true, .number = 255},
        {.table = TABLE_PAIRS, .segment = 256, .delta = true, .number = 0x0102030405060708},
        {.table = TABLE_DEDUP, .segment = 0, .number = 0},
    };
    struct fr_bytes before = {NULL, 0};

    for (int i = 0; i < 6; i++) {
        struct fr_bytes key = segment_key_write(rooms[i], &keys[i]);
        struct segment_key read;
        assert_true(fr_bytes_order(before, key) < 0);
        before = key;
        assert_true(segment_key_read(key, &read));
        assert_int_equal(read.table, keys[i].table);
        assert_int_equal(read.segment, keys[i].segment);
        assert_int_equal(read.delta, keys[i].delta);
        assert_int_equal(read.number, keys[i].number);
    }
    assert_memory_equal(rooms[1], "s\4\0\0\1\0\0\0\0\0\0", 11);
    assert_memory_equal(rooms[4], "s\4\0\0\1\0\1\1\2\3\4\5\6\7\10", 15);
}

static void foreign_keys_are_refused(void **state)
{
    (void)state;
    struct segment_key key;

    assert_true(segment_key_read((struct fr_bytes){"s\4\0\0\1\0\0\0\0\0\0", 11}, &key));
    assert_false(segment_key_read((struct fr_bytes){"s\4\0\0\1\0\0\0\0\0", 10}, &key));
    assert_false(segment_key_read((struct fr_bytes){"s\4\0\0\1\0\0\0\0\0\0\0", 12}, &key));
    assert_false(segment_key_read((struct fr_bytes){"s\4\0\0\1\0\1\0\0\0\0", 11}, &key)); /* a delta's is longer */
    assert_false(segment_key_read((struct fr_bytes){"s\4\0\0\1\0\2\0\0\0\0", 11}, &key));
    assert_false(segment_key_read((struct fr_bytes){"t\4\0\0\1\0\0\0\0\0\0", 11}, &key));
    assert_false(segment_key_read((struct fr_bytes){"s\0\0\0\1\0\0\0\0\0\0", 11}, &key));
    assert_false(segment_key_read((struct fr_bytes){(const char[11]){'s', TABLES, 0, 0, 1}, 11}, &key));
    assert_false(segment_key_read((struct fr_bytes){"s\4\xff\0\1\0\0\0\0\0\0", 11}, &key)); /* past the last row */
}

/* version + body + checksum, made here. */
static struct fr_bytes value_of(char *room, const unsigned char *body, size_t len)
{
    room[0] = 1;
    if (len)
        memcpy(room + 1, body, len);
    uint64_t check = XXH3_64bits(room, len + 1);
    for (size_t i = 0; i < 4; i++)
        room[1 + len + i] = (char)(check >> (8 * i));
    return (struct fr_bytes){room, len + 5};
}

static void sums_are_encoded_as_the_format_says(void **state)
{
    (void)state;
    /* row 70, 6 after row 64; three cells, the last of them the head (3 << 2 | 2): column 3 +1; column 10, 6 skipped,
     * -2; head +300. Row 72, 1 skipped, cleared, no cells. Row 127, 54 skipped, one cell: column 2^32 - 2, -1. */
    // clang-format off
    const unsigned char body[] = {6, 14, 3, 2, 6, 3, 0xd8, 0x04,
                                  1, 1,
                                  54, 4, 0xfe, 0xff, 0xff, 0xff, 0x0f, 1};
    // clang-format on
    struct segment_writer writer;
    char room[64];

    segment_writer_init(&writer);
    segment_begin(&writer, TABLE_PAIRS, 1);
    segment_row(&writer, 70, false);
    segment_sum(&writer, 3, 1);
    segment_sum(&writer, 10, -2);
    segment_sum(&writer, COLUMN_HEAD, 300);
    segment_row(&writer, 71, false); /* leaves no trace */
    segment_row(&writer, 72, true);
    segment_row(&writer, 127, false);
    segment_sum(&writer, UINT32_MAX - 1, -1);
    struct fr_bytes value = segment_end(&writer), want = value_of(room, body, sizeof(body));
    assert_int_equal(value.len, want.len);
    assert_memory_equal(value.at, want.at, want.len);

    struct segment_reader reader;
    struct segment_cells row = {0};
    assert_true(segment_open(&reader, &pairs_delta, value));
    assert_true(segment_next(&reader, &row));
    assert_int_equal(row.row, 70);
    assert_false(row.cleared);
    assert_int_equal(row.len, 3);
    assert_int_equal(row.columns[0], 3);
    assert_int_equal(row.columns[1], 10);
    assert_int_equal(row.columns[2], COLUMN_HEAD);
    assert_int_equal(row.sums[0], 1);
    assert_int_equal(row.sums[1], -2);
    assert_int_equal(row.sums[2], 300);
    assert_true(segment_next(&reader, &row));
    assert_int_equal(row.row, 72);
    assert_true(row.cleared);
    assert_int_equal(row.len, 0);
    assert_true(segment_next(&reader, &row));
    assert_int_equal(row.row, 127);
    assert_int_equal(row.columns[0], UINT32_MAX - 1);
    assert_int_equal(row.sums[0], -1);
    assert_false(segment_next(&reader, &row));
    assert_null(reader.problem);
    segment_cells_release(&row);
    segment_writer_release(&writer);
}

static void bytes_are_encoded_as_the_format_says(void **state)
{
    (void)state;
    /* row 0: four cells, the head among them, cleared: 4 << 2 | 2 | 1; a length is one more than it is; the gap of 198
     * before column 200 is c6 01 */
    const unsigned char body[] = {0, 4 << 2 | 2 | 1, 0, 3, 'a', 'b', 0, 0, 0xc6, 0x01, 1, 3, 'h', 'd'};
    struct segment_writer writer;
    char room[64];

    segment_writer_init(&writer);
    segment_begin(&writer, TABLE_HISTORY, 0);
    segment_row(&writer, 0, true);
    segment_cell(&writer, 0, FR_BYTES("ab"));
    segment_deleted(&writer, 1);
    segment_cell(&writer, 200, FR_BYTES(""));
    segment_cell(&writer, COLUMN_HEAD, FR_BYTES("hd"));
    struct fr_bytes value = segment_end(&writer), want = value_of(room, body, sizeof(body));
    assert_int_equal(value.len, want.len);
    assert_memory_equal(value.at, want.at, want.len);

    struct segment_reader reader;
    struct segment_cells row = {0};
    assert_true(segment_open(&reader, &history_delta, value));
    assert_true(segment_next(&reader, &row));
    assert_true(row.cleared);
    assert_int_equal(row.len, 4);
    assert_true(fr_bytes_equal(row.cells[0], FR_BYTES("ab")));
    assert_null(row.cells[1].at);
    assert_non_null(row.cells[2].at);
    assert_int_equal(row.cells[2].len, 0);
    assert_true(fr_bytes_equal(row.cells[3], FR_BYTES("hd")));
    assert_int_equal(row.columns[2], 200);
    assert_false(segment_next(&reader, &row));
    assert_null(reader.problem);
    segment_cells_release(&row);
    segment_writer_release(&writer);
}

static void a_value_without_rows_is_not_written(void **state)
{
    (void)state;
    struct segment_writer writer;

    segment_writer_init(&writer);
    segment_begin(&writer, TABLE_PAIRS, 0);
    segment_row(&writer, 3, false);
    assert_int_equal(segment_end(&writer).len, 0);
    segment_writer_release(&writer);
}

static bool readable(const struct segment_key *key, struct fr_bytes value)
{
    struct segment_reader reader;
    struct segment_cells row = {0};

    if (segment_open(&reader, key, value))
        while (segment_next(&reader, &row))
            ;
    segment_cells_release(&row);
    return !reader.problem;
}

static bool body_readable(const struct segment_key *key, const unsigned char *body, size_t len)
{
    char room[128];

    return readable(key, value_of(room, body, len));
}

#define READABLE(key, ...)                                                                                             \
    body_readable(&(key), (const unsigned char[]){__VA_ARGS__}, sizeof((const unsigned char[]){__VA_ARGS__}))

static void what_breaks_the_grammar_is_refused(void **state)
{
    (void)state;
    assert_true(READABLE(pairs_delta, 0, 4, 0, 2));
    assert_false(body_readable(&pairs_delta, NULL, 0)); /* no rows */
    assert_false(READABLE(pairs_delta, 0, 4, 0));       /* a cell cut short */
    assert_false(READABLE(pairs_delta, 0));             /* no header */
    assert_false(READABLE(pairs_delta, 64, 4, 0, 2));   /* row 128 is the next segment's */
    assert_true(READABLE(pairs_delta, 63, 4, 0, 2));
    assert_false(READABLE(pairs_delta, 63, 4, 0, 2, 0, 4, 0, 2));               /* as is the row after */
    assert_false(READABLE(pairs_delta, 0, 8, 0, 2));                            /* fewer cells than claimed */
    assert_false(READABLE(pairs_delta, 0, 0xff, 0xff, 0xff, 0xff, 0x0f));       /* far fewer */
    assert_false(READABLE(pairs_delta, 0, 2));                                  /* a head among no cells */
    assert_false(READABLE(pairs_delta, 0, 0));                                  /* a row that says nothing */
    assert_false(READABLE(pairs_delta, 0, 4, 0, 0));                            /* a sum of 0 */
    assert_false(READABLE(pairs_delta, 0, 4, 0x80, 0x00, 2));                   /* not the shortest form */
    assert_false(READABLE(pairs_delta, 0, 4, 0x81, 0x80, 0x00, 2));             /* nor this */
    assert_false(READABLE(pairs_delta, 0x80, 0x00, 4, 0, 2));                   /* nor there */
    assert_false(READABLE(pairs_delta, 0, 4, 0xff, 0xff, 0xff, 0xff, 0x0f, 2)); /* the head's column without its flag */
    assert_false(READABLE(pairs_delta, 0, 8, 0xfe, 0xff, 0xff, 0xff, 0x0f, 2, 0, 2)); /* a column past the last */
    assert_true(READABLE(pairs_delta, 0, 10, 0xfe, 0xff, 0xff, 0xff, 0x0f, 2, 2));    /* unless it is the head */
    assert_false(READABLE(history_delta, 0, 4, 0, 4, 'a', 'b'));                      /* bytes past the end */
    assert_true(READABLE(history_delta, 0, 4, 0, 3, 'a', 'b'));
    assert_true(READABLE(history_delta, 0, 4, 0, 0));
}

static void a_base_has_no_marks(void **state)
{
    (void)state;
    assert_true(READABLE(pairs_delta, 0, 5, 0, 2));
    assert_false(READABLE(pairs_base, 0, 5, 0, 2)); /* cleared */
    assert_true(READABLE(pairs_base, 0, 4, 0, 2));
    assert_true(READABLE(history_delta, 0, 4, 0, 0));
    assert_false(READABLE(history_base, 0, 4, 0, 0)); /* deleted */
    assert_true(READABLE(history_base, 0, 4, 0, 1));
}

static void every_flipped_bit_and_every_cut_is_noticed(void **state)
{
    (void)state;
    struct segment_writer writer;

    segment_writer_init(&writer);
    segment_begin(&writer, TABLE_PAIRS, 1);
    for (uint32_t row = 64; row < 128; row += 3) {
        segment_row(&writer, row, false);
        for (uint32_t column = 0; column < 20; column++)
            segment_sum(&writer, column * column * row, 1 + column);
    }
    struct fr_bytes value = segment_end(&writer);
    char *copy = malloc(value.len);
    memcpy(copy, value.at, value.len);
    assert_true(readable(&pairs_base, (struct fr_bytes){copy, value.len}));
    for (size_t bit = 0; bit < value.len * 8; bit++) {
        copy[bit / 8] ^= (char)(1 << bit % 8);
        assert_false(readable(&pairs_base, (struct fr_bytes){copy, value.len}));
        copy[bit / 8] ^= (char)(1 << bit % 8);
    }
    for (size_t len = 0; len < value.len; len++)
        assert_false(readable(&pairs_base, (struct fr_bytes){copy, len}));
    free(copy);
    segment_writer_release(&writer);
}

static void extreme_sums_survive(void **state)
{
    (void)state;
    const int64_t sums[] = {INT64_MIN, INT64_MAX, -1, 1, INT32_MIN, 63, 64, -64, -65};
    struct segment_writer writer;
    struct segment_reader reader;
    struct segment_cells row = {0};

    segment_writer_init(&writer);
    segment_begin(&writer, TABLE_PAIRS, 0);
    segment_row(&writer, 0, false);
    for (uint32_t i = 0; i < 9; i++)
        segment_sum(&writer, i << 28, sums[i]);
    assert_true(segment_open(&reader, &(struct segment_key){.table = TABLE_PAIRS}, segment_end(&writer)));
    assert_true(segment_next(&reader, &row));
    assert_int_equal(row.len, 9);
    for (uint32_t i = 0; i < 9; i++) {
        assert_int_equal(row.columns[i], i << 28);
        assert_true(row.sums[i] == sums[i]);
    }
    segment_cells_release(&row);
    segment_writer_release(&writer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_sort_as_they_must_be_read),
        cmocka_unit_test(foreign_keys_are_refused),
        cmocka_unit_test(sums_are_encoded_as_the_format_says),
        cmocka_unit_test(bytes_are_encoded_as_the_format_says),
        cmocka_unit_test(a_value_without_rows_is_not_written),
        cmocka_unit_test(what_breaks_the_grammar_is_refused),
        cmocka_unit_test(a_base_has_no_marks),
        cmocka_unit_test(every_flipped_bit_and_every_cut_is_noticed),
        cmocka_unit_test(extreme_sums_survive),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
