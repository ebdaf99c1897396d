/*
 * clock_test.c -- instants as text; the numbers are from `date -u -d @SECONDS`.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_instant_is_written_in_utc_with_milliseconds),
        cmocka_unit_test(an_instant_before_1970_counts_its_milliseconds_upwards),
        cmocka_unit_test(every_instant_fits_its_room),
        cmocka_unit_test(the_monotonic_clock_and_cpu_time_do_not_go_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
