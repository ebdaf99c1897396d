/*
 * feature_rows_test.c -- keys to rows, against a list that is searched from its beginning; admission, expiry and the cap;
 * ten times the ids there is room for; a restart; askers who look while rows come and go.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cell_store.h"
#include "feature_rows.h"
#include "rows_copy.h"

enum { D = 32 };

struct world {
    struct fr_epoch *epoch;
    struct journal *journal;
    struct features features;
    uint64_t random;
    uint32_t now;
};

static struct world *world_new(uint32_t max, uint32_t admit, uint32_t ttl)
{
    struct world *world = fr_zalloc(1, sizeof(*world));

    world->epoch = fr_epoch_new();
    world->journal = journal_new();
    const struct features_options options = {max, admit, ttl};
    features_init(&world->features, &options, D, 0.1F, TABLE_FM_FEATURES, world->epoch);
    features_settle(&world->features, &(struct features_hand){0});
    return world;
}

static void world_free(struct world *world)
{
    features_release(&world->features);
    fr_epoch_free(world->epoch);
    journal_free(world->journal);
    free(world);
}

static uint64_t random_word(struct world *world)
{
    uint64_t z = world->random += UINT64_C(0x9E3779B97F4A7C15);

    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

static uint64_t key_of(uint32_t number)
{
    return (number + 1) * UINT64_C(0x9E3779B97F4A7C15);
}

/* The key is found where it lies, or nowhere, and no other lies there. */
static uint32_t find_plainly(const struct features *features, uint64_t key)
{
    uint32_t found = FEATURE_NONE;

    for (uint32_t row = 0; row < features->state.len; row++) {
        if (*embedding_key(&features->rows, row) != key)
            continue;
        assert_int_equal(found, FEATURE_NONE);
        found = row;
    }
    return found;
}

static void each_key_has_a_row_of_its_own(void **state)
{
    struct world *world = world_new(3000, 1, 0);
    struct features *features = &world->features;

    (void)state;
    assert_int_equal(features_use(features, 0, 1), FEATURE_NONE);
    for (uint32_t k = 0; k < 3000; k++) {
        uint32_t row = features_use(features, key_of(k), 5);
        assert_int_equal(row, k);
        assert_true(embedding_state(&features->rows, row)->scale == 0.1F);
        fr_epoch_reclaim(world->epoch);
        if (k % 100 == 0) { /* in the middle of a rehash too */
            for (uint32_t other = 0; other <= k; other++)
                assert_int_equal(features_find(features, key_of(other)), other);
        }
    }
    for (uint32_t k = 0; k < 3000; k++)
        assert_int_equal(features_use(features, key_of(k), 6), k);
    assert_int_equal(features->live, 3000);
    assert_int_equal(features_find(features, key_of(3000)), FEATURE_NONE);
    assert_int_equal(embedding_state(&features->rows, 7)->count, 2);
    world_free(world);
}

static void a_key_is_admitted_at_its_third_use(void **state)
{
    struct world *world = world_new(1000, 3, 0);
    struct features *features = &world->features;

    (void)state;
    for (uint32_t k = 0; k < 200; k++) {
        assert_int_equal(features_use(features, key_of(k), 5), FEATURE_NONE);
        assert_int_equal(features_use(features, key_of(k), 5), FEATURE_NONE);
        assert_int_equal(features_use(features, key_of(k), 5), k);
    }
    assert_int_equal(features->state.refused, 400);
    assert_int_equal(features->state.admitted, 200);
    world_free(world);
}

static void rows_unused_for_the_ttl_are_freed_and_taken_again(void **state)
{
    struct world *world = world_new(1000, 1, 100);
    struct features *features = &world->features;

    (void)state;
    for (uint32_t k = 0; k < 100; k++)
        features_use(features, key_of(k), 1000);
    for (uint32_t k = 0; k < 50; k++)
        features_use(features, key_of(k), 1090);
    for (uint32_t k = 100; k < 300; k++) /* the hand looks at two rows each time */
        features_use(features, key_of(k), 1101);
    assert_int_equal(features->state.expired, 50);
    for (uint32_t k = 0; k < 300; k++) {
        uint32_t row = features_find(features, key_of(k));
        assert_int_equal(row == FEATURE_NONE, k >= 50 && k < 100);
        assert_int_equal(row, find_plainly(features, key_of(k)));
    }
    assert_int_equal(features->state.len, 250); /* and no more than were ever needed at once */
    world_free(world);
}

static void the_cap_holds_and_what_is_used_stays(void **state)
{
    struct world *world = world_new(500, 1, 0);
    struct features *features = &world->features;

    (void)state;
    for (uint32_t k = 0; k < 20000; k++) {
        features_use(features, key_of(k), 1000 + k);
        for (uint32_t hot = 0; hot < 20 && k % 10 == 0; hot++)
            features_use(features, key_of(hot), 1000 + k);
        fr_epoch_reclaim(world->epoch);
    }
    assert_int_equal(features->state.len, 500);
    assert_int_equal(features->live, 500);
    assert_int_equal(features->state.evicted, features->state.admitted - 500);
    for (uint32_t hot = 0; hot < 20; hot++)
        assert_int_not_equal(features_find(features, key_of(hot)), FEATURE_NONE);
    assert_int_equal(features->state.admitted, 20000); /* none of the twenty was ever let in twice */
    world_free(world);
}

