/*
 * question.c -- a request's bytes -> a question that can be asked, or what is wrong with it: the field and the limit.
 *
 * The unpacked message and everything made of it live in the question's arena; ids are borrowed from it.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "answer_private.h"
#include "freshet/model.h"
#include "freshet/v1/admin.pb-c.h"
#include "freshet/v1/recommender.pb-c.h"

#define WEIGHT_MAX 1e6
enum { UNPACKED_TIMES_MAX = 8 };

bool answer_refuse(struct answer *answer, enum rpc_code code, const char *format, ...)
{
    va_list args;

    answer->code = code;
    answer->bytes = (struct fr_bytes){0};
    va_start(args, format);
    vsnprintf(answer->message, sizeof(answer->message), format, args);
    va_end(args);
    return false;
}

/* ---- memory ---- */

void *arena_zero(struct fr_arena *arena, size_t count, size_t size)
{
    void *block = fr_arena_take(arena, (count ? count : 1) * size);

    memset(block, 0, (count ? count : 1) * size);
    return block;
}

/* Two bytes of request can ask for a hundred of memory, so that is bounded too. */
static void *unpack(const struct answerer *answerer, struct question *question, const ProtobufCMessageDescriptor *type,
                    struct fr_bytes request, struct answer *answer)
{
    bool large = false;
    void *message =
        wire_unpack(&question->arena, type, request, (size_t)answerer->options->max_message_bytes * UNPACKED_TIMES_MAX, &large);

    if (large)
        answer_refuse(answer, RPC_CODE_INVALID_ARGUMENT, "the %s has too many parts", type->short_name);
    else if (!message)
        answer_refuse(answer, RPC_CODE_INVALID_ARGUMENT, "the request is no %s", type->name);
    return message;
}

/* ---- fields ---- */

static bool check_id(const char *field, ProtobufCBinaryData id, struct answer *answer)
{
    const char *problem = fr_id_problem((const char *)id.data, id.len);

    return !problem || answer_refuse(answer, RPC_CODE_INVALID_ARGUMENT, "%s %s", field, problem);
}

static bool check_k(const struct answerer *answerer, uint32_t asked, uint32_t *ret_k, struct answer *answer)
{
    const struct serve_options *options = answerer->options;

    if (asked > options->max_k)
        return answer_refuse(answer, RPC_CODE_INVALID_ARGUMENT, "k is %u; limits.max_k is %u", asked, options->max_k);
    *ret_k = asked ? asked : options->default_k < options->max_k ? options->default_k : options->max_k;
    return true;
}

static bool check_model(const char *model, struct answer *answer)
{
    char known[256] = "";
    size_t at = 0;

    if (!model || !*model || registry_find(model, strlen(model)))
        return true;
    for (size_t i = 0; registry_at(i); i++)
        at += (size_t)snprintf(known + at, sizeof(known) - at, "%s%s", i ? ", " : "", registry_at(i)->name);
    return answer_refuse(answer, RPC_CODE_INVALID_ARGUMENT, "model '%.64s' is not known; there are: %s", model, known);
}

static bool check_part(const char *field, double value, struct answer *answer)
{
    if (!(value >= 0 && value <= 1))
        return answer_refuse(answer, RPC_CODE_INVALID_ARGUMENT, "%s is %g; it may be 0 to 1", field, value);
    return value == 0 ||
           answer_refuse(answer, RPC_CODE_UNIMPLEMENTED, "%s above 0 is not served by this version", field);
}

static bool read_ids(const struct answerer *answerer, struct question *question, const char *field, size_t len,
                     const ProtobufCBinaryData *ids, const struct fr_bytes **ret_ids, size_t *ret_len, struct answer *answer)
{
    struct fr_bytes *read;

    if (len > answerer->options->max_filter_items)
        return answer_refuse(answer, RPC_CODE_INVALID_ARGUMENT, "%s has %zu items; limits.max_filter_items is %u", field, len,
                             answerer->options->max_filter_items);
    read = fr_arena_take(&question->arena, (len + 1) * sizeof(*read));
    for (size_t i = 0; i < len; i++) {
        if (!check_id(field, ids[i], answer))
            return false;
        read[i] = wire_bytes(ids[i]);
    }
    *ret_ids = read;
    *ret_len = len;
    return true;
}

static bool read_filter(const struct answerer *answerer, struct question *question, const Freshet__V1__Filter *filter,
                        struct answer *answer)
{
    struct ask *ask = &question->ask;

