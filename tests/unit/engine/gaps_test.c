/*
 * gaps_test.c -- what a position knows besides its offset: the last record's fingerprint, the holes behind it, whose cluster
 * it is of. All of it is written with the state, and only with it.
 */
#include <sched.h>

#include "engine_private.h"
#include "engine_world.h"
#include "freshet/format.h"

static struct world open_world(struct store *store)
{
    struct world world = {.store = store};
    struct engine_options options = parity();

    begin(&world, &options);
    return world;
}

static void give_one(struct world *world, struct event one, int64_t next)
{
    give(world, &one, 1);
    await(world, next);
}

static struct event hole(int64_t to)
{
    return (struct event){.kind = EVENT_HOLE, .offset = to, .logged = -1};
}

static struct event printed(int64_t offset, uint64_t print)
{
    struct event one = event(offset, "ann", "apple", NOON);

    one.print = print;
    return one;
}

static double skipped(void)
{
    return fr_series_value(fr_series(FR_M_EVENTS_SKIPPED, TOPIC, "0", ""));
}

/* What the store says; false: no holes. */
static bool stored_holes(struct store *store, struct format_holes *ret)
{
    struct fr_writer key;
    struct fr_err err;
    char *value;
    size_t len;

    fr_writer_init(&key, 0);
    format_holes_key(&key, FR_BYTES(TOPIC), 0);
    bool there = store->ops->get(store, fr_written(&key), &value, &len, &err) == FR_OK;
    if (there) {
        assert_true(format_holes_read(fr_written(&key), (struct fr_bytes){value, len}, ret));
        free(value);
    }
    fr_writer_release(&key);
    return there;
}

static void the_last_record_is_stored_with_the_position(void **state)
{
    struct store *store = store_memory_new(NULL);
    struct world world = open_world(store);
    uint64_t print;
    int64_t last;

    (void)state;
    assert_false(engine_partition_print(world.engine, world.partition, &last, &print));
    give_one(&world, printed(0, 11), 1);
    give_one(&world, printed(1, 0xffffffffffffffff), 2);
    give_one(&world, (struct event){.kind = EVENT_POSITION, .offset = 4, .logged = -1, .print = 5}, 4); /* no record */
    give_one(&world, printed(3, 12), 4);                                                              /* an old one */
    end(&world);
    world = open_world(store);
    assert_int_equal(world.next, 4);
    assert_true(engine_partition_print(world.engine, world.partition, &last, &print));
    assert_int_equal(last, 1);
    assert_true(print == 0xffffffffffffffff);
    const struct reject reject = {.reason = "undecodable", .message = FR_BYTES("bad")};
    give_one(&world, (struct event){.kind = EVENT_REJECT, .offset = 4, .logged = NOON, .print = 13, .reject = &reject}, 5);
    end(&world);
    world = open_world(store);
    assert_true(engine_partition_print(world.engine, world.partition, &last, &print));
    assert_int_equal(last, 4); /* a bad record is a record */
    assert_int_equal(print, 13);
    end(&world);
    store->ops->close(store);
}

static struct event other_log(int64_t at)
{
    return (struct event){.kind = EVENT_OTHER_LOG, .offset = at, .logged = -1};
}

/* Its two events are in one batch, as feed gives them: waits until both are applied. */
static void reset_to(struct world *world, int64_t begin, int64_t to)
{
    const struct event events[] = {other_log(begin), hole(to)};

    give(world, events, 2);
    uint64_t given = engine_given(world->engine);
    while (!engine_applied(world->engine, given))
        sched_yield();
    assert_false(engine_reached(world->engine, FR_BYTES(TOPIC), 0, to + 1));
    await(world, to);
}

static void another_log_may_begin_before_what_was_applied(void **state)
{
    struct store *store = store_memory_new(NULL);
    struct world world = open_world(store);
    struct format_holes holes;
    double before = skipped();
    uint64_t print;
    int64_t last;

    (void)state;
    give_one(&world, printed(0, 11), 1);
    give_one(&world, hole(30), 30);
    give_one(&world, printed(30, 12), 31);
    reset_to(&world, 3, 5);
    assert_true(skipped() == before + 31);
    end(&world); /* a checkpoint holds it */
    world = open_world(store);
    assert_int_equal(world.next, 5);
    assert_false(engine_partition_print(world.engine, world.partition, &last, &print));
    assert_true(stored_holes(store, &holes)); /* those of the log before are gone, or they would not ascend */
    assert_int_equal(holes.len, 1);
    assert_int_equal(holes.holes[0].from, 3);
    assert_int_equal(holes.holes[0].to, 5);
    assert_int_equal(holes.skipped, 31);
    give_one(&world, printed(5, 13), 6);
    checkpoint(&world); /* and counted */
    struct engine_status *status = malloc(sizeof(*status));
    engine_status(world.engine, status);
    assert_int_equal(status->model_events, 3); /* what was learned stays */
    free(status);
    end(&world);
    world = open_world(store);
    assert_int_equal(world.next, 6);
    assert_true(engine_partition_print(world.engine, world.partition, &last, &print));
    assert_int_equal(last, 5);
    assert_int_equal(print, 13);
    give_one(&world, other_log(6), 6); /* from here on, without a step: what was last is of the log before */
    end(&world);
    world = open_world(store);
    assert_int_equal(world.next, 6);
    assert_false(engine_partition_print(world.engine, world.partition, &last, &print));
    end(&world);
    store->ops->close(store);
}

