/*
 * backups_test.c -- the thread that makes and verifies: one thing at a time, results for who asked, an early end.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "backup_private.h"
#include "folder.h"
#include "freshet/format.h"
#include "freshet/metric.h"
#include "store_contract.h"

struct world {
    char folder[256], frozen[300], path[300];
    struct store *store;
    struct backups *backups;
    _Atomic bool hold; /* the snapshot waits, as for a checkpoint that cannot be written */
    _Atomic int snapshots;
    enum fr_status fails;
    uint64_t reserve;
};

static int snapshot(void *context, const char *frozen, const _Atomic bool *stop, struct fr_err *err)
{
    struct world *world = context;

    atomic_fetch_add(&world->snapshots, 1);
    while (atomic_load(&world->hold) && !atomic_load(stop))
        sched_yield();
    if (atomic_load(stop))
        return fr_fail(err, FR_CLOSED, "stopping");
    if (world->fails)
        return fr_fail(err, world->fails, "the disk is too full");
    return world->store->ops->snapshot(world->store, frozen, err);
}

static void begin(struct world *world)
{
    world->backups = backups_start(&(struct backups_options){.path = world->path,
                                                             .version = "9",
                                                             .keep = 2,
                                                             .reserve = world->reserve,
                                                             .frozen = world->frozen,
                                                             .snapshot = snapshot,
                                                             .context = world});
}

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    char store_path[300];
    struct fr_err err;

    folder_make(world->folder);
    snprintf(world->frozen, sizeof(world->frozen), "%s/frozen", world->folder);
    snprintf(world->path, sizeof(world->path), "%s/backups", world->folder);
    snprintf(store_path, sizeof(store_path), "%s/store", world->folder);
    assert_int_equal(store_rocks_open(&world->store, &(struct store_rocks_options){.path = store_path}, &err), FR_OK);
    assert_int_equal(format_admit(world->store, &err), FR_OK);
    begin(world);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    backups_stop(world->backups);
    world->store->ops->close(world->store);
    folder_remove(world->folder);
    free(world);
    return 0;
}

static uint64_t asked(struct world *world, enum backups_job job, uint64_t id)
{
    uint64_t ticket;
    struct fr_err err;

    if (backups_ask(world->backups, job, id, &ticket, &err))
        fail_msg("%s", err.text);
    return ticket;
}

static struct backups_result result_of(struct world *world, uint64_t ticket)
{
    struct backups_result result;

    while (!backups_done(world->backups, ticket))
        sched_yield();
    assert_true(backups_take(world->backups, ticket, &result));
    return result;
}

static void count(void *context, const struct backup_list *list)
{
    size_t *usable = context;

    for (size_t i = 0; i < list->len; i++)
        *usable += !*list->at[i].problem;
}

static size_t usable(struct world *world)
{
    size_t len = 0;

    backups_look(world->backups, count, &len);
    return len;
}

static void what_is_asked_for_is_done_and_told_once(void **state)
{
    struct world *world = *state;
    struct backups_result result;

    assert_int_equal(usable(world), 0);
    uint64_t ticket = asked(world, BACKUPS_MAKE, 0);
    result = result_of(world, ticket);
    assert_int_equal(result.err.code, FR_OK);
    assert_int_equal(result.made.id, 1);
    assert_true(result.made.written > 0);
    assert_false(backups_take(world->backups, ticket, &result));
    assert_int_equal(usable(world), 1);
    assert_int_not_equal(access(world->frozen, F_OK), 0); /* not left behind: its links hold space */
    result = result_of(world, asked(world, BACKUPS_VERIFY, 0));
    assert_int_equal(result.checks_len, 1);
    assert_string_equal(result.checks[0].problems, "");
    backups_result_release(&result);
    result = result_of(world, asked(world, BACKUPS_VERIFY, 5));
    assert_int_equal(result.err.code, FR_NOT_FOUND);
    backups_result_release(&result);
}

