/*
 * lows.c -- what Kafka is asked about a log beside its records: the oldest offset it still holds, which a backup must not be older than, and
 * the end of one that nothing is fetched of. And both, where something is to be decided by them.
 *
 *     running, polled       its end comes with what is fetched (assignment_report)
 *     ingest stands still   all of them are asked: librdkafka fetches no more once its queue is full
 *     halted                asked, always
 *
 * All partitions in one call, now and then. An answer that does not come leaves what was known; it matters for alerts, not for reading.
 *
 * Never by rd_kafka_query_watermark_offsets: in librdkafka 2.0.2 its timeout bounds only the search for the leader, and it comes back when that
 * broker does (mended in 2.3.0). The topic's thread, all other partitions and the drain would wait with it.
 */
#include "assign.h"

enum { LOWS_EVERY_MS = 5000, LOWS_AGAIN_MS = 20000, ENDS_EVERY_MS = 1000, ENDS_AGAIN_MS = 10000, ANSWER_TIMEOUT_MS = 1000 };

/* Asks for one offset of each; false: Kafka does not answer. */
static bool ask(struct assignment *assignment, rd_kafka_topic_partition_list_t *list)
{
    return list->cnt && !rd_kafka_offsets_for_times(assignment->consumer, list, ANSWER_TIMEOUT_MS);
}

static void add(struct assignment *assignment, rd_kafka_topic_partition_list_t *list, size_t number, int64_t which)
{
    rd_kafka_topic_partition_list_add(list, assignment->options->topic, (int32_t)number)->offset = which;
}

void assignment_lows(struct assignment *assignment, uint64_t now_ns)
{
    rd_kafka_topic_partition_list_t *list;

    if (!assignment->consumer || assignment->stale || now_ns < assignment->lows_ns)
        return;
    assignment->lows_ns = now_ns + LOWS_EVERY_MS * 1000000ULL;
    list = rd_kafka_topic_partition_list_new((int)assignment->len + 1);
    for (size_t i = 0; i < assignment->len; i++)
        if (!assignment->partitions[i].alone) /* a broker that does not answer hides what the others know */
            add(assignment, list, i, RD_KAFKA_OFFSET_BEGINNING);
    if (ask(assignment, list)) {
        for (int i = 0; i < list->cnt; i++)
            if (!list->elems[i].err && list->elems[i].offset >= 0)
                engine_partition_low(assignment->engine, assignment->partitions[list->elems[i].partition].index,
                                     list->elems[i].offset);
    } else if (list->cnt) { /* those that are read have waited for the answer */
        assignment->lows_ns = now_ns + LOWS_AGAIN_MS * 1000000ULL;
    }
    rd_kafka_topic_partition_list_destroy(list);
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
static void note_end(struct assignment *assignment, struct assigned *assigned, int64_t end)
{
    if (assigned->state == PARTITION_RUNNING && end < assigned->end)
        return;
    assigned->end = end;
    engine_partition_says(assignment->engine, assigned->index, assigned->state, end, -1);
}

void assignment_ends(struct assignment *assignment, uint64_t now_ns, bool standing)
{
    rd_kafka_topic_partition_list_t *list;
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
            note_end(assignment, &assignment->partitions[list->elems[i].partition], list->elems[i].offset);
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
