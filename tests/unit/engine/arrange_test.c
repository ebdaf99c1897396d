/*
 * arrange_test.c -- variety and trying out.
 *
 *     bare, shop   the same random events; the shop has a catalogue too. What arrange.c chooses, place by place, is chosen again by hand from
 *                  the whole list as it would stand without, and from the similarities that the bare one tells
 *     stall        eight items in three categories: every list that can be drawn, and how often it is
 */
#include "engine_world.h"

#include <math.h>
#include <pthread.h>

#include "freshet/trending.h"
#include "sanitized.h"

enum { ITEMS = 700, USERS = 80, EACH = 12, QUESTIONS = SANITIZED ? 50 : 250, DRAWS = SANITIZED ? 25000 : 100000, CATEGORIES = 7, BATCH = 200 };

static char ids[ITEMS][8], users[USERS + 2][8];
static uint64_t dice = 42;
static when_ms pace = 1; /* between events */

static uint64_t roll(uint64_t sides)
{
    dice = dice * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (dice >> 33) % sides;
}

/* ---- worlds ---- */

static struct engine_options options_of(void)
{
    static const struct engine_model beside[] = {{"popular", NULL}, {ENGINE_BLEND, NULL}};
    struct engine_options options = product();

    options.models = beside;
    options.models_len = 2;
    options.history_max = EACH;
    options.publish_at_once = true;
    return options;
}

static int64_t give_events(struct world *world, int64_t at, int64_t until)
{
    while (at < until) {
        struct event events[BATCH];
        size_t len = 0;
        for (; len < BATCH && at < until; len++, at++)
            events[len] = event(at, users[at % USERS], ids[roll(1 + roll(ITEMS))], NOON + at * pace);
        give(world, events, len);
        await(world, at);
    }
    return at;
}

static bool hidden(int item)
{
    return item % 11 == 3;
}

/* Items of the last category have none. */
static int category_of(int item)
{
    return item % CATEGORIES;
}

static int64_t give_catalogue(struct world *world, int64_t at, int items)
{
    struct fr_writer out[BATCH];

    for (int item = 0; item < items;) {
        struct event events[BATCH];
        size_t len = 0;
        for (; len < BATCH && item < items; item++, len++, at++) {
            struct item_said said = {.hidden = hidden(item)};
            char name[8];
            snprintf(name, sizeof(name), "c%d", category_of(item));
            if (category_of(item) != CATEGORIES - 1)
                item_said_category(&said, fr_bytes_of(name));
            fr_writer_init(&out[len], 0);
            catalogue_item_write(&out[len], &said);
            events[len] = (struct event){
                .kind = EVENT_ITEM, .offset = at, .logged = NOON, .item = fr_bytes_of(ids[item]), .said = fr_written(&out[len])};
        }
        give(world, events, len);
        await(world, at);
        while (len)
            fr_writer_release(&out[--len]);
    }
    return at;
}

static int number_of(struct fr_bytes id)
{
    return atoi(id.at + 1); /* a NUL stands behind every id of ours */
}

/* ---- by hand ---- */

struct choosing {
    struct reader *bare;
    const struct ask *ask;
    int chosen[ITEMS];
    size_t len;
    bool taken[ITEMS];
    unsigned counts[CATEGORIES];
};

static bool full(const struct choosing *by, int item)
{
    int category = category_of(item);

    return by->ask->max_per_category && category != CATEGORIES - 1 && by->counts[category] >= by->ask->max_per_category;
}

/* near[j]: the share of what is most like the item. */
static void nearness(const struct choosing *by, int item, double near[ITEMS])
{
    struct neighbour_list like;
    struct fr_err err;

    memset(near, 0, ITEMS * sizeof(*near));
    assert_int_equal(reader_similar_items(by->bare, fr_bytes_of(ids[item]), &(struct ask){.k = ITEMS}, &like, &err), FR_OK);
    for (size_t i = 0; i < like.len; i++)
        near[number_of(like.neighbours[i].id)] = like.neighbours[i].similarity / like.neighbours[0].similarity;
}

