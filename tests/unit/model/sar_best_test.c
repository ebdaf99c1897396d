/*
 * sar_best_test.c -- what is asked for the best alone has the same best, bit by bit, as what is asked for all.
 *
 * Users choose mostly within one of a few groups of items, popular ones first, so that the newest items of a history decide
 * and old ones can be left out; weights, exclusions and the number asked for are drawn.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "freshet/life.h"
#include "freshet/model.h"
#include "freshet/sar.h"
#include "sanitized.h"

enum { ITEMS = 600, GROUPS = 6, USERS = 900, LONG = 40, QUERIES = SANITIZED ? 100 : 400, SEEDS = 6 };

static _Thread_local uint64_t random_state;

static uint32_t random_below(uint32_t bound)
{
    random_state += 0x9E3779B97F4A7C15ULL;
    uint64_t z = random_state;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ z >> 27) * 0x94D049BB133111EBULL;
    return (uint32_t)((z ^ z >> 31) % bound);
}

static double random_part(void)
{
    return random_below(1 << 20) / (double)(1 << 20);
}

struct world {
    struct fr_epoch *epoch;
    struct journal *journal;
    _Atomic uint32_t users_of[ITEMS], held;
    _Atomic uint8_t users_bytes[ITEMS];
    struct model *model;
    struct fr_epoch_reader *presence;
    _Atomic bool learned;
};

/* The history at hand. */
static _Thread_local struct {
    uint32_t item[LONG];
    uint16_t step[LONG];
    uint64_t stamp[LONG];
    double affinity[LONG];
} past;

static uint32_t draw_item(uint32_t group)
{
    double part = random_part();

    if (random_below(10) == 0)
        group = random_below(GROUPS);
    return group * (ITEMS / GROUPS) + (uint32_t)(part * part * (ITEMS / GROUPS));
}

/* A history of `len` distinct items, oldest first. */
static struct history draw_history(uint32_t len)
{
    uint32_t group = random_below(GROUPS);

    for (uint32_t k = 0; k < len;) {
        uint32_t item = draw_item(group), at = 0;
        while (at < k && past.item[at] != item)
            at++;
        if (at < k)
            continue;
        past.item[k] = item;
        past.step[k] = 1;
        past.stamp[k] = stamp_of(1000 + k, 1);
        past.affinity[k++] = 0.5 + random_part();
    }
    return (struct history){past.item, past.step, past.stamp, past.affinity, NULL, len};
}

/* A user meets the items one after the other. */
static void learn_user(struct world *world, uint32_t user, struct history history)
{
    uint32_t len = history.len;

    for (history.len = 0; history.len < len; history.len++) {
        uint32_t item = history.item[history.len];
        sar_ops.learn(world->model, &(struct touch){.user = user, .item = item, .at = history.len,
                                                    .behind = history.len ? 1 : 0, .fresh = true, .when = 1000,
                                                    .weight = 1, .history = history});
        world->held += !world->users_of[item]++;
        world->users_bytes[item] = users_byte(world->users_of[item]);
    }
    journal_reset(world->journal);
    fr_epoch_reclaim(world->epoch);
}

static void learn_users(struct world *world)
{
    for (uint32_t user = 0; user < USERS; user++)
        learn_user(world, user, draw_history(5 + random_below(LONG - 5)));
}

static struct world *world_empty(const struct sar_options *options)
{
    struct world *world = fr_zalloc(1, sizeof(*world));

    world->epoch = fr_epoch_new();
    world->journal = journal_new();
    world->model = sar_ops.open(options, &(struct model_host){.epoch = world->epoch, .journal = &world->journal,
                                                              .users_of_item = world->users_of,
                                                              .users_bytes = world->users_bytes,
                                                              .items_held = &world->held, .items_max = ITEMS});
    sar_ops.extend(world->model, ITEMS);
    world->presence = fr_epoch_join(world->epoch);
    return world;
}

static struct world *world_new(const struct sar_options *options)
{
    struct world *world = world_empty(options);

    learn_users(world);
    return world;
}

static void world_free(struct world *world)
{
    fr_epoch_part(world->presence);
    sar_ops.close(world->model);
    journal_free(world->journal);
    fr_epoch_free(world->epoch);
    free(world);
}

static bool lower_first(void *context, uint32_t a, uint32_t b)
{
    (void)context;
    return a < b;
}

