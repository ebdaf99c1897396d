/*
 * walk_test.c -- thousands of random walks, each compared with the oracle after every restart and at its end.
 *
 *     FRESHET_SEED     the first seed (1); with FRESHET_SEEDS unset, the only one
 *     FRESHET_SEEDS    how many (10,000; under a sanitizer 500; with FRESHET_LONG ten times as many)
 *
 * Walks run in a child process, so that one in which the engine dies of an assertion is a failure like any other. A failing walk
 * is made small (steps are left out while it still fails) and printed as a scenario, ready to be saved as a file here.
 */
#include <malloc.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "script.h"
#include "walk.h"

#ifdef __SANITIZE_ADDRESS__
enum { SEEDS = 500 };
#else
enum { SEEDS = 10000 };
#endif

static struct shared {
    uint64_t seed; /* of the walk that is running */
    uint64_t steps;
    char problem[2000];
} *shared;

static bool run_walk(const struct walk *walk)
{
    static char text[STEPS_MAX * STEP_BYTES];
    char name[40];

    snprintf(name, sizeof(name), "seed %llu", (unsigned long long)walk->seed);
    walk_text(walk, text);
    sim_begin(walk->seed);
    struct world *world = world_new(NULL);
    bool good = script_run(world, name, text);
    if (!good)
        snprintf(shared->problem, sizeof(shared->problem), "%s", world->problem);
    world_free(world);
    return good;
}

/* In a child. True if it ended well. */
static bool survives(const struct walk *walk)
{
    int status;

    shared->problem[0] = '\0';
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        if (!freopen("/dev/null", "w", stderr))
            _exit(1);
        alarm(60);
        _exit(run_walk(walk) ? 0 : 1);
    }
    waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool survives_without(const struct walk *walk, size_t from, size_t len, struct walk *ret_smaller)
{
    ret_smaller->seed = walk->seed;
    ret_smaller->len = 0;
    for (size_t i = 0; i < walk->len; i++)
        if (i < from || i >= from + len)
            memcpy(ret_smaller->steps[ret_smaller->len++], walk->steps[i], STEP_BYTES);
    return survives(ret_smaller);
}

/* Leaves out runs of steps, long ones first, as long as it still fails. The step that starts the engine stays. */
static void shrink(struct walk *walk)
{
    static struct walk smaller;
    bool smaller_found = true;

    while (smaller_found) {
        smaller_found = false;
        for (size_t len = walk->len / 2; len > 0; len /= 2)
            for (size_t from = 0; from + len <= walk->len;) {
                bool starts = false;
                for (size_t i = from; i < from + len; i++)
                    starts = starts || strstr(walk->steps[i], "\nstart");
                if (starts || survives_without(walk, from, len, &smaller)) {
                    from++;
                } else {
                    *walk = smaller;
                    smaller_found = true;
                }
            }
    }
}

static void report(uint64_t seed)
{
    static struct walk walk;
    static char text[STEPS_MAX * STEP_BYTES];

    walk_make(&walk, seed);
    shrink(&walk);
    survives(&walk); /* for its problem */
    walk_text(&walk, text);
    printf("seed %llu fails: %s\n---- as a scenario ----\n%s-----------------------\n", (unsigned long long)seed,
           shared->problem[0] ? shared->problem : "the engine died, or never ended", text);
}

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

static void run_all(uint64_t first, uint64_t seeds)
{
    static struct walk walk;

    mallopt(M_MMAP_THRESHOLD, 1 << 20); /* each walk opens engines: keep their memory, but for large parts that are hardly used */
    mallopt(M_TRIM_THRESHOLD, 256 << 20);
    for (uint64_t i = 0; i < seeds; i++) {
        shared->seed = first + i;
        walk_make(&walk, shared->seed);
        shared->steps += walk.len;
        alarm(60);
        if (!run_walk(&walk))
            exit(1);
    }
    exit(0);
}

int main(void)
{
    uint64_t first = number_of("FRESHET_SEED", 1);
    uint64_t all = getenv("FRESHET_LONG") ? 10 * SEEDS : SEEDS;
    uint64_t seeds = number_of("FRESHET_SEEDS", getenv("FRESHET_SEED") ? 1 : all);
    int status;

    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return 1;
    pid_t child = fork();
    if (child == 0)
        run_all(first, seeds);
    if (child < 0 || waitpid(child, &status, 0) != child)
        return 1;
    if (status) {
        report(shared->seed);
        return 1;
    }
    printf("%llu walks from seed %llu, %llu steps: all equal the oracle\n", (unsigned long long)seeds,
           (unsigned long long)first, (unsigned long long)shared->steps);
    return 0;
}