/* The best of those left in the pool, -1: none. */
static int best_left(const struct choosing *by, const int *pool, const double *score, size_t len)
{
    static double near[ITEMS], closest[ITEMS];
    double d = by->ask->diversity, most = 0;
    int best = -1;

    memset(closest, 0, sizeof(closest));
    for (size_t c = 0; c < by->len; c++) {
        nearness(by, by->chosen[c], near);
        for (int i = 0; i < ITEMS; i++)
            closest[i] = near[i] > closest[i] ? near[i] : closest[i];
    }
    for (size_t i = 0; i < len; i++) {
        double span = score[0] - score[len - 1], relevance = span > 0 ? (score[i] - score[len - 1]) / span : 1;
        double worth = (1 - d) * relevance - d * closest[pool[i]];
        if (by->taken[pool[i]] || full(by, pool[i]) || (best >= 0 && worth <= most))
            continue;
        best = pool[i];
        most = worth;
    }
    return best;
}

/* Of one source: its items in the order they would stand in. */
static void choose_all(struct choosing *by, const int *order, const double *scores, size_t len)
{
    for (size_t want = by->ask->k * 4 > 100 ? by->ask->k * 4 : 100;; want *= 4) {
        int pool[ITEMS], best;
        double score[ITEMS];
        size_t room = 0;
        for (size_t i = 0; i < len && room < want; i++)
            if (!by->taken[order[i]]) {
                pool[room] = order[i];
                score[room++] = scores[i];
            }
        while (by->len < by->ask->k && (best = best_left(by, pool, score, room)) >= 0) {
            by->chosen[by->len++] = best;
            by->taken[best] = true;
            by->counts[category_of(best)]++;
        }
        if (by->len == by->ask->k || room < want)
            return;
    }
}

static void choose(struct choosing *by, const struct recommendation_list *all)
{
    static int order[ITEMS];
    static double scores[ITEMS];
    size_t first = 0;

    while (first < all->len && strcmp(all->items[first].source, "popular") != 0)
        first++;
    for (size_t i = 0; i < all->len; i++) {
        struct item_facts facts;
        struct fr_err err;
        order[i] = number_of(all->items[i].item);
        assert_int_equal(reader_item(by->bare, all->items[i].item, &facts, &err), FR_OK);
        scores[i] = i < first ? all->items[i].score : (double)facts.users;
    }
    choose_all(by, order, scores, first);
    choose_all(by, order + first, scores + first, all->len - first);
}

/* ---- questions ---- */

static void make_question(struct ask *ask, struct ask_seed *seed, struct fr_bytes *items)
{
    static const double shares[] = {0, 0.2, 0.5, 0.9, 1};

    for (size_t i = 0; i < 4; i++)
        items[i] = fr_bytes_of(ids[roll(40)]);
    *seed = (struct ask_seed){.item = fr_bytes_of(ids[roll(40)])};
    *ask = (struct ask){.user = fr_bytes_of(users[roll(USERS + 2)]),
                        .k = 1 + (uint32_t)roll(roll(5) ? 12 : 60),
                        .seeds = seed,
                        .seeds_len = roll(2),
                        .exclude = items,
                        .exclude_len = roll(4),
                        .diversity = shares[roll(5)],
                        .draw = roll(1U << 30),
                        .max_per_category = roll(2) ? 0 : 1 + (uint32_t)roll(3)};
}

static void everything(struct reader *shop, const struct ask *ask, struct recommendation_list *ret_all)
{
    struct ask all = *ask;

    all.k = ITEMS;
    all.diversity = all.exploration = 0;
    all.max_per_category = 0;
    reader_recommend(shop, &all, ret_all);
}

static void as_by_hand(struct reader *bare, struct reader *shop, int number)
{
    static struct choosing by;
    struct ask ask;
    struct ask_seed seed;
    struct fr_bytes items[4];
    struct recommendation_list all, got;

    make_question(&ask, &seed, items);
    reader_begin(bare);
    reader_begin(shop);
    everything(shop, &ask, &all);
    reader_recommend(shop, &ask, &got);
    by = (struct choosing){.bare = bare, .ask = &ask};
    choose(&by, &all);
    assert_int_equal(got.len, by.len);
    for (size_t i = 0; i < got.len; i++) {
        if (number_of(got.items[i].item) != by.chosen[i])
            fail_msg("question %d: place %zu is i%d, not i%d", number, i, number_of(got.items[i].item), by.chosen[i]);
        assert_true(fpclassify(got.items[i].propensity) == FP_ZERO);
    }
    reader_end(shop);
    reader_end(bare);
}

static bool listed(const struct recommendation_list *list, struct fr_bytes item, size_t before)
{
    for (size_t i = 0; i < before; i++)
        if (fr_bytes_equal(list->items[i].item, item))
            return true;
    return false;
}

