/*
 * operate_test.c -- what an operator does to a running daemon, in the small world of fake_reader.h.
 */
#include "asking.h"

#include <stdio.h>

#include "freshet/log.h"

static struct world {
    int drains, reloads;
    bool problems;
    bool item;          /* was it an item that was to be forgotten last? */
    char forgotten[20]; /* and which */
    bool written;       /* Kafka has said so */
    when_ms logged;     /* the tombstone's time */
    int refused;        /* with this status */
    struct reset reset; /* what was asked last */
} world;

static void note_drain(void *context)
{
    ((struct world *)context)->drains++;
}

static int note_reload(void *context, void (*say)(void *to, const char *key, bool applied, const char *before, const char *after),
                       void *to, struct fr_err *err)
{
    struct world *asked = context;

    asked->reloads++;
    if (asked->problems)
        return fr_fail(err, FR_CONFIG, "unknown key 'feed.topik'");
    say(to, "log.level", true, "info", "debug");
    say(to, "kafka.client.id", false, NULL, "two");
    return FR_OK;
}

static int note_forget(void *context, bool item, struct fr_bytes id, uint64_t *ret_ticket, struct fr_err *err)
{
    struct world *asked = context;

    if (asked->refused == FR_CONFIG)
        return fr_fail(err, FR_CONFIG, "feed.users_topic is empty");
    asked->item = item;
    snprintf(asked->forgotten, sizeof(asked->forgotten), "%.*s", (int)id.len, id.at);
    *ret_ticket = 77;
    return FR_OK;
}

static bool note_forgotten(void *context, uint64_t ticket, struct tombstone *ret, int *ret_status, struct fr_err *ret_err)
{
    struct world *asked = context;

    assert_int_equal(ticket, 77);
    *ret = (struct tombstone){"events", 2, 40, asked->logged};
    *ret_status = asked->refused ? fr_fail(ret_err, (enum fr_status)asked->refused, "Kafka does not take it") : FR_OK;
    return asked->written;
}

static int note_reset(void *context, const struct reset *reset, uint64_t *ret_ticket, struct fr_err *err)
{
    struct world *asked = context;

    if (asked->refused == FR_NOT_FOUND)
        return fr_fail(err, FR_NOT_FOUND, "topic 'x' is not read");
    asked->reset = *reset;
    *ret_ticket = 78;
    return FR_OK;
}

static bool note_reset_done(void *context, uint64_t ticket, struct reset_outcome *ret, int *ret_status, struct fr_err *ret_err)
{
    struct world *asked = context;

    assert_int_equal(ticket, 78);
    *ret = (struct reset_outcome){"events", 2, 40, 7, 9, 3, true};
    *ret_status = asked->refused ? fr_fail(ret_err, (enum fr_status)asked->refused, "it is not halted") : FR_OK;
    return asked->written;
}

static int begin(void **state)
{
    set_up(state);
    world = (struct world){.logged = 5000}; /* the cut-off of item ann */
    answerer_free(answerer);
    static struct serve_options able;
    able = options;
    able.control = (struct serve_control){&world, note_drain, note_reload, note_forget, note_forgotten, note_reset, note_reset_done};
    answerer = answerer_new(&able, &engine);
    fr_log_setup(FR_ERROR, FR_LOG_AUTO);
    return 0;
}

/* The answer to a request without fields, unpacked; the caller frees it. */
static void *ask(enum rpc rpc, const ProtobufCMessageDescriptor *type)
{
    assert_true(read_bytes(rpc, FR_BYTES("")));
    assert_true(question_ready(answerer, &question));
    question_answer(answerer, &question, &answer);
    assert_int_equal(answer.code, RPC_CODE_OK);
    return protobuf_c_message_unpack(type, NULL, answer.bytes.len, (const uint8_t *)answer.bytes.at);
}
#define ASK_PLAIN(rpc, name) ask((rpc), &freshet__v1__##name##__descriptor)

static void ingest_is_paused_and_resumed_and_other_reasons_stay(void **state)
{
    Freshet__V1__PauseIngestResponse *paused;
    Freshet__V1__ResumeIngestResponse *resumed;
    Freshet__V1__GetStatusResponse *status;

    (void)state;
    engine_hold(&engine, HOLD_MEMORY, true);
    for (int i = 0; i < 2; i++) { /* twice is once */
        paused = ASK_PLAIN(RPC_PAUSE_INGEST, pause_ingest_response);
        assert_int_equal(paused->n_held, 2);
        assert_string_equal(paused->held[0], "memory");
        assert_string_equal(paused->held[1], "asked");
        FREE(paused);
    }
    status = ASK_PLAIN(RPC_GET_STATUS, get_status_response);
    assert_int_equal(status->n_held, 2);
    assert_string_equal(status->held[1], "asked");
    FREE(status);
    resumed = ASK_PLAIN(RPC_RESUME_INGEST, resume_ingest_response);
    assert_int_equal(resumed->n_held, 1);
    assert_string_equal(resumed->held[0], "memory");
    FREE(resumed);
    engine_hold(&engine, HOLD_MEMORY, false);
    resumed = ASK_PLAIN(RPC_RESUME_INGEST, resume_ingest_response);
    assert_int_equal(resumed->n_held, 0);
    FREE(resumed);
}

