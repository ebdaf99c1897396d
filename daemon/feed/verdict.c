/*
 * verdict.c -- is this the log we know, and does it still have what comes next?
 *
 * auto.offset.reset is error, so a missing offset is never jumped over in silence. Then, and whenever the log may have been
 * exchanged unseen (a start, a new consumer, brokers lost, the topic gone), one of these holds:
 *
 *     next > high                      the log ends before what comes next    HALTED_TRUNCATED, a person must decide
 *     next < low                       Kafka has deleted it unread            on_gap: HALTED_GAP, or EVENT_HOLE and go on
 *     another record at `last`         another log under the same name        HALTED_OTHER_LOG, a person must decide
 *     too much of it is poison         rather the producer has changed        HALTED_POISON, until the next start
 *     a batch that cannot be unpacked  nobody sees how many records are in it HALTED_POISON likewise
 *     a batch damaged, and again       nor here                               HALTED_POISON likewise
 *     another cluster id               other brokers under the same address   HALTED_OTHER_CLUSTER, all of them
 *     no record at `last` any more     deleted or compacted: no evidence      go on
 *     the same record at `last`        the log we know                        go on
 *
 * What cannot be seen: a topic that is deleted, made anew and filled beyond `next` between two fetches, while we run.
 */
#include <stdlib.h>

#include "assign.h"
#include "freshet/alloc.h"
#include "freshet/clock.h"
#include "freshet/log.h"

enum { REST = 4 }; /* so many times as long as an answer was waited for in vain, it is not asked for again */

#define PLACE(number) FR_TEXT("topic", assignment->options->topic), FR_INT("partition", (number))

static void halt(struct assignment *assignment, struct assigned *assigned, enum partition_state state)
{
    assigned->state = state;
    engine_partition_says(assignment->engine, assigned->index, state, assigned->end, -1);
}

/* One that is being read; the others are read on without it. */
static void halt_reading(struct assignment *assignment, struct assigned *assigned, enum partition_state state)
{
    halt(assignment, assigned, state);
    assignment->stale = true;
    assignment->look_ns = 0;
}

/* ---- is it the same log? ---------------------------------------------------------------------------------------- */

bool assignment_wants(struct assignment *assignment, int32_t number, int64_t offset, uint64_t print)
{
    struct assigned *assigned = &assignment->partitions[number];

    if (assigned->check && offset >= assigned->last) { /* else it was fetched before the assignment was made anew */
        assigned->check = false;
        if (offset == assigned->last && print != assigned->print) {
            fr_log(FR_ERROR, "feed", "partition.other_log", FR_FIELDS(PLACE(number), FR_INT("offset", offset)),
                   "the record at %lld is not the one that was applied from there: this is another log under the same "
                   "name; the partition is halted (freshet reset goes on in this one, freshetd --rebuild replays it into a new store)",
                   (long long)offset);
            halt_reading(assignment, assigned, PARTITION_HALTED_OTHER_LOG);
            return false;
        }
    }
    return offset >= assigned->next;
}

/* ---- is it fit to be read? --------------------------------------------------------------------------------------- */

void assignment_tastes(struct assignment *assignment, int32_t number, bool poison)
{
    struct assigned *assigned = &assignment->partitions[number];
    unsigned percent = assignment->options->poison_max_percent;

    if (!breaker_trips(&assigned->breaker, poison, percent))
        return;
    fr_log(FR_ERROR, "feed", "partition.poison", FR_FIELDS(PLACE(number), FR_INT("next", assigned->next)),
           "more than %u percent of the last %d records are bad: has the producer changed its format? They are dead letters; "
           "the partition is halted before %lld (freshet reset or a restart goes on, feed.poison_max_percent = 0 goes on for ever)",
           percent, BREAKER_WINDOW, (long long)assigned->next);
    halt_reading(assignment, assigned, PARTITION_HALTED_POISON);
}

/* Read anew from where it stands. Until then all that librdkafka gives of it is dropped. */
static void read_again(struct assignment *assignment, struct assigned *assigned)
{
    assigned->state = PARTITION_WAITING;
    assigned->touched = true;
    assignment->stale = true;
    assignment->look_ns = 0;
}

