/*
 * assign.c -- static assignment: all partitions of the topic, each at an explicit offset.
 *
 * Where a partition starts: at the offset the store holds. If the store knows no partition of this topic, the log was
 * never read and feed.start decides. A partition the store does not know of although it knows others has appeared
 * since, and starts at its beginning whatever feed.start says: nothing of it can have been read. A start that was
 * chosen (latest, a time, behind a gap) is given to the engine as a position at once, so that it is as lasting as one
 * reached by records.
 *
 * The assignment is made anew as a whole when it changes (never seek, pause or resume: librdkafka loses offsets in
 * them). What was fetched before comes again then, or came already: records below `next` are dropped, and a jump
 * forward is fine (compaction and control records leave holes).
 *
 * Each time reading goes on at the last record given, not behind it, so that the log can prove itself (verdict.c). What
 * is assigned is always what Kafka says there is: while the topic or a partition of it is gone, it waits.
 */
#include <stdio.h>
#include <stdlib.h>

#include "assign.h"
#include "freshet/alloc.h"
#include "freshet/blackbox.h"
#include "freshet/clock.h"
#include "freshet/crash.h"
#include "freshet/defect.h"
#include "freshet/log.h"

enum {
    METADATA_TIMEOUT_MS = 500,
    LOOK_EVERY_MS = 5000,
    WAIT_FIRST_MS = 100,
    WAIT_MAX_MS = 2000,
    CHECK_SPAN_MAX = 10000, /* offsets without a record, read again for a check at most */
};

static uint64_t ms_later(uint64_t now_ns, unsigned ms)
{
    return now_ns + (uint64_t)ms * 1000000;
}

void assignment_init(struct assignment *assignment, const struct feed_options *options, struct engine *engine)
{
    *assignment = (struct assignment){.options = options, .engine = engine, .wait_ms = WAIT_FIRST_MS};
    engine_topic_awaited(engine, options->topic);
}

void assignment_release(struct assignment *assignment)
{
    assignment_attach(assignment, NULL);
    for (size_t i = 0; i < assignment->len; i++)
        free(assignment->partitions[i].breaker);
    free(assignment->partitions);
    free(assignment->leaders);
}

void assignment_attach(struct assignment *assignment, rd_kafka_t *consumer)
{
    if (assignment->topic)
        rd_kafka_topic_destroy(assignment->topic);
    for (size_t i = 0; i < assignment->len; i++)
        assignment->partitions[i].mute = false; /* another consumer has yet to hear them */
    assignment->consumer = consumer;
    assignment->topic = consumer ? rd_kafka_topic_new(consumer, assignment->options->topic, NULL) : NULL;
    assignment->stale = true;
    assignment->look_ns = 0;
}

struct assigned *assignment_at(struct assignment *assignment, int32_t number)
{
    if (number < 0 || (size_t)number >= assignment->len)
        return NULL;
    return assignment->partitions[number].state == PARTITION_RUNNING ? &assignment->partitions[number] : NULL;
}

/* ---- how many partitions? ------------------------------------------------------------------------------------ */

static void log_missing(struct assignment *assignment)
{
    if (!assignment->missing && assignment->len)
        fr_log(FR_ERROR, "feed", "topic.gone", FR_FIELDS(FR_TEXT("topic", assignment->options->topic)),
               "the topic is gone; waiting for it, and whatever comes under its name must prove to be the same log");
    else if (!assignment->missing && assignment->options->kind != FEED_EVENTS)
        fr_log(FR_DEBUG, "feed", "topic.missing", FR_FIELDS(FR_TEXT("topic", assignment->options->topic)),
               "there is no such topic, which may be as it should be; it is read as soon as it is there");
    else if (!assignment->missing)
        fr_log(FR_WARN, "feed", "topic.missing", FR_FIELDS(FR_TEXT("topic", assignment->options->topic)),
               "the topic does not exist yet; waiting for it");
    assignment->missing = true;
}

static void log_refused(struct assignment *assignment, rd_kafka_resp_err_t err)
{
    if (!assignment->refused)
        fr_log(FR_ERROR, "feed", "topic.refused", FR_FIELDS(FR_TEXT("topic", assignment->options->topic)),
               "Kafka does not describe the topic: %s; asking on", rd_kafka_err2str(err));
    assignment->refused = true;
}

static void note_leaders(struct assignment *assignment, const struct rd_kafka_metadata_topic *topic)
{
    assignment->leaders_len = (size_t)topic->partition_cnt;
    free(assignment->leaders);
    assignment->leaders = fr_zalloc(assignment->leaders_len + 1, sizeof(*assignment->leaders));
    for (size_t i = 0; i < assignment->leaders_len; i++)
        assignment->leaders[i] = -1;
    for (int i = 0; i < topic->partition_cnt; i++) {
        const struct rd_kafka_metadata_partition *partition = &topic->partitions[i];
        if (partition->id >= 0 && (size_t)partition->id < assignment->leaders_len)
            assignment->leaders[partition->id] = partition->leader;
    }
}

