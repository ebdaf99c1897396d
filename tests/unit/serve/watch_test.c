/*
 * watch_test.c -- Watch on the wire: the first list, fresh ones, no list twice, a reader who does not read, and every end. The world:
 * serving.h; ann moves when the test says so (fake_move).
 */
#include "serving.h"

#include <freshet/v1/recommender.pb-c.h>

#define WATCH RECOMMENDER "Watch"
#define METHOD "Watch"

static void begin_to_watch(struct client_call *call, struct fr_bytes request)
{
    stream_begin(call, &client, WATCH);
    stream_send(call, request, true);
}

/* The score of ann's plum in the next list, in quarters above 1.5; -1: the stream has ended. */
static int next_more(struct client_call *call)
{
    struct fr_bytes body;

    if (!stream_next(call, &body))
        return -1;
    Freshet__V1__RecommendResponse *list = freshet__v1__recommend_response__unpack(NULL, body.len, (const uint8_t *)body.at);
    assert_non_null(list);
    assert_in_range(list->n_items, 1, 2);
    assert_non_null(list->as_of);
    int more = (int)((list->items[0]->score - 1.5) * 4);
    freshet__v1__recommend_response__free_unpacked(list, NULL);
    return more;
}

static void hang_up(struct client_call *call)
{
    grpc_call_cancel(call->call, NULL);
    stream_end(call);
    assert_int_equal(call->code, GRPC_STATUS_CANCELLED);
    client_release(call);
}

static void assert_all_gone(void)
{
    while (series(FR_M_RPC_INFLIGHT, METHOD, "") > 0 || engine.unwatched < engine.watched)
        sched_yield();
    assert_int_equal(engine.unwatched, engine.watched);
}

static void assert_refused(struct fr_bytes request, grpc_status_code code, const char *text)
{
    struct client_call call;

    begin_to_watch(&call, request);
    assert_int_equal(next_more(&call), -1);
    stream_end(&call);
    assert_int_equal(call.code, code);
    assert_string_equal(call.message, text);
    client_release(&call);
}

static void a_list_comes_at_once_and_whenever_it_is_another(void **state)
{
    struct client_call call;
    int came;

    (void)state;
    begin_to_watch(&call, ANN);
    assert_int_equal(next_more(&call), 0);
    assert_true(series(FR_M_RPC_INFLIGHT, METHOD, "") == 1);
    fake_move(&engine, 1);
    assert_int_equal(next_more(&call), 1);
    came = engine.came;
    fake_move(&engine, 1); /* an event that changes nothing: looked at, and not sent */
    while (engine.came == came)
        sched_yield();
    fake_move(&engine, 2);
    assert_int_equal(next_more(&call), 2);
    hang_up(&call);
    assert_all_gone();
    assert_int_equal(engine.watched, 1);
    while (series(FR_M_RPC_HANDLED, METHOD, "CANCELLED") < 1)
        sched_yield();
    assert_true(series(FR_M_RPC_SECONDS, METHOD, "") == 0); /* how long somebody read is no answer's time */
}

static void many_watch_and_only_those_who_moved_are_asked(void **state)
{
    enum { WATCHERS = 30 };
    static struct client_call calls[WATCHERS], other;
    struct fr_bytes body;

    (void)state;
    stream_begin(&other, &client, WATCH);
    stream_send(&other, FR_BYTES("\x0a\x03" "zoe"), true);
    assert_true(stream_next(&other, &body));
    for (int i = 0; i < WATCHERS; i++) {
        begin_to_watch(&calls[i], ANN);
        assert_int_equal(next_more(&calls[i]), 0);
    }
    int came = engine.came;
    fake_move(&engine, 1);
    for (int i = 0; i < WATCHERS; i++)
        assert_int_equal(next_more(&calls[i]), 1);
    assert_int_equal(engine.came - came, WATCHERS);
    for (int i = 0; i < WATCHERS; i++)
        hang_up(&calls[i]);
    hang_up(&other);
    assert_all_gone();
}

