/*
 * lows.c -- what Kafka is asked about a log beside its records: the oldest offset it still holds, which a backup must not be older than, and
 * the end of one that nothing is fetched of. And both, where something is to be decided by them.
 *
 *     running, polled       its end comes with what is fetched (assignment_report); asked for the oldest offset
 *     ingest stands still   and for the end: librdkafka fetches no more once its queue is full
 *     halted                likewise, always
 *
 * Each answer also confirms the end (engine_partition_heard): whoever gives records of a partition is there, and would have given more. Fetching
 * alone does not tell: where nothing comes, it looks the same with Kafka and without (a consumer that sleeps is quiet.c's to find). One that was assigned anew and has not spoken since
 * (assigned.mute) may have been fetched before, and confirms nothing.
 *
 * Oldest offsets are asked for broker by broker, one of them a round, so that one that does not answer hides nothing of the others, and costs
 * those that are read its time only now and then. An answer that does not come leaves what was known.
 *
 * Never by rd_kafka_query_watermark_offsets: in librdkafka 2.0.2 its timeout bounds only the search for the leader, and it comes back when that
 * broker does (mended in 2.3.0). The topic's thread, all other partitions and the drain would wait with it.
 */
#include "assign.h"
#include "freshet/clock.h"

enum {
    LOWS_EVERY_MS = 5000,
    LOWS_MUTE_MS = 500,
    LOWS_AGAIN_FIRST_MS = 2000, /* one that did not come leaves time for another before ENGINE_HEARD_MS is over */
    LOWS_AGAIN_MS = 20000,
    ENDS_EVERY_MS = 1000,
    ENDS_AGAIN_MS = 10000,
    ANSWER_TIMEOUT_MS = 1000
};
_Static_assert(LOWS_EVERY_MS * 2 <= ENGINE_HEARD_MS, "one that is asked as always has been heard of late");

/* Asks for one offset of each; false: Kafka does not answer. */
static bool ask(struct assignment *assignment, rd_kafka_topic_partition_list_t *list)
{
    return list->cnt && !rd_kafka_offsets_for_times(assignment->consumer, list, ANSWER_TIMEOUT_MS);
}

static void add(struct assignment *assignment, rd_kafka_topic_partition_list_t *list, size_t number, int64_t which)
{
    rd_kafka_topic_partition_list_add(list, assignment->options->topic, (int32_t)number)->offset = which;
}

static int32_t leader_of(const struct assignment *assignment, size_t number)
{
    return number < assignment->leaders_len ? assignment->leaders[number] : -1;
}

/* All that are due and of one broker. */
static void add_due(struct assignment *assignment, uint64_t now_ns, rd_kafka_topic_partition_list_t *list)
{
    int32_t leader = -1;

    for (size_t i = 0; i < assignment->len; i++) {
        int32_t its = leader_of(assignment, i);
        if (its < 0 || now_ns < assignment->partitions[i].low_ns || (leader >= 0 && its != leader))
            continue;
        leader = its;
        add(assignment, list, i, RD_KAFKA_OFFSET_BEGINNING);
    }
}

/* When it is to be asked again, in ms. */
static unsigned note_low(struct assignment *assignment, const struct assigned *assigned, int64_t low, when_ms asked)
{
    engine_partition_low(assignment->engine, assigned->index, low);
    if (assigned->state != PARTITION_RUNNING)
        return LOWS_EVERY_MS;
    if (assigned->mute)
        return LOWS_MUTE_MS;
    engine_partition_heard(assignment->engine, assigned->index, asked);
    return LOWS_EVERY_MS;
}

/* Longer and longer: those that are read have waited for the answer. */
static unsigned rest_of(const struct assigned *assigned)
{
    unsigned rest_ms = assigned->low_rest_ms ? assigned->low_rest_ms * 2 : LOWS_AGAIN_FIRST_MS;

    return rest_ms < LOWS_AGAIN_MS ? rest_ms : LOWS_AGAIN_MS;
}

