/* Requests that wait for the state they ask for, and those that have no answer. */
#include "asking.h"

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "folder.h"

/* ---- waiting ---- */

static void a_checkpoint_is_answered_once_it_is_done(void **state)
{
    Freshet__V1__CheckpointRequest request = FRESHET__V1__CHECKPOINT_REQUEST__INIT;
    Freshet__V1__CheckpointResponse *response;

    (void)state;
    assert_true(read_message(RPC_CHECKPOINT, &request.base));
    assert_int_equal(engine.asked, 1);
    assert_false(question_ready(answerer, &question));
    engine.done = 1;
    assert_true(question_ready(answerer, &question));
    question_answer(answerer, &question, &answer);
    assert_int_equal(answer.code, RPC_CODE_OK);
    response = freshet__v1__checkpoint_response__unpack(NULL, answer.bytes.len, (const uint8_t *)answer.bytes.at);
    assert_int_equal(response->keys, 12);
    assert_true(response->seconds == 0.125);
    assert_int_equal(response->n_durable, 1);
    assert_int_equal(response->durable[0]->offset, 41);
    FREE(response);
}

static void without_backups_they_are_refused_by_name(void **state)
{
    static const enum rpc rpcs[] = {RPC_BACKUP, RPC_LIST_BACKUPS, RPC_VERIFY_BACKUP};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        if (read_bytes(rpcs[i], FR_BYTES("")))
            question_answer(answerer, &question, &answer);
        assert_int_equal(answer.code, RPC_CODE_FAILED_PRECONDITION);
        assert_string_equal(answer.message, "this daemon keeps no backups");
    }
}

