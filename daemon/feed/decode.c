/*
 * decode.c -- the contract's rules: which records become events, and of what weight and time.
 *
 *     weight = weights[type] * (value if the type is listed in use_value, else 1)
 *     when   = time_ms, or the record's Kafka timestamp where that is 0
 *
 * A record that breaks a rule is not an error of ours: it gets a reason (a metric label) and a sentence that names the
 * field and the limit, and goes to the dead-letter topic. Bounds: ids of 1..256 bytes; value finite; |weight| <= 1e6;
 * times in 0..EVENT_WHEN_MAX and at most max_future after the Kafka timestamp. Context is no reason: of what is beyond
 * its bounds (feature.h) nothing is kept, and it is counted.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "decode.h"
#include "freshet/codec.h"
#include "freshet/metric.h"
#include "said.h"

/* The types by name: open addressing at a quarter full, so nearly always one probe. */
struct type_slot {
    struct fr_bytes name; /* at == NULL: free */
    uint32_t index;
};

struct decoder {
    enum feed_format format;
    span_ms max_future;
    struct feed_weight *weights; /* and "other" behind them: weight 1 */
    uint32_t other;
    struct type_slot *types;
    size_t types_mask;

    uint64_t context[FEATURES_MAX]; /* of the last record */
    struct fr_series *context_ignored;
    struct json_t *document; /* of the last JSON record: its runs are the event's */
    struct problem problem;  /* of the last rejected record */
    struct said_decoder *said; /* of a compacted topic; else NULL */
};

bool problem_say(struct problem *problem, const char *reason, const char *format, ...)
{
    va_list args;

    problem->reason = reason;
    va_start(args, format);
    vsnprintf(problem->text, sizeof(problem->text), format, args);
    va_end(args);
    return false;
}

/* The slot of this name, or the free one where it would be. */
static struct type_slot *type_slot(const struct decoder *decoder, struct fr_bytes name)
{
    size_t at = XXH3_64bits(name.at, name.len) & decoder->types_mask;

    while (decoder->types[at].name.at && !fr_bytes_equal(decoder->types[at].name, name))
        at = (at + 1) & decoder->types_mask;
    return &decoder->types[at];
}

struct decoder *decoder_new(const struct feed_options *options)
{
    struct decoder *decoder = fr_zalloc(1, sizeof(*decoder));
    size_t room = 8;

    while (room < options->weights_len * 4)
        room *= 2;
    decoder->format = options->format;
    decoder->max_future = options->max_future;
    decoder->other = (uint32_t)options->weights_len;
    decoder->weights = fr_zalloc(options->weights_len + 1, sizeof(*decoder->weights));
    decoder->types = fr_zalloc(room, sizeof(*decoder->types));
    decoder->types_mask = room - 1;
    for (uint32_t i = 0; i < options->weights_len; i++) {
        struct type_slot *slot;

        decoder->weights[i] = options->weights[i];
        decoder->weights[i].type = fr_strdup(options->weights[i].type);
        slot = type_slot(decoder, fr_bytes_of(decoder->weights[i].type));
        *slot = (struct type_slot){fr_bytes_of(decoder->weights[i].type), i};
    }
    if (options->kind != FEED_EVENTS)
        decoder->said = said_decoder_new(options->format, options->kind == FEED_USERS);
    decoder->context_ignored = FR_SERIES(FR_M_CONTEXT_IGNORED);
    decoder->weights[decoder->other] = (struct feed_weight){"other", 1, false};
    return decoder;
}

void decoder_free(struct decoder *decoder)
{
    if (!decoder)
        return;
    for (uint32_t i = 0; i < decoder->other; i++)
        free((char *)decoder->weights[i].type);
    free(decoder->weights);
    free(decoder->types);
    decode_json_release(decoder->document);
    said_decoder_free(decoder->said);
    free(decoder);
}

static bool check_ids(const struct fields *fields, struct problem *problem)
{
    const char *wrong;

    if ((wrong = fr_id_problem(fields->user.at, fields->user.len)))
        return problem_say(problem, "user_id", "user_id %s", wrong);
    if ((wrong = fr_id_problem(fields->item.at, fields->item.len)))
        return problem_say(problem, "item_id", "item_id %s", wrong);
    if (!fr_utf8_valid(fields->type.at, fields->type.len))
        return problem_say(problem, "undecodable", "type is not valid UTF-8");
    if (!fr_utf8_valid(fields->event_id.at, fields->event_id.len))
        return problem_say(problem, "undecodable", "event_id is not valid UTF-8");
    return true;
}

static bool weigh(const struct decoder *decoder, const struct fields *fields, struct event *event,
                  struct problem *problem)
{
    const struct type_slot *slot = fields->type.len ? type_slot(decoder, fields->type) : NULL;
    const struct feed_weight *weight;
    double value = fields->has_value ? fields->value : 1;
    char numbers[3][FR_REAL_TEXT_ROOM];

    event->type = slot && slot->name.at ? slot->index : decoder->other;
    weight = &decoder->weights[event->type];
    if (event_weigh(weight->weight, weight->use_value, value, &event->weight))
        return true;
    if (!isfinite(value))
        return problem_say(problem, "value", "value is not a finite number");
    fr_real_text(value, numbers[0]);
    fr_real_text(weight->weight, numbers[1]);
    fr_real_text(EVENT_WEIGHT_MAX, numbers[2]);
    return problem_say(problem, "value", "value %s times the weight %s of type '%s' is beyond %s", numbers[0], numbers[1], weight->type,
                       numbers[2]);
}