static void a_pause_is_answered_when_the_state_stands_still(void **state)
{
    (void)state;
    engine.busy = true;
    assert_true(read_bytes(RPC_PAUSE_INGEST, FR_BYTES("")));
    assert_int_equal(engine.holds, 1U << HOLD_ASKED);
    assert_false(question_ready(answerer, &question));
    engine.busy = false;
    assert_true(question_ready(answerer, &question));
}

/* Somebody resumes before it stood still: nothing does, and may never. */
static void a_pause_that_is_taken_back_is_no_pause(void **state)
{
    (void)state;
    for (int busy = 0; busy < 2; busy++) {
        engine.busy = true;
        assert_true(read_bytes(RPC_PAUSE_INGEST, FR_BYTES("")));
        assert_false(question_ready(answerer, &question));
        engine_hold(&engine, HOLD_ASKED, false);
        engine.busy = busy;
        assert_true(question_ready(answerer, &question));
        question_answer(answerer, &question, &answer);
        assert_int_equal(answer.code, RPC_CODE_FAILED_PRECONDITION);
        assert_string_equal(answer.message, "ingest was resumed by another call before it stood still");
    }
}

static void a_drain_is_asked_for_once_per_call(void **state)
{
    Freshet__V1__DrainResponse *response = ASK_PLAIN(RPC_DRAIN, drain_response);

    (void)state;
    FREE(response);
    assert_int_equal(world.drains, 1);
}

static void a_level_is_set_and_the_one_before_told(void **state)
{
    Freshet__V1__SetLogLevelRequest request = FRESHET__V1__SET_LOG_LEVEL_REQUEST__INIT;
    static const char *const wrong[] = {"", "verbose", "INFO", "warning"};
    Freshet__V1__SetLogLevelResponse *response;

    (void)state;
    request.level = wire_text("warn");
    assert_true(read_message(RPC_SET_LOG_LEVEL, &request.base));
    question_answer(answerer, &question, &answer);
    response = freshet__v1__set_log_level_response__unpack(NULL, answer.bytes.len, (const uint8_t *)answer.bytes.at);
    assert_string_equal(response->before, "error");
    FREE(response);
    assert_int_equal(fr_log_level(FR_ERROR), FR_WARN);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        request.level = wire_text(wrong[i]);
        assert_false(read_message(RPC_SET_LOG_LEVEL, &request.base));
        assert_int_equal(answer.code, RPC_CODE_INVALID_ARGUMENT);
        assert_string_equal(answer.message, "level is none of debug, info, warn and error");
    }
    assert_int_equal(fr_log_level(FR_ERROR), FR_ERROR);
}

static void a_reload_tells_what_differs(void **state)
{
    Freshet__V1__ReloadConfigResponse *response = ASK_PLAIN(RPC_RELOAD_CONFIG, reload_config_response);

    (void)state;
    assert_int_equal(response->n_changes, 2);
    assert_string_equal(response->changes[0]->key, "log.level");
    assert_string_equal(response->changes[0]->before, "info");
    assert_string_equal(response->changes[0]->after, "debug");
    assert_true(response->changes[0]->applied);
    assert_string_equal(response->changes[1]->key, "kafka.client.id");
    assert_string_equal(response->changes[1]->before, "");
    assert_string_equal(response->changes[1]->after, "two");
    assert_false(response->changes[1]->applied);
    FREE(response);
}

static void a_configuration_with_problems_is_refused_by_its_problems(void **state)
{
    (void)state;
    world.problems = true;
    assert_true(read_bytes(RPC_RELOAD_CONFIG, FR_BYTES("")));
    question_answer(answerer, &question, &answer);
    assert_int_equal(answer.code, RPC_CODE_FAILED_PRECONDITION);
    assert_string_equal(answer.message, "the configuration has problems, and nothing in it has changed: unknown key 'feed.topik'");
}

/* ---- forgetting ---- */

static void ask_to_forget(enum rpc rpc)
{
    Freshet__V1__ForgetUserRequest user = FRESHET__V1__FORGET_USER_REQUEST__INIT;
    Freshet__V1__ForgetItemRequest item = FRESHET__V1__FORGET_ITEM_REQUEST__INIT;

    user.user_id = item.item_id = id("ann");
    assert_true(read_message(rpc, rpc == RPC_FORGET_USER ? &user.base : &item.base));
}

