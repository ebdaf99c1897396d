/*
 * answer.c -- asks the reader and packs what it says (answer.h). One function per method; messages are built in the question's arena.
 */
#include "answer.h"

#include <stdlib.h>
#include <string.h>

#include "answer_private.h"
#include "freshet/life.h"
#include "freshet/model.h"
#include "freshet/v1/admin.pb-c.h"
#include "freshet/v1/recommender.pb-c.h"

struct answerer *answerer_new(const struct serve_options *options, struct engine *engine)
{
    struct answerer *answerer = fr_zalloc(1, sizeof(*answerer));

    answerer->options = options;
    answerer->engine = engine;
    answerer->reader = reader_new(engine);
    answerer->status = fr_zalloc(1, sizeof(*answerer->status));
    answerer->checkpoint = fr_zalloc(1, sizeof(*answerer->checkpoint));
    return answerer;
}

void answerer_free(struct answerer *answerer)
{
    if (!answerer)
        return;
    reader_free(answerer->reader);
    free(answerer->status);
    free(answerer->checkpoint);
    free(answerer);
}

/* ---- parts ---- */

static void pack(struct question *question, const void *message, struct answer *answer)
{
    *answer = (struct answer){.code = RPC_CODE_OK, .bytes = wire_pack(&question->arena, message)};
}

static Freshet__V1__Position **positions(struct fr_arena *arena, const struct position *from, size_t len)
{
    Freshet__V1__Position *to = arena_zero(arena, len, sizeof(*to)), **list = arena_zero(arena, len, sizeof(*list));

    for (size_t i = 0; i < len; i++) {
        freshet__v1__position__init(&to[i]);
        to[i].topic = wire_text(from[i].topic);
        to[i].partition = from[i].partition;
        to[i].offset = from[i].next;
        list[i] = &to[i];
    }
    return list;
}

static Freshet__V1__AsOf *as_of(struct answerer *answerer, struct fr_arena *arena)
{
    const struct as_of *from = reader_as_of(answerer->reader);
    Freshet__V1__AsOf *to = arena_zero(arena, 1, sizeof(*to));

    freshet__v1__as_of__init(to);
    to->n_positions = from->positions_len;
    to->positions = positions(arena, from->positions, from->positions_len);
    to->event_time_ms = from->event_time;
    to->staleness_seconds = from->staleness_seconds;
    return to;
}

static Freshet__V1__Reason **reasons(struct fr_arena *arena, const struct why *from, size_t len)
{
    Freshet__V1__Reason *to = arena_zero(arena, len, sizeof(*to)), **list = arena_zero(arena, len, sizeof(*list));

    for (size_t i = 0; i < len; i++) {
        freshet__v1__reason__init(&to[i]);
        to[i].item_id = wire_data(from[i].item);
        to[i].contribution = from[i].contribution;
        list[i] = &to[i];
    }
    return list;
}

static Freshet__V1__Recommendation **items(struct fr_arena *arena, const struct recommendation_list *from)
{
    Freshet__V1__Recommendation *to = arena_zero(arena, from->len, sizeof(*to));
    Freshet__V1__Recommendation **list = arena_zero(arena, from->len, sizeof(*list));

    for (size_t i = 0; i < from->len; i++) {
        freshet__v1__recommendation__init(&to[i]);
        to[i].item_id = wire_data(from->items[i].item);
        to[i].score = from->items[i].score;
        to[i].source = wire_text(from->items[i].source);
        to[i].n_reasons = from->items[i].reasons_len;
        to[i].reasons = reasons(arena, from->items[i].reasons, from->items[i].reasons_len);
        list[i] = &to[i];
    }
    return list;
}

static void from_err(const struct fr_err *err, struct answer *answer)
{
    enum rpc_code code = err->code == FR_NOT_FOUND ? RPC_CODE_NOT_FOUND
                         : err->code == FR_LIMIT   ? RPC_CODE_RESOURCE_EXHAUSTED
                         : err->code == FR_INVALID ? RPC_CODE_FAILED_PRECONDITION
                                                   : RPC_CODE_INTERNAL;

    answer_refuse(answer, code, "%s", err->text);
}

