/*
 * ledger_test.c -- records come back in order; a record cut short at any byte is none, and the next one takes its place; damage
 * anywhere else is said.
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

static char folder[256], path[300], all[4096];

static int make(void **state)
{
    (void)state;
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

    assert_int_equal(ledger_append(path, &record, 1, NULL), FR_OK);
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
    assert_int_equal(ledger_append(path, two, 2, NULL), FR_OK);
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
        assert_int_equal(ledger_append(path, &record, 1, NULL), FR_CORRUPT);
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
        cmocka_unit_test_setup_teardown(damage_is_said_wherever_it_is, make, clean),
        cmocka_unit_test_setup_teardown(what_is_not_ours_is_damage, make, clean),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