    if (!filter)
        return true;
    if (filter->n_any_category || filter->n_all_categories || filter->n_no_category || filter->max_per_category)
        return answer_refuse(answer, RPC_CODE_UNIMPLEMENTED, "filter.%s is not served by this version",
                             filter->n_any_category     ? "any_category"
                             : filter->n_all_categories ? "all_categories"
                             : filter->n_no_category    ? "no_category"
                                                        : "max_per_category");
    return read_ids(answerer, question, "filter.exclude_items", filter->n_exclude_items, filter->exclude_items, &ask->exclude,
                    &ask->exclude_len, answer) &&
           read_ids(answerer, question, "filter.include_items", filter->n_include_items, filter->include_items, &ask->include,
                    &ask->include_len, answer);
}

static bool read_seeds(const struct answerer *answerer, struct question *question,
                       const Freshet__V1__RecommendRequest *request, struct answer *answer)
{
    struct ask_seed *seeds = fr_arena_take(&question->arena, (request->n_seeds + 1) * sizeof(*seeds));

    if (request->n_seeds > answerer->options->max_seeds)
        return answer_refuse(answer, RPC_CODE_INVALID_ARGUMENT, "seeds has %zu items; limits.max_seeds is %u", request->n_seeds,
                             answerer->options->max_seeds);
    for (size_t i = 0; i < request->n_seeds; i++) {
        const Freshet__V1__Seed *seed = request->seeds[i];
        if (!check_id("seeds.item_id", seed->item_id, answer))
            return false;
        if (!isfinite(seed->weight) || fabs(seed->weight) > WEIGHT_MAX)
            return answer_refuse(answer, RPC_CODE_INVALID_ARGUMENT, "seeds.weight is %g; it may be -1e6 to 1e6", seed->weight);
        if (seed->time_ms < 0 || seed->time_ms > EVENT_WHEN_MAX)
            return answer_refuse(answer, RPC_CODE_INVALID_ARGUMENT, "seeds.time_ms is %lld; it may be 0 to %lld",
                                 (long long)seed->time_ms, (long long)EVENT_WHEN_MAX);
        seeds[i] = (struct ask_seed){wire_bytes(seed->item_id), seed->weight, seed->time_ms};
    }
    question->ask.seeds = seeds;
    question->ask.seeds_len = request->n_seeds;
    return true;
}

static bool read_positions(struct question *question, const Freshet__V1__RecommendRequest *request, struct answer *answer)
{
    struct position_asked *asked = fr_arena_take(&question->arena, (request->n_not_before + 1) * sizeof(*asked));

    if (request->n_not_before > PARTITIONS_MAX)
        return answer_refuse(answer, RPC_CODE_INVALID_ARGUMENT, "not_before has %zu positions; it may have %d",
                             request->n_not_before, PARTITIONS_MAX);
    for (size_t i = 0; i < request->n_not_before; i++) {
        const Freshet__V1__Position *position = request->not_before[i];
        if (!*position->topic || position->partition < 0 || position->offset < 0)
            return answer_refuse(answer, RPC_CODE_INVALID_ARGUMENT,
                                 "not_before needs a topic, and a partition and an offset of at least 0");
        asked[i] = (struct position_asked){fr_bytes_of(position->topic), position->partition, position->offset};
    }
    question->not_before = asked;
    question->not_before_len = request->n_not_before;
    return true;
}

/* ---- requests ---- */

static bool read_recommend(struct answerer *answerer, struct question *question, struct fr_bytes bytes, struct answer *answer)
{
    Freshet__V1__RecommendRequest *request =
        unpack(answerer, question, &freshet__v1__recommend_request__descriptor, bytes, answer);

    if (!request)
        return false;
    question->ask.user = wire_bytes(request->user_id);
    question->ask.explain = request->explain;
    question->ask.include_seen = request->include_seen;
    question->max_staleness_ms = request->max_staleness_ms;
    if (!request->user_id.len && !request->n_seeds)
        return answer_refuse(answer, RPC_CODE_INVALID_ARGUMENT, "user_id is empty and there are no seeds");
    return (!request->user_id.len || check_id("user_id", request->user_id, answer)) &&
           check_k(answerer, request->k, &question->ask.k, answer) && check_model(request->model, answer) &&
           check_part("diversity", request->diversity, answer) && check_part("exploration", request->exploration, answer) &&
           read_seeds(answerer, question, request, answer) && read_filter(answerer, question, request->filter, answer) &&
           read_positions(question, request, answer);
}

