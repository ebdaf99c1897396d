/*
 * waiting_test.c -- calls that wait, each listener's in places of its own. The world: serving.h, where there are two places.
 */
#include "serving.h"

#include <freshet/v1/admin.pb-c.h>

#define PAUSE "/freshet.v1.Admin/PauseIngest"
#define ANN_AFTER_42 FR_BYTES("\x0a\x03" "ann\x4a\x0c\x0a\x06" "events\x10\x02\x18\x2a")
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

/* ANN_AFTER_41, and field 99 of a newer client's: `len` bytes in all. */
static struct fr_bytes padded(size_t len)
{
    static char large[40000];
    static const char head[] = "\x0a\x03" "ann\x4a\x0c\x0a\x06" "events\x10\x02\x18\x29\x9a\x06";
    size_t pad = len - (sizeof(head) - 1) - 3;

    memcpy(large, head, sizeof(head) - 1);
    for (size_t i = 0; i < 3; i++)
        large[sizeof(head) - 1 + i] = (char)((pad >> 7 * i & 0x7f) | (i < 2 ? 0x80 : 0));
    return (struct fr_bytes){large, len};
}

static void requests_that_wait_have_a_budget(void **state)
{
    struct client_call call;
    double before = series(FR_M_RPC_REJECTED, "waiting", "");

    options.max_waiting = 100;
    options.memory = 8 * 200000; /* of which one such takes more than half */
    start_again(state);
    for (int i = 0; i < 10; i++) { /* however it ends, what it took is given back */
        client_begin(&call, &client, RECOMMENDER "Recommend", padded(40000), CLIENT_PATIENCE_MS);
        wait_for_a_look();
        assert_ask(&client, RECOMMENDER "Recommend", padded(40000), GRPC_STATUS_RESOURCE_EXHAUSTED,
                   "requests of calls that wait take an eighth of limits.rpc_memory already");
        assert_true(series(FR_M_RPC_REJECTED, "waiting", "") == before + i + 1);
        if (i % 2) {
            cancel(&call);
            while (series(FR_M_RPC_INFLIGHT, "Recommend", "") > 0)
                sched_yield();
        } else {
            engine.next = 41;
            client_end(&call);
            assert_int_equal(call.code, GRPC_STATUS_OK);
            client_release(&call);
            engine.next = 40;
        }
    }
}

/* What came before it was large, and the lane keeps room for the next such. */
static void a_small_request_is_not_charged_for_a_large_one(void **state)
{
    enum { CALLS = 6 };
    struct client_call calls[CALLS];

    options.max_waiting = 100;
    options.memory = 8 * 150000;
    start_again(state);
    for (int i = 0; i < CALLS; i++) {
        engine.next = 41;
        assert_ask(&client, RECOMMENDER "Recommend", padded(40000), GRPC_STATUS_OK, "");
        engine.next = 40;
        client_begin(&calls[i], &client, RECOMMENDER "Recommend", ANN_AFTER_42, CLIENT_PATIENCE_MS);
        wait_for_a_look();
    }
    engine.next = 42;
    for (int i = 0; i < CALLS; i++) {
        client_end(&calls[i]);
        assert_string_equal(calls[i].message, "");
        assert_int_equal(calls[i].code, GRPC_STATUS_OK);
        client_release(&calls[i]);
    }
}

/* ---- forgetting ---- */

static int note_forget(void *context, bool item, struct fr_bytes id, uint64_t *ret_ticket, struct fr_err *err)
{
    (void)context;
    (void)item;
    (void)id;
    (void)err;
    *ret_ticket = 1;
    return FR_OK;
}

static bool note_forgotten(void *context, uint64_t ticket, struct tombstone *ret, int *ret_status, struct fr_err *ret_err)
{
    (void)context;
    (void)ticket;
    (void)ret_err;
    *ret = (struct tombstone){"events", 2, 40, -1};
    *ret_status = FR_OK;
    return true;
}