/* Whatever is drawn: only what the filter lets through, each once, as many as there can be, and the same again for the same draw. */
static void drawn_well(struct reader *shop, int number)
{
    struct ask ask;
    struct ask_seed seed;
    struct fr_bytes items[4];
    struct recommendation_list all, got, again;
    unsigned counts[CATEGORIES] = {0};

    make_question(&ask, &seed, items);
    ask.exploration = number % 3 ? 1 : 0.4;
    ask.model = (const char *const[]){"sar", "popular", ENGINE_BLEND}[roll(3)];
    reader_begin(shop);
    everything(shop, &ask, &all);
    reader_recommend(shop, &ask, &got);
    reader_recommend(shop, &ask, &again);
    assert_int_equal(got.len, again.len);
    assert_true(got.len <= ask.k);
    for (size_t i = 0; i < got.len; i++) {
        const struct recommended *item = &got.items[i];
        assert_true(listed(&all, item->item, all.len) && !listed(&got, item->item, i) && !hidden(number_of(item->item)));
        assert_true(fr_bytes_equal(item->item, again.items[i].item) && item->propensity > 0 && item->propensity <= 1);
        assert_memory_equal(&item->propensity, &again.items[i].propensity, sizeof(double));
        counts[category_of(number_of(item->item))]++;
    }
    for (int c = 0; c < CATEGORIES - 1; c++)
        assert_true(!ask.max_per_category || counts[c] <= ask.max_per_category);
    for (size_t i = 0; got.len < ask.k && i < all.len; i++) {
        int category = category_of(number_of(all.items[i].item));
        assert_true(listed(&got, all.items[i].item, got.len) ||
                    (ask.max_per_category && category != CATEGORIES - 1 && counts[category] == ask.max_per_category));
    }
    reader_end(shop);
}

static void as_chosen(struct engine_options options)
{
    struct world bare = {.store = store_memory_new(NULL)}, shop = {.store = store_memory_new(NULL)};

    begin(&bare, &options);
    begin(&shop, &options);
    dice = 7;
    give_events(&bare, 0, USERS * EACH);
    dice = 7;
    give_catalogue(&shop, give_events(&shop, 0, USERS * EACH), ITEMS);
    struct reader *readers[2] = {reader_new(bare.engine), reader_new(shop.engine)};
    dice = 11;
    for (int i = 0; i < QUESTIONS; i++) {
        as_by_hand(readers[0], readers[1], i);
        drawn_well(readers[1], i);
    }
    reader_free(readers[0]);
    reader_free(readers[1]);
    end(&bare);
    end(&shop);
    bare.store->ops->close(bare.store);
    shop.store->ops->close(shop.store);
}

static void lists_are_as_chosen_by_hand(void **state)
{
    (void)state;
    as_chosen(options_of());
}

/* Many an item at score 0, nothing fills in. */
static void in_parity_too(void **state)
{
    struct engine_options options = options_of();

    (void)state;
    options.sar = parity().sar;
    options.history_max = 0;
    as_chosen(options);
}

/* ---- frequencies ---- */

/* As chi-square would have it, with `cells` cells: five standard deviations above its mean. */
static void assert_fits(double chi, size_t cells)
{
    double freedom = (double)cells - 1;

    if (chi > freedom + 5 * sqrt(2 * freedom))
        fail_msg("chi-square is %g at %g degrees of freedom", chi, freedom);
}

/* A pool of a hundred: at the first place each item comes as often as its propensity says, and those add up to 1; at every place the mean of
 * 1 / propensity is the number of those left, as it must be where each is drawn with exactly that probability. */
