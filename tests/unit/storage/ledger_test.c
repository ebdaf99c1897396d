/*
 * ledger_test.c -- records come back in order; a record cut short at any byte, or never written though the file has grown, is none, and
 * the next one takes its place; damage anywhere else is said.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "folder.h"
#include "ledger.h"

static char folder[256], path[300], all[1 << 16];
static struct ledger ledger;

static int make(void **state)
{
    (void)state;
    ledger = (struct ledger){0};
    folder_make(folder);
    snprintf(path, sizeof(path), "%s/store.forgotten", folder);
    return 0;
}

static int clean(void **state)
{
    (void)state;
    folder_remove(folder);
    return 0;
}

static bool gather(void *context, struct fr_bytes record)
{
    (void)context;
    snprintf(all + strlen(all), sizeof(all) - strlen(all), "%.*s,", (int)record.len, record.at);
    return memcmp(record.at, "bad", 3) != 0;
}

static const char *read_back(void)
{
    all[0] = 0;
    assert_int_equal(ledger_read(path, gather, NULL, NULL), FR_OK);
    return all;
}

static void append(const char *text)
{
    struct fr_bytes record = fr_bytes_of(text);

    assert_int_equal(ledger_append(&ledger, path, &record, 1, NULL), FR_OK);
}

static off_t size_of(void)
{
    struct stat about;

    assert_int_equal(stat(path, &about), 0);
    return about.st_size;
}

static void records_come_back_in_order(void **state)
{
    const struct fr_bytes two[] = {FR_BYTES("second"), FR_BYTES("third")};

    (void)state;
    assert_string_equal(read_back(), "");
    append("first");
    assert_int_equal(ledger_append(&ledger, path, two, 2, NULL), FR_OK);
    assert_string_equal(read_back(), "first,second,third,");
}

static void one_cut_short_at_any_byte_is_none_and_is_written_over(void **state)
{
    (void)state;
    append("first");
    off_t begin = size_of();
    append("second");
    off_t end = size_of();
    for (off_t cut = begin; cut < end; cut++) {
        assert_int_equal(truncate(path, cut), 0);
        assert_string_equal(read_back(), "first,");
        append("second");
        assert_string_equal(read_back(), "first,second,");
        assert_int_equal(size_of(), end);
    }
}

/* A file may have grown before its blocks are written: they are zeros after a crash. */
static void zeros_up_to_the_end_are_no_record_and_are_written_over(void **state)
{
    static const off_t grown[] = {1, 4, 16, 22, 100, 10000};

    (void)state;
    append("first");
    off_t begin = size_of();
    append("second");
    off_t end = size_of();
    for (size_t i = 0; i < sizeof(grown) / sizeof(*grown); i++) {
        assert_int_equal(truncate(path, begin), 0);
        assert_int_equal(truncate(path, begin + grown[i]), 0);
        assert_string_equal(read_back(), "first,");
        ledger = (struct ledger){0}; /* as after a start */
        append("second");
        assert_string_equal(read_back(), "first,second,");
        assert_int_equal(size_of(), end);
    }
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(truncate(path, 5000), 0);
    assert_string_equal(read_back(), "");
}

static void append_long(char of)
{
    char text[1001] = "";

    memset(text, of, sizeof(text) - 1);
    append(text);
}

/* A record that lies across the end of a block, wherever in the record that is, of which the next block was not written; and one behind it. */
static void a_record_whose_second_block_was_not_written_is_none(void **state)
{
    char filler[1040], before[sizeof(all)];

    (void)state;
    for (char of = 'a'; of < 'd'; of++)
        append_long(of);
    append("more");
    off_t begin = size_of();
    for (off_t at = 4096 - 1000; at < 4096; at += at < 4096 - 20 ? 49 : 1) {
        assert_int_equal(truncate(path, begin), 0);
        memset(filler, 'f', sizeof(filler));
        filler[at - begin - 16] = '\0';
        append(filler);
        assert_int_equal(size_of(), at);
        strcpy(before, read_back());
        append_long('d');
        append("behind");
        off_t end = size_of();
        assert_int_equal(truncate(path, 4096), 0);
        assert_int_equal(truncate(path, end), 0);
        assert_string_equal(read_back(), before);
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        assert_int_equal(pwrite(fd, "x", 1, end - 1), 1); /* more than a crash leaves: something is there */
        close(fd);
        assert_int_equal(ledger_read(path, gather, NULL, NULL), FR_CORRUPT);
    }
}

static void append_long_ones(size_t len)
{
    struct fr_bytes records[60];
    char text[1000];

    memset(text, 'l', sizeof(text));
    for (size_t i = 0; i < len; i++)
        records[i] = (struct fr_bytes){text, sizeof(text)};
    assert_int_equal(ledger_append(&ledger, path, records, len, NULL), FR_OK);
}

