/*
 * refresh_test.c -- EASE in a whole engine: solved in the background, shown whole, never stored.
 *
 * The town of engine_world.h with lambda 1 (ease_test.c works it out): apple -> bread 5/8, -> cheese 1/5, cheese -> apple 1/8.
 */
#include <pthread.h>

#include "engine_world.h"

static struct ease_options ease = {
    .lambda = 1, .recency = 1, .items_max = 100, .refresh_percent = 5, .refresh_interval = 600000};

static struct engine_options with_ease(void)
{
    static const struct engine_model models[] = {{"ease", &ease}};
    struct engine_options options = product();

    options.models = models;
    options.models_len = 1;
    options.default_model = "ease";
    return options;
}

static void is_solved(struct world *world)
{
    assert_true(engine_refresh(world->engine, PATIENCE_MS));
}

static double refreshes(const char *result)
{
    return fr_series_value(fr_series(FR_M_REFRESHES, "ease", result, ""));
}

static void a_refresh_is_due_when(void **state)
{
    const struct ease_options options = {.refresh_percent = 5, .refresh_interval = 600000};
    static const struct {
        struct refresh_facts facts;
        bool due;
    } cases[] = {
        {{.ever = false}, true},
        {{.ever = true, .since = 1000000, .changed = 0, .slots = 100}, false}, /* the same would come of it */
        {{.ever = true, .since = 1000, .changed = 5, .slots = 100}, true},
        {{.ever = true, .since = 1000, .changed = 4, .slots = 100}, false},
        {{.ever = true, .since = 599999, .changed = 1, .slots = 100}, false},
        {{.ever = true, .since = 600000, .changed = 1, .slots = 100}, true},
        {{.ever = true, .since = 999, .changed = 500, .slots = 100}, false},
        {{.ever = true, .since = 8999, .took = 1000, .changed = 500, .slots = 100}, false}, /* a tenth of a core */
        {{.ever = true, .since = 9000, .took = 1000, .changed = 500, .slots = 100}, true},
        {{.ever = true, .since = 1000, .changed = 1, .slots = 0}, true},
    };

    (void)state;
    assert_false(refresh_due(&(struct ease_options){.refresh_percent = 0}, &cases[0].facts)); /* only when asked to */
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        if (refresh_due(&options, &cases[i].facts) != cases[i].due)
            fail_msg("case %zu", i);
}

static void it_answers_with_what_was_solved(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = with_ease();

    (void)state;
    begin(&world, &options);
    assert_true(engine_refresh(world.engine, PATIENCE_MS)); /* nothing is held: nothing to solve */
    town(&world);
    is_solved(&world);
    assert_string_equal(recommend(&world, "ann", (struct ask){0}), "cheese 0.400000");
    assert_string_equal(recommend(&world, "cat", (struct ask){.exclude = &FR_BYTES("apple"), .exclude_len = 1}), "bread 0.125000");
    assert_string_equal(recommend(&world, "ann", (struct ask){.exclude = &FR_BYTES("apple"), .exclude_len = 1, .include_seen = true}),
                        "bread 0.625000 cheese 0.400000");
    end(&world);
    world.store->ops->close(world.store);
}

static void its_reasons_are_of_the_history(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = with_ease();
    struct recommendation_list list;

    (void)state;
    begin(&world, &options);
    town(&world);
    is_solved(&world);
    struct reader *reader = reader_new(world.engine);
    reader_begin(reader);
    reader_recommend(reader, &(struct ask){.user = FR_BYTES("ann"), .k = 1, .explain = true}, &list);
    assert_int_equal(list.len, 1);
    assert_string_equal(list.items[0].source, "ease");
    assert_int_equal(list.items[0].reasons_len, 2);
    assert_true(list.items[0].reasons[0].contribution > 0.19 && list.items[0].reasons[0].contribution < 0.21);
    reader_end(reader);
    reader_free(reader);
    end(&world);
    world.store->ops->close(world.store);
}

static void await_answer(struct world *world, const char *user, const char *answer)
{
    uint64_t deadline = patience();

    while (strcmp(recommend(world, user, (struct ask){0}), answer) != 0) {
        assert_true(fr_mono_ns() < deadline);
        sched_yield();
    }
}

/* The first at once, one more because much has changed, and the first after the start at once again. */
static void it_is_solved_by_itself_and_again_after_a_restart(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = with_ease();

    (void)state;
    begin(&world, &options);
    town(&world);
    await_answer(&world, "ann", "cheese 0.400000");
    give(&world, (const struct event[]){event(6, "cat", "apple", NOON)}, 1); /* A = (4 2 2; 2 3 1; 2 1 3) */
    await_answer(&world, "ann", "cheese 0.500000");
    checkpoint(&world);
    end(&world);
    begin(&world, &options);
    await_answer(&world, "ann", "cheese 0.500000");
    end(&world);
    world.store->ops->close(world.store);
}

