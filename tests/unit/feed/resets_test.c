/*
 * resets_test.c -- a halted partition is read on from where an operator says: what is lost by it is one hole, nothing is read twice, and what
 * cannot be meant is refused by its reason.
 */
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "detour.h"
#include "folder.h"
#include "freshet/blackbox.h"
#include "freshet/clock.h"

enum { PATIENCE_S = 120, LOOK_MS = 2 };

static struct reset reset_at(int64_t applied, enum reset_to to)
{
    return (struct reset){.partition = 0, .applied = applied, .to = to};
}

/* Again, if Kafka does not say in time what it holds: nothing is done then. */
static int ask(struct world *world, const struct reset *reset, struct reset_outcome *ret, struct fr_err *err)
{
    uint64_t ticket, until = fr_mono_ns() + PATIENCE_S * 1000000000ULL;
    int status;

    do {
        status = feed_reset(world->feed, reset, &ticket, err);
        if (status)
            return status;
        while (!feed_reset_done(world->feed, ticket, ret, &status, err)) {
            assert_true(fr_mono_ns() < until);
            poll(NULL, 0, LOOK_MS);
        }
    } while (status == FR_IO && fr_mono_ns() < until);
    return status;
}

static void refused(struct world *world, struct reset reset, int expected, const char *why)
{
    struct reset_outcome outcome;
    struct fr_err err;

    assert_int_equal(ask(world, &reset, &outcome, &err), expected);
    if (!strstr(err.text, why))
        fail_msg("it is refused because %s", err.text);
}

static struct reset_outcome granted(struct world *world, struct reset reset)
{
    struct reset_outcome outcome;
    struct fr_err err;

    if (ask(world, &reset, &outcome, &err))
        fail_msg("%s", err.text);
    return outcome;
}

static void end(struct world *world)
{
    feed_stop(world->feed);
    world->feed = NULL;
}

static void behind_a_gap_it_goes_on_and_the_gap_is_one_hole(void **state)
{
    struct world world;

    (void)state;
    world_open(&world, 2);
    world_trim(&world);
    world_events(&world, 1, 0, 10);
    fake_engine_know(world.engine, TOPIC, 0, 1);
    world_feed(&world, world_options());
    wait_for(&world, 0, 1, PARTITION_HALTED_GAP);
    wait_for(&world, 1, 10, PARTITION_RUNNING);
    refused(&world, (struct reset){.topic = FR_BYTES("other")}, FR_NOT_FOUND, "'other' is not read");
    refused(&world, (struct reset){.partition = 2}, FR_NOT_FOUND, "no partition 2");
    refused(&world, (struct reset){.partition = -1}, FR_NOT_FOUND, "no partition -1");
    refused(&world, (struct reset){.partition = 1, .applied = 10}, FR_CONFIG, "not halted (running)");
    refused(&world, reset_at(2, RESET_TO_END), FR_CONFIG, "stands at 1, not at 2");
    refused(&world, reset_at(1, RESET_TO_OFFSET), FR_CONFIG, "offsets from 2 to before 12: 0 is not");
    refused(&world, (struct reset){.applied = 1, .offset = 13}, FR_CONFIG, "13 is not");
    refused(&world, (struct reset){.applied = 1, .offset = 5, .new_log = true}, FR_CONFIG, "not a new one");
    wait_for(&world, 0, 1, PARTITION_HALTED_GAP);
    const struct reset_outcome outcome =
        granted(&world, (struct reset){.topic = FR_BYTES(TOPIC), .applied = 1, .to = RESET_TO_OFFSET, .offset = 5});
    assert_int_equal(outcome.from, 1);
    assert_int_equal(outcome.to, 5);
    assert_int_equal(outcome.end, 12);
    assert_int_equal(outcome.skipped, 4);
    assert_false(outcome.other_log);
    wait_for(&world, 0, 12, PARTITION_RUNNING);
    world_events(&world, 1, 10, 1);
    wait_for(&world, 1, 11, PARTITION_RUNNING);
    refused(&world, reset_at(12, RESET_TO_END), FR_CONFIG, "not halted");
    end(&world);
    assert_string_equal(outcome.topic, TOPIC); /* a call that waits for its checkpoint is answered when the feed has stopped */
    assert_int_equal(fake_engine_partition(world.engine, 0)->holes, 1);
    assert_int_equal(fake_engine_partition(world.engine, 0)->skipped, 4);
    assert_int_equal(fake_engine_partition(world.engine, 0)->rejected, 7);
    assert_int_equal(fake_engine_partition(world.engine, 1)->applied, 11);
    world_close(&world);
}