static size_t best_of(const struct scores *scores, struct fr_ranked *room, size_t k)
{
    struct fr_topk top;

    fr_topk_init(&top, room, k, lower_first, NULL);
    for (uint32_t i = 0; i < scores->touched_len; i++)
        if (!scores_excluded(scores, scores->touched[i]))
            fr_topk_offer(&top, scores->touched[i], scores->value[scores->touched[i]]);
    fr_topk_finish(&top);
    return top.len;
}

/* Both kinds of question; returns whether the second left more than half of the items aside. */
static bool compare(struct world *world, struct query *query, uint32_t best, struct scores *scores)
{
    struct fr_ranked all[ITEMS], few[ITEMS];

    query->best = 0;
    scores_reset(scores, query->items);
    sar_ops.retrieve(world->model, query, scores);
    uint32_t touched = scores->touched_len;
    size_t all_len = best_of(scores, all, best);

    query->best = best;
    scores_reset(scores, query->items);
    sar_ops.retrieve(world->model, query, scores);
    assert_int_equal(best_of(scores, few, best), all_len);
    for (size_t i = 0; i < all_len; i++) {
        assert_int_equal(few[i].id, all[i].id);
        assert_true(few[i].score == all[i].score);
    }
    for (uint32_t item = 0, listed = 0; item < ITEMS; item++) { /* what is not listed is clear */
        listed += scores_touched(scores, item);
        if (item == ITEMS - 1)
            assert_int_equal(listed, scores->touched_len);
    }
    for (uint32_t item = 0; item < scores->rough.room; item++)
        assert_int_equal(scores->rough.sums[item], 0);
    return scores->touched_len < touched / 2;
}

/* What is different about the questions: weights times `scale`, one of them negative; items that are too young; a filter;
 * hardly an item that may be listed; every other weight 0. */
struct kind {
    double scale;
    bool negative, young, filtered, scarce, naught;
};

static bool every_third(const void *sieve, uint32_t item)
{
    (void)sieve;
    return item % 3 == 0;
}

static uint32_t ask_at_random(const struct sar_options *options, struct kind kind)
{
    static const uint32_t asked[] = {1, 3, 10, 50, ITEMS};
    struct world *world = world_new(options);
    struct scores scores;
    uint32_t narrow = 0;

    scores_init(&scores);
    scores_reset(&scores, ITEMS);
    fr_epoch_enter(world->presence);
    for (uint32_t q = 0; q < QUERIES; q++) {
        struct query query = {.history = draw_history(1 + random_below(LONG - 1)), .now = 2000, .items = ITEMS};
        for (uint32_t k = 0; k < query.history.len; k++)
            past.affinity[k] *= kind.scale ? kind.scale : 1;
        if (kind.negative)
            past.affinity[random_below(query.history.len)] *= -1;
        if (kind.young)
            query.items -= random_below(ITEMS / 2);
        for (uint32_t k = 0; k < query.history.len && kind.naught; k += 2)
            past.affinity[k] = 0;
        scores.lets = kind.filtered ? every_third : NULL;
        for (uint32_t item = 0; item < ITEMS; item++)
            scores.mark[item] = random_below(256) < (kind.scarce ? 255 : 32) ? SCORES_EXCLUDED : 0;
        narrow += compare(world, &query, asked[random_below(sizeof(asked) / sizeof(*asked))], &scores);
    }
    fr_epoch_leave(world->presence);
    scores_release(&scores);
    world_free(world);
    return narrow;
}

static const struct sar_options product = {.similarity = SAR_SHRUNK_COSINE, .threshold = 1, .window = 10,
                                           .score_last = 20, .neighbours_max = 200, .recency = 0.8};

static void the_best_are_the_same_though_most_is_left_out(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        random_state = seed * 1000;
        assert_true(ask_at_random(&product, (struct kind){0}) > QUERIES / 3);
    }
}

static void filters_and_young_items_change_nothing(void **state)
{
    (void)state;
    random_state = 5;
    assert_true(ask_at_random(&product, (struct kind){.filtered = true}) > QUERIES / 8);
    assert_true(ask_at_random(&product, (struct kind){.young = true}) > QUERIES / 4);
}

static void fewer_than_asked_for_are_all_found(void **state)
{
    (void)state;
    random_state = 6;
    ask_at_random(&product, (struct kind){.scarce = true});
}

