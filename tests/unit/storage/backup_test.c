/*
 * backup_test.c -- backups of a real store: what they share, what they prove, what is found when any file of them is harmed, and
 * that a restore puts back exactly what was there.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "backup_private.h"
#include "folder.h"
#include "freshet/format.h"
#include "freshet/segment.h"
#include "store_contract.h"

struct world {
    char folder[256], data[300], backups[300], frozen[300], store_path[300];
    struct store *store;
    struct backup_place place;
};

static void open_store(struct world *world)
{
    struct fr_err err = {0};

    if (store_rocks_open(&world->store, &(struct store_rocks_options){.path = world->store_path}, &err))
        fail_msg("%s", err.text);
}

static void close_store(struct world *world)
{
    world->store->ops->close(world->store);
    world->store = NULL;
}

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    folder_make(world->folder);
    snprintf(world->data, sizeof(world->data), "%s/data", world->folder);
    snprintf(world->backups, sizeof(world->backups), "%s/backups", world->folder);
    snprintf(world->frozen, sizeof(world->frozen), "%s/data/frozen", world->folder);
    snprintf(world->store_path, sizeof(world->store_path), "%s/data/store", world->folder);
    mkdir(world->data, 0700);
    world->place = (struct backup_place){.path = world->backups};
    open_store(world);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    if (world->store)
        close_store(world);
    folder_remove(world->folder);
    free(world);
    return 0;
}

/* ---- a state: positions, a clock, segments of two tables ---- */

static void put_position(struct store *store, struct store_batch *batch, int64_t next)
{
    struct fr_writer key, value;

    fr_writer_init(&key, 0);
    fr_writer_init(&value, 0);
    format_position_key(&key, FR_BYTES("events"), 0);
    format_position_value(&value, &(struct format_position){.index = 0, .next = next, .newest = next * 1000});
    store->ops->batch_put(batch, fr_written(&key), fr_written(&value));
    fr_writer_reset(&value);
    format_clock_value(&value, &(struct format_clock){.now = next * 1000, .events = (uint64_t)next, .number = 1});
    store->ops->batch_put(batch, FR_BYTES(FORMAT_CLOCK_KEY), fr_written(&value));
    fr_writer_release(&key);
    fr_writer_release(&value);
}

/* Segments [from, to) of a table with some bytes each: storage does not look into them. */
static void put_segments(struct store *store, struct store_batch *batch, enum journal_table table, uint32_t from, uint32_t to)
{
    char room[SEGMENT_KEY_MAX], value[256];

    for (uint32_t s = from; s < to; s++) {
        for (size_t i = 0; i < sizeof(value); i++)
            value[i] = (char)(s * 31 + i * i * 7 + (unsigned)table);
        struct segment_key key = {.table = table, .segment = s};
        store->ops->batch_put(batch, segment_key_write(room, &key), (struct fr_bytes){value, sizeof(value)});
    }
}

static void learn(struct world *world, int64_t next, uint32_t from, uint32_t to)
{
    struct store *store = world->store;
    struct store_batch *batch = store->ops->batch_new(store);

    put_position(store, batch, next);
    put_segments(store, batch, TABLE_HISTORY, from, to);
    put_segments(store, batch, TABLE_PAIRS, from, to);
    assert_int_equal(store->ops->write(store, batch, NULL), FR_OK);
    store->ops->batch_free(batch);
}

static int back_up(struct world *world, uint32_t keep, struct backup_made *ret_made, struct fr_err *err)
{
    directory_remove(world->frozen, NULL);
    assert_int_equal(world->store->ops->snapshot(world->store, world->frozen, NULL), FR_OK);
    return backup_make(&world->place,
                       &(struct backup_request){
                           .frozen = world->frozen, .version = "1.2.3", .made = 1700000000000, .keep = keep},
                       ret_made, err);
}

static struct backup_made made(struct world *world, uint32_t keep)
{
    struct backup_made it = {0};
    struct fr_err err = {0};

    if (back_up(world, keep, &it, &err))
        fail_msg("%s", err.text);
    return it;
}

static struct backup_list listed(struct world *world)
{
    struct backup_list list;
    struct fr_err err = {0};

    if (backup_list(&world->place, &list, &err))
        fail_msg("%s", err.text);
    return list;
}

