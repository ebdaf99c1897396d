/*
 * quiet.c -- one partition may be asleep while others of the same consumer speak, and the consumer as a whole is not silent then.
 *
 *     speaks ──nothing for its patience──> asked for its end ──there is more──> owes it ──nothing for as long again──> asleep
 *       ^                                         '── no: asked again as much later      │
 *       '────────────────────── a record, or word that there is none ───────────────────┘
 *
 * It is asked, and judged, only when all that was fetched has been taken: behind a backlog of others its records may have been fetched long
 * ago, and are not fetched at all while librdkafka's queue is full. As with the silence of all: where words come slowly, its patience is twice
 * the last pause, and each time that a new consumer hears no more of it, the next is asked for later.
 *
 * One call asks for many, and waits for all brokers that have one of them. Where one does not answer, those asked for are asked for alone, one
 * in a while, until they are answered or speak: so those of other brokers are told apart again.
 *
 * While a broker is away librdkafka says so again and again, and each time all partitions are assigned anew: who speaks does so at once then.
 * So only what has spoken since the last time is given time for it.
 */
#include "assign.h"

enum { ALONE_MS = 10000, ANSWER_TIMEOUT_MS = 1000 };

static unsigned patience_of(const struct assignment *assignment, const struct assigned *assigned)
{
    unsigned least = (unsigned)assignment->options->silence;

    return assigned->patience_ms > least ? assigned->patience_ms : least;
}

static void hear(struct assignment *assignment, struct assigned *assigned, uint64_t now_ns)
{
    uint64_t enough_ms = now_ns > assigned->spoke_ns ? (now_ns - assigned->spoke_ns) / 1000000 * 2 : 0;
    unsigned patience_ms = patience_of(assignment, assigned);

    if (enough_ms < patience_ms / 2)
        enough_ms = patience_ms / 2;
    if (enough_ms < patience_ms)
        assigned->patience_ms = (unsigned)enough_ms;
    assigned->spoke = assigned->alone = assigned->mute = false;
    assigned->spoke_ns = now_ns;
    assigned->owed = -1;
}

void quiet_heard(struct assignment *assignment, uint64_t now_ns)
{
    for (size_t i = 0; i < assignment->len; i++)
        if (assignment->partitions[i].spoke)
            hear(assignment, &assignment->partitions[i], now_ns);
}

static void excuse(struct assigned *assigned, uint64_t now_ns)
{
    assigned->spoke_ns = now_ns;
    assigned->owed = -1;
}

void quiet_excused(struct assignment *assignment, uint64_t now_ns)
{
    for (size_t i = 0; i < assignment->len; i++)
        excuse(&assignment->partitions[i], now_ns);
}

void quiet_assigned(struct assignment *assignment, uint64_t now_ns)
{
    for (size_t i = 0; i < assignment->len; i++) {
        struct assigned *assigned = &assignment->partitions[i];
        if (!assigned->mute)
            excuse(assigned, now_ns);
        assigned->mute = true;
    }
}

/* For its patience, or that part of it. */
static bool is_quiet(const struct assignment *assignment, const struct assigned *assigned, unsigned part, uint64_t now_ns)
{
    uint64_t since_ns = assigned->asked_ns > assigned->spoke_ns ? assigned->asked_ns : assigned->spoke_ns;

    return assigned->state == PARTITION_RUNNING && now_ns >= since_ns &&
           now_ns - since_ns >= patience_of(assignment, assigned) * 1000000ULL / part;
}

static void ask_for(struct assignment *assignment, size_t number, uint64_t now_ns, rd_kafka_topic_partition_list_t *list)
{
    struct assigned *assigned = &assignment->partitions[number];

    rd_kafka_topic_partition_list_add(list, assignment->options->topic, (int32_t)number)->offset = RD_KAFKA_OFFSET_END;
    if (is_quiet(assignment, assigned, 1, now_ns))
        assigned->spoke_ns = now_ns; /* else its pause is measured as if nobody had asked */
    assigned->asked_ns = now_ns;
}

