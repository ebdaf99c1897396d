/*
 * grpc_test.c -- calls, waiting, health, reflection, stopping. The world they live in: serving.h.
 */
#include "serving.h"

#include <freshet/v1/admin.pb-c.h>
#include <grpc/reflection/v1/reflection.pb-c.h>

#define TEN "aaaaaaaaaa"
#define HUNDRED_AND_27 TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN "aaaaaaa"

/* ---- calls ---- */

static void a_call_is_answered(void **state)
{
    struct client_call call;
    struct fr_bytes body;
    Freshet__V1__RecommendResponse *response;

    (void)state;
    client_begin(&call, &client, RECOMMENDER "Recommend", ANN, CLIENT_PATIENCE_MS);
    body = client_end(&call);
    assert_int_equal(call.code, GRPC_STATUS_OK);
    response = freshet__v1__recommend_response__unpack(NULL, body.len, (const uint8_t *)body.at);
    assert_non_null(response);
    assert_int_equal(response->n_items, 2);
    assert_int_equal(response->as_of->positions[0]->offset, 40);
    freshet__v1__recommend_response__free_unpacked(response, NULL);
    client_release(&call);
}

static void a_refusal_carries_its_words(void **state)
{
    (void)state;
    assert_ask(&client, RECOMMENDER "Recommend", FR_BYTES("\x0a\x03" "ann\x10\x65"), GRPC_STATUS_INVALID_ARGUMENT,
               "k is 101; limits.max_k is 100");
}

static void an_unknown_method_is_unimplemented_at_once(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) /* more than are armed */
        assert_ask(&client, RECOMMENDER "Guess", ANN, GRPC_STATUS_UNIMPLEMENTED,
                   "there is no method /freshet.v1.Recommender/Guess on this listener");
    assert_ask(&client, "/freshet.v1.Admin/GetStatus", FR_BYTES(""), GRPC_STATUS_UNIMPLEMENTED,
               "there is no method /freshet.v1.Admin/GetStatus on this listener");
}

static void a_call_without_a_message_is_invalid(void **state)
{
    (void)state;
    assert_ask(&client, RECOMMENDER "Recommend", (struct fr_bytes){NULL, 0}, GRPC_STATUS_INVALID_ARGUMENT,
               "the call brought no message, or one that cannot be unpacked");
}

static void a_message_beyond_the_limit_is_resource_exhausted(void **state)
{
    static char large[65537];
    char message[600];

    (void)state;
    assert_int_equal(client_ask(&client, RECOMMENDER "Recommend", (struct fr_bytes){large, sizeof(large)}, message),
                     GRPC_STATUS_RESOURCE_EXHAUSTED);
    assert_int_equal(client_ask(&client, RECOMMENDER "Recommend", ANN, message), GRPC_STATUS_OK);
}

static void packed_messages_are_unpacked_as_far_as_the_limit(void **state)
{
    static char large[65537]; /* some hundred bytes on the way */

    (void)state;
    for (int how = GRPC_COMPRESS_DEFLATE; how <= GRPC_COMPRESS_GZIP; how++) {
        struct client packing;
        char message[600];
        client_open_packing(&packing, serve_port(serve), (grpc_compression_algorithm)how);
        assert_int_equal(client_ask(&packing, RECOMMENDER "Recommend", FR_BYTES("\x0a\x03" "ann" "\xfa\x06\x7f" HUNDRED_AND_27),
                                    message), GRPC_STATUS_OK); /* with a field nobody knows, so that it is worth packing */
        assert_ask(&packing, RECOMMENDER "Recommend", (struct fr_bytes){large, sizeof(large)}, GRPC_STATUS_RESOURCE_EXHAUSTED,
                   "the message, unpacked, is longer than limits.max_message_bytes, 65536");
        client_close(&packing);
    }
}

static void many_calls_at_once_are_all_answered(void **state)
{
    enum { CALLS = 200 };
    struct client_call *calls = calloc(CALLS, sizeof(*calls));
    double before = series(FR_M_RPC_HANDLED, "Recommend", "OK");

    (void)state;
    for (int i = 0; i < CALLS; i++)
        client_begin(&calls[i], &client, RECOMMENDER "Recommend", ANN, CLIENT_PATIENCE_MS);
    for (int i = 0; i < CALLS; i++) {
        client_end(&calls[i]);
        assert_int_equal(calls[i].code, GRPC_STATUS_OK);
        client_release(&calls[i]);
    }
    free(calls);
    assert_true(series(FR_M_RPC_HANDLED, "Recommend", "OK") == before + CALLS);
    assert_true(series(FR_M_RPC_INFLIGHT, "Recommend", "") == 0);
}