static void weights_of_any_size_are_never_wrong(void **state)
{
    static const double scales[] = {1e-300, 1e-42, 1e-30, 1e12, 1e30, 1e300}, too_small[] = {1e-323, 1e-319};

    (void)state;
    random_state = 9;
    for (size_t i = 0; i < sizeof(scales) / sizeof(*scales); i++)
        assert_true(ask_at_random(&product, (struct kind){.scale = scales[i]}) > QUERIES / 3);
    for (size_t i = 0; i < sizeof(too_small) / sizeof(*too_small); i++)
        ask_at_random(&product, (struct kind){.scale = too_small[i]});
    assert_true(ask_at_random(&product, (struct kind){.naught = true}) > QUERIES / 3);
}

static void negative_weights_and_other_settings_are_never_wrong(void **state)
{
    struct sar_options flat = product, strict = product, cosine = product, parity = {.parity = true, .similarity = SAR_JACCARD,
                                                                   .threshold = 1, .recency = 1};

    (void)state;
    random_state = 77;
    flat.recency = 1;
    strict.threshold = 4;
    cosine.similarity = SAR_COSINE;
    ask_at_random(&product, (struct kind){.negative = true});
    assert_true(ask_at_random(&flat, (struct kind){0}) > QUERIES / 3);
    assert_true(ask_at_random(&strict, (struct kind){0}) > QUERIES / 3);
    assert_int_equal(ask_at_random(&cosine, (struct kind){0}), 0);
    assert_int_equal(ask_at_random(&parity, (struct kind){0}), 0);
}

/* Everybody holds everything: all that is not held by who asks is as good as the rest, so that all are candidates to the end, and more
 * than is worth a look each. */
static void nobody_is_left_out_of_a_tie(void **state)
{
    static uint32_t item[ITEMS];
    static uint16_t step[ITEMS];
    static uint64_t stamp[ITEMS];
    static double affinity[ITEMS];
    struct sar_options all = product;
    struct scores scores;

    (void)state;
    all.window = all.neighbours_max = 0;
    struct world *world = world_empty(&all);
    for (uint32_t i = 0; i < ITEMS; i++) {
        item[i] = i;
        step[i] = 1;
        stamp[i] = stamp_of(1000 + i, 1);
        affinity[i] = 1;
    }
    struct history history = {item, step, stamp, affinity, NULL, ITEMS};
    for (uint32_t user = 0; user < 3; user++)
        learn_user(world, user, history);
    scores_init(&scores);
    scores_reset(&scores, ITEMS);
    fr_epoch_enter(world->presence);
    for (history.len = 1; history.len <= 15; history.len++) {
        struct query query = {.history = history, .now = 2000, .items = ITEMS};
        scores.mark[history.len - 1] = SCORES_EXCLUDED;
        assert_false(compare(world, &query, 3, &scores));
    }
    fr_epoch_leave(world->presence);
    scores_release(&scores);
    world_free(world);
}

/* ---- what decides is what was left out ---- */

enum { HEAVY, LIGHT, LIGHTS = 19, RIVAL = LIGHT + LIGHTS, NEAR_RIVALS = 40, FILLED = 300, SHOPS = 100, ASKED = 100 };
enum { BYTE = USERS_FAR - USERS_STEPS + 1 }; /* the leading five bits are 10000: as far from exact as a byte can be */

/* By HEAVY alone the odd rivals are better by what is drawn, and of so many users that their bounds are as much too high as they can be.
 * The even ones' are exact, and what a light item shares with them is all that its bound allows. */
static void load_heavy_and_light(struct world *world)
{
    static uint32_t columns[ITEMS];
    static int64_t counts[ITEMS];
    const double users = 300000, behind = 0.06 * random_part();

    world->held = ITEMS;
    for (uint32_t item = 0; item < ITEMS; item++) {
        world->users_of[item] = item % 2 ? users_most(BYTE) : users_fewest(BYTE);
        if (item < RIVAL)
            world->users_of[item] = (uint32_t)users;
        else if (item >= RIVAL + NEAR_RIVALS)
            world->users_of[item] = 1000 + random_below(200000);
        world->users_bytes[item] = users_byte(world->users_of[item]);
    }
    for (uint32_t term = 0; term < RIVAL; term++) {
        size_t len = 0;
        for (uint32_t j = RIVAL; j < FILLED; j++) {
            bool rival = j < RIVAL + NEAR_RIVALS;
            double like = !rival ? 0.2 * random_part() : j % 2 ? 1 - 0.001 * random_part() : 1 - behind - 0.001 * random_part();
            double together = term == HEAVY ? 0.9 * like * sqrt(users * world->users_of[j]) : !rival || j % 2 ? 1 : world->users_of[j];
            columns[len] = j;
            counts[len++] = (int64_t)fmin(together, world->users_of[j]);
        }
        assert_true(sar_ops.tables->load(world->model, term, columns, counts, NULL, len));
    }
}

