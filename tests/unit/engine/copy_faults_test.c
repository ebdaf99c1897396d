/*
 * copy_faults_test.c -- a copy of the store that failed at the disk does not keep the next one from being made, though nothing is written in
 * between (tests/support/faultfs.c).
 */
#include <stdio.h>
#include <sys/stat.h>

#include "cells.h"
#include "faultfs.h"
#include "faultfs_rules.h"
#include "folder.h"
#include "freshet/clock.h"
#include "freshet/format.h"

enum { SEED = 8, OPS = 100, NEVER_MS = 1 << 30, LIMIT_MS = 60000 };

static char folder[256], path[300], rules[300];

static int make(void **state)
{
    (void)state;
    folder_make(folder);
    snprintf(path, sizeof(path), "%s/store", folder);
    snprintf(rules, sizeof(rules), "%s/rules", folder);
    setenv("FAULTFS_ROOT", path, 1);
    setenv("FAULTFS_RULES", rules, 1);
    faultfs_begin();
    faultfs_rules(rules, "");
    return 0;
}

static int clean(void **state)
{
    (void)state;
    folder_remove(folder);
    return 0;
}

static struct store *open_store(const char *where)
{
    struct store *store = NULL;
    struct fr_err err = {0};

    if (store_rocks_open(&store, &(struct store_rocks_options){.path = where}, &err))
        fail_msg("%s", err.text);
    return store;
}

static void a_copy_that_failed_at_the_log_can_be_made_again(void **state)
{
    struct cells *cells = calloc(1, sizeof(*cells));
    struct journal *journal = journal_new();
    struct store *store = open_store(path);
    char copy[300];
    struct fr_err err = {0};

    (void)state;
    assert_int_equal(format_admit(store, NULL), FR_OK);
    struct checkpoint *checkpoint = checkpoint_start(store, &(struct checkpoint_options){.wal_sync_interval = NEVER_MS});
    assert_true(checkpoint_wait_due(checkpoint, LIMIT_MS));
    cells_journal(journal, cells, SEED, 1, OPS);
    journal = give_whole(checkpoint, journal, 1);
    assert_true(checkpoint_wait_due(checkpoint, LIMIT_MS)); /* it is written, and nothing more comes */
    snprintf(copy, sizeof(copy), "%s/copy", folder);
    faultfs_rules(rules, "sync .log 1 EIO\n");
    assert_int_equal(checkpoint_snapshot(checkpoint, copy, NULL, &err), FR_IO);
    faultfs_rules(rules, "");
    if (checkpoint_snapshot(checkpoint, copy, NULL, &err))
        fail_msg("%s", err.text);
    assert_true(checkpoint_stop(checkpoint, NULL));
    store->ops->close(store);
    store = open_store(copy);
    cells_assert_stored(store, cells);
    store->ops->close(store);
    journal_free(journal);
    free(cells);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_copy_that_failed_at_the_log_can_be_made_again, make, clean),
    };

#ifdef __SANITIZE_THREAD__
    puts("SKIP: ThreadSanitizer's runtime makes the file calls that this program replaces, and waits for itself");
    return 77;
#endif
    return cmocka_run_group_tests(tests, NULL, NULL);
}
