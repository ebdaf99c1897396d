/*
 * rocks_test.c -- RocksDB keeps the contract, keeps what was written, and its errors are understood.
 */
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "folder.h"
#include "rocks_errors.h"
#include "store_contract.h"

static char folder[256];

struct asking {
    struct store *store;
    atomic_bool *end;
    atomic_bool asked; /* once, at least */
};

static void *ask_numbers(void *arg)
{
    struct asking *asking = arg;
    uint64_t number;

    while (!atomic_load(asking->end)) {
        asking->store->ops->number(asking->store, "memtable_bytes", &number);
        atomic_store(&asking->asked, true);
    }
    return NULL;
}

static struct store *open_folder(void)
{
    struct store *store = NULL;
    struct fr_err err = {0};

    if (store_rocks_open(&store, &(struct store_rocks_options){.path = folder}, &err))
        fail_msg("%s", err.text);
    return store;
}

static int open_store(void **state)
{
    folder_make(folder);
    *state = open_folder();
    return 0;
}

static int close_store(void **state)
{
    struct store *store = *state;

    if (store)
        store->ops->close(store);
    folder_remove(folder);
    return 0;
}

static void what_was_written_is_there_after_opening_again(void **state)
{
    struct store *store = *state;

    write_text(store, "a=1 b=2", NULL);
    assert_int_equal(store->ops->sync(store, NULL), FR_OK);
    write_text(store, "-a c=3", NULL);
    store->ops->close(store);
    *state = store = open_folder();
    assert_holds(store, "", "b=2 c=3");
}

/*
 * A killed process leaves its last writes to the kernel, unsynced. Opening puts them into a table, which is synced; so what
 * is found at a start may be called durable at once (recover.c).
 */
/* A copy of the files of a store that is open is what a killed process leaves. */
static void what_a_killed_process_wrote_is_on_the_disk_once_it_is_opened_again(void **state)
{
    struct store *store = *state;
    uint64_t bytes = 1;
    char command[600];

    assert_true(store->ops->number(store, "sst_bytes", &bytes));
    assert_int_equal(bytes, 0);
    write_text(store, "a=1 b=2", NULL);
    snprintf(command, sizeof(command), "cp -r '%s' '%s.killed'", folder, folder);
    assert_int_equal(system(command), 0);
    store->ops->close(store);
    folder_remove(folder);
    snprintf(command, sizeof(command), "%s.killed", folder);
    assert_int_equal(rename(command, folder), 0);
    *state = store = open_folder();
    assert_holds(store, "", "a=1 b=2");
    assert_true(store->ops->number(store, "sst_bytes", &bytes));
    assert_true(bytes > 0);
}

static void what_was_written_is_there_after_opening_anew_and_numbers_may_be_asked_meanwhile(void **state)
{
    struct store *store = *state;
    struct store_batch *batch = store->ops->batch_new(store); /* lives on */
    atomic_bool end = false;
    pthread_t asker;
    struct asking asking = {.store = store, .end = &end};

    assert_int_equal(pthread_create(&asker, NULL, ask_numbers, &asking), 0);
    while (!atomic_load(&asking.asked))
        sched_yield();
    store->ops->batch_put(batch, FR_BYTES("z"), FR_BYTES("9"));
    for (int i = 0; i < 5; i++) {
        write_text(store, i % 2 ? "a=1" : "a=2", NULL);
        assert_int_equal(store->ops->mark(store, (uint64_t)i + 1, NULL), FR_OK);
        assert_int_equal(store->ops->reopen(store, NULL), FR_OK);
        assert_int_equal(store->ops->marked(store), i + 1);
    }
    assert_int_equal(store->ops->write(store, batch, NULL), FR_OK);
    store->ops->batch_free(batch);
    atomic_store(&end, true);
    pthread_join(asker, NULL);
    assert_holds(store, "", "a=2 z=9");
}

/* The folder is gone: it cannot be opened anew, is closed for all, and says so. */
static void a_store_that_does_not_open_anew_is_closed(void **state)
{
    struct store *store = *state;
    struct store_batch *batch = store->ops->batch_new(store);
    uint64_t number;
    char *value;
    size_t len;
    struct fr_err err;

    folder_remove(folder);
    assert_int_equal(store->ops->reopen(store, &err), FR_IO);
    assert_int_equal(store->ops->write(store, batch, &err), FR_CLOSED);
    assert_int_equal(store->ops->sync(store, &err), FR_CLOSED);
    assert_int_equal(store->ops->get(store, FR_BYTES("a"), &value, &len, &err), FR_CLOSED);
    assert_false(store->ops->number(store, "sst_bytes", &number));
    store->ops->batch_free(batch);
    folder_make(folder);
}

