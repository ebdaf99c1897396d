/*
 * popular_test.c -- what most hold, what is touched lately, what came last: against a sort of all items by what GetItem tells of each; while
 * figures rise and fall, over pages, landmarks, a start from the store, and forgetting.
 */
#include "engine_world.h"

#include <math.h>

#include "freshet/trending.h"

enum { ITEMS = 14000, USERS = 300, BATCH = 500, MOST = 60, WALL = 86400000, FORGOTTEN = 5 };

static char ids[ITEMS][8], users[USERS][8];
static uint64_t dice = 42;

static uint64_t roll(uint64_t sides)
{
    dice = dice * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (dice >> 33) % sides;
}

static when_ms wall(void)
{
    return WALL;
}

static struct engine_options options_of(span_ms half_life)
{
    static struct trending_options trending;
    static struct engine_model beside;
    struct engine_options options = product();

    trending.half_life = half_life;
    beside = (struct engine_model){"trending", &trending};
    options.models = &beside;
    options.models_len = 1;
    options.items_max = ITEMS;
    options.history_max = 40; /* many leave again */
    options.clock = wall;
    return options;
}

/* ---- what is given ---- */

/* Items come in the order of their numbers, now and then; times go on by up to `step`, some behind. */
static int64_t give_events(struct world *world, int64_t at, int64_t len, int known, when_ms *now, span_ms step)
{
    for (int64_t until = at + len; at < until;) {
        struct event events[BATCH];
        size_t many = 0;
        for (; many < BATCH && at < until; many++, at++) {
            uint64_t item = roll(3) ? roll(1 + roll((uint64_t)known)) : (uint64_t)(at % known);
            *now += (when_ms)roll((uint64_t)step);
            when_ms when = roll(10) ? *now : *now - (when_ms)roll(5000);
            events[many] = event(at, users[roll(USERS)], ids[item], when);
        }
        give(world, events, many);
        await(world, at);
    }
    return at;
}

static void say(struct item_said *said)
{
    *said = (struct item_said){.hidden = roll(15) == 0};
    if (roll(3) == 0)
        item_said_category(said, FR_BYTES("odd"));
    if (roll(3) == 0)
        said->from = 40000000 + (int64_t)roll(60000000); /* some after WALL: not yet there */
}

static int64_t give_catalogue(struct world *world, int64_t at, int len)
{
    struct fr_writer out[BATCH];

    while (len) {
        struct event events[BATCH];
        size_t many = 0;
        for (; many < BATCH && len; many++, at++, len--) {
            struct item_said said;
            say(&said);
            fr_writer_init(&out[many], 0);
            catalogue_item_write(&out[many], &said);
            events[many] = (struct event){
                .kind = EVENT_ITEM, .offset = at, .logged = NOON, .item = fr_bytes_of(ids[roll(ITEMS)]), .said = fr_written(&out[many])};
        }
        give(world, events, many);
        await(world, at);
        while (many)
            fr_writer_release(&out[--many]);
    }
    return at;
}

/* ---- by hand ---- */

struct placed {
    double figure;
    struct fr_bytes id;
};

static int best_first(const void *a, const void *b)
{
    const struct placed *x = a, *y = b;

    return x->figure != y->figure ? (x->figure < y->figure ? 1 : -1) : fr_bytes_order(x->id, y->id);
}

static double figure_of(const struct item_facts *facts, enum popular_by by)
{
    if (by == POPULAR_NEWEST)
        return facts->said && facts->said->from ? (double)facts->said->from : facts->first_seen ? (double)facts->first_seen : -1;
    return !facts->users ? -1 : by == POPULAR_USERS ? (double)facts->users : facts->trending;
}

static bool lets(const struct item_facts *facts, bool no_odd)
{
    if (!facts->said)
        return true;
    return !facts->said->hidden && facts->said->from <= WALL && !(no_odd && facts->said->categories_len);
}

static size_t by_hand(struct reader *reader, enum popular_by by, bool no_odd, struct placed *places)
{
    size_t len = 0;

    for (int i = 0; i < ITEMS; i++) {
        struct item_facts facts;
        struct fr_err err;
        struct fr_bytes id = fr_bytes_of(ids[i]);
        if (reader_item(reader, id, &facts, &err) || !lets(&facts, no_odd) || (!facts.users && !facts.said))
            continue;
        places[len] = (struct placed){figure_of(&facts, by), id};
        len += places[len].figure >= 0;
    }
    qsort(places, len, sizeof(*places), best_first);
    return len;
}

/* What questions go by where a bound will do is of the same numbers. */
static void bytes_are_of_the_users(struct world *world)
{
    const _Atomic uint8_t *bytes = (const _Atomic uint8_t *)world->engine->item_bytes.base;

    for (uint32_t item = 0; item < dict_len(world->engine->items); item++)
        assert_int_equal(bytes[item], users_byte(users_of(world->engine, item)));
}

