/*
 * answer.c -- from the bytes of a request to the bytes of its answer.
 *
 *     struct question  <--check--  Request  <--unpack--  bytes
 *                |
 *             reader  --copy-->  Response  --pack-->  bytes         all in the question's arena
 *
 * Ids in an answer point into the reader's state, which stays valid until reader_end; so the answer is packed before.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "answer.h"

#include <assert.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <freshet/v1/admin.pb-c.h>

#include "answer_backups.h"
#include "answer_operate.h"
#include "answer_reset.h"
#include "answer_parts.h"
#include "answer_said.h"
#include "answer_why.h"
#include "check.h"
#include "freshet/life.h"
#include "wire.h"

struct answerer {
    const struct serve_options *limits;
    struct engine *engine;
    struct reader *reader;
    struct part_as_of as_of;
    struct engine_status *status; /* made when first asked for: it is large */
    struct engine_checkpoint *checkpoint;
};

struct answerer *answerer_new(const struct serve_options *options, struct engine *engine)
{
    struct answerer *answerer = fr_zalloc(1, sizeof(*answerer));

    answerer->limits = options;
    answerer->engine = engine;
    answerer->reader = reader_new(engine);
    return answerer;
}

void answerer_free(struct answerer *answerer)
{
    if (!answerer)
        return;
    reader_free(answerer->reader);
    part_as_of_release(&answerer->as_of);
    free(answerer->status);
    free(answerer->checkpoint);
    free(answerer);
}

void question_release(struct question *question)
{
    fr_arena_release(&question->arena);
}

/* ---- Recommend ---- */

/*
 * What the drawing of this question depends on: (recommend.exploration_seed, n-th question that explores since the start), so that a log of
 * questions asked anew, one after the other, is answered alike. One count for all threads: no two questions share a draw. A Watch is one of them: its
 * draw stays, and what it draws is another when the user's history is.
 */
static uint64_t next_draw(const struct serve_options *limits)
{
    static _Atomic uint64_t count;

    return limits->exploration_seed ^ atomic_fetch_add_explicit(&count, 1, memory_order_relaxed) * UINT64_C(0x9e3779b97f4a7c15);
}

static bool read_recommend(struct check *check, const void *message)
{
    const Freshet__V1__RecommendRequest *request = message;
    struct question *question = check->question;

    question->ask.explain = request->explain;
    question->ask.include_seen = request->include_seen;
    question->max_staleness_ms = request->max_staleness_ms;
    question->ask.diversity = request->diversity;
    question->ask.exploration = request->exploration;
    return check_k(check, request->k) && check_model(check, request->model, false) &&
           check_user_or_seeds(check, wire_bytes(request->user_id), request->seeds, request->n_seeds) &&
           check_positions(check, request->not_before, request->n_not_before) && check_filter(check, request->filter) &&
           check_context(check, (ProtobufCMessage *const *)request->context, request->n_context) &&
           check_share(check, "diversity", request->diversity) &&
           check_share(check, "exploration", request->exploration);
}

static bool read_watch(struct check *check, const void *message)
{
    const Freshet__V1__RecommendRequest *request = message;

    if (!request->user_id.len)
        return answer_refuse(check->answer, RPC_CODE_INVALID_ARGUMENT,
                             "user_id is empty; Watch follows the events of a user");
    return read_recommend(check, message);
}

static bool is_fresh_enough(const struct answerer *answerer, const struct question *question, struct answer *answer)
{
    const struct as_of *as_of = reader_as_of(answerer->reader);
    double staleness = as_of->staleness_seconds;

    if (!question->max_staleness_ms)
        return true;
    if (as_of->untold)
        return answer_refuse(answer, RPC_CODE_FAILED_PRECONDITION,
                             "how stale the state is is not known: Kafka has not told yet what there is in topic '%.100s'; max_staleness_ms is %u",
                             as_of->untold, question->max_staleness_ms);
    if (isinf(staleness))
        return answer_refuse(answer, RPC_CODE_FAILED_PRECONDITION,
                             "the state lacks records of an age that is not known yet; max_staleness_ms is %u",
                             question->max_staleness_ms);
    if (staleness * 1000 > question->max_staleness_ms)
        return answer_refuse(answer, RPC_CODE_FAILED_PRECONDITION, "the state is %.3f s stale; max_staleness_ms is %u",
                             staleness, question->max_staleness_ms);
    return true;
}

