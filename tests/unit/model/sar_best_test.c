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

enum { ITEMS = 600, GROUPS = 6, USERS = 900, LONG = 40, QUERIES = 400, SEEDS = 6 };

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

enum { LIGHT = 19, HEAVY = LIGHT, LAST, HUB, BETTER, WORSE, FILLER = 100, FILLERS = 150 };

static void learn_once(struct world *world, const uint32_t *items, uint32_t len)
{
    static uint32_t user;

    for (uint32_t k = 0; k < len; k++) {
        past.item[k] = items[k];
        past.step[k] = 1;
        past.stamp[k] = stamp_of(1000 + k, 1);
        past.affinity[k] = 1;
    }
    learn_user(world, user++, (struct history){past.item, past.step, past.stamp, past.affinity, NULL, len});
}

static void learn_pairs(struct world *world, uint32_t a, uint32_t b, uint32_t users)
{
    for (uint32_t n = 0; n < users; n++)
        learn_once(world, (uint32_t[]){a, b < FILLER ? b : FILLER + n % FILLERS}, 2);
}

/* n of HEAVY is 320, and 85 of them hold HUB; n of a light item is 10, all hold HUB; n of BETTER is 10 + together, n of WORSE 13. */
static void learn_light_and_heavy(struct world *world, uint32_t together)
{
    uint32_t all[LIGHT + 2];

    for (uint32_t k = 0; k < LIGHT; k++)
        all[k] = k;
    all[LIGHT] = HUB;
    all[LIGHT + 1] = BETTER;
    for (uint32_t n = 0; n < 10; n++)
        learn_once(world, all, LIGHT + 1 + (n < together));
    learn_pairs(world, HEAVY, HUB, 85);
    learn_pairs(world, HEAVY, BETTER, 10);
    learn_pairs(world, HEAVY, WORSE, 11);
    learn_pairs(world, HEAVY, FILLER, 214);
    learn_pairs(world, WORSE, FILLER, 2);
    learn_pairs(world, LAST, FILLER, 5);
}

/*
 * By HEAVY alone WORSE is better: by 10 d, or 29 d, where d is what a pair may add that is left out (sar_best.c). A light item adds to BETTER
 * .85 d with one user together, so it is left out by its count, and all of them add 16; with two users 1.7 d, so it is not, and 32.
 */
static void what_was_left_out_can_decide(void **state)
{
    struct sar_options flat = product;
    struct scores scores;

    (void)state;
    flat.recency = 1;
    flat.window = flat.neighbours_max = flat.score_last = 0;
    scores_init(&scores);
    for (uint32_t together = 1; together <= 2; together++) {
        struct world *world = world_empty(&flat);
        struct fr_ranked first;
        learn_light_and_heavy(world, together);
        for (uint32_t slot = 0; slot < LIGHT + 2; slot++) { /* LAST is the oldest, then HEAVY */
            past.item[slot] = slot < 2 ? LAST - slot : slot - 2;
            past.step[slot] = 1;
            past.stamp[slot] = stamp_of(1000 + slot, 1);
            past.affinity[slot] = slot == 0 ? 1e-9 : slot == 1 ? 1 : 0.00615;
        }
        struct query query = {.history = {past.item, past.step, past.stamp, past.affinity, NULL, LIGHT + 2}, .now = 2000, .items = ITEMS};
        scores_reset(&scores, ITEMS);
        for (uint32_t item = 0; item < ITEMS; item++)
            scores.mark[item] = item <= HUB ? SCORES_EXCLUDED : 0;
        fr_epoch_enter(world->presence);
        assert_true(compare(world, &query, 1, &scores)); /* among few */
        fr_epoch_leave(world->presence);
        assert_int_equal(best_of(&scores, &first, 1), 1);
        assert_int_equal(first.id, BETTER);
        world_free(world);
    }
    scores_release(&scores);
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