static void in_a_store_of_the_format_before_it_is_unknown_until_the_next_record(void **state)
{
    struct store *store = store_memory_new(NULL);
    struct store_batch *batch = store->ops->batch_new(store);
    struct world world = open_world(store);
    struct fr_writer key, value;
    uint64_t print;
    int64_t last;

    (void)state;
    give_one(&world, printed(0, 11), 1);
    end(&world);
    fr_writer_init(&key, 0);
    fr_writer_init(&value, 0);
    format_position_key(&key, FR_BYTES(TOPIC), 0);
    /* Index 0, next 1, newest 5: version 1, sealed by hand. */
    fr_put_u8(&value, 1);
    fr_put_u32(&value, 0);
    fr_put_u64(&value, 1);
    fr_put_u64(&value, 5);
    fr_put_u32(&value, 0x31f176b8);
    store->ops->batch_put(batch, fr_written(&key), fr_written(&value));
    assert_int_equal(store->ops->write(store, batch, NULL), FR_OK);
    world = open_world(store);
    assert_int_equal(world.next, 1);
    assert_false(engine_partition_print(world.engine, world.partition, &last, &print));
    give_one(&world, printed(1, 14), 2);
    end(&world);
    world = open_world(store);
    assert_true(engine_partition_print(world.engine, world.partition, &last, &print));
    assert_int_equal(last, 1);
    assert_int_equal(print, 14);
    end(&world);
    fr_writer_release(&key);
    fr_writer_release(&value);
    store->ops->batch_free(batch);
    store->ops->close(store);
}

static void a_hole_is_recorded_once_with_the_position_behind_it(void **state)
{
    struct store *store = store_memory_new(NULL);
    struct world world = open_world(store);
    struct format_holes holes;

    (void)state;
    give_one(&world, hole(7), 7); /* nothing was read before: the log begins there */
    checkpoint(&world);
    assert_false(stored_holes(store, &holes));
    give_one(&world, printed(7, 1), 8);
    give_one(&world, hole(20), 20);
    give_one(&world, hole(20), 20); /* told twice */
    give_one(&world, hole(15), 20);
    assert_true(skipped() == 12);
    end(&world);
    assert_true(stored_holes(store, &holes));
    assert_int_equal(holes.skipped, 12);
    assert_int_equal(holes.len, 1);
    assert_true(holes.holes[0].from == 8 && holes.holes[0].to == 20);

    world = open_world(store); /* the total goes on */
    assert_true(skipped() == 12);
    assert_int_equal(world.next, 20);
    give_one(&world, hole(22), 22); /* trimmed on before anything was read: the same hole */
    give_one(&world, printed(25, 2), 26);
    give_one(&world, hole(30), 30);
    end(&world);
    assert_true(stored_holes(store, &holes));
    assert_int_equal(holes.skipped, 18);
    assert_int_equal(holes.len, 2);
    assert_true(holes.holes[0].from == 8 && holes.holes[0].to == 22);
    assert_true(holes.holes[1].from == 26 && holes.holes[1].to == 30);
    store->ops->close(store);
}

/* The write that would have held hole and position fails for ever: after the crash neither is there. */
static void a_hole_that_was_not_written_is_found_again(void **state)
{
    struct store *store = store_memory_new(NULL), *left;
    struct world world = open_world(store), second;
    struct format_holes holes;

    (void)state;
    give_one(&world, printed(0, 1), 1);
    checkpoint(&world);
    left = store_memory_after_power_cut(store);
    give_one(&world, hole(9), 9);
    second = open_world(left);
    assert_int_equal(second.next, 1);
    give_one(&second, hole(9), 9);
    end(&second);
    assert_true(stored_holes(left, &holes));
    assert_int_equal(holes.skipped, 8);
    assert_int_equal(holes.len, 1);
    end(&world);
    left->ops->close(left);
    store->ops->close(store);
}

