/*
 * arrange_pools_test.c -- lists out of pools that grow, against a walk over all of the pool for each place, to the bit; and what that costs.
 *
 *     pick         the best of a row of our own that are not marked yet: the pools
 *     neighbours   the test's, in SAR's place: rows that hang on the item's number alone, sparse or of many
 *     catalogue    worlds of few large categories and many small ones, of several for one item, or none
 *
 * The links wrap caps_let, as arrange.c calls it: looks at those in a pool.
 */
#include "engine_world.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "arrange.h"
#include "sanitized.h"

enum { ITEMS = 6000, BATCH = 200, QUESTIONS = SANITIZED ? 60 : 400, ARRANGED = 1000, SEVERAL = 3 };

static char ids[ITEMS][8];
static uint64_t dice = 3;
static uint32_t row_len;
static size_t rows_read, looks;

static uint64_t roll(uint64_t sides)
{
    dice = dice * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (dice >> 33) % sides;
}

bool __real_caps_let(const struct caps *caps, const struct catalogue_item *record);
bool __wrap_caps_let(const struct caps *caps, const struct catalogue_item *record);
bool __wrap_caps_let(const struct caps *caps, const struct catalogue_item *record)
{
    looks++;
    return __real_caps_let(caps, record);
}

/* ---- the world ---- */

static void neighbours(const struct model *model, uint32_t item, struct scores *scores)
{
    uint64_t at = item * UINT64_C(0x9e3779b97f4a7c15);

    (void)model;
    rows_read++;
    for (uint32_t i = 0; item % 5 && i < row_len; i++) {
        at = at * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        scores_add(scores, (uint32_t)((at >> 33) % ITEMS), (double)(1 + (at >> 20) % 7) / 8);
    }
}

/* The number of a category of the item's, or -1. */
typedef int category_in(int item, int which);

/* 49 of 50 are in ten categories, the others in many. */
static int lopsided(int item, int which)
{
    return which ? -1 : item % 50 ? item % 10 : 10 + item / 50;
}

/* The first half are in ten, all behind are each in one of its own. */
static int crowded_first(int item, int which)
{
    return which ? -1 : item < ITEMS / 2 ? item % 10 : item;
}

/* Several, or none. */
static int mixed(int item, int which)
{
    return which < item % (SEVERAL + 1) ? 400 * which + item * 7 % (which ? 400 - which : 12) : -1;
}

struct shop {
    struct world world;
    struct model_ops ops;
    const struct model_ops *sar;
    struct reader *reader;
};

static void open_shop(struct shop *shop, category_in *category)
{
    struct engine_options options = product();
    struct world *world = &shop->world;

    *shop = (struct shop){.world = {.store = store_memory_new(NULL)}};
    begin(world, &options);
    for (int item = 0; item < ITEMS;) {
        struct event events[BATCH];
        struct fr_writer out[BATCH];
        int len = 0, first = item;
        for (; len < BATCH && item < ITEMS; item++, len++) {
            struct item_said said = {.hidden = false};
            char names[SEVERAL][16];
            for (int which = 0, number; (number = category(item, which)) >= 0; which++) {
                snprintf(names[which], sizeof(names[which]), "c%d", number);
                item_said_category(&said, fr_bytes_of(names[which]));
            }
            fr_writer_init(&out[len], 0);
            catalogue_item_write(&out[len], &said);
            events[len] = (struct event){
                .kind = EVENT_ITEM, .offset = item, .logged = NOON, .item = fr_bytes_of(ids[item]), .said = fr_written(&out[len])};
        }
        give(world, events, (size_t)len);
        await(world, first + len);
        while (len)
            fr_writer_release(&out[--len]);
    }
    checkpoint(world); /* and the engine stands still */
    shop->sar = world->engine->learners[0].ops;
    shop->ops = *shop->sar;
    shop->ops.neighbours = neighbours;
    world->engine->learners[0].ops = &shop->ops;
    shop->reader = reader_new(world->engine);
}

static void close_shop(struct shop *shop)
{
    reader_free(shop->reader);
    shop->world.engine->learners[0].ops = shop->sar;
    end(&shop->world);
    shop->world.store->ops->close(shop->world.store);
}

/* ---- pools ---- */

struct row {
    struct fr_ranked *at;
    size_t len;
    const struct learner *source;
    size_t *pools, *picked; /* how many pools were asked for, and how many items were in them */
};

static struct picks pick(struct reader *reader, const void *context, size_t k)
{
    const struct row *row = context;
    struct picks picks = {.at = fr_arena_take(&reader->arena, (k + 1) * sizeof(*picks.at)),
                          .sources = row->source ? fr_arena_take(&reader->arena, (k + 1) * sizeof(*picks.sources)) : NULL};

    for (size_t i = 0; i < row->len && picks.len < k; i++)
        if (!scores_excluded(&reader->scores, row->at[i].id)) {
            if (picks.sources)
                picks.sources[picks.len] = row->source;
            picks.at[picks.len++] = row->at[i];
        }
    ++*row->pools;
    *row->picked += picks.len;
    return picks;
}

/* ---- by hand ---- */

