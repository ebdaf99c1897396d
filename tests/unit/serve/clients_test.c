/*
 * clients_test.c -- buckets and calls in flight, with times in milliseconds made up here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>

#include "clients.h"

#define MS 1000000ULL
#define BEGIN (1000000 * MS)
#define ANN FR_BYTES("ann")
#define BOB FR_BYTES("bob")

/* One call that is answered at once. */
static enum rejection ask(struct clients *clients, struct fr_bytes name, uint64_t now_ns)
{
    struct client *client;
    enum rejection rejection = clients_enter(clients, name, now_ns, &client);

    if (rejection == NOT_REJECTED)
        clients_leave(clients, client);
    return rejection;
}

static int asked(struct clients *clients, struct fr_bytes name, uint64_t now_ns, int times)
{
    int answered = 0;

    for (int i = 0; i < times; i++)
        answered += ask(clients, name, now_ns) == NOT_REJECTED;
    return answered;
}

static void without_a_limit_there_is_no_table(void **state)
{
    (void)state;
    assert_null(clients_new(&(struct clients_options){.burst = 5}));
}

static void a_client_may_ask_its_burst_at_once_and_then_at_its_rate(void **state)
{
    struct clients *clients = clients_new(&(struct clients_options){.rate = 10, .burst = 5});

    (void)state;
    assert_int_equal(asked(clients, ANN, BEGIN, 20), 5);
    assert_int_equal(ask(clients, ANN, BEGIN), REJECTED_CLIENT_RATE);
    assert_int_equal(asked(clients, ANN, BEGIN + 99 * MS, 20), 0);
    assert_int_equal(asked(clients, ANN, BEGIN + 101 * MS, 20), 1);
    assert_int_equal(asked(clients, ANN, BEGIN + 401 * MS, 20), 3); /* what was turned away has cost nothing */
    assert_int_equal(asked(clients, ANN, BEGIN + 3600000 * MS, 20), 5); /* a long pause saves up no more than the burst */
    clients_free(clients);
}

static void over_a_minute_the_rate_holds(void **state)
{
    struct clients *clients = clients_new(&(struct clients_options){.rate = 50, .burst = 1});
    int answered = 0;

    (void)state;
    for (uint64_t ms = 0; ms < 60000; ms++)
        answered += asked(clients, ANN, BEGIN + ms * MS, 3);
    assert_in_range(answered, 2999, 3001);
    clients_free(clients);
}

static void the_burst_is_a_second_worth_unless_it_is_given(void **state)
{
    struct clients *clients = clients_new(&(struct clients_options){.rate = 7});

    (void)state;
    assert_int_equal(asked(clients, ANN, BEGIN, 20), 7);
    clients_free(clients);
    clients = clients_new(&(struct clients_options){.rate = 0.1});
    assert_int_equal(asked(clients, ANN, BEGIN, 20), 1);
    assert_int_equal(asked(clients, ANN, BEGIN + 9900 * MS, 20), 0);
    assert_int_equal(asked(clients, ANN, BEGIN + 10100 * MS, 20), 1);
    clients_free(clients);
}

static void what_one_takes_another_does_not_lack(void **state)
{
    struct clients *clients = clients_new(&(struct clients_options){.rate = 10, .burst = 5});

    (void)state;
    assert_int_equal(asked(clients, ANN, BEGIN, 20), 5);
    assert_int_equal(asked(clients, BOB, BEGIN, 20), 5);
    clients_free(clients);
}

static void a_clock_that_is_behind_gives_nothing_and_takes_nothing(void **state)
{
    struct clients *clients = clients_new(&(struct clients_options){.rate = 10, .burst = 5});

    (void)state;
    assert_int_equal(asked(clients, ANN, BEGIN, 5), 5);
    assert_int_equal(asked(clients, ANN, BEGIN - 1000 * MS, 5), 0);
    assert_int_equal(asked(clients, ANN, BEGIN + 101 * MS, 5), 1);
    clients_free(clients);
}

