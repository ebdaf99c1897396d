/*
 * publish.c -- a file's events to Kafka: keyed by user with the Java partitioner, so that one user is in one partition; protobuf values; done
 * when every record is acknowledged. --wait goes on until the daemon has applied them.
 *
 * A large file takes as long as it takes: --timeout is for how long nothing may move, neither a record into Kafka nor, then, one into the
 * daemon. A file that cannot be read on, or a first SIGINT or SIGTERM, ends nothing but the reading: each record read is published or failed
 * when this ends.
 * librdkafka's own limit is for each record from when it was read, which a long queue would overstep; so it has none, unless -X says so.
 *
 * What --wait waits for is the last offset of each partition, as Kafka acknowledged it. A daemon that cannot be asked has moved nothing, and
 * may have by the next time: it starts again, perhaps behind where it was.
 */
#include <errno.h>
#include <librdkafka/rdkafka.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "formats.h"
#include "pace.h"
#include "patience.h"
#include "freshet/alloc.h"
#include "freshet/clock.h"
#include "freshet/v1/admin.pb-c.h"
#include "freshet/v1/events.pb-c.h"

enum { BAD_SHOWN_MAX = 10, PARTITIONS_SEEN_MAX = 4096, WHY_ROOM = 400 };
enum { POLL_MS = 50, PURGE_MS = 1000, TIMEOUT_MS = 60000, END_MS = 4000, END_LOOK_MS = 2 };

struct publish {
    const char *brokers, *topic, *format;
    struct texts settings;
    uint64_t rate, total;
    bool wait, own_limit; /* own_limit: -X says how long a record may take */
    bool unanswered;      /* the daemon once could not be asked */
    struct common common;
    rd_kafka_t *producer;
    struct fr_arena arena; /* of the event at hand */
    /* counted by line */
    uint64_t line, sent, skipped, bad;
    /* counted by delivery reports */
    uint64_t delivered, failed;
    char failure[256];
    bool given_up;
    bool interrupted; /* and it has said so */
    struct pace pace; /* for --rate */
    struct patience patience; /* for --timeout: delivered and failed, then what is left to apply */
    int64_t next[PARTITIONS_SEEN_MAX];  /* behind what was delivered, by partition */
    bool unplaced[PARTITIONS_SEEN_MAX]; /* behind that something was, and Kafka has not said where */
    int32_t beyond;                     /* a partition for which there is no room here; 0: none */
};

static void note_place(struct publish *publish, const rd_kafka_message_t *message)
{
    int32_t p = message->partition;

    if (p >= PARTITIONS_SEEN_MAX) {
        publish->beyond = p;
    } else if (message->offset < 0) {
        publish->unplaced[p] = true;
    } else if (message->offset + 1 > publish->next[p]) {
        publish->next[p] = message->offset + 1;
        publish->unplaced[p] = false;
    }
}

static void delivered(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque)
{
    struct publish *publish = opaque;

    (void)producer;
    if (message->err) {
        if (!publish->failed++ && !publish->given_up)
            snprintf(publish->failure, sizeof(publish->failure), "%s", rd_kafka_err2str(message->err));
        return;
    }
    publish->delivered++;
    note_place(publish, message);
}

static bool set(rd_kafka_conf_t *conf, const char *key, const char *value)
{
    char why[256];

    if (rd_kafka_conf_set(conf, key, value, why, sizeof(why)) == RD_KAFKA_CONF_OK)
        return true;
    cli_fail("--set %s: %s", key, why);
    return false;
}

/* Nobody would say which offsets the records have. */
static bool unacknowledged(const rd_kafka_conf_t *conf)
{
    char acks[16] = "";
    size_t room = sizeof(acks);

    return rd_kafka_conf_get(conf, "acks", acks, &room) == RD_KAFKA_CONF_OK && !strcmp(acks, "0");
}