/* Of the server's folders it tells nothing. */
static void before_the_first_there_is_nothing_to_verify(void **state)
{
    struct world *world = *state;
    struct backups_result result = result_of(world, asked(world, BACKUPS_VERIFY, 0));

    assert_int_equal(result.err.code, FR_NOT_FOUND);
    assert_string_equal(result.err.text, "there are no backups");
    backups_result_release(&result);
    result = result_of(world, asked(world, BACKUPS_VERIFY, 7));
    assert_int_equal(result.err.code, FR_NOT_FOUND);
    assert_string_equal(result.err.text, "there is no backup 7");
    backups_result_release(&result);
}

static void a_second_one_is_told_that_it_is_busy(void **state)
{
    struct world *world = *state;
    struct backups_result result;
    struct fr_err err;
    uint64_t ticket, second;

    world->hold = true;
    ticket = asked(world, BACKUPS_MAKE, 0);
    while (!world->snapshots)
        sched_yield();
    assert_int_equal(backups_ask(world->backups, BACKUPS_MAKE, 0, &second, &err), FR_BUSY);
    assert_int_equal(backups_ask(world->backups, BACKUPS_VERIFY, 0, &second, &err), FR_BUSY);
    assert_false(backups_done(world->backups, ticket));
    world->hold = false;
    result = result_of(world, ticket);
    assert_int_equal(result.err.code, FR_OK);
    assert_int_equal(asked(world, BACKUPS_MAKE, 0), ticket + 1);
}

static void a_snapshot_that_fails_is_the_askers_to_know_and_counted(void **state)
{
    struct world *world = *state;
    double before = fr_series_value(fr_series(FR_M_BACKUP_ERRORS, "make", "", ""));
    struct backups_result result;

    world->fails = FR_FULL;
    result = result_of(world, asked(world, BACKUPS_MAKE, 0));
    assert_int_equal(result.err.code, FR_FULL);
    assert_string_equal(result.err.text, "the disk is too full");
    assert_true(fr_series_value(fr_series(FR_M_BACKUP_ERRORS, "make", "", "")) == before + 1);
    world->fails = FR_NOT_FOUND; /* which of a verification is the asker's mistake */
    assert_int_equal(result_of(world, asked(world, BACKUPS_MAKE, 0)).err.code, FR_IO);
    assert_true(fr_series_value(fr_series(FR_M_BACKUP_ERRORS, "make", "", "")) == before + 2);
    assert_int_equal(usable(world), 0);
}

/* ---- what is known of a backup ---- */

static struct backup_list listed(struct world *world)
{
    struct backup_list list;

    assert_int_equal(backup_list(&(struct backup_place){.path = world->path}, &list, NULL), FR_OK);
    return list;
}

static const char *file_of(struct world *world, const struct backup *backup, size_t file, char room[PATH_BYTES_MAX])
{
    return backup_file_path(room, &(struct backup_place){.path = world->path}, &backup->files[file]);
}

static void harm(const char *path)
{
    FILE *file = fopen(path, "r+b");

    assert_non_null(file);
    fputc('?', file);
    fclose(file);
}

static size_t checked(struct world *world, uint64_t id, enum fr_status status)
{
    struct backups_result result = result_of(world, asked(world, BACKUPS_VERIFY, id));
    size_t len = result.checks_len;

    assert_int_equal(result.err.code, status);
    backups_result_release(&result);
    return len;
}

static void what_a_glance_saw_is_gone_when_the_next_does_not_see_it(void **state)
{
    struct world *world = *state;
    char path[PATH_BYTES_MAX], away[PATH_BYTES_MAX];

    assert_int_equal(result_of(world, asked(world, BACKUPS_MAKE, 0)).err.code, FR_OK);
    struct backup_list list = listed(world);
    file_of(world, &list.at[0], 0, path);
    assert_int_equal(rename(path, path_of(away, "%s/away", world->folder)), 0);
    checked(world, 77, FR_NOT_FOUND); /* after each job it is looked again */
    assert_int_equal(usable(world), 0);
    assert_int_equal(rename(away, path), 0);
    checked(world, 77, FR_NOT_FOUND);
    assert_int_equal(usable(world), 1);
    backup_list_release(&list);
}

