/*
 * take.c -- what Kafka gives, one message after the other, into one of the engine's batches.
 *
 * Each record is decoded where it lies; only the ids (or, of a rejected one, all of it) are copied into the batch's
 * arena, and the record is given back to librdkafka before the next one is taken.
 */
#include "freshet/blackbox.h"
#include "freshet/log.h"
#include "tap.h"

enum {
    ARENA_BYTES_MAX = 4 << 20, /* a batch of huge rejected records is given early */
};

/* ---- one message ---------------------------------------------------------------------------------------------------- */

static struct fr_bytes content_type(const rd_kafka_message_t *message)
{
    rd_kafka_headers_t *headers;
    const void *value;
    size_t size;

    if (rd_kafka_message_headers(message, &headers) ||
        rd_kafka_header_get_last(headers, "content-type", &value, &size) || !value)
        return (struct fr_bytes){NULL, 0};
    return (struct fr_bytes){value, size};
}

static struct record record_of(const struct tap *tap, const rd_kafka_message_t *message)
{
    rd_kafka_timestamp_type_t type;
    when_ms logged = rd_kafka_message_timestamp(message, &type);

    return (struct record){
        .key = {message->key, message->key_len},
        .value = {message->payload, message->len},
        .has_key = message->key != NULL,
        .has_value = message->payload != NULL,
        .content_type = tap->options.format == FEED_AUTO ? content_type(message) : (struct fr_bytes){NULL, 0},
        .logged = type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE ? -1 : logged,
    };
}

/* True and false as of decoder_decode. The decoder does not see a record that crashes the process. */
static bool decode_unless_convicted(struct tap *tap, const struct assigned *assigned, int64_t offset,
                                    const struct record *record, struct event *event, struct reject *ret_reject)
{
    if (!fr_box_convicts(assigned->index, offset))
        return decoder_decode(tap->decoder, record, event, ret_reject);
    fr_log(FR_ERROR, "feed", "record.crashes",
           FR_FIELDS(FR_TEXT("topic", tap->options.topic), FR_INT("offset", offset)),
           "the process has crashed %d times with the record at %lld in hand; it is dead-lettered undecoded", FR_BOX_TIMES,
           (long long)offset);
    *event = (struct event){.kind = EVENT_REJECT, .logged = record->logged <= EVENT_WHEN_MAX ? record->logged : -1};
    *ret_reject = (struct reject){.key = record->key,
                                  .value = record->value,
                                  .has_key = record->has_key,
                                  .has_value = record->has_value,
                                  .logged = record->logged,
                                  .reason = "crash",
                                  .message = FR_BYTES("the process crashed each time it had this record in hand")};
    return false;
}

static void take_record(struct tap *tap, struct event_batch *batch, const rd_kafka_message_t *message)
{
    struct assigned *assigned = assignment_at(&tap->assignment, message->partition);
    struct record record;
    struct reject reject;
    struct event *event;
    uint64_t print;

    if (!assigned)
        return; /* fetched before the partition was halted */
    record = record_of(tap, message);
    print = record_print(&record);
    if (!assignment_wants(&tap->assignment, message->partition, message->offset, print))
        return;
    event = &batch->events[batch->len++];
    fr_flight_of(assigned->index, message->offset);
    if (decode_unless_convicted(tap, assigned, message->offset, &record, event, &reject)) {
        if (record_misrouted(&record, event))
            fr_count(tap->misrouted, 1);
        engine_batch_keep(batch, event);
        if (engine_batch_wants_record(tap->engine, batch, event->kind))
            event->reject = engine_batch_keep_reject(batch, &(struct reject){.key = record.key,
                                                                             .value = record.value,
                                                                             .has_key = record.has_key,
                                                                             .has_value = record.has_value,
                                                                             .logged = record.logged});
    } else {
        event->reject = engine_batch_keep_reject(batch, &reject);
    }
    fr_flight_over();
    event->partition = assigned->index;
    event->offset = message->offset;
    event->print = print;
    assigned->last = message->offset;
    assigned->print = print;
    assigned->next = message->offset + 1;
    assigned->garbled = false;
    assigned->touched = assigned->spoke = true;
    assigned->read++;
    assignment_tastes(&tap->assignment, message->partition, event->kind == EVENT_REJECT);
}