static void it_is_forgotten_once_written_applied_and_synced(void **state)
{
    Freshet__V1__ForgetItemResponse *response;

    (void)state;
    ask_to_forget(RPC_FORGET_ITEM);
    assert_true(world.item);
    assert_string_equal(world.forgotten, "ann");
    assert_false(question_ready(answerer, &question));
    assert_non_null(strstr(question_unready(&question), "may still be written"));
    world.written = true;
    assert_false(question_ready(answerer, &question)); /* offset 40 is the next to be applied */
    assert_non_null(strstr(question_unready(&question), "was not applied"));
    assert_int_equal(engine.asked, 0);
    engine.next = 41;
    assert_false(question_ready(answerer, &question));
    assert_int_equal(engine.asked, 1);
    assert_non_null(strstr(question_unready(&question), "was not synced"));
    engine.done = 1;
    assert_true(question_ready(answerer, &question));
    question_answer(answerer, &question, &answer);
    assert_int_equal(answer.code, RPC_CODE_OK);
    response = freshet__v1__forget_item_response__unpack(NULL, answer.bytes.len, (const uint8_t *)answer.bytes.at);
    assert_string_equal(response->tombstone->topic, "events");
    assert_int_equal(response->tombstone->partition, 2);
    assert_int_equal(response->tombstone->offset, 41);
    assert_int_equal(response->cutoff_ms, 5000);
    assert_int_equal(response->n_remains, 4);
    assert_string_equal(response->remains[0], "model fm: what it was taught");
    FREE(response);
}

/* The topic was made anew, and its partition halted at an offset of the old one: the tombstone stands behind it, and nobody reads it. */
static void a_position_beyond_it_alone_is_no_proof_that_it_was_applied(void **state)
{
    (void)state;
    world.written = true;
    world.logged = 5001;
    engine.next = 1000;
    ask_to_forget(RPC_FORGET_ITEM);
    assert_true(question_ready(answerer, &question));
    question_answer(answerer, &question, &answer);
    assert_int_equal(answer.code, RPC_CODE_FAILED_PRECONDITION);
    assert_non_null(strstr(answer.message, "partition 2 of topic 'events', at 40, but was passed unread"));
    assert_int_equal(engine.asked, 0);
    ask_to_forget(RPC_FORGET_USER); /* who was never forgotten */
    assert_true(question_ready(answerer, &question));
    question_answer(answerer, &question, &answer);
    assert_int_equal(answer.code, RPC_CODE_FAILED_PRECONDITION);
}

static void who_cannot_be_forgotten_is_told_why(void **state)
{
    Freshet__V1__ForgetUserRequest request = FRESHET__V1__FORGET_USER_REQUEST__INIT;

    (void)state;
    assert_false(read_message(RPC_FORGET_USER, &request.base));
    assert_int_equal(answer.code, RPC_CODE_INVALID_ARGUMENT);
    assert_non_null(strstr(answer.message, "user_id"));
    request.user_id = id("ann");
    world.refused = FR_CONFIG;
    assert_false(read_message(RPC_FORGET_USER, &request.base));
    assert_int_equal(answer.code, RPC_CODE_FAILED_PRECONDITION);
    assert_string_equal(answer.message, "feed.users_topic is empty");
    world.refused = FR_IO;
    world.written = true;
    ask_to_forget(RPC_FORGET_USER);
    assert_false(world.item);
    assert_true(question_ready(answerer, &question));
    question_answer(answerer, &question, &answer);
    assert_int_equal(answer.code, RPC_CODE_UNAVAILABLE);
    assert_string_equal(answer.message, "Kafka does not take it");
}

/* ---- a halted partition ---- */

static Freshet__V1__ResetPartitionRequest to_end(void)
{
    Freshet__V1__ResetPartitionRequest request = FRESHET__V1__RESET_PARTITION_REQUEST__INIT;

    request.partition = 2;
    request.applied = 40;
    request.to_case = FRESHET__V1__RESET_PARTITION_REQUEST__TO_END;
    request.end = true;
    return request;
}