static int open_producer(struct publish *publish)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    int status = CLI_FAILED;
    char why[256];
    bool good = set(conf, "bootstrap.servers", publish->brokers) && set(conf, "client.id", "freshet") &&
                set(conf, "partitioner", "murmur2_random") && set(conf, "enable.idempotence", "true") &&
                set(conf, "linger.ms", "20") && set(conf, "queue.buffering.max.messages", "200000") &&
                set(conf, "message.timeout.ms", "0") && set(conf, "log_level", "3");

    for (size_t i = 0; good && i < publish->settings.len; i++) {
        char *key = fr_strdup(publish->settings.at[i]), *equals = strchr(key, '=');
        if (equals) {
            *equals = '\0';
            if (!strcmp(key, "message.timeout.ms") || !strcmp(key, "delivery.timeout.ms"))
                publish->own_limit = strspn(equals + 1, "0") < strlen(equals + 1); /* 0: without end, which --timeout has */
            good = set(conf, key, equals + 1);
        } else {
            cli_fail("--set is '%s'; it may be key=value", key);
            good = false;
        }
        free(key);
    }
    if (good && publish->wait && unacknowledged(conf)) {
        cli_fail("--wait cannot tell what the daemon has to apply where acks=0: Kafka acknowledges nothing");
        good = false;
        status = CLI_USAGE;
    }
    rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    rd_kafka_conf_set_opaque(conf, publish);
    publish->producer = good ? rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why)) : NULL;
    if (!publish->producer) {
        if (good)
            cli_fail("cannot make a producer: %s", why);
        rd_kafka_conf_destroy(conf);
    }
    return publish->producer ? CLI_DONE : status;
}

static bool stalled(struct publish *publish, uint64_t moved, bool awaited)
{
    return patience_over(&publish->patience, moved, awaited, fr_mono_ns(), publish->common.timeout_ms);
}

/* Takes the reports there are. True: Kafka takes no more, and what is left of what it was sent has been counted as failed. */
static bool gives_up(struct publish *publish)
{
    rd_kafka_poll(publish->producer, 0);
    if (publish->own_limit || !stalled(publish, publish->delivered + publish->failed, rd_kafka_outq_len(publish->producer) > 0))
        return false;
    publish->given_up = true;
    snprintf(publish->failure, sizeof(publish->failure), "Kafka has taken nothing for %.1f s", (double)publish->common.timeout_ms / 1e3);
    rd_kafka_purge(publish->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_flush(publish->producer, PURGE_MS);
    return true;
}

static char *text_in(struct fr_arena *arena, struct fr_bytes bytes)
{
    char *text = fr_arena_take(arena, bytes.len + 1);

    text[bytes.len] = '\0';
    return bytes.len ? memcpy(text, bytes.at, bytes.len) : text;
}

static void add_context(Freshet__V1__Event *event, const struct line_event *line, struct fr_arena *arena)
{
    event->n_context = line->context_len;
    event->context = fr_arena_take(arena, (line->context_len + 1) * sizeof(*event->context));
    for (size_t i = 0; i < line->context_len; i++) {
        Freshet__V1__Event__ContextEntry *entry = event->context[i] = fr_arena_take(arena, sizeof(*entry));
        freshet__v1__event__context_entry__init(entry);
        entry->key = text_in(arena, line->context[i].name);
        entry->value = text_in(arena, line->context[i].value);
    }
}

static bool produce(struct publish *publish, struct fr_bytes key, struct fr_bytes value, const char *content_type)
{
    rd_kafka_headers_t *headers = content_type ? rd_kafka_headers_new(1) : NULL;
    const rd_kafka_vu_t parts[] = {
        {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = publish->topic},
        {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {(void *)(uintptr_t)key.at, key.len}},
        {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {(void *)(uintptr_t)value.at, value.len}},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers},
    };
    rd_kafka_resp_err_t refused = RD_KAFKA_RESP_ERR_NO_ERROR;

    if (headers)
        rd_kafka_header_add(headers, "content-type", -1, content_type, -1);
    do {
        rd_kafka_error_t *error = rd_kafka_produceva(publish->producer, parts, headers ? 5 : 4);
        refused = error ? rd_kafka_error_code(error) : RD_KAFKA_RESP_ERR_NO_ERROR;
        rd_kafka_error_destroy(error);
        if (refused == RD_KAFKA_RESP_ERR__QUEUE_FULL)
            rd_kafka_poll(publish->producer, POLL_MS);
    } while (refused == RD_KAFKA_RESP_ERR__QUEUE_FULL && !gives_up(publish));
    if (refused && headers) /* else they are the record's */
        rd_kafka_headers_destroy(headers);
    if (refused && !publish->given_up)
        cli_fail("line %llu: %s", (unsigned long long)publish->line, rd_kafka_err2str(refused));
    return !refused;
}

