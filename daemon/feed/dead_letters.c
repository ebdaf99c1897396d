/*
 * dead_letters.c -- poisoned records leave for the dead-letter topic.
 *
 *     outbox (in the store) ──take──> produce ──report──> good: done, leaves the store
 *            ^                                     '────> bad: waits here, then `again` puts it back
 *            '─────────────────────────────────────────────────────'
 *
 * A letter is in the synced store before it comes here and leaves it only when all replicas of Kafka have it, so each
 * arrives at least once; idempotence keeps the retries of one run from doubling it. Nothing that fails is dropped:
 * what may pass (no broker, a full queue) is tried again soon, what hardly will (too large, no such topic, not
 * allowed) slowly, for a person may come and mend it.
 */
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "dead_letters.h"
#include "ending.h"
#include "freshet/alloc.h"
#include "freshet/crash.h"
#include "freshet/life.h"
#include "freshet/log.h"
#include "freshet/metric.h"
#include "settings.h"

enum {
    IDLE_WAIT_MS = 100,
    BUSY_WAIT_MS = 5, /* reports are due: look for them soon */
    SOON_MS = 500,
    SLOW_MS = 15000,
    FULL_MS = 100,
    FLUSH_MS = 1000,
    PURGE_ROUNDS_MAX = 100,
    IN_FLIGHT_MAX = 10000,
    REPEAT_AFTER_S = 60,
};

/* A letter Kafka did not take, to be put back when it is due. */
struct failed {
    uint64_t id, due_ns;
};

struct dead_letters {
    struct client client; /* first: delivery reports come with it */
    const struct feed_options *options;
    struct engine *engine;
    struct fr_thread *thread;
    _Atomic bool stopping;

    /* delivery thread */
    rd_kafka_t *producer; /* NULL after a fatal error, until the next attempt */
    uint64_t rebuild_ns;
    size_t in_flight;
    struct failed *failed;
    size_t failed_len, failed_cap;
    rd_kafka_resp_err_t said; /* the last failure logged, and when */
    uint64_t said_ns;
    bool abroad; /* said that the brokers belong to another cluster */
};

static bool may_pass(rd_kafka_resp_err_t err)
{
    switch (err) {
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
        return false;
    default:
        return true;
    }
}

static void set_aside(struct dead_letters *letters, uint64_t id, unsigned pause_ms)
{
    fr_reserve((void **)&letters->failed, &letters->failed_cap, letters->failed_len + 1, sizeof(*letters->failed));
    letters->failed[letters->failed_len++] = (struct failed){id, fr_mono_ns() + pause_ms * 1000000ULL};
}

static void refuse(struct dead_letters *letters, const struct dead_letter *letter, rd_kafka_resp_err_t err)
{
    uint64_t now_ns = fr_mono_ns();
    unsigned pause_ms = may_pass(err) ? SOON_MS : SLOW_MS;

    if (err == RD_KAFKA_RESP_ERR__PURGE_QUEUE || err == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT) {
        pause_ms = 0; /* the producer was thrown away, or we stop */
    } else if (err != letters->said || now_ns - letters->said_ns > REPEAT_AFTER_S * 1000000000ULL) {
        letters->said = err;
        letters->said_ns = now_ns;
        fr_log(FR_ERROR, "feed", "dead_letter.refused",
               FR_FIELDS(FR_TEXT("topic", letters->options->dead_letter_topic), FR_TEXT("code", rd_kafka_err2name(err)),
                         FR_INT("offset", letter->offset), FR_INT("bytes", letter->value.len)),
               "Kafka does not take a dead letter: %s; it is kept in the store and tried again", rd_kafka_err2str(err));
    }
    set_aside(letters, letter->id, pause_ms);
}