static void write_zeros(off_t from, off_t to)
{
    static const char zeros[4096];
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    assert_int_equal(pwrite(fd, zeros, (size_t)(to - from), from), to - from);
    close(fd);
}

/* The block that the file ended in, or any of those that it grew by, is the one that was not written. */
static void blocks_of_an_append_are_written_in_any_order(void **state)
{
    (void)state;
    append_long_ones(3);
    append("before");
    off_t begin = size_of();
    for (off_t block = 0; block < 5; block++) {
        append_long_ones(30);
        off_t from = block ? block * 4096 : begin;
        size_t kept = 3 * 1001 + strlen("before,") + (size_t)(from - begin) / 1016 * 1001;
        assert_true(from + 2 * 4096 < size_of());
        write_zeros(from, (block + 1) * 4096);
        ledger = (struct ledger){0}; /* as after a start */
        assert_int_equal(strlen(read_back()), kept);
        append("behind");
        assert_string_equal(read_back() + kept, "behind,");
        assert_int_equal(truncate(path, begin), 0);
    }
}

/* What is behind it was added later, when it had been synced. */
static void zeros_before_the_last_append_are_damage(void **state)
{
    (void)state;
    append_long_ones(3);
    append("before");
    off_t begin = size_of();
    append_long_ones(60);
    append_long_ones(10);
    write_zeros(begin, 4096);
    assert_int_equal(ledger_read(path, gather, NULL, NULL), FR_CORRUPT);
}

/* Or each append would take the longer the more there is: a file as it was left is taken for good, another one is read. */
static void an_append_reads_a_file_only_if_it_is_not_as_it_was_left(void **state)
{
    struct fr_bytes record = FR_BYTES("second");
    char other[310];

    (void)state;
    append("first");
    off_t begin = size_of();
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "x", 1, 0), 1);
    append("second");
    assert_true(size_of() > begin);
    snprintf(other, sizeof(other), "%s.other", path);
    assert_int_equal(rename(path, other), 0);
    append("new");
    assert_string_equal(read_back(), "new,");
    assert_int_equal(rename(other, path), 0);
    assert_int_equal(ledger_append(&ledger, path, &record, 1, NULL), FR_CORRUPT); /* another inode */
    assert_int_equal(pwrite(fd, "\5", 1, 0), 1);
    append("third");
    assert_string_equal(read_back(), "first,second,third,");
    assert_int_equal(truncate(path, size_of() - 1), 0); /* another size */
    append("last");
    assert_string_equal(read_back(), "first,second,last,");
    close(fd);
}

static void damage_is_said_wherever_it_is(void **state)
{
    struct fr_bytes record = FR_BYTES("third");
    struct fr_err err;

    (void)state;
    append("first");
    append("second");
    off_t end = size_of();
    int fd = open(path, O_RDWR | O_CLOEXEC);
    for (off_t at = 0; at < end; at++) {
        unsigned char byte, turned;
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        turned = byte ^ 0x40;
        assert_int_equal(pwrite(fd, &turned, 1, at), 1);
        int status = ledger_read(path, gather, NULL, &err);
        assert_int_equal(status, FR_CORRUPT);
        assert_non_null(strstr(err.text, path));
        ledger = (struct ledger){0}; /* as after a start */
        assert_int_equal(ledger_append(&ledger, path, &record, 1, NULL), FR_CORRUPT);
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    }
    close(fd);
    assert_string_equal(read_back(), "first,second,");
}

static void what_is_not_ours_is_damage(void **state)
{
    struct fr_err err;

    (void)state;
    append("bad");
    assert_int_equal(ledger_read(path, gather, NULL, &err), FR_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(records_come_back_in_order, make, clean),
        cmocka_unit_test_setup_teardown(one_cut_short_at_any_byte_is_none_and_is_written_over, make, clean),
        cmocka_unit_test_setup_teardown(zeros_up_to_the_end_are_no_record_and_are_written_over, make, clean),
        cmocka_unit_test_setup_teardown(a_record_whose_second_block_was_not_written_is_none, make, clean),
        cmocka_unit_test_setup_teardown(blocks_of_an_append_are_written_in_any_order, make, clean),
        cmocka_unit_test_setup_teardown(zeros_before_the_last_append_are_damage, make, clean),
        cmocka_unit_test_setup_teardown(an_append_reads_a_file_only_if_it_is_not_as_it_was_left, make, clean),
        cmocka_unit_test_setup_teardown(damage_is_said_wherever_it_is, make, clean),
        cmocka_unit_test_setup_teardown(what_is_not_ours_is_damage, make, clean),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
