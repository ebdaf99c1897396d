/*
 * health_test.c -- the one sentence, in each situation.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "health.h"

static struct engine_status engine;
static struct health health;
static struct finding room[FINDINGS_MAX];

/* All is well: three partitions run, nothing waits. */
static int start(void **state)
{
    (void)state;
    memset(&engine, 0, sizeof(engine));
    engine.partitions_len = 3;
    for (int i = 0; i < 3; i++)
        engine.partitions[i] = (struct partition_status){.topic = "events", .partition = i, .state = PARTITION_RUNNING, .end = 10, .applied = 10};
    health = (struct health){.state = FR_RUNNING, .engine = &engine, .brokers = "k1:9092", .topic = "events", .disk_free = 1e9};
    return 0;
}

static const struct finding *headline(void)
{
    assert_true(health_look(&health, room) > 0);
    return &room[0];
}

static void is(enum health_level level, const char *text)
{
    assert_string_equal(headline()->text, text);
    assert_int_equal(headline()->level, level);
    assert_true(strlen(headline()->detail) > 20);
}

static void all_is_well(void **state)
{
    (void)state;
    assert_int_equal(health_look(&health, room), 1);
    is(HEALTH_GOOD, "Up to date");
}

static void a_log_that_moves_is_no_trouble(void **state)
{
    (void)state;
    engine.partitions[1].lag = 900;
    engine.partitions[1].lag_seconds = 0.4;
    is(HEALTH_GOOD, "Up to date");
}

static void behind_says_how_much(void **state)
{
    (void)state;
    engine.partitions[0].lag = 12000;
    engine.partitions[2].lag = 300;
    engine.partitions[1].lag = -1; /* not known */
    is(HEALTH_BUSY, "Catching up: 12,300 behind");
    engine.partitions[0].lag = 0;
    engine.partitions[2].lag_seconds = 65; /* few, but for long */
    is(HEALTH_BUSY, "Catching up: 300 behind");
    assert_non_null(strstr(headline()->detail, "for 65 s"));
    engine.partitions[2].lag_seconds = INFINITY; /* nothing is applied yet */
    is(HEALTH_BUSY, "Catching up: 300 behind");
    assert_null(strstr(headline()->detail, "inf"));
    assert_non_null(strstr(headline()->detail, "not known yet"));
}

/* Caught up with an end of an hour ago, or with none. */
static void an_end_that_is_not_told_is_not_reached(void **state)
{
    (void)state;
    engine.partitions[1].unsure = true;
    engine.partitions[1].lag_seconds = 3600;
    is(HEALTH_WARN, "Not sure of 1 of 3 partitions");
    assert_non_null(strstr(headline()->detail, "the last 3600 s"));
    engine.partitions[2].lag = 20000;
    engine.partitions[2].lag_seconds = 5;
    assert_int_equal(health_look(&health, room), 2);
    assert_string_equal(room[1].text, "Catching up: 20,000 behind");
    assert_non_null(strstr(room[1].detail, "for 5 s"));
    engine.partitions[2].lag = 0;
    health.unreachable = true; /* that is why */
    assert_int_equal(health_look(&health, room), 1);
    is(HEALTH_BAD, "Cut off: no Kafka broker answers");
    health.unreachable = false;
    engine.partitions[1].state = PARTITION_HALTED_OTHER_CLUSTER;
    assert_int_equal(health_look(&health, room), 1);
    is(HEALTH_BAD, "Halted: partition events/1");
}

static void what_is_said_of_items_is_no_topic_of_events(void **state)
{
    (void)state;
    engine.partitions[1].topic = engine.partitions[2].topic = "items";
    engine.partitions[0].state = PARTITION_WAITING;
    is(HEALTH_WARN, "Waiting for topic events");
    engine.partitions[1].lag = 5; /* events wait for what there is of items at a start */
    is(HEALTH_BUSY, "Reading items and users first");
    engine.partitions[1].lag = 0;
    engine.partitions[0].topic = "users";
    engine.partitions[0].state = PARTITION_RUNNING;
    is(HEALTH_WARN, "Waiting for topic events");
    engine.partitions[2].topic = "events";
    is(HEALTH_GOOD, "Up to date");
    health.topic = NULL; /* then whatever is read counts */
    is(HEALTH_GOOD, "Up to date");
}

static void holds_name_their_reason(void **state)
{
    (void)state;
    health.disk_free = 12.34e6;
    health.held[HOLD_DISK] = true;
    is(HEALTH_BAD, "Held: disk full");
    assert_non_null(strstr(headline()->detail, "12.3 MB are free"));
    health.held[HOLD_DISK] = false;
    health.held[HOLD_MEMORY] = true;
    is(HEALTH_BAD, "Held: memory at its limit");
    health.held[HOLD_MEMORY] = false;
    health.held[HOLD_ASKED] = true;
    is(HEALTH_WARN, "Paused: as an operator has asked");
    health.held[HOLD_ASKED] = false;
    health.admission_closed = true;
    is(HEALTH_WARN, "Closed to new users and items");
}