static void a_verification_that_did_not_take_place_finds_nothing_good(void **state)
{
    struct world *world = *state;
    char path[PATH_BYTES_MAX];

    assert_int_equal(result_of(world, asked(world, BACKUPS_MAKE, 0)).err.code, FR_OK);
    struct backup_list list = listed(world);
    harm(file_of(world, &list.at[0], 0, path));
    assert_int_equal(checked(world, 0, FR_OK), 1);
    assert_int_equal(usable(world), 0);
    int lock = open(path_of(path, "%s/LOCK", world->path), O_RDWR);
    assert_int_equal(flock(lock, LOCK_EX), 0); /* as another process that makes one there */
    assert_int_equal(checked(world, 0, FR_BUSY), 0);
    assert_int_equal(usable(world), 0);
    close(lock);
    backup_list_release(&list);
}

static void a_backup_that_places_a_bad_file_anew_heals_the_others(void **state)
{
    struct world *world = *state;
    char path[PATH_BYTES_MAX];

    assert_int_equal(result_of(world, asked(world, BACKUPS_MAKE, 0)).err.code, FR_OK);
    struct backup_list list = listed(world);
    for (size_t i = 0; i < list.at[0].files_len; i++)
        if (strstr(list.at[0].files[i].name, ".sst"))
            harm(file_of(world, &list.at[0], i, path));
    assert_int_equal(checked(world, 0, FR_OK), 1);
    assert_int_equal(usable(world), 0);
    assert_int_equal(result_of(world, asked(world, BACKUPS_MAKE, 0)).err.code, FR_OK);
    assert_int_equal(usable(world), 2);
    assert_int_equal(checked(world, 0, FR_OK), 2);
    assert_int_equal(usable(world), 2);
    backup_list_release(&list);
}

static void one_with_another_bad_file_stays_bad(void **state)
{
    struct world *world = *state;
    struct store *store = world->store;
    char path[PATH_BYTES_MAX];

    assert_int_equal(result_of(world, asked(world, BACKUPS_MAKE, 0)).err.code, FR_OK);
    struct backup_list list = listed(world);
    for (size_t i = 0; i < list.at[0].files_len; i++)
        harm(file_of(world, &list.at[0], i, path));
    assert_int_equal(checked(world, 0, FR_OK), 1);
    struct store_batch *batch = store->ops->batch_new(store); /* so that the next has another MANIFEST */
    store->ops->batch_put(batch, FR_BYTES("x1"), FR_BYTES("y"));
    assert_int_equal(store->ops->write(store, batch, NULL), FR_OK);
    store->ops->batch_free(batch);
    assert_int_equal(result_of(world, asked(world, BACKUPS_MAKE, 0)).err.code, FR_OK);
    assert_int_equal(usable(world), 1);
    checked(world, 77, FR_NOT_FOUND);
    assert_int_equal(usable(world), 1);
    backup_list_release(&list);
}

static void what_a_verification_found_is_remembered_until_another_finds_it_good(void **state)
{
    struct world *world = *state;
    struct backups_result result = result_of(world, asked(world, BACKUPS_MAKE, 0));
    char path[PATH_BYTES_MAX], kept[PATH_BYTES_MAX];
    struct backup_file file;
    struct backup_list list;

    assert_int_equal(backup_list(&(struct backup_place){.path = world->path}, &list, NULL), FR_OK);
    backup_file_path(path, &(struct backup_place){.path = world->path}, &list.at[0].files[0]);
    assert_int_equal(file_copy(path, path_of(kept, "%s/kept", world->folder), NULL, &file, NULL), FR_OK);
    FILE *harmed = fopen(path, "r+b");
    fputc('?', harmed);
    fclose(harmed);
    assert_int_equal(usable(world), 1); /* a glance does not see it */
    result = result_of(world, asked(world, BACKUPS_VERIFY, 1));
    assert_int_equal(result.err.code, FR_OK);
    assert_non_null(strstr(result.checks[0].problems, "differs"));
    backups_result_release(&result);
    while (usable(world) != 0)
        sched_yield();
    assert_int_equal(file_copy(kept, path, NULL, &file, NULL), FR_OK);
    result = result_of(world, asked(world, BACKUPS_VERIFY, 1));
    assert_string_equal(result.checks[0].problems, "");
    backups_result_release(&result);
    assert_int_equal(usable(world), 1);
    backup_list_release(&list);
}

