/*
 * recall_test.c -- a model that counts what is held, in a store that has learned without it.
 */
#include <math.h>

#include "engine_world.h"
#include "freshet/trending.h"

static struct event gone(int64_t offset, const char *user)
{
    return (struct event){.kind = EVENT_USER_GONE, .offset = offset, .logged = NOON, .user = fr_bytes_of(user), .when = NOON};
}

static double trending_of(struct engine *engine, const char *item)
{
    const struct fr_bytes only = fr_bytes_of(item);
    struct reader *reader = reader_new(engine);
    struct recommendation_list list;

    reader_begin(reader);
    reader_recommend(reader, &(struct ask){.user = FR_BYTES("ann"), .k = 1, .model = "trending", .include = &only, .include_len = 1,
                                           .include_seen = true}, &list);
    double score = list.len ? list.items[0].score : -1;
    reader_end(reader);
    reader_free(reader);
    return score;
}

/* It runs, does not run while bob comes back to apple and ann leaves bread for dates, and runs again. */
static void what_a_model_has_missed_comes_from_the_histories(void **state)
{
    static const struct trending_options trending = {DAY};
    static const struct engine_model beside[] = {{"trending", &trending}};
    struct engine_options options = product();
    struct world world = {.store = store_memory_new(NULL)};

    (void)state;
    options.history_max = 2;
    for (int life = 0; life < 3; life++) {
        options.models = beside;
        options.models_len = life == 1 ? 0 : 1;
        begin(&world, &options);
        if (life == 0)
            town(&world);
        const struct event more[] = {event(6, "bob", "apple", NOON + DAY), event(7, "ann", "dates", NOON + DAY)};
        if (life == 1) {
            give(&world, more, 2);
            await(&world, 8);
        }
        if (life == 2) {
            assert_true(fabs(trending_of(world.engine, "apple") - 1) < 1e-12); /* bob's; ann's has left her two newest */
            assert_true(fabs(trending_of(world.engine, "bread") - 0.5) < 1e-12);
            assert_true(fabs(trending_of(world.engine, "dates") - 1) < 1e-12);
        }
        end(&world);
    }
    world.store->ops->close(world.store);
}

/* It runs, does not run while two of three are forgotten and nothing is learned, and runs again. */
static void whom_a_store_forgot_without_it_counts_no_more(void **state)
{
    static const struct trending_options trending = {DAY};
    static const struct engine_model beside[] = {{"trending", &trending}};
    struct engine_options options = product();
    struct world world = {.store = store_memory_new(NULL)};
    const struct event two[] = {gone(6, "bob"), gone(7, "cat")};

    (void)state;
    options.models = beside;
    for (int life = 0; life < 4; life++) {
        options.models_len = life == 1 ? 0 : 1;
        begin(&world, &options);
        if (life == 0)
            town(&world);
        if (life == 1) {
            give(&world, two, 2);
            await(&world, 8);
        }
        assert_true(life == 1 || trending_of(world.engine, "apple") == (life == 0 ? 2 : 1));
        assert_true(life == 1 || (life == 0 ? trending_of(world.engine, "cheese") == 2 : trending_of(world.engine, "cheese") <= 0));
        end(&world);
    }
    world.store->ops->close(world.store);
}

/* Events were applied, whoever they were of is forgotten, and only then it runs: it has met no event, and says so in the store. */
static void a_store_in_which_nothing_is_held_any_more_can_be_opened(void **state)
{
    static const struct trending_options trending = {DAY};
    static const struct engine_model beside[] = {{"trending", &trending}};
    struct engine_options options = product();
    struct world world = {.store = store_memory_new(NULL)};
    const struct event all[] = {gone(6, "ann"), gone(7, "bob"), gone(8, "cat")}, nobody[] = {gone(9, "dan")};
    const struct event next[] = {event(10, "eve", "apple", NOON)};

    (void)state;
    options.models = beside;
    for (int life = 0; life < 3; life++) {
        options.models_len = life == 0 ? 0 : 1;
        begin(&world, &options);
        if (life == 0) {
            town(&world);
            give(&world, all, 3);
            await(&world, 9);
        }
        if (life == 1) {
            give(&world, nobody, 1);
            await(&world, 10);
        }
        if (life == 2) {
            give(&world, next, 1);
            await(&world, 11);
            assert_true(fabs(trending_of(world.engine, "apple") - 1) < 1e-12);
        }
        end(&world);
    }
    world.store->ops->close(world.store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_model_has_missed_comes_from_the_histories),
        cmocka_unit_test(whom_a_store_forgot_without_it_counts_no_more),
        cmocka_unit_test(a_store_in_which_nothing_is_held_any_more_can_be_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