/* "": good; else what is wrong, a line each. The caller frees. */
static char *verified(struct world *world, const struct backup *backup)
{
    struct fr_writer problems;
    struct fr_err err = {0};

    fr_writer_init(&problems, 0);
    int status = backup_verify(&world->place, backup, &problems, &err);
    if (status != (problems.len ? FR_CORRUPT : FR_OK))
        fail_msg("status %d: %s", status, err.text);
    fr_put_u8(&problems, 0);
    return problems.at;
}

static void assert_good(struct world *world, const struct backup *backup)
{
    char *problems = verified(world, backup);

    assert_string_equal(problems, "");
    free(problems);
}

/* Everything in the store, as one hash of its own making. */
static uint64_t content(struct store *store)
{
    struct store_iter *iter = store->ops->iterate(store, FR_BYTES(""));
    struct fr_bytes key, value;
    uint64_t sum = 14695981039346656037U;

    while (store->ops->next(iter, &key, &value)) {
        for (size_t i = 0; i < key.len; i++)
            sum = (sum ^ (unsigned char)key.at[i]) * 1099511628211U;
        for (size_t i = 0; i < value.len; i++)
            sum = (sum ^ (unsigned char)value.at[i]) * 1099511628211U;
    }
    assert_int_equal(store->ops->iter_close(iter, NULL), FR_OK);
    return sum;
}

/* ---- tests ---- */

static void a_backup_says_what_it_holds_and_is_good(void **state)
{
    struct world *world = *state;

    learn(world, 1200, 0, 2000);
    made(world, 3);
    struct backup_list list = listed(world);
    assert_int_equal(list.len, 1);
    const struct backup *backup = &list.at[0];
    assert_int_equal(backup->id, 1);
    assert_int_equal(backup->made, 1700000000000);
    assert_string_equal(backup->version, "1.2.3");
    assert_int_equal(backup->now, 1200000);
    assert_int_equal(backup->events, 1200);
    assert_string_equal(backup->problem, "");
    assert_int_equal(backup->positions_len, 1);
    assert_string_equal(backup->positions[0].topic, "events");
    assert_int_equal(backup->positions[0].next, 1200);
    assert_int_equal(backup->positions[0].newest, 1200000);
    const char *const parts[] = {"m", "o", "history/0", "history/1", "pairs/0", "pairs/1"};
    assert_int_equal(backup->parts_len, 6);
    for (size_t i = 0; i < 6; i++)
        assert_string_equal(backup->parts[i].name, parts[i]);
    assert_int_equal(backup->parts[2].keys, 1024);
    assert_int_equal(backup->parts[3].keys, 2000 - 1024);
    assert_good(world, backup);
    backup_list_release(&list);
}

static void a_second_backup_writes_only_what_is_new(void **state)
{
    struct world *world = *state;

    learn(world, 10, 0, 20000);
    uint64_t first = made(world, 3).written;
    assert_true(first > 2000000);
    learn(world, 11, 20000, 20010);
    uint64_t second = made(world, 3).written;
    assert_true(second < first / 20);
    struct backup_list list = listed(world);
    assert_int_equal(list.len, 2);
    assert_int_equal(list.at[0].id, 2);
    assert_good(world, &list.at[0]);
    assert_good(world, &list.at[1]);
    backup_list_release(&list);
}

static size_t count_files(struct world *world)
{
    char folder[PATH_BYTES_MAX];
    struct names names;

    assert_int_equal(names_read(path_of(folder, "%s/files", world->backups), &names, NULL), FR_OK);
    size_t len = names.len;
    names_release(&names);
    return len;
}

static void only_so_many_are_kept_and_their_files_alone(void **state)
{
    struct world *world = *state;
    size_t named = 0;

    for (int i = 1; i <= 5; i++) {
        learn(world, i, (uint32_t)i * 100, (uint32_t)i * 100 + 100);
        made(world, 2);
    }
    struct backup_list list = listed(world);
    assert_int_equal(list.len, 2);
    assert_int_equal(list.at[0].id, 5);
    assert_int_equal(list.at[1].id, 4);
    for (size_t i = 0; i < list.len; i++) {
        assert_good(world, &list.at[i]);
        named += list.at[i].files_len;
    }
    assert_true(count_files(world) <= named);
    learn(world, 6, 0, 1);
    made(world, 1);
    backup_list_release(&list);
    list = listed(world);
    assert_int_equal(list.len, 1);
    assert_int_equal(count_files(world), list.at[0].files_len);
    backup_list_release(&list);
}