/* The end of the log: nothing below it is missing, which records alone do not tell (control records, compaction). */
static void take_end(struct tap *tap, struct event_batch *batch, const rd_kafka_message_t *message)
{
    struct assigned *assigned = assignment_at(&tap->assignment, message->partition);

    if (!assigned)
        return;
    assigned->touched = assigned->spoke = true;
    if (message->offset < assigned->next)
        assignment_lost(&tap->assignment, message->partition); /* a log that does not reach to where we were */
    if (message->offset >= assigned->next)
        assigned->garbled = false; /* all up to here could be read, also where it was read again for its proof only */
    if (message->offset <= assigned->next)
        return;
    assigned->next = message->offset;
    batch->events[batch->len++] =
        (struct event){.kind = EVENT_POSITION, .partition = assigned->index, .offset = assigned->next, .logged = -1};
}

static void take_error(struct tap *tap, const rd_kafka_message_t *message)
{
    if (message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET) {
        assignment_lost(&tap->assignment, message->partition);
        return;
    }
    if (message->err == RD_KAFKA_RESP_ERR__BAD_COMPRESSION) { /* it came whole, by its checksum */
        assignment_unreadable(&tap->assignment, message->partition, message->offset, rd_kafka_message_errstr(message));
        return;
    }
    if (message->err == RD_KAFKA_RESP_ERR__BAD_MSG || message->err == RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED) {
        assignment_garbled(&tap->assignment, message->partition, message->offset, rd_kafka_message_errstr(message));
        return;
    }
    if (client_may_be_another(message->err))
        tap->client.disconnected = true;
    if (message->err == RD_KAFKA_RESP_ERR__FATAL && !tap->broken) {
        fr_count(tap->rebuilt_broken, 1);
        tap->broken = true;
    }
    fr_log(FR_WARN, "feed", "fetch.error",
           FR_FIELDS(FR_TEXT("topic", tap->options.topic), FR_INT("partition", message->partition),
                     FR_TEXT("code", rd_kafka_err2name(message->err))),
           "%s", rd_kafka_message_errstr(message));
}

/* A callback has said in the very call that gave it that brokers were lost: it may be of another log, and comes again when all is assigned anew. */
static bool is_doubtful(const struct tap *tap, const rd_kafka_message_t *message)
{
    return tap->client.disconnected && message->err != RD_KAFKA_RESP_ERR__FATAL;
}

static void take(struct tap *tap, struct event_batch *batch, const rd_kafka_message_t *message)
{
    if (is_doubtful(tap, message))
        return;
    if (message->err && message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        take_error(tap, message);
        return;
    }
    tap->heard = true;
    if (message->err)
        take_end(tap, batch, message);
    else
        take_record(tap, batch, message);
}

void tap_fill(struct tap *tap, struct event_batch *batch)
{
    rd_kafka_message_t *message;
    int timeout_ms;

    tap->drained = false;
    if (!assignment_tell(&tap->assignment, batch))
        return;
    timeout_ms = batch->len ? 0 : POLL_TIMEOUT_MS;
    while (batch->len < EVENT_BATCH_MAX && batch->arena.total < ARENA_BYTES_MAX && !tap->broken &&
           !tap->client.disconnected) {
        message = rd_kafka_consumer_poll(tap->consumer, timeout_ms);
        timeout_ms = 0;
        tap->drained = !message;
        if (!message)
            break;
        take(tap, batch, message);
        rd_kafka_message_destroy(message);
    }
}

void tap_idle(struct tap *tap)
{
    rd_kafka_message_t *message = rd_kafka_consumer_poll(tap->consumer, 0);

    if (!message)
        return;
    if (message->err)
        take_error(tap, message);
    rd_kafka_message_destroy(message);
}