static bool send_event(struct publish *publish, const struct line_event *line)
{
    Freshet__V1__Event event = FRESHET__V1__EVENT__INIT;
    uint8_t stack[2048], *bytes = stack;

    fr_arena_reset(&publish->arena);
    event.user_id = (ProtobufCBinaryData){line->user.len, (uint8_t *)(uintptr_t)line->user.at};
    event.item_id = (ProtobufCBinaryData){line->item.len, (uint8_t *)(uintptr_t)line->item.at};
    event.event_id = (ProtobufCBinaryData){line->event_id.len, (uint8_t *)(uintptr_t)line->event_id.at};
    event.type = text_in(&publish->arena, line->type); /* all of it: the daemon says what it thinks of it */
    event.time_ms = line->time_ms;
    if (line->has_value) {
        event.value_given_case = FRESHET__V1__EVENT__VALUE_GIVEN_VALUE;
        event.value = line->value;
    }
    add_context(&event, line, &publish->arena);
    size_t len = freshet__v1__event__get_packed_size(&event);
    if (len > sizeof(stack))
        bytes = fr_alloc(len);
    freshet__v1__event__pack(&event, bytes);
    bool sent = produce(publish, line->user, (struct fr_bytes){(const char *)bytes, len}, NULL);
    if (bytes != stack)
        free(bytes);
    return sent;
}

/* Holds back to --rate events a second, by serving deliveries meanwhile. */
static void pace(struct publish *publish)
{
    uint64_t now = fr_mono_ns(), due = publish->rate ? pace_next(&publish->pace, publish->rate, now) : now;

    for (; now < due && !interrupt_came(); now = fr_mono_ns())
        rd_kafka_poll(publish->producer, (int)((due - now) / 1000000U) + 1);
}

static bool interrupted(struct publish *publish)
{
    if (!publish->interrupted && interrupt_came()) {
        publish->interrupted = true;
        cli_fail("interrupted; what is behind line %llu is not read, what was read goes to Kafka yet; another signal ends that too",
                 (unsigned long long)publish->line);
    }
    return publish->interrupted;
}

/* Whatever else has failed: what was taken goes to Kafka, or is told as what did not. Nothing more comes that linger.ms could wait for, and
 * while it is flushed librdkafka does not. */
static void drain(struct publish *publish, struct progress *progress)
{
    while (!publish->given_up && rd_kafka_outq_len(publish->producer) > 0 && !gives_up(publish)) {
        rd_kafka_flush(publish->producer, POLL_MS);
        progress_show(progress, publish->delivered);
        interrupted(publish);
    }
    publish->failed = publish->sent - publish->delivered;
}

static bool send_file(struct publish *publish, FILE *file, const char *name, struct format *format)
{
    struct progress *progress = progress_new("publishing", publish->total);
    struct lines lines = {.file = file, .name = name, .most = LINE_MOST};
    bool good = true;

    interrupt_ends(file);
    while (good && lines_next(&lines) && !interrupted(publish) && !gives_up(publish)) {
        struct line_event event;
        const char *problem;
        publish->line = lines.number;
        switch (format_line(format, lines.at, lines.len, &event, &problem)) {
        case LINE_HEADER:
            if (format_note(format))
                cli_fail("%s", format_note(format));
            break;
        case LINE_SKIP:
            publish->skipped++;
            break;
        case LINE_BAD:
            if (publish->bad++ < BAD_SHOWN_MAX)
                cli_fail("line %llu %s", (unsigned long long)publish->line, problem);
            break;
        case LINE_EVENT:
        case LINE_SAID:
            pace(publish);
            good = event.said.len ? produce(publish, event.item.len ? event.item : event.user, event.said, "application/json")
                                  : send_event(publish, &event);
            publish->sent += good;
            break;
        }
        progress_show(progress, publish->sent);
    }
    lines_release(&lines);
    good = !interrupted(publish) && good && !lines.failed;
    drain(publish, progress);
    interrupt_over();
    progress_end(progress, publish->delivered);
    return good && !publish->failed && !publish->given_up && !publish->interrupted;
}

/* ---- --wait ---- */

static const Freshet__V1__PartitionStatus *partition_of(const Freshet__V1__GetStatusResponse *status, const char *topic, int32_t number)
{
    for (size_t i = 0; i < status->n_partitions; i++)
        if (status->partitions[i]->partition == number && !strcmp(status->partitions[i]->topic, topic))
            return status->partitions[i];
    return NULL;
}