/* A look finds nothing new unless something is: so the draw is the stream's, and only what the list is of draws anew. */
static void one_that_explores_keeps_its_draw(void **state)
{
    const struct fr_bytes exploring = FR_BYTES("\x0a\x03" "ann\x61\0\0\0\0\0\0\xe0\x3f");
    struct client_call call, other;

    (void)state;
    begin_to_watch(&call, exploring);
    assert_int_equal(next_more(&call), 0);
    uint64_t drawn_by = engine.drawn_by;
    assert_true(engine.by_history);
    fake_move(&engine, 1);
    assert_int_equal(next_more(&call), 1);
    assert_true(engine.drawn_by == drawn_by && engine.by_history);
    hang_up(&call);
    begin_to_watch(&other, exploring);
    assert_int_equal(next_more(&other), 1);
    assert_true(engine.drawn_by != drawn_by);
    hang_up(&other);
    assert_ask(&client, RECOMMENDER "Recommend", exploring, GRPC_STATUS_OK, "");
    assert_false(engine.by_history);
    assert_all_gone();
}

static void it_waits_for_its_position_first(void **state)
{
    struct client_call call;

    (void)state;
    begin_to_watch(&call, ANN_AFTER_41);
    wait_for_a_look();
    assert_int_equal(engine.watched, 0);
    engine.next = 41;
    assert_int_equal(next_more(&call), 0);
    fake_move(&engine, 1);
    assert_int_equal(next_more(&call), 1);
    hang_up(&call);
    begin_to_watch(&call, FR_BYTES("\x0a\x03" "ann\x4a\x0c\x0a\x06" "events\x10\x02\x18\x2a")); /* 42 */
    wait_for_a_look();
    hang_up(&call); /* while it waits */
    assert_all_gone();
}

/* Whichever look is the first to find the position reached: the one when the call comes, or the server's own, later on. */
static void whenever_its_position_is_reached_it_begins(void **state)
{
    enum { LOOKS_VAIN = 5 };
    struct client_call call;

    (void)state;
    engine.next = 41;
    for (unsigned vain = 0; vain <= LOOKS_VAIN; vain++) {
        engine.looks_vain = engine.looks + vain;
        begin_to_watch(&call, ANN_AFTER_41);
        assert_int_equal(next_more(&call), 0);
        hang_up(&call);
    }
    assert_all_gone();
}

static void what_cannot_be_watched_is_refused(void **state)
{
    (void)state;
    assert_refused(FR_BYTES(""), GRPC_STATUS_INVALID_ARGUMENT, "user_id is empty; Watch follows the events of a user");
    assert_refused(FR_BYTES("\x0a\x03" "ann\x10\x65"), GRPC_STATUS_INVALID_ARGUMENT, "k is 101; limits.max_k is 100");
    assert_refused(FR_BYTES("\x0a"), GRPC_STATUS_INVALID_ARGUMENT, "the request is not a freshet.v1.RecommendRequest");
    assert_all_gone();
}

/* max_staleness_ms = 100, of the first list and of any. */
static void a_state_too_stale_ends_it(void **state)
{
    static const struct fr_bytes fresh = {"\x0a\x03" "ann\x50\x64", 7};
    struct client_call call;

    (void)state;
    begin_to_watch(&call, fresh);
    assert_int_equal(next_more(&call), 0);
    engine.staleness_ms = 250;
    fake_move(&engine, 1);
    assert_int_equal(next_more(&call), -1);
    stream_end(&call);
    assert_int_equal(call.code, GRPC_STATUS_FAILED_PRECONDITION);
    assert_string_equal(call.message, "the state is 0.250 s stale; max_staleness_ms is 100");
    client_release(&call);
    assert_refused(fresh, GRPC_STATUS_FAILED_PRECONDITION, "the state is 0.250 s stale; max_staleness_ms is 100");
    assert_all_gone();
}

