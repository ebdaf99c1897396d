/*
 * leaving_test.c -- answers that are not taken. The world: serving.h, where bob's has 100,000 bytes: more than the window of a stream that
 * is not read.
 */
#include "serving.h"

#define BOB FR_BYTES("\x0a\x03" "bob")

/* bob asks, and does not read. */
static void ask_for_much(struct client_call *call, struct client *whom)
{
    stream_begin(call, whom, RECOMMENDER "Recommend");
    stream_send(call, BOB, true);
}

static void hang_up(struct client_call *call)
{
    grpc_call_cancel(call->call, NULL);
    stream_end(call);
    client_release(call);
}

static void wait_for_answers(double count)
{
    while (series(FR_M_RPC_HANDLED, "Recommend", "OK") < count)
        sched_yield();
}

static void who_does_not_take_an_answer_has_it_in_flight(void **state)
{
    struct client_call call;
    struct fr_bytes body;
    char message[600];

    options.client_inflight = 1;
    start_again(state);
    engine.long_name = true;
    double before = series(FR_M_RPC_HANDLED, "Recommend", "OK");
    ask_for_much(&call, &client);
    wait_for_answers(before + 1);
    assert_true(series(FR_M_RPC_INFLIGHT, "Recommend", "") == 0);
    assert_ask(&client, RECOMMENDER "Recommend", ANN, GRPC_STATUS_RESOURCE_EXHAUSTED,
               "ipv4:127.0.0.1 has limits.client_inflight = 1 calls in flight already");
    assert_true(stream_next(&call, &body));
    assert_true(body.len > 100000);
    stream_end(&call);
    assert_int_equal(call.code, GRPC_STATUS_OK);
    client_release(&call);
    while (client_ask(&client, RECOMMENDER "Recommend", ANN, message) != GRPC_STATUS_OK)
        sched_yield();
    ask_for_much(&call, &client);
    wait_for_answers(before + 3);
    hang_up(&call);
    while (client_ask(&client, RECOMMENDER "Recommend", ANN, message) != GRPC_STATUS_OK)
        sched_yield();
}

/* gRPC tells us that an answer has left when its caller may have asked again, and by any thread: with two lanes, for one in some hundred. */
static void who_takes_one_answer_after_the_other_is_never_refused(void **state)
{
    options.client_inflight = 1;
    options.early_looks = 120000; /* however long gRPC takes */
    options.threads = 2;
    start_again(state);
    for (int i = 0; i < 3000; i++)
        assert_ask(&client, RECOMMENDER "Recommend", ANN, GRPC_STATUS_OK, "");
}

/* As many wait for a place as may be in flight, and get theirs together: of each round all, or at least those. */
static void who_comes_early_goes_on_when_there_is_a_place(void **state)
{
    enum { ROUNDS = 50, CALLS = 12, AT_ONCE = 4 };
    static struct client_call calls[CALLS];

    options.client_inflight = AT_ONCE;
    options.early_looks = 120000;
    start_again(state);
    for (int round = 0; round < ROUNDS; round++) {
        int answered = 0;
        for (int i = 0; i < CALLS; i++)
            client_begin(&calls[i], &client, RECOMMENDER "Recommend", ANN, CLIENT_PATIENCE_MS);
        for (int i = 0; i < CALLS; i++) {
            client_end(&calls[i]);
            answered += calls[i].code == GRPC_STATUS_OK;
            assert_true(calls[i].code == GRPC_STATUS_OK || calls[i].code == GRPC_STATUS_RESOURCE_EXHAUSTED);
            client_release(&calls[i]);
        }
        assert_true(answered >= 2 * AT_ONCE);
    }
    assert_true(series(FR_M_RPC_INFLIGHT, "Recommend", "") == 0);
}

/* One waits for a place, the others are too many for that; every tenth hangs up. */
static void who_asks_for_more_than_it_may_is_refused(void **state)
{
    enum { CALLS = 100 };
    static struct client_call calls[CALLS];
    struct client_call first;
    struct fr_bytes body;
    double refused = series(FR_M_RPC_REJECTED, "client_inflight", "");

    options.client_inflight = 1;
    start_again(state);
    engine.long_name = true;
    double before = series(FR_M_RPC_HANDLED, "Recommend", "OK");
    ask_for_much(&first, &client);
    wait_for_answers(before + 1);
    for (int i = 0; i < CALLS; i++)
        ask_for_much(&calls[i], &client);
    for (int i = 0; i < CALLS; i += 10)
        grpc_call_cancel(calls[i].call, NULL);
    for (int i = 0; i < CALLS; i++) {
        while (stream_next(&calls[i], &body)) /* gRPC's client tells no status to who has not asked for what comes before it */
            ;
        stream_end(&calls[i]);
        if (i % 10)
            assert_int_equal(calls[i].code, GRPC_STATUS_RESOURCE_EXHAUSTED);
        client_release(&calls[i]);
    }
    assert_true(series(FR_M_RPC_REJECTED, "client_inflight", "") - refused >= CALLS - CALLS / 10);
    while (series(FR_M_RPC_INFLIGHT, "Recommend", "") > 0)
        sched_yield();
    assert_true(series(FR_M_RPC_HANDLED, "Recommend", "OK") == before + 1);
    hang_up(&first);
}