static bool read_similar(struct answerer *answerer, struct question *question, struct fr_bytes bytes, struct answer *answer)
{
    Freshet__V1__SimilarRequest *request = unpack(answerer, question, &freshet__v1__similar_request__descriptor, bytes, answer);

    if (!request)
        return false;
    if ((request->item_id.len == 0) == (request->user_id.len == 0))
        return answer_refuse(answer, RPC_CODE_INVALID_ARGUMENT, "exactly one of item_id and user_id must be given");
    question->item = wire_bytes(request->item_id);
    question->ask.user = wire_bytes(request->user_id);
    return (request->item_id.len ? check_id("item_id", request->item_id, answer)
                                 : check_id("user_id", request->user_id, answer)) &&
           check_k(answerer, request->k, &question->ask.k, answer) && check_model(request->model, answer) &&
           read_filter(answerer, question, request->filter, answer);
}

static bool read_popular(struct answerer *answerer, struct question *question, struct fr_bytes bytes, struct answer *answer)
{
    Freshet__V1__PopularRequest *request = unpack(answerer, question, &freshet__v1__popular_request__descriptor, bytes, answer);

    if (!request)
        return false;
    if (!strcmp(request->by, "trending") || !strcmp(request->by, "newest"))
        return answer_refuse(answer, RPC_CODE_UNIMPLEMENTED, "by = %s is not served by this version", request->by);
    if (*request->by && strcmp(request->by, "users") != 0)
        return answer_refuse(answer, RPC_CODE_INVALID_ARGUMENT, "by is '%.64s'; it may be users, trending or newest", request->by);
    return check_k(answerer, request->k, &question->ask.k, answer) &&
           read_filter(answerer, question, request->filter, answer);
}

static bool read_user(const struct answerer *answerer, struct question *question, struct fr_bytes bytes, struct answer *answer)
{
    Freshet__V1__GetUserRequest *request = unpack(answerer, question, &freshet__v1__get_user_request__descriptor, bytes, answer);

    if (!request || !check_id("user_id", request->user_id, answer))
        return false;
    question->ask.user = wire_bytes(request->user_id);
    return true;
}

static bool read_item(const struct answerer *answerer, struct question *question, struct fr_bytes bytes, struct answer *answer)
{
    Freshet__V1__GetItemRequest *request = unpack(answerer, question, &freshet__v1__get_item_request__descriptor, bytes, answer);

    if (!request || !check_id("item_id", request->item_id, answer))
        return false;
    question->item = wire_bytes(request->item_id);
    return true;
}

bool question_read(struct answerer *answerer, struct question *question, enum rpc rpc, struct fr_bytes request,
                   struct answer *ret_answer)
{
    struct fr_arena arena = question->arena;

    fr_arena_reset(&arena);
    *question = (struct question){.rpc = rpc, .arena = arena};
    *ret_answer = (struct answer){0};
    switch (rpc) {
    case RPC_RECOMMEND:
        return read_recommend(answerer, question, request, ret_answer);
    case RPC_SIMILAR:
        return read_similar(answerer, question, request, ret_answer);
    case RPC_POPULAR:
        return read_popular(answerer, question, request, ret_answer);
    case RPC_GET_USER:
        return read_user(answerer, question, request, ret_answer);
    case RPC_GET_ITEM:
        return read_item(answerer, question, request, ret_answer);
    case RPC_GET_STATUS:
        return unpack(answerer, question, &freshet__v1__get_status_request__descriptor, request, ret_answer) != NULL;
    case RPC_CHECKPOINT:
        if (!unpack(answerer, question, &freshet__v1__checkpoint_request__descriptor, request, ret_answer))
            return false;
        question->ticket = engine_checkpoint_ask(answerer->engine);
        return true;
    default:
        return answer_refuse(ret_answer, RPC_CODE_UNIMPLEMENTED, "%s is not served by this version", rpc_methods[rpc].label);
    }
}

bool question_ready(struct answerer *answerer, struct question *question)
{
    while (question->reached < question->not_before_len) {
        const struct position_asked *asked = &question->not_before[question->reached];
        if (!engine_reached(answerer->engine, asked->topic, asked->partition, asked->next))
            return false;
        question->reached++;
    }
    return !question->ticket || engine_checkpoint_done(answerer->engine, question->ticket, NULL);
}

void question_release(struct question *question)
{
    fr_arena_release(&question->arena);
}