static void answer_recommend(struct answerer *answerer, struct question *question, struct answer *answer)
{
    Freshet__V1__RecommendResponse response = FRESHET__V1__RECOMMEND_RESPONSE__INIT;
    struct recommendation_list list = {0};

    if (!is_fresh_enough(answerer, question, answer))
        return;
    if (question->ask.exploration > 0 && !question->drawn)
        question->ask.draw = next_draw(answerer->limits);
    question->drawn = true;
    question->ask.draw_by_history = question->rpc == RPC_WATCH;
    reader_recommend(answerer->reader, &question->ask, &list);
    response.n_items = list.len;
    response.items = part_recommendations(&question->arena, &list);
    response.model = wire_text(list.model);
    response.fallback = list.fallback;
    part_as_of(&answerer->as_of, &question->arena, answerer->reader, &response.base);
    part_say(question, &response.base, answer);
    if (question->rpc != RPC_WATCH)
        return;
    response.base.n_unknown_fields = 0; /* as_of, the last field: what is before it says what is to be shown */
    answer->digest = XXH3_64bits(answer->bytes.at, protobuf_c_message_get_packed_size(&response.base));
}

/* ---- Score, Explain ---- */

static void ask_score(struct answerer *answerer, struct question *question, struct answer *answer)
{
    answer_score(answerer->reader, &answerer->as_of, question, answer);
}

static void ask_explain(struct answerer *answerer, struct question *question, struct answer *answer)
{
    answer_explain(answerer->reader, &answerer->as_of, question, answer);
}

/* ---- Similar ---- */

static bool read_similar(struct check *check, const void *message)
{
    const Freshet__V1__SimilarRequest *request = message;
    struct fr_bytes item = wire_bytes(request->item_id), user = wire_bytes(request->user_id);
    struct ask *ask = &check->question->ask;

    if (!item.len == !user.len)
        return answer_refuse(check->answer, RPC_CODE_INVALID_ARGUMENT, "%s given; exactly one is needed",
                             user.len ? "item_id and user_id are both" : "neither item_id nor user_id is");
    check->question->item = item;
    ask->user = user;
    if (!check_id(check, user.len ? "user_id" : "item_id", user.len ? user : item) || !check_k(check, request->k) ||
        !check_model(check, request->model, item.len > 0) || !check_filter(check, request->filter))
        return false;
    if (user.len && ask->exclude_len + ask->include_len + ask->any_len + ask->all_len + ask->none_len + ask->max_per_category)
        return answer_refuse(check->answer, RPC_CODE_INVALID_ARGUMENT,
                             "filter is for items; the answer to a user_id has users");
    return true;
}

/* What is wrong when a reader did not say FR_OK, but for what the caller has dealt with. */
static void refuse_status(struct answer *answer, int status, const struct fr_err *err)
{
    if (status == FR_NOT_FOUND)
        answer_refuse(answer, RPC_CODE_NOT_FOUND, "neither an event nor the catalogue has named this item_id");
    else if (status == FR_LIMIT)
        answer_refuse(answer, RPC_CODE_RESOURCE_EXHAUSTED, "limits.similar_work is too small for this: %s", err->text);
    else if (status == FR_INVALID)
        answer_refuse(answer, RPC_CODE_FAILED_PRECONDITION, "users like a user need engine.user_postings = yes");
    else
        answer_refuse(answer, RPC_CODE_INTERNAL, "%s", err->text);
}

