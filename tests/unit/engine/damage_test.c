/*
 * damage_test.c -- one place of one file of a store is damaged: a bit turned over, the end cut off, a page of zeros, or the file
 * gone. What was damaged is found out, with a message that says where, or the state is right once the log has been read from
 * the positions that are there. Never is it silently another.
 *
 *     builder   the first part of the log into a store; killed, so that its newest journals are in the write-ahead log alone
 *     parent    copies the store, damages the copy
 *     loader    opens the copy, reads the rest of the log from the position it finds, and tells a digest of all answers
 *
 * Builder and loader are this program itself, started anew: damage may end a process.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "engine_world.h"
#include "folder.h"
#include "freshet/codec.h"

enum { EVENTS = 4000, BUILT = 3700, SYNCED = 3000, USERS = 40, ITEMS = 60, STEP = 50, MEMTABLE = 96 << 10 };
enum { EQUAL = 0, DIFFERENT = 1, DETECTED = 74 };

extern char **environ;

/* ---- the log, and what is learned from it ---- */

static uint64_t mixed(uint64_t n)
{
    n = (n ^ n >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    n = (n ^ n >> 27) * UINT64_C(0x94D049BB133111EB);
    return n ^ n >> 31;
}

/* Gives the log from `next` to `end`. */
static void give_log(struct world *world, int64_t next, int64_t end)
{
    static char users[EVENT_BATCH_MAX][16], items[EVENT_BATCH_MAX][16];
    static struct event events[EVENT_BATCH_MAX];

    while (next < end) {
        size_t len = 0;
        for (; len < STEP && next < end; len++, next++) {
            uint64_t n = mixed((uint64_t)next + 1);
            snprintf(users[len], sizeof(users[len]), "user%u", (unsigned)(n % USERS));
            snprintf(items[len], sizeof(items[len]), "item%u", (unsigned)(n / USERS % ITEMS));
            events[len] = event(next, users[len], items[len], NOON + next);
        }
        give(world, events, len);
        await(world, next);
    }
}

static void digest_user(struct reader *reader, const char *user, XXH3_state_t *state)
{
    struct user_facts facts;
    int status = reader_user(reader, fr_bytes_of(user), &facts, NULL);

    XXH3_64bits_update(state, &status, sizeof(status));
    for (size_t i = 0; !status && i < facts.affinities_len; i++) {
        const struct user_affinity *at = &facts.affinities[i];
        XXH3_64bits_update(state, at->item.at, at->item.len);
        XXH3_64bits_update(state, &at->affinity, sizeof(at->affinity));
        XXH3_64bits_update(state, &at->last, sizeof(at->last));
    }
    if (!status)
        XXH3_64bits_update(state, &facts.events, sizeof(facts.events));
}

static void digest_item(struct reader *reader, const char *item, XXH3_state_t *state)
{
    const struct ask all = {.k = ITEMS};
    struct neighbour_list list;
    struct item_facts facts;
    int status = reader_item(reader, fr_bytes_of(item), &facts, NULL);

    XXH3_64bits_update(state, &status, sizeof(status));
    if (status || reader_similar_items(reader, fr_bytes_of(item), &all, &list, NULL))
        return;
    XXH3_64bits_update(state, &facts.users, sizeof(facts.users));
    XXH3_64bits_update(state, &facts.first_seen, sizeof(facts.first_seen));
    for (size_t i = 0; i < list.len; i++) {
        XXH3_64bits_update(state, list.neighbours[i].id.at, list.neighbours[i].id.len);
        XXH3_64bits_update(state, &list.neighbours[i].similarity, sizeof(list.neighbours[i].similarity));
    }
}

static uint64_t digest(struct world *world)
{
    XXH3_state_t *state = XXH3_createState();
    struct reader *reader = reader_new(world->engine);
    char name[16];

    XXH3_64bits_reset(state);
    reader_begin(reader);
    for (int i = 0; i < USERS; i++) {
        snprintf(name, sizeof(name), "user%d", i);
        digest_user(reader, name, state);
    }
    for (int i = 0; i < ITEMS; i++) {
        snprintf(name, sizeof(name), "item%d", i);
        digest_item(reader, name, state);
    }
    reader_end(reader);
    reader_free(reader);
    uint64_t value = XXH3_64bits_digest(state);
    XXH3_freeState(state);
    return value;
}

/* ---- the children ---- */

/* Synced when asked for: the children are many. */
static struct engine_options rarely_synced(void)
{
    struct engine_options options = parity();

    options.wal_sync_interval = 60000;
    return options;
}

static int open_in(struct world *world, const char *folder, struct fr_err *err)
{
    return store_rocks_open(&world->store, &(struct store_rocks_options){.path = folder, .memtable = MEMTABLE}, err);
}

/* Many small checkpoints, so that there are tables, deltas and folds; the last ones are written and not synced. */
static int build(const char *folder)
{
    struct world world;
    struct engine_options options = rarely_synced();
    struct fr_err err;

    if (open_in(&world, folder, &err))
        return 2;
    begin(&world, &options);
    give_log(&world, 0, SYNCED);
    checkpoint(&world);
    give_log(&world, SYNCED, BUILT);
    checkpoint(&world);
    kill(getpid(), SIGKILL);
    return 2;
}

static int load(const char *folder, const char *wanted)
{
    struct world world;
    struct engine_options options = rarely_synced();
    struct fr_err err;
    char found[24];

    if (open_in(&world, folder, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return DETECTED;
    }
    if (engine_open(&world.engine, &options, world.store, &err)) {
        fprintf(stderr, "%s\n", err.text);
        world.store->ops->close(world.store);
        return DETECTED;
    }
    if (engine_start(world.engine, &err) || engine_partition(world.engine, TOPIC, 0, &world.partition, &world.next, &err))
        return 2;
    give_log(&world, world.next < 0 ? 0 : world.next, EVENTS);
    snprintf(found, sizeof(found), "%016llx", (unsigned long long)digest(&world));
    checkpoint(&world); /* and it can be gone on with */
    end(&world);
    world.store->ops->close(world.store);
    return strcmp(found, wanted) == 0 ? EQUAL : DIFFERENT;
}

/* ---- the parent ---- */

static char folder[256], origin[300], copy[300], said[300], wanted[24];

static int run_self(const char *verb, const char *where, const char *argument)
{
    char *arguments[] = {"/proc/self/exe", (char *)(uintptr_t)verb, (char *)(uintptr_t)where, (char *)(uintptr_t)argument, NULL};
    posix_spawn_file_actions_t actions;
    int status;
    pid_t pid;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, said, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(posix_spawn(&pid, "/proc/self/exe", &actions, NULL, arguments, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void copy_file(const char *from, const char *to)
{
    char bytes[1 << 16];
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ssize_t len;

    assert_true(in >= 0 && out >= 0);
    while ((len = read(in, bytes, sizeof(bytes))) > 0)
        assert_int_equal(write(out, bytes, (size_t)len), len);
    close(in);
    close(out);
}

static void copy_store(void)
{
    DIR *directory = opendir(origin);
    char from[600], to[600];

    assert_non_null(directory);
    folder_remove(copy);
    assert_int_equal(mkdir(copy, 0700), 0);
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(from, sizeof(from), "%s/%s", origin, entry->d_name);
        snprintf(to, sizeof(to), "%s/%s", copy, entry->d_name);
        copy_file(from, to);
    }
    closedir(directory);
}

/* The which-th newest file whose name has this in it and that is not empty. False: there are fewer. */
static bool find_file(const char *part, int which, char *name)
{
    struct dirent **entries;
    bool found = false;
    int len = scandir(origin, &entries, NULL, alphasort);

    for (int i = len; i-- > 0;) {
        struct stat status;
        char path[600];
        snprintf(path, sizeof(path), "%s/%s", origin, entries[i]->d_name);
        if (!found && strstr(entries[i]->d_name, part) && stat(path, &status) == 0 && S_ISREG(status.st_mode) &&
            status.st_size > 0 && which-- == 0) {
            strcpy(name, entries[i]->d_name);
            found = true;
        }
        free(entries[i]);
    }
    free(entries);
    return found;
}

enum damage { FLIP, CUT, ZEROS, EMPTY, GONE, DAMAGES };
static const char *const damage_names[] = {"a bit turned over", "the end cut off", "a page of zeros", "emptied", "gone"};

static off_t do_damage(const char *name, enum damage damage, uint64_t random)
{
    static const char zeros[512];
    char path[600], byte;
    struct stat status;

    snprintf(path, sizeof(path), "%s/%s", copy, name);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0 && fstat(fd, &status) == 0);
    off_t at = (off_t)(random % (uint64_t)status.st_size);
    if (damage == FLIP) {
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte = (char)(byte ^ 1 << random / 1024 % 8);
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    } else if (damage == ZEROS) {
        off_t len = status.st_size - at < 512 ? status.st_size - at : 512;
        assert_int_equal(pwrite(fd, zeros, (size_t)len, at), len);
    } else if (damage == GONE) {
        unlink(path);
    } else {
        assert_int_equal(ftruncate(fd, damage == EMPTY ? 0 : at), 0);
    }
    close(fd);
    return at;
}

static const char *last_said(void)
{
    static char text[2000];
    FILE *file = fopen(said, "r");
    size_t len = file ? fread(text, 1, sizeof(text) - 1, file) : 0;

    if (file)
        fclose(file);
    text[len] = '\0';
    return text;
}

static struct {
    int equal, detected, ended, back;
} counts;

static void try_one(const char *part, int which, enum damage damage, uint64_t random)
{
    char name[256];

    if (!find_file(part, which, name))
        return;
    copy_store();
    off_t at = do_damage(name, damage, random);
    int status = run_self("load", copy, wanted);
    bool ended = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
    int code = ended ? -1 : WIFEXITED(status) ? WEXITSTATUS(status) : -2;
    counts.equal += code == EQUAL;
    counts.detected += code == DETECTED;
    counts.ended += ended;
    counts.back += code == EQUAL && strstr(last_said(), "store.went_back");
    if (ended)
        print_message("%s, %s at %lld: ended the process: %s\n", name, damage_names[damage], (long long)at, last_said());
    if (code == EQUAL || (code == DETECTED && strlen(last_said()) > 20) || ended)
        return;
    fail_msg("%s, %s at %lld: the loader ended with %d: %s", name, damage_names[damage], (long long)at, code, last_said());
}

static void damage_is_found_out_or_harmless(void **state)
{
    (void)state;
    static const char *const parts[] = {".sst", ".log", "MANIFEST", "CURRENT", "OPTIONS", "IDENTITY", "DURABLE"};
    const char *text = getenv("FRESHET_LONG");
    int places = text && !strcmp(text, "1") ? 60 : 4;
    uint64_t random = 77;

    for (size_t part = 0; part < sizeof(parts) / sizeof(*parts); part++)
        for (int damage = 0; damage < DAMAGES; damage++)
            for (int place = 0; place < (damage < EMPTY ? places : 1); place++)
                try_one(parts[part], part == 0 ? place % 3 : 0, (enum damage)damage, random = mixed(random + 1));
    print_message("%d damaged stores: %d detected, %d harmless, of which %d had lost what was synced and said so, %d ended the "
                  "process\n",
                  counts.detected + counts.equal + counts.ended, counts.detected, counts.equal, counts.back, counts.ended);
    assert_true(counts.detected >= 10 && counts.equal >= 10 && counts.back >= 5);
}

static int make(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = parity();

    (void)state;
    folder_make(folder);
    snprintf(origin, sizeof(origin), "%s/origin", folder);
    snprintf(copy, sizeof(copy), "%s/copy", folder);
    snprintf(said, sizeof(said), "%s/said", folder);
    begin(&world, &options);
    give_log(&world, 0, EVENTS);
    snprintf(wanted, sizeof(wanted), "%016llx", (unsigned long long)digest(&world));
    end(&world);
    world.store->ops->close(world.store);
    int status = run_self("build", origin, "");
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    return 0;
}

static int clean(void **state)
{
    (void)state;
    folder_remove(folder);
    return 0;
}

static void the_whole_store_is_right(void **state)
{
    (void)state;
    copy_store();
    int status = run_self("load", copy, wanted);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != EQUAL)
        fail_msg("the loader ended with %d: %s", status, last_said());
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_whole_store_is_right),
        cmocka_unit_test(damage_is_found_out_or_harmless),
    };

    if (argc == 4 && !strcmp(argv[1], "build"))
        return build(argv[2]);
    if (argc == 4 && !strcmp(argv[1], "load"))
        return load(argv[2], argv[3]);
    return cmocka_run_group_tests(tests, make, clean);
}