static void more_than_allowed_are_refused_and_hanging_up_makes_room(void **state)
{
    struct client_call one, two;
    double before = series(FR_M_RPC_REJECTED, "streams", "");

    options.max_watches = 1;
    start_again(state);
    begin_to_watch(&one, ANN);
    assert_int_equal(next_more(&one), 0);
    assert_refused(ANN, GRPC_STATUS_RESOURCE_EXHAUSTED, "limits.max_watches lists are being watched already");
    assert_true(series(FR_M_RPC_REJECTED, "streams", "") == before + 1);
    hang_up(&one);
    assert_all_gone();
    begin_to_watch(&two, ANN);
    assert_int_equal(next_more(&two), 0);
    hang_up(&two);
    assert_all_gone();
}

static void requests_that_are_kept_have_a_budget(void **state)
{
    static char large[20000];
    struct client_call call;

    (void)state;
    options.memory = 8 << 15; /* 32 KiB for what is kept */
    start_again(state);
    /* Field 99 is a newer client's, of 19,990 bytes less what stands before it. */
    static const char head[] = "\x0a\x03" "ann\x9a\x06\x94\x9c\x01";
    memcpy(large, head, sizeof(head) - 1);
    size_t len = sizeof(head) - 1 + 19988;
    begin_to_watch(&call, (struct fr_bytes){large, len});
    assert_int_equal(next_more(&call), 0);
    assert_refused((struct fr_bytes){large, len}, GRPC_STATUS_RESOURCE_EXHAUSTED,
                   "requests of Watch that are kept take an eighth of limits.rpc_memory already");
    hang_up(&call);
    assert_all_gone();
    begin_to_watch(&call, (struct fr_bytes){large, len});
    assert_int_equal(next_more(&call), 0);
    hang_up(&call);
    assert_all_gone();
}