void assignment_unreadable(struct assignment *assignment, int32_t number, int64_t offset, const char *problem)
{
    struct assigned *assigned = assignment_at(assignment, number);

    if (!assigned)
        return;
    assigned->garbled = false;
    if (assigned->last >= 0 && offset < assigned->next) { /* read again for its proof only; `next` may lie behind it */
        fr_log(FR_WARN, "feed", "partition.unproven", FR_FIELDS(PLACE(number), FR_INT("offset", offset), FR_INT("next", assigned->next)),
               "%s; reading on at %lld without what the log should prove itself by", problem, (long long)assigned->next);
        assigned->last = -1;
        read_again(assignment, assigned);
        return;
    }
    fr_log(FR_ERROR, "feed", "partition.unreadable", FR_FIELDS(PLACE(number), FR_INT("next", assigned->next)),
           "%s; the partition is halted before %lld (a zstd batch of more than kafka.receive.message.max.bytes, unpacked, is had by a start "
           "with more; freshet reset goes on behind the batch)",
           problem, (long long)assigned->next);
    halt_reading(assignment, assigned, PARTITION_HALTED_POISON);
}

/* librdkafka 2.0.2 goes on behind a damaged batch at a wrong place, and takes what it finds there for a batch: its position may then be
 * anywhere, and what it gives next is no jump over what was compacted away. */
void assignment_garbled(struct assignment *assignment, int32_t number, int64_t offset, const char *problem)
{
    struct assigned *assigned = assignment_at(assignment, number);

    if (!assigned)
        return;
    if (assigned->garbled) {
        assignment_unreadable(assignment, number, offset, problem);
        return;
    }
    fr_log(FR_WARN, "feed", "partition.garbled", FR_FIELDS(PLACE(number), FR_INT("offset", offset), FR_INT("next", assigned->next)),
           "%s; reading it once more from %lld", problem, (long long)assigned->next);
    assigned->garbled = true;
    read_again(assignment, assigned);
}

/* ---- does it have what comes next? ------------------------------------------------------------------------------- */

static void truncated(struct assignment *assignment, int32_t number)
{
    struct assigned *assigned = &assignment->partitions[number];

    fr_log(FR_ERROR, "feed", "partition.truncated",
           FR_FIELDS(PLACE(number), FR_INT("next", assigned->next), FR_INT("end", assigned->end)),
           "the log ends at %lld, before the next offset %lld: it was truncated or made anew; the partition is halted (freshet reset "
           "says where to go on)",
           (long long)assigned->end, (long long)assigned->next);
    halt(assignment, assigned, PARTITION_HALTED_TRUNCATED);
}

/* Kafka has deleted [next, low). */
static void gap(struct assignment *assignment, int32_t number, int64_t low)
{
    struct assigned *assigned = &assignment->partitions[number];
    bool skip = assignment->options->on_gap_skip;

    fr_log(skip ? FR_WARN : FR_ERROR, "feed", skip ? "partition.skipped" : "partition.gap",
           FR_FIELDS(PLACE(number), FR_INT("from", assigned->next), FR_INT("to", low)),
           "Kafka has deleted the offsets from %lld to before %lld unread; %s", (long long)assigned->next,
           (long long)low,
           skip ? "going on behind them" : "the partition is halted (freshet reset goes on behind them, and feed.on_gap = skip by itself)");
    if (!skip) {
        halt(assignment, assigned, PARTITION_HALTED_GAP);
        return;
    }
    assigned->next = low;
    assigned->tell = assigned->hole = true;
}

/* If Kafka does not say what it holds, it is asked again. */
static void settle(struct assignment *assignment, const struct bounds *bounds)
{
    struct assigned *assigned = &assignment->partitions[bounds->number];

    assigned->alone = false;
    if (bounds->err)
        return;
    assigned->lost = false;
    assigned->end = bounds->high;
    if (assigned->next > bounds->high)
        truncated(assignment, bounds->number);
    else if (assigned->next >= 0 && assigned->next < bounds->low)
        gap(assignment, bounds->number, bounds->low);
    if (assigned->last < bounds->low)
        assigned->last = -1; /* the log cannot prove itself by it any more */
    assignment->stale = true; /* it stays silent until it is assigned again */
}

/* False: no answer came, and each is asked for alone. */
static bool ask(struct assignment *assignment, struct bounds *bounds, size_t len)
{
    bool answered = !assignment_bounds(assignment, bounds, len);

    for (size_t i = 0; i < len; i++) {
        struct assigned *assigned = &assignment->partitions[bounds[i].number];
        assigned->alone = !answered;
        assigned->asked_ns = fr_mono_ns();
    }
    return answered;
}

/* As in quiet.c: one call asks for many, and waits for all brokers that have one of them. */
static bool settle_together(struct assignment *assignment)
{
    struct bounds *bounds = fr_zalloc(assignment->len, sizeof(*bounds));
    bool answered = true;
    size_t len = 0;

    for (size_t i = 0; i < assignment->len; i++)
        if (assignment->partitions[i].lost && !assignment->partitions[i].alone)
            bounds[len++].number = (int32_t)i;
    if (len)
        answered = ask(assignment, bounds, len);
    for (size_t i = 0; i < len && answered; i++)
        settle(assignment, &bounds[i]);
    free(bounds);
    return answered;
}

