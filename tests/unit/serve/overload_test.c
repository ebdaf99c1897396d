/*
 * overload_test.c -- more questions than can be answered. The world: serving.h; the fake engine's gate makes answers
 * slow.
 */
#include "serving.h"

static void wait_at_the_gate(int came)
{
    while (engine.came < came)
        sched_yield();
}

static void wait_ms(uint64_t ms)
{
    for (uint64_t end = fr_mono_ns() + ms * 1000000; fr_mono_ns() < end;)
        sched_yield();
}

/* One is being answered; the rest comes meanwhile, all at once: it is on the wire before that one has its answer. */
static void more_questions_than_allowed_are_turned_away_at_once(void **state)
{
    enum { CALLS = 60 };
    struct client_call first, calls[CALLS];
    struct fr_bytes body;
    double before = series(FR_M_RPC_REJECTED, "inflight", "");
    int answered = 0, refused = 0;

    options.max_inflight = 4;
    start_again(state);
    engine.shut = true;
    client_begin(&first, &client, RECOMMENDER "Recommend", ANN, CLIENT_PATIENCE_MS);
    wait_at_the_gate(1);
    for (int i = 0; i < CALLS; i++) {
        stream_begin(&calls[i], &client, RECOMMENDER "Recommend");
        stream_send(&calls[i], ANN, true);
    }
    engine.passes = 1;
    client_end(&first);
    assert_int_equal(first.code, GRPC_STATUS_OK);
    client_release(&first);
    engine.shut = false;
    for (int i = 0; i < CALLS; i++) {
        while (stream_next(&calls[i], &body))
            ;
        stream_end(&calls[i]);
        answered += calls[i].code == GRPC_STATUS_OK;
        refused += calls[i].code == GRPC_STATUS_RESOURCE_EXHAUSTED;
        if (calls[i].code == GRPC_STATUS_RESOURCE_EXHAUSTED)
            assert_string_equal(calls[i].message, "limits.max_inflight calls are being answered already");
        client_release(&calls[i]);
    }
    assert_int_equal(answered + refused, CALLS);
    assert_true(answered >= 4 && refused >= CALLS / 2);
    assert_true(series(FR_M_RPC_REJECTED, "inflight", "") == before + refused);
    assert_ask(&client, RECOMMENDER "Recommend", ANN, GRPC_STATUS_OK, "");
}

/* So long does an answer take, as far as the server can know. The gate stays shut. */
static void teach(uint64_t ms)
{
    struct client_call call;
    int came = engine.came;

    engine.shut = true;
    client_begin(&call, &client, RECOMMENDER "Recommend", ANN, CLIENT_PATIENCE_MS);
    wait_at_the_gate(came + 1);
    wait_ms(ms);
    engine.passes = 1;
    client_end(&call);
    assert_int_equal(call.code, GRPC_STATUS_OK);
    client_release(&call);
}

/* An answer takes two seconds, one is too long a wait; the gate opens again and again before anybody has waited that long. */
static void who_would_wait_too_long_is_turned_away_on_arrival(void **state)
{
    enum { CALLS = 40 };
    struct client_call calls[CALLS];
    double before = series(FR_M_RPC_REJECTED, "queue", "");
    int answered = 0, refused = 0;

    options.max_queue = 1000;
    start_again(state);
    teach(2000);
    for (int i = 0; i < CALLS; i++)
        client_begin(&calls[i], &client, RECOMMENDER "Recommend", ANN, CLIENT_PATIENCE_MS);
    /* One is at the gate, which is shut; the others come while it is there, or while it goes. */
    for (int came = 2; came <= CALLS && series(FR_M_RPC_REJECTED, "queue", "") == before; came++) {
        while (engine.came < came && series(FR_M_RPC_REJECTED, "queue", "") == before)
            sched_yield();
        engine.passes = 1;
    }
    engine.shut = false;
    for (int i = 0; i < CALLS; i++) {
        client_end(&calls[i]);
        answered += calls[i].code == GRPC_STATUS_OK;
        refused += calls[i].code == GRPC_STATUS_RESOURCE_EXHAUSTED;
        if (calls[i].code == GRPC_STATUS_RESOURCE_EXHAUSTED)
            assert_string_equal(calls[i].message, "those before it take longer than limits.max_queue_ms");
        client_release(&calls[i]);
    }
    assert_int_equal(answered + refused, CALLS);
    assert_true(answered >= 1 && refused >= 1);
    assert_true(series(FR_M_RPC_REJECTED, "queue", "") == before + refused);
    assert_ask(&client, RECOMMENDER "Recommend", ANN, GRPC_STATUS_OK, "");
}