/* ---- methods ---- */

static void recommend(struct answerer *answerer, struct question *question, struct answer *answer)
{
    Freshet__V1__RecommendResponse response = FRESHET__V1__RECOMMEND_RESPONSE__INIT;
    struct recommendation_list list;
    double staleness = reader_as_of(answerer->reader)->staleness_seconds;

    if (question->max_staleness_ms && staleness * 1000 > question->max_staleness_ms) {
        answer_refuse(answer, RPC_CODE_FAILED_PRECONDITION, "the state is %.3f s stale; max_staleness_ms is %u", staleness,
                      question->max_staleness_ms);
        return;
    }
    reader_recommend(answerer->reader, &question->ask, &list);
    response.n_items = list.len;
    response.items = items(&question->arena, &list);
    response.model = wire_text(list.model);
    response.fallback = list.fallback;
    response.as_of = as_of(answerer, &question->arena);
    pack(question, &response, answer);
}

static void similar(struct answerer *answerer, struct question *question, struct answer *answer)
{
    Freshet__V1__SimilarResponse response = FRESHET__V1__SIMILAR_RESPONSE__INIT;
    struct neighbour_list list = {0};
    struct fr_err err;
    int status;

    if (question->item.len)
        status = reader_similar_items(answerer->reader, question->item, &question->ask, &list, &err);
    else
        status = reader_similar_users(answerer->reader, question->ask.user, question->ask.k, &list, &err);
    if (status && !(status == FR_NOT_FOUND && !question->item.len)) { /* an unknown user is not an error */
        from_err(&err, answer);
        return;
    }
    Freshet__V1__Neighbour *to = arena_zero(&question->arena, list.len, sizeof(*to));
    response.n_neighbours = list.len;
    response.neighbours = arena_zero(&question->arena, list.len, sizeof(*response.neighbours));
    for (size_t i = 0; i < list.len; i++) {
        freshet__v1__neighbour__init(&to[i]);
        to[i].id = wire_data(list.neighbours[i].id);
        to[i].similarity = list.neighbours[i].similarity;
        response.neighbours[i] = &to[i];
    }
    response.as_of = as_of(answerer, &question->arena);
    pack(question, &response, answer);
}

static void popular(struct answerer *answerer, struct question *question, struct answer *answer)
{
    Freshet__V1__PopularResponse response = FRESHET__V1__POPULAR_RESPONSE__INIT;
    struct recommendation_list list;

    reader_popular(answerer->reader, &question->ask, &list);
    response.n_items = list.len;
    response.items = items(&question->arena, &list);
    response.as_of = as_of(answerer, &question->arena);
    pack(question, &response, answer);
}

static void get_user(struct answerer *answerer, struct question *question, struct answer *answer)
{
    Freshet__V1__GetUserResponse response = FRESHET__V1__GET_USER_RESPONSE__INIT;
    struct user_facts facts = {0};
    struct fr_err err;

    if (reader_user(answerer->reader, question->ask.user, &facts, &err) == FR_NOT_FOUND)
        facts = (struct user_facts){0}; /* nothing is known of this one, which is an answer */
    Freshet__V1__Affinity *to = arena_zero(&question->arena, facts.affinities_len, sizeof(*to));
    response.user_id = wire_data(question->ask.user);
    response.n_affinities = facts.affinities_len;
    response.affinities = arena_zero(&question->arena, facts.affinities_len, sizeof(*response.affinities));
    for (size_t i = 0; i < facts.affinities_len; i++) {
        freshet__v1__affinity__init(&to[i]);
        to[i].item_id = wire_data(facts.affinities[i].item);
        to[i].affinity = facts.affinities[i].affinity;
        to[i].last_event_ms = facts.affinities[i].last;
        response.affinities[i] = &to[i];
    }
    response.last_event_ms = facts.last_event;
    response.events = facts.events;
    response.as_of = as_of(answerer, &question->arena);
    pack(question, &response, answer);
}