static void on_report(rd_kafka_t *producer, const rd_kafka_message_t *message, void *client)
{
    struct dead_letters *letters = client;
    const struct dead_letter *letter = message->_private;
    char reason[32];

    (void)producer;
    letters->in_flight--;
    if (message->err) {
        refuse(letters, letter, message->err);
        return;
    }
    if (letters->said) {
        fr_log(FR_INFO, "feed", "dead_letter.accepted",
               FR_FIELDS(FR_TEXT("topic", letters->options->dead_letter_topic)), "Kafka takes dead letters again");
        letters->said = RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    client_reached(&letters->client);
    fr_crash_point("letter.acknowledged");
    snprintf(reason, sizeof(reason), "%.*s", (int)letter->reason.len, letter->reason.at);
    fr_count(fr_series(FR_M_DEAD_LETTERS, reason, "", ""), 1);
    engine_outbox_done(letters->engine, letter->id); /* the letter is gone from here on */
}

/* An empty run may have no address, but to librdkafka that would be a null. */
static rd_kafka_vu_t memory(rd_kafka_vtype_t vtype, struct fr_bytes bytes, bool present)
{
    rd_kafka_vu_t part = {.vtype = vtype};

    if (present) {
        part.u.mem.ptr = (void *)(bytes.at ? bytes.at : "");
        part.u.mem.size = bytes.len;
    }
    return part;
}

static void add_number(rd_kafka_headers_t *headers, const char *name, int64_t number)
{
    char text[24];

    snprintf(text, sizeof(text), "%lld", (long long)number);
    rd_kafka_header_add(headers, name, -1, text, -1);
}

static rd_kafka_headers_t *headers_of(const struct dead_letters *letters, const struct dead_letter *letter)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(7);

    rd_kafka_header_add(headers, "x-orig-topic", -1, letter->topic.at, (ssize_t)letter->topic.len);
    add_number(headers, "x-orig-partition", letter->partition);
    add_number(headers, "x-orig-offset", letter->offset);
    add_number(headers, "x-orig-timestamp", letter->logged);
    rd_kafka_header_add(headers, "x-error-class", -1, letter->reason.at, (ssize_t)letter->reason.len);
    rd_kafka_header_add(headers, "x-error-message", -1, letter->message.at, (ssize_t)letter->message.len);
    rd_kafka_header_add(headers, "x-freshet-version", -1, letters->options->version, -1);
    return headers;
}

static void send_letter(struct dead_letters *letters, const struct dead_letter *letter)
{
    rd_kafka_headers_t *headers = headers_of(letters, letter);
    const rd_kafka_vu_t parts[] = {
        {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = letters->options->dead_letter_topic},
        memory(RD_KAFKA_VTYPE_KEY, letter->key, letter->has_key),
        memory(RD_KAFKA_VTYPE_VALUE, letter->value, letter->has_value),
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers},
        {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = (void *)letter},
    };
    rd_kafka_error_t *error = rd_kafka_produceva(letters->producer, parts, sizeof(parts) / sizeof(*parts));
    rd_kafka_resp_err_t err;

    if (!error) {
        letters->in_flight++; /* and the headers are librdkafka's */
        fr_crash_point("letter.sent");
        return;
    }
    err = rd_kafka_error_code(error);
    rd_kafka_error_destroy(error);
    rd_kafka_headers_destroy(headers);
    if (err == RD_KAFKA_RESP_ERR__QUEUE_FULL)
        set_aside(letters, letter->id, FULL_MS);
    else
        refuse(letters, letter, err);
}

/* Puts back what is due. Order is not promised, so the last one fills the hole. */
static void put_back(struct dead_letters *letters, uint64_t now_ns)
{
    for (size_t i = 0; i < letters->failed_len;) {
        if (letters->failed[i].due_ns > now_ns) {
            i++;
            continue;
        }
        engine_outbox_again(letters->engine, letters->failed[i].id);
        letters->failed[i] = letters->failed[--letters->failed_len];
    }
}

