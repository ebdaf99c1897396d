/*
 * faults_test.c -- checkpoints on RocksDB on a disk that fails, call by call (tests/support/faultfs.c), and power cuts.
 *
 *     child    journals 1, 2, 3 ... into the store, as fast as it takes them; tells what it gave and what it heard to be synced
 *     parent   breaks the child's disk, waits for its end, cuts the power, opens the store and counts
 *
 * The n-th journal depends on n alone, so the parent knows what the state after n journals must be. The child is this program
 * itself, started anew: the parent's own disk stays whole.
 */
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>

#include "cells.h"
#include "folder.h"
#include "faultfs.h"
#include "freshet/clock.h"
#include "freshet/format.h"
#include "sanitized.h"

enum { SEED = 33, OPS = 400, BEFORE = 4, AFTER = 12, MEMTABLE = 64 << 10, LIMIT_MS = 60000, TOGETHER = 12 };

extern char **environ;

static bool is_long(void)
{
    const char *text = getenv("FRESHET_LONG");

    return text && !strcmp(text, "1");
}

static struct store *open_folder(const char *folder)
{
    struct store *store = NULL;
    struct fr_err err = {0};

    if (store_rocks_open(&store, &(struct store_rocks_options){.path = folder, .memtable = MEMTABLE}, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return NULL;
    }
    return store;
}

/* ---- the child ---- */

struct word {
    uint64_t given, synced; /* one of the two, the other 0 */
};

static void on_synced(void *context, uint64_t number)
{
    struct word word = {.synced = number};

    (void)context;
    if (write(STDOUT_FILENO, &word, sizeof(word)) != sizeof(word))
        _exit(3);
}

static void set_rules(const char *rules)
{
    const char *path = getenv("FAULTFS_RULES");
    char next[512];

    snprintf(next, sizeof(next), "%s.next", path);
    FILE *file = fopen(next, "w");
    if (!file || fputs(rules, file) < 0 || fclose(file) || rename(next, path))
        _exit(4);
}

static bool fired(void)
{
    char path[512];

    snprintf(path, sizeof(path), "%s.fired", getenv("FAULTFS_RULES"));
    return access(path, F_OK) == 0;
}

/* The next journal, as soon as it is taken; a fault that lasts ends after three errors. */
static void give(struct checkpoint *checkpoint, struct journal **journal, uint64_t n, bool lasting)
{
    struct word word = {.given = n};
    struct checkpoint_figures figures;
    uint64_t begin = fr_mono_ns();

    cells_journal(*journal, NULL, SEED, n, OPS);
    while (!checkpoint_wait_due(checkpoint, lasting ? 1 : 1000)) {
        checkpoint_figures(checkpoint, &figures);
        if (lasting && figures.events_errors >= 3)
            set_rules("");
        if (fr_mono_ns() - begin > (uint64_t)LIMIT_MS * 1000000)
            _exit(5);
    }
    if (write(STDOUT_FILENO, &word, sizeof(word)) != sizeof(word))
        _exit(3);
    *journal = give_whole(checkpoint, *journal, n);
}

/* Some journals, then the rules, then journals until they have fired and some more. */
static int child(const char *folder, const char *rules, uint64_t most)
{
    struct store *store = open_folder(folder);
    bool lasting = strchr(rules, '+');

    if (!store || format_admit(store, NULL))
        return 6;
    uint64_t n = cells_number(store), first = n;
    struct checkpoint *checkpoint =
        checkpoint_start(store, &(struct checkpoint_options){.wal_sync_interval = 3, .synced = on_synced});
    struct journal *journal = journal_new();
    while (n < first + BEFORE)
        give(checkpoint, &journal, ++n, false);
    set_rules(rules);
    for (uint64_t after = 0; after < AFTER && n < first + most; after += fired())
        give(checkpoint, &journal, ++n, lasting);
    set_rules("");
    struct fr_err err;
    if (!checkpoint_stop(checkpoint, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 7;
    }
    journal_free(journal);
    store->ops->close(store);
    return 0;
}

/* ---- the parent ---- */

struct place {
    char folder[256], store[300], undo[300], rules[300];
    struct cells *cells; /* the state after `number` journals */
    uint64_t given, synced;
    pid_t pid; /* the child's, and the pipe from it */
    int pipe;
};

static void place_make(struct place *place)
{
    memset(place, 0, sizeof(*place));
    folder_make(place->folder);
    snprintf(place->store, sizeof(place->store), "%s/store", place->folder);
    snprintf(place->undo, sizeof(place->undo), "%s/undo", place->folder);
    snprintf(place->rules, sizeof(place->rules), "%s/rules", place->folder);
    assert_int_equal(mkdir(place->undo, 0700), 0);
    place->cells = calloc(1, sizeof(*place->cells));
}

static void place_remove(struct place *place)
{
    folder_remove(place->folder);
    free(place->cells);
}

/* Returns how the child ended, as waitpid says. */
static int await_end(struct place *place)
{
    struct word word;
    int status;

    while (read(place->pipe, &word, sizeof(word)) == sizeof(word)) {
        place->given = word.given > place->given ? word.given : place->given;
        place->synced = word.synced > place->synced ? word.synced : place->synced;
    }
    close(place->pipe);
    assert_int_equal(waitpid(place->pid, &status, 0), place->pid);
    return status;
}

static void start_child(struct place *place, const char *rules, uint64_t most, bool power)
{
    char number[24], fired_path[320];
    char *arguments[] = {"/proc/self/exe", "child", place->store, (char *)(uintptr_t)rules, number, NULL};
    posix_spawn_file_actions_t actions;
    int ends[2];

    snprintf(number, sizeof(number), "%llu", (unsigned long long)most);
    snprintf(fired_path, sizeof(fired_path), "%s.fired", place->rules);
    unlink(fired_path);
    unlink(place->rules);
    setenv("FAULTFS_ROOT", place->store, 1);
    setenv("FAULTFS_RULES", place->rules, 1);
    if (power)
        setenv("FAULTFS_UNDO", place->undo, 1);
    else
        unsetenv("FAULTFS_UNDO");
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    assert_int_equal(posix_spawn(&place->pid, "/proc/self/exe", &actions, NULL, arguments, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    place->pipe = ends[0];
}

/* The store holds the state after some journals: not fewer than `least`, not more than were given. Returns their number. */
static uint64_t check(struct place *place, uint64_t least, const char *after)
{
    struct store *store = open_folder(place->store);
    struct fr_err err;
    uint64_t found, journals;

    if (!store)
        fail_msg("%s: the store does not open", after);
    found = cells_number(store);
    if (found < least || found > place->given)
        fail_msg("%s: %llu journals in the store; %llu synced, %llu given", after, (unsigned long long)found,
                 (unsigned long long)least, (unsigned long long)place->given);
    if (found < place->cells->number) { /* it went back, as it may: begin anew */
        memset(place->cells, 0, sizeof(*place->cells));
    }
    while (place->cells->number < found)
        cells_journal(NULL, place->cells, SEED, place->cells->number + 1, OPS);
    assert_int_equal(format_journals(store, &journals, &err), FR_OK);
    if (format_links_check(store, journals, &err))
        fail_msg("%s: %s", after, err.text);
    cells_assert_stored(store, place->cells);
    assert_true(store->ops->marked(store) <= journals);
    store->ops->close(store);
    place->given = place->synced = found;
    return found;
}

/* ---- errors ---- */

static const char *const faults[] = {
    "write .log %d EIO",      "write .log %d torn EIO", "write .log %d ENOSPC",   "write .log %d torn ENOSPC",
    "write .log %d short",    "sync .log %d EIO",       "open .log %d EIO",       "open .log %d ENOSPC",
    "allocate .log %d ENOSPC", "write .sst %d EIO",     "write .sst %d ENOSPC",   "write .sst %d torn EIO",
    "sync .sst %d EIO",       "open .sst %d EIO",       "open .sst %d ENOSPC",    "write MANIFEST %d EIO",
    "write MANIFEST %d ENOSPC", "sync MANIFEST %d EIO", "open MANIFEST %d EIO",   "rename CURRENT %d EIO",
    "write DURABLE %d EIO",   "write DURABLE %d short", "sync DURABLE %d EIO",    "unlink * %d EIO",
    "write .log %d+ ENOSPC",  "write .log %d+ EIO",     "write * %d+ ENOSPC",     "sync * %d+ EIO",
    "write .sst %d+ ENOSPC",  "* * %d+ EIO",            "sync .log %d delay 300",
};

/* "write .log %d EIO" and 4: "write .log 4 EIO" */
static void rules_of(const char *fault, int n, char *rules)
{
    const char *at = strstr(fault, "%d");

    sprintf(rules, "%.*s%d%s", (int)(at - fault), fault, n, at + 2);
}

/* After an error the process goes on and loses nothing. Several at a time: they mostly wait for RocksDB, whose closing after an
 * error takes a second. */
static void no_error_of_the_disk_loses_or_doubles_anything(void **state)
{
    (void)state;
    struct place places[TOGETHER];
    char rules[TOGETHER][64];
    size_t times = is_long() ? 60 : SANITIZED ? 1 : 3, jobs = times * sizeof(faults) / sizeof(*faults);

    for (size_t job = 0; job < jobs; job += TOGETHER) {
        size_t len = jobs - job < TOGETHER ? jobs - job : TOGETHER;
        for (size_t i = 0; i < len; i++) {
            size_t time = (job + i) % times;
            place_make(&places[i]);
            rules_of(faults[(job + i) / times], (int)(is_long() ? 1 + time : 1 + time * 3), rules[i]);
            start_child(&places[i], rules[i], 40, false);
        }
        for (size_t i = 0; i < len; i++) {
            int status = await_end(&places[i]);
            if (!WIFEXITED(status) || WEXITSTATUS(status))
                fail_msg("%s: the process ended with %d (signal %d)", rules[i], WEXITSTATUS(status), WTERMSIG(status));
            check(&places[i], places[i].given, rules[i]);
            place_remove(&places[i]);
        }
    }
    print_message("%zu disks failed\n", jobs);
}

/* ---- power cuts ---- */

static void cut_power(struct place *place, uint64_t seed)
{
    char number[24];
    char *arguments[] = {POWERLOSS, place->store, place->undo, number, NULL};
    int status;
    pid_t pid;

    snprintf(number, sizeof(number), "%llu", (unsigned long long)seed);
    assert_int_equal(posix_spawn(&pid, POWERLOSS, NULL, NULL, arguments, environ), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* Killed at some call, and what was not synced is partly gone; in every second round an fsync has failed before, after which
 * the kernel gives the pages up. */
static void a_power_cut_leaves_what_was_synced_and_an_earlier_state(void **state)
{
    (void)state;
    struct place place;
    uint64_t random = 5, back = 0, kills = 0, rounds = is_long() ? 1000 : SANITIZED ? 20 : 40;

    place_make(&place);
    for (uint64_t round = 0; round < rounds; round++) {
        char rules[160], failing[64] = "";
        if (round % 2)
            snprintf(failing, sizeof(failing), "sync .log %d EIO\n", (int)(1 + cells_random(&random) % 4));
        snprintf(rules, sizeof(rules), "%s%s * %d kill\n", failing, round % 3 ? "write" : "sync",
                 (int)(1 + cells_random(&random) % (round % 3 ? 150 : 20)));
        start_child(&place, rules, 60, true);
        int status = await_end(&place);
        bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
        if (!killed && (!WIFEXITED(status) || WEXITSTATUS(status)))
            fail_msg("round %llu, %s: the process ended with %d (signal %d)", (unsigned long long)round, rules,
                     WEXITSTATUS(status), WTERMSIG(status));
        uint64_t given = place.given;
        cut_power(&place, round);
        back += check(&place, place.synced, rules) < given;
        kills += killed;
    }
    print_message("%llu power cuts, %llu of them in the middle of a call, %llu took journals that were not synced\n",
                  (unsigned long long)rounds, (unsigned long long)kills, (unsigned long long)back);
    assert_true(kills > rounds / 2 && back > rounds / 4);
    place_remove(&place);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_error_of_the_disk_loses_or_doubles_anything),
        cmocka_unit_test(a_power_cut_leaves_what_was_synced_and_an_earlier_state),
    };

#ifdef __SANITIZE_THREAD__
    puts("SKIP: ThreadSanitizer's runtime makes the file calls that this program replaces, and waits for itself");
    return 77;
#endif
    if (argc == 5 && !strcmp(argv[1], "child"))
        return child(argv[2], argv[3], strtoull(argv[4], NULL, 10));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
