/*
 * histories_test.c -- the rules of a history, by hand and by long random sequences; whole copies beside the writer;
 * memory.
 */
#include "histories_world.h"

#include <inttypes.h>
#include <pthread.h>

static void long_random_sequences_agree_with_direct_summation(void **state)
{
    static const span_ms half_lives[] = {0, 86400000, 30 * (span_ms)86400000, 3600000};
    struct history_copy copy = {0};

    (void)state;
    for (uint64_t seed = 0; seed < 8; seed++) {
        struct world world = world_new(half_lives[seed % 4], seed >= 4);
        uint64_t random = seed, slots = 0;

        for (int step = 0; step < 20000; step++) {
            uint32_t user = random_below(&random, USERS);

            world_step(&world, user, &random);
            users_agree(&world, user, &copy);
            if (step % 100 == 0)
                fr_epoch_reclaim(world.epoch);
        }
        for (uint32_t user = 0; user < USERS; user++)
            slots += world.users[user].len;
        assert_int_equal(histories_slots(world.histories), slots);
        world_free(&world);
    }
    history_copy_release(&copy);
}

static void an_affinity_worked_by_hand(void **state)
{
    struct world world = world_new(1000, true);
    struct history view;

    (void)state;
    histories_touch(world.histories, 0, UINT32_MAX, 7, 1000, 4);
    histories_touch(world.histories, 0, 0, 7, 2000, 1); /* 4/2 + 1 */
    view = histories_view(world.histories, 0);
    assert_true(view.affinity[0] == 3 && view.unit[0] == 1.5);
    histories_touch(world.histories, 0, 0, 7, 0, 8); /* two half-lives late: 3 + 8/4 */
    assert_true(view.affinity[0] == 5 && view.unit[0] == 1.75);
    assert_int_equal(stamp_last(view.stamp[0]), 2000);
    assert_int_equal(stamp_repeats(view.stamp[0]), 3);
    assert_false(histories_untouch(world.histories, 0, 0, 1000, 4)); /* 5 - 4/2 */
    assert_true(view.affinity[0] == 3 && view.unit[0] == 1.25);
    assert_false(histories_untouch(world.histories, 0, 0, 2000, 1)); /* its time stays the slot's */
    assert_true(view.affinity[0] == 2 && view.unit[0] == 0.25);
    assert_int_equal(stamp_last(view.stamp[0]), 2000);
    assert_true(histories_untouch(world.histories, 0, 0, 0, 8));
    assert_true(view.affinity[0] == 0 && view.unit[0] == 0);
    assert_int_equal(histories_view(world.histories, 0).len, 1); /* still there, to be dropped */
    world_free(&world);
}

static void the_repeat_count_sticks_at_its_top(void **state)
{
    struct world world = world_new(0, false);
    struct history_copy copy = {0};

    (void)state;
    histories_touch(world.histories, 3, UINT32_MAX, 5, 10, 1);
    for (uint32_t i = 1; i < STAMP_REPEATS_MAX + 5; i++)
        histories_touch(world.histories, 3, 0, 5, 10, 1);
    histories_copy(world.histories, 3, &copy);
    assert_int_equal(stamp_repeats(copy.view.stamp[0]), (1 << 20) - 1);
    assert_true(copy.view.affinity[0] == (1 << 20) + 4);
    assert_int_equal(histories_events(world.histories, 3), (1 << 20) + 4);
    /* How many there really were is no longer known, so it never says that the last one has gone. */
    assert_false(histories_untouch(world.histories, 3, 0, 10, 1));
    histories_copy(world.histories, 3, &copy);
    assert_int_equal(stamp_repeats(copy.view.stamp[0]), (1 << 20) - 1);
    assert_int_equal(histories_events(world.histories, 3), (1 << 20) + 3);
    history_copy_release(&copy);
    world_free(&world);
}

static void a_user_not_yet_there_has_an_empty_history(void **state)
{
    struct world world = world_new(0, false);
    struct history_copy copy = {0};

    (void)state;
    world_touch(&world, 0, 1, 77, 1);
    histories_copy(world.histories, 0, &copy);
    assert_int_equal(copy.view.len, 1);
    histories_copy(world.histories, USERS, &copy);
    assert_int_equal(copy.view.len, 0);
    for (int stage = 0; stage < 2; stage++)
        for (uint32_t user = 0; user <= USERS; user++)
            histories_prefetch(world.histories, user, stage);
    history_copy_release(&copy);
    world_free(&world);
    histories_free(NULL);
}

/* ---- readers beside the writer ---- */

/*
 * With weight item + 1 and no decay, whatever one operation leaves behind obeys: affinity = repeats * (item + 1),
 * unit = repeats, no step is 0, no item stands in two slots. Half an operation breaks at least one.
 */
struct race {
    struct world world;
    atomic_bool over;
    _Atomic uint64_t wrong, slots; /* slots: that were copied */
};