static void a_partition_is_reset_once_given_applied_and_synced(void **state)
{
    Freshet__V1__ResetPartitionRequest request = to_end();
    Freshet__V1__ResetPartitionResponse *response;

    (void)state;
    request.topic = wire_text("events");
    request.new_log = true;
    engine.busy = true;
    assert_true(read_message(RPC_RESET_PARTITION, &request.base));
    assert_true(fr_bytes_equal(world.reset.topic, FR_BYTES("events")));
    assert_int_equal(world.reset.partition, 2);
    assert_int_equal(world.reset.applied, 40);
    assert_int_equal(world.reset.to, RESET_TO_END);
    assert_true(world.reset.new_log);
    assert_false(question_ready(answerer, &question));
    assert_non_null(strstr(question_unready(&question), "may still be reset"));
    world.written = true;
    assert_false(question_ready(answerer, &question));
    assert_non_null(strstr(question_unready(&question), "was not applied"));
    assert_int_equal(engine.asked, 0);
    engine.busy = false;
    assert_false(question_ready(answerer, &question));
    assert_int_equal(engine.asked, 1);
    assert_non_null(strstr(question_unready(&question), "was not synced"));
    engine.done = 1;
    assert_true(question_ready(answerer, &question));
    question_answer(answerer, &question, &answer);
    assert_int_equal(answer.code, RPC_CODE_OK);
    response = freshet__v1__reset_partition_response__unpack(NULL, answer.bytes.len, (const uint8_t *)answer.bytes.at);
    assert_string_equal(response->topic, "events");
    assert_int_equal(response->partition, 2);
    assert_int_equal(response->from_offset, 40);
    assert_int_equal(response->to_offset, 7);
    assert_int_equal(response->end, 9);
    assert_int_equal(response->skipped, 3);
    assert_int_equal(response->n_remains, 2);
    FREE(response);
}

static void where_to_go_on_must_be_said(void **state)
{
    Freshet__V1__ResetPartitionRequest request = to_end();

    (void)state;
    request.end = false;
    assert_false(read_message(RPC_RESET_PARTITION, &request.base));
    assert_int_equal(answer.code, RPC_CODE_INVALID_ARGUMENT);
    assert_non_null(strstr(answer.message, "say where to go on"));
    request.to_case = FRESHET__V1__RESET_PARTITION_REQUEST__TO__NOT_SET;
    assert_false(read_message(RPC_RESET_PARTITION, &request.base));
    request.to_case = FRESHET__V1__RESET_PARTITION_REQUEST__TO_OFFSET;
    request.offset = -1;
    assert_false(read_message(RPC_RESET_PARTITION, &request.base));
    request.offset = 0;
    assert_true(read_message(RPC_RESET_PARTITION, &request.base));
    assert_int_equal(world.reset.to, RESET_TO_OFFSET);
    assert_int_equal(world.reset.topic.len, 0);
    request.to_case = FRESHET__V1__RESET_PARTITION_REQUEST__TO_EARLIEST;
    request.offset = 0;
    request.earliest = true;
    assert_true(read_message(RPC_RESET_PARTITION, &request.base));
    assert_int_equal(world.reset.to, RESET_TO_EARLIEST);
}

static void a_reset_that_cannot_be_is_refused_by_its_reason(void **state)
{
    Freshet__V1__ResetPartitionRequest request = to_end();

    (void)state;
    world.refused = FR_NOT_FOUND;
    assert_false(read_message(RPC_RESET_PARTITION, &request.base));
    assert_int_equal(answer.code, RPC_CODE_NOT_FOUND);
    world.refused = FR_CONFIG;
    world.written = true;
    assert_true(read_message(RPC_RESET_PARTITION, &request.base));
    assert_true(question_ready(answerer, &question));
    question_answer(answerer, &question, &answer);
    assert_int_equal(answer.code, RPC_CODE_FAILED_PRECONDITION);
    assert_string_equal(answer.message, "it is not halted");
    assert_int_equal(engine.asked, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ingest_is_paused_and_resumed_and_other_reasons_stay, begin, tear_down),
        cmocka_unit_test_setup_teardown(a_pause_is_answered_when_the_state_stands_still, begin, tear_down),
        cmocka_unit_test_setup_teardown(a_pause_that_is_taken_back_is_no_pause, begin, tear_down),
        cmocka_unit_test_setup_teardown(a_drain_is_asked_for_once_per_call, begin, tear_down),
        cmocka_unit_test_setup_teardown(a_level_is_set_and_the_one_before_told, begin, tear_down),
        cmocka_unit_test_setup_teardown(it_is_forgotten_once_written_applied_and_synced, begin, tear_down),
        cmocka_unit_test_setup_teardown(a_position_beyond_it_alone_is_no_proof_that_it_was_applied, begin, tear_down),
        cmocka_unit_test_setup_teardown(who_cannot_be_forgotten_is_told_why, begin, tear_down),
        cmocka_unit_test_setup_teardown(a_partition_is_reset_once_given_applied_and_synced, begin, tear_down),
        cmocka_unit_test_setup_teardown(where_to_go_on_must_be_said, begin, tear_down),
        cmocka_unit_test_setup_teardown(a_reset_that_cannot_be_is_refused_by_its_reason, begin, tear_down),
        cmocka_unit_test_setup_teardown(a_reload_tells_what_differs, begin, tear_down),
        cmocka_unit_test_setup_teardown(a_configuration_with_problems_is_refused_by_its_problems, begin, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
