/*
 * new_items_test.c -- items of the catalogue that nobody has had: who lists them, what keeps them out, and that a restart changes no bit.
 */
#include <math.h>

#include "engine_world.h"
#include "freshet/fm.h"
#include "freshet/trending.h"

enum { USERS = 10, ITEMS = 60, EVENTS = 900 };

static struct fm_options fm;
static const struct trending_options trending = {DAY};
static const struct engine_model models[] = {{"popular", NULL}, {"trending", &trending}, {"fm", &fm}, {ENGINE_BLEND, NULL}};
static char users[USERS][8], items[ITEMS][8];
static when_ms now_ms = 1000;

static when_ms clock_now(void)
{
    return now_ms;
}

static struct engine_options shop_options(void)
{
    struct engine_options options = product();

    fm = fm_defaults;
    fm.dimensions = 16;
    fm.negatives = 8;
    options.models = models;
    options.models_len = sizeof(models) / sizeof(*models);
    options.history_max = 30;
    options.clock = clock_now;
    options.publish_at_once = true;
    options.evaluate_every = 1;
    return options;
}

static void say(struct world *world, const char *id, const char *taste, const struct item_said *more)
{
    struct item_said item = *more;
    struct fr_writer out;

    if (taste)
        features_said_add(&item.features, FR_BYTES("taste"), fr_bytes_of(taste));
    fr_writer_init(&out, 0);
    catalogue_item_write(&out, &item);
    const struct event record = {
        .kind = EVENT_ITEM, .offset = world->next, .logged = NOON, .item = fr_bytes_of(id), .said = fr_written(&out)};
    give(world, &record, 1);
    await(world, ++world->next);
    fr_writer_release(&out);
}

static void open_shop(struct world *world, const struct engine_options *options)
{
    struct event events[EVENTS];
    uint64_t random = 7;

    *world = (struct world){.store = store_memory_new(NULL)};
    begin(world, options);
    world->next = 0;
    for (int u = 0; u < USERS; u++)
        snprintf(users[u], sizeof(users[u]), "u%d", u);
    for (int i = 0; i < ITEMS; i++) {
        snprintf(items[i], sizeof(items[i]), "i%d", i);
        say(world, items[i], i % 2 ? "sour" : "sweet", &(struct item_said){0});
    }
    for (int i = 0; i < EVENTS; i++) {
        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        uint32_t user = (uint32_t)(random >> 33) % USERS, item = (uint32_t)(random >> 40) % (ITEMS / 2) * 2 + user % 2;
        events[i] = event(world->next++, users[user], items[item], NOON + i * 1000);
    }
    give(world, events, EVENTS);
    await(world, world->next);
}

static void close_shop(struct world *world)
{
    end(world);
    world->store->ops->close(world->store);
}

/* The item's score in a list of all; NAN if it is not there. */
static double listed(struct world *world, const char *user, const char *item, const char *model)
{
    const struct ask ask = {.user = fr_bytes_of(user), .k = 1000, .model = model};
    struct reader *reader = reader_new(world->engine);
    struct recommendation_list list;
    double score = NAN;

    reader_begin(reader);
    reader_recommend(reader, &ask, &list);
    for (size_t i = 0; i < list.len; i++)
        if (fr_bytes_equal(list.items[i].item, fr_bytes_of(item)))
            score = list.items[i].score;
    reader_end(reader);
    reader_free(reader);
    return score;
}

static struct rank rank_of(struct world *world, const char *user, const char *item, const char *model)
{
    const struct ask ask = {.user = fr_bytes_of(user), .model = model};
    const struct fr_bytes id = fr_bytes_of(item);
    struct reader *reader = reader_new(world->engine);
    struct rank rank;

    reader_begin(reader);
    reader_ranks(reader, &ask, &id, 1, &rank);
    reader_end(reader);
    reader_free(reader);
    return rank;
}

static void who_knows_it_lists_it(void **state)
{
    const struct engine_options options = shop_options();
    struct world world;

    (void)state;
    open_shop(&world, &options);
    assert_true(isnan(listed(&world, "u0", "new", "fm")));
    say(&world, "new", "sweet", &(struct item_said){0});
    say(&world, "other", "sour", &(struct item_said){0});
    say(&world, "plain", NULL, &(struct item_said){0});
    assert_true(listed(&world, "u0", "new", "fm") > listed(&world, "u0", "other", "fm"));
    assert_true(listed(&world, "u1", "new", "fm") < listed(&world, "u1", "other", "fm"));
    assert_true(isnan(listed(&world, "u0", "plain", "fm")));
    assert_false(isnan(listed(&world, "u0", "new", ENGINE_BLEND)));
    static const char *const others[] = {"sar", "popular", "trending"};
    for (size_t m = 0; m < 3; m++) {
        assert_true(isnan(listed(&world, "u0", "new", others[m])));
        assert_false(rank_of(&world, "u0", "new", others[m]).listed);
    }
    struct rank rank = rank_of(&world, "u0", "new", "fm");
    assert_true(rank.listed && rank.scored && rank.users == 0 && rank.candidates <= ITEMS);
    assert_true(rank.score == listed(&world, "u0", "new", "fm"));
    struct fr_bytes taste = FR_BYTES("new");
    const struct ask one = {.include = &taste, .include_len = 1, .model = "fm"};
    assert_memory_equal(recommend(&world, "u0", one), "new ", 4); /* asked for by name */
    close_shop(&world);
}

