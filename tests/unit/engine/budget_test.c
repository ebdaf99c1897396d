/*
 * budget_test.c -- what a population costs in memory, by the budgets of the goals, and whether what is reported is what
 * was taken: each part counted anew, block by block.
 *
 *     people      8,000; half of the events are of a quarter of them, so that histories are short and long
 *     things     20,000; half of the events are on an eighth of them
 *     events    320,000; product mode, settings as the configuration's defaults
 *
 * Under a sanitizer, which is slow and finds nothing here that the other tests do not, a quarter of all that; the ids'
 * budget is for more than so few (dict_test.c).
 */
#include "engine_world.h"
#include "histories_private.h"
#include "rows_lines.h"
#include "sanitized.h"
#include "sar_parts.h"

enum { PEOPLE = SANITIZED ? 2000 : 8000, THINGS = SANITIZED ? 5000 : 20000, EVENTS = SANITIZED ? 80000 : 320000, MANY_IDS = !SANITIZED };
enum { ID_ROOM = 16 };

struct population {
    struct world world;
    char (*people)[ID_ROOM], (*things)[ID_ROOM];
};

static double random_part(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 11) / 9007199254740992.0;
}

static struct event population_event(const struct population *population, int64_t offset, uint64_t *random)
{
    double who = random_part(random), what = random_part(random);

    return event(offset, population->people[(int)(who * who * PEOPLE)],
                 population->things[(int)(what * what * what * THINGS)], NOON + offset * 1000);
}

static void population_init(struct population *population, const struct engine_options *options)
{
    static struct event events[EVENT_BATCH_MAX];
    uint64_t random = 4;

    population->people = fr_alloc(PEOPLE * sizeof(*population->people));
    population->things = fr_alloc(THINGS * sizeof(*population->things));
    for (int i = 0; i < PEOPLE; i++)
        snprintf(population->people[i], ID_ROOM, "person-%d", i);
    for (int i = 0; i < THINGS; i++)
        snprintf(population->things[i], ID_ROOM, "thing-%d", i);
    population->world = (struct world){.store = store_memory_new(NULL)};
    begin(&population->world, options);
    for (int64_t offset = 0; offset < EVENTS;) {
        size_t len = 0;
        for (; len < EVENT_BATCH_MAX && offset < EVENTS; len++, offset++)
            events[len] = population_event(population, offset, &random);
        give(&population->world, events, len);
        await(&population->world, offset);
    }
    while (fr_epoch_waiting(population->world.engine->epoch)) /* the engine frees them between two looks for a batch */
        sched_yield();
}

static void population_release(struct population *population)
{
    population->world.store->ops->close(population->world.store);
    free(population->people);
    free(population->things);
}

/* The blocks of all histories, as the slab gives them, and the heads. */
static size_t histories_counted(const struct histories *histories, size_t *ret_blocks)
{
    size_t slot = slot_size(histories->options.units);

    *ret_blocks = 0;
    for (uint32_t user = 0; user < histories->users; user++)
        if (head_of(histories, user)->cap)
            *ret_blocks += fr_slab_room(histories->slab, head_of(histories, user)->cap * slot);
    return *ret_blocks + histories->users * sizeof(struct head);
}

static size_t rows_counted(const struct rows *rows)
{
    size_t bytes = fr_array_bytes(&rows->headers); /* whole huge pages */

    for (uint32_t row = 0; row < rows->rows_len; row++)
        if (row_at(rows, row)->lines_len)
            bytes += fr_slab_room(rows->slab, row_at(rows, row)->lines_len * sizeof(struct line));
    return bytes;
}

static double id_costs(const struct dict *dict)
{
    size_t bytes = dict_bytes(dict);

    for (uint32_t i = 0; i < dict_len(dict); i++)
        bytes -= dict_id(dict, i).len;
    return (double)bytes / dict_len(dict);
}

static void reported_is(struct engine *engine, const char *part, size_t counted)
{
    publish_figures(engine);
    double reported = fr_series_value(fr_series(FR_M_STATE_BYTES, part, "", ""));
    print_message("%s: %.0f bytes reported, %zu counted\n", part, reported, counted);
    assert_true(reported >= .98 * (double)counted && reported <= 1.02 * (double)counted);
}

static void budgets_hold(struct engine *engine, const char *when)
{
    struct model_stats stats;
    size_t blocks, counted = histories_counted(engine->histories, &blocks);
    double slot = (double)fr_slab_bytes(engine->histories->slab) / (double)histories_slots(engine->histories);
    double user = (double)(histories_bytes(engine->histories) - blocks) / dict_len(engine->users);

    engine->answering->ops->stats(engine->answering->model, &stats);
    double pair = (double)stats.bytes / (double)stats.pairs;
    print_message("%s: %.2f per pair, %.2f per slot of %.1f per user, %.2f per user beyond, ids %.2f and %.2f\n", when,
                  pair, slot, (double)histories_slots(engine->histories) / dict_len(engine->users), user,
                  id_costs(engine->users), id_costs(engine->items));
    assert_true(pair <= 16);
    assert_true(slot <= 24);
    assert_true(user <= 64);
    assert_true(!MANY_IDS || id_costs(engine->users) <= 24);
    assert_true(!MANY_IDS || id_costs(engine->items) <= 24);
    reported_is(engine, "histories", counted);
    reported_is(engine, "pairs", rows_counted(engine->answering->model->rows));
    reported_is(engine, "ids", dict_bytes(engine->users) + dict_bytes(engine->items)); /* dict_test.c counts these */
}

static void a_population_costs_what_was_promised(void **state)
{
    struct engine_options options = product();
    struct population population;

    (void)state;
    options.items_max = 10000000; /* the address space of the defaults */
    options.users_max = 100000000;
    options.history_max = 200;
    options.dedup_window = 0;
    options.checkpoint_interval = 500;
    options.sar.window = 10;
    options.sar.neighbours_max = 500;
    population_init(&population, &options);
    budgets_hold(population.world.engine, "grown");
    end(&population.world);
    begin(&population.world, &options);
    budgets_hold(population.world.engine, "loaded");
    end(&population.world);
    population_release(&population);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_population_costs_what_was_promised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