/*
 * While one is at the gate at least two wait behind it, admitted because answers were quick; and then it stays there. Up
 * to three that were answered in the same turn are in flight until it ends.
 */
static void a_question_that_waited_too_long_for_its_turn_is_turned_away(void **state)
{
    enum { CALLS = 40, AT_GATE_AND_BEHIND = 3, IN_FLIGHT = AT_GATE_AND_BEHIND + 3 };
    const char *const at_its_turn = "the call has waited longer than limits.max_queue_ms";
    struct client_call calls[CALLS];
    double before = series(FR_M_RPC_REJECTED, "queue", "");
    int answered = 0, refused = 0, waited = 0;

    options.max_queue = 500;
    start_again(state);
    engine.shut = true;
    for (int i = 0; i < CALLS; i++)
        client_begin(&calls[i], &client, RECOMMENDER "Recommend", ANN, CLIENT_PATIENCE_MS);
    /* The server takes what has arrived before it answers the next one, but gRPC may give it a part at a time. */
    for (int came = 1; came < CALLS && series(FR_M_RPC_INFLIGHT, "Recommend", "") < IN_FLIGHT; came++) {
        wait_at_the_gate(came);
        if (series(FR_M_RPC_INFLIGHT, "Recommend", "") < IN_FLIGHT)
            engine.passes = 1;
    }
    wait_ms(options.max_queue + 100);
    engine.shut = false;
    for (int i = 0; i < CALLS; i++) {
        client_end(&calls[i]);
        answered += calls[i].code == GRPC_STATUS_OK;
        refused += calls[i].code == GRPC_STATUS_RESOURCE_EXHAUSTED;
        waited += strcmp(calls[i].message, at_its_turn) == 0;
        client_release(&calls[i]);
    }
    assert_int_equal(answered + refused, CALLS);
    assert_true(answered >= 1 && waited >= AT_GATE_AND_BEHIND - 1);
    assert_true(series(FR_M_RPC_REJECTED, "queue", "") == before + refused);
}

static void a_question_whose_answer_would_come_late_is_turned_away(void **state)
{
    struct client_call call;
    char message[600];
    double before = series(FR_M_RPC_REJECTED, "deadline", "");

    (void)state;
    teach(3000);
    engine.shut = false;
    client_begin(&call, &client, RECOMMENDER "Recommend", ANN, 2900); /* enough to be turned away by, on a busy machine too */
    client_end(&call);
    assert_int_equal(call.code, GRPC_STATUS_RESOURCE_EXHAUSTED);
    assert_string_equal(call.message, "an answer takes longer than the deadline leaves");
    client_release(&call);
    assert_true(series(FR_M_RPC_REJECTED, "deadline", "") == before + 1);
    assert_int_equal(client_ask(&client, RECOMMENDER "Recommend", ANN, message), GRPC_STATUS_OK); /* with patience */
}

/* One is at the gate; a quick question and one that is known to take long come behind it, and the gate opens once. */
static void a_quick_answer_does_not_wait_for_a_slow_one(void **state)
{
    struct client_call first, quick, slow;

    start_again(state);
    teach(300);
    assert_ask(&client, RECOMMENDER "GetUser", ANN, GRPC_STATUS_OK, "");
    int came = engine.came;
    client_begin(&first, &client, RECOMMENDER "Recommend", ANN, CLIENT_PATIENCE_MS);
    wait_at_the_gate(came + 1);
    client_begin(&quick, &client, RECOMMENDER "GetUser", ANN, CLIENT_PATIENCE_MS);
    client_begin(&slow, &client, RECOMMENDER "Recommend", ANN, CLIENT_PATIENCE_MS);
    engine.passes = 1;
    client_end(&first);
    client_end(&quick); /* while the slow one is at the gate, or on its way there */
    assert_int_equal(quick.code, GRPC_STATUS_OK);
    engine.shut = false;
    client_end(&slow);
    assert_int_equal(slow.code, GRPC_STATUS_OK);
    client_release(&first);
    client_release(&quick);
    client_release(&slow);
}

