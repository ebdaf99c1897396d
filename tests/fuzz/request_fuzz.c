/*
 * request_fuzz.c -- any bytes as a request of any method, asked of a real engine: an answer that unpacks and keeps the
 * limits, or a status with a sentence that gRPC can carry.
 *
 *     input   selector | message          selector: the method
 */
#include <assert.h>
#include <math.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <freshet/v1/recommender.pb-c.h>

#include "answer.h"
#include "trace.h"
#include "freshet/log.h"
#include "freshet/trending.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const types[] = {"click", "other"};
static const struct serve_options limits = {.default_k = 3,
                                            .max_k = 5,
                                            .max_seeds = 4,
                                            .max_filter_items = 6,
                                            .version = "fuzz",
                                            .brokers = "none"};

/* Answers of SAR, of a model that has a score for every item, and of both together. ann holds a and b; bob a, b, c; cat c. */
static struct engine *small_town(void)
{
    static const char *const held[][2] = {{"ann", "a"}, {"ann", "b"}, {"bob", "a"},
                                          {"bob", "b"}, {"bob", "c"}, {"cat", "c"}};
    static const struct trending_options trending = {86400000};
    static const struct engine_model models[] = {{"popular", NULL}, {"trending", &trending}, {ENGINE_BLEND, NULL}};
    struct engine_options options = {.users_max = 100,
                                     .items_max = 100,
                                     .user_postings = true,
                                     .uncommitted_mb_max = 64,
                                     .outbox_mb_max = 16,
                                     .checkpoint_interval = 1000,
                                     .wal_sync_interval = 1000,
                                     .similar_work_max = 1000,
                                     .types = types,
                                     .types_len = 2,
                                     .sar = {.parity = true, .similarity = SAR_JACCARD, .threshold = 1, .recency = 1},
                                     .models = models,
                                     .models_len = 3,
                                     .default_model = "sar"};
    struct engine *engine;
    struct fr_err err;
    uint32_t partition;
    int64_t next;

    fr_log_setup(FR_ERROR, FR_LOG_TEXT);
    if (engine_open(&engine, &options, store_memory_new(NULL), &err) || engine_start(engine, &err) ||
        engine_partition(engine, "events", 0, &partition, &next, &err))
        abort();
    struct event_batch *batch = engine_batch_take(engine, 10000);
    for (size_t i = 0; i < sizeof(held) / sizeof(*held); i++)
        batch->events[batch->len++] = (struct event){.partition = partition,
                                                     .offset = (int64_t)i,
                                                     .logged = 1000,
                                                     .when = 1000,
                                                     .weight = 1,
                                                     .user = fr_bytes_of(held[i][0]),
                                                     .item = fr_bytes_of(held[i][1])};
    engine_batch_give(engine, batch);
    while (!engine_reached(engine, FR_BYTES("events"), 0, 6))
        sched_yield();
    return engine;
}

static void check_list(struct fr_bytes bytes)
{
    Freshet__V1__RecommendResponse *list =
        freshet__v1__recommend_response__unpack(NULL, bytes.len, (const uint8_t *)bytes.at);

    assert(list && list->n_items <= limits.max_k && list->as_of);
    for (size_t i = 0; i < list->n_items; i++) {
        assert(!fr_id_problem((const char *)list->items[i]->item_id.data, list->items[i]->item_id.len));
        assert(list->items[i]->propensity >= 0 && list->items[i]->propensity <= 1);
    }
    freshet__v1__recommend_response__free_unpacked(list, NULL);
}

static void check_scores(struct fr_bytes bytes)
{
    Freshet__V1__ScoreResponse *list = freshet__v1__score_response__unpack(NULL, bytes.len, (const uint8_t *)bytes.at);

    assert(list && list->n_items <= limits.max_filter_items && list->as_of);
    for (size_t i = 0; i < list->n_items; i++)
        assert(isfinite(list->items[i]->score) && (list->items[i]->score == 0 || *list->items[i]->source));
    freshet__v1__score_response__free_unpacked(list, NULL);
}

/* They are the score, and of whatever is left out it is said why. */
static void check_reasons(struct fr_bytes bytes)
{
    Freshet__V1__ExplainResponse *why = freshet__v1__explain_response__unpack(NULL, bytes.len, (const uint8_t *)bytes.at);
    double sum = 0, size = 1;

    assert(why && why->as_of && why->rank <= 3 && (why->rank || why->n_excluded_by));
    for (size_t i = 0; i < why->n_reasons; i++) {
        sum += why->reasons[i]->contribution;
        size += fabs(why->reasons[i]->contribution);
        assert(*why->reasons[i]->text && fr_utf8_valid(why->reasons[i]->text, strlen(why->reasons[i]->text)));
    }
    assert(fabs(sum - why->score) <= 1e-9 * size);
    freshet__v1__explain_response__free_unpacked(why, NULL);
}

static void check_answer(enum rpc rpc, const struct answer *answer)
{
    assert(answer->code < RPC_CODES && rpc_code_name(answer->code));
    if (answer->code != RPC_CODE_OK)
        assert(answer->message[0] && fr_utf8_valid(answer->message, strlen(answer->message)));
    else if (rpc == RPC_RECOMMEND || rpc == RPC_WATCH)
        check_list(answer->bytes);
    else if (rpc == RPC_SCORE)
        check_scores(answer->bytes);
    else if (rpc == RPC_EXPLAIN)
        check_reasons(answer->bytes);
}

/* The same bytes as a traceparent, the other thing a caller may send. */
static void check_trace(struct fr_bytes bytes)
{
    char id[TRACE_ID_ROOM];
    bool recorded, good = trace_read(bytes, id, &recorded);

    assert(strlen(id) == (good ? TRACE_ID_ROOM - 1 : 0) && (good || !recorded));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum rpc methods[] = {RPC_RECOMMEND, RPC_RECOMMEND, RPC_SIMILAR,    RPC_POPULAR,
                                       RPC_GET_USER,  RPC_GET_ITEM,  RPC_GET_STATUS, RPC_CHECKPOINT,
                                       RPC_SCORE,     RPC_EXPLAIN,   RPC_WATCH};
    static struct answerer *answerer;
    static struct question question;
    struct answer answer = {.code = RPC_CODES};

    if (!answerer)
        answerer = answerer_new(&limits, small_town());
    if (size < 1)
        return 0;
    enum rpc rpc = methods[data[0] % (sizeof(methods) / sizeof(*methods))];
    char *message = malloc(size); /* of its own, so that a read past it is seen */
    memcpy(message, data + 1, size - 1);
    message = realloc(message, size > 1 ? size - 1 : 1);
    if (!question_read(answerer, &question, rpc, (struct fr_bytes){message, size - 1}, &answer) ||
        !question_begin(answerer, &question, &answer)) {
        assert(answer.code != RPC_CODE_OK);
        check_answer(rpc, &answer);
    } else if (question_ready(answerer, &question)) { /* else it waits, to its deadline */
        question_answer(answerer, &question, &answer);
        check_answer(rpc, &answer);
    }
    check_trace((struct fr_bytes){message, size - 1});
    free(message);
    return 0;
}