/* As after the first 20 events of another log under this name. */
static void open_other_log(struct world *world)
{
    world_open(world, 1);
    world_events(world, 0, 0, 50);
    fake_engine_know(world->engine, TOPIC, 0, 20);
    struct fake_partition *partition = (struct fake_partition *)fake_engine_partition(world->engine, 0);
    partition->last = 19;
    partition->print = 4711;
    world_feed(world, world_options());
    wait_for(world, 0, 20, PARTITION_HALTED_OTHER_LOG);
}

static void another_log_is_read_from_its_beginning_when_it_is_said_to_be_new(void **state)
{
    struct world world;

    (void)state;
    open_other_log(&world);
    refused(&world, reset_at(20, RESET_TO_EARLIEST), FR_CONFIG, "count twice");
    struct reset reset = reset_at(20, RESET_TO_EARLIEST);
    reset.new_log = true;
    const struct reset_outcome outcome = granted(&world, reset);
    assert_int_equal(outcome.to, 0);
    assert_int_equal(outcome.skipped, 0);
    assert_true(outcome.other_log);
    wait_for(&world, 0, 50, PARTITION_RUNNING);
    end(&world);
    assert_int_equal(fake_engine_partition(world.engine, 0)->applied, 50);
    assert_int_equal(fake_engine_partition(world.engine, 0)->holes, 0);
    fake_engine_restart(world.engine);
    world_feed(&world, world_options()); /* its last record is the one we know */
    world_events(&world, 0, 50, 5);
    wait_for(&world, 0, 55, PARTITION_RUNNING);
    end(&world);
    world_close(&world);
}