static void propensities_are_frequencies(void **state)
{
    enum { PLACES = 3, POOL = 100 };
    struct engine_options options = options_of();
    struct world world = {.store = store_memory_new(NULL)};
    static double said[ITEMS], count[ITEMS];
    double inverse[PLACES] = {0}, sum = 0, chi = 0;
    size_t cells = 0;

    (void)state;
    begin(&world, &options);
    dice = 7;
    give_events(&world, 0, USERS * EACH);
    struct reader *reader = reader_new(world.engine);
    struct ask ask = {.user = fr_bytes_of("nobody"), .k = PLACES, .exploration = 0.3, .diversity = 0.4};
    for (ask.draw = 0; ask.draw < DRAWS; ask.draw++) {
        struct recommendation_list list;
        reader_begin(reader);
        reader_recommend(reader, &ask, &list);
        assert_int_equal(list.len, PLACES);
        int first = number_of(list.items[0].item);
        assert_true(count[first] <= 0 || fabs(said[first] - list.items[0].propensity) < 1e-15);
        said[first] = list.items[0].propensity;
        count[first]++;
        for (size_t i = 0; i < PLACES; i++)
            inverse[i] += 1 / list.items[i].propensity;
        reader_end(reader);
    }
    for (int i = 0; i < ITEMS; i++) {
        if (count[i] <= 0)
            continue;
        double expected = said[i] * DRAWS;
        cells++;
        sum += said[i];
        chi += (count[i] - expected) * (count[i] - expected) / expected;
    }
    assert_int_equal(cells, POOL);
    assert_true(fabs(sum - 1) < 1e-9);
    assert_fits(chi, cells);
    for (size_t i = 0; i < PLACES; i++)
        assert_true(fabs(inverse[i] / DRAWS - (double)(POOL - i)) < 800 / sqrt(DRAWS)); /* five standard deviations of such a mean */
    reader_free(reader);
    end(&world);
    world.store->ops->close(world.store);
}

enum { STALL = 8, PLACES = 3, LISTS = STALL * STALL * STALL };

/* The probability of a whole list is the product of its propensities, and those of all lists add up to 1. */
static void all_lists(struct world *world, const char *user, size_t lists)
{
    static double said[LISTS], count[LISTS];
    struct reader *reader = reader_new(world->engine);
    const struct fr_bytes mine = FR_BYTES("mine");
    struct ask ask = {.user = fr_bytes_of(user), .k = PLACES, .exploration = 0.8, .diversity = 0.5, .max_per_category = 1,
                      .exclude = &mine, .exclude_len = 1};
    double sum = 0, chi = 0;
    size_t cells = 0;

    memset(count, 0, sizeof(count));
    for (ask.draw = 0; ask.draw < DRAWS; ask.draw++) {
        struct recommendation_list list;
        int which = 0;
        double probability = 1;
        reader_begin(reader);
        reader_recommend(reader, &ask, &list);
        assert_int_equal(list.len, PLACES);
        for (size_t i = 0; i < PLACES; i++) {
            which = which * STALL + number_of(list.items[i].item);
            probability *= list.items[i].propensity;
        }
        assert_true(count[which] <= 0 || fabs(said[which] - probability) < 1e-15);
        said[which] = probability;
        count[which]++;
        reader_end(reader);
    }
    for (int i = 0; i < LISTS; i++) {
        if (count[i] <= 0)
            continue;
        double expected = said[i] * DRAWS;
        cells++;
        sum += said[i];
        chi += (count[i] - expected) * (count[i] - expected) / expected;
    }
    assert_int_equal(cells, lists);
    assert_true(fabs(sum - 1) < 1e-9);
    assert_fits(chi, cells);
    reader_free(reader);
}

/* Eight items, of each category one at most. */
static void lists_come_as_often_as_their_propensities_say(void **state)
{
    struct engine_options options = options_of();
    struct world world = {.store = store_memory_new(NULL)};
    int64_t at = 0;

    (void)state;
    begin(&world, &options);
    for (int user = 0; user < 20; user++)
        for (int i = 0; i < 4; i++, at++) {
            struct event one = event(at, users[user], ids[(user * 5 + i * (1 + user % 3)) % STALL], NOON + at);
            give(&world, &one, 1);
        }
    /* i0, i7 and i4 go with what is mine */
    const struct event mine[] = {event(at, "me", "mine", NOON + at), event(at + 1, "you", "mine", NOON + at),
                                 event(at + 2, "you", ids[0], NOON + at), event(at + 3, "you", ids[7], NOON + at),
                                 event(at + 4, "you", ids[4], NOON + at)};
    give(&world, mine, 5);
    await(&world, at + 5);
    give_catalogue(&world, at + 5, STALL); /* i3 is hidden, i7 shares a category with i0, i6 has none */
    all_lists(&world, "me", 2 * 2 * 4); /* i4 and one of i0, i7, either first; then a popular one that is left */
    all_lists(&world, "nobody", 7 * 6 * 5 - 3 * 2 * 5); /* any three, but not i0 with i7 */
    end(&world);
    world.store->ops->close(world.store);
}

/* ---- off, and beyond ---- */