/* Not one question is admitted: the standard services and the Admin's methods are no questions. */
static void health_and_admin_are_not_behind_the_questions(void **state)
{
    options.max_inflight = 0;
    start_again(state);
    assert_ask(&client, RECOMMENDER "Recommend", ANN, GRPC_STATUS_RESOURCE_EXHAUSTED,
               "limits.max_inflight calls are being answered already");
    assert_ask(&admin, "/freshet.v1.Admin/GetStatus", FR_BYTES(""), GRPC_STATUS_OK, "");
    assert_int_equal(check_health(&admin, FR_BYTES("")), 1);
    assert_int_equal(check_health(&client, FR_BYTES("")), 1);
}

/* Two connections, as one may only have limits.max_concurrent_streams calls. */
static void more_streams_than_allowed_are_turned_away_and_the_end_of_one_makes_room(void **state)
{
    enum { STREAMS = 1024 };
    struct client_call *calls = calloc(STREAMS, sizeof(*calls)), more;
    struct client other;
    struct fr_bytes body;
    double before = series(FR_M_RPC_REJECTED, "streams", "");

    (void)state;
    client_open(&other, serve_port(serve));
    for (int i = 0; i < STREAMS; i++) {
        stream_begin(&calls[i], i % 2 ? &client : &other, "/grpc.health.v1.Health/Watch");
        stream_send(&calls[i], FR_BYTES(""), true);
        assert_true(stream_next(&calls[i], &body));
    }
    stream_begin(&more, &other, "/grpc.health.v1.Health/Watch");
    stream_send(&more, FR_BYTES(""), true);
    assert_false(stream_next(&more, &body));
    stream_end(&more);
    assert_int_equal(more.code, GRPC_STATUS_RESOURCE_EXHAUSTED);
    assert_string_equal(more.message, "too many streams are open");
    client_release(&more);
    assert_true(series(FR_M_RPC_REJECTED, "streams", "") == before + 1);
    stream_begin(&more, &admin, "/grpc.health.v1.Health/Watch"); /* an operator's have places of their own */
    stream_send(&more, FR_BYTES(""), true);
    assert_true(stream_next(&more, &body));
    grpc_call_cancel(more.call, NULL);
    stream_end(&more);
    client_release(&more);
    assert_ask(&client, RECOMMENDER "Recommend", ANN, GRPC_STATUS_OK, "");
    grpc_call_cancel(calls[0].call, NULL);
    stream_end(&calls[0]);
    client_release(&calls[0]);
    while (series(FR_M_RPC_INFLIGHT, "Health.Watch", "") >= STREAMS)
        sched_yield();
    stream_begin(&calls[0], &other, "/grpc.health.v1.Health/Watch");
    stream_send(&calls[0], FR_BYTES(""), true);
    assert_true(stream_next(&calls[0], &body));
    for (int i = 0; i < STREAMS; i++) {
        grpc_call_cancel(calls[i].call, NULL);
        stream_end(&calls[i]);
        client_release(&calls[i]);
    }
    free(calls);
    client_close(&other);
    while (series(FR_M_RPC_INFLIGHT, "Health.Watch", "") > 0)
        sched_yield();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(more_questions_than_allowed_are_turned_away_at_once),
        TEST(who_would_wait_too_long_is_turned_away_on_arrival),
        TEST(a_question_that_waited_too_long_for_its_turn_is_turned_away),
        TEST(a_question_whose_answer_would_come_late_is_turned_away),
        TEST(a_quick_answer_does_not_wait_for_a_slow_one),
        TEST(more_streams_than_allowed_are_turned_away_and_the_end_of_one_makes_room),
        TEST(health_and_admin_are_not_behind_the_questions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
