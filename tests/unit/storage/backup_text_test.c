/*
 * backup_text_test.c -- the list of a backup is read as it was written, and not otherwise.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "freshet/backup.h"

static struct backup_position positions[] = {{"events", 0, 1200, 1764077264000}, {"events", 31, -1, -1}};
static struct backup_file files[] = {{.name = "000012.sst", .size = 4711, .hash = {1, UINT64_MAX}}, {.name = "CURRENT", .size = 16}};
static struct backup_part parts[] = {{"m", 4, {5, 6}}, {"history/0", 1024, {7, 8}}};

static void write_one(struct fr_writer *out)
{
    fr_writer_init(out, 0);
    backup_write(out, &(struct backup){.made = 1764077265000,
                                       .version = "0.1.0",
                                       .now = -1,
                                       .events = UINT64_MAX,
                                       .files = files,
                                       .files_len = 2,
                                       .parts = parts,
                                       .parts_len = 2,
                                       .positions = positions,
                                       .positions_len = 2});
}

static void what_was_written_is_read(void **state)
{
    struct fr_writer text;
    struct backup backup;

    (void)state;
    write_one(&text);
    assert_true(backup_read(fr_written(&text), &backup));
    assert_int_equal(backup.made, 1764077265000);
    assert_string_equal(backup.version, "0.1.0");
    assert_int_equal(backup.now, -1);
    assert_true(backup.events == UINT64_MAX);
    assert_int_equal(backup.bytes, 4711 + 16);
    assert_int_equal(backup.positions_len, 2);
    assert_int_equal(backup.positions[1].partition, 31);
    assert_int_equal(backup.positions[1].next, -1);
    assert_int_equal(backup.files_len, 2);
    assert_string_equal(backup.files[0].name, "000012.sst");
    assert_true(backup.files[0].hash.low == UINT64_MAX);
    assert_int_equal(backup.parts_len, 2);
    assert_string_equal(backup.parts[1].name, "history/0");
    backup_release(&backup);
    fr_writer_release(&text);
}

static void no_flipped_bit_and_no_cut_is_read(void **state)
{
    struct fr_writer text;
    struct backup backup;

    (void)state;
    write_one(&text);
    for (size_t i = 0; i < text.len; i++) {
        for (int bit = 0; bit < 8; bit++) {
            text.at[i] ^= (char)(1 << bit);
            assert_false(backup_read(fr_written(&text), &backup));
            text.at[i] ^= (char)(1 << bit);
        }
        assert_false(backup_read((struct fr_bytes){text.at, i}, &backup));
    }
    fr_writer_release(&text);
}

static void a_name_never_leads_out_of_its_directory(void **state)
{
    static const char *const bad[] = {"../CURRENT", "a/b", "..", ".", "a b"};
    struct backup_file file = {.size = 1};
    struct backup backup = {.version = "1", .files = &file, .files_len = 1}, read;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct fr_writer text;
        fr_writer_init(&text, 0);
        snprintf(file.name, sizeof(file.name), "%s", bad[i]);
        backup_write(&text, &backup);
        assert_false(backup_read(fr_written(&text), &read));
        fr_writer_release(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(no_flipped_bit_and_no_cut_is_read),
        cmocka_unit_test(a_name_never_leads_out_of_its_directory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
