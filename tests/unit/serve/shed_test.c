/*
 * shed_test.c -- turning calls away, with times in milliseconds made up here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "shed.h"

#define MS 1000000ULL
#define NEVER UINT64_MAX

static void a_call_is_answered_while_nothing_speaks_against_it(void **state)
{
    struct shed shed = {.queue_ns_max = 50 * MS};

    (void)state;
    assert_int_equal(shed_judge(&shed, RPC_RECOMMEND, 100 * MS, NEVER, 100 * MS), NOT_REJECTED);
    assert_int_equal(shed_judge(&shed, RPC_RECOMMEND, 100 * MS, NEVER, 150 * MS), NOT_REJECTED);
    assert_int_equal(shed_judge(&shed, RPC_RECOMMEND, 100 * MS, 101 * MS, 100 * MS),
                     NOT_REJECTED); /* nothing learned yet */
}

static void who_waited_too_long_is_turned_away(void **state)
{
    struct shed shed = {.queue_ns_max = 50 * MS};

    (void)state;
    assert_int_equal(shed_judge(&shed, RPC_RECOMMEND, 100 * MS, NEVER, 150 * MS + 1), REJECTED_QUEUE);
    assert_int_equal(shed_judge(&shed, RPC_RECOMMEND, 100 * MS, 1000 * MS, 150 * MS + 1), REJECTED_QUEUE);
}

static void a_deadline_that_has_passed_is_told_as_such(void **state)
{
    struct shed shed = {.queue_ns_max = 50 * MS};

    (void)state;
    assert_int_equal(shed_judge(&shed, RPC_RECOMMEND, 100 * MS, 120 * MS, 120 * MS), REJECTED_EXPIRED);
    assert_int_equal(shed_judge(&shed, RPC_RECOMMEND, 100 * MS, 120 * MS, 190 * MS), REJECTED_EXPIRED);
}

static void an_answer_that_would_come_late_is_not_computed(void **state)
{
    struct shed shed = {.queue_ns_max = 50 * MS};

    (void)state;
    shed_learn(&shed, RPC_RECOMMEND, 16 * MS);
    assert_int_equal(shed_judge(&shed, RPC_RECOMMEND, 100 * MS, 116 * MS, 100 * MS), NOT_REJECTED);
    assert_int_equal(shed_judge(&shed, RPC_SIMILAR, 100 * MS, 101 * MS, 100 * MS),
                     NOT_REJECTED); /* each method its own */
    assert_int_equal(shed_judge(&shed, RPC_RECOMMEND, 100 * MS, 116 * MS - 1, 100 * MS), REJECTED_DEADLINE);
}

static void one_slow_answer_does_not_shut_a_method_for_ever(void **state)
{
    struct shed shed = {.queue_ns_max = 50 * MS};
    int turned_away = 0;

    (void)state;
    shed_learn(&shed, RPC_RECOMMEND, 10000 * MS);
    while (shed_judge(&shed, RPC_RECOMMEND, 0, 100 * MS, 0) == REJECTED_DEADLINE)
        turned_away++;
    assert_in_range(turned_away, 1, 40); /* 10 s * (7/8)^35 < 100 ms */
}

static void what_an_answer_takes_follows_what_it_took(void **state)
{
    struct shed shed = {.queue_ns_max = 50 * MS};

    (void)state;
    shed_learn(&shed, RPC_POPULAR, 8 * MS);
    shed_learn(&shed, RPC_POPULAR, 16 * MS);
    assert_int_equal(shed.cost_ns[RPC_POPULAR], 9 * MS); /* 7/8 of 8 and 1/8 of 16 */
    for (int i = 0; i < 100; i++)
        shed_learn(&shed, RPC_POPULAR, MS);
    assert_in_range(shed.cost_ns[RPC_POPULAR], MS - 1000, MS + 1000);
}

static void a_newcomer_is_turned_away_when_those_before_it_take_too_long(void **state)
{
    struct shed shed = {.queue_ns_max = 50 * MS};

    (void)state;
    shed_learn(&shed, RPC_RECOMMEND, 20 * MS);
    shed_learn(&shed, RPC_SIMILAR, 10 * MS);
    shed_enter(&shed, RPC_RECOMMEND);
    shed_enter(&shed, RPC_RECOMMEND);
    shed_enter(&shed, RPC_SIMILAR);
    assert_int_equal(shed_expect(&shed, NEVER, 100 * MS), NOT_REJECTED); /* 20 + 20 + 10 */
    shed_enter(&shed, RPC_POPULAR);                                     /* nothing is known of it */
    assert_int_equal(shed_expect(&shed, NEVER, 100 * MS), NOT_REJECTED);
    shed_enter(&shed, RPC_SIMILAR);
    assert_int_equal(shed_expect(&shed, NEVER, 100 * MS), REJECTED_QUEUE);
    shed_leave(&shed, RPC_RECOMMEND);
    assert_int_equal(shed_expect(&shed, NEVER, 100 * MS), NOT_REJECTED);
}