static bool copy_whole(const struct history_copy *copy)
{
    const struct history *view = &copy->view;
    uint64_t met = 0;

    for (uint32_t i = 0; i < view->len; i++) {
        uint32_t repeats = stamp_repeats(view->stamp[i]);

        if (view->item[i] >= ITEMS || met >> view->item[i] & 1 || view->step[i] == 0 ||
            view->affinity[i] != repeats * (view->item[i] + 1.0) || view->unit[i] != repeats)
            return false;
        met |= UINT64_C(1) << view->item[i];
    }
    return true;
}

static void *race_read(void *context)
{
    struct race *race = context;
    struct fr_epoch_reader *reader = fr_epoch_join(race->world.epoch);
    struct history_copy copy = {0};
    uint64_t random = 5;

    while (!atomic_load(&race->over)) {
        fr_epoch_enter(reader);
        histories_copy(race->world.histories, random_below(&random, USERS), &copy);
        if (!copy_whole(&copy))
            race->wrong++;
        race->slots += copy.view.len;
        fr_epoch_leave(reader);
    }
    history_copy_release(&copy);
    fr_epoch_part(reader);
    return NULL;
}

static void race_step(struct histories *histories, uint64_t *random)
{
    uint32_t user = random_below(random, USERS), dice = random_below(random, 1000);
    struct history view = histories_view(histories, user);
    uint32_t at = view.len ? random_below(random, view.len) : 0;

    if (dice < 5) {
        histories_wipe(histories, user);
    } else if (dice < 300 && view.len) {
        uint32_t item = view.item[at];

        while (!histories_untouch(histories, user, at, 0, item + 1.0))
            ;
        histories_drop(histories, user, at);
    } else {
        uint32_t item = random_below(random, ITEMS);

        histories_touch(histories, user, histories_find(histories, user, item), item, random_below(random, 1000000),
                        item + 1.0);
    }
}

static void readers_see_each_history_whole(void **state)
{
    struct race race = {.world = world_new(0, true)};
    pthread_t readers[2];
    uint64_t random = 99;

    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, race_read, &race), 0);
    for (int step = 0; step < 400000 || !race.slots; step++) { /* until the readers have had their turn */
        race_step(race.world.histories, &random);
        if (step % 64 == 0)
            fr_epoch_reclaim(race.world.epoch);
    }
    atomic_store(&race.over, true);
    for (int i = 0; i < 2; i++)
        pthread_join(readers[i], NULL);
    assert_int_equal(race.wrong, 0);
    world_free(&race.world);
}

/* ---- memory ---- */

static void a_slot_costs_24_bytes_with_its_slack_and_a_user_at_most_64(void **state)
{
    enum { MANY = 5000 };

    (void)state;
    assert_true(sizeof(struct head) <= 64);
    for (int units = 0; units < 2; units++) {
        struct fr_epoch *epoch = fr_epoch_new();
        struct histories_options options = {.users_max = MANY, .units = units};
        struct histories *histories = histories_new(&options, epoch);
        size_t slot = units ? 30 : 22, taken;
        uint64_t random = 1;

        histories_extend(histories, MANY);
        for (uint32_t user = 0; user < MANY; user++)
            for (uint32_t len = 4 + random_below(&random, 97), item = 0; item < len; item++)
                histories_touch(histories, user, UINT32_MAX, item, 1000, 1);
        fr_epoch_reclaim(epoch); /* so that only blocks in use are counted */
        taken = MANY * sizeof(struct head);
        for (uint32_t user = 0; user < MANY; user++) {
            const struct head *head = fr_array_at(&histories->heads, user);
            size_t room = fr_slab_room(histories->slab, OWN(head->cap) * slot);

            taken += room;
            assert_true((double)room <= (1 + 1 / 8.0) * (1 + 1 / 16.0) * (double)(OWN(head->len) * slot) + 16);
        }
        print_message("%" PRIu64 " slots: %.1f bytes each, %zu per user; reported %zu, taken %zu\n",
                      histories_slots(histories),
                      (double)fr_slab_bytes(histories->slab) / (double)histories_slots(histories), sizeof(struct head),
                      histories_bytes(histories), taken);
        assert_true((double)histories_bytes(histories) >= 0.98 * (double)taken);
        assert_true((double)histories_bytes(histories) <= 1.02 * (double)taken);
        assert_true(fr_slab_bytes(histories->slab) <= histories_slots(histories) * (slot + 2));
        fr_epoch_free(epoch);
        histories_free(histories);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_affinity_worked_by_hand),
        cmocka_unit_test(long_random_sequences_agree_with_direct_summation),
        cmocka_unit_test(the_repeat_count_sticks_at_its_top),
        cmocka_unit_test(a_user_not_yet_there_has_an_empty_history),
        cmocka_unit_test(readers_see_each_history_whole),
        cmocka_unit_test(a_slot_costs_24_bytes_with_its_slack_and_a_user_at_most_64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