void assignment_lows(struct assignment *assignment, uint64_t now_ns)
{
    rd_kafka_topic_partition_list_t *list;
    when_ms asked = fr_wall_ms();
    bool answered;

    if (!assignment->consumer || assignment->stale)
        return;
    list = rd_kafka_topic_partition_list_new(1);
    add_due(assignment, now_ns, list);
    answered = ask(assignment, list);
    for (int i = 0; i < list->cnt; i++) {
        struct assigned *assigned = &assignment->partitions[list->elems[i].partition];
        unsigned wait_ms = answered ? LOWS_EVERY_MS : rest_of(assigned);
        assigned->low_rest_ms = answered ? 0 : wait_ms;
        if (answered && !list->elems[i].err && list->elems[i].offset >= 0)
            wait_ms = note_low(assignment, assigned, list->elems[i].offset, asked);
        assigned->low_ns = now_ns + wait_ms * 1000000ULL;
    }
    rd_kafka_topic_partition_list_destroy(list);
}

void assignment_lows_now(struct assignment *assignment)
{
    for (size_t i = 0; i < assignment->len; i++)
        assignment->partitions[i].low_ns = 0;
}

static bool is_fetched(const struct assigned *assigned, bool standing)
{
    switch (assigned->state) {
    case PARTITION_RUNNING:
        return !standing;
    case PARTITION_WAITING:              /* there is none, or nobody has said so yet */
    case PARTITION_HALTED_OTHER_CLUSTER: /* offsets of another log */
        return true;
    default:
        return false;
    }
}

/* A transaction that is still open is not in the end that is asked for, but may be in the one that was fetched. */
static void note_end(struct assignment *assignment, struct assigned *assigned, int64_t end, when_ms asked)
{
    engine_partition_heard(assignment->engine, assigned->index, asked);
    if (assigned->state == PARTITION_RUNNING && end < assigned->end)
        return;
    assigned->end = end;
    engine_partition_says(assignment->engine, assigned->index, assigned->state, end, -1);
}

void assignment_ends(struct assignment *assignment, uint64_t now_ns, bool standing)
{
    rd_kafka_topic_partition_list_t *list;
    when_ms asked = fr_wall_ms();
    bool answered;

    if (!assignment->consumer || assignment->stale || now_ns < assignment->ends_ns)
        return;
    assignment->ends_ns = now_ns + ENDS_EVERY_MS * 1000000ULL;
    list = rd_kafka_topic_partition_list_new((int)assignment->len + 1);
    for (size_t i = 0; i < assignment->len; i++)
        if (!is_fetched(&assignment->partitions[i], standing))
            add(assignment, list, i, RD_KAFKA_OFFSET_END);
    answered = ask(assignment, list);
    if (!answered && list->cnt && !standing) /* those that are read have waited for the answer */
        assignment->ends_ns = now_ns + ENDS_AGAIN_MS * 1000000ULL;
    for (int i = 0; answered && i < list->cnt; i++)
        if (!list->elems[i].err && list->elems[i].offset >= 0)
            note_end(assignment, &assignment->partitions[list->elems[i].partition], list->elems[i].offset, asked);
    rd_kafka_topic_partition_list_destroy(list);
}

/* ---- both, for a decision ---------------------------------------------------------------------------------------- */

static rd_kafka_resp_err_t ask_bound(struct assignment *assignment, int64_t which, struct bounds *bounds, size_t len)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)len);
    rd_kafka_resp_err_t err;

    for (size_t i = 0; i < len; i++)
        add(assignment, list, (size_t)bounds[i].number, which);
    err = rd_kafka_offsets_for_times(assignment->consumer, list, ASSIGN_QUERY_MS); /* and no other call: see above */
    for (size_t i = 0; i < len && !err; i++) {
        const rd_kafka_topic_partition_t *told =
            rd_kafka_topic_partition_list_find(list, assignment->options->topic, bounds[i].number);
        if (told->err || told->offset < 0)
            bounds[i].err = told->err ? told->err : RD_KAFKA_RESP_ERR__NO_OFFSET;
        else if (which == RD_KAFKA_OFFSET_BEGINNING)
            bounds[i].low = told->offset;
        else
            bounds[i].high = told->offset;
    }
    rd_kafka_topic_partition_list_destroy(list);
    return err;
}

rd_kafka_resp_err_t assignment_bounds(struct assignment *assignment, struct bounds *bounds, size_t len)
{
    rd_kafka_resp_err_t err;

    for (size_t i = 0; i < len; i++)
        bounds[i].err = RD_KAFKA_RESP_ERR_NO_ERROR;
    err = ask_bound(assignment, RD_KAFKA_OFFSET_BEGINNING, bounds, len);
    return err ? err : ask_bound(assignment, RD_KAFKA_OFFSET_END, bounds, len); /* the end last: it only grows */
}