/* What is asked again has had its time: did it owe that already? */
static bool note_end(struct assignment *assignment, struct assigned *assigned, int64_t end)
{
    bool owed = assigned->owed > (assigned->next < 0 ? 0 : assigned->next);

    if (end <= (assigned->next < 0 ? 0 : assigned->next)) {
        assigned->owed = -1;
        return false;
    }
    assigned->owed = end;
    if (end > assigned->end) {
        assigned->end = end;
        engine_partition_says(assignment->engine, assigned->index, assigned->state, end, -1);
    }
    return owed;
}

static void be_patient(struct assignment *assignment, struct assigned *assigned)
{
    unsigned patience_ms = patience_of(assignment, assigned);

    if (patience_ms < SILENCE_MAX_MS)
        assigned->patience_ms = patience_ms * 2 < SILENCE_MAX_MS ? patience_ms * 2 : SILENCE_MAX_MS;
}

/* All that share an answer: those half as quiet as they may be are due soon, and asked with the others. Not what owes a record: it has
 * its time. */
static void ask_for_all(struct assignment *assignment, uint64_t now_ns, rd_kafka_topic_partition_list_t *list)
{
    bool due = false;

    for (size_t i = 0; i < assignment->len; i++)
        due = due || (!assignment->partitions[i].alone && is_quiet(assignment, &assignment->partitions[i], 1, now_ns));
    for (size_t i = 0; i < assignment->len && due; i++) {
        struct assigned *assigned = &assignment->partitions[i];
        if (!assigned->alone && is_quiet(assignment, assigned, assigned->owed < 0 ? 2 : 1, now_ns))
            ask_for(assignment, i, now_ns, list);
    }
}

/* The one that has waited longest. */
static void ask_for_one(struct assignment *assignment, uint64_t now_ns, rd_kafka_topic_partition_list_t *list)
{
    size_t found = assignment->len;

    if (now_ns < assignment->alone_ns)
        return;
    for (size_t i = 0; i < assignment->len; i++) {
        const struct assigned *assigned = &assignment->partitions[i];
        if (assigned->alone && is_quiet(assignment, assigned, 1, now_ns) &&
            (found == assignment->len || assigned->asked_ns < assignment->partitions[found].asked_ns))
            found = i;
    }
    if (found < assignment->len)
        ask_for(assignment, found, now_ns, list);
}

/* An answer that does not come has cost those that are read its whole time, and tells nothing of the others in the list. */
static bool ask(struct assignment *assignment, rd_kafka_topic_partition_list_t *list, uint64_t now_ns)
{
    bool answered = !rd_kafka_offsets_for_times(assignment->consumer, list, ANSWER_TIMEOUT_MS);

    for (int i = 0; i < list->cnt; i++)
        assignment->partitions[list->elems[i].partition].alone = !answered;
    if (!answered)
        assignment->alone_ns = now_ns + (uint64_t)(assignment->options->silence > ALONE_MS ? assignment->options->silence : ALONE_MS) * 1000000;
    return answered;
}

bool quiet_asleep(struct assignment *assignment, uint64_t now_ns, size_t *ret_number)
{
    rd_kafka_topic_partition_list_t *list;
    bool asleep = false;

    if (!assignment->consumer || assignment->stale)
        return false;
    list = rd_kafka_topic_partition_list_new(1);
    ask_for_all(assignment, now_ns, list);
    if (!list->cnt)
        ask_for_one(assignment, now_ns, list);
    if (list->cnt && ask(assignment, list, now_ns)) {
        for (int i = 0; i < list->cnt; i++) {
            struct assigned *assigned = &assignment->partitions[list->elems[i].partition];
            if (list->elems[i].err || !note_end(assignment, assigned, list->elems[i].offset))
                continue;
            be_patient(assignment, assigned);
            *ret_number = (size_t)list->elems[i].partition;
            asleep = true;
        }
    }
    rd_kafka_topic_partition_list_destroy(list);
    return asleep;
}
