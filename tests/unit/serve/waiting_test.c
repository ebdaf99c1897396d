/*
 * waiting_test.c -- calls that wait, each listener's in places of its own. The world: serving.h, where there are two places.
 */
#include "serving.h"

#include <freshet/v1/admin.pb-c.h>

#define PAUSE "/freshet.v1.Admin/PauseIngest"
#define CHECKPOINT "/freshet.v1.Admin/Checkpoint"

static void cancel(struct client_call *call)
{
    grpc_call_cancel(call->call, NULL);
    client_end(call);
    assert_int_equal(call->code, GRPC_STATUS_CANCELLED);
    client_release(call);
}

/* As many as have a place. */
static void fill(struct client_call calls[2], struct client *whom, const char *path, struct fr_bytes request, const char *method)
{
    for (int i = 0; i < 2; i++)
        client_begin(&calls[i], whom, path, request, CLIENT_PATIENCE_MS);
    while (series(FR_M_RPC_INFLIGHT, method, "") < 2)
        sched_yield();
}

static void callers_of_the_recommender_do_not_keep_an_operators_call_out(void **state)
{
    struct client_call calls[2], pause;

    (void)state;
    fill(calls, &client, RECOMMENDER "Recommend", ANN_AFTER_41, "Recommend");
    wait_for_a_look();
    assert_ask(&client, RECOMMENDER "Recommend", ANN_AFTER_41, GRPC_STATUS_RESOURCE_EXHAUSTED,
               "limits.max_waiting calls are waiting already");
    engine.busy = true;
    client_begin(&pause, &admin, PAUSE, FR_BYTES(""), CLIENT_PATIENCE_MS);
    while (!engine.holds && series(FR_M_RPC_HANDLED, "PauseIngest", "RESOURCE_EXHAUSTED") == 0)
        sched_yield();
    engine.busy = false;
    client_end(&pause);
    assert_string_equal(pause.message, "");
    assert_int_equal(pause.code, GRPC_STATUS_OK);
    client_release(&pause);
    cancel(&calls[0]);
    cancel(&calls[1]);
}

static void what_is_refused_for_want_of_a_place_has_not_been_begun(void **state)
{
    struct client_call calls[2];

    (void)state;
    fill(calls, &admin, CHECKPOINT, FR_BYTES(""), "Checkpoint");
    engine.busy = true;
    assert_ask(&admin, PAUSE, FR_BYTES(""), GRPC_STATUS_RESOURCE_EXHAUSTED, "limits.max_waiting calls are waiting already");
    assert_int_equal(engine.holds, 0);
    engine.done = engine.asked;
    for (int i = 0; i < 2; i++) {
        client_end(&calls[i]);
        assert_int_equal(calls[i].code, GRPC_STATUS_OK);
        client_release(&calls[i]);
    }
    engine.busy = false;
    assert_ask(&admin, PAUSE, FR_BYTES(""), GRPC_STATUS_OK, "");
    assert_ask(&admin, PAUSE, FR_BYTES(""), GRPC_STATUS_OK, ""); /* what is ready at once keeps no place */
    assert_ask(&admin, PAUSE, FR_BYTES(""), GRPC_STATUS_OK, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(callers_of_the_recommender_do_not_keep_an_operators_call_out),
        TEST(what_is_refused_for_want_of_a_place_has_not_been_begun),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