static void what_is_not_asked_changes_nothing(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = parity();

    (void)state;
    begin(&world, &options);
    town(&world);
    assert_string_equal(recommend(&world, "ann", (struct ask){.draw = 3, .include_seen = true}),
                        "apple 2.000000 bread 2.000000 cheese 0.666667");
    /* bread is as apple's twin */
    assert_string_equal(recommend(&world, "ann", (struct ask){.diversity = 0.7, .include_seen = true}),
                        "apple 2.000000 cheese 0.666667 bread 2.000000");
    assert_string_equal(recommend(&world, "ann", (struct ask){.diversity = 0.4, .include_seen = true}),
                        "apple 2.000000 bread 2.000000 cheese 0.666667");
    end(&world);
    world.store->ops->close(world.store);
}

/* Places from the thousandth on are neither mixed nor drawn. */
static void long_lists_end_in_order(void **state)
{
    enum { MANY = 1200 };
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = options_of();
    struct recommendation_list list;
    int64_t at = 0;

    (void)state;
    options.history_max = MANY / USERS;
    begin(&world, &options);
    while (at < MANY) {
        struct event events[BATCH];
        char names[BATCH][8];
        size_t len = 0;
        for (; len < BATCH && at < MANY; len++, at++) {
            snprintf(names[len], sizeof(names[len]), "i%d", (int)at);
            events[len] = event(at, users[at % USERS], names[len], NOON);
        }
        give(&world, events, len);
        await(&world, at);
    }
    struct reader *reader = reader_new(world.engine);
    reader_begin(reader);
    reader_recommend(reader, &(struct ask){.user = FR_BYTES("nobody"), .k = MANY, .exploration = 1, .diversity = 0.5}, &list);
    assert_int_equal(list.len, MANY);
    for (size_t i = 0; i < list.len; i++)
        assert_true(!listed(&list, list.items[i].item, i) && (list.items[i].propensity >= 1) == (i >= 1000));
    reader_end(reader);
    reader_free(reader);
    end(&world);
    world.store->ops->close(world.store);
}

/* ---- while it learns ---- */

struct asker {
    struct engine *engine;
    _Atomic bool stop;
    uint64_t asked;
};

static void *ask_on(void *context)
{
    struct asker *asker = context;
    struct reader *reader = reader_new(asker->engine);

    while (!atomic_load(&asker->stop) || !asker->asked) {
        struct ask ask = {.user = fr_bytes_of(users[asker->asked % USERS]), .k = 10, .exploration = 0.5, .diversity = 0.5, .draw = asker->asked};
        struct recommendation_list list;
        reader_begin(reader);
        reader_recommend(reader, &ask, &list);
        for (size_t i = 0; i < list.len; i++)
            assert_true(!listed(&list, list.items[i].item, i) && list.items[i].propensity > 0 && list.items[i].propensity <= 1);
        ask.by = (enum popular_by)(asker->asked % POPULAR_BYS);
        reader_popular(reader, &ask, &list);
        for (size_t i = 0; i < list.len; i++)
            assert_true(!listed(&list, list.items[i].item, i));
        reader_end(reader);
        asker->asked++;
    }
    reader_free(reader);
    return NULL;
}

static void questions_go_on_while_it_learns(void **state)
{
    static const struct trending_options trending = {1000};
    static const struct engine_model beside[] = {{"trending", &trending}};
    struct engine_options options = options_of();
    struct world world = {.store = store_memory_new(NULL)};
    pthread_t thread;

    (void)state;
    options.models = beside;
    options.models_len = 1;
    begin(&world, &options);
    pace = 1000; /* so that trending's landmark moves under those who ask */
    struct asker asker = {.engine = world.engine};
    assert_int_equal(pthread_create(&thread, NULL, ask_on, &asker), 0);
    dice = 7;
    int64_t at = give_events(&world, 0, USERS * EACH);
    at = give_catalogue(&world, at, ITEMS);
    give_events(&world, at, at + USERS * EACH);
    atomic_store(&asker.stop, true);
    pthread_join(thread, NULL);
    end(&world);
    world.store->ops->close(world.store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_are_as_chosen_by_hand),
        cmocka_unit_test(in_parity_too),
        cmocka_unit_test(propensities_are_frequencies),
        cmocka_unit_test(lists_come_as_often_as_their_propensities_say),
        cmocka_unit_test(what_is_not_asked_changes_nothing),
        cmocka_unit_test(long_lists_end_in_order),
        cmocka_unit_test(questions_go_on_while_it_learns),
    };

    for (int i = 0; i < ITEMS; i++)
        snprintf(ids[i], sizeof(ids[i]), "i%d", i);
    for (int i = 0; i < USERS + 2; i++)
        snprintf(users[i], sizeof(users[i]), "u%d", i);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
