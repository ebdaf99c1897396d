/*
 * health.c -- what is amiss, worst first (health.h).
 */
#include "health.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Behind: the oldest record waits so long, or so many wait. A log that moves is always a few records ahead. */
#define BEHIND_SECONDS 2.0
enum { BEHIND_RECORDS = 10000 };
/* A checkpoint that is late: by this, or by three of its intervals, whichever is more. */
#define UNSAVED_SECONDS 30.0
enum { UNSAVED_INTERVALS = 3 };
/* Dead letters that are not delivered: Kafka has taken none for so long. */
#define LETTERS_SECONDS 60.0

static const char *const level_names[] = {"good", "busy", "warn", "bad"};

const char *health_level_name(enum health_level level)
{
    return level_names[level];
}

char *health_count(uint64_t number, char *room)
{
    char digits[24];
    size_t len = (size_t)snprintf(digits, sizeof(digits), "%" PRIu64, number), at = 0;

    for (size_t i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0)
            room[at++] = ',';
        room[at++] = digits[i];
    }
    room[at] = '\0';
    return room;
}

struct findings {
    struct finding *room;
    size_t len;
};

/* "text", then what it means. */
__attribute__((format(printf, 4, 5))) static void find(struct findings *findings, enum health_level level, const char *detail,
                                                       const char *format, ...)
{
    struct finding *finding = &findings->room[findings->len++];
    va_list values;

    finding->level = level;
    snprintf(finding->detail, sizeof(finding->detail), "%s", detail);
    va_start(values, format);
    vsnprintf(finding->text, sizeof(finding->text), format, values);
    va_end(values);
}

/* ---- what may be amiss ---- */

static void look_at_life(const struct health *health, struct findings *findings)
{
    if (health->stuck)
        find(findings, HEALTH_BAD, "This loop of the daemon does not move; /livez says so too, and a service manager that asks it starts the daemon again.",
             "Stuck: %s has not moved for %d seconds", health->stuck, FR_PULSE_LIMIT_MS / 1000);
    if (health->state == FR_STARTING)
        find(findings, HEALTH_BUSY, "Questions are answered as soon as the state is loaded.", "Starting: loading the state");
    if (health->state == FR_DRAINING)
        find(findings, HEALTH_BUSY, "What was read is made durable and calls in flight finish; then the daemon ends.", "Stopping");
}

static void look_at_holds(const struct health *health, struct findings *findings)
{
    char detail[200];

    if (health->held[HOLD_DISK]) {
        snprintf(detail, sizeof(detail), "%.1f MB are free. Ingest waits for room, questions are answered, and Kafka keeps what comes.",
                 health->disk_free / 1e6);
        find(findings, HEALTH_BAD, detail, "Held: disk full");
    }
    if (health->held[HOLD_MEMORY])
        find(findings, HEALTH_BAD, "limits.memory_hard is reached. Ingest waits, questions are answered, and Kafka keeps what comes.",
             "Held: memory at its limit");
    if (health->held[HOLD_ASKED])
        find(findings, HEALTH_WARN, "Ingest waits until freshet resume lets it go on. Questions are answered, and Kafka keeps what comes.",
             "Paused: as an operator has asked");
    if (health->admission_closed)
        find(findings, HEALTH_WARN, "limits.memory_soft was reached. Known users and items go on learning; events of others go to the dead-letter topic.",
             "Closed to new users and items");
}

static const char *why_halted(enum partition_state state)
{
    switch (state) {
    case PARTITION_HALTED_GAP:
        return "Kafka has deleted records that were not yet applied (feed.on_gap).";
    case PARTITION_HALTED_TRUNCATED:
        return "The log ends before what comes next.";
    case PARTITION_HALTED_OTHER_LOG:
        return "The record applied last is another one in this log.";
    case PARTITION_HALTED_POISON:
        return "Too many of its records cannot be applied.";
    case PARTITION_HALTED_OTHER_CLUSTER:
        return "The brokers belong to another cluster than the state.";
    default:
        return "";
    }
}

static bool is_halted(const struct partition_status *partition)
{
    return partition->state != PARTITION_WAITING && partition->state != PARTITION_RUNNING;
}

static void look_at_halted(const struct engine_status *engine, struct findings *findings)
{
    const struct partition_status *first = NULL;
    char detail[200];
    size_t halted = 0;

    for (size_t i = 0; i < engine->partitions_len; i++)
        if (is_halted(&engine->partitions[i])) {
            first = halted++ ? first : &engine->partitions[i];
        }
    if (!halted)
        return;
    snprintf(detail, sizeof(detail), "%s The others go on, and questions are answered.", why_halted(first->state));
    if (halted == 1)
        find(findings, HEALTH_BAD, detail, "Halted: partition %.80s/%" PRId32, first->topic, first->partition);
    else
        find(findings, HEALTH_BAD, detail, "Halted: %zu of %zu partitions", halted, engine->partitions_len);
}

static bool is_of_events(const struct health *health, const struct partition_status *partition)
{
    return !health->topic || strcmp(partition->topic, health->topic) == 0;
}

/* For the topic of events: that those of items and users are there says nothing of it. */
static bool is_waiting(const struct health *health)
{
    const struct engine_status *engine = health->engine;
    bool waiting = health->state == FR_RUNNING;

    for (size_t i = 0; i < engine->partitions_len; i++)
        if (is_of_events(health, &engine->partitions[i]))
            waiting = waiting && engine->partitions[i].state == PARTITION_WAITING;
    return waiting;
}

