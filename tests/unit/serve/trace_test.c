/*
 * trace_test.c -- traceparent as W3C's Trace Context has it, level 1.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "trace.h"

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN "00f067aa0ba902b7"

static char id[TRACE_ID_ROOM];
static bool recorded;

static bool read_text(const char *text)
{
    return trace_read(fr_bytes_of(text), id, &recorded);
}

static void one_that_is_recorded(void **state)
{
    (void)state;
    assert_true(read_text("00-" TRACE "-" SPAN "-01"));
    assert_string_equal(id, TRACE);
    assert_true(recorded);
    assert_true(read_text("00-" TRACE "-" SPAN "-0f")); /* flags that are not known yet do not hinder */
    assert_true(recorded);
}

static void one_that_is_not_recorded(void **state)
{
    (void)state;
    assert_true(read_text("00-" TRACE "-" SPAN "-00"));
    assert_false(recorded);
    assert_true(read_text("00-" TRACE "-" SPAN "-fe"));
    assert_false(recorded);
}

static void a_later_version_may_say_more(void **state)
{
    (void)state;
    assert_true(read_text("01-" TRACE "-" SPAN "-01"));
    assert_true(read_text("cc-" TRACE "-" SPAN "-01-what the future brings"));
    assert_string_equal(id, TRACE);
    assert_false(read_text("cc-" TRACE "-" SPAN "-01.more"));
}

static void anything_else_is_none(void **state)
{
    static const char *const texts[] = {
        "",
        "00",
        "00-" TRACE "-" SPAN "-0",
        "00-" TRACE "-" SPAN "-01-more", /* version 0 has no more */
        "00-" TRACE "-" SPAN "-0g",
        "ff-" TRACE "-" SPAN "-01",
        "0x-" TRACE "-" SPAN "-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-" SPAN "-01",
        "00-00000000000000000000000000000000-" SPAN "-01",
        "00-" TRACE "-0000000000000000-01",
        "00-" TRACE "_" SPAN "-01",
        "00_" TRACE "-" SPAN "-01",
        "00-" TRACE "-" SPAN "_01",
        "00-4bf92f3577b34da6a3ce929d0e0e473\"-" SPAN "-01",
        "00-" TRACE "-00f067aa0ba902b\n-01",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        snprintf(id, sizeof(id), "unset");
        if (read_text(texts[i]))
            fail_msg("taken: %s", texts[i]);
        assert_string_equal(id, "");
        assert_false(recorded);
    }
    assert_false(trace_read(FR_BYTES("00-" TRACE "-00f067aa0ba902\0\0-01"), id, &recorded));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_is_recorded),
        cmocka_unit_test(one_that_is_not_recorded),
        cmocka_unit_test(a_later_version_may_say_more),
        cmocka_unit_test(anything_else_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