/* The grace is two minutes, and the client would wait. */
static void who_has_somebody_forgotten_hears_that_no_more_will_be_applied(void **state)
{
    struct client_call call;

    options.control.forget = note_forget;
    options.control.forgotten = note_forgotten;
    start_again(state);
    client_begin(&call, &admin, "/freshet.v1.Admin/ForgetUser", ANN, CLIENT_PATIENCE_MS);
    wait_for_a_look();
    serve_ingest_over(serve);
    client_end(&call);
    assert_int_equal(call.code, GRPC_STATUS_UNAVAILABLE);
    assert_string_equal(call.message, "the tombstone is written, but was not applied");
    client_release(&call);
    engine.next = 41;
    client_begin(&call, &admin, "/freshet.v1.Admin/ForgetUser", ANN, CLIENT_PATIENCE_MS);
    while (engine.asked < 1)
        sched_yield();
    engine.done = 1; /* what is applied is still synced */
    client_end(&call);
    assert_int_equal(call.code, GRPC_STATUS_OK);
    client_release(&call);
}

/* A look that takes longer than all looks of a turn may leaves the others to the next turns, and none of them out. */
static void however_long_a_look_takes_each_has_its_turn(void **state)
{
    enum { MANY = 20 };
    static struct client_call calls[MANY];

    options.max_waiting = MANY;
    start_again(state);
    uint64_t looks = engine.looks;
    engine.look_takes = 1000000;
    for (int i = 0; i < MANY; i++)
        client_begin(&calls[i], &client, RECOMMENDER "Recommend", i % 2 ? ANN_AFTER_41 : ANN_AFTER_42, CLIENT_PATIENCE_MS);
    while (engine.looks < looks + 4 * MANY) /* a turn is a question read, and a look: all have been read, and wait */
        sched_yield();
    engine.next = 41;
    for (int i = 1; i < MANY; i += 2) {
        client_end(&calls[i]);
        assert_int_equal(calls[i].code, GRPC_STATUS_OK);
        client_release(&calls[i]);
    }
    engine.next = 42;
    for (int i = 0; i < MANY; i += 2) {
        client_end(&calls[i]);
        assert_int_equal(calls[i].code, GRPC_STATUS_OK);
        client_release(&calls[i]);
    }
}

/* ---- resetting ---- */

static int note_reset(void *context, const struct reset *reset, uint64_t *ret_ticket, struct fr_err *err)
{
    (void)context;
    (void)reset;
    (void)err;
    *ret_ticket = 1;
    return FR_OK;
}

static bool is_not_reset(void *context, uint64_t ticket, struct reset_outcome *ret, int *ret_status, struct fr_err *ret_err)
{
    (void)ticket;
    (void)ret;
    (void)ret_status;
    (void)ret_err;
    (*(_Atomic unsigned *)context)++;
    return false;
}

static void who_has_a_partition_reset_hears_that_nobody_reads_any_more(void **state)
{
    _Atomic unsigned looks = 0;
    struct client_call call;

    options.control.context = &looks;
    options.control.reset = note_reset;
    options.control.reset_done = is_not_reset;
    start_again(state);
    /* topic "events", applied 40, to the end */
    client_begin(&call, &admin, "/freshet.v1.Admin/ResetPartition", FR_BYTES("\x0a\x06" "events\x18\x28\x30\x01"), CLIENT_PATIENCE_MS);
    while (looks < 2)
        sched_yield();
    serve_ingest_over(serve);
    client_end(&call);
    assert_int_equal(call.code, GRPC_STATUS_UNAVAILABLE);
    assert_string_equal(call.message, "the partition may still be reset, but was not");
    client_release(&call);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(callers_of_the_recommender_do_not_keep_an_operators_call_out),
        TEST(what_is_refused_for_want_of_a_place_has_not_been_begun),
        TEST(requests_that_wait_have_a_budget),
        TEST(who_has_somebody_forgotten_hears_that_no_more_will_be_applied),
        TEST(who_has_a_partition_reset_hears_that_nobody_reads_any_more),
        TEST(a_small_request_is_not_charged_for_a_large_one),
        TEST(however_long_a_look_takes_each_has_its_turn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