/* ---- what one that was killed has left ---- */

static const char *in_files(struct world *world, const char *name, char room[PATH_BYTES_MAX])
{
    return path_of(room, "%s/files/%s", world->path, name);
}

static bool has_file(struct world *world, const char *name)
{
    char path[PATH_BYTES_MAX];

    return access(in_files(world, name, path), F_OK) == 0;
}

/* Half a file, a whole one that no list names, the frozen copy, and half of one. */
static void leave_behind(struct world *world)
{
    char path[PATH_BYTES_MAX];

    in_files(world, "", path);
    assert_int_equal(directory_make(path, NULL), FR_OK);
    assert_int_equal(file_write(path, "0123-4.tmp", FR_BYTES("half"), NULL), FR_OK);
    assert_int_equal(file_write(path, "0123-4", FR_BYTES("half"), NULL), FR_OK);
    assert_int_equal(directory_make(world->frozen, NULL), FR_OK);
    assert_int_equal(file_write(world->frozen, "000007.sst", FR_BYTES("a table"), NULL), FR_OK);
    assert_int_equal(directory_make(path_of(path, "%s.tmp", world->frozen), NULL), FR_OK);
}

static bool left_behind(struct world *world)
{
    char path[PATH_BYTES_MAX];

    return has_file(world, "0123-4.tmp") || has_file(world, "0123-4") || access(world->frozen, F_OK) == 0 ||
           access(path_of(path, "%s.tmp", world->frozen), F_OK) == 0;
}

static void a_start_removes_what_one_that_was_killed_has_left(void **state)
{
    struct world *world = *state;
    struct backups_result result = result_of(world, asked(world, BACKUPS_MAKE, 0));

    assert_int_equal(result.err.code, FR_OK);
    backups_stop(world->backups);
    leave_behind(world);
    begin(world);
    while (left_behind(world)) /* although no backup is asked for, which a disk that is too full would refuse */
        sched_yield();
    result = result_of(world, asked(world, BACKUPS_VERIFY, 0));
    assert_string_equal(result.checks[0].problems, "");
    backups_result_release(&result);
}

static void so_does_a_backup_whose_snapshot_fails(void **state)
{
    struct world *world = *state;

    assert_int_equal(result_of(world, asked(world, BACKUPS_MAKE, 0)).err.code, FR_OK); /* the thread has begun */
    leave_behind(world);
    world->fails = FR_FULL;
    assert_int_equal(result_of(world, asked(world, BACKUPS_MAKE, 0)).err.code, FR_FULL);
    assert_false(left_behind(world));
}

static void files_that_an_unreadable_list_may_name_are_spared(void **state)
{
    struct world *world = *state;
    const struct backup_place place = {.path = world->path};

    backups_stop(world->backups); /* it does the same */
    assert_int_equal(backup_sweep(&place, NULL), FR_OK);
    assert_int_not_equal(access(world->path, F_OK), 0); /* nothing is made where there was no backup */
    leave_behind(world);
    assert_int_equal(file_write(world->path, "backup-000009", FR_BYTES("freshet-backup 2\n"), NULL), FR_OK);
    assert_int_equal(backup_sweep(&place, NULL), FR_OK);
    assert_true(has_file(world, "0123-4"));
    assert_false(has_file(world, "0123-4.tmp"));
    begin(world);
}

