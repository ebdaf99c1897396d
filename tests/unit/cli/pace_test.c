/*
 * pace_test.c -- never more in a second than were asked for, and not less either.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "pace.h"

#define SECOND UINT64_C(1000000000)

/* How many go in the second from `now` on, where there are always more. */
static uint64_t in_a_second(struct pace *pace, uint64_t rate, uint64_t now, uint64_t late)
{
    uint64_t until = now + SECOND, gone = 0;

    for (uint64_t due; (due = pace_next(pace, rate, now)) < until; gone++)
        now = due > now ? due + late : now; /* who waited is woken late */
    return gone;
}

static void so_many_a_second(void **state)
{
    static const uint64_t rates[] = {1, 7, 1000, 300000};

    (void)state;
    for (size_t i = 0; i < sizeof(rates) / sizeof(*rates); i++) {
        struct pace pace = {0}, late = {0};
        uint64_t gone = in_a_second(&pace, rates[i], 5 * SECOND, 0);
        assert_true(gone <= rates[i] && gone >= rates[i] - rates[i] / 1000);
        gone = in_a_second(&late, rates[i], 5 * SECOND, 2000000);
        assert_true(gone <= rates[i] && gone >= rates[i] - rates[i] / 1000);
    }
}

/* As before a pipe into which nobody writes for an hour, and then much. */
static void what_was_not_used_is_gone(void **state)
{
    struct pace pace = {0};

    (void)state;
    pace_next(&pace, 100, SECOND);
    assert_true(in_a_second(&pace, 100, 3600 * SECOND, 0) <= 106);
    pace_next(&pace, UINT64_MAX, 7200 * SECOND); /* and no rate is too high */
    assert_true(pace_next(&pace, UINT64_MAX, 7200 * SECOND) <= 7200 * SECOND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(so_many_a_second),
        cmocka_unit_test(what_was_not_used_is_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
