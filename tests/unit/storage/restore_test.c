/*
 * restore_test.c -- what a restore leaves of the store before, and a restore on a disk that fails (tests/support/faultfs.c): what is
 * wrong with the backup, and what is not. And who reads backups beside who makes them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "backup_private.h"
#include "faultfs.h"
#include "folder.h"
#include "freshet/format.h"
#include "store_contract.h"

#include "faultfs_rules.h"

struct world {
    char folder[256], data[300], backups[300];
    struct backup_place place;
    struct backup_list list;
};

/* Of all tests: faultfs.c is told of them before the first store, whose threads outlive it, is opened. */
static char root[256], rules_path[300];

static struct store *open_store(struct world *world)
{
    char path[PATH_BYTES_MAX];
    struct store *store;
    struct fr_err err = {0};

    if (store_rocks_open(&store, &(struct store_rocks_options){.path = path_of(path, "%s/store", world->data)}, &err))
        fail_msg("%s", err.text);
    return store;
}

static int back_up(struct world *world, uint32_t keep, struct fr_err *err)
{
    char frozen[PATH_BYTES_MAX];
    struct backup_made made;
    const struct backup_request request = {
        .frozen = path_of(frozen, "%s/frozen", world->data), .version = "1", .made = 1, .keep = keep};

    return backup_make(&world->place, &request, &made, err);
}

/* A store with a backup, and closed again. */
static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    char frozen[PATH_BYTES_MAX];
    struct fr_err err = {0};

    folder_make(world->folder);
    snprintf(world->data, sizeof(world->data), "%s/data", world->folder);
    snprintf(world->backups, sizeof(world->backups), "%s/backups", world->folder);
    faultfs_rules(rules_path, "");
    mkdir(world->data, 0700);
    world->place.path = world->backups;
    struct store *store = open_store(world);
    assert_int_equal(format_admit(store, &err), FR_OK);
    assert_int_equal(store->ops->snapshot(store, path_of(frozen, "%s/frozen", world->data), &err), FR_OK);
    store->ops->close(store);
    if (back_up(world, 3, &err))
        fail_msg("%s", err.text);
    assert_int_equal(backup_list(&world->place, &world->list, &err), FR_OK);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    backup_list_release(&world->list);
    folder_remove(world->folder);
    free(world);
    return 0;
}

static bool is_there(struct world *world, const char *name)
{
    char path[PATH_BYTES_MAX];

    return access(path_of(path, "%s/%s", world->data, name), F_OK) == 0;
}

static int restore(struct world *world, struct fr_err *err)
{
    *err = (struct fr_err){0};
    return backup_restore(&world->place, &world->list.at[0], world->data, err);
}

static void assert_restores(struct world *world)
{
    struct fr_err err;

    if (restore(world, &err))
        fail_msg("%s", err.text);
    struct store *store = open_store(world);
    store->ops->close(store);
}

/* ---- what is set aside ---- */

static void a_store_that_was_restored_and_never_loaded_is_no_evidence(void **state)
{
    struct world *world = *state;
    struct fr_err err;

    for (int i = 0; i < 3; i++) /* as starts do, when it does not load */
        assert_restores(world);
    assert_true(is_there(world, "store.damaged"));
    assert_false(is_there(world, "store.damaged-2"));
    assert_false(is_there(world, "store.restoring"));
    assert_int_equal(backup_restore_loaded(world->data, &err), FR_OK);
    assert_int_equal(backup_restore_loaded(world->data, &err), FR_OK); /* every start says so */
    assert_restores(world);
    assert_true(is_there(world, "store.damaged-2"));
    assert_false(is_there(world, "store.damaged-3"));
}

static void what_a_killed_restore_has_left_goes_with_a_start(void **state)
{
    struct world *world = *state;
    char path[PATH_BYTES_MAX];
    struct fr_err err;
    bool finished;

    assert_int_equal(directory_make(path_of(path, "%s/store.restoring", world->data), &err), FR_OK);
    assert_int_equal(file_write(path, "000009.sst", FR_BYTES("half"), &err), FR_OK);
    assert_int_equal(backup_restore_finish(world->data, &finished, &err), FR_OK);
    assert_false(finished);
    assert_false(is_there(world, "store.restoring"));
    assert_true(is_there(world, "store/CURRENT"));
}

