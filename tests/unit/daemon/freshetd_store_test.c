/*
 * freshetd_store_test.c -- the program on a store that is there already: of a newer format, of another shape, a rebuild, backups of no use.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "freshet/backup.h"
#include "freshet/format.h"
#include "freshet/store.h"
#include "freshetd_process.h"

static void mark_as_newer(const char *path)
{
    struct format_version version = {.incompatible = 1U << 31};
    struct fr_writer value;
    struct store *store;
    struct fr_err err;

    assert_int_equal(store_rocks_open(&store, &(struct store_rocks_options){.path = path}, &err), FR_OK);
    struct store_batch *batch = store->ops->batch_new(store);
    fr_writer_init(&value, 0);
    format_version_value(&value, &version);
    store->ops->batch_put(batch, FR_BYTES(FORMAT_VERSION_KEY), fr_written(&value));
    assert_int_equal(store->ops->write(store, batch, &err), FR_OK);
    fr_writer_release(&value);
    store->ops->batch_free(batch);
    store->ops->close(store);
}

static void a_newer_format_is_refused_and_left_alone(void **state)
{
    struct process process;
    char path[200];

    (void)state;
    START(&process, true, NULL);
    wait_until_said(&process, "\nready ");
    kill(process.id, SIGTERM);
    assert_int_equal(exit_code(&process), 0);
    snprintf(path, sizeof path, "%s/freshet-data/store", home);
    mark_as_newer(path);
    for (int i = 0; i < 2; i++) { /* the second time, too: nothing has been changed */
        START(&process, true, NULL);
        assert_int_equal(exit_code(&process), 78);
        assert_said(&process, "written by a newer freshet: it needs features 0x80000000");
        assert_said(&process, "--rebuild");
        assert_false(there_is("freshet-data/store.damaged"));
    }
}

/* Good to the last byte, and yet no state: the number of the newest journal is none. */
static void back_up_what_does_not_load(int backups)
{
    char store_path[200], frozen[200], path[200];
    const struct backup_request request = {.frozen = frozen, .version = "1", .made = 1, .keep = 9};
    struct store *store;
    struct backup_made made;
    struct fr_err err;

    snprintf(store_path, sizeof store_path, "%s/freshet-data/store", home);
    snprintf(frozen, sizeof frozen, "%s/freshet-data/store.frozen", home);
    snprintf(path, sizeof path, "%s/freshet-data/backups", home);
    assert_int_equal(store_rocks_open(&store, &(struct store_rocks_options){.path = store_path}, &err), FR_OK);
    struct store_batch *batch = store->ops->batch_new(store);
    store->ops->batch_put(batch, FR_BYTES(FORMAT_JOURNALS_KEY), FR_BYTES("?"));
    assert_int_equal(store->ops->write(store, batch, &err), FR_OK);
    store->ops->batch_free(batch);
    assert_int_equal(store->ops->snapshot(store, frozen, &err), FR_OK);
    while (backups--)
        assert_int_equal(backup_make(&(struct backup_place){.path = path}, &request, &made, &err), FR_OK);
    store->ops->close(store);
}

static void backups_that_do_not_load_leave_one_store_aside_however_often_it_is_tried(void **state)
{
    struct process process;

    (void)state;
    START(&process, true, NULL);
    wait_until_said(&process, "\nready ");
    kill(process.id, SIGTERM);
    assert_int_equal(exit_code(&process), 0);
    back_up_what_does_not_load(2);
    for (int i = 0; i < 3; i++) { /* as systemd does */
        START(&process, true, NULL);
        assert_int_equal(exit_code(&process), 74);
        assert_said(&process, "the store is that of backup 1 now");
        assert_true(there_is("freshet-data/store.damaged"));
        assert_false(there_is("freshet-data/store.damaged-2"));
    }
}

static void another_shape_is_refused_and_a_rebuild_takes_it(void **state)
{
    struct process process;

    (void)state;
    START(&process, true, "--set", "sar.window=10");
    wait_until_said(&process, "\nready ");
    kill(process.id, SIGTERM);
    assert_int_equal(exit_code(&process), 0);

    START(&process, true, "--set", "sar.window=11");
    assert_int_equal(exit_code(&process), 78);
    assert_said(&process, "sar.window=10");
    assert_said(&process, "sar.window=11");

    START(&process, true, "--set", "sar.window=11", "--rebuild");
    wait_until_said(&process, "\nready ");
    assert_said(&process, "\"event\":\"rebuild.begins\"");
    kill(process.id, SIGTERM);
    assert_int_equal(exit_code(&process), 0);
    assert_true(there_is("freshet-data/store"));
    assert_true(there_is("freshet-data/store.before-rebuild"));

    START(&process, true, "--set", "sar.window=12", "--rebuild");
    assert_int_equal(exit_code(&process), 78);
    assert_said(&process, "store.before-rebuild' is there from a rebuild before; move or remove it");
}

/* What a store holds of a model binds its keys, from the first start with it on, also through starts without; nothing does before. */
static void a_model_may_come_with_any_shape_and_keeps_it(void **state)
{
    static const struct {
        const char *models, *dimensions;
        bool starts;
    } starts[] = {{"popular", "32", true}, {"fm", "64", true}, {"popular", "32", true}, {"fm", "32", false}, {"fm", "64", true}};
    struct process process;

    (void)state;
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        char models[60], dimensions[60];
        snprintf(models, sizeof models, "recommend.models=%s", starts[i].models);
        snprintf(dimensions, sizeof dimensions, "fm.dimensions=%s", starts[i].dimensions);
        START(&process, true, "--set", models, "--set", dimensions);
        if (starts[i].starts) {
            wait_until_said(&process, "\nready ");
            kill(process.id, SIGTERM);
            assert_int_equal(exit_code(&process), 0);
        } else {
            assert_int_equal(exit_code(&process), 78);
            assert_said(&process, "fm.dimensions=64");
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_newer_format_is_refused_and_left_alone, make_home, remove_home),
        cmocka_unit_test_setup_teardown(backups_that_do_not_load_leave_one_store_aside_however_often_it_is_tried, make_home, remove_home),
        cmocka_unit_test_setup_teardown(another_shape_is_refused_and_a_rebuild_takes_it, make_home, remove_home),
        cmocka_unit_test_setup_teardown(a_model_may_come_with_any_shape_and_keeps_it, make_home, remove_home),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