static void a_place_that_cannot_be_listed_is_none_without_backups(void **state)
{
    struct world *world = *state;
    size_t len = 0;

    backups_stop(world->backups);
    int file = open(world->path, O_CREAT | O_WRONLY, 0600); /* where there should be a folder */
    assert_true(file >= 0 && !close(file));
    begin(world);
    assert_false(backups_look(world->backups, count, &len));
    assert_int_equal(unlink(world->path), 0);
    struct backups_result made = result_of(world, asked(world, BACKUPS_MAKE, 0));
    assert_int_equal(made.err.code, FR_OK);
    backups_result_release(&made);
    assert_true(backups_look(world->backups, count, &len));
    assert_int_equal(len, 1);
}

static void a_backup_leaves_the_reserve_of_the_stores_disk(void **state)
{
    struct world *world = *state;
    struct backups_result result;
    char path[PATH_BYTES_MAX];
    struct names names;

    backups_stop(world->backups);
    world->reserve = UINT64_MAX / 2;
    begin(world);
    result = result_of(world, asked(world, BACKUPS_MAKE, 0));
    assert_int_equal(result.err.code, FR_FULL);
    assert_non_null(strstr(result.err.text, "too full"));
    assert_int_equal(names_read(in_files(world, "", path), &names, NULL), FR_OK);
    assert_int_equal(names.len, 0);
    names_release(&names);
    backups_stop(world->backups);
    world->reserve = 1;
    begin(world);
    assert_int_equal(result_of(world, asked(world, BACKUPS_MAKE, 0)).err.code, FR_OK);
}

/* A list that is a pipe nobody writes to: who opens it waits, as at a mount that hangs. */
static void a_disk_that_hangs_does_not_stop_the_start(void **state)
{
    struct world *world = *state;
    char path[PATH_BYTES_MAX];
    size_t len = 0;
    int pipe;

    backups_stop(world->backups);
    assert_int_equal(directory_make(world->path, NULL), FR_OK);
    assert_int_equal(mkfifo(path_of(path, "%s/backup-000001", world->path), 0600), 0);
    begin(world);
    assert_false(backups_look(world->backups, count, &len));
    while ((pipe = open(path, O_WRONLY | O_NONBLOCK)) < 0) /* until the thread stands there */
        sched_yield();
    assert_false(backups_look(world->backups, count, &len));
    assert_int_equal(unlink(path), 0);
    close(pipe);
    while (!backups_look(world->backups, count, &len))
        sched_yield();
    assert_int_equal(result_of(world, asked(world, BACKUPS_MAKE, 0)).err.code, FR_OK);
    assert_int_equal(usable(world), 1);
}

static void a_stop_ends_what_waits(void **state)
{
    struct world *world = *state;

    world->hold = true;
    uint64_t ticket = asked(world, BACKUPS_MAKE, 0), second;
    while (!world->snapshots)
        sched_yield();
    backups_end(world->backups); /* although the snapshot would wait for ever */
    assert_int_equal(result_of(world, ticket).err.code, FR_CLOSED);
    assert_int_equal(backups_ask(world->backups, BACKUPS_MAKE, 0, &second, NULL), FR_CLOSED);
    backups_stop(world->backups);
    world->hold = false;
    begin(world);
    assert_int_equal(usable(world), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_asked_for_is_done_and_told_once),
        TEST(before_the_first_there_is_nothing_to_verify),
        TEST(a_second_one_is_told_that_it_is_busy),
        TEST(a_snapshot_that_fails_is_the_askers_to_know_and_counted),
        TEST(what_a_verification_found_is_remembered_until_another_finds_it_good),
        TEST(what_a_glance_saw_is_gone_when_the_next_does_not_see_it),
        TEST(a_verification_that_did_not_take_place_finds_nothing_good),
        TEST(a_backup_that_places_a_bad_file_anew_heals_the_others),
        TEST(one_with_another_bad_file_stays_bad),
        TEST(a_start_removes_what_one_that_was_killed_has_left),
        TEST(so_does_a_backup_whose_snapshot_fails),
        TEST(files_that_an_unreadable_list_may_name_are_spared),
        TEST(a_place_that_cannot_be_listed_is_none_without_backups),
        TEST(a_backup_leaves_the_reserve_of_the_stores_disk),
        TEST(a_disk_that_hangs_does_not_stop_the_start),
        TEST(a_stop_ends_what_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
