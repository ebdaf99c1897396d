/*
 * pause_bench.c -- how long a checkpoint holds up the engine's thread, with models whose rows it has to copy.
 *
 *     pause_bench [EVENTS [ROUNDS [SET]]]        default 300,000 3, all sets: sar, fm, ncf, both (SAR learns in each)
 *
 * 100,000 items, each met once before the clock runs, so that negatives are drawn from all of them and nearly every row has
 * changed by the next checkpoint; then EVENTS by Zipf as fast as they are taken, checkpoints every 500 ms.
 *
 *   SET_pause_max, _median   ms of the freezes, and of
 *   SET_slice_max, _median   the slices in which the rows that are still owed are copied; all by the thread's CPU clock, which
 *                            others on the machine do not lengthen; pause_max_wall: by the clock. Baseline: the goal
 *   SET_freeze_span          ms from the freeze until its journal is handed over, the longest
 *   SET_freezes              how many there were
 *   SET_learned              events per second of the engine's thread's CPU
 */
#include "engine_world.h"
#include "freshet/fm.h"
#include "freshet/ncf.h"

enum { USERS = 60000, SETS = 4, GOAL_MS = 5 };

struct pause_figures {
    struct bench_rounds freeze_max, freeze_median, slice_max, slice_median, wall_max, span, freezes, learned;
};

static const struct {
    const char *name;
    bool fm, ncf;
} sets[SETS] = {{"sar", false, false}, {"fm", true, false}, {"ncf", false, true}, {"both", true, true}};

/* Every item once, then by Zipf. */
static void stream_cover(struct stream *stream)
{
    for (uint32_t i = 0; i < WORLD_ITEMS; i++)
        stream->item[i] = i;
}

static void pause_round(const struct stream *stream, size_t set, struct pause_figures *figures)
{
    struct engine_options options = product_options();
    const struct fm_options fm = fm_defaults;
    const struct ncf_options ncf = ncf_defaults;
    struct engine_model models[2];
    struct world world;
    size_t len = 0;

    if (sets[set].fm)
        models[len++] = (struct engine_model){"fm", &fm};
    if (sets[set].ncf)
        models[len++] = (struct engine_model){"ncf", &ncf};
    options.models = models;
    options.models_len = len;
    world_begin(&world, stream, &options);
    world.end = WORLD_ITEMS;
    feed(&world);
    await_checkpoint(&world);
    pauses_forget();
    world.begin = WORLD_ITEMS;
    world.end = stream->len;
    double cpu = cpu_of_threads(getpid(), "engine");
    feed(&world);
    cpu = cpu_of_threads(getpid(), "engine") - cpu;
    await_checkpoint(&world);
    bench_round(&figures->freeze_max, samples_at(&pauses.freezes, 1) / 1e6, GOAL_MS);
    bench_round(&figures->freeze_median, samples_at(&pauses.freezes, .5) / 1e6, GOAL_MS);
    bench_round(&figures->slice_max, samples_at(&pauses.slices, 1) / 1e6, GOAL_MS);
    bench_round(&figures->slice_median, samples_at(&pauses.slices, .5) / 1e6, GOAL_MS);
    bench_round(&figures->wall_max, (double)pauses.wall_ns / 1e6, GOAL_MS);
    bench_round(&figures->span, (double)pauses.span_ns / 1e6, 0);
    bench_round(&figures->freezes, (double)pauses.freezes.len, 0);
    bench_round(&figures->learned, (world.end - world.begin) / cpu, 0);
    world_stop(&world);
    folder_remove(world.folder);
}

static void print_figures(const char *set, const struct pause_figures *figures)
{
    const struct {
        const char *name, *unit;
        const struct bench_rounds *rounds;
        bool less;
    } lines[] = {
        {"pause_max", "ms", &figures->freeze_max, true},     {"pause_median", "ms", &figures->freeze_median, true},
        {"slice_max", "ms", &figures->slice_max, true},      {"slice_median", "ms", &figures->slice_median, true},
        {"pause_max_wall", "ms", &figures->wall_max, true},  {"freeze_span", "ms", &figures->span, true},
        {"freezes", "-", &figures->freezes, false},          {"learned", "events/s", &figures->learned, false},
    };
    char name[64];

    for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
        snprintf(name, sizeof(name), "%s_%s", set, lines[i].name);
        bench_print(name, lines[i].unit, lines[i].rounds, lines[i].less);
    }
}

int main(int argc, char **argv)
{
    unsigned long events = argc > 1 ? strtoul(argv[1], NULL, 10) : 300000, rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 3;
    struct stream stream;
    uint64_t random = 1;

    if (events < 1000 || events > UINT32_MAX - WORLD_ITEMS || rounds == 0 || rounds > 12)
        die("usage: pause_bench [EVENTS [ROUNDS up to 12 [SET]]]");
    setvbuf(stdout, NULL, _IOLBF, 0);
    fr_log_setup(FR_WARN, FR_LOG_TEXT);
    stream_init(&stream, (uint32_t)events + WORLD_ITEMS, USERS, &random);
    stream_cover(&stream);
    for (size_t set = 0; set < SETS; set++) {
        struct pause_figures figures = {0};
        if (argc > 3 && strcmp(argv[3], sets[set].name) != 0)
            continue;
        for (unsigned long round = 0; round < rounds; round++)
            pause_round(&stream, set, &figures);
        print_figures(sets[set].name, &figures);
    }
    stream_release(&stream);
    return 0;
}