static void answer_similar(struct answerer *answerer, struct question *question, struct answer *answer)
{
    Freshet__V1__SimilarResponse response = FRESHET__V1__SIMILAR_RESPONSE__INIT;
    Freshet__V1__Neighbour *room;
    struct neighbour_list list = {0};
    struct fr_err err = {0};
    const struct ask *ask = &question->ask;
    int status = ask->user.len ? reader_similar_users(answerer->reader, ask->user, ask->k, &list, &err)
                               : reader_similar_items(answerer->reader, question->item, ask, &list, &err);

    if (status == FR_NOT_FOUND && ask->user.len) {
        list = (struct neighbour_list){0}; /* an unknown user is not an error */
    } else if (status != FR_OK) {
        refuse_status(answer, status, &err);
        return;
    }
    room = wire_rooms(&question->arena, list.len, sizeof(*room), &response.neighbours);
    for (size_t i = 0; i < list.len; i++) {
        freshet__v1__neighbour__init(&room[i]);
        room[i].id = wire_data(list.neighbours[i].id);
        room[i].similarity = list.neighbours[i].similarity;
    }
    response.n_neighbours = list.len;
    part_as_of(&answerer->as_of, &question->arena, answerer->reader, &response.base);
    part_say(question, &response.base, answer);
}

/* ---- Popular ---- */

static bool read_popular(struct check *check, const void *message)
{
    const Freshet__V1__PopularRequest *request = message;

    return check_k(check, request->k) && check_popular_by(check, request->by) && check_filter(check, request->filter);
}

static void answer_popular(struct answerer *answerer, struct question *question, struct answer *answer)
{
    Freshet__V1__PopularResponse response = FRESHET__V1__POPULAR_RESPONSE__INIT;
    struct recommendation_list list = {0};

    reader_popular(answerer->reader, &question->ask, &list);
    response.n_items = list.len;
    response.items = part_recommendations(&question->arena, &list);
    part_as_of(&answerer->as_of, &question->arena, answerer->reader, &response.base);
    part_say(question, &response.base, answer);
}

/* ---- GetUser, GetItem ---- */

static bool read_get_user(struct check *check, const void *message)
{
    const Freshet__V1__GetUserRequest *request = message;

    check->question->ask.user = wire_bytes(request->user_id);
    return check_id(check, "user_id", check->question->ask.user);
}

static void answer_get_user(struct answerer *answerer, struct question *question, struct answer *answer)
{
    Freshet__V1__GetUserResponse response = FRESHET__V1__GET_USER_RESPONSE__INIT;
    Freshet__V1__Affinity *room;
    struct user_facts facts = {0};
    struct fr_err err = {0};
    int status = reader_user(answerer->reader, question->ask.user, &facts, &err);

    if (status == FR_NOT_FOUND) {
        facts = (struct user_facts){0}; /* an unknown user is not an error */
    } else if (status != FR_OK) {
        refuse_status(answer, status, &err);
        return;
    }
    room = wire_rooms(&question->arena, facts.affinities_len, sizeof(*room), &response.affinities);
    for (size_t i = 0; i < facts.affinities_len; i++) {
        freshet__v1__affinity__init(&room[i]);
        room[i].item_id = wire_data(facts.affinities[i].item);
        room[i].affinity = facts.affinities[i].affinity;
        room[i].last_event_ms = facts.affinities[i].last;
    }
    if (facts.features)
        response.features = said_user(&question->arena, facts.features, &response.n_features);
    response.user_id = wire_data(question->ask.user);
    response.n_affinities = facts.affinities_len;
    response.last_event_ms = facts.last_event;
    response.events = facts.events;
    part_as_of(&answerer->as_of, &question->arena, answerer->reader, &response.base);
    part_say(question, &response.base, answer);
}

static bool read_get_item(struct check *check, const void *message)
{
    const Freshet__V1__GetItemRequest *request = message;

    check->question->item = wire_bytes(request->item_id);
    return check_id(check, "item_id", check->question->item);
}

static void answer_get_item(struct answerer *answerer, struct question *question, struct answer *answer)
{
    Freshet__V1__GetItemResponse response = FRESHET__V1__GET_ITEM_RESPONSE__INIT;
    Freshet__V1__Item item = FRESHET__V1__ITEM__INIT;
    struct item_facts facts = {0};
    struct fr_err err = {0};
    int status = reader_item(answerer->reader, question->item, &facts, &err);

    if (status != FR_OK) {
        refuse_status(answer, status, &err);
        return;
    }
    if (facts.said)
        said_item(&question->arena, facts.said, &item);
    item.item_id = wire_data(question->item);
    response.item = &item;
    response.users = facts.users;
    response.trending = facts.trending;
    response.first_seen_ms = facts.first_seen;
    part_as_of(&answerer->as_of, &question->arena, answerer->reader, &response.base);
    part_say(question, &response.base, answer);
}

