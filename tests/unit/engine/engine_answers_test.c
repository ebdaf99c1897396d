/*
 * engine_answers_test.c -- what the engine's answers are made of, with numbers worked by hand (the town: engine_world.h).
 */
#include "engine_world.h"

static void an_item_is_first_seen_at_the_smallest_event_time(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = parity();
    struct engine_status *status = fr_alloc(sizeof(*status));
    struct item_facts facts;

    (void)state;
    begin(&world, &options);
    town(&world);
    give(&world, (const struct event[]){event(6, "dan", "apple", NOON - 1000), event(7, "eve", "apple", NOON + 1000)}, 2);
    await(&world, 8);
    end(&world);
    begin(&world, &options); /* and so it stays */
    struct reader *reader = reader_new(world.engine);
    reader_begin(reader);
    assert_int_equal(reader_as_of(reader)->event_time, NOON + 1000);
    assert_int_equal(reader_item(reader, FR_BYTES("apple"), &facts, NULL), FR_OK);
    assert_int_equal(facts.first_seen, NOON - 1000);
    assert_int_equal(facts.users, 4);
    reader_end(reader);
    reader_free(reader);
    engine_status(world.engine, status);
    assert_int_equal(status->model_events, 8);
    free(status);
    end(&world);
    world.store->ops->close(world.store);
}

/* Item number n is held by one user each, but for the last, which two hold and which lies beyond the first page. */
static void the_most_popular_item_is_found_on_any_page(void **state)
{
    enum { MANY = POPULAR_PAGE + 100 };
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = parity();
    static char ids[MANY][16];
    struct recommendation_list list;

    (void)state;
    begin(&world, &options);
    for (int at = 0; at < MANY;) {
        struct event events[64];
        size_t len = 0;
        for (; len < 64 && at < MANY; len++, at++) {
            snprintf(ids[at], sizeof(ids[at]), "n%d", at);
            events[len] = event(at, ids[at], ids[at], NOON);
        }
        give(&world, events, len);
    }
    give(&world, (const struct event[]){event(MANY, "ann", ids[MANY - 1], NOON)}, 1);
    await(&world, MANY + 1);
    struct reader *reader = reader_new(world.engine);
    reader_begin(reader);
    reader_popular(reader, &(struct ask){.k = 2}, &list);
    char last_and_first[64];
    snprintf(last_and_first, sizeof(last_and_first), "n%d 2.000000 n0 1.000000", MANY - 1);
    assert_string_equal(tell(&list), last_and_first);
    reader_end(reader);
    reader_free(reader);
    end(&world);
    world.store->ops->close(world.store);
}

/* ann's two items have two users each: 4 postings; then bob's history, the only other one: 3 slots. */
static void similar_users_cost_no_more_than_is_allowed(void **state)
{
    static const int expected[] = {[3] = FR_LIMIT, [4] = FR_LIMIT, [6] = FR_LIMIT, [7] = FR_OK};
    static const uint64_t limits[] = {3, 4, 6, 7};

    (void)state;
    for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
        struct world world = {.store = store_memory_new(NULL)};
        struct engine_options options = parity();
        struct neighbour_list list;
        struct fr_err err;
        options.similar_work_max = limits[i];
        begin(&world, &options);
        town(&world);
        struct reader *reader = reader_new(world.engine);
        reader_begin(reader);
        assert_int_equal(reader_similar_users(reader, FR_BYTES("ann"), 10, &list, &err), expected[limits[i]]);
        reader_end(reader);
        reader_free(reader);
        end(&world);
        world.store->ops->close(world.store);
    }
}

/* What ann is told of the town, and of dan who holds dill alone, with the weights of its seven events. */
static void assert_normalized(const double weights[7], const char *expected)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = parity();
    struct event events[] = {
        event(0, "ann", "apple", NOON), event(1, "ann", "bread", NOON),  event(2, "bob", "apple", NOON),
        event(3, "bob", "bread", NOON), event(4, "bob", "cheese", NOON), event(5, "cat", "cheese", NOON),
        event(6, "dan", "dill", NOON),
    };

    options.normalize = true;
    for (int i = 0; i < 7; i++)
        events[i].weight = weights[i];
    begin(&world, &options);
    give(&world, events, 7);
    await(&world, 7);
    assert_string_equal(recommend(&world, "ann", (struct ask){.include_seen = true}), expected);
    end(&world);
    world.store->ops->close(world.store);
}

/*
 * Ann's apple weighs 2 and her bread 4: rmin = 1, rmax = 4.
 *
 *     ann          apple  bread  cheese  dill
 *     scores         6      6      2       0        unit scores 2, 2, 2/3, 0: cmin = 0, cmax = 2
 *     s / 8 * 3 + 1
 */
static void normalized_scores_lie_on_the_scale_of_the_affinities(void **state)
{
    (void)state;
    assert_normalized((const double[]){2, 4, 1, 1, 1, 1, 1}, "apple 3.250000 bread 3.250000 cheese 1.750000 dill 1.000000");
}

/* Nobody likes anything: what stretches scores to the scale of the affinities would turn the list round, its best behind its worst. */
static void where_nothing_is_liked_scores_stay_as_they_are(void **state)
{
    (void)state;
    assert_normalized((const double[]){-2, -4, -1, -1, -1, -1, -1}, "dill 0.000000 cheese -2.000000 apple -6.000000 bread -6.000000");
}

