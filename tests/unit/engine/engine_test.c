/*
 * engine_test.c -- the whole engine on a store in memory: events in, answers out, restarts and power cuts between.
 *
 *              apple  bread  cheese
 *       ann      x      x
 *       bob      x      x      x        each x: one event of weight 1, at noon
 *       cat                    x
 *
 * Jaccard: apple and cheese share bob, so 1 / (2 + 2 - 1) = 1/3; bread and cheese too; apple and bread 2/2 = 1.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine_world.h"

static void an_unseen_item_scores_the_sum_of_its_likeness_to_what_was_seen(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = parity();

    (void)state;
    begin(&world, &options);
    town(&world);
    assert_string_equal(recommend(&world, "ann", (struct ask){0}), "cheese 0.666667");
    assert_string_equal(recommend(&world, "cat", (struct ask){0}), "apple 0.333333 bread 0.333333");
    assert_string_equal(recommend(&world, "cat", (struct ask){.k = 1}), "apple 0.333333");
    assert_string_equal(recommend(&world, "bob", (struct ask){0}), "");
    end(&world);
    world.store->ops->close(world.store);
}

static void seen_items_score_themselves_when_they_are_wanted(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = parity();

    (void)state;
    begin(&world, &options);
    town(&world);
    assert_string_equal(recommend(&world, "cat", (struct ask){.include_seen = true}),
                        "cheese 1.000000 apple 0.333333 bread 0.333333");
    struct fr_bytes only = FR_BYTES("bread");
    assert_string_equal(recommend(&world, "cat", (struct ask){.include = &only, .include_len = 1}), "bread 0.333333");
    assert_string_equal(recommend(&world, "cat", (struct ask){.exclude = &only, .exclude_len = 1}), "apple 0.333333");
    end(&world);
    world.store->ops->close(world.store);
}

static void somebody_unknown_gets_popular_items_and_is_told_so(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = parity();

    (void)state;
    begin(&world, &options);
    town(&world);
    assert_string_equal(recommend(&world, "dan", (struct ask){0}),
                        "apple 0.000000 bread 0.000000 cheese 0.000000 fallback");
    struct ask_seed seed = {.item = FR_BYTES("apple")};
    assert_string_equal(recommend(&world, "dan", (struct ask){.seeds = &seed, .seeds_len = 1}),
                        "bread 1.000000 cheese 0.333333");
    end(&world);
    world.store->ops->close(world.store);
}

static void product_fills_up_with_popular_items_behind_its_own(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = product();
    const struct event more[] = {event(6, "eve", "dill", NOON), event(7, "fay", "dill", NOON)};

    (void)state;
    begin(&world, &options);
    town(&world);
    give(&world, more, 2);
    await(&world, 8);
    /* cat holds cheese; with apple and bread c = 1, n = 2 and 2: 1 / sqrt(4 + 400) = 0.049752 */
    assert_string_equal(recommend(&world, "cat", (struct ask){0}),
                        "apple 0.049752 bread 0.049752 dill 0.000000 fallback");
    end(&world);
    world.store->ops->close(world.store);
}

static void similar_users_are_those_with_the_largest_dot_product(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = parity();
    struct neighbour_list list;
    struct fr_err err;

    (void)state;
    begin(&world, &options);
    town(&world);
    struct reader *reader = reader_new(world.engine);
    reader_begin(reader);
    assert_int_equal(reader_similar_users(reader, FR_BYTES("ann"), 10, &list, &err), FR_OK);
    assert_int_equal(list.len, 1);
    assert_memory_equal(list.neighbours[0].id.at, "bob", 3);
    assert_true(list.neighbours[0].similarity == 2);
    assert_int_equal(reader_similar_users(reader, FR_BYTES("zoe"), 10, &list, &err), FR_NOT_FOUND);
    reader_end(reader);
    reader_free(reader);
    end(&world);
    world.store->ops->close(world.store);
}

static void a_restart_remembers_everything(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = parity();

    (void)state;
    begin(&world, &options);
    assert_int_equal(world.next, -1);
    town(&world);
    end(&world);
    begin(&world, &options);
    assert_int_equal(world.next, 6);
    assert_string_equal(recommend(&world, "ann", (struct ask){0}), "cheese 0.666667");
    /* What was applied before is not applied again. */
    const struct event again = event(5, "cat", "cheese", NOON), after = event(6, "cat", "bread", NOON);
    give(&world, (const struct event[]){again, after}, 2);
    await(&world, 7);
    /* bread is now held by 3; cheese and bread share bob and cat: 2 / (2 + 3 - 2) = 2/3 */
    assert_string_equal(recommend(&world, "ann", (struct ask){0}), "cheese 1.000000");
    end(&world);
    world.store->ops->close(world.store);
}