static void calls_in_flight_are_counted_until_they_are_answered(void **state)
{
    struct clients *clients = clients_new(&(struct clients_options){.inflight = 2});
    struct client *one, *two, *three;

    (void)state;
    assert_int_equal(clients_enter(clients, ANN, BEGIN, &one), NOT_REJECTED);
    assert_int_equal(clients_enter(clients, ANN, BEGIN, &two), NOT_REJECTED);
    assert_int_equal(clients_enter(clients, ANN, BEGIN, &three), REJECTED_CLIENT_INFLIGHT);
    assert_int_equal(ask(clients, BOB, BEGIN), NOT_REJECTED);
    clients_leave(clients, one);
    assert_int_equal(clients_enter(clients, ANN, BEGIN, &three), NOT_REJECTED);
    clients_leave(clients, two);
    clients_leave(clients, three);
    clients_free(clients);
}

static void who_is_turned_away_for_what_is_in_flight_has_spent_nothing(void **state)
{
    struct clients *clients = clients_new(&(struct clients_options){.rate = 1, .burst = 2, .inflight = 1});
    struct client *one;

    (void)state;
    assert_int_equal(clients_enter(clients, ANN, BEGIN, &one), NOT_REJECTED);
    for (int i = 0; i < 10; i++)
        assert_int_equal(ask(clients, ANN, BEGIN), REJECTED_CLIENT_INFLIGHT);
    clients_leave(clients, one);
    assert_int_equal(ask(clients, ANN, BEGIN), NOT_REJECTED);
    assert_int_equal(ask(clients, ANN, BEGIN), REJECTED_CLIENT_RATE);
    clients_free(clients);
}

/* A million clients, sixty times what the table holds: the one who has spent his bucket is still known among so many who have
 * spent theirs and been silent for longer, and those with calls in flight are never forgotten. */
static void the_table_forgets_who_has_nothing_to_be_remembered_for(void **state)
{
    struct clients *clients = clients_new(&(struct clients_options){.rate = 1, .burst = 1, .inflight = 1, .seed = 42});
    struct client *held;
    char name[32];

    (void)state;
    assert_int_equal(clients_enter(clients, BOB, BEGIN, &held), NOT_REJECTED);
    for (uint64_t i = 0; i < 1000000; i++) {
        uint64_t now_ns = BEGIN + i * MS / 20; /* a place in a set is wanted each 51 ms, and each bucket is full after 1000 */
        int len = snprintf(name, sizeof name, "stranger %llu", (unsigned long long)i);
        assert_int_equal(ask(clients, (struct fr_bytes){name, (size_t)len}, now_ns), NOT_REJECTED);
        if (i % 40000 == 0)
            assert_int_equal(ask(clients, ANN, now_ns), NOT_REJECTED);
        if (i % 40000 == 9000)
            assert_int_equal(ask(clients, ANN, now_ns), REJECTED_CLIENT_RATE);
    }
    assert_int_equal(ask(clients, BOB, BEGIN + 2000000 * MS), REJECTED_CLIENT_INFLIGHT);
    clients_leave(clients, held);
    clients_free(clients);
}

/* Which is no excess of its own: it has its own reason, whatever is limited. */
static void fill_the_table(struct clients_options options)
{
    enum { MORE_THAN_THERE_ARE_PLACES = 20000 };
    struct clients *clients = clients_new(&options);
    static struct client *held[MORE_THAN_THERE_ARE_PLACES];
    int taken = 0, without_a_place = 0;
    char name[32];

    for (int i = 0; i < MORE_THAN_THERE_ARE_PLACES; i++) {
        int len = snprintf(name, sizeof name, "client %d", i);
        enum rejection rejection = clients_enter(clients, (struct fr_bytes){name, (size_t)len}, BEGIN, &held[taken]);
        taken += rejection == NOT_REJECTED;
        without_a_place += rejection == REJECTED_CLIENTS;
    }
    assert_in_range(taken, 12000, 16384);
    assert_int_equal(taken + without_a_place, MORE_THAN_THERE_ARE_PLACES);
    while (taken)
        clients_leave(clients, held[--taken]);
    assert_int_equal(asked(clients, ANN, BEGIN, 100), 100);
    clients_free(clients);
}

