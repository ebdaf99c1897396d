/*
 * breaker_test.c -- the window by itself, compared with a count of the last 10,000 records made plainly.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "breaker.h"

static bool history[1000000];

static void it_trips_when_more_than_the_percentage_of_the_last_10000_is_poison(void **state)
{
    uint64_t random = 88172645463325252;

    (void)state;
    for (unsigned percent = 1; percent <= 9; percent += 4) {
        struct breaker *breaker = NULL;
        unsigned trips = 0;
        uint32_t poison = 0;

        for (size_t i = 0; i < sizeof(history); i++) {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            history[i] = random % 100 < (i / 50000 % 2 ? percent + 1 : percent - 1); /* waves, around the limit */
            poison += history[i];
            if (i >= BREAKER_WINDOW)
                poison -= history[i - BREAKER_WINDOW];
            bool trip = breaker_trips(&breaker, history[i], percent);
            assert_int_equal(trip, history[i] && poison > percent * 100);
            trips += trip;
        }
        assert_true(trips > 0);
        free(breaker);
    }
}

static void few_records_are_no_evidence(void **state)
{
    struct breaker *breaker = NULL;

    (void)state;
    for (int i = 0; i < 500; i++)
        assert_false(breaker_trips(&breaker, true, 5)); /* all of them bad */
    assert_true(breaker_trips(&breaker, true, 5));
    free(breaker);
}

static void off_and_clean_cost_nothing(void **state)
{
    struct breaker *breaker = NULL;

    (void)state;
    for (int i = 0; i < 100000; i++) {
        assert_false(breaker_trips(&breaker, true, 0));
        assert_false(breaker_trips(&breaker, false, 5));
    }
    assert_null(breaker);
    for (int i = 0; i < 100000; i++)
        assert_false(breaker_trips(&breaker, true, 100));
    free(breaker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_trips_when_more_than_the_percentage_of_the_last_10000_is_poison),
        cmocka_unit_test(few_records_are_no_evidence),
        cmocka_unit_test(off_and_clean_cost_nothing),
    };

    return cmocka_run_group_tests_name("breaker", tests, NULL, NULL);
}
