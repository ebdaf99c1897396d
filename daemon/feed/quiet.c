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
 */
#include "assign.h"

enum { ANSWER_TIMEOUT_MS = 1000 };

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
    assigned->spoke = false;
    assigned->spoke_ns = now_ns;
    assigned->owed = -1;
}

void quiet_heard(struct assignment *assignment, uint64_t now_ns)
{
    for (size_t i = 0; i < assignment->len; i++)
        if (assignment->partitions[i].spoke)
            hear(assignment, &assignment->partitions[i], now_ns);
}

void quiet_excused(struct assignment *assignment, uint64_t now_ns)
{
    for (size_t i = 0; i < assignment->len; i++) {
        assignment->partitions[i].spoke_ns = now_ns;
        assignment->partitions[i].owed = -1;
    }
}

static bool is_quiet(const struct assignment *assignment, const struct assigned *assigned, uint64_t now_ns)
{
    return assigned->state == PARTITION_RUNNING && now_ns >= assigned->spoke_ns &&
           now_ns - assigned->spoke_ns >= patience_of(assignment, assigned) * 1000000ULL;
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

bool quiet_asleep(struct assignment *assignment, uint64_t now_ns, size_t *ret_number)
{
    rd_kafka_topic_partition_list_t *list;
    bool asleep = false;

    if (!assignment->consumer || assignment->stale)
        return false;
    list = rd_kafka_topic_partition_list_new(1);
    for (size_t i = 0; i < assignment->len; i++) {
        if (!is_quiet(assignment, &assignment->partitions[i], now_ns))
            continue;
        rd_kafka_topic_partition_list_add(list, assignment->options->topic, (int32_t)i)->offset = RD_KAFKA_OFFSET_END;
        assignment->partitions[i].spoke_ns = now_ns;
    }
    if (list->cnt && !rd_kafka_offsets_for_times(assignment->consumer, list, ANSWER_TIMEOUT_MS)) {
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