/* The record at 20 of the log before has crashed the process whenever it was in hand. */
static void convict(const char *path)
{
    struct fr_err err;

    for (int time = 0; time < FR_BOX_TIMES; time++) {
        pid_t child = fork();
        if (child == 0) {
            for (int i = 1; i < NSIG; i++)
                signal(i, SIG_DFL); /* cmocka catches some */
            setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
            if (fr_box_open(path, false, &err))
                _exit(3);
            fr_flight_of(0, 20);
            abort();
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
    }
    assert_int_equal(fr_box_open(path, false, &err), FR_OK);
    assert_true(fr_box_convicts(0, 20));
}

static void what_crashed_in_the_log_before_is_no_word_on_another(void **state)
{
    struct world world;
    char folder[256], path[300];

    (void)state;
    snprintf(path, sizeof(path), "%s/blackbox", folder_make(folder));
    convict(path);
    open_other_log(&world);
    struct reset reset = reset_at(20, RESET_TO_EARLIEST);
    reset.new_log = true;
    granted(&world, reset);
    wait_for(&world, 0, 50, PARTITION_RUNNING);
    end(&world);
    fr_box_close(true);
    assert_int_equal(fake_engine_partition(world.engine, 0)->applied, 50);
    assert_int_equal(fake_engine_partition(world.engine, 0)->rejected, 0);
    world_close(&world);
    folder_remove(folder);
}

static void or_from_later_and_what_is_left_out_is_a_hole_in_it(void **state)
{
    struct world world;

    (void)state;
    open_other_log(&world);
    struct reset reset = {.applied = 20, .offset = 30, .new_log = true};
    assert_int_equal(granted(&world, reset).skipped, 30); /* all of it before: none of it is what was applied */
    wait_for(&world, 0, 50, PARTITION_RUNNING);
    end(&world);
    assert_int_equal(fake_engine_partition(world.engine, 0)->skipped, 30);
    assert_int_equal(fake_engine_partition(world.engine, 0)->applied, 20);
    world_close(&world);
    open_other_log(&world);
    assert_int_equal(granted(&world, reset_at(20, RESET_TO_END)).skipped, 30); /* 20 were applied, of whatever log */
    world_events(&world, 0, 50, 5);
    wait_for(&world, 0, 55, PARTITION_RUNNING);
    end(&world);
    fake_engine_restart(world.engine); /* and it is not halted again: the old last record is forgotten */
    world_feed(&world, world_options());
    world_events(&world, 0, 55, 5);
    wait_for(&world, 0, 60, PARTITION_RUNNING);
    end(&world);
    assert_int_equal(fake_engine_partition(world.engine, 0)->applied, 10);
    world_close(&world);
}

static void a_log_that_was_cut_is_read_on_at_its_end(void **state)
{
    struct world world;

    (void)state;
    world_open(&world, 1);
    world_events(&world, 0, 0, 50);
    fake_engine_know(world.engine, TOPIC, 0, 100);
    world_feed(&world, world_options());
    wait_for(&world, 0, 100, PARTITION_HALTED_TRUNCATED);
    refused(&world, (struct reset){.applied = 100, .offset = 49}, FR_CONFIG, "count twice");
    const struct reset_outcome outcome = granted(&world, reset_at(100, RESET_TO_END));
    assert_int_equal(outcome.to, 50);
    assert_int_equal(outcome.skipped, 0);
    assert_true(outcome.other_log);
    world_events(&world, 0, 50, 10);
    wait_for(&world, 0, 60, PARTITION_RUNNING);
    end(&world);
    assert_int_equal(fake_engine_partition(world.engine, 0)->applied, 10);
    assert_int_equal(fake_engine_partition(world.engine, 0)->holes, 0);
    world_close(&world);
}

static void behind_poison_it_goes_on_where_it_stood_and_nothing_is_lost(void **state)
{
    struct feed_options options = world_options();
    struct world world;

    (void)state;
    options.poison_max_percent = 1;
    world_open(&world, 1);
    for (int i = 0; i < 150; i++)
        world_send(&world, TOPIC, 0, FR_BYTES("u0"), FR_BYTES("{"), 1000, NULL);
    world_flush(&world);
    world_feed(&world, options);
    wait_for(&world, 0, 101, PARTITION_HALTED_POISON);
    refused(&world, (struct reset){.applied = 101, .offset = 100}, FR_CONFIG, "count twice");
    assert_int_equal(granted(&world, (struct reset){.applied = 101, .offset = 101}).skipped, 0);
    wait_for(&world, 0, 150, PARTITION_RUNNING);
    end(&world);
    assert_int_equal(fake_engine_partition(world.engine, 0)->rejected, 150);
    assert_int_equal(fake_engine_partition(world.engine, 0)->holes, 0);
    world_close(&world);
}

static void while_ingest_is_held_and_of_another_cluster_it_is_refused(void **state)
{
    struct world world;

    (void)state;
    world_open(&world, 1);
    world_events(&world, 0, 0, 5);
    fake_engine_know(world.engine, TOPIC, 0, 10);
    world_feed(&world, world_options());
    wait_for(&world, 0, 10, PARTITION_HALTED_TRUNCATED);
    fake_engine_hold(world.engine, true);
    refused(&world, reset_at(10, RESET_TO_END), FR_CONFIG, "ingest is held");
    fake_engine_hold(world.engine, false);
    granted(&world, reset_at(10, RESET_TO_END));
    wait_for(&world, 0, 5, PARTITION_RUNNING);
    end(&world);
    snprintf(world.engine->cluster, sizeof(world.engine->cluster), "another");
    world_feed(&world, world_options());
    wait_for(&world, 0, 5, PARTITION_HALTED_OTHER_CLUSTER);
    refused(&world, reset_at(5, RESET_TO_END), FR_CONFIG, "feed.cluster");
    world_close(&world);
}

/* It was halted for another reason before the brokers changed, and shows that one still. */
static void of_another_cluster_none_is_reset_whatever_it_was_halted_for(void **state)
{
    struct world world, other;

    (void)state;
    world_open(&world, 2);
    world_trim(&world);
    fake_engine_know(world.engine, TOPIC, 0, 1);
    fake_engine_know(world.engine, TOPIC, 1, 0);
    world_open(&other, 2);
    world_events(&other, 0, 0, 20);
    atomic_store(&detour_port, port_of(&world));
    world_feed(&world, world_options());
    wait_for(&world, 0, 1, PARTITION_HALTED_GAP);
    wait_for(&world, 1, 0, PARTITION_RUNNING);
    atomic_store(&detour_port, port_of(&other));
    assert_int_equal(rd_kafka_mock_broker_set_down(world.cluster, BROKER), 0);
    wait_for(&world, 1, 0, PARTITION_HALTED_OTHER_CLUSTER);
    assert_int_equal(state_now(&world, 0), PARTITION_HALTED_GAP);
    refused(&world, reset_at(1, RESET_TO_END), FR_CONFIG, "feed.cluster");
    refused(&world, reset_at(1, RESET_TO_EARLIEST), FR_CONFIG, "feed.cluster");
    end(&world);
    atomic_store(&detour_port, 0);
    assert_int_equal(world.engine->applied + world.engine->rejected, 0);
    world_close(&other);
    world_close(&world);
}

/* That of items need not exist, and by default there is a name for it: who mistakes it keeps nobody waiting. */
static void of_a_topic_that_there_is_not_it_is_refused_and_others_are_reset(void **state)
{
    struct feed_options options = world_options();
    struct world world;

    (void)state;
    options.items_topic = "items";
    world_open(&world, 1);
    rd_kafka_mock_topic_set_error(world.cluster, "items", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    world_events(&world, 0, 0, 5);
    fake_engine_know(world.engine, TOPIC, 0, 10);
    world_feed(&world, options);
    wait_for_of(&world, TOPIC, 0, 10, PARTITION_HALTED_TRUNCATED);
    refused(&world, (struct reset){.topic = FR_BYTES("items"), .to = RESET_TO_END}, FR_NOT_FOUND, "no partition 0 of topic 'items'");
    granted(&world, reset_at(10, RESET_TO_END));
    wait_for_of(&world, TOPIC, 0, 5, PARTITION_RUNNING);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(behind_a_gap_it_goes_on_and_the_gap_is_one_hole),
        cmocka_unit_test(another_log_is_read_from_its_beginning_when_it_is_said_to_be_new),
        cmocka_unit_test(what_crashed_in_the_log_before_is_no_word_on_another),
        cmocka_unit_test(or_from_later_and_what_is_left_out_is_a_hole_in_it),
        cmocka_unit_test(a_log_that_was_cut_is_read_on_at_its_end),
        cmocka_unit_test(behind_poison_it_goes_on_where_it_stood_and_nothing_is_lost),
        cmocka_unit_test(while_ingest_is_held_and_of_another_cluster_it_is_refused),
        cmocka_unit_test(of_another_cluster_none_is_reset_whatever_it_was_halted_for),
        cmocka_unit_test(of_a_topic_that_there_is_not_it_is_refused_and_others_are_reset),
    };

    return cmocka_run_group_tests_name("resets", tests, NULL, NULL);
}