static void a_power_cut_leaves_what_was_synced(void **state)
{
    struct world world = {.store = store_memory_new(NULL)}, after = {0};
    struct engine_options options = parity();

    (void)state;
    begin(&world, &options);
    town(&world);
    checkpoint(&world);
    after.store = store_memory_after_power_cut(world.store);
    begin(&after, &options);
    assert_int_equal(after.next, 6);
    assert_string_equal(recommend(&after, "ann", (struct ask){0}), "cheese 0.666667");
    end(&after);
    after.store->ops->close(after.store);
    end(&world);
    world.store->ops->close(world.store);
}

static void a_store_of_another_shape_is_refused_by_name(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = parity();
    struct engine *engine;
    struct fr_err err;

    (void)state;
    begin(&world, &options);
    end(&world);
    options.shape = "sar.half_life_days=7\nsar.mode=parity\n";
    assert_int_equal(engine_open(&engine, &options, world.store, &err), FR_CONFIG);
    assert_non_null(strstr(err.text, "'sar.half_life_days=1'"));
    assert_non_null(strstr(err.text, "'sar.half_life_days=7'"));
    world.store->ops->close(world.store);
}

static void assert_refused(struct world *world, const struct engine_options *options, const char *why)
{
    struct engine *engine;
    struct fr_err err;

    assert_int_equal(engine_open(&engine, options, world->store, &err), FR_CONFIG);
    assert_non_null(strstr(err.text, why));
}

static void a_store_that_holds_more_than_is_allowed_now_is_refused_by_number_and_not_damaged(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = product(), fewer_users = product(), fewer_items = product();

    (void)state;
    fewer_users.users_max = 2;
    fewer_items.items_max = 2;
    begin(&world, &options);
    town(&world);
    end(&world);
    assert_refused(&world, &fewer_users, "the store holds 3 users, forgotten ones included, and engine.users_max is 2");
    assert_refused(&world, &fewer_items, "the store holds 3 items, forgotten ones included, and engine.items_max is 2");
    fewer_users.users_max = fewer_users.items_max = 3; /* just enough */
    begin(&world, &fewer_users);
    assert_string_equal(recommend(&world, "cat", (struct ask){0}), "apple 0.049752 bread 0.049752");
    end(&world);
    world.store->ops->close(world.store);
}

static void a_repeated_event_id_is_dropped(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = parity();
    struct event first = event(0, "ann", "apple", NOON), repeat = event(1, "ann", "apple", NOON);
    struct user_facts facts;

    (void)state;
    first.repeat_high = repeat.repeat_high = 42;
    begin(&world, &options);
    give(&world, (const struct event[]){first, repeat, event(2, "ann", "bread", NOON)}, 3);
    await(&world, 3);
    struct reader *reader = reader_new(world.engine);
    reader_begin(reader);
    assert_int_equal(reader_user(reader, FR_BYTES("ann"), &facts, NULL), FR_OK);
    assert_int_equal(facts.events, 2);
    assert_true(facts.affinities[0].affinity == 1);
    reader_end(reader);
    reader_free(reader);
    end(&world);
    world.store->ops->close(world.store);
}

/* Seconds; with their number, which is there if they are. */
static double letters_wait(struct world *world)
{
    struct engine_status *status = fr_alloc(sizeof(*status));

    engine_status(world->engine, status);
    double seconds = status->letters_seconds;
    assert_int_equal(status->letters, seconds > 0);
    free(status);
    return seconds;
}

static void a_dead_letter_leaves_once_it_is_synced_and_not_before_it_is_acknowledged(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = parity();
    const struct reject reject = {.key = FR_BYTES("k"),
                                  .has_key = true,
                                  .value = FR_BYTES("junk"),
                                  .has_value = true,
                                  .logged = 1000 * NOON, /* in microseconds: no time of ours, but the record's */
                                  .reason = "undecodable",
                                  .message = FR_BYTES("no event")};
    const struct event bad = {.kind = EVENT_REJECT, .offset = 0, .logged = -1, .reject = &reject};
    const struct dead_letter *letter;

    (void)state;
    begin(&world, &options);
    give(&world, &bad, 1);
    letter = engine_outbox_take(world.engine, PATIENCE_MS);
    assert_non_null(letter);
    assert_memory_equal(letter->value.at, "junk", 4);
    assert_int_equal(letter->offset, 0);
    assert_int_equal(letter->logged, 1000 * NOON);
    end(&world); /* taken, not acknowledged: it must come again */
    begin(&world, &options);
    assert_int_equal(world.next, 1);
    letter = engine_outbox_take(world.engine, PATIENCE_MS);
    assert_non_null(letter);
    assert_memory_equal(letter->reason.at, "undecodable", 11);
    assert_int_equal(letter->logged, 1000 * NOON);
    assert_true(letters_wait(&world) > 0); /* taken is not delivered */
    engine_outbox_done(world.engine, letter->id);
    assert_true(letters_wait(&world) == 0);
    end(&world);
    begin(&world, &options);
    assert_null(engine_outbox_take(world.engine, 0));
    end(&world);
    world.store->ops->close(world.store);
}