static void a_second_opening_is_told_that_it_is_busy(void **state)
{
    (void)state;
    struct store *second = NULL;
    struct fr_err err;

    assert_int_equal(store_rocks_open(&second, &(struct store_rocks_options){.path = folder}, &err), FR_BUSY);
    assert_true(err.retriable);
    assert_non_null(strstr(err.text, folder));
    assert_null(second);
}

static void a_folder_that_cannot_be_made_is_an_error_not_an_abort(void **state)
{
    (void)state;
    struct store *second = NULL;
    struct fr_err err;

    assert_int_not_equal(store_rocks_open(&second, &(struct store_rocks_options){.path = "/proc/no/such"}, &err),
                         FR_OK);
    assert_int_equal(err.code, FR_IO);
    assert_null(second);
}

/* Overwrites the middle of each file whose name ends so. */
static int damage(const char *suffix)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    int damaged = 0;

    while ((entry = readdir(dir))) {
        size_t len = strlen(entry->d_name);
        char path[600];
        if (len < strlen(suffix) || strcmp(entry->d_name + len - strlen(suffix), suffix) != 0)
            continue;
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        FILE *file = fopen(path, "r+b");
        fseek(file, 0, SEEK_END);
        long size = ftell(file);
        if (size > 200) {
            fseek(file, size / 2, SEEK_SET);
            fwrite("garbage!garbage!garbage!garbage!", 1, 32, file);
            damaged++;
        }
        fclose(file);
    }
    closedir(dir);
    return damaged;
}

static void a_damaged_table_file_is_corruption_at_reading(void **state)
{
    struct store *store = *state;
    struct store_batch *batch = store->ops->batch_new(store);
    char key[16], value[512];
    uint32_t random = 1;

    for (int i = 0; i < 4000; i++) {
        snprintf(key, sizeof(key), "%08d", i);
        for (size_t k = 0; k < sizeof(value); k++)
            value[k] = (char)((random = random * 1664525 + 1013904223) >> 24);
        store->ops->batch_put(batch, fr_bytes_of(key), (struct fr_bytes){value, sizeof(value)});
    }
    assert_int_equal(store->ops->write(store, batch, NULL), FR_OK);
    store->ops->batch_free(batch);
    store->ops->close(store);
    *state = store = open_folder(); /* recovery flushes the log into a table file */
    store->ops->close(store);
    *state = NULL;
    assert_true(damage(".sst") > 0);
    struct fr_err err = {0};
    int status = store_rocks_open(&store, &(struct store_rocks_options){.path = folder}, &err);
    if (!status) {
        struct store_iter *iter = store->ops->iterate(store, FR_BYTES(""));
        struct fr_bytes a, b;
        int count = 0;
        while (store->ops->next(iter, &a, &b))
            count++;
        assert_true(count < 4000);
        status = store->ops->iter_close(iter, &err);
        *state = store;
    }
    assert_int_equal(status, FR_CORRUPT);
}

/* ---- at opening ---- */

static void cut(const char *path)
{
    assert_int_equal(truncate(path, 20), 0);
}

static void empty(const char *path)
{
    assert_int_equal(truncate(path, 0), 0);
}

static void take_away(const char *path)
{
    assert_int_equal(unlink(path), 0);
}

static void point_elsewhere(const char *path)
{
    FILE *file = fopen(path, "w");

    fputs("MANIFEST-999999\n", file);
    fclose(file);
}

static int harm_files(const char *part, void (*harm)(const char *path))
{
    DIR *dir = opendir(folder);
    int harmed = 0;

    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[600];
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        if (strstr(entry->d_name, part)) {
            harm(path);
            harmed++;
        }
    }
    closedir(dir);
    return harmed;
}

static void what_is_missing_or_spoilt_is_corruption_at_opening(void **state)
{
    static const struct {
        const char *part;
        void (*harm)(const char *path);
    } cases[] = {
        {"MANIFEST", cut},      {"MANIFEST", take_away}, {"CURRENT", empty}, {"CURRENT", point_elsewhere},
        {"CURRENT", take_away}, {".sst", take_away},     {".sst", empty},
    };
    struct store *store = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct fr_err err = {0};
        write_text(store, "a=1 b=2", NULL);
        store->ops->close(store);
        store = open_folder(); /* recovery makes a table of the log */
        store->ops->close(store);
        assert_true(harm_files(cases[i].part, cases[i].harm) > 0);
        *state = NULL;
        int status = store_rocks_open(&store, &(struct store_rocks_options){.path = folder}, &err);
        if (status != FR_CORRUPT)
            fail_msg("case %zu: status %d, %s", i, status, err.text);
        folder_remove(folder);
        mkdir(folder, 0700);
        *state = store = open_folder();
    }
}