/* How many of the published records the daemon has yet to apply, and what keeps it from that, as far as it tells. */
static uint64_t left_to_apply(const struct publish *publish, const Freshet__V1__GetStatusResponse *status, char why[WHY_ROOM])
{
    uint64_t left = 0;

    *why = '\0';
    if (status->n_held)
        snprintf(why, WHY_ROOM, "its ingest stands still (%s)", status->held[0]);
    for (int p = 0; p < PARTITIONS_SEEN_MAX; p++) {
        const Freshet__V1__PartitionStatus *partition = publish->next[p] ? partition_of(status, publish->topic, p) : NULL;
        int64_t applied = partition && partition->applied > 0 ? partition->applied : 0;
        if (publish->next[p] <= applied)
            continue;
        left += (uint64_t)(publish->next[p] - applied);
        if (!partition)
            snprintf(why, WHY_ROOM, "it does not read %s/%d", publish->topic, p);
        else if (!strncmp(partition->state, "halted", strlen("halted")))
            snprintf(why, WHY_ROOM, "%s/%d is %s", publish->topic, p, partition->state);
    }
    return left;
}

/* False: what was published is not all known by its place, and it has said so. */
static bool all_placed(const struct publish *publish)
{
    if (publish->beyond) {
        cli_fail("--wait looks at %d partitions of a topic at most, and records went to %s/%d", PARTITIONS_SEEN_MAX, publish->topic,
                 publish->beyond);
        return false;
    }
    for (int p = 0; p < PARTITIONS_SEEN_MAX; p++)
        if (publish->unplaced[p]) {
            cli_fail("--wait cannot tell when all is applied: Kafka has not said at which offsets of %s/%d it has put records",
                     publish->topic, p);
            return false;
        }
    return true;
}

/* Says why it waits only once: who starts again is asked many times meanwhile. */
static int ask_left(struct publish *publish, uint64_t *left, char why[WHY_ROOM], struct fr_err *err)
{
    const Freshet__V1__GetStatusRequest request = FRESHET__V1__GET_STATUS_REQUEST__INIT;
    ProtobufCMessage *answer;
    int status = rpc_call(common_admin(&publish->common), "/freshet.v1.Admin/GetStatus", &request.base,
                          &freshet__v1__get_status_response__descriptor, &answer, publish->common.timeout_ms, err);

    if (status == FR_OK) {
        *left = left_to_apply(publish, (const Freshet__V1__GetStatusResponse *)answer, why);
        protobuf_c_message_free_unpacked(answer, NULL);
    } else if (err->retriable && !publish->unanswered) {
        publish->unanswered = true;
        cli_fail("%s; it is asked again until nothing has moved for %.1f s", err->text, (double)publish->common.timeout_ms / 1e3);
    }
    return status;
}

static bool wait_applied(struct publish *publish)
{
    struct progress *progress = progress_new("learning", publish->delivered);
    struct ground ground = {0};
    struct fr_err err;
    uint64_t left = publish->delivered;
    char why[WHY_ROOM] = "";
    bool over = false, late = false;
    int status;

    stalled(publish, 0, false); /* the clock begins here */
    do {
        progress_show(progress, left < publish->delivered ? publish->delivered - left : 0);
        status = ask_left(publish, &left, why, &err);
        over = status ? !err.retriable : !left;
        late = stalled(publish, status ? ground.moved : ground_gained(&ground, left), !over);
        rd_kafka_poll(publish->producer, over ? 0 : POLL_MS);
    } while (!over && !late);
    progress_end(progress, left < publish->delivered ? publish->delivered - left : 0);
    if (over && status)
        cli_fail("%s", err.text);
    else if (!over)
        cli_fail("the daemon has applied nothing for %.1f s, and %llu records are left%s%s", (double)publish->common.timeout_ms / 1e3,
                 (unsigned long long)left, status || *why ? ": " : "", status ? err.text : why);
    return over && !status;
}

static void *destroy(void *producer)
{
    rd_kafka_destroy(producer);
    return NULL;
}

/* rd_kafka_destroy of 2.0.2 waits for threads of the library's own that may go on for ever, as where a broker went and came back. All is said
 * by then, so it is not waited for longer than an end takes; the end of the program ends it too. */
static void end_producer(rd_kafka_t *producer)
{
    uint64_t until = fr_mono_ns() + END_MS * UINT64_C(1000000);
    pthread_t thread;
    bool over;

    if (pthread_create(&thread, NULL, destroy, producer))
        return;
    while (!(over = pthread_tryjoin_np(thread, NULL) == 0) && fr_mono_ns() < until)
        poll(NULL, 0, END_LOOK_MS);
    if (!over)
        pthread_detach(thread);
}

