/*
 * alloc_test.c -- memory refused at the n-th call, for every n: each time the process says what it wanted and exits 70, and
 * what it leaves behind is a good store.
 *
 *     alloc_test                      the test: all of this, n sampled; with FRESHET_LONG every n
 *     alloc_test first FOLDER         makes a store that has seen half of the log
 *     alloc_test then FOLDER N        opens it, recovers, ingests the rest, answers, checkpoints, stops; the N-th allocation
 *                                     fails (0: none does, and their number is printed)
 *     alloc_test room FOLDER          the same with less address space than the arrays reserve
 *
 * The linker puts the calls below in the place of malloc and its sisters, mmap and mprotect in our own code; RocksDB's are its own.
 * A small allocation that is refused is no error to return from, by the house's decision (include/freshet/alloc.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "script.h"

#ifdef __SANITIZE_ADDRESS__
enum { SAMPLES = 20 };
#else
enum { SAMPLES = 60 };
#endif

/* ---- what fails ---- */

static unsigned long calls, fails_at;

static bool refused(void)
{
    return ++calls == fails_at;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t align, size_t size);
void *__real_mmap(void *at, size_t size, int protection, int flags, int file, off_t offset);
int __real_mprotect(void *at, size_t size, int protection);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);
void *__wrap_mmap(void *at, size_t size, int protection, int flags, int file, off_t offset);
int __wrap_mprotect(void *at, size_t size, int protection);

void *__wrap_malloc(size_t size)
{
    return refused() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return refused() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return refused() ? NULL : __real_realloc(old, size);
}

void *__wrap_aligned_alloc(size_t align, size_t size)
{
    return refused() ? NULL : __real_aligned_alloc(align, size);
}

void *__wrap_mmap(void *at, size_t size, int protection, int flags, int file, off_t offset)
{
    return refused() ? MAP_FAILED : __real_mmap(at, size, protection, flags, file, offset);
}

int __wrap_mprotect(void *at, size_t size, int protection)
{
    return refused() ? -1 : __real_mprotect(at, size, protection);
}

/* ---- the scenario ---- */

enum { EVENTS = 120, FIRST_HALF = 60 };

/* The log is a function of nothing, so that every process has the same. */
static struct world *world_with_log(const char *folder, size_t events)
{
    struct world *world = world_new(folder);
    char line[100];

    script_line(world, "option mode product");
    script_line(world, "option history_max 5");
    script_line(world, "option window 3");
    for (size_t i = 0; i < events; i++) {
        if (i % 17 == 5)
            snprintf(line, sizeof(line), "poison value on=%zu", i % 2);
        else
            snprintf(line, sizeof(line), "event u%zu i%zu %s id=e%zu on=%zu", i % 10, i * 7 % 23,
                     i % 3 ? "click" : "purchase", i * 5 % 40, i % 2);
        script_line(world, line);
    }
    return world;
}

static int finish(struct world *world, bool good)
{
    if (!good)
        fprintf(stderr, "%s%s\n", world->problem, world->refused.text);
    world_free(world);
    return !good;
}

static int run_first(const char *folder)
{
    struct world *world = world_with_log(folder, FIRST_HALF);

    return finish(world, world_start(world) && world->engine && world_catch_up(world) && world_checkpoint(world) &&
                             world_stop(world) && world->saved);
}

/* Some of every kind of question. */
static void ask_all(struct world *world)
{
    struct recommendation_list list;
    struct neighbour_list neighbours;
    struct user_facts facts;

    reader_begin(world->reader);
    reader_recommend(world->reader, &(struct ask){.user = FR_BYTES("u1"), .k = 10, .explain = true}, &list);
    reader_similar_items(world->reader, FR_BYTES("i7"), &(struct ask){.k = 10}, &neighbours, NULL);
    reader_popular(world->reader, &(struct ask){.k = 10}, &list);
    reader_user(world->reader, FR_BYTES("u1"), &facts, NULL);
    reader_end(world->reader);
}

static int run_then(const char *folder, unsigned long nth)
{
    struct world *world = world_with_log(folder, EVENTS);
    bool good;

    calls = 0;
    fails_at = nth;
    good = world_start(world) && world->engine && world_catch_up(world);
    if (good)
        ask_all(world);
    good = good && world_deliver(world, DELIVERED) && world_checkpoint(world) && world_deliver(world, DELIVERED) &&
           world_write(world) && world_stop(world);
    unsigned long made = calls;
    fails_at = 0;
    printf("calls %lu\n", made);
    return finish(world, good);
}

static int run_room(const char *folder)
{
    struct world *world = world_with_log(folder, FIRST_HALF);
    struct rlimit limit = {1 << 30, 1 << 30};

    world->rules.users_max = 1 << 28; /* 40 bytes of header each: 10 GiB */
    setrlimit(RLIMIT_AS, &limit);
    return finish(world, world_start(world) && world->engine);
}