/* ---- waiting ---- */

static void a_call_that_waits_is_answered_when_its_position_is_reached(void **state)
{
    struct client_call call;

    (void)state;
    client_begin(&call, &client, RECOMMENDER "Recommend", ANN_AFTER_41, CLIENT_PATIENCE_MS);
    wait_for_a_look();
    assert_ask(&client, RECOMMENDER "Recommend", ANN, GRPC_STATUS_OK, ""); /* others are not held up */
    engine.next = 41;
    client_end(&call);
    assert_int_equal(call.code, GRPC_STATUS_OK);
    client_release(&call);
}

static void a_position_that_is_not_reached_in_time_exceeds_the_deadline(void **state)
{
    struct client_call call;

    (void)state;
    for (int ms = 100; !engine.looks; ms *= 2) { /* a busy machine may need longer than that to begin to wait */
        client_begin(&call, &client, RECOMMENDER "Recommend", ANN_AFTER_41, ms);
        client_end(&call);
        assert_int_equal(call.code, GRPC_STATUS_DEADLINE_EXCEEDED);
        client_release(&call);
    }
    while (series(FR_M_RPC_INFLIGHT, "Recommend", "") > 0)
        sched_yield();
}

/* gRPC sends 1002 ms as 1010: so when the caller gives up, there are 8 ms left of what it is given here. Not so if a busy machine has let the
 * call lie for longer than is allowed for: then it is given more. */
static void who_gives_up_at_a_rounded_deadline_has_not_hung_up(void **state)
{
    enum { MOST_MS = 8000 };
    struct client_call call;
    double told = 0;

    (void)state;
    for (int ms = 1000; ms <= MOST_MS && told < 1; ms *= 2) {
        double late = series(FR_M_RPC_HANDLED, "Recommend", "DEADLINE_EXCEEDED");
        double gone = series(FR_M_RPC_HANDLED, "Recommend", "CANCELLED");
        client_begin(&call, &client, RECOMMENDER "Recommend", ANN_AFTER_41, ms + 2);
        client_end(&call);
        assert_int_equal(call.code, GRPC_STATUS_DEADLINE_EXCEEDED);
        client_release(&call);
        do {
            sched_yield();
            told = series(FR_M_RPC_HANDLED, "Recommend", "DEADLINE_EXCEEDED") - late;
        } while (told + series(FR_M_RPC_HANDLED, "Recommend", "CANCELLED") - gone < 1);
    }
    assert_true(told == 1);
}

static void more_waiting_calls_than_allowed_are_refused_and_hanging_up_makes_room(void **state)
{
    struct client_call one, two;

    (void)state;
    client_begin(&one, &client, RECOMMENDER "Recommend", ANN_AFTER_41, CLIENT_PATIENCE_MS);
    client_begin(&two, &client, RECOMMENDER "Recommend", ANN_AFTER_41, CLIENT_PATIENCE_MS);
    while (series(FR_M_RPC_INFLIGHT, "Recommend", "") < 2)
        sched_yield();
    assert_ask(&client, RECOMMENDER "Recommend", ANN_AFTER_41, GRPC_STATUS_RESOURCE_EXHAUSTED,
               "limits.max_waiting calls are waiting already");
    grpc_call_cancel(one.call, NULL);
    client_end(&one);
    assert_int_equal(one.code, GRPC_STATUS_CANCELLED);
    client_release(&one);
    while (series(FR_M_RPC_INFLIGHT, "Recommend", "") > 1)
        sched_yield();
    client_begin(&one, &client, RECOMMENDER "Recommend", ANN_AFTER_41, CLIENT_PATIENCE_MS);
    wait_for_a_look();
    engine.next = 41;
    client_end(&one);
    client_end(&two);
    assert_int_equal(one.code, GRPC_STATUS_OK);
    assert_int_equal(two.code, GRPC_STATUS_OK);
    client_release(&one);
    client_release(&two);
}