/* ... before its time is over; some milliseconds before, so that on a busy machine the caller may have given up: then another asks. */
static void who_has_little_time_is_told_of_the_limit_too(void **state)
{
    enum { SHORT_MS = 300 };
    struct client_call first, second;
    double refused = series(FR_M_RPC_REJECTED, "client_inflight", "");

    options.client_inflight = 1;
    options.early_looks = 120000;
    start_again(state);
    engine.long_name = true;
    double before = series(FR_M_RPC_HANDLED, "Recommend", "OK");
    ask_for_much(&first, &client);
    wait_for_answers(before + 1);
    do {
        client_begin(&second, &client, RECOMMENDER "Recommend", ANN, SHORT_MS);
        client_end(&second);
        client_release(&second);
    } while (series(FR_M_RPC_REJECTED, "client_inflight", "") == refused);
    hang_up(&first);
}

static void answers_that_nobody_takes_have_a_budget_and_harm_nobody_else(void **state)
{
    enum { CALLS = 40, FIT = 10 };
    static struct client_call calls[CALLS];
    struct client other;
    struct fr_bytes body;
    double cut = series(FR_M_RPC_REJECTED, "untaken", "");

    options.memory = 4 * (FIT * 100000 + 50000);
    start_again(state);
    engine.long_name = true;
    client_open(&other, serve_port(serve));
    double before = series(FR_M_RPC_HANDLED, "Recommend", "OK");
    for (int i = 0; i < CALLS; i++) {
        ask_for_much(&calls[i], &client);
        wait_for_answers(before + 2 * i + 1);
        assert_ask(&other, RECOMMENDER "Recommend", ANN, GRPC_STATUS_OK, "");
    }
    assert_int_equal((int)(series(FR_M_RPC_REJECTED, "untaken", "") - cut), CALLS - FIT);
    for (int i = 0; i < CALLS; i++) {
        while (stream_next(&calls[i], &body))
            ;
        stream_end(&calls[i]);
        assert_int_equal(calls[i].code, i < CALLS - FIT ? GRPC_STATUS_RESOURCE_EXHAUSTED : GRPC_STATUS_OK);
        if (i < CALLS - FIT)
            assert_string_equal(calls[i].message, "answers that nobody takes fill a quarter of limits.rpc_memory");
        client_release(&calls[i]);
    }
    assert_true(series(FR_M_RPC_HANDLED, "Recommend", "OK") == before + 2 * CALLS); /* each counted once */
    client_close(&other);
}

/* A Watch's list, and what reflection says, is an answer like any other while it is on its way. */
static void messages_of_streams_that_nobody_takes_have_the_same_budget(void **state)
{
    enum { CALLS = 20, FIT = 10 };
    static struct client_call calls[CALLS], last;
    struct client other;
    struct fr_bytes body;
    double cut = series(FR_M_RPC_REJECTED, "untaken", ""), ended = series(FR_M_RPC_HANDLED, "Watch", "RESOURCE_EXHAUSTED");

    options.memory = 4 * (FIT * 100000 + 50000);
    start_again(state);
    engine.long_name = true;
    client_open(&other, serve_port(serve));
    for (int i = 0; i < CALLS; i++) {
        uint32_t watched = engine.watched;
        stream_begin(&calls[i], &client, RECOMMENDER "Watch");
        stream_send(&calls[i], BOB, true);
        while (engine.watched == watched)
            sched_yield();
        assert_ask(&other, RECOMMENDER "Recommend", ANN, GRPC_STATUS_OK, "");
    }
    assert_int_equal((int)(series(FR_M_RPC_REJECTED, "untaken", "") - cut), CALLS - FIT);
    double before = series(FR_M_RPC_HANDLED, "Recommend", "OK");
    ask_for_much(&last, &client); /* a question's answer makes a list go that is older */
    wait_for_answers(before + 1);
    while (series(FR_M_RPC_REJECTED, "untaken", "") - cut < CALLS - FIT + 1)
        sched_yield();
    assert_true(stream_next(&last, &body));
    hang_up(&last);
    for (int i = 0; i < CALLS; i++) {
        if (i <= CALLS - FIT) {
            while (stream_next(&calls[i], &body))
                ;
            stream_end(&calls[i]);
            assert_int_equal(calls[i].code, GRPC_STATUS_RESOURCE_EXHAUSTED);
            assert_string_equal(calls[i].message, "answers that nobody takes fill a quarter of limits.rpc_memory");
            client_release(&calls[i]);
        } else {
            assert_true(stream_next(&calls[i], &body));
            assert_true(body.len > 100000);
            hang_up(&calls[i]);
        }
    }
    while (series(FR_M_RPC_INFLIGHT, "Watch", "") > 0)
        sched_yield();
    assert_true(series(FR_M_RPC_HANDLED, "Watch", "RESOURCE_EXHAUSTED") == ended + CALLS - FIT + 1); /* each counted once */
    client_close(&other);
}

