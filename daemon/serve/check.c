/*
 * check.c -- every field of a request against its limit.
 *
 * Wrong input is INVALID_ARGUMENT; what this daemon is not set up for is FAILED_PRECONDITION.
 */
#include "check.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "freshet/event.h"
#include "freshet/feature.h"
#include "wire.h"

#define WRONG(check, ...) answer_refuse((check)->answer, RPC_CODE_INVALID_ARGUMENT, __VA_ARGS__)

enum { QUOTED_MAX = 64 };

bool answer_refuse(struct answer *answer, enum rpc_code code, const char *format, ...)
{
    va_list list;

    *answer = (struct answer){.code = code};
    va_start(list, format);
    vsnprintf(answer->message, sizeof(answer->message), format, list);
    va_end(list);
    return false;
}

/* A word of the caller's for a message: quoted if it is short and valid UTF-8, else described. */
static const char *quoted(const char *text, char room[QUOTED_MAX + 3])
{
    size_t len = strlen(text);

    if (len > QUOTED_MAX)
        return "(long)";
    if (!fr_utf8_valid(text, len))
        return "(not UTF-8)";
    snprintf(room, QUOTED_MAX + 3, "\"%s\"", text);
    return room;
}

bool check_id(struct check *check, const char *field, struct fr_bytes id)
{
    const char *problem = fr_id_problem(id.at, id.len);

    return !problem ||
           WRONG(check, "%s %s; an id is 1 to %d bytes of UTF-8 without NUL", field, problem, FR_ID_BYTES_MAX);
}

static bool check_id_at(struct check *check, const char *list, size_t index, const char *part, struct fr_bytes id)
{
    char field[64];

    if (!fr_id_problem(id.at, id.len))
        return true;
    snprintf(field, sizeof(field), "%s[%zu]%s", list, index, part);
    return check_id(check, field, id);
}

bool check_k(struct check *check, uint32_t k)
{
    if (k > check->limits->max_k)
        return WRONG(check, "k is %u; limits.max_k is %u", k, check->limits->max_k);
    check->question->ask.k = k ? k : check->limits->default_k;
    return true;
}

static bool refuse_model(struct check *check, const char *model)
{
    char names[256] = "", room[QUOTED_MAX + 3];
    const char *name;
    size_t len = 0;

    for (size_t i = 0; (name = engine_model(check->engine, i)) && len < sizeof(names); i++)
        len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%s", i ? ", " : "", name);
    return WRONG(check, "model %s is not known; the models are: %s", quoted(model, room), names);
}

bool check_model(struct check *check, const char *model, bool neighbours)
{
    const char *name;
    size_t i = 0;

    check->question->ask.model = model;
    if (!*model)
        return true;
    while ((name = engine_model(check->engine, i)) && strcmp(name, model) != 0)
        i++;
    if (!name)
        return refuse_model(check, model);
    return !neighbours || engine_model_has_neighbours(check->engine, name) ||
           WRONG(check, "model \"%s\" has no similar items", name);
}

/* ---- seeds ---- */

static bool check_seed(struct check *check, const Freshet__V1__Seed *seed, size_t i, struct ask_seed *ret_seed)
{
    if (!check_id_at(check, "seeds", i, ".item_id", wire_bytes(seed->item_id)))
        return false;
    if (!isfinite(seed->weight) || fabs(seed->weight) > EVENT_WEIGHT_MAX)
        return WRONG(check, "seeds[%zu].weight is %g; it must lie within -1e6 and 1e6", i, seed->weight);
    if (seed->time_ms < 0 || seed->time_ms > EVENT_WHEN_MAX)
        return WRONG(check, "seeds[%zu].time_ms is %lld; it must lie within 0 and %lld", i, (long long)seed->time_ms,
                     (long long)EVENT_WHEN_MAX);
    *ret_seed = (struct ask_seed){wire_bytes(seed->item_id), seed->weight, seed->time_ms};
    return true;
}

bool check_user_or_seeds(struct check *check, struct fr_bytes user, Freshet__V1__Seed *const *seeds, size_t seeds_len)
{
    struct ask *ask = &check->question->ask;
    struct ask_seed *room;

    if (!user.len && !seeds_len)
        return WRONG(check, "user_id is empty and there are no seeds; one of them is needed");
    if (user.len && !check_id(check, "user_id", user))
        return false;
    if (seeds_len > check->limits->max_seeds)
        return WRONG(check, "there are %zu seeds; limits.max_seeds is %u", seeds_len, check->limits->max_seeds);
    room = fr_arena_take(&check->question->arena, seeds_len * sizeof(*room));
    for (size_t i = 0; i < seeds_len; i++)
        if (!check_seed(check, seeds[i], i, &room[i]))
            return false;
    ask->user = user;
    ask->seeds = room;
    ask->seeds_len = seeds_len;
    return true;
}

/* ---- filter ---- */

bool check_items(struct check *check, const char *field, const ProtobufCBinaryData *items, size_t len,
                 const struct fr_bytes **ret_items, size_t *ret_len)
{
    struct fr_bytes *room;

    if (len > check->limits->max_filter_items)
        return WRONG(check, "%s has %zu items; limits.max_filter_items is %u", field, len,
                     check->limits->max_filter_items);
    room = fr_arena_take(&check->question->arena, len * sizeof(*room));
    for (size_t i = 0; i < len; i++) {
        room[i] = wire_bytes(items[i]);
        if (!check_id_at(check, field, i, "", room[i]))
            return false;
    }
    *ret_items = room;
    *ret_len = len;
    return true;
}