struct list {
    struct fr_ranked at[ITEMS];
    const struct learner *sources[ITEMS];
    double propensities[ITEMS];
    size_t len;
};

struct hand {
    struct reader *reader;
    const struct ask *ask;
    size_t k;
    uint64_t key;
    struct list list;
    bool taken[ITEMS];
    unsigned counts[ITEMS];
    double near[ITEMS]; /* by item */
};

static uint64_t word(const struct hand *hand, uint64_t number)
{
    return XXH3_64bits_withSeed(&number, sizeof(number), hand->key);
}

static bool open_to(const struct hand *hand, uint32_t item, category_in *category)
{
    bool open = !hand->taken[item];

    for (int which = 0, number; hand->ask->max_per_category && (number = category((int)item, which)) >= 0; which++)
        open = open && hand->counts[number] < hand->ask->max_per_category;
    return open;
}

static void put(struct hand *hand, struct fr_ranked one, const struct row *row, double propensity, category_in *category)
{
    struct scores *scores = &hand->reader->scratch;
    size_t len = hand->list.len++;
    double most = 0;

    hand->list.at[len] = one;
    hand->list.sources[len] = row->source;
    hand->list.propensities[len] = propensity;
    hand->taken[one.id] = true;
    for (int which = 0, number; (number = category((int)one.id, which)) >= 0; which++)
        hand->counts[number]++;
    scores_reset(scores, ITEMS);
    neighbours(NULL, one.id, scores);
    for (uint32_t i = 0; i < ITEMS; i++)
        most = scores->value[i] > most ? scores->value[i] : most;
    for (uint32_t i = 0; most > 0 && i < ITEMS; i++)
        hand->near[i] = scores->value[i] / most > hand->near[i] ? scores->value[i] / most : hand->near[i];
}

/* One place; false: nobody of the pool is left. */
static bool place_by_hand(struct hand *hand, const struct fr_ranked *pool, size_t len, const struct row *row, category_in *category)
{
    static uint32_t left[ITEMS];
    double d = hand->ask->diversity, e = hand->ask->exploration, most = 0;
    size_t lefts = 0, best = 0, place = hand->list.len, drawn;

    for (size_t i = 0; i < len; i++) {
        double span = pool[0].score - pool[len - 1].score, relevance = span > 0 ? (pool[i].score - pool[len - 1].score) / span : 1;
        double worth = (1 - d) * relevance - d * hand->near[pool[i].id];
        if (!open_to(hand, pool[i].id, category))
            continue;
        if (!lefts || worth > most) {
            best = lefts;
            most = worth;
        }
        left[lefts++] = (uint32_t)i;
    }
    if (!lefts)
        return false;
    if (place >= ARRANGED) {
        put(hand, pool[left[0]], row, 1, category);
        return true;
    }
    drawn = best;
    if ((double)(word(hand, 2 * place) >> 11) * 0x1p-53 < e)
        drawn = (size_t)(((word(hand, 2 * place + 1) >> 32) * lefts) >> 32);
    put(hand, pool[left[drawn]], row, (drawn == best ? 1 - e : 0) + e / (double)lefts, category);
    return true;
}

static void by_hand(struct hand *hand, const struct row *row, category_in *category)
{
    static struct fr_ranked pool[ITEMS];
    size_t places = hand->k < ARRANGED ? hand->k : ARRANGED, want = places * 4 < 100 ? 100 : places * 4;

    want = want > hand->k ? want : hand->k;
    for (bool all = false; !all && hand->list.len < hand->k; want *= 4) {
        size_t room = want < ITEMS ? want : ITEMS, len = 0;
        for (size_t i = 0; i < row->len && len < room; i++)
            if (!hand->taken[row->at[i].id])
                pool[len++] = row->at[i];
        all = len < room || room == ITEMS;
        while (hand->list.len < hand->k && place_by_hand(hand, pool, len, row, category))
            ;
    }
}

/* ---- questions ---- */

static void make_row(struct row *row, bool shuffled, uint32_t from, uint32_t to)
{
    double score = 1000;

    row->len = 0;
    for (uint32_t i = from; i < to; i++)
        row->at[row->len++].id = i;
    for (size_t i = row->len; shuffled && i > 1; i--) {
        size_t other = roll(i);
        struct fr_ranked one = row->at[i - 1];
        row->at[i - 1] = row->at[other];
        row->at[other] = one;
    }
    for (size_t i = 0; i < row->len; i++) {
        score -= roll(3) ? (double)roll(4) / 7 : 0; /* some are equal */
        row->at[i].score = score;
    }
}

static void assert_same(const struct picks *got, const struct list *want, size_t from, size_t to, int number)
{
    assert_int_equal(got->len, to - from);
    for (size_t i = 0; i < got->len; i++) {
        if (got->at[i].id != want->at[from + i].id)
            fail_msg("question %d: place %zu is %u, not %u", number, from + i, got->at[i].id, want->at[from + i].id);
        assert_memory_equal(&got->at[i].score, &want->at[from + i].score, sizeof(double));
        assert_ptr_equal(got->sources[i], want->sources[from + i]);
        if (got->propensities)
            assert_memory_equal(&got->propensities[i], &want->propensities[from + i], sizeof(double));
    }
}