/* At a start events wait for those, for a while (feed/kafka.c). */
static bool reads_others(const struct health *health)
{
    const struct engine_status *engine = health->engine;
    bool reads = false;

    for (size_t i = 0; i < engine->partitions_len; i++) {
        const struct partition_status *partition = &engine->partitions[i];
        reads = reads || (!is_of_events(health, partition) && partition->state == PARTITION_RUNNING && partition->lag > 0);
    }
    return reads;
}

static void look_at_kafka(const struct health *health, struct findings *findings)
{
    char detail[320];

    if (health->unreachable) {
        snprintf(detail, sizeof(detail), "Trying %.160s again and again. Questions are answered from what is known.",
                 health->brokers ? health->brokers : "the brokers");
        find(findings, HEALTH_BAD, detail, "Cut off: no Kafka broker answers");
    } else if (is_waiting(health) && reads_others(health)) {
        find(findings, HEALTH_BUSY, "What is said of items and users is read; events follow then, or after half a minute.", "Reading items and users first");
    } else if (is_waiting(health)) {
        find(findings, HEALTH_WARN, "No partition is being read yet. Does the topic exist?", "Waiting for topic %.120s",
             health->topic ? health->topic : "");
    }
}

static void look_at_lag(const struct engine_status *engine, struct findings *findings)
{
    double oldest = 0;
    uint64_t behind = 0;
    char detail[200], room[32];

    for (size_t i = 0; i < engine->partitions_len; i++) {
        if (engine->partitions[i].unsure)
            continue;
        behind += engine->partitions[i].lag > 0 ? (uint64_t)engine->partitions[i].lag : 0;
        oldest = engine->partitions[i].lag_seconds > oldest ? engine->partitions[i].lag_seconds : oldest;
    }
    if (!behind || (oldest < BEHIND_SECONDS && behind < BEHIND_RECORDS))
        return;
    if (isfinite(oldest))
        snprintf(detail, sizeof(detail), "The oldest record not yet applied has been in Kafka for %.0f s. Questions are answered from what is applied.", oldest);
    else
        snprintf(detail, sizeof(detail), "Since when the oldest of them has been in Kafka is not known yet. Questions are answered from what is applied.");
    find(findings, HEALTH_BUSY, detail, "Catching up: %s behind", health_count(behind, room));
}

/* Kafka does not tell where a log ends; why, is said already if none of its brokers answers, or if the partition is halted. */
static void look_at_ends(const struct health *health, struct findings *findings)
{
    const struct engine_status *engine = health->engine;
    double oldest = 0;
    size_t unsure = 0;
    char detail[200] = "Kafka does not tell where they end: it may hold records that are not in the answers.";

    for (size_t i = 0; i < engine->partitions_len; i++) {
        const struct partition_status *partition = &engine->partitions[i];
        if (!partition->unsure || is_halted(partition))
            continue;
        unsure++;
        oldest = partition->lag_seconds > oldest ? partition->lag_seconds : oldest;
    }
    if (!unsure || health->unreachable || is_waiting(health))
        return;
    if (isfinite(oldest))
        snprintf(detail, sizeof(detail), "Kafka does not tell where they end: it may hold records of the last %.0f s that are not in the answers.",
                 oldest);
    find(findings, HEALTH_WARN, detail, "Not sure of %zu of %zu partitions", unsure, engine->partitions_len);
}

double health_unsaved_limit(double interval)
{
    return fmax(UNSAVED_SECONDS, UNSAVED_INTERVALS * interval);
}

static void look_at_checkpoints(const struct health *health, struct findings *findings)
{
    if (health->uncommitted >= health_unsaved_limit(health->interval))
        find(findings, HEALTH_WARN, "Checkpoints fail or are slow. Nothing is lost: what is not saved is read from Kafka again after a restart.",
             "Unsaved for %.0f s", health->uncommitted);
}

static void look_at_letters(const struct engine_status *engine, struct findings *findings)
{
    char detail[200], room[32];

    if (engine->letters_seconds < LETTERS_SECONDS)
        return;
    snprintf(detail, sizeof(detail), "Kafka has taken none for %.0f s. They are in the store, so none is lost; at engine.outbox_mb ingest waits for it. The log says why.",
             engine->letters_seconds);
    find(findings, HEALTH_WARN, detail, "Not delivered: %s dead letter%s", health_count(engine->letters, room), engine->letters == 1 ? "" : "s");
}

size_t health_look(const struct health *health, struct finding room[FINDINGS_MAX])
{
    struct findings findings = {room, 0};

    look_at_life(health, &findings);
    look_at_holds(health, &findings);
    if (health->engine) {
        look_at_halted(health->engine, &findings);
        look_at_kafka(health, &findings);
        look_at_lag(health->engine, &findings);
        look_at_ends(health, &findings);
        look_at_letters(health->engine, &findings);
    }
    look_at_checkpoints(health, &findings);
    for (size_t i = 1; i < findings.len; i++) { /* few, and in order among equals */
        struct finding finding = room[i];
        size_t at = i;

        for (; at > 0 && room[at - 1].level < finding.level; at--)
            room[at] = room[at - 1];
        room[at] = finding;
    }
    if (!findings.len)
        find(&findings, HEALTH_GOOD, "All that Kafka holds is in the answers.", "Up to date");
    return findings.len;
}