/* A list of backups that is a pipe nobody writes to: who opens it waits, as at a mount that hangs. */
static void that_there_are_none_is_not_said_before_they_were_looked_at(void **state)
{
    struct serve_options with = options;
    char folder[256], path[300];
    int pipe;

    (void)state;
    folder_make(folder);
    snprintf(path, sizeof(path), "%s/backup-000001", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    with.backups = backups_start(&(struct backups_options){.path = folder, .version = "1", .keep = 1, .frozen = "/nowhere/frozen"});
    answerer_free(answerer);
    answerer = answerer_new(&with, &engine);
    assert_true(read_bytes(RPC_LIST_BACKUPS, FR_BYTES("")));
    question_answer(answerer, &question, &answer);
    assert_int_equal(answer.code, RPC_CODE_UNAVAILABLE);
    while ((pipe = open(path, O_WRONLY | O_NONBLOCK)) < 0) /* until the thread stands there */
        sched_yield();
    assert_int_equal(unlink(path), 0);
    close(pipe);
    do {
        assert_true(read_bytes(RPC_LIST_BACKUPS, FR_BYTES("")));
        question_answer(answerer, &question, &answer);
    } while (answer.code == RPC_CODE_UNAVAILABLE);
    assert_int_equal(answer.code, RPC_CODE_OK);
    answerer_free(answerer);
    answerer = answerer_new(&options, &engine);
    backups_stop(with.backups);
    folder_remove(folder);
}

static void not_before_waits_for_every_position_and_for_unknown_partitions(void **state)
{
    Freshet__V1__RecommendRequest request = FRESHET__V1__RECOMMEND_REQUEST__INIT;
    Freshet__V1__Position one = FRESHET__V1__POSITION__INIT, two = FRESHET__V1__POSITION__INIT, *both[] = {&one, &two};

    (void)state;
    request.user_id = id("ann");
    request.not_before = both;
    request.n_not_before = 1;
    one.topic = two.topic = wire_text("events");
    one.partition = two.partition = 2;
    one.offset = 40;
    two.offset = 42;
    assert_true(read_message(RPC_RECOMMEND, &request.base));
    assert_true(question_ready(answerer, &question)); /* 40 is next: all before it is applied */

    request.n_not_before = 2;
    assert_true(read_message(RPC_RECOMMEND, &request.base));
    assert_false(question_ready(answerer, &question));
    engine.next = 41;
    assert_false(question_ready(answerer, &question));
    engine.next = 42;
    assert_true(question_ready(answerer, &question));

    two.partition = 7;
    assert_true(read_message(RPC_RECOMMEND, &request.base));
    assert_false(question_ready(answerer, &question));
}

static void a_state_staler_than_allowed_is_a_failed_precondition(void **state)
{
    Freshet__V1__RecommendRequest request = FRESHET__V1__RECOMMEND_REQUEST__INIT;
    Freshet__V1__RecommendResponse *response;

    (void)state;
    request.user_id = id("ann");
    request.max_staleness_ms = 1500;
    engine.staleness_ms = 1500;
    response = ASK(RPC_RECOMMEND, request, freshet__v1__recommend_response);
    FREE(response);
    engine.staleness_ms = 1501;
    assert_refused(RPC_RECOMMEND, &request.base, RPC_CODE_FAILED_PRECONDITION,
                   "the state is 1.501 s stale; max_staleness_ms is 1500");
}

/* However long a staleness is allowed, and however small the guess. */
static void a_staleness_that_nobody_knows_is_none_that_is_allowed(void **state)
{
    Freshet__V1__RecommendRequest request = FRESHET__V1__RECOMMEND_REQUEST__INIT;
    Freshet__V1__RecommendResponse *response;

    (void)state;
    request.user_id = id("ann");
    request.max_staleness_ms = UINT32_MAX;
    engine.staleness_ms = -1;
    assert_refused(RPC_RECOMMEND, &request.base, RPC_CODE_FAILED_PRECONDITION,
                   "the state lacks records of an age that is not known yet; max_staleness_ms is 4294967295");
    engine.staleness_ms = 0;
    engine.untold = "events";
    assert_refused(RPC_RECOMMEND, &request.base, RPC_CODE_FAILED_PRECONDITION,
                   "how stale the state is is not known: Kafka has not told yet what there is in topic 'events'; max_staleness_ms is "
                   "4294967295");
    request.max_staleness_ms = 0; /* any */
    response = ASK(RPC_RECOMMEND, request, freshet__v1__recommend_response);
    FREE(response);
    engine.untold = NULL;
}

/* ---- what cannot be answered ---- */

static void what_the_reader_says_becomes_a_status(void **state)
{
    Freshet__V1__SimilarRequest similar = FRESHET__V1__SIMILAR_REQUEST__INIT;
    Freshet__V1__GetItemRequest item = FRESHET__V1__GET_ITEM_REQUEST__INIT;
    Freshet__V1__GetUserRequest user = FRESHET__V1__GET_USER_REQUEST__INIT;

    (void)state;
    similar.item_id = item.item_id = id("fig");
    assert_refused(RPC_SIMILAR, &similar.base, RPC_CODE_NOT_FOUND, "neither an event nor the catalogue has named this item_id");
    similar.model = wire_text("fm");
    assert_false(read_message(RPC_SIMILAR, &similar.base)); /* before anybody is asked */
    assert_refused(RPC_SIMILAR, &similar.base, RPC_CODE_INVALID_ARGUMENT, "model \"fm\" has no similar items");
    similar.model = wire_text("");
    assert_refused(RPC_GET_ITEM, &item.base, RPC_CODE_NOT_FOUND, "neither an event nor the catalogue has named this item_id");
    similar.item_id = id("");
    similar.user_id = user.user_id = id("ann");
    engine.similar_users = FR_INVALID;
    assert_refused(RPC_SIMILAR, &similar.base, RPC_CODE_FAILED_PRECONDITION,
                   "users like a user need engine.user_postings = yes");
    engine.similar_users = FR_LIMIT;
    assert_refused(RPC_SIMILAR, &similar.base, RPC_CODE_RESOURCE_EXHAUSTED,
                   "limits.similar_work is too small for this: 9 of 8 places");
    engine.broken = FR_INTERNAL;
    assert_refused(RPC_GET_USER, &user.base, RPC_CODE_INTERNAL, "broken");
    assert_refused(RPC_GET_ITEM, &item.base, RPC_CODE_INTERNAL, "broken");
}

static void bytes_that_are_no_request_are_refused(void **state)
{
    (void)state;
    assert_false(read_bytes(RPC_RECOMMEND, FR_BYTES("\x0a\x7f" "ann"))); /* a field longer than the message */
    assert_int_equal(answer.code, RPC_CODE_INVALID_ARGUMENT);
    assert_string_equal(answer.message, "the request is not a freshet.v1.RecommendRequest");
    assert_false(read_bytes(RPC_GET_STATUS, FR_BYTES("\x07")));
    assert_int_equal(answer.code, RPC_CODE_INVALID_ARGUMENT);
}

/* "\x22\x00" is an empty seed: 2 bytes of request, about 100 of memory. */
static void a_small_request_cannot_take_much_memory(void **state)
{
    enum { SEEDS = 1 << 20 };
    char *bytes = fr_alloc(2 * SEEDS);

    (void)state;
    for (size_t i = 0; i < SEEDS; i++)
        memcpy(bytes + 2 * i, "\x22\x00", 2);
    assert_false(read_bytes(RPC_RECOMMEND, (struct fr_bytes){bytes, 2 * SEEDS}));
    assert_int_equal(answer.code, RPC_CODE_RESOURCE_EXHAUSTED);
    assert_string_equal(answer.message, "the request has far more parts than any limit");
    assert_true(question.arena.total < 16 << 20);
    assert_false(read_bytes(RPC_RECOMMEND, (struct fr_bytes){bytes, 2 * 1000})); /* somewhat too many: which limit? */
    assert_string_equal(answer.message, "there are 1000 seeds; limits.max_seeds is 2");
    free(bytes);
}

static void unpacking_survives_any_bound_on_memory(void **state)
{
    static const char bytes[] = "\x0a\x03" "ann\x1a\x03sar\x22\x07\x0a\x05" "apple\x22\x06\x0a\x04pear"
                                "\x2a\x0d\x0a\x04plum\x12\x05" "apple\x32\x06\x0a\x01k\x12\x01v"
                                "\x4a\x08\x0a\x06" "events";
    struct fr_arena arena = {0};
    size_t refused = 0;
    bool large;
    void *message = NULL;

    (void)state;
    for (size_t max = 0; !message; max += 8) {
        fr_arena_reset(&arena);
        message = wire_unpack(&arena, &freshet__v1__recommend_request__descriptor, FR_BYTES(bytes), max, &large);
        assert_true(message ? !large : large);
        refused += !message;
    }
    assert_true(refused > 10);
    fr_arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_checkpoint_is_answered_once_it_is_done),
        TEST(without_backups_they_are_refused_by_name),
        TEST(that_there_are_none_is_not_said_before_they_were_looked_at),
        TEST(not_before_waits_for_every_position_and_for_unknown_partitions),
        TEST(a_state_staler_than_allowed_is_a_failed_precondition),
        TEST(a_staleness_that_nobody_knows_is_none_that_is_allowed),
        TEST(what_the_reader_says_becomes_a_status),
        TEST(bytes_that_are_no_request_are_refused),
        TEST(a_small_request_cannot_take_much_memory),
        TEST(unpacking_survives_any_bound_on_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
