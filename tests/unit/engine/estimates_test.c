/*
 * estimates_test.c -- a whole engine whose FM finds its best by bytes beside one that scans everything: the same stream, the same
 * questions. What is found, what is filtered, and that the recall which the daemon tells is there and is true.
 */
#include "blend.h"
#include "engine_world.h"
#include "freshet/fm.h"
#include "freshet/log.h"
#include "freshet/trending.h"
#include "sanitized.h"

enum { EVENTS = SANITIZED ? 10000 : 16000, USERS = 200, ITEMS = 5000, STEP = 500, K = 10 };

static const struct trending_options trending = {DAY};
static struct fm_options fm;
static const struct engine_model models[] = {{"popular", NULL}, {"trending", &trending}, {"fm", &fm}, {ENGINE_BLEND, NULL}};
static char users[USERS][8], items[ITEMS][8];
static struct event events[EVENTS];

static uint32_t draw(uint64_t *random, uint32_t below)
{
    *random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*random >> 33) % below;
}

/* Each item once, then users who mostly stay in corners of their own. */
static int make_events(void **state)
{
    uint64_t random = 5;

    (void)state;
    for (int u = 0; u < USERS; u++)
        snprintf(users[u], sizeof(users[u]), "u%d", u);
    for (int i = 0; i < ITEMS; i++)
        snprintf(items[i], sizeof(items[i]), "i%d", i);
    for (int i = 0; i < EVENTS; i++) {
        uint32_t user = draw(&random, USERS), corner = user % 20 * (ITEMS / 20);
        uint32_t item = draw(&random, 4) ? (corner + draw(&random, ITEMS / 20)) % ITEMS : draw(&random, ITEMS);
        events[i] = event(i, users[user], items[i < ITEMS ? (uint32_t)i : item], NOON + (when_ms)i * 1000);
    }
    return 0;
}

static void open_shop(struct world *world, uint32_t int8_above, uint32_t evaluate_every)
{
    struct engine_options options = product();
    uint64_t deadline = patience();

    fm = fm_defaults;
    fm.dimensions = 16;
    fm.negatives = 8;
    fm.int8_above = int8_above;
    fm.candidates = 100;
    options.models = models;
    options.models_len = sizeof(models) / sizeof(*models);
    options.history_max = 30;
    options.evaluate_every = evaluate_every;
    *world = (struct world){.store = store_memory_new(NULL)};
    begin(world, &options);
    for (int at = 0; at < EVENTS; at += STEP)
        give(world, events + at, STEP);
    await(world, EVENTS);
    checkpoint(world);
    while (models_unpublished(world->engine) && fr_mono_ns() < deadline)
        sched_yield();
    assert_false(models_unpublished(world->engine));
}

static void close_shop(struct world *world)
{
    end(world);
    world->store->ops->close(world->store);
}

/* How many of the one list are in the other. */
static size_t shared(const struct recommendation_list *a, const struct recommendation_list *b, bool scores)
{
    size_t both = 0;

    for (size_t i = 0; i < a->len; i++) {
        for (size_t j = 0; j < b->len; j++) {
            if (!fr_bytes_equal(a->items[i].item, b->items[j].item))
                continue;
            both++;
            if (scores)
                assert_true(a->items[i].score == b->items[j].score);
        }
    }
    return both;
}