static void compare(struct world *world)
{
    static struct placed places[ITEMS];
    static const char *const names[] = {"popular", "trending", "newest"};
    const struct fr_bytes odd = FR_BYTES("odd");
    struct reader *reader = reader_new(world->engine);

    bytes_are_of_the_users(world);
    for (int which = 0; which < 2 * POPULAR_BYS; which++) {
        struct ask ask = {.k = MOST, .by = (enum popular_by)(which / 2), .none = &odd, .none_len = which % 2};
        struct recommendation_list list;
        reader_begin(reader);
        size_t len = by_hand(reader, ask.by, which % 2, places);
        reader_popular(reader, &ask, &list);
        assert_string_equal(list.model, names[ask.by]);
        assert_int_equal(list.len, len < MOST ? len : MOST);
        for (size_t i = 0; i < list.len; i++) {
            if (!fr_bytes_equal(list.items[i].item, places[i].id))
                fail_msg("%s %d: place %zu is %.*s, not %s", list.model, which % 2, i, (int)list.items[i].item.len, list.items[i].item.at,
                         places[i].id.at);
            assert_memory_equal(&list.items[i].score, &places[i].figure, sizeof(double));
            assert_string_equal(list.items[i].source, names[ask.by]);
        }
        const struct fr_bytes few[] = {fr_bytes_of(ids[3]), fr_bytes_of(ids[9000]), FR_BYTES("none")};
        ask.include = few;
        ask.include_len = 3;
        reader_popular(reader, &ask, &list);
        size_t there = 0;
        for (size_t i = 0; i < len; i++)
            if (fr_bytes_equal(places[i].id, few[0]) || fr_bytes_equal(places[i].id, few[1]))
                assert_true(there < list.len && fr_bytes_equal(list.items[there++].item, places[i].id));
        assert_int_equal(there, list.len);
        reader_end(reader);
    }
    reader_free(reader);
}

/* ---- tests ---- */

static void as_sorted(span_ms half_life, span_ms step)
{
    struct engine_options options = options_of(half_life);
    struct world world = {.store = store_memory_new(NULL)};
    when_ms now = NOON;
    int64_t at = 0;

    begin(&world, &options);
    compare(&world);
    at = give_events(&world, at, 9000, 9000, &now, step);
    compare(&world);
    end(&world);
    begin(&world, &options);
    compare(&world); /* with nothing said yet: newest by what was seen alone */
    at = give_catalogue(&world, at, 3000);
    at = give_events(&world, at, 9000, 11000, &now, step);
    compare(&world);
    for (int i = 0; i < FORGOTTEN; i++) { /* the newest and the most popular among them */
        struct event gone = {.kind = EVENT_ITEM_GONE, .offset = at++, .logged = now + 1, .item = fr_bytes_of(ids[i < 3 ? i : 8990 + i])};
        give(&world, &gone, 1);
    }
    at = give_events(&world, at, 9000, ITEMS, &now, step);
    compare(&world);
    end(&world);
    begin(&world, &options);
    compare(&world);
    at = give_catalogue(&world, at, 3000);
    give_events(&world, at, 3000, ITEMS, &now, step);
    compare(&world);
    end(&world);
    world.store->ops->close(world.store);
}

static void lists_are_as_sorted_by_hand(void **state)
{
    (void)state;
    dice = 7;
    as_sorted(DAY, 500);
}

/* Half-lives of a second: the landmark moves again and again, and what is old is 0. */
static void lists_are_right_over_landmarks(void **state)
{
    (void)state;
    dice = 8;
    as_sorted(1000, 500);
}

static void without_the_model_nothing_is_trending(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = product();
    struct recommendation_list list;
    struct item_facts facts;
    struct fr_err err;

    (void)state;
    begin(&world, &options);
    town(&world);
    struct reader *reader = reader_new(world.engine);
    reader_begin(reader);
    reader_popular(reader, &(struct ask){.k = 3, .by = POPULAR_TRENDING}, &list);
    assert_int_equal(list.len, 0);
    assert_int_equal(reader_item(reader, FR_BYTES("apple"), &facts, &err), FR_OK);
    assert_true(fpclassify(facts.trending) == FP_ZERO);
    reader_popular(reader, &(struct ask){.k = 3, .by = POPULAR_NEWEST}, &list);
    assert_string_equal(tell(&list), "apple 43200000.000000 bread 43200000.000000 cheese 43200000.000000");
    reader_end(reader);
    reader_free(reader);
    end(&world);
    world.store->ops->close(world.store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_are_as_sorted_by_hand),
        cmocka_unit_test(lists_are_right_over_landmarks),
        cmocka_unit_test(without_the_model_nothing_is_trending),
    };

    for (int i = 0; i < ITEMS; i++)
        snprintf(ids[i], sizeof(ids[i]), "i%d", i);
    for (int i = 0; i < USERS; i++)
        snprintf(users[i], sizeof(users[i]), "u%d", i);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