/* ---- Admin ---- */

static bool read_nothing(struct check *check, const void *message)
{
    (void)check;
    (void)message;
    return true;
}

static Freshet__V1__PartitionStatus **partitions_of(struct fr_arena *arena, const struct engine_status *status)
{
    Freshet__V1__PartitionStatus **pointers, *room = wire_rooms(arena, status->partitions_len, sizeof(*room), &pointers);

    for (size_t i = 0; i < status->partitions_len; i++) {
        const struct partition_status *partition = &status->partitions[i];
        freshet__v1__partition_status__init(&room[i]);
        room[i].topic = wire_text(partition->topic);
        room[i].partition = partition->partition;
        room[i].state = wire_text(partition_state_name(partition->state));
        room[i].applied = partition->applied;
        room[i].durable = partition->durable;
        room[i].end = partition->end;
        room[i].lag = partition->lag;
    }
    return pointers;
}

static Freshet__V1__ModelStatus **models_of(struct fr_arena *arena, const struct engine_status *status)
{
    Freshet__V1__ModelStatus **pointers, *room = wire_rooms(arena, status->models_len, sizeof(*room), &pointers);

    for (size_t i = 0; i < status->models_len; i++) {
        freshet__v1__model_status__init(&room[i]);
        room[i].name = wire_text(status->models[i].name);
        room[i].events = status->models[i].events;
        room[i].bytes = status->models[i].bytes;
        room[i].age_seconds = status->age_seconds;
    }
    return pointers;
}

static void answer_get_status(struct answerer *answerer, struct question *question, struct answer *answer)
{
    Freshet__V1__GetStatusResponse response = FRESHET__V1__GET_STATUS_RESPONSE__INIT;
    struct engine_status *status = answerer->status;

    if (!status)
        status = answerer->status = fr_alloc(sizeof(*status));
    engine_status(answerer->engine, status);
    response.version = wire_text(answerer->limits->version);
    response.state = wire_text(fr_state_name(fr_state_now()));
    response.brokers = wire_text(answerer->limits->brokers);
    response.n_partitions = status->partitions_len;
    response.partitions = partitions_of(&question->arena, status);
    response.users = status->users;
    response.items = status->items;
    response.pairs = status->pairs;
    response.n_models = status->models_len;
    response.models = models_of(&question->arena, status);
    response.n_held = held_of(&question->arena, answerer->engine, &response.held);
    part_say(question, &response.base, answer);
}

static void answer_checkpoint(struct answerer *answerer, struct question *question, struct answer *answer)
{
    Freshet__V1__CheckpointResponse response = FRESHET__V1__CHECKPOINT_RESPONSE__INIT;
    struct engine_checkpoint *checkpoint = answerer->checkpoint;

    if (!checkpoint)
        checkpoint = answerer->checkpoint = fr_alloc(sizeof(*checkpoint));
    if (!engine_checkpoint_done(answerer->engine, question->ticket, checkpoint)) {
        answer_refuse(answer, RPC_CODE_INTERNAL, "a checkpoint that was done is not done any more");
        return;
    }
    response.n_durable = checkpoint->durable_len;
    response.durable = part_positions(&question->arena, checkpoint->durable, checkpoint->durable_len);
    response.keys = checkpoint->keys;
    response.seconds = checkpoint->seconds;
    part_say(question, &response.base, answer);
}

static void answer_backups(struct answerer *answerer, struct question *question, struct answer *answer)
{
    backups_answer(answerer->limits->backups, question, answer);
}

static void answer_operate(struct answerer *answerer, struct question *question, struct answer *answer)
{
    operate_answer(&answerer->limits->control, answerer->engine, question, answer);
}

/* ---- all of them ---- */