/* One heavy item, and light ones that together weigh `share` of it. */
static struct history draw_heavy_and_light(double share)
{
    uint32_t lights = 1 + random_below(LIGHTS);

    for (uint32_t slot = 0; slot <= lights; slot++) { /* the newest is HEAVY */
        past.item[slot] = lights - slot;
        past.step[slot] = 1;
        past.stamp[slot] = stamp_of(1000 + slot, 1);
        past.affinity[slot] = slot == lights ? 1 : share / lights;
    }
    return (struct history){past.item, past.step, past.stamp, past.affinity, NULL, lights + 1};
}

static void what_was_left_out_can_decide(void **state)
{
    struct sar_options flat = product;
    struct scores scores;
    uint32_t narrow = 0, even = 0;

    (void)state;
    random_state = 456;
    flat.recency = 1;
    flat.window = flat.neighbours_max = flat.score_last = 0;
    scores_init(&scores);
    for (int shop = 0; shop < SHOPS; shop++) {
        struct world *world = world_empty(&flat);
        load_heavy_and_light(world);
        fr_epoch_enter(world->presence);
        for (uint32_t q = 0; q < ASKED; q++) {
            struct query query = {.history = draw_heavy_and_light(0.06 * random_part()), .now = 2000, .items = ITEMS};
            struct fr_ranked first;
            narrow += compare(world, &query, 1, &scores);
            assert_int_equal(best_of(&scores, &first, 1), 1);
            even += first.id % 2 == 0;
        }
        fr_epoch_leave(world->presence);
        world_free(world);
    }
    scores_release(&scores);
    assert_true(narrow > SHOPS * ASKED / 2);
    assert_true(even > SHOPS * ASKED / 8 && even < SHOPS * ASKED * 7 / 8);
}

/* ---- items of any number of users ---- */

enum { RIVALS = 24, FLOCKS = ITEMS / RIVALS }; /* items i with the same i % FLOCKS are much alike */

/* All orders of magnitude alike. The fewest of a byte or the most, where bounds are off by most, the more so where the leading bits are few
 * (users_byte.h); and more than a byte says, up to two million. */
static uint32_t draw_users(void)
{
    uint8_t byte = (uint8_t)(1 + random_below(USERS_FAR));

    if (byte == USERS_FAR || !random_below(8))
        return users_fewest(USERS_FAR) + random_below(3) * random_below(1 << 20);
    if (random_below(2))
        byte &= (uint8_t)~(USERS_STEPS - 1);
    return random_below(2) ? users_fewest(byte) : users_most(byte);
}

/* Rows as if so many users had been here. Rivals are within `near` of one another in what they share with an item; some are equals. */
static void load_rows(struct world *world, double near)
{
    static uint32_t columns[ITEMS];
    static int64_t counts[ITEMS];
    int64_t together[ITEMS];
    uint32_t users[ITEMS];

    for (uint32_t i = 0; i < ITEMS; i++) {
        users[i] = i >= FLOCKS && !random_below(4) ? users[i - FLOCKS] : draw_users();
        world->users_of[i] = users[i];
        world->users_bytes[i] = users_byte(users[i]);
    }
    world->held = ITEMS;
    for (uint32_t i = 0; i < ITEMS; i++) {
        double share = 0.2 + 0.8 * random_part();
        size_t len = 0;
        for (uint32_t j = 0; j < ITEMS; j++) {
            double like = j % FLOCKS == i % FLOCKS ? 1 - near * random_part() : 0.5 * random_part();
            double most = fmin(users[i], users[j]);
            together[j] = (int64_t)fmin(most, share * like * sqrt((double)users[i] * users[j] + 400));
            if (j >= FLOCKS && users[j] == users[j - FLOCKS])
                together[j] = together[j - FLOCKS]; /* a tie */
            columns[len] = j;
            counts[len] = together[j];
            len += j != i && together[j];
        }
        assert_true(sar_ops.tables->load(world->model, i, columns, counts, NULL, len));
    }
}