static void a_checkpoint_is_answered_when_it_is_written(void **state)
{
    struct client_call call;
    struct fr_bytes body;
    Freshet__V1__CheckpointResponse *response;

    (void)state;
    client_begin(&call, &admin, "/freshet.v1.Admin/Checkpoint", FR_BYTES(""), CLIENT_PATIENCE_MS);
    while (engine.asked < 1)
        sched_yield();
    assert_ask(&admin, "/freshet.v1.Admin/GetStatus", FR_BYTES(""), GRPC_STATUS_OK, "");
    engine.done = 1;
    body = client_end(&call);
    assert_int_equal(call.code, GRPC_STATUS_OK);
    response = freshet__v1__checkpoint_response__unpack(NULL, body.len, (const uint8_t *)body.at);
    assert_int_equal(response->keys, 12);
    freshet__v1__checkpoint_response__free_unpacked(response, NULL);
    client_release(&call);
}

/* ---- health ---- */

static void health_follows_the_daemons_state_and_each_listener_knows_its_service(void **state)
{
    static const struct fr_bytes recommender = {"\x0a\x16" "freshet.v1.Recommender", 24};
    static const struct fr_bytes admins = {"\x0a\x10" "freshet.v1.Admin", 18};

    (void)state;
    assert_int_equal(check_health(&client, FR_BYTES("")), 1); /* SERVING */
    assert_int_equal(check_health(&client, recommender), 1);
    assert_int_equal(check_health(&client, LIVENESS), 1);
    assert_int_equal(check_health(&admin, admins), 1);
    assert_ask(&client, "/grpc.health.v1.Health/Check", admins, GRPC_STATUS_NOT_FOUND,
               "there is no such service on this listener");
    assert_ask(&admin, "/grpc.health.v1.Health/Check", NOBODY, GRPC_STATUS_NOT_FOUND,
               "there is no such service on this listener");
    fr_state_set(FR_DRAINING);
    assert_int_equal(check_health(&client, recommender), 2); /* NOT_SERVING */
    assert_int_equal(check_health(&client, LIVENESS), 1);
    fr_state_set(FR_STARTING);
    assert_int_equal(check_health(&admin, FR_BYTES("")), 2);
}

static void health_is_pushed_when_it_changes(void **state)
{
    struct client_call watch, unknown;
    struct fr_bytes body;

    (void)state;
    stream_begin(&unknown, &client, "/grpc.health.v1.Health/Watch");
    stream_send(&unknown, NOBODY, true);
    assert_true(stream_next(&unknown, &body));
    assert_int_equal(health_in(body), 3); /* SERVICE_UNKNOWN, and the stream stays */
    stream_begin(&watch, &client, "/grpc.health.v1.Health/Watch");
    stream_send(&watch, FR_BYTES(""), true);
    assert_true(stream_next(&watch, &body));
    assert_int_equal(health_in(body), 1);
    fr_state_set(FR_DRAINING);
    assert_true(stream_next(&watch, &body));
    assert_int_equal(health_in(body), 2);
    fr_state_set(FR_RUNNING);
    assert_true(stream_next(&watch, &body));
    assert_int_equal(health_in(body), 1);
    grpc_call_cancel(watch.call, NULL);
    stream_end(&watch);
    client_release(&watch);
    grpc_call_cancel(unknown.call, NULL);
    stream_end(&unknown);
    client_release(&unknown);
    while (series(FR_M_RPC_INFLIGHT, "Health.Watch", "") > 0)
        sched_yield();
}

/* ---- reflection ---- */

static void ask_reflection(const char *path)
{
    struct client_call call;
    struct fr_bytes body;
    Grpc__Reflection__V1__ServerReflectionResponse *response;

    stream_begin(&call, &client, path);
    stream_send(&call, FR_BYTES("\x3a\x00"), false); /* list_services */
    assert_true(stream_next(&call, &body));
    response = grpc__reflection__v1__server_reflection_response__unpack(NULL, body.len, (const uint8_t *)body.at);
    assert_int_equal(response->list_services_response->n_service, 4);
    grpc__reflection__v1__server_reflection_response__free_unpacked(response, NULL);
    stream_send(&call, FR_BYTES("\x22\x0f" "freshet.v1.Item"), true); /* file_containing_symbol */
    assert_true(stream_next(&call, &body));
    response = grpc__reflection__v1__server_reflection_response__unpack(NULL, body.len, (const uint8_t *)body.at);
    assert_int_equal(response->file_descriptor_response->n_file_descriptor_proto, 1);
    grpc__reflection__v1__server_reflection_response__free_unpacked(response, NULL);
    assert_false(stream_next(&call, &body));
    stream_end(&call);
    assert_int_equal(call.code, GRPC_STATUS_OK);
    client_release(&call);
}

static void reflection_answers_several_questions_on_one_stream_under_both_names(void **state)
{
    (void)state;
    ask_reflection("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo");
    ask_reflection("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo");
}