/* What RocksDB would take for a new database, and clear of the tables it finds. */
static void a_database_without_head_and_log_is_corruption_too(void **state)
{
    struct store *store = *state;

    write_text(store, "a=1 b=2", NULL);
    store->ops->close(store);
    store = open_folder();
    store->ops->close(store);
    *state = NULL;
    assert_true(harm_files("CURRENT", take_away) > 0 && harm_files(".log", take_away) > 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(store_rocks_open(&store, &(struct store_rocks_options){.path = folder}, NULL), FR_CORRUPT);
}

static void a_first_opening_that_was_killed_is_no_damage(void **state)
{
    struct store *store = *state;
    char path[300];

    store->ops->close(store);
    folder_remove(folder);
    mkdir(folder, 0700);
    snprintf(path, sizeof(path), "%s/MANIFEST-000001", folder); /* written before CURRENT */
    fclose(fopen(path, "w"));
    *state = store = open_folder();
    write_text(store, "a=1", NULL);
    assert_holds(store, "", "a=1");
}

static void error_texts_are_understood(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum fr_status code;
    } cases[] = {
        {"Corruption: block checksum mismatch: stored = 1, computed = 2 in 000009.sst", FR_CORRUPT},
        {"IO error: No space left on device: While appending to file: /x/000004.log: No space left on device", FR_FULL},
        {"IO error: While appending to file: /x/000004.log: No space left on device", FR_FULL},
        {"IO error: lock hold by current process, acquire time 1 acquiring thread 2: /x/LOCK: No locks available",
         FR_BUSY},
        {"IO error: While lock file: /x/LOCK: Resource temporarily unavailable", FR_BUSY},
        {"IO error: While open a file for random read: /x/000009.sst: Input/output error", FR_IO},
        {"IO error: No such file or directory: While mkdir if missing: /x", FR_IO},
        {"Invalid argument: Compression type LZ4 is not linked with the binary.", FR_INVALID},
        {"Operation timed out: ", FR_TIMEOUT},
        {"Shutdown in progress: ", FR_CLOSED},
        {"something never seen before", FR_IO},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        assert_int_equal(rocks_error_code(cases[i].text), cases[i].code);
}

static void numbers_are_known_or_not(void **state)
{
    struct store *store = *state;
    static const char *const names[] = {"memtable_bytes", "sst_bytes", "write_stopped", "background_errors",
                                        "running_compactions"};
    uint64_t value;

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        assert_true(store->ops->number(store, names[i], &value));
    assert_true(store->ops->number(store, "write_stopped", &value));
    assert_int_equal(value, 0);
    assert_false(store->ops->number(store, "moons", &value));
}

static void the_version_is_three_numbers(void **state)
{
    (void)state;
    int major, minor, patch, end = 0;

    assert_int_equal(sscanf(store_rocks_version(), "%d.%d.%d%n", &major, &minor, &patch, &end), 3);
    assert_int_equal(store_rocks_version()[end], 0);
    assert_true(major >= 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_CONTRACT(open_store, close_store),
        cmocka_unit_test_setup_teardown(what_was_written_is_there_after_opening_again, open_store, close_store),
        cmocka_unit_test_setup_teardown(what_a_killed_process_wrote_is_on_the_disk_once_it_is_opened_again, open_store,
                                        close_store),
        cmocka_unit_test_setup_teardown(what_was_written_is_there_after_opening_anew_and_numbers_may_be_asked_meanwhile,
                                        open_store, close_store),
        cmocka_unit_test_setup_teardown(a_store_that_does_not_open_anew_is_closed, open_store, close_store),
        cmocka_unit_test_setup_teardown(a_second_opening_is_told_that_it_is_busy, open_store, close_store),
        cmocka_unit_test_setup_teardown(a_folder_that_cannot_be_made_is_an_error_not_an_abort, open_store, close_store),
        cmocka_unit_test_setup_teardown(a_damaged_table_file_is_corruption_at_reading, open_store, close_store),
        cmocka_unit_test_setup_teardown(what_is_missing_or_spoilt_is_corruption_at_opening, open_store, close_store),
        cmocka_unit_test_setup_teardown(a_database_without_head_and_log_is_corruption_too, open_store, close_store),
        cmocka_unit_test_setup_teardown(a_first_opening_that_was_killed_is_no_damage, open_store, close_store),
        cmocka_unit_test(error_texts_are_understood),
        cmocka_unit_test_setup_teardown(numbers_are_known_or_not, open_store, close_store),
        cmocka_unit_test(the_version_is_three_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