/* ---- the disk that is restored to ---- */

static void an_error_of_the_data_disk_is_no_fault_of_the_backup(void **state)
{
    static const struct {
        const char *rules;
        enum fr_status status;
    } faults[] = {
        {"sync store.restoring/ 1 EIO", FR_IO},   {"write store.restoring/ 2 EIO", FR_IO},     {"open store.restoring/ 1 EROFS", FR_IO},
        {"open store.restoring/ 1 ENOENT", FR_IO}, {"write store.restoring/ 1 ENOSPC", FR_FULL},
    };
    struct world *world = *state;
    char fired[320];
    struct fr_err err;

    snprintf(fired, sizeof(fired), "%s.fired", rules_path);
    for (size_t i = 0; i < sizeof(faults) / sizeof(*faults); i++) {
        unlink(fired);
        faultfs_rules(rules_path, faults[i].rules);
        int status = restore(world, &err);
        if (status != (int)faults[i].status || access(fired, F_OK))
            fail_msg("%s: status %d: %s", faults[i].rules, status, err.text);
        assert_false(is_there(world, "store.restoring"));
        assert_false(is_there(world, "store.damaged"));
    }
    faultfs_rules(rules_path, "");
    assert_restores(world);
}

static void nor_is_a_want_of_open_files(void **state)
{
    struct world *world = *state;
    struct rlimit all, none;
    struct fr_err err;
    int next = dup(STDOUT_FILENO);

    close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
    none = all;
    none.rlim_cur = (rlim_t)next;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int status = restore(world, &err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
    assert_int_equal(status, FR_IO);
    assert_non_null(strstr(err.text, strerror(EMFILE)));
    assert_restores(world);
}

/* ---- the disk with the backup ---- */

/* In the place of the first file of the backup, something else. */
static void replace(struct world *world, const char *target, char kept[PATH_BYTES_MAX], char path[PATH_BYTES_MAX])
{
    backup_file_path(path, &world->place, &world->list.at[0].files[0]);
    assert_int_equal(rename(path, path_of(kept, "%s/kept", world->folder)), 0);
    assert_int_equal(symlink(target, path), 0);
}

static int verify(struct world *world, char *ret_problems, size_t room, struct fr_err *err)
{
    struct fr_writer problems;

    fr_writer_init(&problems, 0);
    int status = backup_verify(&world->place, &world->list.at[0], &problems, err);
    fr_put_u8(&problems, 0);
    snprintf(ret_problems, room, "%s", problems.at);
    fr_writer_release(&problems);
    return status;
}

static void a_file_that_cannot_be_opened_is_none_that_is_damaged(void **state)
{
    struct world *world = *state;
    char kept[PATH_BYTES_MAX], path[PATH_BYTES_MAX], problems[1024];
    struct fr_err err;

    backup_file_path(path, &world->place, &world->list.at[0].files[0]);
    replace(world, strrchr(path, '/') + 1, kept, path); /* a link to itself: ELOOP, for root as well */
    assert_int_equal(restore(world, &err), FR_IO);
    assert_int_equal(verify(world, problems, sizeof(problems), &err), FR_IO);
    assert_string_equal(problems, "");
    assert_int_equal(rename(kept, path), 0);
    assert_restores(world);
}

/* /proc/self/mem can be opened, and there is nothing at 0: EIO, as of a sector that is gone. */
static void one_that_cannot_be_read_or_is_gone_is(void **state)
{
    struct world *world = *state;
    char kept[PATH_BYTES_MAX], path[PATH_BYTES_MAX], problems[1024];
    struct fr_err err;

    replace(world, "/proc/self/mem", kept, path);
    assert_int_equal(verify(world, problems, sizeof(problems), &err), FR_CORRUPT);
    assert_non_null(strstr(problems, "Input/output error"));
    assert_true(file_is_lost(EIO) && file_is_lost(EUCLEAN) && file_is_lost(EBADMSG) && !file_is_lost(ESTALE));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(verify(world, problems, sizeof(problems), &err), FR_CORRUPT);
    assert_int_equal(restore(world, &err), FR_CORRUPT);
    assert_non_null(strstr(err.text, "backup 1 is damaged"));
    assert_int_equal(rename(kept, path), 0);
    assert_restores(world);
}

/* A list that the disk has lost hides no other backup. */
static void nor_does_a_list_that_cannot_be_read_hide_the_others(void **state)
{
    struct world *world = *state;
    char path[PATH_BYTES_MAX];
    struct backup_list list;
    struct fr_err err;

    assert_int_equal(symlink("/proc/self/mem", path_of(path, "%s/backup-000002", world->backups)), 0);
    if (backup_list(&world->place, &list, &err))
        fail_msg("%s", err.text);
    assert_int_equal(list.len, 2);
    assert_int_equal(list.at[0].id, 2);
    assert_string_equal(list.at[0].problem, "the disk has lost its list 'backup-000002'");
    assert_string_equal(list.at[1].problem, "");
    backup_list_release(&list);
    assert_int_equal(unlink(path), 0);
}

/* ---- readers beside a maker ---- */

static void assert_good(struct world *world)
{
    char problems[1024];
    struct fr_err err;

    if (verify(world, problems, sizeof(problems), &err))
        fail_msg("%s", err.text);
    assert_string_equal(problems, "");
}

/* A folder can be opened to be read alone, by root as well. */
static void who_only_reads_shares_the_lock_and_makes_none(void **state)
{
    struct world *world = *state;
    char path[PATH_BYTES_MAX], problems[1024];
    struct fr_err err;

    assert_int_equal(unlink(path_of(path, "%s/LOCK", world->backups)), 0);
    assert_good(world);
    assert_int_equal(mkdir(path, 0755), 0); /* or there is a file, root's perhaps */
    int lock = open(path, O_RDONLY | O_DIRECTORY);
    assert_int_equal(flock(lock, LOCK_EX), 0);
    assert_int_equal(verify(world, problems, sizeof(problems), &err), FR_BUSY);
    close(lock);
    assert_good(world);
}

/* What the next flock fails with; 0: nothing. */
static int flock_fails;

int flock(int file, int how)
{
    if (!flock_fails)
        return (int)syscall(SYS_flock, file, how);
    errno = flock_fails;
    flock_fails = 0;
    return -1;
}

static void a_place_without_locks_is_none_that_is_worked_on(void **state)
{
    struct world *world = *state;
    struct fr_err err = {0};

    flock_fails = ENOLCK;
    assert_int_equal(back_up(world, 3, &err), FR_IO);
    assert_non_null(strstr(err.text, strerror(ENOLCK)));
    flock_fails = EWOULDBLOCK;
    assert_int_equal(back_up(world, 3, &err), FR_BUSY);
    assert_int_equal(back_up(world, 3, &err), FR_OK);
}

/* As under a verification without a daemon, which has the lock for one backup at a time. */
static void one_that_was_removed_since_it_was_listed_is_not_damaged(void **state)
{
    struct world *world = *state;
    char problems[1024];
    struct fr_err err;

    assert_int_equal(back_up(world, 1, &err), FR_OK);
    assert_int_equal(verify(world, problems, sizeof(problems), &err), FR_NOT_FOUND);
    assert_string_equal(problems, "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_store_that_was_restored_and_never_loaded_is_no_evidence),
        TEST(what_a_killed_restore_has_left_goes_with_a_start),
        TEST(an_error_of_the_data_disk_is_no_fault_of_the_backup),
        TEST(nor_is_a_want_of_open_files),
        TEST(a_file_that_cannot_be_opened_is_none_that_is_damaged),
        TEST(one_that_cannot_be_read_or_is_gone_is),
        TEST(nor_does_a_list_that_cannot_be_read_hide_the_others),
        TEST(who_only_reads_shares_the_lock_and_makes_none),
        TEST(a_place_without_locks_is_none_that_is_worked_on),
        TEST(one_that_was_removed_since_it_was_listed_is_not_damaged),
    };

    folder_make(root);
    snprintf(rules_path, sizeof(rules_path), "%s/rules", root);
    setenv("TMPDIR", root, 1);
    setenv("FAULTFS_ROOT", root, 1);
    setenv("FAULTFS_RULES", rules_path, 1);
    faultfs_begin();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    folder_remove(root);
    return failed;
}