static void get_item(struct answerer *answerer, struct question *question, struct answer *answer)
{
    Freshet__V1__GetItemResponse response = FRESHET__V1__GET_ITEM_RESPONSE__INIT;
    Freshet__V1__Item item = FRESHET__V1__ITEM__INIT;
    struct item_facts facts;
    struct fr_err err;

    if (reader_item(answerer->reader, question->item, &facts, &err)) {
        from_err(&err, answer);
        return;
    }
    item.item_id = wire_data(question->item);
    response.item = &item;
    response.users = facts.users;
    response.first_seen_ms = facts.first_seen;
    response.as_of = as_of(answerer, &question->arena);
    pack(question, &response, answer);
}

/* ---- Admin ---- */

static void get_status(struct answerer *answerer, struct question *question, struct answer *answer)
{
    Freshet__V1__GetStatusResponse response = FRESHET__V1__GET_STATUS_RESPONSE__INIT;
    Freshet__V1__ModelStatus model = FRESHET__V1__MODEL_STATUS__INIT, *models[] = {&model};
    const struct engine_status *status = answerer->status;
    struct fr_arena *arena = &question->arena;

    engine_status(answerer->engine, answerer->status);
    Freshet__V1__PartitionStatus *to = arena_zero(arena, status->partitions_len, sizeof(*to));
    response.version = wire_text(answerer->options->version);
    response.state = wire_text(fr_state_name(fr_state_now()));
    response.brokers = wire_text(answerer->options->brokers);
    response.users = status->users;
    response.items = status->items;
    response.pairs = status->pairs;
    response.n_partitions = status->partitions_len;
    response.partitions = arena_zero(arena, status->partitions_len, sizeof(*response.partitions));
    for (size_t i = 0; i < status->partitions_len; i++) {
        const struct partition_status *from = &status->partitions[i];
        freshet__v1__partition_status__init(&to[i]);
        to[i].topic = wire_text(from->topic);
        to[i].partition = from->partition;
        to[i].state = wire_text(partition_state_name(from->state));
        to[i].applied = from->applied;
        to[i].durable = from->durable;
        to[i].end = from->end;
        to[i].lag = from->lag;
        response.partitions[i] = &to[i];
    }
    model.name = wire_text(answerer->options->default_model);
    model.events = status->model_events;
    model.bytes = status->model_bytes;
    model.age_seconds = status->age_seconds;
    response.n_models = 1;
    response.models = models;
    pack(question, &response, answer);
}

static void checkpoint(struct answerer *answerer, struct question *question, struct answer *answer)
{
    Freshet__V1__CheckpointResponse response = FRESHET__V1__CHECKPOINT_RESPONSE__INIT;

    if (!engine_checkpoint_done(answerer->engine, question->ticket, answerer->checkpoint)) {
        answer_refuse(answer, RPC_CODE_INTERNAL, "the checkpoint is not done");
        return;
    }
    response.n_durable = answerer->checkpoint->durable_len;
    response.durable = positions(&question->arena, answerer->checkpoint->durable, answerer->checkpoint->durable_len);
    response.keys = answerer->checkpoint->keys;
    response.seconds = answerer->checkpoint->seconds;
    pack(question, &response, answer);
}

void question_answer(struct answerer *answerer, struct question *question, struct answer *ret_answer)
{
    static void (*const methods[RPCS])(struct answerer *, struct question *, struct answer *) = {
        [RPC_RECOMMEND] = recommend, [RPC_SIMILAR] = similar,       [RPC_POPULAR] = popular,       [RPC_GET_USER] = get_user,
        [RPC_GET_ITEM] = get_item,   [RPC_GET_STATUS] = get_status, [RPC_CHECKPOINT] = checkpoint,
    };

    *ret_answer = (struct answer){0};
    reader_begin(answerer->reader);
    methods[question->rpc](answerer, question, ret_answer);
    reader_end(answerer->reader);
}
