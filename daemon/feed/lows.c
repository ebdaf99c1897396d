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
 * While ingest stands still nothing that was fetched is looked at, so there only an answer about the end itself confirms it.
 *
 * Both are asked for broker by broker, one of them a round, so that one that does not answer hides nothing of the others, and costs
 * those that are read its time only now and then. An answer that does not come leaves what was known. Brokers of another cluster are not asked
 * at all: their offsets mean nothing here.
 *
 * Never by rd_kafka_query_watermark_offsets: in librdkafka 2.0.2 its timeout bounds only the search for the leader, and it comes back when that
 * broker does (mended in 2.3.0). The topic's thread, all other partitions and the drain would wait with it.
 */
#include "assign.h"
#include "freshet/clock.h"

enum {
    LOWS_EVERY_MS = 5000,
    LOWS_UNHEARD_MS = 500,
    AGAIN_FIRST_MS = 2000, /* one that did not come leaves time for another before ENGINE_HEARD_MS is over */
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

/* Nothing is fetched of it that would tell its end. */
static bool has_end(const struct assignment *assignment, const struct assigned *assigned)
{
    switch (assigned->state) {
    case PARTITION_RUNNING:
        return assignment->standing;
    case PARTITION_WAITING:              /* there is none, or nobody has said so yet */
    case PARTITION_HALTED_OTHER_CLUSTER: /* offsets of another log */
        return false;
    default:
        return true;
    }
}

/* What is asked of each partition, in turn. */
struct inquiry {
    int64_t which;
    bool (*wanted)(const struct assignment *assignment, const struct assigned *assigned); /* NULL: of all */
    unsigned (*note)(struct assignment *assignment, struct assigned *assigned, int64_t offset, when_ms asked); /* when it is asked again, in ms */
    size_t turn; /* of assigned.turns */
    unsigned every_ms, rest_max_ms;
};

static unsigned note_low(struct assignment *assignment, struct assigned *assigned, int64_t low, when_ms asked)
{
    engine_partition_low(assignment->engine, assigned->index, low);
    if (assigned->state != PARTITION_RUNNING)
        return LOWS_EVERY_MS;
    if (assigned->mute || assignment->standing)
        return LOWS_UNHEARD_MS;
    engine_partition_heard(assignment->engine, assigned->index, asked);
    return LOWS_EVERY_MS;
}

/* A transaction that is still open is not in the end that is asked for, but may be in the one that was fetched. */
static unsigned note_end(struct assignment *assignment, struct assigned *assigned, int64_t end, when_ms asked)
{
    engine_partition_heard(assignment->engine, assigned->index, asked);
    if (assigned->state == PARTITION_RUNNING && end < assigned->end)
        return ENDS_EVERY_MS;
    assigned->end = end;
    engine_partition_says(assignment->engine, assigned->index, assigned->state, end, -1);
    return ENDS_EVERY_MS;
}

static const struct inquiry lows = {RD_KAFKA_OFFSET_BEGINNING, NULL, note_low, TURN_LOW, LOWS_EVERY_MS, LOWS_AGAIN_MS},
                            ends = {RD_KAFKA_OFFSET_END, has_end, note_end, TURN_END, ENDS_EVERY_MS, ENDS_AGAIN_MS};

static bool is_due(const struct assignment *assignment, const struct inquiry *inquiry, uint64_t now_ns, size_t number)
{
    const struct assigned *assigned = &assignment->partitions[number];

    return leader_of(assignment, number) >= 0 && now_ns >= assigned->turns[inquiry->turn].due_ns &&
           (!inquiry->wanted || inquiry->wanted(assignment, assigned));
}

/* All that are due and of one broker: that of who has waited longest, or of many brokers the first would have all the turns. */
static void add_due(struct assignment *assignment, const struct inquiry *inquiry, uint64_t now_ns, rd_kafka_topic_partition_list_t *list)
{
    uint64_t longest_ns = UINT64_MAX;
    int32_t leader = -1;

    for (size_t i = 0; i < assignment->len; i++) {
        uint64_t due_ns = assignment->partitions[i].turns[inquiry->turn].due_ns;
        if (due_ns < longest_ns && is_due(assignment, inquiry, now_ns, i)) {
            longest_ns = due_ns;
            leader = leader_of(assignment, i);
        }
    }
    for (size_t i = 0; i < assignment->len; i++)
        if (leader_of(assignment, i) == leader && is_due(assignment, inquiry, now_ns, i))
            add(assignment, list, i, inquiry->which);
}

/* Longer and longer: those that are read have waited for the answer. */
static unsigned rest_of(const struct turn *turn, unsigned most_ms)
{
    unsigned rest_ms = turn->rest_ms ? turn->rest_ms * 2 : AGAIN_FIRST_MS;

    return rest_ms < most_ms ? rest_ms : most_ms;
}

static void inquire(struct assignment *assignment, const struct inquiry *inquiry, uint64_t now_ns)
{
    rd_kafka_topic_partition_list_t *list;
    when_ms asked = fr_wall_ms();
    bool answered;

    if (!assignment->consumer || assignment->stale || assignment->foreign)
        return;
    list = rd_kafka_topic_partition_list_new(1);
    add_due(assignment, inquiry, now_ns, list);
    answered = ask(assignment, list);
    for (int i = 0; i < list->cnt; i++) {
        struct assigned *assigned = &assignment->partitions[list->elems[i].partition];
        struct turn *turn = &assigned->turns[inquiry->turn];
        unsigned wait_ms = answered ? inquiry->every_ms : rest_of(turn, inquiry->rest_max_ms);
        turn->rest_ms = answered ? 0 : wait_ms;
        if (answered && !list->elems[i].err && list->elems[i].offset >= 0)
            wait_ms = inquiry->note(assignment, assigned, list->elems[i].offset, asked);
        turn->due_ns = now_ns + wait_ms * 1000000ULL;
    }
    rd_kafka_topic_partition_list_destroy(list);
}

void assignment_lows(struct assignment *assignment, uint64_t now_ns)
{
    inquire(assignment, &lows, now_ns);
}

void assignment_ends(struct assignment *assignment, uint64_t now_ns, bool standing)
{
    assignment->standing = standing;
    inquire(assignment, &ends, now_ns);
}

void assignment_ask_now(struct assignment *assignment)
{
    for (size_t i = 0; i < assignment->len; i++)
        for (size_t turn = 0; turn < TURNS; turn++)
            assignment->partitions[i].turns[turn].due_ns = 0;
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