/* Those that another broker's silence has hidden, one after the other while answers come: the one that has waited longest first. */
static bool settle_alone(struct assignment *assignment, uint64_t began_ns)
{
    while (fr_mono_ns() - began_ns < ASSIGN_QUERY_MS * 1000000ULL) {
        struct bounds bounds = {.number = -1};
        uint64_t before_ns = began_ns;

        for (size_t i = 0; i < assignment->len; i++) {
            const struct assigned *assigned = &assignment->partitions[i];
            if (!assigned->lost || !assigned->alone || assigned->asked_ns >= before_ns)
                continue;
            before_ns = assigned->asked_ns;
            bounds.number = (int32_t)i;
        }
        if (bounds.number < 0)
            return true;
        if (!ask(assignment, &bounds, 1))
            return false;
        settle(assignment, &bounds);
    }
    return true;
}

static bool any_lost(const struct assignment *assignment)
{
    for (size_t i = 0; i < assignment->len; i++)
        if (assignment->partitions[i].lost)
            return true;
    return false;
}

/* Those that are read have waited for an answer that did not come, and have their rest from it. Where no broker answers at all, none is asked. */
bool verdict_lost(struct assignment *assignment)
{
    uint64_t began_ns = fr_mono_ns(), ended_ns;

    if (assignment->foreign || !any_lost(assignment))
        return true;
    if (!assignment->answered || began_ns < assignment->lost_ns)
        return false;
    if (settle_together(assignment) && settle_alone(assignment, began_ns))
        return !any_lost(assignment);
    ended_ns = fr_mono_ns();
    assignment->lost_ns = ended_ns + REST * (ended_ns - began_ns);
    return false;
}

/* ---- is it the same cluster? -------------------------------------------------------------------------------------- */

/* All that the store knows is shown as halted, read or not. */
static void turn_away(struct assignment *assignment)
{
    uint32_t known = engine_partitions_known(assignment->engine, assignment->options->topic);

    while (assignment->len < known && assignment_take_up(assignment, assignment->len))
        continue;
    for (size_t i = 0; i < assignment->len; i++) {
        if (assigned_is_read(&assignment->partitions[i]))
            halt(assignment, &assignment->partitions[i], PARTITION_HALTED_OTHER_CLUSTER);
    }
    assignment->foreign = assignment->stale = true;
}

static void welcome_back(struct assignment *assignment)
{
    for (size_t i = 0; i < assignment->len; i++) {
        if (assignment->partitions[i].state == PARTITION_HALTED_OTHER_CLUSTER)
            assignment->partitions[i].state = PARTITION_WAITING;
    }
    assignment->foreign = false;
    assignment->stale = true;
}

static void judge(struct assignment *assignment, const char *id)
{
    char room[CLUSTER_BYTES_MAX + 1];
    const char *known = engine_cluster(assignment->engine, room);

    if (strcmp(id, known) == 0) {
        if (assignment->foreign) {
            fr_log(FR_INFO, "feed", "cluster.same", FR_FIELDS(FR_TEXT("cluster", id)),
                   "the brokers belong to the state's cluster '%s' again", id);
            welcome_back(assignment);
        }
    } else if (!*known || assignment->options->cluster_any) {
        fr_log(*known ? FR_WARN : FR_INFO, "feed", "cluster.taken", FR_FIELDS(FR_TEXT("cluster", id)),
               "the state stands for the log of Kafka cluster '%s'%s%s", id, *known ? ", before it was that of " : "",
               known);
        engine_cluster_set(assignment->engine, id);
    } else if (!assignment->foreign) {
        fr_log(FR_ERROR, "feed", "cluster.other", FR_FIELDS(FR_TEXT("cluster", id), FR_TEXT("state", known)),
               "the brokers belong to Kafka cluster '%s', the state was learned from '%s': nothing is read, questions "
               "are answered (feed.cluster = any goes on with it; freshetd --rebuild replays it into a new store)",
               id, known);
        turn_away(assignment);
    }
}

void verdict_cluster(struct assignment *assignment)
{
    char *id = assignment->answered ? rd_kafka_clusterid(assignment->consumer, 0) : NULL;

    if (id && *id && strlen(id) <= CLUSTER_BYTES_MAX)
        judge(assignment, id);
    rd_kafka_mem_free(assignment->consumer, id);
}