/* The number of partitions Kafka says the topic has; 0 while it says none, or nothing. */
static size_t count_partitions(struct assignment *assignment)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_resp_err_t err;
    size_t count = 0;

    err = rd_kafka_metadata(assignment->consumer, 0, assignment->topic, &metadata, METADATA_TIMEOUT_MS);
    assignment->asked = true;
    assignment->answered = !err;
    assignment->denied = false;
    if (err)
        return 0; /* no broker answers: whoever asked us says so */
    err = metadata->topic_cnt == 1 ? metadata->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    if (!err) {
        count = (size_t)metadata->topics[0].partition_cnt;
        note_leaders(assignment, &metadata->topics[0]);
    } else if (err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) {
        assignment->leaders_len = 0;
        log_missing(assignment);
    } else if (err != RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE) {
        log_refused(assignment, err);
        assignment->denied = err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    }
    rd_kafka_metadata_destroy(metadata);
    if (count && (assignment->missing || assignment->refused)) {
        fr_log(FR_INFO, "feed", "topic.found", FR_FIELDS(FR_TEXT("topic", assignment->options->topic)),
               "the topic is there now");
        assignment->missing = assignment->refused = false;
    }
    return count;
}

/* ---- where does each start? ----------------------------------------------------------------------------------- */

/* Asks for the offset of `when` (or RD_KAFKA_OFFSET_END) in the partitions [from, len) that have no `next`. */
static bool query_starts(struct assignment *assignment, size_t from, int64_t when)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)(assignment->len - from));
    rd_kafka_resp_err_t err;
    bool good;

    for (size_t i = from; i < assignment->len; i++) {
        if (assignment->partitions[i].next < 0)
            rd_kafka_topic_partition_list_add(list, assignment->options->topic, (int32_t)i)->offset = when;
    }
    err = list->cnt ? rd_kafka_offsets_for_times(assignment->consumer, list, ASSIGN_QUERY_MS)
                    : RD_KAFKA_RESP_ERR_NO_ERROR;
    good = !err;
    for (int i = 0; i < list->cnt && good; i++)
        good = !list->elems[i].err;
    for (int i = 0; i < list->cnt && good; i++) {
        struct assigned *assigned = &assignment->partitions[list->elems[i].partition];

        if (list->elems[i].offset >= 0) { /* else no record is that late: asked again for the end */
            assigned->next = list->elems[i].offset;
            assigned->tell = true;
        }
    }
    rd_kafka_topic_partition_list_destroy(list);
    return good;
}

static bool choose_starts(struct assignment *assignment, size_t from)
{
    const struct feed_options *options = assignment->options;

    if (options->start == FEED_EARLIEST)
        return true;
    if (options->start == FEED_TIME && !query_starts(assignment, from, options->start_time))
        return false;
    return query_starts(assignment, from, RD_KAFKA_OFFSET_END);
}

bool assignment_take_up(struct assignment *assignment, size_t number)
{
    struct assigned *assigned;
    struct fr_err err;
    char text[24];
    int64_t next;
    uint32_t index;

    if (engine_partition(assignment->engine, assignment->options->topic, (int32_t)number, &index, &next, &err)) {
        if (!assignment->full)
            fr_log(FR_ERROR, "feed", "partition.refused",
                   FR_FIELDS(FR_TEXT("topic", assignment->options->topic), FR_INT("partition", number)),
                   "partition %zu and those behind it are not read: %s", number, err.text);
        assignment->full = true;
        return false;
    }
    fr_reserve((void **)&assignment->partitions, &assignment->cap, assignment->len + 1,
               sizeof(*assignment->partitions));
    assigned = &assignment->partitions[assignment->len++];
    snprintf(text, sizeof(text), "%zu", number);
    *assigned = (struct assigned){.index = index,
                                  .state = PARTITION_WAITING,
                                  .next = next,
                                  .end = -1,
                                  .last = -1,
                                  .anew = -1,
                                  .owed = -1,
                                  .consumed = fr_series(FR_M_EVENTS_CONSUMED, assignment->options->topic, text, "")};
    engine_partition_print(assignment->engine, index, &assigned->last, &assigned->print);
    fr_box_passed(index, next);
    engine_partition_says(assignment->engine, index, PARTITION_WAITING, -1, -1);
    return true;
}

/* Takes up the partitions [len, count). False if Kafka did not say where they start; they are forgotten then until the
 * next try. */