/* The limit is that of the questions of one client, and no list that is watched is one any more. */
static void at_rest_it_has_no_place_among_the_questions_of_its_client(void **state)
{
    enum { WATCHERS = 5 };
    struct client_call calls[WATCHERS], talk, untaken;
    struct fr_bytes body;

    options.client_inflight = 1;
    options.early_looks = 120000; /* however long gRPC takes to say that a list has left */
    start_again(state);
    stream_begin(&talk, &client, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo");
    stream_send(&talk, FR_BYTES("\x3a\x00"), false); /* list_services */
    assert_true(stream_next(&talk, &body));
    for (int i = 0; i < WATCHERS; i++) {
        begin_to_watch(&calls[i], ANN);
        assert_int_equal(next_more(&calls[i]), 0);
        assert_ask(&client, RECOMMENDER "Recommend", ANN, GRPC_STATUS_OK, "");
    }
    fake_move(&engine, 1);
    for (int i = 0; i < WATCHERS; i++) {
        assert_int_equal(next_more(&calls[i]), 1);
        hang_up(&calls[i]);
    }
    hang_up(&talk);
    assert_all_gone();
    options.early_looks = 1;
    start_again(state);
    engine.long_name = true; /* bob's first list is more than the window of a stream that is not read */
    uint32_t watched = engine.watched;
    begin_to_watch(&untaken, FR_BYTES("\x0a\x03" "bob"));
    while (engine.watched == watched)
        sched_yield();
    assert_ask(&client, RECOMMENDER "Recommend", ANN, GRPC_STATUS_RESOURCE_EXHAUSTED,
               "ipv4:127.0.0.1 has limits.client_inflight = 1 calls in flight already");
    hang_up(&untaken);
    assert_all_gone();
}

static void its_deadline_ends_it(void **state)
{
    struct client_call call;
    double before = series(FR_M_RPC_HANDLED, METHOD, "DEADLINE_EXCEEDED") + series(FR_M_RPC_HANDLED, METHOD, "CANCELLED");

    (void)state;
    stream_begin_within(&call, &client, WATCH, 300);
    stream_send(&call, ANN, true);
    int first = next_more(&call);
    assert_true(first == 0 || first == -1); /* a busy machine may need longer for the first, or for the call to arrive */
    while (first == 0 && next_more(&call) >= 0)
        ;
    stream_end(&call);
    assert_int_equal(call.code, GRPC_STATUS_DEADLINE_EXCEEDED);
    client_release(&call);
    assert_all_gone();
    while (first == 0 && series(FR_M_RPC_HANDLED, METHOD, "DEADLINE_EXCEEDED") + series(FR_M_RPC_HANDLED, METHOD, "CANCELLED") == before)
        sched_yield();
}

/* ---- a reader who does not read ---- */

#define ANNS_FIRST FR_BYTES("\x0a\x03" "ann\x10\x01") /* k = 1 */

/*
 * One reads, the other does not: its lists fill the window of its stream, and from then on it is not even asked for. Returns how
 * many events that took.
 */
static int stall(struct client_call *idle, struct client_call *read)
{
    enum { IN_A_ROW = 50, EVENTS_MOST = 20000 };
    int moved = 0;

    begin_to_watch(idle, ANNS_FIRST);
    while (engine.watched < 1)
        sched_yield();
    begin_to_watch(read, ANN);
    assert_int_equal(next_more(read), 0);
    for (int in_a_row = 0, before = -1; in_a_row < IN_A_ROW; moved++) {
        assert_true(moved < EVENTS_MOST);
        fake_move(&engine, moved + 1);
        assert_int_equal(next_more(read), moved + 1);
        in_a_row = engine.came_for_one == before ? in_a_row + 1 : 0;
        before = engine.came_for_one;
    }
    return moved;
}

static void who_does_not_read_gets_the_newest_at_last(void **state)
{
    static struct client_call idle, read;
    int moved, lists = 0, last = -1, more;

    (void)state;
    moved = stall(&idle, &read);
    while (last < moved) {
        more = next_more(&idle);
        assert_true(more > last); /* in order, none twice */
        last = more;
        lists++;
    }
    assert_int_equal(last, moved);
    assert_true(lists < moved - 40); /* those between were never made */
    hang_up(&idle);
    hang_up(&read);
    assert_all_gone();
}

static void stop(void *unused)
{
    (void)unused;
    serve_stop(serve);
    serve = NULL;
}

/* Within the grace, which is for calls that end by themselves. */
static void stopping_ends_all_even_who_does_not_read(void **state)
{
    static struct client_call idle, read;
    uint64_t begin = fr_mono_ns();

    (void)state;
    stall(&idle, &read);
    begin = fr_mono_ns();
    struct fr_thread *stopper = fr_thread_start("stopper", stop, NULL);
    assert_int_equal(next_more(&read), -1);
    stream_end(&read);
    assert_int_equal(read.code, GRPC_STATUS_UNAVAILABLE);
    assert_string_equal(read.message, "draining");
    fr_thread_join(stopper);
    assert_true(fr_mono_ns() - begin < (uint64_t)options.drain_grace * 500000U); /* half of it: nobody has waited for its end */
    while (next_more(&idle) >= 0)
        ;
    stream_end(&idle);
    assert_int_equal(idle.code, GRPC_STATUS_UNAVAILABLE);
    client_release(&idle);
    client_release(&read);
    assert_all_gone();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_list_comes_at_once_and_whenever_it_is_another),
        TEST(many_watch_and_only_those_who_moved_are_asked),
        TEST(one_that_explores_keeps_its_draw),
        TEST(it_waits_for_its_position_first),
        TEST(whenever_its_position_is_reached_it_begins),
        TEST(what_cannot_be_watched_is_refused),
        TEST(a_state_too_stale_ends_it),
        TEST(more_than_allowed_are_refused_and_hanging_up_makes_room),
        TEST(requests_that_are_kept_have_a_budget),
        TEST(at_rest_it_has_no_place_among_the_questions_of_its_client),
        TEST(its_deadline_ends_it),
        TEST(who_does_not_read_gets_the_newest_at_last),
        TEST(stopping_ends_all_even_who_does_not_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
