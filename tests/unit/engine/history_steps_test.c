/*
 * history_steps_test.c -- histories whose items are further apart than a step can say, through the whole engine and its store.
 */
#include "engine_world.h"
#include "histories_private.h"

enum { OTHERS = 50, KEPT = 6, NEAR = 3 };

/* What ann's history must be, with numbers of arrival that never change. */
struct diary {
    uint32_t items[KEPT + 1], arrivals[KEPT + 1];
    when_ms lasts[KEPT + 1];
    uint32_t len, arrived;
};

static void diary_event(struct diary *diary, uint32_t item, when_ms when)
{
    uint32_t at = 0, oldest = 0;

    while (at < diary->len && diary->items[at] != item)
        at++;
    diary->lasts[at] = when;
    if (at < diary->len)
        return;
    diary->items[at] = item;
    diary->arrivals[at] = diary->arrived++;
    if (++diary->len <= KEPT)
        return;
    for (uint32_t i = 1; i < diary->len; i++)
        if (diary->lasts[i] < diary->lasts[oldest])
            oldest = i;
    for (diary->len--; oldest < diary->len; oldest++) {
        diary->items[oldest] = diary->items[oldest + 1];
        diary->arrivals[oldest] = diary->arrivals[oldest + 1];
        diary->lasts[oldest] = diary->lasts[oldest + 1];
    }
}

static void diary_agrees(const struct diary *diary, struct engine *engine)
{
    struct history history = histories_view(engine->histories, 0);
    struct model_stats stats;
    uint64_t pairs = 0;

    assert_int_equal(history.len, diary->len);
    for (uint32_t i = 0; i < diary->len; i++) {
        uint32_t next = i + 1 < diary->len ? diary->arrivals[i + 1] : diary->arrived;
        uint32_t apart = next - diary->arrivals[i];
        assert_int_equal(history.item[i], diary->items[i]);
        if (apart < HISTORY_STEP_FAR)
            assert_int_equal(history.step[i], apart);
        else
            assert_true(history.step[i] >= HISTORY_STEP_FAR);
        for (uint32_t j = 0; j < i; j++)
            pairs += 2 * (diary->arrivals[i] - diary->arrivals[j] <= NEAR);
    }
    engine->answering->ops->stats(engine->answering->model, &stats);
    assert_int_equal(stats.pairs, pairs);
}

static void diary_continues(struct diary *diary, struct world *world, int64_t offset, int64_t len)
{
    struct event events[EVENT_BATCH_MAX];
    char names[OTHERS + 1][8] = {"apple"};

    for (int i = 1; i <= OTHERS; i++)
        snprintf(names[i], sizeof(names[i]), "i%d", i);
    for (int64_t i = 0; i < len; i++) {
        int64_t number = offset + i;
        uint32_t item = number % 5 == 0 ? 0 : 1 + (uint32_t)(number - number / 5 - 1) % OTHERS;
        events[i] = event(number, "ann", names[item], NOON + number);
        diary_event(diary, item, NOON + number);
    }
    give(world, events, (size_t)len);
    await(world, offset + len);
    diary_agrees(diary, world->engine);
}

/* Ann comes back to apple all the time, so it stays, while a hundred thousand others come and go. The engine restarts at
 * once when slots have been renumbered, for soon they would have gone. */
static void a_favourite_keeps_its_place_however_many_come_and_go(void **state)
{
    enum { EVENTS = 130000, BATCH = 500 };
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = product();
    struct diary diary = {0};
    uint32_t numbers = 0, restarts = 0;

    (void)state;
    options.history_max = KEPT;
    options.dedup_window = 0;
    begin(&world, &options);
    for (int64_t offset = 0; offset < EVENTS;) {
        struct history history = offset ? histories_view(world.engine->histories, 0) : (struct history){0};
        int64_t len = history.len && history.step[0] > HISTORY_STEP_MAX - BATCH ? 1 : BATCH;
        diary_continues(&diary, &world, offset, len);
        offset += len;
        uint32_t before = numbers;
        numbers = histories_next_sequence(world.engine->histories, 0);
        if (numbers >= before)
            continue;
        end(&world);
        begin(&world, &options);
        diary_agrees(&diary, world.engine);
        restarts++;
    }
    assert_int_equal(restarts, 2); /* when apple was 65,536 behind, and 32,768 later */
    end(&world);
    world.store->ops->close(world.store);
}

/* A store of before steps were bounded: what is read is numbered anew, and written so before anything else changes. */
static void cells_too_far_apart_are_written_anew(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = product();
    const struct event before = event(0, "ann", "apple", NOON);
    const struct event far[] = {event(1, "ann", "bread", NOON), event(2, "ann", "cheese", NOON)};
    const struct event again = event(3, "ann", "bread", NOON);

    (void)state;
    begin(&world, &options);
    give(&world, &before, 1);
    await(&world, 1);
    struct head *head = fr_array_at(&world.engine->histories->heads, 0);
    atomic_store(&head->next_sequence, 100000); /* the engine's thread has nothing to do */
    give(&world, far, 2);
    await(&world, 3);
    end(&world);
    for (int round = 0; round < 3; round++) { /* bread's cell is written in the first, cheese's is not */
        begin(&world, &options);
        struct history history = histories_view(world.engine->histories, 0);
        assert_int_equal(history.len, 3);
        for (uint32_t i = 0; i < 3; i++) {
            assert_int_equal(history.item[i], i);
            assert_int_equal(history.step[i], i ? 1 : HISTORY_STEP_FAR);
        }
        if (round == 0) {
            give(&world, &again, 1);
            await(&world, 4);
        }
        end(&world);
    }
    world.store->ops->close(world.store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_favourite_keeps_its_place_however_many_come_and_go),
        cmocka_unit_test(cells_too_far_apart_are_written_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