static bool grow(struct assignment *assignment, size_t count)
{
    size_t from = assignment->len;
    bool never_read = from == 0;

    while (assignment->len < count && assignment_take_up(assignment, assignment->len))
        never_read = never_read && assignment->partitions[assignment->len - 1].next < 0;
    if (assignment->len == from)
        return true;
    if (never_read && !choose_starts(assignment, from)) {
        assignment->len = from;
        return false;
    }
    assignment->stale = true;
    fr_log(FR_INFO, "feed", "partitions.found",
           FR_FIELDS(FR_TEXT("topic", assignment->options->topic), FR_INT("partitions", assignment->len),
                     FR_INT("new", assignment->len - from)),
           "reading %zu partitions, %zu of them new", assignment->len, assignment->len - from);
    return true;
}

void assignment_lost(struct assignment *assignment, int32_t number)
{
    struct assigned *assigned = assignment_at(assignment, number);

    if (assigned) {
        assigned->lost = true;
        assignment->look_ns = 0;
    }
}

/* ---- the assignment --------------------------------------------------------------------------------------------- */

bool assigned_is_read(const struct assigned *assigned)
{
    return assigned->state == PARTITION_WAITING || assigned->state == PARTITION_RUNNING;
}

/* Where reading goes on; notes if what comes first is to be compared with what we know. */
static int64_t starting_point(struct assigned *assigned)
{
    if (fr_defect(DEFECT_START_AT_END) && assigned->next >= 0)
        return RD_KAFKA_OFFSET_END;
    assigned->check = assigned->last >= 0 && assigned->next - assigned->last <= CHECK_SPAN_MAX;
    if (assigned->check)
        return assigned->last;
    return assigned->next >= 0 ? assigned->next : RD_KAFKA_OFFSET_BEGINNING;
}

/* librdkafka (as far as 2.15, its issue 5573) aborts the process where partitions are taken back once more, or the client is ended, before it has
 * heard that they have stopped. It serves one thing after the other: the first answer comes behind the word that they shall stop, the second
 * behind the word that they have. */
static void let_stop(rd_kafka_t *consumer)
{
    for (int round = 0; round < 2; round++) {
        rd_kafka_topic_partition_list_t *list = NULL;

        if (!rd_kafka_assignment(consumer, &list))
            rd_kafka_topic_partition_list_destroy(list);
    }
}

static void assign(struct assignment *assignment)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)assignment->len);
    rd_kafka_resp_err_t err;

    for (size_t i = 0; i < assignment->len; i++) {
        struct assigned *assigned = &assignment->partitions[i];

        if (!assigned_is_read(assigned))
            continue;
        assigned->state = i < assignment->count ? PARTITION_RUNNING : PARTITION_WAITING;
        if (assigned->state == PARTITION_RUNNING)
            rd_kafka_topic_partition_list_add(list, assignment->options->topic, (int32_t)i)->offset =
                starting_point(assigned);
    }
    err = rd_kafka_assign(assignment->consumer, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (err) {
        fr_log(FR_ERROR, "feed", "assign.failed", FR_FIELDS(FR_TEXT("topic", assignment->options->topic)),
               "librdkafka refuses the assignment: %s; trying again", rd_kafka_err2str(err));
        return;
    }
    let_stop(assignment->consumer);
    fr_crash_point("feed.assigned");
    assignment->stale = assignment->suspect = false;
    quiet_assigned(assignment, fr_mono_ns());
    assignment_report(assignment, true);
}

/* Partitions [from, len) are not read until they are assigned again. What librdkafka still gives of them is dropped, and comes
 * again then; it is not unassigned, for librdkafka may never end a client in which partitions came and went that it does not
 * know of any more. */
static void suspend(struct assignment *assignment, size_t from)
{
    for (size_t i = from; i < assignment->len; i++) {
        if (assigned_is_read(&assignment->partitions[i]))
            assignment->partitions[i].state = PARTITION_WAITING;
    }
    assignment_report(assignment, true);
}

void assignment_doubt(struct assignment *assignment)
{
    suspend(assignment, 0);
    assignment->suspect = true;
    assignment->look_ns = 0;
}

/* Fewer than there were: the topic is gone, or another one, and what is left must prove itself. More: they are taken up by grow(). */
static void note_count(struct assignment *assignment, size_t count)
{
    if (!assignment->answered || (!count && !assignment->missing) || count == assignment->count)
        return;
    if (count < assignment->len && count)
        fr_log(FR_ERROR, "feed", "partitions.gone", FR_FIELDS(FR_TEXT("topic", assignment->options->topic)),
               "the topic had %zu partitions and has %zu; the others wait", assignment->len, count);
    if (count < assignment->len)
        suspend(assignment, count);
    assignment->suspect = assignment->suspect || assignment->count < assignment->len || count < assignment->len;
    assignment->count = count;
}