static void the_newest_holes_are_kept_and_all_are_in_the_total(void **state)
{
    struct store *store = store_memory_new(NULL);
    struct world world = open_world(store);
    struct format_holes holes;
    enum { HOLES = FORMAT_HOLES_MAX + 6 };

    (void)state;
    give_one(&world, printed(0, 1), 1);
    for (int64_t i = 1; i <= HOLES; i++) { /* [10 i - 9, 10 i), then the record 10 i */
        give_one(&world, hole(10 * i), 10 * i);
        give_one(&world, printed(10 * i, 1), 10 * i + 1);
    }
    end(&world);
    assert_true(stored_holes(store, &holes));
    assert_int_equal(holes.skipped, 9 * HOLES);
    assert_int_equal(holes.len, FORMAT_HOLES_MAX);
    assert_int_equal(holes.holes[0].from, 10 * 7 - 9);
    assert_int_equal(holes.holes[FORMAT_HOLES_MAX - 1].to, 10 * HOLES);
    world = open_world(store);
    assert_true(skipped() == 9 * HOLES);
    end(&world);
    store->ops->close(store);
}

static void the_cluster_is_stored_and_may_be_exchanged(void **state)
{
    struct store *store = store_memory_new(NULL);
    struct world world = open_world(store);

    (void)state;
    assert_string_equal(engine_cluster(world.engine, (char[CLUSTER_BYTES_MAX + 1]){0}), "");
    engine_cluster_set(world.engine, "first");
    checkpoint(&world); /* no event is needed */
    end(&world);
    world = open_world(store);
    assert_string_equal(engine_cluster(world.engine, (char[CLUSTER_BYTES_MAX + 1]){0}), "first");
    engine_cluster_set(world.engine, "second");
    end(&world);
    world = open_world(store);
    assert_string_equal(engine_cluster(world.engine, (char[CLUSTER_BYTES_MAX + 1]){0}), "second");
    end(&world);
    store->ops->close(store);
}

static void an_ephemeral_log_is_forgotten_with_its_holes_and_its_cluster(void **state)
{
    struct store *store = store_memory_new(NULL);
    struct world world = open_world(store);
    struct engine_options options = parity();
    struct format_holes holes;

    (void)state;
    engine_cluster_set(world.engine, "first");
    give_one(&world, printed(0, 1), 1);
    give_one(&world, hole(9), 9);
    end(&world);
    options.forget_positions = true;
    for (int start = 1; start <= 2; start++) {
        begin(&world, &options);
        assert_int_equal(world.next, -1);
        assert_string_equal(engine_cluster(world.engine, (char[CLUSTER_BYTES_MAX + 1]){0}), "");
        give_one(&world, printed(0, 1), 1);
        give_one(&world, hole(4), 4); /* below the old one: of another log */
        end(&world);
        assert_true(stored_holes(store, &holes));
        assert_int_equal(holes.len, 1);
        assert_int_equal(holes.skipped, 8 + 3 * start);
    }
    store->ops->close(store);
}

static void holes_of_no_partition_are_corruption(void **state)
{
    struct store *store = store_memory_new(NULL);
    struct store_batch *batch = store->ops->batch_new(store);
    struct engine_options options = parity();
    struct fr_writer value;
    struct engine *engine;
    struct fr_err err;

    (void)state;
    struct world world = open_world(store);
    end(&world);
    fr_writer_init(&value, 0);
    format_holes_value(&value, &(struct format_holes){.skipped = 0});
    store->ops->batch_put(batch, FR_BYTES("hnobody\0\0\0\0\1"), fr_written(&value));
    assert_int_equal(store->ops->write(store, batch, NULL), FR_OK);
    assert_int_equal(engine_open(&engine, &options, store, &err), FR_CORRUPT);
    fr_writer_release(&value);
    store->ops->batch_free(batch);
    store->ops->close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_record_is_stored_with_the_position),
        cmocka_unit_test(another_log_may_begin_before_what_was_applied),
        cmocka_unit_test(in_a_store_of_the_format_before_it_is_unknown_until_the_next_record),
        cmocka_unit_test(a_hole_is_recorded_once_with_the_position_behind_it),
        cmocka_unit_test(a_hole_that_was_not_written_is_found_again),
        cmocka_unit_test(the_newest_holes_are_kept_and_all_are_in_the_total),
        cmocka_unit_test(the_cluster_is_stored_and_may_be_exchanged),
        cmocka_unit_test(an_ephemeral_log_is_forgotten_with_its_holes_and_its_cluster),
        cmocka_unit_test(holes_of_no_partition_are_corruption),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