static size_t bytes_of_fm(const struct world *world)
{
    const struct learner *learner = models_find(world->engine, "fm");
    struct model_stats stats;

    learner->ops->stats(learner->model, &stats);
    return stats.bytes;
}

static void what_keeps_others_out_keeps_it_out(void **state)
{
    const struct engine_options options = shop_options();
    struct world world;

    (void)state;
    open_shop(&world, &options);
    say(&world, "new", "sweet", &(struct item_said){.owner = FR_BYTES("u0")});
    assert_true(isnan(listed(&world, "u0", "new", "fm")));
    assert_false(isnan(listed(&world, "u2", "new", "fm")));
    say(&world, "new", "sweet", &(struct item_said){.hidden = true});
    assert_true(isnan(listed(&world, "u2", "new", "fm")));
    say(&world, "new", "sweet", &(struct item_said){.from = 5000});
    assert_true(isnan(listed(&world, "u2", "new", "fm")));
    now_ms = 6000;
    assert_false(isnan(listed(&world, "u2", "new", "fm")));
    now_ms = 1000;
    const struct event gone = {.kind = EVENT_ITEM_GONE, .offset = world.next, .logged = NOON + 1, .item = FR_BYTES("new")};
    size_t bytes = bytes_of_fm(&world);
    give(&world, &gone, 1);
    await(&world, ++world.next);
    assert_true(bytes_of_fm(&world) < bytes); /* what was said is kept for nobody */
    assert_true(isnan(listed(&world, "u2", "new", "fm")));
    close_shop(&world);
}

/* A category is a feature too; and a new record is in the next answer. */
static void a_category_counts_as_a_feature(void **state)
{
    const struct engine_options options = shop_options();
    const struct item_said red = {.categories_len = 1, .categories = {FR_BYTES("red")}};
    struct world world;

    (void)state;
    open_shop(&world, &options);
    say(&world, "new", NULL, &red);
    assert_true(isnan(listed(&world, "u0", "new", "fm")));
    for (int i = 0; i < ITEMS; i += 2)
        say(&world, items[i], NULL, &red);
    for (int k = 0; k < 40; k++) {
        const struct event one = event(world.next, users[k % 5 * 2], items[k * 7 % (ITEMS / 2) * 2], NOON + DAY);
        give(&world, &one, 1);
        await(&world, ++world.next);
    }
    double score = listed(&world, "u0", "new", "fm");
    assert_false(isnan(score));
    say(&world, "new", "sweet", &(struct item_said){0});
    assert_true(listed(&world, "u0", "new", "fm") != score);
    close_shop(&world);
}

/* As in a daemon, where models show what they have learned a little later. */
static void a_record_is_shown_though_no_event_comes(void **state)
{
    struct engine_options options = shop_options();
    struct world world;

    (void)state;
    options.publish_at_once = false;
    open_shop(&world, &options);
    uint64_t deadline = patience();
    checkpoint(&world); /* what was learned is known to be unpublished */
    while (models_unpublished(world.engine)) { /* what was learned is shown, and nothing waits */
        assert_true(fr_mono_ns() < deadline);
        sched_yield();
    }
    say(&world, "new", "sweet", &(struct item_said){0});
    while (isnan(listed(&world, "u0", "new", "fm"))) {
        assert_true(fr_mono_ns() < deadline);
        sched_yield();
    }
    close_shop(&world);
}

static void a_restart_changes_no_bit(void **state)
{
    const struct engine_options options = shop_options();
    struct world world;
    double before[USERS], learned[USERS];

    (void)state;
    open_shop(&world, &options);
    say(&world, "new", "sweet", &(struct item_said){0});
    for (int u = 0; u < USERS; u++) {
        before[u] = listed(&world, users[u], "new", "fm");
        learned[u] = rank_of(&world, users[u], "i4", "fm").score;
        assert_false(isnan(before[u]));
    }
    int64_t next = world.next;
    end(&world);
    begin(&world, &options);
    assert_int_equal(world.next, next);
    for (int u = 0; u < USERS; u++) {
        assert_true(listed(&world, users[u], "new", "fm") == before[u]);
        assert_true(rank_of(&world, users[u], "i4", "fm").score == learned[u]);
    }
    close_shop(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_knows_it_lists_it),
        cmocka_unit_test(what_keeps_others_out_keeps_it_out),
        cmocka_unit_test(a_category_counts_as_a_feature),
        cmocka_unit_test(a_record_is_shown_though_no_event_comes),
        cmocka_unit_test(a_restart_changes_no_bit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