static bool check_categories(struct check *check, const char *field, char *const *names, size_t len,
                             const struct fr_bytes **ret_names, size_t *ret_len)
{
    struct fr_bytes *room;

    if (len > check->limits->max_filter_items)
        return WRONG(check, "%s has %zu names; limits.max_filter_items is %u", field, len, check->limits->max_filter_items);
    room = fr_arena_take(&check->question->arena, len * sizeof(*room));
    for (size_t i = 0; i < len; i++) {
        room[i] = fr_bytes_of(names[i]);
        const char *problem = fr_id_problem(room[i].at, room[i].len);
        if (problem)
            return WRONG(check, "%s[%zu] %s; a category is 1 to %d bytes of UTF-8 without NUL", field, i, problem, FR_ID_BYTES_MAX);
    }
    *ret_names = room;
    *ret_len = len;
    return true;
}

bool check_filter(struct check *check, const Freshet__V1__Filter *filter)
{
    struct ask *ask = &check->question->ask;

    if (!filter)
        return true;
    ask->max_per_category = filter->max_per_category;
    return check_items(check, "filter.exclude_items", filter->exclude_items, filter->n_exclude_items, &ask->exclude,
                       &ask->exclude_len) &&
           check_items(check, "filter.include_items", filter->include_items, filter->n_include_items, &ask->include,
                       &ask->include_len) &&
           check_categories(check, "filter.any_category", filter->any_category, filter->n_any_category, &ask->any, &ask->any_len) &&
           check_categories(check, "filter.all_categories", filter->all_categories, filter->n_all_categories, &ask->all,
                            &ask->all_len) &&
           check_categories(check, "filter.no_category", filter->no_category, filter->n_no_category, &ask->none, &ask->none_len);
}

/* ---- context ---- */

/* Entries of maps are messages of as many types as there are maps, all alike: a key, and a value. */
static struct fr_bytes entry_text(const ProtobufCMessage *entry, unsigned field)
{
    const char *text;

    memcpy(&text, (const char *)entry + entry->descriptor->fields[field].offset, sizeof(text));
    return fr_bytes_of(text);
}

bool check_context(struct check *check, ProtobufCMessage *const *context, size_t len)
{
    uint64_t *keys;
    size_t keys_len = 0;

    if (len > FEATURES_MAX)
        return WRONG(check, "context has %zu entries; at most %d are taken", len, FEATURES_MAX);
    keys = fr_arena_take(&check->question->arena, FEATURES_MAX * sizeof(*keys));
    for (size_t i = 0; i < len; i++)
        if (!fr_feature_add(keys, &keys_len, entry_text(context[i], 0), entry_text(context[i], 1)))
            return WRONG(check, "context[%zu] has a name or a value of more than %d bytes", i, FEATURE_BYTES_MAX);
    check->question->ask.context = keys;
    check->question->ask.context_len = keys_len;
    return true;
}

/* ---- the rest ---- */

bool check_positions(struct check *check, Freshet__V1__Position *const *positions, size_t len)
{
    struct position_asked *room;

    if (len > PARTITIONS_MAX)
        return WRONG(check, "not_before has %zu positions; at most %d partitions are served", len, PARTITIONS_MAX);
    room = fr_arena_take(&check->question->arena, len * sizeof(*room));
    for (size_t i = 0; i < len; i++) {
        struct fr_bytes topic = fr_bytes_of(positions[i]->topic);
        if (!topic.len || topic.len > TOPIC_BYTES_MAX)
            return WRONG(check, "not_before[%zu].topic is %zu bytes long; it must be 1 to %d", i, topic.len,
                         TOPIC_BYTES_MAX);
        if (positions[i]->partition < 0)
            return WRONG(check, "not_before[%zu].partition is %d; the smallest is 0", i, positions[i]->partition);
        if (positions[i]->offset < 0)
            return WRONG(check, "not_before[%zu].offset is %lld; the smallest is 0", i,
                         (long long)positions[i]->offset);
        room[i] = (struct position_asked){topic, positions[i]->partition, positions[i]->offset};
    }
    check->question->not_before = room;
    check->question->not_before_len = len;
    return true;
}

bool check_share(struct check *check, const char *field, double value)
{
    if (!(value >= 0 && value <= 1)) /* a NaN lies nowhere */
        return WRONG(check, "%s is %g; it must lie within 0 and 1", field, value);
    return true;
}

bool check_popular_by(struct check *check, const char *by)
{
    static const char *const names[POPULAR_BYS] = {"users", "trending", "newest"};
    char room[QUOTED_MAX + 3];
    const char *model;
    size_t at = 0, i = 0;

    while (*by && at < POPULAR_BYS && strcmp(by, names[at]) != 0)
        at++;
    check->question->ask.by = (enum popular_by)at;
    if (at == POPULAR_TRENDING) {
        while ((model = engine_model(check->engine, i)) && strcmp(model, "trending") != 0)
            i++;
        return model || answer_refuse(check->answer, RPC_CODE_FAILED_PRECONDITION,
                                      "by \"trending\" needs recommend.models to name trending");
    }
    return at < POPULAR_BYS || WRONG(check, "by %s is not known; it is one of: users, trending, newest", quoted(by, room));
}