/* lambda so small that apple and bread, held by the same, are one: popular items cover for it. */
static void what_cannot_be_solved_is_said_and_counted(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = with_ease();
    double failed = refreshes("failed");

    (void)state;
    ease.lambda = 1e-9;
    begin(&world, &options);
    ease.lambda = 1;
    town(&world);
    assert_false(engine_refresh(world.engine, PATIENCE_MS));
    assert_true(refreshes("failed") > failed);
    assert_string_equal(recommend(&world, "ann", (struct ask){0}), "cheese 0.000000 fallback");
    end(&world);
    world.store->ops->close(world.store);
}

/* Without ann: apple and bread are held once together, cheese twice. A = (2 1 1; 1 2 1; 1 1 3): cheese -> apple 1/5. */
static void who_is_forgotten_is_not_in_the_next_one(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = with_ease();
    struct fr_err err;

    (void)state;
    begin(&world, &options);
    town(&world);
    end(&world);
    assert_int_equal(engine_open(&world.engine, &options, world.store, &err), FR_OK); /* by hand, while no thread runs */
    apply_forget_user(world.engine, dict_find(world.engine->users, FR_BYTES("ann"), dict_hash(FR_BYTES("ann"))));
    assert_int_equal(engine_start(world.engine, &err), FR_OK);
    is_solved(&world);
    assert_string_equal(recommend(&world, "cat", (struct ask){.exclude = &FR_BYTES("apple"), .exclude_len = 1}), "bread 0.200000");
    end(&world);
    world.store->ops->close(world.store);
}

static void without_it_there_is_no_thread_and_its_series_are_zero(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = product();

    (void)state;
    begin(&world, &options);
    town(&world);
    assert_true(engine_refresh(world.engine, 1)); /* nothing is solved in the background: all of it is */
    publish_figures(world.engine);
    assert_true(fr_series_value(fr_series(FR_M_REFRESH_ITEMS, "ease", "", "")) == 0);
    assert_true(fr_series_value(fr_series(FR_M_REFRESH_AGE, "ease", "", "")) == 0);
    assert_true(refreshes("good") == 0);
    assert_true(refreshes("failed") == 0);
    end(&world);
    world.store->ops->close(world.store);
}

/* Asked after the town, not after what follows: only the town is in it, however long one waits. */
static void without_an_interval_it_is_solved_when_asked(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = with_ease();
    double good = refreshes("good");

    (void)state;
    ease.refresh_interval = 0;
    begin(&world, &options);
    ease.refresh_interval = 600000;
    town(&world);
    assert_string_equal(recommend(&world, "ann", (struct ask){0}), "cheese 0.000000 fallback");
    is_solved(&world);
    give(&world, (const struct event[]){event(6, "cat", "apple", NOON)}, 1);
    await(&world, 7);
    assert_string_equal(recommend(&world, "ann", (struct ask){0}), "cheese 0.400000");
    end(&world);
    assert_true(refreshes("good") == good + 1);
    world.store->ops->close(world.store);
}

static void what_it_tells_of_itself(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = with_ease();
    double good = refreshes("good");

    (void)state;
    begin(&world, &options);
    town(&world);
    is_solved(&world);
    publish_figures(world.engine);
    assert_true(fr_series_value(fr_series(FR_M_REFRESH_ITEMS, "ease", "", "")) == 3);
    assert_true(fr_series_value(fr_series(FR_M_REFRESH_AGE, "ease", "", "")) > 0);
    assert_true(fr_series_value(fr_series(FR_M_REFRESH_SECONDS, "ease", "", "")) > 0);
    assert_true(refreshes("good") > good);
    end(&world);
    world.store->ops->close(world.store);
}

/* ---- while events come and questions are asked ---- */

struct asking {
    struct world *world;
    _Atomic bool stop;
    _Atomic uint64_t answers;
};

static void *ask_on(void *arg)
{
    struct asking *asking = arg;
    struct reader *reader = reader_new(asking->world->engine);
    struct recommendation_list list;

    for (unsigned n = 0; !atomic_load(&asking->stop); n++) {
        char user[16];
        snprintf(user, sizeof(user), "user%u", n % 40);
        reader_begin(reader);
        reader_recommend(reader, &(struct ask){.user = fr_bytes_of(user), .k = 10, .explain = true}, &list);
        for (size_t i = 0; i < list.len; i++)
            assert_true(list.items[i].score == list.items[i].score); /* a number */
        reader_end(reader);
        atomic_fetch_add(&asking->answers, 1);
    }
    reader_free(reader);
    return NULL;
}