static void an_item_too_many_becomes_a_dead_letter(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = parity();
    const struct dead_letter *letter;

    (void)state;
    options.items_max = 1;
    begin(&world, &options);
    give(&world, (const struct event[]){event(0, "ann", "apple", NOON), event(1, "ann", "bread", NOON)}, 2);
    letter = engine_outbox_take(world.engine, PATIENCE_MS);
    assert_non_null(letter);
    assert_memory_equal(letter->reason.at, "capacity", 8);
    assert_int_equal(letter->logged, NOON);
    assert_int_equal(letter->offset, 1);
    engine_outbox_again(world.engine, letter->id);
    end(&world);
    world.store->ops->close(world.store);
}

static void forgetting_is_as_if_it_had_never_been(void **state)
{
    struct world world = {.store = store_memory_new(NULL)}, never = {.store = store_memory_new(NULL)};
    struct engine_options options = parity();
    struct fr_err err;

    (void)state;
    begin(&world, &options);
    town(&world);
    end(&world);
    /* By hand, while no thread runs: bob is forgotten, and ann's bread. */
    assert_int_equal(engine_open(&world.engine, &options, world.store, &err), FR_OK);
    apply_forget_user(world.engine, dict_find(world.engine->users, FR_BYTES("bob"), dict_hash(FR_BYTES("bob"))));
    apply_forget_event(world.engine, dict_find(world.engine->users, FR_BYTES("ann"), dict_hash(FR_BYTES("ann"))),
                       dict_find(world.engine->items, FR_BYTES("bread"), dict_hash(FR_BYTES("bread"))), NOON, 1);
    assert_int_equal(engine_start(world.engine, &err), FR_OK);
    end(&world);
    begin(&world, &options); /* also what the store says */
    begin(&never, &options);
    give(&never, (const struct event[]){event(0, "ann", "apple", NOON), event(1, "cat", "cheese", NOON)}, 2);
    await(&never, 2);
    assert_string_equal(recommend(&world, "ann", (struct ask){.include_seen = true}), "apple 1.000000 cheese 0.000000");
    assert_string_equal(recommend(&never, "ann", (struct ask){.include_seen = true}), "apple 1.000000 cheese 0.000000");
    end(&world);
    end(&never);
    world.store->ops->close(world.store);
    never.store->ops->close(never.store);
}

/* ---- random streams: restarted at random places, or not at all, it is the same engine ---- */

static uint64_t random_next(uint64_t *seed)
{
    *seed += 0x9E3779B97F4A7C15ULL; /* splitmix64 */
    uint64_t z = *seed;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
}

enum { STREAM = 600, PEOPLE = 12, THINGS = 30 };
static char people[PEOPLE][4], things[THINGS][4];

static void stream_make(struct event *events, uint64_t seed)
{
    for (int i = 0; i < PEOPLE; i++)
        snprintf(people[i], sizeof(people[i]), "u%d", i);
    for (int i = 0; i < THINGS; i++)
        snprintf(things[i], sizeof(things[i]), "i%d", i);
    for (int64_t i = 0; i < STREAM; i++) {
        events[i] = event(i, people[random_next(&seed) % PEOPLE], things[random_next(&seed) % THINGS],
                          NOON + (when_ms)(random_next(&seed) % (uint64_t)(5 * DAY)));
        events[i].weight = (double)(random_next(&seed) % 9) - 2;
        if (random_next(&seed) % 4 == 0)
            events[i].repeat_high = 1 + random_next(&seed) % 20;
    }
}

static void same_answers(struct world *a, struct world *b)
{
    char first[4096];

    for (int u = 0; u < PEOPLE; u++) {
        snprintf(first, sizeof(first), "%s", recommend(a, people[u], (struct ask){.k = THINGS, .include_seen = true}));
        assert_string_equal(first, recommend(b, people[u], (struct ask){.k = THINGS, .include_seen = true}));
    }
}