struct counted {
    size_t pools, picked, chosen;
};

/* What one row leaves empty is filled in from another. */
static struct counted ask_for(struct shop *shop, const struct ask *ask, struct row rows[2], struct picks ret_lists[2])
{
    struct reader *reader = shop->reader;
    struct counted counted = {0};
    struct caps caps;
    struct arrangement arrangement;

    reader_begin(reader);
    assert_int_equal(reader->items, ITEMS);
    scores_reset(&reader->scores, reader->items);
    caps_init(&caps, reader, ask->max_per_category);
    arrange_init(&arrangement, reader, &caps, ask, ask->k);
    rows_read = looks = 0;
    for (int i = 0; i < 2; i++) {
        rows[i].pools = &counted.pools;
        rows[i].picked = &counted.picked;
        ret_lists[i] = arrange(&arrangement, pick, &rows[i]);
        counted.chosen += ret_lists[i].len;
    }
    reader_unmark_all(reader);
    reader_end(reader); /* the lists stand until the next question */
    return counted;
}

static void compare(category_in *category)
{
    static const double shares[] = {0, 0.1, 0.5, 0.9, 1};
    static const uint32_t lengths[] = {0, 3, 30, 400};
    static struct fr_ranked room[2][ITEMS];
    static struct hand hand;
    struct shop shop;

    open_shop(&shop, category);
    for (int i = 0; i < QUESTIONS / 4; i++) {
        struct row rows[2] = {{.at = room[0], .source = &shop.world.engine->learners[0]}, {.at = room[1]}};
        struct picks lists[2];
        char user[8];
        snprintf(user, sizeof(user), "u%d", i);
        struct ask ask = {.user = fr_bytes_of(user),
                          .k = 1 + (uint32_t)roll(i % 4 ? 30 : i % 8 ? 300 : 1200),
                          .diversity = shares[roll(5)],
                          .exploration = roll(2) ? shares[roll(5)] : 0,
                          .draw = roll(1U << 30),
                          .max_per_category = roll(5) ? 1 + (uint32_t)roll(3) : 0};
        row_len = lengths[roll(4)];
        uint32_t split = roll(3) ? (uint32_t)roll(ITEMS) : ITEMS;
        make_row(&rows[0], roll(2), 0, split);
        make_row(&rows[1], roll(2), split, ITEMS);
        ask_for(&shop, &ask, rows, lists);
        memset(&hand, 0, sizeof(hand));
        hand.reader = shop.reader;
        hand.ask = &ask;
        hand.k = ask.k;
        hand.key = XXH3_64bits_withSeed(ask.user.at, ask.user.len, ask.draw);
        by_hand(&hand, &rows[0], category);
        size_t best = hand.list.len;
        by_hand(&hand, &rows[1], category);
        assert_same(&lists[0], &hand.list, 0, best, i);
        assert_same(&lists[1], &hand.list, best, hand.list.len, i);
    }
    close_shop(&shop);
}

static void as_by_walking_where_few_categories_have_most(void **state)
{
    (void)state;
    compare(lopsided);
}

static void as_by_walking_where_these_stand_before_all_others(void **state)
{
    (void)state;
    compare(crowded_first);
}

static void as_by_walking_where_items_have_several(void **state)
{
    (void)state;
    compare(mixed);
}

/* ---- what it costs ---- */

/* Each in a pool is looked at once, however many places there are, and each of the chosen has its row read once for a pool. */
static void count_work(category_in *category, double diversity, double exploration)
{
    static struct fr_ranked room[ITEMS];
    struct shop shop;
    struct picks lists[2];

    open_shop(&shop, category);
    row_len = 30;
    struct row rows[2] = {{.at = room, .source = &shop.world.engine->learners[0]}, {.at = NULL}};
    make_row(&rows[0], false, 0, ITEMS);
    struct ask ask = {.user = FR_BYTES("u"), .k = 100, .diversity = diversity, .exploration = exploration, .draw = 5, .max_per_category = 1};
    struct counted counted = ask_for(&shop, &ask, rows, lists);
    assert_int_equal(counted.chosen, ask.k);
    assert_true(counted.pools > 1);
    assert_true(counted.picked <= 2 * ITEMS);
    assert_true(looks <= counted.picked);
    assert_true(rows_read <= (diversity > 0 ? counted.pools * counted.chosen : 0));
    close_shop(&shop);
}

static void no_place_costs_a_look_at_all(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        count_work(lopsided, i ? 0.5 : 0, i < 2 ? 0.5 : 0);
        count_work(crowded_first, i ? 0.5 : 0, i < 2 ? 0.5 : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_by_walking_where_few_categories_have_most),
        cmocka_unit_test(as_by_walking_where_these_stand_before_all_others),
        cmocka_unit_test(as_by_walking_where_items_have_several),
        cmocka_unit_test(no_place_costs_a_look_at_all),
    };

    for (int i = 0; i < ITEMS; i++)
        snprintf(ids[i], sizeof(ids[i]), "i%d", i);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