static const struct kind {
    const ProtobufCMessageDescriptor *request;
    bool (*read)(struct check *check, const void *message);
    void (*answer)(struct answerer *answerer, struct question *question, struct answer *answer);
    bool asks_reader;
} kinds[RPCS] = {
    [RPC_RECOMMEND] = {&freshet__v1__recommend_request__descriptor, read_recommend, answer_recommend, true},
    [RPC_WATCH] = {&freshet__v1__recommend_request__descriptor, read_watch, answer_recommend, true},
    [RPC_SIMILAR] = {&freshet__v1__similar_request__descriptor, read_similar, answer_similar, true},
    [RPC_POPULAR] = {&freshet__v1__popular_request__descriptor, read_popular, answer_popular, true},
    [RPC_SCORE] = {&freshet__v1__score_request__descriptor, read_score, ask_score, true},
    [RPC_EXPLAIN] = {&freshet__v1__explain_request__descriptor, read_explain, ask_explain, true},
    [RPC_GET_USER] = {&freshet__v1__get_user_request__descriptor, read_get_user, answer_get_user, true},
    [RPC_GET_ITEM] = {&freshet__v1__get_item_request__descriptor, read_get_item, answer_get_item, true},
    [RPC_GET_STATUS] = {&freshet__v1__get_status_request__descriptor, read_nothing, answer_get_status, false},
    [RPC_CHECKPOINT] = {&freshet__v1__checkpoint_request__descriptor, read_nothing, answer_checkpoint, false},
    [RPC_BACKUP] = {&freshet__v1__backup_request__descriptor, read_nothing, answer_backups, false},
    [RPC_LIST_BACKUPS] = {&freshet__v1__list_backups_request__descriptor, read_nothing, answer_backups, false},
    [RPC_VERIFY_BACKUP] = {&freshet__v1__verify_backup_request__descriptor, read_verify_backup, answer_backups, false},
    [RPC_PAUSE_INGEST] = {&freshet__v1__pause_ingest_request__descriptor, read_nothing, answer_operate, false},
    [RPC_RESUME_INGEST] = {&freshet__v1__resume_ingest_request__descriptor, read_nothing, answer_operate, false},
    [RPC_DRAIN] = {&freshet__v1__drain_request__descriptor, read_nothing, answer_operate, false},
    [RPC_SET_LOG_LEVEL] = {&freshet__v1__set_log_level_request__descriptor, read_set_log_level, answer_operate, false},
    [RPC_FORGET_USER] = {&freshet__v1__forget_user_request__descriptor, read_forget_user, answer_operate, false},
    [RPC_FORGET_ITEM] = {&freshet__v1__forget_item_request__descriptor, read_forget_item, answer_operate, false},
    [RPC_RESET_PARTITION] = {&freshet__v1__reset_partition_request__descriptor, read_reset_partition, answer_operate, false},
    [RPC_RELOAD_CONFIG] = {&freshet__v1__reload_config_request__descriptor, read_nothing, answer_operate, false},
};

/* What a request within its limits can need, with room for one somewhat beyond, which deserves to hear which limit. */
static size_t memory_max(const struct serve_options *limits, size_t request_len)
{
    size_t parts = (size_t)limits->max_seeds + 5 * (size_t)limits->max_filter_items + PARTITIONS_MAX;

    return 256 * parts + 4 * request_len + (64U << 10);
}

bool question_read(struct answerer *answerer, struct question *question, enum rpc rpc, struct fr_bytes request,
                   struct answer *ret_answer)
{
    const struct kind *kind = &kinds[rpc];
    struct fr_arena arena = question->arena;
    struct check check = {answerer->limits, answerer->engine, question, ret_answer};
    struct wire_bad_text bad;
    const void *message;
    bool large;

    assert(kind->request);
    fr_arena_reset(&arena);
    *question = (struct question){.rpc = rpc, .arena = arena};
    message = wire_unpack(&question->arena, kind->request, request, memory_max(answerer->limits, request.len), &large);
    if (!message && large)
        return answer_refuse(ret_answer, RPC_CODE_RESOURCE_EXHAUSTED, "the request has far more parts than any limit");
    if (!message)
        return answer_refuse(ret_answer, RPC_CODE_INVALID_ARGUMENT, "the request is not a %s", kind->request->name);
    if (!kind->read(&check, message))
        return false;
    if (!wire_texts_good(kind->request, request, &bad))
        return answer_refuse(ret_answer, RPC_CODE_INVALID_ARGUMENT, "%s %s; " WIRE_TEXT_RULE, bad.field, bad.problem);
    return true;
}

