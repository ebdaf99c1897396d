/*
 * clock_test.c -- instants as text; the numbers are from `date -u -d @SECONDS`.
 */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "freshet/clock.h"

static void an_instant_is_written_in_utc_with_milliseconds(void **state)
{
    (void)state;
    char room[32];

    assert_string_equal(fr_time_text(0, room), "1970-01-01T00:00:00.000Z");
    assert_string_equal(fr_time_text(1795428672123, room), "2026-11-23T10:11:12.123Z");
    assert_string_equal(fr_time_text(951782399999, room), "2000-02-28T23:59:59.999Z");
    assert_string_equal(fr_time_text(951782400000, room), "2000-02-29T00:00:00.000Z");
    assert_ptr_equal(fr_time_text(0, room), room);
}

static void an_instant_before_1970_counts_its_milliseconds_upwards(void **state)
{
    (void)state;
    char room[32];

    assert_string_equal(fr_time_text(-1, room), "1969-12-31T23:59:59.999Z");
    assert_string_equal(fr_time_text(-1000, room), "1969-12-31T23:59:59.000Z");
}

static void every_instant_fits_its_room(void **state)
{
    (void)state;
    char room[32];

    assert_string_equal(fr_time_text(INT64_MAX, room), "292278994-08-17T07:12:55.807Z");
    assert_string_equal(fr_time_text(INT64_MIN, room), "-292275055-05-16T16:47:04.192Z");
}

static void the_monotonic_clock_and_cpu_time_do_not_go_back(void **state)
{
    (void)state;
    uint64_t mono = fr_mono_ns(), cpu = fr_thread_ns();

    for (int i = 0; i < 1000; i++) {
        uint64_t later = fr_mono_ns(), used = fr_thread_ns();
        assert_true(later >= mono && used >= cpu);
        mono = later;
        cpu = used;
    }
    assert_true(fr_wall_ms() > 1700000000000); /* 2023: in milliseconds, not in seconds */
}

static void *share_the_core(void *over)
{
    cpu_set_t one;

    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    sched_setaffinity(0, sizeof(one), &one);
    while (!atomic_load((_Atomic bool *)over))
        ;
    return NULL;
}

/* Two threads that only work have one core; and who sleeps waits for none. */
static void who_has_no_core_queues(void **state)
{
    (void)state;
    _Atomic bool over = false;
    cpu_set_t before, one;
    pthread_t other;

    if (access("/proc/thread-self/schedstat", R_OK) != 0)
        skip();
    sched_getaffinity(0, sizeof(before), &before);
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    sched_setaffinity(0, sizeof(one), &one);
    pthread_create(&other, NULL, share_the_core, &over); /* where its maker is */
    uint64_t begin = fr_thread_queued_ns(), end = fr_thread_ns() + 5000000000;
    while (fr_thread_queued_ns() < begin + 20000000 && fr_thread_ns() < end)
        ;
    bool told = fr_thread_queued_ns() > begin;
    atomic_store(&over, true);
    pthread_join(other, NULL);
    sched_setaffinity(0, sizeof(before), &before);
    if (!told)
        skip(); /* a kernel that keeps no such figures prints 0 */
    uint64_t mono = fr_mono_ns(), worked = fr_thread_ns(), queued = fr_thread_queued_ns();
    poll(NULL, 0, 50);
    assert_true(fr_mono_ns() - mono >= 50000000);
    assert_true(fr_thread_ns() - worked + fr_thread_queued_ns() - queued < fr_mono_ns() - mono);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_instant_is_written_in_utc_with_milliseconds),
        cmocka_unit_test(an_instant_before_1970_counts_its_milliseconds_upwards),
        cmocka_unit_test(every_instant_fits_its_room),
        cmocka_unit_test(the_monotonic_clock_and_cpu_time_do_not_go_back),
        cmocka_unit_test(who_has_no_core_queues),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