static void halted_partitions_are_named_or_counted(void **state)
{
    (void)state;
    engine.partitions[2].state = PARTITION_HALTED_GAP;
    is(HEALTH_BAD, "Halted: partition events/2");
    assert_non_null(strstr(headline()->detail, "feed.on_gap"));
    engine.partitions[0].state = PARTITION_HALTED_POISON;
    is(HEALTH_BAD, "Halted: 2 of 3 partitions");
}

static void no_broker_no_topic(void **state)
{
    (void)state;
    health.unreachable = true;
    is(HEALTH_BAD, "Cut off: no Kafka broker answers");
    assert_non_null(strstr(headline()->detail, "k1:9092"));
    health.unreachable = false;
    engine.partitions_len = 0;
    is(HEALTH_WARN, "Waiting for topic events");
    health.state = FR_DRAINING; /* then nobody waits for it */
    is(HEALTH_BUSY, "Stopping");
}

static void starting_needs_no_engine(void **state)
{
    (void)state;
    health = (struct health){.state = FR_STARTING};
    is(HEALTH_BUSY, "Starting: loading the state");
}

static void what_is_not_saved_for_long(void **state)
{
    (void)state;
    health.uncommitted = 29;
    is(HEALTH_GOOD, "Up to date");
    health.uncommitted = 45.2;
    is(HEALTH_WARN, "Unsaved for 45 s");
}

static void an_interval_that_was_asked_for_is_not_late(void **state)
{
    (void)state;
    assert_true(health_unsaved_limit(0) == 30);
    assert_true(health_unsaved_limit(0.5) == 30);
    health.interval = 600;
    health.uncommitted = 1799;
    is(HEALTH_GOOD, "Up to date");
    health.uncommitted = 1800;
    is(HEALTH_WARN, "Unsaved for 1800 s");
}

static void dead_letters_that_kafka_does_not_take(void **state)
{
    (void)state;
    engine.letters = 1200;
    engine.letters_seconds = 59;
    is(HEALTH_GOOD, "Up to date");
    engine.letters_seconds = 75.4;
    is(HEALTH_WARN, "Not delivered: 1,200 dead letters");
    assert_non_null(strstr(headline()->detail, "none for 75 s"));
    engine.letters = 1;
    is(HEALTH_WARN, "Not delivered: 1 dead letter");
}

static void a_stuck_loop_is_named(void **state)
{
    (void)state;
    health.stuck = "engine";
    is(HEALTH_BAD, "Stuck: engine has not moved for 30 seconds");
}

static void of_many_the_worst_comes_first_and_none_is_lost(void **state)
{
    (void)state;
    health.state = FR_DRAINING;
    health.stuck = "feed";
    health.held[HOLD_DISK] = health.held[HOLD_MEMORY] = health.held[HOLD_ASKED] = health.admission_closed = health.unreachable = true;
    health.uncommitted = 100;
    engine.partitions[0].state = PARTITION_HALTED_GAP;
    engine.partitions[1].lag = 1000000;
    engine.partitions[2].unsure = true;
    engine.letters_seconds = 100;
    size_t len = health_look(&health, room);
    assert_int_equal(len, 11);
    for (size_t i = 1; i < len; i++)
        assert_true(room[i - 1].level >= room[i].level);
    assert_string_equal(room[0].text, "Stuck: feed has not moved for 30 seconds");
    assert_string_equal(room[1].text, "Held: disk full");
    assert_string_equal(room[10].text, "Catching up: 1,000,000 behind");
}

static void names_from_outside_do_not_overflow(void **state)
{
    static char longest[5000];

    (void)state;
    memset(longest, 'b', sizeof(longest) - 1);
    health.brokers = longest;
    health.topic = longest;
    health.unreachable = true;
    is(HEALTH_BAD, "Cut off: no Kafka broker answers");
    health.unreachable = false;
    engine.partitions_len = 0;
    assert_int_equal(headline()->level, HEALTH_WARN);
}

static void numbers_are_in_groups_of_three(void **state)
{
    static const struct {
        uint64_t number;
        const char *text;
    } table[] = {{0, "0"}, {7, "7"}, {999, "999"}, {1000, "1,000"}, {12300, "12,300"}, {123456, "123,456"}, {1234567, "1,234,567"},
                 {UINT64_MAX, "18,446,744,073,709,551,615"}};
    char text[32];

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
        assert_string_equal(health_count(table[i].number, text), table[i].text);
}

#define EACH(test) cmocka_unit_test_setup(test, start)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(all_is_well),
        EACH(a_log_that_moves_is_no_trouble),
        EACH(behind_says_how_much),
        EACH(an_end_that_is_not_told_is_not_reached),
        EACH(what_is_said_of_items_is_no_topic_of_events),
        EACH(holds_name_their_reason),
        EACH(halted_partitions_are_named_or_counted),
        EACH(no_broker_no_topic),
        EACH(starting_needs_no_engine),
        EACH(what_is_not_saved_for_long),
        EACH(an_interval_that_was_asked_for_is_not_late),
        EACH(dead_letters_that_kafka_does_not_take),
        EACH(a_stuck_loop_is_named),
        EACH(of_many_the_worst_comes_first_and_none_is_lost),
        EACH(names_from_outside_do_not_overflow),
        EACH(numbers_are_in_groups_of_three),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