/* Ten times as many ids as there is room for, each but once, between a hundred that come again and again. */
static void an_explosion_of_ids_costs_no_memory_and_drives_nobody_out(void **state)
{
    enum { MAX = 4000 };
    struct world *world = world_new(MAX, 3, 0);
    struct features *features = &world->features;
    size_t before = 0;

    (void)state;
    for (uint32_t k = 0; k < 10 * MAX; k++) {
        features_use(features, random_word(world) | 1, 1000 + k);
        features_use(features, key_of(k % 100), 1000 + k);
        fr_epoch_reclaim(world->epoch);
        if (k == 1000)
            before = features_bytes(features);
    }
    assert_true(features->live >= 100 && features->live < 120); /* by chance two ids may share a signature */
    assert_int_equal(features->state.evicted, 0);
    assert_true(features_bytes(features) < before + 20 * 170);
    for (uint32_t k = 0; k < 100; k++)
        assert_int_not_equal(features_find(features, key_of(k)), FEATURE_NONE);
    world_free(world);
}

/* goals.md, Memory: at most 170 bytes per row at d = 32; index and keys included, also while it is rehashed. */
static void a_row_is_small(void **state)
{
    struct world *world = world_new(100000, 1, 0);
    struct features *features = &world->features;

    (void)state;
    for (uint32_t k = 0; k < 100000; k++) {
        features_use(features, key_of(k), 1);
        fr_epoch_reclaim(world->epoch);
        if (k > 1000 && k % 50 == 0)
            assert_true(features_bytes(features) <= 170 * (size_t)(k + 1));
    }
    world_free(world);
}

static void use_at_random(struct world *world, uint32_t uses)
{
    for (uint32_t k = 0; k < uses; k++) {
        uint64_t word = random_word(world);
        uint32_t row = features_use(&world->features, key_of((uint32_t)(word % (word >> 63 ? 300 : 2000))),
                                   1000 + world->now++);
        if (row == FEATURE_NONE)
            continue;
        embedding_change(&world->features.rows, row);
        embedding_vector(&world->features.rows, row)[word % D] += 1;
    }
    fr_epoch_reclaim(world->epoch);
}

static void load(struct world *world, struct cell_store *store, const struct features_hand *hand)
{
    for (uint32_t row = 0; row < STORE_ROWS; row++) {
        const struct stored *cell = &store->first[TABLE_FM_FEATURES][row];
        if (cell->at)
            assert_true(embedding_load(&world->features.rows, row, (struct fr_bytes){cell->at, cell->len}));
    }
    for (uint32_t block = 0; block < STORE_COLUMNS; block++) {
        const struct stored *cell = cell_store_at(store, TABLE_FM_DENSE, 1, block);
        if (cell->at)
            assert_true(features_load_filter(&world->features, block, (struct fr_bytes){cell->at, cell->len}));
    }
    features_settle(&world->features, hand);
}

static void a_restart_goes_on_as_if_there_had_been_none(void **state)
{
    struct world *world = world_new(500, 2, 1400), *other = world_new(500, 2, 1400);
    struct cell_store *store = fr_zalloc(1, sizeof(*store));

    (void)state;
    for (int round = 0; round < 5; round++) {
        use_at_random(world, 2000);
        features_save(&world->features, world->journal, TABLE_FM_DENSE, 1);
        assert_int_not_equal(features_pay(&world->features, 100000), 0);
        cell_store_take(store, world->journal);
    }
    assert_true(world->features.state.evicted > 100 && world->features.state.expired > 100);
    load(other, store, &world->features.state);
    other->random = world->random;
    other->now = world->now;
    use_at_random(world, 3000);
    use_at_random(other, 3000);
    assert_memory_equal(&other->features.state, &world->features.state, sizeof(struct features_hand));
    assert_int_equal(other->features.live, world->features.live);
    assert_memory_equal(embedding_vector(&other->features.rows, 0), embedding_vector(&world->features.rows, 0),
                        500 * D * 4);
    assert_memory_equal(embedding_state(&other->features.rows, 0), embedding_state(&world->features.rows, 0), 500 * 20);
    assert_memory_equal(embedding_key(&other->features.rows, 0), embedding_key(&world->features.rows, 0), 500 * 8);
    assert_memory_equal(other->features.cells, world->features.cells, other->features.buckets * 16);
    world_free(world);
    world_free(other);
    cell_store_free(store);
}