bool question_begins(enum rpc rpc)
{
    return rpc == RPC_CHECKPOINT || rpc == RPC_PAUSE_INGEST || rpc == RPC_FORGET_USER || rpc == RPC_FORGET_ITEM ||
           rpc == RPC_RESET_PARTITION || rpc == RPC_BACKUP || rpc == RPC_VERIFY_BACKUP;
}

bool question_begin(struct answerer *answerer, struct question *question, struct answer *ret_answer)
{
    if (question->rpc == RPC_CHECKPOINT)
        question->ticket = engine_checkpoint_ask(answerer->engine);
    if (question->rpc == RPC_PAUSE_INGEST)
        engine_hold(answerer->engine, HOLD_ASKED, true);
    return forget_begin(&answerer->limits->control, question, ret_answer) &&
           reset_begin(&answerer->limits->control, question, ret_answer) &&
           backups_begin(answerer->limits->backups, question, ret_answer);
}

bool question_ready(struct answerer *answerer, struct question *question)
{
    if (question->rpc == RPC_CHECKPOINT)
        return engine_checkpoint_done(answerer->engine, question->ticket, NULL);
    if (question->rpc == RPC_PAUSE_INGEST)
        return pause_ready(answerer->engine);
    if (question->rpc == RPC_FORGET_USER || question->rpc == RPC_FORGET_ITEM)
        return forget_ready(&answerer->limits->control, answerer->engine, question);
    if (question->rpc == RPC_RESET_PARTITION)
        return reset_ready(&answerer->limits->control, answerer->engine, question);
    if (question->rpc == RPC_BACKUP || question->rpc == RPC_VERIFY_BACKUP)
        return backups_done(answerer->limits->backups, question->ticket);
    while (question->reached < question->not_before_len) {
        const struct position_asked *position = &question->not_before[question->reached];
        if (!engine_reached(answerer->engine, position->topic, position->partition, position->next))
            return false;
        question->reached++; /* positions only grow, but for a reset */
    }
    return true;
}

bool question_waits_for_records(const struct question *question)
{
    if (question->rpc == RPC_FORGET_USER || question->rpc == RPC_FORGET_ITEM)
        return question->forgetting == FORGET_APPLIES;
    if (question->rpc == RPC_RESET_PARTITION)
        return question->resetting == RESET_SETTLES; /* those who read take it up: what one of them has taken up is applied */
    return question->reached < question->not_before_len;
}

const char *question_unready(const struct question *question)
{
    switch (question->rpc) {
    case RPC_CHECKPOINT:
        return "the checkpoint was not done";
    case RPC_BACKUP:
        return "the backup goes on, but was not done";
    case RPC_PAUSE_INGEST:
        return "no more records are read, but what was read was not yet applied";
    case RPC_FORGET_USER:
    case RPC_FORGET_ITEM:
        return question->forgetting == FORGET_WRITES    ? "the tombstone may still be written, but was not"
               : question->forgetting == FORGET_APPLIES ? "the tombstone is written, but was not applied"
                                                        : "the tombstone is applied, but that was not synced";
    case RPC_RESET_PARTITION:
        return question->resetting == RESET_SETTLES   ? "the partition may still be reset, but was not"
               : question->resetting == RESET_APPLIES ? "the partition is reset, but that was not applied"
                                                      : "the partition is reset, but that was not synced";
    case RPC_VERIFY_BACKUP:
        return "the verification goes on, but was not done";
    default:
        return "not_before was not reached";
    }
}

void question_answer(struct answerer *answerer, struct question *question, struct answer *ret_answer)
{
    const struct kind *kind = &kinds[question->rpc];

    if (kind->asks_reader)
        reader_begin(answerer->reader);
    kind->answer(answerer, question, ret_answer);
    if (kind->asks_reader)
        reader_end(answerer->reader);
}
