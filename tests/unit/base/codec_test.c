/*
 * codec_test.c -- what is written is read; what is cut or too long fails once and for all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "freshet/codec.h"

static const uint64_t numbers[] = {
    0, 1, 2, 127, 128, 255, 256,
    16383, 16384, UINT16_MAX, UINT32_MAX, (uint64_t)UINT32_MAX + 1, INT64_MAX, (uint64_t)INT64_MAX + 1,
    UINT64_MAX - 1, UINT64_MAX,
};
enum { NUMBERS = sizeof(numbers) / sizeof(*numbers) };

static void assert_written(const struct fr_writer *writer, const char *bytes, size_t len)
{
    assert_false(writer->overflow);
    assert_int_equal(writer->len, len);
    assert_memory_equal(writer->at, bytes, len);
}

static void each_form_has_the_bytes_of_its_definition(void **state)
{
    (void)state;
    struct fr_writer writer;

    fr_writer_init(&writer, 0);
    fr_put_u8(&writer, 0xFE);
    fr_put_u32(&writer, 0x01020304);
    fr_put_u64(&writer, 0x0102030405060708);
    assert_written(&writer, "\xFE\4\3\2\1\10\7\6\5\4\3\2\1", 13);
    fr_writer_reset(&writer);
    fr_put_u32_be(&writer, 0x01020304);
    fr_put_u64_be(&writer, 0x0102030405060708);
    assert_written(&writer, "\1\2\3\4\1\2\3\4\5\6\7\10", 12);
    fr_writer_reset(&writer);
    fr_put_varint(&writer, 300); /* the example of the protobuf documentation */
    fr_put_zigzag(&writer, -1);
    fr_put_zigzag(&writer, 1);
    fr_put_zigzag(&writer, -2);
    assert_written(&writer, "\xAC\x02\1\2\3", 5);
    fr_writer_reset(&writer);
    fr_put_real(&writer, 1.5); /* 0x3FF8000000000000 */
    fr_put_blob(&writer, "abc", 3);
    fr_put_text(&writer, "%d-%s", 42, "x");
    assert_written(&writer, "\0\0\0\0\0\0\xF8\x3F\3abc42-x", 16);
    fr_writer_release(&writer);
}

static void every_number_comes_back(void **state)
{
    (void)state;
    struct fr_writer writer;

    fr_writer_init(&writer, 0);
    for (int i = 0; i < NUMBERS; i++) {
        fr_put_u8(&writer, (uint8_t)numbers[i]);
        fr_put_u32(&writer, (uint32_t)numbers[i]);
        fr_put_u64(&writer, numbers[i]);
        fr_put_u32_be(&writer, (uint32_t)numbers[i]);
        fr_put_u64_be(&writer, numbers[i]);
        fr_put_varint(&writer, numbers[i]);
        fr_put_zigzag(&writer, (int64_t)numbers[i]);
    }
    struct fr_reader reader = fr_reader_of(writer.at, writer.len);
    for (int i = 0; i < NUMBERS; i++) {
        assert_int_equal(fr_get_u8(&reader), (uint8_t)numbers[i]);
        assert_int_equal(fr_get_u32(&reader), (uint32_t)numbers[i]);
        assert_true(fr_get_u64(&reader) == numbers[i]);
        assert_int_equal(fr_get_u32_be(&reader), (uint32_t)numbers[i]);
        assert_true(fr_get_u64_be(&reader) == numbers[i]);
        assert_true(fr_get_varint(&reader) == numbers[i]);
        assert_true(fr_get_zigzag(&reader) == (int64_t)numbers[i]);
    }
    assert_false(reader.failed);
    assert_int_equal(fr_left(&reader), 0);
    fr_writer_release(&writer);
}

static void reals_and_bytes_come_back_bit_for_bit(void **state)
{
    (void)state;
    static const double reals[] = {0.0, -0.0, 0.1, -1e300, 5e-324, 1.0 / 0.0, -1.0 / 0.0};
    struct fr_writer writer;

    fr_writer_init(&writer, 0);
    for (size_t i = 0; i < sizeof(reals) / sizeof(*reals); i++)
        fr_put_real(&writer, reals[i]);
    fr_put_blob(&writer, NULL, 0);
    fr_put_blob(&writer, "a\0b", 3);
    fr_put_bytes(&writer, "tail", 4);
    struct fr_reader reader = fr_reader_of(writer.at, writer.len);
    for (size_t i = 0; i < sizeof(reals) / sizeof(*reals); i++) {
        double back = fr_get_real(&reader);
        assert_memory_equal(&back, &reals[i], sizeof(back));
    }
    assert_int_equal(fr_get_blob(&reader).len, 0);
    assert_true(fr_bytes_equal(fr_get_blob(&reader), FR_BYTES("a\0b")));
    assert_true(fr_bytes_equal(fr_get_bytes(&reader, 4), FR_BYTES("tail")));
    assert_false(reader.failed);
    fr_writer_release(&writer);
}

static void big_endian_keys_sort_as_their_numbers(void **state)
{
    (void)state;
    struct fr_writer a, b;

    fr_writer_init(&a, 0);
    fr_writer_init(&b, 0);
    for (int i = 1; i < NUMBERS; i++) {
        fr_writer_reset(&a);
        fr_writer_reset(&b);
        fr_put_u64_be(&a, numbers[i - 1]);
        fr_put_u64_be(&b, numbers[i]);
        assert_true(fr_bytes_order(fr_written(&a), fr_written(&b)) < 0);
    }
    fr_writer_release(&a);
    fr_writer_release(&b);
}

