/*
 * promises_test.c -- what the engine has told the world, a power cut must leave; and what the store refuses is not lost.
 *
 *     world:   events and bad records flow, checkpoints are written and synced as they come
 *     cut:     at any moment, what a machine would find after a power cut, opened as another engine
 *
 * Each event has a user of its own, so that the users of an engine say how many events it holds; every fifth record is bad.
 * Both must be what its position says, and its position not before anything that was told.
 */
#include "engine_world.h"

enum { RECORDS = 400, BAD_EVERY = 5, REFUSE_EVERY = 7 };

static bool is_bad(int64_t offset)
{
    return offset % BAD_EVERY == BAD_EVERY - 1;
}

static void give_record(struct world *world, int64_t offset)
{
    const struct reject reject = {.reason = "undecodable", .message = FR_BYTES("bad")};
    char user[16];

    snprintf(user, sizeof(user), "user%d", (int)offset);
    struct event record = event(offset, user, "apple", NOON);
    if (is_bad(offset))
        record = (struct event){.kind = EVENT_REJECT, .offset = offset, .logged = NOON, .reject = &reject};
    give(world, &record, 1);
    await(world, offset + 1); /* `reject` is no longer needed */
}

/* Its letters, from the first to the last, are those of the bad records before its position; some at the front may have left. */
static void check_letters(struct world *world)
{
    const struct dead_letter *letter;
    int64_t last = -1;

    while ((letter = engine_outbox_take(world->engine, 0))) {
        assert_true(is_bad(letter->offset) && letter->offset < world->next);
        assert_true(last < 0 || letter->offset == last + BAD_EVERY);
        last = letter->offset;
    }
    if (world->next >= BAD_EVERY)
        assert_int_equal(last, (world->next - BAD_EVERY) / BAD_EVERY * BAD_EVERY + BAD_EVERY - 1);
}

/* What is in the store that a power cut leaves; returns its position. */
static int64_t check_cut(const struct world *world, const struct engine_options *options)
{
    struct world cut = {.store = store_memory_after_power_cut(world->store)};
    struct fr_err err;

    if (engine_open(&cut.engine, options, cut.store, &err))
        fail_msg("%s", err.text);
    assert_int_equal(engine_partition(cut.engine, TOPIC, 0, &cut.partition, &cut.next, &err), FR_OK);
    int64_t next = cut.next < 0 ? 0 : cut.next;
    assert_int_equal(dict_len(cut.engine->users), next - next / BAD_EVERY);
    assert_int_equal(atomic_load(&cut.engine->events), next - next / BAD_EVERY);
    check_letters(&cut);
    engine_free(cut.engine);
    cut.store->ops->close(cut.store);
    return next;
}

/* Told is what stands in `durable`, and each letter that may leave. The world is looked at first, the cut comes after. */
static void check_told(struct world *world, const struct engine_options *options, int64_t *told)
{
    const struct dead_letter *letter;
    int64_t durable = atomic_load(&partition_at(world->engine, world->partition)->durable);

    *told = durable > *told ? durable : *told;
    while ((letter = engine_outbox_take(world->engine, 0)))
        *told = letter->offset + 1 > *told ? letter->offset + 1 : *told;
    assert_true(check_cut(world, options) >= *told);
}

static void nothing_is_told_that_a_power_cut_could_take_back(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = parity();
    int64_t told = 0;

    (void)state;
    options.wal_sync_interval = 20; /* far from the write, so that there is much to be told too early */
    begin(&world, &options);
    for (int64_t offset = 0; offset < RECORDS; offset++) {
        give_record(&world, offset);
        check_told(&world, &options, &told);
    }
    checkpoint(&world);
    check_told(&world, &options, &told);
    assert_int_equal(told, RECORDS);
    end(&world);
    world.store->ops->close(world.store);
}

/* The store is set to refuse a write before the checkpoint that makes it: one or the other journal meets it. */
static void what_the_store_refuses_comes_before_what_follows(void **state)
{
    struct store_faults faults = {.code = FR_IO};
    struct world world = {.store = store_memory_new(&faults)};
    struct engine_options options = parity();

    (void)state;
    options.checkpoint_interval = 1000000; /* only when asked, so that the next write is one of ours */
    begin(&world, &options);
    checkpoint(&world);
    for (int64_t offset = 0; offset < RECORDS / 10; offset++) {
        give_record(&world, offset);
        if (offset % REFUSE_EVERY == 0)
            faults.fail_write_at = 1;
        checkpoint(&world);
        assert_int_equal(faults.fail_write_at, 0);
        assert_int_equal(check_cut(&world, &options), offset + 1);
    }
    end(&world);
    world.store->ops->close(world.store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_told_that_a_power_cut_could_take_back),
        cmocka_unit_test(what_the_store_refuses_comes_before_what_follows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