static void lists_are_those_of_a_scan_of_everything(void **state)
{
    static const char *const asked[] = {"fm", ENGINE_BLEND};
    struct world exact, shop;
    size_t both[2] = {0};

    (void)state;
    open_shop(&exact, 0, 0);
    open_shop(&shop, 1000, 0);
    struct reader *its = reader_new(exact.engine), *reader = reader_new(shop.engine);
    for (int u = 0; u < USERS; u++) {
        for (int m = 0; m < 2; m++) {
            struct fr_bytes out[K];
            struct recommendation_list whole, found;
            struct ask ask = {.user = fr_bytes_of(users[u]), .k = K, .model = asked[m], .exclude = out};
            for (int round = 0; round < 2; round++) { /* the second time without those of the first */
                reader_begin(its);
                reader_begin(reader);
                reader_recommend(its, &ask, &whole);
                reader_recommend(reader, &ask, &found);
                assert_int_equal(whole.len, K);
                assert_int_equal(found.len, K);
                both[m] += shared(&whole, &found, m == 0); /* the blend's go by the set */
                for (size_t i = 0; i < K; i++)
                    for (size_t x = 0; x < ask.exclude_len; x++)
                        assert_false(fr_bytes_equal(found.items[i].item, out[x]));
                for (size_t i = 0; i < K; i++)
                    out[i] = fr_bytes_of(items[atoi(whole.items[i].item.at + 1)]);
                ask.exclude_len = K;
                reader_end(reader);
                reader_end(its);
            }
        }
    }
    print_message("fm %zu, auto %zu of %d\n", both[0], both[1], 2 * USERS * K);
    assert_true((double)both[0] >= .995 * 2 * USERS * K);
    assert_true((double)both[1] >= .99 * 2 * USERS * K);
    reader_free(its);
    reader_free(reader);
    close_shop(&exact);
    close_shop(&shop);
}

static void recall_is_counted_where_there_is_an_estimate(void **state)
{
    struct world world;

    (void)state;
    struct fr_series *expected = fr_series(FR_M_RETRIEVAL_EXPECTED, "fm", "", ""), *found = fr_series(FR_M_RETRIEVAL_FOUND, "fm", "", "");
    open_shop(&world, 0, 16);
    assert_true(fr_series_value(expected) == 0);
    close_shop(&world);
    open_shop(&world, 1000, 16);
    print_message("%.0f of %.0f\n", fr_series_value(found), fr_series_value(expected));
    assert_true(fr_series_value(expected) > 100);
    assert_true(fr_series_value(found) <= fr_series_value(expected));
    assert_true(fr_series_value(found) >= .99 * fr_series_value(expected));
    close_shop(&world);
}

/* ---- while it learns ---- */

struct asking {
    struct world *world;
    _Atomic bool stop;
    _Atomic size_t asked;
};

static void ask_everybody(void *arg)
{
    struct asking *asking = arg;
    struct reader *reader = reader_new(asking->world->engine);
    struct recommendation_list list;

    while (!atomic_load(&asking->stop)) {
        size_t asked = atomic_fetch_add(&asking->asked, 1);
        struct ask ask = {.user = fr_bytes_of(users[asked % USERS]), .k = K, .model = asked % 2 ? "fm" : ENGINE_BLEND};
        reader_begin(reader);
        reader_recommend(reader, &ask, &list);
        for (size_t i = 1; i < list.len; i++)
            assert_true(list.items[i].score <= list.items[i - 1].score || strcmp(list.items[i].source, "popular") == 0);
        reader_end(reader);
    }
    reader_free(reader);
}

/* For ThreadSanitizer above all: the catalogue becomes large, and codes are made anew, beside somebody who asks. */
static void it_answers_while_it_learns(void **state)
{
    struct engine_options options = product();
    struct world world = {.store = store_memory_new(NULL)};
    struct asking asking = {.world = &world};

    (void)state;
    fm = fm_defaults;
    fm.dimensions = 16;
    fm.negatives = 8;
    fm.int8_above = 2500;
    fm.candidates = 100;
    options.models = models;
    options.models_len = sizeof(models) / sizeof(*models);
    options.evaluate_every = 50;
    begin(&world, &options);
    struct fr_thread *thread = fr_thread_start("asking", ask_everybody, &asking);
    for (int at = 0; at < EVENTS; at += STEP)
        give(&world, events + at, STEP);
    await(&world, EVENTS);
    atomic_store(&asking.stop, true);
    fr_thread_join(thread);
    assert_true(atomic_load(&asking.asked) > 0);
    close_shop(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_are_those_of_a_scan_of_everything),
        cmocka_unit_test(recall_is_counted_where_there_is_an_estimate),
        cmocka_unit_test(it_answers_while_it_learns),
    };

    fr_log_setup(FR_ERROR, FR_LOG_TEXT);
    return cmocka_run_group_tests(tests, make_events, NULL);
}