static void a_restore_brings_back_what_was_there_and_sets_the_other_aside(void **state)
{
    struct world *world = *state;
    char path[PATH_BYTES_MAX];
    struct fr_err err = {0};

    learn(world, 100, 0, 3000);
    uint64_t then = content(world->store);
    made(world, 3);
    learn(world, 200, 100, 4000);
    assert_true(content(world->store) != then);
    made(world, 3);
    close_store(world);
    struct backup_list list = listed(world);
    assert_int_equal(backup_restore(&world->place, &list.at[1], world->data, &err), FR_OK);
    open_store(world);
    assert_int_equal(content(world->store), then);
    assert_int_equal(access(path_of(path, "%s/store.damaged/CURRENT", world->data), F_OK), 0);
    assert_int_not_equal(access(path_of(path, "%s/store.restoring", world->data), F_OK), 0);
    /* Once more, and the store goes on living as if nothing had been. */
    close_store(world);
    assert_int_equal(backup_restore_loaded(world->data, &err), FR_OK);
    assert_int_equal(backup_restore(&world->place, &list.at[1], world->data, &err), FR_OK);
    assert_int_equal(access(path_of(path, "%s/store.damaged-2/CURRENT", world->data), F_OK), 0);
    open_store(world);
    learn(world, 300, 0, 10);
    made(world, 3);
    backup_list_release(&list);
    list = listed(world);
    assert_int_equal(list.at[0].positions[0].next, 300);
    assert_good(world, &list.at[0]);
    backup_list_release(&list);
}

/* ---- damage ---- */

enum harm { FLIP, CUT, GONE, GROWN, HARMS };

/* Of the byte at `at` (FLIP); what was there comes back with mend(). */
static void do_harm(const char *path, enum harm harm, off_t at, unsigned char bit)
{
    unsigned char byte;
    int fd = open(path, O_RDWR);
    struct stat stat;

    assert_true(fd >= 0 && !fstat(fd, &stat));
    if (harm == FLIP) {
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= (unsigned char)(1U << bit);
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    } else if (harm == CUT) {
        assert_int_equal(ftruncate(fd, stat.st_size / 2), 0);
    } else if (harm == GONE) {
        assert_int_equal(unlink(path), 0);
    } else {
        assert_int_equal(pwrite(fd, "x", 1, stat.st_size), 1);
    }
    close(fd);
}

/* A backup again as it is on the disk: harmed before it is listed, or after. */
static char *problems_of_newest(struct world *world)
{
    struct backup_list list = listed(world);
    char *problems = list.len ? verified(world, &list.at[0]) : strdup("no list");

    backup_list_release(&list);
    return problems;
}

static void harm_and_look(struct world *world, const char *path, const char *name)
{
    char copy[PATH_BYTES_MAX];
    struct backup_file file;
    struct stat stat_of;

    assert_int_equal(stat(path, &stat_of), 0);
    assert_int_equal(file_copy(path, path_of(copy, "%s/copy", world->folder), NULL, &file, NULL), FR_OK);
    for (int i = 0; i < 12; i++) { /* every bit, at places all over the file; then the other kinds */
        enum harm harm = i < 9 ? FLIP : (enum harm)(i - 8);
        do_harm(path, harm, stat_of.st_size * i / 9, (unsigned char)(i % 8));
        char *problems = problems_of_newest(world);
        if (!*problems)
            fail_msg("harm %d of %s was not found", i, name);
        free(problems);
        assert_int_equal(file_copy(copy, path, NULL, &file, NULL), FR_OK);
    }
    char *problems = problems_of_newest(world);
    assert_string_equal(problems, ""); /* mended: so it was the harm that was found */
    free(problems);
}

static void harm_to_any_file_of_a_backup_is_found(void **state)
{
    struct world *world = *state;
    char path[PATH_BYTES_MAX];

    learn(world, 50, 0, 500);
    made(world, 3);
    struct backup_list list = listed(world);
    assert_true(list.at[0].files_len >= 4); /* CURRENT, MANIFEST, OPTIONS, a table */
    for (size_t i = 0; i < list.at[0].files_len; i++)
        harm_and_look(world, backup_file_path(path, &world->place, &list.at[0].files[i]), list.at[0].files[i].name);
    harm_and_look(world, path_of(path, "%s/backup-000001", world->backups), "the list");
    backup_list_release(&list);
}

