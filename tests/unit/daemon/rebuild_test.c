/*
 * rebuild_test.c -- a data directory as it is between two steps of a rebuild, and what the next start makes of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "folder.h"
#include "freshet/log.h"
#include "rebuild.h"

static char folder[256];

static int set_up(void **state)
{
    (void)state;
    fr_log_setup(FR_ERROR + 1, FR_LOG_JSON);
    folder_make(folder);
    return chdir(folder);
}

static int tear_down(void **state)
{
    (void)state;
    folder_remove(folder);
    return 0;
}

static bool there_is(const char *path)
{
    return access(path, F_OK) == 0;
}

/* With a file that tells one from the other. */
static void make_store(const char *file)
{
    assert_int_equal(mkdir("store", 0700), 0);
    for (int i = 0; i < 2; i++) {
        char path[300];
        snprintf(path, sizeof path, "store/%s", i ? file : "CURRENT");
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        close(fd);
    }
}

static void begin(void)
{
    struct fr_err err;

    if (rebuild_begin(folder, &err) != FR_OK)
        fail_msg("%s", err.text);
}

static bool is_begun(void)
{
    struct fr_err err;
    bool begun;

    if (rebuild_look(folder, &begun, &err) != FR_OK)
        fail_msg("%s", err.text);
    return begun;
}

static void what_is_begun_is_gone_on_with_until_the_new_store_is_open(void **state)
{
    (void)state;
    make_store("old");
    assert_false(is_begun());
    begin();
    assert_true(is_begun());
    assert_false(there_is("store"));
    make_store("new");
    assert_true(is_begun());
    begin();
    assert_true(there_is("store/new"));
    assert_true(there_is("store.before-rebuild/old"));
    assert_int_equal(rebuild_end(folder, NULL), FR_OK);
    assert_false(is_begun());
}

static void an_old_store_that_is_put_back_stays(void **state)
{
    (void)state;
    make_store("old");
    begin();
    assert_int_equal(rename("store.before-rebuild", "store"), 0);
    assert_false(is_begun());
    assert_true(there_is("store/old"));
    assert_false(there_is("REBUILD"));
    begin(); /* and may be set aside again, by who asks for it */
    assert_true(there_is("store.before-rebuild/old"));
    assert_true(is_begun());
}

/* Killed before the mark told of the rename: the next start makes up for it. */
static void also_after_a_rebuild_that_was_killed_in_between(void **state)
{
    (void)state;
    make_store("old");
    begin();
    assert_int_equal(truncate("REBUILD", 0), 0);
    assert_true(is_begun());
    begin();
    assert_int_equal(rename("store.before-rebuild", "store"), 0);
    assert_false(is_begun());
    assert_true(there_is("store/old"));
}

/* Somebody needed the room. */
static void an_old_store_that_is_removed_is_not_taken_for_put_back(void **state)
{
    (void)state;
    make_store("old");
    begin();
    folder_remove("store.before-rebuild");
    assert_true(is_begun());
    assert_int_equal(mkdir("store", 0700), 0); /* and no database in it yet */
    assert_true(is_begun());
    begin();
    assert_true(there_is("store"));
    assert_false(there_is("store.before-rebuild"));
}

/* Nor is a new store, half made, be it the only one, or in the place of the old one and with its numbers. */
static void a_new_store_is_not_taken_for_the_old_one(void **state)
{
    (void)state;
    make_store("old");
    begin();
    make_store("new");
    folder_remove("store.before-rebuild");
    assert_true(is_begun());
    begin();
    folder_remove("store");
    make_store("new");
    assert_true(is_begun());
    begin();
    assert_true(there_is("store/new"));
    assert_false(there_is("store.before-rebuild"));
}

static void the_numbers_of_an_old_store_that_is_gone_tell_nothing(void **state)
{
    (void)state;
    make_store("old");
    begin();
    assert_int_equal(rename("store.before-rebuild", "elsewhere"), 0);
    begin();
    assert_int_equal(rename("elsewhere", "store"), 0); /* has the numbers, as a new one may that comes after it is removed */
    assert_true(is_begun());
    begin();
    assert_true(there_is("store/old"));
}

