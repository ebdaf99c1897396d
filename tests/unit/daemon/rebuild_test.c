/*
 * rebuild_test.c -- a data directory as it is between two steps of a rebuild, and what the next start makes of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
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
        cmocka_unit_test_setup_teardown(what_could_not_begin_leaves_no_mark, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("rebuild", tests, NULL, NULL);
}