/* Reads one of each from the first `len` bytes of `bytes`. */
static struct fr_reader read_all(const char *bytes, size_t len)
{
    struct fr_reader reader = fr_reader_of(bytes, len);

    fr_get_u8(&reader);
    fr_get_u32(&reader);
    fr_get_u64_be(&reader);
    fr_get_varint(&reader);
    fr_get_real(&reader);
    fr_get_blob(&reader);
    return reader;
}

static void input_cut_anywhere_fails_and_whole_input_does_not(void **state)
{
    (void)state;
    struct fr_writer writer;

    fr_writer_init(&writer, 0);
    fr_put_u8(&writer, 1);
    fr_put_u32(&writer, 2);
    fr_put_u64_be(&writer, 3);
    fr_put_varint(&writer, UINT64_MAX);
    fr_put_real(&writer, 4);
    fr_put_blob(&writer, "five.", 5);
    for (size_t len = 0; len <= writer.len; len++) {
        char *cut = malloc(len ? len : 1); /* its own block, so that a read beyond is seen */
        memcpy(cut, writer.at, len);
        struct fr_reader reader = read_all(cut, len);
        assert_int_equal(reader.failed, len < writer.len);
        free(cut);
    }
    fr_writer_release(&writer);
}

static void a_reader_that_failed_gives_nothing_more(void **state)
{
    (void)state;
    struct fr_reader reader = fr_reader_of("\1\2\3", 3);

    assert_int_equal(fr_get_u32(&reader), 0);
    assert_true(reader.failed);
    assert_int_equal(fr_left(&reader), 0);
    assert_int_equal(fr_get_u8(&reader), 0);
    assert_int_equal(fr_get_varint(&reader), 0);
    assert_int_equal(fr_get_blob(&reader).len, 0);
    assert_int_equal(fr_get_bytes(&reader, 0).len, 0);
    reader = fr_reader_of(NULL, 0);
    assert_int_equal(fr_get_bytes(&reader, 0).len, 0);
    assert_false(reader.failed);
    assert_int_equal(fr_get_u8(&reader), 0);
    assert_true(reader.failed);
}

static void a_varint_beyond_64_bits_or_10_bytes_is_refused(void **state)
{
    (void)state;
    struct fr_reader reader = fr_reader_of("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", 10);
    assert_true(fr_get_varint(&reader) == UINT64_MAX && !reader.failed);
    reader = fr_reader_of("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x02", 10);
    assert_true(fr_get_varint(&reader) == 0 && reader.failed);
    reader = fr_reader_of("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", 11);
    assert_true(fr_get_varint(&reader) == 0 && reader.failed);
}

static void a_blob_longer_than_what_is_left_fails_however_long(void **state)
{
    (void)state;
    struct fr_reader reader = fr_reader_of("\x04" "abc", 4);
    assert_true(fr_get_blob(&reader).len == 0 && reader.failed);
    reader = fr_reader_of("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01" "abc", 13); /* UINT64_MAX */
    assert_true(fr_get_blob(&reader).len == 0 && reader.failed);
}

static void a_writer_stops_at_its_ceiling_and_remembers(void **state)
{
    (void)state;
    struct fr_writer writer;

    fr_writer_init(&writer, 8);
    fr_put_u64(&writer, 1);
    assert_false(writer.overflow); /* exactly full is not too full */
    fr_put_bytes(&writer, "", 0);
    assert_false(writer.overflow);
    fr_put_u8(&writer, 1);
    assert_true(writer.overflow);
    assert_int_equal(writer.len, 8);
    fr_writer_reset(&writer);
    fr_put_text(&writer, "%s", "12345678");
    assert_written(&writer, "12345678", 8);
    fr_writer_reset(&writer);
    fr_put_text(&writer, "%s", "123456789");
    assert_true(writer.overflow);
    fr_put_u8(&writer, 1); /* would fit, but what comes after a gap is worth nothing */
    assert_int_equal(writer.len, 0);
    fr_writer_reset(&writer);
    fr_put_u8(&writer, 7);
    assert_written(&writer, "\7", 1);
    fr_writer_release(&writer);
}

static void a_writer_without_a_ceiling_grows(void **state)
{
    (void)state;
    struct fr_writer writer;

    fr_writer_init(&writer, 0);
    for (uint32_t i = 0; i < 100000; i++)
        fr_put_u32(&writer, i);
    assert_int_equal(writer.len, 400000);
    struct fr_reader reader = fr_reader_of(writer.at, writer.len);
    for (uint32_t i = 0; i < 100000; i++)
        assert_int_equal(fr_get_u32(&reader), i);
    fr_writer_release(&writer);
    assert_null(writer.at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_form_has_the_bytes_of_its_definition),
        cmocka_unit_test(every_number_comes_back),
        cmocka_unit_test(reals_and_bytes_come_back_bit_for_bit),
        cmocka_unit_test(big_endian_keys_sort_as_their_numbers),
        cmocka_unit_test(input_cut_anywhere_fails_and_whole_input_does_not),
        cmocka_unit_test(a_reader_that_failed_gives_nothing_more),
        cmocka_unit_test(a_varint_beyond_64_bits_or_10_bytes_is_refused),
        cmocka_unit_test(a_blob_longer_than_what_is_left_fails_however_long),
        cmocka_unit_test(a_writer_stops_at_its_ceiling_and_remembers),
        cmocka_unit_test(a_writer_without_a_ceiling_grows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