/* What mv does where a directory of that name is in the way. */
static void an_old_store_that_is_moved_into_the_new_one_is_not_put_back(void **state)
{
    (void)state;
    make_store("old");
    begin();
    make_store("new");
    assert_int_equal(rename("store.before-rebuild", "store/store.before-rebuild"), 0);
    assert_true(is_begun());
    begin();
    assert_true(there_is("store/new"));
    assert_true(there_is("store/store.before-rebuild/old"));
}

/* Of a version before: the name is all there is to go by. */
static void a_mark_with_the_name_alone_is_still_understood(void **state)
{
    (void)state;
    make_store("old");
    begin();
    FILE *mark = fopen("REBUILD", "we");
    assert_non_null(mark);
    fputs("store.before-rebuild\n", mark);
    assert_int_equal(fclose(mark), 0);
    assert_true(is_begun());
    assert_int_equal(rename("store.before-rebuild", "store"), 0);
    assert_false(is_begun());
    assert_true(there_is("store/old"));
}

static void begin_with_room_for(rlim_t bytes)
{
    struct rlimit before, limit;
    struct fr_err err;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = bytes;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    int status = rebuild_begin(folder, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_not_equal(status, FR_OK);
}

/* There is room for nothing, for a part of the first line, for that line, for a part of the second. */
static void a_mark_that_cannot_be_written_leaves_the_old_store_where_it_is(void **state)
{
    struct stat old;
    char line[128];

    (void)state;
    make_store("old");
    assert_int_equal(stat("store", &old), 0);
    rlim_t size = (rlim_t)snprintf(line, sizeof line, "store.before-rebuild %llu %llu\n", (unsigned long long)old.st_dev,
                                   (unsigned long long)old.st_ino);
    const rlim_t rooms[] = {0, size - 1, size, size + 3};
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++) {
        begin_with_room_for(rooms[i]);
        assert_true(there_is("store/old"));
        assert_false(there_is("store.before-rebuild"));
        assert_false(is_begun());
    }
    assert_int_equal(close(open("REBUILD", O_WRONLY | O_CREAT | O_CLOEXEC, 0600)), 0); /* another's: it is gone on with */
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++) {
        begin_with_room_for(rooms[i]);
        assert_true(there_is("store/old"));
        assert_true(is_begun());
    }
    begin();
    assert_true(there_is("store.before-rebuild/old"));
}

/* A name that leads nowhere cannot be a store, but is in the way of the rename. */
static void what_could_not_begin_leaves_no_mark(void **state)
{
    struct fr_err err;

    (void)state;
    make_store("old");
    assert_int_equal(symlink("nowhere", "store.before-rebuild"), 0);
    assert_int_equal(rebuild_begin(folder, &err), FR_IO);
    assert_false(there_is("REBUILD"));
    assert_false(is_begun());
    assert_true(there_is("store/old"));
    assert_int_equal(close(open("REBUILD", O_WRONLY | O_CREAT | O_CLOEXEC, 0600)), 0); /* another's */
    assert_int_equal(rebuild_begin(folder, &err), FR_IO);
    assert_true(there_is("REBUILD"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_begun_is_gone_on_with_until_the_new_store_is_open, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_old_store_that_is_put_back_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(also_after_a_rebuild_that_was_killed_in_between, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_old_store_that_is_removed_is_not_taken_for_put_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_new_store_is_not_taken_for_the_old_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_numbers_of_an_old_store_that_is_gone_tell_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_old_store_that_is_moved_into_the_new_one_is_not_put_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_mark_with_the_name_alone_is_still_understood, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_mark_that_cannot_be_written_leaves_the_old_store_where_it_is, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_could_not_begin_leaves_no_mark, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("rebuild", tests, NULL, NULL);
}