static void *refresh_on(void *arg)
{
    struct asking *asking = arg;

    while (!atomic_load(&asking->stop))
        engine_refresh(asking->world->engine, PATIENCE_MS); /* false once it stops */
    return NULL;
}

static void give_crowd(struct world *world, int64_t *offset, int rounds)
{
    static char users[40][16], items[300][16];
    static struct event events[200];

    for (int i = 0; i < 300 && !*items[299]; i++) { /* once: the engine reads them for a while after they are applied */
        snprintf(users[i % 40], sizeof(users[0]), "user%d", i % 40);
        snprintf(items[i], sizeof(items[0]), "item%d", i);
    }
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < 200; i++, ++*offset)
            events[i] = event(*offset, users[*offset * 7 % 40], items[(*offset * *offset + *offset / 3) % 300], NOON + *offset);
        give(world, events, 200);
        await(world, *offset);
    }
}

static void events_questions_and_refreshes_at_the_same_time(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = with_ease();
    struct asking asking = {.world = &world};
    pthread_t askers[2];
    int64_t offset = 0;
    double good = refreshes("good");
    uint64_t deadline = patience();

    (void)state;
    begin(&world, &options);
    give_crowd(&world, &offset, 5);
    pthread_create(&askers[0], NULL, ask_on, &asking);
    pthread_create(&askers[1], NULL, refresh_on, &asking);
    while (refreshes("good") < good + 20 || atomic_load(&asking.answers) < 100) {
        give_crowd(&world, &offset, 1);
        assert_true(fr_mono_ns() < deadline);
    }
    atomic_store(&asking.stop, true);
    for (int i = 0; i < 2; i++)
        pthread_join(askers[i], NULL);
    end(&world);
    world.store->ops->close(world.store);
}

/* Whoever waits for a refresh while the engine stops is told so. */
static void *refresh_until_it_stops(void *arg)
{
    struct asking *asking = arg;

    while (engine_refresh(asking->world->engine, PATIENCE_MS))
        atomic_fetch_add(&asking->answers, 1);
    return NULL;
}

static void a_stop_ends_the_waiting(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = with_ease();
    struct asking asking = {.world = &world};
    struct fr_err err;
    pthread_t asker;
    int64_t offset = 0;

    (void)state;
    begin(&world, &options);
    give_crowd(&world, &offset, 5);
    pthread_create(&asker, NULL, refresh_until_it_stops, &asking);
    while (!atomic_load(&asking.answers))
        sched_yield();
    assert_true(engine_stop(world.engine, &err));
    pthread_join(asker, NULL);
    engine_free(world.engine);
    world.store->ops->close(world.store);
}

static void *ask_once(void *arg)
{
    struct engine *engine = arg;

    engine_refresh(engine, PATIENCE_MS);
    return NULL;
}

/* The engine's thread, which would show it, does not run: the stop comes between the two. */
static void what_was_solved_and_not_shown_is_no_refresh(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = with_ease();
    uint64_t deadline = patience();
    struct fr_err err;
    pthread_t asker;

    (void)state;
    begin(&world, &options);
    town(&world);
    end(&world);
    assert_int_equal(engine_open(&world.engine, &options, world.store, &err), FR_OK);
    double good = refreshes("good"), failed = refreshes("failed");
    refresh_start(world.engine->refresh);
    pthread_create(&asker, NULL, ask_once, world.engine);
    while (!atomic_load(&world.engine->nudged)) { /* it is offered */
        assert_true(fr_mono_ns() < deadline);
        sched_yield();
    }
    refresh_stop(world.engine->refresh);
    pthread_join(asker, NULL);
    assert_true(refreshes("good") == good && refreshes("failed") == failed);
    engine_free(world.engine);
    world.store->ops->close(world.store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_refresh_is_due_when),
        cmocka_unit_test(without_it_there_is_no_thread_and_its_series_are_zero),
        cmocka_unit_test(it_answers_with_what_was_solved),
        cmocka_unit_test(its_reasons_are_of_the_history),
        cmocka_unit_test(it_is_solved_by_itself_and_again_after_a_restart),
        cmocka_unit_test(what_cannot_be_solved_is_said_and_counted),
        cmocka_unit_test(who_is_forgotten_is_not_in_the_next_one),
        cmocka_unit_test(without_an_interval_it_is_solved_when_asked),
        cmocka_unit_test(what_it_tells_of_itself),
        cmocka_unit_test(events_questions_and_refreshes_at_the_same_time),
        cmocka_unit_test(a_stop_ends_the_waiting),
        cmocka_unit_test(what_was_solved_and_not_shown_is_no_refresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
