/*
 * mark_test.c -- the number beside the database: it is there again after opening, it may go back, and a torn or damaged slot
 * costs one step and nothing else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "folder.h"
#include "mark.h"

static char folder[256];

static int make(void **state)
{
    (void)state;
    folder_make(folder);
    return 0;
}

static int clean(void **state)
{
    (void)state;
    folder_remove(folder);
    return 0;
}

static uint64_t read_back(void)
{
    struct mark mark;

    assert_int_equal(mark_open(&mark, folder, NULL), FR_OK);
    mark_close(&mark);
    return mark.number;
}

static void note(uint64_t number)
{
    struct mark mark;

    assert_int_equal(mark_open(&mark, folder, NULL), FR_OK);
    assert_int_equal(mark_write(&mark, number, NULL), FR_OK);
    assert_int_equal(mark.number, number);
    mark_close(&mark);
}

static void the_last_number_is_there_again_even_a_smaller_one(void **state)
{
    (void)state;
    assert_int_equal(read_back(), 0);
    note(7);
    assert_int_equal(read_back(), 7);
    note(9);
    note(4);
    assert_int_equal(read_back(), 4);
}

/* One byte of the file, or its end, is damaged: what is read is the last number or the one before. */
static void a_damaged_slot_costs_one_step(void **state)
{
    (void)state;
    char path[300], byte;

    snprintf(path, sizeof(path), "%s/DURABLE.freshet", folder);
    note(41);
    note(42); /* sequence 2: in the slot at 0 */
    for (off_t at = 0; at < 24; at++) {
        int fd = open(path, O_RDWR);
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte = (char)(byte ^ 0x10);
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        assert_int_equal(read_back(), 41);
        byte = (char)(byte ^ 0x10);
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        close(fd);
    }
    assert_int_equal(read_back(), 42);
    assert_int_equal(truncate(path, 4096 + 10), 0);
    assert_int_equal(read_back(), 42);
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(read_back(), 0);
    note(43);
    assert_int_equal(read_back(), 43);
}

static void a_folder_that_is_not_there_is_named(void **state)
{
    (void)state;
    struct mark mark;
    struct fr_err err;

    assert_int_equal(mark_open(&mark, "/nowhere/at/all", &err), FR_IO);
    assert_non_null(strstr(err.text, "DURABLE.freshet"));
    assert_int_equal(mark_write(&mark, 1, &err), FR_CLOSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_last_number_is_there_again_even_a_smaller_one, make, clean),
        cmocka_unit_test_setup_teardown(a_damaged_slot_costs_one_step, make, clean),
        cmocka_unit_test(a_folder_that_is_not_there_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