/* Those of items and users need not exist, and where Kafka does not let us know whether they do, we are not to read them. */
static bool is_none_of_ours(const struct assignment *assignment)
{
    return assignment->denied && assignment->options->kind != FEED_EVENTS &&
           !engine_partitions_known(assignment->engine, assignment->options->topic);
}

/* After its partitions have been taken up: of those the engine knows that it knows nothing yet. */
static void tell_topic(struct assignment *assignment, size_t count)
{
    bool known = count || (assignment->answered && (assignment->missing || is_none_of_ours(assignment)));

    if (!known || assignment->foreign || (assignment->told && (!count || count == assignment->told_count)))
        return;
    engine_topic_told(assignment->engine, assignment->options->topic, count);
    assignment->told = true;
    assignment->told_count = count;
}

void assignment_refresh(struct assignment *assignment, uint64_t now_ns)
{
    size_t count;
    bool good;

    assignment->asked = assignment->answered = false;
    if (now_ns < assignment->look_ns)
        return;
    count = count_partitions(assignment);
    verdict_cluster(assignment);
    if (!assignment->foreign) /* else it is another topic's */
        note_count(assignment, count);
    good = verdict_lost(assignment);
    if (count > assignment->len && !assignment->foreign)
        good = grow(assignment, count) && good;
    tell_topic(assignment, count);
    assignment->stale = assignment->stale || (assignment->suspect && count);
    if (assignment->stale && assignment->len && (assignment->answered || !assignment->suspect))
        assign(assignment);
    if (good && !assignment->suspect && assignment->count >= assignment->len && assignment->len && !assignment->stale) {
        assignment->wait_ms = WAIT_FIRST_MS;
        assignment->look_ns = ms_later(now_ns, LOOK_EVERY_MS);
    } else {
        assignment->look_ns = ms_later(now_ns, assignment->wait_ms);
        assignment->wait_ms = assignment->wait_ms * 2 < WAIT_MAX_MS ? assignment->wait_ms * 2 : WAIT_MAX_MS;
    }
}

bool assignment_tell(struct assignment *assignment, struct event_batch *batch)
{
    for (size_t i = 0; i < assignment->len; i++) {
        struct assigned *assigned = &assignment->partitions[i];

        if (!assigned->tell)
            continue;
        if (batch->len + 2 > EVENT_BATCH_MAX)
            return false;
        if (assigned->anew >= 0) /* in the same batch: no checkpoint comes between */
            batch->events[batch->len++] = (struct event){
                .kind = EVENT_OTHER_LOG, .partition = assigned->index, .offset = assigned->anew, .logged = -1};
        batch->events[batch->len++] = (struct event){.kind = assigned->hole ? EVENT_HOLE : EVENT_POSITION,
                                                     .partition = assigned->index,
                                                     .offset = assigned->next,
                                                     .logged = -1};
        assigned->tell = assigned->hole = false;
        assigned->anew = -1;
    }
    return true;
}

/* The oldest record not given is left to the engine's guess (-1): feed gives all it has at once, and of those still in
 * Kafka or in librdkafka's queue it knows no time. */
void assignment_report(struct assignment *assignment, bool all)
{
    for (size_t i = 0; i < assignment->len; i++) {
        struct assigned *assigned = &assignment->partitions[i];
        int64_t low, high;

        if (!all && !assigned->touched)
            continue;
        assigned->touched = false;
        fr_count(assigned->consumed, assigned->read);
        assigned->read = 0;
        if (assignment->consumer && assigned->state == PARTITION_RUNNING &&
            !rd_kafka_get_watermark_offsets(assignment->consumer, assignment->options->topic, (int32_t)i, &low,
                                            &high) &&
            high >= 0)
            assigned->end = high > assigned->owed ? high : assigned->owed;
        engine_partition_says(assignment->engine, assigned->index, assigned->state, assigned->end, -1);
    }
}

bool assignment_behind(struct assignment *assignment)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)assignment->len + 1);
    bool behind = false;

    for (size_t i = 0; i < assignment->len; i++) {
        if (assignment->partitions[i].state == PARTITION_RUNNING)
            rd_kafka_topic_partition_list_add(list, assignment->options->topic, (int32_t)i)->offset =
                RD_KAFKA_OFFSET_END;
    }
    if (list->cnt && !rd_kafka_offsets_for_times(assignment->consumer, list, ASSIGN_QUERY_MS)) {
        for (int i = 0; i < list->cnt; i++) {
            const struct assigned *assigned = &assignment->partitions[list->elems[i].partition];

            behind =
                behind || (!list->elems[i].err && list->elems[i].offset > (assigned->next < 0 ? 0 : assigned->next));
        }
    }
    rd_kafka_topic_partition_list_destroy(list);
    return behind;
}
