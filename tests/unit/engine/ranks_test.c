/*
 * ranks_test.c -- a rank is the place in the whole list: worked by hand in the small town, and against the lists themselves.
 */
#include "engine_world.h"
#include "freshet/trending.h"

static void ranks(struct world *world, struct ask ask, const char *user, const char *const *items, size_t len, struct rank *ret)
{
    struct reader *reader = reader_new(world->engine);
    struct fr_bytes ids[8];

    for (size_t i = 0; i < len; i++)
        ids[i] = fr_bytes_of(items[i]);
    ask.user = fr_bytes_of(user);
    reader_begin(reader);
    reader_ranks(reader, &ask, ids, len, ret);
    reader_end(reader);
    reader_free(reader);
}

static void by_hand(void **state)
{
    const struct engine_model popular = {.name = "popular"};
    struct engine_options options = product();
    struct world world = {.store = store_memory_new(NULL)};
    struct rank found[4];

    (void)state;
    options.models = &popular;
    options.models_len = 1;
    begin(&world, &options);
    town(&world);
    /* dora is new: popularity. apple 2, bread 2, cheese 2 users; then one more holds cheese. */
    ranks(&world, (struct ask){0}, "dora", (const char *const[]){"apple", "nothing"}, 2, found);
    assert_true(found[0].listed);
    assert_int_equal(found[0].before, 0);
    assert_int_equal(found[0].beside, 2);
    assert_int_equal(found[0].candidates, 3);
    assert_int_equal(found[0].users, 2);
    assert_int_equal(found[0].above, 0);
    assert_int_equal(found[0].held, 3);
    assert_false(found[1].listed);
    const struct event more[] = {event(6, "eve", "cheese", NOON)};
    give(&world, more, 1);
    await(&world, 7);
    ranks(&world, (struct ask){0}, "dora", (const char *const[]){"apple", "cheese"}, 2, found);
    assert_int_equal(found[0].before, 1);
    assert_int_equal(found[0].beside, 1);
    assert_int_equal(found[0].above, 1);
    assert_int_equal(found[1].before, 0);
    /* ann has all but cheese: it is the only candidate, and what she has is none. */
    ranks(&world, (struct ask){0}, "ann", (const char *const[]){"cheese", "apple"}, 2, found);
    assert_int_equal(found[0].candidates, 1);
    assert_int_equal(found[0].before, 0);
    assert_false(found[1].listed);
    /* cat has cheese, which bob has with apple and bread, equally far in all but order. */
    ranks(&world, (struct ask){.model = "popular"}, "cat", (const char *const[]){"bread"}, 1, found);
    assert_int_equal(found[0].beside, 1);
    /* cat's own cheese, which most hold, is no candidate, but is above and held. */
    assert_int_equal(found[0].candidates, 2);
    assert_int_equal(found[0].above, 1);
    assert_int_equal(found[0].held, 3);
    /* Only among these. */
    ranks(&world, (struct ask){.include = (struct fr_bytes[]){FR_BYTES("bread")}, .include_len = 1}, "cat",
          (const char *const[]){"bread", "apple"}, 2, found);
    assert_int_equal(found[0].candidates, 1);
    assert_false(found[1].listed);
    end(&world);
    world.store->ops->close(world.store);
}

/* Users and items at random; the rank of each listed item is where the list has it, equal scores aside. */
static void as_in_the_list(struct engine_options options, const char *model)
{
    enum { USERS = 30, ITEMS = 40, EVENTS = 300 };
    struct world world = {.store = store_memory_new(NULL)};
    struct event events[EVENTS];
    static char users[USERS][8], items[ITEMS][8];
    uint32_t random = 7;
    size_t seen_evidence = 0;

    const struct trending_options trending = {.half_life = DAY};
    const struct engine_model beside[] = {{.name = "popular"}, {.name = "trending", .options = &trending}, {.name = "auto"}};
    options.models = beside;
    options.models_len = 3;
    begin(&world, &options);
    for (int i = 0; i < USERS; i++)
        snprintf(users[i], sizeof(users[i]), "u%d", i);
    for (int i = 0; i < ITEMS; i++)
        snprintf(items[i], sizeof(items[i]), "i%d", i);
    for (int i = 0; i < EVENTS; i++) {
        random = random * 1103515245 + 12345;
        int item = (int)((random >> 16) % ITEMS * ((random >> 8) % ITEMS) / ITEMS);
        events[i] = event(i, users[(random >> 20) % (USERS - 1)], items[item], NOON + i);
    }
    give(&world, events, EVENTS);
    await(&world, EVENTS);
    struct reader *reader = reader_new(world.engine);
    for (int u = 0; u < USERS; u++) { /* the last is unknown */
        struct ask ask = {.user = fr_bytes_of(users[u]), .k = ITEMS, .model = model};
        struct recommendation_list list;
        struct rank rank;
        reader_begin(reader);
        reader_recommend(reader, &ask, &list);
        for (size_t i = 0; i < list.len; i++) {
            reader_ranks(reader, &ask, &list.items[i].item, 1, &rank);
            assert_true(rank.listed);
            assert_int_equal(rank.candidates, list.len);
            assert_true(rank.score == list.items[i].score || (rank.scored && list.items[i].score == 0));
            assert_in_range(i, rank.before, rank.before + rank.beside);
            assert_int_equal(i, rank.before + rank.ahead);
            seen_evidence += list.items[i].score != 0;
            for (size_t j = 0; j < list.len && list.items[i].score != 0; j++)
                assert_int_equal(j < rank.before, list.items[j].score > list.items[i].score);
        }
        reader_end(reader);
    }
    assert_true(seen_evidence > 100);
    reader_free(reader);
    end(&world);
    world.store->ops->close(world.store);
}

static void product_as_in_the_list(void **state)
{
    (void)state;
    as_in_the_list(product(), "sar");
    as_in_the_list(product(), "popular");
    as_in_the_list(product(), "trending");
    as_in_the_list(product(), "auto");
}

static void parity_as_in_the_list(void **state)
{
    (void)state;
    as_in_the_list(parity(), "sar");
    as_in_the_list(parity(), "auto");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_hand),
        cmocka_unit_test(product_as_in_the_list),
        cmocka_unit_test(parity_as_in_the_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