static void a_caller_of_reflection_who_hangs_up_is_counted_as_such(void **state)
{
    enum { CALLS = 20 };
    double fine = series(FR_M_RPC_HANDLED, "Reflection", "OK"), cancelled = series(FR_M_RPC_HANDLED, "Reflection", "CANCELLED");
    struct client_call call;
    struct fr_bytes body;

    (void)state;
    for (int i = 0; i < CALLS; i++) {
        stream_begin(&call, &client, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo");
        stream_send(&call, FR_BYTES("\x3a\x00"), false);
        assert_true(stream_next(&call, &body));
        grpc_call_cancel(call.call, NULL);
        stream_end(&call);
        client_release(&call);
    }
    ask_reflection("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo");
    while (series(FR_M_RPC_INFLIGHT, "Reflection", "") > 0)
        sched_yield();
    assert_true(series(FR_M_RPC_HANDLED, "Reflection", "OK") == fine + 1);
    assert_true(series(FR_M_RPC_HANDLED, "Reflection", "CANCELLED") == cancelled + CALLS);
}

/* ---- draining and stopping ---- */

static void stop(void *unused)
{
    (void)unused;
    serve_stop(serve);
    serve = NULL;
}

/* Balancers are told first, and until they have noticed nobody is turned away. */
static void a_draining_server_says_so_and_goes_on_answering(void **state)
{
    (void)state;
    fr_state_set(FR_DRAINING);
    assert_int_equal(check_health(&client, FR_BYTES("")), 2); /* NOT_SERVING */
    assert_ask(&client, RECOMMENDER "Recommend", ANN, GRPC_STATUS_OK, "");
    assert_ask(&admin, "/freshet.v1.Admin/GetStatus", FR_BYTES(""), GRPC_STATUS_OK, "");
}

static void new_calls_of_a_stopping_server_are_unavailable(void **state)
{
    double before = series(FR_M_RPC_REJECTED, "draining", "");
    struct client_call waits;
    struct fr_thread *stopper;
    char message[600];

    (void)state;
    client_begin(&waits, &client, RECOMMENDER "Recommend", ANN_AFTER_41, CLIENT_PATIENCE_MS);
    wait_for_a_look();
    stopper = fr_thread_start("stopper", stop, NULL);
    while (client_ask(&admin, "/freshet.v1.Admin/GetStatus", FR_BYTES(""), message) == GRPC_STATUS_OK)
        sched_yield();
    assert_ask(&admin, "/freshet.v1.Admin/GetStatus", FR_BYTES(""), GRPC_STATUS_UNAVAILABLE, "draining");
    assert_ask(&client, RECOMMENDER "Recommend", ANN, GRPC_STATUS_UNAVAILABLE, "draining");
    assert_true(series(FR_M_RPC_REJECTED, "draining", "") >= before + 2);
    engine.next = 41;
    client_end(&waits);
    assert_int_equal(waits.code, GRPC_STATUS_OK);
    client_release(&waits);
    fr_thread_join(stopper);
}

static void stopping_lets_a_call_in_flight_finish_and_ends_streams(void **state)
{
    struct client_call call, watch;
    struct fr_thread *stopper;
    struct fr_bytes body;

    (void)state;
    stream_begin(&watch, &client, "/grpc.health.v1.Health/Watch");
    stream_send(&watch, FR_BYTES(""), true);
    assert_true(stream_next(&watch, &body));
    client_begin(&call, &client, RECOMMENDER "Recommend", ANN_AFTER_41, CLIENT_PATIENCE_MS);
    wait_for_a_look();
    fr_state_set(FR_DRAINING);
    stopper = fr_thread_start("stopper", stop, NULL);
    assert_true(stream_next(&watch, &body));
    assert_int_equal(health_in(body), 2); /* told, then ended */
    assert_false(stream_next(&watch, &body));
    stream_end(&watch);
    assert_int_equal(watch.code, GRPC_STATUS_UNAVAILABLE);
    assert_string_equal(watch.message, "draining");
    engine.next = 41;
    client_end(&call);
    assert_int_equal(call.code, GRPC_STATUS_OK);
    client_release(&watch);
    client_release(&call);
    fr_thread_join(stopper);
}

/* The grace is 20 s, and the client would wait. What has been reached is answered all the same. */
static void who_waits_for_a_position_hears_that_no_more_will_be_applied(void **state)
{
    struct client_call call;

    (void)state;
    client_begin(&call, &client, RECOMMENDER "Recommend", ANN_AFTER_41, CLIENT_PATIENCE_MS);
    wait_for_a_look();
    serve_ingest_over(serve);
    client_end(&call);
    assert_int_equal(call.code, GRPC_STATUS_UNAVAILABLE);
    assert_string_equal(call.message, "draining");
    client_release(&call);
    engine.next = 41;
    assert_ask(&client, RECOMMENDER "Recommend", ANN_AFTER_41, GRPC_STATUS_OK, "");
}

static void stopping_ends_a_call_that_outlasts_the_grace(void **state)
{
    struct client_call call;

    options.drain_grace = 30;
    start_again(state);
    client_begin(&call, &client, RECOMMENDER "Recommend", ANN_AFTER_41, CLIENT_PATIENCE_MS);
    wait_for_a_look();
    stop(NULL);
    client_end(&call);
    assert_int_equal(call.code, GRPC_STATUS_UNAVAILABLE);
    client_release(&call);
}

static void an_address_that_is_taken_is_an_error_that_names_it(void **state)
{
    struct serve_options second = options;
    struct serve *other = NULL;
    struct fr_err err = {0};
    char address[40], want[200];

    (void)state;
    snprintf(address, sizeof(address), "127.0.0.1:%d", serve_admin_port(serve));
    snprintf(want, sizeof(want), "cannot listen on '%s': it is taken, or not an address of this machine", address);
    second.admin_listen = address;
    assert_int_equal(serve_start(&other, &second, &engine, &err), FR_IO);
    assert_null(other);
    assert_string_equal(err.text, want);
    second.listen = "nowhere";
    assert_int_equal(serve_start(&other, &second, &engine, &err), FR_IO);
}

static void two_threads_share_the_calls(void **state)
{
    options.threads = 2;
    start_again(state);
    many_calls_at_once_are_all_answered(state);
    a_call_that_waits_is_answered_when_its_position_is_reached(state);
}

static void every_series_is_there_from_the_start(void **state)
{
    struct fr_writer text;

    (void)state;
    fr_writer_init(&text, 0);
    fr_metric_write(&text, false);
    fr_put_u8(&text, 0);
    assert_non_null(strstr(text.at, "freshet_rpc_handled_total{method=\"Similar\",code=\"RESOURCE_EXHAUSTED\"} 0"));
    assert_non_null(strstr(text.at, "freshet_rpc_handled_total{method=\"Explain\",code=\"UNIMPLEMENTED\"} 0"));
    assert_non_null(strstr(text.at, "freshet_rpc_inflight{method=\"Checkpoint\"} 0"));
    assert_non_null(strstr(text.at, "freshet_rpc_handling_seconds_count{method=\"GetItem\"} 0"));
    assert_non_null(strstr(text.at, "freshet_rpc_rejected_total{reason=\"waiting\"} 0"));
    fr_writer_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_series_is_there_from_the_start),
        TEST(a_call_is_answered),
        TEST(a_refusal_carries_its_words),
        TEST(an_unknown_method_is_unimplemented_at_once),
        TEST(a_call_without_a_message_is_invalid),
        TEST(a_message_beyond_the_limit_is_resource_exhausted),
        TEST(packed_messages_are_unpacked_as_far_as_the_limit),
        TEST(many_calls_at_once_are_all_answered),
        TEST(a_call_that_waits_is_answered_when_its_position_is_reached),
        TEST(a_position_that_is_not_reached_in_time_exceeds_the_deadline),
        TEST(who_gives_up_at_a_rounded_deadline_has_not_hung_up),
        TEST(more_waiting_calls_than_allowed_are_refused_and_hanging_up_makes_room),
        TEST(a_checkpoint_is_answered_when_it_is_written),
        TEST(health_follows_the_daemons_state_and_each_listener_knows_its_service),
        TEST(health_is_pushed_when_it_changes),
        TEST(reflection_answers_several_questions_on_one_stream_under_both_names),
        TEST(a_caller_of_reflection_who_hangs_up_is_counted_as_such),
        TEST(a_draining_server_says_so_and_goes_on_answering),
        TEST(new_calls_of_a_stopping_server_are_unavailable),
        TEST(stopping_lets_a_call_in_flight_finish_and_ends_streams),
        TEST(who_waits_for_a_position_hears_that_no_more_will_be_applied),
        TEST(stopping_ends_a_call_that_outlasts_the_grace),
        TEST(an_address_that_is_taken_is_an_error_that_names_it),
        TEST(two_threads_share_the_calls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