static void a_part_that_differs_is_named(void **state)
{
    struct world *world = *state;

    learn(world, 50, 0, 1500);
    made(world, 3);
    struct backup_list first = listed(world);
    learn(world, 51, 1400, 1501); /* the first 1024 segments of each table stay */
    made(world, 3);
    struct backup_list both = listed(world);
    /* As if the copy had gone wrong in a way that files do not show: the parts of one, the files of the other. */
    struct backup mixed = both.at[0];
    mixed.parts = first.at[0].parts;
    mixed.parts_len = first.at[0].parts_len;
    char *problems = verified(world, &mixed);
    assert_non_null(strstr(problems, "part o differs"));
    assert_non_null(strstr(problems, "part history/1 has 477 keys, not 476"));
    assert_null(strstr(problems, "history/0"));
    free(problems);
    backup_list_release(&first);
    backup_list_release(&both);
}

static void a_damaged_backup_is_not_restored_and_changes_nothing(void **state)
{
    struct world *world = *state;
    char path[PATH_BYTES_MAX];
    struct fr_err err = {0};

    learn(world, 50, 0, 500);
    uint64_t then = content(world->store);
    made(world, 3);
    close_store(world);
    struct backup_list list = listed(world);
    for (size_t i = 0; i < list.at[0].files_len; i++)
        if (strstr(list.at[0].files[i].name, ".sst"))
            do_harm(backup_file_path(path, &world->place, &list.at[0].files[i]), FLIP, 100, 3);
    assert_int_equal(backup_restore(&world->place, &list.at[0], world->data, &err), FR_CORRUPT);
    assert_non_null(strstr(err.text, "backup 1 is damaged"));
    assert_int_not_equal(access(path_of(path, "%s/store.damaged", world->data), F_OK), 0);
    assert_int_not_equal(access(path_of(path, "%s/store.restoring", world->data), F_OK), 0);
    open_store(world);
    assert_int_equal(content(world->store), then);
    backup_list_release(&list);
}

static void a_damaged_file_that_is_shared_heals_with_the_next_backup(void **state)
{
    struct world *world = *state;
    char path[PATH_BYTES_MAX];

    learn(world, 50, 0, 500);
    made(world, 3);
    struct backup_list list = listed(world);
    for (size_t i = 0; i < list.at[0].files_len; i++)
        if (strstr(list.at[0].files[i].name, ".sst"))
            do_harm(backup_file_path(path, &world->place, &list.at[0].files[i]), FLIP, 100, 3);
    char *problems = verified(world, &list.at[0]);
    assert_non_null(strstr(problems, ".sst differs"));
    free(problems);
    learn(world, 51, 500, 510);
    made(world, 3);
    assert_good(world, &list.at[0]);
    backup_list_release(&list);
    list = listed(world);
    assert_good(world, &list.at[0]);
    backup_list_release(&list);
}

static void a_damaged_store_is_told_when_it_is_to_be_backed_up(void **state)
{
    struct world *world = *state;
    struct backup_made it;
    struct fr_err err = {0};
    struct names names;

    learn(world, 50, 0, 500);
    made(world, 3);
    directory_remove(world->frozen, NULL);
    assert_int_equal(world->store->ops->snapshot(world->store, world->frozen, NULL), FR_OK);
    assert_int_equal(names_read(world->frozen, &names, NULL), FR_OK);
    for (size_t i = 0; i < names.len; i++) {
        char path[PATH_BYTES_MAX];
        if (strstr(names.at[i], ".sst"))
            do_harm(path_of(path, "%s/%s", world->frozen, names.at[i]), FLIP, 100, 3);
    }
    names_release(&names);
    assert_int_equal(backup_make(&world->place,
                                 &(struct backup_request){.frozen = world->frozen, .version = "1", .made = 1, .keep = 1},
                                 &it, &err),
                     FR_CORRUPT);
    assert_non_null(strstr(err.text, "the store itself is damaged"));
    struct backup_list list = listed(world);
    assert_int_equal(list.len, 1); /* the good one is not thrown away for it */
    assert_good(world, &list.at[0]);
    backup_list_release(&list);
}