static void restarts_anywhere(const struct engine_options *options, uint64_t seed)
{
    struct world steady = {.store = store_memory_new(NULL)}, shaken = {.store = store_memory_new(NULL)};
    struct event *events = calloc(STREAM, sizeof(*events));

    stream_make(events, seed);
    begin(&steady, options);
    give(&steady, events, STREAM);
    await(&steady, STREAM);
    begin(&shaken, options);
    for (int64_t at = 0; at < STREAM;) {
        int64_t len = 1 + (int64_t)(random_next(&seed) % 150);
        len = at + len > STREAM ? STREAM - at : len;
        give(&shaken, events + at, (size_t)len);
        at += len;
        await(&shaken, at);
        if (random_next(&seed) % 2) {
            end(&shaken);
            begin(&shaken, options);
            assert_int_equal(shaken.next, at);
        }
    }
    same_answers(&steady, &shaken);
    end(&steady);
    end(&shaken);
    steady.store->ops->close(steady.store);
    shaken.store->ops->close(shaken.store);
    free(events);
}

/* Of each batch the record that took longest is shown with how long it took. */
static void the_slowest_record_of_a_batch_is_an_exemplar(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = parity();
    struct fr_series *visible = FR_SERIES(FR_M_EVENT_TO_VISIBLE);
    struct fr_writer text;
    double before = fr_series_value(visible);
    when_ms now = fr_wall_ms();
    struct event events[] = {event(0, "ann", "apple", NOON), event(1, "ann", "bread", NOON), event(2, "bob", "apple", NOON),
                             event(3, "bob", "bread", NOON)};
    static const when_ms ago[] = {2000, 40000, 8000};

    (void)state;
    for (size_t i = 0; i < 3; i++)
        events[i].logged = now - ago[i];
    events[3].logged = -1; /* a record without a time */
    begin(&world, &options);
    give(&world, events, 4);
    await(&world, 4);
    checkpoint(&world); /* an observation is counted before its exemplar is there: the engine is done with both */
    assert_true(fr_series_value(visible) == before + 3);
    fr_writer_init(&text, 0);
    fr_metric_write(&text, true);
    fr_put_u8(&text, 0);
    char *bucket = strstr(text.at, "\nfreshet_event_to_visible_seconds_bucket{le=\"60.0\"} ");
    assert_non_null(bucket);
    *strchr(bucket + 1, '\n') = 0; /* what is slower is other tests' */
    assert_non_null(strstr(bucket, " # {topic=\"events\",partition=\"0\",offset=\"1\"} 4"));
    assert_null(strstr(text.at, "offset=\"0\"}"));
    assert_null(strstr(text.at, "offset=\"2\"}"));
    fr_writer_release(&text);
    end(&world);
    world.store->ops->close(world.store);
}

static void restarts_change_nothing(void **state)
{
    struct engine_options exact = parity(), fast = product(), normal = parity();

    (void)state;
    normal.normalize = true;
    normal.shape = "sar.normalize=yes\n";
    for (uint64_t seed = 1; seed <= 12; seed++) {
        restarts_anywhere(&exact, seed);
        restarts_anywhere(&fast, seed);
        restarts_anywhere(&normal, seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unseen_item_scores_the_sum_of_its_likeness_to_what_was_seen),
        cmocka_unit_test(seen_items_score_themselves_when_they_are_wanted),
        cmocka_unit_test(somebody_unknown_gets_popular_items_and_is_told_so),
        cmocka_unit_test(product_fills_up_with_popular_items_behind_its_own),
        cmocka_unit_test(similar_users_are_those_with_the_largest_dot_product),
        cmocka_unit_test(a_restart_remembers_everything),
        cmocka_unit_test(a_power_cut_leaves_what_was_synced),
        cmocka_unit_test(a_store_of_another_shape_is_refused_by_name),
        cmocka_unit_test(a_store_that_holds_more_than_is_allowed_now_is_refused_by_number_and_not_damaged),
        cmocka_unit_test(a_repeated_event_id_is_dropped),
        cmocka_unit_test(a_dead_letter_leaves_once_it_is_synced_and_not_before_it_is_acknowledged),
        cmocka_unit_test(an_item_too_many_becomes_a_dead_letter),
        cmocka_unit_test(forgetting_is_as_if_it_had_never_been),
        cmocka_unit_test(the_slowest_record_of_a_batch_is_an_exemplar),
        cmocka_unit_test(restarts_change_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