static bool date(const struct decoder *decoder, const struct fields *fields, when_ms logged, struct event *event,
                 struct problem *problem)
{
    if (logged > EVENT_WHEN_MAX)
        return problem_say(problem, "time", "the Kafka timestamp %lld is beyond %lld (the year 2527)",
                           (long long)logged, (long long)EVENT_WHEN_MAX);
    if (fields->time == 0 && logged < 0)
        return problem_say(problem, "time", "time_ms is 0 and the record has no Kafka timestamp");
    event->when = fields->time ? fields->time : logged;
    if (event->when < 0)
        return problem_say(problem, "time", "time_ms %lld is before 1970", (long long)event->when);
    if (event->when > EVENT_WHEN_MAX)
        return problem_say(problem, "time", "time_ms %lld is beyond %lld (the year 2527)", (long long)event->when,
                           (long long)EVENT_WHEN_MAX);
    if (logged >= 0 && event->when - logged > decoder->max_future)
        return problem_say(problem, "time",
                           "time_ms %lld is %lld ms after the Kafka timestamp %lld; at most %lld are accepted",
                           (long long)event->when, (long long)(event->when - logged), (long long)logged,
                           (long long)decoder->max_future);
    return true;
}

/* 96 bits of XXH3 over user_id NUL event_id. Ids have no NUL, so no two pairs share the bytes. */
static void mark_repeat(const struct fields *fields, struct event *event)
{
    char room[1024];
    size_t len = fields->user.len + 1 + fields->event_id.len;
    char *joined = len <= sizeof(room) ? room : fr_alloc(len);
    XXH128_hash_t hash;

    memcpy(joined, fields->user.at, fields->user.len);
    joined[fields->user.len] = 0;
    memcpy(joined + fields->user.len + 1, fields->event_id.at, fields->event_id.len);
    hash = XXH3_128bits(joined, len);
    if (joined != room)
        free(joined);
    event->repeat_high = hash.high64;
    event->repeat_low = (uint32_t)hash.low64;
    if (!event->repeat_high && !event->repeat_low)
        event->repeat_low = 1; /* all zero means that there is no event_id */
}

void fields_context(struct fields *fields, struct fr_bytes name, struct fr_bytes value)
{
    uint32_t at = 0;

    while (at < fields->context_len && !fr_bytes_equal(fields->context[at].name, name))
        at++;
    if (at == FEATURES_MAX) {
        fields->context_more++;
        return;
    }
    fields->context[at].name = name;
    fields->context[at].value = value;
    fields->context_len += at == fields->context_len;
}

static void take_context(struct decoder *decoder, const struct fields *fields, struct event *event)
{
    uint32_t ignored = fields->context_more;
    size_t len = 0;

    for (uint32_t i = 0; i < fields->context_len; i++)
        ignored += !fr_feature_add(decoder->context, &len, fields->context[i].name, fields->context[i].value);
    event->context = len ? decoder->context : NULL;
    event->context_len = (uint32_t)len;
    if (ignored)
        fr_count(decoder->context_ignored, ignored);
}

static bool decode(struct decoder *decoder, const struct record *record, struct event *event)
{
    struct problem *problem = &decoder->problem;
    struct fields fields;
    struct fr_bytes payload;
    enum encoding encoding;

    if (!record->has_value)
        return problem_say(problem, "null", "the value is null; only compacted topics have tombstones");
    if (!framing_open(decoder->format, record->content_type, record->value, PLACE_EVENT, &encoding, &payload, problem))
        return false;
    if (encoding == ENCODING_JSON) {
        if (!decode_json(payload, &decoder->document, &fields, problem))
            return false;
    } else if (!decode_protobuf(payload, &fields, problem)) {
        return framing_blame(decoder->format, record->content_type, record->value, problem);
    }
    if (!check_ids(&fields, problem) || !weigh(decoder, &fields, event, problem) ||
        !date(decoder, &fields, record->logged, event, problem))
        return false;
    event->user = fields.user;
    event->item = fields.item;
    if (fields.context_len)
        take_context(decoder, &fields, event);
    if (fields.event_id.len)
        mark_repeat(&fields, event);
    return true;
}

bool decoder_decode(struct decoder *decoder, const struct record *record, struct event *ret_event,
                    struct reject *ret_reject)
{
    bool dated = record->logged >= 0 && record->logged <= EVENT_WHEN_MAX;

    *ret_event = (struct event){.kind = EVENT_APPLY, .logged = dated ? record->logged : -1};
    if (decoder->document) {
        decode_json_release(decoder->document);
        decoder->document = NULL;
    }
    if (decoder->said ? said_decode(decoder->said, record, ret_event, &decoder->problem) : decode(decoder, record, ret_event))
        return true;
    *ret_event = (struct event){.kind = EVENT_REJECT, .logged = ret_event->logged};
    *ret_reject = (struct reject){.key = record->key,
                                  .value = record->value,
                                  .has_key = record->has_key,
                                  .has_value = record->has_value,
                                  .logged = record->logged,
                                  .reason = decoder->problem.reason,
                                  .message = fr_bytes_of(decoder->problem.text)};
    return false;
}

uint64_t record_print(const struct record *record)
{
    uint64_t seed = record->has_key ? (uint64_t)record->logged : ~(uint64_t)record->logged;

    seed = XXH3_64bits_withSeed(record->key.at, record->key.len, seed);
    return XXH3_64bits_withSeed(record->value.at, record->value.len, record->has_value ? seed : ~seed);
}

bool record_misrouted(const struct record *record, const struct event *event)
{
    return event->kind == EVENT_APPLY && (!record->has_key || !fr_bytes_equal(record->key, event->user));
}