static int run(struct publish *publish, FILE *file, const char *name, struct format *format)
{
    int status = open_producer(publish);

    if (status)
        return status;
    bool good = send_file(publish, file, name, format);
    if (publish->failed || publish->given_up)
        cli_fail("%llu records were not delivered: %s", (unsigned long long)publish->failed, publish->failure);
    if (good && publish->wait)
        good = all_placed(publish) && wait_applied(publish);
    if (common_json(&publish->common))
        printf("{\"published\":%llu,\"skipped\":%llu,\"bad\":%llu,\"failed\":%llu}\n",
               (unsigned long long)publish->delivered, (unsigned long long)publish->skipped,
               (unsigned long long)publish->bad, (unsigned long long)publish->failed);
    else
        fprintf(stderr, "%llu records published, %llu lines skipped, %llu bad\n", (unsigned long long)publish->delivered,
                (unsigned long long)publish->skipped, (unsigned long long)publish->bad);
    end_producer(publish->producer);
    return good && !publish->bad ? CLI_DONE : CLI_FAILED;
}

int verb_publish(int argc, char **argv)
{
    static const struct usage usage = {
        "publish", "FILE|- [OPTION]...",
        "Send a file's events to Kafka, keyed by user. Formats: movielens (u.data, ratings.dat or ratings.csv), csv, tsv, jsonl, online-retail\n"
        "(UCI's table, with dates 2010-12-01 08:26:00 or 12/1/2010 8:26; or our extract of it), libfm; and of what is said of items and users,\n"
        "keyed by these: items-jsonl, items-tsv, users-jsonl.",
        "freshet publish u.data --format movielens --brokers 127.0.0.1:9092 --wait"};
    struct publish *publish = fr_zalloc(1, sizeof(*publish));
    struct texts files = {0};
    publish->brokers = cli_environment("FRESHET_BROKERS");
    if (!publish->brokers)
        publish->brokers = "127.0.0.1:9092";
    publish->format = "jsonl";
    publish->common = common_defaults();
    publish->common.timeout_ms = TIMEOUT_MS;
    const struct option_row rows[] = {
        {"format", 'f', OPTION_TEXT, &publish->format, "NAME", "of the file (default jsonl)"},
        {"brokers", 'b', OPTION_TEXT, &publish->brokers, "LIST", "Kafka (default $FRESHET_BROKERS or 127.0.0.1:9092)"},
        {"topic", 't', OPTION_TEXT, &publish->topic, "NAME", "default events, items or users, by the format"},
        {"set", 'X', OPTION_TEXTS, &publish->settings, "KEY=VALUE", "a librdkafka setting; may be repeated"},
        {"rate", 0, OPTION_COUNT, &publish->rate, "N", "at most so many events a second"},
        {"total", 0, OPTION_COUNT, &publish->total, "N", "events to come, for the progress bar"},
        {"wait", 'w', OPTION_FLAG, &publish->wait, NULL, "until the daemon has applied them all"},
        ADMIN_ROW(publish->common),
        {"output", 'o', OPTION_TEXT, &publish->common.output, "table|json", "for people or for programs (default table)"},
        {"timeout", 0, OPTION_MS, &publish->common.timeout_ms, "MS", "give up when nothing has moved for this long (default 60000)"}, {0},
    };
    int status = options_read(&usage, rows, argc, argv, &files);
    struct format *format = status < 0 ? format_new(publish->format) : NULL;

    if (status < 0 && !common_check(&publish->common)) {
        status = CLI_USAGE;
    } else if (status < 0 && publish->wait && !common_admin(&publish->common)) {
        status = CLI_USAGE;
    } else if (status < 0 && !*publish->brokers) {
        cli_fail("--brokers is empty");
        status = CLI_USAGE;
    } else if (status < 0 && files.len != 1) {
        cli_fail("publish needs one FILE, or - for standard input");
        status = CLI_USAGE;
    } else if (status < 0 && !format) {
        cli_fail("--format is '%s'; it may be movielens, csv, tsv, jsonl, online-retail, libfm, items-jsonl, items-tsv or users-jsonl", publish->format);
        status = CLI_USAGE;
    } else if (status < 0) {
        static const char *const topics[] = {
            [FORMAT_OF_EVENTS] = "events", [FORMAT_OF_ITEMS] = "items", [FORMAT_OF_USERS] = "users"};
        publish->topic = publish->topic ? publish->topic : topics[format_of(format)];
        FILE *file = strcmp(files.at[0], "-") ? fopen(files.at[0], "r") : stdin;
        status = file ? run(publish, file, files.at[0], format) : cli_fail("cannot open '%s': %s", files.at[0], strerror(errno));
        if (file && file != stdin)
            fclose(file);
    }
    format_free(format);
    fr_arena_release(&publish->arena);
    free(publish);
    return status;
}