/* A day later, which is the half-life: all affinities of noon are 1/2. ann and bob share two items: 1/4 + 1/4. */
static void affinities_are_told_as_of_the_newest_event(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = parity();
    struct neighbour_list list;
    struct user_facts facts;
    struct fr_err err;

    (void)state;
    begin(&world, &options);
    town(&world);
    give(&world, (const struct event[]){event(5, "cat", "cheese", NOON), event(6, "dan", "dill", NOON + DAY)}, 2);
    await(&world, 7);
    struct reader *reader = reader_new(world.engine);
    reader_begin(reader);
    assert_int_equal(reader_user(reader, FR_BYTES("cat"), &facts, &err), FR_OK);
    assert_int_equal(facts.events, 1); /* offset 5 came twice, and counts once */
    assert_true(facts.affinities[0].affinity == 0.5);
    assert_int_equal(reader_similar_users(reader, FR_BYTES("ann"), 10, &list, &err), FR_OK);
    assert_int_equal(list.len, 1);
    assert_true(list.neighbours[0].similarity == 0.5);
    reader_end(reader);
    reader_free(reader);
    end(&world);
    world.store->ops->close(world.store);
}

static void fallback_says_whether_a_popular_item_is_in_the_answer(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = product();
    const struct fr_bytes nothing = FR_BYTES("zucchini"), bread = FR_BYTES("bread");
    const struct ask_seed unknown = {.item = FR_BYTES("zucchini")}, apple = {.item = FR_BYTES("apple"), .weight = -1};

    (void)state;
    begin(&world, &options);
    town(&world);
    assert_string_equal(recommend(&world, "zoe", (struct ask){.include = &nothing, .include_len = 1}), "");
    assert_string_equal(recommend(&world, "zoe", (struct ask){.include = &bread, .include_len = 1}),
                        "bread 0.000000 fallback");
    assert_string_equal(recommend(&world, "zoe", (struct ask){.seeds = &unknown, .seeds_len = 1, .k = 1}),
                        "apple 0.000000 fallback");
    /* A seed of negative weight is evidence against: -2 / sqrt(404), -1 / sqrt(404). */
    assert_string_equal(recommend(&world, "", (struct ask){.seeds = &apple, .seeds_len = 1, .include_seen = true}),
                        "cheese -0.049752 bread -0.099504");
    end(&world);
    world.store->ops->close(world.store);
}

static void a_user_who_is_forgotten_is_unknown(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = parity();
    struct fr_err err;

    (void)state;
    begin(&world, &options);
    town(&world);
    end(&world);
    assert_int_equal(engine_open(&world.engine, &options, world.store, &err), FR_OK);
    apply_forget_user(world.engine, dict_find(world.engine->users, FR_BYTES("cat"), dict_hash(FR_BYTES("cat"))));
    assert_int_equal(engine_start(world.engine, &err), FR_OK);
    assert_string_equal(recommend(&world, "cat", (struct ask){0}),
                        "apple 0.000000 bread 0.000000 cheese 0.000000 fallback");
    struct reader *reader = reader_new(world.engine);
    struct neighbour_list list;
    reader_begin(reader);
    assert_int_equal(reader_similar_users(reader, FR_BYTES("bob"), 10, &list, &err), FR_OK);
    assert_int_equal(list.len, 1);
    assert_memory_equal(list.neighbours[0].id.at, "ann", 3);
    reader_end(reader);
    reader_free(reader);
    end(&world);
    world.store->ops->close(world.store);
}

/* Twenty items that zoe has nothing to do with, at score 0; her second event on what she has changes no score and no order. */
static void what_is_drawn_by_history_is_drawn_anew_when_that_is_another(void **state)
{
    enum { OTHERS = 20 };
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = parity();
    const struct ask by_draw = {.exploration = 1, .draw = 5}, by_history = {.exploration = 1, .draw = 5, .draw_by_history = true};
    struct event events[OTHERS];
    char ids[OTHERS][8], plain[4096], first[4096];

    (void)state;
    begin(&world, &options);
    for (int i = 0; i < OTHERS; i++) {
        snprintf(ids[i], sizeof(ids[i]), "n%d", i);
        events[i] = event(i, ids[i], ids[i], NOON);
    }
    give(&world, events, OTHERS);
    give(&world, (const struct event[]){event(OTHERS, "zoe", "apple", NOON)}, 1);
    await(&world, OTHERS + 1);
    strcpy(plain, recommend(&world, "zoe", by_draw));
    strcpy(first, recommend(&world, "zoe", by_history));
    assert_string_equal(recommend(&world, "zoe", by_history), first);
    give(&world, (const struct event[]){event(OTHERS + 1, "n1", "n1", NOON)}, 1); /* somebody else's */
    await(&world, OTHERS + 2);
    assert_string_equal(recommend(&world, "zoe", by_history), first);
    give(&world, (const struct event[]){event(OTHERS + 2, "zoe", "apple", NOON)}, 1);
    await(&world, OTHERS + 3);
    assert_string_equal(recommend(&world, "zoe", by_draw), plain);
    assert_string_not_equal(recommend(&world, "zoe", by_history), first);
    end(&world);
    world.store->ops->close(world.store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_item_is_first_seen_at_the_smallest_event_time),
        cmocka_unit_test(the_most_popular_item_is_found_on_any_page),
        cmocka_unit_test(similar_users_cost_no_more_than_is_allowed),
        cmocka_unit_test(normalized_scores_lie_on_the_scale_of_the_affinities),
        cmocka_unit_test(where_nothing_is_liked_scores_stay_as_they_are),
        cmocka_unit_test(affinities_are_told_as_of_the_newest_event),
        cmocka_unit_test(fallback_says_whether_a_popular_item_is_in_the_answer),
        cmocka_unit_test(a_user_who_is_forgotten_is_unknown),
        cmocka_unit_test(what_is_drawn_by_history_is_drawn_anew_when_that_is_another),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
