/*
 * taken_back_test.c -- a token is taken back while calls of its are open: what goes on ends, quiet or not, and the others' go on. The world:
 * serving.h; `one` and `two` are tokens, and then `two` alone.
 */
#include "serving.h"

#include "folder.h"

#define WATCH RECOMMENDER "Watch"
#define TALK "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
#define SERVICES FR_BYTES("\x3a\x00") /* list_services */
#define BOB FR_BYTES("\x0a\x03" "bob")

/* Of the SHA-256 of "one" and "two". */
#define ONE "web read 7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed\n"
#define TWO "app read 3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3\n"

static char folder[256], path[300];
static struct tokens *tokens;
static struct client of_two;

static void write_tokens(const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int set_up_tokens(void **state)
{
    struct fr_err err;

    set_up(state);
    snprintf(path, sizeof(path), "%s/tokens", folder_make(folder));
    write_tokens(ONE TWO);
    if (tokens_open(&tokens, path, &err))
        fail_msg("%s", err.text);
    options.tokens = tokens;
    start_again(state);
    client.authorization = "Bearer one";
    client_open(&of_two, serve_port(serve));
    of_two.authorization = "Bearer two";
    return 0;
}

static int tear_down_tokens(void **state)
{
    int open;

    client_close(&of_two);
    open = tear_down(state);
    tokens_free(tokens);
    folder_remove(folder);
    return open;
}

static void take_one_back(void)
{
    struct fr_err err;

    write_tokens(TWO);
    if (tokens_read(tokens, &err))
        fail_msg("%s", err.text);
}

static void begin(struct client_call *call, struct client *whom, const char *method, struct fr_bytes request)
{
    stream_begin(call, whom, method);
    stream_send(call, request, strcmp(method, WATCH) == 0);
}

static void assert_more(struct client_call *call)
{
    struct fr_bytes body;

    assert_true(stream_next(call, &body));
}

static void assert_ended(struct client_call *call)
{
    struct fr_bytes body;

    assert_false(stream_next(call, &body));
    stream_end(call);
    assert_int_equal(call->code, GRPC_STATUS_UNAUTHENTICATED);
    assert_string_equal(call->message, "the token is not known");
    client_release(call);
}

static void hang_up(struct client_call *call)
{
    grpc_call_cancel(call->call, NULL);
    stream_end(call);
    client_release(call);
}

static void its_quiet_streams_end_and_those_of_others_go_on(void **state)
{
    struct client_call watch, talk, others;

    (void)state;
    begin(&watch, &client, WATCH, ANN);
    begin(&talk, &client, TALK, SERVICES);
    begin(&others, &of_two, WATCH, ANN);
    assert_more(&watch);
    assert_more(&talk);
    assert_more(&others);
    take_one_back();
    assert_ended(&watch); /* nobody has moved */
    assert_ended(&talk);
    fake_move(&engine, 1);
    assert_more(&others);
    hang_up(&others);
    while (engine.unwatched < engine.watched)
        sched_yield();
}

/* Its first list has 100,000 bytes, and is not taken: it ends all the same. */
static void who_does_not_read_is_cut_off(void **state)
{
    struct client_call idle;
    double ended = series(FR_M_RPC_HANDLED, "Watch", "UNAUTHENTICATED");

    (void)state;
    engine.long_name = true;
    begin(&idle, &client, WATCH, BOB);
    while (engine.watched < 1)
        sched_yield();
    take_one_back();
    while (series(FR_M_RPC_INFLIGHT, "Watch", "") > 0 || engine.unwatched < 1)
        sched_yield();
    assert_true(series(FR_M_RPC_HANDLED, "Watch", "UNAUTHENTICATED") == ended + 1);
    hang_up(&idle);
}

/* It is in no list of those that go on while it waits for its position. */
static void what_has_yet_to_begin_does_not(void **state)
{
    struct client_call call;

    (void)state;
    begin(&call, &client, WATCH, ANN_AFTER_41);
    wait_for_a_look();
    take_one_back();
    assert_ask(&client, RECOMMENDER "Recommend", ANN, GRPC_STATUS_UNAUTHENTICATED, "the token is not known");
    engine.next = 41;
    assert_ended(&call);
    assert_int_equal(engine.watched, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(its_quiet_streams_end_and_those_of_others_go_on, set_up_tokens, tear_down_tokens),
        cmocka_unit_test_setup_teardown(who_does_not_read_is_cut_off, set_up_tokens, tear_down_tokens),
        cmocka_unit_test_setup_teardown(what_has_yet_to_begin_does_not, set_up_tokens, tear_down_tokens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
