/*
 * window_test.c -- the recovery window as window.c defines it, case by case.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "window.h"

/* One partition: what the backup holds of it, and what there is now. */
struct line {
    int64_t next;
    when_ms newest;
    int64_t low, applied;
    when_ms now;
};

static double window_of(const struct line *lines, size_t len)
{
    struct backup_position positions[4];
    struct partition_status partitions[4];

    memset(partitions, 0, sizeof(partitions));
    for (size_t i = 0; i < len; i++) {
        positions[i] = (struct backup_position){"events", (int32_t)i, lines[i].next, lines[i].newest};
        partitions[i].topic = "events";
        partitions[i].partition = (int32_t)i;
        partitions[i].low = lines[i].low;
        partitions[i].applied = lines[i].applied;
        partitions[i].newest = lines[i].now;
    }
    return recovery_window(&(struct backup){.positions = positions, .positions_len = len}, partitions, len);
}

#define WINDOW(...) window_of((const struct line[]){{__VA_ARGS__}}, 1)

static void it_is_the_time_between_the_oldest_offset_and_the_backup(void **state)
{
    (void)state;
    /* 100 records from 100 to 200 took 50 s, so the 60 from 40 to 100 took 30 s */
    assert_true(WINDOW(.next = 100, .newest = 1000, .low = 40, .applied = 200, .now = 51000) == 30);
    assert_true(WINDOW(.next = 100, .newest = 1000, .low = 99, .applied = 200, .now = 51000) == 0.5);
}

static void a_hole_behind_the_backup_is_told(void **state)
{
    (void)state;
    assert_true(WINDOW(.next = 100, .newest = 1000, .low = 101, .applied = 200, .now = 51000) == -1);
    assert_true(WINDOW(.next = -1, .newest = -1, .low = 1, .applied = 200, .now = 51000) == -1);
}

static void without_a_limit_it_has_no_end(void **state)
{
    (void)state;
    assert_true(isinf(WINDOW(.next = 100, .newest = 1000, .low = 0, .applied = 200, .now = 51000)));   /* nothing deleted */
    assert_true(isinf(WINDOW(.next = 100, .newest = 1000, .low = 40, .applied = 100, .now = 1000)));   /* nothing came */
    assert_true(isinf(WINDOW(.next = 100, .newest = 1000, .low = 40, .applied = 200, .now = 1000)));   /* all at one time */
    assert_true(isinf(WINDOW(.next = -1, .newest = -1, .low = 0, .applied = -1, .now = -1)));          /* empty */
}

/* A log that nobody wrote to for longer than Kafka keeps records; then somebody does. */
static void a_log_that_begins_behind_the_backup_holds_all_that_is_needed(void **state)
{
    static const struct line two[] = {
        {.next = 100, .newest = 1000, .low = 40, .applied = 200, .now = 51000},
        {.next = 100, .newest = 1000, .low = 100, .applied = 101, .now = 864001000},
    };

    (void)state;
    assert_true(isinf(WINDOW(.next = 100, .newest = 1000, .low = 100, .applied = 100, .now = 1000)));
    assert_true(isinf(WINDOW(.next = 100, .newest = 1000, .low = 100, .applied = 101, .now = 864001000)));
    assert_true(isinf(WINDOW(.next = 100, .newest = 1000, .low = 100, .applied = 5000, .now = 864001000)));
    assert_true(window_of(two, 2) == 30);
}

static void the_least_of_the_partitions_counts(void **state)
{
    static const struct line three[] = {
        {.next = 100, .newest = 1000, .low = 40, .applied = 200, .now = 51000},
        {.next = 100, .newest = 1000, .low = 80, .applied = 200, .now = 51000},
        {.next = 100, .newest = 1000, .low = -1, .applied = 200, .now = 51000}, /* not known */
    };

    (void)state;
    assert_true(window_of(three, 3) == 10);
    assert_true(window_of(three + 2, 1) == 0);
}

static void a_partition_that_the_backup_does_not_know_must_be_whole(void **state)
{
    struct partition_status partition = {.topic = "events", .partition = 7, .low = 0, .applied = 9, .newest = 1};
    struct backup backup = {0};

    (void)state;
    assert_true(isinf(recovery_window(&backup, &partition, 1)));
    partition.low = 1;
    assert_true(recovery_window(&backup, &partition, 1) == -1);
    assert_true(recovery_window(NULL, &partition, 1) == 0); /* no backup */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_the_time_between_the_oldest_offset_and_the_backup),
        cmocka_unit_test(a_hole_behind_the_backup_is_told),
        cmocka_unit_test(without_a_limit_it_has_no_end),
        cmocka_unit_test(a_log_that_begins_behind_the_backup_holds_all_that_is_needed),
        cmocka_unit_test(the_least_of_the_partitions_counts),
        cmocka_unit_test(a_partition_that_the_backup_does_not_know_must_be_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