#define REFLECTION "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"

/* list_services of a host whose name is as long as may be, and comes back twice: more than a window takes. */
static void talk_at_length(struct client_call *call)
{
    static char request[60006] = "\x0a\xe0\xd4\x03"; /* host, 60,000 bytes */

    memset(request + 4, 'h', 60000);
    memcpy(request + 60004, "\x3a\x00", 2);
    stream_begin(call, &client, REFLECTION);
    stream_send(call, (struct fr_bytes){request, sizeof(request)}, false);
}

static void what_reflection_says_has_it_too(void **state)
{
    enum { CALLS = 6, FIT = 2 };
    static struct client_call calls[CALLS];
    struct fr_bytes body;
    double cut = series(FR_M_RPC_REJECTED, "untaken", "");

    options.memory = 4 * (FIT * 120000 + 60000);
    start_again(state);
    for (int i = 0; i < CALLS; i++)
        talk_at_length(&calls[i]);
    while (series(FR_M_RPC_REJECTED, "untaken", "") - cut < CALLS - FIT)
        sched_yield();
    int came = 0;
    for (int i = 0; i < CALLS; i++) {
        came += stream_next(&calls[i], &body);
        grpc_call_cancel(calls[i].call, NULL);
        stream_end(&calls[i]);
        client_release(&calls[i]);
    }
    assert_int_equal(came, FIT);
    assert_int_equal((int)(series(FR_M_RPC_REJECTED, "untaken", "") - cut), CALLS - FIT);
    while (series(FR_M_RPC_INFLIGHT, "Reflection", "") > 0)
        sched_yield();
}

/* The grace is two minutes. */
static void a_drain_does_not_wait_for_who_takes_nothing(void **state)
{
    struct client_call call;
    double before = series(FR_M_RPC_HANDLED, "Recommend", "OK");
    uint64_t begin;

    (void)state;
    engine.long_name = true;
    ask_for_much(&call, &client);
    wait_for_answers(before + 1);
    begin = fr_mono_ns();
    serve_stop(serve);
    serve = NULL;
    assert_true(fr_mono_ns() - begin < (uint64_t)options.drain_grace * 500000U); /* half of it */
    hang_up(&call);
}

/* ... nor for who lets reflection talk and does not listen. */
static void a_drain_does_not_wait_for_a_stream_that_takes_nothing(void **state)
{
    struct client_call first, call;
    double cut = series(FR_M_RPC_REJECTED, "untaken", "");
    uint64_t begin;

    options.memory = 4 * 120000;
    start_again(state);
    talk_at_length(&first);
    talk_at_length(&call);
    while (series(FR_M_RPC_REJECTED, "untaken", "") == cut) /* then the other one's answer is on its way */
        sched_yield();
    begin = fr_mono_ns();
    serve_stop(serve);
    serve = NULL;
    assert_true(fr_mono_ns() - begin < (uint64_t)options.drain_grace * 500000U); /* half of it */
    hang_up(&first);
    hang_up(&call);
    assert_true(series(FR_M_RPC_INFLIGHT, "Reflection", "") == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_does_not_take_an_answer_has_it_in_flight),
        TEST(who_takes_one_answer_after_the_other_is_never_refused),
        TEST(who_comes_early_goes_on_when_there_is_a_place),
        TEST(who_asks_for_more_than_it_may_is_refused),
        TEST(who_has_little_time_is_told_of_the_limit_too),
        TEST(answers_that_nobody_takes_have_a_budget_and_harm_nobody_else),
        TEST(messages_of_streams_that_nobody_takes_have_the_same_budget),
        TEST(what_reflection_says_has_it_too),
        TEST(a_drain_does_not_wait_for_who_takes_nothing),
        TEST(a_drain_does_not_wait_for_a_stream_that_takes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