static void a_newcomer_is_turned_away_when_its_deadline_would_pass_in_the_queue(void **state)
{
    struct shed shed = {.queue_ns_max = 50 * MS};

    (void)state;
    shed_learn(&shed, RPC_RECOMMEND, 20 * MS);
    assert_int_equal(shed_expect(&shed, 101 * MS, 100 * MS), NOT_REJECTED); /* nobody is before it */
    shed_enter(&shed, RPC_RECOMMEND);
    assert_int_equal(shed_expect(&shed, 120 * MS, 100 * MS), REJECTED_DEADLINE);
    assert_int_equal(shed_expect(&shed, 99 * MS, 100 * MS), REJECTED_DEADLINE);
    assert_int_equal(shed_expect(&shed, 120 * MS + 1, 100 * MS), NOT_REJECTED);
    assert_int_equal(shed_expect(&shed, NEVER, 100 * MS), NOT_REJECTED);
}

/* However wrong what was learned is: who has nobody before him is admitted. */
static void an_empty_queue_admits(void **state)
{
    struct shed shed = {.queue_ns_max = 50 * MS};

    (void)state;
    shed_learn(&shed, RPC_RECOMMEND, 1000000 * MS);
    assert_int_equal(shed_expect(&shed, NEVER, 0), NOT_REJECTED);
    assert_int_equal(shed_expect(&shed, 1, 0), NOT_REJECTED);
    shed_enter(&shed, RPC_RECOMMEND);
    assert_int_equal(shed_expect(&shed, NEVER, 0), REJECTED_QUEUE);
    shed_leave(&shed, RPC_RECOMMEND);
    assert_int_equal(shed_expect(&shed, NEVER, 0), NOT_REJECTED);
}

static void a_deadline_beyond_all_times_is_none(void **state)
{
    const int64_t most_s = (int64_t)(UINT64_MAX / 1000000000U);

    (void)state;
    assert_int_equal(shed_deadline(7, 2, 5), 2000000012);
    assert_int_equal(shed_deadline(7, -1, 999999999), 7);
    assert_int_equal(shed_deadline(0, most_s, 0), UINT64_MAX / 1000000000U * 1000000000U);
    assert_int_equal(shed_deadline(1000 * MS, most_s, 0), NEVER);           /* now and what is left wrap, */
    assert_int_equal(shed_deadline(0, most_s, 999999999), NEVER);           /* its parts, */
    assert_int_equal(shed_deadline(0, most_s + 1, 0), NEVER);               /* what is left alone: 5124095H and the like, */
    assert_int_equal(shed_deadline(0, 2 * most_s + 3, 0), NEVER);           /* more than once */
    assert_int_equal(shed_deadline(1, INT64_MAX, 999999999), NEVER);
}

/* Clients write 1001 ms as 1010, and some write 982 after 1010 on one connection as that: neither may look as if it had hung up by itself. */
static void who_resets_at_its_own_deadline_is_told_from_who_hangs_up(void **state)
{
    (void)state;
    assert_true(shed_was_deadline(100 * MS, 1110 * MS, 1101 * MS));
    assert_true(shed_was_deadline(100 * MS, 1110 * MS, 1082 * MS));
    assert_false(shed_was_deadline(100 * MS, 1110 * MS, 1060 * MS));
    assert_true(shed_was_deadline(100 * MS, 1110 * MS, 1110 * MS));
    assert_true(shed_was_deadline(100 * MS, 1110 * MS, 2000 * MS));
    assert_true(shed_was_deadline(0, 10000000 * MS, 9600000 * MS)); /* the same share of any time, */
    assert_false(shed_was_deadline(0, 10000000 * MS, 9599990 * MS));
    assert_true(shed_was_deadline(100 * MS, 110 * MS, 105 * MS)); /* and a few ms of a short one */
    assert_false(shed_was_deadline(100 * MS, 110 * MS, 104 * MS));
    assert_false(shed_was_deadline(100 * MS, NEVER, 1000000 * MS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_deadline_beyond_all_times_is_none),
        cmocka_unit_test(a_call_is_answered_while_nothing_speaks_against_it),
        cmocka_unit_test(who_waited_too_long_is_turned_away),
        cmocka_unit_test(a_deadline_that_has_passed_is_told_as_such),
        cmocka_unit_test(an_answer_that_would_come_late_is_not_computed),
        cmocka_unit_test(one_slow_answer_does_not_shut_a_method_for_ever),
        cmocka_unit_test(what_an_answer_takes_follows_what_it_took),
        cmocka_unit_test(a_newcomer_is_turned_away_when_those_before_it_take_too_long),
        cmocka_unit_test(a_newcomer_is_turned_away_when_its_deadline_would_pass_in_the_queue),
        cmocka_unit_test(an_empty_queue_admits),
        cmocka_unit_test(who_resets_at_its_own_deadline_is_told_from_who_hangs_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