static void what_a_dead_one_left_behind_is_swept(void **state)
{
    struct world *world = *state;
    char path[PATH_BYTES_MAX];

    learn(world, 50, 0, 500);
    made(world, 3);
    size_t before = count_files(world);
    path_of(path, "%s/files", world->backups);
    assert_int_equal(file_write(path, "0123-99", FR_BYTES("half"), NULL), FR_OK);
    assert_int_equal(file_write(path, "0123-99.tmp", FR_BYTES("half"), NULL), FR_OK);
    assert_int_equal(file_write(world->backups, "backup-000002.tmp", FR_BYTES("half a list"), NULL), FR_OK);
    struct backup_list list = listed(world);
    assert_int_equal(list.len, 1);
    backup_list_release(&list);
    made(world, 3);
    assert_true(count_files(world) <= before + 4);
    assert_int_not_equal(access(path_of(path, "%s/files/0123-99", world->backups), F_OK), 0);
    assert_int_not_equal(access(path_of(path, "%s/files/0123-99.tmp", world->backups), F_OK), 0);
    list = listed(world);
    assert_int_equal(list.len, 2);
    assert_good(world, &list.at[0]);
    backup_list_release(&list);
}

static void two_at_a_time_are_one_too_many(void **state)
{
    struct world *world = *state;
    char path[PATH_BYTES_MAX];
    struct backup_made it;
    struct fr_err err = {0};

    learn(world, 50, 0, 500);
    made(world, 3);
    int lock = open(path_of(path, "%s/LOCK", world->backups), O_RDWR);
    assert_int_equal(flock(lock, LOCK_EX), 0);
    assert_int_equal(back_up(world, 3, &it, &err), FR_BUSY);
    struct backup_list list = listed(world);
    struct fr_writer problems;
    fr_writer_init(&problems, 0);
    assert_int_equal(backup_verify(&world->place, &list.at[0], &problems, &err), FR_BUSY);
    fr_writer_release(&problems);
    close(lock);
    made(world, 3);
    backup_list_release(&list);
}

static void an_end_that_is_asked_for_leaves_nothing_behind(void **state)
{
    struct world *world = *state;
    struct backup_made it;
    struct fr_err err = {0};
    _Atomic bool stop = false;

    learn(world, 50, 0, 500);
    made(world, 3);
    size_t before = count_files(world);
    learn(world, 60, 0, 900);
    stop = true;
    world->place.stop = &stop;
    assert_int_equal(back_up(world, 1, &it, &err), FR_CLOSED);
    world->place.stop = NULL;
    assert_int_equal(count_files(world), before);
    struct backup_list list = listed(world);
    assert_int_equal(list.len, 1);
    assert_good(world, &list.at[0]);
    backup_list_release(&list);
}

static void what_failed_half_way_leaves_no_files(void **state)
{
    struct world *world = *state;
    char path[PATH_BYTES_MAX];
    struct backup_made it;
    struct fr_err err = {0};

    learn(world, 50, 0, 500);
    made(world, 1);
    size_t before = count_files(world);
    learn(world, 60, 0, 900);
    directory_remove(world->frozen, NULL);
    assert_int_equal(world->store->ops->snapshot(world->store, world->frozen, NULL), FR_OK);
    mkdir(path_of(path, "%s/zzz", world->frozen), 0700); /* the last in order; it cannot be read as a file */
    int status = backup_make(&world->place,
                             &(struct backup_request){.frozen = world->frozen, .version = "1", .made = 1, .keep = 1}, &it, &err);
    assert_int_equal(status, FR_IO);
    assert_non_null(strstr(err.text, "zzz"));
    assert_int_equal(count_files(world), before);
    struct backup_list list = listed(world);
    assert_int_equal(list.len, 1);
    assert_good(world, &list.at[0]);
    backup_list_release(&list);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_backup_says_what_it_holds_and_is_good),
        TEST(a_second_backup_writes_only_what_is_new),
        TEST(only_so_many_are_kept_and_their_files_alone),
        TEST(a_restore_brings_back_what_was_there_and_sets_the_other_aside),
        TEST(harm_to_any_file_of_a_backup_is_found),
        TEST(a_part_that_differs_is_named),
        TEST(a_damaged_backup_is_not_restored_and_changes_nothing),
        TEST(a_damaged_file_that_is_shared_heals_with_the_next_backup),
        TEST(a_damaged_store_is_told_when_it_is_to_be_backed_up),
        TEST(what_a_dead_one_left_behind_is_swept),
        TEST(two_at_a_time_are_one_too_many),
        TEST(an_end_that_is_asked_for_leaves_nothing_behind),
        TEST(what_failed_half_way_leaves_no_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