/* Rows freed, given to other keys and learned while they are owed, and the filter's cells, which go on counting. */
static void what_is_owed_is_saved_as_it_was(void **state)
{
    struct world *world = world_new(500, 2, 1400);
    struct cell_store *store = fr_zalloc(1, sizeof(*store));
    uint64_t gone = 0;

    (void)state;
    for (int round = 0; round < 20; round++) {
        use_at_random(world, 300);
        struct features_hand hand = world->features.state;
        struct rows_copy rows = rows_copy_of(&world->features.rows);
        void *filter = bytes_copy(world->features.cells, world->features.buckets * (size_t)16);
        features_save(&world->features, world->journal, TABLE_FM_DENSE, 1);
        do
            use_at_random(world, 20);
        while (!features_pay(&world->features, 10));
        gone += world->features.state.evicted + world->features.state.expired - hand.evicted - hand.expired;
        cell_store_take(store, world->journal);
        struct world *other = world_new(500, 2, 1400);
        load(other, store, &hand);
        rows_copy_assert(&rows, &other->features.rows);
        assert_memory_equal(filter, other->features.cells, world->features.buckets * (size_t)16);
        rows_copy_free(&rows);
        free(filter);
        world_free(other);
    }
    assert_true(gone > 1000);
    world_free(world);
    cell_store_free(store);
}

/* A chain that no save of ours can have left is made anew, never followed. */
static void a_broken_chain_is_mended(void **state)
{
    struct world *world = world_new(500, 1, 100);
    struct features *features = &world->features;
    struct features_hand hand;

    (void)state;
    for (uint32_t k = 0; k < 200; k++)
        features_use(features, key_of(k), 1000);
    for (uint32_t k = 200; k < 260; k++)
        features_use(features, key_of(k), 2000);
    hand = features->state;
    assert_true(hand.chain != 0);
    embedding_state(&features->rows, hand.chain - 1)->last = hand.chain; /* a ring */
    features_settle(features, &hand);
    for (uint32_t k = 300; k < 900; k++) {
        uint32_t row = features_use(features, key_of(k), 2000);
        assert_int_equal(find_plainly(features, key_of(k)), row);
    }
    world_free(world);
}

struct looking {
    struct world *world;
    _Atomic bool stop;
    _Atomic uint32_t looked, wrong, lost;
};

/* Row of key k is full of the number k. Keys below 50 are always there. */
static void *keep_looking(void *arg)
{
    struct looking *looking = arg;
    struct features *features = &looking->world->features;
    struct fr_epoch_reader *reader = fr_epoch_join(looking->world->epoch);

    while (!atomic_load(&looking->stop)) {
        fr_epoch_enter(reader);
        const struct shown *shown = embedding_shown(&features->rows);
        for (uint32_t k = 0; k < 200; k++) {
            uint32_t row = features_shown(features, shown, key_of(k));
            if (row == FEATURE_NONE)
                atomic_fetch_add(&looking->lost, k < 50);
            else
                atomic_fetch_add(&looking->wrong, shown_vector(shown, D, row)[k % D] != (float)k);
        }
        fr_epoch_leave(reader);
        atomic_fetch_add(&looking->looked, 1);
    }
    fr_epoch_part(reader);
    return NULL;
}

static void use_and_fill(struct world *world, uint32_t number, uint32_t when)
{
    uint32_t row = features_use(&world->features, key_of(number), when);

    for (size_t k = 0; k < D; k++)
        embedding_vector(&world->features.rows, row)[k] = (float)number;
}

static void askers_find_what_is_shown_while_rows_come_and_go(void **state)
{
    struct world *world = world_new(20000, 1, 3);
    struct looking looking = {.world = world};
    pthread_t asker;

    (void)state;
    for (uint32_t k = 0; k < 50; k++)
        use_and_fill(world, k, 1);
    embedding_publish(&world->features.rows);
    assert_int_equal(pthread_create(&asker, NULL, keep_looking, &looking), 0);
    for (uint32_t when = 1; when < 60 || atomic_load(&looking.looked) < 100; when++) {
        for (uint32_t k = 0; k < 400; k++) {
            use_and_fill(world, k % 50, when);
            use_and_fill(world, 50 + (uint32_t)(random_word(world) % 4000), when);
        }
        embedding_publish(&world->features.rows);
        fr_epoch_reclaim(world->epoch);
    }
    atomic_store(&looking.stop, true);
    pthread_join(asker, NULL);
    assert_int_equal(looking.wrong, 0);
    assert_int_equal(looking.lost, 0);
    assert_true(world->features.state.expired > 1000);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_key_has_a_row_of_its_own),
        cmocka_unit_test(a_key_is_admitted_at_its_third_use),
        cmocka_unit_test(rows_unused_for_the_ttl_are_freed_and_taken_again),
        cmocka_unit_test(the_cap_holds_and_what_is_used_stays),
        cmocka_unit_test(an_explosion_of_ids_costs_no_memory_and_drives_nobody_out),
        cmocka_unit_test(a_row_is_small),
        cmocka_unit_test(a_restart_goes_on_as_if_there_had_been_none),
        cmocka_unit_test(what_is_owed_is_saved_as_it_was),
        cmocka_unit_test(a_broken_chain_is_mended),
        cmocka_unit_test(askers_find_what_is_shown_while_rows_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