/* A history of one flock, weights in any order. */
static struct history draw_flock(uint32_t len)
{
    uint32_t first = random_below(ITEMS);

    for (uint32_t k = 0; k < len; k++) {
        past.item[k] = (first + k * FLOCKS) % ITEMS;
        past.step[k] = 1;
        past.stamp[k] = stamp_of(1000 + k, 1);
        past.affinity[k] = random_below(3) ? 0.5 + random_part() : random_part() * 0.01;
    }
    return (struct history){past.item, past.step, past.stamp, past.affinity, NULL, len};
}

static uint32_t ask_of_flocks(const struct sar_options *options, double near)
{
    static const uint32_t asked[] = {1, 2, 5, 10, 20};
    struct world *world = world_empty(options);
    struct scores scores;
    uint32_t narrow = 0;

    load_rows(world, near);
    scores_init(&scores);
    scores_reset(&scores, ITEMS);
    fr_epoch_enter(world->presence);
    for (uint32_t q = 0; q < QUERIES / 2; q++) {
        struct query query = {.history = draw_flock(1 + random_below(random_below(2) ? 3 : 20)), .now = 2000, .items = ITEMS};
        narrow += compare(world, &query, asked[random_below(sizeof(asked) / sizeof(*asked))], &scores);
    }
    fr_epoch_leave(world->presence);
    scores_release(&scores);
    world_free(world);
    return narrow;
}

/* What the bytes leave open is made good for, and no more than that is: near ones are close enough for either to be seen. */
static void bytes_for_users_lose_nobody(void **state)
{
    static const double nears[] = {0.001, 0.01, 0.03, 0.1, 1};
    struct sar_options flat = product;

    (void)state;
    random_state = 123;
    flat.recency = 1;
    flat.neighbours_max = 0;
    for (size_t i = 0; i < sizeof(nears) / sizeof(*nears); i++) {
        for (flat.threshold = 1; flat.threshold <= 1000; flat.threshold *= 31)
            assert_true(ask_of_flocks(&flat, nears[i]) > QUERIES / 4);
    }
}

/* ---- while it learns ---- */

static void learn_more(void *world_pointer)
{
    struct world *world = world_pointer;

    random_state = 4711;
    for (int round = 0; round < 4; round++)
        learn_users(world);
    atomic_store(&world->learned, true);
}

/* Each listed once, all of them old enough, and nothing left behind. */
static void check_whole(const struct scores *scores)
{
    bool listed[ITEMS] = {false};

    for (uint32_t i = 0; i < scores->touched_len; i++) {
        assert_true(scores->touched[i] < scores->items && !listed[scores->touched[i]]);
        assert_true(scores->value[scores->touched[i]] > 0);
        listed[scores->touched[i]] = true;
    }
    for (uint32_t item = 0; item < scores->rough.room; item++)
        assert_int_equal(scores->rough.sums[item], 0);
}

static void a_list_is_whole_while_events_come_in(void **state)
{
    static const uint32_t asked[] = {1, 3, 10, 50};
    struct world *world;
    struct scores scores;
    uint32_t questions = 0;

    (void)state;
    random_state = 31;
    world = world_new(&product);
    scores_init(&scores);
    struct fr_thread *writer = fr_thread_start("learn", learn_more, world);
    while (!atomic_load(&world->learned) || questions < QUERIES) {
        struct query query = {.history = draw_history(LONG / 2), .now = 2000, .items = ITEMS - random_below(ITEMS / 4),
                              .best = asked[questions++ % 4]};
        fr_epoch_enter(world->presence);
        scores_reset(&scores, query.items);
        sar_ops.retrieve(world->model, &query, &scores);
        fr_epoch_leave(world->presence);
        check_whole(&scores);
    }
    fr_thread_join(writer);
    assert_true(scores.rough.room > 0); /* else all were answered the plain way */
    scores_release(&scores);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_are_the_same_though_most_is_left_out),
        cmocka_unit_test(filters_and_young_items_change_nothing),
        cmocka_unit_test(fewer_than_asked_for_are_all_found),
        cmocka_unit_test(weights_of_any_size_are_never_wrong),
        cmocka_unit_test(a_list_is_whole_while_events_come_in),
        cmocka_unit_test(negative_weights_and_other_settings_are_never_wrong),
        cmocka_unit_test(nobody_is_left_out_of_a_tie),
        cmocka_unit_test(what_was_left_out_can_decide),
        cmocka_unit_test(bytes_for_users_lose_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