static void a_table_full_of_calls_in_flight_turns_one_more_away(void **state)
{
    (void)state;
    fill_the_table((struct clients_options){.inflight = 5});
    fill_the_table((struct clients_options){.rate = 100});
}

static void as_many_wait_for_a_place_as_may_be_in_flight(void **state)
{
    enum { OTHERS = 60000 };
    struct clients *clients = clients_new(&(struct clients_options){.inflight = 2});
    struct client *held[2], *waits[2];
    char name[32];

    (void)state;
    assert_null(clients_wait(clients, ANN, 8)); /* nobody knows her */
    for (int i = 0; i < 2; i++)
        assert_int_equal(clients_enter(clients, ANN, BEGIN, &held[i]), NOT_REJECTED);
    assert_null(clients_wait(clients, ANN, 0));
    for (int i = 0; i < 2; i++)
        assert_non_null(waits[i] = clients_wait(clients, ANN, i + 1));
    assert_null(clients_wait(clients, ANN, 8));
    clients_wait_over(clients, waits[0]);
    assert_non_null(waits[0] = clients_wait(clients, ANN, 8));
    for (int i = 0; i < 2; i++)
        clients_leave(clients, held[i]);
    for (int i = 0; i < OTHERS; i++) { /* nobody takes her place while one of hers waits */
        int len = snprintf(name, sizeof name, "client %d", i);
        assert_int_equal(ask(clients, (struct fr_bytes){name, (size_t)len}, BEGIN), NOT_REJECTED);
    }
    assert_null(clients_wait(clients, ANN, 8));
    for (int i = 0; i < 2; i++)
        clients_wait_over(clients, waits[i]);
    clients_free(clients);
}

static void *ask_often(void *clients)
{
    long answered = 0;

    for (uint64_t i = 0; i < 100000; i++)
        answered += ask(clients, i % 2 ? ANN : BOB, BEGIN) == NOT_REJECTED;
    return (void *)answered;
}

static void threads_share_one_bucket(void **state)
{
    struct clients *clients = clients_new(&(struct clients_options){.rate = 1, .burst = 5000, .inflight = 4});
    pthread_t threads[4];
    long answered = 0;

    (void)state;
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, ask_often, clients);
    for (int i = 0; i < 4; i++) {
        void *result;
        pthread_join(threads[i], &result);
        answered += (long)result;
    }
    assert_int_equal(answered, 10000); /* four threads hold at most four calls: none is turned away for that */
    clients_free(clients);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_limit_there_is_no_table),
        cmocka_unit_test(a_client_may_ask_its_burst_at_once_and_then_at_its_rate),
        cmocka_unit_test(over_a_minute_the_rate_holds),
        cmocka_unit_test(the_burst_is_a_second_worth_unless_it_is_given),
        cmocka_unit_test(what_one_takes_another_does_not_lack),
        cmocka_unit_test(a_clock_that_is_behind_gives_nothing_and_takes_nothing),
        cmocka_unit_test(calls_in_flight_are_counted_until_they_are_answered),
        cmocka_unit_test(who_is_turned_away_for_what_is_in_flight_has_spent_nothing),
        cmocka_unit_test(the_table_forgets_who_has_nothing_to_be_remembered_for),
        cmocka_unit_test(a_table_full_of_calls_in_flight_turns_one_more_away),
        cmocka_unit_test(as_many_wait_for_a_place_as_may_be_in_flight),
        cmocka_unit_test(threads_share_one_bucket),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