/* After a death: a start from what the store holds, the rest of the log, and all as if nothing had been. */
static bool recovers(const char *folder)
{
    struct world *world = world_with_log(folder, EVENTS);

    if (!world_start(world) || !world->engine)
        return !finish(world, false);
    world_inherit(world);
    bool good = world_catch_up(world) && world_checkpoint(world);
    /* Letters that had left before are not here; those that had not must be. */
    for (size_t i = 0; good && i < world->given_len; i++)
        if (world->given[i]->kind == ENTRY_POISON) {
            fr_reserve((void **)&world->received, &world->received_cap, world->received_len + 1,
                       sizeof(*world->received));
            world->received[world->received_len++] =
                (struct received){world->given[i]->partition, world->given[i]->offset, "value"};
        }
    good = good && world_equals_oracle(world) && world_stop(world) && world->saved;
    return !finish(world, good);
}

/* ---- the test ---- */

static char self[4096];

/* Runs alloc_test WHAT FOLDER [N]; what it said goes to `said`. Returns its exit code, or minus the signal. */
static int run_self(const char *what, const char *folder, unsigned long nth, char *said, size_t said_len)
{
    int pipes[2], status;
    char number[32];
    size_t len = 0;
    ssize_t got;

    snprintf(number, sizeof(number), "%lu", nth);
    if (pipe(pipes))
        return -1;
    pid_t child = fork();
    if (child == 0) {
        dup2(pipes[1], STDOUT_FILENO);
        dup2(pipes[1], STDERR_FILENO);
        close(pipes[0]);
        close(pipes[1]);
        execl(self, self, what, folder, number, (char *)NULL);
        _exit(127);
    }
    close(pipes[1]);
    while (len + 1 < said_len && (got = read(pipes[0], said + len, said_len - len - 1)) > 0)
        len += (size_t)got;
    said[len] = '\0';
    close(pipes[0]);
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void fresh_copy(const char *base, const char *folder)
{
    char command[9000];

    snprintf(command, sizeof(command), "rm -rf '%s.0' && cp -a '%s.0' '%s.0'", folder, base, folder);
    if (system(command))
        exit(1);
}

static bool dies_well(const char *base, const char *folder, unsigned long nth, const char *said_wanted)
{
    char said[4000];

    fresh_copy(base, folder);
    int code = run_self(nth ? "then" : "room", folder, nth, said, sizeof(said));
    if (code == EX_SOFTWARE && strstr(said, said_wanted) && recovers(folder))
        return true;
    fprintf(stderr, "allocation %lu: exit code %d, said '%.300s'\n", nth, code, said);
    return false;
}

static unsigned long number_of_calls(const char *base, const char *folder)
{
    char said[4000];

    fresh_copy(base, folder);
    int code = run_self("then", folder, 0, said, sizeof(said));
    const char *number = strstr(said, "calls ");
    return code == 0 && number ? strtoul(number + strlen("calls "), NULL, 10) : 0;
}

static int run_test(void)
{
    const char *room = getenv("TMPDIR"), *memory = "/dev/shm"; /* a disk would only make it slow */
    char top[2000], base[2100], folder[2100], said[4000];
    unsigned long total, tried = 0, failed = 0;

    snprintf(top, sizeof(top), "%s/freshet-alloc-XXXXXX", room ? room : access(memory, W_OK) ? "/tmp" : memory);
    if (!mkdtemp(top) || readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
        return 1;
    snprintf(base, sizeof(base), "%s/base", top);
    snprintf(folder, sizeof(folder), "%s/tried", top);
    if (run_self("first", base, 0, said, sizeof(said)) || !(total = number_of_calls(base, folder))) {
        fprintf(stderr, "the scenario fails without any fault: %s\n", said);
        return 1;
    }
    unsigned long step = getenv("FRESHET_LONG") || total < SAMPLES ? 1 : total / SAMPLES;
    for (unsigned long n = 1; n <= total; n += step, tried++)
        failed += !dies_well(base, folder, n, "out of memory: the system refused ");
#ifndef __SANITIZE_ADDRESS__ /* its shadow takes more than any limit */
    failed += !dies_well(base, folder, 0, "bytes for a mapping");
#endif
    printf("%lu allocations in the scenario, %lu of them refused in turn, %lu failures\n", total, tried, failed);
    snprintf(said, sizeof(said), "rm -rf '%s'", top);
    return system(said) || failed != 0;
}

int main(int argc, char **argv)
{
    sim_begin(1);
    if (argc < 3)
        return run_test();
    if (strcmp(argv[1], "first") == 0)
        return run_first(argv[2]);
    if (strcmp(argv[1], "room") == 0)
        return run_room(argv[2]);
    return run_then(argv[2], strtoul(argv[3], NULL, 10));
}