/* Every letter under way comes back through on_report before the handle goes. */
static void drop_producer(struct dead_letters *letters, int flush_ms)
{
    if (!letters->producer)
        return;
    rd_kafka_flush(letters->producer, flush_ms);
    rd_kafka_purge(letters->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    for (int round = 0; letters->in_flight && round < PURGE_ROUNDS_MAX; round++)
        rd_kafka_poll(letters->producer, IDLE_WAIT_MS);
    letters->in_flight = 0;
    ending_of(letters->producer, letters->client.purpose);
    letters->producer = NULL;
}

/* An idempotent producer may find that it can no longer promise what it promises; a new one can. Not so one that is not allowed to: each
 * that is made only logs in, is refused and tells of it. */
static bool have_producer(struct dead_letters *letters, uint64_t now_ns)
{
    char text[256];
    rd_kafka_resp_err_t fatal = letters->producer ? rd_kafka_fatal_error(letters->producer, text, sizeof(text)) : RD_KAFKA_RESP_ERR_NO_ERROR;
    struct fr_err err;

    if (letters->producer && !fatal)
        return true;
    if (now_ns < letters->rebuild_ns)
        return false;
    letters->rebuild_ns = now_ns + (may_pass(fatal) ? SOON_MS : SLOW_MS) * 1000000ULL;
    if (letters->producer)
        fr_log(FR_ERROR, "feed", "producer.failed", FR_NO_FIELDS, "%s; making a new producer", text);
    drop_producer(letters, 0);
    if (settings_producer(&letters->producer, letters->options, SETTINGS_TOPIC_MAY_BE_MADE, &letters->client, on_report, &err)) {
        fr_log(FR_ERROR, "feed", "producer.failed", FR_NO_FIELDS, "%s; trying again", err.text);
        return false;
    }
    return true;
}

/* May letters leave? They hold records of ours, and what is acknowledged leaves the store. */
static bool may_leave(struct dead_letters *letters, uint64_t now_ns)
{
    int cluster = client_cluster(&letters->client, letters->producer, letters->options, letters->engine, now_ns);

    if (cluster == CLUSTER_OTHER && !letters->abroad)
        fr_log(FR_ERROR, "feed", "dead_letter.abroad", FR_FIELDS(FR_TEXT("topic", letters->options->dead_letter_topic)),
               "the brokers belong to another Kafka cluster than the state: dead letters stay in the store");
    letters->abroad = cluster == CLUSTER_OTHER;
    return cluster == CLUSTER_OURS;
}

static void take_one(struct dead_letters *letters)
{
    const struct dead_letter *letter = engine_outbox_take(letters->engine, letters->in_flight ? BUSY_WAIT_MS : IDLE_WAIT_MS);

    if (letter)
        send_letter(letters, letter);
}

static void deliver(void *arg)
{
    struct dead_letters *letters = arg;
    struct fr_pulse *pulse = fr_pulse_start("dead letters");

    while (!atomic_load_explicit(&letters->stopping, memory_order_relaxed)) {
        uint64_t now_ns = fr_mono_ns();

        fr_pulse_beat(pulse);
        put_back(letters, now_ns);
        if (!have_producer(letters, now_ns)) {
            poll(NULL, 0, IDLE_WAIT_MS);
            continue;
        }
        client_ask(&letters->client, letters->producer, now_ns);
        if (letters->in_flight < IN_FLIGHT_MAX && may_leave(letters, now_ns)) {
            take_one(letters);
            rd_kafka_poll(letters->producer, 0);
        } else {
            rd_kafka_poll(letters->producer, IDLE_WAIT_MS);
        }
    }
    drop_producer(letters, FLUSH_MS);
    put_back(letters, UINT64_MAX);
    fr_pulse_stop(pulse);
}

int dead_letters_start(struct dead_letters **ret_letters, const struct feed_options *options, struct engine *engine,
                       struct fr_err *err)
{
    struct dead_letters *letters = fr_zalloc(1, sizeof(*letters));
    int status;

    letters->options = options;
    letters->engine = engine;
    client_init(&letters->client, "dead letters");
    status = settings_producer(&letters->producer, options, SETTINGS_TOPIC_MAY_BE_MADE, &letters->client, on_report, err);
    if (status) {
        free(letters);
        return status;
    }
    letters->thread = fr_thread_start("dead-letters", deliver, letters);
    *ret_letters = letters;
    return FR_OK;
}

void dead_letters_stop(struct dead_letters *letters)
{
    if (!letters)
        return;
    atomic_store_explicit(&letters->stopping, true, memory_order_relaxed);
    fr_thread_join(letters->thread);
    free(letters->failed);
    free(letters);
}
