/*
 * garbled_test.c -- a batch that comes damaged: librdkafka tells of it, and then goes on at a place of its own choosing. If it was damaged on
 * its way, nothing is lost; if it is so in Kafka, its partition is halted before it and no other.
 */
#include "detour.h"
#include "freshet/clock.h"

enum { BEFORE = 3, AFTER = 600, PATIENCE_S = 120 };

/* How many batches came damaged, how often all had been assigned when the last did, and how often the end was polled of what was assigned
 * after it. */
static _Atomic int damages, damaged_at, ends;

rd_kafka_message_t *rd_kafka_consumer_poll(rd_kafka_t *kafka, int timeout_ms)
{
    static rd_kafka_message_t *(*real)(rd_kafka_t *, int);

    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "rd_kafka_consumer_poll");
    rd_kafka_message_t *message = real(kafka, timeout_ms);
    if (message && message->err == RD_KAFKA_RESP_ERR__BAD_MSG) {
        atomic_fetch_add(&damages, 1);
        atomic_store(&damaged_at, atomic_load(&detour_assigns));
    }
    if (message && message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
        atomic_fetch_add(&ends, atomic_load(&damages) && atomic_load(&detour_assigns) > atomic_load(&damaged_at));
    return message;
}

static bool has_ended(const struct engine *engine, const void *want)
{
    (void)engine, (void)want;
    return atomic_load(&ends) > 0;
}

/* A batch of its own, and no event. Behind a wrong checksum librdkafka 2.0.2 goes on 21 bytes before its end, less what stands before it in the
 * answer: there it finds the header of a batch that is none, and its offset. */
static void send_marked(struct world *world)
{
    enum { BYTES = 200, END = 1, SHORT = 21, ANSWER = 68, OTHER_PARTITION = 42 };
    static const char garbage[] = "\0\0\0\0\0\0\1\242"; /* 418 */
    char value[BYTES];

    memset(value, 't', sizeof(value));
    memcpy(value, MARK, strlen(MARK));
    for (int before = ANSWER; before <= ANSWER + OTHER_PARTITION; before += OTHER_PARTITION)
        memcpy(value + BYTES + END - SHORT - before, garbage, sizeof(garbage) - 1);
    world_send(world, TOPIC, 0, FR_BYTES("u0"), (struct fr_bytes){value, sizeof(value)}, 1000, NULL);
    world_flush(world);
}

static void open_marked(struct world *world)
{
    world_open(world, 2);
    world_events(world, 0, 0, BEFORE);
    send_marked(world);
    world_events(world, 0, BEFORE, AFTER);
    world_events(world, 1, 0, 10);
    atomic_store(&detour_assigns, 0);
}

static void end(struct world *world)
{
    feed_stop(world->feed);
    world->feed = NULL;
}

static void damaged_on_its_way_it_is_fetched_once_more_and_nothing_is_lost(void **state)
{
    struct world world;
    struct proxy proxy;

    (void)state;
    open_marked(&world);
    proxy_start(&proxy, &world, 1);
    world_feed(&world, world_options());
    wait_for(&world, 0, BEFORE + 1 + AFTER, PARTITION_RUNNING);
    wait_for(&world, 1, 10, PARTITION_RUNNING);
    end(&world);
    assert_int_equal(atomic_load(&proxy.damages), 0);
    proxy_stop(&proxy);
    assert_int_equal(fake_engine_partition(world.engine, 0)->applied, BEFORE + AFTER);
    assert_int_equal(fake_engine_partition(world.engine, 0)->rejected, 1);
    assert_int_equal(fake_engine_partition(world.engine, 1)->applied, 10);
    assert_int_equal(atomic_load(&detour_assigns), 2);
    world_close(&world);
}

static void reset_to(struct world *world, int64_t applied, int64_t to)
{
    const uint64_t until = fr_mono_ns() + PATIENCE_S * 1000000000ULL;
    const struct reset reset = {.applied = applied, .to = RESET_TO_OFFSET, .offset = to};
    struct reset_outcome outcome;
    struct fr_err err;
    uint64_t ticket;
    int status;

    assert_int_equal(feed_reset(world->feed, &reset, &ticket, &err), FR_OK);
    while (!feed_reset_done(world->feed, ticket, &outcome, &status, &err)) {
        assert_true(fr_mono_ns() < until);
        poll(NULL, 0, 2);
    }
    if (status)
        fail_msg("%s", err.text);
}

static void damaged_in_kafka_it_halts_its_partition_and_no_other(void **state)
{
    struct world world;
    struct proxy proxy;

    (void)state;
    open_marked(&world);
    proxy_start(&proxy, &world, -1);
    world_feed(&world, world_options());
    wait_for(&world, 0, BEFORE, PARTITION_HALTED_POISON);
    assert_int_equal(fake_engine_partition(world.engine, 0)->next, BEFORE);
    world_events(&world, 1, 10, 10);
    wait_for(&world, 1, 20, PARTITION_RUNNING);
    wait_rounds(&world, 8);
    assert_int_equal(atomic_load(&detour_assigns), 3); /* the first, once more, and without it */
    reset_to(&world, BEFORE, BEFORE + 1); /* the record before it, which should prove the log, leads into it again */
    wait_for(&world, 0, BEFORE + 1 + AFTER, PARTITION_RUNNING);
    end(&world);
    proxy_stop(&proxy);
    assert_int_equal(fake_engine_partition(world.engine, 0)->applied, BEFORE + AFTER);
    assert_int_equal(fake_engine_partition(world.engine, 0)->skipped, 1);
    assert_int_equal(fake_engine_partition(world.engine, 0)->rejected, 0);
    assert_int_equal(fake_engine_partition(world.engine, 1)->applied, 20);
    world_close(&world);
}

/* The second is another batch than the first: the log's end, read again for its proof, gives no record in between. */
static void damaged_once_and_much_later_once_more_is_not_damaged_twice(void **state)
{
    struct world world;
    struct proxy proxy;

    (void)state;
    world_open(&world, 1);
    world_events(&world, 0, 0, BEFORE);
    send_marked(&world);
    proxy_start(&proxy, &world, 0);
    world_feed(&world, world_options());
    wait_for(&world, 0, BEFORE + 1, PARTITION_RUNNING);
    end(&world);
    fake_engine_restart(world.engine);
    atomic_store(&damages, 0);
    atomic_store(&ends, 0);
    atomic_store(&proxy.damages, 1);
    world_feed(&world, world_options());
    assert_true(fake_engine_wait(world.engine, has_ended, NULL));
    assert_int_equal(atomic_load(&damages), 1);
    atomic_store(&proxy.damages, 1);
    send_marked(&world);
    wait_for(&world, 0, BEFORE + 2, PARTITION_RUNNING);
    end(&world);
    proxy_stop(&proxy);
    assert_int_equal(atomic_load(&damages), 2);
    assert_int_equal(fake_engine_partition(world.engine, 0)->rejected, 2);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damaged_on_its_way_it_is_fetched_once_more_and_nothing_is_lost),
        cmocka_unit_test(damaged_in_kafka_it_halts_its_partition_and_no_other),
        cmocka_unit_test(damaged_once_and_much_later_once_more_is_not_damaged_twice),
    };

    return cmocka_run_group_tests_name("garbled", tests, NULL, NULL);
}
